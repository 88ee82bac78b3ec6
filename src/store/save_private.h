/* src/store/save_private.h - what the files of save.h share: the object (save.c), the chunk
 * files of one stream that are written (save_chunk.c), and who calls whom:
 * save_stream.c decides, save_chunk.c writes files, then save_stream.c puts rows.
 * Thread: as save.h. */
#pragma once

#include "base/assert.h"
#include "store/save.h"

enum { SAVE_MAGIC = 0x73617665 };

/* A chunk file. */
struct save_file {
    uint32_t partition;
    uint64_t uid;
    uint64_t first_seqnum;
};
struct save_files {
    struct save_file *items;
    size_t count;
    size_t room;
};

struct save {
    uint32_t magic;
    struct save_params p;
    struct kv_reader *reader;
    struct kv_writer *writer; /* the open transaction, or NULL */
    size_t rows;              /* put into it */
    bool reading;             /* reader has the snapshot of the last commit */
    bool failed;              /* only save_abort() may follow */
    bool unsure;              /* a commit failed, and may be there at the next open */
    struct save_files told;   /* of these on_buried says something after the commit */
    struct save_files made;   /* new ones, which no commit names yet */
};

/* ---- save.c ---- */
/* Before any file is touched: what the catalog says now must be what it says after a crash. */
IOR_MUST_CHECK enum ior_err save_settle(struct save *s);
/* s->reader shows the last commit. */
IOR_MUST_CHECK enum ior_err save_snapshot(struct save *s);
/* s->writer is there. */
IOR_MUST_CHECK enum ior_err save_begin(struct save *s);
/* One row more is in the transaction. Gives err back. */
enum ior_err save_count(struct save *s, enum ior_err err);
/* One more in s->told or s->made. NOMEM. */
IOR_MUST_CHECK enum ior_err save_note(struct save_files *list, uint32_t partition, uint64_t uid,
                                      uint64_t first_seqnum);

/* ---- save_chunk.c ---- */
/* The chunk files of one stream, one after the other; one is open at a time. */
struct save_chunks {
    struct save *save;
    struct chunk_id id; /* first_seqnum: of the one that is open */
    struct chunk_writer *writer;
    struct chunk_row *rows; /* what is on the disk now, for the catalog */
    size_t count;
    size_t room;
    bool resumed; /* rows[0] is one that the catalog has already */
    bool created;
};
/* Go on with this chunk of the catalog, which is not sealed. */
IOR_MUST_CHECK enum ior_err save_chunks_resume(struct save_chunks *c, const struct chunk_row *last,
                                               struct ior_why *why);
/* Events from seqnum `first` on, behind what was written. */
IOR_MUST_CHECK enum ior_err save_chunks_append(struct save_chunks *c,
                                               const struct chunk_event *events, size_t count,
                                               uint64_t first, struct ior_why *why);
/* Everything is on the disk, names too; all is closed. */
IOR_MUST_CHECK enum ior_err save_chunks_finish(struct save_chunks *c, struct ior_why *why);
void save_chunks_done(struct save_chunks *c);

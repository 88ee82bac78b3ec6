/* src/store/chunk.h - a chunk: consecutive events of one stream in one file, written
 * by checkpoints only. docs/formats.rst shows every byte; format version 1. All integers
 * little-endian.
 *
 * head, a multiple of 8                       entry, CHUNK_ENTRY_BYTES and an item
 *  0 8 bytes "IORIOCHK"                        0 u32 length of all of it, a multiple of 8
 *  8 u32 format version                        4 u32 crc32c of partition (u32) and uid (u64),
 * 12 u32 bytes of the head, all                      of 8..24, 0..4, item head, attributes
 * 16 u64 uid of the stream                     8 u64 index in the group's log
 * 24 u64 first seqnum                         16 u64 time, Unix ms
 * 32 u32 partition                            24 the item as in the journal (record.h): head,
 * 36 u16 bytes of the bucket's name              attributes, payload, zeros up to a
 * 38 u16 bytes of the stream's name              multiple of 8
 * 40 u32 zero
 * 44 u32 crc32c of the whole head, this
 *        field as 0
 * 48 bucket, stream, zeros up to a
 *    multiple of 8
 *
 * A sealed chunk ends with a footer: one mark (u64 seqnum, u64 offset) for the first entry
 * and after every CHUNK_INDEX_EVERY_BYTES, then the tail, CHUNK_TAIL_BYTES: counts, the last
 * seqnum and times, where the entries end, a crc32c over all of the footer, a magic. Without
 * one (not sealed yet, or lost) the same is found by scanning.
 * Path: p<partition>/<last 2 of uid>/<uid>/<first seqnum>.chunk, the partition in decimal,
 * uid and seqnum as 16 hex digits: derived, never a client's bytes. (The first digits of uids
 * are the time: they would all be the same.)
 * How far a chunk is valid is the catalog's word (end_bytes): what is behind it is
 * garbage of a checkpoint that was not finished and is overwritten by the next one.
 *
 * Why garbage cannot be taken for events of now, even by a scan that has no catalog: only
 * committed events are appended. An event that is committed never changes, a stream's seqnums
 * are dense and never come again (after a DELETE they go on), and where an entry stands
 * follows from the entries in front of it. So an entry of a checkpoint that was not finished
 * has the very bytes, at the very offset, that the next checkpoint writes for this seqnum,
 * and a sound one may be believed. It cannot be of another stream: uid and partition are in
 * its checksum. A footer is written only when the entries in front of it are durable, so it
 * says nothing that was not there; and the first append after a resume cuts off what is behind
 * end_bytes, so that holes of an old crash do not stay in the file and look like damage.
 * Thread: a writer belongs to the checkpoint; a reader to one thread at a time. */
#pragma once

#include "rt/disk.h"
#include "store/record.h"

enum {
    CHUNK_HEAD_BYTES = 48,
    CHUNK_ENTRY_BYTES = 24,
    CHUNK_TAIL_BYTES = 64,
    CHUNK_INDEX_EVERY_BYTES = 32 << 10,
    CHUNK_BLOCK_BYTES = 256 << 10, /* a read takes about that much at once */
};

struct chunk_id {
    uint32_t partition;
    uint64_t uid;
    uint64_t first_seqnum;
    struct ior_slice bucket; /* names: only for writing; a reader says what it found */
    struct ior_slice stream;
};

/* What the catalog keeps of a chunk, and what a scan finds again. */
struct chunk_state {
    uint64_t end_bytes;   /* entries end here; the next one begins here */
    uint64_t last_seqnum; /* first_seqnum - 1: none */
    uint64_t payload_bytes;
    uint64_t first_time_ms;
    uint64_t last_time_ms;
    uint64_t last_index;
    bool sealed;
};

void chunk_path(uint32_t partition, uint64_t uid, uint64_t first_seqnum, char out[DISK_PATH_MAX]);
/* The folder of a stream's chunks, without a slash at its end. */
void chunk_folder(uint32_t partition, uint64_t uid, char out[DISK_PATH_MAX]);
/* False: not the name of a chunk (the last part of a path). */
bool chunk_name_parse(const char *name, uint64_t *ret_first_seqnum);

/* ---- writing ---- */
struct chunk_event {
    struct ior_slice item; /* the item as in the journal, head and padding included */
    uint64_t index;
    uint64_t time_ms;
};

struct chunk_writer;
/* A new chunk, over whatever has its name (nothing names it yet). Folders are made as
 * needed; *ret_new_folders says whether some were. In any case the caller syncs the folders
 * (chunk_sync_folders) before a catalog names the file: its own name is new, and a folder
 * that was there may be of a process that was killed before it synced. Head and names are
 * written with the first append. NOSPC, IO, NOMEM, ACCESS. */
IOR_MUST_CHECK enum ior_err chunk_create(struct disk *d, const struct chunk_id *id,
                                         struct chunk_writer **ret, bool *ret_new_folders);
/* Go on at state->end_bytes (not of a sealed one). CORRUPT with *why when the head is not
 * this chunk's or the file is shorter; VERSION, NOTFOUND, IO, NOMEM likewise. */
IOR_MUST_CHECK enum ior_err chunk_resume(struct disk *d, const struct chunk_id *id,
                                         const struct chunk_state *state, struct chunk_writer **ret,
                                         struct ior_why *why);
/* Seqnums follow each other (asserted). One pwritev for many; nothing is durable yet.
 * After an error the writer's state is what it was before, and it may be tried again. */
IOR_MUST_CHECK enum ior_err chunk_append(struct chunk_writer *w, const struct chunk_event *events,
                                         size_t count);
/* Cut what lies behind the end, sync what was appended, write the footer; nothing may be appended
 * any more. The footer needs a chunk_sync() of its own. At least one event must be there.
 * After chunk_resume() all older entries are read for the index; CORRUPT (logged) when one of
 * them is damaged: then the chunk stays as it is, not sealed. */
IOR_MUST_CHECK enum ior_err chunk_seal(struct chunk_writer *w);
/* A failed sync is sticky: then everything is IO until a new writer writes the same anew. */
IOR_MUST_CHECK enum ior_err chunk_sync(struct chunk_writer *w);
const struct chunk_state *chunk_writer_state(const struct chunk_writer *w);
void chunk_writer_close(struct chunk_writer *w); /* NULL is fine */
/* The names of the chunk's folders and the file's own, made durable from the top down. */
IOR_MUST_CHECK enum ior_err chunk_sync_folders(struct disk *d, uint32_t partition, uint64_t uid);

/* ---- reading ---- */
struct chunk_reader;
/* state: the catalog's; NULL: find it (footer, else scan: a torn end is where it ends;
 * damage in front of a later sound entry is CORRUPT). NOTFOUND; CORRUPT and VERSION with
 * file and offset in *why. With a state nothing but the head is read here, and a footer
 * that is lost later only makes reading slower. What was found without a state may be in the
 * kernel's memory only: who names it in a new catalog syncs the file and its folders first. */
IOR_MUST_CHECK enum ior_err chunk_open(struct disk *d, uint32_t partition, uint64_t uid,
                                       uint64_t first_seqnum, const struct chunk_state *state,
                                       struct chunk_reader **ret, struct ior_why *why);
/* Names stand until the reader is closed. */
const struct chunk_id *chunk_reader_id(const struct chunk_reader *r);
const struct chunk_state *chunk_reader_state(const struct chunk_reader *r);
/* The catalog has a newer state of the same file: it does not go back (asserted). */
void chunk_reader_extend(struct chunk_reader *r, const struct chunk_state *state);

struct chunk_entry {
    uint64_t index;
    uint64_t time_ms;
    struct item item; /* slices into *ret_blob; offset_bytes is its head's place in it, if
                         chunk_read() gave it */
};
/* Up to max events (at least 1) from seqnum `from` on (not below the first), about
 * CHUNK_BLOCK_BYTES or one larger event, in one blob that the caller gives back. All checksums
 * were looked at; events in front of a damaged one are still given.
 * *ret_count 0 and no blob: from is behind the last. CORRUPT with *why; IO, NOMEM. */
IOR_MUST_CHECK enum ior_err chunk_read(struct chunk_reader *r, uint64_t from,
                                       struct chunk_entry *out, size_t max, size_t *ret_count,
                                       struct ior_blob **ret_blob, struct ior_why *why);
void chunk_close(struct chunk_reader *r); /* NULL is fine */

/* src/store/fetch.h - reading what checkpoints wrote: rows of streams, and their events from
 * chunk files or from the catalog (small streams). Chunk files stay open for a while
 * (FETCH_CHUNKS_MAX of them, the least recently used goes), and so do the catalog's readers.
 * Happy path: fetch_events() finds the chunk in the catalog, takes its reader out of the
 * cache (or opens it), reads a block, and puts it back.
 * Failure modes: a chunk that was removed meanwhile (retention) is NOTFOUND, and the caller
 * looks at low again; damage is CORRUPT with *why (file and offset).
 * Thread: any number of threads at a time; may block on the disk. */
#pragma once

#include "store/catalog.h"

enum { FETCH_CHUNKS_MAX = 256 };

struct fetch;
/* disk and kv are borrowed. NOMEM. */
IOR_MUST_CHECK enum ior_err fetch_new(struct disk *d, struct kv *kv, struct fetch **ret);
void fetch_free(struct fetch *f); /* nobody is inside; NULL is fine */

/* Up to max events (at least 1) from seqnum `from` on, in one blob that the caller gives back.
 * Fewer than max: as many as lie together (a chunk, a block). NOTFOUND: there is no event
 * `from` (behind the last saved, or gone). CORRUPT, IO, NOMEM with *why. */
IOR_MUST_CHECK enum ior_err fetch_events(struct fetch *f, uint32_t partition, uint64_t uid,
                                         uint64_t from, struct chunk_entry *out, size_t max,
                                         size_t *ret_count, struct ior_blob **ret_blob,
                                         struct ior_why *why);
/* The chunk was buried: whoever reads it now ends first, then it is closed. */
void fetch_forget(struct fetch *f, uint32_t partition, uint64_t uid, uint64_t first_seqnum);

/* A row, for loading a stream: its own memory, freed by fetch_row_free(). */
struct fetch_row {
    struct stream_row row;   /* name and policy lie behind it */
    struct ior_slice bucket; /* likewise */
    size_t key_count;
    struct key_row *keys; /* oldest (smallest last_id) first */
};
/* NOTFOUND: the catalog does not know it. A deleted one is found: its ids go on. */
IOR_MUST_CHECK enum ior_err fetch_stream(struct fetch *f, struct ior_slice bucket,
                                         struct ior_slice name, struct fetch_row **ret,
                                         struct ior_why *why);
IOR_MUST_CHECK enum ior_err fetch_stream_uid(struct fetch *f, uint32_t partition, uint64_t uid,
                                             struct fetch_row **ret, struct ior_why *why);
void fetch_row_free(struct fetch_row *r); /* NULL is fine */

/* A reader of the catalog with a snapshot begun: for walks. Give it back soon. */
IOR_MUST_CHECK enum ior_err fetch_reader_take(struct fetch *f, struct kv_reader **ret);
void fetch_reader_give(struct fetch *f, struct kv_reader *r);

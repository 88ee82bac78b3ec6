/* src/store/fetch.h - reading what checkpoints wrote: rows of streams, and their events from
 * chunk files or from the catalog (small streams). Chunk files stay open for a while
 * (FETCH_CHUNKS_MAX of them, the least recently used goes), and so do the catalog's readers.
 * Happy path: fetch_events() finds the chunk in the catalog, takes its reader out of the
 * cache (or opens it), reads a block, and puts it back. A chunk that two threads want at a
 * time is open twice.
 * Failure modes: a chunk that was removed meanwhile (retention) is NOTFOUND, and the caller
 * looks at low again; damage is CORRUPT with *why: file and offset, or for what the catalog
 * itself holds the stream's uid and partition. After any error a chunk is closed, so that the
 * next read looks at the file anew.
 * Thread: any number of threads at a time; may block on the disk. More than FETCH_CHUNKS_MAX
 * at a time: one open chunk for each. */
#pragma once

#include "store/catalog.h"

enum {
    FETCH_CHUNKS_MAX = 256,      /* open at a time, those in use included */
    FETCH_READERS_IDLE_MAX = 64, /* of the catalog, kept for the next one */
    FETCH_BUCKETS_MAX = 65536,   /* names kept by id; of more, some are looked for each time */
    FETCH_LOST_MAX = 4096,       /* rows looked at for one whose name is lost */
};

struct fetch;
/* disk and kv are borrowed. NOMEM. */
IOR_MUST_CHECK enum ior_err fetch_new(struct disk *d, struct kv *kv, struct fetch **ret);
void fetch_free(struct fetch *f); /* nobody is inside, every reader was given back; NULL is fine */

/* Up to max events (at least 1) from seqnum `from` on, in one blob that the caller gives back;
 * those below the stream's low too, as long as they lie there. Fewer than max: as many as lie
 * together (a chunk, a block), or stand in front of damage. NOTFOUND: there is no event `from`
 * (behind the last saved, or gone). Of the items `low` and
 * offset_bytes mean nothing (small.h keeps neither). BUSY: too many readers of the catalog (256).
 * CORRUPT, VERSION, IO, NOMEM, and what opening a file may say, with *why. */
IOR_MUST_CHECK enum ior_err fetch_events(struct fetch *f, uint32_t partition, uint64_t uid,
                                         uint64_t from, struct chunk_entry *out, size_t max,
                                         size_t *ret_count, struct ior_blob **ret_blob,
                                         struct ior_why *why);
/* Payload bytes of the ids from..to. What is known of whole chunks is not read again. NOTFOUND:
 * not all of them are there. CORRUPT, IO, NOMEM with *why. */
IOR_MUST_CHECK enum ior_err fetch_bytes(struct fetch *f, uint32_t partition, uint64_t uid,
                                        uint64_t from, uint64_t to, uint64_t *ret_bytes,
                                        struct ior_why *why);
/* The chunk was buried: whoever reads it now ends first, then it is closed. Call it after the
 * commit that buried it: a read that began later cannot open it again. (Of a chunk that only
 * became longer nothing need be said.) */
void fetch_forget(struct fetch *f, uint32_t partition, uint64_t uid, uint64_t first_seqnum);

/* A row, for loading a stream: its own memory, freed by fetch_row_free(). */
struct fetch_row {
    struct stream_row row;   /* name and policy lie behind it */
    struct ior_slice bucket; /* likewise */
    size_t key_count;        /* at most DEDUPE_KEYS_MAX: of more, the youngest */
    struct key_row *keys;    /* oldest (smallest last_id) first */
};
/* NOTFOUND: the catalog does not know it. A deleted one is found: its ids go on. CORRUPT also: it
 * has a row in this partition (looked for by catalog_uid(), among FETCH_LOST_MAX at most), and no
 * name leads there. Other errors as for fetch_events(). */
IOR_MUST_CHECK enum ior_err fetch_stream(struct fetch *f, uint32_t partition,
                                         struct ior_slice bucket, struct ior_slice name,
                                         struct fetch_row **ret, struct ior_why *why);
/* The first one of a bucket that was not asked for before reads the names of all buckets. */
IOR_MUST_CHECK enum ior_err fetch_stream_uid(struct fetch *f, uint32_t partition, uint64_t uid,
                                             struct fetch_row **ret, struct ior_why *why);
void fetch_row_free(struct fetch_row *r); /* NULL is fine */

/* A reader of the catalog with a snapshot begun: for walks. Give it back soon. NOMEM, IO; BUSY:
 * the catalog has 256 of them. */
IOR_MUST_CHECK enum ior_err fetch_reader_take(struct fetch *f, struct kv_reader **ret);
void fetch_reader_give(struct fetch *f, struct kv_reader *r);

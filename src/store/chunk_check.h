/* src/store/chunk_check.h - is a chunk file what the catalog says? Head, every entry with all its
 * checksums, footer. Reads only; one blob for a file, no memory for an event.
 * Thread: one file by one thread at a time. */
#pragma once

#include "base/limits.h"
#include "store/chunk.h"

struct chunk_check {
    struct chunk_id id;       /* wanted; names too when they are not empty */
    struct chunk_state state; /* what the catalog says */
    uint64_t low;             /* sum payloads from this event on */
};

struct chunk_checked {
    uint64_t bytes_from_low;
    bool footer_lost;      /* sealed, and there is none: reading is slower, no damage */
    uint64_t file_bytes;   /* longer than the entries and not sealed: of an unfinished checkpoint */
    uint64_t offset_bytes; /* where the error is */
    const char *what;      /* what it is, without file and offset; in `why` or a constant */
    struct ior_why why;
};
/* CORRUPT and VERSION with *ret offset and what; NOTFOUND: no such file; IO, NOMEM. */
IOR_MUST_CHECK enum ior_err chunk_check(struct disk *d, const struct chunk_check *c,
                                        struct chunk_checked *ret);

/* Without a catalog: what a chunk file holds. As chunk_open() without a state, but damage in the
 * middle is stepped over: *ret_damaged, and the state goes up to the last sound entry, so that no
 * id is given again. low: what the last event says. */
struct chunk_found {
    struct chunk_id id; /* names are in `names` */
    struct chunk_state state;
    uint64_t low;
    bool damaged;
    uint8_t names[BUCKET_BYTES_MAX + STREAM_BYTES_MAX];
};
IOR_MUST_CHECK enum ior_err chunk_find(struct disk *d, uint32_t partition, uint64_t uid,
                                       uint64_t first_seqnum, struct chunk_found *ret,
                                       struct ior_why *why);

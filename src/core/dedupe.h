/* src/core/dedupe.h - the idempotency keys of one stream (API.md section 3): what an
 * append with a key was answered, for a while. Part of the replicated state: made by
 * committed records only (and by what is reserved), judged by the times of records,
 * so that every replica and every replay remembers the same.
 * Bounds: the window (streams.dedupe.window), DEDUPE_KEYS_MAX keys of a stream, and
 * memory.dedupe for the node; what goes before its window ends goes oldest first, and
 * dedupe_shortened_ms() says so.
 * Thread: the vnode's strand. */
#pragma once

#include "base/err.h"
#include "base/map.h"
#include "base/slice.h"

struct dedupe_entry {
    struct dedupe_entry *older, *younger;
    uint64_t hash;
    uint64_t body_hash; /* of the events: the same key with other events is refused */
    uint64_t first_id;
    uint64_t last_id;
    uint64_t time_ms; /* of the record */
    uint8_t key_bytes;
    uint8_t key[];
};

/* What all streams of a node share. */
struct dedupe_limits {
    uint64_t window_ms;
    uint64_t bytes_max;
    _Atomic uint64_t bytes; /* taken */
};

struct dedupe {
    struct ior_map by_key;
    struct dedupe_entry *oldest, *youngest;
    uint64_t salt;   /* of the hashes: random */
    uint64_t cut_ms; /* time of the youngest that went before its window ended; 0: none */
};

void dedupe_init(struct dedupe *d, uint64_t salt);
void dedupe_done(struct dedupe *d, struct dedupe_limits *l);
static inline bool dedupe_is_empty(const struct dedupe *d)
{
    return d->oldest == NULL;
}
/* Forget what is older than the window at this time (of the record that comes). */
void dedupe_expire(struct dedupe *d, struct dedupe_limits *l, uint64_t now_ms);
/* NULL: not known (any more). */
const struct dedupe_entry *dedupe_find(const struct dedupe *d, struct ior_slice key);
/* A key that is not there. The oldest go when there are too many; DEDUPEFULL: memory.dedupe is
 * full of others' keys. NOMEM. Then nothing has changed. */
IOR_MUST_CHECK enum ior_err dedupe_add(struct dedupe *d, struct dedupe_limits *l,
                                       struct ior_slice key, const struct dedupe_entry *what);
/* The key may be given again. */
void dedupe_forget(struct dedupe *d, struct dedupe_limits *l, struct ior_slice key);
/* Reservations above `high` came to nothing. */
void dedupe_drop_above(struct dedupe *d, struct dedupe_limits *l, uint64_t high);
/* 0: the whole window is remembered; else how far back it reaches, at least 1. */
uint64_t dedupe_shortened_ms(const struct dedupe *d, const struct dedupe_limits *l,
                             uint64_t now_ms);

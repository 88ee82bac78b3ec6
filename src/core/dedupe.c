/* src/core/dedupe.c - see dedupe.h. A map by key and a list by age; ages follow ids,
 * for the times of a stream never go back.
 * Failure modes: no memory, or all of memory.dedupe in others' hands: the append is
 * refused before anything was proposed. */
#include "core/dedupe.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/limits.h"

static uint64_t entry_bytes(size_t key_bytes)
{
    /* The entry, its place in the map at the usual load, what malloc() adds. */
    return sizeof(struct dedupe_entry) + key_bytes + 2 * sizeof(struct ior_map_slot) + 16;
}

/* With a salt that nobody knows: so nobody can choose keys that collide. */
static uint64_t hash_of(const struct dedupe *d, struct ior_slice key)
{
    uint8_t salted[8 + IDEMPOTENCY_KEY_BYTES_MAX];
    IOR_ASSERT(key.size_bytes > 0 && key.size_bytes <= IDEMPOTENCY_KEY_BYTES_MAX);
    ior_put_u64(salted, d->salt);
    memcpy(salted + 8, key.data, key.size_bytes);
    return ior_hash(ior_slice(salted, 8 + key.size_bytes));
}

static bool same_key(const void *object, const void *key)
{
    const struct dedupe_entry *e = object;
    return ior_slice_eq(ior_slice(e->key, e->key_bytes), *(const struct ior_slice *)key);
}

void dedupe_init(struct dedupe *d, uint64_t salt)
{
    *d = (struct dedupe){.salt = salt};
    ior_map_init(&d->by_key);
}

static void drop(struct dedupe *d, struct dedupe_limits *l, struct dedupe_entry *e)
{
    ior_map_remove(&d->by_key, e->hash, e);
    *(e->older != NULL ? &e->older->younger : &d->oldest) = e->younger;
    *(e->younger != NULL ? &e->younger->older : &d->youngest) = e->older;
    atomic_fetch_sub(&l->bytes, entry_bytes(e->key_bytes));
    free(e);
}

static void drop_early(struct dedupe *d, struct dedupe_limits *l)
{
    if (d->oldest->time_ms > d->cut_ms) d->cut_ms = d->oldest->time_ms;
    drop(d, l, d->oldest);
}

void dedupe_done(struct dedupe *d, struct dedupe_limits *l)
{
    while (d->oldest != NULL) drop(d, l, d->oldest);
    ior_map_done(&d->by_key);
}

static bool outlived(const struct dedupe_limits *l, uint64_t time_ms, uint64_t now_ms)
{
    return now_ms > time_ms && now_ms - time_ms > l->window_ms;
}

void dedupe_expire(struct dedupe *d, struct dedupe_limits *l, uint64_t now_ms)
{
    while (d->oldest != NULL && outlived(l, d->oldest->time_ms, now_ms)) drop(d, l, d->oldest);
}

const struct dedupe_entry *dedupe_find(const struct dedupe *d, struct ior_slice key)
{
    return ior_map_find(&d->by_key, hash_of(d, key), same_key, &key);
}

enum ior_err dedupe_add(struct dedupe *d, struct dedupe_limits *l, struct ior_slice key,
                        const struct dedupe_entry *what)
{
    uint64_t bytes = entry_bytes(key.size_bytes);
    IOR_ASSERT(d->youngest == NULL || d->youngest->last_id < what->first_id);
    if (d->oldest == NULL && atomic_load(&l->bytes) + bytes > l->bytes_max) return IOR_E_DEDUPEFULL;
    struct dedupe_entry *e = malloc(sizeof *e + key.size_bytes);
    if (e == NULL) return IOR_E_NOMEM;
    *e = *what;
    e->hash = hash_of(d, key);
    e->key_bytes = (uint8_t)key.size_bytes;
    memcpy(e->key, key.data, key.size_bytes);
    if (ior_map_add(&d->by_key, e->hash, e) != IOR_OK) {
        free(e);
        return IOR_E_NOMEM;
    }
    while (d->oldest != NULL &&
           (d->by_key.count > DEDUPE_KEYS_MAX || atomic_load(&l->bytes) + bytes > l->bytes_max))
        drop_early(d, l);
    e->older = d->youngest;
    e->younger = NULL;
    *(d->youngest != NULL ? &d->youngest->younger : &d->oldest) = e;
    d->youngest = e;
    atomic_fetch_add(&l->bytes, bytes);
    return IOR_OK;
}

void dedupe_forget(struct dedupe *d, struct dedupe_limits *l, struct ior_slice key)
{
    struct dedupe_entry *e = ior_map_find(&d->by_key, hash_of(d, key), same_key, &key);
    if (e != NULL) drop(d, l, e);
}

void dedupe_drop_above(struct dedupe *d, struct dedupe_limits *l, uint64_t high)
{
    while (d->youngest != NULL && d->youngest->last_id > high) drop(d, l, d->youngest);
}

uint64_t dedupe_shortened_ms(const struct dedupe *d, const struct dedupe_limits *l, uint64_t now_ms)
{
    if (d->cut_ms == 0 || outlived(l, d->cut_ms, now_ms)) return 0;
    return now_ms > d->cut_ms ? now_ms - d->cut_ms : 1;
}

/* src/core/stream.c - see stream.h. Sorted arrays serve the listings: inserting a
 * name moves pointers (8 bytes a stream of one bucket and vnode), which stays
 * cheap up to millions of streams a node because they spread over the vnodes. */
#include "core/stream.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/limits.h"
#include "core/quota.h"
#include "core/stream_keys.h"

struct name_key {
    struct ior_slice bucket;
    struct ior_slice name;
};

static bool same_name(const void *object, const void *key)
{
    const struct stream *s = object;
    const struct name_key *k = key;
    return ior_slice_eq(stream_name(s), k->name) && ior_slice_eq(bucket_name(s->bucket), k->bucket);
}

static bool same_uid(const void *object, const void *key)
{
    return ((const struct stream *)object)->uid == *(const uint64_t *)key;
}

void stream_table_init(struct stream_table *t, struct dedupe_limits *dedupe,
                       struct stream_memory *memory)
{
    *t = (struct stream_table){.dedupe = dedupe, .memory = memory};
    ior_ring_init(&t->dirty);
    ior_ring_init(&t->taking);
    ior_ring_init(&t->used);
    ior_ring_init(&t->history);
}

static void stream_free(struct stream_table *t, struct stream *s)
{
    IOR_ASSERT(!s->taken && s->pins == 0);
    IOR_ASSERT(s->heading == NULL);
    stream_keys_free(t, s);
    stream_set_head(t, s, NULL);
    stream_drop_events(t, s);
    ior_ring_remove(&s->dirty);
    ior_ring_remove(&s->used);
    if (s->committed) {
        atomic_fetch_sub(&t->memory->history_bytes, stream_row_cost(s));
        atomic_fetch_sub(&t->memory->streams, 1);
    }
    free(s);
}

void stream_table_done(struct stream_table *t)
{
    size_t pos = 0;
    struct stream *s;
    while ((s = ior_map_next(&t->by_name, &pos)) != NULL) stream_free(t, s);
    for (size_t i = 0; i < t->bucket_count; i++) {
        quota_unref(t->buckets[i]->quota);
        free(t->buckets[i]->streams);
        free(t->buckets[i]);
    }
    free(t->buckets);
    ior_map_done(&t->by_name);
    ior_map_done(&t->by_uid);
    *t = (struct stream_table){0};
}

struct stream *stream_find(const struct stream_table *t, struct ior_slice bucket,
                           struct ior_slice name, uint64_t hash)
{
    struct name_key k = {bucket, name};
    return ior_map_find(&t->by_name, hash, same_name, &k);
}

struct stream *stream_find_uid(const struct stream_table *t, uint64_t uid)
{
    return ior_map_find(&t->by_uid, uid, same_uid, &uid);
}

size_t buckets_seek(const struct stream_table *t, struct ior_slice after)
{
    size_t low = 0;
    size_t high = t->bucket_count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (ior_slice_cmp(bucket_name(t->buckets[mid]), after) <= 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

size_t bucket_seek(const struct bucket *b, struct ior_slice after)
{
    size_t low = 0;
    size_t high = b->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (ior_slice_cmp(stream_name(b->streams[mid]), after) <= 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

struct bucket *bucket_find(const struct stream_table *t, struct ior_slice name)
{
    size_t after = buckets_seek(t, name);
    if (after == 0) return NULL;
    struct bucket *b = t->buckets[after - 1];
    return ior_slice_eq(bucket_name(b), name) ? b : NULL;
}

static enum ior_err grow_array(void *array_at, size_t *room, size_t count, size_t item_size)
{
    if (count < *room) return IOR_OK;
    void **array = array_at;
    size_t more = *room == 0 ? 4 : *room * 2;
    void *grown = realloc(*array, more * item_size);
    if (grown == NULL) return IOR_E_NOMEM;
    *array = grown;
    *room = more;
    return IOR_OK;
}

static enum ior_err bucket_get(struct stream_table *t, struct ior_slice name, struct bucket **ret)
{
    *ret = bucket_find(t, name);
    if (*ret != NULL) return IOR_OK;
    enum ior_err err = grow_array(&t->buckets, &t->bucket_room, t->bucket_count, sizeof(void *));
    if (err != IOR_OK) return err;
    struct bucket *b = calloc(1, sizeof *b + name.size_bytes);
    if (b == NULL) return IOR_E_NOMEM;
    IOR_ASSERT(name.size_bytes > 0 && name.size_bytes <= BUCKET_BYTES_MAX);
    b->name_bytes = (uint8_t)name.size_bytes;
    memcpy(b->name, name.data, name.size_bytes);
    size_t at = buckets_seek(t, name);
    memmove(t->buckets + at + 1, t->buckets + at, (t->bucket_count - at) * sizeof(void *));
    t->buckets[at] = b;
    t->bucket_count++;
    *ret = b;
    return IOR_OK;
}

/* A bucket was made for a stream that came to nothing: nobody else would remove it. */
static void drop_if_unused(struct stream_table *t, struct bucket *b)
{
    if (b->uses > 0) return;
    size_t after = buckets_seek(t, bucket_name(b));
    IOR_ASSERT(after > 0 && t->buckets[after - 1] == b);
    memmove(t->buckets + after - 1, t->buckets + after, (t->bucket_count - after) * sizeof(void *));
    t->bucket_count--;
    quota_unref(b->quota);
    free(b->streams);
    free(b);
}

enum ior_err stream_add(struct stream_table *t, struct ior_slice bucket, struct ior_slice name,
                        uint64_t hash, uint64_t uid, struct stream **ret)
{
    IOR_ASSERT(name.size_bytes > 0 && name.size_bytes <= STREAM_BYTES_MAX);
    struct bucket *b = NULL;
    enum ior_err err = bucket_get(t, bucket, &b);
    if (err != IOR_OK) return err;
    err = grow_array(&b->streams, &b->room, b->uses, sizeof(void *));
    struct stream *s = err == IOR_OK ? calloc(1, sizeof *s + name.size_bytes) : NULL;
    if (s == NULL) {
        drop_if_unused(t, b);
        return IOR_E_NOMEM;
    }
    s->bucket = b;
    s->hash = hash;
    s->uid = uid;
    s->low = s->base = s->first = s->reserved_low = 1;
    s->name_bytes = (uint16_t)name.size_bytes;
    memcpy(s->name, name.data, name.size_bytes);
    err = ior_map_add(&t->by_name, hash, s);
    if (err == IOR_OK) {
        err = ior_map_add(&t->by_uid, uid, s);
        if (err != IOR_OK) ior_map_remove(&t->by_name, hash, s);
    }
    if (err != IOR_OK) {
        free(s);
        drop_if_unused(t, b);
        return err;
    }
    b->uses++;
    *ret = s;
    return IOR_OK;
}

void stream_commit(struct stream_table *t, struct stream *s)
{
    struct bucket *b = s->bucket;
    IOR_ASSERT(!s->committed);
    IOR_ASSERT(b->count < b->uses && b->count < b->room);
    size_t at = bucket_seek(b, stream_name(s));
    memmove(b->streams + at + 1, b->streams + at, (b->count - at) * sizeof(void *));
    b->streams[at] = s;
    b->count++;
    s->committed = true;
    b->live += s->deleted ? 0 : 1;
    t->count++;
    atomic_fetch_add(&t->memory->streams, 1);
    ior_ring_add_last(&t->used, &s->used);
    atomic_fetch_add(&t->memory->history_bytes, stream_row_cost(s));
}

void stream_set_deleted(struct stream *s, bool deleted)
{
    if (s->deleted == deleted) return;
    s->deleted = deleted;
    if (s->committed) s->bucket->live = deleted ? s->bucket->live - 1 : s->bucket->live + 1;
}

static void forget(struct stream_table *t, struct stream *s)
{
    struct bucket *b = s->bucket;
    ior_map_remove(&t->by_name, s->hash, s);
    ior_map_remove(&t->by_uid, s->uid, s);
    stream_free(t, s);
    b->uses--;
    drop_if_unused(t, b);
}

void stream_leave(struct stream_table *t, struct stream *s)
{
    IOR_ASSERT(s->committed && !s->taken && ior_ring_empty(&s->dirty) && s->keys == NULL);
    IOR_ASSERT(s->reserved == s->high && s->saved == s->high);
    struct bucket *b = s->bucket;
    size_t after = bucket_seek(b, stream_name(s));
    IOR_ASSERT(after > 0 && b->streams[after - 1] == s);
    memmove(b->streams + after - 1, b->streams + after, (b->count - after) * sizeof(void *));
    b->count--;
    b->live -= s->deleted ? 0 : 1;
    t->count--;
    forget(t, s);
}

void stream_remove_uncommitted(struct stream_table *t, struct stream *s)
{
    IOR_ASSERT(!s->committed && s->high == 0);
    forget(t, s);
}

/* One uncommitted stream, or NULL; on the way every reservation is dropped. */
static struct stream *drop_and_find_uncommitted(struct stream_table *t)
{
    struct stream *found = NULL;
    struct stream *s;
    size_t pos = 0;
    while ((s = ior_map_next(&t->by_name, &pos)) != NULL) {
        s->reserved = s->high;
        s->reserved_time_ms = s->time_ms;
        s->reserved_low = s->low;
        s->reserved_bytes = s->bytes;
        s->reserved_deleted = s->deleted;
        stream_keys_drop_above(t, s, s->high);
        if (!s->committed) found = s;
    }
    return found;
}

void stream_table_drop_reserved(struct stream_table *t)
{
    struct stream *s;
    /* Removing moves slots: look again. */
    while ((s = drop_and_find_uncommitted(t)) != NULL) stream_remove_uncommitted(t, s);
}

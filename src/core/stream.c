/* src/core/stream.c - see stream.h. Sorted arrays serve the listings: inserting a
 * name moves pointers (8 bytes a stream of one bucket and vnode), which stays
 * cheap up to millions of streams a node because they spread over the vnodes. */
#include "core/stream.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/limits.h"
#include "core/stream_keys.h"

enum { TRIM_GAP_MIN = 64 };

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

void stream_table_init(struct stream_table *t, struct dedupe_limits *dedupe)
{
    *t = (struct stream_table){.dedupe = dedupe};
}

static void stream_free(struct stream_table *t, struct stream *s)
{
    stream_keys_free(t, s);
    for (uint64_t id = s->low; id <= s->high; id++) ior_blob_unref(s->entries[id - s->base].blob);
    free(s->entries);
    free(s);
}

void stream_table_done(struct stream_table *t)
{
    size_t pos = 0;
    struct stream *s;
    while ((s = ior_map_next(&t->by_name, &pos)) != NULL) stream_free(t, s);
    for (size_t i = 0; i < t->bucket_count; i++) {
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
    s->low = s->base = s->reserved_low = 1;
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

/* stream_add made the room, for every stream of the bucket. */
static void list_stream(struct stream *s)
{
    struct bucket *b = s->bucket;
    IOR_ASSERT(b->count < b->uses && b->count < b->room);
    size_t at = bucket_seek(b, stream_name(s));
    memmove(b->streams + at + 1, b->streams + at, (b->count - at) * sizeof(void *));
    b->streams[at] = s;
    b->count++;
}

void stream_commit(struct stream_table *t, struct stream *s)
{
    (void)t;
    IOR_ASSERT(!s->committed);
    list_stream(s);
    s->committed = true;
}

void stream_unlist(struct stream *s)
{
    IOR_ASSERT(s->committed && !s->deleted);
    struct bucket *b = s->bucket;
    size_t after = bucket_seek(b, stream_name(s));
    IOR_ASSERT(after > 0 && b->streams[after - 1] == s);
    memmove(b->streams + after - 1, b->streams + after, (b->count - after) * sizeof(void *));
    b->count--;
    s->deleted = true;
}

void stream_relist(struct stream *s)
{
    IOR_ASSERT(s->committed && s->deleted);
    list_stream(s);
    s->deleted = false;
}

void stream_remove_uncommitted(struct stream_table *t, struct stream *s)
{
    IOR_ASSERT(!s->committed && s->high == 0);
    ior_map_remove(&t->by_name, s->hash, s);
    ior_map_remove(&t->by_uid, s->uid, s);
    struct bucket *b = s->bucket;
    stream_free(t, s);
    b->uses--;
    drop_if_unused(t, b);
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

enum ior_err stream_reserve_room(struct stream *s, size_t more)
{
    size_t need = (size_t)(s->reserved + 1 - s->base) + more;
    if (need <= s->entries_room) return IOR_OK;
    size_t room = s->entries_room == 0 ? 1 : s->entries_room;
    while (room < need) room *= 2;
    struct tail_entry *entries = realloc(s->entries, room * sizeof *entries);
    if (entries == NULL) return IOR_E_NOMEM;
    s->entries = entries;
    s->entries_room = room;
    return IOR_OK;
}

void stream_push(struct stream *s, struct ior_blob *blob, const struct item *it, uint64_t time_ms)
{
    IOR_ASSERT(it->seqnum == s->high + 1);
    size_t at = (size_t)(s->high + 1 - s->base);
    IOR_ASSERT(at < s->entries_room);
    IOR_ASSERT(it->offset_bytes <= UINT32_MAX);
    s->entries[at] = (struct tail_entry){
        .blob = ior_blob_ref(blob),
        .offset_bytes = (uint32_t)it->offset_bytes,
        .payload_bytes = (uint32_t)it->payload.size_bytes,
        .time_ms = time_ms,
    };
    s->high = it->seqnum;
    if (s->reserved < s->high) s->reserved = s->high;
    s->time_ms = time_ms;
    if (s->reserved_time_ms < time_ms) s->reserved_time_ms = time_ms;
    s->bytes += it->payload.size_bytes;
}

const struct tail_entry *stream_entry(const struct stream *s, uint64_t id)
{
    IOR_ASSERT(id >= s->low && id <= s->high);
    return &s->entries[id - s->base];
}

/* Move what is kept to the front when most of the array is gone. */
static void close_gap(struct stream *s)
{
    uint64_t gone = s->low - s->base;
    uint64_t kept = stream_count(s);
    if (gone < TRIM_GAP_MIN || gone < kept) return;
    memmove(s->entries, s->entries + gone, (size_t)kept * sizeof *s->entries);
    s->base = s->low;
    size_t room = (size_t)(s->reserved + 1 - s->base);
    if (room < TRIM_GAP_MIN) room = TRIM_GAP_MIN;
    if (room > s->entries_room / 2) return;
    struct tail_entry *entries = realloc(s->entries, room * sizeof *entries);
    if (entries == NULL) return; /* it stays larger than it must be */
    s->entries = entries;
    s->entries_room = room;
}

uint64_t stream_trim(struct stream *s, uint64_t low)
{
    IOR_ASSERT(low >= s->low && low <= s->high + 1);
    uint64_t bytes = 0;
    for (; s->low < low; s->low++) {
        struct tail_entry *e = &s->entries[s->low - s->base];
        bool last_of_record = s->low == s->high || e[1].blob != e->blob;
        bytes += sizeof *e + (last_of_record ? ior_blob_cost(e->blob) : 0);
        s->bytes -= e->payload_bytes;
        ior_blob_unref(e->blob);
    }
    if (s->reserved_low < low) s->reserved_low = low;
    close_gap(s);
    return bytes;
}

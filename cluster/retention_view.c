/* cluster/retention_view.c - see retention_view.h.
 * The policies lie in SHARDS sorted arrays, by the top bits of the hash of their names;
 * arrays and policies are reference counted and shared between views. A draft shares all
 * arrays at first; one that it has to change it copies, unless nobody else has it.
 * Failure modes: no memory leaves a draft as it was. Names that collide only make one array
 * long: whoever sets policies has the permission to. Thread: see the header. */
#include "cluster/retention_view.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"

enum { VIEW_MAGIC = 0x72657476, SHARD_BITS = 9, SHARDS = 1 << SHARD_BITS };

struct entry {
    _Atomic uint32_t refs;
    uint8_t bucket_bytes;
    uint16_t stream_bytes;
    struct retention r;
    uint8_t names[]; /* bucket, then stream */
};

struct slot {
    uint64_t hash;
    struct entry *entry;
};

struct shard {
    _Atomic uint32_t refs;
    uint32_t room;
    uint32_t count;
    uint32_t totals;     /* entries with a max_total_bytes */
    struct slot slots[]; /* by hash */
};

struct retention_view {
    uint32_t magic;
    _Atomic uint32_t refs;
    uint64_t number;
    size_t count;
    struct shard *shards[SHARDS]; /* NULL: empty */
};

static struct ior_slice bucket_of(const struct entry *e)
{
    return ior_slice(e->names, e->bucket_bytes);
}

static struct ior_slice stream_of(const struct entry *e)
{
    return ior_slice(e->names + e->bucket_bytes, e->stream_bytes);
}

static bool has_total(const struct entry *e)
{
    return e->r.max_total_bytes != RETENTION_UNSET && e->r.max_total_bytes != RETENTION_NONE;
}

static void entry_unref(struct entry *e)
{
    if (atomic_fetch_sub(&e->refs, 1) == 1) free(e);
}

static void shard_unref(struct shard *s)
{
    if (s == NULL || atomic_fetch_sub(&s->refs, 1) != 1) return;
    for (uint32_t i = 0; i < s->count; i++) entry_unref(s->slots[i].entry);
    free(s);
}

enum ior_err retention_view_new(struct retention_view *from, struct retention_view **ret)
{
    static _Atomic uint64_t last_number;
    struct retention_view *v = calloc(1, sizeof *v);
    if (v == NULL) return IOR_E_NOMEM;
    v->magic = VIEW_MAGIC;
    atomic_init(&v->refs, 1);
    v->number = atomic_fetch_add(&last_number, 1) + 1;
    if (from != NULL) {
        IOR_CHECK_MAGIC(from, VIEW_MAGIC);
        v->count = from->count;
        memcpy(v->shards, from->shards, sizeof v->shards);
        for (size_t i = 0; i < SHARDS; i++) {
            if (v->shards[i] != NULL) atomic_fetch_add(&v->shards[i]->refs, 1);
        }
    }
    *ret = v;
    return IOR_OK;
}

struct retention_view *retention_view_ref(const struct retention_view *shared)
{
    struct retention_view *v = (struct retention_view *)(uintptr_t)shared; /* only refs changes */
    IOR_CHECK_MAGIC(v, VIEW_MAGIC);
    atomic_fetch_add(&v->refs, 1);
    return v;
}

void retention_view_unref(struct retention_view *v)
{
    if (v == NULL) return;
    IOR_CHECK_MAGIC(v, VIEW_MAGIC);
    if (atomic_fetch_sub(&v->refs, 1) != 1) return;
    for (size_t i = 0; i < SHARDS; i++) shard_unref(v->shards[i]);
    v->magic = 0;
    free(v);
}

/* ---- looking up ---- */

static size_t shard_of(uint64_t hash)
{
    return (size_t)(hash >> (64 - SHARD_BITS));
}

/* The first slot whose hash is not less. */
static uint32_t lower_bound(const struct shard *s, uint64_t hash)
{
    uint32_t from = 0;
    uint32_t to = s->count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (s->slots[middle].hash < hash) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

/* True: it is at *ret_at; false: it would have to go there. */
static bool find(const struct shard *s, uint64_t hash, struct ior_slice bucket,
                 struct ior_slice stream, uint32_t *ret_at)
{
    *ret_at = 0;
    if (s == NULL) return false;
    uint32_t at = lower_bound(s, hash);
    *ret_at = at;
    for (; at < s->count && s->slots[at].hash == hash; at++) {
        const struct entry *e = s->slots[at].entry;
        if (!ior_slice_eq(bucket_of(e), bucket) || !ior_slice_eq(stream_of(e), stream)) continue;
        *ret_at = at;
        return true;
    }
    return false;
}

static const struct retention *look_up(const struct retention_view *v, struct ior_slice bucket,
                                       struct ior_slice stream)
{
    uint64_t hash = ior_hash_pair(bucket, stream);
    const struct shard *s = v->shards[shard_of(hash)];
    uint32_t at;
    return find(s, hash, bucket, stream, &at) ? &s->slots[at].entry->r : NULL;
}

bool retention_view_own(const struct retention_view *v, struct ior_slice bucket,
                        struct ior_slice stream, struct retention *ret)
{
    const struct retention *own = look_up(v, bucket, stream);
    if (own == NULL) return false;
    *ret = *own;
    return true;
}

bool retention_view_get(const struct retention_view *v, struct ior_slice bucket,
                        struct ior_slice stream, struct retention *ret)
{
    const struct retention *ours = NULL;
    const struct retention *own = NULL;
    if (v->count > 0) {
        ours = look_up(v, bucket, IOR_SLICE(""));
        if (stream.size_bytes > 0) own = look_up(v, bucket, stream);
    }
    *ret = retention_merge(ours, own);
    return ours != NULL || own != NULL;
}

size_t retention_view_count(const struct retention_view *v)
{
    return v->count;
}

uint64_t retention_view_number(const struct retention_view *v)
{
    return v->number;
}

bool retention_view_next_total(const struct retention_view *v, uint64_t *pos,
                               struct ior_slice *ret_bucket, uint64_t *ret_max_total_bytes)
{
    for (size_t shard = (size_t)(*pos >> 32); shard < SHARDS;
         shard++, *pos = (uint64_t)shard << 32) {
        const struct shard *s = v->shards[shard];
        if (s == NULL || s->totals == 0) continue;
        for (uint32_t i = (uint32_t)*pos; i < s->count; i++) {
            const struct entry *e = s->slots[i].entry;
            if (!has_total(e)) continue;
            *ret_bucket = bucket_of(e);
            *ret_max_total_bytes = e->r.max_total_bytes;
            *pos = (uint64_t)shard << 32 | (i + 1);
            return true;
        }
    }
    return false;
}

bool retention_view_next(const struct retention_view *v, uint64_t *pos,
                         struct ior_slice *ret_bucket, struct ior_slice *ret_stream,
                         struct retention *ret)
{
    size_t shard = (size_t)(*pos >> 32);
    uint32_t i = (uint32_t)*pos;
    for (; shard < SHARDS; shard++, i = 0) {
        const struct shard *s = v->shards[shard];
        if (s == NULL || i >= s->count) continue;
        const struct entry *e = s->slots[i].entry;
        *ret_bucket = bucket_of(e);
        *ret_stream = stream_of(e);
        *ret = e->r;
        *pos = (uint64_t)shard << 32 | (i + 1);
        return true;
    }
    *pos = (uint64_t)shard << 32;
    return false;
}

/* ---- changing a draft ---- */

/* A shard that only this draft has, with room for one entry more. NULL: no memory; then
 * nothing is changed. */
static struct shard *own_shard(struct retention_view *draft, size_t index)
{
    struct shard *old = draft->shards[index];
    bool shared = old != NULL && atomic_load(&old->refs) > 1;
    if (old != NULL && !shared && old->count < old->room) return old;
    uint32_t count = old == NULL ? 0 : old->count;
    uint32_t room = count + count / 4 + 1;
    struct shard *s = malloc(sizeof *s + room * sizeof s->slots[0]);
    if (s == NULL) return NULL;
    atomic_init(&s->refs, 1);
    s->room = room;
    s->count = count;
    s->totals = 0;
    if (old != NULL) {
        s->totals = old->totals;
        memcpy(s->slots, old->slots, count * sizeof s->slots[0]);
        for (uint32_t i = 0; i < count; i++) atomic_fetch_add(&s->slots[i].entry->refs, 1);
        shard_unref(old);
    }
    draft->shards[index] = s;
    return s;
}

static struct entry *entry_new(struct ior_slice bucket, struct ior_slice stream,
                               const struct retention *r)
{
    struct entry *e = malloc(sizeof *e + bucket.size_bytes + stream.size_bytes);
    if (e == NULL) return NULL;
    atomic_init(&e->refs, 1);
    e->bucket_bytes = (uint8_t)bucket.size_bytes;
    e->stream_bytes = (uint16_t)stream.size_bytes;
    e->r = *r;
    memcpy(e->names, bucket.data, bucket.size_bytes);
    if (stream.size_bytes > 0) memcpy(e->names + bucket.size_bytes, stream.data, stream.size_bytes);
    return e;
}

/* In its place, or (e NULL) the place is closed. */
static void replace(struct retention_view *draft, struct shard *s, uint32_t at, struct entry *e)
{
    struct slot *slot = &s->slots[at];
    s->totals -= has_total(slot->entry);
    entry_unref(slot->entry);
    if (e != NULL) {
        slot->entry = e;
        s->totals += has_total(e);
        return;
    }
    s->count--;
    memmove(slot, slot + 1, (s->count - at) * sizeof *slot);
    draft->count--;
}

static void insert(struct retention_view *draft, struct shard *s, uint32_t at, uint64_t hash,
                   struct entry *e)
{
    struct slot *slot = &s->slots[at];
    IOR_ASSERT(s->count < s->room);
    memmove(slot + 1, slot, (s->count - at) * sizeof *slot);
    *slot = (struct slot){hash, e};
    s->count++;
    s->totals += has_total(e);
    draft->count++;
}

enum ior_err retention_view_set(struct retention_view *draft, struct ior_slice bucket,
                                struct ior_slice stream, const struct retention *r)
{
    IOR_CHECK_MAGIC(draft, VIEW_MAGIC);
    IOR_ASSERT(atomic_load(&draft->refs) == 1); /* it was not given out */
    IOR_ASSERT(bucket.size_bytes > 0 && bucket.size_bytes <= BUCKET_BYTES_MAX);
    IOR_ASSERT(stream.size_bytes <= STREAM_BYTES_MAX);
    uint64_t hash = ior_hash_pair(bucket, stream);
    size_t index = shard_of(hash);
    uint32_t at = 0;
    bool there = find(draft->shards[index], hash, bucket, stream, &at);
    if (!there && r == NULL) return IOR_OK;
    struct entry *e = NULL;
    if (r != NULL) {
        e = entry_new(bucket, stream, r);
        if (e == NULL) return IOR_E_NOMEM;
    }
    struct shard *s = own_shard(draft, index);
    if (s == NULL) {
        free(e);
        return IOR_E_NOMEM;
    }
    if (there) {
        replace(draft, s, at, e);
    } else {
        insert(draft, s, at, hash, e);
    }
    return IOR_OK;
}

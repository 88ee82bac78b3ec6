/* src/core/stream.h - the streams of one vnode: names, numbers and the tail (the
 * committed events in memory). Owned by the vnode's strand. */
#pragma once

#include "base/blob.h"
#include "base/map.h"
#include "core/dedupe.h"
#include "store/record.h"

/* One committed event: where its item is. Its id is stream.base + position. */
struct tail_entry {
    struct ior_blob *blob; /* one reference */
    uint32_t offset_bytes; /* of the item head in the blob */
    uint32_t payload_bytes;
    uint64_t time_ms;
};

struct bucket;

struct stream {
    struct bucket *bucket;
    uint64_t hash; /* of the names */
    uint64_t uid;
    uint64_t low;      /* first id kept; high + 1: none */
    uint64_t base;     /* id of entries[0]; those below low are gone already */
    uint64_t high;     /* last id committed */
    uint64_t reserved; /* last id given to a proposal; >= high */
    uint64_t time_ms;  /* of the last committed event */
    uint64_t reserved_time_ms;
    uint64_t reserved_low;      /* what low will be when all that was proposed is applied */
    uint64_t bytes;             /* payload bytes kept */
    struct tail_entry *entries; /* high + 1 - base of them */
    size_t entries_room;
    struct dedupe *keys;       /* NULL: no idempotency key is remembered */
    struct stream *keyed_next; /* the ring of streams with keys */
    struct stream *keyed_prev;
    bool committed;        /* its CREATE is committed: it may be shown */
    bool deleted;          /* in no list; its ids go on with the next event */
    bool reserved_deleted; /* as reserved_low */
    uint16_t name_bytes;
    uint8_t name[];
};

struct bucket {
    struct stream **streams; /* sorted by name, committed ones only */
    size_t count;
    size_t room; /* for all of `uses`, so that a commit cannot fail */
    size_t uses; /* streams, uncommitted ones too */
    uint8_t name_bytes;
    uint8_t name[];
};

struct stream_table {
    struct ior_map by_name;
    struct ior_map by_uid;
    struct bucket **buckets; /* sorted by name; gone with their last stream */
    size_t bucket_count;
    size_t bucket_room;
    struct dedupe_limits *dedupe; /* the node's */
    struct stream *keyed;         /* any of the ring; NULL: no stream has keys */
};

void stream_table_init(struct stream_table *t, struct dedupe_limits *dedupe);
void stream_table_done(struct stream_table *t);
/* NULL: not there. Uncommitted ones are found too. */
struct stream *stream_find(const struct stream_table *t, struct ior_slice bucket,
                           struct ior_slice name, uint64_t hash);
struct stream *stream_find_uid(const struct stream_table *t, uint64_t uid);
/* A new, uncommitted stream; the names are valid and new. NOMEM. */
IOR_MUST_CHECK enum ior_err stream_add(struct stream_table *t, struct ior_slice bucket,
                                       struct ior_slice name, uint64_t hash, uint64_t uid,
                                       struct stream **ret);
/* Its CREATE is committed: into the sorted list. stream_add made the room. */
void stream_commit(struct stream_table *t, struct stream *s);
/* DELETE is committed: out of the list; and an event after it: into the list again. */
void stream_unlist(struct stream *s);
void stream_relist(struct stream *s);
/* low moves up to this (at most high + 1): the events below go. Returns the bytes of the
 * tail that this gives back. */
uint64_t stream_trim(struct stream *s, uint64_t low);
/* It was only just added and never proposed. */
void stream_remove_uncommitted(struct stream_table *t, struct stream *s);
/* Forget what was only reserved; uncommitted streams go. */
void stream_table_drop_reserved(struct stream_table *t);
/* Room for `more` further events, so that applying a commit cannot fail. NOMEM. */
IOR_MUST_CHECK enum ior_err stream_reserve_room(struct stream *s, size_t more);
/* The next event is committed. Takes its own reference on the blob. */
void stream_push(struct stream *s, struct ior_blob *blob, const struct item *it, uint64_t time_ms);
const struct tail_entry *stream_entry(const struct stream *s, uint64_t id);
struct bucket *bucket_find(const struct stream_table *t, struct ior_slice name);
/* Position of the first name > after. */
size_t bucket_seek(const struct bucket *b, struct ior_slice after);
size_t buckets_seek(const struct stream_table *t, struct ior_slice after);

static inline struct ior_slice stream_name(const struct stream *s)
{
    return ior_slice(s->name, s->name_bytes);
}
static inline struct ior_slice bucket_name(const struct bucket *b)
{
    return ior_slice(b->name, b->name_bytes);
}
/* The time of its next record: the clock's, but never going back. */
static inline uint64_t stream_next_time_ms(const struct stream *s, uint64_t wall_ms)
{
    return wall_ms > s->reserved_time_ms ? wall_ms : s->reserved_time_ms;
}
/* Events kept. */
static inline uint64_t stream_count(const struct stream *s)
{
    return s->high + 1 - s->low;
}

/* src/store/catalog.h - what the store knows of its streams beside their events: names,
 * rows, chunks, small streams, files to remove, and how far each group is
 * checkpointed. Typed keys and values over kv.h; docs/formats.rst shows every byte.
 * It is an index: chunk heads hold enough to make it anew (small streams excepted:
 * these are data).
 * Keys are big-endian so that they sort as numbers; values little-endian like
 * everything else, each kind with a version byte in front (another one: VERSION).
 * Thread: as kv.h. */
#pragma once

#include "base/buf.h"
#include "base/limits.h"
#include "store/chunk.h"
#include "store/kv.h"

#define CATALOG_META_CLEAN "clean" /* u8: 1 after a clean stop, as long as no node runs */

enum { CATALOG_FORMAT = 1, CATALOG_SMALL_BYTES_MAX = 256 << 10 };

/* No stream has a higher uid: so the one behind it is always a number. */
#define CATALOG_UID_MAX (UINT64_MAX - UINT32_MAX)

/* One stream. Kept when its data is deleted: ids go on. */
struct stream_row {
    uint32_t partition;
    uint64_t uid;
    uint32_t bucket_id;
    struct ior_slice name;
    bool deleted;            /* its name is in no list */
    uint64_t low;            /* first id kept */
    uint64_t high;           /* last id checkpointed */
    uint64_t bytes;          /* payload bytes kept */
    uint64_t time_ms;        /* of event high */
    uint64_t last_index;     /* of the group, of the last change */
    struct ior_slice policy; /* JSON of the stream's own policy; empty: none */
};

struct chunk_row {
    uint64_t first_seqnum;
    struct chunk_state state;
};

struct group_row {
    uint64_t term;
    uint64_t applied_index;
    uint64_t applied_term;
    struct ior_slice vote; /* name of a node; empty: none */
};

/* An idempotency key of a stream (core/dedupe.h). */
struct key_row {
    struct ior_slice key; /* 1..IDEMPOTENCY_KEY_BYTES_MAX */
    uint64_t body_hash;
    uint64_t first_id;
    uint64_t last_id;
    uint64_t time_ms;
};

struct bucket_row {
    uint32_t id;
    struct ior_slice name;
    struct ior_slice policy; /* as above */
};

/* ---- writing: into a kv_writer that the caller began and commits ---- */
/* A bucket by name; made when it is new. CORRUPT, and kv_put's. */
IOR_MUST_CHECK enum ior_err catalog_bucket_id(struct kv_writer *w, struct ior_slice name,
                                              uint32_t *ret_id);
/* The policy of a bucket that has its id. NOTFOUND: it has none; CORRUPT: it has another one. */
IOR_MUST_CHECK enum ior_err catalog_put_bucket(struct kv_writer *w, const struct bucket_row *row);
/* Row and name; a deleted row takes its name out of the lists, but keeps it. A name and a uid
 * belong together for good: CORRUPT when the catalog says something else. */
IOR_MUST_CHECK enum ior_err catalog_put_stream(struct kv_writer *w, const struct stream_row *row);
IOR_MUST_CHECK enum ior_err catalog_put_chunk(struct kv_writer *w, uint32_t partition, uint64_t uid,
                                              const struct chunk_row *row);
/* The chunk's row goes and its path comes into the graveyard, in this one transaction.
 * NOTFOUND: there is no such row. */
IOR_MUST_CHECK enum ior_err catalog_bury_chunk(struct kv_writer *w, uint32_t partition,
                                               uint64_t uid, uint64_t first_seqnum);
/* After the file is gone. NOTFOUND: it was not buried. */
IOR_MUST_CHECK enum ior_err catalog_unbury(struct kv_writer *w, const char *path);
/* Up to CATALOG_SMALL_BYTES_MAX. entries: events as small.h writes them. Empty: there are none any
 * more. */
IOR_MUST_CHECK enum ior_err catalog_put_small(struct kv_writer *w, uint32_t partition, uint64_t uid,
                                              struct ior_slice entries);
/* Under its last id. 0 < first_id <= last_id. */
IOR_MUST_CHECK enum ior_err catalog_put_key(struct kv_writer *w, uint32_t partition, uint64_t uid,
                                            const struct key_row *row);
/* NOTFOUND: it is not there. */
IOR_MUST_CHECK enum ior_err catalog_del_key(struct kv_writer *w, uint32_t partition, uint64_t uid,
                                            uint64_t last_id);
IOR_MUST_CHECK enum ior_err catalog_put_group(struct kv_writer *w, uint32_t group,
                                              const struct group_row *row);
/* A name of its own, not beginning with `next_`: these are the catalog's counters. */
IOR_MUST_CHECK enum ior_err catalog_put_meta(struct kv_writer *w, const char *name,
                                             struct ior_slice value);

/* The uid of a stream: its highest bits are those of the hash of bucket and name, so that the
 * row tells of a name that the catalog has lost. The others are random. */
#define CATALOG_UID_HASH_SHIFT 48
static inline uint64_t catalog_uid(uint64_t name_hash, uint64_t random)
{
    const uint64_t mask = (1ull << CATALOG_UID_HASH_SHIFT) - 1;
    return (name_hash & ~mask) | (random & mask);
}

/* ---- reading: in a snapshot. Slices stand until kv_read_end(). NOTFOUND, CORRUPT, VERSION ---- */
IOR_MUST_CHECK enum ior_err catalog_get_bucket(struct kv_reader *r, struct ior_slice name,
                                               struct bucket_row *ret);
IOR_MUST_CHECK enum ior_err catalog_find_stream(struct kv_reader *r, uint32_t bucket_id,
                                                struct ior_slice name, struct stream_row *ret);
IOR_MUST_CHECK enum ior_err catalog_get_stream(struct kv_reader *r, uint32_t partition,
                                               uint64_t uid, struct stream_row *ret);
/* The one with the highest uid of the partition. NOTFOUND: there is none. */
IOR_MUST_CHECK enum ior_err catalog_last_stream(struct kv_reader *r, uint32_t partition,
                                                struct stream_row *ret);
IOR_MUST_CHECK enum ior_err catalog_get_small(struct kv_reader *r, uint32_t partition, uint64_t uid,
                                              struct ior_slice *ret_entries);
IOR_MUST_CHECK enum ior_err catalog_get_group(struct kv_reader *r, uint32_t group,
                                              struct group_row *ret);
IOR_MUST_CHECK enum ior_err catalog_get_meta(struct kv_reader *r, const char *name,
                                             struct ior_slice *ret);
/* The chunk that has seqnum, or the first one behind it. NOTFOUND: there is none. */
IOR_MUST_CHECK enum ior_err catalog_seek_chunk(struct kv_reader *r, uint32_t partition,
                                               uint64_t uid, uint64_t seqnum,
                                               struct chunk_row *ret);
/* The one with the highest first seqnum. NOTFOUND: there is none. */
IOR_MUST_CHECK enum ior_err catalog_last_chunk(struct kv_reader *r, uint32_t partition,
                                               uint64_t uid, struct chunk_row *ret);
/* Has the open transaction another row of this stream than the snapshot, which is older? */
IOR_MUST_CHECK enum ior_err catalog_stream_is_new(struct kv_writer *w, struct kv_reader *r,
                                                  uint32_t partition, uint64_t uid, bool *ret);
/* What must agree, as far as it is known without reading all rows: the buckets are counted.
 * CORRUPT and other errors with *why. */
IOR_MUST_CHECK enum ior_err catalog_check(struct kv_reader *r, struct ior_why *why);
/* Walks: start with the name or path after which it goes on (empty: the first); false ends it.
 * A callback may read with the same reader. After an error nothing more is shown. */
typedef bool (*catalog_name_cb)(void *ctx, struct ior_slice name);
IOR_MUST_CHECK enum ior_err catalog_each_bucket(struct kv_reader *r, struct ior_slice after,
                                                catalog_name_cb cb, void *ctx);
/* Streams of a bucket that are not deleted, in the order of their names' bytes. */
typedef bool (*catalog_stream_cb)(void *ctx, const struct stream_row *row);
IOR_MUST_CHECK enum ior_err catalog_each_stream(struct kv_reader *r, uint32_t bucket_id,
                                                struct ior_slice after, catalog_stream_cb cb,
                                                void *ctx);
/* All rows of a partition, deleted ones too, in the order of uids, from uid `after` + 1 on. */
IOR_MUST_CHECK enum ior_err catalog_each_row(struct kv_reader *r, uint32_t partition,
                                             uint64_t after_uid, catalog_stream_cb cb, void *ctx);
IOR_MUST_CHECK enum ior_err catalog_each_buried(struct kv_reader *r, struct ior_slice after,
                                                catalog_name_cb cb, void *ctx);
/* Idempotency keys, by uid and last id; uid 0: those of the whole partition. */
typedef bool (*catalog_key_cb)(void *ctx, uint64_t uid, const struct key_row *row);
IOR_MUST_CHECK enum ior_err catalog_each_key(struct kv_reader *r, uint32_t partition, uint64_t uid,
                                             catalog_key_cb cb, void *ctx);

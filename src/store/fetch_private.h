/* src/store/fetch_private.h - what the files of fetch.h share: the cache of open chunks
 * (fetch_cache.c), the names of buckets by id (fetch_row.c), and the struct itself.
 * Thread: every function may be called by any; each part has a mutex of its own, and no
 * function holds one while it waits for the disk or for the other. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/assert.h"
#include "base/map.h"
#include "store/fetch.h"

/* ---- open chunks ---- */

enum { FETCH_HASH_ROOM = 512 }; /* a power of two */

struct fetch_chunk; /* one open file; belongs to who took it */

struct fetch_cache {
    struct disk *disk;
    pthread_mutex_t mutex; /* over everything below but `forgets` when it is read */
    struct fetch_chunk *heads[FETCH_HASH_ROOM];
    struct fetch_chunk *oldest, *youngest; /* of those that nobody uses */
    size_t count;                          /* all, those in use included */
    atomic_uint_fast64_t forgets;          /* calls of fetch_forget() so far */
};

void fetch_cache_init(struct fetch_cache *c, struct disk *d);
void fetch_cache_done(struct fetch_cache *c); /* all were given back */
/* The open file of a chunk, with at least the state of its row. `forgets` was read before the
 * snapshot that the row is from. chunk_open()'s errors. */
IOR_MUST_CHECK enum ior_err fetch_cache_take(struct fetch_cache *c, uint32_t partition,
                                             uint64_t uid, const struct chunk_row *row,
                                             uint64_t forgets, struct fetch_chunk **ret,
                                             struct ior_why *why);
struct chunk_reader *fetch_chunk_reader(struct fetch_chunk *f);
/* keep false: it is closed. */
void fetch_cache_give(struct fetch_cache *c, struct fetch_chunk *f, bool keep);
void fetch_cache_forget(struct fetch_cache *c, uint32_t partition, uint64_t uid,
                        uint64_t first_seqnum);

/* ---- names of buckets ---- */

struct fetch_names {
    pthread_mutex_t mutex;
    struct ior_map by_id; /* struct bucket_name; at most FETCH_BUCKETS_MAX */
};

void fetch_names_init(struct fetch_names *n);
void fetch_names_done(struct fetch_names *n);

/* ---- all of it ---- */

enum { FETCH_MAGIC = 0x46455443 };

struct fetch {
    uint32_t magic;
    struct kv *kv;
    pthread_mutex_t mutex; /* over idle, idle_count and out_count */
    struct kv_reader *idle[FETCH_READERS_IDLE_MAX];
    size_t idle_count;
    size_t out_count;
    struct fetch_cache cache;
    struct fetch_names names;
};

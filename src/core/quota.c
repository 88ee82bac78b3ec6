/* src/core/quota.c - see quota.h: the counts of buckets, and what they allow. */
#include "core/quota.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/limits.h"
#include "core/quota_private.h"
#include "rt/clock.h"

/* When limits come on at run time, what is on its way was not taken: so long a count is not exact.
 */
enum { FORGET_LOOKS = 64, SURE_US = 10000000 };

enum ior_err quotas_new(struct node *n, uint64_t streams_max, uint64_t bytes_max,
                        struct quotas **ret)
{
    struct quotas *qs = calloc(1, sizeof *qs);
    if (qs == NULL) return IOR_E_NOMEM;
    qs->node = n;
    atomic_init(&qs->era, 1);
    atomic_init(&qs->streams_max, streams_max);
    atomic_init(&qs->bytes_max, bytes_max);
    pthread_mutex_init(&qs->lock, NULL);
    ior_map_init(&qs->by_name);
    ior_ring_init(&qs->used);
    ior_ring_init(&qs->first);
    ior_ring_init(&qs->again);
    *ret = qs;
    return IOR_OK;
}

void quotas_free(struct quotas *qs)
{
    if (qs == NULL) return;
    IOR_ASSERT(qs->count.quota == NULL);
    while (!ior_ring_empty(&qs->used)) {
        struct quota *q = IOR_CONTAINER(qs->used.next, struct quota, used);
        IOR_ASSERT(atomic_load(&q->refs) == 0);
        quota_waits(q, false);
        ior_ring_remove(&q->used);
        free(q);
    }
    ior_map_done(&qs->by_name);
    pthread_mutex_destroy(&qs->lock);
    free(qs);
}

static uint64_t load(const _Atomic uint64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

bool quotas_on(const struct quotas *qs)
{
    return load(&qs->streams_max) != 0 || load(&qs->bytes_max) != 0;
}

void quotas_set(struct quotas *qs, uint64_t streams_max, uint64_t bytes_max)
{
    bool come_on = !quotas_on(qs) && (streams_max != 0 || bytes_max != 0);
    pthread_mutex_lock(&qs->lock);
    if (come_on) { /* while they were off nothing was counted */
        atomic_fetch_add(&qs->era, 1);
        atomic_store(&qs->sure_us, clock_mono_coarse_us() + SURE_US);
        for (struct ior_ring *r = qs->again.next; r != &qs->again; r = r->next)
            quota_waits(IOR_CONTAINER(r, struct quota, wait), true);
        ior_ring_move(&qs->first, &qs->again);
    }
    atomic_store(&qs->streams_max, streams_max);
    atomic_store(&qs->bytes_max, bytes_max);
    pthread_mutex_unlock(&qs->lock);
}

/* ---- one bucket's ---- */

static bool same_name(const void *object, const void *key)
{
    return ior_slice_eq(quota_name(object), *(const struct ior_slice *)key);
}

/* Some that nobody has go while there are too many; who holds the lock. */
static void forget_some(struct quotas *qs)
{
    struct ior_ring *at = qs->used.next;
    for (int i = 0; i < FORGET_LOOKS && qs->by_name.count > QUOTA_BUCKETS_KEPT; i++) {
        if (at == &qs->used) return;
        struct quota *q = IOR_CONTAINER(at, struct quota, used);
        at = at->next;
        if (atomic_load(&q->refs) > 0 || atomic_load(&q->wanted)) {
            ior_ring_remove(&q->used); /* not the next time */
            ior_ring_add_last(&qs->used, &q->used);
            continue;
        }
        ior_map_remove(&qs->by_name, q->hash, q);
        ior_ring_remove(&q->used);
        free(q);
    }
}

static struct quota *make(struct quotas *qs, struct ior_slice bucket, uint64_t hash)
{
    IOR_ASSERT(bucket.size_bytes > 0 && bucket.size_bytes <= BUCKET_BYTES_MAX);
    struct quota *q = calloc(1, sizeof *q + bucket.size_bytes);
    if (q == NULL) return NULL;
    q->all = qs;
    q->hash = hash;
    q->name_bytes = (uint8_t)bucket.size_bytes;
    memcpy(q->name, bucket.data, bucket.size_bytes);
    if (ior_map_add(&qs->by_name, hash, q) != IOR_OK) {
        free(q);
        return NULL;
    }
    ior_ring_add_last(&qs->used, &q->used);
    return q;
}

enum ior_err quota_get(struct quotas *qs, struct ior_slice bucket, struct quota **ret)
{
    uint64_t hash = ior_hash(bucket);
    pthread_mutex_lock(&qs->lock);
    struct quota *q = ior_map_find(&qs->by_name, hash, same_name, &bucket);
    if (q != NULL) {
        ior_ring_remove(&q->used);
        ior_ring_add_last(&qs->used, &q->used);
    } else {
        q = make(qs, bucket, hash);
    }
    if (q != NULL) atomic_fetch_add(&q->refs, 1);
    forget_some(qs);
    pthread_mutex_unlock(&qs->lock);
    *ret = q;
    return q == NULL ? IOR_E_NOMEM : IOR_OK;
}

struct quota *quota_ref(struct quota *q)
{
    uint64_t before = atomic_fetch_add(&q->refs, 1);
    IOR_ASSERT(before > 0);
    return q;
}

/* It stays where it is: the next quota_get() of some bucket may find that nobody has it. */
void quota_unref(struct quota *q)
{
    if (q == NULL) return;
    uint64_t before = atomic_fetch_sub(&q->refs, 1);
    IOR_ASSERT(before > 0);
}

enum ior_err quota_of(struct quotas *qs, struct stream *s, struct quota **ret)
{
    struct bucket *b = s->bucket;
    *ret = NULL;
    if (!quotas_on(qs)) return IOR_OK;
    if (b->quota == NULL) {
        enum ior_err err = quota_get(qs, bucket_name(b), &b->quota);
        if (err != IOR_OK) return err;
    }
    *ret = b->quota;
    return IOR_OK;
}

/* ---- changes ---- */

static bool known(const struct quota *q)
{
    return load(&q->era) == load(&q->all->era);
}

/* max 0: no limit. What makes less always fits. */
static bool fits(int64_t sum, int64_t n, uint64_t max)
{
    return n <= 0 || max == 0 || (sum > 0 ? (uint64_t)sum : 0) + (uint64_t)n <= max;
}

static bool add_within(_Atomic int64_t *sum, int64_t n, uint64_t max)
{
    int64_t was = atomic_load(sum);
    do {
        if (!fits(was, n, max)) return false;
    } while (!atomic_compare_exchange_weak(sum, &was, was + n));
    return true;
}

enum ior_err quota_take(struct quota *q, struct quota_sum c)
{
    struct quotas *qs = q->all;
    bool limits = known(q);
    uint64_t streams_max = limits ? load(&qs->streams_max) : 0;
    uint64_t bytes_max = limits ? load(&qs->bytes_max) : 0;
    if (!limits) quota_want(q, 0);
    /* First without a trace: whoever comes again and again keeps no count from being exact. */
    if (!fits(atomic_load(&q->streams), c.streams, streams_max)) return IOR_E_QUOTASTREAMS;
    if (!fits(atomic_load(&q->bytes), c.bytes, bytes_max)) return IOR_E_QUOTABYTES;
    atomic_fetch_add(&q->begun, 1);
    enum ior_err err = IOR_OK;
    if (!add_within(&q->streams, c.streams, streams_max)) {
        err = IOR_E_QUOTASTREAMS;
    } else if (!add_within(&q->bytes, c.bytes, bytes_max)) {
        atomic_fetch_sub(&q->streams, c.streams);
        err = IOR_E_QUOTABYTES;
    }
    if (err != IOR_OK) atomic_fetch_add(&q->ended, 1);
    return err;
}

void quota_settle(struct quota *q, struct quota_sum c, bool committed)
{
    if (!committed) {
        atomic_fetch_sub(&q->streams, c.streams);
        atomic_fetch_sub(&q->bytes, c.bytes);
    }
    atomic_fetch_add(&q->ended, 1);
}

void quota_give(struct quota *q, struct quota_sum c)
{
    atomic_fetch_add(&q->begun, 1);
    atomic_fetch_sub(&q->streams, c.streams);
    atomic_fetch_sub(&q->bytes, c.bytes);
    atomic_fetch_add(&q->ended, 1);
}

bool quota_known(struct quota *q, struct quota_sum *ret)
{
    *ret = (struct quota_sum){atomic_load(&q->streams), atomic_load(&q->bytes)};
    return known(q) && !atomic_load(&q->wanted);
}

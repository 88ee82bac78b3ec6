/* src/core/quota_count.c - counting what a bucket holds (quota.h).
 * Happy path: a survey adds up the streams and bytes of the bucket; what the count said before it
 * began is replaced by that, and what came meanwhile stays. Then the next bucket that waits.
 * Whether it is exact: nothing of the bucket was under way when it began, and nothing has begun
 * since. Else it is wanted again later.
 * Failure modes: an error of the survey (no memory, the catalog, a full queue): again later.
 * Thread: the worker of node_tick(); the survey's parts run one at a time. */
#include "base/assert.h"
#include "base/log.h"
#include "base/metrics.h"
#include "core/node.h"
#include "core/quota_private.h"
#include "rt/clock.h"

void quota_want(struct quota *q, uint64_t due_us)
{
    struct quotas *qs = q->all;
    if (atomic_load_explicit(&q->wanted, memory_order_relaxed)) return;
    pthread_mutex_lock(&qs->lock);
    if (!atomic_exchange(&q->wanted, true)) {
        q->due_us = due_us;
        ior_ring_add_last(due_us == 0 ? &qs->first : &qs->again, &q->wait);
        quota_waits(q, due_us == 0);
    }
    pthread_mutex_unlock(&qs->lock);
}

static struct quota_count *count_of(struct survey *sv)
{
    return IOR_CONTAINER(sv, struct quota_count, survey);
}

static struct quotas *quotas_of(struct quota_count *c)
{
    return IOR_CONTAINER(c, struct quotas, count);
}

static enum survey_next on_memory(struct survey *sv, struct vnode *vn, struct stream *s)
{
    struct quota_count *c = count_of(sv);
    (void)vn;
    c->found.streams++;
    c->found.bytes += (int64_t)s->bytes;
    return SURVEY_ON;
}

static enum survey_next on_row(struct survey *sv, struct kv_reader *r, const struct stream_row *row)
{
    struct quota_count *c = count_of(sv);
    (void)r;
    c->found.streams++;
    c->found.bytes += (int64_t)row->bytes;
    return SURVEY_ON;
}

static void begin(struct quotas *qs);

static void take_over(struct quota_count *c, enum ior_err err)
{
    struct quota *q = c->quota;
    uint64_t again_us =
        clock_mono_coarse_us() + quotas_of(c)->node->params.eviction_interval_ms * 1000;
    if (err == IOR_OK) {
        atomic_fetch_add(&q->streams, c->found.streams - c->before.streams);
        atomic_fetch_add(&q->bytes, c->found.bytes - c->before.bytes);
        atomic_store(&q->era, c->era);
        metric_add(METRIC_quota_counts, 1);
    } else if (err != IOR_E_CLOSING) {
        LOG_WARNING("quota", "cannot count a bucket", "err=%s: tried again later",
                    ior_err_name(err));
    }
    pthread_mutex_lock(&q->all->lock);
    atomic_store(&q->wanted, false);
    quota_waits(q, false);
    pthread_mutex_unlock(&q->all->lock);
    bool exact = err == IOR_OK && c->quiet && atomic_load(&q->begun) == c->begun;
    if (!exact) quota_want(q, again_us);
}

static void on_pause(struct survey *sv)
{
    struct quota_count *c = count_of(sv);
    if (!sv->finished) {
        survey_go_on(sv);
        return;
    }
    take_over(c, sv->err);
    quota_unref(c->quota);
    c->quota = NULL;
    survey_done(sv);
    begin(quotas_of(c));
}

/* The next that waits, with a reference; NULL: none. */
static struct quota *next(struct quotas *qs)
{
    struct quota *q = NULL;
    pthread_mutex_lock(&qs->lock);
    if (!ior_ring_empty(&qs->first)) {
        q = IOR_CONTAINER(qs->first.next, struct quota, wait);
    } else if (!ior_ring_empty(&qs->again)) {
        q = IOR_CONTAINER(qs->again.next, struct quota, wait);
        if (q->due_us > clock_mono_coarse_us()) q = NULL;
    }
    if (q != NULL) {
        ior_ring_remove(&q->wait);
        atomic_fetch_add(&q->refs, 1);
    }
    pthread_mutex_unlock(&qs->lock);
    return q;
}

static void begin(struct quotas *qs)
{
    struct quota_count *c = &qs->count;
    if (c->quota != NULL || !quotas_on(qs) || atomic_load(&qs->node->surveys_stop)) return;
    struct quota *q = next(qs);
    if (q == NULL) return;
    *c = (struct quota_count){.quota = q, .era = atomic_load(&qs->era)};
    c->begun = atomic_load(&q->begun);
    c->quiet =
        atomic_load(&q->ended) == c->begun && clock_mono_coarse_us() >= atomic_load(&qs->sure_us);
    c->before = (struct quota_sum){atomic_load(&q->streams), atomic_load(&q->bytes)};
    c->survey = (struct survey){
        .bucket = quota_name(q),
        .on_memory = on_memory,
        .on_row = on_row,
        .pause = on_pause,
    };
    survey_begin(qs->node, &c->survey);
}

void quotas_tick(struct quotas *qs)
{
    begin(qs);
}

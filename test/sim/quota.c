/* test/sim/quota.c - see quota.h. */
#include "quota.h"

#include "base/assert.h"
#include "trace.h"

enum { COUNT_AGAIN = 4 };

static void on_list(struct list *l)
{
    struct world *w = l->user_ptr;
    w->pending--;
    if (l->err != IOR_OK) trace_violation("a list ended with %s", ior_err_name(l->err));
    l->user[0] = 1;
}

/* What the lists say. */
static struct quota_sum sum_up(struct world *w, const char *bucket)
{
    struct quota_sum sum = {0, 0};
    struct list *l = NULL;
    enum ior_err err = list_new(&l);
    IOR_ASSERT(err == IOR_OK);
    ior_buf_add_str(&l->bucket, bucket);
    l->user_ptr = w;
    world_enter_any(w);
    w->pending++;
    err = iorio_list(w->node, l, on_list);
    worker_enter(NULL);
    IOR_ASSERT(err == IOR_OK);
    world_turns(w);
    IOR_ASSERT(l->user[0] == 1 && !l->more);
    sum.streams = (int64_t)l->count;
    for (size_t i = 0; i < l->count; i++) sum.bytes += (int64_t)l->rows[i].bytes;
    list_free(l);
    return sum;
}

static void check_bucket(struct world *w, const char *bucket)
{
    struct quota *q = NULL;
    struct quota_sum counted;
    enum ior_err err = quota_get(w->node->quotas, ior_slice_str(bucket), &q);
    IOR_ASSERT(err == IOR_OK);
    bool exact = quota_known(q, &counted);
    quota_unref(q);
    if (!exact) return; /* nobody wrote to it in this life */
    struct quota_sum is = sum_up(w, bucket);
    trace_count(COUNT_quotas, 1);
    if (counted.streams != is.streams || counted.bytes != is.bytes)
        trace_violation("%s counts %lld streams and %lld bytes, but has %lld and %lld", bucket,
                        (long long)counted.streams, (long long)counted.bytes, (long long)is.streams,
                        (long long)is.bytes);
}

void quota_prove(struct world *w)
{
    if (!quotas_on(w->node->quotas)) return;
    for (int i = 0; i < COUNT_AGAIN; i++) { /* what was not exact is counted again */
        w->mono_us += 2 * w->node->params.eviction_interval_ms * 1000;
        world_tick(w);
        world_settle(w);
    }
    for (unsigned b = 0; b < MODEL_BUCKETS; b++) check_bucket(w, w->model.streams[b].bucket);
    check_bucket(w, PATCHER_BUCKET);
}

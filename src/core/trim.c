/* src/core/trim.c - truncating and deleting a stream (API.md section 3, DELETE).
 * Happy path: inside the strand the new low is judged against what is reserved, so
 * everything that was proposed before it is covered; a LOW or DELETE item goes
 * through the log; when it is committed the events leave the tail and nobody sees
 * them any more. A deleted stream keeps its row: its ids go on.
 * The record says how many payload bytes go, so that a replay need not look for them; where
 * they are on the disk the disk pool adds them up first.
 * Failure modes: as of an append. Nothing to do is answered OK, but not before
 * what it was judged by is committed. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/mutant.h"
#include "core/evict.h"
#include "core/iorio.h"
#include "core/load.h"
#include "rt/clock.h"
#include "store/fetch.h"

/* What one that waits for the disk takes, at most about: counted like the appends, so that
 * memory.inflight bounds them too and a stop waits for them. */
enum { TRIM_SUMS_MAX = 8 };
enum { TRIM_BYTES = sizeof(struct trim) + BUCKET_BYTES_MAX + STREAM_BYTES_MAX + 128 };

static struct ior_slice bucket_of(const struct trim *t)
{
    return ior_slice(t->names, t->bucket_bytes);
}

static struct ior_slice stream_of(const struct trim *t)
{
    return ior_slice(t->names + t->bucket_bytes, t->stream_bytes);
}

enum ior_err trim_new(struct ior_slice bucket, struct ior_slice stream, struct trim **ret)
{
    IOR_ASSERT(bucket.size_bytes <= BUCKET_BYTES_MAX && stream.size_bytes <= STREAM_BYTES_MAX);
    struct trim *t = calloc(1, sizeof *t + bucket.size_bytes + stream.size_bytes);
    if (t == NULL) return IOR_E_NOMEM;
    t->bucket_bytes = (uint8_t)bucket.size_bytes;
    t->stream_bytes = (uint16_t)stream.size_bytes;
    memcpy(t->names, bucket.data, bucket.size_bytes);
    memcpy(t->names + bucket.size_bytes, stream.data, stream.size_bytes);
    *ret = t;
    return IOR_OK;
}

void trim_free(struct trim *t)
{
    if (t == NULL) return;
    record_done(&t->record);
    free(t);
}

static void run_cb(struct msg *m)
{
    struct trim *t = IOR_CONTAINER(m, struct trim, msg);
    t->cb(t);
}

static void answer(struct trim *t, enum ior_err err)
{
    atomic_fetch_sub(&t->node->inflight_bytes, TRIM_BYTES);
    t->err = err;
    t->msg.run = run_cb;
    worker_send(t->origin, &t->msg);
}

static enum ior_err propose(struct trim *t, uint64_t dropped_bytes)
{
    struct stream *s = t->stream;
    struct ior_blob *b = evict_item(s, t->all ? ITEM_DELETE : ITEM_LOW, t->low, dropped_bytes);
    if (b == NULL) return IOR_E_NOMEM;
    t->record.items = b;
    t->op.proposal.record = &t->record;
    t->op.proposal.time_ms = stream_next_time_ms(s, clock_wall_ms());
    enum ior_err err = vnode_propose(t->vnode, &t->op);
    if (err != IOR_OK) {
        record_done(&t->record);
        return err;
    }
    t->dropped_bytes = dropped_bytes;
    s->reserved_low = t->low;
    s->reserved_bytes -= dropped_bytes;
    s->reserved_deleted = s->reserved_deleted || t->all;
    return IOR_OK;
}

/* ---- how many bytes go, where that is not known from memory ---- */

static void sum_on_disk(struct job *j)
{
    struct trim *t = IOR_CONTAINER(j, struct trim, job);
    struct ior_why why;
    t->err = fetch_bytes(t->node->fetch, t->vnode->partition, t->sum_uid, t->sum_from, t->sum_to,
                         &t->sum_bytes, &why);
    if (t->err != IOR_OK && t->err != IOR_E_NOTFOUND)
        LOG_ERROR("trim", "cannot read", "err=%s: %s", ior_err_name(t->err), why.text);
}

static void vnode_trim(struct msg *m);

static void summed(struct job *j)
{
    struct trim *t = IOR_CONTAINER(j, struct trim, job);
    t->msg.run = vnode_trim;
    strand_post_completion(&t->vnode->strand, &t->msg);
}

/* Payload bytes of the ids that go. False: it is being found out, or answered. */
static bool know_dropped(struct trim *t, struct stream *s, uint64_t *ret)
{
    uint64_t from = s->reserved_low;
    uint64_t to = t->low - 1;
    uint64_t first = s->first;
    if (to == s->reserved) {
        *ret = s->reserved_bytes;
        return true;
    }
    uint64_t disk_to = to < first ? to : first - 1;
    *ret = from < first ? 0 : stream_sum_bytes(s, from, to);
    if (from >= first) return true;
    if (t->err != IOR_OK && t->err != IOR_E_NOTFOUND) {
        answer(t, t->err);
        return false;
    }
    bool known =
        t->err == IOR_OK && t->sum_uid == s->uid && t->sum_from == from && t->sum_to == disk_to;
    if (known) {
        *ret = t->sum_bytes + (to >= first ? stream_sum_bytes(s, first, to) : 0);
        return true;
    }
    if (t->sums++ == TRIM_SUMS_MAX) { /* the events are where nobody finds them */
        answer(t, t->err == IOR_OK ? IOR_E_BUSY : IOR_E_CORRUPT);
        return false;
    }
    t->sum_uid = s->uid;
    t->sum_from = from;
    t->sum_to = disk_to;
    t->err = IOR_OK;
    t->job.work = sum_on_disk;
    t->job.done = summed;
    enum ior_err err = job_submit(t->node->params.disk_jobs, &t->job);
    if (err != IOR_OK) answer(t, err);
    return false;
}

/* ---- what retention asks for ---- */

static void on_done(struct vnode *vn, struct vnode_op *op, enum ior_err err);

static void search_disk(struct job *j)
{
    struct trim *t = IOR_CONTAINER(j, struct trim, job);
    struct ior_why why;
    t->err = evict_search_disk(t->node->fetch, &t->search, &why);
    if (t->err != IOR_OK && t->err != IOR_E_NOTFOUND)
        LOG_ERROR("retention", "cannot read", "err=%s: %s", ior_err_name(t->err), why.text);
}

static struct evict_search make_search(const struct trim *t, const struct stream *s)
{
    const struct retention *r = &t->retention;
    uint64_t now_ms = atomic_load(&t->node->retention_now_ms);
    return (struct evict_search){
        .partition = t->vnode->partition,
        .uid = s->uid,
        .from = s->reserved_low,
        .to = s->first - 1,
        .newest = s->reserved,
        .low_by_count = retention_low_by_count(r, s->reserved_low, s->reserved),
        .excess_bytes = s->reserved_bytes > r->max_bytes ? s->reserved_bytes - r->max_bytes : 0,
        .before_ms = now_ms > r->max_age_ms ? now_ms - r->max_age_ms : 0,
    };
}

/* What is on the disk first; then what is in memory. False: the disk is asked, or answered. */
static bool judge_policy(struct trim *t, struct stream *s, uint64_t *ret_bytes)
{
    struct eviction e = {.low = s->reserved_low};
    struct evict_search wanted = make_search(t, s);
    bool asks =
        wanted.low_by_count > wanted.from || wanted.excess_bytes > 0 || wanted.before_ms > 0;
    if (wanted.from <= wanted.to && asks) {
        const struct evict_search *had = &t->search;
        bool known = t->sums > 0 && t->err == IOR_OK && had->uid == wanted.uid &&
                     had->from == wanted.from && had->to == wanted.to;
        if (!known) {
            bool failed = t->err != IOR_OK && t->err != IOR_E_NOTFOUND;
            enum ior_err err = failed ? t->err : IOR_E_BUSY;
            if (!failed && t->sums++ < TRIM_SUMS_MAX) {
                t->search = wanted;
                t->err = IOR_OK;
                t->job.work = search_disk;
                t->job.done = summed;
                err = job_submit(t->node->params.disk_jobs, &t->job);
                if (err == IOR_OK) return false;
            }
            answer(t, err);
            return false;
        }
        e.low = had->low;
        e.dropped_bytes = had->bytes;
        if (had->low_ms > 0) {
            s->oldest_id = had->low;
            s->oldest_ms = had->low_ms;
        }
    }
    uint64_t now_ms = atomic_load(&t->node->retention_now_ms);
    if (e.low >= s->first) evict_judge(s, &t->retention, now_ms, 0, 0, &e);
    t->more = e.more;
    t->low = e.low;
    *ret_bytes = e.dropped_bytes;
    return true;
}

static void trim_by_policy(struct trim *t, struct stream *s)
{
    uint64_t dropped_bytes = 0;
    t->low = s->reserved_low;
    t->high = s->reserved;
    t->op.done = on_done;
    if (!evict_policy(t->vnode, s, &t->retention)) {
        answer(t, IOR_OK);
        return;
    }
    if (!judge_policy(t, s, &dropped_bytes)) return;
    if (t->low == s->reserved_low && t->low > s->low) { /* somebody else's is on its way */
        group_barrier(&t->vnode->group, &t->op.proposal);
        return;
    }
    if (t->low == s->reserved_low) {
        answer(t, IOR_OK);
        return;
    }
    enum ior_err err = propose(t, dropped_bytes);
    if (err != IOR_OK) answer(t, err);
}

static void again(struct vnode *vn, struct vnode_op *op, enum ior_err err);

static void vnode_trim(struct msg *m)
{
    struct trim *t = IOR_CONTAINER(m, struct trim, msg);
    IOR_ASSERT(strand_inside(&t->vnode->strand));
    struct found found = vnode_find(t->vnode, m, bucket_of(t), stream_of(t), t->hash);
    if (found.parked) return;
    struct stream *s = t->stream = found.stream;
    t->low = 1;
    t->high = 0;
    if (found.err != IOR_OK || s == NULL) {
        answer(t, found.err);
        return;
    }
    if (t->by_policy) {
        trim_by_policy(t, s);
        return;
    }
    t->low = t->all || t->to >= s->reserved ? s->reserved + 1 : t->to + 1;
    t->high = s->reserved;
    bool nothing = t->low <= s->reserved_low && (!t->all || s->reserved_deleted);
    if (nothing) t->low = s->reserved_low;
    bool under_way = !nothing && t->low <= s->reserved && t->low > s->high + 1;
    if (nothing || under_way) {
        /* Events that are only reserved have no sizes yet: once they are committed, again. */
        t->op.done = under_way ? again : on_done;
        group_barrier(&t->vnode->group, &t->op.proposal);
        return;
    }
    t->op.done = on_done;
    uint64_t dropped_bytes = 0;
    if (!know_dropped(t, s, &dropped_bytes)) return;
    enum ior_err err = propose(t, dropped_bytes);
    if (err != IOR_OK) answer(t, err);
}

static struct trim *trim_of(struct vnode_op *op)
{
    return IOR_CONTAINER(op, struct trim, op);
}

static void again(struct vnode *vn, struct vnode_op *op, enum ior_err err)
{
    struct trim *t = trim_of(op);
    (void)vn;
    if (err != IOR_OK) {
        answer(t, err);
        return;
    }
    vnode_trim(&t->msg);
}

/* It makes room in the bucket. Without memory for a count there is none to be changed. */
static void give_quota(struct trim *t)
{
    struct quota *q = NULL;
    if (quota_of(t->node->quotas, t->stream, &q) != IOR_OK || q == NULL) return;
    if (MUTANT(quota_no_give)) return;
    quota_give(
        q, (struct quota_sum){t->all && !t->stream->deleted ? 1 : 0, (int64_t)t->dropped_bytes});
}

static void on_apply(struct vnode *vn, struct vnode_op *op)
{
    struct trim *t = trim_of(op);
    struct stream *s = t->stream;
    uint64_t events = t->low - s->low;
    give_quota(t);
    stream_trim(&vn->streams, s, t->low, t->dropped_bytes);
    if (t->all) stream_set_deleted(s, true);
    if (t->by_policy) {
        metric_add(METRIC_retention_events, events);
        metric_add(METRIC_retention_bytes, t->dropped_bytes);
    }
    stream_changed(&vn->streams, s, op->proposal.index);
    metric_add(METRIC_trim_events, t->by_policy ? 0 : events);
    metric_add(METRIC_trim_records, 1);
}

/* low and high were judged by what was reserved, and that is committed now. */
static void on_done(struct vnode *vn, struct vnode_op *op, enum ior_err err)
{
    (void)vn;
    answer(trim_of(op), err);
}

enum ior_err iorio_trim(struct node *n, struct trim *t, trim_cb cb)
{
    IOR_ASSERT(worker_current() != NULL);
    uint64_t inflight = atomic_load(&n->inflight_bytes);
    if (inflight > 0 && inflight + TRIM_BYTES > n->params.inflight_bytes_max) return IOR_E_INFLIGHT;
    t->node = n;
    t->cb = cb;
    t->origin = worker_current();
    t->vnode = node_route(n, bucket_of(t), stream_of(t), &t->hash);
    t->op.apply = on_apply;
    t->err = IOR_OK;
    t->sums = 0;
    t->more = false;
    t->msg.run = vnode_trim;
    atomic_fetch_add(&n->inflight_bytes, TRIM_BYTES);
    enum ior_err err = strand_post(&t->vnode->strand, &t->msg);
    if (err != IOR_OK) atomic_fetch_sub(&n->inflight_bytes, TRIM_BYTES);
    return err;
}

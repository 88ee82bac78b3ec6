/* src/core/trim.c - truncating and deleting a stream (API.md section 3, DELETE).
 * Happy path: inside the strand the new low is judged against what is reserved, so
 * everything that was proposed before it is covered; a LOW or DELETE item goes
 * through the log; when it is committed the events leave the tail and nobody sees
 * them any more. A deleted stream keeps its row: its ids go on.
 * Failure modes: as of an append. Nothing to do is answered OK, but not before
 * what it was judged by is committed. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "base/mutant.h"
#include "core/iorio.h"
#include "rt/clock.h"

/* What one that waits for the disk takes, at most about: counted like the appends, so that
 * memory.inflight bounds them too and a stop waits for them. */
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
    const struct stream *s = t->stream;
    bool there = s != NULL && s->committed;
    t->err = err;
    t->low = there ? s->low : 1;
    t->high = there ? s->high : 0;
    t->msg.run = run_cb;
    if (t->origin == worker_current()) {
        worker_defer(&t->msg);
    } else {
        worker_post(t->origin, &t->msg);
    }
}

static enum ior_err propose(struct trim *t)
{
    struct stream *s = t->stream;
    struct ior_blob *b = ior_blob_new(item_bytes(0, 0));
    if (b == NULL) return IOR_E_NOMEM;
    item_write(b->data, t->all ? ITEM_DELETE : ITEM_LOW, 0, 0, (struct ior_slice){NULL, 0});
    item_set_place(b->data, s->uid, s->reserved, t->new_low);
    t->record.items = b;
    t->op.proposal.record = &t->record;
    t->op.proposal.time_ms = stream_next_time_ms(s, clock_wall_ms());
    enum ior_err err = group_propose(&t->vnode->group, &t->op.proposal);
    if (err != IOR_OK) return err;
    s->reserved_low = t->new_low;
    s->reserved_deleted = t->all;
    return IOR_OK;
}

static void vnode_trim(struct msg *m)
{
    struct trim *t = IOR_CONTAINER(m, struct trim, msg);
    IOR_ASSERT(strand_inside(&t->vnode->strand));
    struct stream *s = stream_find(&t->vnode->streams, bucket_of(t), stream_of(t), t->hash);
    t->stream = s;
    if (s == NULL) {
        answer(t, IOR_OK);
        return;
    }
    t->new_low = t->all || t->to >= s->reserved ? s->reserved + 1 : t->to + 1;
    bool nothing = t->new_low <= s->reserved_low && (!t->all || s->reserved_deleted);
    if (nothing) {
        group_barrier(&t->vnode->group, &t->op.proposal);
        return;
    }
    enum ior_err err = propose(t);
    if (err != IOR_OK) answer(t, err);
}

static struct trim *trim_of(struct vnode_op *op)
{
    return IOR_CONTAINER(op, struct trim, op);
}

static void on_apply(struct vnode *vn, struct vnode_op *op)
{
    struct trim *t = trim_of(op);
    struct stream *s = t->stream;
    uint64_t events = t->new_low - s->low;
    atomic_fetch_sub(&vn->node->tail_bytes, stream_trim(s, t->new_low));
    if (t->all && !s->deleted) stream_unlist(s);
    metric_add(METRIC_trim_events, events);
    metric_add(METRIC_trim_records, 1);
}

/* A stream that was being made when it was found, and came to nothing, is gone. */
static void on_done(struct vnode *vn, struct vnode_op *op, enum ior_err err)
{
    struct trim *t = trim_of(op);
    t->stream = stream_find(&vn->streams, bucket_of(t), stream_of(t), t->hash);
    answer(t, err);
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
    t->op.done = on_done;
    t->msg.run = vnode_trim;
    atomic_fetch_add(&n->inflight_bytes, TRIM_BYTES);
    enum ior_err err = strand_post(&t->vnode->strand, &t->msg);
    if (err != IOR_OK) atomic_fetch_sub(&n->inflight_bytes, TRIM_BYTES);
    return err;
}

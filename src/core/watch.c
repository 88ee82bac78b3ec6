/* src/core/watch.c - see watch.h.
 * Happy path: a message brings the watch into the vnode's strand; if the stream is not that
 * far yet it waits in the table, chained to the others of its stream; the commit that
 * reaches its id takes it out and sends it home.
 * A cancel is a message of its own, a completion, so it is never refused and may overtake
 * the watch on its way in. The answer is given when both messages are home: so neither can
 * meet memory that was freed.
 * Failure modes: no memory for the table: the answer is NOMEM; a stream that cannot be looked up:
 * that error. */
#include "core/watch.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "base/mutant.h"
#include "core/load.h"
#include "core/node.h"

static struct ior_slice bucket_of(const struct watch *w)
{
    return ior_slice(w->names, w->bucket_bytes);
}

static struct ior_slice stream_of(const struct watch *w)
{
    return ior_slice(w->names + w->bucket_bytes, w->stream_bytes);
}

enum ior_err watch_new(struct ior_slice bucket, struct ior_slice stream, struct watch **ret)
{
    IOR_ASSERT(bucket.size_bytes <= BUCKET_BYTES_MAX && stream.size_bytes <= STREAM_BYTES_MAX);
    struct watch *w = calloc(1, sizeof *w + bucket.size_bytes + stream.size_bytes);
    if (w == NULL) return IOR_E_NOMEM;
    w->bucket_bytes = (uint8_t)bucket.size_bytes;
    w->stream_bytes = (uint16_t)stream.size_bytes;
    memcpy(w->names, bucket.data, bucket.size_bytes);
    memcpy(w->names + bucket.size_bytes, stream.data, stream.size_bytes);
    *ret = w;
    return IOR_OK;
}

void watch_free(struct watch *w)
{
    IOR_ASSERT(w == NULL || w->state == WATCH_ANSWERED);
    free(w);
}

/* ---- the way back to the caller ---- */

static void call_back_if_home(struct watch *w)
{
    if (!w->answer_here || w->cancel_pending) return;
    atomic_fetch_sub(&w->node->watch_count, 1);
    metric_gauge_add(METRIC_watches, -1);
    w->cb(w);
}

static void run_answer(struct msg *m)
{
    struct watch *w = IOR_CONTAINER(m, struct watch, msg);
    w->answer_here = true;
    call_back_if_home(w);
}

static void run_cancelled(struct msg *m)
{
    struct watch *w = IOR_CONTAINER(m, struct watch, cancel_msg);
    w->cancel_pending = false;
    call_back_if_home(w);
}

/* The last thing that is done to it inside the strand. */
static void answer(struct watch *w, enum ior_err err, uint64_t high)
{
    w->state = WATCH_ANSWERED;
    w->err = err;
    w->high = high;
    w->msg.run = run_answer;
    worker_send(w->origin, &w->msg);
}

/* ---- inside the strand ---- */

struct name_pair {
    struct ior_slice bucket, stream;
};

static bool same_stream(const void *object, const void *key)
{
    const struct watch *w = object;
    const struct name_pair *k = key;
    return ior_slice_eq(stream_of(w), k->stream) && ior_slice_eq(bucket_of(w), k->bucket);
}

void watch_table_init(struct watch_table *t)
{
    ior_map_init(&t->by_name);
    t->count = 0;
}

void watch_table_done(struct watch_table *t)
{
    ior_map_done(&t->by_name);
    t->count = 0;
}

static enum ior_err hang_in(struct watch_table *t, struct watch *w)
{
    const struct name_pair key = {bucket_of(w), stream_of(w)};
    struct watch *first = ior_map_find(&t->by_name, w->hash, same_stream, &key);
    if (first == NULL) {
        enum ior_err err = ior_map_add(&t->by_name, w->hash, w);
        if (err != IOR_OK) return err;
        w->prev = w->next = NULL;
    } else { /* behind the first: the table need not change */
        w->prev = first;
        w->next = first->next;
        if (w->next != NULL) w->next->prev = w;
        first->next = w;
    }
    t->count++;
    return IOR_OK;
}

static void take_out(struct watch_table *t, struct watch *w)
{
    struct watch *next = w->next;
    if (next != NULL) next->prev = w->prev;
    if (w->prev != NULL) {
        w->prev->next = next;
    } else {
        ior_map_remove(&t->by_name, w->hash, w);
        if (next != NULL) { /* there is the room that w has just left */
            enum ior_err err = ior_map_add(&t->by_name, next->hash, next);
            IOR_ASSERT(err == IOR_OK);
        }
    }
    w->next = w->prev = NULL;
    t->count--;
}

void watch_table_fire(struct watch_table *t, struct ior_slice bucket, struct ior_slice stream,
                      uint64_t hash, uint64_t high)
{
    const struct name_pair key = {bucket, stream};
    struct watch *w = ior_map_find(&t->by_name, hash, same_stream, &key);
    if (MUTANT(watch_no_fire)) return;
    while (w != NULL) {
        struct watch *next = w->next;
        if (w->from <= high) {
            take_out(t, w);
            answer(w, IOR_OK, high);
        }
        w = next;
    }
}

static void vnode_watch(struct msg *m)
{
    struct watch *w = IOR_CONTAINER(m, struct watch, msg);
    struct vnode *vn = w->vnode;
    IOR_ASSERT(strand_inside(&vn->strand));
    if (w->state == WATCH_CANCELLED) {
        answer(w, IOR_E_LOST, 0);
        return;
    }
    IOR_ASSERT(w->state == WATCH_SUBMITTED);
    struct found found = vnode_find(vn, m, bucket_of(w), stream_of(w), w->hash);
    if (found.parked) return;
    const struct stream *s = found.stream;
    if (found.err != IOR_OK) {
        answer(w, found.err, 0);
        return;
    }
    if (s != NULL && s->committed && s->high >= w->from && !MUTANT(watch_no_look)) {
        answer(w, IOR_OK, s->high);
        return;
    }
    enum ior_err err = hang_in(&vn->watches, w);
    if (err != IOR_OK) {
        answer(w, err, 0);
        return;
    }
    w->state = WATCH_WAITING;
}

static void vnode_cancel(struct msg *m)
{
    struct watch *w = IOR_CONTAINER(m, struct watch, cancel_msg);
    IOR_ASSERT(strand_inside(&w->vnode->strand));
    w->cancel_msg.run = run_cancelled;
    struct worker *origin = w->origin;
    if (w->state == WATCH_SUBMITTED) {
        w->state = WATCH_CANCELLED;
    } else if (w->state == WATCH_WAITING) {
        take_out(&w->vnode->watches, w);
        answer(w, IOR_E_LOST, 0);
    }
    worker_send(origin, &w->cancel_msg);
}

/* ---- the front door ---- */

enum ior_err iorio_watch(struct node *n, struct watch *w, watch_cb cb)
{
    IOR_ASSERT(worker_current() != NULL);
    IOR_ASSERT(w->state == WATCH_ANSWERED && !w->cancel_pending);
    if (atomic_fetch_add(&n->watch_count, 1) >= WATCHES_MAX) {
        atomic_fetch_sub(&n->watch_count, 1);
        return IOR_E_BUSY;
    }
    w->node = n;
    w->cb = cb;
    w->origin = worker_current();
    w->answer_here = false;
    w->err = IOR_OK;
    w->high = 0;
    w->vnode = node_route(n, bucket_of(w), stream_of(w), &w->hash);
    w->msg.run = vnode_watch;
    w->state = WATCH_SUBMITTED;
    metric_gauge_add(METRIC_watches, 1);
    enum ior_err err = strand_post(&w->vnode->strand, &w->msg);
    if (err != IOR_OK) {
        w->state = WATCH_ANSWERED;
        atomic_fetch_sub(&n->watch_count, 1);
        metric_gauge_add(METRIC_watches, -1);
    }
    return err;
}

void iorio_watch_cancel(struct watch *w)
{
    IOR_ASSERT(w->origin == worker_current());
    IOR_ASSERT(!w->cancel_pending);
    w->cancel_pending = true;
    w->cancel_msg.run = vnode_cancel;
    strand_post_completion(&w->vnode->strand, &w->cancel_msg);
}

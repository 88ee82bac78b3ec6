/* src/core/append.c - the path of an append (ARCHITECTURE.md section 4).
 * Happy path: the caller's worker copies the events into one blob of items
 * (append_new); inside the vnode's strand the expectation is judged against what
 * is reserved, the next ids are reserved, a CREATE is put in front if the stream
 * is new (part), and the record is proposed; when it is committed the events enter the
 * tail (apply) and the caller's worker hears (done). Of a patch the event is made inside
 * (patch), and a second part goes into the same record.
 * With an idempotency key that is remembered nothing is appended: the first answer is
 * given again, after its record is committed.
 * Failure modes: an expectation that fails against a reservation is answered
 * only when that reservation is committed; if it is lost the answer is LOST.
 * Memory for applying is reserved before proposing. The client may be gone: the
 * append goes on, only the ticket in `user` redeems to nothing. */
#include "core/append.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/mutant.h"
#include "core/load.h"
#include "core/patch.h"
#include "core/stream_keys.h"
#include "rt/clock.h"

/* ---- the way back to the caller ---- */

static void run_cb(struct msg *m)
{
    struct append *a = IOR_CONTAINER(m, struct append, msg);
    if (a->accept_pending) { /* its message is still on the way: it will call us */
        a->done_waiting = true;
        return;
    }
    a->cb(a);
}

static void run_accepted(struct msg *m)
{
    struct append *a = IOR_CONTAINER(m, struct append, accepted_msg);
    a->accept_pending = false;
    a->accepted(a);
    if (a->done_waiting) a->cb(a);
}

static void answer(struct append *a, enum ior_err err)
{
    struct node *n = a->node;
    a->err = err;
    atomic_fetch_sub(&n->inflight_bytes, a->counted_bytes);
    bool refused = err == IOR_E_NOEVENT || err == IOR_E_BODY || err == IOR_E_TOOLARGE;
    if (err == IOR_E_CONFLICT || err == IOR_E_KEYREUSED) {
        metric_add(METRIC_append_conflicts, 1);
    } else if (err == IOR_E_QUOTASTREAMS || err == IOR_E_QUOTABYTES) {
        metric_add(err == IOR_E_QUOTABYTES ? METRIC_limited_bytes : METRIC_limited_streams, 1);
    } else if (err != IOR_OK && !refused) {
        metric_add(METRIC_append_lost, 1);
    }
    a->msg.run = run_cb;
    worker_send(a->origin, &a->msg);
}

/* ---- inside the strand ---- */

/* Does the expectation hold for what the log will be when this record is in it? */
static bool expectation_holds(const struct append *a)
{
    const struct stream *s = a->part.stream;
    uint64_t last = s == NULL ? 0 : s->reserved;
    if (a->expect == EXPECT_LAST_ID) return last == a->expect_last_id;
    if (a->expect == EXPECT_NONE_KEPT) return s == NULL || s->reserved < s->reserved_low;
    return true;
}

static enum ior_err remember(struct append *a, uint64_t wall_ms)
{
    const struct dedupe_entry e = {.body_hash = a->body_hash,
                                   .first_id = a->first_id,
                                   .last_id = a->last_id,
                                   .time_ms = a->time_ms};
    struct stream_table *t = &a->vnode->streams;
    struct stream *s = a->part.stream;
    enum ior_err err = stream_keys_add(t, s, a->key, &e, wall_ms);
    if (err == IOR_OK) a->dedupe_shortened_ms = stream_keys_shortened_ms(t, s, wall_ms);
    return err;
}

/* The second one, of a patch; NULL: there is none. */
static struct append_part *second_part(struct append *a)
{
    return a->patch == NULL ? NULL : &a->patch->log;
}

static enum ior_err prepare(struct append *a, uint64_t wall_ms)
{
    struct append_part *second = second_part(a);
    enum ior_err err = append_part_prepare(a->vnode, &a->part);
    if (err == IOR_OK && second != NULL) err = append_part_prepare(a->vnode, second);
    if (err != IOR_OK) return err;
    a->time_ms = MUTANT(time_goes_back) ? wall_ms : stream_next_time_ms(a->part.stream, wall_ms);
    if (second != NULL) a->time_ms = stream_next_time_ms(second->stream, a->time_ms);
    append_part_place(&a->part, a->time_ms);
    if (second != NULL) append_part_place(second, a->time_ms);
    a->first_id = a->part.first_id;
    a->last_id = a->part.last_id;
    return a->key.size_bytes > 0 ? remember(a, wall_ms) : IOR_OK;
}

static void undo(struct append *a)
{
    struct stream *s = a->part.stream;
    if (s != NULL && !a->part.is_new) stream_keys_drop_above(&a->vnode->streams, s, s->reserved);
    if (second_part(a) != NULL) append_part_undo(a->vnode, second_part(a));
    append_part_undo(a->vnode, &a->part);
}

static enum ior_err reserve_and_propose(struct append *a)
{
    enum ior_err err = prepare(a, clock_wall_ms());
    if (err == IOR_OK) {
        a->op.proposal.record = &a->record;
        a->op.proposal.time_ms = a->time_ms;
        err = vnode_propose(a->vnode, &a->op);
    }
    if (err != IOR_OK) {
        undo(a);
        return err;
    }
    append_part_reserve(&a->part, a->time_ms);
    if (second_part(a) != NULL) append_part_reserve(second_part(a), a->time_ms);
    return IOR_OK;
}

static void send_accepted(struct append *a)
{
    if (a->durability != DURABILITY_MEMORY || a->accepted == NULL) return;
    a->accept_pending = true;
    a->accepted_msg.run = run_accepted;
    worker_send(a->origin, &a->accepted_msg);
}

enum decision {
    WAITS,    /* it runs again from its start */
    ANSWERED, /* now, with *ret_err */
    BEHIND,   /* with a->err, but not before what it was judged by is committed */
    PROPOSED
};

/* True: its key is known; the answer is the first one's, or that the events are others.
 * Not before the first one is on disk; if that is lost, so is this. */
static bool answer_again(struct append *a, enum decision *ret)
{
    struct stream *s = a->part.stream;
    if (a->key.size_bytes == 0 || s == NULL || MUTANT(no_dedupe)) return false;
    uint64_t wall_ms = clock_wall_ms();
    struct stream_table *t = &a->vnode->streams;
    const struct dedupe_entry *e = stream_keys_find(t, s, a->key, wall_ms);
    if (e == NULL) return false;
    if (e->body_hash == a->body_hash) {
        a->repeated = true;
        a->first_id = e->first_id;
        a->last_id = e->last_id;
        a->time_ms = e->time_ms;
        a->dedupe_shortened_ms = stream_keys_shortened_ms(t, s, wall_ms);
        metric_add(METRIC_append_repeated, 1);
        send_accepted(a);
    } else {
        a->err = IOR_E_KEYREUSED;
    }
    *ret = e->last_id <= s->high || MUTANT(repeat_at_once) ? ANSWERED : BEHIND;
    return true;
}

/* The streams, and those who wait for them already go first. READY: a->part has it. */
static enum patch_step find_streams(struct append *a, enum ior_err *ret_err)
{
    struct append_part *p = &a->part;
    struct found found = vnode_find(a->vnode, &a->msg, p->bucket, p->name, p->hash);
    if (found.parked) return PATCH_WAITS;
    *ret_err = found.err;
    if (found.err != IOR_OK) return PATCH_FAILS;
    p->stream = found.stream;
    if (p->stream != NULL && p->stream->heading != NULL) {
        evict_park(p->stream, &a->msg);
        return PATCH_WAITS;
    }
    /* Without the one the other is of no use, and two that are not in memory would take turns in
     * being looked up for ever. */
    return a->patch == NULL || p->stream == NULL ? PATCH_READY : patch_find_log(a, ret_err);
}

static bool judge_retention(struct append *a)
{
    struct append_part *second = second_part(a);
    if (a->part.stream != NULL && !append_part_judge(a->vnode, &a->part, &a->msg)) return false;
    return second == NULL || second->stream == NULL || append_part_judge(a->vnode, second, &a->msg);
}

static enum decision decide(struct append *a, enum ior_err *ret_err)
{
    enum decision again;
    enum patch_step step = find_streams(a, ret_err);
    if (step != PATCH_READY) return step == PATCH_WAITS ? WAITS : ANSWERED;
    if (answer_again(a, &again)) {
        *ret_err = a->err;
        return again;
    }
    if (!expectation_holds(a)) {
        a->last_id = a->part.stream == NULL ? 0 : a->part.stream->reserved;
        *ret_err = a->err = IOR_E_CONFLICT;
        return MUTANT(conflict_at_once) ? ANSWERED : BEHIND;
    }
    step = a->patch == NULL ? PATCH_READY : patch_make_event(a);
    if (step != PATCH_READY) return step == PATCH_WAITS ? WAITS : BEHIND;
    if (!judge_retention(a)) return WAITS;
    *ret_err = reserve_and_propose(a);
    if (*ret_err != IOR_OK) return ANSWERED;
    send_accepted(a);
    return PROPOSED;
}

static void vnode_append(struct msg *m)
{
    struct append *a = IOR_CONTAINER(m, struct append, msg);
    enum ior_err err = IOR_OK;
    IOR_ASSERT(strand_inside(&a->vnode->strand));
    if (a->patch != NULL && !patch_turn(a, &err)) {
        if (err != IOR_OK) answer(a, err);
        return;
    }
    enum decision decision = decide(a, &err);
    if (decision == WAITS) return;
    if (a->patch != NULL) patch_end(a);
    if (decision == ANSWERED) answer(a, err);
    if (decision == BEHIND) group_barrier(&a->vnode->group, &a->op.proposal);
}

static struct append *append_of(struct vnode_op *op)
{
    return IOR_CONTAINER(op, struct append, op);
}

static void on_apply(struct vnode *vn, struct vnode_op *op)
{
    struct append *a = append_of(op);
    append_part_apply(vn, &a->part, a->time_ms, op->proposal.index);
    metric_add(METRIC_append_records, 1);
    if (a->patch == NULL) return;
    append_part_apply(vn, &a->patch->log, a->time_ms, op->proposal.index);
    metric_add(METRIC_patches, 1);
}

/* The turn of this worker may have begun before that of the caller's. */
static void observe(const struct append *a)
{
    uint64_t now_us = clock_turn_us();
    metric_observe_us(HISTOGRAM_append_durable, now_us > a->start_us ? now_us - a->start_us : 0);
}

static void on_done(struct vnode *vn, struct vnode_op *op, enum ior_err err)
{
    (void)vn;
    struct append *a = append_of(op);
    append_part_settle(&a->part, err == IOR_OK);
    if (a->patch != NULL) append_part_settle(&a->patch->log, err == IOR_OK);
    if (err == IOR_OK && a->err == IOR_OK && !a->repeated) observe(a);
    if (err == IOR_OK) err = a->err; /* a conflict that waited for its barrier */
    answer(a, err);
}

/* ---- the front door ---- */

enum ior_err append_admit(struct node *n, uint64_t bytes)
{
    uint64_t inflight = atomic_load(&n->inflight_bytes);
    enum ior_err err = IOR_OK;
    if (inflight > 0 && inflight + bytes > n->params.inflight_bytes_max) {
        err = IOR_E_INFLIGHT;
    } else if (atomic_load(&n->memory.tail_bytes) + inflight + bytes > n->params.tail_bytes_max ||
               atomic_load_explicit(&n->journal_over, memory_order_relaxed)) {
        err = IOR_E_TAILFULL;
    } else if (n->params.disk_reserve_bytes > 0 && (!node_has_room(n, inflight + bytes) ||
                                                    journal_tight(n->journal, inflight + bytes))) {
        err = IOR_E_NOSPC;
    }
    if (err != IOR_OK) metric_add(METRIC_append_refused, 1);
    return err;
}

static void route(struct append *a)
{
    struct append_part *p = &a->part;
    struct append_part *second = second_part(a);
    p->bucket = ior_slice(a->names, a->bucket_bytes);
    p->name = ior_slice(a->names + a->bucket_bytes, a->stream_bytes);
    p->count = a->count;
    p->items = a->record.items;
    p->front = &a->record.front;
    a->vnode = node_route(a->node, p->bucket, p->name, &p->hash);
    if (second == NULL) return;
    const struct vnode *vn = node_route(a->node, second->bucket, second->name, &second->hash);
    IOR_ASSERT(vn == a->vnode); /* patch_name_ok() */
}

enum ior_err iorio_append(struct node *n, struct append *a, append_cb cb)
{
    const struct ior_blob *blob = a->patch == NULL ? a->record.items : a->record.second_items;
    IOR_ASSERT(worker_current() != NULL);
    IOR_ASSERT(blob != NULL);
    uint64_t bytes = ior_blob_cost(blob) + sizeof *a;
    enum ior_err err = append_admit(n, bytes);
    if (err != IOR_OK) return err;
    a->node = n;
    a->cb = cb;
    a->origin = worker_current();
    a->counted_bytes = bytes;
    a->start_us = clock_turn_us();
    a->err = IOR_OK;
    a->op.apply = on_apply;
    a->op.done = on_done;
    a->msg.run = vnode_append;
    route(a);
    atomic_fetch_add(&n->inflight_bytes, bytes);
    err = strand_post(&a->vnode->strand, &a->msg);
    if (err != IOR_OK) {
        atomic_fetch_sub(&n->inflight_bytes, bytes);
        metric_add(METRIC_append_refused, 1);
    }
    return err;
}

/* src/core/append.c - the path of an append (ARCHITECTURE.md section 4).
 * Happy path: the caller's worker copies the events into one blob of items
 * (append_new); inside the vnode's strand the expectation is judged against what
 * is reserved, the next ids are reserved, a CREATE is put in front if the stream
 * is new, and the record is proposed; when it is committed the events enter the
 * tail (apply) and the caller's worker hears (done).
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
#include "core/iorio.h"
#include "core/evict.h"
#include "core/load.h"
#include "core/stream_keys.h"
#include "rt/clock.h"
#include "rt/rand.h"
#include "store/catalog.h"

static struct ior_slice bucket_of(const struct append *a)
{
    return ior_slice(a->names, a->bucket_bytes);
}

static struct ior_slice stream_of(const struct append *a)
{
    return ior_slice(a->names + a->bucket_bytes, a->stream_bytes);
}

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
    if (err == IOR_E_CONFLICT || err == IOR_E_KEYREUSED) {
        metric_add(METRIC_append_conflicts, 1);
    } else if (err == IOR_E_QUOTASTREAMS || err == IOR_E_QUOTABYTES) {
        metric_add(err == IOR_E_QUOTABYTES ? METRIC_limited_bytes : METRIC_limited_streams, 1);
    } else if (err != IOR_OK) {
        metric_add(METRIC_append_lost, 1);
    }
    a->msg.run = run_cb;
    worker_send(a->origin, &a->msg);
}

/* ---- inside the strand ---- */

/* Does the expectation hold for what the log will be when this record is in it? */
static bool expectation_holds(const struct append *a)
{
    const struct stream *s = a->stream;
    uint64_t last = s == NULL ? 0 : s->reserved;
    if (a->expect == EXPECT_LAST_ID) return last == a->expect_last_id;
    if (a->expect == EXPECT_NONE_KEPT) return s == NULL || s->reserved < s->reserved_low;
    return true;
}

static struct ior_blob *create_item(const struct append *a, uint64_t uid)
{
    size_t attrs = attr_bytes(a->bucket_bytes) + attr_bytes(a->stream_bytes);
    struct ior_blob *b = ior_blob_new(item_bytes(attrs, 0));
    if (b == NULL) return NULL;
    item_write(b->data, ITEM_CREATE, 0, attrs, (struct ior_slice){NULL, 0});
    uint8_t *at = b->data + ITEM_HEAD_BYTES;
    at += attr_write(at, ATTR_BUCKET, bucket_of(a));
    attr_write(at, ATTR_STREAM, stream_of(a));
    item_set_place(b->data, uid, 0, 1);
    return b;
}

/* The stream is new: a uid, a row, a CREATE in front of the record. */
static enum ior_err create_stream(struct append *a)
{
    struct stream_table *t = &a->vnode->streams;
    uint64_t uid;
    do {
        uid = catalog_uid(a->hash, rand_u64());
    } while (uid == 0 || uid > CATALOG_UID_MAX || stream_find_uid(t, uid) != NULL);
    a->record.front = create_item(a, uid);
    if (a->record.front == NULL) return IOR_E_NOMEM;
    return stream_add(t, bucket_of(a), stream_of(a), a->hash, uid, &a->stream);
}

/* `low` of an item is what holds behind it: at most its own event. */
static void place_items(struct append *a)
{
    struct ior_blob *b = a->record.items;
    struct ior_slice items = ior_slice(b->data, b->size_bytes);
    uint64_t id = a->first_id;
    size_t pos = 0;
    struct item it;
    while (item_next(items, &pos, &it) == IOR_OK) {
        uint64_t low = a->low < id ? a->low : id;
        item_set_place(b->data + it.offset_bytes, a->stream->uid, id, low);
        stream_note_reserved(a->stream, id++, it.payload.size_bytes, a->time_ms);
    }
    IOR_ASSERT(id == a->last_id + 1);
}

/* ---- retention ---- */

/* More came at once than is kept: of its own events the newest stay. */
static void judge_own(struct append *a, const struct retention *r)
{
    struct ior_slice items = ior_slice(a->record.items->data, a->record.items->size_bytes);
    uint64_t last = a->stream->reserved + a->count;
    size_t pos = 0;
    struct item it;
    while (a->low < last && item_next(items, &pos, &it) == IOR_OK) {
        if (last + 1 - a->low <= r->max_events && a->own_bytes <= r->max_bytes) break;
        a->own_bytes -= it.payload.size_bytes;
        a->low++;
    }
}

/* What goes when this record is applied. False: it waits for sizes from the disk. */
static bool judge_retention(struct append *a)
{
    struct stream *s = a->stream;
    struct retention r;
    a->low = a->front_low = s->reserved_low;
    a->dropped_bytes = 0;
    a->own_bytes = a->payload_bytes;
    if (!evict_policy(a->vnode, s, &r)) return true;
    uint64_t now_ms = atomic_load_explicit(&a->node->retention_now_ms, memory_order_relaxed);
    struct eviction e = {.low = s->reserved_low};
    evict_judge(s, &r, now_ms, a->count, a->payload_bytes, &e);
    if (e.unknown && a->evict_loads++ < EVICT_LOADS_MAX &&
        evict_load(a->vnode, s, &a->msg) == IOR_OK)
        return false;
    a->low = a->front_low = e.low;
    a->dropped_bytes = e.dropped_bytes;
    if (e.low == s->reserved + 1) judge_own(a, &r);
    return true;
}

/* Of what was there before: a LOW in front, with the bytes that go. */
static enum ior_err make_front_low(struct append *a)
{
    if (a->front_low == a->stream->reserved_low) return IOR_OK;
    a->record.front = evict_item(a->stream, ITEM_LOW, a->front_low, a->dropped_bytes);
    return a->record.front == NULL ? IOR_E_NOMEM : IOR_OK;
}

static enum ior_err remember(struct append *a, uint64_t wall_ms)
{
    const struct dedupe_entry e = {.body_hash = a->body_hash,
                                   .first_id = a->first_id,
                                   .last_id = a->last_id,
                                   .time_ms = a->time_ms};
    struct stream_table *t = &a->vnode->streams;
    enum ior_err err = stream_keys_add(t, a->stream, a->key, &e, wall_ms);
    if (err == IOR_OK) a->dedupe_shortened_ms = stream_keys_shortened_ms(t, a->stream, wall_ms);
    return err;
}

/* ---- the quota of the bucket ---- */

static enum ior_err take_quota(struct append *a)
{
    struct quota *q = NULL;
    const struct quota_sum c = {a->is_new || a->stream->reserved_deleted ? 1 : 0,
                                (int64_t)a->own_bytes - (int64_t)a->dropped_bytes};
    enum ior_err err = quota_of(a->node->quotas, a->stream, &q);
    if (err == IOR_OK && q != NULL) err = quota_take(q, c);
    if (err != IOR_OK || q == NULL) return err;
    a->quota = quota_ref(q); /* the stream may go before the end */
    a->taken = c;
    return IOR_OK;
}

static void settle_quota(struct append *a, bool committed)
{
    if (a->quota == NULL) return;
    quota_settle(a->quota, a->taken, committed);
    quota_unref(a->quota);
    a->quota = NULL;
}

static enum ior_err reserve_and_propose(struct append *a)
{
    a->is_new = a->stream == NULL;
    if (a->is_new) {
        enum ior_err err = create_stream(a);
        if (err != IOR_OK) return err;
        bool judged = judge_retention(a);
        IOR_ASSERT(judged); /* nothing of it is on the disk */
    }
    struct stream *s = a->stream;
    enum ior_err err = take_quota(a);
    if (err == IOR_OK) err = stream_reserve_room(s, a->count);
    if (err == IOR_OK) err = make_front_low(a);
    uint64_t wall_ms = clock_wall_ms();
    a->time_ms = MUTANT(time_goes_back) ? wall_ms : stream_next_time_ms(s, wall_ms);
    a->first_id = s->reserved + 1;
    a->last_id = s->reserved + a->count;
    if (err == IOR_OK && a->key.size_bytes > 0) err = remember(a, wall_ms);
    if (err == IOR_OK) {
        place_items(a);
        a->op.proposal.record = &a->record;
        a->op.proposal.time_ms = a->time_ms;
        err = vnode_propose(a->vnode, &a->op);
    }
    if (err == IOR_OK) {
        s->reserved = a->last_id;
        s->reserved_time_ms = a->time_ms;
        s->reserved_bytes += a->own_bytes - a->dropped_bytes;
        s->reserved_low = a->low;
        s->reserved_deleted = false;
        return err;
    }
    settle_quota(a, false);
    if (a->is_new) {
        stream_remove_uncommitted(&a->vnode->streams, s);
    } else {
        stream_keys_drop_above(&a->vnode->streams, s, s->reserved);
    }
    return err;
}

static void send_accepted(struct append *a)
{
    if (a->durability != DURABILITY_MEMORY || a->accepted == NULL) return;
    a->accept_pending = true;
    a->accepted_msg.run = run_accepted;
    worker_send(a->origin, &a->accepted_msg);
}

/* True: its key is known; the answer is the first one's, or that the events are others.
 * Not before the first one is on disk; if that is lost, so is this. */
static bool answer_again(struct append *a)
{
    struct stream *s = a->stream;
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
    if (e->last_id <= s->high || MUTANT(repeat_at_once)) {
        answer(a, a->err);
    } else {
        group_barrier(&a->vnode->group, &a->op.proposal);
    }
    return true;
}

static void vnode_append(struct msg *m)
{
    struct append *a = IOR_CONTAINER(m, struct append, msg);
    IOR_ASSERT(strand_inside(&a->vnode->strand));
    struct found found = vnode_find(a->vnode, &a->msg, bucket_of(a), stream_of(a), a->hash);
    if (found.parked) return;
    if (found.err != IOR_OK) {
        answer(a, found.err);
        return;
    }
    a->stream = found.stream;
    if (a->stream != NULL && a->stream->heading != NULL) { /* behind those that wait already */
        evict_park(a->stream, m);
        return;
    }
    if (answer_again(a)) return;
    if (!expectation_holds(a)) {
        a->last_id = a->stream == NULL ? 0 : a->stream->reserved;
        a->err = IOR_E_CONFLICT;
        if (MUTANT(conflict_at_once)) {
            answer(a, IOR_E_CONFLICT);
            return;
        }
        group_barrier(&a->vnode->group, &a->op.proposal); /* not before what it was judged by */
        return;
    }
    if (a->stream != NULL && !judge_retention(a)) return;
    enum ior_err err = reserve_and_propose(a);
    if (err != IOR_OK) {
        answer(a, err);
        return;
    }
    send_accepted(a);
}

static struct append *append_of(struct vnode_op *op)
{
    return IOR_CONTAINER(op, struct append, op);
}

static void count_by_bucket(const struct append *a)
{
    struct bucket *b = a->stream->bucket;
    if (b->metric_slot == 0) b->metric_slot = metric_bucket_slot(bucket_name(b));
    metric_bucket_add(BUCKET_METRIC_bucket_append_events, b->metric_slot, a->count);
    metric_bucket_add(BUCKET_METRIC_bucket_append_bytes, b->metric_slot, a->payload_bytes);
}

static void on_apply(struct vnode *vn, struct vnode_op *op)
{
    struct append *a = append_of(op);
    struct stream *s = a->stream;
    struct ior_blob *b = a->record.items;
    struct ior_slice items = ior_slice(b->data, b->size_bytes);
    uint64_t low = s->low;
    uint64_t own_gone = a->payload_bytes - a->own_bytes;
    size_t pos = 0;
    struct item it;
    if (a->is_new) stream_commit(&vn->streams, s);
    if (a->front_low > s->low) stream_trim(&vn->streams, s, a->front_low, a->dropped_bytes);
    stream_set_deleted(s, false);
    while (item_next(items, &pos, &it) == IOR_OK)
        stream_push(s, b, &it, a->time_ms, a->op.proposal.index);
    IOR_ASSERT(s->high == a->last_id);
    atomic_fetch_add(&vn->node->memory.tail_bytes, stream_record_cost(b, a->count));
    if (a->low > s->low) stream_trim(&vn->streams, s, a->low, own_gone);
    stream_changed(&vn->streams, s, a->op.proposal.index);
    if (s->low > low) {
        metric_add(METRIC_retention_events, s->low - low);
        metric_add(METRIC_retention_bytes, a->dropped_bytes + own_gone);
    }
    if (vn->watches.count > 0)
        watch_table_fire(&vn->watches, bucket_of(a), stream_of(a), a->hash, s->high);
    metric_add(METRIC_append_events, a->count);
    metric_add(METRIC_append_bytes, a->payload_bytes);
    metric_add(METRIC_append_records, 1);
    count_by_bucket(a);
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
    settle_quota(a, err == IOR_OK);
    if (err == IOR_OK && a->err == IOR_OK && !a->repeated) observe(a);
    if (err == IOR_OK) err = a->err; /* a conflict that waited for its barrier */
    answer(a, err);
}

/* ---- the front door ---- */

enum ior_err iorio_append(struct node *n, struct append *a, append_cb cb)
{
    IOR_ASSERT(worker_current() != NULL);
    IOR_ASSERT(a->record.items != NULL);
    uint64_t bytes = ior_blob_cost(a->record.items) + sizeof *a;
    uint64_t inflight = atomic_load(&n->inflight_bytes);
    if (inflight > 0 && inflight + bytes > n->params.inflight_bytes_max) {
        metric_add(METRIC_append_refused, 1);
        return IOR_E_INFLIGHT;
    }
    if (atomic_load(&n->memory.tail_bytes) + inflight + bytes > n->params.tail_bytes_max ||
        atomic_load_explicit(&n->journal_over, memory_order_relaxed)) {
        metric_add(METRIC_append_refused, 1);
        return IOR_E_TAILFULL;
    }
    bool keep_room = n->params.disk_reserve_bytes > 0;
    if (keep_room &&
        (!node_has_room(n, inflight + bytes) || journal_tight(n->journal, inflight + bytes))) {
        metric_add(METRIC_append_refused, 1);
        return IOR_E_NOSPC;
    }
    a->node = n;
    a->cb = cb;
    a->origin = worker_current();
    a->counted_bytes = bytes;
    a->start_us = clock_turn_us();
    a->err = IOR_OK;
    a->vnode = node_route(n, bucket_of(a), stream_of(a), &a->hash);
    a->op.apply = on_apply;
    a->op.done = on_done;
    a->msg.run = vnode_append;
    atomic_fetch_add(&n->inflight_bytes, bytes);
    enum ior_err err = strand_post(&a->vnode->strand, &a->msg);
    if (err != IOR_OK) {
        atomic_fetch_sub(&n->inflight_bytes, bytes);
        metric_add(METRIC_append_refused, 1);
    }
    return err;
}

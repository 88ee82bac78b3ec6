/* src/core/append_part.c - see part.h.
 * Failure modes: no memory, only in judge and prepare: nothing was proposed then. */
#include "core/append_part.h"

#include "base/assert.h"
#include "base/metrics.h"
#include "core/evict.h"
#include "core/node.h"
#include "rt/rand.h"
#include "store/catalog.h"

/* ---- retention ---- */

/* More came at once than is kept: of its own events the newest stay. */
static void judge_own(struct append_part *p, const struct retention *r)
{
    struct ior_slice items = ior_slice(p->items->data, p->items->size_bytes);
    uint64_t last = p->stream->reserved + p->count;
    size_t pos = 0;
    struct item it;
    while (p->low < last && item_next(items, &pos, &it) == IOR_OK) {
        if (last + 1 - p->low <= r->max_events && p->own_bytes <= r->max_bytes) break;
        p->own_bytes -= it.payload.size_bytes;
        p->low++;
    }
}

bool append_part_judge(struct vnode *vn, struct append_part *p, struct msg *m)
{
    struct stream *s = p->stream;
    struct retention r;
    p->low = p->front_low = s->reserved_low;
    p->dropped_bytes = 0;
    p->own_bytes = p->payload_bytes;
    if (!evict_policy(vn, s, &r)) return true;
    uint64_t now_ms = atomic_load_explicit(&vn->node->retention_now_ms, memory_order_relaxed);
    struct eviction e = {.low = s->reserved_low};
    evict_judge(s, &r, now_ms, p->count, p->payload_bytes, &e);
    if (e.unknown && p->evict_loads++ < EVICT_LOADS_MAX && evict_load(vn, s, m) == IOR_OK)
        return false;
    p->low = p->front_low = e.low;
    p->dropped_bytes = e.dropped_bytes;
    if (e.low == s->reserved + 1) judge_own(p, &r);
    return true;
}

/* ---- before it is proposed ---- */

static struct ior_blob *create_item(const struct append_part *p, uint64_t uid)
{
    size_t attrs = attr_bytes(p->bucket.size_bytes) + attr_bytes(p->name.size_bytes);
    struct ior_blob *b = ior_blob_new(item_bytes(attrs, 0));
    if (b == NULL) return NULL;
    item_write(b->data, ITEM_CREATE, 0, attrs, (struct ior_slice){NULL, 0});
    uint8_t *at = b->data + ITEM_HEAD_BYTES;
    at += attr_write(at, ATTR_BUCKET, p->bucket);
    attr_write(at, ATTR_STREAM, p->name);
    item_set_place(b->data, uid, 0, 1);
    return b;
}

/* The stream is new: a uid, a row, a CREATE in front of its events. */
static enum ior_err create_stream(struct vnode *vn, struct append_part *p)
{
    struct stream_table *t = &vn->streams;
    uint64_t uid;
    do {
        uid = catalog_uid(p->hash, rand_u64());
    } while (uid == 0 || uid > CATALOG_UID_MAX || stream_find_uid(t, uid) != NULL);
    *p->front = create_item(p, uid);
    if (*p->front == NULL) return IOR_E_NOMEM;
    return stream_add(t, p->bucket, p->name, p->hash, uid, &p->stream);
}

/* Of what was there before: a LOW in front, with the bytes that go. */
static enum ior_err make_front_low(struct append_part *p)
{
    if (p->front_low == p->stream->reserved_low) return IOR_OK;
    *p->front = evict_item(p->stream, ITEM_LOW, p->front_low, p->dropped_bytes);
    return *p->front == NULL ? IOR_E_NOMEM : IOR_OK;
}

/* ---- the quota of the bucket ---- */

static enum ior_err take_quota(struct vnode *vn, struct append_part *p)
{
    struct quota *q = NULL;
    const struct quota_sum c = {p->is_new || p->stream->reserved_deleted ? 1 : 0,
                                (int64_t)p->own_bytes - (int64_t)p->dropped_bytes};
    enum ior_err err = quota_of(vn->node->quotas, p->stream, &q);
    if (err == IOR_OK && q != NULL) err = quota_take(q, c);
    if (err != IOR_OK || q == NULL) return err;
    p->quota = quota_ref(q); /* the stream may go before the end */
    p->taken = c;
    return IOR_OK;
}

void append_part_settle(struct append_part *p, bool committed)
{
    if (p->quota == NULL) return;
    quota_settle(p->quota, p->taken, committed);
    quota_unref(p->quota);
    p->quota = NULL;
}

enum ior_err append_part_prepare(struct vnode *vn, struct append_part *p)
{
    p->is_new = p->stream == NULL;
    if (p->is_new) {
        enum ior_err err = create_stream(vn, p);
        if (err != IOR_OK) return err;
        bool judged = append_part_judge(vn, p, NULL);
        IOR_ASSERT(judged); /* nothing of it is on the disk */
    }
    enum ior_err err = take_quota(vn, p);
    if (err == IOR_OK) err = stream_reserve_room(p->stream, p->count);
    return err == IOR_OK ? make_front_low(p) : err;
}

/* `low` of an item is what holds behind it: at most its own event. */
void append_part_place(struct append_part *p, uint64_t time_ms)
{
    struct stream *s = p->stream;
    struct ior_slice items = ior_slice(p->items->data, p->items->size_bytes);
    uint64_t id = p->first_id = s->reserved + 1;
    size_t pos = 0;
    struct item it;
    p->last_id = s->reserved + p->count;
    while (item_next(items, &pos, &it) == IOR_OK) {
        uint64_t low = p->low < id ? p->low : id;
        item_set_place(p->items->data + it.offset_bytes, s->uid, id, low);
        stream_note_reserved(s, id++, p->items, &it, time_ms);
    }
    IOR_ASSERT(id == p->last_id + 1);
}

void append_part_reserve(struct append_part *p, uint64_t time_ms)
{
    struct stream *s = p->stream;
    s->reserved = p->last_id;
    s->reserved_time_ms = time_ms;
    s->reserved_bytes += p->own_bytes - p->dropped_bytes;
    s->reserved_low = p->low;
    s->reserved_deleted = false;
}

void append_part_undo(struct vnode *vn, struct append_part *p)
{
    append_part_settle(p, false);
    if (p->is_new && p->stream != NULL) {
        stream_remove_uncommitted(&vn->streams, p->stream);
        p->stream = NULL;
    }
    ior_blob_unref(*p->front);
    *p->front = NULL;
    p->is_new = false;
}

/* ---- committed ---- */

static void count_by_bucket(const struct append_part *p)
{
    struct bucket *b = p->stream->bucket;
    if (b->metric_slot == 0) b->metric_slot = metric_bucket_slot(bucket_name(b));
    metric_bucket_add(BUCKET_METRIC_bucket_append_events, b->metric_slot, p->count);
    metric_bucket_add(BUCKET_METRIC_bucket_append_bytes, b->metric_slot, p->payload_bytes);
}

void append_part_apply(struct vnode *vn, struct append_part *p, uint64_t time_ms, uint64_t index)
{
    struct stream *s = p->stream;
    struct ior_slice items = ior_slice(p->items->data, p->items->size_bytes);
    uint64_t low = s->low;
    uint64_t own_gone = p->payload_bytes - p->own_bytes;
    size_t pos = 0;
    struct item it;
    if (p->is_new) stream_commit(&vn->streams, s);
    if (p->front_low > s->low) stream_trim(&vn->streams, s, p->front_low, p->dropped_bytes);
    stream_set_deleted(s, false);
    while (item_next(items, &pos, &it) == IOR_OK) stream_push(s, p->items, &it, time_ms, index);
    IOR_ASSERT(s->high == p->last_id);
    atomic_fetch_add(&vn->node->memory.tail_bytes, stream_record_cost(p->items, p->count));
    if (p->low > s->low) stream_trim(&vn->streams, s, p->low, own_gone);
    stream_changed(&vn->streams, s, index);
    if (s->low > low) {
        metric_add(METRIC_retention_events, s->low - low);
        metric_add(METRIC_retention_bytes, p->dropped_bytes + own_gone);
    }
    if (vn->watches.count > 0) watch_table_fire(&vn->watches, p->bucket, p->name, p->hash, s->high);
    metric_add(METRIC_append_events, p->count);
    metric_add(METRIC_append_bytes, p->payload_bytes);
    count_by_bucket(p);
}

/* src/core/patch.c - see patch.h.
 * Happy path: patches of one stream take turns. The one whose turn it is looks at the newest
 * event, which may still be on its way to the disk: what it makes of it will be
 * durable only behind it. A small event is patched here, inside the strand, so nothing
 * can come between. A large one, or one that is not in memory, is read and patched by the disk
 * pool; when the stream went on meanwhile that was for nothing and it is done again.
 * As soon as it is proposed, or cannot be, it is the next one's turn.
 * Failure modes: what was judged by an event that is only reserved is answered when that is
 * committed (append.c); lost reservations are noticed by vnode.losses, for their ids
 * are given again. Appends that always come between: PATCH_TRIES_MAX, then CONFLICT. */
#include "core/patch.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/mutant.h"
#include "core/append.h"
#include "core/load.h"
#include "store/fetch.h"

static const struct json_tree_limits inside = {4 * PATCH_INLINE_DOC_BYTES, PATCH_INLINE_STEPS,
                                               PATCH_INLINE_MEMORY};
static const struct json_tree_limits outside = {PATCH_DOC_BYTES_MAX, PATCH_STEPS_MAX,
                                                PATCH_MEMORY_MAX};

void patch_free(struct patch *p)
{
    if (p == NULL) return;
    IOR_ASSERT(!p->has_turn && p->pinned == NULL);
    json_patch_free(p->parsed);
    ior_blob_unref(p->base);
    ior_blob_unref(p->result);
    free(p);
}

/* ---- one after the other ---- */

struct name_pair {
    struct ior_slice bucket, stream;
};

static bool same_stream(const void *object, const void *key)
{
    const struct append *a = object;
    const struct name_pair *k = key;
    return ior_slice_eq(a->part.name, k->stream) && ior_slice_eq(a->part.bucket, k->bucket);
}

bool patch_turn(struct append *a, enum ior_err *ret_err)
{
    struct vnode *vn = a->vnode;
    *ret_err = IOR_OK;
    if (a->patch->has_turn) return true;
    const struct name_pair key = {a->part.bucket, a->part.name};
    struct append *first = ior_map_find(&vn->patches, a->part.hash, same_stream, &key);
    if (first == NULL) {
        *ret_err = ior_map_add(&vn->patches, a->part.hash, a);
        a->patch->has_turn = *ret_err == IOR_OK;
        return a->patch->has_turn;
    }
    if (vn->patches_waiting >= STRAND_QUEUE_MAX) {
        *ret_err = IOR_E_BUSY;
        return false;
    }
    ior_queue_push(&first->patch->waiting, &a->msg.link);
    vn->patches_waiting++;
    return false;
}

void patch_end(struct append *a)
{
    struct vnode *vn = a->vnode;
    struct patch *p = a->patch;
    IOR_ASSERT(strand_inside(&vn->strand) && p->has_turn);
    if (p->pinned != NULL) p->pinned->pins--;
    p->pinned = NULL;
    p->has_turn = false;
    ior_map_remove(&vn->patches, a->part.hash, a);
    struct ior_link *link = ior_queue_pop(&p->waiting);
    if (link == NULL) return;
    struct append *next = IOR_CONTAINER(IOR_CONTAINER(link, struct msg, link), struct append, msg);
    vn->patches_waiting--;
    ior_queue_move(&next->patch->waiting, &p->waiting);
    enum ior_err err = ior_map_add(&vn->patches, next->part.hash, next);
    IOR_ASSERT(err == IOR_OK); /* there is the room that has just been left */
    next->patch->has_turn = true;
    strand_post_completion(&vn->strand, &next->msg);
}

enum patch_step patch_find_log(struct append *a, enum ior_err *ret_err)
{
    struct append_part *log = &a->patch->log;
    struct stream *s = a->part.stream;
    if (a->patch->pinned == NULL && s != NULL && s->committed) { /* it is found at once again */
        a->patch->pinned = s;
        s->pins++;
    }
    struct found found = vnode_find(a->vnode, &a->msg, log->bucket, log->name, log->hash);
    if (found.parked) return PATCH_WAITS;
    *ret_err = found.err;
    if (found.err != IOR_OK) return PATCH_FAILS;
    log->stream = found.stream;
    if (log->stream == NULL || log->stream->heading == NULL) return PATCH_READY;
    evict_park(log->stream, &a->msg);
    return PATCH_WAITS;
}

/* ---- the result: any thread ---- */

static struct ior_blob *make_item(const struct append *a, struct ior_slice text)
{
    size_t attrs = a->key.size_bytes == 0 ? 0 : attr_bytes(a->key.size_bytes);
    struct ior_blob *b = ior_blob_new(item_bytes(attrs, text.size_bytes));
    if (b == NULL) return NULL;
    item_write(b->data, ITEM_APPEND, ITEM_FLAG_JSON, attrs, text);
    if (attrs > 0) attr_write(b->data + ITEM_HEAD_BYTES, ATTR_IDEMPOTENCY_KEY, a->key);
    return b;
}

static enum ior_err too_large(struct patch *p, size_t bytes)
{
    p->fault = (struct json_patch_fault){.op = JSON_PATCH_NO_OP};
    return ior_why_set(&p->fault.why, IOR_E_TOOLARGE,
                       "The newest event has %zu bytes; one that is patched has at most %u", bytes,
                       PATCH_DOC_BYTES_MAX);
}

static enum ior_err not_json(struct patch *p)
{
    p->fault = (struct json_patch_fault){.op = JSON_PATCH_NO_OP};
    return ior_why_set(&p->fault.why, IOR_E_BODY, "The newest event is not JSON");
}

static enum ior_err compute(struct append *a, const struct json_tree_limits *limits)
{
    struct patch *p = a->patch;
    struct ior_buf out;
    ior_buf_init(&out);
    enum ior_err err = json_patch_apply(p->parsed, p->base_payload, limits, &out, &p->fault);
    if (err == IOR_OK) {
        p->result = make_item(a, ior_buf_slice(&out));
        p->result_bytes = out.size_bytes;
        if (p->result == NULL) err = IOR_E_NOMEM;
    }
    ior_buf_done(&out);
    return err;
}

/* ---- outside of the strand ---- */

static enum ior_err read_base(struct append *a)
{
    struct patch *p = a->patch;
    struct chunk_entry entry;
    struct ior_why why;
    size_t count = 0;
    enum ior_err err = fetch_events(a->node->fetch, a->vnode->partition, p->base_uid, p->base_id,
                                    &entry, 1, &count, &p->base, &why);
    if (err != IOR_OK) {
        if (err != IOR_E_NOTFOUND)
            LOG_ERROR("patch", "cannot read", "err=%s: %s", ior_err_name(err), why.text);
        return err;
    }
    p->base_payload = entry.item.payload;
    if ((entry.item.flags & ITEM_FLAG_JSON) == 0) return not_json(p);
    if (p->base_payload.size_bytes > PATCH_DOC_BYTES_MAX)
        return too_large(p, p->base_payload.size_bytes);
    return IOR_OK;
}

static void work(struct job *j)
{
    struct patch *p = IOR_CONTAINER(j, struct patch, job);
    p->err = p->base == NULL ? read_base(p->owner) : IOR_OK;
    if (p->err == IOR_OK) p->err = compute(p->owner, &outside);
    ior_blob_unref(p->base);
    p->base = NULL;
}

static void work_done(struct job *j)
{
    struct patch *p = IOR_CONTAINER(j, struct patch, job);
    p->computed = true;
    strand_post_completion(&p->owner->vnode->strand, &p->owner->msg);
}

static enum patch_step start_job(struct append *a)
{
    struct patch *p = a->patch;
    p->job.work = work;
    p->job.done = work_done;
    enum ior_err err = job_submit(a->node->params.disk_jobs, &p->job);
    if (err == IOR_OK) return PATCH_WAITS;
    ior_blob_unref(p->base);
    p->base = NULL;
    a->err = err;
    return PATCH_FAILS;
}

/* ---- inside the strand ---- */

/* False: it is too large for here. */
static bool compute_here(struct append *a)
{
    struct patch *p = a->patch;
    if (p->base_payload.size_bytes > PATCH_INLINE_DOC_BYTES ||
        p->body_bytes > PATCH_INLINE_DOC_BYTES)
        return false;
    p->err = compute(a, &inside);
    if (p->err == IOR_E_TOOLARGE) return false;
    ior_blob_unref(p->base);
    p->base = NULL;
    p->computed = true;
    return true;
}

/* The event that it is computed by: the newest one, committed or not. */
static enum patch_step take_base(struct append *a)
{
    struct patch *p = a->patch;
    struct stream *s = a->part.stream;
    const struct tail_entry *e = stream_newest(s);
    p->base_id = s->reserved;
    p->base_uid = s->uid;
    p->base_low = s->low;
    p->base_losses = a->vnode->losses;
    if (MUTANT(patch_old_base) && s->high >= s->first && s->high >= s->low)
        e = stream_entry(s, s->high);
    if (e == NULL) return start_job(a);
    struct item it = item_at(ior_slice(e->blob->data, e->blob->size_bytes), e->offset_bytes);
    p->computed = true;
    if ((it.flags & ITEM_FLAG_JSON) == 0) {
        p->err = not_json(p);
        return PATCH_READY;
    }
    if (it.payload.size_bytes > PATCH_DOC_BYTES_MAX) {
        p->err = too_large(p, it.payload.size_bytes);
        return PATCH_READY;
    }
    p->computed = false;
    p->base = ior_blob_ref(e->blob);
    p->base_payload = it.payload;
    return compute_here(a) ? PATCH_READY : start_job(a);
}

static bool still_holds(const struct append *a)
{
    const struct patch *p = a->patch;
    if (MUTANT(patch_stale)) return true;
    /* The low may have moved: then what the disk does not have may rightly be gone. */
    if (p->err == IOR_E_NOTFOUND && p->base_low != a->part.stream->low) return false;
    return p->base_id == a->part.stream->reserved && p->base_losses == a->vnode->losses;
}

/* What was computed is for nothing. */
static enum patch_step once_more(struct append *a)
{
    struct patch *p = a->patch;
    p->computed = false;
    ior_blob_unref(p->result);
    p->result = NULL;
    metric_add(METRIC_patch_retries, 1);
    if (p->tries++ < PATCH_TRIES_MAX) return PATCH_READY;
    p->raced = true;
    p->raced_id = p->base_id;
    a->err = IOR_E_CONFLICT;
    a->last_id = a->part.stream->reserved;
    metric_add(METRIC_patch_races, 1);
    return PATCH_FAILS;
}

static void drop_result(struct append *a)
{
    if (a->record.items == NULL) return;
    uint64_t bytes = ior_blob_cost(a->record.items);
    a->counted_bytes -= bytes;
    atomic_fetch_sub(&a->node->inflight_bytes, bytes);
    ior_blob_unref(a->record.items);
    a->record.items = NULL;
}

/* The result becomes the event. */
static enum patch_step take_result(struct append *a)
{
    struct patch *p = a->patch;
    if (p->result != NULL) { /* else it was taken before, and waited for something */
        uint64_t bytes = ior_blob_cost(p->result);
        a->err = append_admit(a->node, bytes);
        if (a->err != IOR_OK) return PATCH_FAILS;
        a->counted_bytes += bytes;
        atomic_fetch_add(&a->node->inflight_bytes, bytes);
        drop_result(a); /* of an earlier try */
        a->record.items = a->part.items = p->result;
        a->part.payload_bytes = p->result_bytes;
        p->result = NULL;
    }
    return PATCH_READY;
}

/* The newest event is one that a reader would see: what is too old goes before he looks
 * (evict_due). */
static bool is_kept(struct append *a)
{
    struct stream *s = a->part.stream;
    struct retention r;
    if (s == NULL || s->reserved < s->reserved_low) return false;
    if (!evict_policy(a->vnode, s, &r)) return true;
    uint64_t now_ms = atomic_load_explicit(&a->node->retention_now_ms, memory_order_relaxed);
    uint64_t second_ms = now_ms - now_ms % 1000;
    return second_ms <= r.max_age_ms || s->reserved_time_ms >= second_ms - r.max_age_ms;
}

enum patch_step patch_make_event(struct append *a)
{
    struct patch *p = a->patch;
    if (!is_kept(a)) {
        a->err = IOR_E_NOEVENT;
        return PATCH_FAILS;
    }
    if (p->computed && !still_holds(a)) {
        if (once_more(a) == PATCH_FAILS) return PATCH_FAILS;
    }
    if (!p->computed) {
        enum patch_step step = take_base(a);
        if (step != PATCH_READY) return step;
    }
    if (p->err == IOR_OK) return take_result(a);
    a->err = p->err;
    if (p->err == IOR_E_BODY || p->err == IOR_E_TOOLARGE) metric_add(METRIC_patch_refused, 1);
    if (p->err == IOR_E_NOTFOUND) {
        LOG_ERROR(
            "patch", "missing", "partition=%u uid=%016llx id=%llu: the catalog has no place for it",
            a->vnode->partition, (unsigned long long)p->base_uid, (unsigned long long)p->base_id);
        a->err = IOR_E_CORRUPT;
    }
    return PATCH_FAILS;
}

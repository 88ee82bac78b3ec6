/* src/core/read.c - reading events, one bounded visit at a time.
 * Happy path: inside the strand the wanted range is cut to what is kept. What is in memory
 * is taken as references; what is on the disk is read by a thread of the disk pool, a block
 * of a chunk or a small stream, without the strand. A long read is many visits (`next`,
 * `left`), so neither the strand nor memory is held.
 * What a policy says is exact for readers: where something must go first (a policy that is new,
 * time that passed), a trim by policy is sent before the stream is shown.
 * Failure modes: a trim that cannot be made (a full disk) leaves the read as it is. Events that
 * retention removed while the disk was asked are looked for once more from the strand, which knows
 * the new low; what is not there although low has not moved is CORRUPT. A read that cannot be done
 * says so in `err`, and gives no events. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "core/iorio.h"
#include "core/load.h"
#include "store/fetch.h"

/* A long trim is in several pieces (EVICT_STEPS_MAX); so many for one visit. */
enum { READ_EVICTIONS_MAX = 64 };

enum ior_err read_new(struct ior_slice bucket, struct ior_slice stream, struct read **ret)
{
    IOR_ASSERT(bucket.size_bytes <= BUCKET_BYTES_MAX && stream.size_bytes <= STREAM_BYTES_MAX);
    struct read *r = malloc(sizeof *r + bucket.size_bytes + stream.size_bytes);
    if (r == NULL) return IOR_E_NOMEM;
    memset(r, 0, sizeof *r); /* calloc() goes past the thread's cache of free pieces */
    r->to = UINT64_MAX;
    r->limit = 1;
    r->events = &r->one;
    r->room = 1;
    r->bucket_bytes = (uint8_t)bucket.size_bytes;
    r->stream_bytes = (uint16_t)stream.size_bytes;
    memcpy(r->names, bucket.data, bucket.size_bytes);
    memcpy(r->names + bucket.size_bytes, stream.data, stream.size_bytes);
    *ret = r;
    return IOR_OK;
}

static void drop_events(struct read *r)
{
    for (size_t i = 0; i < r->count; i++) ior_blob_unref(r->events[i].blob);
    r->count = 0;
}

void read_release(struct read *r)
{
    drop_events(r);
    r->how = READ_FROM_ID;
    r->from = r->next;
    r->limit = r->left;
    r->whole = true;
}

void read_free(struct read *r)
{
    if (r == NULL) return;
    drop_events(r);
    if (r->events != &r->one) free(r->events);
    free(r);
}

static uint64_t first_wanted(const struct read *r)
{
    uint64_t from = r->from;
    uint64_t top = r->to < r->high ? r->to : r->high;
    if (r->how == READ_LAST) from = r->limit > top ? 0 : top - r->limit + 1;
    if (r->how == READ_FROM_END) from = r->from > r->high ? 0 : r->high - r->from + 1;
    return from < r->low ? r->low : from;
}

static void take_events(struct read *r, const struct stream *s, uint64_t from, uint64_t to)
{
    size_t bytes = 0;
    uint64_t id = from;
    for (; id <= to && r->count < r->room; id++) {
        const struct tail_entry *e = stream_entry(s, id);
        if (r->count > 0 && bytes + e->payload_bytes > READ_VISIT_BYTES) break;
        bytes += e->payload_bytes;
        struct item it = item_at(ior_slice(e->blob->data, e->blob->size_bytes), e->offset_bytes);
        r->events[r->count++] = (struct event_out){
            .blob = ior_blob_ref(e->blob),
            .payload = it.payload,
            .id = id,
            .time_ms = e->time_ms,
            .json = (it.flags & ITEM_FLAG_JSON) != 0,
        };
    }
    r->left -= id - from;
    r->next = id <= to ? id : 0;
}

static void run_cb(struct msg *m)
{
    struct read *r = IOR_CONTAINER(m, struct read, msg);
    r->cb(r);
}

static void answer(struct read *r, enum ior_err err)
{
    r->err = err;
    metric_add(METRIC_read_events, r->count);
    r->msg.run = run_cb;
    worker_send(r->origin, &r->msg);
}

/* ---- from the disk ---- */

static void take_entries(struct read *r, const struct chunk_entry *entries, size_t count,
                         struct ior_blob *blob)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        const struct item *it = &entries[i].item;
        if (i > 0 && bytes + it->payload.size_bytes > READ_VISIT_BYTES) break;
        bytes += it->payload.size_bytes;
        r->events[r->count++] = (struct event_out){
            .blob = ior_blob_ref(blob),
            .payload = it->payload,
            .id = it->seqnum,
            .time_ms = entries[i].time_ms,
            .json = (it->flags & ITEM_FLAG_JSON) != 0,
        };
    }
}

static void read_disk(struct job *j)
{
    struct read *r = IOR_CONTAINER(j, struct read, job);
    struct chunk_entry entries[READ_VISIT_ENTRIES];
    struct ior_blob *blob = NULL;
    struct ior_why why;
    size_t count = 0;
    IOR_ASSERT(r->disk_max > 0 && r->disk_max <= READ_VISIT_ENTRIES && r->disk_max <= r->room);
    r->disk_err = fetch_events(r->node->fetch, r->vnode->partition, r->disk_uid, r->disk_from,
                               entries, r->disk_max, &count, &blob, &why);
    if (r->disk_err == IOR_OK) {
        take_entries(r, entries, count, blob);
        ior_blob_unref(blob);
    } else if (r->disk_err != IOR_E_NOTFOUND) {
        LOG_ERROR("read", "cannot read", "err=%s: %s", ior_err_name(r->disk_err), why.text);
    }
}

static void vnode_read(struct msg *m);

static void read_disk_done(struct job *j)
{
    struct read *r = IOR_CONTAINER(j, struct read, job);
    if (r->disk_err == IOR_E_NOTFOUND) { /* retention was faster; the strand knows better */
        r->msg.run = vnode_read;
        strand_post_completion(&r->vnode->strand, &r->msg);
        return;
    }
    if (r->disk_err == IOR_OK) {
        r->next = r->count < r->left ? r->disk_from + r->count : 0;
        r->left -= r->count;
    }
    answer(r, r->disk_err);
}

/* So many ids from `from` on are wanted; those below first_in_memory are on the disk. */
static void ask_disk(struct read *r, const struct stream *s, uint64_t from, uint64_t to)
{
    bool asked = r->disk_err == IOR_E_NOTFOUND && r->disk_uid == s->uid && r->disk_from == from &&
                 r->disk_low == s->low;
    if (asked) {
        LOG_ERROR("read", "missing",
                  "partition=%u uid=%016llx id=%llu: the catalog has no place "
                  "for it, but low is %llu",
                  r->vnode->partition, (unsigned long long)s->uid, (unsigned long long)from,
                  (unsigned long long)s->low);
        answer(r, IOR_E_CORRUPT);
        return;
    }
    uint64_t count = s->first - from;
    if (count > to - from + 1) count = to - from + 1;
    r->disk_uid = s->uid;
    r->disk_from = from;
    r->disk_low = s->low;
    r->disk_max = count < r->room ? (size_t)count : r->room;
    r->left = to - from + 1;
    r->job.work = read_disk;
    r->job.done = read_disk_done;
    metric_add(METRIC_read_disk, 1);
    enum ior_err err = job_submit(r->node->params.disk_jobs, &r->job);
    if (err != IOR_OK) answer(r, err);
}

/* ---- in the strand ---- */

/* ---- what must go first ---- */

static void evicted(struct trim *t)
{
    struct read *r = t->user_ptr;
    if (t->err != IOR_OK) r->evictions = READ_EVICTIONS_MAX;
    trim_free(t);
    r->msg.run = vnode_read;
    strand_post_completion(&r->vnode->strand, &r->msg);
}

/* True: the read comes again when it is done. */
static bool evict_first(struct read *r, struct stream *s)
{
    struct retention policy;
    struct trim *t = NULL;
    if (r->as_it_is || r->evictions == READ_EVICTIONS_MAX) return false;
    if (!evict_policy(r->vnode, s, &policy)) return false;
    uint64_t now_ms = atomic_load_explicit(&r->node->retention_now_ms, memory_order_relaxed);
    if (!evict_due(s, &policy, now_ms)) return false;
    r->evictions++;
    enum ior_err err = trim_new(ior_slice(r->names, r->bucket_bytes),
                                ior_slice(r->names + r->bucket_bytes, r->stream_bytes), &t);
    if (err != IOR_OK) return false;
    t->by_policy = true;
    t->user_ptr = r;
    err = iorio_trim(r->node, t, evicted);
    if (err != IOR_OK) trim_free(t);
    return err == IOR_OK;
}

static void vnode_read(struct msg *m)
{
    struct read *r = IOR_CONTAINER(m, struct read, msg);
    IOR_ASSERT(strand_inside(&r->vnode->strand));
    struct ior_slice bucket = ior_slice(r->names, r->bucket_bytes);
    struct ior_slice name = ior_slice(r->names + r->bucket_bytes, r->stream_bytes);
    struct found found = vnode_find(r->vnode, m, bucket, name, r->hash);
    if (found.parked) return;
    struct stream *s = found.stream;
    r->exists = s != NULL && s->committed;
    if (found.err == IOR_OK && r->exists && evict_first(r, s)) return;
    r->low = r->exists ? s->low : 1;
    r->high = r->exists ? s->high : 0;
    r->left = r->limit;
    r->next = 0;
    if (found.err == IOR_OK && r->whole && r->from < r->low) {
        answer(r, IOR_E_GONE);
        return;
    }
    if (found.err == IOR_OK && r->exists && r->limit > 0) {
        uint64_t from = first_wanted(r);
        uint64_t to = r->to < r->high ? r->to : r->high;
        if (r->cache_only && from < s->first) from = s->first;
        if (from <= to && to - from >= r->limit) to = from + r->limit - 1;
        if (from <= to && from < s->first) {
            ask_disk(r, s, from, to);
            return;
        }
        if (from <= to) take_events(r, s, from, to);
    }
    answer(r, found.err);
}

enum ior_err iorio_read(struct node *n, struct read *r, read_cb cb)
{
    IOR_ASSERT(worker_current() != NULL);
    IOR_ASSERT(r->count == 0);
    size_t room = r->limit < READ_VISIT_ENTRIES ? (size_t)r->limit : READ_VISIT_ENTRIES;
    if (room > r->room) {
        struct event_out *events = malloc(room * sizeof *events);
        if (events == NULL) return IOR_E_NOMEM;
        if (r->events != &r->one) free(r->events);
        r->events = events;
        r->room = room;
    }
    r->origin = worker_current();
    r->node = n;
    r->cb = cb;
    r->disk_err = IOR_OK;
    r->evictions = 0;
    r->vnode = node_route(n, ior_slice(r->names, r->bucket_bytes),
                          ior_slice(r->names + r->bucket_bytes, r->stream_bytes), &r->hash);
    r->msg.run = vnode_read;
    metric_add(METRIC_read_requests, 1);
    return strand_post(&r->vnode->strand, &r->msg);
}

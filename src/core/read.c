/* src/core/read.c - reading events, one bounded visit of the vnode at a time.
 * Happy path: inside the strand the wanted range is cut to what is kept, and
 * references to the events are taken; the caller's worker gets them. A long read
 * is many visits (`next`, `left`), so neither the strand nor memory is held. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "core/iorio.h"

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

static void vnode_read(struct msg *m)
{
    struct read *r = IOR_CONTAINER(m, struct read, msg);
    IOR_ASSERT(strand_inside(&r->vnode->strand));
    struct ior_slice bucket = ior_slice(r->names, r->bucket_bytes);
    struct ior_slice name = ior_slice(r->names + r->bucket_bytes, r->stream_bytes);
    struct stream *s = stream_find(&r->vnode->streams, bucket, name, r->hash);
    r->exists = s != NULL && s->committed;
    r->low = r->exists ? s->low : 1;
    r->high = r->exists ? s->high : 0;
    r->left = r->limit;
    r->next = 0;
    if (r->exists && r->limit > 0) {
        uint64_t from = first_wanted(r);
        uint64_t to = r->to < r->high ? r->to : r->high;
        if (from <= to && to - from >= r->limit) to = from + r->limit - 1;
        if (from <= to) take_events(r, s, from, to);
    }
    metric_add(METRIC_read_events, r->count);
    r->msg.run = run_cb;
    if (r->origin == worker_current()) {
        worker_defer(&r->msg);
    } else {
        worker_post(r->origin, &r->msg);
    }
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
    r->cb = cb;
    r->vnode = node_route(n, ior_slice(r->names, r->bucket_bytes),
                          ior_slice(r->names + r->bucket_bytes, r->stream_bytes), &r->hash);
    r->msg.run = vnode_read;
    metric_add(METRIC_read_requests, 1);
    return strand_post(&r->vnode->strand, &r->msg);
}

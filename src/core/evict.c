/* src/core/evict.c - see evict.h.
 * Failure modes: a window that cannot be loaded (no memory, the disk, a full queue) is left
 * out: the append goes on and evicts what it knows; the sweeper comes again. */
#include "core/evict.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/log.h"
#include "core/node.h"
#include "rt/job.h"
#include "store/fetch.h"

enum { BLOCK_EVENTS = 256 };

struct head_load {
    struct job job;
    struct msg msg; /* into the strand */
    struct vnode *vn;
    struct stream *stream; /* stays: it is heading */
    struct head *head;
    uint64_t from, to;
    enum ior_err err;
    struct ior_queue parked;
};

bool evict_policy(struct vnode *vn, struct stream *s, struct retention *ret)
{
    const struct retention_view *view = meta_retention(vn->node->meta);
    uint64_t number = retention_view_number(view);
    if (s->retention_number != number) {
        s->has_retention =
            retention_view_get(view, bucket_name(s->bucket), stream_name(s), &s->retention);
        s->retention_number = number;
    }
    *ret = s->retention;
    return s->has_retention;
}

/* ---- judging ---- */

static bool look_up(const struct stream *s, uint64_t id, uint64_t *ret_bytes, uint64_t *ret_time_ms)
{
    if (id >= s->first) {
        const struct tail_entry *e = &s->entries[id - s->base];
        *ret_bytes = e->payload_bytes;
        *ret_time_ms = e->time_ms;
        return true;
    }
    const struct head *h = s->head;
    if (h == NULL || id < h->from || id - h->from >= h->count) return false;
    *ret_bytes = h->events[id - h->from].payload_bytes;
    *ret_time_ms = h->events[id - h->from].time_ms;
    return true;
}

bool evict_due(const struct stream *s, const struct retention *r, uint64_t now_ms)
{
    uint64_t size = 0;
    uint64_t time_ms = s->oldest_ms;
    if (s->low > s->high) return false;
    if (stream_count(s) > r->max_events) return true;
    if (s->bytes > r->max_bytes && s->low < s->high) return true;
    uint64_t second_ms = now_ms - now_ms % 1000;
    if (second_ms <= r->max_age_ms) return false;
    bool known = s->oldest_id == s->low || look_up(s, s->low, &size, &time_ms);
    return !known || time_ms < second_ms - r->max_age_ms;
}

void evict_judge(const struct stream *s, const struct retention *r, uint64_t now_ms,
                 uint64_t more_events, uint64_t more_bytes, struct eviction *e)
{
    uint64_t bytes = s->reserved_bytes + more_bytes - e->dropped_bytes;
    uint64_t last = s->reserved + more_events;
    uint64_t before_ms = now_ms > r->max_age_ms ? now_ms - r->max_age_ms : 0;
    unsigned steps = 0;
    for (; e->low <= s->reserved && steps < EVICT_STEPS_MAX; steps++) {
        uint64_t size = 0;
        uint64_t time_ms = 0;
        bool over = (last + 1 - e->low > r->max_events || bytes > r->max_bytes) && e->low < last;
        bool known = look_up(s, e->low, &size, &time_ms);
        e->unknown = !known && over;
        if (!known || (!over && time_ms >= before_ms)) break;
        bytes -= size;
        e->dropped_bytes += size;
        e->low++;
    }
    e->more = steps == EVICT_STEPS_MAX;
}

struct ior_blob *evict_item(const struct stream *s, enum item_op op, uint64_t low,
                            uint64_t dropped_bytes)
{
    uint8_t value[8];
    ior_put_u64(value, dropped_bytes);
    size_t attrs = attr_bytes(sizeof value);
    struct ior_blob *b = ior_blob_new(item_bytes(attrs, 0));
    if (b == NULL) return NULL;
    item_write(b->data, op, 0, attrs, (struct ior_slice){NULL, 0});
    attr_write(b->data + ITEM_HEAD_BYTES, ATTR_DROPPED_BYTES, ior_slice(value, sizeof value));
    item_set_place(b->data, s->uid, s->reserved, low);
    return b;
}

/* ---- the window ---- */

static void load(struct job *j)
{
    struct head_load *l = IOR_CONTAINER(j, struct head_load, job);
    struct vnode *vn = l->vn;
    struct chunk_entry entries[BLOCK_EVENTS];
    struct head *h = l->head;
    struct ior_why why;
    h->from = l->from;
    while (l->err == IOR_OK && h->count < HEAD_EVENTS && l->from + h->count <= l->to) {
        struct ior_blob *blob = NULL;
        size_t n = 0;
        uint64_t left = l->to - l->from - h->count + 1;
        size_t max = left < BLOCK_EVENTS ? (size_t)left : BLOCK_EVENTS;
        l->err = fetch_events(vn->node->fetch, vn->partition, l->stream->uid, l->from + h->count,
                              entries, max, &n, &blob, &why);
        for (size_t i = 0; l->err == IOR_OK && i < n && h->count < HEAD_EVENTS; i++)
            h->events[h->count++] = (struct head_event){
                entries[i].time_ms, (uint32_t)entries[i].item.payload.size_bytes};
        ior_blob_unref(blob);
    }
    if (l->err != IOR_OK && l->err != IOR_E_NOTFOUND)
        LOG_ERROR("retention", "cannot read", "err=%s: %s", ior_err_name(l->err), why.text);
}

static void loaded(struct msg *m)
{
    struct head_load *l = IOR_CONTAINER(m, struct head_load, msg);
    struct stream *s = l->stream;
    IOR_ASSERT(strand_inside(&l->vn->strand) && s->heading == l);
    stream_set_head(&l->vn->streams, s, l->head);
    s->heading = NULL;
    struct ior_link *link;
    /* One that needs more parks anew, and then all behind it do: the order stays. */
    while ((link = ior_queue_pop(&l->parked)) != NULL) {
        struct msg *waiting = IOR_CONTAINER(link, struct msg, link);
        waiting->run(waiting);
    }
    free(l);
}

static void load_done(struct job *j)
{
    struct head_load *l = IOR_CONTAINER(j, struct head_load, job);
    l->msg.run = loaded;
    strand_post_completion(&l->vn->strand, &l->msg);
}

enum ior_err evict_load(struct vnode *vn, struct stream *s, struct msg *m)
{
    IOR_ASSERT(s->heading == NULL && s->reserved_low < s->first);
    struct head_load *l = calloc(1, sizeof *l);
    if (l == NULL) return IOR_E_NOMEM;
    l->head = calloc(1, sizeof *l->head);
    l->vn = vn;
    l->stream = s;
    l->from = s->reserved_low;
    l->to = s->first - 1;
    l->job.work = load;
    l->job.done = load_done;
    enum ior_err err = l->head == NULL ? IOR_E_NOMEM : IOR_OK;
    if (err == IOR_OK) err = job_submit(vn->node->params.disk_jobs, &l->job);
    if (err != IOR_OK) {
        free(l->head);
        free(l);
        return err;
    }
    s->heading = l;
    ior_queue_push(&l->parked, &m->link);
    return IOR_OK;
}

void evict_park(struct stream *s, struct msg *m)
{
    IOR_ASSERT(s->heading != NULL);
    ior_queue_push(&s->heading->parked, &m->link);
}

/* ---- for trims by policy ---- */

/* A whole chunk that begins at e->low. */
static bool chunk_goes(const struct evict_search *e, const struct chunk_state *c)
{
    if (c->last_time_ms < e->before_ms) return true;
    if (c->last_seqnum >= e->newest) return false;
    return c->last_seqnum < e->low_by_count || e->bytes + c->payload_bytes <= e->excess_bytes;
}

static enum ior_err skip_chunks(struct fetch *f, struct evict_search *e, struct ior_why *why)
{
    struct kv_reader *r = NULL;
    struct chunk_row row;
    enum ior_err err = fetch_reader_take(f, &r);
    if (err != IOR_OK) return ior_why_set(why, err, "the catalog cannot be read");
    while (e->low <= e->to) {
        err = catalog_seek_chunk(r, e->partition, e->uid, e->low, &row);
        if (err != IOR_OK || row.first_seqnum != e->low || row.state.last_seqnum > e->to) break;
        if (!chunk_goes(e, &row.state)) break;
        e->bytes += row.state.payload_bytes;
        e->low = row.state.last_seqnum + 1;
    }
    fetch_reader_give(f, r);
    if (err == IOR_OK || err == IOR_E_NOTFOUND) return IOR_OK;
    return ior_why_set(why, err, "the catalog's chunks of stream %016llx cannot be read",
                       (unsigned long long)e->uid);
}

/* True: one more event may go. */
static bool event_goes(const struct evict_search *e, uint64_t time_ms)
{
    if (time_ms < e->before_ms) return true;
    return e->low < e->newest && (e->low < e->low_by_count || e->bytes < e->excess_bytes);
}

static enum ior_err skip_events(struct fetch *f, struct evict_search *e, bool *ret_end,
                                struct ior_why *why)
{
    struct chunk_entry entries[BLOCK_EVENTS];
    struct ior_blob *blob = NULL;
    size_t count = 0;
    size_t max = e->to - e->low + 1 < BLOCK_EVENTS ? (size_t)(e->to - e->low + 1) : BLOCK_EVENTS;
    enum ior_err err =
        fetch_events(f, e->partition, e->uid, e->low, entries, max, &count, &blob, why);
    for (size_t i = 0; err == IOR_OK && i < count && !*ret_end; i++) {
        *ret_end = !event_goes(e, entries[i].time_ms);
        if (*ret_end) {
            e->low_ms = entries[i].time_ms;
            break;
        }
        e->bytes += entries[i].item.payload.size_bytes;
        e->low++;
    }
    ior_blob_unref(blob);
    return err;
}

enum ior_err evict_search_disk(struct fetch *f, struct evict_search *e, struct ior_why *why)
{
    bool end = false;
    enum ior_err err = IOR_OK;
    e->low = e->from;
    e->bytes = e->low_ms = 0;
    while (err == IOR_OK && !end && e->low <= e->to) {
        err = skip_chunks(f, e, why);
        if (err == IOR_OK && e->low <= e->to) err = skip_events(f, e, &end, why);
    }
    return err;
}

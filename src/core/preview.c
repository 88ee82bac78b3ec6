/* src/core/preview.c - see preview.h. */
#include "core/preview.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "core/node.h"
#include "store/fetch.h"

/* PAUSE: so many streams on the disk are searched in one snapshot of the catalog. */
enum { TRIES_MAX = 100, PAUSE_SEARCHES = 64 };

static struct ior_slice bucket_of(const struct preview *p)
{
    return ior_slice(p->names, p->bucket_bytes);
}

static struct ior_slice stream_of(const struct preview *p)
{
    return ior_slice(p->names + p->bucket_bytes, p->stream_bytes);
}

enum ior_err preview_new(struct ior_slice bucket, struct ior_slice stream, struct preview **ret)
{
    IOR_ASSERT(bucket.size_bytes <= BUCKET_BYTES_MAX && stream.size_bytes <= STREAM_BYTES_MAX);
    struct preview *p = calloc(1, sizeof *p + bucket.size_bytes + stream.size_bytes);
    if (p == NULL) return IOR_E_NOMEM;
    p->bucket_bytes = (uint8_t)bucket.size_bytes;
    p->stream_bytes = (uint16_t)stream.size_bytes;
    memcpy(p->names, bucket.data, bucket.size_bytes);
    if (stream.size_bytes > 0) memcpy(p->names + bucket.size_bytes, stream.data, stream.size_bytes);
    *ret = p;
    return IOR_OK;
}

void preview_free(struct preview *p)
{
    free(p);
}

static struct preview *preview_of(struct survey *sv)
{
    return IOR_CONTAINER(sv, struct preview, survey);
}

/* ---- one stream ---- */

/* What would hold for it. False: no limit. */
static bool policy_of(const struct preview *p, struct ior_slice stream, struct retention *ret)
{
    struct retention of_bucket;
    struct retention own;
    struct ior_slice nothing = {NULL, 0};
    if (p->present) return retention_view_get(p->view, bucket_of(p), stream, ret);
    if (p->stream_bytes > 0) {
        bool has = retention_view_own(p->view, bucket_of(p), nothing, &of_bucket);
        *ret = retention_merge(has ? &of_bucket : NULL, &p->policy);
    } else {
        bool has = retention_view_own(p->view, bucket_of(p), stream, &own);
        *ret = retention_merge(&p->policy, has ? &own : NULL);
    }
    return true;
}

/* max_total_bytes of the bucket, as it would be; RETENTION_NONE: no limit, or not asked for. */
static uint64_t total_of(const struct preview *p)
{
    struct retention r;
    struct ior_slice nothing = {NULL, 0};
    if (p->stream_bytes > 0) return RETENTION_NONE;
    if (p->present) {
        (void)retention_view_get(p->view, bucket_of(p), nothing, &r);
    } else {
        r = retention_merge(&p->policy, NULL);
    }
    return r.max_total_bytes;
}

static bool asks_units(const struct preview *p)
{
    return total_of(p) != RETENTION_NONE;
}

/* The stream would keep the ids from `to` on. */
static void count(struct preview *p, uint64_t low, uint64_t to, uint64_t bytes, uint64_t had_bytes)
{
    if (to > low) p->streams++;
    p->events += to - low;
    p->bytes += bytes;
    p->left_bytes += had_bytes - bytes;
}

static struct evict_search search_of(const struct preview *p, const struct retention *r,
                                     uint64_t low, uint64_t high, uint64_t bytes)
{
    return (struct evict_search){
        .from = low,
        .to = high,
        .newest = high,
        .low_by_count = retention_low_by_count(r, low, high),
        .excess_bytes = bytes > r->max_bytes ? bytes - r->max_bytes : 0,
        .before_ms = p->now_ms > r->max_age_ms ? p->now_ms - r->max_age_ms : 0,
    };
}

static bool may_go(const struct evict_search *e)
{
    return e->from <= e->to &&
           (e->low_by_count > e->from || e->excess_bytes > 0 || e->before_ms > 0);
}

static void log_read(enum ior_err err, const struct ior_why *why)
{
    LOG_ERROR("retention", "cannot read", "err=%s: %s", ior_err_name(err), why->text);
}

/* ---- in memory ---- */

static enum survey_next judged_all(struct preview *p, const struct vnode *vn,
                                   const struct stream *s)
{
    uint64_t to = p->judged.low > s->low ? p->judged.low : s->low;
    count(p, s->low, to, p->judged.dropped_bytes, s->bytes);
    p->judged_uid = 0;
    if (!asks_units(p) || to > s->saved) return SURVEY_ON;
    p->asks[p->ask_count++] = (struct preview_ask){vn->partition, s->uid, to, to > s->low};
    return p->ask_count < PREVIEW_LOT_MAX ? SURVEY_ON : SURVEY_PAUSE;
}

static enum survey_next on_memory(struct survey *sv, struct vnode *vn, struct stream *s)
{
    struct preview *p = preview_of(sv);
    struct retention r;
    bool limited = policy_of(p, stream_name(s), &r);
    if (p->judged_uid != s->uid || p->judged.low < s->low) {
        p->judged = (struct eviction){.low = s->low};
        p->judged_uid = s->uid;
        if (!limited) return judged_all(p, vn, s);
        p->search = search_of(p, &r, s->low, s->high, s->bytes);
        p->search.partition = vn->partition;
        p->search.uid = s->uid;
        p->search.to = s->first - 1 < s->high ? s->first - 1 : s->high;
        p->searches = may_go(&p->search);
        if (p->searches) return SURVEY_AGAIN; /* the disk first */
    }
    if (p->judged.low < s->first && s->low < s->first) return judged_all(p, vn, s);
    evict_judge(s, &r, p->now_ms, 0, 0, &p->judged);
    return p->judged.more ? SURVEY_AGAIN : judged_all(p, vn, s);
}

static void work_search(struct job *j)
{
    struct survey *sv = survey_of_job(j);
    struct preview *p = preview_of(sv);
    struct ior_why why;
    enum ior_err err = evict_search_disk(p->node->fetch, &p->search, &why);
    p->judged.low = p->search.low;
    p->judged.dropped_bytes = p->search.bytes;
    if (err == IOR_OK) return;
    p->judged_uid = 0;
    if (err == IOR_E_NOTFOUND && p->tries++ < TRIES_MAX) return; /* it has changed: once more */
    if (err == IOR_E_NOTFOUND) err = IOR_E_CORRUPT; /* the events are where nobody finds them */
    log_read(err, &why);
    sv->err = err;
}

static void work_asks(struct job *j)
{
    struct survey *sv = survey_of_job(j);
    struct preview *p = preview_of(sv);
    struct kv_reader *r = NULL;
    struct stream_row row;
    enum ior_err err = fetch_reader_take(p->node->fetch, &r);
    for (size_t i = 0; err == IOR_OK && i < p->ask_count; i++) {
        const struct preview_ask *ask = &p->asks[i];
        err = catalog_get_stream(r, ask->partition, ask->uid, &row);
        if (err == IOR_OK) err = units_of_stream(&p->units, r, &row, ask->low, ask->counted);
        if (err == IOR_E_NOTFOUND) err = IOR_OK;
    }
    if (r != NULL) fetch_reader_give(p->node->fetch, r);
    if (err != IOR_OK) sv->err = err;
    p->ask_count = 0;
}

/* ---- in the catalog ---- */

static enum survey_next on_row(struct survey *sv, struct kv_reader *r, const struct stream_row *row)
{
    struct preview *p = preview_of(sv);
    struct retention policy;
    struct ior_why why;
    struct evict_search e = {.low = row->low};
    enum ior_err err = IOR_OK;
    if (policy_of(p, row->name, &policy)) {
        e = search_of(p, &policy, row->low, row->high, row->bytes);
        e.partition = row->partition;
        e.uid = row->uid;
        e.low = row->low;
        if (may_go(&e)) {
            err = evict_search_disk(p->node->fetch, &e, &why);
            p->searched++;
        }
    }
    if (err == IOR_E_NOTFOUND) { /* it has changed meanwhile */
        e.low = row->low;
        e.bytes = 0;
    } else if (err != IOR_OK) {
        log_read(err, &why);
        sv->err = err;
        return SURVEY_PAUSE;
    }
    count(p, row->low, e.low, e.bytes, row->bytes);
    if (asks_units(p)) err = units_of_stream(&p->units, r, row, e.low, e.low > row->low);
    if (err != IOR_OK && err != IOR_E_NOTFOUND) sv->err = err;
    bool pauses = p->searched >= PAUSE_SEARCHES;
    if (pauses) p->searched = 0;
    return pauses ? SURVEY_PAUSE : SURVEY_ON;
}

/* ---- the end ---- */

static void count_total(struct preview *p)
{
    uint64_t limit = total_of(p);
    if (p->left_bytes <= limit) return;
    units_pick(&p->units, p->left_bytes - limit);
    for (size_t i = 0; i < p->units.count; i++)
        p->events += p->units.items[i].last + 1 - p->units.items[i].first;
    units_join(&p->units);
    for (size_t i = 0; i < p->units.count; i++) {
        p->bytes += p->units.items[i].bytes;
        if (!p->units.items[i].counted) p->streams++;
    }
}

static void end(struct preview *p)
{
    p->err = p->survey.err;
    survey_done(&p->survey);
    units_done(&p->units);
    retention_view_unref(p->view);
    p->view = NULL;
    atomic_fetch_sub(&p->node->previews, 1);
    p->cb(p);
}

static void work_total(struct job *j)
{
    count_total(preview_of(survey_of_job(j)));
}

static void totalled(struct job *j)
{
    end(preview_of(survey_of_job(j)));
}

static void worked(struct job *j)
{
    struct survey *sv = survey_of_job(j);
    preview_of(sv)->ask_count = 0;
    survey_go_on(sv);
}

static void on_pause(struct survey *sv)
{
    struct preview *p = preview_of(sv);
    bool searches = p->searches;
    p->searches = false;
    if (sv->finished && (sv->err != IOR_OK || !asks_units(p))) {
        end(p);
    } else if (sv->finished) {
        survey_on_disk(sv, work_total, totalled);
    } else if (sv->err == IOR_OK && searches) {
        survey_on_disk(sv, work_search, worked);
    } else if (sv->err == IOR_OK && p->ask_count > 0) {
        survey_on_disk(sv, work_asks, worked);
    } else {
        survey_go_on(sv);
    }
}

enum ior_err iorio_preview(struct node *n, struct preview *p, preview_cb cb)
{
    if (atomic_load(&n->surveys_stop)) return IOR_E_CLOSING;
    if (atomic_fetch_add(&n->previews, 1) >= PREVIEWS_MAX) {
        atomic_fetch_sub(&n->previews, 1);
        return IOR_E_BUSY;
    }
    p->node = n;
    p->cb = cb;
    p->view = retention_view_ref(meta_retention(n->meta));
    p->now_ms = node_retention_now_ms(n);
    units_init(&p->units);
    p->survey = (struct survey){
        .bucket = bucket_of(p),
        .stream = stream_of(p),
        .deadline_us = p->deadline_us,
        .on_memory = on_memory,
        .on_row = on_row,
        .pause = on_pause,
    };
    survey_begin(n, &p->survey);
    return IOR_OK;
}

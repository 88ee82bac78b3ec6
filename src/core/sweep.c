/* src/core/sweep.c - see sweep.h: when, which policies, which streams, and the trims. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/mutant.h"
#include "core/cutoff.h"
#include "core/sweep_private.h"
#include "rt/clock.h"
#include "store/fetch.h"

enum { SKIP_MAX = 1024 }; /* policies passed over in one turn */

enum ior_err sweep_new(struct node *n, struct sweep **ret)
{
    struct sweep *sw = calloc(1, sizeof *sw);
    if (sw == NULL) return IOR_E_NOMEM;
    sw->node = n;
    atomic_init(&sw->rests, true);
    sw->end_us = clock_mono_us();
    ior_buf_init(&sw->names);
    units_init(&sw->units);
    *ret = sw;
    return IOR_OK;
}

void sweep_free(struct sweep *sw)
{
    if (sw == NULL) return;
    IOR_ASSERT(!sw->running);
    ior_buf_done(&sw->names);
    units_done(&sw->units);
    free(sw->times);
    free(sw);
}

bool sweep_rests(const struct sweep *sw)
{
    return atomic_load(&sw->rests);
}

/* ---- when ---- */

static void end(struct sweep *sw)
{
    sw->end_us = clock_mono_us();
    retention_view_unref(sw->view);
    sw->view = NULL;
    sweep_clear_lot(sw);
    ior_buf_done(&sw->names);
    ior_buf_init(&sw->names);
    units_done(&sw->units);
    metric_add(METRIC_retention_sweeps, sw->err == IOR_OK ? 1 : 0);
    LOG_DEBUG("retention", "swept", "err=%s ms=%llu", ior_err_name(sw->err),
              (unsigned long long)(sw->end_us - sw->begin_us) / 1000);
    sw->running = false;
    atomic_store(&sw->rests, true);
}

void sweep_start(struct sweep *sw)
{
    if (sw->running || atomic_load(&sw->node->surveys_stop)) return;
    const struct retention_view *view = meta_retention(sw->node->meta);
    sw->begin_us = clock_mono_us();
    sw->number = retention_view_number(view);
    sw->err = IOR_OK;
    sw->pos = 0;
    if (retention_view_count(view) == 0) {
        sw->end_us = sw->begin_us;
        free(sw->times);
        sw->times = NULL;
        return;
    }
    sw->view = retention_view_ref(view);
    sw->running = true;
    atomic_store(&sw->rests, false);
    sweep_next(sw);
}

void sweep_tick(struct sweep *sw)
{
    if (sw->running) return;
    uint64_t now_us = clock_mono_us();
    if (now_us - sw->end_us < SWEEP_PAUSE_MS * 1000u) return;
    bool changed = retention_view_number(meta_retention(sw->node->meta)) != sw->number;
    uint64_t interval_us = atomic_load(&sw->node->eviction_interval_ms) * 1000;
    if (changed || now_us - sw->begin_us >= interval_us) sweep_start(sw);
}

/* ---- a lot ---- */

bool sweep_add_name(struct sweep *sw, struct ior_slice name, size_t *ret_offset_bytes)
{
    *ret_offset_bytes = sw->names.size_bytes;
    ior_buf_add_slice(&sw->names, name);
    if (!ior_buf_failed(&sw->names)) return true;
    sw->survey.err = IOR_E_NOMEM;
    return false;
}

void sweep_clear_lot(struct sweep *sw)
{
    sw->found_count = sw->ask_count = sw->at = 0;
    ior_buf_clear(&sw->names);
}

static struct ior_slice name_at(const struct sweep *sw, size_t offset_bytes, size_t size_bytes)
{
    return ior_slice(sw->names.data + offset_bytes, size_bytes);
}

static void trim_some(struct sweep *sw);

static enum ior_err submit(struct sweep *sw, struct ior_slice name, uint64_t to);

static void on_trimmed(struct trim *t)
{
    struct sweep *sw = t->user_ptr;
    bool hopeless = t->err == IOR_E_CLOSING || !node_writable(sw->node);
    if (t->err != IOR_OK && hopeless) sw->err = t->err;
    struct ior_slice name = ior_slice(t->names + t->bucket_bytes, t->stream_bytes);
    bool again = t->err == IOR_OK && t->more && !atomic_load(&sw->node->surveys_stop);
    sw->trims--;
    if (again) (void)submit(sw, name, 0); /* what is left is found again */
    trim_free(t);
    trim_some(sw);
}

static enum ior_err submit(struct sweep *sw, struct ior_slice name, uint64_t to)
{
    struct trim *t = NULL;
    enum ior_err err = trim_new(sw->bucket, name, &t);
    if (err != IOR_OK) return err;
    t->by_policy = to == 0 && !MUTANT(sweep_too_much);
    t->to = MUTANT(no_sweep) ? 0 : MUTANT(sweep_too_much) ? UINT64_MAX : to;
    if (MUTANT(no_sweep)) t->by_policy = false;
    t->user_ptr = sw;
    err = iorio_trim(sw->node, t, on_trimmed);
    if (err == IOR_OK) {
        sw->trims++;
    } else {
        trim_free(t);
    }
    return err;
}

static void trim_some(struct sweep *sw)
{
    while (sw->trims < SWEEP_TRIMS_MAX && sw->at < sw->found_count && sw->err == IOR_OK) {
        const struct sweep_found *f = &sw->found[sw->at++];
        struct ior_slice name = name_at(sw, f->offset_bytes, f->size_bytes);
        /* The node is busy: the rest of the lot is for the next sweep. */
        if (submit(sw, name, f->to) != IOR_OK) sw->at = sw->found_count;
    }
    if (sw->trims > 0) return;
    sweep_clear_lot(sw);
    sw->trimmed(sw);
}

void sweep_trim_lot(struct sweep *sw, void (*trimmed)(struct sweep *sw))
{
    sw->trimmed = trimmed;
    sw->at = 0;
    trim_some(sw);
}

/* ---- which streams ---- */

struct numbers {
    uint32_t partition;
    uint64_t uid, low, high, bytes;
    uint64_t last_time_ms;
    uint64_t first_time_ms; /* UINT64_MAX: not known */
};

enum want { WANT_NOTHING, WANT_TRIM, WANT_ASK };

static struct sweep_time *time_slot(struct sweep *sw, uint64_t uid)
{
    if (sw->times == NULL) sw->times = calloc(SWEEP_TIMES, sizeof *sw->times);
    return sw->times == NULL ? NULL : &sw->times[uid % SWEEP_TIMES];
}

static enum want wants(struct sweep *sw, const struct retention *r, const struct numbers *n,
                       uint64_t *ret_before_ms)
{
    if (n->low > n->high) return WANT_NOTHING;
    if (n->high + 1 - n->low > r->max_events) return WANT_TRIM;
    if (n->bytes > r->max_bytes && n->low < n->high) return WANT_TRIM;
    uint64_t before_ms = sw->now_ms > r->max_age_ms ? sw->now_ms - r->max_age_ms : 0;
    if (before_ms == 0) return WANT_NOTHING;
    if (n->last_time_ms < before_ms) return WANT_TRIM;
    if (n->first_time_ms != UINT64_MAX)
        return n->first_time_ms < before_ms ? WANT_TRIM : WANT_NOTHING;
    const struct sweep_time *t = time_slot(sw, n->uid);
    *ret_before_ms = before_ms;
    if (t == NULL || t->uid != n->uid || t->low != n->low) return WANT_ASK;
    if (t->time_ms >= before_ms) return WANT_NOTHING;
    return t->exact ? WANT_TRIM : WANT_ASK;
}

static enum survey_next note(struct sweep *sw, struct ior_slice name, const struct numbers *n)
{
    struct retention r;
    uint64_t before_ms = 0;
    if (!retention_view_get(sw->view, sw->bucket, name, &r)) return SURVEY_ON;
    enum want want = wants(sw, &r, n, &before_ms);
    size_t offset_bytes = 0;
    if (want == WANT_NOTHING) return SURVEY_ON;
    if (!sweep_add_name(sw, name, &offset_bytes)) return SURVEY_PAUSE;
    uint32_t size_bytes = (uint32_t)name.size_bytes;
    if (want == WANT_TRIM) {
        sw->found[sw->found_count++] = (struct sweep_found){offset_bytes, size_bytes, 0};
    } else {
        sw->asks[sw->ask_count++] =
            (struct sweep_ask){n->partition, n->uid, n->low, before_ms, offset_bytes, size_bytes};
    }
    return sw->found_count + sw->ask_count < SWEEP_LOT_MAX ? SURVEY_ON : SURVEY_PAUSE;
}

static struct sweep *sweep_of(struct survey *sv)
{
    return IOR_CONTAINER(sv, struct sweep, survey);
}

static enum survey_next on_memory(struct survey *sv, struct vnode *vn, struct stream *s)
{
    const bool known = s->low <= s->high && s->low >= s->first;
    const struct numbers n = {
        .partition = vn->partition,
        .uid = s->uid,
        .low = s->low,
        .high = s->high,
        .bytes = s->bytes,
        .last_time_ms = s->time_ms,
        .first_time_ms = known ? stream_entry(s, s->low)->time_ms : UINT64_MAX,
    };
    return note(sweep_of(sv), stream_name(s), &n);
}

static enum survey_next on_row(struct survey *sv, struct kv_reader *r, const struct stream_row *row)
{
    const struct numbers n = {
        .partition = row->partition,
        .uid = row->uid,
        .low = row->low,
        .high = row->high,
        .bytes = row->bytes,
        .last_time_ms = row->time_ms,
        .first_time_ms = UINT64_MAX,
    };
    (void)r;
    return note(sweep_of(sv), row->name, &n);
}

/* ---- when was the first event written? On the disk pool ---- */

static void remember(struct sweep *sw, const struct sweep_ask *ask, uint64_t time_ms, bool exact)
{
    struct sweep_time *t = time_slot(sw, ask->uid);
    if (t != NULL) *t = (struct sweep_time){ask->uid, ask->low, time_ms, exact};
}

/* True: the chunk's row says enough; *ret_old is the answer. */
static bool ask_row(struct sweep *sw, const struct sweep_ask *ask, bool *ret_old)
{
    struct kv_reader *r = NULL;
    struct chunk_row c;
    if (fetch_reader_take(sw->node->fetch, &r) != IOR_OK) return false;
    enum ior_err err = catalog_seek_chunk(r, ask->partition, ask->uid, ask->low, &c);
    fetch_reader_give(sw->node->fetch, r);
    if (err != IOR_OK || c.first_seqnum > ask->low) return false;
    *ret_old = c.state.last_time_ms < ask->before_ms;
    if (*ret_old) return true;
    if (c.state.first_time_ms < ask->before_ms) return false;
    remember(sw, ask, c.state.first_time_ms, c.first_seqnum == ask->low);
    return true;
}

static bool is_old(struct sweep *sw, const struct sweep_ask *ask)
{
    struct chunk_entry entry;
    struct ior_blob *blob = NULL;
    struct ior_why why;
    size_t count = 0;
    bool old = false;
    if (ask_row(sw, ask, &old)) return old;
    enum ior_err err = fetch_events(sw->node->fetch, ask->partition, ask->uid, ask->low, &entry, 1,
                                    &count, &blob, &why);
    if (err == IOR_OK && count == 1) {
        remember(sw, ask, entry.time_ms, true);
        old = entry.time_ms < ask->before_ms;
    } else if (err != IOR_OK && err != IOR_E_NOTFOUND) { /* not found: low has moved */
        LOG_ERROR("retention", "cannot read", "err=%s: %s", ior_err_name(err), why.text);
    }
    ior_blob_unref(blob);
    return old;
}

static void answer_asks(struct sweep *sw)
{
    for (size_t i = 0; i < sw->ask_count; i++) {
        const struct sweep_ask *ask = &sw->asks[i];
        if (is_old(sw, ask))
            sw->found[sw->found_count++] =
                (struct sweep_found){ask->offset_bytes, ask->size_bytes, 0};
    }
    sw->ask_count = 0;
}

static void after_rows(struct survey *sv)
{
    answer_asks(sweep_of(sv));
}

static void work_asks(struct job *j)
{
    answer_asks(sweep_of(survey_of_job(j)));
}

/* ---- the course of one policy ---- */

static void lot_done(struct sweep *sw)
{
    struct survey *sv = &sw->survey;
    if (sw->err != IOR_OK && sv->err == IOR_OK) sv->err = sw->err;
    if (!sv->finished) {
        survey_go_on(sv);
        return;
    }
    enum ior_err err = sv->err;
    bool of_bucket = sv->stream.size_bytes == 0;
    survey_done(sv);
    /* One that cannot be read keeps nobody else from being looked at. */
    if (sw->err == IOR_OK && err != IOR_E_CORRUPT && err != IOR_E_VERSION) sw->err = err;
    if (of_bucket) {
        sweep_total(sw);
    } else {
        sweep_next(sw);
    }
}

static void asked(struct job *j)
{
    struct sweep *sw = sweep_of(survey_of_job(j));
    sw->ask_count = 0;
    sweep_trim_lot(sw, lot_done);
}

static void on_pause(struct survey *sv)
{
    struct sweep *sw = sweep_of(sv);
    sw->now_ms = node_retention_now_ms(sw->node);
    if (sw->ask_count > 0 && sv->err == IOR_OK) {
        survey_on_disk(sv, work_asks, asked);
        return;
    }
    sweep_trim_lot(sw, lot_done);
}

static bool is_limit(uint64_t value)
{
    return value != RETENTION_UNSET && value != RETENTION_NONE;
}

static bool has_limits(const struct retention *r)
{
    return is_limit(r->max_events) || is_limit(r->max_bytes) || is_limit(r->max_age_ms);
}

static void begin_survey(struct sweep *sw, struct ior_slice stream)
{
    sweep_clear_lot(sw);
    sw->now_ms = node_retention_now_ms(sw->node);
    sw->survey = (struct survey){
        .bucket = sw->bucket,
        .stream = stream,
        .on_memory = on_memory,
        .on_row = on_row,
        .after_rows = after_rows,
        .pause = on_pause,
    };
    survey_begin(sw->node, &sw->survey);
}

/* True: it has begun with this policy. */
static bool begin_policy(struct sweep *sw, struct ior_slice stream, const struct retention *r)
{
    struct retention of_bucket;
    if (stream.size_bytes == 0) {
        sw->policy = *r;
        if (has_limits(r)) {
            begin_survey(sw, stream);
        } else if (is_limit(r->max_total_bytes)) {
            sweep_total(sw);
        } else {
            return false;
        }
        return true;
    }
    if (!has_limits(r)) return false;
    if (retention_view_own(sw->view, sw->bucket, (struct ior_slice){NULL, 0}, &of_bucket) &&
        has_limits(&of_bucket))
        return false; /* it is seen with its bucket */
    begin_survey(sw, stream);
    return true;
}

static void run_next(struct msg *m)
{
    sweep_next(IOR_CONTAINER(m, struct sweep, msg));
}

void sweep_next(struct sweep *sw)
{
    struct ior_slice stream;
    struct retention r;
    if (atomic_load(&sw->node->surveys_stop) && sw->err == IOR_OK) sw->err = IOR_E_CLOSING;
    for (unsigned skipped = 0; sw->err == IOR_OK; skipped++) {
        if (skipped == SKIP_MAX) {
            sw->msg.run = run_next;
            worker_defer(&sw->msg);
            return;
        }
        if (!retention_view_next(sw->view, &sw->pos, &sw->bucket, &stream, &r)) break;
        if (begin_policy(sw, stream, &r)) return;
    }
    end(sw);
}

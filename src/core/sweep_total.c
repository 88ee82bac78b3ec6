/* src/core/sweep_total.c - max_total_bytes of a bucket.
 * Happy path: a survey adds up the bytes of all its streams and keeps its oldest units (units.h);
 * when the sum is above the limit the oldest ones go, a trim for each stream. With more units
 * than are kept it is done again, TOTAL_ROUNDS_MAX times at most.
 * Events that no checkpoint has saved yet are in the sum but are no units.
 * Failure modes: as of sweep.h. */
#include "base/assert.h"
#include "base/log.h"
#include "core/sweep_private.h"
#include "store/fetch.h"

enum { TOTAL_ROUNDS_MAX = 16 };

static struct sweep *sweep_of(struct survey *sv)
{
    return IOR_CONTAINER(sv, struct sweep, survey);
}

static void begin_round(struct sweep *sw);

/* ---- adding up ---- */

static enum survey_next on_memory(struct survey *sv, struct vnode *vn, struct stream *s)
{
    struct sweep *sw = sweep_of(sv);
    sw->total_bytes += s->bytes;
    if (s->low > s->saved) return SURVEY_ON; /* nothing of it is a unit */
    sw->asks[sw->ask_count++] =
        (struct sweep_ask){.partition = vn->partition, .uid = s->uid, .low = s->low};
    return sw->ask_count < SWEEP_LOT_MAX ? SURVEY_ON : SURVEY_PAUSE;
}

static enum survey_next on_row(struct survey *sv, struct kv_reader *r, const struct stream_row *row)
{
    struct sweep *sw = sweep_of(sv);
    sw->total_bytes += row->bytes;
    enum ior_err err = units_of_stream(&sw->units, r, row, row->low, false);
    if (err != IOR_OK) sv->err = err;
    return SURVEY_ON;
}

static void work_asks(struct job *j)
{
    struct survey *sv = survey_of_job(j);
    struct sweep *sw = sweep_of(sv);
    struct kv_reader *r = NULL;
    struct stream_row row;
    enum ior_err err = fetch_reader_take(sw->node->fetch, &r);
    for (size_t i = 0; err == IOR_OK && i < sw->ask_count; i++) {
        const struct sweep_ask *ask = &sw->asks[i];
        err = catalog_get_stream(r, ask->partition, ask->uid, &row);
        if (err == IOR_OK) err = units_of_stream(&sw->units, r, &row, ask->low, false);
        if (err == IOR_E_NOTFOUND) err = IOR_OK;
    }
    if (r != NULL) fetch_reader_give(sw->node->fetch, r);
    if (err != IOR_OK) sv->err = err;
    sw->ask_count = 0;
}

/* ---- what goes ---- */

static void work_names(struct job *j)
{
    struct survey *sv = survey_of_job(j);
    struct sweep *sw = sweep_of(sv);
    struct kv_reader *r = NULL;
    struct stream_row row;
    sweep_clear_lot(sw);
    enum ior_err err = fetch_reader_take(sw->node->fetch, &r);
    while (err == IOR_OK && sw->unit_at < sw->units.count && sw->found_count < SWEEP_LOT_MAX) {
        const struct unit *x = &sw->units.items[sw->unit_at++];
        struct sweep_found f = {.to = x->last};
        err = catalog_get_stream(r, x->partition, x->uid, &row);
        if (err == IOR_E_NOTFOUND) {
            err = IOR_OK;
            continue;
        }
        if (err != IOR_OK || !sweep_add_name(sw, row.name, &f.offset_bytes)) break;
        f.size_bytes = (uint32_t)row.name.size_bytes;
        sw->found[sw->found_count++] = f;
    }
    if (r != NULL) fetch_reader_give(sw->node->fetch, r);
    if (err != IOR_OK) sv->err = err;
}

static void trim_units(struct sweep *sw);

static void named(struct job *j)
{
    struct sweep *sw = sweep_of(survey_of_job(j));
    sweep_trim_lot(sw, trim_units);
}

static void end_round(struct sweep *sw)
{
    struct survey *sv = &sw->survey;
    bool again = sw->units.truncated && sw->units.count > 0 && sw->rounds < TOTAL_ROUNDS_MAX;
    enum ior_err err = sv->err;
    survey_done(sv);
    if (err == IOR_E_CORRUPT || err == IOR_E_VERSION) { /* other buckets are sound perhaps */
        LOG_ERROR("retention", "cannot read the catalog", "err=%s", ior_err_name(err));
        again = false;
    } else if (sw->err == IOR_OK) {
        sw->err = err;
    }
    if (again && sw->err == IOR_OK) {
        begin_round(sw);
    } else {
        sweep_next(sw);
    }
}

static void trim_units(struct sweep *sw)
{
    struct survey *sv = &sw->survey;
    if (sw->err == IOR_OK && sv->err == IOR_OK && sw->unit_at < sw->units.count) {
        survey_on_disk(sv, work_names, named);
        return;
    }
    end_round(sw);
}

/* To sort them takes some milliseconds. */
static void work_pick(struct job *j)
{
    struct sweep *sw = sweep_of(survey_of_job(j));
    units_pick(&sw->units, sw->total_bytes - sw->policy.max_total_bytes);
    units_join(&sw->units);
}

static void picked(struct job *j)
{
    trim_units(sweep_of(survey_of_job(j)));
}

static void asked(struct job *j);

static void on_pause(struct survey *sv)
{
    struct sweep *sw = sweep_of(sv);
    if (sw->ask_count > 0 && sv->err == IOR_OK) {
        survey_on_disk(sv, work_asks, asked);
        return;
    }
    sw->ask_count = 0;
    if (!sv->finished) {
        survey_go_on(sv);
        return;
    }
    sw->unit_at = 0;
    if (sv->err == IOR_OK && sw->total_bytes > sw->policy.max_total_bytes) {
        survey_on_disk(sv, work_pick, picked);
        return;
    }
    sw->units.count = 0;
    trim_units(sw);
}

static void asked(struct job *j)
{
    struct survey *sv = survey_of_job(j);
    sweep_of(sv)->ask_count = 0;
    on_pause(sv);
}

static void begin_round(struct sweep *sw)
{
    sweep_clear_lot(sw);
    sw->units.count = 0;
    sw->units.truncated = false;
    sw->total_bytes = 0;
    sw->rounds++;
    sw->survey = (struct survey){
        .bucket = sw->bucket,
        .on_memory = on_memory,
        .on_row = on_row,
        .pause = on_pause,
    };
    survey_begin(sw->node, &sw->survey);
}

void sweep_total(struct sweep *sw)
{
    uint64_t limit = sw->policy.max_total_bytes;
    sw->rounds = 0;
    if (limit == RETENTION_UNSET || limit == RETENTION_NONE || sw->err != IOR_OK) {
        sweep_next(sw);
        return;
    }
    begin_round(sw);
}

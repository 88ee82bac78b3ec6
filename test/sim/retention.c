/* test/sim/retention.c - see retention.h. */
#include "retention.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "client.h"
#include "core/preview.h"
#include "core/sweep.h"
#include "trace.h"

#define ULL(x) ((unsigned long long)(x))

enum { PROOF_KEEPS = 7 };

/* ---- policies ---- */

struct target {
    const char *bucket;
    const char *stream; /* "": the bucket's */
    unsigned number;    /* of the stream, or of the bucket */
};

static struct target choose_target(struct world *w)
{
    if (world_odds(w, 2)) {
        unsigned b = (unsigned)world_below(w, MODEL_BUCKETS);
        return (struct target){w->model.streams[b].bucket, "", b};
    }
    unsigned i = (unsigned)world_below(w, MODEL_STREAMS);
    return (struct target){w->model.streams[i].bucket, w->model.streams[i].name, i};
}

/* From now on so few events may be all that a stream keeps. */
static void may_keep(struct world *w, const struct target *t, uint64_t keep)
{
    for (unsigned i = t->number; i < MODEL_STREAMS; i += MODEL_BUCKETS) {
        struct model_stream *s = &w->model.streams[i];
        if (s->keep > keep) s->keep = keep;
        if (t->stream[0] != 0) return;
    }
}

/* How few events it may leave. */
static uint64_t choose_policy(struct world *w, const struct target *t, struct retention *ret)
{
    uint64_t keep = UINT64_MAX;
    uint64_t dice = world_below(w, w->retention_mode == RETENTION_MODE_ALL ? 8 : 5);
    *ret = (struct retention){0};
    if (dice < 3) {
        ret->max_events = RETENTION_KEEP_MIN + world_below(w, 60);
        keep = ret->max_events;
    }
    if (dice >= 2 && dice < 5 && w->retention_mode >= RETENTION_MODE_SIZE) {
        ret->max_bytes = 1 + world_below(w, 40000);
        keep = 1;
    }
    if (dice == 5 || dice == 6) {
        ret->max_age_ms = 1000 + world_below(w, 100000);
        keep = 0;
    }
    if (dice == 7 && t->stream[0] == 0) {
        ret->max_total_bytes = 1 + world_below(w, 400000);
        keep = 0;
    }
    if (t->stream[0] != 0 && world_odds(w, 4)) ret->max_bytes = RETENTION_NONE;
    return keep;
}

static void on_changed(struct retention_change *c)
{
    struct world *w = c->user_ptr;
    w->pending--;
    trace_note("policy answered", c->err, 0);
    if (c->err == IOR_OK) {
        trace_count(COUNT_policies, 1);
        w->acked_in_life++;
    }
    retention_change_free(c);
}

static void submit(struct world *w, const struct target *t, const struct retention *r)
{
    struct retention_change *c = NULL;
    enum ior_err err =
        retention_change_new(ior_slice_str(t->bucket), ior_slice_str(t->stream), r, &c);
    IOR_ASSERT(err == IOR_OK);
    c->user_ptr = w;
    world_enter_any(w);
    w->pending++;
    err = iorio_retention_change(w->node, c, on_changed);
    worker_enter(NULL);
    if (err == IOR_OK) return;
    w->pending--;
    retention_change_free(c);
}

void retention_step(struct world *w)
{
    struct retention r;
    if (w->retention_mode == RETENTION_MODE_NONE) return;
    struct target t = choose_target(w);
    bool removes = world_odds(w, 4);
    uint64_t keep = removes ? UINT64_MAX : choose_policy(w, &t, &r);
    may_keep(w, &t, keep);
    trace_note("policy", t.number, keep);
    submit(w, &t, removes ? NULL : &r);
}

/* ---- sweeps and previews ---- */

void retention_sweep(struct world *w)
{
    trace_note("sweep", sweep_rests(w->node->sweep), 0);
    worker_enter(&w->workers[0]);
    node_cutoff_tick(w->node);
    sweep_start(w->node->sweep);
    worker_enter(NULL);
}

static void on_previewed(struct preview *p)
{
    struct world *w = p->user_ptr;
    w->pending--;
    trace_note("preview answered", p->err, p->events);
    if (p->err == IOR_OK) trace_count(COUNT_previews, 1);
    if (p->err != IOR_OK && !disk_sim_is_dead(w->disk))
        trace_violation("a preview ended with %s", ior_err_name(p->err));
    if (p->streams > MODEL_STREAMS || p->events < p->streams)
        trace_violation("a preview of %llu streams and %llu events", ULL(p->streams),
                        ULL(p->events));
    preview_free(p);
}

void retention_preview(struct world *w)
{
    struct preview *p = NULL;
    struct target t = choose_target(w);
    enum ior_err err = preview_new(ior_slice_str(t.bucket), ior_slice_str(t.stream), &p);
    IOR_ASSERT(err == IOR_OK);
    p->present = world_odds(w, 3);
    (void)choose_policy(w, &t, &p->policy);
    p->user_ptr = w;
    world_enter_any(w);
    w->pending++;
    err = iorio_preview(w->node, p, on_previewed);
    worker_enter(NULL);
    if (err == IOR_OK) return;
    if (err != IOR_E_BUSY) trace_violation("a preview was refused with %s", ior_err_name(err));
    w->pending--;
    preview_free(p);
}

void retention_shows(struct world *w, unsigned stream, uint64_t low, uint64_t high)
{
    const struct model_stream *s = &w->model.streams[stream];
    if (low <= s->low_max) return; /* as much was trimmed, or may have been */
    if (s->keep == UINT64_MAX || high + 1 - low < s->keep)
        trace_violation("%s/%s: ids %llu..%llu are left, but no policy takes that many", s->bucket,
                        s->name, ULL(low), ULL(high));
    trace_count(COUNT_evicted, 1);
}

/* ---- proof ---- */

struct seen {
    struct world *world;
    uint64_t low, high;
};

static void on_seen(struct read *r)
{
    struct seen *seen = r->user_ptr;
    seen->world->pending--;
    if (r->err != IOR_OK) trace_violation("a read ended with %s", ior_err_name(r->err));
    seen->low = r->low;
    seen->high = r->exists ? r->high : 0;
    read_free(r);
}

/* evicts: as any reader; else as it is. */
static struct seen look(struct world *w, unsigned stream, bool evicts)
{
    struct model_stream *s = &w->model.streams[stream];
    struct seen seen = {.world = w};
    struct read *r = NULL;
    enum ior_err err = read_new(ior_slice_str(s->bucket), ior_slice_str(s->name), &r);
    IOR_ASSERT(err == IOR_OK);
    r->how = READ_LAST;
    r->limit = 1;
    r->as_it_is = !evicts;
    r->user_ptr = &seen;
    world_enter_any(w);
    w->pending++;
    err = iorio_read(w->node, r, on_seen);
    worker_enter(NULL);
    IOR_ASSERT(err == IOR_OK);
    if (evicts) {
        world_settle(w);
    } else {
        world_turns(w);
    }
    model_shows_low(&w->model, stream, seen.low, s->low);
    return seen;
}

static void expect_kept(struct world *w, bool evicts, const char *when)
{
    for (unsigned i = 0; i < MODEL_STREAMS; i++) {
        const struct model_stream *s = &w->model.streams[i];
        struct seen seen = look(w, i, evicts);
        if (seen.high == 0) continue;
        retention_shows(w, i, seen.low, seen.high);
        if (seen.high + 1 - seen.low > PROOF_KEEPS)
            trace_violation("%s/%s: %s ids %llu..%llu are there, but the policy keeps %d",
                            s->bucket, s->name, when, ULL(seen.low), ULL(seen.high), PROOF_KEEPS);
    }
}

static void end_sweeps(struct world *w)
{
    for (unsigned i = 0; i < 1000 && !sweep_rests(w->node->sweep); i++) world_settle(w);
    if (!sweep_rests(w->node->sweep)) trace_violation("a sweep does not end");
}

static void set_all(struct world *w, const struct retention *r)
{
    for (unsigned i = 0; i < MODEL_STREAMS; i++) {
        struct target t = {w->model.streams[i].bucket, w->model.streams[i].name, i};
        submit(w, &t, NULL);
        if (i >= MODEL_BUCKETS) continue;
        t.stream = "";
        may_keep(w, &t, r == NULL ? UINT64_MAX : r->max_events);
        submit(w, &t, r);
    }
    world_settle(w);
}

void retention_prove(struct world *w)
{
    static const struct retention policy = {.max_events = PROOF_KEEPS};
    if (w->retention_mode == RETENTION_MODE_NONE) return;
    end_sweeps(w);
    uint64_t policies = trace.counts[COUNT_policies];
    set_all(w, &policy);
    if (trace.counts[COUNT_policies] != policies + MODEL_STREAMS + MODEL_BUCKETS)
        trace_violation("nothing is wrong any more, but a change of policies was not taken");
    client_prove_alive(w); /* appends to every stream */
    expect_kept(w, false, "after an append");
    set_all(w, NULL);
    for (unsigned i = 0; i < 40; i++) client_append(w);
    world_settle(w);
    set_all(w, &policy);
    retention_sweep(w);
    world_settle(w);
    end_sweeps(w);
    expect_kept(w, false, "after a sweep");
    set_all(w, NULL);
    for (unsigned i = 0; i < 40; i++) client_append(w);
    world_settle(w);
    set_all(w, &policy);
    expect_kept(w, true, "for a reader without a sweep");
    set_all(w, NULL);
}

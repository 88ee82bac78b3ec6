/* test/sim/journal_world.c - see journal_world.h: one journal's life. */
#include "journal_world.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "mutants.h"
#include "trace.h"

enum { SETTLE_ROUNDS_MAX = 100000, START_TRIES_MAX = 4 };

/* A record on its way. */
struct call {
    struct journal_req req;
    struct record record;
    struct journal_world *world;
    uint64_t number;
};

static uint64_t below(struct journal_world *w, uint64_t n)
{
    return rand_below(&w->rand, n);
}

static bool odds(struct journal_world *w, uint64_t one_in)
{
    return rand_below(&w->rand, one_in) == 0;
}

static uint64_t wall_now(void *ctx)
{
    return ((struct journal_world *)ctx)->wall_ms;
}

static uint64_t mono_now(void *ctx)
{
    return ((struct journal_world *)ctx)->mono_us;
}

void jw_init(struct journal_world *w, uint64_t seed)
{
    *w = (struct journal_world){.rand = {seed}, .wall_ms = 1700000000000u, .mono_us = 5000000};
    rand_set_seed(rand_next(&w->rand));
    w->disk = disk_sim_new(rand_next(&w->rand));
    disk_sim_set_cheats(w->disk, mutant_disk_cheats());
    w->source = (struct clock_source){wall_now, mono_now, w};
    clock_set_source(&w->source);
    w->segment_bytes = (uint64_t)JOURNAL_PAGE_BYTES << (2 + below(w, 3));
    w->floor_segment = 1;
}

void jw_done(struct journal_world *w)
{
    IOR_ASSERT(w->journal == NULL && w->pending == 0);
    disk_free(w->disk);
    free(w->recs);
    free(w->replayed);
    clock_set_source(NULL);
}

/* ---- start ---- */

static void no_wake(void *ctx)
{
    (void)ctx;
}

static enum ior_err open_and_replay(struct journal_world *w, struct ior_why *why)
{
    for (unsigned i = 0; i < JW_WORKERS; i++) {
        worker_init(&w->workers[i], i, no_wake, NULL);
        w->worker_ptrs[i] = &w->workers[i];
    }
    struct journal_params p = {.disk = w->disk,
                               .segment_bytes = w->segment_bytes,
                               .node_id = {1, 2, 3},
                               .workers = w->worker_ptrs,
                               .worker_count = JW_WORKERS};
    enum ior_err err = journal_open(&p, &w->journal, why);
    if (err != IOR_OK) return err;
    jw_check_replay_begin(w);
    err = journal_replay(w->journal, jw_check_record, w, &w->report, why);
    return err == IOR_OK ? journal_start(w->journal, why) : err;
}

static enum ior_err try_start(struct journal_world *w, struct ior_why *why)
{
    enum ior_err err = open_and_replay(w, why);
    trace_note("journal start", err, disk_sim_hash(w->disk));
    if (err != IOR_OK) {
        journal_free(w->journal);
        w->journal = NULL;
        for (unsigned i = 0; i < JW_WORKERS; i++) worker_done(&w->workers[i]);
        return err;
    }
    jw_check_replay_end(w);
    trace_count(COUNT_lives, 1);
    trace_count(COUNT_torn, w->report.torn ? 1 : 0);
    return IOR_OK;
}

static void end_process(struct journal_world *w, bool power_cut)
{
    enum disk_sim_loss loss = power_cut ? disk_sim_any_loss(w->disk) : DISK_SIM_KILLED;
    trace_note(power_cut ? "power cut" : "killed", loss, 0);
    trace_count(power_cut ? COUNT_power_cuts : COUNT_killed, 1);
    disk_sim_crash(w->disk, loss);
}

void jw_start(struct journal_world *w, bool faults)
{
    struct ior_why why = {""};
    w->limited = false;
    for (unsigned tries = faults ? (unsigned)below(w, START_TRIES_MAX) : 0; tries > 0; tries--) {
        if (odds(w, 3)) {
            enum disk_sim_op op = (enum disk_sim_op)below(w, DISK_SIM_OPS);
            uint64_t n = 1 + below(w, 8);
            disk_sim_fail(w->disk, op, n, IOR_E_IO, odds(w, 2));
        } else {
            disk_sim_crash_at(w->disk, 1 + below(w, 14));
        }
        enum ior_err err = try_start(w, &why);
        bool dead = disk_sim_is_dead(w->disk);
        bool known = dead || disk_sim_failed(w->disk);
        if (!dead) disk_sim_fail(w->disk, DISK_SIM_WRITE, 0, IOR_OK, false);
        if (err == IOR_OK) return;
        if (!known) trace_violation("start failed: %s: %s", ior_err_name(err), why.text);
        trace_count(COUNT_start_crashes, 1);
        end_process(w, dead != odds(w, 3));
    }
    enum ior_err err = try_start(w, &why);
    if (err != IOR_OK) trace_violation("start failed: %s: %s", ior_err_name(err), why.text);
}

/* ---- records ---- */

static void on_done(struct journal_req *req)
{
    struct call *c = IOR_CONTAINER(req, struct call, req);
    struct journal_world *w = c->world;
    struct rec *r = jw_rec(w, c->number);
    trace_note("record answered", c->number, req->err);
    IOR_ASSERT(r->state == REC_IN_FLIGHT);
    w->pending--;
    if (req->err == IOR_OK) {
        trace_count(COUNT_records, 1);
        r->state = REC_ACKED;
    } else if (req->err == IOR_E_IO) {
        r->state = REC_UNKNOWN;
    } else if (req->err == IOR_E_NOSPC && w->limited) {
        r->state = REC_REFUSED;
    } else {
        trace_violation("a record was answered %s", ior_err_name(req->err));
    }
    record_done(&c->record);
    free(c);
}

static uint64_t add_rec(struct journal_world *w, uint64_t size_bytes, bool flat)
{
    if (w->count == w->room) {
        w->room = w->room == 0 ? 256 : w->room * 2;
        w->recs = realloc(w->recs, w->room * sizeof *w->recs);
        IOR_ASSERT(w->recs != NULL);
    }
    w->recs[w->count++] = (struct rec){.size_bytes = (uint32_t)size_bytes, .flat = flat};
    return w->count;
}

void jw_submit_any(struct journal_world *w)
{
    uint64_t dice = below(w, 20);
    uint64_t size_bytes = dice < 12 ? below(w, 400) : below(w, 3 * JOURNAL_PAGE_BYTES);
    if (dice >= 18) size_bytes = below(w, 2 * w->segment_bytes);
    jw_submit(w, size_bytes, odds(w, 2));
}

void jw_submit(struct journal_world *w, uint64_t size_bytes, bool flat)
{
    struct call *c = calloc(1, sizeof *c);
    IOR_ASSERT(c != NULL);
    c->world = w;
    c->number = add_rec(w, size_bytes, flat);
    c->record = jw_make_record(w, c->number);
    c->req.record = &c->record;
    c->req.epoch = journal_epoch(w->journal);
    c->req.done = on_done;
    struct worker *on = &w->workers[below(w, JW_WORKERS)];
    worker_enter(on);
    enum ior_err err = journal_submit(w->journal, &c->req);
    journal_kick(w->journal, on);
    worker_enter(NULL);
    trace_note("record", c->number, err);
    if (err == IOR_OK) {
        w->pending++;
        return;
    }
    if (err != IOR_E_IO || !journal_failed(w->journal))
        trace_violation("a record was refused with %s", ior_err_name(err));
    jw_rec(w, c->number)->state = REC_REFUSED;
    record_done(&c->record);
    free(c);
}

void jw_journal_step(struct journal_world *w)
{
    if (w->batch_open) {
        w->batch_open = false;
        journal_finish(w->journal);
        trace_note("journal finish", disk_sim_count(w->disk, DISK_SIM_CHANGE), 0);
        return;
    }
    w->batch_open = journal_begin(w->journal);
    uint64_t segment = journal_active_segment(w->journal);
    while (w->begun < w->count) w->recs[w->begun++].segment = segment;
    trace_note("journal begin", w->batch_open, segment);
}

void jw_turns(struct journal_world *w)
{
    for (unsigned i = 0; i < JW_WORKERS; i++) {
        worker_enter(&w->workers[i]);
        while (worker_turn(&w->workers[i])) {
        }
        worker_enter(NULL);
    }
}

void jw_settle(struct journal_world *w)
{
    for (unsigned rounds = 0; w->batch_open || journal_has_waiting(w->journal); rounds++) {
        if (rounds > SETTLE_ROUNDS_MAX) trace_violation("the journal does not come to rest");
        jw_journal_step(w);
    }
    jw_turns(w);
    if (w->pending > 0) trace_violation("%u records were never answered", w->pending);
}

/* ---- ends ---- */

static void close_journal(struct journal_world *w)
{
    journal_free(w->journal);
    w->journal = NULL;
    for (unsigned i = 0; i < JW_WORKERS; i++) worker_done(&w->workers[i]);
    if (disk_sim_open_files(w->disk) != 0)
        trace_violation("%u files were left open", disk_sim_open_files(w->disk));
}

void jw_stop(struct journal_world *w)
{
    journal_close(w->journal);
    jw_settle(w);
    while (w->batch_open || journal_mark_due_us(w->journal) == 0) jw_journal_step(w);
    bool sound = !journal_failed(w->journal);
    close_journal(w);
    trace_count(COUNT_clean_stops, sound ? 1 : 0);
    bool dead = disk_sim_is_dead(w->disk);
    end_process(w, dead ? !odds(w, 3) : odds(w, 2));
    disk_sim_set_limit(w->disk, UINT64_MAX);
}

void jw_crash(struct journal_world *w)
{
    trace_count(COUNT_inner_crashes, disk_sim_is_dead(w->disk) ? 1 : 0);
    disk_sim_kill(w->disk);
    jw_settle(w);
    close_journal(w);
    end_process(w, !odds(w, 3));
    disk_sim_set_limit(w->disk, UINT64_MAX);
}

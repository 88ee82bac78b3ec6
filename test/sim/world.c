/* test/sim/world.c - see world.h.
 * A crash: the disk dies first (everything fails from then on), then the node is
 * driven until every call is answered, so that nothing leaks; what it still
 * acknowledges then must be on the disk, for it was synced before. */
#include "world.h"

#include "base/assert.h"
#include "core/checkpoint.h"
#include "mutants.h"
#include "trace.h"

enum { SETTLE_ROUNDS_MAX = 100000, START_TRIES_MAX = 4 };

/* ---- clocks and chance ---- */

static uint64_t wall_now(void *ctx)
{
    struct world *w = ctx;
    return w->wall_ms;
}

static uint64_t mono_now(void *ctx)
{
    struct world *w = ctx;
    w->mono_us += w->call_us;
    return w->mono_us;
}

uint64_t world_below(struct world *w, uint64_t n)
{
    return rand_below(&w->rand, n);
}

bool world_odds(struct world *w, uint64_t one_in)
{
    return rand_below(&w->rand, one_in) == 0;
}

void world_init(struct world *w, uint64_t seed)
{
    *w = (struct world){.rand = {seed}, .wall_ms = 1700000000000u, .mono_us = 5000000};
    rand_set_seed(rand_next(&w->rand));
    w->disk = disk_sim_new(rand_next(&w->rand));
    disk_sim_set_cheats(w->disk, mutant_disk_cheats());
    w->source = (struct clock_source){wall_now, mono_now, w};
    clock_set_source(&w->source);
    static const uint64_t call_us[] = {0, 0, 1, 40};
    w->call_us = call_us[world_below(w, IOR_LEN(call_us))];
    model_init(&w->model);
    facts_init(&w->facts);
    patcher_init(&w->patcher);
    enum ior_err err = job_queue_new("disk", 0, 1 << 20, 0, &w->disk_jobs);
    IOR_ASSERT(err == IOR_OK);
}

void world_done(struct world *w)
{
    IOR_ASSERT(w->node == NULL && w->pending == 0);
    if (disk_sim_open_files(w->disk) != 0)
        trace_violation("%u files were left open", disk_sim_open_files(w->disk));
    job_queue_stop(w->disk_jobs);
    job_queue_free(w->disk_jobs);
    disk_free(w->disk);
    model_done(&w->model);
    patcher_done(&w->patcher);
    clock_set_source(NULL);
}

/* ---- start ---- */

static void no_wake(void *ctx)
{
    (void)ctx; /* nobody sleeps here */
}

static void kick(void *ctx)
{
    journal_kick(ctx, worker_current());
}

static enum ior_err open_kv(void *ctx, struct kv **ret, struct ior_why *why)
{
    const struct world *w = ctx;
    return kv_sim_open(w->disk, "catalog.sim", ret, why);
}

/* Limits that are reached, in some lives. */
static void choose_limits(struct world *w, struct node_params *p)
{
    if (world_odds(w, 4)) p->segment_bytes *= 2;
    if (world_odds(w, 4)) p->inflight_bytes_max = 64 << 10;
    if (world_odds(w, 3)) p->tail_bytes_max = (64 << 10) + world_below(w, 400 << 10);
    if (world_odds(w, 3)) p->history_bytes_max = world_below(w, 8 << 10);
    if (world_odds(w, 3)) p->stream_idle_ms = 0;
    if (world_odds(w, 3)) p->journal_bytes_max = 8 * p->segment_bytes;
    if (world_odds(w, 3)) p->small_bytes_max = 256 + world_below(w, 64 << 10);
    if (world_odds(w, 3)) p->chunk_items_max = 2 + world_below(w, 30);
    if (world_odds(w, 3)) p->chunk_bytes_max = 1000 + world_below(w, 100 << 10);
    if (world_odds(w, 2)) p->disk_reserve_bytes = 1000 + world_below(w, 100 << 10);
}

static enum ior_err try_start(struct world *w, struct ior_why *why)
{
    w->worker_count = 1 + (unsigned)world_below(w, WORLD_WORKERS);
    for (unsigned i = 0; i < w->worker_count; i++) {
        worker_init(&w->workers[i], i, no_wake, NULL);
        w->worker_ptrs[i] = &w->workers[i];
    }
    struct node_params p = {
        .disk = w->disk,
        .name = "sim@127.0.0.1",
        .ring_size = WORLD_RING_SIZE,
        .segment_bytes = WORLD_SEGMENT_BYTES,
        .journal_bytes_max = 1u << 30,
        .tail_bytes_max = 1u << 30,
        .history_bytes_max = 1 << 20,
        .history_items_max = 1 + world_below(w, 20),
        .history_stream_bytes_max = 16 << 10,
        .chunk_items_max = 64,
        .chunk_bytes_max = 64 << 10,
        .small_bytes_max = 4 << 10,
        .stream_idle_ms = 3000,
        .eviction_interval_ms = 1500,
        .open_kv = open_kv,
        .open_kv_ctx = w,
        .disk_jobs = w->disk_jobs,
        .dedupe_window_ms = UINT64_MAX, /* the model does not reckon with time */
        .dedupe_bytes_max = 1u << 30,
        .inflight_bytes_max = 16 << 20,
        .workers = w->worker_ptrs,
        .worker_count = w->worker_count,
    };
    choose_limits(w, &p);
    if (w->life % 2 == 1) p.bucket_bytes_max = 1ull << 40; /* quota.h */
    enum ior_err err = node_open(&p, &w->node, &w->report, why);
    trace_note("start", err, disk_sim_hash(w->disk));
    if (err != IOR_OK) {
        w->node = NULL;
        for (unsigned i = 0; i < w->worker_count; i++) worker_done(&w->workers[i]);
        return err;
    }
    for (unsigned i = 0; i < w->worker_count; i++)
        worker_on_turn_end(&w->workers[i], kick, w->node->journal);
    return IOR_OK;
}

/* A fault that the start may meet. */
static void set_start_fault(struct world *w)
{
    uint64_t dice = world_below(w, 4);
    if (dice == 0) {
        enum disk_sim_op op = (enum disk_sim_op)world_below(w, DISK_SIM_OPS);
        uint64_t n = 1 + world_below(w, 6);
        disk_sim_fail(w->disk, op, n, IOR_E_IO, world_odds(w, 2));
    } else if (dice == 1) {
        disk_sim_set_limit(w->disk, disk_sim_used_bytes(w->disk) + world_below(w, 80000));
    } else {
        disk_sim_crash_at(w->disk, 1 + world_below(w, 14));
    }
}

/* After a start that failed by a fault, or a process that was stopped. */
static void end_process(struct world *w, bool power_cut)
{
    IOR_ASSERT(w->node == NULL);
    enum disk_sim_loss loss = power_cut ? disk_sim_any_loss(w->disk) : DISK_SIM_KILLED;
    trace_note(power_cut ? "power cut" : "killed", loss, 0);
    trace_count(power_cut ? COUNT_power_cuts : COUNT_killed, 1);
    disk_sim_crash(w->disk, loss);
}

static void check_report(struct world *w)
{
    trace_count(COUNT_lives, 1);
    trace_count(COUNT_torn, w->report.torn ? 1 : 0);
    if (w->must_be_marked && (!w->report.marked || w->report.torn))
        trace_violation("after a clean stop the journal does not end with a MARK");
    w->must_be_marked = false;
}

void world_start(struct world *w, bool faults)
{
    struct ior_why why = {""};
    w->life++;
    w->acked_in_life = 0;
    w->full_in_life = false;
    for (unsigned tries = faults ? (unsigned)world_below(w, START_TRIES_MAX) : 0; tries > 0;
         tries--) {
        set_start_fault(w);
        enum ior_err err = try_start(w, &why);
        bool dead = disk_sim_is_dead(w->disk);
        bool known = dead || disk_sim_failed(w->disk) || err == IOR_E_NOSPC;
        disk_sim_set_limit(w->disk, UINT64_MAX);
        if (!dead) disk_sim_fail(w->disk, DISK_SIM_WRITE, 0, IOR_OK, false);
        if (err == IOR_OK) {            /* the crash point, if it was one, is still ahead */
            node_look_at_disk(w->node); /* the limit is gone */
            check_report(w);
            return;
        }
        if (!known) trace_violation("start failed: %s: %s", ior_err_name(err), why.text);
        trace_count(COUNT_start_crashes, 1);
        w->must_be_marked = false;
        end_process(w, dead != world_odds(w, 3));
    }
    enum ior_err err = try_start(w, &why);
    if (err != IOR_OK) trace_violation("start failed: %s: %s", ior_err_name(err), why.text);
    check_report(w);
}

/* ---- steps ---- */

void world_enter_any(struct world *w)
{
    worker_enter(&w->workers[world_below(w, w->worker_count)]);
}

void world_turn(struct world *w, unsigned worker)
{
    worker_enter(&w->workers[worker]);
    (void)worker_turn(&w->workers[worker]);
    worker_enter(NULL);
}

void world_journal_step(struct world *w)
{
    if (w->batch_open) {
        trace_note("finish", disk_sim_count(w->disk, DISK_SIM_CHANGE), 0);
        w->batch_open = false;
        journal_finish(w->node->journal);
        return;
    }
    w->batch_open = journal_begin(w->node->journal);
    trace_note("begin", w->batch_open, disk_sim_count(w->disk, DISK_SIM_CHANGE));
}

void world_prepare_step(struct world *w)
{
    if (!journal_wants_prepare(w->node->journal)) return;
    journal_prepare(w->node->journal);
    trace_note("prepare", disk_sim_count(w->disk, DISK_SIM_CHANGE), disk_sim_used_bytes(w->disk));
}

static void count_round(struct world *w)
{
    enum ior_err err = checkpoint_last_error(w->node->checkpoint);
    trace_note("checkpoint", err, disk_sim_count(w->disk, DISK_SIM_CHANGE));
    trace_count(err == IOR_OK ? COUNT_checkpoints : COUNT_checkpoint_failures, 1);
    bool expected = err == IOR_OK || disk_sim_is_dead(w->disk) || disk_sim_failed(w->disk) ||
                    (err == IOR_E_NOSPC && w->full_in_life) || err == IOR_E_CLOSING ||
                    journal_failed(w->node->journal) || w->met_in_round;
    if (!expected) trace_violation("a checkpoint failed with %s", ior_err_name(err));
}

static void start_round(struct world *w)
{
    checkpoint_start(w->node->checkpoint);
    w->in_checkpoint = true;
    w->met_in_round = false;
}

void world_checkpoint_step(struct world *w)
{
    struct checkpoint *c = w->node->checkpoint;
    if (w->in_checkpoint) {
        w->in_checkpoint = checkpoint_step(c) != CHECKPOINT_RESTS;
        w->met_in_round = w->met_in_round || disk_sim_failed(w->disk);
        if (!w->in_checkpoint) count_round(w);
        return;
    }
    if (!checkpoint_is_due(c) && !world_odds(w, 12)) return;
    start_round(w);
}

void world_disk_step(struct world *w)
{
    if (job_queue_step(w->disk_jobs)) trace_count(COUNT_disk_jobs, 1);
}

void world_tick(struct world *w)
{
    worker_enter(&w->workers[0]);
    node_tick(w->node);
    worker_enter(NULL);
}

bool world_checkpoint(struct world *w)
{
    struct checkpoint *c = w->node->checkpoint;
    if (!w->in_checkpoint) start_round(w);
    for (unsigned steps = 0; w->in_checkpoint; steps++) {
        if (steps > SETTLE_ROUNDS_MAX) trace_violation("a checkpoint does not end");
        world_settle(w);
        world_checkpoint_step(w);
    }
    return checkpoint_last_error(c) == IOR_OK;
}

/* What is under way is given up. */
static void stop_checkpoint(struct world *w)
{
    if (!w->in_checkpoint) return;
    trace_count(COUNT_checkpoint_cuts, 1);
    checkpoint_cancel(w->node->checkpoint);
    world_checkpoint(w);
}

void world_pass_time(struct world *w)
{
    static const uint64_t steps_us[] = {1, 300, 5000, 60000, 120000, 1100000};
    uint64_t us = steps_us[world_below(w, IOR_LEN(steps_us))];
    w->mono_us += us;
    w->wall_ms += us / 1000;
    if (world_odds(w, 20)) /* somebody sets the clock: an hour at most, either way */
        w->wall_ms = w->wall_ms - 3600000 + world_below(w, 7200000);
    trace_note("time", w->mono_us, w->wall_ms);
}

static bool idle(struct world *w)
{
    for (unsigned i = 0; i < w->worker_count; i++) {
        struct worker *x = &w->workers[i];
        if (atomic_load(&x->inbox) != NULL || !ior_queue_empty(&x->deferred) ||
            !ior_queue_empty(&x->strands))
            return false;
    }
    return true;
}

void world_turns(struct world *w)
{
    for (unsigned rounds = 0; !idle(w) || job_queue_step(w->disk_jobs); rounds++) {
        if (rounds > SETTLE_ROUNDS_MAX) trace_violation("the workers do not come to rest");
        for (unsigned i = 0; i < w->worker_count; i++) world_turn(w, i);
    }
}

void world_settle(struct world *w)
{
    for (unsigned rounds = 0;; rounds++) {
        if (rounds > SETTLE_ROUNDS_MAX) trace_violation("%u calls were never answered", w->pending);
        world_turns(w);
        if (!w->batch_open && !journal_has_waiting(w->node->journal)) break;
        world_journal_step(w);
    }
    if (w->pending > 0) trace_violation("%u calls were never answered", w->pending);
    uint64_t inflight = atomic_load(&w->node->inflight_bytes);
    if (inflight > 0)
        trace_violation("%llu bytes count as in flight, but nothing is",
                        (unsigned long long)inflight);
}

void world_heal(struct world *w)
{
    disk_sim_set_limit(w->disk, UINT64_MAX);
    disk_sim_fail(w->disk, DISK_SIM_WRITE, 0, IOR_OK, false);
    disk_sim_crash_at(w->disk, 0);
    world_settle(w);
    w->mono_us += JOURNAL_NOSPC_RETRY_MS * 1000; /* a full disk is tried again */
    world_prepare_step(w);
    if (journal_failed(w->node->journal)) return;
    if (w->in_checkpoint) world_checkpoint(w);
    if (!world_checkpoint(w)) trace_violation("nothing is wrong any more, but no checkpoint works");
    checkpoint_is_due(w->node->checkpoint); /* the journal is small again */
}

/* ---- ends ---- */

static void close_node(struct world *w)
{
    node_close(w->node);
    w->node = NULL;
    for (unsigned i = 0; i < w->worker_count; i++) worker_done(&w->workers[i]);
    if (disk_sim_open_files(w->disk) != 0)
        trace_violation("%u files were left open", disk_sim_open_files(w->disk));
}

void world_stop(struct world *w)
{
    struct journal *j = w->node->journal;
    if (world_odds(w, 2)) world_settle(w); /* else some calls hear CLOSING */
    stop_checkpoint(w);
    journal_close(j);
    trace_note("stop", w->pending, 0);
    world_settle(w);
    while (w->batch_open || journal_mark_due_us(j) == 0) world_journal_step(w);
    bool sound = !journal_failed(j) && !disk_sim_is_dead(w->disk);
    w->must_be_marked = sound && !w->full_in_life && w->acked_in_life > 0;
    close_node(w);
    trace_count(COUNT_clean_stops, sound ? 1 : 0);
    end_process(w, disk_sim_is_dead(w->disk) ? !world_odds(w, 3) : world_odds(w, 2));
    disk_sim_set_limit(w->disk, UINT64_MAX);
}

void world_crash(struct world *w)
{
    trace_count(COUNT_inner_crashes, disk_sim_is_dead(w->disk) ? 1 : 0);
    if (!disk_sim_is_dead(w->disk)) {
        disk_sim_fail(w->disk, DISK_SIM_WRITE, 0, IOR_OK, false);
        /* Dead from here: nothing that the node does any more reaches the disk. */
        disk_sim_kill(w->disk);
    }
    trace_note("crash", w->pending, 0);
    world_settle(w);
    stop_checkpoint(w);
    close_node(w);
    end_process(w, !world_odds(w, 3));
    disk_sim_set_limit(w->disk, UINT64_MAX);
}

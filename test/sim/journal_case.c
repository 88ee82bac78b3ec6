/* test/sim/journal_case.c - the journal alone: short lives with small segments that are
 * released and recycled, crashes between any two disk operations of that. */
#include "cases.h"

#include "base/assert.h"
#include "journal_world.h"
#include "trace.h"

enum { LIVES_MAX = 30, STEPS_MAX = 150, PENDING_MAX = 40 };

static uint64_t below(struct journal_world *w, uint64_t n)
{
    return rand_below(&w->rand, n);
}

static void release(struct journal_world *w)
{
    uint64_t first = journal_first_segment(w->journal);
    uint64_t active = journal_active_segment(w->journal);
    if (first >= active) return;
    uint64_t to = first + 1 + below(w, active - first);
    trace_note("release", first, to);
    /* From now on what is below may be gone, whether this works or not. */
    if (to > w->floor_segment) w->floor_segment = to;
    enum ior_err err = journal_release(w->journal, to);
    if (err == IOR_OK) {
        trace_count(COUNT_released, to - first);
        return;
    }
    if (!disk_sim_is_dead(w->disk) && !disk_sim_failed(w->disk) && !journal_failed(w->journal))
        trace_violation("release failed: %s", ior_err_name(err));
}

static void add_fault(struct journal_world *w)
{
    static const enum disk_sim_op ops[] = {DISK_SIM_WRITE,    DISK_SIM_SYNC,   DISK_SIM_CREATE,
                                           DISK_SIM_RENAME,   DISK_SIM_UNLINK, DISK_SIM_OPEN,
                                           DISK_SIM_SYNC_DIR, DISK_SIM_CHANGE};
    uint64_t dice = below(w, 8);
    if (dice < 4) {
        disk_sim_crash_at(w->disk, 1 + below(w, 30));
    } else if (dice < 6) {
        enum disk_sim_op op = ops[below(w, IOR_LEN(ops))];
        uint64_t n = 1 + below(w, 12);
        disk_sim_fail(w->disk, op, n, IOR_E_IO, below(w, 2) == 0);
    } else if (dice == 6) {
        w->limited = true;
        disk_sim_set_limit(w->disk, disk_sim_used_bytes(w->disk) + below(w, 3 * w->segment_bytes));
    } else {
        disk_sim_set_limit(w->disk, UINT64_MAX);
    }
    trace_note("journal fault", dice, 0);
}

static void do_step(struct journal_world *w)
{
    uint64_t dice = below(w, 100);
    if (dice < 30) {
        if (w->pending < PENDING_MAX) jw_submit_any(w);
    } else if (dice < 70) {
        jw_journal_step(w);
    } else if (dice < 82) {
        jw_turns(w);
    } else if (dice < 90) {
        if (journal_wants_prepare(w->journal)) journal_prepare(w->journal);
    } else if (dice < 95) {
        static const uint64_t steps_us[] = {100, 70000, 130000, 1100000};
        w->mono_us += steps_us[below(w, IOR_LEN(steps_us))];
    } else {
        release(w);
    }
}

static void live(struct journal_world *w)
{
    uint64_t steps = below(w, 3) == 0 ? below(w, 12) : below(w, STEPS_MAX);
    if (below(w, 2) == 0) add_fault(w);
    for (uint64_t i = 0; i < steps && !disk_sim_is_dead(w->disk); i++) {
        if (below(w, 60) == 0) add_fault(w);
        do_step(w);
    }
}

/* The power fails between the write and the sync of a batch. Where its records look
 * like those of the batch that an earlier crash has torn, a sector of one may make the
 * other whole, if the remains of the other were left. */
static void crash_in_batch(struct journal_world *w)
{
    if (w->batch_open) jw_journal_step(w);
    for (uint64_t n = 1 + below(w, 2); n > 0; n--)
        jw_submit(w, 1000 + below(w, 3 * JOURNAL_PAGE_BYTES), true);
    jw_journal_step(w);
    jw_crash(w);
}

static enum ior_err count_segment(void *ctx, const char *name)
{
    uint64_t seq;
    if (segment_name_parse(name, &seq)) ++*(unsigned *)ctx;
    return IOR_OK;
}

/* Nothing is wrong any more: it works, and what was released is really gone. */
static void end_well(struct journal_world *w)
{
    jw_start(w, false);
    uint64_t first = w->count + 1;
    for (int i = 0; i < 20; i++) {
        jw_submit_any(w);
        if (i % 3 == 0) jw_settle(w);
    }
    jw_settle(w);
    for (uint64_t n = first; n <= w->count; n++) {
        if (jw_rec(w, n)->state != REC_ACKED)
            trace_violation("nothing is wrong any more, but record %llu was not taken",
                            (unsigned long long)n);
    }
    w->floor_segment = journal_active_segment(w->journal);
    enum ior_err err = journal_release(w->journal, w->floor_segment);
    if (err != IOR_OK) trace_violation("release failed: %s", ior_err_name(err));
    unsigned segments = 0;
    err = disk_list(w->disk, JOURNAL_DIR, count_segment, &segments);
    IOR_ASSERT(err == IOR_OK);
    if (segments > 3) /* the active one, the next one, one to recycle */
        trace_violation("%u segments are left after everything was released", segments);
    jw_stop(w);
    jw_start(w, false);
    jw_stop(w);
}

void journal_case(uint64_t seed)
{
    struct journal_world w;
    jw_init(&w, seed);
    uint64_t lives = 2 + below(&w, LIVES_MAX);
    for (uint64_t i = 0; i < lives; i++) {
        jw_start(&w, below(&w, 2) == 0);
        live(&w);
        uint64_t end = disk_sim_is_dead(w.disk) ? 0 : below(&w, 3);
        if (end == 0) {
            jw_crash(&w);
        } else if (end == 1) {
            crash_in_batch(&w);
        } else {
            jw_stop(&w);
        }
    }
    end_well(&w);
    jw_done(&w);
}

/* test/sim/node_case.c - the whole node: lives of clients, faults and crashes in an
 * order that the seed chooses, and at the end proof that everything works again. */
#include "cases.h"

#include "base/assert.h"
#include "client.h"
#include "quota.h"
#include "retention.h"
#include "trace.h"
#include "watcher.h"

enum { LIVES_MAX = 8, STEPS_MAX = 500, PENDING_MAX = 60 };

enum step {
    STEP_APPEND,
    STEP_REPEAT,
    STEP_PATCH,
    STEP_TRIM,
    STEP_READ,
    STEP_LIST,
    STEP_WATCH,
    STEP_CHANGE,
    STEP_ACCESS,
    STEP_POLICY,
    STEP_SWEEP,
    STEP_PREVIEW,
    STEP_TURN,
    STEP_JOURNAL,
    STEP_PREPARE,
    STEP_CHECKPOINT,
    STEP_DISK,
    STEP_TICK,
    STEP_TIME,
    STEP_LOOK,
    STEP_COUNT,
};

/* How often each step comes in one life: a slow disk, slow workers, or neither. */
struct mix {
    unsigned weight[STEP_COUNT];
    unsigned sum;
};

static struct mix choose_mix(struct world *w)
{
    struct mix m = {
        .weight = {
            [STEP_APPEND] = 30, [STEP_REPEAT] = 8,   [STEP_PATCH] = 10,  [STEP_TRIM] = 3,
            [STEP_READ] = 6,    [STEP_LIST] = 2,     [STEP_WATCH] = 6,   [STEP_CHANGE] = 2,
            [STEP_ACCESS] = 3,  [STEP_POLICY] = 2,   [STEP_SWEEP] = 1,   [STEP_PREVIEW] = 1,
            [STEP_TURN] = 40,   [STEP_JOURNAL] = 30, [STEP_PREPARE] = 5, [STEP_CHECKPOINT] = 25,
            [STEP_DISK] = 25,   [STEP_TICK] = 3,     [STEP_TIME] = 5,    [STEP_LOOK] = 2}};
    if (world_odds(w, 3)) m.weight[STEP_CHECKPOINT] = world_odds(w, 2) ? 0 : 90;
    switch (world_below(w, 6)) {
    case 0:
        m.weight[STEP_JOURNAL] = 3;
        break;
    case 1:
        m.weight[STEP_TURN] = 6;
        break;
    case 3:
        m.weight[STEP_DISK] = 3;
        break;
    case 2:
        m.weight[STEP_PREPARE] = world_odds(w, 2) ? 0 : 40;
        break;
    default:
        break;
    }
    for (unsigned i = 0; i < STEP_COUNT; i++) m.sum += m.weight[i];
    return m;
}

static enum step choose_step(struct world *w, const struct mix *m)
{
    uint64_t dice = world_below(w, m->sum);
    unsigned i = 0;
    while (dice >= m->weight[i]) dice -= m->weight[i++];
    return (enum step)i;
}

/* Trouble for the disk, sooner or later in this life. */
static void add_fault(struct world *w)
{
    static const enum disk_sim_op ops[] = {DISK_SIM_WRITE,  DISK_SIM_SYNC,     DISK_SIM_CREATE,
                                           DISK_SIM_RENAME, DISK_SIM_SYNC_DIR, DISK_SIM_CHANGE};
    uint64_t n = 1 + world_below(w, 40);
    uint64_t dice = world_below(w, 10);
    if (dice < 4) {
        disk_sim_crash_at(w->disk, n);
    } else if (dice < 6) {
        enum disk_sim_op op = ops[world_below(w, IOR_LEN(ops))];
        disk_sim_fail(w->disk, op, n, IOR_E_IO, world_odds(w, 2));
    } else if (dice < 9) {
        uint64_t room = world_below(w, 250000);
        w->full_in_life = true;
        disk_sim_set_limit(w->disk, disk_sim_used_bytes(w->disk) + room);
    } else {
        disk_sim_set_limit(w->disk, UINT64_MAX);
    }
    trace_note("fault", dice, n);
}

static void do_step(struct world *w, enum step step)
{
    bool busy = w->pending >= PENDING_MAX;
    switch (step) {
    case STEP_APPEND:
        if (!busy) client_append(w);
        break;
    case STEP_REPEAT:
        if (!busy) client_repeat(w);
        break;
    case STEP_PATCH:
        if (!busy) patcher_step(w);
        break;
    case STEP_TRIM:
        if (!busy) client_trim(w);
        break;
    case STEP_READ:
        if (!busy) client_read(w);
        break;
    case STEP_LIST:
        if (!busy) client_list(w);
        break;
    case STEP_WATCH:
        watcher_step(w);
        break;
    case STEP_CHANGE:
        facts_change(w);
        break;
    case STEP_ACCESS:
        if (!busy) access_step(w);
        break;
    case STEP_POLICY:
        if (!busy) retention_step(w);
        break;
    case STEP_SWEEP:
        retention_sweep(w);
        break;
    case STEP_PREVIEW:
        if (!busy) retention_preview(w);
        break;
    case STEP_TURN:
        world_turn(w, (unsigned)world_below(w, w->worker_count));
        break;
    case STEP_JOURNAL:
        world_journal_step(w);
        break;
    case STEP_PREPARE:
        world_prepare_step(w);
        break;
    case STEP_CHECKPOINT:
        world_checkpoint_step(w);
        break;
    case STEP_DISK:
        world_disk_step(w);
        break;
    case STEP_TICK:
        world_tick(w);
        break;
    case STEP_TIME:
        world_pass_time(w);
        break;
    default:
        facts_check(w);
        access_check(w);
        break;
    }
}

static void live(struct world *w)
{
    struct mix mix = choose_mix(w);
    bool was_failed = false;
    uint64_t steps = world_odds(w, 4) ? world_below(w, 25) : world_below(w, STEPS_MAX);
    if (world_odds(w, 2)) add_fault(w);
    for (uint64_t i = 0; i < steps && !disk_sim_is_dead(w->disk); i++) {
        if (world_odds(w, 150)) add_fault(w);
        do_step(w, choose_step(w, &mix));
        bool failed = journal_failed(w->node->journal);
        if (failed && !was_failed) {
            trace_count(COUNT_io_errors, disk_sim_is_dead(w->disk) ? 0 : 1);
            if (i + 40 < steps) steps = i + 40; /* a little longer: all of it must be refused */
        }
        was_failed = failed;
    }
    if (world_odds(w, 4) && !disk_sim_is_dead(w->disk)) {
        world_turns(w);
        client_inspect(w, false); /* reads go on, whatever happened to the journal */
    }
    bool sound = !disk_sim_is_dead(w->disk) && !journal_failed(w->node->journal);
    if (sound && world_odds(w, 5)) { /* also after a full disk: no restart is needed */
        world_heal(w);
        if (!journal_failed(w->node->journal)) {
            client_prove_alive(w);
            quota_prove(w);
        }
    }
    watcher_end(w);
}

/* Nothing is wrong any more: start, write, stop, and everything is there. */
static void end_well(struct world *w)
{
    world_start(w, false);
    client_inspect(w, true);
    client_prove_alive(w);
    client_inspect(w, false);
    retention_prove(w);
    client_inspect(w, false);
    quota_prove(w);
    client_inspect(w, false);
    world_stop(w);
    world_start(w, false);
    client_inspect(w, true);
    if (!w->report.marked) trace_violation("after a clean stop the journal does not end in a MARK");
    world_stop(w);
}

void node_case(uint64_t seed)
{
    struct world w;
    world_init(&w, seed);
    w.retention_mode = (unsigned)world_below(&w, RETENTION_MODES);
    uint64_t lives = 1 + world_below(&w, LIVES_MAX);
    for (uint64_t i = 0; i < lives; i++) {
        world_start(&w, world_odds(&w, 2));
        client_inspect(&w, true);
        live(&w);
        if (disk_sim_is_dead(w.disk) || world_odds(&w, 2)) {
            world_crash(&w);
        } else {
            world_stop(&w);
        }
    }
    end_well(&w);
    world_done(&w);
}

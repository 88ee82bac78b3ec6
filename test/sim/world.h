/* test/sim/world.h - one node in one thread: its simulated disk, clocks and workers,
 * and the journal driven by hand. A life is a start of the node on what the
 * life before has left, then steps in any order, then an end of some kind. */
#pragma once

#include "core/iorio.h"
#include "access.h"
#include "facts.h"
#include "model.h"
#include "patcher.h"
#include "rt/clock.h"
#include "rt/disk_sim.h"

enum { WORLD_WORKERS = 3, WORLD_SEGMENT_BYTES = 64 << 10, WORLD_RING_SIZE = 8 };

struct world {
    struct rand_state rand;
    struct disk *disk;
    struct clock_source source;
    uint64_t wall_ms;
    uint64_t mono_us;
    uint64_t call_us; /* what one look at the clock takes */

    struct worker workers[WORLD_WORKERS];
    struct worker *worker_ptrs[WORLD_WORKERS];
    unsigned worker_count;
    struct job_queue *disk_jobs;
    struct node *node;                   /* NULL: not running */
    struct journal_replay_report report; /* of the last start */
    bool in_checkpoint;                  /* a round is under way */
    bool met_in_round;                   /* a fault, in this round */
    bool batch_open;                     /* journal_begin() was true, journal_finish() is due */
    unsigned life;
    unsigned pending; /* calls that were not answered yet */
    unsigned acked_in_life;
    bool full_in_life;   /* the disk had a limit: a MARK may be missing */
    bool must_be_marked; /* the last stop was clean, and there was something to mark */

    unsigned retention_mode; /* retention.h */
    struct model model;
    struct facts facts;
    struct access_model access;
    struct patcher patcher;
};

void world_init(struct world *w, uint64_t seed);
void world_done(struct world *w);
uint64_t world_below(struct world *w, uint64_t n); /* 0..n-1 */
bool world_odds(struct world *w, uint64_t one_in);

/* Start the node, whatever it takes: crashes and errors during a start may come
 * first (`faults`); without a fault the start must succeed. */
void world_start(struct world *w, bool faults);

/* ---- steps ---- */

void world_turn(struct world *w, unsigned worker);
/* The journal's next step: begin, or finish of what was begun. */
void world_journal_step(struct world *w);
void world_prepare_step(struct world *w);
/* The checkpoint's next step; begins a round now and then. */
void world_checkpoint_step(struct world *w);
/* One look-up or read of the disk pool. */
void world_disk_step(struct world *w);
void world_tick(struct world *w);
void world_pass_time(struct world *w);
/* A whole round, to its end. False: it failed. */
bool world_checkpoint(struct world *w);
/* Turns and batches until every call is answered. */
void world_settle(struct world *w);
/* Nothing is wrong any more from here on (the journal has not failed). */
void world_heal(struct world *w);
/* Only turns: what does not need the journal is answered. */
void world_turns(struct world *w);
/* On a worker of its choice: enter it; leave with worker_enter(NULL). */
void world_enter_any(struct world *w);

/* ---- ends ---- */

/* Clean: everything taken is answered, the journal ends with a MARK. */
void world_stop(struct world *w);
/* The power fails or the process is killed, now. */
void world_crash(struct world *w);

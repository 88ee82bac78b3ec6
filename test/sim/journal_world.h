/* test/sim/journal_world.h - a journal alone: records go in, segments are released and
 * recycled, and after every start exactly the right records must come back. */
#pragma once

#include "rt/clock.h"
#include "rt/disk_sim.h"
#include "rt/rand.h"
#include "store/journal.h"

enum { JW_WORKERS = 2 };

enum rec_state {
    REC_IN_FLIGHT,
    REC_ACKED,   /* or found by a recovery: must come back */
    REC_REFUSED, /* must never come */
    REC_UNKNOWN,
    REC_DEAD, /* unknown, and not there after a start: must never come */
};

struct rec {
    uint32_t size_bytes;
    bool flat;
    enum rec_state state;
    uint64_t segment; /* where its batch went; 0: nowhere yet */
};

struct journal_world {
    struct rand_state rand;
    struct disk *disk;
    struct clock_source source;
    uint64_t wall_ms;
    uint64_t mono_us;
    struct worker workers[JW_WORKERS];
    struct worker *worker_ptrs[JW_WORKERS];
    struct journal *journal; /* NULL: not running */
    struct journal_replay_report report;
    uint64_t segment_bytes;
    bool batch_open;
    bool limited; /* the disk had a limit in this life */
    unsigned pending;

    struct rec *recs; /* recs[n - 1] is record n */
    size_t count;
    size_t room;
    size_t begun;           /* records up to this one were in some batch, or given up */
    uint64_t floor_segment; /* what is below was released */
    uint64_t replayed_from; /* the first record that the last start brought, 0: none */
    uint64_t replayed_to;
    bool *replayed;
};

void jw_init(struct journal_world *w, uint64_t seed);
void jw_done(struct journal_world *w);
/* Open, replay, check, start. faults: crashes and errors may come first. */
void jw_start(struct journal_world *w, bool faults);
/* A record of about this size; flat: filled like all others that are. */
void jw_submit(struct journal_world *w, uint64_t size_bytes, bool flat);
void jw_submit_any(struct journal_world *w);
void jw_journal_step(struct journal_world *w);
void jw_turns(struct journal_world *w);
/* Every record is answered. */
void jw_settle(struct journal_world *w);
void jw_stop(struct journal_world *w);
void jw_crash(struct journal_world *w);
/* What a record holds. */
struct rec *jw_rec(struct journal_world *w, uint64_t number);
void jw_check_replay_begin(struct journal_world *w);
enum ior_err jw_check_record(void *ctx, const struct record_head *head, struct ior_slice items,
                             struct ior_why *why);
void jw_check_replay_end(struct journal_world *w);
struct record jw_make_record(struct journal_world *w, uint64_t number);

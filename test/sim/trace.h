/* test/sim/trace.h - what one run did: a hash over every step (the same seed gives the
 * same hash), a line for each step when asked for, and the end of a run that
 * found the program wrong. One run at a time in a process. */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* How often things happened: a simulator in which nothing happens finds nothing. */
#define SIM_COUNTS(X)                                                                              \
    X(lives, "lives of a node or journal")                                                         \
    X(killed, "processes killed, unsynced data kept by the kernel")                                \
    X(power_cuts, "power cuts")                                                                    \
    X(inner_crashes, "crashes in the middle of a disk operation")                                  \
    X(start_crashes, "crashes in a start")                                                         \
    X(clean_stops, "clean stops")                                                                  \
    X(torn, "torn batches dropped")                                                                \
    X(acked, "appends acknowledged")                                                               \
    X(events, "events acknowledged")                                                               \
    X(giants, "appends larger than a segment")                                                     \
    X(conflicts, "expectations that failed")                                                       \
    X(nospc, "appends refused by a full disk")                                                     \
    X(gave_up, "appends given up for other reasons")                                               \
    X(unknown, "appends with an unknown outcome")                                                  \
    X(found, "of those, found after a recovery")                                                   \
    X(repeated, "appends with a known idempotency key")                                            \
    X(reused, "idempotency keys refused for other events")                                         \
    X(patched, "patches acknowledged")                                                             \
    X(trims, "truncations and deletions acknowledged")                                             \
    X(reads, "reads")                                                                              \
    X(fired, "watches fired")                                                                      \
    X(lists, "lists")                                                                              \
    X(changes, "changes of facts acknowledged")                                                    \
    X(access, "changes of users, groups and grants acknowledged")                                  \
    X(refusals, "such changes refused for what was before them")                                   \
    X(policies, "changes of retention policies acknowledged")                                      \
    X(previews, "previews of retention")                                                           \
    X(quotas, "counts of what a bucket holds, compared with its lists")                            \
    X(evicted, "looks at streams that retention had taken from")                                   \
    X(io_errors, "disk errors that made the journal stop")                                         \
    X(checkpoints, "checkpoints that ended well")                                                  \
    X(checkpoint_failures, "checkpoints that failed")                                              \
    X(checkpoint_cuts, "checkpoints given up or crashed in the middle")                            \
    X(tail_full, "appends refused because memory.tail was full")                                   \
    X(disk_jobs, "look-ups and reads by the disk pool")                                            \
    X(released, "segments released")                                                               \
    X(records, "records of the journal alone acknowledged")

enum sim_count {
#define X(name, text) COUNT_##name,
    SIM_COUNTS(X)
#undef X
        COUNT_COUNT
};

struct trace {
    uint64_t seed;
    uint64_t hash;
    uint64_t steps;
    uint64_t counts[COUNT_COUNT];
    bool verbose;
    const char *mutant; /* its name, or NULL */
};
extern struct trace trace;

void trace_begin(uint64_t seed);
/* A step: what, and two numbers that belong to it. */
void trace_note(const char *what, uint64_t a, uint64_t b);
void trace_count(enum sim_count c, uint64_t n);
const char *trace_count_text(enum sim_count c);
/* The program is wrong: say how, and how to see it again; ends the process. */
_Noreturn void trace_violation(const char *fmt, ...) IOR_PRINTF(1, 2);

/* test/sim/retention.h - retention in the simulator: policies that come and go, sweeps and
 * previews at any moment, and what must hold: never is more evicted than some policy that
 * was sent allows; what is evicted stays so; at the end, without faults, an append leaves
 * exactly what its policy says, and a sweep does so for the streams that nobody writes to. */
#pragma once

#include "world.h"

/* How much retention a case has. */
enum retention_mode {
    RETENTION_MODE_NONE,
    RETENTION_MODE_COUNT, /* max_events of RETENTION_KEEP_MIN at least */
    RETENTION_MODE_SIZE,  /* and max_bytes: one event stays */
    RETENTION_MODE_ALL,   /* and max_age and max_total_bytes: any may go */
    RETENTION_MODES,
};
enum { RETENTION_KEEP_MIN = 5 };

/* Set, change or remove a policy. */
void retention_step(struct world *w);
/* Begin a sweep. */
void retention_sweep(struct world *w);
void retention_preview(struct world *w);
/* A read or a list shows both: low is not above what may have gone. */
void retention_shows(struct world *w, unsigned stream, uint64_t low, uint64_t high);
/* Nothing is wrong any more: policies do what they say. */
void retention_prove(struct world *w);

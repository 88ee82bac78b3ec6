/* src/core/cutoff.h - the clock by which ages of events are judged (docs/retention.rst,
 * "The clock"). It follows the wall clock back at once, but forward at most twice as fast
 * as time passes (CLOCK_BOOTTIME), so that a clock that is set wrong evicts nothing at once.
 * Time that passed while the node did not run is not known: what was saved by the last
 * checkpoint may be behind by CUTOFF_AWAY_MS at most, and only in the first hour.
 * Pure but for node_*(). Thread: a struct cutoff belongs to one; node_retention_now_ms() any. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct node;

#define CUTOFF_HOUR_US 3600000000ull
/* How far the wall clock may be ahead of what was saved, at a start: the node was away. */
#define CUTOFF_AWAY_MS (14 * 24 * 3600000ull)
/* For so long after a start that may still turn out: clocks are set late. */
#define CUTOFF_START_US CUTOFF_HOUR_US
/* The wall clock has been behind for so long: it is right. */
#define CUTOFF_BEHIND_US (24 * CUTOFF_HOUR_US)
/* Before it (2023-01-01) no wall clock is right: it was not set yet. */
#define CUTOFF_EPOCH_MS 1672531200000ull

struct cutoff {
    uint64_t bound_ms; /* the clock is not ahead of it; 0: not known */
    uint64_t boot_us;  /* at the last look */
    uint64_t start_us; /* at the first one */
    uint64_t behind_since_us;
    bool behind; /* the wall clock is behind the bound */
    bool begun;
    bool away; /* the jump of a start was made */
};

/* saved_ms: the bound when it was saved last, 0: never. */
void cutoff_init(struct cutoff *c, uint64_t saved_ms);
/* The clock now, Unix ms; 0: not known, nothing is old. */
uint64_t cutoff_look(struct cutoff *c, uint64_t wall_ms, uint64_t boot_us);

/* ---- of a node: looked at by its tick ---- */
/* 0: not known, nothing is old. At most 100 ms old. */
uint64_t node_retention_now_ms(const struct node *n);
void node_cutoff_tick(struct node *n);

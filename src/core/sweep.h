/* src/core/sweep.h - retention by the clock: what the policies ask for although nobody appends
 * (docs/retention.rst, "By the clock"). Once per eviction.interval, and soon after a policy
 * changed, every policy's streams are looked at (survey.h), and those of which something must go
 * get a trim by_policy, which judges exactly; then buckets that have more than max_total_bytes
 * lose their oldest chunks (sweep_total.c).
 * Happy path: sweep_tick() begins; policy by policy; a lot of at most SWEEP_LOT_MAX streams
 * is found, then trimmed, SWEEP_TRIMS_MAX at a time, then it goes on.
 * Failure modes: what fails (a full queue, memory, the disk) is left for the next sweep; a
 * stream that cannot be read is logged.
 * Memory: a lot (its names), the units of one bucket (640 KB), SWEEP_TIMES times of first
 * events, so that a stream on which nothing happens is not read in every sweep.
 * Thread: the worker of node_tick(); its parts on others run one at a time. */
#pragma once

#include "base/err.h"

struct node;
struct sweep;

enum { SWEEP_LOT_MAX = 256, SWEEP_TRIMS_MAX = 16, SWEEP_TIMES = 1 << 16 };

IOR_MUST_CHECK enum ior_err sweep_new(struct node *n, struct sweep **ret);
void sweep_free(struct sweep *sw); /* it rests; NULL is fine */
/* Begins a sweep when one is due. */
void sweep_tick(struct sweep *sw);
/* Begin one now, unless one is under way. On the worker of node_tick(). */
void sweep_start(struct sweep *sw);
bool sweep_rests(const struct sweep *sw);

/* src/core/report.h - the node's own metrics as events of a stream (metrics.bucket/metrics.stream,
 * `$sys/metrics`): one every metrics.interval_s, the first one an interval after the start.
 * Failure modes: no room, too much waiting: that event is missing and counted
 * (metrics_events_failed); nothing is tried again and nothing else is held up.
 * When neither the stream nor its bucket has a retention policy, the stream gets one of
 * REPORT_KEEP_MS with the first event of a process: else it would grow for ever.
 * Thread: the worker of node_tick(). */
#pragma once

#include "base/config.h"

struct node;
struct report;

IOR_MUST_CHECK enum ior_err report_new(struct node *n, struct report **ret);
/* Every 100 ms: when it is time, an event. c: the configuration as it is now. */
void report_tick(struct report *r, const struct config *c);
/* No further events. Then it may be freed when report_rests(). */
void report_stop(struct report *r);
bool report_rests(const struct report *r); /* any thread */
void report_free(struct report *r);        /* NULL is fine */

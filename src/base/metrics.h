/* src/base/metrics.h - counters and gauges from one table (metrics.def).
 * Thread: metric_add from any; each thread adds to its own block (relaxed, one
 * writer), a scrape sums the blocks. Gauges are one value for the process. */
#pragma once

#include "base/buf.h"

enum metric {
#define M(kind, name, help) METRIC_##name,
#include "base/metrics.def"
#undef M
    METRIC_COUNT
};

void metric_add(enum metric m, uint64_t n);
void metric_gauge_add(enum metric m, int64_t n);
void metric_gauge_set(enum metric m, int64_t v);
/* The sum over all threads, those that ended included. */
int64_t metric_value(enum metric m);
/* All of them as Prometheus text (exposition format 0.0.4). */
void metrics_text(struct ior_buf *out);

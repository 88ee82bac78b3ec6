/* src/base/metrics.h - counters, gauges and histograms from one table (metrics.def).
 * Thread: any; each thread counts in its own block (relaxed, one writer), a scrape sums the
 * blocks. Gauges are one value for the process. */
#pragma once

#include "base/buf.h"

enum metric {
#define M(kind, name, help) METRIC_##name,
#define H(name, family, label, value, help)
#define B(name, help)
#include "base/metrics.def"
#undef M
#undef H
#undef B
    METRIC_COUNT
};
enum histogram {
#define M(kind, name, help)
#define H(name, family, label, value, help) HISTOGRAM_##name,
#define B(name, help)
#include "base/metrics.def"
#undef M
#undef H
#undef B
    HISTOGRAM_COUNT
};
enum bucket_metric {
#define M(kind, name, help)
#define H(name, family, label, value, help)
#define B(name, help) BUCKET_METRIC_##name,
#include "base/metrics.def"
#undef M
#undef H
#undef B
    BUCKET_METRIC_COUNT
};

void metric_add(enum metric m, uint64_t n);
void metric_gauge_add(enum metric m, int64_t n);
void metric_gauge_set(enum metric m, int64_t v);
/* The sum over all threads, those that ended included. */
int64_t metric_value(enum metric m);

/* ---- durations ---- */

/* Upper ends of the steps, 50 us to 10 s; one more step takes what is longer. */
enum { HISTOGRAM_STEPS = 17 };
struct histogram_sum {
    uint64_t count;
    uint64_t sum_us;
    uint64_t steps[HISTOGRAM_STEPS + 1]; /* how many fell into each */
};
void metric_observe_us(enum histogram h, uint64_t us);
void metric_histogram(enum histogram h, struct histogram_sum *ret);
uint64_t histogram_step_us(unsigned step);
/* What so much of the whole (500: the median) is below, guessed inside of its step; 0: nothing
 * was counted. What is longer than the last end counts as that. */
uint64_t histogram_guess_us(const struct histogram_sum *h, unsigned thousandths);

/* ---- by bucket ---- */

/* The slot of a bucket, for as long as the process lives; the same for all that have none of
 * their own (METRIC_BUCKETS_MAX), and never 0. Not for a hot path: keep it. */
unsigned metric_bucket_slot(struct ior_slice bucket);
void metric_bucket_add(enum bucket_metric m, unsigned slot, uint64_t n);

/* ---- everything (metrics_text.c) ---- */

/* As Prometheus text (exposition format 0.0.4). */
void metrics_text(struct ior_buf *out);
/* As the members of a JSON object, without its braces: counters, gauges, histograms, buckets. */
void metrics_json(struct ior_buf *out);

/* For metrics_text.c. False: no such slot (they begin with 1). */
bool metric_bucket_at(unsigned slot, struct ior_slice *ret_name,
                      uint64_t ret_values[BUCKET_METRIC_COUNT]);

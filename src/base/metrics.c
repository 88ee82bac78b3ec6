/* src/base/metrics.c - see metrics.h. A thread's block is made at its first count
 * and stays for ever (threads are few and long-lived). Without memory for it nothing is
 * counted. Buckets get their slots in the order of their first append; a slot is published by
 * one compare-and-swap and never changes. */
#include "base/metrics.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/limits.h"

enum { SLOT_OTHER = 1, SLOTS = METRIC_BUCKETS_MAX + 1 };

enum metric_kind { KIND_COUNTER, KIND_GAUGE };
static const enum metric_kind kinds[METRIC_COUNT] = {
#define M(kind, name, help) KIND_##kind,
#define H(name, family, label, value, help)
#define B(name, help)
#include "base/metrics.def"
#undef M
#undef H
#undef B
};

static const uint32_t step_ends_us[HISTOGRAM_STEPS] = {
    50,    100,    200,    500,    1000,    2000,    5000,    10000,    20000,
    50000, 100000, 200000, 500000, 1000000, 2000000, 5000000, 10000000,
};

struct steps {
    _Atomic uint64_t sum_us;
    _Atomic uint64_t counts[HISTOGRAM_STEPS + 1];
};
struct block {
    struct block *next;
    _Atomic uint64_t values[METRIC_COUNT];
    struct steps histograms[HISTOGRAM_COUNT];
    _Atomic uint64_t by_bucket[SLOTS][BUCKET_METRIC_COUNT];
};
struct bucket_label {
    uint8_t name_bytes;
    uint8_t name[];
};

static _Atomic(struct block *) blocks;
static _Thread_local struct block *mine;
static _Atomic int64_t gauges[METRIC_COUNT];
static _Atomic(struct bucket_label *) labels[METRIC_BUCKETS_MAX]; /* slot SLOT_OTHER + 1 and on */

static struct block *block_of_thread(void)
{
    if (mine != NULL) return mine;
    struct block *b = calloc(1, sizeof *b);
    if (b == NULL) return NULL;
    b->next = atomic_load(&blocks);
    while (!atomic_compare_exchange_weak(&blocks, &b->next, b)) {
    }
    mine = b;
    return b;
}

/* This thread is the only writer. */
static void add(_Atomic uint64_t *at, uint64_t n)
{
    uint64_t v = atomic_load_explicit(at, memory_order_relaxed);
    atomic_store_explicit(at, v + n, memory_order_relaxed);
}

static uint64_t get(const _Atomic uint64_t *at)
{
    return atomic_load_explicit(at, memory_order_relaxed);
}

void metric_add(enum metric m, uint64_t n)
{
    IOR_ASSERT(m < METRIC_COUNT && kinds[m] == KIND_COUNTER);
    struct block *b = block_of_thread();
    if (b != NULL) add(&b->values[m], n);
}

void metric_gauge_add(enum metric m, int64_t n)
{
    IOR_ASSERT(m < METRIC_COUNT && kinds[m] == KIND_GAUGE);
    atomic_fetch_add_explicit(&gauges[m], n, memory_order_relaxed);
}

void metric_gauge_set(enum metric m, int64_t v)
{
    IOR_ASSERT(m < METRIC_COUNT && kinds[m] == KIND_GAUGE);
    atomic_store_explicit(&gauges[m], v, memory_order_relaxed);
}

int64_t metric_value(enum metric m)
{
    IOR_ASSERT(m < METRIC_COUNT);
    if (kinds[m] == KIND_GAUGE) return atomic_load_explicit(&gauges[m], memory_order_relaxed);
    uint64_t sum = 0;
    for (struct block *b = atomic_load(&blocks); b != NULL; b = b->next) sum += get(&b->values[m]);
    return (int64_t)sum;
}

/* ---- durations ---- */

void metric_observe_us(enum histogram h, uint64_t us)
{
    IOR_ASSERT(h < HISTOGRAM_COUNT);
    struct block *b = block_of_thread();
    unsigned step = 0;
    if (b == NULL) return;
    while (step < HISTOGRAM_STEPS && us > step_ends_us[step]) step++;
    add(&b->histograms[h].counts[step], 1);
    add(&b->histograms[h].sum_us, us);
}

void metric_histogram(enum histogram h, struct histogram_sum *ret)
{
    IOR_ASSERT(h < HISTOGRAM_COUNT);
    *ret = (struct histogram_sum){0};
    for (struct block *b = atomic_load(&blocks); b != NULL; b = b->next) {
        const struct steps *s = &b->histograms[h];
        ret->sum_us += get(&s->sum_us);
        for (unsigned i = 0; i <= HISTOGRAM_STEPS; i++) ret->steps[i] += get(&s->counts[i]);
    }
    for (unsigned i = 0; i <= HISTOGRAM_STEPS; i++) ret->count += ret->steps[i];
}

uint64_t histogram_step_us(unsigned step)
{
    IOR_ASSERT(step < HISTOGRAM_STEPS);
    return step_ends_us[step];
}

uint64_t histogram_guess_us(const struct histogram_sum *h, unsigned thousandths)
{
    IOR_ASSERT(thousandths <= 1000);
    uint64_t rank = (h->count * thousandths + 999) / 1000; /* the rank-th smallest */
    uint64_t low_us = 0;
    if (rank == 0) return 0;
    for (unsigned i = 0; i < HISTOGRAM_STEPS; i++) {
        uint64_t width_us = step_ends_us[i] - low_us;
        if (rank <= h->steps[i]) return low_us + width_us * rank / h->steps[i];
        rank -= h->steps[i];
        low_us = step_ends_us[i];
    }
    return low_us;
}

/* ---- by bucket ---- */

static struct ior_slice name_of(const struct bucket_label *l)
{
    return ior_slice(l->name, l->name_bytes);
}

/* The label that is at this place in the end: this bucket's, if nobody was faster. */
static struct bucket_label *claim(_Atomic(struct bucket_label *) *at, struct ior_slice bucket)
{
    struct bucket_label *there = NULL;
    struct bucket_label *l = malloc(sizeof *l + bucket.size_bytes);
    if (l == NULL) return NULL;
    l->name_bytes = (uint8_t)bucket.size_bytes;
    memcpy(l->name, bucket.data, bucket.size_bytes);
    if (atomic_compare_exchange_strong(at, &there, l)) return l;
    free(l);
    return there;
}

/* A bucket of the name `other` is with the others, so that its label is not there twice. */
unsigned metric_bucket_slot(struct ior_slice bucket)
{
    IOR_ASSERT(bucket.size_bytes > 0 && bucket.size_bytes <= BUCKET_BYTES_MAX);
    if (ior_slice_eq(bucket, IOR_SLICE("other"))) return SLOT_OTHER;
    for (unsigned i = 0; i < METRIC_BUCKETS_MAX; i++) {
        struct bucket_label *l = atomic_load(&labels[i]);
        if (l == NULL) l = claim(&labels[i], bucket);
        if (l == NULL) break; /* no memory */
        if (ior_slice_eq(name_of(l), bucket)) return SLOT_OTHER + 1 + i;
    }
    return SLOT_OTHER;
}

void metric_bucket_add(enum bucket_metric m, unsigned slot, uint64_t n)
{
    IOR_ASSERT(m < BUCKET_METRIC_COUNT && slot >= SLOT_OTHER && slot <= SLOTS);
    struct block *b = block_of_thread();
    if (b != NULL) add(&b->by_bucket[slot - SLOT_OTHER][m], n);
}

bool metric_bucket_at(unsigned slot, struct ior_slice *ret_name,
                      uint64_t ret_values[BUCKET_METRIC_COUNT])
{
    if (slot < SLOT_OTHER || slot > SLOTS) return false;
    struct bucket_label *l =
        slot == SLOT_OTHER ? NULL : atomic_load(&labels[slot - SLOT_OTHER - 1]);
    if (l == NULL && slot != SLOT_OTHER) return false;
    *ret_name = l == NULL ? IOR_SLICE("other") : name_of(l);
    for (unsigned m = 0; m < BUCKET_METRIC_COUNT; m++) {
        ret_values[m] = 0;
        for (struct block *b = atomic_load(&blocks); b != NULL; b = b->next)
            ret_values[m] += get(&b->by_bucket[slot - SLOT_OTHER][m]);
    }
    return true;
}

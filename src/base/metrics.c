/* src/base/metrics.c - see metrics.h. A thread's block is made at its first count
 * and stays for ever (threads are few and long-lived). */
#include "base/metrics.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"

enum metric_kind { KIND_COUNTER, KIND_GAUGE };
struct metric_row {
    enum metric_kind kind;
    const char *name;
    const char *help;
};
static const struct metric_row rows[METRIC_COUNT] = {
#define M(kind, name, help) {KIND_##kind, #name, help},
#include "base/metrics.def"
#undef M
};

struct block {
    struct block *next;
    _Atomic uint64_t values[METRIC_COUNT];
};
static _Atomic(struct block *) blocks;
static _Thread_local struct block *mine;
static _Atomic int64_t gauges[METRIC_COUNT];

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

void metric_add(enum metric m, uint64_t n)
{
    IOR_ASSERT(m < METRIC_COUNT && rows[m].kind == KIND_COUNTER);
    struct block *b = block_of_thread();
    if (b == NULL) return;
    uint64_t v = atomic_load_explicit(&b->values[m], memory_order_relaxed);
    atomic_store_explicit(&b->values[m], v + n, memory_order_relaxed);
}

void metric_gauge_add(enum metric m, int64_t n)
{
    IOR_ASSERT(m < METRIC_COUNT && rows[m].kind == KIND_GAUGE);
    atomic_fetch_add_explicit(&gauges[m], n, memory_order_relaxed);
}

void metric_gauge_set(enum metric m, int64_t v)
{
    IOR_ASSERT(m < METRIC_COUNT && rows[m].kind == KIND_GAUGE);
    atomic_store_explicit(&gauges[m], v, memory_order_relaxed);
}

int64_t metric_value(enum metric m)
{
    IOR_ASSERT(m < METRIC_COUNT);
    if (rows[m].kind == KIND_GAUGE) return atomic_load_explicit(&gauges[m], memory_order_relaxed);
    uint64_t sum = 0;
    for (struct block *b = atomic_load(&blocks); b != NULL; b = b->next)
        sum += atomic_load_explicit(&b->values[m], memory_order_relaxed);
    return (int64_t)sum;
}

void metrics_text(struct ior_buf *out)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        const struct metric_row *r = &rows[i];
        const char *suffix = r->kind == KIND_COUNTER ? "_total" : "";
        ior_buf_addf(out, "# HELP iorio_%s%s %s\n# TYPE iorio_%s%s %s\niorio_%s%s %lld\n", r->name,
                     suffix, r->help, r->name, suffix,
                     r->kind == KIND_COUNTER ? "counter" : "gauge", r->name, suffix,
                     (long long)metric_value((enum metric)i));
    }
}

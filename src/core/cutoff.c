/* src/core/cutoff.c - see cutoff.h. */
#include "core/cutoff.h"

#include "base/log.h"
#include "core/node.h"
#include "rt/clock.h"

void cutoff_init(struct cutoff *c, uint64_t saved_ms)
{
    *c = (struct cutoff){.bound_ms = saved_ms};
}

/* The bound goes on as time passes, whatever the wall clock says. */
static void pass_time(struct cutoff *c, uint64_t wall_ms, uint64_t elapsed_ms)
{
    uint64_t at_least = c->bound_ms + elapsed_ms;
    uint64_t at_most = at_least + elapsed_ms;
    if (wall_ms < at_least) {
        c->bound_ms = at_least;
    } else {
        c->bound_ms = wall_ms < at_most ? wall_ms : at_most;
    }
}

uint64_t cutoff_look(struct cutoff *c, uint64_t wall_ms, uint64_t boot_us)
{
    if (!c->begun) {
        c->begun = true;
        c->boot_us = c->start_us = boot_us;
    }
    /* What is less than a millisecond is looked at the next time. */
    uint64_t elapsed_ms = boot_us > c->boot_us ? (boot_us - c->boot_us) / 1000 : 0;
    c->boot_us += elapsed_ms * 1000;
    if (wall_ms < CUTOFF_EPOCH_MS) {
        if (c->bound_ms > 0) c->bound_ms += elapsed_ms;
        return 0;
    }
    if (c->bound_ms < CUTOFF_EPOCH_MS) c->bound_ms = wall_ms; /* nothing older is known */
    pass_time(c, wall_ms, elapsed_ms);
    bool starting = !c->away && boot_us - c->start_us <= CUTOFF_START_US;
    if (starting && wall_ms > c->bound_ms && wall_ms - c->bound_ms <= CUTOFF_AWAY_MS) {
        c->away = true;
        c->bound_ms = wall_ms;
    }
    if (wall_ms >= c->bound_ms) {
        c->behind = false;
        return c->bound_ms;
    }
    if (!c->behind) c->behind_since_us = boot_us;
    c->behind = true;
    if (boot_us - c->behind_since_us >= CUTOFF_BEHIND_US) {
        c->bound_ms = wall_ms;
        c->behind = false;
    }
    return wall_ms;
}

uint64_t node_retention_now_ms(const struct node *n)
{
    return atomic_load(&n->retention_now_ms);
}

void node_cutoff_tick(struct node *n)
{
    struct cutoff *c = &n->cutoff;
    uint64_t wall_ms = clock_wall_ms();
    uint64_t now_ms = cutoff_look(c, wall_ms, clock_boot_us());
    atomic_store(&n->retention_now_ms, now_ms);
    atomic_store(&n->retention_bound_ms, c->bound_ms);
    bool lags = wall_ms > c->bound_ms + CUTOFF_AWAY_MS;
    if (lags && !n->cutoff_lags)
        LOG_WARNING("retention", "the clock is ahead",
                    "max_age is judged by a clock that is %llu s behind the wall clock and "
                    "catches up slowly: was the node away for long, or is the wall clock wrong?",
                    (unsigned long long)(wall_ms - c->bound_ms) / 1000);
    n->cutoff_lags = lags;
}

/* src/rt/clock.c - see clock.h. */
#include "rt/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

static const struct clock_source *simulated;
static _Thread_local bool turns;            /* this thread forgets */
static _Thread_local uint64_t turn_seen_us; /* 0: forgotten */

static uint64_t read_clock(clockid_t id, uint64_t per_second)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * per_second + (uint64_t)t.tv_nsec / (1000000000u / per_second);
}

uint64_t clock_wall_ms(void)
{
    if (simulated != NULL) return simulated->wall_ms(simulated->ctx);
    return read_clock(CLOCK_REALTIME, 1000);
}

uint64_t clock_mono_us(void)
{
    if (simulated != NULL) return simulated->mono_us(simulated->ctx);
    return read_clock(CLOCK_MONOTONIC, 1000000);
}

uint64_t clock_boot_us(void)
{
    if (simulated != NULL) return simulated->mono_us(simulated->ctx);
    return read_clock(CLOCK_BOOTTIME, 1000000);
}

uint64_t clock_wall_coarse_ms(void)
{
    if (simulated != NULL) return simulated->wall_ms(simulated->ctx);
    return read_clock(CLOCK_REALTIME_COARSE, 1000);
}

uint64_t clock_mono_coarse_us(void)
{
    if (simulated != NULL) return simulated->mono_us(simulated->ctx);
    return read_clock(CLOCK_MONOTONIC_COARSE, 1000000);
}

uint64_t clock_turn_look_us(void)
{
    turn_seen_us = clock_mono_us();
    return turn_seen_us;
}

uint64_t clock_turn_us(void)
{
    return turns && turn_seen_us != 0 ? turn_seen_us : clock_turn_look_us();
}

void clock_turn_forget(void)
{
    turns = true;
    turn_seen_us = 0;
}

void clock_set_source(const struct clock_source *source)
{
    simulated = source;
}

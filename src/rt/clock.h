/* src/rt/clock.h - time, real or simulated. The simulator replaces the source
 * for the whole process before it starts; nothing else does. */
#pragma once

#include <stdint.h>

struct clock_source {
    uint64_t (*wall_ms)(void *ctx); /* Unix time, may jump */
    uint64_t (*mono_us)(void *ctx); /* never goes back */
    void *ctx;
};

uint64_t clock_wall_ms(void);
uint64_t clock_mono_us(void);
/* The time since the machine started, sleep included (CLOCK_BOOTTIME). A simulated machine never
 * sleeps: its monotonic clock. */
uint64_t clock_boot_us(void);
/* The same clocks as of the last tick of the kernel (at most 10 ms ago): no hardware
 * is asked, a tenth of the price. For deadlines and expiry, not for measuring. */
uint64_t clock_wall_coarse_ms(void);
uint64_t clock_mono_coarse_us(void);
/* The monotonic time for durations: of the first look since the last clock_turn_forget(), so that
 * the requests of one turn of a worker share one look at the hardware. _look: a new look, which
 * those after it share. A thread that never forgets looks each time. */
uint64_t clock_turn_us(void);
uint64_t clock_turn_look_us(void);
void clock_turn_forget(void);
/* NULL: the real clocks again. */
void clock_set_source(const struct clock_source *source);

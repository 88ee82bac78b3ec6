/* src/rt/rand.h - random numbers, from the kernel or from a seed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

void rand_bytes(void *out, size_t size_bytes);
uint64_t rand_u64(void);
/* From now on everything comes from this seed, in this process (simulator, tests). */
void rand_set_seed(uint64_t seed);

/* A small generator of one's own (SplitMix64), for tests and simulations. */
struct rand_state {
    uint64_t x;
};
uint64_t rand_next(struct rand_state *s);
uint64_t rand_below(struct rand_state *s, uint64_t n); /* 0..n-1; n > 0 */

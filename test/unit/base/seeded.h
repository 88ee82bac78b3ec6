/* test/unit/base/seeded.h - random numbers from a seed (splitmix64), so that every
 * run of a test sees the same inputs. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct seeded {
    uint64_t state;
};

static inline uint64_t seeded_next(struct seeded *s)
{
    s->state += 0x9e3779b97f4a7c15u;
    uint64_t z = s->state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 0 .. bound - 1; bound is at least 1. */
static inline size_t seeded_below(struct seeded *s, size_t bound)
{
    return (size_t)(seeded_next(s) % bound);
}

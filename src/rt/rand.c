/* src/rt/rand.c - see rand.h. */
#include "rt/rand.h"

#include <string.h>
#include <stdbool.h>
#include <sys/random.h>

#include "base/assert.h"

static bool seeded;
static struct rand_state seed_state;

uint64_t rand_next(struct rand_state *s)
{
    uint64_t z = (s->x += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t rand_below(struct rand_state *s, uint64_t n)
{
    IOR_ASSERT(n > 0);
    return rand_next(s) % n;
}

void rand_set_seed(uint64_t seed)
{
    seeded = true;
    seed_state.x = seed;
}

void rand_bytes(void *out, size_t size_bytes)
{
    uint8_t *p = out;
    while (size_bytes > 0) {
        if (seeded) {
            uint64_t v = rand_next(&seed_state);
            size_t n = size_bytes < sizeof v ? size_bytes : sizeof v;
            memcpy(p, &v, n);
            p += n;
            size_bytes -= n;
            continue;
        }
        ssize_t n = getrandom(p, size_bytes, 0);
        if (n < 0) continue; /* interrupted by a signal */
        p += n;
        size_bytes -= (size_t)n;
    }
}

uint64_t rand_u64(void)
{
    uint64_t v;
    rand_bytes(&v, sizeof v);
    return v;
}

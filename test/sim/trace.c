/* test/sim/trace.c - see trace.h. */
#include "trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"

struct trace trace;

void trace_begin(uint64_t seed)
{
    trace.seed = seed;
    trace.hash = seed;
    trace.steps = 0;
    memset(trace.counts, 0, sizeof trace.counts);
}

static void mix(uint64_t v)
{
    trace.hash = (trace.hash ^ v) * 0x9e3779b97f4a7c15u;
    trace.hash ^= trace.hash >> 29;
}

void trace_note(const char *what, uint64_t a, uint64_t b)
{
    trace.steps++;
    mix(ior_hash(ior_slice_str(what)));
    mix(a);
    mix(b);
    if (trace.verbose)
        printf("%6llu %-24s %llu %llu\n", (unsigned long long)trace.steps, what,
               (unsigned long long)a, (unsigned long long)b);
}

void trace_count(enum sim_count c, uint64_t n)
{
    trace.counts[c] += n;
}

const char *trace_count_text(enum sim_count c)
{
    static const char *const texts[] = {
#define X(name, text) text,
        SIM_COUNTS(X)
#undef X
    };
    return texts[c];
}

void trace_violation(const char *fmt, ...)
{
    va_list ap;
    fflush(stdout);
    fprintf(stderr, "sim: VIOLATION, seed %llu, step %llu: ", (unsigned long long)trace.seed,
            (unsigned long long)trace.steps);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nsim: see it again: sim --seed %llu --verbose%s%s\n",
            (unsigned long long)trace.seed, trace.mutant == NULL ? "" : " --mutant ",
            trace.mutant == NULL ? "" : trace.mutant);
    fflush(stderr);
    _exit(1);
}

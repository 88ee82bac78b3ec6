/* test/sim/sim.c - the simulator: durability and recovery from a seed.
 *   sim --seeds N [--from S] [--verbose] [--mutant NAME]   N seeds (from 1)
 *   sim --seed S  [--verbose] [--mutant NAME]              one seed, in this process
 *   sim --mutants [--seeds N]       every broken variant must be caught within N seeds
 * Each seed runs in a child process, so that an assertion that fails is one
 * violation and not the end; every SAME_EVERY-th seed runs twice and must leave the
 * same hash. The last line is `N passed, N failed`; exit code 1 when a seed failed,
 * a mutant survived, or the seeds did not exercise everything they should. */
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/log.h"
#include "cases.h"
#include "mutants.h"
#include "rt/rand.h"
#include "trace.h"

enum { PARTS = 3, SAME_EVERY = 10, MUTANT_SEEDS = 1000, COVER_SEEDS = 30 };

struct options {
    unsigned long seeds;
    unsigned long from;
    bool one;
    bool mutants;
    bool verbose;
    const char *mutant;
};

/* What a child tells. */
struct result {
    uint64_t hash;
    uint64_t steps;
    uint64_t counts[COUNT_COUNT];
};

static void run_seed(uint64_t seed, struct result *ret)
{
    trace_begin(seed);
    struct rand_state r = {seed};
    for (int i = 0; i < PARTS; i++) {
        node_case(rand_next(&r));
        journal_case(rand_next(&r));
    }
    ret->hash = trace.hash;
    ret->steps = trace.steps;
    memcpy(ret->counts, trace.counts, sizeof ret->counts);
}

/* True: the child ended well. */
static bool run_child(uint64_t seed, bool quiet, struct result *ret)
{
    int fds[2];
    fflush(stdout);
    if (pipe(fds) != 0) return false;
    pid_t pid = fork();
    if (pid < 0) return false;
    if (pid == 0) {
        close(fds[0]);
        if (quiet && freopen("/dev/null", "w", stderr) == NULL) _exit(2);
        struct result r = {0};
        run_seed(seed, &r);
        ssize_t n = write(fds[1], &r, sizeof r);
        fflush(stdout);
        exit(n == (ssize_t)sizeof r ? 0 : 2);
    }
    close(fds[1]);
    ssize_t n = read(fds[0], ret, sizeof *ret);
    close(fds[0]);
    int status = 0;
    if (waitpid(pid, &status, 0) != pid) return false;
    bool good = n == (ssize_t)sizeof *ret && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!good && !quiet && WIFSIGNALED(status))
        fprintf(stderr,
                "sim: seed %llu ended with signal %d; see it again: sim --seed %llu --verbose\n",
                (unsigned long long)seed, WTERMSIG(status), (unsigned long long)seed);
    return good;
}

static bool run_twice(uint64_t seed, const struct result *first)
{
    struct result again;
    if (run_child(seed, false, &again) && again.hash == first->hash) return true;
    fprintf(stderr, "sim: seed %llu did not run twice in the same way\n", (unsigned long long)seed);
    return false;
}

static unsigned report_counts(const uint64_t *counts, unsigned long seeds)
{
    unsigned missing = 0;
    for (int c = 0; c < COUNT_COUNT; c++) {
        printf("%10llu  %s\n", (unsigned long long)counts[c], trace_count_text((enum sim_count)c));
        if (counts[c] > 0 || seeds < COVER_SEEDS) continue;
        fprintf(stderr, "sim: %lu seeds never had: %s\n", seeds,
                trace_count_text((enum sim_count)c));
        missing++;
    }
    return missing;
}

static int run_seeds(const struct options *o)
{
    uint64_t counts[COUNT_COUNT] = {0};
    uint64_t hash = 0;
    unsigned long failed = 0;
    for (unsigned long i = 0; i < o->seeds; i++) {
        uint64_t seed = o->from + i;
        struct result r = {0};
        bool good = run_child(seed, false, &r);
        if (good && i % SAME_EVERY == 0) good = run_twice(seed, &r);
        failed += good ? 0 : 1;
        hash = hash * 31 + r.hash;
        for (int c = 0; c < COUNT_COUNT; c++) counts[c] += r.counts[c];
    }
    unsigned missing = failed == 0 ? report_counts(counts, o->seeds) : 0;
    printf("seeds %lu..%lu, hash %016llx\n", o->from, o->from + o->seeds - 1,
           (unsigned long long)hash);
    printf("%lu passed, %lu failed\n", o->seeds - failed, failed + missing);
    return failed + missing == 0 ? 0 : 1;
}

static int run_one(const struct options *o)
{
    struct result r;
    run_seed(o->from, &r);
    printf("seed %lu: %llu steps, hash %016llx\n", o->from, (unsigned long long)r.steps,
           (unsigned long long)r.hash);
    return 0;
}

/* The first seed that catches the active mutant; 0: none does. */
static uint64_t caught_by(unsigned long seeds, uint64_t from)
{
    for (unsigned long i = 0; i < seeds; i++) {
        struct result r;
        if (!run_child(from + i, true, &r)) return from + i;
    }
    return 0;
}

static int run_mutants(const struct options *o)
{
    unsigned long survived = 0;
    for (size_t i = 0; i < mutant_count(); i++) {
        mutant_activate(i);
        uint64_t seed = caught_by(o->seeds, o->from);
        survived += seed == 0 ? 1 : 0;
        if (seed == 0) {
            printf("SURVIVED %lu seeds  %-26s %s\n", o->seeds, mutant_name(i), mutant_what(i));
        } else {
            printf("caught, seed %5llu  %-26s %s\n", (unsigned long long)seed, mutant_name(i),
                   mutant_what(i));
        }
        fflush(stdout);
    }
    printf("%lu passed, %lu failed\n", (unsigned long)mutant_count() - survived, survived);
    return survived == 0 ? 0 : 1;
}

static bool parse(int argc, char **argv, struct options *o)
{
    *o = (struct options){.from = 1};
    for (int i = 1; i < argc; i++) {
        const char *key = argv[i];
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(key, "--verbose") == 0) {
            o->verbose = true;
        } else if (strcmp(key, "--mutants") == 0) {
            o->mutants = true;
        } else if (value == NULL) {
            return false;
        } else if (strcmp(key, "--seeds") == 0) {
            o->seeds = strtoul(argv[++i], NULL, 10);
        } else if (strcmp(key, "--from") == 0) {
            o->from = strtoul(argv[++i], NULL, 10);
        } else if (strcmp(key, "--seed") == 0) {
            o->from = strtoul(argv[++i], NULL, 10);
            o->one = true;
        } else if (strcmp(key, "--mutant") == 0) {
            o->mutant = argv[++i];
        } else {
            return false;
        }
    }
    if (o->mutants && o->seeds == 0) o->seeds = MUTANT_SEEDS;
    return o->one || o->seeds > 0;
}

int main(int argc, char **argv)
{
    struct options o;
    if (!parse(argc, argv, &o)) {
        fprintf(stderr, "usage: sim --seeds N [--from S] [--verbose] [--mutant NAME]\n"
                        "       sim --seed S [--verbose] [--mutant NAME]\n"
                        "       sim --mutants [--seeds N]\n");
        return 2;
    }
    if (!o.verbose) log_set_fd(open("/dev/null", O_WRONLY));
    size_t i;
    if (o.mutant != NULL) {
        if (!mutant_find(o.mutant, &i)) {
            fprintf(stderr, "sim: no mutant %s\n", o.mutant);
            return 2;
        }
        mutant_activate(i);
    }
    mallopt(M_MMAP_THRESHOLD, 64 << 20); /* segments come and go: keep their memory */
    mallopt(M_TRIM_THRESHOLD, 512 << 20);
    trace.verbose = o.verbose;
    trace.mutant = o.mutant;
    if (o.mutants) return run_mutants(&o);
    return o.one ? run_one(&o) : run_seeds(&o);
}

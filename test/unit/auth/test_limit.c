/* test/unit/auth/test_limit.c - src/auth/limit.c, with the time in our hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "auth/limit.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "rt/clock.h"

static _Atomic uint64_t now_us;
static struct limits *limits;

static uint64_t read_clock(void *ctx)
{
    (void)ctx;
    return atomic_load(&now_us);
}

static const struct clock_source source = {read_clock, read_clock, NULL};

static int set_up(void **state)
{
    (void)state;
    atomic_store(&now_us, 1000000);
    clock_set_source(&source);
    return limits_new(&limits) == IOR_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    limits_free(limits);
    clock_set_source(NULL);
    return 0;
}

static void pass_ms(uint64_t ms)
{
    atomic_fetch_add(&now_us, ms * 1000);
}

static uint64_t key(const char *who)
{
    return limits_key(limits, ior_slice_str(who));
}

static uint64_t take(const char *who)
{
    return limits_take(limits, LIMIT_USER, key(who), 1);
}

/* How many of so many tries go through, at this moment. */
static unsigned burst(const char *who, unsigned tries)
{
    unsigned n = 0;
    for (unsigned i = 0; i < tries; i++) n += take(who) == 0;
    return n;
}

/* What: a limit that is off lets everything through, is not counted, and says so. */
static void off(void **state)
{
    (void)state;
    assert_false(limits_on(limits, LIMIT_USER));
    assert_int_equal(burst("a", 100000), 100000);
    limits_count(limits, LIMIT_USER, key("a"), 1000000);
    assert_int_equal(limits_wait_ms(limits, LIMIT_USER, key("a")), 0);
    limits_set(limits, LIMIT_USER, 1, 1000);
    assert_true(limits_on(limits, LIMIT_USER));
    assert_int_equal(take("a"), 0); /* what was before does not count */
    limits_set(limits, LIMIT_USER, 0, 1000);
    assert_false(limits_on(limits, LIMIT_USER));
    assert_int_equal(burst("a", 10), 10);
    limits_free(NULL);
}

/* What: the whole rate at once, then one each period / count, and the whole after a period. */
static void burst_and_pace(void **state)
{
    (void)state;
    limits_set(limits, LIMIT_USER, 10, 1000);
    assert_int_equal(burst("a", 50), 10);
    assert_int_equal(take("a"), 100); /* ms until there is one */
    pass_ms(99);
    assert_int_equal(take("a"), 1);
    pass_ms(1);
    assert_int_equal(burst("a", 5), 1);
    pass_ms(350);
    assert_int_equal(burst("a", 5), 3);
    pass_ms(100000);
    assert_int_equal(burst("a", 50), 10); /* no more is saved up */
    assert_int_equal(burst("b", 50), 10); /* each has his own */
}

/* What: over a long time exactly the rate goes through, for rates of seconds, minutes and hours. */
static void long_run(void **state)
{
    (void)state;
    static const struct {
        uint64_t count, period_ms, step_ms, steps, wanted;
    } runs[] = {
        {10, 1000, 7, 100000, 10 + 7000}, /* 700 s */
        {100, 60000, 100, 60000, 100 + 10000}, {7, 3600000, 10000, 36000, 7 + 700},
        {1, 1000, 1000, 1000, 1000},           {1000, 1000, 1, 1000, 1000 + 999},
    };
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        char who[8];
        uint64_t n = 0;
        snprintf(who, sizeof who, "%zu", i);
        limits_set(limits, LIMIT_USER, runs[i].count, runs[i].period_ms);
        for (uint64_t s = 0; s < runs[i].steps; s++) {
            n += burst(who, 2000);
            pass_ms(runs[i].step_ms);
        }
        if (n > runs[i].wanted || n + 2 < runs[i].wanted)
            fail_msg("run %zu: %llu", i, (unsigned long long)n);
    }
}

/* What: when the time that a refusal names has passed it goes through, not 1 ms earlier; trying
 *       in vain makes the wait no longer. */
static void wait_is_true(void **state)
{
    (void)state;
    limits_set(limits, LIMIT_USER, 3, 60000);
    assert_int_equal(burst("a", 3), 3);
    uint64_t wait = take("a");
    assert_int_equal(wait, 20000);
    assert_int_equal(burst("a", 1000), 0);
    assert_int_equal(limits_wait_ms(limits, LIMIT_USER, key("a")), 20000);
    pass_ms(wait - 1);
    assert_int_equal(take("a"), 1);
    pass_ms(1);
    assert_int_equal(limits_wait_ms(limits, LIMIT_USER, key("a")), 0); /* looking costs nothing */
    assert_int_equal(limits_wait_ms(limits, LIMIT_USER, key("a")), 0);
    assert_int_equal(take("a"), 0);
    assert_int_equal(take("a"), 20000);
}

/* What: something that costs more than is left goes through when anything is left, and is paid back
 *       by a longer wait; counting without asking does the same. */
static void debts(void **state)
{
    (void)state;
    limits_set(limits, LIMIT_WRITES, 1 << 20, 1000);
    uint64_t k = key("b");
    assert_int_equal(limits_take(limits, LIMIT_WRITES, k, 8 << 20), 0);
    assert_int_equal(limits_take(limits, LIMIT_WRITES, k, 1), 7001); /* 7 s, and a byte */
    pass_ms(7000);
    assert_int_equal(limits_take(limits, LIMIT_WRITES, k, 1), 1);
    pass_ms(1);
    assert_int_equal(limits_take(limits, LIMIT_WRITES, k, 1 << 20), 0);
    assert_int_not_equal(limits_take(limits, LIMIT_WRITES, k, 1), 0);
    pass_ms(60000);
    for (int i = 0; i < 3; i++) assert_int_equal(limits_take(limits, LIMIT_WRITES, k, 0), 0);
    limits_set(limits, LIMIT_LOGIN_USER, 10, 60000);
    for (int i = 0; i < 15; i++) limits_count(limits, LIMIT_LOGIN_USER, k, 1);
    assert_int_equal(limits_wait_ms(limits, LIMIT_LOGIN_USER, k), 6 * 6000);
    /* A debt has an end, whatever is counted. */
    for (int i = 0; i < 10; i++) limits_count(limits, LIMIT_LOGIN_USER, k, UINT64_MAX);
    assert_true(limits_wait_ms(limits, LIMIT_LOGIN_USER, k) > 1000000);
    limits_set(limits, LIMIT_USER, 549755813888, 1000); /* the largest rate */
    assert_int_equal(limits_take(limits, LIMIT_USER, k, 549755813888), 0);
    pass_ms(1);
    assert_int_equal(limits_take(limits, LIMIT_USER, k, 1), 0);
}

/* What: another rate begins anew for everybody; the same rate set again changes nothing. */
static void changed_while_it_runs(void **state)
{
    (void)state;
    limits_set(limits, LIMIT_USER, 10, 3600000);
    assert_int_equal(burst("a", 20), 10);
    limits_set(limits, LIMIT_USER, 10, 3600000);
    assert_int_equal(burst("a", 20), 0);
    limits_set(limits, LIMIT_USER, 5, 1000);
    assert_int_equal(burst("a", 20), 5);
}

/* What: kinds do not touch each other; nor do nodes know each other's keys. */
static void kinds_and_keys(void **state)
{
    (void)state;
    struct limits *other = NULL;
    for (int k = 0; k < LIMIT_KINDS; k++) limits_set(limits, (enum limit_kind)k, 1, 60000);
    for (int k = 0; k < LIMIT_KINDS; k++)
        assert_int_equal(limits_take(limits, (enum limit_kind)k, key("a"), 1), 0);
    for (int k = 0; k < LIMIT_KINDS; k++)
        assert_int_not_equal(limits_take(limits, (enum limit_kind)k, key("a"), 1), 0);
    assert_int_equal(limits_new(&other), IOR_OK);
    assert_true(limits_key(other, IOR_SLICE("a")) != key("a"));
    assert_true(limits_key(other, (struct ior_slice){NULL, 0}) != 0);
    limits_free(other);
}

static uint64_t forgotten(void)
{
    return (uint64_t)metric_value(METRIC_limits_forgotten);
}

static uint64_t numbered(unsigned i)
{
    return limits_key(limits, ior_slice(&i, sizeof i));
}

/* What: one who has used up his rate stays limited while a million others come and go; the table
 *       does not grow, and what is forgotten is counted. */
static void flood_does_not_free(void **state)
{
    (void)state;
    limits_set(limits, LIMIT_USER, 10, 3600000);
    assert_int_equal(burst("villain", 20), 10);
    uint64_t before = forgotten();
    for (unsigned i = 0; i < 1000000; i++) {
        assert_int_equal(limits_take(limits, LIMIT_USER, numbered(i), 1), 0);
        if (i % 1000 == 0) assert_int_not_equal(take("villain"), 0);
    }
    assert_int_not_equal(take("villain"), 0);
    uint64_t lost = forgotten() - before;
    assert_true(lost > 1000000 - LIMIT_NAMES - 1 && lost < 1000000);
}

/* What: who is idle again is as good as not there: nobody is forgotten for newcomers then. */
static void idle_ones_make_room(void **state)
{
    (void)state;
    limits_set(limits, LIMIT_USER, 100, 1000);
    uint64_t before = forgotten();
    for (unsigned i = 0; i < 200000; i++) {
        assert_int_equal(limits_take(limits, LIMIT_USER, numbered(i), 1), 0);
        if (i % 256 == 0) pass_ms(10); /* one unit: the 256 before are idle again */
    }
    assert_int_equal(forgotten() - before, 0);
}

/* What: of thousands who use a limit at the same time, in as large a table, each gets his own rate.
 */
static void many_at_once(void **state)
{
    (void)state;
    enum { MANY = LIMIT_NAMES / 8 };
    limits_set(limits, LIMIT_USER, 5, 60000);
    for (int round = 0; round < 5; round++) {
        for (unsigned i = 0; i < MANY; i++)
            assert_int_equal(limits_take(limits, LIMIT_USER, numbered(i), 1), 0);
    }
    for (unsigned i = 0; i < MANY; i++)
        assert_int_not_equal(limits_take(limits, LIMIT_USER, numbered(i), 1), 0);
}

/* ---- threads ---- */

enum { THREADS = 4, TRIES = 50000 };

static void *hammer(void *arg)
{
    unsigned *got = arg;
    for (unsigned i = 0; i < TRIES; i++) {
        *got += take("shared") == 0;
        (void)limits_take(limits, LIMIT_USER, numbered(i % 97), 1);
        if (i % 1000 == 0) limits_set(limits, LIMIT_USER, 1000, 3600000); /* the same: no change */
    }
    return NULL;
}

/* What: with threads on the same name exactly the rate goes through. */
static void threads_share(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    unsigned got[THREADS] = {0};
    unsigned sum = 0;
    limits_set(limits, LIMIT_USER, 1000, 3600000);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, &got[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += got[i];
    }
    assert_int_equal(sum, 1000);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(off),
        T(burst_and_pace),
        T(long_run),
        T(wait_is_true),
        T(debts),
        T(changed_while_it_runs),
        T(kinds_and_keys),
        T(flood_does_not_free),
        T(idle_ones_make_room),
        T(many_at_once),
        T(threads_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

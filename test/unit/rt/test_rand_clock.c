/* test/unit/rt/test_rand_clock.c - random numbers and time, real and replaced. The tests
 * that need the kernel's random numbers come first: a seed cannot be taken back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "rt/clock.h"
#include "rt/rand.h"

/* What: without a seed the numbers come from the kernel: every byte is filled, and no two calls
 * agree. */
static void kernel_numbers_differ(void **state)
{
    (void)state;
    enum { BYTES = 61, CALLS = 40 };
    uint8_t all[CALLS][BYTES + 1];
    uint8_t seen[BYTES] = {0};
    for (int i = 0; i < CALLS; i++) {
        memset(all[i], 0, sizeof all[i]);
        rand_bytes(all[i], BYTES);
        assert_int_equal(all[i][BYTES], 0); /* not one byte too many */
        for (int k = 0; k < BYTES; k++) seen[k] |= all[i][k];
        for (int k = 0; k < i; k++) assert_memory_not_equal(all[i], all[k], BYTES);
    }
    for (int k = 0; k < BYTES; k++) assert_int_not_equal(seen[k], 0);
    assert_true(rand_u64() != rand_u64());
    rand_bytes(NULL, 0);
}

/* What: the small generator is SplitMix64: the numbers of seed 1234567 are the published ones. */
static void generator_is_splitmix(void **state)
{
    (void)state;
    static const uint64_t published[] = {6457827717110365317u, 3203168211198807973u,
                                         9817491932198370423u, 4593380528125082431u,
                                         16408922859458223821u};
    struct rand_state s = {1234567};
    for (size_t i = 0; i < 5; i++) assert_true(rand_next(&s) == published[i]);
}

/* What: rand_below stays below, reaches every value, and with 1 gives 0. */
static void below_stays_below(void **state)
{
    (void)state;
    struct rand_state s = {9};
    unsigned seen[7] = {0};
    for (int i = 0; i < 7000; i++) {
        const uint64_t v = rand_below(&s, 7);
        assert_true(v < 7);
        seen[v]++;
    }
    for (int i = 0; i < 7; i++) assert_true(seen[i] > 800 && seen[i] < 1200);
    for (int i = 0; i < 10; i++) assert_int_equal(rand_below(&s, 1), 0);
    for (int i = 0; i < 10; i++) assert_true(rand_below(&s, UINT64_MAX) < UINT64_MAX);
}

/* What: after rand_set_seed everything is repeatable, at any sizes, and another seed gives other
 * bytes. */
static void seeded_numbers_repeat(void **state)
{
    (void)state;
    uint8_t first[100], again[100], third[100];
    rand_set_seed(5);
    rand_bytes(first, 33);
    rand_bytes(first + 33, 67);
    const uint64_t then = rand_u64();
    rand_set_seed(5);
    rand_bytes(again, 33);
    rand_bytes(again + 33, 67);
    assert_memory_equal(first, again, sizeof first);
    assert_true(rand_u64() == then);
    rand_set_seed(6);
    rand_bytes(third, sizeof third);
    assert_memory_not_equal(first, third, sizeof first);
}

/* What: the real clocks: the wall clock is Unix time in ms, the other never goes back and counts in
 * us. */
static void real_clocks_run(void **state)
{
    (void)state;
    const uint64_t before_s = (uint64_t)time(NULL);
    const uint64_t wall_ms = clock_wall_ms();
    const uint64_t after_s = (uint64_t)time(NULL);
    assert_true(wall_ms >= before_s * 1000 && wall_ms < (after_s + 1) * 1000);
    uint64_t last_us = clock_mono_us();
    const uint64_t begin_us = last_us;
    for (int i = 0; i < 1000; i++) {
        const uint64_t now_us = clock_mono_us();
        assert_true(now_us >= last_us);
        last_us = now_us;
    }
    const struct timespec pause = {0, 20000000};
    nanosleep(&pause, NULL);
    const uint64_t slept_us = clock_mono_us() - begin_us;
    assert_true(slept_us >= 20000 && slept_us < 20000000);
}

static uint64_t fake_wall(void *ctx)
{
    return ((const uint64_t *)ctx)[0];
}

static uint64_t fake_mono(void *ctx)
{
    return ((const uint64_t *)ctx)[1];
}

/* What: a source replaces both clocks until it is taken away again. */
static void source_replaces_clocks(void **state)
{
    (void)state;
    uint64_t times[2] = {11, 22};
    const struct clock_source source = {fake_wall, fake_mono, times};
    clock_set_source(&source);
    assert_int_equal(clock_wall_ms(), 11);
    assert_int_equal(clock_mono_us(), 22);
    assert_int_equal(clock_boot_us(), 22);
    times[0] = 5; /* the wall clock may jump back */
    times[1] = 23;
    assert_int_equal(clock_wall_ms(), 5);
    assert_int_equal(clock_mono_us(), 23);
    clock_set_source(NULL);
    assert_true(clock_wall_ms() > 1600000000000u);
    assert_true(clock_boot_us() >= clock_mono_us() - 1000); /* it counts sleep too */
}

/* What: within a turn one look is shared until somebody looks anew; a thread that never forgets
 * looks each time. */
static void a_turn_shares_its_look(void **state)
{
    (void)state;
    uint64_t times[2] = {1, 100};
    const struct clock_source source = {fake_wall, fake_mono, times};
    clock_set_source(&source);
    assert_int_equal(clock_turn_us(), 100);
    times[1] = 101;
    assert_int_equal(clock_turn_us(), 101); /* no turns yet */
    clock_turn_forget();
    assert_int_equal(clock_turn_us(), 101);
    times[1] = 102;
    assert_int_equal(clock_turn_us(), 101);
    assert_int_equal(clock_turn_look_us(), 102);
    times[1] = 103;
    assert_int_equal(clock_turn_us(), 102);
    clock_turn_forget();
    assert_int_equal(clock_turn_us(), 103);
    clock_set_source(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernel_numbers_differ),  cmocka_unit_test(generator_is_splitmix),
        cmocka_unit_test(below_stays_below),      cmocka_unit_test(seeded_numbers_repeat),
        cmocka_unit_test(real_clocks_run),        cmocka_unit_test(source_replaces_clocks),
        cmocka_unit_test(a_turn_shares_its_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

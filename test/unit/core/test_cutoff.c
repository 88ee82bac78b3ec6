/* test/unit/core/test_cutoff.c - src/core/cutoff.c: the clock by which ages are judged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/cutoff.h"
#include "sweep_rig.h"

#define NOW 1700000000000ull
#define DAY_MS 86400000ull
#define DAY_US (DAY_MS * 1000)
#define YEARS_10_MS (3652 * DAY_MS)

/* What: a right clock is followed to the millisecond, at the first start and after a short stop. */
static void follows_a_right_clock(void **state)
{
    struct cutoff c;
    (void)state;
    cutoff_init(&c, 0);
    for (uint64_t ms = 0; ms < 5000; ms += 7)
        assert_int_equal(cutoff_look(&c, NOW + ms, 77 + ms * 1000), NOW + ms);
    cutoff_init(&c, NOW);
    assert_int_equal(cutoff_look(&c, NOW + 3000, 5), NOW + 3000);
    assert_int_equal(cutoff_look(&c, NOW + 4000, 1000005), NOW + 4000);
}

/* What: a clock that is set ahead while the node runs moves it at most twice as fast as time. */
static void a_jump_ahead_evicts_nothing_at_once(void **state)
{
    struct cutoff c;
    (void)state;
    cutoff_init(&c, NOW);
    assert_int_equal(cutoff_look(&c, NOW, 0), NOW);
    uint64_t after = CUTOFF_START_US + 1000;
    assert_int_equal(cutoff_look(&c, NOW + after / 1000, after), NOW + after / 1000);
    uint64_t last = NOW + after / 1000;
    for (uint64_t s = 1; s <= 3600; s++) {
        uint64_t now = cutoff_look(&c, last + YEARS_10_MS, after + s * 1000000);
        assert_int_equal(now, last + 2000 * s);
    }
    /* Half a day ahead: reached after half a day. */
    cutoff_init(&c, NOW);
    c.away = true;
    (void)cutoff_look(&c, NOW, 0);
    assert_int_equal(cutoff_look(&c, NOW + DAY_MS, DAY_US / 2), NOW + DAY_MS);
    assert_int_equal(cutoff_look(&c, NOW + DAY_MS + 5, DAY_US / 2 + 5000), NOW + DAY_MS + 5);
}

/* What: looks that are less than a millisecond apart do not lose time, or gain any. */
static void small_steps_add_up(void **state)
{
    struct cutoff c;
    (void)state;
    cutoff_init(&c, NOW);
    c.away = true;
    (void)cutoff_look(&c, NOW, 0);
    uint64_t now = 0;
    for (uint64_t us = 0; us <= 1000000; us += 10) now = cutoff_look(&c, NOW + DAY_MS, us);
    assert_int_equal(now, NOW + 2000);
}

/* What: a node that was off for a week evicts at once when it is back, also when its clock is
 * set only some minutes after its start; one that was off for longer than is believed, or whose
 * clock is wrong by ten years, goes on from where it was. */
static void back_after_a_week(void **state)
{
    struct cutoff c;
    (void)state;
    cutoff_init(&c, NOW);
    assert_int_equal(cutoff_look(&c, NOW + 7 * DAY_MS, 5), NOW + 7 * DAY_MS);
    cutoff_init(&c, NOW);
    assert_int_equal(cutoff_look(&c, 1000, 5), 0); /* 1970: no clock yet */
    assert_int_equal(cutoff_look(&c, 300 * 1000, 300000005), 0);
    assert_int_equal(cutoff_look(&c, NOW + 7 * DAY_MS, 301000005), NOW + 7 * DAY_MS);
    cutoff_init(&c, NOW);
    assert_int_equal(cutoff_look(&c, NOW + YEARS_10_MS, 5), NOW);
    assert_int_equal(cutoff_look(&c, NOW + YEARS_10_MS, 1000005), NOW + 2000);
    assert_int_equal(cutoff_look(&c, NOW + DAY_MS, 2000005), NOW + DAY_MS); /* set right */
    cutoff_init(&c, NOW);
    assert_int_equal(cutoff_look(&c, NOW + CUTOFF_AWAY_MS, 5), NOW + CUTOFF_AWAY_MS);
    cutoff_init(&c, NOW);
    assert_int_equal(cutoff_look(&c, NOW + CUTOFF_AWAY_MS + 1, 5), NOW);
}

/* What: the jump of a start comes once, and in its first hour only. */
static void one_jump_a_start(void **state)
{
    struct cutoff c;
    (void)state;
    cutoff_init(&c, NOW);
    assert_int_equal(cutoff_look(&c, NOW + DAY_MS, 0), NOW + DAY_MS);
    assert_int_equal(cutoff_look(&c, NOW + 2 * DAY_MS, 1000000), NOW + DAY_MS + 2000);
    cutoff_init(&c, NOW);
    assert_int_equal(cutoff_look(&c, NOW, 0), NOW);
    uint64_t hour_ms = CUTOFF_START_US / 1000;
    assert_int_equal(cutoff_look(&c, NOW + hour_ms, CUTOFF_START_US), NOW + hour_ms);
    assert_int_equal(cutoff_look(&c, NOW + 9 * DAY_MS, CUTOFF_START_US + 1000000),
                     NOW + hour_ms + 2000);
}

/* What: a clock that is set back is followed at once, and when it is set right again no time is
 * lost; after a day it is believed. */
static void a_jump_back(void **state)
{
    struct cutoff c;
    (void)state;
    cutoff_init(&c, NOW);
    c.away = true;
    assert_int_equal(cutoff_look(&c, NOW, 0), NOW);
    assert_int_equal(cutoff_look(&c, NOW - 5 * DAY_MS, 1000000), NOW - 5 * DAY_MS);
    assert_int_equal(cutoff_look(&c, NOW + 2000, 2000000), NOW + 2000);
    assert_int_equal(cutoff_look(&c, NOW - 5 * DAY_MS, 3000000), NOW - 5 * DAY_MS);
    assert_int_equal(cutoff_look(&c, NOW - 4 * DAY_MS, 3000000 + CUTOFF_BEHIND_US),
                     NOW - 4 * DAY_MS);
    assert_int_equal(c.bound_ms, NOW - 4 * DAY_MS);
}

/* What: the node's clock is saved by checkpoints and is there again after a start; ten years
 * ahead at the next start move it by seconds. */
static void saved_by_checkpoints(void **state)
{
    struct rig r;
    (void)state;
    rig_init(&r);
    r.wall_ms = SR_WALL_MS;
    rig_open(&r);
    assert_int_equal(node_retention_now_ms(r.node), 0);
    node_tick(r.node);
    assert_int_equal(node_retention_now_ms(r.node), SR_WALL_MS);
    rig_put(&r, "b", "s", "1");
    assert_int_equal(rig_checkpoint(&r), IOR_OK);
    rig_close(&r);
    r.wall_ms += YEARS_10_MS;
    rig_open(&r);
    node_tick(r.node);
    assert_int_equal(node_retention_now_ms(r.node), SR_WALL_MS);
    r.mono_us += 3000000;
    node_tick(r.node);
    assert_int_equal(node_retention_now_ms(r.node), SR_WALL_MS + 6000);
    rig_close(&r);
    r.wall_ms = SR_WALL_MS + 7 * DAY_MS;
    rig_open(&r);
    node_tick(r.node);
    assert_int_equal(node_retention_now_ms(r.node), SR_WALL_MS + 7 * DAY_MS);
    rig_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_a_right_clock),
        cmocka_unit_test(a_jump_ahead_evicts_nothing_at_once),
        cmocka_unit_test(small_steps_add_up),
        cmocka_unit_test(back_after_a_week),
        cmocka_unit_test(one_jump_a_start),
        cmocka_unit_test(a_jump_back),
        cmocka_unit_test(saved_by_checkpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/core/test_sweep_total.c - src/core/sweep_total.c: max_total_bytes of a bucket. */
#include <stdio.h>

#include "sweep_rig.h"

static struct rig rig;

static int set_up(void **state)
{
    (void)state;
    rig_init(&rig);
    rig.wall_ms = SR_WALL_MS;
    rig_open(&rig);
    node_cutoff_tick(rig.node);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_done(&rig);
    return 0;
}

/* What: whole chunks go, the oldest first over all streams, and no more than must; another
 * bucket is not touched; below the limit nothing goes. */
static void oldest_chunks_first(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) { /* chunks of 64 events, 6400 bytes: s t s t s t s t */
        sr_fill(&rig, "b", "s", 64, 100);
        sr_pass(&rig, 1000);
        sr_fill(&rig, "b", "t", 64, 100);
        sr_pass(&rig, 1000);
    }
    sr_fill(&rig, "c", "s", 64, 100);
    sr_cool(&rig);
    sr_set(&rig, "b", "", "{\"max_total_bytes\":51200}");
    sr_sweep(&rig);
    sr_expect(&rig, "b", "s", 1, 256);
    sr_set(&rig, "b", "", "{\"max_total_bytes\":51199}");
    sr_sweep(&rig);
    sr_expect(&rig, "b", "s", 65, 256);
    sr_expect(&rig, "b", "t", 1, 256);
    sr_set(&rig, "b", "", "{\"max_total_bytes\":32000}"); /* 44800 are there: two go */
    struct sr_preview p = sr_preview(&rig, "b", "", NULL);
    assert_int_equal(p.streams, 2);
    assert_int_equal(p.events, 128);
    assert_int_equal(p.bytes, 12800);
    sr_sweep(&rig);
    sr_expect(&rig, "b", "s", 129, 256);
    sr_expect(&rig, "b", "t", 65, 256);
    sr_sweep(&rig);
    sr_expect(&rig, "b", "s", 129, 256);
    sr_cool(&rig);
    sr_set(&rig, "b", "", "{\"max_total_bytes\":1}");
    sr_sweep(&rig);
    sr_expect(&rig, "b", "s", 257, 256);
    sr_expect(&rig, "b", "t", 257, 256);
    sr_expect(&rig, "c", "s", 1, 64);
    assert_int_equal(rig_put(&rig, "b", "s", "1"), 257);
}

/* What: small streams go as a whole, by their last time; what is not saved yet counts but stays. */
static void small_ones_and_unsaved(void **state)
{
    char name[16];
    (void)state;
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "s%02d", i);
        sr_fill(&rig, "b", name, 2, 50);
        sr_pass(&rig, 1000);
    }
    sr_set(&rig, "b", "", "{\"max_total_bytes\":1500}");
    sr_sweep(&rig);
    sr_expect(&rig, "b", "s00", 1, 2); /* nothing is saved */
    assert_int_equal(rig_checkpoint(&rig), IOR_OK);
    sr_fill(&rig, "b", "s00", 1, 50); /* the old part of it is still the oldest unit */
    sr_sweep(&rig);
    sr_expect(&rig, "b", "s00", 3, 3);
    for (int i = 1; i < 20; i++) { /* 2050 bytes, six units of 100 */
        snprintf(name, sizeof name, "s%02d", i);
        sr_expect(&rig, "b", name, i < 6 ? 3 : 1, 2);
    }
}

/* What: the limits of streams come first, then the sum; a stream cannot lift it. */
static void after_the_other_limits(void **state)
{
    (void)state;
    sr_fill(&rig, "b", "s", 128, 100);
    sr_fill(&rig, "b", "t", 128, 100);
    sr_cool(&rig);
    sr_set(&rig, "b", "s", "{\"max_events\":null,\"max_bytes\":null,\"max_age\":null}");
    sr_set(&rig, "b", "", "{\"max_events\":10,\"max_total_bytes\":13800}");
    sr_sweep(&rig);
    sr_expect(&rig, "b", "s", 1, 128);
    sr_expect(&rig, "b", "t", 119, 128);
    sr_set(&rig, "b", "", "{\"max_events\":10,\"max_total_bytes\":7500}");
    sr_sweep(&rig);
    uint64_t low, high;
    sr_range(&rig, "b", "s", &low, &high);
    assert_int_equal(low, 65); /* a whole chunk */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(oldest_chunks_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(small_ones_and_unsaved, set_up, tear_down),
        cmocka_unit_test_setup_teardown(after_the_other_limits, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

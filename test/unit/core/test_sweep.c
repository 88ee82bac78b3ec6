/* test/unit/core/test_sweep.c - src/core/sweep.c: what goes by the clock although nobody appends,
 * of streams in memory, in the catalog and in chunks. */
#include <stdio.h>
#include <string.h>

#include "base/metrics.h"
#include "store/chunk.h"
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

/* Where the streams are when the sweep comes. */
enum where { IN_TAIL, IN_HISTORY, ON_DISK, WHERES };

static void move_to(enum where where)
{
    if (where == IN_HISTORY) assert_int_equal(rig_checkpoint(&rig), IOR_OK);
    if (where == ON_DISK) sr_cool(&rig);
}

/* What: a policy that is set later takes away by number, by size and by age, small streams and
 * chunked ones, wherever they are; what nobody limits stays; a second sweep finds nothing. */
static void policies_of_buckets(void **state)
{
    (void)state;
    for (enum where where = 0; where < WHERES; where++) {
        char b[3][8];
        for (int i = 0; i < 3; i++) snprintf(b[i], sizeof b[i], "b%d-%d", (int)where, i);
        for (int i = 0; i < 3; i++) {
            sr_fill(&rig, b[i], "small", 8, 20);
            sr_fill(&rig, b[i], "large", 90, 100);
        }
        sr_fill(&rig, "free", "s", 5, 10);
        sr_pass(&rig, 10000);
        for (int i = 0; i < 3; i++) {
            sr_fill(&rig, b[i], "small", 2, 20);
            sr_fill(&rig, b[i], "large", 10, 100);
        }
        move_to(where);
        sr_set(&rig, b[0], "", "{\"max_events\":7}");
        sr_set(&rig, b[1], "", "{\"max_bytes\":150}");
        sr_set(&rig, b[2], "", "{\"max_age\":\"9s\"}");
        uint64_t low, high;
        sr_range(&rig, b[0], "large", &low, &high);
        assert_int_equal(low, 1); /* nothing went by setting it */
        int64_t before = metric_value(METRIC_retention_events);
        for (int i = 0; i < 2; i++) {
            sr_sweep(&rig);
            sr_expect(&rig, b[0], "small", 4, 10);
            sr_expect(&rig, b[0], "large", 94, 100);
            sr_expect(&rig, b[1], "small", 4, 10);
            sr_expect(&rig, b[1], "large", 100, 100);
            sr_expect(&rig, b[2], "small", 9, 10);
            sr_expect(&rig, b[2], "large", 91, 100);
            assert_int_equal(metric_value(METRIC_retention_events) - before,
                             3 + 93 + 3 + 99 + 8 + 90);
        }
        for (int i = 0; i < 3; i++) sr_set(&rig, b[i], "", NULL);
    }
    sr_expect(&rig, "free", "s", 1, 15);
}

/* What: the policy of a stream counts alone, against its bucket's, and lifts it. */
static void policies_of_streams(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        char b[8];
        snprintf(b, sizeof b, "b%d", i);
        sr_fill(&rig, b, "s", 9, 10);
        sr_fill(&rig, b, "t", 9, 10);
        sr_fill(&rig, b, "u", 9, 10);
        if (i == 1) sr_cool(&rig);
        sr_set(&rig, b, "s", "{\"max_events\":2}");
        sr_sweep(&rig);
        sr_expect(&rig, b, "s", 8, 9);
        sr_expect(&rig, b, "t", 1, 9);
        sr_set(&rig, b, "t", "{\"max_events\":null}");
        sr_set(&rig, b, "", "{\"max_events\":4}");
        sr_sweep(&rig);
        sr_expect(&rig, b, "s", 8, 9);
        sr_expect(&rig, b, "t", 1, 9);
        sr_expect(&rig, b, "u", 6, 9);
    }
}

/* What: age takes the last event too, the stream stays with its ids; and again when new ones get
 * old; the time of a first event that is looked up is remembered. */
static void everything_gets_old(void **state)
{
    (void)state;
    sr_set(&rig, "b", "", "{\"max_age\":\"10s\"}");
    sr_fill(&rig, "b", "s", 80, 100);
    sr_fill(&rig, "b", "small", 3, 10);
    sr_pass(&rig, 5000);
    sr_fill(&rig, "b", "s", 80, 100);
    sr_fill(&rig, "b", "small", 3, 10);
    sr_cool(&rig);
    sr_sweep(&rig);
    sr_expect(&rig, "b", "s", 1, 160);
    sr_cool(&rig);
    sr_pass(&rig, 6000);
    sr_sweep(&rig);
    sr_expect(&rig, "b", "s", 81, 160);
    sr_expect(&rig, "b", "small", 4, 6);
    sr_cool(&rig);
    sr_sweep(&rig); /* the times of ids 81 and 4 are known from here on */
    int64_t reads = metric_value(METRIC_stream_loads);
    sr_sweep(&rig);
    assert_int_equal(metric_value(METRIC_stream_loads), reads);
    sr_pass(&rig, 6000);
    sr_sweep(&rig);
    sr_expect(&rig, "b", "s", 161, 160);
    sr_expect(&rig, "b", "small", 7, 6);
    assert_int_equal(rig_put(&rig, "b", "s", "1"), 161);
    sr_cool(&rig);
    sr_sweep(&rig);
    sr_expect(&rig, "b", "s", 161, 161);
}

/* What: chunk files and the bytes in the catalog are given back by the checkpoint behind it. */
static void files_go(void **state)
{
    (void)state;
    sr_fill(&rig, "b", "s", 400, 200);
    sr_cool(&rig);
    uint64_t before = disk_sim_used_bytes(rig.disk);
    sr_set(&rig, "b", "", "{\"max_events\":3}");
    sr_sweep(&rig);
    assert_int_equal(rig_checkpoint(&rig), IOR_OK);
    assert_int_equal(rig_checkpoint(&rig), IOR_OK);
    assert_true(disk_sim_used_bytes(rig.disk) + 60000 < before);
    sr_cool(&rig);
    sr_expect(&rig, "b", "s", 398, 400);
}

/* What: more streams than a visit, a block and a lot have room for. */
static void many_streams(void **state)
{
    (void)state;
    enum { STREAMS = 2500 };
    char name[16];
    rig.params.history_bytes_max = 64 << 20;
    for (int half = 0; half < 2; half++) {
        for (int i = half; i < STREAMS; i += 2) {
            struct rig_post p[3];
            snprintf(name, sizeof name, "s%04d", i);
            for (int k = 0; k < 3; k++) rig_post(&rig, &p[k], "b", name, "12");
            rig_settle(&rig);
            for (int k = 0; k < 3; k++) rig_post_free(&p[k]);
        }
        if (half == 0) sr_cool(&rig); /* one half on the disk, one in memory */
    }
    sr_set(&rig, "b", "", "{\"max_events\":2}");
    int64_t before = metric_value(METRIC_retention_events);
    sr_sweep(&rig);
    assert_int_equal(metric_value(METRIC_retention_events) - before, STREAMS);
    sr_expect(&rig, "b", "s0000", 2, 3);
    sr_expect(&rig, "b", "s2499", 2, 3);
    struct sr_preview p = sr_preview(&rig, "b", "", "{\"max_events\":1}");
    assert_int_equal(p.streams, STREAMS);
    assert_int_equal(p.events, STREAMS);
    assert_int_equal(p.bytes, 2 * STREAMS);
}

/* What: more events than one trim takes; deleted streams and buckets without streams are nothing.
 */
static void much_of_one(void **state)
{
    (void)state;
    enum { EVENTS = 9000 };
    struct event_in events[1000];
    for (int i = 0; i < 1000; i++) events[i] = (struct event_in){IOR_SLICE("123"), true};
    for (int i = 0; i < EVENTS / 1000; i++) {
        struct rig_post p = {.rig = &rig};
        assert_int_equal(append_new(IOR_SLICE("b"), IOR_SLICE("s"), events, 1000,
                                    (struct ior_slice){NULL, 0}, &p.a),
                         IOR_OK);
        rig_post_submit(&p);
        rig_settle(&rig);
        rig_post_free(&p);
    }
    sr_set(&rig, "b", "", "{\"max_events\":5}");
    sr_set(&rig, "nothing", "", "{\"max_events\":5,\"max_total_bytes\":1}");
    sr_set(&rig, "nothing", "s", "{\"max_events\":1}");
    assert_int_equal(sr_preview(&rig, "b", "", NULL).events, EVENTS - 5);
    sr_sweep(&rig);
    sr_expect(&rig, "b", "s", EVENTS - 4, EVENTS);
}

/* What: by the tick: not without a policy; after a change at once, then once per interval. */
static void when_it_is_due(void **state)
{
    (void)state;
    int64_t before = metric_value(METRIC_retention_sweeps);
    for (int i = 0; i < 100; i++) {
        sr_pass(&rig, 2000);
        node_tick(rig.node);
        rig_settle(&rig);
    }
    assert_int_equal(metric_value(METRIC_retention_sweeps), before);
    sr_fill(&rig, "b", "s", 3, 10);
    sr_set(&rig, "b", "", "{\"max_events\":1}");
    sr_pass(&rig, 100);
    node_tick(rig.node);
    rig_settle(&rig);
    assert_int_equal(metric_value(METRIC_retention_sweeps), before + 1);
    sr_expect(&rig, "b", "s", 3, 3);
    for (int i = 0; i < 599; i++) {
        sr_pass(&rig, 100);
        node_tick(rig.node);
        rig_settle(&rig);
    }
    assert_int_equal(metric_value(METRIC_retention_sweeps), before + 1);
    sr_pass(&rig, 100);
    node_tick(rig.node);
    rig_settle(&rig);
    assert_int_equal(metric_value(METRIC_retention_sweeps), before + 2);
    sr_set(&rig, "b", "", "{\"max_events\":2}");
    node_tick(rig.node); /* too soon */
    rig_settle(&rig);
    assert_int_equal(metric_value(METRIC_retention_sweeps), before + 2);
    sr_pass(&rig, 1000);
    node_tick(rig.node);
    rig_settle(&rig);
    assert_int_equal(metric_value(METRIC_retention_sweeps), before + 3);
}

/* What: a policy that is removed while its sweep is under way brings nothing back; what went
 * stays gone, also after a start. */
static void nothing_comes_back(void **state)
{
    (void)state;
    sr_fill(&rig, "b", "s", 9, 10);
    sr_set(&rig, "b", "", "{\"max_events\":3}");
    sr_sweep(&rig);
    sr_set(&rig, "b", "", NULL);
    sr_sweep(&rig);
    sr_expect(&rig, "b", "s", 7, 9);
    sr_set(&rig, "b", "", "{\"max_events\":100}");
    sr_sweep(&rig);
    rig_drop(&rig);
    rig_open(&rig);
    node_cutoff_tick(rig.node);
    sr_sweep(&rig);
    sr_expect(&rig, "b", "s", 7, 9);
    sr_cool(&rig);
    sr_expect(&rig, "b", "s", 7, 9);
}

/* What: a node that stops ends a sweep at its next step; nothing stays behind. */
static void a_stop_ends_it(void **state)
{
    (void)state;
    for (unsigned turns = 0; turns < 60; turns++) {
        if (turns % 20 == 0) sr_fill(&rig, "b", "s", 90, 100);
        if (turns == 40) sr_cool(&rig);
        sr_set(&rig, "b", "", "{\"max_events\":3,\"max_total_bytes\":10}");
        node_cutoff_tick(rig.node);
        sweep_start(rig.node->sweep);
        for (unsigned i = 0; i < turns % 20; i++) rig_turn(&rig);
        atomic_store(&rig.node->surveys_stop, true);
        rig_settle(&rig);
        assert_true(sweep_rests(rig.node->sweep));
        assert_int_equal(atomic_load(&rig.node->surveys), 0);
        sweep_start(rig.node->sweep);
        assert_true(sweep_rests(rig.node->sweep)); /* none begins any more */
        atomic_store(&rig.node->surveys_stop, false);
    }
}

/* What: a disk that fails, at every read and write of a sweep: it ends, and the next one does it.
 */
static void the_disk_fails(void **state)
{
    (void)state;
    uint64_t low, high;
    for (uint64_t n = 1; n < 40; n++) {
        sr_fill(&rig, "b", "s", 90, 100);
        sr_cool(&rig);
        sr_set(&rig, "b", "", "{\"max_events\":30,\"max_age\":\"1h\",\"max_total_bytes\":900000}");
        disk_sim_fail(rig.disk, DISK_SIM_READ, n, IOR_E_IO, false);
        node_cutoff_tick(rig.node);
        sweep_start(rig.node->sweep);
        rig_settle(&rig);
        assert_true(sweep_rests(rig.node->sweep));
        assert_int_equal(atomic_load(&rig.node->surveys), 0);
        bool met = disk_sim_failed(rig.disk);
        disk_sim_fail(rig.disk, DISK_SIM_READ, 0, IOR_OK, false);
        sr_sweep(&rig);
        sr_range(&rig, "b", "s", &low, &high);
        assert_int_equal(high + 1 - low, 30);
        sr_set(&rig, "b", "", NULL);
        if (!met) break;
    }
}

/* What a reader is shown: low and high; and the events are those. */
static void expect_read(const char *stream, uint64_t low, uint64_t high)
{
    struct read *rd = rig_read_new("b", stream);
    rd->how = READ_FROM_ID;
    rd->from = 1;
    rd->limit = 200;
    rig_read(&rig, rd);
    assert_int_equal(rd->err, IOR_OK);
    assert_int_equal(rd->low, low);
    assert_int_equal(rd->high, high);
    assert_int_equal(rd->count > 0, low <= high); /* one visit: not always all of them */
    if (rd->count > 0) assert_int_equal(rd->events[0].id, low);
    read_free(rd);
}

/* What: a policy that was just set, and time that passed, hold for the next read although no sweep
 * came; wherever the events are; what a reader was shown once as gone stays gone after a crash. */
static void readers_do_not_wait(void **state)
{
    (void)state;
    for (enum where where = 0; where < WHERES; where++) {
        char name[16];
        snprintf(name, sizeof name, "s%d", (int)where);
        sr_fill(&rig, "b", name, 60, 100);
        sr_pass(&rig, 10000);
        sr_fill(&rig, "b", name, 30, 100);
        move_to(where);
        expect_read(name, 1, 90);
        sr_set(&rig, "b", name, "{\"max_events\":80}");
        expect_read(name, 11, 90);
        sr_set(&rig, "b", name, "{\"max_bytes\":5000}");
        expect_read(name, 41, 90);
        sr_set(&rig, "b", name, "{\"max_age\":\"5s\"}");
        node_cutoff_tick(rig.node);
        expect_read(name, 61, 90);
        uint64_t batches = (uint64_t)metric_value(METRIC_trim_records);
        for (int i = 0; i < 5; i++) expect_read(name, 61, 90); /* known now: no further trims */
        assert_int_equal(metric_value(METRIC_trim_records), batches);
        sr_pass(&rig, 7000);
        node_cutoff_tick(rig.node);
        expect_read(name, 91, 90);
        rig_drop(&rig);
        rig_open(&rig);
        sr_set(&rig, "b", name, NULL);
        expect_read(name, 91, 90);
    }
}

/* What: where nothing can go (the disk is full) a reader is shown what there is. */
static void readers_of_a_full_disk(void **state)
{
    (void)state;
    sr_fill(&rig, "b", "s", 90, 100);
    sr_set(&rig, "b", "s", "{\"max_events\":10}");
    disk_sim_fail(rig.disk, DISK_SIM_WRITE, 1, IOR_E_IO, true);
    expect_read("s", 1, 90);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(policies_of_buckets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(policies_of_streams, set_up, tear_down),
        cmocka_unit_test_setup_teardown(everything_gets_old, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_streams, set_up, tear_down),
        cmocka_unit_test_setup_teardown(much_of_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(when_it_is_due, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stop_ends_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_disk_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(readers_do_not_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(readers_of_a_full_disk, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

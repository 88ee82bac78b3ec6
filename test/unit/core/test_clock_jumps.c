/* test/unit/core/test_clock_jumps.c - the wall clock jumps by an hour, both ways, while there are
 * appends with and without keys, checkpoints and starts: ids stay dense, times of a stream never go
 * back, keys are not forgotten because the clock went back, and nothing waits for the old time. */
#include <stdio.h>
#include <string.h>

#include "core/checkpoint.h"
#include "expect.h"
#include "rt/rand.h"

enum { HOUR_MS = 3600 * 1000, SECOND_MS = 1000, STEPS = 400, STREAMS = 3 };

static struct rig rig;

static int set_up(void **state)
{
    (void)state;
    rig_init(&rig);
    rig.wall_ms = 10ull * HOUR_MS;
    rig_open(&rig);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_done(&rig);
    return 0;
}

static void again(void)
{
    rig_drop(&rig);
    rig_open(&rig);
}

static struct append *put_with_key(struct rig_post *p, const char *stream, const char *key)
{
    const struct event_in e = {IOR_SLICE("1"), true};
    *p = (struct rig_post){.rig = &rig};
    assert_int_equal(
        append_new(IOR_SLICE("b"), ior_slice_str(stream), &e, 1, ior_slice_str(key), &p->a),
        IOR_OK);
    rig_post_submit(p);
    rig_settle(&rig);
    assert_int_equal(p->submitted, IOR_OK);
    assert_int_equal(p->a->err, IOR_OK);
    return p->a;
}

static void expect_repeated(const char *stream, const char *key, uint64_t id)
{
    struct rig_post p;
    const struct append *a = put_with_key(&p, stream, key);
    assert_true(a->repeated);
    assert_int_equal(a->last_id, id);
    rig_post_free(&p);
}

/* Ids 1..high, times that do not go back. */
static void check_stream(const char *stream, uint64_t high)
{
    uint64_t id = 1;
    uint64_t time_ms = 0;
    struct read *rd = rig_read_new("b", stream);
    rd->how = READ_FROM_ID;
    rd->limit = UINT64_MAX;
    for (;;) {
        rig_read(&rig, rd);
        assert_int_equal(rd->err, IOR_OK);
        assert_int_equal(rd->high, high);
        for (size_t i = 0; i < rd->count; i++) {
            assert_int_equal(rd->events[i].id, id++);
            assert_true(rd->events[i].time_ms >= time_ms);
            time_ms = rd->events[i].time_ms;
        }
        if (rd->next == 0) break;
        read_release(rd);
    }
    assert_int_equal(id, high + 1);
    read_free(rd);
}

/* What: jumps at random between appends, checkpoints and starts. */
static void times_never_go_back(void **state)
{
    (void)state;
    struct rand_state rnd = {7};
    uint64_t highs[STREAMS] = {0};
    for (int i = 0; i < STEPS; i++) {
        char name[8];
        const size_t s = rand_below(&rnd, STREAMS);
        snprintf(name, sizeof name, "s%zu", s);
        const uint64_t what = rand_below(&rnd, 20);
        rig.mono_us += SECOND_MS;
        rig.wall_ms += 1;
        if (what == 0) rig.wall_ms += HOUR_MS;
        if (what == 1 && rig.wall_ms > HOUR_MS) rig.wall_ms -= HOUR_MS;
        if (what == 2) assert_int_equal(rig_checkpoint(&rig), IOR_OK);
        if (what == 3) again();
        assert_int_equal(rig_put(&rig, "b", name, "1"), ++highs[s]);
    }
    for (size_t s = 0; s < STREAMS; s++) {
        char name[8];
        snprintf(name, sizeof name, "s%zu", s);
        check_stream(name, highs[s]);
    }
}

/* What: a key is known for as long as the wall clock says that it is young, which is longer when
 * the clock goes back; in memory, after a start, and after a checkpoint. */
static void keys_stay_when_the_clock_goes_back(void **state)
{
    (void)state;
    struct rig_post p;
    put_with_key(&p, "s", "key");
    rig_post_free(&p);
    rig.wall_ms -= HOUR_MS;
    expect_repeated("s", "key", 1);
    again();
    expect_repeated("s", "key", 1);
    assert_int_equal(rig_checkpoint(&rig), IOR_OK);
    again();
    expect_repeated("s", "key", 1);
    put_with_key(&p, "s", "made in the past");
    assert_int_equal(p.a->last_id, 2);
    rig_post_free(&p);
    assert_int_equal(rig_checkpoint(&rig), IOR_OK);
    rig.wall_ms += HOUR_MS; /* right again: as old as they are */
    expect_repeated("s", "key", 1);
    expect_repeated("s", "made in the past", 2);
}

/* What: an hour forward lets keys go by the clock; the catalog keeps them for the margin, so that
 * they are known again when the clock comes back and the stream is loaded anew. */
static void keys_outlive_a_jump_forward_on_the_disk(void **state)
{
    (void)state;
    struct rig_post p;
    put_with_key(&p, "s", "key");
    rig_post_free(&p);
    assert_int_equal(rig_checkpoint(&rig), IOR_OK);
    rig.wall_ms += HOUR_MS;
    assert_int_equal(rig_put(&rig, "b", "other", "1"), 1);
    assert_int_equal(rig_checkpoint(&rig), IOR_OK);
    rig.wall_ms -= HOUR_MS;
    again();
    expect_repeated("s", "key", 1);
}

/* What: when a checkpoint is due goes by the other clock. */
static void checkpoints_do_not_follow(void **state)
{
    (void)state;
    struct checkpoint *c = rig.node->checkpoint;
    assert_int_equal(rig_put(&rig, "b", "s", "1"), 1);
    rig.wall_ms += HOUR_MS;
    assert_false(checkpoint_is_due(c));
    rig.mono_us += 61ull * 1000000;
    rig.wall_ms -= 2ull * HOUR_MS;
    assert_true(checkpoint_is_due(c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(times_never_go_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_stay_when_the_clock_goes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_outlive_a_jump_forward_on_the_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(checkpoints_do_not_follow, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

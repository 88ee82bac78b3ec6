/* test/unit/core/test_watch.c - waiting for an event of a stream: at once, later, cancelled. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "core/watch.h"
#include "expect.h"

static struct rig rig;

static int set_up(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_open(&rig);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(atomic_load(&rig.node->watch_count), 0);
    rig_done(&rig);
    return 0;
}

static void on_fired(struct watch *w)
{
    assert_ptr_equal(worker_current(), &rig.workers[w->user[1]]);
    w->user[0]++;
}

static struct watch *make(const char *bucket, const char *stream, uint64_t from)
{
    struct watch *w = NULL;
    assert_int_equal(watch_new(ior_slice_str(bucket), ior_slice_str(stream), &w), IOR_OK);
    w->from = from;
    return w;
}

static void submit(struct watch *w)
{
    w->user[0] = 0;
    w->user[1] = worker_current()->id;
    assert_int_equal(iorio_watch(rig.node, w, on_fired), IOR_OK);
    assert_int_equal(w->user[0], 0); /* never inside the call */
}

static struct watch *start(const char *bucket, const char *stream, uint64_t from)
{
    struct watch *w = make(bucket, stream, from);
    submit(w);
    rig_turns(&rig);
    return w;
}

/* It has fired, once, with this last id; then it is freed. */
static void expect_fired(struct watch *w, uint64_t high)
{
    assert_int_equal(w->user[0], 1);
    assert_int_equal(w->err, IOR_OK);
    assert_int_equal(w->high, high);
    watch_free(w);
}

static void expect_cancelled(struct watch *w)
{
    iorio_watch_cancel(w);
    assert_int_equal(w->user[0], 0);
    rig_turns(&rig);
    assert_int_equal(w->user[0], 1);
    assert_int_equal(w->err, IOR_E_LOST);
    watch_free(w);
}

/* What: an event that is there already fires at once; one that was deleted meanwhile counts, for
 * the ids went on. */
static void there_already(void **state)
{
    (void)state;
    rig_put(&rig, "b", "s", "1");
    rig_put(&rig, "b", "s", "2");
    expect_fired(start("b", "s", 0), 2);
    expect_fired(start("b", "s", 2), 2);
}

/* What: else the commit that reaches the id does, and no other: not one that only waits for the
 * disk, not one of another stream or bucket, not one below. */
static void the_commit_that_reaches_it(void **state)
{
    (void)state;
    struct rig_post p;
    struct watch *w = start("b", "s", 2);
    struct watch *far = start("b", "s", 3);
    rig_put(&rig, "b", "s", "1");
    rig_put(&rig, "b", "other", "1");
    rig_put(&rig, "other", "s", "1");
    rig_put(&rig, "other", "s", "2");
    assert_int_equal(w->user[0], 0);
    rig_post(&rig, &p, "b", "s", "2");
    rig_turns(&rig);
    assert_int_equal(w->user[0], 0);
    rig_settle(&rig);
    assert_int_equal(outcome(&p), 2);
    expect_fired(w, 2);
    assert_int_equal(far->user[0], 0);
    rig_put(&rig, "b", "s", "3");
    expect_fired(far, 3);
}

/* What: a batch that jumps over the id fires it. */
static void a_batch_fires(void **state)
{
    (void)state;
    struct event_in events[5] = {{IOR_SLICE("1"), true},
                                 {IOR_SLICE("2"), true},
                                 {IOR_SLICE("3"), true},
                                 {IOR_SLICE("4"), true},
                                 {IOR_SLICE("5"), true}};
    struct rig_post p = {.rig = &rig};
    struct watch *w = start("b", "s", 3);
    assert_int_equal(
        append_new(IOR_SLICE("b"), IOR_SLICE("s"), events, 5, (struct ior_slice){NULL, 0}, &p.a),
        IOR_OK);
    rig_post_submit(&p);
    rig_settle(&rig);
    assert_int_equal(outcome(&p), 5);
    expect_fired(w, 5);
}

/* What: a stream that is deleted and comes back fires with its next id. */
static void deleted_and_back(void **state)
{
    (void)state;
    rig_put(&rig, "b", "s", "1");
    struct watch *w = start("b", "s", 2);
    struct trim *t = NULL;
    assert_int_equal(trim_new(IOR_SLICE("b"), IOR_SLICE("s"), &t), IOR_OK);
    t->all = true;
    assert_int_equal(iorio_trim(rig.node, t, trim_free), IOR_OK);
    rig_settle(&rig);
    assert_int_equal(w->user[0], 0);
    rig_put(&rig, "b", "s", "2");
    expect_fired(w, 2);
}

/* What: many on one stream, in any order of ids, and on many streams; each fires by itself, and
 * those that wait are counted. */
static void many(void **state)
{
    (void)state;
    enum { MANY = 200 };
    struct watch *same[MANY];
    struct watch *own[MANY];
    char name[16];
    for (uint64_t i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "own-%llu", (unsigned long long)i);
        same[i] = start("b", "s", i * 7 % 5 + 1);
        own[i] = start("b", name, 1);
    }
    assert_int_equal(atomic_load(&rig.node->watch_count), 2 * MANY);
    for (uint64_t id = 1; id <= 5; id++) {
        assert_int_equal(rig_put(&rig, "b", "s", "1"), id);
        for (uint64_t i = 0; i < MANY; i++)
            assert_int_equal(same[i]->user[0], i * 7 % 5 + 1 <= id ? 1 : 0);
    }
    assert_int_equal(atomic_load(&rig.node->watch_count), MANY);
    for (uint64_t i = 0; i < MANY; i++) {
        assert_int_equal(same[i]->high, i * 7 % 5 + 1);
        watch_free(same[i]);
        if (i % 2 == 0) {
            expect_cancelled(own[i]);
        } else {
            snprintf(name, sizeof name, "own-%llu", (unsigned long long)i);
            rig_put(&rig, "b", name, "1");
            expect_fired(own[i], 1);
        }
    }
}

/* What: a cancel of the first, a middle and the last one of a stream leaves the others. */
static void cancelled_in_any_order(void **state)
{
    (void)state;
    static const unsigned orders[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 0, 3, 2}, {2, 3, 0, 1}};
    for (size_t o = 0; o < IOR_LEN(orders); o++) {
        struct watch *w[4];
        uint64_t next = high_of(&rig, "b", "s") + 1;
        for (size_t i = 0; i < 4; i++) w[i] = start("b", "s", next);
        for (size_t i = 0; i < 3; i++) expect_cancelled(w[orders[o][i]]);
        rig_put(&rig, "b", "s", "1");
        expect_fired(w[orders[o][3]], next);
    }
}

/* What: a cancel that comes when it has fired, but nobody was told, changes nothing: one call. */
static void cancelled_too_late(void **state)
{
    (void)state;
    struct rig_post p;
    rig_enter(&rig, 1);
    struct watch *w = start("b", "s", 1);
    rig_enter(&rig, 0);
    rig_post(&rig, &p, "b", "s", "1");
    rig_turns(&rig);
    assert_true(rig_commit(&rig));
    worker_turn(&rig.workers[0]); /* the commit; worker 1 has not had its turn */
    assert_int_equal(w->state, WATCH_ANSWERED);
    assert_int_equal(w->user[0], 0);
    rig_enter(&rig, 1);
    iorio_watch_cancel(w);
    assert_int_equal(w->user[0], 0);
    rig_enter(&rig, 0);
    rig_settle(&rig);
    assert_int_equal(outcome(&p), 1);
    expect_fired(w, 1);
}

static struct watch *overtaken;

static void run_inside(struct msg *m)
{
    (void)m;
    submit(overtaken); /* it is queued: a strand does not nest */
    iorio_watch_cancel(overtaken);
}

/* What: a cancel is a completion and may overtake its watch on the way in. */
static void cancelled_before_it_arrived(void **state)
{
    (void)state;
    struct msg m = {.run = run_inside};
    overtaken = make("b", "s", 1);
    assert_int_equal(strand_post(&rig.node->vnodes[0].strand, &m), IOR_OK);
    rig_turns(&rig);
    assert_int_equal(overtaken->user[0], 1);
    assert_int_equal(overtaken->err, IOR_E_LOST);
    watch_free(overtaken);
}

/* What: one may be submitted again after it has fired or was cancelled, with another id. */
static void submitted_again(void **state)
{
    (void)state;
    struct watch *w = start("b", "s", 1);
    for (uint64_t id = 1; id <= 3; id++) {
        rig_put(&rig, "b", "s", "1");
        assert_int_equal(w->user[0], 1);
        assert_int_equal(w->high, id);
        w->from = id + 1;
        submit(w);
        rig_turns(&rig);
    }
    expect_cancelled(w);
}

/* What: the callback comes to the worker that submitted, wherever the append came from. */
static void from_another_worker(void **state)
{
    (void)state;
    rig_enter(&rig, 1);
    struct watch *w = start("b", "s", 1);
    struct watch *v = start("b", "s", 9);
    rig_enter(&rig, 0);
    rig_put(&rig, "b", "s", "1");
    expect_fired(w, 1);
    rig_enter(&rig, 1);
    expect_cancelled(v);
    rig_enter(&rig, 0);
}

/* What: more than WATCHES_MAX are BUSY, and the caller still owns it. */
static void too_many(void **state)
{
    (void)state;
    atomic_store(&rig.node->watch_count, WATCHES_MAX);
    struct watch *w = make("b", "s", 1);
    assert_int_equal(iorio_watch(rig.node, w, on_fired), IOR_E_BUSY);
    assert_int_equal(atomic_load(&rig.node->watch_count), WATCHES_MAX);
    atomic_store(&rig.node->watch_count, 0);
    submit(w);
    rig_turns(&rig);
    expect_cancelled(w);
    assert_int_equal(metric_value(METRIC_watches), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(there_already, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_commit_that_reaches_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_batch_fires, set_up, tear_down),
        cmocka_unit_test_setup_teardown(deleted_and_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cancelled_in_any_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cancelled_too_late, set_up, tear_down),
        cmocka_unit_test_setup_teardown(cancelled_before_it_arrived, set_up, tear_down),
        cmocka_unit_test_setup_teardown(submitted_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(from_another_worker, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_many, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

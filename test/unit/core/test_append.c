/* test/unit/core/test_append.c - the path of an append, step by step: submitted, in the
 * journal's queue, written, committed, answered. What is refused: test_append_refused.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
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
    rig_done(&rig);
    return 0;
}

/* ---- numbers and times ---- */

/* What: nothing is answered before the sync, and the answer comes in a later turn, once. */
static void answered_after_the_sync(void **state)
{
    (void)state;
    struct rig_post p;
    rig_post(&rig, &p, "b", "s", "1");
    assert_int_equal(p.submitted, IOR_OK);
    rig_turns(&rig);
    assert_int_equal(p.done, 0);
    assert_int_equal(high_of(&rig, "b", "s"), 0); /* and nobody sees it */
    assert_true(journal_begin(rig.node->journal));
    rig_turns(&rig);
    assert_int_equal(p.done, 0); /* written, not synced */
    journal_finish(rig.node->journal);
    assert_int_equal(p.done, 0);
    rig_turns(&rig);
    assert_int_equal(p.done, 1);
    assert_int_equal(p.a->first_id, 1);
    assert_int_equal(p.a->time_ms, RIG_WALL_MS);
    assert_int_equal(outcome(&p), 1);
    assert_int_equal(high_of(&rig, "b", "s"), 1);
}

static struct append *batch_of(const char *stream, uint32_t count)
{
    struct event_in events[64];
    struct append *a = NULL;
    assert_true(count <= 64);
    for (uint32_t i = 0; i < count; i++)
        events[i] = (struct event_in){IOR_SLICE("{\"n\":1}"), i % 2 == 0};
    assert_int_equal(append_new(IOR_SLICE("b"), ior_slice_str(stream), events, count,
                                (struct ior_slice){NULL, 0}, &a),
                     IOR_OK);
    return a;
}

/* What: ids are dense per stream over single events and batches, each with first and last, also
 * when all of them are in flight at once; another stream counts by itself. */
static void ids_are_dense(void **state)
{
    (void)state;
    enum { POSTS = 40 };
    struct rig_post posts[POSTS];
    struct rig_post other;
    for (uint32_t i = 0; i < POSTS; i++) {
        posts[i] = (struct rig_post){.a = batch_of("s", i % 5 + 1), .rig = &rig};
        rig_post_submit(&posts[i]);
        if (i % 7 == 0) rig_commit(&rig);
    }
    rig_post(&rig, &other, "b", "t", "1");
    rig_settle(&rig);
    uint64_t next = 1;
    for (uint32_t i = 0; i < POSTS; i++) {
        assert_int_equal(posts[i].a->first_id, next);
        next += i % 5 + 1;
        assert_int_equal(outcome(&posts[i]), next - 1);
        if (i > 0) assert_true(posts[i].done > posts[i - 1].done); /* in their order */
    }
    assert_int_equal(outcome(&other), 1);
    assert_int_equal(high_of(&rig, "b", "s"), next - 1);
}

/* What: the events of a batch keep their order, their bytes and their kind. */
static void batches_keep_their_events(void **state)
{
    (void)state;
    struct rig_post p = {.rig = &rig};
    const struct event_in events[] = {
        {IOR_SLICE("{\"a\": 1}"), true},
        {IOR_SLICE("\0\xff bin"), false},
        {IOR_SLICE(""), false},
        {IOR_SLICE("\"last\""), true},
    };
    assert_int_equal(
        append_new(IOR_SLICE("b"), IOR_SLICE("s"), events, 4, (struct ior_slice){NULL, 0}, &p.a),
        IOR_OK);
    rig_post_submit(&p);
    rig_settle(&rig);
    assert_int_equal(outcome(&p), 4);
    struct read *rd = rig_read_new("b", "s");
    rd->limit = 10;
    rig_read(&rig, rd);
    assert_int_equal(rd->count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(rd->events[i].id, i + 1);
        assert_int_equal(rd->events[i].json, events[i].json);
        assert_true(ior_slice_eq(rd->events[i].payload, events[i].payload));
    }
    read_free(rd);
}

static uint64_t time_of_put(uint64_t wall_ms)
{
    struct rig_post p;
    rig.wall_ms = wall_ms;
    rig_post(&rig, &p, "b", "s", "1");
    rig_settle(&rig);
    const uint64_t time_ms = p.a->time_ms;
    rig_post_free(&p);
    return time_ms;
}

/* What: the time of a stream never goes back when the wall clock does, neither behind committed
 * events nor behind those in flight, nor over a restart; another stream takes the clock as it is.
 */
static void time_never_decreases(void **state)
{
    (void)state;
    struct rig_post p[3];
    static const uint64_t walls[] = {5000, 3000, 6000};
    assert_int_equal(time_of_put(1000), 1000);
    assert_int_equal(time_of_put(400), 1000);
    assert_int_equal(time_of_put(1001), 1001);
    for (int i = 0; i < 3; i++) { /* all in flight at once */
        rig.wall_ms = walls[i];
        rig_post(&rig, &p[i], "b", "s", "1");
    }
    rig_settle(&rig);
    assert_int_equal(p[0].a->time_ms, 5000);
    assert_int_equal(p[1].a->time_ms, 5000);
    assert_int_equal(p[2].a->time_ms, 6000);
    for (int i = 0; i < 3; i++) rig_post_free(&p[i]);
    rig_close(&rig);
    rig_open(&rig);
    assert_int_equal(time_of_put(10), 6000);
    rig_post(&rig, &p[0], "b", "other", "1");
    rig_settle(&rig);
    assert_int_equal(p[0].a->time_ms, 10);
    rig_post_free(&p[0]);
}

/* ---- expectations ---- */

static void post_expecting(struct rig_post *p, enum append_expect expect, uint64_t last_id)
{
    rig_post_new(&rig, p, "b", "s", "1");
    p->a->expect = expect;
    p->a->expect_last_id = last_id;
    rig_post_submit(p);
}

static int64_t put_expecting(enum append_expect expect, uint64_t last_id)
{
    struct rig_post p;
    post_expecting(&p, expect, last_id);
    rig_settle(&rig);
    return outcome(&p);
}

/* What: the last id must be the expected one (0: nothing was ever appended), `none kept` holds only
 * for an empty stream, and a conflict appends nothing, not even the stream. */
static void expectations_are_judged(void **state)
{
    (void)state;
    assert_int_equal(put_expecting(EXPECT_LAST_ID, 1), -IOR_E_CONFLICT);
    expect_dump(&rig, "");
    assert_int_equal(put_expecting(EXPECT_LAST_ID, 0), 1);
    assert_int_equal(put_expecting(EXPECT_LAST_ID, 0), -IOR_E_CONFLICT);
    assert_int_equal(put_expecting(EXPECT_LAST_ID, 2), -IOR_E_CONFLICT);
    assert_int_equal(put_expecting(EXPECT_LAST_ID, UINT64_MAX), -IOR_E_CONFLICT);
    assert_int_equal(put_expecting(EXPECT_LAST_ID, 1), 2);
    assert_int_equal(put_expecting(EXPECT_NONE_KEPT, 0), -IOR_E_CONFLICT);
    assert_int_equal(put_expecting(EXPECT_ANY, 77), 3);
    rig_close(&rig);
    rig_open(&rig);
    assert_int_equal(put_expecting(EXPECT_LAST_ID, 2), -IOR_E_CONFLICT);
    assert_int_equal(put_expecting(EXPECT_LAST_ID, 3), 4);
    assert_int_equal(high_of(&rig, "b", "s"), 4);
}

/* What: `none kept` lets the first append of a stream through, and the conflict tells the last id.
 */
static void none_kept_lets_the_first_through(void **state)
{
    (void)state;
    struct rig_post p;
    assert_int_equal(put_expecting(EXPECT_NONE_KEPT, 0), 1);
    post_expecting(&p, EXPECT_NONE_KEPT, 0);
    rig_settle(&rig);
    assert_int_equal(p.a->last_id, 1);
    assert_int_equal(outcome(&p), -IOR_E_CONFLICT);
}

/* What: a conflict that was judged against an append in flight is answered only after that append
 * is committed, and with its id. */
static void conflict_waits_for_what_it_was_judged_by(void **state)
{
    (void)state;
    struct rig_post first, second, third;
    post_expecting(&first, EXPECT_LAST_ID, 0);
    post_expecting(&second, EXPECT_LAST_ID, 0);
    post_expecting(&third, EXPECT_LAST_ID, 1); /* right, if the first one commits */
    rig_turns(&rig);
    assert_int_equal(second.done, 0);
    assert_true(journal_begin(rig.node->journal));
    rig_turns(&rig);
    assert_int_equal(second.done, 0);
    journal_finish(rig.node->journal);
    rig_settle(&rig);
    assert_int_equal(second.a->last_id, 1);
    assert_int_equal(outcome(&first), 1);
    assert_int_equal(outcome(&second), -IOR_E_CONFLICT);
    assert_int_equal(outcome(&third), 2);
}

/* What: `none kept` too is judged against what is in flight: of two first appends at once one gets
 * through, and the other is told only when that is certain. */
static void none_kept_counts_what_is_in_flight(void **state)
{
    (void)state;
    struct rig_post first, second;
    post_expecting(&first, EXPECT_NONE_KEPT, 0);
    post_expecting(&second, EXPECT_NONE_KEPT, 0);
    rig_turns(&rig);
    assert_int_equal(second.done, 0);
    rig_settle(&rig);
    assert_int_equal(outcome(&first), 1);
    assert_int_equal(outcome(&second), -IOR_E_CONFLICT);
    assert_int_equal(high_of(&rig, "b", "s"), 1);
}

/* What: a conflict with nothing in flight is answered without waiting for the disk, but not inside
 * the call. */
static void settled_conflict_needs_no_disk(void **state)
{
    (void)state;
    struct rig_post p;
    rig_put(&rig, "b", "s", "1");
    post_expecting(&p, EXPECT_LAST_ID, 0);
    assert_int_equal(p.done, 0);
    rig_turns(&rig);
    assert_int_equal(outcome(&p), -IOR_E_CONFLICT);
    assert_false(rig_commit(&rig));
}

/* ---- durability=memory ---- */

static void post_memory(struct rig_post *p, const char *stream)
{
    rig_post_new(&rig, p, "b", stream, "1");
    p->a->durability = DURABILITY_MEMORY;
    rig_post_submit(p);
}

/* What: with memory durability `accepted` comes before the disk, and `done` after it; without, it
 * never comes. */
static void memory_is_accepted_first(void **state)
{
    (void)state;
    struct rig_post p, plain;
    post_memory(&p, "s");
    assert_int_equal(p.accepted, 0); /* not inside the call */
    rig_turns(&rig);
    assert_int_not_equal(p.accepted, 0);
    assert_int_equal(p.done, 0);
    assert_int_equal(high_of(&rig, "b", "s"), 0); /* not committed: not shown */
    rig_settle(&rig);
    assert_true(p.accepted < p.done);
    assert_int_equal(outcome(&p), 1);
    rig_post(&rig, &plain, "b", "s", "2");
    rig_settle(&rig);
    assert_int_equal(plain.accepted, 0);
    assert_int_equal(outcome(&plain), 2);
}

/* What: what conflicts or is refused was never accepted. */
static void refused_is_not_accepted(void **state)
{
    (void)state;
    struct rig_post p;
    rig_post_new(&rig, &p, "b", "s", "1");
    p.a->durability = DURABILITY_MEMORY;
    p.a->expect = EXPECT_LAST_ID;
    p.a->expect_last_id = 5;
    rig_post_submit(&p);
    rig_settle(&rig);
    assert_int_equal(p.accepted, 0);
    assert_int_equal(outcome(&p), -IOR_E_CONFLICT);
}

/* What: accepted, then lost: the client was told of memory only, and `done` says what became of it.
 */
static void accepted_may_be_lost(void **state)
{
    (void)state;
    struct rig_post p;
    post_memory(&p, "s");
    disk_sim_fail(rig.disk, DISK_SIM_SYNC, 1, IOR_E_IO, true);
    rig_settle(&rig);
    assert_true(p.accepted != 0 && p.accepted < p.done);
    assert_int_equal(outcome(&p), -IOR_E_IO);
}

/* ---- two workers ---- */

/* A message that runs a part of the test: in a strand, or on a worker. */
struct part {
    struct msg msg;
    void (*fn)(void);
};

static void run_part(struct msg *m)
{
    ((struct part *)(void *)m)->fn();
}

static struct rig_post crossing;
static struct vnode *crossing_vnode;

/* Inside of the vnode on worker 1: worker 0 submits meanwhile, so worker 1 will run it. */
static void submit_from_worker_0(void)
{
    rig_enter(&rig, 0);
    post_memory(&crossing, "s");
    rig_enter(&rig, 1);
}

static void do_nothing(void)
{
}

static void fill_vnode_queue(void)
{
    static struct part idle = {{.run = run_part}, do_nothing};
    assert_int_equal(strand_post(&crossing_vnode->strand, &idle.msg), IOR_OK);
}

/* On worker 0, in the middle of its turn: its mailbox has been emptied already. */
static void let_done_overtake(void)
{
    struct part inside = {{.run = run_part}, submit_from_worker_0};
    struct part elsewhere = {{.run = run_part}, fill_vnode_queue};
    struct strand other;
    rig_enter(&rig, 1);
    assert_int_equal(strand_post(&crossing_vnode->strand, &inside.msg), IOR_OK);
    rig_enter(&rig, 0);
    /* Now `accepted` is in worker 0's mailbox. Make the vnode wait for worker 0's turn... */
    strand_init(&other);
    assert_int_equal(strand_post(&other, &elsewhere.msg), IOR_OK);
    strand_done(&other);
    /* ... so that the commit, which worker 1 brings, is run by worker 0, in this turn. */
    assert_true(rig_commit(&rig));
    rig_enter(&rig, 1);
    worker_turn(&rig.workers[1]);
    rig_enter(&rig, 0);
}

/* What: when the commit overtakes the message that says `accepted` (three hands are needed for
 * that), `done` waits for it. */
static void done_never_overtakes_accepted(void **state)
{
    (void)state;
    uint64_t hash;
    struct part part = {{.run = run_part}, let_done_overtake};
    crossing_vnode = node_route(rig.node, IOR_SLICE("b"), IOR_SLICE("s"), &hash);
    worker_post(&rig.workers[0], &part.msg);
    worker_turn(&rig.workers[0]);
    assert_int_equal(crossing.done, 0);
    assert_true(crossing.a->done_waiting); /* it was overtaken: the test tests something */
    rig_settle(&rig);
    assert_true(crossing.accepted != 0 && crossing.accepted < crossing.done);
    assert_int_equal(outcome(&crossing), 1);
}

/* What: an append from another worker is answered on that worker. */
static void answered_where_submitted(void **state)
{
    (void)state;
    struct rig_post p[2];
    rig_post(&rig, &p[0], "b", "s", "1");
    rig_enter(&rig, 1);
    rig_post(&rig, &p[1], "b", "s", "2");
    rig_enter(&rig, 0);
    assert_true(rig_commit(&rig));
    for (int i = 0; i < 8; i++) worker_turn(&rig.workers[0]);
    assert_int_not_equal(p[0].done, 0);
    assert_int_equal(p[1].done, 0);
    rig_enter(&rig, 1);
    for (int i = 0; i < 8; i++) worker_turn(&rig.workers[1]);
    rig_enter(&rig, 0);
    assert_int_equal(outcome(&p[0]), 1);
    assert_int_equal(outcome(&p[1]), 2);
}

/* ---- where it goes ---- */

/* What: names of the greatest length are stored, found again and survive a restart. */
static void longest_names_work(void **state)
{
    (void)state;
    char bucket[BUCKET_BYTES_MAX + 1];
    char stream[STREAM_BYTES_MAX + 1];
    memset(bucket, 'b', sizeof bucket - 1);
    memset(stream, 's', sizeof stream - 1);
    bucket[sizeof bucket - 1] = stream[sizeof stream - 1] = 0;
    assert_int_equal(rig_put(&rig, bucket, stream, "1"), 1);
    rig_close(&rig);
    rig_open(&rig);
    assert_int_equal(rig_put(&rig, bucket, stream, "2"), 2);
    stream[sizeof stream - 2] = 0; /* one byte less is another stream */
    assert_int_equal(rig_put(&rig, bucket, stream, "1"), 1);
    bucket[sizeof bucket - 2] = 0;
    assert_int_equal(rig_put(&rig, bucket, stream, "1"), 1);
}

/* What: `x-$patch` lives in the vnode of `x`, whatever x is; the suffix alone is a name like any
 * other. */
static void patches_go_with_their_stream(void **state)
{
    (void)state;
    char name[32];
    char patch[48];
    uint64_t hash;
    uint64_t patch_hash;
    unsigned hit[8] = {0};
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "stream%d", i);
        snprintf(patch, sizeof patch, "%s-$patch", name);
        struct vnode *vn = node_route(rig.node, IOR_SLICE("b"), ior_slice_str(name), &hash);
        struct vnode *vp = node_route(rig.node, IOR_SLICE("b"), ior_slice_str(patch), &patch_hash);
        assert_ptr_equal(vn, vp);
        assert_true(hash != patch_hash);
        hit[vn->partition]++;
    }
    for (int i = 0; i < 8; i++) assert_true(hit[i] > 20); /* they do spread */
    struct vnode *alone = node_route(rig.node, IOR_SLICE("b"), IOR_SLICE("-$patch"), &hash);
    assert_int_equal(alone->partition, hash % 8);
}

/* What: a stream and its patches are two streams, each with its own ids. */
static void patches_count_by_themselves(void **state)
{
    (void)state;
    assert_int_equal(rig_put(&rig, "b", "x", "1"), 1);
    assert_int_equal(rig_put(&rig, "b", "x", "2"), 2);
    assert_int_equal(rig_put(&rig, "b", "x-$patch", "[]"), 1);
    assert_int_equal(rig_put(&rig, "b", "x", "3"), 3);
    expect_dump(&rig, "b/x 1 1700000000 j 1\nb/x 2 1700000000 j 2\nb/x 3 1700000000 j 3\nb/x 1..3\n"
                      "b/x-$patch 1 1700000000 j []\nb/x-$patch 1..1\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(answered_after_the_sync),
        TEST(ids_are_dense),
        TEST(batches_keep_their_events),
        TEST(time_never_decreases),
        TEST(expectations_are_judged),
        TEST(none_kept_lets_the_first_through),
        TEST(none_kept_counts_what_is_in_flight),
        TEST(conflict_waits_for_what_it_was_judged_by),
        TEST(settled_conflict_needs_no_disk),
        TEST(memory_is_accepted_first),
        TEST(refused_is_not_accepted),
        TEST(accepted_may_be_lost),
        TEST(done_never_overtakes_accepted),
        TEST(answered_where_submitted),
        TEST(longest_names_work),
        TEST(patches_go_with_their_stream),
        TEST(patches_count_by_themselves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

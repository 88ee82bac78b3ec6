/* test/unit/core/test_append_refused.c - appends that are not taken, or are given up: a failed
 * disk, a full one, every bound, a node that stops. */
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

static void post_expecting(struct rig_post *p, enum append_expect expect, uint64_t last_id)
{
    rig_post_new(&rig, p, "b", "s", "1");
    p->a->expect = expect;
    p->a->expect_last_id = last_id;
    rig_post_submit(p);
}

/* ---- the journal gives up ---- */

/* What: when the sync fails, what waits is given up: no conflict is claimed against an append that
 * never was; nothing of it is seen; later appends fail at once with IO, and reads go on. */
static void failed_sync_gives_up(void **state)
{
    (void)state;
    struct rig_post first, conflict, behind, late;
    rig_put(&rig, "b", "old", "1");
    post_expecting(&first, EXPECT_LAST_ID, 0);
    post_expecting(&conflict, EXPECT_LAST_ID, 0);
    rig_post(&rig, &behind, "b", "s", "2");
    disk_sim_fail(rig.disk, DISK_SIM_SYNC, 1, IOR_E_IO, true);
    rig_settle(&rig);
    assert_int_equal(outcome(&first), -IOR_E_IO);
    assert_int_equal(outcome(&conflict), -IOR_E_IO);
    assert_int_equal(outcome(&behind), -IOR_E_IO);
    expect_dump(&rig, "b/old 1 1700000000 j 1\nb/old 1..1\n");
    assert_true(journal_failed(rig.node->journal));
    rig_post(&rig, &late, "b", "old", "2");
    rig_settle(&rig);
    assert_int_equal(outcome(&late), -IOR_E_IO);
    disk_sim_fail(rig.disk, DISK_SIM_SYNC, 0, IOR_OK, false);
    rig_post(&rig, &late, "b", "old", "2"); /* sticky: nobody believes a later sync */
    rig_settle(&rig);
    assert_int_equal(outcome(&late), -IOR_E_IO);
    assert_int_equal(atomic_load(&rig.node->inflight_bytes), 0);
}

/* What: appends to new streams that a failed node refuses leave nothing behind: it does not grow.
 */
static void refused_streams_are_forgotten(void **state)
{
    (void)state;
    struct rig_post p;
    uint64_t hash;
    rig_post(&rig, &p, "b", "s", "1");
    disk_sim_fail(rig.disk, DISK_SIM_SYNC, 1, IOR_E_IO, true);
    rig_settle(&rig);
    assert_int_equal(outcome(&p), -IOR_E_IO);
    rig_post(&rig, &p, "b", "s", "1");
    rig_settle(&rig);
    assert_int_equal(outcome(&p), -IOR_E_IO);
    struct vnode *vn = node_route(rig.node, IOR_SLICE("b"), IOR_SLICE("s"), &hash);
    assert_null(stream_find(&vn->streams, IOR_SLICE("b"), IOR_SLICE("s"), hash));
    assert_int_equal(vn->streams.by_name.count, 0);
}

/* Fill the active segment and the spare, until the next one is needed and cannot be made. */
static uint64_t fill_the_disk(void)
{
    static char big[20000];
    struct rig_post p;
    memset(big, ' ', sizeof big - 1);
    big[0] = '1';
    disk_sim_set_limit(rig.disk, disk_sim_used_bytes(rig.disk));
    for (uint64_t n = 0;; n++) {
        assert_true(n < 100);
        rig_post(&rig, &p, "b", "full", big);
        rig_settle(&rig);
        if (p.a->err == IOR_OK) {
            rig_post_free(&p);
            continue;
        }
        assert_int_equal(outcome(&p), -IOR_E_NOSPC);
        return n;
    }
}

/* What: on a full disk appends are given up with NOSPC, their ids are given again, and as soon as
 * there is room appends go on without a restart. */
static void full_disk_is_not_the_end(void **state)
{
    (void)state;
    struct rig_post p, conflict;
    const uint64_t high = fill_the_disk();
    assert_true(high > 0);
    assert_int_equal(high_of(&rig, "b", "full"), high);
    assert_true(journal_full(rig.node->journal));
    rig_post(&rig, &p, "b", "new", "1");
    rig_post_new(&rig, &conflict, "b", "new", "2");
    conflict.a->expect = EXPECT_LAST_ID; /* 0: wrong, once the first one commits */
    rig_post_submit(&conflict);
    rig_settle(&rig);
    assert_int_equal(outcome(&p), -IOR_E_NOSPC);
    assert_int_equal(outcome(&conflict), -IOR_E_NOSPC);
    assert_int_equal(high_of(&rig, "b", "new"), 0);
    disk_sim_set_limit(rig.disk, UINT64_MAX);
    rig.mono_us += JOURNAL_NOSPC_RETRY_MS * 1000u + 1;
    assert_int_equal(rig_put(&rig, "b", "full", "1"), high + 1);
    assert_int_equal(rig_put(&rig, "b", "new", "1"), 1);
    assert_false(journal_full(rig.node->journal));
}

/* What: an append that is submitted while earlier ones of its partition are being given up is LOST:
 * it was numbered behind what never came to be; a moment later the same append works. */
static void late_comers_are_lost(void **state)
{
    (void)state;
    struct rig_post first, late, again;
    fill_the_disk();
    rig_post(&rig, &first, "b", "s", "1");
    assert_false(rig_commit(&rig)); /* given up; nobody has heard of it yet */
    rig_post(&rig, &late, "b", "s", "2");
    rig_settle(&rig);
    assert_int_equal(outcome(&first), -IOR_E_NOSPC);
    assert_int_equal(outcome(&late), -IOR_E_LOST);
    disk_sim_set_limit(rig.disk, UINT64_MAX);
    rig.mono_us += JOURNAL_NOSPC_RETRY_MS * 1000u + 1;
    rig_post(&rig, &again, "b", "s", "3");
    rig_settle(&rig);
    assert_int_equal(outcome(&again), 1);
}

/* What: appends of one stream from two workers are given up together: until both workers have
 * heard, nobody is answered and what comes meanwhile is LOST; no reservation outlives it. */
static void giving_up_waits_for_both_workers(void **state)
{
    (void)state;
    struct rig_post p[2], late, again;
    fill_the_disk();
    rig_post(&rig, &p[0], "b", "s", "1");
    rig_enter(&rig, 1);
    rig_post(&rig, &p[1], "b", "s", "2");
    rig_enter(&rig, 0);
    assert_false(rig_commit(&rig));
    for (int i = 0; i < 4; i++) worker_turn(&rig.workers[0]);
    assert_int_equal(p[0].done + p[1].done, 0); /* worker 1 has its answer still in the mail */
    disk_sim_set_limit(rig.disk, UINT64_MAX);
    rig.mono_us += JOURNAL_NOSPC_RETRY_MS * 1000u + 1;
    rig_post(&rig, &late, "b", "s", "3");
    rig_settle(&rig);
    assert_int_equal(outcome(&p[0]), -IOR_E_NOSPC);
    assert_int_equal(outcome(&p[1]), -IOR_E_NOSPC);
    assert_int_equal(outcome(&late), -IOR_E_LOST);
    rig_post(&rig, &again, "b", "s", "4");
    rig_settle(&rig);
    assert_int_equal(outcome(&again), 1);
}

/* What: what was given up is not there after a restart either, and ids stay dense. */
static void given_up_is_gone_for_good(void **state)
{
    (void)state;
    struct rig_post p;
    rig_put(&rig, "b", "s", "1");
    rig_post(&rig, &p, "b", "s", "2");
    disk_sim_fail(rig.disk, DISK_SIM_WRITE, 1, IOR_E_NOSPC, false); /* a write into old blocks */
    rig_settle(&rig);
    assert_int_equal(outcome(&p), -IOR_E_IO);
    rig_drop(&rig);
    disk_sim_crash(rig.disk, DISK_SIM_LOSE_ALL);
    rig_open(&rig);
    assert_int_equal(rig_put(&rig, "b", "s", "3"), 2);
    expect_dump(&rig, "b/s 1 1700000000 j 1\nb/s 2 1700000000 j 3\nb/s 1..2\n");
}

/* ---- bounds ---- */

/* A message that runs a part of the test: in a strand, or on a worker. */
struct part {
    struct msg msg;
    void (*fn)(void);
};

static void run_part(struct msg *m)
{
    ((struct part *)(void *)m)->fn();
}

/* What: above memory.inflight appends are refused with INFLIGHT until the disk has caught up; one
 * alone is always let through, however large. */
static void inflight_is_bounded(void **state)
{
    (void)state;
    static char large[40000];
    struct rig_post p[3];
    memset(large, '7', sizeof large - 1);
    rig_close(&rig);
    rig.params.inflight_bytes_max = 20000;
    rig_open(&rig);
    rig_post(&rig, &p[0], "b", "s", large);
    assert_int_equal(p[0].submitted, IOR_OK);
    rig_post(&rig, &p[1], "b", "s", "1");
    assert_int_equal(p[1].submitted, IOR_E_INFLIGHT);
    rig_settle(&rig);
    assert_int_equal(outcome(&p[0]), 1);
    assert_int_equal(atomic_load(&rig.node->inflight_bytes), 0);
    rig_post_submit(&p[1]); /* refused means still mine */
    rig_post(&rig, &p[2], "b", "s", "2");
    rig_settle(&rig);
    assert_int_equal(p[1].done != 0 ? outcome(&p[1]) : 0, 2);
    assert_int_equal(outcome(&p[2]), 3);
}

/* What: when memory.tail is full appends are refused with TAILFULL, nothing is counted twice, and a
 * restart with more memory takes them again. */
static void tail_is_bounded(void **state)
{
    (void)state;
    struct rig_post p;
    uint64_t high = 0;
    rig_close(&rig);
    rig.params.tail_bytes_max = 8192;
    rig_open(&rig);
    for (;;) {
        rig_post(&rig, &p, "b", "s", "\"about a hundred bytes with everything that is around it\"");
        if (p.submitted != IOR_OK) break;
        rig_settle(&rig);
        assert_int_equal(outcome(&p), ++high);
        assert_true(high < 200);
    }
    assert_int_equal(p.submitted, IOR_E_TAILFULL);
    rig_post_free(&p);
    assert_true(high > 10);
    assert_true(atomic_load(&rig.node->memory.tail_bytes) <= 8192);
    assert_int_equal(atomic_load(&rig.node->inflight_bytes), 0);
    assert_int_equal(high_of(&rig, "b", "s"), high);
    rig_close(&rig);
    rig.params.tail_bytes_max = 1 << 20;
    rig_open(&rig);
    assert_int_equal(rig_put(&rig, "b", "s", "1"), high + 1);
}

static struct rig_post *crowd;
static struct rig_post one_too_many;

static void submit_a_crowd(void)
{
    crowd = calloc(STRAND_QUEUE_MAX, sizeof *crowd);
    assert_non_null(crowd);
    for (int i = 0; i < STRAND_QUEUE_MAX; i++) rig_post(&rig, &crowd[i], "b", "s", "1");
    rig_post(&rig, &one_too_many, "b", "s", "2");
}

/* What: when a vnode's queue is full the next append is BUSY, is still the caller's and counts for
 * nothing; everything that was taken gets its id. */
static void full_vnode_is_busy(void **state)
{
    (void)state;
    uint64_t hash;
    struct part part = {{.run = run_part}, submit_a_crowd};
    struct vnode *vn = node_route(rig.node, IOR_SLICE("b"), IOR_SLICE("s"), &hash);
    assert_int_equal(strand_post(&vn->strand, &part.msg), IOR_OK);
    assert_int_equal(one_too_many.submitted, IOR_E_BUSY);
    rig_settle(&rig);
    for (int i = 0; i < STRAND_QUEUE_MAX; i++) assert_int_equal(outcome(&crowd[i]), i + 1);
    assert_int_equal(atomic_load(&rig.node->inflight_bytes), 0);
    rig_post_submit(&one_too_many);
    rig_settle(&rig);
    assert_int_equal(outcome(&one_too_many), STRAND_QUEUE_MAX + 1);
    free(crowd);
}

/* What: an append that no record can hold is TOOLARGE before a byte is copied: one event, or the
 * sum of many. */
static void too_large_is_refused(void **state)
{
    (void)state;
    static const uint8_t byte = 0;
    struct append *a = NULL;
    struct event_in one = {ior_slice(&byte, RECORD_BYTES_MAX), false};
    assert_int_equal(
        append_new(IOR_SLICE("b"), IOR_SLICE("s"), &one, 1, (struct ior_slice){NULL, 0}, &a),
        IOR_E_TOOLARGE);
    struct event_in two[2] = {{ior_slice(&byte, RECORD_BYTES_MAX / 2), false},
                              {ior_slice(&byte, RECORD_BYTES_MAX / 2), false}};
    assert_int_equal(
        append_new(IOR_SLICE("b"), IOR_SLICE("s"), two, 2, (struct ior_slice){NULL, 0}, &a),
        IOR_E_TOOLARGE);
    assert_null(a);
    append_free(NULL);
}

/* What: while the node stops, appends are refused with CLOSING, and what was taken before is
 * written. */
static void stopping_takes_no_more(void **state)
{
    (void)state;
    struct rig_post taken, late;
    rig_post(&rig, &taken, "b", "s", "1");
    rig_turns(&rig);
    journal_close(rig.node->journal);
    rig_post(&rig, &late, "b", "s", "2");
    rig_settle(&rig);
    assert_int_equal(outcome(&taken), 1);
    assert_int_equal(outcome(&late), -IOR_E_CLOSING);
    rig_drop(&rig);
    rig_open(&rig);
    assert_true(rig.report.marked);
    expect_dump(&rig, "b/s 1 1700000000 j 1\nb/s 1..1\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(failed_sync_gives_up),
        TEST(refused_streams_are_forgotten),
        TEST(full_disk_is_not_the_end),
        TEST(late_comers_are_lost),
        TEST(giving_up_waits_for_both_workers),
        TEST(given_up_is_gone_for_good),
        TEST(inflight_is_bounded),
        TEST(tail_is_bounded),
        TEST(full_vnode_is_busy),
        TEST(too_large_is_refused),
        TEST(stopping_takes_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

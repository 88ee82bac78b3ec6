/* test/unit/core/test_quota.c - src/core/quota.c and quota_count.c: what a bucket may hold. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/metrics.h"
#include "core/quota.h"
#include "sweep_rig.h"

static struct rig rig;

static int set_up(void **state)
{
    (void)state;
    rig_init(&rig);
    rig.wall_ms = SR_WALL_MS;
    rig_open(&rig);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_done(&rig);
    return 0;
}

static void limit(uint64_t streams, uint64_t bytes)
{
    quotas_set(rig.node->quotas, streams, bytes);
    rig.mono_us += 11000000; /* past the time in which a count is not exact */
}

/* What was wanted is counted. */
static void tick(void)
{
    quotas_tick(rig.node->quotas);
    rig_settle(&rig);
    assert_int_equal(atomic_load(&rig.node->surveys), 0);
}

/* The last id, or the error as a negative number. */
static int64_t put(const char *bucket, const char *stream, const char *json)
{
    struct rig_post p;
    rig_post(&rig, &p, bucket, stream, json);
    rig_settle(&rig);
    return outcome(&p);
}

/* `bytes` of JSON text, 2 at least. */
static int64_t put_bytes(const char *bucket, const char *stream, size_t bytes)
{
    char json[8192];
    assert_true(bytes >= 2 && bytes < sizeof json);
    memset(json, 'x', bytes);
    json[0] = json[bytes - 1] = '"';
    json[bytes] = 0;
    return put(bucket, stream, json);
}

static void on_trimmed(struct trim *t)
{
    t->user[0]++;
}

static void trim(const char *bucket, const char *stream, bool all, uint64_t to)
{
    struct trim *t = NULL;
    assert_int_equal(trim_new(ior_slice_str(bucket), ior_slice_str(stream), &t), IOR_OK);
    t->all = all;
    t->to = to;
    assert_int_equal(iorio_trim(rig.node, t, on_trimmed), IOR_OK);
    rig_settle(&rig);
    assert_int_equal(t->user[0], 1);
    assert_int_equal(t->err, IOR_OK);
    trim_free(t);
}

static void expect_count(const char *bucket, bool known, int64_t streams, int64_t bytes)
{
    struct quota *q = NULL;
    struct quota_sum c;
    assert_int_equal(quota_get(rig.node->quotas, ior_slice_str(bucket), &q), IOR_OK);
    assert_int_equal(quota_known(q, &c), known);
    quota_unref(q);
    assert_int_equal(c.streams, streams);
    assert_int_equal(c.bytes, bytes);
}

static uint64_t counts(void)
{
    return (uint64_t)metric_value(METRIC_quota_counts);
}

/* What: without limits nothing is counted, and nothing is refused. */
static void off(void **state)
{
    (void)state;
    uint64_t before = counts();
    assert_false(quotas_on(rig.node->quotas));
    for (int i = 0; i < 20; i++) assert_int_equal(put("b", "s", "1"), i + 1);
    trim("b", "s", true, 0);
    tick();
    assert_int_equal(counts(), before);
    expect_count("b", false, 0, 0);
}

/* What: one stream more than the limit is refused, and nothing of it is left; streams that are
 * there go on, other buckets do too; a deletion makes room for one, and for one only. */
static void streams(void **state)
{
    (void)state;
    uint64_t refused = (uint64_t)metric_value(METRIC_limited_streams);
    limit(3, 0);
    assert_int_equal(put("b", "s1", "1"), 1);
    tick();
    assert_int_equal(put("b", "s2", "1"), 1);
    assert_int_equal(put("b", "s3", "1"), 1);
    assert_int_equal(put("b", "s4", "1"), -IOR_E_QUOTASTREAMS);
    assert_int_equal(put("b", "s3", "1"), 2);
    assert_int_equal(put("c", "s4", "1"), 1);
    expect_count("b", true, 3, 4);
    assert_int_equal(high_of(&rig, "b", "s4"), 0);
    trim("b", "s1", true, 0);
    trim("b", "s1", true, 0); /* it is gone already */
    assert_int_equal(put("b", "s4", "1"), 1);
    assert_int_equal(put("b", "s1", "1"), -IOR_E_QUOTASTREAMS); /* it would come back */
    expect_count("b", true, 3, 4);
    trim("b", "s2", false, 1); /* empty, but still in the lists */
    assert_int_equal(put("b", "s1", "1"), -IOR_E_QUOTASTREAMS);
    trim("b", "s2", true, 0);
    assert_int_equal(put("b", "s1", "1"), 2); /* its ids go on */
    expect_count("b", true, 3, 4);
    assert_int_equal((uint64_t)metric_value(METRIC_limited_streams), refused + 3);
}

/* What: an append that fills the bucket to the byte is taken, one more byte is not; what is removed
 *       makes room at once. */
static void bytes(void **state)
{
    (void)state;
    limit(0, 100);
    assert_int_equal(put_bytes("b", "s", 40), 1);
    tick();
    assert_int_equal(put_bytes("b", "t", 50), 1);
    assert_int_equal(put_bytes("b", "s", 11), -IOR_E_QUOTABYTES);
    assert_int_equal(put_bytes("b", "new", 11), -IOR_E_QUOTABYTES);
    assert_int_equal(put_bytes("b", "s", 10), 2);
    expect_count("b", true, 2, 100);
    assert_int_equal(put("b", "s", "1"), -IOR_E_QUOTABYTES);
    assert_int_equal(put("c", "s", "1"), 1);
    trim("b", "s", false, 1);
    expect_count("b", true, 2, 60);
    assert_int_equal(put_bytes("b", "s", 41), -IOR_E_QUOTABYTES);
    assert_int_equal(put_bytes("b", "s", 40), 3); /* the id was not used up */
    trim("b", "t", true, 0);
    expect_count("b", true, 1, 50);
    expect_dump(&rig, "b/s 2 1700000000000 j \"xxxxxxxx\"\n"
                      "b/s 3 1700000000000 j \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"\n"
                      "b/s 2..3\nc/s 1 1700000000000 j 1\nc/s 1..1\n");
}

/* What: with a policy that removes as much as comes, a full bucket goes on. */
static void policies_make_room(void **state)
{
    (void)state;
    sr_set(&rig, "b", "s", "{\"max_events\":2}");
    limit(0, 100);
    assert_int_equal(put_bytes("b", "s", 50), 1);
    tick();
    assert_int_equal(put_bytes("b", "s", 50), 2);
    expect_count("b", true, 1, 100);
    assert_int_equal(put_bytes("b", "s", 50), 3); /* one comes, one goes */
    assert_int_equal(put_bytes("b", "t", 2), -IOR_E_QUOTABYTES);
    assert_int_equal(put_bytes("b", "s", 20), 4);
    expect_count("b", true, 1, 70);
    sr_set(&rig, "b", "s", "{\"max_events\":1}");
    sr_sweep(&rig);
    expect_count("b", true, 1, 20);
    assert_int_equal(put_bytes("b", "t", 80), 1);
    expect_count("b", true, 2, 100);
}

/* What: a batch is counted as a whole: it is taken or refused, all of it. */
static void batches(void **state)
{
    (void)state;
    struct event_in events[4] = {
        {IOR_SLICE("11"), true}, {IOR_SLICE("22"), true}, {IOR_SLICE("33"), true}};
    limit(0, 10);
    assert_int_equal(put_bytes("b", "s", 5), 1);
    tick();
    for (int n = 3; n >= 2; n--) {
        struct rig_post p = {.rig = &rig};
        assert_int_equal(append_new(IOR_SLICE("b"), IOR_SLICE("s"), events, (size_t)n,
                                    (struct ior_slice){NULL, 0}, &p.a),
                         IOR_OK);
        rig_post_submit(&p);
        rig_settle(&rig);
        assert_int_equal(outcome(&p), n == 3 ? -IOR_E_QUOTABYTES : 3);
    }
    expect_count("b", true, 1, 9);
}

/* What: before the bucket was counted everything is let through; then what is there counts,
 *       however it came. */
static void first_count(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) assert_int_equal(put_bytes("b", "old", 10), i + 1);
    limit(2, 100);
    assert_int_equal(put_bytes("b", "s1", 10), 1);
    assert_int_equal(put_bytes("b", "s2", 10), 1); /* above 2, but nobody knows yet */
    expect_count("b", false, 2, 20);
    assert_int_equal(metric_value(METRIC_quota_waiting), 1);
    tick();
    assert_int_equal(metric_value(METRIC_quota_waiting), 0);
    expect_count("b", true, 3, 70);
    assert_int_equal(put_bytes("b", "s3", 10), -IOR_E_QUOTASTREAMS);
    assert_int_equal(put_bytes("b", "s2", 31), -IOR_E_QUOTABYTES);
    assert_int_equal(put_bytes("b", "s2", 30), 2);
}

static void fill(const char *bucket, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%u", i);
        assert_int_equal(put_bytes(bucket, name, 10), 1);
    }
}

/* What: after a restart, with all in the catalog or half of it in the journal, the count is what it
 *       was. */
static void survives_restarts(void **state)
{
    (void)state;
    rig.params.bucket_streams_max = 1000;
    rig_close(&rig);
    rig_open(&rig);
    fill("b", 0, 300);
    trim("b", "s7", true, 0);
    sr_cool(&rig);
    assert_int_equal(put_bytes("b", "s0", 10), 2);
    tick();
    expect_count("b", true, 299, 3000);
    fill("b", 300, 50); /* these only in the journal */
    trim("b", "s8", true, 0);
    expect_count("b", true, 348, 3490);
    rig_close(&rig);
    rig_open(&rig);
    expect_count("b", false, 0, 0);
    assert_int_equal(put_bytes("b", "s0", 10), 3);
    tick();
    expect_count("b", true, 348, 3500);
    assert_int_equal(rig_checkpoint(&rig), IOR_OK);
    expect_count("b", true, 348, 3500);
    rig.params.bucket_streams_max = 348;
    rig_close(&rig);
    rig_open(&rig);
    assert_int_equal(put_bytes("b", "s9", 10), 2);
    tick();
    assert_int_equal(put_bytes("b", "more", 10), -IOR_E_QUOTASTREAMS);
}

/* What: streams that leave memory and come back change nothing; nor is the bucket counted again. */
static void streams_come_and_go(void **state)
{
    (void)state;
    limit(100, 0);
    fill("b", 0, 20);
    tick();
    uint64_t before = counts();
    for (int round = 0; round < 3; round++) {
        assert_int_equal(rig_checkpoint(&rig), IOR_OK);
        rig.mono_us += rig.params.stream_idle_ms * 1000 + 1000000;
        for (unsigned i = 0; i < rig.params.ring_size; i++) vnode_tick(&rig.node->vnodes[i]);
        rig_settle(&rig);
        assert_int_equal(atomic_load(&rig.node->memory.streams), 0);
        expect_count("b", true, 20, 200 + round * 10);
        assert_int_equal(put_bytes("b", "s3", 10), round + 2);
        tick();
        expect_count("b", true, 20, 210 + round * 10);
    }
    assert_int_equal(counts(), before);
}

/* What: appends that are under way when the bucket is counted make the count inexact: it is made
 *       again after eviction.interval, and then it is right. */
static void changes_while_it_is_counted(void **state)
{
    (void)state;
    struct rig_post p[3];
    limit(0, 1000);
    assert_int_equal(put_bytes("b", "s", 10), 1);
    for (int i = 0; i < 3; i++) {
        char name[8];
        snprintf(name, sizeof name, "t%d", i);
        rig_post(&rig, &p[i], "b", name, "12345");
    }
    quotas_tick(rig.node->quotas);
    rig_turns(&rig); /* counted; the journal has not written the three yet */
    assert_int_equal(atomic_load(&rig.node->surveys), 0);
    uint64_t before = counts();
    rig_settle(&rig);
    for (int i = 0; i < 3; i++) assert_int_equal(outcome(&p[i]), 1);
    tick();
    assert_int_equal(counts(), before); /* not due yet */
    rig.mono_us += rig.params.eviction_interval_ms * 1000 + 1000000;
    tick();
    assert_int_equal(counts(), before + 1);
    expect_count("b", true, 4, 25);
    rig.mono_us += rig.params.eviction_interval_ms * 1000 + 1000000;
    tick();
    assert_int_equal(counts(), before + 1); /* that one was exact */
}

/* What: appends that are given up give back what they took. */
static void given_up(void **state)
{
    (void)state;
    static char big[20000];
    struct rig_post p, q;
    limit(0, 1 << 20);
    memset(big, ' ', sizeof big - 1);
    big[0] = '1';
    assert_int_equal(put("b", "full", "1"), 1);
    tick();
    disk_sim_set_limit(rig.disk, disk_sim_used_bytes(rig.disk));
    int64_t full = 1;
    while (put("b", "full", big) > 0) full += (int64_t)(sizeof big - 1);
    while (put("b", "full", "12345") > 0) full += 5;
    assert_int_equal(put("b", "full", "12345"), -IOR_E_NOSPC);
    expect_count("b", true, 1, full);
    rig_post(&rig, &p, "b", "new", "12345");
    rig_post(&rig, &q, "b", "full", "12345");
    expect_count("b", true, 2, full + 10); /* taken while they are on their way */
    rig_settle(&rig);
    assert_int_equal(outcome(&p), -IOR_E_NOSPC);
    assert_int_equal(outcome(&q), -IOR_E_NOSPC);
    expect_count("b", true, 1, full);
    disk_sim_set_limit(rig.disk, UINT64_MAX);
}

/* What: two appends on their way cannot both take the last place. */
static void last_place(void **state)
{
    (void)state;
    struct rig_post p, q;
    limit(2, 0);
    assert_int_equal(put("b", "s", "1"), 1);
    tick();
    rig_post(&rig, &p, "b", "t", "1");
    rig_enter(&rig, 1);
    rig_post(&rig, &q, "b", "u", "1");
    rig_enter(&rig, 0);
    rig_settle(&rig);
    int64_t a = outcome(&p);
    int64_t b = outcome(&q);
    assert_true((a == 1 && b == -IOR_E_QUOTASTREAMS) || (b == 1 && a == -IOR_E_QUOTASTREAMS));
    expect_count("b", true, 2, 2);
}

/* What: a condition that does not hold, and a key that is known, are answered as ever in a full
 *       bucket. */
static void answers_in_front(void **state)
{
    (void)state;
    struct rig_post p;
    struct event_in e = {IOR_SLICE("1"), true};
    limit(1, 2);
    for (int i = 0; i < 2; i++) {
        p = (struct rig_post){.rig = &rig};
        assert_int_equal(append_new(IOR_SLICE("b"), IOR_SLICE("s"), &e, 1, IOR_SLICE("key"), &p.a),
                         IOR_OK);
        rig_post_submit(&p);
        rig_settle(&rig);
        assert_int_equal(outcome(&p), 1);
        tick();
    }
    assert_int_equal(put("b", "s", "1"), 2);
    rig_post_new(&rig, &p, "b", "s", "1");
    p.a->expect = EXPECT_LAST_ID;
    rig_post_submit(&p);
    rig_settle(&rig);
    assert_int_equal(outcome(&p), -IOR_E_CONFLICT);
    assert_int_equal(put("b", "s", "1"), -IOR_E_QUOTABYTES);
}

/* What: limits come and go while the node runs: what happened meanwhile is counted; other numbers
 *       hold at once. */
static void at_run_time(void **state)
{
    (void)state;
    limit(2, 0);
    fill("b", 0, 2);
    tick();
    assert_int_equal(put("b", "more", "1"), -IOR_E_QUOTASTREAMS);
    limit(3, 0);
    assert_int_equal(put("b", "more", "1"), 1);
    limit(0, 0);
    fill("b", 2, 5);
    trim("b", "s0", true, 0);
    limit(4, 0);
    assert_int_equal(put("b", "even more", "1"), 1); /* not known yet */
    tick();
    expect_count("b", true, 8, 62);
    assert_int_equal(put("b", "one more", "1"), -IOR_E_QUOTASTREAMS);
}

/* What: right behind the switch no count passes for exact, as there may be appends on their way
 * that nobody has taken. */
static void switched_on_with_appends_on_their_way(void **state)
{
    (void)state;
    struct rig_post p;
    assert_int_equal(put("b", "s", "1"), 1);
    rig_post(&rig, &p, "b", "t", "12345");
    quotas_set(rig.node->quotas, 100, 0);
    struct rig_post q;
    rig_post(&rig, &q, "b", "s", "1");
    quotas_tick(rig.node->quotas);
    rig_turns(&rig);
    rig_settle(&rig);
    assert_int_equal(outcome(&p), 1);
    assert_int_equal(outcome(&q), 2);
    rig.mono_us += rig.params.eviction_interval_ms * 1000 + 11000000;
    tick();
    expect_count("b", true, 2, 7);
}

/* What: many buckets wait and are all counted, one after the other. */
static void many_buckets(void **state)
{
    (void)state;
    limit(10, 0);
    for (int i = 0; i < 200; i++) {
        char bucket[16];
        snprintf(bucket, sizeof bucket, "b%d", i);
        for (int k = 0; k <= i % 3; k++)
            assert_int_equal(put(bucket, k == 0 ? "s" : k == 1 ? "t" : "u", "1"), 1);
    }
    tick();
    for (int i = 0; i < 200; i++) {
        char bucket[16];
        snprintf(bucket, sizeof bucket, "b%d", i);
        expect_count(bucket, true, i % 3 + 1, i % 3 + 1);
    }
}

/* What: more buckets than are kept push out those that nobody has, oldest first. */
static void kept_buckets_are_bounded(void **state)
{
    (void)state;
    limit(10, 0);
    assert_int_equal(put("held", "s", "1"), 1);
    tick();
    for (unsigned i = 0; i < QUOTA_BUCKETS_KEPT + 1000; i++) {
        struct quota *q = NULL;
        struct quota *same = NULL;
        assert_int_equal(quota_get(rig.node->quotas, ior_slice(&i, sizeof i), &q), IOR_OK);
        quota_give(q, (struct quota_sum){-7, 0});
        if (i % 1000 == 0) {
            assert_int_equal(quota_get(rig.node->quotas, ior_slice(&i, sizeof i), &same), IOR_OK);
            assert_ptr_equal(q, same);
            quota_unref(same);
        }
        quota_unref(q);
    }
    struct quota_sum c;
    struct quota *q = NULL;
    unsigned gone = 0;
    for (unsigned i = 0; i < 500; i++) {
        assert_int_equal(quota_get(rig.node->quotas, ior_slice(&i, sizeof i), &q), IOR_OK);
        (void)quota_known(q, &c);
        gone += c.streams == 0;
        quota_unref(q);
    }
    assert_true(gone == 500);
    unsigned last = QUOTA_BUCKETS_KEPT + 999;
    assert_int_equal(quota_get(rig.node->quotas, ior_slice(&last, sizeof last), &q), IOR_OK);
    (void)quota_known(q, &c);
    quota_unref(q);
    assert_int_equal(c.streams, 7);
    expect_count("held", true, 1, 1);
}

/* What: a node that stops counts no further, and one that counts stops. */
static void stops(void **state)
{
    (void)state;
    limit(10, 0);
    assert_int_equal(put("b", "s", "1"), 1);
    quotas_tick(rig.node->quotas);
    atomic_store(&rig.node->surveys_stop, true);
    rig_settle(&rig);
    assert_int_equal(atomic_load(&rig.node->surveys), 0);
    expect_count("b", false, 1, 1);
    tick();
    expect_count("b", false, 1, 1);
    rig_close(&rig);
    rig_open(&rig);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(off),
        T(streams),
        T(bytes),
        T(policies_make_room),
        T(batches),
        T(first_count),
        T(survives_restarts),
        T(streams_come_and_go),
        T(changes_while_it_is_counted),
        T(given_up),
        T(last_place),
        T(answers_in_front),
        T(at_run_time),
        T(switched_on_with_appends_on_their_way),
        T(many_buckets),
        T(kept_buckets_are_bounded),
        T(stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/core/test_patch_races.c - patches at the same time as others: turns, computing beside
 * the strand while the stream goes on, reservations that are lost, lack of memory. */
#include "base/metrics.h"
#include "no_memory.h"
#include "patched.h"

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

/* Turns of the workers, but nothing of the disk pool. */
static void turns_only(void)
{
    while (rig_turn(&rig)) continue;
}

/* An array that takes long: [0] and padding. */
static char *long_list(void)
{
    char *text = malloc(PATCH_INLINE_DOC_BYTES + 64);
    assert_non_null(text);
    int at = snprintf(text, 64, "[[],\"");
    memset(text + at, 'p', PATCH_INLINE_DOC_BYTES);
    snprintf(text + at + PATCH_INLINE_DOC_BYTES, 4, "\"]");
    return text;
}

static const char add_one[] = "[{\"op\":\"add\",\"path\":\"/0/-\",\"value\":1}]";

static size_t count_ones(const char *stream, uint64_t id)
{
    char *text = event_text(&rig, "b", stream, id);
    size_t n = 0;
    for (const char *at = text; *at != 0 && *at != ']'; at++) n += *at == '1';
    free(text);
    return n;
}

/* What: many patches at once, small or large, all get through in their order, and none is lost. */
static void all_get_through(void **state)
{
    enum { PATCHES = 200 };
    struct rig_post p[PATCHES];
    char *large = long_list();
    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        const char *stream = round == 0 ? "small" : "large";
        rig_put(&rig, "b", stream, round == 0 ? "[[]]" : large);
        for (unsigned i = 0; i < PATCHES; i++) {
            rig_enter(&rig, i % RIG_WORKERS);
            patch_submit(&rig, &p[i], "b", stream, add_one);
            if (i % 50 == 49) rig_turns(&rig);
            if (i % 90 == 89) rig_commit(&rig);
        }
        rig_enter(&rig, 0);
        rig_settle(&rig);
        for (unsigned i = 0; i < PATCHES; i++) assert_int_equal(outcome(&p[i]), i + 2);
        assert_int_equal(count_ones(stream, PATCHES + 1), PATCHES);
        assert_int_equal(high_of(&rig, "b", round == 0 ? "small-$patch" : "large-$patch"), PATCHES);
    }
    free(large);
}

/* What: an append that comes while a large patch is computed: it is computed again, on that. */
static void computed_again(void **state)
{
    struct rig_post p, q;
    char *large = long_list();
    (void)state;
    int64_t before = metric_value(METRIC_patch_retries);
    rig_put(&rig, "b", "s", large);
    patch_submit(&rig, &p, "b", "s", add_one);
    turns_only();
    rig_post(&rig, &q, "b", "s", "[[5]]");
    turns_only();
    rig_settle(&rig);
    assert_int_equal(outcome(&q), 2);
    assert_int_equal(outcome(&p), 3);
    char *text = event_text(&rig, "b", "s", 3);
    assert_string_equal(text, "[[5,1]]");
    free(text);
    assert_int_equal(metric_value(METRIC_patch_retries), before + 1);
    /* Its condition is judged again, too. */
    rig_put(&rig, "b", "s", large);
    patch_make(&rig, &p, "b", "s", add_one, strlen(add_one));
    p.a->expect = EXPECT_LAST_ID;
    p.a->expect_last_id = 4;
    rig_post_submit(&p);
    turns_only();
    rig_post(&rig, &q, "b", "s", "[[5]]");
    rig_settle(&rig);
    assert_false(p.a->patch->raced);
    assert_int_equal(outcome(&p), -IOR_E_CONFLICT);
    assert_int_equal(outcome(&q), 5);
    free(large);
}

/* What: when an append comes between each time, it ends with a conflict that says so, and the next
 * one in the line has its turn. */
static void raced(void **state)
{
    struct rig_post p, next, q;
    char *large = long_list();
    (void)state;
    uint64_t id = rig_put(&rig, "b", "s", large);
    patch_submit(&rig, &p, "b", "s", add_one);
    patch_submit(&rig, &next, "b", "s", add_one);
    turns_only();
    unsigned tries = 0;
    while (p.done == 0) {
        assert_true(tries++ < 100);
        rig_post(&rig, &q, "b", "s", large); /* before the job has run */
        turns_only();
        assert_true(job_queue_step(rig.disk_jobs));
        turns_only();
        rig_commit(&rig);
        turns_only();
        rig_commit(&rig);
        turns_only();
        assert_int_equal(outcome(&q), ++id);
    }
    assert_int_equal(tries, PATCH_TRIES_MAX + 1);
    assert_true(p.a->patch->raced);
    assert_int_equal(p.a->patch->raced_id, id - 1);
    assert_int_equal(p.a->last_id, id);
    assert_int_equal(outcome(&p), -IOR_E_CONFLICT);
    rig_settle(&rig);
    assert_int_equal(outcome(&next), id + 1);
    assert_int_equal(count_ones("s", id + 1), 1);
    free(large);
}

/* What: the stream is truncated or deleted while a patch of an event on the disk is computed. */
static void trimmed_meanwhile(void **state)
{
    struct rig_post p;
    char *large = long_list();
    (void)state;
    rig_put(&rig, "b", "s", large);
    checkpoint_ok(&rig);
    evict(&rig);
    patch_submit(&rig, &p, "b", "s", add_one);
    turns_only();
    assert_true(job_queue_step(rig.disk_jobs)); /* the stream is looked up */
    turns_only();
    struct trim *t = trim_submit(&rig, "b", "s", 0, true);
    rig_settle(&rig);
    assert_int_equal(outcome(&p), -IOR_E_NOEVENT);
    expect_trimmed(t, 2, 1);
    free(large);
}

/* What: what an operation fails on may be lost again: then the answer is not that it fails. */
static void judged_by_what_is_lost(void **state)
{
    struct rig_post first, failing, behind;
    (void)state;
    rig_put(&rig, "b", "s", "{\"n\":1}");
    rig_post(&rig, &first, "b", "s", "{}");
    patch_submit(&rig, &failing, "b", "s", "[{\"op\":\"remove\",\"path\":\"/n\"}]");
    patch_submit(&rig, &behind, "b", "s", "[{\"op\":\"add\",\"path\":\"/m\",\"value\":1}]");
    disk_sim_fail(rig.disk, DISK_SIM_SYNC, 1, IOR_E_IO, true);
    rig_settle(&rig);
    assert_int_equal(outcome(&first), -IOR_E_IO);
    assert_int_equal(outcome(&failing), -IOR_E_IO);
    assert_int_equal(outcome(&behind), -IOR_E_IO);
    disk_sim_fail(rig.disk, DISK_SIM_SYNC, 0, IOR_OK, false);
    expect_dump(&rig, "b/s 1 1700000000 j {\"n\":1}\nb/s 1..1\n"); /* no stream of patches either */
    assert_int_equal(atomic_load(&rig.node->inflight_bytes), 0);
}

/* What: a reservation is lost on a full disk and its id is given to another append while a patch is
 * computed by the lost event: it is not taken for the same. */
static void same_id_another_event(void **state)
{
    struct rig_post p, lost, q;
    char *large = long_list();
    (void)state;
    rig_put(&rig, "b", "s", "[[]]");
    disk_sim_set_limit(rig.disk, disk_sim_used_bytes(rig.disk));
    for (unsigned i = 0;; i++) { /* until nothing more fits */
        assert_true(i < 100);
        rig_post(&rig, &lost, "b", "fill", large);
        rig_settle(&rig);
        if (outcome(&lost) < 0) break;
    }
    rig_post(&rig, &lost, "b", "s", large); /* reserved, as id 2 */
    patch_submit(&rig, &p, "b", "s", add_one);
    turns_only(); /* its job waits */
    rig_commit(&rig);
    turns_only();
    assert_int_equal(outcome(&lost), -IOR_E_NOSPC);
    disk_sim_set_limit(rig.disk, UINT64_MAX);
    rig.mono_us += 2000000;
    journal_prepare(rig.node->journal);
    rig_post(&rig, &q, "b", "s", "[[3]]"); /* id 2 again */
    turns_only();
    rig_settle(&rig);
    assert_int_equal(outcome(&q), 2);
    assert_int_equal(outcome(&p), 3);
    char *text = event_text(&rig, "b", "s", 3);
    assert_string_equal(text, "[[3,1]]");
    free(text);
    free(large);
}

/* What: more patches of one stream than may wait are refused, not forgotten. */
static void too_many_wait(void **state)
{
    enum { PATCHES = STRAND_QUEUE_MAX + 10 };
    struct rig_post *p = calloc(PATCHES, sizeof *p);
    char *large = long_list();
    unsigned busy = 0;
    (void)state;
    assert_non_null(p);
    rig_put(&rig, "b", "s", large);
    for (unsigned i = 0; i < PATCHES; i++) {
        patch_submit(&rig, &p[i], "b", "s", "[{\"op\":\"test\",\"path\":\"/0\",\"value\":2}]");
        turns_only();
    }
    rig_settle(&rig);
    for (unsigned i = 0; i < PATCHES; i++) {
        int64_t end = outcome(&p[i]);
        assert_true(end == -IOR_E_BODY || end == -IOR_E_BUSY);
        busy += end == -IOR_E_BUSY;
    }
    assert_int_equal(busy, PATCHES - STRAND_QUEUE_MAX - 1);
    assert_int_equal(rig.node->vnodes[0].patches_waiting, 0);
    free(large);
    free(p);
}

/* What: the result counts for memory.inflight, too, and is given back. */
static void in_flight(void **state)
{
    struct rig_post p;
    char *large = large_document(1, 300000);
    (void)state;
    rig_put(&rig, "b", "s", large);
    rig_close(&rig);
    rig.params.inflight_bytes_max = 200000;
    rig_open(&rig);
    assert_int_equal(patch_now(&rig, "b", "s", PATCH_SET_N("2")), -IOR_E_INFLIGHT);
    assert_int_equal(atomic_load(&rig.node->inflight_bytes), 0);
    rig_put(&rig, "b", "t", "{\"n\":1}");
    patch_submit(&rig, &p, "b", "t", PATCH_SET_N("2"));
    assert_true(atomic_load(&rig.node->inflight_bytes) > 0);
    rig_settle(&rig);
    assert_int_equal(outcome(&p), 2);
    assert_int_equal(atomic_load(&rig.node->inflight_bytes), 0);
    free(large);
}

/* What: whichever allocation fails in the strand or in the job, the answer is NOMEM (or it was not
 * needed), nothing is left behind, and the next patch works. */
static void allocations_fail(void **state)
{
    char *large = long_list();
    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        const char *stream = round == 0 ? "small" : "large";
        unsigned failed = 0;
        uint64_t id = rig_put(&rig, "b", stream, round == 0 ? "[[]]" : large);
        for (unsigned n = 1;; n++) {
            struct rig_post p;
            assert_true(n < 1000);
            patch_make(&rig, &p, "b", stream, add_one, strlen(add_one));
            no_memory_at = n;
            rig_post_submit(&p);
            rig_turns(&rig);
            bool all = no_memory_at > 0;
            no_memory_at = 0;
            rig_settle(&rig);
            int64_t end = outcome(&p);
            if (end < 0) assert_int_equal(end, -IOR_E_NOMEM);
            id += end > 0 ? 1 : 0;
            failed += end < 0;
            assert_int_equal(high_of(&rig, "b", stream), id);
            assert_int_equal(atomic_load(&rig.node->inflight_bytes), 0);
            if (all) break;
        }
        assert_true(failed > 3);
        assert_int_equal(patch_now(&rig, "b", stream, add_one), id + 1);
    }
    rig_drop(&rig);
    rig_open(&rig);
    free(large);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(all_get_through),        T(computed_again),        T(raced),         T(trimmed_meanwhile),
        T(judged_by_what_is_lost), T(same_id_another_event), T(too_many_wait), T(in_flight),
        T(allocations_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

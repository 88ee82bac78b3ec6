/* test/unit/core/test_units.c - src/core/units.c: which chunks of a bucket are the oldest. */
#include <stdlib.h>

#include "core/units.h"
#include "store/fetch.h"
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

/* Made up rows without chunks: small streams. */
static enum ior_err add(struct units *u, struct kv_reader *r, uint64_t uid, uint64_t time_ms,
                        uint64_t bytes)
{
    const struct stream_row row = {
        .partition = 999, .uid = uid, .low = 1, .high = 10, .bytes = bytes, .time_ms = time_ms};
    return units_of_stream(u, r, &row, 1, false);
}

/* What: of more units than are kept the oldest stay, in whatever order they come. */
static void the_oldest_stay(void **state)
{
    struct units u;
    struct kv_reader *r = NULL;
    (void)state;
    units_init(&u);
    units_pick(&u, 5); /* nothing to pick from */
    units_join(&u);
    assert_int_equal(u.count, 0);
    assert_int_equal(fetch_reader_take(rig.node->fetch, &r), IOR_OK);
    enum { COUNT = UNITS_MAX + 1000 };
    for (uint64_t i = 0; i < COUNT; i++)
        assert_int_equal(add(&u, r, i + 1, 5000 + i * 7919 % COUNT, 3), IOR_OK);
    assert_int_equal(u.count, UNITS_MAX);
    assert_true(u.truncated);
    units_pick(&u, UINT64_MAX);
    assert_int_equal(u.count, UNITS_MAX);
    for (size_t i = 0; i < u.count; i++) assert_int_equal(u.items[i].time_ms, 5000 + i);
    units_pick(&u, 30);
    assert_int_equal(u.count, 10);
    units_pick(&u, 0);
    assert_int_equal(u.count, 0);
    fetch_reader_give(rig.node->fetch, r);
    units_done(&u);
}

/* What: the chunks of a stream are units of their own, from the first id kept on; several of
 * one stream become one trim. */
static void chunks_of_a_stream(void **state)
{
    struct units u;
    struct kv_reader *r = NULL;
    struct stream_row row = {0};
    struct bucket_row bucket;
    (void)state;
    for (int i = 0; i < 4; i++) {
        sr_fill(&rig, "b", "s", 64, 100); /* a chunk each */
        sr_pass(&rig, 1000);
    }
    sr_cool(&rig);
    assert_int_equal(fetch_reader_take(rig.node->fetch, &r), IOR_OK);
    assert_int_equal(catalog_get_bucket(r, IOR_SLICE("b"), &bucket), IOR_OK);
    assert_int_equal(catalog_find_stream(r, bucket.id, IOR_SLICE("s"), &row), IOR_OK);
    units_init(&u);
    assert_int_equal(units_of_stream(&u, r, &row, 0, false), IOR_OK);
    assert_int_equal(u.count, 4);
    units_pick(&u, UINT64_MAX);
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(u.items[i].first, 64 * i + 1);
        assert_int_equal(u.items[i].last, 64 * (i + 1));
        assert_int_equal(u.items[i].bytes, 6400);
        assert_int_equal(u.items[i].time_ms, SR_WALL_MS + 1000 * i);
    }
    units_done(&u);
    assert_int_equal(units_of_stream(&u, r, &row, 64 + 33, true), IOR_OK);
    assert_int_equal(u.count, 3);
    units_pick(&u, 6401);
    assert_int_equal(u.count, 2);
    assert_int_equal(u.items[0].first, 64 + 33);
    assert_int_equal(u.items[0].bytes, 3200);
    assert_int_equal(add(&u, r, 77, 1, 5), IOR_OK);
    units_join(&u);
    assert_int_equal(u.count, 2);
    const struct unit *x = u.items[0].uid == 77 ? &u.items[1] : &u.items[0];
    assert_int_equal(x->last, 192);
    assert_int_equal(x->first, 64 + 33);
    assert_int_equal(x->bytes, 9600);
    assert_true(x->counted);
    units_done(&u);
    assert_int_equal(units_of_stream(&u, r, &row, 257, false), IOR_OK);
    assert_int_equal(u.count, 0);
    units_done(&u);
    fetch_reader_give(rig.node->fetch, r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_oldest_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(chunks_of_a_stream, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/store/test_catalog_check.c - what the counters of a catalog say about rows that are
 * lost, on both key-value files. */
#include "kv_rig.h"

#include "store/catalog.h"
#include "store/catalog_row.h"

static struct kv_rig rig;

static int set_up_lmdb(void **state)
{
    (void)state;
    kv_rig_init(&rig, true);
    kv_rig_open(&rig);
    return 0;
}

static int set_up_sim(void **state)
{
    (void)state;
    kv_rig_init(&rig, false);
    kv_rig_open(&rig);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kv_rig_done(&rig);
    return 0;
}

static void put(const char *bucket, struct ior_slice name, uint64_t uid)
{
    struct kv_writer *w = kv_rig_begin(&rig);
    struct stream_row row = {.partition = 3, .uid = uid, .name = name, .low = 1};
    assert_int_equal(catalog_bucket_id(w, ior_slice_str(bucket), &row.bucket_id), IOR_OK);
    assert_int_equal(catalog_put_stream(w, &row), IOR_OK);
    assert_int_equal(kv_write_commit(w), IOR_OK);
}

static void lose(enum kv_table t, const char *key)
{
    struct kv_writer *w = kv_rig_begin(&rig);
    assert_int_equal(kv_del(w, t, ior_slice_str(key)), IOR_OK);
    assert_int_equal(kv_write_commit(w), IOR_OK);
}

static void expect(enum ior_err want, const char *word)
{
    struct ior_why why = {""};
    struct kv_reader *r = kv_rig_read(&rig);
    assert_int_equal(catalog_check(r, &why), want);
    assert_non_null(strstr(why.text, word));
}

static void sound_ones(void **state)
{
    (void)state;
    expect(IOR_OK, "");
    put("a", IOR_SLICE("s"), 1);
    expect(IOR_OK, "");
    put("b", IOR_SLICE("s"), 2);
    put("b", IOR_SLICE("t"), 3);
    expect(IOR_OK, "");
}

static void lost_bucket(void **state)
{
    (void)state;
    put("a", IOR_SLICE("s"), 1);
    put("b", IOR_SLICE("s"), 2);
    lose(KV_BUCKETS, "a");
    expect(IOR_E_CORRUPT, "1 buckets, and made 2");
    lose(KV_BUCKETS, "b");
    expect(IOR_E_CORRUPT, "0 buckets, and made 2");
}

static void lost_bucket_counter(void **state)
{
    (void)state;
    put("a", IOR_SLICE("s"), 1);
    lose(KV_META, CATALOG_BUCKET_COUNTER);
    expect(IOR_E_CORRUPT, "1 buckets, and made 0");
}

static void lost_node_counter(void **state)
{
    (void)state;
    uint8_t name[600];
    memset(name, 'n', sizeof name);
    put("a", ior_slice(name, sizeof name), 1);
    expect(IOR_OK, "");
    lose(KV_META, CATALOG_NODE_COUNTER);
    expect(IOR_E_CORRUPT, "long names");
}

#define BOTH(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, set_up_sim, tear_down),                                  \
        cmocka_unit_test_setup_teardown(name, set_up_lmdb, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(sound_ones),
        BOTH(lost_bucket),
        BOTH(lost_bucket_counter),
        BOTH(lost_node_counter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

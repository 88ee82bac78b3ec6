/* test/unit/store/test_fetch_row.c - rows of streams by name and by uid, with their keys and the
 * name of their bucket; deleted ones; what is not there; and catalogs that lie. */
#include "fetch_rig.h"

#include <stdio.h>

#include "base/hash.h"
#include "store/fetch_private.h"

static const struct stream_row sample = {
    .partition = CR_PARTITION,
    .uid = CR_UID,
    .name = {(const uint8_t *)"2024", 4},
    .low = 3,
    .high = 9,
    .bytes = 700,
    .time_ms = 1795241107419,
    .last_index = 12,
    .policy = {(const uint8_t *)"{\"a\":1}", 7},
};

static struct ior_why why;

static uint32_t put(struct kv_writer *w, const char *bucket, struct stream_row row)
{
    enum ior_err err = IOR_OK;
    if (bucket != NULL) err = catalog_bucket_id(w, ior_slice_str(bucket), &row.bucket_id);
    assert_int_equal(err, IOR_OK);
    assert_int_equal(catalog_put_stream(w, &row), IOR_OK);
    return row.bucket_id;
}

static void put_one(const char *bucket, struct stream_row row)
{
    struct kv_writer *w = fr_begin();
    put(w, bucket, row);
    fr_commit(w);
}

static struct fetch_row *by_name(const char *bucket, struct ior_slice name)
{
    struct fetch_row *r = NULL;
    why.text[0] = 0;
    enum ior_err err = fetch_stream(fr, 0, ior_slice_str(bucket), name, &r, &why);
    if (err != IOR_OK) fail_msg("%s: %s", ior_err_name(err), why.text);
    return r;
}

static struct fetch_row *by_uid(uint64_t uid)
{
    struct fetch_row *r = NULL;
    enum ior_err err = fetch_stream_uid(fr, CR_PARTITION, uid, &r, &why);
    if (err != IOR_OK) fail_msg("%s: %s", ior_err_name(err), why.text);
    return r;
}

static void expect_slice(struct ior_slice a, struct ior_slice b)
{
    if (!ior_slice_eq(a, b)) fail_msg("%.*s", (int)a.size_bytes, a.data);
}

/* It is this one; freed. */
static void expect(struct fetch_row *r, const char *bucket, const struct stream_row *row)
{
    expect_slice(r->bucket, ior_slice_str(bucket));
    expect_slice(r->row.name, row->name);
    expect_slice(r->row.policy, row->policy);
    assert_true(r->row.partition == row->partition && r->row.uid == row->uid);
    assert_true(r->row.low == row->low && r->row.high == row->high && r->row.bytes == row->bytes);
    assert_true(r->row.time_ms == row->time_ms && r->row.last_index == row->last_index);
    assert_int_equal(r->row.deleted, row->deleted);
    assert_int_not_equal(r->row.bucket_id, 0);
    assert_int_equal(r->key_count, 0);
    fetch_row_free(r);
}

static void expect_no_name(const char *bucket, const char *name, enum ior_err wanted)
{
    struct fetch_row *r = NULL;
    why.text[0] = 0;
    assert_int_equal(fetch_stream(fr, 0, ior_slice_str(bucket), ior_slice_str(name), &r, &why),
                     wanted);
    assert_null(r);
    assert_int_not_equal(why.text[0], 0);
}

static void expect_no_uid(uint32_t partition, uint64_t uid, enum ior_err wanted)
{
    struct fetch_row *r = NULL;
    why.text[0] = 0;
    assert_int_equal(fetch_stream_uid(fr, partition, uid, &r, &why), wanted);
    assert_null(r);
    assert_int_not_equal(why.text[0], 0);
}

/* What: by name and by uid the same comes; what is not there is NOTFOUND. */
static void rows_come_back(void **state)
{
    (void)state;
    static char long_name[STREAM_BYTES_MAX];
    memset(long_name, 'x', sizeof long_name);
    struct stream_row other = sample;
    other.uid++;
    other.name = ior_slice(long_name, sizeof long_name);
    other.policy = ior_slice(NULL, 0);
    expect_no_name("orders", "2024", IOR_E_NOTFOUND);
    expect_no_uid(CR_PARTITION, CR_UID, IOR_E_NOTFOUND);
    put_one("orders", sample);
    put_one("carts", other);
    expect(by_uid(CR_UID), "orders", &sample);
    expect(by_name("orders", sample.name), "orders", &sample);
    expect(by_name("carts", other.name), "carts", &other);
    expect(by_uid(CR_UID + 1), "carts", &other);
    expect_no_name("orders", "2025", IOR_E_NOTFOUND);
    expect_no_name("carts", "2024", IOR_E_NOTFOUND);
    expect_no_name("nowhere", "2024", IOR_E_NOTFOUND);
    expect_no_name("", "", IOR_E_NOTFOUND);
    expect_no_uid(CR_PARTITION + 1, CR_UID, IOR_E_NOTFOUND);
    expect_no_uid(CR_PARTITION, CR_UID + 2, IOR_E_NOTFOUND);
    fetch_row_free(NULL);
}

/* What: a deleted stream, in no list any more, is found both ways; so it is when it is back. */
static void deleted(void **state)
{
    (void)state;
    struct stream_row row = sample;
    put_one("orders", row);
    row.deleted = true;
    row.low = row.high + 1;
    row.bytes = 0;
    put_one("orders", row);
    expect(by_name("orders", row.name), "orders", &row);
    expect(by_uid(CR_UID), "orders", &row);
    row.deleted = false;
    row.high++;
    put_one("orders", row);
    expect(by_name("orders", row.name), "orders", &row);
}

/* ---- keys ---- */

static void put_keys(uint64_t uid, uint64_t from, uint64_t to)
{
    struct kv_writer *w = fr_begin();
    for (uint64_t i = from; i <= to; i++) {
        char text[IDEMPOTENCY_KEY_BYTES_MAX + 1];
        size_t n = (size_t)(i % IDEMPOTENCY_KEY_BYTES_MAX) + 1;
        memset(text, 'k', sizeof text);
        text[0] = (char)('a' + i % 26);
        struct key_row key = {ior_slice(text, n), i * 7, i, i + 1, 1000 + i};
        assert_int_equal(catalog_put_key(w, CR_PARTITION, uid, &key), IOR_OK);
    }
    fr_commit(w);
}

static void expect_keys(const struct fetch_row *r, uint64_t from, uint64_t to)
{
    assert_int_equal(r->key_count, to + 1 - from);
    for (size_t k = 0; k < r->key_count; k++) {
        const struct key_row *key = &r->keys[k];
        uint64_t i = from + k;
        assert_true(key->last_id == i + 1 && key->first_id == i);
        assert_true(key->body_hash == i * 7 && key->time_ms == 1000 + i);
        assert_int_equal(key->key.size_bytes, i % IDEMPOTENCY_KEY_BYTES_MAX + 1);
        assert_int_equal(key->key.data[0], 'a' + i % 26);
        for (size_t b = 1; b < key->key.size_bytes; b++) assert_int_equal(key->key.data[b], 'k');
    }
}

/* What: the keys of this stream alone, the oldest first. */
static void keys(void **state)
{
    (void)state;
    struct stream_row other = sample;
    other.uid++;
    other.name = IOR_SLICE("2025");
    put_one("orders", sample);
    put_one("orders", other);
    put_keys(CR_UID, 100, 300);
    put_keys(CR_UID, 1, 99);
    put_keys(CR_UID + 1, 7, 7);
    put_keys(CR_UID - 1, 1, 50);
    struct fetch_row *r = by_name("orders", sample.name);
    expect_keys(r, 1, 300);
    expect_slice(r->bucket, IOR_SLICE("orders"));
    expect_slice(r->row.name, sample.name);
    expect_slice(r->row.policy, sample.policy);
    fetch_row_free(r);
    r = by_uid(CR_UID + 1);
    expect_keys(r, 7, 7);
    fetch_row_free(r);
}

/* What: of more keys than a stream remembers, the youngest. */
static void too_many_keys(void **state)
{
    (void)state;
    put_one("orders", sample);
    put_keys(CR_UID, 1, DEDUPE_KEYS_MAX + 12);
    struct fetch_row *r = by_uid(CR_UID);
    expect_keys(r, 13, DEDUPE_KEYS_MAX + 12);
    fetch_row_free(r);
}

/* ---- buckets ---- */

/* What: names are found by id whenever their bucket was made, and kept. */
static void buckets_by_id(void **state)
{
    (void)state;
    char bucket[32];
    char name[32];
    struct stream_row row = sample;
    for (uint64_t i = 0; i < 50; i++) {
        snprintf(bucket, sizeof bucket, "b%02u", (unsigned)(i * 37 % 50));
        snprintf(name, sizeof name, "s%u", (unsigned)i);
        row.uid = CR_UID + i;
        row.name = ior_slice_str(name);
        put_one(bucket, row);
        if (i % 3 == 0) expect(by_uid(row.uid), bucket, &row);
        if (i % 7 == 1) expect(by_name(bucket, row.name), bucket, &row);
    }
    for (uint64_t i = 0; i < 50; i++) {
        struct fetch_row *r = by_uid(CR_UID + i);
        snprintf(bucket, sizeof bucket, "b%02u", (unsigned)(i * 37 % 50));
        expect_slice(r->bucket, ior_slice_str(bucket));
        fetch_row_free(r);
    }
    assert_int_equal(fr->names.by_id.count, 50);
}

/* What: more buckets than are kept: each is found, and no more are kept. */
static void more_buckets_than_are_kept(void **state)
{
    (void)state;
    enum { BUCKETS = FETCH_BUCKETS_MAX + 20 };
    static const uint64_t asked[] = {0, BUCKETS - 1, 1, BUCKETS - 2, FETCH_BUCKETS_MAX};
    struct kv_writer *w = fr_begin();
    for (uint64_t i = 0; i < BUCKETS; i++) {
        char bucket[32];
        char name[32];
        uint32_t id = 0;
        struct stream_row row = sample;
        snprintf(bucket, sizeof bucket, "b%06u", (unsigned)i);
        assert_int_equal(catalog_bucket_id(w, ior_slice_str(bucket), &id), IOR_OK);
        for (size_t k = 0; k < IOR_LEN(asked); k++) {
            if (asked[k] != i) continue;
            snprintf(name, sizeof name, "s%u", (unsigned)i);
            row.name = ior_slice_str(name);
            row.uid = CR_UID + i;
            put(w, bucket, row);
        }
    }
    fr_commit(w);
    for (size_t k = 0; k < 2 * IOR_LEN(asked); k++) {
        uint64_t i = asked[k % IOR_LEN(asked)];
        char bucket[32];
        snprintf(bucket, sizeof bucket, "b%06u", (unsigned)i);
        struct fetch_row *r = by_uid(CR_UID + i);
        expect_slice(r->bucket, ior_slice_str(bucket));
        fetch_row_free(r);
        assert_true(fr->names.by_id.count <= FETCH_BUCKETS_MAX);
    }
}

/* ---- what lies ---- */

static void put_raw(enum kv_table t, struct ior_slice key, struct ior_slice value)
{
    struct kv_writer *w = fr_begin();
    assert_int_equal(kv_put(w, t, key, value), IOR_OK);
    fr_commit(w);
}

/* What: a bucket without a name, rows and names that cannot be decoded: CORRUPT or VERSION,
 * and nothing is allocated; the other streams are there. */
static void catalogs_that_lie(void **state)
{
    (void)state;
    struct stream_row lost = sample;
    static const uint8_t version[] = {9};
    static const uint8_t key[] = {0,    0,    0,    CR_PARTITION, 0x1f, 0xe2,
                                  0xd3, 0xc4, 0xb5, 0xa6,         0x97, 0x88};
    lost.uid++;
    lost.bucket_id = 77;
    put_one("orders", sample);
    put_one(NULL, lost);
    expect_no_uid(CR_PARTITION, lost.uid, IOR_E_CORRUPT);
    assert_non_null(strstr(why.text, "bucket 77"));
    expect(by_uid(CR_UID), "orders", &sample);
    put_raw(KV_ROWS, ior_slice(key, sizeof key), ior_slice(version, 1));
    expect_no_uid(CR_PARTITION, CR_UID, IOR_E_VERSION);
    expect_no_name("orders", "2024", IOR_E_VERSION);
    put_raw(KV_ROWS, ior_slice(key, sizeof key), ior_slice(NULL, 0));
    expect_no_uid(CR_PARTITION, CR_UID, IOR_E_CORRUPT);
    put_one("carts", (struct stream_row){.partition = 1, .uid = 5, .name = IOR_SLICE("a")});
    put_raw(KV_BUCKETS, IOR_SLICE("orders"), ior_slice(version, 1));
    expect_no_name("orders", "2024", IOR_E_VERSION);
    fetch_row_free(by_name("carts", IOR_SLICE("a")));
    expect_no_uid(CR_PARTITION, lost.uid, IOR_E_VERSION); /* the walk meets it */
    static const uint8_t bucket[] = {CATALOG_FORMAT, 5, 0, 0, 0};
    uint8_t long_key[BUCKET_BYTES_MAX + 1];
    memset(long_key, 'a', sizeof long_key);
    put_raw(KV_BUCKETS, ior_slice(long_key, sizeof long_key), ior_slice(bucket, sizeof bucket));
    expect_no_uid(CR_PARTITION, lost.uid, IOR_E_CORRUPT);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fr_set_up, fr_tear_down)
/* What: a name that the catalog has lost is found by its row; a name that was never there, and a
 * stream of the same name in another bucket, are not. */
static void lost_names(void **state)
{
    (void)state;
    struct fetch_row *r = NULL;
    const uint64_t hash = ior_hash_pair(IOR_SLICE("orders"), IOR_SLICE("2024"));
    struct stream_row row = sample;
    row.uid = catalog_uid(hash, 77);
    assert_int_equal(row.uid & 0xffffffffffff, 77);
    struct kv_writer *w = fr_begin();
    put(w, "orders", row);
    fr_commit(w);
    assert_int_equal(
        fetch_stream(fr, CR_PARTITION, IOR_SLICE("other"), IOR_SLICE("2024"), &r, &why),
        IOR_E_NOTFOUND);
    uint8_t key[8] = {0, 0, 0, 1, '2', '0', '2', '4'}; /* docs/formats.rst: bucket 1, the piece */
    w = fr_begin();
    assert_int_equal(kv_del(w, KV_STREAMS, ior_slice(key, sizeof key)), IOR_OK);
    fr_commit(w);
    assert_int_equal(
        fetch_stream(fr, CR_PARTITION, IOR_SLICE("orders"), IOR_SLICE("2024"), &r, &why),
        IOR_E_CORRUPT);
    assert_non_null(strstr(why.text, "lost its name"));
    assert_int_equal(
        fetch_stream(fr, CR_PARTITION + 1, IOR_SLICE("orders"), IOR_SLICE("2024"), &r, &why),
        IOR_E_NOTFOUND);
    assert_int_equal(
        fetch_stream(fr, CR_PARTITION, IOR_SLICE("orders"), IOR_SLICE("2025"), &r, &why),
        IOR_E_NOTFOUND);
}

/* What: the bucket's own name is lost: its streams are not new ones either. */
static void lost_buckets(void **state)
{
    (void)state;
    struct fetch_row *r = NULL;
    struct stream_row row = sample;
    row.uid = catalog_uid(ior_hash_pair(IOR_SLICE("orders"), IOR_SLICE("2024")), 0);
    put_one("orders", row);
    struct kv_writer *w = fr_begin();
    assert_int_equal(kv_del(w, KV_BUCKETS, IOR_SLICE("orders")), IOR_OK);
    fr_commit(w);
    assert_int_equal(
        fetch_stream(fr, CR_PARTITION, IOR_SLICE("orders"), IOR_SLICE("2024"), &r, &why),
        IOR_E_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(rows_come_back),    T(deleted),       T(keys),
        T(too_many_keys),     T(buckets_by_id), T(more_buckets_than_are_kept),
        T(catalogs_that_lie), T(lost_names),    T(lost_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/store/test_catalog_keys.c - idempotency keys in the catalog, on both key-value files:
 * they come back as they went, in order, of one stream or of a partition; their bytes are as
 * documented, and any others are CORRUPT or VERSION. And the last chunk of a stream, and
 * whether a stream is in the open transaction. */
#include "kv_rig.h"

#include "store/catalog.h"
#include "store/catalog_row.h"

static struct kv_rig rig;
static struct kv_writer *writer;

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

static struct kv_reader *commit(void)
{
    assert_int_equal(kv_write_commit(writer), IOR_OK);
    return kv_rig_read(&rig);
}

/* ---- keys ---- */

static const struct key_row sample = {
    .key = {(const uint8_t *)"order-7", 7},
    .body_hash = 0x1122334455667788,
    .first_id = 3,
    .last_id = 9,
    .time_ms = 1795241107419,
};

struct seen {
    unsigned count;
    unsigned stop_at; /* 0: never */
    uint64_t uids[16];
    struct key_row rows[16];
    struct kv_reader *reader; /* reads in the callback, too */
};

static bool take(void *ctx, uint64_t uid, const struct key_row *row)
{
    struct seen *s = ctx;
    struct chunk_row chunk;
    assert_true(s->count < IOR_LEN(s->uids));
    s->uids[s->count] = uid;
    s->rows[s->count++] = *row;
    assert_int_equal(catalog_last_chunk(s->reader, 1, uid, &chunk), IOR_E_NOTFOUND);
    return s->count != s->stop_at;
}

static struct seen each(uint32_t partition, uint64_t uid, unsigned stop_at)
{
    struct seen s = {.stop_at = stop_at, .reader = rig.reader};
    assert_int_equal(catalog_each_key(rig.reader, partition, uid, take, &s), IOR_OK);
    return s;
}

/* What: every field comes back; a key in the place of another replaces it. */
static void fields_come_back(void **state)
{
    (void)state;
    struct key_row row = sample;
    uint8_t longest[IDEMPOTENCY_KEY_BYTES_MAX];
    memset(longest, 0xfe, sizeof longest);
    writer = kv_rig_begin(&rig);
    assert_int_equal(catalog_put_key(writer, 1, 5, &row), IOR_OK);
    row.key = ior_slice(longest, sizeof longest);
    row.first_id = 1;
    assert_int_equal(catalog_put_key(writer, 1, 5, &row), IOR_OK);
    row.first_id = row.last_id = UINT64_MAX;
    assert_int_equal(catalog_put_key(writer, 1, UINT64_MAX, &row), IOR_OK);
    commit();
    struct seen s = each(1, 5, 0);
    assert_int_equal(s.count, 1);
    assert_true(ior_slice_eq(s.rows[0].key, row.key) && s.rows[0].body_hash == sample.body_hash);
    assert_true(s.rows[0].first_id == 1 && s.rows[0].last_id == 9);
    assert_true(s.rows[0].time_ms == sample.time_ms);
    s = each(1, UINT64_MAX, 0);
    assert_true(s.count == 1 && s.rows[0].first_id == UINT64_MAX);
}

/* What: one stream's keys by last id, or all of a partition by uid and last id; never others'. */
static void walks(void **state)
{
    (void)state;
    static const uint64_t uids[] = {1, 2, 0xff, 0x100};
    writer = kv_rig_begin(&rig);
    for (uint32_t partition = 1; partition <= 3; partition++) {
        for (size_t i = IOR_LEN(uids); i-- > 0;) {
            for (uint64_t last_id = 300; last_id >= 100; last_id -= 100) {
                struct key_row row = sample;
                row.last_id = last_id;
                assert_int_equal(catalog_put_key(writer, partition, uids[i], &row), IOR_OK);
            }
        }
    }
    assert_int_equal(catalog_del_key(writer, 2, 2, 200), IOR_OK);
    assert_int_equal(catalog_del_key(writer, 2, 2, 200), IOR_E_NOTFOUND);
    commit();
    struct seen s = each(2, 0, 0);
    assert_int_equal(s.count, 3 * IOR_LEN(uids) - 1);
    for (unsigned i = 1; i < s.count; i++) {
        bool same = s.uids[i] == s.uids[i - 1];
        assert_true(s.uids[i] >= s.uids[i - 1]);
        assert_true(!same || s.rows[i].last_id > s.rows[i - 1].last_id);
    }
    s = each(2, 2, 0);
    assert_true(s.count == 2 && s.rows[0].last_id == 100 && s.rows[1].last_id == 300);
    assert_int_equal(each(2, 0xff, 2).count, 2);
    assert_int_equal(each(2, 3, 0).count, 0);
    assert_int_equal(each(4, 0, 0).count, 0);
    assert_int_equal(each(0, 0, 0).count, 0);
}

/* ---- bytes ---- */

static enum ior_err read_raw(struct ior_slice key, const void *bytes, size_t n)
{
    struct seen s = {.reader = rig.reader};
    writer = kv_rig_begin(&rig);
    assert_int_equal(kv_put(writer, KV_KEYS, key, ior_slice(bytes, n)), IOR_OK);
    s.reader = commit();
    enum ior_err err = catalog_each_key(s.reader, 1, 0, take, &s);
    assert_int_equal(s.count, err == IOR_OK);
    writer = kv_rig_begin(&rig);
    assert_int_equal(kv_del(writer, KV_KEYS, key), IOR_OK);
    commit();
    return err;
}

/* What: the bytes of docs/formats.rst. */
static void bytes_are_as_documented(void **state)
{
    (void)state;
    static const uint8_t wanted[] = {1,    0,    7,    0,    0,    0,    0,    0,    0x88, 0x77,
                                     0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 3,    0,    0,    0,
                                     0,    0,    0,    0,    0xdb, 0x5f, 0xb5, 0xfc, 0xa1, 1,
                                     0,    0,    'o',  'r',  'd',  'e',  'r',  '-',  '7'};
    static const uint8_t wanted_key[] = {0, 0, 0, 39, 0, 0, 0, 0, 0, 0,
                                         1, 2, 0, 0,  0, 0, 0, 0, 0, 9};
    struct ior_buf out = {0};
    catalog_encode_key(&out, &sample);
    assert_int_equal(out.size_bytes, sizeof wanted);
    assert_memory_equal(out.data, wanted, sizeof wanted);
    ior_buf_done(&out);
    struct catalog_key key = catalog_key_ids(39, 0x0102, 9);
    assert_int_equal(key.size_bytes, sizeof wanted_key);
    assert_memory_equal(key.bytes, wanted_key, sizeof wanted_key);
}

/* What: any other length, zeros that are none, no key, ids that cannot be: CORRUPT; another
 * first byte: VERSION. */
static void values_are_strict(void **state)
{
    (void)state;
    static const size_t zeros[] = {1, 4, 5, 6, 7};
    uint8_t bytes[64] = {0};
    struct ior_buf out = {0};
    struct catalog_key key = catalog_key_ids(1, 5, 9);
    catalog_encode_key(&out, &sample);
    size_t size = out.size_bytes;
    memcpy(bytes, out.data, size);
    ior_buf_done(&out);
    for (size_t n = 0; n <= size + 1; n++)
        assert_int_equal(read_raw(catalog_key_slice(&key), bytes, n),
                         n == size ? IOR_OK : IOR_E_CORRUPT);
    for (size_t i = 0; i < IOR_LEN(zeros); i++) {
        bytes[zeros[i]] = 1;
        assert_int_equal(read_raw(catalog_key_slice(&key), bytes, size), IOR_E_CORRUPT);
        bytes[zeros[i]] = 0;
    }
    bytes[2] = 0;
    assert_int_equal(read_raw(catalog_key_slice(&key), bytes, size - 7), IOR_E_CORRUPT);
    bytes[2] = 7;
    bytes[16] = 10; /* the first id is behind the last one */
    assert_int_equal(read_raw(catalog_key_slice(&key), bytes, size), IOR_E_CORRUPT);
    bytes[16] = 0;
    assert_int_equal(read_raw(catalog_key_slice(&key), bytes, size), IOR_E_CORRUPT);
    bytes[16] = 3;
    bytes[0] = CATALOG_FORMAT + 1;
    assert_int_equal(read_raw(catalog_key_slice(&key), bytes, size), IOR_E_VERSION);
    bytes[0] = CATALOG_FORMAT;
    struct ior_slice shorter = ior_slice(key.bytes, key.size_bytes - 1);
    assert_int_equal(read_raw(shorter, bytes, size), IOR_E_CORRUPT);
    struct catalog_key longer = catalog_key_after(catalog_key_slice(&key));
    assert_int_equal(read_raw(catalog_key_slice(&longer), bytes, size), IOR_E_CORRUPT);
    key = catalog_key_ids(1, 0, 9); /* no stream has uid 0 */
    assert_int_equal(read_raw(catalog_key_slice(&key), bytes, size), IOR_E_CORRUPT);
}

/* ---- what else a checkpoint asks ---- */

/* What: the last chunk of a stream and of no other. */
static void last_chunks(void **state)
{
    (void)state;
    struct chunk_row got;
    writer = kv_rig_begin(&rig);
    for (uint64_t uid = 3; uid <= 7; uid += 2) {
        for (uint64_t first = 1; first <= 21; first += 10) {
            struct chunk_row row = {.first_seqnum = first, .state = {.last_seqnum = first + 9}};
            assert_int_equal(catalog_put_chunk(writer, 1, uid, &row), IOR_OK);
        }
    }
    struct kv_reader *r = commit();
    for (uint64_t uid = 2; uid <= 8; uid++) {
        enum ior_err err = catalog_last_chunk(r, 1, uid, &got);
        assert_int_equal(err, uid % 2 == 1 ? IOR_OK : IOR_E_NOTFOUND);
        if (err == IOR_OK) assert_true(got.first_seqnum == 21 && got.state.last_seqnum == 30);
        assert_int_equal(catalog_last_chunk(r, 2, uid, &got), IOR_E_NOTFOUND);
        assert_int_equal(catalog_last_chunk(r, 0, uid, &got), IOR_E_NOTFOUND);
    }
}

/* What: a stream is new when the transaction has another row of it than the snapshot. */
static void streams_in_the_transaction(void **state)
{
    (void)state;
    bool is_new = true;
    struct stream_row row = {.partition = 1, .uid = 5, .bucket_id = 1, .name = IOR_SLICE("s")};
    struct kv_reader *r = kv_rig_read(&rig);
    writer = kv_rig_begin(&rig);
    assert_int_equal(catalog_stream_is_new(writer, r, 1, 5, &is_new), IOR_OK);
    assert_false(is_new);
    assert_int_equal(catalog_put_stream(writer, &row), IOR_OK);
    assert_int_equal(catalog_stream_is_new(writer, r, 1, 5, &is_new), IOR_OK);
    assert_true(is_new);
    r = commit();
    writer = kv_rig_begin(&rig);
    assert_int_equal(catalog_stream_is_new(writer, r, 1, 5, &is_new), IOR_OK);
    assert_false(is_new);
    assert_int_equal(catalog_put_stream(writer, &row), IOR_OK);
    assert_int_equal(catalog_stream_is_new(writer, r, 1, 5, &is_new), IOR_OK);
    assert_false(is_new); /* the same row */
    row.high++;
    assert_int_equal(catalog_put_stream(writer, &row), IOR_OK);
    assert_int_equal(catalog_stream_is_new(writer, r, 1, 5, &is_new), IOR_OK);
    assert_true(is_new);
    assert_int_equal(catalog_stream_is_new(writer, r, 1, 6, &is_new), IOR_OK);
    assert_false(is_new);
    kv_write_abort(writer);
}

#define BOTH(test)                                                                                 \
    {"lmdb " #test, test, set_up_lmdb, tear_down, NULL},                                           \
    {                                                                                              \
        "sim " #test, test, set_up_sim, tear_down, NULL                                            \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(fields_come_back),
        BOTH(walks),
        BOTH(values_are_strict),
        BOTH(last_chunks),
        BOTH(streams_in_the_transaction),
        cmocka_unit_test_setup_teardown(bytes_are_as_documented, set_up_sim, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/store/test_fetch_damage.c - small streams and chunks that are not as they were
 * written, and a disk that fails: the right events, CORRUPT or NOTFOUND, never wrong bytes
 * (fr_read() compares each), and an error leaves no file open. */
#include "fetch_rig.h"

#include "store/fetch_private.h"
#include "store/kv_private.h"

enum { FIRST = CR_FIRST, LAST = CR_FIRST + 11, COUNT = LAST - FIRST + 1 };

/* Where the events of a small stream end, by seqnum. */
static struct ior_buf small;

static int set_up(void **state)
{
    ior_buf_init(&small);
    return fr_set_up(state);
}

static int tear_down(void **state)
{
    ior_buf_done(&small);
    return fr_tear_down(state);
}

static void expect_small_damage(void)
{
    assert_non_null(strstr(cr_why.text, "damage in the events of stream 1fe2d3c4b5a69788"));
    assert_non_null(strstr(cr_why.text, "partition 39"));
}

/* Reads from everywhere, in pieces of two sizes; how many events can be read by themselves. */
static unsigned read_everything(bool is_small)
{
    unsigned good = 0;
    size_t n = 0;
    for (uint64_t from = FIRST - 1; from <= LAST + 1; from++) {
        enum ior_err err = fr_read(from, 1, &n);
        if (err == IOR_OK) {
            assert_in_range(from, FIRST, LAST);
            good++;
        } else if (err != IOR_E_NOTFOUND) {
            assert_int_equal(err, IOR_E_CORRUPT);
            if (is_small) {
                expect_small_damage();
            } else {
                assert_non_null(strstr(cr_why.text, "damage at offset"));
                assert_memory_equal(cr_why.text, cr_path(), strlen(cr_path()));
            }
        }
        err = fr_read(from, COUNT + 5, &n);
        assert_true(err == IOR_OK || err == IOR_E_CORRUPT || err == IOR_E_NOTFOUND);
        assert_true(from + n <= LAST + 1);
    }
    return good;
}

static const uint8_t masks[] = {0x01, 0x80, 0xff};

/* What: a value with a good checksum and a wrong byte (nothing but a wrong program writes that):
 * events in front of the byte are given; what comes behind lies in the blob, or is CORRUPT. */
static void small_bytes_flipped(void **state)
{
    (void)state;
    struct small_writer w = {.out = &small};
    uint64_t hit = FIRST;
    size_t ends[COUNT];
    for (uint64_t at = FIRST; at <= LAST; at++) {
        fr_add_small(&w, at, at);
        ends[at - FIRST] = small.size_bytes;
    }
    for (size_t at = 0; at < small.size_bytes; at++) {
        if (at == ends[hit - FIRST]) hit++;
        for (size_t m = 0; m < IOR_LEN(masks); m++) {
            struct ior_blob *blob = NULL;
            size_t n = 0;
            small.data[at] ^= masks[m];
            fr_put_small(CR_UID, ior_buf_slice(&small));
            enum ior_err err = fetch_events(fr, CR_PARTITION, CR_UID, FIRST, fr_out, COUNT + 5, &n,
                                            &blob, &cr_why);
            assert_true(err == IOR_OK ||
                        ((err == IOR_E_CORRUPT || err == IOR_E_NOTFOUND) && hit == FIRST));
            if (err == IOR_E_CORRUPT) expect_small_damage();
            if (hit > FIRST) assert_in_range(n, hit - FIRST, COUNT + 5);
            for (size_t i = 0; i < n && FIRST + i < hit; i++) cr_check(&fr_out[i], blob, FIRST + i);
            for (size_t i = 0; i < n; i++) {
                struct ior_slice payload = fr_out[i].item.payload;
                assert_true(payload.data >= blob->data);
                assert_true(payload.data + payload.size_bytes <= blob->data + blob->size_bytes);
            }
            ior_blob_unref(blob);
            small.data[at] ^= masks[m];
        }
    }
    fr_put_small(CR_UID, ior_buf_slice(&small));
    assert_int_equal(read_everything(true), COUNT);
}

/* What: cut anywhere; what is whole is given. */
static void small_cut(void **state)
{
    (void)state;
    size_t n = 0;
    fr_entries(&small, FIRST, LAST);
    unsigned before = COUNT;
    for (size_t size = small.size_bytes - 1; size > 0; size--) {
        fr_put_small(CR_UID, ior_slice(small.data, size));
        unsigned good = read_everything(true);
        assert_true(good <= before && good < COUNT);
        before = good;
        enum ior_err err = fr_read(LAST, 1, &n);
        assert_true(err == IOR_E_CORRUPT || err == IOR_E_NOTFOUND);
    }
    assert_int_equal(before, 0);
}

/* What: rows whose value cannot be decoded are CORRUPT or VERSION, with the stream's uid. */
static void rows_that_lie(void **state)
{
    (void)state;
    static const enum kv_table tables[] = {KV_CHUNKS, KV_SMALL};
    uint8_t key[20] = {0, 0, 0, CR_PARTITION, 0x1f, 0xe2, 0xd3, 0xc4, 0xb5, 0xa6, 0x97, 0x88};
    static const uint8_t values[2][1] = {{0}, {9}};
    key[19] = FIRST;
    for (size_t t = 0; t < 2; t++) {
        for (size_t size = 0; size < 2; size++) {
            size_t n = 0;
            struct ior_slice k = ior_slice(key, tables[t] == KV_CHUNKS ? 20 : 12);
            struct kv_writer *w = fr_begin();
            assert_int_equal(kv_put(w, tables[t], k, ior_slice(values[1], size)), IOR_OK);
            fr_commit(w);
            assert_int_equal(fr_read(FIRST, 1, &n), size == 0 ? IOR_E_CORRUPT : IOR_E_VERSION);
            assert_non_null(strstr(cr_why.text, "1fe2d3c4b5a69788"));
            w = fr_begin();
            assert_int_equal(kv_del(w, tables[t], k), IOR_OK);
            fr_commit(w);
        }
    }
    fr_expect_none(FIRST);
}

/* ---- chunks ---- */

/* What: every byte of a chunk, with and without a footer; opened after that, and while open. */
static void chunk_bytes_flipped(void **state)
{
    for (unsigned sealed = 0; sealed < 2; sealed++) {
        tear_down(state);
        set_up(state);
        struct chunk_state made = fr_chunk(FIRST, LAST, sealed != 0);
        uint64_t size_bytes = disk_sim_size(cr_disk, cr_path());
        size_t head_bytes = ior_align(CHUNK_HEAD_BYTES + 10, 8);
        for (uint64_t at = 0; at < size_bytes; at++) {
            fr_expect(FIRST, 1, 1); /* it is open */
            disk_sim_flip(cr_disk, cr_path(), at, masks[at % 3]);
            unsigned good = read_everything(false);
            if (at < head_bytes || at >= made.end_bytes) assert_int_equal(good, COUNT);
            fetch_forget(fr, CR_PARTITION, CR_UID, FIRST);
            good = read_everything(false);
            if (at < head_bytes) assert_int_equal(good, 0);
            if (at >= made.end_bytes) assert_int_equal(good, COUNT);
            disk_sim_flip(cr_disk, cr_path(), at, masks[at % 3]);
        }
        assert_int_equal(read_everything(false), COUNT);
    }
}

/* What: a file shorter than the catalog says: the events that are whole, then CORRUPT. */
static void chunk_cut(void **state)
{
    (void)state;
    struct chunk_state made = fr_chunk(FIRST, LAST, false);
    unsigned before = COUNT;
    for (uint64_t size = made.end_bytes - 1; size > 0; size -= 1) {
        size_t n = 0;
        disk_sim_cut(cr_disk, cr_path(), size);
        unsigned good = read_everything(false);
        assert_true(good <= before && good < COUNT);
        before = good;
        assert_int_equal(fr_read(LAST, 1, &n), IOR_E_CORRUPT);
        assert_int_equal(disk_sim_open_files(cr_disk), 0); /* after an error it is closed */
    }
    assert_int_equal(before, 0);
    disk_sim_cut(cr_disk, cr_path(), 0);
    assert_int_equal(read_everything(false), 0);
}

/* What: the n-th open, read or size fails: that error, nothing stays open, the next read is fine.
 */
static void disk_fails(void **state)
{
    (void)state;
    static const enum disk_sim_op ops[] = {DISK_SIM_OPEN, DISK_SIM_READ, DISK_SIM_SIZE};
    cr_size = cr_size_mixed; /* some events are larger than a block */
    fr_chunk(CR_FIRST, 110, true);
    for (size_t i = 0; i < IOR_LEN(ops); i++) {
        unsigned failed = 0;
        for (uint64_t nth = 1;; nth++) {
            size_t n = 0;
            fetch_forget(fr, CR_PARTITION, CR_UID, CR_FIRST);
            disk_sim_fail(cr_disk, ops[i], nth, IOR_E_IO, false);
            enum ior_err err = fr_read(96, 1, &n);
            if (err == IOR_OK) err = fr_read(97, 1, &n);
            if (!disk_sim_failed(cr_disk)) {
                assert_int_equal(err, IOR_OK);
                break;
            }
            failed++;
            assert_int_equal(err, IOR_E_IO);
            assert_int_equal(disk_sim_open_files(cr_disk), 0);
            assert_int_equal(fr->cache.count, 0);
            fr_expect(97, 1, 1);
        }
        assert_in_range(failed, 1, 20);
        disk_sim_fail(cr_disk, ops[i], 0, IOR_OK, false);
    }
}

/* ---- a catalog that fails ---- */

static const struct kv_ops *real_ops;
static unsigned countdown; /* 1: the next one fails; 0: none */

static bool fails(void)
{
    return countdown > 0 && --countdown == 0;
}

static enum ior_err bad_new(struct kv *kv, struct kv_reader **ret)
{
    return fails() ? IOR_E_NOMEM : real_ops->reader_new(kv, ret);
}

static enum ior_err bad_begin(struct kv_reader *r)
{
    return fails() ? IOR_E_NOMEM : real_ops->read_begin(r);
}

static enum ior_err bad_get(struct kv_reader *r, enum kv_table t, struct ior_slice key,
                            struct ior_slice *ret)
{
    return fails() ? IOR_E_NOMEM : real_ops->get(r, t, key, ret);
}

static enum ior_err bad_move(struct kv_reader *r, enum kv_table t, enum kv_move how,
                             struct ior_slice key, struct ior_slice *ret_key,
                             struct ior_slice *ret_value)
{
    return fails() ? IOR_E_NOMEM : real_ops->move(r, t, how, key, ret_key, ret_value);
}

static enum ior_err read_small(struct fetch_row **ret)
{
    size_t n = 0;
    (void)ret;
    return fr_read(FIRST, 3, &n);
}

static enum ior_err read_by_name(struct fetch_row **ret)
{
    return fetch_stream(fr, 0, IOR_SLICE("orders"), IOR_SLICE("2024"), ret, &cr_why);
}

static enum ior_err read_by_uid(struct fetch_row **ret)
{
    return fetch_stream_uid(fr, CR_PARTITION, CR_UID, ret, &cr_why);
}

static enum ior_err read_chunk(struct fetch_row **ret)
{
    size_t n = 0;
    (void)ret;
    enum ior_err err = fr_read(FIRST, 3, &n);
    assert_int_equal(fr->cache.count, err == IOR_OK ? 1 : 0);
    fetch_forget(fr, CR_PARTITION, CR_UID, FIRST);
    return err;
}

/* Until it comes through. */
static void fail_each(enum ior_err (*read)(struct fetch_row **ret), unsigned least)
{
    for (unsigned nth = 1;; nth++) {
        struct fetch_row *row = NULL;
        while (fr->idle_count > 0) kv_reader_free(fr->idle[--fr->idle_count]);
        fetch_names_done(&fr->names);
        fetch_names_init(&fr->names);
        cr_why.text[0] = 0;
        countdown = nth;
        enum ior_err err = read(&row);
        assert_int_equal(fr->out_count, 0);
        if (err == IOR_OK) {
            fetch_row_free(row);
            assert_true(nth > least);
            if (countdown > 0) break;
            assert_ptr_equal(read, read_by_uid); /* the walk had found it, and wanted more */
            continue;
        }
        assert_int_equal(countdown, 0);
        assert_int_equal(err, IOR_E_NOMEM);
        assert_null(row);
        assert_int_not_equal(cr_why.text[0], 0);
    }
    countdown = 0;
}

/* What: the n-th call of the catalog fails, for each way to read: that error, a reason, nothing
 * kept back. */
static void catalog_fails(void **state)
{
    (void)state;
    struct stream_row row = {.partition = CR_PARTITION, .uid = CR_UID, .name = IOR_SLICE("2024")};
    struct kv_writer *w = fr_begin();
    assert_int_equal(catalog_bucket_id(w, IOR_SLICE("orders"), &row.bucket_id), IOR_OK);
    assert_int_equal(catalog_put_stream(w, &row), IOR_OK);
    fr_commit(w);
    fr_small(FIRST, LAST);
    real_ops = fr_kv->ops;
    struct kv_ops ops = *real_ops;
    ops.reader_new = bad_new;
    ops.read_begin = bad_begin;
    ops.get = bad_get;
    ops.move = bad_move;
    fr_kv->ops = &ops;
    fail_each(read_small, 4);
    fail_each(read_by_uid, 4); /* a walk over the buckets */
    fail_each(read_by_name, 4);
    fr_chunk(FIRST, LAST, true);
    fail_each(read_chunk, 3);
    fr_kv->ops = real_ops;
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(small_bytes_flipped), T(small_cut),  T(rows_that_lie), T(chunk_bytes_flipped),
        T(chunk_cut),           T(disk_fails), T(catalog_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/store/test_save_rows.c - rows of groups, meta, keys; transactions that end by
 * themselves; aborted ones; and one run on a real disk with LMDB. */
#include "save_rig.h"

static struct sr rig;

static int set_up(void **state)
{
    (void)state;
    sr_begin(&rig, 5);
    return 0;
}

static int set_up_real(void **state)
{
    (void)state;
    sr_begin_real(&rig);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sr_end(&rig);
    return 0;
}

/* What an LMDB file and folders without chunks leave. */
static int tear_down_real(void **state)
{
    static const char *const names[] = {"/" KV_LMDB_FILE, "/" KV_LMDB_FILE "-lock"};
    char path[128];
    tear_down(state);
    for (size_t i = 0; i < IOR_LEN(names); i++) {
        snprintf(path, sizeof path, "%s%s", rig.dir, names[i]);
        assert_int_equal(unlink(path), 0);
    }
    for (unsigned uid = 3; uid <= 4; uid++) {
        snprintf(path, sizeof path, "%s/p%u/%02x", rig.dir, SR_PARTITION, uid);
        assert_int_equal(rmdir(path), 0);
    }
    *strrchr(path, '/') = 0;
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(rig.dir), 0);
    return 0;
}

/* ---- groups and meta ---- */

/* What: rows of groups and meta are there after the commit and not before, or not at all. */
static void groups_and_meta(void **state)
{
    (void)state;
    struct group_row group = {.term = 3, .applied_index = 9, .applied_term = 2};
    struct group_row got;
    struct ior_slice bytes;
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(save_group(rig.save, 8, &group), IOR_OK);
        assert_int_equal(save_meta(rig.save, "stopped", IOR_SLICE("yes")), IOR_OK);
        assert_int_equal(kv_read_begin(rig.reader), IOR_OK);
        assert_int_equal(catalog_get_group(rig.reader, 8, &got), IOR_E_NOTFOUND);
        kv_read_end(rig.reader);
        if (round == 0) {
            save_abort(rig.save);
            assert_int_equal(save_commit(rig.save), IOR_OK); /* nothing */
            continue;
        }
        assert_int_equal(save_commit(rig.save), IOR_OK);
        assert_int_equal(kv_read_begin(rig.reader), IOR_OK);
        assert_int_equal(catalog_get_group(rig.reader, 8, &got), IOR_OK);
        assert_true(got.applied_index == 9 && got.term == 3 && got.applied_term == 2);
        assert_int_equal(catalog_get_meta(rig.reader, "stopped", &bytes), IOR_OK);
        assert_true(ior_slice_eq(bytes, IOR_SLICE("yes")));
        kv_read_end(rig.reader);
    }
    save_abort(rig.save); /* nothing is open */
}

/* ---- keys ---- */

static struct key_row key_of(uint64_t last_id, uint64_t time_ms)
{
    return (struct key_row){.key = IOR_SLICE("a key"),
                            .body_hash = 77,
                            .first_id = last_id,
                            .last_id = last_id,
                            .time_ms = time_ms};
}

static bool sum_ids(void *ctx, uint64_t uid, const struct key_row *row)
{
    assert_true(uid != 0 && ior_slice_eq(row->key, IOR_SLICE("a key")) && row->body_hash == 77);
    *(uint64_t *)ctx += row->last_id;
    return true;
}

static uint64_t ids_of(uint32_t partition, uint64_t uid)
{
    uint64_t sum = 0;
    assert_int_equal(kv_read_begin(rig.reader), IOR_OK);
    assert_int_equal(catalog_each_key(rig.reader, partition, uid, sum_ids, &sum), IOR_OK);
    kv_read_end(rig.reader);
    return sum;
}

/* What: keys come with their stream; those that are too old go, of this partition only. */
static void keys_come_and_go(void **state)
{
    (void)state;
    struct kv_writer *w = NULL;
    struct key_row other = key_of(1000, 1);
    assert_int_equal(kv_write_begin(rig.kv, &w), IOR_OK);
    assert_int_equal(catalog_put_key(w, SR_PARTITION + 1, 3, &other), IOR_OK);
    assert_int_equal(kv_write_commit(w), IOR_OK);
    for (uint64_t uid = 3; uid <= 4; uid++) {
        const struct key_row keys[] = {key_of(1, 10), key_of(2, 20), key_of(4, 30)};
        struct sr_stream st = {.uid = uid, .low = 1, .high = 4};
        assert_int_equal(sr_save_keys(&rig, st, 1, keys, IOR_LEN(keys)), IOR_OK);
    }
    assert_int_equal(save_commit(rig.save), IOR_OK);
    assert_true(ids_of(SR_PARTITION, 0) == 14 && ids_of(SR_PARTITION, 3) == 7);
    assert_int_equal(save_expire_keys(rig.save, SR_PARTITION, 10), IOR_OK);
    assert_int_equal(save_expire_keys(rig.save, SR_PARTITION, 20), IOR_OK);
    assert_int_equal(save_expire_keys(rig.save, SR_PARTITION, 21), IOR_OK); /* the first again */
    assert_true(ids_of(SR_PARTITION, 0) == 14);
    assert_int_equal(save_commit(rig.save), IOR_OK);
    assert_true(ids_of(SR_PARTITION, 0) == 8 && ids_of(SR_PARTITION, 4) == 4);
    assert_int_equal(save_expire_keys(rig.save, SR_PARTITION, UINT64_MAX), IOR_OK);
    assert_int_equal(save_commit(rig.save), IOR_OK);
    assert_true(ids_of(SR_PARTITION, 0) == 0 && ids_of(SR_PARTITION + 1, 0) == 1000);
}

/* ---- long transactions ---- */

static unsigned commits(void)
{
    return (unsigned)disk_sim_count(rig.disk, DISK_SIM_RENAME);
}

/* What: at SAVE_ROWS_MAX rows a transaction is committed, and the next one begins; so too while
 * keys go. */
static void long_transactions(void **state)
{
    (void)state;
    enum { KEYS = SAVE_ROWS_MAX / 2 - 1, ROUNDS = 3 };
    struct key_row *keys = calloc(KEYS, sizeof *keys);
    assert_non_null(keys);
    for (unsigned i = 0; i < KEYS; i++) keys[i] = key_of(i + 1, 5);
    unsigned before = commits();
    for (uint64_t uid = 1; uid <= ROUNDS; uid++) {
        struct sr_stream st = {.uid = uid, .low = 2, .high = 1}; /* rows: itself and its keys */
        assert_int_equal(sr_save_keys(&rig, st, 2, keys, KEYS), IOR_OK);
        assert_int_equal(commits() - before, uid / 2);
    }
    free(keys);
    assert_int_equal(save_commit(rig.save), IOR_OK);
    assert_int_equal(commits() - before, 2);
    before = commits();
    assert_int_equal(save_expire_keys(rig.save, SR_PARTITION, 6), IOR_OK);
    assert_int_equal(commits() - before, ROUNDS * KEYS / SAVE_ROWS_MAX);
    assert_int_equal(save_commit(rig.save), IOR_OK);
    assert_true(ids_of(SR_PARTITION, 0) == 0);
}

/* What: an aborted transaction leaves nothing in the catalog, and what it wrote into files is
 * written over by the next one. */
static void aborted(void **state)
{
    (void)state;
    struct sr_stream st = {.uid = 4, .low = 1, .high = 12};
    sr_put(&rig, st, 1);
    save_abort(rig.save);
    assert_int_equal(kv_read_begin(rig.reader), IOR_OK);
    assert_true(sr_layout(&rig, 4).last == 0);
    kv_read_end(rig.reader);
    sr_save(&rig, st, 1);
    struct sr_stream more = st;
    more.high = 40;
    more.low = 15;
    sr_put(&rig, more, 13);
    save_abort(rig.save);
    sr_expect(&rig, st);
    assert_int_equal(sr_buried(&rig), 0);
    more.high = 14;
    more.low = 2;
    sr_save(&rig, more, 13);
    sr_expect(&rig, more);
}

/* ---- a real disk ---- */

/* What: the same on files and with LMDB: small, outgrown, several chunks, retention, another
 * open, deletion; at the end no file and no folder of a stream is left. */
static void on_a_real_disk(void **state)
{
    (void)state;
    struct sr_stream st = {.uid = 3, .low = 1, .high = 3};
    struct sr_stream other = {.uid = 4, .low = 1, .high = 50};
    sr_put(&rig, other, 1);
    sr_save(&rig, st, 1);
    assert_int_equal(sr_expect(&rig, st).chunks, 0);
    sr_expect(&rig, other);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t from = st.high + 1;
        st.high += 9;
        if (i > 2) st.low = st.high - 15;
        sr_save(&rig, st, from);
        struct sr_layout l = sr_expect(&rig, st);
        assert_true(l.chunks > 0);
        if (i == 4) {
            sr_close(&rig);
            sr_open(&rig);
        }
        rig.told_count = 0;
        sr_clean(&rig);
        assert_int_equal(sr_files(&rig, 3), l.chunks);
    }
    sr_put(&rig, (struct sr_stream){.uid = 4, .low = 51, .high = 50, .deleted = true}, 51);
    st.low = st.high + 1;
    st.deleted = true;
    sr_save(&rig, st, st.low);
    sr_expect(&rig, st);
    sr_clean(&rig);
    assert_int_equal(sr_buried(&rig), 0);
    assert_int_equal(sr_files(&rig, 3), -1);
    assert_int_equal(sr_files(&rig, 4), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(groups_and_meta, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_come_and_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_transactions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(aborted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(on_a_real_disk, set_up_real, tear_down_real),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

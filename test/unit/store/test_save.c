/* test/unit/store/test_save.c - each rule of save.h, read back through the catalog and the
 * chunks: what is small, where chunks begin and end, what is buried and when it goes. */
#include "save_rig.h"

static struct sr rig;

static int set_up(void **state)
{
    (void)state;
    sr_begin(&rig, 5);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sr_end(&rig);
    return 0;
}

/* ---- small streams ---- */

/* What: a small stream is one value; new events come behind the old ones, those below low go;
 * no file is made. */
static void small_streams(void **state)
{
    (void)state;
    struct sr_stream st = {.uid = 3, .low = 1, .high = 0};
    sr_save(&rig, st, 1); /* made, and still empty */
    assert_int_equal(sr_expect(&rig, st).small_bytes, 0);
    st.high = 2;
    sr_save(&rig, st, 1);
    assert_true(sr_expect(&rig, st).small_bytes > 0);
    st.high = 4;
    sr_save(&rig, st, 3);
    struct sr_layout l = sr_expect(&rig, st);
    assert_true(l.chunks == 0 && l.first == 1 && l.last == 4);
    st.low = 3;
    sr_save(&rig, st, 5); /* nothing is new but low */
    l = sr_expect(&rig, st);
    assert_true(l.first == 3 && l.last == 4);
    st.low = 5;
    sr_save(&rig, st, 5);
    assert_int_equal(sr_expect(&rig, st).small_bytes, 0);
    st.high = 7;
    st.low = 7; /* 5 and 6 are not written */
    sr_save(&rig, st, 5);
    assert_true(sr_expect(&rig, st).first == 7);
    assert_int_equal(sr_files(&rig, 3), -1);
    assert_int_equal(rig.told_count, 0);
}

/* What: one byte more than the limit, and the stream gets a chunk with what was kept of it in
 * front; the small value goes in the same commit. */
static void outgrown(void **state)
{
    (void)state;
    struct sr_stream st = {.uid = 3, .low = 1, .high = 4};
    sr_save(&rig, st, 1);
    st.low = 2;
    st.high = 9;
    sr_put(&rig, st, 5);
    /* Until the commit it is as it was. */
    assert_int_equal(kv_read_begin(rig.reader), IOR_OK);
    assert_true(sr_layout(&rig, 3).last == 4);
    kv_read_end(rig.reader);
    assert_int_equal(save_commit(rig.save), IOR_OK);
    struct sr_layout l = sr_expect(&rig, st);
    assert_true(l.chunks == 1 && l.sealed == 0 && l.first == 2 && l.small_bytes == 0);
    assert_int_equal(sr_files(&rig, 3), 1);
}

/* What: exactly small_bytes_max is small, one byte less room and it is not; 0: never small. */
static void small_limit(void **state)
{
    (void)state;
    sr_save(&rig, (struct sr_stream){.uid = 273, .low = 1, .high = 3}, 1);
    size_t bytes = sr_expect(&rig, (struct sr_stream){.uid = 273, .low = 1, .high = 3}).small_bytes;
    assert_true(bytes > 0);
    for (unsigned i = 0; i < 3; i++) {
        struct save_params p = sr_params(&rig);
        p.small_bytes_max = i == 2 ? 0 : bytes - i;
        save_free(rig.save);
        assert_int_equal(save_new(&p, &rig.save), IOR_OK);
        /* The sizes of events repeat every 90. */
        struct sr_stream st = {.uid = 3 + 90 * i, .low = 1, .high = 3};
        sr_save(&rig, st, 1);
        assert_int_equal(sr_expect(&rig, st).chunks, i > 0);
        st = (struct sr_stream){.uid = 1000 + i, .low = 1, .high = 0};
        sr_save(&rig, st, 1);
        assert_int_equal(sr_expect(&rig, st).chunks, 0);
    }
}

/* ---- chunks ---- */

/* What: a chunk goes on until a limit, is sealed there, and the next one begins; whatever the
 * number of events at once, the chunks are the same. */
static void chunks_and_limits(void **state)
{
    (void)state;
    struct sr_layout all = {0};
    static const unsigned steps[] = {80, 1, 7, 13};
    for (size_t i = 0; i < IOR_LEN(steps); i++) {
        struct sr_stream st = {.uid = 3 + 90 * i, .low = 1, .high = 9};
        sr_save(&rig, st, 1); /* beyond small in every case */
        while (st.high < 80) {
            uint64_t from = st.high + 1;
            st.high = st.high + steps[i] < 80 ? st.high + steps[i] : 80;
            rig.told_count = 0;
            sr_save(&rig, st, from);
            sr_expect(&rig, st);
        }
        struct sr_layout l = sr_expect(&rig, st);
        if (i == 0) all = l;
        assert_int_equal(l.chunks, all.chunks);
        assert_memory_equal(l.first_seqnums, all.first_seqnums, sizeof l.first_seqnums);
        assert_true(l.sealed == l.chunks - 1 && l.chunks >= 8);
        assert_int_equal(sr_files(&rig, st.uid), l.chunks);
    }
}

static struct chunk_row chunk_with(uint64_t uid, uint64_t seqnum)
{
    struct chunk_row row = {0};
    assert_int_equal(kv_read_begin(rig.reader), IOR_OK);
    assert_int_equal(catalog_seek_chunk(rig.reader, SR_PARTITION, uid, seqnum, &row), IOR_OK);
    kv_read_end(rig.reader);
    return row;
}

/* What: an event larger than a chunk may be goes alone into one; no other is above the limit;
 * every sealed one has a footer that is found without the catalog. */
static void large_events(void **state)
{
    (void)state;
    struct sr_stream st = {.uid = 3, .low = 1, .high = 80};
    sr_save(&rig, st, 1);
    sr_expect(&rig, st);
    for (uint64_t at = 1; at <= 80;) {
        struct chunk_row row = chunk_with(3, at);
        struct chunk_reader *r = NULL;
        at = row.state.last_seqnum + 1;
        if (row.first_seqnum % 37 == 0) {
            assert_true(row.state.last_seqnum == row.first_seqnum && row.state.sealed);
        } else {
            assert_true(row.state.end_bytes <= SR_BYTES_MAX + CHUNK_HEAD_BYTES + 8);
        }
        if (!row.state.sealed) continue;
        assert_int_equal(
            chunk_open(rig.disk, SR_PARTITION, 3, row.first_seqnum, NULL, &r, &rig.why), IOR_OK);
        assert_true(chunk_reader_state(r)->last_seqnum == row.state.last_seqnum);
        assert_true(chunk_reader_state(r)->sealed);
        chunk_close(r);
    }
}

/* What: whoever keeps a chunk open is told that it is longer, after the commit and not before. */
static void longer_chunks_are_told(void **state)
{
    (void)state;
    struct sr_stream st = {.uid = 4, .low = 1, .high = 12};
    sr_save(&rig, st, 1);
    struct sr_layout l = sr_expect(&rig, st);
    assert_int_equal(rig.told_count, 0); /* new ones: nobody has them */
    st.high = 13;
    sr_put(&rig, st, 13);
    assert_int_equal(rig.told_count, 0);
    assert_int_equal(save_commit(rig.save), IOR_OK);
    assert_int_equal(rig.told_count, 1);
    assert_true(rig.told[0] == l.first_seqnums[l.chunks - 1]);
    st.high = 14;
    sr_put(&rig, st, 14);
    save_abort(rig.save);
    assert_int_equal(rig.told_count, 1);
    st.high = 13;
    sr_expect(&rig, st);
}

/* What: events that are saved already are passed over, all or some of them; again and again
 * nothing changes, in files neither. */
static void saved_again(void **state)
{
    (void)state;
    for (uint64_t uid = 3; uid <= 4; uid++) {
        struct sr_stream st = {.uid = uid, .low = 1, .high = uid == 3 ? 3 : 33};
        sr_save(&rig, st, 1);
        struct sr_layout before = sr_expect(&rig, st);
        uint64_t writes = disk_sim_count(rig.disk, DISK_SIM_CREATE);
        for (uint64_t from = 1; from <= st.high + 1; from += 3) {
            sr_save(&rig, st, from);
            struct sr_layout l = sr_expect(&rig, st);
            assert_memory_equal(&l, &before, sizeof l);
        }
        /* Each commit makes a new file of the catalog; there was no other. */
        assert_true(disk_sim_count(rig.disk, DISK_SIM_CREATE) - writes <= st.high / 3 + 1);
        st.high += 5;
        sr_save(&rig, st, 2);
        sr_expect(&rig, st);
    }
}

/* What: a stream that comes twice before a commit is committed in between. */
static void twice_in_one_transaction(void **state)
{
    (void)state;
    for (uint64_t uid = 3; uid <= 4; uid++) {
        struct sr_stream st = {.uid = uid, .low = 1, .high = uid == 3 ? 1 : 20};
        for (unsigned i = 0; i < 6; i++) {
            uint64_t from = st.high + 1;
            if (i == 0) from = 1;
            if (i > 0) st.high += 1;
            if (i == 4) st.low = st.high - 1;
            sr_put(&rig, st, from);
        }
        assert_int_equal(save_commit(rig.save), IOR_OK);
        sr_expect(&rig, st);
        assert_int_equal(save_commit(rig.save), IOR_OK); /* nothing is open */
    }
}

/* ---- low ---- */

/* What: chunks below low are buried, told after the commit, and only then removed; the chunk
 * that low is in stays. */
static void chunks_are_buried(void **state)
{
    (void)state;
    bool more = true;
    struct sr_stream st = {.uid = 3, .low = 1, .high = 35};
    sr_save(&rig, st, 1);
    struct sr_layout l = sr_expect(&rig, st);
    assert_true(l.chunks >= 4);
    st.low = l.first_seqnums[2] + 1;
    sr_put(&rig, st, 36);
    assert_int_equal(rig.told_count, 0);
    assert_int_equal(save_commit(rig.save), IOR_OK);
    assert_int_equal(rig.told_count, 2);
    assert_true(rig.told[0] == l.first_seqnums[0] && rig.told[1] == l.first_seqnums[1]);
    struct sr_layout now = sr_expect(&rig, st);
    assert_true(now.chunks == l.chunks - 2 && now.first == l.first_seqnums[2]);
    assert_int_equal(sr_buried(&rig), 2);
    assert_int_equal(sr_files(&rig, 3), l.chunks); /* until they are removed */
    assert_int_equal(save_unlink_buried(rig.save, 1, &more, &rig.why), IOR_OK);
    assert_true(more);
    assert_int_equal(sr_buried(&rig), 1);
    assert_false(sr_has(&rig, 3, l.first_seqnums[0]));
    assert_int_equal(save_unlink_buried(rig.save, 9, &more, &rig.why), IOR_OK);
    assert_false(more);
    assert_int_equal(sr_buried(&rig), 0);
    assert_int_equal(sr_files(&rig, 3), now.chunks);
    sr_expect(&rig, st);
    uint64_t changes = disk_sim_count(rig.disk, DISK_SIM_CHANGE);
    sr_clean(&rig); /* nothing to do is nothing done */
    assert_true(disk_sim_count(rig.disk, DISK_SIM_CHANGE) == changes);
}

/* What: low passes the last chunk, over ids that were never saved: no chunk is left, the folder
 * goes; what comes then is small again, and gets a chunk of its own id when it grows. */
static void low_passes_everything(void **state)
{
    (void)state;
    struct sr_stream st = {.uid = 3, .low = 1, .high = 25};
    sr_save(&rig, st, 1);
    st.low = 41;
    st.high = 43;
    sr_save(&rig, st, 26);
    struct sr_layout l = sr_expect(&rig, st);
    assert_true(l.chunks == 0 && l.first == 41);
    sr_clean(&rig);
    assert_int_equal(sr_files(&rig, 3), -1);
    st.high = 60;
    sr_save(&rig, st, 44);
    l = sr_expect(&rig, st);
    assert_true(l.chunks >= 2 && l.first == 41);
    st.low = 100; /* at once into chunks, and nothing in between */
    st.high = 130;
    sr_save(&rig, st, 61);
    l = sr_expect(&rig, st);
    assert_true(l.chunks >= 3 && l.first == 100);
    sr_clean(&rig);
    assert_int_equal(sr_files(&rig, 3), l.chunks);
}

/* What: a deleted stream has its row with its high and nothing else; made again it goes on. */
static void deleted_streams(void **state)
{
    (void)state;
    for (uint64_t uid = 3; uid <= 4; uid++) {
        uint64_t many = uid == 3 ? 2 : 30;
        struct sr_stream st = {.uid = uid, .low = 1, .high = many};
        sr_save(&rig, st, 1);
        st.deleted = true;
        st.low = many + 1;
        sr_save(&rig, st, many + 1);
        sr_expect(&rig, st);
        sr_clean(&rig);
        assert_int_equal(sr_files(&rig, uid), -1);
        st.deleted = false;
        st.high = 2 * many;
        sr_save(&rig, st, many + 1);
        struct sr_layout l = sr_expect(&rig, st);
        assert_true(l.first == many + 1);
        /* Deleted with events that were never saved: none of them is. */
        st.deleted = true;
        st.high = 3 * many;
        st.low = st.high + 1;
        sr_save(&rig, st, 2 * many + 1);
        sr_expect(&rig, st);
    }
}

/* What: a path that is named again leaves the graveyard in the same commit; and a file that is
 * gone already, or its folder, is fine. */
static void graves_and_names(void **state)
{
    (void)state;
    struct kv_writer *w = NULL;
    char path[DISK_PATH_MAX];
    struct chunk_row row = {.first_seqnum = 1, .state = {.end_bytes = 64, .last_seqnum = 0}};
    for (uint64_t uid = 3; uid <= 4; uid++) {
        assert_int_equal(kv_write_begin(rig.kv, &w), IOR_OK);
        assert_int_equal(catalog_put_chunk(w, SR_PARTITION, uid, &row), IOR_OK);
        assert_int_equal(catalog_bury_chunk(w, SR_PARTITION, uid, 1), IOR_OK);
        assert_int_equal(kv_write_commit(w), IOR_OK);
    }
    struct sr_stream st = {.uid = 3, .low = 1, .high = 12};
    sr_save(&rig, st, 1);
    assert_int_equal(sr_buried(&rig), 1);
    sr_clean(&rig);
    assert_int_equal(sr_buried(&rig), 0);
    sr_expect(&rig, st);
    chunk_path(SR_PARTITION, 3, 1, path);
    assert_true(disk_sim_has(rig.disk, path));
}

static void make_file(uint64_t uid, uint64_t first)
{
    char path[DISK_PATH_MAX];
    struct disk_file *f = NULL;
    chunk_path(SR_PARTITION, uid, first, path);
    assert_int_equal(disk_open(rig.disk, path, DISK_WRITE | DISK_CREATE, &f), IOR_OK);
    assert_int_equal(disk_write_buf(f, 0, "x", 1), IOR_OK);
    disk_close(f);
}

/* What: a chunk file that the catalog does not name goes when its stream loses files, but only
 * below low, and only when the event low is in the catalog: what was lost there stays. */
static void strays(void **state)
{
    (void)state;
    struct kv_writer *w = NULL;
    struct sr_stream st = {.uid = 3, .low = 1, .high = 45};
    sr_save(&rig, st, 1);
    struct sr_layout l = sr_expect(&rig, st);
    make_file(3, 2);
    make_file(3, l.first_seqnums[1] + 1);
    make_file(3, l.first_seqnums[2] + 1);
    sr_clean(&rig); /* nothing is buried, nobody looks */
    assert_int_equal(sr_files(&rig, 3), l.chunks + 3);
    st.low = l.first_seqnums[1] + 2;
    sr_save(&rig, st, 46);
    sr_clean(&rig);
    sr_expect(&rig, st);
    assert_int_equal(sr_files(&rig, 3), l.chunks - 1 + 1);
    assert_true(sr_has(&rig, 3, l.first_seqnums[2] + 1));
    /* The catalog loses the chunk that low will be in. */
    assert_int_equal(kv_write_begin(rig.kv, &w), IOR_OK);
    assert_int_equal(catalog_bury_chunk(w, SR_PARTITION, 3, l.first_seqnums[2]), IOR_OK);
    char path[DISK_PATH_MAX];
    chunk_path(SR_PARTITION, 3, l.first_seqnums[2], path);
    assert_int_equal(catalog_unbury(w, path), IOR_OK);
    assert_int_equal(kv_write_commit(w), IOR_OK);
    st.low = l.first_seqnums[2] + 2;
    sr_save(&rig, st, 46);
    sr_clean(&rig);
    assert_true(sr_has(&rig, 3, l.first_seqnums[2]) && sr_has(&rig, 3, l.first_seqnums[2] + 1));
    st.low = l.first_seqnums[4];
    sr_save(&rig, st, 46);
    sr_clean(&rig);
    assert_int_equal(sr_files(&rig, 3), l.chunks - 4);
    sr_expect(&rig, st);
}

/* What: the new files of an attempt that is given up are removed; those of the catalog stay. */
static void given_up(void **state)
{
    (void)state;
    struct sr_stream st = {.uid = 3, .low = 1, .high = 25};
    for (unsigned i = 0; i < 3; i++) {
        st.low += 3;
        sr_put(&rig, st, 1);
        save_abort(rig.save);
        assert_int_equal(sr_files(&rig, 3), -1);
    }
    sr_save(&rig, st, 1);
    struct sr_layout l = sr_expect(&rig, st);
    for (unsigned i = 0; i < 3; i++) {
        struct sr_stream more = {.uid = 3, .low = st.low + i, .high = 90};
        disk_sim_fail(rig.disk, DISK_SIM_WRITE, 3 + i, IOR_E_NOSPC, true);
        assert_int_equal(sr_try_save(&rig, more, 26), IOR_E_NOSPC);
        save_abort(rig.save);
        disk_sim_fail(rig.disk, DISK_SIM_WRITE, 0, IOR_OK, false);
        assert_int_equal(sr_files(&rig, 3), l.chunks);
        sr_expect(&rig, st);
    }
}

/* ---- what is wrong ---- */

static void expect_refused(struct sr_stream st, uint64_t from, const char *reason)
{
    uint64_t changes = disk_sim_count(rig.disk, DISK_SIM_CHANGE);
    assert_int_equal(sr_try_save(&rig, st, from), IOR_E_CORRUPT);
    if (strstr(rig.why.text, reason) == NULL) fail_msg("%s", rig.why.text);
    assert_non_null(strstr(rig.why.text, "partition 7, stream 000000000000000"));
    assert_true(disk_sim_count(rig.disk, DISK_SIM_CHANGE) == changes);
    save_abort(rig.save);
}

/* What: a row that goes back and events that are nowhere are refused with a reason, and nothing
 * is written. */
static void refused(void **state)
{
    (void)state;
    for (uint64_t uid = 3; uid <= 4; uid++) {
        struct sr_stream st = {.uid = uid, .low = 2, .high = uid == 3 ? 4 : 30};
        sr_save(&rig, st, 1);
        struct sr_stream wrong = st;
        wrong.high--;
        expect_refused(wrong, wrong.high + 1, "newer row");
        wrong = st;
        wrong.low--;
        expect_refused(wrong, wrong.high + 1, "newer row");
        wrong = st;
        wrong.high += 3;
        expect_refused(wrong, st.high + 2, "missing");
        expect_refused(wrong, wrong.high + 1, "missing");
        sr_expect(&rig, st);
    }
    expect_refused((struct sr_stream){.uid = 5, .low = 1, .high = 4}, 3, "missing");
}

static void put_small(uint64_t uid, struct ior_slice bytes)
{
    struct kv_writer *w = NULL;
    assert_int_equal(kv_write_begin(rig.kv, &w), IOR_OK);
    assert_int_equal(catalog_put_small(w, SR_PARTITION, uid, bytes), IOR_OK);
    assert_int_equal(kv_write_commit(w), IOR_OK);
}

/* What: a value of a small stream that is cut or no events is CORRUPT, and stays. */
static void damaged_small_streams(void **state)
{
    (void)state;
    uint8_t bytes[SR_SMALL_MAX];
    struct ior_slice small;
    struct sr_stream st = {.uid = 3, .low = 1, .high = 3};
    sr_save(&rig, st, 1);
    assert_int_equal(kv_read_begin(rig.reader), IOR_OK);
    assert_int_equal(catalog_get_small(rig.reader, SR_PARTITION, 3, &small), IOR_OK);
    size_t n = small.size_bytes;
    memcpy(bytes, small.data, n);
    kv_read_end(rig.reader);
    size_t last = sr_payload_bytes(3, 3);
    for (size_t cut = 1; cut <= last; cut++) {
        put_small(3, ior_slice(bytes, n - cut));
        expect_refused(st, 1, "cut short");
    }
    bytes[0] = 0;
    put_small(3, ior_slice(bytes, n));
    expect_refused(st, 1, "no first seqnum");
    bytes[0] = 9; /* the last one is 11 then */
    put_small(3, ior_slice(bytes, n));
    expect_refused(st, 1, "behind its last one");
}

/* What: a chunk file that is gone or cut is CORRUPT with its name. One that is damaged in the
 * middle cannot be sealed, and does not stop the stream: the next chunk takes the events. */
static void damaged_chunks(void **state)
{
    (void)state;
    char path[DISK_PATH_MAX];
    struct sr_stream st = {.uid = 4, .low = 1, .high = 6};
    struct save_params p = sr_params(&rig);
    p.small_bytes_max = 0;
    save_free(rig.save);
    assert_int_equal(save_new(&p, &rig.save), IOR_OK);
    sr_save(&rig, st, 1);
    chunk_path(SR_PARTITION, 4, 1, path);
    disk_sim_flip(rig.disk, path, 100, 1);
    st.high = 25;
    sr_save(&rig, st, 7);
    assert_false(chunk_with(4, 1).state.sealed);
    uint64_t last = chunk_with(4, 1).state.last_seqnum;
    assert_true(last >= 6 && last < 25);
    assert_true(chunk_with(4, last + 1).first_seqnum == last + 1);
    disk_sim_flip(rig.disk, path, 100, 1);
    sr_expect(&rig, st);
    struct chunk_row row = chunk_with(4, 25);
    assert_false(row.state.sealed);
    chunk_path(SR_PARTITION, 4, row.first_seqnum, path);
    disk_sim_cut(rig.disk, path, row.state.end_bytes - 8);
    struct sr_stream more = {.uid = 4, .low = 1, .high = 26};
    assert_int_equal(sr_try_save(&rig, more, 26), IOR_E_CORRUPT);
    assert_non_null(strstr(rig.why.text, path));
    save_abort(rig.save);
    assert_int_equal(disk_unlink(rig.disk, path), IOR_OK);
    assert_int_equal(sr_try_save(&rig, more, 26), IOR_E_CORRUPT);
    assert_non_null(strstr(rig.why.text, path));
    save_abort(rig.save);
}

/* What: a path in the graveyard that is no chunk's removes nothing. */
static void strange_graves(void **state)
{
    (void)state;
    static const char *const paths[] = {"kv",
                                        "p7/00/0000000000000003/../x",
                                        "../../p/00/0000000000000003/0000000000000001.chunk",
                                        "p07/00/0000000000000003/0000000000000001.chunk",
                                        "p7/01/0000000000000003/0000000000000001.chunk",
                                        "p7/00/000000000000000x/0000000000000001.chunk",
                                        "p7/00/0000000000000003/0000000000000001.chunks",
                                        "p4294967303/00/0000000000000003/0000000000000001.chunk"};
    static const uint8_t empty[1] = {CATALOG_FORMAT};
    for (size_t i = 0; i < IOR_LEN(paths); i++) {
        struct kv_writer *w = NULL;
        bool more = false;
        assert_int_equal(kv_write_begin(rig.kv, &w), IOR_OK);
        assert_int_equal(kv_put(w, KV_GRAVE, ior_slice_str(paths[i]), ior_slice(empty, 1)), IOR_OK);
        assert_int_equal(kv_write_commit(w), IOR_OK);
        uint64_t changes = disk_sim_count(rig.disk, DISK_SIM_CHANGE);
        assert_int_equal(save_unlink_buried(rig.save, 9, &more, &rig.why), IOR_E_CORRUPT);
        assert_non_null(strstr(rig.why.text, "which is no chunk"));
        assert_true(disk_sim_count(rig.disk, DISK_SIM_CHANGE) == changes);
        assert_int_equal(kv_write_begin(rig.kv, &w), IOR_OK);
        assert_int_equal(catalog_unbury(w, paths[i]), IOR_OK);
        assert_int_equal(kv_write_commit(w), IOR_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(small_streams, set_up, tear_down),
        cmocka_unit_test_setup_teardown(outgrown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(small_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(chunks_and_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_events, set_up, tear_down),
        cmocka_unit_test_setup_teardown(longer_chunks_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(saved_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(twice_in_one_transaction, set_up, tear_down),
        cmocka_unit_test_setup_teardown(chunks_are_buried, set_up, tear_down),
        cmocka_unit_test_setup_teardown(low_passes_everything, set_up, tear_down),
        cmocka_unit_test_setup_teardown(deleted_streams, set_up, tear_down),
        cmocka_unit_test_setup_teardown(graves_and_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(strays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(given_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_small_streams, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_chunks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(strange_graves, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

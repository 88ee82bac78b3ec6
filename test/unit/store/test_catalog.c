/* test/unit/store/test_catalog.c - the catalog on both key-value files: rows come back as they
 * went, names are listed in the order of their bytes however long they are, chunks are
 * found by seqnum, and a row that is not what it should be is CORRUPT or VERSION. */
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

static struct kv_writer *begin(void)
{
    return writer = kv_rig_begin(&rig);
}

/* Commit, and a snapshot behind it. */
static struct kv_reader *commit(void)
{
    assert_int_equal(kv_write_commit(writer), IOR_OK);
    return kv_rig_read(&rig);
}

static void expect_slice(struct ior_slice got, const char *wanted)
{
    if (!ior_slice_eq(got, ior_slice_str(wanted)))
        fail_msg("%.*s, not %s", (int)got.size_bytes, got.data, wanted);
}

/* ---- rows ---- */

static const struct stream_row sample = {
    .partition = 39,
    .uid = 0x1122334455667788,
    .bucket_id = 1,
    .name = {(const uint8_t *)"2024", 4},
    .low = 3,
    .high = 9,
    .bytes = 700,
    .time_ms = 1795241107419,
    .last_index = 12,
    .policy = {(const uint8_t *)"{}", 2},
};

static void expect_stream(const struct stream_row *a, const struct stream_row *b)
{
    assert_int_equal(a->partition, b->partition);
    assert_true(a->uid == b->uid);
    assert_int_equal(a->bucket_id, b->bucket_id);
    assert_true(ior_slice_eq(a->name, b->name));
    assert_int_equal(a->deleted, b->deleted);
    assert_true(a->low == b->low && a->high == b->high && a->bytes == b->bytes);
    assert_true(a->time_ms == b->time_ms && a->last_index == b->last_index);
    assert_true(ior_slice_eq(a->policy, b->policy));
}

/* What: a stream's row by name and by uid, after changes and another open; others are not there. */
static void stream_rows(void **state)
{
    (void)state;
    struct stream_row row = sample;
    struct stream_row got;
    begin();
    assert_int_equal(catalog_put_stream(writer, &row), IOR_OK);
    row.high = 10;
    row.policy = ior_slice(NULL, 0);
    assert_int_equal(catalog_put_stream(writer, &row), IOR_OK);
    commit();
    kv_rig_close(&rig);
    kv_rig_open(&rig);
    struct kv_reader *r = kv_rig_read(&rig);
    assert_int_equal(catalog_get_stream(r, 39, row.uid, &got), IOR_OK);
    expect_stream(&got, &row);
    assert_int_equal(catalog_find_stream(r, 1, row.name, &got), IOR_OK);
    expect_stream(&got, &row);
    assert_int_equal(catalog_get_stream(r, 40, row.uid, &got), IOR_E_NOTFOUND);
    assert_int_equal(catalog_get_stream(r, 39, row.uid + 1, &got), IOR_E_NOTFOUND);
    assert_int_equal(catalog_find_stream(r, 2, row.name, &got), IOR_E_NOTFOUND);
    assert_int_equal(catalog_find_stream(r, 1, IOR_SLICE("202"), &got), IOR_E_NOTFOUND);
    assert_int_equal(catalog_find_stream(r, 1, IOR_SLICE(""), &got), IOR_E_NOTFOUND);
    /* The name stays with its uid, the uid with its name. */
    begin();
    row.uid++;
    assert_int_equal(catalog_put_stream(writer, &row), IOR_E_CORRUPT);
    row.uid--;
    row.name = IOR_SLICE("2025");
    assert_int_equal(catalog_put_stream(writer, &row), IOR_E_CORRUPT);
    kv_write_abort(writer);
}

static bool count_stream(void *ctx, const struct stream_row *row)
{
    IOR_ASSERT(row->uid != 0);
    ++*(unsigned *)ctx;
    return true;
}

static unsigned count_streams(struct kv_reader *r, uint32_t bucket_id)
{
    unsigned count = 0;
    assert_int_equal(catalog_each_stream(r, bucket_id, ior_slice(NULL, 0), count_stream, &count),
                     IOR_OK);
    return count;
}

/* What: a deleted stream is in no list and is still found; made again it has its uid. */
static void deleted_streams(void **state)
{
    (void)state;
    struct stream_row row = sample;
    struct stream_row got;
    for (int round = 0; round < 2; round++) {
        begin();
        row.deleted = false;
        assert_int_equal(catalog_put_stream(writer, &row), IOR_OK);
        struct kv_reader *r = commit();
        assert_int_equal(count_streams(r, 1), 1);
        begin();
        row.deleted = true;
        row.low = ++row.high;
        assert_int_equal(catalog_put_stream(writer, &row), IOR_OK);
        assert_int_equal(catalog_put_stream(writer, &row), IOR_OK); /* twice is the same */
        r = commit();
        assert_int_equal(count_streams(r, 1), 0);
        assert_int_equal(catalog_find_stream(r, 1, row.name, &got), IOR_OK);
        expect_stream(&got, &row);
        unsigned count = 0;
        assert_int_equal(catalog_each_row(r, 39, 0, count_stream, &count), IOR_OK);
        assert_int_equal(count, 1);
    }
}

struct uids {
    unsigned count;
    unsigned stop_at; /* 0: never */
    uint64_t uids[16];
};

static bool take_uid(void *ctx, const struct stream_row *row)
{
    struct uids *u = ctx;
    IOR_ASSERT(u->count < IOR_LEN(u->uids) && row->partition == 7);
    u->uids[u->count++] = row->uid;
    return u->count != u->stop_at;
}

/* What: all rows of one partition in the order of uids, from any one on. */
static void rows_of_a_partition(void **state)
{
    (void)state;
    static const uint64_t uids[] = {1, 2, 0xff, 0x100, UINT64_MAX - 1, UINT64_MAX};
    begin();
    for (size_t i = 0; i < IOR_LEN(uids); i++) {
        for (uint32_t partition = 6; partition <= 8; partition++) {
            char name[32];
            snprintf(name, sizeof name, "s%zu-%u", i, partition);
            struct stream_row row = sample;
            row.partition = partition;
            row.uid = uids[IOR_LEN(uids) - 1 - i];
            row.name = ior_slice_str(name);
            row.deleted = i % 2 == 0;
            assert_int_equal(catalog_put_stream(writer, &row), IOR_OK);
        }
    }
    struct kv_reader *r = commit();
    struct uids all = {0};
    assert_int_equal(catalog_each_row(r, 7, 0, take_uid, &all), IOR_OK);
    assert_int_equal(all.count, IOR_LEN(uids));
    assert_memory_equal(all.uids, uids, sizeof uids);
    for (size_t i = 0; i < IOR_LEN(uids); i++) {
        struct uids some = {.stop_at = 2};
        size_t left = IOR_LEN(uids) - 1 - i;
        assert_int_equal(catalog_each_row(r, 7, uids[i], take_uid, &some), IOR_OK);
        assert_int_equal(some.count, left < 2 ? left : 2);
        assert_memory_equal(some.uids, uids + i + 1, some.count * sizeof uids[0]);
    }
    struct stream_row last;
    assert_int_equal(catalog_last_stream(r, 7, &last), IOR_OK);
    assert_true(last.partition == 7 && last.uid == uids[IOR_LEN(uids) - 1]);
    assert_int_equal(catalog_last_stream(r, 0, &last), IOR_E_NOTFOUND);
    assert_int_equal(catalog_last_stream(r, 9, &last), IOR_E_NOTFOUND);
    struct uids none = {0};
    assert_int_equal(catalog_each_row(r, 9, 0, take_uid, &none), IOR_OK);
    assert_int_equal(none.count, 0);
}

struct names {
    unsigned count;
    unsigned stop_at;
    struct ior_slice names[16];
};

static bool take_name(void *ctx, struct ior_slice name)
{
    struct names *n = ctx;
    IOR_ASSERT(n->count < IOR_LEN(n->names));
    n->names[n->count++] = name;
    return n->count != n->stop_at;
}

/* What: buckets get the ids 1, 2, 3..., each its own for good; an aborted one takes none. */
static void buckets(void **state)
{
    (void)state;
    static const char *const names[] = {"orders", "$sys", "a", "orders2", "caf\xc3\xa9"};
    static const char *const sorted[] = {"$sys", "a", "caf\xc3\xa9", "orders", "orders2"};
    uint32_t id = 0;
    char longest[BUCKET_BYTES_MAX];
    memset(longest, 'z', sizeof longest);
    begin();
    assert_int_equal(catalog_bucket_id(writer, IOR_SLICE("gone"), &id), IOR_OK);
    assert_int_equal(id, 1);
    kv_write_abort(writer);
    for (uint32_t i = 0; i < IOR_LEN(names); i++) {
        begin();
        assert_int_equal(catalog_bucket_id(writer, ior_slice_str(names[i]), &id), IOR_OK);
        assert_int_equal(id, i + 1);
        assert_int_equal(catalog_bucket_id(writer, IOR_SLICE("orders"), &id), IOR_OK);
        assert_int_equal(id, 1);
        commit();
    }
    struct bucket_row row = {.id = 3, .name = IOR_SLICE("a"), .policy = IOR_SLICE("{\"x\":1}")};
    struct bucket_row got;
    begin();
    assert_int_equal(catalog_put_bucket(writer, &row), IOR_OK);
    row.id = 2;
    assert_int_equal(catalog_put_bucket(writer, &row), IOR_E_CORRUPT);
    row.name = IOR_SLICE("none");
    assert_int_equal(catalog_put_bucket(writer, &row), IOR_E_NOTFOUND);
    assert_int_equal(catalog_bucket_id(writer, ior_slice(longest, sizeof longest), &id), IOR_OK);
    assert_int_equal(id, 6);
    struct kv_reader *r = commit();
    assert_int_equal(catalog_get_bucket(r, IOR_SLICE("a"), &got), IOR_OK);
    assert_int_equal(got.id, 3);
    expect_slice(got.policy, "{\"x\":1}");
    expect_slice(got.name, "a");
    assert_int_equal(catalog_get_bucket(r, IOR_SLICE("b"), &got), IOR_E_NOTFOUND);
    struct names all = {0};
    assert_int_equal(catalog_each_bucket(r, ior_slice(NULL, 0), take_name, &all), IOR_OK);
    assert_int_equal(all.count, 6);
    for (unsigned i = 0; i < IOR_LEN(sorted); i++) expect_slice(all.names[i], sorted[i]);
    struct names some = {.stop_at = 2};
    assert_int_equal(catalog_each_bucket(r, IOR_SLICE("b"), take_name, &some), IOR_OK);
    assert_int_equal(some.count, 2);
    expect_slice(some.names[0], "caf\xc3\xa9");
    static const uint8_t huge[2000] = {0xff};
    struct names none = {0};
    assert_int_equal(catalog_each_bucket(r, ior_slice(huge, sizeof huge), take_name, &none),
                     IOR_OK);
    assert_int_equal(none.count, 0);
}

/* What: small streams, groups and meta come back; empty entries take a small stream away. */
static void small_groups_meta(void **state)
{
    (void)state;
    static uint8_t large[CATALOG_SMALL_BYTES_MAX];
    struct group_row group = {
        .term = 3, .applied_index = 99, .applied_term = 2, .vote = IOR_SLICE("iorio@127.0.0.1")};
    struct group_row got;
    struct ior_slice bytes;
    memset(large, 'e', sizeof large);
    begin();
    assert_int_equal(catalog_put_small(writer, 1, 5, ior_slice(large, sizeof large)), IOR_OK);
    assert_int_equal(catalog_put_small(writer, 1, 6, IOR_SLICE("entries")), IOR_OK);
    assert_int_equal(catalog_put_small(writer, 1, 7, ior_slice(NULL, 0)), IOR_OK);
    assert_int_equal(catalog_put_group(writer, 40, &group), IOR_OK);
    group.vote = ior_slice(NULL, 0);
    assert_int_equal(catalog_put_group(writer, 0, &group), IOR_OK);
    assert_int_equal(catalog_put_meta(writer, "stopped", IOR_SLICE("yes")), IOR_OK);
    assert_int_equal(catalog_put_meta(writer, "empty", ior_slice(NULL, 0)), IOR_OK);
    struct kv_reader *r = commit();
    assert_int_equal(catalog_get_small(r, 1, 5, &bytes), IOR_OK);
    assert_true(ior_slice_eq(bytes, ior_slice(large, sizeof large)));
    assert_int_equal(catalog_get_small(r, 1, 7, &bytes), IOR_E_NOTFOUND);
    assert_int_equal(catalog_get_group(r, 40, &got), IOR_OK);
    assert_true(got.term == 3 && got.applied_index == 99 && got.applied_term == 2);
    expect_slice(got.vote, "iorio@127.0.0.1");
    assert_int_equal(catalog_get_group(r, 0, &got), IOR_OK);
    assert_int_equal(got.vote.size_bytes, 0);
    assert_int_equal(catalog_get_group(r, 1, &got), IOR_E_NOTFOUND);
    assert_int_equal(catalog_get_meta(r, "stopped", &bytes), IOR_OK);
    expect_slice(bytes, "yes");
    assert_int_equal(catalog_get_meta(r, "empty", &bytes), IOR_OK);
    assert_int_equal(bytes.size_bytes, 0);
    assert_int_equal(catalog_get_meta(r, "other", &bytes), IOR_E_NOTFOUND);
    begin();
    assert_int_equal(catalog_put_small(writer, 1, 6, ior_slice(NULL, 0)), IOR_OK);
    r = commit();
    assert_int_equal(catalog_get_small(r, 1, 6, &bytes), IOR_E_NOTFOUND);
}

/* ---- chunks ---- */

static void put_chunk(uint64_t uid, uint64_t first, uint64_t last)
{
    struct chunk_row row = {.first_seqnum = first,
                            .state = {.end_bytes = 64 + 100 * (last - first + 1),
                                      .last_seqnum = last,
                                      .payload_bytes = 5 * first,
                                      .first_time_ms = 1000 + first,
                                      .last_time_ms = 1000 + last,
                                      .last_index = 2 * last,
                                      .sealed = first == 1}};
    assert_int_equal(catalog_put_chunk(writer, 4, uid, &row), IOR_OK);
}

/* first: of the chunk that is found for seqnum; 0: none. */
static void expect_chunk(struct kv_reader *r, uint64_t uid, uint64_t seqnum, uint64_t first)
{
    struct chunk_row got;
    enum ior_err err = catalog_seek_chunk(r, 4, uid, seqnum, &got);
    assert_int_equal(err, first == 0 ? IOR_E_NOTFOUND : IOR_OK);
    if (err == IOR_OK) assert_true(got.first_seqnum == first);
}

/* What: the chunk that has a seqnum, or the first one behind it; never one of another stream;
 * every field comes back. */
static void chunks_by_seqnum(void **state)
{
    (void)state;
    begin();
    put_chunk(8, 1, 1000);
    put_chunk(10, 1, 1000);
    put_chunk(9, 1, 10);
    put_chunk(9, 11, 30);
    put_chunk(9, 40, 39); /* without an event */
    put_chunk(9, 50, 60); /* 31..49 are gone */
    struct kv_reader *r = commit();
    static const uint64_t pairs[][2] = {{0, 1},   {1, 1},   {10, 1},        {11, 11}, {30, 11},
                                        {31, 50}, {39, 50}, {40, 50},       {49, 50}, {50, 50},
                                        {60, 50}, {61, 0},  {UINT64_MAX, 0}};
    for (size_t i = 0; i < IOR_LEN(pairs); i++) expect_chunk(r, 9, pairs[i][0], pairs[i][1]);
    expect_chunk(r, 7, 1, 0);
    expect_chunk(r, 11, 1, 0);
    struct chunk_row got;
    assert_int_equal(catalog_seek_chunk(r, 4, 9, 15, &got), IOR_OK);
    assert_true(got.state.end_bytes == 64 + 2000 && got.state.last_seqnum == 30);
    assert_true(got.state.payload_bytes == 55 && got.state.last_index == 60);
    assert_true(got.state.first_time_ms == 1011 && got.state.last_time_ms == 1030);
    assert_false(got.state.sealed);
    assert_int_equal(catalog_seek_chunk(r, 4, 9, 5, &got), IOR_OK);
    assert_true(got.state.sealed);
}

/* What: a buried chunk is found by its path and by nothing else, until it is unburied. */
static void graveyard(void **state)
{
    (void)state;
    char path[DISK_PATH_MAX];
    begin();
    put_chunk(9, 1, 10);
    put_chunk(9, 11, 30);
    put_chunk(9, 31, 40);
    commit();
    begin();
    assert_int_equal(catalog_bury_chunk(writer, 4, 9, 1), IOR_OK);
    assert_int_equal(catalog_bury_chunk(writer, 4, 9, 1), IOR_E_NOTFOUND);
    assert_int_equal(catalog_bury_chunk(writer, 4, 9, 11), IOR_OK);
    struct kv_reader *r = commit();
    expect_chunk(r, 9, 1, 31);
    struct names buried = {0};
    assert_int_equal(catalog_each_buried(r, ior_slice(NULL, 0), take_name, &buried), IOR_OK);
    assert_int_equal(buried.count, 2);
    chunk_path(4, 9, 1, path);
    expect_slice(buried.names[0], path);
    struct names later = {0};
    assert_int_equal(catalog_each_buried(r, buried.names[0], take_name, &later), IOR_OK);
    assert_int_equal(later.count, 1);
    begin();
    assert_int_equal(catalog_unbury(writer, path), IOR_OK);
    assert_int_equal(catalog_unbury(writer, path), IOR_E_NOTFOUND);
    r = commit();
    chunk_path(4, 9, 11, path);
    struct names left = {0};
    assert_int_equal(catalog_each_buried(r, ior_slice(NULL, 0), take_name, &left), IOR_OK);
    assert_int_equal(left.count, 1);
    expect_slice(left.names[0], path);
}

/* ---- rows that are not what they should be ---- */

static void put_raw(enum kv_table t, const struct catalog_key *key, const void *value, size_t n)
{
    begin();
    assert_int_equal(kv_put(writer, t, catalog_key_slice(key), ior_slice(value, n)), IOR_OK);
    commit();
}

/* What: a name without its row, a row with another name, a row of another bucket: CORRUPT, by
 * name and in the list; by uid the row is still to be had. */
static void names_and_rows_must_agree(void **state)
{
    (void)state;
    struct stream_row row = sample;
    struct stream_row got;
    unsigned count = 0;
    for (int what = 0; what < 4; what++) {
        struct catalog_key key = catalog_key_uid(row.partition, row.uid);
        begin();
        assert_int_equal(catalog_put_stream(writer, &row), IOR_OK);
        commit();
        struct stream_row changed = row;
        struct ior_buf value = {0};
        if (what == 1) changed.name = IOR_SLICE("2025");
        if (what == 2) changed.bucket_id = 2;
        if (what == 3) changed.deleted = true;
        catalog_encode_stream(&value, &changed);
        begin();
        if (what == 0) assert_int_equal(kv_del(writer, KV_ROWS, catalog_key_slice(&key)), IOR_OK);
        if (what != 0) {
            assert_int_equal(catalog_put(writer, KV_ROWS, &key, &value), IOR_OK);
        } else {
            ior_buf_done(&value);
        }
        struct kv_reader *r = commit();
        assert_int_equal(catalog_find_stream(r, 1, row.name, &got), IOR_E_CORRUPT);
        assert_int_equal(catalog_each_stream(r, 1, ior_slice(NULL, 0), count_stream, &count),
                         IOR_E_CORRUPT);
        assert_int_equal(catalog_get_stream(r, row.partition, row.uid, &got),
                         what == 0 ? IOR_E_NOTFOUND : IOR_OK);
        begin();
        struct ior_slice old = catalog_key_slice(&key);
        enum ior_err err = kv_del(writer, KV_ROWS, old);
        assert_true(err == IOR_OK || err == IOR_E_NOTFOUND);
        commit();
    }
    assert_int_equal(count, 0);
}

static enum ior_err read_group(struct kv_reader *r)
{
    struct group_row group;
    return catalog_get_group(r, 1, &group);
}

static enum ior_err read_chunk(struct kv_reader *r)
{
    struct chunk_row row;
    return catalog_seek_chunk(r, 0, 1, 1, &row);
}

static enum ior_err read_stream(struct kv_reader *r)
{
    struct stream_row row;
    unsigned count = 0;
    enum ior_err err = catalog_each_row(r, 0, 0, count_stream, &count);
    IOR_ASSERT(count == 0 || err == IOR_OK);
    IOR_ASSERT(catalog_get_stream(r, 0, 1, &row) == err);
    return err;
}

static enum ior_err read_bucket(struct kv_reader *r)
{
    struct bucket_row row;
    return catalog_get_bucket(r, IOR_SLICE("b"), &row);
}

static enum ior_err read_name(struct kv_reader *r)
{
    struct stream_row row;
    return catalog_find_stream(r, 1, IOR_SLICE("s"), &row);
}

/* What: a value that is shorter or longer than it says is CORRUPT, and one that begins with
 * another version is VERSION, for every kind. */
static void values_are_strict(void **state)
{
    (void)state;
    struct ior_buf values[5] = {0};
    struct stream_row row = sample;
    struct chunk_row chunk = {.first_seqnum = 1, .state = {.last_seqnum = 5, .sealed = true}};
    struct group_row group = {.vote = IOR_SLICE("node")};
    struct bucket_row bucket = {.id = 1};
    struct catalog_name name = {0, 1, false};
    row.partition = 0;
    row.uid = 1;
    catalog_encode_stream(&values[0], &row);
    catalog_encode_chunk(&values[1], &chunk);
    catalog_encode_group(&values[2], &group);
    catalog_encode_bucket(&values[3], &bucket);
    catalog_encode_name(&values[4], &name);
    struct catalog_key name_key = catalog_key_u32(1);
    name_key.bytes[name_key.size_bytes++] = 's';
    const struct {
        enum kv_table table;
        struct catalog_key key;
        enum ior_err (*read)(struct kv_reader *r);
        size_t fixed_bytes; /* any more is CORRUPT too; 0: it may be longer */
        enum ior_err sound;
    } kinds[] = {
        {KV_ROWS, catalog_key_uid(0, 1), read_stream, 58, IOR_OK},
        {KV_CHUNKS, catalog_key_ids(0, 1, 1), read_chunk, 56, IOR_OK},
        {KV_GROUPS, catalog_key_u32(1), read_group, 36, IOR_OK},
        {KV_BUCKETS, catalog_key_bytes(IOR_SLICE("b")), read_bucket, 0, IOR_OK},
        {KV_STREAMS, name_key, read_name, 14, IOR_E_CORRUPT}, /* it leads to no row */
    };
    for (size_t i = IOR_LEN(kinds); i-- > 0;) {
        uint8_t bytes[80] = {0};
        size_t size = values[i].size_bytes;
        assert_true(size + 1 <= sizeof bytes);
        if (kinds[i].fixed_bytes != 0) assert_int_equal(size, kinds[i].fixed_bytes);
        memcpy(bytes, values[i].data, size);
        for (size_t n = 0; n <= size + 1; n++) {
            put_raw(kinds[i].table, &kinds[i].key, bytes, n);
            bool sound = n == size || (n > size && kinds[i].fixed_bytes == 0);
            assert_int_equal(kinds[i].read(rig.reader), sound ? kinds[i].sound : IOR_E_CORRUPT);
        }
        if (kinds[i].fixed_bytes != 0) {
            bytes[1] ^= 2; /* an unknown flag; in a group: zero, which nobody looks at */
            put_raw(kinds[i].table, &kinds[i].key, bytes, size);
            assert_int_equal(kinds[i].read(rig.reader),
                             kinds[i].table == KV_GROUPS ? IOR_OK : IOR_E_CORRUPT);
        }
        bytes[0] = CATALOG_FORMAT + 1;
        put_raw(kinds[i].table, &kinds[i].key, bytes, size);
        assert_int_equal(kinds[i].read(rig.reader), IOR_E_VERSION);
        ior_buf_done(&values[i]);
    }
}

static void expect_hex(struct ior_slice got, const char *hex)
{
    char text[256] = "";
    assert_true(2 * got.size_bytes < sizeof text);
    for (size_t i = 0; i < got.size_bytes; i++) snprintf(text + 2 * i, 3, "%02x", got.data[i]);
    assert_string_equal(text, hex);
}

/* What: keys and values are the bytes of docs/formats.rst, "Catalog". */
static void bytes_are_as_documented(void **state)
{
    (void)state;
    struct ior_buf out = {0};
    struct catalog_key key = catalog_key_uid(39, sample.uid);
    expect_hex(catalog_key_slice(&key), "000000271122334455667788");
    catalog_encode_stream(&out, &sample);
    expect_hex(ior_buf_slice(&out), "0100040001000000"
                                    "0300000000000000"
                                    "0900000000000000"
                                    "bc02000000000000"
                                    "db5fb5fca1010000"
                                    "0c00000000000000"
                                    "02000000"
                                    "32303234"
                                    "7b7d");
    ior_buf_clear(&out);
    key = catalog_key_ids(1, 2, 0x0102030405060708);
    expect_hex(catalog_key_slice(&key), "0000000100000000000000020102030405060708");
    struct chunk_row chunk = {.state = {.end_bytes = 0x1000,
                                        .last_seqnum = 9,
                                        .payload_bytes = 8,
                                        .first_time_ms = 7,
                                        .last_time_ms = 6,
                                        .last_index = 5,
                                        .sealed = true}};
    catalog_encode_chunk(&out, &chunk);
    expect_hex(ior_buf_slice(&out), "0101000000000000"
                                    "0010000000000000"
                                    "0900000000000000"
                                    "0800000000000000"
                                    "0700000000000000"
                                    "0600000000000000"
                                    "0500000000000000");
    ior_buf_clear(&out);
    struct group_row group = {
        .term = 1, .applied_index = 2, .applied_term = 3, .vote = IOR_SLICE("n")};
    catalog_encode_group(&out, &group);
    expect_hex(ior_buf_slice(&out), "0100010000000000"
                                    "0100000000000000"
                                    "0200000000000000"
                                    "0300000000000000"
                                    "6e");
    ior_buf_clear(&out);
    struct catalog_name name = {.partition = 39, .uid = sample.uid, .deleted = true};
    catalog_encode_name(&out, &name);
    expect_hex(ior_buf_slice(&out), "010127000000"
                                    "8877665544332211");
    ior_buf_clear(&out);
    struct bucket_row bucket = {.id = 7, .policy = IOR_SLICE("{}")};
    catalog_encode_bucket(&out, &bucket);
    expect_hex(ior_buf_slice(&out), "0107000000"
                                    "7b7d");
    ior_buf_clear(&out);
    catalog_encode_number(&out, CATALOG_NODE_FLAG | 1);
    expect_hex(ior_buf_slice(&out), "0101000080");
    ior_buf_done(&out);
}

#define BOTH(test)                                                                                 \
    {"lmdb " #test, test, set_up_lmdb, tear_down, NULL},                                           \
    {                                                                                              \
        "sim " #test, test, set_up_sim, tear_down, NULL                                            \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(stream_rows),
        BOTH(deleted_streams),
        BOTH(rows_of_a_partition),
        BOTH(buckets),
        BOTH(small_groups_meta),
        BOTH(chunks_by_seqnum),
        BOTH(graveyard),
        BOTH(names_and_rows_must_agree),
        BOTH(values_are_strict),
        cmocka_unit_test_setup_teardown(bytes_are_as_documented, set_up_sim, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

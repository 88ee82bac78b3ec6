/* test/fuzz/target_catalog.c - any bytes as rows of the catalog (src/store/catalog*.c): keys and
 * values are put as they are, with right checksums, and every reading function goes over
 * them; then each value alone through each decoder.
 * Input: rows, each a table (u8), u8 size of the key, u16 size of the value, and the bytes.
 * Checked: nothing is read outside of the bytes; walks end; what a decoder takes is encoded
 * to the same bytes again (but for zeros that nobody looks at); only CORRUPT, VERSION and
 * NOTFOUND are said about bad rows. */
#include "base/assert.h"
#include "base/bytes.h"
#include "rt/disk_sim.h"
#include "store/catalog_row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

enum { ROW_HEAD_BYTES = 4, WALK_MAX = 10000 };

static void expect_error(enum ior_err err)
{
    IOR_ASSERT(err == IOR_OK || err == IOR_E_CORRUPT || err == IOR_E_VERSION ||
               err == IOR_E_NOTFOUND);
}

static bool inside(struct ior_slice part, struct ior_slice whole)
{
    return part.size_bytes == 0 || (part.data >= whole.data &&
                                    part.data + part.size_bytes <= whole.data + whole.size_bytes);
}

static void expect_same(struct ior_buf *again, struct ior_slice value)
{
    IOR_ASSERT(!ior_buf_failed(again));
    IOR_ASSERT(ior_slice_eq(ior_buf_slice(again), value));
    ior_buf_done(again);
}

/* ---- each decoder by itself ---- */

static void decode_parts(struct ior_slice value)
{
    struct ior_buf again = {0};
    struct bucket_row bucket;
    struct catalog_name name;
    struct ior_slice bytes;
    uint32_t number;
    enum ior_err err = catalog_decode_bytes(value, &bytes);
    expect_error(err);
    if (err == IOR_OK) {
        catalog_encode_bytes(&again, bytes);
        expect_same(&again, value);
    }
    err = catalog_decode_number(value, &number);
    expect_error(err);
    if (err == IOR_OK) {
        catalog_encode_number(&again, number);
        expect_same(&again, value);
    }
    err = catalog_decode_bucket(value, &bucket);
    expect_error(err);
    if (err == IOR_OK) {
        catalog_encode_bucket(&again, &bucket);
        expect_same(&again, value);
    }
    err = catalog_decode_name(value, &name);
    expect_error(err);
    if (err == IOR_OK) {
        catalog_encode_name(&again, &name);
        expect_same(&again, value);
    }
}

static void decode_rows(struct ior_slice value)
{
    struct ior_buf again = {0};
    struct stream_row stream = {0};
    struct chunk_row chunk;
    struct group_row group;
    struct key_row key;
    enum ior_err err = catalog_decode_stream(value, &stream);
    expect_error(err);
    if (err == IOR_OK) {
        IOR_ASSERT(inside(stream.name, value) && inside(stream.policy, value));
        stream.uid = 1; /* it is in the key */
        catalog_encode_stream(&again, &stream);
        expect_same(&again, value);
    }
    err = catalog_decode_chunk(value, &chunk);
    expect_error(err);
    err = catalog_decode_group(value, &group);
    expect_error(err);
    if (err == IOR_OK) IOR_ASSERT(inside(group.vote, value));
    err = catalog_decode_key(value, &key);
    expect_error(err);
    if (err == IOR_OK) {
        IOR_ASSERT(inside(key.key, value));
        catalog_encode_key(&again, &key);
        expect_same(&again, value);
    }
}

/* ---- all of it in a catalog ---- */

static bool take_name(void *ctx, struct ior_slice name)
{
    IOR_ASSERT(name.size_bytes > 0);
    return ++*(unsigned *)ctx < WALK_MAX;
}

struct walk {
    struct kv_reader *reader;
    unsigned count;
    size_t last_bytes;
    uint8_t last[STREAM_BYTES_MAX];
};

struct key_walk {
    unsigned count;
    uint64_t uid;
    uint64_t last_id;
};

/* Names come in order, and each is found by itself. */
static bool take_stream(void *ctx, const struct stream_row *row)
{
    struct walk *w = ctx;
    struct stream_row again;
    IOR_ASSERT(row->name.size_bytes > 0 && row->name.size_bytes <= STREAM_BYTES_MAX);
    IOR_ASSERT(!row->deleted);
    IOR_ASSERT(ior_slice_cmp(ior_slice(w->last, w->last_bytes), row->name) < 0);
    enum ior_err err = catalog_find_stream(w->reader, row->bucket_id, row->name, &again);
    IOR_ASSERT(err == IOR_OK && again.uid == row->uid);
    memcpy(w->last, row->name.data, row->name.size_bytes);
    w->last_bytes = row->name.size_bytes;
    return ++w->count < WALK_MAX;
}

static bool take_row(void *ctx, const struct stream_row *row)
{
    struct walk *w = ctx;
    struct stream_row again;
    expect_error(catalog_find_stream(w->reader, row->bucket_id, row->name, &again));
    return ++w->count < WALK_MAX;
}

/* Keys come in order. */
static bool take_key(void *ctx, uint64_t uid, const struct key_row *row)
{
    struct key_walk *w = ctx;
    IOR_ASSERT(uid != 0 && row->first_id > 0 && row->first_id <= row->last_id);
    IOR_ASSERT(w->uid < uid || (w->uid == uid && w->last_id < row->last_id));
    w->uid = uid;
    w->last_id = row->last_id;
    return ++w->count < WALK_MAX;
}

static void read_all(struct kv_reader *r)
{
    for (uint32_t n = 0; n < 4; n++) {
        struct walk streams = {.reader = r};
        struct walk rows = {.reader = r};
        struct chunk_row chunk;
        struct group_row group;
        struct ior_slice bytes;
        struct stream_row last;
        if (n > 0)
            expect_error(catalog_each_stream(r, n, ior_slice(NULL, 0), take_stream, &streams));
        expect_error(catalog_each_row(r, n, 0, take_row, &rows));
        expect_error(catalog_seek_chunk(r, n, 1, n * 100, &chunk));
        expect_error(catalog_last_chunk(r, n, 1, &chunk));
        struct key_walk all = {0};
        struct key_walk one = {0};
        expect_error(catalog_each_key(r, n, 0, take_key, &all));
        expect_error(catalog_each_key(r, n, 1, take_key, &one));
        IOR_ASSERT(one.count == 0 || one.uid == 1);
        expect_error(catalog_get_group(r, n, &group));
        expect_error(catalog_get_small(r, n, 1, &bytes));
        expect_error(catalog_last_stream(r, n, &last));
    }
    unsigned count = 0;
    struct bucket_row bucket;
    struct ior_slice bytes;
    expect_error(catalog_each_bucket(r, ior_slice(NULL, 0), take_name, &count));
    expect_error(catalog_each_buried(r, ior_slice(NULL, 0), take_name, &count));
    expect_error(catalog_get_bucket(r, IOR_SLICE("b"), &bucket));
    expect_error(catalog_get_meta(r, "stopped", &bytes));
}

/* What was read is written to: streams beside the rows that are there. */
static void write_some(struct kv_writer *w)
{
    uint8_t name[STREAM_BYTES_MAX];
    uint32_t id = 0;
    memset(name, 'n', sizeof name);
    expect_error(catalog_bucket_id(w, IOR_SLICE("b"), &id));
    for (size_t size = 1; size <= sizeof name; size += 341) {
        struct stream_row row = {
            .partition = 1, .uid = size, .bucket_id = 1, .name = ior_slice(name, size), .low = 1};
        expect_error(catalog_put_stream(w, &row));
    }
    expect_error(catalog_bury_chunk(w, 1, 1, 1));
    struct key_row key = {.key = IOR_SLICE("k"), .first_id = 1, .last_id = 2};
    expect_error(catalog_put_key(w, 1, 1, &key));
    expect_error(catalog_del_key(w, 1, 1, 3));
}

static void must(enum ior_err err)
{
    IOR_ASSERT(err == IOR_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct disk *disk = disk_sim_new(1);
    struct kv *kv = NULL;
    struct kv_writer *w = NULL;
    struct kv_reader *r = NULL;
    must(kv_sim_open(disk, "kv", &kv, NULL));
    must(kv_write_begin(kv, &w));
    while (size_bytes >= ROW_HEAD_BYTES) {
        enum kv_table t = data[0] % KV_TABLES;
        /* Names in pieces are the longest keys: sizes above 127 are stretched to reach them. */
        size_t key_bytes = data[1] < 128 ? data[1] : 128 + (size_t)(data[1] - 128) * 3;
        size_t value_bytes = ior_get_u16(data + 2);
        data += ROW_HEAD_BYTES;
        size_bytes -= ROW_HEAD_BYTES;
        if (key_bytes == 0 || key_bytes > KV_KEY_BYTES_MAX || key_bytes > size_bytes) break;
        if (value_bytes > size_bytes - key_bytes) value_bytes = size_bytes - key_bytes;
        struct ior_slice value = ior_slice(data + key_bytes, value_bytes);
        decode_parts(value);
        decode_rows(value);
        must(kv_put(w, t, ior_slice(data, key_bytes), value));
        data += key_bytes + value_bytes;
        size_bytes -= key_bytes + value_bytes;
    }
    must(kv_write_commit(w));
    must(kv_reader_new(kv, &r));
    must(kv_read_begin(r));
    read_all(r);
    kv_read_end(r);
    must(kv_write_begin(kv, &w));
    write_some(w);
    must(kv_write_commit(w));
    must(kv_read_begin(r));
    read_all(r);
    kv_reader_free(r);
    kv_close(kv);
    disk_free(disk);
    return 0;
}

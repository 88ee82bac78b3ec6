/* test/unit/store/test_record.c - the bytes of records and items: what is written reads
 * back, and nothing else passes for a record. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "seeded.h"
#include "store/record.h"

enum { PAYLOAD_BYTES = 13 };
static const struct record_head sample_head = {
    .kind = RECORD_ENTRY, .group = 3, .term = 9, .index = 77, .time_ms = 1700000000123};

static struct ior_blob *create_blob(void)
{
    size_t attrs = attr_bytes(3) + attr_bytes(5);
    struct ior_blob *b = ior_blob_new(item_bytes(attrs, 0));
    assert_non_null(b);
    item_write(b->data, ITEM_CREATE, 0, attrs, (struct ior_slice){NULL, 0});
    size_t n = attr_write(b->data + ITEM_HEAD_BYTES, ATTR_BUCKET, IOR_SLICE("abc"));
    attr_write(b->data + ITEM_HEAD_BYTES + n, ATTR_STREAM, IOR_SLICE("defgh"));
    item_set_place(b->data, 42, 0, 1);
    return b;
}

static struct ior_blob *events_blob(void)
{
    size_t one = item_bytes(0, PAYLOAD_BYTES);
    struct ior_blob *b = ior_blob_new(2 * one);
    assert_non_null(b);
    item_write(b->data, ITEM_APPEND, ITEM_FLAG_JSON, 0, IOR_SLICE("first payload"));
    item_write(b->data + one, ITEM_APPEND, 0, 0, IOR_SLICE("other payload"));
    item_set_place(b->data, 42, 1, 1);
    item_set_place(b->data + one, 42, 2, 1);
    return b;
}

/* A sealed record of three items, as bytes. */
static uint8_t *sample(size_t *ret_bytes)
{
    struct record r = {.front = create_blob(), .items = events_blob()};
    record_seal(&r, &sample_head);
    uint8_t *bytes = malloc(r.length_bytes);
    assert_non_null(bytes);
    size_t n = RECORD_HEAD_BYTES;
    memcpy(bytes, r.head, n);
    memcpy(bytes + n, r.front->data, r.front->size_bytes);
    n += r.front->size_bytes;
    memcpy(bytes + n, r.items->data, r.items->size_bytes);
    n += r.items->size_bytes;
    assert_int_equal(n, r.length_bytes);
    *ret_bytes = n;
    record_done(&r);
    assert_null(r.items);
    return bytes;
}

/* What: items and attributes take their heads, their bytes and the padding, no more. */
static void sizes_are_aligned(void **state)
{
    (void)state;
    static const size_t attrs[][2] = {{0, 8}, {1, 12}, {4, 12}, {5, 16}, {255, 264}};
    static const size_t items[][3] = {{0, 0, 40},
                                      {0, 1, 48},
                                      {0, 8, 48},
                                      {12, 0, 56},
                                      {12, 4, 56},
                                      {12, 5, 64},
                                      {0, 1 << 20, 40 + (1 << 20)}};
    for (size_t i = 0; i < sizeof attrs / sizeof attrs[0]; i++)
        assert_int_equal(attr_bytes(attrs[i][0]), attrs[i][1]);
    for (size_t i = 0; i < sizeof items / sizeof items[0]; i++)
        assert_int_equal(item_bytes(items[i][0], items[i][1]), items[i][2]);
}

/* What: every field of the head, every item and every attribute comes back. */
static void record_reads_back(void **state)
{
    (void)state;
    size_t n = 0;
    uint8_t *bytes = sample(&n);
    struct record_head h;
    assert_int_equal(record_check(ior_slice(bytes, n), &h, NULL), IOR_OK);
    assert_int_equal(h.length_bytes, n);
    assert_int_equal(h.kind, RECORD_ENTRY);
    assert_int_equal(h.flags, 0);
    assert_int_equal(h.group, 3);
    assert_int_equal(h.term, 9);
    assert_int_equal(h.index, 77);
    assert_int_equal(h.time_ms, 1700000000123);
    assert_int_equal(h.item_count, 3);
    struct ior_slice items = ior_slice(bytes + RECORD_HEAD_BYTES, n - RECORD_HEAD_BYTES);
    struct item it;
    size_t pos = 0;
    assert_int_equal(item_next(items, &pos, &it), IOR_OK);
    assert_int_equal(it.op, ITEM_CREATE);
    assert_int_equal(it.uid, 42);
    assert_true(ior_slice_eq(item_attr(&it, ATTR_BUCKET), IOR_SLICE("abc")));
    assert_true(ior_slice_eq(item_attr(&it, ATTR_STREAM), IOR_SLICE("defgh")));
    assert_null(item_attr(&it, ATTR_KEY).data);
    assert_int_equal(it.payload.size_bytes, 0);
    size_t second = pos;
    assert_int_equal(item_next(items, &pos, &it), IOR_OK);
    assert_int_equal(it.op, ITEM_APPEND);
    assert_int_equal(it.flags, ITEM_FLAG_JSON);
    assert_true(ior_slice_eq(it.payload, IOR_SLICE("first payload")));
    assert_int_equal(it.offset_bytes, second);
    assert_int_equal(it.seqnum, 1);
    assert_int_equal(it.low, 1);
    assert_int_equal(item_next(items, &pos, &it), IOR_OK);
    assert_true(ior_slice_eq(it.payload, IOR_SLICE("other payload")));
    assert_int_equal(it.flags, 0);
    assert_int_equal(item_next(items, &pos, &it), IOR_E_END);
    it = item_at(items, second);
    assert_int_equal(it.seqnum, 1);
    free(bytes);
}

/* What: a record without any item is a record. What follows a record is not looked at. */
static void smallest_record_and_what_follows(void **state)
{
    (void)state;
    struct record r = {0};
    record_seal(&r, &sample_head);
    assert_int_equal(r.length_bytes, RECORD_HEAD_BYTES);
    uint8_t bytes[RECORD_HEAD_BYTES + 8];
    memcpy(bytes, r.head, RECORD_HEAD_BYTES);
    memset(bytes + RECORD_HEAD_BYTES, 0xee, 8);
    struct record_head h;
    assert_int_equal(record_check(ior_slice(bytes, sizeof bytes), &h, NULL), IOR_OK);
    assert_int_equal(h.item_count, 0);
    assert_int_equal(h.length_bytes, RECORD_HEAD_BYTES);
}

static bool is_padding(const uint8_t *bytes, size_t n, size_t at)
{
    struct ior_slice items = ior_slice(bytes + RECORD_HEAD_BYTES, n - RECORD_HEAD_BYTES);
    size_t pos = 0;
    struct item it;
    while (item_next(items, &pos, &it) == IOR_OK) {
        size_t end = RECORD_HEAD_BYTES + it.offset_bytes + ITEM_HEAD_BYTES + it.attrs.size_bytes +
                     it.payload.size_bytes;
        if (at >= end && at < RECORD_HEAD_BYTES + pos) return true;
    }
    return false;
}

/* What: any single bit that is wrong is noticed, except in the zeros at the end of an
 * item, which mean nothing. */
static void every_bit_counts(void **state)
{
    (void)state;
    size_t n = 0;
    uint8_t *bytes = sample(&n);
    size_t padding = 0;
    for (size_t i = 0; i < n; i++) {
        bool means_nothing = is_padding(bytes, n, i);
        padding += means_nothing;
        for (int bit = 0; bit < 8; bit++) {
            struct record_head h = {.index = 1};
            struct ior_why why = {""};
            bytes[i] ^= (uint8_t)(1 << bit);
            enum ior_err err = record_check(ior_slice(bytes, n), &h, &why);
            assert_int_equal(err, means_nothing ? IOR_OK : IOR_E_CORRUPT);
            if (!means_nothing) assert_true(h.index == 1 && why.text[0] != 0);
            bytes[i] ^= (uint8_t)(1 << bit);
        }
    }
    assert_int_equal(padding, 4 + 2 * 3); /* behind the CREATE, and behind 13 bytes twice */
    free(bytes);
}

/* What: a record that is cut anywhere is none. */
static void every_cut_is_noticed(void **state)
{
    (void)state;
    size_t n = 0;
    uint8_t *bytes = sample(&n);
    for (size_t cut = 0; cut < n; cut++) {
        /* In memory of exactly this size, so that a sanitizer sees a read behind it. */
        uint8_t *copy = malloc(cut + 1);
        struct record_head h;
        assert_non_null(copy);
        memcpy(copy, bytes, cut);
        assert_int_equal(record_check(ior_slice(copy, cut), &h, NULL), IOR_E_CORRUPT);
        free(copy);
    }
    free(bytes);
}

/* Make the checksum fit whatever the bytes now say. */
static void fix_checksum(uint8_t *bytes, size_t n)
{
    struct ior_slice items = ior_slice(bytes + RECORD_HEAD_BYTES, n - RECORD_HEAD_BYTES);
    uint32_t crc = 0;
    size_t pos = 0;
    struct item it;
    while (item_next(items, &pos, &it) == IOR_OK)
        crc = ior_crc32c(crc, items.data + it.offset_bytes, ITEM_HEAD_BYTES + it.attrs.size_bytes);
    crc = ior_crc32c(crc, bytes + 8, RECORD_HEAD_BYTES - 8);
    ior_put_u32(bytes + 4, ior_crc32c(crc, bytes, 4));
}

/* What: a head that says another number of items is refused, although its checksum fits. */
static void wrong_item_count_is_refused(void **state)
{
    (void)state;
    size_t n = 0;
    uint8_t *bytes = sample(&n);
    struct record_head h;
    struct ior_why why = {""};
    fix_checksum(bytes, n);
    assert_int_equal(record_check(ior_slice(bytes, n), &h, &why), IOR_OK);
    ior_put_u32(bytes + 40, 2);
    fix_checksum(bytes, n);
    assert_int_equal(record_check(ior_slice(bytes, n), &h, &why), IOR_E_CORRUPT);
    assert_string_equal(why.text, "a record says 2 items and holds 3");
    free(bytes);
}

struct bad_item {
    const char *what;
    size_t at; /* in the first item */
    uint32_t value;
};

/* What: items whose lengths lead out of the record, or are impossible, are no items. */
static void impossible_items_are_refused(void **state)
{
    (void)state;
    static const struct bad_item bad[] = {
        {"attributes not of four bytes", 4, 27},
        {"more attributes than an item may have", 4, ITEM_ATTRS_BYTES_MAX + 4},
        {"attributes behind the end", 4, 400},
        {"payload behind the end", 8, 400},
        {"payload of 4 GB", 8, UINT32_MAX},
        {"payload larger than a record", 8, RECORD_BYTES_MAX + 1},
        {"an attribute longer than the attributes", ITEM_HEAD_BYTES + 4, 100},
        {"an attribute of 4 GB", ITEM_HEAD_BYTES + 4, UINT32_MAX},
        {"attributes end inside of a head", 4, 16},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct ior_blob *b = create_blob();
        struct item it = {.uid = 5};
        size_t pos = 0;
        ior_put_u32(b->data + bad[i].at, bad[i].value);
        enum ior_err err = item_next(ior_slice(b->data, b->size_bytes), &pos, &it);
        if (err != IOR_E_CORRUPT) fail_msg("%s: %s", bad[i].what, ior_err_name(err));
        assert_int_equal(pos, 0);
        assert_int_equal(it.uid, 5);
        ior_blob_unref(b);
    }
}

/* What: an attribute of a type that nobody knows is passed over; of two of one type the
 * first counts; an empty one is not the same as none. */
static void attributes_are_found(void **state)
{
    (void)state;
    size_t attrs = attr_bytes(2) + attr_bytes(0) + attr_bytes(1) + attr_bytes(3);
    struct ior_blob *b = ior_blob_new(item_bytes(attrs, 0));
    assert_non_null(b);
    item_write(b->data, ITEM_SET, 0, attrs, (struct ior_slice){NULL, 0});
    uint8_t *at = b->data + ITEM_HEAD_BYTES;
    at += attr_write(at, (enum attr_type)999, IOR_SLICE("zz"));
    at += attr_write(at, ATTR_RETAIN, IOR_SLICE(""));
    at += attr_write(at, ATTR_KEY, IOR_SLICE("k"));
    attr_write(at, ATTR_KEY, IOR_SLICE("two"));
    item_set_place(b->data, 0, 0, 0);
    struct item it = item_at(ior_slice(b->data, b->size_bytes), 0);
    assert_true(ior_slice_eq(item_attr(&it, ATTR_KEY), IOR_SLICE("k")));
    assert_non_null(item_attr(&it, ATTR_RETAIN).data);
    assert_int_equal(item_attr(&it, ATTR_RETAIN).size_bytes, 0);
    assert_true(ior_slice_eq(item_attr(&it, (enum attr_type)999), IOR_SLICE("zz")));
    assert_null(item_attr(&it, ATTR_NODE).data);
    ior_blob_unref(b);
}

/* What: random bytes, and random changes of a good record, never pass and never crash. */
static void noise_is_no_record(void **state)
{
    (void)state;
    struct seeded r = {4};
    size_t n = 0;
    uint8_t *good = sample(&n);
    uint8_t *bytes = malloc(n);
    assert_non_null(bytes);
    for (int round = 0; round < 20000; round++) {
        struct record_head h;
        memcpy(bytes, good, n);
        bool noise = round % 2 == 0;
        size_t changes = noise ? n : 2 + seeded_below(&r, 6);
        for (size_t i = 0; i < changes; i++)
            bytes[noise ? i : seeded_below(&r, RECORD_HEAD_BYTES)] = (uint8_t)seeded_next(&r);
        if (memcmp(bytes, good, n) == 0) continue;
        assert_int_equal(record_check(ior_slice(bytes, n), &h, NULL), IOR_E_CORRUPT);
        struct item it;
        size_t pos = 0;
        while (item_next(ior_slice(bytes, n), &pos, &it) == IOR_OK) assert_true(pos <= n);
    }
    free(bytes);
    free(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_aligned),
        cmocka_unit_test(record_reads_back),
        cmocka_unit_test(smallest_record_and_what_follows),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(every_cut_is_noticed),
        cmocka_unit_test(wrong_item_count_is_refused),
        cmocka_unit_test(impossible_items_are_refused),
        cmocka_unit_test(attributes_are_found),
        cmocka_unit_test(noise_is_no_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

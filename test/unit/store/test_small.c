/* test/unit/store/test_small.c - small.h: every byte of a sample (docs/formats.rst), everything
 * that comes back, and bytes that are no events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "rt/rand.h"
#include "store/chunk_format.h"
#include "store/small.h"

enum { UID = 77, EVENTS_MAX = 64 };

static const uint8_t attr[] = {4, 0, 0, 0, 1, 0, 0, 0, 'k', 0, 0, 0};

static struct chunk_entry event(uint64_t seqnum, uint64_t time_ms, uint64_t index, uint8_t flags,
                                struct ior_slice attrs, struct ior_slice payload)
{
    return (struct chunk_entry){
        .index = index,
        .time_ms = time_ms,
        .item = {.op = ITEM_APPEND,
                 .flags = flags,
                 .uid = UID,
                 .seqnum = seqnum,
                 .low = 3,
                 .payload_crc = ior_crc32c(0, payload.data, payload.size_bytes),
                 .attrs = attrs,
                 .payload = payload},
    };
}

static void expect_same(const struct chunk_entry *got, const struct chunk_entry *want)
{
    assert_true(got->index == want->index && got->time_ms == want->time_ms);
    assert_true(got->item.uid == UID && got->item.seqnum == want->item.seqnum);
    assert_int_equal(got->item.op, ITEM_APPEND);
    assert_int_equal(got->item.flags, want->item.flags);
    assert_true(got->item.low == 0 && got->item.payload_crc == want->item.payload_crc);
    assert_true(ior_slice_eq(got->item.attrs, want->item.attrs));
    assert_true(ior_slice_eq(got->item.payload, want->item.payload));
}

static void expect_all(struct ior_slice bytes, const struct chunk_entry *want, size_t count)
{
    struct small_reader r = {.bytes = bytes, .uid = UID};
    struct chunk_entry e;
    const char *what = NULL;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(small_next(&r, &e, &what), IOR_OK);
        expect_same(&e, &want[i]);
    }
    assert_int_equal(small_next(&r, &e, &what), IOR_E_END);
    assert_null(what);
}

static enum ior_err try_first(struct ior_slice bytes, struct chunk_entry *ret)
{
    struct small_reader r = {.bytes = bytes, .uid = UID};
    const char *what = NULL;
    enum ior_err err = small_next(&r, ret, &what);
    assert_true((err == IOR_E_CORRUPT) == (what != NULL));
    if (err != IOR_OK) assert_int_equal(r.pos, 0);
    return err;
}

/* What: the sample of docs/formats.rst, byte by byte. */
static void sample_has_these_bytes(void **state)
{
    (void)state;
    static const uint8_t want[] = {
        0x01,                                       /* first seqnum 1 */
        0xb7, 0xff, 0xaa, 0xcb, 0xbf, 0x68,         /* time 1795241107419, a shape follows */
        0x05,                                       /* index 5 */
        0x1d, 0x01,                                 /* payload 7, flags follow: JSON */
        '{',  '"',  'n',  '"',  ':',  '1',  '}',    /* */
        0x00, 0x00,                                 /* same time, index, shape */
        '{',  '"',  'n',  '"',  ':',  '2',  '}',    /* */
        0xd1, 0x0f, 0x03,                           /* 1000 ms, 3 records later, a shape */
        0x0e, 0x0c,                                 /* payload 3, 12 bytes of attributes */
        4,    0,    0,    0,    1,    0,    0,   0, /* */
        'k',  0,    0,    0,    '"',  'a',  '"',
    };
    const struct ior_slice none = {NULL, 0};
    const struct chunk_entry events[] = {
        event(1, 1795241107419, 5, ITEM_FLAG_JSON, none, IOR_SLICE("{\"n\":1}")),
        event(2, 1795241107419, 5, ITEM_FLAG_JSON, none, IOR_SLICE("{\"n\":2}")),
        event(3, 1795241108419, 8, ITEM_FLAG_JSON, ior_slice(attr, sizeof attr),
              IOR_SLICE("\"a\"")),
    };
    struct ior_buf out = {0};
    struct small_writer w = {.out = &out};
    for (size_t i = 0; i < IOR_LEN(events); i++) small_add(&w, &events[i]);
    assert_int_equal(out.size_bytes, sizeof want);
    assert_memory_equal(out.data, want, sizeof want);
    expect_all(ior_slice(want, sizeof want), events, IOR_LEN(events));
    ior_buf_done(&out);
}

/* What: any time, index, flags and sizes come back, also when time and index go back. */
static void everything_comes_back(void **state)
{
    (void)state;
    static const uint64_t steps[] = {
        0, 1, 63, 64, 127, 128, 8191, 8192, UINT64_MAX, 1u << 31, UINT64_MAX / 2 + 1};
    static uint8_t payload[20000];
    struct rand_state rand = {5};
    struct chunk_entry events[EVENTS_MAX];
    for (unsigned round = 0; round < 200; round++) {
        struct ior_buf out = {0};
        struct small_writer w = {.out = &out};
        size_t count = 1 + rand_below(&rand, EVENTS_MAX);
        uint64_t first = round == 0 ? CHUNK_SEQNUM_MAX - count + 1 : 1 + rand_below(&rand, 300);
        uint64_t time_ms = 0;
        uint64_t index = 0;
        size_t size = 0;
        for (size_t i = 0; i < count; i++) {
            time_ms += steps[rand_below(&rand, IOR_LEN(steps))];
            index += steps[rand_below(&rand, IOR_LEN(steps))];
            if (rand_below(&rand, 3) == 0) size = rand_below(&rand, sizeof payload);
            payload[0]++;
            events[i] =
                event(first + i, time_ms, index, (uint8_t)rand_below(&rand, 3),
                      ior_slice(attr, rand_below(&rand, 2) * sizeof attr),
                      ior_slice(payload + rand_below(&rand, 50), size > 50 ? size - 50 : 0));
            size_t before = out.size_bytes;
            small_add(&w, &events[i]);
            assert_true(out.size_bytes - before <= SMALL_EVENT_BYTES_MAX +
                                                       events[i].item.attrs.size_bytes +
                                                       events[i].item.payload.size_bytes);
        }
        for (size_t i = 0; i < count; i++) /* the payload's first byte has changed meanwhile */
            events[i].item.payload_crc =
                ior_crc32c(0, events[i].item.payload.data, events[i].item.payload.size_bytes);
        assert_false(ior_buf_failed(&out));
        struct small_reader r = {.bytes = ior_buf_slice(&out), .uid = UID};
        struct chunk_entry e;
        const char *what = NULL;
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(small_next(&r, &e, &what), IOR_OK);
            assert_true(e.index == events[i].index && e.time_ms == events[i].time_ms);
            assert_true(e.item.seqnum == first + i && e.item.flags == events[i].item.flags);
            assert_true(ior_slice_eq(e.item.attrs, events[i].item.attrs));
            assert_int_equal(e.item.payload.size_bytes, events[i].item.payload.size_bytes);
        }
        assert_int_equal(small_next(&r, &e, &what), IOR_E_END);
        ior_buf_done(&out);
    }
}

/* What: ten equal events of one request take two bytes each beside their payload, and those
 * of ten requests four. */
static void events_take_little(void **state)
{
    (void)state;
    static uint8_t payload[94];
    for (unsigned spread = 0; spread < 2; spread++) {
        struct ior_buf out = {0};
        struct small_writer w = {.out = &out};
        for (uint64_t n = 1; n <= 10; n++) {
            struct chunk_entry e =
                event(n, 1795241107419 + spread * n * 3000, 1500000 + spread * n * 1600,
                      ITEM_FLAG_JSON, ior_slice(NULL, 0), ior_slice(payload, sizeof payload));
            small_add(&w, &e);
        }
        assert_int_equal(out.size_bytes, 940 + 13 + 9 * (spread == 0 ? 2 : 4));
        ior_buf_done(&out);
    }
}

/* What: an item made of an event is the one that the journal had, but for low. */
static void items_are_whole_again(void **state)
{
    (void)state;
    const struct chunk_entry was =
        event(9, 1, 2, ITEM_FLAG_JSON, ior_slice(attr, sizeof attr), IOR_SLICE("\"abc\""));
    struct ior_buf out = {0};
    struct small_writer w = {.out = &out};
    struct chunk_entry e;
    uint8_t bytes[128];
    size_t pos = 0;
    struct item it;
    small_add(&w, &was);
    assert_int_equal(try_first(ior_buf_slice(&out), &e), IOR_OK);
    assert_true(small_item_bytes(&e) <= sizeof bytes);
    small_item_write(bytes, &e);
    assert_int_equal(item_next(ior_slice(bytes, small_item_bytes(&e)), &pos, &it), IOR_OK);
    assert_int_equal(pos, small_item_bytes(&e));
    const struct chunk_entry again = {e.index, e.time_ms, it};
    expect_same(&again, &was);
    assert_true(ior_slice_eq(item_attr(&it, ATTR_IDEMPOTENCY_KEY), IOR_SLICE("k")));
    ior_buf_done(&out);
}

/* What: bytes that are no events are CORRUPT, with what is wrong, and nothing outside is read. */
static void other_bytes_are_damage(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "\x00\x02\x00\x00",     /* first seqnum 0 */
        "\x81\x00\x02\x00\x00", /* a number that is longer than it must be */
        "\x01",                 /* no event */
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02", /* a seqnum that cannot be */
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\x02", /* more than 64 bits */
        "\x01\x80\x00\x01",                             /* a time that is longer than it must be */
        "\x01\x80\xff\xff\xff\xff\xff\xff\xff\xff\x04\x01", /* 65 bits of time */
        "\x01\x02",                                         /* no index */
        "\x01\x03\x01",                                     /* no shape */
        "\x01\x03\x01\x05\x00",                             /* flags as before */
        "\x01\x03\x01\x08",                                 /* a payload that is not there */
        "\x01\x03\x01\x02\x08"
        "1234", /* attributes that are not there */
        "\x01\x03\x01\x02\x04"
        "1234",                                                 /* attributes that are none */
        "\x01\x03\x01\x02\x08\x01\x01\x01\x01\x01\x01\x01\x01", /* one longer than they are */
        "\x01\x03\x01\xfc\xff\xff\xff\xff\xff\xff\xff\xff\x01", /* a payload of 2^62 bytes */
    };
    static const size_t sizes[] = {4, 5, 1, 11, 11, 4, 12, 2, 3, 5, 4, 9, 9, 13, 13};
    struct chunk_entry e;
    IOR_STATIC_ASSERT(IOR_LEN(rows) == IOR_LEN(sizes), "a size for each");
    for (size_t i = 0; i < IOR_LEN(rows); i++) {
        uint8_t *bytes = malloc(sizes[i]); /* its end is guarded */
        assert_non_null(bytes);
        memcpy(bytes, rows[i], sizes[i]);
        if (try_first(ior_slice(bytes, sizes[i]), &e) != IOR_E_CORRUPT) fail_msg("row %zu", i);
        free(bytes);
    }
    assert_int_equal(try_first(ior_slice(NULL, 0), &e), IOR_E_END);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sample_has_these_bytes), cmocka_unit_test(everything_comes_back),
        cmocka_unit_test(events_take_little),     cmocka_unit_test(items_are_whole_again),
        cmocka_unit_test(other_bytes_are_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/base/test_buf.c - growable bytes: growth, formats, and the sticky
 * failure that lets a builder ask once at its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "seeded.h"

static void expect_text(const struct ior_buf *b, const char *wanted)
{
    assert_false(ior_buf_failed(b));
    assert_int_equal(b->size_bytes, strlen(wanted));
    if (b->size_bytes > 0) assert_memory_equal(b->data, wanted, b->size_bytes);
}

/* What: each add function appends its form, in order, and an empty buffer is an empty slice. */
static void adds_append_in_order(void **state)
{
    (void)state;
    struct ior_buf b;
    ior_buf_init(&b);
    assert_int_equal(ior_buf_slice(&b).size_bytes, 0);
    expect_text(&b, "");
    ior_buf_add(&b, "ab", 2);
    ior_buf_add(&b, NULL, 0);
    ior_buf_add_str(&b, "");
    ior_buf_add_str(&b, "cd");
    ior_buf_add_char(&b, '-');
    ior_buf_add_slice(&b, IOR_SLICE("ef"));
    ior_buf_add_u64(&b, 120);
    ior_buf_addf(&b, "<%s:%03d>", "x", 7);
    expect_text(&b, "abcd-ef120<x:007>");
    ior_buf_done(&b);
    assert_null(b.data);
    assert_int_equal(b.size_bytes, 0);
    ior_buf_done(&b); /* twice is fine */
}

/* What: growing byte by byte over several doublings keeps every byte. */
static void growth_keeps_bytes(void **state)
{
    (void)state;
    struct ior_buf b;
    ior_buf_init(&b);
    for (unsigned i = 0; i < 70000; i++) ior_buf_add_char(&b, (char)(i * 7 % 251));
    assert_int_equal(b.size_bytes, 70000);
    assert_true(b.room_bytes >= 70000 && b.room_bytes < 2 * 70000);
    for (unsigned i = 0; i < 70000; i++) assert_int_equal(b.data[i], i * 7 % 251);
    ior_buf_done(&b);
}

/* What: room gives memory behind the content, and only grew makes it content. */
static void room_then_grew(void **state)
{
    (void)state;
    struct ior_buf b;
    ior_buf_init(&b);
    ior_buf_add_str(&b, "head");
    uint8_t *at = ior_buf_room(&b, 5000);
    assert_non_null(at);
    assert_ptr_equal(at, b.data + 4);
    assert_true(b.room_bytes - b.size_bytes >= 5000);
    memset(at, 'z', 5000);
    expect_text(&b, "head");
    ior_buf_grew(&b, 3);
    expect_text(&b, "headzzz");
    ior_buf_grew(&b, 0);
    expect_text(&b, "headzzz");
    ior_buf_done(&b);
}

/* What: clear empties the buffer and keeps its memory. */
static void clear_keeps_memory(void **state)
{
    (void)state;
    struct ior_buf b;
    ior_buf_init(&b);
    ior_buf_addf(&b, "%01000d", 1);
    const uint8_t *data = b.data;
    const size_t room = b.room_bytes;
    ior_buf_clear(&b);
    expect_text(&b, "");
    ior_buf_add_str(&b, "again");
    expect_text(&b, "again");
    assert_ptr_equal(b.data, data);
    assert_int_equal(b.room_bytes, room);
    ior_buf_done(&b);
}

/* What: a format longer than the room is written whole, in any length around the doublings. */
static void formats_of_every_length(void **state)
{
    (void)state;
    struct ior_buf b;
    ior_buf_init(&b);
    for (int width = 1; width < 1100; width += 1) {
        ior_buf_clear(&b);
        ior_buf_addf(&b, "%*d", width, 5);
        assert_int_equal(b.size_bytes, width);
        assert_int_equal(b.data[width - 1], '5');
    }
    ior_buf_done(&b);
}

/* What: a size that cannot be fails, stays failed, changes no byte, and clear forgives it. */
static void failure_is_sticky(void **state)
{
    (void)state;
    struct ior_buf b;
    ior_buf_init(&b);
    ior_buf_add_str(&b, "ok");
    assert_null(ior_buf_room(&b, SIZE_MAX / 2));
    assert_true(ior_buf_failed(&b));
    assert_null(ior_buf_room(&b, 1));
    ior_buf_add(&b, "x", 1);
    ior_buf_add_str(&b, "x");
    ior_buf_add_char(&b, 'x');
    ior_buf_add_u64(&b, 1);
    ior_buf_addf(&b, "%d", 1);
    assert_true(ior_buf_failed(&b));
    assert_true(ior_slice_eq(ior_buf_slice(&b), IOR_SLICE("ok")));
    ior_buf_clear(&b);
    ior_buf_add_str(&b, "new");
    expect_text(&b, "new");
    ior_buf_done(&b);
}

/* What: a buffer in the caller's memory stays there while it fits, and moves out with all
 * its bytes when it does not; the memory is never freed. */
static void begins_in_borrowed_memory(void **state)
{
    (void)state;
    struct ior_buf b;
    char memory[16];
    ior_buf_init_in(&b, memory, sizeof memory);
    ior_buf_add(&b, "0123456789", 10);
    assert_ptr_equal(b.data, memory);
    ior_buf_add(&b, "abcdef", 6);
    assert_ptr_equal(b.data, memory);
    assert_true(b.borrowed);
    ior_buf_add_char(&b, '!');
    assert_ptr_not_equal(b.data, memory);
    assert_false(b.borrowed);
    assert_int_equal(b.size_bytes, 17);
    assert_memory_equal(b.data, "0123456789abcdef!", 17);
    ior_buf_done(&b);
    ior_buf_init_in(&b, memory, sizeof memory);
    ior_buf_add_char(&b, 'x');
    ior_buf_done(&b);
    assert_null(b.data);
    assert_false(b.borrowed);
}

/* What: decimal is right at every power of ten, at both ends, and on seeded numbers. */
static void decimal_numbers(void **state)
{
    (void)state;
    struct seeded rnd = {10};
    uint64_t power = 1;
    char wanted[32];
    char out[20];
    for (int i = 0; i < 2000; i++) {
        uint64_t v = seeded_next(&rnd) >> seeded_below(&rnd, 64);
        if (i == 0) v = 0;
        if (i == 1) v = UINT64_MAX;
        if (i >= 2 && i < 42) {
            v = i % 2 == 0 ? power : power - 1;
            if (i % 2 == 1) power *= 10;
        }
        const int size = snprintf(wanted, sizeof wanted, "%llu", (unsigned long long)v);
        assert_int_equal(ior_u64_dec(v, out), size);
        assert_memory_equal(out, wanted, (size_t)size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_append_in_order),
        cmocka_unit_test(growth_keeps_bytes),
        cmocka_unit_test(room_then_grew),
        cmocka_unit_test(clear_keeps_memory),
        cmocka_unit_test(formats_of_every_length),
        cmocka_unit_test(failure_is_sticky),
        cmocka_unit_test(begins_in_borrowed_memory),
        cmocka_unit_test(decimal_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

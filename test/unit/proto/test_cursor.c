/* test/unit/proto/test_cursor.c - cursors: there and back, forged ones, their size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/listen/cursor.h"

static struct token_key key;
static struct token_key other_key;

static int set_up(void **state)
{
    struct ior_why why;
    (void)state;
    assert_int_equal(token_key_init(&key, "hs256", IOR_SLICE("0123456789abcdef"), &why), IOR_OK);
    assert_int_equal(token_key_init(&other_key, "hs256", IOR_SLICE("0123456789abcdeg"), &why),
                     IOR_OK);
    return 0;
}

static struct cursor make(size_t count, uint64_t next)
{
    struct cursor c = {.count = count};
    char name[16];
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "stream-%zu", i);
        c.marks[i] =
            (struct cursor_mark){cursor_name(IOR_SLICE("b"), ior_slice_str(name)), next + i};
    }
    return c;
}

static struct ior_slice write(const struct cursor *c, struct ior_buf *out)
{
    ior_buf_init(out);
    cursor_write(&key, c, out);
    assert_false(ior_buf_failed(out));
    return ior_buf_slice(out);
}

/* What: 0 to 64 streams come back as they were, in at most 1,024 bytes of base64url. */
static void there_and_back(void **state)
{
    (void)state;
    for (size_t count = 0; count <= LISTEN_SUBS_MAX; count++) {
        const struct cursor c = make(count, ((uint64_t)1 << 48) - 1 - count);
        struct cursor back = {.count = 77};
        struct ior_buf out;
        struct ior_slice text = write(&c, &out);
        assert_in_range(text.size_bytes, 1, CURSOR_BYTES_MAX);
        for (size_t i = 0; i < text.size_bytes; i++)
            assert_non_null(strchr(
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", text.data[i]));
        assert_true(cursor_read(&key, text, &back));
        assert_int_equal(back.count, count);
        for (size_t i = 0; i < count; i++) {
            uint64_t next = 0;
            assert_true(cursor_find(&back, c.marks[i].name, &next));
            assert_int_equal(next, c.marks[i].next);
        }
        uint64_t next = 5;
        assert_false(cursor_find(&back, cursor_name(IOR_SLICE("x"), IOR_SLICE("y")), &next));
        assert_int_equal(next, 5);
        ior_buf_done(&out);
    }
}

/* What: every change of one character, a longer and a shorter text, and another key are refused. */
static void forged(void **state)
{
    (void)state;
    const struct cursor c = make(3, 7);
    struct cursor back = {.count = 77};
    struct ior_buf out;
    struct ior_slice text = write(&c, &out);
    assert_false(cursor_read(&other_key, text, &back));
    for (size_t i = 0; i < text.size_bytes; i++) {
        uint8_t was = out.data[i];
        for (unsigned b = 1; b < 256; b++) {
            out.data[i] = (uint8_t)(was ^ b);
            assert_false(cursor_read(&key, text, &back));
        }
        out.data[i] = was;
        assert_false(cursor_read(&key, ior_slice(text.data, i), &back));
    }
    ior_buf_add_char(&out, 'A');
    assert_false(cursor_read(&key, ior_buf_slice(&out), &back));
    assert_int_equal(back.count, 77);
    ior_buf_done(&out);
}

/* Seal these bytes with the right key, as another version of the program would. */
static bool read_sealed(const uint8_t *raw, size_t n)
{
    uint8_t sealed[128];
    struct cursor back;
    struct ior_buf text;
    memcpy(sealed, raw, n);
    seal_make(&key, "iorio listen cursor", ior_slice(raw, n), sealed + n);
    ior_buf_init(&text);
    seal_to_text(ior_slice(sealed, n + SEAL_BYTES), &text);
    bool ok = cursor_read(&key, ior_buf_slice(&text), &back);
    ior_buf_done(&text);
    return ok;
}

/* What: the bytes are those of docs/formats.rst; another version, or a count that does not fit, is
 * refused although the seal is good. */
static void other_versions(void **state)
{
    (void)state;
    const uint8_t good[] = {1, 1, 1, 2, 3, 4, 5, 9, 0, 0, 0, 0, 0};
    uint8_t bad[sizeof good];
    assert_true(read_sealed(good, sizeof good));
    memcpy(bad, good, sizeof bad);
    bad[0] = 2;
    assert_false(read_sealed(bad, sizeof bad));
    bad[0] = 1;
    bad[1] = 2;
    assert_false(read_sealed(bad, sizeof bad));
    bad[1] = 255;
    assert_false(read_sealed(bad, sizeof bad));
    assert_false(read_sealed(good, sizeof good - 1));
    assert_false(read_sealed(good, 1));
    assert_false(read_sealed(good, 0));
}

/* What: two streams that cannot be told apart, and an id that has no room, are left out. */
static void left_out(void **state)
{
    (void)state;
    struct cursor c = make(4, 10);
    struct cursor back;
    struct ior_buf out;
    uint64_t next = 0;
    c.marks[1].name = c.marks[2].name;
    c.marks[3].next = (uint64_t)1 << 48;
    assert_true(cursor_read(&key, write(&c, &out), &back));
    assert_int_equal(back.count, 1);
    assert_true(cursor_find(&back, c.marks[0].name, &next));
    assert_int_equal(next, 10);
    ior_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(there_and_back, set_up), cmocka_unit_test_setup(forged, set_up),
        cmocka_unit_test_setup(other_versions, set_up), cmocka_unit_test_setup(left_out, set_up)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

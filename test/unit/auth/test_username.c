/* test/unit/auth/test_username.c - src/auth/username.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "auth/username.h"

/* The code point as UTF-8; written apart from the code under test. */
static size_t encode(uint32_t c, uint8_t *out)
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xc0 | (c >> 6));
        out[1] = (uint8_t)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xe0 | (c >> 12));
        out[1] = (uint8_t)(0x80 | ((c >> 6) & 0x3f));
        out[2] = (uint8_t)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | (c >> 18));
    out[1] = (uint8_t)(0x80 | ((c >> 12) & 0x3f));
    out[2] = (uint8_t)(0x80 | ((c >> 6) & 0x3f));
    out[3] = (uint8_t)(0x80 | (c & 0x3f));
    return 4;
}

/* An exact copy on the heap, so that a read past the end is seen by ASan. */
static bool ok(const void *bytes, size_t size_bytes)
{
    uint8_t *copy = malloc(size_bytes + (size_bytes == 0));
    assert_non_null(copy);
    memcpy(copy, bytes, size_bytes);
    struct ior_why why = {""};
    bool answer = username_check(ior_slice(copy, size_bytes), &why) == IOR_OK;
    assert_int_equal(answer, username_ok(ior_slice(copy, size_bytes)));
    assert_int_equal(answer, why.text[0] == 0); /* a refusal says why */
    free(copy);
    return answer;
}

static bool ok_str(const char *s)
{
    return ok(s, strlen(s));
}

/* What: every code point is legal or not exactly as API.md section 4 lists them,
 *       alone and in the middle of a name. */
static void every_code_point(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (c >= 0xd800 && c <= 0xdfff) continue; /* no characters */
        if (c > 0x3000 && c % 97 != 0) continue;  /* far from every border */
        bool legal = !(c <= 44 || c == 47 || (c >= 58 && c <= 63) || (c >= 127 && c <= 191));
        uint8_t name[6];
        assert_int_equal(ok(name, encode(c, name)), legal);
        name[0] = 'x';
        size_t size_bytes = 1 + encode(c, name + 1);
        name[size_bytes++] = 'y';
        assert_int_equal(ok(name, size_bytes), legal);
    }
}

/* What: names that people use pass, with their case. */
static void common_names(void **state)
{
    (void)state;
    assert_true(ok_str("admin"));
    assert_true(ok_str("anonymous"));
    assert_true(ok_str("Ada-Lovelace"));
    assert_true(ok_str("bob@example.org"));
    assert_true(ok_str("sensor_17.b"));
    assert_true(ok_str("J\xc3\xbcrgen"));
    assert_false(ok_str("a b"));
    assert_false(ok_str("a/b"));
    assert_false(ok_str("a:b"));
    assert_false(ok_str("*"));
    assert_false(ok_str("a+b"));
}

/* What: the five reserved words are refused in any case; words that contain them are not. */
static void reserved_words(void **state)
{
    (void)state;
    static const char *const words[] = {"all", "on", "to", "from", "any",
                                        "ALL", "On", "tO", "From", "aNy"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) assert_false(ok_str(words[i]));
    assert_true(ok_str("alls"));
    assert_true(ok_str("o"));
    assert_true(ok_str("ton"));
    assert_true(ok_str("from1"));
}

/* What: 1 to 64 characters, counted as characters and not as bytes; and never
 *       more bytes than a name may have elsewhere. */
static void length_bounds(void **state)
{
    (void)state;
    uint8_t name[65 * 4];
    assert_false(ok("", 0));
    assert_false(username_ok(ior_slice(NULL, 0)));
    memset(name, 'a', sizeof name);
    assert_true(ok(name, 1));
    assert_true(ok(name, 64));
    assert_false(ok(name, 65));
    for (size_t i = 0; i < 65; i++) encode(0x20ac, name + 3 * i);
    assert_true(ok(name, 64 * 3));
    assert_false(ok(name, 65 * 3));
    for (size_t i = 0; i < 65; i++) encode(0x1f600, name + 4 * i);
    assert_true(ok(name, 63 * 4));
    assert_false(ok(name, 64 * 4)); /* 256 bytes: above USERNAME_BYTES_MAX */
}

/* What: bytes that are no UTF-8 are refused: cut, overlong, surrogate, too high, stray. */
static void no_utf8(void **state)
{
    (void)state;
    assert_false(ok_str("a\xc3"));
    assert_false(ok_str("a\xe2\x82"));
    assert_false(ok_str("a\xf0\x9f\x98"));
    assert_false(ok_str("\xc1\x81"));
    assert_false(ok_str("\xe0\x81\x81"));
    assert_false(ok_str("\xed\xa0\x80"));
    assert_false(ok_str("\xf4\x90\x80\x80"));
    assert_false(ok_str("\x80"));
    assert_false(ok_str("\xff"));
}

/* What: two names are one user when they differ only in the case of ASCII letters. */
static void same_without_case(void **state)
{
    (void)state;
    assert_true(username_same(IOR_SLICE("Bob"), IOR_SLICE("bOB")));
    assert_false(username_same(IOR_SLICE("Bob"), IOR_SLICE("Bobo")));
    assert_false(username_same(IOR_SLICE("bob@"), IOR_SLICE("bob`"))); /* 0x40 and 0x60 */
    assert_false(username_same(IOR_SLICE("[a"), IOR_SLICE("{a")));
    assert_false(username_same(IOR_SLICE("\xc3\x84"), IOR_SLICE("\xc3\xa4")));
    uint8_t out[USERNAME_BYTES_MAX];
    struct ior_slice folded = username_fold(IOR_SLICE("AZ@[az\xc3\x84"), out);
    assert_true(ior_slice_eq(folded, IOR_SLICE("az@[az\xc3\x84")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point), cmocka_unit_test(common_names),
        cmocka_unit_test(reserved_words),   cmocka_unit_test(length_bounds),
        cmocka_unit_test(no_utf8),          cmocka_unit_test(same_without_case),
    };
    return cmocka_run_group_tests_name("auth/username", tests, NULL, NULL);
}

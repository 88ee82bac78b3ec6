/* test/unit/core/test_names.c - what may be the name of a bucket or a stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "core/iorio.h"

static void expect(struct ior_slice name, bool ok)
{
    assert_int_equal(iorio_bucket_name_ok(name), ok);
    assert_int_equal(iorio_stream_name_ok(name), ok);
}

/* What: ordinary names, with blanks, slashes, quotes, stars and the dollar of ours, are names. */
static void ordinary_names_are_ok(void **state)
{
    (void)state;
    static const char *const names[] = {"a",
                                        "orders",
                                        "$sys",
                                        "x-$patch",
                                        "a b",
                                        " ",
                                        "a/b/c",
                                        "\"q\"",
                                        "*",
                                        "a:b%20",
                                        "...",
                                        ".a",
                                        "a.",
                                        "..a",
                                        "~",
                                        "\\",
                                        "caf\xc3\xa9",
                                        "\xe2\x82\xac",
                                        "\xf0\x9f\x98\x80",
                                        "\xc2\xa0"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        expect(ior_slice_str(names[i]), true);
}

/* What: the empty name and the two names of folders are none. */
static void empty_and_dots_are_not(void **state)
{
    (void)state;
    expect(IOR_SLICE(""), false);
    expect(ior_slice(NULL, 0), false);
    expect(IOR_SLICE("."), false);
    expect(IOR_SLICE(".."), false);
}

/* What: a bucket has up to 255 bytes, a stream up to 1,024, and not one more. */
static void lengths_have_limits(void **state)
{
    (void)state;
    char long_name[STREAM_BYTES_MAX + 2];
    memset(long_name, 'n', sizeof long_name);
    assert_true(iorio_bucket_name_ok(ior_slice(long_name, BUCKET_BYTES_MAX)));
    assert_false(iorio_bucket_name_ok(ior_slice(long_name, BUCKET_BYTES_MAX + 1)));
    assert_true(iorio_stream_name_ok(ior_slice(long_name, STREAM_BYTES_MAX)));
    assert_false(iorio_stream_name_ok(ior_slice(long_name, STREAM_BYTES_MAX + 1)));
    assert_false(iorio_stream_name_ok(ior_slice(long_name, STREAM_BYTES_MAX + 2)));
}

/* What: every control character is refused wherever it stands: C0, DEL, and C1 in its two bytes. */
static void control_characters_are_not(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 0xa0; c++) {
        uint8_t name[4] = {'a', (uint8_t)c, 'b', 0};
        size_t n = 3;
        if (c >= 0x80) {
            name[1] = 0xc2;
            name[2] = (uint8_t)c;
            name[3] = 'b';
            n = 4;
        }
        const bool control = c < 0x20 || c >= 0x7f;
        expect(ior_slice(name, n), !control);
        expect(ior_slice(name, n - 1), !control);     /* at the end */
        expect(ior_slice(name + 1, n - 1), !control); /* at the start */
    }
}

/* What: bytes that are no UTF-8 are refused: overlong forms, surrogates, cut and stray bytes. */
static void only_utf8(void **state)
{
    (void)state;
    static const char *const names[] = {
        "\xff", "a\x80", "\xc3", "\xe2\x82", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
        "\xc2", "x\xc2"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        expect(ior_slice_str(names[i]), false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ordinary_names_are_ok),
        cmocka_unit_test(empty_and_dots_are_not),
        cmocka_unit_test(lengths_have_limits),
        cmocka_unit_test(control_characters_are_not),
        cmocka_unit_test(only_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

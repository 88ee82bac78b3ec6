/* test/unit/base/test_json_value.c - values where they stand: their ends, their members, their
 * texts, and when two are the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/json_value.h"

/* What: a value ends where it ends, whatever is in its strings and behind it, and says how deep
 * it nests. */
static void ends(void **state)
{
    static const struct {
        const char *text;
        size_t size_bytes;
        unsigned height;
    } cases[] = {
        {"1,2", 1, 0},
        {"-1.5e+10]", 8, 0},
        {"true}", 4, 0},
        {"null", 4, 0},
        {"\"\" ", 2, 0},
        {"\"a\\\"]\\\\\",", 8, 0},
        {"\"\\\\\"\"", 4, 0},
        {"\"\xc3\xa9\xe2\x82\xac\\u00e9]\"x", 14, 0},
        {"[],", 2, 1},
        {"{}]", 2, 1},
        {"[ 1 , \"]\" ] ]", 11, 1},
        {"{\"a\":[{\"}\":{}}],\"b\":1}}", 22, 4},
        {"[[[[]]],[]]1", 11, 4},
        {"[1\n,\r2\t]\n", 8, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const uint8_t *text = (const uint8_t *)cases[i].text;
        unsigned height = 77;
        const uint8_t *end = json_value_end(text, text + strlen(cases[i].text), &height);
        assert_int_equal(end - text, cases[i].size_bytes);
        assert_int_equal(height, cases[i].height);
    }
}

/* What: members come in their order, with their names as they are written. */
static void walks(void **state)
{
    static const char text[] = " { \"a\" : 1 , \"b\\u0020\":[1,{}],\"\":\"x,}\" , \"a\":null } ";
    static const char *const want[] = {"\"a\"", "1",       "\"b\\u0020\"", "[1,{}]",
                                       "\"\"",  "\"x,}\"", "\"a\"",        "null"};
    struct json_walk w;
    struct json_member m;
    size_t n = 0;
    (void)state;
    json_walk_begin(&w, json_trim(IOR_SLICE(text)));
    while (json_walk_next(&w, &m)) {
        assert_true(ior_slice_eq(m.name, ior_slice_str(want[n])));
        assert_true(ior_slice_eq(m.value, ior_slice_str(want[n + 1])));
        assert_int_equal(m.height, n == 2 ? 2 : 0);
        n += 2;
    }
    assert_int_equal(n, 8);
    json_walk_begin(&w, IOR_SLICE("[ ]"));
    assert_false(json_walk_next(&w, &m));
    json_walk_begin(&w, IOR_SLICE("[ 1 , [ ] ]"));
    assert_true(json_walk_next(&w, &m));
    assert_int_equal(m.name.size_bytes, 0);
    assert_true(json_walk_next(&w, &m));
    assert_true(ior_slice_eq(m.value, IOR_SLICE("[ ]")));
    assert_false(json_walk_next(&w, &m));
    assert_false(json_walk_next(&w, &m));
}

static void expect_text(const char *raw, const char *text, size_t size_bytes)
{
    uint8_t out[64];
    size_t n = json_unquote(ior_slice_str(raw), out);
    assert_int_equal(n, size_bytes);
    assert_memory_equal(out, text, size_bytes);
    assert_true(json_string_is(ior_slice_str(raw), ior_slice(text, size_bytes)));
    assert_false(json_string_is(ior_slice_str(raw), IOR_SLICE("something else")));
    if (size_bytes > 0)
        assert_false(json_string_is(ior_slice_str(raw), ior_slice(text, size_bytes - 1)));
    struct ior_buf again;
    ior_buf_init(&again);
    ior_json_quote(&again, ior_slice(text, size_bytes));
    assert_int_equal(json_string_cmp(ior_slice_str(raw), ior_buf_slice(&again)), 0);
    ior_buf_done(&again);
}

/* What: escapes are what they stand for, in all their spellings. */
static void texts(void **state)
{
    (void)state;
    expect_text("\"\"", "", 0);
    expect_text("\"plain\"", "plain", 5);
    expect_text("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8);
    expect_text("\"\\u0041\\u00e9\\u20aC\"", "A\xc3\xa9\xe2\x82\xac", 6);
    expect_text("\"\\ud83d\\uDE00\"", "\xf0\x9f\x98\x80", 4);
    expect_text("\"\\udbff\\udfff\"", "\xf4\x8f\xbf\xbf", 4);
    expect_text("\"a\\u0000b\"", "a\0b", 3);
    expect_text("\"\\u007f\\u0080\\u07ff\\u0800\\uffff\"",
                "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf", 11);
}

/* What: strings are in the order of their texts. */
static void order_of_strings(void **state)
{
    static const char *const sorted[] = {"\"\"",        "\"\\u0000\"",  "\"A\"",
                                         "\"\\u0042\"", "\"Ba\"",       "\"a\"",
                                         "\"\\u00e9\"", "\"\xc3\xaa\"", "\"\\u20ac\""};
    (void)state;
    for (size_t i = 0; i < sizeof sorted / sizeof sorted[0]; i++) {
        for (size_t k = 0; k < sizeof sorted / sizeof sorted[0]; k++) {
            int c = json_string_cmp(ior_slice_str(sorted[i]), ior_slice_str(sorted[k]));
            assert_int_equal(c < 0, i < k);
            assert_int_equal(c > 0, i > k);
        }
    }
}

/* What: numbers with the same value are the same, however they are written; and only those. */
static void numbers(void **state)
{
    static const char *const same[][8] = {
        {"0", "-0", "0.0", "0e5", "-0.000E-7", "0e999999999999999999999999", NULL},
        {"1", "1.0", "10e-1", "0.1e1", "0.0001E+4", "100e-2", "1e0", NULL},
        {"-1", "-1.000", "-10e-1", NULL},
        {"100", "1e2", "100.00", "0.1e+003", "1000e-1", NULL},
        {"12345678901234567890", "12345678901234567890.0", "1234567890123456789e1", NULL},
        {"12345678901234567891", NULL},
        {"0.1", "1e-1", "0.10", "10e-2", NULL},
        {"0.30000000000000004", "30000000000000004e-17", NULL},
        {"0.3", NULL},
        {"1e999", "10e998", "0.1e1000", NULL},
        {"1e-999", "10e-1000", "0.01e-997", NULL},
        {"1e99999999999999999999", "10e99999999999999999998", "0.1e100000000000000000000", NULL},
        {"1e-99999999999999999999", "0.1e-99999999999999999998", "10e-100000000000000000000", NULL},
        {"1e100000000000000000001", NULL},
        {"10203", "1020.3e1", "1.0203e4", "102030e-1", NULL},
        {"10200", NULL},
        {"9007199254740993", NULL},
        {"9007199254740992", "9007199254740.992e3", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        for (size_t a = 0; same[i][a] != NULL; a++) {
            for (size_t k = 0; k < sizeof same / sizeof same[0]; k++) {
                for (size_t b = 0; same[k][b] != NULL; b++)
                    assert_int_equal(
                        json_number_eq(ior_slice_str(same[i][a]), ior_slice_str(same[k][b])),
                        i == k);
            }
        }
    }
}

/* What: an arena gives aligned pieces that do not overlap, within its budget. */
static void arena(void **state)
{
    enum { PIECES = 400 };
    struct ior_arena a;
    uint8_t *at[PIECES];
    (void)state;
    ior_arena_init(&a, 1 << 20);
    for (size_t i = 0; i < PIECES; i++) {
        at[i] = ior_arena_alloc(&a, i);
        assert_non_null(at[i]);
        assert_int_equal((uintptr_t)at[i] % 16, 0);
        memset(at[i], (int)(i & 0xff), i);
    }
    for (size_t i = 0; i < PIECES; i++) {
        for (size_t k = 0; k < i; k++) assert_int_equal(at[i][k], i & 0xff);
    }
    assert_false(a.over_budget);
    assert_null(ior_arena_alloc(&a, 1 << 20));
    assert_true(a.over_budget);
    assert_null(ior_arena_alloc(&a, SIZE_MAX - 3));
    ior_arena_done(&a);
    ior_arena_init(&a, 1000); /* no multiple of the alignment */
    size_t n = 0;
    while (ior_arena_alloc(&a, 1) != NULL) n++;
    assert_int_equal(n, 1000 / 16);
    ior_arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ends),    cmocka_unit_test(walks),
        cmocka_unit_test(texts),   cmocka_unit_test(order_of_strings),
        cmocka_unit_test(numbers), cmocka_unit_test(arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

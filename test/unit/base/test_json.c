/* test/unit/base/test_json.c - the JSON checker against written cases, against its
 * own contract about offsets, and against jansson.
 * The case tables follow the categories of the usual JSON test suites (y: must be
 * taken, n: must be refused, with the offset of the first byte that cannot be). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/json.h"
#include "seeded.h"

struct good_case {
    const char *text;
    size_t size_bytes;
};
struct bad_case {
    const char *text;
    size_t size_bytes;
    size_t at;
};

#define Y(literal)                                                                                 \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }
#define N(literal, at)                                                                             \
    {                                                                                              \
        literal, sizeof(literal) - 1, at                                                           \
    }

enum { DEPTH = 64, SEED = 20240607 };

/* In memory of exactly this size, so that a sanitizer sees a read behind the end. */
static enum ior_err check_sized(const void *text, size_t size_bytes, unsigned depth, size_t *ret_at)
{
    uint8_t *copy = malloc(size_bytes == 0 ? 1 : size_bytes);
    assert_non_null(copy);
    memcpy(copy, text, size_bytes);
    const enum ior_err err = ior_json_check(ior_slice(copy, size_bytes), depth, ret_at);
    free(copy);
    return err;
}

/* What *ret_at means: the bytes before it are the start of a good text, and with
 * the byte at it they are not. */
static void check_offset_contract(const void *text, size_t size_bytes, size_t at)
{
    size_t again = SIZE_MAX;
    assert_true(at <= size_bytes);
    if (check_sized(text, at, DEPTH, &again) != IOR_OK) assert_int_equal(again, at);
    if (at == size_bytes) return;
    assert_int_equal(check_sized(text, at + 1, DEPTH, &again), IOR_E_BODY);
    assert_int_equal(again, at);
}

static void expect_good(const struct good_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = SIZE_MAX;
        const enum ior_err err = check_sized(cases[i].text, cases[i].size_bytes, DEPTH, &at);
        if (err != IOR_OK) {
            fail_msg("good case %zu refused at %zu: %s", i, at, cases[i].text);
        }
        assert_true(at == SIZE_MAX); /* untouched */
    }
}

static void expect_bad(const struct bad_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = SIZE_MAX;
        const enum ior_err err = check_sized(cases[i].text, cases[i].size_bytes, DEPTH, &at);
        if (err != IOR_E_BODY || at != cases[i].at) {
            fail_msg("bad case %zu: %s at %zu, wanted BODY at %zu: %s", i, ior_err_name(err), at,
                     cases[i].at, cases[i].text);
        }
        assert_int_equal(check_sized(cases[i].text, cases[i].size_bytes, DEPTH, NULL), IOR_E_BODY);
        check_offset_contract(cases[i].text, cases[i].size_bytes, at);
    }
}

/* One case a line would hide how they belong together. */
/* clang-format off */
static const struct good_case good_structures[] = {
    Y("[]"), Y("{}"), Y("[[]]"), Y("[{}]"), Y("{\"a\":[]}"), Y("{\"a\":{}}"), Y("[[],[]]"),
    Y("[null]"), Y("[true,false,null]"), Y("null"), Y("true"), Y("false"), Y("\"\""), Y("42"),
    Y("-0"), Y("0"), Y(" [] "), Y("\t\r\n [ \n1 \r, \t2 ] \n"), Y("[1\n]"), Y("[ ]"), Y("{ }"),
    Y("{\"\":0}"), Y("{\"a\":1,\"a\":2}"), Y("{\"a\":1,\"a\":1}"), Y("{ \"a\" : 1 , \"b\" : 2 }"),
    Y("{\"a\":{\"b\":[1,{\"c\":null}]},\"d\":[]}"), Y("[1,null,null,null,2]"), Y("[\"a\"]\n"),
    Y("                                [1]"), Y("[1]                              "),
    Y("{\n        \"long indent\":\n                 [\n        1\n        ]\n}"),
    Y("{\"a\\u0000b\":1}"), Y("{\"x\":[{\"id\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}]}"),
};

static const struct bad_case bad_structures[] = {
    N("", 0), N(" ", 1), N("\n\n\n", 3), N("[", 1), N("{", 1), N("]", 0), N("}", 0), N("[]]", 2),
    N("{}}", 2), N("[}", 1), N("{]", 1), N("[1}", 2), N("{\"a\":1]", 6), N("[,]", 1), N("[,1]", 1),
    N("[1,]", 3), N("[1,,2]", 3), N("[1 2]", 3), N("[1", 2), N("[1,", 3), N("[\"a\"", 4),
    N("[1,\n1\n,1", 8), N("{,}", 1), N("{\"a\"}", 4), N("{\"a\":}", 5), N("{\"a\":1,}", 7),
    N("{\"a\":1,,\"b\":2}", 7), N("{\"a\" 1}", 5), N("{\"a\"::1}", 5), N("{\"a\",1}", 4),
    N("{1:1}", 1), N("{null:1}", 1), N("{'a':1}", 1), N("{a:1}", 1), N("{\"a\":1", 6),
    N("{\"a\":", 5), N("{\"a\"", 4), N("{\"a", 3), N("{[]:1}", 1), N("{\"a\":1 \"b\":2}", 7),
    N("1 2", 2), N("[] []", 3), N("null null", 5), N("[],", 2), N("{},", 2), N("1,", 1), N(":", 0),
    N(",", 0), N("[:]", 1), N("[1:2]", 2), N("{\"a\":1:2}", 6), N("tru", 3), N("truE", 3),
    N("True", 0), N("TRUE", 0), N("nul", 3), N("nulll", 4), N("falsee", 5), N("fals", 4),
    N("nan", 1), N("NaN", 0), N("Infinity", 0), N("undefined", 0), N("[true,fals]", 10),
    N("truefalse", 4), N("*", 0), N("<null>", 0), N("/* c */1", 0), N("1/* c */", 1), N("1//", 1),
    N("#1", 0), N("[1,#\n2]", 3), N("\xef\xbb\xbf[]", 0), N("\xff\xfe[\0]\0", 0), N("\0", 0),
    N("[]\0", 2), N("[\0]", 1), N("1\0", 1), N("\f[]", 0), N("[\f]", 1), N("\v1", 0),
    N("1\x1e", 1), N("\xc2\xa0[]", 0), N("[\xe2\x80\xa8]", 1), N("[\x7f]", 1),
    N("\xe2\x81\xa0[]", 0), N("            x", 12), N("[1,\n        \f1]", 12), N("(1)", 0),
    N("\\u005b]", 0), N("[\\n]", 1),
};

static const struct good_case good_numbers[] = {
    Y("0"), Y("-0"), Y("1"), Y("-1"), Y("10"), Y("1234567890"), Y("0.5"), Y("-0.5"), Y("0.0"),
    Y("10.01"), Y("1e1"), Y("1E1"), Y("1e+1"), Y("1e-1"), Y("1E+01"), Y("0e0"), Y("0e+1"),
    Y("-0e-0"), Y("1.5e10"), Y("123.456e-78"), Y("1e400"), Y("-1e9999"), Y("1e-400"),
    Y("0.00000000000000000000000000000000000000000000000000000000000000001"),
    Y("100000000000000000000000000000000000000000000000000000000000"), Y("9223372036854775808"),
    Y("-9223372036854775809"), Y("18446744073709551616"), Y("[-0]"), Y("[1,2.5,-3e4]"),
    Y("{\"a\":-1.5E-3}"),
};

static const struct bad_case bad_numbers[] = {
    N("-", 1), N("+1", 0), N("+0", 0), N("01", 1), N("00", 1), N("-01", 2), N("-00", 2),
    N("0123", 1), N("1.", 2), N(".5", 0), N("-.5", 1), N("1.e1", 2), N("0.", 2), N("1.5.2", 3),
    N("1e", 2), N("1E", 2), N("1e+", 3), N("1e-", 3), N("1e+-1", 3), N("1e1.5", 3), N("1e1e1", 3),
    N("0e", 2), N("0.3e", 4), N("0.3e+", 5), N("--1", 1), N("-+1", 1), N("- 1", 1), N("1-1", 1),
    N("1+1", 1), N("1-", 1), N("0x1f", 1), N("0X1F", 1), N("1a", 1), N("1_000", 1), N("1 000", 2),
    N("1,000", 1), N("-Infinity", 1), N("-NaN", 1), N("1f", 1), N("[-]", 2), N("[1.]", 3),
    N("[-1.]", 4), N("[1e]", 3), N("[0.e1]", 3), N("[.1]", 1), N("[1ea]", 3), N("[-a]", 2),
    N("[1+2]", 2), N("[0e+-1]", 4), N("[2.e+3]", 3), N("[9.e+]", 3), N("[012]", 2),
    N("[1.2a-3]", 4), N("[1.8011670033376514H-308]", 19), N("\xef\xbc\x91", 0),
    N("[\xef\xbc\x91]", 1), N("-\xd9\xa1", 1),
};

static const struct good_case good_strings[] = {
    Y("\"\""), Y("\" \""), Y("\"a\""), Y("\"\\\"\""), Y("\"\\\\\""), Y("\"\\/\""), Y("\"/\""),
    Y("\"\\b\\f\\n\\r\\t\""), Y("\"\\u0000\""), Y("\"\\u001f\""), Y("\"\\u0022\""),
    Y("\"\\uFFFF\""), Y("\"\\uabCD\""), Y("\"\\uAbCd\""), Y("\"\\ud7ff\""), Y("\"\\ue000\""),
    Y("\"\\ufffe\""), Y("\"\\ud800\\udc00\""), Y("\"\\uDBFF\\uDFFF\""),
    Y("\"\\ud83d\\ude39\\ud83d\\udc8d\""), Y("\"\\\\u0000\""), Y("\"\\\\ud800\""),
    Y("\"a\\u0061\""), Y("\"\x7f\""), Y("\"'\""), Y("\"[]{}:,\""), Y("\"\\\\\\\"\""),
    Y("\"1234567\\n\""), Y("\"12345678\\n\""), Y("\"0123456789abcdef0123456789abcdef\\\\\""),
    Y("[\"\\\\\",\"\\\"\"]"), Y("\"\\u2028\\u2029\""), Y("\"\xe2\x80\xa8\""),
};

static const struct bad_case bad_strings[] = {
    N("\"", 1), N("\"a", 2), N("\"\\", 2), N("\"\\\"", 3), N("\"a\"b\"", 3), N("\"\"\"", 2),
    N("'a'", 0), N("a", 0), N("\"\\a\"", 2), N("\"\\x41\"", 2), N("\"\\'\"", 2), N("\"\\0\"", 2),
    N("\"\\ \"", 2), N("\"\\\n\"", 2), N("\"\\U0041\"", 2), N("\"\\v\"", 2),
    N("\"\\\xc3\xa9\"", 2), N("\"\\\0\"", 2), N("\"\\B\"", 2), N("\"\\u\"", 3), N("\"\\u0\"", 4),
    N("\"\\u00\"", 5), N("\"\\u000\"", 6), N("\"\\u", 3), N("\"\\u000", 6), N("\"\\u000g\"", 6),
    N("\"\\u 041\"", 3), N("\"\\u+041\"", 3), N("\"\\u-041\"", 3), N("\"\\uqqqq\"", 3),
    N("\"\\u{41}\"", 3), N("\"\\ud800\"", 7), N("\"\\ud800", 7), N("\"\\udbffx\"", 7),
    N("\"\\ud800\\\"", 8), N("\"\\ud800\\u\"", 9), N("\"\\ud800\\u1\"", 9), N("\"\\ud800\\n\"", 8),
    N("\"\\ud800\\u0041\"", 9), N("\"\\ud800\\ud800\"", 10), N("\"\\ud800\\ue000\"", 9),
    N("\"\\ud800\\udbff\"", 10), N("\"\\ud800\\udc\"", 11), N("\"\\ud800\\udc0x\"", 12),
    N("\"\\uD800\\uDC0\"", 12), N("\"\\ud800 \\udc00\"", 7), N("\"\\udc00\"", 4),
    N("\"\\udfff\\ud800\"", 4), N("\"\\uDFFF\"", 4), N("\"\\udd1ea\"", 4),
    N("\"\\ud888\\u1234\"", 9), N("\"\0\"", 1), N("\"\x01\"", 1), N("\"\n\"", 1), N("\"\t\"", 1),
    N("\"\r\"", 1), N("\"a\x1f\"", 2), N("\"12345678\x1f\"", 9), N("\"new\nline\"", 4),
    N("\"tab\there\"", 4), N("[\"a\n", 3), N("{\"a\nb\":1}", 3), N("{\"\\u\":1}", 4),
    N("\"\\ud834\\\"", 8),
};

static const struct good_case good_utf8[] = {
    Y("\"\xc2\x80\""), Y("\"\xc3\xa9\""), Y("\"\xdf\xbf\""), Y("\"\xe0\xa0\x80\""),
    Y("\"\xe2\x82\xac\""), Y("\"\xec\xbf\xbf\""), Y("\"\xed\x80\x80\""), Y("\"\xed\x9f\xbf\""),
    Y("\"\xee\x80\x80\""), Y("\"\xef\xbf\xbf\""), Y("\"\xef\xbb\xbf\""), Y("\"\xf0\x90\x80\x80\""),
    Y("\"\xf3\xbf\xbf\xbf\""), Y("\"\xf4\x8f\xbf\xbf\""), Y("\"\xf0\x9f\x98\x80 smile\""),
    Y("{\"\xce\xba\xcf\x8c\":\"\xcf\x83\"}"), Y("\"aaaaaaa\xc3\xa9\""),
    Y("\"aaaaaaaa\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80zzzzzzzzz\""),
};

static const struct bad_case bad_utf8[] = {
    N("\"\x80\"", 1), N("\"\xbf\"", 1), N("\"\xc0\x80\"", 1), N("\"\xc1\xbf\"", 1),
    N("\"\xc2\"", 2), N("\"\xc2", 2), N("\"\xc2\x7f\"", 2), N("\"\xc2\xc0\"", 2),
    N("\"\xe0\x9f\xbf\"", 2), N("\"\xe0\x80\x80\"", 2), N("\"\xe1\x80\"", 3), N("\"\xe1\x80", 3),
    N("\"\xe1\x80\xc0\"", 3), N("\"\xe1\"", 2), N("\"\xed\xa0\x80\"", 2), N("\"\xed\xbf\xbf\"", 2),
    N("\"\xed\xa0\x80\xed\xb0\x80\"", 2), N("\"\xf0\x8f\xbf\xbf\"", 2),
    N("\"\xf0\x80\x80\x80\"", 2), N("\"\xf4\x90\x80\x80\"", 2), N("\"\xf5\x80\x80\x80\"", 1),
    N("\"\xf8\x88\x80\x80\x80\"", 1), N("\"\xfe\"", 1), N("\"\xff\"", 1), N("\"\xf1\x80\x80\"", 4),
    N("\"\xf1\x80\x80", 4), N("\"\xf1\x80\"", 3), N("\"\xf1\"", 2), N("\"\xf1\x80\x80\x41\"", 4),
    N("\"\xc3\xa9\xa9\"", 3), N("\"\xe9\"", 2), N("\xe9", 0), N("[\xc3\xa9]", 1),
    N("{\"\xff\":0}", 2), N("\"aaaaaaaa\xff\"", 9), N("\"\xc3\xa9\xc3\"", 4), N("\"\\\xe5\"", 2),
    N("\"\\u\xe5\"", 3), N("[1\xe5]", 2), N("\xc3\x28", 0),
};
/* clang-format on */

/* What: arrays, objects, literals and white space are taken or refused as RFC 8259 says. */
static void structures_follow_the_rfc(void **state)
{
    (void)state;
    expect_good(good_structures, sizeof good_structures / sizeof good_structures[0]);
    expect_bad(bad_structures, sizeof bad_structures / sizeof bad_structures[0]);
}

/* What: numbers of any size are taken in the one grammar of the RFC and in no other. */
static void numbers_follow_the_rfc(void **state)
{
    (void)state;
    expect_good(good_numbers, sizeof good_numbers / sizeof good_numbers[0]);
    expect_bad(bad_numbers, sizeof bad_numbers / sizeof bad_numbers[0]);
}

/* What: escapes are known ones, surrogates are paired, control characters are escaped. */
static void strings_follow_the_rfc(void **state)
{
    (void)state;
    expect_good(good_strings, sizeof good_strings / sizeof good_strings[0]);
    expect_bad(bad_strings, sizeof bad_strings / sizeof bad_strings[0]);
}

/* What: strings are strict UTF-8, and nothing outside of strings is above ASCII. */
static void utf8_is_strict(void **state)
{
    (void)state;
    expect_good(good_utf8, sizeof good_utf8 / sizeof good_utf8[0]);
    expect_bad(bad_utf8, sizeof bad_utf8 / sizeof bad_utf8[0]);
}

/* What: an empty slice without memory is refused at offset 0 and not touched. */
static void nothing_is_no_text(void **state)
{
    (void)state;
    size_t at = SIZE_MAX;
    assert_int_equal(ior_json_check(ior_slice(NULL, 0), DEPTH, &at), IOR_E_BODY);
    assert_int_equal(at, 0);
    assert_int_equal(ior_json_check(ior_slice(NULL, 0), DEPTH, NULL), IOR_E_BODY);
}

/* `levels` brackets, kinds by the pattern: every `arrays` arrays one object. */
static size_t nested(char *out, unsigned levels, unsigned arrays)
{
    size_t n = 0;
    for (unsigned i = 0; i < levels; i++) {
        const bool object = i % (arrays + 1) == arrays;
        const char *open = object ? "{\"k\":" : "[";
        memcpy(out + n, open, strlen(open));
        n += strlen(open);
    }
    out[n++] = '1';
    for (unsigned i = levels; i > 0; i--) out[n++] = (i - 1) % (arrays + 1) == arrays ? '}' : ']';
    return n;
}

/* What: nesting is taken up to the limit exactly, and refused at the bracket behind it. */
static void depth_is_exact(void **state)
{
    (void)state;
    static const unsigned limits[] = {1, 2, 63, 64, 65, 127, 128, 129, 1000, IOR_JSON_DEPTH_LIMIT};
    static char text[16 * IOR_JSON_DEPTH_LIMIT];
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        for (unsigned arrays = 0; arrays < 4; arrays++) {
            size_t at = SIZE_MAX;
            const size_t size = nested(text, limits[i], arrays);
            assert_int_equal(check_sized(text, size, limits[i], &at), IOR_OK);
            assert_int_equal(check_sized(text, size, limits[i] - 1, &at), IOR_E_BODY);
            /* The innermost bracket is the one that cannot be. */
            const bool object = (limits[i] - 1) % (arrays + 1) == arrays;
            const char *one = memchr(text, '1', size);
            assert_int_equal(at, (size_t)(one - text) - (object ? 5 : 1));
        }
    }
    assert_int_equal(check_sized("1", 1, 0, NULL), IOR_OK);
    assert_int_equal(check_sized("[]", 2, 0, NULL), IOR_E_BODY);
    assert_int_equal(check_sized("{}", 2, 0, NULL), IOR_E_BODY);
    /* Side by side is not nested. */
    assert_int_equal(check_sized("[[],{},[],[{}]]", 15, 3, NULL), IOR_OK);
    assert_int_equal(check_sized("[[],{},[],[{}]]", 15, 2, NULL), IOR_E_BODY);
}

/* What: a hundred thousand open brackets are refused at the limit, without a crash. */
static void deep_input_is_refused_early(void **state)
{
    (void)state;
    enum { SIZE = 500000 };
    char *text = malloc(SIZE);
    assert_non_null(text);
    size_t at = 0;
    memset(text, '[', SIZE);
    assert_int_equal(check_sized(text, SIZE, DEPTH, &at), IOR_E_BODY);
    assert_int_equal(at, DEPTH);
    for (size_t i = 0; i < SIZE; i += 5) memcpy(text + i, "{\"a\":", 5);
    assert_int_equal(check_sized(text, SIZE, DEPTH, &at), IOR_E_BODY);
    assert_int_equal(at, 5 * DEPTH);
    free(text);
}

/* What: a wrong bracket is found at every depth, so the stack of kinds keeps its bits apart. */
static void brackets_match_at_every_depth(void **state)
{
    (void)state;
    static char text[16 * IOR_JSON_DEPTH_LIMIT];
    for (unsigned arrays = 0; arrays < 4; arrays++) {
        const size_t size = nested(text, 200, arrays);
        for (size_t i = size - 200; i < size; i++) {
            size_t at = SIZE_MAX;
            const char right = text[i];
            text[i] = right == ']' ? '}' : ']';
            assert_int_equal(check_sized(text, size, 200, &at), IOR_E_BODY);
            assert_int_equal(at, i);
            text[i] = right;
        }
    }
}

/* What: the eight-byte steps find every special byte at every offset and every alignment. */
static void fast_path_finds_every_byte(void **state)
{
    (void)state;
    uint8_t memory[96];
    for (size_t shift = 0; shift < 8; shift++) {
        for (size_t place = 0; place < 40; place++) {
            for (unsigned b = 0; b < 256; b++) {
                uint8_t *text = memory + shift;
                size_t at = SIZE_MAX;
                memset(text, 'x', 48);
                text[0] = '"';
                text[47] = '"';
                text[1 + place] = (uint8_t)b;
                const enum ior_err err = ior_json_check(ior_slice(text, 48), DEPTH, &at);
                const bool plain = b >= 0x20 && b < 0x80 && b != '"' && b != '\\';
                assert_int_equal(err, plain ? IOR_OK : IOR_E_BODY);
                if (plain) continue;
                const bool starts = (b >= 0xc2 && b <= 0xf4) || b == '"' || b == '\\';
                assert_int_equal(at, 1 + place + (starts ? 1 : 0));
            }
        }
    }
}

/* What: eight plain bytes next to bytes that a borrow could mark wrongly stay right. */
static void fast_path_borrows_nothing(void **state)
{
    (void)state;
    static const uint8_t tricky[] = {' ', '!', '#', '[', ']', '$', 0x7f, 'x'};
    struct seeded rnd = {SEED};
    for (int round = 0; round < 20000; round++) {
        uint8_t text[26];
        for (size_t i = 1; i < 25; i++) text[i] = tricky[seeded_below(&rnd, sizeof tricky)];
        text[0] = '"';
        text[25] = '"';
        assert_int_equal(ior_json_check(ior_slice(text, 26), DEPTH, NULL), IOR_OK);
        const size_t place = 1 + seeded_below(&rnd, 24);
        size_t at = 0;
        text[place] = 0x1f;
        assert_int_equal(ior_json_check(ior_slice(text, 26), DEPTH, &at), IOR_E_BODY);
        assert_int_equal(at, place);
    }
}

/* What: all 65,536 \u escapes are judged by their half of a surrogate pair, in both cases of hex.
 */
static void every_escaped_code_unit(void **state)
{
    (void)state;
    for (unsigned unit = 0; unit <= 0xffff; unit++) {
        char text[32];
        const bool high = unit >= 0xd800 && unit <= 0xdbff;
        const bool low = unit >= 0xdc00 && unit <= 0xdfff;
        int size = snprintf(text, sizeof text, unit % 2 == 0 ? "\"\\u%04x\"" : "\"\\u%04X\"", unit);
        enum ior_err err = ior_json_check(ior_slice(text, (size_t)size), DEPTH, NULL);
        assert_int_equal(err, high || low ? IOR_E_BODY : IOR_OK);
        size = snprintf(text, sizeof text, "\"\\u%04x\\uDEaD\"", unit);
        err = ior_json_check(ior_slice(text, (size_t)size), DEPTH, NULL);
        assert_int_equal(err, high ? IOR_OK : IOR_E_BODY);
        size = snprintf(text, sizeof text, "\"\\uD9aB\\u%04X\"", unit);
        err = ior_json_check(ior_slice(text, (size_t)size), DEPTH, NULL);
        assert_int_equal(err, low ? IOR_OK : IOR_E_BODY);
    }
}

/* What: a good text cut anywhere is only too short, never wrong before its end. */
static void cut_texts_end_at_their_end(void **state)
{
    (void)state;
    static const char text[] =
        "{\"k\\n\\ud83d\\ude00\":[1,-2.5e+10,true,false,null,\"\xc3\xa9\xe2\x82\xac"
        "\xf0\x9f\x98\x80\",{}],\"b\" : { \"c\" : [ ] } }";
    assert_int_equal(check_sized(text, sizeof text - 1, DEPTH, NULL), IOR_OK);
    for (size_t size = 0; size < sizeof text - 1; size++) {
        size_t at = SIZE_MAX;
        assert_int_equal(check_sized(text, size, DEPTH, &at), IOR_E_BODY);
        assert_int_equal(at, size);
    }
}

static const char *const seeds[] = {
    "{\"meta\":{\"id\":12,\"t\":1717000000000},\"data\":{\"temp\":21.5,\"ok\":true,\"tags\":[\"a\","
    "\"b\"]}}",
    "[1,-2,3.25,4e5,-6.0E-7,0,10,1e+3,[[],[[]],{}],{\"\":null}]",
    "{\"text\":\"quote \\\" slash \\\\ \\/ \\b\\f\\n\\r\\t \\u00e9 \\ud83d\\ude00 end\"}",
    "\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xe4\xbd\xa0\xe5\xa5\xbd \xd0\x9f\xd1\x80\"",
    " [ true , false , null ] \r\n\t",
    "{\"a\":{\"b\":{\"c\":{\"d\":[{\"e\":[1,2,{\"f\":\"g\"}]}]}}},\"h\":"
    "\"iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii\"}",
    "[\"\\u0001\\u001f\\u007f\\u0080\\uffff\",\"\",\" \",\"0123456789abcdef\"]",
    "{\n    \"name\": \"x\",\n        \"list\": [\n            1,\n            2\n        ]\n}\n",
};
static const char *const tokens[] = {
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "\\",
    "\\u",
    "\\ud800",
    "\\udc00",
    "\\u0000",
    "true",
    "false",
    "null",
    "-",
    "0",
    "1",
    ".",
    "e",
    "E+",
    "1e5",
    " ",
    "\n",
    "\t",
    "\x01",
    "\xc3",
    "\xa9",
    "\xed\xa0\x80",
    "\xf4\x90\x80\x80",
    "\xef\xbb\xbf",
    "\xe2\x80\xa8",
    "/",
    "'",
    "{\"a\":",
    "[[",
    "]]",
    "00",
    "\x7f",
    "\xff",
};

enum { MUTANT_MAX = 512 };

static size_t splice(uint8_t *text, size_t size, size_t place, size_t drop, const char *add)
{
    const size_t added = strlen(add);
    if (drop > size - place) drop = size - place;
    if (size - drop + added > MUTANT_MAX) return size;
    memmove(text + place + added, text + place + drop, size - place - drop);
    memcpy(text + place, add, added);
    return size - drop + added;
}

static size_t mutate(struct seeded *rnd, uint8_t *text)
{
    const char *start = seeds[seeded_below(rnd, sizeof seeds / sizeof seeds[0])];
    size_t size = strlen(start);
    memcpy(text, start, size);
    for (size_t rounds = 1 + seeded_below(rnd, 4); rounds > 0; rounds--) {
        const char *token = tokens[seeded_below(rnd, sizeof tokens / sizeof tokens[0])];
        const size_t place = seeded_below(rnd, size + 1);
        switch (seeded_below(rnd, 6)) {
        case 0: /* put a token in */
            size = splice(text, size, place, 0, token);
            break;
        case 1: /* in place of some bytes */
            size = splice(text, size, place, 1 + seeded_below(rnd, 3), token);
            break;
        case 2: /* drop some bytes */
            size = splice(text, size, place, 1 + seeded_below(rnd, 8), "");
            break;
        case 3: /* another byte */
            if (place < size) text[place] = (uint8_t)seeded_next(rnd);
            break;
        case 4: /* another bit */
            if (place < size) text[place] ^= (uint8_t)(1u << seeded_below(rnd, 8));
            break;
        default: /* cut */
            size = place;
            break;
        }
    }
    return size;
}

/* Where jansson's answer says nothing: it stores values, so it stops at numbers
 * that fit no C type and at a NUL in a member's name; and it overlooks a raw NUL
 * behind true, false and null (2.14), which we refuse everywhere. */
static bool jansson_differs(const uint8_t *text, size_t size, bool theirs,
                            const json_error_t *error)
{
    if (theirs) return memchr(text, 0, size) != NULL;
    const enum json_error_code code = json_error_code(error);
    return code == json_error_numeric_overflow || code == json_error_null_byte_in_key;
}

/* What: on 60,000 seeded mutations the checker and jansson agree, and each offset keeps its
 * contract. */
static void agrees_with_jansson(void **state)
{
    (void)state;
    struct seeded rnd = {SEED};
    size_t taken = 0;
    size_t compared = 0;
    for (int round = 0; round < 60000; round++) {
        uint8_t text[MUTANT_MAX];
        json_error_t error;
        size_t at = SIZE_MAX;
        const size_t size = mutate(&rnd, text);
        json_t *tree =
            json_loadb((const char *)text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
        const bool theirs = tree != NULL;
        const bool ours = check_sized(text, size, DEPTH, &at) == IOR_OK;
        if (ours != theirs && !jansson_differs(text, size, theirs, &error)) {
            fail_msg("round %d: ours %d (at %zu), jansson %d (%s): %.*s", round, ours, at, theirs,
                     error.text, (int)size, (const char *)text);
        }
        if (ours == theirs) compared++;
        assert_true(!ours || memchr(text, 0, size) == NULL);
        if (!ours) check_offset_contract(text, size, at);
        if (ours) taken++;
        json_decref(tree);
    }
    assert_true(compared > 59000);
    assert_true(taken > 3000 && taken < 50000); /* neither all broken nor all whole */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(structures_follow_the_rfc),
        cmocka_unit_test(numbers_follow_the_rfc),
        cmocka_unit_test(strings_follow_the_rfc),
        cmocka_unit_test(utf8_is_strict),
        cmocka_unit_test(nothing_is_no_text),
        cmocka_unit_test(depth_is_exact),
        cmocka_unit_test(deep_input_is_refused_early),
        cmocka_unit_test(brackets_match_at_every_depth),
        cmocka_unit_test(fast_path_finds_every_byte),
        cmocka_unit_test(fast_path_borrows_nothing),
        cmocka_unit_test(every_escaped_code_unit),
        cmocka_unit_test(cut_texts_end_at_their_end),
        cmocka_unit_test(agrees_with_jansson),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

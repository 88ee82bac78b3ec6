/* test/unit/proto/test_path.c - targets of requests: segments, parameters, escapes, numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "proto/http/path.h"

/* Blocks of exactly the right size, so that a sanitizer sees one byte too many. */
static uint8_t *block(size_t n)
{
    uint8_t *b = malloc(n == 0 ? 1 : n);
    assert_non_null(b);
    return b;
}

static void expect_decoded(const char *text, bool plus, struct ior_slice want)
{
    const struct ior_slice s = ior_slice_str(text);
    uint8_t *out = block(s.size_bytes);
    size_t n = 777;
    assert_true(path_decode(s, plus, out, &n));
    assert_true(ior_slice_eq(ior_slice(out, n), want));
    free(out);
}

/* What: %XX becomes its byte, in either case of the digits; everything else stays; '+' is a blank
 * only where it is said so. */
static void escapes_are_decoded(void **state)
{
    (void)state;
    expect_decoded("", false, IOR_SLICE(""));
    expect_decoded("plain", false, IOR_SLICE("plain"));
    expect_decoded("%41%62c", false, IOR_SLICE("Abc"));
    expect_decoded("%2F%2f", false, IOR_SLICE("//"));
    expect_decoded("a%00b", false, IOR_SLICE("a\0b"));
    expect_decoded("%ff%FE", false, IOR_SLICE("\xff\xfe"));
    expect_decoded("%25%34%31", false, IOR_SLICE("%41")); /* once, not twice */
    expect_decoded("a+b%2B", false, IOR_SLICE("a+b+"));
    expect_decoded("a+b%2B", true, IOR_SLICE("a b+"));
    expect_decoded("\xc3\xa9", false, IOR_SLICE("\xc3\xa9"));
}

/* What: an escape that is cut or has another character than a hexadecimal digit is refused. */
static void bad_escapes_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"%",    "a%",  "%4",  "abc%4", "%g1", "%1g",
                                      "%%41", "% 1", "%+1", "%-1",   "%4%"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const size_t size = strlen(bad[i]);
        uint8_t *in = block(size);
        uint8_t *out = block(size);
        size_t n = 0;
        memcpy(in, bad[i], size);
        assert_false(path_decode(ior_slice(in, size), true, out, &n));
        free(in);
        free(out);
    }
}

/* What: what is encoded is safe in a path segment and decodes to what it was, for every byte. */
static void encoding_round_trips(void **state)
{
    (void)state;
    uint8_t all[256];
    char *out = (char *)block(3 * sizeof all);
    uint8_t *back = block(3 * sizeof all);
    size_t n = 0;
    for (size_t i = 0; i < sizeof all; i++) all[i] = (uint8_t)i;
    const size_t encoded = path_encode(ior_slice(all, sizeof all), out);
    for (size_t i = 0; i < encoded; i++) {
        const char c = out[i];
        assert_true((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    memchr("-._~$!%", c, 7) != NULL);
    }
    assert_true(path_decode(ior_slice(out, encoded), true, back, &n));
    assert_true(ior_slice_eq(ior_slice(back, n), ior_slice(all, sizeof all)));
    assert_int_equal(path_encode(IOR_SLICE("a/b c-$patch"), out), 16);
    assert_memory_equal(out, "a%2Fb%20c-$patch", 16);
    assert_int_equal(path_encode(IOR_SLICE(""), out), 0);
    free(out);
    free(back);
}

/* The segments with `|` between them; NULL: refused. */
static void expect_split(const char *path, const char *want)
{
    struct ior_slice segments[PATH_SEGMENTS_MAX];
    struct ior_buf joined;
    size_t count = 777;
    const size_t size = strlen(path);
    uint8_t *in = block(size);
    memcpy(in, path, size);
    assert_int_equal(path_split(ior_slice(in, size), segments, &count), want != NULL);
    if (want != NULL) {
        ior_buf_init(&joined);
        for (size_t i = 0; i < count; i++) {
            if (i > 0) ior_buf_add_char(&joined, '|');
            ior_buf_add_slice(&joined, segments[i]);
        }
        assert_true(ior_slice_eq(ior_buf_slice(&joined), ior_slice_str(want)));
        assert_int_equal(count == 0, want[0] == 0);
        ior_buf_done(&joined);
    }
    free(in);
}

/* What: a path is cut at its slashes, one trailing slash is optional, escapes stay as they are. */
static void paths_are_split(void **state)
{
    (void)state;
    expect_split("/", "");
    expect_split("/a", "a");
    expect_split("/a/", "a");
    expect_split("/streams/b/s", "streams|b|s");
    expect_split("/streams/b/s/", "streams|b|s");
    expect_split("/a%2Fb/c", "a%2Fb|c");
    expect_split("/1/2/3/4/5/6/7/8", "1|2|3|4|5|6|7|8");
    expect_split("/1/2/3/4/5/6/7/8/", "1|2|3|4|5|6|7|8");
}

/* What: no path: nothing, no leading slash, an empty segment in the middle or twice at the end, too
 * many. */
static void bad_paths_are_refused(void **state)
{
    (void)state;
    expect_split("", NULL);
    expect_split("a", NULL);
    expect_split("*", NULL);
    expect_split("//a", NULL);
    expect_split("/a//b", NULL);
    expect_split("/a//", NULL);
    expect_split("///", NULL);
    expect_split("/1/2/3/4/5/6/7/8/9", NULL);
}

/* `name=value;` for each parameter. */
static void expect_query_whole(const char *query, const char *want, bool whole)
{
    bool got = !whole;
    struct query_param params[QUERY_PARAMS_MAX];
    struct ior_buf joined;
    const size_t size = strlen(query);
    uint8_t *in = block(size);
    uint8_t *scratch = block(size);
    memcpy(in, query, size);
    const size_t count = query_parse(ior_slice(in, size), scratch, params, &got);
    assert_int_equal(got, whole);
    memset(in, '?', size); /* names and values live in scratch */
    ior_buf_init(&joined);
    for (size_t i = 0; i < count; i++) {
        ior_buf_add_slice(&joined, params[i].name);
        ior_buf_add_char(&joined, '=');
        ior_buf_add_slice(&joined, params[i].value);
        ior_buf_add_char(&joined, ';');
    }
    assert_true(ior_slice_eq(ior_buf_slice(&joined), ior_slice_str(want)));
    ior_buf_done(&joined);
    free(in);
    free(scratch);
}

static void expect_query(const char *query, const char *want)
{
    expect_query_whole(query, want, true);
}

/* What: a query is pairs between `&`, cut at their first `=`, both sides decoded, in their order.
 */
static void queries_are_parsed(void **state)
{
    (void)state;
    expect_query("", "");
    expect_query("a=1", "a=1;");
    expect_query("a=1&b=2&a=3", "a=1;b=2;a=3;");
    expect_query("a", "a=;");
    expect_query("a=", "a=;");
    expect_query("=1", "=1;");
    expect_query("a=b=c", "a=b=c;");
    expect_query("&&a=1&&b=2&", "a=1;b=2;");
    expect_query("a%20b=c+d%2B", "a b=c d+;");
    expect_query("a%3Db=%26", "a=b=&;");
}

/* What: a pair with a bad escape on either side is left out, which is told, and the others are not
 * disturbed. */
static void bad_pairs_are_left_out(void **state)
{
    (void)state;
    expect_query_whole("a=1&b=%G&c=3", "a=1;c=3;", false);
    expect_query_whole("%=1&c=3", "c=3;", false);
    expect_query_whole("good%41=%4&c=%33", "c=3;", false);
    expect_query_whole("%", "", false);
}

/* What: only the first QUERY_PARAMS_MAX parameters are looked at. */
static void too_many_parameters(void **state)
{
    (void)state;
    enum { COUNT = QUERY_PARAMS_MAX + 10 };
    struct query_param params[QUERY_PARAMS_MAX];
    char query[4 * COUNT];
    uint8_t scratch[sizeof query];
    for (size_t i = 0; i < COUNT; i++)
        memcpy(query + 4 * i, i == QUERY_PARAMS_MAX - 1 ? "z=9&" : "a=1&", 4);
    bool whole = true;
    assert_int_equal(query_parse(ior_slice(query, sizeof query), scratch, params, &whole),
                     QUERY_PARAMS_MAX);
    assert_false(whole);
    query_parse(ior_slice(query, 4 * QUERY_PARAMS_MAX), scratch, params, &whole);
    assert_true(whole); /* with an `&` at its end */
    assert_true(ior_slice_eq(params[QUERY_PARAMS_MAX - 1].name, IOR_SLICE("z")));
}

static void expect_int(const char *text, bool ok, int64_t want)
{
    int64_t v = 777;
    assert_int_equal(path_int(ior_slice_str(text), &v), ok);
    assert_true(v == (ok ? want : 777));
}

/* What: a number is an optional minus and digits, anything else is none. */
static void numbers_are_strict(void **state)
{
    (void)state;
    expect_int("0", true, 0);
    expect_int("-0", true, 0);
    expect_int("7", true, 7);
    expect_int("-12", true, -12);
    expect_int("007", true, 7);
    static const char *const bad[] = {"",    "-",   "+1",  " 1", "1 ", "1.0",
                                      "1e3", "0x1", "--1", "1-", "a",  "-a"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) expect_int(bad[i], false, 0);
}

/* What: every number of 64 bits is itself, however many zeros stand in front, and one beyond
 * them is the last one on its side. */
static void numbers_have_64_bits(void **state)
{
    (void)state;
    expect_int("999999999999999999", true, 999999999999999999);
    expect_int("1000000000000000000", true, 1000000000000000000);
    expect_int("9223372036854775807", true, INT64_MAX);
    expect_int("-9223372036854775807", true, -INT64_MAX);
    expect_int("-9223372036854775808", true, INT64_MIN);
    expect_int("0000000000000000000000000000042", true, 42);
    expect_int("9223372036854775808", true, INT64_MAX);
    expect_int("-9223372036854775809", true, INT64_MIN);
    expect_int("10000000000000000000", true, INT64_MAX);
    expect_int("18446744073709551616", true, INT64_MAX); /* 2^64: not 0 */
    expect_int("18446744073709551617", true, INT64_MAX);
    expect_int("-99999999999999999999999999999999", true, INT64_MIN);
    expect_int("99999999999999999999999999999999", true, INT64_MAX);
    expect_int("99999999999999999999999999999999x", false, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_are_decoded),    cmocka_unit_test(bad_escapes_are_refused),
        cmocka_unit_test(encoding_round_trips),   cmocka_unit_test(paths_are_split),
        cmocka_unit_test(bad_paths_are_refused),  cmocka_unit_test(queries_are_parsed),
        cmocka_unit_test(bad_pairs_are_left_out), cmocka_unit_test(too_many_parameters),
        cmocka_unit_test(numbers_are_strict),     cmocka_unit_test(numbers_have_64_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

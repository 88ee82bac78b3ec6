/* test/unit/proto/test_want.c - what a listener wants to hear: s=, doubles, where to begin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "proto/listen/want.h"

enum { NEW = -1, END = -2 };

/* Parsed in blocks of the exact size, so that a sanitizer sees one byte too many. */
static bool parse(const char *text, uint8_t **scratch, struct listen_want *ret)
{
    size_t n = strlen(text);
    uint8_t *in = malloc(n + 1);
    *scratch = malloc(n == 0 ? 1 : n);
    assert_non_null(in);
    assert_non_null(*scratch);
    memcpy(in, text, n);
    bool ok = want_parse(ior_slice(in, n), *scratch, ret);
    free(in); /* nothing may point into it */
    return ok;
}

static void expect(const char *text, const char *bucket, const char *stream, int kind, uint64_t n)
{
    uint8_t *scratch = NULL;
    struct listen_want w;
    memset(&w, 0x55, sizeof w);
    assert_true(parse(text, &scratch, &w));
    assert_true(ior_slice_eq(w.bucket, ior_slice_str(bucket)));
    assert_true(ior_slice_eq(w.stream, ior_slice_str(stream)));
    assert_int_equal(w.has_id, kind == 0);
    assert_int_equal(w.has_end, kind == END);
    if (kind == 0) assert_int_equal(w.id, n);
    if (kind == END) assert_int_equal(w.end, n);
    free(scratch);
}

/* What: bucket:stream[:from]; the names are decoded once more, a plus is a plus. */
static void parsed(void **state)
{
    (void)state;
    expect("b:s", "b", "s", NEW, 0);
    expect("b:s:0", "b", "s", 0, 0);
    expect("b:s:17", "b", "s", 0, 17);
    expect("b:s:9223372036854775807", "b", "s", 0, INT64_MAX);
    expect("b:s:-3", "b", "s", END, 3);
    expect("b:s:-9223372036854775808", "b", "s", END, (uint64_t)1 << 63);
    expect("b:s:9223372036854775808", "b", "s", 0, INT64_MAX); /* the largest there is */
    expect("b:s:-99999999999999999999", "b", "s", END, (uint64_t)1 << 63);
    expect("a%3Ab:c%25d:1", "a:b", "c%d", 0, 1);
    expect("b:%2A%2a", "b", "**", NEW, 0);
    expect("a+b:c d", "a+b", "c d", NEW, 0);
    expect("\xc3\xa9:x/y", "\xc3\xa9", "x/y", NEW, 0);
}

/* What: everything else is none, and *ret stays as it was. */
static void ignored(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "b",
                                      ":",
                                      "b:",
                                      ":s",
                                      "::",
                                      "b:s:",
                                      "b:s:x",
                                      "b:s:1:",
                                      "b:s:1:2",
                                      "b:s:1.5",
                                      "b:s:+1",
                                      "b:s:1 ",
                                      "b:s:--1",
                                      "b:s:-",
                                      "b:*",
                                      "b:pre*",
                                      "*:s",
                                      "b:%",
                                      "b:%4",
                                      "b:%zz",
                                      "b:%00",
                                      "b:.",
                                      "b:..",
                                      "..:s",
                                      "b:%2e",
                                      "b:%ff",
                                      "b:a\nb",
                                      "b:s:9223372036854775808x"};
    for (size_t i = 0; i < IOR_LEN(bad); i++) {
        uint8_t *scratch = NULL;
        struct listen_want w = {.id = 42};
        if (parse(bad[i], &scratch, &w)) fail_msg("%s", bad[i]);
        assert_int_equal(w.id, 42);
        free(scratch);
    }
}

static struct listen_want make(int kind, uint64_t n)
{
    struct listen_want w = {.bucket = IOR_SLICE("b"), .stream = IOR_SLICE("s")};
    w.has_id = kind == 0;
    w.has_end = kind == END;
    w.id = kind == 0 ? n : 0;
    w.end = kind == END ? n : 0;
    return w;
}

/* What: a stream that keeps 11..20: where each from begins; below low there is a gap to tell. */
static void first_event(void **state)
{
    (void)state;
    struct listen_want w = make(NEW, 0);
    assert_int_equal(want_first(&w, 11, 20), 21);
    assert_int_equal(want_first(&w, 1, 0), 1);
    static const uint64_t ids[][2] = {{0, 1},   {1, 1},   {10, 10}, {11, 11},
                                      {20, 20}, {21, 21}, {22, 21}, {INT64_MAX, 21}};
    for (size_t i = 0; i < IOR_LEN(ids); i++) {
        w = make(0, ids[i][0]);
        assert_int_equal(want_first(&w, 11, 20), ids[i][1]);
    }
    static const uint64_t ends[][2] = {{1, 20},  {10, 11}, {11, 11},
                                       {20, 11}, {21, 11}, {(uint64_t)1 << 63, 11}};
    for (size_t i = 0; i < IOR_LEN(ends); i++) {
        w = make(END, ends[i][0]);
        assert_int_equal(want_first(&w, 11, 20), ends[i][1]);
    }
    w = make(END, 5);
    assert_int_equal(want_first(&w, 1, 0), 1);
    assert_int_equal(want_first(&w, 21, 20), 21); /* nothing is kept */
}

/* What: the lowest of two, whatever they are and whichever comes first. */
static void merged(void **state)
{
    (void)state;
    static const struct {
        int kind_a;
        uint64_t a;
        int kind_b;
        uint64_t b;
        uint64_t first; /* in 1..20 */
    } rows[] = {{0, 5, 0, 3, 3},     {0, 5, NEW, 0, 5},  {END, 2, NEW, 0, 19}, {END, 2, END, 7, 14},
                {END, 3, 0, 19, 18}, {END, 3, 0, 4, 4},  {NEW, 0, NEW, 0, 21}, {0, 99, END, 1, 20},
                {0, 0, END, 99, 1},  {0, 99, NEW, 0, 21}};
    for (size_t i = 0; i < IOR_LEN(rows); i++) {
        struct listen_want a = make(rows[i].kind_a, rows[i].a);
        struct listen_want b = make(rows[i].kind_b, rows[i].b);
        struct listen_want ab = a;
        struct listen_want ba = b;
        want_merge(&ab, &b);
        want_merge(&ba, &a);
        assert_int_equal(want_first(&ab, 1, 20), rows[i].first);
        assert_int_equal(want_first(&ba, 1, 20), rows[i].first);
    }
}

/* What: names are compared whole: no part of one counts for the other. */
static void same_stream(void **state)
{
    (void)state;
    const struct listen_want a = {.bucket = IOR_SLICE("ab"), .stream = IOR_SLICE("c")};
    const struct listen_want b = {.bucket = IOR_SLICE("a"), .stream = IOR_SLICE("bc")};
    const struct listen_want c = {.bucket = IOR_SLICE("ab"), .stream = IOR_SLICE("C")};
    assert_true(want_same_stream(&a, &a));
    assert_false(want_same_stream(&a, &b));
    assert_false(want_same_stream(&a, &c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parsed), cmocka_unit_test(ignored),     cmocka_unit_test(first_event),
        cmocka_unit_test(merged), cmocka_unit_test(same_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

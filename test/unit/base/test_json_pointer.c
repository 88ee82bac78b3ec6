/* test/unit/base/test_json_pointer.c - JSON Pointer, every rule of RFC 6901: the tokens of a
 * path, and what it leads to in a text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/json_tree.h"

static const struct json_tree_limits limits = {1 << 20, 1 << 20, 1 << 20};

static enum ior_err parse(struct ior_arena *a, const char *raw, struct json_pointer *ret)
{
    return json_pointer_parse(ior_slice_str(raw), a, ret);
}

/* What: a path is cut at its slashes, and ~1 and ~0 become what they stand for, in this order. */
static void tokens(void **state)
{
    static const struct {
        const char *raw;
        size_t count;
        const char *tokens[4];
    } cases[] = {
        {"\"\"", 0, {0}},
        {"\"/\"", 1, {""}},
        {"\"//\"", 2, {"", ""}},
        {"\"/a/b\"", 2, {"a", "b"}},
        {"\"/a~1b/m~0n\"", 2, {"a/b", "m~n"}},
        {"\"/~01\"", 1, {"~1"}},
        {"\"/~10\"", 1, {"/0"}},
        {"\"/~0~1~00\"", 1, {"~/~0"}},
        {"\"/ /\\\"/\\\\\"", 3, {" ", "\"", "\\"}},
        {"\"\\u002fa\\/b\\u007e1\"", 2, {"a", "b/"}},
        {"\"/\\u00e9\"", 1, {"\xc3\xa9"}},
        {"\"/-/0\"", 2, {"-", "0"}},
    };
    struct ior_arena a;
    struct json_pointer p;
    (void)state;
    ior_arena_init(&a, 1 << 20);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(parse(&a, cases[i].raw, &p), IOR_OK);
        assert_int_equal(p.count, cases[i].count);
        for (size_t k = 0; k < p.count; k++)
            assert_true(ior_slice_eq(p.tokens[k], ior_slice_str(cases[i].tokens[k])));
    }
    static const char *const bad[] = {"\"a\"",     "\" \"",   "\"a/b\"", "\"/~\"",    "\"/~2\"",
                                      "\"/a~/b\"", "\"/~~\"", "\"#/a\"", "\"/a/~a\"", "\"~0\""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(parse(&a, bad[i], &p), IOR_E_BODY);
    ior_arena_done(&a);
    ior_arena_init(&a, 0);
    assert_int_equal(parse(&a, "\"/a\"", &p), IOR_E_NOMEM);
    ior_arena_done(&a);
}

/* What: of a path that is deeper than any text the first tokens are kept; a ~ behind them is still
 * looked at. */
static void deep_paths(void **state)
{
    enum { SLASHES = 3000 };
    char raw[SLASHES + 3] = "\"";
    struct ior_arena a;
    struct json_pointer p;
    (void)state;
    memset(raw + 1, '/', SLASHES);
    raw[SLASHES + 1] = '"';
    ior_arena_init(&a, 1 << 20);
    assert_int_equal(parse(&a, raw, &p), IOR_OK);
    assert_int_equal(p.count, JSON_POINTER_TOKENS_MAX);
    raw[SLASHES] = '~';
    assert_int_equal(parse(&a, raw, &p), IOR_E_BODY);
    ior_arena_done(&a);
}

/* What: an index is digits without a zero in front, or the dash. */
static void indexes(void **state)
{
    static const struct {
        const char *token;
        int64_t index;
    } cases[] = {
        {"0", 0},
        {"7", 7},
        {"10", 10},
        {"123456789012345678", 123456789012345678},
        {"1234567890123456789", INT64_MAX},
        {"99999999999999999999999999999999", INT64_MAX},
        {"-", JSON_INDEX_END},
        {"", JSON_INDEX_NONE},
        {"00", JSON_INDEX_NONE},
        {"01", JSON_INDEX_NONE},
        {"-0", JSON_INDEX_NONE},
        {"-1", JSON_INDEX_NONE},
        {"+1", JSON_INDEX_NONE},
        {"1e0", JSON_INDEX_NONE},
        {"1.0", JSON_INDEX_NONE},
        {" 1", JSON_INDEX_NONE},
        {"1 ", JSON_INDEX_NONE},
        {"a", JSON_INDEX_NONE},
        {"--", JSON_INDEX_NONE},
        {"\xd9\xa1", JSON_INDEX_NONE}, /* a digit of another script */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(json_pointer_index(ior_slice_str(cases[i].token)), cases[i].index);
}

/* What: what a path leads to, by the rules of RFC 6901 section 4 (and the document of its
 * section 5). NULL: nothing. */
static void leads_to(void **state)
{
    static const char document[] =
        " {\"foo\": [\"bar\", \"baz\"], \"\": 0, \"a/b\": 1, \"c%d\": 2, \"e^f\": 3, \"g|h\": 4,"
        " \"i\\\\j\": 5, \"k\\\"l\": 6, \" \": 7, \"m~n\": 8, \"deep\":{\"x\":[[],{\"-\":1.50}]},"
        " \"\\u00fc\":9, \"twice\":1, \"twice\":2, \"0\":\"zero\", \"01\":\"one\"}\n";
    static const struct {
        const char *raw;
        const char *value;
    } cases[] = {
        {"\"/foo\"", "[\"bar\", \"baz\"]"},
        {"\"/foo/0\"", "\"bar\""},
        {"\"/foo/1\"", "\"baz\""},
        {"\"/\"", "0"},
        {"\"/a~1b\"", "1"},
        {"\"/c%d\"", "2"},
        {"\"/e^f\"", "3"},
        {"\"/g|h\"", "4"},
        {"\"/i\\\\j\"", "5"},
        {"\"/k\\\"l\"", "6"},
        {"\"/ \"", "7"},
        {"\"/m~0n\"", "8"},
        {"\"/\xc3\xbc\"", "9"},
        {"\"/\\u00fc\"", "9"},
        {"\"/twice\"", "2"},
        {"\"/0\"", "\"zero\""},
        {"\"/01\"", "\"one\""},
        {"\"/deep/x/1/-\"", "1.50"},
        {"\"/deep/x/0\"", "[]"},
        {"\"/foo/2\"", NULL},
        {"\"/foo/-\"", NULL},
        {"\"/foo/00\"", NULL},
        {"\"/foo/01\"", NULL},
        {"\"/foo/-1\"", NULL},
        {"\"/foo/18446744073709551616\"", NULL},
        {"\"/foo/4294967296\"", NULL},
        {"\"/foo/\"", NULL},
        {"\"/foo/0/0\"", NULL},
        {"\"/ /0\"", NULL},
        {"\"/Foo\"", NULL},
        {"\"/fo\"", NULL},
        {"\"/u\xcc\x88\"", NULL}, /* not the same code points */
        {"\"/deep/x/0/0\"", NULL},
        {"\"/c%25d\"", NULL},
        {"\"//\"", NULL},
    };
    struct json_tree t;
    struct json_pointer p;
    struct json_node *n = NULL;
    (void)state;
    json_tree_init(&t, IOR_SLICE(document), &limits);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(parse(&t.arena, cases[i].raw, &p), IOR_OK);
        enum ior_err err = json_tree_get(&t, &p, &n);
        if (cases[i].value == NULL) {
            assert_int_equal(err, IOR_E_NOTFOUND);
            continue;
        }
        assert_int_equal(err, IOR_OK);
        assert_true(ior_slice_eq(ior_slice(n->text, n->text_bytes), ior_slice_str(cases[i].value)));
    }
    assert_int_equal(parse(&t.arena, "\"\"", &p), IOR_OK);
    assert_int_equal(json_tree_get(&t, &p, &n), IOR_OK);
    assert_int_equal(n->text_bytes, sizeof document - 3); /* all of it, without the white space */
    json_tree_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens),
        cmocka_unit_test(deep_paths),
        cmocka_unit_test(indexes),
        cmocka_unit_test(leads_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/store/test_retention.c - src/store/retention.c: policies from JSON and back, what holds
 * for a stream, and which events a number of them keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store/retention.h"

/* An exact copy on the heap, so that a read past the end is seen by ASan. */
static enum ior_err parse(const char *json, bool of_stream, struct retention *ret,
                          struct retention_problem *p, char **ret_copy)
{
    size_t n = strlen(json);
    char *copy = malloc(n + (n == 0));
    assert_non_null(copy);
    memcpy(copy, json, n);
    *ret_copy = copy;
    return retention_parse(ior_slice(copy, n), of_stream, ret, p);
}

static struct retention good(const char *json, bool of_stream)
{
    struct retention r = {7, 7, 7, 7};
    struct retention_problem p;
    char *copy;
    if (parse(json, of_stream, &r, &p, &copy) != IOR_OK) fail_msg("%s: %s", json, p.text);
    free(copy);
    return r;
}

static void expect_print(const struct retention *r, const char *text)
{
    struct ior_buf out;
    ior_buf_init(&out);
    retention_print(&out, r);
    ior_buf_add_char(&out, 0);
    assert_false(ior_buf_failed(&out));
    assert_string_equal((char *)out.data, text);
    ior_buf_done(&out);
}

/* What: every form of a value is taken, and printed in its one form, which is taken too. */
static void values_are_taken(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *out;
    } cases[] = {
        {"{}", "{}"},
        {" \n{\t} \r\n", "{}"},
        {"{\"max_events\":1}", "{\"max_events\":1}"},
        {"{\"max_events\":9007199254740991}", "{\"max_events\":9007199254740991}"},
        {"{\"max_events\":null}", "{\"max_events\":null}"},
        {"{\"max_bytes\":4096}", "{\"max_bytes\":4096}"},
        {"{\"max_bytes\":\"4MB\"}", "{\"max_bytes\":4194304}"},
        {"{\"max_bytes\":\"7B\"}", "{\"max_bytes\":7}"},
        {"{\"max_total_bytes\":\"2GB\"}", "{\"max_total_bytes\":2147483648}"},
        {"{\"max_total_bytes\":null}", "{\"max_total_bytes\":null}"},
        {"{\"max_age\":\"7d\"}", "{\"max_age\":\"7d\"}"},
        {"{\"max_age\":\"168h\"}", "{\"max_age\":\"7d\"}"},
        {"{\"max_age\":\"1500ms\"}", "{\"max_age\":\"1500ms\"}"},
        {"{\"max_age\":\"90s\"}", "{\"max_age\":\"90s\"}"},
        {"{ \"max_total_bytes\" : 9 , \"max_age\" : \"1d\" , \"max_bytes\" : null , \"max_events\" "
         ": 3 }",
         "{\"max_events\":3,\"max_bytes\":null,\"max_age\":\"1d\",\"max_total_bytes\":9}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct retention r = good(cases[i].in, false);
        expect_print(&r, cases[i].out);
        r = good(cases[i].out, false);
        expect_print(&r, cases[i].out);
    }
    struct retention r = good("{\"max_events\":5,\"max_age\":\"2s\",\"max_bytes\":null}", true);
    assert_true(r.max_events == 5 && r.max_age_ms == 2000 && r.max_bytes == RETENTION_NONE);
    assert_true(r.max_total_bytes == RETENTION_UNSET);
}

/* What: a wrong field is named, with its value as it came, and says what would be right. */
static void wrong_fields_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *field;
        const char *value;
        const char *says;
        bool of_stream;
    } cases[] = {
        {"{\"max_events\":0}", "\"max_events\"", "0", "whole number from 1", false},
        {"{\"max_events\":-1}", "\"max_events\"", "-1", "whole number from 1", false},
        {"{\"max_events\":-0}", "\"max_events\"", "-0", "whole number from 1", false},
        {"{\"max_events\":1.0}", "\"max_events\"", "1.0", "whole number", false},
        {"{\"max_events\":1e3}", "\"max_events\"", "1e3", "whole number", false},
        {"{\"max_events\":\"10\"}", "\"max_events\"", "\"10\"", "whole number", false},
        {"{\"max_events\":true}", "\"max_events\"", "true", "whole number", false},
        {"{\"max_events\":[1,{\"a\":\"]}\"}]}", "\"max_events\"", "[1,{\"a\":\"]}\"}]", "whole",
         false},
        {"{\"max_events\":9007199254740992}", "\"max_events\"", "9007199254740992", "to 9007199254",
         false},
        {"{\"max_events\":18446744073709551615}", "\"max_events\"", "18446744073709551615", "whole",
         false},
        {"{\"max_events\":99999999999999999999999}", "\"max_events\"", "99999999999999999999999",
         "whole", false},
        {"{\"max_bytes\":\"0KB\"}", "\"max_bytes\"", "\"0KB\"", "4MB", false},
        {"{\"max_bytes\":\"4mb\"}", "\"max_bytes\"", "\"4mb\"", "4MB", false},
        {"{\"max_bytes\":\"4096\"}", "\"max_bytes\"", "\"4096\"", "4MB", false},
        {"{\"max_bytes\":\"16384TB\"}", "\"max_bytes\"", "\"16384TB\"", "4MB", false},
        {"{\"max_bytes\":{}}", "\"max_bytes\"", "{}", "4MB", false},
        {"{\"max_age\":7}", "\"max_age\"", "7", "7d", false},
        {"{\"max_age\":\"7\"}", "\"max_age\"", "\"7\"", "7d", false},
        {"{\"max_age\":\"0d\"}", "\"max_age\"", "\"0d\"", "at least 1ms", false},
        {"{\"max_age\":\"1w\"}", "\"max_age\"", "\"1w\"", "7d", false},
        {"{\"max_age\":\"-1d\"}", "\"max_age\"", "\"-1d\"", "7d", false},
        {"{\"max_age\":\"\"}", "\"max_age\"", "\"\"", "7d", false},
        {"{\"max_age\":\"200000000000d\"}", "\"max_age\"", "\"200000000000d\"", "7d", false},
        {"{\"max_events\":1,\"max_age\":\"1d\",\"max_events\":2}", "\"max_events\"", "2", "twice",
         false},
        {"{\"max_bytes\":null,\"max_bytes\":null}", "\"max_bytes\"", "null", "twice", false},
        {"{\"max_total_bytes\":1}", "\"max_total_bytes\"", "1", "bucket", true},
        {"{\"max_total_bytes\":null}", "\"max_total_bytes\"", "null", "bucket", true},
        {"{\"max_event\":1}", "\"max_event\"", "1", "no such field", false},
        {"{\"\":1}", "\"\"", "1", "no such field", false},
        {"{\"Max_events\":1}", "\"Max_events\"", "1", "no such field", false},
        {"{\"max_events\":1,\"a\\\"b\":{\"x\":[]}}", "\"a\\\"b\"", "{\"x\":[]}", "no such field",
         true},
        {"{\"max\\u005fevents\":1}", "\"max\\u005fevents\"", "1", "no such field", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct retention r = {7, 7, 7, 7};
        struct retention_problem p;
        char *copy;
        enum ior_err err = parse(cases[i].in, cases[i].of_stream, &r, &p, &copy);
        if (err != IOR_E_INVAL) fail_msg("%s: %s", cases[i].in, ior_err_name(err));
        if (!ior_slice_eq(p.field, ior_slice_str(cases[i].field)) ||
            !ior_slice_eq(p.value, ior_slice_str(cases[i].value)) ||
            strstr(p.text, cases[i].says) == NULL)
            fail_msg("%s: %s", cases[i].in, p.text);
        assert_int_equal(p.unknown, strcmp(cases[i].says, "no such field") == 0);
        assert_true(r.max_events == 7 && r.max_bytes == 7 && r.max_age_ms == 7 &&
                    r.max_total_bytes == 7);
        free(copy);
    }
}

/* What: what is no JSON object is BODY, with the place of the first byte that cannot be. */
static void other_bodies_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t at;
    } cases[] = {
        {"", 0},
        {"{", 1},
        {"{\"max_events\":1", 15},
        {"{\"max_events\":01}", 15},
        {"{\"max_events\":1,}", 16},
        {"{\"max_events\" 1}", 14},
        {"{}{}", 2},
        {"[]", 0},
        {"null", 0},
        {"1", 0},
        {" \"max_events\"", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct retention r;
        struct retention_problem p;
        char *copy;
        assert_int_equal(parse(cases[i].in, false, &r, &p, &copy), IOR_E_BODY);
        if (p.at != cases[i].at) fail_msg("%s: %zu", cases[i].in, p.at);
        assert_null(p.field.data);
        assert_non_null(p.text);
        free(copy);
    }
}

/* What: each field by itself: the stream's, else the bucket's, else no limit. */
static void fields_are_merged(void **state)
{
    (void)state;
    struct retention bucket = good(
        "{\"max_events\":10,\"max_bytes\":20,\"max_age\":\"30ms\",\"max_total_bytes\":40}", false);
    struct retention stream = good("{\"max_events\":1,\"max_bytes\":null}", true);
    struct retention none = {0};
    struct retention r = retention_merge(&bucket, &stream);
    assert_true(r.max_events == 1 && r.max_bytes == RETENTION_NONE && r.max_age_ms == 30 &&
                r.max_total_bytes == 40);
    expect_print(
        &r, "{\"max_events\":1,\"max_bytes\":null,\"max_age\":\"30ms\",\"max_total_bytes\":40}");
    r = retention_merge(&bucket, NULL);
    assert_memory_equal(&r, &bucket, sizeof r);
    r = retention_merge(&bucket, &none);
    assert_memory_equal(&r, &bucket, sizeof r);
    r = retention_merge(NULL, &stream);
    assert_true(r.max_events == 1 && r.max_bytes == RETENTION_NONE &&
                r.max_age_ms == RETENTION_NONE && r.max_total_bytes == RETENTION_NONE);
    r = retention_merge(&none, NULL);
    assert_true(r.max_events == RETENTION_NONE && r.max_total_bytes == RETENTION_NONE);
    bucket = good("{\"max_events\":null,\"max_total_bytes\":null}", false);
    r = retention_merge(&bucket, NULL);
    assert_true(r.max_events == RETENTION_NONE && r.max_total_bytes == RETENTION_NONE);
}

/* What: the last max_events ids stay; low never goes back and never beyond high + 1. */
static void low_by_count(void **state)
{
    (void)state;
    static const struct {
        uint64_t max, low, high, wanted;
    } cases[] = {
        {10, 1, 0, 1},
        {10, 1, 9, 1},
        {10, 1, 10, 1},
        {10, 1, 11, 2},
        {10, 2, 11, 2},
        {10, 5, 11, 5},
        {10, 12, 11, 12},
        {1, 1, 1, 1},
        {1, 1, 2, 2},
        {1, 3, 2, 3},
        {1, 1, 100, 100},
        {RETENTION_NONE, 1, UINT64_MAX - 1, 1},
        {RETENTION_UNSET, 3, 100, 3},
        {RETENTION_VALUE_MAX, 1, 100, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct retention r = {.max_events = cases[i].max};
        uint64_t low = retention_low_by_count(&r, cases[i].low, cases[i].high);
        if (low != cases[i].wanted) fail_msg("case %zu: %llu", i, (unsigned long long)low);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_taken),
        cmocka_unit_test(wrong_fields_are_named),
        cmocka_unit_test(other_bodies_are_refused),
        cmocka_unit_test(fields_are_merged),
        cmocka_unit_test(low_by_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

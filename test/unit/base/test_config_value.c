/* test/unit/base/test_config_value.c - how values are written for people, paths
 * without a look at the disk, and how alike two words are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/config_value.h"
#include "seeded.h"

struct value_case {
    const char *text;
    uint64_t value;
};

typedef enum ior_err (*parser)(struct ior_slice text, uint64_t *ret, const char **ret_problem);

static void expect_values(parser parse, const struct value_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t v = 1234567;
        const char *problem = NULL;
        assert_int_equal(parse(ior_slice_str(cases[i].text), &v, &problem), IOR_OK);
        assert_true(v == cases[i].value);
        assert_null(problem);
    }
}

static void expect_problem(parser parse, const char *text, const char *wanted)
{
    uint64_t v = 1234567;
    const char *problem = NULL;
    assert_int_equal(parse(ior_slice_str(text), &v, &problem), IOR_E_INVAL);
    assert_string_equal(problem, wanted);
    assert_true(v == 1234567); /* untouched */
    assert_int_equal(parse(ior_slice_str(text), &v, NULL), IOR_E_INVAL);
}

/* What: whole numbers are digits only, up to the largest of 64 bits. */
static void whole_numbers(void **state)
{
    (void)state;
    static const struct value_case cases[] = {
        {"0", 0}, {"7", 7}, {"007", 7}, {"18446744073709551615", UINT64_MAX}};
    expect_values(config_value_int, cases, sizeof cases / sizeof cases[0]);
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "1.0", "1e3", "0x10", "a", "1a"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        expect_problem(config_value_int, bad[i], "not a whole number");
    }
    expect_problem(config_value_int, "18446744073709551616", "too large a number");
    expect_problem(config_value_int, "99999999999999999999999x", "too large a number");
}

/* What: a rate is a whole number, or a size where bytes are meant, in a second, minute or hour. */
static void rates_have_a_time(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool bytes;
        uint64_t count, seconds;
    } good[] = {{"0", false, 0, 1},
                {"0", true, 0, 1},
                {"0/h", false, 0, 1},
                {"100/s", false, 100, 1},
                {"5000/m", false, 5000, 60},
                {"007/h", false, 7, 3600},
                {"1B/s", true, 1, 1},
                {"10MB/m", true, 10 << 20, 60},
                {"281474976710655/s", false, (1ull << 48) - 1, 1}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t count = 77;
        uint64_t seconds = 77;
        assert_int_equal(
            config_value_rate(ior_slice_str(good[i].text), good[i].bytes, &count, &seconds, NULL),
            IOR_OK);
        assert_true(count == good[i].count && seconds == good[i].seconds);
    }
    static const struct {
        const char *text;
        bool bytes;
        const char *problem;
    } bad[] = {{"", false, "not a whole number in a second, minute or hour (100/s)"},
               {"1", false, "not a whole number in a second, minute or hour (100/s)"},
               {"/s", false, "not a whole number in a second, minute or hour (100/s)"},
               {"1/d", false, "not a whole number in a second, minute or hour (100/s)"},
               {"1/sec", false, "not a whole number in a second, minute or hour (100/s)"},
               {"1 / s", false, "not a whole number in a second, minute or hour (100/s)"},
               {"1MB", true, "not a size in a second, minute or hour (10MB/s)"},
               {"-1/s", false, "not a whole number"},
               {"1.5/s", false, "not a whole number"},
               {"1 /s", false, "not a whole number"},
               {"1MB/s", false, "not a whole number"},
               {"1/s", true, "the unit (B KB MB GB TB) is missing"},
               {"0/s", true, "the unit (B KB MB GB TB) is missing"},
               {"281474976710656/s", false, "too large a number"},
               {"99999999999999999999/s", false, "too large a number"},
               {"255TB/s", true, NULL},
               {"262144TB/s", true, "too large a number"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t count = 77;
        uint64_t seconds = 77;
        const char *problem = NULL;
        enum ior_err err =
            config_value_rate(ior_slice_str(bad[i].text), bad[i].bytes, &count, &seconds, &problem);
        assert_int_equal(err, bad[i].problem == NULL ? IOR_OK : IOR_E_INVAL);
        if (bad[i].problem == NULL) continue;
        assert_string_equal(problem, bad[i].problem);
        assert_true(count == 77 && seconds == 77); /* untouched */
        assert_int_equal(
            config_value_rate(ior_slice_str(bad[i].text), bad[i].bytes, &count, &seconds, NULL),
            IOR_E_INVAL);
    }
}

/* What: durations have one of five units and must fit into milliseconds. */
static void durations_have_units(void **state)
{
    (void)state;
    static const struct value_case cases[] = {
        {"500ms", 500},    {"10s", 10000},
        {"5m", 300000},    {"24h", 86400000},
        {"7d", 604800000}, {"0s", 0},
        {"1000ms", 1000},  {"213503982334d", 18446744073657600000u}};
    expect_values(config_value_ms, cases, sizeof cases / sizeof cases[0]);
    static const char *const bad[] = {"",     "s",    "1.5s",  "-1s", "1 s", "1S",
                                      "1sec", "1mss", "1m30s", "1w",  " 1s", "1s "};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        expect_problem(config_value_ms, bad[i], "not a whole number and a unit (ms s m h d)");
    }
    expect_problem(config_value_ms, "60", "the unit (ms s m h d) is missing");
    expect_problem(config_value_ms, "213503982335d", "too large a number");
    expect_problem(config_value_ms, "18446744073709551616ms", "too large a number");
}

/* What: sizes have one of five units, powers of 1024, and must fit into 64 bits. */
static void sizes_have_units(void **state)
{
    (void)state;
    static const struct value_case cases[] = {{"1B", 1},
                                              {"64KB", 65536},
                                              {"4MB", 4 << 20},
                                              {"2GB", (uint64_t)2 << 30},
                                              {"1TB", (uint64_t)1 << 40},
                                              {"0B", 0},
                                              {"16777215TB", (uint64_t)16777215 << 40}};
    expect_values(config_value_bytes, cases, sizeof cases / sizeof cases[0]);
    static const char *const bad[] = {"",      "KB",   "1kb",  "1K",  "1KiB",
                                      "1.5GB", "1 MB", "-1MB", "1PB", "1b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        expect_problem(config_value_bytes, bad[i], "not a whole number and a unit (B KB MB GB TB)");
    }
    expect_problem(config_value_bytes, "4096", "the unit (B KB MB GB TB) is missing");
    expect_problem(config_value_bytes, "16777216TB", "too large a number");
}

/* What: flags are yes or no and nothing that only resembles them. */
static void flags_are_two_words(void **state)
{
    (void)state;
    bool v = false;
    const char *problem = NULL;
    assert_int_equal(config_value_flag(IOR_SLICE("yes"), &v, &problem), IOR_OK);
    assert_true(v);
    assert_int_equal(config_value_flag(IOR_SLICE("no"), &v, &problem), IOR_OK);
    assert_false(v);
    static const char *const bad[] = {"", "y", "n", "Yes", "NO", "true", "1", "on", "yess", "no "};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        v = true;
        assert_int_equal(config_value_flag(ior_slice_str(bad[i]), &v, &problem), IOR_E_INVAL);
        assert_string_equal(problem, "neither yes nor no");
        assert_true(v);
    }
}

/* What: a written duration or size is read back as the same number, in the largest exact unit. */
static void written_values_read_back(void **state)
{
    (void)state;
    char text[CONFIG_VALUE_TEXT_MAX];
    static const struct value_case times[] = {{"0ms", 0},       {"1ms", 1},
                                              {"1500ms", 1500}, {"90s", 90000},
                                              {"1m", 60000},    {"25h", 25 * 3600000},
                                              {"1d", 86400000}, {"365d", 31536000000}};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        config_value_ms_text(times[i].value, text);
        assert_string_equal(text, times[i].text);
    }
    static const struct value_case sizes[] = {{"0B", 0},          {"1023B", 1023},
                                              {"1KB", 1024},      {"1025B", 1025},
                                              {"64MB", 64 << 20}, {"1TB", (uint64_t)1 << 40}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        config_value_bytes_text(sizes[i].value, text);
        assert_string_equal(text, sizes[i].text);
    }
    struct seeded rnd = {60};
    for (int round = 0; round < 2000; round++) {
        const uint64_t wanted = seeded_next(&rnd) >> seeded_below(&rnd, 64)
                                                         << seeded_below(&rnd, 12);
        uint64_t v = 0;
        config_value_ms_text(wanted, text);
        assert_int_equal(config_value_ms(ior_slice_str(text), &v, NULL), IOR_OK);
        assert_true(v == wanted);
        config_value_bytes_text(wanted, text);
        assert_int_equal(config_value_bytes(ior_slice_str(text), &v, NULL), IOR_OK);
        assert_true(v == wanted);
    }
}

/* What: relative paths start at the base, and ".", ".." and empty parts are resolved by text alone.
 */
static void paths_are_normalised(void **state)
{
    (void)state;
    static const char *const cases[][3] = {{"/a/b", "c", "/a/b/c"},
                                           {"/a/b", "../c", "/a/c"},
                                           {"/a/b", "../../../c", "/c"},
                                           {"/a/b", "/c/d", "/c/d"},
                                           {"/a/b", "./c/./d/.", "/a/b/c/d"},
                                           {"/a/b/", "c/", "/a/b/c"},
                                           {"/a//b", "c//d", "/a/b/c/d"},
                                           {"/", "c", "/c"},
                                           {"/a", "..", "/"},
                                           {"/a", ".", "/a"},
                                           {"/a", "", "/a"},
                                           {"/a", "/", "/"},
                                           {"/a", "/../..", "/"},
                                           {"/a", "...", "/a/..."},
                                           {"/a", "..b/.c", "/a/..b/.c"},
                                           {"/a/../b/.", "c", "/b/c"},
                                           {"/a", "//x", "/x"},
                                           {"/a", "b/../../c/..", "/"}};
    char out[64];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(
            config_value_path(cases[i][0], ior_slice_str(cases[i][1]), out, sizeof out), IOR_OK);
        assert_string_equal(out, cases[i][2]);
    }
    assert_int_equal(config_value_path("/ab", IOR_SLICE("cd"), out, 7), IOR_OK);
    assert_string_equal(out, "/ab/cd");
    assert_int_equal(config_value_path("/ab", IOR_SLICE("cd"), out, 6), IOR_E_INVAL);
    assert_int_equal(config_value_path("/", IOR_SLICE("."), out, 2), IOR_OK);
    assert_string_equal(out, "/");
}

/* What: one letter put in, left out, changed or swapped is a distance of one, both ways round. */
static void distance_counts_slips(void **state)
{
    (void)state;
    static const struct {
        const char *a;
        const char *b;
        unsigned distance;
    } cases[] = {
        {"", "", 0},         {"abc", "abc", 0},        {"", "abc", 3},
        {"port", "prt", 1},  {"port", "poort", 1},     {"port", "pord", 1},
        {"port", "prot", 1}, {"kitten", "sitting", 3}, {"abcd", "badc", 2},
        {"ca", "abc", 3},    {"http.port", "port", 5}, {"a", "b", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct ior_slice a = ior_slice_str(cases[i].a);
        const struct ior_slice b = ior_slice_str(cases[i].b);
        assert_int_equal(config_value_distance(a, b), cases[i].distance);
        assert_int_equal(config_value_distance(b, a), cases[i].distance);
    }
    char longer[200];
    memset(longer, 'x', sizeof longer);
    assert_int_equal(config_value_distance(ior_slice(longer, 200), IOR_SLICE("")), 64);
    assert_int_equal(config_value_distance(ior_slice(longer, 200), ior_slice(longer, 100)), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_numbers),        cmocka_unit_test(rates_have_a_time),
        cmocka_unit_test(durations_have_units), cmocka_unit_test(sizes_have_units),
        cmocka_unit_test(flags_are_two_words),  cmocka_unit_test(written_values_read_back),
        cmocka_unit_test(paths_are_normalised), cmocka_unit_test(distance_counts_slips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/cluster/test_meta_facts.c - the table of facts: set, replaced, taken away, two kinds
 * apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/meta_facts.h"

static const struct ior_slice unset = {NULL, 0};

static void set(struct meta_facts *f, const char *key, struct ior_slice value)
{
    assert_int_equal(meta_facts_set(f, ior_slice_str(key), value), IOR_OK);
}

/* How often a fact is in a part. */
static unsigned times(const struct ior_cowmap *part, const char *key, const char *value)
{
    struct fact f;
    struct ior_cowmap_walk w;
    unsigned n = 0;
    ior_cowmap_begin(&w, part);
    while (meta_facts_next(&w, &f)) {
        n += ior_slice_eq(f.key, ior_slice_str(key)) && ior_slice_eq(f.value, ior_slice_str(value));
    }
    return n;
}

/* What: the last value of a key counts; taking away what is not there changes nothing. */
static void the_last_value_counts(void **state)
{
    (void)state;
    struct meta_facts f = {0};
    char key[32];
    set(&f, "nobody", unset);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "user" FACT_SEP "%u", i % 100);
        set(&f, key, i % 3 == 0 ? unset : IOR_SLICE("{\"a\":1}"));
    }
    unsigned there = 0;
    for (unsigned i = 900; i < 1000; i++) {
        snprintf(key, sizeof key, "user" FACT_SEP "%u", i % 100);
        assert_int_equal(times(&f.access, key, "{\"a\":1}"), i % 3 != 0);
        there += i % 3 != 0;
    }
    assert_int_equal(f.access.count, there);
    set(&f, "empty", IOR_SLICE(""));
    assert_int_equal(times(&f.access, "empty", ""), 1);
    meta_facts_done(&f);
}

/* What: facts about retention are walked apart from all others. */
static void kinds_are_apart(void **state)
{
    (void)state;
    struct meta_facts f = {0};
    set(&f, "retention" FACT_SEP "b", IOR_SLICE("{}"));
    set(&f, "retention" FACT_SEP "b" FACT_SEP "s", IOR_SLICE("{\"max_events\":1}"));
    set(&f, "retentions", IOR_SLICE("{}"));
    assert_int_equal(f.retention.count, 2);
    assert_int_equal(f.access.count, 1);
    assert_int_equal(times(&f.retention, "retention" FACT_SEP "b", "{}"), 1);
    set(&f, "retention" FACT_SEP "b", unset);
    assert_int_equal(times(&f.retention, "retention" FACT_SEP "b", "{}"), 0);
    assert_int_equal(f.retention.count, 1);
    meta_facts_done(&f);
}

/* What: a copy stays as it was. */
static void copies_stay(void **state)
{
    (void)state;
    struct meta_facts f = {0};
    set(&f, "a", IOR_SLICE("1"));
    set(&f, "retention" FACT_SEP "b", IOR_SLICE("{}"));
    struct meta_facts copy = meta_facts_copy(&f);
    set(&f, "a", IOR_SLICE("2"));
    set(&f, "retention" FACT_SEP "b", unset);
    assert_int_equal(times(&copy.access, "a", "1"), 1);
    assert_int_equal(times(&copy.retention, "retention" FACT_SEP "b", "{}"), 1);
    assert_int_equal(times(&f.access, "a", "2"), 1);
    assert_int_equal(f.retention.count, 0);
    meta_facts_done(&f);
    meta_facts_done(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_value_counts),
        cmocka_unit_test(kinds_are_apart),
        cmocka_unit_test(copies_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/cluster/test_meta_view.c - handing views to workers when something fails: each part by
 * itself stays as it was, and comes whole with a later publication. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/meta_view.h"
#include "no_memory.h"

enum { WORKERS = 2, FAILURES_MAX = 200 };

static struct worker workers[WORKERS];
static struct worker *worker_ptrs[WORKERS];
static struct strand strand;
static struct meta_facts facts;
static struct meta_view view;
static unsigned answers;
static enum ior_err answer;

static void no_wake(void *ctx)
{
    (void)ctx;
}

static int set_up(void **state)
{
    (void)state;
    struct ior_why why;
    for (unsigned i = 0; i < WORKERS; i++) {
        worker_init(&workers[i], i, no_wake, NULL);
        worker_ptrs[i] = &workers[i];
    }
    worker_enter(&workers[0]);
    strand_init(&strand);
    meta_facts_init(&facts);
    assert_int_equal(meta_view_init(&view, &strand, worker_ptrs, WORKERS), IOR_OK);
    assert_int_equal(meta_view_start(&view, &facts, &why), IOR_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    meta_view_done(&view);
    meta_facts_done(&facts);
    strand_done(&strand);
    for (unsigned i = 0; i < WORKERS; i++) worker_done(&workers[i]);
    worker_enter(NULL);
    return 0;
}

/* As a committed change does. value NULL: unset. */
static void set(const char *key, const char *value)
{
    struct fact f = {ior_slice_str(key), {NULL, 0}};
    if (value != NULL) f.value = ior_slice_str(value);
    assert_int_equal(meta_facts_set(&facts, f.key, f.value), IOR_OK);
    meta_view_touch(&view, &f);
}

static void on_seen(void *ctx, enum ior_err err)
{
    assert_ptr_equal(ctx, &view);
    answers++;
    answer = err;
}

static void turns(void)
{
    for (int round = 0; round < 4; round++) {
        for (unsigned i = 0; i < WORKERS; i++) {
            worker_enter(&workers[i]);
            worker_turn(&workers[i]);
        }
    }
    worker_enter(&workers[0]);
}

/* What the publication said, at once or when all have seen it. */
static enum ior_err publish(struct ior_why *why)
{
    answers = 0;
    why->text[0] = 0;
    enum ior_err err = meta_view_publish(&view, &facts, on_seen, &view, why);
    no_memory_at = 0;
    turns();
    assert_int_equal(answers, err == IOR_OK ? 1 : 0);
    return err == IOR_OK ? answer : err;
}

/* Groups are facts that need no more than a name. */
#define GROUP(x) "group" FACT_SEP x, "{\"groups\":[]}"
#define KEEP(x) "retention" FACT_SEP x

static void expect(const char *group, const char *bucket, uint64_t max_events)
{
    char key[64];
    snprintf(key, sizeof key, "group" FACT_SEP "%s", group);
    for (unsigned i = 0; i < WORKERS; i++) {
        worker_enter(&workers[i]);
        const struct meta_seen *seen = meta_view_of_worker(&view);
        struct retention r = {0};
        bool any = retention_view_own(seen->retention, ior_slice_str(bucket), IOR_SLICE(""), &r);
        assert_int_equal(any, max_events != 0);
        assert_int_equal(r.max_events, max_events);
        assert_true(policy_has_fact(seen->policy, ior_slice_str(key)));
    }
    worker_enter(&workers[0]);
}

/* What: a fact about retention that cannot be read does not hold back what users may do; once it is
 * gone, everything that was changed meanwhile is there. */
static void parts_fail_apart(void **state)
{
    (void)state;
    struct ior_why why;
    set(GROUP("g1"));
    set(KEEP("b"), "{\"max_events\":1}");
    assert_int_equal(publish(&why), IOR_OK);
    expect("g1", "b", 1);
    set(KEEP("bad"), "{\"max_events\":0}");
    set(KEEP("b"), "{\"max_events\":2}");
    set(GROUP("g2"));
    assert_int_equal(publish(&why), IOR_E_CORRUPT);
    assert_non_null(strstr(why.text, "fact retention/bad: "));
    expect("g2", "b", 1);
    set(KEEP("b"), "{\"max_events\":3}");
    assert_int_equal(publish(&why), IOR_E_CORRUPT);
    expect("g2", "b", 1);
    set(KEEP("bad"), NULL);
    assert_int_equal(publish(&why), IOR_OK);
    expect("g2", "b", 3);

    set("group" FACT_SEP, "{}");
    set(KEEP("b"), "{\"max_events\":4}");
    assert_int_equal(publish(&why), IOR_E_CORRUPT);
    assert_non_null(strstr(why.text, "fact group/: "));
    expect("g2", "b", 4);
    set("group" FACT_SEP, NULL);
    set(GROUP("g3"));
    assert_int_equal(publish(&why), IOR_OK);
    expect("g3", "b", 4);
}

/* What: whichever allocation fails, in taking note of a change or in publishing it: each part is
 * the old or the new one, the same for all workers, and the next publication has everything. */
static void every_allocation_fails_once(void **state)
{
    (void)state;
    struct ior_why why;
    char group[32];
    char value[48];
    bool clean = false;
    set(GROUP("g0"));
    set(KEEP("b"), "{\"max_events\":1000}");
    assert_int_equal(publish(&why), IOR_OK);
    unsigned refused = 0;
    for (unsigned n = 1; !clean && n < FAILURES_MAX; n++) {
        snprintf(group, sizeof group, "group" FACT_SEP "g%u", n);
        snprintf(value, sizeof value, "{\"max_events\":%u}", 1000 + n);
        const struct fact changes[] = {{ior_slice_str(group), IOR_SLICE("{\"groups\":[]}")},
                                       {IOR_SLICE(KEEP("b")), ior_slice_str(value)}};
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(meta_facts_set(&facts, changes[i].key, changes[i].value), IOR_OK);
        no_memory_at = n;
        for (unsigned i = 0; i < 2; i++) meta_view_touch(&view, &changes[i]);
        answers = 0;
        enum ior_err err = meta_view_publish(&view, &facts, on_seen, &view, &why);
        clean = no_memory_at > 0;
        no_memory_at = 0;
        turns();
        if (err == IOR_OK) err = answer;
        assert_true(err == IOR_OK || err == IOR_E_NOMEM);
        refused += err != IOR_OK;
        if (err == IOR_OK) expect(group + 6, "b", 1000 + n);
        assert_int_equal(publish(&why), IOR_OK);
        expect(group + 6, "b", 1000 + n);
    }
    assert_true(clean);
    assert_true(refused > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(parts_fail_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_allocation_fails_once, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/cluster/test_retention_view.c - the view of what is kept: against a plain table, with
 * old views that must stay what they were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/retention_view.h"
#include "no_memory.h"

enum { BUCKETS = 12, STREAMS = 40, VIEWS = 300 };

/* The plain table: [bucket][0] the bucket's own, [bucket][1 + stream]; max_events 0: none. */
struct model {
    struct retention r[BUCKETS][1 + STREAMS];
    bool there[BUCKETS][1 + STREAMS];
};

struct pair {
    struct retention_view *view;
    struct model model;
};

static struct ior_slice bucket_name(unsigned b, char out[16])
{
    snprintf(out, 16, "b%u", b);
    return ior_slice_str(out);
}

static struct ior_slice stream_name(unsigned s, char out[16])
{
    if (s == 0) return IOR_SLICE("");
    snprintf(out, 16, "s%u", s);
    return ior_slice_str(out);
}

static void check_totals(const struct pair *p)
{
    bool seen[BUCKETS] = {false};
    uint64_t pos = 0;
    uint64_t total = 0;
    struct ior_slice name;
    while (retention_view_next_total(p->view, &pos, &name, &total)) {
        char text[16];
        unsigned b = 0;
        while (b < BUCKETS && !ior_slice_eq(name, bucket_name(b, text))) b++;
        assert_true(b < BUCKETS && !seen[b]);
        seen[b] = true;
        assert_true(p->model.there[b][0] && p->model.r[b][0].max_total_bytes == total);
    }
    for (unsigned b = 0; b < BUCKETS; b++) {
        uint64_t wanted = p->model.there[b][0] ? p->model.r[b][0].max_total_bytes : 0;
        assert_int_equal(seen[b], wanted != RETENTION_UNSET && wanted != RETENTION_NONE);
    }
}

static void check(const struct pair *p)
{
    size_t count = 0;
    for (unsigned b = 0; b < BUCKETS; b++) {
        const struct retention *ours = p->model.there[b][0] ? &p->model.r[b][0] : NULL;
        for (unsigned s = 0; s <= STREAMS; s++) {
            char bucket[16];
            char stream[16];
            struct ior_slice bn = bucket_name(b, bucket);
            struct ior_slice sn = stream_name(s, stream);
            struct retention r = {9, 9, 9, 9};
            bool there = p->model.there[b][s];
            count += there;
            assert_int_equal(retention_view_own(p->view, bn, sn, &r), there);
            if (there) assert_memory_equal(&r, &p->model.r[b][s], sizeof r);
            if (!there) assert_true(r.max_events == 9);
            const struct retention *own = s > 0 && there ? &p->model.r[b][s] : NULL;
            struct retention merged = retention_merge(ours, own);
            assert_int_equal(retention_view_get(p->view, bn, sn, &r), ours != NULL || own != NULL);
            assert_memory_equal(&r, &merged, sizeof r);
        }
    }
    assert_int_equal(retention_view_count(p->view), count);
    check_totals(p);
}

static uint64_t some_value(void)
{
    static const uint64_t values[] = {RETENTION_UNSET, RETENTION_NONE, 1, 77, RETENTION_VALUE_MAX};
    return values[(unsigned)rand() % 5];
}

static void change(struct pair *p)
{
    unsigned b = (unsigned)rand() % BUCKETS;
    unsigned s = (unsigned)rand() % (1 + STREAMS);
    if (rand() % 4 == 0) s = 0;
    char bucket[16];
    char stream[16];
    struct retention r = {some_value(), some_value(), some_value(), s == 0 ? some_value() : 0};
    bool remove = rand() % 3 == 0;
    assert_int_equal(retention_view_set(p->view, bucket_name(b, bucket), stream_name(s, stream),
                                        remove ? NULL : &r),
                     IOR_OK);
    p->model.there[b][s] = !remove;
    p->model.r[b][s] = r;
}

/* What: a view is what its changes made of the one before it, and stays that while others are made
 * of it, in whatever order views are given back. */
static void views_share_and_stay(void **state)
{
    (void)state;
    struct pair *all = calloc(VIEWS, sizeof *all);
    assert_non_null(all);
    srand(5);
    for (unsigned i = 0; i < VIEWS; i++) {
        struct pair *from = i == 0 ? NULL : &all[i - 1];
        assert_int_equal(retention_view_new(from == NULL ? NULL : from->view, &all[i].view),
                         IOR_OK);
        if (from != NULL) {
            assert_true(retention_view_number(all[i].view) > retention_view_number(from->view));
            all[i].model = from->model;
        }
        for (int k = rand() % 8; k >= 0; k--) change(&all[i]);
        if (i % 20 == 0) check(&all[i]);
    }
    for (unsigned left = VIEWS; left > 0; left--) {
        unsigned i = (unsigned)rand() % left;
        if (left % 10 == 0) check(&all[i]);
        retention_view_unref(all[i].view);
        all[i] = all[left - 1];
    }
    free(all);
}

/* What: an empty view, the longest names, names that are the beginning of others. */
static void edges(void **state)
{
    (void)state;
    static uint8_t longest[STREAM_BYTES_MAX];
    struct retention_view *v = NULL;
    struct retention r;
    uint64_t pos = 0;
    struct ior_slice name;
    assert_int_equal(retention_view_new(NULL, &v), IOR_OK);
    assert_false(retention_view_get(v, IOR_SLICE("b"), IOR_SLICE("s"), &r));
    assert_true(r.max_events == RETENTION_NONE && r.max_total_bytes == RETENTION_NONE);
    assert_false(retention_view_own(v, IOR_SLICE("b"), IOR_SLICE(""), &r));
    assert_false(retention_view_next_total(v, &pos, &name, &r.max_total_bytes));
    assert_int_equal(retention_view_set(v, IOR_SLICE("b"), IOR_SLICE("s"), NULL), IOR_OK);
    assert_int_equal(retention_view_count(v), 0);

    memset(longest, 'x', sizeof longest);
    struct ior_slice bucket = ior_slice(longest, BUCKET_BYTES_MAX);
    const struct retention one = {.max_events = 1};
    const struct retention two = {.max_events = 2};
    assert_int_equal(retention_view_set(v, bucket, ior_slice(longest, sizeof longest), &one),
                     IOR_OK);
    assert_int_equal(retention_view_set(v, bucket, ior_slice(longest, 1023), &two), IOR_OK);
    assert_true(retention_view_own(v, bucket, ior_slice(longest, sizeof longest), &r));
    assert_true(r.max_events == 1);
    assert_true(retention_view_own(v, bucket, ior_slice(longest, 1023), &r));
    assert_true(r.max_events == 2);
    assert_false(retention_view_own(v, bucket, IOR_SLICE(""), &r));
    assert_false(retention_view_own(v, ior_slice(longest, 254), ior_slice(longest, 1023), &r));
    unsigned seen = 0;
    struct ior_slice stream;
    pos = 0;
    while (retention_view_next(v, &pos, &name, &stream, &r)) {
        assert_true(ior_slice_eq(name, bucket));
        assert_int_equal(r.max_events, stream.size_bytes == 1023 ? 2 : 1);
        seen += r.max_events == 1 ? 1 : 100;
    }
    assert_int_equal(seen, 101); /* each once */
    assert_false(retention_view_next(v, &pos, &name, &stream, &r));
    struct retention_view *again = retention_view_ref(v);
    retention_view_unref(v);
    assert_int_equal(retention_view_count(again), 2);
    retention_view_unref(again);
    retention_view_unref(NULL);
}

/* What: no memory for a change leaves the draft, and the view it shares with, as they were. */
static void no_memory_changes_nothing(void **state)
{
    (void)state;
    struct pair p = {0};
    srand(9);
    assert_int_equal(retention_view_new(NULL, &p.view), IOR_OK);
    for (unsigned i = 0; i < 300; i++) change(&p);
    struct retention_view *draft = NULL;
    no_memory_at = 1;
    assert_int_equal(retention_view_new(p.view, &draft), IOR_E_NOMEM);
    assert_null(draft);
    const struct retention r = {.max_events = 5, .max_total_bytes = 6};
    unsigned refused = 0;
    for (unsigned b = 0; b < BUCKETS; b++) {
        char bucket[16];
        enum ior_err err = IOR_E_NOMEM;
        assert_int_equal(retention_view_new(p.view, &draft), IOR_OK);
        for (unsigned n = 1; err == IOR_E_NOMEM && n < 4; n++) {
            no_memory_at = n;
            err = retention_view_set(draft, bucket_name(b, bucket), IOR_SLICE(""),
                                     b % 2 == 0 ? &r : NULL);
            refused += err == IOR_E_NOMEM;
            if (err == IOR_E_NOMEM) {
                struct pair as_before = {draft, p.model};
                check(&as_before);
            }
        }
        no_memory_at = 0;
        assert_int_equal(err, IOR_OK);
        check(&p);
        retention_view_unref(draft);
    }
    assert_true(refused > BUCKETS);
    retention_view_unref(p.view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_share_and_stay),
        cmocka_unit_test(edges),
        cmocka_unit_test(no_memory_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

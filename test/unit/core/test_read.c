/* test/unit/core/test_read.c - reading events: every way to say which, and long reads in
 * bounded visits. The stream `b/s` has the events 1..N, each with its id as JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "expect.h"
#include "rt/rand.h"

static struct rig rig;

static int set_up(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_open(&rig);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_done(&rig);
    return 0;
}

static void put_numbers(uint64_t count)
{
    char json[24];
    for (uint64_t i = high_of(&rig, "b", "s") + 1; count > 0; i++, count--) {
        snprintf(json, sizeof json, "%llu", (unsigned long long)i);
        assert_int_equal(rig_put(&rig, "b", "s", json), i);
    }
}

/* One visit; it must give exactly first..last (none: first > last), and say so about the stream. */
static void expect_visit(struct read *rd, uint64_t first, uint64_t last, uint64_t high)
{
    char json[24];
    rig_read(&rig, rd);
    assert_int_equal(rd->exists, high > 0);
    assert_int_equal(rd->low, 1);
    assert_int_equal(rd->high, high);
    assert_int_equal(rd->count, first > last ? 0 : last - first + 1);
    for (size_t i = 0; i < rd->count; i++) {
        const int n = snprintf(json, sizeof json, "%llu", (unsigned long long)(first + i));
        assert_int_equal(rd->events[i].id, first + i);
        assert_int_equal(rd->events[i].time_ms, RIG_WALL_MS);
        assert_true(rd->events[i].json);
        assert_true(ior_slice_eq(rd->events[i].payload, ior_slice(json, (size_t)n)));
    }
}

static void expect_read(enum read_from how, uint64_t from, uint64_t to, uint64_t limit,
                        uint64_t first, uint64_t last)
{
    struct read *rd = rig_read_new("b", "s");
    rd->how = how;
    rd->from = from;
    rd->to = to;
    rd->limit = limit;
    expect_visit(rd, first, last, 10);
    assert_int_equal(rd->next, 0);
    read_free(rd);
}

/* What: without from: the last `limit` events, ascending; all of them if there are fewer; of those
 * up to `to`. */
static void the_last_ones(void **state)
{
    (void)state;
    put_numbers(10);
    expect_read(READ_LAST, 0, UINT64_MAX, 1, 10, 10);
    expect_read(READ_LAST, 0, UINT64_MAX, 3, 8, 10);
    expect_read(READ_LAST, 0, UINT64_MAX, 10, 1, 10);
    expect_read(READ_LAST, 0, UINT64_MAX, 11, 1, 10);
    expect_read(READ_LAST, 0, UINT64_MAX, UINT64_MAX, 1, 10);
    expect_read(READ_LAST, 0, UINT64_MAX, 0, 1, 0);
    expect_read(READ_LAST, 0, 4, 2, 3, 4);
    expect_read(READ_LAST, 0, 1, 2, 1, 1);
    expect_read(READ_LAST, 0, 0, 2, 1, 0);
}

/* What: from an id on: the first `limit` with an id of at least that; below the oldest: from the
 * oldest; above the last: none; `to` bounds them. */
static void from_an_id_on(void **state)
{
    (void)state;
    put_numbers(10);
    expect_read(READ_FROM_ID, 1, UINT64_MAX, 3, 1, 3);
    expect_read(READ_FROM_ID, 0, UINT64_MAX, 3, 1, 3);
    expect_read(READ_FROM_ID, 4, UINT64_MAX, 1, 4, 4);
    expect_read(READ_FROM_ID, 8, UINT64_MAX, 100, 8, 10);
    expect_read(READ_FROM_ID, 10, UINT64_MAX, UINT64_MAX, 10, 10);
    expect_read(READ_FROM_ID, 11, UINT64_MAX, 5, 1, 0);
    expect_read(READ_FROM_ID, UINT64_MAX, UINT64_MAX, 5, 1, 0);
    expect_read(READ_FROM_ID, 4, 6, 100, 4, 6);
    expect_read(READ_FROM_ID, 4, 6, 2, 4, 5);
    expect_read(READ_FROM_ID, 4, 4, 2, 4, 4);
    expect_read(READ_FROM_ID, 4, 3, 2, 1, 0);
    expect_read(READ_FROM_ID, 4, UINT64_MAX, 0, 1, 0);
}

/* What: from the end: from=-n starts n events before the end, at the oldest if there are fewer. */
static void from_the_end(void **state)
{
    (void)state;
    put_numbers(10);
    expect_read(READ_FROM_END, 1, UINT64_MAX, 5, 10, 10);
    expect_read(READ_FROM_END, 4, UINT64_MAX, 2, 7, 8);
    expect_read(READ_FROM_END, 10, UINT64_MAX, 2, 1, 2);
    expect_read(READ_FROM_END, 11, UINT64_MAX, 2, 1, 2);
    expect_read(READ_FROM_END, UINT64_MAX, UINT64_MAX, 2, 1, 2);
    expect_read(READ_FROM_END, 0, UINT64_MAX, 2, 1, 0);
    expect_read(READ_FROM_END, 4, 7, 5, 7, 7);
}

/* What: a stream that never was, beside one of the same bucket, is empty: Low 1, High 0, not an
 * error. */
static void what_never_was_is_empty(void **state)
{
    (void)state;
    static const enum read_from hows[] = {READ_LAST, READ_FROM_ID, READ_FROM_END};
    put_numbers(1);
    for (int i = 0; i < 3; i++) {
        struct read *rd = rig_read_new("b", "nothing");
        rd->how = hows[i];
        rd->from = 1;
        rd->limit = 5;
        expect_visit(rd, 1, 0, 0);
        assert_int_equal(rd->next, 0);
        read_free(rd);
    }
}

/* What: what is only reserved is not there: neither the event, nor High, nor the stream itself. */
static void uncommitted_is_not_shown(void **state)
{
    (void)state;
    struct rig_post p[2];
    put_numbers(2);
    rig_post(&rig, &p[0], "b", "s", "3");
    rig_post(&rig, &p[1], "b", "new", "1");
    struct read *rd = rig_read_new("b", "s");
    rd->limit = 10;
    expect_visit(rd, 1, 2, 2);
    read_free(rd);
    rd = rig_read_new("b", "new");
    expect_visit(rd, 1, 0, 0);
    read_free(rd);
    rig_settle(&rig);
    assert_int_equal(outcome(&p[0]), 3);
    assert_int_equal(outcome(&p[1]), 1);
    assert_int_equal(high_of(&rig, "b", "new"), 1);
}

/* Visit until next is 0; the ids must be first..last without a gap. The visits. */
static unsigned walk(struct read *rd, uint64_t first, uint64_t last)
{
    unsigned visits = 0;
    uint64_t want = first;
    for (;;) {
        rig_read(&rig, rd);
        visits++;
        assert_true(rd->count <= READ_VISIT_ENTRIES);
        for (size_t i = 0; i < rd->count; i++) assert_int_equal(rd->events[i].id, want++);
        if (rd->next == 0) break;
        assert_int_equal(rd->next, want);
        assert_true(rd->count > 0); /* every visit comes further */
        read_release(rd);
    }
    assert_int_equal(want, last + 1);
    return visits;
}

/* What: a long read is visits of READ_VISIT_ENTRIES events; `next` and `left` carry it on, and
 * together they give exactly what was asked for, in every direction. */
static void long_reads_are_visits(void **state)
{
    (void)state;
    enum { COUNT = 2 * READ_VISIT_ENTRIES + 40, MORE = READ_VISIT_ENTRIES + 44 };
    static const struct {
        enum read_from how;
        uint64_t from, to, limit, first, last;
        unsigned visits;
    } cases[] = {
        {READ_FROM_ID, 1, UINT64_MAX, UINT64_MAX, 1, COUNT, 3},
        {READ_FROM_ID, 1, UINT64_MAX, READ_VISIT_ENTRIES, 1, READ_VISIT_ENTRIES, 1},
        {READ_FROM_ID, 1, UINT64_MAX, READ_VISIT_ENTRIES + 1, 1, READ_VISIT_ENTRIES + 1, 2},
        {READ_FROM_ID, 10, MORE, UINT64_MAX, 10, MORE, 2},
        {READ_LAST, 0, UINT64_MAX, MORE, COUNT - MORE + 1, COUNT, 2},
        {READ_LAST, 0, UINT64_MAX, UINT64_MAX, 1, COUNT, 3},
        {READ_FROM_END, MORE + 50, UINT64_MAX, MORE, COUNT - MORE - 49, COUNT - 50, 2},
    };
    put_numbers(COUNT);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct read *rd = rig_read_new("b", "s");
        rd->how = cases[i].how;
        rd->from = cases[i].from;
        rd->to = cases[i].to;
        rd->limit = cases[i].limit;
        assert_int_equal(walk(rd, cases[i].first, cases[i].last), cases[i].visits);
        read_free(rd);
    }
}

/* What: large events end a visit after about READ_VISIT_BYTES; one that is larger than that comes
 * alone. */
static void large_events_end_a_visit(void **state)
{
    (void)state;
    char *big = malloc(READ_VISIT_BYTES + 2);
    assert_non_null(big);
    memset(big, '7', READ_VISIT_BYTES + 1);
    big[READ_VISIT_BYTES + 1] = 0;
    rig_put(&rig, "b", "s", big);
    big[READ_VISIT_BYTES / 2 + 1] = 0;
    for (int i = 0; i < 3; i++) rig_put(&rig, "b", "s", big);
    big[READ_VISIT_BYTES / 2] = 0;
    for (int i = 0; i < 2; i++) rig_put(&rig, "b", "s", big);
    struct read *rd = rig_read_new("b", "s");
    rd->how = READ_FROM_ID;
    rd->limit = 100;
    assert_int_equal(walk(rd, 1, 6), 5); /* 1 | 2 | 3 | 4 | 5 and 6: exactly READ_VISIT_BYTES */
    read_free(rd);
    free(big);
}

/* What: a read holds its events: they stay as they were while the stream grows, until they are
 * released. */
static void events_are_held(void **state)
{
    (void)state;
    put_numbers(3);
    struct read *rd = rig_read_new("b", "s");
    rd->how = READ_FROM_ID;
    rd->limit = 3;
    expect_visit(rd, 1, 3, 3);
    put_numbers(200);
    for (uint64_t i = 0; i < 3; i++) {
        const char json[] = {(char)('1' + i)};
        assert_true(ior_slice_eq(rd->events[i].payload, ior_slice(json, 1)));
    }
    read_free(rd);
}

/* What: a read that is handed on from visit to visit finds the events that came meanwhile, up to
 * its limit. */
static void reads_catch_up(void **state)
{
    (void)state;
    put_numbers(READ_VISIT_ENTRIES + 1);
    struct read *rd = rig_read_new("b", "s");
    rd->how = READ_FROM_ID;
    rd->limit = READ_VISIT_ENTRIES + 10;
    rig_read(&rig, rd);
    assert_int_equal(rd->count, READ_VISIT_ENTRIES);
    assert_int_equal(rd->left, 10);
    put_numbers(50);
    read_release(rd);
    assert_int_equal(walk(rd, READ_VISIT_ENTRIES + 1, READ_VISIT_ENTRIES + 10), 1);
    read_free(rd);
}

/* What: a read from another worker is answered on that worker. */
static void answered_where_asked(void **state)
{
    (void)state;
    put_numbers(2);
    rig_enter(&rig, 1);
    struct read *rd = rig_read_new("b", "s");
    expect_visit(rd, 2, 2, 2);
    assert_ptr_equal(rd->origin, &rig.workers[1]);
    read_free(rd);
    rig_enter(&rig, 0);
}

/* What: 2,000 random questions are answered as a naive search over the numbers would. */
static void agrees_with_a_naive_search(void **state)
{
    (void)state;
    enum { COUNT = 30 };
    struct rand_state rnd = {11};
    put_numbers(COUNT);
    for (int round = 0; round < 2000; round++) {
        struct read *rd = rig_read_new("b", "s");
        rd->how = (enum read_from)rand_below(&rnd, 3);
        rd->from = rand_below(&rnd, COUNT + 5);
        rd->to = rand_below(&rnd, 3) == 0 ? UINT64_MAX : rand_below(&rnd, COUNT + 5);
        rd->limit = rand_below(&rnd, COUNT + 5);
        uint64_t want[COUNT];
        size_t count = 0;
        for (uint64_t id = 1; id <= COUNT; id++) {
            bool in = id <= rd->to;
            if (rd->how == READ_FROM_ID) in = in && id >= rd->from;
            if (rd->how == READ_FROM_END) in = in && id + rd->from >= COUNT + 1;
            if (in) want[count++] = id;
        }
        const size_t skip = rd->how == READ_LAST && count > rd->limit ? count - rd->limit : 0;
        count -= skip;
        if (count > rd->limit) count = rd->limit;
        const uint64_t first = count == 0 ? 1 : want[skip];
        expect_visit(rd, first, first + count - 1, COUNT);
        assert_int_equal(rd->next, 0);
        read_free(rd);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_last_ones),
        TEST(from_an_id_on),
        TEST(from_the_end),
        TEST(what_never_was_is_empty),
        TEST(uncommitted_is_not_shown),
        TEST(long_reads_are_visits),
        TEST(large_events_end_a_visit),
        TEST(events_are_held),
        TEST(reads_catch_up),
        TEST(answered_where_asked),
        TEST(agrees_with_a_naive_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

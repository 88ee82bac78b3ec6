/* test/unit/base/test_ring.c - the intrusive ring. Order is read off by numbers; both directions
 * must agree at any time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/ring.h"
#include "rt/rand.h"

enum { ITEMS = 8 };

struct thing {
    struct ior_ring link; /* first */
    int number;
};
static struct thing things[ITEMS];
static struct ior_ring a, b;

static int set_up(void **state)
{
    (void)state;
    ior_ring_init(&a);
    ior_ring_init(&b);
    for (int i = 0; i < ITEMS; i++) things[i] = (struct thing){.number = i};
    return 0;
}

/* Exactly these, first to last; -1 ends. */
static void expect_ring(const struct ior_ring *r, const int *want)
{
    const struct ior_ring *at = r->next;
    int count = 0;
    for (; want[count] >= 0; count++, at = at->next) {
        assert_ptr_not_equal(at, r);
        assert_int_equal(((const struct thing *)(const void *)at)->number, want[count]);
        assert_ptr_equal(at->prev->next, at);
        assert_ptr_equal(at->next->prev, at);
    }
    assert_ptr_equal(at, r);
    assert_ptr_equal(r->prev->next, r);
    assert_int_equal(ior_ring_empty(r), count == 0);
}
#define EXPECT(r, ...) expect_ring(r, (const int[]){__VA_ARGS__, -1})
#define EXPECT_NONE(r) expect_ring(r, (const int[]){-1})

static void add(struct ior_ring *r, int i)
{
    ior_ring_add_last(r, &things[i].link);
}

/* What: what is added comes last; anything can be removed, from both ends and the middle, and be
 * added again; removing what is in no list does nothing. */
static void add_and_remove(void **state)
{
    (void)state;
    EXPECT_NONE(&a);
    assert_true(ior_ring_empty(&things[0].link)); /* zeros */
    ior_ring_remove(&things[0].link);
    add(&a, 0);
    EXPECT(&a, 0);
    add(&a, 1);
    add(&a, 2);
    add(&a, 3);
    EXPECT(&a, 0, 1, 2, 3);
    ior_ring_remove(&things[1].link);
    EXPECT(&a, 0, 2, 3);
    assert_null(things[1].link.next);
    ior_ring_remove(&things[1].link);
    ior_ring_remove(&things[0].link);
    ior_ring_remove(&things[3].link);
    EXPECT(&a, 2);
    add(&a, 0);
    EXPECT(&a, 2, 0);
    ior_ring_remove(&things[2].link);
    ior_ring_remove(&things[0].link);
    EXPECT_NONE(&a);
}

/* What: moving puts everything behind what is there, in its order, and leaves nothing. */
static void move(void **state)
{
    (void)state;
    ior_ring_move(&a, &b);
    EXPECT_NONE(&a);
    add(&b, 0);
    ior_ring_move(&a, &b);
    EXPECT(&a, 0);
    EXPECT_NONE(&b);
    add(&b, 1);
    add(&b, 2);
    ior_ring_move(&a, &b);
    EXPECT(&a, 0, 1, 2);
    EXPECT_NONE(&b);
    ior_ring_move(&a, &b);
    EXPECT(&a, 0, 1, 2);
    add(&b, 3);
    ior_ring_move(&b, &a);
    EXPECT(&b, 3, 0, 1, 2);
    EXPECT_NONE(&a);
    ior_ring_remove(&things[2].link);
    add(&b, 4);
    EXPECT(&b, 3, 0, 1, 4);
}

/* What: 5,000 random adds, removals and moves agree with arrays. */
static void agrees_with_arrays(void **state)
{
    (void)state;
    struct rand_state rnd = {2};
    struct ior_ring *rings[2] = {&a, &b};
    int lists[2][ITEMS + 1];
    int counts[2] = {0, 0};
    for (int step = 0; step < 5000; step++) {
        const int i = (int)rand_below(&rnd, ITEMS);
        const int to = (int)rand_below(&rnd, 2);
        if (rand_below(&rnd, 10) == 0) {
            ior_ring_move(rings[to], rings[1 - to]);
            for (int k = 0; k < counts[1 - to]; k++) lists[to][counts[to]++] = lists[1 - to][k];
            counts[1 - to] = 0;
        } else {
            const bool was_in = things[i].link.next != NULL;
            ior_ring_remove(&things[i].link);
            for (int r = 0; r < 2; r++) {
                int kept = 0;
                for (int k = 0; k < counts[r]; k++)
                    if (lists[r][k] != i) lists[r][kept++] = lists[r][k];
                counts[r] = kept;
            }
            if (!was_in) add(rings[to], i);
            if (!was_in) lists[to][counts[to]++] = i;
        }
        for (int r = 0; r < 2; r++) {
            lists[r][counts[r]] = -1;
            expect_ring(rings[r], lists[r]);
        }
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, set_up)
    const struct CMUnitTest tests[] = {TEST(add_and_remove), TEST(move), TEST(agrees_with_arrays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

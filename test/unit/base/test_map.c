/* test/unit/base/test_map.c - the hash table against a naive one: an array of flags. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/map.h"
#include "seeded.h"

enum { KEYS = 600, STEPS = 60000 };

struct thing {
    uint32_t key;
    bool in_map; /* the model */
    unsigned seen;
};
static struct thing things[KEYS];

typedef uint64_t (*hash_fn)(uint32_t key);

static bool same_key(const void *object, const void *key)
{
    return ((const struct thing *)object)->key == *(const uint32_t *)key;
}

static uint64_t spread(uint32_t key)
{
    return (key + 1) * 0x9e3779b97f4a7c15u;
}

/* Five values: long runs of slots, and different keys with the same hash. */
static uint64_t crowded(uint32_t key)
{
    return key % 5;
}

/* Every run starts in the last slots of any table and goes on at its front. */
static uint64_t at_the_end(uint32_t key)
{
    return UINT64_MAX - key % 3;
}

static void reset(struct ior_map *m)
{
    ior_map_init(m);
    for (uint32_t i = 0; i < KEYS; i++) things[i] = (struct thing){.key = i};
}

static void check_walk(const struct ior_map *m)
{
    size_t pos = 0;
    size_t count = 0;
    struct thing *t;
    for (size_t i = 0; i < KEYS; i++) things[i].seen = 0;
    while ((t = ior_map_next(m, &pos)) != NULL) {
        t->seen++;
        count++;
    }
    assert_int_equal(count, m->count);
    for (size_t i = 0; i < KEYS; i++) assert_int_equal(things[i].seen, things[i].in_map ? 1 : 0);
}

static void run_against_model(uint64_t seed, uint32_t keys, hash_fn hash)
{
    struct seeded rnd = {seed};
    struct ior_map m;
    size_t count = 0;
    reset(&m);
    for (int step = 0; step < STEPS; step++) {
        uint32_t key = (uint32_t)seeded_below(&rnd, keys);
        struct thing *t = &things[key];
        /* Grow for a while, then shrink for a while. */
        const bool growing = step / (STEPS / 6) % 2 == 0;
        const bool add = seeded_below(&rnd, 4) < (growing ? 3u : 1u);
        assert_ptr_equal(ior_map_find(&m, hash(key), same_key, &key), t->in_map ? t : NULL);
        if (add && !t->in_map) {
            assert_int_equal(ior_map_add(&m, hash(key), t), IOR_OK);
            t->in_map = true;
            count++;
        } else if (!add && t->in_map) {
            ior_map_remove(&m, hash(key), t);
            t->in_map = false;
            count--;
        }
        assert_int_equal(m.count, count);
        if (step % 1000 == 0) check_walk(&m);
    }
    for (uint32_t key = 0; key < KEYS; key++) {
        void *found = ior_map_find(&m, hash(key), same_key, &key);
        assert_ptr_equal(found, things[key].in_map ? &things[key] : NULL);
    }
    ior_map_done(&m);
}

/* What: 60,000 random additions, removals and look-ups give what a naive table gives. */
static void agrees_with_a_naive_table(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) run_against_model(seed, KEYS, spread);
}

/* What: the same holds when nearly all hashes collide, so that runs are long and removal must
 * shift. */
static void survives_collisions(void **state)
{
    (void)state;
    run_against_model(4, 60, crowded);
    run_against_model(5, KEYS, crowded);
}

/* What: the same holds when every run wraps from the last slot to the first. */
static void survives_the_wrap(void **state)
{
    (void)state;
    run_against_model(6, 5, at_the_end);
    run_against_model(7, 40, at_the_end);
}

/* What: an empty map finds nothing, walks over nothing, owns no memory, and may be done twice. */
static void empty_map_has_nothing(void **state)
{
    (void)state;
    struct ior_map m;
    uint32_t key = 1;
    size_t pos = 0;
    ior_map_init(&m);
    assert_null(ior_map_find(&m, spread(key), same_key, &key));
    assert_null(ior_map_next(&m, &pos));
    assert_null(m.slots);
    ior_map_done(&m);
    ior_map_done(&m);
}

/* What: an equal hash is not an equal key: the callback decides. */
static void the_key_decides(void **state)
{
    (void)state;
    struct ior_map m;
    reset(&m);
    assert_int_equal(ior_map_add(&m, 7, &things[1]), IOR_OK);
    assert_int_equal(ior_map_add(&m, 7, &things[2]), IOR_OK);
    for (uint32_t key = 0; key < 4; key++) {
        void *found = ior_map_find(&m, 7, same_key, &key);
        assert_ptr_equal(found, key == 1 || key == 2 ? &things[key] : NULL);
    }
    ior_map_remove(&m, 7, &things[1]);
    uint32_t key = 2;
    assert_ptr_equal(ior_map_find(&m, 7, same_key, &key), &things[2]);
    assert_int_equal(m.count, 1);
    ior_map_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_a_naive_table), cmocka_unit_test(survives_collisions),
        cmocka_unit_test(survives_the_wrap),         cmocka_unit_test(empty_map_has_nothing),
        cmocka_unit_test(the_key_decides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

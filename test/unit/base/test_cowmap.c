/* test/unit/base/test_cowmap.c - the map whose copies share: against arrays of flags, with every
 * copy held to what it was when it was made, with hashes that collide, and without memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/cowmap.h"
#include "no_memory.h"
#include "seeded.h"

enum { KEYS = 400, COPIES = 12, STEPS = 40000 };

struct thing {
    struct ior_shared shared;
    uint32_t key;
    uint32_t value;
};
/* What a map must hold: 0: nothing. */
struct model {
    struct ior_cowmap map;
    uint32_t value[KEYS];
};

static size_t things_alive;

static void thing_free(struct ior_shared *s)
{
    things_alive--;
    free(IOR_CONTAINER(s, struct thing, shared));
}

static struct thing *thing_new(uint32_t key, uint32_t value)
{
    struct thing *t = __real_malloc(sizeof *t);
    assert_non_null(t);
    ior_shared_init(&t->shared, thing_free);
    t->key = key;
    t->value = value;
    things_alive++;
    return t;
}

static bool same_key(const struct ior_shared *object, const void *key)
{
    return ((const struct thing *)(const void *)object)->key == *(const uint32_t *)key;
}

typedef uint64_t (*hash_fn)(uint32_t key);

static uint64_t spread(uint32_t key)
{
    return (key + 1) * 0x9e3779b97f4a7c15u;
}

static uint64_t dense(uint32_t key)
{
    return key;
}

/* All of it in common: lists. */
static uint64_t crowded(uint32_t key)
{
    return key % 5 * 0x1111111111111111u;
}

/* They differ in the last levels only. */
static uint64_t late(uint32_t key)
{
    return (uint64_t)(key % 300) << 52;
}

static uint32_t value_of(const struct ior_cowmap *m, hash_fn hash, uint32_t key)
{
    const struct ior_shared *s = ior_cowmap_find(m, hash(key), same_key, &key);
    return s == NULL ? 0 : ((const struct thing *)(const void *)s)->value;
}

static void check(const struct model *m, hash_fn hash)
{
    bool seen[KEYS] = {false};
    size_t count = 0;
    struct ior_cowmap_walk w;
    ior_cowmap_begin(&w, &m->map);
    for (const struct ior_shared *s; (s = ior_cowmap_next(&w)) != NULL; count++) {
        const struct thing *t = (const void *)s;
        assert_false(seen[t->key]);
        seen[t->key] = true;
        assert_int_equal(t->value, m->value[t->key]);
    }
    assert_int_equal(count, m->map.count);
    for (uint32_t key = 0; key < KEYS; key++) {
        assert_int_equal(value_of(&m->map, hash, key), m->value[key]);
        assert_int_equal(seen[key], m->value[key] != 0);
    }
}

static enum ior_err set(struct model *m, hash_fn hash, uint32_t key, uint32_t value)
{
    struct thing *t = thing_new(key, value);
    enum ior_err err = ior_cowmap_set(&m->map, hash(key), same_key, &key, &t->shared);
    ior_shared_unref(&t->shared);
    if (err == IOR_OK) m->value[key] = value;
    return err;
}

static enum ior_err take(struct model *m, hash_fn hash, uint32_t key)
{
    enum ior_err err = ior_cowmap_remove(&m->map, hash(key), same_key, &key);
    if (err == IOR_OK) m->value[key] = 0;
    return err;
}

static void step(struct model *models, hash_fn hash, struct seeded *seed, uint32_t number)
{
    struct model *m = &models[seeded_below(seed, COPIES)];
    uint32_t key = (uint32_t)seeded_below(seed, KEYS);
    size_t dice = seeded_below(seed, 100);
    if (dice < 60) {
        assert_int_equal(set(m, hash, key, number), IOR_OK);
    } else if (dice < 95) {
        assert_int_equal(take(m, hash, key), IOR_OK);
    } else {
        struct model *to = &models[seeded_below(seed, COPIES)];
        if (to == m) return;
        ior_cowmap_done(&to->map);
        *to = *m;
        to->map = ior_cowmap_copy(&m->map);
    }
}

static void run(hash_fn hash)
{
    static struct model models[COPIES];
    struct seeded seed = {7};
    memset(models, 0, sizeof models);
    for (uint32_t i = 1; i <= STEPS; i++) {
        step(models, hash, &seed, i);
        if (i % 500 != 0) continue;
        for (unsigned k = 0; k < COPIES; k++) check(&models[k], hash);
    }
    for (unsigned k = 0; k < COPIES; k++) ior_cowmap_done(&models[k].map);
    assert_int_equal(things_alive, 0);
}

/* What: a copy stays what it was, whatever becomes of the other, and nothing is left over. */
static void like_a_model(void **state)
{
    (void)state;
    run(spread);
    run(dense);
    run(crowded);
    run(late);
}

/* What: an empty map finds nothing, and what is not there is taken away without a word. */
static void empty(void **state)
{
    (void)state;
    struct model m = {0};
    struct ior_cowmap copy = ior_cowmap_copy(&m.map);
    check(&m, spread);
    assert_int_equal(take(&m, spread, 3), IOR_OK);
    assert_int_equal(set(&m, spread, 3, 1), IOR_OK);
    check(&m, spread);
    assert_int_equal(take(&m, spread, 3), IOR_OK);
    check(&m, spread);
    assert_null(m.map.root);
    ior_cowmap_done(&copy);
    ior_cowmap_done(&m.map);
    assert_int_equal(things_alive, 0);
}

/* Whichever allocation of one call fails: the map and its copy are as before. */
static void fail_each(struct model *m, hash_fn hash, uint32_t key, uint32_t value)
{
    struct model copy = *m;
    copy.map = ior_cowmap_copy(&m->map);
    enum ior_err err = IOR_E_NOMEM;
    for (unsigned n = 1; err != IOR_OK; n++) {
        assert_in_range(n, 1, 100);
        no_memory_at = n;
        err = value == 0 ? take(m, hash, key) : set(m, hash, key, value);
        no_memory_at = 0;
        if (err != IOR_OK) assert_int_equal(err, IOR_E_NOMEM);
        check(m, hash);
        check(&copy, hash);
    }
    ior_cowmap_done(&copy.map);
}

static void no_memory(void **state)
{
    (void)state;
    static const hash_fn hashes[] = {spread, dense, crowded, late};
    for (unsigned h = 0; h < IOR_LEN(hashes); h++) {
        struct model m = {0};
        for (uint32_t i = 0; i < 60; i++) fail_each(&m, hashes[h], i * 5 % KEYS, i + 1);
        for (uint32_t i = 0; i < 60; i += 2) fail_each(&m, hashes[h], i * 5 % KEYS, 0);
        ior_cowmap_done(&m.map);
        assert_int_equal(things_alive, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(like_a_model),
        cmocka_unit_test(empty),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

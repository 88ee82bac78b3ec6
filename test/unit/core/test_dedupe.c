/* test/unit/core/test_dedupe.c - what is remembered of idempotency keys, how long and how
 * many; that a repeated append gets the first answer is test/sim and test_append.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/limits.h"
#include "core/stream_keys.h"

enum { WINDOW_MS = 1000, T0 = 1000000 };

static struct dedupe_limits limits;
static struct stream_memory memory;
static struct stream_table table;
static struct dedupe keys;

static int set_up(void **state)
{
    (void)state;
    limits = (struct dedupe_limits){.window_ms = WINDOW_MS, .bytes_max = 64 << 20};
    stream_table_init(&table, &limits, &memory);
    dedupe_init(&keys, 99);
    return 0;
}

/* All memory is given back. */
static int tear_down(void **state)
{
    (void)state;
    dedupe_done(&keys, &limits);
    stream_table_done(&table);
    return atomic_load(&limits.bytes) == 0 ? 0 : -1;
}

static struct ior_slice key(uint64_t n)
{
    static char text[2][32];
    static unsigned at;
    char *out = text[at++ % 2];
    int size = snprintf(out, 32, "key-%llu", (unsigned long long)n);
    return ior_slice(out, (size_t)size);
}

static struct dedupe_entry entry(uint64_t id, uint64_t time_ms)
{
    return (struct dedupe_entry){
        .body_hash = id * 7, .first_id = id, .last_id = id, .time_ms = time_ms};
}

static void add(uint64_t id, uint64_t time_ms)
{
    const struct dedupe_entry e = entry(id, time_ms);
    assert_int_equal(dedupe_add(&keys, &limits, key(id), &e), IOR_OK);
}

/* What: an answer is found by exactly its key, with all that was answered. */
static void found_by_key(void **state)
{
    (void)state;
    for (uint64_t id = 1; id <= 1000; id++) add(id, T0 + id);
    for (uint64_t id = 1; id <= 1000; id++) {
        const struct dedupe_entry *e = dedupe_find(&keys, key(id));
        assert_non_null(e);
        assert_int_equal(e->first_id, id);
        assert_int_equal(e->last_id, id);
        assert_int_equal(e->time_ms, T0 + id);
        assert_int_equal(e->body_hash, id * 7);
    }
    assert_null(dedupe_find(&keys, key(1001)));
    assert_null(dedupe_find(&keys, IOR_SLICE("key-")));
    assert_null(dedupe_find(&keys, IOR_SLICE("key-1 ")));
    dedupe_forget(&keys, &limits, key(500));
    assert_null(dedupe_find(&keys, key(500)));
    assert_non_null(dedupe_find(&keys, key(501)));
}

/* What: a key lives for the window after its record's time, and not a millisecond more. */
static void window_ends(void **state)
{
    (void)state;
    add(1, T0);
    add(2, T0 + 10);
    dedupe_expire(&keys, &limits, T0 + WINDOW_MS);
    assert_non_null(dedupe_find(&keys, key(1)));
    dedupe_expire(&keys, &limits, T0 + WINDOW_MS + 1);
    assert_null(dedupe_find(&keys, key(1)));
    assert_non_null(dedupe_find(&keys, key(2)));
    dedupe_expire(&keys, &limits, T0 - 5); /* a clock that goes back forgets nothing */
    assert_non_null(dedupe_find(&keys, key(2)));
    assert_int_equal(dedupe_shortened_ms(&keys, &limits, T0 + 20), 0);
}

/* What: of more than DEDUPE_KEYS_MAX the oldest go, and it is told how far back the others reach.
 */
static void count_is_bounded(void **state)
{
    (void)state;
    for (uint64_t id = 1; id <= DEDUPE_KEYS_MAX; id++) add(id, T0 + id / 100);
    assert_int_equal(dedupe_shortened_ms(&keys, &limits, T0 + 100), 0);
    assert_non_null(dedupe_find(&keys, key(1)));
    add(DEDUPE_KEYS_MAX + 1, T0 + 100);
    assert_null(dedupe_find(&keys, key(1)));
    assert_non_null(dedupe_find(&keys, key(2)));
    assert_int_equal(dedupe_shortened_ms(&keys, &limits, T0 + 100), 100);
    assert_int_equal(dedupe_shortened_ms(&keys, &limits, T0), 1); /* at least */
    dedupe_expire(&keys, &limits, T0 + WINDOW_MS + 1);
    assert_int_equal(dedupe_shortened_ms(&keys, &limits, T0 + WINDOW_MS + 1), 0);
}

/* What: reservations that came to nothing are forgotten, what is committed is not. */
static void lost_reservations_go(void **state)
{
    (void)state;
    for (uint64_t id = 1; id <= 10; id++) add(id, T0);
    dedupe_drop_above(&keys, &limits, 4);
    assert_non_null(dedupe_find(&keys, key(4)));
    for (uint64_t id = 5; id <= 10; id++) assert_null(dedupe_find(&keys, key(id)));
    add(5, T0);
    assert_non_null(dedupe_find(&keys, key(5)));
}

static struct stream *stream(const char *name)
{
    struct stream *s = stream_find(&table, IOR_SLICE("b"), ior_slice_str(name),
                                   ior_hash_pair(IOR_SLICE("b"), ior_slice_str(name)));
    if (s != NULL) return s;
    uint64_t hash = ior_hash_pair(IOR_SLICE("b"), ior_slice_str(name));
    assert_int_equal(stream_add(&table, IOR_SLICE("b"), ior_slice_str(name), hash, hash | 1, &s),
                     IOR_OK);
    return s;
}

static enum ior_err add_to(const char *name, uint64_t id, uint64_t time_ms, uint64_t wall_ms)
{
    struct stream *s = stream(name);
    const struct dedupe_entry e = entry(id, time_ms);
    enum ior_err err = stream_keys_add(&table, s, key(id), &e, wall_ms);
    if (err == IOR_OK) s->reserved_time_ms = time_ms;
    return err;
}

/* What: a stream that fills the memory loses its own oldest keys; one that has none yet is
 * refused, until the others' windows have ended. */
static void memory_is_bounded(void **state)
{
    (void)state;
    limits.bytes_max = 4096;
    for (uint64_t id = 1; id <= 200; id++) {
        assert_int_equal(add_to("greedy", id, T0 + id, T0 + id), IOR_OK);
        assert_true(atomic_load(&limits.bytes) <= limits.bytes_max);
    }
    struct stream *greedy = stream("greedy");
    assert_non_null(stream_keys_find(&table, greedy, key(200), T0 + 200));
    assert_null(stream_keys_find(&table, greedy, key(1), T0 + 200));
    assert_true(stream_keys_shortened_ms(&table, greedy, T0 + 200) > 0);
    assert_int_equal(add_to("late", 1, T0 + 201, T0 + 201), IOR_E_DEDUPEFULL);
    assert_null(stream("late")->keys);
    assert_int_equal(add_to("late", 1, T0 + 2000, T0 + 2000), IOR_OK);
    assert_null(greedy->keys);
}

/* What: keys of streams that nobody writes any more go with the appends to others; a
 * stream whose times ran ahead of the clock takes none of them along. */
static void idle_streams_are_swept(void **state)
{
    (void)state;
    assert_int_equal(add_to("idle", 1, T0, T0), IOR_OK);
    assert_int_equal(add_to("ahead", 1, T0 + 3600000, T0), IOR_OK);
    for (uint64_t id = 2; id <= 4; id++)
        assert_int_equal(add_to("ahead", id, T0 + 3600000, T0 + id), IOR_OK);
    assert_non_null(stream("idle")->keys);
    for (uint64_t id = 5; id <= 8; id++)
        assert_int_equal(add_to("ahead", id, T0 + 3600000, T0 + WINDOW_MS + id), IOR_OK);
    assert_null(stream("idle")->keys);
    assert_non_null(stream_keys_find(&table, stream("ahead"), key(1), T0 + WINDOW_MS + 9));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(found_by_key),         TEST(window_ends),       TEST(count_is_bounded),
        TEST(lost_reservations_go), TEST(memory_is_bounded), TEST(idle_streams_are_swept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

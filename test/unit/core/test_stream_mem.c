/* test/unit/core/test_stream_mem.c - the events of a stream in memory: what is pushed, trimmed,
 * taken by a checkpoint and given back, in every order. After each step everything is counted
 * anew: the two counters of struct stream_memory must be exact. The payload of an event is
 * the letter of its stream, `size` times, so what memory gives is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "core/stream.h"
#include "core/stream_keys.h"
#include "rt/rand.h"

enum { EVENTS_MAX = 8 };

static struct dedupe_limits limits;
static struct stream_memory memory;
static struct stream_table table;
static uint64_t next_index;

static int set_up(void **state)
{
    (void)state;
    limits = (struct dedupe_limits){.window_ms = 1000, .bytes_max = 1 << 20};
    memory = (struct stream_memory){
        .history_bytes_max = 1 << 20, .history_items_max = 4, .history_stream_bytes_max = 1 << 20};
    next_index = 1;
    stream_table_init(&table, &limits, &memory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    size_t pos = 0;
    struct stream *s;
    while ((s = ior_map_next(&table.by_name, &pos)) != NULL) /* a test that failed left it so */
        if (s->taken) stream_give_back(&table, s, UINT64_MAX);
    stream_table_done(&table);
    assert_int_equal(memory.tail_bytes, 0);
    assert_int_equal(memory.history_bytes, 0);
    assert_int_equal(memory.streams, 0);
    assert_int_equal(limits.bytes, 0);
    return 0;
}

static uint64_t hash_of(const char *name)
{
    return ior_hash_pair(ior_slice_str("b"), ior_slice_str(name));
}

static struct stream *find(const char *name)
{
    return stream_find(&table, ior_slice_str("b"), ior_slice_str(name), hash_of(name));
}

static struct stream *add(const char *name)
{
    struct stream *s = NULL;
    assert_int_equal(
        stream_add(&table, ior_slice_str("b"), ior_slice_str(name), hash_of(name), next_index, &s),
        IOR_OK);
    stream_commit(&table, s);
    return s;
}

/* It comes from the catalog, as load.c brings it. */
static struct stream *come_back(const char *name, uint64_t low, uint64_t high)
{
    struct stream *s = add(name);
    s->low = s->reserved_low = low;
    s->high = s->reserved = s->saved = high;
    s->first = s->base = high + 1;
    return s;
}

/* ---- what must be true at any time ---- */

static void expect_entry(const struct stream *s, const struct tail_entry *e, uint64_t id)
{
    struct item it = item_at(ior_slice(e->blob->data, e->blob->size_bytes), e->offset_bytes);
    assert_int_equal(it.seqnum, id);
    assert_int_equal(it.uid, s->uid);
    assert_int_equal(it.payload.size_bytes, e->payload_bytes);
    for (size_t i = 0; i < it.payload.size_bytes; i++)
        assert_int_equal(it.payload.data[i], s->name[0]);
}

/* Entries and the blobs of records that end here, counted by who holds which id. */
static void count_stream(const struct stream *s, uint64_t *tail, uint64_t *history)
{
    for (uint64_t id = s->first; id <= s->high; id++) {
        const struct tail_entry *e = stream_entry(s, id);
        uint64_t cost = sizeof *e;
        if (id == s->high || stream_entry(s, id + 1)->blob != e->blob)
            cost += ior_blob_cost(e->blob);
        *(id > s->saved ? tail : history) += cost;
        expect_entry(s, e, id);
    }
    *history += stream_row_cost(s);
}

static void expect_exact(void)
{
    uint64_t tail = 0;
    uint64_t history = 0;
    size_t pos = 0;
    size_t count = 0;
    struct stream *s;
    while ((s = ior_map_next(&table.by_name, &pos)) != NULL) {
        assert_true(s->low <= s->high + 1 && s->high <= s->reserved);
        assert_true(s->first <= s->saved + 1 || s->first <= s->low);
        assert_true(s->taken || s->first >= s->low || s->first == s->saved + 1);
        assert_true(s->base <= s->first);
        if (!s->taken) assert_int_equal(s->history.next != NULL, s->first <= s->saved);
        if (!s->taken) assert_null(s->lent);
        count_stream(s, &tail, &history);
        count++;
    }
    assert_int_equal(memory.tail_bytes, tail);
    assert_int_equal(memory.history_bytes, history);
    assert_int_equal(memory.streams, count);
}

/* ---- the steps ---- */

/* One record of so many events, of so many bytes each, as append.c applies it. */
static void push(struct stream *s, size_t events, size_t size)
{
    char text[256];
    assert_true(size <= sizeof text && events <= EVENTS_MAX);
    memset(text, s->name[0], size);
    size_t each = item_bytes(0, size);
    struct ior_blob *b = ior_blob_new(events * each);
    assert_non_null(b);
    for (size_t i = 0; i < events; i++) {
        item_write(b->data + i * each, ITEM_APPEND, 0, 0, ior_slice(text, size));
        item_set_place(b->data + i * each, s->uid, s->high + 1 + i, s->low);
    }
    assert_int_equal(stream_reserve_room(s, events), IOR_OK);
    size_t pos = 0;
    struct item it;
    next_index++;
    while (item_next(ior_slice(b->data, b->size_bytes), &pos, &it) == IOR_OK)
        stream_push(s, b, &it, 1000, next_index);
    s->reserved_bytes = s->bytes;
    stream_set_deleted(s, false);
    s->reserved_deleted = false;
    stream_changed(&table, s, next_index);
    atomic_fetch_add(&memory.tail_bytes, stream_record_cost(b, events));
    ior_blob_unref(b);
    expect_exact();
}

/* All payloads of a stream have one size here, so what goes is known without a look. */
static void trim(struct stream *s, uint64_t low, size_t size)
{
    uint64_t bytes = (low - s->low) * size;
    stream_trim(&table, s, low, bytes);
    s->reserved_bytes = s->bytes;
    stream_changed(&table, s, ++next_index);
    expect_exact();
}

static void give_back(struct stream *s, uint64_t saved_to)
{
    stream_give_back(&table, s, saved_to);
    expect_exact();
}

/* ---- tests ---- */

/* What: what a checkpoint has saved becomes history, of which the last few stay; a checkpoint
 * that failed leaves everything in the tail and the stream to be saved. */
static void saved_events_become_history(void **state)
{
    (void)state;
    struct stream *s = add("a");
    push(s, 3, 10);
    push(s, 4, 10);
    stream_take(s);
    assert_null(s->dirty.next);
    give_back(s, UINT64_MAX);
    assert_int_equal(s->saved, 0);
    assert_non_null(s->dirty.next);
    assert_int_equal(s->first, 1);
    stream_take(s);
    give_back(s, 7);
    assert_int_equal(s->saved, 7);
    assert_int_equal(s->first, 4); /* four of them, history_items_max */
    assert_int_equal(memory.tail_bytes, 0);
    assert_null(s->dirty.next);
}

/* What: what was pushed after the take stays in the tail and is to be saved; the history is counted
 * with it. */
static void pushed_while_taken_stays(void **state)
{
    (void)state;
    struct stream *s = add("a");
    push(s, 5, 10);
    stream_take(s);
    push(s, 2, 10);
    give_back(s, 5);
    assert_int_equal(s->saved, 5);
    assert_int_equal(s->first, 4); /* 4 and 5 saved, 6 and 7 not: four */
    assert_non_null(s->dirty.next);
    stream_take(s);
    push(s, 8, 10);
    give_back(s, 7);
    assert_int_equal(s->first, 8); /* the tail alone is more than history_items_max */
    assert_null(s->history.next);
}

/* What: while it is taken the array may grow as often as it must: what the checkpoint looks at
 * stays as it was, and is freed when it is given back. */
static void arrays_grow_while_lent(void **state)
{
    (void)state;
    for (int ok = 0; ok < 2; ok++) {
        struct stream *s = add(ok == 0 ? "a" : "c");
        push(s, 3, 10);
        stream_take(s);
        const struct tail_entry *lent = stream_entry(s, 1);
        for (int i = 0; i < 100; i++) push(s, 4, 10);
        assert_ptr_not_equal(stream_entry(s, 1), lent);
        for (uint64_t id = 1; id <= 3; id++) expect_entry(s, &lent[id - 1], id);
        give_back(s, ok == 0 ? UINT64_MAX : 3);
        assert_int_equal(s->first, ok == 0 ? 1 : 4);
        assert_int_equal(s->high, 403);
    }
}

/* What: events that are trimmed while the checkpoint looks at them go when it gives them back, and
 * not before: part of them, all of them, a batch cut in two, and those that came after. */
static void trims_while_taken(void **state)
{
    (void)state;
    static const uint64_t lows[] = {2, 3, 6, 7, 9, 11};
    for (size_t i = 0; i < sizeof lows / sizeof lows[0]; i++) {
        for (int ok = 0; ok < 2; ok++) {
            char name[3] = {(char)('a' + i), (char)('a' + ok), 0};
            struct stream *s = add(name);
            push(s, 6, 10);
            stream_take(s);
            const struct tail_entry *lent = stream_entry(s, 1);
            push(s, 4, 10);
            trim(s, lows[i], 10);
            assert_int_equal(s->bytes, (11 - lows[i]) * 10);
            assert_int_equal(s->first, 1);
            for (uint64_t id = 1; id <= 6; id++) expect_entry(s, &lent[id - 1], id);
            give_back(s, ok == 0 ? UINT64_MAX : 6);
            assert_true(s->first >= s->low);
            assert_int_equal(s->saved, ok == 0 ? 0 : 6);
            assert_non_null(s->dirty.next);
        }
    }
}

/* What: a stream that is deleted while taken keeps nothing in memory afterwards, and goes on with
 * its ids. */
static void deleted_while_taken(void **state)
{
    (void)state;
    struct stream *s = add("a");
    push(s, 6, 10);
    stream_take(s);
    trim(s, 7, 10);
    stream_set_deleted(s, true);
    s->reserved_deleted = true;
    assert_true(memory.tail_bytes > 0);
    give_back(s, 6);
    assert_int_equal(memory.tail_bytes, 0);
    assert_int_equal(memory.history_bytes, stream_row_cost(s));
    assert_null(s->entries);
    push(s, 1, 10);
    assert_int_equal(s->high, 7);
    assert_int_equal(s->low, 7);
}

/* What: the history of a stream ends at its items, at its bytes, or at what is kept, whichever is
 * nearest; bytes of the tail count too. */
static void history_has_limits(void **state)
{
    (void)state;
    const uint64_t one = sizeof(struct tail_entry) + sizeof(struct ior_blob) + 16 +
                         item_bytes(0, 100); /* a record of one event */
    memory.history_items_max = 100;
    for (uint64_t fit = 0; fit <= 6; fit++) {
        char name[2] = {(char)('a' + fit), 0};
        memory.history_stream_bytes_max = fit * one;
        struct stream *s = add(name);
        for (int i = 0; i < 5; i++) push(s, 1, 100);
        stream_take(s);
        give_back(s, 5);
        assert_int_equal(s->first, fit > 5 ? 1 : 6 - fit);
    }
    memory.history_stream_bytes_max = 3 * one;
    struct stream *s = add("z");
    for (int i = 0; i < 5; i++) push(s, 1, 100);
    stream_take(s);
    push(s, 1, 100);
    push(s, 1, 100);
    give_back(s, 5);
    assert_int_equal(s->first, 5); /* 5 beside 6 and 7 */
    memory.history_items_max = 0;
    stream_take(s);
    give_back(s, 7);
    assert_int_equal(s->first, 8);
}

/* What: when memory.history is full the histories go that were there first, then the rows of
 * streams that nobody used for the longest time; what is not saved stays. */
static void pressure_takes_the_oldest(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) {
        struct stream *s = add(names[i]);
        push(s, 4, 100);
        stream_take(s);
        give_back(s, 4);
        stream_used(&table, s, 100 - (uint64_t)i);
    }
    const uint64_t with_all = memory.history_bytes;
    struct stream *s = add("e");
    push(s, 4, 100);
    stream_take(s);
    memory.history_bytes_max = with_all;
    give_back(s, 4);
    assert_int_equal(find("a")->first, 5);
    assert_null(find("a")->history.next);
    assert_int_equal(find("d")->first, 1);
    memory.history_bytes_max = 3 * stream_row_cost(s);
    push(s, 1, 100);
    stream_take(s);
    push(find("a"), 1, 100); /* it is to be saved: it must stay */
    give_back(s, 5);
    assert_non_null(find("a"));
    assert_non_null(find("e"));
    assert_true(memory.history_bytes <= memory.history_bytes_max);
    assert_int_equal(table.count, 3);
    assert_int_equal(table.buckets[0]->count, 3);
    assert_int_equal(find("e")->first, 6);
}

/* What: pressure while a stream is taken cannot take its history; when it is given back, even by a
 * checkpoint that failed, the history can go again. */
static void history_of_a_taken_stream(void **state)
{
    (void)state;
    struct stream *s = add("a");
    push(s, 4, 100);
    stream_take(s);
    give_back(s, 4);
    push(s, 1, 100);
    stream_take(s);
    struct stream *other = add("b");
    push(other, 4, 100);
    stream_take(other);
    push(other, 1, 100); /* so it must stay */
    memory.history_bytes_max = stream_row_cost(s) * 2;
    give_back(other, 4);
    assert_int_equal(s->first, 1);
    give_back(s, UINT64_MAX);
    assert_int_equal(s->first, 1);
    stream_take(other);
    push(other, 1, 100);
    give_back(other, 5);
    assert_int_equal(s->first, 5);
    assert_true(memory.history_bytes <= memory.history_bytes_max);
}

/* What: a stream leaves memory when all of it is saved and nobody wanted it, and only then: not
 * while it is taken, dirty, reserved or has keys; and its bucket leaves with the last one. */
static void streams_leave_and_come_back(void **state)
{
    (void)state;
    const struct dedupe_entry key = {.first_id = 1, .last_id = 1, .time_ms = 1};
    struct stream *s = add("a");
    push(s, 3, 10);
    stream_used(&table, s, 50);
    stream_table_sweep(&table, 100, 10);
    assert_ptr_equal(find("a"), s); /* dirty */
    stream_take(s);
    stream_table_sweep(&table, 100, 10);
    assert_ptr_equal(find("a"), s); /* taken */
    give_back(s, 3);
    stream_table_sweep(&table, 50, 10);
    assert_ptr_equal(find("a"), s); /* used lately */
    s->reserved = 4;
    stream_table_sweep(&table, 100, 10);
    assert_ptr_equal(find("a"), s);
    s->reserved = 3;
    s->reserved_low = 2;
    stream_table_sweep(&table, 100, 10);
    assert_ptr_equal(find("a"), s);
    s->reserved_low = 1;
    s->reserved_deleted = true;
    stream_table_sweep(&table, 100, 10);
    assert_ptr_equal(find("a"), s);
    s->reserved_deleted = false;
    assert_int_equal(stream_keys_add(&table, s, ior_slice_str("k"), &key, 1), IOR_OK);
    stream_table_sweep(&table, 100, 10);
    assert_ptr_equal(find("a"), s);
    stream_keys_sweep(&table, 100000);
    stream_table_sweep(&table, 100, 10);
    assert_null(find("a"));
    expect_exact();
    assert_int_equal(memory.history_bytes, 0);
    assert_int_equal(table.bucket_count, 0);
    s = come_back("a", 1, 3);
    push(s, 2, 10);
    assert_int_equal(s->first, 4);
    stream_take(s);
    give_back(s, 5);
    assert_int_equal(s->first, 4);
    expect_exact();
}

/* What: a sweep looks at no more streams than it may. */
static void sweeps_are_bounded(void **state)
{
    (void)state;
    char name[4];
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof name, "s%d", i);
        struct stream *s = add(name);
        push(s, 1, 10);
        stream_take(s);
        give_back(s, 1);
    }
    stream_table_sweep(&table, 1, 7);
    assert_int_equal(table.count, 13);
    stream_table_sweep(&table, 1, 100);
    assert_int_equal(table.count, 0);
    expect_exact();
}

/* ---- by chance ---- */

enum { NAMES = 6, STEPS = 20000 };

struct known {
    uint64_t low, high, saved, uid;
    bool deleted, taken;
    uint64_t taken_high;
    const struct tail_entry *lent;
    uint64_t lent_from;
};
static struct known known[NAMES];
static struct rand_state rnd = {77};

static void one_step(unsigned i)
{
    char name[2] = {(char)('a' + i), 0};
    struct known *k = &known[i];
    struct stream *s = find(name);
    if (s == NULL && k->high == 0) {
        s = add(name);
    } else if (s == NULL) {
        s = come_back(name, k->low, k->high);
        s->bytes = s->reserved_bytes = (k->high + 1 - k->low) * 20;
        if (k->deleted) stream_set_deleted(s, true);
        s->reserved_deleted = k->deleted;
    }
    switch (rand_below(&rnd, 8)) {
    case 0:
    case 1:
    case 2:
        push(s, 1 + rand_below(&rnd, EVENTS_MAX), 20);
        k->high = s->high;
        k->deleted = false;
        break;
    case 3:
        k->low += rand_below(&rnd, k->high + 2 - k->low);
        if (k->low > s->low) trim(s, k->low, 20);
        break;
    case 4:
        k->low = k->high + 1;
        k->deleted = true;
        trim(s, k->low, 20);
        stream_set_deleted(s, true);
        s->reserved_deleted = true;
        break;
    case 5:
        if (k->taken || s->dirty.next == NULL) break;
        k->taken = true;
        k->taken_high = s->high;
        k->lent_from = s->saved + 1 > s->low ? s->saved + 1 : s->low;
        k->lent = k->lent_from <= s->high ? stream_entry(s, k->lent_from) : NULL;
        stream_take(s);
        break;
    case 6:
        if (!k->taken) break;
        k->taken = false;
        if (rand_below(&rnd, 3) > 0) k->saved = k->taken_high;
        give_back(s, k->saved == k->taken_high ? k->saved : UINT64_MAX);
        break;
    default:
        stream_used(&table, s, 1);
        memory.history_bytes_max = rand_below(&rnd, 6000);
        memory.history_items_max = rand_below(&rnd, 12);
        memory.history_stream_bytes_max = rand_below(&rnd, 4000);
        if (rand_below(&rnd, 4) == 0) stream_table_sweep(&table, 2, rand_below(&rnd, 4));
    }
}

static void expect_known(unsigned i)
{
    char name[2] = {(char)('a' + i), 0};
    const struct known *k = &known[i];
    const struct stream *s = find(name);
    if (k->taken) {
        assert_non_null(s);
        for (uint64_t id = k->lent_from; id <= k->taken_high; id++)
            expect_entry(s, &k->lent[id - k->lent_from], id);
    }
    if (s == NULL) return;
    assert_int_equal(s->low, k->low);
    assert_int_equal(s->high, k->high);
    assert_int_equal(s->saved, k->saved);
    assert_int_equal(s->deleted, k->deleted);
    assert_int_equal(s->bytes, (k->high + 1 - k->low) * 20);
    for (uint64_t id = s->saved + 1 > s->low ? s->saved + 1 : s->low; id <= s->high; id++)
        expect_entry(s, stream_entry(s, id), id); /* what is not saved is there */
}

/* What: 20,000 random steps over six streams: at every moment the counters are exact, what is not
 * saved is in memory, and what the checkpoint has borrowed is whole. */
static void any_order(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NAMES; i++) known[i] = (struct known){.low = 1};
    for (unsigned step = 0; step < STEPS; step++) {
        one_step((unsigned)rand_below(&rnd, NAMES));
        expect_exact();
        for (unsigned i = 0; i < NAMES; i++) expect_known(i);
    }
    for (unsigned i = 0; i < NAMES; i++) {
        char name[2] = {(char)('a' + i), 0};
        if (known[i].taken) give_back(find(name), UINT64_MAX);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(saved_events_become_history),
        TEST(pushed_while_taken_stays),
        TEST(arrays_grow_while_lent),
        TEST(trims_while_taken),
        TEST(deleted_while_taken),
        TEST(history_has_limits),
        TEST(pressure_takes_the_oldest),
        TEST(history_of_a_taken_stream),
        TEST(streams_leave_and_come_back),
        TEST(sweeps_are_bounded),
        TEST(any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

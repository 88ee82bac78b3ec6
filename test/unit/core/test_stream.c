/* test/unit/core/test_stream.c - the streams of one vnode: table, sorted lists, tails. */
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
#include "rt/rand.h"

static struct dedupe_limits limits;
static struct stream_memory memory;
static struct stream_table table;

static int set_up(void **state)
{
    (void)state;
    stream_table_init(&table, &limits, &memory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    stream_table_done(&table);
    return 0;
}

static struct stream *add(const char *bucket, const char *name, uint64_t uid)
{
    struct stream *s = NULL;
    const struct ior_slice b = ior_slice_str(bucket);
    const struct ior_slice n = ior_slice_str(name);
    assert_int_equal(stream_add(&table, b, n, ior_hash_pair(b, n), uid, &s), IOR_OK);
    return s;
}

static struct stream *find(const char *bucket, const char *name)
{
    const struct ior_slice b = ior_slice_str(bucket);
    const struct ior_slice n = ior_slice_str(name);
    return stream_find(&table, b, n, ior_hash_pair(b, n));
}

/* A blob with one item in it, and the item. */
static struct ior_blob *one_event(const char *text, uint64_t uid, uint64_t seqnum, struct item *ret)
{
    const struct ior_slice payload = ior_slice_str(text);
    size_t pos = 0;
    struct ior_blob *b = ior_blob_new(item_bytes(0, payload.size_bytes));
    assert_non_null(b);
    item_write(b->data, ITEM_APPEND, ITEM_FLAG_JSON, 0, payload);
    item_set_place(b->data, uid, seqnum, 1);
    assert_int_equal(item_next(ior_slice(b->data, b->size_bytes), &pos, ret), IOR_OK);
    return b;
}

static void push(struct stream *s, const char *text, uint64_t time_ms)
{
    struct item it;
    struct ior_blob *b = one_event(text, s->uid, s->high + 1, &it);
    assert_int_equal(stream_reserve_room(s, 1), IOR_OK);
    stream_push(s, b, &it, time_ms, it.seqnum);
    ior_blob_unref(b); /* the stream has its own reference */
}

/* What: a new stream is found by its two names and by its uid, is empty, and is not shown yet. */
static void new_streams_are_found(void **state)
{
    (void)state;
    assert_null(find("b", "s"));
    assert_null(stream_find_uid(&table, 7));
    struct stream *s = add("b", "s", 7);
    assert_ptr_equal(find("b", "s"), s);
    assert_ptr_equal(stream_find_uid(&table, 7), s);
    assert_null(find("b", "t"));
    assert_null(find("c", "s"));
    assert_null(stream_find_uid(&table, 8));
    assert_int_equal(s->low, 1);
    assert_int_equal(s->high, 0);
    assert_int_equal(s->reserved, 0);
    assert_int_equal(stream_count(s), 0);
    assert_false(s->committed);
    struct bucket *b = bucket_find(&table, IOR_SLICE("b"));
    assert_non_null(b);
    assert_int_equal(b->count, 0);
    assert_true(ior_slice_eq(bucket_name(b), IOR_SLICE("b")));
    assert_true(ior_slice_eq(stream_name(s), IOR_SLICE("s")));
}

/* What: the same pair split at another place is another stream. */
static void the_border_of_names_counts(void **state)
{
    (void)state;
    struct stream *s = add("ab", "c", 1);
    struct stream *t = add("a", "bc", 2);
    assert_ptr_equal(find("ab", "c"), s);
    assert_ptr_equal(find("a", "bc"), t);
}

/* What: names are kept in bytewise order, whatever the order in which they were committed, and seek
 * gives the first one behind a name, known or not. */
static void lists_are_sorted(void **state)
{
    (void)state;
    static const char *const names[] = {"m",        "a", "z",  "ab", "aa",
                                        "\xc3\xa9", "Z", "m.", "l~", "0"};
    static const char *const sorted[] = {"0",  "Z", "a",  "aa", "ab",
                                         "l~", "m", "m.", "z",  "\xc3\xa9"};
    enum { COUNT = sizeof names / sizeof names[0] };
    for (unsigned i = 0; i < COUNT; i++) stream_commit(&table, add("b", names[i], i + 1));
    const struct bucket *b = bucket_find(&table, IOR_SLICE("b"));
    assert_int_equal(b->count, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_true(ior_slice_eq(stream_name(b->streams[i]), ior_slice_str(sorted[i])));
        assert_int_equal(bucket_seek(b, ior_slice_str(sorted[i])), i + 1);
    }
    assert_int_equal(bucket_seek(b, IOR_SLICE("")), 0);
    assert_int_equal(bucket_seek(b, IOR_SLICE("a\x01")), 3);
    assert_int_equal(bucket_seek(b, IOR_SLICE("\xff")), COUNT);
}

/* What: buckets too are sorted, one row each however many streams they have. */
static void buckets_are_sorted(void **state)
{
    (void)state;
    static const char *const names[] = {"m", "a", "z", "m", "ab", "a"};
    static const char *const sorted[] = {"a", "ab", "m", "z"};
    for (unsigned i = 0; i < 6; i++) {
        char stream[8];
        snprintf(stream, sizeof stream, "s%u", i);
        stream_commit(&table, add(names[i], stream, i + 1));
    }
    assert_int_equal(table.bucket_count, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(ior_slice_eq(bucket_name(table.buckets[i]), ior_slice_str(sorted[i])));
        assert_int_equal(buckets_seek(&table, ior_slice_str(sorted[i])), i + 1);
    }
    assert_int_equal(buckets_seek(&table, IOR_SLICE("")), 0);
    assert_null(bucket_find(&table, IOR_SLICE("")));
    assert_null(bucket_find(&table, IOR_SLICE("aa")));
    assert_null(bucket_find(&table, IOR_SLICE("zz")));
}

/* What: several streams that wait uncommitted at once all find their place in the list. */
static void many_uncommitted_at_once(void **state)
{
    (void)state;
    enum { COUNT = 50 };
    struct stream *all[COUNT];
    char name[8];
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "s%02u", i);
        all[i] = add("b", name, i + 1);
    }
    for (unsigned i = 0; i < COUNT; i++) stream_commit(&table, all[(i * 7) % COUNT]);
    const struct bucket *b = bucket_find(&table, IOR_SLICE("b"));
    assert_int_equal(b->count, COUNT);
    for (unsigned i = 0; i < COUNT; i++) assert_ptr_equal(b->streams[i], all[i]);
}

/* What: pushed events are there in order with their bytes and times, and the stream keeps the blob
 * alive. */
static void events_stay(void **state)
{
    (void)state;
    enum { COUNT = 100 };
    char text[32];
    struct stream *s = add("b", "s", 7);
    uint64_t bytes = 0;
    for (unsigned i = 1; i <= COUNT; i++) {
        snprintf(text, sizeof text, "{\"n\":%u}", i);
        push(s, text, 1000 + i);
        bytes += strlen(text);
        assert_int_equal(s->high, i);
        assert_int_equal(s->reserved, i);
        assert_int_equal(stream_count(s), i);
        assert_int_equal(s->time_ms, 1000 + i);
    }
    assert_int_equal(s->bytes, bytes);
    for (unsigned i = 1; i <= COUNT; i++) {
        const struct tail_entry *e = stream_entry(s, i);
        snprintf(text, sizeof text, "{\"n\":%u}", i);
        struct item it = item_at(ior_slice(e->blob->data, e->blob->size_bytes), e->offset_bytes);
        assert_true(ior_slice_eq(it.payload, ior_slice_str(text)));
        assert_int_equal(e->payload_bytes, strlen(text));
        assert_int_equal(e->time_ms, 1000 + i);
        assert_int_equal(it.seqnum, i);
    }
}

/* What: room is made for what is reserved and more, so that pushing it later cannot fail. */
static void room_counts_reservations(void **state)
{
    (void)state;
    struct stream *s = add("b", "s", 7);
    push(s, "1", 1);
    s->reserved = 10; /* nine events are on their way */
    assert_int_equal(stream_reserve_room(s, 5), IOR_OK);
    assert_true(s->entries_room >= 15);
    const size_t room = s->entries_room;
    assert_int_equal(stream_reserve_room(s, 1), IOR_OK);
    assert_int_equal(s->entries_room, room);
}

/* What: dropping what was reserved takes numbers and times back to what is committed, removes
 * streams that never were, and leaves the others alone. */
static void dropping_forgets_reservations(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    char name[8];
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "s%02u", i);
        struct stream *s = add(i % 2 == 0 ? "even" : "odd", name, i + 1);
        if (i % 3 != 0) {
            stream_commit(&table, s);
            push(s, "1", 500 + i);
        }
        s->reserved += i;
        s->reserved_time_ms = 9999;
    }
    stream_table_drop_reserved(&table);
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "s%02u", i);
        struct stream *s = find(i % 2 == 0 ? "even" : "odd", name);
        assert_ptr_equal(s, stream_find_uid(&table, i + 1));
        if (i % 3 == 0) {
            assert_null(s);
            continue;
        }
        assert_int_equal(s->reserved, 1);
        assert_int_equal(s->high, 1);
        assert_int_equal(s->reserved_time_ms, 500 + i);
        assert_int_equal(stream_count(s), 1);
    }
    stream_table_drop_reserved(&table); /* nothing is left to drop */
    assert_non_null(find("odd", "s01"));
}

/* What: a stream that was only just added can be taken back, and its name is free again. */
static void added_streams_can_be_taken_back(void **state)
{
    (void)state;
    struct stream *s = add("b", "s", 7);
    stream_remove_uncommitted(&table, s);
    assert_null(find("b", "s"));
    assert_null(stream_find_uid(&table, 7));
    s = add("b", "s", 7);
    stream_commit(&table, s);
    assert_ptr_equal(find("b", "s"), s);
}

/* What: with 5,000 streams in 50 buckets every one is found and every list is complete and in
 * order. */
static void a_large_table_holds(void **state)
{
    (void)state;
    enum { BUCKETS = 50, STREAMS = 100 };
    char bucket[16];
    char name[32];
    struct rand_state rnd = {3};
    for (unsigned i = 0; i < BUCKETS * STREAMS; i++) {
        snprintf(bucket, sizeof bucket, "b%u", i % BUCKETS);
        snprintf(name, sizeof name, "%llx", (unsigned long long)rand_next(&rnd));
        stream_commit(&table, add(bucket, name, i + 1));
    }
    assert_int_equal(table.bucket_count, BUCKETS);
    for (unsigned i = 0; i < BUCKETS; i++) {
        const struct bucket *b = table.buckets[i];
        assert_int_equal(b->count, STREAMS);
        for (size_t k = 1; k < b->count; k++)
            assert_true(ior_slice_cmp(stream_name(b->streams[k - 1]), stream_name(b->streams[k])) <
                        0);
    }
    rnd.x = 3;
    for (unsigned i = 0; i < BUCKETS * STREAMS; i++) {
        snprintf(bucket, sizeof bucket, "b%u", i % BUCKETS);
        snprintf(name, sizeof name, "%llx", (unsigned long long)rand_next(&rnd));
        assert_int_equal(find(bucket, name)->uid, i + 1);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(new_streams_are_found),
        TEST(the_border_of_names_counts),
        TEST(lists_are_sorted),
        TEST(buckets_are_sorted),
        TEST(many_uncommitted_at_once),
        TEST(events_stay),
        TEST(room_counts_reservations),
        TEST(dropping_forgets_reservations),
        TEST(added_streams_can_be_taken_back),
        TEST(a_large_table_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/core/test_read_disk.c - reads of saved events: over the borders of chunks, small
 * streams, history and tail; while retention removes them; when the disk is damaged or busy. The
 * payload of an event is its id as text. */
#include "base/limits.h"
#include "base/log.h"
#include "rt/rand.h"
#include "saved.h"
#include "store/chunk.h"

static struct rig rig;

static int set_up(void **state)
{
    (void)state;
    log_set_fd(-1);
    rig_init(&rig);
    rig.params.ring_size = 1;
    rig_open(&rig);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_done(&rig);
    return 0;
}

static void put_to(const char *stream, uint64_t last)
{
    char json[24];
    for (uint64_t id = high_of(&rig, "b", stream) + 1; id <= last; id++) {
        snprintf(json, sizeof json, "%llu", (unsigned long long)id);
        assert_int_equal(rig_put(&rig, "b", stream, json), id);
    }
}

static void expect_events(const struct read *rd, uint64_t first)
{
    char json[24];
    for (size_t i = 0; i < rd->count; i++) {
        const int n = snprintf(json, sizeof json, "%llu", (unsigned long long)(first + i));
        assert_int_equal(rd->events[i].id, first + i);
        assert_true(rd->events[i].json);
        assert_true(ior_slice_eq(rd->events[i].payload, ior_slice(json, (size_t)n)));
    }
}

/* All visits: exactly first..last (none: first > last). */
static void expect_walk(const char *stream, enum read_from how, uint64_t from, uint64_t to,
                        uint64_t limit, uint64_t first, uint64_t last)
{
    struct read *rd = rig_read_new("b", stream);
    rd->how = how;
    rd->from = from;
    rd->to = to;
    rd->limit = limit;
    for (;;) {
        rig_read(&rig, rd);
        assert_int_equal(rd->err, IOR_OK);
        assert_true(rd->count <= READ_VISIT_ENTRIES);
        expect_events(rd, first);
        first += rd->count;
        if (rd->next == 0) break;
        assert_true(rd->count > 0);
        assert_int_equal(rd->next, first);
        read_release(rd);
    }
    assert_int_equal(first, last + 1);
    read_free(rd);
}

/* What a naive search over low..high would give. */
static void expect_naive(const char *stream, enum read_from how, uint64_t from, uint64_t to,
                         uint64_t limit, uint64_t low, uint64_t high)
{
    uint64_t first = low;
    uint64_t last = to < high ? to : high;
    if (how == READ_FROM_ID && from > first) first = from;
    if (how == READ_FROM_END && high + 1 > from && high + 1 - from > first) first = high + 1 - from;
    if (how == READ_LAST && last + 1 > limit && last + 1 - limit > first) first = last + 1 - limit;
    if (first > last || limit == 0) {
        expect_walk(stream, how, from, to, limit, 1, 0);
        return;
    }
    if (last - first >= limit) last = first + limit - 1;
    expect_walk(stream, how, from, to, limit, first, last);
}

static const enum read_from hows[] = {READ_LAST, READ_FROM_ID, READ_FROM_END};

/* Every border, and one beside it, as `from` and as `to`. */
static void expect_borders(const char *stream, const uint64_t *borders, size_t count, uint64_t low,
                           uint64_t high)
{
    static const uint64_t limits[] = {0, 1, 2, 5, 63, 64, 65, 300, UINT64_MAX};
    for (size_t h = 0; h < 3; h++) {
        for (size_t i = 0; i < count; i++) {
            for (size_t k = 0; k < sizeof limits / sizeof limits[0]; k++) {
                expect_naive(stream, hows[h], borders[i], UINT64_MAX, limits[k], low, high);
                expect_naive(stream, hows[h], borders[count - 1 - i], borders[i] + 1, limits[k],
                             low, high);
                expect_naive(stream, hows[h], 1, borders[i], limits[k], low, high);
            }
        }
    }
}

/* What: a stream whose events are in several chunks, of different checkpoints, in the history and
 * in the tail, and whose first are trimmed: every question gives the same as a search over ids. */
static void over_all_borders(void **state)
{
    (void)state;
    static const uint64_t borders[] = {
        0,   1,   29,  30,  31,  64,  65,  99,  100, 101, 128,
        129, 192, 193, 289, 296, 297, 300, 301, 310, 311, UINT64_MAX - 1};
    put_to("s", 100);
    checkpoint_ok(&rig);
    put_to("s", 300);
    checkpoint_ok(&rig);
    trim_to(&rig, "b", "s", 29);
    put_to("s", 310);
    assert_int_equal(in_memory(&rig, "b", "s")->first, 297); /* 4 of history */
    expect_borders("s", borders, sizeof borders / sizeof borders[0], 30, 310);
    checkpoint_ok(&rig);
    evict(&rig);
    expect_borders("s", borders, sizeof borders / sizeof borders[0], 30, 310);
}

/* What: the same for a small stream, which lies in the catalog. */
static void over_the_borders_of_small_streams(void **state)
{
    (void)state;
    static const uint64_t borders[] = {0, 1, 2, 3, 4, 8, 9, 10, 11, 12, 13};
    put_to("s", 8);
    checkpoint_ok(&rig);
    put_to("s", 10);
    trim_to(&rig, "b", "s", 2);
    checkpoint_ok(&rig);
    put_to("s", 12);
    expect_borders("s", borders, sizeof borders / sizeof borders[0], 3, 12);
    checkpoint_ok(&rig);
    evict(&rig);
    expect_borders("s", borders, sizeof borders / sizeof borders[0], 3, 12);
}

/* What: 1,500 random questions while the stream is written, cut, saved and leaves memory. */
static void agrees_with_a_naive_search(void **state)
{
    (void)state;
    struct rand_state rnd = {21};
    uint64_t low = 1;
    uint64_t high = 0;
    for (int round = 0; round < 1500; round++) {
        switch (rand_below(&rnd, 8)) {
        case 0:
            high += 1 + rand_below(&rnd, 12);
            put_to("s", high);
            break;
        case 1:
            if (rand_below(&rnd, 3) > 0) break;
            low += rand_below(&rnd, (high + 2 - low) / 2 + 1);
            if (low > 1) trim_to(&rig, "b", "s", low - 1);
            break;
        case 2:
            if (rand_below(&rnd, 3) == 0) checkpoint_ok(&rig);
            break;
        case 3:
            evict(&rig);
            break;
        default:
            expect_naive("s", hows[rand_below(&rnd, 3)], rand_below(&rnd, high + 5),
                         rand_below(&rnd, 3) == 0 ? UINT64_MAX : rand_below(&rnd, high + 5),
                         rand_below(&rnd, high + 5), low, high);
        }
    }
    assert_true(high > 500);
}

/* What: large saved events end a visit after about READ_VISIT_BYTES, as those in memory do. */
static void large_events_end_a_visit(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        put_batch(&rig, "b", "large", 1, READ_VISIT_BYTES / 2 + 1, 'x', NULL);
    put_batch(&rig, "b", "large", 1, READ_VISIT_BYTES + 5, 'y', NULL);
    checkpoint_ok(&rig);
    evict(&rig);
    struct read *rd = rig_read_new("b", "large");
    rd->how = READ_FROM_ID;
    rd->limit = 100;
    for (uint64_t id = 1; id <= 5; id++) {
        rig_read(&rig, rd);
        assert_int_equal(rd->err, IOR_OK);
        assert_int_equal(rd->count, 1);
        assert_int_equal(rd->events[0].id, id);
        assert_int_equal(rd->next, id < 5 ? id + 1 : 0);
        if (id < 5) read_release(rd);
    }
    assert_int_equal(rd->events[0].payload.size_bytes, READ_VISIT_BYTES + 5);
    read_free(rd);
}

/* ---- retention is faster ---- */

static void on_read(struct read *rd)
{
    rd->user[0]++;
}

static struct read *read_submit(uint64_t from, uint64_t limit)
{
    struct read *rd = rig_read_new("b", "s");
    rd->how = READ_FROM_ID;
    rd->from = from;
    rd->limit = limit;
    rd->user[0] = 0;
    assert_int_equal(iorio_read(rig.node, rd, on_read), IOR_OK);
    return rd;
}

/* Everything but the disk pool. */
static void settle_without_jobs(void)
{
    do {
        while (rig_turn(&rig)) continue;
    } while (rig_commit(&rig));
}

static void checkpoint_without_jobs(void)
{
    struct checkpoint *c = rig.node->checkpoint;
    checkpoint_start(c);
    while (checkpoint_step(c) != CHECKPOINT_RESTS) settle_without_jobs();
    assert_int_equal(checkpoint_last_error(c), IOR_OK);
}

/* What: the events that a read is on its way to are truncated and their chunks removed before it is
 * there: it gives those that are kept now, from the new low on. */
static void truncated_on_the_way(void **state)
{
    (void)state;
    put_to("s", 300);
    checkpoint_ok(&rig);
    struct trim *t = trim_submit(&rig, "b", "s", 200, false);
    struct read *rd = read_submit(10, 50);
    settle_without_jobs();
    assert_int_equal(t->user[0] + rd->user[0], 0);
    assert_true(job_queue_step(rig.disk_jobs)); /* the trim's bytes */
    settle_without_jobs();
    expect_trimmed(t, 201, 300);
    checkpoint_without_jobs();
    assert_int_equal(rd->user[0], 0);
    rig_settle(&rig);
    assert_int_equal(rd->user[0], 1);
    assert_int_equal(rd->err, IOR_OK);
    assert_int_equal(rd->low, 201);
    assert_true(rd->count > 0);
    expect_events(rd, 201);
    read_free(rd);
}

/* What: the same when the whole stream is deleted, and when something is appended afterwards. */
static void deleted_on_the_way(void **state)
{
    (void)state;
    for (unsigned again = 0; again < 2; again++) {
        struct rig_post p;
        const uint64_t high = 300 + again * 301;
        put_to("s", high);
        checkpoint_ok(&rig);
        struct read *rd = read_submit(again == 0 ? 10 : 310, 50);
        settle_without_jobs();
        struct trim *t = trim_submit(&rig, "b", "s", 0, true);
        settle_without_jobs();
        expect_trimmed(t, high + 1, high);
        if (again == 0) rig_post(&rig, &p, "b", "s", "301");
        settle_without_jobs();
        if (again == 0) assert_int_equal(outcome(&p), 301);
        checkpoint_without_jobs();
        assert_int_equal(rd->user[0], 0);
        rig_settle(&rig);
        assert_int_equal(rd->user[0], 1);
        assert_int_equal(rd->err, IOR_OK);
        assert_int_equal(rd->low, high + 1);
        assert_int_equal(rd->count, again == 0 ? 1 : 0);
        if (again == 0) expect_events(rd, 301);
        read_free(rd);
    }
}

/* What: a long read whose events go between two of its visits ends: it would have a hole. */
static void truncated_between_visits(void **state)
{
    (void)state;
    put_to("s", 300);
    checkpoint_ok(&rig);
    struct read *rd = read_submit(1, 1000);
    rig_settle(&rig);
    assert_int_equal(rd->next, 65); /* the first chunk */
    expect_events(rd, 1);
    trim_to(&rig, "b", "s", 150);
    checkpoint_ok(&rig);
    read_release(rd);
    rig_read(&rig, rd);
    assert_int_equal(rd->err, IOR_E_GONE);
    assert_int_equal(rd->count, 0);
    read_free(rd);
    rd = read_submit(1, 1000); /* a new one begins at what is kept */
    rig_settle(&rig);
    expect_events(rd, 151);
    read_release(rd);
    trim_to(&rig, "b", "s", 160); /* behind it */
    rig_read(&rig, rd);
    assert_int_equal(rd->err, IOR_OK);
    expect_events(rd, 193);
    read_free(rd);
}

/* ---- damage ---- */

static void expect_corrupt(uint64_t from)
{
    struct read *rd = read_submit(from, 10);
    rig_settle(&rig);
    assert_int_equal(rd->user[0], 1);
    assert_int_equal(rd->err, IOR_E_CORRUPT);
    assert_int_equal(rd->count, 0);
    read_free(rd);
}

/* What: a chunk file that somebody removed is an error, never "no events"; the other chunks, and
 * other streams, are read, appends go on, and checkpoints too. */
static void a_file_that_was_removed(void **state)
{
    (void)state;
    char path[DISK_PATH_MAX];
    put_to("s", 300);
    put_to("other", 100);
    checkpoint_ok(&rig);
    chunk_path(0, in_memory(&rig, "b", "s")->uid, 65, path);
    assert_true(disk_sim_has(rig.disk, path));
    assert_int_equal(disk_unlink(rig.disk, path), IOR_OK);
    expect_corrupt(65);
    expect_corrupt(100);
    expect_corrupt(65);
    expect_walk("s", READ_FROM_ID, 1, 64, 100, 1, 64);
    expect_walk("s", READ_FROM_ID, 129, UINT64_MAX, 1000, 129, 300);
    expect_walk("other", READ_FROM_ID, 1, UINT64_MAX, 1000, 1, 100);
    put_to("s", 310);
    checkpoint_ok(&rig);
    evict(&rig);
    expect_corrupt(65);
    struct trim *t = trim_submit(&rig, "b", "s", 100, false); /* its bytes cannot be known */
    rig_settle(&rig);
    assert_int_equal(t->err, IOR_E_CORRUPT);
    trim_free(t);
    delete_all(&rig, "b", "s");
    checkpoint_ok(&rig);
    put_to("s", 320);
    expect_walk("s", READ_FROM_ID, 1, UINT64_MAX, 1000, 311, 320);
}

/* What: a byte that changed in a chunk is an error for the events behind it; those in front of it
 * are given. */
static void a_byte_that_changed(void **state)
{
    (void)state;
    char path[DISK_PATH_MAX];
    put_to("s", 128);
    checkpoint_ok(&rig);
    chunk_path(0, in_memory(&rig, "b", "s")->uid, 1, path);
    disk_sim_flip(rig.disk, path, 2000, 0x10);
    struct read *rd = read_submit(1, 64);
    rig_settle(&rig);
    assert_int_equal(rd->err, IOR_OK);
    assert_true(rd->count > 10 && rd->count < 64);
    expect_events(rd, 1);
    const uint64_t damaged = rd->next;
    assert_int_equal(damaged, rd->count + 1);
    read_free(rd);
    expect_corrupt(damaged);
    expect_walk("s", READ_FROM_ID, 65, UINT64_MAX, 100, 65, 128);
}

/* What: when the queue of the disk pool is full a read is BUSY, and works later; events in memory
 * are read meanwhile. */
static void a_full_queue_is_busy(void **state)
{
    (void)state;
    enum { ROOM = 1024 };
    static struct read *reads[ROOM + 2];
    put_to("s", 100);
    checkpoint_ok(&rig);
    for (unsigned i = 0; i <= ROOM; i++) reads[i] = read_submit(1, 1);
    reads[ROOM + 1] = read_submit(100, 1);
    settle_without_jobs();
    assert_int_equal(reads[ROOM]->err, IOR_E_BUSY);
    assert_int_equal(reads[ROOM + 1]->err, IOR_OK);
    assert_int_equal(reads[ROOM + 1]->count, 1);
    rig_settle(&rig);
    for (unsigned i = 0; i <= ROOM + 1; i++) {
        assert_int_equal(reads[i]->user[0], 1);
        if (i < ROOM) assert_int_equal(reads[i]->err, IOR_OK);
        if (i < ROOM) expect_events(reads[i], 1);
        read_free(reads[i]);
    }
}

/* What: a disk that fails a read once is an error once. */
static void an_error_of_the_disk(void **state)
{
    (void)state;
    put_to("s", 100);
    checkpoint_ok(&rig);
    evict(&rig);
    disk_sim_fail(rig.disk, DISK_SIM_READ, 1, IOR_E_IO, false);
    struct read *rd = read_submit(1, 10);
    rig_settle(&rig);
    assert_true(disk_sim_failed(rig.disk));
    assert_int_equal(rd->err, IOR_E_IO);
    assert_int_equal(rd->count, 0);
    read_free(rd);
    expect_walk("s", READ_FROM_ID, 1, UINT64_MAX, 10, 1, 10);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(over_all_borders),           TEST(over_the_borders_of_small_streams),
        TEST(agrees_with_a_naive_search), TEST(large_events_end_a_visit),
        TEST(truncated_on_the_way),       TEST(deleted_on_the_way),
        TEST(truncated_between_visits),   TEST(a_file_that_was_removed),
        TEST(a_byte_that_changed),        TEST(a_full_queue_is_busy),
        TEST(an_error_of_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

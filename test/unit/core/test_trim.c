/* test/unit/core/test_trim.c - truncating and deleting streams whose events are in memory, on the
 * disk or on their way: the bytes that a list shows are exact at any time and after a replay. An
 * event with id n has size_of(n) bytes. */
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

static size_t size_of(uint64_t id)
{
    return (size_t)(id * 7919 % 90);
}

static uint64_t bytes_of(uint64_t first, uint64_t last)
{
    uint64_t sum = 0;
    for (uint64_t id = first; id <= last; id++) sum += size_of(id);
    return sum;
}

/* A batch on its way; the caller settles. first: its first id. */
static struct append *append_submit(uint64_t first, size_t count, unsigned *done)
{
    static const char text[90];
    struct event_in in[64];
    struct append *a = NULL;
    assert_true(count <= 64);
    for (size_t i = 0; i < count; i++)
        in[i] = (struct event_in){ior_slice(text, size_of(first + i)), false};
    assert_int_equal(
        append_new(ior_slice_str("b"), ior_slice_str("s"), in, count, ior_slice(NULL, 0), &a),
        IOR_OK);
    a->user_ptr = done;
    assert_int_equal(iorio_append(rig.node, a, on_saved_done), IOR_OK);
    return a;
}

static void put_range(uint64_t first, uint64_t last)
{
    while (first <= last) {
        unsigned done = 0;
        size_t count = last + 1 - first < 10 ? (size_t)(last + 1 - first) : 10;
        struct append *a = append_submit(first, count, &done);
        rig_settle(&rig);
        assert_int_equal(done, 1);
        assert_int_equal(a->err, IOR_OK);
        assert_int_equal(a->first_id, first);
        append_free(a);
        first += count;
    }
}

static void expect_row(uint64_t low, uint64_t high)
{
    struct list_name row;
    assert_true(listed(&rig, "b", "s", &row));
    assert_int_equal(row.low, low);
    assert_int_equal(row.high, high);
    assert_int_equal(row.events, high + 1 - low);
    assert_int_equal(row.bytes, bytes_of(low, high));
}

static void restart(void)
{
    rig_drop(&rig);
    disk_sim_crash(rig.disk, DISK_SIM_LOSE_ALL);
    rig_open(&rig);
}

static void trim_one(uint64_t to, uint64_t low, uint64_t high)
{
    struct trim *t = trim_submit(&rig, "b", "s", to, false);
    rig_settle(&rig);
    expect_trimmed(t, low, high);
    expect_row(low, high);
}

/* What: ids of the disk, of the history and of the tail go in every mixture, over whole chunks and
 * parts of them; the bytes are exact, before and after a restart and a checkpoint. */
static void from_memory_and_from_the_disk(void **state)
{
    (void)state;
    static const uint64_t tos[] = {1, 10, 63, 64, 65, 128, 150, 191, 196, 199, 200, 201, 205, 210};
    put_range(1, 200);
    checkpoint_ok(&rig);
    put_range(201, 210);
    assert_int_equal(in_memory(&rig, "b", "s")->first, 197); /* 4 of history */
    for (size_t i = 0; i < sizeof tos / sizeof tos[0]; i++) {
        trim_one(tos[i], tos[i] + 1, 210);
        if (i % 3 == 0) restart();
        expect_row(tos[i] + 1, 210);
        if (i % 4 == 1) checkpoint_ok(&rig);
        if (i % 2 == 1) evict(&rig);
        expect_row(tos[i] + 1, 210);
    }
    put_range(211, 220);
    expect_row(211, 220);
}

/* What: nothing is left of a small stream, or a part of it. */
static void from_a_small_stream(void **state)
{
    (void)state;
    put_range(1, 12);
    checkpoint_ok(&rig);
    evict(&rig);
    trim_one(5, 6, 12);
    trim_one(5, 6, 12);
    trim_one(2, 6, 12);
    checkpoint_ok(&rig);
    evict(&rig);
    trim_one(7, 8, 12);
    restart();
    expect_row(8, 12);
    trim_one(UINT64_MAX, 13, 12);
    checkpoint_ok(&rig);
    evict(&rig);
    expect_row(13, 12);
}

/* What: events that are on their way when they are truncated: part of a batch, all of it, the
 * disk's too; each is answered when what it was judged by is committed. */
static void events_in_flight(void **state)
{
    (void)state;
    unsigned done = 0;
    put_range(1, 100);
    checkpoint_ok(&rig);
    evict(&rig);
    struct append *a = append_submit(101, 10, &done);
    struct trim *t1 = trim_submit(&rig, "b", "s", 50, false);
    struct trim *t2 = trim_submit(&rig, "b", "s", 105, false);
    struct append *b = append_submit(111, 5, &done);
    struct trim *t3 = trim_submit(&rig, "b", "s", 80, false);
    rig_turns(&rig);
    assert_int_equal(done + t1->user[0] + t2->user[0] + t3->user[0], 0);
    rig_settle(&rig);
    assert_int_equal(done, 2);
    assert_int_equal(t1->err + t2->err + t3->err, IOR_OK);
    assert_int_equal(t2->low, 106);
    expect_row(106, 115);
    append_free(a);
    append_free(b);
    trim_free(t1);
    trim_free(t2);
    trim_free(t3);
    a = append_submit(116, 5, &done);
    t1 = trim_submit(&rig, "b", "s", UINT64_MAX, false);
    b = append_submit(121, 2, &done);
    rig_settle(&rig);
    expect_trimmed(t1, 121, 120);
    expect_row(121, 122);
    append_free(a);
    append_free(b);
    restart();
    expect_row(121, 122);
}

/* What: two truncations and a deletion look for the same events at a time: each byte goes once. */
static void trims_race(void **state)
{
    (void)state;
    put_range(1, 200);
    checkpoint_ok(&rig);
    evict(&rig);
    struct trim *t[4];
    t[0] = trim_submit(&rig, "b", "s", 100, false);
    t[1] = trim_submit(&rig, "b", "s", 90, false);
    t[2] = trim_submit(&rig, "b", "s", 150, false);
    t[3] = trim_submit(&rig, "b", "s", 100, false);
    rig_settle(&rig);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(t[i]->user[0], 1);
        assert_int_equal(t[i]->err, IOR_OK);
        assert_true(t[i]->low >= 91);
        trim_free(t[i]);
    }
    expect_row(151, 200);
    t[0] = trim_submit(&rig, "b", "s", 170, false); /* it asks the disk */
    t[1] = trim_submit(&rig, "b", "s", 0, true);    /* and this need not */
    rig_settle(&rig);
    assert_int_equal(t[0]->err, IOR_OK);
    trim_free(t[0]);
    expect_trimmed(t[1], 201, 200);
    put_range(201, 205);
    expect_row(201, 205);
    restart();
    expect_row(201, 205);
}

/* Everything but the disk pool. */
static void settle_without_jobs(void)
{
    do {
        while (rig_turn(&rig)) continue;
    } while (rig_commit(&rig));
}

/* What: between the sum and its answer another truncation and a checkpoint remove the chunks that
 * are summed up. */
static void the_chunks_go_meanwhile(void **state)
{
    (void)state;
    put_range(1, 300);
    checkpoint_ok(&rig);
    evict(&rig);
    struct trim *first = trim_submit(&rig, "b", "s", 200, false);
    settle_without_jobs();
    assert_true(job_queue_step(rig.disk_jobs)); /* the look-up */
    settle_without_jobs();
    struct trim *second = trim_submit(&rig, "b", "s", 220, false); /* its sum waits behind */
    settle_without_jobs();
    assert_true(job_queue_step(rig.disk_jobs));
    settle_without_jobs();
    expect_trimmed(first, 201, 300);
    struct checkpoint *c = rig.node->checkpoint;
    checkpoint_start(c);
    while (checkpoint_step(c) != CHECKPOINT_RESTS) settle_without_jobs();
    assert_int_equal(checkpoint_last_error(c), IOR_OK);
    assert_int_equal(second->user[0], 0);
    rig_settle(&rig);
    expect_trimmed(second, 221, 300);
    expect_row(221, 300);
    restart();
    expect_row(221, 300);
}

/* What: when the disk pool's queue is full a truncation that needs it is BUSY and changes nothing.
 */
static void a_full_queue_is_busy(void **state)
{
    (void)state;
    enum { ROOM = 1024 };
    static struct trim *t[ROOM + 1];
    put_range(1, 100);
    checkpoint_ok(&rig);
    for (unsigned i = 0; i <= ROOM; i++) t[i] = trim_submit(&rig, "b", "s", 50, false);
    settle_without_jobs();
    assert_int_equal(t[ROOM]->user[0], 1);
    assert_int_equal(t[ROOM]->err, IOR_E_BUSY);
    trim_free(t[ROOM]);
    rig_settle(&rig);
    for (unsigned i = 0; i < ROOM; i++) expect_trimmed(t[i], 51, 100);
    expect_row(51, 100);
    assert_int_equal(rig.node->inflight_bytes, 0);
}

/* What: a disk that cannot be read is an error, and nothing is truncated; the next try works. */
static void an_error_of_the_disk(void **state)
{
    (void)state;
    put_range(1, 100);
    checkpoint_ok(&rig);
    disk_sim_fail(rig.disk, DISK_SIM_READ, 1, IOR_E_IO, false);
    struct trim *t = trim_submit(&rig, "b", "s", 70, false);
    rig_settle(&rig);
    assert_int_equal(t->err, IOR_E_IO);
    trim_free(t);
    expect_row(1, 100);
    trim_one(70, 71, 100);
}

/* ---- by chance ---- */

static struct rand_state rnd;
static uint64_t low, high;

enum { FLYING = 6 };

/* Several appends and trims at once, jobs and batches in any order, a round in between. */
static void one_storm(void)
{
    struct append *a[FLYING] = {NULL};
    struct trim *t[FLYING] = {NULL};
    unsigned done = 0;
    unsigned wanted = 0;
    struct checkpoint *c = rig.node->checkpoint;
    if (rand_below(&rnd, 3) == 0) evict(&rig);
    if (rand_below(&rnd, 2) == 0) checkpoint_start(c);
    for (int i = 0; i < FLYING; i++) {
        if (rand_below(&rnd, 2) == 0) {
            size_t count = 1 + rand_below(&rnd, 20);
            a[i] = append_submit(high + 1, count, &done);
            high += count;
            wanted++;
        } else {
            bool all = rand_below(&rnd, 12) == 0;
            uint64_t to = low + rand_below(&rnd, (high + 1 - low) / 3 + 2);
            t[i] = trim_submit(&rig, "b", "s", to, all);
            if (all || to >= high) to = high;
            if (to + 1 > low) low = to + 1;
        }
        if (rand_below(&rnd, 2) == 0) rig_turn(&rig);
        if (rand_below(&rnd, 2) == 0) (void)job_queue_step(rig.disk_jobs);
        if (rand_below(&rnd, 2) == 0) (void)rig_commit(&rig);
        for (uint64_t n = rand_below(&rnd, 4); n > 0; n--) (void)checkpoint_step(c);
    }
    while (checkpoint_step(c) != CHECKPOINT_RESTS) rig_settle(&rig);
    rig_settle(&rig);
    assert_int_equal(checkpoint_last_error(c), IOR_OK);
    assert_int_equal(done, wanted);
    for (int i = 0; i < FLYING; i++) {
        if (t[i] != NULL) assert_int_equal(t[i]->user[0], 1);
        if (t[i] != NULL) assert_int_equal(t[i]->err, IOR_OK);
        trim_free(t[i]);
        append_free(a[i]);
    }
}

/* What: 400 times several appends, truncations and deletions at once, with rounds of checkpoints
 * and evictions in between and power cuts at times: low never goes back, the bytes are those of the
 * events that are kept, and of those all are there. */
static void any_order(void **state)
{
    (void)state;
    struct list_name row;
    rnd = (struct rand_state){31};
    low = 1;
    high = 0;
    for (int storm = 0; storm < 400; storm++) {
        one_storm();
        if (rand_below(&rnd, 10) == 0) restart();
        const uint64_t in = high_of(&rig, "b", "s");
        assert_int_equal(in, high);
        if (!listed(&rig, "b", "s", &row)) continue; /* deleted last */
        /* A trim that asked the disk is judged later than those behind it: it may find more. */
        assert_true(row.low >= low);
        assert_true(row.low <= high + 1);
        low = row.low;
        expect_row(low, high);
        struct read *rd = rig_read_new("b", "s");
        rd->how = READ_FROM_ID;
        rd->limit = UINT64_MAX;
        uint64_t id = low;
        for (;;) {
            rig_read(&rig, rd);
            assert_int_equal(rd->err, IOR_OK);
            for (size_t i = 0; i < rd->count; i++, id++) {
                assert_int_equal(rd->events[i].id, id);
                assert_int_equal(rd->events[i].payload.size_bytes, size_of(id));
            }
            if (rd->next == 0) break;
            read_release(rd);
        }
        assert_int_equal(id, high + 1);
        read_free(rd);
    }
    assert_true(high > 5000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(from_memory_and_from_the_disk),
        TEST(from_a_small_stream),
        TEST(events_in_flight),
        TEST(trims_race),
        TEST(the_chunks_go_meanwhile),
        TEST(a_full_queue_is_busy),
        TEST(an_error_of_the_disk),
        TEST(any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

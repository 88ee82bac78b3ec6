/* test/unit/core/test_load.c - streams that are not in memory: whoever wants one waits until a
 * thread of the disk pool (here: the test, by job_queue_step()) has looked in the catalog. */
#include "base/limits.h"
#include "base/log.h"
#include "core/load.h"
#include "saved.h"
#include "store/catalog_row.h"
#include "store/fetch.h"

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

/* Workers take their turns, the disk pool does nothing. */
static void turns_only(void)
{
    while (rig_turn(&rig)) continue;
}

/* b/s with events 1..count, saved and not in memory. */
static void put_cold(const char *stream, unsigned count)
{
    for (unsigned i = 0; i < count; i++) rig_put(&rig, "b", stream, "\"x\"");
    checkpoint_ok(&rig);
    evict(&rig);
    assert_null(in_memory(&rig, "b", stream));
}

static void on_read(struct read *rd)
{
    rd->user[0]++;
}

static struct read *read_submit(const char *stream)
{
    struct read *rd = rig_read_new("b", stream);
    rd->user[0] = 0;
    rd->limit = 100;
    rd->how = READ_FROM_ID;
    assert_int_equal(iorio_read(rig.node, rd, on_read), IOR_OK);
    return rd;
}

/* What: every kind of request finds a stream that only the catalog has, as it was: ids, low and the
 * time go on, and a conflict is judged by its last id. */
static void cold_streams_are_found(void **state)
{
    (void)state;
    struct rig_post p;
    put_cold("s", 3);
    struct read *rd = rig_read_new("b", "s");
    rd->how = READ_FROM_ID;
    rd->from = 2;
    rd->limit = 9;
    rig_read(&rig, rd);
    assert_int_equal(rd->err, IOR_OK);
    assert_int_equal(rd->count, 2);
    assert_int_equal(rd->high, 3);
    read_free(rd);
    evict(&rig);
    rig.wall_ms -= 1000; /* the clock went back: the stream's time does not */
    assert_int_equal(rig_put(&rig, "b", "s", "\"y\""), 4);
    assert_int_equal(in_memory(&rig, "b", "s")->time_ms, RIG_WALL_MS);
    checkpoint_ok(&rig);
    evict(&rig);
    rig_post_new(&rig, &p, "b", "s", "1");
    p.a->expect = EXPECT_LAST_ID;
    p.a->expect_last_id = 3;
    rig_post_submit(&p);
    rig_settle(&rig);
    assert_int_equal(p.a->last_id, 4);
    assert_int_equal(outcome(&p), -IOR_E_CONFLICT);
    evict(&rig);
    struct trim *t = trim_submit(&rig, "b", "s", 2, false);
    rig_settle(&rig);
    expect_trimmed(t, 3, 4);
    checkpoint_ok(&rig);
    evict(&rig);
    delete_all(&rig, "b", "s");
    checkpoint_ok(&rig);
    evict(&rig);
    assert_null(in_memory(&rig, "b", "s"));
    assert_int_equal(rig_put(&rig, "b", "s", "1"), 5); /* ids go on after a delete */
}

/* What: a key that came with an append is known after its stream came back from the catalog: the
 * same body gets the first answer, another one is refused. */
static void keys_come_back(void **state)
{
    (void)state;
    assert_int_equal(put_batch(&rig, "b", "s", 3, 10, 'a', "key-1"), 3);
    assert_int_equal(put_batch(&rig, "b", "s", 1, 10, 'b', "key-2"), 4);
    checkpoint_ok(&rig);
    rig_close(&rig);
    rig_open(&rig);
    assert_null(in_memory(&rig, "b", "s"));
    assert_int_equal(put_batch(&rig, "b", "s", 3, 10, 'a', "key-1"), 3);
    assert_int_equal(put_batch(&rig, "b", "s", 1, 10, 'x', "key-2"), -IOR_E_KEYREUSED);
    assert_int_equal(put_batch(&rig, "b", "s", 1, 10, 'b', "key-2"), 4);
    assert_int_equal(high_of(&rig, "b", "s"), 4);
    assert_int_equal(put_batch(&rig, "b", "s", 1, 10, 'b', "key-3"), 5);
    checkpoint_ok(&rig);
    rig_close(&rig);
    rig_open(&rig);
    assert_int_equal(put_batch(&rig, "b", "s", 1, 10, 'b', "key-3"), 5);
    assert_int_equal(put_batch(&rig, "b", "s", 3, 10, 'a', "key-1"), 3);
}

/* What: nothing is answered before the look-up; then those that wait are answered in the order in
 * which they came: the append behind a trim is not trimmed, ids follow each other. */
static void the_order_is_kept(void **state)
{
    (void)state;
    struct rig_post p[3];
    put_cold("s", 3);
    struct read *rd = read_submit("s");
    rig_post(&rig, &p[0], "b", "s", "4");
    struct trim *t = trim_submit(&rig, "b", "s", UINT64_MAX, false);
    rig_post(&rig, &p[1], "b", "s", "5");
    rig_post_new(&rig, &p[2], "b", "s", "6");
    p[2].a->expect = EXPECT_LAST_ID;
    p[2].a->expect_last_id = 5;
    rig_post_submit(&p[2]);
    turns_only();
    assert_int_equal(rd->user[0] + t->user[0], 0);
    assert_int_equal(rig.node->vnodes[0].parked, 5);
    assert_int_equal(rig.node->vnodes[0].loads.count, 1); /* one look-up for all */
    rig_settle(&rig);
    assert_int_equal(rd->user[0], 1);
    assert_int_equal(rd->high, 3);
    assert_int_equal(rd->count, 3);
    assert_int_equal(outcome(&p[0]), 4);
    assert_int_equal(outcome(&p[1]), 5);
    assert_int_equal(outcome(&p[2]), 6);
    expect_trimmed(t, 5, 4);
    read_free(rd);
    struct list_name row;
    assert_true(listed(&rig, "b", "s", &row));
    assert_int_equal(row.low, 5);
    assert_int_equal(row.high, 6);
}

/* What: several names are looked up at once, and each is answered when its own look-up is; names
 * that the catalog does not know are empty for readers, and made by the first append. */
static void several_names_at_once(void **state)
{
    (void)state;
    struct rig_post p[2];
    rig_put(&rig, "b", "two", "1");
    put_cold("one", 2);
    struct read *one = read_submit("one");
    struct read *never = read_submit("never");
    struct read *two = read_submit("two");
    rig_post(&rig, &p[0], "b", "new", "1");
    rig_post(&rig, &p[1], "b", "new", "2");
    struct trim *t = trim_submit(&rig, "b", "nothing", 7, false);
    turns_only();
    assert_int_equal(rig.node->vnodes[0].loads.count, 5);
    assert_true(job_queue_step(rig.disk_jobs)); /* only `one` */
    turns_only();
    assert_int_equal(rig.node->vnodes[0].loads.count, 4);
    assert_int_equal(one->high, 2);
    assert_int_equal(never->user[0] + two->user[0], 0);
    rig_settle(&rig);
    assert_int_equal(two->high, 1);
    assert_true(two->exists);
    assert_int_equal(never->user[0], 1);
    assert_false(never->exists);
    assert_int_equal(never->err, IOR_OK);
    assert_int_equal(outcome(&p[0]), 1);
    assert_int_equal(outcome(&p[1]), 2);
    expect_trimmed(t, 1, 0);
    assert_null(in_memory(&rig, "b", "never"));
    read_free(one);
    read_free(two);
    read_free(never);
}

/* What: when the queue of the disk pool is full a request is BUSY at once, those in front of it are
 * answered, and the next try works. */
static void a_full_queue_is_busy(void **state)
{
    (void)state;
    enum { ROOM = 1024 }; /* the rig's */
    static struct read *reads[ROOM];
    char name[16];
    struct rig_post p;
    put_cold("s", 2);
    for (unsigned i = 0; i < ROOM; i++) {
        snprintf(name, sizeof name, "n%u", i);
        reads[i] = read_submit(name);
    }
    struct read *busy = read_submit("s");
    rig_post(&rig, &p, "b", "s", "3");
    struct trim *t = trim_submit(&rig, "b", "s", 1, false);
    turns_only();
    assert_int_equal(busy->user[0], 1);
    assert_int_equal(busy->err, IOR_E_BUSY);
    assert_int_equal(t->err, IOR_E_BUSY);
    assert_int_equal(outcome(&p), -IOR_E_BUSY);
    assert_int_equal(rig.node->inflight_bytes, 0);
    read_free(busy);
    trim_free(t);
    rig_settle(&rig);
    for (unsigned i = 0; i < ROOM; i++) {
        assert_int_equal(reads[i]->user[0], 1);
        assert_int_equal(reads[i]->err, IOR_OK);
        read_free(reads[i]);
    }
    assert_int_equal(rig_put(&rig, "b", "s", "3"), 3);
}

/* What: no more than STRAND_QUEUE_MAX messages wait in a vnode; the next is BUSY, all others are
 * answered. */
static void waiting_is_bounded(void **state)
{
    (void)state;
    static struct read *reads[STRAND_QUEUE_MAX + 1];
    put_cold("s", 2);
    for (unsigned i = 0; i <= STRAND_QUEUE_MAX; i++) {
        reads[i] = rig_read_new("b", "s");
        reads[i]->limit = 0; /* it asks only about the stream */
        assert_int_equal(iorio_read(rig.node, reads[i], on_read), IOR_OK);
    }
    turns_only();
    assert_int_equal(reads[STRAND_QUEUE_MAX]->err, IOR_E_BUSY);
    rig_settle(&rig);
    for (unsigned i = 0; i <= STRAND_QUEUE_MAX; i++) {
        assert_int_equal(reads[i]->user[0], 1);
        if (i < STRAND_QUEUE_MAX) assert_int_equal(reads[i]->err, IOR_OK);
        if (i < STRAND_QUEUE_MAX) assert_int_equal(reads[i]->high, 2);
        read_free(reads[i]);
    }
}

/* ---- errors of the catalog ---- */

static void write_row(uint64_t uid, struct ior_slice value)
{
    struct kv_writer *w = NULL;
    const struct catalog_key key = catalog_key_uid(0, uid);
    assert_int_equal(kv_write_begin(rig.node->kv, &w), IOR_OK);
    assert_int_equal(kv_put(w, KV_ROWS, catalog_key_slice(&key), value), IOR_OK);
    assert_int_equal(kv_write_commit(w), IOR_OK);
}

/* What: a row that cannot be read is CORRUPT for all who wait, never "not there": an append does
 * not make the stream anew. The next try looks again, and works when the row is sound. */
static void a_damaged_row_is_an_error(void **state)
{
    (void)state;
    struct rig_post p;
    struct kv_reader *r = NULL;
    struct ior_slice value;
    struct ior_buf sound, damaged;
    rig_put(&rig, "b", "s", "1");
    const uint64_t uid = in_memory(&rig, "b", "s")->uid;
    put_cold("s", 1);
    const struct catalog_key key = catalog_key_uid(0, uid);
    ior_buf_init(&sound);
    ior_buf_init(&damaged);
    assert_int_equal(fetch_reader_take(rig.node->fetch, &r), IOR_OK);
    assert_int_equal(kv_get(r, KV_ROWS, catalog_key_slice(&key), &value), IOR_OK);
    ior_buf_add_slice(&sound, value);
    fetch_reader_give(rig.node->fetch, r);
    ior_buf_add_slice(&damaged, ior_slice(sound.data, sound.size_bytes - 1)); /* one byte is lost */
    write_row(uid, ior_buf_slice(&damaged));
    ior_buf_done(&damaged);
    struct read *rd = read_submit("s");
    struct trim *t = trim_submit(&rig, "b", "s", 1, false);
    rig_post(&rig, &p, "b", "s", "3");
    rig_settle(&rig);
    assert_int_equal(rd->err, IOR_E_CORRUPT);
    assert_int_equal(rd->count, 0);
    assert_int_equal(t->err, IOR_E_CORRUPT);
    assert_int_equal(outcome(&p), -IOR_E_CORRUPT);
    read_free(rd);
    trim_free(t);
    write_row(uid, ior_buf_slice(&sound));
    ior_buf_done(&sound);
    assert_int_equal(rig_put(&rig, "b", "s", "3"), 3);
    assert_int_equal(in_memory(&rig, "b", "s")->uid, uid);
}

/* What: on the real catalog, when all its readers are taken, the look-up is BUSY, and so are those
 * who wait; when they are back the next try works. */
static void no_reader_is_busy(void **state)
{
    (void)state;
    enum { READERS = 256 };
    static struct kv_reader *readers[READERS];
    struct rig_post p;
    unsigned count = 0;
    char dir[64] = "/tmp/iorio-test-load-XXXXXX";
    char command[128];
    assert_non_null(mkdtemp(dir));
    rig_done(&rig);
    rig_init_on(&rig, dir);
    rig.params.ring_size = 1;
    rig_open(&rig);
    put_cold("s", 2);
    while (count < READERS && fetch_reader_take(rig.node->fetch, &readers[count]) == IOR_OK)
        count++;
    rig_post(&rig, &p, "b", "s", "3");
    rig_settle(&rig);
    assert_int_equal(outcome(&p), -IOR_E_BUSY);
    while (count > 0) fetch_reader_give(rig.node->fetch, readers[--count]);
    assert_int_equal(rig_put(&rig, "b", "s", "3"), 3);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

/* ---- a long queue of those who wait ---- */

enum { ASKERS = 200, ASKERS_AT_ONCE = 64 };

struct asker {
    struct msg msg;
    const char *name;
    struct stream *found;
    enum ior_err err;
    unsigned place;
};
static struct asker askers[ASKERS];
static struct msg sweep_msg;
static unsigned places;

/* As a checkpoint does that gives back while memory.history is full. */
static void sweep_now(struct msg *m)
{
    (void)m;
    stream_table_sweep(&rig.node->vnodes[0].streams, UINT64_MAX, 100);
}

static void ask(struct msg *m)
{
    struct asker *a = IOR_CONTAINER(m, struct asker, msg);
    uint64_t hash = 0;
    struct vnode *vn = node_route(rig.node, ior_slice_str("b"), ior_slice_str(a->name), &hash);
    struct found f = vnode_find(vn, m, ior_slice_str("b"), ior_slice_str(a->name), hash);
    if (f.parked) return;
    a->found = f.stream;
    a->err = f.err;
    a->place = ++places;
    if (places % ASKERS_AT_ONCE != 1) return;
    sweep_msg.run = sweep_now;
    strand_post_completion(&vn->strand, &sweep_msg);
}

static void ask_all(const char *name)
{
    places = 0;
    for (unsigned i = 0; i < ASKERS; i++) {
        askers[i] = (struct asker){.msg = {.run = ask}, .name = name};
        assert_int_equal(strand_post(&rig.node->vnodes[0].strand, &askers[i].msg), IOR_OK);
    }
    rig_settle(&rig);
    for (unsigned i = 0; i < ASKERS; i++) assert_int_equal(askers[i].place, i + 1);
}

/* What: those who wait are run 64 at a time; when the stream leaves memory between two such visits
 * it is looked up again for the rest: nobody is told that it was never there. */
static void it_leaves_while_they_wait(void **state)
{
    (void)state;
    put_cold("s", 2);
    ask_all("s");
    for (unsigned i = 0; i < ASKERS; i++) {
        assert_int_equal(askers[i].err, IOR_OK);
        assert_non_null(askers[i].found);
    }
    assert_int_equal(rig.node->vnodes[0].parked, 0);
    assert_int_equal(rig.node->vnodes[0].loads.count, 0);
}

/* What: a walk over more streams than memory.history has room for stays inside of it: those that
 * were used before leave while the next ones come. */
static void walks_stay_in_memory_history(void **state)
{
    (void)state;
    enum { STREAMS = 500, ROWS_IN_ROOM = 20 };
    char name[16];
    for (unsigned i = 0; i < STREAMS; i++) {
        snprintf(name, sizeof name, "s%03u", i);
        rig_put(&rig, "b", name, "1");
    }
    checkpoint_ok(&rig);
    const uint64_t room = ROWS_IN_ROOM * stream_row_cost(in_memory(&rig, "b", "s000"));
    rig_close(&rig);
    rig.params.history_bytes_max = room;
    rig_open(&rig);
    for (unsigned i = 0; i < 2 * STREAMS; i++) {
        snprintf(name, sizeof name, "s%03u", i % STREAMS);
        assert_int_equal(high_of(&rig, "b", name), 1);
        assert_true(rig.node->memory.history_bytes <= room);
    }
    assert_int_equal(rig.node->memory.streams, ROWS_IN_ROOM);
    assert_int_equal(rig_put(&rig, "b", "s000", "2"), 2);
}

/* What: many who wait for a name that nobody knows: each is told so, in order. */
static void many_wait_for_nothing(void **state)
{
    (void)state;
    put_cold("s", 2);
    ask_all("nothing");
    for (unsigned i = 0; i < ASKERS; i++) {
        assert_int_equal(askers[i].err, IOR_OK);
        assert_null(askers[i].found);
    }
}

/* ---- the first checkpoint of a vnode ---- */

enum { SPY_STREAMS = 600 };
static struct msg spy_msg;
static bool spy_stops;
static unsigned spy_seen_gone;

/* Whatever is not in memory must be known to be in the catalog. */
static void spy(struct msg *m)
{
    struct vnode *vn = &rig.node->vnodes[0];
    char name[16];
    unsigned gone = 0;
    for (unsigned i = 0; i < SPY_STREAMS; i++) {
        snprintf(name, sizeof name, "s%u", i);
        if (in_memory(&rig, "b", name) == NULL) gone++;
    }
    if (gone > 0) assert_true(vn->has_rows);
    if (gone > 0 && gone < SPY_STREAMS) spy_seen_gone++;
    if (!spy_stops) strand_post_completion(&vn->strand, m);
}

/* What: streams that leave memory in the first of several visits of a give back are looked for in
 * the catalog from that moment on. */
static void leaving_in_the_first_give_back(void **state)
{
    (void)state;
    char name[16];
    rig_close(&rig);
    rig.params.history_bytes_max = 1;
    rig_open(&rig);
    for (unsigned i = 0; i < SPY_STREAMS; i++) {
        snprintf(name, sizeof name, "s%u", i);
        rig_put(&rig, "b", name, "1");
    }
    spy_msg.run = spy;
    spy_stops = false;
    spy_seen_gone = 0;
    assert_int_equal(strand_post(&rig.node->vnodes[0].strand, &spy_msg), IOR_OK);
    struct checkpoint *c = rig.node->checkpoint;
    checkpoint_start(c);
    enum checkpoint_did did;
    while ((did = checkpoint_step(c)) != CHECKPOINT_RESTS) {
        if (did == CHECKPOINT_WAITS) rig_turn(&rig);
    }
    spy_stops = true;
    rig_settle(&rig);
    assert_int_equal(checkpoint_last_error(c), IOR_OK);
    assert_true(spy_seen_gone > 0);
    for (unsigned i = 0; i < SPY_STREAMS; i += 7) {
        snprintf(name, sizeof name, "s%u", i);
        assert_int_equal(high_of(&rig, "b", name), 1);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(cold_streams_are_found),
        TEST(keys_come_back),
        TEST(the_order_is_kept),
        TEST(several_names_at_once),
        TEST(a_full_queue_is_busy),
        TEST(waiting_is_bounded),
        TEST(a_damaged_row_is_an_error),
        TEST(no_reader_is_busy),
        TEST(it_leaves_while_they_wait),
        TEST(many_wait_for_nothing),
        TEST(walks_stay_in_memory_history),
        TEST(leaving_in_the_first_give_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

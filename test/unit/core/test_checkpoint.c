/* test/unit/core/test_checkpoint.c - rounds of checkpoints on a rig: what is read before and after
 * is the same, also after a restart, a cancel, a failed operation of the disk or a power cut at any
 * place; and what a round is for: memory and journal come free. */
#include "base/log.h"
#include "cluster/meta.h"
#include "rt/rand.h"
#include "saved.h"

static struct rig rig;

static int set_up(void **state)
{
    (void)state;
    log_set_fd(-1);
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

/* rig_dump(), and what the lists say of each stream. Bytes and low are exact there. */
static void full_dump(struct ior_buf *out)
{
    struct list *buckets = NULL;
    ior_buf_init(out);
    rig_dump(&rig, out);
    assert_int_equal(list_new(&buckets), IOR_OK);
    buckets->buckets = true;
    rig_list(&rig, buckets);
    for (size_t i = 0; i < buckets->count; i++) {
        struct list *l = NULL;
        assert_int_equal(list_new(&l), IOR_OK);
        ior_buf_add_slice(&l->bucket, list_name_at(buckets, i));
        rig_list(&rig, l);
        assert_int_equal(l->err, IOR_OK);
        for (size_t k = 0; k < l->count; k++)
            ior_buf_addf(out, "%llu %llu %llu %llu\n", (unsigned long long)l->rows[k].low,
                         (unsigned long long)l->rows[k].high, (unsigned long long)l->rows[k].bytes,
                         (unsigned long long)l->rows[k].events);
        list_free(l);
    }
    list_free(buckets);
    ior_buf_add_char(out, 0);
    assert_false(ior_buf_failed(out));
}

/* The same as `before`, which stays. */
static void expect_as(const struct ior_buf *before)
{
    struct ior_buf now;
    full_dump(&now);
    if (now.size_bytes < 20000)
        assert_string_equal((const char *)now.data, (const char *)before->data);
    assert_int_equal(now.size_bytes, before->size_bytes);
    assert_memory_equal(now.data, before->data, now.size_bytes);
    ior_buf_done(&now);
}

static void crash(enum disk_sim_loss loss)
{
    rig_drop(&rig);
    disk_sim_crash(rig.disk, loss);
    rig_open(&rig);
}

static char long_names[2][1025];

/* Streams of every kind; `times` makes them longer. */
static void fill(unsigned times)
{
    char name[32];
    for (unsigned i = 0; i < 4; i++) rig_put(&rig, "b", "small", "{\"n\":1}");
    assert_true(put_batch(&rig, "b", "binary", 3, 200, (char)0, NULL) > 0);
    assert_true(put_batch(&rig, "b", "empty payload", 2, 0, 'x', NULL) > 0);
    for (unsigned i = 0; i < 20 * times; i++)
        assert_true(put_batch(&rig, "b", "chunks", 7, 100, (char)('a' + i % 26), NULL) > 0);
    assert_true(put_batch(&rig, "b", "large", 1, 70000, 'L', NULL) > 0);
    for (unsigned i = 0; i < 3; i++) put_batch(&rig, "b", "cut", 5, 60, (char)('A' + i), NULL);
    trim_to(&rig, "b", "cut", high_of(&rig, "b", "cut") - 7); /* in the middle of a batch */
    put_batch(&rig, "b", "gone", 5, 60, 'g', NULL);
    delete_all(&rig, "b", "gone");
    put_batch(&rig, "b", "back", 5, 60, 'h', NULL);
    delete_all(&rig, "b", "back");
    put_batch(&rig, "b", "back", 2, 60, 'i', NULL);
    put_batch(&rig, "b", "emptied", 2, 60, 'e', NULL);
    trim_to(&rig, "b", "emptied", UINT64_MAX);
    for (unsigned i = 0; i < 2; i++) {
        memset(long_names[i], 'n', 1024);
        long_names[i][1023] = (char)('a' + i);
        rig_put(&rig, "b", long_names[i], "\"long\"");
    }
    for (unsigned i = 0; i < 12; i++) {
        snprintf(name, sizeof name, "bucket %u", i);
        rig_put(&rig, name, "s", "1");
    }
}

/* ---- what is read stays the same ---- */

static void same_before_and_after(void)
{
    struct ior_buf before;
    fill(1);
    full_dump(&before);
    checkpoint_ok(&rig);
    assert_int_equal(rig.node->memory.tail_bytes, 0);
    expect_as(&before);
    evict(&rig);
    assert_null(in_memory(&rig, "b", "small"));
    expect_as(&before);
    rig_close(&rig);
    rig_open(&rig);
    assert_int_equal(rig.node->memory.tail_bytes, 0); /* nothing of them was replayed */
    expect_as(&before);
    ior_buf_done(&before);
    assert_int_equal(rig_put(&rig, "b", "gone", "1"), 6); /* ids go on */
    fill(2);
    full_dump(&before);
    checkpoint_ok(&rig);
    evict(&rig);
    expect_as(&before);
    rig_drop(&rig);
    if (rig.dir == NULL) disk_sim_crash(rig.disk, DISK_SIM_LOSE_ALL);
    rig_open(&rig);
    expect_as(&before);
    ior_buf_done(&before);
}

/* What: after a checkpoint, with streams out of memory, after a restart and after a second round
 * the node shows what it showed before: small streams, chunks, events larger than a chunk, batches
 * that a truncation cut, deleted and re-created streams, names of 1,024 bytes, several buckets. */
static void everything_reads_the_same(void **state)
{
    (void)state;
    same_before_and_after();
}

/* What: the same on a real folder with LMDB. */
static void the_same_on_the_real_disk(void **state)
{
    (void)state;
    char dir[64] = "/tmp/iorio-test-checkpoint-XXXXXX";
    char command[128];
    assert_non_null(mkdtemp(dir));
    rig_done(&rig);
    rig_init_on(&rig, dir);
    rig_open(&rig);
    same_before_and_after();
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

/* What: events that are trimmed, and streams that are deleted, after they were saved: their chunk
 * files go, the rest reads on, the numbers are exact. */
static void saved_events_are_trimmed(void **state)
{
    (void)state;
    struct ior_buf before;
    struct list_name row;
    fill(3);
    checkpoint_ok(&rig);
    uint64_t used = disk_sim_used_bytes(rig.disk);
    trim_to(&rig, "b", "chunks", 300);
    delete_all(&rig, "b", "large");
    full_dump(&before);
    checkpoint_ok(&rig);
    evict(&rig);
    expect_as(&before);
    assert_true(disk_sim_used_bytes(rig.disk) + 60000 < used);
    assert_true(listed(&rig, "b", "chunks", &row));
    assert_int_equal(row.low, 301);
    assert_int_equal(row.bytes, 120 * 100);
    assert_false(listed(&rig, "b", "large", &row));
    crash(DISK_SIM_LOSE_ALL);
    expect_as(&before);
    ior_buf_done(&before);
}

/* ---- the journal ---- */

/* What: a round releases the segments in front of the one that was active when it began; a start
 * replays only what was not saved, a round without changes writes nothing for the streams. */
static void segments_are_released(void **state)
{
    (void)state;
    struct ior_buf before;
    for (unsigned i = 0; i < 60; i++) put_batch(&rig, "b", "s", 10, 1000, 'x', NULL);
    const uint64_t full = node_journal_bytes(rig.node);
    assert_true(full >= 8 * rig.params.segment_bytes);
    checkpoint_ok(&rig);
    assert_int_equal(node_journal_bytes(rig.node), rig.params.segment_bytes);
    put_batch(&rig, "b", "s", 3, 1000, 'y', NULL);
    full_dump(&before);
    crash(DISK_SIM_LOSE_ALL);
    assert_true(rig.report.records < 70);
    assert_true(rig.node->first_segment > 1);
    assert_int_equal(in_memory(&rig, "b", "s")->first, 601);
    expect_as(&before);
    checkpoint_ok(&rig);
    crash(DISK_SIM_LOSE_ALL);
    assert_null(in_memory(&rig, "b", "s"));
    expect_as(&before);
    ior_buf_done(&before);
}

/* What: when the journal is larger than journal_bytes_max appends are refused with a clear error,
 * and taken again after a round; the reads go on. */
static void a_large_journal_refuses_appends(void **state)
{
    (void)state;
    struct checkpoint *c = rig.node->checkpoint;
    rig_close(&rig);
    rig.params.journal_bytes_max = 6 * rig.params.segment_bytes;
    rig_open(&rig);
    c = rig.node->checkpoint;
    assert_false(checkpoint_is_due(c));
    unsigned count = 0;
    while (!checkpoint_is_due(c)) {
        assert_true(put_batch(&rig, "b", "s", 10, 1000, 'x', NULL) > 0);
        assert_true(++count < 100);
    }
    assert_true(node_journal_bytes(rig.node) > rig.params.journal_bytes_max / 2);
    int64_t last = 0;
    for (count = 0; count < 100; count++) { /* the round does not come */
        last = put_batch(&rig, "b", "s", 10, 1000, 'x', NULL);
        if (last < 0) break;
        assert_true(checkpoint_is_due(c));
    }
    assert_int_equal(last, -IOR_E_TAILFULL);
    assert_true(node_journal_bytes(rig.node) > rig.params.journal_bytes_max);
    const uint64_t high = high_of(&rig, "b", "s");
    checkpoint_ok(&rig);
    assert_false(checkpoint_is_due(c));
    assert_int_equal(put_batch(&rig, "b", "s", 1, 1000, 'x', NULL), high + 1);
}

/* What: a round is due when memory.tail is half full, and a minute after the last one when
 * something changed; after one that failed not before a second has passed. */
static void when_a_round_is_due(void **state)
{
    (void)state;
    rig_close(&rig);
    rig.params.tail_bytes_max = 40000;
    rig_open(&rig);
    struct checkpoint *c = rig.node->checkpoint;
    rig.mono_us += 120000000;
    assert_false(checkpoint_is_due(c)); /* nothing changed */
    rig_put(&rig, "b", "s", "1");
    assert_true(checkpoint_is_due(c));
    checkpoint_ok(&rig);
    rig_put(&rig, "b", "s", "1");
    assert_false(checkpoint_is_due(c));
    while (rig.node->memory.tail_bytes <= 20000) {
        assert_false(checkpoint_is_due(c));
        put_batch(&rig, "b", "s", 1, 1000, 'x', NULL);
    }
    assert_true(checkpoint_is_due(c));
    while (put_batch(&rig, "b", "s", 1, 1000, 'x', NULL) > 0) continue;
    assert_int_equal(put_batch(&rig, "b", "s", 1, 1000, 'x', NULL), -IOR_E_TAILFULL);
    disk_sim_fail(rig.disk, DISK_SIM_CHANGE, 1, IOR_E_NOSPC, true);
    assert_int_equal(rig_checkpoint(&rig), IOR_E_NOSPC);
    assert_false(checkpoint_is_due(c));
    rig.mono_us += 1000000;
    assert_true(checkpoint_is_due(c));
    disk_sim_fail(rig.disk, DISK_SIM_CHANGE, 0, IOR_OK, false);
    checkpoint_ok(&rig);
    assert_int_equal(checkpoint_rounds(c), 2);
    assert_int_equal(rig.node->memory.tail_bytes, 0);
    assert_true(put_batch(&rig, "b", "s", 1, 1000, 'x', NULL) > 0);
}

/* What: a replay of more than memory.tail holds saves on the way, so its memory stays in bounds,
 * and everything is there; also when the start is repeated, and when rounds follow. */
static void small_memory_at_replay(void **state)
{
    (void)state;
    struct ior_buf before;
    fill(3);
    fill(1);
    full_dump(&before);
    rig_drop(&rig);
    disk_sim_crash(rig.disk, DISK_SIM_LOSE_ALL);
    rig.params.tail_bytes_max = 20000;
    rig.params.history_bytes_max = 4000;
    for (int i = 0; i < 3; i++) {
        rig_open(&rig);
        assert_true(rig.node->memory.tail_bytes <= 10000);
        expect_as(&before);
        rig_drop(&rig);
        disk_sim_crash(rig.disk, DISK_SIM_LOSE_ALL);
    }
    rig_open(&rig);
    checkpoint_ok(&rig);
    expect_as(&before);
    ior_buf_done(&before);
    assert_int_equal(rig_put(&rig, "b", "small", "1"), 9);
    crash(DISK_SIM_LOSE_ALL);
    assert_int_equal(rig_put(&rig, "b", "small", "1"), 10);
}

/* ---- facts ---- */

static void on_changed(struct meta_change *c)
{
    ++*(unsigned *)c->user;
}

static void set_fact(const char *key, struct ior_slice value)
{
    unsigned done = 0;
    struct meta_change *c = NULL;
    assert_int_equal(meta_change_new(&c), IOR_OK);
    assert_int_equal(meta_change_set(c, ior_slice_str(key), value), IOR_OK);
    c->user = &done;
    assert_int_equal(meta_change_submit(rig.node->meta, c, on_changed), IOR_OK);
    rig_settle(&rig);
    assert_int_equal(done, 1);
    assert_int_equal(c->err, IOR_OK);
    meta_change_free(c);
}

static void set_user(const char *name, unsigned credential)
{
    char key[64];
    char value[256];
    snprintf(key, sizeof key, "user" FACT_SEP "%s", name);
    snprintf(value, sizeof value,
             "{\"password\":\"$argon2id$v=19$m=19456,t=2,p=1$aW9yaW8gZHVtbXkgc2FsdA$"
             "bm9ib2R5IGlzIGxldCBpbiBieSB0aGlzIGhhc2ghISE\",\"credential\":%u,\"groups\":[]}",
             credential);
    set_fact(key, credential == 0 ? ior_slice(NULL, 0) : ior_slice_str(value));
}

/* 0: there is no such user. */
static uint64_t credential_of(const char *name)
{
    const struct policy_user *u =
        policy_user(meta_newest_policy(rig.node->meta), ior_slice_str(name));
    return u == NULL ? 0 : u->credential;
}

/* What: users are there after the segments that held them are gone: new ones, changed ones, and not
 * those that were removed; facts larger than one piece too. */
static void facts_outlive_the_journal(void **state)
{
    (void)state;
    char key[64];
    char *large = malloc(60000);
    assert_non_null(large);
    memset(large, '7', 60000);
    for (unsigned round = 1; round <= 3; round++) {
        set_user("ann", round);
        set_user("bob", round % 2);
        for (unsigned i = 0; i < 8 - round; i++) { /* fewer pieces each time */
            snprintf(key, sizeof key, "later" FACT_SEP "%u", i);
            set_fact(key, ior_slice(large, 60000));
            snprintf(key, sizeof key, "later" FACT_SEP "%u", i + 1);
            set_fact(key, ior_slice(NULL, 0));
        }
        for (unsigned i = 0; i < 20; i++) put_batch(&rig, "b", "s", 10, 1000, 'x', NULL);
        checkpoint_ok(&rig);
        set_user("later", round);
        crash(DISK_SIM_LOSE_ALL);
        assert_true(rig.node->first_segment > 1);
        assert_int_equal(credential_of("ann"), round);
        assert_int_equal(credential_of("bob"), round % 2);
        assert_int_equal(credential_of("later"), round);
    }
    free(large);
    checkpoint_ok(&rig);
    crash(DISK_SIM_LOSE_ALL);
    assert_int_equal(credential_of("later"), 3);
}

/* ---- changes while a round is under way ---- */

static struct rand_state rnd;

/* One change of one of a few streams. */
static void any_change(void)
{
    char name[8];
    snprintf(name, sizeof name, "r%u", (unsigned)rand_below(&rnd, 6));
    switch (rand_below(&rnd, 6)) {
    case 0:
        trim_to(&rig, "b", name, rand_below(&rnd, high_of(&rig, "b", name) + 2));
        break;
    case 1:
        if (rand_below(&rnd, 4) == 0) delete_all(&rig, "b", name);
        break;
    default:
        put_batch(&rig, "b", name, 1 + rand_below(&rnd, 30), rand_below(&rnd, 300), 'r', NULL);
    }
}

/* What: streams are written, cut and deleted between take and give back, in many rounds; what was
 * acknowledged is there after each power cut, and the next round saves what this one did not. */
static void streams_change_meanwhile(void **state)
{
    (void)state;
    struct ior_buf before;
    rnd = (struct rand_state){3};
    for (unsigned round = 0; round < 25; round++) {
        struct checkpoint *c = rig.node->checkpoint;
        for (unsigned i = 0; i < 10; i++) any_change();
        checkpoint_start(c);
        enum checkpoint_did did;
        while ((did = checkpoint_step(c)) != CHECKPOINT_RESTS) {
            if (did == CHECKPOINT_WAITS) {
                rig_settle(&rig);
            } else {
                any_change();
            }
        }
        assert_int_equal(checkpoint_last_error(c), IOR_OK);
        full_dump(&before);
        if (round % 3 == 0) evict(&rig);
        if (round % 5 == 4) checkpoint_ok(&rig);
        expect_as(&before);
        if (round % 2 == 0) crash(DISK_SIM_LOSE_ALL);
        expect_as(&before);
        ior_buf_done(&before);
    }
}

/* What: a power cut in the middle of a round, while streams change, at every step of it. */
static void power_fails_in_a_round(void **state)
{
    (void)state;
    struct ior_buf before;
    rnd = (struct rand_state){4};
    bool ended = false;
    for (unsigned steps = 1; !ended; steps++) {
        struct checkpoint *c = rig.node->checkpoint;
        for (unsigned i = 0; i < 5; i++) any_change();
        checkpoint_start(c);
        enum checkpoint_did did = CHECKPOINT_WORKED;
        for (unsigned i = 0; i < steps && did != CHECKPOINT_RESTS; i++) {
            did = checkpoint_step(c);
            if (i % 3 == 1) any_change();
            rig_settle(&rig);
        }
        ended = did == CHECKPOINT_RESTS;
        full_dump(&before);
        disk_sim_kill(rig.disk); /* from here on nothing reaches the disk */
        checkpoint_cancel(c);
        while (checkpoint_step(c) != CHECKPOINT_RESTS) rig_turns(&rig);
        crash(steps % 2 == 0 ? DISK_SIM_LOSE_ALL : disk_sim_any_loss(rig.disk));
        expect_as(&before);
        ior_buf_done(&before);
    }
}

/* What: a round that is given up, after any number of steps, leaves everything as it was; the next
 * one is whole. */
static void cancelled_anywhere(void **state)
{
    (void)state;
    struct ior_buf before;
    bool ended = false;
    fill(1);
    for (unsigned steps = 0; !ended; steps++) {
        struct checkpoint *c = rig.node->checkpoint;
        const uint64_t rounds = checkpoint_rounds(c);
        rig_put(&rig, "b", "small", "1");
        put_batch(&rig, "b", "chunks", 7, 100, 'z', NULL);
        full_dump(&before);
        checkpoint_start(c);
        enum checkpoint_did did = CHECKPOINT_WORKED;
        for (unsigned i = 0; i < steps && did != CHECKPOINT_RESTS; i++) {
            did = checkpoint_step(c);
            rig_settle(&rig);
        }
        ended = did == CHECKPOINT_RESTS;
        checkpoint_cancel(c);
        while (checkpoint_step(c) != CHECKPOINT_RESTS) rig_settle(&rig);
        if (checkpoint_rounds(c) == rounds)
            assert_int_equal(checkpoint_last_error(c), IOR_E_CLOSING);
        expect_as(&before);
        if (steps % 4 == 1) crash(DISK_SIM_LOSE_ALL);
        if (steps % 3 == 0) checkpoint_ok(&rig);
        expect_as(&before);
        ior_buf_done(&before);
    }
}

/* ---- the n-th operation of the disk fails ---- */

/* A node with saved streams, and changes that are not. */
static void prepare(struct ior_buf *before)
{
    rig_done(&rig);
    rig_init(&rig);
    rig.params.ring_size = 2;
    rig_open(&rig);
    put_batch(&rig, "b", "chunks", 100, 100, 'a', NULL);
    rig_put(&rig, "b", "small", "1");
    put_batch(&rig, "b", "gone", 100, 100, 'c', NULL);
    checkpoint_ok(&rig);
    put_batch(&rig, "b", "chunks", 100, 100, 'b', NULL);
    put_batch(&rig, "b", "grown", 50, 100, 'd', NULL);
    rig_put(&rig, "b", "small", "2");
    rig_put(&rig, "b", "new", "1");
    set_user("ann", 1);
    trim_to(&rig, "b", "chunks", 70);
    delete_all(&rig, "b", "gone");
    for (unsigned i = 0; i < 10; i++) put_batch(&rig, "b", "more", 10, 1000, 'e', NULL);
    full_dump(before);
}

static unsigned fails_at_each(enum ior_err err, bool on, bool restart)
{
    struct ior_buf before;
    for (unsigned n = 1;; n++) {
        prepare(&before);
        disk_sim_fail(rig.disk, DISK_SIM_CHANGE, n, err, on);
        const enum ior_err got = rig_checkpoint(&rig);
        const bool failed = disk_sim_failed(rig.disk);
        if (got == IOR_E_IO) assert_false(node_writable(rig.node)); /* /readyz says so */
        if (!failed) assert_int_equal(got, IOR_OK);
        disk_sim_fail(rig.disk, DISK_SIM_CHANGE, 0, IOR_OK, false);
        expect_as(&before);
        if (restart) crash(n % 2 == 0 ? DISK_SIM_LOSE_ALL : DISK_SIM_LOSE_NONE);
        expect_as(&before);
        if (!journal_failed(rig.node->journal)) {
            checkpoint_ok(&rig);
            assert_true(node_writable(rig.node));
            assert_int_equal(rig.node->memory.tail_bytes, 0);
            evict(&rig);
            expect_as(&before);
            assert_int_equal(rig_put(&rig, "b", "new", "2"), 2);
            ior_buf_done(&before);
            full_dump(&before);
        }
        crash(DISK_SIM_LOSE_ALL);
        assert_int_equal(credential_of("ann"), 1);
        expect_as(&before);
        ior_buf_done(&before);
        if (!failed) return n;
    }
}

/* What: a full disk at the n-th operation, once or from then on: the round fails or is done,
 * nothing is lost, and when there is room again the next round succeeds. */
static void no_room_at_each_operation(void **state)
{
    (void)state;
    assert_true(fails_at_each(IOR_E_NOSPC, false, false) > 20);
    assert_true(fails_at_each(IOR_E_NOSPC, true, false) > 20);
}

/* What: the same with a restart in between. */
static void no_room_and_a_restart(void **state)
{
    (void)state;
    assert_true(fails_at_each(IOR_E_NOSPC, true, true) > 20);
}

/* What: an operation that fails otherwise. */
static void an_error_at_each_operation(void **state)
{
    (void)state;
    assert_true(fails_at_each(IOR_E_IO, false, false) > 20);
    assert_true(fails_at_each(IOR_E_IO, true, true) > 20);
}

/* What: the power fails in the middle of the n-th operation: everything acknowledged is there after
 * the restart, and the next round is whole. */
static void power_fails_at_each_operation(void **state)
{
    (void)state;
    struct ior_buf before;
    bool dead = true;
    for (unsigned n = 1; dead; n++) {
        prepare(&before);
        disk_sim_crash_at(rig.disk, n);
        const enum ior_err got = rig_checkpoint(&rig);
        dead = disk_sim_is_dead(rig.disk);
        if (!dead) assert_int_equal(got, IOR_OK);
        rig_drop(&rig);
        disk_sim_crash(rig.disk, disk_sim_any_loss(rig.disk));
        rig_open(&rig);
        expect_as(&before);
        checkpoint_ok(&rig);
        evict(&rig);
        expect_as(&before);
        crash(DISK_SIM_LOSE_ALL);
        assert_int_equal(credential_of("ann"), 1);
        expect_as(&before);
        ior_buf_done(&before);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(everything_reads_the_same),
        TEST(the_same_on_the_real_disk),
        TEST(saved_events_are_trimmed),
        TEST(segments_are_released),
        TEST(a_large_journal_refuses_appends),
        TEST(when_a_round_is_due),
        TEST(small_memory_at_replay),
        TEST(facts_outlive_the_journal),
        TEST(streams_change_meanwhile),
        TEST(power_fails_in_a_round),
        TEST(cancelled_anywhere),
        TEST(no_room_at_each_operation),
        TEST(no_room_and_a_restart),
        TEST(an_error_at_each_operation),
        TEST(power_fails_at_each_operation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

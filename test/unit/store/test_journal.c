/* test/unit/store/test_journal.c - the journal at work: group commit, answers, marks,
 * segments that follow each other, a clean end. Faults: test_journal_fault.c. */
#include "journal_rig.h"

#include "base/limits.h"

enum { MANY = 40 };

static int set_up(void **state)
{
    static struct jr rig;
    jr_init(&rig);
    *state = &rig;
    jr_open(&rig);
    return 0;
}

static int tear_down(void **state)
{
    jr_done(*state);
    return 0;
}

static void restart(struct jr *r)
{
    jr_close(r);
    jr_open(r);
}

/* ---- batches and answers ---- */

/* What: everything that waits goes out with one write and one sync. */
static void one_batch_takes_all(void **state)
{
    struct jr *r = *state;
    struct jr_call calls[MANY];
    for (uint64_t i = 0; i < MANY; i++)
        assert_int_equal(jr_submit(r, &calls[i], i % 2, i + 1, 10), IOR_OK);
    assert_true(journal_has_waiting(r->journal));
    uint64_t writes = disk_sim_count(r->disk, DISK_SIM_WRITE);
    uint64_t syncs = disk_sim_count(r->disk, DISK_SIM_SYNC);
    assert_true(journal_begin(r->journal));
    assert_false(journal_has_waiting(r->journal));
    assert_int_equal(disk_sim_count(r->disk, DISK_SIM_WRITE) - writes, 1);
    assert_int_equal(disk_sim_count(r->disk, DISK_SIM_SYNC) - syncs, 0);
    jr_turns(r);
    assert_int_equal(r->answers, 0); /* not before the sync */
    journal_finish(r->journal);
    assert_int_equal(disk_sim_count(r->disk, DISK_SIM_WRITE) - writes, 1);
    assert_int_equal(disk_sim_count(r->disk, DISK_SIM_SYNC) - syncs, 1);
    assert_int_equal(r->answers, 0); /* not inside of finish */
    jr_turns(r);
    assert_int_equal(r->answers, MANY);
    for (unsigned i = 0; i < MANY; i++) {
        assert_int_equal(calls[i].req.err, IOR_OK);
        assert_int_equal(calls[i].worker, i % 2); /* the one that brought it */
        assert_int_equal(calls[i].order, i % 2 * MANY / 2 + i / 2 + 1);
    }
    restart(r);
    jr_expect_seen(r, MANY);
    assert_int_equal(r->report.records, MANY);
}

/* What: what comes while a batch is on its way goes into the next one; answers of two
 * batches reach a slow worker in order. */
static void next_batch_waits_for_the_sync(void **state)
{
    struct jr *r = *state;
    struct jr_call a;
    struct jr_call b;
    assert_int_equal(jr_submit(r, &a, 0, 1, 10), IOR_OK);
    assert_true(journal_begin(r->journal));
    assert_int_equal(jr_submit(r, &b, 0, 2, 10), IOR_OK);
    assert_true(journal_has_waiting(r->journal));
    journal_finish(r->journal);
    assert_true(journal_begin(r->journal));
    journal_finish(r->journal);
    assert_false(journal_begin(r->journal));
    jr_turn(r, 1);
    assert_int_equal(r->answers, 0);
    jr_turn(r, 0);
    assert_int_equal(a.order, 1);
    assert_int_equal(b.order, 2);
    restart(r);
    jr_expect_seen(r, 2);
    assert_int_equal(r->report.batches, 3); /* and a MARK */
}

/* What: what is acknowledged is there after the power was cut, whatever was lost. */
static void acknowledged_is_durable(void **state)
{
    struct jr *r = *state;
    uint64_t last = 0;
    for (int loss = DISK_SIM_KILLED; loss < DISK_SIM_LOSS_COUNT; loss++) {
        jr_put_all(r, last + 1, last + 7, 300);
        last += 7;
        jr_crash(r, (enum disk_sim_loss)loss);
        jr_open(r);
        jr_expect_seen(r, last);
    }
}

/* What: records of any size come back, those that are written from where they are too. */
static void all_sizes_come_back(void **state)
{
    struct jr *r = *state;
    static const size_t sizes[] = {0, 1, 7, 8, 4000, 4096, 16383, 16384, 16385, 70000, 300000};
    uint64_t n = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        assert_int_equal(jr_put(r, ++n, sizes[i]), IOR_OK);
    struct jr_call calls[sizeof sizes / sizeof sizes[0]];
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        assert_int_equal(jr_submit(r, &calls[i], 0, ++n, sizes[i]), IOR_OK);
    assert_true(journal_begin(r->journal));
    journal_finish(r->journal);
    jr_turns(r);
    restart(r);
    jr_expect_seen(r, n);
}

/* What: a batch has at most 4 MiB, unless it is one larger record alone. */
static void large_batches_are_cut(void **state)
{
    struct jr *r = *state;
    static const size_t sizes[] = {3u << 20, 2u << 20, 5u << 20, 10};
    struct jr_call calls[4];
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(jr_submit(r, &calls[i], 0, i + 1, sizes[i]), IOR_OK);
    unsigned batches = 0;
    while (journal_begin(r->journal)) {
        journal_finish(r->journal);
        jr_turns(r);
        batches++;
        assert_int_equal(r->answers, batches); /* each of these alone */
    }
    assert_int_equal(batches, 4);
    restart(r);
    jr_expect_seen(r, 4);
}

/* What: a batch has at most so many records. */
static void many_records_are_cut(void **state)
{
    struct jr *r = *state;
    unsigned n = JOURNAL_BATCH_RECORDS_MAX + 1;
    struct jr_call *calls = calloc(n, sizeof *calls);
    assert_non_null(calls);
    for (unsigned i = 0; i < n; i++) assert_int_equal(jr_submit(r, &calls[i], 1, i + 1, 0), IOR_OK);
    assert_true(journal_begin(r->journal));
    assert_true(journal_has_waiting(r->journal));
    journal_finish(r->journal);
    jr_turns(r);
    assert_int_equal(r->answers, JOURNAL_BATCH_RECORDS_MAX);
    assert_true(journal_begin(r->journal));
    journal_finish(r->journal);
    jr_turns(r);
    assert_int_equal(r->answers, n);
    restart(r);
    jr_expect_seen(r, n);
    free(calls);
}

/* ---- marks ---- */

/* What: 100 ms after the last record one MARK, and no second one. */
static void idle_journal_is_marked_once(void **state)
{
    struct jr *r = *state;
    assert_true(journal_mark_due_us(r->journal) == UINT64_MAX); /* nothing to mark */
    assert_int_equal(jr_put(r, 1, 10), IOR_OK);
    assert_true(journal_mark_due_us(r->journal) == JOURNAL_MARK_IDLE_MS * 1000);
    r->mono_us += JOURNAL_MARK_IDLE_MS * 1000 - 1;
    assert_true(journal_mark_due_us(r->journal) == 1);
    assert_false(journal_begin(r->journal));
    r->mono_us += 1;
    assert_true(journal_mark_due_us(r->journal) == 0);
    assert_true(journal_begin(r->journal));
    journal_finish(r->journal);
    assert_true(journal_mark_due_us(r->journal) == UINT64_MAX);
    r->mono_us += 10000000;
    assert_false(journal_begin(r->journal));
    jr_crash(r, DISK_SIM_LOSE_ALL);
    jr_open(r);
    jr_expect_seen(r, 1);
    assert_true(r->report.marked);
    assert_int_equal(r->report.batches, 2);
}

/* What: a clean end is marked, a crash is not; a start that writes nothing adds nothing. */
static void only_a_clean_end_is_marked(void **state)
{
    struct jr *r = *state;
    jr_put_all(r, 1, 3, 10);
    jr_crash(r, DISK_SIM_LOSE_ALL);
    jr_open(r);
    assert_false(r->report.marked);
    assert_false(r->report.torn);
    jr_close(r);
    jr_open(r);
    assert_true(r->report.marked); /* nothing was appended since, but what was found is sure */
    assert_int_equal(jr_put(r, 4, 10), IOR_OK);
    restart(r);
    assert_true(r->report.marked);
    restart(r);
    assert_true(r->report.marked);
    jr_expect_seen(r, 4);
}

/* What: what a start found without a MARK behind it gets one at once: from then on damage in it
 * is an error, and never taken for a batch that nobody was told of. */
static void what_was_found_is_marked(void **state)
{
    struct jr *r = *state;
    for (int damaged = 0; damaged < 2; damaged++) {
        jr_put_all(r, 1, 3, 10);
        jr_crash(r, DISK_SIM_LOSE_ALL);
        jr_open(r);
        jr_expect_seen(r, 3);
        assert_true(journal_mark_due_us(r->journal) == 0);
        assert_true(journal_begin(r->journal));
        journal_finish(r->journal);
        assert_true(journal_mark_due_us(r->journal) == UINT64_MAX);
        jr_crash(r, DISK_SIM_LOSE_ALL);
        uint64_t last = 3 * JOURNAL_PAGE_BYTES; /* the batch of record 3 */
        if (damaged) disk_sim_flip(r->disk, jr_segment(1), last + BATCH_HEAD_BYTES + 3, 1);
        assert_int_equal(jr_try_open(r), damaged ? IOR_E_CORRUPT : IOR_OK);
        if (!damaged) assert_true(r->report.marked);
        jr_done(r);
        jr_init(r);
        jr_open(r);
    }
}

/* ---- waking the writer ---- */

static void count_wake(void *ctx)
{
    ++*(unsigned *)ctx;
}

static void write_what_waits(struct jr *r, uint64_t takes_us)
{
    assert_true(journal_begin(r->journal));
    r->mono_us += takes_us;
    journal_finish(r->journal);
    jr_turns(r);
}

/* Submit two records in one turn: how often was the writer woken before its end? */
static unsigned wakes_inside_a_turn(struct jr *r, uint64_t index)
{
    static unsigned wakes;
    struct jr_call calls[2];
    wakes = 0;
    journal_set_wake(r->journal, count_wake, &wakes);
    worker_enter(&r->workers[0]);
    for (unsigned i = 0; i < 2; i++) {
        jr_prepare_call(r, &calls[i], index + i, 10);
        assert_int_equal(journal_submit(r->journal, &calls[i].req), IOR_OK);
    }
    unsigned inside = wakes;
    journal_kick(r->journal, &r->workers[0]);
    worker_enter(NULL);
    assert_int_equal(wakes, inside + 1); /* nothing that was submitted is forgotten */
    journal_set_wake(r->journal, NULL, NULL);
    write_what_waits(r, 0);
    return inside;
}

/* What: a writer that sleeps is woken by the first record of a turn while batches are
 * small and syncs fast; else by the end of the turn. */
static void small_batches_start_at_once(void **state)
{
    struct jr *r = *state;
    assert_int_equal(wakes_inside_a_turn(r, 1), 0); /* nothing is known yet */
    assert_int_equal(wakes_inside_a_turn(r, 3), 0); /* it does not sleep */
    journal_set_idle(r->journal);
    assert_int_equal(wakes_inside_a_turn(r, 5), 1);
    assert_int_equal(wakes_inside_a_turn(r, 7), 0);

    struct jr_call slow;
    assert_int_equal(jr_submit(r, &slow, 0, 9, 10), IOR_OK);
    write_what_waits(r, 100000);
    journal_set_idle(r->journal);
    assert_int_equal(wakes_inside_a_turn(r, 10), 0);

    jr_put_all(r, 12, 99, 10); /* the slow one is forgotten */
    journal_set_idle(r->journal);
    assert_int_equal(wakes_inside_a_turn(r, 100), 1);

    struct jr_call calls[MANY];
    for (uint64_t turn = 0; turn < 10; turn++) {
        for (uint64_t i = 0; i < MANY; i++)
            assert_int_equal(jr_submit(r, &calls[i], 0, 102 + turn * MANY + i, 10), IOR_OK);
        write_what_waits(r, 0);
    }
    journal_set_idle(r->journal);
    assert_int_equal(wakes_inside_a_turn(r, 102 + 10 * MANY), 0);
}

/* ---- the end ---- */

/* What: after journal_close nothing is taken, what was taken is still written. */
static void closing_takes_nothing_more(void **state)
{
    struct jr *r = *state;
    struct jr_call a;
    struct jr_call b;
    assert_int_equal(jr_submit(r, &a, 0, 1, 10), IOR_OK);
    journal_close(r->journal);
    assert_int_equal(jr_submit(r, &b, 0, 2, 10), IOR_E_CLOSING);
    assert_false(journal_wants_prepare(r->journal));
    assert_true(journal_begin(r->journal));
    journal_finish(r->journal);
    jr_turns(r);
    assert_int_equal(a.req.err, IOR_OK);
    assert_int_equal(b.order, 0);
    assert_true(journal_mark_due_us(r->journal) == 0);
    jr_close(r);
    jr_open(r);
    jr_expect_seen(r, 1);
    assert_true(r->report.marked);
}

/* ---- segments ---- */

static enum ior_err count_name(void *ctx, const char *name)
{
    uint64_t seq;
    if (segment_name_parse(name, &seq)) ++*(unsigned *)ctx;
    return IOR_OK;
}

static unsigned count_segments(struct jr *r)
{
    unsigned n = 0;
    assert_int_equal(disk_list(r->disk, JOURNAL_DIR, count_name, &n), IOR_OK);
    return n;
}

/* What: a full segment is followed by the next; one that was made ready is used. */
static void segments_follow_each_other(void **state)
{
    struct jr *r = *state;
    assert_true(journal_active_segment(r->journal) == 1);
    assert_true(journal_wants_prepare(r->journal));
    journal_prepare(r->journal);
    assert_false(journal_wants_prepare(r->journal));
    journal_prepare(r->journal); /* once is enough */
    assert_int_equal(count_segments(r), 2);
    uint64_t n = 0;
    while (journal_active_segment(r->journal) < 2) assert_int_equal(jr_put(r, ++n, 10), IOR_OK);
    assert_int_equal(n, 4); /* the head, and three pages for batches; the next went on */
    assert_int_equal(count_segments(r), 2);
    assert_true(journal_wants_prepare(r->journal));
    while (journal_active_segment(r->journal) < 5) assert_int_equal(jr_put(r, ++n, 10), IOR_OK);
    assert_int_equal(count_segments(r), 5); /* those made at the last moment too */
    assert_true(journal_first_segment(r->journal) == 1);
    restart(r);
    jr_expect_seen(r, n);
    assert_true(journal_active_segment(r->journal) == 5);
    assert_true(journal_first_segment(r->journal) == 1);
}

/* What: the next segment is due when a quarter of the active one is used, also after a restart. */
static void a_spare_is_due_in_time(void **state)
{
    struct jr *r = *state;
    uint64_t n = 0;
    jr_close(r);
    r->params.segment_bytes = 16 * (uint64_t)JOURNAL_PAGE_BYTES;
    jr_open(r);
    for (unsigned i = 0; i < 3; i++) { /* beside the head */
        assert_false(journal_wants_prepare(r->journal));
        assert_int_equal(count_segments(r), 1);
        assert_int_equal(jr_put(r, ++n, 10), IOR_OK);
    }
    assert_true(journal_wants_prepare(r->journal));
    jr_crash(r, DISK_SIM_LOSE_ALL);
    jr_open(r);
    assert_true(journal_wants_prepare(r->journal));
    journal_prepare(r->journal);
    assert_false(journal_wants_prepare(r->journal));
    assert_int_equal(count_segments(r), 2);
}

/* What: a batch larger than a segment makes the segment larger, and what follows it goes
 * into a segment of the usual size. */
static void giant_records_have_room(void **state)
{
    struct jr *r = *state;
    assert_int_equal(jr_put(r, 1, 10), IOR_OK);
    assert_int_equal(jr_put(r, 2, 5 * JR_SEGMENT_BYTES), IOR_OK);
    assert_true(journal_active_segment(r->journal) == 2);
    assert_true(disk_sim_size(r->disk, jr_segment(2)) > 5 * JR_SEGMENT_BYTES);
    assert_int_equal(jr_put(r, 3, 10), IOR_OK);
    assert_true(journal_active_segment(r->journal) == 3);
    assert_true(disk_sim_size(r->disk, jr_segment(3)) == JR_SEGMENT_BYTES);
    jr_crash(r, DISK_SIM_LOSE_ALL);
    jr_open(r);
    jr_expect_seen(r, 3);
}

/* What: a giant as the very first record does not leave an empty segment behind. */
static void giant_in_an_empty_segment(void **state)
{
    struct jr *r = *state;
    assert_int_equal(jr_put(r, 1, 3 * JR_SEGMENT_BYTES), IOR_OK);
    assert_true(journal_active_segment(r->journal) == 1);
    assert_int_equal(jr_put(r, 2, 3 * JR_SEGMENT_BYTES), IOR_OK);
    assert_true(journal_active_segment(r->journal) == 2);
    jr_crash(r, DISK_SIM_LOSE_ALL);
    jr_open(r);
    jr_expect_seen(r, 2);
}

/* What: another size of segments from one start to the next is fine. */
static void segment_size_may_change(void **state)
{
    struct jr *r = *state;
    uint64_t n = 0;
    for (unsigned i = 0; i < 6; i++) {
        for (unsigned k = 0; k < 7; k++) assert_int_equal(jr_put(r, ++n, 2000), IOR_OK);
        if (i % 2 == 0) journal_prepare(r->journal);
        jr_close(r);
        r->params.segment_bytes = (2 + i * 5 % 7) * (uint64_t)JOURNAL_PAGE_BYTES;
        jr_open(r);
        jr_expect_seen(r, n);
    }
}

/* ---- release ---- */

/* What: what is below goes, one segment is kept for its blocks, the next one takes them;
 * when that is ready already none is kept. */
static void released_segments_are_recycled(void **state)
{
    struct jr *r = *state;
    uint64_t n = 0;
    while (journal_active_segment(r->journal) < 4) assert_int_equal(jr_put(r, ++n, 10), IOR_OK);
    assert_int_equal(journal_release(r->journal, 4), IOR_OK);
    assert_true(journal_first_segment(r->journal) == 4);
    assert_int_equal(count_segments(r), 2); /* 3 to recycle, 4 active */
    assert_true(disk_sim_has(r->disk, jr_segment(3)));
    journal_prepare(r->journal);
    assert_false(disk_sim_has(r->disk, jr_segment(3)));
    assert_true(disk_sim_has(r->disk, jr_segment(5)));
    while (journal_active_segment(r->journal) < 5) assert_int_equal(jr_put(r, ++n, 10), IOR_OK);
    journal_prepare(r->journal);
    assert_int_equal(count_segments(r), 3);                   /* 4 is needed, 5 active, 6 ready */
    assert_int_equal(journal_release(r->journal, 4), IOR_OK); /* nothing to do */
    assert_int_equal(journal_release(r->journal, 5), IOR_OK);
    assert_int_equal(count_segments(r), 2);
    while (journal_active_segment(r->journal) < 8) assert_int_equal(jr_put(r, ++n, 10), IOR_OK);
    assert_int_equal(journal_release(r->journal, 8), IOR_OK);
    assert_int_equal(count_segments(r), 2);
    jr_crash(r, DISK_SIM_LOSE_ALL);
    jr_open(r);
    assert_true(r->seen_count > 0);
    for (size_t i = 0; i < r->seen_count; i++) /* without a gap up to the last */
        assert_int_equal(r->seen[i], n - r->seen_count + 1 + i);
}

/* What: everything below the active segment may go, also when that is still empty. */
static void everything_may_be_released(void **state)
{
    struct jr *r = *state;
    uint64_t n = 0;
    while (journal_active_segment(r->journal) < 3) assert_int_equal(jr_put(r, ++n, 10), IOR_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(journal_release(r->journal, journal_active_segment(r->journal)), IOR_OK);
        jr_close(r);
        jr_open(r);
        assert_int_equal(jr_put(r, ++n, 10), IOR_OK);
    }
    jr_crash(r, DISK_SIM_LOSE_ALL);
    jr_open(r);
    assert_true(r->seen_count > 0);
    assert_int_equal(r->seen[r->seen_count - 1], n);
}

#define WITH_JOURNAL(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_JOURNAL(one_batch_takes_all),         WITH_JOURNAL(next_batch_waits_for_the_sync),
        WITH_JOURNAL(acknowledged_is_durable),     WITH_JOURNAL(all_sizes_come_back),
        WITH_JOURNAL(large_batches_are_cut),       WITH_JOURNAL(many_records_are_cut),
        WITH_JOURNAL(idle_journal_is_marked_once), WITH_JOURNAL(only_a_clean_end_is_marked),
        WITH_JOURNAL(what_was_found_is_marked),    WITH_JOURNAL(closing_takes_nothing_more),
        WITH_JOURNAL(segments_follow_each_other),  WITH_JOURNAL(a_spare_is_due_in_time),
        WITH_JOURNAL(giant_records_have_room),     WITH_JOURNAL(giant_in_an_empty_segment),
        WITH_JOURNAL(segment_size_may_change),     WITH_JOURNAL(released_segments_are_recycled),
        WITH_JOURNAL(everything_may_be_released),  WITH_JOURNAL(small_batches_start_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

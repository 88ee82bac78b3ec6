/* test/unit/store/test_journal_fault.c - the journal on a disk that fails: the n-th
 * operation, for n = 1 until nothing fails any more; no room; the power at every
 * point. What was acknowledged is always there, what failed is never believed. */
#include "journal_rig.h"

#include "base/limits.h"

enum { SCRIPT_RECORDS = 14 };

static struct jr rig;

static int set_up(void **state)
{
    (void)state;
    jr_init(&rig);
    jr_open(&rig);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    jr_done(&rig);
    return 0;
}

/* Records that roll, one that is larger than a segment, segments made ready or not,
 * a release: until something fails. Returns the last record that was acknowledged. */
static uint64_t run_script(struct jr *r)
{
    uint64_t acked = 0;
    for (uint64_t i = 1; i <= SCRIPT_RECORDS; i++) {
        if (i % 3 == 0) journal_prepare(r->journal);
        if (i == 8 && journal_release(r->journal, 3) != IOR_OK) return acked;
        if (jr_put(r, i, i == 5 ? 2 * JR_SEGMENT_BYTES : i * 300) != IOR_OK) return acked;
        acked = i;
    }
    return acked;
}

/* In order, without a gap, up to the last acknowledged one at least. */
static void expect_through(const struct jr *r, uint64_t acked)
{
    if (acked > 0) assert_true(r->seen_count > 0);
    for (size_t i = 1; i < r->seen_count; i++) assert_int_equal(r->seen[i], r->seen[i - 1] + 1);
    if (r->seen_count == 0) return;
    assert_true(r->seen[0] <= 8); /* what the script does not release */
    uint64_t last = r->seen[r->seen_count - 1];
    assert_true(last == acked || last == acked + 1); /* the one that failed may be there */
}

/* After a failure: nothing is taken, nothing is written, not even a MARK or a segment. */
static void expect_stopped(struct jr *r)
{
    struct jr_call c;
    uint64_t changes = disk_sim_count(r->disk, DISK_SIM_CHANGE);
    assert_true(journal_failed(r->journal));
    assert_int_equal(jr_submit(r, &c, 0, 99, 10), IOR_E_IO);
    r->mono_us += 10000000;
    assert_false(journal_begin(r->journal));
    assert_false(journal_wants_prepare(r->journal));
    journal_prepare(r->journal);
    assert_true(journal_mark_due_us(r->journal) == UINT64_MAX);
    assert_true(disk_sim_count(r->disk, DISK_SIM_CHANGE) == changes);
}

/* The n-th operation of this kind fails once; false: it was never reached. */
static bool one_error(void **state, enum disk_sim_op op, uint64_t n, enum ior_err err)
{
    struct jr *r = &rig;
    disk_sim_fail(r->disk, op, n, err, false);
    uint64_t acked = run_script(r);
    bool met = disk_sim_failed(r->disk);
    if (!met) {
        assert_int_equal(acked, SCRIPT_RECORDS);
        disk_sim_fail(r->disk, op, 0, IOR_OK, false);
        return false;
    }
    /* A release that fails does not stop the journal; everything else does. */
    if (journal_failed(r->journal)) expect_stopped(r);
    jr_drop(r);
    disk_sim_crash(r->disk, DISK_SIM_KILLED);
    jr_open(r);
    expect_through(r, acked);
    size_t seen = r->seen_count;
    jr_crash(r, DISK_SIM_LOSE_ALL); /* what a start has shown stays */
    jr_open(r);
    assert_int_equal(r->seen_count, seen);
    tear_down(state);
    return set_up(state) == 0;
}

/* What: whichever operation fails, with whichever error: no later acknowledgement, and
 * after a restart everything acknowledged is there, also when then the power is cut. */
static void every_error_is_for_good(void **state)
{
    static const enum disk_sim_op ops[] = {DISK_SIM_CHANGE,  DISK_SIM_WRITE,  DISK_SIM_SYNC,
                                           DISK_SIM_CREATE,  DISK_SIM_RENAME, DISK_SIM_UNLINK,
                                           DISK_SIM_SYNC_DIR};
    static const enum ior_err errors[] = {IOR_E_IO, IOR_E_ACCESS, IOR_E_NOTFOUND};
    for (size_t o = 0; o < IOR_LEN(ops); o++) {
        uint64_t met = 0;
        for (uint64_t n = 1; one_error(state, ops[o], n, errors[n % 3]); n++) met++;
        assert_true(met > 0);
        tear_down(state);
        assert_int_equal(set_up(state), 0);
    }
}

/* What: whatever the reason of a failure is, a record is answered IO. */
static void failure_is_answered_io(void **state)
{
    (void)state;
    disk_sim_fail(rig.disk, DISK_SIM_CREATE, 1, IOR_E_NOTFOUND, true);
    uint64_t n = 0;
    enum ior_err err;
    while ((err = jr_put(&rig, ++n, 10)) == IOR_OK) assert_true(n < 10);
    assert_int_equal(err, IOR_E_IO);
    assert_true(journal_failed(rig.journal));
}

/* What: when the disk fails a segment that nobody waits for yet, the journal stops at once:
 * a disk that loses writes must not be trusted with the next ones. */
static void failed_preparation_stops_the_journal(void **state)
{
    (void)state;
    assert_int_equal(jr_put(&rig, 1, 10), IOR_OK);
    disk_sim_fail(rig.disk, DISK_SIM_SYNC, 1, IOR_E_IO, false);
    journal_prepare(rig.journal);
    expect_stopped(&rig);
}

/* What: a failed sync is not tried again: the second one would say OK and do nothing. */
static void failed_sync_is_not_believed(void **state)
{
    (void)state;
    struct jr_call c;
    assert_int_equal(jr_submit(&rig, &c, 0, 1, 10), IOR_OK);
    assert_true(journal_begin(rig.journal));
    disk_sim_fail(rig.disk, DISK_SIM_SYNC, 1, IOR_E_IO, false);
    uint64_t syncs = disk_sim_count(rig.disk, DISK_SIM_SYNC);
    journal_finish(rig.journal);
    jr_turns(&rig);
    assert_int_equal(c.req.err, IOR_E_IO);
    expect_stopped(&rig);
    assert_int_equal(disk_sim_count(rig.disk, DISK_SIM_SYNC) - syncs, 1);
}

/* What: the power fails at the n-th operation, for every n and every kind of loss. */
static void every_power_cut_is_survived(void **state)
{
    for (int loss = DISK_SIM_KILLED; loss < DISK_SIM_LOSS_COUNT; loss++) {
        bool dead = true;
        for (uint64_t n = 1; dead; n++) {
            disk_sim_crash_at(rig.disk, n);
            uint64_t acked = run_script(&rig);
            dead = disk_sim_is_dead(rig.disk);
            jr_crash(&rig, (enum disk_sim_loss)loss);
            jr_open(&rig);
            expect_through(&rig, acked);
            assert_int_equal(jr_put(&rig, 50, 10), IOR_OK);
            tear_down(state);
            assert_int_equal(set_up(state), 0);
        }
    }
}

/* ---- no room ---- */

static void fill_segment(struct jr *r, uint64_t *n)
{
    for (int i = 0; i < 3; i++) assert_int_equal(jr_put(r, ++*n, 10), IOR_OK);
}

/* What: with no room for the next segment what waits is refused, and nothing of it is
 * there after a restart; the journal is not broken. With room it goes on by itself. */
static void full_disk_refuses_and_recovers(void **state)
{
    (void)state;
    uint64_t n = 0;
    struct jr_call a;
    struct jr_call b;
    disk_sim_set_limit(rig.disk, disk_sim_used_bytes(rig.disk) + 100);
    fill_segment(&rig, &n); /* blocks that were written before need no room */
    assert_int_equal(jr_submit(&rig, &a, 0, 90, 10), IOR_OK);
    assert_int_equal(jr_submit(&rig, &b, 1, 91, 10), IOR_OK);
    assert_false(journal_full(rig.journal));
    assert_false(journal_begin(rig.journal));
    jr_turns(&rig);
    assert_int_equal(a.req.err, IOR_E_NOSPC);
    assert_int_equal(b.req.err, IOR_E_NOSPC);
    assert_true(journal_full(rig.journal));
    assert_false(journal_failed(rig.journal));
    assert_false(disk_sim_has(rig.disk, JOURNAL_DIR "/prepare.tmp"));
    assert_int_equal(jr_put(&rig, 92, 10), IOR_E_NOSPC);

    disk_sim_set_limit(rig.disk, UINT64_MAX);
    assert_int_equal(jr_put(&rig, 93, 10), IOR_E_NOSPC); /* not tried yet */
    assert_false(journal_wants_prepare(rig.journal));
    rig.mono_us += JOURNAL_NOSPC_RETRY_MS * 1000;
    assert_true(journal_wants_prepare(rig.journal));
    journal_prepare(rig.journal);
    assert_false(journal_full(rig.journal));
    assert_int_equal(jr_put(&rig, ++n, 10), IOR_OK);
    jr_crash(&rig, DISK_SIM_LOSE_ALL);
    jr_open(&rig);
    jr_expect_seen(&rig, n);
}

/* What: a full disk is tried once a second, whoever asks. */
static void full_disk_is_not_hammered(void **state)
{
    (void)state;
    uint64_t n = 0;
    disk_sim_set_limit(rig.disk, disk_sim_used_bytes(rig.disk));
    fill_segment(&rig, &n);
    assert_int_equal(jr_put(&rig, 90, 10), IOR_E_NOSPC);
    uint64_t changes = disk_sim_count(rig.disk, DISK_SIM_CHANGE);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(jr_put(&rig, 90, 10), IOR_E_NOSPC);
        journal_prepare(rig.journal);
        rig.mono_us += JOURNAL_NOSPC_RETRY_MS * 1000 / 60;
    }
    assert_int_equal(disk_sim_count(rig.disk, DISK_SIM_CHANGE), changes);
    rig.mono_us += JOURNAL_NOSPC_RETRY_MS * 1000;
    assert_int_equal(jr_put(&rig, 90, 10), IOR_E_NOSPC);
    assert_true(disk_sim_count(rig.disk, DISK_SIM_CHANGE) > changes);
}

/* What: no room for a giant record: it is refused, small ones still have room. */
static void giant_is_refused_alone(void **state)
{
    (void)state;
    journal_prepare(rig.journal);
    disk_sim_set_limit(rig.disk, disk_sim_used_bytes(rig.disk) + JOURNAL_PAGE_BYTES);
    assert_int_equal(jr_put(&rig, 1, 10), IOR_OK);
    assert_int_equal(jr_put(&rig, 90, 4 * JR_SEGMENT_BYTES), IOR_E_NOSPC);
    assert_false(journal_failed(rig.journal));
    for (uint64_t i = 2; i <= 6; i++) assert_int_equal(jr_put(&rig, i, 10), IOR_OK);
    jr_crash(&rig, DISK_SIM_LOSE_ALL);
    jr_open(&rig);
    jr_expect_seen(&rig, 6);
}

/* What: no room for a MARK: nothing is lost by it, and nothing fails. */
static void full_disk_has_no_mark(void **state)
{
    (void)state;
    uint64_t n = 0;
    disk_sim_set_limit(rig.disk, disk_sim_used_bytes(rig.disk));
    fill_segment(&rig, &n);
    rig.mono_us += JOURNAL_MARK_IDLE_MS * 1000;
    assert_false(journal_begin(rig.journal));
    assert_false(journal_failed(rig.journal));
    assert_true(journal_mark_due_us(rig.journal) == UINT64_MAX);
    jr_close(&rig);
    disk_sim_crash(rig.disk, DISK_SIM_LOSE_ALL);
    jr_open(&rig);
    jr_expect_seen(&rig, n);
    assert_false(rig.report.marked);
}

/* What: after records were given up, a record that counts on them is refused until its
 * group has looked at the epoch again. */
static void old_epoch_is_refused(void **state)
{
    (void)state;
    uint64_t n = 0;
    struct jr_call early;
    struct jr_call late;
    uint64_t epoch = journal_epoch(rig.journal);
    disk_sim_set_limit(rig.disk, disk_sim_used_bytes(rig.disk));
    fill_segment(&rig, &n);
    assert_true(journal_epoch(rig.journal) == epoch);
    jr_prepare_call(&rig, &late, 91, 10); /* knows the epoch of now */
    assert_int_equal(jr_submit(&rig, &early, 0, 90, 10), IOR_OK);
    assert_false(journal_begin(rig.journal));
    assert_true(journal_epoch(rig.journal) > epoch);
    assert_int_equal(jr_submit_call(&rig, &late, 0), IOR_E_LOST);
    jr_turns(&rig);
    assert_int_equal(early.req.err, IOR_E_NOSPC);
    assert_int_equal(late.order, 0);
    disk_sim_set_limit(rig.disk, UINT64_MAX);
    rig.mono_us += JOURNAL_NOSPC_RETRY_MS * 1000;
    assert_int_equal(jr_put(&rig, ++n, 10), IOR_OK);
}

/* ---- release on a failing disk ---- */

static void four_segments(struct jr *r, uint64_t *n)
{
    while (journal_active_segment(r->journal) < 4) assert_int_equal(jr_put(r, ++*n, 10), IOR_OK);
}

/* What: a release that failed in the middle can be done again, and leaves no hole. */
static void failed_release_is_done_again(void **state)
{
    static const enum disk_sim_op ops[] = {DISK_SIM_UNLINK, DISK_SIM_SYNC_DIR};
    for (unsigned o = 0; o < 2; o++) {
        for (uint64_t at = 1; at <= 2; at++) {
            uint64_t n = 0;
            four_segments(&rig, &n);
            assert_int_equal(journal_release(rig.journal, 2), IOR_OK); /* 1 is kept for recycling */
            disk_sim_fail(rig.disk, ops[o], at, IOR_E_IO, false);
            assert_int_equal(journal_release(rig.journal, 4), IOR_E_IO);
            assert_int_equal(journal_release(rig.journal, 4), IOR_OK);
            assert_true(journal_first_segment(rig.journal) == 4);
            assert_int_equal(jr_put(&rig, ++n, 10), IOR_OK);
            jr_crash(&rig, DISK_SIM_LOSE_ALL);
            jr_open(&rig);
            assert_int_equal(rig.seen[rig.seen_count - 1], n);
            tear_down(state);
            assert_int_equal(set_up(state), 0);
        }
    }
}

/* What: the name of a segment that is recycled could not be made sure: it may come back, so
 * the journal stops, and no segment above it is removed any more. */
static void failed_recycling_leaves_no_hole(void **state)
{
    for (uint64_t seed = 0; seed < 30; seed++) {
        uint64_t n = 0;
        four_segments(&rig, &n);
        assert_int_equal(journal_release(rig.journal, 2), IOR_OK); /* 1 is kept */
        disk_sim_fail(rig.disk, DISK_SIM_SYNC_DIR, 1, IOR_E_IO, true);
        journal_prepare(rig.journal);
        assert_true(journal_failed(rig.journal));
        uint64_t changes = disk_sim_count(rig.disk, DISK_SIM_CHANGE);
        assert_int_equal(journal_release(rig.journal, 4), IOR_E_IO);
        assert_int_equal(disk_sim_count(rig.disk, DISK_SIM_CHANGE), changes);
        jr_crash(&rig, DISK_SIM_LOSE_SOME);
        jr_open(&rig);
        assert_int_equal(rig.seen[rig.seen_count - 1], n);
        tear_down(state);
        assert_int_equal(set_up(state), 0);
    }
}

/* What: no room for the name of a recycled segment: it stays where it was, and goes with
 * the next release. */
static void recycling_without_room_leaves_no_hole(void **state)
{
    (void)state;
    uint64_t n = 0;
    four_segments(&rig, &n);
    assert_int_equal(journal_release(rig.journal, 3), IOR_OK); /* 2 is kept */
    disk_sim_fail(rig.disk, DISK_SIM_RENAME, 1, IOR_E_NOSPC, false);
    journal_prepare(rig.journal);
    assert_true(journal_full(rig.journal));
    assert_true(disk_sim_has(rig.disk, jr_segment(2)));
    assert_int_equal(journal_release(rig.journal, 4), IOR_OK);
    assert_false(disk_sim_has(rig.disk, jr_segment(2)));
    jr_crash(&rig, DISK_SIM_LOSE_ALL);
    jr_open(&rig);
    assert_int_equal(rig.seen[rig.seen_count - 1], n);
}

#define WITH_JOURNAL(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_JOURNAL(every_error_is_for_good),
        WITH_JOURNAL(failure_is_answered_io),
        WITH_JOURNAL(failed_preparation_stops_the_journal),
        WITH_JOURNAL(failed_sync_is_not_believed),
        WITH_JOURNAL(every_power_cut_is_survived),
        WITH_JOURNAL(full_disk_refuses_and_recovers),
        WITH_JOURNAL(full_disk_is_not_hammered),
        WITH_JOURNAL(giant_is_refused_alone),
        WITH_JOURNAL(full_disk_has_no_mark),
        WITH_JOURNAL(old_epoch_is_refused),
        WITH_JOURNAL(failed_release_is_done_again),
        WITH_JOURNAL(failed_recycling_leaves_no_hole),
        WITH_JOURNAL(recycling_without_room_leaves_no_hole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/store/test_save_crash.c - a sequence of checkpoints on a disk that fails: every
 * operation once, the power at every change, no room. A retry, or the next process, goes on
 * from what the catalog says; nothing that a commit named is lost, every event is there
 * once and right, and no file is left that nothing names. */
#include "save_rig.h"

enum { STREAMS = 5, STEPS = 7, GROUP = 8 };

/* Small for ever; outgrown, then retention; into chunks at once, deleted, made again; low
 * passes everything; small again behind its chunks. high 0: not made yet. */
static const struct sr_stream script[STEPS][STREAMS] = {
    {{3, 1, 1, 0}, {4, 1, 2, 0}, {5, 1, 30, 0}, {6, 1, 12, 0}, {7, 1, 20, 0}},
    {{3, 1, 2, 0}, {4, 1, 8, 0}, {5, 1, 38, 0}, {6, 1, 13, 0}, {7, 15, 22, 0}},
    {{3, 1, 3, 0}, {4, 3, 24, 0}, {5, 39, 38, 1}, {6, 30, 45, 0}, {7, 24, 23, 0}},
    {{3, 2, 4, 0}, {4, 15, 37, 0}, {5, 39, 40, 0}, {6, 31, 46, 0}, {7, 24, 24, 0}},
    {{3, 5, 5, 0}, {4, 30, 38, 0}, {5, 39, 60, 0}, {6, 46, 47, 0}, {7, 24, 25, 0}},
    {{3, 5, 6, 0}, {4, 38, 39, 0}, {5, 45, 61, 0}, {6, 48, 47, 1}, {7, 25, 44, 0}},
    {{3, 7, 6, 1}, {4, 39, 55, 0}, {5, 61, 75, 0}, {6, 48, 49, 0}, {7, 40, 45, 0}},
};

/* From what the catalog has after `done` steps to the end of `step`: the events behind those,
 * as a tail would hold them. */
static enum ior_err save_from(struct sr *g, unsigned done, unsigned step)
{
    struct group_row group = {.term = 1, .applied_index = step + 1, .applied_term = 1};
    enum ior_err err = IOR_OK;
    for (unsigned i = 0; i < STREAMS && err == IOR_OK; i++)
        err = sr_try_save(g, script[step][i], done == 0 ? 1 : script[done - 1][i].high + 1);
    if (err == IOR_OK) err = save_group(g->save, GROUP, &group);
    if (err == IOR_OK) err = save_commit(g->save);
    if (err != IOR_OK) save_abort(g->save);
    return err;
}

static enum ior_err save_step(struct sr *g, unsigned step)
{
    return save_from(g, step, step);
}

static enum ior_err run_step(struct sr *g, unsigned step)
{
    bool more = false;
    g->told_count = 0;
    enum ior_err err = save_step(g, step);
    if (err == IOR_OK) err = save_unlink_buried(g->save, 100, &more, &g->why);
    assert_false(more);
    return err;
}

/* How many steps the catalog has; everything that it names is there. */
static unsigned check_all(struct sr *g)
{
    struct group_row group = {0};
    assert_int_equal(kv_read_begin(g->reader), IOR_OK);
    enum ior_err err = catalog_get_group(g->reader, GROUP, &group);
    assert_true(err == IOR_OK || err == IOR_E_NOTFOUND);
    unsigned steps = (unsigned)group.applied_index;
    for (unsigned i = 0; i < STREAMS; i++) {
        struct stream_row row;
        if (steps == 0) {
            assert_false(sr_row(g, script[0][i].uid, &row));
            continue;
        }
        const struct sr_stream *st = &script[steps - 1][i];
        assert_true(sr_row(g, st->uid, &row));
        assert_true(row.low == st->low && row.high == st->high && row.deleted == st->deleted);
        sr_check_row(g, &row);
    }
    kv_read_end(g->reader);
    return steps;
}

/* All is done: no file but those that the catalog names. */
static void check_end(struct sr *g)
{
    assert_int_equal(check_all(g), STEPS);
    sr_clean(g);
    assert_int_equal(sr_buried(g), 0);
    for (unsigned i = 0; i < STREAMS; i++) {
        struct sr_layout l = sr_expect(g, script[STEPS - 1][i]);
        int files = sr_files(g, script[STEPS - 1][i].uid);
        assert_int_equal(files < 0 ? 0 : files, l.chunks);
        if (files == 0) fail_msg("an empty folder is left");
    }
}

/* What: the sequence itself, as it is without faults: it has all kinds of streams in it. */
static void without_faults(void **state)
{
    (void)state;
    struct sr g;
    unsigned small = 0;
    unsigned chunks = 0;
    sr_begin(&g, 1);
    for (unsigned step = 0; step < STEPS; step++) {
        assert_int_equal(run_step(&g, step), IOR_OK);
        assert_int_equal(run_step(&g, step), IOR_OK); /* once more is the same */
        assert_int_equal(check_all(&g), step + 1);
        for (unsigned i = 0; i < STREAMS; i++) {
            struct sr_layout l = sr_expect(&g, script[step][i]);
            small += l.small_bytes > 0;
            chunks += l.chunks > 0;
        }
    }
    check_end(&g);
    assert_true(small >= 10 && chunks >= 15);
    assert_true(disk_sim_count(g.disk, DISK_SIM_UNLINK) >= 15);
    assert_true(disk_sim_count(g.disk, DISK_SIM_RMDIR) >= 3);
    sr_end(&g);
}

/* What: every operation fails once, with IO or NOSPC: that is what is said, and a retry in the
 * same process goes on; a process that finds what was left does as well. */
static void one_error(enum disk_sim_op op, enum ior_err with)
{
    bool met = true;
    for (uint64_t n = 1; met; n++) {
        struct sr g;
        sr_begin(&g, n);
        disk_sim_fail(g.disk, op, n, with, false);
        for (unsigned step = 0; step < STEPS; step++) {
            enum ior_err err = run_step(&g, step);
            if (err == IOR_OK) continue;
            assert_int_equal(err, with);
            assert_true(disk_sim_failed(g.disk));
            assert_int_equal(disk_sim_open_files(g.disk), 0);
            if (n % 2 == 0) sr_crash(&g, DISK_SIM_LOSE_ALL);
            unsigned done = check_all(&g); /* a commit that failed may be there after a crash */
            assert_true(done == step || done == step + 1);
            assert_int_equal(run_step(&g, step), IOR_OK);
        }
        met = disk_sim_failed(g.disk) || disk_sim_count(g.disk, op) >= n;
        disk_sim_fail(g.disk, op, 0, IOR_OK, false);
        check_end(&g);
        sr_end(&g);
        assert_true(n < 1000);
    }
}

static void every_operation_fails(void **state)
{
    (void)state;
    static const enum disk_sim_op ops[] = {
        DISK_SIM_WRITE,  DISK_SIM_CREATE,   DISK_SIM_SYNC,     DISK_SIM_MKDIR, /* with NOSPC, too */
        DISK_SIM_OPEN,   DISK_SIM_READ,     DISK_SIM_SIZE,     DISK_SIM_RENAME, DISK_SIM_RMDIR,
        DISK_SIM_UNLINK, DISK_SIM_SYNC_DIR, DISK_SIM_TRUNCATE, DISK_SIM_LIST,
    };
    for (size_t i = 0; i < IOR_LEN(ops); i++) {
        one_error(ops[i], IOR_E_IO);
        if (i < 4) one_error(ops[i], IOR_E_NOSPC);
    }
}

/* What: a full disk is NOSPC at any size, and what was committed stays; with room it goes on. */
static void no_room(void **state)
{
    (void)state;
    unsigned refused = 0;
    for (uint64_t room = 0; room < 9000; room += 400) {
        struct sr g;
        sr_begin(&g, room);
        for (unsigned step = 0; step < STEPS; step++) {
            disk_sim_set_limit(g.disk, disk_sim_used_bytes(g.disk) + room);
            enum ior_err err = run_step(&g, step);
            assert_true(err == IOR_OK || err == IOR_E_NOSPC);
            refused += err != IOR_OK;
            if (err != IOR_OK) assert_int_equal(check_all(&g), step);
            disk_sim_set_limit(g.disk, UINT64_MAX);
            if (err != IOR_OK) assert_int_equal(run_step(&g, step), IOR_OK);
        }
        check_end(&g);
        sr_end(&g);
    }
    assert_true(refused > 50);
}

/* ---- crashes ---- */

/* The power fails at the n-th change, and again at the same distance, and then no more. False:
 * there were not so many changes. */
static bool one_crash(uint64_t n, enum disk_sim_loss loss, unsigned again)
{
    struct sr g;
    unsigned step = 0;
    bool met = false;
    sr_begin(&g, n * 31 + loss);
    disk_sim_crash_at(g.disk, n);
    while (step < STEPS) {
        enum ior_err err = run_step(&g, step);
        if (!disk_sim_is_dead(g.disk)) {
            assert_int_equal(err, IOR_OK);
            step++;
            continue;
        }
        met = true;
        sr_crash(&g, loss);
        unsigned found = check_all(&g);
        assert_true(found == step || found == step + 1);
        sr_crash(&g, DISK_SIM_LOSE_ALL); /* what was shown is not taken back */
        assert_int_equal(check_all(&g), found);
        step = found;
        if (again > 0 && again-- > 0) disk_sim_crash_at(g.disk, n % 17 + 1);
    }
    disk_sim_crash_at(g.disk, 0);
    check_end(&g);
    sr_end(&g);
    return met;
}

/* What: the power at every change, with all kinds of loss; those that differ little at every third.
 */
static void power_at_every_point(void **state)
{
    (void)state;
    for (unsigned loss = 0; loss < DISK_SIM_LOSS_COUNT; loss++) {
        bool every =
            loss == DISK_SIM_KILLED || loss == DISK_SIM_LOSE_SOME || loss == DISK_SIM_LOSE_LATER;
        uint64_t n = every ? 1 : 1 + loss % 3;
        while (one_crash(n, (enum disk_sim_loss)loss, (unsigned)(n % 3))) n += every ? 1 : 3;
        assert_true(n > 200);
    }
}

/* A commit fails at its last operation, but all of it is in the files; then the next checkpoint
 * dies at its k-th change. */
static bool crash_after_doubt(unsigned step, uint64_t k, enum disk_sim_loss loss)
{
    struct sr g;
    sr_begin(&g, k * 7 + loss);
    for (unsigned i = 0; i < step; i++) assert_int_equal(run_step(&g, i), IOR_OK);
    uint64_t syncs = disk_sim_count(g.disk, DISK_SIM_SYNC_DIR);
    struct disk *copy = disk_sim_copy(g.disk); /* how many are there? */
    struct sr twin = {.disk = copy};
    sr_open(&twin);
    uint64_t before = disk_sim_count(copy, DISK_SIM_SYNC_DIR);
    assert_int_equal(save_step(&twin, step), IOR_OK);
    uint64_t last = disk_sim_count(copy, DISK_SIM_SYNC_DIR) - before;
    sr_end(&twin);
    disk_sim_fail(g.disk, DISK_SIM_SYNC_DIR, last, IOR_E_IO, false);
    assert_int_equal(save_step(&g, step), IOR_E_IO);
    assert_true(disk_sim_count(g.disk, DISK_SIM_SYNC_DIR) == syncs + last);
    assert_int_equal(check_all(&g), step);
    disk_sim_crash_at(g.disk, k);
    enum ior_err err = run_step(&g, step);
    bool dead = disk_sim_is_dead(g.disk);
    assert_int_equal(err, dead ? IOR_E_IO : IOR_OK);
    sr_crash(&g, loss);
    unsigned found = check_all(&g);
    assert_true(found == step + 1 || (dead && found == step));
    while (found < STEPS) assert_int_equal(run_step(&g, found++), IOR_OK);
    check_end(&g);
    sr_end(&g);
    return dead;
}

/* What: a commit that failed may be there at the next open. What its rows name is not cut or
 * written over before another commit has settled that. */
static void failed_commits_in_doubt(void **state)
{
    (void)state;
    static const enum disk_sim_loss losses[] = {DISK_SIM_KILLED, DISK_SIM_LOSE_NONE,
                                                DISK_SIM_LOSE_SOME, DISK_SIM_LOSE_LATER};
    unsigned crashes = 0;
    for (unsigned step = 1; step < STEPS; step += 2) {
        for (size_t i = 0; i < IOR_LEN(losses); i++) {
            uint64_t k = 1;
            while (crash_after_doubt(step, k, losses[i])) k++;
            crashes += (unsigned)k;
        }
    }
    assert_true(crashes > 100);
}

/* ---- files that nothing names ---- */

static unsigned count_files(struct sr *g, unsigned *ret_chunks)
{
    unsigned files = 0;
    *ret_chunks = 0;
    for (unsigned i = 0; i < STREAMS; i++) {
        int n = sr_files(g, script[0][i].uid);
        if (n > 0) files += (unsigned)n;
        assert_int_equal(kv_read_begin(g->reader), IOR_OK);
        *ret_chunks += sr_layout(g, script[0][i].uid).chunks;
        kv_read_end(g->reader);
    }
    return files;
}

/* Dies at the n-th change of a step; the next process does two steps at once, so its low is
 * another, and its chunks begin elsewhere. Then all is deleted. Returns the strays. */
static unsigned leave_strays(unsigned step, uint64_t n, enum disk_sim_loss loss, bool *ret_died)
{
    struct sr g;
    unsigned chunks;
    sr_begin(&g, n + step);
    for (unsigned i = 0; i < step; i++) assert_int_equal(run_step(&g, i), IOR_OK);
    disk_sim_crash_at(g.disk, n);
    enum ior_err err = run_step(&g, step);
    *ret_died = err != IOR_OK;
    sr_crash(&g, loss);
    assert_int_equal(save_from(&g, check_all(&g), step + 1), IOR_OK);
    assert_int_equal(check_all(&g), step + 2);
    unsigned files = count_files(&g, &chunks);
    assert_true(files >= chunks);
    unsigned strays = files - chunks - sr_buried(&g);
    sr_clean(&g);
    assert_int_equal(check_all(&g), step + 2);
    for (unsigned i = 0; i < STREAMS; i++) {
        struct sr_stream st = script[step + 1][i];
        bool has_chunks = sr_expect(&g, st).chunks > 0;
        st.deleted = true;
        st.low = st.high + 1;
        sr_save(&g, st, st.low);
        sr_clean(&g);
        if (has_chunks) assert_int_equal(sr_files(&g, st.uid), -1);
    }
    sr_end(&g);
    return strays;
}

/* What: chunk files of a checkpoint that was not finished, which the next one does not write
 * over, go when their stream loses chunks. */
static void strays_go(void **state)
{
    (void)state;
    unsigned strays = 0;
    for (unsigned step = 0; step + 1 < STEPS; step++) {
        for (unsigned loss = DISK_SIM_KILLED; loss <= DISK_SIM_LOSE_ALL; loss++) {
            bool died = true;
            for (uint64_t n = 1; died; n += 2)
                strays += leave_strays(step, n, (enum disk_sim_loss)loss, &died) > 0;
        }
    }
    assert_true(strays > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_faults),
        cmocka_unit_test(every_operation_fails),
        cmocka_unit_test(no_room),
        cmocka_unit_test(power_at_every_point),
        cmocka_unit_test(failed_commits_in_doubt),
        cmocka_unit_test(strays_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/store/test_kv_crash.c - the simulated key-value file on a disk that fails: the power
 * at every point of a commit, the n-th operation for n = 1 until nothing fails, no room.
 * Afterwards it is the old state or the new one, whole; and what an open showed is never
 * taken back. */
#include "kv_rig.h"

static struct kv_rig rig;

static int set_up(void **state)
{
    (void)state;
    kv_rig_init(&rig, false);
    kv_rig_open(&rig);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kv_rig_done(&rig);
    return 0;
}

enum { ROWS = 40, ROW_BYTES = 100 };

/* State n: every row has n in it, and row n is not there. */
static enum ior_err commit_state(struct kv_rig *g, unsigned n)
{
    struct kv_writer *w = kv_rig_begin(g);
    for (unsigned i = 0; i < ROWS; i++) {
        char key[16];
        uint8_t value[ROW_BYTES];
        snprintf(key, sizeof key, "row %02u", i);
        memset(value, (int)n, sizeof value);
        if (i != n % ROWS) {
            assert_int_equal(kv_put(w, KV_ROWS, ior_slice_str(key), ior_slice(value, ROW_BYTES)),
                             IOR_OK);
            continue;
        }
        enum ior_err err = kv_del(w, KV_ROWS, ior_slice_str(key));
        assert_true(err == IOR_OK || err == IOR_E_NOTFOUND);
    }
    return kv_write_commit(w);
}

/* Which state it is; 0: nothing was committed. Every row is looked at. */
static unsigned state_of(struct kv_rig *g)
{
    unsigned found = 0;
    unsigned rows = 0;
    struct kv_reader *r = kv_rig_read(g);
    for (unsigned i = 0; i < ROWS; i++) {
        char key[16];
        struct ior_slice value;
        snprintf(key, sizeof key, "row %02u", i);
        if (kv_get(r, KV_ROWS, ior_slice_str(key), &value) != IOR_OK) continue;
        assert_int_equal(value.size_bytes, ROW_BYTES);
        for (unsigned b = 0; b < ROW_BYTES; b++) {
            if (found == 0) found = value.data[b];
            assert_int_equal(value.data[b], found);
        }
        rows++;
    }
    assert_int_equal(rows, found == 0 ? 0 : ROWS - 1);
    if (found != 0) {
        char key[16];
        snprintf(key, sizeof key, "row %02u", found % ROWS);
        kv_rig_expect(r, KV_ROWS, key, NULL);
    }
    return found;
}

static void crash(struct kv_rig *g, enum disk_sim_loss loss)
{
    kv_rig_close(g);
    disk_sim_crash(g->disk, loss);
}

/* What: the power fails at the n-th change of a commit, or the process is killed there: the
 * old state or the new one; the next commit works; what was seen stays. */
static void power_at_every_point(void **state)
{
    (void)state;
    unsigned points = 0;
    unsigned now = 0;
    unsigned taken = 0; /* a commit that failed, and was there */
    for (unsigned loss = 0; loss < DISK_SIM_LOSS_COUNT; loss++) {
        for (uint64_t n = 1;; n++) {
            unsigned next = now % 200 + 1;
            disk_sim_crash_at(rig.disk, n);
            enum ior_err err = commit_state(&rig, next);
            bool dead = disk_sim_is_dead(rig.disk);
            assert_int_equal(err, dead ? IOR_E_IO : IOR_OK);
            assert_int_equal(state_of(&rig), dead ? now : next);
            crash(&rig, (enum disk_sim_loss)loss);
            kv_rig_open(&rig);
            unsigned found = state_of(&rig);
            assert_true(found == next || (dead && found == now));
            crash(&rig, DISK_SIM_LOSE_ALL); /* it was shown: it is there for good */
            kv_rig_open(&rig);
            assert_int_equal(state_of(&rig), found);
            if (dead && found == next) taken++;
            now = found;
            if (!dead) break;
            points++;
        }
    }
    assert_true(points >= 5 * DISK_SIM_LOSS_COUNT);
    assert_true(taken >= 3);
}

static void one_error(enum disk_sim_op op, enum ior_err with)
{
    unsigned now = 1;
    assert_int_equal(commit_state(&rig, now), IOR_OK);
    for (uint64_t n = 1;; n++) {
        unsigned next = now % 200 + 1;
        disk_sim_fail(rig.disk, op, n, with, false);
        enum ior_err err = commit_state(&rig, next);
        bool met = disk_sim_failed(rig.disk);
        disk_sim_fail(rig.disk, op, 0, IOR_OK, false);
        if (err == IOR_OK) {
            now = next;
            if (met) continue; /* where it does not matter: removing the rest */
            assert_true(n > 1);
            return;
        }
        assert_true(met);
        assert_int_equal(err, with);
        assert_int_equal(state_of(&rig), now); /* nothing changed */
        assert_int_equal(disk_sim_open_files(rig.disk), 0);
        assert_false(disk_sim_has(rig.disk, KV_RIG_SIM_PATH ".new"));
        next = next % 200 + 1;
        assert_int_equal(commit_state(&rig, next), IOR_OK); /* and it goes on */
        assert_int_equal(state_of(&rig), next);
        now = next;
        crash(&rig, DISK_SIM_LOSE_ALL);
        kv_rig_open(&rig);
        assert_int_equal(state_of(&rig), now);
    }
}

/* What: an operation that fails once fails the commit with its error, and nothing else. */
static void every_operation_fails(void **state)
{
    (void)state;
    static const enum disk_sim_op ops[] = {DISK_SIM_WRITE, DISK_SIM_SYNC, DISK_SIM_TRUNCATE,
                                           DISK_SIM_RENAME, DISK_SIM_SYNC_DIR};
    for (size_t i = 0; i < IOR_LEN(ops); i++) {
        one_error(ops[i], IOR_E_IO);
        one_error(ops[i], IOR_E_NOSPC);
    }
}

/* What: no room is NOSPC, as if it had never been, also after a crash; with room it goes on. */
static void no_room(void **state)
{
    (void)state;
    assert_int_equal(commit_state(&rig, 1), IOR_OK);
    uint64_t used = disk_sim_used_bytes(rig.disk);
    assert_true(used == kv_file_bytes(rig.kv));
    for (uint64_t room = 0; room < used; room += 300) {
        disk_sim_set_limit(rig.disk, used + room);
        assert_int_equal(commit_state(&rig, 2), IOR_E_NOSPC);
        assert_int_equal(state_of(&rig), 1);
        assert_true(disk_sim_used_bytes(rig.disk) == used);
    }
    crash(&rig, DISK_SIM_LOSE_NONE);
    kv_rig_open(&rig);
    assert_int_equal(state_of(&rig), 1);
    disk_sim_set_limit(rig.disk, 2 * used);
    assert_int_equal(commit_state(&rig, 2), IOR_OK);
    assert_int_equal(state_of(&rig), 2);
}

/* What: an open that cannot read says so, with the name of the file, and can be repeated. */
static void open_fails(void **state)
{
    (void)state;
    static const enum disk_sim_op ops[] = {DISK_SIM_OPEN, DISK_SIM_SIZE, DISK_SIM_READ,
                                           DISK_SIM_SYNC_DIR};
    assert_int_equal(commit_state(&rig, 1), IOR_OK);
    for (size_t i = 0; i < IOR_LEN(ops); i++) {
        struct ior_why why = {""};
        kv_rig_close(&rig);
        disk_sim_fail(rig.disk, ops[i], 1, IOR_E_IO, false);
        assert_int_equal(kv_rig_try_open(&rig, &why), IOR_E_IO);
        assert_non_null(strstr(why.text, KV_RIG_SIM_PATH));
        kv_rig_open(&rig);
        assert_int_equal(state_of(&rig), 1);
    }
}

/* What: every changed byte and every cut of the file is damage with its name; a later format is
 * VERSION only when its checksum is right, so no flip looks like one. */
static void damage_is_found(void **state)
{
    (void)state;
    assert_int_equal(commit_state(&rig, 1), IOR_OK);
    uint64_t size = disk_sim_size(rig.disk, KV_RIG_SIM_PATH);
    for (uint64_t at = 0; at < size; at++) {
        struct ior_why why = {""};
        kv_rig_close(&rig);
        disk_sim_flip(rig.disk, KV_RIG_SIM_PATH, at, 1);
        assert_int_equal(kv_rig_try_open(&rig, &why), IOR_E_CORRUPT);
        assert_non_null(strstr(why.text, KV_RIG_SIM_PATH ": damage at offset"));
        disk_sim_flip(rig.disk, KV_RIG_SIM_PATH, at, 1);
    }
    kv_rig_open(&rig);
    assert_int_equal(state_of(&rig), 1);
    kv_rig_close(&rig);
    for (uint64_t left = size; left > 0; left -= left > 37 ? 37 : left) {
        struct ior_why why = {""};
        disk_sim_cut(rig.disk, KV_RIG_SIM_PATH, left - 1);
        assert_int_equal(kv_rig_try_open(&rig, &why), IOR_E_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(power_at_every_point, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_operation_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(no_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(open_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damage_is_found, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

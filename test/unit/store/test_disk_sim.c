/* test/unit/store/test_disk_sim.c - the simulated disk that the tests of the store and the
 * simulator stand on: it must keep the promise of rt/disk.h, and no more than that. */
#include "journal_rig.h"

#include <stdio.h>

enum { SECTOR = DISK_SECTOR_BYTES, ROUNDS = 400 };

static struct disk *disk;

static int set_up(void **state)
{
    (void)state;
    disk = disk_sim_new(1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    disk_free(disk);
    return 0;
}

static void fresh(uint64_t seed)
{
    disk_free(disk);
    disk = disk_sim_new(seed);
}

static struct disk_file *open_file(const char *path)
{
    struct disk_file *f = NULL;
    assert_int_equal(disk_open(disk, path, DISK_WRITE | DISK_CREATE, &f), IOR_OK);
    return f;
}

/* count sectors from this one on, all of this letter. */
static enum ior_err put(struct disk_file *f, uint64_t sector, unsigned count, char letter)
{
    uint8_t bytes[8 * SECTOR];
    memset(bytes, letter, sizeof bytes);
    assert_true(count <= 8);
    return disk_write_buf(f, sector * SECTOR, bytes, (size_t)count * SECTOR);
}

/* A file of 8 sectors of 'a', all of it durable. */
static struct disk_file *durable_file(const char *path)
{
    struct disk_file *f = open_file(path);
    assert_int_equal(put(f, 0, 8, 'a'), IOR_OK);
    assert_int_equal(disk_sync(f), IOR_OK);
    assert_int_equal(disk_sync_dir(disk, "."), IOR_OK);
    return f;
}

static char letter_at(const char *path, uint64_t sector)
{
    char c = (char)disk_sim_byte(disk, path, sector * SECTOR);
    for (uint64_t i = 0; i < SECTOR; i++) /* never torn inside */
        assert_int_equal(disk_sim_byte(disk, path, sector * SECTOR + i), c);
    return c;
}

/* What: bytes are read as they were written, in pieces, across sectors and behind the end. */
static void reads_what_was_written(void **state)
{
    (void)state;
    struct disk_file *f = open_file("f");
    char text[] = "abcdefg";
    struct iovec iov[3] = {{text, 2}, {text, 0}, {text + 2, 5}};
    char buf[600];
    size_t n = 0;
    uint64_t size = 0;
    assert_int_equal(disk_write(f, 508, iov, 3), IOR_OK);
    assert_int_equal(disk_size(f, &size), IOR_OK);
    assert_int_equal(size, 515);
    assert_int_equal(disk_read(f, 500, buf, sizeof buf, &n), IOR_OK);
    assert_int_equal(n, 15);
    assert_memory_equal(buf, "\0\0\0\0\0\0\0\0abcdefg", 15);
    assert_int_equal(disk_read(f, 515, buf, 1, &n), IOR_OK);
    assert_int_equal(n, 0);
    assert_int_equal(disk_truncate(f, 510), IOR_OK);
    assert_int_equal(disk_truncate(f, 520), IOR_OK);
    assert_int_equal(disk_read(f, 506, buf, sizeof buf, &n), IOR_OK);
    assert_memory_equal(buf, "\0\0ab\0\0\0\0\0\0\0\0\0\0", 14);
    disk_close(f);
    assert_int_equal(disk_open(disk, "g", DISK_READ, &f), IOR_E_NOTFOUND);
    assert_int_equal(disk_open(disk, "no/g", DISK_WRITE | DISK_CREATE, &f), IOR_E_NOTFOUND);
}

/* What: what is synced, with its name, survives every kind of loss. */
static void synced_is_kept(void **state)
{
    (void)state;
    for (int loss = 0; loss < DISK_SIM_LOSS_COUNT; loss++) {
        fresh(3);
        disk_close(durable_file("f"));
        disk_sim_crash(disk, (enum disk_sim_loss)loss);
        assert_int_equal(disk_sim_size(disk, "f"), 8 * SECTOR);
        for (uint64_t i = 0; i < 8; i++) assert_int_equal(letter_at("f", i), 'a');
    }
}

/* What: what is not synced: each sector is old or new by itself, and every mixture comes
 * up; also a version in the middle; a killed process loses nothing. */
static void unsynced_is_any_mixture(void **state)
{
    (void)state;
    bool mixtures[1 << 4] = {false};
    unsigned middle = 0;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        fresh(seed);
        struct disk_file *f = durable_file("f");
        assert_int_equal(put(f, 0, 4, 'b'), IOR_OK);
        assert_int_equal(put(f, 4, 1, 'c'), IOR_OK);
        assert_int_equal(put(f, 4, 1, 'd'), IOR_OK);
        disk_close(f);
        disk_sim_crash(disk, DISK_SIM_KILLED);
        assert_int_equal(letter_at("f", 3), 'b');
        disk_sim_crash(disk, DISK_SIM_LOSE_SOME);
        unsigned mixture = 0;
        for (unsigned i = 0; i < 4; i++) {
            char c = letter_at("f", i);
            assert_true(c == 'a' || c == 'b');
            mixture |= (c == 'b' ? 1u : 0u) << i;
        }
        mixtures[mixture] = true;
        char c = letter_at("f", 4);
        assert_true(c == 'a' || c == 'c' || c == 'd');
        middle += c == 'c';
        assert_int_equal(letter_at("f", 5), 'a');
    }
    for (unsigned i = 0; i < 16; i++) assert_true(mixtures[i]);
    assert_true(middle > 0);
}

/* What: the other kinds of loss are what they are called. */
static void losses_are_as_named(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        unsigned lost[DISK_SIM_LOSS_COUNT] = {0};
        for (int loss = 1; loss < DISK_SIM_LOSS_COUNT; loss++) {
            fresh(seed);
            struct disk_file *f = durable_file("f");
            for (unsigned i = 0; i < 8; i++) assert_int_equal(put(f, i, 1, 'b'), IOR_OK);
            disk_close(f);
            disk_sim_crash(disk, (enum disk_sim_loss)loss);
            bool later_lost = false;
            for (unsigned i = 0; i < 8; i++) {
                bool is_lost = letter_at("f", i) == 'a';
                if (loss == DISK_SIM_LOSE_LATER) assert_true(is_lost || !later_lost);
                later_lost = is_lost;
                lost[loss] += is_lost;
            }
        }
        assert_int_equal(lost[DISK_SIM_LOSE_ALL], 8);
        assert_int_equal(lost[DISK_SIM_LOSE_NONE], 0);
        assert_int_equal(lost[DISK_SIM_LOSE_ONE], 1);
        assert_int_equal(lost[DISK_SIM_KEEP_ONE], 7);
        assert_int_equal(lost[DISK_SIM_FILL_HOLES], 8); /* there was no crash before */
    }
}

/* What: after a crash that lost one sector, one that keeps only that sector's next write. */
static void holes_are_filled(void **state)
{
    (void)state;
    struct disk_file *f = durable_file("f");
    assert_int_equal(put(f, 0, 8, 'b'), IOR_OK);
    disk_close(f);
    disk_sim_crash(disk, DISK_SIM_LOSE_ONE);
    unsigned hole = 0;
    while (letter_at("f", hole) == 'b') hole++;
    f = open_file("f");
    assert_int_equal(put(f, 0, 8, 'c'), IOR_OK);
    disk_close(f);
    disk_sim_crash(disk, DISK_SIM_FILL_HOLES);
    for (unsigned i = 0; i < 8; i++) assert_int_equal(letter_at("f", i), i == hole ? 'c' : 'b');
}

/* What: a sync covers its own file only, and a killed process has synced nothing. */
static void sync_is_of_one_file(void **state)
{
    (void)state;
    struct disk_file *f = durable_file("f");
    struct disk_file *g = durable_file("g");
    assert_int_equal(put(f, 0, 1, 'b'), IOR_OK);
    assert_int_equal(put(g, 0, 1, 'b'), IOR_OK);
    assert_int_equal(disk_sync(g), IOR_OK);
    disk_close(f);
    disk_close(g);
    disk_sim_crash(disk, DISK_SIM_KILLED);
    disk_sim_crash(disk, DISK_SIM_LOSE_ALL);
    assert_int_equal(letter_at("f", 0), 'a');
    assert_int_equal(letter_at("g", 0), 'b');
}

/* What: after a failed sync no other sync makes those writes durable; written again, one does. */
static void failed_sync_drops_the_writes(void **state)
{
    (void)state;
    struct disk_file *f = durable_file("f");
    assert_int_equal(put(f, 0, 2, 'b'), IOR_OK);
    disk_sim_fail(disk, DISK_SIM_SYNC, 1, IOR_E_IO, false);
    assert_int_equal(disk_sync(f), IOR_E_IO);
    assert_true(disk_sim_failed(disk));
    assert_int_equal(put(f, 1, 2, 'c'), IOR_OK);
    assert_int_equal(disk_sync(f), IOR_OK);
    disk_close(f);
    assert_int_equal(letter_at("f", 0), 'b'); /* as it is seen */
    disk_sim_crash(disk, DISK_SIM_LOSE_ALL);
    assert_int_equal(letter_at("f", 0), 'a');
    assert_int_equal(letter_at("f", 1), 'c');
    assert_int_equal(letter_at("f", 2), 'c');
}

static unsigned names_of(const char *a, const char *b)
{
    return (disk_sim_has(disk, a) ? 1u : 0u) | (disk_sim_has(disk, b) ? 2u : 0u);
}

/* What: a created, a renamed and a removed name is kept or lost, whole; after sync_dir it
 * is sure; the file is never under two names. */
static void names_are_sure_after_sync_dir(void **state)
{
    (void)state;
    unsigned created = 0;
    unsigned renamed[4] = {0};
    unsigned removed = 0;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        fresh(seed);
        disk_close(durable_file("old"));
        disk_close(durable_file("gone"));
        disk_close(open_file("new"));
        assert_int_equal(disk_rename(disk, "old", "moved"), IOR_OK);
        assert_int_equal(disk_unlink(disk, "gone"), IOR_OK);
        assert_int_equal(names_of("old", "moved"), 2);
        bool sure = seed % 2 == 0;
        if (sure) assert_int_equal(disk_sync_dir(disk, "."), IOR_OK);
        disk_sim_crash(disk, sure ? DISK_SIM_LOSE_ALL : DISK_SIM_LOSE_SOME);
        if (sure) {
            assert_true(disk_sim_has(disk, "new"));
            assert_false(disk_sim_has(disk, "gone"));
            assert_int_equal(names_of("old", "moved"), 2);
        } else {
            created += disk_sim_has(disk, "new");
            removed += disk_sim_has(disk, "gone");
            renamed[names_of("old", "moved")]++;
        }
    }
    assert_true(created > 0 && created < ROUNDS / 2);
    assert_true(removed > 0 && removed < ROUNDS / 2);
    assert_true(renamed[0] == 0 && renamed[1] > 0 && renamed[2] > 0 && renamed[3] == 0);
}

/* What: a rename over another file replaces it or does not; a new folder without a sync of
 * the one above may be gone with all that is in it. */
static void replaced_and_new_folders(void **state)
{
    (void)state;
    unsigned replaced = 0;
    unsigned folders = 0;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        fresh(seed);
        disk_close(durable_file("f"));
        struct disk_file *f = open_file("g");
        assert_int_equal(put(f, 0, 1, 'z'), IOR_OK);
        assert_int_equal(disk_sync(f), IOR_OK);
        disk_close(f);
        assert_int_equal(disk_rename(disk, "g", "f"), IOR_OK);
        assert_int_equal(disk_mkdir(disk, "d"), IOR_OK);
        assert_int_equal(disk_mkdir(disk, "d"), IOR_OK);
        disk_close(open_file("d/x"));
        assert_int_equal(disk_sync_dir(disk, "d"), IOR_OK);
        disk_sim_crash(disk, DISK_SIM_LOSE_SOME);
        assert_true(disk_sim_has(disk, "f"));
        replaced += letter_at("f", 0) == 'z';
        folders += disk_sim_has(disk, "d");
        assert_int_equal(disk_sim_has(disk, "d"), disk_sim_has(disk, "d/x"));
    }
    assert_true(replaced > 0 && replaced < ROUNDS);
    assert_true(folders > 0 && folders < ROUNDS);
}

/* What: a removed folder may come back, empty, until the one above is synced; one with a file in
 * it stays; made again in its place, it is the new one or the old one or none. */
static void removed_folders(void **state)
{
    (void)state;
    unsigned back = 0;
    unsigned again = 0;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        bool gone = true;
        bool sure = seed % 2 == 0;
        fresh(seed);
        assert_int_equal(disk_mkdir(disk, "d"), IOR_OK);
        disk_close(open_file("d/x"));
        assert_int_equal(disk_sync_dir(disk, "d"), IOR_OK);
        assert_int_equal(disk_sync_dir(disk, "."), IOR_OK);
        assert_int_equal(disk_rmdir(disk, "d", &gone), IOR_OK);
        assert_true(!gone && disk_sim_has(disk, "d/x"));
        assert_int_equal(disk_unlink(disk, "d/x"), IOR_OK);
        assert_int_equal(disk_sync_dir(disk, "d"), IOR_OK);
        disk_sim_fail(disk, DISK_SIM_RMDIR, 1, IOR_E_IO, false);
        assert_int_equal(disk_rmdir(disk, "d", &gone), IOR_E_IO);
        assert_true(!gone && disk_sim_has(disk, "d"));
        assert_int_equal(disk_rmdir(disk, "d", &gone), IOR_OK);
        assert_true(gone && !disk_sim_has(disk, "d"));
        if (sure) assert_int_equal(disk_sync_dir(disk, "."), IOR_OK);
        if (seed % 3 == 0) assert_int_equal(disk_mkdir(disk, "d"), IOR_OK);
        disk_sim_crash(disk, seed % 3 == 0 || !sure ? DISK_SIM_LOSE_SOME : DISK_SIM_LOSE_ALL);
        assert_false(disk_sim_has(disk, "d/x"));
        if (seed % 3 == 0) {
            again += disk_sim_has(disk, "d");
        } else {
            if (sure) assert_false(disk_sim_has(disk, "d"));
            back += disk_sim_has(disk, "d");
        }
    }
    assert_true(back > 0 && back < ROUNDS / 3);
    assert_true(again > 0 && again < ROUNDS / 3);
}

/* What: no more bytes than the limit; a write that does not fit may be there in part;
 * blocks that were written before need no room. */
static void limit_is_kept(void **state)
{
    (void)state;
    struct disk_file *f = durable_file("f");
    disk_sim_set_limit(disk, 10 * SECTOR);
    assert_int_equal(put(f, 0, 8, 'b'), IOR_OK);
    assert_int_equal(put(f, 8, 3, 'b'), IOR_E_NOSPC);
    assert_true(disk_sim_used_bytes(disk) <= 10 * SECTOR);
    assert_int_equal(disk_truncate(f, 8 * SECTOR), IOR_OK);
    assert_int_equal(put(f, 8, 2, 'b'), IOR_OK);
    struct disk_file *g = NULL;
    assert_int_equal(disk_open(disk, "g", DISK_WRITE | DISK_CREATE, &g), IOR_E_NOSPC);
    disk_sim_set_limit(disk, 12 * SECTOR);
    assert_int_equal(put(f, 10, 2, 'b'), IOR_OK);
    disk_close(f);
}

/* What: the rule fails the n-th operation of its kind, once or from then on. */
static void rule_fails_the_nth(void **state)
{
    (void)state;
    struct disk_file *f = durable_file("f");
    disk_sim_fail(disk, DISK_SIM_WRITE, 2, IOR_E_NOSPC, false);
    assert_int_equal(put(f, 0, 1, 'b'), IOR_OK);
    assert_false(disk_sim_failed(disk));
    assert_int_equal(disk_sync(f), IOR_OK);
    assert_int_equal(put(f, 0, 1, 'c'), IOR_E_NOSPC);
    assert_true(disk_sim_failed(disk));
    assert_int_equal(put(f, 0, 1, 'd'), IOR_OK);
    disk_sim_fail(disk, DISK_SIM_CHANGE, 1, IOR_E_IO, true);
    assert_int_equal(put(f, 0, 1, 'e'), IOR_E_IO);
    assert_int_equal(disk_unlink(disk, "f"), IOR_E_IO);
    assert_true(disk_sim_has(disk, "f"));
    disk_sim_fail(disk, DISK_SIM_CHANGE, 0, IOR_OK, false);
    assert_int_equal(disk_unlink(disk, "f"), IOR_OK);
    disk_close(f);
}

/* What: from the n-th change on everything fails, until the crash is over. */
static void crash_point_stops_everything(void **state)
{
    (void)state;
    uint64_t changes = disk_sim_count(disk, DISK_SIM_CHANGE);
    struct disk_file *f = durable_file("f"); /* create, write, sync, sync_dir */
    assert_int_equal(disk_sim_count(disk, DISK_SIM_CHANGE) - changes, 4);
    size_t n;
    char c;
    disk_sim_crash_at(disk, 2);
    assert_int_equal(put(f, 0, 1, 'b'), IOR_OK);
    assert_int_equal(disk_read(f, 0, &c, 1, &n), IOR_OK);
    assert_int_equal(disk_sync(f), IOR_E_IO);
    assert_true(disk_sim_is_dead(disk));
    assert_int_equal(disk_read(f, 0, &c, 1, &n), IOR_E_IO);
    assert_int_equal(disk_sync_dir(disk, "."), IOR_E_IO);
    assert_int_equal(disk_mkdir(disk, "d"), IOR_E_IO);
    disk_close(f);
    disk_sim_crash(disk, DISK_SIM_LOSE_ALL);
    assert_int_equal(letter_at("f", 0), 'a');
    f = open_file("f");
    assert_int_equal(put(f, 0, 1, 'b'), IOR_OK);
    disk_close(f);
}

/* What: the same seed makes the same choices; a copy has the same files, all durable. */
static void choices_come_from_the_seed(void **state)
{
    (void)state;
    uint64_t hashes[2];
    for (int i = 0; i < 2; i++) {
        fresh(77);
        struct disk_file *f = durable_file("f");
        assert_int_equal(put(f, 0, 8, 'b'), IOR_OK);
        disk_close(f);
        disk_close(open_file("g"));
        disk_sim_crash(disk, DISK_SIM_LOSE_SOME);
        hashes[i] = disk_sim_hash(disk);
    }
    assert_true(hashes[0] == hashes[1]);
    struct disk_file *f = open_file("f");
    assert_int_equal(put(f, 0, 8, 'x'), IOR_OK);
    disk_close(f);
    struct disk *copy = disk_sim_copy(disk);
    assert_true(disk_sim_hash(copy) == disk_sim_hash(disk));
    disk_sim_crash(copy, DISK_SIM_LOSE_ALL);
    assert_true(disk_sim_hash(copy) == disk_sim_hash(disk));
    disk_free(copy);
}

#define WITH_DISK(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DISK(reads_what_was_written),
        WITH_DISK(synced_is_kept),
        WITH_DISK(unsynced_is_any_mixture),
        WITH_DISK(losses_are_as_named),
        WITH_DISK(holes_are_filled),
        WITH_DISK(sync_is_of_one_file),
        WITH_DISK(failed_sync_drops_the_writes),
        WITH_DISK(names_are_sure_after_sync_dir),
        WITH_DISK(replaced_and_new_folders),
        WITH_DISK(removed_folders),
        WITH_DISK(limit_is_kept),
        WITH_DISK(rule_fails_the_nth),
        WITH_DISK(crash_point_stops_everything),
        WITH_DISK(choices_come_from_the_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

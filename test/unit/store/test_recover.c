/* test/unit/store/test_recover.c - reading the journal back: what a torn end may be and
 * what is damage; every byte of a small journal changed, every length cut; what a
 * killed process had not synced must not be believed. */
#include "journal_rig.h"

#include <stdio.h>

#include "base/bytes.h"
#include "base/crc32c.h"

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

/* Another disk with the same files; the old one is gone. */
static void move_to_copy(struct jr *r)
{
    struct disk *copy = disk_sim_copy(r->disk);
    disk_free(r->disk);
    r->disk = r->params.disk = copy;
}

static void expect_error(struct jr *r, enum ior_err wanted, const char *text)
{
    enum ior_err err = jr_try_open(r);
    if (err != wanted || strstr(r->why.text, text) == NULL)
        fail_msg("%s: %s (wanted %s: %s)", ior_err_name(err), r->why.text, ior_err_name(wanted),
                 text);
}

/* ---- the torn end ---- */

enum { TORN_PAYLOAD_BYTES = 4 * JOURNAL_PAGE_BYTES, SOUND = 2 };

/* Two sound batches, then one of several pages that was written and not synced.
 * Returns where it is. */
static uint64_t write_unsynced(struct jr *r)
{
    struct jr_call c;
    r->params.segment_bytes = 16 * JOURNAL_PAGE_BYTES;
    jr_close(r);
    disk_free(r->disk);
    r->disk = r->params.disk = disk_sim_new(2);
    jr_open(r);
    jr_put_all(r, 1, SOUND, 10);
    assert_int_equal(jr_submit(r, &c, 0, SOUND + 1, TORN_PAYLOAD_BYTES), IOR_OK);
    assert_true(journal_begin(r->journal));
    disk_sim_kill(r->disk);
    journal_finish(r->journal);
    jr_drop(r);
    assert_int_equal(c.req.err, IOR_E_IO);
    disk_sim_crash(r->disk, DISK_SIM_LOSE_NONE);
    return (1 + SOUND) * JOURNAL_PAGE_BYTES;
}

/* A page (or all behind the payload's start) becomes zeros or garbage. */
static void spoil(struct jr *r, uint64_t at, uint64_t bytes, uint8_t garbage)
{
    for (uint64_t i = at; i < at + bytes; i++) {
        uint8_t now = disk_sim_byte(r->disk, jr_segment(1), i);
        disk_sim_flip(r->disk, jr_segment(1), i, now ^ garbage);
    }
}

/* What: all of the last batch came through: it is there, and stays. */
static void whole_unsynced_batch_is_kept(void **state)
{
    (void)state;
    write_unsynced(&rig);
    jr_open(&rig);
    jr_expect_seen(&rig, SOUND + 1);
    assert_false(rig.report.torn);
    assert_false(rig.report.marked);
    jr_crash(&rig, DISK_SIM_LOSE_ALL);
    jr_open(&rig);
    jr_expect_seen(&rig, SOUND + 1);
}

/* What: any page, and any sector, of the last batch missing or garbage: the batch is
 * dropped, everything before it is there, and its remains never come back. */
static void torn_batch_is_dropped(void **state)
{
    static const uint64_t pieces[] = {JOURNAL_PAGE_BYTES, DISK_SECTOR_BYTES};
    uint64_t bytes = batch_bytes(RECORD_HEAD_BYTES + item_bytes(0, TORN_PAYLOAD_BYTES));
    uint64_t used = BATCH_HEAD_BYTES + RECORD_HEAD_BYTES + item_bytes(0, TORN_PAYLOAD_BYTES);
    for (int kind = 0; kind < 2 * 2; kind++) {
        uint64_t piece = pieces[kind / 2];
        for (uint64_t from = 0; from < bytes && from < used; from += piece) {
            uint64_t at = write_unsynced(&rig);
            spoil(&rig, at + from, piece, kind % 2 == 0 ? 0 : 0xa5);
            jr_open(&rig);
            jr_expect_seen(&rig, SOUND);
            assert_int_equal(rig.report.torn, from > 0); /* without its head nobody sees it */
            if (from > 0)
                assert_string_equal(rig.report.torn_at,
                                    "journal/0000000000000001.seg offset 12288");
            jr_crash(&rig, DISK_SIM_LOSE_ALL);
            jr_open(&rig);
            jr_expect_seen(&rig, SOUND);
            assert_false(rig.report.torn); /* removed by the start before */
            jr_put_all(&rig, SOUND + 1, SOUND + 2, 10);
            jr_crash(&rig, DISK_SIM_LOSE_ALL);
            jr_open(&rig);
            jr_expect_seen(&rig, SOUND + 2);
            tear_down(state);
            assert_int_equal(set_up(state), 0);
        }
    }
}

/* What: the first batch of a segment is torn, with its head left, and the next one is
 * larger than a segment: no empty segment may stay in the middle. */
static void torn_first_batch_then_a_giant(void **state)
{
    (void)state;
    struct jr_call c;
    jr_put_all(&rig, 1, 3, 10); /* fills segment 1 */
    journal_prepare(rig.journal);
    assert_int_equal(jr_submit(&rig, &c, 0, 4, 5000), IOR_OK);
    assert_true(journal_begin(rig.journal));
    journal_prepare(rig.journal); /* segment 3, while the batch is on its way */
    disk_sim_kill(rig.disk);
    journal_finish(rig.journal);
    jr_drop(&rig);
    disk_sim_crash(rig.disk, DISK_SIM_LOSE_NONE);
    uint64_t last = JOURNAL_PAGE_BYTES + BATCH_HEAD_BYTES + 5000;
    disk_sim_flip(rig.disk, jr_segment(2), last, 1);
    jr_open(&rig);
    jr_expect_seen(&rig, 3);
    assert_true(rig.report.torn);
    assert_int_equal(jr_put(&rig, 4, 3 * JR_SEGMENT_BYTES), IOR_OK);
    assert_int_equal(jr_put(&rig, 5, 10), IOR_OK);
    jr_crash(&rig, DISK_SIM_LOSE_ALL);
    jr_open(&rig);
    jr_expect_seen(&rig, 5);
}

/* ---- what a killed process left in the kernel ---- */

/* A batch is written, the process dies before the sync; the next one starts. */
static void kill_before_sync(struct jr *r, uint64_t index, bool sync_fails)
{
    struct jr_call c;
    assert_int_equal(jr_submit(r, &c, 0, index, 10), IOR_OK);
    assert_true(journal_begin(r->journal));
    if (sync_fails) {
        disk_sim_fail(r->disk, DISK_SIM_SYNC, 1, IOR_E_IO, false);
    } else {
        disk_sim_kill(r->disk);
    }
    journal_finish(r->journal);
    jr_drop(r);
    assert_int_equal(c.req.err, IOR_E_IO);
    disk_sim_crash(r->disk, DISK_SIM_KILLED);
    jr_open(r);
}

/* What: the batch that the killed process had not synced is shown by the next one, so it
 * must survive a power cut then; also when its sync had failed, and so no other sync
 * writes it any more. */
static void shown_once_stays(void **state)
{
    for (int sync_fails = 0; sync_fails < 2; sync_fails++) {
        jr_put_all(&rig, 1, 1, 10);
        kill_before_sync(&rig, 2, sync_fails == 1);
        jr_expect_seen(&rig, 2);
        jr_crash(&rig, DISK_SIM_LOSE_ALL);
        jr_open(&rig);
        jr_expect_seen(&rig, 2);
        tear_down(state);
        assert_int_equal(set_up(state), 0);
    }
}

/* What: the same, and the next batch goes into another file, whose sync does not help:
 * without care there would be a hole in the journal, and no start any more. */
static void shown_once_leaves_no_hole(void **state)
{
    for (int sync_fails = 0; sync_fails < 2; sync_fails++) {
        jr_put_all(&rig, 1, 2, 10);
        kill_before_sync(&rig, 3, sync_fails == 1); /* the last page of segment 1 */
        jr_put_all(&rig, 4, 5, 10);
        assert_true(journal_active_segment(rig.journal) == 2);
        jr_crash(&rig, DISK_SIM_LOSE_ALL);
        jr_open(&rig);
        jr_expect_seen(&rig, 5);
        tear_down(state);
        assert_int_equal(set_up(state), 0);
    }
}

/* What: a segment whose name was not sure when the process was killed is used by the next
 * one: it must not vanish with the records in it. */
static void name_of_a_spare_is_made_sure(void **state)
{
    (void)state;
    jr_put_all(&rig, 1, 3, 10);
    disk_sim_fail(rig.disk, DISK_SIM_SYNC_DIR, 1, IOR_E_IO, false);
    journal_prepare(rig.journal); /* renamed, not synced */
    jr_drop(&rig);
    disk_sim_crash(rig.disk, DISK_SIM_KILLED);
    assert_true(disk_sim_has(rig.disk, jr_segment(2)));
    jr_open(&rig);
    jr_put_all(&rig, 4, 6, 10);
    jr_crash(&rig, DISK_SIM_LOSE_ALL);
    jr_open(&rig);
    jr_expect_seen(&rig, 6);
}

/* What: the power fails between the name of a segment and the sync of the folder, but the
 * kernel lives (a killed process): the same. */
static void kill_between_name_and_sync(void **state)
{
    (void)state;
    unsigned used = 0;
    for (uint64_t n = 1; n < 12; n++) {
        jr_put_all(&rig, 1, 3, 10);
        disk_sim_crash_at(rig.disk, n);
        journal_prepare(rig.journal);
        jr_drop(&rig);
        disk_sim_crash(rig.disk, DISK_SIM_KILLED);
        used += disk_sim_has(rig.disk, jr_segment(2));
        jr_open(&rig);
        jr_put_all(&rig, 4, 6, 10);
        jr_crash(&rig, DISK_SIM_LOSE_ALL);
        jr_open(&rig);
        jr_expect_seen(&rig, 6);
        tear_down(state);
        assert_int_equal(set_up(state), 0);
    }
    assert_true(used > 0);
}

/* What: growing an unused segment fails in its last sync; a restart, then a large record
 * in it, then the power: the head must not fall back to the old size. */
static void grown_head_is_made_sure(void **state)
{
    (void)state;
    for (uint64_t failing = 1; failing < 6; failing++) {
        jr_put_all(&rig, 1, 1, 10);
        journal_prepare(rig.journal);
        disk_sim_fail(rig.disk, DISK_SIM_SYNC, failing, IOR_E_IO, false);
        enum ior_err err = jr_put(&rig, 2, 3 * JR_SEGMENT_BYTES);
        jr_drop(&rig);
        disk_sim_crash(rig.disk, DISK_SIM_KILLED);
        jr_open(&rig);
        uint64_t next = rig.seen_count + 1;
        if (err == IOR_OK) assert_int_equal(next, 3);
        assert_int_equal(jr_put(&rig, next, 3 * JR_SEGMENT_BYTES), IOR_OK);
        jr_crash(&rig, DISK_SIM_LOSE_ALL);
        jr_open(&rig);
        jr_expect_seen(&rig, next);
        tear_down(state);
        assert_int_equal(set_up(state), 0);
    }
}

/* ---- damage ---- */

/* Records 1..4 in batches of their own over two segments, and a MARK. */
static void small_journal(struct jr *r)
{
    jr_put_all(r, 1, 4, 40);
    jr_close(r);
    move_to_copy(r);
}

/* What: a batch that is not sound in front of a later one is damage, with file and place. */
static void damage_names_file_and_offset(void **state)
{
    (void)state;
    small_journal(&rig);
    disk_sim_flip(rig.disk, jr_segment(1), 2 * JOURNAL_PAGE_BYTES + 100, 1);
    expect_error(&rig, IOR_E_CORRUPT,
                 "journal/0000000000000001.seg: damage at offset 8192: batch 2 is not sound, but "
                 "a later one is (journal/0000000000000001.seg at offset 12288)");
    disk_sim_flip(rig.disk, jr_segment(1), 2 * JOURNAL_PAGE_BYTES + 100, 1);
    disk_sim_flip(rig.disk, jr_segment(1), 3 * JOURNAL_PAGE_BYTES + 3, 1);
    expect_error(&rig, IOR_E_CORRUPT,
                 "journal/0000000000000001.seg: damage at offset 12288: batch 3 is not sound, but "
                 "a later one is (journal/0000000000000002.seg at offset 4096)");
    disk_sim_flip(rig.disk, jr_segment(1), 3 * JOURNAL_PAGE_BYTES + 3, 1);
    jr_open(&rig);
    jr_expect_seen(&rig, 4);
}

static void remove_segment(struct jr *r, uint64_t seq)
{
    assert_int_equal(disk_unlink(r->disk, jr_segment(seq)), IOR_OK);
    assert_int_equal(disk_sync_dir(r->disk, JOURNAL_DIR), IOR_OK);
}

/* What: a segment that is missing in the middle is said to be missing. */
static void missing_segment_is_named(void **state)
{
    (void)state;
    jr_put_all(&rig, 1, 9, 40);
    jr_close(&rig);
    remove_segment(&rig, 2);
    expect_error(
        &rig, IOR_E_CORRUPT,
        "3 segments between 0000000000000001.seg and 0000000000000004.seg: one is missing");
}

/* What: the journal of another node, and of another format, is refused and left alone. */
static void foreign_journal_is_refused(void **state)
{
    (void)state;
    small_journal(&rig);
    uint64_t hash = disk_sim_hash(rig.disk);
    rig.params.node_id[3] ^= 1;
    expect_error(&rig, IOR_E_FOREIGN, "journal/0000000000000001.seg: it belongs to another node");
    rig.params.node_id[3] ^= 1;
    uint8_t head[64];
    for (uint64_t i = 0; i < sizeof head; i++) head[i] = disk_sim_byte(rig.disk, jr_segment(2), i);
    ior_put_u32(head + 8, 9);
    uint32_t crc = ior_crc32c(0, head, 60);
    uint32_t was = ior_get_u32(head + 60);
    disk_sim_flip(rig.disk, jr_segment(2), 8, 1 ^ 9);
    for (unsigned i = 0; i < 4; i++)
        disk_sim_flip(rig.disk, jr_segment(2), 60 + i, (uint8_t)((was ^ crc) >> (8 * i)));
    expect_error(&rig, IOR_E_VERSION, "journal/0000000000000002.seg: written in format 9");
    disk_sim_flip(rig.disk, jr_segment(2), 8, 1 ^ 9);
    for (unsigned i = 0; i < 4; i++)
        disk_sim_flip(rig.disk, jr_segment(2), 60 + i, (uint8_t)((was ^ crc) >> (8 * i)));
    assert_true(disk_sim_hash(rig.disk) == hash);
    jr_open(&rig);
    jr_expect_seen(&rig, 4);
}

/* What: files that are no segments do not matter; the remains of a preparation and
 * segments that were made too early go. */
static void leftovers_go(void **state)
{
    (void)state;
    struct disk_file *f;
    struct segment s;
    uint64_t none = 0;
    jr_put_all(&rig, 1, 2, 40);
    jr_close(&rig);
    assert_int_equal(disk_open(rig.disk, JOURNAL_DIR "/prepare.tmp", DISK_CREATE, &f), IOR_OK);
    disk_close(f);
    assert_int_equal(disk_open(rig.disk, JOURNAL_DIR "/notes.txt", DISK_CREATE, &f), IOR_OK);
    disk_close(f);
    for (uint64_t seq = 2; seq <= 4; seq++) {
        assert_int_equal(segment_make(rig.disk, seq, JR_SEGMENT_BYTES, rig.params.node_id, &none,
                                      (struct segment_pace){NULL, NULL}, &s),
                         IOR_OK);
        segment_close(&s);
    }
    assert_int_equal(disk_open(rig.disk, JOURNAL_DIR "/prepare.tmp", DISK_CREATE, &f), IOR_OK);
    disk_close(f);
    jr_open(&rig);
    assert_false(disk_sim_has(rig.disk, JOURNAL_DIR "/prepare.tmp"));
    assert_true(disk_sim_has(rig.disk, JOURNAL_DIR "/notes.txt"));
    assert_true(disk_sim_has(rig.disk, jr_segment(2))); /* the next one: kept */
    assert_false(disk_sim_has(rig.disk, jr_segment(3)));
    assert_false(disk_sim_has(rig.disk, jr_segment(4)));
    assert_false(journal_wants_prepare(rig.journal));
    jr_put_all(&rig, 3, 6, 40);
    jr_close(&rig);
    jr_open(&rig);
    jr_expect_seen(&rig, 6);
}

static enum ior_err refuse_third(void *ctx, const struct record_head *head, struct ior_slice items,
                                 struct ior_why *why)
{
    (void)items;
    ++*(unsigned *)ctx;
    return head->index == 3 ? ior_why_set(why, IOR_E_VERSION, "not this one") : IOR_OK;
}

/* What: what the reader of the records says ends the replay, in his words. */
static void readers_error_ends_it(void **state)
{
    (void)state;
    unsigned calls = 0;
    struct journal *j = NULL;
    small_journal(&rig);
    for (unsigned i = 0; i < JR_WORKERS; i++) worker_init(&rig.workers[i], i, jr_no_wake, NULL);
    assert_int_equal(journal_open(&rig.params, &j, &rig.why), IOR_OK);
    assert_int_equal(journal_replay(j, refuse_third, &calls, &rig.report, &rig.why), IOR_E_VERSION);
    assert_int_equal(calls, 3);
    assert_string_equal(rig.why.text,
                        "journal/0000000000000001.seg: the batch at offset 12288: not this one");
    journal_free(j);
}

/* What: a read that fails, anywhere in a start, is an error and no damage; the next start
 * is fine. */
static void unreadable_is_not_damaged(void **state)
{
    (void)state;
    static const enum disk_sim_op ops[] = {DISK_SIM_OPEN, DISK_SIM_READ, DISK_SIM_SIZE,
                                           DISK_SIM_LIST, DISK_SIM_CHANGE};
    jr_put_all(&rig, 1, 10, 40);
    jr_close(&rig);
    for (size_t o = 0; o < IOR_LEN(ops); o++) {
        unsigned met = 0;
        for (uint64_t n = 1;; n++) {
            disk_sim_fail(rig.disk, ops[o], n, IOR_E_IO, false);
            enum ior_err err = jr_try_open(&rig);
            bool was_met = disk_sim_failed(rig.disk);
            disk_sim_fail(rig.disk, ops[o], 0, IOR_OK, false);
            if (err == IOR_OK) jr_close(&rig);
            if (!was_met) break;
            met++;
            assert_int_equal(err, IOR_E_IO);
            assert_true(rig.why.text[0] != 0);
            assert_null(strstr(rig.why.text, "damage"));
            jr_open(&rig);
            jr_expect_seen(&rig, 10);
            jr_close(&rig);
        }
        assert_true(met > 0);
    }
}

/* ---- every byte, every length ---- */

/* All that was there, or a named error. */
static void expect_right_or_named(struct jr *r, const char *what, uint64_t at)
{
    enum ior_err err = jr_try_open(r);
    if (err == IOR_OK) {
        if (r->seen_count != 4)
            fail_msg("%s %llu: %zu records", what, (unsigned long long)at, r->seen_count);
        jr_expect_seen(r, 4);
        jr_close(r);
        return;
    }
    bool named = err == IOR_E_CORRUPT || err == IOR_E_VERSION || err == IOR_E_FOREIGN;
    if (!named || strstr(r->why.text, ".seg") == NULL)
        fail_msg("%s %llu: %s: %s", what, (unsigned long long)at, ior_err_name(err), r->why.text);
}

/* What: whichever byte of a marked journal is changed: all records, or an error that
 * names the file. */
static void every_changed_byte(void **state)
{
    (void)state;
    static const uint8_t masks[] = {0x01, 0x80, 0xff};
    small_journal(&rig);
    struct disk *good = rig.disk;
    for (uint64_t seq = 1; seq <= 2; seq++) {
        for (uint64_t at = 0; at < JR_SEGMENT_BYTES; at++) {
            /* Of each page what is used, and a little of the zeros behind it. */
            if (at % JOURNAL_PAGE_BYTES > 220) continue;
            for (size_t m = 0; m < sizeof masks; m++) {
                rig.disk = rig.params.disk = disk_sim_copy(good);
                disk_sim_flip(rig.disk, jr_segment(seq), at, masks[m]);
                expect_right_or_named(&rig, seq == 1 ? "segment 1, byte" : "segment 2, byte", at);
                disk_free(rig.disk);
            }
        }
    }
    rig.disk = rig.params.disk = good;
}

/* What: whichever file is cut to whichever length: the same. */
static void every_cut_length(void **state)
{
    (void)state;
    small_journal(&rig);
    struct disk *good = rig.disk;
    for (uint64_t seq = 1; seq <= 2; seq++) {
        for (uint64_t size = 0; size < JR_SEGMENT_BYTES; size++) {
            rig.disk = rig.params.disk = disk_sim_copy(good);
            disk_sim_cut(rig.disk, jr_segment(seq), size);
            expect_right_or_named(&rig, seq == 1 ? "segment 1, cut to" : "segment 2, cut to", size);
            disk_free(rig.disk);
        }
    }
    rig.disk = rig.params.disk = good;
}

/* What: whichever sector or page of a marked journal reads as zeros, or as another one
 * does: the same. */
static void every_misplaced_sector(void **state)
{
    (void)state;
    enum { COUNT = JR_SEGMENT_BYTES / DISK_SECTOR_BYTES };
    small_journal(&rig);
    struct disk *good = rig.disk;
    for (uint64_t to = 0; to < COUNT; to++) {
        for (uint64_t from = 0; from <= COUNT; from++) { /* COUNT: zeros */
            rig.disk = rig.params.disk = disk_sim_copy(good);
            for (uint64_t i = 0; i < DISK_SECTOR_BYTES; i++) {
                uint64_t at = to * DISK_SECTOR_BYTES + i;
                uint8_t now = disk_sim_byte(good, jr_segment(1), at);
                uint8_t new = from == COUNT ? 0
                                            : disk_sim_byte(good, jr_segment(1),
                                                            from * DISK_SECTOR_BYTES + i);
                disk_sim_flip(rig.disk, jr_segment(1), at, now ^ new);
            }
            expect_right_or_named(&rig, "segment 1, sector", to);
            disk_free(rig.disk);
        }
    }
    rig.disk = rig.params.disk = good;
}

#define WITH_JOURNAL(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_JOURNAL(whole_unsynced_batch_is_kept),
        WITH_JOURNAL(torn_batch_is_dropped),
        WITH_JOURNAL(torn_first_batch_then_a_giant),
        WITH_JOURNAL(shown_once_stays),
        WITH_JOURNAL(shown_once_leaves_no_hole),
        WITH_JOURNAL(name_of_a_spare_is_made_sure),
        WITH_JOURNAL(kill_between_name_and_sync),
        WITH_JOURNAL(grown_head_is_made_sure),
        WITH_JOURNAL(damage_names_file_and_offset),
        WITH_JOURNAL(missing_segment_is_named),
        WITH_JOURNAL(foreign_journal_is_refused),
        WITH_JOURNAL(leftovers_go),
        WITH_JOURNAL(readers_error_ends_it),
        WITH_JOURNAL(unreadable_is_not_damaged),
        WITH_JOURNAL(every_changed_byte),
        WITH_JOURNAL(every_cut_length),
        WITH_JOURNAL(every_misplaced_sector),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

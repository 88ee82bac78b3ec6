/* test/unit/store/test_segment.c - the files of the journal: made whole or not at all,
 * recycled without a trace of what was in them, and refused when they are wrong. */
#include "journal_rig.h"

#include <stdio.h>

#include "base/bytes.h"
#include "base/crc32c.h"

enum { SIZE_BYTES = 4 * JOURNAL_PAGE_BYTES };
static const uint8_t node_id[NODE_ID_BYTES] = {9, 8, 7};
static const struct segment_pace no_pace = {NULL, NULL};
static struct disk *disk;

static int set_up(void **state)
{
    (void)state;
    disk = disk_sim_new(3);
    rand_set_seed(5);
    enum ior_err err = disk_mkdir(disk, JOURNAL_DIR);
    if (err == IOR_OK) err = disk_sync_dir(disk, ".");
    return err == IOR_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    disk_free(disk);
    return 0;
}

static enum ior_err make(uint64_t seq, struct segment *ret)
{
    uint64_t none = 0;
    return segment_make(disk, seq, SIZE_BYTES, node_id, &none, no_pace, ret);
}

static enum ior_err open_err(uint64_t seq, struct ior_why *why)
{
    struct segment s;
    why->text[0] = 0;
    enum ior_err err = segment_open(disk, seq, node_id, &s, why);
    if (err == IOR_OK) segment_close(&s);
    return err;
}

static void make_and_close(uint64_t seq)
{
    struct segment s;
    assert_int_equal(make(seq, &s), IOR_OK);
    segment_close(&s);
}

/* ---- names ---- */

/* What: a number gives a name and the name gives the number; nothing else is a name. */
static void names_go_both_ways(void **state)
{
    (void)state;
    static const uint64_t seqs[] = {1, 0xa, 0x123456789abcdef0, UINT64_MAX};
    static const char *const wrong[] = {"",
                                        "1.seg",
                                        "prepare.tmp",
                                        "000000000000000g.seg",
                                        "000000000000000A.seg",
                                        "0000000000000001.sex",
                                        "00000000000000001.seg",
                                        "0000000000000001.seg.",
                                        "-000000000000001.seg"};
    for (size_t i = 0; i < sizeof seqs / sizeof seqs[0]; i++) {
        uint64_t seq = 0;
        char name[DISK_PATH_MAX];
        segment_name(seqs[i], name);
        assert_memory_equal(name, JOURNAL_DIR "/", strlen(JOURNAL_DIR "/"));
        assert_true(segment_name_parse(name + strlen(JOURNAL_DIR "/"), &seq));
        assert_true(seq == seqs[i]);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint64_t seq = 77;
        assert_false(segment_name_parse(wrong[i], &seq));
        assert_int_equal(seq, 77);
    }
}

/* ---- making ---- */

/* What: a new segment is its head and zeros, durable at once under its name. */
static void new_segment_is_whole(void **state)
{
    (void)state;
    struct segment s;
    struct segment again;
    struct ior_why why;
    assert_int_equal(make(7, &s), IOR_OK);
    assert_true(s.seq == 7 && s.size_bytes == SIZE_BYTES);
    uint64_t salt = s.salt;
    segment_close(&s);
    assert_null(s.file);
    disk_sim_crash(disk, DISK_SIM_LOSE_ALL);
    assert_false(disk_sim_has(disk, JOURNAL_DIR "/prepare.tmp"));
    assert_int_equal(disk_sim_size(disk, jr_segment(7)), SIZE_BYTES);
    for (uint64_t at = DISK_SECTOR_BYTES; at < SIZE_BYTES; at++)
        assert_int_equal(disk_sim_byte(disk, jr_segment(7), at), 0);
    assert_int_equal(segment_open(disk, 7, node_id, &again, &why), IOR_OK);
    assert_true(again.salt == salt && again.seq == 7 && again.size_bytes == SIZE_BYTES);
    segment_close(&again);
    assert_int_equal(make(8, &s), IOR_OK);
    assert_true(s.salt != salt);
    segment_close(&s);
}

struct pace_log {
    unsigned calls;
    uint64_t last_done;
};

static void on_pace(void *ctx, uint64_t done_bytes, uint64_t size_bytes)
{
    struct pace_log *log = ctx;
    log->calls++;
    assert_true(done_bytes > log->last_done && done_bytes <= size_bytes);
    log->last_done = done_bytes;
}

/* What: between the pieces of a large one the maker may be asked to wait. */
static void large_segment_is_made_in_pieces(void **state)
{
    (void)state;
    struct segment s;
    struct pace_log log = {0};
    uint64_t none = 0;
    uint64_t size_bytes = 5u << 20;
    assert_int_equal(
        segment_make(disk, 1, size_bytes, node_id, &none, (struct segment_pace){on_pace, &log}, &s),
        IOR_OK);
    assert_true(log.calls > 1);
    assert_true(log.last_done == size_bytes);
    segment_close(&s);
}

/* Whatever happened: a file with a segment's name is a sound one. */
static bool sound_or_not_there(uint64_t seq)
{
    struct ior_why why;
    if (!disk_sim_has(disk, jr_segment(seq))) return false;
    enum ior_err err = open_err(seq, &why);
    if (err != IOR_OK) fail_msg("%s", why.text);
    assert_true(disk_sim_size(disk, jr_segment(seq)) >= SIZE_BYTES);
    return true;
}

/* What: the n-th operation fails, for every n: an error, nothing that looks like a
 * segment but is none, and the next try works. */
static void make_survives_every_error(void **state)
{
    static const enum ior_err errors[] = {IOR_E_IO, IOR_E_NOSPC};
    unsigned failed = 0;
    for (size_t e = 0; e < 2; e++) {
        for (uint64_t n = 1;; n++) {
            struct segment s;
            disk_sim_fail(disk, DISK_SIM_CHANGE, n, errors[e], false);
            enum ior_err err = make(1, &s);
            bool met = disk_sim_failed(disk);
            disk_sim_fail(disk, DISK_SIM_CHANGE, 0, IOR_OK, false);
            if (err == IOR_OK) segment_close(&s);
            if (!met) break;
            failed++;
            assert_int_equal(err, errors[e]);
            assert_int_equal(disk_sim_open_files(disk), 0);
            sound_or_not_there(1);
            make_and_close(1);
            assert_true(sound_or_not_there(1));
            tear_down(state);
            assert_int_equal(set_up(state), 0);
        }
    }
    assert_true(failed >= 10);
}

/* What: no room at any point: NOSPC, and not a byte is left behind. */
static void full_disk_leaves_nothing(void **state)
{
    (void)state;
    struct segment s;
    make_and_close(1);
    uint64_t used = disk_sim_used_bytes(disk);
    for (uint64_t room = 0; room < SIZE_BYTES; room += 1000) {
        disk_sim_set_limit(disk, used + room);
        assert_int_equal(make(2, &s), IOR_E_NOSPC);
        assert_true(disk_sim_used_bytes(disk) == used);
        assert_false(disk_sim_has(disk, JOURNAL_DIR "/prepare.tmp"));
    }
    disk_sim_set_limit(disk, used + SIZE_BYTES);
    assert_int_equal(make(2, &s), IOR_OK);
    segment_close(&s);
}

/* What: the power fails at the n-th operation, for every n and every kind of loss: a
 * sound segment or none. */
static void make_survives_every_power_cut(void **state)
{
    for (int loss = DISK_SIM_KILLED; loss < DISK_SIM_LOSS_COUNT; loss++) {
        bool dead = true;
        for (uint64_t n = 1; dead; n++) {
            struct segment s;
            disk_sim_crash_at(disk, n);
            if (make(1, &s) == IOR_OK) segment_close(&s);
            dead = disk_sim_is_dead(disk);
            disk_sim_crash(disk, (enum disk_sim_loss)loss);
            bool there = sound_or_not_there(1);
            if (!dead) assert_true(there);
            tear_down(state);
            assert_int_equal(set_up(state), 0);
        }
    }
}

/* ---- recycling ---- */

static void put_batch(struct segment *s, uint64_t number)
{
    uint8_t head[BATCH_HEAD_BYTES];
    struct batch_head h = {.number = number, .kind = BATCH_DATA};
    batch_head_put(head, s, &h);
    assert_int_equal(disk_write_buf(s->file, JOURNAL_PAGE_BYTES, head, sizeof head), IOR_OK);
    assert_int_equal(disk_sync(s->file), IOR_OK);
}

static bool has_batch(const struct segment *s)
{
    uint8_t head[BATCH_HEAD_BYTES];
    size_t n;
    struct batch_head h;
    assert_int_equal(disk_read(s->file, JOURNAL_PAGE_BYTES, head, sizeof head, &n), IOR_OK);
    return batch_head_get(head, s, &h);
}

/* What: a recycled segment takes the blocks of an old one, which is gone; what was in it
 * does not pass as a batch of the new one. */
static void recycled_segment_is_new(void **state)
{
    (void)state;
    struct segment old;
    struct segment s;
    assert_int_equal(make(1, &old), IOR_OK);
    put_batch(&old, 5);
    assert_true(has_batch(&old));
    uint64_t salt = old.salt;
    segment_close(&old);
    uint64_t writes = disk_sim_count(disk, DISK_SIM_WRITE);
    uint64_t recycle = 1;
    assert_int_equal(segment_make(disk, 2, SIZE_BYTES, node_id, &recycle, no_pace, &s), IOR_OK);
    assert_int_equal(recycle, 0);
    assert_int_equal(disk_sim_count(disk, DISK_SIM_WRITE) - writes, 1); /* the head, no zeros */
    assert_true(s.salt != salt);
    assert_false(has_batch(&s));
    segment_close(&s);
    assert_false(disk_sim_has(disk, jr_segment(1)));
    assert_true(disk_sim_used_bytes(disk) == SIZE_BYTES);
}

/* What: the power fails at any point of recycling: the old one or the new one or neither
 * is there, sound, and never both. */
static void recycling_survives_every_power_cut(void **state)
{
    for (int loss = DISK_SIM_KILLED; loss < DISK_SIM_LOSS_COUNT; loss++) {
        bool dead = true;
        for (uint64_t n = 1; dead; n++) {
            struct segment s;
            uint64_t recycle = 1;
            make_and_close(1);
            disk_sim_crash_at(disk, n);
            if (segment_make(disk, 2, SIZE_BYTES, node_id, &recycle, no_pace, &s) == IOR_OK)
                segment_close(&s);
            dead = disk_sim_is_dead(disk);
            disk_sim_crash(disk, (enum disk_sim_loss)loss);
            bool old = sound_or_not_there(1);
            bool new = sound_or_not_there(2);
            assert_false(old && new);
            if (!dead) assert_true(new);
            tear_down(state);
            assert_int_equal(set_up(state), 0);
        }
    }
}

/* What: recycling that fails before the old name is gone leaves the old one to its owner. */
static void failed_recycling_says_what_it_took(void **state)
{
    (void)state;
    struct segment s;
    uint64_t recycle = 1;
    make_and_close(1);
    disk_sim_fail(disk, DISK_SIM_RENAME, 1, IOR_E_NOSPC, false);
    assert_int_equal(segment_make(disk, 2, SIZE_BYTES, node_id, &recycle, no_pace, &s),
                     IOR_E_NOSPC);
    assert_int_equal(recycle, 1);
    assert_true(sound_or_not_there(1));
    disk_sim_fail(disk, DISK_SIM_SYNC_DIR, 1, IOR_E_IO, false);
    assert_int_equal(segment_make(disk, 2, SIZE_BYTES, node_id, &recycle, no_pace, &s), IOR_E_IO);
    assert_int_equal(recycle, 0);
}

/* ---- opening ---- */

/* What: every bit of the head counts. */
static void damaged_head_is_refused(void **state)
{
    (void)state;
    struct ior_why why;
    make_and_close(1);
    for (uint64_t at = 0; at < 64; at++) {
        for (int bit = 0; bit < 8; bit++) {
            disk_sim_flip(disk, jr_segment(1), at, (uint8_t)(1 << bit));
            assert_int_equal(open_err(1, &why), IOR_E_CORRUPT);
            assert_non_null(strstr(why.text, "journal/0000000000000001.seg: damage at offset"));
            disk_sim_flip(disk, jr_segment(1), at, (uint8_t)(1 << bit));
        }
    }
    assert_int_equal(open_err(1, &why), IOR_OK);
}

/* Change a field of the head and make its checksum fit. */
static void rewrite_head(uint64_t seq, size_t at, uint64_t value, size_t bytes)
{
    uint8_t head[64];
    size_t n;
    struct disk_file *f;
    assert_int_equal(disk_open(disk, jr_segment(seq), DISK_WRITE, &f), IOR_OK);
    assert_int_equal(disk_read(f, 0, head, sizeof head, &n), IOR_OK);
    memcpy(head + at, &value, bytes);
    ior_put_u32(head + 60, ior_crc32c(0, head, 60));
    assert_int_equal(disk_write_buf(f, 0, head, sizeof head), IOR_OK);
    disk_close(f);
}

/* What: a sound head that says something else: another format, node, number or size. */
static void foreign_heads_are_refused(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint64_t value;
        size_t bytes;
        enum ior_err err;
        const char *text;
    } heads[] = {
        {8, 2, 4, IOR_E_VERSION, "written in format 2; this program reads format 1"},
        {12, 8192, 4, IOR_E_VERSION, "written in format"},
        {16, 2, 8, IOR_E_CORRUPT, "the file holds segment 2"},
        {32, SIZE_BYTES + 1, 8, IOR_E_CORRUPT, "impossible size"},
        {32, JOURNAL_PAGE_BYTES, 8, IOR_E_CORRUPT, "impossible size"},
        {32, 0, 8, IOR_E_CORRUPT, "impossible size"},
        {40, 1, 1, IOR_E_FOREIGN, "it belongs to another node"},
    };
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        struct ior_why why;
        make_and_close(1);
        rewrite_head(1, heads[i].at, heads[i].value, heads[i].bytes);
        assert_int_equal(open_err(1, &why), heads[i].err);
        if (strstr(why.text, heads[i].text) == NULL) fail_msg("%s", why.text);
        tear_down(state);
        assert_int_equal(set_up(state), 0);
    }
}

/* What: a file that is shorter than its head says was cut: what is missing may have held
 * acknowledged records. A longer one is fine. */
static void cut_file_is_refused(void **state)
{
    (void)state;
    struct ior_why why;
    struct disk_file *f;
    make_and_close(1);
    assert_int_equal(disk_open(disk, jr_segment(1), DISK_WRITE, &f), IOR_OK);
    assert_int_equal(disk_write_buf(f, SIZE_BYTES, "more", 4), IOR_OK);
    disk_close(f);
    assert_int_equal(open_err(1, &why), IOR_OK);
    disk_sim_cut(disk, jr_segment(1), SIZE_BYTES);
    assert_int_equal(open_err(1, &why), IOR_OK);
    for (uint64_t size = SIZE_BYTES; size-- > 0;) {
        disk_sim_cut(disk, jr_segment(1), size);
        assert_int_equal(open_err(1, &why), IOR_E_CORRUPT);
        assert_non_null(strstr(why.text, "journal/0000000000000001.seg: damage at offset"));
    }
}

/* What: a file that is not there, or cannot be read, is not called damaged. */
static void unreadable_file_is_no_damage(void **state)
{
    (void)state;
    struct ior_why why;
    assert_int_equal(open_err(1, &why), IOR_E_NOTFOUND);
    make_and_close(1);
    disk_sim_fail(disk, DISK_SIM_READ, 1, IOR_E_IO, false);
    assert_int_equal(open_err(1, &why), IOR_E_IO);
    assert_int_equal(disk_sim_open_files(disk), 0);
}

/* ---- growing ---- */

static enum ior_err grow(struct segment *s, uint64_t pages)
{
    return segment_grow(s, pages * JOURNAL_PAGE_BYTES, node_id);
}

/* What: a grown segment has its new size for good, zeros in it, and the old salt. */
static void grown_segment_is_whole(void **state)
{
    (void)state;
    struct segment s;
    struct ior_why why;
    assert_int_equal(make(1, &s), IOR_OK);
    uint64_t salt = s.salt;
    assert_int_equal(grow(&s, 9), IOR_OK);
    assert_true(s.size_bytes == 9 * JOURNAL_PAGE_BYTES && s.salt == salt);
    segment_close(&s);
    disk_sim_crash(disk, DISK_SIM_LOSE_ALL);
    assert_int_equal(segment_open(disk, 1, node_id, &s, &why), IOR_OK);
    assert_true(s.size_bytes == 9 * JOURNAL_PAGE_BYTES && s.salt == salt);
    segment_close(&s);
}

/* What: no room to grow: NOSPC, as it was before, and it can grow later. */
static void full_disk_leaves_the_old_size(void **state)
{
    (void)state;
    struct segment s;
    assert_int_equal(make(1, &s), IOR_OK);
    disk_sim_set_limit(disk, disk_sim_used_bytes(disk) + 3 * JOURNAL_PAGE_BYTES);
    assert_int_equal(grow(&s, 9), IOR_E_NOSPC);
    assert_true(s.size_bytes == SIZE_BYTES);
    assert_true(disk_sim_size(disk, jr_segment(1)) == SIZE_BYTES);
    disk_sim_set_limit(disk, UINT64_MAX);
    assert_int_equal(grow(&s, 9), IOR_OK);
    segment_close(&s);
}

/* What: the power fails at any point of growing: sound, with the old or the new size. */
static void growing_survives_every_power_cut(void **state)
{
    for (int loss = DISK_SIM_KILLED; loss < DISK_SIM_LOSS_COUNT; loss++) {
        bool dead = true;
        for (uint64_t n = 1; dead; n++) {
            struct segment s;
            struct ior_why why;
            assert_int_equal(make(1, &s), IOR_OK);
            disk_sim_crash_at(disk, n);
            enum ior_err err = grow(&s, 9);
            segment_close(&s);
            dead = disk_sim_is_dead(disk);
            assert_int_equal(err, dead ? IOR_E_IO : IOR_OK);
            disk_sim_crash(disk, (enum disk_sim_loss)loss);
            assert_int_equal(segment_open(disk, 1, node_id, &s, &why), IOR_OK);
            assert_true(s.size_bytes == SIZE_BYTES || s.size_bytes == 9 * JOURNAL_PAGE_BYTES);
            if (!dead) assert_true(s.size_bytes == 9 * JOURNAL_PAGE_BYTES);
            segment_close(&s);
            tear_down(state);
            assert_int_equal(set_up(state), 0);
        }
    }
}

/* ---- batch heads ---- */

/* What: a batch head reads back in its own segment, in no other one, and with no bit
 * changed. */
static void batch_head_belongs_to_its_segment(void **state)
{
    (void)state;
    struct segment s = {.salt = 0x1122334455667788};
    struct segment other = {.salt = 0x1122334455667789};
    struct batch_head h = {.number = 12,
                           .time_ms = 34,
                           .length_bytes = 560,
                           .count = 7,
                           .body_crc = 0xdeadbeef,
                           .kind = BATCH_MARK};
    struct batch_head again;
    uint8_t bytes[BATCH_HEAD_BYTES];
    batch_head_put(bytes, &s, &h);
    assert_true(batch_head_get(bytes, &s, &again));
    assert_true(again.number == 12 && again.time_ms == 34 && again.length_bytes == 560);
    assert_true(again.count == 7 && again.body_crc == 0xdeadbeef && again.kind == BATCH_MARK);
    assert_false(batch_head_get(bytes, &other, &again));
    assert_int_not_equal(batch_body_crc_start(&s), batch_body_crc_start(&other));
    for (size_t i = 0; i < sizeof bytes; i++) {
        for (int bit = 0; bit < 8; bit++) {
            bytes[i] ^= (uint8_t)(1 << bit);
            assert_false(batch_head_get(bytes, &s, &again));
            bytes[i] ^= (uint8_t)(1 << bit);
        }
    }
}

/* What: a batch takes whole pages. */
static void batches_take_pages(void **state)
{
    (void)state;
    static const uint64_t pages[][2] = {
        {0, 1}, {1, 1}, {4032, 1}, {4033, 2}, {8128, 2}, {8129, 3}, {1u << 30, (1u << 18) + 1}};
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++)
        assert_true(batch_bytes(pages[i][0]) == pages[i][1] * JOURNAL_PAGE_BYTES);
}

#define WITH_DISK(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_go_both_ways),
        WITH_DISK(new_segment_is_whole),
        WITH_DISK(large_segment_is_made_in_pieces),
        WITH_DISK(make_survives_every_error),
        WITH_DISK(full_disk_leaves_nothing),
        WITH_DISK(make_survives_every_power_cut),
        WITH_DISK(recycled_segment_is_new),
        WITH_DISK(recycling_survives_every_power_cut),
        WITH_DISK(failed_recycling_says_what_it_took),
        WITH_DISK(damaged_head_is_refused),
        WITH_DISK(foreign_heads_are_refused),
        WITH_DISK(cut_file_is_refused),
        WITH_DISK(unreadable_file_is_no_damage),
        WITH_DISK(grown_segment_is_whole),
        WITH_DISK(full_disk_leaves_the_old_size),
        WITH_DISK(growing_survives_every_power_cut),
        cmocka_unit_test(batch_head_belongs_to_its_segment),
        cmocka_unit_test(batches_take_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

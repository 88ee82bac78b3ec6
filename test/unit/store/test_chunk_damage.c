/* test/unit/store/test_chunk_damage.c - chunks that are not as they were written: every byte
 * flipped, every length, other files under the name, and bytes that lie with good checksums.
 * The answer is always the right events or CORRUPT with file and offset, never wrong bytes
 * (cr_read() checks each byte that comes). */
#include "chunk_rig.h"

#include <stdio.h>

#include "base/crc32c.h"

enum { LAST = CR_FIRST + 11 };

static void expect_damage(enum ior_err err)
{
    const char *path = cr_path();
    assert_int_equal(err, IOR_E_CORRUPT);
    assert_memory_equal(cr_why.text, path, strlen(path));
    assert_non_null(strstr(cr_why.text, ": damage at offset "));
}

/* Reads everything in every order; how many of the events came, at least from the first on. */
static uint64_t read_what_is_good(const struct chunk_state *state)
{
    struct chunk_reader *r = NULL;
    enum ior_err err = cr_try_open(state, &r);
    if (err != IOR_OK) {
        expect_damage(err);
        return 0;
    }
    uint64_t good = 0;
    size_t n = 0;
    uint64_t last = chunk_reader_state(r)->last_seqnum;
    assert_true(last <= LAST);
    for (uint64_t at = last; at >= CR_FIRST; at--) {
        err = cr_read(r, at, 1, &n);
        if (err == IOR_OK) {
            assert_int_equal(n, 1);
            good++;
        } else {
            expect_damage(err);
        }
    }
    uint64_t found = 0;
    err = cr_read_all(r, CR_FIRST, 5, &found);
    if (err != IOR_OK) {
        expect_damage(err);
    } else {
        assert_true(found == last);
    }
    chunk_close(r);
    return good;
}

/* What: whichever byte is wrong, no wrong event comes; and only the event with the wrong byte
 * is missing where another way to the others is there. */
static void every_byte_flipped(void **state)
{
    static const uint8_t masks[] = {0x01, 0x80, 0xff};
    for (unsigned how = 0; how < 2 * IOR_LEN(masks); how++) {
        cr_tear_down(state);
        cr_set_up(state);
        uint8_t mask = masks[how / 2];
        struct chunk_state made = cr_make(LAST, 4, how % 2 != 0);
        uint64_t size_bytes = disk_sim_size(cr_disk, cr_path());
        size_t head_bytes = ior_align(CHUNK_HEAD_BYTES + 10, 8);
        for (uint64_t at = 0; at < size_bytes; at++) {
            disk_sim_flip(cr_disk, cr_path(), at, mask);
            uint64_t good = read_what_is_good(&made);
            if (at < head_bytes) assert_int_equal(good, 0);
            if (at >= made.end_bytes) assert_int_equal(good, LAST - CR_FIRST + 1);
            uint64_t scanned = read_what_is_good(NULL);
            if (at >= made.end_bytes) assert_int_equal(scanned, LAST - CR_FIRST + 1);
            disk_sim_flip(cr_disk, cr_path(), at, mask);
        }
        assert_int_equal(read_what_is_good(&made), LAST - CR_FIRST + 1);
    }
}

/* What: the same before a resume: sealing says CORRUPT, or what it seals is right. */
static void every_byte_flipped_before_seal(void **state)
{
    (void)state;
    struct chunk_state made = cr_make(LAST - 1, 4, false);
    for (uint64_t at = 0; at < made.end_bytes; at++) {
        struct chunk_writer *w = NULL;
        disk_sim_flip(cr_disk, cr_path(), at, 0x10);
        enum ior_err err = cr_try_resume(&made, &w);
        if (err != IOR_OK) {
            expect_damage(err);
        } else {
            assert_int_equal(cr_append(w, LAST, LAST), IOR_OK);
            err = chunk_seal(w);
            assert_true(err == IOR_OK || err == IOR_E_CORRUPT);
            assert_true(chunk_writer_state(w)->sealed == (err == IOR_OK));
            struct chunk_state now = *chunk_writer_state(w);
            chunk_writer_close(w);
            uint64_t good = read_what_is_good(&now);
            if (err == IOR_OK) assert_int_equal(good, LAST - CR_FIRST + 1);
        }
        disk_sim_flip(cr_disk, cr_path(), at, 0x10);
    }
}

/* What: a file that was cut anywhere: with the catalog what is missing is CORRUPT, without it
 * the chunk is as long as it is. A cut one is not written to. */
static void every_truncation(void **state)
{
    for (unsigned sealed = 0; sealed < 2; sealed++) {
        cr_tear_down(state);
        cr_set_up(state);
        struct chunk_state made = cr_make(LAST, 4, sealed != 0);
        struct chunk_state open = made;
        open.sealed = false;
        size_t head_bytes = ior_align(CHUNK_HEAD_BYTES + 10, 8);
        uint64_t before = LAST - CR_FIRST + 1;
        uint64_t size_bytes = disk_sim_size(cr_disk, cr_path());
        while (size_bytes-- > 0) {
            struct chunk_writer *w = NULL;
            disk_sim_cut(cr_disk, cr_path(), size_bytes);
            uint64_t good = read_what_is_good(&made);
            assert_int_equal(read_what_is_good(NULL), good);
            assert_true(good <= before);
            before = good;
            if (size_bytes >= made.end_bytes) assert_int_equal(good, LAST - CR_FIRST + 1);
            if (size_bytes < made.end_bytes) {
                assert_true(good < LAST - CR_FIRST + 1);
                expect_damage(cr_try_resume(&open, &w));
            }
            if (size_bytes < head_bytes) {
                struct chunk_reader *r = NULL;
                expect_damage(cr_try_open(NULL, &r));
            }
        }
    }
}

/* ---- without a catalog ---- */

/* What: a torn end is the end; damage in front of a sound entry is damage, and named. */
static void torn_or_damaged(void **state)
{
    (void)state;
    struct chunk_reader *r = NULL;
    struct chunk_writer *w = cr_create();
    uint64_t ends[LAST + 1] = {0};
    for (uint64_t at = CR_FIRST; at <= LAST; at++) {
        assert_int_equal(cr_append(w, at, at), IOR_OK);
        ends[at] = chunk_writer_state(w)->end_bytes;
    }
    assert_int_equal(chunk_sync(w), IOR_OK);
    chunk_writer_close(w);
    disk_sim_flip(cr_disk, cr_path(), ends[LAST - 1] + 30, 4);
    r = cr_open(NULL);
    cr_expect(r, CR_FIRST, LAST - 1, 3);
    assert_true(chunk_reader_state(r)->end_bytes == ends[LAST - 1]);
    chunk_close(r);
    disk_sim_flip(cr_disk, cr_path(), ends[LAST - 1] + 30, 4);
    disk_sim_flip(cr_disk, cr_path(), ends[LAST - 3] + 3, 0x40); /* a length */
    char offset[64];
    expect_damage(cr_try_open(NULL, &r));
    snprintf(offset, sizeof offset, "damage at offset %llu:", (unsigned long long)ends[LAST - 3]);
    assert_non_null(strstr(cr_why.text, offset));
    snprintf(offset, sizeof offset, "event %llu is behind it", (unsigned long long)LAST - 1);
    assert_non_null(strstr(cr_why.text, offset));
}

/* What: the sound entry behind the damage is found wherever it lies, far behind as well. */
static void later_entries_are_found(void **state)
{
    (void)state;
    static uint8_t zeros[3 * CHUNK_BLOCK_BYTES];
    static const size_t gaps[] = {8,
                                  4096,
                                  CHUNK_BLOCK_BYTES - 8,
                                  CHUNK_BLOCK_BYTES + 65536,
                                  CHUNK_BLOCK_BYTES + 65536 + 104,
                                  sizeof zeros};
    struct chunk_state made = cr_make(CR_FIRST, 1, false);
    struct chunk_state more = cr_make(CR_FIRST + 1, 1, false);
    size_t size_bytes = 0;
    uint8_t *bytes = cr_bytes(cr_path(), &size_bytes);
    for (size_t i = 0; i < IOR_LEN(gaps); i++) {
        struct chunk_reader *r = NULL;
        size_t n = (size_t)(more.end_bytes - made.end_bytes);
        disk_sim_cut(cr_disk, cr_path(), made.end_bytes);
        cr_put_bytes(cr_path(), made.end_bytes, zeros, gaps[i]);
        r = cr_open(NULL); /* zeros alone are a torn end */
        cr_expect_state(chunk_reader_state(r), &made);
        chunk_close(r);
        cr_put_bytes(cr_path(), made.end_bytes + gaps[i], bytes + made.end_bytes, n);
        expect_damage(cr_try_open(NULL, &r));
        cr_put_bytes(cr_path(), made.end_bytes + gaps[i], bytes + made.end_bytes, n - 8);
        disk_sim_flip(cr_disk, cr_path(), made.end_bytes + gaps[i] + 16, 1);
        r = cr_open(NULL); /* and so is one that is not sound */
        chunk_close(r);
        /* An old entry proves nothing. */
        cr_put_bytes(cr_path(), made.end_bytes + gaps[i], bytes + made.end_bytes - 104, 104);
        r = cr_open(NULL);
        cr_expect(r, CR_FIRST, CR_FIRST, 3);
        chunk_close(r);
    }
    free(bytes);
}

/* What: bytes behind a footer make it no footer; the events are there all the same. */
static void bytes_behind_the_footer(void **state)
{
    (void)state;
    static const uint8_t junk[100] = {1, 2, 3};
    struct chunk_state made = cr_make(LAST, 4, true);
    cr_put_bytes(cr_path(), disk_sim_size(cr_disk, cr_path()), junk, sizeof junk);
    assert_int_equal(read_what_is_good(&made), LAST - CR_FIRST + 1);
    assert_int_equal(read_what_is_good(NULL), LAST - CR_FIRST + 1);
}

/* ---- another file ---- */

/* What: the file of another stream, partition or chunk under this name is CORRUPT. */
static void other_chunks(void **state)
{
    (void)state;
    struct chunk_state made = cr_make(LAST, 4, true);
    size_t size_bytes = 0;
    uint8_t *bytes = cr_bytes(cr_path(), &size_bytes);
    for (unsigned how = 0; how < 3; how++) {
        struct chunk_id id = cr_id();
        struct chunk_writer *w = NULL;
        struct chunk_reader *r = NULL;
        char path[DISK_PATH_MAX];
        bool fresh = false;
        if (how == 0) id.partition++;
        if (how == 1) id.uid++;
        if (how == 2) id.first_seqnum++;
        assert_int_equal(chunk_create(cr_disk, &id, &w, &fresh), IOR_OK);
        chunk_writer_close(w);
        chunk_path(id.partition, id.uid, id.first_seqnum, path);
        cr_put_bytes(path, 0, bytes, size_bytes);
        for (unsigned with_state = 0; with_state < 2; with_state++) {
            assert_int_equal(chunk_open(cr_disk, id.partition, id.uid, id.first_seqnum,
                                        with_state != 0 ? &made : NULL, &r, &cr_why),
                             IOR_E_CORRUPT);
            assert_memory_equal(cr_why.text, path, strlen(path));
            assert_non_null(strstr(cr_why.text, "damage at offset 16"));
        }
        struct chunk_state open = made;
        open.sealed = false;
        assert_int_equal(chunk_resume(cr_disk, &id, &open, &w, &cr_why), IOR_E_CORRUPT);
    }
    free(bytes);
    /* Other names: the same stream to the reader, but no writer goes on there. */
    struct chunk_id id = cr_id();
    struct chunk_writer *w = NULL;
    made.sealed = false;
    id.stream = IOR_SLICE("2025");
    assert_int_equal(chunk_resume(cr_disk, &id, &made, &w, &cr_why), IOR_E_CORRUPT);
    id = cr_id();
    id.bucket = IOR_SLICE("ordert");
    assert_int_equal(chunk_resume(cr_disk, &id, &made, &w, &cr_why), IOR_E_CORRUPT);
}

/* What: entries of another stream do not pass under a head of this one. */
static void other_streams_entries(void **state)
{
    (void)state;
    struct chunk_state made = cr_make(LAST, 4, false);
    size_t size_bytes = 0;
    uint8_t *bytes = cr_bytes(cr_path(), &size_bytes);
    struct chunk_id id = cr_id();
    struct chunk_writer *w = NULL;
    struct chunk_reader *r = NULL;
    char path[DISK_PATH_MAX];
    bool fresh = false;
    size_t n = 0;
    struct chunk_entry e;
    struct ior_blob *blob = NULL;
    id.partition++;
    assert_int_equal(chunk_create(cr_disk, &id, &w, &fresh), IOR_OK);
    chunk_writer_close(w);
    chunk_path(id.partition, id.uid, id.first_seqnum, path);
    chunk_head_put(bytes, &id);
    cr_put_bytes(path, 0, bytes, size_bytes);
    free(bytes);
    assert_int_equal(chunk_open(cr_disk, id.partition, id.uid, id.first_seqnum, &made, &r, &cr_why),
                     IOR_OK);
    assert_int_equal(chunk_read(r, CR_FIRST, &e, 1, &n, &blob, &cr_why), IOR_E_CORRUPT);
    chunk_close(r);
    assert_int_equal(chunk_open(cr_disk, id.partition, id.uid, id.first_seqnum, NULL, &r, &cr_why),
                     IOR_OK);
    assert_true(chunk_reader_state(r)->last_seqnum == CR_FIRST - 1);
    chunk_close(r);
}

/* A head with this u32 at this offset and a good checksum. */
static void put_head_u32(size_t offset, uint32_t value)
{
    struct chunk_id id = cr_id();
    uint8_t head[CHUNK_HEAD_BYTES_MAX];
    size_t n = chunk_head_bytes(&id);
    chunk_head_put(head, &id);
    ior_put_u32(head + offset, value);
    ior_put_u32(head + 44, 0);
    ior_put_u32(head + 44, ior_crc32c(0, head, n));
    cr_put_bytes(cr_path(), 0, head, n);
}

/* What: another version is VERSION, for reader and writer; heads that lie are CORRUPT. */
static void versions_and_heads(void **state)
{
    (void)state;
    struct chunk_reader *r = NULL;
    struct chunk_writer *w = NULL;
    struct chunk_state made = cr_make(LAST, 4, false);
    put_head_u32(8, 2);
    assert_int_equal(cr_try_open(&made, &r), IOR_E_VERSION);
    assert_memory_equal(cr_why.text, cr_path(), strlen(cr_path()));
    assert_int_equal(cr_try_open(NULL, &r), IOR_E_VERSION);
    assert_int_equal(cr_try_resume(&made, &w), IOR_E_VERSION);
    static const struct {
        size_t offset;
        uint32_t value;
    } lies[] = {{12, 0},          {12, 56},         {12, UINT32_MAX}, {28, UINT32_MAX}, {36, 0},
                {36, 0x00040000}, {36, 0x00040010}, {36, UINT32_MAX}, {32, 40},         {16, 0}};
    for (size_t i = 0; i < IOR_LEN(lies); i++) {
        put_head_u32(lies[i].offset, lies[i].value);
        expect_damage(cr_try_open(&made, &r));
        expect_damage(cr_try_resume(&made, &w));
    }
    put_head_u32(40, 7); /* zero is not looked at */
    assert_int_equal(read_what_is_good(&made), LAST - CR_FIRST + 1);
    assert_int_equal(chunk_open(cr_disk, CR_PARTITION, CR_UID, 99, NULL, &r, &cr_why),
                     IOR_E_NOTFOUND);
    assert_non_null(strstr(cr_why.text, "0000000000000063.chunk"));
}

/* ---- bytes that lie ---- */

/* An entry whose length, attributes or payload say what they like, checksum good as far as
 * what it covers is there. */
static void put_entry(uint64_t offset, uint32_t length, uint32_t attrs, uint32_t payload)
{
    uint8_t entry[CHUNK_ENTRY_BYTES_MIN] = {0};
    ior_put_u32(entry, length);
    uint8_t *item = entry + CHUNK_ENTRY_BYTES;
    item_write(item, ITEM_APPEND, 0, 0, ior_slice(NULL, 0));
    item_set_place(item, CR_UID, CR_FIRST, 1);
    ior_put_u32(item + 4, attrs);
    ior_put_u32(item + 8, payload);
    uint32_t crc = ior_crc32c(chunk_seed(CR_PARTITION, CR_UID), entry + 8, 16);
    crc = ior_crc32c(crc, entry, 4);
    ior_put_u32(entry + 4, ior_crc32c(crc, item, ITEM_HEAD_BYTES));
    cr_put_bytes(cr_path(), offset, entry, sizeof entry);
}

/* What: no length is followed further than the file goes, even when the catalog's word does. */
static void lengths_that_lie(void **state)
{
    (void)state;
    static const struct {
        uint32_t length;
        uint32_t attrs;
        uint32_t payload;
    } lies[] = {{0, 0, 0},
                {8, 0, 0},
                {56, 0, 0},
                {65, 0, 0},
                {72, 0, 0},
                {64, 0, 1},
                {64, 8, 0},
                {UINT32_MAX, 0, 0},
                {0xfffffff8u, 0, 0xffffffb8u},
                {RECORD_BYTES_MAX, 0, RECORD_BYTES_MAX - 64},
                {1u << 30, 0, (1u << 30) - 64},
                {64, UINT32_MAX, 0},
                {64, 0, UINT32_MAX},
                {128, 64, 0}};
    struct chunk_state made = cr_make(CR_FIRST, 1, false);
    size_t head_bytes = ior_align(CHUNK_HEAD_BYTES + 10, 8);
    struct chunk_state far = made;
    far.end_bytes = (uint64_t)1 << 40;
    for (size_t i = 0; i < IOR_LEN(lies); i++) {
        struct chunk_reader *r = NULL;
        size_t n = 0;
        put_entry(head_bytes, lies[i].length, lies[i].attrs, lies[i].payload);
        assert_int_equal(read_what_is_good(&made), 0);
        assert_int_equal(read_what_is_good(NULL), 0);
        r = cr_open(&far);
        uint64_t reads = disk_sim_count(cr_disk, DISK_SIM_READ);
        expect_damage(cr_read(r, CR_FIRST, 1, &n));
        assert_int_equal(disk_sim_count(cr_disk, DISK_SIM_READ) - reads, 1); /* the first look */
        chunk_close(r);
    }
}

/* What: a catalog's word that cannot be is CORRUPT, at once or when it shows. */
static void states_that_lie(void **state)
{
    (void)state;
    struct chunk_reader *r = NULL;
    struct chunk_writer *w = NULL;
    struct chunk_state made = cr_make(LAST, 4, false);
    struct chunk_state lies[6] = {made, made, made, made, made, made};
    lies[0].end_bytes = 0;
    lies[1].end_bytes += 4;
    lies[2].last_seqnum = CR_FIRST - 2;
    lies[3].last_seqnum = UINT64_MAX;
    lies[4].last_seqnum = CR_FIRST - 1;
    lies[5].end_bytes = 56;
    for (size_t i = 0; i < IOR_LEN(lies); i++) {
        expect_damage(cr_try_open(&lies[i], &r));
        expect_damage(cr_try_resume(&lies[i], &w));
    }
    struct chunk_state more = made;
    uint64_t found = 0;
    more.last_seqnum++;
    r = cr_open(&more);
    expect_damage(cr_read_all(r, CR_FIRST, 4, &found));
    assert_int_equal(found, LAST);
    chunk_close(r);
    w = cr_resume(&more);
    assert_int_equal(chunk_seal(w), IOR_E_CORRUPT);
    chunk_writer_close(w);
    /* The end of a catalog in the middle of an entry: nothing from there on. */
    struct chunk_state less = made;
    less.end_bytes -= 8;
    r = cr_open(&less);
    expect_damage(cr_read_all(r, CR_FIRST, 4, &found));
    assert_int_equal(found, LAST - 1);
    chunk_close(r);
}

/* What: a footer with a good checksum and wrong marks: the events are right, or CORRUPT. */
static void footers_that_lie(void **state)
{
    (void)state;
    struct chunk_state made = cr_make(LAST, 4, true);
    size_t head_bytes = ior_align(CHUNK_HEAD_BYTES + 10, 8);
    const struct chunk_mark first = {CR_FIRST, head_bytes};
    const struct chunk_mark second[] = {
        {CR_FIRST, head_bytes},         {CR_FIRST - 1, head_bytes + 80},
        {LAST + 1, head_bytes + 80},    {CR_FIRST + 1, made.end_bytes},
        {CR_FIRST + 1, UINT64_MAX - 7}, {CR_FIRST + 1, head_bytes + 4}};
    uint8_t footer[4 * CHUNK_MARK_BYTES + CHUNK_TAIL_BYTES];
    uint32_t seed = chunk_seed(CR_PARTITION, CR_UID);
    for (size_t i = 0; i < IOR_LEN(second); i++) {
        struct chunk_mark marks[] = {first, second[i]};
        chunk_footer_put(footer, seed, &made, marks, 2);
        disk_sim_cut(cr_disk, cr_path(), made.end_bytes);
        cr_put_bytes(cr_path(), made.end_bytes, footer, chunk_footer_bytes(2));
        assert_int_equal(read_what_is_good(&made), LAST - CR_FIRST + 1);
        assert_int_equal(read_what_is_good(NULL), LAST - CR_FIRST + 1);
    }
    struct chunk_mark inside[] = {first, {CR_FIRST + 1, head_bytes + 16}};
    chunk_footer_put(footer, seed, &made, inside, 2);
    cr_put_bytes(cr_path(), made.end_bytes, footer, chunk_footer_bytes(2));
    assert_true(read_what_is_good(&made) < LAST - CR_FIRST + 1);
    assert_true(read_what_is_good(NULL) < LAST - CR_FIRST + 1);
    /* It speaks of more, or of another chunk: it is none. */
    struct chunk_state more = made;
    more.last_seqnum++;
    chunk_footer_put(footer, seed, &more, &first, 1);
    disk_sim_cut(cr_disk, cr_path(), made.end_bytes);
    cr_put_bytes(cr_path(), made.end_bytes, footer, chunk_footer_bytes(1));
    assert_int_equal(read_what_is_good(&made), LAST - CR_FIRST + 1);
    chunk_footer_put(footer, seed + 1, &made, &first, 1);
    cr_put_bytes(cr_path(), made.end_bytes, footer, chunk_footer_bytes(1));
    assert_int_equal(read_what_is_good(&made), LAST - CR_FIRST + 1);
    assert_int_equal(read_what_is_good(NULL), LAST - CR_FIRST + 1);
}

/* What: a sound footer that does not begin where the entries end is none. */
static void footer_at_another_place(void **state)
{
    (void)state;
    struct chunk_state made = cr_make(LAST, 4, true);
    size_t size_bytes = 0;
    uint8_t *bytes = cr_bytes(cr_path(), &size_bytes);
    cr_put_bytes(cr_path(), made.end_bytes, (uint8_t[8]){0}, 8);
    cr_put_bytes(cr_path(), made.end_bytes + 8, bytes + made.end_bytes,
                 size_bytes - (size_t)made.end_bytes);
    free(bytes);
    struct chunk_reader *r = cr_open(NULL);
    assert_false(chunk_reader_state(r)->sealed);
    cr_expect(r, CR_FIRST, LAST, 4);
    chunk_close(r);
    assert_int_equal(read_what_is_good(&made), LAST - CR_FIRST + 1);
}

/* What: sound entries in the wrong order are not given out: one is missing, or comes twice. */
static void entries_out_of_order(void **state)
{
    (void)state;
    uint64_t ends[4];
    size_t size_bytes = 0;
    for (uint64_t i = 0; i < 4; i++) ends[i] = cr_make(CR_FIRST + i, 1, false).end_bytes;
    struct chunk_state made = cr_make(CR_FIRST + 3, 1, false);
    uint8_t *bytes = cr_bytes(cr_path(), &size_bytes);
    cr_put_bytes(cr_path(), ends[1], bytes + ends[2], size_bytes - (size_t)ends[2]);
    struct chunk_reader *r = NULL;
    uint64_t found = 0;
    expect_damage(cr_try_open(NULL, &r));
    r = cr_open(&made);
    expect_damage(cr_read_all(r, CR_FIRST, 4, &found));
    assert_int_equal(found, CR_FIRST + 1);
    chunk_close(r);
    disk_sim_cut(cr_disk, cr_path(), ends[1]);
    cr_put_bytes(cr_path(), ends[1], bytes + ends[0], (size_t)(ends[1] - ends[0]));
    r = cr_open(NULL); /* an old entry is garbage */
    cr_expect(r, CR_FIRST, CR_FIRST + 1, 4);
    chunk_close(r);
    free(bytes);
}

/* What: a tail that says it has 4 billion marks is no footer. */
static void tails_that_lie(void **state)
{
    (void)state;
    struct chunk_state made = cr_make(LAST, 4, true);
    uint64_t tail = disk_sim_size(cr_disk, cr_path()) - CHUNK_TAIL_BYTES;
    static const uint32_t counts[] = {0, 2, 30, 100, 0x10000000u, UINT32_MAX};
    for (size_t i = 0; i < IOR_LEN(counts); i++) {
        uint8_t bytes[4];
        ior_put_u32(bytes, counts[i]);
        cr_put_bytes(cr_path(), tail, bytes, sizeof bytes);
        assert_int_equal(read_what_is_good(&made), LAST - CR_FIRST + 1);
        assert_int_equal(read_what_is_good(NULL), LAST - CR_FIRST + 1);
    }
}

/* What: an error of the disk is IO, not damage and not an end. */
static void io_is_not_damage(void **state)
{
    (void)state;
    struct chunk_state made = cr_make(LAST, 4, true);
    for (unsigned with_state = 0; with_state < 2; with_state++) {
        for (uint64_t n = 1;; n++) {
            struct chunk_reader *r = NULL;
            size_t count = 0;
            disk_sim_fail(cr_disk, DISK_SIM_READ, n, IOR_E_IO, false);
            enum ior_err err = cr_try_open(with_state != 0 ? &made : NULL, &r);
            if (err == IOR_OK) {
                err = cr_read(r, CR_FIRST, 5, &count);
                if (err == IOR_OK && !disk_sim_failed(cr_disk)) {
                    assert_int_equal(count, 5);
                    assert_in_range(n, 3, 6);
                    chunk_close(r);
                    break;
                }
            }
            assert_int_equal(err, IOR_E_IO);
            assert_int_not_equal(cr_why.text[0], 0);
            if (r != NULL) cr_expect(r, CR_FIRST, LAST, 5); /* the reader is as good as before */
            chunk_close(r);
        }
    }
    disk_sim_fail(cr_disk, DISK_SIM_READ, 0, IOR_OK, false);
}

#define T(f) cmocka_unit_test_setup_teardown(f, cr_set_up, cr_tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(every_byte_flipped),
        T(every_byte_flipped_before_seal),
        T(every_truncation),
        T(torn_or_damaged),
        T(later_entries_are_found),
        T(bytes_behind_the_footer),
        T(other_chunks),
        T(other_streams_entries),
        T(versions_and_heads),
        T(lengths_that_lie),
        T(states_that_lie),
        T(footers_that_lie),
        T(footer_at_another_place),
        T(entries_out_of_order),
        T(tails_that_lie),
        T(io_is_not_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

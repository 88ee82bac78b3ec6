/* test/unit/store/test_chunk.c - chunks: what goes in comes out, in few writes and reads, over
 * garbage of former lives, after faults and power cuts at every step. */
#include "chunk_rig.h"

#include <stdio.h>

/* ---- names and bytes ---- */

/* What: the path follows from partition, uid and first seqnum, and a name gives the seqnum. */
static void names_go_both_ways(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "1.chunk",
                                        "000000000000000g.chunk",
                                        "000000000000000A.chunk",
                                        "0000000000000001.chunks",
                                        "00000000000000001.chunk",
                                        "0000000000000001.seg"};
    char path[DISK_PATH_MAX];
    uint64_t seqnum = 77;
    chunk_folder(63, 0x0123456789abcdef, path);
    assert_string_equal(path, "p63/ef/0123456789abcdef");
    chunk_path(0, UINT64_MAX, 0x1a, path);
    assert_string_equal(path, "p0/ff/ffffffffffffffff/000000000000001a.chunk");
    for (size_t i = 0; i < IOR_LEN(wrong); i++) {
        assert_false(chunk_name_parse(wrong[i], &seqnum));
        assert_int_equal(seqnum, 77);
    }
    assert_true(chunk_name_parse("fedcba9876543210.chunk", &seqnum));
    assert_true(seqnum == 0xfedcba9876543210u);
}

/* The bytes of the annotated dump under this heading of docs/formats.rst. */
static size_t dump_of(const char *heading, uint8_t *out, size_t room)
{
    char line[512];
    bool here = false;
    size_t n = 0;
    FILE *f = fopen("docs/formats.rst", "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL) {
        unsigned at = 0;
        unsigned byte = 0;
        int used = 0;
        if (strncmp(line, heading, strlen(heading)) == 0) here = true;
        if (here && n > 0 && line[0] != ' ' && line[0] != '\n') break;
        if (!here || sscanf(line, "    %8x %n", &at, &used) != 1 || used < 14) continue;
        assert_int_equal(at, n);
        for (const char *c = line + 14; sscanf(c, "%2x", &byte) == 1 && c[2] != 0; c += 3) {
            assert_true(n < room);
            out[n++] = (uint8_t)byte;
            if (c[2] != ' ' || c[3] == ' ') break; /* two blanks: what it means */
        }
    }
    fclose(f);
    return n;
}

/* What: a chunk has exactly the bytes that docs/formats.rst shows. */
static void bytes_are_documented(void **state)
{
    (void)state;
    static const struct chunk_id id = {
        .partition = 39, .uid = 0x3f34abc24ca2374d, .first_seqnum = 1};
    struct chunk_id named = id;
    named.bucket = IOR_SLICE("orders");
    named.stream = IOR_SLICE("2024");
    uint8_t shown[1024];
    uint8_t item[64];
    char path[DISK_PATH_MAX];
    size_t size_bytes = 0;
    bool fresh = false;
    struct chunk_writer *w = NULL;
    item_write(item, ITEM_APPEND, ITEM_FLAG_JSON, 0, IOR_SLICE("{\"n\":1}"));
    item_set_place(item, id.uid, 1, 1);
    struct chunk_event e = {ior_slice(item, item_bytes(0, 7)), 1, 1795241107419};
    assert_int_equal(chunk_create(cr_disk, &named, &w, &fresh), IOR_OK);
    assert_int_equal(chunk_append(w, &e, 1), IOR_OK);
    assert_int_equal(chunk_seal(w), IOR_OK);
    chunk_writer_close(w);
    chunk_path(id.partition, id.uid, 1, path);
    uint8_t *bytes = cr_bytes(path, &size_bytes);
    assert_int_equal(dump_of("A chunk, byte by byte", shown, sizeof shown), size_bytes);
    assert_memory_equal(shown, bytes, size_bytes);
    free(bytes);
}

/* ---- round trips ---- */

static void read_in_many_ways(const struct chunk_state *state, uint64_t last)
{
    static const size_t steps[] = {1, 7, 256, CR_MAX};
    struct chunk_reader *r = NULL;
    for (size_t i = 0; i < IOR_LEN(steps); i++) {
        r = cr_open(state);
        cr_expect(r, CR_FIRST, last, steps[i]);
        chunk_close(r);
    }
    size_t n = 0;
    r = cr_open(state);
    for (uint64_t at = last; at >= CR_FIRST; at -= at > 9 ? 5 : 1) {
        assert_int_equal(cr_read(r, at, 2, &n), IOR_OK);
        assert_true(n >= 1 && n <= 2);
    }
    assert_int_equal(cr_read(r, last + 1, 2, &n), IOR_OK);
    assert_int_equal(n, 0);
    chunk_close(r);
}

/* What: every event comes back as it was, whatever its size, however many went in and come out
 * at once, sealed or not, with the catalog's state or without. */
static void round_trips(void **state)
{
    (void)state;
    static const size_t batches[] = {1, 3, 50, CR_MAX};
    for (unsigned how = 0; how < 16; how++) {
        bool sealed = (how & 1) != 0;
        cr_size = (how & 2) != 0 ? cr_size_mixed : cr_size_small;
        uint64_t last = (how & 2) != 0 ? 210 : 2500;
        struct chunk_state made = cr_make(last, batches[how >> 2], sealed);
        struct chunk_reader *r = cr_open(NULL);
        cr_expect_state(chunk_reader_state(r), &made);
        const struct chunk_id *id = chunk_reader_id(r);
        assert_true(id->uid == CR_UID && id->partition == CR_PARTITION);
        assert_true(ior_slice_eq(id->bucket, IOR_SLICE("orders")));
        assert_true(ior_slice_eq(id->stream, IOR_SLICE("2024")));
        chunk_close(r);
        assert_true(made.sealed == sealed && made.last_seqnum == last);
        assert_true(made.first_time_ms == cr_time(CR_FIRST) && made.last_time_ms == cr_time(last));
        read_in_many_ways(&made, last);
        read_in_many_ways(NULL, last);
    }
}

static size_t size_huge(uint64_t seqnum)
{
    return seqnum % 2 == 0 ? 3u << 20 : 16u << 10;
}

static size_t size_direct(uint64_t seqnum)
{
    return 16384 + (size_t)(seqnum % 5);
}

/* What: events larger than a block, and more large ones than one write takes pieces. */
static void large_events(void **state)
{
    (void)state;
    cr_size = size_huge;
    struct chunk_state made = cr_make(10, 4, true);
    read_in_many_ways(&made, 10);
    cr_size = size_direct;
    made = cr_make(1300, CR_MAX, false);
    struct chunk_reader *r = cr_open(&made);
    cr_expect(r, CR_FIRST, 1300, 256);
    chunk_close(r);
}

/* What: the longest and the shortest names. */
static void names_of_all_sizes(void **state)
{
    (void)state;
    static uint8_t name[STREAM_BYTES_MAX];
    memset(name, 'n', sizeof name);
    for (size_t n = 1; n <= STREAM_BYTES_MAX; n = n < 20 ? n + 1 : n * 2 - n % 2) {
        struct chunk_id id = {.partition = 1, .uid = n, .first_seqnum = 1};
        id.bucket = ior_slice(name, n < BUCKET_BYTES_MAX ? n : BUCKET_BYTES_MAX);
        id.stream = ior_slice(name, n);
        struct chunk_writer *w = NULL;
        struct chunk_reader *r = NULL;
        uint8_t item[40];
        bool fresh = false;
        item_write(item, ITEM_APPEND, 0, 0, ior_slice(NULL, 0));
        item_set_place(item, n, 1, 1);
        struct chunk_event e = {ior_slice(item, sizeof item), 1, 1};
        assert_int_equal(chunk_create(cr_disk, &id, &w, &fresh), IOR_OK);
        assert_int_equal(chunk_append(w, &e, 1), IOR_OK);
        chunk_writer_close(w);
        assert_int_equal(chunk_open(cr_disk, 1, n, 1, NULL, &r, &cr_why), IOR_OK);
        assert_true(ior_slice_eq(chunk_reader_id(r)->bucket, id.bucket));
        assert_true(ior_slice_eq(chunk_reader_id(r)->stream, id.stream));
        chunk_close(r);
    }
}

/* What: many events are few writes; a single event is found by few small reads. */
static void few_operations(void **state)
{
    (void)state;
    uint64_t writes = disk_sim_count(cr_disk, DISK_SIM_WRITE);
    struct chunk_state made = cr_make(CR_MAX, CR_MAX, true);
    assert_in_range(disk_sim_count(cr_disk, DISK_SIM_WRITE) - writes, 2, 5);
    size_t n = 0;
    struct chunk_reader *r = cr_open(&made);
    assert_int_equal(cr_read(r, CR_MAX / 2, 1, &n), IOR_OK);
    uint64_t reads = disk_sim_count(cr_disk, DISK_SIM_READ);
    for (uint64_t at = CR_FIRST; at < CR_MAX; at += 611)
        assert_int_equal(cr_read(r, at, 1, &n), IOR_OK);
    assert_in_range(disk_sim_count(cr_disk, DISK_SIM_READ) - reads, 1, 2 * (CR_MAX / 611 + 1));
    chunk_close(r);
    made.sealed = false; /* the same without the footer: walked once, then known */
    r = cr_open(&made);
    assert_int_equal(cr_read(r, CR_MAX, 1, &n), IOR_OK);
    reads = disk_sim_count(cr_disk, DISK_SIM_READ);
    for (uint64_t at = CR_FIRST; at < CR_MAX; at += 611)
        assert_int_equal(cr_read(r, at, 1, &n), IOR_OK);
    assert_in_range(disk_sim_count(cr_disk, DISK_SIM_READ) - reads, 1, 2 * (CR_MAX / 611 + 1));
    chunk_close(r);
}

/* ---- going on ---- */

/* What: a chunk that is written in several lives is the same chunk; its index has no gap. */
static void resumes(void **state)
{
    (void)state;
    size_t whole_bytes = 0;
    size_t bytes = 0;
    cr_size = cr_size_mixed;
    struct chunk_state whole = cr_make(200, CR_MAX, false);
    uint8_t *at_once = cr_bytes(cr_path(), &whole_bytes);
    struct chunk_state made = cr_make(40, CR_MAX, false);
    for (uint64_t at = 41; at <= 200; at += 40) {
        struct chunk_writer *w = cr_resume(&made);
        assert_int_equal(cr_append(w, at, at + 39), IOR_OK);
        assert_int_equal(chunk_sync(w), IOR_OK);
        made = *chunk_writer_state(w);
        chunk_writer_close(w);
    }
    cr_expect_state(&made, &whole);
    uint8_t *in_pieces = cr_bytes(cr_path(), &bytes);
    assert_int_equal(bytes, whole_bytes);
    assert_memory_equal(in_pieces, at_once, bytes);
    free(in_pieces);
    free(at_once);
    struct chunk_writer *w = cr_resume(&made);
    assert_int_equal(chunk_seal(w), IOR_OK);
    made = *chunk_writer_state(w);
    chunk_writer_close(w);
    read_in_many_ways(&made, 200);
    uint64_t reads = disk_sim_count(cr_disk, DISK_SIM_READ);
    struct chunk_reader *r = cr_open(NULL);
    assert_true(chunk_reader_state(r)->sealed);
    chunk_close(r);
    assert_in_range(disk_sim_count(cr_disk, DISK_SIM_READ) - reads, 1, 3); /* the footer is good */
}

/* What: sealed after a resume and more events, the marks of both halves are in the footer. */
static void resumes_and_seals(void **state)
{
    (void)state;
    struct chunk_state made = cr_make(2000, 100, false);
    struct chunk_writer *w = cr_resume(&made);
    assert_int_equal(cr_append(w, 2001, 4000), IOR_OK);
    assert_int_equal(chunk_seal(w), IOR_OK);
    made = *chunk_writer_state(w);
    chunk_writer_close(w);
    size_t n = 0;
    struct chunk_reader *r = cr_open(&made);
    assert_int_equal(cr_read(r, 10, 1, &n), IOR_OK);
    for (uint64_t at = 50; at < 4000; at += 333) {
        uint64_t reads = disk_sim_count(cr_disk, DISK_SIM_READ);
        assert_int_equal(cr_read(r, at, 1, &n), IOR_OK);
        assert_in_range(disk_sim_count(cr_disk, DISK_SIM_READ) - reads, 1, 3);
    }
    chunk_close(r);
    read_in_many_ways(NULL, 4000);
}

/* What: what an unfinished checkpoint left behind the end, a footer included, is never seen,
 * neither with the catalog's state nor by a scan after the next checkpoint. */
static void garbage_is_cut(void **state)
{
    (void)state;
    for (unsigned how = 0; how < 4; how++) {
        struct chunk_state made = cr_make(20, 5, false);
        struct chunk_writer *w = cr_resume(&made);
        assert_int_equal(cr_append(w, 21, 60), IOR_OK);
        if ((how & 1) != 0) assert_int_equal(chunk_seal(w), IOR_OK);
        chunk_writer_close(w);
        if ((how & 2) != 0) disk_sim_flip(cr_disk, cr_path(), made.end_bytes + 300, 0xff);
        read_in_many_ways(&made, 20);
        w = cr_resume(&made);
        assert_int_equal(cr_append(w, 21, 22), IOR_OK);
        made = *chunk_writer_state(w);
        chunk_writer_close(w);
        assert_int_equal(disk_sim_size(cr_disk, cr_path()), made.end_bytes);
        read_in_many_ways(NULL, 22);
        w = cr_resume(&made);
        assert_int_equal(chunk_seal(w), IOR_OK);
        made = *chunk_writer_state(w);
        chunk_writer_close(w);
        read_in_many_ways(NULL, 22);
        read_in_many_ways(&made, 22);
        /* A new chunk over it: as if nothing had been there. */
        made = cr_make(8, 2, false);
        assert_int_equal(disk_sim_size(cr_disk, cr_path()), made.end_bytes);
        read_in_many_ways(NULL, 8);
    }
}

/* What: a chunk that is sealed at once after the resume has no garbage behind its footer. */
static void seal_cuts(void **state)
{
    (void)state;
    struct chunk_state made = cr_make(20, 5, false);
    struct chunk_writer *w = cr_resume(&made);
    assert_int_equal(cr_append(w, 21, 60), IOR_OK);
    chunk_writer_close(w);
    w = cr_resume(&made);
    assert_int_equal(chunk_seal(w), IOR_OK);
    chunk_writer_close(w);
    assert_int_equal(disk_sim_size(cr_disk, cr_path()),
                     made.end_bytes + CHUNK_MARK_BYTES + CHUNK_TAIL_BYTES);
    read_in_many_ways(NULL, 20);
}

/* What: a reader goes on with a newer state of the catalog, and then with the footer. */
static void readers_extend(void **state)
{
    (void)state;
    struct chunk_state made = cr_make(20, 5, false);
    struct chunk_reader *r = cr_open(&made);
    cr_expect(r, CR_FIRST, 20, 7);
    struct chunk_writer *w = cr_resume(&made);
    assert_int_equal(cr_append(w, 21, 500), IOR_OK);
    cr_expect(r, CR_FIRST, 20, 7);
    chunk_reader_extend(r, chunk_writer_state(w));
    cr_expect(r, CR_FIRST, 500, 7);
    assert_int_equal(cr_append(w, 501, 1500), IOR_OK);
    assert_int_equal(chunk_seal(w), IOR_OK);
    chunk_reader_extend(r, chunk_writer_state(w));
    cr_expect(r, 1400, 1500, 7);
    cr_expect(r, CR_FIRST, 1500, 256);
    assert_true(chunk_reader_state(r)->sealed);
    chunk_writer_close(w);
    chunk_close(r);
}

/* ---- faults ---- */

/* What: new folders are reported, and all names are there after a power cut. */
static void folders_are_durable(void **state)
{
    (void)state;
    struct chunk_writer *w = NULL;
    struct chunk_id id = cr_id();
    bool fresh = false;
    assert_int_equal(chunk_create(cr_disk, &id, &w, &fresh), IOR_OK);
    assert_true(fresh);
    assert_int_equal(cr_append(w, CR_FIRST, 9), IOR_OK);
    assert_int_equal(chunk_sync(w), IOR_OK);
    struct chunk_state made = *chunk_writer_state(w);
    chunk_writer_close(w);
    assert_int_equal(chunk_sync_folders(cr_disk, CR_PARTITION, CR_UID), IOR_OK);
    disk_sim_crash(cr_disk, DISK_SIM_LOSE_ALL);
    read_in_many_ways(&made, 9);
    id.first_seqnum = 10;
    assert_int_equal(chunk_create(cr_disk, &id, &w, &fresh), IOR_OK);
    assert_false(fresh);
    chunk_writer_close(w);
}

/* A life of a chunk in steps; each that fails is tried again, a failed sync with a new writer.
 * The number of failures; whether the rule of the disk was met. */
static unsigned live(bool *ret_met)
{
    struct chunk_writer *w = NULL;
    struct chunk_id id = cr_id();
    struct chunk_state committed = {0};
    bool fresh = false;
    unsigned failures = 0;
    uint64_t at = CR_FIRST;
    while (!committed.sealed) {
        enum ior_err err = IOR_OK;
        if (w == NULL && committed.end_bytes == 0) {
            err = chunk_create(cr_disk, &id, &w, &fresh);
        } else if (w == NULL) {
            err = chunk_resume(cr_disk, &id, &committed, &w, &cr_why);
        }
        if (err == IOR_OK) {
            struct chunk_state before = *chunk_writer_state(w);
            at = before.last_seqnum + 1;
            err = at <= 300 ? cr_append(w, at, at + 99) : chunk_seal(w);
            if (err != IOR_OK) cr_expect_state(chunk_writer_state(w), &before);
        }
        if (err == IOR_OK && at == CR_FIRST) continue; /* two appends, then a sync */
        if (err == IOR_OK) {
            err = chunk_sync(w);
            if (err == IOR_OK) err = chunk_sync_folders(cr_disk, CR_PARTITION, CR_UID);
            if (err == IOR_OK) committed = *chunk_writer_state(w);
            if (err != IOR_OK || at == CR_FIRST + 100) { /* a checkpoint ends here */
                chunk_writer_close(w);
                w = NULL;
            }
        }
        failures += err != IOR_OK;
        assert_true(failures < 50);
    }
    chunk_writer_close(w);
    *ret_met = disk_sim_failed(cr_disk);
    disk_sim_fail(cr_disk, DISK_SIM_OPEN, 0, IOR_OK, false); /* from here on it is the test's */
    read_in_many_ways(&committed, CR_FIRST + 299);
    read_in_many_ways(NULL, CR_FIRST + 299);
    return failures;
}

/* What: whichever operation fails, the writer is as before, and the next try succeeds. */
static void every_operation_fails_once(void **state)
{
    static const enum disk_sim_op ops[] = {DISK_SIM_OPEN,  DISK_SIM_CREATE,   DISK_SIM_READ,
                                           DISK_SIM_WRITE, DISK_SIM_SYNC,     DISK_SIM_SIZE,
                                           DISK_SIM_MKDIR, DISK_SIM_SYNC_DIR, DISK_SIM_TRUNCATE};
    for (size_t i = 0; i < IOR_LEN(ops); i++) {
        for (uint64_t n = 1;; n++) {
            cr_tear_down(state);
            cr_set_up(state);
            bool met = false;
            if (ops[i] == DISK_SIM_TRUNCATE) cr_make(50, 5, true); /* something to cut off */
            disk_sim_fail(cr_disk, ops[i], n, IOR_E_IO, false);
            unsigned failures = live(&met);
            if (!met) {
                assert_true(n > 1); /* each of them is used */
                break;
            }
            assert_in_range(failures, 1, 2);
        }
    }
}

/* What: a sync that failed is not believed when it is tried again: the writer is done. */
static void failed_sync_is_sticky(void **state)
{
    (void)state;
    struct chunk_state made = cr_make(20, 5, false);
    struct chunk_writer *w = cr_resume(&made);
    assert_int_equal(cr_append(w, 21, 30), IOR_OK);
    disk_sim_fail(cr_disk, DISK_SIM_SYNC, 1, IOR_E_IO, false);
    assert_int_equal(chunk_sync(w), IOR_E_IO);
    assert_int_equal(chunk_sync(w), IOR_E_IO);
    assert_int_equal(cr_append(w, 31, 32), IOR_E_IO);
    assert_int_equal(chunk_seal(w), IOR_E_IO);
    chunk_writer_close(w);
    w = cr_resume(&made);
    assert_int_equal(cr_append(w, 21, 30), IOR_OK);
    assert_int_equal(chunk_sync(w), IOR_OK);
    made = *chunk_writer_state(w);
    chunk_writer_close(w);
    disk_sim_crash(cr_disk, DISK_SIM_LOSE_ALL);
    read_in_many_ways(&made, 30);
}

/* What: the disk is full in the middle of an append, and of a footer; later there is room. The
 * room that the failed write took is given back. */
static void full_disk(void **state)
{
    (void)state;
    for (uint64_t room = 0; room < 60000; room += 3777) {
        struct chunk_state made = cr_make(20, 5, false);
        struct chunk_writer *w = cr_resume(&made);
        uint64_t used = disk_sim_used_bytes(cr_disk);
        disk_sim_set_limit(cr_disk, used + room);
        assert_int_equal(cr_append(w, 21, 3000), IOR_E_NOSPC);
        cr_expect_state(chunk_writer_state(w), &made);
        assert_true(disk_sim_used_bytes(cr_disk) == used);
        disk_sim_set_limit(cr_disk, UINT64_MAX);
        assert_int_equal(cr_append(w, 21, 3000), IOR_OK);
        used = disk_sim_used_bytes(cr_disk);
        disk_sim_set_limit(cr_disk, used + room % 100);
        assert_int_equal(chunk_seal(w), IOR_E_NOSPC);
        assert_false(chunk_writer_state(w)->sealed);
        assert_true(disk_sim_used_bytes(cr_disk) == used);
        disk_sim_set_limit(cr_disk, UINT64_MAX);
        assert_int_equal(chunk_seal(w), IOR_OK);
        made = *chunk_writer_state(w);
        chunk_writer_close(w);
        struct chunk_reader *r = cr_open(&made);
        cr_expect(r, CR_FIRST, 3000, 256);
        chunk_close(r);
        r = cr_open(NULL); /* the marks of the write that failed are not in the footer */
        assert_true(chunk_reader_state(r)->sealed);
        chunk_close(r);
    }
}

/* ---- power cuts ---- */

enum { LIFE_STEPS = 8, LIFE_EVENTS = 24 };

/* Checkpoints until the disk dies or all is done. *committed is what a catalog would hold:
 * it changes only after everything that it names was synced. */
static void checkpoints(struct chunk_state *committed)
{
    struct chunk_id id = cr_id();
    while (!committed->sealed) {
        struct chunk_writer *w = NULL;
        bool fresh = false;
        uint64_t have = committed->end_bytes == 0 ? CR_FIRST - 1 : committed->last_seqnum;
        enum ior_err err = committed->end_bytes == 0
                               ? chunk_create(cr_disk, &id, &w, &fresh)
                               : chunk_resume(cr_disk, &id, committed, &w, &cr_why);
        for (int i = 0; i < 2 && err == IOR_OK; i++) {
            err = cr_append(w, have + 1, have + LIFE_EVENTS / 2);
            have += LIFE_EVENTS / 2;
        }
        if (err == IOR_OK && have >= CR_FIRST - 1 + LIFE_STEPS * LIFE_EVENTS / 2)
            err = chunk_seal(w);
        if (err == IOR_OK) err = chunk_sync(w);
        if (err == IOR_OK && fresh) err = chunk_sync_folders(cr_disk, CR_PARTITION, CR_UID);
        if (err == IOR_OK) err = chunk_sync_folders(cr_disk, CR_PARTITION, CR_UID);
        if (err == IOR_OK) *committed = *chunk_writer_state(w);
        chunk_writer_close(w);
        if (err != IOR_OK) {
            assert_true(disk_sim_is_dead(cr_disk));
            return;
        }
    }
}

/* Without a catalog: what is found is right, and has all that was committed; damage is said
 * only when sectors of the last write were lost in any order. */
static void check_scan(const struct chunk_state *committed, enum disk_sim_loss loss, bool first_cut)
{
    struct chunk_reader *r = NULL;
    uint64_t last = 0;
    bool sealed = false;
    enum ior_err err = cr_try_open(NULL, &r);
    if (err == IOR_OK) {
        sealed = chunk_reader_state(r)->sealed;
        assert_true(chunk_reader_state(r)->last_seqnum >= committed->last_seqnum);
        err = cr_read_all(r, CR_FIRST, 50, &last);
        assert_true(last >= committed->last_seqnum);
    }
    chunk_close(r);
    /* What a footer speaks of was synced before; later it may be one that was cut off, and came
     * back with the size of the file, but not all that was in front of it. */
    if (loss == DISK_SIM_LOSE_ALL || (sealed && first_cut))
        assert_int_equal(err, IOR_OK);
    else
        assert_true(err == IOR_OK || err == IOR_E_CORRUPT);
}

/* What: the power fails at every operation, in every way; the committed events are all there,
 * the next checkpoint goes on behind them, and so to the end. */
static void power_cuts(void **state)
{
    static const enum disk_sim_loss losses[] = {
        DISK_SIM_KILLED,    DISK_SIM_LOSE_ALL,   DISK_SIM_LOSE_NONE, DISK_SIM_LOSE_SOME,
        DISK_SIM_LOSE_SOME, DISK_SIM_LOSE_LATER, DISK_SIM_LOSE_ONE,  DISK_SIM_KEEP_ONE};
    bool finished = false;
    for (uint64_t n = 1; !finished; n++) {
        for (size_t i = 0; i < IOR_LEN(losses); i++) {
            cr_tear_down(state);
            cr_set_up(state);
            struct chunk_state committed = {0};
            disk_sim_crash_at(cr_disk, n);
            checkpoints(&committed);
            finished = committed.sealed;
            disk_sim_crash(cr_disk, losses[i]);
            for (uint64_t again = 0; again < 2; again++) { /* and once more on the way back */
                if (committed.end_bytes > 0) {
                    struct chunk_reader *r = cr_open(&committed);
                    cr_expect(r, CR_FIRST, committed.last_seqnum, 50);
                    chunk_close(r);
                    check_scan(&committed, losses[i], again == 0);
                }
                if (again > 0) break;
                disk_sim_crash_at(cr_disk, 1 + n % 7);
                checkpoints(&committed);
                disk_sim_crash(cr_disk, losses[i]);
            }
            checkpoints(&committed);
            read_in_many_ways(&committed, CR_FIRST - 1 + LIFE_STEPS * LIFE_EVENTS / 2);
            read_in_many_ways(NULL, CR_FIRST - 1 + LIFE_STEPS * LIFE_EVENTS / 2);
        }
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, cr_set_up, cr_tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(names_go_both_ways),
        T(bytes_are_documented),
        T(round_trips),
        T(large_events),
        T(names_of_all_sizes),
        T(few_operations),
        T(resumes),
        T(resumes_and_seals),
        T(garbage_is_cut),
        T(seal_cuts),
        T(readers_extend),
        T(folders_are_durable),
        T(every_operation_fails_once),
        T(failed_sync_is_sticky),
        T(full_disk),
        T(power_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

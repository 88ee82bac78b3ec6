/* test/unit/store/test_verify.c - verify_run(): each kind of damage is found and named, and nothing
 * else is; a sound directory is sound. On a simulated disk, with the catalog's simulated twin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/log.h"
#include "rig.h"
#include "store/catalog_row.h"
#include "store/verify.h"

enum { FINDINGS_BYTES = 64 << 10, BIG_EVENTS = 150 };

static struct rig rig;
static struct kv *kv;
static struct verify_counts counts;
static char findings[FINDINGS_BYTES];

static void note(void *ctx, const struct verify_finding *f)
{
    size_t n = strlen(findings);
    (void)ctx;
    snprintf(findings + n, sizeof findings - n, "%s %s@%lld %s\n",
             f->level == VERIFY_ERROR ? "error" : "note", f->file, (long long)f->offset_bytes,
             f->what);
}

/* One stream in chunks, one small, one deleted, one truncated; all of it saved. */
static void begin(void)
{
    log_set_fd(-1);
    rig_init(&rig);
    rig_open(&rig);
    for (int i = 0; i < BIG_EVENTS; i++) rig_put(&rig, "b", "big", "{\"some\":\"text\"}");
    for (int i = 0; i < 3; i++) rig_put(&rig, "b", "small", "1");
    assert_int_equal(rig_checkpoint(&rig), IOR_OK);
    rig_put(&rig, "b", "small", "2"); /* in the journal only */
    rig_close(&rig);
    struct ior_why why;
    assert_int_equal(kv_sim_open(rig.disk, "catalog.sim", &kv, &why), IOR_OK);
}

static void look(void)
{
    struct ior_why why;
    const struct verify_params p = {.disk = rig.disk, .kv = kv, .on_finding = note};
    findings[0] = 0;
    const uint64_t hash = disk_sim_hash(rig.disk);
    const uint64_t changes = disk_sim_count(rig.disk, DISK_SIM_CHANGE);
    assert_int_equal(verify_run(&p, &counts, &why), IOR_OK);
    assert_true(hash == disk_sim_hash(rig.disk));
    assert_true(changes == disk_sim_count(rig.disk, DISK_SIM_CHANGE));
}

static void end(void)
{
    kv_close(kv);
    rig_done(&rig);
}

static void expect_error(const char *word)
{
    look();
    if (counts.errors == 0 || strstr(findings, word) == NULL)
        fail_msg("`%s` is not in:\n%s", word, findings);
    end();
}

/* ---- changing the catalog ---- */

static struct stream_row row_of(const char *name, struct kv_reader **ret_r)
{
    struct bucket_row bucket;
    struct stream_row row;
    assert_int_equal(kv_reader_new(kv, ret_r), IOR_OK);
    assert_int_equal(kv_read_begin(*ret_r), IOR_OK);
    assert_int_equal(catalog_get_bucket(*ret_r, IOR_SLICE("b"), &bucket), IOR_OK);
    assert_int_equal(catalog_find_stream(*ret_r, bucket.id, ior_slice_str(name), &row), IOR_OK);
    return row;
}

typedef void (*change_fn)(struct kv_writer *w, struct stream_row *row);

static void change(const char *name, change_fn fn)
{
    struct kv_reader *r = NULL;
    struct kv_writer *w = NULL;
    begin();
    struct stream_row row = row_of(name, &r);
    assert_int_equal(kv_write_begin(kv, &w), IOR_OK);
    fn(w, &row);
    assert_int_equal(kv_write_commit(w), IOR_OK);
    kv_reader_free(r);
}

static void put_row(struct kv_writer *w, const struct stream_row *row)
{
    assert_int_equal(catalog_put_stream(w, row), IOR_OK);
}

static void other_bytes(struct kv_writer *w, struct stream_row *row)
{
    row->bytes++;
    put_row(w, row);
}

static void other_high(struct kv_writer *w, struct stream_row *row)
{
    row->high++;
    put_row(w, row);
}

static void no_low(struct kv_writer *w, struct stream_row *row)
{
    row->low = 0;
    put_row(w, row);
}

static void later_index(struct kv_writer *w, struct stream_row *row)
{
    row->last_index = 100000;
    put_row(w, row);
}

static void no_small(struct kv_writer *w, struct stream_row *row)
{
    assert_int_equal(catalog_put_small(w, row->partition, row->uid, ior_slice(NULL, 0)), IOR_OK);
}

static void bad_small(struct kv_writer *w, struct stream_row *row)
{
    assert_int_equal(catalog_put_small(w, row->partition, row->uid,
                                       IOR_SLICE("12345678123456781234567812345678")),
                     IOR_OK);
}

static void no_row(struct kv_writer *w, struct stream_row *row)
{
    struct catalog_key key = catalog_key_uid(row->partition, row->uid);
    assert_int_equal(kv_del(w, KV_ROWS, catalog_key_slice(&key)), IOR_OK);
}

static void no_name(struct kv_writer *w, struct stream_row *row)
{
    struct catalog_key key = catalog_key_u32(row->bucket_id);
    memcpy(key.bytes + key.size_bytes, row->name.data, row->name.size_bytes);
    key.size_bytes += row->name.size_bytes;
    assert_int_equal(kv_del(w, KV_STREAMS, catalog_key_slice(&key)), IOR_OK);
}

static void no_bucket(struct kv_writer *w, struct stream_row *row)
{
    (void)row;
    assert_int_equal(kv_del(w, KV_BUCKETS, IOR_SLICE("b")), IOR_OK);
}

static void no_counter(struct kv_writer *w, struct stream_row *row)
{
    (void)row;
    assert_int_equal(kv_del(w, KV_META, IOR_SLICE("next_bucket")), IOR_OK);
}

static void orphan_key(struct kv_writer *w, struct stream_row *row)
{
    const struct key_row key = {.key = IOR_SLICE("k"), .first_id = 1, .last_id = 1};
    assert_int_equal(catalog_put_key(w, row->partition, row->uid + 1, &key), IOR_OK);
}

static void no_chunk(struct kv_writer *w, struct stream_row *row)
{
    struct catalog_key key = catalog_key_ids(row->partition, row->uid, 65);
    assert_int_equal(kv_del(w, KV_CHUNKS, catalog_key_slice(&key)), IOR_OK);
}

static void grave_of_needed(struct kv_writer *w, struct stream_row *row)
{
    char path[DISK_PATH_MAX];
    chunk_path(row->partition, row->uid, 1, path);
    const uint8_t value = CATALOG_FORMAT;
    assert_int_equal(kv_put(w, KV_GRAVE, ior_slice_str(path), ior_slice(&value, 1)), IOR_OK);
}

static void grave_of_other(struct kv_writer *w, struct stream_row *row)
{
    (void)row;
    const uint8_t value = CATALOG_FORMAT;
    assert_int_equal(kv_put(w, KV_GRAVE, IOR_SLICE("identity"), ior_slice(&value, 1)), IOR_OK);
}

static void bad_value(struct kv_writer *w, struct stream_row *row)
{
    struct catalog_key key = catalog_key_uid(row->partition, row->uid);
    assert_int_equal(kv_put(w, KV_ROWS, catalog_key_slice(&key), IOR_SLICE("\1nonsense")), IOR_OK);
}

static void lost_facts(struct kv_writer *w, struct stream_row *row)
{
    (void)row;
    const struct group_row group = {.term = 1, .applied_index = 1};
    assert_int_equal(catalog_put_group(w, 0, &group), IOR_OK);
    assert_int_equal(kv_del(w, KV_META, IOR_SLICE("facts")) == IOR_E_IO, 0);
}

static void later_segment(struct kv_writer *w, struct stream_row *row)
{
    (void)row;
    const uint8_t seq[8] = {99};
    assert_int_equal(catalog_put_meta(w, "journal_first", ior_slice(seq, 8)), IOR_OK);
}

/* ---- tests ---- */

/* What: nothing is found in a sound directory; the counts are right; nothing is written. */
static void sound_is_sound(void **state)
{
    (void)state;
    begin();
    look();
    assert_string_equal(findings, "");
    assert_true(counts.errors == 0 && counts.notes == 0 && counts.streams == 2);
    assert_true(counts.events == BIG_EVENTS + 3 && counts.chunks == 3);
    assert_true(counts.bytes == BIG_EVENTS * 15 + 3);
    assert_true(counts.segments > 0 && counts.records > 0);
    end();
}

/* What: a catalog that contradicts itself, the files or the journal is told, in words. */
static void rows_that_contradict(void **state)
{
    (void)state;
    const struct {
        const char *stream;
        change_fn fn;
        const char *word;
    } cases[] = {
        {"big", other_bytes, "its bytes are not those of its events"},
        {"big", other_high, "its last events are nowhere"},
        {"small", other_high, "its last events are nowhere"},
        {"big", no_low, "low and high cannot be"},
        {"big", later_index, "its last change has index 100000"},
        {"small", no_small, "its events are nowhere"},
        {"small", bad_small, "small entries, byte"},
        {"big", bad_small, "small entries, byte"},
        {"big", no_row, "its name leads to it, but it has no row"},
        {"big", no_row, "it has chunks but no row"},
        {"small", no_row, "it has small entries but no row"},
        {"small", no_row, "a stream that was never created"},
        {"big", no_name, "no name leads to it"},
        {"big", no_bucket, "its bucket is not there"},
        {"big", no_counter, "next_bucket is 1, but 1 is in use"},
        {"big", orphan_key, "it has idempotency keys but no row"},
        {"big", no_chunk, "a chunk begins at event 129, the one before ends at 64"},
        {"big", grave_of_needed, "a file is to be removed that a stream needs: p"},
        {"big", grave_of_other, "a file is to be removed that is no chunk: identity"},
        {"big", bad_value, "a value that cannot be decoded"},
        {"big", lost_facts, "its facts (users, grants) are not there"},
        {"big", later_segment, "0000000000000063.seg"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        change(cases[i].stream, cases[i].fn);
        expect_error(cases[i].word);
    }
}

static void chunk_of_big(uint64_t first_seqnum, char path[DISK_PATH_MAX])
{
    struct kv_reader *r = NULL;
    begin();
    const struct stream_row row = row_of("big", &r);
    chunk_path(row.partition, row.uid, first_seqnum, path);
    kv_reader_free(r);
}

/* What: a flipped bit anywhere in a chunk that is named is told with its file. */
static void flipped_bits(void **state)
{
    char path[DISK_PATH_MAX];
    char word[DISK_PATH_MAX + 16];
    (void)state;
    chunk_of_big(129, path); /* the last one, not sealed */
    const uint64_t size = disk_sim_size(rig.disk, path);
    snprintf(word, sizeof word, "error %s@", path);
    for (uint64_t at = 0; at < size; at += 7) {
        disk_sim_flip(rig.disk, path, at, 0x10);
        look();
        /* Padding is the one thing that is under no checksum. */
        if (counts.errors == 0 && disk_sim_byte(rig.disk, path, at) != 0x10)
            fail_msg("byte %llu of %llu: nothing was found", (unsigned long long)at,
                     (unsigned long long)size);
        if (counts.errors > 0) assert_non_null(strstr(findings, word));
        disk_sim_flip(rig.disk, path, at, 0x10);
    }
    end();
}

/* What: a file that is cut, missing, or has lost its footer. */
static void files_that_are_cut(void **state)
{
    char path[DISK_PATH_MAX];
    (void)state;
    chunk_of_big(1, path);
    disk_sim_cut(rig.disk, path, 500);
    expect_error("@500 the file is shorter than the catalog says");
    chunk_of_big(1, path);
    assert_int_equal(disk_unlink(rig.disk, path), IOR_OK);
    expect_error("@-1 it is missing");
    chunk_of_big(1, path);
    disk_sim_flip(rig.disk, path, disk_sim_size(rig.disk, path) - 1, 1);
    look();
    assert_true(counts.errors == 0 && counts.notes == 1);
    assert_non_null(strstr(findings, "its footer is lost"));
    end();
}

/* What: a chunk file that nobody names is a note. */
static void unnamed_files(void **state)
{
    char path[DISK_PATH_MAX];
    struct disk_file *f = NULL;
    (void)state;
    chunk_of_big(7777, path);
    assert_int_equal(disk_open(rig.disk, path, DISK_WRITE | DISK_CREATE, &f), IOR_OK);
    disk_close(f);
    look();
    assert_true(counts.errors == 0 && counts.notes == 1);
    assert_non_null(strstr(findings, "unnamed: the catalog does not know this file"));
    end();
}

/* The first segment that the catalog needs; those in front of it are only blocks. */
static uint64_t first_needed(void)
{
    struct kv_reader *r = NULL;
    struct ior_slice value;
    row_of("big", &r);
    assert_int_equal(catalog_get_meta(r, "journal_first", &value), IOR_OK);
    const uint64_t seq = ior_get_u64(value.data);
    kv_reader_free(r);
    return seq;
}

/* What: damage in the journal has file and offset, a torn end is a note. */
static void journal_damage(void **state)
{
    char name[DISK_PATH_MAX];
    (void)state;
    begin();
    segment_name(first_needed(), name);
    disk_sim_flip(rig.disk, name, JOURNAL_PAGE_BYTES + 20, 1);
    expect_error("is not sound, but a later one is (journal/");
    begin();
    disk_sim_flip(rig.disk, "identity", 50, 1);
    expect_error("error identity@-1 ");
}

/* What: a directory without an identity is NOTFOUND, and stays empty. */
static void no_directory(void **state)
{
    struct ior_why why;
    (void)state;
    begin();
    assert_int_equal(disk_unlink(rig.disk, "identity"), IOR_OK);
    const struct verify_params p = {.disk = rig.disk, .kv = kv, .on_finding = note};
    assert_int_equal(verify_run(&p, &counts, &why), IOR_E_NOTFOUND);
    assert_false(disk_sim_has(rig.disk, "identity"));
    end();
}

/* What: every read of the disk that fails is told or is an error, never a sound directory. */
static void failing_reads(void **state)
{
    (void)state;
    begin();
    for (uint64_t n = 1;; n++) {
        struct ior_why why;
        const struct verify_params p = {.disk = rig.disk, .kv = kv, .on_finding = note};
        findings[0] = 0;
        disk_sim_fail(rig.disk, DISK_SIM_READ, n, IOR_E_IO, false);
        enum ior_err err = verify_run(&p, &counts, &why);
        bool met = disk_sim_failed(rig.disk);
        disk_sim_fail(rig.disk, DISK_SIM_READ, 0, IOR_OK, false);
        if (!met) break;
        assert_true(err != IOR_OK || counts.errors > 0 || counts.notes > 0);
    }
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_is_sound), cmocka_unit_test(rows_that_contradict),
        cmocka_unit_test(flipped_bits),   cmocka_unit_test(files_that_are_cut),
        cmocka_unit_test(unnamed_files),  cmocka_unit_test(journal_damage),
        cmocka_unit_test(no_directory),   cmocka_unit_test(failing_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

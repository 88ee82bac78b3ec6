/* test/unit/store/test_verify_rebuild.c - a new catalog for a node that has lost its own, on a real
 * disk with LMDB: what is in chunks and in the journal is all there, in a sound directory, and ids
 * go on; image_check() of sound, clean and damaged files. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "rig.h"
#include "store/verify_image.h"
#include "store/verify_rebuild.h"

enum { BIG_EVENTS = 150 };

static struct rig rig;
static char dir[64];
static struct verify_counts counts;
static char old[VERIFY_OLD_BYTES]; /* what the last rebuild called the file */
static char findings[64 << 10];

static void note(void *ctx, const struct verify_finding *f)
{
    size_t n = strlen(findings);
    (void)ctx;
    snprintf(findings + n, sizeof findings - n, "%s %s %s\n",
             f->level == VERIFY_ERROR  ? "error"
             : f->level == VERIFY_LOST ? "lost"
                                       : "note",
             f->file, f->what);
}

static void in_dir(const char *name, char out[128])
{
    snprintf(out, 128, "%s/%.60s", dir, name);
}

/* saved: a stream in chunks, a small one, one that is deleted; then some that is not. */
static void begin(void)
{
    log_set_fd(-1);
    snprintf(dir, sizeof dir, "/tmp/iorio-verify-XXXXXX");
    assert_non_null(mkdtemp(dir));
    rig_init_on(&rig, dir);
    rig_open(&rig);
    for (int i = 0; i < BIG_EVENTS; i++) rig_put(&rig, "b", "big", "{\"some\":\"text\"}");
    for (int i = 0; i < 3; i++) rig_put(&rig, "b", "small", "1");
    assert_int_equal(rig_checkpoint(&rig), IOR_OK);
    rig_put(&rig, "b", "big", "\"tail\"");
    rig_put(&rig, "b", "small", "2");
    rig_put(&rig, "b", "new", "3");
}

static void end(void)
{
    char command[160];
    rig_done(&rig);
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

static struct verify_params params(void)
{
    return (struct verify_params){.disk = rig.disk, .dir = dir, .on_finding = note};
}

static void rebuild(void)
{
    struct ior_why why = {""};
    const struct verify_params p = params();
    findings[0] = 0;
    if (verify_rebuild(&p, &counts, old, &why) != IOR_OK) fail_msg("%s\n%s", why.text, findings);
}

static void expect_sound(void)
{
    struct ior_why why = {""};
    const struct verify_params p = params();
    findings[0] = 0;
    assert_int_equal(verify_run(&p, &counts, &why), IOR_OK);
    if (counts.errors != 0) fail_msg("%s", findings);
}

static void dump(struct ior_buf *out)
{
    ior_buf_init(out);
    rig_dump(&rig, out);
    ior_buf_add_char(out, 0);
}

/* What: without damage the new catalog shows what the old one did. */
static void nothing_is_lost(void **state)
{
    struct ior_buf before;
    struct ior_buf after;
    char path[128];
    (void)state;
    begin();
    dump(&before);
    rig_close(&rig);
    rebuild();
    expect_sound();
    in_dir("catalog.mdb.bad-1", path);
    assert_int_equal(access(path, F_OK), 0);
    in_dir("catalog.rebuild", path);
    assert_int_not_equal(access(path, F_OK), 0);
    rig_open(&rig);
    dump(&after);
    assert_string_equal((const char *)before.data, (const char *)after.data);
    ior_buf_done(&before);
    ior_buf_done(&after);
    rig_close(&rig);
    end();
}

/* What: without the catalog, chunks and journal are all there while no segment was released. */
static void without_catalog(void **state)
{
    struct ior_buf before;
    struct ior_buf after;
    char path[128];
    (void)state;
    begin();
    dump(&before);
    rig_close(&rig);
    in_dir(KV_LMDB_FILE, path);
    assert_int_equal(unlink(path), 0);
    rebuild();
    assert_non_null(strstr(findings, "it is missing"));
    expect_sound();
    rig_open(&rig);
    dump(&after);
    /* The big stream, whole, and the new one; the small one as far as the journal has it. */
    const char *big = strstr((const char *)before.data, "b/big");
    const char *rest = strstr(big, "b/new");
    char *wanted = strndup(big, (size_t)(rest - big));
    if (strstr((const char *)after.data, wanted) == NULL) fail_msg("%s", (char *)after.data);
    assert_non_null(strstr((const char *)after.data, "b/new 1"));
    free(wanted);
    assert_int_equal(rig_put(&rig, "b", "big", "1"), BIG_EVENTS + 2);
    ior_buf_done(&before);
    ior_buf_done(&after);
    assert_int_equal(rig_checkpoint(&rig), IOR_OK);
    rig_close(&rig);
    expect_sound();
    end();
}

static void overwrite(const char *name, off_t from, size_t n)
{
    char path[128];
    uint8_t junk[4096];
    in_dir(name, path);
    memset(junk, 0xa5, sizeof junk);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (; n > 0; n -= n < sizeof junk ? n : sizeof junk, from += (off_t)sizeof junk)
        assert_true(pwrite(fd, junk, n < sizeof junk ? n : sizeof junk, from) > 0);
    close(fd);
}

/* What: each page of the catalog is spoilt in turn: nobody dies, and after a rebuild the events in
 * chunks are there and ids go on. */
static void each_page(void **state)
{
    char path[128];
    struct stat st;
    (void)state;
    off_t pages = 1;
    for (off_t page = 0; page < pages; page++) {
        begin();
        rig_close(&rig);
        in_dir(KV_LMDB_FILE, path);
        assert_int_equal(stat(path, &st), 0);
        pages = st.st_size / 4096;
        overwrite(KV_LMDB_FILE, page * 4096, 4096);
        rebuild();
        expect_sound();
        rig_open(&rig);
        assert_int_equal(rig_put(&rig, "b", "big", "1"), BIG_EVENTS + 2);
        assert_int_equal(rig_checkpoint(&rig), IOR_OK);
        rig_close(&rig);
        expect_sound();
        end();
    }
    assert_true(pages > 5);
}

/* What: damage of the journal: nothing is changed. */
static void journal_is_damaged(void **state)
{
    struct ior_why why = {""};
    char path[128];
    (void)state;
    begin();
    rig_close(&rig);
    char name[DISK_PATH_MAX];
    uint64_t seq = 0;
    do {
        segment_name(++seq, name);
        in_dir(name, path);
    } while (access(path, F_OK) != 0);
    overwrite(name, 8192, 16); /* its second batch */
    const struct verify_params p = params();
    assert_int_equal(verify_rebuild(&p, &counts, old, &why), IOR_E_CORRUPT);
    in_dir("catalog.mdb.bad-1", path);
    assert_int_not_equal(access(path, F_OK), 0);
    end();
}

/* What: the walk at a start: sound, clean, spoilt, cut, empty, missing. */
static void check_at_start(void **state)
{
    struct ior_why why = {""};
    bool clean = true;
    char path[128];
    (void)state;
    begin();
    rig_drop(&rig);
    assert_int_equal(image_check(dir, &clean, &why), IOR_OK);
    assert_false(clean);
    rig_open(&rig);
    assert_int_equal(node_mark_clean(rig.node, &why), IOR_OK);
    rig_close(&rig);
    assert_int_equal(image_check(dir, &clean, &why), IOR_OK);
    assert_true(clean);
    rig_open(&rig); /* takes the mark away */
    rig_drop(&rig);
    assert_int_equal(image_check(dir, &clean, &why), IOR_OK);
    assert_false(clean);
    in_dir(KV_LMDB_FILE, path);
    overwrite(KV_LMDB_FILE, 8192, 64 << 10);
    assert_int_equal(image_check(dir, &clean, &why), IOR_E_CORRUPT);
    assert_true(why.text[0] != 0);
    assert_int_equal(truncate(path, 5000), 0);
    assert_int_equal(image_check(dir, &clean, &why), IOR_E_CORRUPT);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(image_check(dir, &clean, &why), IOR_E_CORRUPT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(image_check(dir, &clean, &why), IOR_E_NOTFOUND);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost), cmocka_unit_test(without_catalog),
        cmocka_unit_test(each_page),       cmocka_unit_test(journal_is_damaged),
        cmocka_unit_test(check_at_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

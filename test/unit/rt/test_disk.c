/* test/unit/rt/test_disk.c - the real disk (disk_posix.c) and what is the same for
 * every disk (disk.c), in a temporary folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "rt/disk.h"
#include "rt/disk_sim.h"

enum { NOBODY = 65534 };

static char dir[256];
static struct disk *disk;

static int set_up(void **state)
{
    (void)state;
    struct ior_why why;
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/iorio-test-disk-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    if (mkdtemp(dir) == NULL) return -1;
    return disk_posix_open(dir, &disk, &why) == IOR_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[512];
    disk_free(disk);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static struct disk_file *open_file(const char *path, int flags)
{
    struct disk_file *f = NULL;
    assert_int_equal(disk_open(disk, path, flags, &f), IOR_OK);
    return f;
}

static void write_text(const char *path, const char *text)
{
    struct disk_file *f = open_file(path, DISK_WRITE | DISK_CREATE);
    assert_int_equal(disk_write_buf(f, 0, text, strlen(text)), IOR_OK);
    assert_int_equal(disk_sync(f), IOR_OK);
    disk_close(f);
}

static void expect_text(const char *path, const char *text)
{
    char buf[4096];
    size_t n = 77;
    assert_int_equal(disk_read_file(disk, path, buf, sizeof buf, &n), IOR_OK);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(buf, text, n);
}

static mode_t mode_of(const char *name)
{
    char path[512];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

/* What: a read gives fewer bytes than asked for only at the end of the file, and none behind it. */
static void short_files_read_short(void **state)
{
    (void)state;
    char buf[16];
    size_t n = 77;
    write_text("f", "0123456789");
    struct disk_file *f = open_file("f", DISK_READ);
    assert_int_equal(disk_read(f, 0, buf, 10, &n), IOR_OK);
    assert_int_equal(n, 10);
    assert_int_equal(disk_read(f, 6, buf, sizeof buf, &n), IOR_OK);
    assert_int_equal(n, 4);
    assert_memory_equal(buf, "6789", 4);
    assert_int_equal(disk_read(f, 10, buf, 1, &n), IOR_OK);
    assert_int_equal(n, 0);
    assert_int_equal(disk_read(f, 1 << 20, buf, sizeof buf, &n), IOR_OK);
    assert_int_equal(n, 0);
    disk_close(f);
}

/* What: a write behind the end leaves zeros between; truncate cuts and grows; size tells. */
static void files_grow_and_shrink(void **state)
{
    (void)state;
    char buf[16];
    size_t n = 0;
    uint64_t size = 77;
    struct disk_file *f = open_file("f", DISK_WRITE | DISK_CREATE);
    assert_int_equal(disk_size(f, &size), IOR_OK);
    assert_int_equal(size, 0);
    assert_int_equal(disk_write_buf(f, 4, "ab", 2), IOR_OK);
    assert_int_equal(disk_size(f, &size), IOR_OK);
    assert_int_equal(size, 6);
    assert_int_equal(disk_read(f, 0, buf, sizeof buf, &n), IOR_OK);
    assert_int_equal(n, 6);
    assert_memory_equal(buf, "\0\0\0\0ab", 6);
    assert_int_equal(disk_truncate(f, 5), IOR_OK);
    assert_int_equal(disk_truncate(f, 7), IOR_OK);
    assert_int_equal(disk_read(f, 0, buf, sizeof buf, &n), IOR_OK);
    assert_int_equal(n, 7);
    assert_memory_equal(buf, "\0\0\0\0a\0\0", 7);
    disk_close(f);
}

/* What: 1,024 pieces of different lengths, empty ones too, go out as one write in their order. */
static void pieces_are_gathered(void **state)
{
    (void)state;
    enum { PIECES = 1024 };
    struct iovec iov[PIECES];
    uint8_t bytes[5 * PIECES];
    uint8_t back[5 * PIECES];
    size_t total = 0;
    size_t n = 0;
    for (size_t i = 0; i < PIECES; i++) {
        iov[i] = (struct iovec){bytes + total, i % 6};
        for (size_t k = 0; k < i % 6; k++, total++) bytes[total] = (uint8_t)(total * 7);
    }
    struct disk_file *f = open_file("f", DISK_WRITE | DISK_CREATE);
    assert_int_equal(disk_write(f, 3, iov, PIECES), IOR_OK);
    assert_int_equal(disk_read(f, 3, back, sizeof back, &n), IOR_OK);
    assert_int_equal(n, total);
    assert_memory_equal(back, bytes, total);
    disk_close(f);
}

/* What: past the page cache or not, the bytes are the same; what is not whole pages is
 * written and read all the same; forgotten pages come back from the disk. */
static void hints_change_no_bytes(void **state)
{
    (void)state;
    enum { PAGE = 4096, PAGES = 3 };
    uint8_t *pages = aligned_alloc(PAGE, PAGES * PAGE);
    uint8_t back[PAGES * PAGE];
    size_t n = 0;
    assert_non_null(pages);
    for (size_t i = 0; i < PAGES * PAGE; i++) pages[i] = (uint8_t)(i * 7 + i / PAGE);
    struct disk_file *f = open_file("f", DISK_WRITE | DISK_CREATE);
    disk_direct(f, true);
    assert_int_equal(disk_write_buf(f, 0, pages, PAGES * PAGE), IOR_OK);
    pages[PAGE + 1] = 200;
    assert_int_equal(disk_write_buf(f, PAGE + 1, pages + PAGE + 1, 1), IOR_OK);
    disk_direct(f, true);
    assert_int_equal(disk_read(f, 1, back + 1, PAGES * PAGE - 1, &n), IOR_OK);
    assert_int_equal(n, PAGES * PAGE - 1);
    assert_memory_equal(back + 1, pages + 1, n);
    assert_int_equal(disk_sync(f), IOR_OK);
    disk_forget(f, 0, PAGES * PAGE);
    disk_direct(f, false);
    assert_int_equal(disk_read(f, 0, back, sizeof back, &n), IOR_OK);
    assert_memory_equal(back, pages, n);
    disk_close(f);
    free(pages);
}

/* What: without DISK_CREATE a missing file is NOTFOUND; with it it is made empty (0600), an
 * existing one kept. */
static void missing_files(void **state)
{
    (void)state;
    struct disk_file *f = NULL;
    uint64_t size = 77;
    assert_int_equal(disk_open(disk, "f", DISK_READ, &f), IOR_E_NOTFOUND);
    assert_int_equal(disk_open(disk, "f", DISK_WRITE, &f), IOR_E_NOTFOUND);
    assert_int_equal(disk_open(disk, "no/f", DISK_WRITE | DISK_CREATE, &f), IOR_E_NOTFOUND);
    assert_null(f);
    disk_close(NULL);
    f = open_file("f", DISK_WRITE | DISK_CREATE);
    assert_int_equal(disk_size(f, &size), IOR_OK);
    assert_int_equal(size, 0);
    disk_close(f);
    assert_int_equal(mode_of("f"), 0600);
    write_text("f", "kept");
    disk_close(open_file("f", DISK_WRITE | DISK_CREATE));
    expect_text("f", "kept");
}

/* What: a file opened for reading cannot be written, and says so. */
static void read_only_is_read_only(void **state)
{
    (void)state;
    write_text("f", "old");
    struct disk_file *f = open_file("f", DISK_READ);
    assert_int_equal(disk_write_buf(f, 0, "new", 3), IOR_E_IO);
    disk_close(f);
    expect_text("f", "old");
}

/* What: replace_file makes a file, replaces a longer and a shorter one, whole, and leaves nothing
 * beside it. */
static void replace_file_is_whole(void **state)
{
    (void)state;
    static const char *const texts[] = {"first", "a second and longer one", "3", "", "fifth"};
    struct disk_file *f = NULL;
    assert_int_equal(disk_mkdir(disk, "sub"), IOR_OK);
    write_text("sub/f.new", "what a crash left behind, longer than what comes");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(disk_replace_file(disk, "sub/f", texts[i], strlen(texts[i])), IOR_OK);
        expect_text("sub/f", texts[i]);
        assert_int_equal(disk_open(disk, "sub/f.new", DISK_READ, &f), IOR_E_NOTFOUND);
    }
    assert_int_equal(disk_replace_file(disk, "top", "t", 1), IOR_OK);
    expect_text("top", "t");
}

/* What: when replace_file cannot write, the old file is as it was. */
static void failed_replace_keeps_the_old(void **state)
{
    (void)state;
    write_text("f", "old");
    assert_int_equal(disk_mkdir(disk, "f.new"), IOR_OK); /* in the way of the new one */
    assert_int_not_equal(disk_replace_file(disk, "f", "new", 3), IOR_OK);
    expect_text("f", "old");
    assert_int_equal(disk_replace_file(disk, "no/f", "new", 3), IOR_E_NOTFOUND);
}

/* What: read_file takes exactly as much as the caller has room for, and refuses one byte more. */
static void read_file_has_a_limit(void **state)
{
    (void)state;
    char buf[6] = "xxxxx";
    size_t n = 77;
    write_text("f", "12345");
    assert_int_equal(disk_read_file(disk, "f", buf, 4, &n), IOR_E_TOOLARGE);
    assert_int_equal(disk_read_file(disk, "f", buf, 5, &n), IOR_OK);
    assert_int_equal(n, 5);
    assert_memory_equal(buf, "12345", 6);
    assert_int_equal(disk_read_file(disk, "g", buf, 5, &n), IOR_E_NOTFOUND);
}

struct names {
    int count;
    int a, b, sub;
    int stop_after;
};

static enum ior_err on_name(void *ctx, const char *name)
{
    struct names *n = ctx;
    n->count++;
    n->a += strcmp(name, "a") == 0;
    n->b += strcmp(name, ".b") == 0;
    n->sub += strcmp(name, "sub") == 0;
    return n->count == n->stop_after ? IOR_E_CORRUPT : IOR_OK;
}

/* What: list names every file and folder once, without `.` and `..`; an error of the callback ends
 * it. */
static void list_names_everything(void **state)
{
    (void)state;
    struct names n = {0};
    assert_int_equal(disk_list(disk, ".", on_name, &n), IOR_OK);
    assert_int_equal(n.count, 0);
    write_text("a", "");
    write_text(".b", "");
    assert_int_equal(disk_mkdir(disk, "sub"), IOR_OK);
    write_text("sub/inner", "");
    assert_int_equal(disk_list(disk, ".", on_name, &n), IOR_OK);
    assert_int_equal(n.count, 3);
    assert_int_equal(n.a + n.b + n.sub, 3);
    n = (struct names){.stop_after = 2};
    assert_int_equal(disk_list(disk, ".", on_name, &n), IOR_E_CORRUPT);
    assert_int_equal(n.count, 2);
    assert_int_equal(disk_list(disk, "nowhere", on_name, &n), IOR_E_NOTFOUND);
}

/* What: rename replaces, unlink removes, mkdir takes an existing folder, and what is missing is
 * NOTFOUND. */
static void names_move_and_go(void **state)
{
    (void)state;
    struct disk_file *f = NULL;
    write_text("a", "from a");
    write_text("b", "from b");
    assert_int_equal(disk_rename(disk, "a", "b"), IOR_OK);
    expect_text("b", "from a");
    assert_int_equal(disk_open(disk, "a", DISK_READ, &f), IOR_E_NOTFOUND);
    assert_int_equal(disk_rename(disk, "a", "b"), IOR_E_NOTFOUND);
    assert_int_equal(disk_unlink(disk, "b"), IOR_OK);
    assert_int_equal(disk_unlink(disk, "b"), IOR_E_NOTFOUND);
    assert_int_equal(disk_mkdir(disk, "sub"), IOR_OK);
    assert_int_equal(disk_mkdir(disk, "sub"), IOR_OK);
    assert_int_equal(mode_of("sub"), 0700);
    assert_int_equal(disk_mkdir(disk, "no/sub"), IOR_E_NOTFOUND);
    assert_int_equal(disk_sync_dir(disk, "sub"), IOR_OK);
    assert_int_equal(disk_sync_dir(disk, "."), IOR_OK);
    assert_int_equal(disk_sync_dir(disk, "no"), IOR_E_NOTFOUND);
}

/* What: rmdir removes an empty folder only; a missing one is fine, a file is not. */
static void empty_folders_go(void **state)
{
    (void)state;
    bool gone = true;
    assert_int_equal(disk_mkdir(disk, "sub"), IOR_OK);
    write_text("sub/f", "x");
    assert_int_equal(disk_rmdir(disk, "sub", &gone), IOR_OK);
    assert_false(gone);
    expect_text("sub/f", "x");
    assert_int_equal(disk_unlink(disk, "sub/f"), IOR_OK);
    for (int i = 0; i < 2; i++) {
        gone = false;
        assert_int_equal(disk_rmdir(disk, "sub", &gone), IOR_OK);
        assert_true(gone);
    }
    assert_int_equal(disk_sync_dir(disk, "sub"), IOR_E_NOTFOUND);
    assert_int_equal(disk_rmdir(disk, "no/sub", &gone), IOR_OK);
    assert_true(gone);
    write_text("f", "x");
    assert_int_equal(disk_rmdir(disk, "f", &gone), IOR_E_IO);
    expect_text("f", "x");
}

/* What: an open file goes on after its name is gone. */
static void open_files_outlive_their_names(void **state)
{
    (void)state;
    char buf[8];
    size_t n = 0;
    write_text("f", "still here");
    struct disk_file *f = open_file("f", DISK_WRITE);
    assert_int_equal(disk_unlink(disk, "f"), IOR_OK);
    assert_int_equal(disk_write_buf(f, 0, "S", 1), IOR_OK);
    assert_int_equal(disk_sync(f), IOR_OK);
    assert_int_equal(disk_read(f, 0, buf, 5, &n), IOR_OK);
    assert_memory_equal(buf, "Still", 5);
    disk_close(f);
}

/* What: the data directory is made with mode 0700; one whose parent is missing or that is a file is
 * an error with a sentence that names it. */
static void the_folder_is_made(void **state)
{
    (void)state;
    char path[512];
    struct ior_why why = {""};
    struct disk *d = NULL;
    snprintf(path, sizeof path, "%s/data", dir);
    assert_int_equal(disk_posix_open(path, &d, &why), IOR_OK);
    disk_free(d);
    assert_int_equal(mode_of("data"), 0700);
    assert_int_equal(disk_posix_open(path, &d, &why), IOR_OK); /* it is there already */
    disk_free(d);
    snprintf(path, sizeof path, "%s/no/data", dir);
    assert_int_equal(disk_posix_open(path, &d, &why), IOR_E_NOTFOUND);
    assert_non_null(strstr(why.text, path));
    write_text("file", "x");
    snprintf(path, sizeof path, "%s/file", dir);
    assert_int_equal(disk_posix_open(path, &d, &why), IOR_E_IO);
    assert_non_null(strstr(why.text, path));
    disk_free(NULL);
}

/* In a child without root's rights: 0, or the line where it went wrong. */
static int try_without_rights(void)
{
    struct ior_why why = {""};
    struct disk *d = NULL;
    struct disk_file *f = NULL;
    if (geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)) return __LINE__ % 200;
    if (disk_posix_open("sealed", &d, &why) != IOR_E_ACCESS) return __LINE__ % 200;
    if (strstr(why.text, "sealed") == NULL) return __LINE__ % 200;
    if (disk_posix_open("readable", &d, &why) != IOR_E_ACCESS) return __LINE__ % 200;
    if (disk_posix_open("readable/below", &d, &why) != IOR_E_ACCESS) return __LINE__ % 200;
    if (disk_posix_open("open", &d, &why) != IOR_OK) return __LINE__ % 200;
    if (disk_open(d, "secret", DISK_READ, &f) != IOR_E_ACCESS) return __LINE__ % 200;
    if (disk_open(d, "fixed", DISK_WRITE, &f) != IOR_E_ACCESS) return __LINE__ % 200;
    disk_free(d);
    return 0;
}

static void make_with_mode(const char *name, bool folder, mode_t mode)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (folder) {
        assert_int_equal(mkdir(path, 0700), 0);
    } else {
        write_text(name, "x");
    }
    assert_int_equal(chmod(path, mode), 0);
}

/* What: a folder that may not be entered or written and a file that may not be read or written are
 * ACCESS. */
static void missing_rights_are_named(void **state)
{
    (void)state;
    int status = -1;
    assert_int_equal(chmod(dir, 0755), 0);
    make_with_mode("sealed", true, 0000);
    make_with_mode("readable", true, 0555);
    make_with_mode("open", true, 0777);
    make_with_mode("open/secret", false, 0000);
    make_with_mode("open/fixed", false, 0444);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) _exit(chdir(dir) == 0 ? try_without_rights() : 255);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    make_with_mode("last", true, 0755); /* we ourselves still can */
    char path[512];
    snprintf(path, sizeof path, "%s/sealed", dir);
    assert_int_equal(chmod(path, 0700), 0);
}

/* What: the room is what the file system says, and a file takes some of it. */
static void room_is_told(void **state)
{
    (void)state;
    struct disk_room room = {0, 0};
    assert_int_equal(disk_room(disk, &room), IOR_OK);
    assert_true(room.bytes > 0 && room.files > 0);
    struct disk *sim = disk_sim_new(1);
    disk_sim_set_limit(sim, 10000);
    assert_int_equal(disk_replace_file(sim, "f", "0123456789", 10), IOR_OK);
    assert_int_equal(disk_room(sim, &room), IOR_OK);
    assert_int_equal(room.bytes, 10000 - disk_sim_used_bytes(sim));
    disk_sim_set_limit(sim, 1);
    assert_int_equal(disk_room(sim, &room), IOR_OK);
    assert_int_equal(room.bytes, 0);
    disk_free(sim);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(short_files_read_short),
        TEST(files_grow_and_shrink),
        TEST(pieces_are_gathered),
        TEST(hints_change_no_bytes),
        TEST(missing_files),
        TEST(read_only_is_read_only),
        TEST(replace_file_is_whole),
        TEST(failed_replace_keeps_the_old),
        TEST(read_file_has_a_limit),
        TEST(list_names_everything),
        TEST(names_move_and_go),
        TEST(empty_folders_go),
        TEST(open_files_outlive_their_names),
        TEST(the_folder_is_made),
        TEST(missing_rights_are_named),
        TEST(room_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

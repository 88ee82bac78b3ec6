/* test/unit/app/test_datadir.c - who uses a data directory. A lock belongs to the open
 * file, so one process can play both sides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/app.h"

static char dir[256];

static int set_up(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/iorio-test-datadir-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[512];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static void in_dir(char *out, size_t room, const char *name)
{
    snprintf(out, room, "%s/%s", dir, name);
}

/* What: the first one gets the lock; the second is told LOCKED, which directory and which key;
 * after the first has gone it is free. */
static void one_at_a_time(void **state)
{
    (void)state;
    struct datadir_lock first = {-1}, second = {-1};
    struct ior_why why = {""};
    assert_false(datadir_is_locked(dir));
    assert_int_equal(datadir_lock(dir, &first, &why), IOR_OK);
    assert_true(datadir_is_locked(dir));
    assert_int_equal(datadir_lock(dir, &second, &why), IOR_E_LOCKED);
    assert_int_equal(second.fd, -1);
    assert_non_null(strstr(why.text, dir));
    assert_non_null(strstr(why.text, "paths.data"));
    datadir_unlock(&first);
    assert_false(datadir_is_locked(dir));
    assert_int_equal(datadir_lock(dir, &second, &why), IOR_OK);
    datadir_unlock(&second);
    datadir_unlock(&second); /* twice does no harm */
}

/* What: asking whether it is locked does not take the lock, and makes nothing in a directory that
 * is not there. */
static void asking_changes_nothing(void **state)
{
    (void)state;
    char path[300];
    struct stat st;
    struct datadir_lock lock = {-1};
    struct ior_why why;
    in_dir(path, sizeof path, "missing");
    assert_false(datadir_is_locked(path));
    assert_int_not_equal(stat(path, &st), 0);
    in_dir(path, sizeof path, "lock");
    assert_false(datadir_is_locked(dir));
    assert_int_not_equal(stat(path, &st), 0);
    assert_int_equal(datadir_lock(dir, &lock, &why), IOR_OK);
    assert_true(datadir_is_locked(dir));
    assert_true(datadir_is_locked(dir));
    datadir_unlock(&lock);
}

/* What: a missing directory is made with mode 0700; one that cannot be made is an error that names
 * it. */
static void the_directory_is_made(void **state)
{
    (void)state;
    char path[300];
    struct stat st;
    struct datadir_lock lock = {-1};
    struct ior_why why = {""};
    in_dir(path, sizeof path, "data");
    assert_int_equal(datadir_lock(path, &lock, &why), IOR_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    datadir_unlock(&lock);
    in_dir(path, sizeof path, "no/data");
    assert_int_equal(datadir_lock(path, &lock, &why), IOR_E_NOTFOUND);
    assert_non_null(strstr(why.text, path));
}

/* What: what a running node wrote about itself is read back, but believed only while the lock is
 * held. */
static void run_file_needs_the_lock(void **state)
{
    (void)state;
    long pid = 0;
    char where[128] = "";
    struct datadir_lock lock = {-1};
    struct ior_why why;
    assert_false(datadir_read_run(dir, &pid, where, sizeof where));
    assert_int_equal(datadir_lock(dir, &lock, &why), IOR_OK);
    assert_true(datadir_read_run(dir, &pid, where, sizeof where)); /* not written yet */
    assert_int_equal(pid, getpid());                               /* the kernel knows */
    assert_string_equal(where, "");
    assert_true(datadir_write_run(dir, "127.0.0.1:8080", NULL));
    assert_true(datadir_read_run(dir, &pid, where, sizeof where));
    assert_int_equal(pid, getpid());
    assert_string_equal(where, "127.0.0.1:8080");
    assert_true(datadir_write_run(dir, "[::1]:9", "[::1]:10")); /* replaced whole */
    assert_true(datadir_read_run(dir, &pid, where, sizeof where));
    assert_string_equal(where, "[::1]:9");
    datadir_unlock(&lock); /* as after kill -9: the file stays */
    assert_false(datadir_read_run(dir, &pid, where, sizeof where));
    assert_int_equal(datadir_lock(dir, &lock, &why), IOR_OK); /* and goes with the next lock */
    assert_true(datadir_read_run(dir, &pid, where, sizeof where));
    assert_string_equal(where, "");
    datadir_unlock(&lock);
}

/* What: a file that is not one of ours is not believed: no pid, a pid that would hit everybody,
 * half a file, another process; who holds the lock is found without it. */
static void odd_run_files_are_not_believed(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "pid",
                                        "pid x\nhttp a:1\n",
                                        "pid 0\nhttp a:1\n",
                                        "pid 1\nhttp a:1\n",
                                        "pid -1\nhttp a:1\n",
                                        "pid 77\n",
                                        "pid 77\nhttp",
                                        "http a:1\npid 77\n",
                                        "pid 77\nhttp a:1\n"};
    char path[300];
    long pid = 5;
    char where[128] = "";
    struct datadir_lock lock = {-1};
    struct ior_why why;
    assert_int_equal(datadir_lock(dir, &lock, &why), IOR_OK);
    in_dir(path, sizeof path, "node.run");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fputs(texts[i], f);
        fclose(f);
        assert_true(datadir_read_run(dir, &pid, where, sizeof where));
        if (pid != getpid() || where[0] != 0) fail_msg("believed: %s", texts[i]);
    }
    datadir_unlock(&lock);
}

/* What: who only looks takes the lock of a directory that is there, makes nothing in it, is told
 * LOCKED while another has it, and NOTFOUND where there is none. */
static void looking_makes_nothing(void **state)
{
    (void)state;
    char path[300];
    struct stat st;
    struct ior_why why = {""};
    struct datadir_lock look = {-1, -1};
    struct datadir_lock other = {-1, -1};
    in_dir(path, sizeof path, "missing");
    assert_int_equal(datadir_lock_existing(path, &look, &why), IOR_E_NOTFOUND);
    assert_int_not_equal(stat(path, &st), 0);
    for (int i = 0; i < 2; i++) { /* without a file `lock`, then with one */
        assert_int_equal(datadir_lock_existing(dir, &look, &why), IOR_OK);
        assert_int_equal(datadir_lock(dir, &other, &why), IOR_E_LOCKED);
        datadir_unlock(&look);
        in_dir(path, sizeof path, "lock");
        if (i == 0) assert_int_equal(unlink(path), 0); /* of the try above */
        assert_int_equal(datadir_lock(dir, &other, &why), IOR_OK);
        assert_int_equal(datadir_lock_existing(dir, &look, &why), IOR_E_LOCKED);
        datadir_unlock(&other);
    }
    assert_int_equal(datadir_lock_existing(dir, &look, &why), IOR_OK);
    datadir_unlock(&look);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(one_at_a_time),
        TEST(asking_changes_nothing),
        TEST(the_directory_is_made),
        TEST(run_file_needs_the_lock),
        TEST(odd_run_files_are_not_believed),
        TEST(looking_makes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

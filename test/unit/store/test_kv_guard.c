/* test/unit/store/test_kv_guard.c - damage in a catalog that is in use: the callback's end where
 * the mapping faults or LMDB asserts; a fault anywhere else, and signals that were sent, have the
 * effect that they had before. Each case is a child process. */
#include "base/bytes.h"
#include "kv_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "store/kv_guard.h"

enum { PAGE = 4096, CALLED = 65, ENDED_WELL = 7, ROWS = 2000 };
enum { META_MAIN_ROOT = 16 + 24 + 48 + 40, META_TXN = 144 };

static struct kv_rig rig;

static int set_up(void **state)
{
    (void)state;
    kv_rig_init(&rig, true);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kv_rig_open(&rig); /* or its lock file is missing */
    kv_rig_done(&rig);
    return 0;
}

static void called(const char *what)
{
    _exit(what[0] != 0 ? CALLED : 1);
}

/* ---- what is done to the file ---- */

static int file_fd(void)
{
    int fd = open(rig.file, O_RDWR);
    if (fd < 0) _exit(99);
    return fd;
}

static void put_u64(uint64_t at, uint64_t value)
{
    int fd = file_fd();
    if (pwrite(fd, &value, sizeof value, (off_t)at) != sizeof value) _exit(99);
    close(fd);
}

/* All leaf and branch pages get other flags. */
static void change_flags(uint16_t set)
{
    uint8_t head[16];
    int fd = file_fd();
    for (off_t at = 2 * PAGE; pread(fd, head, sizeof head, at) == sizeof head; at += PAGE) {
        uint16_t flags = ior_get_u16(head + 10);
        if (flags != 1 && flags != 2) continue;
        flags |= set;
        if (pwrite(fd, &flags, sizeof flags, at + 10) != sizeof flags) _exit(99);
    }
    close(fd);
}

/* ---- children ---- */

static void fill(unsigned version)
{
    struct kv_writer *w = NULL;
    char key[16];
    if (kv_write_begin(rig.kv, &w) != IOR_OK) _exit(98);
    for (unsigned i = 0; i < ROWS; i++) {
        snprintf(key, sizeof key, "%05u", i);
        if (kv_put(w, KV_ROWS, ior_slice_str(key), ior_slice(&version, 4)) != IOR_OK) _exit(97);
    }
    if (kv_write_commit(w) != IOR_OK) _exit(96);
}

static void read_all(void)
{
    struct ior_slice key;
    struct ior_slice value;
    enum ior_err err = kv_read_begin(rig.reader);
    if (err == IOR_OK) err = kv_seek(rig.reader, KV_ROWS, ior_slice(NULL, 0), &key, &value);
    while (err == IOR_OK) err = kv_next(rig.reader, &key, &value);
    kv_read_end(rig.reader);
}

/* With a catalog of some pages that is open. */
static int in_child(void (*fn)(void))
{
    int status = 0;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct rlimit none = {0, 0};
        struct ior_why why;
        static const int deadly[] = {SIGSEGV, SIGBUS, SIGABRT};
        setrlimit(RLIMIT_CORE, &none);
        int null_fd = open("/dev/null", O_WRONLY);
        dup2(null_fd, STDERR_FILENO); /* the report of a sanitizer */
        /* cmocka catches them, too. */
        for (size_t i = 0; i < IOR_LEN(deadly); i++) signal(deadly[i], SIG_DFL);
        kv_guard_set(called);
        if (kv_rig_try_open(&rig, &why) != IOR_OK || kv_reader_new(rig.kv, &rig.reader) != IOR_OK)
            _exit(95);
        fill(1);
        read_all();
        fn();
        _exit(ENDED_WELL);
    }
    while (waitpid(pid, &status, 0) < 0) assert_int_equal(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

static void nothing(void)
{
    kv_rig_close(&rig);
}

static void cut(void)
{
    if (truncate(rig.file, 3 * PAGE) != 0) _exit(94);
    read_all();
}

/* LMDB takes the pages for its own copies and writes into the mapping. */
static void dirty(void)
{
    change_flags(0x10);
    fill(2);
}

/* "root > 1" */
static void no_root(void)
{
    put_u64(META_MAIN_ROOT, 1);
    put_u64(PAGE + META_MAIN_ROOT, 1);
    read_all();
}

static void *no_page(void)
{
    void *at = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) _exit(93);
    return at;
}

static void fault_elsewhere(void)
{
    *(volatile char *)no_page() = 1;
}

static void another_file(void)
{
    char path[] = "/tmp/iorio-guard-XXXXXX";
    int fd = mkstemp(path);
    unlink(path);
    volatile char *at = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
    if (fd < 0 || at == MAP_FAILED) _exit(93);
    (void)at[0];
}

static void sent_segv(void)
{
    kill(getpid(), SIGSEGV);
    for (;;) pause();
}

static void sent_bus(void)
{
    raise(SIGBUS);
}

/* The mapping is gone, and what lies there now is no catalog. */
static void after_close(void)
{
    kv_rig_close(&rig);
    fault_elsewhere();
}

static const struct {
    const char *name;
    void (*fn)(void);
    int wanted; /* 0: any end but the callback's and a good one */
} cases[] = {
    {"nothing", nothing, ENDED_WELL},
    {"a file that is cut", cut, CALLED},
    {"a page that seems to be LMDB's own", dirty, CALLED},
    {"an assertion", no_root, CALLED},
    {"a fault elsewhere", fault_elsewhere, 0},
    {"a fault in another file", another_file, 0},
    {"SIGSEGV from a process", sent_segv, 0},
    {"SIGBUS from itself", sent_bus, 0},
    {"a fault after it was closed", after_close, 0},
};

static void each_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < IOR_LEN(cases); i++) {
        int end = in_child(cases[i].fn);
        bool as_before = end != CALLED && end != ENDED_WELL && (end < 90 || end > 100);
        if (cases[i].wanted == 0 ? !as_before : end != cases[i].wanted)
            fail_msg("%s: ended with %d", cases[i].name, end);
        unlink(rig.file);
    }
}

/* What: a second catalog in the process is not guarded, and does not take the guard away. */
static void second_catalog(void)
{
    struct kv_rig other;
    struct ior_why why;
    kv_rig_init(&other, true);
    if (kv_rig_try_open(&other, &why) != IOR_OK) _exit(92);
    kv_close(other.kv);
    unlink(other.file);
    snprintf(other.file, sizeof other.file, "%s/" KV_LMDB_FILE "-lock", other.dir);
    unlink(other.file);
    rmdir(other.dir);
    cut();
}

static void two_catalogs(void **state)
{
    (void)state;
    assert_int_equal(in_child(second_catalog), CALLED);
    unlink(rig.file);
}

/* What: without a callback LMDB's assertion is what it was. */
static void without_callback(void **state)
{
    int status = 0;
    (void)state;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        kv_rig_open(&rig);
        no_root();
        _exit(ENDED_WELL);
    }
    while (waitpid(pid, &status, 0) < 0) assert_int_equal(errno, EINTR);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    unlink(rig.file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_case, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_catalogs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_callback, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/auth/test_password_process.c - argon2id in another process: the same answers, whatever
 * happens to it. The other process is this program with the verb. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "auth/password_process.h"
#include "base/limits.h"
#include "base/log.h"

static int set_up(void **state)
{
    (void)state;
    password_process_start("/proc/self/exe");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    password_process_stop();
    assert_int_equal(password_process_pid(), 0);
    return 0;
}

static void works(void)
{
    static char hash[PASSWORD_HASH_BYTES];
    if (hash[0] == 0) assert_int_equal(password_hash(IOR_SLICE("sesame"), hash), IOR_OK);
    assert_true(password_verify(hash, IOR_SLICE("sesame")));
    assert_false(password_verify(hash, IOR_SLICE("Sesame")));
    assert_false(password_verify(NULL, IOR_SLICE("sesame")));
}

/* The process is gone, or a zombie of somebody else. */
static bool is_gone(int pid)
{
    char path[64];
    char stat[256] = "";
    if (kill(pid, 0) != 0 && errno == ESRCH) return true;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (f == NULL) return true;
    const char *state = fgets(stat, sizeof stat, f) == NULL ? NULL : strrchr(stat, ')');
    fclose(f);
    return state != NULL && state[1] == ' ' && (state[2] == 'Z' || state[2] == 'X');
}

/* What: hashes and checks are those of this process: each side takes what the other has made. */
static void the_same_answers(void **state)
{
    (void)state;
    char there[PASSWORD_HASH_BYTES];
    char here[PASSWORD_HASH_BYTES];
    assert_int_equal(password_process_pid(), 0); /* not before it is needed */
    assert_int_equal(password_hash(IOR_SLICE("a\0b"), there), IOR_OK);
    int pid = password_process_pid();
    assert_true(pid > 0 && pid != getpid());
    works();
    assert_int_equal(password_process_pid(), pid); /* one for all */
    password_process_stop();
    assert_true(is_gone(pid));
    assert_true(password_verify(there, IOR_SLICE("a\0b")));
    assert_int_equal(password_hash(IOR_SLICE("a\0c"), here), IOR_OK);
    password_process_start("/proc/self/exe");
    assert_true(password_verify(here, IOR_SLICE("a\0c")));
    assert_false(password_verify(here, IOR_SLICE("a\0b")));
    assert_true(password_process_pid() > 0);
    static char longest[PASSWORD_BYTES_MAX + 1];
    memset(longest, 'x', sizeof longest);
    assert_int_equal(password_hash(ior_slice(longest, sizeof longest), here), IOR_E_INVAL);
    assert_int_equal(password_hash(ior_slice(longest, PASSWORD_BYTES_MAX), here), IOR_OK);
    assert_true(password_verify(here, ior_slice(longest, PASSWORD_BYTES_MAX)));
    assert_false(password_verify(here, ior_slice(longest, PASSWORD_BYTES_MAX - 1)));
}

/* What: it has the lowest priority, whoever asks. */
static void low_priority(void **state)
{
    (void)state;
    works();
    assert_int_equal(getpriority(PRIO_PROCESS, (id_t)password_process_pid()), 19);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), 0);
}

/* What: it is killed: the next question starts another one. */
static void killed(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        works();
        int pid = password_process_pid();
        assert_int_equal(kill(pid, SIGKILL), 0);
        works();
        assert_int_not_equal(password_process_pid(), pid);
        assert_true(is_gone(pid));
    }
}

/* What: there is none, or one that says nothing: the work is done here. */
static void cannot_be_had(void **state)
{
    (void)state;
    password_process_stop();
    static const char *const programs[] = {"/no/such/program", "/bin/true", "/bin/false", "/"};
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        password_process_start(programs[i]);
        works();
        assert_int_equal(password_process_pid(), 0);
        password_process_stop();
    }
}

static void pause_ms(long ms)
{
    const struct timespec t = {0, ms * 1000000};
    nanosleep(&t, NULL);
}

/* What: it ends when the node does, however: a child that has started one is killed. */
static void ends_with_the_node(void **state)
{
    (void)state;
    int ends[2];
    int pid = 0;
    password_process_stop();
    assert_int_equal(pipe(ends), 0);
    pid_t node = fork();
    assert_true(node >= 0);
    if (node == 0) {
        password_process_start("/proc/self/exe");
        bool right = password_verify(NULL, IOR_SLICE("x"));
        pid = password_process_pid();
        ssize_t n = right ? 0 : write(ends[1], &pid, sizeof pid);
        (void)n;
        for (;;) pause();
    }
    assert_int_equal(read(ends[0], &pid, sizeof pid), sizeof pid);
    assert_true(pid > 0 && !is_gone(pid));
    kill(node, SIGKILL);
    for (int i = 0; i < 2000 && !is_gone(pid); i++) pause_ms(5);
    assert_true(is_gone(pid));
    close(ends[0]);
    close(ends[1]);
}

/* What: by hand it does nothing. */
static void by_hand(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "/proc/%d/exe " PASSWORD_PROCESS_VERB " </dev/null",
             (int)getpid());
    int rc = system(command);
    assert_true(WIFEXITED(rc));
    assert_int_equal(WEXITSTATUS(rc), 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(the_same_answers), T(low_priority),       T(killed),
        T(cannot_be_had),    T(ends_with_the_node), T(by_hand),
    };
    if (argc == 2 && strcmp(argv[1], PASSWORD_PROCESS_VERB) == 0) return password_process_main();
    if (password_init() != IOR_OK) return 1;
    log_set_level("error");
    return cmocka_run_group_tests_name("auth/password_process", tests, NULL, NULL);
}

/* test/unit/proto/test_request_log.c - lines on their way to the file: order, bounds, files that go
 * and come, and that nothing waits. Two workers in one thread; the writing thread is real. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "proto/http/request_log.h"
#include "rt/worker.h"

static char dir[128];
static struct worker workers[2];
static struct request_log *requests;
static struct config config;

static void no_wake(void *ctx)
{
    (void)ctx;
}

static void use_file(const char *name)
{
    struct ior_why why = {""};
    config_set_defaults(&config, "/tmp");
    snprintf(config.request_log, sizeof config.request_log, "json");
    if (name != NULL)
        snprintf(config.request_log_file, sizeof config.request_log_file, "%s/%s", dir, name);
    if (request_log_open(requests, &config, &why) != IOR_OK) fail_msg("%s", why.text);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/iorio-test-requests-XXXXXX");
    if (mkdtemp(dir) == NULL) return -1;
    for (unsigned i = 0; i < 2; i++) worker_init(&workers[i], i, no_wake, NULL);
    if (request_log_new(2, &requests) != IOR_OK) return -1;
    use_file("a.log");
    return 0;
}

static void turns(void)
{
    for (unsigned i = 0; i < 2; i++) {
        worker_enter(&workers[i]);
        worker_turn(&workers[i]);
    }
    worker_enter(NULL);
}

static void finish(void)
{
    for (unsigned i = 0; i < 2; i++) {
        worker_enter(&workers[i]);
        request_log_tick(requests);
    }
    worker_enter(NULL);
    request_log_stop(requests);
    turns();
}

static int tear_down(void **state)
{
    (void)state;
    char command[256];
    request_log_free(requests);
    for (unsigned i = 0; i < 2; i++) worker_done(&workers[i]);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static void add(unsigned worker, uint64_t number, struct ior_slice target)
{
    const struct request_line l = {.target = target, .method = IOR_SLICE("GET"), .us = number};
    worker_enter(&workers[worker]);
    request_log_add(requests, &l, true);
    worker_enter(NULL);
}

/* The numbers (us) of the lines in a file, in their order; how many. */
static size_t numbers(const char *name, uint64_t *out, size_t room)
{
    char path[256];
    static char line[1 << 17];
    size_t n = 0;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "r");
    if (f == NULL) return 0;
    while (fgets(line, sizeof line, f) != NULL) {
        const char *at = strstr(line, "\"us\":");
        assert_non_null(at);
        assert_non_null(strstr(at, "}\n"));
        if (n < room) out[n] = strtoull(at + 5, NULL, 10);
        n++;
    }
    fclose(f);
    return n;
}

static const struct ior_slice short_path = {(const uint8_t *)"/ping", 5};

/* What: all lines of all workers arrive, each worker's in their order. */
static void lines_arrive_in_order(void **state)
{
    (void)state;
    enum { LINES = 3000 };
    static uint64_t got[2 * LINES];
    uint64_t next[2] = {0, 1000000};
    int64_t dropped = metric_value(METRIC_request_log_dropped);
    for (uint64_t i = 0; i < LINES; i++) {
        add(0, i, short_path);
        add(1, 1000000 + i, short_path);
        if (i % 100 == 0) turns();
    }
    finish();
    assert_int_equal(metric_value(METRIC_request_log_dropped), dropped);
    assert_int_equal(numbers("a.log", got, 2 * LINES), 2 * LINES);
    for (size_t i = 0; i < 2 * LINES; i++) {
        unsigned w = got[i] >= 1000000;
        assert_int_equal(got[i], next[w]++);
    }
}

/* What: a worker that gets nothing back runs out of pieces: the rest is counted, nothing waits. */
static void too_much_is_left_out(void **state)
{
    (void)state;
    static uint8_t path[REQUEST_LOG_PATH_BYTES_MAX];
    enum { LINES = REQUEST_LOG_PIECES_MAX * REQUEST_LOG_PIECE_BYTES / 2000 + 200 };
    static uint64_t got[LINES];
    int64_t dropped = metric_value(METRIC_request_log_dropped);
    memset(path, 'p', sizeof path);
    for (uint64_t i = 0; i < LINES; i++) add(0, i, ior_slice(path, sizeof path));
    dropped = metric_value(METRIC_request_log_dropped) - dropped;
    assert_true(dropped >= 100 && dropped < LINES);
    turns(); /* pieces come home when they are written */
    add(1, 7, short_path);
    finish();
    assert_int_equal(numbers("a.log", got, LINES), LINES - (size_t)dropped + 1);
    size_t kept = 0;
    for (size_t i = 0; i < LINES - (size_t)dropped + 1; i++) {
        if (got[i] == kept) kept++; /* the first ones, none missing between them */
    }
    assert_true(kept >= LINES - (size_t)dropped);
}

/* What: a file that was renamed is followed by a new one of the old name; another name is, too. */
static void files_can_be_renamed(void **state)
{
    (void)state;
    char from[256], to[256];
    uint64_t got[8];
    add(0, 1, short_path);
    worker_enter(&workers[0]);
    request_log_tick(requests);
    worker_enter(NULL);
    for (int i = 0; i < 2000 && numbers("a.log", got, 8) < 1; i++) usleep(1000);
    snprintf(from, sizeof from, "%s/a.log", dir);
    snprintf(to, sizeof to, "%s/a.log.1", dir);
    assert_int_equal(rename(from, to), 0);
    use_file("a.log");
    add(0, 2, short_path);
    worker_enter(&workers[0]);
    request_log_tick(requests);
    worker_enter(NULL);
    for (int i = 0; i < 2000 && numbers("a.log", got, 8) < 1; i++) usleep(1000);
    use_file("b.log");
    add(0, 3, short_path);
    finish();
    assert_int_equal(numbers("a.log.1", got, 8), 1);
    assert_int_equal(got[0], 1);
    assert_int_equal(numbers("a.log", got, 8), 1);
    assert_int_equal(got[0], 2);
    assert_int_equal(numbers("b.log", got, 8), 1);
    assert_int_equal(got[0], 3);
}

/* What: without a file of its own the lines are in the log, whole; a file that cannot be opened is
 * an error with key and path, and the lines go on where they went. */
static void the_log_takes_lines(void **state)
{
    (void)state;
    int ends[2];
    static char text[1 << 16];
    static uint8_t path[REQUEST_LOG_PATH_BYTES_MAX]; /* \001: six bytes each in JSON */
    struct ior_why why = {""};
    uint64_t got[8];
    assert_int_equal(pipe(ends), 0);
    memset(path, 1, sizeof path);
    log_set_fd(ends[1]);
    use_file(NULL);
    add(0, 1, short_path);
    add(0, 2, ior_slice(path, sizeof path));
    add(0, 3, short_path);
    snprintf(config.request_log_file, sizeof config.request_log_file, "%s/no/such", dir);
    assert_int_equal(request_log_open(requests, &config, &why), IOR_E_NOTFOUND);
    assert_non_null(strstr(why.text, "request_log.file"));
    assert_non_null(strstr(why.text, "/no/such"));
    finish();
    log_set_fd(STDERR_FILENO);
    close(ends[1]);
    size_t n = 0;
    ssize_t more;
    while ((more = read(ends[0], text + n, sizeof text - 1 - n)) > 0) n += (size_t)more;
    close(ends[0]);
    text[n] = 0;
    unsigned lines = 0;
    for (const char *at = text; (at = strstr(at, "\"us\":")) != NULL; at++)
        assert_int_equal(strtoull(at + 5, NULL, 10), ++lines);
    assert_int_equal(lines, 3);
    assert_int_equal(numbers("a.log", got, 8), 0);
}

/* What: a disk that is full costs lines, which are counted, and is told once. */
static void a_full_disk_costs_lines(void **state)
{
    (void)state;
    int ends[2];
    char text[4096] = "";
    struct ior_why why = {""};
    int64_t dropped = metric_value(METRIC_request_log_dropped);
    if (access("/dev/full", W_OK) != 0) skip();
    assert_int_equal(pipe(ends), 0);
    log_set_fd(ends[1]);
    log_set_level("info");
    snprintf(config.request_log_file, sizeof config.request_log_file, "/dev/full");
    assert_int_equal(request_log_open(requests, &config, &why), IOR_OK);
    for (int i = 0; i < 3; i++) {
        add(0, 1, short_path);
        add(0, 2, short_path);
        worker_enter(&workers[0]);
        request_log_tick(requests);
        worker_enter(NULL);
    }
    finish();
    log_set_fd(STDERR_FILENO);
    close(ends[1]);
    assert_int_equal(metric_value(METRIC_request_log_dropped) - dropped, 6);
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    close(ends[0]);
    const char *told = strstr(text, "request log cannot be written");
    assert_non_null(told);
    assert_null(strstr(told + 1, "request log cannot be written"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_arrive_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_much_is_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_can_be_renamed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_log_takes_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_disk_costs_lines, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

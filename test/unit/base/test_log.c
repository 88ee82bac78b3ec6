/* test/unit/base/test_log.c - one line an event, whatever is in it. Lines go into a
 * pipe, where one write(2) is one read(2) as long as it fits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"

enum { LINE_ROOM = 8192 };
static int ends[2];

static int set_up(void **state)
{
    (void)state;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return -1;
    log_set_fd(ends[1]);
    log_set_level("info");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    log_set_fd(STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

/* What is in the pipe, as text; the number of bytes. */
static size_t take(char out[LINE_ROOM])
{
    const ssize_t n = read(ends[0], out, LINE_ROOM - 1);
    out[n < 0 ? 0 : n] = 0;
    return n < 0 ? 0 : (size_t)n;
}

/* What: a line is time, level, area, event and the rest, and ends with one line break. */
static void line_has_its_parts(void **state)
{
    (void)state;
    char line[LINE_ROOM];
    int year, month, day, hour, minute, second, ms, used = 0;
    LOG_WARNING("journal", "disk full", "segment=%u", 7u);
    assert_true(take(line) > 0);
    assert_int_equal(sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ%n", &year, &month, &day, &hour,
                            &minute, &second, &ms, &used),
                     7);
    assert_int_equal(used, 24);
    assert_true(year >= 2024 && month >= 1 && month <= 12 && day >= 1 && day <= 31);
    assert_string_equal(line + used, " [warning] journal disk full segment=7\n");
}

/* What: each level lets itself and what is more important through; an unknown word means info. */
static void levels_filter(void **state)
{
    (void)state;
    static const char *const words[] = {"debug", "info", "warning", "error", "verbose", ""};
    static const int shown[] = {4, 3, 2, 1, 3, 3};
    char line[LINE_ROOM];
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        log_set_level(words[i]);
        LOG_DEBUG("a", "e", "%d", 1);
        LOG_INFO("a", "e", "%d", 2);
        LOG_WARNING("a", "e", "%d", 3);
        LOG_ERROR("a", "e", "%d", 4);
        int lines = 0;
        const size_t n = take(line);
        for (size_t k = 0; k < n; k++) lines += line[k] == '\n';
        assert_int_equal(lines, shown[i]);
        assert_int_equal(log_wants(LOG_LEVEL_DEBUG), shown[i] == 4);
        assert_true(log_wants(LOG_LEVEL_ERROR));
    }
}

/* What: a filtered line does not even look at its arguments. */
static void filtered_lines_cost_nothing(void **state)
{
    (void)state;
    int looked = 0;
    LOG_DEBUG("a", "e", "%d", ++looked);
    assert_int_equal(looked, 0);
    LOG_INFO("a", "e", "%d", ++looked);
    assert_int_equal(looked, 1);
}

/* What: control characters that a user sent become question marks, so nobody can fake a line. */
static void control_characters_are_masked(void **state)
{
    (void)state;
    char line[LINE_ROOM];
    char name[64] = {0};
    LOG_INFO("http", "login", "user=%s end", "a\nb\rc\td\x1b[31m\x7f!");
    assert_true(take(line) > 0);
    assert_non_null(strstr(line, "user=a?b?c?d?[31m?! end\n"));
    for (int c = 1; c < 0x20; c++) name[c - 1] = (char)c;
    LOG_INFO("http", "login", "user=%s", name);
    assert_true(take(line) > 0);
    assert_non_null(strstr(line, "user=???????????????????????????????\n"));
}

/* What: bytes of UTF-8 go through as they are. */
static void utf8_stays(void **state)
{
    (void)state;
    char line[LINE_ROOM];
    LOG_INFO("http", "login", "user=%s", "j\xc3\xb6rg \xe2\x82\xac \xf0\x9f\x98\x80");
    assert_true(take(line) > 0);
    assert_non_null(strstr(line, "user=j\xc3\xb6rg \xe2\x82\xac \xf0\x9f\x98\x80\n"));
}

/* What: a line that is too long is cut to 2,048 bytes or less and still ends with its one line
 * break. */
static void long_lines_are_cut(void **state)
{
    (void)state;
    static const size_t sizes[] = {1900, 1980, 1990, 2000, 2010, 2020, 2048, 4000, 6000};
    char text[LINE_ROOM];
    char line[LINE_ROOM];
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        memset(text, 'x', sizes[i]);
        text[sizes[i]] = 0;
        LOG_INFO("a", "e", "%s", text);
        const size_t n = take(line);
        assert_true(n > 1900 && n <= 2048);
        assert_int_equal(line[n - 1], '\n');
        assert_ptr_equal(strchr(line, '\n'), line + n - 1);
        assert_int_equal(take(line), 0); /* one write: no second line */
    }
    /* The part in front of the format may be too long as well. */
    LOG_INFO("a", text, "%s", text);
    const size_t n = take(line);
    assert_true(n > 1900 && n <= 2048 && line[n - 1] == '\n');
}

/* What: a line that nobody can take (the pipe's other end is full) is lost, not an error. */
static void lost_lines_do_no_harm(void **state)
{
    (void)state;
    char line[LINE_ROOM];
    for (int i = 0; i < 5000; i++) LOG_INFO("a", "e", "n=%d filling the pipe up to its end", i);
    while (take(line) > 0) {
    }
    LOG_INFO("a", "e", "again");
    assert_true(take(line) > 0);
    assert_non_null(strstr(line, "a e again\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(line_has_its_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(levels_filter, set_up, tear_down),
        cmocka_unit_test_setup_teardown(filtered_lines_cost_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(control_characters_are_masked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(utf8_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_lines_are_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lost_lines_do_no_harm, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

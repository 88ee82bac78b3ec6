/* test/unit/base/test_log_limit.c - so many lines a second, and how many were left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log_limit.h"

/* What: max lines of a second; the first line of a later one tells how many are missing. */
static void so_many_a_second(void **state)
{
    (void)state;
    struct log_limit l = {0};
    uint64_t left_out = 99;
    for (int i = 0; i < 3; i++) {
        assert_true(log_limit_take(&l, 7, 3, &left_out));
        assert_int_equal(left_out, 0);
    }
    left_out = 99;
    for (int i = 0; i < 5; i++) assert_false(log_limit_take(&l, 7, 3, &left_out));
    assert_int_equal(left_out, 99);
    assert_true(log_limit_take(&l, 8, 3, &left_out));
    assert_int_equal(left_out, 5);
    assert_true(log_limit_take(&l, 8, 3, &left_out));
    assert_int_equal(left_out, 0);
    assert_true(log_limit_take(&l, 100, 3, &left_out));
    assert_int_equal(left_out, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(so_many_a_second)};
    return cmocka_run_group_tests_name("base/log_limit", tests, NULL, NULL);
}

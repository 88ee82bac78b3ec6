/* test/unit/base/test_metrics.c - counters and gauges, and their text for Prometheus. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/metrics.h"

enum { THREADS = 3, ROUNDS = 20000 };

static void *count_up(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        metric_add(METRIC_read_events, 2);
        metric_gauge_add(METRIC_http_connections, i % 2 == 0 ? 3 : -2);
    }
    return NULL;
}

/* What: a counter is the sum of what every thread added, and threads that ended count on. */
static void threads_add_up(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    const int64_t before = metric_value(METRIC_read_events);
    const int64_t gauge_before = metric_value(METRIC_http_connections);
    metric_add(METRIC_read_events, 5);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    int64_t last = 0;
    for (int i = 0; i < 1000; i++) { /* a scrape meanwhile never sees a counter go back */
        const int64_t now = metric_value(METRIC_read_events);
        assert_true(now >= last);
        last = now;
    }
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(metric_value(METRIC_read_events) - before, 5 + 2 * THREADS * ROUNDS);
    assert_int_equal(metric_value(METRIC_http_connections) - gauge_before, THREADS * ROUNDS / 2);
    metric_gauge_set(METRIC_http_connections, 0);
}

/* What: a gauge goes up and down, below zero too, and can be set; a counter beside it stays. */
static void gauges_move_both_ways(void **state)
{
    (void)state;
    const int64_t counter = metric_value(METRIC_logins);
    metric_gauge_set(METRIC_tail_bytes, 100);
    metric_gauge_add(METRIC_tail_bytes, -130);
    assert_int_equal(metric_value(METRIC_tail_bytes), -30);
    metric_gauge_set(METRIC_tail_bytes, INT64_MAX);
    assert_int_equal(metric_value(METRIC_tail_bytes), INT64_MAX);
    metric_gauge_set(METRIC_tail_bytes, 0);
    assert_int_equal(metric_value(METRIC_logins), counter);
}

/* One line of the text, cut off *at. */
static char *take_line(char **at)
{
    char *line = *at;
    char *end = strchr(line, '\n');
    assert_non_null(end); /* the last line ends too */
    *end = 0;
    *at = end + 1;
    return line;
}

static void check_row(char **at, const char *name, const char *help, bool counter)
{
    char want[512];
    const char *suffix = counter ? "_total" : "";
    snprintf(want, sizeof want, "# HELP iorio_%s%s %s", name, suffix, help);
    assert_string_equal(take_line(at), want);
    snprintf(want, sizeof want, "# TYPE iorio_%s%s %s", name, suffix,
             counter ? "counter" : "gauge");
    assert_string_equal(take_line(at), want);
    const char *value = take_line(at);
    const int n = snprintf(want, sizeof want, "iorio_%s%s ", name, suffix);
    assert_memory_equal(value, want, (size_t)n);
    char *end = NULL;
    strtoll(value + n, &end, 10);
    assert_true(end != value + n && *end == 0);
}

/* What: the text has every row of metrics.def once, in exposition format 0.0.4, and nothing else.
 */
static void text_has_every_row(void **state)
{
    (void)state;
    enum { COUNTER, GAUGE };
    struct ior_buf out;
    ior_buf_init(&out);
    metrics_text(&out);
    ior_buf_add_char(&out, 0);
    assert_false(ior_buf_failed(&out));
    char *at = (char *)out.data;
#define M(kind, name, help) check_row(&at, #name, help, kind == COUNTER);
#include "base/metrics.def"
#undef M
    assert_int_equal(*at, 0);
    ior_buf_done(&out);
}

/* What: the value in the text is the value counted. */
static void text_shows_values(void **state)
{
    (void)state;
    char want[128];
    struct ior_buf out;
    metric_add(METRIC_http_requests, 41);
    metric_gauge_set(METRIC_streams, 12345678901);
    ior_buf_init(&out);
    metrics_text(&out);
    ior_buf_add_char(&out, 0);
    snprintf(want, sizeof want, "\niorio_http_requests_total %lld\n",
             (long long)metric_value(METRIC_http_requests));
    assert_non_null(strstr((char *)out.data, want));
    assert_non_null(strstr((char *)out.data, "\niorio_streams 12345678901\n"));
    ior_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_add_up),
        cmocka_unit_test(gauges_move_both_ways),
        cmocka_unit_test(text_has_every_row),
        cmocka_unit_test(text_shows_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

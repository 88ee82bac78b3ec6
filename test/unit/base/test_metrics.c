/* test/unit/base/test_metrics.c - counters, gauges, histograms, and their texts. */
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

#include "base/json.h"
#include "base/limits.h"
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

static void check_line(char **at, const char *want)
{
    const char *line = take_line(at);
    assert_memory_equal(line, want, strlen(want));
    char *end = NULL;
    strtod(line + strlen(want), &end);
    assert_true(end != line + strlen(want) && *end == 0);
}

/* The steps are cumulative, the last one is the count. */
static void check_histogram(char **at, const char *family, const char *label, const char *value,
                            const char *help)
{
    char want[512];
    char labels[64] = "";
    long long last = 0;
    if (help[0] != 0) {
        snprintf(want, sizeof want, "# HELP iorio_%s %s", family, help);
        assert_string_equal(take_line(at), want);
        snprintf(want, sizeof want, "# TYPE iorio_%s histogram", family);
        assert_string_equal(take_line(at), want);
    }
    if (label[0] != 0) snprintf(labels, sizeof labels, "%s=\"%s\"", label, value);
    for (unsigned i = 0; i <= HISTOGRAM_STEPS; i++) {
        const char *line = take_line(at);
        const int n = snprintf(want, sizeof want, "iorio_%s_bucket{%s%sle=\"", family, labels,
                               labels[0] == 0 ? "" : ",");
        assert_memory_equal(line, want, (size_t)n);
        char *end = NULL;
        const double le = strtod(line + n, &end);
        if (i < HISTOGRAM_STEPS) {
            assert_true(le * 1e6 > (double)histogram_step_us(i) - 0.5);
            assert_true(le * 1e6 < (double)histogram_step_us(i) + 0.5);
        } else {
            assert_memory_equal(line + n, "+Inf", 4);
        }
        assert_memory_equal(end, "\"} ", 3);
        const long long now = strtoll(end + 3, &end, 10);
        assert_true(now >= last && *end == 0);
        last = now;
    }
    const char *open = labels[0] == 0 ? "" : "{";
    const char *shut = labels[0] == 0 ? "" : "}";
    snprintf(want, sizeof want, "iorio_%s_sum%s%s%s ", family, open, labels, shut);
    check_line(at, want);
    snprintf(want, sizeof want, "iorio_%s_count%s%s%s %lld", family, open, labels, shut, last);
    assert_string_equal(take_line(at), want);
}

static void check_buckets(char **at, const char *name, const char *help)
{
    char want[512];
    struct ior_slice bucket;
    uint64_t values[BUCKET_METRIC_COUNT];
    snprintf(want, sizeof want, "# HELP iorio_%s_total %s", name, help);
    assert_string_equal(take_line(at), want);
    snprintf(want, sizeof want, "# TYPE iorio_%s_total counter", name);
    assert_string_equal(take_line(at), want);
    for (unsigned slot = 1; metric_bucket_at(slot, &bucket, values); slot++) {
        snprintf(want, sizeof want, "iorio_%s_total{bucket=\"", name);
        assert_memory_equal(take_line(at), want, strlen(want));
    }
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
#define H(name, family, label, value, help) check_histogram(&at, #family, #label, #value, help);
#define B(name, help) check_buckets(&at, #name, help);
#include "base/metrics.def"
#undef M
#undef H
#undef B
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

static struct histogram_sum since(const struct histogram_sum *before, enum histogram h)
{
    struct histogram_sum now;
    metric_histogram(h, &now);
    now.count -= before->count;
    now.sum_us -= before->sum_us;
    for (unsigned i = 0; i <= HISTOGRAM_STEPS; i++) now.steps[i] -= before->steps[i];
    return now;
}

static void *observe_some(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++)
        metric_observe_us(HISTOGRAM_http_list, (uint64_t)(i % 3) * 100);
    return NULL;
}

/* What: a duration falls into the first step that it does not exceed; threads add up. */
static void durations_fall_into_steps(void **state)
{
    (void)state;
    struct histogram_sum before;
    metric_histogram(HISTOGRAM_http_list, &before);
    for (unsigned i = 0; i < HISTOGRAM_STEPS; i++) {
        metric_observe_us(HISTOGRAM_http_list, histogram_step_us(i));
        metric_observe_us(HISTOGRAM_http_list, histogram_step_us(i) + 1);
    }
    metric_observe_us(HISTOGRAM_http_list, 0);
    metric_observe_us(HISTOGRAM_http_list, UINT64_C(1) << 40);
    struct histogram_sum h = since(&before, HISTOGRAM_http_list);
    assert_int_equal(h.count, 2 * HISTOGRAM_STEPS + 2);
    assert_int_equal(h.steps[0], 2);
    for (unsigned i = 1; i <= HISTOGRAM_STEPS; i++) assert_int_equal(h.steps[i], 2);
    metric_histogram(HISTOGRAM_http_list, &before);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, observe_some, NULL), 0);
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    h = since(&before, HISTOGRAM_http_list);
    assert_int_equal(h.count, THREADS * ROUNDS);
    assert_int_equal(h.sum_us, THREADS * UINT64_C(1999900)); /* 0, 100, 200, 0... */
}

/* What: a guess lies inside of the step that has the value; what is off the scale is its end. */
static void guesses_lie_in_their_step(void **state)
{
    (void)state;
    struct histogram_sum h = {.count = 0};
    assert_int_equal(histogram_guess_us(&h, 500), 0);
    h.steps[1] = 90; /* 50..100 us */
    h.steps[4] = 9;  /* 0.5..1 ms */
    h.steps[HISTOGRAM_STEPS] = 1;
    h.count = 100;
    assert_in_range(histogram_guess_us(&h, 500), 51, 99);
    assert_int_equal(histogram_guess_us(&h, 900), 100);
    assert_in_range(histogram_guess_us(&h, 910), 501, 1000);
    assert_int_equal(histogram_guess_us(&h, 990), 1000);
    assert_int_equal(histogram_guess_us(&h, 1000), 10000000);
    assert_in_range(histogram_guess_us(&h, 1), 50, 51);
}

/* The value in the text of a bucket with this escaped name; -1: it has no line. */
static long long bucket_value(const char *text, const char *metric, const char *name)
{
    char want[256];
    snprintf(want, sizeof want, "\niorio_%s_total{bucket=\"%s\"} ", metric, name);
    const char *at = strstr(text, want);
    return at == NULL ? -1 : strtoll(at + strlen(want), NULL, 10);
}

/* What: the first buckets have a slot of their own, the rest and `other` share one; names are
 * escaped in both texts. */
static void buckets_have_slots(void **state)
{
    (void)state;
    char name[32];
    const unsigned other = metric_bucket_slot(IOR_SLICE("other"));
    const unsigned odd = metric_bucket_slot(IOR_SLICE("a\"b\\c"));
    assert_true(odd != 0 && odd != other);
    assert_int_equal(metric_bucket_slot(IOR_SLICE("a\"b\\c")), odd);
    for (int i = 0; i < METRIC_BUCKETS_MAX + 20; i++) {
        snprintf(name, sizeof name, "b%d", i);
        const unsigned slot = metric_bucket_slot(ior_slice_str(name));
        assert_int_equal(slot == other, i >= METRIC_BUCKETS_MAX - 1);
        metric_bucket_add(BUCKET_METRIC_bucket_append_events, slot, 1);
        metric_bucket_add(BUCKET_METRIC_bucket_append_bytes, slot, 10);
    }
    metric_bucket_add(BUCKET_METRIC_bucket_append_bytes, odd, 7);
    struct ior_buf out;
    ior_buf_init(&out);
    metrics_text(&out);
    ior_buf_add_char(&out, 0);
    const char *text = (const char *)out.data;
    assert_int_equal(bucket_value(text, "bucket_append_bytes", "a\\\"b\\\\c"), 7);
    assert_int_equal(bucket_value(text, "bucket_append_events", "b7"), 1);
    assert_int_equal(bucket_value(text, "bucket_append_events", "b119"), -1);
    assert_int_equal(bucket_value(text, "bucket_append_events", "other"), 21);
    assert_int_equal(bucket_value(text, "bucket_append_bytes", "other"), 210);
    ior_buf_done(&out);
}

/* What: the JSON is JSON, and has the same values. */
static void json_is_json(void **state)
{
    (void)state;
    char want[128];
    struct ior_buf out;
    metric_add(METRIC_http_requests, 3);
    metric_observe_us(HISTOGRAM_journal_sync, 120);
    ior_buf_init(&out);
    ior_buf_add_char(&out, '{');
    metrics_json(&out);
    ior_buf_add_char(&out, '}');
    assert_int_equal(ior_json_check(ior_buf_slice(&out), JSON_DEPTH_MAX, NULL), IOR_OK);
    ior_buf_add_char(&out, 0);
    snprintf(want, sizeof want, "\"http_requests\":%lld,",
             (long long)metric_value(METRIC_http_requests));
    assert_non_null(strstr((char *)out.data, want));
    assert_non_null(strstr((char *)out.data, "\"journal_sync_seconds\":{\"count\":1,\"sum_us\":120,"
                                             "\"p50_us\":200,\"p90_us\":200,\"p99_us\":200,"
                                             "\"steps\":{\"200\":1}}"));
    assert_non_null(strstr((char *)out.data, "\"buckets\":{\"other\":{\"bucket_append_events\":"));
    ior_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_add_up),
        cmocka_unit_test(gauges_move_both_ways),
        cmocka_unit_test(text_has_every_row),
        cmocka_unit_test(text_shows_values),
        cmocka_unit_test(durations_fall_into_steps),
        cmocka_unit_test(guesses_lie_in_their_step),
        cmocka_unit_test(buckets_have_slots),
        cmocka_unit_test(json_is_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

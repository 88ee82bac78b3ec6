/* test/unit/core/test_report.c - the node's own metrics as events, on a whole node by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "core/report.h"
#include "rig.h"

static struct rig rig;
static struct report *report;
static struct config config;

static void open_node(void)
{
    rig_open(&rig);
    assert_int_equal(report_new(rig.node, &report), IOR_OK);
}

static void close_node(void)
{
    report_stop(report);
    rig_settle(&rig);
    assert_true(report_rests(report));
    report_free(report);
    rig_close(&rig);
}

static int set_up(void **state)
{
    (void)state;
    config_set_defaults(&config, "/tmp");
    rig_init(&rig);
    open_node();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_done(&rig);
    return 0;
}

/* So many seconds pass, ten ticks in each. */
static void pass(unsigned seconds)
{
    for (unsigned i = 0; i < seconds * 10; i++) {
        rig.mono_us += 100000;
        rig.wall_ms += 100;
        rig_enter(&rig, 0);
        report_tick(report, &config);
        rig_settle(&rig);
    }
}

static uint64_t count(const char *bucket, const char *stream)
{
    struct read *r = rig_read_new(bucket, stream);
    r->how = READ_LAST;
    r->limit = 1;
    r->to = UINT64_MAX;
    rig_read(&rig, r);
    uint64_t high = r->high;
    read_free(r);
    return high;
}

/* The last event as text. */
static void last_event(const char *bucket, const char *stream, char *out, size_t room)
{
    struct read *r = rig_read_new(bucket, stream);
    r->how = READ_LAST;
    r->limit = 1;
    r->to = UINT64_MAX;
    rig_read(&rig, r);
    assert_int_equal(r->count, 1);
    assert_true(r->events[0].json);
    assert_true(r->events[0].payload.size_bytes < room);
    memcpy(out, r->events[0].payload.data, r->events[0].payload.size_bytes);
    out[r->events[0].payload.size_bytes] = 0;
    read_free(r);
}

/* What: the first event comes an interval after the start, then one an interval. */
static void one_event_an_interval(void **state)
{
    (void)state;
    static char text[1 << 16];
    int64_t before = metric_value(METRIC_metrics_events);
    pass(59);
    assert_int_equal(count("$sys", "metrics"), 0);
    pass(1);
    assert_int_equal(count("$sys", "metrics"), 1);
    last_event("$sys", "metrics", text, sizeof text);
    assert_non_null(strstr(text, "{\"node\":\"iorio@127.0.0.1\",\"version\":"));
    assert_non_null(strstr(text, ",\"uptime_s\":60,\"interval_s\":60,\"counters\":{"));
    assert_non_null(strstr(text, "\"buckets\":{"));
    pass(119);
    assert_int_equal(count("$sys", "metrics"), 2);
    pass(1);
    assert_int_equal(count("$sys", "metrics"), 3);
    assert_int_equal(metric_value(METRIC_metrics_events) - before, 3);
    close_node();
}

/* What: the keys may change at any time; 0 is off, and after that the first one comes an interval
 * later. */
static void keys_are_live(void **state)
{
    (void)state;
    config.metrics_interval = 0;
    pass(200);
    assert_int_equal(count("$sys", "metrics"), 0);
    config.metrics_interval = 5000;
    pass(4);
    assert_int_equal(count("$sys", "metrics"), 0);
    pass(1);
    assert_int_equal(count("$sys", "metrics"), 1);
    snprintf(config.metrics_bucket, sizeof config.metrics_bucket, "ops");
    snprintf(config.metrics_stream, sizeof config.metrics_stream, "node 1");
    pass(10);
    assert_int_equal(count("$sys", "metrics"), 1);
    assert_int_equal(count("ops", "node 1"), 2);
    snprintf(config.metrics_bucket, sizeof config.metrics_bucket, "..");
    pass(10); /* no name: nothing happens */
    assert_int_equal(count("ops", "node 1"), 2);
    close_node();
}

static bool policy(const char *bucket, const char *stream, struct retention *ret)
{
    return retention_view_own(meta_retention(rig.node->meta), ior_slice_str(bucket),
                              ior_slice_str(stream), ret);
}

static void on_changed(struct retention_change *c)
{
    assert_int_equal(c->err, IOR_OK);
    retention_change_free(c);
}

static void set_policy(const char *bucket, const char *stream, const struct retention *r)
{
    struct retention_change *c = NULL;
    assert_int_equal(retention_change_new(ior_slice_str(bucket), ior_slice_str(stream), r, &c),
                     IOR_OK);
    assert_int_equal(iorio_retention_change(rig.node, c, on_changed), IOR_OK);
    rig_settle(&rig);
}

/* What: the stream gets a policy when there is none; one that was set or taken away by somebody
 * stays so until the next start. */
static void the_stream_is_bounded(void **state)
{
    (void)state;
    struct retention r;
    pass(60);
    assert_true(policy("$sys", "metrics", &r));
    assert_int_equal(r.max_age_ms, REPORT_KEEP_MS);
    assert_int_equal(r.max_events, RETENTION_UNSET);
    set_policy("$sys", "metrics", NULL);
    pass(60);
    assert_false(policy("$sys", "metrics", &r));
    close_node();
    open_node();
    const struct retention forever = {.max_age_ms = RETENTION_NONE};
    set_policy("$sys", "", &forever);
    pass(60);
    assert_false(policy("$sys", "metrics", &r));
    assert_int_equal(count("$sys", "metrics"), 3);
    close_node();
}

/* What: when the node refuses appends the event is missing and counted, and later ones come. */
static void refusals_are_no_failure(void **state)
{
    (void)state;
    int64_t failed = metric_value(METRIC_metrics_events_failed);
    atomic_store(&rig.node->memory.tail_bytes, rig.node->params.tail_bytes_max);
    pass(120);
    atomic_store(&rig.node->memory.tail_bytes, 0);
    assert_int_equal(count("$sys", "metrics"), 0);
    assert_int_equal(metric_value(METRIC_metrics_events_failed) - failed, 2);
    pass(60);
    assert_int_equal(count("$sys", "metrics"), 1);
    close_node();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_event_an_interval, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keys_are_live, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_stream_is_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refusals_are_no_failure, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

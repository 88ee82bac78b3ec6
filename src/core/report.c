/* src/core/report.c - see report.h. */
#include "core/report.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/log.h"
#include "base/metrics.h"
#include "core/iorio.h"
#include "rt/clock.h"

struct report {
    struct node *node;
    uint64_t start_us;
    uint64_t last_us; /* of the last event, or the start */
    bool bad_name;    /* it was logged */
    bool has_policy;  /* it was looked at in this process */
    bool stopped;
    _Atomic unsigned under_way; /* appends and changes of policies */
};

enum ior_err report_new(struct node *n, struct report **ret)
{
    struct report *r = calloc(1, sizeof *r);
    if (r == NULL) return IOR_E_NOMEM;
    r->node = n;
    r->start_us = r->last_us = clock_mono_us();
    *ret = r;
    return IOR_OK;
}

void report_stop(struct report *r)
{
    r->stopped = true;
}

bool report_rests(const struct report *r)
{
    return atomic_load(&r->under_way) == 0;
}

void report_free(struct report *r)
{
    IOR_ASSERT(r == NULL || report_rests(r));
    free(r);
}

/* ---- the policy ---- */

static void retention_set(struct retention_change *c)
{
    struct report *r = c->user_ptr;
    if (c->err == IOR_OK) LOG_INFO("metrics", "policy set", "max_age of the stream of metrics");
    retention_change_free(c);
    atomic_fetch_sub(&r->under_way, 1);
}

static void ensure_policy(struct report *r, struct ior_slice bucket, struct ior_slice stream)
{
    static const struct ior_slice none = {NULL, 0};
    const struct retention_view *view = meta_retention(r->node->meta);
    const struct retention wanted = {.max_age_ms = REPORT_KEEP_MS};
    struct retention own;
    struct retention_change *c = NULL;
    if (r->has_policy) return;
    r->has_policy = true;
    if (retention_view_own(view, bucket, stream, &own) ||
        retention_view_own(view, bucket, none, &own))
        return;
    if (retention_change_new(bucket, stream, &wanted, &c) != IOR_OK) return;
    c->user_ptr = r;
    atomic_fetch_add(&r->under_way, 1);
    if (iorio_retention_change(r->node, c, retention_set) == IOR_OK) return;
    atomic_fetch_sub(&r->under_way, 1);
    retention_change_free(c);
    r->has_policy = false; /* with the next event */
}

/* ---- an event ---- */

static void render(const struct report *r, const struct config *c, struct ior_buf *out)
{
    ior_buf_add_str(out, "{\"node\":");
    ior_json_quote(out, ior_slice_str(c->nodename));
    ior_buf_addf(out, ",\"version\":\"" IORIO_VERSION "\",\"uptime_s\":%llu,\"interval_s\":%llu,",
                 (unsigned long long)(r->last_us - r->start_us) / 1000000,
                 (unsigned long long)c->metrics_interval / 1000);
    metrics_json(out);
    ior_buf_add_char(out, '}');
}

static void appended(struct append *a)
{
    struct report *r = a->user_ptr;
    metric_add(a->err == IOR_OK ? METRIC_metrics_events : METRIC_metrics_events_failed, 1);
    append_free(a);
    atomic_fetch_sub(&r->under_way, 1);
}

static enum ior_err submit(struct report *r, struct ior_slice bucket, struct ior_slice stream,
                           const struct ior_buf *json)
{
    const struct event_in event = {ior_buf_slice(json), true};
    struct append *a = NULL;
    if (ior_buf_failed(json)) return IOR_E_NOMEM;
    enum ior_err err = append_new(bucket, stream, &event, 1, (struct ior_slice){NULL, 0}, &a);
    if (err != IOR_OK) return err;
    a->user_ptr = r;
    atomic_fetch_add(&r->under_way, 1);
    err = iorio_append(r->node, a, appended);
    if (err == IOR_OK) return err;
    atomic_fetch_sub(&r->under_way, 1);
    append_free(a);
    return err;
}

static void make_event(struct report *r, const struct config *c)
{
    struct ior_slice bucket = ior_slice_str(c->metrics_bucket);
    struct ior_slice stream = ior_slice_str(c->metrics_stream);
    bool bad = !iorio_bucket_name_ok(bucket) || !iorio_stream_name_ok(stream);
    if (bad && !r->bad_name)
        LOG_WARNING("metrics", "no name",
                    "keys metrics.bucket and metrics.stream: what they say cannot be the name of a "
                    "stream, so the metrics are not appended");
    r->bad_name = bad;
    if (bad) return;
    struct ior_buf json;
    ior_buf_init(&json);
    node_set_gauges(r->node);
    render(r, c, &json);
    ensure_policy(r, bucket, stream);
    if (submit(r, bucket, stream, &json) != IOR_OK) metric_add(METRIC_metrics_events_failed, 1);
    ior_buf_done(&json);
}

void report_tick(struct report *r, const struct config *c)
{
    uint64_t now_us = clock_mono_us();
    if (c->metrics_interval == 0)
        r->last_us = now_us; /* switched on: the first an interval later */
    if (r->stopped || c->metrics_interval == 0) return;
    if (now_us - r->last_us < c->metrics_interval * 1000) return;
    r->last_us = now_us;
    make_event(r, c);
}

/* proto/http/stats.c - GET /stats: what the node is doing, for people and for the web console: who
 * it is, what it holds of its budgets, and everything that /metrics has. docs/api.rst has each
 * member. Thread: the worker of the call; numbers of other threads are read as they are at this
 * moment. */
#include <stdio.h>
#include <unistd.h>

#include "base/json.h"
#include "base/metrics.h"
#include "core/checkpoint.h"
#include "proto/http/call.h"
#include "proto/http/routes.h"
#include "rt/clock.h"

/* Resident bytes of the process; 0: not known. */
static uint64_t resident_bytes(void)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL) return 0;
    if (fscanf(f, "%*u %llu", &pages) != 1) pages = 0;
    fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void add_u64(struct ior_buf *out, const char *before, uint64_t v)
{
    ior_buf_add_str(out, before);
    ior_buf_add_u64(out, v);
}

static void add_flag(struct ior_buf *out, const char *before, bool v)
{
    ior_buf_add_str(out, before);
    ior_buf_add_str(out, v ? "true" : "false");
}

static void add_node(struct ior_buf *out, struct http_app *app)
{
    const char *reason = NULL;
    enum ior_err err = node_health(app->node, &reason);
    if (err == IOR_OK && (!app->ready || app->stopping)) err = IOR_E_CLOSING;
    ior_buf_add_str(out, "\"node\":");
    ior_json_quote(out, ior_slice_str(app->config->nodename));
    ior_buf_add_str(out, ",\"version\":\"" IORIO_VERSION "\"");
    add_u64(out, ",\"time\":", clock_wall_ms());
    add_u64(out, ",\"started\":", app->started_ms);
    add_u64(out, ",\"uptime_s\":", (clock_mono_us() - app->started_mono_us) / 1000000);
    add_u64(out, ",\"pid\":", (uint64_t)getpid());
    add_u64(out, ",\"ring_size\":", app->node->params.ring_size);
    add_flag(out, ",\"ready\":", err == IOR_OK);
    if (err == IOR_OK) return;
    ior_buf_add_str(out, ",\"reason\":");
    ior_json_quote(out, ior_slice_str(reason != NULL ? reason : ior_err_reason(err)));
}

static void add_connections(struct ior_buf *out, const struct http_app *app)
{
    uint64_t open = 0;
    for (unsigned i = 0; i < app->worker_count; i++) open += http_worker_counts(app, i).connections;
    add_u64(out, ",\"connections\":{\"open\":", open);
    add_u64(out, ",\"max\":", app->connections_max);
    add_u64(out, ",\"waiting\":", (uint64_t)metric_value(METRIC_http_waiting));
    ior_buf_add_str(out, "},\"workers\":[");
    for (unsigned i = 0; i < app->worker_count; i++) {
        struct http_worker_counts c = http_worker_counts(app, i);
        add_u64(out, i == 0 ? "{\"connections\":" : ",{\"connections\":", c.connections);
        add_u64(out, ",\"requests\":", c.requests);
        ior_buf_add_char(out, '}');
    }
    ior_buf_add_char(out, ']');
}

static void add_budget(struct ior_buf *out, const char *name, uint64_t used, uint64_t max)
{
    ior_buf_addf(out, ",\"%s\":{\"used\":%llu,\"max\":%llu}", name, (unsigned long long)used,
                 (unsigned long long)max);
}

static void add_memory(struct ior_buf *out, struct node *n)
{
    add_u64(out, ",\"memory\":{\"rss\":", resident_bytes());
    add_budget(out, "tail", atomic_load(&n->memory.tail_bytes), n->params.tail_bytes_max);
    add_budget(out, "history", atomic_load(&n->memory.history_bytes), n->params.history_bytes_max);
    add_budget(out, "inflight", atomic_load(&n->inflight_bytes), n->params.inflight_bytes_max);
    add_budget(out, "dedupe", atomic_load(&n->dedupe.bytes), n->params.dedupe_bytes_max);
    ior_buf_add_char(out, '}');
}

static void add_store(struct ior_buf *out, struct node *n)
{
    uint64_t bytes = node_journal_bytes(n);
    uint64_t free_bytes = atomic_load(&n->disk_bytes);
    enum ior_err last = checkpoint_last_error(n->checkpoint);
    add_u64(out, ",\"journal\":{\"bytes\":", bytes);
    add_u64(out, ",\"max\":", n->params.journal_bytes_max);
    add_u64(out, ",\"segments\":", bytes / n->params.segment_bytes);
    add_u64(out, ",\"batches\":", (uint64_t)metric_value(METRIC_journal_batches));
    add_flag(out, ",\"failed\":", metric_value(METRIC_journal_failed) != 0);
    add_flag(out, ",\"full\":", metric_value(METRIC_journal_full) != 0);
    add_u64(out, "},\"checkpoints\":{\"done\":", (uint64_t)metric_value(METRIC_checkpoints));
    add_u64(out, ",\"failed\":", (uint64_t)metric_value(METRIC_checkpoint_failures));
    ior_buf_add_str(out, ",\"last_error\":");
    if (last == IOR_OK) {
        ior_buf_add_str(out, "null");
    } else {
        ior_json_quote(out, ior_slice_str(ior_err_reason(last)));
    }
    add_u64(out, "},\"catalog\":{\"bytes\":", node_catalog_bytes(n));
    ior_buf_add_str(out, "},\"disk\":{\"free\":");
    if (free_bytes == UINT64_MAX) {
        ior_buf_add_str(out, "null");
    } else {
        ior_buf_add_u64(out, free_bytes);
    }
    add_u64(out, ",\"reserve\":", n->params.disk_reserve_bytes);
    add_u64(out, "},\"streams\":{\"in_memory\":", atomic_load(&n->memory.streams));
    add_u64(out, ",\"watched\":", (uint64_t)metric_value(METRIC_watches));
    ior_buf_add_str(out, "},");
}

void route_stats(struct http_call *call)
{
    struct http_app *app = call->app;
    struct ior_buf out;
    ior_buf_init(&out);
    node_set_gauges(app->node);
    ior_buf_add_char(&out, '{');
    add_node(&out, app);
    add_connections(&out, app);
    add_memory(&out, app->node);
    add_store(&out, app->node);
    metrics_json(&out);
    ior_buf_add_char(&out, '}');
    call_reply_buf(call, 200, "application/json", &out);
}

/* proto/http/node_routes.c - /ping /livez /readyz /metrics. */
#include "base/json.h"
#include "base/metrics.h"
#include "proto/http/call.h"
#include "proto/http/routes.h"

void route_ping(struct http_call *call)
{
    struct ior_buf out;
    ior_buf_init(&out);
    ior_buf_add_str(&out, "{\"pong\":");
    ior_json_quote(&out, ior_slice_str(call->app->config->nodename));
    ior_buf_add_char(&out, '}');
    call_reply_buf(call, 200, "application/json", &out);
}

void route_livez(struct http_call *call)
{
    call_reply_json(call, 200, IOR_SLICE("{\"ok\":true}"));
}

void route_readyz(struct http_call *call)
{
    struct http_app *app = call->app;
    const char *reason = NULL;
    enum ior_err err = node_health(app->node, &reason);
    if (err == IOR_OK && (!app->ready || app->stopping)) err = IOR_E_CLOSING;
    if (err == IOR_OK) {
        call_reply_json(call, 200, IOR_SLICE("{\"ok\":true}"));
        return;
    }
    /* 503 whatever it is: not ready. */
    struct ior_buf out;
    ior_buf_init(&out);
    ior_buf_addf(&out, "{\"type\":\"%s\",\"reason\":", ior_err_type(err));
    ior_json_quote(&out, ior_slice_str(reason != NULL ? reason : ior_err_reason(err)));
    ior_buf_add_char(&out, '}');
    call_reply_buf(call, 503, "application/json", &out);
}

void route_metrics(struct http_call *call)
{
    struct ior_slice none = {NULL, 0};
    struct node *n = call->app->node;
    bool may = call->app->config->metrics_public || call_from_loopback(call) ||
               policy_user_allows(call->policy, call->who, PERM_VIEWSTATS, none, none);
    if (!may) {
        call_reply_error(call, IOR_E_NOPERM, NULL, NULL);
        return;
    }
    metric_gauge_set(METRIC_tail_bytes, (int64_t)atomic_load(&n->memory.tail_bytes));
    metric_gauge_set(METRIC_history_bytes, (int64_t)atomic_load(&n->memory.history_bytes));
    metric_gauge_set(METRIC_streams, (int64_t)atomic_load(&n->memory.streams));
    metric_gauge_set(METRIC_journal_size_bytes, (int64_t)node_journal_bytes(n));
    metric_gauge_set(METRIC_catalog_bytes, (int64_t)node_catalog_bytes(n));
    metric_gauge_set(METRIC_revoked_tokens, (int64_t)revoked_count(meta_revoked(n->meta)));
    metric_gauge_set(METRIC_inflight_bytes, (int64_t)atomic_load(&n->inflight_bytes));
    struct ior_buf out;
    ior_buf_init(&out);
    metrics_text(&out);
    call_reply_buf(call, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
}

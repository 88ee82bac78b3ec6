/* proto/http/node_routes.c - /ping /livez /readyz /metrics /openapi.json. */
#include "base/json.h"
#include "base/metrics.h"
#include "proto/http/call.h"
#include "proto/http/openapi.h"
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

void route_openapi(struct http_call *call)
{
    call_reply_static(call, 200, "application/json", ior_slice(openapi_json, openapi_json_bytes));
}

void route_metrics(struct http_call *call)
{
    struct ior_slice none = {NULL, 0};
    bool may = call->app->config->metrics_public || call_from_loopback(call) ||
               policy_user_allows(call->policy, call->who, PERM_VIEWSTATS, none, none);
    if (!may) {
        call_reply_error(call, IOR_E_NOPERM, NULL, NULL);
        return;
    }
    node_set_gauges(call->app->node);
    struct ior_buf out;
    ior_buf_init(&out);
    metrics_text(&out);
    call_reply_buf(call, 200, "text/plain; version=0.0.4; charset=utf-8", &out);
}

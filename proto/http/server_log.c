/* proto/http/server_log.c - a request that is over, as a line of the request log. Thread: the
 * worker of the connection. A call is logged when it goes; what h2o refuses by itself, before there
 * is a call, by h2o's own hook on the path of refusals: without user and address. */
#include "proto/http/request_log.h"
#include "proto/http/server_private.h"
#include "rt/clock.h"

struct refusal_logger {
    h2o_logger_t super; /* first */
    struct http_app *app;
};

static struct ior_slice slice_of(h2o_iovec_t v)
{
    return ior_slice(v.base == NULL ? "" : v.base, v.len);
}

static void add(struct http_app *app, h2o_req_t *req, struct ior_slice client, const char *user,
                int status, uint64_t us)
{
    const struct config *c = app->config;
    const struct request_line l = {
        .time_ms = clock_wall_ms(),
        .client = client,
        .user = ior_slice_str(user),
        .method = slice_of(req->method),
        .target = slice_of(req->path),
        .status = status,
        .body_bytes = req->bytes_sent,
        .us = us,
    };
    request_log_add(app->request_log, &l, c->request_log[0] == 'j');
}

void http_log_call(struct http_call *call)
{
    struct http_app *app = call->app;
    h2o_req_t *req = call->req;
    if (app->request_log == NULL || !request_log_wants(app->config)) return;
    if (!http_worker_of(call)->server->tested) return; /* it tests itself */
    char text[CALL_PEER_BYTES];
    struct ior_slice client = ior_slice(text, 0);
    h2o_conn_t *c = req->conn;
    /* Whom a proxy in http.proxies names, as the limits see it. */
    if (call->client_known || c->callbacks->get_socket(c) != NULL) { /* else it was taken over */
        call_peer_text(call, text);
        client = ior_slice_str(text);
    }
    add(app, req, client, call->user, call->answered ? req->res.status : 0,
        clock_turn_look_us() - call->begin_us);
}

static void on_refused(h2o_logger_t *self, h2o_req_t *req)
{
    struct http_app *app = ((struct refusal_logger *)(void *)self)->app;
    if (app->request_log == NULL || !request_log_wants(app->config)) return;
    add(app, req, IOR_SLICE(""), "", req->res.status, 0);
}

void http_log_refusals(struct http_app *app, h2o_pathconf_t *path)
{
    struct refusal_logger *l =
        (struct refusal_logger *)(void *)h2o_create_logger(path, sizeof(struct refusal_logger));
    l->super.log_access = on_refused;
    l->app = app;
}

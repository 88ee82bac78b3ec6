/* proto/http/server_log.c - a request that is over, as a line of the request log. Thread: the
 * worker of the connection. A call is logged when it goes; what h2o refuses by itself, before there
 * is a call, by h2o's own hook on the path of refusals: without user and address. */
#include <arpa/inet.h>

#include "proto/http/request_log.h"
#include "proto/http/server_private.h"
#include "rt/clock.h"

struct refusal_logger {
    h2o_logger_t super; /* first */
    struct http_app *app;
};

/* Of the client, also behind proxies that are believed (http.proxies). */
static size_t print_address(struct http_call *call, char out[INET6_ADDRSTRLEN])
{
    static const struct ior_address unknown = {{0}};
    h2o_conn_t *c = ((h2o_req_t *)call->req)->conn;
    if (c->callbacks->get_socket(c) == NULL) return 0; /* it was taken over */
    const struct ior_address *a = call_client(call);
    bool v4 = ior_address_is_v4(a);
    if (ior_address_eq(a, &unknown)) return 0;
    if (inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? a->bytes + 12 : a->bytes, out, INET6_ADDRSTRLEN) ==
        NULL)
        return 0;
    return strlen(out);
}

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
    char client[INET6_ADDRSTRLEN];
    if (app->request_log == NULL || !request_log_wants(app->config)) return;
    if (!http_worker_of(call)->server->tested) return; /* it tests itself */
    add(app, req, ior_slice(client, print_address(call, client)), call->user,
        call->answered ? req->res.status : 0, clock_turn_look_us() - call->begin_us);
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

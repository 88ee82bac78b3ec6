/* proto/http/server_cors.c - CORS: what lets web pages of other origins read our answers (API.md
 * section 1, http.cors.*). Thread: the worker of the connection.
 * Happy path: a filter adds the headers to every answer that h2o sends, so also to those that
 * were made without a call (a body that is too large); OPTIONS of a known route is answered
 * before any token is looked at, for browsers send none with it.
 * Off: the filter looks at one flag. An origin that is not listed gets the same answers
 * without the headers: it is the browser that keeps them from the page. */
#include <stdio.h>

#include "base/weblist.h"
#include "proto/http/server_private.h"

#define EXPOSED                                                                                    \
    "ETag, Location, Retry-After, Iorio-Low, Iorio-High, Iorio-Durability, Iorio-Cursor, "         \
    "Iorio-Gap, Preference-Applied"
#define ALLOWED                                                                                    \
    "X-Session, Authorization, Content-Type, If-Match, If-None-Match, Last-Event-ID, Prefer, "     \
    "Idempotency-Key"

struct cors_filter {
    h2o_filter_t super; /* first */
    struct http_app *app;
};

static void add(h2o_req_t *req, const char *name, const char *value, size_t value_bytes)
{
    h2o_add_header_by_str(&req->pool, &req->res.headers, name, strlen(name), 0, NULL, value,
                          value_bytes);
}

/* False: it is not listed, or it is no page that asks (then only * allows it). */
static bool allows(const struct config *c, struct ior_slice origin)
{
    struct ior_slice list = ior_slice_str(c->http_cors_origins);
    return origin.data == NULL ? weblist_is_star(list) : weblist_origins_allow(list, origin);
}

static void add_headers(h2o_req_t *req, const struct config *c)
{
    ssize_t at = h2o_find_header_by_str(&req->headers, H2O_STRLIT("origin"), -1);
    struct ior_slice origin = {NULL, 0};
    add(req, "vary", H2O_STRLIT("Origin"));
    if (at >= 0)
        origin = ior_slice(req->headers.entries[at].value.base, req->headers.entries[at].value.len);
    if (!allows(c, origin)) return;
    if (weblist_is_star(ior_slice_str(c->http_cors_origins))) {
        add(req, "access-control-allow-origin", H2O_STRLIT("*"));
    } else {
        h2o_iovec_t copy = h2o_strdup(&req->pool, (const char *)origin.data, origin.size_bytes);
        add(req, "access-control-allow-origin", copy.base, copy.len);
    }
    add(req, "access-control-expose-headers", H2O_STRLIT(EXPOSED));
}

static void on_setup(h2o_filter_t *self, h2o_req_t *req, h2o_ostream_t **slot)
{
    const struct config *c = ((struct cors_filter *)(void *)self)->app->config;
    if (c->http_cors_enabled) add_headers(req, c);
    h2o_setup_next_ostream(req, slot);
}

void http_cors_filter(struct http_app *app, h2o_pathconf_t *path)
{
    struct cors_filter *f =
        (struct cors_filter *)(void *)h2o_create_filter(path, sizeof(struct cors_filter));
    f->super.on_setup_ostream = on_setup;
    f->app = app;
}

void call_reply_options(struct http_call *call, const char *methods)
{
    const struct config *c = call->app->config;
    char all[96];
    snprintf(all, sizeof all, "%s, OPTIONS", methods);
    call_add_header(call, "allow", ior_slice_str(all));
    if (allows(c, call_header(call, "origin"))) {
        struct ior_buf names;
        ior_buf_init(&names);
        ior_buf_add_str(&names, ALLOWED);
        weblist_headers_add(&names, ior_slice_str(c->http_cors_headers));
        call_add_header(call, "access-control-allow-methods", ior_slice_str(methods));
        if (!ior_buf_failed(&names))
            call_add_header(call, "access-control-allow-headers", ior_buf_slice(&names));
        call_add_header_u64(call, "access-control-max-age", c->http_cors_maxage / 1000);
        ior_buf_done(&names);
    }
    call_reply_empty(call, 200);
}

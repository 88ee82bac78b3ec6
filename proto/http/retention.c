/* proto/http/retention.c - GET, PUT and DELETE /policies/:b and /policies/:b/:s: how much is kept;
 * POST .../preview: what would go.
 * Happy path: what holds is read from this worker's view; a change goes through the log and is
 * answered when it is on disk and every worker has it.
 * Failure modes: a body that is no policy is 400 with the field and the value that are wrong;
 * the policy that was there stays. */
#include "base/limits.h"
#include "core/preview.h"
#include "proto/http/call.h"
#include "proto/http/routes.h"
#include "rt/clock.h"

static void reply_policy(struct http_call *call, const struct retention *r)
{
    struct ior_buf out;
    ior_buf_init(&out);
    retention_print(&out, r);
    call_reply_buf(call, 200, "application/json", &out);
}

void route_retention_get(struct http_call *call)
{
    const struct retention_view *view = meta_retention(call->app->node->meta);
    struct ior_slice value;
    struct retention r;
    if (call_query(call, "effective", &value) && ior_slice_eq(value, IOR_SLICE("yes"))) {
        (void)retention_view_get(view, call->bucket, call->stream, &r);
        reply_policy(call, &r);
    } else if (retention_view_own(view, call->bucket, call->stream, &r)) {
        reply_policy(call, &r);
    } else {
        call_reply_error(call, IOR_E_NOTFOUND,
                         "There is no policy here; ?effective=yes shows what holds", NULL);
    }
}

/* ---- a change ---- */

static void change_done(struct retention_change *c)
{
    struct http_call *call = call_redeem(c->user_ptr, c->user[0]);
    if (call != NULL && c->err != IOR_OK) {
        call_reply_error(call, c->err, NULL, NULL);
    } else if (call != NULL && call->route->method == METHOD_DELETE) {
        call_reply_empty(call, 204);
    } else if (call != NULL) {
        call_reply_json(call, 200, IOR_SLICE("{\"ok\":true}"));
    }
    retention_change_free(c);
}

/* r NULL: remove. */
static void change(struct http_call *call, const struct retention *r)
{
    struct retention_change *c = NULL;
    enum ior_err err = retention_change_new(call->bucket, call->stream, r, &c);
    if (err != IOR_OK) {
        call_reply_error(call, err, NULL, NULL);
        return;
    }
    c->user_ptr = call->app;
    c->user[0] = call_ticket(call, true);
    err = c->user[0] == 0 ? IOR_E_BUSY : iorio_retention_change(call->app->node, c, change_done);
    if (err == IOR_OK) return;
    retention_change_free(c);
    call_reply_error(call, err,
                     err == IOR_E_NOSPC ? "There are too many policies; delete some first" : NULL,
                     NULL);
}

static void reply_invalid(struct http_call *call, enum ior_err err,
                          const struct retention_problem *p)
{
    struct ior_buf extra;
    ior_buf_init(&extra);
    if (err == IOR_E_BODY) {
        ior_buf_addf(&extra, "\"offset\":%zu", p->at);
    } else { /* both are JSON as they stand */
        ior_buf_add_str(&extra, "\"field\":");
        ior_buf_add_slice(&extra, p->field);
        ior_buf_add_str(&extra, ",\"value\":");
        ior_buf_add_slice(&extra, p->value);
    }
    ior_buf_add_char(&extra, 0);
    call_reply_error(call, err, p->text, ior_buf_failed(&extra) ? NULL : (char *)extra.data);
    ior_buf_done(&extra);
}

/* The policy of the body. False: it is answered. */
static bool take_policy(struct http_call *call, struct retention *ret)
{
    struct retention_problem p;
    if (call->body.size_bytes > RETENTION_JSON_BYTES_MAX) {
        call_reply_error(call, IOR_E_TOOLARGE, "A policy is at most 4096 bytes of JSON", NULL);
        return false;
    }
    enum ior_err err = retention_parse(call->body, call->stream.size_bytes > 0, ret, &p);
    if (err != IOR_OK) reply_invalid(call, err, &p);
    return err == IOR_OK;
}

void route_retention_put(struct http_call *call)
{
    struct retention r;
    if (take_policy(call, &r)) change(call, &r);
}

void route_retention_delete(struct http_call *call)
{
    change(call, NULL);
}

/* ---- what would go ---- */

static void preview_done(struct preview *p)
{
    struct http_call *call = call_redeem(p->user_ptr, p->user[0]);
    if (call != NULL && p->err != IOR_OK) {
        call_reply_error(call, p->err,
                         p->err == IOR_E_TIMEOUT
                             ? "There are too many streams to look at within request.timeout"
                             : NULL,
                         NULL);
    } else if (call != NULL) {
        struct ior_buf out;
        ior_buf_init(&out);
        ior_buf_addf(&out, "{\"streams\":%llu,\"events\":%llu,\"bytes\":%llu}",
                     (unsigned long long)p->streams, (unsigned long long)p->events,
                     (unsigned long long)p->bytes);
        call_reply_buf(call, 200, "application/json", &out);
    }
    preview_free(p);
}

void route_retention_preview(struct http_call *call)
{
    struct retention r = {0};
    struct preview *p = NULL;
    bool present = call->body.size_bytes == 0;
    if (!present && !take_policy(call, &r)) return;
    enum ior_err err = preview_new(call->bucket, call->stream, &p);
    if (err != IOR_OK) {
        call_reply_error(call, err, NULL, NULL);
        return;
    }
    p->present = present;
    p->policy = r;
    p->deadline_us = clock_mono_us() + call->app->config->request_timeout * 1000u;
    p->user_ptr = call->app;
    p->user[0] = call_ticket(call, true);
    err = p->user[0] == 0 ? IOR_E_BUSY : iorio_preview(call->app->node, p, preview_done);
    if (err == IOR_OK) return;
    preview_free(p);
    call_reply_error(call, err, NULL, NULL);
}

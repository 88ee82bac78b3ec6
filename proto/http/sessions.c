/* proto/http/sessions.c - POST /sessions (login) and GET /sessions.
 * Happy path of a login: read name and password, have them checked (auth/login.h: argon2id on the
 * crypto thread, or it was right a moment ago), make a token, 201.
 * An unknown user costs the same work and gets the same answer as a wrong
 * password. Too many logins waiting: 503 with Retry-After. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "auth/login.h"
#include "base/assert.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "proto/http/call.h"
#include "proto/http/limited.h"
#include "proto/http/routes.h"
#include "proto/http/session_log.h"
#include "rt/clock.h"

struct session_login {
    struct login login; /* first */
    struct http_app *app;
    uint64_t ticket;
    struct login_limit limit;
};

void route_session_get(struct http_call *call)
{
    struct ior_buf out;
    ior_buf_init(&out);
    ior_buf_add_str(&out, "{\"username\":");
    ior_json_quote(&out, ior_slice_str(call->user));
    ior_buf_add_char(&out, '}');
    call_reply_buf(call, 200, "application/json", &out);
}

static void reply_token(struct http_call *call, const struct policy_user *u)
{
    const struct config *c = call->app->config;
    struct ior_buf out;
    struct ior_buf token;
    ior_buf_init(&out);
    ior_buf_init(&token);
    enum ior_err err = token_make(&call->app->key, ior_slice_str(u->name), u->credential,
                                  clock_wall_ms() / 1000, c->auth_session_duration / 1000, &token);
    if (err != IOR_OK) {
        ior_buf_done(&token);
        call_reply_error(call, err, NULL, NULL);
        return;
    }
    ior_buf_add_str(&out, "{\"ok\":true,\"token\":");
    ior_json_quote(&out, ior_buf_slice(&token));
    ior_buf_add_str(&out, ",\"username\":");
    ior_json_quote(&out, ior_slice_str(u->name));
    ior_buf_add_char(&out, '}');
    call_add_header(call, "location", IOR_SLICE("/session"));
    call_add_header(call, "cache-control", IOR_SLICE("no-store"));
    call_reply_buf(call, 201, "application/json", &out);
    ior_buf_done(&token);
}

static void reply_busy(struct http_call *call, enum ior_err err)
{
    metric_add(METRIC_logins_refused, 1);
    if (call == NULL) return;
    call_reply_error(
        call, err, err == IOR_E_BUSY ? "Too many logins are waiting; try again later" : NULL, NULL);
}

static void login_done(struct login *login)
{
    struct session_login *l = IOR_CONTAINER(login, struct session_login, login);
    struct http_call *call = call_redeem(l->app, l->ticket);
    if (login->err != IOR_OK) {
        reply_busy(call, login->err);
        free(l);
        return;
    }
    const struct policy_user *u = login_user(login, meta_policy(l->app->node->meta));
    metric_add(METRIC_logins, 1);
    if (u == NULL) http_login_failed(l->app, &l->limit);
    if (u == NULL) metric_add(METRIC_logins_failed, 1);
    session_log_login(call, login->name, u != NULL);
    if (call != NULL && u != NULL) {
        reply_token(call, u);
    } else if (call != NULL) {
        call_reply_error(call, IOR_E_UNAUTHORIZED, NULL, NULL);
    }
    free(l);
}

/* The body with its two strings; the caller owes json_decref. NULL: answered already. */
static json_t *take_body(struct http_call *call, struct ior_slice *ret_name,
                         struct ior_slice *ret_password)
{
    json_error_t e;
    if (call->body.size_bytes > LOGIN_JSON_BYTES_MAX) {
        call_reply_error(call, IOR_E_TOOLARGE, "A login is at most 16384 bytes of JSON", NULL);
        return NULL;
    }
    /* Checked first: jansson recurses, our depth limit does not. */
    bool ok = ior_json_check(call->body, JSON_DEPTH_MAX, NULL) == IOR_OK;
    json_t *body = !ok ? NULL
                       : json_loadb((const char *)call->body.data, call->body.size_bytes,
                                    JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
    json_t *name = json_object_get(body, "username");
    json_t *password = json_object_get(body, "password");
    if (!json_is_string(name) || !json_is_string(password)) {
        json_decref(body);
        call_reply_error(call, IOR_E_BODY, NULL, NULL);
        return NULL;
    }
    *ret_name = ior_slice(json_string_value(name), json_string_length(name));
    *ret_password = ior_slice(json_string_value(password), json_string_length(password));
    return body;
}

void route_session_post(struct http_call *call)
{
    struct ior_slice name;
    struct ior_slice password;
    json_t *body = take_body(call, &name, &password);
    if (body == NULL) return;
    struct login_limit limit;
    if (!http_login_begin(call, name, &limit)) {
        json_decref(body);
        return;
    }
    struct session_login *l = calloc(1, sizeof *l);
    enum ior_err err = l == NULL ? IOR_E_NOMEM : IOR_OK;
    if (err == IOR_OK) {
        l->app = call->app;
        l->limit = limit;
        l->login.done = login_done;
        l->ticket = call_ticket(call, false);
        err = l->ticket == 0
                  ? IOR_E_BUSY
                  : login_submit(call->app->logins, &l->login, call->policy, name, password);
    }
    /* Of the password there is now one copy, in the request, which h2o frees, and jansson's. */
    if (password.size_bytes > 0)
        explicit_bzero((void *)(uintptr_t)password.data, password.size_bytes);
    json_decref(body);
    if (err == IOR_OK) return;
    free(l);
    reply_busy(call, err);
}

/* proto/http/sessions.c - POST /sessions (login) and GET /sessions.
 * Happy path of a login: read name and password, check the password on the crypto
 * thread (argon2id, some 40 ms), make a token, 201.
 * An unknown user costs the same work and gets the same answer as a wrong
 * password. Too many logins waiting: 503 with Retry-After. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "auth/password.h"
#include "base/assert.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "proto/http/call.h"
#include "proto/http/limited.h"
#include "proto/http/routes.h"
#include "rt/clock.h"

struct login {
    struct job job; /* first */
    struct http_app *app;
    uint64_t ticket;
    bool known;
    bool ok;
    uint64_t credential;
    struct login_limit limit;
    char name[USERNAME_BYTES_MAX + 1];
    char hash[PASSWORD_HASH_BYTES];
    size_t password_bytes;
    char password[PASSWORD_BYTES_MAX];
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

static void login_free(struct login *l)
{
    explicit_bzero(l->password, sizeof l->password);
    free(l);
}

static void login_work(struct job *j)
{
    struct login *l = IOR_CONTAINER(j, struct login, job);
    struct ior_slice password = ior_slice(l->password, l->password_bytes);
    l->ok = password_verify(l->known ? l->hash : NULL, password) && l->known;
}

static void reply_token(struct http_call *call, const struct login *l)
{
    const struct config *c = call->app->config;
    struct ior_buf out;
    struct ior_buf token;
    ior_buf_init(&out);
    ior_buf_init(&token);
    enum ior_err err = token_make(&call->app->key, ior_slice_str(l->name), l->credential,
                                  clock_wall_ms() / 1000, c->auth_session_duration / 1000, &token);
    if (err != IOR_OK) {
        ior_buf_done(&token);
        call_reply_error(call, err, NULL, NULL);
        return;
    }
    ior_buf_add_str(&out, "{\"ok\":true,\"token\":");
    ior_json_quote(&out, ior_buf_slice(&token));
    ior_buf_add_str(&out, ",\"username\":");
    ior_json_quote(&out, ior_slice_str(l->name));
    ior_buf_add_char(&out, '}');
    call_add_header(call, "location", IOR_SLICE("/session"));
    call_add_header(call, "cache-control", IOR_SLICE("no-store"));
    call_reply_buf(call, 201, "application/json", &out);
    ior_buf_done(&token);
}

static void login_done(struct job *j)
{
    struct login *l = IOR_CONTAINER(j, struct login, job);
    struct http_call *call = call_redeem(l->app, l->ticket);
    metric_add(METRIC_logins, 1);
    if (!l->ok) metric_add(METRIC_logins_failed, 1);
    if (!l->ok) http_login_failed(l->app, &l->limit);
    if (call != NULL && l->ok) {
        reply_token(call, l);
    } else if (call != NULL) {
        call_reply_error(call, IOR_E_UNAUTHORIZED, NULL, NULL);
    }
    login_free(l);
}

/* The two strings of the body; false: answered already. */
static bool take_body(struct http_call *call, struct login *l)
{
    json_error_t e;
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
        return false;
    }
    struct ior_slice n = ior_slice(json_string_value(name), json_string_length(name));
    struct ior_slice p = ior_slice(json_string_value(password), json_string_length(password));
    if (!http_login_begin(call, n, &l->limit)) {
        json_decref(body);
        return false;
    }
    const struct policy_user *u = policy_user(call->policy, n);
    /* What is too long cannot be right, but must cost the same. */
    l->known = u != NULL && p.size_bytes <= PASSWORD_BYTES_MAX;
    l->password_bytes = p.size_bytes <= PASSWORD_BYTES_MAX ? p.size_bytes : PASSWORD_BYTES_MAX;
    memcpy(l->password, p.data, l->password_bytes);
    if (l->known) {
        memcpy(l->name, u->name, sizeof l->name);
        memcpy(l->hash, u->password, sizeof l->hash);
        l->credential = u->credential;
    }
    json_decref(body);
    return true;
}

void route_session_post(struct http_call *call)
{
    struct login *l = calloc(1, sizeof *l);
    if (l == NULL) {
        call_reply_error(call, IOR_E_NOMEM, NULL, NULL);
        return;
    }
    if (!take_body(call, l)) {
        login_free(l);
        return;
    }
    l->app = call->app;
    l->job.work = login_work;
    l->job.done = login_done;
    l->ticket = call_ticket(call, false);
    enum ior_err err = l->ticket == 0 ? IOR_E_BUSY : job_submit(call->app->crypto, &l->job);
    if (err == IOR_OK) return;
    metric_add(METRIC_logins_refused, 1);
    login_free(l);
    call_reply_error(call, err, "Too many logins are waiting; try again later", NULL);
}

/* proto/http/session_end.c - DELETE /sessions: the token of the request is taken back; and
 * DELETE /users/:u/sessions: all tokens of a user.
 * Happy path: a change of group 0 (core/session_change.h); 204 when it is on disk and no worker
 * accepts the token any more.
 * Failure modes: without a token there is nothing to take back: 401. Not one's own and without
 * adminusers: 401, whether the user is there or not. The others are those of a change; the
 * token is good on then. */
#include "auth/username.h"
#include "base/metrics.h"
#include "core/session_change.h"
#include "proto/http/call.h"
#include "proto/http/routes.h"
#include "proto/http/session_log.h"
#include "rt/clock.h"

static void reply_no_user(struct http_call *call)
{
    call_reply_error(call, IOR_E_NOTFOUND, "There is no such user", NULL);
}

static void change_done(struct session_change *c)
{
    struct http_call *call = call_redeem(c->user_ptr, c->user[0]);
    if (c->err == IOR_OK) {
        metric_add(c->ended_all ? METRIC_sessions_ended : METRIC_tokens_revoked, 1);
        session_log_end(c);
    }
    if (call != NULL && c->err == IOR_E_NOTFOUND) {
        reply_no_user(call);
    } else if (call != NULL && c->err != IOR_OK) {
        call_reply_error(call, c->err, NULL, NULL);
    } else if (call != NULL) {
        call_reply_empty(call, 204);
    }
    session_change_free(c);
}

/* token NULL: all tokens of the user. */
static void change(struct http_call *call, struct ior_slice user, const struct revoked_token *token)
{
    struct session_change *c = NULL;
    enum ior_err err = session_change_new(user, token, &c);
    if (err != IOR_OK) {
        call_reply_error(call, err, NULL, NULL);
        return;
    }
    c->user_ptr = call->app;
    c->user[0] = call_ticket(call, true);
    err = c->user[0] == 0 ? IOR_E_BUSY : iorio_session_change(call->app->node, c, change_done);
    if (err == IOR_OK) return;
    session_change_free(c);
    call_reply_error(call, err, NULL, NULL);
}

void route_session_delete(struct http_call *call)
{
    struct token_claims claims;
    struct http_app *app = call->app;
    enum ior_err err = IOR_E_NOPERM;
    if (call->has_token)
        err = token_cache_verify(http_token_cache(app), &app->key, call->token,
                                 clock_wall_coarse_ms() / 1000, &claims);
    if (err != IOR_OK) {
        call_reply_error(call, err, NULL, NULL);
        return;
    }
    struct revoked_token token = {
        .until_s = claims.expires_s < INT64_MAX ? claims.expires_s : INT64_MAX,
        .has_credential = claims.has_credential,
        .credential = claims.has_credential ? claims.credential : 0,
    };
    token_id(call->token, token.id);
    change(call, ior_slice_str(call->user), &token);
}

/* Who has neither a token nor a certificate of a user. */
static bool is_anonymous(const struct http_call *call)
{
    return username_same(ior_slice_str(call->user),
                         ior_slice_str(call->app->config->auth_anon_username));
}

void route_user_sessions_delete(struct http_call *call)
{
    struct ior_slice none = {NULL, 0};
    struct ior_slice user = call->name;
    bool own =
        username_same(user, ior_slice_str(call->user)) && (call->has_token || !is_anonymous(call));
    if (!own && !policy_user_allows(call->policy, call->who, PERM_ADMINUSERS, none, none)) {
        call_reply_error(call, IOR_E_NOPERM, NULL, NULL);
    } else if (user.size_bytes == 0 || user.size_bytes > USERNAME_BYTES_MAX) {
        reply_no_user(call);
    } else {
        change(call, user, NULL);
    }
}

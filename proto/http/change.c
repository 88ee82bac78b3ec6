/* proto/http/change.c - see change.h.
 * Happy path: a ticket, the change, and when it is on disk and every worker has it, 200, 201 or
 * 204.
 * Failure modes: the errors of auth/access.h with their field and value; 503 timeout after
 * request.timeout, when it may have happened. */
#include "proto/http/change.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/metrics.h"

struct access_wish change_wish(const struct http_call *call, enum access_action action)
{
    const struct config *c = call->app->config;
    return (struct access_wish){
        .action = action,
        .by = ior_slice_str(call->user),
        .by_credential = call->who == NULL ? 0 : call->who->credential,
        .admin = ior_slice_str(c->auth_admin_username),
        .anonymous = ior_slice_str(c->auth_anon_username),
        .has_bucket = c->auth_permission_user_has_bucket,
        .bucket_prefix = ior_slice_str(c->auth_permission_user_bucket_prefix),
    };
}

/* ---- the answer ---- */

static void add_location(struct http_call *call, const char *folder, struct ior_slice name)
{
    char encoded[3 * USERNAME_BYTES_MAX];
    struct ior_buf text;
    if (name.size_bytes > USERNAME_BYTES_MAX) return;
    ior_buf_init(&text);
    ior_buf_add_str(&text, folder);
    ior_buf_add(&text, encoded, path_encode(name, encoded));
    if (!ior_buf_failed(&text)) call_add_header(call, "location", ior_buf_slice(&text));
    ior_buf_done(&text);
}

static void reply_done(struct http_call *call, const struct access_wish *w)
{
    int status = 200;
    if (w->action == ACCESS_USER_NEW || w->action == ACCESS_GROUP_NEW) {
        add_location(call, w->action == ACCESS_USER_NEW ? "/users/" : "/groups/", w->name);
        status = 201;
    } else if (w->action == ACCESS_USER_DELETE || w->action == ACCESS_GROUP_DELETE ||
               w->action == ACCESS_MEMBER_REMOVE) {
        call_reply_empty(call, 204);
        return;
    }
    call_reply_json(call, status, IOR_SLICE("{\"ok\":true}"));
}

/* What was sent there, as JSON. */
static void add_value(struct ior_buf *out, const struct access_wish *w, const char *field)
{
    struct ior_slice f = ior_slice_str(field);
    if (ior_slice_eq(f, IOR_SLICE("permission"))) {
        ior_json_quote(out, ior_slice_str(policy_perm_name((enum perm)w->perm)));
        return;
    }
    bool role = ior_slice_eq(f, IOR_SLICE("role")) || ior_slice_eq(f, IOR_SLICE("member"));
    ior_json_quote(out, role ? w->role : w->name);
}

static void reply_problem(struct http_call *call, const struct access_change *c)
{
    const struct access_problem *p = &c->problem;
    const char *reason = p->why.text[0] == 0 ? NULL : p->why.text;
    /* Of what the journal says the problem knows nothing. */
    bool told = c->err == IOR_E_INVAL || c->err == IOR_E_NOTFOUND || c->err == IOR_E_EXISTS ||
                c->err == IOR_E_USERNAME || (c->err == IOR_E_NOSPC && reason != NULL);
    if (!told || p->field == NULL) {
        call_reply_error(call, c->err, told ? reason : NULL, NULL);
        return;
    }
    struct ior_buf extra;
    ior_buf_init(&extra);
    ior_buf_addf(&extra, "\"field\":\"%s\",\"value\":", p->field);
    add_value(&extra, &c->wish, p->field);
    ior_buf_add_char(&extra, 0);
    call_reply_error(call, c->err, reason, ior_buf_failed(&extra) ? NULL : (char *)extra.data);
    ior_buf_done(&extra);
}

/* ---- the change ---- */

static void change_done(struct access_change *c)
{
    struct http_call *call = call_redeem(c->user_ptr, c->user[0]);
    if (c->err == IOR_OK) metric_add(METRIC_access_changes, 1);
    if (call != NULL && c->err == IOR_OK) {
        reply_done(call, &c->wish);
    } else if (call != NULL) {
        reply_problem(call, c);
    }
    access_change_free(c);
}

void change_start(struct http_call *call, struct access_change *take)
{
    take->user_ptr = call->app;
    take->user[0] = call_ticket(call, true);
    enum ior_err err =
        take->user[0] == 0 ? IOR_E_BUSY : iorio_access_change(call->app->node, take, change_done);
    if (err == IOR_OK) return;
    access_change_free(take);
    call_reply_error(call, err, NULL, NULL);
}

void change_submit(struct http_call *call, const struct access_wish *w)
{
    struct access_change *c = NULL;
    enum ior_err err = access_change_new(w, &c);
    if (err != IOR_OK) {
        call_reply_error(call, err, NULL, NULL);
        return;
    }
    change_start(call, c);
}

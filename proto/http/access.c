/* proto/http/access.c - POST /access, /access/:b, /access/:b/:s: grants; GET /access/explain.
 * Happy path: the three fields are looked at in the order of API.md section 4, and the change goes
 * through the log.
 * Failure modes: 400 invalid-field with the field and what was sent, or "nil". */
#include <jansson.h>

#include "auth/policy_list.h"
#include "base/json.h"
#include "core/iorio.h"
#include "proto/http/change.h"
#include "proto/http/json_body.h"
#include "proto/http/routes.h"

static unsigned grantable(const struct http_call *call)
{
    if (call->stream.size_bytes > 0) return ACCESS_ON_STREAM;
    return call->bucket.size_bytes > 0 ? ACCESS_ON_BUCKET : ACCESS_ON_NODE;
}

static const char *permission_text(const struct http_call *call)
{
    if (call->stream.size_bytes > 0) return "On a stream: get, put, delete, grant";
    if (call->bucket.size_bytes > 0) return "On a bucket: get, put, delete, list, grant";
    return "On the node: adminusers, viewstats, admincluster, list";
}

/* False: it is answered. */
static bool take_wish(struct http_call *call, const json_t *body, struct access_wish *w)
{
    struct ior_slice action = body_text(body, "action");
    bool grants = ior_slice_eq(action, IOR_SLICE("grant"));
    if (!grants && !ior_slice_eq(action, IOR_SLICE("revoke"))) {
        body_reply_invalid(call, body, "action", "The action must be grant or revoke");
        return false;
    }
    json_t *role = json_object_get(body, "role");
    const char *role_name = role == NULL ? "username" : "role"; /* the word of the first Iorio DB */
    struct access_problem problem = {0};
    w->role = body_text(body, role_name);
    if (w->role.data == NULL || access_check_role(call->policy, w->role, &problem) != IOR_OK) {
        json_t *shown = json_pack("{s:O?}", "role", json_object_get(body, role_name));
        body_reply_invalid(call, shown, "role",
                           w->role.data == NULL ? "The role must be a user or group, or *"
                                                : problem.why.text);
        json_decref(shown);
        return false;
    }
    w->perm = policy_perm(body_text(body, "permission"));
    if ((w->perm & grantable(call)) == 0) {
        body_reply_invalid(call, body, "permission", permission_text(call));
        return false;
    }
    w->action = grants ? ACCESS_GRANT : ACCESS_REVOKE;
    return true;
}

void route_access_post(struct http_call *call)
{
    json_t *body = body_object(call);
    if (body == NULL) return;
    struct access_wish w = change_wish(call, ACCESS_GRANT);
    w.bucket = call->bucket;
    w.stream = call->stream;
    if (take_wish(call, body, &w)) change_submit(call, &w);
    json_decref(body);
}

/* ---- why may he? ---- */

struct question {
    struct ior_slice user;
    struct ior_slice permission;
    struct ior_slice bucket;
    struct ior_slice stream;
};

static void reply_missing(struct http_call *call, const char *field, struct ior_slice value,
                          const char *text)
{
    struct ior_buf extra;
    ior_buf_init(&extra);
    ior_buf_addf(&extra, "\"field\":\"%s\",\"value\":", field);
    ior_json_quote(&extra, value.size_bytes == 0 ? IOR_SLICE("nil") : value);
    ior_buf_add_char(&extra, 0);
    call_reply_error(call, IOR_E_INVAL, text, ior_buf_failed(&extra) ? NULL : (char *)extra.data);
    ior_buf_done(&extra);
}

/* False: it is answered. */
static bool take_question(struct http_call *call, struct question *q)
{
    static const struct ior_slice none = {NULL, 0};
    if (!call_query(call, "user", &q->user)) q->user = none;
    if (!call_query(call, "permission", &q->permission)) q->permission = none;
    if (!call_query(call, "bucket", &q->bucket)) q->bucket = none;
    if (!call_query(call, "stream", &q->stream)) q->stream = none;
    bool node = q->bucket.size_bytes == 0;
    if (!policy_user_allows(call->policy, call->who, node ? PERM_ADMINUSERS : PERM_GRANT, q->bucket,
                            node ? none : q->stream)) {
        call_reply_error(call, IOR_E_NOPERM, NULL, NULL);
        return false;
    }
    if (q->user.size_bytes == 0) {
        reply_missing(call, "user", none, "Say whose permission: user=NAME");
    } else if (policy_perm(q->permission) == 0) {
        reply_missing(call, "permission", q->permission, "Say which permission: permission=get");
    } else if (node && q->stream.size_bytes > 0) {
        reply_missing(call, "bucket", none, "A stream is in a bucket: bucket=NAME");
    } else if ((!node && !iorio_bucket_name_ok(q->bucket)) ||
               (q->stream.size_bytes > 0 && !iorio_stream_name_ok(q->stream))) {
        call_reply_error(call, IOR_E_NAME, NULL, NULL);
    } else {
        return true;
    }
    return false;
}

static void add_grant(struct ior_buf *out, const struct policy_reason *r)
{
    static const char *const kinds[] = {"user/", "group/", ""};
    struct ior_buf role;
    ior_buf_init(&role);
    ior_buf_add_str(&role, kinds[r->kind]);
    ior_buf_add_slice(&role, r->name);
    ior_buf_add_str(out, ",\"role\":");
    ior_json_quote(out, ior_buf_slice(&role));
    if (ior_buf_failed(&role)) out->failed = true;
    ior_buf_done(&role);
    if (r->bucket.size_bytes > 0) {
        ior_buf_add_str(out, ",\"bucket\":");
        ior_json_quote(out, r->bucket);
    }
    if (r->stream.size_bytes > 0) {
        ior_buf_add_str(out, ",\"stream\":");
        ior_json_quote(out, r->stream);
    }
    if (r->kind != POLICY_GROUP) return;
    ior_buf_add_str(out, ",\"groups\":[");
    for (size_t i = 0; i < r->path_count; i++) {
        if (i > 0) ior_buf_add_char(out, ',');
        ior_json_quote(out, r->path[i]);
    }
    ior_buf_add_char(out, ']');
}

void route_access_explain(struct http_call *call)
{
    struct question q;
    struct policy_reason r;
    struct ior_buf out;
    if (!take_question(call, &q)) return;
    policy_explain(call->policy, q.user, (enum perm)policy_perm(q.permission), q.bucket, q.stream,
                   &r);
    ior_buf_init(&out);
    ior_buf_add_str(&out, r.allowed ? "{\"allowed\":true" : "{\"allowed\":false");
    if (r.allowed) add_grant(&out, &r);
    ior_buf_add_char(&out, '}');
    call_reply_buf(call, 200, "application/json", &out);
}

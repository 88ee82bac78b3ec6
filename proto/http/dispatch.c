/* proto/http/dispatch.c - every request, in the order of API.md section 1: route,
 * method, limit of the address, token, permission, limits of user and bucket, what is
 * accepted, body type, body size, names; then the handler of the row in routes.def. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "auth/policy.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "proto/http/call.h"
#include "proto/http/limited.h"
#include "proto/http/negotiate.h"
#include "rt/clock.h"

static enum route_method method_of(struct ior_slice m)
{
    if (ior_slice_eq(m, IOR_SLICE("GET"))) return METHOD_GET;
    if (ior_slice_eq(m, IOR_SLICE("HEAD"))) return METHOD_HEAD;
    if (ior_slice_eq(m, IOR_SLICE("POST"))) return METHOD_POST;
    if (ior_slice_eq(m, IOR_SLICE("PUT"))) return METHOD_PUT;
    if (ior_slice_eq(m, IOR_SLICE("PATCH"))) return METHOD_PATCH;
    if (ior_slice_eq(m, IOR_SLICE("DELETE"))) return METHOD_DELETE;
    if (ior_slice_eq(m, IOR_SLICE("OPTIONS"))) return METHOD_OPTIONS;
    return METHOD_OTHER;
}

/* ---- who is it ---- */

/* The token as it came: X-Session, Authorization: Bearer, jwt=. */
static struct ior_slice token_of(const struct http_call *call)
{
    struct ior_slice t = call_header(call, "x-session");
    if (t.data != NULL) return t;
    t = call_header(call, "authorization");
    if (t.data != NULL && t.size_bytes > 7 && strncasecmp((const char *)t.data, "Bearer ", 7) == 0)
        return ior_slice(t.data + 7, t.size_bytes - 7);
    if (!call_query(call, "jwt", &t)) t = (struct ior_slice){NULL, 0};
    return t;
}

static void set_user(struct http_call *call, const struct policy_user *who, const char *name)
{
    size_t n = strlen(name);
    IOR_ASSERT(n < sizeof call->user);
    memcpy(call->user, name, n + 1);
    call->who = who;
}

bool call_identify(struct http_call *call)
{
    struct http_app *app = call->app;
    call->policy = meta_policy(app->node->meta);
    struct ior_slice token = token_of(call);
    if (token.data == NULL) {
        const char *name = call_certificate_user(call);
        const struct policy_user *u =
            name == NULL ? NULL : policy_user(call->policy, ior_slice_str(name));
        if (u == NULL || strcmp(u->name, name) != 0) { /* a certificate is exact, in its case too */
            name = app->config->auth_anon_username;
            u = policy_user(call->policy, ior_slice_str(name));
        }
        set_user(call, u, name);
        call->expires_s = UINT64_MAX;
        return true;
    }
    struct token_holder holder;
    uint64_t now_s = clock_wall_coarse_ms() / 1000;
    enum ior_err err = token_cache_user(http_token_cache(app), &app->key, token, now_s,
                                        call->policy, meta_revoked(app->node->meta), &holder);
    if (err != IOR_OK) {
        metric_add(METRIC_tokens_refused, 1);
        return false;
    }
    set_user(call, holder.user, holder.user->name);
    call->has_token = true;
    call->token = token;
    call->expires_s = holder.expires_s;
    return true;
}

/* ---- what does he want ---- */

static bool allowed(const struct http_call *call)
{
    const struct route *r = call->route;
    if (r->perm == 0) return true;
    struct ior_slice none = {NULL, 0};
    struct ior_slice bucket = r->scope >= SCOPE_BUCKET ? call->bucket : none;
    struct ior_slice stream = r->scope >= SCOPE_STREAM ? call->stream : none;
    return policy_user_allows(call->policy, call->who, (enum perm)r->perm, bucket, stream);
}

bool call_may_go_on(struct http_call *call)
{
    return call_identify(call) && allowed(call);
}

/* One parameter, by the letter behind its colon, decoded into scratch. False: a name that cannot
 * be. What a user or group may be called is for the handler to say. */
static bool decode_name(struct http_call *call, char letter, struct ior_slice raw,
                        uint8_t **scratch)
{
    size_t n = 0;
    if (letter == 'i') {
        call->id = raw;
        return true;
    }
    if (!path_decode(raw, false, *scratch, &n)) return false;
    struct ior_slice name = ior_slice(*scratch, n);
    *scratch += n;
    switch (letter) {
    case 'b':
        call->bucket = name;
        return iorio_bucket_name_ok(name);
    case 's':
        call->stream = name;
        return iorio_stream_name_ok(name);
    case 'm':
        call->member = name;
        return true;
    default:
        call->name = name;
        return true;
    }
}

static bool decode_names(struct http_call *call, const struct ior_slice *params, size_t count,
                         uint8_t **scratch)
{
    const char *at = call->route->path;
    bool ok = true;
    for (size_t i = 0; i < count; i++) {
        at = strchr(at, ':') + 1;
        ok = decode_name(call, *at, params[i], scratch) && ok;
    }
    return ok;
}

static bool answer_type_ok(struct http_call *call)
{
    enum route_types types = call->route->types;
    if (types != TYPES_AS_JSON && types != TYPES_AS_EVENTS) return true;
    call->answer = negotiate_answer(call_header(call, "accept"));
    if (call->answer == ANSWER_JSON) return true;
    if (call->answer == ANSWER_NDJSON && types == TYPES_AS_EVENTS) return true;
    call_reply_empty(call, 406);
    return false;
}

static bool patch_type_ok(struct http_call *call)
{
    if (call->body_type == BODY_PATCH) return true;
    call_add_header(call, "accept-patch", IOR_SLICE("application/json-patch+json"));
    call_reply_empty(call, 415);
    return false;
}

static bool body_type_ok(struct http_call *call)
{
    bool put = call->route->method == METHOD_PUT;
    bool patch = call->route->method == METHOD_PATCH;
    if (call->route->method != METHOD_POST && !put && !patch) return true;
    if (call->route->types == TYPES_NONE) return true;
    call->body_type = negotiate_body_type(call_header(call, "content-type"));
    if (patch) return patch_type_ok(call);
    if (call->body_type == BODY_JSON) return true;
    bool event = call->route->types == TYPES_EVENT;
    if (event && (call->body_type == BODY_OCTETS || call->body_type == BODY_NDJSON)) return true;
    /* For PUT there is no such header of its own: RFC 9110 section 15.5.16. */
    call_add_header(call, put ? "accept" : "accept-post",
                    event ? IOR_SLICE("application/json, application/octet-stream, "
                                      "application/x-ndjson")
                          : IOR_SLICE("application/json"));
    call_reply_empty(call, 415);
    return false;
}

/* Only events may be large: logins and the like are read whole before anybody is known. */
static bool may_be_large(enum route_types types)
{
    switch (types) {
    case TYPES_NONE:
    case TYPES_JSON:
    case TYPES_AS_JSON:
    case TYPES_AS_EVENTS:
    case TYPES_LIVE:
        return false;
    default:
        return true;
    }
}

static bool body_size_ok(struct http_call *call)
{
    if (!may_be_large(call->route->types) && call->body_bytes > HTTP_SMALL_BODY_BYTES_MAX) {
        call_reply_error(call, IOR_E_TOOLARGE,
                         "The body is larger than the 64KB that it may have here", NULL);
        return false;
    }
    if (call->body_bytes <= call->app->config->http_body_max) return true;
    call_reply_error(call, IOR_E_TOOLARGE, NULL, NULL);
    return false;
}

static void check_and_handle(struct http_call *call, bool names_ok)
{
    const struct route *r = call->route;
    if (!http_limit_address(call)) return;
    if (r->scope != SCOPE_OPEN && (!call_identify(call) || !allowed(call))) {
        call_reply_error(call, IOR_E_NOPERM, NULL, NULL);
        return;
    }
    if (r->scope == SCOPE_USER && !call->has_token) {
        call_reply_error(call, IOR_E_NOPERM, NULL, NULL);
        return;
    }
    if (r->scope == SCOPE_OPEN) call->policy = meta_policy(call->app->node->meta);
    if (r->scope != SCOPE_OPEN && !http_limit_caller(call, names_ok)) return;
    if (!answer_type_ok(call) || !body_type_ok(call)) return;
    if (!body_size_ok(call)) return;
    if (!names_ok) {
        call_reply_error(call, IOR_E_NAME, NULL, NULL);
        return;
    }
    if (call->head_only) return;
    r->handler(call);
}

void http_dispatch(struct http_call *call, struct ior_slice method, struct ior_slice target,
                   uint8_t *scratch, struct query_param *params)
{
    struct ior_slice path = target;
    const uint8_t *mark = memchr(target.data, '?', target.size_bytes);
    if (mark != NULL) path.size_bytes = (size_t)(mark - target.data);
    struct ior_slice segments[PATH_SEGMENTS_MAX];
    struct ior_slice route_params[PATH_SEGMENTS_MAX];
    size_t count = 0;
    size_t param_count = 0;
    char allow[64];
    enum route_result found = ROUTE_UNKNOWN;
    if (path_split(path, segments, &count))
        found = route_find(method_of(method), segments, count, &call->route, route_params,
                           &param_count, allow);
    if (found == ROUTE_UNKNOWN) {
        call_reply_empty(call, 404);
        return;
    }
    bool cors = call->app->config->http_cors_enabled;
    if (found == ROUTE_WRONG_METHOD && cors && method_of(method) == METHOD_OPTIONS) {
        call_reply_options(call, allow);
        return;
    }
    if (found == ROUTE_WRONG_METHOD) {
        char all[sizeof allow + 16];
        snprintf(all, sizeof all, "%s%s", allow, cors ? ", OPTIONS" : "");
        call_add_header(call, "allow", ior_slice_str(all));
        call_reply_empty(call, 405);
        return;
    }
    bool names_ok = decode_names(call, route_params, param_count, &scratch);
    if (mark != NULL && params != NULL) {
        struct ior_slice query = ior_slice(mark + 1, target.size_bytes - path.size_bytes - 1);
        bool whole = true;
        call->query = params;
        call->query_count = query_parse(query, scratch, params, &whole);
        call->query_cut = !whole;
    }
    check_and_handle(call, names_ok);
}

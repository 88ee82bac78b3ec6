/* proto/http/extension_echo.c - /x/echo: what was asked, as JSON: for trying out clients, proxies
 * and tokens. Nothing is stored. Anybody may ask (a token that is sent must be a good one), unless
 * its settings say
 * `"require_user": true`: then whoever has no token gets 401. What could be a secret is left
 * out: headers with tokens and cookies, those of `"hide_headers"`, and jwt= of the query.
 * Thread: the worker of the connection. */
#include <stdlib.h>
#include <strings.h>

#include "base/json.h"
#include "base/limits.h"
#include "proto/http/call.h"
#include "proto/http/extension.h"
#include "proto/http/routes.h"

struct echo {
    bool require_user;
    struct ior_buf hidden; /* "name\nname\n" */
};

static const char *const secret_headers[] = {"x-session", "authorization", "proxy-authorization",
                                             "cookie"};

/* ---- settings ---- */

void echo_discard(void *settings)
{
    struct echo *e = settings;
    if (e == NULL) return;
    ior_buf_done(&e->hidden);
    free(e);
}

static enum ior_err take_hidden(struct echo *e, const json_t *list, struct ior_why *why)
{
    size_t i;
    json_t *name;
    if (!json_is_array(list))
        return ior_why_set(why, IOR_E_INVAL, "hide_headers must be a list of header names");
    json_array_foreach(list, i, name)
    {
        if (!json_is_string(name) || json_string_length(name) == 0 ||
            strchr(json_string_value(name), '\n') != NULL)
            return ior_why_set(why, IOR_E_INVAL, "hide_headers must be a list of header names");
        ior_buf_add_str(&e->hidden, json_string_value(name));
        ior_buf_add_char(&e->hidden, '\n');
    }
    return ior_buf_failed(&e->hidden) ? IOR_E_NOMEM : IOR_OK;
}

static enum ior_err take_settings(struct echo *e, const json_t *settings, struct ior_why *why)
{
    const char *key;
    json_t *value;
    enum ior_err err = IOR_OK;
    /* jansson's iterator wants to be able to write. */
    json_object_foreach((json_t *)(uintptr_t)settings, key, value)
    {
        if (strcmp(key, "require_user") == 0) {
            if (!json_is_boolean(value))
                return ior_why_set(why, IOR_E_INVAL, "require_user must be true or false");
            e->require_user = json_is_true(value);
        } else if (strcmp(key, "hide_headers") == 0) {
            err = take_hidden(e, value, why);
        } else {
            return ior_why_set(why, IOR_E_INVAL,
                               "unknown member %.40s; known are require_user and hide_headers",
                               key);
        }
        if (err != IOR_OK) return err;
    }
    return IOR_OK;
}

enum ior_err echo_configure(const json_t *settings, void **ret, struct ior_why *why)
{
    struct echo *e = calloc(1, sizeof *e);
    if (e == NULL) return ior_why_set(why, IOR_E_NOMEM, "out of memory");
    ior_buf_init(&e->hidden);
    enum ior_err err = settings == NULL ? IOR_OK : take_settings(e, settings, why);
    if (err != IOR_OK) {
        echo_discard(e);
        return err;
    }
    *ret = e;
    return IOR_OK;
}

/* ---- the answer ---- */

static bool same(struct ior_slice a, struct ior_slice b)
{
    return a.size_bytes == b.size_bytes &&
           strncasecmp((const char *)a.data, (const char *)b.data, a.size_bytes) == 0;
}

static bool is_hidden(const struct echo *e, struct ior_slice name)
{
    for (size_t i = 0; i < IOR_LEN(secret_headers); i++) {
        if (same(name, ior_slice_str(secret_headers[i]))) return true;
    }
    for (size_t at = 0; at < e->hidden.size_bytes;) {
        const uint8_t *from = e->hidden.data + at;
        const uint8_t *end = memchr(from, '\n', e->hidden.size_bytes - at);
        struct ior_slice one = ior_slice(from, (size_t)(end - from));
        if (same(name, one)) return true;
        at += one.size_bytes + 1;
    }
    return false;
}

/* A header that came twice is one member, the values with ", " between them. */
static void add_headers(struct ior_buf *out, const struct http_call *call, const struct echo *e)
{
    struct ior_slice name, value, other, more;
    const char *comma = "";
    ior_buf_add_str(out, ",\"headers\":{");
    for (size_t i = 0; call_header_at(call, i, &name, &value); i++) {
        bool seen = is_hidden(e, name);
        for (size_t k = 0; !seen && k < i && call_header_at(call, k, &other, &more); k++)
            seen = same(name, other);
        if (seen) continue;
        struct ior_buf all;
        ior_buf_init(&all);
        ior_buf_add_slice(&all, value);
        for (size_t k = i + 1; call_header_at(call, k, &other, &more); k++) {
            if (!same(name, other)) continue;
            ior_buf_add_str(&all, ", ");
            ior_buf_add_slice(&all, more);
        }
        ior_buf_add_str(out, comma);
        ior_json_quote(out, name);
        ior_buf_add_char(out, ':');
        ior_json_quote(out, ior_buf_slice(&all));
        if (ior_buf_failed(&all)) out->failed = true;
        ior_buf_done(&all);
        comma = ",";
    }
    ior_buf_add_char(out, '}');
}

/* In their order, as pairs: a parameter may come more than once. */
static void add_query(struct ior_buf *out, const struct http_call *call)
{
    const char *comma = "";
    ior_buf_add_str(out, ",\"query\":[");
    for (size_t i = 0; i < call->query_count; i++) {
        const struct query_param *p = &call->query[i];
        if (ior_slice_eq(p->name, IOR_SLICE("jwt"))) continue;
        ior_buf_addf(out, "%s[", comma);
        ior_json_quote(out, p->name);
        ior_buf_add_char(out, ',');
        ior_json_quote(out, p->value);
        ior_buf_add_char(out, ']');
        comma = ",";
    }
    ior_buf_add_char(out, ']');
}

/* JSON as it is, other text as a string, the rest as base64: as events are shown. */
static void add_body(struct ior_buf *out, const struct http_call *call)
{
    struct ior_slice b = call->body;
    if (b.size_bytes == 0) return;
    if (ior_json_check(b, JSON_DEPTH_MAX, NULL) == IOR_OK) {
        ior_buf_add_str(out, ",\"body\":");
        ior_json_line(out, b);
    } else if (ior_utf8_ok(b)) {
        ior_buf_add_str(out, ",\"body\":");
        ior_json_quote(out, b);
    } else {
        ior_buf_add_str(out, ",\"enc\":\"base64\",\"body\":\"");
        ior_base64(out, b);
        ior_buf_add_char(out, '"');
    }
}

void route_echo(struct http_call *call)
{
    const struct echo *e = call->app->extensions[EXTENSION_ECHO];
    struct ior_slice path = call->target;
    const uint8_t *mark = memchr(path.data, '?', path.size_bytes);
    if (mark != NULL) path.size_bytes = (size_t)(mark - path.data);
    if (e->require_user && !call->has_token) {
        call_reply_error(call, IOR_E_NOPERM, NULL, NULL);
        return;
    }
    struct ior_buf out;
    ior_buf_init(&out);
    ior_buf_add_str(&out, "{\"method\":");
    ior_json_quote(&out, call->method);
    ior_buf_add_str(&out, ",\"path\":");
    ior_json_quote(&out, path);
    ior_buf_add_str(&out, ",\"user\":");
    ior_json_quote(&out, ior_slice_str(call->user));
    add_query(&out, call);
    add_headers(&out, call, e);
    add_body(&out, call);
    ior_buf_add_char(&out, '}');
    call_reply_buf(call, 200, "application/json", &out);
}

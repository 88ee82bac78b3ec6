/* proto/http/streams_delete.c - DELETE /streams/:b/:s: all of it, or up to an id.
 * Happy path: the change goes through the log; when it is on disk, 204 and what is
 * left. A stream that is not there is as good as deleted: 204 too.
 * Failure modes: a `to` that is no number, or a query that is not understood whole (a broken
 * escape, `To`, too many parameters), is 400, for it must never mean everything. */
#include <strings.h>

#include "base/json.h"
#include "proto/http/call.h"
#include "proto/http/routes.h"

static void trim_done(struct trim *t)
{
    struct http_call *call = call_redeem(t->user_ptr, t->user[0]);
    if (call != NULL && t->err == IOR_OK) {
        call_add_header_u64(call, "iorio-low", t->low);
        call_add_header_u64(call, "iorio-high", t->high);
        call_reply_empty(call, 204);
    } else if (call != NULL) {
        call_reply_error(call, t->err, NULL, NULL);
    }
    trim_free(t);
}

static void refuse(struct http_call *call, struct ior_slice value, const char *reason)
{
    struct ior_buf extra;
    ior_buf_init(&extra);
    ior_buf_add_str(&extra, "\"field\":\"to\",\"value\":");
    ior_json_quote(&extra, value);
    ior_buf_add_char(&extra, 0);
    call_reply_error(call, IOR_E_INVAL, reason,
                     ior_buf_failed(&extra) ? NULL : (const char *)extra.data);
    ior_buf_done(&extra);
}

/* `to` under a name that is nearly right; else NULL. */
static const struct query_param *misspelt(const struct http_call *call)
{
    for (size_t i = 0; i < call->query_count; i++) {
        const struct query_param *p = &call->query[i];
        if (p->name.size_bytes != 2 || ior_slice_eq(p->name, IOR_SLICE("to"))) continue;
        if (strncasecmp((const char *)p->name.data, "to", 2) == 0) return p;
    }
    return NULL;
}

/* False: it is answered. */
static bool take_to(struct http_call *call, bool *ret_has_to, int64_t *ret_to)
{
    struct ior_slice value;
    const struct query_param *near = misspelt(call);
    *ret_has_to = call_query(call, "to", &value);
    if (call->query_cut || near != NULL) {
        refuse(call, near != NULL ? near->value : IOR_SLICE(""),
               near != NULL ? "The parameter is called `to`; nothing was removed"
                            : "The query has a broken or too many parameters; nothing was removed");
        return false;
    }
    bool is_id = *ret_has_to && path_int(value, ret_to) && *ret_to != INT64_MAX;
    if (*ret_has_to && !is_id) {
        refuse(call, value, "`to` must be an id: events up to it go");
        return false;
    }
    return true;
}

void route_stream_delete(struct http_call *call)
{
    int64_t to = 0;
    bool has_to = false;
    if (!take_to(call, &has_to, &to)) return;
    struct trim *t = NULL;
    enum ior_err err = trim_new(call->bucket, call->stream, &t);
    if (err != IOR_OK) {
        call_reply_error(call, err, NULL, NULL);
        return;
    }
    t->all = !has_to;
    t->to = to < 0 ? 0 : (uint64_t)to;
    t->user_ptr = call->app;
    t->user[0] = call_ticket(call, true);
    err = t->user[0] == 0 ? IOR_E_BUSY : iorio_trim(call->app->node, t, trim_done);
    if (err == IOR_OK) return;
    trim_free(t);
    call_reply_error(call, err, NULL, NULL);
}

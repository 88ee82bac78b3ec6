/* proto/http/streams_delete.c - DELETE /streams/:b/:s: all of it, or up to an id.
 * Happy path: the change goes through the log; when it is on disk, 204 and what is
 * left. A stream that is not there is as good as deleted: 204 too.
 * Failure modes: a `to` that is no number is 400, for it must never mean everything. */
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

void route_stream_delete(struct http_call *call)
{
    struct ior_slice value;
    int64_t to = 0;
    bool has_to = call_query(call, "to", &value);
    if (has_to && !path_int(value, &to)) {
        call_reply_error(call, IOR_E_INVAL, "`to` must be an id: events up to it go",
                         "\"field\":\"to\"");
        return;
    }
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

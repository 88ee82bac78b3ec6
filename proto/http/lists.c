/* proto/http/lists.c - GET /buckets and GET /streams/:b.
 * {"status":"ok","data":[...]}, sorted; ?after= ?limit= ?match=pre* ?info=yes. When
 * there are further names the answer says so in `Iorio-More: yes`. */
#include "base/json.h"
#include "base/limits.h"
#include "proto/http/call.h"
#include "proto/http/negotiate.h"
#include "proto/http/routes.h"

enum { USER_TICKET, USER_INFO };

static void render_row(struct ior_buf *out, const struct list *l, size_t i, bool info)
{
    if (i > 0) ior_buf_add_char(out, ',');
    if (!info) {
        ior_json_quote(out, list_name_at(l, i));
        return;
    }
    ior_buf_add_str(out, "{\"name\":");
    ior_json_quote(out, list_name_at(l, i));
    if (!l->buckets)
        ior_buf_addf(out, ",\"low\":%llu,\"high\":%llu,\"bytes\":%llu,\"events\":%llu",
                     (unsigned long long)l->rows[i].low, (unsigned long long)l->rows[i].high,
                     (unsigned long long)l->rows[i].bytes, (unsigned long long)l->rows[i].events);
    ior_buf_add_char(out, '}');
}

static void reply(struct http_call *call, const struct list *l)
{
    struct ior_buf out;
    ior_buf_init(&out);
    ior_buf_add_str(&out, "{\"status\":\"ok\",\"data\":[");
    for (size_t i = 0; i < l->count; i++) render_row(&out, l, i, l->user[USER_INFO] != 0);
    ior_buf_add_str(&out, "]}");
    if (l->more) call_add_header(call, "iorio-more", IOR_SLICE("yes"));
    call_reply_buf(call, 200, "application/json", &out);
}

static void list_done(struct list *l)
{
    struct http_call *call = call_redeem(l->user_ptr, l->user[USER_TICKET]);
    if (call != NULL && l->err == IOR_OK) {
        reply(call, l);
    } else if (call != NULL) {
        call_reply_error(call, l->err, NULL, NULL);
    }
    list_free(l);
}

static void take_params(struct http_call *call, struct list *l)
{
    struct ior_slice value;
    int64_t n;
    if (call_query(call, "after", &value)) ior_buf_add_slice(&l->after, value);
    if (call_query(call, "match", &value)) {
        bool star = value.size_bytes > 0 && value.data[value.size_bytes - 1] == '*';
        if (star) value.size_bytes--;
        ior_buf_add_slice(&l->prefix, value);
        l->exact = !star;
    }
    if (call_query(call, "limit", &value) && path_int(value, &n) && n < LIST_NAMES_MAX)
        l->limit = n <= 0 ? 0 : (size_t)n;
    if (call_query(call, "info", &value))
        l->user[USER_INFO] = ior_slice_eq(value, IOR_SLICE("yes"));
}

static void start_list(struct http_call *call, bool buckets)
{
    struct list *l = NULL;
    enum ior_err err = list_new(&l);
    if (err != IOR_OK) {
        call_reply_error(call, err, NULL, NULL);
        return;
    }
    l->buckets = buckets;
    ior_buf_add_slice(&l->bucket, call->bucket);
    take_params(call, l);
    if (l->limit == 0) {
        list_free(l);
        call_reply_json(call, 200, IOR_SLICE("{\"status\":\"ok\",\"data\":[]}"));
        return;
    }
    l->user_ptr = call->app;
    l->user[USER_TICKET] = call_ticket(call, true);
    err = l->user[USER_TICKET] == 0 ? IOR_E_BUSY : iorio_list(call->app->node, l, list_done);
    if (err == IOR_OK) return;
    list_free(l);
    call_reply_error(call, err, NULL, NULL);
}

void route_buckets(struct http_call *call)
{
    start_list(call, true);
}

void route_streams(struct http_call *call)
{
    start_list(call, false);
}

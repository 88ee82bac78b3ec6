/* proto/http/streams_get.c - GET /streams/:b/:s and GET /streams/:b/:s/:id.
 * Happy path: one visit of the vnode gives everything asked for and the answer
 * goes out whole; a longer range is streamed: next visit when the client has
 * taken the last piece, so a slow reader holds one piece and no more.
 * Failure modes: a read that fails in the middle cuts the connection, so that
 * the client sees that the answer is not whole; so does a token that ended or was revoked, or a
 * right that was taken away, between two pieces. */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/limits.h"
#include "proto/http/call.h"
#include "proto/http/negotiate.h"
#include "proto/http/render.h"
#include "proto/http/routes.h"

/* What a read knows about its request beside the ticket (read.user). */
enum { USER_TICKET, USER_FLAGS };
enum get_flags { GET_NDJSON = 1, GET_STARTED = 2, GET_HEAD_CUT = 4 };

/* What stands around one event of JSON, at most. */
enum { META_BYTES = 96 };

static const char type_json[] = "application/json";
static const char type_ndjson[] = "application/x-ndjson";

static void stream_get_visited(struct read *r);

/* ---- parameters ---- */

static void take_range(struct http_call *call, struct read *r, uint64_t limit_max)
{
    struct ior_slice value;
    int64_t n = 1;
    bool has_limit = call_query(call, "limit", &value) && path_int(value, &n);
    if (!has_limit) n = 1;
    r->limit = n <= 0 ? 0 : (uint64_t)n;
    if (r->limit > limit_max) r->limit = limit_max;
    if (call_query(call, "from", &value) && path_int(value, &n)) {
        r->how = n < 0 ? READ_FROM_END : READ_FROM_ID;
        r->from = n < 0 ? 0 - (uint64_t)n : (uint64_t)n; /* the least one has no positive twin */
    }
    if (call_query(call, "to", &value) && path_int(value, &n)) r->to = n < 0 ? 0 : (uint64_t)n;
}

/* download=name: a file name that harms nobody. */
static void add_disposition(struct http_call *call)
{
    struct ior_slice name;
    if (!call_query(call, "download", &name) || name.size_bytes == 0) return;
    struct ior_buf b;
    ior_buf_init(&b);
    ior_buf_add_str(&b, "attachment; filename=\"");
    for (size_t i = 0; i < name.size_bytes && i < 128; i++) {
        uint8_t c = name.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_' || (c == '.' && i > 0);
        ior_buf_add_char(&b, plain ? (char)c : '_');
    }
    ior_buf_add_char(&b, '"');
    if (!ior_buf_failed(&b)) call_add_header(call, "content-disposition", ior_buf_slice(&b));
    ior_buf_done(&b);
}

/* ---- many events ---- */

static void render_visit(const struct read *r, struct ior_buf *out, bool first)
{
    bool ndjson = (r->user[USER_FLAGS] & GET_NDJSON) != 0;
    if (!ndjson && first) ior_buf_add_char(out, '[');
    for (size_t i = 0; i < r->count; i++) {
        if (!ndjson && !(first && i == 0)) ior_buf_add_char(out, ',');
        render_event(out, &r->events[i], ndjson);
        if (ndjson) ior_buf_add_char(out, '\n');
    }
    if (!ndjson && r->next == 0) ior_buf_add_char(out, ']');
}

static void free_read_state(void *state)
{
    read_free(state);
}

/* The client has taken what was sent: read on, if he may still read. */
static void stream_get_next(struct http_call *call)
{
    struct read *r = call->stream_state;
    if (!call_may_go_on(call)) {
        call_stream_abort(call);
        return;
    }
    call->stream_state = NULL; /* the visit owns it until it comes back */
    read_release(r);
    r->user[USER_TICKET] = call_ticket(call, false);
    enum ior_err err =
        r->user[USER_TICKET] == 0 ? IOR_E_BUSY : iorio_read(call->app->node, r, stream_get_visited);
    if (err == IOR_OK) return;
    read_free(r);
    call_stream_abort(call);
}

static void reply_first(struct http_call *call, struct read *r)
{
    bool ndjson = (r->user[USER_FLAGS] & GET_NDJSON) != 0;
    const char *type = ndjson ? type_ndjson : type_json;
    struct ior_buf out;
    bool one = r->count == 1;
    call_buf(call, &out, one ? r->events[0].payload.size_bytes + META_BYTES : SIZE_MAX);
    render_visit(r, &out, true);
    call_add_header_u64(call, "iorio-low", r->low);
    call_add_header_u64(call, "iorio-high", r->high);
    add_disposition(call);
    if ((r->user[USER_FLAGS] & GET_HEAD_CUT) != 0) {
        ior_buf_done(&out);
        call_stream_start(call, 200, type, stream_get_next, r, free_read_state);
        call_stream_send(call, &out, true);
        return;
    }
    if (r->next == 0 || call->is_head) {
        call_reply_buf(call, 200, type, &out);
        read_free(r);
        return;
    }
    r->user[USER_FLAGS] |= GET_STARTED;
    call_stream_start(call, 200, type, stream_get_next, r, free_read_state);
    call_stream_send(call, &out, false);
}

static void reply_more(struct http_call *call, struct read *r)
{
    struct ior_buf out;
    ior_buf_init(&out);
    render_visit(r, &out, false);
    call->stream_state = r;
    call_stream_send(call, &out, r->next == 0);
}

static void stream_get_visited(struct read *r)
{
    struct http_call *call = call_redeem(r->user_ptr, r->user[USER_TICKET]);
    if (call == NULL) {
        read_free(r);
        return;
    }
    bool started = (r->user[USER_FLAGS] & GET_STARTED) != 0;
    if (r->err != IOR_OK) {
        if (started) call_stream_abort(call); /* the client sees that it is not whole */
        if (!started) call_reply_error(call, r->err, NULL, NULL);
        read_free(r);
    } else if (started) {
        reply_more(call, r);
    } else {
        reply_first(call, r);
    }
}

static void submit(struct http_call *call, struct read *r, read_cb cb)
{
    r->user_ptr = call->app;
    r->user[USER_TICKET] = call_ticket(call, true);
    enum ior_err err = r->user[USER_TICKET] == 0 ? IOR_E_BUSY : iorio_read(call->app->node, r, cb);
    if (err == IOR_OK) return;
    read_free(r);
    call_reply_error(call, err, NULL, NULL);
}

void route_stream_get(struct http_call *call)
{
    struct read *r = NULL;
    enum ior_err err = read_new(call->bucket, call->stream, &r);
    if (err != IOR_OK) {
        call_reply_error(call, err, NULL, NULL);
        return;
    }
    bool ndjson = call->answer == ANSWER_NDJSON;
    r->user[USER_FLAGS] = ndjson ? GET_NDJSON : 0;
    take_range(call, r, ndjson ? UINT64_MAX : call->app->config->streams_read_max);
    if (call->is_head && r->limit > 1) {
        /* Only the headers are wanted; the length of what is not read is not known, and
         * a wrong Content-Length is worse than none (RFC 9110 section 8.6). */
        r->limit = 1;
        r->user[USER_FLAGS] |= GET_HEAD_CUT;
    }
    submit(call, r, stream_get_visited);
}

/* ---- one event, as it was sent ---- */

static void reply_missing(struct http_call *call, const struct read *r, uint64_t id)
{
    call_add_header_u64(call, "iorio-low", r->low);
    call_add_header_u64(call, "iorio-high", r->high);
    bool gone = id > 0 && id < r->low && id <= r->high + 1;
    call_reply_error(call, gone ? IOR_E_GONE : IOR_E_NOTFOUND,
                     gone ? NULL : "There is no event with this number yet", NULL);
}

static void event_get_visited(struct read *r)
{
    struct http_call *call = call_redeem(r->user_ptr, r->user[USER_TICKET]);
    if (call != NULL && r->err != IOR_OK) {
        call_reply_error(call, r->err, NULL, NULL);
    } else if (call != NULL && r->count == 0) {
        reply_missing(call, r, r->from);
    } else if (call != NULL) {
        struct event_out *e = &r->events[0];
        char etag[24];
        int n = snprintf(etag, sizeof etag, "\"%llu\"", (unsigned long long)e->id);
        call_add_header(call, "etag", ior_slice(etag, (size_t)n));
        call_add_header_u64(call, "iorio-low", r->low);
        call_add_header_u64(call, "iorio-high", r->high);
        add_disposition(call);
        struct ior_blob *blob = e->blob;
        r->count = 0; /* the reference goes to the answer */
        call_reply_blob(call, 200, e->json ? type_json : "application/octet-stream", blob,
                        e->payload);
    }
    read_free(r);
}

void route_event_get(struct http_call *call)
{
    int64_t id = 0;
    struct read *r = NULL;
    if (!path_int(call->id, &id) || id < 0) {
        call_reply_error(call, IOR_E_NOTFOUND,
                         "An event has a number: /streams/{bucket}/{stream}/{id}", NULL);
        return;
    }
    enum ior_err err = read_new(call->bucket, call->stream, &r);
    if (err != IOR_OK) {
        call_reply_error(call, err, NULL, NULL);
        return;
    }
    r->how = READ_FROM_ID;
    r->from = r->to = (uint64_t)id;
    submit(call, r, event_get_visited);
}

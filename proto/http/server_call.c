/* proto/http/server_call.c - one request: from h2o into a call, and its answer back.
 * The call lives in the request's pool; its dispose hook runs when h2o lets go of
 * the request, answered or not, and takes the ticket back: so nobody who redeems
 * later can reach freed memory.
 * Traps of h2o 2.2.5 that are met here: an answer needs a content length to be
 * kept alive; header values are not copied; h2o_send only once until proceed. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "proto/http/server_private.h"
#include "rt/clock.h"

enum { COPY_BYTES_MAX = 2048, TICKETS_AT_FIRST = 256 };

static h2o_req_t *req_of(const struct http_call *call)
{
    return call->req;
}

struct http_worker *http_worker_of(const struct http_call *call)
{
    return H2O_STRUCT_FROM_MEMBER(struct http_worker, context, req_of(call)->conn->ctx);
}

struct http_conn *http_conn_of(const struct http_call *call)
{
    h2o_conn_t *c = req_of(call)->conn;
    h2o_socket_t *sock = c->callbacks->get_socket(c);
    return sock == NULL ? NULL : sock->on_close.data;
}

/* ---- tickets ---- */

static bool grow_slots(struct http_worker *hw)
{
    uint32_t count = hw->slot_count == 0 ? TICKETS_AT_FIRST : hw->slot_count * 2;
    if (count > HTTP_CALLS_MAX) return false;
    struct ticket_slot *slots = realloc(hw->slots, count * sizeof *slots);
    if (slots == NULL) return false;
    for (uint32_t i = hw->slot_count; i < count; i++)
        slots[i] = (struct ticket_slot){NULL, 1, i + 1 < count ? i + 2 : 0};
    hw->free_slot = hw->slot_count + 1;
    hw->slots = slots;
    hw->slot_count = count;
    return true;
}

static void wait_link(struct http_worker *hw, struct http_call *call)
{
    call->wait_prev = hw->wait_last;
    if (hw->wait_last != NULL) {
        hw->wait_last->wait_next = call;
    } else {
        hw->wait_first = call;
    }
    hw->wait_last = call;
}

static void wait_unlink(struct http_worker *hw, struct http_call *call)
{
    if (call->deadline_us == 0) return;
    call->deadline_us = 0;
    if (call->wait_prev != NULL) {
        call->wait_prev->wait_next = call->wait_next;
    } else {
        hw->wait_first = call->wait_next;
    }
    if (call->wait_next != NULL) {
        call->wait_next->wait_prev = call->wait_prev;
    } else {
        hw->wait_last = call->wait_prev;
    }
    call->wait_prev = call->wait_next = NULL;
}

uint64_t call_ticket(struct http_call *call, bool with_deadline)
{
    struct http_worker *hw = http_worker_of(call);
    IOR_ASSERT(call->ticket == 0);
    if (hw->free_slot == 0 && !grow_slots(hw)) return 0;
    uint32_t at = hw->free_slot - 1;
    struct ticket_slot *slot = &hw->slots[at];
    hw->free_slot = slot->next_free;
    slot->call = call;
    call->ticket = (uint64_t)slot->generation << 32 | (at + 1);
    if (with_deadline) {
        call->deadline_us = clock_mono_coarse_us() + call->app->config->request_timeout * 1000;
        wait_link(hw, call);
    }
    return call->ticket;
}

static void give_ticket_back(struct http_worker *hw, struct http_call *call)
{
    wait_unlink(hw, call);
    if (call->ticket == 0) return;
    uint32_t at = (uint32_t)call->ticket - 1;
    struct ticket_slot *slot = &hw->slots[at];
    IOR_ASSERT(slot->call == call);
    slot->call = NULL;
    slot->generation++;
    slot->next_free = hw->free_slot;
    hw->free_slot = at + 1;
    call->ticket = 0;
}

struct http_call *call_redeem(struct http_app *app, uint64_t ticket)
{
    struct http_worker *hw = app->workers[worker_current()->id];
    uint32_t at = (uint32_t)ticket - 1;
    IOR_ASSERT(at < hw->slot_count);
    struct ticket_slot *slot = &hw->slots[at];
    if (slot->generation != (uint32_t)(ticket >> 32) || slot->call == NULL) return NULL;
    struct http_call *call = slot->call;
    IOR_CHECK_MAGIC(call, CALL_MAGIC);
    give_ticket_back(hw, call);
    return call;
}

void http_sweep_deadlines(struct http_worker *hw)
{
    uint64_t now_us = clock_mono_coarse_us();
    while (hw->wait_first != NULL && hw->wait_first->deadline_us <= now_us) {
        struct http_call *call = hw->wait_first;
        give_ticket_back(hw, call);
        metric_add(METRIC_http_timeouts, 1);
        call_reply_error(call, IOR_E_TIMEOUT, NULL, NULL);
    }
}

struct token_cache *http_token_cache(struct http_app *app)
{
    return app->workers[worker_current()->id]->tokens;
}

/* ---- in ---- */

/* While a POST waits for the disk, h2o would take its socket out of the poll set and
 * put it back after the answer: two system calls a request. Instead it stays in
 * with a callback that does not read. When something does arrive before h2o has
 * finished with the request (a pipelined request, the end of the connection) it is
 * taken out as h2o would do. Nothing is read until then, also while an answer waits
 * for a client that does not take it: else its input would grow without a bound. */
static void on_readable_while_waiting(h2o_socket_t *sock, const char *err)
{
    (void)err;
    h2o_socket_read_stop(sock);
}

static void park(struct http_call *call, struct http_conn *conn)
{
    h2o_req_t *req = req_of(call);
    if (conn == NULL || call->answered || req->entity.base == NULL || req->version >= 0x200) return;
    if (conn->parked) return; /* by call_wait() */
    conn->parked = true;
    h2o_socket_dont_read(conn->sock, 1);
    h2o_socket_read_start(conn->sock, on_readable_while_waiting);
}

static void unpark(struct http_conn *conn)
{
    if (conn == NULL || !conn->parked) return;
    conn->parked = false;
    h2o_socket_dont_read(conn->sock, 0);
}

static void on_dispose(void *p)
{
    struct http_call *call = p;
    IOR_CHECK_MAGIC(call, CALL_MAGIC);
    struct http_worker *hw = http_worker_of(call);
    struct http_conn *conn = http_conn_of(call);
    h2o_req_t *req = req_of(call);
    conn->calls--;
    unpark(conn);
    http_wait_gone(call);
    http_log_call(call);
    if (conn->http2 != NULL) http2_request_over(conn, req, call);
    if (!call->answered) metric_add(METRIC_http_clients_gone, 1);
    give_ticket_back(hw, call);
    if (call->stream_free != NULL) call->stream_free(call->stream_state);
    call->magic = 0;
    if (conn->http2 == NULL) gate_next(conn, req);
}

/* RFC 9112 section 3.2.2: a URL as target. Nothing here depends on the host, so what is behind it
 * is the target. */
static struct ior_slice without_host(struct ior_slice target)
{
    size_t i = 0;
    if (target.size_bytes == 0 || target.data[0] == '/') return target;
    while (i < target.size_bytes && target.data[i] != ':') i++;
    if (!ior_slice_starts(ior_slice(target.data + i, target.size_bytes - i), IOR_SLICE("://")))
        return target;
    for (i += 3; i < target.size_bytes && target.data[i] != '/'; i++) {
    }
    return i < target.size_bytes ? ior_slice(target.data + i, target.size_bytes - i)
                                 : IOR_SLICE("/");
}

static void take_request(struct http_call *call, struct http_server *s, h2o_req_t *req)
{
    memset(call, 0, offsetof(struct http_call, user));
    call->user[0] = 0;
    call->magic = CALL_MAGIC;
    call->req = req;
    call->app = s->app;
    call->body = ior_slice(req->entity.base, req->entity.len);
    call->body_bytes = req->entity.len;
    call->begin_us = clock_turn_us();
    call->method = ior_slice(req->input.method.base, req->input.method.len);
    call->target = ior_slice(req->path.base, req->path.len);
    call->is_head = h2o_memis(req->input.method.base, req->input.method.len, H2O_STRLIT("HEAD"));
}

static void dispatch(struct http_call *call)
{
    h2o_req_t *req = req_of(call);
    h2o_iovec_t method = req->input.method;
    struct ior_slice target = without_host(ior_slice(req->input.path.base, req->input.path.len));
    uint8_t *scratch = h2o_mem_alloc_pool(&req->pool, target.size_bytes + 1);
    struct query_param *params = NULL;
    if (call->head_only || req->query_at != SIZE_MAX) /* h2o has not looked yet, or found one */
        params = h2o_mem_alloc_pool(&req->pool, sizeof *params * QUERY_PARAMS_MAX);
    http_dispatch(call, ior_slice(method.base, method.len), target, scratch, params);
}

bool http_refused_by_head(struct http_server *s, h2o_req_t *req, uint64_t body_bytes)
{
    struct http_call probe;
    take_request(&probe, s, req);
    probe.head_only = probe.mute = true;
    probe.body_bytes = body_bytes;
    dispatch(&probe);
    return probe.answered;
}

/* The answer that the gate wants instead of the request's own. */
static void refuse(struct http_call *call, struct http_conn *conn)
{
    h2o_req_t *req = req_of(call);
    const struct guard_fault *fault = conn->refusal;
    req->http1_is_persistent = 0;
    if (fault->err != IOR_OK) {
        call_reply_error(call, fault->err, fault->reason, NULL);
        return;
    }
    call->head_only = true;
    call->body_bytes = conn->announced_bytes;
    dispatch(call);
    /* It could have been let in by now, but without its body. */
    if (!call->answered) call_reply_error(call, IOR_E_BUSY, NULL, NULL);
}

int http_on_req(h2o_handler_t *self, h2o_req_t *req)
{
    struct iorio_handler *h = (struct iorio_handler *)(void *)self;
    struct http_call *call = h2o_mem_alloc_shared(&req->pool, sizeof *call, on_dispose);
    take_request(call, h->server, req);
    struct http_conn *conn = http_conn_of(call);
    conn->calls++;
    metric_add(METRIC_http_requests, 1);
    if (!h->server->tested) {
        http_selftest_request(h->server, req);
    } else {
        http_count(&http_worker_of(call)->request_count, 1);
    }
    if (conn->http2 == NULL) gate_busy(conn, req);
    if (conn->refusal != NULL) {
        refuse(call, conn);
        return 0;
    }
    if (conn->http2 != NULL && !http2_head_ok(h->server, req)) {
        call_reply_error(call, IOR_E_HEADTOOLARGE, NULL, NULL);
        return 0;
    }
    dispatch(call);
    /* What is answered inside this callback costs h2o no change of its poll set (two
     * system calls less a request): docs/decisions.rst. */
    worker_run_deferred(h->server->workers[worker_current()->id].worker);
    park(call, conn);
    return 0;
}

struct ior_slice call_header(const struct http_call *call, const char *name)
{
    h2o_req_t *req = req_of(call);
    if (strcmp(name, "upgrade") == 0) /* h2o takes it out of the headers */
        return ior_slice(req->upgrade.base, req->upgrade.len);
    ssize_t at = h2o_find_header_by_str(&req->headers, name, strlen(name), -1);
    if (at < 0) return (struct ior_slice){NULL, 0};
    h2o_iovec_t v = req->headers.entries[at].value;
    return ior_slice(v.base == NULL ? "" : v.base, v.len);
}

bool call_header_at(const struct http_call *call, size_t i, struct ior_slice *ret_name,
                    struct ior_slice *ret_value)
{
    const h2o_req_t *req = req_of(call);
    if (i > req->headers.size) return false;
    h2o_iovec_t value = i == 0 ? req->authority : req->headers.entries[i - 1].value;
    *ret_name = IOR_SLICE("host");
    if (i > 0) {
        const h2o_iovec_t *name = req->headers.entries[i - 1].name;
        *ret_name = ior_slice(name->base, name->len);
    }
    *ret_value = ior_slice(value.base == NULL ? "" : value.base, value.len);
    return true;
}

bool call_header_repeated(const struct http_call *call, const char *name)
{
    h2o_req_t *req = req_of(call);
    ssize_t at = h2o_find_header_by_str(&req->headers, name, strlen(name), -1);
    if (at >= 0) at = h2o_find_header_by_str(&req->headers, name, strlen(name), at);
    return at >= 0;
}

bool call_query(const struct http_call *call, const char *name, struct ior_slice *ret)
{
    for (size_t i = 0; i < call->query_count; i++) {
        if (!ior_slice_eq(call->query[i].name, ior_slice_str(name))) continue;
        *ret = call->query[i].value;
        return true;
    }
    return false;
}

const char *call_certificate_user(const struct http_call *call)
{
    return http_conn_of(call)->cert_user;
}

bool call_header_next(const struct http_call *call, const char *name, ptrdiff_t *at,
                      struct ior_slice *ret)
{
    h2o_req_t *req = req_of(call);
    *at = h2o_find_header_by_str(&req->headers, name, strlen(name), *at);
    if (*at < 0) return false;
    h2o_iovec_t v = req->headers.entries[*at].value;
    *ret = ior_slice(v.base == NULL ? "" : v.base, v.len);
    return true;
}

bool call_peer(const struct http_call *call, struct ior_address *ret)
{
    h2o_conn_t *c = req_of(call)->conn;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } sa = {.room = {0}};
    if (c->callbacks->get_peername(c, &sa.any) == 0) return false;
    if (sa.any.sa_family != AF_INET && sa.any.sa_family != AF_INET6) return false;
    *ret = (struct ior_address){{[10] = 0xff, [11] = 0xff}};
    if (sa.any.sa_family == AF_INET) memcpy(ret->bytes + 12, &sa.v4.sin_addr, 4);
    if (sa.any.sa_family == AF_INET6) memcpy(ret->bytes, &sa.v6.sin6_addr, sizeof ret->bytes);
    return true;
}

/* ---- out ---- */

static const char *status_text(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 201:
        return "Created";
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 406:
        return "Not Acceptable";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 410:
        return "Gone";
    case 412:
        return "Precondition Failed";
    case 413:
        return "Payload Too Large";
    case 415:
        return "Unsupported Media Type";
    case 429:
        return "Too Many Requests";
    case 431:
        return "Request Header Fields Too Large";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    case 507:
        return "Insufficient Storage";
    default:
        return status < 500 ? "Bad Request" : "Internal Server Error";
    }
}

void call_add_header(struct http_call *call, const char *name, struct ior_slice value)
{
    h2o_req_t *req = req_of(call);
    if (call->mute) return;
    char *copy = h2o_mem_alloc_pool(&req->pool, value.size_bytes + 1);
    if (value.size_bytes > 0) memcpy(copy, value.data, value.size_bytes);
    copy[value.size_bytes] = 0;
    h2o_add_header_by_str(&req->pool, &req->res.headers, name, strlen(name), 0, NULL, copy,
                          value.size_bytes);
}

void call_add_header_u64(struct http_call *call, const char *name, uint64_t value)
{
    char dec[20];
    size_t n = ior_u64_dec(value, dec);
    call_add_header(call, name, ior_slice(dec, n));
}

static void begin(struct http_call *call, int status, const char *type, size_t length)
{
    h2o_req_t *req = req_of(call);
    IOR_CHECK_MAGIC(call, CALL_MAGIC);
    IOR_ASSERT(!call->answered);
    call->answered = true;
    if (call->mute) return;
    give_ticket_back(http_worker_of(call), call);
    http_wait_leave(call);
    if (http_worker_of(call)->server->tested)
        metric_observe_us(route_histogram(call->route), clock_turn_look_us() - call->begin_us);
    if (status >= 500) metric_add(METRIC_http_errors_5xx, 1);
    if (status >= 400 && status < 500) metric_add(METRIC_http_errors_4xx, 1);
    req->res.status = status;
    req->res.reason = status_text(status);
    req->res.content_length = length;
    if (type != NULL)
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, type,
                       strlen(type));
}

static void send_whole(struct http_call *call, const void *data, size_t n)
{
    static h2o_generator_t generator = {NULL, NULL};
    if (call->mute) return;
    union {
        const void *in;
        char *out;
    } cast = {.in = data}; /* h2o does not write to it */
    h2o_iovec_t iov = {cast.out, n};
    h2o_start_response(req_of(call), &generator);
    /* h2o sends what it is given, also to a HEAD; the length is in the head already. */
    bool has_body = n > 0 && !call->is_head;
    h2o_send(req_of(call), &iov, has_body ? 1 : 0, H2O_SEND_STATE_FINAL);
}

void call_reply_empty(struct http_call *call, int status)
{
    begin(call, status, NULL, 0);
    send_whole(call, NULL, 0);
}

void call_reply_static(struct http_call *call, int status, const char *type, struct ior_slice text)
{
    begin(call, status, type, text.size_bytes);
    send_whole(call, text.data, text.size_bytes);
}

void call_reply_text(struct http_call *call, int status, const char *type, struct ior_slice text)
{
    char *copy = h2o_mem_alloc_pool(&req_of(call)->pool, text.size_bytes + 1);
    if (text.size_bytes > 0) memcpy(copy, text.data, text.size_bytes);
    begin(call, status, type, text.size_bytes);
    send_whole(call, copy, text.size_bytes);
}

void call_reply_json(struct http_call *call, int status, struct ior_slice json)
{
    call_reply_text(call, status, "application/json", json);
}

void call_buf(struct http_call *call, struct ior_buf *out, size_t size_bytes)
{
    if (size_bytes > COPY_BYTES_MAX) {
        ior_buf_init(out);
    } else {
        ior_buf_init_in(out, h2o_mem_alloc_pool(&req_of(call)->pool, size_bytes), size_bytes);
    }
}

struct kept_buf {
    struct ior_buf buf;
};

static void free_kept_buf(void *p)
{
    struct kept_buf *k = p;
    ior_buf_done(&k->buf);
}

void call_reply_buf(struct http_call *call, int status, const char *type, struct ior_buf *take)
{
    if (ior_buf_failed(take)) {
        ior_buf_done(take);
        call_reply_error(call, IOR_E_NOMEM, NULL, NULL);
        return;
    }
    if (take->borrowed) { /* by call_buf() */
        begin(call, status, type, take->size_bytes);
        send_whole(call, take->data, take->size_bytes);
        ior_buf_done(take);
        return;
    }
    if (take->size_bytes <= COPY_BYTES_MAX) {
        call_reply_text(call, status, type, ior_buf_slice(take));
        ior_buf_done(take);
        return;
    }
    struct kept_buf *k = h2o_mem_alloc_shared(&req_of(call)->pool, sizeof *k, free_kept_buf);
    k->buf = *take;
    *take = (struct ior_buf){0};
    begin(call, status, type, k->buf.size_bytes);
    send_whole(call, k->buf.data, k->buf.size_bytes);
}

struct kept_blob {
    struct ior_blob *blob;
};

static void free_kept_blob(void *p)
{
    ior_blob_unref(((struct kept_blob *)p)->blob);
}

void call_reply_blob(struct http_call *call, int status, const char *type, struct ior_blob *take,
                     struct ior_slice payload)
{
    struct kept_blob *k = h2o_mem_alloc_shared(&req_of(call)->pool, sizeof *k, free_kept_blob);
    k->blob = take;
    begin(call, status, type, payload.size_bytes);
    send_whole(call, payload.data, payload.size_bytes);
}

void call_reply_error(struct http_call *call, enum ior_err err, const char *reason,
                      const char *extra)
{
    struct ior_buf out;
    int status = ior_err_http(err);
    ior_buf_init(&out);
    ior_buf_add_str(&out, "{\"type\":");
    ior_json_quote(&out, ior_slice_str(ior_err_type(err)));
    ior_buf_add_str(&out, ",\"reason\":");
    ior_json_quote(&out, ior_slice_str(reason != NULL ? reason : ior_err_reason(err)));
    if (extra != NULL) {
        ior_buf_add_char(&out, ',');
        ior_buf_add_str(&out, extra);
    }
    ior_buf_add_char(&out, '}');
    if (status == 401) call_add_header(call, "www-authenticate", IOR_SLICE("jwt"));
    if (status == 429 || (status == 503 && ior_err_retryable(err)))
        call_add_header_u64(call, "retry-after",
                            call->retry_after_s == 0 ? 1 : call->retry_after_s);
    if (ior_buf_failed(&out)) {
        call_reply_empty(call, status);
    } else {
        call_reply_json(call, status, ior_buf_slice(&out));
    }
    ior_buf_done(&out);
}

/* ---- streamed answers ---- */

struct stream_gen {
    h2o_generator_t super; /* first */
    struct http_call *call;
    struct ior_buf sending;
};

static void free_gen(void *p)
{
    struct stream_gen *g = p;
    ior_buf_done(&g->sending);
}

static struct stream_gen *gen_of(const struct http_call *call)
{
    return (struct stream_gen *)(void *)req_of(call)->_generator;
}

/* A write that was begun outside of h2o's loop and went out at once leaves the socket polled for
 * writing, when one before it had to wait: h2o looks at its state while that write still counts.
 * An event that finds no write is an assertion in h2o (evloop, 2.2.5). So where a write has ended
 * and the next one comes later, h2o is made to look again: what it reads is stopped, which it is
 * already while a request is worked on. */
static void look_again(struct http_call *call)
{
    struct http_conn *conn = http_conn_of(call);
    if (conn != NULL && req_of(call)->version < 0x200) h2o_socket_read_stop(conn->sock);
}

static void on_proceed(h2o_generator_t *self, h2o_req_t *req)
{
    struct stream_gen *g = (struct stream_gen *)(void *)self;
    (void)req;
    look_again(g->call);
    ior_buf_done(&g->sending);
    g->call->stream_next(g->call);
}

static void on_stop(h2o_generator_t *self, h2o_req_t *req)
{
    (void)self;
    (void)req; /* the dispose hook of the call does what is to be done */
}

void call_stream_start(struct http_call *call, int status, const char *type,
                       void (*next)(struct http_call *call), void *state,
                       void (*free_state)(void *state))
{
    h2o_req_t *req = req_of(call);
    struct stream_gen *g = h2o_mem_alloc_shared(&req->pool, sizeof *g, free_gen);
    *g = (struct stream_gen){.super = {on_proceed, on_stop}, .call = call};
    call->stream_next = next;
    call->stream_state = state;
    call->stream_free = free_state;
    begin(call, status, type, SIZE_MAX);
    h2o_start_response(req, &g->super);
}

void call_stream_send(struct http_call *call, struct ior_buf *take, bool last)
{
    struct stream_gen *g = gen_of(call);
    if (ior_buf_failed(take)) {
        ior_buf_done(take);
        call_stream_abort(call);
        return;
    }
    ior_buf_done(&g->sending);
    g->sending = *take;
    *take = (struct ior_buf){0};
    h2o_iovec_t iov = {(char *)g->sending.data, g->sending.size_bytes};
    h2o_send(req_of(call), &iov, iov.len > 0 ? 1 : 0,
             last ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
}

void call_stream_abort(struct http_call *call)
{
    h2o_send(req_of(call), NULL, 0, H2O_SEND_STATE_ERROR);
}

/* proto/http/server_gate.c - between a connection's bytes and h2o: no byte of a request reaches
 * h2o's parser before guard.c has passed its head, and what is not complete is counted.
 * Thread: the worker of the connection.
 * How: h2o reads into the socket's input and calls its own function; here that function is
 * replaced by on_read(), which looks at the bytes and then calls h2o's. h2o puts its own one
 * back at each new request, so the connection is listed then (gate_next) and the replacing is
 * done at the begin of the next turn (gate_wrap), before anything is read. What lies in the
 * input already when h2o goes on to the next request (a pipelined one) is looked at in
 * gate_next(), which runs before h2o does: in the disposal of the request before. A head that is
 * not complete there is taken out until gate_wrap().
 * An answer from here: while h2o has not seen the head, what came is replaced by a request of our
 * own, and h2o is given that; once it has the head, it is told that the request is complete.
 * Either way the handler finds a refusal (server_call.c), answers and closes.
 * server_selftest.c proves at each start that h2o behaves so.
 * Failure modes: a bad head or body: its error, and the end of the connection. More bytes of
 * requests that are not complete than memory.inflight has room for: 503, and the end. A body
 * that will be refused for what its head says: refused before it has come. */
#include <stdlib.h>
#include <strings.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "proto/http/server_private.h"

const struct guard_fault gate_too_slow = {IOR_E_SLOW, NULL};
static const struct guard_fault too_much = {IOR_E_UNFINISHED, NULL};
static const struct guard_fault refused_by_head = {IOR_OK, NULL}; /* the handler knows why */
static const struct guard_fault unseen = {IOR_E_REQUEST, "It came past the guard of this node"};
static const struct guard_fault too_large = {IOR_E_TOOLARGE, NULL};

static void on_read(h2o_socket_t *sock, const char *err);

static const uint8_t *input_of(const struct http_conn *c, size_t at)
{
    return (const uint8_t *)c->sock->input->bytes + at;
}

/* ---- the list of those that need on_read() again ---- */

void gate_list_for_wrap(struct http_conn *c)
{
    struct http_worker *hw = c->worker;
    if (c->wrap_listed) return;
    c->wrap_listed = true;
    c->wrap_prev = NULL;
    c->wrap_next = hw->wrap;
    if (hw->wrap != NULL) hw->wrap->wrap_prev = c;
    hw->wrap = c;
}

static void unlist_for_wrap(struct http_conn *c)
{
    if (!c->wrap_listed) return;
    c->wrap_listed = false;
    if (c->wrap_prev != NULL) {
        c->wrap_prev->wrap_next = c->wrap_next;
    } else {
        c->worker->wrap = c->wrap_next;
    }
    if (c->wrap_next != NULL) c->wrap_next->wrap_prev = c->wrap_prev;
}

/* ---- bytes of requests that are not complete ---- */

bool gate_hold(struct http_conn *c, uint64_t bytes, bool one)
{
    struct http_server *s = c->worker->server;
    if (bytes == c->held) return true;
    uint64_t before = c->held;
    c->held = bytes;
    metric_gauge_add(METRIC_http_unfinished_bytes, (int64_t)(bytes - before));
    if (bytes < before) {
        atomic_fetch_sub(&s->held_bytes, before - bytes);
        return true;
    }
    uint64_t held = atomic_fetch_add(&s->held_bytes, bytes - before) + bytes - before;
    uint64_t all = held + atomic_load(&s->app->node->inflight_bytes);
    return all <= s->app->config->memory_inflight || (one && all == bytes);
}

void gate_close(struct http_conn *c)
{
    unlist_for_wrap(c);
    free(c->kept);
    c->kept = NULL;
    (void)gate_hold(c, 0, true);
}

/* ---- to h2o ---- */

bool gate_pass_on(struct http_conn *c, h2o_socket_cb h2o_read)
{
    struct http_worker *hw = c->worker;
    struct http_conn *outer = hw->reading;
    hw->reading = c;
    h2o_read(c->sock, NULL);
    bool alive = hw->reading == c;
    hw->reading = outer;
    return alive;
}

static bool pass_on(struct http_conn *c)
{
    return gate_pass_on(c, c->worker->server->h2o_read);
}

static void append_input(struct http_conn *c, const void *data, size_t size_bytes)
{
    h2o_iovec_t room = h2o_buffer_reserve(&c->sock->input, size_bytes);
    memcpy(room.base, data, size_bytes);
    c->sock->input->size += size_bytes;
}

static void count_refusal(const struct guard_fault *fault)
{
    enum metric m = METRIC_http_requests_refused;
    if (fault == &too_much) m = METRIC_http_unfinished_refused;
    if (fault == &gate_too_slow) m = METRIC_http_requests_slow;
    metric_add(m, 1);
}

static struct ior_slice line_at(struct ior_slice head, size_t at)
{
    struct ior_slice rest = ior_slice(head.data + at, head.size_bytes - at);
    const uint8_t *end = memmem(rest.data, rest.size_bytes, "\r\n", 2);
    return end == NULL ? rest : ior_slice(rest.data, (size_t)(end - rest.data) + 2);
}

/* A head that is sound and only announces too much: its first line and its Origin are kept, for the
 * request log and for the page that asks. */
static void keep_lines(struct ior_slice head, struct ior_buf *out)
{
    struct ior_slice line = line_at(head, 0);
    ior_buf_add_slice(out, line);
    ior_buf_add_str(out, "host:-\r\n");
    for (size_t at = line.size_bytes; at < head.size_bytes; at += line.size_bytes) {
        line = line_at(head, at);
        if (line.size_bytes > 7 && strncasecmp((const char *)line.data, "origin:", 7) == 0)
            ior_buf_add_slice(out, line);
    }
    ior_buf_add_str(out, "\r\n");
}

/* Instead of the request that begins at `at`, of which h2o has seen nothing. */
static void replace_request(struct http_conn *c, size_t at, const struct guard_fault *fault)
{
    static const char request[] = "REFUSED - HTTP/1.1\r\nhost:-\r\n\r\n";
    struct ior_buf kept;
    ior_buf_init(&kept);
    if (fault == &too_large && c->head_sound)
        keep_lines(ior_slice(input_of(c, at), c->head.line), &kept);
    bool use = kept.size_bytes > 0 && !ior_buf_failed(&kept);
    count_refusal(fault);
    c->refusal = fault;
    c->sock->input->size = at;
    append_input(c, use ? (const void *)kept.data : request,
                 use ? kept.size_bytes : sizeof request - 1);
    ior_buf_done(&kept);
}

bool gate_refuse(struct http_conn *c, const struct guard_fault *fault)
{
    IOR_ASSERT(c->stage == CONN_HEAD || c->stage == CONN_BODY);
    if (c->refusal != NULL || h2o_socket_is_writing(c->sock)) return false;
    if (c->sock->_cb.read == NULL) return false; /* h2o ends it already */
    http_linger_prepare(c);
    if (c->stage == CONN_HEAD) {
        replace_request(c, 0, fault);
        (void)pass_on(c);
        return true;
    }
    if (fault != &refused_by_head) count_refusal(fault);
    c->refusal = fault;
    h2o_socket_read_stop(c->sock);
    h2o_process_request(http_conn_request(c));
    return true;
}

/* ---- a request comes ---- */

/* A head has passed; what lies behind it from `at` on is looked at. BAD: *ret_fault. */
static enum guard_verdict begin_body(struct http_conn *c, size_t at,
                                     const struct guard_fault **ret_fault)
{
    const struct config *config = c->worker->server->app->config;
    size_t have = c->sock->input->size - at;
    size_t used = 0;
    c->stage = CONN_BODY;
    c->began_ms = c->worker->now_ms;
    c->window_bytes = 0;
    c->body_whole = c->head.body == GUARD_NO_BODY;
    if (c->head.body == GUARD_LENGTH) {
        *ret_fault = &too_large;
        if (c->head.length > config->http_body_max) return GUARD_BAD;
        c->body_whole = have >= c->head.length;
    }
    if (c->head.body != GUARD_CHUNKED) return GUARD_OK;
    c->chunks = (struct guard_chunks){0};
    enum guard_verdict v =
        guard_chunks(&c->chunks, input_of(c, at), have, config->http_body_max, &used, ret_fault);
    c->body_whole = v == GUARD_OK;
    return v == GUARD_BAD ? v : GUARD_OK;
}

static enum guard_verdict look_at_head(struct http_conn *c, size_t at,
                                       const struct guard_fault **ret_fault)
{
    const struct config *config = c->worker->server->app->config;
    enum guard_verdict v = guard_head(&c->head, input_of(c, at), c->sock->input->size - at,
                                      (size_t)config->http_head_max, ret_fault);
    c->head_sound = v == GUARD_OK;
    if (v == GUARD_OK) v = begin_body(c, at + c->head.line, ret_fault);
    if (v == GUARD_BAD) c->stage = CONN_HEAD; /* h2o has not seen it */
    return v;
}

/* Much of a body is still to come: is there a reason not to wait for it? */
static bool worth_a_probe(struct http_conn *c)
{
    if (c->probed || !c->worker->server->tested) return false;
    c->announced_bytes = c->head.body == GUARD_CHUNKED ? c->chunks.announced : c->head.length;
    return c->announced_bytes > HTTP_PROBE_BYTES && !h2o_socket_is_writing(c->sock);
}

/* h2o was called, or has read for itself: where does the connection stand? */
static void look_after(struct http_conn *c)
{
    h2o_socket_t *sock = c->sock;
    if (c->stage == CONN_BUSY) return;
    c->seen = sock->input->size;
    if (sock->_cb.read == NULL) { /* 100 Continue is written, or an error of h2o's */
        if (c->head.expects) gate_list_for_wrap(c);
        return;
    }
    if (c->stage == CONN_BODY && c->body_whole) { /* h2o reads it in another way */
        http_conn_cut(c);
        return;
    }
    if (c->stage == CONN_BODY && worth_a_probe(c)) {
        c->probed = true;
        if (http_refused_by_head(c->worker->server, http_conn_request(c), c->announced_bytes)) {
            (void)gate_refuse(c, &refused_by_head);
            return;
        }
    }
    if (!gate_hold(c, sock->input->size, true)) (void)gate_refuse(c, &too_much);
}

static void read_head(struct http_conn *c)
{
    const struct guard_fault *fault = NULL;
    if (c->began_ms == 0) c->began_ms = c->worker->now_ms;
    enum guard_verdict v = look_at_head(c, 0, &fault);
    if (v == GUARD_BAD) {
        (void)gate_refuse(c, fault);
    } else if (v == GUARD_MORE) {
        if (!gate_hold(c, c->sock->input->size, true)) (void)gate_refuse(c, &too_much);
    } else if (pass_on(c)) {
        look_after(c);
    }
}

static void read_body(struct http_conn *c)
{
    const struct guard_fault *fault = NULL;
    size_t size_bytes = c->sock->input->size;
    size_t used = 0;
    c->window_bytes += size_bytes - c->seen;
    if (c->head.body == GUARD_CHUNKED) {
        uint64_t max = c->worker->server->app->config->http_body_max;
        enum guard_verdict v = guard_chunks(&c->chunks, input_of(c, c->seen), size_bytes - c->seen,
                                            max, &used, &fault);
        if (v == GUARD_BAD) {
            (void)gate_refuse(c, fault);
            return;
        }
        c->body_whole = v == GUARD_OK;
    } else {
        c->body_whole = size_bytes >= c->head.line + c->head.length;
    }
    if (pass_on(c)) look_after(c);
}

static void on_read(h2o_socket_t *sock, const char *err)
{
    struct http_conn *c = sock->on_close.data;
    c->moved_ms = c->worker->now_ms;
    if (err != NULL) {
        c->worker->server->h2o_read(sock, err);
    } else if (c->stage == CONN_HEAD) {
        read_head(c);
    } else if (c->stage == CONN_BODY) {
        read_body(c);
    } else {
        (void)pass_on(c);
    }
}

/* ---- from one request to the next ---- */

static void await_head(struct http_conn *c)
{
    c->stage = CONN_HEAD;
    c->head = (struct guard_head){0};
    c->probed = false;
    c->body_whole = false;
    c->seen = c->request_end = 0;
    c->began_ms = 0;
    c->moved_ms = c->worker->now_ms;
}

void gate_busy(struct http_conn *c, h2o_req_t *req)
{
    size_t end = c->head.line;
    if (req->entity.base != NULL)
        end = (size_t)(req->entity.base - c->sock->input->bytes) + req->entity.len;
    if (c->stage != CONN_BODY && c->refusal == NULL) c->refusal = &unseen;
    if (c->refusal != NULL) end = c->sock->input->size;
    IOR_ASSERT(end <= c->sock->input->size);
    c->stage = CONN_BUSY;
    c->request_end = end;
    /* What lies behind it waits: too much of that goes with the connection after the answer. */
    if (!gate_hold(c, c->sock->input->size - end, true)) req->http1_is_persistent = 0;
}

/* What is behind `at` is put back by gate_wrap(). */
static void hide(struct http_conn *c, size_t at)
{
    c->kept_bytes = c->sock->input->size - at;
    c->kept = malloc(c->kept_bytes);
    if (c->kept != NULL) {
        memcpy(c->kept, input_of(c, at), c->kept_bytes);
    } else {
        http_conn_cut(c);
    }
    c->sock->input->size = at;
}

static void put_back(struct http_conn *c)
{
    append_input(c, c->kept, c->kept_bytes);
    free(c->kept);
    c->kept = NULL;
}

void gate_next(struct http_conn *c, const h2o_req_t *req)
{
    const struct guard_fault *fault = NULL;
    size_t end = c->request_end;
    if (c->stage != CONN_BUSY || !req->http1_is_persistent) return; /* it ends */
    size_t left = c->sock->input->size - end;
    await_head(c);
    gate_list_for_wrap(c);
    if (left == 0) return;
    c->began_ms = c->worker->now_ms;
    enum guard_verdict v = look_at_head(c, end, &fault);
    if (v == GUARD_MORE) {
        hide(c, end);
    } else if (v == GUARD_BAD) {
        http_linger_prepare(c);
        replace_request(c, end, fault);
    }
}

bool gate_wrap(struct http_worker *hw)
{
    struct http_conn *c = hw->wrap;
    bool any = c != NULL;
    struct http_conn *next;
    for (; c != NULL; c = next) {
        next = c->wrap_next;
        h2o_socket_t *sock = c->sock;
        if (c->stage == CONN_HTTP2) {
            if (http2_wrap(c)) unlist_for_wrap(c);
            continue;
        }
        bool continues = c->stage == CONN_BODY && c->head.expects;
        if (sock->_cb.read == NULL && continues) continue; /* 100 Continue is not written yet */
        unlist_for_wrap(c);
        if (sock->_cb.read != hw->server->h2o_read) continue;
        sock->_cb.read = on_read;
        if (c->kept != NULL) put_back(c);
        if (sock->input->size > 0 || c->held > 0) look_after(c);
    }
    return any;
}

/* ---- a new connection ---- */

void gate_open(struct http_conn *c)
{
    struct http_worker *hw = c->worker;
    struct http_server *s = hw->server;
    h2o_socket_t *sock = c->sock;
    h2o_buffer_t *early = sock->input; /* came with the end of the handshake */
    await_head(c);
    h2o_buffer_init(&sock->input, &h2o_socket_buffer_prototype);
    h2o_http1_accept(&hw->accept, sock, *h2o_get_timestamp(&hw->context, NULL, NULL));
    h2o_buffer_dispose(&sock->input);
    sock->input = early;
    if (s->h2o_read == NULL) s->h2o_read = sock->_cb.read;
    IOR_ASSERT(sock->_cb.read == s->h2o_read);
    sock->_cb.read = on_read;
    if (sock->input->size > 0) read_head(c);
}

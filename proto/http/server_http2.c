/* proto/http/server_http2.c - HTTP/2, when http2.enabled offers it, behind a guard: h2o 2.2 would
 * dispatch 300,000 requests a second that their client cancels at once, and keep a hundred
 * bodies of one connection in memory.
 * Thread: the worker of the connection.
 * Happy path: as for HTTP/1, h2o's read function is replaced by one that looks at the bytes first;
 * here it counts frames and unfinished bodies (frames.c), and h2o judges everything else.
 * Failure modes, each cuts the connection: too many cancelled requests in 10 s, requests or idle
 * frames in a second, bytes of unfinished bodies (memory.inflight). A head that is too large:
 * 431 (server_call.c). */
#include <stdlib.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "proto/http/server_private.h"

static void on_read(h2o_socket_t *sock, const char *err);

static void cut(struct http_conn *c, const char *why)
{
    if (c->http2->cut) return;
    c->http2->cut = true;
    metric_add(METRIC_http2_connections_cut, 1);
    LOG_DEBUG("http2", "connection cut", "reason=\"%s\"", why);
    http_conn_cut(c);
}

static void look_at_input(struct http_conn *c)
{
    struct frames *f = &c->http2->frames;
    h2o_buffer_t *input = c->sock->input;
    size_t more = input->size - c->seen;
    unsigned streams = f->stream_count;
    f->body_frames = 0;
    if (!frames_take(f, (const uint8_t *)input->bytes + c->seen, more,
                     c->worker->server->app->config->http_body_max + 1))
        cut(c, "too many bodies");
    if (f->body_frames > 0) c->moved_ms = c->worker->now_ms;
    if (streams == 0) { /* the window of a body begins with it */
        c->began_ms = c->worker->now_ms;
        c->window_bytes = 0;
    }
    c->window_bytes += more;
    if (f->idle_frames > HTTP2_IDLE_FRAMES_MAX) cut(c, "too many frames");
    if (!gate_hold(c, f->body_bytes, f->stream_count <= 1)) {
        metric_add(METRIC_http_unfinished_refused, c->http2->cut ? 0 : 1);
        cut(c, "too many bytes of unfinished bodies");
    }
}

static void on_read(h2o_socket_t *sock, const char *err)
{
    struct http_conn *c = sock->on_close.data;
    h2o_socket_cb h2o_read =
        atomic_load_explicit(&c->worker->server->h2o_read2, memory_order_relaxed);
    if (err != NULL) {
        h2o_read(sock, err);
        return;
    }
    look_at_input(c);
    if (!gate_pass_on(c, h2o_read)) return;
    c->seen = sock->input->size;
    if (sock->_cb.read != on_read) gate_list_for_wrap(c);
}

bool http2_wrap(struct http_conn *c)
{
    h2o_socket_t *sock = c->sock;
    if (sock->_cb.read == NULL) return false; /* too much is unsent: h2o does not read */
    if (sock->_cb.read == atomic_load(&c->worker->server->h2o_read2)) sock->_cb.read = on_read;
    return true;
}

void http2_open(struct http_conn *c)
{
    struct http_worker *hw = c->worker;
    h2o_socket_t *sock = c->sock;
    h2o_socket_cb none = NULL;
    c->http2 = calloc(1, sizeof *c->http2);
    if (c->http2 == NULL) {
        h2o_socket_close(sock);
        return;
    }
    frames_init(&c->http2->frames);
    c->stage = CONN_HTTP2;
    c->moved_ms = c->began_ms = c->http2->cancelled_ms = hw->now_ms;
    h2o_buffer_t *early = sock->input; /* came with the end of the handshake */
    h2o_buffer_init(&sock->input, &h2o_socket_buffer_prototype);
    h2o_http2_accept(&hw->accept, sock, *h2o_get_timestamp(&hw->context, NULL, NULL));
    h2o_buffer_dispose(&sock->input);
    sock->input = early;
    atomic_compare_exchange_strong(&hw->server->h2o_read2, &none, sock->_cb.read);
    IOR_ASSERT(sock->_cb.read == atomic_load(&hw->server->h2o_read2));
    sock->_cb.read = on_read;
    if (sock->input->size > 0) on_read(sock, NULL);
}

void http2_begin_second(struct http_conn *c)
{
    struct http2_conn *h = c->http2;
    h->requests = 0;
    h->frames.idle_frames = 0;
    if (c->worker->now_ms - h->cancelled_ms < HTTP2_CANCELLED_MS) return;
    h->cancelled = 0;
    h->cancelled_ms = c->worker->now_ms;
}

void http2_request_over(struct http_conn *c, const h2o_req_t *req, const struct http_call *call)
{
    struct http2_conn *h = c->http2;
    bool has_body = !call->is_head && req->res.content_length != SIZE_MAX;
    bool cancelled = !call->answered || (has_body && req->bytes_sent < req->res.content_length);
    c->moved_ms = c->worker->now_ms;
    if (++h->requests > HTTP2_REQUESTS_MAX) cut(c, "too many requests");
    if (cancelled && ++h->cancelled > HTTP2_CANCELLED_MAX) cut(c, "too many cancelled requests");
}

bool http2_head_ok(const struct http_server *s, const h2o_req_t *req)
{
    size_t bytes = req->path.len;
    if (req->headers.size > HTTP_HEADERS_MAX) return false;
    for (size_t i = 0; i < req->headers.size; i++)
        bytes += req->headers.entries[i].name->len + req->headers.entries[i].value.len;
    return bytes <= s->app->config->http_head_max;
}

/* proto/http/server_sweep.c - connections that do not get on. Each is looked at once a second, a
 * tenth of them at each tick.
 * Thread: the worker of the connection.
 * What is ended: a TLS handshake or a head that is not complete after http.head.timeout; a body
 * that comes slower than http.body.rate; a connection without a byte of a request for
 * http.idle.timeout; an answer of which the client has taken nothing for so long. Who has sent
 * a part of a request gets 408 before. Who waits for an answer of ours (a long poll) is left
 * alone: the others take care of that. */
#include <linux/tcp.h> /* glibc's struct tcp_info ends too early */
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "base/metrics.h"
#include "proto/http/server_private.h"

enum { TICKS_A_ROUND = 10 };

/* Bytes that the other side's kernel has taken. */
static uint64_t acked_bytes(const struct http_conn *c)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    getsockopt(h2o_socket_get_fd(c->sock), IPPROTO_TCP, TCP_INFO, &info, &len);
    return info.tcpi_bytes_acked;
}

static void look_at_answer(struct http_conn *c, uint64_t now_ms, uint64_t idle_ms)
{
    if (!h2o_socket_is_writing(c->sock)) {
        c->stuck_ms = 0;
        return;
    }
    uint64_t acked = acked_bytes(c);
    if (c->stuck_ms == 0 || acked != c->acked_bytes) {
        c->stuck_ms = now_ms;
        c->acked_bytes = acked;
    } else if (now_ms - c->stuck_ms >= idle_ms) {
        metric_add(METRIC_http_connections_stuck, 1);
        http_conn_cut(c);
    }
}

static void too_slow(struct http_conn *c)
{
    if (!gate_refuse(c, &gate_too_slow)) http_conn_cut(c);
}

static void look_at_head(struct http_conn *c, const struct config *config, uint64_t now_ms)
{
    bool begun = c->began_ms != 0;
    if (begun && now_ms - c->began_ms >= config->http_head_timeout) {
        too_slow(c);
    } else if (now_ms - c->moved_ms >= config->http_idle_timeout) {
        metric_add(METRIC_http_connections_idle, 1);
        if (begun) {
            too_slow(c);
        } else {
            http_conn_cut(c);
        }
    }
}

static void look_at_body(struct http_conn *c, const struct config *config, uint64_t now_ms)
{
    if (h2o_socket_is_writing(c->sock)) return; /* 100 Continue */
    uint64_t ms = now_ms - c->began_ms;
    if (now_ms - c->moved_ms >= config->http_idle_timeout) {
        metric_add(METRIC_http_connections_idle, 1);
        too_slow(c);
    } else if (ms >= HTTP_BODY_WINDOW_MS) {
        if (c->window_bytes * 1000 < config->http_body_rate * ms) {
            too_slow(c);
            return;
        }
        c->began_ms = now_ms;
        c->window_bytes = 0;
    }
}

/* h2o closes one without a request by itself, but any frame counts as one there. */
static void look_at_http2(struct http_conn *c, const struct config *config, uint64_t now_ms)
{
    bool body = c->http2->frames.stream_count > 0;
    uint64_t ms = now_ms - c->began_ms;
    http2_begin_second(c);
    if (c->calls == 0 && now_ms - c->moved_ms >= config->http_idle_timeout) {
        metric_add(METRIC_http_connections_idle, 1);
        http_conn_cut(c);
    } else if (body && ms >= HTTP_BODY_WINDOW_MS) {
        if (c->window_bytes * 1000 < config->http_body_rate * ms) {
            metric_add(METRIC_http_requests_slow, 1);
            http_conn_cut(c);
            return;
        }
        c->began_ms = now_ms;
        c->window_bytes = 0;
    }
}

static void look_at(struct http_conn *c, const struct config *config, uint64_t now_ms)
{
    look_at_answer(c, now_ms, config->http_idle_timeout);
    switch (c->stage) {
    case CONN_HANDSHAKE:
        if (now_ms - c->began_ms >= config->http_head_timeout) http_conn_cut(c);
        break;
    case CONN_HEAD:
        look_at_head(c, config, now_ms);
        break;
    case CONN_BODY:
        look_at_body(c, config, now_ms);
        break;
    case CONN_HTTP2:
        look_at_http2(c, config, now_ms);
        break;
    case CONN_BUSY:
        break;
    }
}

void http_sweep_tick(struct http_worker *hw)
{
    size_t n = (hw->conn_count + TICKS_A_ROUND - 1) / TICKS_A_ROUND;
    for (; n > 0 && hw->conns != NULL; n--) {
        struct http_conn *c = hw->sweep_next != NULL ? hw->sweep_next : hw->conns;
        hw->sweep_next = c->next;
        look_at(c, hw->server->app->config, hw->now_ms);
    }
}

/* proto/http/server_conn.c - connections: accepting, limits, and the list of them on each worker.
 * Thread: the worker that accepted.
 * Happy path: a socket is accepted, counted, listed, and given to the gate (server_gate.c) or
 * first to a TLS handshake (server_tls.c).
 * Failure modes: more connections than there may be, in all or of one address: accepted and
 * closed at once, so that the client knows. Out of descriptors: accepting pauses until the
 * next tick. A client that does not read what it asked for: TCP_USER_TIMEOUT. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/metrics.h"
#include "proto/http/server_private.h"

enum { ACCEPTS_PER_WAKE = 16 };

static void unlist(struct http_conn *c)
{
    struct http_worker *hw = c->worker;
    if (hw->sweep_next == c) hw->sweep_next = c->next;
    if (hw->reading == c) hw->reading = NULL;
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        hw->conns = c->next;
    }
    if (c->next != NULL) c->next->prev = c->prev;
    http_count(&hw->conn_count, -1);
}

static void on_conn_close(void *data)
{
    struct http_conn *c = data;
    struct http_server *s = c->worker->server;
    unlist(c);
    gate_close(c);
    http_linger_begin(c);
    if (c->address_counted) addresses_leave(s->addresses, &c->address);
    if (c->tls != NULL) SSL_CTX_free(c->tls);
    atomic_fetch_sub(&s->connections, 1);
    metric_gauge_add(METRIC_http_connections, -1);
    free(c->cert_user);
    free(c->http2);
    free(c);
}

static void set_user_timeout(const struct http_server *s, h2o_socket_t *sock)
{
    unsigned ms = (unsigned)s->app->config->http_idle_timeout;
    setsockopt(h2o_socket_get_fd(sock), IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

/* False: the address of this socket has as many connections as it may. */
static bool count_address(struct http_conn *c)
{
    struct http_server *s = c->worker->server;
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;
    struct sockaddr *any = (struct sockaddr *)(void *)&sa;
    if (s->addresses == NULL) return true;
    if (getpeername(h2o_socket_get_fd(c->sock), any, &len) != 0) return true; /* it is gone */
    if (!address_key_of(any, &c->address)) return true;
    c->address_counted = addresses_enter(s->addresses, &c->address);
    return c->address_counted;
}

static void refuse(h2o_socket_t *sock)
{
    metric_add(METRIC_http_connections_refused, 1);
    h2o_socket_close(sock);
}

bool http_conn_new(struct http_worker *hw, h2o_socket_t *sock, bool tls)
{
    struct http_server *s = hw->server;
    struct http_conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        refuse(sock);
        return false;
    }
    *c = (struct http_conn){.worker = hw, .sock = sock, .linger_fd = -1, .moved_ms = hw->now_ms};
    if (!count_address(c)) {
        free(c);
        refuse(sock);
        return true;
    }
    c->next = hw->conns;
    if (hw->conns != NULL) hw->conns->prev = c;
    hw->conns = c;
    http_count(&hw->conn_count, 1);
    atomic_fetch_add(&s->connections, 1);
    metric_gauge_add(METRIC_http_connections, 1);
    sock->on_close.cb = on_conn_close;
    sock->on_close.data = c;
    set_user_timeout(s, sock);
    if (tls) {
        tls_handshake(c);
    } else {
        gate_open(c);
    }
    return true;
}

static void pause_accept(struct http_listener *l)
{
    l->paused = true;
    h2o_socket_read_stop(l->sock);
}

bool http_accept_one(struct http_listener *l)
{
    struct http_server *s = l->worker->server;
    errno = 0;
    h2o_socket_t *sock = h2o_evloop_socket_accept(l->sock);
    if (sock == NULL) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) pause_accept(l);
        return false;
    }
    if (atomic_load(&s->connections) >= s->connections_max) {
        refuse(sock);
        return true;
    }
    return http_conn_new(l->worker, sock, l->door == HTTP_DOOR_TLS);
}

void http_on_accept(h2o_socket_t *listener, const char *err)
{
    struct http_listener *l = listener->data;
    if (err != NULL || l->worker->stopping) return;
    for (int i = 0; i < ACCEPTS_PER_WAKE && http_accept_one(l); i++) {
    }
}

h2o_req_t *http_conn_request(const struct http_conn *c)
{
    const struct http_server *s = c->worker->server;
    h2o_req_t *req = (h2o_req_t *)(void *)((char *)c->sock->data + s->request_offset);
    IOR_ASSERT(req->conn == c->sock->data); /* a layout of h2o's; server_selftest.c */
    return req;
}

void http_conn_cut(struct http_conn *c)
{
    shutdown(h2o_socket_get_fd(c->sock), SHUT_RDWR);
}

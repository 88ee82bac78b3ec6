/* proto/http/server_linger.c - the end of a connection whose client is still sending.
 * Closing a socket with unread bytes makes the kernel send a reset, and the client may never
 * read the answer that says why its request was refused. So a second descriptor keeps the
 * connection: our side is ended, and what still comes is read and thrown away, for a
 * moment and up to a size.
 * Thread: the worker of the connection. Failure modes: too many of them, or no descriptor: the
 * connection is closed at once, as if there were no such file. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "proto/http/server_private.h"

void http_linger_prepare(struct http_conn *c)
{
    struct http_server *s = c->worker->server;
    if (c->linger_fd >= 0 || c->worker->stopping) return;
    if (atomic_fetch_add(&s->lingers, 1) < HTTP_LINGERS_MAX)
        c->linger_fd = fcntl(h2o_socket_get_fd(c->sock), F_DUPFD_CLOEXEC, 0);
    if (c->linger_fd < 0) atomic_fetch_sub(&s->lingers, 1);
}

static void linger_end(struct http_linger *l)
{
    struct http_worker *hw = l->worker;
    if (l->prev != NULL) {
        l->prev->next = l->next;
    } else {
        hw->lingers = l->next;
    }
    if (l->next != NULL) l->next->prev = l->prev;
    atomic_fetch_sub(&hw->server->lingers, 1);
    h2o_socket_close(l->sock);
    free(l);
}

static void on_read(h2o_socket_t *sock, const char *err)
{
    struct http_linger *l = sock->data;
    uint64_t size_bytes = sock->input->size;
    if (err != NULL || size_bytes >= l->left_bytes) {
        linger_end(l);
        return;
    }
    l->left_bytes -= size_bytes;
    h2o_buffer_consume(&sock->input, sock->input->size);
}

void http_linger_begin(struct http_conn *c)
{
    struct http_worker *hw = c->worker;
    if (c->linger_fd < 0) return;
    struct http_linger *l = hw->stopping ? NULL : calloc(1, sizeof *l);
    if (l == NULL) {
        close(c->linger_fd);
        atomic_fetch_sub(&hw->server->lingers, 1);
        return;
    }
    shutdown(c->linger_fd, SHUT_WR);
    *l = (struct http_linger){.next = hw->lingers,
                              .worker = hw,
                              .until_ms = hw->now_ms + HTTP_LINGER_MS,
                              .left_bytes = HTTP_LINGER_BYTES_MAX};
    if (hw->lingers != NULL) hw->lingers->prev = l;
    hw->lingers = l;
    l->sock = h2o_evloop_socket_create(hw->evloop, c->linger_fd, 0);
    l->sock->data = l;
    h2o_socket_read_start(l->sock, on_read);
}

void http_linger_tick(struct http_worker *hw)
{
    for (struct http_linger *l = hw->lingers; l != NULL;) {
        struct http_linger *next = l->next;
        if (hw->now_ms >= l->until_ms) linger_end(l);
        l = next;
    }
}

void http_linger_stop(struct http_worker *hw)
{
    while (hw->lingers != NULL) linger_end(hw->lingers);
}

/* proto/http/server_doors.c - the two ports: binding, opening, and moving to another address
 * while connections go on.
 * Thread: binding on any; a listener belongs to its worker.
 * Happy path: each worker listens on its own socket of the same port (SO_REUSEPORT). To move, new
 * sockets are bound beside the old ones; each worker accepts what waits at its old one, closes
 * it and opens the new one, so that no client finds nobody.
 * Failure modes: the port is busy: found by a first bind without SO_REUSEPORT (with it two
 * servers of one user would share the port in silence). A move that fails leaves everything
 * as it was. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/metrics.h"
#include "proto/http/server_private.h"

enum { BACKLOG = 4096 };

struct door_words {
    const char *port_key;
    const char *port_variable;
    const char *bind_key;
};
static const struct door_words words[HTTP_DOORS] = {
    {"http.port", "IORIO_HTTP_PORT", "http.bind"},
    {"https.port", "IORIO_HTTPS_PORT", "https.bind"},
};

/* ---- binding ---- */

static int bind_one(const struct sockaddr *sa, socklen_t len, bool shared)
{
    int on = 1;
    int off = 0;
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (sa->sa_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (shared) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(fd, sa, len) != 0 || (shared && listen(fd, BACKLOG) != 0)) {
        int e = errno;
        close(fd);
        errno = e;
        return -1;
    }
    return fd;
}

static uint16_t port_of(const struct sockaddr *sa)
{
    union {
        const struct sockaddr *any;
        const struct sockaddr_in *v4;
        const struct sockaddr_in6 *v6;
    } u = {.any = sa};
    return ntohs(sa->sa_family == AF_INET6 ? u.v6->sin6_port : u.v4->sin_port);
}

/* An exclusive bind says whether the port is free; port 0 gets its number here. */
static enum ior_err claim_port(struct sockaddr_storage *sa, socklen_t *len, const char *address,
                               enum http_door door, struct ior_why *why)
{
    const struct door_words *w = &words[door];
    struct sockaddr *any = (struct sockaddr *)(void *)sa;
    uint16_t port = port_of(any);
    int fd = bind_one(any, *len, false);
    if (fd >= 0) {
        getsockname(fd, any, len);
        close(fd);
        return IOR_OK;
    }
    if (errno == EADDRINUSE)
        return ior_why_set(why, IOR_E_BUSY,
                           "port %u is in use by another process: choose another one with the key "
                           "%s (or %s)",
                           port, w->port_key, w->port_variable);
    if (errno == EACCES)
        return ior_why_set(why, IOR_E_ACCESS,
                           "no right to listen on port %u: choose a port above 1023 with the key "
                           "%s (or %s)",
                           port, w->port_key, w->port_variable);
    return ior_why_set(why, IOR_E_INVAL, "cannot listen on %s (key %s): %s", address, w->bind_key,
                       strerror(errno));
}

static enum ior_err resolve(const char *address, uint16_t port, enum http_door door,
                            struct sockaddr_storage *ret, socklen_t *ret_len, struct ior_why *why)
{
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(address, service, &hints, &found);
    if (rc != 0)
        return ior_why_set(why, IOR_E_INVAL, "%s is no address to listen on (key %s): %s", address,
                           words[door].bind_key, gai_strerror(rc));
    *ret = (struct sockaddr_storage){0};
    *ret_len = found->ai_addrlen;
    memcpy(ret, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return IOR_OK;
}

static void drop_fd(struct http_listener *l)
{
    if (l->fd >= 0) close(l->fd);
    l->fd = -1;
}

/* A socket for each worker, or for none. */
static enum ior_err bind_all(struct http_server *s, enum http_door door, struct sockaddr *any,
                             socklen_t len, struct ior_why *why)
{
    for (unsigned i = 0; i < s->worker_count; i++) {
        int fd = bind_one(any, len, true);
        if (fd < 0) {
            ior_why_set(why, IOR_E_BUSY, "cannot listen on port %u (key %s): %s", port_of(any),
                        words[door].port_key, strerror(errno));
            while (i-- > 0) drop_fd(&s->workers[i].listeners[door]);
            return IOR_E_BUSY;
        }
        s->workers[i].listeners[door].fd = fd;
    }
    return IOR_OK;
}

static void show_where(const struct sockaddr *any, socklen_t len, char out[128])
{
    const char *brackets = any->sa_family == AF_INET6 ? "[]" : "";
    char host[NI_MAXHOST] = "";
    getnameinfo(any, len, host, sizeof host, NULL, 0, NI_NUMERICHOST);
    snprintf(out, 128, "%.1s%.100s%s:%u", brackets, host, brackets[0] != 0 ? "]" : "",
             port_of(any));
}

enum ior_err http_server_listen(struct http_server *s, enum http_door door, const char *address,
                                uint16_t port, struct ior_why *why)
{
    struct sockaddr_storage sa;
    socklen_t len = 0;
    struct sockaddr *any = (struct sockaddr *)(void *)&sa;
    enum ior_err err = resolve(address, port, door, &sa, &len, why);
    if (err == IOR_OK) err = claim_port(&sa, &len, address, door, why);
    if (err == IOR_OK) err = bind_all(s, door, any, len, why);
    if (err != IOR_OK) return err;
    s->ports[door].port = port_of(any);
    show_where(any, len, s->ports[door].where);
    return IOR_OK;
}

const char *http_server_where(const struct http_server *s, enum http_door door)
{
    return s->ports[door].port == 0 ? NULL : s->ports[door].where;
}

/* ---- opening and closing, on the worker ---- */

static void open_listener(struct http_listener *l)
{
    l->sock = h2o_evloop_socket_create(l->worker->evloop, l->fd, H2O_SOCKET_FLAG_DONT_READ);
    l->fd = -1;
    l->paused = false;
    l->sock->data = l;
    h2o_socket_read_start(l->sock, http_on_accept);
}

void http_worker_start(struct http_server *s, struct worker *w)
{
    struct http_worker *hw = &s->workers[w->id];
    IOR_ASSERT(worker_current() == w);
    for (int i = 0; i < HTTP_DOORS; i++) {
        if (hw->listeners[i].fd >= 0) open_listener(&hw->listeners[i]);
    }
}

void http_doors_close(struct http_worker *hw)
{
    for (int i = 0; i < HTTP_DOORS; i++) {
        struct http_listener *l = &hw->listeners[i];
        if (l->sock != NULL) h2o_socket_close(l->sock);
        l->sock = NULL;
    }
}

void http_doors_free(struct http_worker *hw)
{
    for (int i = 0; i < HTTP_DOORS; i++) drop_fd(&hw->listeners[i]);
}

/* ---- moving ---- */

static void accept_what_waits(struct http_listener *l)
{
    for (int i = 0; i < BACKLOG && http_accept_one(l); i++) {
    }
    h2o_socket_close(l->sock);
    l->sock = NULL;
}

static void swap(struct msg *m)
{
    struct http_listener *l = IOR_CONTAINER(m, struct http_listener, swap);
    struct http_worker *hw = l->worker;
    if (hw->stopping) {
        drop_fd(l);
    } else {
        if (l->sock != NULL) accept_what_waits(l);
        open_listener(l);
    }
    atomic_fetch_sub(&hw->server->ports[l->door].moving, 1);
}

enum ior_err http_server_move(struct http_server *s, enum http_door door, const char *address,
                              struct ior_why *why)
{
    struct http_port *p = &s->ports[door];
    struct sockaddr_storage sa;
    socklen_t len = 0;
    struct sockaddr *any = (struct sockaddr *)(void *)&sa;
    IOR_ASSERT(p->port != 0);
    if (atomic_load(&p->moving) > 0) return ior_why_set(why, IOR_E_BUSY, "it is moving already");
    enum ior_err err = resolve(address, p->port, door, &sa, &len, why);
    if (err == IOR_OK) err = bind_all(s, door, any, len, why);
    if (err != IOR_OK) return err;
    show_where(any, len, p->where);
    atomic_store(&p->moving, s->worker_count);
    for (unsigned i = 0; i < s->worker_count; i++) {
        struct http_listener *l = &s->workers[i].listeners[door];
        l->swap.run = swap;
        worker_send(s->workers[i].worker, &l->swap);
    }
    return IOR_OK;
}

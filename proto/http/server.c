/* proto/http/server.c - h2o: contexts, listeners, connections.
 * Happy path: one h2o context a worker; its event loop is the worker's poller
 * (rt/loop.h) and also watches libuv's descriptor; each worker listens on its own
 * socket of the same port (SO_REUSEPORT) and keeps a connection for its life.
 * Failure modes: the port is busy: found by a first bind without SO_REUSEPORT
 * (with it two servers of one user would share the port in silence). Out of
 * descriptors or over the connection limit: accepting pauses until the next tick.
 * A client that does not read what it asked for: TCP_USER_TIMEOUT. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "proto/http/extension.h"
#include "proto/http/request_log.h"
#include "proto/http/server_private.h"
#include "rt/clock.h"

enum { ACCEPTS_PER_WAKE = 16, BACKLOG = 4096 };

/* ---- the poller ---- */

static void on_uv_ready(h2o_socket_t *sock, const char *err)
{
    struct http_worker *hw = sock->data;
    (void)err;
    hw->uv_ready = true;
}

static bool poll_wait(void *ctx, int timeout_ms)
{
    struct http_worker *hw = ctx;
    hw->uv_ready = false;
    /* -1 comes back when the wait was interrupted: nothing to do about it. */
    h2o_evloop_run(hw->evloop, timeout_ms < 0 ? INT32_MAX : timeout_ms);
    return hw->uv_ready;
}

static bool poll_busy(void *ctx)
{
    struct http_worker *hw = ctx;
    /* Answers that were written outside of h2o_evloop_run wait here for their
     * completion; a sleep would hold them back. */
    return hw->evloop->_pending_as_client != NULL || hw->evloop->_pending_as_server != NULL;
}

/* ---- connections ---- */

static void on_conn_close(void *data)
{
    struct http_conn *c = data;
    struct http_worker *hw = c->worker;
    if (c->prev != NULL) {
        c->prev->next = c->next;
    } else {
        hw->conns = c->next;
    }
    if (c->next != NULL) c->next->prev = c->prev;
    atomic_fetch_sub(&hw->server->connections, 1);
    http_count(&hw->conn_count, -1);
    metric_gauge_add(METRIC_http_connections, -1);
    free(c);
}

static void set_user_timeout(struct http_worker *hw, h2o_socket_t *sock)
{
    unsigned ms = (unsigned)hw->server->app->config->http_idle_timeout;
    setsockopt(h2o_socket_get_fd(sock), IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

static void pause_accept(struct http_worker *hw)
{
    hw->accept_paused = true;
    h2o_socket_read_stop(hw->listener);
}

/* False: stop accepting for now. */
static bool accept_one(struct http_worker *hw)
{
    struct http_server *s = hw->server;
    if (atomic_load(&s->connections) >= s->connections_max) {
        pause_accept(hw);
        return false;
    }
    errno = 0;
    h2o_socket_t *sock = h2o_evloop_socket_accept(hw->listener);
    if (sock == NULL) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) pause_accept(hw);
        return false;
    }
    struct http_conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        h2o_socket_close(sock);
        return false;
    }
    *c = (struct http_conn){.next = hw->conns, .worker = hw, .sock = sock};
    if (hw->conns != NULL) hw->conns->prev = c;
    hw->conns = c;
    atomic_fetch_add(&s->connections, 1);
    http_count(&hw->conn_count, 1);
    metric_gauge_add(METRIC_http_connections, 1);
    sock->on_close.cb = on_conn_close;
    sock->on_close.data = c;
    set_user_timeout(hw, sock);
    h2o_accept(&hw->accept, sock);
    return true;
}

static void on_accept(h2o_socket_t *listener, const char *err)
{
    struct http_worker *hw = listener->data;
    if (err != NULL || hw->stopping) return;
    for (int i = 0; i < ACCEPTS_PER_WAKE && accept_one(hw); i++) {
    }
}

static void on_tick(void *ctx)
{
    struct http_worker *hw = ctx;
    http_sweep_deadlines(hw);
    http_waits_tick(hw);
    if (hw->server->app->request_log != NULL) request_log_tick(hw->server->app->request_log);
    if (hw->stopping) http_waits_stop(hw);
    if (hw->accept_paused && hw->listener != NULL && !hw->stopping) {
        hw->accept_paused = false;
        h2o_socket_read_start(hw->listener, on_accept);
    }
}

/* ---- set-up ---- */

/* h2o answers 413 by itself, before there is a call: its text becomes our error. */
static char too_large_json[] = "{\"type\":\"too-large\",\"reason\":\"The body is larger than "
                               "http.body.max\"}";

static void send_too_large(h2o_ostream_t *self, h2o_req_t *req, h2o_iovec_t *bufs, size_t count,
                           h2o_send_state_t state)
{
    (void)bufs;
    (void)count;
    h2o_iovec_t iov = {too_large_json, sizeof too_large_json - 1};
    h2o_ostream_send_next(self, req, &iov, 1, state);
}

static void on_refused_by_h2o(h2o_filter_t *self, h2o_req_t *req, h2o_ostream_t **slot)
{
    (void)self;
    if (req->res.status == 413) {
        h2o_ostream_t *o = h2o_add_ostream(req, sizeof *o, slot);
        o->do_send = send_too_large;
        slot = &o->next;
        req->res.content_length = sizeof too_large_json - 1;
        h2o_set_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE,
                       H2O_STRLIT("application/json"), 1);
    }
    h2o_setup_next_ostream(req, slot);
}

static void configure(struct http_server *s)
{
    const struct config *c = s->app->config;
    h2o_config_init(&s->config);
    /* Bodies stay in memory: h2o would put large ones into a sparse file in /tmp, and
     * a full /tmp would end the process. */
    h2o_socket_buffer_mmap_settings.threshold = SIZE_MAX;
    s->config.server_name = h2o_iovec_init(H2O_STRLIT("iorio"));
    s->config.http1.req_timeout = c->http_idle_timeout;
    s->config.http1.upgrade_to_http2 = 0;
    /* A larger Content-Length is refused before the body comes. (A chunked body is
     * refused at exactly the limit: h2o compares with >= there.) */
    s->config.max_request_entity_size = c->http_body_max;
    h2o_hostconf_t *host =
        h2o_config_register_host(&s->config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    struct iorio_handler *h =
        (struct iorio_handler *)(void *)h2o_create_handler(path, sizeof(struct iorio_handler));
    h->super.on_req = http_on_req;
    h->server = s;
    http_cors_filter(s->app, path);
    http_cors_filter(s->app, &host->fallback_path);
    http_log_refusals(s->app, &host->fallback_path);
    h2o_filter_t *f = h2o_create_filter(&host->fallback_path, sizeof *f);
    f->on_setup_ostream = on_refused_by_h2o;
}

static enum ior_err worker_setup(struct http_server *s, struct http_worker *hw, struct worker *w,
                                 struct loop *loop)
{
    hw->server = s;
    hw->worker = w;
    hw->loop = loop;
    hw->listen_fd = -1;
    http_waits_init(&hw->waits);
    hw->evloop = h2o_evloop_create();
    h2o_context_init(&hw->context, hw->evloop, &s->config);
    hw->accept = (h2o_accept_ctx_t){.ctx = &hw->context, .hosts = s->config.hosts};
    /* A descriptor of its own for the same epoll, for h2o closes what it watched. */
    int uv_fd = dup(loop_backend_fd(loop));
    if (uv_fd < 0) return IOR_E_NOMEM;
    hw->uv_watch = h2o_evloop_socket_create(hw->evloop, uv_fd, H2O_SOCKET_FLAG_DONT_READ);
    hw->uv_watch->data = hw;
    h2o_socket_read_start(hw->uv_watch, on_uv_ready);
    loop_set_poller(loop, (struct poller){poll_wait, poll_busy, hw});
    worker_on_tick(w, on_tick, hw);
    return token_cache_new(&hw->tokens);
}

static uint64_t descriptor_limit(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0) return 1024;
    r.rlim_cur = r.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &r) != 0) getrlimit(RLIMIT_NOFILE, &r);
    return r.rlim_cur;
}

static enum ior_err start_request_log(struct http_app *app, struct ior_why *why)
{
    enum ior_err err = request_log_new(app->worker_count, &app->request_log);
    if (err != IOR_OK) return ior_why_set(why, err, "cannot start the thread of the request log");
    err = request_log_open(app->request_log, app->config, why);
    if (err != IOR_OK) {
        request_log_free(app->request_log);
        app->request_log = NULL;
    }
    return err;
}

enum ior_err http_server_new(struct http_app *app, struct loop **loops, struct worker **workers,
                             struct http_server **ret, struct ior_why *why)
{
    enum ior_err bad = extensions_load(app->config, app->extensions, why);
    if (bad == IOR_OK) bad = start_request_log(app, why);
    if (bad != IOR_OK) {
        extensions_free(app->extensions);
        return bad;
    }
    struct http_server *s = calloc(1, sizeof *s);
    if (s == NULL) return ior_why_set(why, IOR_E_NOMEM, "out of memory");
    s->workers = calloc(app->worker_count, sizeof *s->workers);
    app->workers = calloc(app->worker_count, sizeof *app->workers);
    if (s->workers == NULL || app->workers == NULL) {
        free(s->workers);
        free(app->workers);
        free(s);
        return ior_why_set(why, IOR_E_NOMEM, "out of memory");
    }
    s->app = app;
    s->worker_count = app->worker_count;
    uint64_t fds = descriptor_limit();
    s->connections_max = fds > 2 * FDS_RESERVED ? fds - FDS_RESERVED : fds / 2;
    app->connections_max = s->connections_max;
    app->started_ms = clock_wall_ms();
    app->started_mono_us = clock_mono_us();
    configure(s);
    for (unsigned i = 0; i < s->worker_count; i++) {
        app->workers[i] = &s->workers[i];
        enum ior_err err = worker_setup(s, &s->workers[i], workers[i], loops[i]);
        if (err != IOR_OK) return ior_why_set(why, err, "out of memory");
    }
    *ret = s;
    return IOR_OK;
}

/* ---- listening ---- */

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
                               struct ior_why *why)
{
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
                           "http.port (or IORIO_HTTP_PORT)",
                           port);
    if (errno == EACCES)
        return ior_why_set(why, IOR_E_ACCESS,
                           "no right to listen on port %u: choose a port above 1023 with the key "
                           "http.port (or IORIO_HTTP_PORT)",
                           port);
    return ior_why_set(why, IOR_E_INVAL, "cannot listen on %s (key http.bind): %s", address,
                       strerror(errno));
}

enum ior_err http_server_listen(struct http_server *s, const char *address, uint16_t port,
                                char ret_where[128], struct ior_why *why)
{
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(address, service, &hints, &found);
    if (rc != 0)
        return ior_why_set(why, IOR_E_INVAL, "%s is no address to listen on (key http.bind): %s",
                           address, gai_strerror(rc));
    struct sockaddr_storage sa = {0};
    socklen_t len = found->ai_addrlen;
    memcpy(&sa, found->ai_addr, len);
    freeaddrinfo(found);
    struct sockaddr *any = (struct sockaddr *)(void *)&sa;
    enum ior_err err = claim_port(&sa, &len, address, why);
    if (err != IOR_OK) return err;
    for (unsigned i = 0; i < s->worker_count; i++) {
        int fd = bind_one(any, len, true);
        if (fd < 0)
            return ior_why_set(why, IOR_E_BUSY, "cannot listen on port %u (key http.port): %s",
                               port_of(any), strerror(errno));
        s->workers[i].listen_fd = fd;
    }
    const char *brackets = any->sa_family == AF_INET6 ? "[]" : "";
    char host[NI_MAXHOST] = "";
    getnameinfo(any, len, host, sizeof host, NULL, 0, NI_NUMERICHOST);
    snprintf(ret_where, 128, "%.1s%.100s%s:%u", brackets, host, brackets[0] != 0 ? "]" : "",
             port_of(any));
    return IOR_OK;
}

void http_worker_start(struct http_server *s, struct worker *w)
{
    struct http_worker *hw = &s->workers[w->id];
    IOR_ASSERT(worker_current() == w && hw->listen_fd >= 0 && hw->listener == NULL);
    hw->listener = h2o_evloop_socket_create(hw->evloop, hw->listen_fd, H2O_SOCKET_FLAG_DONT_READ);
    hw->listener->data = hw;
    h2o_socket_read_start(hw->listener, on_accept);
}

/* ---- stopping ---- */

static void cut_conns(struct http_worker *hw, bool idle_only)
{
    for (struct http_conn *c = hw->conns; c != NULL; c = c->next) {
        if (idle_only && c->calls > 0) continue;
        shutdown(h2o_socket_get_fd(c->sock), SHUT_RDWR); /* h2o sees the end and closes */
    }
}

void http_worker_stop(struct http_server *s, struct worker *w)
{
    struct http_worker *hw = &s->workers[w->id];
    IOR_ASSERT(worker_current() == w);
    if (!hw->stopping && hw->listener != NULL) h2o_socket_close(hw->listener);
    hw->listener = NULL;
    hw->stopping = true;
    /* Answers say Connection: close from now on. (h2o_context_request_shutdown() would
     * also arm a timer for HTTP/2 that nobody takes back.) */
    hw->context.shutdown_requested = 1;
    http_waits_stop(hw);
    cut_conns(hw, true);
}

void http_worker_cut(struct http_server *s, struct worker *w)
{
    IOR_ASSERT(worker_current() == w);
    cut_conns(&s->workers[w->id], false);
}

struct http_worker_counts http_worker_counts(const struct http_app *app, unsigned worker)
{
    const struct http_worker *hw = app->workers[worker];
    return (struct http_worker_counts){
        atomic_load_explicit(&hw->conn_count, memory_order_relaxed),
        atomic_load_explicit(&hw->request_count, memory_order_relaxed)};
}

uint64_t http_server_connections(const struct http_server *s)
{
    return atomic_load(&s->connections);
}

/* h2o keeps contexts with open connections only at an exit, where it does not
 * matter; what we allocated goes. */
void http_server_free(struct http_server *s)
{
    if (s == NULL) return;
    bool quiet = atomic_load(&s->connections) == 0;
    for (unsigned i = 0; i < s->worker_count; i++) {
        struct http_worker *hw = &s->workers[i];
        if (hw->listener == NULL && hw->listen_fd >= 0 && !hw->stopping) close(hw->listen_fd);
        token_cache_free(hw->tokens);
        free(hw->slots);
        if (!quiet || hw->uv_watch == NULL) continue;
        h2o_context_dispose(&hw->context);
        h2o_socket_close(hw->uv_watch);
        h2o_evloop_destroy(hw->evloop);
    }
    if (quiet) h2o_config_dispose(&s->config);
    free(s->app->workers);
    s->app->workers = NULL;
    request_log_free(s->app->request_log);
    s->app->request_log = NULL;
    extensions_free(s->app->extensions);
    free(s->workers);
    free(s);
}

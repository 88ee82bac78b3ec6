/* proto/http/server.c - h2o: contexts, the poller, set-up and end.
 * Happy path: one h2o context a worker; its event loop is the worker's poller
 * (rt/loop.h) and also watches libuv's descriptor; each worker has its own listeners
 * (server_doors.c) and keeps a connection for its life (server_conn.c).
 * Failure modes: h2o is another one than we know: server_selftest.c, and the node does not
 * start. Certificates that cannot be used: server_tls.c. */
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "proto/http/limited.h"
#include "proto/http/extension.h"
#include "proto/http/request_log.h"
#include "proto/http/server_private.h"
#include "rt/clock.h"

/* h2o has one timer for all of idling, head and body; server_sweep.c tells them apart, so that
 * one never runs out. */
#define H2O_TIMEOUT_MS (UINT64_C(365) * 86400000)

/* ---- the poller ---- */

static void on_uv_ready(h2o_socket_t *sock, const char *err)
{
    struct http_worker *hw = sock->data;
    (void)err;
    hw->uv_ready = true;
}

static bool poll_busy(void *ctx)
{
    struct http_worker *hw = ctx;
    /* Answers that were written outside of h2o_evloop_run wait here for their
     * completion; a sleep would hold them back. */
    return hw->evloop->_pending_as_client != NULL || hw->evloop->_pending_as_server != NULL;
}

static bool poll_wait(void *ctx, int timeout_ms)
{
    struct http_worker *hw = ctx;
    hw->uv_ready = false;
    if (gate_wrap(hw) && poll_busy(hw)) timeout_ms = 0;
    /* -1 comes back when the wait was interrupted: nothing to do about it. */
    h2o_evloop_run(hw->evloop, timeout_ms < 0 ? INT32_MAX : timeout_ms);
    return hw->uv_ready;
}

/* ---- ticks ---- */

static void set_now(struct http_worker *hw)
{
    hw->now_ms = clock_mono_coarse_us() / 1000;
}

static void resume_accept(struct http_worker *hw)
{
    for (int i = 0; i < HTTP_DOORS; i++) {
        struct http_listener *l = &hw->listeners[i];
        if (!l->paused || l->sock == NULL) continue;
        l->paused = false;
        h2o_socket_read_start(l->sock, http_on_accept);
    }
}

static void on_tick(void *ctx)
{
    struct http_worker *hw = ctx;
    set_now(hw);
    http_sweep_deadlines(hw);
    http_waits_tick(hw);
    http_linger_tick(hw);
    http_sweep_tick(hw);
    if (hw->server->app->request_log != NULL) request_log_tick(hw->server->app->request_log);
    if (hw->stopping) {
        http_waits_stop(hw);
    } else {
        resume_accept(hw);
    }
}

/* ---- set-up ---- */

/* What h2o still answers by itself (an Expect that it does not know, headers of HTTP/2 that are
 * no headers): its text becomes our error. */
static char malformed_json[] =
    "{\"type\":\"invalid-request\",\"reason\":\"The request holds what is "
    "not understood here: an Expect other than 100-continue, or a bad "
    "header\"}";
static char too_large_json[] = "{\"type\":\"too-large\",\"reason\":\"The body is larger than "
                               "http.body.max\"}";

static h2o_iovec_t own_text(int status)
{
    if (status == 413) return h2o_iovec_init(too_large_json, sizeof too_large_json - 1);
    return h2o_iovec_init(malformed_json, sizeof malformed_json - 1);
}

static void send_own_text(h2o_ostream_t *self, h2o_req_t *req, h2o_iovec_t *bufs, size_t count,
                          h2o_send_state_t state)
{
    (void)bufs;
    (void)count;
    h2o_iovec_t iov = own_text(req->res.status);
    h2o_ostream_send_next(self, req, &iov, 1, state);
}

static void on_refused_by_h2o(h2o_filter_t *self, h2o_req_t *req, h2o_ostream_t **slot)
{
    (void)self;
    h2o_ostream_t *o = h2o_add_ostream(req, sizeof *o, slot);
    o->do_send = send_own_text;
    slot = &o->next;
    req->res.content_length = own_text(req->res.status).len;
    h2o_set_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE,
                   H2O_STRLIT("application/json"), 1);
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
    s->config.http1.req_timeout = H2O_TIMEOUT_MS;
    s->config.http1.upgrade_to_http2 = 0;
    s->config.http2.idle_timeout = c->http_idle_timeout;
    /* The gate refuses what is larger (over HTTP/2 the dispatcher). h2o compares a body in
     * chunks with >=, so one byte more. */
    s->config.max_request_entity_size = c->http_body_max + 1;
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
    set_now(hw);
    for (int i = 0; i < HTTP_DOORS; i++)
        hw->listeners[i] =
            (struct http_listener){.worker = hw, .door = (enum http_door)i, .fd = -1};
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

static uint64_t connection_limit(const struct config *c)
{
    uint64_t fds = descriptor_limit();
    uint64_t most = fds > 2 * FDS_RESERVED ? fds - FDS_RESERVED : fds / 2;
    uint64_t wanted = c->http_connections_max;
    if (wanted > most)
        LOG_WARNING(
            "http", "fewer connections",
            "key=http.connections.max: %llu wanted, %llu possible with the descriptors that "
            "there are (ulimit -Hn)",
            (unsigned long long)wanted, (unsigned long long)most);
    return wanted == 0 || wanted > most ? most : wanted;
}

static enum ior_err set_up(struct http_server *s, struct loop **loops, struct worker **workers,
                           struct ior_why *why)
{
    struct http_app *app = s->app;
    const struct config *c = app->config;
    enum ior_err err = IOR_OK;
    s->connections_max = connection_limit(c);
    if (c->http_connections_address > 0)
        err = addresses_new((unsigned)c->http_connections_address, &s->addresses);
    configure(s);
    for (unsigned i = 0; i < s->worker_count && err == IOR_OK; i++) {
        app->workers[i] = &s->workers[i];
        err = worker_setup(s, &s->workers[i], workers[i], loops[i]);
    }
    if (err != IOR_OK) return ior_why_set(why, err, "out of memory");
    err = http_selftest(s, why);
    if (err != IOR_OK || !c->https_enabled) return err;
    SSL_CTX *tls = NULL;
    err = tls_context_new(c, &tls, why);
    if (err != IOR_OK) return err;
    for (unsigned i = 0; i < s->worker_count; i++) {
        SSL_CTX_up_ref(tls);
        s->workers[i].tls = tls;
    }
    SSL_CTX_free(tls);
    return IOR_OK;
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
    app->started_ms = clock_wall_ms();
    app->started_mono_us = clock_mono_us();
    enum ior_err err = http_limits_new(app);
    if (err != IOR_OK) ior_why_set(why, err, "out of memory");
    if (err == IOR_OK) err = set_up(s, loops, workers, why);
    app->connections_max = s->connections_max;
    if (err != IOR_OK) {
        http_server_free(s);
        return err;
    }
    *ret = s;
    return IOR_OK;
}

/* ---- stopping ---- */

static void cut_conns(struct http_worker *hw, bool idle_only)
{
    for (struct http_conn *c = hw->conns; c != NULL; c = c->next) {
        if (!idle_only || c->calls == 0) http_conn_cut(c);
    }
}

void http_worker_stop(struct http_server *s, struct worker *w)
{
    struct http_worker *hw = &s->workers[w->id];
    IOR_ASSERT(worker_current() == w);
    hw->stopping = true;
    http_doors_close(hw);
    http_linger_stop(hw);
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
        http_doors_free(hw);
        token_cache_free(hw->tokens);
        free(hw->slots);
        if (hw->tls != NULL) SSL_CTX_free(hw->tls);
        if (!quiet || hw->uv_watch == NULL) continue;
        h2o_context_dispose(&hw->context);
        h2o_socket_close(hw->uv_watch);
        h2o_evloop_destroy(hw->evloop);
    }
    if (quiet) h2o_config_dispose(&s->config);
    addresses_free(s->addresses);
    http_limits_free(s->app);
    free(s->app->workers);
    s->app->workers = NULL;
    request_log_free(s->app->request_log);
    s->app->request_log = NULL;
    extensions_free(s->app->extensions);
    free(s->workers);
    free(s);
}

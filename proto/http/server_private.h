/* proto/http/server_private.h - shared by server.c and server_*.c only. */
#pragma once

#include <h2o.h>

#include "base/list.h"
#include "proto/http/call.h"
#include "proto/http/server.h"

enum { CALL_MAGIC = 0x63616c6c };

struct ticket_slot {
    struct http_call *call;
    uint32_t generation;
    uint32_t next_free;
};

/* Who waits for how long: a wheel of 1.6 s; who waits longer is looked at once a round. */
struct http_waits {
    struct call_wait_link slots[16];
    uint64_t done_slot; /* looked at up to here */
};

struct http_conn {
    struct http_conn *prev, *next;
    struct http_worker *worker;
    h2o_socket_t *sock;
    unsigned calls;            /* requests in flight */
    bool parked;               /* stays in the poll set while a request waits; see server_call.c */
    struct http_call *waiting; /* server_wait.c: told when the client leaves */
};

struct http_worker {
    struct http_server *server;
    struct worker *worker;
    struct loop *loop;
    h2o_context_t context;
    h2o_accept_ctx_t accept;
    h2o_evloop_t *evloop;
    h2o_socket_t *uv_watch;
    bool uv_ready;
    h2o_socket_t *listener;
    int listen_fd;
    bool accept_paused;
    bool stopping;
    struct http_conn *conns;
    _Atomic uint64_t conn_count; /* this and the next: one writer, its own thread */
    _Atomic uint64_t request_count;
    struct token_cache *tokens;
    struct ticket_slot *slots;
    uint32_t slot_count;
    uint32_t free_slot;                       /* index + 1; 0: none */
    struct http_call *wait_first, *wait_last; /* by deadline */
    struct http_waits waits;
};

struct http_server {
    struct http_app *app;
    h2o_globalconf_t config;
    struct http_worker *workers;
    unsigned worker_count;
    uint64_t connections_max;
    _Atomic uint64_t connections;
};

struct iorio_handler {
    h2o_handler_t super; /* first */
    struct http_server *server;
};

static inline void http_count(_Atomic uint64_t *at, int64_t n)
{
    uint64_t v = atomic_load_explicit(at, memory_order_relaxed);
    atomic_store_explicit(at, v + (uint64_t)n, memory_order_relaxed);
}
/* server_call.c */
struct http_worker *http_worker_of(const struct http_call *call);
struct http_conn *http_conn_of(const struct http_call *call); /* NULL: there is none */
/* server_cors.c: the answers of this path get the headers of CORS. */
void http_cors_filter(struct http_app *app, h2o_pathconf_t *path);
/* server_log.c: a call that goes, into the request log; what this path refuses, likewise. */
void http_log_call(struct http_call *call);
void http_log_refusals(struct http_app *app, h2o_pathconf_t *path);
/* server_wait.c */
void http_waits_init(struct http_waits *ws);
void http_waits_tick(struct http_worker *hw);
/* Nobody waits any longer: the node stops. */
void http_waits_stop(struct http_worker *hw);
/* It is being answered; does nothing when it does not wait. */
void http_wait_leave(struct http_call *call);
/* It is being freed. */
void http_wait_gone(struct http_call *call);

int http_on_req(h2o_handler_t *self, h2o_req_t *req);
/* Answers 503 timeout to the calls whose deadline has passed. */
void http_sweep_deadlines(struct http_worker *hw);

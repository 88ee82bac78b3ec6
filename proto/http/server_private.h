/* proto/http/server_private.h - shared by the server*.c files only: h2o is known to them and to
 * nobody else. */
#pragma once

#include <h2o.h>
#include <h2o/http1.h>
#include <h2o/http2.h>

#include "base/list.h"
#include "proto/http/addresses.h"
#include "proto/http/call.h"
#include "proto/http/frames.h"
#include "proto/http/guard.h"
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
    /* Those with call_wait_check(), the ones whose last check is oldest first. */
    struct call_wait_link checks;
    uint64_t check_count;
    uint64_t round;       /* of checks: a new one begins when something has changed */
    uint64_t policy_mark; /* as of the last tick, like the next two */
    uint64_t revoked_number;
    int64_t clock_ms; /* of the wall clock when the other one is at 0 */
};

enum conn_stage {
    CONN_HANDSHAKE, /* of TLS */
    CONN_HEAD,      /* between two requests, or within a head */
    CONN_BODY,      /* h2o has the head, the body is not complete */
    CONN_BUSY,      /* a request is being answered, or h2o ends the connection */
    CONN_HTTP2
};

/* Beside an http_conn of HTTP/2. */
struct http2_conn {
    struct frames frames;
    unsigned requests;  /* in this second */
    unsigned cancelled; /* since cancelled_ms */
    uint64_t cancelled_ms;
    bool cut;
};

struct http_conn {
    struct http_conn *prev, *next; /* of the worker */
    struct http_worker *worker;
    h2o_socket_t *sock;
    enum conn_stage stage;
    unsigned calls;            /* requests in flight */
    bool parked;               /* stays in the poll set while a request waits; see server_call.c */
    struct http_call *waiting; /* server_wait.c: told when the client leaves */

    /* server_gate.c */
    struct http_conn *wrap_prev, *wrap_next; /* h2o has set its own read callback again */
    bool wrap_listed;
    bool probed;                /* an early answer was looked for */
    bool body_whole;            /* the gate has seen the end of it */
    struct guard_head head;     /* of the request that comes or is here */
    bool head_sound;            /* it passed the guard whole */
    struct guard_chunks chunks; /* its body, when it is in chunks */
    size_t seen;                /* bytes of the input that were looked at */
    uint8_t *kept;              /* a head that is not complete, hidden from h2o for this turn */
    size_t kept_bytes;
    size_t request_end;                /* BUSY: where the request ends in the input */
    const struct guard_fault *refusal; /* what the request at hand is answered */
    uint64_t announced_bytes;          /* of its body, by what came of it */
    uint64_t held;                     /* counted in http_server.held_bytes */
    int linger_fd;                     /* >= 0: what still comes is read after the end */
    struct http2_conn *http2;          /* NULL: it is HTTP/1 */

    /* server_sweep.c, in ms of http_worker.now_ms */
    uint64_t moved_ms; /* a byte came, or a request ended */
    uint64_t began_ms; /* the handshake, the head, the window of a body; 0: none */
    uint64_t window_bytes;
    uint64_t stuck_ms; /* an answer does not get on since */
    uint64_t acked_bytes;

    struct address_key address; /* counted in http_server.addresses */
    bool address_counted;
    SSL_CTX *tls;    /* while the handshake may still need it */
    char *cert_user; /* the name in the client's certificate, or NULL */
};

/* One of the two ports, on one worker. */
struct http_listener {
    struct http_worker *worker;
    enum http_door door;
    h2o_socket_t *sock; /* NULL: not open */
    int fd;             /* bound, not yet watched; -1: none */
    bool paused;
    struct msg swap; /* to another address */
};

struct http_linger {
    struct http_linger *prev, *next;
    struct http_worker *worker;
    h2o_socket_t *sock;
    uint64_t until_ms;
    uint64_t left_bytes;
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
    struct http_listener listeners[HTTP_DOORS];
    SSL_CTX *tls; /* of new connections */
    bool stopping;
    uint64_t now_ms; /* of the last tick */
    struct http_conn *conns;
    _Atomic uint64_t conn_count; /* this and the next: one writer, its own thread */
    _Atomic uint64_t request_count;
    struct http_conn *sweep_next;
    struct http_conn *wrap;    /* server_gate.c: those with wrap_listed */
    struct http_conn *reading; /* becomes NULL when it is closed meanwhile */
    struct http_linger *lingers;
    struct token_cache *tokens;
    struct ticket_slot *slots;
    uint32_t slot_count;
    uint32_t free_slot;                       /* index + 1; 0: none */
    struct http_call *wait_first, *wait_last; /* by deadline */
    struct http_waits waits;
};

struct http_port {
    uint16_t port; /* 0: not open */
    char where[128];
    _Atomic unsigned moving; /* workers that have not yet gone to the new address */
};

struct http_server {
    struct http_app *app;
    h2o_globalconf_t config;
    struct http_worker *workers;
    unsigned worker_count;
    uint64_t connections_max;
    _Atomic uint64_t connections;
    _Atomic uint64_t held_bytes; /* of requests that are not complete */
    _Atomic unsigned lingers;    /* descriptors for them */
    struct addresses *addresses; /* NULL: no limit for one address */
    struct http_port ports[HTTP_DOORS];
    /* What server_selftest.c found out about h2o. */
    h2o_socket_cb h2o_read;           /* its callback for HTTP/1 */
    _Atomic(h2o_socket_cb) h2o_read2; /* for HTTP/2; found out at the first connection */
    size_t request_offset;            /* of the request in a connection of HTTP/1 */
    bool tested;
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

/* ---- server_conn.c ---- */
void http_on_accept(h2o_socket_t *listener, const char *err);
/* False: none waits, or there is no room for it now. */
bool http_accept_one(struct http_listener *l);
/* Of a socket that was accepted; tls: with a handshake. False: no memory, it is closed. */
bool http_conn_new(struct http_worker *hw, h2o_socket_t *sock, bool tls);
/* The request on a connection of HTTP/1 whose head h2o has. */
h2o_req_t *http_conn_request(const struct http_conn *c);
/* h2o sees the end of it, and closes. */
void http_conn_cut(struct http_conn *c);

/* ---- server_doors.c ---- */
void http_doors_close(struct http_worker *hw);
void http_doors_free(struct http_worker *hw);

/* ---- server_gate.c ---- */
void gate_open(struct http_conn *c);
/* At the begin of a turn. True: something is to be done at once. */
bool gate_wrap(struct http_worker *hw);
/* The handler has the request. */
void gate_busy(struct http_conn *c, h2o_req_t *req);
/* h2o has let go of it, and goes on to the next one, unless http1_is_persistent is 0: whoever takes
 * the socket over (h2o_http1_upgrade) sets that. */
void gate_next(struct http_conn *c, const h2o_req_t *req);
void gate_close(struct http_conn *c);
/* Counts so many bytes as the connection's part of what is not complete. False: they are too
 * many now, and this one has brought some of them. one: they are of one request, which may always
 * be if it is alone. */
bool gate_hold(struct http_conn *c, uint64_t bytes, bool one);
/* Calls h2o's own function. False: the connection is gone. */
bool gate_pass_on(struct http_conn *c, h2o_socket_cb h2o_read);
/* h2o may have put its own function back, or will. */
void gate_list_for_wrap(struct http_conn *c);
/* Answers instead of the request that comes, and closes. False: not now. */
bool gate_refuse(struct http_conn *c, const struct guard_fault *fault);
extern const struct guard_fault gate_too_slow;

/* ---- server_linger.c ---- */
void http_linger_prepare(struct http_conn *c);
void http_linger_begin(struct http_conn *c);
void http_linger_tick(struct http_worker *hw);
void http_linger_stop(struct http_worker *hw);

/* ---- server_sweep.c ---- */
void http_sweep_tick(struct http_worker *hw);

/* ---- server_http2.c ---- */
void http2_open(struct http_conn *c);
/* gate_wrap() for HTTP/2. False: h2o does not read now; later. */
bool http2_wrap(struct http_conn *c);
void http2_begin_second(struct http_conn *c);
void http2_request_over(struct http_conn *c, const h2o_req_t *req, const struct http_call *call);
bool http2_head_ok(const struct http_server *s, const h2o_req_t *req);

/* ---- server_tls.c ---- */
IOR_MUST_CHECK enum ior_err tls_context_new(const struct config *c, SSL_CTX **ret,
                                            struct ior_why *why);
void tls_handshake(struct http_conn *c);

/* ---- server_selftest.c ---- */
IOR_MUST_CHECK enum ior_err http_selftest(struct http_server *s, struct ior_why *why);
/* A request came while it runs. */
void http_selftest_request(struct http_server *s, const h2o_req_t *req);

/* ---- server_call.c ---- */
struct http_worker *http_worker_of(const struct http_call *call);
struct http_conn *http_conn_of(const struct http_call *call); /* NULL: there is none */
int http_on_req(h2o_handler_t *self, h2o_req_t *req);
/* Would this request be refused by what its head says? */
bool http_refused_by_head(struct http_server *s, h2o_req_t *req, uint64_t body_bytes);
/* Answers 503 timeout to the calls whose deadline has passed. */
void http_sweep_deadlines(struct http_worker *hw);

/* ---- server_cors.c: the answers of this path get the headers of CORS. */
void http_cors_filter(struct http_app *app, h2o_pathconf_t *path);
/* ---- server_log.c: a call that goes, into the request log; what this path refuses, likewise. */
void http_log_call(struct http_call *call);
void http_log_refusals(struct http_app *app, h2o_pathconf_t *path);

/* ---- server_wait.c ---- */
void http_waits_init(struct http_waits *ws);
void http_waits_tick(struct http_worker *hw);
/* Nobody waits any longer: the node stops. */
void http_waits_stop(struct http_worker *hw);
/* It is being answered; does nothing when it does not wait. */
void http_wait_leave(struct http_call *call);
/* It is being freed. */
void http_wait_gone(struct http_call *call);

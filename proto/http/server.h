/* proto/http/server.h - the HTTP server: h2o behind a few functions, so that it can
 * be replaced. One h2o context, a listener for each port and one list of connections a worker.
 * Life: http_server_new (before the threads), http_server_listen, then on each
 * worker http_worker_start; http_worker_stop; http_server_free. */
#pragma once

#include "proto/http/app.h"
#include "rt/loop.h"

struct http_server;

enum http_door { HTTP_DOOR_PLAIN, HTTP_DOOR_TLS, HTTP_DOORS };

/* INVAL: certificates that cannot be used, or an h2o that is not the one we know. */
IOR_MUST_CHECK enum ior_err http_server_new(struct http_app *app, struct loop **loops,
                                            struct worker **workers, struct http_server **ret,
                                            struct ior_why *why);
/* Binds address:port for all workers (port 0: any). BUSY: the port is taken; ACCESS; INVAL: no
 * such address. Thread: any, once for each door. */
IOR_MUST_CHECK enum ior_err http_server_listen(struct http_server *s, enum http_door door,
                                               const char *address, uint16_t port,
                                               struct ior_why *why);
/* "127.0.0.1:8080", or NULL: it is not open. Thread: that of listen and move. */
const char *http_server_where(const struct http_server *s, enum http_door door);
/* The same port on another address; connections go on. Errors as in listen; BUSY also when a
 * move is under way. Thread: one worker, always the same. */
IOR_MUST_CHECK enum ior_err http_server_move(struct http_server *s, enum http_door door,
                                             const char *address, struct ior_why *why);
/* Reads certificate, key and authorities again, for new connections; an error: the old ones
 * stay. Thread: any but a worker, one at a time. */
IOR_MUST_CHECK enum ior_err http_server_reload_tls(struct http_server *s, struct ior_why *why);
/* Can they be used? What http_server_new would say. Thread: any. */
IOR_MUST_CHECK enum ior_err http_check_tls(const struct config *c, struct ior_why *why);
/* On worker w: accept connections. */
void http_worker_start(struct http_server *s, struct worker *w);
/* On worker w: no new connections, idle ones closed, those with a request in
 * flight close after its answer. */
void http_worker_stop(struct http_server *s, struct worker *w);
/* On worker w: cut what is left. */
void http_worker_cut(struct http_server *s, struct worker *w);
/* Open connections over all workers. Thread: any. */
uint64_t http_server_connections(const struct http_server *s);
/* After the loops have ended. */
void http_server_free(struct http_server *s);

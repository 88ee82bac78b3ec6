/* proto/http/server.h - the HTTP server: h2o behind a few functions, so that it can
 * be replaced. One h2o context, one listener and one connection registry a worker.
 * Life: http_server_new (before the threads), http_server_listen, then on each
 * worker http_worker_start; http_worker_stop; http_server_free. */
#pragma once

#include "proto/http/app.h"
#include "rt/loop.h"

struct http_server;

IOR_MUST_CHECK enum ior_err http_server_new(struct http_app *app, struct loop **loops,
                                            struct worker **workers, struct http_server **ret,
                                            struct ior_why *why);
/* Binds address:port for all workers (port 0: any). ret_where: "127.0.0.1:8080".
 * BUSY: the port is taken; ACCESS; INVAL: no such address. Thread: any, once. */
IOR_MUST_CHECK enum ior_err http_server_listen(struct http_server *s, const char *address,
                                               uint16_t port, char ret_where[128],
                                               struct ior_why *why);
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

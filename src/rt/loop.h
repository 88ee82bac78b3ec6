/* src/rt/loop.h - the thread of a worker: one libuv loop (wake-ups, timers) inside
 * whatever polls the sockets.
 * The front end gives the poller (for HTTP: h2o's own event loop, which also
 * watches the libuv loop's descriptor); without one libuv polls by itself.
 * Three things that a naive embedding gets wrong (DEPENDENCIES.md section 7.2)
 * are done here or demanded from the poller: libuv's time is refreshed before its
 * timeout is asked; a poller with unfinished work must not sleep
 * (poller.busy); timers start from fresh time. */
#pragma once

#include "base/err.h"
#include "rt/worker.h"

struct poller {
    /* Wait at most timeout_ms (-1: for ever) for sockets and for fd; serve the
     * sockets; say whether fd became readable. */
    bool (*wait)(void *ctx, int timeout_ms);
    /* Is something left that would be lost in a sleep? */
    bool (*busy)(void *ctx);
    void *ctx;
};

struct loop;

/* Makes the worker's loop. Thread: any, before loop_run. NOMEM, IO. */
IOR_MUST_CHECK enum ior_err loop_new(struct worker *w, unsigned id, struct loop **ret);
/* The descriptor that the poller must watch for reading. */
int loop_backend_fd(struct loop *l);
void loop_set_poller(struct loop *l, struct poller p);
/* Thread: the worker's, for its whole life. Returns after loop_stop(). */
void loop_run(struct loop *l);
/* Thread: any. loop_run returns at the end of its turn. */
void loop_stop(struct loop *l);
/* After loop_run has returned (or was never called). */
void loop_free(struct loop *l);

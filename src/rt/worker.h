/* src/rt/worker.h - a worker: one thread's mailbox, local queue and turn.
 * A turn: poll (sockets), mailbox, strands that were put off, completions that
 * were deferred, then the turn-end hooks (hand-over to the journal).
 * The thread and its poll loop are in rt/loop.h; the simulator calls
 * worker_turn() itself. */
#pragma once

#include <stdatomic.h>

#include "base/list.h"

/* A message is a request struct that starts with (or contains) a msg. Sending it
 * gives it away; its run function has it back. */
struct msg {
    struct ior_link link;
    void (*run)(struct msg *m);
};

#define WORKER_HOOKS_MAX 4
struct worker_hook {
    void (*fn)(void *ctx);
    void *ctx;
};

struct worker {
    uint32_t magic;
    unsigned id;                      /* 0.. */
    _Atomic(struct ior_link *) inbox; /* newest first */
    struct ior_queue deferred;        /* own messages, run in this or the next turn */
    struct ior_queue strands;         /* strands to visit again */
    struct worker_hook turn_end[WORKER_HOOKS_MAX];
    struct worker_hook tick[WORKER_HOOKS_MAX];
    unsigned turn_end_count;
    unsigned tick_count;
    void (*wake)(void *ctx); /* thread-safe; makes the next turn happen soon */
    void *wake_ctx;
};

void worker_init(struct worker *w, unsigned id, void (*wake)(void *ctx), void *wake_ctx);
/* Nothing may be queued any more. */
void worker_done(struct worker *w);
/* The worker of this thread, or NULL. */
struct worker *worker_current(void);
/* Makes w the worker of this thread (NULL: none). */
void worker_enter(struct worker *w);
/* Thread: any. The message runs on w, later. */
void worker_post(struct worker *w, struct msg *m);
/* Thread: own. The message runs on this worker, later, without a wake-up. */
void worker_defer(struct msg *m);
/* Thread: any worker. The message runs on w, later: deferred when w is this one, else posted. */
void worker_send(struct worker *w, struct msg *m);
/* Thread: own, outside of every strand. Run now what was deferred so far: a front end
 * calls it at the end of its own callback, so that what is finished is answered
 * before the callback returns to the poller. */
void worker_run_deferred(struct worker *w);
/* Called at the end of every turn / every 100 ms, on the worker. */
void worker_on_turn_end(struct worker *w, void (*fn)(void *ctx), void *ctx);
void worker_on_tick(struct worker *w, void (*fn)(void *ctx), void *ctx);
/* Everything but the polling. True: there is more to do, do not sleep. */
bool worker_turn(struct worker *w);
void worker_tick(struct worker *w);

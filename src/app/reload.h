/* src/app/reload.h - what SIGHUP does to a running node: the configuration is read again, the log
 * files are opened anew, and what hangs on either is brought up to date.
 * Happy path: reload_now() reads file and environment as a start does, takes over the keys that
 * are marked LIVE in config/keys.def, names those that need a restart, and calls the steps of the
 * list in reload.c, in their order. Add a step there for whatever else a SIGHUP is to renew.
 * Failure modes: a configuration that is not good changes nothing, and the log says what a
 * start would say; a step that fails says so and keeps what it had; the other steps are done
 * in any case.
 * Thread: the main one, which waits for signals. */
#pragma once

#include <signal.h>

#include "app/app.h"
#include "proto/http/app.h"

struct reload {
    const struct run_options *options;
    struct http_app *app; /* .config is replaced */
    struct http_server *http;
    /* Returns when every worker has begun another turn since the call. */
    void (*barrier)(void *ctx);
    void *barrier_ctx;
    struct config *mine; /* what app.config points to; NULL: what the node was started with */
};

void reload_now(struct reload *r);
/* Nobody reads the configuration any more. */
void reload_done(struct reload *r);

/* Before the first thread: the signals that reload_wait() waits for. */
struct reload_signals {
    sigset_t set;
    int terminal; /* descriptor of the terminal, while there is one; -1: there was none */
    bool keep; /* SIGHUP was ignored from the start (nohup): the end of the terminal is nothing */
};
void reload_block_signals(struct reload_signals *s);
/* Waits for the signal that ends the node; until then SIGHUP reloads. */
void reload_wait(const struct reload_signals *s, struct reload *r);

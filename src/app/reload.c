/* src/app/reload.c - see reload.h.
 * How the workers see new values: each key is read from http_app.config when it is needed. That
 * pointer is replaced by one to another, complete configuration; the old one is freed when every
 * worker has begun another turn, for nobody keeps a pointer into it beyond his turn.
 * SIGHUP in the foreground: when it comes because the terminal is gone (its descriptor is no
 * terminal any more) it ends the node, as every program in a terminal does; else it reloads. */
#include "app/reload.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config_live.h"
#include "base/log.h"
#include "core/node.h"
#include "proto/http/limited.h"
#include "proto/http/request_log.h"
#include "proto/http/server.h"

/* ---- the steps ---- */

static enum ior_err renew_log(struct reload *r, const struct config *c, struct ior_why *why)
{
    log_set_level(c->log_level);
    return logfile_open(c, r->options->foreground, why);
}

static enum ior_err renew_request_log(struct reload *r, const struct config *c, struct ior_why *why)
{
    return request_log_open(r->app->request_log, c, why);
}

static enum ior_err renew_node(struct reload *r, const struct config *c, struct ior_why *why)
{
    (void)why;
    node_set_eviction_interval(r->app->node, c->eviction_interval);
    return IOR_OK;
}

static enum ior_err renew_limits(struct reload *r, const struct config *c, struct ior_why *why)
{
    (void)why;
    http_limits_configure(r->app, c);
    return IOR_OK;
}

/* The files may be others under the same names. */
static enum ior_err renew_certificate(struct reload *r, const struct config *c, struct ior_why *why)
{
    return c->https_enabled ? http_server_reload_tls(r->http, why) : IOR_OK;
}

/* c is what holds from now on. An error and *why: it goes on as before. */
struct reload_step {
    const char *name;
    enum ior_err (*renew)(struct reload *r, const struct config *c, struct ior_why *why);
};
static const struct reload_step steps[] = {
    {"log", renew_log},       {"request log", renew_request_log}, {"node", renew_node},
    {"limits", renew_limits}, {"certificate", renew_certificate},
};

static void run_steps(struct reload *r)
{
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct ior_why why = {""};
        enum ior_err err = steps[i].renew(r, r->app->config, &why);
        if (err != IOR_OK)
            LOG_ERROR("config", "not renewed", "what=\"%s\": %s", steps[i].name,
                      why.text[0] != 0 ? why.text : ior_err_reason(err));
    }
}

/* ---- the configuration ---- */

static void tell_changed(void *ctx, const char *key, bool live)
{
    (void)ctx;
    if (live) {
        LOG_INFO("config", "taken over", "key=%s", key);
    } else {
        LOG_WARNING("config", "needs a restart", "key=%s", key);
    }
}

static void tell_warning(void *ctx, const char *key, const char *text)
{
    (void)ctx;
    LOG_WARNING("config", "suspicious", "key=%s: %s", key, text);
}

/* It may hold secrets. NULL is fine. */
static void discard(struct config *c)
{
    if (c != NULL) explicit_bzero(c, sizeof *c);
    free(c);
}

/* NULL: it is not good, or there is no memory; it was logged. */
static struct config *read_again(const struct reload *r)
{
    const struct config *now = r->app->config;
    const char *file = r->options->config_file;
    struct ior_why why = {""};
    struct config *fresh = malloc(sizeof *fresh);
    struct config *merged = malloc(sizeof *merged);
    enum ior_err err = IOR_E_NOMEM;
    if (fresh != NULL && merged != NULL)
        err = config_load(fresh, now->release_dir, file[0] != 0 ? file : NULL, &why);
    if (err == IOR_OK) {
        config_live_merge(now, fresh, merged, tell_changed, NULL);
        confcheck_warn(merged, tell_warning, NULL);
    } else {
        LOG_ERROR("config", "not reloaded", "%s",
                  why.text[0] != 0 ? why.text : ior_err_reason(err));
        discard(merged);
        merged = NULL;
    }
    discard(fresh);
    return merged;
}

void reload_now(struct reload *r)
{
    struct config *old = r->mine;
    struct config *next = read_again(r);
    if (next != NULL) {
        r->mine = next;
        atomic_store(&r->app->config, next);
    }
    run_steps(r);
    if (next == NULL) return;
    r->barrier(r->barrier_ctx);
    discard(old);
    LOG_INFO("config", "reloaded", "file=%s",
             r->options->config_file[0] != 0 ? r->options->config_file : "none");
}

void reload_done(struct reload *r)
{
    discard(r->mine);
    r->mine = NULL;
}

/* ---- signals ---- */

void reload_block_signals(struct reload_signals *s)
{
    struct sigaction hup;
    sigaction(SIGHUP, NULL, &hup);
    s->keep = hup.sa_handler == SIG_IGN;
    s->terminal = -1;
    for (int fd = 0; fd <= 2 && s->terminal < 0; fd++) {
        if (isatty(fd)) s->terminal = fd;
    }
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&s->set);
    sigaddset(&s->set, SIGTERM);
    sigaddset(&s->set, SIGINT);
    sigaddset(&s->set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &s->set, NULL);
    signal(SIGHUP, SIG_DFL); /* an ignored signal would never come */
}

void reload_wait(const struct reload_signals *s, struct reload *r)
{
    for (;;) {
        int got = 0;
        if (sigwait(&s->set, &got) != 0) continue;
        bool gone = r->options->foreground && s->terminal >= 0 && !isatty(s->terminal);
        if (got == SIGHUP && !gone) {
            reload_now(r);
            continue;
        }
        if (got == SIGHUP && s->keep) continue;
        LOG_INFO("app", "stopping", "signal=%s", strsignal(got));
        return;
    }
}

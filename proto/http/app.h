/* proto/http/app.h - what all HTTP workers share, set up once before they run. */
#pragma once

#include "auth/limit.h"
#include "auth/token.h"
#include "base/config.h"
#include "core/node.h"
#include "proto/http/forwarded.h"
#include "rt/job.h"

struct http_worker;
struct login_desk;
struct request_log;

/* The handlers below /x/. */
enum extension_id { EXTENSION_ECHO, EXTENSION_COUNT };

struct http_app {
    /* Changes when it is read again (src/app/reload.c). What it points to never changes, and stays
     * until every worker has begun another turn: do not keep a pointer into it. */
    const struct config *_Atomic config;
    struct node *node;
    struct token_key key;
    struct limits *limits;      /* limited.c's */
    struct forwarded forwarded; /* likewise */
    struct job_queue *crypto;   /* argon2id: password checks, hashes of new ones */
    struct login_desk *logins;  /* auth/login.h */
    struct request_log *request_log;
    void *extensions[EXTENSION_COUNT]; /* their settings (extension.h) */
    struct http_worker **workers;      /* by worker id */
    unsigned worker_count;
    uint64_t started_ms; /* Unix time, and likewise by the clock that never goes back */
    uint64_t started_mono_us;
    uint64_t connections_max;
    _Atomic bool ready;
    _Atomic bool stopping;
};

/* What one worker of the server has now, and had since the start. Any thread. */
struct http_worker_counts {
    uint64_t connections;
    uint64_t requests;
};
struct http_worker_counts http_worker_counts(const struct http_app *app, unsigned worker);
/* This worker's cache of verified tokens. */
struct token_cache *http_token_cache(struct http_app *app);

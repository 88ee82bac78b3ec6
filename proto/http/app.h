/* proto/http/app.h - what all HTTP workers share, set up once before they run. */
#pragma once

#include "auth/token.h"
#include "base/config.h"
#include "core/node.h"
#include "rt/job.h"

struct http_worker;

struct http_app {
    /* Changes when it is read again (src/app/reload.c). What it points to never changes, and stays
     * until every worker has begun another turn: do not keep a pointer into it. */
    const struct config *_Atomic config;
    struct node *node;
    struct token_key key;
    struct job_queue *crypto;     /* password checks */
    struct http_worker **workers; /* by worker id */
    unsigned worker_count;
    _Atomic bool ready;
    _Atomic bool stopping;
};

/* This worker's cache of verified tokens. */
struct token_cache *http_token_cache(struct http_app *app);

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

struct http_app {
    const struct config *config;
    struct node *node;
    struct token_key key;
    struct limits *limits;        /* limited.c's */
    struct forwarded forwarded;   /* likewise */
    struct job_queue *crypto;     /* argon2id: password checks, hashes of new ones */
    struct login_desk *logins;    /* auth/login.h */
    struct http_worker **workers; /* by worker id */
    unsigned worker_count;
    _Atomic bool ready;
    _Atomic bool stopping;
};

/* This worker's cache of verified tokens. */
struct token_cache *http_token_cache(struct http_app *app);

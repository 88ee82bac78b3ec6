/* proto/http/limited.h - who asks too often: the rate limits of requests and of failed logins
 * (auth/limit.h) where HTTP meets them.
 * Thread: the calls are a worker's; http_limits_configure() may be called from any thread at any
 * time. */
#pragma once

#include "proto/http/call.h"

/* Before the workers run: limits and proxies as app->config says. NOMEM, ACCESS. */
IOR_MUST_CHECK enum ior_err http_limits_new(struct http_app *app);
void http_limits_free(struct http_app *app);
/* The limits.* and auth.login.* of this configuration hold from now on; of the node's quotas too.
 * (The proxies hold from the start: workers read them without a lock.) */
void http_limits_configure(struct http_app *app, const struct config *c);

/* The checks of dispatch.c. False: it is answered 429. */
bool http_limit_address(struct http_call *call);
/* Of the user, and of the bucket when its name is one. */
bool http_limit_caller(struct http_call *call, bool names_ok);

/* A login: who tries, for whom. Kept by the login until its end, for the call may be gone. */
struct login_limit {
    uint64_t address;
    uint64_t user;
};
/* Before anything is done with a password, right or remembered ones too. False: answered 429. */
bool http_login_begin(struct http_call *call, struct ior_slice username, struct login_limit *ret);
/* It was wrong. */
void http_login_failed(struct http_app *app, const struct login_limit *l);

/* proto/http/session_log.h - lines about logins and revoked tokens. Never a password, a token,
 * or a name that is not a user's: people type passwords into the wrong field. Thread: any worker.
 */
#pragma once

#include "core/session_change.h"
#include "proto/http/call.h"

/* call NULL: the client is gone. user "": there is no such user. At most
 * LOGIN_LOG_LINES_PER_S of either kind; `left_out` says how many were not logged before a line. */
void session_log_login(struct http_call *call, const char *user, bool good);
/* Tokens were taken back. As often as it happens: only who has a token can cause it. */
void session_log_end(const struct session_change *c);

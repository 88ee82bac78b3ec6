/* proto/http/session_log.c - see session_log.h. No failure modes. */
#include "proto/http/session_log.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/log_limit.h"
#include "rt/clock.h"

void session_log_login(struct http_call *call, const char *user, bool good)
{
    static struct log_limit limits[2];
    uint64_t left_out = 0;
    char from[CALL_PEER_BYTES] = "gone";
    char more[48] = "";
    uint64_t now_s = clock_mono_coarse_us() / 1000000;
    if (!log_wants(LOG_LEVEL_INFO) ||
        !log_limit_take(&limits[good], now_s, LOGIN_LOG_LINES_PER_S, &left_out))
        return;
    if (call != NULL) call_peer_text(call, from);
    if (left_out > 0) snprintf(more, sizeof more, " left_out=%llu", (unsigned long long)left_out);
    if (user[0] == 0) {
        LOG_INFO("auth", "login refused", "from=%s%s (no such user)", from, more);
    } else {
        LOG_INFO("auth", good ? "login" : "login refused", "user=%s from=%s%s", user, from, more);
    }
}

void session_log_end(const struct session_change *c)
{
    LOG_INFO("auth", c->ended_all ? "sessions ended" : "token revoked", "user=%.*s",
             (int)c->name_bytes, (const char *)c->name);
}

/* proto/http/limited.c - see limited.h.
 * Happy path: no limit is on, which a load and a branch find out; else one look-up for each limit.
 * A request counts for the limits in front of the one that refuses it. When its body is still to
 * come it is only looked at, so that who may not send it is told before.
 * Wrong logins are counted when they are known to be wrong, so those that are on the way at
 * the same time (CRYPTO_QUEUE_MAX) may go beyond the rate; they are paid back later.
 * Failure modes: 429 with the key of the limit and the seconds until it makes sense to try again.
 */
#include "proto/http/limited.h"

#include <stdio.h>

#include "auth/username.h"
#include "base/metrics.h"
#include "core/quota.h"
#include "proto/http/routes.h"

struct limit_row {
    enum metric metric;
    const char *extra;
};
static const struct limit_row rows[LIMIT_KINDS] = {
    [LIMIT_ADDRESS] = {METRIC_limited_address, "\"limit\":\"limits.address.requests\""},
    [LIMIT_USER] = {METRIC_limited_user, "\"limit\":\"limits.user.requests\""},
    [LIMIT_BUCKET] = {METRIC_limited_bucket, "\"limit\":\"limits.bucket.requests\""},
    [LIMIT_WRITES] = {METRIC_limited_writes, "\"limit\":\"limits.bucket.writes\""},
    [LIMIT_LOGIN_ADDRESS] = {METRIC_limited_logins, "\"limit\":\"auth.login.failures\""},
    [LIMIT_LOGIN_USER] = {METRIC_limited_logins, "\"limit\":\"auth.login.failures.user\""},
};

/* ---- the configuration ---- */

static void set(struct http_app *app, enum limit_kind kind, uint64_t rate)
{
    limits_set(app->limits, kind, config_rate_count(rate), config_rate_seconds(rate) * 1000);
}

void http_limits_configure(struct http_app *app, const struct config *c)
{
    set(app, LIMIT_ADDRESS, c->limits_address_requests);
    set(app, LIMIT_USER, c->limits_user_requests);
    set(app, LIMIT_BUCKET, c->limits_bucket_requests);
    set(app, LIMIT_WRITES, c->limits_bucket_writes);
    set(app, LIMIT_LOGIN_ADDRESS, c->auth_login_failures);
    set(app, LIMIT_LOGIN_USER, c->auth_login_failures_user);
    quotas_set(app->node->quotas, c->limits_bucket_streams, c->limits_bucket_bytes);
}

enum ior_err http_limits_new(struct http_app *app)
{
    const struct config *c = app->config;
    enum ior_err err = limits_new(&app->limits);
    if (err != IOR_OK) return err;
    http_limits_configure(app, c);
    bool rfc = ior_slice_eq(ior_slice_str(c->http_proxies_header), IOR_SLICE("forwarded"));
    app->forwarded.header = rfc ? FORWARDED_RFC7239 : FORWARDED_X_FORWARDED_FOR;
    return ior_networks_parse(ior_slice_str(c->http_proxies), &app->forwarded.proxies, NULL);
}

void http_limits_free(struct http_app *app)
{
    limits_free(app->limits);
    app->limits = NULL;
}

/* ---- who it is ---- */

/* False: the peer is the client. */
static bool behind_proxy(struct http_call *call, struct ior_address *ret)
{
    const struct forwarded *f = &call->app->forwarded;
    const char *name = f->header == FORWARDED_RFC7239 ? "forwarded" : "x-forwarded-for";
    struct forwarded_hops hops;
    struct ior_slice value;
    ptrdiff_t at = -1;
    if (!ior_networks_have(&f->proxies, ret)) return false;
    forwarded_init(&hops);
    while (call_header_next(call, name, &at, &value)) forwarded_add(&hops, f->header, value);
    if (hops.count == 0) return false;
    *ret = forwarded_client(&f->proxies, ret, &hops);
    return true;
}

const struct ior_address *call_client(struct http_call *call)
{
    if (!call->client_known) {
        /* Without an address (no socket of the Internet) all are one client: the address ::. */
        (void)call_peer(call, &call->client);
        if (call->app->forwarded.proxies.count > 0) (void)behind_proxy(call, &call->client);
        call->client_known = true;
    }
    return &call->client;
}

void call_peer_text(struct http_call *call, char ret[CALL_PEER_BYTES])
{
    static const struct ior_address none;
    const struct ior_address *a = call_client(call);
    if (ior_address_eq(a, &none)) {
        snprintf(ret, CALL_PEER_BYTES, "unknown");
    } else {
        ior_address_text(a, ret);
    }
}

bool call_from_loopback(struct http_call *call)
{
    struct ior_address peer;
    if (!call_peer(call, &peer) || !ior_address_is_loopback(&peer)) return false;
    if (call->app->forwarded.proxies.count == 0) return true;
    /* What a proxy says is not as good as what the kernel says. */
    return !behind_proxy(call, &peer);
}

static uint64_t client_key(struct http_call *call)
{
    return limits_key(call->app->limits, ior_address_client(call_client(call)));
}

/* ---- requests ---- */

static bool refuse(struct http_call *call, enum limit_kind kind, uint64_t wait_ms)
{
    if (!call->mute) metric_add(rows[kind].metric, 1);
    call->retry_after_s = (wait_ms + 999) / 1000;
    call_reply_error(call, IOR_E_RATE, NULL, rows[kind].extra);
    return false;
}

static bool take(struct http_call *call, enum limit_kind kind, uint64_t key, uint64_t cost)
{
    struct limits *l = call->app->limits;
    /* A head whose body is still to come comes again with it: it is one request. */
    uint64_t wait_ms =
        call->head_only ? limits_wait_ms(l, kind, key) : limits_take(l, kind, key, cost);
    return wait_ms == 0 || refuse(call, kind, wait_ms);
}

bool http_limit_address(struct http_call *call)
{
    if (!limits_on(call->app->limits, LIMIT_ADDRESS)) return true;
    /* A probe must not kill a node because its address is a busy one. */
    void (*handler)(struct http_call *) = call->route->handler;
    if (handler == route_ping || handler == route_livez || handler == route_readyz) return true;
    return take(call, LIMIT_ADDRESS, client_key(call), 1);
}

static bool limit_bucket(struct http_call *call)
{
    struct limits *l = call->app->limits;
    bool writes = limits_on(l, LIMIT_WRITES) && call->route->perm == PERM_PUT;
    if (!writes && !limits_on(l, LIMIT_BUCKET)) return true;
    uint64_t key = limits_key(l, call->bucket);
    if (!take(call, LIMIT_BUCKET, key, 1)) return false;
    return !writes || take(call, LIMIT_WRITES, key, call->body.size_bytes);
}

bool http_limit_caller(struct http_call *call, bool names_ok)
{
    struct limits *l = call->app->limits;
    if (limits_on(l, LIMIT_USER) &&
        !take(call, LIMIT_USER, limits_key(l, ior_slice_str(call->user)), 1))
        return false;
    return call->route->scope < SCOPE_BUCKET || !names_ok || limit_bucket(call);
}

/* ---- logins ---- */

/* The address and the folded name; names that are too long are one. */
static uint64_t pair_key(struct http_call *call, struct ior_slice username)
{
    uint8_t folded[USERNAME_BYTES_MAX];
    uint8_t pair[sizeof(struct ior_address) + 1 + USERNAME_BYTES_MAX];
    struct ior_slice client = ior_address_client(call_client(call));
    size_t n = client.size_bytes;
    memcpy(pair, client.data, n);
    pair[n++] = 0;
    if (username.size_bytes > 0 && username.size_bytes <= USERNAME_BYTES_MAX) {
        struct ior_slice name = username_fold(username, folded);
        memcpy(pair + n, name.data, name.size_bytes);
        n += name.size_bytes;
    }
    return limits_key(call->app->limits, ior_slice(pair, n));
}

bool http_login_begin(struct http_call *call, struct ior_slice username, struct login_limit *ret)
{
    struct limits *l = call->app->limits;
    *ret = (struct login_limit){0, 0};
    if (!limits_on(l, LIMIT_LOGIN_ADDRESS) && !limits_on(l, LIMIT_LOGIN_USER)) return true;
    ret->address = client_key(call);
    ret->user = pair_key(call, username);
    uint64_t wait_ms = limits_wait_ms(l, LIMIT_LOGIN_ADDRESS, ret->address);
    if (wait_ms > 0) return refuse(call, LIMIT_LOGIN_ADDRESS, wait_ms);
    wait_ms = limits_wait_ms(l, LIMIT_LOGIN_USER, ret->user);
    return wait_ms == 0 || refuse(call, LIMIT_LOGIN_USER, wait_ms);
}

void http_login_failed(struct http_app *app, const struct login_limit *l)
{
    if (l->address == 0) return;
    limits_count(app->limits, LIMIT_LOGIN_ADDRESS, l->address, 1);
    limits_count(app->limits, LIMIT_LOGIN_USER, l->user, 1);
}

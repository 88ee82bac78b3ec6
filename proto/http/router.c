/* proto/http/router.c - see router.h. The table is short; it is walked. */
#include "proto/http/router.h"

#include <stdio.h>
#include <string.h>

#include "proto/http/routes.h"

static const struct route routes[] = {
#define R(method, path, perm, scope, types, handler)                                               \
    {METHOD_##method, path, perm, SCOPE_##scope, TYPES_##types, handler},
#include "proto/http/routes.def"
#undef R
};

enum { ROUTE_COUNT = sizeof routes / sizeof routes[0] };

/* The patterns cut at '/', once, before main(): they are constants. */
struct pattern {
    size_t count;
    struct ior_slice segments[PATH_SEGMENTS_MAX];
};
static struct pattern patterns[ROUTE_COUNT];
static enum histogram histograms[ROUTE_COUNT];

static enum histogram histogram_of(const struct route *r)
{
    bool events = strncmp(r->path, "/streams/:b/:s", 14) == 0;
    if (events && r->method == METHOD_GET) return HISTOGRAM_http_read;
    if (events && r->method != METHOD_DELETE) return HISTOGRAM_http_append;
    if (strcmp(r->path, "/buckets") == 0 || strcmp(r->path, "/streams/:b") == 0)
        return HISTOGRAM_http_list;
    if (strcmp(r->path, "/listen") == 0) return HISTOGRAM_http_listen;
    if (strcmp(r->path, "/sessions") == 0 && r->method == METHOD_POST) return HISTOGRAM_http_login;
    return HISTOGRAM_http_other;
}

__attribute__((constructor)) static void cut_patterns(void)
{
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        const char *at = routes[i].path;
        struct pattern *p = &patterns[i];
        while (*at == '/') {
            size_t len = strcspn(at + 1, "/");
            p->segments[p->count++] = ior_slice(at + 1, len);
            at += 1 + len;
        }
        histograms[i] = histogram_of(&routes[i]);
    }
}

enum histogram route_histogram(const struct route *r)
{
    return r == NULL ? HISTOGRAM_http_other : histograms[r - routes];
}

/* Does the pattern fit the segments? Fills params. */
static bool fits(const struct pattern *p, const struct ior_slice *segments, size_t count,
                 struct ior_slice *params, size_t *ret_params)
{
    size_t n = 0;
    size_t own = p->count;
    if (own > 0 && p->segments[own - 1].data[0] == '*') own--;
    if (own < p->count ? count < own : count != own) return false;
    for (size_t i = 0; i < own; i++) {
        if (p->segments[i].data[0] == ':') {
            params[n++] = segments[i];
        } else if (!ior_slice_eq(segments[i], p->segments[i])) {
            return false;
        }
    }
    *ret_params = n;
    return true;
}

static bool answers_head(const struct route *r)
{
    return r->method == METHOD_GET && r->types != TYPES_LIVE;
}

static bool takes(const struct route *r, enum route_method method)
{
    if (r->method == METHOD_ANY) return method != METHOD_OPTIONS && method != METHOD_OTHER;
    return r->method == method || (method == METHOD_HEAD && answers_head(r));
}

static void add_method(char *allow, size_t room, const struct route *r)
{
    static const char *const words[] = {
        [METHOD_GET] = "GET",       [METHOD_POST] = "POST",
        [METHOD_PUT] = "PUT",       [METHOD_PATCH] = "PATCH",
        [METHOD_DELETE] = "DELETE", [METHOD_ANY] = "GET, HEAD, POST, PUT, PATCH, DELETE"};
    size_t n = strlen(allow);
    snprintf(allow + n, room - n, "%s%s%s", n > 0 ? ", " : "", words[r->method],
             answers_head(r) ? ", HEAD" : "");
}

enum route_result route_find(enum route_method method, const struct ior_slice *segments,
                             size_t count, const struct route **ret,
                             struct ior_slice params[PATH_SEGMENTS_MAX], size_t *ret_params,
                             char allow[64])
{
    enum route_result result = ROUTE_UNKNOWN;
    allow[0] = 0;
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (!fits(&patterns[i], segments, count, params, ret_params)) continue;
        if (takes(&routes[i], method)) {
            *ret = &routes[i];
            return ROUTE_FOUND;
        }
        result = ROUTE_WRONG_METHOD;
        add_method(allow, 64, &routes[i]);
    }
    return result;
}

/* proto/http/router.h - which row of routes.def a request belongs to. */
#pragma once

#include "auth/policy.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "base/slice.h"

struct http_call;

enum route_method {
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_PATCH,
    METHOD_DELETE,
    METHOD_OPTIONS,
    METHOD_OTHER,
    METHOD_ANY /* in a row: all of them but OPTIONS and OTHER */
};
enum route_scope { SCOPE_OPEN, SCOPE_NODE, SCOPE_USER, SCOPE_BUCKET, SCOPE_STREAM };
enum route_types {
    TYPES_NONE,
    TYPES_JSON,
    TYPES_EVENT,
    TYPES_PATCH,
    TYPES_AS_JSON,
    TYPES_AS_EVENTS,
    TYPES_LIVE
};

struct route {
    enum route_method method;
    const char *path;
    unsigned perm;
    enum route_scope scope;
    enum route_types types;
    void (*handler)(struct http_call *call);
};

enum route_result { ROUTE_FOUND, ROUTE_UNKNOWN, ROUTE_WRONG_METHOD };

/* Raw segments in, the row out; a HEAD has no rows but those of GET that are not LIVE. Parameters:
 * params[0..] are the raw segments that stand for :b, :s, :id... allow (for WRONG_METHOD): "GET,
 * HEAD" ... */
enum route_result route_find(enum route_method method, const struct ior_slice *segments,
                             size_t count, const struct route **ret,
                             struct ior_slice params[PATH_SEGMENTS_MAX], size_t *ret_params,
                             char allow[64]);
/* Where its durations are counted; NULL: it has no row. */
enum histogram route_histogram(const struct route *r);

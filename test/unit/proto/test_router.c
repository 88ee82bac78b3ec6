/* test/unit/proto/test_router.c - which row of routes.def a request belongs to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/http/path.h"
#include "proto/http/router.h"
#include "proto/http/routes.h"

struct found {
    enum route_result result;
    const struct route *route;
    struct ior_slice params[PATH_SEGMENTS_MAX];
    size_t param_count;
    char allow[64];
};

static struct found find(enum route_method method, const char *path)
{
    struct found f = {0};
    struct ior_slice segments[PATH_SEGMENTS_MAX];
    size_t count = 0;
    assert_true(path_split(ior_slice_str(path), segments, &count));
    f.result = route_find(method, segments, count, &f.route, f.params, &f.param_count, f.allow);
    return f;
}

/* The pattern with `x` in place of each parameter. */
static void fill_in(const char *pattern, char *out)
{
    while (*pattern != 0) {
        if (*pattern != ':') {
            *out++ = *pattern++;
            continue;
        }
        *out++ = 'x';
        pattern += strcspn(pattern, "/");
    }
    *out = 0;
}

static void check_row(enum route_method method, const char *pattern, unsigned perm,
                      enum route_scope scope, enum route_types types,
                      void (*handler)(struct http_call *call))
{
    char path[256];
    fill_in(pattern, path);
    const struct found f = find(method, path);
    if (f.result != ROUTE_FOUND) fail_msg("%s", pattern);
    assert_string_equal(f.route->path, pattern);
    assert_true(f.route->handler == handler);
    assert_int_equal(f.route->perm, perm);
    assert_int_equal(f.route->scope, scope);
    assert_int_equal(f.route->types, types);
    size_t params = 0;
    for (const char *at = pattern; *at != 0; at++) params += *at == ':';
    assert_int_equal(f.param_count, params);
    for (size_t i = 0; i < params; i++) assert_true(ior_slice_eq(f.params[i], IOR_SLICE("x")));
}

/* What: every row of routes.def is found by its own path and method: no row hides behind another.
 */
static void every_row_is_reached(void **state)
{
    (void)state;
#define R(method, path, perm, scope, types, handler)                                               \
    check_row(METHOD_##method, path, perm, SCOPE_##scope, TYPES_##types, handler);
#include "proto/http/routes.def"
#undef R
}

/* What: parameters are the raw segments in their order, still with their escapes. */
static void parameters_are_raw(void **state)
{
    (void)state;
    const struct found f = find(METHOD_GET, "/streams/my%20bucket/a%2Fb/17/");
    assert_int_equal(f.result, ROUTE_FOUND);
    assert_int_equal(f.param_count, 3);
    assert_true(ior_slice_eq(f.params[0], IOR_SLICE("my%20bucket")));
    assert_true(ior_slice_eq(f.params[1], IOR_SLICE("a%2Fb")));
    assert_true(ior_slice_eq(f.params[2], IOR_SLICE("17")));
}

/* What: a path that no row fits is unknown for every method: too short, too long, another word,
 * other case. */
static void other_paths_are_unknown(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/",       "/streams",    "/streams/b/s/1/2", "/pin", "/pingg",   "/Ping",
        "/ping/x", "/sessions/x", "/1/2/3/4/5/6/7/8", "/x",   "/x/other", "/x/echoes"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        for (int m = METHOD_GET; m <= METHOD_OTHER; m++) {
            const struct found f = find((enum route_method)m, paths[i]);
            assert_int_equal(f.result, ROUTE_UNKNOWN);
            assert_string_equal(f.allow, "");
            assert_null(f.route);
        }
    }
}

/* What: a known path with another method says which ones it has, each once. */
static void wrong_methods_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum route_method method;
        const char *allow;
    } cases[] = {
        {"/ping", METHOD_POST, "GET, HEAD"},
        {"/ping", METHOD_OTHER, "GET, HEAD"},
        {"/sessions", METHOD_OTHER, "GET, HEAD, POST, DELETE"},
        {"/streams/b/s", METHOD_OTHER, "GET, HEAD, POST, PATCH, DELETE"},
        {"/streams/b", METHOD_POST, "GET, HEAD"},
        {"/streams/b/s/1", METHOD_POST, "GET, HEAD"},
        {"/listen", METHOD_DELETE, "GET, POST"},
        {"/listen", METHOD_HEAD, "GET, POST"},
        {"/streams/b/s", METHOD_OPTIONS, "GET, HEAD, POST, PATCH, DELETE"},
        {"/x/echo", METHOD_OPTIONS, "GET, HEAD, POST, PUT, PATCH, DELETE"},
        {"/x/echo/a/b", METHOD_OTHER, "GET, HEAD, POST, PUT, PATCH, DELETE"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct found f = find(cases[i].method, cases[i].path);
        assert_int_equal(f.result, ROUTE_WRONG_METHOD);
        assert_string_equal(f.allow, cases[i].allow);
    }
}

/* What: a HEAD leads to the row of the GET, but not where that one is LIVE. */
static void heads(void **state)
{
    (void)state;
#define R(method, path, perm, scope, types, handler)                                               \
    if (METHOD_##method == METHOD_GET && TYPES_##types != TYPES_LIVE)                              \
        check_row(METHOD_HEAD, path, perm, SCOPE_##scope, TYPES_##types, handler);
#include "proto/http/routes.def"
#undef R
    assert_int_equal(find(METHOD_HEAD, "/listen").result, ROUTE_WRONG_METHOD);
}

/* What: a row ANY takes every method but OPTIONS and unknown ones; its star any further segments.
 */
static void any_method_and_any_rest(void **state)
{
    (void)state;
    static const char *const paths[] = {"/x/echo", "/x/echo/", "/x/echo/a",
                                        "/x/echo/a/b/%2F/d/e/f"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        for (int m = METHOD_GET; m < METHOD_OPTIONS; m++) {
            const struct found f = find((enum route_method)m, paths[i]);
            assert_int_equal(f.result, ROUTE_FOUND);
            assert_true(f.route->handler == route_echo);
            assert_int_equal(f.param_count, 0);
        }
    }
}

/* What: durations are counted by what is asked for. */
static void histograms_by_route(void **state)
{
    (void)state;
    static const struct {
        enum route_method method;
        const char *path;
        enum histogram h;
    } cases[] = {
        {METHOD_POST, "/streams/b/s", HISTOGRAM_http_append},
        {METHOD_GET, "/streams/b/s", HISTOGRAM_http_read},
        {METHOD_HEAD, "/streams/b/s/1", HISTOGRAM_http_read},
        {METHOD_DELETE, "/streams/b/s", HISTOGRAM_http_other},
        {METHOD_GET, "/streams/b", HISTOGRAM_http_list},
        {METHOD_GET, "/buckets", HISTOGRAM_http_list},
        {METHOD_GET, "/listen", HISTOGRAM_http_listen},
        {METHOD_POST, "/sessions", HISTOGRAM_http_login},
        {METHOD_GET, "/sessions", HISTOGRAM_http_other},
        {METHOD_GET, "/ping", HISTOGRAM_http_other},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct found f = find(cases[i].method, cases[i].path);
        assert_int_equal(f.result, ROUTE_FOUND);
        assert_int_equal(route_histogram(f.route), cases[i].h);
    }
    assert_int_equal(route_histogram(NULL), HISTOGRAM_http_other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_reached),
        cmocka_unit_test(parameters_are_raw),
        cmocka_unit_test(other_paths_are_unknown),
        cmocka_unit_test(wrong_methods_are_told),
        cmocka_unit_test(heads),
        cmocka_unit_test(any_method_and_any_rest),
        cmocka_unit_test(histograms_by_route),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

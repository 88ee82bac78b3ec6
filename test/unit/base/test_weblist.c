/* test/unit/base/test_weblist.c - lists of origins and header names, as the configuration has them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/weblist.h"

static bool allows(const char *list, const char *origin)
{
    assert_null(weblist_origins_problem(ior_slice_str(list)));
    return weblist_origins_allow(ior_slice_str(list), ior_slice_str(origin));
}

/* What: an origin is allowed when it is in the list, whole; the case of letters does not count. */
static void listed_origins_are_allowed(void **state)
{
    (void)state;
    static const char list[] = "https://app.example.com, http://localhost:3000 http://[::1]:80a1";
    assert_non_null(weblist_origins_problem(ior_slice_str(list))); /* 80a1 is no port */
    static const char good[] =
        "https://app.example.com,http://localhost:3000\thttp://[::1]:8081 , chrome-extension://abc";
    assert_true(allows(good, "https://app.example.com"));
    assert_true(allows(good, "HTTPS://App.Example.Com"));
    assert_true(allows(good, "http://localhost:3000"));
    assert_true(allows(good, "http://[::1]:8081"));
    assert_true(allows(good, "chrome-extension://abc"));
    static const char *const others[] = {"http://app.example.com",
                                         "https://app.example.com:8443",
                                         "https://app.example.com.evil.org",
                                         "https://evil.org/https://app.example.com",
                                         "https://app.example.co",
                                         "ttps://app.example.com",
                                         "http://localhost",
                                         "http://localhost:30000",
                                         "null",
                                         "",
                                         ",",
                                         "*",
                                         "https://app.example.com http://localhost:3000"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(allows(good, others[i]));
}

/* What: the star allows every origin. */
static void a_star_allows_all(void **state)
{
    (void)state;
    assert_true(allows("*", "https://anything"));
    assert_true(allows(" * ", "null"));
    assert_true(weblist_is_star(IOR_SLICE("*")));
    assert_true(weblist_is_star(IOR_SLICE(", *,")));
    assert_false(weblist_is_star(IOR_SLICE("http://a")));
    assert_false(weblist_is_star(IOR_SLICE("")));
}

/* What: a list that can never match what a browser sends is refused, in words. */
static void bad_origins_are_explained(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        const char *word;
    } cases[] = {
        {"", "no origin"},
        {" , ", "no origin"},
        {"* http://a", "* beside"},
        {"http://a *", "* beside"},
        {"* *", "* beside"},
        {"app.example.com", "scheme"},
        {"null", "scheme"},
        {"://a", "scheme"},
        {"1http://a", "scheme"},
        {"http:/a", "scheme"},
        {"http://", "without a host"},
        {"http://:80", "without a host"},
        {"http://[]", "without a host"},
        {"http://[::1", "without a host"},
        {"http://a/", "no path"},
        {"http://a:81/x", "port is no number"},
        {"http://a/x", "no path"},
        {"http://a?x", "character"},
        {"http://*.a", "without a host"},
        {"http://a:", "between 1 and"},
        {"http://a:0", "between 1 and"},
        {"http://a:65536", "between 1 and"},
        {"http://a:000080", "port is no number"},
        {"http://a:80", "leave it out"},
        {"https://a:443", "leave it out"},
        {"HTTPS://a:443", "leave it out"},
        {"http://b https://a:x", "port is no number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *problem = weblist_origins_problem(ior_slice_str(cases[i].list));
        if (problem == NULL) fail_msg("taken: %s", cases[i].list);
        if (strstr(problem, cases[i].word) == NULL) fail_msg("%s: %s", cases[i].list, problem);
    }
    assert_null(
        weblist_origins_problem(IOR_SLICE("http://a:443 https://a:80 ftp://a_b.c-d:65535")));
}

/* What: header names are tokens; they are added one by one. */
static void header_names(void **state)
{
    (void)state;
    static const char *const bad[] = {"X:Y", "X/Y", "(x)", "x\"y", "a\x01", "caf\xc3\xa9", "a;b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_non_null(weblist_headers_problem(ior_slice_str(bad[i])));
    static const struct {
        const char *list;
        const char *added;
    } good[] = {{"", ""},
                {"  , ,", ""},
                {"X-A", ", X-A"},
                {"X-A,X-B  x_c\t!#$%&'*+.^`|~9", ", X-A, X-B, x_c, !#$%&'*+.^`|~9"}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct ior_buf out;
        ior_buf_init(&out);
        assert_null(weblist_headers_problem(ior_slice_str(good[i].list)));
        weblist_headers_add(&out, ior_slice_str(good[i].list));
        assert_true(ior_slice_eq(ior_buf_slice(&out), ior_slice_str(good[i].added)));
        ior_buf_done(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listed_origins_are_allowed),
        cmocka_unit_test(a_star_allows_all),
        cmocka_unit_test(bad_origins_are_explained),
        cmocka_unit_test(header_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

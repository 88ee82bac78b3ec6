/* test/unit/proto/test_forwarded.c - proto/http/forwarded.c: who is behind the proxies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "proto/http/forwarded.h"

static struct ior_address address(const char *text)
{
    struct ior_address a;
    assert_int_equal(ior_address_parse(ior_slice_str(text), &a), IOR_OK);
    return a;
}

/* Believed are 127.0.0.1 and 10.0.0.0/8; the peer is 127.0.0.1. lines: up to a NULL. */
static void expect(enum forwarded_header header, const char *const *lines, const char *wanted)
{
    struct ior_networks proxies;
    struct forwarded_hops hops;
    struct ior_address peer = address("127.0.0.1");
    struct ior_address want = address(wanted);
    assert_int_equal(ior_networks_parse(IOR_SLICE("127.0.0.1 10.0.0.0/8"), &proxies, NULL), IOR_OK);
    forwarded_init(&hops);
    for (size_t i = 0; lines[i] != NULL; i++) forwarded_add(&hops, header, ior_slice_str(lines[i]));
    struct ior_address got = forwarded_client(&proxies, &peer, &hops);
    if (!ior_address_eq(&got, &want)) fail_msg("%s: wanted %s", lines[0], wanted);
}

struct line_case {
    const char *value;
    const char *client;
};

static void expect_all(enum forwarded_header header, const struct line_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *const lines[] = {cases[i].value, NULL};
        expect(header, lines, cases[i].client);
    }
}

/* What: X-Forwarded-For is read from its end, past those who are believed and no further. */
static void x_forwarded_for(void **state)
{
    (void)state;
    static const struct line_case cases[] = {
        {"203.0.113.9", "203.0.113.9"},
        {"203.0.113.9, 10.0.0.5", "203.0.113.9"},
        {"203.0.113.9,10.0.0.5 ,\t10.0.0.6", "203.0.113.9"},
        /* What is in front of the client is his own invention. */
        {"1.1.1.1, 203.0.113.9", "203.0.113.9"},
        {"127.0.0.1, 203.0.113.9", "203.0.113.9"},
        {"10.0.0.7, 203.0.113.9, 10.0.0.5", "203.0.113.9"},
        {"nonsense, 203.0.113.9", "203.0.113.9"},
        {"\"1.1.1.1, 203.0.113.9", "203.0.113.9"},
        {"2001:db8::9", "2001:db8::9"},
        {"[2001:db8::9]", "2001:db8::9"},
        {"[2001:db8::9]:4711", "2001:db8::9"},
        {"203.0.113.9:4711", "203.0.113.9"},
        {"::ffff:203.0.113.9, ::ffff:10.0.0.5", "203.0.113.9"},
        /* All are believed: the first. */
        {"10.0.0.5, 10.0.0.6", "10.0.0.5"},
        {"127.0.0.1", "127.0.0.1"},
        /* No address: the last one that is known. */
        {"", "127.0.0.1"},
        {", ,", "127.0.0.1"},
        {"unknown", "127.0.0.1"},
        {"203.0.113.9, unknown", "127.0.0.1"},
        {"203.0.113.9, unknown, 10.0.0.5", "10.0.0.5"},
        {"203.0.113.9 10.0.0.5", "127.0.0.1"},
        {"203.0.113.9;", "127.0.0.1"},
        {"203.0.113.9:", "127.0.0.1"},
        {"203.0.113.9:65536", "127.0.0.1"},
        {"203.0.113.9:port", "127.0.0.1"},
        {"[203.0.113.9]", "127.0.0.1"},
        {"[2001:db8::9", "127.0.0.1"},
        {"[2001:db8::9]x", "127.0.0.1"},
        {"[2001:db8::9%eth0]", "127.0.0.1"},
        {"[]", "127.0.0.1"},
        {":80", "127.0.0.1"},
        {"for=203.0.113.9", "127.0.0.1"},
        {"http://203.0.113.9", "127.0.0.1"},
    };
    expect_all(FORWARDED_X_FORWARDED_FOR, cases, sizeof cases / sizeof cases[0]);
}

/* What: Forwarded as RFC 7239 has it; what is not that list is one hop that nobody knows. */
static void rfc7239(void **state)
{
    (void)state;
    static const struct line_case cases[] = {
        {"for=203.0.113.9", "203.0.113.9"},
        {"For=203.0.113.9;proto=http;by=10.0.0.5", "203.0.113.9"},
        {"by=10.0.0.5;FOR=\"203.0.113.9\"", "203.0.113.9"},
        {"for=\"203.0.113.9:4711\"", "203.0.113.9"},
        {"for=\"[2001:db8::9]\"", "2001:db8::9"},
        {"for=\"[2001:db8::9]:_obf\"", "2001:db8::9"},
        {"for=1.1.1.1, for=203.0.113.9;proto=https, for=10.0.0.5", "203.0.113.9"},
        {"for=1.1.1.1 , for=203.0.113.9 ; proto=https\t,\tfor=10.0.0.5", "203.0.113.9"},
        {"host=\"a,b;c\\\"d\";for=203.0.113.9", "203.0.113.9"},
        {"for=203.0.113.9;", "203.0.113.9"},
        {", for=203.0.113.9,,", "203.0.113.9"},
        {"for=10.0.0.5", "10.0.0.5"},
        {"", "127.0.0.1"},
        {"for=unknown", "127.0.0.1"},
        {"for=_hidden, for=10.0.0.5", "10.0.0.5"},
        {"for=203.0.113.9, by=10.0.0.5", "127.0.0.1"}, /* who asked the last one is not said */
        {"for=203.0.113.9;for=1.1.1.1", "127.0.0.1"},
        {"for=", "127.0.0.1"},
        {"for=\"\"", "127.0.0.1"},
        {"for", "127.0.0.1"},
        {"=203.0.113.9", "127.0.0.1"},
        {"for=203.0.113.9:80", "127.0.0.1"}, /* a colon wants quotes */
        {"for=[2001:db8::9]", "127.0.0.1"},
        {"for=203.0.113.9 x", "127.0.0.1"},
        {"203.0.113.9", "127.0.0.1"},
        {"for = 203.0.113.9", "127.0.0.1"},
        {"for=\"203.0.113.9\\", "127.0.0.1"},
        /* A quote that the client opened and a proxy's words behind it. */
        {"for=\"x, for=203.0.113.9", "127.0.0.1"},
        {"for=\"x, for=\"[2001:db8::9]\"", "127.0.0.1"},
        {"for=\"x\\\", for=203.0.113.9", "127.0.0.1"},
        {"for=1.1.1.1;by=\", for=\"203.0.113.9\";by=\"10.0.0.5\"", "127.0.0.1"},
    };
    expect_all(FORWARDED_RFC7239, cases, sizeof cases / sizeof cases[0]);
}

/* What: several lines are one list in their order; a spoilt line hides only what is in front of it.
 */
static void several_lines(void **state)
{
    (void)state;
    const char *const two[] = {"1.1.1.1", "203.0.113.9, 10.0.0.5", NULL};
    const char *const three[] = {"1.1.1.1", "203.0.113.9", "10.0.0.5", NULL};
    const char *const spoilt[] = {"for=\"x", "for=203.0.113.9", NULL};
    const char *const none[] = {NULL};
    expect(FORWARDED_X_FORWARDED_FOR, two, "203.0.113.9");
    expect(FORWARDED_X_FORWARDED_FOR, three, "203.0.113.9");
    expect(FORWARDED_RFC7239, spoilt, "203.0.113.9");
    expect(FORWARDED_X_FORWARDED_FOR, none, "127.0.0.1");
}

/* What: of a long list the end counts; with more believed hops than are looked at it ends there. */
static void long_lists(void **state)
{
    (void)state;
    static char text[200000];
    size_t n = 0;
    for (int i = 0; i < 10000; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "1.1.%d.%d,", i / 256, i % 256);
    snprintf(text + n, sizeof text - n, "203.0.113.9,10.0.0.5");
    const char *const client[] = {text, NULL};
    expect(FORWARDED_X_FORWARDED_FOR, client, "203.0.113.9");
    n = (size_t)snprintf(text, sizeof text, "203.0.113.9");
    for (int i = 1; i <= FORWARDED_HOPS_MAX; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, ",10.0.0.%d", i);
    expect(FORWARDED_X_FORWARDED_FOR, client, "10.0.0.1");
}

/* What: who is not believed is the client, whatever he sends. */
static void not_believed(void **state)
{
    (void)state;
    struct ior_networks proxies;
    struct forwarded_hops hops;
    struct ior_address peer = address("203.0.113.50");
    assert_int_equal(ior_networks_parse(IOR_SLICE("127.0.0.1"), &proxies, NULL), IOR_OK);
    forwarded_init(&hops);
    forwarded_add(&hops, FORWARDED_X_FORWARDED_FOR, IOR_SLICE("127.0.0.1"));
    struct ior_address got = forwarded_client(&proxies, &peer, &hops);
    assert_true(ior_address_eq(&got, &peer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x_forwarded_for), cmocka_unit_test(rfc7239),
        cmocka_unit_test(several_lines),   cmocka_unit_test(long_lists),
        cmocka_unit_test(not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/base/test_address.c - src/base/address.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/address.h"

static struct ior_address address(const char *text)
{
    struct ior_address a;
    assert_int_equal(ior_address_parse(ior_slice_str(text), &a), IOR_OK);
    return a;
}

/* What: IPv4 and IPv6 are read, and an IPv4 address is the same in both forms. */
static void both_forms(void **state)
{
    (void)state;
    struct ior_address a = address("192.0.2.1");
    const uint8_t wanted[16] = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 1};
    assert_memory_equal(a.bytes, wanted, sizeof wanted);
    struct ior_address b = address("::ffff:192.0.2.1");
    assert_true(ior_address_eq(&a, &b));
    b = address("::FFFF:c000:201");
    assert_true(ior_address_eq(&a, &b) && ior_address_is_v4(&b));
    b = address("2001:db8::1");
    assert_false(ior_address_is_v4(&b));
    assert_int_equal(b.bytes[0], 0x20);
    assert_int_equal(b.bytes[15], 1);
    b = address("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255"); /* the longest */
    assert_int_equal(b.bytes[15], 255);
}

/* What: whatever is not exactly one address is refused, and nothing is written. */
static void nothing_else(void **state)
{
    (void)state;
    static const struct ior_slice bad[] = {
        IOR_SLICE(""),
        IOR_SLICE(" 1.2.3.4"),
        IOR_SLICE("1.2.3.4 "),
        IOR_SLICE("1.2.3"),
        IOR_SLICE("1.2.3.4.5"),
        IOR_SLICE("1.2.3.256"),
        IOR_SLICE("01.2.3.4"),
        IOR_SLICE("1.2.3.4:5"),
        IOR_SLICE("[::1]"),
        IOR_SLICE("::1%lo"),
        IOR_SLICE("1::2::3"),
        IOR_SLICE("12345::"),
        IOR_SLICE("localhost"),
        IOR_SLICE("1.2.3.4\0"),
        IOR_SLICE("1.2.\0003.4"),
        IOR_SLICE("0x7f.0.0.1"),
        IOR_SLICE("2130706433"),
        IOR_SLICE("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct ior_address a = {{[3] = 7}};
        if (ior_address_parse(bad[i], &a) == IOR_OK)
            fail_msg("%.*s", (int)bad[i].size_bytes, bad[i].data);
        assert_int_equal(a.bytes[3], 7);
    }
    struct ior_address a;
    assert_int_equal(ior_address_parse((struct ior_slice){NULL, 0}, &a), IOR_E_INVAL);
}

/* What: an address is written as people write it, and reads back. */
static void texts(void **state)
{
    (void)state;
    static const char *const shown[] = {"192.0.2.1",
                                        "0.0.0.0",
                                        "255.255.255.255",
                                        "::",
                                        "::1",
                                        "2001:db8::1",
                                        "2001:db8:1111:2222:3333:4444:5555:6666"};
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
        char text[ADDRESS_TEXT_BYTES];
        struct ior_address a = address(shown[i]);
        ior_address_text(&a, text);
        assert_string_equal(text, shown[i]);
    }
    char text[ADDRESS_TEXT_BYTES];
    struct ior_address a = address("::ffff:10.1.2.3");
    ior_address_text(&a, text);
    assert_string_equal(text, "10.1.2.3");
}

/* What: loopback is 127.0.0.0/8 and ::1, and nothing beside it. */
static void loopback(void **state)
{
    (void)state;
    static const char *const yes[] = {"127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"};
    static const char *const no[] = {"126.0.0.1", "128.0.0.1", "::", "::2", "1::1", "::127.0.0.1"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        struct ior_address a = address(yes[i]);
        assert_true(ior_address_is_loopback(&a));
    }
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        struct ior_address a = address(no[i]);
        assert_false(ior_address_is_loopback(&a));
    }
}

static bool same_client(const char *a, const char *b)
{
    struct ior_address x = address(a);
    struct ior_address y = address(b);
    return ior_slice_eq(ior_address_client(&x), ior_address_client(&y));
}

/* What: one client is an IPv4 address, or 64 bits of IPv6. */
static void clients(void **state)
{
    (void)state;
    assert_true(same_client("10.0.0.1", "::ffff:10.0.0.1"));
    assert_false(same_client("10.0.0.1", "10.0.0.2"));
    assert_true(same_client("2001:db8:1:2::1", "2001:db8:1:2:ffff::"));
    assert_false(same_client("2001:db8:1:2::1", "2001:db8:1:3::1"));
    assert_false(same_client("::1", "0.0.0.1"));
}

static bool have(const char *networks, const char *text)
{
    struct ior_networks n;
    const char *problem = NULL;
    struct ior_address a = address(text);
    if (ior_networks_parse(ior_slice_str(networks), &n, &problem) != IOR_OK)
        fail_msg("%s: %s", networks, problem);
    return ior_networks_have(&n, &a);
}

/* What: addresses, networks of every length, and lists of them. */
static void networks(void **state)
{
    (void)state;
    assert_false(have("", "10.0.0.1"));
    assert_false(have(" ,\t, ", "10.0.0.1"));
    assert_true(have("10.0.0.1", "10.0.0.1"));
    assert_false(have("10.0.0.1", "10.0.0.2"));
    assert_true(have("10.0.0.0/8", "10.255.3.4"));
    assert_false(have("10.0.0.0/8", "11.0.0.0"));
    assert_true(have("192.168.4.0/22", "192.168.7.255"));
    assert_false(have("192.168.4.0/22", "192.168.8.0"));
    assert_true(have("0.0.0.0/0", "255.1.2.3"));
    assert_false(have("0.0.0.0/0", "2001:db8::1"));
    assert_true(have("::/0", "10.0.0.1")); /* everything */
    assert_true(have("::ffff:10.0.0.0/104", "10.9.9.9"));
    assert_true(have("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(have("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(have("10.0.0.1/32", "10.0.0.1"));
    assert_true(have("::1/128", "::1"));
    assert_true(have("127.0.0.1,10.0.0.0/8\t::1 , 2001:db8::/32", "::1"));
    assert_true(have("127.0.0.1,10.0.0.0/8\t::1 , 2001:db8::/32", "2001:db8::5"));
    for (unsigned bits = 0; bits <= 128; bits++) { /* the first bit that counts no more */
        struct ior_networks n = {.count = 1};
        n.items[0].bits = bits;
        struct ior_address a = {{0}};
        assert_true(ior_networks_have(&n, &a));
        if (bits == 128) continue;
        a.bytes[bits / 8] = (uint8_t)(0x80 >> bits % 8);
        assert_true(ior_networks_have(&n, &a));
        n.items[0].bits = bits + 1;
        assert_false(ior_networks_have(&n, &a));
    }
}

/* What: a list that cannot be is refused with a few words, and nothing is written. */
static void bad_networks(void **state)
{
    (void)state;
    static const struct {
        const char *text, *problem;
    } bad[] = {
        {"example.org", "not an address, nor a network"},
        {"10.0.0.1;10.0.0.2", "not an address, nor a network"},
        {"10.0.0.0/", "not a number of bits behind the /"},
        {"10.0.0.0/33", "not a number of bits behind the /"},
        {"10.0.0.0/-1", "not a number of bits behind the /"},
        {"10.0.0.0/0008", "not a number of bits behind the /"},
        {"10.0.0.0/8/8", "not a number of bits behind the /"},
        {"::/129", "not a number of bits behind the /"},
        {"10.0.0.1/8", "the address of a network has bits behind its prefix"},
        {"2001:db8::1/64", "the address of a network has bits behind its prefix"},
        {"127.0.0.1, nonsense", "not an address, nor a network"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct ior_networks n = {.count = 77};
        const char *problem = NULL;
        assert_int_equal(ior_networks_parse(ior_slice_str(bad[i].text), &n, &problem), IOR_E_INVAL);
        assert_string_equal(problem, bad[i].problem);
        assert_int_equal(n.count, 77);
        assert_int_equal(ior_networks_parse(ior_slice_str(bad[i].text), &n, NULL), IOR_E_INVAL);
    }
    char many[(NETWORKS_MAX + 1) * 4 + 1];
    struct ior_networks n;
    for (size_t i = 0; i <= NETWORKS_MAX; i++) memcpy(many + 4 * i, "::1 ", 4);
    many[sizeof many - 1] = 0;
    struct ior_slice all = ior_slice(many, (size_t)NETWORKS_MAX * 4);
    assert_int_equal(ior_networks_parse(all, &n, NULL), IOR_OK);
    assert_int_equal(n.count, NETWORKS_MAX);
    const char *problem = NULL;
    assert_int_equal(ior_networks_parse(ior_slice_str(many), &n, &problem), IOR_E_INVAL);
    assert_string_equal(problem, "too many addresses");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms),   cmocka_unit_test(texts),   cmocka_unit_test(nothing_else),
        cmocka_unit_test(loopback),     cmocka_unit_test(clients), cmocka_unit_test(networks),
        cmocka_unit_test(bad_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/proto/test_addresses.c - connections of one address: what counts as one, the limit, and
 * that nothing stays when all are gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "proto/http/addresses.h"

static bool key_of(const char *text, struct address_key *ret)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    const struct sockaddr *any = (const struct sockaddr *)(const void *)&v4;
    if (inet_pton(AF_INET, text, &v4.sin_addr) != 1) {
        assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
        any = (const struct sockaddr *)(const void *)&v6;
    }
    return address_key_of(any, ret);
}

static bool same(const char *a, const char *b)
{
    struct address_key ka;
    struct address_key kb;
    assert_true(key_of(a, &ka));
    assert_true(key_of(b, &kb));
    return memcmp(&ka, &kb, sizeof ka) == 0;
}

/* What: an IPv4 address is one however it is written; of IPv6 a /64 is one; loopback is none. */
static void what_is_one_address(void **state)
{
    (void)state;
    struct address_key key;
    assert_true(same("192.0.2.1", "::ffff:192.0.2.1"));
    assert_false(same("192.0.2.1", "192.0.2.2"));
    assert_true(same("2001:db8:1:2::3", "2001:db8:1:2:ffff::4"));
    assert_false(same("2001:db8:1:2::3", "2001:db8:1:3::3"));
    assert_false(same("::192.0.2.1", "192.0.2.1"));
    assert_false(key_of("127.0.0.1", &key));
    assert_false(key_of("127.9.9.9", &key));
    assert_false(key_of("::1", &key));
    assert_false(key_of("::ffff:127.0.0.1", &key));
    struct sockaddr local = {.sa_family = AF_UNIX};
    assert_false(address_key_of(&local, &key));
}

/* What: so many and not one more, for each address; one that leaves makes room. */
static void the_limit_holds(void **state)
{
    (void)state;
    struct addresses *a = NULL;
    struct address_key one;
    struct address_key other;
    assert_int_equal(addresses_new(3, &a), IOR_OK);
    key_of("192.0.2.1", &one);
    key_of("192.0.2.2", &other);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3; i++) assert_true(addresses_enter(a, &one));
        assert_false(addresses_enter(a, &one));
        assert_true(addresses_enter(a, &other));
        addresses_leave(a, &one);
        assert_true(addresses_enter(a, &one));
        assert_false(addresses_enter(a, &one));
        for (int i = 0; i < 3; i++) addresses_leave(a, &one);
        addresses_leave(a, &other);
    }
    addresses_free(a);
    addresses_free(NULL);
}

static void *come_and_go(void *arg)
{
    struct addresses *a = arg;
    struct address_key key;
    for (int i = 0; i < 20000; i++) {
        char text[32];
        snprintf(text, sizeof text, "198.51.100.%d", i % 50);
        key_of(text, &key);
        if (addresses_enter(a, &key)) addresses_leave(a, &key);
    }
    return NULL;
}

/* What: many threads at once. */
static void threads(void **state)
{
    (void)state;
    struct addresses *a = NULL;
    struct address_key key;
    pthread_t all[4];
    assert_int_equal(addresses_new(1, &a), IOR_OK);
    for (int i = 0; i < 4; i++) pthread_create(&all[i], NULL, come_and_go, a);
    for (int i = 0; i < 4; i++) pthread_join(all[i], NULL);
    key_of("198.51.100.7", &key);
    assert_true(addresses_enter(a, &key)); /* nobody is left */
    assert_false(addresses_enter(a, &key));
    addresses_free(a); /* and whoever is in goes with it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_one_address),
        cmocka_unit_test(the_limit_holds),
        cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

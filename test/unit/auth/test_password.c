/* test/unit/auth/test_password.c - src/auth/password.c. A hash costs about 40 ms, so few are made.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <time.h>

#include "auth/password.h"
#include "base/limits.h"

static double seconds_of(const char *hash, struct ior_slice password, bool expected)
{
    struct timespec a;
    struct timespec b;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
    assert_int_equal(password_verify(hash, password), expected);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
    return (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
}

/* What: the right password is accepted, every near miss is not, and the hash is
 *       argon2id with the cost that password.h promises. */
static void hash_and_verify(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_BYTES];
    assert_int_equal(password_hash(IOR_SLICE("sesame"), hash), IOR_OK);
    assert_memory_equal(hash, "$argon2id$v=19$m=19456,t=2,p=1$", 31);
    assert_true(password_hash_ok(hash));
    assert_true(password_verify(hash, IOR_SLICE("sesame")));
    assert_false(password_verify(hash, IOR_SLICE("Sesame")));
    assert_false(password_verify(hash, IOR_SLICE("sesam")));
    assert_false(password_verify(hash, IOR_SLICE("sesame ")));
    assert_false(password_verify(hash, IOR_SLICE("sesame\0")));
}

/* What: two hashes of one password differ (each has its own salt) and both verify. */
static void salted(void **state)
{
    (void)state;
    char a[PASSWORD_HASH_BYTES];
    char b[PASSWORD_HASH_BYTES];
    assert_int_equal(password_hash(IOR_SLICE("sesame"), a), IOR_OK);
    assert_int_equal(password_hash(IOR_SLICE("sesame"), b), IOR_OK);
    assert_string_not_equal(a, b);
    assert_true(password_verify(a, IOR_SLICE("sesame")));
    assert_true(password_verify(b, IOR_SLICE("sesame")));
}

/* What: a password is bytes: a NUL inside counts, and what follows it too. */
static void nul_counts(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_BYTES];
    assert_int_equal(password_hash(IOR_SLICE("a\0b"), hash), IOR_OK);
    assert_true(password_verify(hash, IOR_SLICE("a\0b")));
    assert_false(password_verify(hash, IOR_SLICE("a\0c")));
    assert_false(password_verify(hash, IOR_SLICE("a")));
}

/* What: an empty password and one above PASSWORD_BYTES_MAX are never hashed and never right;
 *       one of exactly that length is. */
static void length_bounds(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_BYTES];
    uint8_t *longest = malloc(PASSWORD_BYTES_MAX + 1);
    assert_non_null(longest);
    memset(longest, 'p', PASSWORD_BYTES_MAX + 1);
    assert_int_equal(password_hash(IOR_SLICE(""), hash), IOR_E_INVAL);
    assert_int_equal(password_hash(ior_slice(longest, PASSWORD_BYTES_MAX + 1), hash), IOR_E_INVAL);
    assert_int_equal(password_hash(ior_slice(longest, PASSWORD_BYTES_MAX), hash), IOR_OK);
    assert_true(password_verify(hash, ior_slice(longest, PASSWORD_BYTES_MAX)));
    assert_false(password_verify(hash, ior_slice(longest, PASSWORD_BYTES_MAX + 1)));
    assert_false(password_verify(hash, IOR_SLICE("")));
    assert_false(password_verify(hash, ior_slice(NULL, 0)));
    free(longest);
}

/* What: without a user nobody gets in, not even with the words that the dummy
 *       check uses, and it costs what a real check costs: at least half of it. */
static void no_user_same_work(void **state)
{
    (void)state;
    char hash[PASSWORD_HASH_BYTES];
    assert_int_equal(password_hash(IOR_SLICE("sesame"), hash), IOR_OK);
    assert_false(password_verify(NULL, IOR_SLICE("any password will do")));
    double real = 1e9;
    double none = 1e9;
    double too_long = 1e9;
    uint8_t *longer = calloc(1, PASSWORD_BYTES_MAX + 1);
    assert_non_null(longer);
    for (int i = 0; i < 3; i++) { /* the quickest of three: other processes only add */
        double s = seconds_of(hash, IOR_SLICE("wrong"), false);
        real = s < real ? s : real;
        s = seconds_of(NULL, IOR_SLICE("wrong"), false);
        none = s < none ? s : none;
        s = seconds_of(hash, ior_slice(longer, PASSWORD_BYTES_MAX + 1), false);
        too_long = s < too_long ? s : too_long;
    }
    free(longer);
    assert_true(none > real / 2 && none < real * 2);
    assert_true(too_long > real / 2 && too_long < real * 2);
}

/* What: a damaged or foreign hash lets nobody in and is recognised as none. */
static void bad_hashes(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "secret",
        "$argon2id$",
        "$argon2id$v=19$m=19456,t=2,p=1$",
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$",
        "$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaA",
        "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaA!",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(password_hash_ok(bad[i]));
        assert_false(password_verify(bad[i], IOR_SLICE("secret")));
        assert_false(password_verify(bad[i], IOR_SLICE("")));
    }
    char endless[PASSWORD_HASH_BYTES * 2];
    memset(endless, 'A', sizeof endless - 1);
    memcpy(endless, "$argon2id$", 10);
    endless[sizeof endless - 1] = 0;
    assert_false(password_hash_ok(endless));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_and_verify),   cmocka_unit_test(salted),
        cmocka_unit_test(nul_counts),        cmocka_unit_test(length_bounds),
        cmocka_unit_test(no_user_same_work), cmocka_unit_test(bad_hashes),
    };
    if (password_init() != IOR_OK || password_init() != IOR_OK) return 1;
    return cmocka_run_group_tests_name("auth/password", tests, NULL, NULL);
}

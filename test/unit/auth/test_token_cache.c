/* test/unit/auth/test_token_cache.c - src/auth/token_cache.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "auth/token.h"
#include "facts.h"
#include "jwt_by_hand.h"

#define NOW 1700000000ull

static struct token_key key_of(const char *secret)
{
    struct token_key k;
    assert_int_equal(token_key_init(&k, "hs256", ior_slice_str(secret), NULL), IOR_OK);
    return k;
}

/* A token for user u<n>. */
static void make(const struct token_key *k, unsigned n, uint64_t lifetime_s, struct ior_buf *out)
{
    char name[16];
    int len = snprintf(name, sizeof name, "u%u", n);
    ior_buf_clear(out);
    assert_int_equal(token_make(k, ior_slice(name, (size_t)len), n, NOW, lifetime_s, out), IOR_OK);
}

static enum ior_err ask(struct token_cache *c, const struct token_key *k, const struct ior_buf *t,
                        uint64_t now_s, struct token_claims *claims)
{
    memset(claims, 0, sizeof *claims);
    return token_cache_verify(c, k, ior_buf_slice(t), now_s, claims);
}

/* What: the second look-up is answered without the signature (a key spoilt in place is
 *       not noticed), with the same claims; token_cache_clear ends that. */
static void remembers(void **state)
{
    (void)state;
    struct token_cache *c = NULL;
    struct token_key k = key_of("0123456789abcdef");
    struct ior_buf t = {0};
    struct token_claims claims;
    assert_int_equal(token_cache_new(&c), IOR_OK);
    make(&k, 5, 60, &t);
    assert_int_equal(ask(c, &k, &t, NOW, &claims), IOR_OK);
    k.secret[0] ^= 1;
    assert_int_equal(ask(c, &k, &t, NOW, &claims), IOR_OK);
    assert_string_equal(claims.user, "u5");
    assert_int_equal(claims.expires_s, NOW + 60);
    assert_int_equal(claims.credential, 5);
    assert_true(claims.has_credential);
    token_cache_clear(c);
    assert_int_equal(ask(c, &k, &t, NOW, &claims), IOR_E_NOPERM);
    token_cache_free(c);
    token_cache_free(NULL);
    ior_buf_done(&t);
}

/* What: a remembered token expires in its second, and stays expired if the clock is set back. */
static void expires(void **state)
{
    (void)state;
    struct token_cache *c = NULL;
    struct token_key k = key_of("0123456789abcdef");
    struct ior_buf t = {0};
    struct token_claims claims;
    assert_int_equal(token_cache_new(&c), IOR_OK);
    make(&k, 1, 60, &t);
    assert_int_equal(ask(c, &k, &t, NOW, &claims), IOR_OK);
    assert_int_equal(ask(c, &k, &t, NOW + 59, &claims), IOR_OK);
    k.secret[0] ^= 1; /* from here on only the cache could say yes */
    assert_int_equal(ask(c, &k, &t, NOW + 60, &claims), IOR_E_NOPERM);
    assert_int_equal(ask(c, &k, &t, NOW, &claims), IOR_E_NOPERM);
    token_cache_free(c);
    ior_buf_done(&t);
}

/* What: what one key has signed is not good for another key. */
static void keys_apart(void **state)
{
    (void)state;
    struct token_cache *c = NULL;
    struct token_key a = key_of("0123456789abcdef");
    struct token_key b = key_of("fedcba9876543210");
    struct ior_buf t = {0};
    struct token_claims claims;
    assert_int_equal(token_cache_new(&c), IOR_OK);
    make(&a, 1, 60, &t);
    assert_int_equal(ask(c, &a, &t, NOW, &claims), IOR_OK);
    assert_int_equal(ask(c, &b, &t, NOW, &claims), IOR_E_NOPERM);
    assert_int_equal(ask(c, &a, &t, NOW, &claims), IOR_OK);
    token_cache_free(c);
    ior_buf_done(&t);
}

/* What: bad tokens are refused every time, near misses of remembered ones too, and
 *       an empty or oversized one is not even hashed. */
static void bad_tokens(void **state)
{
    (void)state;
    struct token_cache *c = NULL;
    struct token_key k = key_of("0123456789abcdef");
    struct ior_buf t = {0};
    struct token_claims claims;
    assert_int_equal(token_cache_new(&c), IOR_OK);
    make(&k, 1, 60, &t);
    assert_int_equal(ask(c, &k, &t, NOW, &claims), IOR_OK);
    for (size_t i = 0; i < t.size_bytes; i++) {
        t.data[i] ^= 1;
        assert_int_equal(ask(c, &k, &t, NOW, &claims), IOR_E_NOPERM);
        assert_int_equal(ask(c, &k, &t, NOW, &claims), IOR_E_NOPERM);
        t.data[i] ^= 1;
    }
    assert_int_equal(ask(c, &k, &t, NOW, &claims), IOR_OK);
    assert_int_equal(token_cache_verify(c, &k, ior_slice(NULL, 0), NOW, &claims), IOR_E_NOPERM);
    static uint8_t large[TOKEN_BYTES_MAX + 1];
    assert_int_equal(token_cache_verify(c, &k, ior_slice(large, sizeof large), NOW, &claims),
                     IOR_E_NOPERM);
    token_cache_free(c);
    ior_buf_done(&t);
}

/* What: four times more tokens than slots all keep working, each with its own claims;
 *       the newest are remembered, and no more than TOKEN_CACHE_SLOTS. */
static void bounded(void **state)
{
    (void)state;
    static struct ior_buf made[4 * TOKEN_CACHE_SLOTS];
    struct token_cache *c = NULL;
    struct token_key k = key_of("0123456789abcdef");
    struct token_claims claims;
    char name[16];
    assert_int_equal(token_cache_new(&c), IOR_OK);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 4 * TOKEN_CACHE_SLOTS; i++) {
            if (round == 0) make(&k, i, 60, &made[i]);
            assert_int_equal(ask(c, &k, &made[i], NOW, &claims), IOR_OK);
            snprintf(name, sizeof name, "u%u", i);
            assert_string_equal(claims.user, name);
        }
    }
    k.secret[0] ^= 1; /* now only what is remembered is accepted */
    size_t kept = 0;
    size_t kept_old = 0;
    for (unsigned i = 4 * TOKEN_CACHE_SLOTS; i-- > 0;) {
        bool is_kept = ask(c, &k, &made[i], NOW, &claims) == IOR_OK;
        kept += is_kept;
        if (i < 2 * TOKEN_CACHE_SLOTS) kept_old += is_kept;
        if (i == 4 * TOKEN_CACHE_SLOTS - 1) assert_true(is_kept);
    }
    assert_in_range(kept, TOKEN_CACHE_SLOTS / 2, TOKEN_CACHE_SLOTS);
    assert_in_range(kept_old, 0, kept / 4); /* the oldest went first */
    token_cache_free(c);
    for (unsigned i = 0; i < 4 * TOKEN_CACHE_SLOTS; i++) ior_buf_done(&made[i]);
}

static struct policy *policy_with(const char *key, const char *value)
{
    struct facts f = {0};
    if (key != NULL) facts_add(&f, key, value);
    return facts_policy(&f);
}

/* What: the user is looked up in the policy that is asked about, whatever was remembered for
 *       another one: gone users, new credentials and users that come back all count at once. */
static void user_of_this_policy(void **state)
{
    (void)state;
    struct token_cache *c = NULL;
    struct token_key k = key_of("0123456789abcdef");
    struct ior_buf t = {0};
    struct token_holder h;
    assert_int_equal(token_cache_new(&c), IOR_OK);
    make(&k, 7, 100, &t); /* user u7, credential 7 */
    struct policy *with = policy_with("user|u7", FACTS_USER("[]"));
    struct policy *with_again = policy_with("user|U7", FACTS_USER("[]"));
    struct policy *without = policy_with(NULL, NULL);
    struct policy *changed =
        policy_with("user|u7", "{\"password\":\"" FACTS_HASH "\",\"credential\":8,\"groups\":[]}");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(token_cache_user(c, &k, ior_buf_slice(&t), NOW, with, NULL, &h), IOR_OK);
        assert_ptr_equal(h.user, policy_user(with, IOR_SLICE("u7")));
        assert_int_equal(token_cache_user(c, &k, ior_buf_slice(&t), NOW, without, NULL, &h),
                         IOR_E_NOPERM);
        assert_int_equal(token_cache_user(c, &k, ior_buf_slice(&t), NOW, changed, NULL, &h),
                         IOR_E_NOPERM);
        assert_int_equal(token_cache_user(c, &k, ior_buf_slice(&t), NOW, with_again, NULL, &h),
                         IOR_OK);
        assert_ptr_equal(h.user, policy_user(with_again, IOR_SLICE("u7")));
    }
    assert_int_equal(token_cache_user(c, &k, ior_buf_slice(&t), NOW + 100, with, NULL, &h),
                     IOR_E_NOPERM);
    policy_unref(with);
    policy_unref(with_again);
    policy_unref(without);
    policy_unref(changed);
    token_cache_free(c);
    ior_buf_done(&t);
}

#define CHANGED(since)                                                                             \
    "{\"password\":\"" FACTS_HASH "\",\"credential\":8,\"groups\":[],\"since\":" since "}"

static enum ior_err ask_holder(struct token_cache *c, const struct token_key *k,
                               const struct ior_buf *t, const struct policy *p)
{
    struct token_holder h;
    return token_cache_user(c, k, ior_buf_slice(t), NOW, p, NULL, &h);
}

/* What: a token without a number is good until the password changes; after that only if it was
 * made later than the second of the change. */
static void without_a_number(void **state)
{
    (void)state;
    static const struct {
        const char *payload;
        bool before, after;
    } cases[] = {
        {"{\"u\":\"u7\",\"exp\":1700000100}", true, false},
        {"{\"u\":\"u7\",\"exp\":1700000100,\"iat\":1699999999}", true, false},
        {"{\"u\":\"u7\",\"exp\":1700000100,\"iat\":1700000000}", true, false},
        {"{\"u\":\"u7\",\"exp\":1700000100,\"iat\":1700000000.9}", true, false},
        {"{\"u\":\"u7\",\"exp\":1700000100,\"iat\":1700000001}", true, true},
        {"{\"u\":\"u7\",\"exp\":1700000100,\"iat\":\"1700000001\"}", true, false},
        {"{\"u\":\"u7\",\"exp\":1700000100,\"iat\":1700000001,\"v\":7}", true, false},
        {"{\"u\":\"u7\",\"exp\":1700000100,\"v\":8}", false, true},
    };
    struct token_cache *c = NULL;
    struct token_key k = key_of("0123456789abcdef");
    struct policy *before = policy_with("user|u7", FACTS_USER("[]"));
    struct policy *after = policy_with("user|u7", CHANGED("1700000000"));
    assert_int_equal(token_cache_new(&c), IOR_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text =
            by_hand_token("SHA256", IOR_SLICE("0123456789abcdef"), IOR_SLICE("{\"alg\":\"HS256\"}"),
                          ior_slice_str(cases[i].payload));
        struct ior_buf t = {0};
        ior_buf_add_str(&t, text);
        for (int round = 0; round < 2; round++) {
            if ((ask_holder(c, &k, &t, before) == IOR_OK) != cases[i].before ||
                (ask_holder(c, &k, &t, after) == IOR_OK) != cases[i].after)
                fail_msg("%s", cases[i].payload);
        }
        free(text);
        ior_buf_done(&t);
    }
    policy_unref(before);
    policy_unref(after);
    token_cache_free(c);
}

/* What: a token that is among the revoked ones is refused from the next question on, however it
 * was remembered; no other token of the same user is. */
static void revoked_tokens(void **state)
{
    (void)state;
    struct token_cache *c = NULL;
    struct token_key k = key_of("0123456789abcdef");
    struct ior_buf t = {0};
    struct ior_buf other = {0};
    struct token_holder h;
    struct revoked *none = NULL;
    struct revoked *one = NULL;
    struct policy *p = policy_with("user|U7", FACTS_USER("[]"));
    assert_int_equal(token_cache_new(&c), IOR_OK);
    make(&k, 7, 100, &t);
    make(&k, 7, 100, &other);
    struct revoked_token r = {.user = IOR_SLICE("u7"), .until_s = NOW + 100};
    token_id(ior_buf_slice(&t), r.id);
    assert_int_equal(revoked_new(NULL, &none), IOR_OK);
    assert_int_equal(revoked_new(none, &one), IOR_OK);
    assert_int_equal(revoked_set(one, &r, false), IOR_OK);
    for (int i = 0; i < 3; i++) {
        struct ior_slice a = ior_buf_slice(&t);
        struct ior_slice b = ior_buf_slice(&other);
        assert_int_equal(token_cache_user(c, &k, a, NOW, p, none, &h), IOR_OK);
        assert_int_equal(h.expires_s, NOW + 100);
        assert_int_equal(token_cache_user(c, &k, a, NOW, p, one, &h), IOR_E_NOPERM);
        assert_int_equal(token_cache_user(c, &k, b, NOW, p, one, &h), IOR_OK);
        assert_int_equal(token_cache_user(c, &k, a, NOW, p, one, &h), IOR_E_NOPERM);
        assert_int_equal(token_cache_user(c, &k, a, NOW, p, NULL, &h), IOR_OK);
    }
    revoked_unref(none);
    revoked_unref(one);
    policy_unref(p);
    token_cache_free(c);
    ior_buf_done(&t);
    ior_buf_done(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(remembers),        cmocka_unit_test(expires),
        cmocka_unit_test(keys_apart),       cmocka_unit_test(bad_tokens),
        cmocka_unit_test(bounded),          cmocka_unit_test(user_of_this_policy),
        cmocka_unit_test(without_a_number), cmocka_unit_test(revoked_tokens),
    };
    return cmocka_run_group_tests_name("auth/token_cache", tests, NULL, NULL);
}

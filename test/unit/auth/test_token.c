/* test/unit/auth/test_token.c - src/auth/token.c, against tokens made by hand (jwt_by_hand.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <sodium.h>

#include "auth/token.h"
#include "jwt_by_hand.h"

#define NOW 1700000000ull
#define SECRET "0123456789abcdef0123456789abcdef"

static const struct {
    const char *config_name;
    const char *header;
    const char *digest;
} algs[] = {
    {"hs256", "{\"alg\":\"HS256\",\"typ\":\"JWT\"}", "SHA256"},
    {"hs384", "{\"alg\":\"HS384\",\"typ\":\"JWT\"}", "SHA384"},
    {"hs512", "{\"alg\":\"HS512\",\"typ\":\"JWT\"}", "SHA512"},
};
#define HS512 (&algs[2])

static struct token_key key_of(const char *alg, struct ior_slice secret)
{
    struct token_key k;
    assert_int_equal(token_key_init(&k, alg, secret, NULL), IOR_OK);
    return k;
}

/* The answer for exactly these bytes, in a block of exactly this size, so that ASan
 * sees a read past the end. What is refused must leave *c alone. */
static enum ior_err ask(const struct token_key *k, const void *token, size_t size_bytes,
                        struct token_claims *c)
{
    struct token_claims before;
    memset(&before, 0x5a, sizeof before);
    *c = before;
    uint8_t *copy = malloc(size_bytes + (size_bytes == 0));
    assert_non_null(copy);
    memcpy(copy, token, size_bytes);
    enum ior_err err = token_verify(k, ior_slice(copy, size_bytes), NOW, c);
    free(copy);
    if (err != IOR_OK) {
        assert_int_equal(err, IOR_E_NOPERM);
        assert_memory_equal(c, &before, sizeof before);
    }
    return err;
}

/* The answer for a header and a payload that the right key has signed for HS512. */
static enum ior_err ask_signed(const char *header, const char *payload, struct token_claims *c)
{
    struct token_key k = key_of("hs512", IOR_SLICE(SECRET));
    char *token =
        by_hand_token("SHA512", IOR_SLICE(SECRET), ior_slice_str(header), ior_slice_str(payload));
    enum ior_err err = ask(&k, token, strlen(token), c);
    free(token);
    return err;
}

static void good(const char *header, const char *payload)
{
    struct token_claims c;
    if (ask_signed(header, payload, &c) != IOR_OK) fail_msg("refused: %s %s", header, payload);
    assert_string_equal(c.user, "bob");
}

static void bad(const char *header, const char *payload)
{
    struct token_claims c;
    if (ask_signed(header, payload, &c) == IOR_OK) fail_msg("accepted: %s %s", header, payload);
}

/* What: what token_make makes, token_verify accepts until the second it expires, for
 *       each algorithm, with name, expiry and credential as they went in. */
static void make_and_verify(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct token_key k = key_of(algs[i].config_name, IOR_SLICE(SECRET));
        struct ior_buf out;
        ior_buf_init(&out);
        assert_int_equal(token_make(&k, IOR_SLICE("J\xc3\xbcrgen"), 41, NOW, 60, &out), IOR_OK);
        struct ior_slice token = ior_buf_slice(&out);
        struct token_claims c;
        assert_int_equal(token_verify(&k, token, NOW, &c), IOR_OK);
        assert_string_equal(c.user, "J\xc3\xbcrgen");
        assert_int_equal(c.expires_s, NOW + 60);
        assert_true(c.has_credential);
        assert_int_equal(c.credential, 41);
        assert_int_equal(token_verify(&k, token, NOW + 59, &c), IOR_OK);
        assert_int_equal(token_verify(&k, token, NOW + 60, &c), IOR_E_NOPERM);
        ior_buf_done(&out);
    }
}

/* What: a token of ours, taken apart by other means, is three parts of base64url with
 *       the configured alg, exactly the claims u iat exp v, and a MAC that OpenSSL agrees with. */
static void made_as_promised(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct token_key k = key_of(algs[i].config_name, IOR_SLICE(SECRET));
        struct ior_buf out;
        ior_buf_init(&out);
        ior_buf_add_str(&out, "before "); /* it appends */
        assert_int_equal(token_make(&k, IOR_SLICE("bob"), 3, NOW, 60, &out), IOR_OK);
        ior_buf_add_char(&out, 0);
        assert_memory_equal(out.data, "before ", 7);
        char *token = (char *)out.data + 7;
        char *dot = strchr(token, '.');
        char *dot2 = strrchr(token, '.');
        assert_true(dot != NULL && dot2 > dot);
        uint8_t mac[64];
        char text[128];
        size_t mac_bytes = by_hand_hmac(algs[i].digest, IOR_SLICE(SECRET),
                                        ior_slice(token, (size_t)(dot2 - token)), mac);
        by_hand_base64url(mac, mac_bytes, text);
        assert_string_equal(dot2 + 1, text);

        unsigned char part[512];
        size_t n = 0;
        const int variant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;
        assert_int_equal(sodium_base642bin(part, sizeof part, token, (size_t)(dot - token), NULL,
                                           &n, NULL, variant),
                         0);
        json_t *header = json_loadb((char *)part, n, 0, NULL);
        json_t *wanted = json_loads(algs[i].header, 0, NULL);
        json_t *id = json_object_get(header, "jti");
        assert_true(json_is_string(id) && json_string_length(id) == 11);
        assert_int_equal(json_object_del(header, "jti"), 0);
        assert_true(json_equal(header, wanted));
        json_decref(header);
        json_decref(wanted);
        assert_int_equal(sodium_base642bin(part, sizeof part, dot + 1, (size_t)(dot2 - dot - 1),
                                           NULL, &n, NULL, variant),
                         0);
        json_t *payload = json_loadb((char *)part, n, 0, NULL);
        wanted = json_pack("{s:s s:I s:I s:i}", "u", "bob", "iat", (json_int_t)NOW, "exp",
                           (json_int_t)(NOW + 60), "v", 3);
        assert_true(json_equal(payload, wanted));
        json_decref(payload);
        json_decref(wanted);
        ior_buf_done(&out);
    }
}

/* What: two tokens of one user and one second are not the same. */
static void no_two_are_the_same(void **state)
{
    (void)state;
    struct token_key k = key_of("hs512", IOR_SLICE(SECRET));
    struct ior_buf a;
    struct ior_buf b;
    ior_buf_init(&a);
    ior_buf_init(&b);
    assert_int_equal(token_make(&k, IOR_SLICE("bob"), 3, NOW, 60, &a), IOR_OK);
    assert_int_equal(token_make(&k, IOR_SLICE("bob"), 3, NOW, 60, &b), IOR_OK);
    assert_int_equal(a.size_bytes, b.size_bytes);
    assert_false(ior_slice_eq(ior_buf_slice(&a), ior_buf_slice(&b)));
    ior_buf_done(&a);
    ior_buf_done(&b);
}

/* What: names that no token can carry are INVAL, the longest possible one works. */
static void make_refuses(void **state)
{
    (void)state;
    struct token_key k = key_of("hs512", IOR_SLICE(SECRET));
    struct ior_buf out;
    ior_buf_init(&out);
    uint8_t name[USERNAME_BYTES_MAX + 1];
    memset(name, '"', sizeof name); /* JSON doubles it */
    assert_int_equal(token_make(&k, IOR_SLICE(""), 0, NOW, 60, &out), IOR_E_INVAL);
    assert_int_equal(token_make(&k, IOR_SLICE("a\0b"), 0, NOW, 60, &out), IOR_E_INVAL);
    assert_int_equal(token_make(&k, IOR_SLICE("a\xff"), 0, NOW, 60, &out), IOR_E_INVAL);
    assert_int_equal(token_make(&k, ior_slice(name, sizeof name), 0, NOW, 60, &out), IOR_E_INVAL);
    assert_int_equal(out.size_bytes, 0);
    memset(name, 1, sizeof name); /* six bytes each in JSON */
    assert_int_equal(token_make(&k, ior_slice(name, sizeof name - 1), 0, NOW, 60, &out), IOR_OK);
    struct token_claims c;
    assert_int_equal(ask(&k, out.data, out.size_bytes, &c), IOR_OK);
    assert_memory_equal(c.user, name, sizeof name - 1);
    ior_buf_done(&out);
}

/* What: tokens made elsewhere are accepted with each algorithm, without v, with exp
 *       in the payload, in the header, or in both, when the earlier one counts. */
static void made_elsewhere(void **state)
{
    (void)state;
    struct token_claims c;
    for (size_t i = 0; i < 3; i++) {
        struct token_key k = key_of(algs[i].config_name, IOR_SLICE(SECRET));
        char *token =
            by_hand_token(algs[i].digest, IOR_SLICE(SECRET), ior_slice_str(algs[i].header),
                          IOR_SLICE("{\"u\":\"bob\",\"exp\":1700000001}"));
        assert_int_equal(ask(&k, token, strlen(token), &c), IOR_OK);
        assert_string_equal(c.user, "bob");
        assert_int_equal(c.expires_s, NOW + 1);
        assert_false(c.has_credential);
        free(token);
    }
    assert_int_equal(
        ask_signed("{\"alg\":\"HS512\",\"exp\":1700000005}", "{\"u\":\"bob\",\"v\":0}", &c),
        IOR_OK);
    assert_int_equal(c.expires_s, NOW + 5);
    assert_true(c.has_credential);
    assert_int_equal(c.credential, 0);
    assert_int_equal(ask_signed("{\"alg\":\"HS512\",\"exp\":1700000005}",
                                "{\"u\":\"bob\",\"exp\":1700000003}", &c),
                     IOR_OK);
    assert_int_equal(c.expires_s, NOW + 3);
    assert_int_equal(ask_signed("{\"alg\":\"HS512\",\"exp\":1700000005}",
                                "{\"u\":\"bob\",\"exp\":1700000009}", &c),
                     IOR_OK);
    assert_int_equal(c.expires_s, NOW + 5);
}

/* What: exp is required and checked wherever it is; a time of the wrong type is refused
 *       even beside a good one; fractions never lengthen a life; nbf is honoured. */
static void times(void **state)
{
    (void)state;
    const char *plain = "{\"alg\":\"HS512\"}";
    const char *fresh = "{\"alg\":\"HS512\",\"exp\":1700000005}";
    bad(plain, "{\"u\":\"bob\"}");
    bad(plain, "{\"u\":\"bob\",\"iat\":1700000005}");
    bad(plain, "{\"u\":\"bob\",\"exp\":1700000000}");
    bad(plain, "{\"u\":\"bob\",\"exp\":1699999999}");
    bad(plain, "{\"u\":\"bob\",\"exp\":0}");
    bad(plain, "{\"u\":\"bob\",\"exp\":-1}");
    bad(fresh, "{\"u\":\"bob\",\"exp\":1699999999}");
    bad("{\"alg\":\"HS512\",\"exp\":1699999999}", "{\"u\":\"bob\",\"exp\":1700000005}");
    bad("{\"alg\":\"HS512\",\"exp\":1699999999}", "{\"u\":\"bob\"}");
    static const char *const wrong[] = {"\"1700000005\"", "null",      "true",
                                        "[1700000005]",   "{\"a\":1}", "99999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"u\":\"bob\",\"exp\":%s}", wrong[i]);
        bad(plain, text);
        bad(fresh, text);
        snprintf(text, sizeof text, "{\"u\":\"bob\",\"nbf\":%s}", wrong[i]);
        bad(fresh, text);
        snprintf(text, sizeof text, "{\"alg\":\"HS512\",\"exp\":%s}", wrong[i]);
        bad(text, "{\"u\":\"bob\",\"exp\":1700000005}");
    }
    good(plain, "{\"u\":\"bob\",\"exp\":9223372036854775807}");
    good(plain, "{\"u\":\"bob\",\"exp\":1e300}");
    good(plain, "{\"u\":\"bob\",\"exp\":1700000001.0}");
    bad(plain, "{\"u\":\"bob\",\"exp\":1700000000.9}");
    bad(plain, "{\"u\":\"bob\",\"exp\":-1e300}");
    good(fresh, "{\"u\":\"bob\",\"nbf\":1700000000}");
    good(fresh, "{\"u\":\"bob\",\"nbf\":-5}");
    good(fresh, "{\"u\":\"bob\",\"nbf\":1699999999.5}");
    bad(fresh, "{\"u\":\"bob\",\"nbf\":1700000001}");
    bad(fresh, "{\"u\":\"bob\",\"nbf\":1700000000.5}");
    bad(fresh, "{\"u\":\"bob\",\"nbf\":1e300}");
    bad("{\"alg\":\"HS512\",\"exp\":1700000005,\"nbf\":1700000001}", "{\"u\":\"bob\"}");
}

/* What: u must be a text of 1 to USERNAME_BYTES_MAX bytes without NUL, v a whole number from
 *       0 on if it is there; a claim that is there twice, in whatever part, is refused. */
static void shapes(void **state)
{
    (void)state;
    const char *fresh = "{\"alg\":\"HS512\",\"exp\":1700000005}";
    static const char *const users[] = {"null",           "7",           "true",
                                        "\"\"",           "[\"bob\"]",   "{\"u\":\"bob\"}",
                                        "\"bob\\u0000\"", "\"\\ud800\"", "\"\xff\""};
    for (size_t i = 0; i < sizeof users / sizeof users[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"u\":%s}", users[i]);
        bad(fresh, text);
    }
    bad(fresh, "{}");
    bad(fresh, "{\"U\":\"bob\"}");
    bad(fresh, "{\"u\":\"bob\",\"v\":-1}");
    bad(fresh, "{\"u\":\"bob\",\"v\":1.0}");
    bad(fresh, "{\"u\":\"bob\",\"v\":\"1\"}");
    bad(fresh, "{\"u\":\"bob\",\"v\":null}");
    good(fresh, "{\"u\":\"bob\",\"v\":9223372036854775807}");
    good(fresh, "{\"u\":\"bob\",\"aud\":[1,{}],\"iat\":\"never\"}");
    good(fresh, " {\"\\u0075\" : \"b\\u006fb\"}\n");
    bad(fresh, "{\"u\":\"eve\",\"u\":\"bob\"}");
    bad(fresh, "{\"u\":\"bob\",\"u\":\"bob\"}");
    bad(fresh, "{\"u\":\"bob\",\"\\u0075\":\"bob\"}");
    bad(fresh, "{\"u\":\"bob\",\"exp\":1700000005,\"exp\":1700000006}");
    bad("{\"alg\":\"HS512\",\"alg\":\"HS512\",\"exp\":1700000005}", "{\"u\":\"bob\"}");
    bad("{\"alg\":\"HS512\",\"exp\":1700000005,\"exp\":1700000005}", "{\"u\":\"bob\"}");
    bad(fresh, "");
    bad(fresh, "[]");
    bad(fresh, "\"bob\"");
    bad(fresh, "{\"u\":\"bob\"");
    bad(fresh, "{\"u\":\"bob\"} x");
    bad("[]", "{\"u\":\"bob\",\"exp\":1700000005}");
    bad("", "{\"u\":\"bob\",\"exp\":1700000005}");

    char longest[USERNAME_BYTES_MAX + 2] = {0};
    char text[USERNAME_BYTES_MAX + 64];
    struct token_claims c;
    memset(longest, 'u', USERNAME_BYTES_MAX);
    snprintf(text, sizeof text, "{\"u\":\"%s\"}", longest);
    assert_int_equal(ask_signed(fresh, text, &c), IOR_OK);
    assert_string_equal(c.user, longest);
    longest[USERNAME_BYTES_MAX] = 'u';
    snprintf(text, sizeof text, "{\"u\":\"%s\"}", longest);
    bad(fresh, text);
}

/* What: only the configured algorithm counts: none, another HS size, another spelling or type,
 *       each signed as well as it can be, are refused; so is a header with crit. */
static void alg_is_pinned(void **state)
{
    (void)state;
    const char *payload = "{\"u\":\"bob\",\"exp\":1700000005}";
    good("{\"alg\":\"HS512\"}", payload);
    static const char *const others[] = {
        "{\"alg\":\"none\"}",
        "{\"alg\":\"None\"}",
        "{\"alg\":\"HS256\"}",
        "{\"alg\":\"HS384\"}",
        "{\"alg\":\"RS512\"}",
        "{\"alg\":\"hs512\"}",
        "{\"alg\":\"HS512 \"}",
        "{\"alg\":\"\"}",
        "{\"alg\":null}",
        "{\"alg\":512}",
        "{\"alg\":[\"HS512\"]}",
        "{}",
        "{\"ALG\":\"HS512\"}",
        "{\"alg\":\"HS512\",\"crit\":[\"exp\"]}",
        "{\"alg\":\"HS512\",\"crit\":[]}",
        "{\"alg\":\"HS512\\u0000\"}",
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) bad(others[i], payload);

    struct token_claims c;
    for (size_t mine = 0; mine < 3; mine++) {
        struct token_key k = key_of(algs[mine].config_name, IOR_SLICE(SECRET));
        for (size_t claimed = 0; claimed < 3; claimed++) {
            for (size_t used = 0; used < 3; used++) {
                char *token =
                    by_hand_token(algs[used].digest, IOR_SLICE(SECRET),
                                  ior_slice_str(algs[claimed].header), ior_slice_str(payload));
                assert_int_equal(ask(&k, token, strlen(token), &c) == IOR_OK,
                                 claimed == mine && used == mine);
                free(token);
            }
        }
        /* alg none as it is meant: without a MAC. */
        char *token = by_hand_token(algs[mine].digest, IOR_SLICE(SECRET),
                                    IOR_SLICE("{\"alg\":\"none\"}"), ior_slice_str(payload));
        size_t size_bytes = (size_t)(strrchr(token, '.') - token) + 1;
        assert_int_equal(ask(&k, token, size_bytes, &c), IOR_E_NOPERM);
        assert_int_equal(ask(&k, token, size_bytes - 1, &c), IOR_E_NOPERM);
        free(token);
    }
}

/* What: another secret, longer, shorter, or different in one bit, opens nothing. */
static void wrong_key(void **state)
{
    (void)state;
    struct token_key k = key_of("hs512", IOR_SLICE(SECRET));
    static const char *const others[] = {"0123456789abcdef0123456789abcdeg",
                                         "0123456789abcdef0123456789abcde",
                                         "0123456789abcdef0123456789abcdef0", "", "secret"};
    struct token_claims c;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        char *token =
            by_hand_token("SHA512", ior_slice_str(others[i]), ior_slice_str(HS512->header),
                          IOR_SLICE("{\"u\":\"bob\",\"exp\":1700000005}"));
        assert_int_equal(ask(&k, token, strlen(token), &c), IOR_E_NOPERM);
        free(token);
    }
}

/* What: a good token is refused after any damage: cut at every length at either end, one
 *       byte more, every single byte replaced by every other value. */
static void damaged(void **state)
{
    (void)state;
    struct token_claims c;
    for (size_t i = 0; i < 3; i++) {
        struct token_key k = key_of(algs[i].config_name, IOR_SLICE(SECRET));
        char *token =
            by_hand_token(algs[i].digest, IOR_SLICE(SECRET), ior_slice_str(algs[i].header),
                          IOR_SLICE("{\"u\":\"bob\",\"exp\":1700000005,\"v\":1}"));
        size_t size_bytes = strlen(token);
        assert_int_equal(ask(&k, token, size_bytes, &c), IOR_OK);
        for (size_t n = 0; n < size_bytes; n++) {
            assert_int_equal(ask(&k, token, n, &c), IOR_E_NOPERM);
            assert_int_equal(ask(&k, token + size_bytes - n, n, &c), IOR_E_NOPERM);
        }
        char *changed = malloc(size_bytes + 2);
        assert_non_null(changed);
        for (unsigned v = 0; v < 256; v++) {
            memcpy(changed, token, size_bytes);
            changed[size_bytes] = (char)v;
            assert_int_equal(ask(&k, changed, size_bytes + 1, &c), IOR_E_NOPERM);
            memcpy(changed + 1, token, size_bytes);
            changed[0] = (char)v;
            assert_int_equal(ask(&k, changed, size_bytes + 1, &c), IOR_E_NOPERM);
        }
        for (size_t at = 0; at < size_bytes; at++) {
            for (unsigned x = 1; x < 256; x++) {
                memcpy(changed, token, size_bytes);
                changed[at] = (char)((unsigned char)changed[at] ^ x);
                if (ask(&k, changed, size_bytes, &c) == IOR_OK)
                    fail_msg("%s: byte %zu xor %u is accepted", algs[i].config_name, at, x);
            }
        }
        free(changed);
        free(token);
    }
    struct token_key k = key_of("hs512", IOR_SLICE(SECRET));
    static const char *const junk[] = {"",      ".",    "..",       "...",
                                       "a.b.c", "....", "e30.e30.", "e30..e30"};
    for (size_t i = 0; i < sizeof junk / sizeof junk[0]; i++)
        assert_int_equal(ask(&k, junk[i], strlen(junk[i]), &c), IOR_E_NOPERM);
    assert_int_equal(token_verify(&k, ior_slice(NULL, 0), NOW, &c), IOR_E_NOPERM);
}

/* What: TOKEN_BYTES_MAX bytes are looked at, one more is not, although all is well signed. */
static void oversize(void **state)
{
    (void)state;
    struct token_key k = key_of("hs512", IOR_SLICE(SECRET));
    struct token_claims c;
    char header[64];
    char *payload = malloc(TOKEN_BYTES_MAX * 2);
    assert_non_null(payload);
    bool at_limit = false;
    bool above = false;
    for (int spaces = 0; spaces < 3; spaces++) {
        snprintf(header, sizeof header, "{\"alg\":\"HS512\"%*s}", spaces, "");
        for (int pad = 2900; pad < 3100; pad++) {
            int n = snprintf(payload, TOKEN_BYTES_MAX * 2,
                             "{\"u\":\"bob\",\"exp\":1700000005,\"x\":\"%0*d\"}", pad, 0);
            char *token = by_hand_token("SHA512", IOR_SLICE(SECRET), ior_slice_str(header),
                                        ior_slice(payload, (size_t)n));
            size_t size_bytes = strlen(token);
            assert_int_equal(ask(&k, token, size_bytes, &c) == IOR_OK,
                             size_bytes <= TOKEN_BYTES_MAX);
            at_limit |= size_bytes == TOKEN_BYTES_MAX;
            above |= size_bytes == TOKEN_BYTES_MAX + 1;
            free(token);
        }
    }
    free(payload);
    assert_true(at_limit && above); /* both sides of the edge were met */
}

/* What: a key needs a known algorithm and 16 to 1024 bytes, and the reason says which. */
static void keys(void **state)
{
    (void)state;
    static uint8_t secret[1025];
    struct token_key k;
    struct ior_why why = {""};
    static const char *const unknown[] = {"", "none", "HS512", "hs51", "hs5122", "rs256"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        assert_int_equal(token_key_init(&k, unknown[i], ior_slice(secret, 32), &why), IOR_E_INVAL);
        assert_non_null(strstr(why.text, "algorithm"));
    }
    assert_int_equal(token_key_init(&k, "hs256", ior_slice(secret, 15), &why), IOR_E_INVAL);
    assert_non_null(strstr(why.text, "15 bytes"));
    assert_int_equal(token_key_init(&k, "hs256", ior_slice(secret, 1025), &why), IOR_E_INVAL);
    assert_int_equal(token_key_init(&k, "hs256", ior_slice(secret, 16), &why), IOR_OK);
    assert_int_equal(token_key_init(&k, "hs384", ior_slice(secret, 1024), &why), IOR_OK);
    assert_int_equal(k.alg, TOKEN_HS384);
    assert_int_equal(k.secret_bytes, 1024);

    /* NUL bytes in the secret count. */
    struct token_key zeros = key_of("hs512", ior_slice(secret, 32));
    struct token_claims c;
    char *token = by_hand_token("SHA512", ior_slice(secret, 32), ior_slice_str(HS512->header),
                                IOR_SLICE("{\"u\":\"bob\",\"exp\":1700000005}"));
    assert_int_equal(ask(&zeros, token, strlen(token), &c), IOR_OK);
    free(token);
    secret[31] = 1;
    struct ior_buf out;
    ior_buf_init(&out);
    struct token_key other = key_of("hs512", ior_slice(secret, 32));
    assert_int_equal(token_make(&other, IOR_SLICE("bob"), 0, NOW, 60, &out), IOR_OK);
    assert_int_equal(ask(&zeros, out.data, out.size_bytes, &c), IOR_E_NOPERM);
    ior_buf_done(&out);
}

/* What: what the previous key has signed is accepted, with the configured algorithm only; the
 * current key signs; a third key is still wrong. */
static void previous_key(void **state)
{
    (void)state;
    static uint8_t bytes[1025];
    struct token_claims c;
    struct ior_why why = {""};
    struct ior_buf out;
    ior_buf_init(&out);
    struct token_key old = key_of("hs512", IOR_SLICE(SECRET));
    struct token_key now = key_of("hs512", IOR_SLICE("another secret of 32 bytes......"));
    struct token_key third = key_of("hs512", IOR_SLICE("0123456789abcdeX"));
    assert_int_equal(token_make(&old, IOR_SLICE("bob"), 3, NOW, 60, &out), IOR_OK);
    assert_int_equal(ask(&now, out.data, out.size_bytes, &c), IOR_E_NOPERM);
    assert_int_equal(token_key_set_previous(&now, IOR_SLICE(SECRET), &why), IOR_OK);
    assert_int_equal(ask(&now, out.data, out.size_bytes, &c), IOR_OK);
    assert_string_equal(c.user, "bob");
    assert_int_equal(ask(&third, out.data, out.size_bytes, &c), IOR_E_NOPERM);
    ior_buf_clear(&out);
    assert_int_equal(token_make(&third, IOR_SLICE("bob"), 3, NOW, 60, &out), IOR_OK);
    assert_int_equal(ask(&now, out.data, out.size_bytes, &c), IOR_E_NOPERM);
    ior_buf_clear(&out);
    assert_int_equal(token_make(&now, IOR_SLICE("bob"), 3, NOW, 60, &out), IOR_OK);
    assert_int_equal(ask(&now, out.data, out.size_bytes, &c), IOR_OK);
    assert_int_equal(ask(&old, out.data, out.size_bytes, &c), IOR_E_NOPERM);
    ior_buf_done(&out);

    char *token = by_hand_token("SHA256", IOR_SLICE(SECRET), ior_slice_str(algs[0].header),
                                IOR_SLICE("{\"u\":\"bob\",\"exp\":1700000005}"));
    assert_int_equal(ask(&now, token, strlen(token), &c), IOR_E_NOPERM);
    free(token);
    assert_int_equal(token_key_set_previous(&now, ior_slice(bytes, 15), &why), IOR_E_INVAL);
    assert_non_null(strstr(why.text, "previous key of the session tokens has 15 bytes"));
    assert_int_equal(token_key_set_previous(&now, ior_slice(bytes, 1025), &why), IOR_E_INVAL);
    assert_int_equal(token_key_set_previous(&now, ior_slice(bytes, 1024), &why), IOR_OK);
}

/* What: iat comes out in whole seconds, rounded down; 0 when it is not there or is no time. */
static void issued(void **state)
{
    (void)state;
    static const struct {
        const char *payload;
        uint64_t wanted;
    } cases[] = {
        {"{\"u\":\"bob\",\"exp\":1700000005}", 0},
        {"{\"u\":\"bob\",\"exp\":1700000005,\"iat\":1699999999}", 1699999999},
        {"{\"u\":\"bob\",\"exp\":1700000005,\"iat\":1699999999.9}", 1699999999},
        {"{\"u\":\"bob\",\"exp\":1700000005,\"iat\":-1}", 0},
        {"{\"u\":\"bob\",\"exp\":1700000005,\"iat\":\"1699999999\"}", 0},
        {"{\"u\":\"bob\",\"exp\":1700000005,\"iat\":null}", 0},
        {"{\"u\":\"bob\",\"exp\":1700000005,\"iat\":1e300}", INT64_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct token_claims c;
        assert_int_equal(ask_signed(HS512->header, cases[i].payload, &c), IOR_OK);
        assert_int_equal(c.issued_s, cases[i].wanted);
    }
}

/* What: a made secret is 64 hex digits and never the same twice. */
static void secrets(void **state)
{
    (void)state;
    char a[65];
    char b[65];
    token_secret_make(a);
    token_secret_make(b);
    assert_int_equal(strlen(a), 64);
    assert_int_equal(strspn(a, "0123456789abcdef"), 64);
    assert_string_not_equal(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(make_and_verify),
        cmocka_unit_test(made_as_promised),
        cmocka_unit_test(make_refuses),
        cmocka_unit_test(made_elsewhere),
        cmocka_unit_test(times),
        cmocka_unit_test(shapes),
        cmocka_unit_test(alg_is_pinned),
        cmocka_unit_test(wrong_key),
        cmocka_unit_test(damaged),
        cmocka_unit_test(oversize),
        cmocka_unit_test(keys),
        cmocka_unit_test(secrets),
        cmocka_unit_test(no_two_are_the_same),
        cmocka_unit_test(previous_key),
        cmocka_unit_test(issued),
    };
    if (sodium_init() < 0) return 1;
    return cmocka_run_group_tests_name("auth/token", tests, NULL, NULL);
}

/* src/auth/token.c - see token.h. Thread: any; nothing here is shared but the key, which is read
 * only. libjwt makes tokens and nothing else; no other file includes jwt.h. Checking is done here,
 * because jwt_decode of 1.10.2 (a) accepts anything when it is given no key,
 * (b) lets the token choose the algorithm, (c) compares the MAC by strcmp, not
 * in constant time (CVE-2024-25189; Debian 12 has patched it, upstream's 1.10.2
 * has not), (d) parses base64 and JSON of strangers before it looks at the MAC,
 * (e) takes the last of two claims with one name, and reads a claim of the wrong
 * type as 0. Two implementations also mean that a fault in one of them shows as
 * a refused token. (Making a token, libjwt follows a NULL pointer when the last
 * few hundred bytes of memory are gone: the one place in src/auth that is not NOMEM.)
 * Happy path: length; three parts of base64url; the MAC over the first two by
 * OpenSSL's HMAC with the configured algorithm and the key, else the previous key, compared as
 * text by sodium_memcmp (as text, so a token has exactly one spelling). Only then is
 * anything decoded: strict base64url, strict JSON without duplicate names, `alg`
 * exactly the configured one, no `crit`, `exp` and `nbf` in the payload and in the
 * header as far as they are there, no leeway.
 * Failure: NOPERM whatever is wrong with the token; NOMEM. */
#include "auth/token.h"

#include <jwt.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>
#include <stdlib.h>

#include "auth/json_object.h"
#include "base/assert.h"
#include "base/json.h"
#include "base/limits.h"

#define SECRET_BYTES_MIN 16
#define SECRET_BYTES_MAX 1024
#define ID_BYTES 8
#define MAC_BYTES_MAX 64
#define MAC_TEXT_MAX 88

/* One row per enum token_alg. */
static const struct {
    const char *config_name;
    const char *header_name;
    jwt_alg_t jwt;
    const EVP_MD *(*digest)(void);
} algs[] = {
    {"hs256", "HS256", JWT_ALG_HS256, EVP_sha256},
    {"hs384", "HS384", JWT_ALG_HS384, EVP_sha384},
    {"hs512", "HS512", JWT_ALG_HS512, EVP_sha512},
};

IOR_STATIC_ASSERT(sizeof((struct token_key *)0)->secret == SECRET_BYTES_MAX, "a key fits");

static bool secret_ok(struct ior_slice s)
{
    return s.size_bytes >= SECRET_BYTES_MIN && s.size_bytes <= SECRET_BYTES_MAX;
}

enum ior_err token_key_init(struct token_key *k, const char *algorithm, struct ior_slice secret,
                            struct ior_why *why)
{
    size_t alg = 0;
    while (alg < IOR_LEN(algs) && strcmp(algs[alg].config_name, algorithm) != 0) alg++;
    if (alg == IOR_LEN(algs))
        return ior_why_set(why, IOR_E_INVAL,
                           "the algorithm of the session tokens is \"%s\", it must be hs256, "
                           "hs384 or hs512",
                           algorithm);
    if (!secret_ok(secret))
        return ior_why_set(why, IOR_E_INVAL,
                           "the key of the session tokens has %zu bytes, it must have %d to %d",
                           secret.size_bytes, SECRET_BYTES_MIN, SECRET_BYTES_MAX);
    *k = (struct token_key){.alg = (enum token_alg)alg, .secret_bytes = secret.size_bytes};
    memcpy(k->secret, secret.data, secret.size_bytes);
    return IOR_OK;
}

enum ior_err token_key_set_previous(struct token_key *k, struct ior_slice secret,
                                    struct ior_why *why)
{
    if (!secret_ok(secret))
        return ior_why_set(why, IOR_E_INVAL,
                           "the previous key of the session tokens has %zu bytes, it must have "
                           "%d to %d",
                           secret.size_bytes, SECRET_BYTES_MIN, SECRET_BYTES_MAX);
    k->previous_bytes = secret.size_bytes;
    memcpy(k->previous, secret.data, secret.size_bytes);
    return IOR_OK;
}

/* What is given to libjwt is right, so it can only be out of memory, which it also
 * calls EINVAL. */
static enum ior_err from_jwt(int e)
{
    return e == 0 ? IOR_OK : IOR_E_NOMEM;
}

/* Random: what tells two tokens of one user and one second apart. */
static enum ior_err add_id(jwt_t *jwt)
{
    uint8_t id[ID_BYTES];
    char text[ID_BYTES * 2];
    randombytes_buf(id, sizeof id);
    sodium_bin2base64(text, sizeof text, id, sizeof id, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    return from_jwt(jwt_add_header(jwt, "jti", text));
}

enum ior_err token_make(const struct token_key *k, struct ior_slice user, uint64_t credential,
                        uint64_t now_s, uint64_t lifetime_s, struct ior_buf *out)
{
    IOR_ASSERT(k->secret_bytes >= SECRET_BYTES_MIN);
    IOR_ASSERT(now_s <= INT64_MAX / 2 && lifetime_s <= INT64_MAX / 2 && credential <= INT64_MAX);
    struct token_claims size;
    char name[sizeof size.user];
    if (user.size_bytes == 0 || user.size_bytes >= sizeof name) return IOR_E_INVAL;
    if (memchr(user.data, 0, user.size_bytes) != NULL || !ior_utf8_ok(user)) return IOR_E_INVAL;
    memcpy(name, user.data, user.size_bytes);
    name[user.size_bytes] = 0;

    jwt_t *jwt = NULL;
    enum ior_err err = from_jwt(jwt_new(&jwt));
    if (err != IOR_OK) return err;
    err = from_jwt(jwt_set_alg(jwt, algs[k->alg].jwt, k->secret, (int)k->secret_bytes));
    if (err == IOR_OK) err = add_id(jwt);
    if (err == IOR_OK) err = from_jwt(jwt_add_grant(jwt, "u", name));
    if (err == IOR_OK) err = from_jwt(jwt_add_grant_int(jwt, "iat", (long)now_s));
    if (err == IOR_OK) err = from_jwt(jwt_add_grant_int(jwt, "exp", (long)(now_s + lifetime_s)));
    if (err == IOR_OK) err = from_jwt(jwt_add_grant_int(jwt, "v", (long)credential));
    char *text = err == IOR_OK ? jwt_encode_str(jwt) : NULL;
    if (err == IOR_OK && text == NULL) err = IOR_E_NOMEM;
    if (err == IOR_OK) {
        IOR_ASSERT(strlen(text) <= TOKEN_BYTES_MAX);
        ior_buf_add_str(out, text);
        if (ior_buf_failed(out)) err = IOR_E_NOMEM;
    }
    free(text);
    jwt_free(jwt);
    return err;
}

struct parts {
    struct ior_slice header;
    struct ior_slice payload;
    struct ior_slice mac;
    struct ior_slice covered; /* by the MAC: header, dot and payload */
};

static bool base64url_char(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

static bool split(struct ior_slice token, struct parts *ret)
{
    size_t dots[2] = {0};
    size_t count = 0;
    for (size_t i = 0; i < token.size_bytes; i++) {
        if (token.data[i] == '.') {
            if (count == 2) return false;
            dots[count++] = i;
        } else if (!base64url_char(token.data[i])) {
            return false;
        }
    }
    if (count != 2) return false;
    ret->header = ior_slice(token.data, dots[0]);
    ret->payload = ior_slice(token.data + dots[0] + 1, dots[1] - dots[0] - 1);
    ret->mac = ior_slice(token.data + dots[1] + 1, token.size_bytes - dots[1] - 1);
    ret->covered = ior_slice(token.data, dots[1]);
    return ret->header.size_bytes > 0 && ret->payload.size_bytes > 0;
}

static enum ior_err check_mac_by(enum token_alg alg, const uint8_t *secret, size_t secret_bytes,
                                 const struct parts *parts)
{
    uint8_t mac[MAC_BYTES_MAX];
    char text[MAC_TEXT_MAX];
    unsigned mac_bytes = 0;
    if (HMAC(algs[alg].digest(), secret, (int)secret_bytes, parts->covered.data,
             parts->covered.size_bytes, mac, &mac_bytes) == NULL)
        return IOR_E_NOMEM;
    IOR_ASSERT(mac_bytes <= sizeof mac);
    IOR_ASSERT(sodium_base64_encoded_len(mac_bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING) <=
               sizeof text);
    sodium_bin2base64(text, sizeof text, mac, mac_bytes, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    size_t text_bytes = strlen(text);
    /* The length is no secret: it follows from the algorithm. */
    bool good = parts->mac.size_bytes == text_bytes &&
                sodium_memcmp(parts->mac.data, text, text_bytes) == 0;
    sodium_memzero(mac, sizeof mac);
    sodium_memzero(text, sizeof text);
    return good ? IOR_OK : IOR_E_NOPERM;
}

/* Which of the two keys it was is no secret. */
static enum ior_err check_mac(const struct token_key *k, const struct parts *parts)
{
    enum ior_err err = check_mac_by(k->alg, k->secret, k->secret_bytes, parts);
    if (err != IOR_E_NOPERM || k->previous_bytes == 0) return err;
    return check_mac_by(k->alg, k->previous, k->previous_bytes, parts);
}

/* A part as a JSON object; the caller owes json_decref. */
static enum ior_err decode(struct ior_slice part, json_t **ret)
{
    uint8_t text[TOKEN_BYTES_MAX];
    size_t text_bytes = 0;
    if (sodium_base642bin(text, sizeof text, (const char *)part.data, part.size_bytes, NULL,
                          &text_bytes, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
        return IOR_E_NOPERM;
    enum ior_err err = json_object_read(ior_slice(text, text_bytes), ret);
    return err == IOR_E_BODY ? IOR_E_NOPERM : err;
}

static bool is_text(const json_t *j, const char *wanted)
{
    return ior_slice_eq(json_object_text(j), ior_slice_str(wanted));
}

/* A NumericDate (RFC 7519 section 2) as whole seconds; fractions make a token
 * live shorter, not longer. False: it is there but is no time. Absent: *ret stays. */
static bool read_time(const json_t *object, const char *name, bool round_up, uint64_t *ret)
{
    const json_t *j = json_object_get(object, name);
    if (j == NULL) return true;
    if (json_is_integer(j)) {
        json_int_t v = json_integer_value(j);
        *ret = v < 0 ? 0 : (uint64_t)v;
        return true;
    }
    if (!json_is_real(j)) return false;
    double v = json_real_value(j);
    if (v < 0) {
        *ret = 0;
    } else if (v >= 9e18) {
        *ret = INT64_MAX;
    } else {
        *ret = (uint64_t)v;
        if (round_up && (double)*ret < v) (*ret)++;
    }
    return true;
}

/* exp and nbf of the header or the payload; *expires_s becomes the earlier one. */
static bool check_times(const json_t *object, uint64_t now_s, uint64_t *expires_s)
{
    uint64_t exp = UINT64_MAX;
    uint64_t nbf = 0;
    if (!read_time(object, "exp", false, &exp) || !read_time(object, "nbf", true, &nbf))
        return false;
    if (exp <= now_s || nbf > now_s) return false;
    if (exp < *expires_s) *expires_s = exp;
    return true;
}

static bool read_claims(const struct token_key *k, const json_t *header, const json_t *payload,
                        uint64_t now_s, struct token_claims *c)
{
    if (!is_text(json_object_get(header, "alg"), algs[k->alg].header_name)) return false;
    /* What must be understood is not (RFC 7515 section 4.1.11). */
    if (json_object_get(header, "crit") != NULL) return false;
    c->expires_s = UINT64_MAX;
    if (!check_times(header, now_s, &c->expires_s)) return false;
    if (!check_times(payload, now_s, &c->expires_s)) return false;
    if (c->expires_s == UINT64_MAX) return false; /* exp is nowhere */

    struct ior_slice user = json_object_text(json_object_get(payload, "u"));
    if (user.size_bytes == 0 || user.size_bytes >= sizeof c->user) return false;
    memcpy(c->user, user.data, user.size_bytes);
    c->user[user.size_bytes] = 0;
    if (!read_time(payload, "iat", false, &c->issued_s)) c->issued_s = 0;

    const json_t *v = json_object_get(payload, "v");
    if (v == NULL) return true;
    if (!json_is_integer(v) || json_integer_value(v) < 0) return false;
    c->credential = (uint64_t)json_integer_value(v);
    c->has_credential = true;
    return true;
}

enum ior_err token_verify(const struct token_key *k, struct ior_slice token, uint64_t now_s,
                          struct token_claims *ret)
{
    IOR_ASSERT(k->secret_bytes >= SECRET_BYTES_MIN);
    struct parts parts;
    if (token.size_bytes > TOKEN_BYTES_MAX || !split(token, &parts)) return IOR_E_NOPERM;
    enum ior_err err = check_mac(k, &parts);
    json_t *header = NULL;
    json_t *payload = NULL;
    if (err == IOR_OK) err = decode(parts.header, &header);
    if (err == IOR_OK) err = decode(parts.payload, &payload);
    struct token_claims claims = {0};
    if (err == IOR_OK && !read_claims(k, header, payload, now_s, &claims)) err = IOR_E_NOPERM;
    json_decref(header);
    json_decref(payload);
    if (err == IOR_OK) *ret = claims;
    return err;
}

void token_id(struct ior_slice token, uint8_t ret[TOKEN_ID_BYTES])
{
    IOR_STATIC_ASSERT(TOKEN_ID_BYTES >= crypto_generichash_BYTES_MIN, "BLAKE2b gives no less");
    int failed = crypto_generichash(ret, TOKEN_ID_BYTES, token.data, token.size_bytes, NULL, 0);
    IOR_ASSERT(failed == 0);
}

void token_secret_make(char out[65])
{
    uint8_t secret[32];
    int failed = sodium_init() < 0;
    IOR_ASSERT(!failed);
    randombytes_buf(secret, sizeof secret);
    sodium_bin2hex(out, 65, secret, sizeof secret);
    sodium_memzero(secret, sizeof secret);
}

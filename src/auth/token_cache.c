/* src/auth/token_cache.c - see token.h. Thread: one worker each.
 * Happy path: BLAKE2b of the token under a key that only this cache knows names
 * one bucket of four slots; the slot with the same 32 bytes has the claims.
 * Nobody can make two tokens with one name, so the token itself is not kept.
 * In front of it the last tokens are kept whole, found by their end and compared
 * in constant time: the usual client sends the same token again and again, and
 * BLAKE2b of it would be a tenth of a small request.
 * A miss costs a signature; the answer goes over the oldest slot of the bucket.
 * Only good tokens are kept, so bad ones cannot push them out.
 * Failure: whatever token_verify says. */
#include "auth/token.h"

#include <sodium.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/limits.h"

#define CACHE_MAGIC 0x746f6b63u
#define NAME_BYTES 32
#define BUCKET_SLOTS 4
#define BUCKETS (TOKEN_CACHE_SLOTS / BUCKET_SLOTS)
#define RECENT_SLOTS 64
#define RECENT_TOKEN_BYTES 504

IOR_STATIC_ASSERT((BUCKETS & (BUCKETS - 1)) == 0, "a bucket is chosen by a mask");
IOR_STATIC_ASSERT(NAME_BYTES <= crypto_generichash_BYTES_MAX, "BLAKE2b gives that much");

struct slot {
    uint64_t since; /* counts fillings; 0: empty */
    uint8_t name[NAME_BYTES];
    struct token_claims claims;
    uint8_t id[TOKEN_ID_BYTES];
    uint64_t policy_mark;           /* of the policy that user is in; valid while user is set */
    uint64_t revoked_number;        /* of the revoked tokens that it is not among; likewise */
    const struct policy_user *user; /* NULL: not looked up yet */
};

/* A token as it came and the slot that it led to; stands while the slot does. */
struct recent {
    struct slot *slot;
    uint64_t since; /* the slot's then */
    size_t size_bytes;
    uint8_t token[RECENT_TOKEN_BYTES];
};

struct token_cache {
    uint32_t magic;
    uint64_t fillings;
    const struct token_key *key; /* the one that all slots were verified with */
    uint8_t hash_key[crypto_generichash_KEYBYTES];
    struct slot slots[TOKEN_CACHE_SLOTS];
    struct recent recent[RECENT_SLOTS];
};

enum ior_err token_cache_new(struct token_cache **ret)
{
    if (sodium_init() < 0) return IOR_E_ACCESS;
    /* calloc: pages of slots that are never filled are never touched. */
    struct token_cache *c = calloc(1, sizeof *c);
    if (c == NULL) return IOR_E_NOMEM;
    c->magic = CACHE_MAGIC;
    randombytes_buf(c->hash_key, sizeof c->hash_key);
    *ret = c;
    return IOR_OK;
}

void token_cache_free(struct token_cache *c)
{
    if (c == NULL) return;
    IOR_CHECK_MAGIC(c, CACHE_MAGIC);
    sodium_memzero(c->hash_key, sizeof c->hash_key);
    sodium_memzero(c->recent, sizeof c->recent);
    c->magic = 0;
    free(c);
}

void token_cache_clear(struct token_cache *c)
{
    IOR_CHECK_MAGIC(c, CACHE_MAGIC);
    for (size_t i = 0; i < TOKEN_CACHE_SLOTS; i++) c->slots[i].since = 0;
    memset(c->recent, 0, sizeof c->recent);
}

static struct slot *bucket_of(struct token_cache *c, const uint8_t name[NAME_BYTES])
{
    return &c->slots[(ior_get_u64(name) & (BUCKETS - 1)) * BUCKET_SLOTS];
}

static struct slot *oldest(struct slot *bucket)
{
    struct slot *s = bucket;
    for (size_t i = 1; i < BUCKET_SLOTS; i++) {
        if (bucket[i].since < s->since) s = &bucket[i];
    }
    return s;
}

/* ---- the tokens that came last ---- */

static struct recent *recent_of(struct token_cache *c, struct ior_slice token)
{
    if (token.size_bytes < 8 || token.size_bytes > RECENT_TOKEN_BYTES) return NULL;
    /* Its end is the end of a signature: as good as a hash. */
    uint64_t end = ior_get_u64(token.data + token.size_bytes - 8);
    return &c->recent[(end * 0x9e3779b97f4a7c15u >> 32) % RECENT_SLOTS];
}

/* Constant time for equal lengths, eight bytes a step: sodium_memcmp goes byte by
 * byte, which showed (2 % of a small request). */
static bool same_bytes(const uint8_t *a, const uint8_t *b, size_t n)
{
    uint64_t diff = 0;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) diff |= ior_get_u64(a + i) ^ ior_get_u64(b + i);
    for (; i < n; i++) diff |= (uint64_t)(a[i] ^ b[i]);
    return diff == 0;
}

static struct slot *recent_find(struct token_cache *c, struct ior_slice token)
{
    const struct recent *r = recent_of(c, token);
    if (r == NULL || r->slot == NULL || r->slot->since != r->since) return NULL;
    if (r->size_bytes != token.size_bytes) return NULL;
    return same_bytes(r->token, token.data, token.size_bytes) ? r->slot : NULL;
}

static void recent_keep(struct token_cache *c, struct ior_slice token, struct slot *s)
{
    struct recent *r = recent_of(c, token);
    if (r == NULL) return;
    r->slot = s;
    r->since = s->since;
    r->size_bytes = token.size_bytes;
    memcpy(r->token, token.data, token.size_bytes);
}

static enum ior_err not_expired(struct slot *s, uint64_t now_s, struct slot **ret)
{
    if (s->claims.expires_s <= now_s) {
        s->since = 0;
        return IOR_E_NOPERM;
    }
    *ret = s;
    return IOR_OK;
}

static enum ior_err verify(struct token_cache *c, const struct token_key *k, struct ior_slice token,
                           uint64_t now_s, struct slot **ret)
{
    uint8_t name[NAME_BYTES];
    int failed = crypto_generichash(name, sizeof name, token.data, token.size_bytes, c->hash_key,
                                    sizeof c->hash_key);
    IOR_ASSERT(failed == 0);

    struct slot *bucket = bucket_of(c, name);
    for (size_t i = 0; i < BUCKET_SLOTS; i++) {
        struct slot *s = &bucket[i];
        if (s->since == 0 || memcmp(s->name, name, sizeof name) != 0) continue;
        recent_keep(c, token, s);
        return not_expired(s, now_s, ret);
    }
    struct token_claims claims;
    enum ior_err err = token_verify(k, token, now_s, &claims);
    if (err != IOR_OK) return err;
    struct slot *s = oldest(bucket);
    s->since = ++c->fillings;
    memcpy(s->name, name, sizeof name);
    s->claims = claims;
    s->user = NULL;
    token_id(token, s->id);
    recent_keep(c, token, s);
    *ret = s;
    return IOR_OK;
}

static enum ior_err find_or_verify(struct token_cache *c, const struct token_key *k,
                                   struct ior_slice token, uint64_t now_s, struct slot **ret)
{
    IOR_CHECK_MAGIC(c, CACHE_MAGIC);
    if (token.size_bytes == 0 || token.size_bytes > TOKEN_BYTES_MAX) return IOR_E_NOPERM;
    if (c->key != k) { /* what another key has signed counts for nothing */
        token_cache_clear(c);
        c->key = k;
    }
    struct slot *known = recent_find(c, token);
    return known != NULL ? not_expired(known, now_s, ret) : verify(c, k, token, now_s, ret);
}

enum ior_err token_cache_verify(struct token_cache *c, const struct token_key *k,
                                struct ior_slice token, uint64_t now_s, struct token_claims *ret)
{
    struct slot *s = NULL;
    enum ior_err err = find_or_verify(c, k, token, now_s, &s);
    if (err == IOR_OK) *ret = s->claims;
    return err;
}

/* A token is good for the credential number that it names. One without (made elsewhere) is good
 * if it was made after the password was changed, or all tokens were taken back; without a time it
 * is good until the first such moment. Seconds: of the very second of it none is good. */
static bool holds(const struct token_claims *claims, const struct policy_user *u)
{
    if (claims->has_credential) return claims->credential == u->credential;
    return u->since_s == 0 || claims->issued_s > u->since_s;
}

static enum ior_err look_up(struct slot *s, const struct policy *policy,
                            const struct revoked *revoked)
{
    const struct policy_user *u = policy_user(policy, ior_slice_str(s->claims.user));
    s->user = NULL;
    if (u == NULL || !holds(&s->claims, u)) return IOR_E_NOPERM;
    if (revoked != NULL && revoked_has(revoked, ior_slice_str(u->name), s->id)) return IOR_E_NOPERM;
    s->user = u;
    s->policy_mark = policy_mark(policy);
    s->revoked_number = revoked == NULL ? 0 : revoked_number(revoked);
    return IOR_OK;
}

enum ior_err token_cache_user(struct token_cache *c, const struct token_key *k,
                              struct ior_slice token, uint64_t now_s, const struct policy *policy,
                              const struct revoked *revoked, struct token_holder *ret)
{
    struct slot *s = NULL;
    enum ior_err err = find_or_verify(c, k, token, now_s, &s);
    if (err != IOR_OK) return err;
    uint64_t number = revoked == NULL ? 0 : revoked_number(revoked);
    if (s->user == NULL || s->policy_mark != policy_mark(policy) || s->revoked_number != number)
        err = look_up(s, policy, revoked);
    if (err != IOR_OK) return err;
    *ret = (struct token_holder){s->user, s->claims.expires_s};
    return IOR_OK;
}

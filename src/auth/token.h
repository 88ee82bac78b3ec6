/* src/auth/token.h - session tokens: JWT (RFC 7519) with HS256, HS384 or HS512.
 * Payload {"u":name,"iat":s,"exp":s,"v":credential}; the JOSE header has a random `jti`, so
 * that two logins of one second are two tokens and can be taken back one by one.
 * The algorithm is pinned; exp is required, in the payload or, as the seed did, in the JOSE
 * header, and checked in both; a wrong or missing one is NOPERM. `nbf` is honoured where it
 * is. All times are judged by the clock of this node, to the second and without leeway.
 * A token is at most TOKEN_BYTES_MAX bytes.
 * Two keys: one signs; one more, that of before, is still accepted.
 * Thread: struct token_key is read only after token_key_init (and token_key_set_previous);
 * token_cache belongs to one worker. */
#pragma once

#include "auth/policy.h"
#include "auth/revoked.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"

enum token_alg { TOKEN_HS256, TOKEN_HS384, TOKEN_HS512 };

struct token_key {
    enum token_alg alg;
    uint8_t secret[1024]; /* signs */
    size_t secret_bytes;
    uint8_t previous[1024]; /* is good for checking, too */
    size_t previous_bytes;  /* 0: there is none */
};
struct token_claims {
    char user[USERNAME_BYTES_MAX + 1];
    uint64_t expires_s;  /* Unix time */
    uint64_t issued_s;   /* iat, rounded down; 0: it is not there, or is no time */
    uint64_t credential; /* valid when has_credential */
    bool has_credential;
};

/* INVAL when the secret is not 16..1024 bytes or the algorithm is unknown ("hs256"...). */
IOR_MUST_CHECK enum ior_err token_key_init(struct token_key *k, const char *algorithm,
                                           struct ior_slice secret, struct ior_why *why);
/* What was signed with this secret is accepted, too. INVAL: not 16..1024 bytes. */
IOR_MUST_CHECK enum ior_err token_key_set_previous(struct token_key *k, struct ior_slice secret,
                                                   struct ior_why *why);
/* Append a token. INVAL: the name is empty, longer than USERNAME_BYTES_MAX, holds
 * a NUL or is no UTF-8. NOMEM. */
IOR_MUST_CHECK enum ior_err token_make(const struct token_key *k, struct ior_slice user,
                                       uint64_t credential, uint64_t now_s, uint64_t lifetime_s,
                                       struct ior_buf *out);
/* Signature, algorithm, expiry and shape; not whether the user still exists (the
 * caller asks the policy: credential must be the user's). NOPERM for everything
 * that is wrong with the token, NOMEM. */
IOR_MUST_CHECK enum ior_err token_verify(const struct token_key *k, struct ior_slice token,
                                         uint64_t now_s, struct token_claims *ret);

/* Verified tokens by BLAKE2b under a per-process key, so that a request costs a
 * hash and not a signature. Expiry is checked on every look-up. Bounded
 * (TOKEN_CACHE_SLOTS); a full bucket overwrites the oldest. Another key at
 * another address empties it; a key that changes in place needs token_cache_clear. */
struct token_cache;
IOR_MUST_CHECK enum ior_err token_cache_new(struct token_cache **ret);
void token_cache_free(struct token_cache *c);
IOR_MUST_CHECK enum ior_err token_cache_verify(struct token_cache *c, const struct token_key *k,
                                               struct ior_slice token, uint64_t now_s,
                                               struct token_claims *ret);
/* Whose token it is, and until when. */
struct token_holder {
    const struct policy_user *user;
    uint64_t expires_s;
};
/* Verified as above, the user exists in this policy, the token is not older than his credential,
 * and it is not among the revoked ones (NULL: there are none). NOPERM else, NOMEM.
 * Remembered beside the token while both objects are the same. */
IOR_MUST_CHECK enum ior_err token_cache_user(struct token_cache *c, const struct token_key *k,
                                             struct ior_slice token, uint64_t now_s,
                                             const struct policy *policy,
                                             const struct revoked *revoked,
                                             struct token_holder *ret);
void token_cache_clear(struct token_cache *c);
/* What a token is called among the revoked ones: BLAKE2b of its text, without a key, for it
 * has to be the same at the next start and on every node. Who has it cannot make the token. */
void token_id(struct ior_slice token, uint8_t ret[TOKEN_ID_BYTES]);
/* A secret for a first start: 32 random bytes as 64 hex digits. */
void token_secret_make(char out[65]);

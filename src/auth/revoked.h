/* src/auth/revoked.h - tokens that were taken back before their time (DELETE /sessions): which
 * ones, as one immutable object that all workers read without locks. A token is named by a hash of
 * its text (token_id() in token.h): a text is the only spelling of a token, also of one that was
 * made elsewhere and has no id of its own. Facts of group 0 (docs/formats.rst "Facts"):
 *   revoked/<user>/<32 hex digits>  {"until":S}  or  {"until":S,"v":N}
 * The user's name is folded (username.h), until is the token's exp, v its credential number. When
 * that time is over, or the user's number is another one, the fact says nothing any more and goes.
 * Thread: a draft has one owner; once it is given out it is never changed and is reference
 * counted. A change copies what one user has, and some pointers. */
#pragma once

#include "auth/policy.h"

enum { TOKEN_ID_BYTES = 16 };

struct revoked;
/* One of them. */
struct revoked_token {
    struct ior_slice user; /* folded */
    uint8_t id[TOKEN_ID_BYTES];
    uint64_t until_s;
    uint64_t credential; /* valid when has_credential */
    bool has_credential;
};

/* ---- facts ---- */
/* Is the key one of ours, well formed or not? */
bool revoked_fact_is(struct ior_slice key);
/* user in any case. Out of memory is seen by ior_buf_failed(). */
void revoked_fact_key(struct ior_buf *out, struct ior_slice user, const uint8_t id[TOKEN_ID_BYTES]);
void revoked_fact_value(struct ior_buf *out, const struct revoked_token *t);
/* value.data NULL: only the key. The user points into the key. CORRUPT with the key and what is
 * wrong in *why; NOMEM. */
IOR_MUST_CHECK enum ior_err revoked_fact_read(const struct fact *f, struct revoked_token *ret,
                                              struct ior_why *why);

/* ---- the object ---- */
/* A draft that holds what `from` (NULL: nothing) holds. NOMEM. */
IOR_MUST_CHECK enum ior_err revoked_new(const struct revoked *from, struct revoked **ret);
/* Into a draft, or (take_away) out of it, also when it is not there. NOMEM: the draft is as before.
 */
IOR_MUST_CHECK enum ior_err revoked_set(struct revoked *draft, const struct revoked_token *t,
                                        bool take_away);
struct revoked *revoked_ref(const struct revoked *r);
void revoked_unref(struct revoked *r); /* NULL is fine; a draft, too */

/* user in any case. */
bool revoked_has(const struct revoked *r, struct ior_slice user, const uint8_t id[TOKEN_ID_BYTES]);
size_t revoked_count(const struct revoked *r);
size_t revoked_count_of(const struct revoked *r, struct ior_slice user);
/* No other object of this process has this number: what was looked up may be kept beside it. */
uint64_t revoked_number(const struct revoked *r);
/* Those of one user, by number 0, 1...; false: there are no more. What user points to lives
 * as long as the object. */
bool revoked_of(const struct revoked *r, struct ior_slice user, size_t i,
                struct revoked_token *ret);
/* At most max of those that say nothing any more: their time is over, or (p not NULL) their
 * user's credential number is another one, and it only grows. Returns how many. */
size_t revoked_over(const struct revoked *r, const struct policy *p, uint64_t now_s,
                    struct revoked_token *ret, size_t max);

/* src/auth/policy.h - who may do what: users, groups and grants as one immutable
 * object, made from the facts of group 0 and shared by all workers.
 * A permission on (bucket, stream) holds if the user, one of his groups
 * (transitively) or `*` has it on exactly that stream, on the bucket, or on any
 * (API.md section 4). Bucket or stream patterns end in `*`. Membership in a group
 * and a grant to a user or group that has no fact of its own give nothing.
 * A new policy shares with the old one what did not change: a change of one user or grant
 * costs some microseconds, however many there are.
 * Thread: a draft has one owner; once it is given out it is never changed, is reference
 * counted, and is read without locks. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"

enum perm {
    PERM_GET = 1 << 0,
    PERM_PUT = 1 << 1,
    PERM_DELETE = 1 << 2,
    PERM_LIST = 1 << 3,
    PERM_GRANT = 1 << 4,
    PERM_ADMINUSERS = 1 << 5,
    PERM_VIEWSTATS = 1 << 6,
    PERM_ADMINCLUSTER = 1 << 7,
};
#define PERM_ALL 0xffu
/* "get" ... "admincluster"; 0: no such permission. */
uint8_t policy_perm(struct ior_slice name);
const char *policy_perm_name(enum perm perm);

/* A fact of group 0: a key and a value, see docs/formats.rst "Facts".
 *   user/<name>    {"password":"$argon2id$...","credential":N,"groups":["g-..."],"since":S}
 *   group/<name>   {"groups":["g-..."]}            the groups it is a member of
 *   grant/<user|group|all>/<role>/<any|bucket|stream>/<bucket>/<stream>  {"perms":["get",...]}
 *   bootstrap      {}     the facts of a first start were all written: see policy_bootstrap
 *   deleted        {"credential":N}    no user that was deleted had a higher one
 * The separator in keys is the byte 0x1f, which no name can hold. A grant has
 * always its five separators; a part that it has no use for is empty: the role
 * of `all`, the bucket of `any`, the stream of `any` and `bucket`. Every part
 * of a value but `since` is required, other parts are kept as they are. Group names are exact
 * bytes; two users whose names differ only in case are CORRUPT. */
#define FACT_SEP "\x1f"
struct fact {
    struct ior_slice key;
    struct ior_slice value;
};

struct policy_user {
    char name[USERNAME_BYTES_MAX + 1];
    char password[128];  /* argon2id text */
    uint64_t credential; /* grows when the password changes; tokens carry it as "v"; a user
                            made again under an old name begins above the old one */
    uint64_t since_s;    /* Unix time: tokens without "v" must be younger; 0: they need not */
};

struct policy;

/* A draft that holds what `from` (NULL: nothing) holds. NOMEM. */
IOR_MUST_CHECK enum ior_err policy_draft(const struct policy *from, struct policy **ret);
/* Into a draft: a fact, or (value.data NULL) it is taken away, also when it is not there. Facts
 * may come in any order. Unknown kinds are skipped (they belong to other parts). A known fact
 * that cannot be read is CORRUPT and *why names it. NOMEM. NOSPC: more groups than
 * GROUP_IDS_MAX are named. After an error the draft is good for policy_unref() only. */
IOR_MUST_CHECK enum ior_err policy_set(struct policy *draft, const struct fact *f,
                                       struct ior_why *why);
/* All at once; a key that comes twice is CORRUPT. Else as policy_set(). */
IOR_MUST_CHECK enum ior_err policy_build(const struct fact *facts, size_t count,
                                         struct policy **ret, struct ior_why *why);
struct policy *policy_ref(const struct policy *p);
void policy_unref(struct policy *p); /* NULL is fine; a draft, too */
/* NULL: no such user. Names are compared without case (ASCII), as API.md wants uniqueness. */
const struct policy_user *policy_user(const struct policy *p, struct ior_slice name);
/* A number that no other policy of this process has: what was looked up in a policy may be
 * kept beside it. */
uint64_t policy_mark(const struct policy *p);
/* The groups that his fact names, each once: how many, and their names. */
size_t policy_user_groups(const struct policy_user *u);
struct ior_slice policy_user_group(const struct policy_user *u, size_t i);
/* The parts of his fact that this version does not know, as a JSON object; empty: none. */
struct ior_slice policy_user_extra(const struct policy_user *u);
/* user_renew.c: key and value of his fact after his password was changed (password: the text of
 * the new hash) or all his tokens were taken back (password NULL: it stays): a higher credential
 * number, and since is now, so that no token of before is good. INVAL, NOMEM. */
IOR_MUST_CHECK enum ior_err policy_user_renew(const struct policy_user *u, const char *password,
                                              uint64_t now_s, struct ior_buf *key,
                                              struct ior_buf *value);
/* user is a name (a user that does not exist has only what `*` has).
 * bucket and stream empty: permission on the node (any); stream empty: on the bucket. */
bool policy_allows(const struct policy *p, struct ior_slice user, enum perm perm,
                   struct ior_slice bucket, struct ior_slice stream);
/* The same for a user of this policy that was looked up already; NULL: he does not exist. */
bool policy_user_allows(const struct policy *p, const struct policy_user *who, enum perm perm,
                        struct ior_slice bucket, struct ior_slice stream);
/* Is there a fact of ours with exactly this key? */
bool policy_has_fact(const struct policy *p, struct ior_slice key);
/* Has he this permission anywhere: on any, on some bucket or on some stream? (GET /buckets) */
bool policy_allows_somewhere(const struct policy *p, struct ior_slice user, enum perm perm);

/* The facts of a first start (API.md section 4, last paragraph), except those
 * that are there already, and at last the fact `bootstrap`. Where that is there
 * nothing is made again, so a grant or user that was taken away stays away and
 * a first start that was cut short is completed. emit may keep nothing of its arguments.
 * Hashes passwords: see password.h for the thread. */
struct bootstrap {
    const char *admin_username;
    const char *admin_password;
    bool admin_password_is_shipped; /* the configured one is the shipped default */
    const char *shipped_password;   /* "secret" */
    const char *anon_username;
    const char *anon_password;
};
typedef enum ior_err (*bootstrap_emit)(void *ctx, struct fact fact);
/* Also replaces the admin's password when the stored one is still the shipped
 * one and the configured one is not; his credential number grows.
 * INVAL: a user name that username.h refuses, both names the same, or a password
 * that is empty or too long. NOMEM, and what emit gives; the rest is then not emitted. */
IOR_MUST_CHECK enum ior_err policy_bootstrap(const struct policy *now, const struct bootstrap *b,
                                             bootstrap_emit emit, void *ctx);

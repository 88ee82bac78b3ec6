/* src/auth/policy.h - who may do what: users, groups and grants as one immutable
 * object, built from the facts of group 0 and shared by all workers.
 * A permission on (bucket, stream) holds if the user, one of his groups
 * (transitively) or `*` has it on exactly that stream, on the bucket, or on any
 * (API.md section 4). Bucket or stream patterns end in `*`.
 * Thread: immutable after policy_build; reference counted; read without locks. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
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

/* A fact of group 0: a key and a value, see docs/formats.rst "Facts".
 *   user/<name>    {"password":"$argon2id$...","credential":N,"groups":["g-..."]}
 *   group/<name>   {"groups":["g-..."]}            the groups it is a member of
 *   grant/<user|group|all>/<role>/<any|bucket|stream>/<bucket>/<stream>  {"perms":["get",...]}
 * The separator in keys is the byte 0x1f, which no name can hold. */
#define FACT_SEP "\x1f"
struct fact {
    struct ior_slice key;
    struct ior_slice value;
};

struct policy_user {
    char name[256];
    char password[128]; /* argon2id text */
    uint64_t credential; /* grows when the password changes; tokens carry it as "v" */
};

struct policy;

/* Unknown kinds of facts are skipped (they belong to other parts). A known fact
 * that cannot be read is CORRUPT and *why names it. NOMEM. */
IOR_MUST_CHECK enum ior_err policy_build(const struct fact *facts, size_t count,
                                         struct policy **ret, struct ior_why *why);
struct policy *policy_ref(struct policy *p);
void policy_unref(struct policy *p);
/* NULL: no such user. Names are compared without case (ASCII), as API.md wants uniqueness. */
const struct policy_user *policy_user(const struct policy *p, struct ior_slice name);
/* user is a name (a user that does not exist has only what `*` has).
 * bucket and stream empty: permission on the node (any); stream empty: on the bucket. */
bool policy_allows(const struct policy *p, struct ior_slice user, enum perm perm,
                   struct ior_slice bucket, struct ior_slice stream);
/* Has he this permission anywhere: on any, on some bucket or on some stream? (GET /buckets) */
bool policy_allows_somewhere(const struct policy *p, struct ior_slice user, enum perm perm);

/* The facts of a first start (API.md section 4, last paragraph), except those
 * that are there already: idempotent. emit may keep nothing of its arguments.
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
 * one and the configured one is not. */
IOR_MUST_CHECK enum ior_err policy_bootstrap(const struct policy *now, const struct bootstrap *b,
                                             bootstrap_emit emit, void *ctx);

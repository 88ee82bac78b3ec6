/* src/auth/role.h - private to src/auth: the grants of one user, of one group or
 * of `*`, arranged so that a question costs at most two look-ups.
 * A role is immutable: a change makes a new one, which shares what did not change.
 * Thread: a new role has one owner until it is given out; then it is read without locks. */
#pragma once

#include "auth/fact.h"
#include "base/blob.h"
#include "base/cowmap.h"

/* One grant, as its fact says it. */
struct role_grant {
    struct ior_shared shared;
    enum fact_role role;
    uint8_t perms;
    struct ior_slice name; /* of the user or group, as it stands in the key; of `*` empty */
    struct ior_slice bucket;
    struct ior_slice stream;
    struct ior_blob *extra; /* fact_value.extra */
    uint8_t bytes[];
};

/* What one role has on one bucket, stream or pattern, exactly as it is named there. */
struct role_target {
    struct ior_shared shared;
    struct ior_slice bucket; /* empty: on any */
    struct ior_slice stream; /* empty: the bucket itself */
    uint8_t perms;           /* of all its grants */
    uint32_t grants_count;   /* more than one: the user's name in letters of several cases */
    uint32_t patterns_count; /* of the bucket itself: of streams in it */
    struct role_grant **grants;
    struct role_target **patterns;
    void *room[];
};

struct role {
    struct ior_shared shared;
    uint8_t any;               /* permissions on any */
    uint8_t some;              /* permissions on some bucket, stream or pattern */
    uint32_t targets_with[8];  /* for each permission: so many of those have it */
    struct ior_cowmap targets; /* struct role_target */
    uint32_t wild_count;
    struct role_target *wild[]; /* those whose bucket is a pattern */
};

/* What is asked of several roles, hashed once. */
struct role_question {
    struct ior_slice bucket;
    struct ior_slice stream; /* empty: the bucket itself */
    uint64_t bucket_hash;
    uint64_t stream_hash;
};

/* Hash of a name that users chose, for a table of whoever knows the salt. */
uint64_t role_hash(uint64_t salt, struct ior_slice name);
uint64_t role_hash_target(uint64_t salt, struct ior_slice bucket, struct ior_slice stream);

/* A grant with the parts of a key; extra is borrowed. NULL: no memory. */
struct role_grant *role_grant_new(const struct fact_key *key, uint8_t perms,
                                  struct ior_blob *extra);
/* *role (NULL: one without grants) becomes the role that has this grant too, in place of one by
 * the same name on the same target; or (take_away) that has none there. NULL: nothing
 * is left. The old role's reference is given back. NOMEM: *role is as it was. */
IOR_MUST_CHECK enum ior_err role_change(struct role **role, uint64_t salt,
                                        const struct role_grant *grant, bool take_away);
void role_unref(struct role *r);       /* NULL is fine */
struct role *role_ref(struct role *r); /* NULL is fine */
const struct role_target *role_target_of(const struct role *r, uint64_t salt,
                                         struct ior_slice bucket, struct ior_slice stream);
static inline const struct role_target *role_target_at(const struct ior_shared *s)
{
    return (const struct role_target *)(const void *)s; /* it is the first member */
}

/* The bucket is not empty; both names are within their limits. */
struct role_question role_ask(uint64_t salt, struct ior_slice bucket, struct ior_slice stream);
/* What gives it, if something else than a grant on any does; NULL: nothing. */
const struct role_target *role_gives(const struct role *r, const struct role_question *q,
                                     uint8_t perm);
/* Does the name end in `*`? */
bool role_is_pattern(struct ior_slice name);

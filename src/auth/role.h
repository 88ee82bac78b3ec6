/* src/auth/role.h - private to src/auth: the grants of one user, of one group or
 * of `*`, arranged so that a question costs at most two look-ups.
 * Thread: one while it is filled; after that it is read without locks. */
#pragma once

#include "auth/policy.h"
#include "base/map.h"

/* A target that ends in `*`: every name that begins with what is before it. */
struct role_pattern {
    struct role_pattern *next;
    struct ior_slice bucket;
    struct ior_slice stream; /* empty: the whole bucket */
    bool bucket_is_prefix;
    bool stream_is_prefix;
    uint8_t perms;
};

struct role {
    struct ior_map targets;    /* exact buckets and exact streams: struct role_target */
    struct role_pattern *wild; /* patterns whose bucket is one */
    uint8_t any;               /* permissions on any */
    uint8_t some;              /* permissions on some bucket, stream or pattern */
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
void role_init(struct role *r);
void role_done(struct role *r);
/* bucket and stream as in the grant's key, empty where the scope has none; they
 * must outlive the role. salt: the same for all roles and questions. NOMEM. */
IOR_MUST_CHECK enum ior_err role_add(struct role *r, uint64_t salt, struct ior_slice bucket,
                                     struct ior_slice stream, uint8_t perms);
/* The bucket is not empty; both names are within their limits. */
struct role_question role_ask(uint64_t salt, struct ior_slice bucket, struct ior_slice stream);
/* By a grant on something else than any? */
bool role_allows(const struct role *r, const struct role_question *q, uint8_t perm);

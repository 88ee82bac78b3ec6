/* src/auth/access_parts.h - private to src/auth: what access.c, access_members.c and
 * access_grants.c share. */
#pragma once

#include "auth/access.h"
#include "auth/policy_parts.h"

#define GROUP_EVERY_USER "g-authenticated" /* who is made joins it */
#define GROUP_OF_ADMINS "g-admin"

/* So many facts at a time: a part of a wish holds a worker for about a millisecond. */
enum { ACCESS_PART_FACTS = 64 };

struct access_run {
    const struct policy *now;
    const struct access_wish *w;
    access_emit emit;
    void *ctx;
    struct access_problem *problem;
    size_t facts; /* so many were emitted */
    bool more;    /* something is left for the next part */
    struct ior_buf key;
    struct ior_buf value;
};

/* With what is in r->value (unset: nothing), which is emptied; err: of making it. */
IOR_MUST_CHECK enum ior_err access_give(struct access_run *r, const struct fact_key *key,
                                        enum ior_err err);
IOR_MUST_CHECK enum ior_err access_take_away(struct access_run *r, const struct fact_key *key);
/* Of this error, with the field (NULL: none) and a text. */
enum ior_err access_fail(struct access_run *r, enum ior_err err, const char *field,
                         const char *text);

/* A user or a group. With `*` allowed, both NULL and is_all. */
struct access_who {
    const struct policy_member *user;
    const struct policy_group *group;
    bool is_all;
};
/* Err NOTFOUND: there is none, INVAL: there are a user and a group; the text is set. */
IOR_MUST_CHECK enum ior_err access_find(struct access_run *r, struct ior_slice text, bool all_too,
                                        struct access_who *ret);

/* access_grants.c */
IOR_MUST_CHECK enum ior_err access_change_grant(struct access_run *r, bool grant);
/* Every grant of this role, or on this shelf, goes. r->more: not all of them yet. */
IOR_MUST_CHECK enum ior_err access_drop_role(struct access_run *r, const struct role *role);
IOR_MUST_CHECK enum ior_err access_drop_shelf(struct access_run *r, struct ior_slice bucket);
IOR_MUST_CHECK enum ior_err access_own_bucket(struct access_run *r, struct ior_slice name,
                                              struct ior_slice bucket);

/* access_members.c */
IOR_MUST_CHECK enum ior_err access_group_new(struct access_run *r);
IOR_MUST_CHECK enum ior_err access_group_delete(struct access_run *r);
IOR_MUST_CHECK enum ior_err access_member_add(struct access_run *r);
IOR_MUST_CHECK enum ior_err access_member_remove(struct access_run *r);

/* src/auth/policy_list.h - what a policy holds, as lists: users, groups, members, grants; and why
 * somebody may do something.
 * Thread: any that holds a reference to the policy. A list of many users takes milliseconds. */
#pragma once

#include "auth/policy.h"

enum policy_kind { POLICY_USER, POLICY_GROUP, POLICY_ALL };

struct policy_row {
    enum policy_kind kind;
    struct ior_slice name; /* of POLICY_ALL: `*` */
    uint8_t perms;         /* of a grant */
    size_t members;        /* of a group: direct ones */
    const void *object;    /* private */
};
/* Sorted by kind, then by the bytes of the names. They live as long as the policy. */
struct policy_rows {
    struct policy_row *rows; /* freed by policy_rows_done() */
    size_t count;
};
IOR_MUST_CHECK enum ior_err policy_list_users(const struct policy *p, struct policy_rows *ret);
IOR_MUST_CHECK enum ior_err policy_list_groups(const struct policy *p, struct policy_rows *ret);
/* Direct ones. NOTFOUND: no such group. */
IOR_MUST_CHECK enum ior_err policy_list_members(const struct policy *p, struct ior_slice group,
                                                struct policy_rows *ret);
/* Grants on exactly this; both empty: on the node, stream empty: on the bucket. */
IOR_MUST_CHECK enum ior_err policy_list_grants(const struct policy *p, struct ior_slice bucket,
                                               struct ior_slice stream, struct policy_rows *ret);
void policy_rows_done(struct policy_rows *r);
/* The groups that a user or group of a list is a direct member of. */
size_t policy_row_groups(const struct policy_row *row);
struct ior_slice policy_row_group(const struct policy_row *row, size_t i);

/* The grant that decides, as it stands. */
enum { POLICY_PATH_MAX = 64 };
struct policy_reason {
    bool allowed; /* false: the rest is not set */
    enum policy_kind kind;
    struct ior_slice name;
    struct ior_slice bucket; /* empty: on any */
    struct ior_slice stream; /* empty: the whole bucket */
    /* The groups from the user to the one that has the grant, the first POLICY_PATH_MAX. */
    struct ior_slice path[POLICY_PATH_MAX];
    size_t path_count;
};
/* As policy_allows(), and why: his own grant before that of everybody, before those of groups,
 * nearer groups first. */
void policy_explain(const struct policy *p, struct ior_slice user, enum perm perm,
                    struct ior_slice bucket, struct ior_slice stream, struct policy_reason *ret);

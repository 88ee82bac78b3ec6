/* src/auth/policy_parts.h - private to src/auth: what a policy is made of, shared by
 * policy_set.c, which fills it, and by those that ask it. */
#pragma once

#include "auth/policy.h"
#include "auth/role.h"
#include "base/cowmap.h"

#define POLICY_MAGIC 0x706f6c32u

/* A group as others refer to it: it stays the same as long as anybody does, whether there is a
 * fact of it or not. */
struct group_name {
    struct ior_shared shared;
    uint32_t id; /* below GROUP_IDS_MAX; given again when nobody refers to it any more */
    struct ior_slice name;
    uint8_t bytes[];
};

struct policy_group {
    struct ior_shared shared;
    bool exists; /* it has a fact */
    struct role *own;
    struct group_name *name;
    struct ior_blob *extra;
    struct ior_cowmap members; /* struct policy_member_name: who names it in his fact */
    size_t parents_count;
    struct group_name *parents[]; /* the groups it is a member of */
};

struct policy_member_name {
    struct ior_shared shared;
    enum fact_role role; /* user or group */
    struct ior_slice name;
    uint8_t bytes[];
};

struct policy_member {
    struct policy_user shown; /* first: policy_user gives this out */
    struct ior_shared shared;
    bool exists; /* he has a fact; else only grants, that give nothing */
    struct role *own;
    struct ior_blob *extra;
    size_t groups_count;
    struct group_name *groups[]; /* direct */
};

/* The grants whose facts name one bucket (or bucket pattern; "": any), streams in it included. */
struct policy_shelf {
    struct ior_shared shared;
    struct ior_slice bucket;
    struct ior_cowmap grants; /* struct role_grant, by role, name and stream */
    uint8_t bytes[];
};

struct policy {
    uint32_t magic;
    _Atomic uint32_t refs;
    uint64_t salt; /* of all policies that come from one */
    uint64_t mark;
    struct role *everyone;          /* what `*` has; NULL: nothing */
    struct ior_cowmap groups_by_id; /* of those in groups, by their ids as they are */
    struct ior_cowmap groups;       /* by name; also those without a fact */
    struct ior_cowmap users;        /* by folded name; also those without a fact */
    struct ior_cowmap shelves;
    size_t users_count; /* those with a fact; so are the next */
    size_t groups_count;
    size_t grants_count;
    bool has_bootstrap;
    bool has_deleted;
    uint64_t deleted_credential;
};

/* NULL: none, or (user, group) only grants or memberships that name one. */
struct policy_member *policy_find_user(const struct policy *p, struct ior_slice name);
struct policy_group *policy_find_group(const struct policy *p, struct ior_slice name);
struct policy_shelf *policy_find_shelf(const struct policy *p, struct ior_slice bucket);
struct role_grant *policy_find_grant(const struct policy *p, const struct fact_key *key);
const struct policy_group *policy_group_of_id(const struct policy *p, uint32_t id);
/* For the tables. A user's name is at most USERNAME_BYTES_MAX bytes. */
uint64_t policy_hash_user(const struct policy *p, struct ior_slice name);
uint64_t policy_hash_named(const struct policy *p, enum fact_role role, struct ior_slice name,
                           struct ior_slice more);
bool policy_same_user(const struct ior_shared *object, const void *name);
bool policy_same_group(const struct ior_shared *object, const void *name);
bool policy_same_shelf(const struct ior_shared *object, const void *name);
bool policy_same_grant(const struct ior_shared *object, const void *fact_key);

/* ---- every group of a user ---- */

/* Breadth first over the groups of the groups, each once, so circles end. */
struct group_walk {
    const struct policy *policy;
    size_t count;
    size_t at;
    uint64_t seen[GROUP_IDS_MAX / 64];
    struct {
        uint16_t id;
        uint16_t from; /* its place in this list, + 1; 0: the user himself */
    } queue[GROUP_IDS_MAX];
};
void group_walk_begin(struct group_walk *w, const struct policy *p,
                      struct group_name *const *direct, size_t count);
/* NULL: that was all. Those without a fact are left out, and so is what is behind them. */
const struct policy_group *group_walk_next(struct group_walk *w);

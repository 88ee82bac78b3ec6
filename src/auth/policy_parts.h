/* src/auth/policy_parts.h - private to src/auth: what a policy is made of, shared by
 * policy_build.c, which fills it, and policy.c, which asks it. */
#pragma once

#include <stdatomic.h>

#include "auth/policy.h"
#include "auth/role.h"
#include "base/map.h"

#define POLICY_MAGIC 0x706f6c31u

struct policy_group {
    struct ior_slice name;
    struct role role;
    struct policy_group **parents; /* the groups it is a member of */
    size_t parents_count;
    size_t mark; /* the walk that reached it last */
};

struct policy_member {
    struct policy_user shown; /* first: policy_user gives this out */
    struct role own;
    struct policy_group **groups; /* direct */
    size_t groups_count;
    const struct role **roles; /* who have more than grants on any: own, groups', `*` */
    size_t roles_count;
    uint8_t any;  /* of all his roles */
    uint8_t some; /* likewise */
};

struct policy {
    uint32_t magic;
    _Atomic uint32_t refs;
    uint64_t salt;
    uint8_t *text; /* the keys of all facts of ours; every slice below points here */
    struct ior_slice *keys;
    struct policy_member *users;
    struct policy_group *groups;
    size_t keys_count;
    size_t users_count;
    size_t groups_count;
    struct ior_map by_key;
    struct ior_map by_user; /* by folded name */
    struct ior_map by_group;
    struct role everyone; /* what `*` has */
};

/* NULL: none. */
struct policy_member *policy_find_user(const struct policy *p, struct ior_slice name);
struct policy_group *policy_find_group(const struct policy *p, struct ior_slice name);
/* Of the folded name, which is at most USERNAME_BYTES_MAX bytes. */
uint64_t policy_hash_user(const struct policy *p, struct ior_slice name);
void policy_free(struct policy *p);

/* src/auth/policy.c - see policy.h. Thread: any, without locks.
 * Happy path of policy_allows, on the path of every request: one look-up of the
 * user; what he or his roles have on any is one mask in him; else his roles that
 * have more than that (his own, his groups', `*`'s: usually one to three) are
 * asked in turn, two look-ups each (role.c). Nothing is allocated.
 * Failure: none; whoever is not known has what `*` has. */
#include "auth/policy.h"

#include <stdlib.h>

#include "auth/policy_parts.h"
#include "auth/username.h"
#include "base/assert.h"

static bool same_key(const void *object, const void *key)
{
    return ior_slice_eq(*(const struct ior_slice *)object, *(const struct ior_slice *)key);
}

static bool same_user(const void *object, const void *key)
{
    const struct policy_member *u = object;
    return username_same(ior_slice_str(u->shown.name), *(const struct ior_slice *)key);
}

static bool same_group(const void *object, const void *key)
{
    const struct policy_group *g = object;
    return ior_slice_eq(g->name, *(const struct ior_slice *)key);
}

uint64_t policy_hash_user(const struct policy *p, struct ior_slice name)
{
    uint8_t folded[USERNAME_BYTES_MAX];
    return role_hash(p->salt, username_fold(name, folded));
}

struct policy_member *policy_find_user(const struct policy *p, struct ior_slice name)
{
    if (name.size_bytes == 0 || name.size_bytes > USERNAME_BYTES_MAX) return NULL;
    return ior_map_find(&p->by_user, policy_hash_user(p, name), same_user, &name);
}

struct policy_group *policy_find_group(const struct policy *p, struct ior_slice name)
{
    return ior_map_find(&p->by_group, role_hash(p->salt, name), same_group, &name);
}

void policy_free(struct policy *p)
{
    for (size_t i = 0; p->users != NULL && i < p->users_count; i++) {
        role_done(&p->users[i].own);
        free(p->users[i].groups);
        free(p->users[i].roles);
    }
    for (size_t i = 0; p->groups != NULL && i < p->groups_count; i++) {
        role_done(&p->groups[i].role);
        free(p->groups[i].parents);
    }
    role_done(&p->everyone);
    ior_map_done(&p->by_key);
    ior_map_done(&p->by_user);
    ior_map_done(&p->by_group);
    free(p->text);
    free(p->keys);
    free(p->users);
    free(p->groups);
    p->magic = 0;
    free(p);
}

struct policy *policy_ref(struct policy *p)
{
    IOR_CHECK_MAGIC(p, POLICY_MAGIC);
    uint32_t before = atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    IOR_ASSERT(before > 0 && before < UINT32_MAX);
    return p;
}

void policy_unref(struct policy *p)
{
    if (p == NULL) return;
    IOR_CHECK_MAGIC(p, POLICY_MAGIC);
    uint32_t before = atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel);
    IOR_ASSERT(before > 0);
    if (before == 1) policy_free(p);
}

const struct policy_user *policy_user(const struct policy *p, struct ior_slice name)
{
    IOR_CHECK_MAGIC(p, POLICY_MAGIC);
    const struct policy_member *u = policy_find_user(p, name);
    return u == NULL ? NULL : &u->shown;
}

uint64_t policy_mark(const struct policy *p)
{
    IOR_CHECK_MAGIC(p, POLICY_MAGIC);
    return p->salt;
}

size_t policy_user_groups(const struct policy_user *u)
{
    return ((const struct policy_member *)u)->groups_count;
}

struct ior_slice policy_user_group(const struct policy_user *u, size_t i)
{
    const struct policy_member *of = (const struct policy_member *)u;
    IOR_ASSERT(i < of->groups_count);
    return of->groups[i]->name;
}

bool policy_has_fact(const struct policy *p, struct ior_slice key)
{
    IOR_CHECK_MAGIC(p, POLICY_MAGIC);
    return ior_map_find(&p->by_key, role_hash(p->salt, key), same_key, &key) != NULL;
}

bool policy_allows(const struct policy *p, struct ior_slice user, enum perm perm,
                   struct ior_slice bucket, struct ior_slice stream)
{
    return policy_user_allows(p, policy_user(p, user), perm, bucket, stream);
}

bool policy_user_allows(const struct policy *p, const struct policy_user *who, enum perm perm,
                        struct ior_slice bucket, struct ior_slice stream)
{
    IOR_CHECK_MAGIC(p, POLICY_MAGIC);
    IOR_ASSERT(perm != 0 && (perm & (perm - 1)) == 0);
    uint8_t bit = (uint8_t)perm;
    const struct policy_member *u = (const struct policy_member *)who;
    uint8_t any = u == NULL ? p->everyone.any : u->any;
    uint8_t some = u == NULL ? p->everyone.some : u->some;
    if ((any & bit) != 0) return true;
    if ((some & bit) == 0 || bucket.size_bytes == 0) return false;
    /* Names this long cannot exist, so nobody has anything on them. */
    if (bucket.size_bytes > BUCKET_BYTES_MAX || stream.size_bytes > STREAM_BYTES_MAX) return false;

    struct role_question q = role_ask(p->salt, bucket, stream);
    if (u == NULL) return role_allows(&p->everyone, &q, bit);
    for (size_t i = 0; i < u->roles_count; i++) {
        if (role_allows(u->roles[i], &q, bit)) return true;
    }
    return false;
}

bool policy_allows_somewhere(const struct policy *p, struct ior_slice user, enum perm perm)
{
    IOR_CHECK_MAGIC(p, POLICY_MAGIC);
    IOR_ASSERT(perm != 0 && (perm & (perm - 1)) == 0);
    const struct policy_member *u = policy_find_user(p, user);
    unsigned has = u == NULL ? p->everyone.any | p->everyone.some : u->any | u->some;
    return (has & (unsigned)perm) != 0;
}

/* src/auth/policy.c - see policy.h. Thread: any, without locks.
 * Happy path of policy_user_allows, on the path of every request: what he himself has on any is
 * one mask; else his roles (his own, `*`'s, those of his groups: usually one to three) are
 * asked in turn, two look-ups each (role.c). Groups of groups are walked only if there
 * are any. Nothing is allocated.
 * Failure: none; whoever is not known has what `*` has. */
#include "auth/policy.h"

#include <stdlib.h>

#include "auth/policy_parts.h"
#include "auth/username.h"
#include "base/assert.h"
#include "base/hash.h"

/* ---- the tables ---- */

static const struct policy_member *member_at(const struct ior_shared *s)
{
    return (const struct policy_member *)(const void *)((const char *)s -
                                                        offsetof(struct policy_member, shared));
}

bool policy_same_user(const struct ior_shared *object, const void *name)
{
    return username_same(ior_slice_str(member_at(object)->shown.name),
                         *(const struct ior_slice *)name);
}

bool policy_same_group(const struct ior_shared *object, const void *name)
{
    const struct policy_group *g = (const void *)object;
    return ior_slice_eq(g->name->name, *(const struct ior_slice *)name);
}

bool policy_same_shelf(const struct ior_shared *object, const void *name)
{
    const struct policy_shelf *s = (const void *)object;
    return ior_slice_eq(s->bucket, *(const struct ior_slice *)name);
}

bool policy_same_grant(const struct ior_shared *object, const void *fact_key)
{
    const struct role_grant *g = (const void *)object;
    const struct fact_key *k = fact_key;
    return g->role == k->role && ior_slice_eq(g->name, k->name) &&
           ior_slice_eq(g->stream, k->stream);
}

static bool any_group(const struct ior_shared *object, const void *key)
{
    (void)object; /* ids are the whole hash */
    (void)key;
    return true;
}

uint64_t policy_hash_user(const struct policy *p, struct ior_slice name)
{
    uint8_t folded[USERNAME_BYTES_MAX];
    return role_hash(p->salt, username_fold(name, folded));
}

uint64_t policy_hash_named(const struct policy *p, enum fact_role role, struct ior_slice name,
                           struct ior_slice more)
{
    const uint64_t parts[3] = {ior_hash(name), ior_hash(more), (uint64_t)role};
    return role_hash(p->salt, ior_slice(parts, sizeof parts));
}

struct policy_member *policy_find_user(const struct policy *p, struct ior_slice name)
{
    if (name.size_bytes == 0 || name.size_bytes > USERNAME_BYTES_MAX) return NULL;
    struct ior_shared *s =
        ior_cowmap_find(&p->users, policy_hash_user(p, name), policy_same_user, &name);
    return s == NULL ? NULL : IOR_CONTAINER(s, struct policy_member, shared);
}

struct policy_group *policy_find_group(const struct policy *p, struct ior_slice name)
{
    struct ior_shared *s =
        ior_cowmap_find(&p->groups, role_hash(p->salt, name), policy_same_group, &name);
    return s == NULL ? NULL : IOR_CONTAINER(s, struct policy_group, shared);
}

struct policy_shelf *policy_find_shelf(const struct policy *p, struct ior_slice bucket)
{
    struct ior_shared *s =
        ior_cowmap_find(&p->shelves, role_hash(p->salt, bucket), policy_same_shelf, &bucket);
    return s == NULL ? NULL : IOR_CONTAINER(s, struct policy_shelf, shared);
}

struct role_grant *policy_find_grant(const struct policy *p, const struct fact_key *key)
{
    const struct policy_shelf *shelf = policy_find_shelf(p, key->bucket);
    if (shelf == NULL) return NULL;
    uint64_t hash = policy_hash_named(p, key->role, key->name, key->stream);
    struct ior_shared *s = ior_cowmap_find(&shelf->grants, hash, policy_same_grant, key);
    return s == NULL ? NULL : IOR_CONTAINER(s, struct role_grant, shared);
}

const struct policy_group *policy_group_of_id(const struct policy *p, uint32_t id)
{
    return (const void *)ior_cowmap_find(&p->groups_by_id, id, any_group, NULL);
}

/* ---- users ---- */

struct policy *policy_ref(const struct policy *shared)
{
    struct policy *p = (struct policy *)(uintptr_t)shared; /* only refs changes */
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
    if (before > 1) return;
    role_unref(p->everyone);
    ior_cowmap_done(&p->groups_by_id);
    ior_cowmap_done(&p->groups);
    ior_cowmap_done(&p->users);
    ior_cowmap_done(&p->shelves);
    p->magic = 0;
    free(p);
}

const struct policy_user *policy_user(const struct policy *p, struct ior_slice name)
{
    IOR_CHECK_MAGIC(p, POLICY_MAGIC);
    const struct policy_member *u = policy_find_user(p, name);
    return u == NULL || !u->exists ? NULL : &u->shown;
}

uint64_t policy_mark(const struct policy *p)
{
    IOR_CHECK_MAGIC(p, POLICY_MAGIC);
    return p->mark;
}

static const struct policy_member *member_of(const struct policy_user *u)
{
    return (const struct policy_member *)u;
}

size_t policy_user_groups(const struct policy_user *u)
{
    return member_of(u)->groups_count;
}

struct ior_slice policy_user_group(const struct policy_user *u, size_t i)
{
    IOR_ASSERT(i < member_of(u)->groups_count);
    return member_of(u)->groups[i]->name;
}

struct ior_slice policy_user_extra(const struct policy_user *u)
{
    const struct ior_blob *extra = member_of(u)->extra;
    return extra == NULL ? IOR_SLICE("") : ior_slice(extra->data, extra->size_bytes);
}

bool policy_has_fact(const struct policy *p, struct ior_slice key)
{
    IOR_CHECK_MAGIC(p, POLICY_MAGIC);
    struct fact_key k;
    if (fact_key_read(key, &k, NULL) != IOR_OK) return false;
    if (k.kind == FACT_USER) {
        const struct policy_member *u = policy_find_user(p, k.name);
        return u != NULL && u->exists && ior_slice_eq(ior_slice_str(u->shown.name), k.name);
    }
    if (k.kind == FACT_GROUP) {
        const struct policy_group *g = policy_find_group(p, k.name);
        return g != NULL && g->exists;
    }
    if (k.kind == FACT_GRANT) return policy_find_grant(p, &k) != NULL;
    if (k.kind == FACT_DELETED) return p->has_deleted;
    return k.kind == FACT_BOOTSTRAP && p->has_bootstrap;
}

/* ---- groups of groups ---- */

static void walk_add(struct group_walk *w, uint32_t id, size_t from)
{
    uint64_t bit = (uint64_t)1 << (id % 64);
    IOR_ASSERT(id < GROUP_IDS_MAX);
    if ((w->seen[id / 64] & bit) != 0) return;
    w->seen[id / 64] |= bit;
    w->queue[w->count].id = (uint16_t)id;
    w->queue[w->count++].from = (uint16_t)from;
}

void group_walk_begin(struct group_walk *w, const struct policy *p,
                      struct group_name *const *direct, size_t count)
{
    w->policy = p;
    w->count = w->at = 0;
    memset(w->seen, 0, sizeof w->seen);
    for (size_t i = 0; i < count; i++) walk_add(w, direct[i]->id, 0);
}

const struct policy_group *group_walk_next(struct group_walk *w)
{
    while (w->at < w->count) {
        const struct policy_group *g = policy_group_of_id(w->policy, w->queue[w->at].id);
        w->at++;
        IOR_ASSERT(g != NULL);
        if (!g->exists) continue;
        for (size_t i = 0; i < g->parents_count; i++) walk_add(w, g->parents[i]->id, w->at);
        return g;
    }
    return NULL;
}

/* ---- may he? ---- */

struct asked {
    const struct policy *policy;
    uint8_t bit;
    struct ior_slice bucket;
    struct ior_slice stream;
    bool is_hashed;
    struct role_question q;
};

static bool role_allows(const struct role *r, struct asked *a)
{
    if (r == NULL) return false;
    if ((r->any & a->bit) != 0) return true;
    if ((r->some & a->bit) == 0 || a->bucket.size_bytes == 0) return false;
    /* Names this long cannot exist, so nobody has anything on them. */
    if (a->bucket.size_bytes > BUCKET_BYTES_MAX || a->stream.size_bytes > STREAM_BYTES_MAX)
        return false;
    if (!a->is_hashed) a->q = role_ask(a->policy->salt, a->bucket, a->stream);
    a->is_hashed = true;
    return role_gives(r, &a->q, a->bit) != NULL;
}

static bool deep_groups_allow(const struct policy_member *u, struct asked *a)
{
    struct group_walk w;
    group_walk_begin(&w, a->policy, u->groups, u->groups_count);
    for (const struct policy_group *g; (g = group_walk_next(&w)) != NULL;) {
        if (role_allows(g->own, a)) return true;
    }
    return false;
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
    const struct policy_member *u = (const struct policy_member *)who;
    struct asked a;
    a.policy = p;
    a.bit = (uint8_t)perm;
    a.bucket = bucket;
    a.stream = stream;
    a.is_hashed = false;
    if (u != NULL && role_allows(u->own, &a)) return true;
    if (role_allows(p->everyone, &a)) return true;
    bool deep = false;
    for (size_t i = 0; u != NULL && i < u->groups_count; i++) {
        const struct policy_group *g = policy_group_of_id(p, u->groups[i]->id);
        IOR_ASSERT(g != NULL);
        if (g->exists && role_allows(g->own, &a)) return true;
        deep = deep || (g->exists && g->parents_count > 0);
    }
    return deep && deep_groups_allow(u, &a);
}

static bool has_somewhere(const struct role *r, unsigned bit)
{
    return r != NULL && ((r->any | r->some) & bit) != 0;
}

bool policy_allows_somewhere(const struct policy *p, struct ior_slice user, enum perm perm)
{
    IOR_CHECK_MAGIC(p, POLICY_MAGIC);
    IOR_ASSERT(perm != 0 && (perm & (perm - 1)) == 0);
    const struct policy_member *u = policy_find_user(p, user);
    if (has_somewhere(p->everyone, perm)) return true;
    if (u == NULL || !u->exists) return false;
    if (has_somewhere(u->own, perm)) return true;
    struct group_walk w;
    group_walk_begin(&w, p, u->groups, u->groups_count);
    for (const struct policy_group *g; (g = group_walk_next(&w)) != NULL;) {
        if (has_somewhere(g->own, perm)) return true;
    }
    return false;
}

/* src/auth/policy_set.c - facts become a policy (policy.h), one by one. Thread: whoever owns
 * the draft.
 * Happy path: a fact is read, the user, group or role that it is about is made anew and put in
 * the place of the old one; tables share the rest with the policy that the draft came from.
 * Facts come in any order: a grant to, or a membership in, what has no fact yet is kept and
 * begins to count when that comes.
 * Failure: CORRUPT and the key, NOSPC or NOMEM; what the draft holds then is of no use. */
#include <stdlib.h>

#include "auth/policy_parts.h"
#include "auth/username.h"
#include "base/assert.h"
#include "rt/rand.h"

enum ior_err policy_draft(const struct policy *from, struct policy **ret)
{
    static _Atomic uint64_t last_mark;
    struct policy *p = calloc(1, sizeof *p);
    if (p == NULL) return IOR_E_NOMEM;
    if (from != NULL) {
        IOR_CHECK_MAGIC(from, POLICY_MAGIC);
        *p = (struct policy){
            .salt = from->salt,
            .everyone = role_ref(from->everyone),
            .groups_by_id = ior_cowmap_copy(&from->groups_by_id),
            .groups = ior_cowmap_copy(&from->groups),
            .users = ior_cowmap_copy(&from->users),
            .shelves = ior_cowmap_copy(&from->shelves),
            .users_count = from->users_count,
            .groups_count = from->groups_count,
            .grants_count = from->grants_count,
            .has_bootstrap = from->has_bootstrap,
            .has_deleted = from->has_deleted,
            .deleted_credential = from->deleted_credential,
        };
    } else {
        p->salt = rand_u64();
    }
    p->magic = POLICY_MAGIC;
    atomic_init(&p->refs, 1);
    p->mark = atomic_fetch_add(&last_mark, 1) + 1;
    *ret = p;
    return IOR_OK;
}

/* ---- users ---- */

static void member_free(struct ior_shared *s)
{
    struct policy_member *u = IOR_CONTAINER(s, struct policy_member, shared);
    role_unref(u->own);
    ior_blob_unref(u->extra);
    for (size_t i = 0; i < u->groups_count; i++) ior_shared_unref(&u->groups[i]->shared);
    free(u);
}

static struct policy_member *member_new(struct ior_slice name, size_t groups_room)
{
    struct policy_member *u = calloc(1, sizeof *u + groups_room * sizeof(struct group_name *));
    if (u == NULL) return NULL;
    ior_shared_init(&u->shared, member_free);
    memcpy(u->shown.name, name.data, name.size_bytes);
    return u;
}

/* The same user with another role, whose reference is taken. */
static struct policy_member *member_with_role(const struct policy_member *old,
                                              struct ior_slice name, struct role *own)
{
    struct policy_member *u = member_new(name, old == NULL ? 0 : old->groups_count);
    if (u == NULL) {
        role_unref(own);
        return NULL;
    }
    u->own = own;
    if (old == NULL) return u;
    u->shown = old->shown;
    u->exists = old->exists;
    u->extra = old->extra == NULL ? NULL : ior_blob_ref(old->extra);
    for (; u->groups_count < old->groups_count; u->groups_count++) {
        ior_shared_ref(&old->groups[u->groups_count]->shared);
        u->groups[u->groups_count] = old->groups[u->groups_count];
    }
    return u;
}

/* Takes the reference of u. */
static enum ior_err put_member(struct policy *p, struct policy_member *u)
{
    struct ior_slice name = ior_slice_str(u->shown.name);
    uint64_t hash = policy_hash_user(p, name);
    bool keep = u->exists || u->own != NULL;
    enum ior_err err = keep ? ior_cowmap_set(&p->users, hash, policy_same_user, &name, &u->shared)
                            : ior_cowmap_remove(&p->users, hash, policy_same_user, &name);
    ior_shared_unref(&u->shared);
    return err;
}

/* ---- groups ---- */

static void group_free(struct ior_shared *s)
{
    struct policy_group *g = IOR_CONTAINER(s, struct policy_group, shared);
    role_unref(g->own);
    ior_shared_unref(&g->name->shared);
    ior_blob_unref(g->extra);
    ior_cowmap_done(&g->members);
    for (size_t i = 0; i < g->parents_count; i++) ior_shared_unref(&g->parents[i]->shared);
    free(g);
}

static struct policy_group *group_new(struct group_name *name, size_t parents_room)
{
    struct policy_group *g = calloc(1, sizeof *g + parents_room * sizeof(struct group_name *));
    if (g == NULL) return NULL;
    ior_shared_init(&g->shared, group_free);
    ior_shared_ref(&name->shared);
    g->name = name;
    return g;
}

/* With room for other parents, or (room 0) with those of the old one. */
static struct policy_group *group_copy(const struct policy_group *old, size_t parents_room)
{
    struct policy_group *g =
        group_new(old->name, parents_room > 0 ? parents_room : old->parents_count);
    if (g == NULL) return NULL;
    g->exists = old->exists;
    g->own = role_ref(old->own);
    g->extra = old->extra == NULL ? NULL : ior_blob_ref(old->extra);
    g->members = ior_cowmap_copy(&old->members);
    for (; parents_room == 0 && g->parents_count < old->parents_count; g->parents_count++) {
        ior_shared_ref(&old->parents[g->parents_count]->shared);
        g->parents[g->parents_count] = old->parents[g->parents_count];
    }
    return g;
}

static bool same_id(const struct ior_shared *object, const void *key)
{
    (void)object;
    (void)key;
    return true;
}

static enum ior_err set_group_object(struct policy *p, struct policy_group *g)
{
    enum ior_err err = ior_cowmap_set(&p->groups_by_id, g->name->id, same_id, NULL, &g->shared);
    if (err != IOR_OK) return err;
    return ior_cowmap_set(&p->groups, role_hash(p->salt, g->name->name), policy_same_group,
                          &g->name->name, &g->shared);
}

/* Takes the reference of g. A group that nothing names any more is gone. */
static enum ior_err put_group(struct policy *p, struct policy_group *g)
{
    enum ior_err err;
    if (g->exists || g->own != NULL || g->members.count > 0) {
        err = set_group_object(p, g);
    } else {
        err = ior_cowmap_remove(&p->groups_by_id, g->name->id, same_id, NULL);
        if (err == IOR_OK)
            err = ior_cowmap_remove(&p->groups, role_hash(p->salt, g->name->name),
                                    policy_same_group, &g->name->name);
    }
    ior_shared_unref(&g->shared);
    return err;
}

static void name_free(struct ior_shared *s)
{
    free(IOR_CONTAINER(s, struct group_name, shared));
}

static struct group_name *name_new(uint32_t id, struct ior_slice name)
{
    struct group_name *n = malloc(sizeof *n + name.size_bytes);
    if (n == NULL) return NULL;
    ior_shared_init(&n->shared, name_free);
    n->id = id;
    n->name = ior_slice(n->bytes, name.size_bytes);
    memcpy(n->bytes, name.data, name.size_bytes);
    return n;
}

/* The lowest one that is free. GROUP_IDS_MAX: none. */
static uint32_t free_id(const struct policy *p)
{
    /* So many are used: one of those and the next is free, and usually it is the next. */
    uint32_t end = (uint32_t)p->groups_by_id.count;
    if (policy_group_of_id(p, end) == NULL) return end;
    uint32_t id = 0;
    while (policy_group_of_id(p, id) != NULL) id++;
    return id;
}

/* The group of this name, made without a fact if there is none. */
static enum ior_err need_group(struct policy *p, struct ior_slice name, struct ior_why *why,
                               struct policy_group **ret)
{
    *ret = policy_find_group(p, name);
    if (*ret != NULL) return IOR_OK;
    uint32_t id = free_id(p);
    if (id >= GROUP_IDS_MAX)
        return ior_why_set(why, IOR_E_NOSPC, "users and groups name more than %d groups",
                           GROUP_IDS_MAX);
    struct group_name *n = name_new(id, name);
    if (n == NULL) return IOR_E_NOMEM;
    struct policy_group *g = group_new(n, 0);
    ior_shared_unref(&n->shared);
    if (g == NULL) return IOR_E_NOMEM;
    enum ior_err err = set_group_object(p, g);
    ior_shared_unref(&g->shared);
    *ret = g; /* the tables have it */
    return err;
}

/* ---- memberships ---- */

static void member_name_free(struct ior_shared *s)
{
    free(IOR_CONTAINER(s, struct policy_member_name, shared));
}

static bool same_member_name(const struct ior_shared *object, const void *key)
{
    const struct policy_member_name *m = (const void *)object;
    const struct policy_member_name *k = key;
    return m->role == k->role && ior_slice_eq(m->name, k->name);
}

/* The group lists the member, or no longer. */
static enum ior_err list_member(struct policy *p, struct ior_slice group, enum fact_role role,
                                struct ior_slice name, bool joins)
{
    const struct policy_group *old = policy_find_group(p, group);
    IOR_ASSERT(old != NULL);
    struct policy_group *g = group_copy(old, 0);
    if (g == NULL) return IOR_E_NOMEM;
    const struct policy_member_name key = {.role = role, .name = name};
    uint64_t hash = policy_hash_named(p, role, name, IOR_SLICE(""));
    enum ior_err err = IOR_E_NOMEM;
    struct policy_member_name *m = joins ? malloc(sizeof *m + name.size_bytes) : NULL;
    if (!joins) {
        err = ior_cowmap_remove(&g->members, hash, same_member_name, &key);
    } else if (m != NULL) {
        ior_shared_init(&m->shared, member_name_free);
        m->role = role;
        m->name = ior_slice(m->bytes, name.size_bytes);
        memcpy(m->bytes, name.data, name.size_bytes);
        err = ior_cowmap_set(&g->members, hash, same_member_name, &key, &m->shared);
        ior_shared_unref(&m->shared);
    }
    if (err == IOR_OK) return put_group(p, g);
    ior_shared_unref(&g->shared);
    return err;
}

/* The groups that a value names, each once, into a list with room for all; references. */
static enum ior_err read_groups(struct policy *p, const struct fact_value *v,
                                struct group_name **list, size_t *count, struct ior_why *why)
{
    uint64_t seen[GROUP_IDS_MAX / 64] = {0};
    for (size_t i = 0; i < v->groups_count; i++) {
        struct policy_group *g;
        enum ior_err err = need_group(p, fact_value_group(v, i), why, &g);
        if (err != IOR_OK) return err;
        uint64_t bit = (uint64_t)1 << (g->name->id % 64);
        if ((seen[g->name->id / 64] & bit) != 0) continue;
        seen[g->name->id / 64] |= bit;
        ior_shared_ref(&g->name->shared);
        list[(*count)++] = g->name;
    }
    return IOR_OK;
}

static bool is_in(const struct group_name *n, struct group_name *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i] == n) return true;
    }
    return false;
}

/* What is in `these` and not in `those` is joined, or left. */
static enum ior_err list_difference(struct policy *p, enum fact_role role, struct ior_slice name,
                                    struct group_name *const *these, size_t these_count,
                                    struct group_name *const *those, size_t those_count, bool joins)
{
    enum ior_err err = IOR_OK;
    for (size_t i = 0; err == IOR_OK && i < these_count; i++) {
        if (is_in(these[i], those, those_count)) continue;
        err = list_member(p, these[i]->name, role, name, joins);
    }
    return err;
}

/* ---- what a fact says ---- */

static enum ior_err read_extra(const struct fact_value *v, enum fact_kind kind,
                               struct ior_blob **ret)
{
    struct ior_buf text;
    ior_buf_init(&text);
    *ret = NULL;
    enum ior_err err = fact_value_extra(v, kind, &text);
    if (err == IOR_OK && text.size_bytes > 0) {
        *ret = ior_blob_new(text.size_bytes);
        if (*ret == NULL) err = IOR_E_NOMEM;
        if (*ret != NULL) memcpy((*ret)->data, text.data, text.size_bytes);
    }
    ior_buf_done(&text);
    return err;
}

/* A user as his fact says; v NULL: without one. */
static enum ior_err make_member(struct policy *p, struct ior_slice name, const struct fact_value *v,
                                const struct policy_member *old, struct ior_why *why,
                                struct policy_member **ret)
{
    struct policy_member *u = member_new(name, v == NULL ? 0 : v->groups_count);
    if (u == NULL) return IOR_E_NOMEM;
    *ret = u;
    u->own = role_ref(old == NULL ? NULL : old->own);
    u->exists = v != NULL;
    if (v == NULL) return IOR_OK;
    IOR_ASSERT(strlen(v->password) < sizeof u->shown.password);
    memcpy(u->shown.password, v->password, strlen(v->password) + 1);
    u->shown.credential = v->credential;
    u->shown.since_s = v->since_s;
    enum ior_err err = read_extra(v, FACT_USER, &u->extra);
    if (err == IOR_OK) err = read_groups(p, v, u->groups, &u->groups_count, why);
    return err;
}

/* v NULL: take it away. */
static enum ior_err set_user(struct policy *p, const struct fact *f, struct ior_slice name,
                             const struct fact_value *v, struct ior_why *why)
{
    struct policy_member *old = policy_find_user(p, name);
    bool there = old != NULL && old->exists;
    if (there && !ior_slice_eq(ior_slice_str(old->shown.name), name)) {
        if (v == NULL) return IOR_OK; /* this one is not there */
        return fact_corrupt(why, f->key, "there is another user whose name differs only in case");
    }
    if (!there && v == NULL) return IOR_OK;

    struct policy_member *u = NULL;
    enum ior_err err = make_member(p, name, v, old, why, &u);
    if (u == NULL) return err;
    /* For the memberships: the tables let go of the old one. */
    if (old != NULL) ior_shared_ref(&old->shared);
    size_t old_count = old == NULL ? 0 : old->groups_count;
    struct group_name **old_groups = old == NULL ? NULL : old->groups;
    if (err == IOR_OK)
        err = list_difference(p, FACT_ROLE_USER, name, u->groups, u->groups_count, old_groups,
                              old_count, true);
    if (err == IOR_OK)
        err = list_difference(p, FACT_ROLE_USER, name, old_groups, old_count, u->groups,
                              u->groups_count, false);
    if (err == IOR_OK) {
        p->users_count += (size_t)(v != NULL) - (size_t)there;
        err = put_member(p, u);
    } else {
        ior_shared_unref(&u->shared);
    }
    if (old != NULL) ior_shared_unref(&old->shared);
    return err;
}

/* The group with what its fact says in the place of what it said. */
static enum ior_err remake_group(struct policy *p, const struct policy_group *old,
                                 const struct fact_value *v, struct ior_why *why,
                                 struct policy_group **ret)
{
    /* Room for one at least: 0 would copy the old ones. */
    struct policy_group *g = group_copy(old, v == NULL ? 1 : v->groups_count + 1);
    if (g == NULL) return IOR_E_NOMEM;
    *ret = g;
    g->exists = v != NULL;
    ior_blob_unref(g->extra);
    g->extra = NULL;
    if (v == NULL) return IOR_OK;
    enum ior_err err = read_extra(v, FACT_GROUP, &g->extra);
    return err == IOR_OK ? read_groups(p, v, g->parents, &g->parents_count, why) : err;
}

static enum ior_err set_group(struct policy *p, struct ior_slice name, const struct fact_value *v,
                              struct ior_why *why)
{
    struct policy_group *old = policy_find_group(p, name);
    bool there = old != NULL && old->exists;
    if (!there && v == NULL) return IOR_OK;
    enum ior_err err = need_group(p, name, why, &old);
    if (err != IOR_OK) return err;
    ior_shared_ref(&old->shared);
    struct policy_group *g = NULL;
    err = remake_group(p, old, v, why, &g);
    /* It is put before its memberships: a group may be a member of itself. */
    if (err == IOR_OK) {
        p->groups_count += (size_t)(v != NULL) - (size_t)there;
        err = set_group_object(p, g);
    }
    if (err == IOR_OK)
        err = list_difference(p, FACT_ROLE_GROUP, name, g->parents, g->parents_count, old->parents,
                              old->parents_count, true);
    if (err == IOR_OK)
        err = list_difference(p, FACT_ROLE_GROUP, name, old->parents, old->parents_count,
                              g->parents, g->parents_count, false);
    if (err == IOR_OK) { /* once more as it is now: perhaps nothing names it */
        const struct policy_group *now = policy_find_group(p, name);
        struct policy_group *copy = now == NULL ? NULL : group_copy(now, 0);
        if (now != NULL) err = copy == NULL ? IOR_E_NOMEM : put_group(p, copy);
    }
    if (g != NULL) ior_shared_unref(&g->shared);
    ior_shared_unref(&old->shared);
    return err;
}

/* ---- grants ---- */

static enum ior_err set_users_grant(struct policy *p, const struct role_grant *g, bool take_away)
{
    const struct policy_member *old = policy_find_user(p, g->name);
    struct role *own = role_ref(old == NULL ? NULL : old->own);
    enum ior_err err = role_change(&own, p->salt, g, take_away);
    if (err != IOR_OK) {
        role_unref(own);
        return err;
    }
    struct policy_member *u = member_with_role(old, g->name, own);
    return u == NULL ? IOR_E_NOMEM : put_member(p, u);
}

static enum ior_err set_groups_grant(struct policy *p, const struct role_grant *g, bool take_away,
                                     struct ior_why *why)
{
    struct policy_group *old;
    enum ior_err err = need_group(p, g->name, why, &old);
    if (err != IOR_OK) return err;
    struct policy_group *group = group_copy(old, 0);
    if (group == NULL) return IOR_E_NOMEM;
    err = role_change(&group->own, p->salt, g, take_away);
    if (err == IOR_OK) return put_group(p, group);
    ior_shared_unref(&group->shared);
    return err;
}

static void shelf_free(struct ior_shared *s)
{
    struct policy_shelf *shelf = IOR_CONTAINER(s, struct policy_shelf, shared);
    ior_cowmap_done(&shelf->grants);
    free(shelf);
}

static enum ior_err put_on_shelf(struct policy *p, struct role_grant *g, bool take_away,
                                 const struct fact_key *key)
{
    const struct policy_shelf *old = policy_find_shelf(p, key->bucket);
    struct policy_shelf *shelf = malloc(sizeof *shelf + key->bucket.size_bytes);
    if (shelf == NULL) return IOR_E_NOMEM;
    ior_shared_init(&shelf->shared, shelf_free);
    shelf->bucket = ior_slice(shelf->bytes, key->bucket.size_bytes);
    if (key->bucket.size_bytes > 0) memcpy(shelf->bytes, key->bucket.data, key->bucket.size_bytes);
    shelf->grants = old == NULL ? (struct ior_cowmap){0} : ior_cowmap_copy(&old->grants);
    size_t before = shelf->grants.count;
    uint64_t hash = policy_hash_named(p, key->role, key->name, key->stream);
    enum ior_err err =
        take_away ? ior_cowmap_remove(&shelf->grants, hash, policy_same_grant, key)
                  : ior_cowmap_set(&shelf->grants, hash, policy_same_grant, key, &g->shared);
    p->grants_count += shelf->grants.count - before;
    uint64_t place = role_hash(p->salt, key->bucket);
    if (err == IOR_OK && shelf->grants.count > 0) {
        err = ior_cowmap_set(&p->shelves, place, policy_same_shelf, &shelf->bucket, &shelf->shared);
    } else if (err == IOR_OK) {
        err = ior_cowmap_remove(&p->shelves, place, policy_same_shelf, &shelf->bucket);
    }
    ior_shared_unref(&shelf->shared);
    return err;
}

/* v NULL: take it away. */
static enum ior_err set_grant(struct policy *p, const struct fact_key *key,
                              const struct fact_value *v, struct ior_why *why)
{
    struct role_grant *g = policy_find_grant(p, key);
    if (g == NULL && v == NULL) return IOR_OK;
    enum ior_err err = IOR_OK;
    if (v != NULL) {
        struct ior_blob *extra = NULL;
        err = read_extra(v, FACT_GRANT, &extra);
        g = err == IOR_OK ? role_grant_new(key, v->perms, extra) : NULL;
        ior_blob_unref(extra);
        if (g == NULL) return IOR_E_NOMEM;
    } else {
        ior_shared_ref(&g->shared);
    }
    bool take_away = v == NULL;
    if (key->role == FACT_ROLE_USER) err = set_users_grant(p, g, take_away);
    if (key->role == FACT_ROLE_GROUP) err = set_groups_grant(p, g, take_away, why);
    if (key->role == FACT_ROLE_ALL) err = role_change(&p->everyone, p->salt, g, take_away);
    if (err == IOR_OK) err = put_on_shelf(p, g, take_away, key);
    ior_shared_unref(&g->shared);
    return err;
}

/* ---- */

static enum ior_err set(struct policy *p, const struct fact *f, const struct fact_key *key,
                        const struct fact_value *v, struct ior_why *why)
{
    switch (key->kind) {
    case FACT_USER:
        return set_user(p, f, key->name, v, why);
    case FACT_GROUP:
        return set_group(p, key->name, v, why);
    case FACT_GRANT:
        return set_grant(p, key, v, why);
    case FACT_BOOTSTRAP:
        p->has_bootstrap = v != NULL;
        return IOR_OK;
    case FACT_DELETED:
        p->has_deleted = v != NULL;
        p->deleted_credential = v == NULL ? 0 : v->credential;
        return IOR_OK;
    default:
        return IOR_OK;
    }
}

enum ior_err policy_set(struct policy *draft, const struct fact *f, struct ior_why *why)
{
    IOR_CHECK_MAGIC(draft, POLICY_MAGIC);
    IOR_ASSERT(atomic_load(&draft->refs) == 1); /* it was not given out */
    struct fact_key key;
    enum ior_err err = fact_key_read(f->key, &key, why);
    if (err != IOR_OK || key.kind == FACT_OTHER) return err;
    if (f->value.data == NULL) return set(draft, f, &key, NULL, why);
    struct fact_value v;
    err = fact_value_read(f, key.kind, &v, why);
    if (err != IOR_OK) return err;
    err = set(draft, f, &key, &v, why);
    fact_value_done(&v);
    return err;
}

enum ior_err policy_build(const struct fact *facts, size_t count, struct policy **ret,
                          struct ior_why *why)
{
    struct policy *p = NULL;
    enum ior_err err = policy_draft(NULL, &p);
    for (size_t i = 0; err == IOR_OK && i < count; i++) {
        if (policy_has_fact(p, facts[i].key)) {
            err = fact_corrupt(why, facts[i].key, "it is there twice");
        } else {
            err = policy_set(p, &facts[i], why);
        }
    }
    if (err != IOR_OK) {
        policy_unref(p);
        return err;
    }
    *ret = p;
    return IOR_OK;
}

/* src/auth/access_members.c - groups and who is in them: see access.h.
 * A membership stands in the fact of the member: who joins or leaves has his fact written anew,
 * and so has everybody when a group is deleted. Thread: any. */
#include <stdlib.h>

#include "auth/access_parts.h"
#include "auth/username.h"
#include "base/assert.h"

/* ---- a fact with other groups ---- */

struct groups {
    struct group_name *const *old;
    size_t count;
    struct ior_slice *names; /* with room for one more */
};

static void groups_of(const struct access_who *who, struct groups *ret)
{
    ret->old = who->user != NULL ? who->user->groups : who->group->parents;
    ret->count = who->user != NULL ? who->user->groups_count : who->group->parents_count;
}

static bool is_in(const struct access_who *who, const struct policy_group *g)
{
    struct groups list;
    groups_of(who, &list);
    for (size_t i = 0; i < list.count; i++) {
        if (list.old[i] == g->name) return true;
    }
    return false;
}

static enum ior_err write_fact(struct access_run *r, const struct access_who *who,
                               const struct ior_slice *names, size_t count)
{
    struct ior_slice extra = IOR_SLICE("");
    if (who->user != NULL) {
        const struct policy_user *u = &who->user->shown;
        const struct fact_key key = {.kind = FACT_USER, .name = ior_slice_str(u->name)};
        return access_give(r, &key,
                           fact_user_write(&r->value, u->password, u->credential, names, count,
                                           policy_user_extra(u)));
    }
    const struct policy_group *g = who->group;
    const struct fact_key key = {.kind = FACT_GROUP, .name = g->name->name};
    if (g->extra != NULL) extra = ior_slice(g->extra->data, g->extra->size_bytes);
    return access_give(r, &key, fact_group_write(&r->value, names, count, extra));
}

/* The member's fact, in the group (joins) or not in it. */
static enum ior_err change_member(struct access_run *r, const struct access_who *who,
                                  const struct policy_group *group, bool joins)
{
    struct groups list;
    groups_of(who, &list);
    list.names = calloc(list.count + 1, sizeof *list.names);
    if (list.names == NULL) return IOR_E_NOMEM;
    size_t count = 0;
    for (size_t i = 0; i < list.count; i++) {
        if (list.old[i] != group->name) list.names[count++] = list.old[i]->name;
    }
    if (joins) list.names[count++] = group->name->name;
    enum ior_err err = write_fact(r, who, list.names, count);
    free(list.names);
    return err;
}

/* ---- groups ---- */

/* Nobody is its member any more, and it has no grants. r->more: not all of it yet. */
static enum ior_err empty_group(struct access_run *r, const struct policy_group *g)
{
    struct ior_cowmap_walk w;
    enum ior_err err = access_drop_role(r, g->own);
    ior_cowmap_begin(&w, &g->members);
    for (struct ior_shared *s; err == IOR_OK && !r->more && (s = ior_cowmap_next(&w)) != NULL;) {
        const struct policy_member_name *m = (const void *)s;
        if (r->facts >= ACCESS_PART_FACTS) {
            r->more = true;
            break;
        }
        struct access_who who = {0};
        if (m->role == FACT_ROLE_USER) who.user = policy_find_user(r->now, m->name);
        if (m->role == FACT_ROLE_GROUP) who.group = policy_find_group(r->now, m->name);
        IOR_ASSERT(who.user != NULL || who.group != NULL);
        if (who.group != g) err = change_member(r, &who, g, false); /* its own fact goes anyway */
    }
    return err;
}

enum ior_err access_group_new(struct access_run *r)
{
    const struct fact_key key = {.kind = FACT_GROUP, .name = r->w->name};
    if (username_check(r->w->name, &r->problem->why) != IOR_OK) {
        r->problem->field = "name";
        return ior_why_set(&r->problem->why, IOR_E_INVAL,
                           "A group is named by the rules of user names: 1 to 64 characters, none "
                           "of the code points 0-44, 47, 58-63, 127-191, and not all, on, to, "
                           "from, any");
    }
    const struct policy_group *old = policy_find_group(r->now, r->w->name);
    if (old != NULL && old->exists) return access_fail(r, IOR_E_EXISTS, "name", "");
    if (r->now->groups_count >= GROUPS_MAX)
        return access_fail(r, IOR_E_NOSPC, NULL, "There are 4096 groups; delete some first");
    /* What an earlier one of this name left behind is not for the new one. */
    if (old != NULL) {
        enum ior_err err = empty_group(r, old);
        if (err != IOR_OK || r->more) return err;
    }
    return access_give(r, &key, fact_group_write(&r->value, NULL, 0, IOR_SLICE("")));
}

enum ior_err access_group_delete(struct access_run *r)
{
    const struct policy_group *g = policy_find_group(r->now, r->w->name);
    if (g == NULL) return IOR_OK;
    if (ior_slice_eq(r->w->name, IOR_SLICE(GROUP_EVERY_USER)) ||
        ior_slice_eq(r->w->name, IOR_SLICE(GROUP_OF_ADMINS)))
        return access_fail(r, IOR_E_INVAL, "name",
                           "g-authenticated and g-admin cannot be deleted; what they have may be "
                           "revoked");
    enum ior_err err = empty_group(r, g);
    if (err != IOR_OK || r->more || !g->exists) return err;
    const struct fact_key key = {.kind = FACT_GROUP, .name = g->name->name};
    return access_take_away(r, &key);
}

/* ---- members ---- */

static enum ior_err find_both(struct access_run *r, struct policy_group **ret_group,
                              struct access_who *ret_who)
{
    struct policy_group *g = policy_find_group(r->now, r->w->name);
    *ret_group = g;
    if (g == NULL || !g->exists)
        return access_fail(r, IOR_E_NOTFOUND, NULL, "There is no group of this name");
    return access_find(r, r->w->role, false, ret_who);
}

/* Are they the same, or is `from` a member of `to`, perhaps by way of others? */
static bool reaches(const struct policy *p, const struct policy_group *from,
                    const struct policy_group *to)
{
    struct group_walk w;
    group_walk_begin(&w, p, &(struct group_name *const){from->name}, 1);
    for (const struct policy_group *g; (g = group_walk_next(&w)) != NULL;) {
        if (g == to) return true;
    }
    return false;
}

enum ior_err access_member_add(struct access_run *r)
{
    struct policy_group *group;
    struct access_who who;
    struct groups list;
    enum ior_err err = find_both(r, &group, &who);
    if (err != IOR_OK) {
        if (err == IOR_E_INVAL) r->problem->field = "member";
        return err;
    }
    if (is_in(&who, group)) return IOR_OK;
    if (who.group != NULL && reaches(r->now, group, who.group))
        return access_fail(r, IOR_E_INVAL, "member",
                           "The group is a member of that one already, at least by way of others: "
                           "a circle of groups would give all of them the same");
    groups_of(&who, &list);
    if (list.count >= MEMBERSHIPS_MAX)
        return access_fail(r, IOR_E_NOSPC, NULL,
                           "This user or group is a member of 64 groups; remove it from some "
                           "first, or put groups into groups");
    return change_member(r, &who, group, true);
}

enum ior_err access_member_remove(struct access_run *r)
{
    struct policy_group *group;
    struct access_who who;
    enum ior_err err = find_both(r, &group, &who);
    if (err == IOR_E_NOTFOUND) return IOR_OK; /* then it is no member */
    if (err != IOR_OK) {
        r->problem->field = "member";
        return err;
    }
    return is_in(&who, group) ? change_member(r, &who, group, false) : IOR_OK;
}

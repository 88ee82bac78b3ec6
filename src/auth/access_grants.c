/* src/auth/access_grants.c - grants: see access.h.
 * A grant is one fact for each role and target with all its permissions; the last one that is
 * revoked takes the fact away. Thread: any. */
#include "auth/access_parts.h"
#include "base/assert.h"

static struct fact_key key_of_grant(const struct role_grant *g)
{
    struct fact_key k = {.kind = FACT_GRANT,
                         .role = g->role,
                         .name = g->name,
                         .bucket = g->bucket,
                         .stream = g->stream};
    k.scope = g->stream.size_bytes > 0   ? FACT_SCOPE_STREAM
              : g->bucket.size_bytes > 0 ? FACT_SCOPE_BUCKET
                                         : FACT_SCOPE_ANY;
    return k;
}

static enum ior_err give_grant(struct access_run *r, const struct fact_key *key, uint8_t perms,
                               const struct ior_blob *extra)
{
    struct ior_slice more = IOR_SLICE("");
    if (extra != NULL) more = ior_slice(extra->data, extra->size_bytes);
    return access_give(r, key, fact_grant_write(&r->value, perms, more));
}

/* ---- limits ---- */

static enum ior_err room_for_grant(struct access_run *r, const struct fact_key *key,
                                   const struct role *role)
{
    const struct policy_shelf *shelf = policy_find_shelf(r->now, key->bucket);
    if (r->now->grants_count >= GRANTS_MAX)
        return access_fail(r, IOR_E_NOSPC, NULL, "There are 400000 grants; revoke some first");
    /* What is on any has no owner who could fill it up. */
    if (shelf != NULL && key->bucket.size_bytes > 0 && shelf->grants.count >= GRANTS_OF_BUCKET_MAX)
        return access_fail(r, IOR_E_NOSPC, NULL,
                           "There are 20000 grants on this bucket and its streams; revoke some "
                           "first, or make a group");
    if (role_is_pattern(key->bucket)) {
        if (role == NULL || role->wild_count < GRANT_PATTERNS_MAX) return IOR_OK;
        return access_fail(r, IOR_E_NOSPC, NULL,
                           "This user or group has grants on 256 patterns of buckets; revoke some "
                           "first");
    }
    if (!role_is_pattern(key->stream)) return IOR_OK;
    const struct role_target *t = role_target_of(role, r->now->salt, key->bucket, IOR_SLICE(""));
    if (t == NULL || t->patterns_count < GRANT_PATTERNS_MAX) return IOR_OK;
    return access_fail(r, IOR_E_NOSPC, NULL,
                       "This user or group has grants on 256 patterns of streams of this bucket; "
                       "revoke some first");
}

/* ---- one grant ---- */

static const struct role *role_of(const struct access_run *r, const struct access_who *who)
{
    if (who->is_all) return r->now->everyone;
    return who->user != NULL ? who->user->own : who->group->own;
}

static enum ior_err add_perm(struct access_run *r, const struct access_who *who,
                             const struct role_target *t)
{
    const struct access_wish *w = r->w;
    if (t != NULL && (t->perms & w->perm) != 0) return IOR_OK;
    struct fact_key key = {.kind = FACT_GRANT, .bucket = w->bucket, .stream = w->stream};
    key.role = who->is_all ? FACT_ROLE_ALL : who->user != NULL ? FACT_ROLE_USER : FACT_ROLE_GROUP;
    key.name = who->is_all         ? IOR_SLICE("")
               : who->user != NULL ? ior_slice_str(who->user->shown.name)
                                   : who->group->name->name;
    key.scope = w->stream.size_bytes > 0   ? FACT_SCOPE_STREAM
                : w->bucket.size_bytes > 0 ? FACT_SCOPE_BUCKET
                                           : FACT_SCOPE_ANY;
    const struct role_grant *old = policy_find_grant(r->now, &key);
    if (old != NULL) return give_grant(r, &key, (uint8_t)(old->perms | w->perm), old->extra);
    enum ior_err err = room_for_grant(r, &key, role_of(r, who));
    return err == IOR_OK ? give_grant(r, &key, w->perm, NULL) : err;
}

/* From whatever facts give it there: a user's name may be written in several ways. */
static enum ior_err remove_perm(struct access_run *r, const struct role_target *t)
{
    enum ior_err err = IOR_OK;
    for (uint32_t i = 0; err == IOR_OK && t != NULL && i < t->grants_count; i++) {
        const struct role_grant *g = t->grants[i];
        if ((g->perms & r->w->perm) == 0) continue;
        const struct fact_key key = key_of_grant(g);
        uint8_t left = (uint8_t)(g->perms & ~r->w->perm);
        err = left == 0 ? access_take_away(r, &key) : give_grant(r, &key, left, g->extra);
    }
    return err;
}

enum ior_err access_change_grant(struct access_run *r, bool grant)
{
    const struct access_wish *w = r->w;
    unsigned may_be = w->stream.size_bytes > 0   ? ACCESS_ON_STREAM
                      : w->bucket.size_bytes > 0 ? ACCESS_ON_BUCKET
                                                 : ACCESS_ON_NODE;
    struct access_who who;
    enum ior_err err = access_find(r, w->role, true, &who);
    if (err != IOR_OK) {
        r->problem->field = "role";
        return IOR_E_INVAL;
    }
    if ((w->perm & may_be) == 0)
        return access_fail(r, IOR_E_INVAL, "permission", "This cannot be granted there");
    if (w->bucket.size_bytes > 0 && w->perm == PERM_ADMINUSERS) return IOR_OK; /* for old clients */
    const struct role_target *t =
        role_target_of(role_of(r, &who), r->now->salt, w->bucket, w->stream);
    return grant ? add_perm(r, &who, t) : remove_perm(r, t);
}

enum ior_err access_own_bucket(struct access_run *r, struct ior_slice name, struct ior_slice bucket)
{
    const struct fact_key key = {.kind = FACT_GRANT,
                                 .role = FACT_ROLE_USER,
                                 .scope = FACT_SCOPE_BUCKET,
                                 .name = name,
                                 .bucket = bucket};
    enum ior_err err = room_for_grant(r, &key, NULL);
    return err == IOR_OK ? give_grant(r, &key, ACCESS_ON_BUCKET, NULL) : err;
}

/* ---- many ---- */

static enum ior_err drop(struct access_run *r, const struct role_grant *g)
{
    if (r->facts >= ACCESS_PART_FACTS) {
        r->more = true;
        return IOR_OK;
    }
    const struct fact_key key = key_of_grant(g);
    return access_take_away(r, &key);
}

enum ior_err access_drop_role(struct access_run *r, const struct role *role)
{
    struct ior_cowmap_walk w;
    enum ior_err err = IOR_OK;
    if (role == NULL) return IOR_OK;
    ior_cowmap_begin(&w, &role->targets);
    for (struct ior_shared *s; err == IOR_OK && !r->more && (s = ior_cowmap_next(&w)) != NULL;) {
        const struct role_target *t = role_target_at(s);
        for (uint32_t i = 0; err == IOR_OK && i < t->grants_count; i++) err = drop(r, t->grants[i]);
    }
    return err;
}

enum ior_err access_drop_shelf(struct access_run *r, struct ior_slice bucket)
{
    const struct policy_shelf *shelf = policy_find_shelf(r->now, bucket);
    struct ior_cowmap_walk w;
    enum ior_err err = IOR_OK;
    if (shelf == NULL) return IOR_OK;
    ior_cowmap_begin(&w, &shelf->grants);
    for (struct ior_shared *s; err == IOR_OK && !r->more && (s = ior_cowmap_next(&w)) != NULL;)
        err = drop(r, IOR_CONTAINER(s, struct role_grant, shared));
    return err;
}

/* src/auth/access.c - see access.h: who wishes it, and users. Groups are in access_members.c,
 * grants in access_grants.c. Happy path: may he still? Then the action looks at what holds and
 * emits the facts that make the difference. What would take very many facts is done in parts, so
 * that no worker is held: each part leaves less of it, the last one ends it. Failure: the first
 * thing that is wrong; what was emitted by then counts for nothing. Thread: any. */
#include "auth/access.h"

#include "auth/access_parts.h"
#include "auth/username.h"
#include "base/assert.h"

enum ior_err access_fail(struct access_run *r, enum ior_err err, const char *field,
                         const char *text)
{
    r->problem->field = field;
    return ior_why_set(&r->problem->why, err, "%s", text);
}

/* ---- facts ---- */

static enum ior_err emit(struct access_run *r, const struct fact_key *key, bool unset)
{
    ior_buf_clear(&r->key);
    fact_key_write(&r->key, key);
    if (ior_buf_failed(&r->key) || ior_buf_failed(&r->value)) return IOR_E_NOMEM;
    struct ior_slice value = unset ? (struct ior_slice){NULL, 0} : ior_buf_slice(&r->value);
    r->facts++;
    enum ior_err err = r->emit(r->ctx, (struct fact){ior_buf_slice(&r->key), value});
    ior_buf_clear(&r->value);
    return err;
}

enum ior_err access_give(struct access_run *r, const struct fact_key *key, enum ior_err err)
{
    return err == IOR_OK ? emit(r, key, false) : err;
}

enum ior_err access_take_away(struct access_run *r, const struct fact_key *key)
{
    return emit(r, key, true);
}

/* ---- who is meant ---- */

static bool cut_kind(struct ior_slice *text, const char *kind)
{
    struct ior_slice k = ior_slice_str(kind);
    if (!ior_slice_starts(*text, k)) return false;
    *text = ior_slice(text->data + k.size_bytes, text->size_bytes - k.size_bytes);
    return true;
}

enum ior_err access_find(struct access_run *r, struct ior_slice text, bool all_too,
                         struct access_who *ret)
{
    *ret = (struct access_who){0};
    ret->is_all = all_too && ior_slice_eq(text, IOR_SLICE("*"));
    if (ret->is_all) return IOR_OK;
    bool user = cut_kind(&text, "user/"); /* no name holds a `/` */
    bool group = !user && cut_kind(&text, "group/");
    if (!group) ret->user = policy_find_user(r->now, text);
    if (!user) ret->group = policy_find_group(r->now, text);
    if (ret->user != NULL && !ret->user->exists) ret->user = NULL;
    if (ret->group != NULL && !ret->group->exists) ret->group = NULL;
    if (ret->user != NULL && ret->group != NULL)
        return access_fail(r, IOR_E_INVAL, NULL,
                           "There are a user and a group of this name: say user/NAME or "
                           "group/NAME");
    if (ret->user != NULL || ret->group != NULL) return IOR_OK;
    return access_fail(r, IOR_E_NOTFOUND, NULL, "There is no user or group of this name");
}

enum ior_err access_check_role(const struct policy *now, struct ior_slice role,
                               struct access_problem *problem)
{
    struct access_run r = {.now = now, .problem = problem};
    struct access_who who;
    return access_find(&r, role, true, &who);
}

/* ---- may he? ---- */

static bool is_own_password(const struct access_wish *w)
{
    return w->action == ACCESS_USER_CHANGE && username_same(w->by, w->name) &&
           !username_same(w->by, w->anonymous);
}

static enum ior_err check_who(const struct policy *now, const struct access_wish *w)
{
    const struct policy_user *by = policy_user(now, w->by);
    if (w->by_credential != (by == NULL ? 0 : by->credential)) return IOR_E_NOPERM;
    if (by != NULL && is_own_password(w)) return IOR_OK;
    bool grants = w->action == ACCESS_GRANT || w->action == ACCESS_REVOKE;
    if (grants && w->bucket.size_bytes > 0)
        return policy_user_allows(now, by, PERM_GRANT, w->bucket, w->stream) ? IOR_OK
                                                                             : IOR_E_NOPERM;
    struct ior_slice none = {NULL, 0};
    return policy_user_allows(now, by, PERM_ADMINUSERS, none, none) ? IOR_OK : IOR_E_NOPERM;
}

/* ---- users ---- */

/* The bucket that goes with a user. False: there is none, or (ret_too_long) it cannot be. */
static bool own_bucket(const struct access_wish *w, struct ior_slice name,
                       uint8_t room[BUCKET_BYTES_MAX], struct ior_slice *ret, bool *ret_too_long)
{
    size_t n = w->bucket_prefix.size_bytes;
    *ret_too_long = w->has_bucket && n + name.size_bytes > BUCKET_BYTES_MAX;
    if (!w->has_bucket || *ret_too_long) return false;
    if (n > 0) memcpy(room, w->bucket_prefix.data, n);
    memcpy(room + n, name.data, name.size_bytes);
    *ret = ior_slice(room, n + name.size_bytes);
    return true;
}

static enum ior_err user_new(struct access_run *r)
{
    struct ior_slice name = r->w->name;
    const struct fact_key key = {.kind = FACT_USER, .name = name};
    uint8_t room[BUCKET_BYTES_MAX];
    struct ior_slice bucket;
    bool too_long;
    if (username_check(name, &r->problem->why) != IOR_OK) return IOR_E_USERNAME;
    bool has = own_bucket(r->w, name, room, &bucket, &too_long);
    if (too_long)
        return access_fail(r, IOR_E_USERNAME, NULL,
                           "the name of his bucket would have more than 255 bytes");
    const struct policy_member *old = policy_find_user(r->now, name);
    if (old != NULL && old->exists) return IOR_E_USEREXISTS;
    if (r->now->users_count >= USERS_MAX)
        return access_fail(r, IOR_E_NOSPC, NULL, "There are 100000 users; delete some first");
    /* Grants to this name that somebody left behind are not for the new one. */
    if (old != NULL) {
        enum ior_err err = access_drop_role(r, old->own);
        if (err != IOR_OK || r->more) return err;
    }
    char hash[sizeof old->shown.password];
    IOR_ASSERT(r->w->hash.size_bytes < sizeof hash);
    memcpy(hash, r->w->hash.data, r->w->hash.size_bytes);
    hash[r->w->hash.size_bytes] = 0;
    const struct ior_slice groups[] = {IOR_SLICE(GROUP_EVERY_USER)};
    uint64_t credential = r->now->deleted_credential + 1;
    struct ior_buf extra;
    ior_buf_init(&extra);
    enum ior_err err = IOR_OK;
    /* He may have the name of somebody who was deleted: tokens of that one without a number. */
    if (r->now->has_deleted) err = fact_extra_since(&extra, IOR_SLICE(""), r->w->now_s);
    if (err == IOR_OK)
        err = fact_user_write(&r->value, hash, credential, groups, 1, ior_buf_slice(&extra));
    ior_buf_done(&extra);
    err = access_give(r, &key, err);
    return err == IOR_OK && has ? access_own_bucket(r, name, bucket) : err;
}

static enum ior_err user_change(struct access_run *r)
{
    const struct policy_user *u = policy_user(r->now, r->w->name);
    if (u == NULL) return IOR_E_UNKNOWN;
    char hash[sizeof u->password];
    IOR_ASSERT(r->w->hash.size_bytes < sizeof hash);
    memcpy(hash, r->w->hash.data, r->w->hash.size_bytes);
    hash[r->w->hash.size_bytes] = 0;
    /* His name as it is stored: the wish may differ in case. */
    const struct fact_key key = {.kind = FACT_USER, .name = ior_slice_str(u->name)};
    return access_give(r, &key, policy_user_renew(u, hash, r->w->now_s, &r->key, &r->value));
}

static enum ior_err user_delete(struct access_run *r)
{
    const struct policy_member *u = policy_find_user(r->now, r->w->name);
    if (u == NULL || !u->exists) return IOR_OK;
    struct ior_slice name = ior_slice_str(u->shown.name);
    if (username_same(name, r->w->admin) || username_same(name, r->w->anonymous))
        return access_fail(r, IOR_E_INVAL, "username",
                           "The users of auth.admin.username and auth.anon.username cannot be "
                           "deleted: the node does not start without them");
    uint8_t room[BUCKET_BYTES_MAX];
    struct ior_slice bucket;
    bool too_long;
    enum ior_err err = access_drop_role(r, u->own);
    if (err == IOR_OK && !r->more && own_bucket(r->w, name, room, &bucket, &too_long))
        err = access_drop_shelf(r, bucket);
    if (err != IOR_OK || r->more) return err;
    const struct fact_key key = {.kind = FACT_USER, .name = name};
    err = access_take_away(r, &key); /* the memberships are in it */
    if (err != IOR_OK || u->shown.credential <= r->now->deleted_credential) return err;
    const struct fact_key deleted = {.kind = FACT_DELETED};
    return access_give(r, &deleted, fact_deleted_write(&r->value, u->shown.credential));
}

/* ---- */

static enum ior_err act(struct access_run *r)
{
    switch (r->w->action) {
    case ACCESS_USER_NEW:
        return user_new(r);
    case ACCESS_USER_CHANGE:
        return user_change(r);
    case ACCESS_USER_DELETE:
        return user_delete(r);
    case ACCESS_GROUP_NEW:
        return access_group_new(r);
    case ACCESS_GROUP_DELETE:
        return access_group_delete(r);
    case ACCESS_MEMBER_ADD:
        return access_member_add(r);
    case ACCESS_MEMBER_REMOVE:
        return access_member_remove(r);
    case ACCESS_GRANT:
        return access_change_grant(r, true);
    case ACCESS_REVOKE:
        return access_change_grant(r, false);
    }
    IOR_WRONG("an action of enum access_action");
}

enum ior_err access_make(const struct policy *now, const struct access_wish *w, access_emit emit_fn,
                         void *ctx, struct access_problem *problem, bool *ret_more)
{
    IOR_CHECK_MAGIC(now, POLICY_MAGIC);
    *problem = (struct access_problem){0};
    *ret_more = false;
    enum ior_err err = check_who(now, w);
    if (err != IOR_OK) return err;
    struct access_run r = {.now = now, .w = w, .emit = emit_fn, .ctx = ctx, .problem = problem};
    ior_buf_init(&r.key);
    ior_buf_init(&r.value);
    err = act(&r);
    ior_buf_done(&r.key);
    ior_buf_done(&r.value);
    *ret_more = err == IOR_OK && r.more;
    return err;
}

enum ior_err access_judge(const struct policy *now, const struct policy *next,
                          const struct access_wish *w, struct access_problem *problem)
{
    static const struct ior_slice none = {NULL, 0};
    const enum perm closed[] = {PERM_ADMINUSERS, PERM_ADMINCLUSTER};
    if (policy_allows(now, w->admin, PERM_ADMINUSERS, none, none) &&
        !policy_allows(next, w->admin, PERM_ADMINUSERS, none, none)) {
        problem->field = w->role.data != NULL ? "role" : "name";
        return ior_why_set(&problem->why, IOR_E_INVAL,
                           "The user of auth.admin.username keeps adminusers: without it nobody "
                           "could give it back");
    }
    for (size_t i = 0; i < IOR_LEN(closed); i++) {
        if (!policy_allows(next, w->anonymous, closed[i], none, none) ||
            policy_allows(now, w->anonymous, closed[i], none, none))
            continue;
        problem->field = w->role.data != NULL ? "role" : "name";
        return ior_why_set(&problem->why, IOR_E_INVAL,
                           "Callers without a login would have %s on the node then",
                           policy_perm_name(closed[i]));
    }
    return IOR_OK;
}

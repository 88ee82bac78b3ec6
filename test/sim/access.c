/* test/sim/access.c - see access.h. The model does each change by itself, in a few lines, and says
 * what its answer must be. Answers come in any order; the model takes them in the order of the
 * submits, which is the order of the strand. */
#include "access.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/policy_parts.h"
#include "core/access_change.h"
#include "trace.h"
#include "world.h"

#define ULL(x) ((unsigned long long)(x))
#define HASH                                                                                       \
    "$argon2id$v=19$m=19456,t=2,p=1$aW9yaW8gZHVtbXkgc2FsdA$"                                       \
    "bm9ib2R5IGlzIGxldCBpbiBieSB0aGlzIGhhc2ghISE"

static const char *const user_names[] = {"ann", "bob", "cyd"};
static const char *const group_names[] = {"g", "h"};
static const char *const bucket_names[] = {"_user_ann", "b"}; /* one is owned by a user */
static const enum perm perms[] = {PERM_GET, PERM_PUT, PERM_LIST};

/* ---- what a change does ---- */

static bool role_exists(const struct access_state *s, unsigned role)
{
    return role < ACCESS_USERS ? s->credential[role] != 0 : s->group[role - ACCESS_USERS];
}

static void delete_user(struct access_state *s, unsigned user)
{
    if (s->credential[user] > s->deleted_credential) s->deleted_credential = s->credential[user];
    s->credential[user] = 0;
    memset(s->member[user], 0, sizeof s->member[user]);
    memset(s->perms[user], 0, sizeof s->perms[user]);
    for (unsigned r = 0; user == 0 && r < ACCESS_ROLES; r++) s->perms[r][0] = 0; /* his bucket */
}

static void delete_group(struct access_state *s, unsigned group)
{
    s->group[group] = false;
    for (unsigned u = 0; u < ACCESS_USERS; u++) s->member[u][group] = false;
    memset(s->perms[ACCESS_USERS + group], 0, sizeof s->perms[0]);
}

/* What its answer must be. */
static enum ior_err apply(struct access_state *s, const struct access_op *op)
{
    switch (op->action) {
    case ACCESS_USER_NEW:
        if (s->credential[op->user] != 0) return IOR_E_USEREXISTS;
        s->credential[op->user] = s->deleted_credential + 1;
        if (op->user == 0) s->perms[0][0] = ACCESS_ON_BUCKET;
        return IOR_OK;
    case ACCESS_USER_CHANGE:
        if (s->credential[op->user] == 0) return IOR_E_UNKNOWN;
        s->credential[op->user]++;
        return IOR_OK;
    case ACCESS_USER_DELETE:
        if (s->credential[op->user] != 0) delete_user(s, op->user);
        return IOR_OK;
    case ACCESS_GROUP_NEW:
        if (s->group[op->group]) return IOR_E_EXISTS;
        s->group[op->group] = true;
        return IOR_OK;
    case ACCESS_GROUP_DELETE:
        delete_group(s, op->group);
        return IOR_OK;
    case ACCESS_MEMBER_ADD:
        if (!s->group[op->group] || s->credential[op->user] == 0) return IOR_E_NOTFOUND;
        s->member[op->user][op->group] = true;
        return IOR_OK;
    case ACCESS_MEMBER_REMOVE:
        s->member[op->user][op->group] = false;
        return IOR_OK;
    case ACCESS_GRANT:
        if (!role_exists(s, op->role)) return IOR_E_INVAL;
        s->perms[op->role][op->bucket] |= op->perm;
        return IOR_OK;
    case ACCESS_REVOKE:
        if (!role_exists(s, op->role)) return IOR_E_INVAL;
        s->perms[op->role][op->bucket] &= (uint8_t)~op->perm;
        return IOR_OK;
    }
    IOR_WRONG("an action");
}

/* ---- what a worker sees ---- */

static uint8_t perms_in(const struct policy *p, unsigned role, unsigned bucket)
{
    bool user = role < ACCESS_USERS;
    const struct fact_key key = {
        .kind = FACT_GRANT,
        .role = user ? FACT_ROLE_USER : FACT_ROLE_GROUP,
        .name = ior_slice_str(user ? user_names[role] : group_names[role - ACCESS_USERS]),
        .bucket = ior_slice_str(bucket_names[bucket])};
    const struct role_grant *g = policy_find_grant(p, &key);
    return g == NULL ? 0 : g->perms;
}

static struct access_state state_in(const struct policy *p)
{
    struct access_state s;
    memset(&s, 0, sizeof s);
    s.deleted_credential = p->deleted_credential;
    for (unsigned u = 0; u < ACCESS_USERS; u++) {
        const struct policy_user *user = policy_user(p, ior_slice_str(user_names[u]));
        s.credential[u] = user == NULL ? 0 : user->credential;
        for (size_t i = 0; user != NULL && i < policy_user_groups(user); i++) {
            for (unsigned g = 0; g < ACCESS_GROUPS; g++) {
                if (ior_slice_eq(policy_user_group(user, i), ior_slice_str(group_names[g])))
                    s.member[u][g] = true;
            }
        }
    }
    for (unsigned g = 0; g < ACCESS_GROUPS; g++) {
        const struct policy_group *group = policy_find_group(p, ior_slice_str(group_names[g]));
        s.group[g] = group != NULL && group->exists;
    }
    for (unsigned r = 0; r < ACCESS_ROLES; r++) {
        for (unsigned b = 0; b < ACCESS_BUCKETS; b++) s.perms[r][b] = perms_in(p, r, b);
    }
    return s;
}

static bool same(const struct access_state *a, const struct access_state *b)
{
    return memcmp(a->credential, b->credential, sizeof a->credential) == 0 &&
           a->deleted_credential == b->deleted_credential &&
           memcmp(a->group, b->group, sizeof a->group) == 0 &&
           memcmp(a->member, b->member, sizeof a->member) == 0 &&
           memcmp(a->perms, b->perms, sizeof a->perms) == 0;
}

static bool may_be_lost(const struct access_op *op)
{
    return op->outcome != ACCESS_ANSWERED || op->err != IOR_OK;
}

/* Is it what is behind the first n changes, for some n from `least` on, without those from lost to
 * lost_end (that were given up together, and some do not know it yet)? */
static bool is_behind_without(const struct access_model *m, const struct access_state *seen,
                              unsigned least, unsigned lost, unsigned lost_end)
{
    struct access_state s = m->base;
    for (unsigned n = 0;; n++) {
        if (n >= least && same(&s, seen)) return true;
        if (n == m->count) return false;
        if (m->ops[n].outcome != ACCESS_LOST && (n < lost || n >= lost_end))
            (void)apply(&s, &m->ops[n]);
    }
}

static bool is_behind_some(const struct access_model *m, const struct access_state *seen,
                           unsigned least)
{
    if (is_behind_without(m, seen, least, 0, 0)) return true;
    for (unsigned lost = 0; lost < m->count; lost++) {
        for (unsigned end = lost + 1; end <= m->count && may_be_lost(&m->ops[end - 1]); end++) {
            if (is_behind_without(m, seen, least, lost, end)) return true;
        }
    }
    return false;
}

static void check_policy(struct world *w, const struct policy *p, unsigned worker)
{
    const struct access_model *m = &w->access;
    struct access_state seen = state_in(p);
    unsigned least = 0;
    for (unsigned i = 0; i < m->count; i++) {
        if (!may_be_lost(&m->ops[i])) least = i + 1;
    }
    if (!is_behind_some(m, &seen, least))
        trace_violation(
            "worker %u sees users and grants that are behind no %u to %u of the changes "
            "since %llu",
            worker, least, m->count, ULL(m->last_number - m->count));
}

void access_check(struct world *w)
{
    for (unsigned i = 0; i < w->worker_count; i++) {
        worker_enter(&w->workers[i]);
        check_policy(w, meta_policy(w->node->meta), i);
        worker_enter(NULL);
    }
}

/* ---- answers ---- */

static void drop_first(struct access_model *m)
{
    m->count--;
    memmove(m->ops, m->ops + 1, m->count * sizeof m->ops[0]);
}

/* What is answered, in the order of the submits. */
static void fold(struct access_model *m)
{
    while (m->count > 0 && m->ops[0].outcome != ACCESS_PENDING &&
           m->ops[0].outcome != ACCESS_UNKNOWN) {
        const struct access_op *op = &m->ops[0];
        if (op->outcome == ACCESS_ANSWERED) {
            enum ior_err wanted = apply(&m->base, op);
            if (wanted != op->err)
                trace_violation("change %llu of access (action %d) was answered %s, it must be %s",
                                ULL(op->number), (int)op->action, ior_err_name(op->err),
                                ior_err_name(wanted));
        }
        drop_first(m);
    }
}

static enum access_outcome outcome_of(enum ior_err err)
{
    switch (err) {
    case IOR_E_IO:
        return ACCESS_UNKNOWN;
    case IOR_E_NOSPC:
    case IOR_E_LOST:
    case IOR_E_CLOSING:
    case IOR_E_BUSY:
        return ACCESS_LOST;
    default:
        return ACCESS_ANSWERED;
    }
}

static void on_answer(struct access_change *c)
{
    struct world *w = c->user_ptr;
    struct access_model *m = &w->access;
    w->pending--;
    trace_note("access answered", c->user[0], c->err);
    unsigned i = 0;
    while (m->ops[i].number != c->user[0]) i++;
    IOR_ASSERT(i < m->count && m->ops[i].outcome == ACCESS_PENDING);
    m->ops[i].outcome = outcome_of(c->err);
    m->ops[i].err = c->err;
    /* (It is no reason for a MARK: perhaps there was nothing to do.) */
    if (c->err == IOR_OK) trace_count(COUNT_access, 1);
    if (m->ops[i].outcome == ACCESS_ANSWERED && c->err != IOR_OK) trace_count(COUNT_refusals, 1);
    access_change_free(c);
    fold(m);
}

/* ---- submits ---- */

static void on_root(struct meta_change *c)
{
    struct world *w = c->user;
    w->access.root_busy = false;
    w->pending--;
    if (c->err == IOR_OK) w->acked_in_life++;
    meta_change_free(c);
}

/* Who wishes it all, as a first start would make him. */
static void make_root(struct world *w)
{
    struct meta_change *c = NULL;
    enum ior_err err = meta_change_new(&c);
    if (err == IOR_OK)
        err = meta_change_set(
            c, IOR_SLICE("user" FACT_SEP "root"),
            IOR_SLICE("{\"password\":\"" HASH "\",\"credential\":1,\"groups\":[]}"));
    if (err == IOR_OK)
        err = meta_change_set(
            c, IOR_SLICE("grant" FACT_SEP "user" FACT_SEP "root" FACT_SEP "any" FACT_SEP FACT_SEP),
            IOR_SLICE("{\"perms\":[\"grant\",\"adminusers\"]}"));
    IOR_ASSERT(err == IOR_OK);
    c->user = w;
    world_enter_any(w);
    err = meta_change_submit(w->node->meta, c, on_root);
    worker_enter(NULL);
    w->access.root_busy = err == IOR_OK;
    w->pending += err == IOR_OK;
    if (err != IOR_OK) meta_change_free(c);
}

static struct access_op choose(struct world *w)
{
    static const enum access_action actions[] = {
        ACCESS_USER_NEW,  ACCESS_USER_NEW,     ACCESS_USER_CHANGE, ACCESS_USER_DELETE,
        ACCESS_GROUP_NEW, ACCESS_GROUP_DELETE, ACCESS_MEMBER_ADD,  ACCESS_MEMBER_ADD,
        ACCESS_GRANT,     ACCESS_GRANT,        ACCESS_GRANT,       ACCESS_REVOKE,
        ACCESS_REVOKE,    ACCESS_MEMBER_REMOVE};
    return (struct access_op){.action = actions[world_below(w, IOR_LEN(actions))],
                              .user = (unsigned)world_below(w, ACCESS_USERS),
                              .group = (unsigned)world_below(w, ACCESS_GROUPS),
                              .role = (unsigned)world_below(w, ACCESS_ROLES),
                              .bucket = (unsigned)world_below(w, ACCESS_BUCKETS),
                              .perm = (uint8_t)perms[world_below(w, IOR_LEN(perms))]};
}

static struct access_wish wish_of(const struct access_op *op)
{
    struct access_wish w = {.action = op->action,
                            .by = IOR_SLICE("root"),
                            .by_credential = 1,
                            .perm = op->perm,
                            .hash = IOR_SLICE(HASH),
                            .admin = IOR_SLICE("root"),
                            .anonymous = IOR_SLICE("nobody"),
                            .has_bucket = op->user == 0,
                            .bucket_prefix = IOR_SLICE("_user_")};
    bool user = op->action <= ACCESS_USER_DELETE;
    w.name = ior_slice_str(user ? user_names[op->user] : group_names[op->group]);
    w.role = ior_slice_str(user_names[op->user]);
    if (op->action < ACCESS_GRANT) return w;
    w.bucket = ior_slice_str(bucket_names[op->bucket]);
    w.role = ior_slice_str(op->role < ACCESS_USERS ? user_names[op->role]
                                                   : group_names[op->role - ACCESS_USERS]);
    return w;
}

static void submit(struct world *w)
{
    struct access_model *m = &w->access;
    struct access_change *c = NULL;
    struct access_op op = choose(w);
    const struct access_wish wish = wish_of(&op);
    enum ior_err err = access_change_new(&wish, &c);
    IOR_ASSERT(err == IOR_OK);
    op.number = c->user[0] = ++m->last_number;
    c->user_ptr = w;
    trace_note("access", op.number, (uint64_t)op.action);
    m->ops[m->count++] = op; /* the strand may have its turn inside the call */
    w->pending++;
    world_enter_any(w);
    err = iorio_access_change(w->node, c, on_answer);
    worker_enter(NULL);
    if (err == IOR_OK) return;
    w->pending--;
    m->count--;
    access_change_free(c);
}

void access_step(struct world *w)
{
    struct access_model *m = &w->access;
    if (policy_user(meta_newest_policy(w->node->meta), IOR_SLICE("root")) == NULL) {
        if (!m->root_busy) make_root(w);
        return;
    }
    for (uint64_t n = world_below(w, 6) + 1; n > 0 && m->count < ACCESS_OPS; n--) submit(w);
}

/* Behind the first n changes; of the others none is there, so none of them was acknowledged. (Some
 * may have been refused, by what held when the journal had failed.) */
static bool is_behind_first(const struct access_model *m, const struct access_state *seen,
                            unsigned n)
{
    struct access_state s = m->base;
    for (unsigned i = 0; i < n; i++) {
        if (m->ops[i].outcome != ACCESS_LOST) (void)apply(&s, &m->ops[i]);
    }
    if (!same(&s, seen)) return false;
    for (unsigned i = n; i < m->count; i++) {
        if (!may_be_lost(&m->ops[i])) return false;
    }
    return true;
}

void access_recover(struct world *w)
{
    struct access_model *m = &w->access;
    struct access_state seen = state_in(meta_newest_policy(w->node->meta));
    unsigned n = 0;
    for (unsigned i = 0; i < m->count; i++) IOR_ASSERT(m->ops[i].outcome != ACCESS_PENDING);
    while (n <= m->count && !is_behind_first(m, &seen, n)) n++;
    if (n > m->count)
        trace_violation("after a start users and grants are behind no 0 to %u of the changes since "
                        "%llu",
                        m->count, ULL(m->last_number - m->count));
    m->base = seen;
    m->count = 0;
    access_check(w);
}

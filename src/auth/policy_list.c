/* src/auth/policy_list.c - see policy_list.h. A list is collected from a table and sorted.
 * Failure: NOMEM. Thread: see the header. */
#include "auth/policy_list.h"

#include <stdlib.h>

#include "auth/policy_parts.h"
#include "base/assert.h"

/* What one object of a table is in the list; false: it is left out. */
typedef bool (*row_of)(const struct ior_shared *s, const void *ctx, struct policy_row *ret);

static int by_name(const void *a, const void *b)
{
    const struct policy_row *ra = a;
    const struct policy_row *rb = b;
    if (ra->kind != rb->kind) return ra->kind < rb->kind ? -1 : 1;
    return ior_slice_cmp(ra->name, rb->name);
}

static enum ior_err collect(const struct ior_cowmap *m, row_of fn, const void *ctx,
                            struct policy_rows *ret)
{
    struct ior_cowmap_walk w;
    *ret = (struct policy_rows){0};
    struct policy_row *rows = calloc(m->count + 1, sizeof *rows);
    if (rows == NULL) return IOR_E_NOMEM;
    size_t count = 0;
    ior_cowmap_begin(&w, m);
    for (const struct ior_shared *s; (s = ior_cowmap_next(&w)) != NULL;)
        count += fn(s, ctx, &rows[count]);
    qsort(rows, count, sizeof *rows, by_name);
    *ret = (struct policy_rows){rows, count};
    return IOR_OK;
}

void policy_rows_done(struct policy_rows *r)
{
    free(r->rows);
    *r = (struct policy_rows){0};
}

static bool user_row(const struct ior_shared *s, const void *ctx, struct policy_row *ret)
{
    const struct policy_member *u =
        (const void *)((const char *)s - offsetof(struct policy_member, shared));
    (void)ctx;
    *ret =
        (struct policy_row){.kind = POLICY_USER, .name = ior_slice_str(u->shown.name), .object = u};
    return u->exists;
}

enum ior_err policy_list_users(const struct policy *p, struct policy_rows *ret)
{
    return collect(&p->users, user_row, NULL, ret);
}

static bool group_row(const struct ior_shared *s, const void *ctx, struct policy_row *ret)
{
    const struct policy_group *g = (const void *)s;
    (void)ctx;
    *ret = (struct policy_row){
        .kind = POLICY_GROUP, .name = g->name->name, .members = g->members.count, .object = g};
    return g->exists;
}

enum ior_err policy_list_groups(const struct policy *p, struct policy_rows *ret)
{
    return collect(&p->groups, group_row, NULL, ret);
}

static bool member_row(const struct ior_shared *s, const void *ctx, struct policy_row *ret)
{
    const struct policy_member_name *m = (const void *)s;
    const struct policy *p = ctx;
    bool is_user = m->role == FACT_ROLE_USER;
    const void *object = is_user ? (const void *)policy_find_user(p, m->name)
                                 : (const void *)policy_find_group(p, m->name);
    *ret = (struct policy_row){
        .kind = is_user ? POLICY_USER : POLICY_GROUP, .name = m->name, .object = object};
    return true;
}

enum ior_err policy_list_members(const struct policy *p, struct ior_slice group,
                                 struct policy_rows *ret)
{
    const struct policy_group *g = policy_find_group(p, group);
    *ret = (struct policy_rows){0};
    if (g == NULL || !g->exists) return IOR_E_NOTFOUND;
    return collect(&g->members, member_row, p, ret);
}

static bool grant_row(const struct ior_shared *s, const void *ctx, struct policy_row *ret)
{
    const struct role_grant *g = (const void *)s;
    const struct ior_slice *stream = ctx;
    *ret = (struct policy_row){.kind = POLICY_ALL, .name = IOR_SLICE("*"), .perms = g->perms};
    if (g->role != FACT_ROLE_ALL) {
        ret->kind = g->role == FACT_ROLE_USER ? POLICY_USER : POLICY_GROUP;
        ret->name = g->name;
    }
    return g->perms != 0 && ior_slice_eq(g->stream, *stream);
}

enum ior_err policy_list_grants(const struct policy *p, struct ior_slice bucket,
                                struct ior_slice stream, struct policy_rows *ret)
{
    const struct policy_shelf *shelf = policy_find_shelf(p, bucket);
    const struct ior_cowmap none = {0};
    return collect(shelf == NULL ? &none : &shelf->grants, grant_row, &stream, ret);
}

size_t policy_row_groups(const struct policy_row *row)
{
    if (row->object == NULL) return 0;
    return row->kind == POLICY_USER ? ((const struct policy_member *)row->object)->groups_count
                                    : ((const struct policy_group *)row->object)->parents_count;
}

struct ior_slice policy_row_group(const struct policy_row *row, size_t i)
{
    IOR_ASSERT(i < policy_row_groups(row));
    return row->kind == POLICY_USER ? ((const struct policy_member *)row->object)->groups[i]->name
                                    : ((const struct policy_group *)row->object)->parents[i]->name;
}

/* ---- why ---- */

struct question {
    const struct policy *p;
    uint8_t perm;
    struct role_question q; /* with an empty bucket: on any */
};

/* What of this role decides; NULL: nothing. */
static const struct role_target *decides(const struct role *r, const struct question *q)
{
    if (r == NULL) return NULL;
    if ((r->any & q->perm) != 0) return role_target_of(r, q->p->salt, IOR_SLICE(""), IOR_SLICE(""));
    return q->q.bucket.size_bytes == 0 ? NULL : role_gives(r, &q->q, q->perm);
}

static bool take(const struct role *r, const struct question *q, enum policy_kind kind,
                 struct ior_slice name, struct policy_reason *ret)
{
    const struct role_target *t = decides(r, q);
    if (t == NULL) return false;
    ret->allowed = true;
    ret->kind = kind;
    ret->name = name;
    ret->bucket = t->bucket;
    ret->stream = t->stream;
    return true;
}

/* From the user to the group that the walk has come to. */
static void note_path(const struct group_walk *w, struct policy_reason *ret)
{
    size_t length = 0;
    for (size_t at = w->at; at != 0; at = w->queue[at - 1].from) length++;
    size_t i = length;
    for (size_t at = w->at; at != 0; at = w->queue[at - 1].from) {
        if (--i >= POLICY_PATH_MAX) continue;
        ret->path[i] = policy_group_of_id(w->policy, w->queue[at - 1].id)->name->name;
    }
    ret->path_count = length < POLICY_PATH_MAX ? length : POLICY_PATH_MAX;
}

void policy_explain(const struct policy *p, struct ior_slice user, enum perm perm,
                    struct ior_slice bucket, struct ior_slice stream, struct policy_reason *ret)
{
    const struct policy_member *u = policy_find_user(p, user);
    struct question q = {.p = p, .perm = (uint8_t)perm};
    ret->allowed = false;
    ret->path_count = 0;
    if (bucket.size_bytes > BUCKET_BYTES_MAX || stream.size_bytes > STREAM_BYTES_MAX) return;
    if (bucket.size_bytes > 0) q.q = role_ask(p->salt, bucket, stream);
    if (u != NULL && !u->exists) u = NULL;
    if (u != NULL && take(u->own, &q, POLICY_USER, ior_slice_str(u->shown.name), ret)) return;
    if (take(p->everyone, &q, POLICY_ALL, IOR_SLICE("*"), ret) || u == NULL) return;
    struct group_walk w;
    group_walk_begin(&w, p, u->groups, u->groups_count);
    for (const struct policy_group *g; (g = group_walk_next(&w)) != NULL;) {
        if (!take(g->own, &q, POLICY_GROUP, g->name->name, ret)) continue;
        note_path(&w, ret);
        return;
    }
}

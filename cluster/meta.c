/* cluster/meta.c - see meta.h.
 * Happy path of a change: propose in the strand; when committed, apply to the
 * fact table, build a new policy, mail it to every worker; each worker swaps its
 * pointer and mails back; after the last one the caller is answered.
 * Failure modes: a change whose policy cannot be built (no memory) is durable all
 * the same; the old view stays until the next change and the caller gets NOMEM. */
#include "cluster/meta.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "rt/clock.h"

enum { META_MAGIC = 0x6d657461 };

struct stored_fact {
    uint64_t hash;
    size_t key_bytes;
    size_t value_bytes;
    uint8_t bytes[]; /* key, then value */
};

/* One worker's pointer to the current policy. */
struct view_slot {
    struct policy *policy;
    unsigned char pad[56]; /* a cache line each */
};

struct view_mail {
    struct msg msg; /* to the worker, then back into the strand */
    struct meta *meta;
    struct policy *policy;
    struct meta_change *change;
    unsigned worker;
};

struct meta {
    uint32_t magic;
    struct meta_params params;
    struct strand strand;
    struct group group;
    struct ior_map facts;
    struct policy *policy; /* the newest; guarded by the strand */
    struct view_slot *views;
};

static struct ior_slice key_of(const struct stored_fact *f)
{
    return ior_slice(f->bytes, f->key_bytes);
}

static bool same_key(const void *object, const void *key)
{
    return ior_slice_eq(key_of(object), *(const struct ior_slice *)key);
}

static const struct group_ops *group_ops(void);

enum ior_err meta_new(const struct meta_params *p, struct meta **ret)
{
    struct meta *m = calloc(1, sizeof *m);
    if (m == NULL) return IOR_E_NOMEM;
    m->views = calloc(p->worker_count, sizeof *m->views);
    if (m->views == NULL) {
        free(m);
        return IOR_E_NOMEM;
    }
    m->magic = META_MAGIC;
    m->params = *p;
    strand_init(&m->strand);
    group_init(&m->group, 0, p->journal, &m->strand, group_ops(), m, p->node);
    *ret = m;
    return IOR_OK;
}

void meta_free(struct meta *m)
{
    if (m == NULL) return;
    IOR_CHECK_MAGIC(m, META_MAGIC);
    size_t pos = 0;
    void *f;
    while ((f = ior_map_next(&m->facts, &pos)) != NULL) free(f);
    ior_map_done(&m->facts);
    for (unsigned i = 0; i < m->params.worker_count; i++) policy_unref(m->views[i].policy);
    policy_unref(m->policy);
    strand_done(&m->strand);
    free(m->views);
    m->magic = 0;
    free(m);
}

/* ---- facts ---- */

static enum ior_err set_fact(struct meta *m, struct ior_slice key, struct ior_slice value)
{
    uint64_t hash = ior_hash(key);
    struct stored_fact *f = NULL;
    if (value.data != NULL) {
        f = malloc(sizeof *f + key.size_bytes + value.size_bytes);
        if (f == NULL) return IOR_E_NOMEM;
        f->hash = hash;
        f->key_bytes = key.size_bytes;
        f->value_bytes = value.size_bytes;
        memcpy(f->bytes, key.data, key.size_bytes);
        if (value.size_bytes > 0) memcpy(f->bytes + key.size_bytes, value.data, value.size_bytes);
    }
    struct stored_fact *old = ior_map_find(&m->facts, hash, same_key, &key);
    if (old != NULL) {
        ior_map_remove(&m->facts, hash, old);
        free(old);
    }
    enum ior_err err = f == NULL ? IOR_OK : ior_map_add(&m->facts, hash, f);
    if (err != IOR_OK) free(f);
    return err;
}

static enum ior_err apply_items(struct meta *m, struct ior_slice items)
{
    size_t pos = 0;
    struct item it;
    enum ior_err err;
    while ((err = item_next(items, &pos, &it)) == IOR_OK) {
        struct ior_slice key = item_attr(&it, ATTR_KEY);
        if (it.op != ITEM_SET || key.data == NULL) return IOR_E_VERSION;
        struct ior_slice value = it.payload;
        if ((it.flags & ITEM_FLAG_JSON) == 0) value = (struct ior_slice){NULL, 0}; /* unset */
        err = set_fact(m, key, value);
        if (err != IOR_OK) return err;
    }
    return err == IOR_E_END ? IOR_OK : err;
}

static enum ior_err build_policy(struct meta *m, struct policy **ret, struct ior_why *why)
{
    struct fact *facts = calloc(m->facts.count + 1, sizeof *facts);
    if (facts == NULL) return ior_why_set(why, IOR_E_NOMEM, "out of memory");
    size_t n = 0;
    size_t pos = 0;
    struct stored_fact *f;
    while ((f = ior_map_next(&m->facts, &pos)) != NULL)
        facts[n++] = (struct fact){key_of(f), ior_slice(f->bytes + f->key_bytes, f->value_bytes)};
    enum ior_err err = policy_build(facts, n, ret, why);
    free(facts);
    return err;
}

enum ior_err meta_replay(struct meta *m, const struct record_head *head, struct ior_slice items,
                         struct ior_why *why)
{
    IOR_CHECK_MAGIC(m, META_MAGIC);
    bool apply = false;
    enum ior_err err = group_replay(&m->group, head, &apply, why);
    if (err != IOR_OK || !apply) return err;
    err = apply_items(m, items);
    if (err == IOR_OK) return err;
    return ior_why_set(why, err, "group 0, index %llu: a fact that this version cannot read",
                       (unsigned long long)head->index);
}

enum ior_err meta_start(struct meta *m, struct ior_why *why)
{
    enum ior_err err = build_policy(m, &m->policy, why);
    if (err != IOR_OK) return err;
    for (unsigned i = 0; i < m->params.worker_count; i++)
        m->views[i].policy = policy_ref(m->policy);
    return IOR_OK;
}

const struct policy *meta_policy(const struct meta *m)
{
    struct worker *w = worker_current();
    IOR_ASSERT(w != NULL && w->id < m->params.worker_count);
    return m->views[w->id].policy;
}

const struct policy *meta_newest_policy(const struct meta *m)
{
    return m->policy;
}

/* ---- a change ---- */

enum ior_err meta_change_new(struct meta_change **ret)
{
    *ret = calloc(1, sizeof **ret);
    return *ret == NULL ? IOR_E_NOMEM : IOR_OK;
}

/* The item of one fact, as in a change that sets it. */
static enum ior_err add_item(struct ior_buf *items, struct ior_slice key, struct ior_slice value)
{
    size_t attrs = attr_bytes(key.size_bytes);
    size_t bytes = item_bytes(attrs, value.size_bytes);
    uint8_t *at = ior_buf_room(items, bytes);
    if (at == NULL) return IOR_E_NOMEM;
    item_write(at, ITEM_SET, value.data == NULL ? 0 : ITEM_FLAG_JSON, attrs, value);
    attr_write(at + ITEM_HEAD_BYTES, ATTR_KEY, key);
    item_set_place(at, 0, 0, 0);
    ior_buf_grew(items, bytes);
    return IOR_OK;
}

enum ior_err meta_change_set(struct meta_change *c, struct ior_slice key, struct ior_slice value)
{
    if (key.size_bytes > FACT_BYTES_MAX / 2 || value.size_bytes > FACT_BYTES_MAX)
        return IOR_E_TOOLARGE;
    return add_item(&c->items, key, value);
}

bool meta_change_empty(const struct meta_change *c)
{
    return c->items.size_bytes == 0;
}

void meta_change_free(struct meta_change *c)
{
    if (c == NULL) return;
    ior_buf_done(&c->items);
    record_done(&c->record);
    free(c);
}

static struct meta_change *change_of(struct proposal *p)
{
    return IOR_CONTAINER(IOR_CONTAINER(p, struct meta_op, proposal), struct meta_change, op);
}

static void run_cb(struct msg *m)
{
    struct meta_change *c = IOR_CONTAINER(m, struct meta_change, msg);
    c->cb(c);
}

static void answer(struct meta_change *c, enum ior_err err)
{
    c->err = err;
    c->msg.run = run_cb;
    worker_post(c->origin, &c->msg);
}

static void change_done(struct meta *m, struct meta_op *op, enum ior_err err);

static void strand_change(struct msg *m)
{
    struct meta_change *c = IOR_CONTAINER(m, struct meta_change, msg);
    c->op.done = change_done;
    c->op.proposal.record = &c->record;
    c->op.proposal.time_ms = clock_wall_ms();
    enum ior_err err = group_propose(&c->meta->group, &c->op.proposal);
    if (err != IOR_OK) answer(c, err);
}

enum ior_err meta_change_submit(struct meta *m, struct meta_change *c, meta_change_cb cb)
{
    IOR_CHECK_MAGIC(m, META_MAGIC);
    IOR_ASSERT(!meta_change_empty(c));
    struct ior_blob *items = ior_blob_new(c->items.size_bytes);
    if (items == NULL) return IOR_E_NOMEM;
    memcpy(items->data, c->items.data, c->items.size_bytes);
    c->record.items = items;
    c->meta = m;
    c->origin = worker_current();
    c->cb = cb;
    c->msg.run = strand_change;
    return strand_post(&m->strand, &c->msg);
}

/* Back in the strand: one more worker has the new view. */
static void view_seen(struct msg *m)
{
    struct view_mail *v = IOR_CONTAINER(m, struct view_mail, msg);
    struct meta_change *c = v->change;
    free(v);
    if (--c->acks_left == 0) answer(c, c->err);
}

static void swap_view(struct msg *m)
{
    struct view_mail *v = IOR_CONTAINER(m, struct view_mail, msg);
    struct view_slot *slot = &v->meta->views[v->worker];
    policy_unref(slot->policy);
    slot->policy = v->policy;
    v->msg.run = view_seen;
    strand_post_completion(&v->meta->strand, &v->msg);
}

static enum ior_err publish(struct meta *m, struct meta_change *c)
{
    struct ior_why why;
    struct policy *p = NULL;
    enum ior_err err = build_policy(m, &p, &why);
    if (err != IOR_OK) {
        LOG_ERROR("meta", "policy not built", "err=%s: %s", ior_err_name(err), why.text);
        return err;
    }
    policy_unref(m->policy);
    m->policy = p;
    c->acks_left = 0;
    for (unsigned i = 0; i < m->params.worker_count; i++) {
        struct view_mail *v = malloc(sizeof *v);
        if (v == NULL) return IOR_E_NOMEM;
        *v = (struct view_mail){{.run = swap_view}, m, policy_ref(p), c, i};
        c->acks_left++;
        worker_post(m->params.workers[i], &v->msg);
    }
    return IOR_OK;
}

static void on_apply(void *ctx, struct proposal *p)
{
    struct meta *m = ctx;
    struct meta_change *c = change_of(p);
    c->err = apply_items(m, ior_slice(c->record.items->data, c->record.items->size_bytes));
}

static void on_lost(void *ctx)
{
    (void)ctx; /* facts change only when they are committed: nothing is reserved */
}

static void change_done(struct meta *m, struct meta_op *op, enum ior_err err)
{
    struct meta_change *c = IOR_CONTAINER(op, struct meta_change, op);
    if (err == IOR_OK) err = c->err;
    if (err == IOR_OK) err = publish(m, c);
    c->err = err;
    if (c->acks_left == 0) answer(c, err);
}

static void on_done(void *ctx, struct proposal *p, enum ior_err err)
{
    struct meta_op *op = IOR_CONTAINER(p, struct meta_op, proposal);
    op->done(ctx, op, err);
}

static const struct group_ops *group_ops(void)
{
    static const struct group_ops ops = {.apply = on_apply, .lost = on_lost, .done = on_done};
    return &ops;
}

/* ---- checkpoints ---- */

struct strand *meta_strand(struct meta *m)
{
    return &m->strand;
}

static void snapshot_done(struct meta *m, struct meta_op *op, enum ior_err err)
{
    struct meta_snapshot *snap = IOR_CONTAINER(op, struct meta_snapshot, op);
    (void)err; /* what was given up was never applied */
    snap->term = m->group.term;
    snap->applied_index = m->group.applied_index;
    snap->changed = snap->applied_index > snap->since;
    snap->err = IOR_OK;
    size_t pos = 0;
    struct stored_fact *f;
    while (snap->changed && snap->err == IOR_OK && (f = ior_map_next(&m->facts, &pos)) != NULL)
        snap->err =
            add_item(&snap->items, key_of(f), ior_slice(f->bytes + f->key_bytes, f->value_bytes));
    snap->taken(snap);
}

void meta_snapshot_take(struct meta *m, struct meta_snapshot *snap)
{
    IOR_ASSERT(strand_inside(&m->strand));
    snap->op.done = snapshot_done;
    group_barrier(&m->group, &snap->op.proposal);
}

enum ior_err meta_restore(struct meta *m, struct ior_slice items, uint64_t term,
                          uint64_t applied_index, struct ior_why *why)
{
    IOR_CHECK_MAGIC(m, META_MAGIC);
    group_restore(&m->group, term, applied_index);
    enum ior_err err = apply_items(m, items);
    if (err == IOR_OK) return err;
    return ior_why_set(why, err, "the catalog holds a fact that this version cannot read");
}

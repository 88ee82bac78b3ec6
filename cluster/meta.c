/* cluster/meta.c - see meta.h.
 * Happy path of a change: propose in the strand; when committed, apply to the
 * fact table (meta_facts.c), then the part of the view that changed goes to every worker
 * (meta_view.c); after the last one has it the caller is answered.
 * Failure modes: a change whose view cannot be built (no memory) is durable all
 * the same; the old view stays until the next change and the caller gets NOMEM. */
#include "cluster/meta.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "cluster/meta_facts.h"
#include "cluster/meta_view.h"
#include "cluster/retention_fact.h"
#include "rt/clock.h"

enum { META_MAGIC = 0x6d657461 };

struct meta {
    uint32_t magic;
    struct meta_params params;
    struct strand strand;
    struct group group;
    struct meta_facts facts; /* guarded by the strand */
    struct meta_view view;
};

static const struct group_ops *group_ops(void);

enum ior_err meta_new(const struct meta_params *p, struct meta **ret)
{
    struct meta *m = calloc(1, sizeof *m);
    if (m == NULL) return IOR_E_NOMEM;
    enum ior_err err = meta_view_init(&m->view, &m->strand, p->workers, p->worker_count);
    if (err != IOR_OK) {
        free(m);
        return err;
    }
    m->magic = META_MAGIC;
    m->params = *p;
    meta_facts_init(&m->facts);
    strand_init(&m->strand);
    group_init(&m->group, 0, p->journal, &m->strand, group_ops(), m, p->node);
    *ret = m;
    return IOR_OK;
}

void meta_free(struct meta *m)
{
    if (m == NULL) return;
    IOR_CHECK_MAGIC(m, META_MAGIC);
    meta_facts_done(&m->facts);
    meta_view_done(&m->view);
    strand_done(&m->strand);
    m->magic = 0;
    free(m);
}

/* ---- facts ---- */

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
        err = meta_facts_set(&m->facts, key, value);
        if (err != IOR_OK) return err;
        meta_view_touch(&m->view, &(struct fact){key, value});
    }
    return err == IOR_E_END ? IOR_OK : err;
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
    return meta_view_start(&m->view, &m->facts, why);
}

const struct policy *meta_policy(const struct meta *m)
{
    return meta_view_of_worker(&m->view)->policy;
}

const struct retention_view *meta_retention(const struct meta *m)
{
    return meta_view_of_worker(&m->view)->retention;
}

const struct policy *meta_newest_policy(const struct meta *m)
{
    return m->view.policy;
}

/* ---- a change ---- */

enum ior_err meta_change_new(struct meta_change **ret)
{
    *ret = calloc(1, sizeof **ret);
    return *ret == NULL ? IOR_E_NOMEM : IOR_OK;
}

/* What could not be read back must not get into the log. */
static bool retention_readable(const struct fact *f)
{
    struct ior_slice bucket;
    struct ior_slice stream;
    struct retention r;
    if (f->value.data == NULL)
        return retention_fact_names(f->key, &bucket, &stream, NULL) == IOR_OK;
    return retention_fact_read(f, &bucket, &stream, &r, NULL) == IOR_OK;
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
    if (retention_fact_is(key) && !retention_readable(&(struct fact){key, value}))
        return IOR_E_INVAL;
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

static void on_seen(void *ctx, enum ior_err err)
{
    answer(ctx, err);
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
    if (err != IOR_OK) {
        answer(c, err);
        return;
    }
    struct ior_why why = {""};
    err = meta_view_publish(&m->view, &m->facts, on_seen, c, &why);
    if (why.text[0] != 0) LOG_ERROR("meta", "view not built", "%s", why.text);
    if (err != IOR_OK) answer(c, err);
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

static enum ior_err add_part(struct ior_buf *items, const struct ior_map *part)
{
    struct fact f;
    size_t pos = 0;
    enum ior_err err = IOR_OK;
    while (err == IOR_OK && meta_facts_next(part, &pos, &f)) err = add_item(items, f.key, f.value);
    return err;
}

static void snapshot_done(struct meta *m, struct meta_op *op, enum ior_err err)
{
    struct meta_snapshot *snap = IOR_CONTAINER(op, struct meta_snapshot, op);
    (void)err; /* what was given up was never applied */
    snap->term = m->group.term;
    snap->applied_index = m->group.applied_index;
    snap->changed = snap->applied_index > snap->since;
    snap->err = IOR_OK;
    if (snap->changed) snap->err = add_part(&snap->items, &m->facts.access);
    if (snap->changed && snap->err == IOR_OK)
        snap->err = add_part(&snap->items, &m->facts.retention);
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
    return ior_why_set(why, err, "it holds a fact that this version cannot read");
}

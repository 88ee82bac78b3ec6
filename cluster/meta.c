/* cluster/meta.c - see meta.h.
 * Happy path of a change: inside the strand its facts are made from the state that is ahead (all
 * that is proposed), the state behind it is made, and it is proposed; that state is ahead
 * then. When it is committed its state is the one that holds, and goes to every
 * worker (meta_view.c); after the last one has it the caller is answered.
 * Failure modes: everything that needs memory or can be wrong comes before the proposal. A
 * change that is given up takes those behind it along, and the state ahead is that which
 * holds again. What was judged by a change on its way waits for it: if that is given up, so
 * is the judgement. */
#include "cluster/meta.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mutant.h"
#include "cluster/meta_state.h"
#include "cluster/meta_view.h"
#include "cluster/retention_fact.h"
#include "rt/clock.h"

enum { META_MAGIC = 0x6d657461 };

struct meta {
    uint32_t magic;
    struct meta_params params;
    struct strand strand;
    struct group group;
    struct meta_facts facts;    /* before meta_start(); then empty */
    struct meta_state *applied; /* guarded by the strand, as the next: what is committed */
    struct meta_state *ahead;   /* with what is proposed */
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
    meta_state_unref(m->applied);
    meta_state_unref(m->ahead);
    meta_view_done(&m->view);
    strand_done(&m->strand);
    m->magic = 0;
    free(m);
}

/* ---- facts ---- */

static enum ior_err replay_items(struct meta *m, struct ior_slice items)
{
    enum ior_err err = IOR_OK;
    struct fact f;
    size_t pos = 0;
    while (err == IOR_OK && meta_item_next(items, &pos, &f, &err))
        err = meta_facts_set(&m->facts, f.key, f.value);
    return err;
}

enum ior_err meta_replay(struct meta *m, const struct record_head *head, struct ior_slice items,
                         struct ior_why *why)
{
    IOR_CHECK_MAGIC(m, META_MAGIC);
    IOR_ASSERT(m->applied == NULL);
    bool apply = false;
    enum ior_err err = group_replay(&m->group, head, &apply, why);
    if (err != IOR_OK || !apply) return err;
    err = replay_items(m, items);
    if (err == IOR_OK) return err;
    return ior_why_set(why, err, "group 0, index %llu: a fact that this version cannot read",
                       (unsigned long long)head->index);
}

enum ior_err meta_start(struct meta *m, struct ior_why *why)
{
    IOR_ASSERT(m->applied == NULL);
    enum ior_err err = meta_state_of(&m->facts, &m->applied, why);
    if (err != IOR_OK) return err;
    meta_facts_done(&m->facts);
    m->ahead = meta_state_ref(m->applied);
    meta_view_start(&m->view, m->applied);
    return IOR_OK;
}

const struct policy *meta_policy(const struct meta *m)
{
    return meta_view_of_worker(&m->view)->policy;
}

const struct retention_view *meta_retention(const struct meta *m)
{
    return meta_view_of_worker(&m->view)->retention;
}

const struct revoked *meta_revoked(const struct meta *m)
{
    return meta_view_of_worker(&m->view)->revoked;
}

const struct policy *meta_newest_policy(const struct meta *m)
{
    return m->applied->policy;
}

static void replace(struct meta_state **at, struct meta_state *by)
{
    struct meta_state *old = *at;
    *at = meta_state_ref(by);
    meta_state_unref(old);
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

/* What belongs to one submit. */
static void tidy(struct meta_change *c)
{
    record_done(&c->record);
    c->record = (struct record){0};
    meta_state_unref(c->next);
    c->next = NULL;
    meta_mail_free(c->mail);
    c->mail = NULL;
}

void meta_change_free(struct meta_change *c)
{
    if (c == NULL) return;
    ior_buf_done(&c->items);
    tidy(c);
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

/* ---- it is on its way ---- */

static void on_seen(void *ctx)
{
    answer(ctx, IOR_OK);
}

/* OK: what holds goes to every worker before the answer. */
static void change_done(struct meta *m, struct meta_op *op, enum ior_err err)
{
    struct meta_change *c = IOR_CONTAINER(op, struct meta_change, op);
    if (err == IOR_OK) err = c->err;
    if (err != IOR_OK) {
        answer(c, err);
        return;
    }
    struct meta_mail *mail = c->mail;
    c->mail = NULL;
    meta_view_publish(&m->view, mail, m->applied, on_seen, c);
}

static void on_apply(void *ctx, struct proposal *p)
{
    struct meta *m = ctx;
    replace(&m->applied, change_of(p)->next);
}

static void on_lost(void *ctx)
{
    struct meta *m = ctx;
    if (MUTANT(keep_lost_facts)) return;
    replace(&m->ahead, m->applied);
}

/* The facts of the change, the state behind it and its record. Without facts there is no
 * record. */
static enum ior_err prepare(struct meta *m, struct meta_change *c)
{
    struct ior_why why = {""};
    const struct meta_state *now = MUTANT(facts_from_applied) ? m->applied : m->ahead;
    enum ior_err err = IOR_OK;
    if (c->make != NULL) {
        ior_buf_clear(&c->items);
        c->revoked = now->revoked;
        err = c->make(c, now->policy);
    }
    if (err != IOR_OK || meta_change_empty(c)) return err;
    struct ior_slice items = ior_buf_slice(&c->items);
    err = meta_state_after(m->ahead, items, &c->next, &why);
    if (err != IOR_OK) {
        LOG_ERROR("meta", "change refused", "err=%s %s", ior_err_name(err), why.text);
        return err;
    }
    if (c->judge != NULL) err = c->judge(c, now->policy, c->next->policy);
    if (err != IOR_OK) return err;
    c->record.items = ior_blob_new(items.size_bytes);
    if (c->record.items == NULL) return IOR_E_NOMEM;
    memcpy(c->record.items->data, items.data, items.size_bytes);
    return IOR_OK;
}

static enum ior_err propose(struct meta *m, struct meta_change *c)
{
    c->op.proposal.record = &c->record;
    c->op.proposal.time_ms = clock_wall_ms();
    enum ior_err err = group_propose(&m->group, &c->op.proposal);
    if (err == IOR_OK) replace(&m->ahead, c->next);
    return err;
}

static void strand_change(struct msg *msg)
{
    struct meta_change *c = IOR_CONTAINER(msg, struct meta_change, msg);
    struct meta *m = c->meta;
    c->op.done = change_done;
    c->err = prepare(m, c);
    if (c->err == IOR_OK && c->record.items != NULL) {
        enum ior_err err = propose(m, c);
        if (err != IOR_OK) answer(c, err);
        return;
    }
    /* Refused, or nothing to do, by what is perhaps not on the disk yet. Behind a journal that has
     * failed nothing is good news: what was given up may be there at the next start. */
    if (c->err == IOR_OK && journal_failed(m->params.journal)) c->err = IOR_E_IO;
    group_barrier(&m->group, &c->op.proposal);
}

enum ior_err meta_change_submit(struct meta *m, struct meta_change *c, meta_change_cb cb)
{
    IOR_CHECK_MAGIC(m, META_MAGIC);
    IOR_ASSERT(c->make != NULL || !meta_change_empty(c));
    tidy(c);
    enum ior_err err = meta_mail_new(&m->view, &c->mail);
    if (err != IOR_OK) return err;
    c->meta = m;
    c->origin = worker_current();
    c->cb = cb;
    c->msg.run = strand_change;
    return strand_post(&m->strand, &c->msg);
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

static enum ior_err add_part(struct ior_buf *items, const struct ior_cowmap *part)
{
    struct fact f;
    struct ior_cowmap_walk w;
    enum ior_err err = IOR_OK;
    ior_cowmap_begin(&w, part);
    while (err == IOR_OK && meta_facts_next(&w, &f)) err = add_item(items, f.key, f.value);
    return err;
}

static void snapshot_done(struct meta *m, struct meta_op *op, enum ior_err err)
{
    struct meta_snapshot *snap = IOR_CONTAINER(op, struct meta_snapshot, op);
    (void)err; /* what was given up was never applied */
    snap->term = m->group.term;
    snap->applied_index = m->group.applied_index;
    snap->changed = snap->applied_index > snap->since;
    snap->facts = (struct meta_facts){0};
    if (snap->changed) snap->facts = meta_facts_copy(&m->applied->facts);
    snap->taken(snap);
}

enum ior_err meta_snapshot_write(const struct meta_snapshot *snap, struct ior_buf *items)
{
    enum ior_err err = add_part(items, &snap->facts.access);
    if (err == IOR_OK) err = add_part(items, &snap->facts.retention);
    if (MUTANT(no_revoked_at_checkpoint)) return err;
    return err == IOR_OK ? add_part(items, &snap->facts.revoked) : err;
}

void meta_snapshot_done(struct meta_snapshot *snap)
{
    meta_facts_done(&snap->facts);
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
    IOR_ASSERT(m->applied == NULL);
    enum ior_err err = replay_items(m, items);
    if (err == IOR_OK) return err;
    return ior_why_set(why, err, "it holds a fact that this version cannot read");
}

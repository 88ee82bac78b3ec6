/* cluster/group.c - a group with one voter: durable means committed.
 * Happy path: propose gives the record the next index and the journal's queue;
 * the journal answers on the worker that proposed; everything up to that index
 * is then durable (the journal is one ordered file), so all of it is applied in
 * order, whichever answer comes first; each proposal is done when its own answer
 * has come, on its own worker.
 * Before the first record of a process a VOTE record takes the next term: the
 * log shows which start wrote what, as it will with several voters.
 * Failure: the journal gives up everything that waits. The first bad answer makes
 * the group drain: nothing new is taken until every answer has come; then what
 * was durable is applied, lost() drops the reservations, the index goes back to
 * the last durable one, and the rest is done with the error. */
#include "cluster/group.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

enum { GROUP_MAGIC = 0x67726f75 };

static void on_answer(struct journal_req *req);

void group_init(struct group *g, uint32_t id, struct journal *journal, struct strand *strand,
                const struct group_ops *ops, void *ctx, const char *node)
{
    *g = (struct group){.magic = GROUP_MAGIC,
                        .id = id,
                        .journal = journal,
                        .strand = strand,
                        .ops = ops,
                        .ctx = ctx};
    snprintf(g->node, sizeof g->node, "%s", node);
}

void group_restore(struct group *g, uint64_t term, uint64_t applied_index)
{
    IOR_CHECK_MAGIC(g, GROUP_MAGIC);
    IOR_ASSERT(g->last_index == 0 && g->term == 0);
    g->term = g->saved_term = term;
    g->last_index = g->applied_index = g->saved_index = applied_index;
}

enum ior_err group_replay(struct group *g, const struct record_head *head, bool *ret_apply,
                          struct ior_why *why)
{
    IOR_CHECK_MAGIC(g, GROUP_MAGIC);
    IOR_ASSERT(ior_queue_empty(&g->in_flight));
    *ret_apply = false;
    if (head->kind != RECORD_ENTRY && head->kind != RECORD_VOTE)
        return ior_why_set(why, IOR_E_VERSION,
                           "group %u: a record of kind %u, which a single node does not write",
                           g->id, head->kind);
    if (head->term == UINT64_MAX) /* the next vote could not be higher */
        return ior_why_set(why, IOR_E_CORRUPT, "group %u: the term has no successor", g->id);
    if (head->index <= g->saved_index && head->term <= g->saved_term)
        return IOR_OK; /* older than the checkpoint: its segment was not needed any more */
    if (head->term < g->term)
        return ior_why_set(why, IOR_E_CORRUPT, "group %u: the term goes back from %llu to %llu",
                           g->id, (unsigned long long)g->term, (unsigned long long)head->term);
    g->term = head->term;
    if (head->kind == RECORD_VOTE) return IOR_OK;
    if (head->index != g->last_index + 1)
        return ior_why_set(why, IOR_E_CORRUPT, "group %u: index %llu follows index %llu", g->id,
                           (unsigned long long)head->index, (unsigned long long)g->last_index);
    g->last_index = head->index;
    g->applied_index = head->index;
    *ret_apply = true;
    return IOR_OK;
}

static struct proposal *proposal_of(struct ior_link *l)
{
    return IOR_CONTAINER(l, struct proposal, link);
}

static enum ior_err submit(struct group *g, struct proposal *p, enum record_kind kind)
{
    struct record_head head = {
        .kind = (uint16_t)kind,
        .group = g->id,
        .term = g->term,
        .index = p->index,
        .time_ms = p->time_ms,
    };
    record_seal(p->record, &head);
    p->group = g;
    p->err = IOR_OK;
    p->reported = p->applied = p->is_barrier = false;
    p->req.record = p->record;
    p->req.epoch = g->epoch;
    p->req.done = on_answer;
    enum ior_err err = journal_submit(g->journal, &p->req);
    if (err == IOR_OK) ior_queue_push(&g->in_flight, &p->link);
    return err;
}

/* Take the next term for this process. */
static enum ior_err propose_vote(struct group *g, uint64_t time_ms)
{
    IOR_ASSERT(!g->vote_busy);
    size_t attrs = attr_bytes(strlen(g->node));
    struct ior_blob *items = ior_blob_new(item_bytes(attrs, 0));
    if (items == NULL) return IOR_E_NOMEM;
    item_write(items->data, ITEM_VOTE, 0, attrs, (struct ior_slice){NULL, 0});
    attr_write(items->data + ITEM_HEAD_BYTES, ATTR_NODE, ior_slice_str(g->node));
    item_set_place(items->data, 0, 0, 0);
    g->vote_record = (struct record){.items = items};
    g->vote = (struct proposal){
        .record = &g->vote_record, .time_ms = time_ms, .index = g->last_index, .is_vote = true};
    g->term++;
    enum ior_err err = submit(g, &g->vote, RECORD_VOTE);
    if (err != IOR_OK) {
        g->term--;
        record_done(&g->vote_record);
        return err;
    }
    g->led = g->vote_busy = true;
    return IOR_OK;
}

enum ior_err group_propose(struct group *g, struct proposal *p)
{
    IOR_CHECK_MAGIC(g, GROUP_MAGIC);
    IOR_ASSERT(strand_inside(g->strand));
    IOR_ASSERT(p->record != NULL);
    if (g->draining) return IOR_E_LOST;
    if (ior_queue_empty(&g->in_flight)) g->epoch = journal_epoch(g->journal);
    if (!g->led) {
        if (g->vote_busy) return IOR_E_LOST; /* an old vote is still on its way back */
        enum ior_err err = propose_vote(g, p->time_ms);
        if (err != IOR_OK) return err;
    }
    p->is_vote = false;
    p->index = g->last_index + 1;
    enum ior_err err = submit(g, p, RECORD_ENTRY);
    if (err != IOR_OK) return err;
    g->last_index = p->index;
    return IOR_OK;
}

bool group_is_settled(const struct group *g)
{
    return ior_queue_empty(&g->in_flight);
}

static void finish(struct group *g, struct proposal *p, enum ior_err err)
{
    if (p->is_vote) {
        record_done(&g->vote_record);
        g->vote_busy = false;
        if (err != IOR_OK) g->led = false;
        return;
    }
    g->ops->done(g->ctx, p, err);
}

static void run_barrier(struct msg *m)
{
    struct proposal *p = IOR_CONTAINER(m, struct proposal, barrier_msg);
    finish(p->group, p, p->err);
}

void group_barrier(struct group *g, struct proposal *p)
{
    IOR_CHECK_MAGIC(g, GROUP_MAGIC);
    IOR_ASSERT(strand_inside(g->strand));
    p->group = g;
    p->err = IOR_OK;
    p->is_barrier = true;
    p->is_vote = p->applied = false;
    p->reported = true;
    p->index = g->last_index;
    if (ior_queue_empty(&g->in_flight)) {
        p->barrier_msg.run = run_barrier;
        strand_post_completion(g->strand, &p->barrier_msg);
        return;
    }
    ior_queue_push(&g->in_flight, &p->link);
}

static void apply_one(struct group *g, struct proposal *p)
{
    IOR_ASSERT(!p->applied);
    p->applied = true;
    if (p->is_barrier || p->is_vote) return;
    IOR_ASSERT(p->index == g->applied_index + 1);
    g->applied_index = p->index;
    g->ops->apply(g->ctx, p);
}

/* Everything in front of `last` in the journal, and itself, is durable. */
static void apply_through(struct group *g, struct proposal *last)
{
    if (last->applied) return;
    struct proposal *p;
    do {
        IOR_ASSERT(!ior_queue_empty(&g->in_flight));
        p = proposal_of(ior_queue_pop(&g->in_flight));
        apply_one(g, p);
        if (p->is_barrier) finish(g, p, IOR_OK);
    } while (p != last);
    /* Barriers right behind need nothing more. */
    while (!ior_queue_empty(&g->in_flight) && proposal_of(g->in_flight.head)->is_barrier)
        finish(g, proposal_of(ior_queue_pop(&g->in_flight)), IOR_OK);
}

static bool all_reported(const struct group *g)
{
    for (struct ior_link *l = g->in_flight.head; l != NULL; l = l->next) {
        if (!proposal_of(l)->reported) return false;
    }
    return true;
}

/* Every answer has come. What is still in flight failed: give it up. */
static void end_drain(struct group *g)
{
    struct ior_queue failed = {0};
    ior_queue_move(&failed, &g->in_flight);
    g->draining = false;
    g->last_index = g->applied_index;
    g->ops->lost(g->ctx);
    while (!ior_queue_empty(&failed)) {
        struct proposal *p = proposal_of(ior_queue_pop(&failed));
        finish(g, p, p->err == IOR_OK ? g->drain_err : p->err);
    }
}

static void handle_answer(struct msg *m)
{
    struct journal_req *req = IOR_CONTAINER(m, struct journal_req, msg);
    struct proposal *p = IOR_CONTAINER(req, struct proposal, req);
    struct group *g = p->group;
    IOR_CHECK_MAGIC(g, GROUP_MAGIC);
    IOR_ASSERT(strand_inside(g->strand));
    p->reported = true;
    p->err = req->err;
    if (req->err == IOR_OK) {
        apply_through(g, p);
        finish(g, p, IOR_OK);
    } else if (!g->draining) {
        g->draining = true;
        g->drain_err = req->err;
    }
    if (g->draining && all_reported(g)) end_drain(g);
}

/* On the worker that proposed: go into the strand. */
static void on_answer(struct journal_req *req)
{
    struct proposal *p = IOR_CONTAINER(req, struct proposal, req);
    req->msg.run = handle_answer;
    strand_post_completion(p->group->strand, &req->msg);
}

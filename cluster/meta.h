/* cluster/meta.h - group 0: the facts that change rarely (users, grants, retention; later
 * the ring and members), and the immutable view of them that workers read: who may do
 * what (auth/policy.h), and what is kept (retention_view.h).
 * A fact is a key and a value; a change is one record of SET items, applied
 * whole. After each change the part of the view that changed is made anew and handed to
 * every worker; a change is answered when all of them have it. */
#pragma once

#include "auth/policy.h"
#include "base/map.h"
#include "cluster/group.h"
#include "cluster/retention_view.h"

struct meta;
struct meta_change;
typedef void (*meta_change_cb)(struct meta_change *c);

/* A record of group 0, or a barrier in its log. */
struct meta_op {
    struct proposal proposal; /* first */
    void (*done)(struct meta *m, struct meta_op *op, enum ior_err err);
};

struct meta_change {
    struct msg msg;        /* private */
    struct meta_op op;     /* private */
    struct record record;  /* private */
    struct meta *meta;     /* private */
    struct worker *origin; /* private */
    meta_change_cb cb;     /* private */
    struct ior_buf items;  /* private */
    void *user;            /* the caller's */
    enum ior_err err;      /* out */
};

struct meta_params {
    struct journal *journal;
    struct worker **workers;
    unsigned worker_count;
    const char *node;
};

IOR_MUST_CHECK enum ior_err meta_new(const struct meta_params *p, struct meta **ret);
void meta_free(struct meta *m);
IOR_MUST_CHECK enum ior_err meta_replay(struct meta *m, const struct record_head *head,
                                        struct ior_slice items, struct ior_why *why);
/* After replay: the first view. CORRUPT, VERSION when a stored fact cannot be read. */
IOR_MUST_CHECK enum ior_err meta_start(struct meta *m, struct ior_why *why);

/* The policy as this worker sees it: valid until its turn ends. */
const struct policy *meta_policy(const struct meta *m);
/* What is kept, as this worker sees it: valid until its turn ends. After meta_start(). */
const struct retention_view *meta_retention(const struct meta *m);

IOR_MUST_CHECK enum ior_err meta_change_new(struct meta_change **ret);
/* value.data NULL: unset. NOMEM, TOOLARGE. INVAL: a fact about retention that could not be
 * read back. */
IOR_MUST_CHECK enum ior_err meta_change_set(struct meta_change *c, struct ior_slice key,
                                            struct ior_slice value);
bool meta_change_empty(const struct meta_change *c);
/* cb: OK: durable and seen by every worker. Contract as in core/iorio.h. */
IOR_MUST_CHECK enum ior_err meta_change_submit(struct meta *m, struct meta_change *c,
                                               meta_change_cb cb);
void meta_change_free(struct meta_change *c);
/* The newest policy, for a caller outside of the workers (start-up) while no change
 * is under way. */
const struct policy *meta_newest_policy(const struct meta *m);

/* ---- for checkpoints ---- */
/* All facts at one moment, as the items of a change that would set them. */
struct meta_snapshot {
    struct meta_op op;                         /* private */
    void (*taken)(struct meta_snapshot *snap); /* in: inside the strand */
    uint64_t since;                            /* in: nothing is wanted up to this index */
    struct ior_buf items;                      /* out; the caller's */
    uint64_t term;                             /* out */
    uint64_t applied_index;                    /* out */
    bool changed;     /* out: else nothing changed since the last one saved */
    enum ior_err err; /* out: OK, NOMEM */
};
struct strand *meta_strand(struct meta *m);
/* Inside the strand: once everything proposed so far is applied or given up, taken() is called. */
void meta_snapshot_take(struct meta *m, struct meta_snapshot *snap);
/* Before any replay: facts and the group as they were saved; an empty catalog is fine. */
IOR_MUST_CHECK enum ior_err meta_restore(struct meta *m, struct ior_slice items, uint64_t term,
                                         uint64_t applied_index, struct ior_why *why);

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

struct meta_change {
    struct msg msg;           /* private */
    struct proposal proposal; /* private */
    struct record record;     /* private */
    struct meta *meta;        /* private */
    struct worker *origin;    /* private */
    meta_change_cb cb;        /* private */
    struct ior_buf items;     /* private */
    void *user;               /* the caller's */
    enum ior_err err;         /* out */
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

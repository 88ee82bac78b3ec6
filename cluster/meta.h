/* cluster/meta.h - group 0: the facts that change rarely (users, grants, retention; later
 * the ring and members), and the immutable view of them that workers read: who may do
 * what (auth/policy.h), which tokens were taken back (auth/revoked.h), and what is kept
 * (retention_view.h).
 * A fact is a key and a value; a change is one record of SET items, applied
 * whole. A change may be made of what the facts are: then its facts are chosen inside the strand
 * when its turn comes, from the newest state with everything that is proposed already, so that
 * of two changes at once the second one knows of the first.
 * The state behind a change is made before the change is proposed (meta_state.h): what cannot
 * be made is refused, and nothing that is durable can stop the next start. After each change
 * the new state is handed to every worker; the change is answered when all of them have it. */
#pragma once

#include "auth/policy.h"
#include "auth/revoked.h"
#include "cluster/group.h"
#include "cluster/meta_facts.h"
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
    struct msg msg;          /* private */
    struct meta_op op;       /* private */
    struct record record;    /* private */
    struct meta *meta;       /* private */
    struct worker *origin;   /* private */
    meta_change_cb cb;       /* private */
    struct ior_buf items;    /* private */
    struct meta_state *next; /* private */
    struct meta_mail *mail;  /* private */
    /* In: NULL, then the facts were set before the submit. Else it sets them, inside the strand,
     * by what holds when its turn comes; none: nothing is to be done. Any error ends the
     * change with it. It must not block. */
    enum ior_err (*make)(struct meta_change *c, const struct policy *now);
    /* In: NULL, or may it be, now that one sees what would hold? As make. */
    enum ior_err (*judge)(struct meta_change *c, const struct policy *now,
                          const struct policy *next);
    const struct revoked *revoked; /* out, inside make: the revoked tokens of now */
    void *user;                    /* the caller's */
    enum ior_err err;              /* out: also what make and judge gave */
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
/* The tokens that were taken back, likewise. After meta_start(). */
const struct revoked *meta_revoked(const struct meta *m);
/* What is kept, as this worker sees it: valid until its turn ends. After meta_start(). */
const struct retention_view *meta_retention(const struct meta *m);

IOR_MUST_CHECK enum ior_err meta_change_new(struct meta_change **ret);
/* value.data NULL: unset. NOMEM, TOOLARGE. INVAL: a fact about retention that could not be
 * read back. (Another one that could not be ends the change with CORRUPT.) */
IOR_MUST_CHECK enum ior_err meta_change_set(struct meta_change *c, struct ior_slice key,
                                            struct ior_slice value);
bool meta_change_empty(const struct meta_change *c);
/* cb: OK: durable and seen by every worker, also when there was nothing to do: so is what it was
 * judged by, and what an error of make or judge was judged by is durable. Contract as in
 * core/iorio.h. After cb it may be submitted again; facts that make does not set stay. */
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
    struct meta_facts facts;                   /* private */
    uint64_t term;                             /* out */
    uint64_t applied_index;                    /* out */
    bool changed; /* out: else nothing changed since the last one saved */
};
struct strand *meta_strand(struct meta *m);
/* Inside the strand: once everything proposed so far is applied or given up, taken() is called. */
void meta_snapshot_take(struct meta *m, struct meta_snapshot *snap);
/* Then, on any thread: the items, behind what is in the buffer. NOMEM. At last: done. */
IOR_MUST_CHECK enum ior_err meta_snapshot_write(const struct meta_snapshot *snap,
                                                struct ior_buf *items);
void meta_snapshot_done(struct meta_snapshot *snap);
/* Before any replay: facts and the group as they were saved; an empty catalog is fine. */
IOR_MUST_CHECK enum ior_err meta_restore(struct meta *m, struct ior_slice items, uint64_t term,
                                         uint64_t applied_index, struct ior_why *why);

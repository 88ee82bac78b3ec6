/* cluster/meta_view.h - private to cluster/meta*: what workers see of the facts: the access policy
 * and the retention view, each immutable, and for each worker a pointer to both.
 * Happy path: meta_view_touch() for each fact that changed, then meta_view_publish(): the part
 * that changed is built, mailed to every worker, and when the last one has it the
 * caller hears of it.
 * Failure modes: a part that cannot be built stays as it was and due, so that the next
 * publication builds it; the other part goes out. Without memory for the mail nothing goes
 * out until the next publication.
 * Thread: the strand of group 0, or start-up; meta_view_of_worker() the worker itself. */
#pragma once

#include "auth/policy.h"
#include "cluster/meta_facts.h"
#include "cluster/retention_view.h"
#include "rt/strand.h"

struct meta_view_slot;

struct meta_view {
    struct strand *strand;
    struct worker **workers;
    unsigned worker_count;
    struct meta_view_slot *slots; /* of each worker */
    struct policy *policy;        /* the newest */
    struct retention_view *retention;
    struct retention_view *draft; /* the next one, while changes of it are not published */
    bool policy_due;              /* to be built again */
    bool retention_due;           /* to be built again from all facts; else the draft says it */
};

/* What one worker sees. */
struct meta_seen {
    struct policy *policy;
    struct retention_view *retention;
};

/* NOMEM. Everything is due. */
IOR_MUST_CHECK enum ior_err meta_view_init(struct meta_view *v, struct strand *strand,
                                           struct worker **workers, unsigned worker_count);
void meta_view_done(struct meta_view *v);
/* Before the workers run: build and hand out. CORRUPT, VERSION: a fact that cannot be read. */
IOR_MUST_CHECK enum ior_err meta_view_start(struct meta_view *v, const struct meta_facts *facts,
                                            struct ior_why *why);
/* A fact was set, or (value.data NULL) taken away. */
void meta_view_touch(struct meta_view *v, const struct fact *f);
/* OK: seen() runs once in the strand, when every worker has what is new; its err: OK, or why a
 * part could not be built (NOMEM, CORRUPT, VERSION; *why says it at once). NOMEM: seen()
 * never runs. */
IOR_MUST_CHECK enum ior_err meta_view_publish(struct meta_view *v, const struct meta_facts *facts,
                                              void (*seen)(void *ctx, enum ior_err err), void *ctx,
                                              struct ior_why *why);
const struct meta_seen *meta_view_of_worker(const struct meta_view *v);

/* cluster/meta_view.h - private to cluster/meta*: for each worker a pointer to the state of the
 * facts that it sees, and how a new one reaches all of them. Happy path: meta_view_publish(): the
 * state is mailed to every worker, and when the last one has it the caller hears of it. The mail is
 * made before, so that nothing can fail then. Thread: the strand of group 0, or start-up;
 * meta_view_of_worker() the worker itself. */
#pragma once

#include "cluster/meta_state.h"
#include "rt/strand.h"

struct meta_view_slot;
struct meta_mail;

struct meta_view {
    struct strand *strand;
    struct worker **workers;
    unsigned worker_count;
    struct meta_view_slot *slots; /* of each worker */
};

/* NOMEM. */
IOR_MUST_CHECK enum ior_err meta_view_init(struct meta_view *v, struct strand *strand,
                                           struct worker **workers, unsigned worker_count);
void meta_view_done(struct meta_view *v);
/* Before the workers run: all of them see this. */
void meta_view_start(struct meta_view *v, struct meta_state *s);
/* For one publication. Thread: any. NOMEM. */
IOR_MUST_CHECK enum ior_err meta_mail_new(const struct meta_view *v, struct meta_mail **ret);
void meta_mail_free(struct meta_mail *m); /* that was not published; NULL is fine */
/* Takes the mail. seen() runs once in the strand, when every worker has this state, or one that
 * was published later. */
void meta_view_publish(struct meta_view *v, struct meta_mail *take, struct meta_state *s,
                       void (*seen)(void *ctx), void *ctx);
const struct meta_state *meta_view_of_worker(const struct meta_view *v);

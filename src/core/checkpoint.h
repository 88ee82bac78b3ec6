/* src/core/checkpoint.h - moving what is committed from memory and journal to the catalog and
 * to chunk files, so that memory and journal segments come free (ARCHITECTURE.md section 7).
 * One round: for each vnode that changed: take (in its strand, behind everything proposed so
 * far), write and sync, commit, give back (in its strand); then the facts of group 0; then the
 * journal segments that lie in front of the one that was active when the round began are
 * released, and files that nobody names any more removed.
 * A round that fails (no room, an error) leaves everything as it was and is tried again: what
 * it has written is either in a commit, and then passed over, or garbage.
 * Thread: one calls checkpoint_step() (checkpoint_thread.h, or the simulator); before the
 * workers run checkpoint_now() may be called instead. */
#pragma once

#include "base/err.h"
#include "core/node.h"

#define CHECKPOINT_META_FIRST "journal_first" /* u64: the first segment that is needed */
#define CHECKPOINT_META_CLOCK                                                                      \
    "retention_clock"                 /* u64: how far ages are judged (cutoff.h), Unix ms */
#define CHECKPOINT_META_FACTS "facts" /* u32: pieces; then facts.000000, ... */

enum checkpoint_did {
    CHECKPOINT_RESTS,  /* nothing is to be done */
    CHECKPOINT_WAITS,  /* for a strand: checkpoint_set_wake()'s function is called */
    CHECKPOINT_WORKED, /* call again */
};

struct checkpoint;

IOR_MUST_CHECK enum ior_err checkpoint_new(struct node *n, struct checkpoint **ret);
void checkpoint_free(struct checkpoint *c); /* it rests; NULL is fine */
/* Called on any thread when a wait is over. Before the first step. */
void checkpoint_set_wake(struct checkpoint *c, void (*wake)(void *ctx), void *ctx);
/* Is a round due? By memory, by the size of the journal, or by time. Also says to appends
 * whether the journal is too large. */
bool checkpoint_is_due(struct checkpoint *c);
/* Begin a round at the next step. Thread: the one that steps. */
void checkpoint_start(struct checkpoint *c);
enum checkpoint_did checkpoint_step(struct checkpoint *c);
/* Give up the round that is under way: what was taken goes back; step until it rests. */
void checkpoint_cancel(struct checkpoint *c);
/* Rounds that ended well, and the error of the last one. */
uint64_t checkpoint_rounds(const struct checkpoint *c);
enum ior_err checkpoint_last_error(const struct checkpoint *c);

/* In a replay, one thread: save everything, so that its memory comes free. */
IOR_MUST_CHECK enum ior_err checkpoint_now(struct checkpoint *c, struct ior_why *why);
/* Put the catalog's mark of a clean stop, or take it away; no round is under way. */
IOR_MUST_CHECK enum ior_err checkpoint_mark_clean(struct checkpoint *c, bool clean,
                                                  struct ior_why *why);
/* Facts and group 0 as they were saved. */
IOR_MUST_CHECK enum ior_err checkpoint_restore_meta(struct meta *m, struct kv_reader *r,
                                                    struct ior_why *why);

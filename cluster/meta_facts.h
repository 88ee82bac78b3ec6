/* cluster/meta_facts.h - private to cluster/meta*: the table of facts, key to value, as the log
 * of group 0 left it. Facts about retention, and about revoked tokens, are apart from the
 * others, so that no kind is walked when another one changes. A copy of a table costs nothing much
 * and stays as it is. Thread: a table has one owner while it is changed; any thread may walk its
 * own copy. */
#pragma once

#include "auth/policy.h"
#include "base/cowmap.h"

struct meta_facts {
    struct ior_cowmap access;    /* users, groups, grants, and what later versions know */
    struct ior_cowmap retention; /* retention_fact.h */
    struct ior_cowmap revoked;   /* auth/revoked.h */
};

/* All zeros is an empty table. */
struct meta_facts meta_facts_copy(const struct meta_facts *f);
void meta_facts_done(struct meta_facts *f);
/* Both are copied. value.data NULL: take it away. NOMEM: nothing is changed. */
IOR_MUST_CHECK enum ior_err meta_facts_set(struct meta_facts *f, struct ior_slice key,
                                           struct ior_slice value);
/* Walk one of them, in no order: after ior_cowmap_begin(); false at the end. *ret is
 * borrowed. */
bool meta_facts_next(struct ior_cowmap_walk *w, struct fact *ret);

/* cluster/meta_facts.h - private to cluster/meta*: the table of facts, key to value, as the log
 * of group 0 left it. Facts about retention are apart from the others, so that neither kind
 * is walked when the other changes.
 * Thread: whoever is in the strand of group 0, or starts the node. */
#pragma once

#include "auth/policy.h"
#include "base/map.h"

struct meta_facts {
    struct ior_map access;    /* users, groups, grants, and what later versions know */
    struct ior_map retention; /* retention_fact.h */
};

void meta_facts_init(struct meta_facts *f);
void meta_facts_done(struct meta_facts *f);
/* Both are copied. value.data NULL: take it away. NOMEM: nothing is changed. */
IOR_MUST_CHECK enum ior_err meta_facts_set(struct meta_facts *f, struct ior_slice key,
                                           struct ior_slice value);
/* Walk one of the two: begin with *pos = 0; false at the end. *ret is borrowed. */
bool meta_facts_next(const struct ior_map *part, size_t *pos, struct fact *ret);

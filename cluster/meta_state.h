/* cluster/meta_state.h - private to cluster/meta*: all facts at one place of the log of group 0,
 * and what is made of them: the access policy, the retention view and the revoked tokens. A state
 * is immutable and shares what did not change with the one before, so the state behind a change can
 * be made before the change is proposed: what cannot be made is not proposed, and to apply the
 * change is to take that state. Thread: the strand of group 0, or start-up, makes them; reference
 * counted, read by all without locks. */
#pragma once

#include <stdatomic.h>

#include "auth/revoked.h"
#include "cluster/meta_facts.h"
#include "cluster/retention_view.h"

struct meta_state {
    uint32_t magic;
    _Atomic uint32_t refs;
    struct meta_facts facts;
    struct policy *policy;
    struct retention_view *retention;
    struct revoked *revoked;
};

/* Each item of a change, or of all facts, is a fact: false at the end, or (*ret_err) at an item
 * that this version cannot read (VERSION) or that is damaged. */
bool meta_item_next(struct ior_slice items, size_t *pos, struct fact *ret, enum ior_err *ret_err);

/* Of all facts, which are copied. CORRUPT, VERSION: one that cannot be read; NOMEM. */
IOR_MUST_CHECK enum ior_err meta_state_of(const struct meta_facts *facts, struct meta_state **ret,
                                          struct ior_why *why);
/* Behind a change. The same errors; nothing is changed then. */
IOR_MUST_CHECK enum ior_err meta_state_after(const struct meta_state *before,
                                             struct ior_slice items, struct meta_state **ret,
                                             struct ior_why *why);
struct meta_state *meta_state_ref(struct meta_state *s);
void meta_state_unref(struct meta_state *s); /* NULL is fine */

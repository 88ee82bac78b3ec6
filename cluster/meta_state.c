/* cluster/meta_state.c - see meta_state.h.
 * Happy path of a change: each item goes into copies of the table of facts and of the part that
 * it is about; the other part stays the same object.
 * Failure modes: a fact that cannot be read, or no memory: there is no new state. */
#include "cluster/meta_state.h"

#include <stdlib.h>

#include "base/assert.h"
#include "cluster/retention_fact.h"
#include "store/record.h"

enum { STATE_MAGIC = 0x6d737461 };

bool meta_item_next(struct ior_slice items, size_t *pos, struct fact *ret, enum ior_err *ret_err)
{
    struct item it;
    *ret_err = item_next(items, pos, &it);
    if (*ret_err == IOR_E_END)
        *ret_err = IOR_OK;
    else if (*ret_err == IOR_OK) {
        ret->key = item_attr(&it, ATTR_KEY);
        ret->value = it.payload;
        if ((it.flags & ITEM_FLAG_JSON) == 0) ret->value = (struct ior_slice){NULL, 0}; /* unset */
        if (it.op == ITEM_SET && ret->key.data != NULL) return true;
        *ret_err = IOR_E_VERSION;
    }
    return false;
}

/* ---- a state on its way ---- */

static struct meta_state *state_new(const struct meta_facts *facts)
{
    struct meta_state *s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    s->magic = STATE_MAGIC;
    atomic_init(&s->refs, 1);
    s->facts = meta_facts_copy(facts);
    return s;
}

static enum ior_err set_retention(struct retention_view *draft, const struct fact *f,
                                  struct ior_why *why)
{
    struct ior_slice bucket;
    struct ior_slice stream;
    struct retention r;
    enum ior_err err = f->value.data == NULL ? retention_fact_names(f->key, &bucket, &stream, why)
                                             : retention_fact_read(f, &bucket, &stream, &r, why);
    if (err != IOR_OK) return err;
    return retention_view_set(draft, bucket, stream, f->value.data == NULL ? NULL : &r);
}

static enum ior_err fill_policy(struct meta_state *s, struct ior_why *why)
{
    struct ior_cowmap_walk w;
    struct fact f;
    enum ior_err err = policy_draft(NULL, &s->policy);
    ior_cowmap_begin(&w, &s->facts.access);
    while (err == IOR_OK && meta_facts_next(&w, &f)) err = policy_set(s->policy, &f, why);
    return err;
}

static enum ior_err fill_retention(struct meta_state *s, struct ior_why *why)
{
    struct ior_cowmap_walk w;
    struct fact f;
    enum ior_err err = retention_view_new(NULL, &s->retention);
    ior_cowmap_begin(&w, &s->facts.retention);
    while (err == IOR_OK && meta_facts_next(&w, &f)) err = set_retention(s->retention, &f, why);
    return err;
}

static enum ior_err set_revoked(struct revoked *draft, const struct fact *f, struct ior_why *why)
{
    struct revoked_token t;
    enum ior_err err = revoked_fact_read(f, &t, why);
    return err == IOR_OK ? revoked_set(draft, &t, f->value.data == NULL) : err;
}

static enum ior_err fill_revoked(struct meta_state *s, struct ior_why *why)
{
    struct ior_cowmap_walk w;
    struct fact f;
    enum ior_err err = revoked_new(NULL, &s->revoked);
    ior_cowmap_begin(&w, &s->facts.revoked);
    while (err == IOR_OK && meta_facts_next(&w, &f)) err = set_revoked(s->revoked, &f, why);
    return err;
}

static enum ior_err finish(struct meta_state *s, enum ior_err err, struct meta_state **ret,
                           struct ior_why *why)
{
    if (err == IOR_OK) {
        *ret = s;
        return IOR_OK;
    }
    meta_state_unref(s);
    return err == IOR_E_NOMEM ? ior_why_set(why, err, "out of memory") : err;
}

enum ior_err meta_state_of(const struct meta_facts *facts, struct meta_state **ret,
                           struct ior_why *why)
{
    struct meta_state *s = state_new(facts);
    if (s == NULL) return ior_why_set(why, IOR_E_NOMEM, "out of memory");
    enum ior_err err = fill_policy(s, why);
    if (err == IOR_OK) err = fill_retention(s, why);
    if (err == IOR_OK) err = fill_revoked(s, why);
    return finish(s, err, ret, why);
}

/* Drafts are made for the parts that the items are about. */
static enum ior_err set_one(struct meta_state *s, const struct meta_state *before,
                            const struct fact *f, struct ior_why *why)
{
    enum ior_err err = meta_facts_set(&s->facts, f->key, f->value);
    if (err != IOR_OK) return err;
    if (retention_fact_is(f->key)) {
        if (s->retention == NULL) err = retention_view_new(before->retention, &s->retention);
        return err == IOR_OK ? set_retention(s->retention, f, why) : err;
    }
    if (revoked_fact_is(f->key)) {
        if (s->revoked == NULL) err = revoked_new(before->revoked, &s->revoked);
        return err == IOR_OK ? set_revoked(s->revoked, f, why) : err;
    }
    if (s->policy == NULL) err = policy_draft(before->policy, &s->policy);
    return err == IOR_OK ? policy_set(s->policy, f, why) : err;
}

enum ior_err meta_state_after(const struct meta_state *before, struct ior_slice items,
                              struct meta_state **ret, struct ior_why *why)
{
    IOR_CHECK_MAGIC(before, STATE_MAGIC);
    struct meta_state *s = state_new(&before->facts);
    if (s == NULL) return ior_why_set(why, IOR_E_NOMEM, "out of memory");
    enum ior_err err = IOR_OK;
    struct fact f;
    size_t pos = 0;
    while (err == IOR_OK && meta_item_next(items, &pos, &f, &err))
        err = set_one(s, before, &f, why);
    if (err != IOR_OK) return finish(s, err, ret, why);
    if (s->policy == NULL) s->policy = policy_ref(before->policy);
    if (s->retention == NULL) s->retention = retention_view_ref(before->retention);
    if (s->revoked == NULL) s->revoked = revoked_ref(before->revoked);
    return finish(s, IOR_OK, ret, why);
}

struct meta_state *meta_state_ref(struct meta_state *s)
{
    IOR_CHECK_MAGIC(s, STATE_MAGIC);
    uint32_t before = atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    IOR_ASSERT(before > 0 && before < UINT32_MAX);
    return s;
}

void meta_state_unref(struct meta_state *s)
{
    if (s == NULL) return;
    IOR_CHECK_MAGIC(s, STATE_MAGIC);
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1) return;
    meta_facts_done(&s->facts);
    policy_unref(s->policy);
    retention_view_unref(s->retention);
    revoked_unref(s->revoked);
    s->magic = 0;
    free(s);
}

/* cluster/meta_view.c - see meta_view.h. */
#include "cluster/meta_view.h"

#include <stdlib.h>

#include "base/assert.h"
#include "cluster/retention_fact.h"

struct meta_view_slot {
    struct meta_seen seen;
    unsigned char pad[48]; /* a cache line each */
};

struct view_mail {
    struct msg msg; /* to the worker, then back into the strand */
    struct publication *publication;
    unsigned worker;
    struct meta_seen seen; /* references, the slot's once it is there */
};

/* New pointers on their way to all workers. */
struct publication {
    struct meta_view *view;
    void (*seen)(void *ctx, enum ior_err err);
    void *ctx;
    enum ior_err err;
    unsigned left; /* guarded by the strand */
    struct view_mail mails[];
};

enum ior_err meta_view_init(struct meta_view *v, struct strand *strand, struct worker **workers,
                            unsigned worker_count)
{
    *v = (struct meta_view){.strand = strand,
                            .workers = workers,
                            .worker_count = worker_count,
                            .policy_due = true,
                            .retention_due = true};
    v->slots = calloc(worker_count, sizeof *v->slots);
    return v->slots == NULL ? IOR_E_NOMEM : IOR_OK;
}

static void forget(struct meta_seen *s)
{
    policy_unref(s->policy);
    retention_view_unref(s->retention);
    *s = (struct meta_seen){0};
}

void meta_view_done(struct meta_view *v)
{
    for (unsigned i = 0; i < v->worker_count; i++) forget(&v->slots[i].seen);
    policy_unref(v->policy);
    retention_view_unref(v->retention);
    retention_view_unref(v->draft);
    free(v->slots);
    *v = (struct meta_view){0};
}

const struct meta_seen *meta_view_of_worker(const struct meta_view *v)
{
    struct worker *w = worker_current();
    IOR_ASSERT(w != NULL && w->id < v->worker_count);
    return &v->slots[w->id].seen;
}

/* ---- building ---- */

static enum ior_err build_policy(const struct meta_facts *facts, struct policy **ret,
                                 struct ior_why *why)
{
    struct fact *all = calloc(facts->access.count + 1, sizeof *all);
    if (all == NULL) return ior_why_set(why, IOR_E_NOMEM, "out of memory");
    size_t n = 0;
    size_t pos = 0;
    while (meta_facts_next(&facts->access, &pos, &all[n])) n++;
    enum ior_err err = policy_build(all, n, ret, why);
    if (err == IOR_E_NOMEM) ior_why_set(why, err, "out of memory");
    free(all);
    return err;
}

static enum ior_err set_one(struct retention_view *draft, const struct fact *f, struct ior_why *why)
{
    struct ior_slice bucket;
    struct ior_slice stream;
    struct retention r;
    enum ior_err err = f->value.data == NULL ? retention_fact_names(f->key, &bucket, &stream, why)
                                             : retention_fact_read(f, &bucket, &stream, &r, why);
    if (err != IOR_OK) return err;
    err = retention_view_set(draft, bucket, stream, f->value.data == NULL ? NULL : &r);
    return err == IOR_OK ? err : ior_why_set(why, err, "out of memory");
}

static enum ior_err build_retention(const struct meta_facts *facts, struct retention_view **ret,
                                    struct ior_why *why)
{
    struct retention_view *draft = NULL;
    enum ior_err err = retention_view_new(NULL, &draft);
    if (err != IOR_OK) return ior_why_set(why, err, "out of memory");
    struct fact f;
    size_t pos = 0;
    while (err == IOR_OK && meta_facts_next(&facts->retention, &pos, &f))
        err = set_one(draft, &f, why);
    if (err != IOR_OK) {
        retention_view_unref(draft);
        return err;
    }
    *ret = draft;
    return IOR_OK;
}

void meta_view_touch(struct meta_view *v, const struct fact *f)
{
    if (!retention_fact_is(f->key)) {
        v->policy_due = true;
        return;
    }
    if (v->retention_due) return;
    enum ior_err err = IOR_OK;
    if (v->draft == NULL) err = retention_view_new(v->retention, &v->draft);
    if (err == IOR_OK) err = set_one(v->draft, f, NULL);
    if (err == IOR_OK) return;
    retention_view_unref(v->draft);
    v->draft = NULL;
    v->retention_due = true;
}

static enum ior_err refresh_policy(struct meta_view *v, const struct meta_facts *facts,
                                   struct ior_why *why)
{
    struct policy *p = NULL;
    if (!v->policy_due) return IOR_OK;
    enum ior_err err = build_policy(facts, &p, why);
    if (err != IOR_OK) return err;
    policy_unref(v->policy);
    v->policy = p;
    v->policy_due = false;
    return IOR_OK;
}

static enum ior_err refresh_retention(struct meta_view *v, const struct meta_facts *facts,
                                      struct ior_why *why)
{
    if (v->retention_due) {
        enum ior_err err = build_retention(facts, &v->draft, why);
        if (err != IOR_OK) return err;
        v->retention_due = false;
    }
    if (v->draft == NULL) return IOR_OK;
    retention_view_unref(v->retention);
    v->retention = v->draft;
    v->draft = NULL;
    return IOR_OK;
}

/* One part that fails does not hold the other back: a right that was taken away is gone. */
static enum ior_err refresh(struct meta_view *v, const struct meta_facts *facts,
                            struct ior_why *why)
{
    enum ior_err policy_err = refresh_policy(v, facts, why);
    struct ior_why *other = policy_err == IOR_OK ? why : NULL;
    enum ior_err retention_err = refresh_retention(v, facts, other);
    return policy_err != IOR_OK ? policy_err : retention_err;
}

static struct meta_seen newest(const struct meta_view *v)
{
    return (struct meta_seen){policy_ref(v->policy), retention_view_ref(v->retention)};
}

enum ior_err meta_view_start(struct meta_view *v, const struct meta_facts *facts,
                             struct ior_why *why)
{
    enum ior_err err = refresh(v, facts, why);
    if (err != IOR_OK) return err;
    for (unsigned i = 0; i < v->worker_count; i++) v->slots[i].seen = newest(v);
    return IOR_OK;
}

/* ---- handing out ---- */

/* Back in the strand: one more worker has it. */
static void on_seen(struct msg *m)
{
    struct publication *p = IOR_CONTAINER(m, struct view_mail, msg)->publication;
    IOR_ASSERT(p->left > 0);
    if (--p->left > 0) return;
    p->seen(p->ctx, p->err);
    free(p);
}

static void swap(struct msg *m)
{
    struct view_mail *mail = IOR_CONTAINER(m, struct view_mail, msg);
    struct meta_view *v = mail->publication->view;
    forget(&v->slots[mail->worker].seen);
    v->slots[mail->worker].seen = mail->seen;
    mail->msg.run = on_seen;
    strand_post_completion(v->strand, &mail->msg);
}

enum ior_err meta_view_publish(struct meta_view *v, const struct meta_facts *facts,
                               void (*seen)(void *ctx, enum ior_err err), void *ctx,
                               struct ior_why *why)
{
    struct publication *p = calloc(1, sizeof *p + v->worker_count * sizeof p->mails[0]);
    if (p == NULL) return ior_why_set(why, IOR_E_NOMEM, "out of memory");
    p->view = v;
    p->seen = seen;
    p->ctx = ctx;
    p->err = refresh(v, facts, why);
    p->left = v->worker_count;
    for (unsigned i = 0; i < v->worker_count; i++) {
        p->mails[i] = (struct view_mail){{.run = swap}, p, i, newest(v)};
        worker_post(v->workers[i], &p->mails[i].msg);
    }
    return IOR_OK;
}

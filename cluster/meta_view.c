/* cluster/meta_view.c - see meta_view.h. States reach a worker in the order of their publications:
 * they are posted inside the strand, one after the other, and mailboxes keep the order. */
#include "cluster/meta_view.h"

#include <stdlib.h>

#include "base/assert.h"

struct meta_view_slot {
    struct meta_state *seen;
    unsigned char pad[56]; /* a cache line each */
};

struct letter {
    struct msg msg; /* to the worker, then back into the strand */
    struct meta_mail *mail;
    unsigned worker;
    struct meta_state *state; /* a reference, the slot's once it is there */
};

/* A new pointer on its way to all workers. */
struct meta_mail {
    struct meta_view *view;
    void (*seen)(void *ctx);
    void *ctx;
    unsigned left; /* guarded by the strand */
    struct letter letters[];
};

enum ior_err meta_view_init(struct meta_view *v, struct strand *strand, struct worker **workers,
                            unsigned worker_count)
{
    *v = (struct meta_view){.strand = strand, .workers = workers, .worker_count = worker_count};
    v->slots = calloc(worker_count, sizeof *v->slots);
    return v->slots == NULL ? IOR_E_NOMEM : IOR_OK;
}

void meta_view_done(struct meta_view *v)
{
    for (unsigned i = 0; i < v->worker_count; i++) meta_state_unref(v->slots[i].seen);
    free(v->slots);
    *v = (struct meta_view){0};
}

const struct meta_state *meta_view_of_worker(const struct meta_view *v)
{
    struct worker *w = worker_current();
    IOR_ASSERT(w != NULL && w->id < v->worker_count);
    return v->slots[w->id].seen;
}

void meta_view_start(struct meta_view *v, struct meta_state *s)
{
    for (unsigned i = 0; i < v->worker_count; i++) {
        meta_state_unref(v->slots[i].seen);
        v->slots[i].seen = meta_state_ref(s);
    }
}

enum ior_err meta_mail_new(const struct meta_view *v, struct meta_mail **ret)
{
    *ret = calloc(1, sizeof **ret + v->worker_count * sizeof(*ret)->letters[0]);
    return *ret == NULL ? IOR_E_NOMEM : IOR_OK;
}

void meta_mail_free(struct meta_mail *m)
{
    free(m);
}

/* Back in the strand: one more worker has it. */
static void on_seen(struct msg *m)
{
    struct meta_mail *mail = IOR_CONTAINER(m, struct letter, msg)->mail;
    IOR_ASSERT(mail->left > 0);
    if (--mail->left > 0) return;
    mail->seen(mail->ctx);
    free(mail);
}

static void swap(struct msg *m)
{
    struct letter *l = IOR_CONTAINER(m, struct letter, msg);
    struct meta_view *v = l->mail->view;
    meta_state_unref(v->slots[l->worker].seen);
    v->slots[l->worker].seen = l->state;
    l->msg.run = on_seen;
    strand_post_completion(v->strand, &l->msg);
}

void meta_view_publish(struct meta_view *v, struct meta_mail *take, struct meta_state *s,
                       void (*seen)(void *ctx), void *ctx)
{
    IOR_ASSERT(strand_inside(v->strand));
    take->view = v;
    take->seen = seen;
    take->ctx = ctx;
    take->left = v->worker_count;
    for (unsigned i = 0; i < v->worker_count; i++) {
        take->letters[i] = (struct letter){{.run = swap}, take, i, meta_state_ref(s)};
        worker_post(v->workers[i], &take->letters[i].msg);
    }
}

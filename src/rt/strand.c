/* src/rt/strand.c - see strand.h.
 * A mutex guards the queues (uncontended: some 20 ns). The state says who must
 * run what waits: RUNNING: the one inside takes it before he leaves; SCHEDULED:
 * the worker that holds it in its list will come back. So a message that was
 * queued is never forgotten and never run twice. */
#include "rt/strand.h"

#include <stddef.h>

#include "base/limits.h"
#include "rt/clock.h"

enum { STRAND_MAGIC = 0x7374726e };

static _Thread_local const struct strand *inside;

void strand_init(struct strand *s)
{
    *s = (struct strand){.magic = STRAND_MAGIC, .state = STRAND_IDLE};
    int rc = pthread_mutex_init(&s->lock, NULL);
    IOR_ASSERT(rc == 0);
}

void strand_done(struct strand *s)
{
    IOR_CHECK_MAGIC(s, STRAND_MAGIC);
    IOR_ASSERT(s->state == STRAND_IDLE);
    IOR_ASSERT(ior_queue_empty(&s->first) && ior_queue_empty(&s->second));
    pthread_mutex_destroy(&s->lock);
    s->magic = 0;
}

bool strand_inside(const struct strand *s)
{
    return inside == s;
}

struct strand *strand_of_link(struct ior_link *l)
{
    struct strand *s = IOR_CONTAINER(l, struct strand, link);
    IOR_CHECK_MAGIC(s, STRAND_MAGIC);
    return s;
}

static void schedule(struct strand *s)
{
    IOR_ASSERT(worker_current() != NULL);
    ior_queue_push(&worker_current()->strands, &s->link);
}

/* Lock held, state RUNNING; returns with the lock released. `n` messages of this
 * visit have run already. */
static void run_waiting(struct strand *s, unsigned n)
{
    uint64_t start_us = 0;
    for (;; n++) {
        struct ior_queue *q = ior_queue_empty(&s->first) ? &s->second : &s->first;
        struct ior_link *l = ior_queue_empty(q) ? NULL : q->head;
        if (l == NULL) {
            s->state = STRAND_IDLE;
            pthread_mutex_unlock(&s->lock);
            return;
        }
        bool over = n >= STRAND_VISIT_MESSAGES;
        if (n > 0 && n % 8 == 0) {
            uint64_t now_us = clock_mono_us();
            if (start_us == 0) start_us = now_us;
            over = over || now_us - start_us > STRAND_VISIT_US;
        }
        if (over) {
            s->state = STRAND_SCHEDULED;
            pthread_mutex_unlock(&s->lock);
            schedule(s);
            return;
        }
        (void)ior_queue_pop(q);
        pthread_mutex_unlock(&s->lock);
        struct msg *m = IOR_CONTAINER(l, struct msg, link);
        m->run(m);
        pthread_mutex_lock(&s->lock);
    }
}

void strand_visit(struct strand *s)
{
    IOR_CHECK_MAGIC(s, STRAND_MAGIC);
    IOR_ASSERT(inside == NULL);
    pthread_mutex_lock(&s->lock);
    IOR_ASSERT(s->state == STRAND_SCHEDULED);
    s->state = STRAND_RUNNING;
    inside = s;
    run_waiting(s, 0);
    inside = NULL;
}

static enum ior_err post(struct strand *s, struct msg *m, bool completion)
{
    IOR_CHECK_MAGIC(s, STRAND_MAGIC);
    IOR_ASSERT(m->run != NULL);
    IOR_ASSERT(worker_current() != NULL);
    pthread_mutex_lock(&s->lock);
    if (s->state == STRAND_IDLE && inside == NULL) {
        s->state = STRAND_RUNNING;
        pthread_mutex_unlock(&s->lock);
        inside = s;
        m->run(m);
        pthread_mutex_lock(&s->lock);
        run_waiting(s, 1);
        inside = NULL;
        return IOR_OK;
    }
    if (!completion && s->second.count >= STRAND_QUEUE_MAX) {
        pthread_mutex_unlock(&s->lock);
        return IOR_E_BUSY;
    }
    ior_queue_push(completion ? &s->first : &s->second, &m->link);
    bool was_idle = s->state == STRAND_IDLE;
    if (was_idle) s->state = STRAND_SCHEDULED;
    pthread_mutex_unlock(&s->lock);
    if (was_idle) schedule(s);
    return IOR_OK;
}

enum ior_err strand_post(struct strand *s, struct msg *m)
{
    return post(s, m, false);
}

void strand_post_completion(struct strand *s, struct msg *m)
{
    enum ior_err err = post(s, m, true);
    IOR_ASSERT(err == IOR_OK);
}

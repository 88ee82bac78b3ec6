/* src/rt/worker.c - see worker.h.
 * The mailbox is a stack that senders push with one compare-and-swap and the
 * worker takes whole and turns round: order per sender is kept, and only the
 * sender that finds it empty wakes the worker (wake-ups coalesce, so the worker
 * always drains). */
#include "rt/worker.h"

#include <stddef.h>

#include "rt/clock.h"
#include "rt/strand.h"

enum { WORKER_MAGIC = 0x776f726b };

static _Thread_local struct worker *current;

void worker_init(struct worker *w, unsigned id, void (*wake)(void *ctx), void *wake_ctx)
{
    *w = (struct worker){.magic = WORKER_MAGIC, .id = id, .wake = wake, .wake_ctx = wake_ctx};
}

void worker_done(struct worker *w)
{
    IOR_CHECK_MAGIC(w, WORKER_MAGIC);
    IOR_ASSERT(atomic_load(&w->inbox) == NULL);
    IOR_ASSERT(ior_queue_empty(&w->deferred));
    IOR_ASSERT(ior_queue_empty(&w->strands));
    w->magic = 0;
}

struct worker *worker_current(void)
{
    return current;
}

void worker_enter(struct worker *w)
{
    current = w;
}

void worker_post(struct worker *w, struct msg *m)
{
    IOR_CHECK_MAGIC(w, WORKER_MAGIC);
    IOR_ASSERT(m->run != NULL);
    struct ior_link *head = atomic_load_explicit(&w->inbox, memory_order_relaxed);
    do {
        m->link.next = head;
    } while (!atomic_compare_exchange_weak_explicit(&w->inbox, &head, &m->link,
                                                    memory_order_release, memory_order_relaxed));
    if (head == NULL) w->wake(w->wake_ctx);
}

void worker_defer(struct msg *m)
{
    IOR_ASSERT(current != NULL);
    IOR_ASSERT(m->run != NULL);
    ior_queue_push(&current->deferred, &m->link);
}

void worker_send(struct worker *w, struct msg *m)
{
    if (w == current) {
        worker_defer(m);
    } else {
        worker_post(w, m);
    }
}

void worker_on_turn_end(struct worker *w, void (*fn)(void *ctx), void *ctx)
{
    IOR_ASSERT(w->turn_end_count < WORKER_HOOKS_MAX);
    w->turn_end[w->turn_end_count++] = (struct worker_hook){fn, ctx};
}

void worker_on_tick(struct worker *w, void (*fn)(void *ctx), void *ctx)
{
    IOR_ASSERT(w->tick_count < WORKER_HOOKS_MAX);
    w->tick[w->tick_count++] = (struct worker_hook){fn, ctx};
}

static struct msg *msg_of(struct ior_link *l)
{
    return IOR_CONTAINER(l, struct msg, link);
}

static void run_inbox(struct worker *w)
{
    struct ior_link *l = atomic_exchange_explicit(&w->inbox, NULL, memory_order_acquire);
    struct ior_link *oldest = NULL;
    while (l != NULL) {
        struct ior_link *next = l->next;
        l->next = oldest;
        oldest = l;
        l = next;
    }
    while (oldest != NULL) {
        struct ior_link *next = oldest->next;
        struct msg *m = msg_of(oldest);
        m->run(m); /* m may be gone now */
        oldest = next;
    }
}

static void run_strands(struct worker *w)
{
    size_t n = w->strands.count; /* those put off meanwhile wait for the next turn */
    for (; n > 0; n--) {
        struct ior_link *l = ior_queue_pop(&w->strands);
        IOR_ASSERT(l != NULL);
        strand_visit(strand_of_link(l));
    }
}

void worker_run_deferred(struct worker *w)
{
    IOR_ASSERT(current == w);
    size_t n = w->deferred.count;
    for (; n > 0; n--) {
        struct ior_link *l = ior_queue_pop(&w->deferred);
        IOR_ASSERT(l != NULL);
        struct msg *m = msg_of(l);
        m->run(m);
    }
}

bool worker_turn(struct worker *w)
{
    IOR_CHECK_MAGIC(w, WORKER_MAGIC);
    IOR_ASSERT(current == w);
    clock_turn_forget();
    run_inbox(w);
    run_strands(w);
    worker_run_deferred(w);
    for (unsigned i = 0; i < w->turn_end_count; i++) w->turn_end[i].fn(w->turn_end[i].ctx);
    return !ior_queue_empty(&w->deferred) || !ior_queue_empty(&w->strands);
}

void worker_tick(struct worker *w)
{
    IOR_ASSERT(current == w);
    for (unsigned i = 0; i < w->tick_count; i++) w->tick[i].fn(w->tick[i].ctx);
}

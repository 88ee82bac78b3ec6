/* src/rt/strand.h - an actor: messages run one at a time, on whichever worker
 * brings them. A message to an idle strand runs at once inside strand_post();
 * else it waits and is run by whoever is inside. From inside a strand a message
 * to any strand is always put off, never run, so calls do not nest.
 * One visit is at most STRAND_VISIT_MESSAGES messages or STRAND_VISIT_US, then
 * the rest goes to the end of that worker's turn. No I/O, no blocking inside. */
#pragma once

#include <pthread.h>

#include "base/err.h"
#include "rt/worker.h"

enum strand_state { STRAND_IDLE, STRAND_RUNNING, STRAND_SCHEDULED };

struct strand {
    uint32_t magic;
    pthread_mutex_t lock; /* guards state and queues; held for a few instructions */
    enum strand_state state;
    struct ior_queue first;  /* completions: never refused, run first */
    struct ior_queue second; /* requests: bounded by STRAND_QUEUE_MAX */
    struct ior_link link;    /* in a worker's list while SCHEDULED */
};

void strand_init(struct strand *s);
void strand_done(struct strand *s); /* must be idle */
/* Thread: a worker. BUSY: the queue is full and m is still the caller's. */
IOR_MUST_CHECK enum ior_err strand_post(struct strand *s, struct msg *m);
/* The same for commits and completions: always taken, and before requests. */
void strand_post_completion(struct strand *s, struct msg *m);
/* Is this thread inside s now? For assertions of the owner's functions. */
bool strand_inside(const struct strand *s);

/* For worker.c */
void strand_visit(struct strand *s);
struct strand *strand_of_link(struct ior_link *l);

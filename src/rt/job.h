/* src/rt/job.h - one background thread for work that takes long (passwords).
 * job_submit OK: done runs exactly once, later, on the submitting worker. */
#pragma once

#include "base/err.h"
#include "rt/worker.h"

struct job {
    struct msg msg; /* first; private */
    struct worker *origin;
    void (*work)(struct job *j); /* on the job thread */
    void (*done)(struct job *j); /* on the origin worker */
};
struct job_queue;

/* nice: 0..19 for the thread. NOMEM. */
IOR_MUST_CHECK enum ior_err job_queue_new(const char *name, size_t waiting_max, int nice,
                                          struct job_queue **ret);
/* BUSY: waiting_max jobs wait already. CLOSING. */
IOR_MUST_CHECK enum ior_err job_submit(struct job_queue *q, struct job *j);
/* No new jobs; what waits is done first. */
void job_queue_stop(struct job_queue *q);
void job_queue_free(struct job_queue *q); /* after stop */

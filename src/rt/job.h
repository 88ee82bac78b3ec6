/* src/rt/job.h - background threads for work that takes long (passwords, reads of the disk).
 * job_submit OK: done runs exactly once, later, on the submitting worker. Jobs begin in the
 * order of their submits. */
#pragma once

#include "base/err.h"
#include "rt/worker.h"

struct job {
    struct msg msg; /* first; private */
    struct worker *origin;
    void (*work)(struct job *j); /* on a job thread */
    void (*done)(struct job *j); /* on the origin worker */
};
struct job_queue;

enum { JOB_THREADS_MAX = 8 };

/* threads: 0: none, somebody calls job_queue_step(). nice: 0..19 for the threads. NOMEM. */
IOR_MUST_CHECK enum ior_err job_queue_new(const char *name, unsigned threads, size_t waiting_max,
                                          int nice, struct job_queue **ret);
/* BUSY: waiting_max jobs wait already. CLOSING. */
IOR_MUST_CHECK enum ior_err job_submit(struct job_queue *q, struct job *j);
/* Do the oldest job that waits, here. False: there is none. */
bool job_queue_step(struct job_queue *q);
/* No new jobs; what waits is done first (without threads: was done). */
void job_queue_stop(struct job_queue *q);
void job_queue_free(struct job_queue *q); /* after stop */

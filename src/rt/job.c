/* src/rt/job.c - see job.h. */
#include "rt/job.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct job_queue {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct ior_queue waiting;
    size_t waiting_max;
    int nice;
    bool stopping;
    unsigned thread_count;
    pthread_t threads[JOB_THREADS_MAX];
    char name[16];
};

static void run_done(struct msg *m)
{
    struct job *j = IOR_CONTAINER(m, struct job, msg);
    j->done(j);
}

static void work(struct ior_link *l)
{
    struct job *j = IOR_CONTAINER(IOR_CONTAINER(l, struct msg, link), struct job, msg);
    j->work(j);
    j->msg.run = run_done;
    worker_post(j->origin, &j->msg);
}

static void *run(void *arg)
{
    struct job_queue *q = arg;
    pthread_setname_np(pthread_self(), q->name);
    if (q->nice != 0) setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), q->nice);
    pthread_mutex_lock(&q->lock);
    for (;;) {
        struct ior_link *l = ior_queue_pop(&q->waiting);
        if (l == NULL) {
            if (q->stopping) break;
            pthread_cond_wait(&q->more, &q->lock);
            continue;
        }
        pthread_mutex_unlock(&q->lock);
        work(l);
        pthread_mutex_lock(&q->lock);
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

bool job_queue_step(struct job_queue *q)
{
    IOR_ASSERT(q->thread_count == 0);
    pthread_mutex_lock(&q->lock);
    struct ior_link *l = ior_queue_pop(&q->waiting);
    pthread_mutex_unlock(&q->lock);
    if (l != NULL) work(l);
    return l != NULL;
}

enum ior_err job_queue_new(const char *name, unsigned threads, size_t waiting_max, int nice,
                           struct job_queue **ret)
{
    IOR_ASSERT(threads <= JOB_THREADS_MAX);
    struct job_queue *q = calloc(1, sizeof *q);
    if (q == NULL) return IOR_E_NOMEM;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->more, NULL);
    q->waiting_max = waiting_max;
    q->nice = nice;
    snprintf(q->name, sizeof q->name, "%s", name);
    for (; q->thread_count < threads; q->thread_count++) {
        if (pthread_create(&q->threads[q->thread_count], NULL, run, q) == 0) continue;
        job_queue_stop(q);
        job_queue_free(q);
        return IOR_E_NOMEM;
    }
    *ret = q;
    return IOR_OK;
}

enum ior_err job_submit(struct job_queue *q, struct job *j)
{
    IOR_ASSERT(worker_current() != NULL);
    IOR_ASSERT(j->work != NULL && j->done != NULL);
    j->origin = worker_current();
    enum ior_err err = IOR_OK;
    pthread_mutex_lock(&q->lock);
    if (q->stopping) {
        err = IOR_E_CLOSING;
    } else if (q->waiting.count >= q->waiting_max) {
        err = IOR_E_BUSY;
    } else {
        ior_queue_push(&q->waiting, &j->msg.link);
        pthread_cond_signal(&q->more);
    }
    pthread_mutex_unlock(&q->lock);
    return err;
}

void job_queue_stop(struct job_queue *q)
{
    pthread_mutex_lock(&q->lock);
    q->stopping = true;
    pthread_cond_broadcast(&q->more);
    pthread_mutex_unlock(&q->lock);
    for (unsigned i = 0; i < q->thread_count; i++) pthread_join(q->threads[i], NULL);
}

void job_queue_free(struct job_queue *q)
{
    if (q == NULL) return;
    IOR_ASSERT(q->stopping && ior_queue_empty(&q->waiting));
    pthread_cond_destroy(&q->more);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

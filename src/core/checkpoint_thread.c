/* src/core/checkpoint_thread.c - see checkpoint_thread.h. Looks ten times a second whether a
 * round is due, and else sleeps until a strand has answered. */
#include "core/checkpoint_thread.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"

enum { LOOK_MS = 100 };

struct checkpoint_thread {
    struct checkpoint *checkpoint;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool woken;
    bool stopping;
};

static void wake(void *ctx)
{
    struct checkpoint_thread *t = ctx;
    pthread_mutex_lock(&t->lock);
    t->woken = true;
    pthread_cond_signal(&t->cond);
    pthread_mutex_unlock(&t->lock);
}

/* Until somebody wakes it, or for this long (0: however long). True: it stops. */
static bool sleep_here(struct checkpoint_thread *t, unsigned ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&t->lock);
    int rc = 0;
    while (!t->woken && (ms == 0 || (rc == 0 && !t->stopping))) {
        if (ms == 0) pthread_cond_wait(&t->cond, &t->lock);
        if (ms > 0) rc = pthread_cond_timedwait(&t->cond, &t->lock, &until);
    }
    t->woken = false;
    bool stopping = t->stopping;
    pthread_mutex_unlock(&t->lock);
    return stopping;
}

static void *run(void *arg)
{
    struct checkpoint_thread *t = arg;
    pthread_setname_np(pthread_self(), "checkpoint");
    bool stopping = false;
    for (;;) {
        enum checkpoint_did did = checkpoint_step(t->checkpoint);
        if (did == CHECKPOINT_WAITS) stopping = sleep_here(t, 0) || stopping;
        if (did == CHECKPOINT_RESTS) {
            if (stopping || sleep_here(t, LOOK_MS)) return NULL;
            if (checkpoint_is_due(t->checkpoint)) checkpoint_start(t->checkpoint);
        }
        pthread_mutex_lock(&t->lock);
        stopping = stopping || t->stopping;
        pthread_mutex_unlock(&t->lock);
        if (stopping) checkpoint_cancel(t->checkpoint);
    }
}

enum ior_err checkpoint_thread_start(struct checkpoint *c, struct checkpoint_thread **ret)
{
    struct checkpoint_thread *t = calloc(1, sizeof *t);
    if (t == NULL) return IOR_E_NOMEM;
    t->checkpoint = c;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->cond, &attr);
    pthread_condattr_destroy(&attr);
    checkpoint_set_wake(c, wake, t);
    if (pthread_create(&t->thread, NULL, run, t) != 0) {
        free(t);
        return IOR_E_NOMEM;
    }
    *ret = t;
    return IOR_OK;
}

void checkpoint_thread_stop(struct checkpoint_thread *t)
{
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    pthread_cond_signal(&t->cond);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    checkpoint_set_wake(t->checkpoint, NULL, NULL);
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->cond);
    free(t);
}

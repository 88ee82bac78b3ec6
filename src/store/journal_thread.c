/* src/store/journal_thread.c - see journal_thread.h.
 * The writer drives itself: as soon as a sync has returned it takes what waits;
 * only with nothing to do it sleeps until a worker's turn ends (the wake) or a
 * MARK is due. (A pause between batches, so that those just answered can join the
 * next one, was tried and lost: docs/decisions.rst.) */
#include "store/journal_thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/assert.h"
#include "base/limits.h"

struct journal_thread {
    struct journal *journal;
    pthread_t writer;
    pthread_t maker;
    pthread_mutex_t lock;
    pthread_cond_t write_wake;
    pthread_cond_t make_wake;
    bool woken;
    bool stopping;
};

static void wake(void *ctx)
{
    struct journal_thread *t = ctx;
    pthread_mutex_lock(&t->lock);
    t->woken = true;
    pthread_cond_signal(&t->write_wake);
    if (journal_wants_prepare(t->journal)) pthread_cond_signal(&t->make_wake);
    pthread_mutex_unlock(&t->lock);
}

static void sleep_on(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t us)
{
    if (us == UINT64_MAX) {
        pthread_cond_wait(cond, lock);
        return;
    }
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + us % 1000000 * 1000;
    until.tv_sec += (time_t)(us / 1000000 + ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_cond_timedwait(cond, lock, &until);
}

static void pause_ms(unsigned ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

static void *write_batches(void *arg)
{
    struct journal_thread *t = arg;
    pthread_setname_np(pthread_self(), "journal");
    for (;;) {
        pthread_mutex_lock(&t->lock);
        while (!t->woken && !t->stopping) {
            uint64_t us = journal_mark_due_us(t->journal);
            if (us == 0) break;
            journal_set_idle(t->journal);
            sleep_on(&t->write_wake, &t->lock, us);
        }
        t->woken = false;
        bool last = t->stopping;
        pthread_mutex_unlock(&t->lock);
        while (journal_begin(t->journal)) journal_finish(t->journal);
        if (last && !journal_has_waiting(t->journal)) return NULL;
    }
}

static void *make_segments(void *arg)
{
    struct journal_thread *t = arg;
    pthread_setname_np(pthread_self(), "segments");
    pthread_mutex_lock(&t->lock);
    while (!t->stopping) {
        if (journal_wants_prepare(t->journal)) {
            pthread_mutex_unlock(&t->lock);
            journal_prepare(t->journal);
            pthread_mutex_lock(&t->lock);
            continue;
        }
        bool retry = journal_full(t->journal);
        sleep_on(&t->make_wake, &t->lock, retry ? JOURNAL_NOSPC_RETRY_MS * 1000u : UINT64_MAX);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

enum ior_err journal_thread_start(struct journal *j, struct journal_thread **ret)
{
    struct journal_thread *t = calloc(1, sizeof *t);
    if (t == NULL) return IOR_E_NOMEM;
    t->journal = j;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->write_wake, &attr);
    pthread_cond_init(&t->make_wake, &attr);
    pthread_condattr_destroy(&attr);
    journal_set_wake(j, wake, t);
    journal_set_pause(j, pause_ms);
    if (pthread_create(&t->writer, NULL, write_batches, t) != 0) {
        free(t);
        return IOR_E_NOMEM;
    }
    if (pthread_create(&t->maker, NULL, make_segments, t) != 0) {
        journal_close(j);
        pthread_mutex_lock(&t->lock);
        t->stopping = true;
        pthread_cond_signal(&t->write_wake);
        pthread_mutex_unlock(&t->lock);
        pthread_join(t->writer, NULL);
        free(t);
        return IOR_E_NOMEM;
    }
    *ret = t;
    return IOR_OK;
}

void journal_thread_stop(struct journal_thread *t)
{
    journal_close(t->journal);
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    pthread_cond_signal(&t->write_wake);
    pthread_cond_signal(&t->make_wake);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->writer, NULL);
    pthread_join(t->maker, NULL);
    journal_set_wake(t->journal, NULL, NULL);
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->write_wake);
    pthread_cond_destroy(&t->make_wake);
    free(t);
}

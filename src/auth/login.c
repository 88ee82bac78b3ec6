/* src/auth/login.c - see login.h.
 * Happy path: the name of the check (a keyed hash of user, stored hash and password) is in the
 * cache: the answer is there. Else somebody has the same check under way: wait for it. Else a
 * check of one's own goes to the crypto thread; when it is done, all who wait for it are sent
 * home, and a right password is remembered.
 * An answer then takes its turn: LOGIN_ANSWERS_BURST at once, after them LOGIN_ANSWERS_PER_S. Those
 * that have to wait do so on a thread of their own, which sleeps for some milliseconds at
 * a time.
 * A user that does not exist has the empty text as stored hash and goes the same way to the
 * end, so neither the time nor a 503 of many at once tells whether he is there.
 * Failure modes: the crypto queue is full: BUSY at once; too many answers wait: BUSY, later. */
#include "auth/login.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/login_cache.h"
#include "auth/username.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "rt/clock.h"

enum {
    DESK_MAGIC = 0x6c6f6731,
    STEP_US = 1000000 / LOGIN_ANSWERS_PER_S,
    BURST_US = (LOGIN_ANSWERS_BURST - 1) * STEP_US,
    SLICE_US = 5000 /* whose turn comes within one slice sleeps together */
};

/* One run of argon2id, and who waits for it. */
struct check {
    struct job job; /* first */
    struct login_desk *desk;
    struct check *next;
    uint8_t name[LOGIN_NAME_BYTES];
    struct ior_queue waiting;
    bool known;
    char hash[PASSWORD_HASH_BYTES];
    size_t password_bytes;
    char password[PASSWORD_BYTES_MAX];
};

struct login_desk {
    uint32_t magic;
    struct job_queue *crypto;
    struct job_queue *pace;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t stopped;
    struct login_cache *cache;
    struct check *checks; /* under way: CRYPTO_QUEUE_MAX and one at most */
    uint64_t next_us;     /* the turn of the next answer */
    bool stopping;
};

enum ior_err login_desk_new(struct job_queue *crypto, unsigned threads, struct login_desk **ret)
{
    struct login_desk *d = calloc(1, sizeof *d);
    if (d == NULL) return IOR_E_NOMEM;
    enum ior_err err = login_cache_new(&d->cache);
    if (err == IOR_OK) err = job_queue_new("logins", threads, LOGIN_ANSWERS_WAITING, 0, &d->pace);
    if (err != IOR_OK) {
        login_cache_free(d->cache);
        free(d);
        return err;
    }
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->stopped, &attr);
    pthread_condattr_destroy(&attr);
    d->crypto = crypto;
    d->magic = DESK_MAGIC;
    *ret = d;
    return IOR_OK;
}

void login_desk_stop(struct login_desk *d)
{
    IOR_CHECK_MAGIC(d, DESK_MAGIC);
    pthread_mutex_lock(&d->lock);
    d->stopping = true;
    pthread_cond_broadcast(&d->stopped);
    pthread_mutex_unlock(&d->lock);
    job_queue_stop(d->pace);
}

void login_desk_free(struct login_desk *d)
{
    if (d == NULL) return;
    IOR_CHECK_MAGIC(d, DESK_MAGIC);
    IOR_ASSERT(d->checks == NULL);
    job_queue_free(d->pace);
    login_cache_free(d->cache);
    pthread_cond_destroy(&d->stopped);
    pthread_mutex_destroy(&d->lock);
    d->magic = 0;
    free(d);
}

bool login_desk_step(struct login_desk *d)
{
    return job_queue_step(d->pace);
}

/* ---- answers take turns ---- */

static struct login *login_of(struct job *j)
{
    return IOR_CONTAINER(j, struct login, job);
}

static void answer(struct job *j)
{
    struct login *l = login_of(j);
    l->done(l);
}

static void answer_msg(struct msg *m)
{
    answer(IOR_CONTAINER(m, struct job, msg));
}

/* On the thread that paces. */
static void wait_for_turn(struct job *j)
{
    struct login *l = login_of(j);
    struct login_desk *d = l->desk;
    uint64_t now_us = clock_mono_us();
    if (l->due_us <= now_us) return;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + (l->due_us - now_us) * 1000;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_mutex_lock(&d->lock);
    int rc = 0;
    while (!d->stopping && rc == 0) rc = pthread_cond_timedwait(&d->stopped, &d->lock, &until);
    pthread_mutex_unlock(&d->lock);
}

/* The lock is held. */
static uint64_t take_turn(struct login_desk *d, uint64_t now_us)
{
    uint64_t first_us = now_us > BURST_US ? now_us - BURST_US : 0;
    if (d->next_us < first_us) d->next_us = first_us;
    uint64_t due_us = d->next_us;
    d->next_us += STEP_US;
    return due_us <= now_us ? 0 : (due_us + SLICE_US - 1) / SLICE_US * SLICE_US;
}

/* On the login's worker: the answer is known. */
static void finish(struct login *l)
{
    struct login_desk *d = l->desk;
    l->job.work = wait_for_turn;
    l->job.done = answer;
    pthread_mutex_lock(&d->lock);
    l->due_us = take_turn(d, clock_mono_us());
    pthread_mutex_unlock(&d->lock);
    if (l->due_us != 0) {
        l->err = job_submit(d->pace, &l->job);
        if (l->err == IOR_OK) return;
        pthread_mutex_lock(&d->lock);
        d->next_us -= STEP_US; /* it did not take its turn */
        pthread_mutex_unlock(&d->lock);
    }
    l->job.msg.run = answer_msg;
    worker_defer(&l->job.msg);
}

static void finish_msg(struct msg *m)
{
    finish(login_of(IOR_CONTAINER(m, struct job, msg)));
}

/* ---- a check ---- */

static void unlink_check(struct login_desk *d, struct check *c)
{
    struct check **at = &d->checks;
    while (*at != c) at = &(*at)->next;
    *at = c->next;
}

/* On the crypto thread. */
static void check_work(struct job *j)
{
    struct check *c = IOR_CONTAINER(j, struct check, job);
    struct login_desk *d = c->desk;
    bool right =
        password_verify(c->known ? c->hash : NULL, ior_slice(c->password, c->password_bytes)) &&
        c->known;
    explicit_bzero(c->password, sizeof c->password);
    pthread_mutex_lock(&d->lock);
    if (right) login_cache_add(d->cache, c->name, clock_mono_us());
    unlink_check(d, c); /* from here on nobody joins */
    pthread_mutex_unlock(&d->lock);
    struct ior_link *link;
    while ((link = ior_queue_pop(&c->waiting)) != NULL) {
        struct login *l = IOR_CONTAINER(link, struct login, link);
        l->ok = right;
        l->job.msg.run = finish_msg;
        worker_post(l->job.origin, &l->job.msg); /* and is somebody else's */
    }
}

static void check_done(struct job *j)
{
    free(IOR_CONTAINER(j, struct check, job));
}

/* The lock is held. */
static struct check *find_check(struct login_desk *d, const uint8_t name[LOGIN_NAME_BYTES])
{
    struct check *c = d->checks;
    while (c != NULL && memcmp(c->name, name, sizeof c->name) != 0) c = c->next;
    return c;
}

/* The lock is held. A password of an impossible length is checked as an empty one: it is wrong, and
 * takes as long. */
static enum ior_err begin_check(struct login_desk *d, struct login *l,
                                const uint8_t name[LOGIN_NAME_BYTES], struct ior_slice password)
{
    struct check *c = calloc(1, sizeof *c);
    if (c == NULL) return IOR_E_NOMEM;
    c->job.work = check_work;
    c->job.done = check_done;
    c->desk = d;
    c->known = l->name[0] != 0;
    memcpy(c->name, name, sizeof c->name);
    memcpy(c->hash, l->hash, sizeof c->hash);
    if (password.size_bytes > 0 && password.size_bytes <= sizeof c->password) {
        c->password_bytes = password.size_bytes;
        memcpy(c->password, password.data, password.size_bytes);
    }
    ior_queue_push(&c->waiting, &l->link);
    c->next = d->checks;
    d->checks = c;
    enum ior_err err = job_submit(d->crypto, &c->job);
    if (err == IOR_OK) return IOR_OK;
    d->checks = c->next;
    explicit_bzero(c->password, sizeof c->password);
    free(c);
    return err;
}

/* ---- the front ---- */

/* The stored name; of a user that does not exist what came, so that case does not count there
 * either. */
static struct ior_slice fold(const struct login *l, struct ior_slice name,
                             uint8_t room[USERNAME_BYTES_MAX])
{
    struct ior_slice n = l->name[0] != 0 ? ior_slice_str(l->name) : name;
    return n.size_bytes <= USERNAME_BYTES_MAX ? username_fold(n, room) : n;
}

enum ior_err login_submit(struct login_desk *d, struct login *l, const struct policy *policy,
                          struct ior_slice name, struct ior_slice password)
{
    IOR_CHECK_MAGIC(d, DESK_MAGIC);
    IOR_ASSERT(l->done != NULL && worker_current() != NULL);
    const struct policy_user *u = policy_user(policy, name);
    memset(l->hash, 0, sizeof l->hash);
    l->name[0] = 0;
    if (u != NULL) {
        memcpy(l->name, u->name, sizeof l->name);
        memcpy(l->hash, u->password, sizeof l->hash);
    }
    l->desk = d;
    l->job.origin = worker_current();
    l->ok = l->cached = false;
    l->err = IOR_OK;
    uint8_t room[USERNAME_BYTES_MAX];
    uint8_t of[LOGIN_NAME_BYTES];
    login_cache_name(d->cache, fold(l, name, room), l->hash, password, of);

    enum ior_err err = IOR_OK;
    pthread_mutex_lock(&d->lock);
    bool cached = login_cache_has(d->cache, of, clock_mono_us());
    struct check *same = cached ? NULL : find_check(d, of);
    if (same != NULL) {
        ior_queue_push(&same->waiting, &l->link);
    } else if (!cached) {
        err = begin_check(d, l, of, password);
    }
    pthread_mutex_unlock(&d->lock); /* l may be on its way home now */
    explicit_bzero(of, sizeof of);
    if (same != NULL) metric_add(METRIC_logins_shared, 1);
    if (!cached) return err;
    metric_add(METRIC_logins_cached, 1);
    l->ok = l->cached = true;
    finish(l);
    return IOR_OK;
}

const struct policy_user *login_user(const struct login *l, const struct policy *policy)
{
    if (!l->ok || l->err != IOR_OK) return NULL;
    const struct policy_user *u = policy_user(policy, ior_slice_str(l->name));
    return u != NULL && strcmp(u->password, l->hash) == 0 ? u : NULL;
}

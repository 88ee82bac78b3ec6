/* test/unit/rt/test_job.c - the background thread for long work. The test is the origin
 * worker; a gate holds the thread inside of a job for as long as the test wants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "rt/job.h"

enum { PATIENCE_S = 30, WAITING_MAX = 2, MANY = 50 };

static struct worker worker;
static struct job_queue *queue;
static sem_t woken;   /* the origin worker has mail */
static sem_t started; /* a held job is on the thread */
static sem_t gate;    /* a held job may end */

static void wake(void *ctx)
{
    (void)ctx;
    sem_post(&woken);
}

static int set_up(void **state)
{
    (void)state;
    sem_init(&woken, 0, 0);
    sem_init(&started, 0, 0);
    sem_init(&gate, 0, 0);
    worker_init(&worker, 0, wake, NULL);
    worker_enter(&worker);
    return job_queue_new("test-jobs", 1, WAITING_MAX, 0, &queue) == IOR_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    job_queue_free(queue);
    worker_done(&worker);
    worker_enter(NULL);
    sem_destroy(&woken);
    sem_destroy(&started);
    sem_destroy(&gate);
    return 0;
}

static void wait_for(sem_t *s)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    int rc;
    while ((rc = sem_timedwait(s, &until)) != 0 && errno == EINTR) {
    }
    assert_int_equal(rc, 0);
}

struct task {
    struct job job;
    bool held;
    pthread_t worked_on;
    int worked;
    int done;
    int place; /* in the order of done */
};
static int places;

static void work(struct job *j)
{
    struct task *t = (struct task *)(void *)j;
    t->worked_on = pthread_self();
    if (t->held) {
        sem_post(&started);
        while (sem_wait(&gate) != 0) {
        }
    }
    t->worked++;
}

static void done(struct job *j)
{
    struct task *t = (struct task *)(void *)j;
    assert_ptr_equal(worker_current(), &worker);
    assert_int_equal(t->worked, 1);
    t->done++;
    t->place = places++;
}

static struct task task_of(bool held)
{
    return (struct task){.job = {.work = work, .done = done}, .held = held};
}

static void turn_until(const struct task *t)
{
    while (t->done == 0) {
        wait_for(&woken);
        worker_turn(&worker);
    }
}

/* What: work runs on the job thread and done once, later, on the worker that submitted it. */
static void work_there_done_here(void **state)
{
    (void)state;
    struct task t = task_of(false);
    assert_int_equal(job_submit(queue, &t.job), IOR_OK);
    assert_int_equal(t.done, 0);
    turn_until(&t);
    assert_int_equal(t.done, 1);
    assert_false(pthread_equal(t.worked_on, pthread_self()));
    worker_turn(&worker);
    assert_int_equal(t.done, 1);
    job_queue_stop(queue);
}

/* What: with waiting_max jobs waiting behind the one that runs, the next is BUSY and stays the
 * caller's; once there is room it is taken, and all are done in the order of their submission. */
static void waiting_is_bounded(void **state)
{
    (void)state;
    struct task t[4] = {task_of(true), task_of(false), task_of(false), task_of(false)};
    places = 0;
    assert_int_equal(job_submit(queue, &t[0].job), IOR_OK);
    wait_for(&started);
    assert_int_equal(job_submit(queue, &t[1].job), IOR_OK);
    assert_int_equal(job_submit(queue, &t[2].job), IOR_OK);
    assert_int_equal(job_submit(queue, &t[3].job), IOR_E_BUSY);
    assert_int_equal(job_submit(queue, &t[3].job), IOR_E_BUSY);
    sem_post(&gate);
    turn_until(&t[2]);
    assert_int_equal(t[3].worked, 0);
    assert_int_equal(job_submit(queue, &t[3].job), IOR_OK);
    turn_until(&t[3]);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(t[i].done, 1);
        assert_int_equal(t[i].place, i);
    }
    job_queue_stop(queue);
}

/* What: stop waits until everything taken is worked off, refuses what comes later, and the answers
 * are in the worker's mailbox then. */
static void stop_drains(void **state)
{
    (void)state;
    struct task t[3] = {task_of(true), task_of(false), task_of(false)};
    struct task late = task_of(false);
    assert_int_equal(job_submit(queue, &t[0].job), IOR_OK);
    wait_for(&started);
    assert_int_equal(job_submit(queue, &t[1].job), IOR_OK);
    assert_int_equal(job_submit(queue, &t[2].job), IOR_OK);
    sem_post(&gate);
    job_queue_stop(queue);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(t[i].worked, 1);
        assert_int_equal(t[i].done, 0);
    }
    assert_int_equal(job_submit(queue, &late.job), IOR_E_CLOSING);
    worker_turn(&worker);
    for (int i = 0; i < 3; i++) assert_int_equal(t[i].done, 1);
    assert_int_equal(late.worked + late.done, 0);
}

/* What: many jobs one after the other are each worked and done once. */
static void many_in_a_row(void **state)
{
    (void)state;
    for (int i = 0; i < MANY; i++) {
        struct task t = task_of(false);
        assert_int_equal(job_submit(queue, &t.job), IOR_OK);
        turn_until(&t);
        assert_int_equal(t.worked + t.done, 2);
    }
    job_queue_stop(queue);
}

/* ---- several threads ---- */

enum { THREADS = 4, LOADS = 200 };

/* What: as many jobs are worked on at a time as there are threads; none waits for a slow one while
 * a thread is free, and every one of many is worked and done once. */
static void several_threads(void **state)
{
    (void)state;
    static struct task t[LOADS];
    struct task held[THREADS];
    struct job_queue *q = NULL;
    assert_int_equal(job_queue_new("several", THREADS, LOADS, 0, &q), IOR_OK);
    for (int i = 0; i < THREADS; i++) {
        held[i] = task_of(true);
        assert_int_equal(job_submit(q, &held[i].job), IOR_OK);
    }
    for (int i = 0; i < THREADS; i++) wait_for(&started); /* all of them at once */
    for (int i = 0; i < THREADS; i++)
        for (int k = 0; k < i; k++)
            assert_false(pthread_equal(held[i].worked_on, held[k].worked_on));
    for (int i = 0; i < LOADS; i++) {
        t[i] = task_of(false);
        assert_int_equal(job_submit(q, &t[i].job), IOR_OK);
    }
    struct task late = task_of(false);
    assert_int_equal(job_submit(q, &late.job), IOR_E_BUSY);
    sem_post(&gate); /* one thread does them all, three are still held */
    turn_until(&t[LOADS - 1]);
    for (int i = 1; i < THREADS; i++) sem_post(&gate);
    job_queue_stop(q);
    job_queue_free(q);
    worker_turn(&worker);
    for (int i = 0; i < THREADS; i++) assert_int_equal(held[i].done, 1);
    for (int i = 0; i < LOADS; i++) assert_int_equal(t[i].worked + t[i].done, 2);
    job_queue_stop(queue);
}

/* What: a queue without threads does a job only when somebody steps it, the oldest first, on the
 * stepping thread; it is bounded like the others, and takes nothing after its stop. */
static void stepped_by_hand(void **state)
{
    (void)state;
    struct job_queue *q = NULL;
    struct task t[3] = {task_of(false), task_of(false), task_of(false)};
    places = 0;
    assert_int_equal(job_queue_new("nobody", 0, 2, 0, &q), IOR_OK);
    assert_false(job_queue_step(q));
    assert_int_equal(job_submit(q, &t[0].job), IOR_OK);
    assert_int_equal(job_submit(q, &t[1].job), IOR_OK);
    assert_int_equal(job_submit(q, &t[2].job), IOR_E_BUSY);
    worker_turn(&worker);
    assert_int_equal(t[0].worked, 0);
    assert_true(job_queue_step(q));
    assert_int_equal(t[0].worked, 1);
    assert_int_equal(t[1].worked + t[0].done, 0); /* done comes by the mailbox */
    assert_true(pthread_equal(t[0].worked_on, pthread_self()));
    assert_int_equal(job_submit(q, &t[2].job), IOR_OK);
    assert_true(job_queue_step(q));
    assert_true(job_queue_step(q));
    assert_false(job_queue_step(q));
    worker_turn(&worker);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(t[i].done, 1);
        assert_int_equal(t[i].place, i);
    }
    job_queue_stop(q);
    assert_int_equal(job_submit(q, &t[0].job), IOR_E_CLOSING);
    job_queue_free(q);
    job_queue_stop(queue);
}

static char thread_name[16];
static int thread_nice;

static void look_around(struct job *j)
{
    pthread_getname_np(pthread_self(), thread_name, sizeof thread_name);
    thread_nice = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
    ((struct task *)(void *)j)->worked++;
}

/* What: the thread has its name (cut to 15 bytes) and its niceness, and the caller keeps his own.
 */
static void thread_has_name_and_nice(void **state)
{
    (void)state;
    struct job_queue *nice_queue = NULL;
    struct task t = task_of(false);
    const int mine = getpriority(PRIO_PROCESS, 0);
    t.job.work = look_around;
    assert_int_equal(job_queue_new("a-name-that-is-too-long", 1, 1, 19, &nice_queue), IOR_OK);
    assert_int_equal(job_submit(nice_queue, &t.job), IOR_OK);
    turn_until(&t);
    job_queue_stop(nice_queue);
    job_queue_free(nice_queue);
    assert_string_equal(thread_name, "a-name-that-is-");
    assert_int_equal(thread_nice, 19);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), mine);
    job_queue_stop(queue);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(work_there_done_here), TEST(waiting_is_bounded),       TEST(stop_drains),
        TEST(many_in_a_row),        TEST(thread_has_name_and_nice), TEST(several_threads),
        TEST(stepped_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/rt/test_loop.c - the thread of a worker: sleeping, waking, ticking, stopping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "rt/clock.h"
#include "rt/loop.h"

enum { PATIENCE_S = 30, ROUNDS = 300 };

struct rig {
    struct worker worker;
    struct loop *loop;
    pthread_t thread;
    sem_t heard;
};
static struct rig rig;

static void *run_loop(void *arg)
{
    (void)arg;
    loop_run(rig.loop);
    return worker_current() == NULL ? &rig : NULL;
}

static int set_up(void **state)
{
    (void)state;
    sem_init(&rig.heard, 0, 0);
    return loop_new(&rig.worker, 0, &rig.loop) == IOR_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    loop_free(rig.loop);
    worker_done(&rig.worker);
    sem_destroy(&rig.heard);
    return 0;
}

static void start(void)
{
    assert_int_equal(pthread_create(&rig.thread, NULL, run_loop, NULL), 0);
}

static void stop(void)
{
    void *ret = NULL;
    loop_stop(rig.loop);
    assert_int_equal(pthread_join(rig.thread, &ret), 0);
    assert_ptr_equal(ret, &rig); /* the thread is no worker any more */
}

static void wait_heard(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    int rc;
    while ((rc = sem_timedwait(&rig.heard, &until)) != 0 && errno == EINTR) {
    }
    assert_int_equal(rc, 0);
}

struct note {
    struct msg msg;
    int left; /* how often it still defers itself */
};

static void say_heard(struct msg *m)
{
    struct note *n = (struct note *)(void *)m;
    IOR_ASSERT(worker_current() == &rig.worker);
    if (n->left-- > 0) {
        worker_defer(m);
        return;
    }
    sem_post(&rig.heard);
}

/* What: a message from another thread wakes a loop that sleeps, every time. Were wake-ups lost, the
 * tick would deliver each message up to 100 ms late, and 300 of them would take far too long. */
static void messages_wake_the_loop(void **state)
{
    (void)state;
    start();
    const uint64_t begin_us = clock_mono_us();
    for (int i = 0; i < ROUNDS; i++) {
        struct note n = {.msg = {.run = say_heard}};
        if (i % 8 == 0) usleep(2000); /* surely asleep */
        worker_post(&rig.worker, &n.msg);
        wait_heard();
    }
    assert_true(clock_mono_us() - begin_us < 10000000);
    stop();
}

/* What: while a turn leaves something to do the loop does not sleep: 2,000 turns in a row, each of
 * which defers to the next one, take nothing like 2,000 ticks. */
static void unfinished_turns_do_not_sleep(void **state)
{
    (void)state;
    struct note n = {.msg = {.run = say_heard}, .left = 2000};
    start();
    const uint64_t begin_us = clock_mono_us();
    worker_post(&rig.worker, &n.msg);
    wait_heard();
    assert_true(clock_mono_us() - begin_us < 20000000);
    stop();
}

static int ticks;
static uint64_t tick_us[4];

static void on_tick(void *ctx)
{
    (void)ctx;
    IOR_ASSERT(worker_current() == &rig.worker);
    if (ticks < 4) tick_us[ticks] = clock_mono_us();
    if (++ticks == 4) sem_post(&rig.heard);
}

/* What: the tick comes about every 100 ms to an idle worker: four of them, and none too soon. */
static void the_tick_comes(void **state)
{
    (void)state;
    ticks = 0;
    worker_on_tick(&rig.worker, on_tick, NULL);
    const uint64_t begin_us = clock_mono_us();
    start();
    wait_heard();
    stop();
    assert_true(tick_us[0] - begin_us >= 90000);
    assert_true(tick_us[3] - tick_us[0] >= 250000);
}

static int turn_ends;

static void on_turn_end(void *ctx)
{
    (void)ctx;
    turn_ends++;
}

/* What: a loop that was stopped before it ran returns at once, and what was posted to it is not
 * lost. */
static void stop_before_run_counts(void **state)
{
    (void)state;
    struct note n = {.msg = {.run = say_heard}};
    turn_ends = 0;
    worker_on_turn_end(&rig.worker, on_turn_end, NULL);
    loop_stop(rig.loop);
    loop_run(rig.loop);
    assert_null(worker_current());
    assert_int_equal(turn_ends, 0);
    worker_post(&rig.worker, &n.msg);
    worker_enter(&rig.worker);
    worker_turn(&rig.worker);
    worker_enter(NULL);
    wait_heard();
}

static void stop_from_inside(struct msg *m)
{
    (void)m;
    loop_stop(rig.loop);
    sem_post(&rig.heard);
}

/* What: a message may stop its own loop; the turn it runs in is finished first. */
static void a_message_may_stop_it(void **state)
{
    (void)state;
    struct note last = {.msg = {.run = stop_from_inside}};
    struct note behind = {.msg = {.run = say_heard}};
    worker_post(&rig.worker, &last.msg);
    worker_post(&rig.worker, &behind.msg);
    loop_run(rig.loop);
    wait_heard();
    wait_heard();
}

/* What: a loop that never ran can be freed. */
static void unused_loop_can_be_freed(void **state)
{
    (void)state;
    assert_true(loop_backend_fd(rig.loop) >= 0);
}

/* ---- a poller of one's own ---- */

enum { WAITS = 6, BUSY_WAITS = 3 };
struct fake_poller {
    int waits;
    int timeouts_ms[WAITS];
};

static bool fake_wait(void *ctx, int timeout_ms)
{
    struct fake_poller *p = ctx;
    p->timeouts_ms[p->waits++] = timeout_ms;
    if (p->waits == WAITS) loop_stop(rig.loop);
    return false;
}

static bool fake_busy(void *ctx)
{
    return ((struct fake_poller *)ctx)->waits < BUSY_WAITS;
}

/* What: a poller with unfinished work is never told to sleep; an idle one sleeps at most until the
 * tick. */
static void busy_poller_does_not_sleep(void **state)
{
    (void)state;
    struct fake_poller p = {0};
    loop_set_poller(rig.loop, (struct poller){fake_wait, fake_busy, &p});
    loop_run(rig.loop);
    assert_int_equal(p.waits, WAITS);
    for (int i = 0; i < BUSY_WAITS; i++) assert_int_equal(p.timeouts_ms[i], 0);
    for (int i = BUSY_WAITS; i < WAITS; i++)
        assert_true(p.timeouts_ms[i] >= 0 && p.timeouts_ms[i] <= 100);
    assert_true(p.timeouts_ms[WAITS - 1] > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(messages_wake_the_loop),
        TEST(unfinished_turns_do_not_sleep),
        TEST(the_tick_comes),
        TEST(stop_before_run_counts),
        TEST(a_message_may_stop_it),
        TEST(unused_loop_can_be_freed),
        TEST(busy_poller_does_not_sleep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

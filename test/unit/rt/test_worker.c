/* test/unit/rt/test_worker.c - mailbox, local queue, hooks: a worker whose turns the
 * test takes itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include <cmocka.h>

#include "rt/worker.h"

enum { SENDERS = 3, EACH = 20000, NOTES_MAX = 64 };

static _Atomic int wakes;
static int notes[NOTES_MAX]; /* what ran, in order */
static int note_count;

static void count_wake(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&wakes, 1);
}

static int set_up(void **state)
{
    struct worker *w = malloc(sizeof *w);
    if (w == NULL) return -1;
    worker_init(w, 3, count_wake, NULL);
    worker_enter(w);
    atomic_store(&wakes, 0);
    note_count = 0;
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    worker_done(*state);
    worker_enter(NULL);
    free(*state);
    return 0;
}

struct note {
    struct msg msg;
    int number;
    struct note *then_defer;
    struct note *then_post;
};

static void note_it(int number)
{
    assert_true(note_count < NOTES_MAX);
    notes[note_count++] = number;
}

static void run_note(struct msg *m)
{
    struct note *n = (struct note *)(void *)m;
    note_it(n->number);
    const int before = note_count;
    if (n->then_defer != NULL) worker_defer(&n->then_defer->msg);
    if (n->then_post != NULL) worker_post(worker_current(), &n->then_post->msg);
    assert_int_equal(note_count, before); /* neither runs inside the call */
}

static struct note note_of(int number)
{
    return (struct note){.msg = {.run = run_note}, .number = number};
}

static void expect_notes(const int *want, int count)
{
    assert_int_equal(note_count, count);
    for (int i = 0; i < count; i++) assert_int_equal(notes[i], want[i]);
}

static void note_hook(void *ctx)
{
    note_it(*(const int *)ctx);
}

/* What: messages of one sender run in the order in which they were sent, and not before the turn.
 */
static void order_is_kept(void **state)
{
    struct worker *w = *state;
    struct note n[5];
    for (int i = 0; i < 5; i++) {
        n[i] = note_of(i);
        worker_post(w, &n[i].msg);
    }
    assert_int_equal(note_count, 0);
    assert_false(worker_turn(w));
    expect_notes((const int[]){0, 1, 2, 3, 4}, 5);
    assert_false(worker_turn(w));
    assert_int_equal(note_count, 5);
}

/* What: only the message that finds the mailbox empty wakes the worker, and after a turn the next
 * one does. */
static void only_the_first_wakes(void **state)
{
    struct worker *w = *state;
    struct note n[4];
    for (int i = 0; i < 4; i++) n[i] = note_of(i);
    worker_post(w, &n[0].msg);
    assert_int_equal(atomic_load(&wakes), 1);
    worker_post(w, &n[1].msg);
    worker_post(w, &n[2].msg);
    assert_int_equal(atomic_load(&wakes), 1);
    assert_false(worker_turn(w));
    worker_post(w, &n[3].msg);
    assert_int_equal(atomic_load(&wakes), 2);
    assert_false(worker_turn(w));
    assert_int_equal(note_count, 4);
}

/* What: what is deferred runs later in the same turn, without a wake-up and never inside the call.
 */
static void deferred_runs_later(void **state)
{
    struct worker *w = *state;
    struct note later = note_of(2);
    struct note first = note_of(1);
    first.then_defer = &later;
    worker_post(w, &first.msg);
    assert_int_equal(atomic_load(&wakes), 1);
    assert_false(worker_turn(w));
    expect_notes((const int[]){1, 2}, 2);
    assert_int_equal(atomic_load(&wakes), 1);
}

/* What: what a deferred message defers waits for the next turn, and the turn says that there is
 * more. */
static void a_turn_ends(void **state)
{
    struct worker *w = *state;
    struct note n[3] = {note_of(1), note_of(2), note_of(3)};
    n[0].then_defer = &n[1];
    n[1].then_defer = &n[2];
    worker_defer(&n[0].msg);
    assert_int_equal(note_count, 0);
    assert_true(worker_turn(w));
    assert_int_equal(note_count, 1);
    assert_true(worker_turn(w));
    assert_int_equal(note_count, 2);
    assert_false(worker_turn(w));
    expect_notes((const int[]){1, 2, 3}, 3);
    assert_int_equal(atomic_load(&wakes), 0);
}

/* What: worker_run_deferred runs what was deferred so far, at once, and leaves the rest, the
 * mailbox and the hooks to the turn. */
static void deferred_can_be_run_early(void **state)
{
    struct worker *w = *state;
    static const int hook_number = 100;
    struct note n[4] = {note_of(1), note_of(2), note_of(3), note_of(4)};
    n[0].then_defer = &n[2];
    worker_on_turn_end(w, note_hook, (void *)(uintptr_t)&hook_number);
    worker_defer(&n[0].msg);
    worker_defer(&n[1].msg);
    worker_post(w, &n[3].msg);
    worker_run_deferred(w);
    expect_notes((const int[]){1, 2}, 2);
    assert_false(worker_turn(w));
    expect_notes((const int[]){1, 2, 4, 3, 100}, 5);
}

/* What: a message that a running message posts to its own worker wakes it and runs in the next
 * turn. */
static void posts_to_oneself_wait(void **state)
{
    struct worker *w = *state;
    struct note second = note_of(2);
    struct note first = note_of(1);
    first.then_post = &second;
    worker_post(w, &first.msg);
    worker_turn(w);
    expect_notes((const int[]){1}, 1);
    assert_int_equal(atomic_load(&wakes), 2);
    worker_turn(w);
    expect_notes((const int[]){1, 2}, 2);
}

/* What: hooks run at the end of every turn, after all messages, in the order of their registration.
 */
static void hooks_end_the_turn(void **state)
{
    struct worker *w = *state;
    static const int numbers[] = {100, 101, 102};
    struct note later = note_of(2);
    struct note first = note_of(1);
    first.then_defer = &later;
    worker_on_turn_end(w, note_hook, (void *)(uintptr_t)&numbers[0]);
    worker_on_turn_end(w, note_hook, (void *)(uintptr_t)&numbers[1]);
    worker_on_tick(w, note_hook, (void *)(uintptr_t)&numbers[2]);
    worker_post(w, &first.msg);
    worker_turn(w);
    expect_notes((const int[]){1, 2, 100, 101}, 4);
    worker_turn(w); /* also of a turn in which nothing happened */
    expect_notes((const int[]){1, 2, 100, 101, 100, 101}, 6);
    worker_tick(w);
    expect_notes((const int[]){1, 2, 100, 101, 100, 101, 102}, 7);
}

static void defer_from_hook(void *ctx)
{
    struct note *n = ctx;
    if (n->number++ == 0) worker_defer(&n->msg);
}

/* What: what a hook defers is not forgotten: the turn says that there is more. */
static void hooks_may_defer(void **state)
{
    struct worker *w = *state;
    struct note n = note_of(0);
    worker_on_turn_end(w, defer_from_hook, &n);
    assert_true(worker_turn(w));
    assert_int_equal(note_count, 0);
    assert_false(worker_turn(w));
    expect_notes((const int[]){1}, 1);
}

static void *find_current(void *arg)
{
    (void)arg;
    return worker_current();
}

/* What: the current worker belongs to the thread: another thread has none. */
static void each_thread_has_its_own(void **state)
{
    pthread_t t;
    void *other = *state;
    assert_ptr_equal(worker_current(), *state);
    assert_int_equal(pthread_create(&t, NULL, find_current, NULL), 0);
    assert_int_equal(pthread_join(t, &other), 0);
    assert_null(other);
    worker_enter(NULL);
    assert_null(worker_current());
    worker_enter(*state);
}

/* ---- several senders at once ---- */

struct parcel {
    struct msg msg;
    int sender;
    int number;
};
struct sender {
    struct worker *to;
    int id;
    struct parcel *parcels;
};
static int next_number[SENDERS];
static int out_of_order;

static void run_parcel(struct msg *m)
{
    struct parcel *p = (struct parcel *)(void *)m;
    if (p->number != next_number[p->sender]) out_of_order++;
    next_number[p->sender]++;
}

static void *send_all(void *arg)
{
    struct sender *s = arg;
    for (int i = 0; i < EACH; i++) {
        s->parcels[i] = (struct parcel){.msg = {.run = run_parcel}, .sender = s->id, .number = i};
        worker_post(s->to, &s->parcels[i].msg);
    }
    return NULL;
}

/* What: with three threads that send at once nothing is lost, the order of each is kept, and a
 * worker that turns only when it was woken misses nothing. */
static void senders_do_not_disturb(void **state)
{
    struct worker *w = *state;
    struct sender senders[SENDERS];
    pthread_t threads[SENDERS];
    out_of_order = 0;
    for (int i = 0; i < SENDERS; i++) {
        next_number[i] = 0;
        senders[i] = (struct sender){w, i, calloc(EACH, sizeof(struct parcel))};
        assert_non_null(senders[i].parcels);
        assert_int_equal(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
    }
    int seen = 0;
    while (next_number[0] + next_number[1] + next_number[2] < SENDERS * EACH) {
        const int now = atomic_load(&wakes);
        if (now == seen) {
            sched_yield();
            continue;
        }
        seen = now;
        worker_turn(w);
    }
    for (int i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(next_number[i], EACH);
        free(senders[i].parcels);
    }
    assert_int_equal(out_of_order, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(order_is_kept),
        TEST(only_the_first_wakes),
        TEST(deferred_runs_later),
        TEST(a_turn_ends),
        TEST(deferred_can_be_run_early),
        TEST(posts_to_oneself_wait),
        TEST(hooks_end_the_turn),
        TEST(hooks_may_defer),
        TEST(each_thread_has_its_own),
        TEST(senders_do_not_disturb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

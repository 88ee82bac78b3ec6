/* test/unit/rt/test_strand.c - actors: one message at a time, whoever brings it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "rt/clock.h"
#include "rt/strand.h"

enum { NOTES_MAX = 8192 };

static struct worker worker;
static struct strand strand;
static struct strand other;
static int notes[NOTES_MAX];
static int note_count;
static uint64_t now_us;
static uint64_t step_us; /* what one message takes */

static void wake_nobody(void *ctx)
{
    (void)ctx;
}

static uint64_t read_now(void *ctx)
{
    (void)ctx;
    return now_us;
}

static int set_up(void **state)
{
    (void)state;
    static const struct clock_source source = {read_now, read_now, NULL};
    clock_set_source(&source);
    now_us = 1000;
    step_us = 0;
    worker_init(&worker, 0, wake_nobody, NULL);
    worker_enter(&worker);
    strand_init(&strand);
    strand_init(&other);
    note_count = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    strand_done(&strand);
    strand_done(&other);
    worker_done(&worker);
    worker_enter(NULL);
    clock_set_source(NULL);
    return 0;
}

struct note {
    struct msg msg;
    int number;
    struct strand *in;
    void (*inside)(void); /* the test's own part, inside of the strand */
};

static void run_note(struct msg *m)
{
    struct note *n = (struct note *)(void *)m;
    assert_true(strand_inside(n->in));
    assert_true(note_count < NOTES_MAX);
    notes[note_count++] = n->number;
    now_us += step_us;
    if (n->inside != NULL) n->inside();
}

static struct note note_of(int number, struct strand *in)
{
    return (struct note){.msg = {.run = run_note}, .number = number, .in = in};
}

static void post(struct note *n)
{
    assert_int_equal(strand_post(n->in, &n->msg), IOR_OK);
}

static void expect_notes(const int *want, int count)
{
    assert_int_equal(note_count, count);
    for (int i = 0; i < count; i++) assert_int_equal(notes[i], want[i]);
}

/* What: a message to an idle strand runs inside strand_post(), and afterwards nobody is inside. */
static void idle_runs_at_once(void **state)
{
    (void)state;
    struct note first = note_of(1, &strand);
    struct note second = note_of(2, &strand);
    assert_false(strand_inside(&strand));
    post(&first);
    expect_notes((const int[]){1}, 1);
    assert_false(strand_inside(&strand));
    strand_post_completion(&strand, &second.msg);
    expect_notes((const int[]){1, 2}, 2);
    assert_false(worker_turn(&worker));
    assert_int_equal(note_count, 2);
}

/* ---- from inside of a strand ---- */

static struct note inner[4];

static void post_to_both(void)
{
    assert_false(strand_inside(&other));
    const int before = note_count;
    for (int i = 0; i < 4; i++) post(&inner[i]);
    assert_int_equal(note_count, before);
}

/* What: from inside of a strand a message is always put off, to the same strand and to an idle one;
 * the own ones run before strand_post() returns, the others in the worker's turn. */
static void inside_is_always_queued(void **state)
{
    (void)state;
    struct note outer = note_of(0, &strand);
    outer.inside = post_to_both;
    inner[0] = note_of(1, &other);
    inner[1] = note_of(2, &strand);
    inner[2] = note_of(3, &other);
    inner[3] = note_of(4, &strand);
    post(&outer);
    expect_notes((const int[]){0, 2, 4}, 3);
    assert_false(worker_turn(&worker));
    expect_notes((const int[]){0, 2, 4, 1, 3}, 5);
}

static struct note late;

static void post_late(void)
{
    post(&late);
}

/* What: a strand that waits for its worker's turn takes further messages behind what waits already.
 */
static void scheduled_strand_keeps_order(void **state)
{
    (void)state;
    struct note outer = note_of(0, &strand);
    struct note behind = note_of(2, &other);
    outer.inside = post_late;
    late = note_of(1, &other);
    post(&outer);
    post(&behind); /* nobody is inside of `other`, but something waits in it */
    expect_notes((const int[]){0}, 1);
    worker_turn(&worker);
    expect_notes((const int[]){0, 1, 2}, 3);
}

static struct note mixed[6];

static void post_mixed(void)
{
    post(&mixed[0]);
    post(&mixed[1]);
    strand_post_completion(&strand, &mixed[2].msg);
    strand_post_completion(&strand, &mixed[3].msg);
    post(&mixed[4]);
    strand_post_completion(&strand, &mixed[5].msg);
}

/* What: completions run before the requests that were there first, each kind in its own order. */
static void completions_go_first(void **state)
{
    (void)state;
    struct note outer = note_of(9, &strand);
    outer.inside = post_mixed;
    for (int i = 0; i < 6; i++) mixed[i] = note_of(i, &strand);
    post(&outer);
    expect_notes((const int[]){9, 2, 3, 5, 0, 1, 4}, 7);
}

/* ---- bounds ---- */

static struct note *many;
static int many_count;

static void post_many(void)
{
    for (int i = 0; i < many_count; i++) post(&many[i]);
}

static void make_many(int count, void (*inside)(void), struct note *outer)
{
    *outer = note_of(-1, &strand);
    outer->inside = inside;
    many_count = count;
    many = calloc((size_t)count, sizeof *many);
    assert_non_null(many);
    for (int i = 0; i < count; i++) many[i] = note_of(i, &strand);
}

/* What: one visit runs at most STRAND_VISIT_MESSAGES messages; each turn of the worker is one
 * further visit. */
static void visits_are_bounded(void **state)
{
    (void)state;
    struct note outer;
    const int count = 3 * STRAND_VISIT_MESSAGES;
    int longest = 0;
    int turns = 0;
    make_many(count, post_many, &outer);
    post(&outer);
    const int first = note_count;
    for (bool more = true; more; turns++) {
        const int before = note_count;
        more = worker_turn(&worker);
        if (note_count - before > longest) longest = note_count - before;
    }
    assert_int_equal(first, STRAND_VISIT_MESSAGES); /* `outer` is one of them */
    assert_int_equal(longest, STRAND_VISIT_MESSAGES);
    assert_int_equal(turns, 3);
    assert_int_equal(note_count, count + 1);
    for (int i = 0; i <= count; i++) assert_int_equal(notes[i], i - 1);
    free(many);
}

/* What: a visit also ends when it has lasted STRAND_VISIT_US, which is looked at every eighth
 * message. */
static void slow_visits_end_early(void **state)
{
    (void)state;
    struct note outer;
    make_many(60, post_many, &outer);
    step_us = STRAND_VISIT_US;
    post(&outer);
    assert_true(note_count <= 17);
    int turns = 0;
    while (worker_turn(&worker)) assert_true(++turns < 100);
    assert_true(turns >= 2);
    assert_int_equal(note_count, 61);
    free(many);
}

static struct note refused;
static struct note completion;

static void fill_up(void)
{
    post_many();
    for (int i = 0; i < 3; i++) assert_int_equal(strand_post(&strand, &refused.msg), IOR_E_BUSY);
    strand_post_completion(&strand, &completion.msg); /* never refused */
}

/* What: behind STRAND_QUEUE_MAX waiting requests the next one gets BUSY and stays the caller's, who
 * may bring it again later; a completion is taken all the same and runs first. */
static void full_queue_is_busy(void **state)
{
    (void)state;
    struct note outer;
    make_many(STRAND_QUEUE_MAX, fill_up, &outer);
    refused = note_of(-2, &strand);
    completion = note_of(-3, &strand);
    post(&outer);
    while (worker_turn(&worker)) {
    }
    assert_int_equal(note_count, STRAND_QUEUE_MAX + 2);
    assert_int_equal(notes[1], -3);
    for (int i = 0; i < STRAND_QUEUE_MAX; i++) assert_int_equal(notes[i + 2], i);
    post(&refused);
    assert_int_equal(notes[note_count - 1], -2);
    free(many);
}

/* ---- two threads ---- */

static sem_t is_inside;
static sem_t may_leave;
static pthread_t ran_on;

static void wait_inside(void)
{
    sem_post(&is_inside);
    while (sem_wait(&may_leave) != 0) {
    }
}

static void where_am_i(void)
{
    ran_on = pthread_self();
}

static void *enter_and_wait(void *arg)
{
    struct worker w;
    worker_init(&w, 1, wake_nobody, NULL);
    worker_enter(&w);
    const enum ior_err err = strand_post(&strand, &((struct note *)arg)->msg);
    worker_done(&w);
    return err == IOR_OK ? arg : NULL;
}

/* What: while another worker is inside, a message is only queued, and that other worker runs it. */
static void the_one_inside_runs_it(void **state)
{
    (void)state;
    pthread_t thread;
    void *ret = NULL;
    struct note outer = note_of(1, &strand);
    struct note mine = note_of(2, &strand);
    outer.inside = wait_inside;
    mine.inside = where_am_i;
    sem_init(&is_inside, 0, 0);
    sem_init(&may_leave, 0, 0);
    assert_int_equal(pthread_create(&thread, NULL, enter_and_wait, &outer), 0);
    while (sem_wait(&is_inside) != 0) {
    }
    post(&mine);
    assert_int_equal(note_count, 1);
    assert_false(strand_inside(&strand));
    sem_post(&may_leave);
    assert_int_equal(pthread_join(thread, &ret), 0);
    assert_ptr_equal(ret, &outer);
    expect_notes((const int[]){1, 2}, 2);
    assert_true(pthread_equal(ran_on, thread));
    sem_destroy(&is_inside);
    sem_destroy(&may_leave);
}

/* ---- stress ---- */

enum { ACTORS = 4, THREADS = 3, TOKENS = 3000, HOPS = 5, AT_ONCE = 200 };

struct actor {
    struct strand strand;
    int inside; /* not atomic: that is the point */
    uint64_t visits;
};
struct token {
    struct msg msg;
    struct worker *origin;
    uint32_t actor;
    uint32_t hops_left;
    uint32_t finished;
};
static struct actor actors[ACTORS];
static _Atomic uint32_t returned;
static _Atomic uint32_t broken;

static void come_home(struct msg *m)
{
    struct token *t = (struct token *)(void *)m;
    if (worker_current() != t->origin) atomic_fetch_add(&broken, 1);
    t->finished++;
    atomic_fetch_add(&returned, 1);
}

static void hop(struct msg *m)
{
    struct token *t = (struct token *)(void *)m;
    struct actor *a = &actors[t->actor];
    if (++a->inside != 1 || !strand_inside(&a->strand)) atomic_fetch_add(&broken, 1);
    a->visits++;
    if (--t->hops_left == 0) {
        t->msg.run = come_home;
        a->inside--;
        worker_post(t->origin, &t->msg);
        return;
    }
    t->actor = (t->actor + t->hops_left) % ACTORS;
    a->inside--;
    struct strand *next = &actors[t->actor].strand;
    if (t->hops_left % 2 == 0) {
        strand_post_completion(next, &t->msg);
    } else if (strand_post(next, &t->msg) != IOR_OK) {
        strand_post_completion(next, &t->msg); /* BUSY: it is still ours */
    }
}

static void *send_tokens(void *arg)
{
    struct worker *w = arg;
    struct token *tokens = calloc(TOKENS, sizeof *tokens);
    IOR_ASSERT(tokens != NULL);
    worker_enter(w);
    uint32_t sent = 0;
    while (atomic_load(&returned) < THREADS * TOKENS) {
        for (int i = 0; i < AT_ONCE && sent < TOKENS; i++) {
            struct token *t = &tokens[sent];
            *t = (struct token){{.run = hop}, w, (w->id + sent) % ACTORS, HOPS, 0};
            if (strand_post(&actors[t->actor].strand, &t->msg) != IOR_OK) break;
            sent++;
        }
        if (!worker_turn(w)) sched_yield();
    }
    while (worker_turn(w)) {
    }
    for (uint32_t i = 0; i < TOKENS; i++) {
        if (tokens[i].finished != 1) atomic_fetch_add(&broken, 1);
    }
    worker_enter(NULL);
    free(tokens);
    return NULL;
}

/* What: three threads send 9,000 tokens over five hops through four strands: no two are ever inside
 * of one strand, every token comes home once, on its own worker, and every hop was made. */
static void stress_keeps_the_promise(void **state)
{
    (void)state;
    clock_set_source(NULL);
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    atomic_store(&returned, 0);
    atomic_store(&broken, 0);
    for (unsigned i = 0; i < ACTORS; i++) {
        actors[i] = (struct actor){0};
        strand_init(&actors[i].strand);
    }
    for (unsigned i = 0; i < THREADS; i++) worker_init(&workers[i], i, wake_nobody, NULL);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_tokens, &workers[i]), 0);
    for (unsigned i = 0; i < THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    uint64_t visits = 0;
    for (unsigned i = 0; i < ACTORS; i++) {
        visits += actors[i].visits;
        assert_int_equal(actors[i].inside, 0);
        strand_done(&actors[i].strand);
    }
    for (unsigned i = 0; i < THREADS; i++) worker_done(&workers[i]);
    assert_int_equal(atomic_load(&returned), THREADS * TOKENS);
    assert_int_equal(visits, THREADS * TOKENS * HOPS);
    assert_int_equal(atomic_load(&broken), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(idle_runs_at_once),
        TEST(inside_is_always_queued),
        TEST(scheduled_strand_keeps_order),
        TEST(completions_go_first),
        TEST(visits_are_bounded),
        TEST(slow_visits_end_early),
        TEST(full_queue_is_busy),
        TEST(the_one_inside_runs_it),
        TEST(stress_keeps_the_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

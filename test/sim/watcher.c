/* test/sim/watcher.c - see watcher.h. The rules: a watch fires once, with OK when its event is
 * committed (never before: the model says what may be shown), with LOST only when it was
 * given up; when the workers have come to rest nobody waits for an event that some answer
 * has shown; who gives up is always answered. */
#include "watcher.h"

#include "base/assert.h"
#include "core/watch.h"
#include "trace.h"

#define ULL(x) ((unsigned long long)(x))
enum { WATCHERS = 40 };

/* The ones that wait; one world at a time in a process. */
static struct {
    struct watch *watch;
    unsigned life;
    bool given_up;
} waiting[WATCHERS];

static void on_fired(struct watch *x)
{
    struct world *w = x->user_ptr;
    unsigned stream = (unsigned)(x->user[0] & 0xff);
    unsigned at = (unsigned)(x->user[0] >> 8);
    const struct model_stream *s = &w->model.streams[stream];
    IOR_ASSERT(waiting[at].watch == x);
    trace_note("watch answered", (uint64_t)stream << 8 | x->err, x->high);
    if (x->err == IOR_OK) {
        if (x->high < x->from)
            trace_violation("%s/%s: a watch for %llu fired at %llu", s->bucket, s->name,
                            ULL(x->from), ULL(x->high));
        model_shows_high(&w->model, stream, x->high, x->user[1]);
        trace_count(COUNT_fired, 1);
    } else if (x->err != IOR_E_LOST || !waiting[at].given_up) {
        trace_violation("a watch was answered %s", ior_err_name(x->err));
    }
    if (waiting[at].given_up) w->pending--;
    waiting[at].watch = NULL;
    watch_free(x);
}

static void begin(struct world *w, unsigned at)
{
    unsigned stream = (unsigned)world_below(w, MODEL_STREAMS);
    const struct model_stream *s = &w->model.streams[stream];
    struct watch *x = NULL;
    enum ior_err err = watch_new(ior_slice_str(s->bucket), ior_slice_str(s->name), &x);
    IOR_ASSERT(err == IOR_OK);
    x->from =
        world_odds(w, 4) ? 1 + world_below(w, s->shown + 1) : s->shown + 1 + world_below(w, 3);
    x->user_ptr = w;
    x->user[0] = stream | at << 8;
    x->user[1] = s->shown;
    trace_note("watch", stream, x->from);
    world_enter_any(w);
    waiting[at].watch = x;
    waiting[at].life = w->life;
    waiting[at].given_up = false;
    err = iorio_watch(w->node, x, on_fired);
    worker_enter(NULL);
    if (err == IOR_OK) return;
    if (err != IOR_E_BUSY) trace_violation("a watch was refused with %s", ior_err_name(err));
    waiting[at].watch = NULL;
    watch_free(x);
}

static void give_up(struct world *w, unsigned at)
{
    trace_note("watch given up", at, waiting[at].watch->from);
    waiting[at].given_up = true;
    w->pending++;
    worker_enter(waiting[at].watch->origin);
    iorio_watch_cancel(waiting[at].watch);
    worker_enter(NULL);
}

void watcher_step(struct world *w)
{
    unsigned at = (unsigned)world_below(w, WATCHERS);
    if (waiting[at].watch == NULL) {
        begin(w, at);
    } else if (waiting[at].life != w->life) {
        trace_violation("a watch of a life that has ended was never answered");
    } else if (!waiting[at].given_up && world_odds(w, 3)) {
        give_up(w, at);
    }
}

static void check_nobody_waits_in_vain(struct world *w)
{
    for (unsigned at = 0; at < WATCHERS; at++) {
        const struct watch *x = waiting[at].watch;
        if (x == NULL) continue;
        const struct model_stream *s = &w->model.streams[x->user[0] & 0xff];
        if (x->from <= s->shown)
            trace_violation("%s/%s: a watch waits for %llu, but %llu was shown", s->bucket, s->name,
                            ULL(x->from), ULL(s->shown));
    }
}

void watcher_end(struct world *w)
{
    if (world_odds(w, 2)) {
        world_turns(w);
        check_nobody_waits_in_vain(w);
    }
    for (unsigned at = 0; at < WATCHERS; at++) {
        if (waiting[at].watch != NULL && !waiting[at].given_up) give_up(w, at);
    }
}

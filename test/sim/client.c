/* test/sim/client.c - see client.h: appends and single reads while the node works. */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "core/checkpoint.h"
#include "retention.h"
#include "trace.h"

#define ULL(x) ((unsigned long long)(x))

/* a->user[1] of an append. */
enum {
    FLAG_LATE = 1,
    FLAG_ACCEPTED = 2,
    FLAG_KNOWN = 4, /* its key was acknowledged before: the same answer must come */
    FLAG_REUSED = 8 /* other events with such a key: they must be refused */
};

/* ---- appends ---- */

/* Here and everywhere: one look at chance in a statement, for C does not say which of two
 * arguments comes first, and every compiler shall run the same seed in the same way. */
static struct op *choose_op(struct world *w)
{
    unsigned stream = (unsigned)world_below(w, MODEL_STREAMS);
    struct model *m = &w->model;
    uint64_t dice = world_below(w, 100);
    uint32_t small = (uint32_t)world_below(w, 200);
    bool flat = world_odds(w, 2);
    if (dice < 60) return model_new_op(m, stream, 1, small, false);
    if (dice < 75) return model_new_op(m, stream, 1 + (uint32_t)world_below(w, 50), small, flat);
    if (dice < 97) return model_new_op(m, stream, 1, 1000 + (uint32_t)world_below(w, 15000), flat);
    trace_count(COUNT_giants, 1);
    if (dice == 97) return model_new_op(m, stream, 45, 3000, true);
    return model_new_op(m, stream, 1, 70000 + (uint32_t)world_below(w, 110000), flat);
}

static struct ior_slice key_of(const struct op *op, char out[32])
{
    int n = snprintf(out, 32, "append-%llu", ULL(op->number));
    return ior_slice(out, op->keyed ? (size_t)n : 0);
}

/* key_op: whose key it carries. */
static struct append *make_append(struct world *w, const struct op *op, const struct op *key_op)
{
    const struct model_stream *s = &w->model.streams[op->stream];
    size_t total = 0;
    for (uint32_t i = 0; i < op->count; i++) total += model_event_bytes(op, i);
    uint8_t *bytes = malloc(total);
    struct event_in *events = calloc(op->count, sizeof *events);
    IOR_ASSERT(bytes != NULL && events != NULL);
    uint8_t *at = bytes;
    for (uint32_t i = 0; i < op->count; i++) {
        size_t n = model_event_bytes(op, i);
        model_event(op, i, at);
        events[i] = (struct event_in){ior_slice(at, n), op->number % 2 == 0};
        at += n;
    }
    char key[32];
    struct append *a = NULL;
    enum ior_err err = append_new(ior_slice_str(s->bucket), ior_slice_str(s->name), events,
                                  op->count, key_of(key_op, key), &a);
    IOR_ASSERT(err == IOR_OK);
    free(events);
    free(bytes);
    return a;
}

static void check_conflict(struct world *w, const struct append *a, const struct op *op)
{
    const struct model_stream *s = &w->model.streams[op->stream];
    trace_count(COUNT_conflicts, 1);
    if (a->user[1] & FLAG_KNOWN)
        trace_violation("%s/%s: a known key, but the answer is a conflict", s->bucket, s->name);
    bool holds = a->expect == EXPECT_ANY ||
                 (a->expect == EXPECT_LAST_ID && a->last_id == a->expect_last_id) ||
                 (a->expect == EXPECT_NONE_KEPT && a->last_id == 0);
    if (holds)
        trace_violation("%s/%s: a conflict, but the last id is %llu as expected", s->bucket,
                        s->name, ULL(a->last_id));
    model_shows_high(&w->model, op->stream, a->last_id, op->after_id);
}

static void check_acked(struct world *w, const struct append *a, const struct op *op)
{
    const struct model_stream *s = &w->model.streams[op->stream];
    if ((a->user[1] & FLAG_KNOWN) && !a->repeated)
        trace_violation("%s/%s: append %llu was made again, although its key is known", s->bucket,
                        s->name, ULL(op->number));
    if (a->user[1] & FLAG_REUSED)
        trace_violation("%s/%s: a key was taken for other events", s->bucket, s->name);
    if (a->durability == DURABILITY_MEMORY && (a->user[1] & FLAG_ACCEPTED) == 0)
        trace_violation("an append was durable before it was accepted");
    if (a->repeated) {
        trace_count(COUNT_repeated, 1);
        return;
    }
    if (a->user[1] & FLAG_LATE)
        trace_violation("an append was acknowledged that came after the journal had failed");
    bool broken = (a->expect == EXPECT_LAST_ID && a->first_id != a->expect_last_id + 1) ||
                  (a->expect == EXPECT_NONE_KEPT && a->first_id > s->low_max && s->keep > 0);
    if (broken)
        trace_violation("%s/%s: id %llu, but the append expected the last id to be %llu", s->bucket,
                        s->name, ULL(a->first_id), ULL(a->expect_last_id));
    trace_count(COUNT_acked, 1);
    trace_count(COUNT_events, op->count);
    w->acked_in_life++;
}

static void on_done(struct append *a)
{
    struct world *w = a->user_ptr;
    struct op *op = model_op(&w->model, a->user[0]);
    trace_note("append answered", op->number << 8 | a->err, a->first_id);
    w->pending--;
    switch (a->err) {
    case IOR_OK:
        check_acked(w, a, op);
        model_acked(&w->model, op, a->first_id, a->last_id, a->time_ms);
        break;
    case IOR_E_CONFLICT:
        model_refused(&w->model, op);
        check_conflict(w, a, op);
        break;
    case IOR_E_KEYREUSED:
        model_refused(&w->model, op);
        trace_count(COUNT_reused, 1);
        if ((a->user[1] & FLAG_REUSED) == 0)
            trace_violation("append %llu: its own key is said to belong to other events",
                            ULL(op->number));
        break;
    case IOR_E_IO:
        trace_count(COUNT_unknown, 1);
        if (a->user[1] & FLAG_LATE) {
            model_refused(&w->model, op);
        } else {
            model_unknown(op);
        }
        break;
    case IOR_E_NOSPC:
        if (!w->full_in_life) trace_violation("no room on a disk without a limit");
        trace_count(COUNT_nospc, 1);
        model_refused(&w->model, op);
        break;
    case IOR_E_LOST:
    case IOR_E_CLOSING:
        trace_count(COUNT_gave_up, 1);
        model_refused(&w->model, op);
        break;
    default:
        trace_violation("an append was answered %s", ior_err_name(a->err));
    }
    append_free(a);
}

static void on_accepted(struct append *a)
{
    if (a->user[1] & FLAG_ACCEPTED) trace_violation("an append was accepted twice");
    a->user[1] |= FLAG_ACCEPTED;
}

/* The client guesses mostly right. */
static void choose_expectation(struct world *w, struct append *a, const struct op *op)
{
    if (world_odds(w, 3)) {
        a->expect = EXPECT_LAST_ID;
        a->expect_last_id = w->model.streams[op->stream].shown;
        if (world_odds(w, 4)) a->expect_last_id += 1 + world_below(w, 3);
    } else if (world_odds(w, 12)) {
        a->expect = EXPECT_NONE_KEPT;
    }
    if (world_odds(w, 6)) {
        a->durability = DURABILITY_MEMORY;
        a->accepted = on_accepted;
    }
}

static void submit(struct world *w, struct op *op, struct append *a, unsigned flags)
{
    a->user_ptr = w;
    a->user[0] = op->number;
    a->user[1] = flags | (journal_failed(w->node->journal) ? FLAG_LATE : 0);
    trace_note("append", op->number, (uint64_t)op->stream << 32 | op->count);
    world_enter_any(w);
    w->pending++;
    enum ior_err err = iorio_append(w->node, a, on_done);
    worker_enter(NULL);
    if (err == IOR_OK) return;
    if (err == IOR_E_TAILFULL) trace_count(COUNT_tail_full, 1);
    if (err == IOR_E_NOSPC) trace_count(COUNT_nospc, 1);
    bool expected = err == IOR_E_INFLIGHT || err == IOR_E_BUSY || err == IOR_E_TAILFULL ||
                    (err == IOR_E_NOSPC && w->full_in_life);
    if (!expected) trace_violation("an append was refused with %s", ior_err_name(err));
    trace_count(COUNT_gave_up, 1);
    w->pending--;
    model_refused(&w->model, model_op(&w->model, a->user[0]));
    append_free(a);
}

void client_append(struct world *w)
{
    struct op *op = choose_op(w);
    struct append *a = make_append(w, op, op);
    choose_expectation(w, a, op);
    submit(w, op, a, 0);
}

/* An append of the past that has a key, or NULL. */
static struct op *choose_keyed(struct world *w)
{
    if (w->model.op_count == 0) return NULL;
    uint64_t back = world_below(w, world_odds(w, 4) ? w->model.op_count : 20);
    if (back >= w->model.op_count) return NULL;
    struct op *op = model_op(&w->model, w->model.op_count - back);
    return op->keyed && op->state != OP_UNKNOWN ? op : NULL;
}

static bool is_known(const struct op *op)
{
    return op->state == OP_ACKED || op->state == OP_FOUND;
}

void client_repeat(struct world *w)
{
    struct op *op = choose_keyed(w);
    if (op == NULL) return;
    if (is_known(op) && world_odds(w, 4)) {
        uint64_t number = op->number; /* a new one may move the others */
        struct op *other = model_new_op(&w->model, op->stream, 1, 50, false);
        struct append *a = make_append(w, other, model_op(&w->model, number));
        submit(w, other, a, FLAG_REUSED);
        return;
    }
    unsigned flags = is_known(op) ? FLAG_KNOWN : 0;
    model_again(op);
    struct append *a = make_append(w, op, op);
    choose_expectation(w, a, op);
    submit(w, op, a, flags);
}

void client_prove_alive(struct world *w)
{
    uint64_t first = w->model.op_count + 1;
    if (!world_checkpoint(w)) trace_violation("nothing is wrong any more, but no checkpoint works");
    (void)checkpoint_is_due(w->node->checkpoint); /* the journal is small again */
    for (unsigned i = 0; i < MODEL_STREAMS; i++) {
        struct op *op = model_new_op(&w->model, i, 2, 100, false);
        submit(w, op, make_append(w, op, op), 0);
        if (i % 4 == 0) world_settle(w);
    }
    uint64_t changes = trace.counts[COUNT_changes];
    facts_change(w);
    patcher_prove(w);
    world_settle(w);
    for (uint64_t n = first; n <= w->model.op_count; n++) {
        if (model_op(&w->model, n)->state != OP_ACKED)
            trace_violation("nothing is wrong any more, but append %llu was not taken", ULL(n));
    }
    if (trace.counts[COUNT_changes] == changes)
        trace_violation("nothing is wrong any more, but a change of facts was not taken");
}

/* ---- trims ---- */

static void on_trimmed(struct trim *t)
{
    struct world *w = t->user_ptr;
    unsigned stream = (unsigned)(t->user[0] & 0xff);
    const struct model_stream *s = &w->model.streams[stream];
    w->pending--;
    trace_note("trim answered", stream, t->err == IOR_OK ? t->low : t->err);
    if (t->err == IOR_OK) {
        uint64_t at_least = t->user[0] >> 8;
        if (t->low < at_least)
            trace_violation("%s/%s: trimmed, but the first id is %llu and not %llu", s->bucket,
                            s->name, ULL(t->low), ULL(at_least));
        if (t->low > t->high + 1)
            trace_violation("%s/%s: trimmed to ids %llu..%llu", s->bucket, s->name, ULL(t->low),
                            ULL(t->high));
        model_shows_low(&w->model, stream, t->low, 1);
        trace_count(COUNT_trims, 1);
    } else if (t->err != IOR_E_IO && t->err != IOR_E_NOSPC && t->err != IOR_E_LOST &&
               t->err != IOR_E_CLOSING) {
        trace_violation("a trim was answered %s", ior_err_name(t->err));
    }
    trim_free(t);
}

void client_trim(struct world *w)
{
    unsigned stream = (unsigned)world_below(w, MODEL_STREAMS);
    const struct model_stream *s = &w->model.streams[stream];
    struct trim *t = NULL;
    enum ior_err err = trim_new(ior_slice_str(s->bucket), ior_slice_str(s->name), &t);
    IOR_ASSERT(err == IOR_OK);
    t->all = world_odds(w, 5);
    t->to = world_below(w, s->shown + 2);
    uint64_t gone = t->all || t->to > s->shown ? s->shown : t->to;
    model_trims(&w->model, stream, t->all ? UINT64_MAX : t->to);
    t->user_ptr = w;
    t->user[0] = stream | (gone + 1) << 8;
    trace_note("trim", stream, t->all ? 0 : t->to);
    world_enter_any(w);
    w->pending++;
    err = iorio_trim(w->node, t, on_trimmed);
    worker_enter(NULL);
    if (err == IOR_OK) return;
    if (err != IOR_E_BUSY && err != IOR_E_INFLIGHT)
        trace_violation("a trim was refused with %s", ior_err_name(err));
    w->pending--;
    trim_free(t);
}

/* ---- single reads ---- */

/* The ids that a read must give: *first..*last, none when *first > *last. */
static void wanted_range(const struct read *r, uint64_t *first, uint64_t *last)
{
    uint64_t top = r->to < r->high ? r->to : r->high;
    *first = r->from == 0 ? 1 : r->from;
    if (r->how == READ_LAST) *first = r->limit >= top ? 1 : top - r->limit + 1;
    if (r->how == READ_FROM_END) *first = r->from >= r->high ? 1 : r->high - r->from + 1;
    if (*first < r->low) *first = r->low;
    *last = top;
    if (top >= *first && top - *first >= r->limit) *last = *first + r->limit - 1;
}

static void check_read(struct world *w, const struct read *r)
{
    unsigned stream = (unsigned)(r->user[0] & 0xff);
    const struct model_stream *s = &w->model.streams[stream];
    model_shows_high(&w->model, stream, r->exists ? r->high : 0, r->user[1]);
    model_shows_low(&w->model, stream, r->low, r->user[0] >> 8);
    if (r->exists) retention_shows(w, stream, r->low, r->high);
    uint64_t first;
    uint64_t last;
    wanted_range(r, &first, &last);
    if (r->next != 0) last = r->next - 1;
    uint64_t wanted = r->exists && last >= first ? last - first + 1 : 0;
    if (r->count != wanted)
        trace_violation("%s/%s: a read gave %zu events instead of %llu", s->bucket, s->name,
                        r->count, ULL(wanted));
    for (size_t i = 0; i < r->count; i++) {
        const struct event_out *e = &r->events[i];
        if (e->id != first + i)
            trace_violation("%s/%s: a read gave id %llu instead of %llu", s->bucket, s->name,
                            ULL(e->id), ULL(first + i));
        model_shows_event(&w->model, stream, e->id, e->time_ms, e->payload);
    }
}

static void on_read(struct read *r)
{
    struct world *w = r->user_ptr;
    w->pending--;
    trace_note("read answered", r->user[0] << 32 | r->count, r->high);
    trace_count(COUNT_reads, 1);
    if (r->err == IOR_OK) {
        check_read(w, r);
    } else if (!disk_sim_is_dead(w->disk)) {
        trace_violation("a read ended with %s", ior_err_name(r->err));
    }
    read_free(r);
}

void client_read(struct world *w)
{
    unsigned stream = (unsigned)world_below(w, MODEL_STREAMS);
    const struct model_stream *s = &w->model.streams[stream];
    struct read *r = NULL;
    enum ior_err err = read_new(ior_slice_str(s->bucket), ior_slice_str(s->name), &r);
    IOR_ASSERT(err == IOR_OK);
    r->user_ptr = w;
    r->user[0] = stream | s->low << 8; /* and what it must know */
    r->user[1] = s->shown;
    r->how = (enum read_from)world_below(w, 3);
    r->from = world_below(w, s->shown + 3);
    r->limit = 1 + world_below(w, 60);
    if (world_odds(w, 4)) r->to = world_below(w, s->shown + 3);
    world_enter_any(w);
    w->pending++;
    err = iorio_read(w->node, r, on_read);
    worker_enter(NULL);
    if (err == IOR_OK) return;
    if (err != IOR_E_BUSY) trace_violation("a read was refused with %s", ior_err_name(err));
    w->pending--;
    read_free(r);
}

/* test/sim/patcher.c - see patcher.h. A document is {"post":N,"pad":"...","ops":[N1,N2]}; patch N
 * adds N to its list. Small ones are patched inside the strand, large ones beside it. */
#include "patcher.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "core/patch.h"
#include "trace.h"
#include "world.h"

#define ULL(x) ((unsigned long long)(x))

/* user[1] of an append: the flag, and the id that was shown then. */
enum { OPS_MAX = 40, TEXT_BYTES = 96, FLAG_KNOWN = 1 };

static const char *const names[PATCHER_DOCS] = {"doc0", "doc1", "doc2"};

void patcher_init(struct patcher *p)
{
    *p = (struct patcher){0};
}

void patcher_done(struct patcher *p)
{
    free(p->ops);
}

static struct patcher_op *op_of(struct world *w, uint64_t number)
{
    IOR_ASSERT(number > 0 && number <= w->patcher.count);
    return &w->patcher.ops[number - 1];
}

static struct patcher_op *new_op(struct world *w, unsigned doc, bool whole)
{
    struct patcher *p = &w->patcher;
    if (p->count == p->room) {
        p->room = p->room == 0 ? 64 : p->room * 2;
        p->ops = realloc(p->ops, p->room * sizeof *p->ops);
        IOR_ASSERT(p->ops != NULL);
    }
    struct patcher_op *op = &p->ops[p->count++];
    bool large = world_odds(w, 6);
    uint32_t pad = (uint32_t)world_below(w, large ? 3000 : 300);
    *op = (struct patcher_op){.number = p->count,
                              .doc = doc,
                              .whole = whole,
                              .keyed = !whole && p->count % 3 == 0,
                              .pad_bytes = pad + (large ? PATCH_INLINE_DOC_BYTES : 0)};
    p->since[doc] = whole ? 0 : p->since[doc] + 1;
    return op;
}

/* ---- bytes ---- */

static void document(struct ior_buf *out, const struct patcher_op *op, const uint64_t *ops,
                     size_t count)
{
    ior_buf_clear(out);
    ior_buf_addf(out, "{\"post\":%llu,\"pad\":\"", ULL(op->number));
    uint8_t *pad = ior_buf_room(out, op->pad_bytes);
    IOR_ASSERT(pad != NULL);
    memset(pad, 'a' + (int)(op->number % 26), op->pad_bytes);
    ior_buf_grew(out, op->pad_bytes);
    ior_buf_add_str(out, "\",\"ops\":[");
    for (size_t i = 0; i < count; i++) ior_buf_addf(out, "%s%llu", i > 0 ? "," : "", ULL(ops[i]));
    ior_buf_add_str(out, "]}");
    IOR_ASSERT(!ior_buf_failed(out));
}

static int patch_text(const struct patcher_op *op, char out[TEXT_BYTES])
{
    return snprintf(out, TEXT_BYTES, "[{\"op\":\"add\",\"path\":\"/ops/-\",\"value\":%llu}]",
                    ULL(op->number));
}

/* ---- answers ---- */

static void give_up(struct world *w, struct patcher_op *op, bool maybe, enum ior_err err)
{
    op->maybe = op->maybe || maybe;
    if (op->attempts > 0 || op->state != PATCHER_IN_FLIGHT) return;
    op->state = op->maybe ? PATCHER_UNKNOWN : PATCHER_REFUSED;
    if (op->state == PATCHER_REFUSED && op->id != 0)
        trace_violation("%s: patch %llu is refused (%s), but its id is %llu", names[op->doc],
                        ULL(op->number), ior_err_name(err), ULL(op->id));
    (void)w;
}

static void acked(struct world *w, struct patcher_op *op, const struct append *a)
{
    if (op->id != 0 && (op->id != a->first_id || op->time_ms != a->time_ms))
        trace_violation("%s: patch %llu is at id %llu and at id %llu", names[op->doc],
                        ULL(op->number), ULL(op->id), ULL(a->first_id));
    if ((a->user[1] & FLAG_KNOWN) && !a->repeated)
        trace_violation("%s: patch %llu was applied again, although its key is known",
                        names[op->doc], ULL(op->number));
    op->state = PATCHER_ACKED;
    op->id = a->first_id;
    op->time_ms = a->time_ms;
    if (w->patcher.shown[op->doc] < op->id) w->patcher.shown[op->doc] = op->id;
    trace_count(op->whole ? COUNT_acked : a->repeated ? COUNT_repeated : COUNT_patched, 1);
    w->acked_in_life++;
}

static void on_done(struct append *a)
{
    struct world *w = a->user_ptr;
    struct patcher_op *op = op_of(w, a->user[0]);
    w->pending--;
    op->attempts--;
    trace_note("patch answered", op->number << 8 | a->err, a->first_id);
    switch (a->err) {
    case IOR_OK:
        acked(w, op, a);
        break;
    case IOR_E_IO: /* also: the document could not be read */
        give_up(w, op, true, a->err);
        break;
    case IOR_E_CONFLICT:
        trace_count(COUNT_conflicts, 1);
        if (a->expect != EXPECT_LAST_ID || a->last_id == a->expect_last_id || a->patch == NULL ||
            a->patch->raced)
            trace_violation("%s: patch %llu had no condition, but lost", names[op->doc],
                            ULL(op->number));
        give_up(w, op, false, a->err);
        break;
    case IOR_E_NOEVENT:
        if (a->user[1] >> 1 > 0)
            trace_violation("%s: nothing to patch, but id %llu was there", names[op->doc],
                            ULL(a->user[1] >> 1));
        give_up(w, op, false, a->err);
        break;
    case IOR_E_NOSPC:
        if (!w->full_in_life) trace_violation("no room on a disk without a limit");
        give_up(w, op, false, a->err);
        break;
    case IOR_E_LOST:
    case IOR_E_CLOSING:
    case IOR_E_INFLIGHT:
    case IOR_E_TAILFULL:
    case IOR_E_BUSY:
        give_up(w, op, false, a->err);
        break;
    default:
        trace_violation("%s: patch %llu was answered %s: %s", names[op->doc], ULL(op->number),
                        ior_err_name(a->err),
                        a->patch == NULL ? "a document" : a->patch->fault.why.text);
    }
    append_free(a);
}

static struct append *make(struct world *w, const struct patcher_op *op)
{
    struct append *a = NULL;
    struct json_patch_fault fault;
    enum ior_err err;
    if (op->whole) {
        struct ior_buf text;
        ior_buf_init(&text);
        document(&text, op, NULL, 0);
        const struct event_in e = {ior_buf_slice(&text), true};
        err = append_new(IOR_SLICE(PATCHER_BUCKET), ior_slice_str(names[op->doc]), &e, 1,
                         (struct ior_slice){NULL, 0}, &a);
        ior_buf_done(&text);
    } else {
        char text[TEXT_BYTES];
        int n = patch_text(op, text);
        err = patch_new(IOR_SLICE(PATCHER_BUCKET), ior_slice_str(names[op->doc]),
                        ior_slice(text, (size_t)n), &a, &fault);
    }
    IOR_ASSERT(err == IOR_OK);
    if (op->keyed) {
        char key[32];
        int n = snprintf(key, sizeof key, "patch-%llu", ULL(op->number));
        patch_set_key(a, ior_slice(key, (size_t)n));
    }
    (void)w;
    return a;
}

static void submit(struct world *w, struct patcher_op *op, bool expects)
{
    struct append *a = make(w, op);
    uint64_t shown = w->patcher.shown[op->doc];
    if (expects) {
        a->expect = EXPECT_LAST_ID;
        a->expect_last_id = shown;
    }
    a->user_ptr = w;
    a->user[0] = op->number;
    a->user[1] = shown << 1 | (op->state == PATCHER_ACKED ? FLAG_KNOWN : 0);
    op->attempts++;
    if (op->state == PATCHER_REFUSED) {
        op->state = PATCHER_IN_FLIGHT;
        op->maybe = false;
    }
    trace_note("patch", op->number, (uint64_t)op->doc << 1 | op->whole);
    world_enter_any(w);
    w->pending++;
    enum ior_err err = iorio_append(w->node, a, on_done);
    worker_enter(NULL);
    if (err == IOR_OK) return;
    bool expected = err == IOR_E_INFLIGHT || err == IOR_E_BUSY || err == IOR_E_TAILFULL ||
                    (err == IOR_E_NOSPC && w->full_in_life);
    if (!expected) trace_violation("a patch was refused with %s", ior_err_name(err));
    w->pending--;
    op->attempts--;
    give_up(w, op, false, err);
    append_free(a);
}

void patcher_step(struct world *w)
{
    struct patcher *p = &w->patcher;
    unsigned doc = (unsigned)world_below(w, PATCHER_DOCS);
    uint64_t dice = world_below(w, 10);
    if (dice == 0 && p->count > 0) {
        uint64_t back = world_below(w, p->count < 20 ? p->count : 20);
        struct patcher_op *op = op_of(w, p->count - back);
        if (op->keyed && op->state != PATCHER_UNKNOWN) submit(w, op, false);
        return;
    }
    bool whole = p->shown[doc] == 0 || p->since[doc] >= OPS_MAX || dice < 3;
    submit(w, new_op(w, doc, whole), !whole && world_odds(w, 6));
    if (!whole && world_odds(w, 2)) submit(w, new_op(w, doc, false), false); /* two at once */
}

/* ---- reading everything ---- */

struct event {
    uint64_t id, time_ms;
    char *text;
};
struct scan {
    struct world *world;
    struct event *events;
    size_t count, room;
    uint64_t high;
    bool more;
};

static void on_read(struct read *r)
{
    struct scan *s = r->user_ptr;
    s->world->pending--;
    if (r->err != IOR_OK) trace_violation("a read ended with %s", ior_err_name(r->err));
    for (size_t i = 0; i < r->count; i++) {
        const struct event_out *e = &r->events[i];
        if (s->count == s->room) {
            s->room = s->room == 0 ? 32 : 2 * s->room;
            s->events = realloc(s->events, s->room * sizeof *s->events);
            IOR_ASSERT(s->events != NULL);
        }
        char *text = strndup((const char *)e->payload.data, e->payload.size_bytes);
        IOR_ASSERT(text != NULL);
        s->events[s->count++] = (struct event){e->id, e->time_ms, text};
    }
    s->high = r->exists ? r->high : 0;
    s->more = r->next != 0;
}

static void read_all(struct world *w, struct ior_slice name, struct scan *ret)
{
    struct read *r = NULL;
    *ret = (struct scan){.world = w};
    enum ior_err err = read_new(IOR_SLICE(PATCHER_BUCKET), name, &r);
    IOR_ASSERT(err == IOR_OK);
    r->user_ptr = ret;
    r->how = READ_FROM_ID;
    r->from = 1;
    r->limit = UINT64_MAX;
    do {
        world_enter_any(w);
        w->pending++;
        err = iorio_read(w->node, r, on_read);
        worker_enter(NULL);
        IOR_ASSERT(err == IOR_OK);
        world_turns(w);
        if (ret->more) read_release(r);
    } while (ret->more);
    read_free(r);
    for (size_t i = 0; i < ret->count; i++) {
        if (ret->events[i].id != i + 1) trace_violation("a patched stream has a hole");
    }
    if (ret->high != ret->count) trace_violation("a patched stream ends before its high");
}

static void scan_done(struct scan *s)
{
    for (size_t i = 0; i < s->count; i++) free(s->events[i].text);
    free(s->events);
}

/* The last number of the list; 0: it is empty. */
static uint64_t last_number(const char *text)
{
    size_t n = strlen(text);
    if (n < 3 || strcmp(text + n - 2, "]}") != 0) return 0;
    const char *at = text + n - 2;
    while (at > text && at[-1] >= '0' && at[-1] <= '9') at--;
    return strtoull(at, NULL, 10);
}

/* What the chain of one document has been so far. */
struct chain {
    const struct patcher_op *whole;
    uint64_t ops[OPS_MAX + 8];
    size_t count;
    size_t patches; /* in all */
    struct ior_buf wanted;
};

static struct patcher_op *check_author(struct world *w, unsigned doc, const struct event *e,
                                       uint64_t number, bool *seen)
{
    bool known = number > 0 && number <= w->patcher.count;
    if (!known || op_of(w, number)->doc != doc || seen[number])
        trace_violation("%s id %llu: an event that nobody sent, or that came before", names[doc],
                        ULL(e->id));
    struct patcher_op *op = op_of(w, number);
    seen[number] = true;
    if (op->state == PATCHER_REFUSED)
        trace_violation("%s id %llu: patch %llu is there, although it was refused", names[doc],
                        ULL(e->id), ULL(number));
    if (op->id != 0 && (op->id != e->id || op->time_ms != e->time_ms))
        trace_violation("%s id %llu: patch %llu was at id %llu", names[doc], ULL(e->id),
                        ULL(number), ULL(op->id));
    op->id = e->id;
    op->time_ms = e->time_ms;
    return op;
}

static void check_log(unsigned doc, const struct chain *c, const struct scan *log,
                      const struct patcher_op *op, const struct event *e)
{
    char text[TEXT_BYTES];
    (void)patch_text(op, text);
    if (c->patches > log->count)
        trace_violation("%s id %llu: patch %llu is applied, but not in the stream of the patches",
                        names[doc], ULL(e->id), ULL(op->number));
    const struct event *entry = &log->events[c->patches - 1];
    if (strcmp(entry->text, text) != 0 || entry->time_ms != e->time_ms)
        trace_violation("%s id %llu: patch %llu is applied, but entry %llu of the patches is %s",
                        names[doc], ULL(e->id), ULL(op->number), ULL(entry->id), entry->text);
}

static void check_event(struct world *w, unsigned doc, struct chain *c, const struct event *e,
                        const struct scan *log, bool *seen)
{
    uint64_t number = last_number(e->text);
    bool whole = number == 0;
    if (whole && sscanf(e->text, "{\"post\":%" SCNu64, &number) != 1) number = 0;
    struct patcher_op *op = check_author(w, doc, e, number, seen);
    if (op->whole != whole) trace_violation("%s id %llu: half a document", names[doc], ULL(e->id));
    if (whole) {
        c->whole = op;
        c->count = 0;
    } else {
        IOR_ASSERT(c->count < IOR_LEN(c->ops));
        c->ops[c->count++] = number;
        c->patches++;
    }
    if (c->whole == NULL) trace_violation("%s begins with a patch", names[doc]);
    document(&c->wanted, c->whole, c->ops, c->count);
    ior_buf_add_char(&c->wanted, 0);
    if (strcmp((const char *)c->wanted.data, e->text) != 0)
        trace_violation("%s id %llu: patch %llu was not applied to the event before it: a lost "
                        "update (%.40s... ends in %s)",
                        names[doc], ULL(e->id), ULL(number), e->text,
                        e->text + (strlen(e->text) > 60 ? strlen(e->text) - 60 : 0));
    if (!whole) check_log(doc, c, log, op, e);
}

static void inspect_doc(struct world *w, unsigned doc, bool *seen)
{
    char name[32];
    struct scan events;
    struct scan log;
    struct chain c = {0};
    ior_buf_init(&c.wanted);
    snprintf(name, sizeof name, "%s" PATCH_SUFFIX, names[doc]);
    read_all(w, ior_slice_str(names[doc]), &events);
    read_all(w, ior_slice_str(name), &log);
    for (size_t i = 0; i < events.count; i++)
        check_event(w, doc, &c, &events.events[i], &log, seen);
    if (log.count != c.patches)
        trace_violation("%s: %zu patches are applied, %zu are in the stream of the patches",
                        names[doc], c.patches, log.count);
    if (w->patcher.shown[doc] > events.count)
        trace_violation("%s: id %llu was acknowledged, %zu are there", names[doc],
                        ULL(w->patcher.shown[doc]), events.count);
    w->patcher.shown[doc] = events.count;
    scan_done(&log);
    scan_done(&events);
    ior_buf_done(&c.wanted);
}

void patcher_inspect(struct world *w, bool after_start)
{
    struct patcher *p = &w->patcher;
    bool *seen = calloc(p->count + 1, sizeof *seen);
    IOR_ASSERT(seen != NULL);
    for (unsigned i = 0; i < PATCHER_DOCS; i++) inspect_doc(w, i, seen);
    for (size_t i = 0; i < p->count; i++) {
        struct patcher_op *op = &p->ops[i];
        if (op->state == PATCHER_ACKED && !seen[op->number])
            trace_violation("%s: patch %llu was acknowledged at id %llu and is not there",
                            names[op->doc], ULL(op->number), ULL(op->id));
        if (!after_start || op->state != PATCHER_UNKNOWN) continue;
        op->state = seen[op->number] ? PATCHER_ACKED : PATCHER_REFUSED;
        op->maybe = false;
    }
    free(seen);
}

void patcher_prove(struct world *w)
{
    uint64_t first = w->patcher.count + 1;
    for (unsigned i = 0; i < PATCHER_DOCS; i++) {
        for (unsigned k = 0; k < 2; k++) {
            struct patcher_op *op = new_op(w, i, k == 0);
            if (op->whole) op->pad_bytes = 100; /* memory.tail may be small */
            submit(w, op, false);
            world_settle(w);
        }
    }
    for (uint64_t n = first; n <= w->patcher.count; n++) {
        const struct patcher_op *op = op_of(w, n);
        if (op->state != PATCHER_ACKED)
            trace_violation("%s: nothing is wrong any more, but patch %llu was not taken",
                            names[op->doc], ULL(n));
    }
}

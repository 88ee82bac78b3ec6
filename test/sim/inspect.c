/* test/sim/inspect.c - see client.h: lists while the node works, and the look at
 * everything after a start: each stream from its first id to its last, and the
 * lists must name exactly the streams that exist. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "client.h"
#include "retention.h"
#include "trace.h"

#define ULL(x) ((unsigned long long)(x))

/* ---- lists ---- */

/* A list under way: what it must know at least, and what it may show at most. */
struct list_call {
    struct world *world;
    unsigned bucket; /* MODEL_BUCKETS: the list of buckets */
    bool exact;      /* nothing else goes on: it shows just what is there */
    bool done;
    uint64_t shown[MODEL_STREAMS];
    uint64_t low[MODEL_STREAMS];
};

static const char *bucket_text(struct world *w, unsigned bucket)
{
    return w->model.streams[bucket].bucket;
}

static unsigned stream_named(struct world *w, unsigned bucket, struct ior_slice name)
{
    for (unsigned i = bucket; i < MODEL_STREAMS; i += MODEL_BUCKETS) {
        if (ior_slice_eq(ior_slice_str(w->model.streams[i].name), name)) return i;
    }
    trace_violation("a list names a stream that nobody ever wrote to");
}

/* Is this name inside of what the list was asked for, as far as it got? */
static bool in_range(const struct list *l, struct ior_slice name)
{
    if (ior_slice_cmp(name, ior_buf_slice(&l->after)) <= 0) return false;
    if (!ior_slice_starts(name, ior_buf_slice(&l->prefix))) return false;
    return !l->more || ior_slice_cmp(name, list_name_at(l, l->count - 1)) <= 0;
}

static bool lists(const struct list *l, struct ior_slice name)
{
    for (size_t i = 0; i < l->count; i++) {
        if (ior_slice_eq(list_name_at(l, i), name)) return true;
    }
    return false;
}

static void check_row(const struct list_call *lc, const struct list *l, size_t i)
{
    struct world *w = lc->world;
    unsigned stream = stream_named(w, lc->bucket, list_name_at(l, i));
    const struct model_stream *s = &w->model.streams[stream];
    const struct list_name *row = &l->rows[i];
    model_shows_high(&w->model, stream, row->high, lc->shown[stream]);
    model_shows_low(&w->model, stream, row->low, lc->low[stream]);
    retention_shows(w, stream, row->low, row->high);
    if (row->events != row->high + 1 - row->low || row->high == 0)
        trace_violation("%s/%s: listed with ids %llu..%llu and %llu events", s->bucket, s->name,
                        ULL(row->low), ULL(row->high), ULL(row->events));
    if (lc->exact && (row->high != s->scanned || row->bytes != s->bytes))
        trace_violation("%s/%s: listed with %llu events and %llu bytes, but holds %llu and %llu",
                        s->bucket, s->name, ULL(row->high), ULL(row->bytes), ULL(s->scanned),
                        ULL(s->bytes));
}

/* What holds an event is listed, and what was never deleted; an empty one after a deletion
 * may be or not. */
static bool must_be_listed(const struct list_call *lc, unsigned stream)
{
    const struct model_stream *s = &lc->world->model.streams[stream];
    if (lc->shown[stream] == 0) return false;
    return !s->may_be_deleted || (lc->exact && s->low <= s->scanned);
}

static void check_streams(const struct list_call *lc, const struct list *l)
{
    for (size_t i = 0; i < l->count; i++) check_row(lc, l, i);
    for (unsigned i = lc->bucket; i < MODEL_STREAMS; i += MODEL_BUCKETS) {
        struct ior_slice name = ior_slice_str(lc->world->model.streams[i].name);
        bool must = must_be_listed(lc, i) && in_range(l, name);
        if (must && !lists(l, name))
            trace_violation("%s/%s is missing in a list", lc->world->model.streams[i].bucket,
                            lc->world->model.streams[i].name);
    }
}

static void check_buckets(const struct list_call *lc, const struct list *l)
{
    for (unsigned b = 0; b < MODEL_BUCKETS; b++) {
        uint64_t shown = 0;
        bool must = false;
        for (unsigned i = b; i < MODEL_STREAMS; i += MODEL_BUCKETS) {
            shown += lc->shown[i];
            must = must || must_be_listed(lc, i);
        }
        struct ior_slice name = ior_slice_str(bucket_text(lc->world, b));
        if (!in_range(l, name)) continue;
        if (must && !lists(l, name)) trace_violation("bucket %u is missing in a list", b);
        if (shown == 0 && lc->exact && lists(l, name))
            trace_violation("bucket %u is listed, but nothing is in it", b);
    }
    if (l->count > MODEL_BUCKETS + 1) /* and the one of patcher.c */
        trace_violation("a list names buckets that nobody wrote to");
}

static void on_list(struct list *l)
{
    struct list_call *lc = l->user_ptr;
    struct world *w = lc->world;
    w->pending--;
    trace_note("list answered", lc->bucket, l->count);
    trace_count(COUNT_lists, 1);
    if (l->err != IOR_OK) {
        if (!disk_sim_is_dead(w->disk))
            trace_violation("a list ended with %s", ior_err_name(l->err));
        list_free(l);
        free(lc);
        return;
    }
    for (size_t i = 1; i < l->count; i++) {
        if (ior_slice_cmp(list_name_at(l, i - 1), list_name_at(l, i)) >= 0)
            trace_violation("a list is not sorted");
    }
    if (lc->bucket == MODEL_BUCKETS) {
        check_buckets(lc, l);
    } else {
        check_streams(lc, l);
    }
    list_free(l);
    free(lc);
}

static void start_list(struct world *w, unsigned bucket, bool exact)
{
    struct list *l = NULL;
    struct list_call *lc = calloc(1, sizeof *lc);
    enum ior_err err = list_new(&l);
    IOR_ASSERT(err == IOR_OK && lc != NULL);
    lc->world = w;
    lc->bucket = bucket;
    lc->exact = exact;
    for (unsigned i = 0; i < MODEL_STREAMS; i++) {
        lc->shown[i] = w->model.streams[i].shown;
        lc->low[i] = w->model.streams[i].low;
    }
    l->buckets = bucket == MODEL_BUCKETS;
    if (!l->buckets) ior_buf_add_str(&l->bucket, bucket_text(w, bucket));
    if (world_odds(w, 3)) l->limit = 1 + world_below(w, 4);
    if (world_odds(w, 3)) ior_buf_add_str(&l->after, l->buckets ? "bucket-0" : "s03");
    if (world_odds(w, 4)) ior_buf_add_str(&l->prefix, l->buckets ? "bucket" : "s0");
    l->user_ptr = lc;
    world_enter_any(w);
    w->pending++;
    err = iorio_list(w->node, l, on_list);
    worker_enter(NULL);
    IOR_ASSERT(err == IOR_OK);
}

void client_list(struct world *w)
{
    start_list(w, (unsigned)world_below(w, MODEL_BUCKETS + 1), false);
}

/* ---- everything ---- */

struct scan {
    struct world *world;
    unsigned stream;
    bool begun;
    bool more;
};

static void on_scan(struct read *r)
{
    struct scan *sc = r->user_ptr;
    struct world *w = sc->world;
    struct model_stream *s = &w->model.streams[sc->stream];
    w->pending--;
    if (r->err != IOR_OK) trace_violation("a read ended with %s", ior_err_name(r->err));
    if (!sc->begun) model_scan_low(&w->model, sc->stream, r->low);
    sc->begun = true;
    for (size_t i = 0; i < r->count; i++)
        model_scan_event(&w->model, sc->stream, r->events[i].id, r->events[i].time_ms,
                         r->events[i].payload);
    sc->more = r->next != 0;
    if (!sc->more && (r->exists ? r->high : 0) != s->scanned)
        trace_violation("%s/%s: the last id is %llu, but the read ends at %llu", s->bucket, s->name,
                        ULL(r->high), ULL(s->scanned));
}

static void scan_stream(struct world *w, unsigned stream)
{
    const struct model_stream *s = &w->model.streams[stream];
    struct scan sc = {.world = w, .stream = stream};
    struct read *r = NULL;
    enum ior_err err = read_new(ior_slice_str(s->bucket), ior_slice_str(s->name), &r);
    IOR_ASSERT(err == IOR_OK);
    r->user_ptr = &sc;
    r->as_it_is = true; /* nothing changes while it looks */
    r->how = READ_FROM_ID;
    r->from = 1;
    r->limit = UINT64_MAX;
    do {
        world_enter_any(w);
        w->pending++;
        err = iorio_read(w->node, r, on_scan);
        worker_enter(NULL);
        IOR_ASSERT(err == IOR_OK);
        world_turns(w);
        if (sc.more) read_release(r);
    } while (sc.more);
    read_free(r);
}

void client_inspect(struct world *w, bool after_start)
{
    if (after_start) {
        facts_recover(w);
        access_recover(w);
    }
    model_scan_begin(&w->model);
    for (unsigned i = 0; i < MODEL_STREAMS; i++) scan_stream(w, i);
    model_scan_end(&w->model, after_start);
    facts_check(w);
    patcher_inspect(w, after_start);
    for (unsigned b = 0; b <= MODEL_BUCKETS; b++) {
        start_list(w, b, true);
        world_turns(w);
    }
    uint64_t sum = 0;
    for (unsigned i = 0; i < MODEL_STREAMS; i++) sum += w->model.streams[i].scanned * (i + 1);
    trace_note("inspected", sum, w->model.op_count);
}

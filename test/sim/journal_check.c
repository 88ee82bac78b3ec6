/* test/sim/journal_check.c - see journal_world.h: the records and what a replay must
 * bring: in the order in which they were submitted, each at most once, with its
 * bytes; all that were acknowledged and not released; none that was refused or
 * that an earlier start had not found. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "journal_world.h"
#include "model.h"
#include "trace.h"

#define ULL(x) ((unsigned long long)(x))

struct rec *jw_rec(struct journal_world *w, uint64_t number)
{
    IOR_ASSERT(number > 0 && number <= w->count);
    return &w->recs[number - 1];
}

/* The same filling as the events of the node. */
static struct op as_op(struct journal_world *w, uint64_t number)
{
    const struct rec *r = jw_rec(w, number);
    return (struct op){.number = number, .count = 1, .size_bytes = r->size_bytes, .flat = r->flat};
}

struct record jw_make_record(struct journal_world *w, uint64_t number)
{
    struct op op = as_op(w, number);
    size_t n = model_event_bytes(&op, 0);
    uint8_t *payload = malloc(n);
    IOR_ASSERT(payload != NULL);
    model_event(&op, 0, payload);
    struct record r = {.items = ior_blob_new(item_bytes(0, n))};
    IOR_ASSERT(r.items != NULL);
    item_write(r.items->data, ITEM_APPEND, 0, 0, ior_slice(payload, n));
    item_set_place(r.items->data, 7, number, 1);
    struct record_head head = {
        .kind = RECORD_ENTRY, .group = 1, .term = 1, .index = number, .time_ms = number};
    record_seal(&r, &head);
    free(payload);
    return r;
}

void jw_check_replay_begin(struct journal_world *w)
{
    free(w->replayed);
    w->replayed = calloc(w->count + 1, sizeof *w->replayed);
    IOR_ASSERT(w->replayed != NULL);
    w->replayed_from = w->replayed_to = 0;
}

enum ior_err jw_check_record(void *ctx, const struct record_head *head, struct ior_slice items,
                             struct ior_why *why)
{
    struct journal_world *w = ctx;
    (void)why;
    uint64_t number = head->index;
    if (number == 0 || number > w->count)
        trace_violation("record %llu is replayed, but only %zu were made", ULL(number), w->count);
    if (number <= w->replayed_to)
        trace_violation("record %llu is replayed after record %llu", ULL(number),
                        ULL(w->replayed_to));
    const struct rec *r = jw_rec(w, number);
    if (r->state == REC_REFUSED || r->state == REC_DEAD)
        trace_violation("record %llu is replayed, although %s", ULL(number),
                        r->state == REC_DEAD ? "an earlier start had dropped it"
                                             : "it was refused");
    struct record wanted = jw_make_record(w, number);
    /* The zeros behind a payload have no checksum: where only they were lost, they differ. */
    struct item it = {0};
    size_t pos = 0;
    const struct item want = item_at(ior_slice(wanted.items->data, wanted.items->size_bytes), 0);
    if (item_next(items, &pos, &it) != IOR_OK || pos != items.size_bytes || it.op != want.op ||
        it.uid != want.uid || it.seqnum != want.seqnum || it.low != want.low ||
        !ior_slice_eq(it.payload, want.payload))
        trace_violation("record %llu: its bytes are not what was written", ULL(number));
    record_done(&wanted);
    if (w->replayed_from == 0) w->replayed_from = number;
    w->replayed_to = number;
    w->replayed[number] = true;
    return IOR_OK;
}

static void settle_one(struct journal_world *w, uint64_t number)
{
    struct rec *r = jw_rec(w, number);
    bool there = w->replayed[number];
    IOR_ASSERT(r->state != REC_IN_FLIGHT);
    bool kept = r->segment >= w->floor_segment;
    bool behind_first = w->replayed_from != 0 && number > w->replayed_from;
    if (r->state == REC_ACKED && !there && (kept || behind_first))
        trace_violation("record %llu was acknowledged, in segment %llu, and is not there",
                        ULL(number), ULL(r->segment));
    if (r->state == REC_UNKNOWN) r->state = there ? REC_ACKED : REC_DEAD;
}

void jw_check_replay_end(struct journal_world *w)
{
    for (uint64_t n = 1; n <= w->count; n++) settle_one(w, n);
    w->begun = w->count;
}

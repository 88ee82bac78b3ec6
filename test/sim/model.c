/* test/sim/model.c - see model.h. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "trace.h"

#define ULL(x) ((unsigned long long)(x))

void model_init(struct model *m)
{
    *m = (struct model){0};
    for (unsigned i = 0; i < MODEL_STREAMS; i++) {
        struct model_stream *s = &m->streams[i];
        s->low = s->low_max = 1;
        s->keep = UINT64_MAX;
        snprintf(s->bucket, sizeof s->bucket, "bucket-%u", i % MODEL_BUCKETS);
        /* Every third pair is a stream and its patch log, which share a partition. */
        bool patch = i % 6 == 3;
        snprintf(s->name, sizeof s->name, "s%02u%s", patch ? i - 3 : i, patch ? "-$patch" : "");
    }
}

void model_done(struct model *m)
{
    for (unsigned i = 0; i < MODEL_STREAMS; i++) free(m->streams[i].op_of);
    free(m->ops);
}

struct op *model_op(struct model *m, uint64_t number)
{
    IOR_ASSERT(number > 0 && number <= m->op_count);
    return &m->ops[number - 1];
}

struct op *model_new_op(struct model *m, unsigned stream, uint32_t count, uint32_t size_bytes,
                        bool flat)
{
    IOR_ASSERT(stream < MODEL_STREAMS && count > 0);
    if (m->op_count == m->op_room) {
        m->op_room = m->op_room == 0 ? 256 : m->op_room * 2;
        m->ops = realloc(m->ops, m->op_room * sizeof *m->ops);
        IOR_ASSERT(m->ops != NULL);
    }
    struct op *op = &m->ops[m->op_count++];
    *op = (struct op){.number = m->op_count,
                      .stream = stream,
                      .count = count,
                      .size_bytes = size_bytes,
                      .flat = flat,
                      .keyed = m->op_count % 3 == 0,
                      .attempts = 1,
                      .after_id = m->streams[stream].shown};
    return op;
}

/* ---- payloads: number, place, count, then filling ---- */

size_t model_event_bytes(const struct op *op, uint32_t i)
{
    size_t n = op->size_bytes + (op->flat ? 0 : (op->number * 7 + i * 13) % 64);
    return n < MODEL_EVENT_MIN_BYTES ? MODEL_EVENT_MIN_BYTES : n;
}

void model_event(const struct op *op, uint32_t i, uint8_t *out)
{
    size_t n = model_event_bytes(op, i);
    ior_put_u64(out, op->number);
    ior_put_u32(out + 8, i);
    ior_put_u32(out + 12, op->count);
    ior_put_u64(out + 16, op->number * 0x9e3779b97f4a7c15u + i);
    memset(out + MODEL_EVENT_MIN_BYTES, 'x', n - MODEL_EVENT_MIN_BYTES);
    if (op->flat) return;
    struct rand_state r = {op->number << 20 | i};
    for (size_t at = MODEL_EVENT_MIN_BYTES; at + 8 <= n; at += 8)
        ior_put_u64(out + at, rand_next(&r));
}

/* The append whose event this is; its bytes are compared. */
static struct op *op_of_payload(struct model *m, unsigned stream, uint64_t id,
                                struct ior_slice payload, uint32_t *ret_i)
{
    const struct model_stream *s = &m->streams[stream];
    if (payload.size_bytes < MODEL_EVENT_MIN_BYTES)
        trace_violation("%s/%s id %llu: %zu bytes that nobody sent", s->bucket, s->name, ULL(id),
                        payload.size_bytes);
    uint64_t number = ior_get_u64(payload.data);
    if (number == 0 || number > m->op_count)
        trace_violation("%s/%s id %llu: an event that nobody sent", s->bucket, s->name, ULL(id));
    struct op *op = model_op(m, number);
    *ret_i = ior_get_u32(payload.data + 8);
    if (op->stream != stream || *ret_i >= op->count ||
        model_event_bytes(op, *ret_i) != payload.size_bytes)
        trace_violation("%s/%s id %llu: not an event of append %llu, although it says so",
                        s->bucket, s->name, ULL(id), ULL(number));
    uint8_t *wanted = malloc(payload.size_bytes);
    IOR_ASSERT(wanted != NULL);
    model_event(op, *ret_i, wanted);
    if (memcmp(wanted, payload.data, payload.size_bytes) != 0)
        trace_violation("%s/%s id %llu: the bytes of append %llu, event %u, are not what was sent",
                        s->bucket, s->name, ULL(id), ULL(number), *ret_i);
    free(wanted);
    return op;
}

/* ---- ids ---- */

static void need_room(struct model_stream *s, uint64_t last_id)
{
    if (last_id <= s->room) return;
    size_t room = s->room == 0 ? 64 : s->room;
    while (room < last_id) room *= 2;
    s->op_of = realloc(s->op_of, room * sizeof *s->op_of);
    IOR_ASSERT(s->op_of != NULL);
    memset(s->op_of + s->room, 0, (room - s->room) * sizeof *s->op_of);
    s->room = room;
}

/* The append has its events from this id on: it must always have been so. */
static void place(struct model *m, struct op *op, uint64_t first_id, uint64_t time_ms)
{
    struct model_stream *s = &m->streams[op->stream];
    uint64_t last_id = first_id + op->count - 1;
    if (op->state == OP_REFUSED || op->state == OP_DEAD)
        trace_violation("%s/%s id %llu: append %llu is there, although %s", s->bucket, s->name,
                        ULL(first_id), ULL(op->number),
                        op->state == OP_DEAD ? "a recovery had dropped it" : "it was refused");
    if (op->first_id != 0 && op->first_id != first_id)
        trace_violation("%s/%s: append %llu is at id %llu and at id %llu", s->bucket, s->name,
                        ULL(op->number), ULL(op->first_id), ULL(first_id));
    if (op->first_id != 0 && op->time_ms != time_ms)
        trace_violation("%s/%s id %llu: its time was %llu and is %llu", s->bucket, s->name,
                        ULL(first_id), ULL(op->time_ms), ULL(time_ms));
    if (op->first_id != 0) return;
    if (first_id <= op->after_id)
        trace_violation("%s/%s: append %llu has id %llu, but id %llu was there before it was sent",
                        s->bucket, s->name, ULL(op->number), ULL(first_id), ULL(op->after_id));
    need_room(s, last_id);
    for (uint64_t id = first_id; id <= last_id; id++) {
        uint64_t other = s->op_of[id - 1];
        if (other != 0 && other != op->number)
            trace_violation("%s/%s id %llu: it was an event of append %llu and is one of %llu",
                            s->bucket, s->name, ULL(id), ULL(other), ULL(op->number));
        s->op_of[id - 1] = op->number;
    }
    op->first_id = first_id;
    op->time_ms = time_ms;
    if (s->shown < last_id) s->shown = last_id;
}

void model_again(struct op *op)
{
    IOR_ASSERT(op->keyed && op->state != OP_UNKNOWN);
    op->attempts++;
    if (op->state != OP_REFUSED && op->state != OP_DEAD) return;
    op->state = OP_IN_FLIGHT;
    op->maybe = false;
}

void model_acked(struct model *m, struct op *op, uint64_t first_id, uint64_t last_id,
                 uint64_t time_ms)
{
    IOR_ASSERT(op->attempts-- > 0);
    if (first_id == 0 || last_id - first_id + 1 != op->count)
        trace_violation("append %llu of %u events got the ids %llu..%llu", ULL(op->number),
                        op->count, ULL(first_id), ULL(last_id));
    place(m, op, first_id, time_ms);
    op->state = OP_ACKED;
}

void model_refused(struct model *m, struct op *op)
{
    IOR_ASSERT(op->attempts-- > 0);
    if (op->state != OP_IN_FLIGHT || op->attempts > 0) return; /* another attempt decides */
    if (op->maybe) {
        op->state = OP_UNKNOWN;
        return;
    }
    const struct model_stream *s = &m->streams[op->stream];
    if (op->first_id != 0)
        trace_violation("%s/%s: append %llu is refused, but somebody has read it at id %llu",
                        s->bucket, s->name, ULL(op->number), ULL(op->first_id));
    op->state = OP_REFUSED;
}

void model_unknown(struct op *op)
{
    IOR_ASSERT(op->attempts-- > 0);
    op->maybe = true;
    if (op->state == OP_IN_FLIGHT && op->attempts == 0) op->state = OP_UNKNOWN;
}

void model_shows_event(struct model *m, unsigned stream, uint64_t id, uint64_t time_ms,
                       struct ior_slice payload)
{
    uint32_t i;
    struct op *op = op_of_payload(m, stream, id, payload, &i);
    if (id <= i)
        trace_violation("%s/%s id %llu: event %u of a batch", m->streams[stream].bucket,
                        m->streams[stream].name, ULL(id), i);
    place(m, op, id - i, time_ms);
}

/* More events than were ever sent and not refused cannot be there. */
static uint64_t most_possible(const struct model *m, unsigned stream)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < m->op_count; i++) {
        const struct op *op = &m->ops[i];
        if (op->stream == stream && op->state != OP_REFUSED && op->state != OP_DEAD)
            sum += op->count;
    }
    return sum;
}

void model_shows_high(struct model *m, unsigned stream, uint64_t high, uint64_t at_least)
{
    struct model_stream *s = &m->streams[stream];
    if (high < at_least)
        trace_violation("%s/%s: the last id is %llu, but id %llu was shown before", s->bucket,
                        s->name, ULL(high), ULL(at_least));
    if (high <= s->shown) return;
    if (high > most_possible(m, stream))
        trace_violation("%s/%s: the last id is %llu, but only %llu events can be there", s->bucket,
                        s->name, ULL(high), ULL(most_possible(m, stream)));
    s->shown = high;
}

void model_trims(struct model *m, unsigned stream, uint64_t to)
{
    struct model_stream *s = &m->streams[stream];
    uint64_t low = to == UINT64_MAX ? to : to + 1;
    if (low > s->low_max) s->low_max = low;
    if (to == UINT64_MAX) s->may_be_deleted = true;
}

void model_shows_low(struct model *m, unsigned stream, uint64_t low, uint64_t at_least)
{
    struct model_stream *s = &m->streams[stream];
    if (low < at_least)
        trace_violation("%s/%s: the first id is %llu, but ids below %llu were gone before",
                        s->bucket, s->name, ULL(low), ULL(at_least));
    bool evicted = s->keep != UINT64_MAX && low + s->keep <= most_possible(m, stream) + 1;
    if (low > s->low_max && !evicted)
        trace_violation("%s/%s: the first id is %llu, but nobody asked for more than %llu",
                        s->bucket, s->name, ULL(low), ULL(s->low_max));
    if (s->low < low) s->low = low;
}

/* ---- everything ---- */

void model_scan_low(struct model *m, unsigned stream, uint64_t low)
{
    model_shows_low(m, stream, low, m->streams[stream].low);
    m->streams[stream].scanned = low - 1;
}

void model_scan_begin(struct model *m)
{
    for (unsigned i = 0; i < MODEL_STREAMS; i++) {
        m->streams[i].scanned = 0;
        m->streams[i].scan_time_ms = 0;
        m->streams[i].bytes = 0;
    }
}

void model_scan_event(struct model *m, unsigned stream, uint64_t id, uint64_t time_ms,
                      struct ior_slice payload)
{
    struct model_stream *s = &m->streams[stream];
    if (id != s->scanned + 1)
        trace_violation("%s/%s: id %llu follows id %llu", s->bucket, s->name, ULL(id),
                        ULL(s->scanned));
    if (time_ms < s->scan_time_ms)
        trace_violation("%s/%s id %llu: the time goes back from %llu to %llu", s->bucket, s->name,
                        ULL(id), ULL(s->scan_time_ms), ULL(time_ms));
    model_shows_event(m, stream, id, time_ms, payload);
    s->scanned = id;
    s->scan_time_ms = time_ms;
    s->bytes += payload.size_bytes;
}

/* Whole batches only, nothing less than was shown; then every open question is settled. */
void model_scan_end(struct model *m, bool after_start)
{
    for (unsigned i = 0; i < MODEL_STREAMS; i++) {
        const struct model_stream *s = &m->streams[i];
        if (s->scanned < s->shown)
            trace_violation("%s/%s: ids up to %llu were acknowledged or shown, %llu are there",
                            s->bucket, s->name, ULL(s->shown), ULL(s->scanned));
    }
    if (!after_start) return;
    for (unsigned i = 0; i < MODEL_STREAMS; i++) m->streams[i].low_max = m->streams[i].low;
    for (size_t i = 0; i < m->op_count; i++) {
        struct op *op = &m->ops[i];
        IOR_ASSERT(op->state != OP_IN_FLIGHT);
        if (op->state != OP_UNKNOWN) continue;
        bool hidden = m->streams[op->stream].low > op->after_id + 1;
        op->state = op->first_id != 0 ? OP_FOUND : hidden ? OP_GONE : OP_DEAD;
        trace_count(COUNT_found, op->state == OP_FOUND ? 1 : 0);
    }
}

/* src/core/stream_mem.c - the events of a stream that are in memory: the tail until a
 * checkpoint has saved it, then for a while the last ones as history.
 * Happy path: push; take (the checkpoint reads the entries in peace: they neither move nor go);
 * give back: what is saved now becomes history or goes.
 * History and rows have one budget for the node (memory.history): when it is full the oldest
 * histories go, and then the streams that were not used for the longest time.
 * Failure modes: only stream_reserve_room() needs memory, before anything is proposed. */
#include <stdlib.h>

#include "base/assert.h"
#include "core/evict.h"
#include "core/stream.h"

enum { TRIM_GAP_MIN = 64, MAP_SLOTS_BYTES = 4 * sizeof(struct ior_map_slot), PRESSED_MAX = 64 };

uint64_t stream_row_cost(const struct stream *s)
{
    return sizeof *s + s->name_bytes + MAP_SLOTS_BYTES;
}

uint64_t stream_record_cost(const struct ior_blob *blob, uint64_t events)
{
    return ior_blob_cost(blob) + events * sizeof(struct tail_entry);
}

enum ior_err stream_reserve_room(struct stream *s, size_t more)
{
    size_t have = (size_t)(s->reserved + 1 - s->base);
    size_t need = (size_t)(s->reserved + 1 - s->base) + more;
    if (need <= s->entries_room) return IOR_OK;
    size_t room = s->entries_room == 0 ? 1 : s->entries_room;
    while (room < need) room *= 2;
    bool lent = s->taken && s->lent == s->entries;
    struct tail_entry *entries =
        lent ? malloc(room * sizeof *entries) : realloc(s->entries, room * sizeof *entries);
    if (entries == NULL) return IOR_E_NOMEM;
    if (lent && have > 0) memcpy(entries, s->entries, have * sizeof *entries);
    s->entries = entries;
    s->entries_room = room;
    return IOR_OK;
}

void stream_note_reserved(struct stream *s, uint64_t id, struct ior_blob *blob,
                          const struct item *it, uint64_t time_ms)
{
    size_t at = (size_t)(id - s->base);
    IOR_ASSERT(id > s->high && at < s->entries_room);
    s->entries[at] = (struct tail_entry){.blob = blob,
                                         .offset_bytes = (uint32_t)it->offset_bytes,
                                         .payload_bytes = (uint32_t)it->payload.size_bytes,
                                         .time_ms = time_ms};
}

const struct tail_entry *stream_newest(const struct stream *s)
{
    if (s->reserved < s->reserved_low || s->reserved < s->first) return NULL;
    return &s->entries[s->reserved - s->base];
}

void stream_set_head(struct stream_table *t, struct stream *s, struct head *take)
{
    if (s->head != NULL) atomic_fetch_sub(&t->memory->history_bytes, sizeof *s->head);
    free(s->head);
    s->head = take;
    if (take != NULL) atomic_fetch_add(&t->memory->history_bytes, sizeof *take);
}

void stream_push(struct stream *s, struct ior_blob *blob, const struct item *it, uint64_t time_ms,
                 uint64_t index)
{
    IOR_ASSERT(it->seqnum == s->high + 1);
    size_t at = (size_t)(s->high + 1 - s->base);
    IOR_ASSERT(at < s->entries_room);
    IOR_ASSERT(it->offset_bytes <= UINT32_MAX);
    s->entries[at] = (struct tail_entry){
        .blob = ior_blob_ref(blob),
        .offset_bytes = (uint32_t)it->offset_bytes,
        .payload_bytes = (uint32_t)it->payload.size_bytes,
        .time_ms = time_ms,
        .index = index,
    };
    s->high = it->seqnum;
    if (s->reserved < s->high) s->reserved = s->high;
    s->time_ms = time_ms;
    if (s->reserved_time_ms < time_ms) s->reserved_time_ms = time_ms;
    s->bytes += it->payload.size_bytes;
}

const struct tail_entry *stream_entry(const struct stream *s, uint64_t id)
{
    IOR_ASSERT(id >= s->first && id >= s->base && id <= s->high);
    return &s->entries[id - s->base];
}

uint64_t stream_sum_bytes(const struct stream *s, uint64_t from, uint64_t to)
{
    uint64_t sum = 0;
    for (uint64_t id = from; id <= to; id++) sum += stream_entry(s, id)->payload_bytes;
    return sum;
}

/* The blob of a record is counted with the last of its events. */
static uint64_t cost_of(const struct stream *s, uint64_t id)
{
    const struct tail_entry *e = &s->entries[id - s->base];
    bool last_of_record = id == s->high || e[1].blob != e->blob;
    return sizeof *e + (last_of_record ? ior_blob_cost(e->blob) : 0);
}

/* Move what is kept to the front when most of the array is gone. */
static void close_gap(struct stream *s)
{
    uint64_t gone = s->first - s->base;
    uint64_t kept = s->high + 1 - s->first;
    if (s->reserved == s->high && kept == 0) {
        free(s->entries);
        s->entries = NULL;
        s->entries_room = 0;
        s->base = s->first;
        return;
    }
    if (gone < TRIM_GAP_MIN || gone < kept) return;
    size_t moved = (size_t)(s->reserved + 1 - s->first);
    memmove(s->entries, s->entries + gone, moved * sizeof *s->entries);
    s->base = s->first;
    size_t room = (size_t)(s->reserved + 1 - s->base);
    if (room < TRIM_GAP_MIN) room = TRIM_GAP_MIN;
    if (room > s->entries_room / 2) return;
    struct tail_entry *entries = realloc(s->entries, room * sizeof *entries);
    if (entries == NULL) return; /* it stays larger than it must be */
    s->entries = entries;
    s->entries_room = room;
}

/* Entries below `first` go, unless the checkpoint looks at them. */
static void release_below(struct stream_table *t, struct stream *s, uint64_t first)
{
    if (s->taken) return;
    IOR_ASSERT(first <= s->high + 1);
    uint64_t tail_bytes = 0;
    uint64_t history_bytes = 0;
    for (; s->first < first; s->first++) {
        *(s->first <= s->saved ? &history_bytes : &tail_bytes) += cost_of(s, s->first);
        ior_blob_unref(s->entries[s->first - s->base].blob);
    }
    atomic_fetch_sub(&t->memory->tail_bytes, tail_bytes);
    atomic_fetch_sub(&t->memory->history_bytes, history_bytes);
    if (s->first > s->saved) ior_ring_remove(&s->history);
    close_gap(s);
}

void stream_drop_events(struct stream_table *t, struct stream *s)
{
    release_below(t, s, s->high + 1);
    free(s->entries);
    s->entries = NULL;
}

void stream_trim(struct stream_table *t, struct stream *s, uint64_t low, uint64_t bytes)
{
    IOR_ASSERT(low >= s->low && low <= s->high + 1);
    IOR_ASSERT(bytes <= s->bytes);
    s->low = low;
    s->bytes -= bytes;
    atomic_fetch_add(&t->memory->dropped_bytes, bytes);
    if (s->reserved_low < low) s->reserved_low = low;
    if (s->first < low) release_below(t, s, low);
}

void stream_changed(struct stream_table *t, struct stream *s, uint64_t index)
{
    IOR_ASSERT(index >= s->last_index);
    s->last_index = index;
    if (s->dirty.next == NULL) ior_ring_add_last(&t->dirty, &s->dirty);
}

void stream_used(struct stream_table *t, struct stream *s, uint64_t now_us)
{
    s->used_us = now_us;
    if (!s->committed) return;
    ior_ring_remove(&s->used);
    ior_ring_add_last(&t->used, &s->used);
}

/* ---- the checkpoint ---- */

void stream_take(struct stream *s)
{
    IOR_ASSERT(s->committed && !s->taken);
    ior_ring_remove(&s->dirty);
    s->taken = true;
    s->lent = s->entries;
}

/* The first id that stays in memory of what is saved. */
static uint64_t history_from(const struct stream_memory *m, const struct stream *s)
{
    uint64_t id = s->high + 1;
    uint64_t bytes = 0;
    uint64_t least = stream_first_in_memory(s);
    while (id > least && s->high + 1 - id < m->history_items_max) {
        bytes += cost_of(s, id - 1);
        if (bytes > m->history_stream_bytes_max && id - 1 <= s->saved) break;
        id--;
    }
    return id > s->saved + 1 ? s->saved + 1 : id;
}

static bool may_leave(const struct stream *s)
{
    return !s->taken && s->pins == 0 && s->heading == NULL && s->dirty.next == NULL &&
           s->keys == NULL && s->reserved == s->high && s->reserved_low == s->low &&
           s->reserved_deleted == s->deleted && s->saved == s->high;
}

static bool pressed(const struct stream_memory *m)
{
    return atomic_load(&m->history_bytes) > m->history_bytes_max;
}

static struct stream *stream_of_used(struct ior_ring *r)
{
    return IOR_CONTAINER(r, struct stream, used);
}

void stream_table_relieve(struct stream_table *t)
{
    for (unsigned i = 0; i < PRESSED_MAX && pressed(t->memory); i++) {
        if (ior_ring_empty(&t->history)) break;
        struct stream *s = IOR_CONTAINER(t->history.next, struct stream, history);
        ior_ring_remove(&s->history);
        release_below(t, s, s->saved + 1);
    }
    for (unsigned i = 0; i < PRESSED_MAX && pressed(t->memory); i++) {
        if (ior_ring_empty(&t->used)) break;
        struct stream *s = stream_of_used(t->used.next);
        if (may_leave(s)) {
            stream_leave(t, s);
        } else {
            stream_used(t, s, s->used_us); /* to the other end */
        }
    }
}

/* Pressure may have taken it out while the events could not go. */
static void into_history(struct stream_table *t, struct stream *s)
{
    if (s->first <= s->saved && s->history.next == NULL)
        ior_ring_add_last(&t->history, &s->history);
}

void stream_give_back(struct stream_table *t, struct stream *s, uint64_t saved_to)
{
    IOR_ASSERT(s->taken);
    s->taken = false;
    if (s->lent != s->entries) free(s->lent);
    s->lent = NULL;
    if (saved_to == UINT64_MAX) {
        if (s->dirty.next == NULL) ior_ring_add_last(&t->dirty, &s->dirty);
        release_below(t, s, stream_first_in_memory(s));
        into_history(t, s);
        return;
    }
    IOR_ASSERT(saved_to >= s->saved && saved_to <= s->high);
    uint64_t bytes = 0;
    for (uint64_t id = s->saved + 1 > s->first ? s->saved + 1 : s->first; id <= saved_to; id++)
        bytes += cost_of(s, id);
    atomic_fetch_sub(&t->memory->tail_bytes, bytes);
    atomic_fetch_add(&t->memory->history_bytes, bytes);
    s->saved = saved_to;
    uint64_t from = history_from(t->memory, s);
    release_below(t, s, from > s->low ? from : s->low);
    into_history(t, s);
    stream_table_relieve(t);
}

void stream_table_sweep(struct stream_table *t, uint64_t before_us, size_t max)
{
    for (; max > 0 && !ior_ring_empty(&t->used); max--) {
        struct stream *s = stream_of_used(t->used.next);
        if (s->used_us >= before_us) break;
        if (may_leave(s)) {
            stream_leave(t, s);
        } else {
            stream_used(t, s, s->used_us);
        }
    }
}

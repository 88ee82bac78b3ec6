/* src/core/take.c - see take.h. */
#include "core/take.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

void take_begin(struct take *t, struct vnode *vn)
{
    IOR_ASSERT(t->count == 0);
    t->vn = vn;
    t->err = IOR_OK;
    t->applied_index = vn->group.applied_index;
    t->term = vn->group.term;
    ior_ring_move(&vn->streams.taking, &vn->streams.dirty);
}

/* Keys of committed records that the catalog does not have yet. */
static const struct dedupe_entry *first_new_key(const struct stream *s, size_t *ret_count,
                                                size_t *ret_bytes)
{
    const struct dedupe_entry *first = NULL;
    *ret_count = *ret_bytes = 0;
    if (s->keys == NULL) return NULL;
    for (const struct dedupe_entry *e = s->keys->youngest; e != NULL; e = e->older) {
        if (e->last_id <= s->keys_saved) break;
        if (e->last_id > s->high) continue;
        first = e;
        ++*ret_count;
        *ret_bytes += e->key_bytes;
    }
    return first;
}

static enum ior_err copy_keys(struct taken *item)
{
    size_t count = 0;
    size_t bytes = 0;
    const struct dedupe_entry *e = first_new_key(item->stream, &count, &bytes);
    if (count == 0) return IOR_OK;
    item->keys = malloc(count * sizeof *item->keys + bytes);
    if (item->keys == NULL) return IOR_E_NOMEM;
    uint8_t *at = (uint8_t *)(item->keys + count);
    for (; item->key_count < count; e = e->younger) {
        memcpy(at, e->key, e->key_bytes);
        item->keys[item->key_count++] = (struct key_row){.key = ior_slice(at, e->key_bytes),
                                                         .body_hash = e->body_hash,
                                                         .first_id = e->first_id,
                                                         .last_id = e->last_id,
                                                         .time_ms = e->time_ms};
        at += e->key_bytes;
    }
    return IOR_OK;
}

static void note(struct taken *item, const struct vnode *vn, struct stream *s)
{
    uint64_t from = s->saved + 1 > s->low ? s->saved + 1 : s->low;
    *item = (struct taken){
        .stream = s,
        .row =
            {
                .partition = vn->partition,
                .uid = s->uid,
                .name = stream_name(s),
                .deleted = s->deleted,
                .low = s->low,
                .high = s->high,
                .bytes = s->bytes,
                .time_ms = s->time_ms,
                .last_index = s->last_index,
            },
        .first_seqnum = from,
        .count = (size_t)(s->high + 1 - from),
    };
    if (item->count > 0) item->entries = stream_entry(s, from);
}

static enum ior_err make_room(struct take *t)
{
    if (t->count < t->room) return IOR_OK;
    size_t room = t->room == 0 ? 64 : t->room * 2;
    struct taken *items = realloc(t->items, room * sizeof *items);
    if (items == NULL) return IOR_E_NOMEM;
    t->items = items;
    t->room = room;
    return IOR_OK;
}

bool take_some(struct take *t)
{
    struct ior_ring *taking = &t->vn->streams.taking;
    size_t keys = 0;
    for (size_t n = 0; n < TAKE_VISIT_STREAMS && keys < TAKE_VISIT_KEYS; n++) {
        if (ior_ring_empty(taking)) return false;
        struct stream *s = IOR_CONTAINER(taking->next, struct stream, dirty);
        t->err = make_room(t);
        if (t->err != IOR_OK) return false;
        struct taken *item = &t->items[t->count];
        note(item, t->vn, s);
        t->err = copy_keys(item);
        if (t->err != IOR_OK) return false;
        keys += item->key_count;
        stream_take(s);
        t->count++;
    }
    return !ior_ring_empty(taking);
}

static int by_uid(const void *a, const void *b)
{
    const struct taken *x = a;
    const struct taken *y = b;
    return x->row.uid < y->row.uid ? -1 : x->row.uid > y->row.uid;
}

void take_sort(struct take *t)
{
    if (t->count > 1) qsort(t->items, t->count, sizeof *t->items, by_uid);
}

bool take_give_back(struct take *t, bool saved)
{
    struct stream_table *table = &t->vn->streams;
    ior_ring_move(&table->dirty, &table->taking); /* nothing is there, unless it was cut short */
    if (saved && t->count > 0) t->vn->has_rows = true; /* from here on they may leave memory */
    for (size_t n = 0; n < TAKE_VISIT_STREAMS && t->count > 0; n++) {
        struct taken *item = &t->items[--t->count];
        if (saved && item->key_count > 0)
            item->stream->keys_saved = item->keys[item->key_count - 1].last_id;
        free(item->keys);
        stream_give_back(table, item->stream, saved ? item->row.high : UINT64_MAX);
    }
    if (t->count > 0) return true;
    if (!saved) atomic_store(&t->vn->changed, true);
    free(t->items);
    t->items = NULL;
    t->room = 0;
    return false;
}

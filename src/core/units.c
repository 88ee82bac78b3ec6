/* src/core/units.c - see units.h. */
#include "core/units.h"

#include <stdlib.h>

#include "base/assert.h"

void units_init(struct units *u)
{
    *u = (struct units){0};
}

void units_done(struct units *u)
{
    free(u->items);
    *u = (struct units){0};
}

/* Older first; the rest only so that the order is one. */
static int cmp_age(const void *a, const void *b)
{
    const struct unit *x = a;
    const struct unit *y = b;
    if (x->time_ms != y->time_ms) return x->time_ms < y->time_ms ? -1 : 1;
    if (x->partition != y->partition) return x->partition < y->partition ? -1 : 1;
    if (x->uid != y->uid) return x->uid < y->uid ? -1 : 1;
    return x->last < y->last ? -1 : x->last > y->last;
}

static int cmp_stream(const void *a, const void *b)
{
    const struct unit *x = a;
    const struct unit *y = b;
    if (x->partition != y->partition) return x->partition < y->partition ? -1 : 1;
    if (x->uid != y->uid) return x->uid < y->uid ? -1 : 1;
    return x->last < y->last ? -1 : x->last > y->last;
}

static void swap(struct unit *a, struct unit *b)
{
    struct unit t = *a;
    *a = *b;
    *b = t;
}

static void rise(struct units *u, size_t i)
{
    while (i > 0 && cmp_age(&u->items[(i - 1) / 2], &u->items[i]) < 0) {
        swap(&u->items[(i - 1) / 2], &u->items[i]);
        i = (i - 1) / 2;
    }
}

static void sink(struct units *u)
{
    size_t i = 0;
    for (;;) {
        size_t top = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < u->count; child++) {
            if (cmp_age(&u->items[top], &u->items[child]) < 0) top = child;
        }
        if (top == i) return;
        swap(&u->items[top], &u->items[i]);
        i = top;
    }
}

/* False: it is younger than all that are kept. */
static bool add(struct units *u, const struct unit *x)
{
    if (u->count < UNITS_MAX) {
        u->items[u->count] = *x;
        rise(u, u->count++);
        return true;
    }
    u->truncated = true;
    if (cmp_age(x, &u->items[0]) >= 0) return false;
    u->items[0] = *x;
    sink(u);
    return true;
}

/* What is left of so many bytes of the ids first..last from low on. */
static uint64_t share(uint64_t bytes, uint64_t first, uint64_t last, uint64_t low)
{
    if (low <= first) return bytes;
    double part = (double)(last + 1 - low) / (double)(last + 1 - first);
    return (uint64_t)((double)bytes * part);
}

enum ior_err units_of_stream(struct units *u, struct kv_reader *r, const struct stream_row *row,
                             uint64_t low, bool counted)
{
    if (u->items == NULL) u->items = malloc(UNITS_MAX * sizeof *u->items);
    if (u->items == NULL) return IOR_E_NOMEM;
    if (low < row->low) low = row->low;
    if (low > row->high) return IOR_OK;
    struct unit x = {.uid = row->uid, .partition = row->partition, .counted = counted};
    bool any = false;
    for (uint64_t at = low; at <= row->high; at = x.last + 1) {
        struct chunk_row c;
        enum ior_err err = catalog_seek_chunk(r, row->partition, row->uid, at, &c);
        if (err == IOR_E_NOTFOUND) break;
        if (err != IOR_OK) return err;
        any = true;
        if (c.state.last_seqnum < at) return IOR_E_CORRUPT;
        x.time_ms = c.state.last_time_ms;
        x.first = at > c.first_seqnum ? at : c.first_seqnum;
        x.last = c.state.last_seqnum;
        x.bytes = share(c.state.payload_bytes, c.first_seqnum, x.last, x.first);
        if (!add(u, &x)) return IOR_OK; /* those behind it are younger still */
    }
    if (any) return IOR_OK;
    x.time_ms = row->time_ms;
    x.first = low;
    x.last = row->high;
    x.bytes = share(row->bytes, row->low, row->high, low);
    (void)add(u, &x);
    return IOR_OK;
}

void units_pick(struct units *u, uint64_t excess_bytes)
{
    uint64_t bytes = 0;
    size_t n = 0;
    if (u->count > 1) qsort(u->items, u->count, sizeof *u->items, cmp_age);
    while (n < u->count && bytes < excess_bytes) bytes += u->items[n++].bytes;
    u->count = n;
}

void units_join(struct units *u)
{
    size_t out = 0;
    if (u->count > 1) qsort(u->items, u->count, sizeof *u->items, cmp_stream);
    for (size_t i = 0; i < u->count; i++) {
        struct unit *last = out == 0 ? NULL : &u->items[out - 1];
        if (last == NULL || last->uid != u->items[i].uid ||
            last->partition != u->items[i].partition) {
            u->items[out++] = u->items[i];
            continue;
        }
        last->last = u->items[i].last;
        last->time_ms = u->items[i].time_ms;
        last->bytes += u->items[i].bytes;
        last->counted = last->counted || u->items[i].counted;
    }
    u->count = out;
}

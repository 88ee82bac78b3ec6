/* src/base/ring.h - intrusive doubly linked list with a sentinel: O(1) add and remove
 * anywhere, no allocation. A link that is in no list points to itself or is all zeros. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"

struct ior_ring {
    struct ior_ring *next;
    struct ior_ring *prev;
};

static inline void ior_ring_init(struct ior_ring *r)
{
    r->next = r->prev = r;
}

static inline bool ior_ring_empty(const struct ior_ring *r)
{
    return r->next == r || r->next == NULL;
}

/* item is in no list. */
static inline void ior_ring_add_last(struct ior_ring *ring, struct ior_ring *item)
{
    item->prev = ring->prev;
    item->next = ring;
    ring->prev->next = item;
    ring->prev = item;
}

/* Nothing happens when item is in no list. */
static inline void ior_ring_remove(struct ior_ring *item)
{
    if (item->next == NULL) return;
    item->prev->next = item->next;
    item->next->prev = item->prev;
    item->next = item->prev = NULL;
}

/* Everything of `from` goes behind what `to` holds. */
static inline void ior_ring_move(struct ior_ring *to, struct ior_ring *from)
{
    if (ior_ring_empty(from)) return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    ior_ring_init(from);
}

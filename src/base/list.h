/* src/base/list.h - intrusive singly linked FIFO queue: O(1) push and pop, no allocation. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/assert.h"

struct ior_link {
    struct ior_link *next;
};

struct ior_queue {
    struct ior_link *head;
    struct ior_link *tail;
    size_t count;
};

static inline bool ior_queue_empty(const struct ior_queue *q)
{
    return q->head == NULL;
}

static inline void ior_queue_push(struct ior_queue *q, struct ior_link *l)
{
    l->next = NULL;
    if (q->tail != NULL) {
        q->tail->next = l;
    } else {
        q->head = l;
    }
    q->tail = l;
    q->count++;
}

static inline struct ior_link *ior_queue_pop(struct ior_queue *q)
{
    struct ior_link *l = q->head;
    if (l == NULL) return NULL;
    q->head = l->next;
    if (q->head == NULL) q->tail = NULL;
    q->count--;
    l->next = NULL;
    return l;
}

/* Move everything of `from` behind what `to` holds. */
static inline void ior_queue_move(struct ior_queue *to, struct ior_queue *from)
{
    if (from->head == NULL) return;
    if (to->tail != NULL) {
        to->tail->next = from->head;
    } else {
        to->head = from->head;
    }
    to->tail = from->tail;
    to->count += from->count;
    *from = (struct ior_queue){0};
}

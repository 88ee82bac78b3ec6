/* src/base/arena.h - many small pieces of memory that go together: nothing is freed alone.
 * It has a budget, so that work on bytes of strangers takes a bounded amount. One owner at a
 * time. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct ior_arena_block;

struct ior_arena {
    struct ior_arena_block *blocks; /* the newest first */
    size_t left_bytes;              /* of the newest */
    size_t budget_bytes;            /* that may still be taken from malloc() */
    bool over_budget;               /* an ior_arena_alloc() failed for that */
};

void ior_arena_init(struct ior_arena *a, size_t budget_bytes);
void ior_arena_done(struct ior_arena *a);
/* Aligned for everything, undefined bytes. NULL: no memory, or (over_budget) the budget is used
 * up. */
void *ior_arena_alloc(struct ior_arena *a, size_t size_bytes);

/* src/base/arena.c - see arena.h. Blocks double up to BLOCK_BYTES_MAX; a larger piece gets one
 * of its own size. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/bytes.h"

enum { BLOCK_BYTES_MIN = 1 << 10, BLOCK_BYTES_MAX = 256 << 10, ALIGN = alignof(max_align_t) };

struct ior_arena_block {
    struct ior_arena_block *older;
    size_t size_bytes; /* behind this head */
    alignas(max_align_t) uint8_t bytes[];
};

void ior_arena_init(struct ior_arena *a, size_t budget_bytes)
{
    *a = (struct ior_arena){.budget_bytes = budget_bytes};
}

void ior_arena_done(struct ior_arena *a)
{
    while (a->blocks != NULL) {
        struct ior_arena_block *b = a->blocks;
        a->blocks = b->older;
        free(b);
    }
    *a = (struct ior_arena){0};
}

static bool add_block(struct ior_arena *a, size_t need_bytes)
{
    size_t size = a->blocks == NULL ? BLOCK_BYTES_MIN : a->blocks->size_bytes * 2;
    if (size > BLOCK_BYTES_MAX) size = BLOCK_BYTES_MAX;
    if (size > a->budget_bytes) size = a->budget_bytes - a->budget_bytes % ALIGN;
    if (size < need_bytes) size = need_bytes;
    if (size > a->budget_bytes) {
        a->over_budget = true;
        return false;
    }
    struct ior_arena_block *b = malloc(sizeof *b + size);
    if (b == NULL) return false;
    b->older = a->blocks;
    b->size_bytes = size;
    a->blocks = b;
    a->left_bytes = size;
    a->budget_bytes -= size;
    return true;
}

void *ior_arena_alloc(struct ior_arena *a, size_t size_bytes)
{
    if (size_bytes > SIZE_MAX / 2) {
        a->over_budget = true;
        return NULL;
    }
    size_t need = ior_align(size_bytes == 0 ? 1 : size_bytes, ALIGN);
    if (need > a->left_bytes && !add_block(a, need)) return NULL;
    a->left_bytes -= need;
    return a->blocks->bytes + a->left_bytes; /* from the end, so that one number is enough */
}

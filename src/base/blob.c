/* src/base/blob.c - see blob.h. */
#include "base/blob.h"

#include <stdlib.h>

#include "base/assert.h"

enum { BLOB_MAGIC = 0x626c6f62 };

struct ior_blob *ior_blob_new(size_t size_bytes)
{
    if (size_bytes > SIZE_MAX - sizeof(struct ior_blob)) return NULL;
    struct ior_blob *b = malloc(sizeof *b + size_bytes);
    if (b == NULL) return NULL;
    b->magic = BLOB_MAGIC;
    atomic_init(&b->refs, 1);
    b->size_bytes = size_bytes;
    return b;
}

struct ior_blob *ior_blob_ref(struct ior_blob *b)
{
    IOR_CHECK_MAGIC(b, BLOB_MAGIC);
    uint32_t before = atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    IOR_ASSERT(before > 0 && before < UINT32_MAX);
    return b;
}

void ior_blob_unref(struct ior_blob *b)
{
    if (b == NULL) return;
    IOR_CHECK_MAGIC(b, BLOB_MAGIC);
    uint32_t before = atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel);
    IOR_ASSERT(before > 0);
    if (before > 1) return;
    b->magic = 0;
    free(b);
}

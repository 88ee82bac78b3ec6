/* src/base/blob.h - immutable bytes with an atomic reference count.
 * A payload becomes a blob once per node; journal, tail and readers share it.
 * The maker may write into it until it is first given to another thread. */
#pragma once

#include <stdatomic.h>

#include "base/err.h"
#include "base/slice.h"

struct ior_blob {
    uint32_t magic;
    _Atomic uint32_t refs;
    size_t size_bytes;
    uint8_t data[];
};

/* A new blob with one reference and undefined bytes; NULL: no memory. */
struct ior_blob *ior_blob_new(size_t size_bytes);
struct ior_blob *ior_blob_ref(struct ior_blob *b);
void ior_blob_unref(struct ior_blob *b); /* NULL is fine */
/* What one blob costs, bookkeeping included. */
static inline size_t ior_blob_cost(const struct ior_blob *b)
{
    return sizeof *b + b->size_bytes + 16;
}

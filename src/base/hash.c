/* src/base/hash.c - see hash.h. */
#include "base/hash.h"

#define XXH_INLINE_ALL
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wcast-align"
#pragma GCC diagnostic ignored "-Wcast-qual"
#include <xxhash.h>
#pragma GCC diagnostic pop

#include "base/assert.h"
#include "base/limits.h"

uint64_t ior_hash(struct ior_slice s)
{
    return XXH3_64bits(s.data == NULL ? (const void *)"" : s.data, s.size_bytes);
}

uint64_t ior_hash_pair(struct ior_slice a, struct ior_slice b)
{
    uint8_t joined[BUCKET_BYTES_MAX + 1 + STREAM_BYTES_MAX];
    IOR_ASSERT(a.size_bytes <= BUCKET_BYTES_MAX);
    IOR_ASSERT(b.size_bytes <= STREAM_BYTES_MAX);
    if (a.size_bytes > 0) memcpy(joined, a.data, a.size_bytes);
    joined[a.size_bytes] = 0;
    if (b.size_bytes > 0) memcpy(joined + a.size_bytes + 1, b.data, b.size_bytes);
    return XXH3_64bits(joined, a.size_bytes + 1 + b.size_bytes);
}

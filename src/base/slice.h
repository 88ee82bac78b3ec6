/* src/base/slice.h - borrowed bytes. A slice ends when the callee returns. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct ior_slice {
    const uint8_t *data;
    size_t size_bytes;
};

#define IOR_SLICE(literal) ((struct ior_slice){(const uint8_t *)(literal), sizeof(literal) - 1})

static inline struct ior_slice ior_slice(const void *data, size_t size_bytes)
{
    return (struct ior_slice){data, size_bytes};
}

static inline struct ior_slice ior_slice_str(const char *s)
{
    return (struct ior_slice){(const uint8_t *)s, strlen(s)};
}

static inline bool ior_slice_eq(struct ior_slice a, struct ior_slice b)
{
    return a.size_bytes == b.size_bytes &&
           (a.size_bytes == 0 || memcmp(a.data, b.data, a.size_bytes) == 0);
}

/* Bytewise order, shorter first on a common prefix: the order of every listing. */
static inline int ior_slice_cmp(struct ior_slice a, struct ior_slice b)
{
    size_t n = a.size_bytes < b.size_bytes ? a.size_bytes : b.size_bytes;
    int c = n == 0 ? 0 : memcmp(a.data, b.data, n);
    if (c != 0) return c;
    return a.size_bytes < b.size_bytes ? -1 : a.size_bytes > b.size_bytes;
}

static inline bool ior_slice_starts(struct ior_slice s, struct ior_slice prefix)
{
    return s.size_bytes >= prefix.size_bytes &&
           (prefix.size_bytes == 0 || memcmp(s.data, prefix.data, prefix.size_bytes) == 0);
}

static inline bool ior_slice_ends(struct ior_slice s, struct ior_slice suffix)
{
    return s.size_bytes >= suffix.size_bytes &&
           (suffix.size_bytes == 0 ||
            memcmp(s.data + s.size_bytes - suffix.size_bytes, suffix.data, suffix.size_bytes) == 0);
}

/* src/base/bytes.h - integers in memory, little-endian, at any alignment. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the stored formats are little-endian; a big-endian host needs byte swaps here"
#endif

static inline uint16_t ior_get_u16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint32_t ior_get_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint64_t ior_get_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline void ior_put_u16(uint8_t *p, uint16_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline void ior_put_u32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline void ior_put_u64(uint8_t *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline size_t ior_align(size_t n, size_t to) /* `to` is a power of two */
{
    return (n + to - 1) & ~(to - 1);
}

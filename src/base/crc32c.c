/* src/base/crc32c.c - SSE 4.2 where the processor has it, else a table.
 * The hardware version runs three streams side by side over long input (the
 * instruction has a latency of three cycles) and joins them by a table of
 * "shift by BLOCK zero bytes". */
#include "base/crc32c.h"

#include <stdbool.h>
#include <string.h>

enum { POLY = (int)0x82f63b78u, BLOCK = 1024 };

static uint32_t byte_table[256];
static uint32_t shift_table[4][256]; /* crc advanced over BLOCK zero bytes */
static bool have_hw;

static uint32_t advance_zeros(uint32_t crc, size_t n)
{
    for (size_t i = 0; i < n; i++) crc = byte_table[crc & 0xff] ^ (crc >> 8);
    return crc;
}

__attribute__((constructor)) static void init_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = (c & 1) != 0 ? (c >> 1) ^ (uint32_t)POLY : c >> 1;
        byte_table[i] = c;
    }
    for (uint32_t b = 0; b < 4; b++) {
        for (uint32_t i = 0; i < 256; i++) shift_table[b][i] = advance_zeros(i << (8 * b), BLOCK);
    }
#if defined(__x86_64__)
    __builtin_cpu_init();
    have_hw = __builtin_cpu_supports("sse4.2") != 0;
#endif
}

uint32_t ior_crc32c_table(uint32_t crc, const void *data, size_t size_bytes)
{
    const uint8_t *p = data;
    crc = ~crc;
    for (size_t i = 0; i < size_bytes; i++) crc = byte_table[(crc ^ p[i]) & 0xff] ^ (crc >> 8);
    return ~crc;
}

#if defined(__x86_64__)
static uint32_t shift_block(uint32_t crc)
{
    return shift_table[0][crc & 0xff] ^ shift_table[1][(crc >> 8) & 0xff] ^
           shift_table[2][(crc >> 16) & 0xff] ^ shift_table[3][crc >> 24];
}

static uint64_t load(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

__attribute__((target("sse4.2"))) static uint32_t crc_hw(uint32_t crc, const uint8_t *p, size_t n)
{
    uint64_t c = (uint32_t)~crc;
    while (n >= 3 * BLOCK) {
        uint64_t c1 = 0;
        uint64_t c2 = 0;
        for (size_t i = 0; i < BLOCK; i += 8) {
            c = __builtin_ia32_crc32di(c, load(p + i));
            c1 = __builtin_ia32_crc32di(c1, load(p + BLOCK + i));
            c2 = __builtin_ia32_crc32di(c2, load(p + 2 * BLOCK + i));
        }
        c = shift_block((uint32_t)c) ^ (uint32_t)c1;
        c = shift_block((uint32_t)c) ^ (uint32_t)c2;
        p += 3 * BLOCK;
        n -= 3 * BLOCK;
    }
    for (; n >= 8; n -= 8, p += 8) c = __builtin_ia32_crc32di(c, load(p));
    for (; n > 0; n--, p++) c = __builtin_ia32_crc32qi((uint32_t)c, *p);
    return ~(uint32_t)c;
}
#endif

uint32_t ior_crc32c(uint32_t crc, const void *data, size_t size_bytes)
{
#if defined(__x86_64__)
    if (have_hw) return crc_hw(crc, data, size_bytes);
#endif
    return ior_crc32c_table(crc, data, size_bytes);
}

/* src/base/json_scan.h - the two inner loops that the JSON checker, the JSON
 * writer and ior_utf8_ok share: one step through strict UTF-8 (Unicode 15, table
 * 3-7), and the run of bytes that stand for themselves in a JSON string.
 * Inline, because the speed of the checker is theirs. Thread: any. Neither
 * reads behind `end`. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define IOR_BYTES_OF(b) (0x0101010101010101u * (uint64_t)(b)) /* eight copies of one byte */

/* The sequence of two to four bytes that starts at p (p < end, *p >= 0x80).
 * True: *ret_size is its length. False: *ret_size (0 to 3) is how many of its
 * bytes are the start of some good sequence, so p[*ret_size] is the first byte
 * that cannot be, or the input ends there. */
static inline bool ior_utf8_step(const uint8_t *p, const uint8_t *end, size_t *ret_size)
{
    const uint8_t lead = p[0];
    size_t need = 2;
    uint8_t low = 0x80;  /* bounds of the second byte: no overlong forms, */
    uint8_t high = 0xbf; /* no surrogates, nothing above U+10FFFF */
    *ret_size = 0;
    if (lead < 0xc2 || lead > 0xf4) return false;
    if (lead >= 0xf0) {
        need = 4;
        if (lead == 0xf0) low = 0x90;
        if (lead == 0xf4) high = 0x8f;
    } else if (lead >= 0xe0) {
        need = 3;
        if (lead == 0xe0) low = 0xa0;
        if (lead == 0xed) high = 0x9f;
    }
    const size_t left = (size_t)(end - p);
    *ret_size = 1;
    if (left < 2 || p[1] < low || p[1] > high) return false;
    for (size_t i = 2; i < need; i++) {
        *ret_size = i;
        if (i >= left || (p[i] & 0xc0) != 0x80) return false;
    }
    *ret_size = need;
    return true;
}

/* The end of the run of bytes that stand for themselves in a string: no quote,
 * no backslash, no control character, nothing above ASCII. */
static inline const uint8_t *ior_json_plain_end(const uint8_t *p, const uint8_t *end)
{
    while (end - p >= 8) {
        const uint64_t w = ior_get_u64(p);
        /* The top bit of a byte becomes set when the subtraction goes below zero
         * there. The borrow can then mark bytes further up by mistake, so only
         * the lowest mark is used, which is always right. */
        const uint64_t control = w - IOR_BYTES_OF(0x20);
        const uint64_t quote = (w ^ IOR_BYTES_OF('"')) - IOR_BYTES_OF(1);
        const uint64_t escape = (w ^ IOR_BYTES_OF('\\')) - IOR_BYTES_OF(1);
        const uint64_t marks = (control | quote | escape | w) & IOR_BYTES_OF(0x80);
        if (marks != 0) return p + (__builtin_ctzll(marks) >> 3);
        p += 8;
    }
    while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\') p++;
    return p;
}

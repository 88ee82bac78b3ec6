/* src/base/buf.c - see buf.h. Grows by doubling, so adding is amortised O(1). */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

void ior_buf_init(struct ior_buf *b)
{
    *b = (struct ior_buf){0};
}

void ior_buf_init_in(struct ior_buf *b, void *memory, size_t room_bytes)
{
    *b = (struct ior_buf){.data = memory, .room_bytes = room_bytes, .borrowed = true};
}

void ior_buf_done(struct ior_buf *b)
{
    if (!b->borrowed) free(b->data);
    *b = (struct ior_buf){0};
}

void ior_buf_clear(struct ior_buf *b)
{
    b->size_bytes = 0;
    b->failed = false;
}

uint8_t *ior_buf_room(struct ior_buf *b, size_t more)
{
    if (b->failed) return NULL;
    if (more > SIZE_MAX / 2 - b->size_bytes) {
        b->failed = true;
        return NULL;
    }
    size_t need = b->size_bytes + more;
    if (need > b->room_bytes) {
        size_t room = b->room_bytes == 0 ? 256 : b->room_bytes;
        while (room < need) room *= 2;
        uint8_t *data = realloc(b->borrowed ? NULL : b->data, room);
        if (data == NULL) {
            b->failed = true;
            return NULL;
        }
        if (b->borrowed) memcpy(data, b->data, b->size_bytes);
        b->borrowed = false;
        b->data = data;
        b->room_bytes = room;
    }
    return b->data + b->size_bytes;
}

void ior_buf_grew(struct ior_buf *b, size_t n)
{
    IOR_ASSERT(n <= b->room_bytes - b->size_bytes);
    b->size_bytes += n;
}

void ior_buf_add(struct ior_buf *b, const void *data, size_t n)
{
    if (n == 0) return;
    uint8_t *at = ior_buf_room(b, n);
    if (at == NULL) return;
    memcpy(at, data, n);
    b->size_bytes += n;
}

void ior_buf_add_slice(struct ior_buf *b, struct ior_slice s)
{
    ior_buf_add(b, s.data, s.size_bytes);
}

void ior_buf_add_str(struct ior_buf *b, const char *s)
{
    ior_buf_add(b, s, strlen(s));
}

void ior_buf_add_char(struct ior_buf *b, char c)
{
    ior_buf_add(b, &c, 1);
}

size_t ior_u64_dec(uint64_t v, char *out)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930"
                                "31323334353637383940414243444546474849505152535455565758596061"
                                "62636465666768697071727374757677787980818283848586878889909192"
                                "93949596979899";
    char tmp[20];
    size_t at = sizeof tmp;
    while (v >= 100) { /* two digits a division: numbers are in every answer */
        at -= 2;
        memcpy(tmp + at, pairs + v % 100 * 2, 2);
        v /= 100;
    }
    if (v >= 10) {
        at -= 2;
        memcpy(tmp + at, pairs + v * 2, 2);
    } else {
        tmp[--at] = (char)('0' + v);
    }
    memcpy(out, tmp + at, sizeof tmp - at);
    return sizeof tmp - at;
}

void ior_buf_add_u64(struct ior_buf *b, uint64_t v)
{
    char dec[20];
    ior_buf_add(b, dec, ior_u64_dec(v, dec));
}

void ior_buf_addf(struct ior_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->failed = true;
        return;
    }
    uint8_t *at = ior_buf_room(b, (size_t)n + 1);
    if (at == NULL) return;
    va_start(ap, fmt);
    vsnprintf((char *)at, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->size_bytes += (size_t)n;
}

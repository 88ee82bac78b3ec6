/* src/base/json_write.c - writing JSON: strings with their escapes, and stored
 * texts on one line. Thread: any.
 * Happy path: runs of bytes that need no escape are found eight at a time and
 * copied as a whole. The only failure is memory, which is sticky in the buffer. */
#include "base/assert.h"
#include "base/json.h"
#include "base/json_scan.h"

static void quote_ascii(struct ior_buf *out, uint8_t b)
{
    static const char hex[] = "0123456789abcdef";
    char text[6] = {'\\', 'u', '0', '0', hex[b >> 4], hex[b & 15]};
    size_t size = 2;
    switch (b) {
    case '"':
    case '\\':
        text[1] = (char)b;
        break;
    case '\b':
        text[1] = 'b';
        break;
    case '\f':
        text[1] = 'f';
        break;
    case '\n':
        text[1] = 'n';
        break;
    case '\r':
        text[1] = 'r';
        break;
    case '\t':
        text[1] = 't';
        break;
    default:
        IOR_ASSERT(b < 0x20);
        size = 6;
    }
    ior_buf_add(out, text, size);
}

void ior_json_quote(struct ior_buf *out, struct ior_slice s)
{
    ior_buf_add_char(out, '"');
    const uint8_t *p = s.data;
    const uint8_t *end = s.size_bytes == 0 ? p : p + s.size_bytes;
    const uint8_t *run = p; /* what goes out as it is: run..p */
    while (p < end) {
        p = ior_json_plain_end(p, end);
        if (p == end) break;
        size_t size = 1;
        if (*p >= 0x80 && ior_utf8_step(p, end, &size)) {
            p += size;
            continue;
        }
        ior_buf_add(out, run, (size_t)(p - run));
        if (*p < 0x80) {
            quote_ascii(out, *p);
        } else {
            /* One mark for each longest start of a sequence, as Unicode (3.9) advises. */
            ior_buf_add(out, "\xef\xbf\xbd", 3);
            if (size == 0) size = 1;
        }
        p += size;
        run = p;
    }
    if (run < end) ior_buf_add(out, run, (size_t)(end - run));
    ior_buf_add_char(out, '"');
}

static void blank_out(uint8_t *p, size_t size_bytes, int wanted)
{
    uint8_t *end = p + size_bytes;
    while (p < end) {
        p = memchr(p, wanted, (size_t)(end - p));
        if (p == NULL) return;
        *p++ = ' ';
    }
}

/* A checked text has raw line breaks between its tokens only (in a string they
 * are control characters, which the checker refuses), so no token is touched. */
void ior_json_line(struct ior_buf *out, struct ior_slice text)
{
    if (text.size_bytes == 0) return;
    uint8_t *at = ior_buf_room(out, text.size_bytes);
    if (at == NULL) return;
    memcpy(at, text.data, text.size_bytes);
    blank_out(at, text.size_bytes, '\n');
    blank_out(at, text.size_bytes, '\r');
    ior_buf_grew(out, text.size_bytes);
}

/* src/base/utf8.c - ior_utf8_ok, declared in json.h. Thread: any.
 * Happy path: names and payloads are mostly ASCII, which is skipped 16 bytes at
 * a time; everything else goes through ior_utf8_step. Fails on the first
 * malformed or cut sequence. */
#include "base/json.h"
#include "base/json_scan.h"

static const uint8_t *skip_ascii(const uint8_t *p, const uint8_t *end)
{
    while (end - p >= 16) {
        const uint64_t both = ior_get_u64(p) | ior_get_u64(p + 8);
        if ((both & IOR_BYTES_OF(0x80)) != 0) break;
        p += 16;
    }
    while (p < end && *p < 0x80) p++;
    return p;
}

bool ior_utf8_ok(struct ior_slice s)
{
    if (s.size_bytes == 0) return true;
    const uint8_t *end = s.data + s.size_bytes;
    const uint8_t *p = skip_ascii(s.data, end);
    while (p < end) {
        size_t size = 0;
        if (!ior_utf8_step(p, end, &size)) return false;
        p += size;
        if (p < end && *p < 0x80) p = skip_ascii(p, end);
    }
    return true;
}

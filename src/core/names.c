/* src/core/names.c - what may be the name of a bucket or a stream (API.md section 1). */
#include "base/json.h"
#include "base/limits.h"
#include "core/iorio.h"

static bool has_control(struct ior_slice s)
{
    for (size_t i = 0; i < s.size_bytes; i++) {
        uint8_t c = s.data[i];
        if (c < 0x20 || c == 0x7f) return true;
        /* U+0080..U+009F are control characters too: c2 80 .. c2 9f */
        if (c == 0xc2 && i + 1 < s.size_bytes && s.data[i + 1] < 0xa0) return true;
    }
    return false;
}

static bool name_ok(struct ior_slice s, size_t max)
{
    if (s.size_bytes == 0 || s.size_bytes > max) return false;
    if (ior_slice_eq(s, IOR_SLICE(".")) || ior_slice_eq(s, IOR_SLICE(".."))) return false;
    return ior_utf8_ok(s) && !has_control(s);
}

bool iorio_bucket_name_ok(struct ior_slice name)
{
    return name_ok(name, BUCKET_BYTES_MAX);
}

bool iorio_stream_name_ok(struct ior_slice name)
{
    return name_ok(name, STREAM_BYTES_MAX);
}

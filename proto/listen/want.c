/* proto/listen/want.c - see want.h. No failure modes but "ignored". */
#include "proto/listen/want.h"

#include "core/iorio.h"
#include "proto/http/path.h"

/* Cut at ':'. More than three parts: 4. */
static size_t split(struct ior_slice s, struct ior_slice parts[3])
{
    size_t count = 0;
    size_t start = 0;
    for (size_t i = 0; i <= s.size_bytes; i++) {
        if (i < s.size_bytes && s.data[i] != ':') continue;
        if (count == 3) return 4;
        parts[count++] = ior_slice(s.data + start, i - start);
        start = i + 1;
    }
    return count;
}

/* A star that stands for itself is percent-encoded. */
static bool is_pattern(struct ior_slice raw)
{
    return raw.size_bytes > 0 && memchr(raw.data, '*', raw.size_bytes) != NULL;
}

static bool decode(struct ior_slice raw, uint8_t *out, struct ior_slice *ret)
{
    size_t n = 0;
    if (is_pattern(raw) || !path_decode(raw, false, out, &n)) return false;
    *ret = ior_slice(out, n);
    return true;
}

bool want_parse(struct ior_slice s, uint8_t *scratch, struct listen_want *ret)
{
    struct ior_slice parts[3];
    struct listen_want w = {0};
    int64_t from = 0;
    size_t count = split(s, parts);
    if (count != 2 && count != 3) return false;
    if (count == 3 && !path_int(parts[2], &from)) return false;
    if (!decode(parts[0], scratch, &w.bucket)) return false;
    if (!decode(parts[1], scratch + w.bucket.size_bytes, &w.stream)) return false;
    if (!iorio_bucket_name_ok(w.bucket) || !iorio_stream_name_ok(w.stream)) return false;
    if (count == 3) {
        w.has_id = from >= 0;
        w.has_end = from < 0;
        w.id = from >= 0 ? (uint64_t)from : 0;
        w.end = from < 0 ? 0 - (uint64_t)from : 0; /* the least one has no positive twin */
    }
    *ret = w;
    return true;
}

void want_merge(struct listen_want *into, const struct listen_want *w)
{
    if (w->has_id && (!into->has_id || w->id < into->id)) into->id = w->id;
    if (w->has_end && (!into->has_end || w->end > into->end)) into->end = w->end;
    into->has_id = into->has_id || w->has_id;
    into->has_end = into->has_end || w->has_end;
}

bool want_same_stream(const struct listen_want *a, const struct listen_want *b)
{
    return ior_slice_eq(a->stream, b->stream) && ior_slice_eq(a->bucket, b->bucket);
}

uint64_t want_first(const struct listen_want *w, uint64_t low, uint64_t high)
{
    uint64_t first = high + 1;
    if (w->has_id && w->id < first) first = w->id == 0 ? 1 : w->id;
    if (w->has_end) {
        uint64_t at = w->end > high ? 1 : high - w->end + 1;
        if (at < low) at = low;
        if (at < first) first = at;
    }
    return first;
}

/* test/fuzz/target_guard.c - any bytes as a request's head, as a body in chunks, and as frames of
 * HTTP/2. Checked: the pieces in which bytes come change nothing; a head that passes is what a
 * second, simple reading of RFC 9112 allows: lines end with CR LF, one Host, one length or chunks,
 * and its end is the first empty line; no counter of frames runs below zero. */
#include <stdlib.h>
#include <strings.h>

#include "base/assert.h"
#include "proto/http/frames.h"
#include "proto/http/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

enum { HEAD_MAX = 2000, BODY_MAX = 5000 };

/* A block of exactly that size, so that a sanitizer sees one byte too many. */
static uint8_t *copy_of(const uint8_t *data, size_t n)
{
    uint8_t *copy = malloc(n == 0 ? 1 : n);
    IOR_ASSERT(copy != NULL);
    if (n > 0) memcpy(copy, data, n);
    return copy;
}

struct outcome {
    enum guard_verdict verdict;
    enum ior_err err;
    struct guard_head head;
};

static struct outcome scan(const uint8_t *data, size_t size_bytes, size_t step)
{
    struct outcome o = {.verdict = GUARD_MORE};
    const struct guard_fault *fault = NULL;
    for (size_t n = step < size_bytes ? step : size_bytes; o.verdict == GUARD_MORE;) {
        uint8_t *copy = copy_of(data, n);
        o.verdict = guard_head(&o.head, copy, n, HEAD_MAX, &fault);
        free(copy);
        if (n == size_bytes) break;
        n = size_bytes - n < step ? size_bytes : n + step;
    }
    if (o.verdict == GUARD_BAD) o.err = fault->err;
    return o;
}

/* ---- the second reading ---- */

struct line {
    struct ior_slice name;
    struct ior_slice value;
};

static struct line split(struct ior_slice text)
{
    const uint8_t *colon = memchr(text.data, ':', text.size_bytes);
    IOR_ASSERT(colon != NULL);
    size_t n = (size_t)(colon - text.data);
    struct line l = {ior_slice(text.data, n), ior_slice(colon + 1, text.size_bytes - n - 1)};
    while (l.value.size_bytes > 0 && (l.value.data[0] == ' ' || l.value.data[0] == '\t'))
        l.value = ior_slice(l.value.data + 1, l.value.size_bytes - 1);
    return l;
}

static bool named(struct ior_slice name, const char *word)
{
    return name.size_bytes == strlen(word) &&
           strncasecmp((const char *)name.data, word, name.size_bytes) == 0;
}

static void check_lines(const uint8_t *data, const struct guard_head *h)
{
    size_t hosts = 0;
    size_t lengths = 0;
    size_t codings = 0;
    size_t lines = 0;
    size_t at = data[0] == '\r' ? 2 : 0;
    for (;;) {
        size_t end = at;
        while (data[end] != '\n') end++;
        IOR_ASSERT(end > at && data[end - 1] == '\r' && end < h->line);
        struct ior_slice text = ior_slice(data + at, end - 1 - at);
        at = end + 1;
        if (text.size_bytes == 0) break;
        IOR_ASSERT(memchr(text.data, '\r', text.size_bytes) == NULL);
        IOR_ASSERT(memchr(text.data, 0, text.size_bytes) == NULL);
        if (lines++ == 0) {
            IOR_ASSERT(ior_slice_ends(text, IOR_SLICE(" HTTP/1.1")) ||
                       ior_slice_ends(text, IOR_SLICE(" HTTP/1.0")));
            continue;
        }
        struct line l = split(text);
        for (size_t i = 0; i < l.name.size_bytes; i++)
            IOR_ASSERT(l.name.data[i] > ' ' && l.name.data[i] < 0x7f);
        if (named(l.name, "host")) hosts++;
        if (named(l.name, "content-length")) lengths++;
        if (named(l.name, "transfer-encoding")) codings++;
        if (named(l.name, "transfer-encoding")) IOR_ASSERT(named(l.value, "chunked"));
        for (size_t i = 0; named(l.name, "content-length") && i < l.value.size_bytes; i++)
            IOR_ASSERT(l.value.data[i] >= '0' && l.value.data[i] <= '9');
    }
    IOR_ASSERT(at == h->line && at <= HEAD_MAX);
    IOR_ASSERT(hosts == 1 || (hosts == 0 && h->http10));
    IOR_ASSERT(lengths + codings <= 1 && (codings == 0 || !h->http10));
    IOR_ASSERT((h->body == GUARD_LENGTH) == (lengths == 1));
    IOR_ASSERT((h->body == GUARD_CHUNKED) == (codings == 1));
}

static void check_head(const uint8_t *data, size_t size_bytes)
{
    struct outcome whole = scan(data, size_bytes, size_bytes);
    size_t step = size_bytes == 0 ? 1 : 1 + data[0] % 7;
    struct outcome pieces = scan(data, size_bytes, step);
    IOR_ASSERT(whole.verdict == pieces.verdict && whole.err == pieces.err);
    if (whole.verdict != GUARD_OK) return;
    IOR_ASSERT(whole.head.line == pieces.head.line && whole.head.length == pieces.head.length);
    check_lines(data, &whole.head);
}

/* ---- chunks and frames ---- */

static void check_chunks(const uint8_t *data, size_t size_bytes)
{
    const struct guard_fault *fault = NULL;
    struct guard_chunks whole = {0};
    struct guard_chunks pieces = {0};
    size_t used = 0;
    size_t all = 0;
    enum guard_verdict v = guard_chunks(&whole, data, size_bytes, BODY_MAX, &used, &fault);
    enum guard_verdict w = GUARD_MORE;
    for (size_t at = 0; at < size_bytes && w == GUARD_MORE; at++) {
        size_t one = 0;
        uint8_t *copy = copy_of(data + at, 1);
        w = guard_chunks(&pieces, copy, 1, BODY_MAX, &one, &fault);
        all += w == GUARD_BAD ? 0 : one;
        free(copy);
    }
    IOR_ASSERT(v == w && whole.announced == pieces.announced);
    IOR_ASSERT(whole.announced <= BODY_MAX);
    if (v != GUARD_BAD) IOR_ASSERT(used == all && used <= size_bytes);
    if (v == GUARD_OK) IOR_ASSERT(used >= 5 && memcmp(data + used - 2, "\r\n", 2) == 0);
}

static void check_frames(const uint8_t *data, size_t size_bytes)
{
    struct frames whole;
    struct frames pieces;
    frames_init(&whole);
    frames_init(&pieces);
    bool v = frames_take(&whole, data, size_bytes, BODY_MAX);
    bool w = true;
    for (size_t at = 0; at < size_bytes && w; at++)
        w = frames_take(&pieces, data + at, 1, BODY_MAX);
    uint64_t sum = 0;
    for (unsigned i = 0; i < whole.stream_count; i++) sum += whole.streams[i].body_bytes;
    IOR_ASSERT(v == w && sum == whole.body_bytes && whole.stream_count <= FRAMES_STREAMS_MAX);
    IOR_ASSERT(pieces.body_bytes == whole.body_bytes && pieces.idle_frames == whole.idle_frames);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    check_head(data, size_bytes);
    check_chunks(data, size_bytes);
    check_frames(data, size_bytes);
    return 0;
}

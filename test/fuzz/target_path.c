/* test/fuzz/target_path.c - any bytes as a target and as the headers that steer a handler.
 * Checked: segments and parameters lie where they may; what is decoded is no longer than
 * what came and comes back from encoding; a number is what strtoll says; the readers
 * of headers give one of their answers. */
#include <stdlib.h>

#include "base/assert.h"
#include "proto/http/negotiate.h"
#include "proto/http/path.h"
#include "proto/http/router.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static uint8_t *block(size_t n)
{
    uint8_t *b = malloc(n == 0 ? 1 : n);
    IOR_ASSERT(b != NULL);
    return b;
}

static bool inside(struct ior_slice part, const uint8_t *whole, size_t size_bytes)
{
    return part.data >= whole && part.data + part.size_bytes <= whole + size_bytes;
}

static void check_segments(struct ior_slice path)
{
    struct ior_slice segments[PATH_SEGMENTS_MAX];
    struct ior_slice params[PATH_SEGMENTS_MAX];
    const struct route *route = NULL;
    size_t count = 0;
    size_t param_count = 0;
    char allow[64];
    if (!path_split(path, segments, &count)) return;
    IOR_ASSERT(count <= PATH_SEGMENTS_MAX);
    for (size_t i = 0; i < count; i++) {
        IOR_ASSERT(segments[i].size_bytes > 0);
        IOR_ASSERT(inside(segments[i], path.data, path.size_bytes));
        IOR_ASSERT(memchr(segments[i].data, '/', segments[i].size_bytes) == NULL);
    }
    for (int m = METHOD_GET; m <= METHOD_OTHER; m++) {
        enum route_result r =
            route_find((enum route_method)m, segments, count, &route, params, &param_count, allow);
        if (r != ROUTE_FOUND) continue;
        for (size_t i = 0; i < param_count; i++)
            IOR_ASSERT(inside(params[i], path.data, path.size_bytes));
    }
}

static void check_decode(struct ior_slice s)
{
    uint8_t *out = block(s.size_bytes);
    size_t n = 0;
    for (int plus = 0; plus < 2; plus++) {
        if (!path_decode(s, plus != 0, out, &n)) {
            IOR_ASSERT(memchr(s.data, '%', s.size_bytes) != NULL);
            continue;
        }
        IOR_ASSERT(n <= s.size_bytes);
        if (s.size_bytes == 0 || memchr(s.data, '%', s.size_bytes) == NULL)
            IOR_ASSERT(n == s.size_bytes);
    }
    free(out);
}

/* Any bytes come back from encoding, whether '+' is a blank or not. */
static void check_round_trip(struct ior_slice s)
{
    uint8_t *encoded = block(3 * s.size_bytes);
    size_t encoded_bytes = path_encode(s, (char *)encoded);
    uint8_t *back = block(encoded_bytes);
    IOR_ASSERT(encoded_bytes <= 3 * s.size_bytes);
    for (int plus = 0; plus < 2; plus++) {
        size_t n = 0;
        bool ok = path_decode(ior_slice(encoded, encoded_bytes), plus != 0, back, &n);
        IOR_ASSERT(ok && ior_slice_eq(ior_slice(back, n), s));
    }
    free(back);
    free(encoded);
}

static void check_query(struct ior_slice query)
{
    struct query_param params[QUERY_PARAMS_MAX];
    uint8_t *scratch = block(query.size_bytes);
    bool whole = false;
    size_t count = query_parse(query, scratch, params, &whole);
    IOR_ASSERT(count <= QUERY_PARAMS_MAX);
    const uint8_t *end = scratch;
    for (size_t i = 0; i < count; i++) { /* in order, without overlapping */
        IOR_ASSERT(inside(params[i].name, scratch, query.size_bytes));
        IOR_ASSERT(inside(params[i].value, scratch, query.size_bytes));
        IOR_ASSERT(params[i].name.data >= end);
        IOR_ASSERT(params[i].value.data >= params[i].name.data + params[i].name.size_bytes);
        end = params[i].value.data + params[i].value.size_bytes;
    }
    free(scratch);
}

static void check_number(struct ior_slice s)
{
    char text[64];
    char *end = NULL;
    int64_t v = 0;
    if (s.size_bytes >= sizeof text) return;
    memcpy(text, s.data, s.size_bytes);
    text[s.size_bytes] = 0;
    bool ok = path_int(s, &v);
    bool first_ok = (text[0] >= '0' && text[0] <= '9') || text[0] == '-'; /* strtoll takes more */
    long long want = strtoll(text, &end, 10);                             /* it saturates, too */
    bool want_ok = first_ok && (size_t)(end - text) == s.size_bytes && s.size_bytes > 0;
    IOR_ASSERT(ok == want_ok);
    if (ok) IOR_ASSERT(v == want);
}

static void check_headers(struct ior_slice s)
{
    uint64_t id = 0;
    enum body_type body = negotiate_body_type(s);
    IOR_ASSERT(body >= BODY_NONE && body <= BODY_OTHER);
    enum answer_type answer = negotiate_answer(s);
    IOR_ASSERT(answer >= ANSWER_NONE && answer <= ANSWER_NDJSON);
    enum prefer_durability durability = negotiate_durability(s);
    IOR_ASSERT(durability >= PREFER_NONE && durability <= PREFER_QUORUM);
    if (negotiate_etag(s, &id)) IOR_ASSERT(id <= INT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct ior_slice s = ior_slice(data, size_bytes);
    const uint8_t *mark = size_bytes == 0 ? NULL : memchr(data, '?', size_bytes);
    size_t path_bytes = mark == NULL ? size_bytes : (size_t)(mark - data);
    check_segments(ior_slice(data, path_bytes));
    if (mark != NULL) check_query(ior_slice(mark + 1, size_bytes - path_bytes - 1));
    check_query(s);
    check_decode(s);
    check_round_trip(s);
    check_number(s);
    check_headers(s);
    return 0;
}

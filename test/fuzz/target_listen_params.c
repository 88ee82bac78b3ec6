/* test/fuzz/target_listen_params.c - what a client sends to GET /listen: a query, of which every
 * s= is parsed and merged, and the cursor. Checked: names that come out are names, nothing points
 * outside of its memory, where to begin lies between 1 and high + 1, a cursor that passes is one
 * that we write. */
#include <stdlib.h>

#include "base/assert.h"
#include "core/iorio.h"
#include "proto/http/path.h"
#include "proto/listen/cursor.h"
#include "proto/listen/want.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static struct token_key key;

static void check_first(const struct listen_want *w)
{
    static const uint64_t ranges[][2] = {{1, 0}, {1, 1}, {5, 9}, {10, 9}, {1, UINT64_MAX >> 16}};
    for (size_t i = 0; i < IOR_LEN(ranges); i++) {
        uint64_t first = want_first(w, ranges[i][0], ranges[i][1]);
        IOR_ASSERT(first >= 1 && first <= ranges[i][1] + 1);
        if (!w->has_id) IOR_ASSERT(first >= ranges[i][0]);
    }
}

static void check_one(struct ior_slice s, struct listen_want *all)
{
    struct listen_want w;
    uint8_t *scratch = malloc(s.size_bytes == 0 ? 1 : s.size_bytes);
    IOR_ASSERT(scratch != NULL);
    if (want_parse(s, scratch, &w)) {
        IOR_ASSERT(iorio_bucket_name_ok(w.bucket) && iorio_stream_name_ok(w.stream));
        IOR_ASSERT(w.bucket.data >= scratch);
        IOR_ASSERT(w.stream.data + w.stream.size_bytes <= scratch + s.size_bytes);
        IOR_ASSERT(!w.has_id || !w.has_end);
        check_first(&w);
        want_merge(all, &w);
        IOR_ASSERT(want_first(all, 1, 100) <= want_first(&w, 1, 100));
        check_first(all);
    }
    free(scratch);
}

static void check_cursor(struct ior_slice text)
{
    struct cursor c;
    if (!cursor_read(&key, text, &c)) return;
    struct ior_buf again;
    ior_buf_init(&again);
    cursor_write(&key, &c, &again);
    IOR_ASSERT(ior_slice_eq(ior_buf_slice(&again), text));
    ior_buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct query_param params[QUERY_PARAMS_MAX];
    struct listen_want all = {0};
    if (key.secret_bytes == 0) {
        struct ior_why why;
        enum ior_err err = token_key_init(&key, "hs256", IOR_SLICE("0123456789abcdef"), &why);
        IOR_ASSERT(err == IOR_OK);
    }
    uint8_t *scratch = malloc(size_bytes == 0 ? 1 : size_bytes);
    IOR_ASSERT(scratch != NULL);
    bool whole = false;
    size_t count = query_parse(ior_slice(data, size_bytes), scratch, params, &whole);
    for (size_t i = 0; i < count; i++) {
        if (ior_slice_eq(params[i].name, IOR_SLICE("s"))) check_one(params[i].value, &all);
        if (ior_slice_eq(params[i].name, IOR_SLICE("cursor"))) check_cursor(params[i].value);
    }
    check_one(ior_slice(data, size_bytes), &all);
    check_cursor(ior_slice(data, size_bytes));
    free(scratch);
    return 0;
}

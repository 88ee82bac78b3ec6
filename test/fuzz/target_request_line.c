/* test/fuzz/target_request_line.c - any bytes as the target of a request, in a line of the request
 * log. Checked: a parameter that the node would take for a token never shows its value; a text line
 * is one line of printable ASCII with its fields; a JSON line is JSON. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/limits.h"
#include "proto/http/path.h"
#include "proto/http/request_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

/* What query_parse() gives for jwt is *** where it was shown whole. */
static void check_no_token(struct ior_slice shown)
{
    struct query_param params[QUERY_PARAMS_MAX];
    const uint8_t *mark = shown.size_bytes == 0 ? NULL : memchr(shown.data, '?', shown.size_bytes);
    if (mark == NULL) return;
    struct ior_slice query =
        ior_slice(mark + 1, shown.size_bytes - (size_t)(mark - shown.data) - 1);
    uint8_t *scratch = malloc(query.size_bytes + 1);
    IOR_ASSERT(scratch != NULL);
    bool whole;
    size_t count = query_parse(query, scratch, params, &whole);
    for (size_t i = 0; i < count; i++) {
        if (!ior_slice_eq(params[i].name, IOR_SLICE("jwt"))) continue;
        struct ior_slice v = params[i].value;
        size_t stars = 0;
        while (stars < v.size_bytes && v.data[stars] == '*') stars++;
        /* it may have been cut, and a `;` ends what is shown for those who split there */
        IOR_ASSERT(v.size_bytes == 0 || stars > 0 || v.data[0] == '.');
        IOR_ASSERT(stars == v.size_bytes || v.data[stars] == '.' || v.data[stars] == ';');
    }
    free(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct ior_buf out;
    const struct request_line l = {.time_ms = 1795240943994,
                                   .client = IOR_SLICE("127.0.0.1"),
                                   .user = IOR_SLICE("admin"),
                                   .method = ior_slice(data, size_bytes < 8 ? size_bytes : 8),
                                   .target = ior_slice(data, size_bytes),
                                   .status = 200};
    ior_buf_init(&out);
    request_line_target(&out, l.target);
    IOR_ASSERT(out.size_bytes <= REQUEST_LOG_PATH_BYTES_MAX + 3);
    check_no_token(ior_buf_slice(&out));
    ior_buf_clear(&out);
    request_line_text(&out, &l);
    size_t spaces = 0;
    IOR_ASSERT(!ior_buf_failed(&out) && out.data[out.size_bytes - 1] == '\n');
    for (size_t i = 0; i + 1 < out.size_bytes; i++) {
        IOR_ASSERT(out.data[i] >= 0x20 && out.data[i] < 0x7f);
        spaces += out.data[i] == ' ';
    }
    IOR_ASSERT(spaces == 7);
    ior_buf_clear(&out);
    request_line_json(&out, &l);
    IOR_ASSERT(ior_json_check(ior_buf_slice(&out), JSON_DEPTH_MAX, NULL) == IOR_OK);
    IOR_ASSERT(memchr(out.data, '\n', out.size_bytes) == out.data + out.size_bytes - 1);
    ior_buf_done(&out);
    return 0;
}

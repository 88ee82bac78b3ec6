/* test/fuzz/target_json.c - any bytes through the JSON checker and writers.
 * Checked: the checker agrees with jansson; the offset of a refusal keeps its
 * contract; what is quoted is a JSON string; a checked text stays one on a line. */
#include <jansson.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

/* The bytes before `at` are the start of a good text; with the one at it they are not. */
static void check_offset(const uint8_t *data, size_t size_bytes, size_t at)
{
    size_t again = 0;
    IOR_ASSERT(at <= size_bytes);
    if (ior_json_check(ior_slice(data, at), JSON_DEPTH_MAX, &again) != IOR_OK) {
        IOR_ASSERT(again == at);
    }
    if (at == size_bytes) return;
    IOR_ASSERT(ior_json_check(ior_slice(data, at + 1), JSON_DEPTH_MAX, &again) == IOR_E_BODY);
    IOR_ASSERT(again == at);
}

static void check_against_jansson(const uint8_t *data, size_t size_bytes)
{
    json_error_t error;
    /* jansson's own limit of depth is 2,048, so ours is the tighter one. */
    const bool ours =
        ior_json_check(ior_slice(data, size_bytes), IOR_JSON_DEPTH_LIMIT, NULL) == IOR_OK;
    json_t *tree =
        json_loadb((const char *)data, size_bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (tree != NULL) {
        /* jansson overlooks a raw NUL behind true, false and null (2.14). */
        size_t depth = 0;
        for (size_t i = 0; i < size_bytes; i++) depth += data[i] == '[' || data[i] == '{';
        IOR_ASSERT(ours || memchr(data, 0, size_bytes) != NULL || depth > IOR_JSON_DEPTH_LIMIT);
    } else if (ours) {
        /* It stores values: numbers must fit, names of members may have no NUL. */
        const enum json_error_code code = json_error_code(&error);
        IOR_ASSERT(code == json_error_numeric_overflow || code == json_error_null_byte_in_key);
    }
    json_decref(tree);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    const struct ior_slice text = ior_slice(data, size_bytes);
    size_t at = 0;
    struct ior_buf out;
    ior_buf_init(&out);
    ior_json_quote(&out, text);
    IOR_ASSERT(ior_json_check(ior_buf_slice(&out), 0, NULL) == IOR_OK);
    if (ior_json_check(text, JSON_DEPTH_MAX, &at) != IOR_OK) {
        check_offset(data, size_bytes, at);
    } else {
        IOR_ASSERT(ior_utf8_ok(text));
        ior_buf_clear(&out);
        ior_json_line(&out, text);
        IOR_ASSERT(out.size_bytes == size_bytes);
        IOR_ASSERT(memchr(out.data, '\n', size_bytes) == NULL);
        IOR_ASSERT(memchr(out.data, '\r', size_bytes) == NULL);
        IOR_ASSERT(ior_json_check(ior_buf_slice(&out), JSON_DEPTH_MAX, NULL) == IOR_OK);
    }
    ior_buf_done(&out);
    check_against_jansson(data, size_bytes);
    return 0;
}

/* test/fuzz/target_patch.c - a document and a JSON Patch, parted by the first byte 0. Checked: what
 * comes out is JSON within the limits, the same again and with an empty patch; a model on
 * jansson agrees (lib/patch_model.h); a fault is a sentence in UTF-8; tight limits end in an
 * error and nothing else. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/json_patch.h"
#include "patch_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

enum { BYTES_MAX = 64 << 10 };
static const struct json_tree_limits wide = {BYTES_MAX, 1 << 20, 16 << 20};
static const struct json_tree_limits tight = {BYTES_MAX, 40, 2048};

static void check_fault(const struct json_patch_fault *f, size_t text_bytes)
{
    IOR_ASSERT(f->why.text[0] != 0 && ior_utf8_ok(ior_slice_str(f->why.text)));
    IOR_ASSERT(!f->has_offset || f->offset <= text_bytes);
}

static void check_result(struct ior_slice out)
{
    struct ior_buf again;
    struct json_patch *none = NULL;
    struct json_patch_fault fault;
    IOR_ASSERT(out.size_bytes <= BYTES_MAX);
    IOR_ASSERT(ior_json_check(out, JSON_DEPTH_MAX, NULL) == IOR_OK);
    ior_buf_init(&again);
    enum ior_err err = json_patch_parse(IOR_SLICE("[]"), &none, &fault);
    if (err == IOR_OK) err = json_patch_apply(none, out, &wide, &again, &fault);
    IOR_ASSERT(err == IOR_OK && ior_slice_eq(ior_buf_slice(&again), out));
    json_patch_free(none);
    ior_buf_done(&again);
}

static void apply(const struct json_patch *p, struct ior_slice document, struct ior_slice text)
{
    struct ior_buf out;
    struct ior_buf again;
    struct json_patch_fault fault;
    ior_buf_init(&out);
    ior_buf_init(&again);
    enum ior_err err = json_patch_apply(p, document, &wide, &out, &fault);
    if (err == IOR_OK) check_result(ior_buf_slice(&out));
    if (err != IOR_OK) check_fault(&fault, text.size_bytes);
    patch_model_check(document, text, err, &fault, ior_buf_slice(&out));
    enum ior_err little = json_patch_apply(p, document, &tight, &again, &fault);
    IOR_ASSERT(little == err || little == IOR_E_TOOLARGE);
    if (little == IOR_OK) IOR_ASSERT(ior_slice_eq(ior_buf_slice(&again), ior_buf_slice(&out)));
    ior_buf_done(&again);
    ior_buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct json_patch *p = NULL;
    struct json_patch_fault fault;
    const uint8_t *zero = size_bytes == 0 ? NULL : memchr(data, 0, size_bytes);
    size_t n = zero == NULL ? size_bytes : (size_t)(zero - data);
    struct ior_slice document = ior_slice(data, n);
    struct ior_slice rest =
        zero == NULL ? ior_slice(data + n, 0) : ior_slice(zero + 1, size_bytes - n - 1);
    /* In memory of its own size, so that a sanitizer sees a read behind its end. */
    uint8_t *copy = malloc(rest.size_bytes + 1);
    IOR_ASSERT(copy != NULL);
    memcpy(copy + 1, rest.data, rest.size_bytes);
    struct ior_slice text = ior_slice(copy + 1, rest.size_bytes);
    enum ior_err err = json_patch_parse(text, &p, &fault);
    if (err == IOR_OK) {
        apply(p, document, text);
    } else {
        check_fault(&fault, text.size_bytes);
        patch_model_check(IOR_SLICE("{}"), text, err, &fault, (struct ior_slice){NULL, 0});
    }
    json_patch_free(p);
    free(copy);
    return 0;
}

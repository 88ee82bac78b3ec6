/* src/base/json_patch.h - JSON Patch (RFC 6902) on the bytes of a text; json_tree.h says what of
 * them stays as it is.
 * A patch is parsed once and may be applied to any number of texts; a text is never changed:
 * an operation that fails leaves nothing behind.
 * Thread: one at a time for a parse or an apply; a parsed patch may be read by several. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/json_tree.h"

enum json_patch_kind {
    JSON_PATCH_ADD,
    JSON_PATCH_REMOVE,
    JSON_PATCH_REPLACE,
    JSON_PATCH_MOVE,
    JSON_PATCH_COPY,
    JSON_PATCH_TEST,
};

struct json_patch_op {
    enum json_patch_kind kind;
    struct json_pointer path, from;
    struct ior_slice path_raw, from_raw; /* as they were written, with quotes */
    struct ior_slice value;              /* of add, replace, test */
    unsigned height;                     /* of it */
};

struct json_patch {
    struct ior_arena arena;
    struct json_patch_op *ops;
    size_t count;
};

/* Why not. */
struct json_patch_fault {
    struct ior_why why; /* a sentence that names the operation and its path */
    size_t op;          /* its number, from 0 on; JSON_PATCH_NO_OP: it is about the whole */
    size_t offset;      /* of a text that is not JSON: the first byte that cannot be */
    bool has_offset;
};
#define JSON_PATCH_NO_OP SIZE_MAX

/* text must stand as long as the patch. BODY, TOOLARGE (PATCH_OPS_MAX), NOMEM, with *fault. */
IOR_MUST_CHECK enum ior_err json_patch_parse(struct ior_slice text, struct json_patch **ret,
                                             struct json_patch_fault *fault);
void json_patch_free(struct json_patch *p); /* NULL is fine */
/* The patched text behind what is in out. document: any bytes. BODY: it is not JSON, or an
 * operation fails; TOOLARGE: a limit; NOMEM; with *fault, and nothing is added to out. */
IOR_MUST_CHECK enum ior_err json_patch_apply(const struct json_patch *p, struct ior_slice document,
                                             const struct json_tree_limits *limits,
                                             struct ior_buf *out, struct json_patch_fault *fault);

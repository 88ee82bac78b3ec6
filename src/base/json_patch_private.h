/* src/base/json_patch_private.h - shared by json_patch.c and json_patch_parse.c. */
#pragma once

#include "base/json_patch.h"

/* Notes operation `op` (o: what is known of it, or NULL) and gives err back. */
enum ior_err json_patch_fail(struct json_patch_fault *f, enum ior_err err, size_t op,
                             const struct json_patch_op *o, const char *what);
enum ior_err json_patch_fail_whole(struct json_patch_fault *f, enum ior_err err, const char *what);

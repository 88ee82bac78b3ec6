/* src/auth/json_object.h - private to src/auth: bytes from outside become a jansson
 * object. Thread: any. */
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "base/slice.h"

/* Exactly one JSON object, no name twice in any object of it, nesting at most
 * JSON_DEPTH_MAX, no NUL in a text, no number beyond int64 or double: else BODY. NOMEM.
 * The caller owes json_decref. */
IOR_MUST_CHECK enum ior_err json_object_read(struct ior_slice text, json_t **ret);
/* The bytes of a JSON string; empty for anything else. */
struct ior_slice json_object_text(const json_t *j);

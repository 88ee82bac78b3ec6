/* src/base/json_pointer.h - JSON Pointer (RFC 6901): a path into a JSON text, cut into tokens.
 * Thread: any. */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"

/* A checked text nests JSON_DEPTH_MAX deep: nothing lies behind so many tokens. Of longer ones
 * the first that are too many are kept, so that they fail when they are followed. */
enum { JSON_POINTER_TOKENS_MAX = JSON_DEPTH_MAX + 1 };

struct json_pointer {
    size_t count;             /* 0: the whole document */
    struct ior_slice *tokens; /* decoded: ~1 and ~0 are / and ~ again */
};

/* raw: a JSON string with its quotes. Tokens go into the arena. BODY: no pointer: it does not
 * begin with a slash, or has a ~ without 0 or 1 behind it. NOMEM. */
IOR_MUST_CHECK enum ior_err json_pointer_parse(struct ior_slice raw, struct ior_arena *arena,
                                               struct json_pointer *ret);
/* Does b lead to something inside of what a leads to (and not to the same)? */
bool json_pointer_is_inside(const struct json_pointer *b, const struct json_pointer *a);

enum { JSON_INDEX_END = -1, JSON_INDEX_NONE = -2 };
/* A token as the index of an array (RFC 6901, section 4): digits without zeros in front;
 * END: it is "-"; NONE: neither. Larger than any array can be: INT64_MAX. */
int64_t json_pointer_index(struct ior_slice token);

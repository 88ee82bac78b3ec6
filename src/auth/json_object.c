/* src/auth/json_object.c - see json_object.h. Thread: any.
 * Happy path: our own check first, then jansson. The check bounds the depth of
 * jansson's recursion, and it is needed to tell bad input from a lack of
 * memory: jansson calls an allocation that failed inside a text "invalid
 * token". What passed the check can fail in jansson only for the reasons named
 * below or for memory; and a node that is short of memory must not take its
 * users and grants for damaged.
 * Failure: BODY or NOMEM. */
#include "auth/json_object.h"

#include "base/json.h"
#include "base/limits.h"

enum ior_err json_object_read(struct ior_slice text, json_t **ret)
{
    if (ior_json_check(text, JSON_DEPTH_MAX, NULL) != IOR_OK) return IOR_E_BODY;
    size_t first = 0; /* of the object; there is something else than white space */
    while (memchr(" \t\r\n", text.data[first], 4) != NULL) first++;
    if (text.data[first] != '{') return IOR_E_BODY;

    json_error_t at;
    json_t *json =
        json_loadb((const char *)text.data, text.size_bytes, JSON_REJECT_DUPLICATES, &at);
    if (json != NULL) {
        *ret = json;
        return IOR_OK;
    }
    switch (json_error_code(&at)) {
    case json_error_duplicate_key:
    case json_error_null_character:
    case json_error_null_byte_in_key:
    case json_error_numeric_overflow:
        return IOR_E_BODY;
    default:
        return IOR_E_NOMEM;
    }
}

struct ior_slice json_object_text(const json_t *j)
{
    if (!json_is_string(j)) return IOR_SLICE("");
    return ior_slice(json_string_value(j), json_string_length(j));
}

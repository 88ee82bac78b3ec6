/* proto/http/json_body.c - see json_body.h.
 * Happy path: our own check first, because jansson recurses and our limit of depth does not;
 * then jansson, without doubles.
 * Failure: 400 invalid-body with the place of the first byte that cannot be, 413. */
#include "proto/http/json_body.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"

static json_t *refuse(struct http_call *call, const char *reason, size_t at)
{
    char extra[48];
    snprintf(extra, sizeof extra, "\"offset\":%zu", at);
    call_reply_error(call, IOR_E_BODY, reason, extra);
    return NULL;
}

json_t *body_object(struct http_call *call)
{
    json_error_t e;
    size_t at = 0;
    if (call->body.size_bytes > ACCESS_JSON_BYTES_MAX) {
        call_reply_error(call, IOR_E_TOOLARGE, "This body is at most 16384 bytes of JSON", NULL);
        return NULL;
    }
    if (ior_json_check(call->body, JSON_DEPTH_MAX, &at) != IOR_OK) return refuse(call, NULL, at);
    json_t *body = json_loadb((const char *)call->body.data, call->body.size_bytes,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &e);
    if (body == NULL && json_error_code(&e) == json_error_duplicate_key)
        return refuse(call, "A name is in an object twice",
                      (size_t)(e.position < 0 ? 0 : e.position));
    if (body == NULL && json_error_code(&e) == json_error_numeric_overflow)
        return refuse(call, "A number is too large", (size_t)(e.position < 0 ? 0 : e.position));
    if (body == NULL) {
        call_reply_error(call, IOR_E_NOMEM, NULL, NULL);
        return NULL;
    }
    if (json_is_object(body)) return body;
    json_decref(body);
    return refuse(call, "The body must be a JSON object", 0);
}

struct ior_slice body_text(const json_t *body, const char *name)
{
    const json_t *value = json_object_get(body, name);
    if (!json_is_string(value) || json_string_length(value) == 0)
        return (struct ior_slice){NULL, 0};
    return ior_slice(json_string_value(value), json_string_length(value));
}

void body_reply_invalid(struct http_call *call, const json_t *body, const char *name,
                        const char *text)
{
    const json_t *value = json_object_get(body, name);
    bool missing = value == NULL || json_is_null(value);
    char *sent = missing ? NULL : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    struct ior_buf extra;
    ior_buf_init(&extra);
    ior_buf_addf(&extra, "\"field\":\"%s\",\"value\":%s", name, sent == NULL ? "\"nil\"" : sent);
    ior_buf_add_char(&extra, 0);
    free(sent);
    call_reply_error(call, IOR_E_INVAL, text, ior_buf_failed(&extra) ? NULL : (char *)extra.data);
    ior_buf_done(&extra);
}

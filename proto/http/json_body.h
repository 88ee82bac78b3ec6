/* proto/http/json_body.h - the body of a request about users, groups and grants, as a jansson
 * object. Thread: the worker of the call. jansson is included by those who look into it. */
#pragma once

#include "proto/http/call.h"

struct json_t;
/* One JSON object, no name twice, at most ACCESS_JSON_BYTES_MAX. NULL: it is answered. The caller
 * owes json_decref. Unknown members are the caller's to ignore. */
struct json_t *body_object(struct http_call *call);
/* A text that is not empty; else data is NULL. It lives as long as the object. */
struct ior_slice body_text(const struct json_t *body, const char *name);
/* 400 invalid-field with what was sent there, or "nil". text NULL: that of the error. */
void body_reply_invalid(struct http_call *call, const struct json_t *body, const char *name,
                        const char *text);

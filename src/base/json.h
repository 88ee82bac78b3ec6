/* src/base/json.h - checking and writing JSON (RFC 8259). No DOM: stored bytes
 * stay the client's bytes; where a DOM is needed (facts, login) jansson is used. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* The largest depth_max that may be asked for (the checker's stack of brackets). */
#define IOR_JSON_DEPTH_LIMIT 1024

/* Is this exactly one JSON text? Scalars count. Strict UTF-8 (no surrogates, no
 * overlong forms), no raw control characters in strings, \u escapes must pair
 * their surrogates, nesting at most depth_max. White space around is fine.
 * Thread: any. IOR_OK or IOR_E_BODY; then *ret_at (may be NULL) is the offset of
 * the first byte that cannot be. Never recurses, never allocates. */
IOR_MUST_CHECK enum ior_err ior_json_check(struct ior_slice text, unsigned depth_max,
                                           size_t *ret_at);
/* Append s as a JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD. */
void ior_json_quote(struct ior_buf *out, struct ior_slice s);
/* Append a checked JSON text on one line: line breaks between tokens become spaces. */
void ior_json_line(struct ior_buf *out, struct ior_slice text);
/* Strict UTF-8 (Unicode 15, table 3-7)? NUL is allowed here. */
bool ior_utf8_ok(struct ior_slice s);
/* Append s as base64 with padding (RFC 4648 section 4). */
void ior_base64(struct ior_buf *out, struct ior_slice s);

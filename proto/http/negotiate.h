/* proto/http/negotiate.h - what a body is, what an answer may be, what a request
 * expects: the headers that steer a handler (RFC 9110, RFC 7240). Pure. */
#pragma once

#include "proto/http/call.h"

/* By media type without parameters, without case. No header: BODY_NONE. */
enum body_type negotiate_body_type(struct ior_slice content_type);

/* Accept: no header or anything with a wildcard: JSON. NDJSON when it is named and
 * JSON is not preferred to it. NONE: 406. */
enum answer_type negotiate_answer(struct ior_slice accept);

/* Does Accept name this media type, other than to refuse it (q=0)? */
bool negotiate_names(struct ior_slice accept, const char *type);

/* Is one of the words of this list header (Upgrade)? Without case, without a version. */
bool negotiate_has_word(struct ior_slice value, const char *word);

/* An entity tag in the one form that is accepted: "41" with its quotes. */
bool negotiate_etag(struct ior_slice value, uint64_t *ret);

enum prefer_durability { PREFER_NONE, PREFER_MEMORY, PREFER_DISK, PREFER_QUORUM };
/* Prefer: durability=memory|disk|quorum. Other preferences are ignored. */
enum prefer_durability negotiate_durability(struct ior_slice prefer);

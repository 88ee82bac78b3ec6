/* proto/http/path.h - the target of a request: segments and query parameters,
 * percent-decoded (RFC 3986). Pure functions, no allocation: decoded bytes go
 * into a scratch buffer of the caller. */
#pragma once

#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"

/* Decode %XX into out (room: as many bytes as s); plus: '+' is a space. False: bad escape. */
bool path_decode(struct ior_slice s, bool plus, uint8_t *out, size_t *ret_n);

/* Split at '/', drop one trailing slash. More than PATH_SEGMENTS_MAX or an empty
 * segment in the middle: false. Segments are raw. "/" has none. */
bool path_split(struct ior_slice path, struct ior_slice *segments, size_t *ret_count);

struct query_param {
    struct ior_slice name;
    struct ior_slice value;
};
/* Decode the query into params (names and values in scratch, which has room for
 * the query's bytes). Parameters with bad escapes and those beyond
 * QUERY_PARAMS_MAX are left out, and *ret_whole is false then. Returns the count. */
size_t query_parse(struct ior_slice query, uint8_t *scratch, struct query_param *params,
                   bool *ret_whole);
/* Append s percent-encoded for one path segment; returns bytes written; out has room for 3x. */
size_t path_encode(struct ior_slice s, char *out);
/* An optional '-' and digits, nothing else. Beyond int64: its end on that side. */
bool path_int(struct ior_slice s, int64_t *ret);

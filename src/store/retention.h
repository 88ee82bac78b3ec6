/* src/store/retention.h - how much of a stream is kept: what a policy says, as JSON
 * (docs/retention.rst) and as numbers. A bucket's policy is the default of each of its
 * streams, field by field. Pure: nothing here evicts anything.
 * Thread: any; nothing has state or allocates (but the buffer that is printed to). */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"

/* Besides 1..RETENTION_VALUE_MAX a field may have one of these. */
#define RETENTION_UNSET 0ull      /* nothing is said: what the bucket says holds */
#define RETENTION_NONE UINT64_MAX /* no limit, whatever the bucket says; null in JSON */

struct retention {
    uint64_t max_events;      /* of a stream */
    uint64_t max_bytes;       /* of a stream: of events as they were sent */
    uint64_t max_age_ms;      /* of an event */
    uint64_t max_total_bytes; /* of all streams of a bucket; never of a stream */
};

/* What is wrong with a policy, in parts for an answer. */
struct retention_problem {
    struct ior_slice field; /* JSON text with its quotes, in the input; data NULL: none is */
    struct ior_slice value; /* JSON text, in the input */
    const char *text;       /* a sentence, a constant */
    size_t at;              /* of BODY: the first byte that cannot be */
    bool unknown;           /* there is no such field */
};

/* The whole of a JSON object; every field may be left out. Names and texts must be written
 * without escapes. BODY: not JSON, or no object. INVAL: one field is wrong; the first one
 * that is. *problem (not NULL) is filled then. */
IOR_MUST_CHECK enum ior_err retention_parse(struct ior_slice json, bool of_stream,
                                            struct retention *ret,
                                            struct retention_problem *problem);
/* The one text of it: fields in the order above, unset ones left out, no white space. Parsed
 * it gives the same. Out of memory is seen by ior_buf_failed(). */
void retention_print(struct ior_buf *out, const struct retention *r);
/* What holds for a stream: its own field, else the bucket's, else RETENTION_NONE; so no
 * field is unset and a limit may simply be compared. max_total_bytes is the bucket's.
 * NULL: there is no such policy. With stream NULL: what holds for the bucket. */
struct retention retention_merge(const struct retention *bucket, const struct retention *stream);
/* The low that max_events asks for: of ids low..high (low = high + 1: none) the last ones.
 * Never below low, at most high + 1. */
uint64_t retention_low_by_count(const struct retention *r, uint64_t low, uint64_t high);

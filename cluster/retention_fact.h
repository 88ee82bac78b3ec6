/* cluster/retention_fact.h - keys and values of the facts about retention, read and written in
 * one place (docs/formats.rst "Facts"):
 *   retention/<bucket>            {"max_events":100,...}   of a bucket
 *   retention/<bucket>/<stream>   the same of a stream
 * The separator is FACT_SEP, which no name can hold. A value has the form of
 * retention_print(). Thread: any; nothing has state. */
#pragma once

#include "auth/policy.h"
#include "store/retention.h"

/* Is the key one of ours, well formed or not? */
bool retention_fact_is(struct ior_slice key);
/* stream empty: of the bucket. Out of memory is seen by ior_buf_failed(). */
void retention_fact_key(struct ior_buf *out, struct ior_slice bucket, struct ior_slice stream);
/* The names point into the key; *ret_stream is empty for a bucket. CORRUPT, or VERSION (a
 * field that this version does not know), with the key and what is wrong in *why. */
IOR_MUST_CHECK enum ior_err retention_fact_names(struct ior_slice key, struct ior_slice *ret_bucket,
                                                 struct ior_slice *ret_stream, struct ior_why *why);
IOR_MUST_CHECK enum ior_err retention_fact_read(const struct fact *f, struct ior_slice *ret_bucket,
                                                struct ior_slice *ret_stream, struct retention *ret,
                                                struct ior_why *why);

/* src/core/quota.h - how much one bucket may hold: limits.bucket.streams and limits.bucket.bytes.
 * Happy path: the first append to a bucket makes its count (struct quota) and wants its contents
 * counted: a survey of all its streams (quota_count.c), one bucket at a time. From then on every
 * append adds to the count before it is proposed, or is refused, and every deletion takes away
 * when it is committed. So nothing is stored: after a start the first append counts anew.
 * How exact: what a count finds is exact if nothing of the bucket changed while it was made. Else
 * it may be wrong by what was written and removed meanwhile (some ms for 1,000 streams), and the
 * bucket is counted again after eviction.interval, until a count was exact. Before the first
 * count is ready everything is let through, and counted.
 * Streams are those that lists show; bytes are payloads of the events that are kept.
 * Failure modes: NOMEM for the append. A count that fails is made again later; meanwhile what was
 * known before holds.
 * Thread: quotas_set() any; quota_of(), quota_take() and quota_give() inside a strand; ticks on the
 * worker of node_tick(). */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/slice.h"

struct node;
struct quota; /* of one bucket */
struct quotas;

IOR_MUST_CHECK enum ior_err quotas_new(struct node *n, uint64_t streams_max, uint64_t bytes_max,
                                       struct quotas **ret);
void quotas_free(struct quotas *qs); /* nobody has a reference; NULL is fine */
/* 0: no limit. When both were off all buckets are counted anew. */
void quotas_set(struct quotas *qs, uint64_t streams_max, uint64_t bytes_max);
bool quotas_on(const struct quotas *qs);
/* Begins a count when one is wanted and none is under way. */
void quotas_tick(struct quotas *qs);

/* The bucket's; a reference. NOMEM. */
IOR_MUST_CHECK enum ior_err quota_get(struct quotas *qs, struct ior_slice bucket,
                                      struct quota **ret);
struct quota *quota_ref(struct quota *q);
void quota_unref(struct quota *q); /* NULL is fine */

/* What a change does to its bucket. */
struct quota_sum {
    int64_t streams;
    int64_t bytes;
};
/* It is about to be proposed. QUOTASTREAMS, QUOTABYTES: it does not fit; what makes less always
 * fits. OK: quota_settle() follows. */
IOR_MUST_CHECK enum ior_err quota_take(struct quota *q, struct quota_sum c);
/* It is committed, or it came to nothing. */
void quota_settle(struct quota *q, struct quota_sum c, bool committed);
/* It is committed and was not taken. */
void quota_give(struct quota *q, struct quota_sum c);
struct stream;
/* Of the stream's bucket, kept with it; *ret NULL: the limits are off. NOMEM. */
IOR_MUST_CHECK enum ior_err quota_of(struct quotas *qs, struct stream *s, struct quota **ret);
/* For tests. False: it is not known, or not for sure. */
bool quota_known(struct quota *q, struct quota_sum *ret);

/* cluster/retention_view.h - what is kept of every bucket and stream, as one immutable object:
 * made from the facts of group 0 (meta.h) and read by all workers without locks.
 * A new view shares with the old one what did not change: a change copies pointers to some
 * hundred policies, however many there are.
 * Thread: a draft has one owner; once it is given out it is never changed and is reference
 * counted. Names are borrowed and copied. */
#pragma once

#include "store/retention.h"

struct retention_view;

/* A draft that holds what `from` (NULL: nothing) holds. NOMEM. */
IOR_MUST_CHECK enum ior_err retention_view_new(struct retention_view *from,
                                               struct retention_view **ret);
/* Into a draft: the policy of a stream, or (stream empty) of a bucket; r NULL: take it away,
 * also when there is none. NOMEM: the draft is as before. */
IOR_MUST_CHECK enum ior_err retention_view_set(struct retention_view *draft,
                                               struct ior_slice bucket, struct ior_slice stream,
                                               const struct retention *r);
struct retention_view *retention_view_ref(const struct retention_view *v);
void retention_view_unref(struct retention_view *v); /* NULL is fine; a draft, too */

/* How many policies there are, of buckets and of streams. */
size_t retention_view_count(const struct retention_view *v);
/* No other view of this process has this number: what was looked up may be kept beside it. */
uint64_t retention_view_number(const struct retention_view *v);
/* The policy itself, with its unset fields; false: there is none. stream empty: the bucket's. */
bool retention_view_own(const struct retention_view *v, struct ior_slice bucket,
                        struct ior_slice stream, struct retention *ret);
/* What holds (retention_merge): no field is unset. stream empty: for the bucket. False: there
 * is no policy of either, and no field has a limit. */
bool retention_view_get(const struct retention_view *v, struct ior_slice bucket,
                        struct ior_slice stream, struct retention *ret);
/* The buckets that have a max_total_bytes, in no order. Begin with *pos = 0; false: that was
 * all. The name lives as long as the view; *pos is good for this view only. */
bool retention_view_next_total(const struct retention_view *v, uint64_t *pos,
                               struct ior_slice *ret_bucket, uint64_t *ret_max_total_bytes);
/* Every policy, in no order; stream empty: a bucket's. As retention_view_next_total(). */
bool retention_view_next(const struct retention_view *v, uint64_t *pos,
                         struct ior_slice *ret_bucket, struct ior_slice *ret_stream,
                         struct retention *ret);

/* src/core/retention_change.h - setting and removing what is kept of a bucket or of one stream.
 * What holds now is read from meta_retention(): it is in memory.
 * Thread: a worker. The contract of the callback is that of core/iorio.h. */
#pragma once

#include "cluster/meta.h"
#include "store/retention.h"

struct node;
struct retention_change;
typedef void (*retention_change_cb)(struct retention_change *c);

struct retention_change {
    struct meta_change *change; /* private */
    retention_change_cb cb;     /* private */
    bool sets;                  /* private */
    void *user_ptr;             /* the caller's */
    uint64_t user[1];           /* the caller's */
    enum ior_err err;           /* out */

    uint8_t bucket_bytes;
    uint16_t stream_bytes;
    uint8_t names[]; /* bucket, then stream */
};

/* The names are valid; stream empty: of the bucket, and else r has no max_total_bytes. r
 * NULL: no policy any more, also when there was none. Neither need exist. NOMEM. */
IOR_MUST_CHECK enum ior_err retention_change_new(struct ior_slice bucket, struct ior_slice stream,
                                                 const struct retention *r,
                                                 struct retention_change **ret);
void retention_change_free(struct retention_change *c);
/* cb: OK: on disk, and seen by every worker. Errors at once: NOSPC: it would be one more than
 * RETENTION_POLICIES_MAX; BUSY, NOMEM. */
IOR_MUST_CHECK enum ior_err iorio_retention_change(struct node *n, struct retention_change *c,
                                                   retention_change_cb cb);

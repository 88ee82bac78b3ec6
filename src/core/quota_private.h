/* src/core/quota_private.h - what quota.c and quota_count.c share. */
#pragma once

#include <pthread.h>

#include "base/map.h"
#include "base/metrics.h"
#include "base/ring.h"
#include "core/quota.h"
#include "core/survey.h"

struct quota {
    struct quotas *all;
    _Atomic uint64_t refs;
    _Atomic int64_t
        streams; /* what is known, and what came since; before the first count only that */
    _Atomic int64_t bytes;
    _Atomic uint64_t begun; /* changes that were taken; */
    _Atomic uint64_t ended; /* and of these, those that are settled */
    _Atomic uint64_t era;   /* of quotas, when it was counted; 0: never */
    _Atomic bool wanted;    /* it waits for a count, or is being counted */
    bool waits; /* for its first count of this era, or that is being made: in the gauge */
    uint64_t hash;
    uint64_t due_us;      /* in quotas.again */
    struct ior_ring wait; /* in quotas.first or quotas.again */
    struct ior_ring used; /* in quotas.used */
    uint8_t name_bytes;
    uint8_t name[];
};

struct quota_count {
    struct survey survey;
    struct quota *quota; /* NULL: none is under way; a reference */
    struct quota_sum before;
    struct quota_sum found;
    uint64_t begun;
    bool quiet; /* nothing was under way when it began */
    uint64_t era;
};

struct quotas {
    struct node *node;
    _Atomic uint64_t streams_max; /* 0: no limit */
    _Atomic uint64_t bytes_max;
    _Atomic uint64_t era;     /* from 1 on; goes up when the limits come on */
    _Atomic uint64_t sure_us; /* a count that begins before is not exact */
    pthread_mutex_t lock;     /* of what follows, but for `count` */
    struct ior_map by_name;
    struct ior_ring used;  /* all of them, least recently got first */
    struct ior_ring first; /* not counted yet */
    struct ior_ring again; /* to be counted once more, by due_us */
    struct quota_count count;
};

static inline struct ior_slice quota_name(const struct quota *q)
{
    return ior_slice(q->name, q->name_bytes);
}
/* Who holds the lock. */
static inline void quota_waits(struct quota *q, bool waits)
{
    if (q->waits != waits) metric_gauge_add(METRIC_quota_waiting, waits ? 1 : -1);
    q->waits = waits;
}
/* quota_count.c: wants it counted, unless it is wanted already. due_us 0: now. */
void quota_want(struct quota *q, uint64_t due_us);

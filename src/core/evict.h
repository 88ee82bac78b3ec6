/* src/core/evict.h - what retention asks of one stream: which events go (docs/retention.rst).
 * Judged when an append is proposed, so that `low` is a fact of the log and exact for readers
 * at once; by trims (by_policy) that the sweeper sends; and by a reader, who sends such a trim
 * first when a policy that is new, or time, asks for it (evict_due).
 * Rules: events go oldest first while there are more than max_events or more than max_bytes, but
 * the newest one stays; and while they are older than max_age.
 * The sizes of the oldest events are known of those in memory; of those on the disk a window of
 * some hundred is kept (struct head), loaded by the disk pool when it is used up.
 * Thread: the vnode's strand. */
#pragma once

#include "core/vnode.h"
#include "store/retention.h"

enum { EVICT_STEPS_MAX = 4096, EVICT_LOADS_MAX = 4, HEAD_EVENTS = 1024 };

/* Payload sizes and times of the ids from, from + 1, ... */
struct head_event {
    uint64_t time_ms;
    uint32_t payload_bytes;
};
struct head {
    uint64_t from;
    size_t count;
    struct head_event events[HEAD_EVENTS];
};

/* What holds for this stream now; false: no limit. Looked up anew only when a policy changed. */
bool evict_policy(struct vnode *vn, struct stream *s, struct retention *ret);

struct eviction {
    uint64_t low;           /* in: from where on; out: the new one, at most reserved + 1 */
    uint64_t dropped_bytes; /* in: of what goes in front of it; out: of all that goes */
    bool unknown;           /* out: the size of event `low` is not known: evict_load(), and again */
    bool more;              /* out: the bound was reached, perhaps there is more */
};
/* Must something go before a reader is shown the stream? By age to the second: so a reader asks
 * for at most one trim a second. True also when the age of the oldest event is not known. */
bool evict_due(const struct stream *s, const struct retention *r, uint64_t now_ms);
/* What goes when so many events and bytes come. A bounded number of steps. */
void evict_judge(const struct stream *s, const struct retention *r, uint64_t now_ms,
                 uint64_t more_events, uint64_t more_bytes, struct eviction *e);
/* The item that says it: ITEM_LOW or ITEM_DELETE. NULL: no memory. */
struct ior_blob *evict_item(const struct stream *s, enum item_op op, uint64_t low,
                            uint64_t dropped_bytes);

/* m waits until sizes from s->reserved_low on are loaded, and runs again from its start. While
 * s->heading is set everything that must keep its order parks behind it by evict_park(). */
IOR_MUST_CHECK enum ior_err evict_load(struct vnode *vn, struct stream *s, struct msg *m);
void evict_park(struct stream *s, struct msg *m);

struct fetch;

/* For a trim by policy, on the disk pool: how far it goes over the saved events from..to. excess:
 * at least so many bytes must go; ids below low_by_count go in any case. */
struct evict_search {
    uint32_t partition;
    uint64_t uid;
    uint64_t from, to;
    uint64_t newest; /* this one goes only by its age */
    uint64_t low_by_count;
    uint64_t excess_bytes;
    uint64_t before_ms; /* older ones go */
    uint64_t low;       /* out: the first that stays, at most to + 1 */
    uint64_t low_ms;    /* out: its time; 0: not known */
    uint64_t bytes;     /* out: payload of what goes */
};
IOR_MUST_CHECK enum ior_err evict_search_disk(struct fetch *f, struct evict_search *e,
                                              struct ior_why *why);

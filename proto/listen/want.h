/* proto/listen/want.h - what a client wants to hear: the `s=` of GET /listen (API.md
 * section 5), the same for every transport. Pure. */
#pragma once

#include "base/slice.h"

/* One stream, and from where. Neither has_id nor has_end: new events only. */
struct listen_want {
    struct ior_slice bucket;
    struct ior_slice stream;
    bool has_id;
    uint64_t id; /* events with at least this id */
    bool has_end;
    uint64_t end; /* the last so many events, then the new ones; at least 1 */
};

/* s: `bucket:stream[:from]`, decoded once by the query. The names are decoded once more,
 * into scratch (room for as many bytes as s has). False: not two or three parts, a from
 * that is no integer, a name that cannot be, or a pattern (they come with a later version). */
bool want_parse(struct ior_slice s, uint8_t *scratch, struct listen_want *ret);
/* The same stream once more: it is followed from the lower of the two. */
void want_merge(struct listen_want *into, const struct listen_want *w);
bool want_same_stream(const struct listen_want *a, const struct listen_want *b);
/* The id that its first event must have at least, in a stream that keeps low..high; may be
 * below low (a gap), but not above high + 1. */
uint64_t want_first(const struct listen_want *w, uint64_t low, uint64_t high);

/* src/core/units.h - what max_total_bytes of a bucket may take away: whole chunks, and small
 * streams as a whole, oldest first over all its streams. Only what is saved is a unit.
 * Happy path: units_of_stream() for each stream; it keeps the UNITS_MAX oldest ones; then
 * units_pick(). With more units than that the rest is for the next time.
 * Sizes are those of whole chunks; of one that low has entered the size is estimated by the
 * number of its events that are left, so a pick may take too little: the next one takes the rest.
 * Failure modes: NOMEM; errors of the catalog. Thread: one at a time. */
#pragma once

#include "store/catalog.h"

enum { UNITS_MAX = 16384 };

struct unit {
    uint64_t time_ms; /* of its last event */
    uint64_t uid;
    uint64_t first; /* the first id of it that is kept */
    uint64_t last;
    uint64_t bytes;
    uint32_t partition;
    bool counted; /* the caller's: see units_of_stream() */
};

struct units {
    struct unit *items; /* a heap, the youngest on top, until units_pick() */
    size_t count;
    bool truncated; /* there were more */
};

void units_init(struct units *u);
void units_done(struct units *u);
/* Those of one stream whose first id kept is `low`, which may be above its row's. */
IOR_MUST_CHECK enum ior_err units_of_stream(struct units *u, struct kv_reader *r,
                                            const struct stream_row *row, uint64_t low,
                                            bool counted);
/* Sorts them, and leaves those that must go so that at least excess_bytes go (or all), oldest
 * first. */
void units_pick(struct units *u, uint64_t excess_bytes);
/* After a pick: of each stream only the last one stays, with `first` of its first one. */
void units_join(struct units *u);

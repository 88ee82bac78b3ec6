/* src/core/sweep_private.h - what sweep.c and sweep_total.c share. */
#pragma once

#include "core/iorio.h"
#include "core/survey.h"
#include "core/sweep.h"
#include "core/units.h"

/* A stream that is to be trimmed. */
struct sweep_found {
    size_t offset_bytes; /* of its name, in names */
    uint32_t size_bytes;
    uint64_t to; /* 0: by its policy */
};

/* A stream of which it must be looked up in the catalog or on the disk whether it has something. */
struct sweep_ask {
    uint32_t partition;
    uint64_t uid;
    uint64_t low;
    uint64_t before_ms;
    size_t offset_bytes;
    uint32_t size_bytes;
};

/* When the first event kept was written, so far as it is known. */
struct sweep_time {
    uint64_t uid;
    uint64_t low;
    uint64_t time_ms;
    bool exact; /* else it is not older than that */
};

struct sweep {
    struct node *node;
    struct survey survey;
    struct msg msg;
    struct retention_view *view; /* of this sweep */
    uint64_t pos;                /* in it */
    bool running;
    _Atomic bool rests;
    uint64_t number;   /* of the view that was swept last */
    uint64_t begin_us; /* of the last sweep */
    uint64_t end_us;
    uint64_t now_ms; /* by which this survey judges */

    struct ior_slice bucket; /* in the view */
    struct retention policy; /* of the bucket */
    enum ior_err err;        /* the sweep ends early */

    struct sweep_found found[SWEEP_LOT_MAX];
    struct sweep_ask asks[SWEEP_LOT_MAX];
    size_t found_count, ask_count;
    struct ior_buf names;
    size_t at; /* of found: the next to be trimmed */
    unsigned trims;
    void (*trimmed)(struct sweep *sw);
    struct sweep_time *times;

    struct units units; /* of sweep_total.c, like what follows */
    uint64_t total_bytes;
    size_t unit_at;
    unsigned rounds;
};

/* sweep.c: trims the lot, then calls trimmed. */
void sweep_trim_lot(struct sweep *sw, void (*trimmed)(struct sweep *sw));
/* False: no memory; the sweep ends. */
bool sweep_add_name(struct sweep *sw, struct ior_slice name, size_t *ret_offset_bytes);
void sweep_clear_lot(struct sweep *sw);
/* The next policy. */
void sweep_next(struct sweep *sw);
/* sweep_total.c: the bucket's max_total_bytes; then sweep_next(). */
void sweep_total(struct sweep *sw);

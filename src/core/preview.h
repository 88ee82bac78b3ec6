/* src/core/preview.h - what would go if a policy held now; nothing is changed.
 * Happy path: a survey of the bucket or of the stream; what is in memory is judged by
 * evict_judge(), what is on the disk by evict_search_disk(): by what evicts. Then, for a
 * bucket, what max_total_bytes takes of the rest (units.h; of at most UNITS_MAX chunks).
 * It is exact while nothing is written or trimmed meanwhile; then each stream is judged as it is
 * when it is looked at.
 * Failure modes: those of survey.h. BUSY: PREVIEWS_MAX are under way.
 * Thread: a worker; the contract of the callback is that of iorio.h. */
#pragma once

#include "core/evict.h"
#include "core/survey.h"
#include "core/units.h"

enum { PREVIEW_LOT_MAX = 256 };

/* A stream in memory of which the catalog is asked for units. */
struct preview_ask {
    uint32_t partition;
    uint64_t uid;
    uint64_t low;
    bool counted;
};

struct preview;
typedef void (*preview_cb)(struct preview *p);

struct preview {
    struct survey survey;        /* private, like what follows */
    struct node *node;           /* private */
    preview_cb cb;               /* private */
    struct retention_view *view; /* private: for what the streams say themselves */
    uint64_t now_ms;             /* private */
    uint64_t judged_uid;         /* private: the stream in memory that is being judged; 0: none */
    struct eviction judged;      /* private: how far */
    struct evict_search search;  /* private: of it, on the disk */
    unsigned tries;              /* private */
    unsigned searched;           /* private */
    bool searches;               /* private */
    struct preview_ask asks[PREVIEW_LOT_MAX]; /* private */
    size_t ask_count;                         /* private */
    struct units units;                       /* private */
    uint64_t left_bytes; /* private: of the bucket, when the policies of streams held */

    bool present;            /* in: what holds now, `policy` is not looked at */
    struct retention policy; /* in: as if it were the bucket's, or the stream's */
    uint64_t deadline_us;    /* in: clock_mono_us(); 0: none */
    void *user_ptr;          /* the caller's */
    uint64_t user[1];        /* the caller's */

    enum ior_err err; /* out */
    uint64_t streams; /* out: that would lose events */
    uint64_t events;  /* out */
    uint64_t bytes;   /* out */

    uint8_t bucket_bytes;
    uint16_t stream_bytes;
    uint8_t names[];
};

/* stream empty: of the bucket. NOMEM. */
IOR_MUST_CHECK enum ior_err preview_new(struct ior_slice bucket, struct ior_slice stream,
                                        struct preview **ret);
void preview_free(struct preview *p);
/* BUSY, CLOSING. */
IOR_MUST_CHECK enum ior_err iorio_preview(struct node *n, struct preview *p, preview_cb cb);

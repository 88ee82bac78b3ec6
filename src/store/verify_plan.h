/* src/store/verify_plan.h - which streams a new catalog has, and what its rows say: what
 * verify_rebuild.c then writes. Private to these two.
 * For each stream what the old catalog says counts where it fits the files; else the chunk
 * files say how far it goes, and the journal where it goes on. Ids never begin anew: what is
 * lost is a range of ids below low. */
#pragma once

#include "store/chunk_check.h"
#include "store/verify_private.h"

struct plan_chunk {
    struct chunk_row row;
    uint64_t low; /* of its last event */
    bool named;   /* the old catalog has a row for it, and this is what it says */
    bool damaged;
    bool in_chain;  /* it gets a row */
    bool is_buried; /* it may be removed */
    bool is_aside;  /* it is renamed to NAME.lost */
};

struct plan_stream {
    uint32_t partition;
    uint64_t uid;
    bool has_row; /* in the old catalog */
    struct stream_row old;
    struct ior_buf names; /* bucket, then the name */
    size_t bucket_bytes;  /* 0: unknown */
    bool name_deleted;    /* says the name of a lost row */
    struct plan_chunk *chunks;
    size_t chunk_count;
    struct ior_slice small; /* empty: none */
    struct verify_small small_state;
    /* the answer */
    bool wanted;
    uint64_t low_said; /* the low that row or events name; events that are lost may begin here */
    struct stream_row row; /* name and bucket_id are not filled */
};

struct plan {
    struct verify v;
    struct verify_files files;
    struct ior_map map;         /* uid -> plan_stream */
    struct plan_stream **items; /* by partition and uid */
    size_t count;
    size_t room;
    uint64_t lowest_segment; /* 0: none */
    bool facts_lost;
};

struct ior_slice plan_bucket(const struct plan_stream *s);
struct ior_slice plan_name(const struct plan_stream *s);
/* Reads everything. CORRUPT: identity or journal; NOMEM... with *why. */
IOR_MUST_CHECK enum ior_err plan_make(struct plan *p, const struct verify_params *vp,
                                      struct verify_counts *counts, struct ior_why *why);
void plan_done(struct plan *p);
/* The row of a group in the new catalog; false: it needs none. */
bool plan_group(struct plan *p, uint32_t group, struct group_row *ret);

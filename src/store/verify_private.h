/* src/store/verify_private.h - what the files of verify.h and verify_rebuild.h share.
 * verify.c: the order of things; verify_names.c: buckets and names; verify_streams.c: rows,
 * chunks, small streams; verify_journal.c: the journal against them; verify_files.c: files. */
#pragma once

#include "base/map.h"
#include "store/catalog.h"
#include "store/identity.h"
#include "store/journal.h"
#include "store/verify.h"
#include "store/verify_image.h"

/* What the journal holds of a group, and where the catalog says that it goes on. */
struct verify_group {
    bool saved; /* it has a row */
    uint64_t saved_index;
    uint64_t saved_term;
    bool seen;              /* entries behind saved_index */
    uint64_t first_applied; /* the first of them */
    uint64_t row_index;     /* as the row says, whatever `saved` became; 0: no row */
    uint64_t first_index;   /* of all entries in the journal; 0: none */
    uint64_t first_term;    /* of the first record, votes too */
    uint64_t last_index;
    uint64_t term;
};

/* A stream as the records of the journal change it. */
struct verify_stream {
    uint64_t uid;
    uint32_t partition;
    bool from_row;
    bool lost_row; /* the journal goes on with a stream that nobody created */
    bool created;  /* in the journal */
    uint64_t low;
    uint64_t high;
    uint64_t last_index;
    /* For a rebuild: the first event behind high, when one is missing in front of it. */
    uint64_t gap_to; /* its seqnum; 0: none is missing */
    uint64_t gap_index;
    uint64_t gap_low;
};

struct verify_bucket;

struct verify {
    const struct verify_params *p;
    struct verify_counts *counts;
    struct identity identity;
    struct image image;
    struct verify_bucket *buckets; /* by id */
    size_t bucket_count;
    struct verify_group *groups; /* ring_size + 1 */
    struct ior_map streams;      /* uid -> verify_stream */
    uint64_t first_segment;      /* 0: unknown */
    bool rebuild;                /* gaps are noted, not told */
    unsigned wrong_pages;        /* of the catalog, that were told */
};

/* offset: VERIFY_NO_OFFSET for none. */
void verify_say(struct verify *v, enum verify_level level, const char *file, uint64_t offset_bytes,
                const char *fmt, ...) IOR_PRINTF(5, 6);
/* "p7/3f/3f00..." of a stream, for messages about the catalog's rows. */
#define VERIFY_STREAM_FMT "stream %016" PRIx64 " in partition %" PRIu32
/* A name in print: what is no printable ASCII becomes \xHH; at most room - 1 bytes. */
const char *verify_printable(struct ior_slice name, char *out, size_t room);

/* ---- verify.c ---- */
/* Identity, the image of the catalog, the tables in memory. */
IOR_MUST_CHECK enum ior_err verify_begin(struct verify *v, const struct verify_params *p,
                                         struct verify_counts *counts, bool rebuild,
                                         struct ior_why *why);
void verify_end(struct verify *v);

/* ---- verify_names.c ---- */
/* The name of a bucket by its id; data NULL: unknown. */
struct ior_slice verify_bucket_name(const struct verify *v, uint32_t id);
IOR_MUST_CHECK enum ior_err verify_load_buckets(struct verify *v);
/* Calls cb for each name of a stream that can be put together. */
typedef void (*verify_name_cb)(void *ctx, uint32_t bucket_id, struct ior_slice name,
                               const struct catalog_name *to);
void verify_each_name(struct verify *v, verify_name_cb cb, void *ctx);
/* Buckets, counters and names against rows, and back. */
IOR_MUST_CHECK enum ior_err verify_names(struct verify *v);

/* ---- verify_streams.c ---- */
struct verify_small {
    uint64_t first;
    uint64_t last;
    uint64_t bytes_from_low;
    uint64_t last_index;
    uint64_t last_time_ms;
};
/* NULL: sound; else what is wrong, and *ret_offset where in the value. */
const char *verify_small_entries(struct ior_slice entries, uint64_t uid, uint64_t low,
                                 struct verify_small *ret, uint64_t *ret_offset);
void verify_streams(struct verify *v);

/* ---- verify_journal.c ---- */
/* Every record; groups and streams as they are behind it. *ret_err: CORRUPT, it was told. */
void verify_journal(struct verify *v, enum ior_err *ret_err);
/* v->groups and v->streams from the image. NOMEM. */
IOR_MUST_CHECK enum ior_err verify_load_groups(struct verify *v);
IOR_MUST_CHECK enum ior_err verify_add_stream(struct verify *v, const struct verify_stream *s,
                                              struct verify_stream **ret);
struct verify_stream *verify_find_stream(struct verify *v, uint64_t uid);

/* ---- verify_files.c ---- */
/* Every chunk file in the folders of partitions, by partition, uid and first seqnum. */
struct verify_file {
    uint32_t partition;
    uint64_t uid;
    uint64_t first_seqnum;
};
struct verify_files {
    struct verify_file *items;
    size_t count;
    size_t room;
};
IOR_MUST_CHECK enum ior_err verify_list_files(struct disk *d, struct verify_files *ret,
                                              struct ior_why *why);
/* Files that nobody names are notes; graves are looked at. */
void verify_files(struct verify *v, const struct verify_files *files);

/* src/store/verify.h - is a data directory sound? And a new catalog for one that has lost it.
 * verify_run() only reads: identity, the pages of the catalog (kv_pages.h) and every value in it,
 * every record of the journal, every chunk file that the catalog names, and whether all of them
 * say the same. Nothing is written and
 * no file made. verify_rebuild() is in verify_rebuild.h.
 * The caller holds the lock of the directory. What is found is told one by one; after damage it
 * goes on with what can still be looked at.
 * Failure modes: only what keeps it from looking is an error: NOTFOUND (no data directory),
 * NOMEM, VERSION. Damage is a finding.
 * Thread: one; with `dir` no other may run (a child reads the catalog, verify_image.h). */
#pragma once

#include "rt/disk.h"
#include "store/kv.h"

/* LOST: by a rebuild, or long before it; the directory is sound without it. */
enum verify_level { VERIFY_NOTE, VERIFY_ERROR, VERIFY_LOST };
#define VERIFY_NO_OFFSET UINT64_MAX

struct verify_finding {
    enum verify_level level;
    const char *file; /* below the data directory */
    uint64_t offset_bytes;
    const char *what;
};

struct verify_counts {
    /* In the catalog: what the journal did since the last checkpoint is not in them. */
    uint64_t streams; /* those that are not deleted */
    uint64_t events;  /* in chunks and small streams, from low on */
    uint64_t bytes;   /* of their payloads */
    uint64_t chunks;
    uint64_t segments;
    uint64_t records; /* of the journal */
    uint64_t errors;
    uint64_t notes;
    uint64_t losses; /* VERIFY_LOST */
};

struct verify_params {
    struct disk *disk;
    const char *dir; /* the same, for LMDB; NULL: kv below instead, in this process */
    struct kv *kv;
    void (*on_finding)(void *ctx, const struct verify_finding *f);
    /* Chunks looked at, of so many. NULL: nobody wants to know. */
    void (*on_progress)(void *ctx, uint64_t done, uint64_t all);
    void *ctx;
};

IOR_MUST_CHECK enum ior_err verify_run(const struct verify_params *p, struct verify_counts *ret,
                                       struct ior_why *why);

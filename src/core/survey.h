/* src/core/survey.h - looking at every stream of a bucket, or at one stream, where it is: in
 * memory or only in the catalog. For what retention does by the clock: sweep.h, preview.h.
 * Happy path: the vnodes one after the other (streams in memory, SURVEY_VISIT_STREAMS a visit of
 * the strand), then the rows of the catalog that were not seen in memory (SURVEY_BLOCK_ROWS a
 * job of the disk pool; no snapshot is held between two jobs). After each visit and each block
 * pause() runs on the worker that began: it does what was found to be done and calls
 * survey_go_on().
 * What changes meanwhile may be seen as it was before or after; no stream is seen twice, and
 * none that is there all the time is left out.
 * Failure modes: NOMEM, BUSY, errors of the catalog (logged), TIMEOUT (deadline_us), CLOSING
 * (the node stops): they end it.
 * Memory: 8 bytes a stream of the bucket that is in memory.
 * Thread: one part at a time, so what the callbacks share needs no lock. */
#pragma once

#include "base/buf.h"
#include "core/vnode.h"
#include "rt/job.h"
#include "store/catalog.h"

enum { SURVEY_VISIT_STREAMS = 128, SURVEY_BLOCK_ROWS = 1000 };

enum survey_next {
    SURVEY_ON,    /* the next stream */
    SURVEY_PAUSE, /* pause first, then the next stream */
    SURVEY_AGAIN, /* pause first, then the same stream once more */
};

struct survey {
    struct msg msg;                              /* private */
    struct job job;                              /* private */
    struct node *node;                           /* private */
    struct worker *origin;                       /* private */
    uint32_t vnode;                              /* private */
    struct ior_buf at;                           /* private: the last name that was done */
    uint64_t *seen;                              /* private: streams in memory */
    size_t seen_count, seen_room;                /* private */
    uint32_t bucket_id;                          /* private */
    bool in_catalog, sorted, block_full, paused; /* private */
    size_t looked;                               /* private: in this visit or block */

    struct ior_slice bucket; /* in: borrowed until the end */
    struct ior_slice stream; /* in: only this one; empty: all */
    uint64_t deadline_us;    /* in: clock_mono_us(); 0: none */
    /* in: in the vnode's strand, of streams that are not deleted */
    enum survey_next (*on_memory)(struct survey *sv, struct vnode *vn, struct stream *s);
    /* in: on a thread of the disk pool; the reader has a snapshot */
    enum survey_next (*on_row)(struct survey *sv, struct kv_reader *r,
                               const struct stream_row *row);
    /* in: on a thread of the disk pool behind each block, without a snapshot; NULL: nothing */
    void (*after_rows)(struct survey *sv);
    void (*pause)(struct survey *sv); /* in: on the worker that began */

    enum ior_err err; /* out; may be set by the callbacks too: then it ends */
    bool finished;    /* out: in pause(): this was all; survey_done() */
};

/* Never runs anything inside the call. The node's count of surveys goes up until survey_done(). */
void survey_begin(struct node *n, struct survey *sv);
/* From pause() or later, on the same worker. */
void survey_go_on(struct survey *sv);
/* A job of the disk pool between two parts: work(sv) there, then then(sv) on the worker. */
void survey_on_disk(struct survey *sv, void (*work)(struct job *j), void (*then)(struct job *j));
static inline struct survey *survey_of_job(struct job *j)
{
    return IOR_CONTAINER(j, struct survey, job);
}
/* Frees what is inside. */
void survey_done(struct survey *sv);

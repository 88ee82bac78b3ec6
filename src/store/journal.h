/* src/store/journal.h - the node's one journal: records of all groups, in batches,
 * one write and one fdatasync for everybody who waits (group commit).
 * A batch is written only after the sync of the one before has returned, so at
 * most the batch with the highest number can be torn.
 * Life: journal_open, journal_replay (reads everything back), journal_start;
 * then journal_submit from the workers; the steps journal_begin / journal_finish /
 * journal_prepare are driven by journal_thread.h or by the simulator.
 * Failure is sticky: after a failed write or sync, of a segment in the making too,
 * nothing is accepted any more and no sync is tried again. A full disk is not: what waits fails
 * with NOSPC and later submits work as soon as a segment can be made. */
#pragma once

#include "base/err.h"
#include "rt/disk.h"
#include "rt/worker.h"
#include "store/record.h"
#include "store/segment.h"

struct journal;

struct journal_params {
    struct disk *disk; /* borrowed */
    uint64_t segment_bytes;
    /* May a segment take so many bytes of the disk, which others need as well? False: NOSPC. Then
     * room_taken() when it has them, or could not be made. NULL: nobody is asked. */
    bool (*take_room)(void *ctx, uint64_t bytes);
    void (*room_taken)(void *ctx);
    void *room_ctx;
    /* It and all behind it must be there; 0: whatever is. One in front of it may have been kept
     * for its blocks: its records come once more. */
    uint64_t first_seq;
    bool look_only; /* journal_replay() only; nothing is made, synced or removed */
    uint8_t node_id[NODE_ID_BYTES];
    struct worker **workers; /* who may submit, by worker id */
    unsigned worker_count;
};

/* One record on its way. Embed it; it belongs to the journal from OK until done. */
struct journal_req {
    struct msg msg;                        /* private while submitted */
    struct record *record;                 /* in: sealed; its bytes do not change until done */
    uint64_t epoch;                        /* in: journal_epoch() when its group was last sound */
    void (*done)(struct journal_req *req); /* in: runs on origin, exactly once */
    struct worker *origin;                 /* set by submit */
    enum ior_err err;                      /* out: OK (durable), IO, NOSPC, LOST */
};

/* Takes the folder journal/ into use. NOMEM, IO, ACCESS... with *why. */
IOR_MUST_CHECK enum ior_err journal_open(const struct journal_params *p, struct journal **ret,
                                         struct ior_why *why);
/* Every record in order. Errors of the callback end it; its sentence gets the place of the batch
 * in front, unless it begins with the file that is to blame ("catalog.mdb: "). CORRUPT names file
 * and offset; a torn last batch is dropped and reported in *ret. */
typedef enum ior_err (*journal_replay_cb)(void *ctx, const struct record_head *head,
                                          struct ior_slice items, struct ior_why *why);
struct journal_replay_report {
    uint64_t batches;
    uint64_t records;
    uint64_t bytes;
    bool torn;   /* the last batch was torn and dropped */
    bool marked; /* the journal ends with a MARK: nothing can be missing */
    char torn_at[DISK_PATH_MAX + 64];
};
IOR_MUST_CHECK enum ior_err journal_replay(struct journal *j, journal_replay_cb cb, void *ctx,
                                           struct journal_replay_report *ret, struct ior_why *why);
/* After replay: makes what is needed for writing (the first segment; removes the
 * remains of a torn batch). NOSPC, IO with *why. */
IOR_MUST_CHECK enum ior_err journal_start(struct journal *j, struct ior_why *why);
void journal_free(struct journal *j); /* nothing may be in flight; NULL is fine */

/* Thread: a worker. OK: req->done runs later, in submit order per origin.
 * Else nothing was taken: IO (failed before), CLOSING, LOST (the epoch is old). */
IOR_MUST_CHECK enum ior_err journal_submit(struct journal *j, struct journal_req *req);
/* End of a worker's turn: hand over what this worker submitted. */
void journal_kick(struct journal *j, struct worker *w);
uint64_t journal_epoch(struct journal *j);
bool journal_failed(struct journal *j);
bool journal_full(struct journal *j);
/* No segment can be made now, and the one in use has little more than JOURNAL_TRIM_BYTES left (a
 * quarter of a small one) behind more_bytes: it is for what makes room. Cheap; any thread. */
bool journal_tight(struct journal *j, uint64_t more_bytes);

/* Steps, one thread at a time. begin: write a batch of what waits, or a MARK when
 * one is due; true: journal_finish() must follow. */
bool journal_begin(struct journal *j);
void journal_finish(struct journal *j);
/* Microseconds until a MARK is due; UINT64_MAX: none. */
uint64_t journal_mark_due_us(struct journal *j);
bool journal_has_waiting(struct journal *j);
/* Make the next segment ready, if it is not. Any one thread. wants: it is time for it, as a
 * quarter of the active one is used. */
void journal_prepare(struct journal *j);
bool journal_wants_prepare(struct journal *j);
/* No more submits; after what waits is done, a MARK. */
void journal_close(struct journal *j);
/* How a thread waits between two pieces of a segment that nobody waits for; set
 * before the start. NULL: not at all. */
void journal_set_pause(struct journal *j, void (*pause)(unsigned ms));
/* Called (any thread) when begin has something to do; set before the start. */
void journal_set_wake(struct journal *j, void (*wake)(void *ctx), void *ctx);
/* The writer says when it goes to sleep, so that small batches need not wait for the
 * end of a turn. */
void journal_set_idle(struct journal *j);
/* Segments below this one hold nothing that is needed: one is kept for recycling unless
 * the next segment is ready already, the others are removed. Seqs: journal_first_segment ..
 * journal_active_segment. IO: may be tried again, unless the journal has failed (then always IO).
 */
IOR_MUST_CHECK enum ior_err journal_release(struct journal *j, uint64_t below_seq);
uint64_t journal_first_segment(struct journal *j);
uint64_t journal_active_segment(struct journal *j);

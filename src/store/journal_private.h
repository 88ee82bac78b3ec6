/* src/store/journal_private.h - what journal.c, journal_write.c and
 * journal_recover.c share. Nobody else includes it. */
#pragma once

#include <pthread.h>

#include "store/journal.h"

enum { JOURNAL_MAGIC = 0x6a6f7572 };

/* Completions on their way to one worker: one message however many there are. */
struct journal_port {
    struct msg msg; /* first */
    struct journal *journal;
    struct ior_queue done; /* guarded by journal.lock */
    bool posted;           /* guarded by journal.lock */
    bool dirty;            /* own worker: submitted since the last kick */
};

struct journal {
    uint32_t magic;
    struct journal_params params;
    struct journal_port *ports;

    pthread_mutex_t lock; /* guards this block */
    struct ior_queue waiting;
    _Atomic uint64_t epoch; /* written under the lock; grows when what waited was given up */
    bool failed;
    bool closing;
    struct segment spare;   /* file NULL: none */
    uint64_t full_since_us; /* 0: a segment could be made at the last try */
    uint64_t recycle_seq;   /* 0: none */
    uint64_t first_seq;
    uint64_t last_seq; /* highest that exists, the spare included */

    pthread_mutex_t prepare_lock; /* one maker of segments at a time */
    void (*wake)(void *ctx);
    void *wake_ctx;
    void (*pause)(unsigned ms);
    _Atomic uint64_t fill_bytes; /* how far the active segment is written */
    _Atomic bool full;           /* as full_since_us, for who does not hold the lock */
    _Atomic bool hurry;          /* the writer waits for the next segment */
    _Atomic bool idle;           /* the writer sleeps */
    _Atomic bool eager;          /* batches are small and syncs fast: see journal_submit() */

    /* The writer's own. */
    struct segment active;
    uint64_t position_bytes;  /* where the next batch goes */
    uint64_t forgotten_bytes; /* before it the page cache was given back */
    uint64_t next_number;
    uint64_t last_write_us;
    bool mark_due;
    bool unmarked;              /* recovery found batches without a MARK behind them */
    bool scrub;                 /* recovery left the head of a torn batch at position_bytes */
    uint64_t last_batch_offset; /* of recovery: the last sound one in active; 0: none */
    struct ior_queue batch;
    uint64_t batch_length_bytes;
    uint64_t batch_started_us;
    uint64_t average_records; /* of the last batches, times AVERAGE_OF */
    uint64_t average_us;      /* of their writes and syncs, times AVERAGE_OF */
    uint8_t *staging;
    size_t staging_room;
};

enum ior_err journal_roll(struct journal *j, uint64_t need_bytes);
/* What waits is given up; any error but NOSPC and NOMEM is for good. The writer's. */
void journal_fail(struct journal *j, enum ior_err err);
/* Lock held: nothing is accepted any more. False: that was so before. */
bool journal_stick(struct journal *j);
enum ior_err journal_remove_segment(struct journal *j, uint64_t seq);

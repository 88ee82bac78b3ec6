/* src/core/node.h - one node: its data directory, journal, groups and vnodes.
 * Life: node_open (recovers), then the workers run and call iorio.h, node_close.
 * The same code runs on a real disk with threads and in the simulator. */
#pragma once

#include "base/limits.h"
#include "cluster/meta.h"
#include "core/cutoff.h"
#include "core/vnode.h"
#include "rt/job.h"
#include "store/fetch.h"
#include "store/identity.h"
#include "store/journal.h"
#include "store/kv.h"

struct checkpoint;
struct quotas;
struct session_sweep;
struct sweep;

struct node_params {
    struct disk *disk; /* borrowed */
    /* The catalog's file; the node closes it. kv_lmdb_open() or kv_sim_open(). */
    enum ior_err (*open_kv)(void *ctx, struct kv **ret, struct ior_why *why);
    void *open_kv_ctx;
    struct job_queue *disk_jobs; /* borrowed: reads of the disk */
    const char *name;
    uint32_t ring_size;
    uint64_t segment_bytes;
    uint64_t journal_bytes_max;
    uint64_t disk_reserve_bytes; /* 0: the room of the disk is not looked at */
    uint64_t tail_bytes_max;
    uint64_t history_bytes_max;
    uint64_t history_items_max; /* of one stream, like the next */
    uint64_t history_stream_bytes_max;
    uint64_t inflight_bytes_max;
    uint64_t dedupe_window_ms;
    uint64_t dedupe_bytes_max;
    uint64_t chunk_items_max;
    uint64_t chunk_bytes_max;
    uint64_t small_bytes_max;
    uint64_t stream_idle_ms; /* a stream that is not used for so long leaves memory */
    uint64_t eviction_interval_ms;
    uint64_t bucket_streams_max; /* at first (quota.h); 0: no limit, like the next */
    uint64_t bucket_bytes_max;
    struct worker **workers;
    unsigned worker_count;
};

struct node {
    uint32_t magic;
    struct node_params params;
    struct identity identity;
    struct kv *kv;
    struct fetch *fetch;
    struct journal *journal;
    struct meta *meta;    /* group 0 */
    struct vnode *vnodes; /* ring_size of them */
    struct checkpoint *checkpoint;
    struct sweep *sweep;
    struct quotas *quotas;
    struct session_sweep *session_sweep;
    struct stream_memory memory;
    _Atomic uint64_t inflight_bytes;
    struct dedupe_limits dedupe;
    uint32_t tick_at;                      /* the vnode whose turn it is */
    _Atomic uint64_t eviction_interval_ms; /* between two sweeps */
    uint64_t first_segment;       /* at the start: the catalog needs the journal from here on */
    _Atomic uint64_t watch_count; /* submitted and not answered */
    _Atomic uint64_t disk_bytes;  /* free at the last look, like the next */
    _Atomic uint64_t disk_files;
    _Atomic uint64_t disk_promised;      /* to a segment that is being made */
    _Atomic bool disk_tight;             /* no room for more, or nearly: as of the last look */
    struct cutoff cutoff;                /* node_tick()'s */
    bool cutoff_lags;                    /* it was logged */
    _Atomic uint64_t retention_now_ms;   /* by which ages are judged; 0: not known yet */
    _Atomic uint64_t retention_bound_ms; /* of the cutoff, for checkpoints */
    _Atomic unsigned surveys;            /* under way (survey.h) */
    _Atomic unsigned previews;           /* of these */
    _Atomic bool surveys_stop;           /* they end soon, and none begins */
    _Atomic bool journal_over;           /* the journal is larger than journal_bytes_max */
    bool was_clean;                      /* the catalog says so until the first change */
};

/* Reads everything back. Errors with *why: CORRUPT, VERSION, FOREIGN, NOSPC, IO... */
IOR_MUST_CHECK enum ior_err node_open(const struct node_params *p, struct node **ret,
                                      struct journal_replay_report *report, struct ior_why *why);
/* The workers have stopped and nothing is in flight. NULL is fine. */
void node_close(struct node *n);
/* The last thing before node_close() of a clean stop: the catalog says that it needs no walk at
 * the next start. The checkpoints rest. Errors leave it without the mark. */
IOR_MUST_CHECK enum ior_err node_mark_clean(struct node *n, struct ior_why *why);
/* Every 100 ms, always on the same worker: what goes by the clock, a part of the vnodes at
 * a time, all of them within 32 ticks. */
void node_tick(struct node *n);
/* The patches of a stream x are in the stream x-$patch. */
#define PATCH_SUFFIX "-$patch"
/* The vnode of a stream: hash of bucket and stream, where a stream named
 * `x-$patch` goes with `x`. *ret_hash is the hash of the full names. */
struct vnode *node_route(struct node *n, struct ior_slice bucket, struct ior_slice stream,
                         uint64_t *ret_hash);
/* OK: writes may be taken (API.md /readyz). Else what is wrong; *ret_reason: better words than
 * the error's own, or NULL. */
enum ior_err node_health(struct node *n, const char **ret_reason);
bool node_writable(struct node *n);
/* Is there room for more events: for those that no checkpoint has saved yet, these, and what
 * checkpoints and deletions need? Cheap; as of the last look. Any thread. */
bool node_has_room(struct node *n, uint64_t more_bytes);
/* Looks at the disk. Off the workers. */
void node_look_at_disk(struct node *n);
/* From now on; else as node_params says. Any thread. */
void node_set_eviction_interval(struct node *n, uint64_t ms);
/* The gauges that say how much there is of something, as of now. Any thread. */
void node_set_gauges(struct node *n);
/* Bytes of the segments that are needed; of the catalog's file. */
uint64_t node_journal_bytes(struct node *n);
/* Is it larger than journal_bytes_max? Appends are refused then. Any thread. */
void node_look_at_journal(struct node *n);
uint64_t node_catalog_bytes(struct node *n);

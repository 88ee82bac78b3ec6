/* src/core/node.h - one node: its data directory, journal, groups and vnodes.
 * Life: node_open (recovers), then the workers run and call iorio.h, node_close.
 * The same code runs on a real disk with threads and in the simulator. */
#pragma once

#include "base/limits.h"
#include "cluster/meta.h"
#include "core/vnode.h"
#include "store/identity.h"
#include "store/journal.h"

struct node_params {
    struct disk *disk; /* borrowed */
    const char *name;
    uint32_t ring_size;
    uint64_t segment_bytes;
    uint64_t tail_bytes_max;
    uint64_t inflight_bytes_max;
    uint64_t dedupe_window_ms;
    uint64_t dedupe_bytes_max;
    struct worker **workers;
    unsigned worker_count;
};

struct node {
    uint32_t magic;
    struct node_params params;
    struct identity identity;
    struct journal *journal;
    struct meta *meta;    /* group 0 */
    struct vnode *vnodes; /* ring_size of them */
    _Atomic uint64_t tail_bytes;
    _Atomic uint64_t inflight_bytes;
    struct dedupe_limits dedupe;
    uint32_t tick_at; /* the vnode whose turn it is */
    _Atomic uint64_t stream_count;
    _Atomic uint64_t watch_count; /* submitted and not answered */
};

/* Reads everything back. Errors with *why: CORRUPT, VERSION, FOREIGN, NOSPC, IO... */
IOR_MUST_CHECK enum ior_err node_open(const struct node_params *p, struct node **ret,
                                      struct journal_replay_report *report, struct ior_why *why);
/* The workers have stopped and nothing is in flight. NULL is fine. */
void node_close(struct node *n);
/* Every 100 ms, always on the same worker: what goes by the clock, a part of the vnodes at
 * a time, all of them within 32 ticks. */
void node_tick(struct node *n);
/* The vnode of a stream: hash of bucket and stream, where a stream named
 * `x-$patch` goes with `x`. *ret_hash is the hash of the full names. */
struct vnode *node_route(struct node *n, struct ior_slice bucket, struct ior_slice stream,
                         uint64_t *ret_hash);
/* Writes may be taken (API.md /readyz)? */
bool node_writable(struct node *n);

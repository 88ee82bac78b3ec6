/* src/core/node.c - opening and closing a node.
 * Happy path: identity, journal, meta and vnodes; every record of the journal goes
 * to its group (0: meta, n: partition n - 1); then the journal is made ready for
 * writing.
 * Failure modes: everything that is wrong with the data directory is an error
 * with a sentence; nothing is changed or deleted then. */
#include "core/node.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/metrics.h"
#include "core/iorio.h"

enum { NODE_MAGIC = 0x6e6f6465, NODE_ROUND_TICKS = 32 };

static const struct ior_slice patch_suffix = {(const uint8_t *)"-$patch", 7};

struct vnode *node_route(struct node *n, struct ior_slice bucket, struct ior_slice stream,
                         uint64_t *ret_hash)
{
    uint64_t hash = ior_hash_pair(bucket, stream);
    *ret_hash = hash;
    if (stream.size_bytes > patch_suffix.size_bytes && ior_slice_ends(stream, patch_suffix)) {
        stream.size_bytes -= patch_suffix.size_bytes;
        hash = ior_hash_pair(bucket, stream);
    }
    return &n->vnodes[hash % n->params.ring_size];
}

void node_tick(struct node *n)
{
    uint32_t count = (n->params.ring_size + NODE_ROUND_TICKS - 1) / NODE_ROUND_TICKS;
    for (uint32_t i = 0; i < count; i++) {
        vnode_tick(&n->vnodes[n->tick_at]);
        n->tick_at = (n->tick_at + 1) % n->params.ring_size;
    }
}

bool node_writable(struct node *n)
{
    return !journal_failed(n->journal) && !journal_full(n->journal);
}

static enum ior_err on_record(void *ctx, const struct record_head *head, struct ior_slice items,
                              struct ior_why *why)
{
    struct node *n = ctx;
    if (head->group == 0) return meta_replay(n->meta, head, items, why);
    if (head->group > n->params.ring_size)
        return ior_why_set(why, IOR_E_CORRUPT, "a record of group %u, but there are %u partitions",
                           head->group, n->params.ring_size);
    return vnode_replay(&n->vnodes[head->group - 1], head, items, why);
}

static enum ior_err make_parts(struct node *n, struct ior_why *why)
{
    const struct node_params *p = &n->params;
    struct journal_params jp = {
        .disk = p->disk,
        .segment_bytes = p->segment_bytes,
        /* Nothing is released before there are checkpoints: the first one must be there. */
        .first_seq = n->identity.has_journal ? 1 : 0,
        .workers = p->workers,
        .worker_count = p->worker_count,
    };
    memcpy(jp.node_id, n->identity.id, sizeof jp.node_id);
    enum ior_err err = journal_open(&jp, &n->journal, why);
    if (err != IOR_OK) return err;
    struct meta_params mp = {n->journal, p->workers, p->worker_count, p->name};
    err = meta_new(&mp, &n->meta);
    if (err != IOR_OK) return ior_why_set(why, err, "out of memory");
    n->vnodes = calloc(p->ring_size, sizeof *n->vnodes);
    if (n->vnodes == NULL) return ior_why_set(why, IOR_E_NOMEM, "out of memory");
    for (uint32_t i = 0; i < p->ring_size; i++) vnode_init(&n->vnodes[i], n, i);
    return IOR_OK;
}

enum ior_err node_open(const struct node_params *p, struct node **ret,
                       struct journal_replay_report *report, struct ior_why *why)
{
    IOR_ASSERT(p->ring_size > 0 && p->worker_count > 0 && p->worker_count <= WORKERS_MAX);
    struct node *n = calloc(1, sizeof *n);
    if (n == NULL) return ior_why_set(why, IOR_E_NOMEM, "out of memory");
    n->magic = NODE_MAGIC;
    n->params = *p;
    n->dedupe.window_ms = p->dedupe_window_ms;
    n->dedupe.bytes_max = p->dedupe_bytes_max;
    enum ior_err err = identity_open(p->disk, p->name, p->ring_size, &n->identity, why);
    if (err == IOR_OK) err = make_parts(n, why);
    if (err == IOR_OK) err = journal_replay(n->journal, on_record, n, report, why);
    if (err == IOR_OK) err = meta_start(n->meta, why);
    if (err == IOR_OK) err = journal_start(n->journal, why);
    if (err == IOR_OK) {
        err = identity_set_journal(p->disk, &n->identity);
        if (err != IOR_OK)
            ior_why_set(why, err, "cannot write the file `identity`: %s", ior_err_reason(err));
    }
    if (err != IOR_OK) {
        node_close(n);
        return err;
    }
    metric_gauge_set(METRIC_streams, (int64_t)atomic_load(&n->stream_count));
    *ret = n;
    return IOR_OK;
}

void node_close(struct node *n)
{
    if (n == NULL) return;
    IOR_CHECK_MAGIC(n, NODE_MAGIC);
    for (uint32_t i = 0; n->vnodes != NULL && i < n->params.ring_size; i++)
        vnode_done(&n->vnodes[i]);
    free(n->vnodes);
    meta_free(n->meta);
    journal_free(n->journal);
    n->magic = 0;
    free(n);
}

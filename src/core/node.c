/* src/core/node.c - opening and closing a node.
 * Happy path: identity; the catalog says from which segment on the journal is needed and
 * how far each group is saved; every record of the journal behind that goes to its group
 * (0: meta, n: partition n - 1), with checkpoints on the way when memory.tail is half full;
 * then the journal is made ready for writing. Streams are looked up when they are needed.
 * Failure modes: everything that is wrong with the data directory is an error
 * with a sentence; nothing is changed or deleted then. */
#include "core/node.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "core/checkpoint.h"
#include "core/iorio.h"
#include "core/quota.h"
#include "core/session_change.h"
#include "core/sweep.h"

enum { NODE_MAGIC = 0x6e6f6465, NODE_ROUND_TICKS = 32 };

static const struct ior_slice patch_suffix = {(const uint8_t *)PATCH_SUFFIX,
                                              sizeof PATCH_SUFFIX - 1};

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
    node_cutoff_tick(n);
    sweep_tick(n->sweep);
    quotas_tick(n->quotas);
    session_sweep_tick(n->session_sweep);
    for (uint32_t i = 0; i < count; i++) {
        vnode_tick(&n->vnodes[n->tick_at]);
        n->tick_at = (n->tick_at + 1) % n->params.ring_size;
    }
}

/* Checkpoints that fail for want of room are no reason of their own: they are tried again, and
 * disk_tight says so. */
enum ior_err node_health(struct node *n, const char **ret_reason)
{
    *ret_reason = NULL;
    if (journal_failed(n->journal)) return IOR_E_IO;
    if (journal_full(n->journal) || atomic_load(&n->disk_tight)) return IOR_E_NOSPC;
    enum ior_err err = checkpoint_last_error(n->checkpoint);
    if (err != IOR_E_IO && err != IOR_E_CORRUPT && err != IOR_E_VERSION) return IOR_OK;
    *ret_reason = "Checkpoints fail, see the log of the node: appends go on until memory is full";
    return err;
}

bool node_writable(struct node *n)
{
    const char *reason;
    return node_health(n, &reason) == IOR_OK;
}

/* ---- the room of the disk ---- */

/* What is in the tail will be in chunk files: about as many bytes (its cost in memory is more),
 * and a file for each stream that has enough for one. */
/* margin_bytes: so much more than is needed. */
static bool has_room(struct node *n, uint64_t more_bytes, uint64_t margin_bytes)
{
    const struct node_params *p = &n->params;
    if (p->disk_reserve_bytes == 0) return true;
    uint64_t tail = atomic_load_explicit(&n->memory.tail_bytes, memory_order_relaxed) + more_bytes;
    uint64_t promised = atomic_load_explicit(&n->disk_promised, memory_order_relaxed);
    uint64_t files = atomic_load_explicit(&n->disk_files, memory_order_relaxed);
    return atomic_load_explicit(&n->disk_bytes, memory_order_relaxed) >=
               tail + promised + p->disk_reserve_bytes + margin_bytes &&
           files >= tail / p->small_bytes_max + DISK_FILES_RESERVED;
}

bool node_has_room(struct node *n, uint64_t more_bytes)
{
    return has_room(n, more_bytes, 0);
}

void node_look_at_disk(struct node *n)
{
    struct disk_room room;
    if (n->params.disk_reserve_bytes == 0) return;
    if (disk_room(n->params.disk, &room) != IOR_OK) return; /* the next write will tell */
    atomic_store(&n->disk_bytes, room.bytes);
    atomic_store(&n->disk_files, room.files);
    metric_gauge_set(METRIC_disk_free_bytes,
                     room.bytes > INT64_MAX ? INT64_MAX : (int64_t)room.bytes);
    /* A little before small appends are refused, so that it does not come and go with them. */
    bool tight = !has_room(n, 0, n->params.disk_reserve_bytes / 4);
    if (atomic_exchange(&n->disk_tight, tight) == tight) return;
    if (tight) {
        LOG_WARNING("disk", "full",
                    "free_bytes=%llu free_files=%llu: appends get 507 until there is room for "
                    "disk.reserve and the events in memory; deletions go on",
                    (unsigned long long)room.bytes, (unsigned long long)room.files);
    } else {
        LOG_INFO("disk", "room again", "free_bytes=%llu", (unsigned long long)room.bytes);
    }
}

uint64_t node_journal_bytes(struct node *n)
{
    uint64_t first = journal_first_segment(n->journal);
    return (journal_active_segment(n->journal) + 1 - first) * n->params.segment_bytes;
}

void node_look_at_journal(struct node *n)
{
    atomic_store(&n->journal_over, node_journal_bytes(n) > n->params.journal_bytes_max);
}

uint64_t node_catalog_bytes(struct node *n)
{
    return kv_file_bytes(n->kv);
}

void node_set_eviction_interval(struct node *n, uint64_t ms)
{
    atomic_store(&n->eviction_interval_ms, ms);
}

static void set_gauge(enum metric m, uint64_t v)
{
    metric_gauge_set(m, v > INT64_MAX ? INT64_MAX : (int64_t)v);
}

void node_set_gauges(struct node *n)
{
    set_gauge(METRIC_tail_bytes, atomic_load(&n->memory.tail_bytes));
    set_gauge(METRIC_history_bytes, atomic_load(&n->memory.history_bytes));
    set_gauge(METRIC_streams, atomic_load(&n->memory.streams));
    set_gauge(METRIC_journal_size_bytes, node_journal_bytes(n));
    set_gauge(METRIC_revoked_tokens, revoked_count(meta_revoked(n->meta)));
    set_gauge(METRIC_catalog_bytes, node_catalog_bytes(n));
    set_gauge(METRIC_inflight_bytes, atomic_load(&n->inflight_bytes));
}

/* The journal wants a segment: not of the room for events in memory and the reserve. */
static bool take_room(void *ctx, uint64_t bytes)
{
    struct node *n = ctx;
    node_look_at_disk(n);
    node_look_at_journal(n); /* a checkpoint that is under way may take long */
    if (!node_has_room(n, bytes)) return false;
    atomic_store(&n->disk_promised, bytes);
    return true;
}

static void room_taken(void *ctx)
{
    struct node *n = ctx;
    node_look_at_disk(n);
    atomic_store(&n->disk_promised, 0);
}

static enum ior_err on_record(void *ctx, const struct record_head *head, struct ior_slice items,
                              struct ior_why *why)
{
    struct node *n = ctx;
    if (head->group == 0) return meta_replay(n->meta, head, items, why);
    if (head->group > n->params.ring_size)
        return ior_why_set(why, IOR_E_CORRUPT, "a record of group %u, but there are %u partitions",
                           head->group, n->params.ring_size);
    enum ior_err err = vnode_replay(&n->vnodes[head->group - 1], head, items, why);
    if (err != IOR_OK || atomic_load(&n->memory.tail_bytes) <= n->params.tail_bytes_max / 2)
        return err;
    return checkpoint_now(n->checkpoint, why);
}

/* ---- what the catalog remembers ---- */

static enum ior_err restore_groups(struct node *n, struct kv_reader *r, struct ior_why *why)
{
    enum ior_err err = catalog_check(r, why);
    if (err == IOR_OK) err = checkpoint_restore_meta(n->meta, r, why);
    for (uint32_t i = 0; err == IOR_OK && i < n->params.ring_size; i++)
        err = vnode_restore(&n->vnodes[i], r, why);
    return err;
}

static enum ior_err restore_first(struct node *n, struct kv_reader *r, struct ior_why *why)
{
    struct ior_slice value;
    n->first_segment = n->identity.has_journal ? 1 : 0;
    enum ior_err err = catalog_get_meta(r, CHECKPOINT_META_FIRST, &value);
    if (err == IOR_E_NOTFOUND) return IOR_OK;
    if (err == IOR_OK && value.size_bytes != 8) err = IOR_E_CORRUPT;
    if (err != IOR_OK)
        return ior_why_set(why, err, KV_LMDB_FILE ": it cannot be read: %s", ior_err_reason(err));
    n->first_segment = ior_get_u64(value.data);
    return IOR_OK;
}

/* How far the clock of ages had come. Without it: as at the first start. */
static enum ior_err restore_clock(struct node *n, struct kv_reader *r, struct ior_why *why)
{
    struct ior_slice value;
    enum ior_err err = catalog_get_meta(r, CHECKPOINT_META_CLOCK, &value);
    if (err == IOR_OK && value.size_bytes != 8) err = IOR_E_CORRUPT;
    if (err != IOR_OK && err != IOR_E_NOTFOUND)
        return ior_why_set(why, err, KV_LMDB_FILE ": it cannot be read: %s", ior_err_reason(err));
    uint64_t saved_ms = err == IOR_OK ? ior_get_u64(value.data) : 0;
    cutoff_init(&n->cutoff, saved_ms);
    atomic_store(&n->retention_bound_ms, saved_ms);
    return IOR_OK;
}

/* From here on the catalog is being changed. Where it does not say that it is clean there is
 * nothing to take back. */
static enum ior_err note_clean(struct node *n, struct kv_reader *r, struct ior_why *why)
{
    struct ior_slice value;
    enum ior_err err = catalog_get_meta(r, CATALOG_META_CLEAN, &value);
    n->was_clean = err == IOR_OK && value.size_bytes == 1 && value.data[0] == 1;
    if (err == IOR_OK || err == IOR_E_NOTFOUND) return IOR_OK;
    return ior_why_set(why, err, KV_LMDB_FILE ": it cannot be read: %s", ior_err_reason(err));
}

static enum ior_err unmark_clean(struct node *n, struct ior_why *why)
{
    return n->was_clean ? checkpoint_mark_clean(n->checkpoint, false, why) : IOR_OK;
}

enum ior_err node_mark_clean(struct node *n, struct ior_why *why)
{
    IOR_CHECK_MAGIC(n, NODE_MAGIC);
    if (journal_failed(n->journal)) return ior_why_set(why, IOR_E_IO, "the journal has failed");
    return checkpoint_mark_clean(n->checkpoint, true, why);
}

static enum ior_err in_snapshot(struct node *n, struct ior_why *why,
                                enum ior_err (*fn)(struct node *n, struct kv_reader *r,
                                                   struct ior_why *why))
{
    struct kv_reader *r = NULL;
    enum ior_err err = fetch_reader_take(n->fetch, &r);
    if (err != IOR_OK) return ior_why_set(why, err, KV_LMDB_FILE ": it cannot be read");
    err = fn(n, r, why);
    fetch_reader_give(n->fetch, r);
    return err;
}

/* ---- open and close ---- */

static enum ior_err open_catalog(struct node *n, struct ior_why *why)
{
    const struct node_params *p = &n->params;
    enum ior_err err = p->open_kv(p->open_kv_ctx, &n->kv, why);
    if (err != IOR_OK) return err;
    err = fetch_new(p->disk, n->kv, &n->fetch);
    return err == IOR_OK ? err : ior_why_set(why, err, "out of memory");
}

static enum ior_err make_parts(struct node *n, struct ior_why *why)
{
    const struct node_params *p = &n->params;
    struct journal_params jp = {
        .disk = p->disk,
        .segment_bytes = p->segment_bytes,
        .take_room = p->disk_reserve_bytes == 0 ? NULL : take_room,
        .room_taken = room_taken,
        .room_ctx = n,
        .first_seq = n->first_segment,
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
    err = checkpoint_new(n, &n->checkpoint);
    if (err == IOR_OK) err = sweep_new(n, &n->sweep);
    if (err == IOR_OK) err = quotas_new(n, p->bucket_streams_max, p->bucket_bytes_max, &n->quotas);
    if (err == IOR_OK) err = session_sweep_new(n, &n->session_sweep);
    return err == IOR_OK ? err : ior_why_set(why, err, "out of memory");
}

static enum ior_err open_parts(struct node *n, struct journal_replay_report *report,
                               struct ior_why *why)
{
    const struct node_params *p = &n->params;
    enum ior_err err = identity_open(p->disk, p->name, p->ring_size, &n->identity, why);
    if (err == IOR_OK) err = open_catalog(n, why);
    if (err == IOR_OK) err = in_snapshot(n, why, restore_first);
    if (err == IOR_OK) err = in_snapshot(n, why, note_clean);
    if (err == IOR_OK) err = make_parts(n, why);
    if (err == IOR_OK) err = unmark_clean(n, why);
    if (err == IOR_OK) err = in_snapshot(n, why, restore_groups);
    if (err == IOR_OK) err = in_snapshot(n, why, restore_clock);
    if (err == IOR_OK) err = journal_replay(n->journal, on_record, n, report, why);
    if (err == IOR_OK) err = meta_start(n->meta, why);
    if (err == IOR_OK) err = journal_start(n->journal, why);
    if (err != IOR_OK) return err;
    err = identity_set_journal(p->disk, &n->identity);
    if (err != IOR_OK)
        ior_why_set(why, err, "cannot write the file `identity`: %s", ior_err_reason(err));
    return err;
}

enum ior_err node_open(const struct node_params *p, struct node **ret,
                       struct journal_replay_report *report, struct ior_why *why)
{
    IOR_ASSERT(p->ring_size > 0 && p->worker_count > 0 && p->worker_count <= WORKERS_MAX);
    struct node *n = calloc(1, sizeof *n);
    if (n == NULL) return ior_why_set(why, IOR_E_NOMEM, "out of memory");
    n->magic = NODE_MAGIC;
    n->params = *p;
    atomic_store(&n->disk_bytes, UINT64_MAX);
    atomic_store(&n->disk_files, UINT64_MAX);
    node_look_at_disk(n);
    n->eviction_interval_ms = p->eviction_interval_ms;
    n->dedupe.window_ms = p->dedupe_window_ms;
    n->dedupe.bytes_max = p->dedupe_bytes_max;
    n->memory.history_bytes_max = p->history_bytes_max;
    n->memory.history_items_max = p->history_items_max;
    n->memory.history_stream_bytes_max = p->history_stream_bytes_max;
    enum ior_err err = open_parts(n, report, why);
    if (err != IOR_OK) {
        node_close(n);
        return err;
    }
    *ret = n;
    return IOR_OK;
}

void node_close(struct node *n)
{
    if (n == NULL) return;
    IOR_CHECK_MAGIC(n, NODE_MAGIC);
    IOR_ASSERT(atomic_load(&n->surveys) == 0);
    sweep_free(n->sweep);
    session_sweep_free(n->session_sweep);
    checkpoint_free(n->checkpoint);
    for (uint32_t i = 0; n->vnodes != NULL && i < n->params.ring_size; i++)
        vnode_done(&n->vnodes[i]);
    free(n->vnodes);
    quotas_free(n->quotas);
    meta_free(n->meta);
    journal_free(n->journal);
    fetch_free(n->fetch);
    kv_close(n->kv);
    n->magic = 0;
    free(n);
}

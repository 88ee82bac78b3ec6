/* src/core/vnode.c - applying committed records to the streams of a partition.
 * The same function serves commits (append.c) and replay at start.
 * Failure modes: none while running (append.c made all room before it proposed);
 * at replay: records that do not fit what came before are CORRUPT. */
#include "core/vnode.h"

#include <stddef.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "base/mutant.h"
#include "core/append.h"
#include "core/iorio.h"
#include "core/load.h"
#include "core/node.h"
#include "core/stream_keys.h"
#include "rt/clock.h"
#include "store/catalog.h"

enum { VNODE_MAGIC = 0x766e6f64, SWEEP_STREAMS_MAX = 1024 };

static struct vnode_op *op_of(struct proposal *p)
{
    return IOR_CONTAINER(p, struct vnode_op, proposal);
}

static void on_apply(void *ctx, struct proposal *p)
{
    op_of(p)->apply(ctx, op_of(p));
}

static void on_done(void *ctx, struct proposal *p, enum ior_err err)
{
    op_of(p)->done(ctx, op_of(p), err);
}

static void on_lost(void *ctx)
{
    struct vnode *vn = ctx;
    vn->losses++;
    if (!MUTANT(keep_reserved)) stream_table_drop_reserved(&vn->streams);
}

static const struct group_ops group_ops = {.apply = on_apply, .lost = on_lost, .done = on_done};

void vnode_init(struct vnode *vn, struct node *n, uint32_t partition)
{
    *vn = (struct vnode){.magic = VNODE_MAGIC, .partition = partition, .node = n};
    strand_init(&vn->strand);
    group_init(&vn->group, partition + 1, n->journal, &vn->strand, &group_ops, vn, n->params.name);
    stream_table_init(&vn->streams, &n->dedupe, &n->memory);
    vnode_loads_init(vn);
    watch_table_init(&vn->watches);
    ior_map_init(&vn->patches);
}

void vnode_done(struct vnode *vn)
{
    IOR_CHECK_MAGIC(vn, VNODE_MAGIC);
    vnode_loads_done(vn);
    stream_table_done(&vn->streams);
    watch_table_done(&vn->watches);
    IOR_ASSERT(vn->patches.count == 0 && vn->patches_waiting == 0);
    ior_map_done(&vn->patches);
    strand_done(&vn->strand);
    vn->magic = 0;
}

static void on_tick(struct msg *m)
{
    struct vnode *vn = IOR_CONTAINER(m, struct vnode, tick_msg);
    IOR_ASSERT(strand_inside(&vn->strand));
    stream_keys_sweep(&vn->streams, clock_wall_ms());
    uint64_t idle_us = vn->node->params.stream_idle_ms * 1000;
    uint64_t now_us = clock_mono_coarse_us();
    if (now_us > idle_us) stream_table_sweep(&vn->streams, now_us - idle_us, SWEEP_STREAMS_MAX);
    atomic_store(&vn->tick_under_way, false);
}

void vnode_tick(struct vnode *vn)
{
    if (atomic_exchange(&vn->tick_under_way, true)) return;
    vn->tick_msg.run = on_tick;
    if (strand_post(&vn->strand, &vn->tick_msg) != IOR_OK)
        atomic_store(&vn->tick_under_way, false); /* it is busy: next time */
}

enum ior_err vnode_propose(struct vnode *vn, struct vnode_op *op)
{
    atomic_store(&vn->changed, true);
    return group_propose(&vn->group, &op->proposal);
}

/* ---- start ---- */

enum ior_err vnode_restore(struct vnode *vn, struct kv_reader *r, struct ior_why *why)
{
    struct group_row row;
    enum ior_err err = catalog_get_group(r, vn->group.id, &row);
    bool known = err == IOR_OK;
    if (known) group_restore(&vn->group, row.term, row.applied_index);
    if (err == IOR_E_NOTFOUND) err = IOR_OK;
    struct stream_row last;
    if (err == IOR_OK) {
        err = catalog_last_stream(r, vn->partition, &last);
        vn->has_rows = err == IOR_OK;
        if (err == IOR_E_NOTFOUND) err = IOR_OK;
    }
    if (err == IOR_OK && vn->has_rows && !known)
        return ior_why_set(why, IOR_E_CORRUPT,
                           KV_LMDB_FILE
                           ": it has streams of partition %u, and lost how far they go",
                           vn->partition);
    /* A row may be lost: its name is asked for. */
    if (known && row.applied_index > 0) vn->has_rows = true;
    if (err == IOR_OK) return err;
    return ior_why_set(why, err, KV_LMDB_FILE ": the rows of partition %u cannot be read: %s",
                       vn->partition, ior_err_reason(err));
}

static enum ior_err bad(struct vnode *vn, const struct record_head *head, const char *what,
                        struct ior_why *why)
{
    return ior_why_set(why, IOR_E_CORRUPT, "partition %u, index %llu: %s", vn->partition,
                       (unsigned long long)head->index, what);
}

static enum ior_err replay_create(struct vnode *vn, const struct record_head *head,
                                  const struct item *it, struct ior_why *why)
{
    struct ior_slice bucket = item_attr(it, ATTR_BUCKET);
    struct ior_slice name = item_attr(it, ATTR_STREAM);
    if (!iorio_bucket_name_ok(bucket) || !iorio_stream_name_ok(name))
        return bad(vn, head, "a stream is created with a name that cannot be", why);
    if (it->uid == 0 || it->uid > CATALOG_UID_MAX)
        return bad(vn, head, "a stream is created with a uid that cannot be", why);
    uint64_t hash = 0;
    if (node_route(vn->node, bucket, name, &hash) != vn)
        return bad(vn, head, "a stream is created in a partition that is not its own", why);
    struct stream *s = NULL;
    enum ior_err err = vnode_find_now(vn, it->uid, &s, why);
    if (err == IOR_OK && head->index <= s->last_index) return IOR_OK; /* saved already */
    if (err == IOR_OK) return bad(vn, head, "two streams have the same uid", why);
    if (err != IOR_E_NOTFOUND) return err;
    if (stream_find(&vn->streams, bucket, name, hash) != NULL)
        return bad(vn, head, "a stream is created twice", why);
    err = stream_add(&vn->streams, bucket, name, hash, it->uid, &s);
    if (err != IOR_OK) return ior_why_set(why, err, "out of memory");
    stream_commit(&vn->streams, s);
    return IOR_OK;
}

/* The stream of an item; *ret NULL: what the record did is saved already. */
static enum ior_err replay_stream(struct vnode *vn, const struct record_head *head,
                                  const struct item *it, struct stream **ret, struct ior_why *why)
{
    struct stream *s = NULL;
    enum ior_err err = vnode_find_now(vn, it->uid, &s, why);
    if (err == IOR_E_NOTFOUND) return bad(vn, head, "a stream that was never created", why);
    if (err == IOR_OK) *ret = s->last_index < head->index || it->seqnum > s->high ? s : NULL;
    return err;
}

/* What a record has put into streams so far. A record has the events of one stream, or of two (a
 * patch), those of each together. */
struct pushed {
    uint64_t uid;     /* of the last one */
    uint64_t events;  /* into that */
    unsigned streams; /* the blob is counted in each (stream_mem.c) */
};

static void note_pushed(struct pushed *p, uint64_t uid)
{
    if (p->streams == 0 || p->uid != uid) *p = (struct pushed){uid, 0, p->streams + 1};
    p->events++;
}

static enum ior_err replay_append(struct vnode *vn, const struct record_head *head,
                                  struct ior_blob *blob, const struct item *it,
                                  struct pushed *pushed, struct ior_why *why)
{
    struct stream *s = NULL;
    enum ior_err err = replay_stream(vn, head, it, &s, why);
    if (err != IOR_OK || s == NULL || it->seqnum <= s->high) return err; /* known already */
    if (it->seqnum != s->high + 1) return bad(vn, head, "a sequence number is missing", why);
    if (head->index < s->last_index) return bad(vn, head, "an event that came too late", why);
    /* Only events of this very record may go without a LOW in front. Lower is well: a rebuilt
     * catalog has a higher low where older events were lost. */
    uint64_t own = pushed->streams > 0 && pushed->uid == it->uid ? pushed->events : 0;
    bool own_goes = it->low > s->low && it->low <= it->seqnum && s->low + own >= it->seqnum;
    if (it->low > s->low && !own_goes) return bad(vn, head, "low is not what it was", why);
    err = stream_reserve_room(s, 1);
    if (err != IOR_OK) return ior_why_set(why, err, "out of memory");
    stream_push(s, blob, it, head->time_ms, head->index);
    atomic_fetch_add(&vn->node->memory.tail_bytes, sizeof(struct tail_entry));
    if (it->low > s->low) /* more came at once than is kept */
        stream_trim(&vn->streams, s, it->low, stream_sum_bytes(s, s->low, it->low - 1));
    s->reserved_bytes = s->bytes;
    s->reserved_deleted = false;
    stream_set_deleted(s, false);
    stream_changed(&vn->streams, s, head->index);
    note_pushed(pushed, it->uid);
    return IOR_OK;
}

/* How many payload bytes go with an item; where it does not say so, from what is in memory. */
static uint64_t dropped_bytes(const struct stream *s, const struct item *it)
{
    struct ior_slice said = item_attr(it, ATTR_DROPPED_BYTES);
    if (it->low <= s->low) return 0;
    if (said.size_bytes == 8) return ior_get_u64(said.data);
    if (it->low > s->high) return s->bytes;
    return s->first <= s->low ? stream_sum_bytes(s, s->low, it->low - 1) : UINT64_MAX;
}

static enum ior_err replay_trim(struct vnode *vn, const struct record_head *head,
                                const struct item *it, struct ior_why *why)
{
    struct stream *s = NULL;
    enum ior_err err = replay_stream(vn, head, it, &s, why);
    if (err != IOR_OK || s == NULL) return err;
    if (MUTANT(no_trim_at_replay)) return IOR_OK;
    if (it->low > s->high + 1) return bad(vn, head, "low is above what was ever there", why);
    uint64_t bytes = dropped_bytes(s, it);
    if (bytes > s->bytes) bytes = s->bytes; /* of a rebuilt catalog: some were lost already */
    if (it->low > s->low) stream_trim(&vn->streams, s, it->low, bytes);
    s->reserved_bytes = s->bytes;
    if (it->op == ITEM_DELETE) stream_set_deleted(s, true);
    s->reserved_deleted = s->deleted;
    stream_changed(&vn->streams, s, head->index);
    return IOR_OK;
}

/* The events of a record: those of its stream, and of a patch the patch. */
struct record_events {
    struct item first;
    uint64_t count;
    bool is_patch;
    struct ior_slice patch;
};

static void note_event(struct record_events *r, const struct item *it)
{
    if (r->count == 0) r->first = *it;
    if (it->uid == r->first.uid) {
        r->count++;
    } else {
        r->is_patch = true;
        r->patch = it->payload;
    }
}

/* The idempotency key that came with the record, if there was one. memory.dedupe may be
 * smaller than it was: then the key is forgotten. */
static enum ior_err replay_key(struct vnode *vn, const struct record_head *head,
                               struct ior_slice items, const struct record_events *r)
{
    struct ior_slice key = item_attr(&r->first, ATTR_IDEMPOTENCY_KEY);
    if (key.size_bytes == 0 || key.size_bytes > IDEMPOTENCY_KEY_BYTES_MAX) return IOR_OK;
    struct stream *s = stream_find_uid(&vn->streams, r->first.uid);
    const struct dedupe_entry e = {.body_hash = r->is_patch ? patch_body_hash(r->patch)
                                                            : items_events_hash(items),
                                   .first_id = r->first.seqnum,
                                   .last_id = r->first.seqnum + r->count - 1,
                                   .time_ms = head->time_ms};
    if (s == NULL || e.last_id != s->high) return IOR_OK; /* known already */
    if (MUTANT(no_keys_at_replay)) return IOR_OK;
    if (s->keys != NULL) dedupe_forget(s->keys, vn->streams.dedupe, key); /* it had gone early */
    enum ior_err err = stream_keys_add(&vn->streams, s, key, &e, 0);
    return err == IOR_E_DEDUPEFULL ? IOR_OK : err;
}

static enum ior_err replay_items(struct vnode *vn, const struct record_head *head,
                                 struct ior_blob *blob, struct ior_why *why)
{
    struct ior_slice items = ior_slice(blob->data, blob->size_bytes);
    size_t pos = 0;
    struct pushed pushed = {0};
    struct record_events events = {0};
    struct item it;
    enum ior_err err;
    while ((err = item_next(items, &pos, &it)) == IOR_OK) {
        if (it.op == ITEM_CREATE) {
            err = MUTANT(no_create_at_replay) ? IOR_OK : replay_create(vn, head, &it, why);
        } else if (it.op == ITEM_APPEND) {
            note_event(&events, &it);
            bool skip = MUTANT(no_second_at_replay) && it.uid != events.first.uid;
            err = skip ? IOR_OK : replay_append(vn, head, blob, &it, &pushed, why);
        } else if (it.op == ITEM_LOW || it.op == ITEM_DELETE) {
            err = replay_trim(vn, head, &it, why);
        } else {
            err = ior_why_set(why, IOR_E_VERSION,
                              "partition %u, index %llu: an item of kind %u, which this version "
                              "does not know",
                              vn->partition, (unsigned long long)head->index, it.op);
        }
        if (err != IOR_OK) return err;
    }
    if (err == IOR_E_END && events.count > 0) {
        enum ior_err kept = replay_key(vn, head, items, &events);
        if (kept != IOR_OK) return ior_why_set(why, kept, "out of memory");
    }
    atomic_fetch_add(&vn->node->memory.tail_bytes, pushed.streams * ior_blob_cost(blob));
    return err == IOR_E_END ? IOR_OK : bad(vn, head, "items that cannot be read", why);
}

enum ior_err vnode_replay(struct vnode *vn, const struct record_head *head, struct ior_slice items,
                          struct ior_why *why)
{
    IOR_CHECK_MAGIC(vn, VNODE_MAGIC);
    bool apply = false;
    enum ior_err err = group_replay(&vn->group, head, &apply, why);
    if (err != IOR_OK || !apply) return err;
    struct ior_blob *blob = ior_blob_new(items.size_bytes);
    if (blob == NULL) return ior_why_set(why, IOR_E_NOMEM, "out of memory");
    memcpy(blob->data, items.data, items.size_bytes);
    err = replay_items(vn, head, blob, why);
    ior_blob_unref(blob);
    atomic_store(&vn->changed, true);
    return err;
}

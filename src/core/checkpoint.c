/* src/core/checkpoint.c - see checkpoint.h. A machine of small steps, so that the simulator
 * can crash between any two of them; the strands answer by `replied`. */
#include "core/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/mutant.h"
#include "core/take.h"
#include "rt/clock.h"
#include "store/save.h"

enum { FACTS_PIECE_BYTES = 256 << 10, UNLINK_MAX = 64 };

enum phase {
    REST,
    NEXT_VNODE, /* which one has changed? */
    TAKING,     /* waits for its strand */
    WRITING,    /* a stream a step */
    GIVING,     /* waits for its strand */
    FACTS,      /* waits for the strand of group 0 */
    FINISH,
    UNLINK,
};

struct checkpoint {
    struct node *node;
    struct save *save;
    void (*wake)(void *ctx);
    void *wake_ctx;
    enum phase phase;
    bool cancelled;
    bool full;  /* the disk has no room for some vnode: the others, and what makes room, go on */
    bool saved; /* what was taken is in a commit */
    enum ior_err err;
    struct ior_why why;
    uint32_t vnode;
    size_t at; /* of take.items: the next to be written */
    struct take take;
    struct meta_snapshot facts;
    uint64_t facts_index; /* up to it they are saved */
    uint64_t clock_ms;    /* retention_bound_ms as it was saved last */
    uint64_t release_seq;
    uint64_t start_us;
    uint64_t streams;
    uint64_t events;
    struct chunk_event *event_room;
    size_t event_room_count;

    struct strand *strand; /* the mail to a strand */
    struct msg msg;
    void (*in_strand)(struct checkpoint *c);
    struct vnode_op op;
    _Atomic bool replied;

    _Atomic uint64_t rounds;
    _Atomic uint64_t last_end_us;
    _Atomic uint64_t failed_us; /* 0: the last round ended well */
    _Atomic enum ior_err last_err;
};

static void on_buried(void *ctx, uint32_t partition, uint64_t uid, uint64_t first_seqnum)
{
    struct checkpoint *c = ctx;
    fetch_forget(c->node->fetch, partition, uid, first_seqnum);
}

enum ior_err checkpoint_new(struct node *n, struct checkpoint **ret)
{
    struct checkpoint *c = calloc(1, sizeof *c);
    if (c == NULL) return IOR_E_NOMEM;
    const struct save_params p = {
        .disk = n->params.disk,
        .kv = n->kv,
        .chunk_items_max = n->params.chunk_items_max,
        .chunk_bytes_max = n->params.chunk_bytes_max,
        .small_bytes_max = n->params.small_bytes_max,
        .on_buried = on_buried,
        .ctx = c,
    };
    c->node = n;
    c->last_end_us = clock_mono_us();
    enum ior_err err = save_new(&p, &c->save);
    if (err != IOR_OK) {
        free(c);
        return err;
    }
    *ret = c;
    return IOR_OK;
}

void checkpoint_free(struct checkpoint *c)
{
    if (c == NULL) return;
    IOR_ASSERT(c->phase == REST);
    save_free(c->save);
    free(c->event_room);
    free(c);
}

void checkpoint_set_wake(struct checkpoint *c, void (*wake)(void *ctx), void *ctx)
{
    c->wake = wake;
    c->wake_ctx = ctx;
}

uint64_t checkpoint_rounds(const struct checkpoint *c)
{
    return atomic_load(&c->rounds);
}

enum ior_err checkpoint_last_error(const struct checkpoint *c)
{
    return atomic_load(&c->last_err);
}

/* ---- when ---- */

static bool anything_changed(const struct node *n)
{
    for (uint32_t i = 0; i < n->params.ring_size; i++) {
        if (atomic_load_explicit(&n->vnodes[i].changed, memory_order_relaxed)) return true;
    }
    return false;
}

bool checkpoint_is_due(struct checkpoint *c)
{
    struct node *n = c->node;
    node_look_at_disk(n);
    uint64_t now_us = clock_mono_us();
    uint64_t journal_bytes = node_journal_bytes(n);
    node_look_at_journal(n);
    uint64_t failed_us = atomic_load(&c->failed_us);
    if (failed_us != 0 && now_us - failed_us < CHECKPOINT_RETRY_MS * 1000u) return false;
    if (journal_failed(n->journal)) return false;
    if (atomic_load(&n->memory.tail_bytes) > n->params.tail_bytes_max / 2) return true;
    bool idle_long = now_us - atomic_load(&c->last_end_us) >= CHECKPOINT_RETRY_MS * 1000u;
    bool tight = atomic_load(&n->disk_tight) || journal_full(n->journal);
    if (tight && idle_long && (anything_changed(n) || journal_bytes > n->params.segment_bytes))
        return true; /* it may make room */
    if (atomic_load(&n->memory.dropped_bytes) > n->params.tail_bytes_max / 2) return true;
    bool releasable = journal_bytes > 2 * n->params.segment_bytes;
    if (releasable && journal_bytes > n->params.journal_bytes_max / 2) return true;
    if (now_us - atomic_load(&c->last_end_us) < CHECKPOINT_INTERVAL_MS * 1000u) return false;
    uint64_t ahead_ms = atomic_load(&n->retention_bound_ms) - c->clock_ms;
    bool clock_is_old = (int64_t)ahead_ms > (int64_t)CHECKPOINT_CLOCK_MS;
    return clock_is_old || anything_changed(n);
}

void checkpoint_start(struct checkpoint *c)
{
    if (c->phase != REST) return;
    c->phase = NEXT_VNODE;
    c->vnode = 0;
    atomic_store(&c->node->memory.dropped_bytes, 0);
    c->cancelled = c->full = false;
    c->err = IOR_OK;
    c->streams = c->events = 0;
    c->start_us = clock_mono_us();
    /* Everything in the segments in front of it was proposed before this moment. */
    c->release_seq = journal_active_segment(c->node->journal);
}

/* ---- to a strand and back ---- */

static void enter_strand(struct msg *m)
{
    struct checkpoint *c = IOR_CONTAINER(m, struct checkpoint, msg);
    c->in_strand(c);
}

static void on_worker(struct msg *m)
{
    struct checkpoint *c = IOR_CONTAINER(m, struct checkpoint, msg);
    c->msg.run = enter_strand;
    strand_post_completion(c->strand, &c->msg);
}

static void ask(struct checkpoint *c, struct strand *strand, void (*fn)(struct checkpoint *c))
{
    const struct node_params *p = &c->node->params;
    atomic_store(&c->replied, false);
    c->strand = strand;
    c->in_strand = fn;
    c->msg.run = on_worker;
    worker_post(p->workers[c->vnode % p->worker_count], &c->msg);
}

static void reply(struct checkpoint *c)
{
    void (*wake)(void *ctx) = c->wake;
    void *ctx = c->wake_ctx;
    atomic_store(&c->replied, true); /* c is the other thread's from here on */
    if (wake != NULL) wake(ctx);
}

/* More of the same, but not in this visit of the strand. */
static void stay(struct checkpoint *c, void (*fn)(struct checkpoint *c))
{
    c->in_strand = fn;
    c->msg.run = enter_strand;
    strand_post_completion(c->strand, &c->msg);
}

static void take_more(struct checkpoint *c)
{
    if (take_some(&c->take)) {
        stay(c, take_more);
        return;
    }
    reply(c);
}

static void barrier_passed(struct vnode *vn, struct vnode_op *op, enum ior_err err)
{
    struct checkpoint *c = IOR_CONTAINER(op, struct checkpoint, op);
    (void)err; /* what was given up was never applied */
    take_begin(&c->take, vn);
    take_more(c);
}

static void take_from_vnode(struct checkpoint *c)
{
    struct vnode *vn = &c->node->vnodes[c->vnode];
    /* Before the barrier: what is proposed behind it sets it again. */
    atomic_store(&vn->changed, false);
    c->op.done = barrier_passed;
    if (MUTANT(take_without_barrier)) {
        barrier_passed(vn, &c->op, IOR_OK);
        return;
    }
    group_barrier(&vn->group, &c->op.proposal);
}

static void give_more(struct checkpoint *c)
{
    if (take_give_back(&c->take, c->saved)) {
        stay(c, give_more);
        return;
    }
    reply(c);
}

static void facts_taken(struct meta_snapshot *snap)
{
    reply(IOR_CONTAINER(snap, struct checkpoint, facts));
}

static void take_facts(struct checkpoint *c)
{
    c->facts.taken = facts_taken;
    c->facts.since = c->facts_index;
    meta_snapshot_take(c->node->meta, &c->facts);
}

/* ---- writing ---- */

static enum ior_err make_event_room(struct checkpoint *c, size_t count)
{
    if (count <= c->event_room_count) return IOR_OK;
    struct chunk_event *room = realloc(c->event_room, count * sizeof *room);
    if (room == NULL) return ior_why_set(&c->why, IOR_E_NOMEM, "out of memory");
    c->event_room = room;
    c->event_room_count = count;
    return IOR_OK;
}

static struct ior_slice item_bytes_of(const struct tail_entry *e)
{
    struct ior_slice all = ior_slice(e->blob->data, e->blob->size_bytes);
    struct item it = item_at(all, e->offset_bytes);
    return ior_slice(e->blob->data + e->offset_bytes,
                     item_bytes(it.attrs.size_bytes, it.payload.size_bytes));
}

static enum ior_err write_stream(struct checkpoint *c, const struct taken *item)
{
    enum ior_err err = make_event_room(c, item->count);
    if (err != IOR_OK) return err;
    for (size_t i = 0; i < item->count; i++) {
        const struct tail_entry *e = &item->entries[i];
        c->event_room[i] = (struct chunk_event){item_bytes_of(e), e->index, e->time_ms};
    }
    struct save_stream what = {
        .row = item->row,
        .bucket = bucket_name(item->stream->bucket),
        .events = c->event_room,
        .count = item->count,
        .first_seqnum = item->first_seqnum,
        .keys = item->keys,
        .key_count = MUTANT(no_keys_at_checkpoint) ? 0 : item->key_count,
    };
    if (MUTANT(no_trim_at_checkpoint)) what.row.low = 1;
    c->streams++;
    c->events += item->count;
    return save_stream(c->save, &what, &c->why);
}

static enum ior_err write_group(struct checkpoint *c)
{
    const struct node *n = c->node;
    uint64_t wall_ms = clock_wall_ms();
    uint64_t kept_ms = n->params.dedupe_window_ms;
    enum ior_err err = IOR_OK;
    if (kept_ms < UINT64_MAX / 2 && wall_ms > kept_ms + CHECKPOINT_KEYS_MARGIN_MS)
        err = save_expire_keys(c->save, c->take.vn->partition,
                               wall_ms - kept_ms - CHECKPOINT_KEYS_MARGIN_MS);
    const struct group_row row = {.term = c->take.term,
                                  .applied_index = c->take.applied_index,
                                  .applied_term = c->take.term,
                                  .vote = ior_slice_str(n->params.name)};
    if (err == IOR_OK) err = save_group(c->save, c->take.vn->group.id, &row);
    if (err == IOR_OK) err = save_commit(c->save);
    return err;
}

static enum ior_err write_facts(struct checkpoint *c)
{
    char name[32];
    uint8_t value[8];
    uint32_t pieces = 0;
    struct ior_buf items;
    ior_buf_init(&items);
    enum ior_err err = meta_snapshot_write(&c->facts, &items);
    struct ior_slice left = ior_buf_slice(&items);
    for (; err == IOR_OK && left.size_bytes > 0; pieces++) {
        size_t n = left.size_bytes < FACTS_PIECE_BYTES ? left.size_bytes : FACTS_PIECE_BYTES;
        snprintf(name, sizeof name, CHECKPOINT_META_FACTS ".%06u", pieces);
        err = save_meta(c->save, name, ior_slice(left.data, n));
        left = ior_slice(left.data + n, left.size_bytes - n);
    }
    ior_buf_done(&items);
    ior_put_u32(value, pieces);
    if (err == IOR_OK) err = save_meta(c->save, CHECKPOINT_META_FACTS, ior_slice(value, 4));
    const struct group_row row = {.term = c->facts.term,
                                  .applied_index = c->facts.applied_index,
                                  .applied_term = c->facts.term,
                                  .vote = ior_slice_str(c->node->params.name)};
    if (err == IOR_OK) err = save_group(c->save, 0, &row);
    return err;
}

enum ior_err checkpoint_restore_meta(struct meta *m, struct kv_reader *r, struct ior_why *why)
{
    struct ior_slice value;
    struct group_row row;
    struct ior_buf items;
    char name[32];
    enum ior_err err = catalog_get_group(r, 0, &row);
    if (err == IOR_E_NOTFOUND) {
        err = catalog_get_meta(r, CHECKPOINT_META_FACTS, &value);
        if (err == IOR_E_NOTFOUND) return IOR_OK; /* nothing was saved yet */
        if (err == IOR_OK) err = IOR_E_NOTFOUND;  /* and its group is lost */
    } else if (err == IOR_OK) {
        err = catalog_get_meta(r, CHECKPOINT_META_FACTS, &value);
    }
    if (err == IOR_OK && value.size_bytes != 4) err = IOR_E_CORRUPT;
    uint32_t pieces = err == IOR_OK ? ior_get_u32(value.data) : 0;
    ior_buf_init(&items);
    for (uint32_t i = 0; err == IOR_OK && i < pieces; i++) {
        snprintf(name, sizeof name, CHECKPOINT_META_FACTS ".%06u", i);
        err = catalog_get_meta(r, name, &value);
        if (err == IOR_OK) ior_buf_add_slice(&items, value);
    }
    if (err == IOR_E_NOTFOUND) err = IOR_E_CORRUPT;
    if (err == IOR_OK && ior_buf_failed(&items)) err = IOR_E_NOMEM;
    if (err != IOR_OK) {
        ior_why_set(why, err, KV_LMDB_FILE ": users and grants cannot be read: %s",
                    ior_err_reason(err));
    } else {
        struct ior_why what = {""};
        err = meta_restore(m, ior_buf_slice(&items), row.term, row.applied_index, &what);
        if (err != IOR_OK) ior_why_set(why, err, KV_LMDB_FILE ": %.400s", what.text);
    }
    ior_buf_done(&items);
    return err;
}

/* ---- the steps ---- */

static void fail(struct checkpoint *c, enum ior_err err, const char *what)
{
    if (c->err == IOR_OK && !(c->full && err == IOR_E_NOSPC)) c->err = err;
    save_abort(c->save);
    bool again = atomic_load(&c->last_err) == err;
    if (c->why.text[0] == 0) ior_why_set(&c->why, err, KV_LMDB_FILE ": %s", ior_err_reason(err));
    if (!again && !c->cancelled)
        LOG_WARNING("checkpoint", "failed", "err=%s %s: %s; tried again every second",
                    ior_err_name(err), what, c->why.text);
    c->why.text[0] = 0;
}

static void end(struct checkpoint *c)
{
    uint64_t now_us = clock_mono_us();
    node_look_at_disk(c->node);
    c->phase = REST;
    atomic_store(&c->failed_us, c->err == IOR_OK ? 0 : now_us);
    atomic_store(&c->last_err, c->err);
    atomic_store(&c->last_end_us, now_us);
    if (c->err != IOR_OK) {
        metric_add(METRIC_checkpoint_failures, 1);
        return;
    }
    atomic_fetch_add(&c->rounds, 1);
    metric_add(METRIC_checkpoints, 1);
    metric_add(METRIC_checkpoint_us, now_us - c->start_us);
    metric_add(METRIC_checkpoint_events, c->events);
    LOG_DEBUG("checkpoint", "done", "streams=%llu events=%llu ms=%llu first_segment=%llu",
              (unsigned long long)c->streams, (unsigned long long)c->events,
              (unsigned long long)(now_us - c->start_us) / 1000,
              (unsigned long long)c->release_seq);
}

static enum checkpoint_did next_vnode(struct checkpoint *c)
{
    struct node *n = c->node;
    while (c->vnode < n->params.ring_size && c->err == IOR_OK && !c->cancelled) {
        if (atomic_load(&n->vnodes[c->vnode].changed)) {
            c->phase = TAKING;
            ask(c, &n->vnodes[c->vnode].strand, take_from_vnode);
            return CHECKPOINT_WAITS;
        }
        c->vnode++;
    }
    if (c->cancelled && c->err == IOR_OK) c->err = IOR_E_CLOSING;
    if (c->err != IOR_OK) {
        end(c);
        return CHECKPOINT_RESTS;
    }
    if (c->full) { /* the journal is still needed, but what was buried can go */
        c->phase = UNLINK;
        return CHECKPOINT_WORKED;
    }
    c->phase = FACTS;
    ask(c, meta_strand(n->meta), take_facts);
    return CHECKPOINT_WAITS;
}

static void give_back(struct checkpoint *c, bool saved)
{
    c->saved = saved;
    c->phase = GIVING;
    ask(c, &c->take.vn->strand, give_more);
}

static enum checkpoint_did write_some(struct checkpoint *c)
{
    enum ior_err err = c->take.err;
    if (err == IOR_OK && c->cancelled) err = IOR_E_CLOSING;
    if (err == IOR_OK && MUTANT(give_back_before_commit) && c->at == c->take.count) {
        give_back(c, true);
        return CHECKPOINT_WAITS;
    }
    if (err == IOR_OK && c->at < c->take.count) {
        err = write_stream(c, &c->take.items[c->at++]);
        if (err == IOR_OK) return CHECKPOINT_WORKED;
    } else if (err == IOR_OK) {
        err = write_group(c);
    }
    if (err == IOR_E_NOSPC) c->full = true;
    if (err != IOR_OK) fail(c, err, "writing events");
    give_back(c, err == IOR_OK);
    return CHECKPOINT_WAITS;
}

static enum checkpoint_did facts_came(struct checkpoint *c)
{
    enum ior_err err = c->cancelled ? IOR_E_CLOSING : IOR_OK;
    if (err == IOR_OK && c->facts.changed) err = write_facts(c);
    meta_snapshot_done(&c->facts);
    if (err == IOR_OK && MUTANT(release_before_commit))
        err = journal_release(c->node->journal, c->release_seq);
    uint8_t value[8];
    ior_put_u64(value, c->release_seq);
    if (err == IOR_OK)
        err = save_meta(c->save, CHECKPOINT_META_FIRST, ior_slice(value, sizeof value));
    uint64_t clock_ms = atomic_load(&c->node->retention_bound_ms);
    ior_put_u64(value, clock_ms);
    if (err == IOR_OK && clock_ms > 0)
        err = save_meta(c->save, CHECKPOINT_META_CLOCK, ior_slice(value, sizeof value));
    if (err == IOR_OK) c->clock_ms = clock_ms;
    if (err == IOR_OK) err = save_commit(c->save);
    if (err != IOR_OK) {
        fail(c, err, "writing facts");
        end(c);
        return CHECKPOINT_RESTS;
    }
    if (c->facts.changed) c->facts_index = c->facts.applied_index;
    c->phase = FINISH;
    return CHECKPOINT_WORKED;
}

static enum checkpoint_did finish(struct checkpoint *c)
{
    enum ior_err err = journal_release(c->node->journal, c->release_seq);
    c->phase = UNLINK;
    if (err == IOR_OK) return CHECKPOINT_WORKED;
    fail(c, err, "removing segments of the journal");
    end(c);
    return CHECKPOINT_RESTS;
}

static enum checkpoint_did unlink_some(struct checkpoint *c)
{
    bool more = false;
    enum ior_err err = save_unlink_buried(c->save, UNLINK_MAX, &more, &c->why);
    if (err != IOR_OK) fail(c, err, "removing chunks");
    if (err == IOR_OK && more && !c->cancelled) return CHECKPOINT_WORKED;
    if (c->full && c->err == IOR_OK) c->err = IOR_E_NOSPC;
    end(c);
    return CHECKPOINT_RESTS;
}

enum checkpoint_did checkpoint_step(struct checkpoint *c)
{
    bool waits = c->phase == TAKING || c->phase == GIVING || c->phase == FACTS;
    if (waits && !atomic_load(&c->replied)) return CHECKPOINT_WAITS;
    switch (c->phase) {
    case REST:
        return CHECKPOINT_RESTS;
    case NEXT_VNODE:
        return next_vnode(c);
    case TAKING:
        take_sort(&c->take);
        c->phase = WRITING;
        c->at = 0;
        return CHECKPOINT_WORKED;
    case WRITING:
        return write_some(c);
    case GIVING:
        node_look_at_disk(c->node); /* it has less room, and the tail less to be written */
        c->vnode++;
        c->phase = NEXT_VNODE;
        if (MUTANT(give_back_before_commit) && c->saved && write_group(c) != IOR_OK)
            c->err = IOR_E_IO;
        return CHECKPOINT_WORKED;
    case FACTS:
        return facts_came(c);
    case FINISH:
        return finish(c);
    case UNLINK:
        return unlink_some(c);
    }
    return CHECKPOINT_RESTS;
}

void checkpoint_cancel(struct checkpoint *c)
{
    c->cancelled = true;
}

enum ior_err checkpoint_mark_clean(struct checkpoint *c, bool clean, struct ior_why *why)
{
    const uint8_t value = clean ? 1 : 0;
    IOR_ASSERT(c->phase == REST);
    enum ior_err err = save_meta(c->save, CATALOG_META_CLEAN, ior_slice(&value, 1));
    if (err == IOR_OK) err = save_commit(c->save);
    if (err == IOR_OK) return IOR_OK;
    save_abort(c->save);
    return ior_why_set(why, err, KV_LMDB_FILE ": it cannot be written: %s", ior_err_reason(err));
}

/* ---- in a replay ---- */

static enum ior_err save_vnode(struct checkpoint *c, struct vnode *vn)
{
    take_begin(&c->take, vn);
    while (take_some(&c->take)) continue;
    take_sort(&c->take);
    enum ior_err err = c->take.err;
    for (size_t i = 0; err == IOR_OK && i < c->take.count; i++)
        err = write_stream(c, &c->take.items[i]);
    if (err == IOR_OK) err = write_group(c);
    if (err != IOR_OK) save_abort(c->save);
    while (take_give_back(&c->take, err == IOR_OK)) continue;
    return err;
}

enum ior_err checkpoint_now(struct checkpoint *c, struct ior_why *why)
{
    struct node *n = c->node;
    IOR_ASSERT(c->phase == REST);
    for (uint32_t i = 0; i < n->params.ring_size; i++) {
        if (!atomic_exchange(&n->vnodes[i].changed, false)) continue;
        enum ior_err err = save_vnode(c, &n->vnodes[i]);
        if (err != IOR_OK && c->why.text[0] != 0) *why = c->why; /* it names the file */
        if (err != IOR_OK && c->why.text[0] == 0)
            ior_why_set(why, err, "saving what the journal holds: %s", ior_err_reason(err));
        if (err != IOR_OK) return err;
    }
    return IOR_OK;
}

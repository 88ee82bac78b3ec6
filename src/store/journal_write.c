/* src/store/journal_write.c - batches into segments.
 * Happy path: take what waits (at most 4 MiB, or one larger record alone), put
 * head, records and zeros up to the page behind each other, one pwritev; the
 * sync is journal_finish(). When the segment has no room the batch goes into
 * the next one, which journal_prepare() made ready before.
 * Failure modes: no room on the disk for the next segment: NOSPC for what waits,
 * the next try after a second; any other error is sticky. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/mutant.h"
#include "rt/clock.h"
#include "store/journal_private.h"

enum {
    /* Pieces at least this large are written from where they are, not copied. */
    DIRECT_BYTES = 16 << 10,
    RECORD_PIECES = 4, /* blobs of one record */
    STAGING_KEEP_BYTES = 1 << 20,
    IOVECS_MAX = 1000,
    PACE_MS = 10,
    SPARE_DUE_PART = 4, /* the next segment is made when so much of the active one is full */
};

static struct journal_req *req_of(struct ior_link *l)
{
    struct msg *m = IOR_CONTAINER(l, struct msg, link);
    return IOR_CONTAINER(m, struct journal_req, msg);
}

/* What waits becomes the batch. */
static void take_waiting(struct journal *j)
{
    uint64_t bytes = 0;
    pthread_mutex_lock(&j->lock);
    while (!ior_queue_empty(&j->waiting) && j->batch.count < JOURNAL_BATCH_RECORDS_MAX) {
        uint64_t more = req_of(j->waiting.head)->record->length_bytes;
        if (j->batch.count > 0 && bytes + more > JOURNAL_BATCH_BYTES_MAX) break;
        bytes += more;
        ior_queue_push(&j->batch, ior_queue_pop(&j->waiting));
    }
    pthread_mutex_unlock(&j->lock);
    j->batch_length_bytes = bytes;
}

/* The bytes of a batch as a list of pieces: small ones gathered in staging. */
struct gather {
    struct iovec iov[IOVECS_MAX + 2];
    int count;
    uint8_t *at; /* end of what is in staging */
    bool open;   /* the last piece is in staging and may grow */
};

static void gather_copy(struct gather *g, const void *data, size_t n)
{
    memcpy(g->at, data, n);
    if (!g->open) {
        IOR_ASSERT(g->count < IOVECS_MAX + 2);
        g->iov[g->count++] = (struct iovec){g->at, 0};
        g->open = true;
    }
    g->iov[g->count - 1].iov_len += n;
    g->at += n;
}

static void gather_blob(struct gather *g, struct ior_blob *b)
{
    if (b == NULL || b->size_bytes == 0) return;
    if (b->size_bytes < DIRECT_BYTES || g->count >= IOVECS_MAX - 1) {
        gather_copy(g, b->data, b->size_bytes);
        return;
    }
    g->iov[g->count++] = (struct iovec){b->data, b->size_bytes};
    g->open = false;
}

/* Enough staging for any mix: only pieces below DIRECT_BYTES are copied, and the
 * others only when a batch has more of them than iovecs (then it is at most
 * JOURNAL_BATCH_BYTES_MAX, for a larger batch is one record). */
static enum ior_err staging_reserve(struct journal *j)
{
    uint64_t need = 2 * JOURNAL_PAGE_BYTES + BATCH_HEAD_BYTES;
    if (j->batch_length_bytes <= JOURNAL_BATCH_BYTES_MAX) {
        need += j->batch_length_bytes;
    } else {
        need += RECORD_HEAD_BYTES + RECORD_PIECES * DIRECT_BYTES;
    }
    if (need <= j->staging_room) return IOR_OK;
    uint64_t room = j->staging_room == 0 ? 64 << 10 : j->staging_room;
    while (room < need) room *= 2;
    uint8_t *staging = realloc(j->staging, room);
    if (staging == NULL) return IOR_E_NOMEM;
    j->staging = staging;
    j->staging_room = room;
    return IOR_OK;
}

static enum ior_err write_batch(struct journal *j, enum batch_kind kind)
{
    static const uint8_t zeros[JOURNAL_PAGE_BYTES];
    enum ior_err err = staging_reserve(j);
    if (err != IOR_OK) return err;
    struct gather g = {.at = j->staging};
    uint8_t head_bytes[BATCH_HEAD_BYTES] = {0};
    gather_copy(&g, head_bytes, sizeof head_bytes);
    uint32_t crc = batch_body_crc_start(&j->active);
    for (struct ior_link *l = j->batch.head; l != NULL; l = l->next) {
        const struct record *r = req_of(l)->record;
        crc = ior_crc32c(crc, r->head + 4, 4);
        gather_copy(&g, r->head, RECORD_HEAD_BYTES);
        gather_blob(&g, r->front);
        gather_blob(&g, r->items);
        gather_blob(&g, r->second_front);
        gather_blob(&g, r->second_items);
    }
    struct batch_head head = {
        .number = j->next_number,
        .time_ms = clock_wall_ms(),
        .length_bytes = (uint32_t)j->batch_length_bytes,
        .count = (uint32_t)j->batch.count,
        .body_crc = crc,
        .kind = (uint16_t)kind,
    };
    batch_head_put(j->staging, &j->active, &head);
    uint64_t used = BATCH_HEAD_BYTES + j->batch_length_bytes;
    uint64_t padding = batch_bytes(j->batch_length_bytes) - used;
    if (padding > 0) gather_copy(&g, zeros, (size_t)padding);
    IOR_ASSERT((size_t)(g.at - j->staging) <= j->staging_room);
    return disk_write(j->active.file, j->position_bytes, g.iov, g.count);
}

static bool room_for(const struct journal *j, uint64_t need_bytes)
{
    return j->position_bytes + need_bytes <= j->active.size_bytes;
}

bool journal_begin(struct journal *j)
{
    IOR_CHECK_MAGIC(j, JOURNAL_MAGIC);
    IOR_ASSERT(ior_queue_empty(&j->batch));
    take_waiting(j);
    enum batch_kind kind = BATCH_DATA;
    if (ior_queue_empty(&j->batch)) {
        if (journal_mark_due_us(j) != 0) return false;
        kind = BATCH_MARK;
        if (j->staging_room > STAGING_KEEP_BYTES) { /* idle: give the memory back */
            free(j->staging);
            j->staging = NULL;
            j->staging_room = 0;
        }
    }
    j->batch_started_us = clock_mono_us();
    uint64_t need_bytes = batch_bytes(j->batch_length_bytes);
    enum ior_err err = room_for(j, need_bytes) ? IOR_OK : journal_roll(j, need_bytes);
    if (err == IOR_OK) {
        err = write_batch(j, kind);
        if (err == IOR_E_NOSPC)
            err = IOR_E_IO; /* not a sound disk: the blocks were written before */
    }
    if (err != IOR_OK) {
        if (kind == BATCH_MARK) j->mark_due = false;
        journal_fail(j, err);
        return false;
    }
    return true;
}

/* ---- segments ---- */

/* Lock held. Not before it can be needed soon: an idle node has the active segment and one more
 * at most. A batch that does not wait for that has it made in journal_roll(); if that found the
 * disk full, it is tried until there is room. */
static bool is_spare_due(struct journal *j)
{
    uint64_t fill_bytes = atomic_load_explicit(&j->fill_bytes, memory_order_relaxed);
    return fill_bytes >= j->params.segment_bytes / SPARE_DUE_PART || j->full_since_us != 0;
}

bool journal_wants_prepare(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    bool wants = j->spare.file == NULL && !j->failed && !j->closing && is_spare_due(j);
    if (wants && j->full_since_us != 0)
        wants = clock_mono_us() - j->full_since_us >= JOURNAL_NOSPC_RETRY_MS * 1000u;
    pthread_mutex_unlock(&j->lock);
    return wants;
}

/* Between two pieces of the next segment: give way to the syncs of the active one,
 * unless somebody waits for it or it is less complete than the active one is full. */
static void pace_wait(void *ctx, uint64_t done_bytes, uint64_t size_bytes)
{
    struct journal *j = ctx;
    uint64_t fill_bytes = atomic_load_explicit(&j->fill_bytes, memory_order_relaxed);
    bool behind = fill_bytes > done_bytes && done_bytes < size_bytes;
    if (j->pause != NULL && !behind && !atomic_load(&j->hurry)) j->pause(PACE_MS);
}

/* A new file takes blocks that others may need more; one that is used again has them. */
static enum ior_err make_segment(struct journal *j, uint64_t seq, uint64_t *recycle_seq,
                                 struct segment *ret)
{
    const struct journal_params *p = &j->params;
    bool ask = *recycle_seq == 0 && p->take_room != NULL;
    if (ask && !p->take_room(p->room_ctx, p->segment_bytes)) return IOR_E_NOSPC;
    enum ior_err err = segment_make(p->disk, seq, p->segment_bytes, p->node_id, recycle_seq,
                                    (struct segment_pace){pace_wait, j}, ret);
    if (ask) p->room_taken(p->room_ctx);
    return err;
}

/* prepare_lock held. */
static enum ior_err make_spare(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    bool have = j->spare.file != NULL;
    bool failed = j->failed;
    bool wait = j->full_since_us != 0 &&
                clock_mono_us() - j->full_since_us < JOURNAL_NOSPC_RETRY_MS * 1000u;
    uint64_t seq = j->last_seq + 1;
    uint64_t recycle_seq = j->recycle_seq;
    pthread_mutex_unlock(&j->lock);
    if (have) return IOR_OK;
    if (failed) return IOR_E_IO;
    if (wait) return IOR_E_NOSPC;

    struct segment s = {0};
    enum ior_err err = make_segment(j, seq, &recycle_seq, &s);
    pthread_mutex_lock(&j->lock);
    j->recycle_seq = recycle_seq;
    bool was_full = j->full_since_us != 0;
    j->full_since_us = 0;
    if (err == IOR_OK) {
        j->spare = s;
        j->last_seq = seq;
    } else if (err == IOR_E_NOSPC) {
        j->full_since_us = clock_mono_us(); /* never 0: the machine has been up for a while */
    }
    bool is_full = j->full_since_us != 0;
    atomic_store(&j->full, is_full);
    bool stuck = err != IOR_OK && err != IOR_E_NOSPC && err != IOR_E_NOMEM && journal_stick(j);
    pthread_mutex_unlock(&j->lock);
    if (stuck)
        LOG_ERROR("journal", "failed", "err=%s making segment %llu: no more writes until a restart",
                  ior_err_name(err), (unsigned long long)seq);
    if (err == IOR_OK) metric_add(METRIC_journal_segments, 1);
    metric_gauge_set(METRIC_journal_full, is_full ? 1 : 0);
    if (is_full && !was_full)
        LOG_WARNING("journal", "disk full",
                    "no room for segment %llu: appends get 507 when the "
                    "current one is full; tried again every second",
                    (unsigned long long)seq);
    if (was_full && !is_full)
        LOG_INFO("journal", "room again", "segment=%llu", (unsigned long long)seq);
    return err;
}

bool journal_tight(struct journal *j, uint64_t more_bytes)
{
    uint64_t size = j->params.segment_bytes;
    uint64_t keep = size / 4 < JOURNAL_TRIM_BYTES ? size / 4 : JOURNAL_TRIM_BYTES;
    if (!atomic_load_explicit(&j->full, memory_order_relaxed)) return false;
    return atomic_load_explicit(&j->fill_bytes, memory_order_relaxed) + more_bytes + keep > size;
}

void journal_prepare(struct journal *j)
{
    pthread_mutex_lock(&j->prepare_lock);
    enum ior_err err = make_spare(j);
    pthread_mutex_unlock(&j->prepare_lock);
    if (err != IOR_E_NOMEM) return;
    LOG_WARNING("journal", "segment not made", "err=NOMEM");
    if (j->pause != NULL) j->pause(JOURNAL_NOSPC_RETRY_MS); /* else it is asked again at once */
}

/* The spare, out of everybody's sight: journal_wants_prepare() looks at it from
 * another thread. */
static struct segment take_spare(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    struct segment s = j->spare;
    j->spare = (struct segment){0};
    pthread_mutex_unlock(&j->lock);
    return s;
}

/* prepare_lock held. */
static enum ior_err take_next(struct journal *j, uint64_t want_bytes)
{
    enum ior_err err = make_spare(j);
    if (err != IOR_OK) return err;
    struct segment next = take_spare(j);
    if (want_bytes > next.size_bytes) err = segment_grow(&next, want_bytes, j->params.node_id);
    pthread_mutex_lock(&j->lock);
    if (err != IOR_OK) {
        j->spare = next;
    } else {
        segment_close(&j->active);
        j->active = next;
    }
    pthread_mutex_unlock(&j->lock);
    if (err != IOR_OK) return err;
    j->position_bytes = JOURNAL_PAGE_BYTES;
    atomic_store_explicit(&j->fill_bytes, j->position_bytes, memory_order_relaxed);
    return IOR_OK;
}

/* The next segment becomes the active one; made here if nobody did before. */
enum ior_err journal_roll(struct journal *j, uint64_t need_bytes)
{
    uint64_t want_bytes = JOURNAL_PAGE_BYTES + need_bytes;
    /* Never leave an empty segment behind: recovery would take it for the end. */
    bool empty = j->active.file != NULL && j->position_bytes == JOURNAL_PAGE_BYTES;
    if (empty && !MUTANT(leave_empty))
        return segment_grow(&j->active, want_bytes, j->params.node_id);
    atomic_store(&j->hurry, true);
    pthread_mutex_lock(&j->prepare_lock);
    enum ior_err err = take_next(j, want_bytes);
    atomic_store(&j->hurry, false);
    pthread_mutex_unlock(&j->prepare_lock);
    if (err == IOR_OK && j->wake != NULL) j->wake(j->wake_ctx); /* the next spare */
    return err;
}

/* Remove a segment for good, so that no crash brings it back after a later one. */
enum ior_err journal_remove_segment(struct journal *j, uint64_t seq)
{
    char name[DISK_PATH_MAX];
    segment_name(seq, name);
    enum ior_err err = disk_unlink(j->params.disk, name);
    /* NOTFOUND: an earlier try came to the unlink, and failed in the sync. */
    if (err == IOR_OK || err == IOR_E_NOTFOUND) err = disk_sync_dir(j->params.disk, JOURNAL_DIR);
    return err;
}

static bool recyclable(struct journal *j, uint64_t seq)
{
    struct segment s = {0};
    if (segment_open(j->params.disk, seq, j->params.node_id, &s, NULL) != IOR_OK) return false;
    bool same_size = s.size_bytes == j->params.segment_bytes;
    segment_close(&s);
    return same_size;
}

/* Lowest first, each made durable before the next: no crash leaves a hole. The
 * highest one released keeps its name until segment_make() takes its blocks; with a spare
 * at hand that would be long, and it goes too. */
static enum ior_err release_locked(struct journal *j, uint64_t below_seq)
{
    enum ior_err err = IOR_OK;
    pthread_mutex_lock(&j->lock);
    bool keep = j->spare.file == NULL;                     /* prepare_lock: it stays so */
    if (j->recycle_seq != 0 && j->first_seq < below_seq) { /* nobody took it: it goes too */
        j->first_seq = j->recycle_seq;
        j->recycle_seq = 0;
    }
    pthread_mutex_unlock(&j->lock);
    while (err == IOR_OK && j->first_seq < below_seq) {
        uint64_t seq = j->first_seq;
        uint64_t keep_seq = keep && seq + 1 == below_seq && recyclable(j, seq) ? seq : 0;
        if (keep_seq == 0) err = journal_remove_segment(j, seq);
        if (err != IOR_OK) break;
        pthread_mutex_lock(&j->lock);
        j->recycle_seq = keep_seq;
        j->first_seq = seq + 1;
        pthread_mutex_unlock(&j->lock);
    }
    return err;
}

enum ior_err journal_release(struct journal *j, uint64_t below_seq)
{
    IOR_ASSERT(below_seq <= journal_active_segment(j));
    pthread_mutex_lock(&j->prepare_lock);
    /* A name that could not be made sure may come back; no later one may go before it. */
    enum ior_err err = journal_failed(j) ? IOR_E_IO : release_locked(j, below_seq);
    pthread_mutex_unlock(&j->prepare_lock);
    return err;
}

/* src/store/journal_recover.c - reading the journal back.
 * Happy path: segments in the order of their numbers, without a gap; in each the
 * batches from page 1 on, their numbers without a gap; where a segment has no
 * further batch the next segment goes on. Every record of a sound batch is
 * replayed.
 * The end: the first place where the expected batch is not sound. Then no batch
 * head with that or a higher number may be anywhere behind it: batch n+1 was
 * only ever written after the sync of batch n had returned, so a hole before a
 * higher number is damage (CORRUPT, with file and offset), and without one it is
 * a torn last batch that nobody was told of: dropped, and reported.
 * Only page starts are looked at for heads; their checksums hold the segment's
 * random salt, so neither payloads nor bytes of a recycled file look like one. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "base/mutant.h"
#include "rt/clock.h"
#include "store/journal_private.h"
#include "store/kv.h"

enum { WINDOW_BYTES = 1 << 20 };

/* A window over one segment; bytes that the file does not have are zeros. */
struct reader {
    struct segment *segment;
    struct ior_why *why;
    uint8_t *data;
    size_t room;
    uint64_t from;
    uint64_t to;
};

static enum ior_err unreadable(const struct reader *r, uint64_t offset, enum ior_err err)
{
    char name[DISK_PATH_MAX];
    segment_name(r->segment->seq, name);
    return ior_why_set(r->why, err, "%s: cannot read it at offset %" PRIu64 ": %s", name, offset,
                       ior_err_reason(err));
}

static enum ior_err reader_get(struct reader *r, uint64_t offset, size_t n, const uint8_t **ret)
{
    if (offset >= r->from && offset + n <= r->to) {
        *ret = r->data + (offset - r->from);
        return IOR_OK;
    }
    size_t want = n > WINDOW_BYTES ? n : WINDOW_BYTES;
    if (want > r->room) {
        uint8_t *data = realloc(r->data, want);
        if (data == NULL) return unreadable(r, offset, IOR_E_NOMEM);
        r->data = data;
        r->room = want;
    }
    if (want > r->segment->size_bytes - offset) want = (size_t)(r->segment->size_bytes - offset);
    IOR_ASSERT(want >= n);
    size_t got = 0;
    enum ior_err err = disk_read(r->segment->file, offset, r->data, want, &got);
    if (err != IOR_OK) return unreadable(r, offset, err);
    memset(r->data + got, 0, want - got);
    r->from = offset;
    r->to = offset + want;
    *ret = r->data;
    return IOR_OK;
}

static void reader_aim(struct reader *r, struct segment *s)
{
    r->segment = s;
    r->from = r->to = 0;
}

/* ---- one batch ---- */

struct recovery {
    struct journal *journal;
    struct reader reader;
    journal_replay_cb cb;
    void *ctx;
    struct journal_replay_report *report;
    struct ior_why *why;
};

/* The head at this page, if it is one of this segment and fits into it. */
static enum ior_err head_at(struct reader *r, uint64_t offset, struct batch_head *ret, bool *ret_is)
{
    const uint8_t *at = NULL;
    *ret_is = false;
    if (offset + JOURNAL_PAGE_BYTES > r->segment->size_bytes) return IOR_OK;
    enum ior_err err = reader_get(r, offset, BATCH_HEAD_BYTES, &at);
    if (err != IOR_OK) return err;
    *ret_is = batch_head_get(at, r->segment, ret);
    return IOR_OK;
}

/* Is the whole batch sound? CORRUPT when not. */
static enum ior_err check_batch(struct reader *r, uint64_t offset, const struct batch_head *h,
                                const uint8_t **ret_records)
{
    uint64_t all = (uint64_t)BATCH_HEAD_BYTES + h->length_bytes;
    if (all > r->segment->size_bytes - offset) return IOR_E_CORRUPT;
    const uint8_t *at = NULL;
    enum ior_err err = reader_get(r, offset, (size_t)all, &at);
    if (err != IOR_OK) return err;
    at += BATCH_HEAD_BYTES;
    size_t pos = 0;
    uint32_t count = 0;
    uint32_t crc = batch_body_crc_start(r->segment);
    while (pos < h->length_bytes) {
        struct record_head rh;
        err = record_check(ior_slice(at + pos, h->length_bytes - pos), &rh, NULL);
        if (err != IOR_OK) return err;
        crc = ior_crc32c(crc, &rh.crc, sizeof rh.crc);
        pos += rh.length_bytes;
        count++;
    }
    if (crc != h->body_crc || count != h->count) return IOR_E_CORRUPT;
    *ret_records = at;
    return IOR_OK;
}

/* "catalog.mdb: what" or "p3/ab/....chunk: what": the journal is not to blame. */
static bool names_a_file(const char *text)
{
    const char *colon = strstr(text, ": ");
    struct ior_slice file = ior_slice(text, colon == NULL ? 0 : (size_t)(colon - text));
    return ior_slice_ends(file, IOR_SLICE(KV_LMDB_FILE)) ||
           ior_slice_ends(file, IOR_SLICE(".chunk"));
}

/* A sound record that does not fit what came before it: where it is. */
static enum ior_err refused(struct recovery *rec, uint64_t offset, enum ior_err err)
{
    char name[DISK_PATH_MAX];
    if ((err != IOR_E_CORRUPT && err != IOR_E_VERSION) || rec->why == NULL) return err;
    if (names_a_file(rec->why->text)) return err;
    struct ior_why what = *rec->why;
    segment_name(rec->journal->active.seq, name);
    return ior_why_set(
        rec->why, err, "%s: the batch at offset %" PRIu64 ": %s%s", name, offset, what.text,
        err == IOR_E_VERSION ? "" : ". Its checksum is right, so " KV_LMDB_FILE " may be to blame");
}

static enum ior_err replay_batch(struct recovery *rec, uint64_t offset, const struct batch_head *h,
                                 const uint8_t *records)
{
    size_t pos = 0;
    while (pos < h->length_bytes) {
        struct record_head rh;
        enum ior_err err =
            record_check(ior_slice(records + pos, h->length_bytes - pos), &rh, rec->why);
        if (err != IOR_OK) return err;
        struct ior_slice items =
            ior_slice(records + pos + RECORD_HEAD_BYTES, rh.length_bytes - RECORD_HEAD_BYTES);
        err = rec->cb(rec->ctx, &rh, items, rec->why);
        if (err != IOR_OK) return refused(rec, offset, err);
        pos += rh.length_bytes;
        rec->report->records++;
    }
    rec->report->batches++;
    rec->report->bytes += batch_bytes(h->length_bytes);
    rec->report->marked = h->kind == BATCH_MARK;
    return IOR_OK;
}

/* ---- the end ---- */

static enum ior_err damage(struct recovery *rec, uint64_t offset, uint64_t higher_seq,
                           uint64_t higher_offset)
{
    char name[DISK_PATH_MAX];
    char higher[DISK_PATH_MAX];
    segment_name(rec->journal->active.seq, name);
    segment_name(higher_seq, higher);
    return ior_why_set(rec->why, IOR_E_CORRUPT,
                       "%s: damage at offset %" PRIu64 ": batch %" PRIu64
                       " is not sound, but a later one is (%s at offset %" PRIu64 ")",
                       name, offset, rec->journal->next_number, higher, higher_offset);
}

/* No head with the expected or a higher number may be in s from this offset on. */
static enum ior_err find_higher(struct recovery *rec, struct segment *s, uint64_t from,
                                uint64_t *ret_offset)
{
    struct reader r = {.segment = s, .why = rec->why};
    enum ior_err err = IOR_OK;
    for (uint64_t at = from; err == IOR_OK && at + JOURNAL_PAGE_BYTES <= s->size_bytes;
         at += JOURNAL_PAGE_BYTES) {
        struct batch_head h;
        bool is = false;
        err = head_at(&r, at, &h, &is);
        if (err == IOR_OK && is && h.number >= rec->journal->next_number) {
            *ret_offset = at;
            err = IOR_E_END;
        }
    }
    free(r.data);
    return err == IOR_E_END ? IOR_E_CORRUPT : err;
}

/* The journal ends at (active, position) unless something later contradicts. */
static enum ior_err check_end(struct recovery *rec, uint64_t position)
{
    struct journal *j = rec->journal;
    uint64_t higher = 0;
    enum ior_err err = find_higher(rec, &j->active, position + JOURNAL_PAGE_BYTES, &higher);
    if (err == IOR_E_CORRUPT) return damage(rec, position, j->active.seq, higher);
    for (uint64_t seq = j->active.seq + 1; err == IOR_OK && seq <= j->last_seq; seq++) {
        struct segment s = {0};
        err = segment_open(j->params.disk, seq, j->params.node_id, &s, rec->why);
        if (err != IOR_OK) return err;
        err = find_higher(rec, &s, JOURNAL_PAGE_BYTES, &higher);
        if (err == IOR_E_CORRUPT) err = damage(rec, position, seq, higher);
        segment_close(&s);
    }
    return err;
}

/* Was something begun at the end? Its head must not survive: see journal_start. */
static enum ior_err look_for_torn(struct recovery *rec, uint64_t position)
{
    struct journal *j = rec->journal;
    const uint8_t *at = NULL;
    j->scrub = false;
    if (position + JOURNAL_PAGE_BYTES > j->active.size_bytes) return IOR_OK;
    reader_aim(&rec->reader, &j->active);
    enum ior_err err = reader_get(&rec->reader, position, JOURNAL_PAGE_BYTES, &at);
    if (err != IOR_OK) return err;
    struct batch_head h;
    bool head = batch_head_get(at, &j->active, &h);
    if (head && h.number < j->next_number) { /* cannot be: numbers only grow in a segment */
        return damage(rec, position, j->active.seq, position);
    }
    rec->report->torn = head;
    j->scrub = head && !MUTANT(no_scrub);
    if (head) {
        char name[DISK_PATH_MAX];
        segment_name(j->active.seq, name);
        snprintf(rec->report->torn_at, sizeof rec->report->torn_at, "%s offset %" PRIu64, name,
                 position);
    }
    return IOR_OK;
}

/* ---- segments ---- */

struct listing {
    uint64_t lowest;
    uint64_t highest;
    uint64_t count;
    bool leftover;
};

static enum ior_err on_name(void *ctx, const char *name)
{
    struct listing *l = ctx;
    uint64_t seq;
    if (strcmp(name, "prepare.tmp") == 0) l->leftover = true;
    if (!segment_name_parse(name, &seq)) return IOR_OK;
    if (l->count == 0 || seq < l->lowest) l->lowest = seq;
    if (l->count == 0 || seq > l->highest) l->highest = seq;
    l->count++;
    return IOR_OK;
}

static enum ior_err list_segments(struct journal *j, struct listing *l, struct ior_why *why)
{
    enum ior_err err = disk_list(j->params.disk, JOURNAL_DIR, on_name, l);
    if (err != IOR_OK) return ior_why_set(why, err, JOURNAL_DIR ": cannot list it");
    if (l->leftover && !j->params.look_only) {
        err = disk_unlink(j->params.disk, JOURNAL_DIR "/prepare.tmp");
        if (err != IOR_OK)
            return ior_why_set(why, err, JOURNAL_DIR "/prepare.tmp: cannot remove it");
    }
    uint64_t first = j->params.first_seq;
    if (first != 0 && (l->count == 0 || l->lowest > first || l->highest < first))
        return ior_why_set(why, IOR_E_CORRUPT,
                           JOURNAL_DIR "/%016" PRIx64 ".seg is missing: is the data directory "
                                       "mounted and whole?",
                           first);
    if (l->count == 0) return IOR_OK;
    if (l->highest - l->lowest != l->count - 1)
        return ior_why_set(why, IOR_E_CORRUPT,
                           JOURNAL_DIR ": %" PRIu64 " segments between %016" PRIx64
                                       ".seg and %016" PRIx64 ".seg: one is missing",
                           l->count, l->lowest, l->highest);
    j->first_seq = l->lowest;
    j->last_seq = l->highest;
    return IOR_OK;
}

/* Replay the batches of the active segment. *ret_position: behind the last sound one. */
static enum ior_err replay_segment(struct recovery *rec, uint64_t *ret_position)
{
    struct journal *j = rec->journal;
    uint64_t position = JOURNAL_PAGE_BYTES;
    reader_aim(&rec->reader, &j->active);
    for (;;) {
        struct batch_head h;
        bool is = false;
        const uint8_t *records;
        *ret_position = position;
        enum ior_err err = head_at(&rec->reader, position, &h, &is);
        if (err != IOR_OK) return err;
        if (!is) return IOR_OK;
        if (j->next_number == 0) j->next_number = h.number; /* older segments were released */
        if (h.number != j->next_number) return IOR_OK;
        err = check_batch(&rec->reader, position, &h, &records);
        if (err == IOR_E_CORRUPT) return IOR_OK;
        if (err == IOR_OK) err = replay_batch(rec, position, &h, records);
        if (err != IOR_OK) return err;
        j->next_number++;
        j->last_batch_offset = position;
        position += batch_bytes(h.length_bytes);
    }
}

/* Does the next segment go on with the expected batch? Then it becomes active. */
static enum ior_err step_segment(struct recovery *rec, bool *ret_stepped)
{
    struct journal *j = rec->journal;
    *ret_stepped = false;
    if (j->active.seq == j->last_seq) return IOR_OK;
    struct segment next = {0};
    enum ior_err err =
        segment_open(j->params.disk, j->active.seq + 1, j->params.node_id, &next, rec->why);
    if (err != IOR_OK) return err;
    struct batch_head h;
    bool is = false;
    reader_aim(&rec->reader, &next);
    err = head_at(&rec->reader, JOURNAL_PAGE_BYTES, &h, &is);
    bool goes_on = is && h.number == j->next_number;
    reader_aim(&rec->reader, &j->active);
    if (err != IOR_OK || !goes_on) {
        segment_close(&next);
        return err;
    }
    segment_close(&j->active);
    j->active = next;
    j->last_batch_offset = 0;
    *ret_stepped = true;
    return IOR_OK;
}

static enum ior_err replay_all(struct recovery *rec)
{
    struct journal *j = rec->journal;
    uint64_t position = 0;
    bool stepped = true;
    enum ior_err err =
        segment_open(j->params.disk, j->first_seq, j->params.node_id, &j->active, rec->why);
    if (err == IOR_OK && j->first_seq == 1) j->next_number = 1;
    while (err == IOR_OK && stepped) {
        err = replay_segment(rec, &position);
        if (err == IOR_OK) err = step_segment(rec, &stepped);
    }
    if (err == IOR_OK && j->next_number == 0) j->next_number = 1;
    if (err == IOR_OK) err = check_end(rec, position);
    if (err == IOR_OK) err = look_for_torn(rec, position);
    j->position_bytes = position;
    return err;
}

enum ior_err journal_replay(struct journal *j, journal_replay_cb cb, void *ctx,
                            struct journal_replay_report *ret, struct ior_why *why)
{
    IOR_CHECK_MAGIC(j, JOURNAL_MAGIC);
    IOR_ASSERT(j->active.file == NULL);
    *ret = (struct journal_replay_report){0};
    struct listing l = {0};
    enum ior_err err = list_segments(j, &l, why);
    if (err != IOR_OK || l.count == 0) return err;
    struct recovery rec = {
        .journal = j, .cb = cb, .ctx = ctx, .report = ret, .why = why, .reader = {.why = why}};
    err = replay_all(&rec);
    free(rec.reader.data);
    j->unmarked = ret->batches > 0 && !ret->marked;
    return err;
}

/* What is seen may be only in the memory of the kernel: the process that wrote it may
 * have been killed before its sync, or that sync failed, and then the kernel takes
 * the pages for clean and no later sync writes them. Written again it is sure. */
static enum ior_err write_back(struct disk_file *f, uint64_t from, uint64_t to)
{
    uint8_t *piece = malloc(WINDOW_BYTES);
    if (piece == NULL) return IOR_E_NOMEM;
    enum ior_err err = IOR_OK;
    while (err == IOR_OK && from < to && !MUTANT(no_write_back)) {
        size_t n = to - from < WINDOW_BYTES ? (size_t)(to - from) : WINDOW_BYTES;
        err = disk_read(f, from, piece, n, &n);
        if (err == IOR_OK && n == 0) break;
        if (err == IOR_OK) err = disk_write_buf(f, from, piece, n);
        from += n;
    }
    free(piece);
    return err == IOR_OK ? disk_sync(f) : err;
}

static enum ior_err scrub(struct journal *j)
{
    static const uint8_t zeros[JOURNAL_PAGE_BYTES];
    enum ior_err err = disk_write_buf(j->active.file, j->position_bytes, zeros, sizeof zeros);
    if (err == IOR_OK) err = disk_sync(j->active.file);
    return err;
}

/* Keep the segment behind the active one as the spare. There can be one more: made
 * while the first batch of the spare was on its way, when that batch was lost. */
static enum ior_err adopt_spare(struct journal *j, struct ior_why *why)
{
    while (j->last_seq > j->active.seq + 1) { /* highest first: no crash leaves a hole */
        enum ior_err err = journal_remove_segment(j, j->last_seq);
        if (err != IOR_OK) return ior_why_set(why, err, "cannot remove an unused segment");
        j->last_seq--;
    }
    if (j->last_seq == j->active.seq) return IOR_OK;
    enum ior_err err = segment_open(j->params.disk, j->last_seq, j->params.node_id, &j->spare, why);
    if (err != IOR_OK) return err;
    /* Its head may be one that was to make it larger. */
    err = write_back(j->spare.file, 0, DISK_SECTOR_BYTES);
    return err == IOR_OK ? err : ior_why_set(why, err, "cannot write to an unused segment");
}

/* The end of the journal, made sure. A torn batch was begun after the sync of the one
 * before it had returned, so only one of the two needs anything. In a segment that
 * is still empty the head may be one that was to make it larger. */
static enum ior_err settle_end(struct journal *j, struct ior_why *why)
{
    enum ior_err err;
    uint64_t from = j->last_batch_offset;
    if (j->scrub) {
        err = scrub(j);
        if (err != IOR_OK) ior_why_set(why, err, "cannot remove the remains of a torn batch");
    } else {
        err = write_back(j->active.file, from, from == 0 ? DISK_SECTOR_BYTES : j->position_bytes);
        if (err != IOR_OK) ior_why_set(why, err, "cannot write the last batch again");
    }
    return err;
}

enum ior_err journal_start(struct journal *j, struct ior_why *why)
{
    IOR_CHECK_MAGIC(j, JOURNAL_MAGIC);
    enum ior_err err = IOR_OK;
    if (j->active.file == NULL) {
        j->first_seq = 1;
        j->next_number = 1;
        err = journal_roll(j, JOURNAL_PAGE_BYTES);
        if (err != IOR_OK)
            return ior_why_set(why, err, "cannot make the first journal segment: %s",
                               ior_err_reason(err));
    } else {
        err = adopt_spare(j, why);
        if (err == IOR_OK) err = settle_end(j, why);
        if (err != IOR_OK) return err;
        atomic_store_explicit(&j->fill_bytes, j->position_bytes, memory_order_relaxed);
    }
    /* What was found and shown must not pass for a torn batch later: the MARK that is missing
     * is written first of all. */
    j->mark_due = j->unmarked;
    j->last_write_us = j->mark_due ? 0 : clock_mono_us();
    return IOR_OK;
}

/* src/store/save_stream.c - save_stream(): one stream, from what the catalog says to what it is
 * to say. A stream has either chunks or a small value, never both.
 * Happy path: look up where the stream is now (in the snapshot), leave out what is saved or
 * below low, write the rest, into the chunk files or into one value in memory; then put
 * all rows of the stream into the open transaction: so they are committed together.
 * When low has passed every chunk, all of them are buried and the stream may be small again.
 * Failure modes: files first, rows last: an error of a file leaves nothing in the
 * transaction. A row that would go back, events that are neither saved nor given, and
 * damaged entries of a small stream are CORRUPT with a reason; nothing is written then.
 * Thread: as save.h. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/buf.h"
#include "store/chunk_format.h"
#include "store/save_private.h"

struct job {
    struct save *save;
    const struct save_stream *what;
    struct ior_why *why;
    uint64_t keep_from; /* low; of a deleted stream: behind high */
    /* What the catalog has. */
    bool has_chunk; /* one that stays */
    struct chunk_row last;
    struct ior_slice small;
    struct ior_slice kept; /* the end of small that stays */
    size_t kept_count;
    uint64_t saved; /* the last event; 0: none */
    /* What is to be written. */
    const struct chunk_event *events;
    size_t count;
    uint64_t first;
    bool put_small; /* with `value`, which may be empty */
    struct ior_buf value;
    struct save_chunks chunks;
};

static enum ior_err refuse(const struct job *j, enum ior_err err, const char *what)
{
    const struct stream_row *row = &j->what->row;
    return ior_why_set(j->why, err, "catalog: partition %" PRIu32 ", stream %016" PRIx64 ": %s",
                       row->partition, row->uid, what);
}

/* An error that has no reason of its own. */
static enum ior_err explain(const struct job *j, enum ior_err err)
{
    if (err == IOR_OK || (j->why != NULL && j->why->text[0] != 0)) return err;
    return refuse(j, err, ior_err_reason(err));
}

/* ---- what the catalog has ---- */

static enum ior_err next_small(const struct job *j, struct ior_slice entries, size_t *pos,
                               struct chunk_entry *ret)
{
    const struct stream_row *row = &j->what->row;
    const uint8_t *at = entries.data + *pos;
    size_t left = entries.size_bytes - *pos;
    size_t n = left < CHUNK_ENTRY_BYTES_MIN ? 0 : chunk_entry_length(at);
    if (n == 0 || n > left) return refuse(j, IOR_E_CORRUPT, "its small entries have no length");
    const char *wrong =
        chunk_entry_get(ior_slice(at, n), chunk_seed(row->partition, row->uid), row->uid, ret);
    if (wrong != NULL) return refuse(j, IOR_E_CORRUPT, wrong);
    *pos += n;
    return IOR_OK;
}

/* Which of the small entries stay, and which is the last one. */
static enum ior_err look_at_small(struct job *j)
{
    struct chunk_entry e;
    size_t pos = 0;
    while (pos < j->small.size_bytes) {
        size_t at = pos;
        enum ior_err err = next_small(j, j->small, &pos, &e);
        if (err != IOR_OK) return err;
        if (e.item.seqnum == 0 || (at > 0 && e.item.seqnum != j->saved + 1))
            return refuse(j, IOR_E_CORRUPT, "its small entries do not follow each other");
        j->saved = e.item.seqnum;
        if (j->saved < j->keep_from) continue;
        if (j->kept_count++ == 0) j->kept = ior_slice(j->small.data + at, j->small.size_bytes - at);
    }
    return IOR_OK;
}

static enum ior_err look_at_row(struct job *j)
{
    struct stream_row old;
    const struct stream_row *row = &j->what->row;
    enum ior_err err = catalog_get_stream(j->save->reader, row->partition, row->uid, &old);
    if (err == IOR_E_NOTFOUND) return IOR_OK;
    if (err != IOR_OK) return err;
    if (old.high > row->high || old.low > row->low)
        return refuse(j, IOR_E_CORRUPT, "the catalog has a newer row already");
    return IOR_OK;
}

static enum ior_err look(struct job *j)
{
    struct kv_reader *r = j->save->reader;
    const struct stream_row *row = &j->what->row;
    enum ior_err err = look_at_row(j);
    if (err != IOR_OK) return err;
    err = catalog_last_chunk(r, row->partition, row->uid, &j->last);
    j->has_chunk = err == IOR_OK;
    if (err != IOR_OK && err != IOR_E_NOTFOUND) return err;
    err = catalog_get_small(r, row->partition, row->uid, &j->small);
    if (err == IOR_E_NOTFOUND) err = IOR_OK;
    if (err != IOR_OK) return err;
    if (!j->has_chunk) return look_at_small(j);
    if (j->small.size_bytes > 0) return refuse(j, IOR_E_CORRUPT, "it has chunks and is small");
    j->saved = j->last.state.last_seqnum;
    if (j->saved < j->keep_from) j->has_chunk = false; /* this one, and so all, are buried */
    return IOR_OK;
}

/* What is neither saved nor below low; it must have been given. */
static enum ior_err choose(struct job *j)
{
    const struct save_stream *what = j->what;
    uint64_t high = what->row.high;
    if (j->saved > high) return refuse(j, IOR_E_CORRUPT, "events behind its last one are saved");
    j->first = j->saved + 1 > j->keep_from ? j->saved + 1 : j->keep_from;
    if (j->first > high) return IOR_OK;
    if (what->count == 0 || what->first_seqnum > j->first)
        return refuse(j, IOR_E_CORRUPT, "events are missing: they are neither saved nor given");
    size_t skip = (size_t)(j->first - what->first_seqnum);
    j->events = what->events + skip;
    j->count = what->count - skip;
    return IOR_OK;
}

/* ---- files and values ---- */

/* A stream without a chunk: how many bytes of entries it will have. */
static uint64_t small_bytes(const struct job *j)
{
    uint64_t sum = j->kept.size_bytes;
    for (size_t i = 0; i < j->count; i++) sum += CHUNK_ENTRY_BYTES + j->events[i].item.size_bytes;
    return sum;
}

static void make_small(struct job *j)
{
    const struct stream_row *row = &j->what->row;
    uint32_t seed = chunk_seed(row->partition, row->uid);
    j->put_small = j->count > 0 || j->kept.size_bytes != j->small.size_bytes;
    if (!j->put_small) return;
    ior_buf_add_slice(&j->value, j->kept);
    for (size_t i = 0; i < j->count; i++) {
        struct item it;
        size_t pos = 0;
        enum ior_err err = item_next(j->events[i].item, &pos, &it);
        IOR_ASSERT(err == IOR_OK && pos == j->events[i].item.size_bytes);
        IOR_ASSERT(it.uid == row->uid && it.seqnum == j->first + i);
        uint8_t *at = ior_buf_room(&j->value, CHUNK_ENTRY_BYTES);
        if (at == NULL) return;
        chunk_entry_put(at, seed, &j->events[i], &it);
        ior_buf_grew(&j->value, CHUNK_ENTRY_BYTES);
        ior_buf_add_slice(&j->value, j->events[i].item);
    }
}

/* The small entries that stay go in front, into the first chunk. */
static enum ior_err append_kept(struct job *j)
{
    struct chunk_entry e;
    size_t pos = 0;
    enum ior_err err = IOR_OK;
    if (j->kept_count == 0) return IOR_OK;
    struct chunk_event *events = calloc(j->kept_count, sizeof *events);
    if (events == NULL) return IOR_E_NOMEM;
    for (size_t i = 0; i < j->kept_count && err == IOR_OK; i++) {
        size_t at = pos + CHUNK_ENTRY_BYTES;
        err = next_small(j, j->kept, &pos, &e);
        if (err != IOR_OK) break;
        events[i] =
            (struct chunk_event){ior_slice(j->kept.data + at, pos - at), e.index, e.time_ms};
    }
    if (err == IOR_OK)
        err = save_chunks_append(&j->chunks, events, j->kept_count, j->saved + 1 - j->kept_count,
                                 j->why);
    free(events);
    return err;
}

static enum ior_err write_chunks(struct job *j)
{
    enum ior_err err = IOR_OK;
    if (j->count == 0 && j->has_chunk) return IOR_OK;
    if (!j->has_chunk) {
        j->put_small = j->small.size_bytes > 0; /* it goes */
        err = append_kept(j);
    } else if (!j->last.state.sealed) {
        err = save_chunks_resume(&j->chunks, &j->last, j->why);
    }
    if (err == IOR_OK) err = save_chunks_append(&j->chunks, j->events, j->count, j->first, j->why);
    return err == IOR_OK ? save_chunks_finish(&j->chunks, j->why) : err;
}

static enum ior_err write_events(struct job *j)
{
    if (j->has_chunk || small_bytes(j) > j->save->p.small_bytes_max) return write_chunks(j);
    make_small(j);
    return ior_buf_failed(&j->value) ? IOR_E_NOMEM : IOR_OK;
}

/* ---- rows ---- */

/* A path that is named again is not in the graveyard: ids never come again, so it was not; but
 * a file that is named must not be removed whatever happens. */
static enum ior_err put_chunks(struct job *j)
{
    struct save *s = j->save;
    const struct stream_row *row = &j->what->row;
    for (size_t i = 0; i < j->chunks.count; i++) {
        char path[DISK_PATH_MAX];
        const struct chunk_row *c = &j->chunks.rows[i];
        bool is_new = i > 0 || !j->chunks.resumed;
        enum ior_err err = catalog_put_chunk(s->writer, row->partition, row->uid, c);
        err = save_count(s, err);
        if (err == IOR_OK && is_new) {
            chunk_path(row->partition, row->uid, c->first_seqnum, path);
            err = catalog_unbury(s->writer, path);
            if (err == IOR_E_NOTFOUND) err = IOR_OK;
        } else if (err == IOR_OK) {
            err = save_note(&s->told, row->partition, row->uid, c->first_seqnum);
        }
        if (err != IOR_OK) return err;
    }
    return IOR_OK;
}

/* Chunks of the snapshot whose last event is below what is kept. */
static enum ior_err bury_chunks(struct job *j)
{
    struct save *s = j->save;
    const struct stream_row *row = &j->what->row;
    uint64_t at = 0;
    for (;;) {
        struct chunk_row c;
        enum ior_err err = catalog_seek_chunk(s->reader, row->partition, row->uid, at, &c);
        if (err == IOR_E_NOTFOUND) return IOR_OK;
        if (err != IOR_OK || c.state.last_seqnum >= j->keep_from) return err;
        err = catalog_bury_chunk(s->writer, row->partition, row->uid, c.first_seqnum);
        if (err == IOR_E_NOTFOUND) err = IOR_E_CORRUPT; /* the snapshot has it */
        s->rows += 2;
        if (err == IOR_OK) err = save_note(&s->told, row->partition, row->uid, c.first_seqnum);
        if (err != IOR_OK) return err;
        at = c.state.last_seqnum + 1;
    }
}

static enum ior_err put_rows(struct job *j)
{
    struct save *s = j->save;
    const struct save_stream *what = j->what;
    struct stream_row row = what->row;
    enum ior_err err = save_begin(s);
    if (err == IOR_OK) err = put_chunks(j);
    if (err == IOR_OK) err = bury_chunks(j);
    if (err == IOR_OK && j->put_small)
        err = save_count(
            s, catalog_put_small(s->writer, row.partition, row.uid, ior_buf_slice(&j->value)));
    if (err == IOR_OK) err = catalog_bucket_id(s->writer, what->bucket, &row.bucket_id);
    if (err == IOR_OK) err = save_count(s, catalog_put_stream(s->writer, &row));
    for (size_t i = 0; i < what->key_count && err == IOR_OK; i++)
        err = save_count(s, catalog_put_key(s->writer, row.partition, row.uid, &what->keys[i]));
    return err;
}

/* ---- the whole ---- */

/* A snapshot that has all that was put of this stream. */
static enum ior_err begin(struct job *j)
{
    struct save *s = j->save;
    const struct stream_row *row = &j->what->row;
    bool again = false;
    enum ior_err err = save_settle(s);
    if (err == IOR_OK) err = save_snapshot(s);
    if (err == IOR_OK && s->writer != NULL)
        err = catalog_stream_is_new(s->writer, s->reader, row->partition, row->uid, &again);
    if (err != IOR_OK || !again) return err;
    err = save_commit(s);
    return err == IOR_OK ? save_snapshot(s) : err;
}

static void check(const struct save *s, const struct save_stream *what)
{
    const struct stream_row *row = &what->row;
    IOR_CHECK_MAGIC(s, SAVE_MAGIC);
    IOR_ASSERT(!s->failed);
    IOR_ASSERT(row->uid != 0 && row->high <= CHUNK_SEQNUM_MAX);
    IOR_ASSERT(what->count == 0 || what->first_seqnum + what->count - 1 == row->high);
}

enum ior_err save_stream(struct save *s, const struct save_stream *what, struct ior_why *why)
{
    check(s, what);
    const struct stream_row *row = &what->row;
    struct job j = {.save = s, .what = what, .why = why};
    j.keep_from = row->deleted && row->low <= row->high ? row->high + 1 : row->low;
    if (j.keep_from == 0) j.keep_from = 1;
    j.chunks = (struct save_chunks){
        .save = s,
        .id = {.partition = row->partition,
               .uid = row->uid,
               .bucket = what->bucket,
               .stream = row->name},
    };
    if (why != NULL) why->text[0] = 0;
    enum ior_err err = begin(&j);
    if (err == IOR_OK) err = look(&j);
    if (err == IOR_OK) err = choose(&j);
    if (err == IOR_OK) err = write_events(&j);
    if (err == IOR_OK) err = put_rows(&j);
    save_chunks_done(&j.chunks);
    ior_buf_done(&j.value);
    if (err == IOR_OK && s->rows >= SAVE_ROWS_MAX) err = save_commit(s);
    s->failed = err != IOR_OK;
    return explain(&j, err);
}

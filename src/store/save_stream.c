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
#include "store/small.h"

struct job {
    struct save *save;
    const struct save_stream *what;
    struct ior_why *why;
    uint64_t keep_from; /* low; of a deleted stream: behind high */
    /* What the catalog has. */
    bool has_chunk; /* one that stays */
    struct chunk_row last;
    struct ior_slice small;
    size_t small_count;
    size_t kept_count; /* the last ones of small, which stay */
    size_t kept_bytes; /* of their items */
    uint64_t saved;    /* the last event; 0: none */
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
    return ior_why_set(j->why, err,
                       KV_LMDB_FILE ": partition %" PRIu32 ", stream %016" PRIx64 ": %s",
                       row->partition, row->uid, what);
}

/* An error that has no reason of its own. */
static enum ior_err explain(const struct job *j, enum ior_err err)
{
    if (err == IOR_OK || (j->why != NULL && j->why->text[0] != 0)) return err;
    return refuse(j, err, ior_err_reason(err));
}

/* ---- what the catalog has ---- */

static struct small_reader read_small(const struct job *j)
{
    return (struct small_reader){.bytes = j->small, .uid = j->what->row.uid};
}

static enum ior_err next_small(const struct job *j, struct small_reader *r, struct chunk_entry *ret)
{
    const char *what = NULL;
    enum ior_err err = small_next(r, ret, &what);
    return err == IOR_E_CORRUPT ? refuse(j, err, what) : err;
}

/* Which of the small events stay, and which is the last one. */
static enum ior_err look_at_small(struct job *j)
{
    struct small_reader r = read_small(j);
    struct chunk_entry e;
    enum ior_err err;
    while ((err = next_small(j, &r, &e)) == IOR_OK) {
        j->small_count++;
        j->saved = e.item.seqnum;
        if (j->saved < j->keep_from) continue;
        j->kept_count++;
        j->kept_bytes += small_item_bytes(&e);
    }
    return err == IOR_E_END ? IOR_OK : err;
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

/* One event more in the value. False: there is no room for it, or no memory. */
static bool add_small(struct job *j, struct small_writer *w, const struct chunk_entry *e)
{
    uint64_t max = j->save->p.small_bytes_max;
    if (e->item.attrs.size_bytes + e->item.payload.size_bytes > max) return false; /* no copy */
    small_add(w, e);
    return !ior_buf_failed(&j->value) && j->value.size_bytes <= max;
}

/* All events of a stream without a chunk in one value. False: as add_small(). */
static bool fill_small(struct job *j)
{
    struct small_writer w = {.out = &j->value};
    struct small_reader r = read_small(j);
    struct chunk_entry e;
    for (size_t i = 0; i < j->small_count; i++) {
        enum ior_err err = next_small(j, &r, &e);
        IOR_ASSERT(err == IOR_OK); /* look_at_small() has read it */
        if (e.item.seqnum >= j->keep_from && !add_small(j, &w, &e)) return false;
    }
    for (size_t i = 0; i < j->count; i++) {
        e.item = item_at(j->events[i].item, 0);
        e.index = j->events[i].index;
        e.time_ms = j->events[i].time_ms;
        IOR_ASSERT(e.item.uid == j->what->row.uid && e.item.seqnum == j->first + i);
        if (!add_small(j, &w, &e)) return false;
    }
    return true;
}

/* *ret false: it needs a chunk. */
static enum ior_err make_small(struct job *j, bool *ret)
{
    *ret = j->small.size_bytes <= j->save->p.small_bytes_max;
    if (j->count == 0 && j->kept_count == j->small_count) return IOR_OK; /* as it is */
    *ret = fill_small(j);
    if (ior_buf_failed(&j->value)) return IOR_E_NOMEM;
    if (*ret) j->put_small = true;
    if (!*ret) ior_buf_clear(&j->value);
    return IOR_OK;
}

/* The small events that stay go in front, into the first chunk, as items again. */
static enum ior_err append_kept(struct job *j)
{
    struct small_reader r = read_small(j);
    struct chunk_entry e;
    enum ior_err err = IOR_OK;
    size_t n = 0;
    if (j->kept_count == 0) return IOR_OK;
    struct chunk_event *events = calloc(j->kept_count, sizeof *events);
    uint8_t *items = malloc(j->kept_bytes);
    if (events == NULL || items == NULL) err = IOR_E_NOMEM;
    for (uint8_t *at = items; n < j->kept_count && err == IOR_OK;) {
        err = next_small(j, &r, &e);
        if (err != IOR_OK || e.item.seqnum < j->keep_from) continue;
        size_t size_bytes = small_item_bytes(&e);
        small_item_write(at, &e);
        events[n++] = (struct chunk_event){ior_slice(at, size_bytes), e.index, e.time_ms};
        at += size_bytes;
    }
    if (err == IOR_OK) err = save_chunks_append(&j->chunks, events, n, j->saved + 1 - n, j->why);
    free(events);
    free(items);
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
    bool is_small = false;
    enum ior_err err = j->has_chunk ? IOR_OK : make_small(j, &is_small);
    return err == IOR_OK && !is_small ? write_chunks(j) : err;
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

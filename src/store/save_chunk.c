/* src/store/save_chunk.c - the chunk files of one stream, for save_stream.c.
 * Happy path: go on with the last chunk or make a new one, append as much as its limits
 * allow, seal and sync it when they are reached, go on in the next one.
 * Failure modes: every error ends the writer; what it left in files is behind the catalog's
 * word, and the next attempt begins where the catalog says. An older chunk that is damaged in
 * the middle cannot be sealed: it stays without a footer (chunk_seal logs it), and new events
 * go into a new chunk, so that one bad sector does not stop all checkpoints.
 * Thread: as save.h. */
#include <inttypes.h>
#include <stdlib.h>

#include "store/chunk_format.h"
#include "store/save_private.h"

/* "<path>: cannot <do> it: ..." unless somebody said more. */
static enum ior_err fail(const struct save_chunks *c, enum ior_err err, const char *what,
                         struct ior_why *why)
{
    char path[DISK_PATH_MAX];
    if (err == IOR_OK) return err;
    chunk_path(c->id.partition, c->id.uid, c->id.first_seqnum, path);
    return ior_why_set(why, err, "%s: cannot %s it: %s", path, what, ior_err_reason(err));
}

void save_chunks_done(struct save_chunks *c)
{
    chunk_writer_close(c->writer);
    free(c->rows);
    c->writer = NULL;
    c->rows = NULL;
}

/* ---- one chunk begins and ends ---- */

enum ior_err save_chunks_resume(struct save_chunks *c, const struct chunk_row *last,
                                struct ior_why *why)
{
    IOR_ASSERT(c->writer == NULL && c->count == 0);
    c->id.first_seqnum = last->first_seqnum;
    enum ior_err err = chunk_resume(c->save->p.disk, &c->id, &last->state, &c->writer, why);
    if (err == IOR_OK) c->resumed = true;
    return err == IOR_E_NOTFOUND ? IOR_E_CORRUPT : err; /* the catalog says that it is there */
}

static enum ior_err create(struct save_chunks *c, uint64_t first, struct ior_why *why)
{
    bool new_folders;
    c->id.first_seqnum = first;
    enum ior_err err = save_note(&c->save->made, c->id.partition, c->id.uid, first);
    if (err == IOR_OK) err = chunk_create(c->save->p.disk, &c->id, &c->writer, &new_folders);
    if (err == IOR_OK) c->created = true;
    return fail(c, err, "make", why);
}

static enum ior_err note_row(struct save_chunks *c)
{
    if (c->count == c->room) {
        size_t room = c->room == 0 ? 4 : c->room * 2;
        struct chunk_row *rows = realloc(c->rows, room * sizeof *rows);
        if (rows == NULL) return IOR_E_NOMEM;
        c->rows = rows;
        c->room = room;
    }
    c->rows[c->count++] = (struct chunk_row){c->id.first_seqnum, *chunk_writer_state(c->writer)};
    return IOR_OK;
}

/* On the disk, noted, and closed. */
static enum ior_err end_chunk(struct save_chunks *c, bool seal, struct ior_why *why)
{
    enum ior_err err = seal ? chunk_seal(c->writer) : IOR_OK;
    if (err == IOR_E_CORRUPT) err = IOR_OK; /* it stays as it is */
    if (err != IOR_OK) return fail(c, err, "seal", why);
    err = chunk_sync(c->writer);
    if (err != IOR_OK) return fail(c, err, "sync", why);
    err = note_row(c);
    if (err != IOR_OK) return fail(c, err, "note", why);
    chunk_writer_close(c->writer);
    c->writer = NULL;
    return IOR_OK;
}

/* ---- events ---- */

static uint64_t items_in(const struct save_chunks *c)
{
    return chunk_writer_state(c->writer)->last_seqnum + 1 - c->id.first_seqnum;
}

static uint64_t bytes_in(const struct save_chunks *c)
{
    return chunk_writer_state(c->writer)->end_bytes - chunk_head_bytes(&c->id);
}

/* How many of these fit; the first one always does in a chunk without any. */
static size_t fitting(const struct save_chunks *c, const struct chunk_event *events, size_t count)
{
    uint64_t items = items_in(c);
    uint64_t bytes = bytes_in(c);
    size_t n = 0;
    while (n < count && items < c->save->p.chunk_items_max) {
        bytes += CHUNK_ENTRY_BYTES + events[n].item.size_bytes;
        if (bytes > c->save->p.chunk_bytes_max && items > 0) break;
        items++;
        n++;
    }
    return n;
}

static bool is_full(const struct save_chunks *c)
{
    return items_in(c) >= c->save->p.chunk_items_max || bytes_in(c) >= c->save->p.chunk_bytes_max;
}

enum ior_err save_chunks_append(struct save_chunks *c, const struct chunk_event *events,
                                size_t count, uint64_t first, struct ior_why *why)
{
    enum ior_err err = IOR_OK;
    while (count > 0 && err == IOR_OK) {
        if (c->writer == NULL) err = create(c, first, why);
        if (err != IOR_OK) break;
        size_t n = fitting(c, events, count);
        err = fail(c, chunk_append(c->writer, events, n), "write to", why);
        if (err != IOR_OK) break;
        events += n;
        first += n;
        count -= n;
        if (count > 0 || is_full(c)) err = end_chunk(c, true, why);
    }
    return err;
}

enum ior_err save_chunks_finish(struct save_chunks *c, struct ior_why *why)
{
    enum ior_err err = c->writer == NULL ? IOR_OK : end_chunk(c, false, why);
    if (err != IOR_OK || !c->created) return err;
    err = chunk_sync_folders(c->save->p.disk, c->id.partition, c->id.uid);
    return fail(c, err, "sync the folders of", why);
}

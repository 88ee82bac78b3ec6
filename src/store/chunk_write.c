/* src/store/chunk_write.c - the writing half of chunk.h.
 * Happy path: heads of entries and small items are gathered in a staging buffer, large items
 * are written from where they are, all behind each other, one pwritev for as many as fit; the
 * footer is written by chunk_seal() from marks that were noted on the way.
 * Failure modes: a write that fails leaves the writer as it was, and what it left in the file
 * is cut off, at the latest before the next write. A failed sync is sticky: the kernel may have
 * dropped the bytes, so a later sync of the same ones proves nothing. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/log.h"
#include "store/chunk_scan.h"

enum {
    WRITER_MAGIC = 0x43485752,
    STAGING_BYTES = 256 << 10,
    /* Pieces at least this large are written from where they are, not copied. */
    DIRECT_BYTES = 16 << 10,
    IOVECS_MAX = 1000,
};

struct chunk_writer {
    uint32_t magic;
    uint32_t seed;
    struct disk_file *file;
    struct chunk_id id; /* names are in head */
    size_t head_bytes;
    struct chunk_state state;
    struct chunk_state older; /* after a resume: what it began with; the index lacks its marks */
    struct chunk_index index;
    uint8_t *staging;
    bool has_head; /* in the file */
    bool resumed;  /* `older` counts */
    bool cut;      /* something lies behind the end */
    bool dirty;    /* appended since the last sync */
    bool broken;   /* a sync has failed */
    uint8_t head[CHUNK_HEAD_BYTES_MAX];
    char path[DISK_PATH_MAX];
};

/* ---- the folders ---- */

/* The first `parts` of p<partition>, two digits, uid. */
static void folder_part(uint32_t partition, uint64_t uid, int parts, char out[DISK_PATH_MAX])
{
    chunk_folder(partition, uid, out);
    char *end = out;
    for (int i = 0; i < parts && end != NULL; i++) end = strchr(end + (i > 0), '/');
    if (end != NULL) *end = 0;
}

static enum ior_err make_folders(struct disk *d, uint32_t partition, uint64_t uid)
{
    char folder[DISK_PATH_MAX];
    enum ior_err err = IOR_OK;
    for (int parts = 1; parts <= 3 && err == IOR_OK; parts++) {
        folder_part(partition, uid, parts, folder);
        err = disk_mkdir(d, folder);
    }
    return err;
}

enum ior_err chunk_sync_folders(struct disk *d, uint32_t partition, uint64_t uid)
{
    char folder[DISK_PATH_MAX];
    enum ior_err err = disk_sync_dir(d, ".");
    for (int parts = 1; parts <= 3 && err == IOR_OK; parts++) {
        folder_part(partition, uid, parts, folder);
        err = disk_sync_dir(d, folder);
    }
    return err;
}

/* ---- begin and end ---- */

static struct chunk_writer *writer_new(const struct chunk_id *id)
{
    struct chunk_writer *w = calloc(1, sizeof *w);
    if (w == NULL) return NULL;
    w->staging = malloc(STAGING_BYTES);
    if (w->staging == NULL) {
        free(w);
        return NULL;
    }
    w->magic = WRITER_MAGIC;
    w->seed = chunk_seed(id->partition, id->uid);
    w->head_bytes = chunk_head_bytes(id);
    chunk_head_put(w->head, id);
    w->id = *id;
    w->id.bucket.data = w->head + CHUNK_HEAD_BYTES;
    w->id.stream.data = w->id.bucket.data + id->bucket.size_bytes;
    w->state =
        (struct chunk_state){.end_bytes = w->head_bytes, .last_seqnum = id->first_seqnum - 1};
    chunk_path(id->partition, id->uid, id->first_seqnum, w->path);
    return w;
}

void chunk_writer_close(struct chunk_writer *w)
{
    if (w == NULL) return;
    IOR_CHECK_MAGIC(w, WRITER_MAGIC);
    disk_close(w->file);
    free(w->index.marks);
    free(w->staging);
    w->magic = 0;
    free(w);
}

enum ior_err chunk_create(struct disk *d, const struct chunk_id *id, struct chunk_writer **ret,
                          bool *ret_new_folders)
{
    uint64_t file_bytes = 0;
    *ret_new_folders = false;
    struct chunk_writer *w = writer_new(id);
    if (w == NULL) return IOR_E_NOMEM;
    enum ior_err err = disk_open(d, w->path, DISK_WRITE | DISK_CREATE, &w->file);
    if (err == IOR_E_NOTFOUND) {
        *ret_new_folders = true;
        err = make_folders(d, id->partition, id->uid);
        if (err == IOR_OK) err = disk_open(d, w->path, DISK_WRITE | DISK_CREATE, &w->file);
    }
    if (err == IOR_OK) err = disk_size(w->file, &file_bytes);
    if (err != IOR_OK) {
        chunk_writer_close(w);
        return err;
    }
    w->cut = file_bytes > 0;
    *ret = w;
    return IOR_OK;
}

static enum ior_err resume_in(struct disk *d, struct chunk_writer *w,
                              const struct chunk_state *state, struct ior_why *why)
{
    struct chunk_id found;
    size_t head_bytes = 0;
    uint64_t file_bytes = 0;
    uint8_t head[CHUNK_HEAD_BYTES_MAX];
    enum ior_err err = disk_open(d, w->path, DISK_WRITE, &w->file);
    if (err == IOR_OK) err = disk_size(w->file, &file_bytes);
    if (err != IOR_OK)
        return ior_why_set(why, err, "%s: cannot open it: %s", w->path, ior_err_reason(err));
    err = chunk_head_read(w->file, w->path, &w->id, head, &found, &head_bytes, why);
    if (err != IOR_OK) return err;
    if (!ior_slice_eq(found.bucket, w->id.bucket) || !ior_slice_eq(found.stream, w->id.stream))
        return chunk_damage(why, w->path, CHUNK_HEAD_BYTES, "it has the names of another stream");
    if (state->end_bytes <= head_bytes || state->end_bytes % RECORD_ALIGN != 0 ||
        state->last_seqnum < w->id.first_seqnum || state->last_seqnum > CHUNK_SEQNUM_MAX)
        return chunk_damage(why, w->path, state->end_bytes,
                            "the catalog says that entries end here, which cannot be");
    if (file_bytes < state->end_bytes)
        return chunk_damage(why, w->path, file_bytes, "the file ends here, it had more entries");
    w->cut = file_bytes > state->end_bytes;
    return IOR_OK;
}

enum ior_err chunk_resume(struct disk *d, const struct chunk_id *id,
                          const struct chunk_state *state, struct chunk_writer **ret,
                          struct ior_why *why)
{
    IOR_ASSERT(!state->sealed);
    struct chunk_writer *w = writer_new(id);
    if (w == NULL) return ior_why_set(why, IOR_E_NOMEM, "no memory for the writer of a chunk");
    enum ior_err err = resume_in(d, w, state, why);
    if (err != IOR_OK) {
        chunk_writer_close(w);
        return err;
    }
    w->state = *state;
    w->older = *state;
    w->resumed = true;
    w->has_head = true;
    *ret = w;
    return IOR_OK;
}

const struct chunk_state *chunk_writer_state(const struct chunk_writer *w)
{
    IOR_CHECK_MAGIC(w, WRITER_MAGIC);
    return &w->state;
}

/* ---- writing ---- */

/* Where the next byte goes. */
static uint64_t file_end(const struct chunk_writer *w)
{
    return w->has_head ? w->state.end_bytes : 0;
}

/* Nothing of a former life, or of a write that failed, stays behind the end. */
static enum ior_err cut_off(struct chunk_writer *w)
{
    if (!w->cut) return IOR_OK;
    enum ior_err err = disk_truncate(w->file, file_end(w));
    if (err == IOR_OK) w->cut = false;
    return err;
}

/* The write has failed: give its room back now if that works, else before the next one. */
static void cut_later(struct chunk_writer *w)
{
    w->cut = true;
    enum ior_err err = cut_off(w);
    (void)err;
}

/* Pieces on their way into the file. */
struct gather {
    struct chunk_writer *writer;
    uint64_t offset_bytes; /* of the first piece */
    uint64_t size_bytes;
    size_t staged_bytes;
    int count;
    bool open; /* the last piece is in staging and may grow */
    struct iovec iov[IOVECS_MAX];
};

static enum ior_err flush(struct gather *g)
{
    if (g->count == 0) return IOR_OK;
    enum ior_err err = disk_write(g->writer->file, g->offset_bytes, g->iov, g->count);
    g->offset_bytes += g->size_bytes;
    g->size_bytes = 0;
    g->staged_bytes = 0;
    g->count = 0;
    g->open = false;
    return err;
}

/* n bytes of staging, behind what was added last. */
static enum ior_err stage(struct gather *g, size_t n, uint8_t **ret)
{
    IOR_ASSERT(n <= STAGING_BYTES);
    if (g->staged_bytes + n > STAGING_BYTES || (!g->open && g->count == IOVECS_MAX)) {
        enum ior_err err = flush(g);
        if (err != IOR_OK) return err;
    }
    *ret = g->writer->staging + g->staged_bytes;
    if (!g->open) g->iov[g->count++] = (struct iovec){*ret, 0};
    g->iov[g->count - 1].iov_len += n;
    g->open = true;
    g->staged_bytes += n;
    g->size_bytes += n;
    return IOR_OK;
}

static enum ior_err add(struct gather *g, struct ior_slice s)
{
    uint8_t *at;
    union {
        const uint8_t *in;
        void *out;
    } cast = {.in = s.data}; /* iovec has no const */
    enum ior_err err = IOR_OK;
    if (s.size_bytes < DIRECT_BYTES) {
        err = stage(g, s.size_bytes, &at);
        if (err == IOR_OK) memcpy(at, s.data, s.size_bytes);
        return err;
    }
    if (g->count == IOVECS_MAX) err = flush(g);
    if (err != IOR_OK) return err;
    g->iov[g->count++] = (struct iovec){cast.out, s.size_bytes};
    g->open = false;
    g->size_bytes += s.size_bytes;
    return IOR_OK;
}

/* What the caller gives must be the next event of this stream. */
static struct item item_of(const struct chunk_writer *w, const struct chunk_state *state,
                           const struct chunk_event *e)
{
    struct item it;
    size_t pos = 0;
    enum ior_err err = item_next(e->item, &pos, &it);
    IOR_ASSERT(err == IOR_OK && pos == e->item.size_bytes);
    IOR_ASSERT(it.uid == w->id.uid);
    IOR_ASSERT(it.seqnum == state->last_seqnum + 1 && it.seqnum <= CHUNK_SEQNUM_MAX);
    return it;
}

/* *state goes on with what was written. */
static enum ior_err write_events(struct chunk_writer *w, const struct chunk_event *events,
                                 size_t count, struct chunk_state *state)
{
    struct gather g; /* its iovecs get their values as they are used */
    g.writer = w;
    g.offset_bytes = file_end(w);
    g.size_bytes = 0;
    g.staged_bytes = 0;
    g.count = 0;
    g.open = false;
    enum ior_err err = IOR_OK;
    if (!w->has_head) err = add(&g, ior_slice(w->head, w->head_bytes));
    for (size_t i = 0; i < count && err == IOR_OK; i++) {
        uint8_t *at = NULL;
        struct chunk_entry e = {events[i].index, events[i].time_ms, item_of(w, state, &events[i])};
        struct chunk_mark mark = {e.item.seqnum, state->end_bytes};
        err = stage(&g, CHUNK_ENTRY_BYTES, &at);
        if (err != IOR_OK) break;
        chunk_entry_put(at, w->seed, &events[i], &e.item);
        err = add(&g, events[i].item);
        chunk_index_note(&w->index, mark);
        chunk_state_add(state, e.item.seqnum == w->id.first_seqnum, &e,
                        CHUNK_ENTRY_BYTES + events[i].item.size_bytes);
    }
    return err == IOR_OK ? flush(&g) : err;
}

/* Room for the marks, before anything is written. */
static enum ior_err reserve_marks(struct chunk_writer *w, const struct chunk_event *events,
                                  size_t count)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++) bytes += CHUNK_ENTRY_BYTES + events[i].item.size_bytes;
    uint64_t marks = bytes / CHUNK_INDEX_EVERY_BYTES + 2;
    return chunk_index_reserve(&w->index, marks < count ? (size_t)marks : count);
}

enum ior_err chunk_append(struct chunk_writer *w, const struct chunk_event *events, size_t count)
{
    IOR_CHECK_MAGIC(w, WRITER_MAGIC);
    IOR_ASSERT(!w->state.sealed);
    if (w->broken) return IOR_E_IO;
    if (count == 0) return IOR_OK;
    size_t marks_before = w->index.count;
    struct chunk_state state = w->state;
    enum ior_err err = reserve_marks(w, events, count);
    if (err == IOR_OK) err = cut_off(w);
    if (err != IOR_OK) return err;
    err = write_events(w, events, count, &state);
    if (err != IOR_OK) {
        w->index.count = marks_before;
        cut_later(w);
        return err;
    }
    w->state = state;
    w->has_head = true;
    w->dirty = true;
    return IOR_OK;
}

enum ior_err chunk_sync(struct chunk_writer *w)
{
    IOR_CHECK_MAGIC(w, WRITER_MAGIC);
    if (w->broken) return IOR_E_IO;
    enum ior_err err = disk_sync(w->file);
    if (err != IOR_OK) {
        w->broken = true;
        return err;
    }
    w->dirty = false;
    return IOR_OK;
}

/* ---- sealing ---- */

/* Marks of the entries that were there at the resume, in front of those noted since. */
static enum ior_err complete_index(struct chunk_writer *w)
{
    if (!w->resumed) return IOR_OK;
    struct ior_why why = {""};
    struct chunk_index all = {0};
    struct chunk_state state = {.end_bytes = w->head_bytes, .last_seqnum = w->id.first_seqnum - 1};
    struct chunk_window window = {.file = w->file,
                                  .path = w->path,
                                  .seed = w->seed,
                                  .uid = w->id.uid,
                                  .limit_bytes = w->older.end_bytes};
    enum ior_err err = chunk_scan(&window, w->id.first_seqnum, &state, &all, &why);
    chunk_window_done(&window);
    if (err == IOR_OK && state.last_seqnum != w->older.last_seqnum)
        err = chunk_damage(&why, w->path, state.end_bytes, "other events than the catalog says");
    if (err == IOR_E_CORRUPT) LOG_ERROR("chunk", "not sealed", "%s", why.text);
    if (err == IOR_OK) err = chunk_index_reserve(&all, w->index.count);
    if (err != IOR_OK) {
        free(all.marks);
        return err;
    }
    for (size_t i = 0; i < w->index.count; i++) chunk_index_note(&all, w->index.marks[i]);
    free(w->index.marks);
    w->index = all;
    w->resumed = false;
    return IOR_OK;
}

static enum ior_err write_footer(struct chunk_writer *w)
{
    size_t size_bytes = chunk_footer_bytes(w->index.count);
    uint8_t *footer = malloc(size_bytes);
    if (footer == NULL) return IOR_E_NOMEM;
    chunk_footer_put(footer, w->seed, &w->state, w->index.marks, w->index.count);
    enum ior_err err = disk_write_buf(w->file, w->state.end_bytes, footer, size_bytes);
    free(footer);
    if (err != IOR_OK) cut_later(w);
    return err;
}

enum ior_err chunk_seal(struct chunk_writer *w)
{
    IOR_CHECK_MAGIC(w, WRITER_MAGIC);
    IOR_ASSERT(!w->state.sealed && w->state.last_seqnum >= w->id.first_seqnum);
    if (w->broken) return IOR_E_IO;
    enum ior_err err = complete_index(w);
    if (err != IOR_OK) return err;
    /* The end of the file is the end of the entries now, and will be that of the footer; and
     * what the footer speaks of is on the disk before it can be. */
    bool unsure = w->dirty || w->cut;
    err = cut_off(w);
    if (err == IOR_OK && unsure) err = chunk_sync(w);
    if (err == IOR_OK) err = write_footer(w);
    if (err != IOR_OK) return err;
    w->state.sealed = true;
    return IOR_OK;
}

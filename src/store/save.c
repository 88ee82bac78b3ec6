/* src/store/save.c - see save.h: the transaction and the snapshot behind it, and the rows
 * that are not those of a stream (save_stream.c) or of removed files (save_grave.c).
 * Happy path: the first row begins a transaction; a commit ends it and the snapshot, and
 * whoever keeps a chunk open is told. The snapshot is begun when it is needed, so none is
 * held between two checkpoints (the catalog's file would grow).
 * Failure modes: after an error nothing but save_abort() is taken, so a group's row cannot
 * be committed without its streams. A commit that failed may still turn out to be there
 * after a crash (kv.h): files that it names must not be cut before that is settled by
 * another commit (save_settle). New files of an attempt that is
 * given up are removed at once: the next one may begin its chunks at other events.
 * Thread: one. */
#include <stdlib.h>

#include "store/save_private.h"

static const char settled_name[] = "settled";

static void check(const struct save *s)
{
    IOR_CHECK_MAGIC(s, SAVE_MAGIC);
    IOR_ASSERT(!s->failed);
}

enum ior_err save_new(const struct save_params *p, struct save **ret)
{
    IOR_ASSERT(p->chunk_items_max > 0 && p->chunk_bytes_max > 0);
    IOR_ASSERT(p->small_bytes_max <= CATALOG_SMALL_BYTES_MAX);
    struct save *s = calloc(1, sizeof *s);
    if (s == NULL) return IOR_E_NOMEM;
    s->magic = SAVE_MAGIC;
    s->p = *p;
    enum ior_err err = kv_reader_new(p->kv, &s->reader);
    if (err != IOR_OK) {
        free(s);
        return err;
    }
    *ret = s;
    return IOR_OK;
}

void save_free(struct save *s)
{
    if (s == NULL) return;
    save_abort(s);
    kv_reader_free(s->reader);
    free(s->told.items);
    free(s->made.items);
    s->magic = 0;
    free(s);
}

/* ---- transactions ---- */

static void end_snapshot(struct save *s)
{
    if (s->reading) kv_read_end(s->reader);
    s->reading = false;
}

enum ior_err save_snapshot(struct save *s)
{
    if (s->reading) return IOR_OK;
    enum ior_err err = kv_read_begin(s->reader);
    if (err == IOR_OK) s->reading = true;
    return err;
}

enum ior_err save_begin(struct save *s)
{
    if (s->writer != NULL) return IOR_OK;
    enum ior_err err = save_settle(s);
    return err == IOR_OK ? kv_write_begin(s->p.kv, &s->writer) : err;
}

enum ior_err save_count(struct save *s, enum ior_err err)
{
    if (err == IOR_OK) s->rows++;
    return err;
}

enum ior_err save_note(struct save_files *list, uint32_t partition, uint64_t uid,
                       uint64_t first_seqnum)
{
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 16 : list->room * 2;
        struct save_file *items = realloc(list->items, room * sizeof *items);
        if (items == NULL) return IOR_E_NOMEM;
        list->items = items;
        list->room = room;
    }
    list->items[list->count++] = (struct save_file){partition, uid, first_seqnum};
    return IOR_OK;
}

/* What no commit names and none in doubt may name: give its room back, a full disk needs it. What
 * cannot be removed now is written over or found later (save_grave.c). */
static void remove_made(struct save *s)
{
    for (size_t i = 0; i < s->made.count; i++) {
        char path[DISK_PATH_MAX];
        bool gone;
        const struct save_file *f = &s->made.items[i];
        chunk_path(f->partition, f->uid, f->first_seqnum, path);
        enum ior_err err = disk_unlink(s->p.disk, path);
        chunk_folder(f->partition, f->uid, path);
        if (err == IOR_OK) err = disk_rmdir(s->p.disk, path, &gone);
        (void)err;
    }
    s->made.count = 0;
}

/* The snapshot stays as it is. */
static enum ior_err commit_rows(struct save *s)
{
    struct kv_writer *w = s->writer;
    if (w == NULL) return IOR_OK;
    s->writer = NULL;
    s->rows = 0;
    enum ior_err err = kv_write_commit(w);
    if (err != IOR_OK) s->unsure = true;
    if (err == IOR_OK) s->made.count = 0;
    for (size_t i = 0; i < s->told.count && err == IOR_OK && s->p.on_buried != NULL; i++) {
        const struct save_file *f = &s->told.items[i];
        s->p.on_buried(s->p.ctx, f->partition, f->uid, f->first_seqnum);
    }
    s->told.count = 0;
    return err;
}

enum ior_err save_commit(struct save *s)
{
    check(s);
    enum ior_err err = commit_rows(s);
    end_snapshot(s);
    s->failed = err != IOR_OK;
    return err;
}

void save_abort(struct save *s)
{
    IOR_CHECK_MAGIC(s, SAVE_MAGIC);
    if (s->writer != NULL) kv_write_abort(s->writer);
    s->writer = NULL;
    s->rows = 0;
    s->told.count = 0;
    s->failed = false;
    if (!s->unsure) remove_made(s);
    end_snapshot(s);
}

enum ior_err save_settle(struct save *s)
{
    struct kv_writer *w = NULL;
    if (!s->unsure) return IOR_OK;
    IOR_ASSERT(s->writer == NULL);
    enum ior_err err = kv_write_begin(s->p.kv, &w);
    if (err != IOR_OK) return err;
    err = catalog_put_meta(w, settled_name, ior_slice(NULL, 0));
    if (err != IOR_OK) {
        kv_write_abort(w);
        return err;
    }
    err = kv_write_commit(w);
    if (err != IOR_OK) return err;
    s->unsure = false;
    remove_made(s);
    return IOR_OK;
}

/* ---- rows ---- */

static enum ior_err ended(struct save *s, enum ior_err err)
{
    err = save_count(s, err);
    if (err == IOR_OK && s->rows >= SAVE_ROWS_MAX) {
        err = commit_rows(s);
        end_snapshot(s);
    }
    s->failed = err != IOR_OK;
    return err;
}

enum ior_err save_group(struct save *s, uint32_t group, const struct group_row *row)
{
    check(s);
    enum ior_err err = save_begin(s);
    if (err == IOR_OK) err = catalog_put_group(s->writer, group, row);
    return ended(s, err);
}

enum ior_err save_meta(struct save *s, const char *name, struct ior_slice value)
{
    check(s);
    IOR_ASSERT(strcmp(name, settled_name) != 0);
    enum ior_err err = save_begin(s);
    if (err == IOR_OK) err = catalog_put_meta(s->writer, name, value);
    return ended(s, err);
}

/* ---- keys that are too old ---- */

struct expiry {
    struct save *save;
    uint32_t partition;
    uint64_t before_time_ms;
    bool renewed; /* something was committed: the snapshot is an older one */
    enum ior_err err;
};

/* The walk goes on in its snapshot, however many commits are made meanwhile. */
static bool expire_one(void *ctx, uint64_t uid, const struct key_row *row)
{
    struct expiry *e = ctx;
    struct save *s = e->save;
    if (row->time_ms >= e->before_time_ms) return true;
    enum ior_err err = save_begin(s);
    if (err == IOR_OK) err = catalog_del_key(s->writer, e->partition, uid, row->last_id);
    if (err == IOR_E_NOTFOUND) return true; /* deleted in this transaction already */
    err = save_count(s, err);
    if (err == IOR_OK && s->rows >= SAVE_ROWS_MAX) {
        e->renewed = true;
        err = commit_rows(s);
    }
    e->err = err;
    return err == IOR_OK;
}

enum ior_err save_expire_keys(struct save *s, uint32_t partition, uint64_t before_time_ms)
{
    check(s);
    struct expiry e = {.save = s, .partition = partition, .before_time_ms = before_time_ms};
    enum ior_err err = save_snapshot(s);
    if (err == IOR_OK) err = catalog_each_key(s->reader, partition, 0, expire_one, &e);
    if (err == IOR_OK) err = e.err;
    if (e.renewed) end_snapshot(s);
    s->failed = err != IOR_OK;
    return err;
}

/* src/store/save_grave.c - save_unlink_buried(): files that no commit names any more.
 * Happy path: some paths of the graveyard are read, in their order, so those of one folder
 * lie together; the files are removed, each folder is synced, and removed when it is
 * empty; then one transaction takes the paths out of the graveyard.
 * Strays: no transaction is open, so a chunk file without a row is of a checkpoint that was
 * not finished, and that the next one did not write over, for low had moved meanwhile. They
 * are looked for in the folders that lose files, and removed when they begin below low and
 * the catalog has the event low elsewhere: a chunk that it lost is not taken for one.
 * Failure modes: an error leaves all paths in the graveyard, and the next call does the same
 * again: what is gone already is fine. A path that is no chunk's is CORRUPT, and nothing is
 * removed.
 * Thread: as save.h. */
#include <stdio.h>
#include <stdlib.h>

#include "store/save_private.h"

enum { STRAYS_MAX = 256 };

struct graves {
    struct save_file *items;
    size_t count;
    size_t max;
    bool more;
    char wrong[64]; /* the beginning of a path that is none */
};

/* Exactly what chunk_path() makes? */
static bool parse(struct ior_slice path, struct save_file *ret)
{
    char text[DISK_PATH_MAX];
    char again[DISK_PATH_MAX];
    if (path.size_bytes >= sizeof text) return false;
    memcpy(text, path.data, path.size_bytes);
    text[path.size_bytes] = 0;
    char *uid = text[0] == 'p' ? strchr(text, '/') : NULL;
    if (uid == NULL || strlen(uid) != 43) return false; /* "/" 2 "/" 16 "/" 16 ".chunk" */
    if (!chunk_name_parse(uid + 21, &ret->first_seqnum)) return false;
    ret->partition = (uint32_t)strtoul(text + 1, NULL, 10);
    ret->uid = strtoull(uid + 4, NULL, 16);
    chunk_path(ret->partition, ret->uid, ret->first_seqnum, again);
    return strcmp(text, again) == 0 && strlen(text) == path.size_bytes;
}

static bool take(void *ctx, struct ior_slice path)
{
    struct graves *g = ctx;
    if (g->count == g->max) {
        g->more = true;
        return false;
    }
    if (parse(path, &g->items[g->count])) {
        g->count++;
        return true;
    }
    snprintf(g->wrong, sizeof g->wrong, "%.*s", (int)path.size_bytes, (const char *)path.data);
    return false;
}

static enum ior_err read_graves(struct save *s, struct graves *g, struct ior_why *why)
{
    enum ior_err err = save_settle(s);
    if (err == IOR_OK) err = save_snapshot(s);
    if (err == IOR_OK) err = catalog_each_buried(s->reader, ior_slice(NULL, 0), take, g);
    if (err != IOR_OK)
        return ior_why_set(why, err, KV_LMDB_FILE ": cannot read which files are to be removed: %s",
                           ior_err_reason(err));
    if (g->wrong[0] != 0)
        return ior_why_set(why, IOR_E_CORRUPT,
                           KV_LMDB_FILE ": it says that '%s' is to be removed, which is no chunk",
                           g->wrong);
    return IOR_OK;
}

struct strays {
    const struct save *save;
    const struct save_file *stream;
    uint64_t low;
    size_t count;
    uint64_t first_seqnums[STRAYS_MAX]; /* more of them: the next time */
};

static enum ior_err take_stray(void *ctx, const char *name)
{
    struct strays *s = ctx;
    struct chunk_row row;
    uint64_t first;
    if (s->count == STRAYS_MAX || !chunk_name_parse(name, &first) || first >= s->low) return IOR_OK;
    enum ior_err err =
        catalog_seek_chunk(s->save->reader, s->stream->partition, s->stream->uid, first, &row);
    if (err != IOR_OK && err != IOR_E_NOTFOUND) return err;
    if (err == IOR_OK && row.first_seqnum == first) return IOR_OK;
    s->first_seqnums[s->count++] = first;
    return IOR_OK;
}

/* Below which event is nothing needed? 0: one that is kept is nowhere. */
static enum ior_err needed_from(struct kv_reader *r, const struct save_file *stream, uint64_t *ret)
{
    struct stream_row row;
    struct chunk_row chunk;
    struct ior_slice small;
    enum ior_err err = catalog_get_stream(r, stream->partition, stream->uid, &row);
    bool known = err == IOR_OK;
    bool there = known && row.low > row.high;
    if (known && !there) {
        err = catalog_seek_chunk(r, stream->partition, stream->uid, row.low, &chunk);
        there = err == IOR_OK && chunk.first_seqnum <= row.low;
        if (err == IOR_E_NOTFOUND) {
            err = catalog_get_small(r, stream->partition, stream->uid, &small);
            there = err == IOR_OK;
        }
    }
    if (err != IOR_OK && err != IOR_E_NOTFOUND) return err;
    *ret = there ? row.low : 0;
    return IOR_OK;
}

static enum ior_err unlink_strays(const struct save *s, const struct save_file *stream,
                                  const char *folder)
{
    struct strays strays = {.save = s, .stream = stream};
    enum ior_err err = needed_from(s->reader, stream, &strays.low);
    if (err != IOR_OK) return err;
    err = disk_list(s->p.disk, folder, take_stray, &strays);
    for (size_t i = 0; i < strays.count && err == IOR_OK; i++) {
        char path[DISK_PATH_MAX];
        chunk_path(stream->partition, stream->uid, strays.first_seqnums[i], path);
        err = disk_unlink(s->p.disk, path);
    }
    return err == IOR_E_NOTFOUND ? IOR_OK : err;
}

/* A folder that lost files. Its parent is synced when it is gone, lest it comes back. */
static enum ior_err clean_folder(const struct save *s, const struct save_file *n,
                                 struct ior_why *why)
{
    char folder[DISK_PATH_MAX];
    bool gone = false;
    struct disk *d = s->p.disk;
    chunk_folder(n->partition, n->uid, folder);
    enum ior_err err = unlink_strays(s, n, folder);
    if (err == IOR_OK) err = disk_sync_dir(d, folder);
    if (err == IOR_OK || err == IOR_E_NOTFOUND) err = disk_rmdir(d, folder, &gone);
    if (err == IOR_OK && gone) {
        *strrchr(folder, '/') = 0;
        err = disk_sync_dir(d, folder);
        if (err == IOR_E_NOTFOUND) err = IOR_OK; /* nor is that there */
    }
    if (err == IOR_OK) return IOR_OK;
    return ior_why_set(why, err, "%s: cannot remove files from it: %s", folder,
                       ior_err_reason(err));
}

static enum ior_err unlink_files(const struct save *s, const struct graves *g, struct ior_why *why)
{
    for (size_t i = 0; i < g->count; i++) {
        char path[DISK_PATH_MAX];
        const struct save_file *n = &g->items[i];
        chunk_path(n->partition, n->uid, n->first_seqnum, path);
        enum ior_err err = disk_unlink(s->p.disk, path);
        if (err != IOR_OK && err != IOR_E_NOTFOUND)
            return ior_why_set(why, err, "%s: cannot remove it: %s", path, ior_err_reason(err));
        bool last = i + 1 == g->count || n[1].uid != n->uid || n[1].partition != n->partition;
        err = last ? clean_folder(s, n, why) : IOR_OK;
        if (err != IOR_OK) return err;
    }
    return IOR_OK;
}

static enum ior_err unbury(struct save *s, const struct graves *g)
{
    enum ior_err err = save_begin(s);
    for (size_t i = 0; i < g->count && err == IOR_OK; i++) {
        char path[DISK_PATH_MAX];
        chunk_path(g->items[i].partition, g->items[i].uid, g->items[i].first_seqnum, path);
        err = catalog_unbury(s->writer, path);
    }
    if (err == IOR_OK) return save_commit(s);
    return err == IOR_E_NOTFOUND ? IOR_E_CORRUPT : err; /* it was in the snapshot */
}

enum ior_err save_unlink_buried(struct save *s, size_t max, bool *ret_more, struct ior_why *why)
{
    IOR_CHECK_MAGIC(s, SAVE_MAGIC);
    IOR_ASSERT(!s->failed && s->writer == NULL && max > 0);
    if (max > SAVE_ROWS_MAX) max = SAVE_ROWS_MAX;
    struct graves g = {.items = calloc(max, sizeof *g.items), .max = max};
    if (g.items == NULL) return ior_why_set(why, IOR_E_NOMEM, "no memory for a list of files");
    enum ior_err err = read_graves(s, &g, why);
    if (err == IOR_OK) err = unlink_files(s, &g, why);
    if (err == IOR_OK && g.count > 0) {
        err = unbury(s, &g);
        if (err != IOR_OK)
            err = ior_why_set(why, err, "cannot note which files were removed: %s",
                              ior_err_reason(err));
    }
    free(g.items);
    save_abort(s); /* after an error: the next attempt may begin */
    if (err == IOR_OK) *ret_more = g.more;
    return err;
}

/* src/store/verify_files.c - the files that are there against those that are named.
 * Happy path: every chunk file has a row or lies in the graveyard.
 * Failure modes: one that nobody names is a note: a checkpoint that was not finished left it,
 * or somebody put it there; nothing is lost by it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/verify_private.h"

struct listing {
    struct disk *disk;
    struct verify_files *files;
    char folder[DISK_PATH_MAX];
    char (*names)[20]; /* of one folder */
    size_t count;
    size_t room;
    struct verify_file at;
};

static enum ior_err note_name(void *ctx, const char *name)
{
    struct listing *l = ctx;
    if (strlen(name) >= sizeof l->names[0] || name[0] == '.') return IOR_OK;
    if (l->count == l->room) {
        size_t room = l->room == 0 ? 64 : l->room * 2;
        void *names = reallocarray(l->names, room, sizeof *l->names);
        if (names == NULL) return IOR_E_NOMEM;
        l->names = names;
        l->room = room;
    }
    snprintf(l->names[l->count++], sizeof l->names[0], "%s", name);
    return IOR_OK;
}

static enum ior_err note_chunk(void *ctx, const char *name)
{
    struct listing *l = ctx;
    struct verify_files *f = l->files;
    if (!chunk_name_parse(name, &l->at.first_seqnum)) return IOR_OK;
    if (f->count == f->room) {
        size_t room = f->room == 0 ? 64 : f->room * 2;
        struct verify_file *items = reallocarray(f->items, room, sizeof *items);
        if (items == NULL) return IOR_E_NOMEM;
        f->items = items;
        f->room = room;
    }
    f->items[f->count++] = l->at;
    return IOR_OK;
}

/* Calls fn for each name in a folder; what is no folder is passed over. */
static enum ior_err each_in(struct listing *above, const char *folder,
                            enum ior_err (*fn)(struct listing *l, const char *name))
{
    struct listing l = {.disk = above->disk, .files = above->files, .at = above->at};
    snprintf(l.folder, sizeof l.folder, "%s", folder);
    enum ior_err err = disk_list(l.disk, folder, note_name, &l);
    if (err == IOR_E_NOTFOUND || err == IOR_E_ACCESS || err == IOR_E_IO) err = IOR_OK;
    for (size_t i = 0; i < l.count && err == IOR_OK; i++) err = fn(&l, l.names[i]);
    free(l.names);
    return err;
}

static bool is_hex(const char *text, size_t n)
{
    return strlen(text) == n && strspn(text, "0123456789abcdef") == n;
}

static enum ior_err in_prefix(struct listing *l, const char *name)
{
    char folder[DISK_PATH_MAX];
    if (!is_hex(name, 16)) return IOR_OK;
    l->at.uid = strtoull(name, NULL, 16);
    chunk_folder(l->at.partition, l->at.uid, folder);
    if (strncmp(folder, l->folder, strlen(l->folder)) != 0) return IOR_OK;
    enum ior_err err = disk_list(l->disk, folder, note_chunk, l);
    return err == IOR_E_NOMEM ? err : IOR_OK;
}

static enum ior_err in_partition(struct listing *l, const char *name)
{
    char folder[64];
    if (!is_hex(name, 2)) return IOR_OK;
    snprintf(folder, sizeof folder, "p%" PRIu32 "/%s", l->at.partition, name);
    return each_in(l, folder, in_prefix);
}

static enum ior_err in_root(struct listing *l, const char *name)
{
    char again[24];
    if (name[0] != 'p' || strspn(name + 1, "0123456789") != strlen(name + 1)) return IOR_OK;
    l->at.partition = (uint32_t)strtoul(name + 1, NULL, 10);
    snprintf(again, sizeof again, "p%" PRIu32, l->at.partition);
    return strcmp(again, name) == 0 ? each_in(l, name, in_partition) : IOR_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct verify_file *x = a;
    const struct verify_file *y = b;
    if (x->partition != y->partition) return x->partition < y->partition ? -1 : 1;
    if (x->uid != y->uid) return x->uid < y->uid ? -1 : 1;
    return x->first_seqnum < y->first_seqnum ? -1 : x->first_seqnum > y->first_seqnum;
}

enum ior_err verify_list_files(struct disk *d, struct verify_files *ret, struct ior_why *why)
{
    struct listing root = {.disk = d, .files = ret};
    *ret = (struct verify_files){0};
    enum ior_err err = each_in(&root, ".", in_root);
    if (err != IOR_OK) return ior_why_set(why, err, "cannot list the folders of the chunks");
    if (ret->count > 0) qsort(ret->items, ret->count, sizeof *ret->items, by_place);
    return IOR_OK;
}

/* ---- against the catalog ---- */

static bool is_named(const struct image *m, const struct verify_file *f)
{
    struct catalog_key key = catalog_key_ids(f->partition, f->uid, f->first_seqnum);
    return image_get(m, KV_CHUNKS, catalog_key_slice(&key)).data != NULL;
}

static bool is_buried(const struct image *m, const char *path)
{
    return image_get(m, KV_GRAVE, ior_slice_str(path)).data != NULL;
}

/* A path of the graveyard must be a chunk's and may have no row. */
static void check_grave(struct verify *v, struct ior_slice path)
{
    char text[DISK_PATH_MAX];
    char again[DISK_PATH_MAX];
    struct verify_file f = {0};
    snprintf(text, sizeof text, "%.*s", (int)path.size_bytes, (const char *)path.data);
    const char *name = strrchr(text, '/');
    const char *uid = text[0] == 'p' ? strchr(text, '/') : NULL;
    bool ok = uid != NULL && strlen(uid) == 43 && chunk_name_parse(name + 1, &f.first_seqnum);
    if (ok) {
        f.partition = (uint32_t)strtoul(text + 1, NULL, 10);
        f.uid = strtoull(uid + 4, NULL, 16);
        chunk_path(f.partition, f.uid, f.first_seqnum, again);
        ok = strcmp(text, again) == 0;
    }
    if (!ok) {
        verify_say(v, VERIFY_ERROR, KV_LMDB_FILE, VERIFY_NO_OFFSET,
                   "a file is to be removed that is no chunk: %s",
                   verify_printable(path, again, sizeof again));
    } else if (is_named(&v->image, &f)) {
        verify_say(v, VERIFY_ERROR, KV_LMDB_FILE, VERIFY_NO_OFFSET,
                   "a file is to be removed that a stream needs: %s", text);
    }
}

void verify_files(struct verify *v, const struct verify_files *files)
{
    const struct image *m = &v->image;
    for (size_t i = 0; i < m->tables[KV_GRAVE].count; i++)
        check_grave(v, image_key(m, KV_GRAVE, i));
    for (size_t i = 0; i < files->count; i++) {
        char path[DISK_PATH_MAX];
        const struct verify_file *f = &files->items[i];
        chunk_path(f->partition, f->uid, f->first_seqnum, path);
        if (!is_named(m, f) && !is_buried(m, path))
            verify_say(v, VERIFY_NOTE, path, VERIFY_NO_OFFSET,
                       "unnamed: the catalog does not know this file");
    }
}

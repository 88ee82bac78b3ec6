/* src/rt/disk_sim_state.c - the simulated disk's files and folders: what is seen,
 * what is durable, and the versions between the two. */
#include "rt/disk_sim_private.h"

#include <stdlib.h>
#include <string.h>

void *sim_grow(void *items, size_t *room, size_t count, size_t item_bytes)
{
    if (count < *room) return items;
    *room = *room == 0 ? 8 : *room * 2;
    void *grown = realloc(items, *room * item_bytes);
    IOR_ASSERT(grown != NULL);
    return grown;
}

static char *text_copy(const char *s)
{
    char *copy = strdup(s);
    IOR_ASSERT(copy != NULL);
    return copy;
}

/* ---- names ---- */

struct sim_inode *sim_names_find(const struct sim_names *n, const char *name)
{
    for (size_t i = 0; i < n->count; i++) {
        if (strcmp(n->items[i].name, name) == 0) return n->items[i].inode;
    }
    return NULL;
}

void sim_names_put(struct sim_names *n, const char *name, struct sim_inode *inode)
{
    for (size_t i = 0; i < n->count; i++) {
        if (strcmp(n->items[i].name, name) != 0) continue;
        n->items[i].inode = inode;
        return;
    }
    n->items = sim_grow(n->items, &n->room, n->count, sizeof *n->items);
    n->items[n->count++] = (struct sim_name){text_copy(name), inode};
}

void sim_names_remove(struct sim_names *n, const struct sim_inode *inode)
{
    for (size_t i = n->count; i-- > 0;) {
        if (n->items[i].inode != inode) continue;
        free(n->items[i].name);
        memmove(n->items + i, n->items + i + 1, (n->count - i - 1) * sizeof *n->items);
        n->count--;
    }
}

static void names_clear(struct sim_names *n)
{
    for (size_t i = 0; i < n->count; i++) free(n->items[i].name);
    n->count = 0;
}

void sim_names_copy(struct sim_names *to, const struct sim_names *from)
{
    names_clear(to);
    for (size_t i = 0; i < from->count; i++)
        sim_names_put(to, from->items[i].name, from->items[i].inode);
}

struct sim_inode *sim_folder_of(struct sim_disk *s, const char *path, const char **ret_last)
{
    struct sim_inode *folder = s->root;
    const char *slash;
    while ((slash = strchr(path, '/')) != NULL) {
        char part[DISK_PATH_MAX];
        size_t n = (size_t)(slash - path);
        IOR_ASSERT(n < sizeof part);
        memcpy(part, path, n);
        part[n] = 0;
        folder = sim_names_find(&folder->names, part);
        if (folder == NULL || !folder->is_folder) return NULL;
        path = slash + 1;
    }
    *ret_last = path;
    return folder;
}

struct sim_inode *sim_find(struct sim_disk *s, const char *path)
{
    if (strcmp(path, ".") == 0) return s->root;
    const char *last;
    struct sim_inode *folder = sim_folder_of(s, path, &last);
    return folder == NULL ? NULL : sim_names_find(&folder->names, last);
}

void sim_place(struct sim_disk *s, struct sim_inode *folder, struct sim_inode *inode,
               const char *to)
{
    sim_names_remove(&folder->names, inode);
    if (to != NULL) sim_names_put(&folder->names, to, inode);
    folder->name_ops = sim_grow(folder->name_ops, &folder->name_op_room, folder->name_op_count,
                                sizeof *folder->name_ops);
    folder->name_ops[folder->name_op_count++] =
        (struct sim_name_op){++s->serial, inode, to == NULL ? NULL : text_copy(to)};
}

static void name_ops_clear(struct sim_inode *folder)
{
    for (size_t i = 0; i < folder->name_op_count; i++) free(folder->name_ops[i].to);
    folder->name_op_count = 0;
}

void sim_names_sync(struct sim_inode *folder)
{
    sim_names_copy(&folder->durable_names, &folder->names);
    name_ops_clear(folder);
}

/* ---- inodes ---- */

struct sim_inode *sim_inode_new(struct sim_disk *s, bool is_folder)
{
    struct sim_inode *i = calloc(1, sizeof *i);
    IOR_ASSERT(i != NULL);
    i->is_folder = is_folder;
    i->next = s->inodes;
    s->inodes = i;
    return i;
}

void sim_inode_free(struct sim_inode *i)
{
    names_clear(&i->names);
    names_clear(&i->durable_names);
    name_ops_clear(i);
    free(i->names.items);
    free(i->durable_names.items);
    free(i->name_ops);
    free(i->seen);
    free(i->durable);
    free(i->sectors);
    free(i->sizes);
    free(i->holes);
    free(i);
}

static void mark(struct sim_inode *i)
{
    if (i->marked) return;
    i->marked = true;
    for (size_t n = 0; n < i->names.count; n++) mark(i->names.items[n].inode);
    for (size_t n = 0; n < i->durable_names.count; n++) mark(i->durable_names.items[n].inode);
    for (size_t n = 0; n < i->name_op_count; n++) mark(i->name_ops[n].inode);
}

void sim_sweep(struct sim_disk *s)
{
    for (struct sim_inode *i = s->inodes; i != NULL; i = i->next) i->marked = false;
    mark(s->root);
    struct sim_inode **at = &s->inodes;
    while (*at != NULL) {
        struct sim_inode *i = *at;
        if (i->marked || i->opens > 0) {
            at = &i->next;
            continue;
        }
        *at = i->next;
        sim_inode_free(i);
    }
}

/* ---- the bytes of a file ---- */

void sim_make_room(struct sim_inode *i, uint64_t bytes)
{
    size_t want = (size_t)((bytes + DISK_SECTOR_BYTES - 1) / DISK_SECTOR_BYTES * DISK_SECTOR_BYTES);
    if (want <= i->room_bytes) return;
    i->seen = realloc(i->seen, want);
    i->durable = realloc(i->durable, want);
    IOR_ASSERT(i->seen != NULL && i->durable != NULL);
    memset(i->seen + i->room_bytes, 0, want - i->room_bytes);
    memset(i->durable + i->room_bytes, 0, want - i->room_bytes);
    i->room_bytes = want;
}

void sim_note_sector(struct sim_disk *s, struct sim_inode *i, uint64_t number)
{
    i->sectors = sim_grow(i->sectors, &i->sector_room, i->sector_count, sizeof *i->sectors);
    struct sim_sector *v = &i->sectors[i->sector_count++];
    *v = (struct sim_sector){.number = number, .serial = ++s->serial};
    memcpy(v->bytes, i->seen + number * DISK_SECTOR_BYTES, DISK_SECTOR_BYTES);
}

void sim_set_size(struct sim_disk *s, struct sim_inode *i, uint64_t size_bytes)
{
    if (size_bytes == i->seen_bytes) return;
    sim_make_room(i, size_bytes);
    if (size_bytes < i->seen_bytes) {
        memset(i->seen + size_bytes, 0, (size_t)(i->seen_bytes - size_bytes));
        for (uint64_t n = size_bytes / DISK_SECTOR_BYTES; n * DISK_SECTOR_BYTES < i->seen_bytes;
             n++)
            sim_note_sector(s, i, n);
    }
    i->seen_bytes = size_bytes;
    i->sizes = sim_grow(i->sizes, &i->size_room, i->size_count, sizeof *i->sizes);
    i->sizes[i->size_count++] = (struct sim_size){.bytes = size_bytes, .serial = ++s->serial};
}

static bool synced_later(const struct sim_inode *i, size_t at)
{
    for (size_t n = at + 1; n < i->sector_count; n++) {
        if (i->sectors[n].number == i->sectors[at].number && !i->sectors[n].stuck) return true;
    }
    return false;
}

/* Versions that no sync takes any more stay in doubt, until the sector is written anew. */
void sim_file_sync(struct sim_inode *i)
{
    size_t kept = 0;
    for (size_t n = 0; n < i->sector_count; n++) {
        struct sim_sector *v = &i->sectors[n];
        if (!v->stuck) {
            memcpy(i->durable + v->number * DISK_SECTOR_BYTES, v->bytes, DISK_SECTOR_BYTES);
        } else if (!synced_later(i, n)) {
            i->sectors[kept++] = *v;
        }
    }
    i->sector_count = kept;
    if (i->size_count > 0) i->durable_bytes = i->sizes[i->size_count - 1].bytes;
    i->size_count = 0;
}

void sim_file_stick(struct sim_inode *i)
{
    for (size_t n = 0; n < i->sector_count; n++) i->sectors[n].stuck = true;
}

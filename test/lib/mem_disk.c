/* test/lib/mem_disk.c - see mem_disk.h. Files are one array each in a list; a folder
 * is a name. A file that was unlinked while it is open lives until it is closed. */
#include "mem_disk.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

struct mem_file {
    struct mem_file *next;
    char path[DISK_PATH_MAX]; /* empty: unlinked */
    bool is_dir;
    unsigned open_count;
    uint8_t *data;
    size_t size_bytes;
    size_t room_bytes;
};
struct mem_open {
    struct disk_file super; /* first */
    struct mem_disk *disk;
    struct mem_file *file;
};
struct failing {
    uint64_t good;
    enum ior_err err; /* IOR_OK: does not fail */
};
struct mem_disk {
    struct disk super; /* first */
    pthread_mutex_t lock;
    struct mem_file *files;
    uint64_t used_bytes;
    uint64_t room_bytes;
    struct failing writes;
    struct failing syncs;
};

static struct mem_disk *disk_of(struct disk *d)
{
    return (struct mem_disk *)(void *)d;
}

static struct mem_open *open_of(struct disk_file *f)
{
    return (struct mem_open *)(void *)f;
}

static enum ior_err attempt(struct failing *f)
{
    if (f->err == IOR_OK) return IOR_OK;
    if (f->good == 0) return f->err;
    f->good--;
    return IOR_OK;
}

static struct mem_file *find(struct mem_disk *d, const char *path)
{
    for (struct mem_file *f = d->files; f != NULL; f = f->next) {
        if (strcmp(f->path, path) == 0) return f;
    }
    return NULL;
}

static bool folder_exists(struct mem_disk *d, const char *path, size_t n)
{
    if (n == 0 || (n == 1 && path[0] == '.')) return true;
    for (struct mem_file *f = d->files; f != NULL; f = f->next) {
        if (f->is_dir && strlen(f->path) == n && memcmp(f->path, path, n) == 0) return true;
    }
    return false;
}

/* The bytes of the folder's path in front of the last '/'. */
static size_t folder_bytes(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? 0 : (size_t)(slash - path);
}

static struct mem_file *add(struct mem_disk *d, const char *path, bool is_dir)
{
    struct mem_file *f = calloc(1, sizeof *f);
    IOR_ASSERT(f != NULL && path[0] != 0 && strlen(path) < sizeof f->path);
    strcpy(f->path, path);
    f->is_dir = is_dir;
    f->next = d->files;
    d->files = f;
    return f;
}

/* Unlinked and closed: it goes. */
static void drop_if_gone(struct mem_disk *d, struct mem_file *f)
{
    if (f->path[0] != 0 || f->open_count > 0) return;
    struct mem_file **at = &d->files;
    while (*at != f) at = &(*at)->next;
    *at = f->next;
    d->used_bytes -= f->size_bytes;
    free(f->data);
    free(f);
}

static enum ior_err resize(struct mem_disk *d, struct mem_file *f, size_t size_bytes)
{
    if (size_bytes > f->size_bytes && d->used_bytes + size_bytes - f->size_bytes > d->room_bytes)
        return IOR_E_NOSPC;
    if (size_bytes > f->room_bytes) {
        size_t room = f->room_bytes * 2 > size_bytes ? f->room_bytes * 2 : size_bytes;
        uint8_t *data = realloc(f->data, room);
        IOR_ASSERT(data != NULL);
        f->data = data;
        f->room_bytes = room;
    }
    if (size_bytes > f->size_bytes)
        memset(f->data + f->size_bytes, 0, size_bytes - f->size_bytes);
    d->used_bytes = d->used_bytes - f->size_bytes + size_bytes;
    f->size_bytes = size_bytes;
    return IOR_OK;
}

/* ---- files ---- */

static const struct disk_ops mem_ops;

static enum ior_err file_open(struct disk *super, const char *path, int flags,
                              struct disk_file **ret)
{
    struct mem_disk *d = disk_of(super);
    enum ior_err err = IOR_OK;
    pthread_mutex_lock(&d->lock);
    struct mem_file *f = find(d, path);
    if (f == NULL && ((flags & DISK_CREATE) == 0 || !folder_exists(d, path, folder_bytes(path)))) {
        err = IOR_E_NOTFOUND;
    } else {
        if (f == NULL) f = add(d, path, false);
        struct mem_open *o = malloc(sizeof *o);
        IOR_ASSERT(o != NULL);
        *o = (struct mem_open){{&mem_ops}, d, f};
        f->open_count++;
        *ret = &o->super;
    }
    pthread_mutex_unlock(&d->lock);
    return err;
}

static void file_close(struct disk_file *super)
{
    struct mem_open *o = open_of(super);
    struct mem_disk *d = o->disk;
    pthread_mutex_lock(&d->lock);
    o->file->open_count--;
    drop_if_gone(d, o->file);
    pthread_mutex_unlock(&d->lock);
    free(o);
}

static enum ior_err file_read(struct disk_file *super, uint64_t offset, void *buf, size_t n,
                              size_t *ret_n)
{
    struct mem_open *o = open_of(super);
    pthread_mutex_lock(&o->disk->lock);
    size_t size = o->file->size_bytes;
    size_t got = offset >= size ? 0 : size - (size_t)offset;
    if (got > n) got = n;
    if (got > 0) memcpy(buf, o->file->data + offset, got);
    *ret_n = got;
    pthread_mutex_unlock(&o->disk->lock);
    return IOR_OK;
}

static enum ior_err file_write(struct disk_file *super, uint64_t offset, const struct iovec *iov,
                               int count)
{
    struct mem_open *o = open_of(super);
    struct mem_disk *d = o->disk;
    size_t n = 0;
    for (int i = 0; i < count; i++) n += iov[i].iov_len;
    pthread_mutex_lock(&d->lock);
    enum ior_err err = attempt(&d->writes);
    if (err == IOR_OK && offset + n > o->file->size_bytes)
        err = resize(d, o->file, (size_t)offset + n);
    for (int i = 0; err == IOR_OK && i < count; i++) {
        if (iov[i].iov_len > 0) memcpy(o->file->data + offset, iov[i].iov_base, iov[i].iov_len);
        offset += iov[i].iov_len;
    }
    pthread_mutex_unlock(&d->lock);
    return err;
}

static enum ior_err file_sync(struct disk_file *super)
{
    struct mem_disk *d = open_of(super)->disk;
    pthread_mutex_lock(&d->lock);
    enum ior_err err = attempt(&d->syncs);
    pthread_mutex_unlock(&d->lock);
    return err;
}

static enum ior_err file_size(struct disk_file *super, uint64_t *ret_bytes)
{
    struct mem_open *o = open_of(super);
    pthread_mutex_lock(&o->disk->lock);
    *ret_bytes = o->file->size_bytes;
    pthread_mutex_unlock(&o->disk->lock);
    return IOR_OK;
}

static enum ior_err file_truncate(struct disk_file *super, uint64_t size_bytes)
{
    struct mem_open *o = open_of(super);
    pthread_mutex_lock(&o->disk->lock);
    enum ior_err err = resize(o->disk, o->file, (size_t)size_bytes);
    pthread_mutex_unlock(&o->disk->lock);
    return err;
}

/* ---- names ---- */

static enum ior_err unlink_locked(struct mem_disk *d, const char *path)
{
    struct mem_file *f = find(d, path);
    if (f == NULL) return IOR_E_NOTFOUND;
    f->path[0] = 0;
    drop_if_gone(d, f);
    return IOR_OK;
}

static enum ior_err name_unlink(struct disk *super, const char *path)
{
    struct mem_disk *d = disk_of(super);
    pthread_mutex_lock(&d->lock);
    enum ior_err err = unlink_locked(d, path);
    pthread_mutex_unlock(&d->lock);
    return err;
}

static enum ior_err name_rename(struct disk *super, const char *from, const char *to)
{
    struct mem_disk *d = disk_of(super);
    pthread_mutex_lock(&d->lock);
    struct mem_file *f = find(d, from);
    if (f != NULL && strcmp(from, to) != 0) {
        enum ior_err err = unlink_locked(d, to);
        IOR_ASSERT(err == IOR_OK || err == IOR_E_NOTFOUND);
        IOR_ASSERT(strlen(to) < sizeof f->path);
        strcpy(f->path, to);
    }
    pthread_mutex_unlock(&d->lock);
    return f == NULL ? IOR_E_NOTFOUND : IOR_OK;
}

static enum ior_err dir_make(struct disk *super, const char *path)
{
    struct mem_disk *d = disk_of(super);
    pthread_mutex_lock(&d->lock);
    bool parent = folder_exists(d, path, folder_bytes(path));
    if (parent && find(d, path) == NULL) add(d, path, true);
    pthread_mutex_unlock(&d->lock);
    return parent ? IOR_OK : IOR_E_NOTFOUND;
}

static enum ior_err dir_sync(struct disk *super, const char *path)
{
    struct mem_disk *d = disk_of(super);
    pthread_mutex_lock(&d->lock);
    enum ior_err err = attempt(&d->syncs);
    if (err == IOR_OK && !folder_exists(d, path, strlen(path))) err = IOR_E_NOTFOUND;
    pthread_mutex_unlock(&d->lock);
    return err;
}

/* The callback runs with the lock held: it may not use the disk. */
static enum ior_err dir_list(struct disk *super, const char *path, disk_name_cb cb, void *ctx)
{
    struct mem_disk *d = disk_of(super);
    size_t n = strcmp(path, ".") == 0 ? 0 : strlen(path);
    pthread_mutex_lock(&d->lock);
    enum ior_err err = folder_exists(d, path, strlen(path)) ? IOR_OK : IOR_E_NOTFOUND;
    for (struct mem_file *f = d->files; err == IOR_OK && f != NULL; f = f->next) {
        if (f->path[0] == 0 || folder_bytes(f->path) != n || memcmp(f->path, path, n) != 0)
            continue;
        err = cb(ctx, n == 0 ? f->path : f->path + n + 1);
    }
    pthread_mutex_unlock(&d->lock);
    return err;
}

static void free_all(struct disk *super)
{
    struct mem_disk *d = disk_of(super);
    while (d->files != NULL) {
        IOR_ASSERT(d->files->open_count == 0);
        d->files->path[0] = 0;
        drop_if_gone(d, d->files);
    }
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static const struct disk_ops mem_ops = {
    .open = file_open,
    .close = file_close,
    .read = file_read,
    .write = file_write,
    .sync = file_sync,
    .size = file_size,
    .truncate = file_truncate,
    .rename = name_rename,
    .unlink = name_unlink,
    .mkdir = dir_make,
    .sync_dir = dir_sync,
    .list = dir_list,
    .free = free_all,
};

/* ---- the test's side ---- */

struct mem_disk *mem_disk_new(void)
{
    struct mem_disk *d = calloc(1, sizeof *d);
    IOR_ASSERT(d != NULL);
    d->super.ops = &mem_ops;
    d->room_bytes = UINT64_MAX;
    pthread_mutex_init(&d->lock, NULL);
    return d;
}

struct disk *mem_disk_super(struct mem_disk *d)
{
    return &d->super;
}

void mem_disk_fail_writes(struct mem_disk *d, uint64_t good, enum ior_err err)
{
    d->writes = (struct failing){good, err};
}

void mem_disk_fail_syncs(struct mem_disk *d, uint64_t good, enum ior_err err)
{
    d->syncs = (struct failing){good, err};
}

void mem_disk_set_room(struct mem_disk *d, uint64_t bytes)
{
    d->room_bytes = bytes;
}

uint8_t *mem_disk_bytes(struct mem_disk *d, const char *path, size_t *ret_n)
{
    struct mem_file *f = find(d, path);
    if (f == NULL) return NULL;
    *ret_n = f->size_bytes;
    return f->data;
}

void mem_disk_put(struct mem_disk *d, const char *path, const void *data, size_t n)
{
    struct mem_file *f = find(d, path);
    if (f == NULL) f = add(d, path, false);
    enum ior_err err = resize(d, f, n);
    IOR_ASSERT(err == IOR_OK);
    if (n > 0) memcpy(f->data, data, n);
}

uint64_t mem_disk_used_bytes(struct mem_disk *d)
{
    return d->used_bytes;
}

/* src/rt/disk.c - what is the same for every disk. */
#include "rt/disk.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

enum ior_err disk_open(struct disk *d, const char *path, int flags, struct disk_file **ret)
{
    IOR_ASSERT(strlen(path) < DISK_PATH_MAX);
    return d->ops->open(d, path, flags, ret);
}

void disk_close(struct disk_file *f)
{
    if (f != NULL) f->ops->close(f);
}

enum ior_err disk_read(struct disk_file *f, uint64_t offset, void *buf, size_t n, size_t *ret_n)
{
    return f->ops->read(f, offset, buf, n, ret_n);
}

enum ior_err disk_write(struct disk_file *f, uint64_t offset, const struct iovec *iov, int count)
{
    IOR_ASSERT(count > 0 && count <= 1024);
    return f->ops->write(f, offset, iov, count);
}

enum ior_err disk_write_buf(struct disk_file *f, uint64_t offset, const void *data, size_t n)
{
    union {
        const void *in;
        void *out;
    } cast = {.in = data}; /* iovec has no const */
    struct iovec iov = {cast.out, n};
    return f->ops->write(f, offset, &iov, 1);
}

void disk_direct(struct disk_file *f, bool on)
{
    if (f->ops->direct != NULL) f->ops->direct(f, on);
}

void disk_forget(struct disk_file *f, uint64_t offset, uint64_t n)
{
    if (f->ops->forget != NULL) f->ops->forget(f, offset, n);
}

enum ior_err disk_sync(struct disk_file *f)
{
    return f->ops->sync(f);
}

enum ior_err disk_size(struct disk_file *f, uint64_t *ret_bytes)
{
    return f->ops->size(f, ret_bytes);
}

enum ior_err disk_truncate(struct disk_file *f, uint64_t size_bytes)
{
    return f->ops->truncate(f, size_bytes);
}

enum ior_err disk_rename(struct disk *d, const char *from, const char *to)
{
    return d->ops->rename(d, from, to);
}

enum ior_err disk_unlink(struct disk *d, const char *path)
{
    return d->ops->unlink(d, path);
}

enum ior_err disk_mkdir(struct disk *d, const char *path)
{
    return d->ops->mkdir(d, path);
}

enum ior_err disk_rmdir(struct disk *d, const char *path, bool *ret_gone)
{
    return d->ops->rmdir(d, path, ret_gone);
}

enum ior_err disk_sync_dir(struct disk *d, const char *path)
{
    return d->ops->sync_dir(d, path);
}

enum ior_err disk_list(struct disk *d, const char *path, disk_name_cb cb, void *ctx)
{
    return d->ops->list(d, path, cb, ctx);
}

enum ior_err disk_room(struct disk *d, struct disk_room *ret)
{
    return d->ops->room(d, ret);
}

void disk_free(struct disk *d)
{
    if (d != NULL) d->ops->free(d);
}

static enum ior_err write_and_sync(struct disk *d, const char *path, const void *data, size_t n)
{
    struct disk_file *f = NULL;
    enum ior_err err = disk_open(d, path, DISK_WRITE | DISK_CREATE, &f);
    if (err != IOR_OK) return err;
    err = disk_truncate(f, 0);
    if (err == IOR_OK) err = disk_write_buf(f, 0, data, n);
    if (err == IOR_OK) err = disk_sync(f);
    disk_close(f);
    return err;
}

enum ior_err disk_replace_file(struct disk *d, const char *path, const void *data, size_t n)
{
    char tmp[DISK_PATH_MAX];
    char dir[DISK_PATH_MAX] = ".";
    int len = snprintf(tmp, sizeof tmp, "%s.new", path);
    IOR_ASSERT(len > 0 && (size_t)len < sizeof tmp);
    const char *slash = strrchr(path, '/');
    if (slash != NULL) snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
    enum ior_err err = write_and_sync(d, tmp, data, n);
    if (err == IOR_OK) err = disk_rename(d, tmp, path);
    if (err == IOR_OK) err = disk_sync_dir(d, dir);
    return err;
}

enum ior_err disk_read_file(struct disk *d, const char *path, void *buf, size_t max, size_t *ret_n)
{
    struct disk_file *f = NULL;
    uint64_t size_bytes = 0;
    enum ior_err err = disk_open(d, path, DISK_READ, &f);
    if (err != IOR_OK) return err;
    err = disk_size(f, &size_bytes);
    if (err == IOR_OK && size_bytes > max) err = IOR_E_TOOLARGE;
    if (err == IOR_OK) err = disk_read(f, 0, buf, (size_t)size_bytes, ret_n);
    disk_close(f);
    return err;
}

/* src/rt/disk_posix.c - the real disk, below one directory descriptor.
 * Interrupted calls are repeated; a short write is continued. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/assert.h"
#include "rt/disk.h"

struct posix_disk {
    struct disk super;
    int dir_fd;
};
struct posix_file {
    struct disk_file super;
    int fd;
    bool direct; /* O_DIRECT is set */
};

static struct posix_disk *disk_of(struct disk *d)
{
    return (struct posix_disk *)(void *)d;
}

static int fd_of(struct disk_file *f)
{
    return ((struct posix_file *)(void *)f)->fd;
}

static const struct disk_ops posix_ops;

static enum ior_err file_open(struct disk *d, const char *path, int flags, struct disk_file **ret)
{
    int how = O_CLOEXEC | ((flags & DISK_WRITE) != 0 ? O_RDWR : O_RDONLY);
    if ((flags & DISK_CREATE) != 0) how |= O_CREAT;
    int fd = openat(disk_of(d)->dir_fd, path, how, 0600);
    if (fd < 0) return ior_err_from_errno(errno);
    struct posix_file *f = malloc(sizeof *f);
    if (f == NULL) {
        close(fd);
        return IOR_E_NOMEM;
    }
    *f = (struct posix_file){{&posix_ops}, fd, false};
    *ret = &f->super;
    return IOR_OK;
}

static void file_close(struct disk_file *f)
{
    close(fd_of(f));
    free(f);
}

/* A file system that cannot says so here or at the first write; then it is an ordinary file. */
static void file_direct(struct disk_file *f, bool on)
{
    struct posix_file *pf = (struct posix_file *)(void *)f;
    int flags = fcntl(pf->fd, F_GETFL);
    if (pf->direct == on || flags < 0) return;
    if (fcntl(pf->fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0) pf->direct = on;
}

/* After EINVAL: was it that this disk wants other pages? Then it is tried again without. */
static bool was_not_aligned(struct disk_file *f)
{
    const struct posix_file *pf = (const struct posix_file *)(const void *)f;
    if (!pf->direct) return false;
    file_direct(f, false);
    return !pf->direct;
}

static enum ior_err file_read(struct disk_file *f, uint64_t offset, void *buf, size_t n,
                              size_t *ret_n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t r = pread(fd_of(f), (char *)buf + done, n - done, (off_t)(offset + done));
        if (r < 0 && errno == EINTR) continue;
        if (r < 0 && errno == EINVAL && was_not_aligned(f)) continue;
        if (r < 0) return ior_err_from_errno(errno);
        if (r == 0) break;
        done += (size_t)r;
    }
    *ret_n = done;
    return IOR_OK;
}

static enum ior_err file_write(struct disk_file *f, uint64_t offset, const struct iovec *iov,
                               int count)
{
    struct iovec left[1024];
    memcpy(left, iov, sizeof *iov * (size_t)count);
    struct iovec *at = left;
    while (count > 0) {
        ssize_t w = pwritev(fd_of(f), at, count, (off_t)offset);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0 && errno == EINVAL && was_not_aligned(f)) continue;
        if (w < 0) return ior_err_from_errno(errno);
        offset += (uint64_t)w;
        size_t n = (size_t)w;
        while (count > 0 && n >= at->iov_len) {
            n -= at->iov_len;
            at++;
            count--;
        }
        if (count > 0) {
            at->iov_base = (char *)at->iov_base + n;
            at->iov_len -= n;
        }
    }
    return IOR_OK;
}

static void file_forget(struct disk_file *f, uint64_t offset, uint64_t n)
{
    int rc = posix_fadvise(fd_of(f), (off_t)offset, (off_t)n, POSIX_FADV_DONTNEED);
    (void)rc; /* then it stays in memory */
}

static enum ior_err file_sync(struct disk_file *f)
{
    return fdatasync(fd_of(f)) == 0 ? IOR_OK : ior_err_from_errno(errno);
}

static enum ior_err file_size(struct disk_file *f, uint64_t *ret_bytes)
{
    struct stat st;
    if (fstat(fd_of(f), &st) != 0) return ior_err_from_errno(errno);
    *ret_bytes = (uint64_t)st.st_size;
    return IOR_OK;
}

static enum ior_err file_truncate(struct disk_file *f, uint64_t size_bytes)
{
    return ftruncate(fd_of(f), (off_t)size_bytes) == 0 ? IOR_OK : ior_err_from_errno(errno);
}

static enum ior_err name_rename(struct disk *d, const char *from, const char *to)
{
    int dir = disk_of(d)->dir_fd;
    return renameat(dir, from, dir, to) == 0 ? IOR_OK : ior_err_from_errno(errno);
}

static enum ior_err name_unlink(struct disk *d, const char *path)
{
    return unlinkat(disk_of(d)->dir_fd, path, 0) == 0 ? IOR_OK : ior_err_from_errno(errno);
}

static enum ior_err dir_make(struct disk *d, const char *path)
{
    if (mkdirat(disk_of(d)->dir_fd, path, 0700) == 0 || errno == EEXIST) return IOR_OK;
    return ior_err_from_errno(errno);
}

static enum ior_err dir_remove(struct disk *d, const char *path, bool *ret_gone)
{
    int rc = unlinkat(disk_of(d)->dir_fd, path, AT_REMOVEDIR);
    bool stays = rc != 0 && (errno == ENOTEMPTY || errno == EEXIST);
    if (rc != 0 && !stays && errno != ENOENT) return ior_err_from_errno(errno);
    *ret_gone = !stays;
    return IOR_OK;
}

static enum ior_err dir_sync(struct disk *d, const char *path)
{
    int fd = openat(disk_of(d)->dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return ior_err_from_errno(errno);
    enum ior_err err = fsync(fd) == 0 ? IOR_OK : ior_err_from_errno(errno);
    close(fd);
    return err;
}

static enum ior_err dir_list(struct disk *d, const char *path, disk_name_cb cb, void *ctx)
{
    int fd = openat(disk_of(d)->dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return ior_err_from_errno(errno);
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        close(fd);
        return ior_err_from_errno(errno);
    }
    enum ior_err err = IOR_OK;
    struct dirent *e;
    while (err == IOR_OK && (errno = 0, e = readdir(dir)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        err = cb(ctx, e->d_name);
    }
    if (err == IOR_OK && errno != 0) err = ior_err_from_errno(errno);
    closedir(dir);
    return err;
}

static void disk_close_all(struct disk *d)
{
    close(disk_of(d)->dir_fd);
    free(d);
}

static enum ior_err room(struct disk *d, struct disk_room *ret)
{
    struct statvfs fs;
    if (fstatvfs(disk_of(d)->dir_fd, &fs) != 0) return ior_err_from_errno(errno);
    ret->bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    ret->files = fs.f_files == 0 ? UINT64_MAX : fs.f_favail;
    return IOR_OK;
}

static const struct disk_ops posix_ops = {
    .open = file_open,
    .close = file_close,
    .read = file_read,
    .write = file_write,
    .direct = file_direct,
    .forget = file_forget,
    .sync = file_sync,
    .size = file_size,
    .truncate = file_truncate,
    .rename = name_rename,
    .unlink = name_unlink,
    .mkdir = dir_make,
    .rmdir = dir_remove,
    .sync_dir = dir_sync,
    .list = dir_list,
    .room = room,
    .free = disk_close_all,
};

/* The folder, made if it is missing. Its name is made durable in its parent each time,
 * for whoever made it (the lock, an admin) may not have. */
static int make_dir(const char *dir)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) return -1;
    char parent[4096];
    int n = snprintf(parent, sizeof parent, "%s/..", dir);
    if (n < 0 || (size_t)n >= sizeof parent) return 0;
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return 0; /* a parent that may not be read cannot be synced */
    int rc = fsync(fd);
    close(fd);
    return rc;
}

enum ior_err disk_posix_open(const char *dir, struct disk **ret, struct ior_why *why)
{
    if (make_dir(dir) != 0)
        return ior_why_set(why, ior_err_from_errno(errno), "cannot make the data directory %s: %s",
                           dir, strerror(errno));
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ior_why_set(why, ior_err_from_errno(errno), "cannot open the data directory %s: %s",
                           dir, strerror(errno));
    if (faccessat(fd, ".", R_OK | W_OK | X_OK, 0) != 0) {
        int e = errno;
        close(fd);
        return ior_why_set(why, IOR_E_ACCESS, "cannot write to the data directory %s: %s", dir,
                           strerror(e));
    }
    struct posix_disk *d = malloc(sizeof *d);
    if (d == NULL) {
        close(fd);
        return IOR_E_NOMEM;
    }
    *d = (struct posix_disk){{&posix_ops}, fd};
    *ret = &d->super;
    return IOR_OK;
}

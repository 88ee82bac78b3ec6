/* src/rt/disk.h - the data directory, real (disk_posix.c) or simulated
 * (disk_sim.c). Paths are relative to it, with '/'.
 * Promise of a disk: a 512-byte sector is old or new, never garbage; what was
 * not synced may be lost in any part and any order; a new, renamed or removed
 * name is sure only after disk_sync_dir() of its folder.
 * Thread: any, one file by one thread at a time. */
#pragma once

#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"

#define DISK_SECTOR_BYTES 512
#define DISK_PATH_MAX 512

enum disk_open_flags { DISK_READ = 0, DISK_WRITE = 1, DISK_CREATE = 2 };

/* What a process without special rights may still take. */
struct disk_room {
    uint64_t bytes;
    uint64_t files; /* UINT64_MAX: this disk does not count them */
};

struct disk;
struct disk_file;
typedef enum ior_err (*disk_name_cb)(void *ctx, const char *name);

struct disk_ops {
    enum ior_err (*open)(struct disk *d, const char *path, int flags, struct disk_file **ret);
    void (*close)(struct disk_file *f);
    enum ior_err (*read)(struct disk_file *f, uint64_t offset, void *buf, size_t n, size_t *ret_n);
    enum ior_err (*write)(struct disk_file *f, uint64_t offset, const struct iovec *iov, int count);
    void (*direct)(struct disk_file *f, bool on); /* NULL: makes no difference here */
    void (*forget)(struct disk_file *f, uint64_t offset, uint64_t n); /* NULL: likewise */
    enum ior_err (*sync)(struct disk_file *f);
    enum ior_err (*size)(struct disk_file *f, uint64_t *ret_bytes);
    enum ior_err (*truncate)(struct disk_file *f, uint64_t size_bytes);
    enum ior_err (*rename)(struct disk *d, const char *from, const char *to);
    enum ior_err (*unlink)(struct disk *d, const char *path);
    enum ior_err (*mkdir)(struct disk *d, const char *path);
    enum ior_err (*rmdir)(struct disk *d, const char *path, bool *ret_gone);
    enum ior_err (*sync_dir)(struct disk *d, const char *path);
    enum ior_err (*list)(struct disk *d, const char *path, disk_name_cb cb, void *ctx);
    enum ior_err (*room)(struct disk *d, struct disk_room *ret);
    void (*free)(struct disk *d);
};
struct disk {
    const struct disk_ops *ops;
};
struct disk_file {
    const struct disk_ops *ops;
};

/* The real one. The folder is made (0700) when it is missing. ACCESS, IO, NOMEM with *why. */
IOR_MUST_CHECK enum ior_err disk_posix_open(const char *dir, struct disk **ret,
                                            struct ior_why *why);

/* NOTFOUND without DISK_CREATE; with it the file is made empty if missing. */
IOR_MUST_CHECK enum ior_err disk_open(struct disk *d, const char *path, int flags,
                                      struct disk_file **ret);
void disk_close(struct disk_file *f); /* NULL is fine */
/* Fewer than n bytes only at the end of the file. */
IOR_MUST_CHECK enum ior_err disk_read(struct disk_file *f, uint64_t offset, void *buf, size_t n,
                                      size_t *ret_n);
/* All or an error; after an error the bytes are undefined. count <= 1024. */
IOR_MUST_CHECK enum ior_err disk_write(struct disk_file *f, uint64_t offset,
                                       const struct iovec *iov, int count);
IOR_MUST_CHECK enum ior_err disk_write_buf(struct disk_file *f, uint64_t offset, const void *data,
                                           size_t n);
/* A hint: writes that are whole pages, in memory and in the file, go past the page cache.
 * It changes no promise: they too are sure only after disk_sync(). */
void disk_direct(struct disk_file *f, bool on);
/* A hint: nobody will read this soon; what is synced of it need not stay in memory. */
void disk_forget(struct disk_file *f, uint64_t offset, uint64_t n);
IOR_MUST_CHECK enum ior_err disk_sync(struct disk_file *f);
IOR_MUST_CHECK enum ior_err disk_size(struct disk_file *f, uint64_t *ret_bytes);
IOR_MUST_CHECK enum ior_err disk_truncate(struct disk_file *f, uint64_t size_bytes);
IOR_MUST_CHECK enum ior_err disk_rename(struct disk *d, const char *from, const char *to);
IOR_MUST_CHECK enum ior_err disk_unlink(struct disk *d, const char *path);
/* An existing folder is fine. */
IOR_MUST_CHECK enum ior_err disk_mkdir(struct disk *d, const char *path);
/* An empty folder goes. One that is not empty stays, one that is missing is fine: both OK.
 * *ret_gone: it is not there now. */
IOR_MUST_CHECK enum ior_err disk_rmdir(struct disk *d, const char *path, bool *ret_gone);
IOR_MUST_CHECK enum ior_err disk_sync_dir(struct disk *d, const char *path);
/* Every name in a folder, in any order; the callback's error ends it. */
IOR_MUST_CHECK enum ior_err disk_list(struct disk *d, const char *path, disk_name_cb cb, void *ctx);
IOR_MUST_CHECK enum ior_err disk_room(struct disk *d, struct disk_room *ret);
void disk_free(struct disk *d); /* NULL is fine; all files are closed before */
/* Write a small file whole, replace the old one, and sync both it and its folder. */
IOR_MUST_CHECK enum ior_err disk_replace_file(struct disk *d, const char *path, const void *data,
                                              size_t n);
/* Read a small file whole; TOOLARGE when it has more than max bytes. */
IOR_MUST_CHECK enum ior_err disk_read_file(struct disk *d, const char *path, void *buf, size_t max,
                                           size_t *ret_n);

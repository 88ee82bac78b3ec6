/* src/store/kv_pages_file.c - see kv_pages.h: the catalog's file of a data directory.
 * It is read with pread, not mapped: a file that was cut, or a sector that cannot be read, is
 * then an error and not a signal. The kernel is asked to read ahead.
 * Measured: see docs/decisions.rst. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "store/kv_pages.h"
#include "store/kv_private.h"

enum { PATH_BYTES = 4096 };

static enum ior_err read_at(void *ctx, uint64_t offset_bytes, void *out, size_t n)
{
    int fd = *(const int *)ctx;
    uint8_t *at = out;
    while (n > 0) {
        ssize_t got = pread(fd, at, n, (off_t)offset_bytes);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return IOR_E_IO; /* 0: it was cut meanwhile */
        at += got;
        offset_bytes += (uint64_t)got;
        n -= (size_t)got;
    }
    return IOR_OK;
}

struct first {
    struct ior_why *why;
};

static bool keep_first(void *ctx, uint64_t offset_bytes, const char *what)
{
    struct first *f = ctx;
    ior_why_set(f->why, IOR_E_CORRUPT, KV_LMDB_FILE ": damage at offset %" PRIu64 ": %s",
                offset_bytes, what);
    return false;
}

enum ior_err kv_pages_check_file(const char *dir, kv_pages_wrong_cb on_wrong, void *ctx,
                                 struct kv_pages_report *ret, struct ior_why *why)
{
    char path[PATH_BYTES];
    struct stat st;
    struct first first = {why};
    *ret = (struct kv_pages_report){0};
    int n = snprintf(path, sizeof path, "%s/" KV_LMDB_FILE, dir);
    IOR_ASSERT(n > 0 && (size_t)n < sizeof path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        enum ior_err err = ior_err_from_errno(errno);
        ior_why_set(why, err, "%s: %s", path, errno == ENOENT ? "it is missing" : strerror(errno));
        if (fd >= 0) close(fd);
        return err;
    }
    const struct kv_pages_params p = {.read = read_at,
                                      .read_ctx = &fd,
                                      .size_bytes = (uint64_t)st.st_size,
                                      .tables = kv_table_names,
                                      .table_count = KV_TABLES,
                                      .row = KV_ROOT_ROW,
                                      .row_bytes = KV_ROOT_ROW_BYTES,
                                      .on_wrong = on_wrong != NULL ? on_wrong : keep_first,
                                      .ctx = on_wrong != NULL ? ctx : &first};
    posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
    enum ior_err err = kv_pages_check(&p, ret);
    close(fd);
    if (err == IOR_E_VERSION) return ior_why_set(why, err, "%s: of another version of LMDB", path);
    if (err != IOR_OK) return ior_why_set(why, err, "no memory for a look at the catalog");
    return on_wrong == NULL && ret->wrong > 0 ? IOR_E_CORRUPT : IOR_OK;
}

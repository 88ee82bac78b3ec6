/* test/power/shim.c - LD_PRELOAD library: writes down, in true order, every
 * effect that a process has on the files below one folder, and every sync.
 *
 * POWER_DIR      the folder (must exist)
 * POWER_LOG      the log, outside of it; opened O_APPEND, made when missing
 * POWER_MUTANT   no-fsync: do not log any sync; no-dirsync: none of a folder.
 *                So a node looks as if it forgot them, and the test must see it
 * POWER_KILL_AT  SIGKILL this process right after its n-th record
 * POWER_KILL_WRITE                 ... after its n-th write: before a sync of it
 *
 * Threads: any. One mutex for the threads of a process and one lock of the log
 * file for the processes are held around the real call and its record, so that
 * the order of records is the order of effects, and whoever holds the lock of
 * the file (the driver does, for its kill -9) sees no effect without its record.
 * A sync runs without the locks: its record says where the log ended when it
 * was CALLED and is written when it has RETURNED: it covers only what was
 * written down before that place.
 *
 * A record is one line, then, for `write`, its bytes and a newline:
 *   start PID INO                       INO of POWER_DIR
 *   create INO MODE PATH | mkdir INO MODE PATH | link INO PATH | symlink INO PATH TARGET
 *   write INO OFFSET LEN | wsync INO (that write was O_DSYNC) | trunc INO SIZE
 *   falloc INO MODE OFFSET LEN | chmod INO MODE
 *   rename INO OLD NEW | exchange INO OLD NEW | unlink INO PATH | rmdir INO PATH
 *   sync INO PLACE HOW | syncfs PLACE | range INO (sync_file_range: no promise)
 *   unseen WHAT PATH                    an effect that this library cannot follow
 * Paths are relative to POWER_DIR, % and bytes up to 0x20 as %XX; "-": no name.
 *
 * Failures: what it cannot write down it says on stderr and aborts. Raw system
 * calls and stores into a shared mapping stay unseen: run.py compares the
 * replayed log with the real folder at the end. */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- open ---- */

static int open_at(int dirfd, const char *path, int flags, mode_t mode)
{
    struct shim_name name;
    bool temp = (flags & O_TMPFILE) == O_TMPFILE;
    if ((flags & (O_CREAT | O_TRUNC)) == 0 && !temp) return REAL(openat)(dirfd, path, flags, mode);
    if (!shim_resolve(dirfd, path, &name)) return REAL(openat)(dirfd, path, flags, mode);
    shim_enter();
    (void)shim_resolve(dirfd, path, &name); /* again: now nobody can change it */
    int fd = REAL(openat)(dirfd, path, flags, mode);
    struct stat st;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        if (temp)
            shim_put("create %lu %o -", INO(st), MODE(st));
        else if (!name.exists)
            shim_put("create %lu %o %s", INO(st), MODE(st), name.text);
        else if ((flags & O_TRUNC) != 0)
            shim_put("trunc %lu 0", INO(st));
    }
    shim_leave();
    return fd;
}

static mode_t mode_arg(int flags, va_list ap)
{
    bool has = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    return has ? va_arg(ap, mode_t) : 0;
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list ap;                                                                                \
        va_start(ap, flags);                                                                       \
        mode_t mode = mode_arg(flags, ap);                                                         \
        va_end(ap);                                                                                \
        return open_at(AT_FDCWD, path, flags, mode);                                               \
    }
#define OPENAT(name)                                                                               \
    int name(int dirfd, const char *path, int flags, ...)                                          \
    {                                                                                              \
        va_list ap;                                                                                \
        va_start(ap, flags);                                                                       \
        mode_t mode = mode_arg(flags, ap);                                                         \
        va_end(ap);                                                                                \
        return open_at(dirfd, path, flags, mode);                                                  \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

/* What a program built with _FORTIFY_SOURCE calls. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);

int __open_2(const char *path, int flags)
{
    return open_at(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
    return open_at(AT_FDCWD, path, flags, 0);
}

int __openat_2(int dirfd, const char *path, int flags)
{
    return open_at(dirfd, path, flags, 0);
}

int __openat64_2(int dirfd, const char *path, int flags)
{
    return open_at(dirfd, path, flags, 0);
}

int creat(const char *path, mode_t mode)
{
    return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int creat64(const char *path, mode_t mode)
{
    return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

static int temp_file(char *template, int flags)
{
    struct shim_name name;
    if (!shim_resolve(AT_FDCWD, template, &name)) return REAL(mkostemp)(template, flags);
    shim_enter();
    int fd = REAL(mkostemp)(template, flags);
    if (fd >= 0 && shim_resolve(AT_FDCWD, template, &name))
        shim_put("create %lu %o %s", INO(name.st), MODE(name.st), name.text);
    shim_leave();
    return fd;
}

#define MKSTEMP(name)                                                                              \
    int name(char *template)                                                                       \
    {                                                                                              \
        return temp_file(template, 0);                                                             \
    }
#define MKOSTEMP(name)                                                                             \
    int name(char *template, int flags)                                                            \
    {                                                                                              \
        return temp_file(template, flags);                                                         \
    }
MKSTEMP(mkstemp)
MKSTEMP(mkstemp64)
MKOSTEMP(mkostemp)
MKOSTEMP(mkostemp64)

/* A program that closes everything must not close the log. */
int close(int fd)
{
    if (shim_is_log(fd)) return 0;
    return REAL(close)(fd);
}

/* ---- write ---- */

/* A write of any kind into a tracked file; offset -1: at the file's position. */
static ssize_t write_to(int fd, const struct iovec *iov, int count, off64_t offset, int how)
{
    shim_enter();
    int flags = fcntl(fd, F_GETFL);
    struct stat before;
    bool sized = fstat(fd, &before) == 0;
    ssize_t n = REAL(pwritev64v2)(fd, iov, count, offset, how);
    if (n > 0 && flags >= 0 && sized) {
        int e = errno;
        off64_t at = offset;
        if ((flags & O_APPEND) != 0 || (how & RWF_APPEND) != 0)
            at = before.st_size;
        else if (offset == -1)
            at = lseek64(fd, 0, SEEK_CUR) - n;
        char line[96];
        snprintf(line, sizeof line, "write %lu %lld %zd", INO(before), (long long)at, n);
        shim_put_data(line, iov, count, (size_t)n);
        bool sync = (flags & O_DSYNC) != 0 || (how & (RWF_DSYNC | RWF_SYNC)) != 0;
        if (sync && !shim_forgets(&before)) shim_put("wsync %lu", INO(before));
        errno = e;
    }
    shim_leave();
    return n;
}

static ssize_t write_one(int fd, const void *data, size_t n, off64_t offset)
{
    struct iovec one = {.iov_len = n};
    memcpy(&one.iov_base, &data, sizeof data); /* drops const, nobody writes there */
    return write_to(fd, &one, 1, offset, 0);
}

ssize_t write(int fd, const void *data, size_t n)
{
    struct stat st;
    return shim_tracked(fd, &st) ? write_one(fd, data, n, -1) : REAL(write)(fd, data, n);
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    struct stat st;
    return shim_tracked(fd, &st) ? write_to(fd, iov, count, -1, 0) : REAL(writev)(fd, iov, count);
}

#define PWRITE(name)                                                                               \
    ssize_t name(int fd, const void *data, size_t n, off64_t offset)                               \
    {                                                                                              \
        struct stat st;                                                                            \
        if (offset < 0 || !shim_tracked(fd, &st)) return REAL(name)(fd, data, n, offset);          \
        return write_one(fd, data, n, offset);                                                     \
    }
#define PWRITEV(name)                                                                              \
    ssize_t name(int fd, const struct iovec *iov, int count, off64_t offset)                       \
    {                                                                                              \
        struct stat st;                                                                            \
        if (offset < 0 || !shim_tracked(fd, &st)) return REAL(name)(fd, iov, count, offset);       \
        return write_to(fd, iov, count, offset, 0);                                                \
    }
#define PWRITEV2(name)                                                                             \
    ssize_t name(int fd, const struct iovec *iov, int count, off64_t offset, int how)              \
    {                                                                                              \
        struct stat st;                                                                            \
        if (offset < -1 || !shim_tracked(fd, &st)) return REAL(name)(fd, iov, count, offset, how); \
        return write_to(fd, iov, count, offset, how);                                              \
    }
PWRITE(pwrite)
PWRITE(pwrite64)
PWRITEV(pwritev)
PWRITEV(pwritev64)
PWRITEV2(pwritev2)
PWRITEV2(pwritev64v2)

/* dprintf writes inside of libc, where nobody can look: format, then write. */
int __dprintf_chk(int fd, int flag, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int __vdprintf_chk(int fd, int flag, const char *fmt, va_list ap)
    __attribute__((format(printf, 3, 0)));

int vdprintf(int fd, const char *fmt, va_list ap)
{
    char *text = NULL;
    int n = vasprintf(&text, fmt, ap);
    if (n < 0) return -1;
    ssize_t w = write(fd, text, (size_t)n);
    free(text);
    return (int)w;
}

int dprintf(int fd, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vdprintf(fd, fmt, ap);
    va_end(ap);
    return n;
}

int __vdprintf_chk(int fd, int flag, const char *fmt, va_list ap)
{
    (void)flag;
    return vdprintf(fd, fmt, ap);
}

int __dprintf_chk(int fd, int flag, const char *fmt, ...)
{
    (void)flag;
    va_list ap;
    va_start(ap, fmt);
    int n = vdprintf(fd, fmt, ap);
    va_end(ap);
    return n;
}

/* ---- stdio: its writes are inside of libc too. After a flush the whole file
 * is read and logged; what did not change does no harm. ---- */

static FILE *open_stream(const char *path, const char *mode)
{
    struct shim_name name;
    bool changes = mode[0] != 'r';
    if (!changes || !shim_resolve(AT_FDCWD, path, &name)) return REAL(fopen)(path, mode);
    shim_enter();
    (void)shim_resolve(AT_FDCWD, path, &name);
    FILE *f = REAL(fopen)(path, mode);
    struct stat st;
    if (f != NULL && fstat(fileno(f), &st) == 0) {
        if (!name.exists)
            shim_put("create %lu %o %s", INO(st), MODE(st), name.text);
        else if (mode[0] == 'w')
            shim_put("trunc %lu 0", INO(st));
    }
    shim_leave();
    return f;
}

/* Log all of the file behind f. Inside enter/leave. */
static void put_whole(int stream_fd)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", stream_fd);
    int fd = shim_raw_open(link, O_RDONLY | O_CLOEXEC, 0);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) shim_die("stdio file");
    char *data = malloc((size_t)st.st_size + 1);
    if (data == NULL) shim_die("stdio file");
    ssize_t n = pread(fd, data, (size_t)st.st_size, 0);
    if (n != st.st_size) shim_die("stdio file");
    char line[64];
    snprintf(line, sizeof line, "write %lu 0 %zd", INO(st), n);
    struct iovec one = {data, (size_t)n};
    if (n > 0) shim_put_data(line, &one, 1, (size_t)n);
    free(data);
    REAL(close)(fd);
}

static int flush(FILE *f)
{
    struct stat st;
    int fd = f == NULL ? -1 : fileno(f);
    if (fd < 0 || !shim_tracked(fd, &st) || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
        return REAL(fflush)(f);
    shim_enter();
    int rc = REAL(fflush)(f);
    int e = errno;
    put_whole(fd);
    errno = e;
    shim_leave();
    return rc;
}

FILE *fopen(const char *path, const char *mode)
{
    return open_stream(path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
    return open_stream(path, mode);
}

int fflush(FILE *f)
{
    return flush(f);
}

int fclose(FILE *f)
{
    (void)flush(f);
    return REAL(fclose)(f);
}

/* ---- size ---- */

static int cut_fd(int fd, off64_t size)
{
    struct stat st;
    if (!shim_tracked(fd, &st)) return REAL(ftruncate64)(fd, size);
    shim_enter();
    int rc = REAL(ftruncate64)(fd, size);
    if (rc == 0) shim_put("trunc %lu %lld", INO(st), (long long)size);
    shim_leave();
    return rc;
}

static int cut_path(const char *path, off64_t size)
{
    struct shim_name name;
    if (!shim_resolve(AT_FDCWD, path, &name)) return REAL(truncate64)(path, size);
    shim_enter();
    int rc = REAL(truncate64)(path, size);
    if (rc == 0) shim_put("trunc %lu %lld", INO(name.st), (long long)size);
    shim_leave();
    return rc;
}

int ftruncate(int fd, off_t size)
{
    return cut_fd(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return cut_fd(fd, size);
}

int truncate(const char *path, off_t size)
{
    return cut_path(path, size);
}

int truncate64(const char *path, off64_t size)
{
    return cut_path(path, size);
}

static int allocate(int fd, int mode, off64_t offset, off64_t len)
{
    struct stat st;
    if (!shim_tracked(fd, &st)) return REAL(fallocate64)(fd, mode, offset, len);
    shim_enter();
    int rc = REAL(fallocate64)(fd, mode, offset, len);
    if (rc == 0)
        shim_put("falloc %lu %d %lld %lld", INO(st), mode, (long long)offset, (long long)len);
    shim_leave();
    return rc;
}

/* Gives the error back, leaves errno alone, and works where fallocate does not. */
static int allocate_posix(int fd, off64_t offset, off64_t len)
{
    struct stat st;
    if (!shim_tracked(fd, &st)) return REAL(posix_fallocate64)(fd, offset, len);
    shim_enter();
    int rc = REAL(posix_fallocate64)(fd, offset, len);
    if (rc == 0) shim_put("falloc %lu 0 %lld %lld", INO(st), (long long)offset, (long long)len);
    shim_leave();
    return rc;
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
    return allocate(fd, mode, offset, len);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t len)
{
    return allocate(fd, mode, offset, len);
}

int posix_fallocate(int fd, off_t offset, off_t len)
{
    return allocate_posix(fd, offset, len);
}

int posix_fallocate64(int fd, off64_t offset, off64_t len)
{
    return allocate_posix(fd, offset, len);
}

/* ---- sync ---- */

static uint64_t place_now(void)
{
    shim_enter();
    uint64_t at = shim_place();
    shim_leave();
    return at;
}

/* sync == REAL(fsync) or REAL(fdatasync). */
static int sync_fd(int fd, int (*sync)(int), const char *how)
{
    struct stat st;
    if (!shim_tracked(fd, &st)) return sync(fd);
    uint64_t called = place_now();
    int rc = sync(fd);
    if (rc != 0 || shim_forgets(&st)) return rc;
    shim_enter();
    shim_put("sync %lu %llu %s", INO(st), (unsigned long long)called, how);
    shim_leave();
    return rc;
}

int fsync(int fd)
{
    return sync_fd(fd, REAL(fsync), "fsync");
}

int fdatasync(int fd)
{
    return sync_fd(fd, REAL(fdatasync), "fdatasync");
}

static void put_syncfs(uint64_t called)
{
    if (shim_forgets(NULL)) return;
    shim_enter();
    shim_put("syncfs %llu", (unsigned long long)called);
    shim_leave();
}

int syncfs(int fd)
{
    struct stat st;
    if (!shim_tracked(fd, &st)) return REAL(syncfs)(fd);
    uint64_t called = place_now();
    int rc = REAL(syncfs)(fd);
    if (rc == 0) put_syncfs(called);
    return rc;
}

void sync(void)
{
    uint64_t called = shim_is_on() ? place_now() : 0;
    REAL(sync)();
    if (shim_is_on()) put_syncfs(called);
}

int sync_file_range(int fd, off64_t offset, off64_t len, unsigned flags)
{
    struct stat st;
    int rc = REAL(sync_file_range)(fd, offset, len, flags);
    if (rc != 0 || !shim_tracked(fd, &st)) return rc;
    shim_enter();
    shim_put("range %lu", INO(st));
    shim_leave();
    return rc;
}

/* ---- names ---- */

static void put_unseen(const char *what, const char *path)
{
    shim_enter();
    shim_put("unseen %s %s", what, path);
    shim_leave();
}

static int rename_at(int from_fd, const char *from, int to_fd, const char *to, unsigned how)
{
    struct shim_name a;
    struct shim_name b;
    bool in_a = shim_resolve(from_fd, from, &a);
    bool in_b = shim_resolve(to_fd, to, &b);
    if (!in_a && !in_b) return REAL(renameat2)(from_fd, from, to_fd, to, how);
    shim_enter();
    in_a = shim_resolve(from_fd, from, &a);
    in_b = shim_resolve(to_fd, to, &b);
    int rc = REAL(renameat2)(from_fd, from, to_fd, to, how);
    if (rc == 0 && in_a && in_b && (how & RENAME_EXCHANGE) != 0)
        shim_put("exchange %lu %s %s", INO(a.st), a.text, b.text);
    else if (rc == 0 && in_a && in_b && (how & RENAME_WHITEOUT) == 0)
        shim_put("rename %lu %s %s", INO(a.st), a.text, b.text);
    else if (rc == 0)
        shim_put("unseen rename %s", in_a ? a.text : b.text);
    shim_leave();
    return rc;
}

int rename(const char *from, const char *to)
{
    return rename_at(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return rename_at(from_fd, from, to_fd, to, 0);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned how)
{
    return rename_at(from_fd, from, to_fd, to, how);
}

static int unlink_at(int dirfd, const char *path, int flags)
{
    struct shim_name name;
    if (!shim_resolve(dirfd, path, &name)) return REAL(unlinkat)(dirfd, path, flags);
    shim_enter();
    (void)shim_resolve(dirfd, path, &name);
    int rc = REAL(unlinkat)(dirfd, path, flags);
    if (rc == 0)
        shim_put("%s %lu %s", (flags & AT_REMOVEDIR) != 0 ? "rmdir" : "unlink", INO(name.st),
                 name.text);
    shim_leave();
    return rc;
}

int unlinkat(int dirfd, const char *path, int flags)
{
    return unlink_at(dirfd, path, flags);
}

int unlink(const char *path)
{
    return unlink_at(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
    return unlink_at(AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char *path)
{
    if (unlink_at(AT_FDCWD, path, 0) == 0) return 0;
    return errno == EISDIR ? unlink_at(AT_FDCWD, path, AT_REMOVEDIR) : -1;
}

int mkdirat(int dirfd, const char *path, mode_t mode)
{
    struct shim_name name;
    if (!shim_resolve(dirfd, path, &name)) return REAL(mkdirat)(dirfd, path, mode);
    shim_enter();
    int rc = REAL(mkdirat)(dirfd, path, mode);
    if (rc == 0 && shim_resolve(dirfd, path, &name))
        shim_put("mkdir %lu %o %s", INO(name.st), MODE(name.st), name.text);
    shim_leave();
    return rc;
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    struct shim_name name;
    struct shim_name source;
    if (!shim_resolve(to_fd, to, &name)) return REAL(linkat)(from_fd, from, to_fd, to, flags);
    shim_enter();
    int rc = REAL(linkat)(from_fd, from, to_fd, to, flags);
    struct stat st;
    /* Opened O_TMPFILE and named by /proc/self/fd/N, or by the descriptor alone. */
    bool own = strncmp(from, "/proc/", 6) == 0 ? stat(from, &st) == 0 && S_ISREG(st.st_mode)
               : from[0] == '\0'               ? shim_tracked(from_fd, &st)
                                               : shim_resolve(from_fd, from, &source);
    if (rc == 0 && own && shim_resolve(to_fd, to, &name))
        shim_put("link %lu %s", INO(name.st), name.text);
    else if (rc == 0)
        shim_put("unseen link %s", name.text);
    shim_leave();
    return rc;
}

int link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int symlinkat(const char *target, int dirfd, const char *path)
{
    struct shim_name name;
    if (!shim_resolve(dirfd, path, &name)) return REAL(symlinkat)(target, dirfd, path);
    char text[SHIM_NAME_MAX];
    shim_enter();
    int rc = REAL(symlinkat)(target, dirfd, path);
    if (rc == 0 && strlen(target) < PATH_MAX && shim_resolve(dirfd, path, &name)) {
        shim_encode(text, target);
        shim_put("symlink %lu %s %s", INO(name.st), name.text, text);
    }
    shim_leave();
    return rc;
}

int symlink(const char *target, const char *path)
{
    return symlinkat(target, AT_FDCWD, path);
}

int fchmod(int fd, mode_t mode)
{
    struct stat st;
    int rc = REAL(fchmod)(fd, mode);
    if (rc != 0 || !shim_tracked(fd, &st)) return rc;
    shim_enter();
    shim_put("chmod %lu %o", INO(st), MODE(st));
    shim_leave();
    return rc;
}

int chmod(const char *path, mode_t mode)
{
    struct shim_name name;
    int rc = REAL(chmod)(path, mode);
    if (rc != 0 || !shim_resolve(AT_FDCWD, path, &name)) return rc;
    shim_enter();
    shim_put("chmod %lu %o", INO(name.st), MODE(name.st));
    shim_leave();
    return rc;
}

/* ---- what cannot be followed, so that it is at least known ---- */

/* LMDB's table of readers is a file in a shared mapping, made anew by the first that opens it:
 * what is in it does not matter. run.py leaves it out of its comparison, too. */
static bool is_reader_table(int fd)
{
    static const char suffix[] = "-lock";
    char link[64];
    char path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path);
    size_t end = sizeof suffix - 1;
    return n > (ssize_t)end && memcmp(path + n - end, suffix, end) == 0;
}

#define MMAP(name)                                                                                 \
    void *name(void *addr, size_t len, int prot, int flags, int fd, off64_t offset)                \
    {                                                                                              \
        struct stat st;                                                                            \
        bool shared = (flags & MAP_SHARED) != 0 && (prot & PROT_WRITE) != 0;                       \
        if (shared && fd >= 0 && shim_tracked(fd, &st) && !is_reader_table(fd)) {                  \
            char ino[32];                                                                          \
            snprintf(ino, sizeof ino, "%lu", INO(st));                                             \
            put_unseen("mmap", ino);                                                               \
        }                                                                                          \
        return REAL(name)(addr, len, prot, flags, fd, offset);                                     \
    }
MMAP(mmap)
MMAP(mmap64)

/* Bytes from file to file, past this process. */
#define COPY(name, params, args, to)                                                               \
    ssize_t name params                                                                            \
    {                                                                                              \
        struct stat st;                                                                            \
        if (shim_tracked(to, &st)) put_unseen(#name, ".");                                         \
        return REAL(name) args;                                                                    \
    }
COPY(copy_file_range, (int in, off64_t *at, int out, off64_t *to, size_t n, unsigned how),
     (in, at, out, to, n, how), out)
COPY(sendfile, (int out, int in, off_t *at, size_t n), (out, in, at, n), out)
COPY(sendfile64, (int out, int in, off64_t *at, size_t n), (out, in, at, n), out)

/* libuv calls some of these by number. */
long syscall(long number, ...)
{
    va_list ap;
    va_start(ap, number);
    long a[6];
    for (int i = 0; i < 6; i++) a[i] = va_arg(ap, long);
    va_end(ap);
    switch (number) {
    case SYS_pwritev:
        return pwritev64((int)a[0], (const struct iovec *)a[1], (int)a[2], a[3]);
    case SYS_pwritev2:
        return pwritev64v2((int)a[0], (const struct iovec *)a[1], (int)a[2], a[3], (int)a[5]);
    case SYS_fsync:
        return fsync((int)a[0]);
    case SYS_fdatasync:
        return fdatasync((int)a[0]);
    case SYS_renameat2:
        return renameat2((int)a[0], (const char *)a[1], (int)a[2], (const char *)a[3],
                         (unsigned)a[4]);
    case SYS_io_uring_setup:
    case SYS_io_submit:
        if (shim_is_on()) put_unseen("asynchronous-io", ".");
        break;
    default:
        break;
    }
    return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* test/power/shim_log.c - the log of the shim and the question "is this file below
 * POWER_DIR". What the log says and who may hold which lock: shim.c.
 *
 * Nothing is remembered about descriptors: a file is recognised by its inode and
 * by where /proc/self/fd says it is, so dup, fork, exec and renames need no care.
 * The log has a high descriptor; should the program have closed it behind our back
 * (close_range) it is opened again.
 * Failures: a line on stderr and abort: a hole in the log would pass for a lost write. */
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    pthread_once_t once;
    bool on; /* POWER_DIR and POWER_LOG are set */
    bool no_fsync;
    bool no_dirsync;
    int log_fd;
    struct stat log_stat;
    char log_path[PATH_MAX];
    char dir[PATH_MAX];
    size_t dir_len;
    long records;    /* since the start */
    long writes;     /* those of them that are a write */
    long kill_at;    /* 0: never */
    long kill_write; /* 0: never */
} shim = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT, .log_fd = -1};

/* ---- the log ---- */

static ssize_t raw_write(int fd, const void *data, size_t n)
{
    return REAL(syscall)(SYS_write, fd, data, n);
}

void shim_die(const char *what)
{
    char text[PATH_MAX + 128];
    int n = snprintf(text, sizeof text, "power shim: %s: %s\n", what, strerror(errno));
    if (n > 0) (void)raw_write(2, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
    abort();
}

void *shim_find(const char *name)
{
    void *f = dlsym(RTLD_NEXT, name);
    if (f == NULL) shim_die(name);
    return f;
}

int shim_raw_open(const char *path, int flags, mode_t mode)
{
    return (int)REAL(syscall)(SYS_openat, AT_FDCWD, path, flags, mode);
}

static void open_log(void)
{
    int fd = shim_raw_open(shim.log_path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) shim_die(shim.log_path);
    /* A high number, out of the way of programs that count or close descriptors. */
    shim.log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 200);
    if (shim.log_fd < 0 || fstat(shim.log_fd, &shim.log_stat) != 0) shim_die("log");
    REAL(close)(fd);
}

static void lock_file(short type)
{
    struct flock fl = {.l_type = type, .l_whence = SEEK_SET};
    while (fcntl(shim.log_fd, F_SETLKW, &fl) != 0)
        if (errno != EINTR) shim_die("lock of the log");
}

void shim_enter(void)
{
    int e = errno;
    pthread_mutex_lock(&shim.lock);
    struct stat st;
    if (shim.log_fd < 0 || fstat(shim.log_fd, &st) != 0 || st.st_ino != shim.log_stat.st_ino ||
        st.st_dev != shim.log_stat.st_dev)
        open_log();
    lock_file(F_WRLCK);
    errno = e;
}

void shim_leave(void)
{
    int e = errno;
    bool die = shim.kill_at > 0 && shim.records >= shim.kill_at;
    if (die || (shim.kill_write > 0 && shim.writes >= shim.kill_write)) raise(SIGKILL);
    lock_file(F_UNLCK);
    pthread_mutex_unlock(&shim.lock);
    errno = e;
}

uint64_t shim_place(void)
{
    struct stat st;
    if (fstat(shim.log_fd, &st) != 0) shim_die("log");
    return (uint64_t)st.st_size;
}

void shim_put_data(const char *line, const struct iovec *iov, int count, size_t size)
{
    int e = errno;
    size_t line_len = strlen(line);
    size_t need = line_len + 1 + size + 1;
    char *buf = malloc(need);
    if (buf == NULL) shim_die("record");
    memcpy(buf, line, line_len);
    size_t at = line_len;
    buf[at++] = '\n';
    size_t left = size;
    for (int i = 0; i < count && left > 0; i++) {
        size_t n = iov[i].iov_len < left ? iov[i].iov_len : left;
        if (n > 0) memcpy(buf + at, iov[i].iov_base, n);
        at += n;
        left -= n;
    }
    if (count > 0) buf[at++] = '\n';
    if (raw_write(shim.log_fd, buf, at) != (ssize_t)at) shim_die("cannot write the log");
    free(buf);
    shim.records++;
    if (count > 0) shim.writes++;
    errno = e;
}

void shim_put(const char *fmt, ...)
{
    char line[2 * SHIM_NAME_MAX + 128];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof line) shim_die("line too long");
    shim_put_data(line, NULL, 0, 0);
}

static void prepare_fork(void)
{
    pthread_mutex_lock(&shim.lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&shim.lock);
}

static long number_of(const char *variable)
{
    const char *text = getenv(variable);
    return text == NULL ? 0 : atol(text);
}

static void set_up(void)
{
    const char *dir = getenv("POWER_DIR");
    const char *log = getenv("POWER_LOG");
    if (dir == NULL || log == NULL) return;
    if (realpath(dir, shim.dir) == NULL) shim_die("POWER_DIR");
    shim.dir_len = strlen(shim.dir);
    if (strlen(log) >= sizeof shim.log_path) shim_die("POWER_LOG");
    memcpy(shim.log_path, log, strlen(log) + 1);
    const char *mutant = getenv("POWER_MUTANT");
    shim.no_fsync = mutant != NULL && strcmp(mutant, "no-fsync") == 0;
    shim.no_dirsync = mutant != NULL && strcmp(mutant, "no-dirsync") == 0;
    struct stat st;
    if (stat(shim.dir, &st) != 0) shim_die("POWER_DIR");
    open_log();
    if (pthread_atfork(prepare_fork, after_fork, after_fork) != 0) shim_die("pthread_atfork");
    shim_enter();
    shim_put("start %d %lu", (int)getpid(), (unsigned long)st.st_ino);
    shim.records = 0;
    shim.kill_at = number_of("POWER_KILL_AT");
    shim.kill_write = number_of("POWER_KILL_WRITE");
    shim.on = true;
    shim_leave();
}

bool shim_is_on(void)
{
    pthread_once(&shim.once, set_up);
    return shim.on;
}

static __attribute__((constructor)) void start(void)
{
    (void)shim_is_on();
}

/* ---- which file ---- */

/* path below POWER_DIR (or it itself)? Then the rest of it, without '/'. */
static const char *below(const char *path)
{
    if (strncmp(path, shim.dir, shim.dir_len) != 0) return NULL;
    if (path[shim.dir_len] == '\0') return "";
    return path[shim.dir_len] == '/' ? path + shim.dir_len + 1 : NULL;
}

bool shim_tracked(int fd, struct stat *st)
{
    int e = errno;
    bool yes = false;
    if (shim_is_on() && fstat(fd, st) == 0 && (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode))) {
        char link[64];
        char path[PATH_MAX];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, sizeof path - 1);
        if (n > 0) {
            path[n] = '\0';
            yes = below(path) != NULL;
        }
    }
    errno = e;
    return yes;
}

void shim_encode(char *out, const char *rest)
{
    if (*rest == '\0') {
        memcpy(out, ".", sizeof ".");
        return;
    }
    for (; *rest != '\0'; rest++) {
        unsigned char c = (unsigned char)*rest;
        if (c <= 0x20 || c == '%' || c == 0x7f)
            out += snprintf(out, 4, "%%%02X", c);
        else
            *out++ = *rest;
    }
    *out = '\0';
}

/* dirfd + path as an absolute path, its folder without links and dots. */
static bool absolute(int dirfd, const char *path, char out[PATH_MAX])
{
    char joined[2 * PATH_MAX + 2];
    char base[PATH_MAX] = "";
    if (path[0] != '/' && dirfd == AT_FDCWD) {
        if (getcwd(base, sizeof base) == NULL) return false;
    } else if (path[0] != '/') {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd);
        ssize_t n = readlink(link, base, sizeof base - 1);
        if (n <= 0) return false;
        base[n] = '\0';
    }
    int n = snprintf(joined, sizeof joined, "%s/%s", base, path);
    if (n < 0 || (size_t)n >= sizeof joined) return false;
    size_t len = (size_t)n;
    while (len > 1 && joined[len - 1] == '/') joined[--len] = '\0';
    char *last = strrchr(joined, '/');
    if (strcmp(last, "/.") == 0 || strcmp(last, "/..") == 0) return realpath(joined, out) != NULL;
    *last++ = '\0';
    char folder[PATH_MAX];
    if (realpath(joined[0] == '\0' ? "/" : joined, folder) == NULL) return false;
    n = snprintf(out, PATH_MAX, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, last);
    return n > 0 && n < PATH_MAX;
}

bool shim_resolve(int dirfd, const char *path, struct shim_name *name)
{
    int e = errno;
    char full[PATH_MAX];
    bool yes = false;
    if (shim_is_on() && path != NULL && path[0] != '\0' && absolute(dirfd, path, full)) {
        const char *rest = below(full);
        yes = rest != NULL;
        if (yes) {
            shim_encode(name->text, rest);
            name->exists = fstatat(AT_FDCWD, full, &name->st, AT_SYMLINK_NOFOLLOW) == 0;
        }
    }
    errno = e;
    return yes;
}

bool shim_forgets(const struct stat *st)
{
    return shim.no_fsync || (shim.no_dirsync && st != NULL && S_ISDIR(st->st_mode));
}

bool shim_is_log(int fd)
{
    return fd >= 0 && fd == shim.log_fd;
}

/* src/app/datadir.c - the files `lock` and `node.run` of a data directory.
 * The lock is flock(2): it goes with the process, however that ends. node.run is
 * only a hint (who and where): it is believed only while the lock is held, and only when its
 * process is the one that the kernel says holds it (/proc/locks, where that can be read). One that
 * a killed node left is removed by the next one, which may find no room to write its own. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "app/app.h"

enum { PATH_ROOM = CONFIG_TEXT_MAX + 16 };

enum ior_err datadir_lock(const char *dir, struct datadir_lock *ret, struct ior_why *why)
{
    char path[PATH_ROOM];
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return ior_why_set(why, ior_err_from_errno(errno),
                           "cannot make the data directory %s (key paths.data): %s", dir,
                           strerror(errno));
    snprintf(path, sizeof path, "%s/lock", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return ior_why_set(why, ior_err_from_errno(errno),
                           "cannot use the data directory %s (key paths.data): %s", dir,
                           strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int e = errno;
        close(fd);
        if (e == EWOULDBLOCK)
            return ior_why_set(
                why, IOR_E_LOCKED,
                "the data directory %s is in use by another process (key paths.data)", dir);
        return ior_why_set(why, ior_err_from_errno(e), "cannot lock %s: %s", path, strerror(e));
    }
    /* The file can be removed under a running node; the directory stays what it is. */
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0 || flock(dir_fd, LOCK_EX | LOCK_NB) != 0) {
        if (dir_fd >= 0) close(dir_fd);
        close(fd);
        return ior_why_set(why, IOR_E_LOCKED,
                           "the data directory %s is in use by another process (key paths.data)",
                           dir);
    }
    ret->fd = fd;
    ret->dir_fd = dir_fd;
    datadir_remove_run(dir);
    return IOR_OK;
}

enum ior_err datadir_lock_existing(const char *dir, struct datadir_lock *ret, struct ior_why *why)
{
    char path[PATH_ROOM];
    int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0) {
        enum ior_err err = errno == ENOTDIR ? IOR_E_NOTFOUND : ior_err_from_errno(errno);
        return ior_why_set(why, err, "cannot open the data directory %s: %s", dir, strerror(errno));
    }
    snprintf(path, sizeof path, "%s/lock", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0); /* the directory's own lock is enough */
    bool free_for_us = (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) &&
                       (flock(dir_fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK);
    if (!free_for_us) {
        if (fd >= 0) close(fd);
        close(dir_fd);
        return ior_why_set(why, IOR_E_LOCKED, "the data directory %s is in use by another process",
                           dir);
    }
    ret->fd = fd;
    ret->dir_fd = dir_fd;
    return IOR_OK;
}

void datadir_unlock(struct datadir_lock *l)
{
    if (l->fd >= 0) {
        close(l->fd);
        close(l->dir_fd);
    }
    l->fd = -1;
}

bool datadir_is_locked(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return false;
    bool locked = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return locked;
}

static void run_path(const char *dir, const char *suffix, char out[PATH_ROOM])
{
    snprintf(out, PATH_ROOM, "%s/node.run%s", dir, suffix);
}

bool datadir_write_run(const char *dir, const char *http, const char *https)
{
    char path[PATH_ROOM];
    char tmp[PATH_ROOM];
    run_path(dir, "", path);
    run_path(dir, ".new", tmp);
    FILE *f = fopen(tmp, "we");
    if (f == NULL) return false;
    bool ok = fprintf(f, "pid %ld\n", (long)getpid()) > 0;
    if (http != NULL) ok = fprintf(f, "http %s\n", http) > 0 && ok;
    if (https != NULL) ok = fprintf(f, "https %s\n", https) > 0 && ok;
    ok = fclose(f) == 0 && ok && rename(tmp, path) == 0;
    if (!ok) unlink(tmp);
    return ok;
}

void datadir_remove_run(const char *dir)
{
    char path[PATH_ROOM];
    run_path(dir, "", path);
    unlink(path);
}

/* The process that holds the lock, as the kernel says; 0: it does not say. */
static long holder(const char *dir)
{
    char line[256];
    struct stat st;
    long found = 0;
    FILE *f = fopen("/proc/locks", "re");
    if (f == NULL) return 0;
    if (stat(dir, &st) != 0) st.st_ino = 0;
    while (st.st_ino != 0 && found == 0 && fgets(line, sizeof line, f) != NULL) {
        long pid = 0;
        unsigned major_number = 0;
        unsigned minor_number = 0;
        unsigned long inode = 0;
        if (sscanf(line, "%*s FLOCK %*s WRITE %ld %x:%x:%lu", &pid, &major_number, &minor_number,
                   &inode) == 4 &&
            inode == st.st_ino && major_number == major(st.st_dev) &&
            minor_number == minor(st.st_dev))
            found = pid;
    }
    fclose(f);
    return found > 1 ? found : 0;
}

bool datadir_read_run(const char *dir, long *ret_pid, char *ret_where, size_t room)
{
    char path[PATH_ROOM];
    char door[8] = "";
    char where[128] = "";
    long pid = 0;
    if (!datadir_is_locked(dir)) return false;
    run_path(dir, "", path);
    FILE *f = fopen(path, "re");
    bool ok = f != NULL && fscanf(f, "pid %ld\n%7s %127s", &pid, door, where) == 3 && pid > 1;
    bool tls = strcmp(door, "https") == 0;
    if (!tls && strcmp(door, "http") != 0) ok = false;
    if (f != NULL) fclose(f);
    long said = holder(dir);
    if (said > 0 && (!ok || pid != said)) { /* the file is not that node's */
        pid = said;
        where[0] = 0;
        ok = true;
    }
    *ret_pid = pid;
    snprintf(ret_where, room, "%s%s", tls && where[0] != 0 ? "https://" : "", where);
    return ok;
}

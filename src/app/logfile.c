/* src/app/logfile.c - where the log goes (log.file), at the start and again at a SIGHUP, so that
 * logrotate may rename it. The descriptor that is logged to keeps its number: another file is
 * put in its place, and a thread that writes at this moment notices nothing.
 * Thread: the main one. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/app.h"
#include "base/log.h"

static int own_fd = -1; /* of a log.file in the foreground */

void logfile_path(const struct config *c, bool foreground, char *path, size_t room)
{
    snprintf(path, room, "%s", c->log_file);
    if (c->log_file[0] != 0 || foreground) return;
    snprintf(path, room, "%s/log", c->release_dir);
    mkdir(path, 0755);
    snprintf(path, room, "%s/log/iorio.log", c->release_dir);
}

static enum ior_err fail(struct ior_why *why, const char *path)
{
    return ior_why_set(why, ior_err_from_errno(errno),
                       "cannot open the log %.300s (key log.file): %s", path, strerror(errno));
}

enum ior_err logfile_open(const struct config *c, bool foreground, struct ior_why *why)
{
    char path[CONFIG_TEXT_MAX + 32];
    logfile_path(c, foreground, path, sizeof path);
    if (path[0] == 0) { /* standard error; what was open stays so: a line may be on its way */
        log_set_fd(STDERR_FILENO);
        return IOR_OK;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0) return fail(why, path);
    if (!foreground) { /* standard output and error are the log */
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        close(fd);
    } else if (own_fd < 0) {
        own_fd = fd;
    } else {
        dup3(fd, own_fd, O_CLOEXEC);
        close(fd);
    }
    if (foreground) {
        log_set_fd(own_fd);
        damage_log_to(own_fd);
    }
    return IOR_OK;
}

/* src/base/log.c - see log.h. A line longer than the buffer is cut, never split. */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 2048 };

static _Atomic int min_level = LOG_LEVEL_INFO;
static _Atomic int out_fd = STDERR_FILENO;
static const char *const level_names[] = {"debug", "info", "warning", "error"};

void log_set_level(const char *level)
{
    int found = LOG_LEVEL_INFO;
    for (int i = 0; i < 4; i++) {
        if (strcmp(level, level_names[i]) == 0) found = i;
    }
    atomic_store(&min_level, found);
}

void log_set_fd(int fd)
{
    atomic_store(&out_fd, fd);
}

bool log_wants(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&min_level, memory_order_relaxed);
}

bool log_raw(const void *lines, size_t size_bytes)
{
    return write(atomic_load(&out_fd), lines, size_bytes) == (ssize_t)size_bytes;
}

static size_t put_time(char *line, size_t room)
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(line, room, "%Y-%m-%dT%H:%M:%S", &tm);
    int ms = snprintf(line + n, room - n, ".%03ldZ", now.tv_nsec / 1000000);
    return n + (size_t)ms;
}

void log_write(enum log_level level, const char *area, const char *event, const char *fmt, ...)
{
    char line[LINE_BYTES];
    size_t n = put_time(line, sizeof line);
    int more = snprintf(line + n, sizeof line - n, " [%s] %s %s ", level_names[level], area, event);
    n += (size_t)more;
    if (n > sizeof line - 2) n = sizeof line - 2;
    va_list ap;
    va_start(ap, fmt);
    more = vsnprintf(line + n, sizeof line - n - 1, fmt, ap);
    va_end(ap);
    if (more > 0) n += (size_t)more;
    if (n > sizeof line - 2) n = sizeof line - 2;
    for (size_t i = 0; i < n; i++) { /* what a user named must not make new lines */
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) line[i] = '?';
    }
    line[n++] = '\n';
    ssize_t done = write(atomic_load(&out_fd), line, n);
    (void)done; /* nowhere to say that the log is gone */
}

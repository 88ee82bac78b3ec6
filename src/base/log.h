/* src/base/log.h - one line per event, logfmt: time level area event key=value...
 * Thread: any; a line is one write(2), so lines never mix. The one who decides
 * (vnode, control, protocol) logs, once; lower layers return errors. Never put
 * a password, a token or a query string into a line. */
#pragma once

#include "base/err.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };

/* level: "debug" "info" "warning" "error". Unknown words mean info. */
void log_set_level(const char *level);
/* Lines go to this descriptor from now on (2 at start). The caller keeps it open. */
void log_set_fd(int fd);
bool log_wants(enum log_level level);
/* Whole lines as they are; up to 4096 bytes stay whole in a pipe, too. False: they could not be
 * written. */
bool log_raw(const void *lines, size_t size_bytes);
void log_write(enum log_level level, const char *area, const char *event, const char *fmt, ...)
    IOR_PRINTF(4, 5);

#define LOG_AT(level, ...)                                                                         \
    do {                                                                                           \
        if (log_wants(level)) log_write(level, __VA_ARGS__);                                       \
    } while (0)
#define LOG_DEBUG(...) LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define LOG_INFO(...) LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__)
#define LOG_WARNING(...) LOG_AT(LOG_LEVEL_WARNING, __VA_ARGS__)
#define LOG_ERROR(...) LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__)

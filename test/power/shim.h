/* test/power/shim.h - what the wrappers (shim.c) and the log (shim_log.c) share.
 * _FILE_OFFSET_BITS must not be set where libc's names are defined anew: with it
 * the compiler would turn open into open64. Include this header first.
 * Threads: any; what says so is called between shim_enter and shim_leave. */
#pragma once
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>

#define SHIM_NAME_MAX (3 * PATH_MAX)

/* The next definition of a function, the real one. */
#define REAL(name)                                                                                 \
    ({                                                                                             \
        static __typeof__(&name) real_##name;                                                      \
        if (real_##name == NULL) *(void **)&real_##name = shim_find(#name);                        \
        real_##name;                                                                               \
    })
#define INO(st) ((unsigned long)(st).st_ino)
#define MODE(st) ((unsigned)((st).st_mode & 07777))

struct shim_name {
    char text[SHIM_NAME_MAX]; /* as in a record */
    bool exists;
    struct stat st; /* of the name itself, symbolic links not followed */
};

__attribute__((noreturn)) void shim_die(const char *what);
void *shim_find(const char *name);
/* openat by number: not looked at by the wrappers. */
int shim_raw_open(const char *path, int flags, mode_t mode);

/* True when POWER_DIR and POWER_LOG are set; sets up at the first call. */
bool shim_is_on(void);
/* The locks around one effect and its record. Keep errno. */
void shim_enter(void);
void shim_leave(void);
/* Append one record; with data: its line and the first `size` bytes of iov.
 * Inside enter and leave. Keep errno. */
void shim_put(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void shim_put_data(const char *line, const struct iovec *iov, int count, size_t size);
/* Where the log ends. Inside enter and leave. */
uint64_t shim_place(void);
/* POWER_MUTANT: this sync (NULL: of everything) must not be logged. */
bool shim_forgets(const struct stat *st);
bool shim_is_log(int fd);

/* A file or folder below POWER_DIR, even if its name is gone? Fills *st. Keeps errno. */
bool shim_tracked(int fd, struct stat *st);
/* Fill *name when the path leads below POWER_DIR; else false. Keeps errno. */
bool shim_resolve(int dirfd, const char *path, struct shim_name *name);
/* %XX for what would break a record. */
void shim_encode(char *out, const char *rest);

/* src/app/app.h - the program: verbs, exit codes, and one running node. */
#pragma once

#include "auth/token.h"
#include "base/config.h"
#include "base/err.h"
#include "rt/disk.h"

/* As in sysexits.h; README.rst lists them. */
enum exit_code {
    EXIT_OK = 0,
    EXIT_NOT_RUNNING = 1,
    EXIT_BAD_USAGE = 2,
    EXIT_DAMAGED = 65,
    EXIT_NO_DATA = 66,
    EXIT_PORT_BUSY = 69,
    EXIT_DISK_ERROR = 74,
    EXIT_IN_USE = 75,
    EXIT_FOREIGN = 76,
    EXIT_NO_RIGHTS = 77,
    EXIT_BAD_CONFIG = 78,
};
enum exit_code exit_code_of(enum ior_err err);

/* ---- run.c: one node in this process, from start to stop ---- */
struct run_options {
    const struct config *config;
    const char *config_file; /* for the banner; may be "" */
    bool foreground;         /* print the banner */
    int notify_fd;           /* >= 0: gets "R" and the address when ready, or "E" and the reason */
};
enum exit_code run_node(const struct run_options *o);

/* ---- logfile.c: where the log goes ---- */
/* The file; "": standard error. In the background its folder is made. */
void logfile_path(const struct config *c, bool foreground, char *path, size_t room);
/* Opens it, also anew, and sends the log there; in the background standard output and error, too.
 * On an error the log stays where it is. */
IOR_MUST_CHECK enum ior_err logfile_open(const struct config *c, bool foreground,
                                         struct ior_why *why);

/* ---- confcheck.c: values that are allowed, but hardly meant ---- */
void confcheck_warn(const struct config *c,
                    void (*tell)(void *ctx, const char *key, const char *text), void *ctx);

/* ---- datadir.c: who uses the data directory ---- */
struct datadir_lock {
    int fd; /* of the file `lock` */
    int dir_fd;
};
/* LOCKED: another process has it; *why names it. */
IOR_MUST_CHECK enum ior_err datadir_lock(const char *dir, struct datadir_lock *ret,
                                         struct ior_why *why);
/* The same of a directory that is there, and nothing is made in it. NOTFOUND. */
IOR_MUST_CHECK enum ior_err datadir_lock_existing(const char *dir, struct datadir_lock *ret,
                                                  struct ior_why *why);
void datadir_unlock(struct datadir_lock *l);
bool datadir_is_locked(const char *dir);
/* The file node.run of a running node: where it listens. False: there is no room for it. */
/* NULL: not open. */
IOR_MUST_CHECK bool datadir_write_run(const char *dir, const char *http, const char *https);
void datadir_remove_run(const char *dir);
/* False: no node runs there. *ret_where "": where it listens is not known; "https://..." when it
 * does so over TLS only. */
bool datadir_read_run(const char *dir, long *ret_pid, char *ret_where, size_t room);

/* ---- control.c: verbs that talk to a node in another process ---- */
enum exit_code control_start(const struct config *c, const char *config_file);
enum exit_code control_stop(const struct config *c);
enum exit_code control_ping(const struct config *c);
/* ping_tls.c: a request and the bytes of its answer. */
size_t ping_tls(int fd, const char *request, size_t request_bytes, char *answer, size_t room);

/* ---- verify.c ---- */
struct verify_options {
    const char *dir;
    bool json;
    bool rebuild;
};
enum exit_code verify_verb(const struct verify_options *o);

/* ---- startcheck.c: before the node opens its catalog, and before any thread runs ---- */
/* CORRUPT with *why: damaged, or lost. */
IOR_MUST_CHECK enum ior_err startcheck_catalog(const char *dir, struct ior_why *why);
/* Why a node does not start, and after damage what to do about it. */
void startcheck_advise(const char *dir, enum ior_err err, const struct ior_why *why, char *out,
                       size_t room);

/* ---- damage.c: the end of a node that meets damage in its catalog while it runs ---- */
/* start_fd: as notify_fd, until damage_started(). */
void damage_begin(const char *dir, int start_fd);
void damage_log_to(int fd); /* beside standard error */
void damage_started(void);

/* ---- secret.c: the keys of the session tokens ---- */
/* INVAL, IO, ACCESS... with *why. Nothing of a key gets into it. */
IOR_MUST_CHECK enum ior_err secret_load(const struct config *c, struct disk *disk,
                                        struct token_key *ret, struct ior_why *why);

/* ---- banner.c ---- */
/* http, https: where it listens, NULL: not at all. */
void banner_print(const struct config *c, const char *config_file, const char *http,
                  const char *https, bool password_is_shipped);

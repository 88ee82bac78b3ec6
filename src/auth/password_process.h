/* src/auth/password_process.h - argon2id in a process of its own.
 * Why: for each password libsodium maps 19 MiB of fresh memory and fills it with pages in one
 * system call, which holds the lock of the process's memory map. The thread that does it is the
 * one of the lowest priority; on a busy machine it loses its core in the middle, and every
 * worker that wants memory from the kernel waits for it: tenths of seconds, seven times in a
 * minute of logins, and whoever is no user at all can cause it. Another process has another lock.
 * password.h uses it for everything once it was started; without it, and when it cannot be had,
 * the work is done here.
 * Thread: any; one question at a time. */
#pragma once

#include "auth/password.h"

/* program: one that calls password_process_main() for the only argument PASSWORD_PROCESS_VERB. It
 * is started when it is needed, and again when it has died. */
#define PASSWORD_PROCESS_VERB "passwords"
void password_process_start(const char *program);
/* It ends, and is not started again. After the last question. */
void password_process_stop(void);
/* The pid, for tests; 0: it does not run. */
int password_process_pid(void);

/* For password.c. False: not started, or it cannot be had. */
bool password_process_hash(struct ior_slice password, char out[PASSWORD_HASH_BYTES],
                           enum ior_err *ret);
bool password_process_verify(const char *hash, struct ior_slice password, bool *ret);

/* The other side: answers on file descriptor 0 until the node is gone. The exit code. */
int password_process_main(void);

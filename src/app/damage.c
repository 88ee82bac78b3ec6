/* src/app/damage.c - the end of a node that meets damage in its catalog while it runs: a clear
 * sentence and exit code 65, so that nothing starts it again and again (rel/iorio.service knows
 * the code). store/kv_guard.h says when.
 * Happy path: the texts are made when the node starts; then only write(2) and _exit(2) are left to
 * do, in a signal handler on any thread.
 * Failure modes: what was acknowledged is in the journal, as after kill -9.
 * Thread: damage_begin() the main one, before all others. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/app.h"
#include "store/kv.h"
#include "store/kv_guard.h"

static char head[CONFIG_TEXT_MAX + 128];
static char tail[2 * CONFIG_TEXT_MAX + 256];
static atomic_int log_fd = -1;
static atomic_int notify_fd = -1;
static atomic_flag said = ATOMIC_FLAG_INIT;

static void say(int fd, const char *before, const char *what, const char *after)
{
    const char *const parts[] = {before, head, what, tail, after};
    if (fd < 0) return;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        ssize_t n = write(fd, parts[i], strlen(parts[i]));
        (void)n; /* nowhere else to say it */
    }
}

static void end_at_once(const char *what)
{
    while (atomic_flag_test_and_set(&said)) pause(); /* another thread says it */
    say(STDERR_FILENO, "iorio: ", what, "\n");
    say(atomic_load(&log_fd), "iorio: ", what, "\n");
    say(atomic_load(&notify_fd), "E", what, "");
    _exit(EXIT_DAMAGED);
}

void damage_begin(const char *dir, int start_fd)
{
    snprintf(head, sizeof head, "%s/" KV_LMDB_FILE ": damage while it is in use: ", dir);
    snprintf(
        tail, sizeof tail,
        ". The node ends. Take a copy of the directory, then look at it: iorio verify %s. A new "
        "catalog is made by: iorio verify --rebuild-catalog %s",
        dir, dir);
    atomic_store(&notify_fd, start_fd);
    kv_guard_set(end_at_once);
}

void damage_log_to(int fd)
{
    atomic_store(&log_fd, fd);
}

void damage_started(void)
{
    atomic_store(&notify_fd, -1);
}

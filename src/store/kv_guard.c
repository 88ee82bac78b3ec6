/* src/store/kv_guard.c - see kv_guard.h.
 * Where LMDB has mapped its file is not asked of LMDB, which does not say, but of the kernel: the
 * one shared mapping of that file name and size. */
#include "store/kv_guard.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { FAULTS = 2 };
static const int faults[FAULTS] = {SIGBUS, SIGSEGV};
static struct sigaction before[FAULTS];
static kv_guard_cb callback;
static const void *guarded;       /* its owner */
static atomic_uintptr_t map_from; /* 0: none */
static atomic_uintptr_t map_to;

static bool is_inside(uintptr_t address)
{
    uintptr_t from = atomic_load(&map_from);
    return from != 0 && address >= from && address < atomic_load(&map_to);
}

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    (void)context;
    bool from_kernel = info->si_code > 0;
    bool is_bus = signal_number == SIGBUS;
    if (from_kernel && is_inside((uintptr_t)info->si_addr))
        callback(is_bus ? "its file ends too early, or cannot be read (SIGBUS)"
                        : "a page of it led to a wrong place (SIGSEGV)");
    /* Not ours. What comes from the kernel comes again when the instruction is tried again. */
    sigaction(signal_number, &before[is_bus ? 0 : 1], NULL);
    if (!from_kernel) raise(signal_number);
}

void kv_guard_damage(const char *what)
{
    if (callback != NULL) callback(what);
}

void kv_guard_set(kv_guard_cb cb)
{
    struct sigaction act = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    IOR_ASSERT(callback == NULL && cb != NULL);
    callback = cb;
    sigemptyset(&act.sa_mask);
    for (int i = 0; i < FAULTS; i++) {
        int rc = sigaction(faults[i], &act, &before[i]);
        IOR_ASSERT(rc == 0);
    }
}

/* "from-to rw-p offset device inode path" */
static bool find_mapping(const char *path, uint64_t size_bytes, uintptr_t *ret_from,
                         uintptr_t *ret_to)
{
    const char *slash = strrchr(path, '/');
    size_t name_bytes = slash == NULL ? 0 : strlen(slash);
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    bool found = false;
    FILE *f = fopen("/proc/self/maps", "re");
    while (f != NULL && name_bytes > 0 && !found && (n = getline(&line, &room, f)) > 0) {
        char *end = NULL;
        line[n - 1] = 0;
        if ((size_t)n <= name_bytes || strcmp(line + n - 1 - name_bytes, slash) != 0) continue;
        *ret_from = (uintptr_t)strtoull(line, &end, 16);
        if (*end != '-') continue;
        *ret_to = (uintptr_t)strtoull(end + 1, &end, 16);
        found = strncmp(end, " r--s ", 6) == 0 && *ret_to - *ret_from == size_bytes;
    }
    if (f != NULL) fclose(f);
    free(line);
    return found;
}

bool kv_guard_begin(const void *owner, const char *path, uint64_t size_bytes)
{
    uintptr_t from = 0;
    uintptr_t to = 0;
    if (callback == NULL || guarded != NULL || !find_mapping(path, size_bytes, &from, &to))
        return false;
    guarded = owner;
    atomic_store(&map_to, to);
    atomic_store(&map_from, from);
    return true;
}

void kv_guard_end(const void *owner)
{
    if (owner != guarded) return;
    atomic_store(&map_from, 0);
    guarded = NULL;
}

/* src/store/kv_guard.h - last words when damage shows in the catalog while it is in use.
 * A start looks at the pages (kv_pages.h), but a file may be damaged later, or be too large to be
 * looked at after a clean stop. LMDB then asserts, or a read or write of its mapping faults. With
 * a callback here that is the callback's end and no core; without one nothing changes.
 * Happy path: kv_lmdb_open() notes where the file is mapped; a SIGBUS or SIGSEGV at an address in
 * there, and LMDB's own assertions, are the callback's.
 * Failure modes: a fault anywhere else, or a signal from another process, has the effect that it
 * had before (a sanitizer's report, a core). Damage may also spoil LMDB's pages in the heap: what
 * dies of that is not recognized. Without /proc faults are not recognized, assertions are.
 * Thread: the setting before the first open; the callback runs on the thread that met the
 * damage, in a signal handler. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Must not return, and may only do what signal handlers may. `what`: how it showed, in words. */
typedef void (*kv_guard_cb)(const char *what);
/* Once in a process, before kv_lmdb_open(). */
void kv_guard_set(kv_guard_cb cb);

/* ---- for kv_lmdb.c ---- */
/* A file is mapped: one at a time, others are not guarded. The size is that of the mapping. False:
 * this one is not. */
bool kv_guard_begin(const void *owner, const char *path, uint64_t size_bytes);
void kv_guard_end(const void *owner);
/* An assertion of the library. Returns where there is no callback. */
void kv_guard_damage(const char *what);

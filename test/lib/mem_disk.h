/* test/lib/mem_disk.h - a disk in memory for tests: what is written is there at
 * once, and calls fail when the test says so. It forgets nothing: what a crash does
 * to unsynced bytes is the business of src/rt/disk_sim.c.
 * Thread: any (one lock around every call); the knobs and looks while nobody else
 * uses the disk. */
#pragma once

#include "rt/disk.h"

struct mem_disk;

struct mem_disk *mem_disk_new(void);
/* The disk that the code under test sees; disk_free() frees all of it. */
struct disk *mem_disk_super(struct mem_disk *d);

/* After `good` further calls every write (or sync) gives err; IOR_OK: they work again. */
void mem_disk_fail_writes(struct mem_disk *d, uint64_t good, enum ior_err err);
void mem_disk_fail_syncs(struct mem_disk *d, uint64_t good, enum ior_err err);
/* Files may not take more than this many bytes together: then NOSPC. */
void mem_disk_set_room(struct mem_disk *d, uint64_t bytes);

/* The bytes of a file, to look at and to damage; NULL: there is none, or it is empty. */
uint8_t *mem_disk_bytes(struct mem_disk *d, const char *path, size_t *ret_n);
/* Make or replace a file. */
void mem_disk_put(struct mem_disk *d, const char *path, const void *data, size_t n);
uint64_t mem_disk_used_bytes(struct mem_disk *d);

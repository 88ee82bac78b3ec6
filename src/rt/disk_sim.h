/* src/rt/disk_sim.h - a disk in memory that keeps exactly the promise of rt/disk.h
 * and no more, for the simulator and the tests. Every choice comes from a seed.
 * What is lost at a power cut:
 *   - each 512-byte sector written since the last sync is any of its versions
 *     since then, or the synced one, whatever its neighbours are; so is the size;
 *   - each create, rename, unlink and rmdir since the last sync_dir of the folder is
 *     kept or lost by itself; a kept rename is whole; a file without a name is gone.
 * A failed sync makes nothing durable, and no later sync makes those bytes
 * durable either: the kernel takes the pages for clean ("fsyncgate"). The size is
 * not lost in this way.
 * A process that is killed loses nothing, but what was not synced still is not.
 * Thread: one. Out of memory ends the program: this is a tool for tests. */
#pragma once

#include "rt/disk.h"

/* Operations that can fail, and that are counted. */
enum disk_sim_op {
    DISK_SIM_OPEN, /* of an existing file */
    DISK_SIM_CREATE,
    DISK_SIM_READ,
    DISK_SIM_WRITE,
    DISK_SIM_SYNC,
    DISK_SIM_SIZE,
    DISK_SIM_TRUNCATE,
    DISK_SIM_RENAME,
    DISK_SIM_UNLINK,
    DISK_SIM_MKDIR,
    DISK_SIM_RMDIR,
    DISK_SIM_SYNC_DIR,
    DISK_SIM_LIST,
    DISK_SIM_OPS,
    DISK_SIM_CHANGE, /* any of those that can change something */
};

/* What is left after a crash. */
enum disk_sim_loss {
    DISK_SIM_KILLED,     /* only the process is gone: everything is as it was seen */
    DISK_SIM_LOSE_ALL,   /* power cut: everything unsynced is gone */
    DISK_SIM_LOSE_NONE,  /* all of it came through */
    DISK_SIM_LOSE_SOME,  /* each by itself */
    DISK_SIM_LOSE_LATER, /* everything from some moment on */
    DISK_SIM_LOSE_ONE,   /* all but one sector came through */
    DISK_SIM_KEEP_ONE,   /* one sector came through */
    DISK_SIM_FILL_HOLES, /* only the sectors that the crash before had lost */
    DISK_SIM_LOSS_COUNT,
};

/* Broken disks, to see that somebody notices. */
enum disk_sim_cheat {
    DISK_SIM_SYNC_IS_NOTHING = 1,
    DISK_SIM_SYNC_DIR_IS_NOTHING = 2,
};

struct disk *disk_sim_new(uint64_t seed);
/* The same files as they are seen now, all of it durable; no fault is set. */
struct disk *disk_sim_copy(struct disk *d);

/* More than so many bytes in files: NOSPC, and part of the write may be there. */
void disk_sim_set_limit(struct disk *d, uint64_t limit_bytes);
uint64_t disk_sim_used_bytes(struct disk *d);
/* The n-th operation of this kind from now on (1: the next) fails with err; `on`:
 * so do all later ones. A rule before is replaced. n = 0: no rule. */
void disk_sim_fail(struct disk *d, enum disk_sim_op op, uint64_t n, enum ior_err err, bool on);
/* Has the rule been met? */
bool disk_sim_failed(struct disk *d);
/* The power fails at the n-th changing operation from now on, in the middle of it:
 * it and everything after it fails with IO. n = 0: never. */
void disk_sim_crash_at(struct disk *d, uint64_t n);
/* It fails now. */
void disk_sim_kill(struct disk *d);
bool disk_sim_is_dead(struct disk *d);
/* The process is gone (all files are closed): the next one finds this. Clears
 * the fail rule and the crash point. */
void disk_sim_crash(struct disk *d, enum disk_sim_loss loss);
/* One of the kinds of loss but KILLED. */
enum disk_sim_loss disk_sim_any_loss(struct disk *d);
void disk_sim_set_cheats(struct disk *d, unsigned cheats);

/* How many so far; DISK_SIM_CHANGE: all that can change something. */
uint64_t disk_sim_count(struct disk *d, enum disk_sim_op op);
unsigned disk_sim_open_files(struct disk *d);
/* Over all names and bytes, as they are seen. */
uint64_t disk_sim_hash(struct disk *d);

/* For tests, past every rule; what they change is durable. The file must be there. */
bool disk_sim_has(struct disk *d, const char *path);
uint64_t disk_sim_size(struct disk *d, const char *path);
uint8_t disk_sim_byte(struct disk *d, const char *path, uint64_t offset);
void disk_sim_flip(struct disk *d, const char *path, uint64_t offset, uint8_t mask);
void disk_sim_cut(struct disk *d, const char *path, uint64_t size_bytes);

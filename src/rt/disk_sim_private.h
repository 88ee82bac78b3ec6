/* src/rt/disk_sim_private.h - what the files of the simulated disk share. */
#pragma once

#include "base/assert.h"
#include "rt/disk_sim.h"
#include "rt/rand.h"

enum { DISK_SIM_MAGIC = 0x64736b73, DISK_SIM_FILE_MAGIC = 0x6673696d };

/* A sector as one write left it. */
struct sim_sector {
    uint64_t number;
    uint64_t serial; /* when, among everything on this disk */
    bool stuck;      /* a sync of it failed: none will do it any more */
    uint8_t bytes[DISK_SECTOR_BYTES];
};
struct sim_size {
    uint64_t bytes;
    uint64_t serial;
};

struct sim_inode;
struct sim_name {
    char *name;
    struct sim_inode *inode;
};
struct sim_names {
    struct sim_name *items;
    size_t count;
    size_t room;
};
/* A change of a folder: to is where the inode is now (NULL: nowhere). */
struct sim_name_op {
    uint64_t serial;
    struct sim_inode *inode;
    char *to;
};

struct sim_inode {
    struct sim_inode *next; /* all inodes of the disk */
    bool is_folder;
    bool marked;
    unsigned opens;
    /* A file: what is seen, what is durable, and the versions between them. */
    uint8_t *seen; /* both have room_bytes bytes, zeros behind the size */
    uint8_t *durable;
    size_t room_bytes;
    uint64_t seen_bytes;
    uint64_t durable_bytes;
    struct sim_sector *sectors;
    size_t sector_count;
    size_t sector_room;
    struct sim_size *sizes;
    size_t size_count;
    size_t size_room;
    uint64_t *holes; /* numbers of the sectors that the last crash lost */
    size_t hole_count;
    /* A folder. */
    struct sim_names names;
    struct sim_names durable_names;
    struct sim_name_op *name_ops;
    size_t name_op_count;
    size_t name_op_room;
};

struct sim_disk {
    struct disk super; /* first */
    uint32_t magic;
    struct rand_state rand;
    struct sim_inode *inodes;
    struct sim_inode *root;
    uint64_t limit_bytes;
    uint64_t serial;
    uint64_t counts[DISK_SIM_CHANGE + 1];
    unsigned open_files;
    unsigned cheats;
    enum disk_sim_op fail_op;
    uint64_t fail_in; /* 0: no rule */
    enum ior_err fail_err;
    bool fail_on;
    bool fail_met;
    uint64_t crash_in; /* 0: never */
    bool dead;
    enum disk_sim_loss last_loss;
};

struct sim_file {
    struct disk_file super; /* first */
    uint32_t magic;
    struct sim_disk *disk;
    struct sim_inode *inode;
    bool writable;
};

struct sim_disk *sim_disk_of(struct disk *d);
void *sim_grow(void *items, size_t *room, size_t count, size_t item_bytes);

/* disk_sim_state.c */
struct sim_inode *sim_inode_new(struct sim_disk *s, bool is_folder);
void sim_inode_free(struct sim_inode *i);
/* Frees what no name, no open file and no pending change leads to. */
void sim_sweep(struct sim_disk *s);
struct sim_inode *sim_names_find(const struct sim_names *n, const char *name);
void sim_names_put(struct sim_names *n, const char *name, struct sim_inode *inode);
void sim_names_remove(struct sim_names *n, const struct sim_inode *inode);
void sim_names_copy(struct sim_names *to, const struct sim_names *from);
/* The folder that a path is in, and the last part of the path; NULL: no such folder. */
struct sim_inode *sim_folder_of(struct sim_disk *s, const char *path, const char **ret_last);
struct sim_inode *sim_find(struct sim_disk *s, const char *path);
/* The inode is now at `to` in this folder and nowhere else (NULL: nowhere). */
void sim_place(struct sim_disk *s, struct sim_inode *folder, struct sim_inode *inode,
               const char *to);
void sim_names_sync(struct sim_inode *folder);
/* Room for so many bytes, zeros. */
void sim_make_room(struct sim_inode *i, uint64_t bytes);
void sim_set_size(struct sim_disk *s, struct sim_inode *i, uint64_t size_bytes);
/* This sector is now as `seen` has it. */
void sim_note_sector(struct sim_disk *s, struct sim_inode *i, uint64_t number);
void sim_file_sync(struct sim_inode *i);
/* The sync failed: the bytes that are not durable now will not be by a later one. */
void sim_file_stick(struct sim_inode *i);

/* src/rt/disk_sim.c - see disk_sim.h: the operations of the simulated disk, and the
 * faults that they meet.
 * Happy path: a change shows at once in `seen` and leaves a version or a name
 * operation behind; a sync makes them durable.
 * Failure modes: every operation first asks the gate, which counts it and says
 * whether it happens, fails by the rule, or is where the power fails. A write
 * that fails in any way may have happened in part. */
#include "rt/disk_sim_private.h"

#include <stdlib.h>
#include <string.h>

enum gate { GATE_GO, GATE_FAIL, GATE_DIE };

static const struct disk_ops sim_ops;

struct sim_disk *sim_disk_of(struct disk *d)
{
    struct sim_disk *s = (struct sim_disk *)(void *)d;
    IOR_CHECK_MAGIC(s, DISK_SIM_MAGIC);
    return s;
}

static struct sim_file *file_of(struct disk_file *f)
{
    struct sim_file *file = (struct sim_file *)(void *)f;
    IOR_CHECK_MAGIC(file, DISK_SIM_FILE_MAGIC);
    return file;
}

static bool changes(enum disk_sim_op op)
{
    return op != DISK_SIM_OPEN && op != DISK_SIM_READ && op != DISK_SIM_SIZE && op != DISK_SIM_LIST;
}

static bool meets_rule(struct sim_disk *s, enum disk_sim_op op)
{
    if (s->fail_in == 0) return false;
    if (s->fail_op != op && !(s->fail_op == DISK_SIM_CHANGE && changes(op))) return false;
    if (s->fail_in > 1) {
        s->fail_in--;
        return false;
    }
    s->fail_met = true;
    if (!s->fail_on) s->fail_in = 0;
    return true;
}

/* What becomes of this operation? *ret_err unless GATE_GO. */
static enum gate ask(struct sim_disk *s, enum disk_sim_op op, enum ior_err *ret_err)
{
    *ret_err = IOR_E_IO;
    if (s->dead) return GATE_FAIL;
    s->counts[op]++;
    if (changes(op)) {
        s->counts[DISK_SIM_CHANGE]++;
        if (s->crash_in == 1) {
            s->crash_in = 0;
            s->dead = true;
            return GATE_DIE;
        }
        if (s->crash_in > 1) s->crash_in--;
    }
    if (!meets_rule(s, op)) return GATE_GO;
    *ret_err = s->fail_err;
    return GATE_FAIL;
}

/* A change of a name: does it happen? When the power fails in it: perhaps. */
static bool name_change_goes(struct sim_disk *s, enum disk_sim_op op, enum ior_err *ret_err)
{
    enum gate gate = ask(s, op, ret_err);
    if (gate == GATE_GO) *ret_err = IOR_OK;
    return gate == GATE_GO || (gate == GATE_DIE && rand_below(&s->rand, 2) == 0);
}

/* ---- files ---- */

static enum ior_err make_file(struct sim_disk *s, const char *path, struct sim_inode **ret)
{
    const char *last;
    struct sim_inode *folder = sim_folder_of(s, path, &last);
    if (folder == NULL) return IOR_E_NOTFOUND;
    enum ior_err err;
    bool full = disk_sim_used_bytes(&s->super) >= s->limit_bytes;
    if (!name_change_goes(s, DISK_SIM_CREATE, &err)) return err;
    if (full) return IOR_E_NOSPC;
    *ret = sim_inode_new(s, false);
    sim_place(s, folder, *ret, last);
    return err;
}

static enum ior_err file_open(struct disk *d, const char *path, int flags, struct disk_file **ret)
{
    struct sim_disk *s = sim_disk_of(d);
    if (s->dead) return IOR_E_IO;
    struct sim_inode *inode = sim_find(s, path);
    enum ior_err err = IOR_OK;
    if (inode == NULL) {
        if ((flags & DISK_CREATE) == 0) return IOR_E_NOTFOUND;
        err = make_file(s, path, &inode);
    } else if (inode->is_folder) {
        err = IOR_E_IO;
    } else if (ask(s, DISK_SIM_OPEN, &err) == GATE_GO) {
        err = IOR_OK;
    }
    if (err != IOR_OK) return err;
    struct sim_file *f = malloc(sizeof *f);
    IOR_ASSERT(f != NULL);
    *f = (struct sim_file){{&sim_ops}, DISK_SIM_FILE_MAGIC, s, inode, (flags & DISK_WRITE) != 0};
    inode->opens++;
    s->open_files++;
    *ret = &f->super;
    return IOR_OK;
}

static void file_close(struct disk_file *file)
{
    struct sim_file *f = file_of(file);
    IOR_ASSERT(f->inode->opens > 0 && f->disk->open_files > 0);
    f->inode->opens--;
    f->disk->open_files--;
    f->magic = 0;
    free(f);
}

static enum ior_err file_read(struct disk_file *file, uint64_t offset, void *buf, size_t n,
                              size_t *ret_n)
{
    struct sim_file *f = file_of(file);
    enum ior_err err;
    if (ask(f->disk, DISK_SIM_READ, &err) != GATE_GO) return err;
    uint64_t left = offset < f->inode->seen_bytes ? f->inode->seen_bytes - offset : 0;
    *ret_n = n < left ? n : (size_t)left;
    if (*ret_n > 0) memcpy(buf, f->inode->seen + offset, *ret_n);
    return IOR_OK;
}

/* Bytes [from, to) of a write that begins at offset, into what is seen. */
static void put_bytes(struct sim_inode *i, uint64_t offset, const struct iovec *iov, int count,
                      uint64_t from, uint64_t to)
{
    for (int n = 0; n < count; n++) {
        uint64_t end = offset + iov[n].iov_len;
        uint64_t a = from > offset ? from : offset;
        uint64_t b = to < end ? to : end;
        if (a < b)
            memcpy(i->seen + a, (const uint8_t *)iov[n].iov_base + (a - offset), (size_t)(b - a));
        offset = end;
    }
}

/* Does the file have to grow beyond the limit? Then only *end bytes of it can be there. */
static bool fits(struct sim_disk *s, const struct sim_inode *i, uint64_t *end)
{
    if (*end <= i->seen_bytes) return true;
    uint64_t used = disk_sim_used_bytes(&s->super);
    uint64_t room = used < s->limit_bytes ? s->limit_bytes - used : 0;
    if (*end - i->seen_bytes <= room) return true;
    *end = i->seen_bytes + rand_below(&s->rand, room + 1);
    return false;
}

static enum ior_err file_write(struct disk_file *file, uint64_t offset, const struct iovec *iov,
                               int count)
{
    struct sim_file *f = file_of(file);
    struct sim_disk *s = f->disk;
    struct sim_inode *i = f->inode;
    IOR_ASSERT(f->writable);
    uint64_t end = offset;
    for (int n = 0; n < count; n++) end += iov[n].iov_len;
    enum ior_err err;
    enum gate gate = ask(s, DISK_SIM_WRITE, &err);
    if (gate == GATE_FAIL && s->dead) return err;
    if (gate == GATE_GO) err = IOR_OK;
    if (!fits(s, i, &end) && err == IOR_OK) err = IOR_E_NOSPC;
    if (end <= offset) return err;
    sim_make_room(i, end);
    /* Whole when nothing is wrong; a failed write: some sectors of it. */
    bool part = err != IOR_OK && err != IOR_E_NOSPC && rand_below(&s->rand, 4) != 0;
    uint64_t size_bytes = i->seen_bytes;
    for (uint64_t n = offset / DISK_SECTOR_BYTES; n * DISK_SECTOR_BYTES < end; n++) {
        if (part && rand_below(&s->rand, 2) == 0) continue;
        uint64_t to = (n + 1) * DISK_SECTOR_BYTES < end ? (n + 1) * DISK_SECTOR_BYTES : end;
        put_bytes(i, offset, iov, count, n * DISK_SECTOR_BYTES, to);
        sim_note_sector(s, i, n);
        if (to > size_bytes) size_bytes = to;
    }
    sim_set_size(s, i, size_bytes);
    return err;
}

static enum ior_err file_sync(struct disk_file *file)
{
    struct sim_file *f = file_of(file);
    enum ior_err err;
    enum gate gate = ask(f->disk, DISK_SIM_SYNC, &err);
    if (gate == GATE_FAIL && !f->disk->dead) sim_file_stick(f->inode);
    if (gate != GATE_GO) return err;
    if ((f->disk->cheats & DISK_SIM_SYNC_IS_NOTHING) == 0) sim_file_sync(f->inode);
    return IOR_OK;
}

static enum ior_err file_size(struct disk_file *file, uint64_t *ret_bytes)
{
    struct sim_file *f = file_of(file);
    enum ior_err err;
    if (ask(f->disk, DISK_SIM_SIZE, &err) != GATE_GO) return err;
    *ret_bytes = f->inode->seen_bytes;
    return IOR_OK;
}

static enum ior_err file_truncate(struct disk_file *file, uint64_t size_bytes)
{
    struct sim_file *f = file_of(file);
    IOR_ASSERT(f->writable);
    enum ior_err err;
    if (!name_change_goes(f->disk, DISK_SIM_TRUNCATE, &err)) return err;
    if (!fits(f->disk, f->inode, &size_bytes)) return IOR_E_NOSPC;
    sim_set_size(f->disk, f->inode, size_bytes);
    return err;
}

/* ---- names ---- */

static enum ior_err name_rename(struct disk *d, const char *from, const char *to)
{
    struct sim_disk *s = sim_disk_of(d);
    if (s->dead) return IOR_E_IO;
    const char *last_from;
    const char *last_to;
    struct sim_inode *folder = sim_folder_of(s, from, &last_from);
    struct sim_inode *inode = folder == NULL ? NULL : sim_names_find(&folder->names, last_from);
    if (inode == NULL || sim_folder_of(s, to, &last_to) == NULL) return IOR_E_NOTFOUND;
    IOR_ASSERT(folder == sim_folder_of(s, to, &last_to)); /* between folders: nobody does */
    enum ior_err err;
    if (name_change_goes(s, DISK_SIM_RENAME, &err)) sim_place(s, folder, inode, last_to);
    return err;
}

static enum ior_err name_unlink(struct disk *d, const char *path)
{
    struct sim_disk *s = sim_disk_of(d);
    if (s->dead) return IOR_E_IO;
    const char *last;
    struct sim_inode *folder = sim_folder_of(s, path, &last);
    struct sim_inode *inode = folder == NULL ? NULL : sim_names_find(&folder->names, last);
    if (inode == NULL) return IOR_E_NOTFOUND;
    enum ior_err err;
    if (name_change_goes(s, DISK_SIM_UNLINK, &err)) sim_place(s, folder, inode, NULL);
    return err;
}

static enum ior_err dir_make(struct disk *d, const char *path)
{
    struct sim_disk *s = sim_disk_of(d);
    if (s->dead) return IOR_E_IO;
    if (sim_find(s, path) != NULL) return IOR_OK;
    const char *last;
    struct sim_inode *folder = sim_folder_of(s, path, &last);
    if (folder == NULL) return IOR_E_NOTFOUND;
    enum ior_err err;
    if (name_change_goes(s, DISK_SIM_MKDIR, &err))
        sim_place(s, folder, sim_inode_new(s, true), last);
    return err;
}

static enum ior_err dir_remove(struct disk *d, const char *path, bool *ret_gone)
{
    struct sim_disk *s = sim_disk_of(d);
    if (s->dead) return IOR_E_IO;
    const char *last;
    struct sim_inode *parent = sim_folder_of(s, path, &last);
    struct sim_inode *folder = parent == NULL ? NULL : sim_names_find(&parent->names, last);
    if (folder != NULL && !folder->is_folder) return IOR_E_IO;
    if (folder == NULL || folder->names.count > 0) {
        *ret_gone = folder == NULL;
        return IOR_OK;
    }
    enum ior_err err;
    if (name_change_goes(s, DISK_SIM_RMDIR, &err)) sim_place(s, parent, folder, NULL);
    if (err == IOR_OK) *ret_gone = true;
    return err;
}

static enum ior_err dir_sync(struct disk *d, const char *path)
{
    struct sim_disk *s = sim_disk_of(d);
    enum ior_err err;
    struct sim_inode *folder = sim_find(s, path);
    if (folder == NULL || !folder->is_folder) return s->dead ? IOR_E_IO : IOR_E_NOTFOUND;
    if (ask(s, DISK_SIM_SYNC_DIR, &err) != GATE_GO) return err;
    if ((s->cheats & DISK_SIM_SYNC_DIR_IS_NOTHING) != 0) return IOR_OK;
    sim_names_sync(folder);
    sim_sweep(s);
    return IOR_OK;
}

static enum ior_err dir_list(struct disk *d, const char *path, disk_name_cb cb, void *ctx)
{
    struct sim_disk *s = sim_disk_of(d);
    enum ior_err err;
    struct sim_inode *folder = sim_find(s, path);
    if (folder == NULL || !folder->is_folder) return s->dead ? IOR_E_IO : IOR_E_NOTFOUND;
    if (ask(s, DISK_SIM_LIST, &err) != GATE_GO) return err;
    err = IOR_OK;
    for (size_t i = 0; i < folder->names.count && err == IOR_OK; i++)
        err = cb(ctx, folder->names.items[i].name);
    return err;
}

static enum ior_err room(struct disk *d, struct disk_room *ret)
{
    uint64_t limit = sim_disk_of(d)->limit_bytes;
    uint64_t used = disk_sim_used_bytes(d);
    ret->bytes = limit > used ? limit - used : 0;
    ret->files = UINT64_MAX;
    return IOR_OK;
}

static void free_all(struct disk *d)
{
    struct sim_disk *s = sim_disk_of(d);
    IOR_ASSERT(s->open_files == 0);
    while (s->inodes != NULL) {
        struct sim_inode *i = s->inodes;
        s->inodes = i->next;
        sim_inode_free(i);
    }
    s->magic = 0;
    free(s);
}

static const struct disk_ops sim_ops = {
    .open = file_open,
    .close = file_close,
    .read = file_read,
    .write = file_write,
    .sync = file_sync,
    .size = file_size,
    .truncate = file_truncate,
    .rename = name_rename,
    .unlink = name_unlink,
    .mkdir = dir_make,
    .rmdir = dir_remove,
    .sync_dir = dir_sync,
    .list = dir_list,
    .room = room,
    .free = free_all,
};

struct disk *disk_sim_new(uint64_t seed)
{
    struct sim_disk *s = calloc(1, sizeof *s);
    IOR_ASSERT(s != NULL);
    s->super.ops = &sim_ops;
    s->magic = DISK_SIM_MAGIC;
    s->rand.x = seed;
    s->limit_bytes = UINT64_MAX;
    s->root = sim_inode_new(s, true);
    return &s->super;
}

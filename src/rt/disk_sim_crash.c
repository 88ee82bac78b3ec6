/* src/rt/disk_sim_crash.c - see disk_sim.h: what a crash leaves behind, and the doors
 * for tests. At a crash every sector, size and name operation in doubt is decided,
 * and what is left is what is seen and durable from then on. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "rt/disk_sim_private.h"

/* How this crash decides. */
struct loss {
    struct sim_disk *disk;
    enum disk_sim_loss how;
    uint64_t odds;  /* LOSE_SOME: out of 16 */
    uint64_t until; /* LOSE_LATER: the last serial that came through */
    uint64_t one;   /* LOSE_ONE, KEEP_ONE: the sector, counted over all files */
    uint64_t at;    /* counts them */
    bool names;     /* those two and FILL_HOLES: do sizes and names come through? */
};

static bool keeps(struct loss *l, uint64_t serial)
{
    switch (l->how) {
    case DISK_SIM_LOSE_NONE:
        return true;
    case DISK_SIM_LOSE_SOME:
        return rand_below(&l->disk->rand, 16) < l->odds;
    case DISK_SIM_LOSE_LATER:
        return serial <= l->until;
    case DISK_SIM_LOSE_ONE:
    case DISK_SIM_KEEP_ONE:
    case DISK_SIM_FILL_HOLES:
        return l->names;
    default:
        return false;
    }
}

/* ---- sectors ---- */

static int by_number(const void *a, const void *b)
{
    const struct sim_sector *x = a;
    const struct sim_sector *y = b;
    if (x->number != y->number) return x->number < y->number ? -1 : 1;
    return x->serial < y->serial ? -1 : x->serial > y->serial;
}

static size_t run_of(const struct sim_inode *i, size_t at)
{
    size_t n = 1;
    while (at + n < i->sector_count && i->sectors[at + n].number == i->sectors[at].number) n++;
    return n;
}

static bool is_hole(const struct sim_inode *i, uint64_t number)
{
    for (size_t n = 0; n < i->hole_count; n++) {
        if (i->holes[n] == number) return true;
    }
    return false;
}

/* Which of n versions is left: 0 the durable one, k the k-th written since. */
static size_t choose_version(struct loss *l, const struct sim_inode *i,
                             const struct sim_sector *versions, size_t n)
{
    uint64_t at = l->at++;
    switch (l->how) {
    case DISK_SIM_LOSE_SOME:
        if (rand_below(&l->disk->rand, 8) == 0) return (size_t)rand_below(&l->disk->rand, n + 1);
        return keeps(l, 0) ? n : 0;
    case DISK_SIM_LOSE_LATER:
        while (n > 0 && versions[n - 1].serial > l->until) n--;
        return n;
    case DISK_SIM_LOSE_ONE:
        return at == l->one ? 0 : n;
    case DISK_SIM_KEEP_ONE:
        return at == l->one ? n : 0;
    case DISK_SIM_FILL_HOLES:
        return is_hole(i, versions[0].number) ? n : 0;
    default:
        return l->how == DISK_SIM_LOSE_NONE ? n : 0;
    }
}

static void decide_sectors(struct loss *l, struct sim_inode *i)
{
    uint64_t *holes = calloc(i->sector_count + 1, sizeof *holes);
    IOR_ASSERT(holes != NULL);
    size_t hole_count = 0;
    if (i->sector_count > 0) qsort(i->sectors, i->sector_count, sizeof *i->sectors, by_number);
    for (size_t at = 0; at < i->sector_count;) {
        const struct sim_sector *v = &i->sectors[at];
        size_t n = run_of(i, at);
        size_t k = choose_version(l, i, v, n);
        if (k > 0)
            memcpy(i->durable + v->number * DISK_SECTOR_BYTES, v[k - 1].bytes, DISK_SECTOR_BYTES);
        if (k < n) holes[hole_count++] = v->number;
        at += n;
    }
    i->sector_count = 0;
    free(i->holes);
    i->holes = holes;
    i->hole_count = hole_count;
}

static void decide_file(struct loss *l, struct sim_inode *i)
{
    decide_sectors(l, i);
    for (size_t n = 0; n < i->size_count; n++) {
        if (keeps(l, i->sizes[n].serial)) i->durable_bytes = i->sizes[n].bytes;
    }
    i->size_count = 0;
    if (i->durable_bytes < i->room_bytes)
        memset(i->durable + i->durable_bytes, 0, i->room_bytes - (size_t)i->durable_bytes);
    i->seen_bytes = i->durable_bytes;
    if (i->room_bytes > 0) memcpy(i->seen, i->durable, i->room_bytes);
}

/* ---- names ---- */

static void decide_folder(struct loss *l, struct sim_inode *folder)
{
    sim_names_copy(&folder->names, &folder->durable_names);
    for (size_t n = 0; n < folder->name_op_count; n++) {
        const struct sim_name_op *op = &folder->name_ops[n];
        if (!keeps(l, op->serial)) continue;
        sim_names_remove(&folder->names, op->inode);
        if (op->to != NULL) sim_names_put(&folder->names, op->to, op->inode);
    }
    sim_names_sync(folder);
}

/* ---- the crash ---- */

static uint64_t count_sectors(struct sim_disk *s)
{
    uint64_t sum = 0;
    for (struct sim_inode *i = s->inodes; i != NULL; i = i->next) {
        if (i->sector_count > 0) qsort(i->sectors, i->sector_count, sizeof *i->sectors, by_number);
        for (size_t at = 0; at < i->sector_count; at += run_of(i, at)) sum++;
    }
    return sum;
}

/* The oldest serial in doubt. */
static uint64_t first_serial(struct sim_disk *s)
{
    uint64_t first = s->serial;
    for (struct sim_inode *i = s->inodes; i != NULL; i = i->next) {
        for (size_t n = 0; n < i->sector_count; n++) {
            if (i->sectors[n].serial < first) first = i->sectors[n].serial;
        }
        for (size_t n = 0; n < i->size_count; n++) {
            if (i->sizes[n].serial < first) first = i->sizes[n].serial;
        }
        if (i->name_op_count > 0 && i->name_ops[0].serial < first) first = i->name_ops[0].serial;
    }
    return first;
}

static void lose(struct sim_disk *s, enum disk_sim_loss how)
{
    struct loss l = {.disk = s, .how = how};
    static const uint64_t odds[] = {1, 4, 8, 12, 15};
    l.odds = odds[rand_below(&s->rand, IOR_LEN(odds))];
    l.names = rand_below(&s->rand, 2) == 0;
    uint64_t first = first_serial(s);
    l.until = first + rand_below(&s->rand, s->serial - first + 1);
    uint64_t sectors = count_sectors(s);
    l.one = sectors == 0 ? 0 : rand_below(&s->rand, sectors);
    for (struct sim_inode *i = s->inodes; i != NULL; i = i->next) {
        if (i->is_folder) {
            decide_folder(&l, i);
        } else {
            decide_file(&l, i);
        }
    }
    sim_sweep(s);
}

void disk_sim_crash(struct disk *d, enum disk_sim_loss loss)
{
    struct sim_disk *s = sim_disk_of(d);
    IOR_ASSERT(s->open_files == 0);
    IOR_ASSERT(loss < DISK_SIM_LOSS_COUNT);
    if (loss != DISK_SIM_KILLED) lose(s, loss);
    s->last_loss = loss;
    s->dead = false;
    s->crash_in = 0;
    s->fail_in = 0;
    s->fail_met = false;
}

enum disk_sim_loss disk_sim_any_loss(struct disk *d)
{
    struct sim_disk *s = sim_disk_of(d);
    bool one = s->last_loss == DISK_SIM_LOSE_ONE;
    if (one && rand_below(&s->rand, 2) == 0)
        return DISK_SIM_FILL_HOLES; /* the two belong together */
    return DISK_SIM_LOSE_ALL + (unsigned)rand_below(&s->rand, DISK_SIM_LOSS_COUNT - 1);
}

/* ---- faults ---- */

void disk_sim_set_limit(struct disk *d, uint64_t limit_bytes)
{
    sim_disk_of(d)->limit_bytes = limit_bytes;
}

void disk_sim_fail(struct disk *d, enum disk_sim_op op, uint64_t n, enum ior_err err, bool on)
{
    struct sim_disk *s = sim_disk_of(d);
    s->fail_op = op;
    s->fail_in = n;
    s->fail_err = err;
    s->fail_on = on;
    s->fail_met = false;
}

bool disk_sim_failed(struct disk *d)
{
    return sim_disk_of(d)->fail_met;
}

void disk_sim_crash_at(struct disk *d, uint64_t n)
{
    sim_disk_of(d)->crash_in = n;
}

void disk_sim_kill(struct disk *d)
{
    sim_disk_of(d)->dead = true;
}

bool disk_sim_is_dead(struct disk *d)
{
    return sim_disk_of(d)->dead;
}

void disk_sim_set_cheats(struct disk *d, unsigned cheats)
{
    sim_disk_of(d)->cheats = cheats;
}

/* ---- looking at it ---- */

uint64_t disk_sim_count(struct disk *d, enum disk_sim_op op)
{
    IOR_ASSERT(op <= DISK_SIM_CHANGE && op != DISK_SIM_OPS);
    return sim_disk_of(d)->counts[op];
}

unsigned disk_sim_open_files(struct disk *d)
{
    return sim_disk_of(d)->open_files;
}

static uint64_t used_in(const struct sim_inode *folder)
{
    uint64_t sum = 0;
    for (size_t n = 0; n < folder->names.count; n++) {
        const struct sim_inode *i = folder->names.items[n].inode;
        sum += i->is_folder ? used_in(i) : i->seen_bytes;
    }
    return sum;
}

uint64_t disk_sim_used_bytes(struct disk *d)
{
    return used_in(sim_disk_of(d)->root);
}

static uint64_t hash_folder(const struct sim_inode *folder, uint64_t hash)
{
    for (size_t n = 0; n < folder->names.count; n++) {
        const struct sim_inode *i = folder->names.items[n].inode;
        hash = hash * 31 + ior_hash(ior_slice_str(folder->names.items[n].name));
        hash = i->is_folder ? hash_folder(i, hash)
                            : hash * 31 + ior_hash(ior_slice(i->seen, (size_t)i->seen_bytes));
    }
    return hash;
}

uint64_t disk_sim_hash(struct disk *d)
{
    return hash_folder(sim_disk_of(d)->root, 0);
}

static void copy_folder(struct sim_disk *to, struct sim_inode *into, const struct sim_inode *from)
{
    for (size_t n = 0; n < from->names.count; n++) {
        const struct sim_inode *i = from->names.items[n].inode;
        struct sim_inode *copy = sim_inode_new(to, i->is_folder);
        sim_names_put(&into->names, from->names.items[n].name, copy);
        if (i->is_folder) {
            copy_folder(to, copy, i);
            continue;
        }
        sim_make_room(copy, i->seen_bytes);
        copy->seen_bytes = copy->durable_bytes = i->seen_bytes;
        if (i->seen_bytes == 0) continue;
        memcpy(copy->seen, i->seen, (size_t)i->seen_bytes);
        memcpy(copy->durable, i->seen, (size_t)i->seen_bytes);
    }
    sim_names_sync(into);
}

struct disk *disk_sim_copy(struct disk *d)
{
    struct sim_disk *s = sim_disk_of(d);
    struct disk *copy = disk_sim_new(rand_next(&s->rand));
    copy_folder(sim_disk_of(copy), sim_disk_of(copy)->root, s->root);
    return copy;
}

static struct sim_inode *file_at(struct disk *d, const char *path)
{
    struct sim_inode *i = sim_find(sim_disk_of(d), path);
    IOR_ASSERT(i != NULL && !i->is_folder);
    return i;
}

bool disk_sim_has(struct disk *d, const char *path)
{
    return sim_find(sim_disk_of(d), path) != NULL;
}

uint64_t disk_sim_size(struct disk *d, const char *path)
{
    return file_at(d, path)->seen_bytes;
}

uint8_t disk_sim_byte(struct disk *d, const char *path, uint64_t offset)
{
    struct sim_inode *i = file_at(d, path);
    IOR_ASSERT(offset < i->seen_bytes);
    return i->seen[offset];
}

void disk_sim_flip(struct disk *d, const char *path, uint64_t offset, uint8_t mask)
{
    struct sim_inode *i = file_at(d, path);
    IOR_ASSERT(offset < i->seen_bytes);
    i->seen[offset] ^= mask;
    i->durable[offset] = i->seen[offset];
}

void disk_sim_cut(struct disk *d, const char *path, uint64_t size_bytes)
{
    struct sim_inode *i = file_at(d, path);
    IOR_ASSERT(size_bytes <= i->seen_bytes);
    sim_set_size(sim_disk_of(d), i, size_bytes);
    sim_file_sync(i);
}

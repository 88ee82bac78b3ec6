/* src/store/verify_rebuild.c - see verify_rebuild.h: writing what verify_plan.c found.
 * Happy path: the new catalog is made in a folder of its own, in transactions of some thousand
 * rows; chunk files that it names by what they hold are synced before; then the old file gets
 * its second name, and the new one takes the first.
 * Failure modes: an error leaves that folder, which the next try empties; the old file keeps its
 * name until the last rename, which is one step. */
#include "store/verify_rebuild.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "store/kv_pages.h"
#include "store/verify_plan.h"

#define MAKE_FOLDER "catalog.rebuild"
enum { ROWS_MAX = 10000, PATH_BYTES = 4096, BAD_MAX = 100000 };

struct writing {
    struct plan *plan;
    struct kv *kv;
    struct kv_writer *w;
    size_t rows;
};

static enum ior_err put(struct writing *g, enum ior_err err)
{
    if (err == IOR_OK) g->rows++;
    return err;
}

/* Between two streams. */
static enum ior_err breathe(struct writing *g)
{
    if (g->w != NULL && g->rows >= ROWS_MAX) {
        struct kv_writer *w = g->w;
        g->w = NULL;
        g->rows = 0;
        enum ior_err err = kv_write_commit(w);
        if (err != IOR_OK) return err;
    }
    return g->w == NULL ? kv_write_begin(g->kv, &g->w) : IOR_OK;
}

/* ---- rows ---- */

static enum ior_err write_buckets(struct writing *g)
{
    const struct image *m = &g->plan->v.image;
    enum ior_err err = breathe(g);
    for (size_t i = 0; i < m->tables[KV_BUCKETS].count && err == IOR_OK; i++) {
        struct bucket_row row;
        struct ior_slice name = image_key(m, KV_BUCKETS, i);
        if (name.size_bytes > BUCKET_BYTES_MAX ||
            catalog_decode_bucket(image_value(m, KV_BUCKETS, i), &row) != IOR_OK)
            continue;
        struct ior_slice policy = row.policy;
        err = catalog_bucket_id(g->w, name, &row.id);
        row.name = name;
        row.policy = policy;
        if (err == IOR_OK && policy.size_bytes > 0) err = catalog_put_bucket(g->w, &row);
    }
    return err;
}

static enum ior_err write_keys(struct writing *g, const struct plan_stream *s)
{
    const struct image *m = &g->plan->v.image;
    struct catalog_key from = catalog_key_uid(s->partition, s->uid);
    enum ior_err err = IOR_OK;
    for (size_t i = image_seek(m, KV_KEYS, catalog_key_slice(&from));
         i < m->tables[KV_KEYS].count && err == IOR_OK; i++) {
        struct ior_slice key = image_key(m, KV_KEYS, i);
        struct key_row row;
        uint32_t partition;
        uint64_t uid;
        uint64_t last_id = 0;
        if (!ior_slice_starts(key, catalog_key_slice(&from))) break;
        if (catalog_parse_ids(key, &partition, &uid, &last_id) != IOR_OK ||
            catalog_decode_key(image_value(m, KV_KEYS, i), &row) != IOR_OK ||
            last_id > s->row.high || row.first_id > last_id)
            continue;
        row.last_id = last_id;
        err = put(g, catalog_put_key(g->w, s->partition, s->uid, &row));
    }
    return err;
}

/* What was found in a file may be in the memory of the kernel only. */
static enum ior_err make_sure(struct writing *g, const struct plan_stream *s,
                              const struct plan_chunk *c)
{
    char path[DISK_PATH_MAX];
    struct disk_file *f = NULL;
    struct disk *d = g->plan->v.p->disk;
    if (c->named) return IOR_OK;
    chunk_path(s->partition, s->uid, c->row.first_seqnum, path);
    enum ior_err err = disk_open(d, path, DISK_READ, &f);
    if (err == IOR_OK) err = disk_sync(f);
    if (err == IOR_OK) err = chunk_sync_folders(d, s->partition, s->uid);
    disk_close(f);
    return err;
}

static enum ior_err bury(struct writing *g, const struct plan_stream *s, uint64_t first_seqnum)
{
    char path[DISK_PATH_MAX];
    struct ior_buf value = {0};
    chunk_path(s->partition, s->uid, first_seqnum, path);
    struct catalog_key key = catalog_key_bytes(ior_slice_str(path));
    catalog_encode_bytes(&value, ior_slice(NULL, 0));
    return put(g, catalog_put(g->w, KV_GRAVE, &key, &value));
}

static enum ior_err write_stream(struct writing *g, const struct plan_stream *s)
{
    struct stream_row row = s->row;
    enum ior_err err = breathe(g);
    for (size_t i = 0; i < s->chunk_count && err == IOR_OK; i++) {
        const struct plan_chunk *c = &s->chunks[i];
        if (c->is_buried) err = bury(g, s, c->row.first_seqnum);
        if (!c->in_chain) continue;
        if (err == IOR_OK) err = make_sure(g, s, c);
        if (err == IOR_OK) err = put(g, catalog_put_chunk(g->w, s->partition, s->uid, &c->row));
    }
    if (!s->wanted || err != IOR_OK) return err;
    if (s->small.size_bytes > 0)
        err = put(g, catalog_put_small(g->w, s->partition, s->uid, s->small));
    row.name = plan_name(s);
    if (err == IOR_OK) err = catalog_bucket_id(g->w, plan_bucket(s), &row.bucket_id);
    if (err == IOR_OK) err = put(g, catalog_put_stream(g->w, &row));
    return err == IOR_OK ? write_keys(g, s) : err;
}

/* ---- groups and meta ---- */

static enum ior_err copy_facts(struct writing *g)
{
    const struct image *m = &g->plan->v.image;
    enum ior_err err = IOR_OK;
    for (size_t i = 0; i < m->tables[KV_META].count && err == IOR_OK; i++) {
        char name[64];
        struct ior_slice bytes;
        struct ior_slice key = image_key(m, KV_META, i);
        if (!ior_slice_starts(key, IOR_SLICE("facts")) || key.size_bytes >= sizeof name) continue;
        snprintf(name, sizeof name, "%.*s", (int)key.size_bytes, (const char *)key.data);
        err = catalog_decode_bytes(image_value(m, KV_META, i), &bytes);
        if (err == IOR_OK) err = put(g, catalog_put_meta(g->w, name, bytes));
    }
    return err;
}

static enum ior_err write_facts(struct writing *g, bool has_group)
{
    struct plan *p = g->plan;
    const uint8_t none[4] = {0};
    if (!p->facts_lost) return copy_facts(g);
    const struct verify_group *first = &p->v.groups[0];
    if (first->seen && first->first_applied == 1) return IOR_OK; /* the journal has them all */
    verify_say(
        &p->v, VERIFY_LOST, KV_LMDB_FILE, VERIFY_NO_OFFSET,
        "ALL USERS, GROUPS, GRANTS AND PASSWORDS THAT THE JOURNAL NO LONGER HAS ARE LOST: the "
        "next start makes its first users anew, with the passwords of the configuration");
    if (!has_group) return IOR_OK;
    return put(g, catalog_put_meta(g->w, "facts", ior_slice(none, sizeof none)));
}

static enum ior_err write_groups(struct writing *g)
{
    struct plan *p = g->plan;
    enum ior_err err = breathe(g);
    for (uint32_t i = 0; i <= p->v.identity.ring_size && err == IOR_OK; i++) {
        struct group_row row;
        bool has_row = plan_group(p, i, &row);
        row.vote = ior_slice_str(p->v.identity.node);
        if (has_row) err = put(g, catalog_put_group(g->w, i, &row));
        if (i == 0 && err == IOR_OK) err = write_facts(g, has_row);
    }
    uint8_t value[8];
    ior_put_u64(value, p->lowest_segment);
    if (err == IOR_OK && p->lowest_segment != 0)
        err = put(g, catalog_put_meta(g->w, "journal_first", ior_slice(value, sizeof value)));
    return err;
}

static enum ior_err write_all(struct writing *g)
{
    struct plan *p = g->plan;
    enum ior_err err = write_buckets(g);
    for (size_t i = 0; i < p->count && err == IOR_OK; i++) err = write_stream(g, p->items[i]);
    if (err == IOR_OK) err = write_groups(g);
    if (g->w == NULL) return err;
    struct kv_writer *w = g->w;
    g->w = NULL;
    if (err == IOR_OK) return kv_write_commit(w);
    kv_write_abort(w);
    return err;
}

/* ---- files ---- */

static enum ior_err fail(struct ior_why *why, const char *what, const char *path)
{
    return ior_why_set(why, ior_err_from_errno(errno), "cannot %s %s: %s", what, path,
                       strerror(errno));
}

static void remove_folder(const char *folder)
{
    static const char *const names[] = {KV_LMDB_FILE, KV_LMDB_FILE "-lock", "catalog.new",
                                        "catalog.new-lock"};
    char path[PATH_BYTES];
    for (size_t i = 0; i < IOR_LEN(names); i++) {
        snprintf(path, sizeof path, "%.4000s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

static enum ior_err make_catalog(struct plan *p, const char *folder, struct ior_why *why)
{
    struct writing g = {.plan = p};
    remove_folder(folder);
    if (mkdir(folder, 0700) != 0) return fail(why, "make", folder);
    enum ior_err err = kv_lmdb_open(folder, CATALOG_MAP_BYTES, &g.kv, why);
    if (err != IOR_OK) return err;
    err = write_all(&g);
    kv_close(g.kv);
    struct kv_pages_report report; /* what takes the old one's place has to be sound */
    if (err == IOR_OK) return kv_pages_check_file(folder, NULL, NULL, &report, why);
    return ior_why_set(why, err, "cannot write the new catalog: %s", ior_err_reason(err));
}

/* Files whose events cannot be reached: no checkpoint may write over them or remove them. */
static enum ior_err put_aside(struct plan *p, struct ior_why *why)
{
    enum ior_err err = IOR_OK;
    for (size_t i = 0; i < p->count && err == IOR_OK; i++) {
        const struct plan_stream *s = p->items[i];
        char path[DISK_PATH_MAX];
        char aside[DISK_PATH_MAX + 8];
        bool any = false;
        for (size_t k = 0; k < s->chunk_count && err == IOR_OK; k++) {
            if (!s->chunks[k].is_aside) continue;
            any = true;
            chunk_path(s->partition, s->uid, s->chunks[k].row.first_seqnum, path);
            snprintf(aside, sizeof aside, "%s.lost", path);
            err = disk_rename(p->v.p->disk, path, aside);
            verify_say(&p->v, VERIFY_LOST, path, VERIFY_NO_OFFSET,
                       "the events behind it are lost, so it is renamed to %s", aside);
        }
        chunk_folder(s->partition, s->uid, path);
        if (err == IOR_OK && any) err = disk_sync_dir(p->v.p->disk, path);
        if (err != IOR_OK) ior_why_set(why, err, "%s: cannot rename a file", path);
    }
    return err;
}

/* The old file gets a second name, then the new one takes the first. */
static enum ior_err exchange(struct plan *p, const char *folder, char ret_old[VERIFY_OLD_BYTES],
                             struct ior_why *why)
{
    char from[PATH_BYTES];
    char to[PATH_BYTES];
    char bad[PATH_BYTES];
    snprintf(from, sizeof from, "%.4000s/" KV_LMDB_FILE, folder);
    snprintf(to, sizeof to, "%.4000s/" KV_LMDB_FILE, p->v.p->dir);
    for (int n = 1;; n++) {
        snprintf(ret_old, VERIFY_OLD_BYTES, KV_LMDB_FILE ".bad-%d", n);
        snprintf(bad, sizeof bad, "%.4000s/%s", p->v.p->dir, ret_old);
        if (link(to, bad) == 0) break;
        if (errno == ENOENT) {
            ret_old[0] = 0;
            break;
        }
        if (errno != EEXIST || n == BAD_MAX) return fail(why, "keep the old catalog as", bad);
    }
    enum ior_err err = disk_sync_dir(p->v.p->disk, ".");
    if (err != IOR_OK) return ior_why_set(why, err, "cannot sync the data directory");
    if (rename(from, to) != 0) return fail(why, "rename the new catalog to", to);
    snprintf(bad, sizeof bad, "%.4080s-lock", to); /* of the old file */
    unlink(bad);
    remove_folder(folder);
    err = disk_sync_dir(p->v.p->disk, ".");
    return err == IOR_OK ? err : ior_why_set(why, err, "cannot sync the data directory");
}

enum ior_err verify_rebuild(const struct verify_params *p, struct verify_counts *ret,
                            char ret_old[VERIFY_OLD_BYTES], struct ior_why *why)
{
    struct plan plan;
    char folder[PATH_BYTES];
    IOR_ASSERT(p->dir != NULL);
    ret_old[0] = 0;
    snprintf(folder, sizeof folder, "%.4000s/" MAKE_FOLDER, p->dir);
    enum ior_err err = plan_make(&plan, p, ret, why);
    if (err == IOR_OK) err = make_catalog(&plan, folder, why);
    if (err == IOR_OK) err = put_aside(&plan, why);
    if (err == IOR_OK) err = exchange(&plan, folder, ret_old, why);
    plan_done(&plan);
    return err;
}

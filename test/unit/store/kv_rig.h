/* test/unit/store/kv_rig.h - a key-value file for a test, of either implementation: LMDB in a
 * folder of its own, or a file on a simulated disk. What cannot be is a failed assertion. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/assert.h"
#include "rt/disk_sim.h"
#include "rt/rand.h"
#include "store/kv.h"

enum { KV_RIG_MAP_BYTES = 256 << 20 };
#define KV_RIG_SIM_PATH "catalog/kv"

struct kv_rig {
    bool is_lmdb;
    uint64_t map_bytes;
    char dir[64]; /* of LMDB */
    char file[96];
    struct disk *disk; /* of the simulated one */
    struct kv *kv;
    struct kv_reader *reader; /* one for the test, with a snapshot when `reading` */
    bool reading;
};

/* The folder or the disk, without a file. */
static inline void kv_rig_init(struct kv_rig *g, bool is_lmdb)
{
    *g = (struct kv_rig){.is_lmdb = is_lmdb, .map_bytes = KV_RIG_MAP_BYTES};
    if (is_lmdb) {
        snprintf(g->dir, sizeof g->dir, "/tmp/iorio-kv-XXXXXX");
        assert_non_null(mkdtemp(g->dir));
        snprintf(g->file, sizeof g->file, "%s/" KV_LMDB_FILE, g->dir);
        return;
    }
    g->disk = disk_sim_new(7);
    assert_int_equal(disk_mkdir(g->disk, "catalog"), IOR_OK);
    assert_int_equal(disk_sync_dir(g->disk, "."), IOR_OK);
}

static inline enum ior_err kv_rig_try_open(struct kv_rig *g, struct ior_why *why)
{
    assert_null(g->kv);
    return g->is_lmdb ? kv_lmdb_open(g->dir, g->map_bytes, &g->kv, why)
                      : kv_sim_open(g->disk, KV_RIG_SIM_PATH, &g->kv, why);
}

static inline void kv_rig_open(struct kv_rig *g)
{
    struct ior_why why = {""};
    enum ior_err err = kv_rig_try_open(g, &why);
    if (err != IOR_OK) fail_msg("%s: %s", ior_err_name(err), why.text);
    assert_int_equal(kv_reader_new(g->kv, &g->reader), IOR_OK);
}

static inline void kv_rig_close(struct kv_rig *g)
{
    kv_reader_free(g->reader);
    kv_close(g->kv);
    g->reader = NULL;
    g->kv = NULL;
    g->reading = false;
}

static inline void kv_rig_done(struct kv_rig *g)
{
    kv_rig_close(g);
    disk_free(g->disk);
    if (!g->is_lmdb) return;
    char path[128];
    unlink(g->file);
    snprintf(path, sizeof path, "%s-lock", g->file);
    unlink(path);
    assert_int_equal(rmdir(g->dir), 0); /* nothing else is left */
}

static inline struct kv_writer *kv_rig_begin(struct kv_rig *g)
{
    struct kv_writer *w = NULL;
    assert_int_equal(kv_write_begin(g->kv, &w), IOR_OK);
    return w;
}

/* A snapshot of now in g->reader. */
static inline struct kv_reader *kv_rig_read(struct kv_rig *g)
{
    if (g->reading) kv_read_end(g->reader);
    assert_int_equal(kv_read_begin(g->reader), IOR_OK);
    g->reading = true;
    return g->reader;
}

static inline void kv_rig_put(struct kv_writer *w, enum kv_table t, const char *key,
                              const char *value)
{
    assert_int_equal(kv_put(w, t, ior_slice_str(key), ior_slice_str(value)), IOR_OK);
}

/* NULL: it is not there. */
static inline void kv_rig_expect(struct kv_reader *r, enum kv_table t, const char *key,
                                 const char *value)
{
    struct ior_slice got = {0};
    enum ior_err err = kv_get(r, t, ior_slice_str(key), &got);
    if (value == NULL) {
        assert_int_equal(err, IOR_E_NOTFOUND);
        return;
    }
    if (err != IOR_OK) fail_msg("%s: %s", key, ior_err_name(err));
    if (!ior_slice_eq(got, ior_slice_str(value)))
        fail_msg("%s: %.*s, not %s", key, (int)got.size_bytes, got.data, value);
}

static inline void kv_rig_put_one(struct kv_rig *g, const char *key, const char *value)
{
    struct kv_writer *w = kv_rig_begin(g);
    kv_rig_put(w, KV_META, key, value);
    assert_int_equal(kv_write_commit(w), IOR_OK);
}

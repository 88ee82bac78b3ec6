/* test/unit/store/save_rig.h - checkpoints of streams whose events say by themselves what they
 * must be, on a simulated disk (files and catalog on the same one) or on a real one with
 * LMDB; and everything read back through catalog and chunks.
 * What cannot be is a failed assertion of the test. */
#pragma once

#include <dirent.h>
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
#include "base/log.h"
#include "rt/disk_sim.h"
#include "store/chunk_format.h"
#include "store/save.h"
#include "store/small.h"

enum {
    SR_PARTITION = 7,
    SR_ITEMS_MAX = 10,
    SR_BYTES_MAX = 2000,
    SR_SMALL_MAX = 300,
    SR_READ_MAX = 64,
    SR_TOLD_MAX = 64,
};
#define SR_KV "kv"

struct sr {
    struct disk *disk;
    struct kv *kv;
    struct save *save;
    struct kv_reader *reader;
    bool is_real;
    char dir[64];
    struct ior_why why;
    unsigned told_count;
    uint64_t told[SR_TOLD_MAX]; /* first seqnums */
};

/* A stream as it is to be after a checkpoint. */
struct sr_stream {
    uint64_t uid;
    uint64_t low;
    uint64_t high;
    bool deleted;
};

static inline void sr_told(void *ctx, uint32_t partition, uint64_t uid, uint64_t first_seqnum)
{
    struct sr *g = ctx;
    assert_true(partition == SR_PARTITION && uid != 0);
    assert_true(g->told_count < SR_TOLD_MAX);
    g->told[g->told_count++] = first_seqnum;
}

/* ---- begin and end ---- */

static inline struct save_params sr_params(struct sr *g)
{
    return (struct save_params){.disk = g->disk,
                                .kv = g->kv,
                                .chunk_items_max = SR_ITEMS_MAX,
                                .chunk_bytes_max = SR_BYTES_MAX,
                                .small_bytes_max = SR_SMALL_MAX,
                                .on_buried = sr_told,
                                .ctx = g};
}

static inline void sr_open(struct sr *g)
{
    enum ior_err err = g->is_real ? kv_lmdb_open(g->dir, 64 << 20, &g->kv, &g->why)
                                  : kv_sim_open(g->disk, SR_KV, &g->kv, &g->why);
    if (err != IOR_OK) fail_msg("%s", g->why.text);
    struct save_params p = sr_params(g);
    assert_int_equal(save_new(&p, &g->save), IOR_OK);
    assert_int_equal(kv_reader_new(g->kv, &g->reader), IOR_OK);
    g->told_count = 0;
}

static inline void sr_close(struct sr *g)
{
    kv_reader_free(g->reader);
    save_free(g->save);
    kv_close(g->kv);
    g->reader = NULL;
    g->save = NULL;
    g->kv = NULL;
}

static inline void sr_begin(struct sr *g, uint64_t seed)
{
    *g = (struct sr){.disk = disk_sim_new(seed)};
    log_set_fd(-1);
    sr_open(g);
}

static inline void sr_begin_real(struct sr *g)
{
    *g = (struct sr){.is_real = true};
    log_set_fd(-1);
    snprintf(g->dir, sizeof g->dir, "/tmp/iorio-save-XXXXXX");
    assert_non_null(mkdtemp(g->dir));
    assert_int_equal(disk_posix_open(g->dir, &g->disk, &g->why), IOR_OK);
    sr_open(g);
}

static inline void sr_end(struct sr *g)
{
    sr_close(g);
    if (!g->is_real) assert_int_equal(disk_sim_open_files(g->disk), 0);
    disk_free(g->disk);
}

/* The process is gone, and perhaps the power; the next one begins. */
static inline void sr_crash(struct sr *g, enum disk_sim_loss loss)
{
    sr_close(g);
    assert_int_equal(disk_sim_open_files(g->disk), 0);
    disk_sim_crash(g->disk, loss);
    sr_open(g);
}

/* ---- events ---- */

static inline size_t sr_payload_bytes(uint64_t uid, uint64_t seqnum)
{
    if (seqnum % 37 == 0) return SR_BYTES_MAX * 2; /* larger than a chunk */
    return (size_t)((uid + seqnum * 7) % 90);
}

static inline uint8_t sr_byte(uint64_t uid, uint64_t seqnum, size_t at)
{
    return (uint8_t)(uid * 3 + seqnum * 31 + at * 7);
}

static inline struct chunk_event sr_event(uint64_t uid, uint64_t seqnum)
{
    size_t n = sr_payload_bytes(uid, seqnum);
    uint8_t *payload = malloc(n + 1);
    uint8_t *item = malloc(item_bytes(0, n));
    assert_true(payload != NULL && item != NULL);
    for (size_t i = 0; i < n; i++) payload[i] = sr_byte(uid, seqnum, i);
    item_write(item, ITEM_APPEND, 0, 0, ior_slice(payload, n));
    item_set_place(item, uid, seqnum, 1);
    free(payload);
    return (struct chunk_event){ior_slice(item, item_bytes(0, n)), 100 + seqnum, 5000 + seqnum};
}

static inline void sr_check_entry(const struct chunk_entry *e, uint64_t uid, uint64_t seqnum)
{
    assert_true(e->item.uid == uid && e->item.seqnum == seqnum && e->item.op == ITEM_APPEND);
    assert_true(e->index == 100 + seqnum && e->time_ms == 5000 + seqnum);
    assert_int_equal(e->item.payload.size_bytes, sr_payload_bytes(uid, seqnum));
    for (size_t i = 0; i < e->item.payload.size_bytes; i++)
        assert_int_equal(e->item.payload.data[i], sr_byte(uid, seqnum, i));
    assert_true(chunk_entry_payload_ok(e));
}

/* ---- saving ---- */

static inline const char *sr_name(uint64_t uid)
{
    static char name[32];
    snprintf(name, sizeof name, "s%u", (unsigned)uid);
    return name;
}

/* save_stream() with the events from..high (none when that is none) and these keys. */
static inline enum ior_err sr_save_keys(struct sr *g, struct sr_stream st, uint64_t from,
                                        const struct key_row *keys, size_t key_count)
{
    size_t count = from > st.high ? 0 : (size_t)(st.high - from + 1);
    struct chunk_event *events = calloc(count + 1, sizeof *events);
    assert_non_null(events);
    for (size_t i = 0; i < count; i++) events[i] = sr_event(st.uid, from + i);
    struct save_stream what = {.row = {.partition = SR_PARTITION,
                                       .uid = st.uid,
                                       .name = ior_slice_str(sr_name(st.uid)),
                                       .deleted = st.deleted,
                                       .low = st.low,
                                       .high = st.high},
                               .bucket = IOR_SLICE("orders"),
                               .events = events,
                               .count = count,
                               .first_seqnum = from,
                               .keys = keys,
                               .key_count = key_count};
    enum ior_err err = save_stream(g->save, &what, &g->why);
    assert_true((err == IOR_OK) == (g->why.text[0] == 0));
    for (size_t i = 0; i < count; i++) {
        union {
            const uint8_t *in;
            void *out;
        } cast = {.in = events[i].item.data};
        free(cast.out);
    }
    free(events);
    return err;
}

static inline enum ior_err sr_try_save(struct sr *g, struct sr_stream st, uint64_t from)
{
    return sr_save_keys(g, st, from, NULL, 0);
}

static inline void sr_put(struct sr *g, struct sr_stream st, uint64_t from)
{
    if (sr_try_save(g, st, from) != IOR_OK) fail_msg("%s", g->why.text);
}

/* One checkpoint of this stream alone. */
static inline void sr_save(struct sr *g, struct sr_stream st, uint64_t from)
{
    sr_put(g, st, from);
    assert_int_equal(save_commit(g->save), IOR_OK);
}

static inline void sr_clean(struct sr *g)
{
    bool more = true;
    while (more) {
        if (save_unlink_buried(g->save, 3, &more, &g->why) != IOR_OK) fail_msg("%s", g->why.text);
    }
}

/* ---- reading ---- */

/* What a stream consists of. */
struct sr_layout {
    unsigned chunks;
    unsigned sealed;
    size_t small_bytes;
    uint64_t first; /* event that is there; 0: none */
    uint64_t last;
    uint64_t first_seqnums[SR_TOLD_MAX];
};

static inline void sr_read_chunk(struct sr *g, uint64_t uid, const struct chunk_row *row)
{
    struct chunk_reader *r = NULL;
    struct chunk_entry entries[SR_READ_MAX];
    if (chunk_open(g->disk, SR_PARTITION, uid, row->first_seqnum, &row->state, &r, &g->why) !=
        IOR_OK)
        fail_msg("%s", g->why.text);
    assert_true(ior_slice_eq(chunk_reader_id(r)->bucket, IOR_SLICE("orders")));
    uint64_t at = row->first_seqnum;
    while (at <= row->state.last_seqnum) {
        size_t n = 0;
        struct ior_blob *blob = NULL;
        if (chunk_read(r, at, entries, SR_READ_MAX, &n, &blob, &g->why) != IOR_OK)
            fail_msg("%s", g->why.text);
        assert_true(n > 0);
        for (size_t i = 0; i < n; i++) sr_check_entry(&entries[i], uid, at + i);
        at += n;
        ior_blob_unref(blob);
    }
    chunk_close(r);
}

static inline void sr_read_small(struct ior_slice small, uint64_t uid, struct sr_layout *l)
{
    struct small_reader r = {.bytes = small, .uid = uid};
    struct chunk_entry e;
    const char *what = NULL;
    enum ior_err err;
    l->small_bytes = small.size_bytes;
    while ((err = small_next(&r, &e, &what)) == IOR_OK) {
        if (l->first == 0) l->first = e.item.seqnum;
        if (l->last != 0) assert_true(e.item.seqnum == l->last + 1);
        l->last = e.item.seqnum;
        sr_check_entry(&e, uid, e.item.seqnum);
    }
    assert_int_equal(err, IOR_E_END);
}

/* Reads every event that the catalog names, and checks it. The snapshot is open. */
static inline struct sr_layout sr_layout(struct sr *g, uint64_t uid)
{
    struct sr_layout l = {0};
    struct chunk_row row;
    struct ior_slice small;
    uint64_t at = 0;
    enum ior_err err;
    while ((err = catalog_seek_chunk(g->reader, SR_PARTITION, uid, at, &row)) == IOR_OK) {
        if (l.first == 0) l.first = row.first_seqnum;
        if (l.last != 0) assert_true(row.first_seqnum == l.last + 1);
        l.last = row.state.last_seqnum;
        assert_true(l.chunks < SR_TOLD_MAX);
        l.first_seqnums[l.chunks++] = row.first_seqnum;
        l.sealed += row.state.sealed;
        assert_true(row.state.last_seqnum - row.first_seqnum < SR_ITEMS_MAX);
        sr_read_chunk(g, uid, &row);
        at = row.state.last_seqnum + 1;
    }
    assert_int_equal(err, IOR_E_NOTFOUND);
    err = catalog_get_small(g->reader, SR_PARTITION, uid, &small);
    if (err == IOR_E_NOTFOUND) return l;
    assert_int_equal(err, IOR_OK);
    assert_int_equal(l.chunks, 0);
    sr_read_small(small, uid, &l);
    return l;
}

static inline bool sr_row(struct sr *g, uint64_t uid, struct stream_row *ret)
{
    enum ior_err err = catalog_get_stream(g->reader, SR_PARTITION, uid, ret);
    if (err == IOR_OK) return true;
    assert_int_equal(err, IOR_E_NOTFOUND);
    return false;
}

/* All that a row promises is there: every event from low to high. */
static inline struct sr_layout sr_check_row(struct sr *g, const struct stream_row *row)
{
    struct sr_layout l = sr_layout(g, row->uid);
    assert_true(ior_slice_eq(row->name, ior_slice_str(sr_name(row->uid))));
    if (row->low > row->high) {
        assert_true(l.last == 0);
        return l;
    }
    assert_true(l.first != 0 && l.first <= row->low && l.last == row->high);
    return l;
}

/* The stream is exactly as it is to be. */
static inline struct sr_layout sr_expect(struct sr *g, struct sr_stream st)
{
    struct stream_row row;
    assert_int_equal(kv_read_begin(g->reader), IOR_OK);
    assert_true(sr_row(g, st.uid, &row));
    assert_true(row.low == st.low && row.high == st.high && row.deleted == st.deleted);
    struct sr_layout l = sr_check_row(g, &row);
    if (l.chunks == 0 && l.first != 0) assert_true(l.first == st.low);
    kv_read_end(g->reader);
    return l;
}

static inline bool sr_count_buried(void *ctx, struct ior_slice path)
{
    assert_true(path.size_bytes > 0);
    ++*(unsigned *)ctx;
    return true;
}

static inline unsigned sr_buried(struct sr *g)
{
    unsigned count = 0;
    assert_int_equal(kv_read_begin(g->reader), IOR_OK);
    assert_int_equal(catalog_each_buried(g->reader, ior_slice(NULL, 0), sr_count_buried, &count),
                     IOR_OK);
    kv_read_end(g->reader);
    return count;
}

static inline enum ior_err sr_count_name(void *ctx, const char *name)
{
    uint64_t first;
    assert_true(chunk_name_parse(name, &first));
    ++*(unsigned *)ctx;
    return IOR_OK;
}

/* Chunk files in the folder of a stream; -1: there is no folder. */
static inline int sr_files(struct sr *g, uint64_t uid)
{
    char folder[DISK_PATH_MAX];
    unsigned count = 0;
    chunk_folder(SR_PARTITION, uid, folder);
    enum ior_err err = disk_list(g->disk, folder, sr_count_name, &count);
    if (err == IOR_E_NOTFOUND) return -1;
    assert_int_equal(err, IOR_OK);
    return (int)count;
}

static inline bool sr_has(struct sr *g, uint64_t uid, uint64_t first)
{
    char path[DISK_PATH_MAX];
    struct disk_file *f = NULL;
    chunk_path(SR_PARTITION, uid, first, path);
    enum ior_err err = disk_open(g->disk, path, DISK_READ, &f);
    if (err == IOR_OK) disk_close(f);
    return err == IOR_OK;
}

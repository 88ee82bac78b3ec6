/* test/unit/store/chunk_rig.h - chunks on a simulated disk whose events say by themselves
 * what they must be: attributes, payload, index and time follow from the seqnum.
 * What cannot be is a failed assertion of the test. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/log.h"
#include "rt/disk_sim.h"
#include "store/chunk_format.h"

#define CR_PARTITION 39u
#define CR_UID 0x1fe2d3c4b5a69788u
enum { CR_FIRST = 5, CR_MAX = 6000 };

static struct disk *cr_disk;
static size_t (*cr_size)(uint64_t seqnum); /* payload bytes of an event */
static struct ior_why cr_why;

static inline size_t cr_size_small(uint64_t seqnum)
{
    return (size_t)(seqnum * 7 % 60);
}

static inline size_t cr_size_mixed(uint64_t seqnum)
{
    if (seqnum % 97 == 0) return 300000 + (size_t)seqnum;
    if (seqnum % 13 == 0) return 20000 + (size_t)seqnum;
    return (size_t)(seqnum * 31 % 400);
}

static inline struct chunk_id cr_id(void)
{
    return (struct chunk_id){.partition = CR_PARTITION,
                             .uid = CR_UID,
                             .first_seqnum = CR_FIRST,
                             .bucket = IOR_SLICE("orders"),
                             .stream = IOR_SLICE("2024")};
}

static inline const char *cr_path(void)
{
    static char path[DISK_PATH_MAX];
    chunk_path(CR_PARTITION, CR_UID, CR_FIRST, path);
    return path;
}

static inline int cr_set_up(void **state)
{
    (void)state;
    cr_disk = disk_sim_new(11);
    cr_size = cr_size_small;
    log_set_fd(-1);
    return 0;
}

static inline int cr_tear_down(void **state)
{
    (void)state;
    assert_int_equal(disk_sim_open_files(cr_disk), 0);
    disk_free(cr_disk);
    return 0;
}

/* ---- events ---- */

static inline uint8_t cr_byte(uint64_t seqnum, size_t at)
{
    return (uint8_t)(seqnum * 31 + at * 7);
}

static inline uint64_t cr_time(uint64_t seqnum)
{
    return 1700000000000u + seqnum * 10;
}

/* Every third event has an attribute. The item is the caller's to free. */
static inline struct chunk_event cr_event(uint64_t seqnum)
{
    size_t n = cr_size(seqnum);
    struct ior_slice type = IOR_SLICE("text/plain");
    size_t attrs = seqnum % 3 == 0 ? attr_bytes(type.size_bytes) : 0;
    uint8_t *payload = malloc(n + 1);
    uint8_t *item = malloc(item_bytes(attrs, n));
    assert_true(payload != NULL && item != NULL);
    for (size_t i = 0; i < n; i++) payload[i] = cr_byte(seqnum, i);
    item_write(item, ITEM_APPEND, 0, attrs, ior_slice(payload, n));
    if (attrs > 0) attr_write(item + ITEM_HEAD_BYTES, ATTR_CONTENT_TYPE, type);
    item_set_place(item, CR_UID, seqnum, 1);
    free(payload);
    return (struct chunk_event){ior_slice(item, item_bytes(attrs, n)), 100 + seqnum / 2,
                                cr_time(seqnum)};
}

static inline void cr_event_free(const struct chunk_event *e)
{
    union {
        const uint8_t *in;
        void *out;
    } cast = {.in = e->item.data};
    free(cast.out);
}

static inline void cr_check(const struct chunk_entry *e, const struct ior_blob *blob,
                            uint64_t seqnum)
{
    assert_true(e->item.seqnum == seqnum && e->item.uid == CR_UID);
    assert_true(e->item.low == 1 || e->item.low == 0); /* 0: of a small stream */
    assert_true(chunk_entry_payload_ok(e));
    assert_int_equal(e->item.op, ITEM_APPEND);
    assert_true(e->index == 100 + seqnum / 2 && e->time_ms == cr_time(seqnum));
    assert_int_equal(e->item.payload.size_bytes, cr_size(seqnum));
    for (size_t i = 0; i < e->item.payload.size_bytes; i++) {
        if (e->item.payload.data[i] != cr_byte(seqnum, i)) fail_msg("wrong byte %zu", i);
    }
    struct ior_slice type = item_attr(&e->item, ATTR_CONTENT_TYPE);
    assert_true((seqnum % 3 == 0) == ior_slice_eq(type, IOR_SLICE("text/plain")));
    assert_true(e->item.attrs.data >= blob->data && e->item.payload.data >= blob->data);
    assert_true(e->item.payload.data + e->item.payload.size_bytes <= blob->data + blob->size_bytes);
    if (e->item.low == 0) return;
    assert_true(e->item.payload.data >= blob->data + e->item.offset_bytes + ITEM_HEAD_BYTES);
    assert_true(ior_get_u64(blob->data + e->item.offset_bytes + 24) == seqnum);
}

/* ---- writing ---- */

static inline struct chunk_writer *cr_create(void)
{
    struct chunk_writer *w = NULL;
    struct chunk_id id = cr_id();
    bool fresh = false;
    assert_int_equal(chunk_create(cr_disk, &id, &w, &fresh), IOR_OK);
    return w;
}

static inline enum ior_err cr_try_resume(const struct chunk_state *state, struct chunk_writer **ret)
{
    struct chunk_id id = cr_id();
    cr_why.text[0] = 0;
    return chunk_resume(cr_disk, &id, state, ret, &cr_why);
}

static inline struct chunk_writer *cr_resume(const struct chunk_state *state)
{
    struct chunk_writer *w = NULL;
    if (cr_try_resume(state, &w) != IOR_OK) fail_msg("%s", cr_why.text);
    return w;
}

/* One chunk_append() of the events first..last. */
static inline enum ior_err cr_append(struct chunk_writer *w, uint64_t first, uint64_t last)
{
    size_t count = (size_t)(last - first + 1);
    struct chunk_event *events = calloc(count, sizeof *events);
    assert_non_null(events);
    for (size_t i = 0; i < count; i++) events[i] = cr_event(first + i);
    enum ior_err err = chunk_append(w, events, count);
    for (size_t i = 0; i < count; i++) cr_event_free(&events[i]);
    free(events);
    return err;
}

/* A chunk of CR_FIRST..last, `batch` events an append, synced; what the catalog keeps of it. */
static inline struct chunk_state cr_make(uint64_t last, size_t batch, bool sealed)
{
    struct chunk_writer *w = cr_create();
    for (uint64_t at = CR_FIRST; at <= last; at += batch) {
        uint64_t to = at + batch - 1 < last ? at + batch - 1 : last;
        assert_int_equal(cr_append(w, at, to), IOR_OK);
    }
    if (sealed) assert_int_equal(chunk_seal(w), IOR_OK);
    assert_int_equal(chunk_sync(w), IOR_OK);
    struct chunk_state state = *chunk_writer_state(w);
    chunk_writer_close(w);
    assert_int_equal(chunk_sync_folders(cr_disk, CR_PARTITION, CR_UID), IOR_OK);
    return state;
}

/* ---- reading ---- */

static inline enum ior_err cr_try_open(const struct chunk_state *state, struct chunk_reader **ret)
{
    cr_why.text[0] = 0;
    return chunk_open(cr_disk, CR_PARTITION, CR_UID, CR_FIRST, state, ret, &cr_why);
}

static inline struct chunk_reader *cr_open(const struct chunk_state *state)
{
    struct chunk_reader *r = NULL;
    if (cr_try_open(state, &r) != IOR_OK) fail_msg("%s", cr_why.text);
    return r;
}

/* Reads once and checks what comes; how many in *ret_count. */
static inline enum ior_err cr_read(struct chunk_reader *r, uint64_t from, size_t max,
                                   size_t *ret_count)
{
    static struct chunk_entry entries[CR_MAX];
    struct ior_blob *blob = NULL;
    assert_true(max <= CR_MAX);
    cr_why.text[0] = 0;
    enum ior_err err = chunk_read(r, from, entries, max, ret_count, &blob, &cr_why);
    if (err != IOR_OK) {
        assert_int_equal(*ret_count, 0);
        assert_null(blob);
        return err;
    }
    assert_true((*ret_count > 0) == (blob != NULL));
    for (size_t i = 0; i < *ret_count; i++) cr_check(&entries[i], blob, from + i);
    ior_blob_unref(blob);
    return IOR_OK;
}

/* Everything from `from` to the end, `max` at once; the last one in *ret_last. */
static inline enum ior_err cr_read_all(struct chunk_reader *r, uint64_t from, size_t max,
                                       uint64_t *ret_last)
{
    size_t n = 0;
    enum ior_err err;
    *ret_last = from - 1;
    while ((err = cr_read(r, from, max, &n)) == IOR_OK && n > 0) {
        from += n;
        *ret_last = from - 1;
    }
    return err;
}

static inline void cr_expect(struct chunk_reader *r, uint64_t from, uint64_t last, size_t max)
{
    uint64_t found = 0;
    if (cr_read_all(r, from, max, &found) != IOR_OK) fail_msg("%s", cr_why.text);
    assert_true(found == last);
}

static inline void cr_expect_state(const struct chunk_state *a, const struct chunk_state *b)
{
    assert_true(a->end_bytes == b->end_bytes && a->last_seqnum == b->last_seqnum);
    assert_true(a->payload_bytes == b->payload_bytes && a->last_index == b->last_index);
    assert_true(a->first_time_ms == b->first_time_ms && a->last_time_ms == b->last_time_ms);
    assert_int_equal(a->sealed, b->sealed);
}

/* ---- bytes ---- */

static inline uint8_t *cr_bytes(const char *path, size_t *ret_bytes)
{
    *ret_bytes = (size_t)disk_sim_size(cr_disk, path);
    uint8_t *bytes = malloc(*ret_bytes + 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < *ret_bytes; i++) bytes[i] = disk_sim_byte(cr_disk, path, i);
    return bytes;
}

/* These bytes at this offset of a file whose folders are there; synced. */
static inline void cr_put_bytes(const char *path, uint64_t offset, const void *bytes, size_t n)
{
    struct disk_file *f = NULL;
    assert_int_equal(disk_open(cr_disk, path, DISK_WRITE | DISK_CREATE, &f), IOR_OK);
    assert_int_equal(disk_write_buf(f, offset, bytes, n), IOR_OK);
    assert_int_equal(disk_sync(f), IOR_OK);
    disk_close(f);
}

/* test/unit/store/fetch_rig.h - a catalog and chunks of the events of chunk_rig.h (one stream,
 * CR_UID), written without a checkpoint, and fetch.h over them. Everything that is read is
 * compared byte for byte. What cannot be is a failed assertion of the test. */
#pragma once

#include "chunk_rig.h"

#include "base/buf.h"
#include "store/fetch.h"
#include "store/small.h"

static struct kv *fr_kv;
static struct fetch *fr;

static inline int fr_set_up(void **state)
{
    cr_set_up(state);
    assert_int_equal(disk_mkdir(cr_disk, "catalog"), IOR_OK);
    assert_int_equal(kv_sim_open(cr_disk, "catalog/kv", &fr_kv, &cr_why), IOR_OK);
    assert_int_equal(fetch_new(cr_disk, fr_kv, &fr), IOR_OK);
    return 0;
}

static inline int fr_tear_down(void **state)
{
    fetch_free(fr);
    kv_close(fr_kv);
    return cr_tear_down(state);
}

/* ---- writing ---- */

static inline struct kv_writer *fr_begin(void)
{
    struct kv_writer *w = NULL;
    assert_int_equal(kv_write_begin(fr_kv, &w), IOR_OK);
    return w;
}

static inline void fr_commit(struct kv_writer *w)
{
    assert_int_equal(kv_write_commit(w), IOR_OK);
}

static inline void fr_put_row(uint64_t first, const struct chunk_state *state)
{
    struct chunk_row row = {first, *state};
    struct kv_writer *w = fr_begin();
    assert_int_equal(catalog_put_chunk(w, CR_PARTITION, CR_UID, &row), IOR_OK);
    fr_commit(w);
}

static inline struct chunk_id fr_id(uint64_t first)
{
    struct chunk_id id = cr_id();
    id.first_seqnum = first;
    return id;
}

static inline struct chunk_state fr_finish(struct chunk_writer *w, bool sealed)
{
    if (sealed) assert_int_equal(chunk_seal(w), IOR_OK);
    assert_int_equal(chunk_sync(w), IOR_OK);
    struct chunk_state state = *chunk_writer_state(w);
    chunk_writer_close(w);
    assert_int_equal(chunk_sync_folders(cr_disk, CR_PARTITION, CR_UID), IOR_OK);
    return state;
}

/* A chunk of first..last, its row too. */
static inline struct chunk_state fr_chunk(uint64_t first, uint64_t last, bool sealed)
{
    struct chunk_id id = fr_id(first);
    struct chunk_writer *w = NULL;
    bool fresh = false;
    assert_int_equal(chunk_create(cr_disk, &id, &w, &fresh), IOR_OK);
    assert_int_equal(cr_append(w, first, last), IOR_OK);
    struct chunk_state state = fr_finish(w, sealed);
    fr_put_row(first, &state);
    return state;
}

/* It goes on up to `last`. */
static inline void fr_grow(uint64_t first, struct chunk_state *state, uint64_t last, bool sealed)
{
    struct chunk_id id = fr_id(first);
    struct chunk_writer *w = NULL;
    enum ior_err err = chunk_resume(cr_disk, &id, state, &w, &cr_why);
    if (err != IOR_OK) fail_msg("%s", cr_why.text);
    if (last > state->last_seqnum)
        assert_int_equal(cr_append(w, state->last_seqnum + 1, last), IOR_OK);
    *state = fr_finish(w, sealed);
    fr_put_row(first, state);
}

/* Events of a small stream, behind those of `w`. */
static inline void fr_add_small(struct small_writer *w, uint64_t first, uint64_t last)
{
    for (uint64_t at = first; at <= last; at++) {
        struct chunk_event e = cr_event(at);
        const struct chunk_entry entry = {e.index, e.time_ms, item_at(e.item, 0)};
        small_add(w, &entry);
        cr_event_free(&e);
    }
    assert_false(ior_buf_failed(w->out));
}

/* The value of a small stream. */
static inline void fr_entries(struct ior_buf *out, uint64_t first, uint64_t last)
{
    struct small_writer w = {.out = out};
    fr_add_small(&w, first, last);
}

static inline void fr_put_small(uint64_t uid, struct ior_slice entries)
{
    struct kv_writer *w = fr_begin();
    assert_int_equal(catalog_put_small(w, CR_PARTITION, uid, entries), IOR_OK);
    fr_commit(w);
}

static inline void fr_small(uint64_t first, uint64_t last)
{
    struct ior_buf entries = {0};
    fr_entries(&entries, first, last);
    fr_put_small(CR_UID, ior_buf_slice(&entries));
    ior_buf_done(&entries);
}

/* ---- reading ---- */

static struct chunk_entry fr_out[CR_MAX];

/* Reads once; what comes is right, and after an error there is a reason and nothing else. */
static inline enum ior_err fr_read(uint64_t from, size_t max, size_t *ret_count)
{
    struct ior_blob *blob = NULL;
    size_t count = 12345;
    assert_true(max <= CR_MAX);
    cr_why.text[0] = 0;
    enum ior_err err =
        fetch_events(fr, CR_PARTITION, CR_UID, from, fr_out, max, &count, &blob, &cr_why);
    if (err != IOR_OK) {
        assert_null(blob);
        assert_int_equal(count, 12345);
        assert_int_not_equal(cr_why.text[0], 0);
        *ret_count = 0;
        return err;
    }
    assert_non_null(blob);
    assert_in_range(count, 1, max);
    for (size_t i = 0; i < count; i++) cr_check(&fr_out[i], blob, from + i);
    ior_blob_unref(blob);
    *ret_count = count;
    return IOR_OK;
}

/* Exactly so many come. */
static inline void fr_expect(uint64_t from, size_t max, size_t count)
{
    size_t n = 0;
    if (fr_read(from, max, &n) != IOR_OK) fail_msg("%s", cr_why.text);
    assert_int_equal(n, count);
}

static inline void fr_expect_none(uint64_t from)
{
    size_t n = 0;
    assert_int_equal(fr_read(from, 10, &n), IOR_E_NOTFOUND);
}

/* test/unit/core/saved.h - what tests about saved streams ask of a rig: batches, trims, streams
 * that leave memory. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/checkpoint.h"
#include "expect.h"

/* Every stream that may leave memory does. */
static inline void evict(struct rig *r)
{
    for (uint32_t i = 0; i < r->params.ring_size; i++)
        stream_table_sweep(&r->node->vnodes[i].streams, UINT64_MAX, 100000);
}

/* NULL: not in memory. */
static inline struct stream *in_memory(struct rig *r, const char *bucket, const char *stream)
{
    uint64_t hash = 0;
    struct vnode *vn = node_route(r->node, ior_slice_str(bucket), ior_slice_str(stream), &hash);
    return stream_find(&vn->streams, ior_slice_str(bucket), ior_slice_str(stream), hash);
}

static inline void checkpoint_ok(struct rig *r)
{
    assert_int_equal(rig_checkpoint(r), IOR_OK);
}

static inline void on_saved_done(struct append *a)
{
    ++*(unsigned *)a->user_ptr;
}

/* So many events of so many bytes (the letter `fill`; binary unless json), one record. A key: NULL
 * is none. The last id, or the error as a negative number. */
static inline int64_t put_batch(struct rig *r, const char *bucket, const char *stream,
                                size_t events, size_t size, char fill, const char *key)
{
    struct append *a = NULL;
    unsigned done = 0;
    char *text = malloc(size + 1);
    struct event_in *in = calloc(events, sizeof *in);
    assert_non_null(text);
    assert_non_null(in);
    memset(text, fill, size);
    for (size_t i = 0; i < events; i++) in[i] = (struct event_in){ior_slice(text, size), false};
    assert_int_equal(append_new(ior_slice_str(bucket), ior_slice_str(stream), in, events,
                                key == NULL ? ior_slice(NULL, 0) : ior_slice_str(key), &a),
                     IOR_OK);
    free(in);
    free(text);
    a->user_ptr = &done;
    enum ior_err err = iorio_append(r->node, a, on_saved_done);
    if (err == IOR_OK) {
        rig_settle(r);
        assert_int_equal(done, 1);
        err = a->err;
    }
    const int64_t result = err == IOR_OK ? (int64_t)a->last_id : -(int64_t)err;
    append_free(a);
    return result;
}

static inline void on_trimmed(struct trim *t)
{
    t->user[0]++;
}

/* The caller settles, and frees it. */
static inline struct trim *trim_submit(struct rig *r, const char *bucket, const char *stream,
                                       uint64_t to, bool all)
{
    struct trim *t = NULL;
    assert_int_equal(trim_new(ior_slice_str(bucket), ior_slice_str(stream), &t), IOR_OK);
    t->to = to;
    t->all = all;
    assert_int_equal(iorio_trim(r->node, t, on_trimmed), IOR_OK);
    return t;
}

/* OK, and this is what is left. */
static inline void expect_trimmed(struct trim *t, uint64_t low, uint64_t high)
{
    assert_int_equal(t->user[0], 1);
    assert_int_equal(t->err, IOR_OK);
    assert_int_equal(t->low, low);
    assert_int_equal(t->high, high);
    trim_free(t);
}

static inline void trim_to(struct rig *r, const char *bucket, const char *stream, uint64_t to)
{
    struct trim *t = trim_submit(r, bucket, stream, to, false);
    rig_settle(r);
    assert_int_equal(t->user[0], 1);
    assert_int_equal(t->err, IOR_OK);
    trim_free(t);
}

static inline void delete_all(struct rig *r, const char *bucket, const char *stream)
{
    struct trim *t = trim_submit(r, bucket, stream, 0, true);
    rig_settle(r);
    assert_int_equal(t->user[0], 1);
    assert_int_equal(t->err, IOR_OK);
    trim_free(t);
}

/* The row that a list shows: low, high, bytes. False: it is not listed. */
static inline bool listed(struct rig *r, const char *bucket, const char *stream,
                          struct list_name *ret)
{
    struct list *l = NULL;
    assert_int_equal(list_new(&l), IOR_OK);
    ior_buf_add_str(&l->bucket, bucket);
    ior_buf_add_str(&l->prefix, stream);
    l->exact = true;
    rig_list(r, l);
    assert_int_equal(l->err, IOR_OK);
    const bool found = l->count == 1;
    if (found) *ret = l->rows[0];
    list_free(l);
    return found;
}

static inline void dump_of(struct rig *r, struct ior_buf *out)
{
    ior_buf_init(out);
    rig_dump(r, out);
    ior_buf_add_char(out, 0);
}

/* The node shows the very same as before. Frees `before`. */
static inline void expect_same(struct rig *r, struct ior_buf *before)
{
    struct ior_buf now;
    dump_of(r, &now);
    if (now.size_bytes < 20000) /* else the message would be too long */
        assert_string_equal((const char *)now.data, (const char *)before->data);
    assert_int_equal(now.size_bytes, before->size_bytes);
    assert_memory_equal(now.data, before->data, now.size_bytes);
    ior_buf_done(&now);
    ior_buf_done(before);
}

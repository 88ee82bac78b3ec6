/* test/unit/core/sweep_rig.h - policies, sweeps and previews on a node that a test drives. */
#pragma once

#include "core/preview.h"
#include "core/sweep.h"
#include "expect.h"

/* The rig's own clock is before CUTOFF_EPOCH_MS: nothing gets old there. */
#define SR_WALL_MS 1700000000000u

static inline struct retention sr_parse(const char *json, bool of_stream)
{
    struct retention r = {0};
    struct retention_problem problem;
    assert_int_equal(retention_parse(ior_slice_str(json), of_stream, &r, &problem), IOR_OK);
    return r;
}

static inline void sr_done(struct retention_change *c)
{
    c->user[0]++;
}

/* json NULL: remove it. stream "": of the bucket. */
static inline void sr_set(struct rig *r, const char *bucket, const char *stream, const char *json)
{
    struct retention policy = {0};
    struct retention_change *c = NULL;
    if (json != NULL) policy = sr_parse(json, stream[0] != 0);
    assert_int_equal(retention_change_new(ior_slice_str(bucket), ior_slice_str(stream),
                                          json == NULL ? NULL : &policy, &c),
                     IOR_OK);
    assert_int_equal(iorio_retention_change(r->node, c, sr_done), IOR_OK);
    rig_settle(r);
    assert_int_equal(c->user[0], 1);
    assert_int_equal(c->err, IOR_OK);
    retention_change_free(c);
}

/* A whole sweep, by the clocks as they stand. */
static inline void sr_sweep(struct rig *r)
{
    node_cutoff_tick(r->node);
    sweep_start(r->node->sweep);
    rig_settle(r);
    assert_true(sweep_rests(r->node->sweep));
    assert_int_equal(atomic_load(&r->node->surveys), 0);
    assert_int_equal(atomic_load(&r->node->inflight_bytes), 0);
}

/* Time passes for both clocks. */
static inline void sr_pass(struct rig *r, uint64_t ms)
{
    r->wall_ms += ms;
    r->mono_us += ms * 1000;
}

/* So many events of so many bytes of payload (2 at least), one record each. */
static inline void sr_fill(struct rig *r, const char *bucket, const char *stream, unsigned count,
                           size_t bytes)
{
    char json[8192];
    assert_true(bytes >= 2 && bytes < sizeof json);
    memset(json, 'x', bytes);
    json[0] = json[bytes - 1] = '"';
    json[bytes] = 0;
    for (unsigned i = 0; i < count; i++) rig_put(r, bucket, stream, json);
}

static inline void sr_range(struct rig *r, const char *bucket, const char *stream, uint64_t *low,
                            uint64_t *high)
{
    struct read *rd = rig_read_new(bucket, stream);
    rd->as_it_is = true; /* a read would have it evicted */
    rd->how = READ_LAST;
    rd->limit = 1;
    rig_read(r, rd);
    assert_int_equal(rd->err, IOR_OK);
    *low = rd->low;
    *high = rd->high;
    read_free(rd);
}

static inline void sr_expect(struct rig *r, const char *bucket, const char *stream, uint64_t low,
                             uint64_t high)
{
    uint64_t l = 0;
    uint64_t h = 0;
    sr_range(r, bucket, stream, &l, &h);
    assert_int_equal(l, low);
    assert_int_equal(h, high);
}

/* All streams leave memory; everything is in the catalog. */
static inline void sr_cool(struct rig *r)
{
    assert_int_equal(rig_checkpoint(r), IOR_OK);
    rig_close(r);
    rig_open(r);
    node_cutoff_tick(r->node);
    assert_int_equal(atomic_load(&r->node->memory.streams), 0);
}

static inline void sr_previewed(struct preview *p)
{
    p->user[0]++;
}

struct sr_preview {
    uint64_t streams, events, bytes;
};

/* json NULL: what holds now. */
static inline struct sr_preview sr_preview(struct rig *r, const char *bucket, const char *stream,
                                           const char *json)
{
    struct preview *p = NULL;
    assert_int_equal(preview_new(ior_slice_str(bucket), ior_slice_str(stream), &p), IOR_OK);
    p->present = json == NULL;
    if (json != NULL) p->policy = sr_parse(json, stream[0] != 0);
    node_cutoff_tick(r->node);
    assert_int_equal(iorio_preview(r->node, p, sr_previewed), IOR_OK);
    assert_int_equal(p->user[0], 0); /* never inside the call */
    rig_settle(r);
    assert_int_equal(p->user[0], 1);
    assert_int_equal(p->err, IOR_OK);
    assert_int_equal(atomic_load(&r->node->surveys), 0);
    assert_int_equal(atomic_load(&r->node->previews), 0);
    struct sr_preview out = {p->streams, p->events, p->bytes};
    preview_free(p);
    return out;
}

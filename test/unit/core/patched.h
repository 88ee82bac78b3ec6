/* test/unit/core/patched.h - what tests about patches ask of a rig. */
#pragma once

#include "core/patch.h"
#include "saved.h"

/* A patch and what became of it: p.a is the append. */
static inline void patch_make(struct rig *r, struct rig_post *p, const char *bucket,
                              const char *stream, const char *text, size_t text_bytes)
{
    struct json_patch_fault fault;
    *p = (struct rig_post){.rig = r};
    enum ior_err err = patch_new(ior_slice_str(bucket), ior_slice_str(stream),
                                 ior_slice(text, text_bytes), &p->a, &fault);
    if (err != IOR_OK) fail_msg("%s: %s", text, fault.why.text);
}

static inline void patch_submit(struct rig *r, struct rig_post *p, const char *bucket,
                                const char *stream, const char *text)
{
    patch_make(r, p, bucket, stream, text, strlen(text));
    rig_post_submit(p);
}

/* Patch and settle: the id, or the error as a negative number. */
static inline int64_t patch_now(struct rig *r, const char *bucket, const char *stream,
                                const char *text)
{
    struct rig_post p;
    patch_submit(r, &p, bucket, stream, text);
    rig_settle(r);
    return outcome(&p);
}

#define PATCH_SET_N(n) "[{\"op\":\"replace\",\"path\":\"/n\",\"value\":" n "}]"

/* A document too large for the strand: {"n":N,"pad":"ppp..."}. The caller frees it. */
static inline char *large_document(unsigned n, size_t pad_bytes)
{
    char *text = malloc(pad_bytes + 64);
    assert_non_null(text);
    int at = snprintf(text, 64, "{\"n\":%u,\"pad\":\"", n);
    memset(text + at, 'p', pad_bytes);
    snprintf(text + at + pad_bytes, 4, "\"}");
    return text;
}

/* The text of event `id`; the caller frees it. */
static inline char *event_text(struct rig *r, const char *bucket, const char *stream, uint64_t id)
{
    struct read *rd = rig_read_new(bucket, stream);
    rd->how = READ_FROM_ID;
    rd->from = id;
    rig_read(r, rd);
    assert_int_equal(rd->err, IOR_OK);
    assert_int_equal(rd->count, 1);
    assert_int_equal(rd->events[0].id, id);
    char *text =
        strndup((const char *)rd->events[0].payload.data, rd->events[0].payload.size_bytes);
    assert_non_null(text);
    read_free(rd);
    return text;
}

/* N of a document {"n":N... */
static inline unsigned number_in(struct rig *r, const char *stream, uint64_t id)
{
    char *text = event_text(r, "b", stream, id);
    unsigned n = 0;
    assert_int_equal(sscanf(text, "{\"n\":%u", &n), 1);
    free(text);
    return n;
}

/* test/unit/core/expect.h - what the tests of core ask of a rig, with cmocka's assertions. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rig.h"

/* Frees the append. The last id, or what went wrong as a negative number. */
static inline int64_t outcome(struct rig_post *p)
{
    assert_int_equal(p->submitted, IOR_OK);
    assert_int_not_equal(p->done, 0);
    const int64_t result = p->a->err == IOR_OK ? (int64_t)p->a->last_id : -(int64_t)p->a->err;
    rig_post_free(p);
    return result;
}

static inline uint64_t high_of(struct rig *r, const char *bucket, const char *stream)
{
    struct read *rd = rig_read_new(bucket, stream);
    rig_read(r, rd);
    const uint64_t high = rd->high;
    read_free(rd);
    return high;
}

/* Everything that the node shows; see rig_dump(). */
static inline void expect_dump(struct rig *r, const char *want)
{
    struct ior_buf out;
    ior_buf_init(&out);
    rig_dump(r, &out);
    ior_buf_add_char(&out, 0);
    assert_string_equal((const char *)out.data, want);
    ior_buf_done(&out);
}

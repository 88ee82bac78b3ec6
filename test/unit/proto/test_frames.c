/* test/unit/proto/test_frames.c - counting the frames of HTTP/2: bodies under way, what ends them,
 * and that pieces change nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "proto/http/frames.h"

enum { DATA = 0, HEADERS = 1, PRIORITY = 2, RST = 3, SETTINGS = 4, PING = 6, CONTINUATION = 9 };
enum { END = 1, BODY_MAX = 1000 };

static void preface(struct ior_buf *b)
{
    ior_buf_init(b);
    ior_buf_add_str(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
}

static void add(struct ior_buf *b, int type, int flags, uint32_t id, size_t size_bytes)
{
    const uint8_t head[9] = {(uint8_t)(size_bytes >> 16),
                             (uint8_t)(size_bytes >> 8),
                             (uint8_t)size_bytes,
                             (uint8_t)type,
                             (uint8_t)flags,
                             (uint8_t)(id >> 24),
                             (uint8_t)(id >> 16),
                             (uint8_t)(id >> 8),
                             (uint8_t)id};
    ior_buf_add(b, head, sizeof head);
    for (size_t i = 0; i < size_bytes; i++) ior_buf_add_char(b, 'x');
}

/* In pieces of `step` bytes. */
static bool take(struct frames *f, const struct ior_buf *b, size_t step)
{
    frames_init(f);
    for (size_t at = 0; at < b->size_bytes; at += step) {
        size_t n = b->size_bytes - at < step ? b->size_bytes - at : step;
        if (!frames_take(f, b->data + at, n, BODY_MAX)) return false;
    }
    return true;
}

static void expect(const struct ior_buf *b, uint64_t body, unsigned streams, uint64_t busy,
                   uint64_t idle)
{
    static const size_t steps[] = {1, 2, 3, 7, 9, 10, 100, 100000};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct frames f;
        assert_true(take(&f, b, steps[i]));
        assert_int_equal(f.body_bytes, body);
        assert_int_equal(f.stream_count, streams);
        assert_int_equal(f.body_frames, busy);
        assert_int_equal(f.idle_frames, idle);
    }
}

/* What: a body counts from its HEADERS to its end, or to the reset of its stream. */
static void bodies(void **state)
{
    (void)state;
    struct ior_buf b;
    preface(&b);
    expect(&b, 0, 0, 0, 0);
    add(&b, SETTINGS, 0, 0, 18);
    add(&b, HEADERS, END, 1, 30); /* no body */
    add(&b, HEADERS, 0, 3, 30);
    add(&b, HEADERS, 0, 5, 30);
    add(&b, DATA, 0, 3, 100);
    add(&b, DATA, 0, 5, 200);
    add(&b, DATA, 0, 3, 1);
    expect(&b, 301, 2, 6, 1);
    add(&b, DATA, END, 3, 50);
    expect(&b, 200, 1, 7, 1);
    add(&b, RST, 0, 5, 4);
    expect(&b, 0, 0, 7, 2);
    add(&b, DATA, 0, 5, 500); /* of a stream that is not known: h2o refuses it */
    add(&b, HEADERS, END, 3, 5);
    expect(&b, 0, 0, 9, 2);
    ior_buf_done(&b);
}

/* What: trailers end a body; a body that grew too large is forgotten; empty frames are idle ones.
 */
static void ends(void **state)
{
    (void)state;
    struct ior_buf b;
    preface(&b);
    add(&b, HEADERS, 0, 1, 9);
    add(&b, DATA, 0, 1, BODY_MAX);
    expect(&b, BODY_MAX, 1, 2, 0);
    add(&b, HEADERS, END, 1, 9);
    expect(&b, 0, 0, 3, 0);
    add(&b, HEADERS, 0, 3, 9);
    add(&b, DATA, 0, 3, BODY_MAX);
    add(&b, DATA, 0, 3, 1);
    expect(&b, 0, 0, 6, 0);
    add(&b, HEADERS, 0, 5, 9);
    for (int i = 0; i < 10; i++) add(&b, DATA, 0, 5, 0);
    add(&b, CONTINUATION, 0, 5, 0);
    add(&b, PING, 0, 0, 8);
    add(&b, PRIORITY, 0, 7, 5);
    expect(&b, 0, 1, 7, 13);
    ior_buf_done(&b);
}

/* What: more bodies at a time than a good client may have. */
static void too_many(void **state)
{
    (void)state;
    struct frames f;
    struct ior_buf b;
    preface(&b);
    for (uint32_t i = 0; i < FRAMES_STREAMS_MAX; i++) add(&b, HEADERS, 0, 2 * i + 1, 3);
    assert_true(take(&f, &b, 1000));
    add(&b, HEADERS, 0, 1, 3); /* the same again is no other one */
    assert_true(take(&f, &b, 1000));
    add(&b, HEADERS, 0, 1001, 3);
    assert_false(take(&f, &b, 1000));
    ior_buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies),
        cmocka_unit_test(ends),
        cmocka_unit_test(too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

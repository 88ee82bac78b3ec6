/* test/unit/proto/test_guard.c - the framing of requests: what passes, what is refused with which
 * status, and that the pieces in which bytes come change nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/limits.h"
#include "proto/http/guard.h"

enum { HEAD_MAX = 1000 };
#define GET "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST "POST /a HTTP/1.1\r\nHost: a\r\n"
#define BODY_MAX 1000

struct outcome {
    enum guard_verdict verdict;
    struct guard_head head;
    const struct guard_fault *fault;
};

/* Everything up to each byte of `ends`, in blocks of exactly that size. */
static struct outcome scan(struct ior_slice text, size_t step)
{
    struct outcome o = {.verdict = GUARD_MORE};
    for (size_t n = step; o.verdict == GUARD_MORE; n += step) {
        if (n > text.size_bytes) n = text.size_bytes;
        uint8_t *copy = malloc(n);
        assert_non_null(copy);
        memcpy(copy, text.data, n);
        o.verdict = guard_head(&o.head, copy, n, HEAD_MAX, &o.fault);
        free(copy);
        if (n == text.size_bytes) break;
    }
    return o;
}

static void expect_status(const char *text, size_t size_bytes, int status)
{
    for (size_t step = 1; step <= size_bytes; step++) {
        struct outcome o = scan(ior_slice(text, size_bytes), step);
        if (o.verdict != GUARD_BAD) print_error("passed (step %zu): %s\n", step, text);
        assert_int_equal(o.verdict, GUARD_BAD);
        assert_int_equal(ior_err_http(o.fault->err), status);
    }
}
#define REFUSED(text, status) expect_status(text, sizeof(text) - 1, status)

static void expect_good(const char *text, size_t size_bytes, enum guard_body body, uint64_t length)
{
    for (size_t step = 1; step <= size_bytes; step++) {
        struct outcome o = scan(ior_slice(text, size_bytes), step);
        if (o.verdict != GUARD_OK)
            print_error("refused (step %zu): %s: %s\n", step, text,
                        o.fault == NULL ? "more" : ior_err_name(o.fault->err));
        assert_int_equal(o.verdict, GUARD_OK);
        assert_int_equal(o.head.line, size_bytes);
        assert_int_equal(o.head.body, body);
        assert_int_equal(o.head.length, length);
    }
}
#define GOOD(text, body, length) expect_good(text, sizeof(text) - 1, body, length)

/* What: what clients send every day passes, whatever pieces it comes in. */
static void usual_heads_pass(void **state)
{
    (void)state;
    GOOD(GET "\r\n", GUARD_NO_BODY, 0);
    GOOD("\r\n" GET "\r\n", GUARD_NO_BODY, 0);
    GOOD("GET / HTTP/1.0\r\n\r\n", GUARD_NO_BODY, 0);
    GOOD("GET / HTTP/1.0\r\nHost: a\r\n\r\n", GUARD_NO_BODY, 0);
    GOOD("GET /%7e?a=b&c=\xc3\xa9 HTTP/1.1\r\nhOST:a:8080\r\n\r\n", GUARD_NO_BODY, 0);
    GOOD("GET / HTTP/1.1\r\nHost:\r\n\r\n", GUARD_NO_BODY, 0);
    GOOD("GET / HTTP/1.1\r\nHost: [::1]:80 \t\r\n\r\n", GUARD_NO_BODY, 0);
    GOOD("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", GUARD_NO_BODY, 0);
    GOOD("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", GUARD_NO_BODY, 0);
    GOOD("GET http://a:1/b?c HTTP/1.1\r\nHost: a\r\n\r\n", GUARD_NO_BODY, 0);
    GOOD("GET HTTPS://a HTTP/1.1\r\nHost: a\r\n\r\n", GUARD_NO_BODY, 0);
    GOOD(POST "Content-Length: 0\r\n\r\n", GUARD_LENGTH, 0);
    GOOD(POST "content-length:\t12345678\r\nX: y\r\n\r\n", GUARD_LENGTH, 12345678);
    GOOD(POST "Transfer-Encoding: CHUNKED\r\n\r\n", GUARD_CHUNKED, 0);
    GOOD(GET "X:\r\nY: \xff\x80\tz\r\n!#$%&'*+-.^_`|~09azAZ: 1\r\n\r\n", GUARD_NO_BODY, 0);
}

/* What: a number of any length is above every limit and wraps nowhere. */
static void large_lengths(void **state)
{
    (void)state;
    static const char text[] = POST "Content-Length: 99999999999999999999999999999999\r\n\r\n";
    struct outcome o = scan(IOR_SLICE(text), sizeof text);
    assert_int_equal(o.verdict, GUARD_OK);
    assert_true(o.head.length > UINT64_C(1) << 56);
    static const char wraps[] = POST "Content-Length: 18446744073709551617\r\n\r\n";
    o = scan(IOR_SLICE(wraps), sizeof wraps);
    assert_true(o.head.length > UINT64_C(1) << 56);
}

/* What: a request line that is not METHOD TARGET HTTP/1.x. */
static void bad_request_lines(void **state)
{
    (void)state;
    REFUSED("GET / HTTP/9.9\r\n", 505);
    REFUSED("PRI * HTTP/2.0\r\n", 505);
    REFUSED("GET / HTTP/0.9\r\n", 505);
    REFUSED("GET / HTTP/1.2\r\n", 505);
    REFUSED("GET /\r\n", 400);
    REFUSED("GET\r\n", 400);
    REFUSED(" / HTTP/1.1\r\n", 400);
    REFUSED("GET  / HTTP/1.1\r\n", 400);
    REFUSED("GET /  HTTP/1.1\r\n", 400);
    REFUSED("GET / HTTP/1.1 \r\n", 400);
    REFUSED("GET / http/1.1\r\n", 400);
    REFUSED("GET / HTTP/1.10\r\n", 400);
    REFUSED("GET / HTTP/11\r\n", 400);
    REFUSED("G(T / HTTP/1.1\r\n", 400);
    REFUSED("GET /a b HTTP/1.1\r\n", 400);
    REFUSED("GET /\x01 HTTP/1.1\r\n", 400);
    REFUSED("GET /\x7f HTTP/1.1\r\n", 400);
    REFUSED("GET /\rb HTTP/1.1\r\n", 400);
    REFUSED("GET nope HTTP/1.1\r\n", 400);
    REFUSED("GET ftp://a/ HTTP/1.1\r\n", 400);
    REFUSED("GET http:/// HTTP/1.1\r\n", 400);
    REFUSED("GET http://me@a/ HTTP/1.1\r\n", 400);
    REFUSED("GET http:// HTTP/1.1\r\n", 400);
    REFUSED("CONNECT / b HTTP/1.1\r\n", 400);
    REFUSED("\r\n\r\n", 400);
    REFUSED("\x16\x03\x01", 400);
    REFUSED("\0", 400);
}

/* What: line ends and folded lines that programs read in different ways. */
static void bad_lines(void **state)
{
    (void)state;
    REFUSED("GET / HTTP/1.1\n", 400);
    REFUSED("\nGET / HTTP/1.1\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\nHost: a\n", 400);
    REFUSED(GET "\n", 400);
    REFUSED(GET "X: a\r\n b\r\n\r\n", 400);
    REFUSED(GET "X: a\r\n\tb\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400);
    REFUSED(GET "X: a\rb\r\n\r\n", 400);
    REFUSED(GET "X: a\r\r\n\r\n", 400);
    REFUSED(GET "X: a\0b\r\n\r\n", 400);
    REFUSED(GET "X: 12345678\x01"
                "9012345678\r\n\r\n",
            400);
    REFUSED(GET "X: 123456789012345\x7f\r\n\r\n", 400);
    REFUSED(GET "X : a\r\n\r\n", 400);
    REFUSED(GET ": a\r\n\r\n", 400);
    REFUSED(GET "X\r\n\r\n", 400);
    REFUSED(GET "X\xc3\xa9: a\r\n\r\n", 400);
    REFUSED(GET "(X): a\r\n\r\n", 400);
}

/* What: the headers that say where a request ends and for whom it is. */
static void bad_framing(void **state)
{
    (void)state;
    REFUSED("GET / HTTP/1.1\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\nX: a\r\n\r\n", 400);
    REFUSED(GET "Host: a\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400);
    REFUSED("GET / HTTP/1.1\r\nHost: me@a\r\n\r\n", 400);
    REFUSED(POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400);
    REFUSED(POST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400);
    REFUSED(POST "Content-Length: 1, 1\r\n\r\n", 400);
    REFUSED(POST "Content-Length: +1\r\n\r\n", 400);
    REFUSED(POST "Content-Length: -1\r\n\r\n", 400);
    REFUSED(POST "Content-Length: 0x1\r\n\r\n", 400);
    REFUSED(POST "Content-Length: 1 \r\n\r\n", 400);
    REFUSED(POST "Content-Length:\r\n\r\n", 400);
    REFUSED(POST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
    REFUSED(POST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400);
    REFUSED(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
    REFUSED(POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 400);
    REFUSED(POST "Transfer-Encoding: identity\r\n\r\n", 400);
    REFUSED(POST "Transfer-Encoding: xchunked\r\n\r\n", 400);
    REFUSED(POST "Transfer-Encoding:\r\n\r\n", 400);
    REFUSED("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
}

/* What: a head may have HEAD_MAX bytes and HTTP_HEADERS_MAX headers, not one more; one that never
 * ends is refused as soon as it is too long. */
static void sizes(void **state)
{
    (void)state;
    char text[2 * HEAD_MAX];
    for (int extra = 0; extra < 2; extra++) {
        int n = snprintf(text, sizeof text, GET "X: %0*d\r\n\r\n",
                         (int)(HEAD_MAX - (sizeof GET - 1) - 7 + (size_t)extra), 0);
        assert_int_equal(n, HEAD_MAX + extra);
        for (size_t step = 1; step < (size_t)n; step += 97) {
            struct outcome o = scan(ior_slice(text, (size_t)n), step);
            assert_int_equal(o.verdict, extra ? GUARD_BAD : GUARD_OK);
            if (extra) assert_int_equal(ior_err_http(o.fault->err), 431);
        }
    }
    memset(text, 'a', sizeof text);
    struct outcome o = scan(ior_slice(text, HEAD_MAX), 1);
    assert_int_equal(o.verdict, GUARD_MORE);
    o = scan(ior_slice(text, HEAD_MAX + 1), 1);
    assert_int_equal(ior_err_http(o.fault->err), 431);
    for (int count = HTTP_HEADERS_MAX; count <= HTTP_HEADERS_MAX + 1; count++) {
        size_t at = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.0\r\n");
        for (int i = 0; i < count; i++)
            at += (size_t)snprintf(text + at, sizeof text - at, "a:\r\n");
        at += (size_t)snprintf(text + at, sizeof text - at, "\r\n");
        o = scan(ior_slice(text, at), at);
        assert_int_equal(o.verdict, count > HTTP_HEADERS_MAX ? GUARD_BAD : GUARD_OK);
        if (count > HTTP_HEADERS_MAX) assert_int_equal(ior_err_http(o.fault->err), 431);
    }
}

/* ---- chunks ---- */

struct chunks_outcome {
    enum guard_verdict verdict;
    size_t used;
    uint64_t announced;
    const struct guard_fault *fault;
};

static struct chunks_outcome scan_chunks(struct ior_slice text, size_t step)
{
    struct chunks_outcome o = {.verdict = GUARD_MORE};
    struct guard_chunks c = {0};
    while (o.verdict == GUARD_MORE && o.used < text.size_bytes) {
        size_t n = text.size_bytes - o.used < step ? text.size_bytes - o.used : step;
        uint8_t *copy = malloc(n);
        size_t used = 0;
        assert_non_null(copy);
        memcpy(copy, text.data + o.used, n);
        o.verdict = guard_chunks(&c, copy, n, BODY_MAX, &used, &o.fault);
        free(copy);
        if (o.verdict == GUARD_BAD) break;
        assert_true(o.verdict == GUARD_OK || used == n);
        o.used += used;
    }
    o.announced = c.announced;
    return o;
}

static void expect_chunks(const char *text, size_t size_bytes, size_t body_bytes)
{
    struct ior_buf more;
    ior_buf_init(&more);
    ior_buf_add_str(&more, text);
    ior_buf_add_str(&more, "GET / HTTP/1.1"); /* belongs to the next request */
    for (size_t step = 1; step <= more.size_bytes; step++) {
        struct chunks_outcome o = scan_chunks(ior_buf_slice(&more), step);
        assert_int_equal(o.verdict, GUARD_OK);
        assert_int_equal(o.used, size_bytes);
        assert_int_equal(o.announced, body_bytes);
    }
    ior_buf_done(&more);
}
#define CHUNKS(text, body_bytes) expect_chunks(text, sizeof(text) - 1, body_bytes)

static void expect_bad_chunks(const char *text, size_t size_bytes, int status)
{
    for (size_t step = 1; step <= size_bytes; step++) {
        struct chunks_outcome o = scan_chunks(ior_slice(text, size_bytes), step);
        if (o.verdict != GUARD_BAD) print_error("passed (step %zu): %s\n", step, text);
        assert_int_equal(o.verdict, GUARD_BAD);
        assert_int_equal(ior_err_http(o.fault->err), status);
    }
}
#define BAD_CHUNKS(text, status) expect_bad_chunks(text, sizeof(text) - 1, status)

/* What: bodies in chunks end where they say, with extensions and trailers too. */
static void good_chunks(void **state)
{
    (void)state;
    CHUNKS("0\r\n\r\n", 0);
    CHUNKS("5\r\nhello\r\n0\r\n\r\n", 5);
    CHUNKS("1\r\n\n\r\n2\r\n\r\n\r\n00A\r\n0123456789\r\n0\r\n\r\n", 13);
    CHUNKS("3;a=b;c=\"d\"\r\nabc\r\n0 ;x\r\n\r\n", 3);
    CHUNKS("0\r\nX: y\r\nz:\r\n\r\n", 0);
}

/* What: a body in chunks that another program might end elsewhere. */
static void bad_chunks(void **state)
{
    (void)state;
    BAD_CHUNKS("\r\n", 400);
    BAD_CHUNKS("g\r\n", 400);
    BAD_CHUNKS("-1\r\n", 400);
    BAD_CHUNKS("0x1\r\n", 400);
    BAD_CHUNKS(" 1\r\n", 400);
    BAD_CHUNKS("1\n", 400);
    BAD_CHUNKS("1;a\n", 400);
    BAD_CHUNKS("1\rx", 400);
    BAD_CHUNKS("1\r\nab", 400);
    BAD_CHUNKS("1\r\na\n", 400);
    BAD_CHUNKS("1\r\na\r\r", 400);
    BAD_CHUNKS("0\r\n\n", 400);
    BAD_CHUNKS("0\r\n\r\r", 400);
    BAD_CHUNKS("0\r\nX: a\n", 400);
    BAD_CHUNKS("0\r\n X: a\r\n", 400);
    BAD_CHUNKS("0\r\nX: a\rb", 400);
    BAD_CHUNKS("00000000000000000\r\n", 400);
    BAD_CHUNKS("3E9\r\n", 413);
    BAD_CHUNKS("FFFFFFFFFFFFFFF\r\n", 413);
    BAD_CHUNKS("1\r\na\r\n3E8\r\n", 413);
    char text[HTTP_CHUNK_EXTRA_BYTES_MAX + 100];
    memset(text, 'a', sizeof text);
    text[1] = ';';
    struct chunks_outcome o = scan_chunks(ior_slice(text, sizeof text), sizeof text);
    assert_int_equal(o.verdict, GUARD_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usual_heads_pass),  cmocka_unit_test(large_lengths),
        cmocka_unit_test(bad_request_lines), cmocka_unit_test(bad_lines),
        cmocka_unit_test(bad_framing),       cmocka_unit_test(sizes),
        cmocka_unit_test(good_chunks),       cmocka_unit_test(bad_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

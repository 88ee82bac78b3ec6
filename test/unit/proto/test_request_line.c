/* test/unit/proto/test_request_line.c - lines of the request log: what is left out, and that a line
 * stays one line of its kind whatever was asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/json.h"
#include "base/limits.h"
#include "proto/http/request_line.h"

static void expect_target(const char *target, const char *wanted)
{
    struct ior_buf out;
    ior_buf_init(&out);
    request_line_target(&out, ior_slice_str(target));
    ior_buf_add_char(&out, 0);
    assert_string_equal((const char *)out.data, wanted);
    ior_buf_done(&out);
}

/* What: the value of jwt= is never shown, however its name is written; the rest is. */
static void secrets_are_left_out(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"/ping", "/ping"},
        {"/ping?", "/ping?"},
        {"/ping?jwt=eyJ.a.b", "/ping?jwt=***"},
        {"/ping?jwt=", "/ping?jwt=***"},
        {"/ping?jwt", "/ping?jwt"},
        {"/listen?s=b:c&jwt=x.y&wait=1", "/listen?s=b:c&jwt=***&wait=1"},
        {"/l?jwt=x&jwt=y", "/l?jwt=***&jwt=***"},
        {"/l?a=1;jwt=x;b=2", "/l?a=1;jwt=***;b=2"},
        {"/l?JWT=x", "/l?JWT=***"},
        {"/l?%6a%77%74=x", "/l?%6a%77%74=***"},
        {"/l?j%57t=x%zz", "/l?j%57t=***"},
        {"/l?jwt%=x", "/l?jwt%=***"},
        {"/l?%zjwt=x&y=1", "/l?%zjwt=***&y=1"},
        {"/l?jwt=a=b&c", "/l?jwt=***&c"},
        {"/l?token=t&access_token=u&password=p&secret=s",
         "/l?token=***&access_token=***&password=***&secret=***"},
        {"/l?njwt=x&jwtn=y", "/l?njwt=x&jwtn=y"},
        {"/jwt=x", "/jwt=x"},
        {"/?a?jwt=x", "/?a?jwt=x"}, /* the name is a?jwt, and nobody reads it */
        {"/l?&&jwt=x&&", "/l?&&jwt=***&&"},
        {"/l?=jwt", "/l?=jwt"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_target(cases[i][0], cases[i][1]);
}

/* What: a long target is cut and says so; a secret is left out before it is cut. */
static void long_targets_are_cut(void **state)
{
    (void)state;
    enum { N = REQUEST_LOG_PATH_BYTES_MAX };
    char *target = malloc(4 * N);
    assert_non_null(target);
    for (size_t n = N - 20; n < N + 20; n++) {
        struct ior_buf out;
        ior_buf_init(&out);
        memset(target, 'p', n);
        memcpy(target, "/?x=", 4);
        snprintf(target + n, 3 * N, "&jwt=%0*d&end=1", 2 * N, 7);
        request_line_target(&out, ior_slice_str(target));
        assert_true(out.size_bytes <= N + 3);
        ior_buf_add_char(&out, 0);
        assert_null(strstr((const char *)out.data, "000"));
        const bool whole = strstr((const char *)out.data, "&end=1") != NULL;
        assert_int_equal(whole, n + strlen("&jwt=***&end=1") <= N);
        if (!whole) assert_string_equal((char *)out.data + out.size_bytes - 4, "...");
        ior_buf_done(&out);
    }
    free(target);
}

static const struct request_line sample = {
    .time_ms = 1795240943094,
    .client = {(const uint8_t *)"::1", 3},
    .user = {(const uint8_t *)"j\xc3\xb6rg", 5},
    .method = {(const uint8_t *)"GET", 3},
    .target = {(const uint8_t *)"/streams/b/s?jwt=x", 18},
    .status = 200,
    .body_bytes = 12,
    .us = 345,
};

/* What: both kinds of line, byte for byte. */
static void lines_have_their_fields(void **state)
{
    (void)state;
    struct ior_buf out;
    ior_buf_init(&out);
    request_line_text(&out, &sample);
    struct request_line nobody = sample;
    nobody.user = IOR_SLICE("");
    nobody.client = IOR_SLICE("");
    nobody.status = 0;
    request_line_text(&out, &nobody);
    request_line_json(&out, &sample);
    ior_buf_add_char(&out, 0);
    assert_string_equal(
        (char *)out.data,
        "2026-11-21T06:02:23.094Z ::1 j%C3%B6rg GET /streams/b/s?jwt=*** 200 12 345\n"
        "2026-11-21T06:02:23.094Z - - GET /streams/b/s?jwt=*** 0 12 345\n"
        "{\"time\":\"2026-11-21T06:02:23.094Z\",\"address\":\"::1\",\"user\":\"j\xc3\xb6rg\","
        "\"method\":\"GET\","
        "\"path\":\"/streams/b/s?jwt=***\",\"status\":200,\"bytes\":12,\"us\":345}\n");
    ior_buf_done(&out);
}

/* What: any bytes: a text line has nine fields of printable ASCII, a JSON line is an object. */
static void any_bytes_make_one_line(void **state)
{
    (void)state;
    uint8_t bytes[256];
    for (int i = 0; i < 256; i++) bytes[i] = (uint8_t)i;
    struct request_line l = sample;
    l.method = ior_slice(bytes, sizeof bytes);
    l.target = ior_slice(bytes, sizeof bytes);
    struct ior_buf out;
    ior_buf_init(&out);
    request_line_text(&out, &l);
    size_t spaces = 0;
    for (size_t i = 0; i + 1 < out.size_bytes; i++) {
        assert_in_range(out.data[i], 0x20, 0x7e);
        spaces += out.data[i] == ' ';
    }
    assert_int_equal(spaces, 7);
    assert_int_equal(out.data[out.size_bytes - 1], '\n');
    ior_buf_clear(&out);
    request_line_json(&out, &l);
    assert_int_equal(out.data[out.size_bytes - 1], '\n');
    assert_ptr_equal(memchr(out.data, '\n', out.size_bytes), out.data + out.size_bytes - 1);
    json_t *object = json_loadb((const char *)out.data, out.size_bytes, JSON_ALLOW_NUL, NULL);
    assert_true(json_is_object(object));
    assert_int_equal(json_integer_value(json_object_get(object, "status")), 200);
    assert_true(json_string_length(json_object_get(object, "path")) > 200);
    json_decref(object);
    ior_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(secrets_are_left_out),
        cmocka_unit_test(long_targets_are_cut),
        cmocka_unit_test(lines_have_their_fields),
        cmocka_unit_test(any_bytes_make_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

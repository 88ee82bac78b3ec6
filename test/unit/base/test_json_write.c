/* test/unit/base/test_json_write.c - what the writers put into a buffer: JSON
 * strings, JSON texts on one line, base64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/json.h"
#include "seeded.h"

#define MARK "\xef\xbf\xbd" /* U+FFFD */

static void expect_quoted(const char *in, size_t in_bytes, const char *wanted)
{
    struct ior_buf out;
    ior_buf_init(&out);
    ior_buf_add_str(&out, "x");
    ior_json_quote(&out, ior_slice(in, in_bytes));
    assert_false(ior_buf_failed(&out));
    assert_int_equal(out.size_bytes, 1 + strlen(wanted));
    assert_memory_equal(out.data + 1, wanted, strlen(wanted));
    ior_buf_done(&out);
}

#define QUOTED(in, wanted) expect_quoted(in, sizeof(in) - 1, wanted)

/* What: only what must be escaped is, in the short form where there is one. */
static void quote_escapes_what_it_must(void **state)
{
    (void)state;
    QUOTED("", "\"\"");
    QUOTED("plain", "\"plain\"");
    QUOTED("a\"b\\c/d", "\"a\\\"b\\\\c/d\"");
    QUOTED("\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"");
    QUOTED("\0\x01\x1f\x7f", "\"\\u0000\\u0001\\u001f\x7f\"");
    QUOTED("\x0b\x1b", "\"\\u000b\\u001b\"");
    QUOTED("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
    QUOTED("0123456789\"0123456789\n", "\"0123456789\\\"0123456789\\n\"");
    struct ior_buf out;
    ior_buf_init(&out);
    ior_json_quote(&out, ior_slice(NULL, 0));
    assert_true(ior_slice_eq(ior_buf_slice(&out), IOR_SLICE("\"\"")));
    ior_buf_done(&out);
}

/* What: bytes that are no UTF-8 become U+FFFD, one for each longest start of a
 * sequence: the examples of the Unicode Standard, tables 3-8 to 3-11. */
static void quote_marks_what_is_no_utf8(void **state)
{
    (void)state;
    QUOTED("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41",
           "\"" MARK MARK MARK MARK MARK MARK MARK MARK "A\"");
    QUOTED("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41",
           "\"" MARK MARK MARK MARK MARK MARK MARK MARK "A\"");
    QUOTED("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42",
           "\"" MARK MARK MARK MARK MARK "A" MARK MARK "B\"");
    QUOTED("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", "\"" MARK MARK MARK MARK "A\"");
    QUOTED("\xff", "\"" MARK "\"");
    QUOTED("\xe2\x82", "\"" MARK "\"");
    QUOTED("ok \xe2\x82\"\xf0\x9f\x98", "\"ok " MARK "\\\"" MARK "\"");
}

/* What: any bytes quoted are a JSON string, and good UTF-8 comes back from jansson byte for byte.
 */
static void quote_survives_a_round_trip(void **state)
{
    (void)state;
    struct seeded rnd = {4711};
    struct ior_buf out;
    ior_buf_init(&out);
    for (int round = 0; round < 20000; round++) {
        uint8_t in[64];
        const size_t size = seeded_below(&rnd, sizeof in);
        const bool ascii = seeded_below(&rnd, 2) == 0;
        for (size_t i = 0; i < size; i++)
            in[i] = (uint8_t)(seeded_next(&rnd) & (ascii ? 0x7f : 0xff));
        ior_buf_clear(&out);
        ior_json_quote(&out, ior_slice(in, size));
        assert_int_equal(ior_json_check(ior_buf_slice(&out), 0, NULL), IOR_OK);
        json_t *back = json_loadb((const char *)out.data, out.size_bytes,
                                  JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(back);
        if (ior_utf8_ok(ior_slice(in, size))) {
            assert_int_equal(json_string_length(back), size);
            assert_memory_equal(json_string_value(back), in, size);
        }
        json_decref(back);
    }
    ior_buf_done(&out);
}

/* What: line breaks between tokens become spaces; nothing else changes, nothing inside strings. */
static void line_blanks_breaks_only(void **state)
{
    (void)state;
    static const char text[] = "\r\n{\n\t\"a\\nb\" :\r\n[1,\n\n 2],\"\\r\":\"\xc3\xa9\"\r}\n";
    static const char wanted[] = "  { \t\"a\\nb\" :  [1,   2],\"\\r\":\"\xc3\xa9\" } ";
    struct ior_buf out;
    ior_buf_init(&out);
    ior_buf_add_str(&out, "kept\n");
    ior_json_line(&out, IOR_SLICE(text));
    ior_json_line(&out, ior_slice(NULL, 0));
    ior_json_line(&out, IOR_SLICE("7"));
    assert_int_equal(out.size_bytes, 5 + sizeof wanted);
    assert_memory_equal(out.data, "kept\n", 5);
    assert_memory_equal(out.data + 5, wanted, sizeof wanted - 1);
    assert_int_equal(out.data[out.size_bytes - 1], '7');
    assert_int_equal(ior_json_check(IOR_SLICE(text), 4, NULL), IOR_OK);
    assert_int_equal(ior_json_check(IOR_SLICE(wanted), 4, NULL), IOR_OK);
    ior_buf_done(&out);
}

/* The definition of RFC 4648 section 4, three bytes at a time. */
static size_t plain_base64(const uint8_t *in, size_t size, char *out)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = 0;
    for (size_t i = 0; i < size; i += 3) {
        uint32_t v = (uint32_t)in[i] << 16;
        if (i + 1 < size) v |= (uint32_t)in[i + 1] << 8;
        if (i + 2 < size) v |= in[i + 2];
        out[n++] = letters[v >> 18];
        out[n++] = letters[v >> 12 & 63];
        out[n++] = i + 1 < size ? letters[v >> 6 & 63] : '=';
        out[n++] = i + 2 < size ? letters[v & 63] : '=';
    }
    return n;
}

/* What: the vectors of RFC 4648 section 10 come out, appended to what is there. */
static void base64_vectors(void **state)
{
    (void)state;
    static const char *const vectors[][2] = {{"", ""},
                                             {"f", "Zg=="},
                                             {"fo", "Zm8="},
                                             {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="},
                                             {"fooba", "Zm9vYmE="},
                                             {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct ior_buf out;
        ior_buf_init(&out);
        ior_buf_add_char(&out, '"');
        ior_base64(&out, ior_slice_str(vectors[i][0]));
        ior_buf_add_char(&out, '"');
        assert_int_equal(out.size_bytes, strlen(vectors[i][1]) + 2);
        assert_memory_equal(out.data + 1, vectors[i][1], strlen(vectors[i][1]));
        ior_buf_done(&out);
    }
}

/* What: every size around the pieces (12 MB) is encoded as one text, padded only at its end. */
static void base64_joins_its_pieces(void **state)
{
    (void)state;
    static const size_t piece = (size_t)3 << 22;
    const size_t sizes[] = {0,   1,         2,     3,         255,       256,
                            257, piece - 1, piece, piece + 1, piece + 2, 2 * piece + 4};
    const size_t most = 2 * piece + 4;
    uint8_t *in = malloc(most);
    char *wanted = malloc(most / 3 * 4 + 8);
    assert_non_null(in);
    assert_non_null(wanted);
    struct seeded rnd = {1};
    for (size_t i = 0; i < most; i++) in[i] = (uint8_t)(seeded_next(&rnd) >> 32);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct ior_buf out;
        ior_buf_init(&out);
        ior_base64(&out, ior_slice(in, sizes[i]));
        assert_false(ior_buf_failed(&out));
        assert_int_equal(out.size_bytes, plain_base64(in, sizes[i], wanted));
        if (out.size_bytes > 0) assert_int_equal(memcmp(out.data, wanted, out.size_bytes), 0);
        ior_buf_done(&out);
    }
    free(in);
    free(wanted);
}

/* What: a buffer that is out of memory stays as it is, whoever writes into it. */
static void writers_respect_a_failed_buffer(void **state)
{
    (void)state;
    struct ior_buf out;
    ior_buf_init(&out);
    ior_buf_add_str(&out, "whole");
    assert_null(ior_buf_room(&out, SIZE_MAX));
    ior_json_quote(&out, IOR_SLICE("a\n\xff"));
    ior_json_line(&out, IOR_SLICE("[1,\n2]"));
    ior_base64(&out, IOR_SLICE("foobar"));
    assert_true(ior_buf_failed(&out));
    assert_true(ior_slice_eq(ior_buf_slice(&out), IOR_SLICE("whole")));
    ior_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quote_escapes_what_it_must),
        cmocka_unit_test(quote_marks_what_is_no_utf8),
        cmocka_unit_test(quote_survives_a_round_trip),
        cmocka_unit_test(line_blanks_breaks_only),
        cmocka_unit_test(base64_vectors),
        cmocka_unit_test(base64_joins_its_pieces),
        cmocka_unit_test(writers_respect_a_failed_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

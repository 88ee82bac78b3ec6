/* test/unit/base/test_utf8.c - ior_utf8_ok against a plain decoder that knows only
 * the definition: value, shortest form, no surrogates, nothing above U+10FFFF. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/json.h"
#include "seeded.h"

static bool plain_ok(const uint8_t *p, size_t size_bytes)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    for (size_t i = 0; i < size_bytes;) {
        size_t n = 0;
        while (n < 8 && (p[i] & (0x80u >> n)) != 0) n++;
        if (n == 0) {
            i++;
            continue;
        }
        if (n == 1 || n > 4 || i + n > size_bytes) return false;
        uint32_t v = p[i] & (0x7fu >> n);
        for (size_t k = 1; k < n; k++) {
            if ((p[i + k] & 0xc0) != 0x80) return false;
            v = v << 6 | (p[i + k] & 0x3fu);
        }
        if (v < least[n] || v > 0x10ffff || (v >= 0xd800 && v <= 0xdfff)) return false;
        i += n;
    }
    return true;
}

static void compare(const uint8_t *p, size_t size_bytes)
{
    if (ior_utf8_ok(ior_slice(p, size_bytes)) == plain_ok(p, size_bytes)) return;
    fail_msg("differs on %zu bytes from %02x %02x %02x %02x", size_bytes, p[0], p[1], p[2], p[3]);
}

/* What: every text of up to two bytes, and of three bytes from a lead byte on, is judged right. */
static void short_texts_all(void **state)
{
    (void)state;
    uint8_t p[4] = {0};
    assert_true(ior_utf8_ok(ior_slice(NULL, 0)));
    for (unsigned a = 0; a < 256; a++) {
        p[0] = (uint8_t)a;
        compare(p, 1);
        for (unsigned b = 0; b < 256; b++) {
            p[1] = (uint8_t)b;
            compare(p, 2);
            if (a < 0xc0) continue;
            for (unsigned c = 0; c < 256; c++) {
                p[2] = (uint8_t)c;
                compare(p, 3);
            }
        }
    }
}

/* What: four-byte texts are judged right at every edge of every byte. */
static void four_byte_edges(void **state)
{
    (void)state;
    static const uint8_t edges[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f,
                                    0xa0, 0xbf, 0xc0, 0xc2, 0xf0, 0xff};
    for (unsigned a = 0xe0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            for (size_t c = 0; c < sizeof edges; c++) {
                for (size_t d = 0; d < sizeof edges; d++) {
                    const uint8_t p[4] = {(uint8_t)a, (uint8_t)b, edges[c], edges[d]};
                    compare(p, 4);
                }
            }
        }
    }
}

/* What: NUL and every other ASCII byte is fine, as one byte and in long runs. */
static void ascii_is_fine(void **state)
{
    (void)state;
    uint8_t p[128];
    for (size_t i = 0; i < sizeof p; i++) p[i] = (uint8_t)i;
    for (size_t size = 0; size <= sizeof p; size++) assert_true(ior_utf8_ok(ior_slice(p, size)));
}

/* What: the ASCII fast path misses no byte at any offset and any alignment. */
static void fast_path_misses_nothing(void **state)
{
    (void)state;
    uint8_t memory[80];
    for (size_t shift = 0; shift < 16; shift++) {
        for (size_t place = 0; place < 60; place++) {
            uint8_t *p = memory + shift;
            memset(memory, 'x', sizeof memory);
            p[place] = 0xff;
            assert_false(ior_utf8_ok(ior_slice(p, 60)));
            assert_true(ior_utf8_ok(ior_slice(p, place)));
            p[place] = 0xc3; /* cut, or followed by 'x' */
            assert_false(ior_utf8_ok(ior_slice(p, 60)));
            assert_false(ior_utf8_ok(ior_slice(p, place + 1)));
            p[place + 1] = 0xa9;
            assert_int_equal(ior_utf8_ok(ior_slice(p, 60)), place + 1 < 60);
        }
    }
}

/* What: 200,000 seeded mixes of good sequences, ASCII runs and stray bytes are judged right. */
static void mixes_agree_with_the_definition(void **state)
{
    (void)state;
    static const char *const parts[] = {"a",
                                        "0123456789abcdef",
                                        "\xc2\x80",
                                        "\xdf\xbf",
                                        "\xe0\xa0\x80",
                                        "\xed\x9f\xbf",
                                        "\xee\x80\x80",
                                        "\xef\xbf\xbf",
                                        "\xf0\x90\x80\x80",
                                        "\xf4\x8f\xbf\xbf",
                                        "\xe4\xbd\xa0\xe5\xa5\xbd"};
    struct seeded rnd = {77};
    size_t good = 0;
    for (int round = 0; round < 200000; round++) {
        uint8_t p[160];
        size_t size = 0;
        for (size_t n = seeded_below(&rnd, 9); n > 0; n--) {
            const char *part = parts[seeded_below(&rnd, sizeof parts / sizeof parts[0])];
            memcpy(p + size, part, strlen(part));
            size += strlen(part);
        }
        if (size > 0 && seeded_below(&rnd, 2) == 0)
            p[seeded_below(&rnd, size)] = (uint8_t)seeded_next(&rnd);
        compare(p, size);
        if (plain_ok(p, size)) good++;
    }
    assert_true(good > 50000 && good < 190000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_texts_all),
        cmocka_unit_test(four_byte_edges),
        cmocka_unit_test(ascii_is_fine),
        cmocka_unit_test(fast_path_misses_nothing),
        cmocka_unit_test(mixes_agree_with_the_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

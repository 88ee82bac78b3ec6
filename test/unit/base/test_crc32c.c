/* test/unit/base/test_crc32c.c - the checksum of everything on disk: published
 * values, and the fast version against the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "seeded.h"

enum { MEMORY_BYTES = 20000, BLOCK_BYTES = 1024 /* one of the three streams of crc32c.c */ };

static uint8_t memory[MEMORY_BYTES];

static void fill(void)
{
    struct seeded rnd = {32};
    for (size_t i = 0; i < sizeof memory; i++) memory[i] = (uint8_t)(seeded_next(&rnd) >> 40);
}

static void expect(const void *data, size_t size_bytes, uint32_t wanted)
{
    assert_int_equal(ior_crc32c(0, data, size_bytes), wanted);
    assert_int_equal(ior_crc32c_table(0, data, size_bytes), wanted);
}

/* What: the check value and the five examples of RFC 3720 appendix B.4 come out of both versions.
 */
static void published_values(void **state)
{
    (void)state;
    uint8_t block[32];
    expect("", 0, 0);
    expect("123456789", 9, 0xe3069283);
    memset(block, 0, sizeof block);
    expect(block, sizeof block, 0x8a9136aa);
    memset(block, 0xff, sizeof block);
    expect(block, sizeof block, 0x62a8ab43);
    for (unsigned i = 0; i < 32; i++) block[i] = (uint8_t)i;
    expect(block, sizeof block, 0x46dd794e);
    for (unsigned i = 0; i < 32; i++) block[i] = (uint8_t)(31 - i);
    expect(block, sizeof block, 0x113fdb5c);
    static const uint8_t scsi_read[48] = {
        0x01,        0xc0,        [16] = 0x14, [22] = 0x04, [26] = 0x00,
        [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02};
    expect(scsi_read, sizeof scsi_read, 0xd9963a56);
}

/* What: the fast version gives the table's value on random lengths, offsets and starts. */
static void fast_equals_table(void **state)
{
    (void)state;
    struct seeded rnd = {3720};
    fill();
    for (int round = 0; round < 3000; round++) {
        const size_t offset = seeded_below(&rnd, 64);
        const size_t size = seeded_below(&rnd, MEMORY_BYTES - offset);
        const uint32_t start = (uint32_t)seeded_next(&rnd);
        assert_int_equal(ior_crc32c(start, memory + offset, size),
                         ior_crc32c_table(start, memory + offset, size));
    }
}

/* What: every length around the edges of the three parallel streams is right, at every alignment.
 */
static void stream_edges(void **state)
{
    (void)state;
    fill();
    for (size_t blocks = 0; blocks <= 6; blocks += 3) {
        const size_t middle = blocks * BLOCK_BYTES;
        for (size_t size = middle < 20 ? 0 : middle - 20; size < middle + 20; size++) {
            for (size_t offset = 0; offset < 8; offset++) {
                assert_int_equal(ior_crc32c(0, memory + offset, size),
                                 ior_crc32c_table(0, memory + offset, size));
            }
        }
    }
}

/* What: a checksum continued over any cut is the checksum of the whole. */
static void continued_over_cuts(void **state)
{
    (void)state;
    struct seeded rnd = {5};
    fill();
    const uint32_t whole = ior_crc32c_table(0, memory, MEMORY_BYTES);
    for (int round = 0; round < 300; round++) {
        const size_t first = seeded_below(&rnd, MEMORY_BYTES + 1);
        const size_t second = first + seeded_below(&rnd, MEMORY_BYTES - first + 1);
        uint32_t crc = ior_crc32c(0, memory, first);
        crc = ior_crc32c(crc, memory + first, second - first);
        crc = ior_crc32c(crc, memory + second, MEMORY_BYTES - second);
        assert_int_equal(crc, whole);
    }
}

/* What: one flipped bit anywhere changes the checksum. */
static void every_bit_counts(void **state)
{
    (void)state;
    fill();
    const size_t size = 4000;
    const uint32_t whole = ior_crc32c(0, memory, size);
    for (size_t bit = 0; bit < size * 8; bit += 7) {
        memory[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_not_equal(ior_crc32c(0, memory, size), whole);
        memory[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_values), cmocka_unit_test(fast_equals_table),
        cmocka_unit_test(stream_edges),     cmocka_unit_test(continued_over_cuts),
        cmocka_unit_test(every_bit_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

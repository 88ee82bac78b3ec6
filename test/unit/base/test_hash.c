/* test/unit/base/test_hash.c - the hash that places every stream in a partition.
 * Its values are part of the stored format: a node that computed another one would
 * look for its streams in the wrong partitions. So they are pinned here; the ones
 * of "" and "a" are also published by the authors of XXH3, and all were compared
 * with the shared library of xxhash 0.8.1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/limits.h"
#include "seeded.h"

/* What: the hashes of fixed strings, one for each size class of XXH3, never change. */
static void hashes_are_pinned(void **state)
{
    (void)state;
    uint8_t counting[1000];
    for (size_t i = 0; i < sizeof counting; i++) counting[i] = (uint8_t)(i % 251);
    const struct {
        struct ior_slice text;
        uint64_t hash;
    } pins[] = {
        {IOR_SLICE(""), 0x2d06800538d394c2},
        {IOR_SLICE("a"), 0xe6c632b61e964e1f},
        {IOR_SLICE("iorio"), 0x69532803458eca55},
        {IOR_SLICE("orders"), 0xa88ccdc9fa4974fb},
        {IOR_SLICE("0123456789abcdef0123456789abcdef"), 0x01121d5b6c0ac055},
        {ior_slice(counting, 200), 0xf42a8864feaf0703},
        {ior_slice(counting, 1000), 0x33ef703fb2b20ed1},
    };
    for (size_t i = 0; i < sizeof pins / sizeof pins[0]; i++) {
        assert_true(ior_hash(pins[i].text) == pins[i].hash);
    }
    assert_true(ior_hash(ior_slice(NULL, 0)) == pins[0].hash);
}

/* What: the hashes of fixed (bucket, stream) pairs never change, because the ring depends on them.
 */
static void pairs_are_pinned(void **state)
{
    (void)state;
    static const struct {
        const char *bucket;
        const char *stream;
        uint64_t hash;
    } pins[] = {
        {"orders", "2024", 0xfd3e7c4d2d3e4fe7},
        {"$sys", "metrics", 0xb14f2a0c99fa9b33},
        {"a", "b", 0xd5a06cd078125351},
        {"", "x", 0x00fb4e8d75bf03c0},
        {"caf\xc3\xa9", "\xe2\x82\xac", 0xc49817ec108c5391},
    };
    for (size_t i = 0; i < sizeof pins / sizeof pins[0]; i++) {
        const uint64_t hash =
            ior_hash_pair(ior_slice_str(pins[i].bucket), ior_slice_str(pins[i].stream));
        assert_true(hash == pins[i].hash);
    }
}

/* What: a pair hashes as its two names joined by a zero byte, up to the longest names. */
static void pair_is_the_joined_names(void **state)
{
    (void)state;
    uint8_t joined[BUCKET_BYTES_MAX + 1 + STREAM_BYTES_MAX];
    struct seeded rnd = {9};
    for (int round = 0; round < 500; round++) {
        size_t a = seeded_below(&rnd, BUCKET_BYTES_MAX + 1);
        size_t b = seeded_below(&rnd, STREAM_BYTES_MAX + 1);
        if (round == 0) {
            a = BUCKET_BYTES_MAX;
            b = STREAM_BYTES_MAX;
        }
        for (size_t i = 0; i < sizeof joined; i++)
            joined[i] = (uint8_t)('a' + seeded_below(&rnd, 26));
        joined[a] = 0;
        const uint64_t pair = ior_hash_pair(ior_slice(joined, a), ior_slice(joined + a + 1, b));
        assert_true(pair == ior_hash(ior_slice(joined, a + 1 + b)));
    }
}

/* What: where one name ends and the other starts makes a difference. */
static void the_border_counts(void **state)
{
    (void)state;
    const uint64_t first = ior_hash_pair(IOR_SLICE("ab"), IOR_SLICE("c"));
    assert_true(first != ior_hash_pair(IOR_SLICE("a"), IOR_SLICE("bc")));
    assert_true(first != ior_hash_pair(IOR_SLICE("c"), IOR_SLICE("ab")));
    assert_true(first != ior_hash(IOR_SLICE("abc")));
}

/* What: 64,000 numbered streams spread over 64 partitions within 15 percent of even. */
static void partitions_fill_evenly(void **state)
{
    (void)state;
    enum { PARTITIONS = 64, EACH = 1000 };
    unsigned count[PARTITIONS] = {0};
    for (unsigned i = 0; i < PARTITIONS * EACH; i++) {
        const uint8_t stream[] = {'s', (uint8_t)('0' + i / 4096), (uint8_t)('0' + i / 64 % 64),
                                  (uint8_t)('0' + i % 64)};
        count[ior_hash_pair(IOR_SLICE("orders"), ior_slice(stream, sizeof stream)) % PARTITIONS]++;
    }
    for (unsigned i = 0; i < PARTITIONS; i++) {
        assert_true(count[i] > EACH * 85 / 100 && count[i] < EACH * 115 / 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_pinned),        cmocka_unit_test(pairs_are_pinned),
        cmocka_unit_test(pair_is_the_joined_names), cmocka_unit_test(the_border_counts),
        cmocka_unit_test(partitions_fill_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

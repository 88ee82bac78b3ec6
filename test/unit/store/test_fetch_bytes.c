/* test/unit/store/test_fetch_bytes.c - the payload bytes of a range of saved events, against adding
 * up the sizes of the events that were written. */
#include "fetch_rig.h"

static uint64_t sum_of(uint64_t from, uint64_t to)
{
    uint64_t sum = 0;
    for (uint64_t at = from; at <= to; at++) sum += cr_size(at);
    return sum;
}

static void expect_sum(uint64_t from, uint64_t to)
{
    uint64_t sum = 12345;
    assert_int_equal(fetch_bytes(fr, CR_PARTITION, CR_UID, from, to, &sum, &cr_why), IOR_OK);
    assert_int_equal(sum, sum_of(from, to));
}

/* The error; the sum is untouched. */
static void expect_error(uint64_t from, uint64_t to, enum ior_err err)
{
    uint64_t sum = 12345;
    assert_int_equal(fetch_bytes(fr, CR_PARTITION, CR_UID, from, to, &sum, &cr_why), err);
    assert_int_equal(sum, 12345);
}

/* What: every range of a small stream; a range that is not there whole is NOTFOUND. */
static void small_stream(void **state)
{
    (void)state;
    expect_error(1, 1, IOR_E_NOTFOUND);
    fr_small(4, 20);
    for (uint64_t from = 4; from <= 20; from++)
        for (uint64_t to = from - 1; to <= 20; to++) expect_sum(from, to);
    expect_error(3, 10, IOR_E_NOTFOUND);
    expect_error(10, 21, IOR_E_NOTFOUND);
    expect_error(21, 21, IOR_E_NOTFOUND);
}

/* What: every range over several chunks: parts of one, whole ones, and both. */
static void across_chunks(void **state)
{
    (void)state;
    cr_size = cr_size_mixed;
    fr_chunk(3, 9, true);
    fr_chunk(10, 10, true);
    fr_chunk(11, 25, true);
    fr_chunk(26, 33, false);
    for (uint64_t from = 3; from <= 33; from++)
        for (uint64_t to = from; to <= 33; to++) expect_sum(from, to);
    expect_error(2, 33, IOR_E_NOTFOUND);
    expect_error(3, 34, IOR_E_NOTFOUND);
}

/* What: more events than one block has. */
static void many_events(void **state)
{
    (void)state;
    fr_chunk(1, 400, false);
    fr_chunk(401, 500, false);
    expect_sum(1, 500);
    expect_sum(2, 500);
    expect_sum(2, 399);
    expect_sum(1, 499);
    expect_sum(399, 402);
}

/* What: of chunks that lie in the range whole no byte is read: they may even be damaged; of those
 * at its ends the file is needed. */
static void whole_chunks_are_not_read(void **state)
{
    (void)state;
    char path[DISK_PATH_MAX];
    fr_chunk(1, 10, true);
    fr_chunk(11, 20, true);
    fr_chunk(21, 30, true);
    chunk_path(CR_PARTITION, CR_UID, 11, path);
    assert_int_equal(disk_unlink(cr_disk, path), IOR_OK);
    uint64_t reads = disk_sim_count(cr_disk, DISK_SIM_READ);
    expect_sum(1, 30);
    assert_int_equal(disk_sim_count(cr_disk, DISK_SIM_READ), reads);
    expect_sum(5, 25);
    expect_error(12, 25, IOR_E_NOTFOUND);
    expect_error(5, 15, IOR_E_NOTFOUND);
}

/* What: a byte that changed is CORRUPT with a reason, an error of the disk is that error. */
static void damage(void **state)
{
    (void)state;
    char path[DISK_PATH_MAX];
    fr_chunk(1, 30, true);
    chunk_path(CR_PARTITION, CR_UID, 1, path);
    disk_sim_flip(cr_disk, path, disk_sim_size(cr_disk, path) / 2, 0x40);
    cr_why.text[0] = 0;
    expect_error(2, 29, IOR_E_CORRUPT);
    assert_int_not_equal(cr_why.text[0], 0);
    expect_sum(1, 30);
    disk_sim_fail(cr_disk, DISK_SIM_READ, 1, IOR_E_IO, false);
    expect_error(2, 3, IOR_E_IO);
    expect_sum(2, 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fr_set_up, fr_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(small_stream), TEST(across_chunks), TEST(many_events), TEST(whole_chunks_are_not_read),
        TEST(damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

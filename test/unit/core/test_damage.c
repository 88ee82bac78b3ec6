/* test/unit/core/test_damage.c - every used byte of a small data directory is changed, every file
 * cut to every length or taken away, every row of the catalog lost: the node gives the right
 * answer, or an error that names a file (damage_data.h).
 * All places take minutes; `make damage` does that (IORIO_TEST_DAMAGE=all). Without it, as in
 * `make test`, places that lie a step apart, from one that the day chooses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "damage_data.h"
#include "store/kv.h"
#include "store/segment.h"

enum { STEP = 23, USED_MAX = 64 << 10, CATALOG_HEAD_BYTES = 24, ENTRY_HEAD_BYTES = 7 };

static struct damage_data data;

struct sums {
    uint64_t step;
    uint64_t count;
    uint64_t seen[4]; /* by enum damage_seen */
};

static struct sums begin(void)
{
    const char *all = getenv("IORIO_TEST_DAMAGE");
    uint64_t step = all != NULL && strcmp(all, "all") == 0 ? 1 : STEP;
    return (struct sums){.step = step, .count = (uint64_t)time(NULL) / 86400 % step};
}

/* Is this place one of those that are looked at? */
static bool chosen(struct sums *s)
{
    return s->count++ % s->step == 0;
}

static void look(struct sums *s, struct disk *take, const char *what)
{
    s->seen[damage_data_look(&data, take, what)]++;
}

static void end(const struct sums *s, const char *what)
{
    printf("%s: %llu places: %llu right, %llu refused at the start, %llu errors in answers\n", what,
           (unsigned long long)s->count, (unsigned long long)s->seen[DAMAGE_RIGHT],
           (unsigned long long)s->seen[DAMAGE_REFUSED], (unsigned long long)s->seen[DAMAGE_SAID]);
    assert_int_equal(s->seen[DAMAGE_WRONG], 0);
    assert_true(s->seen[DAMAGE_REFUSED] + s->seen[DAMAGE_SAID] > 0);
}

/* ---- bytes ---- */

/* How many bytes from here on to the last one of this page that is not zero. */
static uint64_t used_in_page(const char *path, uint64_t page, uint64_t size)
{
    uint64_t end_of = page + JOURNAL_PAGE_BYTES < size ? page + JOURNAL_PAGE_BYTES : size;
    while (end_of > page && disk_sim_byte(data.disk, path, end_of - 1) == 0) end_of--;
    return end_of - page;
}

static void count_used(void *ctx, const char *path)
{
    uint64_t size = disk_sim_size(data.disk, path);
    for (uint64_t page = 0; page < size; page += JOURNAL_PAGE_BYTES)
        *(uint64_t *)ctx += used_in_page(path, page, size);
}

static void flip_each(void *ctx, const char *path)
{
    static const uint8_t masks[] = {0x01, 0x80, 0xff};
    struct sums *s = ctx;
    uint64_t size = disk_sim_size(data.disk, path);
    for (uint64_t page = 0; page < size; page += JOURNAL_PAGE_BYTES) {
        uint64_t used = used_in_page(path, page, size);
        for (uint64_t at = page; at < page + used; at++) {
            if (!chosen(s)) continue;
            char what[DISK_PATH_MAX + 64];
            struct disk *d = disk_sim_copy(data.disk);
            uint8_t mask = masks[at % 3];
            disk_sim_flip(d, path, at, mask);
            snprintf(what, sizeof what, "%.400s: byte %llu changed by %02x", path,
                     (unsigned long long)at, mask);
            look(s, d, what);
        }
    }
}

static void test_sound(void **state)
{
    (void)state;
    uint64_t used = 0;
    damage_each_file(data.disk, count_used, &used);
    assert_true(used > USED_MAX / 4 && used <= USED_MAX);
    assert_int_equal(damage_data_look(&data, disk_sim_copy(data.disk), "nothing"), DAMAGE_RIGHT);
    data.appends = true;
    assert_int_equal(damage_data_look(&data, disk_sim_copy(data.disk), "nothing"), DAMAGE_RIGHT);
    data.appends = false;
}

static void test_flips(void **state)
{
    (void)state;
    struct sums s = begin();
    damage_each_file(data.disk, flip_each, &s);
    end(&s, "changed bytes");
    assert_true(s.seen[DAMAGE_SAID] > 0);
}

/* ---- lengths and whole files ---- */

static void cut_each(void *ctx, const char *path)
{
    struct sums *s = ctx;
    uint64_t size = disk_sim_size(data.disk, path);
    for (uint64_t at = 0; at < size; at++) {
        if (!chosen(s)) continue;
        char what[DISK_PATH_MAX + 64];
        struct disk *d = disk_sim_copy(data.disk);
        disk_sim_cut(d, path, at);
        snprintf(what, sizeof what, "%.400s: cut to %llu bytes", path, (unsigned long long)at);
        look(s, d, what);
    }
}

static void test_lengths(void **state)
{
    (void)state;
    struct sums s = begin();
    damage_each_file(data.disk, cut_each, &s);
    end(&s, "shorter files");
}

static uint64_t last_segment;

static void find_last(void *ctx, const char *path)
{
    uint64_t seq = 0;
    (void)ctx;
    if (strncmp(path, "journal/", 8) == 0 && segment_name_parse(path + 8, &seq) &&
        seq > last_segment)
        last_segment = seq;
}

static void remove_each(void *ctx, const char *path)
{
    char name[DISK_PATH_MAX];
    char what[DISK_PATH_MAX + 64];
    struct disk *d = disk_sim_copy(data.disk);
    segment_name(last_segment, name);
    if (strcmp(path, name) == 0) { /* README: the end of the journal is where it ends */
        disk_free(d);
        return;
    }
    enum ior_err err = disk_unlink(d, path);
    IOR_ASSERT(err == IOR_OK);
    snprintf(what, sizeof what, "%.400s: taken away", path);
    ((struct sums *)ctx)->count++;
    look(ctx, d, what);
}

static void test_missing(void **state)
{
    (void)state;
    struct sums s = {.step = 1};
    damage_each_file(data.disk, find_last, NULL);
    damage_each_file(data.disk, remove_each, &s);
    end(&s, "missing files");
}

/* ---- rows of the catalog, as a page of a real one may lose them ---- */

struct rows {
    uint8_t *bytes;
    size_t size_bytes;
};

static struct rows read_catalog(void)
{
    struct rows r = {.size_bytes = (size_t)disk_sim_size(data.disk, "catalog.sim")};
    r.bytes = malloc(r.size_bytes);
    IOR_ASSERT(r.bytes != NULL);
    for (size_t i = 0; i < r.size_bytes; i++)
        r.bytes[i] = disk_sim_byte(data.disk, "catalog.sim", i);
    return r;
}

static size_t entry_bytes(const struct rows *r, size_t at)
{
    return ENTRY_HEAD_BYTES + ior_get_u16(r->bytes + at + 1) + ior_get_u32(r->bytes + at + 3);
}

/* A disk with this catalog, its own checksum made good again. */
static struct disk *with_catalog(uint8_t *bytes, size_t size_bytes)
{
    struct disk *d = disk_sim_copy(data.disk);
    ior_put_u32(bytes + 8, ior_crc32c(0, bytes + 12, size_bytes - 12));
    enum ior_err err = disk_replace_file(d, "catalog.sim", bytes, size_bytes);
    IOR_ASSERT(err == IOR_OK);
    return d;
}

static void look_without(struct sums *s, const struct rows *r, size_t at, const char *what)
{
    size_t n = entry_bytes(r, at);
    uint8_t *copy = malloc(r->size_bytes);
    IOR_ASSERT(copy != NULL);
    memcpy(copy, r->bytes, at);
    memcpy(copy + at, r->bytes + at + n, r->size_bytes - at - n);
    ior_put_u64(copy + 16, ior_get_u64(copy + 16) - 1);
    struct disk *d = with_catalog(copy, r->size_bytes - n);
    free(copy);
    look(s, d, what);
}

static void test_lost_rows(void **state)
{
    (void)state;
    struct sums s = {.step = 1};
    struct rows r = read_catalog();
    data.appends = true;
    for (size_t at = CATALOG_HEAD_BYTES; at < r.size_bytes; at += entry_bytes(&r, at)) {
        char what[64];
        snprintf(what, sizeof what, "catalog.sim: row at %zu of table %u lost", at, r.bytes[at]);
        s.count++;
        data.lists_may_lack = r.bytes[at] == KV_STREAMS;
        data.keys_may_be_new = r.bytes[at] == KV_KEYS;
        look_without(&s, &r, at, what);
    }
    data.appends = data.lists_may_lack = data.keys_may_be_new = false;
    free(r.bytes);
    end(&s, "lost rows");
}

static void test_changed_rows(void **state)
{
    (void)state;
    struct sums s = begin();
    struct rows r = read_catalog();
    uint8_t *copy = malloc(r.size_bytes);
    IOR_ASSERT(copy != NULL);
    data.appends = true;
    for (size_t at = CATALOG_HEAD_BYTES; at < r.size_bytes; at += entry_bytes(&r, at)) {
        for (size_t i = at + ENTRY_HEAD_BYTES; i < at + entry_bytes(&r, at); i++) {
            if (!chosen(&s)) continue;
            char what[80];
            memcpy(copy, r.bytes, r.size_bytes);
            copy[i] ^= 0x10;
            data.lists_may_lack = r.bytes[at] == KV_STREAMS;
            data.keys_may_be_new = r.bytes[at] == KV_KEYS;
            snprintf(what, sizeof what, "catalog.sim: byte %zu of the row at %zu of table %u",
                     i - at, at, r.bytes[at]);
            look(&s, with_catalog(copy, r.size_bytes), what);
        }
    }
    data.appends = data.lists_may_lack = data.keys_may_be_new = false;
    free(copy);
    free(r.bytes);
    end(&s, "changed rows");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound),     cmocka_unit_test(test_flips),
        cmocka_unit_test(test_lengths),   cmocka_unit_test(test_missing),
        cmocka_unit_test(test_lost_rows), cmocka_unit_test(test_changed_rows),
    };
    damage_data_make(&data);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    damage_data_done(&data);
    return failed;
}

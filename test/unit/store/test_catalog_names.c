/* test/unit/store/test_catalog_names.c - names of streams in the catalog, short and long: found
 * by name, listed in the order of their bytes from any name on, whatever they share. */
#include "kv_rig.h"

#include "base/limits.h"
#include "store/catalog.h"

enum { NAMES_MAX = 600, BUCKETS = 3 };

struct name {
    uint32_t bucket;
    bool deleted;
    uint64_t uid;
    size_t size_bytes;
    uint8_t bytes[STREAM_BYTES_MAX];
};

static struct kv_rig rig;
static struct name *names; /* sorted by bucket and bytes once all are there */
static unsigned name_count;

static int set_up(bool is_lmdb)
{
    names = calloc(NAMES_MAX, sizeof *names);
    assert_non_null(names);
    name_count = 0;
    kv_rig_init(&rig, is_lmdb);
    kv_rig_open(&rig);
    return 0;
}

static int set_up_lmdb(void **state)
{
    (void)state;
    return set_up(true);
}

static int set_up_sim(void **state)
{
    (void)state;
    return set_up(false);
}

static int tear_down(void **state)
{
    (void)state;
    kv_rig_done(&rig);
    free(names);
    return 0;
}

static struct ior_slice slice_of(const struct name *n)
{
    return ior_slice(n->bytes, n->size_bytes);
}

static int by_name(const void *a, const void *b)
{
    const struct name *x = a;
    const struct name *y = b;
    if (x->bucket != y->bucket) return x->bucket < y->bucket ? -1 : 1;
    return ior_slice_cmp(slice_of(x), slice_of(y));
}

static void add_name(uint32_t bucket, struct ior_slice name)
{
    for (unsigned i = 0; i < name_count; i++) {
        if (names[i].bucket == bucket && ior_slice_eq(slice_of(&names[i]), name)) return;
    }
    assert_true(name_count < NAMES_MAX);
    struct name *n = &names[name_count++];
    *n = (struct name){.bucket = bucket, .uid = name_count, .size_bytes = name.size_bytes};
    memcpy(n->bytes, name.data, name.size_bytes);
}

static void put_names(const struct name *from, unsigned count)
{
    struct kv_writer *w = kv_rig_begin(&rig);
    for (unsigned i = 0; i < count; i++) {
        struct stream_row row = {.partition = from[i].bucket * 5,
                                 .uid = from[i].uid,
                                 .bucket_id = from[i].bucket,
                                 .name = slice_of(&from[i]),
                                 .deleted = from[i].deleted,
                                 .low = 1,
                                 .high = from[i].uid};
        assert_int_equal(catalog_put_stream(w, &row), IOR_OK);
    }
    assert_int_equal(kv_write_commit(w), IOR_OK);
}

struct listing {
    struct kv_reader *reader;
    unsigned at; /* the name that must come next */
    unsigned left;
    uint32_t bucket;
};

static unsigned next_shown(unsigned at)
{
    while (at < name_count && names[at].deleted) at++;
    return at;
}

static bool expect_next(void *ctx, const struct stream_row *row)
{
    struct listing *l = ctx;
    struct stream_row again;
    assert_true(l->at < name_count);
    assert_int_equal(names[l->at].bucket, l->bucket);
    assert_true(ior_slice_eq(row->name, slice_of(&names[l->at])));
    assert_true(row->uid == names[l->at].uid && row->high == row->uid && !row->deleted);
    /* A callback may read with the same reader. */
    assert_int_equal(catalog_find_stream(l->reader, l->bucket, row->name, &again), IOR_OK);
    assert_true(again.uid == row->uid);
    l->at = next_shown(l->at + 1);
    return --l->left > 0;
}

/* A page of the bucket behind `after`. */
static void expect_page(struct kv_reader *r, uint32_t bucket, struct ior_slice after, unsigned page)
{
    unsigned at = 0;
    while (at < name_count &&
           (names[at].bucket < bucket || (names[at].bucket == bucket && after.size_bytes > 0 &&
                                          ior_slice_cmp(slice_of(&names[at]), after) <= 0)))
        at++;
    struct listing l = {.reader = r, .at = next_shown(at), .left = page, .bucket = bucket};
    assert_int_equal(catalog_each_stream(r, bucket, after, expect_next, &l), IOR_OK);
    if (l.left > 0) assert_true(l.at == name_count || names[l.at].bucket > bucket);
}

static void expect_all(void)
{
    struct stream_row row;
    struct kv_reader *r = kv_rig_read(&rig);
    for (uint32_t bucket = 1; bucket <= BUCKETS + 1; bucket++)
        expect_page(r, bucket, ior_slice(NULL, 0), NAMES_MAX);
    for (unsigned i = 0; i < name_count; i++) {
        assert_int_equal(catalog_find_stream(r, names[i].bucket, slice_of(&names[i]), &row),
                         IOR_OK);
        assert_true(row.uid == names[i].uid);
        assert_int_equal(row.deleted, names[i].deleted);
        expect_page(r, names[i].bucket, slice_of(&names[i]), 4);
    }
}

/* A name that is the same as others for a random length. */
static struct ior_slice random_name(struct rand_state *rand, uint8_t room[STREAM_BYTES_MAX])
{
    static const size_t edges[] = {1, 2, 479, 480, 481, 482, 500, 959, 960, 961, 962, 1023, 1024};
    size_t size = rand_below(rand, 4) == 0 ? 1 + rand_below(rand, STREAM_BYTES_MAX)
                                           : edges[rand_below(rand, IOR_LEN(edges))];
    for (size_t i = 0; i < size; i++) room[i] = (uint8_t)('a' + i % 7);
    for (uint64_t n = rand_below(rand, 4); n > 0; n--) {
        /* Mostly at the edges of the pieces. */
        size_t at = rand_below(rand, 2) == 0 ? edges[rand_below(rand, IOR_LEN(edges))] - 1
                                             : rand_below(rand, size);
        if (at < size) room[at] = (uint8_t)(0x20 + rand_below(rand, 0xe0));
    }
    return ior_slice(room, size);
}

/* What: hundreds of names of all lengths, in three buckets, some deleted, some made again:
 * every page is exactly the sorted array's. */
static void random_names(void **state)
{
    (void)state;
    struct rand_state rand = {.x = 99};
    uint8_t room[STREAM_BYTES_MAX];
    for (unsigned i = 0; i < 250; i++)
        add_name(1 + (uint32_t)rand_below(&rand, BUCKETS), random_name(&rand, room));
    for (unsigned i = 0; i < name_count; i++) names[i].deleted = rand_below(&rand, 5) == 0;
    put_names(names, name_count / 2);
    put_names(names + name_count / 2, name_count - name_count / 2);
    qsort(names, name_count, sizeof *names, by_name);
    expect_all();
    for (unsigned i = 0; i < name_count; i++) {
        if (rand_below(&rand, 4) == 0) names[i].deleted = !names[i].deleted;
    }
    put_names(names, name_count);
    kv_rig_close(&rig);
    kv_rig_open(&rig);
    expect_all();
    struct kv_reader *r = kv_rig_read(&rig);
    for (unsigned i = 0; i < 150; i++) /* from names that are not there, too */
        expect_page(r, 1 + (uint32_t)rand_below(&rand, BUCKETS), random_name(&rand, room), 3);
}

/* What: a page may begin behind anything a client sends: longer than a name, not UTF-8, zeros. */
static void any_after(void **state)
{
    (void)state;
    static uint8_t room[5000];
    uint8_t long_name[STREAM_BYTES_MAX];
    memset(long_name, 'm', sizeof long_name);
    add_name(1, IOR_SLICE("a"));
    add_name(1, IOR_SLICE("z"));
    for (size_t size = 470; size <= 1024; size += 79) add_name(1, ior_slice(long_name, size));
    put_names(names, name_count);
    qsort(names, name_count, sizeof *names, by_name);
    struct kv_reader *r = kv_rig_read(&rig);
    for (size_t size = 1; size <= sizeof room; size += size < 470 ? 67 : 13) {
        static const uint8_t fills[] = {0, 'a', 'l', 'm', 'n', 0xff};
        for (size_t i = 0; i < IOR_LEN(fills); i++) {
            memset(room, fills[i], size);
            expect_page(r, 1, ior_slice(room, size), 3);
        }
    }
}

/* What: names that share their first 1023 bytes are told apart and cost no more than others. */
static void shared_prefixes(void **state)
{
    (void)state;
    uint8_t room[STREAM_BYTES_MAX];
    memset(room, 'p', sizeof room);
    for (unsigned i = 0; i < 200; i++) {
        room[STREAM_BYTES_MAX - 1] = (uint8_t)(0x20 + i);
        add_name(2, ior_slice(room, sizeof room));
    }
    add_name(2, ior_slice(room, 480));
    add_name(2, ior_slice(room, 960));
    add_name(2, ior_slice(room, 481));
    put_names(names, name_count);
    qsort(names, name_count, sizeof *names, by_name);
    expect_all();
}

#define BOTH(test)                                                                                 \
    {"lmdb " #test, test, set_up_lmdb, tear_down, NULL},                                           \
    {                                                                                              \
        "sim " #test, test, set_up_sim, tear_down, NULL                                            \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {BOTH(random_names), BOTH(any_after), BOTH(shared_prefixes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/core/test_list.c - sorted names over all partitions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "expect.h"
#include "rt/rand.h"

static struct rig rig;

static int set_up(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_open(&rig);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_done(&rig);
    return 0;
}

static void add(struct ior_buf *b, const char *text)
{
    ior_buf_add_str(b, text);
}

/* bucket NULL: list buckets. limit 0: no limit. */
static struct list *list_of(const char *bucket, const char *after, const char *prefix, size_t limit)
{
    struct list *l = NULL;
    assert_int_equal(list_new(&l), IOR_OK);
    l->buckets = bucket == NULL;
    if (bucket != NULL) add(&l->bucket, bucket);
    add(&l->after, after);
    add(&l->prefix, prefix);
    if (limit > 0) l->limit = limit;
    return l;
}

/* The names with blanks between them, `+` at the end for more. */
static void expect_names(struct list *l, const char *want)
{
    struct ior_buf out;
    ior_buf_init(&out);
    rig_list(&rig, l);
    assert_int_equal(l->err, IOR_OK);
    for (size_t i = 0; i < l->count; i++) {
        if (i > 0) ior_buf_add_char(&out, ' ');
        ior_buf_add_slice(&out, list_name_at(l, i));
    }
    if (l->more) add(&out, " +");
    ior_buf_add_char(&out, 0);
    assert_string_equal((const char *)out.data, want);
    ior_buf_done(&out);
    list_free(l);
}

static void expect_list(const char *bucket, const char *after, const char *prefix, size_t limit,
                        const char *want)
{
    expect_names(list_of(bucket, after, prefix, limit), want);
}

static void expect_exact(const char *bucket, const char *name, const char *want)
{
    struct list *l = list_of(bucket, "", name, 0);
    l->exact = true;
    expect_names(l, want);
}

static void put_all(const char *bucket, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) rig_put(&rig, bucket, names[i], "1");
}

static const char *const fruits[] = {"fig",    "apple", "banana", "apricot", "date",
                                     "cherry", "elder", "grape",  "avocado", "ban"};
enum { FRUITS = sizeof fruits / sizeof fruits[0] };

/* What: a node without a stream has empty lists, and so has a bucket that never was. */
static void empty_lists(void **state)
{
    (void)state;
    expect_list(NULL, "", "", 0, "");
    expect_list("b", "", "", 0, "");
    rig_put(&rig, "b", "s", "1");
    expect_list("c", "", "", 0, "");
}

/* What: names come sorted although they lie in different partitions, and only those of the bucket.
 */
static void sorted_over_partitions(void **state)
{
    (void)state;
    uint64_t hash;
    unsigned used = 0;
    put_all("b", fruits, FRUITS);
    put_all("other", fruits, 3);
    for (size_t i = 0; i < FRUITS; i++)
        used |=
            1u << node_route(rig.node, IOR_SLICE("b"), ior_slice_str(fruits[i]), &hash)->partition;
    assert_true(__builtin_popcount(used) >= 4); /* else this shows nothing */
    expect_list("b", "", "", 0, "apple apricot avocado ban banana cherry date elder fig grape");
    expect_list("other", "", "", 0, "apple banana fig");
}

/* What: `after` starts behind a name, known or not; `limit` cuts, and `more` says that it did. */
static void pages(void **state)
{
    (void)state;
    put_all("b", fruits, FRUITS);
    expect_list("b", "", "", 3, "apple apricot avocado +");
    expect_list("b", "avocado", "", 3, "ban banana cherry +");
    expect_list("b", "cherry", "", 4, "date elder fig grape");
    expect_list("b", "cherry", "", 3, "date elder fig +");
    expect_list("b", "b", "", 1, "ban +");
    expect_list("b", "grape", "", 0, "");
    expect_list("b", "\xff", "", 0, "");
    expect_list("b", "", "", FRUITS,
                "apple apricot avocado ban banana cherry date elder fig grape");
}

/* What: `prefix` gives the names that begin so, the equal one too; with `after` and `limit` it
 * pages. */
static void prefixes(void **state)
{
    (void)state;
    put_all("b", fruits, FRUITS);
    expect_list("b", "", "a", 0, "apple apricot avocado");
    expect_list("b", "", "ap", 0, "apple apricot");
    expect_list("b", "", "ban", 0, "ban banana");
    expect_list("b", "", "banana", 0, "banana");
    expect_list("b", "", "bananas", 0, "");
    expect_list("b", "", "z", 0, "");
    expect_list("b", "", "a", 2, "apple apricot +");
    expect_list("b", "apricot", "a", 2, "avocado");
    expect_list("b", "banana", "a", 2, "");
    expect_list("b", "a", "b", 1, "ban +");
}

/* What: `exact` gives the one name or nothing. */
static void exact_names(void **state)
{
    (void)state;
    put_all("b", fruits, FRUITS);
    expect_exact("b", "ban", "ban");
    expect_exact("b", "banan", "");
    expect_exact("b", "", "");
    expect_exact(NULL, "b", "b");
    expect_exact(NULL, "bb", "");
}

/* What: a stream is in the list from its commit on, not before; a lost one never. */
static void a_new_stream_at_once(void **state)
{
    (void)state;
    struct rig_post p;
    rig_post(&rig, &p, "b", "new", "1");
    rig_turns(&rig);
    expect_list("b", "", "", 0, "");
    expect_list(NULL, "", "", 0, "");
    rig_settle(&rig);
    assert_int_equal(outcome(&p), 1);
    expect_list("b", "", "", 0, "new");
    expect_list(NULL, "", "", 0, "b");
    disk_sim_fail(rig.disk, DISK_SIM_SYNC, 1, IOR_E_IO, true);
    rig_post(&rig, &p, "c", "lost", "1");
    rig_settle(&rig);
    assert_int_equal(outcome(&p), -IOR_E_IO);
    expect_list("c", "", "", 0, "");
    expect_list(NULL, "", "", 0, "b");
}

/* What: a bucket is listed once although it lies in many partitions; buckets page and match as
 * streams do. */
static void buckets_are_listed_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < FRUITS; i++) put_all(fruits[i], fruits, FRUITS);
    expect_list(NULL, "", "", 0, "apple apricot avocado ban banana cherry date elder fig grape");
    expect_list(NULL, "", "", 2, "apple apricot +");
    expect_list(NULL, "apricot", "", 2, "avocado ban +");
    expect_list(NULL, "elder", "", 2, "fig grape");
    expect_list(NULL, "", "b", 0, "ban banana");
}

/* What: a row tells low, high, bytes and events of its stream; a bucket's row has no ids, but the
 * sums over its streams are no part of the contract and are not looked at. */
static void rows_tell_about_streams(void **state)
{
    (void)state;
    rig_put(&rig, "b", "s", "\"abc\"");
    rig_put(&rig, "b", "s", "12");
    rig_put(&rig, "b", "t", "1");
    struct list *l = list_of("b", "", "", 0);
    rig_list(&rig, l);
    assert_int_equal(l->count, 2);
    assert_int_equal(l->rows[0].low, 1);
    assert_int_equal(l->rows[0].high, 2);
    assert_int_equal(l->rows[0].bytes, 7);
    assert_int_equal(l->rows[0].events, 2);
    assert_int_equal(l->rows[1].high, 1);
    assert_int_equal(l->rows[1].bytes, 1);
    list_free(l);
    l = list_of(NULL, "", "", 0);
    rig_list(&rig, l);
    assert_int_equal(l->rows[0].low + l->rows[0].high, 0);
    list_free(l);
}

/* What: more names in one partition than one visit looks at are all there, also behind a late
 * prefix. */
static void long_lists_are_visits(void **state)
{
    (void)state;
    enum { COUNT = 3 * LIST_VISIT_NAMES };
    char name[24];
    rig_close(&rig);
    rig.params.ring_size = 1; /* everything in one partition: a new data directory */
    disk_free(rig.disk);
    rig.disk = rig.params.disk = disk_sim_new(2);
    rig_open(&rig);
    struct rig_post *posts = calloc(COUNT, sizeof *posts);
    assert_non_null(posts);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "s%05d", (i * 7) % COUNT);
        rig_post(&rig, &posts[i], "b", name, "1");
    }
    rig_settle(&rig);
    for (int i = 0; i < COUNT; i++) assert_int_equal(outcome(&posts[i]), 1);
    free(posts);
    struct list *l = list_of("b", "", "", 0);
    rig_list(&rig, l);
    assert_int_equal(l->count, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "s%05zu", i);
        assert_true(ior_slice_eq(list_name_at(l, i), ior_slice_str(name)));
    }
    assert_false(l->more);
    list_free(l);
    expect_list("b", "", "s05997", 0, "s05997");
    expect_list("b", "s05996", "", 2, "s05997 s05998 +");
    expect_list("b", "", "s0", 2, "s00000 s00001 +");
}

struct name {
    char text[16];
};

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

/* What: 400 random questions over 150 random names are answered as sorting and filtering them all
 * would. */
static void agrees_with_a_naive_list(void **state)
{
    (void)state;
    enum { COUNT = 150 };
    static struct name names[COUNT];
    struct rand_state rnd = {5};
    size_t count = 0;
    for (int i = 0; i < COUNT; i++) {
        struct name n = {""};
        for (size_t k = 0; k <= rand_below(&rnd, 4); k++)
            n.text[k] = (char)('a' + rand_below(&rnd, 3));
        if (rig_put(&rig, "b", n.text, "1") == 1) names[count++] = n;
    }
    qsort(names, count, sizeof names[0], by_text);
    for (int round = 0; round < 400; round++) {
        char text[2][4] = {"", ""};
        for (int i = 0; i < 2; i++) {
            for (size_t k = 0; k < rand_below(&rnd, 4); k++)
                text[i][k] = (char)('a' + rand_below(&rnd, 3));
        }
        const size_t limit = 1 + rand_below(&rnd, 20);
        struct ior_buf want;
        size_t kept = 0;
        ior_buf_init(&want);
        for (size_t i = 0; i < count; i++) {
            if (strcmp(names[i].text, text[0]) <= 0) continue;
            if (strncmp(names[i].text, text[1], strlen(text[1])) != 0) continue;
            if (++kept > limit) continue;
            if (kept > 1) add(&want, " ");
            add(&want, names[i].text);
        }
        if (kept > limit) add(&want, " +");
        ior_buf_add_char(&want, 0);
        expect_list("b", text[0], text[1], limit, (const char *)want.data);
        ior_buf_done(&want);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(empty_lists),
        TEST(sorted_over_partitions),
        TEST(pages),
        TEST(prefixes),
        TEST(exact_names),
        TEST(a_new_stream_at_once),
        TEST(buckets_are_listed_once),
        TEST(rows_tell_about_streams),
        TEST(long_lists_are_visits),
        TEST(agrees_with_a_naive_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

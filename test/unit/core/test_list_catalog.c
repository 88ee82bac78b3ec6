/* test/unit/core/test_list_catalog.c - lists of names of which some are in memory, some only in the
 * catalog, some in both: memory is newer and wins. */
#include "base/log.h"
#include "rt/rand.h"
#include "saved.h"
#include "store/fetch.h"

static struct rig rig;

static int set_up(void **state)
{
    (void)state;
    log_set_fd(-1);
    rig_init(&rig);
    rig.params.ring_size = 4;
    rig_open(&rig);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_done(&rig);
    return 0;
}

static void save_and_evict(void)
{
    checkpoint_ok(&rig);
    evict(&rig);
}

/* The names with blanks between them, `+` at the end for more. bucket NULL: buckets. */
static void list_text(const char *bucket, const char *after, const char *prefix, size_t limit,
                      bool exact, struct ior_buf *out)
{
    struct list *l = NULL;
    assert_int_equal(list_new(&l), IOR_OK);
    l->buckets = bucket == NULL;
    if (bucket != NULL) ior_buf_add_str(&l->bucket, bucket);
    ior_buf_add_str(&l->after, after);
    ior_buf_add_str(&l->prefix, prefix);
    l->exact = exact;
    if (limit > 0) l->limit = limit;
    rig_list(&rig, l);
    assert_int_equal(l->err, IOR_OK);
    ior_buf_init(out);
    for (size_t i = 0; i < l->count; i++) {
        if (i > 0) ior_buf_add_char(out, ' ');
        ior_buf_add_slice(out, list_name_at(l, i));
        if (bucket == NULL) continue;
        ior_buf_addf(out, ":%llu-%llu/%llu/%llu", (unsigned long long)l->rows[i].low,
                     (unsigned long long)l->rows[i].high, (unsigned long long)l->rows[i].events,
                     (unsigned long long)l->rows[i].bytes);
    }
    if (l->more) ior_buf_add_str(out, " +");
    ior_buf_add_char(out, 0);
    list_free(l);
}

static void expect_list(const char *bucket, const char *after, const char *prefix, size_t limit,
                        const char *want)
{
    struct ior_buf out;
    list_text(bucket, after, prefix, limit, false, &out);
    assert_string_equal((const char *)out.data, want);
    ior_buf_done(&out);
}

static void expect_buckets(const char *want)
{
    expect_list(NULL, "", "", 0, want);
}

/* What: names in memory and names in the catalog are one sorted list; a name that is in both is
 * there once, with what memory says. */
static void memory_and_catalog_are_one_list(void **state)
{
    (void)state;
    put_batch(&rig, "b", "d", 2, 10, 'x', NULL);
    put_batch(&rig, "b", "b", 1, 10, 'x', NULL);
    save_and_evict();
    put_batch(&rig, "b", "a", 1, 5, 'x', NULL);
    put_batch(&rig, "b", "c", 1, 5, 'x', NULL);
    put_batch(&rig, "b", "d", 1, 5, 'x', NULL);
    expect_list("b", "", "", 0, "a:1-1/1/5 b:1-1/1/10 c:1-1/1/5 d:1-3/3/25");
    expect_list("b", "", "", 3, "a:1-1/1/5 b:1-1/1/10 c:1-1/1/5 +");
    expect_list("b", "b", "", 1, "c:1-1/1/5 +");
    expect_list("b", "", "d", 0, "d:1-3/3/25");
    expect_list("b", "d", "", 0, "");
    expect_list("c", "", "", 0, "");
}

/* What: a name that was deleted is in no list: deleted in memory only, deleted and saved, deleted
 * and out of memory; and is there again when something is appended. */
static void deleted_names_are_hidden(void **state)
{
    (void)state;
    put_batch(&rig, "b", "a", 1, 5, 'x', NULL);
    put_batch(&rig, "b", "b", 2, 5, 'x', NULL);
    save_and_evict();
    delete_all(&rig, "b", "b"); /* the catalog does not know */
    expect_list("b", "", "", 0, "a:1-1/1/5");
    expect_list("b", "", "b", 0, "");
    checkpoint_ok(&rig);
    expect_list("b", "", "", 0, "a:1-1/1/5");
    evict(&rig);
    expect_list("b", "", "", 0, "a:1-1/1/5");
    put_batch(&rig, "b", "b", 1, 5, 'x', NULL); /* the catalog says deleted */
    expect_list("b", "", "", 0, "a:1-1/1/5 b:3-3/1/5");
    save_and_evict();
    expect_list("b", "", "", 0, "a:1-1/1/5 b:3-3/1/5");
    trim_to(&rig, "b", "b", UINT64_MAX); /* emptied is not deleted */
    expect_list("b", "", "", 0, "a:1-1/1/5 b:4-3/0/0");
    save_and_evict();
    expect_list("b", "", "", 0, "a:1-1/1/5 b:4-3/0/0");
}

/* What: many deleted names in memory between those that the catalog has do not cut the list short.
 */
static void many_deleted_names_between(void **state)
{
    (void)state;
    char name[8];
    for (unsigned i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "s%02u", i);
        put_batch(&rig, "b", name, 1, 1, 'x', NULL);
    }
    save_and_evict();
    for (unsigned i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "s%02u", i);
        if (i % 13 != 12) delete_all(&rig, "b", name);
    }
    expect_list("b", "", "", 2, "s12:1-1/1/1 s25:1-1/1/1 +");
    expect_list("b", "s12", "", 2, "s25:1-1/1/1 s38:1-1/1/1");
    evict(&rig);
    expect_list("b", "s12", "", 1, "s25:1-1/1/1 +");
    save_and_evict();
    expect_list("b", "", "", 2, "s12:1-1/1/1 s25:1-1/1/1 +");
}

/* What: a bucket is there as long as one of its streams is: in memory, in the catalog, in another
 * partition than those that were deleted. */
static void buckets_with_a_live_stream(void **state)
{
    (void)state;
    char name[8];
    expect_buckets("");
    for (unsigned i = 0; i < 8; i++) { /* in all partitions */
        snprintf(name, sizeof name, "s%u", i);
        put_batch(&rig, "many", name, 1, 1, 'x', NULL);
    }
    put_batch(&rig, "one", "s", 1, 1, 'x', NULL);
    expect_buckets("many one");
    save_and_evict();
    expect_buckets("many one");
    delete_all(&rig, "one", "s");
    for (unsigned i = 0; i < 7; i++) {
        snprintf(name, sizeof name, "s%u", i);
        delete_all(&rig, "many", name);
        expect_buckets("many"); /* s7 is only in the catalog */
    }
    put_batch(&rig, "new", "s", 1, 1, 'x', NULL);
    expect_buckets("many new");
    delete_all(&rig, "many", "s7");
    expect_buckets("new"); /* the catalog still has them all */
    save_and_evict();
    expect_buckets("new");
    put_batch(&rig, "many", "s3", 1, 1, 'x', NULL);
    expect_buckets("many new");
    expect_list(NULL, "many", "", 0, "new");
    expect_list(NULL, "", "ma", 1, "many");
    expect_list(NULL, "", "", 1, "many +");
}

/* What: a catalog that cannot be read ends the list with its error and without names. */
static void errors_end_a_list(void **state)
{
    (void)state;
    struct kv_writer *w = NULL;
    struct list *l = NULL;
    put_batch(&rig, "b", "a", 1, 1, 'x', NULL);
    save_and_evict();
    put_batch(&rig, "b", "c", 1, 1, 'x', NULL);
    assert_int_equal(kv_write_begin(rig.node->kv, &w), IOR_OK);
    assert_int_equal(kv_put(w, KV_BUCKETS, ior_slice("b", 1), ior_slice("\1", 1)), IOR_OK);
    assert_int_equal(kv_write_commit(w), IOR_OK);
    assert_int_equal(list_new(&l), IOR_OK);
    ior_buf_add_str(&l->bucket, "b");
    rig_list(&rig, l);
    assert_int_equal(l->err, IOR_E_CORRUPT);
    assert_int_equal(l->count, 0);
    list_free(l);
}

/* ---- by chance, against a model ---- */

enum { BUCKETS = 3, NAMES = 24, STEPS = 3000, SIZE = 10 };

struct known {
    bool live;
    uint64_t low, high;
};
static struct known known[BUCKETS][NAMES];
static const char *const buckets[BUCKETS] = {"b", "ba", "c"};
static char names[NAMES][1025]; /* sorted */
static struct rand_state rnd;

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void make_names(void)
{
    memset(names, 0, sizeof names);
    for (unsigned i = 0; i < NAMES; i++) {
        unsigned n = i;
        unsigned at = 0;
        do names[i][at++] = (char)('a' + n % 3);
        while ((n /= 3) > 0);
        if (i % 6 == 5) { /* long ones that begin alike */
            memset(names[i] + at, 'm', 1024 - at);
            names[i][600 + i] = (char)('a' + i);
        }
    }
    qsort(names, NAMES, sizeof names[0], by_text);
}

static void one_change(void)
{
    const unsigned b = (unsigned)rand_below(&rnd, BUCKETS);
    const unsigned i = (unsigned)rand_below(&rnd, NAMES);
    struct known *k = &known[b][i];
    uint64_t to;
    switch (rand_below(&rnd, 12)) {
    case 0:
    case 1:
    case 2:
        k->high += 1 + rand_below(&rnd, 5);
        k->live = true;
        const int64_t last =
            put_batch(&rig, buckets[b], names[i],
                      (size_t)(k->high - high_of(&rig, buckets[b], names[i])), SIZE, 'x', NULL);
        assert_int_equal(last, k->high);
        break;
    case 3:
    case 4:
    case 5:
    case 6:
        delete_all(&rig, buckets[b], names[i]);
        k->live = false;
        k->low = k->high + 1;
        break;
    case 7:
        to = rand_below(&rnd, k->high + 3);
        trim_to(&rig, buckets[b], names[i], to);
        if (to + 1 > k->low) k->low = to > k->high ? k->high + 1 : to + 1;
        break;
    case 8:
        if (rand_below(&rnd, 6) == 0) checkpoint_ok(&rig);
        break;
    case 9:
        evict(&rig);
        break;
    default:
        if (rand_below(&rnd, 60) > 0) break;
        rig_drop(&rig);
        disk_sim_crash(rig.disk, DISK_SIM_LOSE_ALL);
        rig_open(&rig);
    }
}

static bool asked(const char *name, const char *after, const char *prefix, bool exact)
{
    if (strcmp(name, after) <= 0) return false;
    return exact ? strcmp(name, prefix) == 0 : strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool bucket_lives(unsigned b)
{
    for (unsigned i = 0; i < NAMES; i++)
        if (known[b][i].live) return true;
    return false;
}

static void one_question(void)
{
    static char text[2][1025]; /* after, prefix: a name, or how one begins */
    struct ior_buf want, got;
    const bool of_buckets = rand_below(&rnd, 4) == 0;
    const bool exact = rand_below(&rnd, 6) == 0;
    const unsigned b = (unsigned)rand_below(&rnd, BUCKETS);
    const size_t limit = 1 + rand_below(&rnd, NAMES + 2);
    size_t kept = 0;
    for (int i = 0; i < 2; i++) {
        const char *from =
            of_buckets ? buckets[rand_below(&rnd, BUCKETS)] : names[rand_below(&rnd, NAMES)];
        memcpy(text[i], from, strlen(from) + 1); /* names have the same room */
        if (rand_below(&rnd, 2) == 0) text[i][rand_below(&rnd, strlen(from) + 1)] = 0;
        if (rand_below(&rnd, 3) == 0) text[i][0] = 0;
    }
    ior_buf_init(&want);
    for (unsigned i = 0; i < (of_buckets ? BUCKETS : NAMES); i++) {
        const struct known *k = &known[b][i % NAMES];
        if (of_buckets ? !bucket_lives(i) : !k->live) continue;
        if (!asked(of_buckets ? buckets[i] : names[i], text[0], text[1], exact)) continue;
        if (++kept > limit) continue;
        if (kept > 1) ior_buf_add_str(&want, " ");
        ior_buf_add_str(&want, of_buckets ? buckets[i] : names[i]);
        if (of_buckets) continue;
        const uint64_t count = k->high + 1 - k->low;
        ior_buf_addf(&want, ":%llu-%llu/%llu/%llu", (unsigned long long)k->low,
                     (unsigned long long)k->high, (unsigned long long)count,
                     (unsigned long long)count * SIZE);
    }
    if (kept > limit) ior_buf_add_str(&want, " +");
    ior_buf_add_char(&want, 0);
    list_text(of_buckets ? NULL : buckets[b], text[0], text[1], limit, exact, &got);
    assert_string_equal((const char *)got.data, (const char *)want.data);
    ior_buf_done(&want);
    ior_buf_done(&got);
}

/* What: 3,000 random changes, saves, evictions and restarts; after each a random question about
 * streams or buckets is answered as the model would: names, and what is said of them. */
static void agrees_with_a_model(void **state)
{
    (void)state;
    rnd = (struct rand_state){8};
    make_names();
    for (unsigned b = 0; b < BUCKETS; b++)
        for (unsigned i = 0; i < NAMES; i++) known[b][i] = (struct known){.low = 1};
    for (unsigned step = 0; step < STEPS; step++) {
        one_change();
        one_question();
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(memory_and_catalog_are_one_list),
        TEST(deleted_names_are_hidden),
        TEST(many_deleted_names_between),
        TEST(buckets_with_a_live_stream),
        TEST(errors_end_a_list),
        TEST(agrees_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

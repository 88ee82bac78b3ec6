/* test/unit/store/test_kv_pages.c - the look at the pages of an LMDB file: what LMDB makes is
 * sound, every byte of a small file and many of a larger one changed: it is told, or LMDB can work
 * on the file without harm (kv_pages_rig.h); the free list, meta pages, cut files, reads that fail,
 * and no memory. IORIO_TEST_DAMAGE=all (make damage): every bit of every byte. */
#include "kv_pages_rig.h"

#include "no_memory.h"

enum { PAGE = 4096, BATCH_MAX = 512, MASKS_MAX = 9 };

static char dir[64];
static char file[96];

/* A branch over leaves, values on overflow pages, tables of one page, an empty one. */
static const struct pages_rows small_rows[] = {
    {KV_ROWS, 60, 90, 60}, {KV_SMALL, 6, 12, 2500}, {KV_META, 3, 10, 20}, {0, 0, 0, 0}};
/* Three levels; long keys; free lists that need overflow pages. */
static const struct pages_rows large_rows[] = {
    {KV_ROWS, 2500, 300, 90}, {KV_SMALL, 60, 12, 9000}, {KV_STREAMS, 300, 20, 20}, {0, 0, 0, 0}};

static int set_up(void **state)
{
    (void)state;
    /* Thousands of files with syncs. */
    snprintf(dir, sizeof dir, "%s/iorio-pages-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/" KV_LMDB_FILE, dir);
    return 0;
}

static int tear_down(void **state)
{
    char lock[128];
    (void)state;
    snprintf(lock, sizeof lock, "%s-lock", file);
    unlink(file);
    unlink(lock);
    assert_int_equal(rmdir(dir), 0);
    return 0;
}

static struct kv *open_kv(void)
{
    struct ior_why why = {""};
    struct kv *kv = NULL;
    if (kv_lmdb_open(dir, 1 << 30, &kv, &why) != IOR_OK) fail_msg("%s", why.text);
    return kv;
}

/* With a history: rows were written in several versions, and more that went. */
static void make(const struct pages_rows *rows, struct pages_rig *g)
{
    struct kv *kv = open_kv();
    unsigned lost = 0;
    for (const struct pages_rows *r = rows; r->count > 0; r++) {
        unsigned more = r->count + r->count / 3;
        assert_int_equal(pages_rig_put(kv, r, 0, more, 2, 1), IOR_OK);
        assert_int_equal(pages_rig_put(kv, r, 0, more, 1, 0), IOR_OK);
        assert_int_equal(pages_rig_del(kv, r, r->count, more, 1, &lost), IOR_OK);
    }
    for (unsigned i = 0; i < 4; i++) /* a list for each commit */
        assert_int_equal(pages_rig_put(kv, rows, i, i + 1, 1, 0), IOR_OK);
    assert_int_equal(lost, 0);
    kv_close(kv);
    pages_rig_load(g, file);
    assert_int_equal(pages_rig_look(g, 1), IOR_OK);
    if (g->findings > 0) fail_msg("offset %" PRIu64 ": %s", g->offset_bytes, g->what);
    assert_int_equal(g->report.leaked, 0);
    assert_true(g->report.free > 0);
    assert_int_equal(g->report.used + g->report.free, g->report.pages);
    assert_int_equal(pages_rig_workout(g, dir, rows, 0), PE_WELL);
}

/* ---- bytes ---- */

struct flip {
    size_t at;
    uint8_t mask;
};

static void flip(struct pages_rig *g, const struct flip *flips, size_t n)
{
    for (size_t i = 0; i < n; i++) g->bytes[flips[i].at] ^= flips[i].mask;
}

struct tally {
    unsigned told;
    unsigned unnoticed;
    unsigned versions;
    unsigned workouts;
};

/* Each of these alone goes unnoticed. Together, where that goes unnoticed too; else by halves. */
static void work_on(struct pages_rig *g, const struct pages_rows *rows, const struct flip *flips,
                    size_t n, struct tally *t)
{
    if (n == 0) return;
    flip(g, flips, n);
    bool sound = pages_rig_sound(g);
    int end = sound ? pages_rig_workout(g, dir, rows, (unsigned)n) : PE_WELL;
    flip(g, flips, n);
    t->workouts += sound;
    if (n == 1) {
        assert_true(sound);
        t->versions += end == PE_VERSION;
        if (end != PE_WELL && end != PE_VERSION)
            fail_msg("offset %zu (page %zu, byte %zu) xor %#x goes unnoticed and ends with %d",
                     flips->at, flips->at / PAGE, flips->at % PAGE, flips->mask, end);
        return;
    }
    if (sound && end == PE_WELL) return;
    work_on(g, rows, flips, n / 2, t);
    work_on(g, rows, flips + n / 2, n - n / 2, t);
}

/* All that went unnoticed, in batches whose bytes are far apart. */
static void work_on_all(struct pages_rig *g, const struct pages_rows *rows,
                        const struct flip *flips, size_t n, struct tally *t)
{
    struct flip batch[BATCH_MAX];
    size_t batches = (n + BATCH_MAX - 1) / BATCH_MAX;
    for (size_t b = 0; b < batches; b++) {
        size_t count = 0;
        for (size_t i = b; i < n; i += batches) batch[count++] = flips[i];
        work_on(g, rows, batch, count, t);
    }
}

static const uint8_t masks[MASKS_MAX] = {0x01, 0x80, 0xff, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40};

static size_t count_masks(void)
{
    const char *all = getenv("IORIO_TEST_DAMAGE");
    return all != NULL && strcmp(all, "all") == 0 ? MASKS_MAX : 3;
}

/* What: every byte of a small file takes other values. */
static void each_byte(void **state)
{
    struct pages_rig g;
    struct tally t = {0};
    size_t mask_count = count_masks();
    (void)state;
    make(small_rows, &g);
    struct flip *flips = calloc(g.size_bytes, sizeof *flips);
    assert_non_null(flips);
    for (size_t m = 0; m < mask_count; m++) {
        size_t n = 0;
        for (size_t at = 0; at < g.size_bytes; at++) {
            const struct flip f = {at, masks[m]};
            flip(&g, &f, 1);
            if (pages_rig_sound(&g)) flips[n++] = f;
            flip(&g, &f, 1);
        }
        t.unnoticed += (unsigned)n;
        t.told += (unsigned)(g.size_bytes - n);
        work_on_all(&g, small_rows, flips, n, &t);
    }
    print_message(
        "%zu pages: %u changes told, %u unnoticed and harmless in %u workouts, %u another "
        "version\n",
        g.size_bytes / PAGE, t.told, t.unnoticed, t.workouts, t.versions);
    assert_in_range(t.versions, 1, 4 * mask_count); /* 4 bytes of the format */
    assert_true(t.told > 1000 * mask_count);
    free(flips);
    pages_rig_done(&g);
}

/* Bytes that LMDB goes by: heads of pages and nodes, and what points to them. */
static size_t structure_byte(const struct pages_rig *g, struct rand_state *rand)
{
    size_t page = (size_t)rand_below(rand, g->size_bytes / PAGE) * PAGE;
    size_t lower = ior_get_u16(g->bytes + page + 12);
    unsigned what = (unsigned)rand_below(rand, 4);
    if (what == 0) return page + (size_t)rand_below(rand, 160);
    if (lower <= 16 || lower > PAGE) return page + (size_t)rand_below(rand, PAGE);
    size_t slot = 16 + (size_t)rand_below(rand, (lower - 16) / 2) * 2;
    if (what == 1) return page + slot + (size_t)rand_below(rand, 2);
    size_t node = ior_get_u16(g->bytes + page + slot);
    if (node > PAGE - 16) return page + node % PAGE;
    return page + node + (size_t)rand_below(rand, 16);
}

/* What: the same at random places of a larger file, one to three bytes at a time. */
static void some_bytes(void **state)
{
    enum { CASES = 2000 };
    struct pages_rig g;
    struct tally t = {0};
    struct rand_state rand = {5};
    static struct flip flips[CASES];
    size_t n = 0;
    (void)state;
    make(large_rows, &g);
    for (unsigned i = 0; i < CASES; i++) {
        struct flip f[3];
        size_t count = 1 + (size_t)rand_below(&rand, 3);
        for (size_t k = 0; k < count; k++)
            f[k] = (struct flip){structure_byte(&g, &rand), (uint8_t)(1u << rand_below(&rand, 8))};
        flip(&g, f, count);
        bool sound = pages_rig_sound(&g);
        flip(&g, f, count);
        t.told += !sound;
        if (sound && count == 1) flips[n++] = f[0];
        if (!sound || count == 1) continue;
        flip(&g, f, count); /* more than one may be told together only */
        int end = pages_rig_workout(&g, dir, large_rows, (unsigned)count);
        flip(&g, f, count);
        t.workouts++;
        if (end != PE_WELL && end != PE_VERSION)
            fail_msg("case %u ends with %d: %zu, %zu...", i, end, f[0].at, f[1].at);
    }
    t.unnoticed = (unsigned)n;
    work_on_all(&g, large_rows, flips, n, &t);
    print_message("%zu pages: %u told, %u bytes unnoticed, %u workouts\n", g.size_bytes / PAGE,
                  t.told, t.unnoticed, t.workouts);
    pages_rig_done(&g);
}

/* ---- named places ---- */

static struct pages_rig spoilt;

static void expect(uint64_t offset_bytes, const char *what)
{
    assert_int_equal(pages_rig_look(&spoilt, 100), IOR_OK);
    if (spoilt.findings == 0 || spoilt.offset_bytes != offset_bytes ||
        strstr(spoilt.what, what) == NULL)
        fail_msg("%u findings; at %" PRIu64 ", not %" PRIu64 ": %s", spoilt.findings,
                 spoilt.offset_bytes, offset_bytes, spoilt.what);
}

static uint64_t get(size_t at)
{
    return ior_get_u64(spoilt.bytes + at);
}

/* Puts 8 bytes, expects that it is told, and puts the old ones back. */
static void try_u64(size_t at, uint64_t value, uint64_t told_at, const char *what)
{
    uint64_t was = get(at);
    ior_put_u64(spoilt.bytes + at, value);
    expect(told_at, what);
    ior_put_u64(spoilt.bytes + at, was);
}

static void try_u16(size_t at, uint16_t value, uint64_t told_at, const char *what)
{
    uint16_t was = ior_get_u16(spoilt.bytes + at);
    ior_put_u16(spoilt.bytes + at, value);
    expect(told_at, what);
    ior_put_u16(spoilt.bytes + at, was);
}

enum { META_FREE = 40, META_MAIN = 88, META_LAST_PAGE = 136, META_TXN = 144, RECORD_ROOT = 40 };

/* Of the meta page that counts. */
static size_t meta_at(void)
{
    return get(META_TXN) > get(PAGE + META_TXN) ? 0 : PAGE;
}

/* Node i of a page. */
static size_t node_at(size_t page, unsigned i)
{
    return page * PAGE + ior_get_u16(spoilt.bytes + page * PAGE + 16 + 2 * i);
}

/* What: each of the meta pages' fields that LMDB goes by. */
static void meta_pages(void **state)
{
    (void)state;
    make(small_rows, &spoilt);
    size_t meta = meta_at();
    size_t older = PAGE - meta;
    uint64_t txn = get(meta + META_TXN);
    try_u16(10, 9, 0, "not meta page 0");
    try_u16(PAGE + 10, 0, PAGE, "not meta page 1");
    try_u16(PAGE + 16, 1, PAGE, "not meta page 1");
    try_u16(20, 2, 0, "another version");
    try_u16(META_FREE, 4095, META_FREE - 0, "pages of");
    try_u16(META_FREE, 8192, 8192, "");
    try_u64(meta + META_TXN, txn + 2, meta + META_TXN, "are of transactions");
    try_u64(older + META_TXN, txn + 3, older + META_TXN, "are of transactions");
    try_u64(older + META_TXN, txn - 3, meta + META_TXN, "are of transactions");
    try_u64(meta + META_TXN, txn + 1, meta + META_TXN, "in meta page");
    try_u16(meta + META_FREE + 4, 0x4009, meta + META_FREE + 4, "flags");
    try_u16(meta + META_FREE + 4, 0x4000, meta + META_FREE + 4, "flags");
    try_u64(meta + META_LAST_PAGE, 1, meta + META_LAST_PAGE, "the last page is 1");
    try_u64(meta + META_LAST_PAGE, 1ull << 40, meta + META_LAST_PAGE, "the last page is");
    try_u64(meta + META_LAST_PAGE, get(meta + META_LAST_PAGE) + 1, spoilt.size_bytes,
            "the file ends here");
    try_u16(meta + META_MAIN + 4, 4, meta + META_MAIN, "has flags");
    try_u16(meta + META_MAIN + 6, 33, meta + META_MAIN, "a depth of 33");
    try_u64(meta + META_MAIN + RECORD_ROOT, 1, meta + META_MAIN, "page 1 cannot be");
    try_u64(meta + META_MAIN + RECORD_ROOT, UINT64_MAX, meta + META_MAIN, "a depth of");
    try_u64(meta + META_MAIN + 32, 11, meta + META_MAIN, "has 10 entries, its record says 11");
    /* As the file was one commit ago: nothing says that it was another one since. */
    ior_put_u64(spoilt.bytes + older + META_TXN, txn + 1);
    assert_true(pages_rig_sound(&spoilt));
    ior_put_u64(spoilt.bytes + older + META_TXN, txn - 1);
    ior_put_u32(spoilt.bytes + 20, 999);
    ior_put_u32(spoilt.bytes + PAGE + 20, 999);
    assert_int_equal(pages_rig_look(&spoilt, 1), IOR_E_VERSION);
    pages_rig_done(&spoilt);
}

/* What: numbers in the free list that cannot be: of a page in use, out of order, twice, none; its
 * counts and its transactions. (A page that is free and in use is written over by the next
 * commit.) */
static void free_list(void **state)
{
    (void)state;
    make(small_rows, &spoilt);
    size_t meta = meta_at();
    size_t root = (size_t)get(meta + META_FREE + RECORD_ROOT);
    uint64_t used = get(meta + META_MAIN + RECORD_ROOT);
    uint64_t txn = get(meta + META_TXN);
    unsigned count = (ior_get_u16(spoilt.bytes + root * PAGE + 12) - 16u) / 2;
    assert_true(count > 1);
    for (unsigned i = 0; i < count; i++) {
        size_t node = node_at(root, i);
        size_t data = node + 16; /* a node's head and a key of 8 bytes */
        uint64_t n = get(data);
        if (n == 0) continue;
        try_u64(data + 8, used, data + 8, "which is in use");
        try_u64(data + 8, root, data + 8, "which is in use");
        try_u64(data + 8 * n, 1, data + 8 * n, "which cannot be");
        try_u64(data + 8, 1ull << 33, data + 8, "which cannot be");
        if (n > 1) try_u64(data + 16, get(data + 8), data + 16, "behind page");
        try_u64(data, n + 1, data, "with room for");
        try_u64(data, n | 1ull << 60, data, "with room for");
        try_u64(node + 8, 0, node, i == 0 ? "of transaction 0" : "not behind");
        if (i + 1 == count) try_u64(node + 8, txn + 1, node, "the last one was");
        if (i == 0) continue;
        size_t first = node_at(root, 0) + 16; /* its highest page, here too */
        if (get(first) > 0 && n == 1) try_u64(data + 8, get(first + 8), data + 8, "another one");
    }
    /* An entry that lost its count only leaks its pages. */
    size_t data = node_at(root, count - 1) + 16;
    uint64_t n = get(data);
    ior_put_u64(spoilt.bytes + data, 0);
    assert_true(pages_rig_sound(&spoilt));
    assert_int_equal(spoilt.report.leaked, n);
    assert_int_equal(pages_rig_workout(&spoilt, dir, small_rows, 0), PE_WELL);
    pages_rig_done(&spoilt);
}

/* What: a file that was cut, a read that fails, a look that is told to end. */
static void files(void **state)
{
    struct kv_pages_report report;
    struct ior_why why = {""};
    (void)state;
    make(small_rows, &spoilt);
    size_t whole = spoilt.size_bytes;
    unsigned told = 0;
    size_t last_used = 0;
    for (size_t page = 0; page < whole / PAGE; page++) {
        spoilt.fail_at = page * PAGE;
        assert_int_equal(pages_rig_look(&spoilt, 1), IOR_OK);
        told += spoilt.findings;
        if (spoilt.findings == 0) continue;
        assert_int_equal(spoilt.offset_bytes, page * PAGE);
        last_used = page;
    }
    spoilt.fail_at = UINT64_MAX;
    assert_true(pages_rig_sound(&spoilt));
    assert_int_equal(told, spoilt.report.used); /* values have one page here */
    /* Free pages at the end need not be there. */
    for (size_t n = 0; n < whole; n += n % PAGE == 0 ? 1 : PAGE - 1) {
        spoilt.size_bytes = n;
        assert_int_equal(pages_rig_look(&spoilt, 1), IOR_OK);
        assert_int_equal(spoilt.findings, n / PAGE <= last_used ? 1 : 0);
    }
    spoilt.size_bytes = whole;
    memset(spoilt.bytes + 2 * PAGE, 0xff, whole - 2 * PAGE);
    for (unsigned most = 1; most < 3; most++) {
        assert_int_equal(pages_rig_look(&spoilt, most), IOR_OK);
        assert_in_range(spoilt.findings, 1, most);
    }
    assert_int_equal(truncate(file, 3 * PAGE + 5), 0);
    assert_int_equal(kv_pages_check_file(dir, NULL, NULL, &report, &why), IOR_E_CORRUPT);
    assert_non_null(strstr(why.text, KV_LMDB_FILE ": damage at offset "));
    assert_int_equal(unlink(file), 0);
    assert_int_equal(kv_pages_check_file(dir, NULL, NULL, &report, &why), IOR_E_NOTFOUND);
    assert_int_equal(mkdir(file, 0700), 0);
    assert_int_not_equal(kv_pages_check_file(dir, NULL, NULL, &report, &why), IOR_OK);
    assert_int_equal(rmdir(file), 0);
    pages_rig_done(&spoilt);
}

/* What: no allocation that fails is taken for damage or for a sound file. */
static void no_memory(void **state)
{
    unsigned failed = 0;
    (void)state;
    make(small_rows, &spoilt);
    for (;; failed++) {
        no_memory_at = failed + 1;
        enum ior_err err = pages_rig_look(&spoilt, 1);
        bool clean = no_memory_at > 0;
        no_memory_at = 0;
        assert_int_equal(spoilt.findings, 0);
        assert_int_equal(err, clean ? IOR_OK : IOR_E_NOMEM);
        if (clean) break;
    }
    assert_true(failed > 5);
    pages_rig_done(&spoilt);
}

/* ---- sound files ---- */

/* What: after each of many commits of every kind, with readers and without: nothing is wrong, and
 * no page is lost. */
static void commits_are_sound(void **state)
{
    enum { COMMITS = 300, KEYS = 4000 };
    struct rand_state rand = {7};
    struct kv *kv = open_kv();
    struct kv_reader *reader = NULL;
    static uint8_t value[PR_VALUE_ROOM];
    uint8_t key[KV_KEY_BYTES_MAX];
    uint64_t pages = 0;
    (void)state;
    for (unsigned i = 0; i < COMMITS; i++) {
        struct kv_writer *w = NULL;
        struct kv_pages_report report;
        struct ior_why why = {""};
        const struct pages_rows rows = {(enum kv_table)rand_below(&rand, KV_TABLES), 1,
                                        10 + (unsigned)(i % 7) * 60, 40};
        uint64_t ops = 1 + rand_below(&rand, i % 10 == 0 ? 2000 : 60);
        uint64_t dels = i % 5 == 0 ? 90 : rand_below(&rand, 60);
        if (reader != NULL && rand_below(&rand, 4) == 0) {
            kv_reader_free(reader);
            reader = NULL;
        } else if (reader == NULL && rand_below(&rand, 6) == 0) {
            assert_int_equal(kv_reader_new(kv, &reader), IOR_OK);
            assert_int_equal(kv_read_begin(reader), IOR_OK);
        }
        assert_int_equal(kv_write_begin(kv, &w), IOR_OK);
        for (uint64_t n = 0; n < ops; n++) {
            struct ior_slice k = pages_rig_key(&rows, (unsigned)rand_below(&rand, KEYS), key);
            size_t bytes = (size_t)rand_below(&rand, rand_below(&rand, 50) == 0 ? 40000 : 400);
            if (rand_below(&rand, 100) < dels) {
                enum ior_err err = kv_del(w, rows.table, k);
                assert_true(err == IOR_OK || err == IOR_E_NOTFOUND);
            } else {
                assert_int_equal(kv_put(w, rows.table, k, ior_slice(value, bytes)), IOR_OK);
            }
        }
        if (rand_below(&rand, 12) == 0) {
            kv_write_abort(w);
        } else {
            assert_int_equal(kv_write_commit(w), IOR_OK);
        }
        if (kv_pages_check_file(dir, NULL, NULL, &report, &why) != IOR_OK)
            fail_msg("commit %u: %s", i, why.text);
        assert_int_equal(report.leaked, 0);
        pages = report.pages;
    }
    assert_true(pages > 1000);
    kv_reader_free(reader);
    kv_close(kv);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(commits_are_sound), CASE(meta_pages), CASE(free_list),  CASE(files),
        CASE(no_memory),         CASE(each_byte),  CASE(some_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

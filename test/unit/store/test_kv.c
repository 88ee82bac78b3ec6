/* test/unit/store/test_kv.c - the key-value file: every promise of kv.h on LMDB and on the
 * simulated one, by the same cases; behind them what only LMDB has: a full map, 100,000
 * rows, damaged files. */
#include "kv_rig.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>

static struct kv_rig rig;

static int set_up(bool is_lmdb)
{
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
    return 0;
}

static struct ior_slice fill(uint8_t *room, size_t size_bytes, uint8_t seed)
{
    for (size_t i = 0; i < size_bytes; i++) room[i] = (uint8_t)(seed + 31 * i + i / 256);
    return ior_slice(room, size_bytes);
}

/* What: values of every size and keys of the longest come back, are replaced, and go; an empty
 * table has nothing; all of it is there after another open. */
static void values_come_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 7, 100, 2000, 4096, 70000, KV_VALUE_BYTES_MAX};
    static uint8_t room[KV_VALUE_BYTES_MAX];
    uint8_t key_room[KV_KEY_BYTES_MAX];
    struct ior_slice long_key = fill(key_room, sizeof key_room, 3);
    for (size_t i = 0; i < IOR_LEN(sizes); i++) {
        uint8_t key = (uint8_t)i;
        struct kv_writer *w = kv_rig_begin(&rig);
        struct ior_slice value = fill(room, sizes[i], key);
        assert_int_equal(kv_put(w, KV_SMALL, ior_slice(&key, 1), value), IOR_OK);
        assert_int_equal(kv_put(w, KV_ROWS, long_key, value), IOR_OK);
        assert_int_equal(kv_write_commit(w), IOR_OK);
    }
    kv_rig_close(&rig);
    kv_rig_open(&rig);
    struct kv_reader *r = kv_rig_read(&rig);
    for (size_t i = 0; i < IOR_LEN(sizes); i++) {
        struct ior_slice got;
        uint8_t key = (uint8_t)i;
        assert_int_equal(kv_get(r, KV_SMALL, ior_slice(&key, 1), &got), IOR_OK);
        assert_true(ior_slice_eq(got, fill(room, sizes[i], key)));
        assert_int_equal(kv_get(r, KV_CHUNKS, ior_slice(&key, 1), &got), IOR_E_NOTFOUND);
    }
    struct ior_slice got;
    assert_int_equal(kv_get(r, KV_ROWS, long_key, &got), IOR_OK);
    assert_int_equal(got.size_bytes, KV_VALUE_BYTES_MAX);
    assert_int_equal(kv_get(r, KV_ROWS, ior_slice(key_room, 510), &got), IOR_E_NOTFOUND);
    assert_true(kv_file_bytes(rig.kv) > 2 * KV_VALUE_BYTES_MAX);
    struct kv_writer *w = kv_rig_begin(&rig);
    assert_int_equal(kv_del(w, KV_ROWS, long_key), IOR_OK);
    assert_int_equal(kv_del(w, KV_ROWS, long_key), IOR_E_NOTFOUND);
    assert_int_equal(kv_write_commit(w), IOR_OK);
    r = kv_rig_read(&rig);
    assert_int_equal(kv_get(r, KV_ROWS, long_key, &got), IOR_E_NOTFOUND);
}

static void expect_at(enum ior_err err, struct ior_slice key, struct ior_slice value,
                      const char *wanted)
{
    if (wanted == NULL) {
        assert_int_equal(err, IOR_E_END);
        return;
    }
    assert_int_equal(err, IOR_OK);
    if (!ior_slice_eq(key, ior_slice_str(wanted)))
        fail_msg("%.*s, not %s", (int)key.size_bytes, key.data, wanted);
    assert_true(ior_slice_eq(value, key));
}

/* What: seeks find the first key from, and the last key up to; walks are in the order of bytes,
 * shorter first, and stay in their table. */
static void keys_are_in_order(void **state)
{
    (void)state;
    static const char *const keys[] = {"b", "a", "ba", "ab", "\xff", "c", "\x01", "b!"};
    static const char *const sorted[] = {"\x01", "a", "ab", "b", "b!", "ba", "c", "\xff", NULL};
    static const char *const seeks[][3] = {
        /* key, first from, last up to */
        {"\x01", "\x01", "\x01"}, {"a", "a", "a"},
        {"aa", "ab", "a"},        {"ac", "b", "ab"},
        {"b ", "b!", "b"},        {"zz", "\xff", "c"},
        {"c", "c", "c"},          {"\xff\xff", NULL, "\xff"},
    };
    struct ior_slice key;
    struct ior_slice value;
    struct kv_reader *r = kv_rig_read(&rig);
    expect_at(kv_seek(r, KV_GRAVE, ior_slice(NULL, 0), &key, &value), key, value, NULL);
    expect_at(kv_seek_back(r, KV_GRAVE, IOR_SLICE("x"), &key, &value), key, value, NULL);
    struct kv_writer *w = kv_rig_begin(&rig);
    for (size_t i = 0; i < IOR_LEN(keys); i++) kv_rig_put(w, KV_GRAVE, keys[i], keys[i]);
    kv_rig_put(w, KV_GROUPS, "0", "0");
    kv_rig_put(w, KV_SMALL, "z", "z");
    assert_int_equal(kv_write_commit(w), IOR_OK);
    r = kv_rig_read(&rig);
    expect_at(kv_seek(r, KV_GRAVE, ior_slice(NULL, 0), &key, &value), key, value, sorted[0]);
    for (size_t i = 1; i < IOR_LEN(sorted); i++)
        expect_at(kv_next(r, &key, &value), key, value, sorted[i]);
    expect_at(kv_next(r, &key, &value), key, value, NULL);
    for (size_t i = 0; i < IOR_LEN(seeks); i++) {
        struct ior_slice at = ior_slice_str(seeks[i][0]);
        expect_at(kv_seek(r, KV_GRAVE, at, &key, &value), key, value, seeks[i][1]);
        expect_at(kv_seek_back(r, KV_GRAVE, at, &key, &value), key, value, seeks[i][2]);
    }
    expect_at(kv_seek_back(r, KV_GRAVE, IOR_SLICE("\x00"), &key, &value), key, value, NULL);
    expect_at(kv_seek_back(r, KV_GRAVE, IOR_SLICE("b"), &key, &value), key, value, "b");
    expect_at(kv_next(r, &key, &value), key, value, "b!");
    /* A seek of another table takes kv_next() there. */
    expect_at(kv_seek(r, KV_GROUPS, IOR_SLICE("0"), &key, &value), key, value, "0");
    expect_at(kv_next(r, &key, &value), key, value, NULL);
}

/* What: a reader keeps what was when it began; a writer sees what it put; an abort leaves
 * nothing; a new snapshot of the same reader is that of now. */
static void snapshots(void **state)
{
    (void)state;
    struct kv_reader *late = NULL;
    kv_rig_put_one(&rig, "a", "1");
    struct kv_reader *r = kv_rig_read(&rig);
    assert_int_equal(kv_reader_new(rig.kv, &late), IOR_OK);
    struct kv_writer *w = kv_rig_begin(&rig);
    kv_rig_put(w, KV_META, "a", "2");
    kv_rig_put(w, KV_META, "b", "2");
    struct ior_slice got;
    assert_int_equal(kv_write_get(w, KV_META, IOR_SLICE("a"), &got), IOR_OK);
    assert_true(ior_slice_eq(got, IOR_SLICE("2")));
    assert_int_equal(kv_del(w, KV_META, IOR_SLICE("a")), IOR_OK);
    assert_int_equal(kv_write_get(w, KV_META, IOR_SLICE("a"), &got), IOR_E_NOTFOUND);
    assert_int_equal(kv_read_begin(late), IOR_OK);
    kv_rig_expect(late, KV_META, "a", "1");
    kv_rig_expect(late, KV_META, "b", NULL);
    assert_int_equal(kv_write_commit(w), IOR_OK);
    kv_rig_expect(late, KV_META, "b", NULL);
    kv_rig_expect(r, KV_META, "a", "1");
    kv_read_end(late);
    assert_int_equal(kv_read_begin(late), IOR_OK);
    kv_rig_expect(late, KV_META, "a", NULL);
    kv_rig_expect(late, KV_META, "b", "2");
    w = kv_rig_begin(&rig);
    kv_rig_put(w, KV_META, "b", "3");
    kv_write_abort(w);
    kv_read_end(late);
    assert_int_equal(kv_read_begin(late), IOR_OK);
    kv_rig_expect(late, KV_META, "b", "2");
    kv_reader_free(late); /* with a snapshot: fine */
    kv_rig_close(&rig);
    kv_rig_open(&rig);
    r = kv_rig_read(&rig);
    kv_rig_expect(r, KV_META, "a", NULL);
    kv_rig_expect(r, KV_META, "b", "2");
}

/* ---- random operations beside a model ---- */

enum { MODEL_KEYS = 300, MODEL_ROUNDS = 120 };
struct model {
    uint16_t value[2][MODEL_KEYS]; /* of two tables: bytes of the value + 1; 0: not there */
    uint8_t seed[2][MODEL_KEYS];
};

/* Keys of different lengths whose order is that of k. */
static struct ior_slice model_key(unsigned k, char room[40])
{
    int n = snprintf(room, 40, "%03u%.*s", k, (int)(k % 30), "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    return ior_slice(room, (size_t)n);
}

static void random_change(struct kv_writer *w, struct model *m, struct rand_state *rand)
{
    char key_room[40];
    uint8_t room[3000];
    unsigned t = (unsigned)rand_below(rand, 2);
    unsigned k = (unsigned)rand_below(rand, MODEL_KEYS);
    struct ior_slice key = model_key(k, key_room);
    struct ior_slice got;
    switch (rand_below(rand, 4)) {
    case 0:
        assert_int_equal(kv_del(w, t == 0 ? KV_ROWS : KV_SMALL, key),
                         m->value[t][k] != 0 ? IOR_OK : IOR_E_NOTFOUND);
        m->value[t][k] = 0;
        return;
    case 1:
        assert_int_equal(kv_write_get(w, t == 0 ? KV_ROWS : KV_SMALL, key, &got),
                         m->value[t][k] != 0 ? IOR_OK : IOR_E_NOTFOUND);
        if (m->value[t][k] != 0)
            assert_true(ior_slice_eq(got, fill(room, m->value[t][k] - 1u, m->seed[t][k])));
        return;
    default:
        m->value[t][k] = (uint16_t)(1 + rand_below(rand, sizeof room));
        m->seed[t][k] = (uint8_t)rand_next(rand);
        struct ior_slice value = fill(room, m->value[t][k] - 1u, m->seed[t][k]);
        assert_int_equal(kv_put(w, t == 0 ? KV_ROWS : KV_SMALL, key, value), IOR_OK);
    }
}

static void expect_model(struct kv_reader *r, const struct model *m)
{
    for (unsigned t = 0; t < 2; t++) {
        struct ior_slice key;
        struct ior_slice value;
        enum ior_err err =
            kv_seek(r, t == 0 ? KV_ROWS : KV_SMALL, ior_slice(NULL, 0), &key, &value);
        for (unsigned k = 0; k < MODEL_KEYS; k++) {
            char key_room[40];
            uint8_t room[3000];
            if (m->value[t][k] == 0) continue;
            assert_int_equal(err, IOR_OK);
            assert_true(ior_slice_eq(key, model_key(k, key_room)));
            assert_true(ior_slice_eq(value, fill(room, m->value[t][k] - 1u, m->seed[t][k])));
            err = kv_next(r, &key, &value);
        }
        assert_int_equal(err, IOR_E_END);
    }
}

/* What: after thousands of puts and deletes, commits, aborts and opens, the content is that of
 * a plain array; and an old snapshot is what the array was then. */
static void like_a_model(void **state)
{
    (void)state;
    static struct model committed;
    static struct model changed;
    static struct model seen;
    struct rand_state rand = {.x = 20261121};
    committed = seen = (struct model){0};
    kv_rig_read(&rig);
    for (unsigned round = 0; round < MODEL_ROUNDS; round++) {
        changed = committed;
        struct kv_writer *w = kv_rig_begin(&rig);
        for (uint64_t n = rand_below(&rand, 60); n > 0; n--) random_change(w, &changed, &rand);
        if (rand_below(&rand, 4) == 0) {
            kv_write_abort(w);
        } else {
            assert_int_equal(kv_write_commit(w), IOR_OK);
            committed = changed;
        }
        expect_model(rig.reader, &seen);
        if (rand_below(&rand, 3) != 0) continue;
        if (rand_below(&rand, 4) == 0) {
            kv_rig_close(&rig);
            kv_rig_open(&rig);
        }
        kv_rig_read(&rig);
        seen = committed;
        expect_model(rig.reader, &seen);
    }
}

/* ---- readers beside a writer ---- */

enum { PAIR_COMMITS = 60, PAIR_THREADS = 2 };
static atomic_bool pairs_end;
static atomic_uint pairs_read;

/* Both numbers of a commit are the same, in every snapshot, and none is older than the last. */
static void *read_pairs(void *arg)
{
    struct kv_reader *r = arg;
    uint32_t last = 0;
    do {
        uint32_t both[2] = {0, 0};
        enum ior_err err = kv_read_begin(r);
        IOR_ASSERT(err == IOR_OK);
        for (unsigned i = 0; i < 2; i++) {
            struct ior_slice got;
            err = kv_get(r, i == 0 ? KV_META : KV_GROUPS, IOR_SLICE("pair"), &got);
            IOR_ASSERT(err == IOR_OK && got.size_bytes == sizeof both[i]);
            memcpy(&both[i], got.data, sizeof both[i]);
        }
        IOR_ASSERT(both[0] == both[1] && both[0] >= last);
        last = both[0];
        kv_read_end(r);
        atomic_fetch_add(&pairs_read, 1);
    } while (!atomic_load(&pairs_end));
    return NULL;
}

static void commit_pair(uint32_t number)
{
    struct ior_slice value = ior_slice(&number, sizeof number);
    struct kv_writer *w = kv_rig_begin(&rig);
    assert_int_equal(kv_put(w, KV_META, IOR_SLICE("pair"), value), IOR_OK);
    assert_int_equal(kv_put(w, KV_GROUPS, IOR_SLICE("pair"), value), IOR_OK);
    assert_int_equal(kv_write_commit(w), IOR_OK);
}

/* What: threads that read while another commits see whole commits. */
static void readers_beside_a_writer(void **state)
{
    (void)state;
    pthread_t threads[PAIR_THREADS];
    struct kv_reader *readers[PAIR_THREADS];
    atomic_store(&pairs_end, false);
    atomic_store(&pairs_read, 0);
    commit_pair(0);
    for (int i = 0; i < PAIR_THREADS; i++) {
        assert_int_equal(kv_reader_new(rig.kv, &readers[i]), IOR_OK);
        assert_int_equal(pthread_create(&threads[i], NULL, read_pairs, readers[i]), 0);
    }
    for (uint32_t n = 1; n <= PAIR_COMMITS || atomic_load(&pairs_read) < 100; n++) commit_pair(n);
    atomic_store(&pairs_end, true);
    for (int i = 0; i < PAIR_THREADS; i++) {
        pthread_join(threads[i], NULL);
        kv_reader_free(readers[i]);
    }
    assert_true(atomic_load(&pairs_read) >= 100);
}

/* ---- LMDB only ---- */

/* Where these bytes are in the closed file; they are there once. */
static long find_bytes(const char *bytes)
{
    FILE *f = fopen(rig.file, "rb");
    assert_non_null(f);
    struct stat st;
    assert_int_equal(fstat(fileno(f), &st), 0);
    uint8_t *all = malloc((size_t)st.st_size);
    assert_non_null(all);
    assert_int_equal(fread(all, 1, (size_t)st.st_size, f), st.st_size);
    fclose(f);
    uint8_t *at = memmem(all, (size_t)st.st_size, bytes, strlen(bytes));
    assert_non_null(at);
    long offset = (long)(at - all);
    free(all);
    return offset;
}

static void flip(long offset)
{
    FILE *f = fopen(rig.file, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, offset, SEEK_SET), 0);
    int c = fgetc(f);
    assert_int_equal(fseek(f, offset, SEEK_SET), 0);
    assert_int_equal(fputc(c ^ 4, f), c ^ 4);
    assert_int_equal(fclose(f), 0);
}

/* What: a changed bit in a value is CORRUPT by every way to read it, and so is a value that
 * stands behind another key; the neighbours are well. */
static void lmdb_changed_values_are_found(void **state)
{
    (void)state;
    struct ior_slice key;
    struct ior_slice value;
    struct kv_writer *all = kv_rig_begin(&rig); /* one commit: their page is there once */
    kv_rig_put(all, KV_META, "k1", "first value");
    kv_rig_put(all, KV_META, "k2", "PATTERN-OF-A-VALUE");
    kv_rig_put(all, KV_META, "k3", "third value");
    assert_int_equal(kv_write_commit(all), IOR_OK);
    kv_rig_close(&rig);
    long at = find_bytes("PATTERN-OF-A-VALUE");
    for (long i = 0; i < 22; i++) { /* the value and its checksum */
        flip(at + i);
        kv_rig_open(&rig);
        struct kv_reader *r = kv_rig_read(&rig);
        assert_int_equal(kv_get(r, KV_META, IOR_SLICE("k2"), &value), IOR_E_CORRUPT);
        assert_int_equal(kv_seek(r, KV_META, IOR_SLICE("k11"), &key, &value), IOR_E_CORRUPT);
        assert_true(ior_slice_eq(key, IOR_SLICE("k2")));
        assert_int_equal(kv_next(r, &key, &value), IOR_OK);
        assert_int_equal(kv_seek_back(r, KV_META, IOR_SLICE("k2z"), &key, &value), IOR_E_CORRUPT);
        kv_rig_expect(r, KV_META, "k1", "first value");
        kv_rig_expect(r, KV_META, "k3", "third value");
        struct kv_writer *w = kv_rig_begin(&rig);
        assert_int_equal(kv_write_get(w, KV_META, IOR_SLICE("k2"), &value), IOR_E_CORRUPT);
        kv_write_abort(w);
        kv_rig_close(&rig);
        flip(at + i);
    }
    flip(at - 1); /* the last byte of its key: "k2" is "k6" now */
    kv_rig_open(&rig);
    struct kv_reader *r = kv_rig_read(&rig);
    kv_rig_expect(r, KV_META, "k2", NULL);
    assert_int_equal(kv_get(r, KV_META, IOR_SLICE("k6"), &value), IOR_E_CORRUPT);
}

static void expect_no_open(enum ior_err wanted, const char *text)
{
    struct ior_why why = {""};
    enum ior_err err = kv_rig_try_open(&rig, &why);
    if (err != wanted || strstr(why.text, text) == NULL)
        fail_msg("%s: %s (wanted %s: %s)", ior_err_name(err), why.text, ior_err_name(wanted), text);
}

/* What: a file that was cut is damage with a name and an offset, at every page, and stays as it
 * is; so is an empty one and one that is something else. */
static void lmdb_cut_files_are_found(void **state)
{
    (void)state;
    struct stat st;
    struct kv_writer *w = kv_rig_begin(&rig);
    static uint8_t room[30000];
    for (uint8_t i = 0; i < 5; i++) {
        struct ior_slice value = fill(room, sizeof room, i);
        assert_int_equal(kv_put(w, KV_SMALL, ior_slice(&i, 1), value), IOR_OK);
    }
    assert_int_equal(kv_write_commit(w), IOR_OK);
    kv_rig_close(&rig);
    assert_int_equal(stat(rig.file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    for (off_t size = st.st_size - 4096; size >= 0; size -= 4096) {
        assert_int_equal(truncate(rig.file, size), 0);
        expect_no_open(IOR_E_CORRUPT, KV_LMDB_FILE);
        assert_int_equal(stat(rig.file, &st), 0);
        assert_int_equal(st.st_size, size);
    }
    FILE *f = fopen(rig.file, "wb");
    assert_non_null(f);
    for (int i = 0; i < 5000; i++) fputs("no database ", f);
    assert_int_equal(fclose(f), 0);
    expect_no_open(IOR_E_CORRUPT, KV_LMDB_FILE);
}

/* What: pages that were used and freed in one transaction may be missing at the end of the
 * file; that is no damage. */
static void lmdb_freed_end_is_fine(void **state)
{
    (void)state;
    static uint8_t room[KV_VALUE_BYTES_MAX];
    kv_rig_put_one(&rig, "a", "kept");
    for (int round = 0; round < 3; round++) {
        struct kv_writer *w = kv_rig_begin(&rig);
        for (uint8_t i = 0; i < 8; i++) {
            struct ior_slice value = fill(room, sizeof room / (1u + i), i);
            assert_int_equal(kv_put(w, KV_SMALL, ior_slice(&i, 1), value), IOR_OK);
        }
        for (uint8_t i = 0; i < 8; i++)
            assert_int_equal(kv_del(w, KV_SMALL, ior_slice(&i, 1)), IOR_OK);
        assert_int_equal(kv_write_commit(w), IOR_OK);
        kv_rig_close(&rig);
        kv_rig_open(&rig);
        kv_rig_expect(kv_rig_read(&rig), KV_META, "a", "kept");
    }
}

/* What: a full map is NOSPC, what was committed before is there, smaller changes go on, and
 * a larger map takes more. */
static void lmdb_full_map(void **state)
{
    (void)state;
    static uint8_t room[60000];
    kv_rig_close(&rig);
    rig.map_bytes = 2 << 20;
    kv_rig_open(&rig);
    kv_rig_put_one(&rig, "a", "before");
    enum ior_err err = IOR_OK;
    struct kv_writer *w = kv_rig_begin(&rig);
    for (uint8_t i = 0; i < 100 && err == IOR_OK; i++)
        err = kv_put(w, KV_SMALL, ior_slice(&i, 1), fill(room, sizeof room, i));
    assert_int_equal(err, IOR_E_NOSPC);
    kv_write_abort(w);
    kv_rig_expect(kv_rig_read(&rig), KV_META, "a", "before");
    kv_rig_put_one(&rig, "b", "behind");
    err = IOR_OK;
    unsigned count = 0;
    while (err == IOR_OK) {
        uint8_t key = (uint8_t)count;
        w = kv_rig_begin(&rig);
        err = kv_put(w, KV_SMALL, ior_slice(&key, 1), fill(room, sizeof room, key));
        if (err == IOR_OK) {
            err = kv_write_commit(w);
        } else {
            kv_write_abort(w);
        }
        if (err == IOR_OK) count++;
    }
    assert_int_equal(err, IOR_E_NOSPC);
    assert_in_range(count, 20, 40);
    assert_true(kv_file_bytes(rig.kv) <= rig.map_bytes);
    kv_rig_close(&rig);
    kv_rig_open(&rig); /* the commit of an open finds the pages that the one before let go */
    kv_rig_expect(kv_rig_read(&rig), KV_META, "b", "behind");
    kv_rig_close(&rig);
    rig.map_bytes = 8 << 20;
    kv_rig_open(&rig);
    w = kv_rig_begin(&rig);
    for (uint8_t i = 100; i < 150; i++)
        assert_int_equal(kv_put(w, KV_SMALL, ior_slice(&i, 1), fill(room, sizeof room, i)), IOR_OK);
    assert_int_equal(kv_write_commit(w), IOR_OK);
    struct kv_reader *r = kv_rig_read(&rig);
    for (uint8_t i = 0; i < 150; i++) {
        struct ior_slice got;
        if (i >= count && i < 100) continue;
        assert_int_equal(kv_get(r, KV_SMALL, ior_slice(&i, 1), &got), IOR_OK);
        assert_true(ior_slice_eq(got, fill(room, sizeof room, i)));
    }
    kv_rig_expect(r, KV_META, "b", "behind");
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What: 100,000 rows in transactions of 10,000, read one by one and by a walk. The time is
 * printed and not judged. */
static void lmdb_many_rows(void **state)
{
    (void)state;
    enum { ROWS = 100000, ROWS_A_TXN = 10000 };
    uint8_t room[80];
    struct rand_state rand = {.x = 5};
    double began = seconds();
    for (unsigned n = 0; n < ROWS;) {
        struct kv_writer *w = kv_rig_begin(&rig);
        for (unsigned i = 0; i < ROWS_A_TXN; i++, n++) {
            uint64_t key = rand_next(&rand);
            struct ior_slice value = fill(room, sizeof room, (uint8_t)n);
            assert_int_equal(kv_put(w, KV_ROWS, ior_slice(&key, 8), value), IOR_OK);
        }
        assert_int_equal(kv_write_commit(w), IOR_OK);
    }
    double written = seconds();
    struct kv_reader *r = kv_rig_read(&rig);
    struct ior_slice key;
    struct ior_slice value;
    rand.x = 5;
    for (unsigned n = 0; n < ROWS; n++) {
        uint64_t wanted = rand_next(&rand);
        assert_int_equal(kv_get(r, KV_ROWS, ior_slice(&wanted, 8), &value), IOR_OK);
        assert_int_equal(value.data[0], (uint8_t)n);
    }
    double got = seconds();
    unsigned count = 0;
    enum ior_err err = kv_seek(r, KV_ROWS, ior_slice(NULL, 0), &key, &value);
    for (; err == IOR_OK; err = kv_next(r, &key, &value)) count++;
    assert_int_equal(err, IOR_E_END);
    assert_int_equal(count, ROWS);
    print_message(
        "%d rows in %d commits: %.0f ms, %.1f MB; gets: %.2f us each; walk: %.2f us a row\n", ROWS,
        ROWS / ROWS_A_TXN, (written - began) * 1e3, (double)kv_file_bytes(rig.kv) / 1e6,
        (got - written) * 1e6 / ROWS, (seconds() - got) * 1e6 / ROWS);
}

/* What: a folder that is not there, and more readers than LMDB has room for. */
static void lmdb_refusals(void **state)
{
    (void)state;
    struct kv *kv = NULL;
    struct ior_why why = {""};
    enum ior_err err = kv_lmdb_open("/tmp/iorio-kv-not-there", 1 << 20, &kv, &why);
    assert_int_equal(err, IOR_E_IO);
    assert_non_null(strstr(why.text, "/tmp/iorio-kv-not-there/" KV_LMDB_FILE));
    struct kv_reader *readers[300];
    unsigned count = 0;
    while (count < 300 && (err = kv_reader_new(rig.kv, &readers[count])) == IOR_OK) count++;
    assert_int_equal(err, IOR_E_BUSY);
    assert_in_range(count, 200, 256);
    while (count > 0) kv_reader_free(readers[--count]);
    kv_rig_put_one(&rig, "a", "1");
    kv_rig_expect(kv_rig_read(&rig), KV_META, "a", "1");
}

#define BOTH(test)                                                                                 \
    {"lmdb " #test, test, set_up_lmdb, tear_down, NULL},                                           \
    {                                                                                              \
        "sim " #test, test, set_up_sim, tear_down, NULL                                            \
    }
#define LMDB(test) cmocka_unit_test_setup_teardown(test, set_up_lmdb, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(values_come_back),
        BOTH(keys_are_in_order),
        BOTH(snapshots),
        BOTH(like_a_model),
        BOTH(readers_beside_a_writer),
        LMDB(lmdb_changed_values_are_found),
        LMDB(lmdb_cut_files_are_found),
        LMDB(lmdb_freed_end_is_fine),
        LMDB(lmdb_full_map),
        LMDB(lmdb_many_rows),
        LMDB(lmdb_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

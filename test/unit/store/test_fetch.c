/* test/unit/store/test_fetch.c - events of small streams and of chunks, from every seqnum;
 * chunks that grow, are sealed and buried; how many files stay open, and which. */
#include "fetch_rig.h"

#include "store/fetch_private.h"
#include "store/kv_private.h"

static unsigned open_files(void)
{
    return disk_sim_open_files(cr_disk);
}

static uint64_t opens(void)
{
    return disk_sim_count(cr_disk, DISK_SIM_OPEN);
}

/* ---- small ---- */

/* What: every `from` and every max of a small stream; in front of it and behind it is nothing. */
static void small_stream(void **state)
{
    (void)state;
    enum { FIRST = 4, LAST = 20 };
    fr_expect_none(1);
    fr_small(FIRST, LAST);
    for (uint64_t from = 0; from <= LAST + 3; from++) {
        for (size_t max = 1; max <= 20; max++) {
            size_t left = (size_t)(LAST + 1 - from);
            if (from < FIRST || from > LAST) {
                fr_expect_none(from);
            } else {
                fr_expect(from, max, max < left ? max : left);
            }
        }
    }
    fr_expect_none(UINT64_MAX);
    assert_int_equal(open_files(), 0);
    fr_small(FIRST + 5, LAST + 10); /* the next checkpoint */
    fr_expect_none(FIRST + 4);
    fr_expect(LAST, 100, 11);
    fr_put_small(CR_UID, ior_slice(NULL, 0));
    fr_expect_none(LAST);
}

/* What: only the events that were asked for are copied. */
static void small_blob_is_small(void **state)
{
    (void)state;
    struct ior_blob *blob = NULL;
    size_t count = 0;
    fr_small(1, 40);
    assert_int_equal(fetch_events(fr, CR_PARTITION, CR_UID, 30, fr_out, 2, &count, &blob, &cr_why),
                     IOR_OK);
    assert_int_equal(count, 2);
    size_t least = cr_size(30) + cr_size(31) + fr_out[0].item.attrs.size_bytes;
    assert_in_range(blob->size_bytes, least, least + 16);
    ior_blob_unref(blob);
}

/* What: a small stream that gets its first chunk; other streams and partitions have nothing. */
static void small_becomes_chunk(void **state)
{
    (void)state;
    struct ior_blob *blob = NULL;
    size_t count = 0;
    fr_small(1, 10);
    fr_expect(3, 100, 8);
    fr_chunk(1, 12, false);
    fr_put_small(CR_UID, ior_slice(NULL, 0));
    fr_expect(3, 100, 10);
    assert_int_equal(fetch_events(fr, CR_PARTITION, CR_UID + 1, 3, fr_out, 1, &count, &blob, NULL),
                     IOR_E_NOTFOUND);
    assert_int_equal(fetch_events(fr, CR_PARTITION + 1, CR_UID, 3, fr_out, 1, &count, &blob, NULL),
                     IOR_E_NOTFOUND);
}

/* ---- chunks ---- */

/* What: every `from` over several chunks; a read ends with its chunk, the next goes on. */
static void across_chunks(void **state)
{
    (void)state;
    enum { FIRST = 3, LAST = 33 };
    static const struct {
        uint64_t first, last;
    } chunks[] = {{3, 9}, {10, 10}, {11, 25}, {26, LAST}};
    for (size_t i = 0; i < IOR_LEN(chunks); i++) fr_chunk(chunks[i].first, chunks[i].last, i < 3);
    for (size_t i = 0; i < IOR_LEN(chunks); i++) {
        for (uint64_t from = chunks[i].first; from <= chunks[i].last; from++) {
            size_t left = (size_t)(chunks[i].last + 1 - from);
            fr_expect(from, 100, left);
            fr_expect(from, 1, 1);
            fr_expect(from, 3, left < 3 ? left : 3);
        }
    }
    fr_expect_none(FIRST - 1);
    fr_expect_none(0);
    fr_expect_none(LAST + 1);
    fr_expect_none(UINT64_MAX);
    assert_int_equal(open_files(), IOR_LEN(chunks));
    assert_int_equal(opens(), IOR_LEN(chunks)); /* each of them once */
}

/* What: long streams with large events come whole, a block at a time; of a sealed chunk
 * the footer is used. */
static void blocks(void **state)
{
    (void)state;
    enum { LAST = 400 };
    cr_size = cr_size_mixed;
    fr_chunk(1, LAST, true);
    uint64_t from = 1;
    unsigned reads = 0;
    while (from <= LAST) {
        size_t n = 0;
        assert_int_equal(fr_read(from, CR_MAX, &n), IOR_OK);
        from += n;
        reads++;
    }
    assert_in_range(reads, 3, 100);
    fr_expect(1, 1, 1);
    fr_expect(LAST, 10, 1);
    assert_int_equal(opens(), 1);
}

/* What: a chunk that grows under an open reader, then is sealed; nothing is opened again. */
static void growing(void **state)
{
    (void)state;
    struct chunk_state made = fr_chunk(1, 5, false);
    fr_expect(2, 100, 4);
    fr_expect_none(6);
    for (uint64_t last = 6; last < 60; last += 7) {
        fr_grow(1, &made, last, false);
        fr_expect(last, 100, 1);
        fr_expect_none(last + 1);
        fr_expect(1, CR_MAX, (size_t)last);
    }
    uint64_t before = opens();
    fr_grow(1, &made, made.last_seqnum, true);
    assert_int_equal(opens() - before, 1); /* the writer */
    fr_expect(1, CR_MAX, (size_t)made.last_seqnum);
    fr_expect(made.last_seqnum, 1, 1);
    assert_int_equal(opens() - before, 1);
    assert_int_equal(open_files(), 1);
}

/* What: who reads on pays one read of the file a call, and nothing else of the disk. */
static void reading_on_is_cheap(void **state)
{
    (void)state;
    enum { LAST = 5000, AT_ONCE = 100 };
    for (unsigned sealed = 0; sealed < 2; sealed++) {
        fr_tear_down(state);
        fr_set_up(state);
        fr_chunk(1, LAST, sealed != 0);
        fr_expect(1, AT_ONCE, AT_ONCE);
        uint64_t reads = disk_sim_count(cr_disk, DISK_SIM_READ);
        uint64_t sizes = disk_sim_count(cr_disk, DISK_SIM_SIZE);
        for (uint64_t from = 1 + AT_ONCE; from < LAST; from += AT_ONCE) {
            fr_expect(from, AT_ONCE, AT_ONCE);
            assert_int_equal(disk_sim_count(cr_disk, DISK_SIM_READ), ++reads);
        }
        assert_int_equal(disk_sim_count(cr_disk, DISK_SIM_SIZE), sizes);
        assert_int_equal(opens(), 1);
    }
}

static struct fetch_chunk *take(uint64_t first, const struct chunk_state *state, uint64_t forgets)
{
    struct chunk_row row = {first, *state};
    struct fetch_chunk *c = NULL;
    enum ior_err err =
        fetch_cache_take(&fr->cache, CR_PARTITION, CR_UID, &row, forgets, &c, &cr_why);
    if (err != IOR_OK) fail_msg("%s", cr_why.text);
    return c;
}

/* What: whoever comes with an older word of the catalog gets the newer reader as it is; a word
 * that fits neither way opens the file anew. */
static void older_and_other_states(void **state)
{
    (void)state;
    struct chunk_state old = fr_chunk(1, 5, false);
    struct chunk_state now = old;
    fr_grow(1, &now, 9, true);
    struct chunk_state open = now;
    open.sealed = false;
    uint64_t before = opens();
    const struct chunk_state *words[] = {&now, &old, &open, &now};
    for (size_t i = 0; i < IOR_LEN(words); i++) {
        struct fetch_chunk *c = take(1, words[i], 0);
        cr_expect_state(chunk_reader_state(fetch_chunk_reader(c)), &now);
        fetch_cache_give(&fr->cache, c, true);
    }
    assert_int_equal(opens() - before, 1);
    struct chunk_state other = now;
    other.last_seqnum--;
    struct fetch_chunk *c = take(1, &other, 0);
    cr_expect_state(chunk_reader_state(fetch_chunk_reader(c)), &other);
    fetch_cache_give(&fr->cache, c, true);
    assert_int_equal(opens() - before, 2);
    assert_int_equal(open_files(), 1);
    other.last_seqnum = UINT64_MAX; /* cannot be */
    other.end_bytes += 8;
    fr_put_row(1, &other);
    size_t n = 0;
    assert_int_equal(fr_read(1, 3, &n), IOR_E_CORRUPT);
    assert_int_equal(open_files(), 0);
    fr_put_row(1, &now);
    fr_expect(1, 100, 9);
}

/* ---- forgetting ---- */

static void bury(uint64_t first)
{
    char path[DISK_PATH_MAX];
    struct kv_writer *w = fr_begin();
    assert_int_equal(catalog_bury_chunk(w, CR_PARTITION, CR_UID, first), IOR_OK);
    fr_commit(w);
    fetch_forget(fr, CR_PARTITION, CR_UID, first);
    chunk_path(CR_PARTITION, CR_UID, first, path);
    assert_int_equal(disk_unlink(cr_disk, path), IOR_OK);
}

/* What: a buried chunk is closed; its events are not there, the others are. */
static void buried(void **state)
{
    (void)state;
    fr_chunk(1, 5, true);
    fr_chunk(6, 9, true);
    fr_chunk(10, 12, false);
    fr_expect(1, 100, 5);
    fr_expect(6, 100, 4);
    fr_expect(10, 100, 3);
    assert_int_equal(open_files(), 3);
    bury(1);
    assert_int_equal(open_files(), 2);
    for (uint64_t from = 1; from <= 5; from++) fr_expect_none(from);
    fr_expect(6, 100, 4);
    bury(6);
    bury(10);
    assert_int_equal(open_files(), 0);
    fr_expect_none(10);
    fetch_forget(fr, CR_PARTITION, CR_UID, 10); /* again, and one that never was */
    fetch_forget(fr, CR_PARTITION, CR_UID, 77);
}

/* What: the catalog names a file that is gone already: NOTFOUND, and nothing stays open. */
static void file_is_missing(void **state)
{
    (void)state;
    fr_chunk(CR_FIRST, CR_FIRST + 4, true);
    assert_int_equal(disk_unlink(cr_disk, cr_path()), IOR_OK);
    fr_expect_none(CR_FIRST);
    assert_non_null(strstr(cr_why.text, cr_path()));
    assert_int_equal(open_files(), 0);
    assert_int_equal(fr->cache.count, 0);
}

/* What: two who want one chunk have a file each, and both stay; forgetting closes the one that
 * is back at once and the other when it comes back. Reading goes on until then. */
static void forget_while_in_use(void **state)
{
    (void)state;
    struct chunk_state made = fr_chunk(CR_FIRST, CR_FIRST + 9, false);
    struct fetch_chunk *a = take(CR_FIRST, &made, 0);
    struct fetch_chunk *b = take(CR_FIRST, &made, 0);
    assert_ptr_not_equal(a, b);
    assert_int_equal(open_files(), 2);
    fetch_cache_give(&fr->cache, b, true);
    assert_int_equal(open_files(), 2);
    assert_ptr_equal(take(CR_FIRST, &made, 0), b);
    fetch_cache_give(&fr->cache, b, true);
    fetch_forget(fr, CR_PARTITION, CR_UID, CR_FIRST);
    assert_int_equal(open_files(), 1);
    assert_int_equal(disk_unlink(cr_disk, cr_path()), IOR_OK);
    cr_expect(fetch_chunk_reader(a), CR_FIRST, CR_FIRST + 9, 3);
    fetch_cache_give(&fr->cache, a, true);
    assert_int_equal(open_files(), 0);
    assert_int_equal(fr->cache.count, 0);
}

/* What: a chunk that is opened after it was forgotten, by the word of an older catalog, is closed
 * after this one use; others too, once, but not what was open before. */
static void forgotten_before_it_was_opened(void **state)
{
    (void)state;
    struct chunk_state first = fr_chunk(CR_FIRST, CR_FIRST + 9, true);
    struct chunk_state second = fr_chunk(CR_FIRST + 10, CR_FIRST + 12, true);
    fr_expect(CR_FIRST + 10, 1, 1);
    uint64_t before = atomic_load(&fr->cache.forgets); /* a reader takes its snapshot here */
    fetch_forget(fr, CR_PARTITION, CR_UID, CR_FIRST);
    struct fetch_chunk *c = take(CR_FIRST, &first, before);
    assert_int_equal(open_files(), 2);
    fetch_cache_give(&fr->cache, c, true);
    assert_int_equal(open_files(), 1);
    c = take(CR_FIRST + 10, &second, before);
    fetch_cache_give(&fr->cache, c, true);
    assert_int_equal(open_files(), 1);
    fr_expect(CR_FIRST, 1, 1); /* a new snapshot */
    assert_int_equal(open_files(), 2);
}

static const struct kv_ops *real_ops;

static void forget_at_the_end(struct kv_reader *r)
{
    real_ops->read_end(r);
    fetch_forget(fr, CR_PARTITION, CR_UID, CR_FIRST);
}

/* What: the same through fetch_events(): the chunk is forgotten when the snapshot has just ended.
 */
static void forgotten_behind_the_snapshot(void **state)
{
    (void)state;
    fr_chunk(CR_FIRST, CR_FIRST + 9, true);
    real_ops = fr_kv->ops;
    struct kv_ops ops = *real_ops;
    ops.read_end = forget_at_the_end;
    fr_kv->ops = &ops;
    fr_expect(CR_FIRST, 10, 10);
    assert_int_equal(open_files(), 0);
    fr_kv->ops = real_ops;
    fr_expect(CR_FIRST, 10, 10);
    assert_int_equal(open_files(), 1);
}

/* ---- how many ---- */

/* What: never more than FETCH_CHUNKS_MAX files are open, used ones included; the one that was
 * not used for the longest time goes. */
static void bound(void **state)
{
    (void)state;
    enum { CHUNKS = FETCH_CHUNKS_MAX + 44, HELD = 3 };
    struct chunk_state states[CHUNKS + 1];
    struct fetch_chunk *held[HELD];
    for (uint64_t i = 1; i <= CHUNKS; i++) states[i] = fr_chunk(i, i, false);
    for (uint64_t i = 1; i <= CHUNKS; i++) {
        fr_expect(i, 10, 1);
        fr_expect(1, 10, 1); /* always young */
        assert_int_equal(open_files(), i < FETCH_CHUNKS_MAX ? i : FETCH_CHUNKS_MAX);
    }
    uint64_t before = opens();
    fr_expect(1, 10, 1);
    for (uint64_t i = CHUNKS; i > CHUNKS - FETCH_CHUNKS_MAX + 1; i--) fr_expect(i, 10, 1);
    assert_int_equal(opens(), before);
    fr_expect(2, 10, 1);
    assert_int_equal(opens(), before + 1);
    for (uint64_t i = 0; i < HELD; i++) held[i] = take(10 + i, &states[10 + i], 0);
    for (uint64_t i = 1; i <= CHUNKS; i++) {
        fr_expect(i, 10, 1);
        assert_int_equal(open_files(), FETCH_CHUNKS_MAX);
    }
    for (uint64_t i = 0; i < HELD; i++) fetch_cache_give(&fr->cache, held[i], true);
    assert_int_equal(open_files(), FETCH_CHUNKS_MAX);
    for (uint64_t i = 1; i <= CHUNKS; i++) fetch_forget(fr, CR_PARTITION, CR_UID, i);
    assert_int_equal(open_files(), 0);
    assert_int_equal(fr->cache.count, 0);
    assert_null(fr->cache.oldest);
    assert_null(fr->cache.youngest);
}

/* What: more in use than may be open: they are given, and closed when they come back. */
static void more_in_use_than_may_be_open(void **state)
{
    (void)state;
    enum { HELD = FETCH_CHUNKS_MAX + 10 };
    struct fetch_chunk *held[HELD];
    struct chunk_state made = fr_chunk(1, 5, true);
    for (int i = 0; i < HELD; i++) held[i] = take(1, &made, 0);
    assert_int_equal(open_files(), HELD);
    for (int i = 0; i < HELD; i++) fetch_cache_give(&fr->cache, held[i], true);
    assert_int_equal(open_files(), FETCH_CHUNKS_MAX);
    fr_expect(1, 10, 5);
}

/* What: readers of the catalog are kept, up to their bound, and see the state of when they
 * were taken. */
static void readers(void **state)
{
    (void)state;
    enum { READERS = FETCH_READERS_IDLE_MAX + 5 };
    struct kv_reader *r[READERS];
    struct ior_slice got;
    assert_int_equal(fetch_reader_take(fr, &r[0]), IOR_OK);
    fr_small(1, 3);
    assert_int_equal(catalog_get_small(r[0], CR_PARTITION, CR_UID, &got), IOR_E_NOTFOUND);
    fetch_reader_give(fr, r[0]);
    struct kv_reader *again = NULL;
    assert_int_equal(fetch_reader_take(fr, &again), IOR_OK);
    assert_ptr_equal(again, r[0]);
    assert_int_equal(catalog_get_small(again, CR_PARTITION, CR_UID, &got), IOR_OK);
    fetch_reader_give(fr, again);
    for (int i = 0; i < READERS; i++) assert_int_equal(fetch_reader_take(fr, &r[i]), IOR_OK);
    for (int i = 0; i < READERS; i++) fetch_reader_give(fr, r[i]);
    assert_int_equal(fr->idle_count, FETCH_READERS_IDLE_MAX);
    assert_int_equal(fr->out_count, 0);
    fr_expect(1, 10, 3);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fr_set_up, fr_tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(small_stream),
        T(small_blob_is_small),
        T(small_becomes_chunk),
        T(across_chunks),
        T(blocks),
        T(growing),
        T(reading_on_is_cheap),
        T(older_and_other_states),
        T(buried),
        T(file_is_missing),
        T(forget_while_in_use),
        T(forgotten_before_it_was_opened),
        T(forgotten_behind_the_snapshot),
        T(bound),
        T(more_in_use_than_may_be_open),
        T(readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

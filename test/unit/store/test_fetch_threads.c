/* test/unit/store/test_fetch_threads.c - real threads, LMDB and a real folder: readers while
 * chunks are made, grow, are sealed, buried and removed, and while others are forgotten for no
 * reason; rows of streams and their buckets likewise. Right events or NOTFOUND below low, no
 * descriptor too many, none of a removed file. */
#include "fetch_rig.h"

#include <dirent.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "store/fetch_private.h"

enum { READERS = 3, ROUNDS = 150, PER_ROUND = 7, ROUNDS_PER_CHUNK = 3, CHUNKS_KEPT = 4 };

static char folder[64];
static atomic_bool ended;
static atomic_uint wrong;
static atomic_uint events_read;
static atomic_uint_fast64_t streams; /* that are in the catalog */
static atomic_uint_fast64_t low;     /* before anything below it goes */
static atomic_uint_fast64_t high;    /* after everything up to it is there */

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/iorio-fetch-XXXXXX");
    assert_non_null(mkdtemp(folder));
    cr_size = cr_size_small;
    log_set_fd(-1);
    assert_int_equal(disk_posix_open(folder, &cr_disk, &cr_why), IOR_OK);
    assert_int_equal(kv_lmdb_open(folder, 64 << 20, &fr_kv, &cr_why), IOR_OK);
    assert_int_equal(fetch_new(cr_disk, fr_kv, &fr), IOR_OK);
    atomic_store(&ended, false);
    atomic_store(&wrong, 0);
    atomic_store(&events_read, 0);
    atomic_store(&low, 1);
    atomic_store(&high, 0);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    fetch_free(fr);
    kv_close(fr_kv);
    disk_free(cr_disk);
    assert_int_equal(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    return 0;
}

/* Descriptors whose name has this in it. */
static unsigned count_fds(const char *part)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    const struct dirent *e;
    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        char path[300];
        char to[600] = {0};
        snprintf(path, sizeof path, "/proc/self/fd/%s", e->d_name);
        if (readlink(path, to, sizeof to - 1) > 0 && strstr(to, part) != NULL) n++;
    }
    closedir(d);
    return n;
}

/* As cr_check(), without an assertion of cmocka: these belong to the main thread. */
static bool is_right(const struct chunk_entry *e, uint64_t seqnum)
{
    if (e->item.seqnum != seqnum || e->item.uid != CR_UID || e->time_ms != cr_time(seqnum) ||
        e->item.payload.size_bytes != cr_size(seqnum))
        return false;
    for (size_t i = 0; i < e->item.payload.size_bytes; i++) {
        if (e->item.payload.data[i] != cr_byte(seqnum, i)) return false;
    }
    return true;
}

static uint32_t next_random(uint32_t *x)
{
    *x = *x * 1664525u + 1013904223u;
    return *x >> 8;
}

static void read_one(uint64_t from, uint64_t last, size_t max)
{
    struct chunk_entry out[40];
    struct ior_blob *blob = NULL;
    struct ior_why why = {""};
    size_t n = 0;
    enum ior_err err = fetch_events(fr, CR_PARTITION, CR_UID, from, out, max, &n, &blob, &why);
    if (err == IOR_E_NOTFOUND) {
        if (from >= atomic_load(&low) && from <= last) {
            atomic_fetch_add(&wrong, 1);
            fprintf(stderr, "lost: %s\n", why.text);
        }
        return;
    }
    if (err != IOR_OK) {
        atomic_fetch_add(&wrong, 1);
        fprintf(stderr, "%s: %s\n", ior_err_name(err), why.text);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_right(&out[i], from + i)) atomic_fetch_add(&wrong, 1);
    }
    ior_blob_unref(blob);
    atomic_fetch_add(&events_read, (unsigned)n);
}

/* Stream CR_UID + i is "2024" of bucket "b<i>". */
static void read_row(uint64_t i, bool by_name)
{
    char bucket[32];
    struct fetch_row *row = NULL;
    struct ior_why why = {""};
    snprintf(bucket, sizeof bucket, "b%u", (unsigned)i);
    enum ior_err err =
        by_name ? fetch_stream(fr, 0, ior_slice_str(bucket), IOR_SLICE("2024"), &row, &why)
                : fetch_stream_uid(fr, CR_PARTITION, CR_UID + i, &row, &why);
    if (err != IOR_OK || !ior_slice_eq(row->bucket, ior_slice_str(bucket)) ||
        row->row.uid != CR_UID + i || !ior_slice_eq(row->row.name, IOR_SLICE("2024"))) {
        atomic_fetch_add(&wrong, 1);
        fprintf(stderr, "row %u: %s\n", (unsigned)i, why.text);
    }
    fetch_row_free(row);
}

static void put_stream(uint64_t i)
{
    char bucket[32];
    struct stream_row row = {
        .partition = CR_PARTITION, .uid = CR_UID + i, .name = IOR_SLICE("2024")};
    struct kv_writer *w = fr_begin();
    snprintf(bucket, sizeof bucket, "b%u", (unsigned)i);
    assert_int_equal(catalog_bucket_id(w, ior_slice_str(bucket), &row.bucket_id), IOR_OK);
    assert_int_equal(catalog_put_stream(w, &row), IOR_OK);
    fr_commit(w);
    atomic_store(&streams, i + 1);
}

static void *read_at_random(void *arg)
{
    uint32_t x = *(uint32_t *)arg;
    while (!atomic_load(&ended)) {
        uint64_t first = atomic_load(&low);
        uint64_t last = atomic_load(&high);
        if (last < first) continue;
        uint64_t from = first + next_random(&x) % (last + 1 - first);
        if (x % 3 == 0) from = last; /* often where it grows */
        if (x % 11 == 0) from = first;
        read_one(from, last, 1 + next_random(&x) % 40);
        bool by_name = x % 2 == 0;
        if (x % 5 == 0) read_row(next_random(&x) % atomic_load(&streams), by_name);
    }
    return NULL;
}

static void *forget_at_random(void *arg)
{
    uint32_t x = *(uint32_t *)arg;
    while (!atomic_load(&ended)) {
        uint64_t chunk = next_random(&x) % ROUNDS / ROUNDS_PER_CHUNK;
        fetch_forget(fr, CR_PARTITION, CR_UID, 1 + chunk * ROUNDS_PER_CHUNK * PER_ROUND);
        usleep(50);
    }
    return NULL;
}

static void bury(uint64_t first)
{
    char path[DISK_PATH_MAX];
    struct kv_writer *w = fr_begin();
    atomic_store(&low, first + ROUNDS_PER_CHUNK * PER_ROUND);
    assert_int_equal(catalog_bury_chunk(w, CR_PARTITION, CR_UID, first), IOR_OK);
    fr_commit(w);
    fetch_forget(fr, CR_PARTITION, CR_UID, first);
    chunk_path(CR_PARTITION, CR_UID, first, path);
    assert_int_equal(disk_unlink(cr_disk, path), IOR_OK);
}

/* What: see above. The chunks are written here as a checkpoint would. */
static void readers_and_a_checkpoint(void **state)
{
    (void)state;
    pthread_t threads[READERS + 1];
    uint32_t seeds[READERS + 1];
    struct chunk_state now = {0};
    uint64_t first = 1;
    put_stream(0);
    for (unsigned i = 0; i <= READERS; i++) {
        seeds[i] = 77 + i * 1000;
        assert_int_equal(pthread_create(&threads[i], NULL,
                                        i < READERS ? read_at_random : forget_at_random, &seeds[i]),
                         0);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t last = (round + 1) * PER_ROUND;
        if (round % ROUNDS_PER_CHUNK == 0) {
            first = last + 1 - PER_ROUND;
            now = fr_chunk(first, last, false);
        } else {
            fr_grow(first, &now, last, round % ROUNDS_PER_CHUNK == ROUNDS_PER_CHUNK - 1);
        }
        atomic_store(&high, last);
        if (round % 4 == 0) put_stream(1 + round / 4);
        uint64_t oldest = atomic_load(&low);
        if (last > oldest + CHUNKS_KEPT * ROUNDS_PER_CHUNK * PER_ROUND) bury(oldest);
    }
    while (atomic_load(&events_read) < 1000 && atomic_load(&wrong) == 0) usleep(1000);
    atomic_store(&ended, true);
    for (unsigned i = 0; i <= READERS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&wrong), 0);
    assert_int_equal(count_fds(".chunk (deleted)"), 0);
    assert_int_equal(count_fds(".chunk"), fr->cache.count);
    assert_in_range(fr->idle_count, 1, READERS);
    for (uint64_t at = atomic_load(&low); at <= atomic_load(&high); at++) fr_expect(at, 1, 1);
}

/* ---- many chunks ---- */

enum { MANY = FETCH_CHUNKS_MAX + 40 };

static void *read_many(void *arg)
{
    uint32_t x = *(uint32_t *)arg;
    for (int i = 0; i < 1500; i++) read_one(1 + next_random(&x) % MANY, MANY, 3);
    return NULL;
}

static void *watch_fds(void *arg)
{
    unsigned *most = arg;
    while (!atomic_load(&ended)) {
        unsigned n = count_fds(".chunk");
        if (n > *most) *most = n;
    }
    return NULL;
}

/* What: more chunks than may be open, read by several at a time: the bound holds throughout. */
static void bound_with_threads(void **state)
{
    (void)state;
    pthread_t threads[READERS];
    pthread_t watcher;
    uint32_t seeds[READERS];
    unsigned most = 0;
    struct kv_writer *w = fr_begin();
    for (uint64_t i = 1; i <= MANY; i++) { /* without a sync: no crash here */
        struct chunk_id id = fr_id(i);
        struct chunk_writer *cw = NULL;
        bool fresh = false;
        assert_int_equal(chunk_create(cr_disk, &id, &cw, &fresh), IOR_OK);
        assert_int_equal(cr_append(cw, i, i), IOR_OK);
        struct chunk_row row = {i, *chunk_writer_state(cw)};
        chunk_writer_close(cw);
        assert_int_equal(catalog_put_chunk(w, CR_PARTITION, CR_UID, &row), IOR_OK);
    }
    fr_commit(w);
    assert_int_equal(pthread_create(&watcher, NULL, watch_fds, &most), 0);
    for (unsigned i = 0; i < READERS; i++) {
        seeds[i] = 5 + i;
        assert_int_equal(pthread_create(&threads[i], NULL, read_many, &seeds[i]), 0);
    }
    for (unsigned i = 0; i < READERS; i++) pthread_join(threads[i], NULL);
    atomic_store(&ended, true);
    pthread_join(watcher, NULL);
    assert_int_equal(atomic_load(&wrong), 0);
    assert_int_equal(atomic_load(&events_read), READERS * 1500);
    assert_in_range(most, FETCH_CHUNKS_MAX / 2, FETCH_CHUNKS_MAX);
    assert_in_range(fr->cache.count, FETCH_CHUNKS_MAX - READERS, FETCH_CHUNKS_MAX);
    assert_int_equal(count_fds(".chunk"), fr->cache.count);
}

/* What: more readers of the catalog than LMDB has are BUSY, with a reason; then it goes on. */
static void readers_run_out(void **state)
{
    (void)state;
    enum { LMDB_READERS = 256 };
    struct kv_reader *r[LMDB_READERS + 1];
    struct ior_blob *blob = NULL;
    size_t n = 0;
    enum ior_err err = IOR_OK;
    fr_small(1, 3);
    while (n <= LMDB_READERS && (err = fetch_reader_take(fr, &r[n])) == IOR_OK) n++;
    assert_int_equal(err, IOR_E_BUSY);
    assert_int_equal(n, LMDB_READERS);
    size_t count = 0;
    assert_int_equal(fetch_events(fr, CR_PARTITION, CR_UID, 1, fr_out, 1, &count, &blob, &cr_why),
                     IOR_E_BUSY);
    assert_non_null(strstr(cr_why.text, "1fe2d3c4b5a69788"));
    while (n > 0) fetch_reader_give(fr, r[--n]);
    assert_int_equal(fr->idle_count, FETCH_READERS_IDLE_MAX);
    fr_expect(1, 5, 3);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {T(readers_and_a_checkpoint), T(bound_with_threads),
                                       T(readers_run_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

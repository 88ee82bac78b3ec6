/* src/store/fetch.c - see fetch.h: readers of the catalog, and events.
 * Happy path: one snapshot tells which chunk has the event, and ends; then the chunk is read.
 * Chunks are asked for first: a long stream has only these, and is read many times in a row,
 * a small one once. A small stream's events are read where they lie in the catalog, and the
 * bytes of those that are wanted are copied before the snapshot ends.
 * Failure modes: the catalog's errors with the stream's name; a chunk's as chunk_read.c says
 * them. A chunk after an error is not kept open.
 * Thread: any; the mutex is over the list of readers alone. */
#include "store/fetch_private.h"

#include <inttypes.h>
#include <stdlib.h>

#include "store/small.h"

/* What a caller wants. */
struct wanted {
    uint32_t partition;
    uint64_t uid;
    uint64_t from;
    struct chunk_entry *out;
    size_t max;
    struct ior_why *why;
};

enum ior_err fetch_new(struct disk *d, struct kv *kv, struct fetch **ret)
{
    struct fetch *f = calloc(1, sizeof *f);
    if (f == NULL) return IOR_E_NOMEM;
    f->magic = FETCH_MAGIC;
    f->kv = kv;
    pthread_mutex_init(&f->mutex, NULL);
    fetch_cache_init(&f->cache, d);
    fetch_names_init(&f->names);
    *ret = f;
    return IOR_OK;
}

void fetch_free(struct fetch *f)
{
    if (f == NULL) return;
    IOR_CHECK_MAGIC(f, FETCH_MAGIC);
    IOR_ASSERT(f->out_count == 0);
    while (f->idle_count > 0) kv_reader_free(f->idle[--f->idle_count]);
    fetch_names_done(&f->names);
    fetch_cache_done(&f->cache);
    pthread_mutex_destroy(&f->mutex);
    f->magic = 0;
    free(f);
}

void fetch_forget(struct fetch *f, uint32_t partition, uint64_t uid, uint64_t first_seqnum)
{
    IOR_CHECK_MAGIC(f, FETCH_MAGIC);
    fetch_cache_forget(&f->cache, partition, uid, first_seqnum);
}

/* ---- readers ---- */

enum ior_err fetch_reader_take(struct fetch *f, struct kv_reader **ret)
{
    IOR_CHECK_MAGIC(f, FETCH_MAGIC);
    struct kv_reader *r = NULL;
    enum ior_err err = IOR_OK;
    pthread_mutex_lock(&f->mutex);
    f->out_count++;
    if (f->idle_count > 0) r = f->idle[--f->idle_count];
    pthread_mutex_unlock(&f->mutex);
    if (r == NULL) err = kv_reader_new(f->kv, &r);
    if (err == IOR_OK) err = kv_read_begin(r);
    if (err == IOR_OK) {
        *ret = r;
        return IOR_OK;
    }
    kv_reader_free(r);
    pthread_mutex_lock(&f->mutex);
    f->out_count--;
    pthread_mutex_unlock(&f->mutex);
    return err;
}

void fetch_reader_give(struct fetch *f, struct kv_reader *r)
{
    IOR_CHECK_MAGIC(f, FETCH_MAGIC);
    kv_read_end(r);
    pthread_mutex_lock(&f->mutex);
    IOR_ASSERT(f->out_count > 0);
    f->out_count--;
    if (f->idle_count < FETCH_READERS_IDLE_MAX) {
        f->idle[f->idle_count++] = r;
        r = NULL;
    }
    pthread_mutex_unlock(&f->mutex);
    kv_reader_free(r);
}

/* ---- errors ---- */

static enum ior_err no_event(const struct wanted *w)
{
    return ior_why_set(w->why, IOR_E_NOTFOUND,
                       "there is no event %" PRIu64 " of stream %016" PRIx64
                       " in partition %" PRIu32,
                       w->from, w->uid, w->partition);
}

static enum ior_err bad_catalog(const struct wanted *w, enum ior_err err)
{
    return ior_why_set(w->why, err,
                       KV_LMDB_FILE ": cannot read where stream %016" PRIx64
                                    " in partition %" PRIu32 " is: %s",
                       w->uid, w->partition, ior_err_reason(err));
}

static enum ior_err bad_small(const struct wanted *w, size_t at, const char *what)
{
    return ior_why_set(w->why, IOR_E_CORRUPT,
                       KV_LMDB_FILE ": damage in the events of stream %016" PRIx64
                                    " in partition %" PRIu32 " at byte %zu: %s",
                       w->uid, w->partition, at, what);
}

/* ---- small streams ---- */

/* The entries out[0..count) lie in these bytes: a copy of them, and out with it. */
static enum ior_err copy_small(const struct wanted *w, struct ior_slice bytes, size_t count,
                               struct ior_blob **ret)
{
    struct ior_blob *blob = ior_blob_new(bytes.size_bytes);
    if (blob == NULL) return ior_why_set(w->why, IOR_E_NOMEM, "no memory for events");
    memcpy(blob->data, bytes.data, bytes.size_bytes);
    for (size_t i = 0; i < count; i++) {
        struct item *it = &w->out[i].item;
        it->attrs.data = blob->data + (it->attrs.data - bytes.data);
        it->payload.data = blob->data + (it->payload.data - bytes.data);
    }
    *ret = blob;
    return IOR_OK;
}

static enum ior_err take_small(const struct wanted *w, struct ior_slice entries, size_t *ret_count,
                               struct ior_blob **ret_blob)
{
    struct small_reader r = {.bytes = entries, .uid = w->uid};
    const char *what = NULL;
    size_t first = 0;
    size_t n = 0;
    while (n < w->max) {
        struct chunk_entry *e = &w->out[n];
        size_t at = r.pos;
        if (small_next(&r, e, &what) != IOR_OK) break;
        if (n == 0 && e->item.seqnum > w->from) break;
        if (e->item.seqnum >= w->from && n++ == 0) first = at;
    }
    if (n == 0) return what != NULL ? bad_small(w, r.pos, what) : no_event(w);
    *ret_count = n;
    return copy_small(w, ior_slice(entries.data + first, r.pos - first), n, ret_blob);
}

/* ---- events ---- */

/* In one snapshot: the row of the chunk that has the event, or the events themselves. */
static enum ior_err look_up(struct fetch *f, const struct wanted *w, struct chunk_row *ret_row,
                            size_t *ret_count, struct ior_blob **ret_blob)
{
    struct ior_slice entries;
    struct kv_reader *r = NULL;
    enum ior_err err = fetch_reader_take(f, &r);
    if (err != IOR_OK) return bad_catalog(w, err);
    err = catalog_seek_chunk(r, w->partition, w->uid, w->from, ret_row);
    if (err == IOR_OK) {
        if (ret_row->first_seqnum > w->from) err = no_event(w);
    } else if (err != IOR_E_NOTFOUND) {
        err = bad_catalog(w, err);
    } else {
        err = catalog_get_small(r, w->partition, w->uid, &entries);
        if (err == IOR_OK) {
            err = take_small(w, entries, ret_count, ret_blob);
        } else {
            err = err == IOR_E_NOTFOUND ? no_event(w) : bad_catalog(w, err);
        }
    }
    fetch_reader_give(f, r);
    return err;
}

static enum ior_err read_chunk(struct fetch *f, const struct wanted *w, const struct chunk_row *row,
                               uint64_t forgets, size_t *ret_count, struct ior_blob **ret_blob)
{
    struct fetch_chunk *c = NULL;
    size_t count = 0;
    struct ior_blob *blob = NULL;
    enum ior_err err = fetch_cache_take(&f->cache, w->partition, w->uid, row, forgets, &c, w->why);
    if (err != IOR_OK) return err;
    err = chunk_read(fetch_chunk_reader(c), w->from, w->out, w->max, &count, &blob, w->why);
    fetch_cache_give(&f->cache, c, err == IOR_OK);
    if (err != IOR_OK) return err;
    IOR_ASSERT(count > 0); /* the row reaches so far */
    *ret_count = count;
    *ret_blob = blob;
    return IOR_OK;
}

enum ior_err fetch_events(struct fetch *f, uint32_t partition, uint64_t uid, uint64_t from,
                          struct chunk_entry *out, size_t max, size_t *ret_count,
                          struct ior_blob **ret_blob, struct ior_why *why)
{
    IOR_CHECK_MAGIC(f, FETCH_MAGIC);
    IOR_ASSERT(max > 0);
    const struct wanted w = {partition, uid, from, out, max, why};
    struct chunk_row row;
    struct ior_blob *small = NULL;
    size_t count = 0;
    uint64_t forgets = atomic_load(&f->cache.forgets); /* in front of the snapshot */
    enum ior_err err = look_up(f, &w, &row, &count, &small);
    if (err != IOR_OK) return err;
    if (small == NULL) return read_chunk(f, &w, &row, forgets, ret_count, ret_blob);
    *ret_count = count;
    *ret_blob = small;
    return IOR_OK;
}

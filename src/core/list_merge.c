/* src/core/list_merge.c - the end of a listing: names in memory and names in the catalog as
 * one sorted list. Thread: the disk pool; nobody else has the list meanwhile.
 * Happy path: sort what the vnodes gave, then walk the catalog beside it.
 * Failure modes: a catalog that cannot be read ends it with its error (logged). */
#include <stdlib.h>

#include "base/assert.h"
#include "base/log.h"
#include "core/iorio.h"
#include "store/fetch.h"

struct merge {
    struct list *l;
    struct kv_reader *reader;
    struct list_name *out;
    size_t count;
    size_t room;
    size_t at; /* in l->rows: the next one */
    uint32_t bucket_id;
    bool live; /* of the bucket that is looked at */
    struct ior_slice bucket;
    struct ior_buf key;
};

static struct ior_slice name_of(const struct list *l, const struct list_name *row)
{
    return ior_slice(l->names.data + row->offset_bytes, row->size_bytes);
}

/* qsort_r: the names are elsewhere, so a comparison needs them. */
static int by_name(const void *a, const void *b, void *list)
{
    return ior_slice_cmp(name_of(list, a), name_of(list, b));
}

static void sort(struct list *l, struct list_name *rows, size_t count)
{
    if (count > 1) qsort_r(rows, count, sizeof *rows, by_name, l);
}

static bool full(const struct merge *m)
{
    return m->count > m->l->limit || m->l->err != IOR_OK;
}

static void give(struct merge *m, const struct list_name *row)
{
    struct list *l = m->l;
    if (row->deleted || full(m)) return;
    if (m->count > 0 && ior_slice_eq(name_of(l, &m->out[m->count - 1]), name_of(l, row))) return;
    if (m->count == m->room) {
        size_t room = m->room == 0 ? 64 : m->room * 2;
        struct list_name *out = realloc(m->out, room * sizeof *out);
        if (out == NULL) {
            l->err = IOR_E_NOMEM;
            return;
        }
        m->out = out;
        m->room = room;
    }
    m->out[m->count++] = *row;
}

/* Everything of memory in front of `name` (all: everything), and whether it has that name. */
static bool give_memory(struct merge *m, struct ior_slice name, bool all)
{
    struct list *l = m->l;
    bool same = false;
    for (; m->at < l->count && !full(m); m->at++) {
        int order = all ? -1 : ior_slice_cmp(name_of(l, &l->rows[m->at]), name);
        if (order > 0) break;
        same = same || order == 0;
        give(m, &l->rows[m->at]);
    }
    return same;
}

static void give_catalog(struct merge *m, struct ior_slice name, const struct list_name *what)
{
    struct list_name row = *what;
    row.offset_bytes = m->l->names.size_bytes;
    row.size_bytes = (uint32_t)name.size_bytes;
    ior_buf_add_slice(&m->l->names, name);
    if (ior_buf_failed(&m->l->names)) {
        m->l->err = IOR_E_NOMEM;
        return;
    }
    give(m, &row);
}

static bool in_prefix(const struct list *l, struct ior_slice name)
{
    struct ior_slice prefix = ior_buf_slice(&l->prefix);
    return l->exact ? ior_slice_eq(name, prefix) : ior_slice_starts(name, prefix);
}

/* ---- streams of a bucket ---- */

static bool on_stream(void *ctx, const struct stream_row *row)
{
    struct merge *m = ctx;
    if (!in_prefix(m->l, row->name)) return false;
    if (!give_memory(m, row->name, false) && !full(m)) {
        const struct list_name what = {.low = row->low,
                                       .high = row->high,
                                       .bytes = row->bytes,
                                       .events = row->high + 1 - row->low};
        give_catalog(m, row->name, &what);
    }
    return !full(m);
}

/* The walks begin behind a name; the prefix itself may be one. */
static enum ior_err walk_streams(struct merge *m, uint32_t bucket_id)
{
    struct list *l = m->l;
    struct ior_slice prefix = ior_buf_slice(&l->prefix);
    struct ior_slice after = ior_buf_slice(&l->after);
    if (prefix.size_bytes > 0 && ior_slice_cmp(prefix, after) > 0) {
        struct stream_row row;
        enum ior_err err = catalog_find_stream(m->reader, bucket_id, prefix, &row);
        if (err != IOR_OK && err != IOR_E_NOTFOUND) return err;
        if (err == IOR_OK && !row.deleted && !on_stream(m, &row)) return IOR_OK;
        after = prefix;
    }
    return l->exact ? IOR_OK : catalog_each_stream(m->reader, bucket_id, after, on_stream, m);
}

static enum ior_err merge_streams(struct merge *m)
{
    struct bucket_row bucket;
    enum ior_err err = catalog_get_bucket(m->reader, ior_buf_slice(&m->l->bucket), &bucket);
    if (err == IOR_OK) err = walk_streams(m, bucket.id);
    return err == IOR_E_NOTFOUND ? IOR_OK : err;
}

/* ---- buckets ---- */

static int hidden_cmp(const void *key, const void *row, void *list)
{
    return ior_slice_cmp(*(const struct ior_slice *)key, name_of(list, row));
}

static bool is_hidden(struct merge *m, struct ior_slice stream)
{
    struct list *l = m->l;
    size_t low = 0;
    size_t high = l->hidden_count;
    ior_buf_clear(&m->key);
    ior_buf_add_slice(&m->key, m->bucket);
    ior_buf_add_char(&m->key, 0);
    ior_buf_add_slice(&m->key, stream);
    struct ior_slice key = ior_buf_slice(&m->key);
    if (ior_buf_failed(&m->key)) l->err = IOR_E_NOMEM;
    while (low < high && l->err == IOR_OK) {
        size_t mid = low + (high - low) / 2;
        int order = hidden_cmp(&key, &l->hidden[mid], l);
        if (order == 0) return true;
        if (order < 0) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    return false;
}

static bool on_any_stream(void *ctx, const struct stream_row *row)
{
    struct merge *m = ctx;
    m->live = !is_hidden(m, row->name);
    return !m->live && m->l->err == IOR_OK;
}

static bool on_bucket(void *ctx, struct ior_slice name)
{
    struct merge *m = ctx;
    struct list *l = m->l;
    struct ior_slice prefix = ior_buf_slice(&l->prefix);
    if (ior_slice_cmp(name, prefix) < 0) return true;
    if (!in_prefix(l, name)) return false;
    if (give_memory(m, name, false) || full(m)) return !full(m);
    struct bucket_row row;
    m->bucket = name;
    m->live = false;
    enum ior_err err = catalog_get_bucket(m->reader, name, &row);
    if (err == IOR_OK)
        err = catalog_each_stream(m->reader, row.id, ior_slice(NULL, 0), on_any_stream, m);
    if (err != IOR_OK) l->err = err;
    static const struct list_name what = {0};
    if (err == IOR_OK && m->live) give_catalog(m, name, &what);
    return !full(m);
}

/* ---- both ---- */

void list_merge(struct list *l)
{
    struct merge m = {.l = l};
    ior_buf_init(&m.key);
    sort(l, l->rows, l->count);
    sort(l, l->hidden, l->hidden_count);
    enum ior_err err = fetch_reader_take(l->node->fetch, &m.reader);
    if (err == IOR_OK) {
        err = l->buckets ? catalog_each_bucket(m.reader, ior_buf_slice(&l->after), on_bucket, &m)
                         : merge_streams(&m);
        fetch_reader_give(l->node->fetch, m.reader);
    }
    if (err != IOR_OK && l->err == IOR_OK) l->err = err;
    if (l->err == IOR_E_CORRUPT || l->err == IOR_E_IO)
        LOG_ERROR("list", "catalog cannot be read", "err=%s", ior_err_name(l->err));
    give_memory(&m, ior_slice(NULL, 0), true);
    free(l->rows);
    l->rows = m.out;
    l->room = m.room;
    l->more = m.count > l->limit;
    l->count = l->more ? l->limit : m.count;
    ior_buf_done(&m.key);
}

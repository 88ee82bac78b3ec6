/* src/store/kv_sim.c - kv.h in memory, with one file on a simulated disk, for the simulator
 * and the tests. Sorted arrays; nothing here is fast.
 * A version is the state after one commit, immutable; readers and the next writer hold
 * references. A writer changes a copy of the arrays; entries are shared.
 * Happy path of a commit: everything is written to a new file, synced, renamed over the
 * old one, the folder is synced; only then the version is shown.
 * Failure modes: an error of the disk leaves the shown version as it was, and no half
 * written file behind. What a reader or kv_write_get() gives is a copy that is freed when
 * its time is over, so that a sanitizer finds who uses it longer.
 *
 * file: 0 8 bytes "IORIOKVS"            entry: 0 u8 table
 *       8 u32 crc32c of the bytes from 12      1 u16 bytes of the key
 *      12 u32 format version 1                 3 u32 bytes of the value as stored
 *      16 u64 entries, then these              7 key, value */
#include "store/kv_private.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/crc32c.h"

enum { FORMAT = 1, HEAD_BYTES = 24, ENTRY_HEAD_BYTES = 7, VERSION_MAGIC = 0x6b767672 };
#define MAGIC "IORIOKVS"

struct entry {
    atomic_uint refs;
    size_t key_bytes;
    size_t value_bytes;
    uint8_t data[]; /* key, value */
};
struct table {
    struct entry **items; /* sorted by key */
    size_t count;
    size_t room;
};
struct version {
    uint32_t magic;
    atomic_uint refs;
    struct table tables[KV_TABLES];
};

struct sim {
    struct kv super; /* first */
    struct disk *disk;
    char path[DISK_PATH_MAX];
    pthread_mutex_t mutex; /* over `shown` and `size_bytes` */
    struct version *shown;
    uint64_t size_bytes;
};
struct sim_writer {
    struct kv_writer super; /* first */
    struct version *version;
    uint8_t *copy; /* what kv_write_get() gave */
};
struct copy {
    struct copy *next;
    uint8_t data[];
};
struct sim_reader {
    struct kv_reader super; /* first */
    struct version *version;
    struct copy *copies;    /* everything given since kv_read_begin() */
    struct ior_slice after; /* the key where the last move ended, one of the copies */
};

static const struct kv_ops sim_ops;

static struct sim *sim_of(struct kv *kv)
{
    return (struct sim *)(void *)kv;
}

static struct sim_writer *writer_of(struct kv_writer *w)
{
    return (struct sim_writer *)(void *)w;
}

static struct sim_reader *reader_of(struct kv_reader *r)
{
    return (struct sim_reader *)(void *)r;
}

/* ---- versions ---- */

static void entry_unref(struct entry *e)
{
    if (atomic_fetch_sub(&e->refs, 1) == 1) free(e);
}

static struct ior_slice key_of(const struct entry *e)
{
    return ior_slice(e->data, e->key_bytes);
}

static struct ior_slice value_of(const struct entry *e)
{
    return ior_slice(e->data + e->key_bytes, e->value_bytes);
}

static void version_unref(struct version *v)
{
    if (v == NULL) return;
    IOR_CHECK_MAGIC(v, VERSION_MAGIC);
    if (atomic_fetch_sub(&v->refs, 1) != 1) return;
    for (int t = 0; t < KV_TABLES; t++) {
        for (size_t i = 0; i < v->tables[t].count; i++) entry_unref(v->tables[t].items[i]);
        free(v->tables[t].items);
    }
    v->magic = 0;
    free(v);
}

static struct version *version_new(void)
{
    struct version *v = calloc(1, sizeof *v);
    if (v == NULL) return NULL;
    v->magic = VERSION_MAGIC;
    atomic_init(&v->refs, 1);
    return v;
}

static struct version *version_copy(const struct version *from)
{
    struct version *v = version_new();
    for (int t = 0; v != NULL && t < KV_TABLES; t++) {
        const struct table *old = &from->tables[t];
        struct table *new = &v->tables[t];
        if (old->count == 0) continue;
        new->items = malloc(old->count * sizeof(struct entry *));
        if (new->items == NULL) {
            version_unref(v);
            return NULL;
        }
        memcpy(new->items, old->items, old->count * sizeof(struct entry *));
        new->room = new->count = old->count;
        for (size_t i = 0; i < new->count; i++) atomic_fetch_add(&new->items[i]->refs, 1);
    }
    return v;
}

/* The version that is shown, with a reference for the caller. */
static struct version *take_shown(struct sim *s)
{
    pthread_mutex_lock(&s->mutex);
    struct version *v = s->shown;
    atomic_fetch_add(&v->refs, 1);
    pthread_mutex_unlock(&s->mutex);
    return v;
}

/* Where the first key >= key is, or would be. */
static size_t place_of(const struct table *t, struct ior_slice key, bool *ret_there)
{
    size_t from = 0;
    size_t to = t->count;
    *ret_there = false;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int c = ior_slice_cmp(key_of(t->items[middle]), key);
        if (c == 0) *ret_there = true;
        if (c >= 0) {
            to = middle;
        } else {
            from = middle + 1;
        }
    }
    return from;
}

/* The entry is the table's afterwards, unless there is no memory. */
static enum ior_err table_put(struct table *t, struct entry *e)
{
    bool there;
    size_t at = place_of(t, key_of(e), &there);
    if (there) {
        entry_unref(t->items[at]);
        t->items[at] = e;
        return IOR_OK;
    }
    if (t->count == t->room) {
        size_t room = t->room == 0 ? 16 : 2 * t->room;
        struct entry **items = realloc(t->items, room * sizeof(struct entry *));
        if (items == NULL) return IOR_E_NOMEM;
        t->items = items;
        t->room = room;
    }
    memmove(t->items + at + 1, t->items + at, (t->count - at) * sizeof(struct entry *));
    t->items[at] = e;
    t->count++;
    return IOR_OK;
}

static struct entry *entry_new(struct ior_slice key, size_t value_bytes)
{
    struct entry *e = malloc(sizeof *e + key.size_bytes + value_bytes);
    if (e == NULL) return NULL;
    atomic_init(&e->refs, 1);
    e->key_bytes = key.size_bytes;
    e->value_bytes = value_bytes;
    memcpy(e->data, key.data, key.size_bytes);
    return e;
}

/* ---- the file ---- */

static void put_entry(struct ior_buf *out, int t, const struct entry *e)
{
    uint8_t head[ENTRY_HEAD_BYTES] = {(uint8_t)t};
    ior_put_u16(head + 1, (uint16_t)e->key_bytes);
    ior_put_u32(head + 3, (uint32_t)e->value_bytes);
    ior_buf_add(out, head, sizeof head);
    ior_buf_add(out, e->data, e->key_bytes + e->value_bytes);
}

static void serialise(const struct version *v, struct ior_buf *out)
{
    uint8_t head[HEAD_BYTES] = MAGIC;
    uint64_t count = 0;
    ior_buf_add(out, head, sizeof head);
    for (int t = 0; t < KV_TABLES; t++) {
        for (size_t i = 0; i < v->tables[t].count; i++) put_entry(out, t, v->tables[t].items[i]);
        count += v->tables[t].count;
    }
    if (ior_buf_failed(out)) return;
    ior_put_u32(out->data + 12, FORMAT);
    ior_put_u64(out->data + 16, count);
    ior_put_u32(out->data + 8, ior_crc32c(0, out->data + 12, out->size_bytes - 12));
}

/* One entry from the bytes at *at. CORRUPT, NOMEM. */
static enum ior_err parse_entry(struct version *v, struct ior_slice bytes, size_t *at)
{
    if (bytes.size_bytes - *at < ENTRY_HEAD_BYTES) return IOR_E_CORRUPT;
    const uint8_t *head = bytes.data + *at;
    size_t key_bytes = ior_get_u16(head + 1);
    size_t value_bytes = ior_get_u32(head + 3);
    size_t left = bytes.size_bytes - *at - ENTRY_HEAD_BYTES;
    if (head[0] >= KV_TABLES || key_bytes == 0 || key_bytes > KV_KEY_BYTES_MAX) {
        return IOR_E_CORRUPT;
    }
    if (key_bytes > left || value_bytes > left - key_bytes) return IOR_E_CORRUPT;
    struct ior_slice key = ior_slice(head + ENTRY_HEAD_BYTES, key_bytes);
    struct table *t = &v->tables[head[0]];
    if (t->count > 0 && ior_slice_cmp(key_of(t->items[t->count - 1]), key) >= 0)
        return IOR_E_CORRUPT;
    struct entry *e = entry_new(key, value_bytes);
    if (e == NULL) return IOR_E_NOMEM;
    memcpy(e->data + key_bytes, key.data + key_bytes, value_bytes);
    *at += ENTRY_HEAD_BYTES + key_bytes + value_bytes;
    enum ior_err err = table_put(t, e);
    if (err != IOR_OK) entry_unref(e);
    return err;
}

static enum ior_err parse(struct version *v, struct ior_slice bytes, const char *path,
                          struct ior_why *why)
{
    if (bytes.size_bytes < HEAD_BYTES || memcmp(bytes.data, MAGIC, 8) != 0 ||
        ior_get_u32(bytes.data + 8) != ior_crc32c(0, bytes.data + 12, bytes.size_bytes - 12))
        return ior_why_set(why, IOR_E_CORRUPT, "%s: damage at offset 0: its checksum does not fit",
                           path);
    if (ior_get_u32(bytes.data + 12) != FORMAT)
        return ior_why_set(why, IOR_E_VERSION,
                           "%s: written in format %u; this program reads format %u", path,
                           ior_get_u32(bytes.data + 12), FORMAT);
    uint64_t count = ior_get_u64(bytes.data + 16);
    size_t at = HEAD_BYTES;
    enum ior_err err = IOR_OK;
    while (err == IOR_OK && at < bytes.size_bytes && count > 0) {
        err = parse_entry(v, bytes, &at);
        count--;
    }
    if (err == IOR_E_NOMEM) return ior_why_set(why, err, "%s: no memory for it", path);
    if (err != IOR_OK || count != 0 || at != bytes.size_bytes)
        return ior_why_set(why, IOR_E_CORRUPT, "%s: damage at offset %zu: no valid entry", path,
                           at);
    return IOR_OK;
}

/* The folder of s->path. */
static void folder_of(const struct sim *s, char out[DISK_PATH_MAX])
{
    const char *slash = strrchr(s->path, '/');
    size_t n = slash == NULL ? 1 : (size_t)(slash - s->path);
    memcpy(out, slash == NULL ? "." : s->path, n);
    out[n] = 0;
}

/* A missing file: nothing is there yet. A process that was killed may have left a name that
 * its folder does not keep yet: it is synced before anybody believes it. */
static enum ior_err read_file(struct sim *s, struct ior_why *why)
{
    struct disk_file *f = NULL;
    uint8_t *bytes = NULL;
    char folder[DISK_PATH_MAX];
    uint64_t size_bytes = 0;
    size_t n = 0;
    enum ior_err err = disk_open(s->disk, s->path, DISK_READ, &f);
    if (err == IOR_E_NOTFOUND) return IOR_OK;
    if (err == IOR_OK) err = disk_size(f, &size_bytes);
    if (err == IOR_OK) {
        bytes = malloc((size_t)size_bytes + 1);
        if (bytes == NULL) err = IOR_E_NOMEM;
    }
    if (err == IOR_OK) err = disk_read(f, 0, bytes, (size_t)size_bytes, &n);
    disk_close(f);
    folder_of(s, folder);
    if (err == IOR_OK) err = disk_sync_dir(s->disk, folder);
    if (err != IOR_OK) {
        ior_why_set(why, err, "%s: cannot read it: %s", s->path, ior_err_reason(err));
    } else {
        err = parse(s->shown, ior_slice(bytes, n), s->path, why);
    }
    s->size_bytes = size_bytes;
    free(bytes);
    return err;
}

enum ior_err kv_sim_open(struct disk *d, const char *path, struct kv **ret, struct ior_why *why)
{
    IOR_ASSERT(strlen(path) + sizeof ".new" <= DISK_PATH_MAX);
    struct sim *s = calloc(1, sizeof *s);
    struct version *v = version_new();
    if (s == NULL || v == NULL) {
        free(s);
        version_unref(v);
        return ior_why_set(why, IOR_E_NOMEM, "no memory for the catalog");
    }
    kv_init(&s->super, &sim_ops);
    s->disk = d;
    memcpy(s->path, path, strlen(path) + 1);
    pthread_mutex_init(&s->mutex, NULL);
    s->shown = v;
    enum ior_err err = read_file(s, why);
    if (err != IOR_OK) {
        sim_ops.close(&s->super);
        return err;
    }
    *ret = &s->super;
    return IOR_OK;
}

static void sim_close(struct kv *kv)
{
    struct sim *s = sim_of(kv);
    version_unref(s->shown);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

static uint64_t file_bytes(struct kv *kv)
{
    struct sim *s = sim_of(kv);
    pthread_mutex_lock(&s->mutex);
    uint64_t n = s->size_bytes;
    pthread_mutex_unlock(&s->mutex);
    return n;
}

/* ---- writing ---- */

static void end_writer(struct sim_writer *w)
{
    version_unref(w->version);
    free(w->copy);
    free(w);
}

static enum ior_err write_begin(struct kv *kv, struct kv_writer **ret)
{
    struct sim_writer *w = calloc(1, sizeof *w);
    if (w == NULL) return IOR_E_NOMEM;
    struct version *shown = take_shown(sim_of(kv));
    w->version = version_copy(shown);
    version_unref(shown);
    if (w->version == NULL) {
        free(w);
        return IOR_E_NOMEM;
    }
    *ret = &w->super;
    return IOR_OK;
}

/* A call on the writer: what the one before gave is no more. */
static struct table *begin_call(struct kv_writer *writer, enum kv_table t)
{
    struct sim_writer *w = writer_of(writer);
    free(w->copy);
    w->copy = NULL;
    return &w->version->tables[t];
}

static enum ior_err reserve(struct kv_writer *w, enum kv_table t, struct ior_slice key,
                            size_t size_bytes, uint8_t **ret_room)
{
    struct table *table = begin_call(w, t);
    struct entry *e = entry_new(key, size_bytes);
    if (e == NULL) return IOR_E_NOMEM;
    enum ior_err err = table_put(table, e);
    if (err != IOR_OK) {
        entry_unref(e);
        return err;
    }
    *ret_room = e->data + e->key_bytes;
    return IOR_OK;
}

static enum ior_err del(struct kv_writer *w, enum kv_table t, struct ior_slice key)
{
    bool there;
    struct table *table = begin_call(w, t);
    size_t at = place_of(table, key, &there);
    if (!there) return IOR_E_NOTFOUND;
    entry_unref(table->items[at]);
    table->count--;
    memmove(table->items + at, table->items + at + 1, (table->count - at) * sizeof(struct entry *));
    return IOR_OK;
}

static enum ior_err write_get(struct kv_writer *w, enum kv_table t, struct ior_slice key,
                              struct ior_slice *ret)
{
    bool there;
    struct table *table = begin_call(w, t);
    size_t at = place_of(table, key, &there);
    if (!there) return IOR_E_NOTFOUND;
    struct ior_slice value = value_of(table->items[at]);
    uint8_t *copy = malloc(value.size_bytes + 1);
    if (copy == NULL) return IOR_E_NOMEM;
    memcpy(copy, value.data, value.size_bytes);
    writer_of(w)->copy = copy;
    *ret = ior_slice(copy, value.size_bytes);
    return IOR_OK;
}

/* Half of a file would take the room that a full disk needs. */
static void remove_rest(struct sim *s)
{
    char path[DISK_PATH_MAX];
    size_t n = strlen(s->path);
    memcpy(path, s->path, n);
    memcpy(path + n, ".new", sizeof ".new");
    enum ior_err gone = disk_unlink(s->disk, path);
    (void)gone; /* the next commit overwrites it as well */
}

static enum ior_err commit(struct kv_writer *writer)
{
    struct sim *s = sim_of(writer->kv);
    struct sim_writer *w = writer_of(writer);
    struct ior_buf bytes;
    ior_buf_init(&bytes);
    serialise(w->version, &bytes);
    enum ior_err err = ior_buf_failed(&bytes) ? IOR_E_NOMEM : IOR_OK;
    if (err == IOR_OK) {
        err = disk_replace_file(s->disk, s->path, bytes.data, bytes.size_bytes);
        if (err != IOR_OK) remove_rest(s);
    }
    if (err == IOR_OK) {
        pthread_mutex_lock(&s->mutex);
        struct version *old = s->shown;
        s->shown = w->version;
        s->size_bytes = bytes.size_bytes;
        pthread_mutex_unlock(&s->mutex);
        w->version = old;
    }
    ior_buf_done(&bytes);
    end_writer(w);
    return err;
}

static void abort_writer(struct kv_writer *w)
{
    end_writer(writer_of(w));
}

/* ---- reading ---- */

static enum ior_err reader_new(struct kv *kv, struct kv_reader **ret)
{
    (void)kv;
    struct sim_reader *r = calloc(1, sizeof *r);
    if (r == NULL) return IOR_E_NOMEM;
    *ret = &r->super;
    return IOR_OK;
}

static void reader_free(struct kv_reader *r)
{
    free(reader_of(r));
}

static enum ior_err read_begin(struct kv_reader *r)
{
    reader_of(r)->version = take_shown(sim_of(r->kv));
    return IOR_OK;
}

static void read_end(struct kv_reader *reader)
{
    struct sim_reader *r = reader_of(reader);
    version_unref(r->version);
    r->version = NULL;
    while (r->copies != NULL) {
        struct copy *c = r->copies;
        r->copies = c->next;
        free(c);
    }
}

/* The entry as a copy that lives until kv_read_end(). */
static enum ior_err give(struct sim_reader *r, const struct entry *e, struct ior_slice *ret_key,
                         struct ior_slice *ret_value)
{
    struct copy *c = malloc(sizeof *c + e->key_bytes + e->value_bytes);
    if (c == NULL) return IOR_E_NOMEM;
    memcpy(c->data, e->data, e->key_bytes + e->value_bytes);
    c->next = r->copies;
    r->copies = c;
    *ret_key = ior_slice(c->data, e->key_bytes);
    *ret_value = ior_slice(c->data + e->key_bytes, e->value_bytes);
    return IOR_OK;
}

static enum ior_err get(struct kv_reader *reader, enum kv_table t, struct ior_slice key,
                        struct ior_slice *ret)
{
    bool there;
    struct ior_slice same;
    struct sim_reader *r = reader_of(reader);
    const struct table *table = &r->version->tables[t];
    size_t at = place_of(table, key, &there);
    if (!there) return IOR_E_NOTFOUND;
    return give(r, table->items[at], &same, ret);
}

static enum ior_err move(struct kv_reader *reader, enum kv_table t, enum kv_move how,
                         struct ior_slice key, struct ior_slice *ret_key,
                         struct ior_slice *ret_value)
{
    bool there;
    struct sim_reader *r = reader_of(reader);
    const struct table *table = &r->version->tables[t];
    size_t at = place_of(table, how == KV_FOLLOWING ? r->after : key, &there);
    if (how == KV_FOLLOWING && there) at++;
    if (how == KV_LAST_TO && !there) {
        if (at == 0) return IOR_E_END;
        at--;
    }
    if (at == table->count) return IOR_E_END;
    enum ior_err err = give(r, table->items[at], ret_key, ret_value);
    if (err == IOR_OK) r->after = *ret_key;
    return err;
}

static const struct kv_ops sim_ops = {
    .close = sim_close,
    .file_bytes = file_bytes,
    .write_begin = write_begin,
    .reserve = reserve,
    .del = del,
    .write_get = write_get,
    .commit = commit,
    .abort = abort_writer,
    .reader_new = reader_new,
    .reader_free = reader_free,
    .read_begin = read_begin,
    .read_end = read_end,
    .get = get,
    .move = move,
};

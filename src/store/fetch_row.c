/* src/store/fetch_row.c - rows of streams, for fetch.h.
 * Happy path: the row by name or by uid, the name of its bucket, and two walks over its keys
 * (how much there is; the bytes), all in one snapshot; one allocation holds everything.
 * The catalog leads from a bucket's name to its id and not back. So names are kept by id: an id
 * that is not known makes a walk over all names, and every name that was asked for by itself is
 * kept as well, up to FETCH_BUCKETS_MAX. Ids are never used again and buckets never renamed, so
 * nothing gets old.
 * Failure modes: a bucket that has no name is CORRUPT; memory for a name that is only to be kept
 * is not needed.
 * Thread: any; the mutex is over the names. */
#include "store/fetch_private.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/hash.h"

struct bucket_name {
    uint32_t id;
    size_t size_bytes;
    uint8_t bytes[];
};

/* ---- names of buckets by id ---- */

void fetch_names_init(struct fetch_names *n)
{
    pthread_mutex_init(&n->mutex, NULL);
    ior_map_init(&n->by_id);
}

void fetch_names_done(struct fetch_names *n)
{
    size_t pos = 0;
    void *name;
    while ((name = ior_map_next(&n->by_id, &pos)) != NULL) free(name);
    ior_map_done(&n->by_id);
    pthread_mutex_destroy(&n->mutex);
}

static bool has_id(const void *object, const void *key)
{
    return ((const struct bucket_name *)object)->id == *(const uint32_t *)key;
}

static uint64_t hash_of(uint32_t id)
{
    return ior_hash(ior_slice(&id, sizeof id));
}

/* The name stands until the end: none is ever given up. */
static bool names_find(struct fetch_names *n, uint32_t id, struct ior_slice *ret)
{
    pthread_mutex_lock(&n->mutex);
    const struct bucket_name *b = ior_map_find(&n->by_id, hash_of(id), has_id, &id);
    pthread_mutex_unlock(&n->mutex);
    if (b == NULL) return false;
    *ret = ior_slice(b->bytes, b->size_bytes);
    return true;
}

/* Keeps it if there is room and memory. False: there is no room. */
static bool names_add(struct fetch_names *n, uint32_t id, struct ior_slice name)
{
    pthread_mutex_lock(&n->mutex);
    bool known = ior_map_find(&n->by_id, hash_of(id), has_id, &id) != NULL;
    bool room = n->by_id.count < FETCH_BUCKETS_MAX;
    struct bucket_name *b = NULL;
    if (!known && room) b = malloc(sizeof *b + name.size_bytes);
    if (b != NULL) {
        b->id = id;
        b->size_bytes = name.size_bytes;
        memcpy(b->bytes, name.data, name.size_bytes);
        if (ior_map_add(&n->by_id, hash_of(id), b) != IOR_OK) free(b);
    }
    pthread_mutex_unlock(&n->mutex);
    return known || room;
}

struct search {
    struct fetch_names *names;
    struct kv_reader *reader;
    uint32_t wanted_id;
    bool found;
    struct ior_slice name; /* when it was found; in the snapshot */
    enum ior_err err;
};

/* Ends when it is found and no more names can be kept. */
static bool search_one(void *ctx, struct ior_slice name)
{
    struct search *s = ctx;
    struct bucket_row row;
    s->err = catalog_get_bucket(s->reader, name, &row);
    if (s->err != IOR_OK) return false;
    if (row.id == s->wanted_id) {
        s->name = name;
        s->found = true;
    }
    return names_add(s->names, row.id, name) || !s->found;
}

/* It stands until the snapshot ends. NOTFOUND: there is no such id. */
static enum ior_err name_of_bucket(struct fetch *f, struct kv_reader *r, uint32_t id,
                                   struct ior_slice *ret)
{
    if (names_find(&f->names, id, ret)) return IOR_OK;
    struct search s = {.names = &f->names, .reader = r, .wanted_id = id};
    enum ior_err err = catalog_each_bucket(r, ior_slice(NULL, 0), search_one, &s);
    *ret = s.name;
    if (s.found) return IOR_OK;                        /* damage behind it is of other buckets */
    if (s.err == IOR_E_NOTFOUND) return IOR_E_CORRUPT; /* a name that no bucket can have */
    if (err == IOR_OK) err = s.err;
    return err == IOR_OK ? IOR_E_NOTFOUND : err;
}

/* ---- keys ---- */

struct keys {
    size_t count; /* all that there are */
    size_t seen;
    uint64_t bytes;
    bool too_long;
    struct fetch_row *row; /* of the second walk */
    uint8_t *at;           /* where its next bytes go */
};

static bool count_key(void *ctx, uint64_t uid, const struct key_row *key)
{
    struct keys *k = ctx;
    (void)uid;
    k->count++;
    k->bytes += key->key.size_bytes;
    k->too_long = key->key.size_bytes > IDEMPOTENCY_KEY_BYTES_MAX;
    return !k->too_long;
}

static struct ior_slice put_bytes(uint8_t **at, struct ior_slice bytes)
{
    struct ior_slice copy = ior_slice(*at, bytes.size_bytes);
    if (bytes.size_bytes > 0) memcpy(*at, bytes.data, bytes.size_bytes);
    *at += bytes.size_bytes;
    return copy;
}

/* The youngest row->key_count of them, oldest first. */
static bool copy_key(void *ctx, uint64_t uid, const struct key_row *key)
{
    struct keys *k = ctx;
    (void)uid;
    size_t skip = k->count - k->row->key_count;
    if (k->seen++ < skip) return true;
    struct key_row *to = &k->row->keys[k->seen - 1 - skip];
    *to = *key;
    to->key = put_bytes(&k->at, key->key);
    return true;
}

/* ---- rows ---- */

static enum ior_err cannot_read(struct ior_why *why, enum ior_err err)
{
    return ior_why_set(why, err, KV_LMDB_FILE ": cannot read the row of a stream: %s",
                       ior_err_reason(err));
}

/* All of it in memory of its own. */
static enum ior_err make_row(struct kv_reader *r, const struct stream_row *row,
                             struct ior_slice bucket, struct fetch_row **ret, struct ior_why *why)
{
    struct keys keys = {0};
    enum ior_err err = catalog_each_key(r, row->partition, row->uid, count_key, &keys);
    if (err == IOR_OK && keys.too_long) err = IOR_E_CORRUPT;
    if (err != IOR_OK) return cannot_read(why, err);
    size_t key_count = keys.count < DEDUPE_KEYS_MAX ? keys.count : DEDUPE_KEYS_MAX;
    size_t key_bytes = keys.bytes < (uint64_t)key_count * IDEMPOTENCY_KEY_BYTES_MAX
                           ? (size_t)keys.bytes
                           : key_count * IDEMPOTENCY_KEY_BYTES_MAX;
    struct fetch_row *copy =
        malloc(sizeof *copy + key_count * sizeof *copy->keys + key_bytes + row->name.size_bytes +
               row->policy.size_bytes + bucket.size_bytes);
    if (copy == NULL) return cannot_read(why, IOR_E_NOMEM);
    *copy = (struct fetch_row){.row = *row, .key_count = key_count};
    copy->keys = (struct key_row *)(void *)(copy + 1);
    keys.row = copy;
    keys.at = (uint8_t *)(copy->keys + key_count);
    copy->row.name = put_bytes(&keys.at, row->name);
    copy->row.policy = put_bytes(&keys.at, row->policy);
    copy->bucket = put_bytes(&keys.at, bucket);
    err = catalog_each_key(r, row->partition, row->uid, copy_key, &keys);
    IOR_ASSERT(err != IOR_OK || keys.seen == keys.count); /* the snapshot is the same */
    if (err != IOR_OK) {
        free(copy);
        return cannot_read(why, err);
    }
    *ret = copy;
    return IOR_OK;
}

/* ---- a name that is not there: was it? ---- */

struct lost {
    struct fetch *fetch;
    struct kv_reader *reader;
    struct ior_slice bucket;
    struct ior_slice name;
    uint64_t hash;
    unsigned seen;
    enum ior_err err;
};

/* A row with this name and hash: of this bucket, of one that has lost its own name, or of another
 * bucket? */
static bool is_it_lost(void *ctx, const struct stream_row *row)
{
    struct lost *l = ctx;
    struct ior_slice bucket;
    if (((row->uid ^ l->hash) >> CATALOG_UID_HASH_SHIFT) != 0) return false;
    if (ior_slice_eq(row->name, l->name)) {
        l->err = name_of_bucket(l->fetch, l->reader, row->bucket_id, &bucket);
        if (l->err == IOR_E_NOTFOUND) l->err = IOR_E_CORRUPT;
        if (l->err == IOR_OK && ior_slice_eq(bucket, l->bucket)) l->err = IOR_E_CORRUPT;
    }
    return l->err == IOR_OK && ++l->seen < FETCH_LOST_MAX;
}

static enum ior_err look_for_lost(struct lost *l, uint32_t partition)
{
    l->hash = ior_hash_pair(l->bucket, l->name);
    uint64_t first = catalog_uid(l->hash, 0);
    enum ior_err err =
        catalog_each_row(l->reader, partition, first == 0 ? 0 : first - 1, is_it_lost, l);
    return err == IOR_OK ? l->err : err;
}

enum ior_err fetch_stream(struct fetch *f, uint32_t partition, struct ior_slice bucket,
                          struct ior_slice name, struct fetch_row **ret, struct ior_why *why)
{
    struct kv_reader *r = NULL;
    struct bucket_row b;
    struct stream_row row;
    enum ior_err err = fetch_reader_take(f, &r);
    if (err != IOR_OK) return cannot_read(why, err);
    err = catalog_get_bucket(r, bucket, &b);
    if (err == IOR_OK) {
        names_add(&f->names, b.id, bucket);
        err = catalog_find_stream(r, b.id, name, &row);
    }
    if (err == IOR_OK) {
        err = make_row(r, &row, bucket, ret, why);
    } else if (err == IOR_E_NOTFOUND) {
        struct lost l = {.fetch = f, .reader = r, .bucket = bucket, .name = name};
        enum ior_err lost = look_for_lost(&l, partition);
        err = lost == IOR_OK
                  ? ior_why_set(why, err, "the catalog has no stream of this name")
                  : ior_why_set(why, lost, KV_LMDB_FILE ": a stream has lost its name: %s",
                                ior_err_reason(lost));
    } else {
        err = cannot_read(why, err);
    }
    fetch_reader_give(f, r);
    return err;
}

static enum ior_err find_uid(struct fetch *f, struct kv_reader *r, uint32_t partition, uint64_t uid,
                             struct fetch_row **ret, struct ior_why *why)
{
    struct stream_row row;
    struct ior_slice bucket;
    enum ior_err err = catalog_get_stream(r, partition, uid, &row);
    if (err == IOR_E_NOTFOUND)
        return ior_why_set(why, err,
                           "the catalog has no stream %016" PRIx64 " in partition %" PRIu32, uid,
                           partition);
    if (err != IOR_OK) return cannot_read(why, err);
    err = name_of_bucket(f, r, row.bucket_id, &bucket);
    if (err == IOR_E_NOTFOUND)
        return ior_why_set(why, IOR_E_CORRUPT,
                           KV_LMDB_FILE ": stream %016" PRIx64 " in partition %" PRIu32
                                        " is of bucket %" PRIu32 ", which has no name",
                           uid, partition, row.bucket_id);
    if (err != IOR_OK) return cannot_read(why, err);
    return make_row(r, &row, bucket, ret, why);
}

enum ior_err fetch_stream_uid(struct fetch *f, uint32_t partition, uint64_t uid,
                              struct fetch_row **ret, struct ior_why *why)
{
    struct kv_reader *r = NULL;
    enum ior_err err = fetch_reader_take(f, &r);
    if (err != IOR_OK) return cannot_read(why, err);
    err = find_uid(f, r, partition, uid, ret, why);
    fetch_reader_give(f, r);
    return err;
}

void fetch_row_free(struct fetch_row *r)
{
    free(r);
}

/* src/store/catalog.c - see catalog.h. Each function is one or two rows of kv.h; what
 * the bytes are is in catalog_row.c, and the names of streams are in catalog_names.c.
 * Happy path: a key and a value are built on the stack and in one buffer, and put; a read
 * decodes in place, without a copy.
 * Failure modes: a row that cannot be decoded is CORRUPT or VERSION; nothing is asserted
 * about bytes that were read. A walk moves on by key, so its callback may read too. */
#include "store/catalog.h"

#include "store/catalog_row.h"

static const char counter_prefix[] = "next_"; /* no caller's meta begins so */

enum ior_err catalog_put(struct kv_writer *w, enum kv_table t, const struct catalog_key *key,
                         struct ior_buf *value)
{
    enum ior_err err = IOR_E_NOMEM;
    if (!ior_buf_failed(value)) err = kv_put(w, t, catalog_key_slice(key), ior_buf_slice(value));
    ior_buf_done(value);
    return err;
}

enum ior_err catalog_take_number(struct kv_writer *w, const char *counter, uint32_t *ret)
{
    struct ior_buf value = {0};
    struct ior_slice old;
    struct catalog_key key = catalog_key_bytes(ior_slice_str(counter));
    uint32_t number = 1;
    enum ior_err err = kv_write_get(w, KV_META, catalog_key_slice(&key), &old);
    if (err == IOR_OK) err = catalog_decode_number(old, &number);
    if (err != IOR_OK && err != IOR_E_NOTFOUND) return err;
    if (number == 0 || number >= CATALOG_NODE_FLAG) return IOR_E_CORRUPT;
    catalog_encode_number(&value, number + 1);
    *ret = number;
    return catalog_put(w, KV_META, &key, &value);
}

enum ior_err catalog_next(struct kv_reader *r, enum kv_table t, struct ior_slice at, bool exact,
                          struct ior_slice *ret_key, struct ior_slice *ret_value)
{
    struct ior_slice key;
    struct ior_slice value;
    enum ior_err err;
    if (!exact) {
        err = kv_seek_back(r, t, at, &key, &value);
        if (err != IOR_OK && err != IOR_E_END) return err;
        return kv_seek(r, t, at, ret_key, ret_value);
    }
    err = kv_seek(r, t, at, &key, &value);
    if (err == IOR_E_END || (err == IOR_OK && !ior_slice_eq(key, at))) return IOR_E_CORRUPT;
    if (err == IOR_OK) err = kv_next(r, &key, &value);
    if (err != IOR_OK) return err;
    if (ior_slice_cmp(key, at) <= 0) return IOR_E_CORRUPT;
    *ret_key = key;
    *ret_value = value;
    return IOR_OK;
}

/* ---- buckets ---- */

static void check_bucket_name(struct ior_slice name)
{
    IOR_ASSERT(name.size_bytes > 0 && name.size_bytes <= BUCKET_BYTES_MAX);
}

static enum ior_err put_bucket(struct kv_writer *w, const struct bucket_row *row)
{
    struct ior_buf value = {0};
    struct catalog_key key = catalog_key_bytes(row->name);
    catalog_encode_bucket(&value, row);
    return catalog_put(w, KV_BUCKETS, &key, &value);
}

static enum ior_err find_bucket_id(struct kv_writer *w, struct ior_slice name, uint32_t *ret_id)
{
    struct ior_slice value;
    struct bucket_row row;
    enum ior_err err = kv_write_get(w, KV_BUCKETS, name, &value);
    if (err == IOR_OK) err = catalog_decode_bucket(value, &row);
    if (err == IOR_OK) *ret_id = row.id;
    return err;
}

enum ior_err catalog_bucket_id(struct kv_writer *w, struct ior_slice name, uint32_t *ret_id)
{
    check_bucket_name(name);
    struct bucket_row row = {.name = name};
    enum ior_err err = find_bucket_id(w, name, ret_id);
    if (err != IOR_E_NOTFOUND) return err;
    err = catalog_take_number(w, CATALOG_BUCKET_COUNTER, &row.id);
    if (err == IOR_OK) err = put_bucket(w, &row);
    if (err == IOR_OK) *ret_id = row.id;
    return err;
}

enum ior_err catalog_put_bucket(struct kv_writer *w, const struct bucket_row *row)
{
    uint32_t id = 0;
    check_bucket_name(row->name);
    enum ior_err err = find_bucket_id(w, row->name, &id);
    if (err == IOR_OK && id != row->id) err = IOR_E_CORRUPT;
    return err == IOR_OK ? put_bucket(w, row) : err;
}

enum ior_err catalog_get_bucket(struct kv_reader *r, struct ior_slice name, struct bucket_row *ret)
{
    struct ior_slice value;
    if (name.size_bytes == 0 || name.size_bytes > BUCKET_BYTES_MAX) return IOR_E_NOTFOUND;
    enum ior_err err = kv_get(r, KV_BUCKETS, name, &value);
    if (err == IOR_OK) err = catalog_decode_bucket(value, ret);
    if (err == IOR_OK) ret->name = name;
    return err;
}

/* ---- streams ---- */

/* Does the row say already what the name leads to? Most rows are written again and again. */
static enum ior_err name_is_known(struct kv_writer *w, const struct catalog_key *key,
                                  const struct stream_row *row, bool *ret)
{
    struct ior_slice value;
    struct stream_row old;
    *ret = false;
    enum ior_err err = kv_write_get(w, KV_ROWS, catalog_key_slice(key), &value);
    if (err == IOR_E_NOTFOUND) return IOR_OK;
    if (err == IOR_OK) err = catalog_decode_stream(value, &old);
    if (err != IOR_OK) return err;
    if (old.bucket_id != row->bucket_id || !ior_slice_eq(old.name, row->name)) return IOR_E_CORRUPT;
    *ret = old.deleted == row->deleted;
    return IOR_OK;
}

enum ior_err catalog_put_stream(struct kv_writer *w, const struct stream_row *row)
{
    struct ior_buf value = {0};
    struct catalog_key key = catalog_key_uid(row->partition, row->uid);
    struct catalog_name to = {row->partition, row->uid, row->deleted};
    bool known;
    enum ior_err err = name_is_known(w, &key, row, &known);
    if (err == IOR_OK && !known) err = catalog_put_name(w, row->bucket_id, row->name, &to);
    if (err != IOR_OK) return err;
    catalog_encode_stream(&value, row);
    return catalog_put(w, KV_ROWS, &key, &value);
}

static enum ior_err decode_stream(struct ior_slice value, uint32_t partition, uint64_t uid,
                                  struct stream_row *ret)
{
    enum ior_err err = catalog_decode_stream(value, ret);
    if (err != IOR_OK) return err;
    ret->partition = partition;
    ret->uid = uid;
    return IOR_OK;
}

enum ior_err catalog_get_stream(struct kv_reader *r, uint32_t partition, uint64_t uid,
                                struct stream_row *ret)
{
    struct ior_slice value;
    struct catalog_key key = catalog_key_uid(partition, uid);
    enum ior_err err = kv_get(r, KV_ROWS, catalog_key_slice(&key), &value);
    return err == IOR_OK ? decode_stream(value, partition, uid, ret) : err;
}

enum ior_err catalog_stream_is_new(struct kv_writer *w, struct kv_reader *r, uint32_t partition,
                                   uint64_t uid, bool *ret)
{
    struct ior_slice here;
    struct ior_slice there;
    struct catalog_key key = catalog_key_uid(partition, uid);
    enum ior_err err = kv_write_get(w, KV_ROWS, catalog_key_slice(&key), &here);
    if (err == IOR_E_NOTFOUND) {
        *ret = false;
        return IOR_OK;
    }
    if (err != IOR_OK) return err;
    err = kv_get(r, KV_ROWS, catalog_key_slice(&key), &there);
    if (err != IOR_OK && err != IOR_E_NOTFOUND) return err;
    *ret = err == IOR_E_NOTFOUND || !ior_slice_eq(here, there);
    return IOR_OK;
}

enum ior_err catalog_each_row(struct kv_reader *r, uint32_t partition, uint64_t after_uid,
                              catalog_stream_cb cb, void *ctx)
{
    struct ior_slice key;
    struct ior_slice value;
    struct stream_row row;
    while (after_uid != UINT64_MAX) {
        uint32_t found = 0;
        struct catalog_key from = catalog_key_uid(partition, after_uid + 1);
        enum ior_err err = kv_seek(r, KV_ROWS, catalog_key_slice(&from), &key, &value);
        if (err == IOR_E_END) break;
        if (err == IOR_OK) err = catalog_parse_uid(key, &found, &after_uid);
        if (err == IOR_OK && found != partition) break;
        if (err == IOR_OK) err = decode_stream(value, partition, after_uid, &row);
        if (err != IOR_OK) return err;
        if (!cb(ctx, &row)) break;
    }
    return IOR_OK;
}

enum ior_err catalog_last_stream(struct kv_reader *r, uint32_t partition, struct stream_row *ret)
{
    struct ior_slice key;
    struct ior_slice value;
    uint32_t found = 0;
    uint64_t uid = 0;
    struct catalog_key at = catalog_key_uid(partition, UINT64_MAX);
    enum ior_err err = kv_seek_back(r, KV_ROWS, catalog_key_slice(&at), &key, &value);
    if (err == IOR_OK) err = catalog_parse_uid(key, &found, &uid);
    if (err == IOR_E_END || (err == IOR_OK && found != partition)) return IOR_E_NOTFOUND;
    return err == IOR_OK ? decode_stream(value, partition, uid, ret) : err;
}

/* ---- chunks and small streams ---- */

enum ior_err catalog_put_chunk(struct kv_writer *w, uint32_t partition, uint64_t uid,
                               const struct chunk_row *row)
{
    struct ior_buf value = {0};
    IOR_ASSERT(uid != 0);
    struct catalog_key key = catalog_key_ids(partition, uid, row->first_seqnum);
    catalog_encode_chunk(&value, row);
    return catalog_put(w, KV_CHUNKS, &key, &value);
}

enum ior_err catalog_bury_chunk(struct kv_writer *w, uint32_t partition, uint64_t uid,
                                uint64_t first_seqnum)
{
    char path[DISK_PATH_MAX];
    struct ior_buf value = {0};
    struct catalog_key key = catalog_key_ids(partition, uid, first_seqnum);
    enum ior_err err = kv_del(w, KV_CHUNKS, catalog_key_slice(&key));
    if (err != IOR_OK) return err;
    chunk_path(partition, uid, first_seqnum, path);
    key = catalog_key_bytes(ior_slice_str(path));
    catalog_encode_bytes(&value, ior_slice(NULL, 0));
    return catalog_put(w, KV_GRAVE, &key, &value);
}

enum ior_err catalog_unbury(struct kv_writer *w, const char *path)
{
    return kv_del(w, KV_GRAVE, ior_slice_str(path));
}

/* Is this the key of a chunk of the stream that `wanted` is about? */
static enum ior_err take_chunk(const struct catalog_key *wanted, struct ior_slice key,
                               struct ior_slice value, struct chunk_row *ret)
{
    uint32_t partition;
    uint64_t uid;
    uint64_t first_seqnum;
    struct ior_slice stream = ior_slice(wanted->bytes, CATALOG_UID_KEY_BYTES);
    if (!ior_slice_starts(key, stream)) return IOR_E_NOTFOUND;
    enum ior_err err = catalog_parse_ids(key, &partition, &uid, &first_seqnum);
    if (err == IOR_OK) err = catalog_decode_chunk(value, ret);
    if (err == IOR_OK) ret->first_seqnum = first_seqnum;
    return err;
}

/* Does it have seqnum or a later one? Without an event its last seqnum is below its first. */
static bool reaches(const struct chunk_row *row, uint64_t seqnum)
{
    return row->state.last_seqnum >= seqnum && row->state.last_seqnum >= row->first_seqnum;
}

enum ior_err catalog_seek_chunk(struct kv_reader *r, uint32_t partition, uint64_t uid,
                                uint64_t seqnum, struct chunk_row *ret)
{
    struct ior_slice key;
    struct ior_slice value;
    struct catalog_key at = catalog_key_ids(partition, uid, seqnum);
    enum ior_err err = kv_seek_back(r, KV_CHUNKS, catalog_key_slice(&at), &key, &value);
    if (err == IOR_OK) err = take_chunk(&at, key, value, ret);
    if (err == IOR_OK && reaches(ret, seqnum)) return IOR_OK;
    if (err != IOR_OK && err != IOR_E_END && err != IOR_E_NOTFOUND) return err;
    err = kv_seek(r, KV_CHUNKS, catalog_key_slice(&at), &key, &value);
    while (err == IOR_OK) {
        err = take_chunk(&at, key, value, ret);
        if (err != IOR_OK || reaches(ret, seqnum)) return err;
        err = kv_next(r, &key, &value); /* one without an event */
    }
    return err == IOR_E_END ? IOR_E_NOTFOUND : err;
}

enum ior_err catalog_last_chunk(struct kv_reader *r, uint32_t partition, uint64_t uid,
                                struct chunk_row *ret)
{
    struct ior_slice key;
    struct ior_slice value;
    struct catalog_key at = catalog_key_ids(partition, uid, UINT64_MAX);
    enum ior_err err = kv_seek_back(r, KV_CHUNKS, catalog_key_slice(&at), &key, &value);
    if (err == IOR_OK) err = take_chunk(&at, key, value, ret);
    return err == IOR_E_END ? IOR_E_NOTFOUND : err;
}

enum ior_err catalog_put_small(struct kv_writer *w, uint32_t partition, uint64_t uid,
                               struct ior_slice entries)
{
    struct ior_buf value = {0};
    IOR_ASSERT(uid != 0 && entries.size_bytes <= CATALOG_SMALL_BYTES_MAX);
    struct catalog_key key = catalog_key_uid(partition, uid);
    if (entries.size_bytes == 0) {
        enum ior_err err = kv_del(w, KV_SMALL, catalog_key_slice(&key));
        return err == IOR_E_NOTFOUND ? IOR_OK : err;
    }
    catalog_encode_bytes(&value, entries);
    return catalog_put(w, KV_SMALL, &key, &value);
}

enum ior_err catalog_get_small(struct kv_reader *r, uint32_t partition, uint64_t uid,
                               struct ior_slice *ret_entries)
{
    struct ior_slice value;
    struct catalog_key key = catalog_key_uid(partition, uid);
    enum ior_err err = kv_get(r, KV_SMALL, catalog_key_slice(&key), &value);
    return err == IOR_OK ? catalog_decode_bytes(value, ret_entries) : err;
}

/* ---- groups and meta ---- */

enum ior_err catalog_put_group(struct kv_writer *w, uint32_t group, const struct group_row *row)
{
    struct ior_buf value = {0};
    struct catalog_key key = catalog_key_u32(group);
    catalog_encode_group(&value, row);
    return catalog_put(w, KV_GROUPS, &key, &value);
}

enum ior_err catalog_get_group(struct kv_reader *r, uint32_t group, struct group_row *ret)
{
    struct ior_slice value;
    struct catalog_key key = catalog_key_u32(group);
    enum ior_err err = kv_get(r, KV_GROUPS, catalog_key_slice(&key), &value);
    return err == IOR_OK ? catalog_decode_group(value, ret) : err;
}

enum ior_err catalog_put_meta(struct kv_writer *w, const char *name, struct ior_slice value)
{
    struct ior_buf bytes = {0};
    IOR_ASSERT(strncmp(name, counter_prefix, sizeof counter_prefix - 1) != 0);
    struct catalog_key key = catalog_key_bytes(ior_slice_str(name));
    catalog_encode_bytes(&bytes, value);
    return catalog_put(w, KV_META, &key, &bytes);
}

enum ior_err catalog_get_meta(struct kv_reader *r, const char *name, struct ior_slice *ret)
{
    struct ior_slice value;
    enum ior_err err = kv_get(r, KV_META, ior_slice_str(name), &value);
    return err == IOR_OK ? catalog_decode_bytes(value, ret) : err;
}

/* ---- walks over names ---- */

/* Keys of a table that are the names themselves; each value is decoded by `check`. */
static enum ior_err each_name(struct kv_reader *r, enum kv_table t, struct ior_slice after,
                              enum ior_err (*check)(struct ior_slice value), catalog_name_cb cb,
                              void *ctx)
{
    struct catalog_key from = {.size_bytes = 0};
    struct ior_slice key = after;
    struct ior_slice value;
    for (;;) {
        if (key.size_bytes > 0) from = catalog_key_after(key);
        enum ior_err err = kv_seek(r, t, catalog_key_slice(&from), &key, &value);
        if (err == IOR_E_END) return IOR_OK;
        if (err == IOR_OK) err = check(value);
        if (err == IOR_OK && key.size_bytes >= CATALOG_SEEK_BYTES_MAX) err = IOR_E_CORRUPT;
        if (err != IOR_OK) return err;
        if (!cb(ctx, key)) return IOR_OK;
    }
}

static enum ior_err check_bucket(struct ior_slice value)
{
    struct bucket_row row;
    return catalog_decode_bucket(value, &row);
}

static enum ior_err check_bytes(struct ior_slice value)
{
    struct ior_slice bytes;
    return catalog_decode_bytes(value, &bytes);
}

/* A client may go on after a name that no key can have. */
static struct ior_slice shortened(struct ior_slice after)
{
    if (after.size_bytes >= CATALOG_SEEK_BYTES_MAX) after.size_bytes = CATALOG_SEEK_BYTES_MAX - 1;
    return after;
}

enum ior_err catalog_each_bucket(struct kv_reader *r, struct ior_slice after, catalog_name_cb cb,
                                 void *ctx)
{
    return each_name(r, KV_BUCKETS, shortened(after), check_bucket, cb, ctx);
}

enum ior_err catalog_each_buried(struct kv_reader *r, struct ior_slice after, catalog_name_cb cb,
                                 void *ctx)
{
    return each_name(r, KV_GRAVE, shortened(after), check_bytes, cb, ctx);
}

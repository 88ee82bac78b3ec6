/* src/store/catalog_keys.c - see catalog.h: idempotency keys of streams, in KV_KEYS. Key and
 * value are as in docs/formats.rst, "Idempotency key".
 * Happy path: a row stands under partition, uid and its last id, so the keys of one stream, or
 * of a whole partition, lie together and the oldest of a stream comes first.
 * Failure modes: a row that is not exactly what is written here is CORRUPT or VERSION.
 * Thread: as kv.h. */
#include "base/bytes.h"
#include "store/catalog_row.h"

enum { KEY_ROW_BYTES = 32 };

IOR_STATIC_ASSERT(IDEMPOTENCY_KEY_BYTES_MAX <= UINT16_MAX, "its length has 16 bits");

/* ---- the bytes ---- */

void catalog_encode_key(struct ior_buf *out, const struct key_row *row)
{
    IOR_ASSERT(row->key.size_bytes > 0 && row->key.size_bytes <= IDEMPOTENCY_KEY_BYTES_MAX);
    uint8_t *at = ior_buf_room(out, KEY_ROW_BYTES);
    if (at == NULL) return;
    memset(at, 0, KEY_ROW_BYTES);
    at[0] = CATALOG_FORMAT;
    ior_put_u16(at + 2, (uint16_t)row->key.size_bytes);
    ior_put_u64(at + 8, row->body_hash);
    ior_put_u64(at + 16, row->first_id);
    ior_put_u64(at + 24, row->time_ms);
    ior_buf_grew(out, KEY_ROW_BYTES);
    ior_buf_add_slice(out, row->key);
}

enum ior_err catalog_decode_key(struct ior_slice value, struct key_row *ret)
{
    const uint8_t *at = value.data;
    if (value.size_bytes == 0) return IOR_E_CORRUPT;
    if (at[0] != CATALOG_FORMAT) return IOR_E_VERSION;
    if (value.size_bytes < KEY_ROW_BYTES || at[1] != 0 || ior_get_u32(at + 4) != 0)
        return IOR_E_CORRUPT;
    size_t key_bytes = ior_get_u16(at + 2);
    if (key_bytes == 0 || key_bytes > IDEMPOTENCY_KEY_BYTES_MAX ||
        value.size_bytes != KEY_ROW_BYTES + key_bytes)
        return IOR_E_CORRUPT;
    *ret = (struct key_row){
        .key = ior_slice(at + KEY_ROW_BYTES, key_bytes),
        .body_hash = ior_get_u64(at + 8),
        .first_id = ior_get_u64(at + 16),
        .time_ms = ior_get_u64(at + 24),
    };
    return IOR_OK;
}

/* ---- rows ---- */

enum ior_err catalog_put_key(struct kv_writer *w, uint32_t partition, uint64_t uid,
                             const struct key_row *row)
{
    struct ior_buf value = {0};
    IOR_ASSERT(uid != 0 && row->first_id > 0 && row->first_id <= row->last_id);
    struct catalog_key key = catalog_key_ids(partition, uid, row->last_id);
    catalog_encode_key(&value, row);
    return catalog_put(w, KV_KEYS, &key, &value);
}

enum ior_err catalog_del_key(struct kv_writer *w, uint32_t partition, uint64_t uid,
                             uint64_t last_id)
{
    struct catalog_key key = catalog_key_ids(partition, uid, last_id);
    return kv_del(w, KV_KEYS, catalog_key_slice(&key));
}

/* The row under this key. */
static enum ior_err take_key(struct ior_slice key, struct ior_slice value, uint32_t *ret_partition,
                             uint64_t *ret_uid, struct key_row *ret)
{
    uint64_t last_id = 0;
    enum ior_err err = catalog_parse_ids(key, ret_partition, ret_uid, &last_id);
    if (err == IOR_OK) err = catalog_decode_key(value, ret);
    if (err != IOR_OK) return err;
    ret->last_id = last_id;
    return ret->first_id == 0 || ret->first_id > last_id || *ret_uid == 0 ? IOR_E_CORRUPT : IOR_OK;
}

enum ior_err catalog_each_key(struct kv_reader *r, uint32_t partition, uint64_t uid,
                              catalog_key_cb cb, void *ctx)
{
    struct ior_slice key;
    struct ior_slice value;
    struct key_row row;
    struct catalog_key whole =
        uid == 0 ? catalog_key_u32(partition) : catalog_key_uid(partition, uid);
    struct catalog_key from = whole;
    for (bool exact = false;; exact = true) {
        uint32_t partition_found = 0;
        uint64_t uid_found = 0;
        enum ior_err err = catalog_next(r, KV_KEYS, catalog_key_slice(&from), exact, &key, &value);
        if (err == IOR_E_END) return IOR_OK;
        if (err != IOR_OK) return err;
        if (!ior_slice_starts(key, catalog_key_slice(&whole))) return IOR_OK;
        err = take_key(key, value, &partition_found, &uid_found, &row);
        if (err != IOR_OK) return err;
        from = catalog_key_bytes(key);
        if (!cb(ctx, uid_found, &row)) return IOR_OK;
    }
}

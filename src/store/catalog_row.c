/* src/store/catalog_row.c - see catalog_row.h. Pure functions.
 * Keys are big-endian, values little-endian; docs/formats.rst shows every byte, and
 * test/unit/store/test_catalog.c holds samples of them. */
#include "store/catalog_row.h"

#include "base/bytes.h"

enum { FLAG_DELETED = 1, FLAG_SEALED = 1 };
enum {
    NUMBER_BYTES = 5,
    BUCKET_BYTES = 5,
    NAME_BYTES = 14,
    STREAM_BYTES = 52,
    CHUNK_BYTES = 56,
    GROUP_BYTES = 32,
    VOTE_BYTES_MAX = 255,
};

IOR_STATIC_ASSERT(CATALOG_NAME_KEY_BYTES_MAX + 1 <= CATALOG_SEEK_BYTES_MAX, "what follows fits");
IOR_STATIC_ASSERT(CATALOG_PIECES_MAX *CATALOG_PIECE_BYTES >= STREAM_BYTES_MAX, "a name fits");
IOR_STATIC_ASSERT(BUCKET_BYTES_MAX < CATALOG_SEEK_BYTES_MAX, "a bucket fits");
IOR_STATIC_ASSERT(STREAM_BYTES_MAX <= UINT16_MAX, "lengths of names have 16 bits");
IOR_STATIC_ASSERT((int)CATALOG_SMALL_BYTES_MAX < (int)KV_VALUE_BYTES_MAX, "a small stream fits");

/* ---- keys ---- */

static void add_big(struct catalog_key *k, uint64_t v, unsigned bytes)
{
    for (unsigned i = bytes; i > 0; i--) k->bytes[k->size_bytes++] = (uint8_t)(v >> 8 * (i - 1));
}

static uint64_t get_big(const uint8_t *p, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++) v = v << 8 | p[i];
    return v;
}

struct catalog_key catalog_key_u32(uint32_t number)
{
    struct catalog_key k = {.size_bytes = 0};
    add_big(&k, number, 4);
    return k;
}

struct catalog_key catalog_key_uid(uint32_t partition, uint64_t uid)
{
    struct catalog_key k = {.size_bytes = 0};
    add_big(&k, partition, 4);
    add_big(&k, uid, 8);
    return k;
}

struct catalog_key catalog_key_ids(uint32_t partition, uint64_t uid, uint64_t id)
{
    struct catalog_key k = catalog_key_uid(partition, uid);
    add_big(&k, id, 8);
    return k;
}

struct catalog_key catalog_key_bytes(struct ior_slice bytes)
{
    struct catalog_key k = {.size_bytes = bytes.size_bytes};
    IOR_ASSERT(bytes.size_bytes <= sizeof k.bytes);
    if (bytes.size_bytes > 0) memcpy(k.bytes, bytes.data, bytes.size_bytes);
    return k;
}

struct catalog_key catalog_key_after(struct ior_slice key)
{
    IOR_ASSERT(key.size_bytes < CATALOG_SEEK_BYTES_MAX);
    struct catalog_key k = catalog_key_bytes(key);
    k.bytes[k.size_bytes++] = 0;
    return k;
}

enum ior_err catalog_parse_uid(struct ior_slice key, uint32_t *ret_partition, uint64_t *ret_uid)
{
    if (key.size_bytes != CATALOG_UID_KEY_BYTES) return IOR_E_CORRUPT;
    *ret_partition = (uint32_t)get_big(key.data, 4);
    *ret_uid = get_big(key.data + 4, 8);
    return IOR_OK;
}

enum ior_err catalog_parse_ids(struct ior_slice key, uint32_t *ret_partition, uint64_t *ret_uid,
                               uint64_t *ret_id)
{
    if (key.size_bytes != CATALOG_IDS_KEY_BYTES) return IOR_E_CORRUPT;
    *ret_partition = (uint32_t)get_big(key.data, 4);
    *ret_uid = get_big(key.data + 4, 8);
    *ret_id = get_big(key.data + 12, 8);
    return IOR_OK;
}

/* ---- values ---- */

/* `size_bytes` fixed bytes at the end of `out`, zeros behind the version byte; NULL: no memory. */
static uint8_t *begin(struct ior_buf *out, size_t size_bytes)
{
    uint8_t *at = ior_buf_room(out, size_bytes);
    if (at == NULL) return NULL;
    memset(at, 0, size_bytes);
    at[0] = CATALOG_FORMAT;
    ior_buf_grew(out, size_bytes);
    return at;
}

/* Are the fixed bytes there, in our version? */
static enum ior_err check(struct ior_slice value, size_t size_bytes)
{
    if (value.size_bytes == 0) return IOR_E_CORRUPT;
    if (value.data[0] != CATALOG_FORMAT) return IOR_E_VERSION;
    return value.size_bytes < size_bytes ? IOR_E_CORRUPT : IOR_OK;
}

void catalog_encode_bytes(struct ior_buf *out, struct ior_slice bytes)
{
    if (begin(out, 1) != NULL) ior_buf_add_slice(out, bytes);
}

enum ior_err catalog_decode_bytes(struct ior_slice value, struct ior_slice *ret)
{
    enum ior_err err = check(value, 1);
    if (err == IOR_OK) *ret = ior_slice(value.data + 1, value.size_bytes - 1);
    return err;
}

void catalog_encode_number(struct ior_buf *out, uint32_t number)
{
    uint8_t *at = begin(out, NUMBER_BYTES);
    if (at != NULL) ior_put_u32(at + 1, number);
}

enum ior_err catalog_decode_number(struct ior_slice value, uint32_t *ret)
{
    enum ior_err err = check(value, NUMBER_BYTES);
    if (err != IOR_OK) return err;
    if (value.size_bytes != NUMBER_BYTES) return IOR_E_CORRUPT;
    *ret = ior_get_u32(value.data + 1);
    return IOR_OK;
}

void catalog_encode_bucket(struct ior_buf *out, const struct bucket_row *row)
{
    IOR_ASSERT(row->id != 0 && (row->id & CATALOG_NODE_FLAG) == 0);
    uint8_t *at = begin(out, BUCKET_BYTES);
    if (at == NULL) return;
    ior_put_u32(at + 1, row->id);
    ior_buf_add_slice(out, row->policy);
}

enum ior_err catalog_decode_bucket(struct ior_slice value, struct bucket_row *ret)
{
    enum ior_err err = check(value, BUCKET_BYTES);
    if (err != IOR_OK) return err;
    uint32_t id = ior_get_u32(value.data + 1);
    if (id == 0 || (id & CATALOG_NODE_FLAG) != 0) return IOR_E_CORRUPT;
    *ret = (struct bucket_row){
        .id = id,
        .policy = ior_slice(value.data + BUCKET_BYTES, value.size_bytes - BUCKET_BYTES),
    };
    return IOR_OK;
}

void catalog_encode_name(struct ior_buf *out, const struct catalog_name *name)
{
    IOR_ASSERT(name->uid != 0);
    uint8_t *at = begin(out, NAME_BYTES);
    if (at == NULL) return;
    at[1] = name->deleted ? FLAG_DELETED : 0;
    ior_put_u32(at + 2, name->partition);
    ior_put_u64(at + 6, name->uid);
}

enum ior_err catalog_decode_name(struct ior_slice value, struct catalog_name *ret)
{
    enum ior_err err = check(value, NAME_BYTES);
    if (err != IOR_OK) return err;
    if (value.size_bytes != NAME_BYTES || (value.data[1] & ~FLAG_DELETED) != 0)
        return IOR_E_CORRUPT;
    *ret = (struct catalog_name){
        .partition = ior_get_u32(value.data + 2),
        .uid = ior_get_u64(value.data + 6),
        .deleted = value.data[1] == FLAG_DELETED,
    };
    return ret->uid == 0 ? IOR_E_CORRUPT : IOR_OK;
}

void catalog_encode_stream(struct ior_buf *out, const struct stream_row *row)
{
    IOR_ASSERT(row->uid != 0 && row->bucket_id != 0 && (row->bucket_id & CATALOG_NODE_FLAG) == 0);
    IOR_ASSERT(row->name.size_bytes > 0 && row->name.size_bytes <= STREAM_BYTES_MAX);
    IOR_ASSERT(row->policy.size_bytes <= KV_VALUE_BYTES_MAX / 2);
    uint8_t *at = begin(out, STREAM_BYTES);
    if (at == NULL) return;
    at[1] = row->deleted ? FLAG_DELETED : 0;
    ior_put_u16(at + 2, (uint16_t)row->name.size_bytes);
    ior_put_u32(at + 4, row->bucket_id);
    ior_put_u64(at + 8, row->low);
    ior_put_u64(at + 16, row->high);
    ior_put_u64(at + 24, row->bytes);
    ior_put_u64(at + 32, row->time_ms);
    ior_put_u64(at + 40, row->last_index);
    ior_put_u32(at + 48, (uint32_t)row->policy.size_bytes);
    ior_buf_add_slice(out, row->name);
    ior_buf_add_slice(out, row->policy);
}

enum ior_err catalog_decode_stream(struct ior_slice value, struct stream_row *ret)
{
    enum ior_err err = check(value, STREAM_BYTES);
    if (err != IOR_OK) return err;
    const uint8_t *at = value.data;
    size_t name_bytes = ior_get_u16(at + 2);
    size_t policy_bytes = ior_get_u32(at + 48);
    uint32_t bucket_id = ior_get_u32(at + 4);
    if ((at[1] & ~FLAG_DELETED) != 0 || name_bytes == 0 || name_bytes > STREAM_BYTES_MAX)
        return IOR_E_CORRUPT;
    if (value.size_bytes != STREAM_BYTES + name_bytes + policy_bytes) return IOR_E_CORRUPT;
    if (bucket_id == 0 || (bucket_id & CATALOG_NODE_FLAG) != 0) return IOR_E_CORRUPT;
    *ret = (struct stream_row){
        .bucket_id = bucket_id,
        .name = ior_slice(at + STREAM_BYTES, name_bytes),
        .deleted = at[1] == FLAG_DELETED,
        .low = ior_get_u64(at + 8),
        .high = ior_get_u64(at + 16),
        .bytes = ior_get_u64(at + 24),
        .time_ms = ior_get_u64(at + 32),
        .last_index = ior_get_u64(at + 40),
        .policy = ior_slice(at + STREAM_BYTES + name_bytes, policy_bytes),
    };
    return IOR_OK;
}

void catalog_encode_chunk(struct ior_buf *out, const struct chunk_row *row)
{
    const struct chunk_state *s = &row->state;
    uint8_t *at = begin(out, CHUNK_BYTES);
    if (at == NULL) return;
    at[1] = s->sealed ? FLAG_SEALED : 0;
    ior_put_u64(at + 8, s->end_bytes);
    ior_put_u64(at + 16, s->last_seqnum);
    ior_put_u64(at + 24, s->payload_bytes);
    ior_put_u64(at + 32, s->first_time_ms);
    ior_put_u64(at + 40, s->last_time_ms);
    ior_put_u64(at + 48, s->last_index);
}

enum ior_err catalog_decode_chunk(struct ior_slice value, struct chunk_row *ret)
{
    enum ior_err err = check(value, CHUNK_BYTES);
    if (err != IOR_OK) return err;
    const uint8_t *at = value.data;
    if (value.size_bytes != CHUNK_BYTES || (at[1] & ~FLAG_SEALED) != 0) return IOR_E_CORRUPT;
    *ret = (struct chunk_row){.state = {
                                  .end_bytes = ior_get_u64(at + 8),
                                  .last_seqnum = ior_get_u64(at + 16),
                                  .payload_bytes = ior_get_u64(at + 24),
                                  .first_time_ms = ior_get_u64(at + 32),
                                  .last_time_ms = ior_get_u64(at + 40),
                                  .last_index = ior_get_u64(at + 48),
                                  .sealed = at[1] == FLAG_SEALED,
                              }};
    return IOR_OK;
}

void catalog_encode_group(struct ior_buf *out, const struct group_row *row)
{
    IOR_ASSERT(row->vote.size_bytes <= VOTE_BYTES_MAX);
    uint8_t *at = begin(out, GROUP_BYTES);
    if (at == NULL) return;
    ior_put_u16(at + 2, (uint16_t)row->vote.size_bytes);
    ior_put_u64(at + 8, row->term);
    ior_put_u64(at + 16, row->applied_index);
    ior_put_u64(at + 24, row->applied_term);
    ior_buf_add_slice(out, row->vote);
}

enum ior_err catalog_decode_group(struct ior_slice value, struct group_row *ret)
{
    enum ior_err err = check(value, GROUP_BYTES);
    if (err != IOR_OK) return err;
    const uint8_t *at = value.data;
    size_t vote_bytes = ior_get_u16(at + 2);
    if (vote_bytes > VOTE_BYTES_MAX || value.size_bytes != GROUP_BYTES + vote_bytes)
        return IOR_E_CORRUPT;
    *ret = (struct group_row){
        .term = ior_get_u64(at + 8),
        .applied_index = ior_get_u64(at + 16),
        .applied_term = ior_get_u64(at + 24),
        .vote = ior_slice(at + GROUP_BYTES, vote_bytes),
    };
    return IOR_OK;
}

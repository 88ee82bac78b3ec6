/* src/store/catalog_row.h - keys and values of the catalog as bytes (docs/formats.rst,
 * "Catalog"), for catalog*.c and their tests.
 * Decoders take any bytes: CORRUPT unless every length fits exactly, VERSION for another
 * first byte. Slices that they give lie in the value. Encoders assert. */
#pragma once

#include "store/catalog.h"

enum {
    CATALOG_UID_KEY_BYTES = 12, /* partition, uid */
    CATALOG_IDS_KEY_BYTES = 20, /* partition, uid, first seqnum or last id */
    CATALOG_NODE_BYTES = 4,     /* in front of a name: its bucket, or the piece before it */
    CATALOG_PIECE_BYTES = 480,  /* of a name in one key */
    CATALOG_PIECES_MAX = 3,
    CATALOG_NAME_KEY_BYTES_MAX = CATALOG_NODE_BYTES + CATALOG_PIECE_BYTES + 1,
    CATALOG_SEEK_BYTES_MAX = KV_KEY_BYTES_MAX, /* a key and one zero byte: what follows it */
};
#define CATALOG_BUCKET_COUNTER "next_bucket" /* names in KV_META */
#define CATALOG_NODE_COUNTER "next_names"
#define CATALOG_NODE_FLAG 0x80000000u /* the id of a piece; without it: a bucket's */

struct catalog_key {
    size_t size_bytes;
    uint8_t bytes[CATALOG_SEEK_BYTES_MAX];
};
static inline struct ior_slice catalog_key_slice(const struct catalog_key *k)
{
    return ior_slice(k->bytes, k->size_bytes);
}

struct catalog_key catalog_key_u32(uint32_t number);
struct catalog_key catalog_key_uid(uint32_t partition, uint64_t uid);
/* id: the first seqnum of a chunk, the last id of an idempotency key. */
struct catalog_key catalog_key_ids(uint32_t partition, uint64_t uid, uint64_t id);
struct catalog_key catalog_key_bytes(struct ior_slice bytes);
/* The smallest key behind this one. */
struct catalog_key catalog_key_after(struct ior_slice key);
/* CORRUPT: no key of that kind. */
IOR_MUST_CHECK enum ior_err catalog_parse_uid(struct ior_slice key, uint32_t *ret_partition,
                                              uint64_t *ret_uid);
IOR_MUST_CHECK enum ior_err catalog_parse_ids(struct ior_slice key, uint32_t *ret_partition,
                                              uint64_t *ret_uid, uint64_t *ret_id);

/* A value that is only its version byte and bytes: meta, small, grave. */
void catalog_encode_bytes(struct ior_buf *out, struct ior_slice bytes);
IOR_MUST_CHECK enum ior_err catalog_decode_bytes(struct ior_slice value, struct ior_slice *ret);
/* The number of a counter or of a piece of a name. */
void catalog_encode_number(struct ior_buf *out, uint32_t number);
IOR_MUST_CHECK enum ior_err catalog_decode_number(struct ior_slice value, uint32_t *ret);

/* The name is in the key. */
void catalog_encode_bucket(struct ior_buf *out, const struct bucket_row *row);
IOR_MUST_CHECK enum ior_err catalog_decode_bucket(struct ior_slice value, struct bucket_row *ret);

/* What the name of a stream leads to. */
struct catalog_name {
    uint32_t partition;
    uint64_t uid;
    bool deleted;
};
void catalog_encode_name(struct ior_buf *out, const struct catalog_name *name);
IOR_MUST_CHECK enum ior_err catalog_decode_name(struct ior_slice value, struct catalog_name *ret);

/* partition and uid, or first_seqnum, are in the key. */
void catalog_encode_stream(struct ior_buf *out, const struct stream_row *row);
IOR_MUST_CHECK enum ior_err catalog_decode_stream(struct ior_slice value, struct stream_row *ret);
void catalog_encode_chunk(struct ior_buf *out, const struct chunk_row *row);
IOR_MUST_CHECK enum ior_err catalog_decode_chunk(struct ior_slice value, struct chunk_row *ret);
void catalog_encode_group(struct ior_buf *out, const struct group_row *row);
IOR_MUST_CHECK enum ior_err catalog_decode_group(struct ior_slice value, struct group_row *ret);

/* catalog_keys.c; last_id is in the key. */
void catalog_encode_key(struct ior_buf *out, const struct key_row *row);
IOR_MUST_CHECK enum ior_err catalog_decode_key(struct ior_slice value, struct key_row *ret);

/* catalog.c: the next id of a counter in KV_META, from 1 on. */
IOR_MUST_CHECK enum ior_err catalog_take_number(struct kv_writer *w, const char *counter,
                                                uint32_t *ret);
/* catalog.c: encoded by the caller; frees `value`. */
IOR_MUST_CHECK enum ior_err catalog_put(struct kv_writer *w, enum kv_table t,
                                        const struct catalog_key *key, struct ior_buf *value);
/* catalog_names.c: the name leads to this stream from now on. CORRUPT: to another one. */
IOR_MUST_CHECK enum ior_err catalog_put_name(struct kv_writer *w, uint32_t bucket_id,
                                             struct ior_slice name, const struct catalog_name *to);

/* One step of a walk over a table. exact: `at` is the key that the walk gave last; it is looked
 * for, and what lies behind it in the file is given. Not exact: the first key >= at, after a look
 * at the one in front of it. So a key that damage has moved out of its order is met, where a search
 * alone would pass it by. END; CORRUPT also: `at` is gone, or the order is wrong. */
IOR_MUST_CHECK enum ior_err catalog_next(struct kv_reader *r, enum kv_table t, struct ior_slice at,
                                         bool exact, struct ior_slice *ret_key,
                                         struct ior_slice *ret_value);

/* src/store/catalog_check.c - what can be known in a moment about a catalog that lost rows.
 * The counters say how many buckets there are (ids are 1, 2, 3... and no bucket ever goes), and
 * that there are nodes for pieces of names. An id or a node must never be used again.
 * Failure modes: CORRUPT with a sentence. Thread: any. */
#include "store/catalog.h"
#include "store/catalog_row.h"

/* *ret: the next number; 1: none was taken yet. */
static enum ior_err read_counter(struct kv_reader *r, const char *name, uint32_t *ret)
{
    struct ior_slice value;
    enum ior_err err = kv_get(r, KV_META, ior_slice_str(name), &value);
    *ret = 1;
    if (err == IOR_E_NOTFOUND) return IOR_OK;
    return err == IOR_OK ? catalog_decode_number(value, ret) : err;
}

static bool count_bucket(void *ctx, struct ior_slice name)
{
    (void)name;
    ++*(uint32_t *)ctx;
    return true;
}

static enum ior_err check_buckets(struct kv_reader *r, struct ior_why *why)
{
    uint32_t next = 0;
    uint32_t count = 0;
    enum ior_err err = read_counter(r, CATALOG_BUCKET_COUNTER, &next);
    if (err == IOR_OK) err = catalog_each_bucket(r, ior_slice(NULL, 0), count_bucket, &count);
    if (err != IOR_OK)
        return ior_why_set(why, err, KV_LMDB_FILE ": the buckets cannot be read: %s",
                           ior_err_reason(err));
    if (count + 1 == next) return IOR_OK;
    return ior_why_set(why, IOR_E_CORRUPT,
                       KV_LMDB_FILE ": damage: it has the names of %u buckets, and made %u", count,
                       next - 1);
}

/* Without its counter the first node would be made again. */
static enum ior_err check_nodes(struct kv_reader *r, struct ior_why *why)
{
    uint32_t next = 0;
    struct ior_slice key;
    struct ior_slice value;
    struct catalog_key from = catalog_key_u32(CATALOG_NODE_FLAG);
    enum ior_err err = read_counter(r, CATALOG_NODE_COUNTER, &next);
    if (err == IOR_OK) {
        err = kv_seek(r, KV_STREAMS, catalog_key_slice(&from), &key, &value);
        if (err == IOR_E_END) return IOR_OK;
        if (err == IOR_OK && next > 1) return IOR_OK;
        if (err == IOR_OK) err = IOR_E_CORRUPT;
    }
    return ior_why_set(why, err,
                       KV_LMDB_FILE ": damage: it cannot tell how many long names it has: %s",
                       ior_err_reason(err));
}

enum ior_err catalog_check(struct kv_reader *r, struct ior_why *why)
{
    enum ior_err err = check_buckets(r, why);
    return err == IOR_OK ? check_nodes(r, why) : err;
}

/* src/store/verify_names.c - buckets and names of streams against rows, and back.
 * Happy path: every name leads to a row that has it; there are as many names as rows.
 * Failure modes: what does not fit is told; NOMEM. */
#include <inttypes.h>
#include <stdlib.h>

#include "store/verify_private.h"

static void say(struct verify *v, const char *what, uint32_t partition, uint64_t uid)
{
    verify_say(v, VERIFY_ERROR, KV_LMDB_FILE, VERIFY_NO_OFFSET, VERIFY_STREAM_FMT ": %s", uid,
               partition, what);
}

struct verify_bucket {
    uint32_t id;
    size_t item;
};

static int by_id(const void *a, const void *b)
{
    uint32_t x = ((const struct verify_bucket *)a)->id;
    uint32_t y = ((const struct verify_bucket *)b)->id;
    return x < y ? -1 : x > y;
}

enum ior_err verify_load_buckets(struct verify *v)
{
    const struct image *m = &v->image;
    size_t count = m->tables[KV_BUCKETS].count;
    v->buckets = calloc(count + 1, sizeof *v->buckets);
    if (v->buckets == NULL) return IOR_E_NOMEM;
    for (size_t i = 0; i < count; i++) {
        struct bucket_row row;
        if (catalog_decode_bucket(image_value(m, KV_BUCKETS, i), &row) != IOR_OK) continue;
        v->buckets[v->bucket_count++] = (struct verify_bucket){row.id, i};
    }
    qsort(v->buckets, v->bucket_count, sizeof *v->buckets, by_id);
    return IOR_OK;
}

struct ior_slice verify_bucket_name(const struct verify *v, uint32_t id)
{
    const struct verify_bucket wanted = {id, 0};
    const struct verify_bucket *b =
        v->buckets == NULL
            ? NULL
            : bsearch(&wanted, v->buckets, v->bucket_count, sizeof *v->buckets, by_id);
    return b == NULL ? ior_slice(NULL, 0) : image_key(&v->image, KV_BUCKETS, b->item);
}

/* ---- names from pieces ---- */

static uint32_t node_of(struct ior_slice key)
{
    return (uint32_t)key.data[0] << 24 | (uint32_t)key.data[1] << 16 | (uint32_t)key.data[2] << 8 |
           key.data[3];
}

/* What a node stands for: the key of the link that leads to it. */
struct link {
    uint32_t node;
    struct ior_slice key;
};

static int by_node(const void *a, const void *b)
{
    uint32_t x = ((const struct link *)a)->node;
    uint32_t y = ((const struct link *)b)->node;
    return x < y ? -1 : x > y;
}

static bool is_link(struct ior_slice key)
{
    return key.size_bytes == CATALOG_NAME_KEY_BYTES_MAX;
}

static struct link *collect_links(const struct image *m, size_t *ret_count)
{
    size_t count = 0;
    for (size_t i = 0; i < m->tables[KV_STREAMS].count; i++)
        count += is_link(image_key(m, KV_STREAMS, i));
    struct link *links = calloc(count + 1, sizeof *links);
    *ret_count = 0;
    for (size_t i = 0; links != NULL && i < m->tables[KV_STREAMS].count; i++) {
        struct ior_slice key = image_key(m, KV_STREAMS, i);
        if (!is_link(key)) continue;
        struct link *l = &links[(*ret_count)++];
        l->key = key;
        if (catalog_decode_number(image_value(m, KV_STREAMS, i), &l->node) != IOR_OK) l->node = 0;
    }
    if (links != NULL) qsort(links, *ret_count, sizeof *links, by_node);
    return links;
}

/* The bucket and the whole name of a last piece. False: a piece of it is lost. */
static bool put_together(const struct link *links, size_t count, struct ior_slice key,
                         uint8_t out[STREAM_BYTES_MAX], uint32_t *ret_bucket, struct ior_slice *ret)
{
    uint8_t *at = out + STREAM_BYTES_MAX;
    size_t n = key.size_bytes - CATALOG_NODE_BYTES;
    struct ior_slice piece = ior_slice(key.data + CATALOG_NODE_BYTES, n);
    uint32_t node = node_of(key);
    for (;;) {
        if ((size_t)(at - out) < piece.size_bytes) return false;
        at -= piece.size_bytes;
        memcpy(at, piece.data, piece.size_bytes);
        if ((node & CATALOG_NODE_FLAG) == 0) break;
        const struct link wanted = {.node = node};
        const struct link *l = bsearch(&wanted, links, count, sizeof *links, by_node);
        if (l == NULL) return false;
        node = node_of(l->key);
        piece = ior_slice(l->key.data + CATALOG_NODE_BYTES, CATALOG_PIECE_BYTES);
    }
    *ret_bucket = node;
    *ret = ior_slice(at, (size_t)(out + STREAM_BYTES_MAX - at));
    return true;
}

void verify_each_name(struct verify *v, verify_name_cb cb, void *ctx)
{
    const struct image *m = &v->image;
    uint8_t room[STREAM_BYTES_MAX];
    size_t count = 0;
    struct link *links = collect_links(m, &count);
    for (size_t i = 0; links != NULL && i < m->tables[KV_STREAMS].count; i++) {
        struct ior_slice key = image_key(m, KV_STREAMS, i);
        struct ior_slice name;
        struct catalog_name to;
        uint32_t bucket_id = 0;
        if (is_link(key)) continue;
        if (catalog_decode_name(image_value(m, KV_STREAMS, i), &to) != IOR_OK) continue;
        if (put_together(links, count, key, room, &bucket_id, &name)) {
            cb(ctx, bucket_id, name, &to);
        } else if (!v->rebuild) {
            say(v, "a piece of its name is missing", to.partition, to.uid);
        }
    }
    free(links);
}

/* ---- names and rows ---- */

struct names {
    struct verify *v;
    uint8_t *named; /* by row */
};

static void check_name(void *ctx, uint32_t bucket_id, struct ior_slice name,
                       const struct catalog_name *to)
{
    struct names *n = ctx;
    const struct image *m = &n->v->image;
    struct stream_row row;
    struct catalog_key key = catalog_key_uid(to->partition, to->uid);
    size_t i = image_seek(m, KV_ROWS, catalog_key_slice(&key));
    if (i == m->tables[KV_ROWS].count ||
        !ior_slice_eq(image_key(m, KV_ROWS, i), catalog_key_slice(&key))) {
        say(n->v, "its name leads to it, but it has no row", to->partition, to->uid);
        return;
    }
    if (catalog_decode_stream(image_value(m, KV_ROWS, i), &row) != IOR_OK) return;
    if (row.bucket_id != bucket_id || row.deleted != to->deleted || !ior_slice_eq(row.name, name))
        say(n->v, "a name leads to it that its row does not have", to->partition, to->uid);
    n->named[i]++;
}

static void check_rows(struct verify *v, const uint8_t *named)
{
    const struct image *m = &v->image;
    struct stream_row row;
    for (size_t i = 0; i < m->tables[KV_ROWS].count; i++) {
        uint32_t partition = 0;
        uint64_t uid = 0;
        if (catalog_parse_uid(image_key(m, KV_ROWS, i), &partition, &uid) != IOR_OK ||
            catalog_decode_stream(image_value(m, KV_ROWS, i), &row) != IOR_OK)
            continue;
        if (partition >= v->identity.ring_size || uid == 0)
            say(v, "there is no such partition or uid", partition, uid);
        if (verify_bucket_name(v, row.bucket_id).data == NULL)
            say(v, "its bucket is not there", partition, uid);
        if (named[i] == 0) say(v, "no name leads to it", partition, uid);
        if (named[i] > 1) say(v, "several names lead to it", partition, uid);
    }
}

/* A counter must be behind what it gave. */
static void check_counter(struct verify *v, const char *counter, uint32_t used)
{
    uint32_t next = 1;
    struct ior_slice value = image_get(&v->image, KV_META, ior_slice_str(counter));
    if (value.data != NULL && catalog_decode_number(value, &next) != IOR_OK) next = 0;
    if (used >= next)
        verify_say(v, VERIFY_ERROR, KV_LMDB_FILE, VERIFY_NO_OFFSET,
                   "%s is %" PRIu32 ", but %" PRIu32 " is in use", counter, next, used);
}

static void check_counters(struct verify *v)
{
    const struct image *m = &v->image;
    uint32_t highest = 0;
    uint32_t node = 0;
    for (size_t i = 0; i < v->bucket_count; i++) {
        if (i > 0 && v->buckets[i].id == highest)
            verify_say(v, VERIFY_ERROR, KV_LMDB_FILE, VERIFY_NO_OFFSET,
                       "two buckets have the id %" PRIu32, highest);
        highest = v->buckets[i].id;
    }
    check_counter(v, "next_bucket", highest);
    highest = 0;
    for (size_t i = 0; i < m->tables[KV_STREAMS].count; i++) {
        if (!is_link(image_key(m, KV_STREAMS, i))) continue;
        if (catalog_decode_number(image_value(m, KV_STREAMS, i), &node) != IOR_OK) continue;
        node &= ~CATALOG_NODE_FLAG;
        if (node > highest) highest = node;
    }
    check_counter(v, "next_names", highest);
}

enum ior_err verify_names(struct verify *v)
{
    struct names n = {v, calloc(v->image.tables[KV_ROWS].count + 1, 1)};
    if (n.named == NULL) return IOR_E_NOMEM;
    verify_each_name(v, check_name, &n);
    check_rows(v, n.named);
    check_counters(v);
    free(n.named);
    return IOR_OK;
}

/* src/store/catalog_names.c - the names of streams, in KV_STREAMS.
 * A key has room for 511 bytes, a name may have 1024. So a long name is cut into pieces of
 * CATALOG_PIECE_BYTES: a key is a node (4 bytes) and a piece. The first node is the
 * bucket. A last piece (1..CATALOG_PIECE_BYTES bytes) leads to the stream. Any other piece
 * is exactly that long, has a zero byte behind it and leads to the node of the next piece:
 * so the two kinds differ in length, and whatever continues a name comes behind the name
 * itself and before the next one: the order of keys, node by node, is that of the names.
 * No hash: names that a client chose so that they collide would cost everybody.
 * Happy path of a walk: one seek a name, and one read of its row; at a node it goes down, and
 * at its end up again, at most CATALOG_PIECES_MAX deep.
 * Failure modes: a name that leads nowhere, or to a row that has another name, is CORRUPT.
 * Thread: as kv.h. */
#include "store/catalog_row.h"

/* Where to look: in a snapshot, or in what a writer put so far. */
struct source {
    struct kv_reader *reader; /* or NULL */
    struct kv_writer *writer;
};

static enum ior_err get(struct source from, const struct catalog_key *key, struct ior_slice *ret)
{
    if (from.reader != NULL) return kv_get(from.reader, KV_STREAMS, catalog_key_slice(key), ret);
    return kv_write_get(from.writer, KV_STREAMS, catalog_key_slice(key), ret);
}

/* ---- keys ---- */

static struct catalog_key key_of(uint32_t node, struct ior_slice piece)
{
    struct catalog_key k = catalog_key_u32(node);
    IOR_ASSERT(piece.size_bytes <= CATALOG_PIECE_BYTES);
    if (piece.size_bytes > 0) memcpy(k.bytes + k.size_bytes, piece.data, piece.size_bytes);
    k.size_bytes += piece.size_bytes;
    return k;
}

/* The key of the first piece of a long name. */
static struct catalog_key link_key(uint32_t node, struct ior_slice name)
{
    struct catalog_key k = key_of(node, ior_slice(name.data, CATALOG_PIECE_BYTES));
    k.bytes[k.size_bytes++] = 0;
    return k;
}

static bool is_long(struct ior_slice name)
{
    return name.size_bytes > CATALOG_PIECE_BYTES;
}

static struct ior_slice rest_of(struct ior_slice name)
{
    return ior_slice(name.data + CATALOG_PIECE_BYTES, name.size_bytes - CATALOG_PIECE_BYTES);
}

/* The node that a piece leads to. */
static enum ior_err decode_link(struct ior_slice value, uint32_t *ret_node)
{
    enum ior_err err = catalog_decode_number(value, ret_node);
    if (err == IOR_OK && (*ret_node & CATALOG_NODE_FLAG) == 0) err = IOR_E_CORRUPT;
    return err;
}

/* ---- one name ---- */

/* From a node and a name to the node and the piece at its end. NOTFOUND: a piece is missing,
 * *node and *name say where. */
static enum ior_err descend(struct source from, uint32_t *node, struct ior_slice *name)
{
    while (is_long(*name)) {
        struct ior_slice value;
        uint32_t next = 0;
        struct catalog_key key = link_key(*node, *name);
        enum ior_err err = get(from, &key, &value);
        if (err == IOR_OK) err = decode_link(value, &next);
        if (err != IOR_OK) return err;
        *node = next;
        *name = rest_of(*name);
    }
    return IOR_OK;
}

/* Makes the nodes that are missing. */
static enum ior_err make_nodes(struct kv_writer *w, uint32_t *node, struct ior_slice *name)
{
    while (is_long(*name)) {
        struct ior_buf value = {0};
        uint32_t number = 0;
        struct catalog_key key = link_key(*node, *name);
        enum ior_err err = catalog_take_number(w, CATALOG_NODE_COUNTER, &number);
        if (err != IOR_OK) return err;
        *node = number | CATALOG_NODE_FLAG;
        catalog_encode_number(&value, *node);
        err = catalog_put(w, KV_STREAMS, &key, &value);
        if (err != IOR_OK) return err;
        *name = rest_of(*name);
    }
    return IOR_OK;
}

enum ior_err catalog_put_name(struct kv_writer *w, uint32_t bucket_id, struct ior_slice name,
                              const struct catalog_name *to)
{
    struct source from = {.writer = w};
    struct ior_buf value = {0};
    struct ior_slice old_value;
    struct catalog_name old;
    uint32_t node = bucket_id;
    IOR_ASSERT(bucket_id != 0 && (bucket_id & CATALOG_NODE_FLAG) == 0);
    IOR_ASSERT(name.size_bytes > 0 && name.size_bytes <= STREAM_BYTES_MAX);
    enum ior_err err = descend(from, &node, &name);
    if (err == IOR_E_NOTFOUND) err = make_nodes(w, &node, &name);
    if (err != IOR_OK) return err;
    struct catalog_key key = key_of(node, name);
    err = get(from, &key, &old_value);
    if (err == IOR_OK) err = catalog_decode_name(old_value, &old);
    if (err == IOR_OK && (old.uid != to->uid || old.partition != to->partition))
        err = IOR_E_CORRUPT;
    if (err != IOR_OK && err != IOR_E_NOTFOUND) return err;
    catalog_encode_name(&value, to);
    return catalog_put(w, KV_STREAMS, &key, &value);
}

/* The row that a name leads to; they must agree. */
static enum ior_err read_row(struct kv_reader *r, uint32_t bucket_id, struct ior_slice name,
                             const struct catalog_name *to, struct stream_row *ret)
{
    enum ior_err err = catalog_get_stream(r, to->partition, to->uid, ret);
    if (err == IOR_E_NOTFOUND) return IOR_E_CORRUPT;
    if (err != IOR_OK) return err;
    bool agree =
        ret->bucket_id == bucket_id && ret->deleted == to->deleted && ior_slice_eq(ret->name, name);
    return agree ? IOR_OK : IOR_E_CORRUPT;
}

enum ior_err catalog_find_stream(struct kv_reader *r, uint32_t bucket_id, struct ior_slice name,
                                 struct stream_row *ret)
{
    struct source from = {.reader = r};
    struct ior_slice value;
    struct ior_slice last = name;
    struct catalog_name to;
    uint32_t node = bucket_id;
    if (name.size_bytes == 0 || name.size_bytes > STREAM_BYTES_MAX) return IOR_E_NOTFOUND;
    enum ior_err err = descend(from, &node, &last);
    if (err != IOR_OK) return err;
    struct catalog_key key = key_of(node, last);
    err = get(from, &key, &value);
    if (err == IOR_OK) err = catalog_decode_name(value, &to);
    return err == IOR_OK ? read_row(r, bucket_id, name, &to, ret) : err;
}

/* ---- a walk ---- */

struct level {
    uint32_t node;
    struct catalog_key from; /* where it goes on */
    bool exact;              /* that key was there: behind it */
};

struct walk {
    struct kv_reader *reader;
    uint32_t bucket_id;
    unsigned depth;
    struct level levels[CATALOG_PIECES_MAX];
    uint8_t name[CATALOG_PIECES_MAX * CATALOG_PIECE_BYTES]; /* pieces of the levels above */
};

static void enter(struct walk *w, unsigned depth, uint32_t node)
{
    w->depth = depth;
    w->levels[depth].node = node;
    w->levels[depth].from = catalog_key_u32(node);
    w->levels[depth].exact = false;
}

/* Down to the piece behind this one, to be continued behind it. */
static enum ior_err go_down(struct walk *w, struct ior_slice key, struct ior_slice value)
{
    uint32_t node = 0;
    enum ior_err err = decode_link(value, &node);
    if (err != IOR_OK) return err;
    if (w->depth + 1 == CATALOG_PIECES_MAX || key.data[key.size_bytes - 1] != 0)
        return IOR_E_CORRUPT;
    memcpy(w->name + w->depth * CATALOG_PIECE_BYTES, key.data + CATALOG_NODE_BYTES,
           CATALOG_PIECE_BYTES);
    w->levels[w->depth].from = catalog_key_bytes(key);
    w->levels[w->depth].exact = true;
    enter(w, w->depth + 1, node);
    return IOR_OK;
}

/* To behind the name `after`, whether it is there or not. */
static enum ior_err start(struct walk *w, struct ior_slice after)
{
    enter(w, 0, w->bucket_id);
    while (after.size_bytes > 0) {
        struct level *level = &w->levels[w->depth];
        if (!is_long(after)) {
            struct catalog_key key = key_of(level->node, after);
            level->from = catalog_key_after(catalog_key_slice(&key));
            return IOR_OK;
        }
        struct ior_slice value;
        struct catalog_key key = link_key(level->node, after);
        enum ior_err err = kv_get(w->reader, KV_STREAMS, catalog_key_slice(&key), &value);
        if (err == IOR_E_NOTFOUND) { /* nothing goes on like it */
            level->from = key;
            return IOR_OK;
        }
        if (err == IOR_OK) err = go_down(w, catalog_key_slice(&key), value);
        if (err != IOR_OK) return err;
        after = rest_of(after);
    }
    return IOR_OK;
}

/* The stream at the end of a name. *ret_show: it is to be shown. */
static enum ior_err take_name(struct walk *w, struct ior_slice key, struct ior_slice value,
                              struct stream_row *ret, bool *ret_show)
{
    struct catalog_name to;
    size_t above = w->depth * CATALOG_PIECE_BYTES;
    size_t last = key.size_bytes - CATALOG_NODE_BYTES;
    enum ior_err err = catalog_decode_name(value, &to);
    if (err == IOR_OK && above + last > STREAM_BYTES_MAX) err = IOR_E_CORRUPT;
    if (err != IOR_OK || to.deleted) return err;
    memcpy(w->name + above, key.data + CATALOG_NODE_BYTES, last);
    *ret_show = true;
    return read_row(w->reader, w->bucket_id, ior_slice(w->name, above + last), &to, ret);
}

/* One key further. END: there is none. */
static enum ior_err step(struct walk *w, struct stream_row *ret, bool *ret_show)
{
    struct ior_slice key;
    struct ior_slice value;
    struct level *level = &w->levels[w->depth];
    *ret_show = false;
    enum ior_err err = catalog_next(w->reader, KV_STREAMS, catalog_key_slice(&level->from),
                                    level->exact, &key, &value);
    struct catalog_key node = catalog_key_u32(level->node);
    if (err == IOR_OK && !ior_slice_starts(key, catalog_key_slice(&node))) err = IOR_E_END;
    if (err == IOR_E_END && w->depth > 0) {
        w->depth--;
        return IOR_OK;
    }
    if (err != IOR_OK) return err;
    if (key.size_bytes == CATALOG_NAME_KEY_BYTES_MAX) return go_down(w, key, value);
    if (key.size_bytes <= CATALOG_NODE_BYTES || key.size_bytes > CATALOG_NAME_KEY_BYTES_MAX)
        return IOR_E_CORRUPT;
    level->from = catalog_key_bytes(key);
    level->exact = true;
    return take_name(w, key, value, ret, ret_show);
}

enum ior_err catalog_each_stream(struct kv_reader *r, uint32_t bucket_id, struct ior_slice after,
                                 catalog_stream_cb cb, void *ctx)
{
    struct walk w = {.reader = r, .bucket_id = bucket_id};
    struct stream_row row;
    bool show = false;
    IOR_ASSERT(bucket_id != 0 && (bucket_id & CATALOG_NODE_FLAG) == 0);
    enum ior_err err = start(&w, after);
    while (err == IOR_OK) {
        err = step(&w, &row, &show);
        if (err == IOR_OK && show && !cb(ctx, &row)) return IOR_OK;
    }
    return err == IOR_E_END ? IOR_OK : err;
}

/* src/store/verify_image.h - a copy of the catalog in memory that nobody can die of.
 * Damage in the pages of LMDB may end the process that reads them. So a child reads and sends
 * what it finds through a pipe; when it dies, another one goes on behind the place. What comes
 * is checked again here: every value has passed its checksum and its decoder.
 * Happy path: one child, every table, keys in their order.
 * Failure modes: each place that cannot be read is told by on_wrong, and what can be read is
 * still taken; `whole` says whether anything was. NOMEM and errors of fork are errors.
 * Thread: one; with a child no other thread may run (fork). */
#pragma once

#include "base/buf.h"
#include "store/catalog_row.h"

/* Children one after the other that find nothing in a table: then it is given up. */
enum { IMAGE_TRIES_MAX = 64 };

struct image_item {
    size_t at; /* in image.bytes: key, then value */
    uint32_t value_bytes;
    uint16_t key_bytes;
};

struct image_table {
    struct image_item *items; /* by key */
    size_t count;
    size_t room;
};

struct image {
    struct ior_buf bytes;
    struct image_table tables[KV_TABLES];
    bool whole; /* nothing was wrong */
};

/* Called for what cannot be read; table is its name (NULL: the whole
 * file), key may be empty. */
typedef void (*image_wrong_cb)(void *ctx, const char *table, struct ior_slice key,
                               const char *what);
struct image_params {
    const char *dir;     /* of KV_LMDB_FILE: a child reads it */
    struct kv *kv;       /* or this one, in this process (dir NULL) */
    uint32_t partitions; /* where to look behind damage */
    image_wrong_cb on_wrong;
    void *ctx;
};
IOR_MUST_CHECK enum ior_err image_read(const struct image_params *p, struct image *ret,
                                       struct ior_why *why);
void image_done(struct image *m);

struct ior_slice image_key(const struct image *m, enum kv_table t, size_t i);
struct ior_slice image_value(const struct image *m, enum kv_table t, size_t i);
/* The first item whose key is not below this one: its place, or the count. */
size_t image_seek(const struct image *m, enum kv_table t, struct ior_slice key);
/* The value of a key; data NULL: it is not there. */
struct ior_slice image_get(const struct image *m, enum kv_table t, struct ior_slice key);
/* "rows" and so on, as in docs/formats.rst. */
const char *image_table_name(enum kv_table t);

/* A child walks the whole file: is every value sound? CORRUPT with *why: damaged, or the child
 * died of it. OK when *ret_clean: the mark of a clean stop was there, and nothing was walked. */
IOR_MUST_CHECK enum ior_err image_check(const char *dir, bool *ret_clean, struct ior_why *why);
/* The mark alone; false where it cannot be read. Only errors of making a child. */
IOR_MUST_CHECK enum ior_err image_is_clean(const char *dir, bool *ret_clean, struct ior_why *why);

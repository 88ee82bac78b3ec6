/* src/store/kv_pages_private.h - what the files of kv_pages.h share: the look at one file, and
 * the numbers of LMDB's format. kv_pages.c: meta pages, tables, the whole; kv_pages_tree.c: one
 * tree; kv_pages_free.c: the free list; kv_pages_file.c: the file of a data directory. */
#pragma once

#include "base/bytes.h"
#include "base/slice.h"
#include "store/kv_pages.h"

enum {
    LMDB_HEAD_BYTES = 16, /* of a page: number, pad, flags, lower and upper (or overflow pages) */
    LMDB_NODE_BYTES = 8,  /* of a node: data size or page number, flags, key size */
    LMDB_BRANCH = 1,
    LMDB_LEAF = 2,
    LMDB_OVERFLOW = 4,
    LMDB_META = 8,
    LMDB_BIG_DATA = 1, /* of a node: the data lies on overflow pages */
    LMDB_SUB_DATA = 2, /* of a node: the data is a table's record */
    LMDB_RECORD_BYTES = 48,
    LMDB_DEPTH_MAX = 32,
};
#define LMDB_NO_PAGE UINT64_MAX /* root of an empty tree */

struct lmdb_record {
    uint32_t pad;
    uint16_t flags;
    uint16_t depth;
    uint64_t branch_pages;
    uint64_t leaf_pages;
    uint64_t overflow_pages;
    uint64_t entries;
    uint64_t root;
};
struct lmdb_record lmdb_record_get(const uint8_t at[LMDB_RECORD_BYTES]);

struct pages {
    const struct kv_pages_params *p;
    struct kv_pages_report *report;
    bool stopped; /* on_wrong wants no more, or there is no memory */
    enum ior_err err;
    size_t page_bytes;
    uint64_t file_pages; /* whole ones */
    uint64_t last_page;
    uint64_t txn;
    uint64_t *used;  /* a bit for each page up to the last */
    uint64_t *free;  /* the same */
    uint16_t *sizes; /* of nodes by their place in the page that is looked at */
    uint8_t *piece;  /* of a page */
};

/* Something is wrong at this byte of the file. */
void pages_wrong(struct pages *g, uint64_t offset_bytes, const char *fmt, ...) IOR_PRINTF(3, 4);
/* False: it cannot be read, and that was told. The range lies in the file. */
bool pages_read(struct pages *g, uint64_t offset_bytes, void *out, size_t n);
/* From `first` on, `count` pages are in use by `name`; `from` names them. False: they cannot be. */
bool pages_take(struct pages *g, uint64_t first, uint64_t count, uint64_t from, const char *name);
bool pages_bit(const uint64_t *bits, uint64_t i);
void pages_set(uint64_t *bits, uint64_t i);

/* ---- kv_pages_tree.c ---- */
enum tree_kind { TREE_FREE, TREE_MAIN, TREE_TABLE };

struct tree {
    struct pages *g;
    enum tree_kind kind;
    const char *name;
    struct lmdb_record record;
    uint64_t record_at; /* its place in the file */
    /* TREE_FREE, TREE_MAIN: called for each entry of a leaf. Data on overflow pages: data.data is
     * NULL, big_at says where they begin. */
    void (*on_entry)(struct tree *t, struct ior_slice key, struct ior_slice data, uint16_t flags,
                     uint64_t at, uint64_t big_at);
    void *ctx;
    /* What was seen. */
    uint64_t wrong_before;
    struct lmdb_record seen;
    uint8_t *levels; /* a page for each */
};
/* The whole tree against its record. */
void pages_tree(struct tree *t);

/* ---- kv_pages_free.c ---- */
/* on_entry of the free list. */
void pages_free_entry(struct tree *t, struct ior_slice key, struct ior_slice data, uint16_t flags,
                      uint64_t at, uint64_t big_at);

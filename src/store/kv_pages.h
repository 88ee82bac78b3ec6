/* src/store/kv_pages.h - are the pages of an LMDB file sound? LMDB trusts its pages: damage in
 * them ends the process that meets it, or lets the next commit write over pages that are in use.
 * This looks at them without LMDB: every read is bounded, no byte can end it, no child is needed.
 * Sound means: both meta pages; the free list, the table of tables and each table as a tree
 * whose pages are in the file, are what they say they are, have nodes that fill them exactly
 * and keys in their order, each reached once, as many as the tree's record says; no page both
 * free and in use, or free twice. LMDB may then read and write without harm. What is in a value
 * is not looked at (kv.c has a checksum for that).
 * Not noticed, for it does no harm: bytes that LMDB does not use (free pages, room between
 * nodes, behind a value), a key or a separator that becomes another one between its neighbours,
 * and the older meta page beside its head and number; so when the number of the newer one
 * becomes that of the commit before the older, the file is as it was one commit ago.
 * Format: LMDB 0.9, data version 1, 64 bits, little-endian, no duplicate keys.
 * Happy path: meta pages, then trees from their roots; one page in memory for each level, two
 * bits for each page of the file.
 * Failure modes: damage is told place by place; NOMEM; VERSION (another data version).
 * Thread: any; nobody writes to the file meanwhile. */
#pragma once

#include "base/err.h"
#include "store/kv.h"

/* False: enough, look no further. */
typedef bool (*kv_pages_wrong_cb)(void *ctx, uint64_t offset_bytes, const char *what);

struct kv_pages_params {
    /* n bytes from an offset; all of them lie in front of size_bytes. IO: they cannot be read. */
    enum ior_err (*read)(void *ctx, uint64_t offset_bytes, void *out, size_t n);
    void *read_ctx;
    uint64_t size_bytes;
    const char *const *tables; /* all of them are there */
    size_t table_count;
    const char *row; /* so is this one, which is no table; NULL: none */
    size_t row_bytes;
    kv_pages_wrong_cb on_wrong;
    void *ctx;
};

struct kv_pages_report {
    uint64_t txn;   /* of the newer meta page */
    uint64_t pages; /* up to the last one in use */
    uint64_t used;
    uint64_t free;
    uint64_t leaked; /* neither; only counted when nothing is wrong */
    uint64_t wrong;
    uint64_t wrong_free; /* of these in the free list: all values can be read */
};

IOR_MUST_CHECK enum ior_err kv_pages_check(const struct kv_pages_params *p,
                                           struct kv_pages_report *ret);

/* KV_LMDB_FILE in dir, with the tables of kv.h. on_wrong NULL: the first place only, and CORRUPT
 * with *why. NOTFOUND, ACCESS, IO, NOMEM, VERSION with *why. */
IOR_MUST_CHECK enum ior_err kv_pages_check_file(const char *dir, kv_pages_wrong_cb on_wrong,
                                                void *ctx, struct kv_pages_report *ret,
                                                struct ior_why *why);

/* src/store/kv_pages.c - see kv_pages.h: the meta pages, the order of things, what was found.
 * A meta page: head; magic, data version, address, size of the mapping; the records of the free
 * list and of the main tree, whose entries are the records of the tables; last page, transaction.
 * Transaction n writes meta page n % 2, so the numbers of the two follow each other. */
#include "store/kv_pages.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/kv_pages_private.h"

enum {
    META_BYTES = LMDB_HEAD_BYTES + 136,
    META_AT_RECORDS = LMDB_HEAD_BYTES + 24,
    META_AT_LAST_PAGE = META_AT_RECORDS + 2 * LMDB_RECORD_BYTES,
    META_AT_TXN = META_AT_LAST_PAGE + 8,
    DATA_VERSION = 1,
    FLAG_INTEGER_KEYS = 8, /* of the free list */
    FLAG_NO_SUBDIR = 0x4000,
    PAGE_BYTES_MIN = 4096,
    PAGE_BYTES_MAX = 32768,
    /* Of pages at the end that were used and freed in one commit, and are not in the file: LMDB
     * holds at most 2^17 of a commit in memory. */
    PAGES_BEHIND_MAX = 1 << 20,
    TABLES_MAX = 64,
};
#define LMDB_MAGIC 0xbeefc0deu

struct lmdb_record lmdb_record_get(const uint8_t at[LMDB_RECORD_BYTES])
{
    return (struct lmdb_record){.pad = ior_get_u32(at),
                                .flags = ior_get_u16(at + 4),
                                .depth = ior_get_u16(at + 6),
                                .branch_pages = ior_get_u64(at + 8),
                                .leaf_pages = ior_get_u64(at + 16),
                                .overflow_pages = ior_get_u64(at + 24),
                                .entries = ior_get_u64(at + 32),
                                .root = ior_get_u64(at + 40)};
}

/* ---- what the files of it share ---- */

void pages_wrong(struct pages *g, uint64_t offset_bytes, const char *fmt, ...)
{
    char text[256];
    va_list args;
    if (g->stopped) return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    g->report->wrong++;
    if (!g->p->on_wrong(g->p->ctx, offset_bytes, text)) g->stopped = true;
}

bool pages_read(struct pages *g, uint64_t offset_bytes, void *out, size_t n)
{
    enum ior_err err = g->p->read(g->p->read_ctx, offset_bytes, out, n);
    if (err != IOR_OK) pages_wrong(g, offset_bytes, "it cannot be read: %s", ior_err_reason(err));
    return err == IOR_OK;
}

bool pages_bit(const uint64_t *bits, uint64_t i)
{
    return (bits[i / 64] >> (i % 64) & 1) != 0;
}

void pages_set(uint64_t *bits, uint64_t i)
{
    bits[i / 64] |= 1ull << (i % 64);
}

bool pages_take(struct pages *g, uint64_t first, uint64_t count, uint64_t from, const char *name)
{
    if (count > g->file_pages - first || first + count - 1 > g->last_page) {
        pages_wrong(g, from,
                    "table %s: %" PRIu64 " pages from page %" PRIu64 " on go beyond the last one",
                    name, count, first);
        return false;
    }
    for (uint64_t i = first; i < first + count; i++) {
        if (!pages_bit(g->used, i) && !pages_bit(g->free, i)) continue;
        pages_wrong(g, from, "table %s: page %" PRIu64 " is %s", name, i,
                    pages_bit(g->used, i) ? "in use already" : "in the free list, too");
        return false;
    }
    for (uint64_t i = first; i < first + count; i++) pages_set(g->used, i);
    g->report->used += count;
    return true;
}

/* ---- meta pages ---- */

struct meta {
    uint64_t at;
    uint32_t version;
    uint64_t last_page;
    uint64_t txn;
    struct lmdb_record free;
    struct lmdb_record main;
};

static bool meta_get(struct pages *g, unsigned number, uint64_t at, struct meta *ret)
{
    uint8_t page[META_BYTES];
    if (at + META_BYTES > g->p->size_bytes) {
        pages_wrong(g, g->p->size_bytes, "the file ends in meta page %u", number);
        return false;
    }
    if (!pages_read(g, at, page, sizeof page)) return false;
    if (ior_get_u64(page) != number || ior_get_u16(page + 10) != LMDB_META ||
        ior_get_u32(page + LMDB_HEAD_BYTES) != LMDB_MAGIC) {
        pages_wrong(g, at, "this is not meta page %u of an LMDB file", number);
        return false;
    }
    *ret = (struct meta){.at = at,
                         .version = ior_get_u32(page + LMDB_HEAD_BYTES + 4),
                         .last_page = ior_get_u64(page + META_AT_LAST_PAGE),
                         .txn = ior_get_u64(page + META_AT_TXN),
                         .free = lmdb_record_get(page + META_AT_RECORDS),
                         .main = lmdb_record_get(page + META_AT_RECORDS + LMDB_RECORD_BYTES)};
    return true;
}

static bool page_size_ok(uint32_t n)
{
    return n >= PAGE_BYTES_MIN && n <= PAGE_BYTES_MAX && (n & (n - 1)) == 0;
}

/* Both, and which one counts. */
static bool read_metas(struct pages *g, struct meta *ret)
{
    struct meta m[2];
    if (!meta_get(g, 0, 0, &m[0])) return false;
    if (!page_size_ok(m[0].free.pad)) {
        pages_wrong(g, META_AT_RECORDS, "pages of %" PRIu32 " bytes", m[0].free.pad);
        return false;
    }
    g->page_bytes = m[0].free.pad;
    if (!meta_get(g, 1, g->page_bytes, &m[1])) return false;
    if (m[0].version == m[1].version && m[0].version != DATA_VERSION) {
        g->err = IOR_E_VERSION;
        return false;
    }
    for (unsigned i = 0; i < 2; i++) {
        if (m[i].version != DATA_VERSION || m[i].free.pad != g->page_bytes) {
            pages_wrong(g, m[i].at, "the two meta pages have another version or page size");
            return false;
        }
        if (m[i].txn % 2 != i) {
            pages_wrong(g, m[i].at + META_AT_TXN, "transaction %" PRIu64 " in meta page %u",
                        m[i].txn, i);
            return false;
        }
    }
    *ret = m[0].txn > m[1].txn ? m[0] : m[1];
    uint64_t older = m[0].txn > m[1].txn ? m[1].txn : m[0].txn;
    if (ret->txn - older == 1) return true;
    pages_wrong(g, ret->at + META_AT_TXN,
                "the meta pages are of transactions %" PRIu64 " and %" PRIu64, older, ret->txn);
    return false;
}

static bool check_meta(struct pages *g, const struct meta *m)
{
    uint16_t odd = m->free.flags & (uint16_t) ~(FLAG_INTEGER_KEYS | FLAG_NO_SUBDIR);
    g->file_pages = g->p->size_bytes / g->page_bytes;
    g->last_page = m->last_page;
    g->txn = m->txn;
    g->report->txn = m->txn;
    if ((m->free.flags & FLAG_INTEGER_KEYS) == 0 || odd != 0) {
        pages_wrong(g, m->at + META_AT_RECORDS + 4, "flags %#x", m->free.flags);
        return false;
    }
    if (m->last_page < 2 || m->last_page > g->file_pages + PAGES_BEHIND_MAX) {
        pages_wrong(g, m->at + META_AT_LAST_PAGE,
                    "the last page is %" PRIu64 ", the file has %" PRIu64, m->last_page,
                    g->file_pages);
        return false;
    }
    g->report->pages = m->last_page + 1;
    return true;
}

/* ---- tables ---- */

struct table {
    uint64_t at;
    struct lmdb_record record;
    uint16_t name_bytes;
    char name[KV_KEY_BYTES_MAX + 1];
};

struct tables {
    struct table *items;
    size_t count;
    bool row_found;
};

/* An entry of the main tree. */
static void note_table(struct tree *t, struct ior_slice key, struct ior_slice data, uint16_t flags,
                       uint64_t at, uint64_t big_at)
{
    struct tables *all = t->ctx;
    (void)big_at;
    if (flags != LMDB_SUB_DATA) {
        const char *row = t->g->p->row;
        if (row != NULL && ior_slice_eq(key, ior_slice_str(row)))
            all->row_found = data.size_bytes == t->g->p->row_bytes;
        return;
    }
    if (all->count == TABLES_MAX) {
        pages_wrong(t->g, at, "more than %d tables", TABLES_MAX);
        return;
    }
    struct table *table = &all->items[all->count++];
    table->at = at + LMDB_NODE_BYTES + key.size_bytes;
    table->record = lmdb_record_get(data.data);
    table->name_bytes = (uint16_t)key.size_bytes;
    for (size_t i = 0; i < key.size_bytes; i++)
        table->name[i] = key.data[i] >= 0x20 && key.data[i] < 0x7f ? (char)key.data[i] : '?';
}

static bool has_table(const struct tables *all, const char *name)
{
    for (size_t i = 0; i < all->count; i++) {
        if (strcmp(all->items[i].name, name) == 0) return true;
    }
    return false;
}

/* None is lost: LMDB would not notice, and begin an empty one. */
static void check_names(struct pages *g, const struct tables *all, const struct tree *main)
{
    const struct kv_pages_params *p = g->p;
    for (size_t i = 0; i < p->table_count; i++) {
        if (!has_table(all, p->tables[i]))
            pages_wrong(g, main->record_at, "table %s is missing", p->tables[i]);
    }
    if (p->row != NULL && !all->row_found)
        pages_wrong(g, main->record_at, "the row %s is missing, or has another size", p->row);
}

static void check_tables(struct pages *g, const struct meta *m)
{
    struct tables all = {.items = calloc(TABLES_MAX, sizeof *all.items)};
    if (all.items == NULL) {
        g->err = IOR_E_NOMEM;
        return;
    }
    struct tree main = {.g = g,
                        .kind = TREE_MAIN,
                        .name = "(main)",
                        .record = m->main,
                        .record_at = m->at + META_AT_RECORDS + LMDB_RECORD_BYTES,
                        .on_entry = note_table,
                        .ctx = &all};
    uint64_t wrong = g->report->wrong;
    pages_tree(&main);
    for (size_t i = 0; i < all.count; i++) {
        struct tree t = {.g = g,
                         .kind = TREE_TABLE,
                         .name = all.items[i].name,
                         .record = all.items[i].record,
                         .record_at = all.items[i].at};
        pages_tree(&t);
    }
    if (g->report->wrong == wrong) check_names(g, &all, &main);
    free(all.items);
}

/* ---- the whole ---- */

/* A page in front of the last one that the file does not have must be a free one. */
static void check_end(struct pages *g)
{
    for (uint64_t i = g->file_pages; i <= g->last_page; i++) {
        if (pages_bit(g->free, i)) continue;
        pages_wrong(g, g->p->size_bytes,
                    "the file ends here, it had %" PRIu64 " pages of %zu bytes", g->last_page + 1,
                    g->page_bytes);
        return;
    }
}

static void check_trees(struct pages *g, const struct meta *m)
{
    struct tree free_list = {.g = g,
                             .kind = TREE_FREE,
                             .name = "(free pages)",
                             .record = m->free,
                             .record_at = m->at + META_AT_RECORDS,
                             .on_entry = pages_free_entry};
    g->report->used = 2; /* the meta pages */
    pages_set(g->used, 0);
    pages_set(g->used, 1);
    check_tables(g, m);
    uint64_t wrong = g->report->wrong;
    pages_tree(&free_list);
    g->report->wrong_free = g->report->wrong - wrong;
    if (g->report->wrong == 0 && !g->stopped) check_end(g);
    if (g->report->wrong == 0 && !g->stopped)
        g->report->leaked = g->report->pages - g->report->used - g->report->free;
}

enum ior_err kv_pages_check(const struct kv_pages_params *p, struct kv_pages_report *ret)
{
    struct pages g = {.p = p, .report = ret};
    struct meta m;
    *ret = (struct kv_pages_report){0};
    if (!read_metas(&g, &m) || !check_meta(&g, &m)) return g.err;
    size_t words = (size_t)(g.last_page / 64 + 1);
    g.used = calloc(words, sizeof *g.used);
    g.free = calloc(words, sizeof *g.free);
    g.sizes = malloc(g.page_bytes / 2 * sizeof *g.sizes);
    g.piece = malloc(g.page_bytes);
    if (g.used == NULL || g.free == NULL || g.sizes == NULL || g.piece == NULL) {
        g.err = IOR_E_NOMEM;
    } else {
        check_trees(&g, &m);
    }
    free(g.piece);
    free(g.sizes);
    free(g.free);
    free(g.used);
    return g.err;
}

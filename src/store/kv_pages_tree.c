/* src/store/kv_pages_tree.c - one tree of an LMDB file, see kv_pages.h.
 * Happy path: from the root down; on each page the head, then the nodes, which fill it from
 * `upper` to its end without a gap, then the keys, which lie between the keys of the page above.
 * Failure modes: a page that is not what it should be is told and not gone into; then the
 * counts of the tree's record are not compared, for they cannot fit.
 * It recurses as deep as the record says, LMDB_DEPTH_MAX at most. */
#include <inttypes.h>
#include <stdlib.h>

#include "store/kv_pages_private.h"

struct node {
    uint64_t page; /* of a branch */
    uint64_t at;   /* place in the file */
    uint32_t data_bytes;
    uint16_t flags; /* of a leaf */
    struct ior_slice key;
    const uint8_t *data;
};

/* What a page may hold: keys from low on and below high; data NULL: no bound. */
struct place {
    uint64_t page;
    uint64_t from; /* where in the file it was named */
    unsigned level;
    struct ior_slice low;
    struct ior_slice high;
};

static int compare(const struct tree *t, struct ior_slice a, struct ior_slice b)
{
    if (t->kind != TREE_FREE) return ior_slice_cmp(a, b);
    uint64_t x = ior_get_u64(a.data);
    uint64_t y = ior_get_u64(b.data);
    return x < y ? -1 : x > y;
}

static struct node node_get(const uint8_t *page, uint64_t page_at, size_t i, bool is_leaf)
{
    size_t offset = ior_get_u16(page + LMDB_HEAD_BYTES + 2 * i);
    const uint8_t *at = page + offset;
    uint64_t low = ior_get_u32(at);
    uint16_t flags = ior_get_u16(at + 4);
    struct node n = {.at = page_at + offset};
    n.key = ior_slice(at + LMDB_NODE_BYTES, ior_get_u16(at + 6));
    n.data = at + LMDB_NODE_BYTES + n.key.size_bytes;
    if (is_leaf) {
        n.data_bytes = (uint32_t)low;
        n.flags = flags;
    } else {
        n.page = low | (uint64_t)flags << 32;
    }
    return n;
}

/* ---- the nodes of a page ---- */

/* Bytes of a node on its page; 0: more than a page has. */
static size_t node_bytes(const uint8_t *at, bool is_leaf, size_t room)
{
    uint64_t n = LMDB_NODE_BYTES + (uint64_t)ior_get_u16(at + 6);
    if (is_leaf)
        n += (ior_get_u16(at + 4) & LMDB_BIG_DATA) != 0 ? sizeof(uint64_t) : ior_get_u32(at);
    n = (n + 1) & ~1ull;
    return n <= room ? (size_t)n : 0;
}

/* Where each node begins and how long it is: into g->sizes, by half its place. */
static bool measure(struct pages *g, const uint8_t *page, uint64_t page_at, size_t count,
                    bool is_leaf)
{
    size_t upper = ior_get_u16(page + 14);
    memset(g->sizes, 0, g->page_bytes / 2 * sizeof *g->sizes);
    for (size_t i = 0; i < count; i++) {
        uint64_t slot_at = page_at + LMDB_HEAD_BYTES + 2 * i;
        size_t offset = ior_get_u16(page + LMDB_HEAD_BYTES + 2 * i);
        if (offset % 2 != 0 || offset < upper || offset > g->page_bytes - LMDB_NODE_BYTES) {
            pages_wrong(g, slot_at, "node %zu lies outside of the nodes, at byte %zu", i, offset);
            return false;
        }
        size_t n = node_bytes(page + offset, is_leaf, g->page_bytes - offset);
        if (n == 0) {
            pages_wrong(g, page_at + offset, "node %zu goes beyond the end of its page", i);
            return false;
        }
        if (g->sizes[offset / 2] != 0) {
            pages_wrong(g, slot_at, "two nodes begin at byte %zu", offset);
            return false;
        }
        g->sizes[offset / 2] = (uint16_t)n;
    }
    return true;
}

/* LMDB keeps its pages packed: each node begins where another ends. */
static bool check_packed(struct pages *g, const uint8_t *page, uint64_t page_at, size_t count)
{
    size_t at = ior_get_u16(page + 14);
    size_t seen = 0;
    while (at < g->page_bytes && g->sizes[at / 2] != 0) {
        at += g->sizes[at / 2];
        seen++;
    }
    if (at == g->page_bytes && seen == count) return true;
    pages_wrong(g, page_at + at, "the nodes of the page do not fill it: no node begins here");
    return false;
}

static bool check_layout(struct tree *t, const uint8_t *page, uint64_t page_at, bool is_leaf,
                         size_t *ret_count)
{
    struct pages *g = t->g;
    size_t lower = ior_get_u16(page + 12);
    size_t upper = ior_get_u16(page + 14);
    if (lower < LMDB_HEAD_BYTES || lower % 2 != 0 || lower > upper || upper > g->page_bytes ||
        upper % 2 != 0) {
        pages_wrong(g, page_at + 12, "the bounds of the page's free room cannot be: %zu and %zu",
                    lower, upper);
        return false;
    }
    *ret_count = (lower - LMDB_HEAD_BYTES) / 2;
    /* A branch of the free list may have one child for a while. */
    size_t least = is_leaf || t->kind == TREE_FREE ? 1 : 2;
    if (*ret_count < least) {
        pages_wrong(g, page_at + 12, "a page with %zu nodes", *ret_count);
        return false;
    }
    return measure(g, page, page_at, *ret_count, is_leaf) &&
           check_packed(g, page, page_at, *ret_count);
}

/* ---- keys ---- */

static bool key_size_ok(const struct tree *t, size_t size_bytes)
{
    if (t->kind == TREE_FREE) return size_bytes == sizeof(uint64_t);
    return size_bytes > 0 && size_bytes <= KV_KEY_BYTES_MAX;
}

/* The first key of a branch is none. */
static bool check_keys(struct tree *t, const uint8_t *page, const struct place *at, bool is_leaf,
                       size_t count)
{
    struct ior_slice last = at->low;
    bool equal_ok = true; /* to the bound below */
    for (size_t i = is_leaf ? 0 : 1; i < count; i++) {
        struct node n = node_get(page, at->page * t->g->page_bytes, i, is_leaf);
        if (!key_size_ok(t, n.key.size_bytes)) {
            pages_wrong(t->g, n.at, "a key of %zu bytes", n.key.size_bytes);
            return false;
        }
        int order = last.data == NULL ? -1 : compare(t, last, n.key);
        if (order > 0 || (order == 0 && !equal_ok)) {
            pages_wrong(t->g, n.at, "a key that is not behind the one before it");
            return false;
        }
        equal_ok = false;
        last = n.key;
    }
    if (at->high.data == NULL || last.data == NULL || compare(t, last, at->high) < 0) return true;
    pages_wrong(t->g, at->page * t->g->page_bytes, "its last key belongs to the page behind it");
    return false;
}

/* ---- values ---- */

static void check_big(struct tree *t, const struct node *n, uint64_t *ret_at)
{
    struct pages *g = t->g;
    uint8_t head[LMDB_HEAD_BYTES];
    uint64_t page = ior_get_u64(n->data);
    uint64_t from = n->at + LMDB_NODE_BYTES + n->key.size_bytes;
    uint64_t least = (LMDB_HEAD_BYTES - 1 + (uint64_t)n->data_bytes) / g->page_bytes + 1;
    *ret_at = 0;
    if (page < 2 || page > g->last_page) {
        pages_wrong(g, from, "a value on page %" PRIu64 ", which cannot be", page);
        return;
    }
    uint64_t page_at = page * g->page_bytes;
    if (page >= g->file_pages) {
        pages_wrong(g, from, "a value on page %" PRIu64 ", which the file does not have", page);
        return;
    }
    if (!pages_read(g, page_at, head, sizeof head)) return;
    uint64_t count = ior_get_u32(head + 12);
    if (ior_get_u64(head) != page || ior_get_u16(head + 10) != LMDB_OVERFLOW || count < least) {
        pages_wrong(g, page_at, "no head of a value of %" PRIu32 " bytes", n->data_bytes);
        return;
    }
    if (!pages_take(g, page, count, from, t->name)) return;
    t->seen.overflow_pages += count;
    *ret_at = page_at + LMDB_HEAD_BYTES;
}

static void check_entry(struct tree *t, const struct node *n)
{
    struct pages *g = t->g;
    size_t inline_max = ((g->page_bytes - LMDB_HEAD_BYTES) / 2 & ~(size_t)1) - sizeof(uint16_t);
    uint64_t big_at = 0;
    bool big = n->flags == LMDB_BIG_DATA;
    bool sub = n->flags == LMDB_SUB_DATA && t->kind == TREE_MAIN;
    t->seen.entries++;
    if ((n->flags != 0 && !big && !sub) || (sub && n->data_bytes != LMDB_RECORD_BYTES)) {
        pages_wrong(g, n->at + 4, "a node with flags %#x", n->flags);
        return;
    }
    if (!big && LMDB_NODE_BYTES + n->key.size_bytes + n->data_bytes > inline_max) {
        pages_wrong(g, n->at, "a value that is too long for a node");
        return;
    }
    if (big) {
        check_big(t, n, &big_at);
        if (big_at == 0) return;
    }
    if (t->on_entry != NULL)
        t->on_entry(t, n->key, ior_slice(big ? NULL : n->data, n->data_bytes), n->flags, n->at,
                    big_at);
}

/* ---- pages ---- */

/* The page into its level's memory; NULL: it is not what it should be. */
static const uint8_t *load(struct tree *t, const struct place *at)
{
    struct pages *g = t->g;
    uint8_t *page = t->levels + at->level * g->page_bytes;
    uint64_t page_at = at->page * g->page_bytes;
    uint16_t wanted = at->level + 1 == t->record.depth ? LMDB_LEAF : LMDB_BRANCH;
    if (at->page < 2 || at->page > g->last_page) {
        pages_wrong(g, at->from, "page %" PRIu64 " cannot be", at->page);
        return NULL;
    }
    if (at->page >= g->file_pages) {
        pages_wrong(g, at->from, "the file ends in front of page %" PRIu64, at->page);
        return NULL;
    }
    if (!pages_take(g, at->page, 1, at->from, t->name)) return NULL;
    if (!pages_read(g, page_at, page, g->page_bytes)) return NULL;
    if (ior_get_u64(page) != at->page) {
        pages_wrong(g, page_at, "page %" PRIu64 " says that it is page %" PRIu64, at->page,
                    ior_get_u64(page));
        return NULL;
    }
    if (ior_get_u16(page + 10) != wanted) {
        pages_wrong(g, page_at + 10, "no %s page: its flags are %#x",
                    wanted == LMDB_LEAF ? "leaf" : "branch", ior_get_u16(page + 10));
        return NULL;
    }
    return page;
}

static void walk(struct tree *t, const struct place *at)
{
    struct pages *g = t->g;
    const uint8_t *page = load(t, at);
    uint64_t page_at = at->page * g->page_bytes;
    bool is_leaf = at->level + 1 == t->record.depth;
    size_t count = 0;
    if (page == NULL || !check_layout(t, page, page_at, is_leaf, &count)) return;
    if (!check_keys(t, page, at, is_leaf, count)) return;
    if (is_leaf) {
        t->seen.leaf_pages++;
    } else {
        t->seen.branch_pages++;
    }
    for (size_t i = 0; i < count && !g->stopped; i++) {
        struct node n = node_get(page, page_at, i, is_leaf);
        if (is_leaf) {
            check_entry(t, &n);
            continue;
        }
        struct place below = {.page = n.page, .from = n.at, .level = at->level + 1};
        below.low = i == 0 ? at->low : n.key;
        below.high = i + 1 == count ? at->high : node_get(page, page_at, i + 1, false).key;
        walk(t, &below);
    }
}

/* ---- the tree ---- */

static void compare_count(struct tree *t, const char *what, uint64_t said, uint64_t seen)
{
    if (said == seen) return;
    pages_wrong(t->g, t->record_at, "table %s has %" PRIu64 " %s, its record says %" PRIu64,
                t->name, seen, what, said);
}

static bool check_record(struct tree *t)
{
    const struct lmdb_record *r = &t->record;
    if (r->flags != 0 && t->kind != TREE_FREE) {
        pages_wrong(t->g, t->record_at, "table %s has flags %#x", t->name, r->flags);
        return false;
    }
    if ((r->root == LMDB_NO_PAGE) != (r->depth == 0) || r->depth > LMDB_DEPTH_MAX) {
        pages_wrong(t->g, t->record_at, "table %s cannot have a depth of %u", t->name, r->depth);
        return false;
    }
    return true;
}

void pages_tree(struct tree *t)
{
    struct pages *g = t->g;
    t->wrong_before = g->report->wrong;
    t->seen = (struct lmdb_record){.depth = 0};
    if (g->stopped || !check_record(t)) return;
    if (t->record.depth > 0) {
        const struct place root = {.page = t->record.root, .from = t->record_at};
        t->levels = malloc(t->record.depth * g->page_bytes);
        if (t->levels == NULL) {
            g->err = IOR_E_NOMEM;
            g->stopped = true;
            return;
        }
        walk(t, &root);
        free(t->levels);
        t->levels = NULL;
    }
    if (g->stopped || g->report->wrong != t->wrong_before) return;
    compare_count(t, "branch pages", t->record.branch_pages, t->seen.branch_pages);
    compare_count(t, "leaf pages", t->record.leaf_pages, t->seen.leaf_pages);
    compare_count(t, "overflow pages", t->record.overflow_pages, t->seen.overflow_pages);
    compare_count(t, "entries", t->record.entries, t->seen.entries);
}

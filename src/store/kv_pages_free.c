/* src/store/kv_pages_free.c - the free list of an LMDB file, see kv_pages.h.
 * Each entry: the number of the transaction that freed pages -> how many, and their numbers,
 * highest first. An entry may hold room for more than it has: then it has none (LMDB reserves
 * entries before it knows what goes into them, and leaves the last ones empty).
 * Happy path: every page of it is neither in use nor free already.
 * Failure modes: each number that cannot be is told. */
#include <inttypes.h>

#include "store/kv_pages_private.h"

struct free_entry {
    uint64_t txn;
    uint64_t last; /* number; 0: none yet */
};

/* One number, which lies at this byte of the file. */
static void take_number(struct pages *g, struct free_entry *e, uint64_t page, uint64_t at)
{
    if (page < 2 || page > g->last_page) {
        pages_wrong(
            g, at, "the free list of transaction %" PRIu64 " has page %" PRIu64 ", which cannot be",
            e->txn, page);
    } else if (e->last != 0 && page >= e->last) {
        pages_wrong(g, at,
                    "the free list of transaction %" PRIu64 " has page %" PRIu64
                    " behind page %" PRIu64,
                    e->txn, page, e->last);
    } else if (pages_bit(g->used, page)) {
        pages_wrong(
            g, at, "the free list of transaction %" PRIu64 " has page %" PRIu64 ", which is in use",
            e->txn, page);
    } else if (pages_bit(g->free, page)) {
        pages_wrong(g, at,
                    "the free list of transaction %" PRIu64 " has page %" PRIu64
                    ", which another one has too",
                    e->txn, page);
    } else {
        pages_set(g->free, page);
        g->report->free++;
    }
    e->last = page;
}

static void take_numbers(struct pages *g, struct free_entry *e, const uint8_t *numbers, size_t n,
                         uint64_t at)
{
    for (size_t i = 0; i < n && !g->stopped; i++)
        take_number(g, e, ior_get_u64(numbers + 8 * i), at + 8 * i);
}

void pages_free_entry(struct tree *t, struct ior_slice key, struct ior_slice data, uint16_t flags,
                      uint64_t at, uint64_t big_at)
{
    struct pages *g = t->g;
    struct free_entry e = {.txn = ior_get_u64(key.data)};
    uint8_t head[8] = {0};
    uint64_t data_at = big_at != 0 ? big_at : at + LMDB_NODE_BYTES + key.size_bytes;
    (void)flags;
    if (e.txn == 0 || e.txn > g->txn) {
        pages_wrong(g, at, "a free list of transaction %" PRIu64 "; the last one was %" PRIu64,
                    e.txn, g->txn);
        return;
    }
    if (data.size_bytes % 8 != 0 || data.size_bytes == 0) {
        pages_wrong(g, at, "a free list of %zu bytes", data.size_bytes);
        return;
    }
    if (data.data != NULL) {
        memcpy(head, data.data, sizeof head);
    } else if (!pages_read(g, data_at, head, sizeof head)) {
        return;
    }
    uint64_t count = ior_get_u64(head);
    uint64_t room = data.size_bytes / 8 - 1;
    if (count != room && count != 0) {
        pages_wrong(g, data_at, "a free list of %" PRIu64 " pages with room for %" PRIu64, count,
                    room);
        return;
    }
    if (data.data != NULL) {
        take_numbers(g, &e, data.data + 8, (size_t)count, data_at + 8);
        return;
    }
    size_t piece = g->page_bytes / 8;
    for (uint64_t i = 0; i < count && !g->stopped; i += piece) {
        size_t n = count - i < piece ? (size_t)(count - i) : piece;
        if (!pages_read(g, data_at + 8 + 8 * i, g->piece, 8 * n)) return;
        take_numbers(g, &e, g->piece, n, data_at + 8 + 8 * i);
    }
}

/* proto/listen/cursor.c - see cursor.h. */
#include "proto/listen/cursor.h"

#include "base/assert.h"
#include "base/hash.h"

enum {
    CURSOR_VERSION = 1,
    HEAD_BYTES = 2,
    NAME_BYTES = 5,
    NEXT_BYTES = 6,
    MARK_BYTES = NAME_BYTES + NEXT_BYTES,
    RAW_BYTES_MAX = HEAD_BYTES + LISTEN_SUBS_MAX * MARK_BYTES + SEAL_BYTES,
};
IOR_STATIC_ASSERT((RAW_BYTES_MAX * 4 + 2) / 3 <= CURSOR_BYTES_MAX, "API.md: 1,024 bytes");
IOR_STATIC_ASSERT(LISTEN_SUBS_MAX <= 255, "the count is one byte");

static const char purpose[] = "iorio listen cursor";

static void put(uint8_t *at, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) at[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get(const uint8_t *at, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++) v |= (uint64_t)at[i] << (8 * i);
    return v;
}

uint64_t cursor_name(struct ior_slice bucket, struct ior_slice stream)
{
    return ior_hash_pair(bucket, stream) >> (64 - 8 * NAME_BYTES);
}

static bool may_be_written(const struct cursor *c, size_t i)
{
    for (size_t k = 0; k < c->count; k++) {
        if (k != i && c->marks[k].name == c->marks[i].name) return false;
    }
    return c->marks[i].next >> (8 * NEXT_BYTES) == 0;
}

void cursor_write(const struct token_key *k, const struct cursor *c, struct ior_buf *out)
{
    uint8_t raw[RAW_BYTES_MAX];
    size_t n = HEAD_BYTES;
    uint8_t count = 0;
    IOR_ASSERT(c->count <= LISTEN_SUBS_MAX);
    for (size_t i = 0; i < c->count; i++) {
        if (!may_be_written(c, i)) continue;
        put(raw + n, c->marks[i].name, NAME_BYTES);
        put(raw + n + NAME_BYTES, c->marks[i].next, NEXT_BYTES);
        n += MARK_BYTES;
        count++;
    }
    raw[0] = CURSOR_VERSION;
    raw[1] = count;
    seal_make(k, purpose, ior_slice(raw, n), raw + n);
    seal_to_text(ior_slice(raw, n + SEAL_BYTES), out);
}

bool cursor_read(const struct token_key *k, struct ior_slice text, struct cursor *ret)
{
    uint8_t raw[RAW_BYTES_MAX];
    size_t n = 0;
    if (text.size_bytes > CURSOR_BYTES_MAX) return false;
    if (!seal_from_text(text, raw, sizeof raw, &n) || n < HEAD_BYTES + SEAL_BYTES) return false;
    n -= SEAL_BYTES;
    if (!seal_check(k, purpose, ior_slice(raw, n), raw + n)) return false;
    if (raw[0] != CURSOR_VERSION || raw[1] > LISTEN_SUBS_MAX) return false;
    if (n != HEAD_BYTES + (size_t)raw[1] * MARK_BYTES) return false;
    ret->count = raw[1];
    for (size_t i = 0; i < ret->count; i++) {
        const uint8_t *at = raw + HEAD_BYTES + i * MARK_BYTES;
        ret->marks[i] = (struct cursor_mark){get(at, NAME_BYTES), get(at + NAME_BYTES, NEXT_BYTES)};
    }
    return true;
}

bool cursor_find(const struct cursor *c, uint64_t name, uint64_t *ret_next)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->marks[i].name != name) continue;
        *ret_next = c->marks[i].next;
        return true;
    }
    return false;
}

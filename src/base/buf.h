/* src/base/buf.h - growable bytes with one owner, used to build output.
 * Running out of memory is sticky: the add functions do nothing afterwards and
 * the owner asks ior_buf_failed() once at the end. */
#pragma once

#include "base/err.h"
#include "base/slice.h"

struct ior_buf {
    uint8_t *data;
    size_t size_bytes;
    size_t room_bytes;
    bool failed;
    bool borrowed; /* data is not ours: it is copied when it must grow, and never freed */
};

void ior_buf_init(struct ior_buf *b);
/* Begin in memory that the caller has: no allocation as long as it is enough. It must stand
 * until ior_buf_done(). */
void ior_buf_init_in(struct ior_buf *b, void *memory, size_t room_bytes);
void ior_buf_done(struct ior_buf *b);
void ior_buf_clear(struct ior_buf *b); /* keeps the memory */
/* Room for `more` further bytes; the caller writes them and calls ior_buf_grew(). NULL: no memory.
 */
uint8_t *ior_buf_room(struct ior_buf *b, size_t more);
void ior_buf_grew(struct ior_buf *b, size_t n);
void ior_buf_add(struct ior_buf *b, const void *data, size_t n);
void ior_buf_add_slice(struct ior_buf *b, struct ior_slice s);
void ior_buf_add_str(struct ior_buf *b, const char *s);
void ior_buf_add_char(struct ior_buf *b, char c);
void ior_buf_add_u64(struct ior_buf *b, uint64_t v); /* decimal */
void ior_buf_addf(struct ior_buf *b, const char *fmt, ...) IOR_PRINTF(2, 3);
static inline bool ior_buf_failed(const struct ior_buf *b)
{
    return b->failed;
}
static inline struct ior_slice ior_buf_slice(const struct ior_buf *b)
{
    return ior_slice(b->data, b->size_bytes);
}
/* v as decimal into out (20 bytes are enough), not terminated; returns the length. */
size_t ior_u64_dec(uint64_t v, char *out);

/* src/store/chunk_format.h - the bytes of a chunk: its head, an entry, the footer
 * (chunk.h and docs/formats.rst show each of them). Putting trusts its caller
 * (assertions); getting trusts nothing and says what is wrong in a few words.
 * Thread: pure functions. */
#pragma once

#include "base/limits.h"
#include "store/chunk.h"

enum {
    CHUNK_VERSION = 1,
    CHUNK_MARK_BYTES = 16,
    CHUNK_HEAD_BYTES_MAX =
        (CHUNK_HEAD_BYTES + BUCKET_BYTES_MAX + STREAM_BYTES_MAX + RECORD_ALIGN - 1) / RECORD_ALIGN *
        RECORD_ALIGN,
    CHUNK_ENTRY_BYTES_MIN = CHUNK_ENTRY_BYTES + ITEM_HEAD_BYTES,
};

/* Higher ones are damage: so the number behind the last one is always a number. */
#define CHUNK_SEQNUM_MAX ((uint64_t)INT64_MAX)

/* A place in a chunk: the entry of this seqnum begins here. A row of the footer's index. */
struct chunk_mark {
    uint64_t seqnum;
    uint64_t offset_bytes;
};

/* What every checksum of a chunk begins with. */
uint32_t chunk_seed(uint32_t partition, uint64_t uid);

/* ---- head ---- */
size_t chunk_head_bytes(const struct chunk_id *id);
void chunk_head_put(uint8_t *at, const struct chunk_id *id);
/* bytes: the first of the file, as many as there are up to CHUNK_HEAD_BYTES_MAX. CORRUPT and
 * VERSION with *ret_what; the names of *ret are slices into bytes. */
IOR_MUST_CHECK enum ior_err chunk_head_get(struct ior_slice bytes, struct chunk_id *ret,
                                           size_t *ret_head_bytes, const char **ret_what);

/* ---- entry ---- */
/* The CHUNK_ENTRY_BYTES in front of the item. */
void chunk_entry_put(uint8_t *at, uint32_t seed, const struct chunk_event *e,
                     const struct item *it);
/* What the first 4 bytes say; 0: impossible. */
size_t chunk_entry_length(const uint8_t *at);
/* Exactly one entry. NULL: it is sound, but for its payload; else what is wrong. */
const char *chunk_entry_get(struct ior_slice bytes, uint32_t seed, uint64_t uid,
                            struct chunk_entry *ret);
/* The checksum alone, of an entry whose head and attributes are at hand. */
bool chunk_entry_crc_ok(const uint8_t *at, uint32_t seed, size_t attrs_bytes);
bool chunk_entry_payload_ok(const struct chunk_entry *e);
/* An entry of length_bytes at the end of what state says. */
void chunk_state_add(struct chunk_state *state, bool first, const struct chunk_entry *e,
                     size_t length_bytes);

/* ---- footer ---- */
size_t chunk_footer_bytes(size_t mark_count);
void chunk_footer_put(uint8_t *at, uint32_t seed, const struct chunk_state *state,
                      const struct chunk_mark *marks, size_t count);
/* The size of the footer that ends with this tail; 0: it is none. */
size_t chunk_tail_footer_bytes(const uint8_t tail[CHUNK_TAIL_BYTES]);
/* A whole footer. marks gets its rows: room for size / CHUNK_MARK_BYTES. False: not sound. */
bool chunk_footer_get(struct ior_slice footer, uint32_t seed, const struct chunk_mark *first,
                      struct chunk_state *ret, struct chunk_mark *marks, size_t *ret_count);

/* test/fuzz/reseal.h - makes the checksums of mutated bytes right again, so that a fuzzer
 * gets past them to what lies behind. */
#pragma once

#include "base/bytes.h"
#include "base/crc32c.h"
#include "store/record.h"
#include "store/segment.h"

/* The record at `at` is said to have `length_bytes`; its items as far as they can be read. */
static inline void reseal_record(uint8_t *at, uint32_t length_bytes)
{
    struct ior_slice items = ior_slice(at + RECORD_HEAD_BYTES, length_bytes - RECORD_HEAD_BYTES);
    struct item it;
    size_t pos = 0;
    uint32_t count = 0;
    uint32_t crc = 0;
    ior_put_u32(at, length_bytes);
    while (item_next(items, &pos, &it) == IOR_OK) {
        uint8_t *head = at + RECORD_HEAD_BYTES + it.offset_bytes;
        ior_put_u32(head + 12, ior_crc32c(0, it.payload.data, it.payload.size_bytes));
        crc = ior_crc32c(crc, head, ITEM_HEAD_BYTES + it.attrs.size_bytes);
        count++;
    }
    ior_put_u32(at + 40, count);
    crc = ior_crc32c(crc, at + 8, RECORD_HEAD_BYTES - 8);
    ior_put_u32(at + 4, ior_crc32c(crc, at, 4));
}

/* A batch of this segment and number: head, then records. Bytes behind the last whole
 * record are no part of it. */
static inline void reseal_batch(uint8_t *at, size_t size_bytes, const struct segment *s,
                                uint64_t number)
{
    uint32_t crc = batch_body_crc_start(s);
    uint32_t count = 0;
    size_t pos = BATCH_HEAD_BYTES;
    if (size_bytes < BATCH_HEAD_BYTES) return;
    while (size_bytes - pos >= RECORD_HEAD_BYTES) {
        uint32_t length = ior_get_u32(at + pos);
        if (length < RECORD_HEAD_BYTES || length % RECORD_ALIGN != 0 || length > size_bytes - pos)
            break;
        reseal_record(at + pos, length);
        crc = ior_crc32c(crc, at + pos + 4, 4);
        pos += length;
        count++;
    }
    const struct batch_head head = {
        .number = number,
        .time_ms = ior_get_u64(at + 40),
        .length_bytes = (uint32_t)(pos - BATCH_HEAD_BYTES),
        .count = count,
        .body_crc = crc,
        .kind = ior_get_u16(at + 32),
    };
    batch_head_put(at, s, &head);
}

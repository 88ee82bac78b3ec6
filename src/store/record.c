/* src/store/record.c - see record.h. Writing trusts its caller (assertions);
 * reading trusts nothing. */
#include "store/record.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "base/mutant.h"

enum { CRC_FROM = 8 };

size_t attr_bytes(size_t value_bytes)
{
    return ATTR_HEAD_BYTES + ior_align(value_bytes, 4);
}

size_t item_bytes(size_t attrs_bytes, size_t payload_bytes)
{
    return ior_align(ITEM_HEAD_BYTES + attrs_bytes + payload_bytes, RECORD_ALIGN);
}

void item_write(uint8_t *at, enum item_op op, uint8_t flags, size_t attrs_bytes,
                struct ior_slice payload)
{
    IOR_ASSERT(attrs_bytes <= ITEM_ATTRS_BYTES_MAX && attrs_bytes % 4 == 0);
    IOR_ASSERT(payload.size_bytes <= RECORD_BYTES_MAX);
    memset(at, 0, ITEM_HEAD_BYTES);
    at[0] = (uint8_t)op;
    at[1] = flags;
    ior_put_u32(at + 4, (uint32_t)attrs_bytes);
    ior_put_u32(at + 8, (uint32_t)payload.size_bytes);
    ior_put_u32(at + 12, ior_crc32c(0, payload.data, payload.size_bytes));
    size_t end = ITEM_HEAD_BYTES + attrs_bytes;
    if (payload.size_bytes > 0) memcpy(at + end, payload.data, payload.size_bytes);
    end += payload.size_bytes;
    memset(at + end, 0, ior_align(end, RECORD_ALIGN) - end);
}

size_t attr_write(uint8_t *at, enum attr_type type, struct ior_slice value)
{
    size_t n = attr_bytes(value.size_bytes);
    ior_put_u16(at, (uint16_t)type);
    ior_put_u16(at + 2, 0);
    ior_put_u32(at + 4, (uint32_t)value.size_bytes);
    if (value.size_bytes > 0) memcpy(at + ATTR_HEAD_BYTES, value.data, value.size_bytes);
    size_t end = ATTR_HEAD_BYTES + value.size_bytes;
    memset(at + end, 0, n - end);
    return n;
}

void item_set_place(uint8_t *at, uint64_t uid, uint64_t seqnum, uint64_t low)
{
    ior_put_u64(at + 16, uid);
    ior_put_u64(at + 24, seqnum);
    ior_put_u64(at + 32, low);
}

bool attrs_ok(struct ior_slice attrs)
{
    size_t pos = 0;
    if (attrs.size_bytes > ITEM_ATTRS_BYTES_MAX || attrs.size_bytes % 4 != 0) return false;
    while (pos < attrs.size_bytes) {
        if (attrs.size_bytes - pos < ATTR_HEAD_BYTES) return false;
        size_t value = ior_get_u32(attrs.data + pos + 4);
        if (value > attrs.size_bytes - pos - ATTR_HEAD_BYTES) return false;
        if (attr_bytes(value) > attrs.size_bytes - pos) return false;
        pos += attr_bytes(value);
    }
    return true;
}

enum ior_err item_next(struct ior_slice items, size_t *pos, struct item *ret)
{
    IOR_ASSERT(*pos <= items.size_bytes);
    size_t left = items.size_bytes - *pos;
    if (left == 0) return IOR_E_END;
    if (left < ITEM_HEAD_BYTES) return IOR_E_CORRUPT;
    const uint8_t *at = items.data + *pos;
    size_t attrs = ior_get_u32(at + 4);
    size_t payload = ior_get_u32(at + 8);
    if (attrs > ITEM_ATTRS_BYTES_MAX || payload > RECORD_BYTES_MAX ||
        item_bytes(attrs, payload) > left)
        return IOR_E_CORRUPT;
    struct ior_slice attr_bytes_all = ior_slice(at + ITEM_HEAD_BYTES, attrs);
    if (!attrs_ok(attr_bytes_all)) return IOR_E_CORRUPT;
    *ret = (struct item){
        .op = at[0],
        .flags = at[1],
        .uid = ior_get_u64(at + 16),
        .seqnum = ior_get_u64(at + 24),
        .low = ior_get_u64(at + 32),
        .payload_crc = ior_get_u32(at + 12),
        .attrs = attr_bytes_all,
        .payload = ior_slice(at + ITEM_HEAD_BYTES + attrs, payload),
        .offset_bytes = *pos,
    };
    *pos += item_bytes(attrs, payload);
    return IOR_OK;
}

struct item item_at(struct ior_slice items, size_t offset_bytes)
{
    struct item it;
    size_t pos = offset_bytes;
    enum ior_err err = item_next(items, &pos, &it);
    IOR_ASSERT(err == IOR_OK);
    return it;
}

struct ior_slice item_attr(const struct item *it, enum attr_type type)
{
    size_t pos = 0;
    while (pos < it->attrs.size_bytes) {
        const uint8_t *at = it->attrs.data + pos;
        size_t value = ior_get_u32(at + 4);
        if (ior_get_u16(at) == (uint16_t)type) return ior_slice(at + ATTR_HEAD_BYTES, value);
        pos += attr_bytes(value);
    }
    return (struct ior_slice){NULL, 0};
}

static uint32_t crc_items(uint32_t crc, struct ior_slice items, uint32_t *count)
{
    size_t pos = 0;
    struct item it;
    while (item_next(items, &pos, &it) == IOR_OK) {
        crc = ior_crc32c(crc, items.data + it.offset_bytes, ITEM_HEAD_BYTES + it.attrs.size_bytes);
        (*count)++;
    }
    IOR_ASSERT(pos == items.size_bytes);
    return crc;
}

static void put_head(uint8_t *at, const struct record_head *h)
{
    memset(at, 0, RECORD_HEAD_BYTES);
    ior_put_u32(at, h->length_bytes);
    ior_put_u16(at + 8, h->kind);
    ior_put_u16(at + 10, h->flags);
    ior_put_u32(at + 12, h->group);
    ior_put_u64(at + 16, h->term);
    ior_put_u64(at + 24, h->index);
    ior_put_u64(at + 32, h->time_ms);
    ior_put_u32(at + 40, h->item_count);
}

void record_seal(struct record *r, const struct record_head *head)
{
    const struct ior_blob *const blobs[] = {r->front, r->items, r->second_front, r->second_items};
    size_t length = RECORD_HEAD_BYTES;
    uint32_t count = 0;
    uint32_t crc = 0;
    for (size_t i = 0; i < IOR_LEN(blobs); i++) {
        if (blobs[i] == NULL) continue;
        length += blobs[i]->size_bytes;
        crc = crc_items(crc, ior_slice(blobs[i]->data, blobs[i]->size_bytes), &count);
    }
    IOR_ASSERT(length <= RECORD_BYTES_MAX && length % RECORD_ALIGN == 0);
    struct record_head h = *head;
    h.length_bytes = (uint32_t)length;
    h.item_count = count;
    put_head(r->head, &h);
    crc = ior_crc32c(crc, r->head + CRC_FROM, RECORD_HEAD_BYTES - CRC_FROM);
    crc = ior_crc32c(crc, r->head, 4); /* the length too, so that all of the head counts */
    ior_put_u32(r->head + 4, crc);
    r->length_bytes = (uint32_t)length;
}

void record_done(struct record *r)
{
    ior_blob_unref(r->front);
    ior_blob_unref(r->items);
    ior_blob_unref(r->second_front);
    ior_blob_unref(r->second_items);
    r->front = r->items = r->second_front = r->second_items = NULL;
}

static void get_head(const uint8_t *at, struct record_head *h)
{
    *h = (struct record_head){
        .length_bytes = ior_get_u32(at),
        .crc = ior_get_u32(at + 4),
        .kind = ior_get_u16(at + 8),
        .flags = ior_get_u16(at + 10),
        .group = ior_get_u32(at + 12),
        .term = ior_get_u64(at + 16),
        .index = ior_get_u64(at + 24),
        .time_ms = ior_get_u64(at + 32),
        .item_count = ior_get_u32(at + 40),
    };
}

enum ior_err record_check(struct ior_slice bytes, struct record_head *ret, struct ior_why *why)
{
    if (bytes.size_bytes < RECORD_HEAD_BYTES)
        return ior_why_set(why, IOR_E_CORRUPT, "a record is cut short");
    struct record_head h;
    get_head(bytes.data, &h);
    if (h.length_bytes < RECORD_HEAD_BYTES || h.length_bytes > bytes.size_bytes ||
        h.length_bytes % RECORD_ALIGN != 0)
        return ior_why_set(why, IOR_E_CORRUPT, "a record has an impossible length of %u bytes",
                           h.length_bytes);
    struct ior_slice items =
        ior_slice(bytes.data + RECORD_HEAD_BYTES, h.length_bytes - RECORD_HEAD_BYTES);
    uint32_t crc = 0;
    uint32_t count = 0;
    size_t pos = 0;
    struct item it;
    enum ior_err err;
    while ((err = item_next(items, &pos, &it)) == IOR_OK) {
        crc = ior_crc32c(crc, items.data + it.offset_bytes, ITEM_HEAD_BYTES + it.attrs.size_bytes);
        count++;
        if (ior_crc32c(0, it.payload.data, it.payload.size_bytes) != it.payload_crc &&
            !MUTANT(no_record_checks))
            return ior_why_set(why, IOR_E_CORRUPT, "item %u of a record fails its checksum", count);
    }
    if (err != IOR_E_END) return ior_why_set(why, IOR_E_CORRUPT, "a record holds no valid items");
    crc = ior_crc32c(crc, bytes.data + CRC_FROM, RECORD_HEAD_BYTES - CRC_FROM);
    crc = ior_crc32c(crc, bytes.data, 4);
    if (crc != h.crc && !MUTANT(no_record_checks))
        return ior_why_set(why, IOR_E_CORRUPT, "a record fails its checksum");
    if (count != h.item_count)
        return ior_why_set(why, IOR_E_CORRUPT, "a record says %u items and holds %u", h.item_count,
                           count);
    *ret = h;
    return IOR_OK;
}

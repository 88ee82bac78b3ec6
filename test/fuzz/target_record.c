/* test/fuzz/target_record.c - any bytes as a record and as items (src/store/record.c), first as
 * they are, then with their checksums made right.
 * Checked: nothing is read outside of the bytes; what record_check accepts can be walked,
 * has as many items as it says and is no longer than what is there; a changed bit
 * that a checksum covers is noticed. */
#include <stdlib.h>

#include "base/assert.h"
#include "reseal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static bool inside(struct ior_slice part, struct ior_slice whole)
{
    return part.data >= whole.data && part.data + part.size_bytes <= whole.data + whole.size_bytes;
}

static void check_item(struct ior_slice items, const struct item *it, size_t end)
{
    IOR_ASSERT(inside(it->attrs, items) && inside(it->payload, items));
    IOR_ASSERT(end > it->offset_bytes && end <= items.size_bytes);
    IOR_ASSERT(end % RECORD_ALIGN == it->offset_bytes % RECORD_ALIGN);
    for (unsigned type = 0; type < 16; type++) {
        struct ior_slice value = item_attr(it, (enum attr_type)type);
        if (value.data != NULL) IOR_ASSERT(inside(value, it->attrs));
    }
    struct item again = item_at(items, it->offset_bytes);
    IOR_ASSERT(again.payload.data == it->payload.data && again.seqnum == it->seqnum);
}

/* How many; *ret_end: where the walk ended. */
static uint32_t walk(struct ior_slice items, enum ior_err *ret_end)
{
    struct item it;
    size_t pos = 0;
    uint32_t count = 0;
    while ((*ret_end = item_next(items, &pos, &it)) == IOR_OK) {
        check_item(items, &it, pos);
        count++;
    }
    IOR_ASSERT(*ret_end == IOR_E_END || *ret_end == IOR_E_CORRUPT);
    IOR_ASSERT((*ret_end == IOR_E_END) == (pos == items.size_bytes));
    return count;
}

static bool check_record(struct ior_slice bytes)
{
    struct record_head head = {0};
    struct ior_why why = {""};
    enum ior_err end;
    enum ior_err err = record_check(bytes, &head, &why);
    IOR_ASSERT(err == IOR_OK || err == IOR_E_CORRUPT);
    if (err != IOR_OK) {
        IOR_ASSERT(why.text[0] != 0);
        return false;
    }
    IOR_ASSERT(head.length_bytes >= RECORD_HEAD_BYTES && head.length_bytes <= bytes.size_bytes);
    struct ior_slice items =
        ior_slice(bytes.data + RECORD_HEAD_BYTES, head.length_bytes - RECORD_HEAD_BYTES);
    IOR_ASSERT(walk(items, &end) == head.item_count && end == IOR_E_END);
    return true;
}

/* Behind a payload are up to 7 bytes that no checksum covers. */
static bool is_padding(struct ior_slice record, size_t at)
{
    struct ior_slice items =
        ior_slice(record.data + RECORD_HEAD_BYTES, record.size_bytes - RECORD_HEAD_BYTES);
    struct item it;
    size_t pos = 0;
    while (item_next(items, &pos, &it) == IOR_OK) {
        const uint8_t *end = it.payload.data + it.payload.size_bytes;
        if (record.data + at >= end && record.data + at < items.data + pos) return true;
    }
    return false;
}

static void check_flip(uint8_t *record, size_t size_bytes, uint32_t choice)
{
    struct record_head head;
    size_t at = choice / 8 % size_bytes;
    if (is_padding(ior_slice(record, size_bytes), at)) return;
    record[at] ^= (uint8_t)(1u << choice % 8);
    enum ior_err err = record_check(ior_slice(record, size_bytes), &head, NULL);
    IOR_ASSERT(err == IOR_E_CORRUPT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    enum ior_err end;
    check_record(ior_slice(data, size_bytes));
    walk(ior_slice(data, size_bytes), &end);
    size_t whole = size_bytes - size_bytes % RECORD_ALIGN;
    if (whole < RECORD_HEAD_BYTES || whole > UINT32_MAX) return 0;
    uint8_t *copy = malloc(whole);
    IOR_ASSERT(copy != NULL);
    memcpy(copy, data, whole);
    reseal_record(copy, (uint32_t)whole);
    struct ior_slice items = ior_slice(copy + RECORD_HEAD_BYTES, whole - RECORD_HEAD_BYTES);
    walk(items, &end);
    bool ok = check_record(ior_slice(copy, whole));
    IOR_ASSERT(ok == (end == IOR_E_END));
    if (ok) check_flip(copy, whole, ior_crc32c(0, data, size_bytes));
    free(copy);
    return 0;
}

/* test/fuzz/target_small.c - any bytes as the value of a small stream (src/store/small.h).
 * Checked: nothing is read outside of the bytes; seqnums follow each other; what was read is
 * written to bytes that say the same again; each event is an item again. */
#include <stdlib.h>

#include "base/assert.h"
#include "store/chunk_format.h"
#include "store/small.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

enum { UID = 77, VALUE_BYTES_MAX = 256 << 10 };

static bool inside(struct ior_slice part, struct ior_slice whole)
{
    return part.data >= whole.data && part.data + part.size_bytes <= whole.data + whole.size_bytes;
}

static void check_item(const struct chunk_entry *e)
{
    size_t size_bytes = small_item_bytes(e);
    uint8_t *bytes = malloc(size_bytes);
    size_t pos = 0;
    struct item it;
    if (bytes == NULL) return;
    small_item_write(bytes, e);
    enum ior_err err = item_next(ior_slice(bytes, size_bytes), &pos, &it);
    IOR_ASSERT(err == IOR_OK && pos == size_bytes && it.payload_crc == e->item.payload_crc);
    IOR_ASSERT(it.seqnum == e->item.seqnum && it.uid == UID && it.flags == e->item.flags);
    IOR_ASSERT(ior_slice_eq(it.attrs, e->item.attrs));
    IOR_ASSERT(ior_slice_eq(it.payload, e->item.payload));
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct ior_buf out = {0};
    struct small_writer w = {.out = &out};
    struct small_reader r = {.bytes = ior_slice(data, size_bytes), .uid = UID};
    struct chunk_entry e;
    struct chunk_entry again;
    const char *what = NULL;
    uint64_t last = 0;
    if (size_bytes > VALUE_BYTES_MAX) return 0;
    enum ior_err err;
    while ((err = small_next(&r, &e, &what)) == IOR_OK) {
        IOR_ASSERT(inside(e.item.attrs, r.bytes) && inside(e.item.payload, r.bytes));
        IOR_ASSERT(e.item.seqnum > 0 && e.item.seqnum <= CHUNK_SEQNUM_MAX);
        IOR_ASSERT(last == 0 || e.item.seqnum == last + 1);
        last = e.item.seqnum;
        check_item(&e);
        small_add(&w, &e);
    }
    IOR_ASSERT(err == IOR_E_END || (err == IOR_E_CORRUPT && what != NULL));
    struct small_reader first = {.bytes = r.bytes, .uid = UID};
    struct small_reader second = {.bytes = ior_buf_slice(&out), .uid = UID};
    while (!ior_buf_failed(&out) && small_next(&second, &again, &what) == IOR_OK) {
        err = small_next(&first, &e, &what);
        IOR_ASSERT(err == IOR_OK && e.index == again.index && e.time_ms == again.time_ms);
        IOR_ASSERT(e.item.seqnum == again.item.seqnum && e.item.flags == again.item.flags);
        IOR_ASSERT(ior_slice_eq(e.item.attrs, again.item.attrs));
        IOR_ASSERT(ior_slice_eq(e.item.payload, again.item.payload));
    }
    IOR_ASSERT(ior_buf_failed(&out) || first.pos == r.pos);
    ior_buf_done(&out);
    return 0;
}

/* src/store/fetch_bytes.c - how many payload bytes a range of saved events has.
 * Happy path: of a chunk that lies in the range whole, its row says it; of the one at either end
 * the events are read. Failure modes: as of fetch_events().
 * Thread: any. */
#include "store/fetch_private.h"

enum { BLOCK_EVENTS = 256 };

/* Whole chunks from *at on, in one snapshot. */
static enum ior_err sum_whole(struct fetch *f, uint32_t partition, uint64_t uid, uint64_t to,
                              uint64_t *at, uint64_t *sum, struct ior_why *why)
{
    struct kv_reader *r = NULL;
    struct chunk_row row;
    enum ior_err err = fetch_reader_take(f, &r);
    if (err != IOR_OK) return ior_why_set(why, err, KV_LMDB_FILE ": it cannot be read");
    while (*at <= to) {
        err = catalog_seek_chunk(r, partition, uid, *at, &row);
        if (err != IOR_OK || row.first_seqnum != *at || row.state.last_seqnum > to) break;
        *sum += row.state.payload_bytes;
        *at = row.state.last_seqnum + 1;
    }
    fetch_reader_give(f, r);
    if (err == IOR_OK || err == IOR_E_NOTFOUND) return IOR_OK; /* a small stream, or the end */
    return ior_why_set(why, err, KV_LMDB_FILE ": the chunks of stream %016llx cannot be read",
                       (unsigned long long)uid);
}

/* One block of events. */
static enum ior_err sum_block(struct fetch *f, uint32_t partition, uint64_t uid, uint64_t to,
                              uint64_t *at, uint64_t *sum, struct ior_why *why)
{
    struct chunk_entry entries[BLOCK_EVENTS];
    struct ior_blob *blob = NULL;
    size_t count = 0;
    size_t max = to - *at + 1 < BLOCK_EVENTS ? (size_t)(to - *at + 1) : BLOCK_EVENTS;
    enum ior_err err = fetch_events(f, partition, uid, *at, entries, max, &count, &blob, why);
    for (size_t i = 0; err == IOR_OK && i < count; i++) *sum += entries[i].item.payload.size_bytes;
    if (err == IOR_OK) *at += count;
    ior_blob_unref(blob);
    return err;
}

enum ior_err fetch_bytes(struct fetch *f, uint32_t partition, uint64_t uid, uint64_t from,
                         uint64_t to, uint64_t *ret_bytes, struct ior_why *why)
{
    uint64_t at = from;
    uint64_t sum = 0;
    enum ior_err err = IOR_OK;
    IOR_CHECK_MAGIC(f, FETCH_MAGIC);
    while (err == IOR_OK && at <= to) {
        err = sum_whole(f, partition, uid, to, &at, &sum, why);
        if (err == IOR_OK && at <= to) err = sum_block(f, partition, uid, to, &at, &sum, why);
    }
    if (err == IOR_OK) *ret_bytes = sum;
    return err;
}

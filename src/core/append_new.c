/* src/core/append_new.c - an append and its events, as the caller's worker makes them:
 * all payloads are copied once, into the items of the record to be. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/limits.h"
#include "core/append.h"
#include "core/patch.h"

/* Head and CREATE need room beside the items. */
#define ITEMS_BYTES_MAX (RECORD_BYTES_MAX - (16u << 10))

static enum ior_err count_bytes(const struct event_in *events, size_t count, size_t key_bytes,
                                size_t *ret)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        if (events[i].payload.size_bytes > ITEMS_BYTES_MAX) return IOR_E_TOOLARGE;
        total += item_bytes(i == 0 ? key_bytes : 0, events[i].payload.size_bytes);
        if (total > ITEMS_BYTES_MAX) return IOR_E_TOOLARGE;
    }
    *ret = total;
    return IOR_OK;
}

static void write_items(uint8_t *at, const struct event_in *events, size_t count,
                        struct ior_slice key)
{
    size_t key_bytes = key.size_bytes == 0 ? 0 : attr_bytes(key.size_bytes);
    for (size_t i = 0; i < count; i++) {
        size_t attrs = i == 0 ? key_bytes : 0;
        item_write(at, ITEM_APPEND, events[i].json ? ITEM_FLAG_JSON : 0, attrs, events[i].payload);
        if (attrs > 0) attr_write(at + ITEM_HEAD_BYTES, ATTR_IDEMPOTENCY_KEY, key);
        at += item_bytes(attrs, events[i].payload.size_bytes);
    }
}

uint64_t items_events_hash(struct ior_slice items)
{
    uint64_t hash = 0;
    size_t pos = 0;
    struct item it;
    while (item_next(items, &pos, &it) == IOR_OK) {
        if (it.op != ITEM_APPEND) continue;
        uint8_t link[17];
        ior_put_u64(link, hash);
        ior_put_u64(link + 8, ior_hash(it.payload));
        link[16] = it.flags & ITEM_FLAG_JSON;
        hash = ior_hash(ior_slice(link, sizeof link));
    }
    return hash;
}

uint64_t patch_body_hash(struct ior_slice body)
{
    uint8_t link[9];
    ior_put_u64(link, ior_hash(body));
    link[8] = 'p'; /* an append of the same bytes is another one */
    return ior_hash(ior_slice(link, sizeof link));
}

enum ior_err append_new(struct ior_slice bucket, struct ior_slice stream,
                        const struct event_in *events, size_t count, struct ior_slice key,
                        struct append **ret)
{
    IOR_ASSERT(count > 0 && count <= BATCH_LINES_MAX);
    IOR_ASSERT(bucket.size_bytes <= BUCKET_BYTES_MAX && stream.size_bytes <= STREAM_BYTES_MAX);
    IOR_ASSERT(key.size_bytes <= IDEMPOTENCY_KEY_BYTES_MAX);
    size_t total = 0;
    size_t key_bytes = key.size_bytes == 0 ? 0 : attr_bytes(key.size_bytes);
    enum ior_err err = count_bytes(events, count, key_bytes, &total);
    if (err != IOR_OK) return err;
    struct append *a = malloc(sizeof *a + bucket.size_bytes + stream.size_bytes);
    struct ior_blob *items = ior_blob_new(total);
    if (a == NULL || items == NULL) {
        free(a);
        ior_blob_unref(items);
        return IOR_E_NOMEM;
    }
    memset(a, 0, sizeof *a); /* calloc() goes past the thread's cache of free pieces */
    write_items(items->data, events, count, key);
    a->count = (uint32_t)count;
    a->record.items = items;
    for (size_t i = 0; i < count; i++) a->part.payload_bytes += events[i].payload.size_bytes;
    if (key.size_bytes > 0) {
        struct item first = item_at(ior_slice(items->data, items->size_bytes), 0);
        a->key = item_attr(&first, ATTR_IDEMPOTENCY_KEY);
        a->body_hash = items_events_hash(ior_slice(items->data, items->size_bytes));
    }
    a->bucket_bytes = (uint8_t)bucket.size_bytes;
    a->stream_bytes = (uint16_t)stream.size_bytes;
    memcpy(a->names, bucket.data, bucket.size_bytes);
    memcpy(a->names + bucket.size_bytes, stream.data, stream.size_bytes);
    *ret = a;
    return IOR_OK;
}

void append_free(struct append *a)
{
    if (a == NULL) return;
    patch_free(a->patch);
    record_done(&a->record);
    free(a);
}

/* src/core/patch_new.c - a patch, as the caller's worker makes it: the body is copied once, into
 * the item for the stream of the patches, and parsed there. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "core/append.h"
#include "core/patch.h"

static const struct ior_slice suffix = {(const uint8_t *)PATCH_SUFFIX, sizeof PATCH_SUFFIX - 1};

/* A stream of patches goes with the stream that they patch (node_route), so patches of it would
 * have no place in the same record. */
bool patch_name_ok(struct ior_slice stream)
{
    bool is_log = stream.size_bytes > suffix.size_bytes && ior_slice_ends(stream, suffix);
    return !is_log && stream.size_bytes + suffix.size_bytes <= STREAM_BYTES_MAX;
}

static struct append *make_append(struct ior_slice bucket, struct ior_slice stream)
{
    size_t names = bucket.size_bytes + stream.size_bytes + suffix.size_bytes;
    struct append *a = calloc(1, sizeof *a + names);
    if (a == NULL) return NULL;
    a->patch = calloc(1, sizeof *a->patch);
    if (a->patch == NULL) {
        free(a);
        return NULL;
    }
    uint8_t *at = a->names;
    memcpy(at, bucket.data, bucket.size_bytes);
    at += bucket.size_bytes;
    memcpy(at, stream.data, stream.size_bytes);
    memcpy(at + stream.size_bytes, suffix.data, suffix.size_bytes);
    a->bucket_bytes = (uint8_t)bucket.size_bytes;
    a->stream_bytes = (uint16_t)stream.size_bytes;
    a->patch->owner = a;
    a->patch->log.bucket = ior_slice(a->names, bucket.size_bytes);
    a->patch->log.name = ior_slice(at, stream.size_bytes + suffix.size_bytes);
    return a;
}

static enum ior_err take_body(struct append *a, struct ior_slice body,
                              struct json_patch_fault *fault)
{
    struct ior_blob *b = ior_blob_new(item_bytes(0, body.size_bytes));
    if (b == NULL) return ior_why_set(&fault->why, IOR_E_NOMEM, "out of memory");
    item_write(b->data, ITEM_APPEND, ITEM_FLAG_JSON, 0, body);
    a->record.second_items = b;
    a->patch->body_bytes = body.size_bytes;
    return json_patch_parse(item_at(ior_slice(b->data, b->size_bytes), 0).payload,
                            &a->patch->parsed, fault);
}

enum ior_err patch_new(struct ior_slice bucket, struct ior_slice stream, struct ior_slice body,
                       struct append **ret, struct json_patch_fault *fault)
{
    IOR_ASSERT(bucket.size_bytes <= BUCKET_BYTES_MAX && stream.size_bytes <= STREAM_BYTES_MAX);
    *fault = (struct json_patch_fault){.op = JSON_PATCH_NO_OP};
    if (!patch_name_ok(stream))
        return ior_why_set(&fault->why, IOR_E_NAME,
                           "The patches of a stream go to NAME" PATCH_SUFFIX
                           ": NAME has at most %zu bytes and does not end so itself",
                           STREAM_BYTES_MAX - suffix.size_bytes);
    if (body.size_bytes > PATCH_BODY_BYTES_MAX)
        return ior_why_set(&fault->why, IOR_E_TOOLARGE, "A patch has at most %u bytes",
                           PATCH_BODY_BYTES_MAX);
    struct append *a = make_append(bucket, stream);
    if (a == NULL) return ior_why_set(&fault->why, IOR_E_NOMEM, "out of memory");
    enum ior_err err = take_body(a, body, fault);
    if (err != IOR_OK) {
        append_free(a);
        return err;
    }
    struct patch *p = a->patch;
    p->log.items = a->record.second_items;
    p->log.front = &a->record.second_front;
    p->log.count = 1;
    p->log.payload_bytes = body.size_bytes;
    a->count = 1;
    *ret = a;
    return IOR_OK;
}

void patch_set_key(struct append *a, struct ior_slice key)
{
    struct ior_slice items = ior_slice(a->patch->log.items->data, a->patch->log.items->size_bytes);
    IOR_ASSERT(key.size_bytes <= IDEMPOTENCY_KEY_BYTES_MAX);
    if (key.size_bytes == 0) return;
    memcpy(a->patch->key, key.data, key.size_bytes);
    a->key = ior_slice(a->patch->key, key.size_bytes);
    a->body_hash = patch_body_hash(item_at(items, 0).payload);
}

/* src/core/retention_change.c - see retention_change.h.
 * Happy path: one fact of group 0; when it is committed and every worker has the new view,
 * the caller is answered. A removal goes through the log although nothing may be there:
 * this worker may not have seen yet what another one has.
 * Failure modes: those of a change of group 0 (cluster/meta.h); nothing is changed then. */
#include "core/retention_change.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "cluster/retention_fact.h"
#include "core/node.h"

static struct ior_slice bucket_of(const struct retention_change *c)
{
    return ior_slice(c->names, c->bucket_bytes);
}

static struct ior_slice stream_of(const struct retention_change *c)
{
    return ior_slice(c->names + c->bucket_bytes, c->stream_bytes);
}

static enum ior_err add_fact(struct retention_change *c, const struct retention *r)
{
    struct ior_buf key;
    struct ior_buf value;
    ior_buf_init(&key);
    ior_buf_init(&value);
    retention_fact_key(&key, bucket_of(c), stream_of(c));
    if (r != NULL) retention_print(&value, r);
    enum ior_err err = ior_buf_failed(&key) || ior_buf_failed(&value) ? IOR_E_NOMEM : IOR_OK;
    if (err == IOR_OK)
        err = meta_change_set(c->change, ior_buf_slice(&key),
                              r == NULL ? (struct ior_slice){NULL, 0} : ior_buf_slice(&value));
    ior_buf_done(&key);
    ior_buf_done(&value);
    return err;
}

enum ior_err retention_change_new(struct ior_slice bucket, struct ior_slice stream,
                                  const struct retention *r, struct retention_change **ret)
{
    IOR_ASSERT(bucket.size_bytes > 0 && bucket.size_bytes <= BUCKET_BYTES_MAX);
    IOR_ASSERT(stream.size_bytes <= STREAM_BYTES_MAX);
    struct retention_change *c = calloc(1, sizeof *c + bucket.size_bytes + stream.size_bytes);
    if (c == NULL) return IOR_E_NOMEM;
    c->sets = r != NULL;
    c->bucket_bytes = (uint8_t)bucket.size_bytes;
    c->stream_bytes = (uint16_t)stream.size_bytes;
    memcpy(c->names, bucket.data, bucket.size_bytes);
    if (stream.size_bytes > 0) memcpy(c->names + bucket.size_bytes, stream.data, stream.size_bytes);
    enum ior_err err = meta_change_new(&c->change);
    if (err == IOR_OK) err = add_fact(c, r);
    if (err != IOR_OK) {
        retention_change_free(c);
        return err;
    }
    *ret = c;
    return IOR_OK;
}

void retention_change_free(struct retention_change *c)
{
    if (c == NULL) return;
    meta_change_free(c->change);
    free(c);
}

static void change_done(struct meta_change *change)
{
    struct retention_change *c = change->user;
    c->err = change->err;
    c->cb(c);
}

enum ior_err iorio_retention_change(struct node *n, struct retention_change *c,
                                    retention_change_cb cb)
{
    const struct retention_view *now = meta_retention(n->meta);
    struct retention own;
    if (c->sets && retention_view_count(now) >= RETENTION_POLICIES_MAX &&
        !retention_view_own(now, bucket_of(c), stream_of(c), &own))
        return IOR_E_NOSPC;
    c->cb = cb;
    c->change->user = c;
    return meta_change_submit(n->meta, c->change, change_done);
}

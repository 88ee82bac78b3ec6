/* src/core/load.c - see load.h.
 * Happy path: the first message that wants the stream makes a load and gives it to the disk
 * pool; others for the same name join it; its answer comes back into the strand, the stream
 * enters the table (or is known not to be there), and the messages run from their start.
 * A stream that came may push others out: memory.history bounds them.
 * They run DRAIN_MAX at a time. Between two such visits the stream may leave memory again, or be
 * made, saved and leave: then it is looked up anew for the rest.
 * Failure modes: a look-up that fails is answered to those who wait for it, and tried again by
 * the next that asks. A queue that is full is BUSY. */
#include "core/load.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "core/iorio.h"
#include "core/node.h"
#include "core/stream_keys.h"
#include "rt/clock.h"
#include "rt/job.h"
#include "store/fetch.h"

enum { DRAIN_MAX = 64 };

struct load {
    struct job job;
    struct msg msg; /* into the strand */
    struct vnode *vn;
    uint64_t hash;
    struct ior_queue parked;
    struct fetch_row *row; /* NULL: the catalog does not know it */
    enum ior_err err;
    bool visited; /* some of those who waited have run */
    uint8_t bucket_bytes;
    uint16_t stream_bytes;
    uint8_t names[];
};

struct name_key {
    struct ior_slice bucket;
    struct ior_slice name;
};

static struct ior_slice bucket_of(const struct load *l)
{
    return ior_slice(l->names, l->bucket_bytes);
}

static struct ior_slice stream_of(const struct load *l)
{
    return ior_slice(l->names + l->bucket_bytes, l->stream_bytes);
}

static bool same_name(const void *object, const void *key)
{
    const struct load *l = object;
    const struct name_key *k = key;
    return ior_slice_eq(stream_of(l), k->name) && ior_slice_eq(bucket_of(l), k->bucket);
}

void vnode_loads_init(struct vnode *vn)
{
    ior_map_init(&vn->loads);
}

void vnode_loads_done(struct vnode *vn)
{
    IOR_ASSERT(vn->loads.count == 0 && vn->parked == 0);
    ior_map_done(&vn->loads);
}

/* ---- what the catalog said ---- */

/* memory.dedupe may be full, or smaller than it was: then a key is forgotten. */
static void take_keys(struct vnode *vn, struct stream *s, const struct fetch_row *row)
{
    uint64_t last_id = 0;
    for (size_t i = 0; i < row->key_count; i++) {
        const struct key_row *k = &row->keys[i];
        const struct dedupe_entry e = {.body_hash = k->body_hash,
                                       .first_id = k->first_id,
                                       .last_id = k->last_id,
                                       .time_ms = k->time_ms};
        if (k->first_id <= last_id || k->last_id < k->first_id || k->last_id > s->high) continue;
        last_id = k->last_id;
        if (s->keys != NULL) dedupe_forget(s->keys, vn->streams.dedupe, k->key);
        if (stream_keys_add(&vn->streams, s, k->key, &e, 0) != IOR_OK) break;
    }
    s->keys_saved = s->high;
}

/* The row becomes a stream whose events are all on the disk. */
static enum ior_err enter(struct vnode *vn, const struct fetch_row *f, struct stream **ret)
{
    struct stream *s = NULL;
    uint64_t hash = 0;
    const struct stream_row *row = &f->row;
    if (!iorio_bucket_name_ok(f->bucket) || !iorio_stream_name_ok(row->name) || row->uid == 0 ||
        row->low == 0 || row->low > row->high + 1 || row->high >= UINT64_MAX / 2 ||
        node_route(vn->node, f->bucket, row->name, &hash) != vn ||
        stream_find_uid(&vn->streams, row->uid) != NULL ||
        stream_find(&vn->streams, f->bucket, row->name, hash) != NULL)
        return IOR_E_CORRUPT;
    enum ior_err err = stream_add(&vn->streams, f->bucket, row->name, hash, row->uid, &s);
    if (err != IOR_OK) return err;
    s->low = s->reserved_low = row->low;
    s->high = s->reserved = s->saved = row->high;
    s->first = s->base = row->high + 1;
    s->time_ms = s->reserved_time_ms = row->time_ms;
    s->bytes = s->reserved_bytes = row->bytes;
    s->last_index = row->last_index;
    s->deleted = s->reserved_deleted = row->deleted;
    stream_commit(&vn->streams, s);
    take_keys(vn, s, f);
    metric_add(METRIC_stream_loads, 1);
    *ret = s;
    return IOR_OK;
}

enum ior_err vnode_find_now(struct vnode *vn, uint64_t uid, struct stream **ret,
                            struct ior_why *why)
{
    *ret = stream_find_uid(&vn->streams, uid);
    if (*ret != NULL) return IOR_OK;
    if (!vn->has_rows) return IOR_E_NOTFOUND;
    struct fetch_row *row = NULL;
    enum ior_err err = fetch_stream_uid(vn->node->fetch, vn->partition, uid, &row, why);
    if (err != IOR_OK) return err;
    err = enter(vn, row, ret);
    if (err != IOR_OK)
        ior_why_set(why, err, KV_LMDB_FILE ": the row of stream %016llx in partition %u: %s",
                    (unsigned long long)uid, vn->partition, ior_err_reason(err));
    fetch_row_free(row);
    return err;
}

/* ---- on the disk pool ---- */

static void look_up(struct job *j)
{
    struct load *l = IOR_CONTAINER(j, struct load, job);
    struct ior_why why;
    l->err = fetch_stream(l->vn->node->fetch, l->vn->partition, bucket_of(l), stream_of(l), &l->row,
                          &why);
    if (l->err == IOR_E_NOTFOUND) {
        l->err = IOR_OK;
    } else if (l->err != IOR_OK) {
        LOG_ERROR("catalog", "look-up failed", "err=%s: %s", ior_err_name(l->err), why.text);
    }
}

/* ---- back in the strand ---- */

static void enter_row(struct load *l)
{
    struct stream *s = NULL;
    l->err = enter(l->vn, l->row, &s);
    if (l->err != IOR_OK)
        LOG_ERROR("catalog", "row refused", "err=%s partition=%u uid=%016llx", ior_err_name(l->err),
                  l->vn->partition, (unsigned long long)l->row->row.uid);
    fetch_row_free(l->row);
    l->row = NULL;
}

/* Not in memory, and what the catalog said may be of yesterday. True: it is asked again. */
static bool look_up_again(struct load *l)
{
    struct stream_table *t = &l->vn->streams;
    if (!l->visited || l->err != IOR_OK) return false;
    if (stream_find(t, bucket_of(l), stream_of(l), l->hash) != NULL) return false;
    l->visited = false;
    enum ior_err err = job_submit(l->vn->node->params.disk_jobs, &l->job);
    if (err == IOR_OK) return true; /* err is the other thread's from here on */
    l->err = err;
    return false;
}

static void drain(struct msg *m)
{
    struct load *l = IOR_CONTAINER(m, struct load, msg);
    struct vnode *vn = l->vn;
    IOR_ASSERT(strand_inside(&vn->strand) && vn->answered == NULL);
    if (look_up_again(l)) return;
    if (l->row != NULL) enter_row(l);
    l->visited = true;
    vn->answered = l;
    struct ior_link *link;
    for (unsigned n = 0; n < DRAIN_MAX && (link = ior_queue_pop(&l->parked)) != NULL; n++) {
        struct msg *waiting = IOR_CONTAINER(link, struct msg, link);
        vn->parked--;
        waiting->run(waiting);
    }
    vn->answered = NULL;
    stream_table_relieve(&vn->streams);
    if (!ior_queue_empty(&l->parked)) {
        strand_post_completion(&vn->strand, &l->msg);
        return;
    }
    ior_map_remove(&vn->loads, l->hash, l);
    free(l);
}

static void looked_up(struct job *j)
{
    struct load *l = IOR_CONTAINER(j, struct load, job);
    l->msg.run = drain;
    strand_post_completion(&l->vn->strand, &l->msg);
}

static enum ior_err start(struct vnode *vn, struct ior_slice bucket, struct ior_slice name,
                          uint64_t hash, struct load **ret)
{
    struct load *l = calloc(1, sizeof *l + bucket.size_bytes + name.size_bytes);
    if (l == NULL) return IOR_E_NOMEM;
    l->vn = vn;
    l->hash = hash;
    l->bucket_bytes = (uint8_t)bucket.size_bytes;
    l->stream_bytes = (uint16_t)name.size_bytes;
    memcpy(l->names, bucket.data, bucket.size_bytes);
    memcpy(l->names + bucket.size_bytes, name.data, name.size_bytes);
    l->job.work = look_up;
    l->job.done = looked_up;
    enum ior_err err = ior_map_add(&vn->loads, hash, l);
    if (err == IOR_OK) {
        err = job_submit(vn->node->params.disk_jobs, &l->job);
        if (err != IOR_OK) ior_map_remove(&vn->loads, hash, l);
    }
    if (err != IOR_OK) {
        free(l);
        return err;
    }
    *ret = l;
    return IOR_OK;
}

struct found vnode_find(struct vnode *vn, struct msg *m, struct ior_slice bucket,
                        struct ior_slice name, uint64_t hash)
{
    struct stream *s = stream_find(&vn->streams, bucket, name, hash);
    if (s != NULL) {
        stream_used(&vn->streams, s, clock_mono_coarse_us());
        return (struct found){.stream = s};
    }
    if (!vn->has_rows) return (struct found){0};
    const struct name_key key = {bucket, name};
    if (vn->answered != NULL && same_name(vn->answered, &key))
        return (struct found){.err = vn->answered->err};
    struct load *l = ior_map_find(&vn->loads, hash, same_name, &key);
    enum ior_err err = vn->parked < STRAND_QUEUE_MAX ? IOR_OK : IOR_E_BUSY;
    if (err == IOR_OK && l == NULL) err = start(vn, bucket, name, hash, &l);
    if (err != IOR_OK) return (struct found){.err = err};
    ior_queue_push(&l->parked, &m->link);
    vn->parked++;
    return (struct found){.parked = true};
}

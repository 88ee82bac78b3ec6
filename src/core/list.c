/* src/core/list.c - sorted names over all vnodes and the catalog.
 * Happy path: visit the vnodes one after the other; each gives its first `limit` names behind
 * `after` that are in memory, and the deleted ones between them (LIST_VISIT_NAMES a visit, so
 * that no strand is held for long); then a thread of the disk pool merges them with the names in
 * the catalog (list_merge.c). What is in memory is newer and wins. Asking each vnode for
 * `limit` names makes the first `limit` of the union exact.
 * Failure modes: NOMEM, BUSY and errors of the catalog end it. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/limits.h"
#include "core/iorio.h"

static void visit_next(struct list *l);

enum ior_err list_new(struct list **ret)
{
    struct list *l = calloc(1, sizeof *l);
    if (l == NULL) return IOR_E_NOMEM;
    l->limit = LIST_NAMES_MAX;
    *ret = l;
    return IOR_OK;
}

void list_free(struct list *l)
{
    if (l == NULL) return;
    ior_buf_done(&l->at);
    ior_buf_done(&l->bucket);
    ior_buf_done(&l->after);
    ior_buf_done(&l->prefix);
    ior_buf_done(&l->names);
    free(l->rows);
    free(l->hidden);
    free(l);
}

static void end(struct list *l)
{
    if (l->err != IOR_OK) l->count = 0;
    l->cb(l);
}

static void merge(struct job *j)
{
    list_merge(IOR_CONTAINER(j, struct list, job));
}

static void merged(struct job *j)
{
    end(IOR_CONTAINER(j, struct list, job));
}

static void finish(struct list *l)
{
    l->job.work = merge;
    l->job.done = merged;
    enum ior_err err = job_submit(l->node->params.disk_jobs, &l->job);
    if (err == IOR_OK) return; /* from here on the list is the other thread's */
    l->err = err;
    end(l);
}

bool list_add(struct list *l, struct list_name **rows, size_t *count, size_t *room,
              const struct list_name *what, struct ior_slice name)
{
    if (*count == *room) {
        size_t more = *room == 0 ? 64 : *room * 2;
        struct list_name *grown = realloc(*rows, more * sizeof *grown);
        if (grown == NULL) {
            l->err = IOR_E_NOMEM;
            return false;
        }
        *rows = grown;
        *room = more;
    }
    struct list_name *row = &(*rows)[*count];
    *row = *what;
    row->offset_bytes = l->names.size_bytes;
    row->size_bytes = (uint32_t)name.size_bytes;
    ior_buf_add_slice(&l->names, name);
    if (ior_buf_failed(&l->names)) {
        l->err = IOR_E_NOMEM;
        return false;
    }
    ++*count;
    return true;
}

static void add_stream(struct list *l, const struct stream *s)
{
    const struct list_name row = {.deleted = s->deleted,
                                  .low = s->low,
                                  .high = s->high,
                                  .bytes = s->bytes,
                                  .events = stream_count(s)};
    if (list_add(l, &l->rows, &l->count, &l->room, &row, stream_name(s)) && !s->deleted) l->taken++;
}

/* A bucket without a live stream in this vnode: those that were deleted may still be in the
 * catalog, and must not make it look alive. Their names are bucket, zero byte, stream. */
static void add_bucket(struct list *l, const struct bucket *b)
{
    static const struct list_name row = {0};
    if (b->live > 0) {
        if (list_add(l, &l->rows, &l->count, &l->room, &row, bucket_name(b))) l->taken++;
        return;
    }
    for (size_t i = 0; i < b->count; i++) {
        if (!list_add(l, &l->hidden, &l->hidden_count, &l->hidden_room, &row, bucket_name(b)))
            return;
        ior_buf_add_char(&l->names, 0);
        ior_buf_add_slice(&l->names, stream_name(b->streams[i]));
        l->hidden[l->hidden_count - 1].size_bytes += 1u + b->streams[i]->name_bytes;
    }
}

/* True: this name and those behind it no longer begin with the prefix. */
static bool past_prefix(const struct list *l, struct ior_slice name)
{
    struct ior_slice prefix = ior_buf_slice(&l->prefix);
    return !ior_slice_starts(name, prefix) && ior_slice_cmp(name, prefix) > 0;
}

static bool wanted(const struct list *l, struct ior_slice name)
{
    struct ior_slice prefix = ior_buf_slice(&l->prefix);
    return l->exact ? ior_slice_eq(name, prefix) : ior_slice_starts(name, prefix);
}

/* One visit of a vnode. True: it has more to give. */
static bool take_names(struct list *l, const struct stream_table *t)
{
    struct bucket *b = l->buckets ? NULL : bucket_find(t, ior_buf_slice(&l->bucket));
    if (!l->buckets && b == NULL) return false;
    size_t i =
        l->buckets ? buckets_seek(t, ior_buf_slice(&l->at)) : bucket_seek(b, ior_buf_slice(&l->at));
    size_t end = l->buckets ? t->bucket_count : b->count;
    for (size_t n = 0; i < end; i++, n++) {
        struct ior_slice name =
            l->buckets ? bucket_name(t->buckets[i]) : stream_name(b->streams[i]);
        if (past_prefix(l, name) || l->taken > l->limit) return false;
        ior_buf_clear(&l->at);
        ior_buf_add_slice(&l->at, name);
        if (wanted(l, name)) {
            if (l->buckets) add_bucket(l, t->buckets[i]);
            if (!l->buckets) add_stream(l, b->streams[i]);
        }
        if (l->err != IOR_OK || ior_buf_failed(&l->at)) return false;
        if (n >= LIST_VISIT_NAMES) return true;
    }
    return false;
}

static void run_next(struct msg *m)
{
    visit_next(IOR_CONTAINER(m, struct list, msg));
}

static void vnode_list(struct msg *m)
{
    struct list *l = IOR_CONTAINER(m, struct list, msg);
    struct vnode *vn = &l->node->vnodes[l->vnode];
    IOR_ASSERT(strand_inside(&vn->strand));
    if (!take_names(l, &vn->streams)) {
        l->vnode++;
        l->taken = 0;
        ior_buf_clear(&l->at);
        ior_buf_add_slice(&l->at, ior_buf_slice(&l->after));
    }
    if (ior_buf_failed(&l->at)) l->err = IOR_E_NOMEM;
    l->msg.run = run_next;
    worker_send(l->origin, &l->msg);
}

static void visit_next(struct list *l)
{
    if (l->err != IOR_OK) {
        end(l);
        return;
    }
    if (l->vnode == l->node->params.ring_size) {
        finish(l);
        return;
    }
    l->msg.run = vnode_list;
    enum ior_err err = strand_post(&l->node->vnodes[l->vnode].strand, &l->msg);
    if (err != IOR_OK) {
        l->err = err;
        end(l);
    }
}

enum ior_err iorio_list(struct node *n, struct list *l, list_cb cb)
{
    IOR_ASSERT(worker_current() != NULL);
    IOR_ASSERT(l->limit > 0 && l->limit <= LIST_NAMES_MAX);
    l->node = n;
    l->origin = worker_current();
    l->cb = cb;
    l->vnode = 0;
    ior_buf_add_slice(&l->at, ior_buf_slice(&l->after));
    if (ior_buf_failed(&l->at)) return IOR_E_NOMEM;
    l->msg.run = run_next; /* never inside the call */
    worker_defer(&l->msg);
    return IOR_OK;
}

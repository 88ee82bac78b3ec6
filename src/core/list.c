/* src/core/list.c - sorted names over all vnodes.
 * Happy path: visit the vnodes one after the other; each gives its first `limit`
 * names behind `after` (LIST_VISIT_NAMES a visit, so that no strand is held for
 * long); then sort, drop doubles, cut to `limit`. Asking each vnode for `limit`
 * names makes the first `limit` of the union exact.
 * Failure modes: NOMEM and BUSY end it with that error. */
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
    free(l);
}

/* qsort_r would do; the names are elsewhere, so a comparison needs them. */
static int by_name(const void *a, const void *b, void *names)
{
    const struct list_name *x = a;
    const struct list_name *y = b;
    const uint8_t *base = names;
    return ior_slice_cmp(ior_slice(base + x->offset_bytes, x->size_bytes),
                         ior_slice(base + y->offset_bytes, y->size_bytes));
}

static void finish(struct list *l)
{
    if (l->count > 1) qsort_r(l->rows, l->count, sizeof *l->rows, by_name, l->names.data);
    size_t kept = 0;
    for (size_t i = 0; i < l->count; i++) {
        if (kept > 0 && ior_slice_eq(list_name_at(l, kept - 1), list_name_at(l, i))) {
            l->rows[kept - 1].events += l->rows[i].events;
            l->rows[kept - 1].bytes += l->rows[i].bytes;
            continue;
        }
        l->rows[kept++] = l->rows[i];
    }
    l->more = kept > l->limit;
    l->count = l->more ? l->limit : kept;
    l->cb(l);
}

static void fail(struct list *l, enum ior_err err)
{
    l->err = err;
    l->count = 0;
    l->cb(l);
}

static void add_row(struct list *l, struct ior_slice name, const struct stream *s)
{
    if (l->count == l->room) {
        size_t room = l->room == 0 ? 64 : l->room * 2;
        struct list_name *rows = realloc(l->rows, room * sizeof *rows);
        if (rows == NULL) {
            l->err = IOR_E_NOMEM;
            return;
        }
        l->rows = rows;
        l->room = room;
    }
    l->rows[l->count] = (struct list_name){
        .offset_bytes = l->names.size_bytes,
        .size_bytes = (uint32_t)name.size_bytes,
        .low = s == NULL ? 0 : s->low,
        .high = s == NULL ? 0 : s->high,
        .bytes = s == NULL ? 0 : s->bytes,
        .events = s == NULL ? 0 : stream_count(s),
    };
    ior_buf_add_slice(&l->names, name);
    if (ior_buf_failed(&l->names)) {
        l->err = IOR_E_NOMEM;
        return;
    }
    l->count++;
    l->taken++;
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
        bool empty_bucket = l->buckets && t->buckets[i]->count == 0;
        if (!empty_bucket && wanted(l, name)) add_row(l, name, l->buckets ? NULL : b->streams[i]);
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
    if (l->origin == worker_current()) {
        worker_defer(&l->msg);
    } else {
        worker_post(l->origin, &l->msg);
    }
}

static void visit_next(struct list *l)
{
    if (l->err != IOR_OK) {
        fail(l, l->err);
        return;
    }
    if (l->vnode == l->node->params.ring_size) {
        finish(l);
        return;
    }
    l->msg.run = vnode_list;
    enum ior_err err = strand_post(&l->node->vnodes[l->vnode].strand, &l->msg);
    if (err != IOR_OK) fail(l, err);
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

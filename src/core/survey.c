/* src/core/survey.c - see survey.h. */
#include "core/survey.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/log.h"
#include "core/node.h"
#include "rt/clock.h"
#include "store/fetch.h"

static void step(struct msg *m);

static uint64_t seen_key(uint32_t partition, uint64_t uid)
{
    return uid ^ (uint64_t)partition * 0x9e3779b97f4a7c15u;
}

/* ---- back to the worker ---- */

static void run_pause(struct msg *m)
{
    struct survey *sv = IOR_CONTAINER(m, struct survey, msg);
    sv->paused = true;
    sv->pause(sv);
}

static void to_worker(struct survey *sv, void (*run)(struct msg *m))
{
    sv->msg.run = run;
    worker_send(sv->origin, &sv->msg);
}

/* ---- in memory ---- */

static void note_seen(struct survey *sv, const struct vnode *vn, const struct stream *s)
{
    if (sv->seen_count == sv->seen_room) {
        size_t room = sv->seen_room == 0 ? 64 : sv->seen_room * 2;
        uint64_t *seen = realloc(sv->seen, room * sizeof *seen);
        if (seen == NULL) {
            sv->err = IOR_E_NOMEM;
            return;
        }
        sv->seen = seen;
        sv->seen_room = room;
    }
    sv->seen[sv->seen_count++] = seen_key(vn->partition, s->uid);
}

static void set_at(struct survey *sv, struct ior_slice name)
{
    ior_buf_clear(&sv->at);
    ior_buf_add_slice(&sv->at, name);
    if (ior_buf_failed(&sv->at)) sv->err = IOR_E_NOMEM;
}

static enum survey_next look_at(struct survey *sv, struct vnode *vn, struct stream *s)
{
    enum survey_next next = s->deleted ? SURVEY_ON : sv->on_memory(sv, vn, s);
    if (next == SURVEY_AGAIN) return next;
    note_seen(sv, vn, s);
    set_at(sv, stream_name(s));
    return next;
}

/* True: this vnode has more. */
static bool visit_all(struct survey *sv, struct vnode *vn)
{
    const struct bucket *b = bucket_find(&vn->streams, sv->bucket);
    if (b == NULL) return false;
    size_t i = bucket_seek(b, ior_buf_slice(&sv->at));
    for (size_t n = 0; i < b->count; i++, n++) {
        if (n == SURVEY_VISIT_STREAMS) return true;
        enum survey_next next = look_at(sv, vn, b->streams[i]);
        if (sv->err != IOR_OK || next != SURVEY_ON) return true;
    }
    return false;
}

static bool visit_one(struct survey *sv, struct vnode *vn)
{
    uint64_t hash = 0;
    if (node_route(sv->node, sv->bucket, sv->stream, &hash) != vn) return false;
    struct stream *s = stream_find(&vn->streams, sv->bucket, sv->stream, hash);
    if (s == NULL || !s->committed) return false;
    return look_at(sv, vn, s) == SURVEY_AGAIN;
}

static void visit(struct msg *m)
{
    struct survey *sv = IOR_CONTAINER(m, struct survey, msg);
    struct vnode *vn = &sv->node->vnodes[sv->vnode];
    IOR_ASSERT(strand_inside(&vn->strand));
    bool one = sv->stream.size_bytes > 0;
    if (!(one ? visit_one(sv, vn) : visit_all(sv, vn))) {
        sv->vnode = one ? sv->node->params.ring_size : sv->vnode + 1;
        ior_buf_clear(&sv->at);
    }
    to_worker(sv, run_pause);
}

/* ---- in the catalog ---- */

static int cmp_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool was_seen(const struct survey *sv, const struct stream_row *row)
{
    uint64_t key = seen_key(row->partition, row->uid);
    return sv->seen_count > 0 &&
           bsearch(&key, sv->seen, sv->seen_count, sizeof key, cmp_u64) != NULL;
}

struct block {
    struct survey *sv;
    struct kv_reader *reader;
};

static bool on_row(void *ctx, const struct stream_row *row)
{
    struct block *b = ctx;
    struct survey *sv = b->sv;
    if (sv->looked++ == SURVEY_BLOCK_ROWS) {
        sv->block_full = true;
        return false;
    }
    enum survey_next next = was_seen(sv, row) ? SURVEY_ON : sv->on_row(sv, b->reader, row);
    if (next != SURVEY_AGAIN) set_at(sv, row->name);
    sv->block_full = next != SURVEY_ON;
    return next == SURVEY_ON && sv->err == IOR_OK;
}

static enum ior_err read_block(struct survey *sv, struct kv_reader *r)
{
    struct block b = {sv, r};
    struct bucket_row bucket;
    struct stream_row row;
    enum ior_err err = IOR_OK;
    if (sv->bucket_id == 0) {
        err = catalog_get_bucket(r, sv->bucket, &bucket);
        if (err == IOR_OK) sv->bucket_id = bucket.id;
    }
    if (err == IOR_OK && sv->stream.size_bytes == 0)
        return catalog_each_stream(r, sv->bucket_id, ior_buf_slice(&sv->at), on_row, &b);
    if (err == IOR_OK) err = catalog_find_stream(r, sv->bucket_id, sv->stream, &row);
    if (err == IOR_OK && !row.deleted && sv->at.size_bytes == 0) (void)on_row(&b, &row);
    return err;
}

static void work_block(struct job *j)
{
    struct survey *sv = survey_of_job(j);
    struct kv_reader *r = NULL;
    if (!sv->sorted && sv->seen_count > 1)
        qsort(sv->seen, sv->seen_count, sizeof *sv->seen, cmp_u64);
    sv->sorted = true;
    sv->block_full = false;
    sv->looked = 0;
    enum ior_err err = fetch_reader_take(sv->node->fetch, &r);
    if (err == IOR_OK) {
        err = read_block(sv, r);
        fetch_reader_give(sv->node->fetch, r);
    }
    if (err == IOR_E_NOTFOUND) err = IOR_OK; /* nothing of it was ever saved */
    if (err == IOR_E_CORRUPT || err == IOR_E_IO || err == IOR_E_VERSION)
        LOG_ERROR("retention", "catalog cannot be read", "err=%s", ior_err_name(err));
    if (err != IOR_OK && sv->err == IOR_OK) sv->err = err;
    if (sv->after_rows != NULL) sv->after_rows(sv);
    if (!sv->block_full) sv->in_catalog = false;
}

static void worked_block(struct job *j)
{
    struct survey *sv = survey_of_job(j);
    if (!sv->in_catalog) sv->finished = true;
    run_pause(&sv->msg);
}

void survey_on_disk(struct survey *sv, void (*work)(struct job *j), void (*then)(struct job *j))
{
    sv->job.work = work;
    sv->job.done = then;
    enum ior_err err = job_submit(sv->node->params.disk_jobs, &sv->job);
    if (err == IOR_OK) return;
    sv->err = err;
    then(&sv->job);
}

/* ---- the course ---- */

static bool ends(struct survey *sv)
{
    if (atomic_load(&sv->node->surveys_stop) && sv->err == IOR_OK) sv->err = IOR_E_CLOSING;
    if (sv->deadline_us != 0 && clock_mono_us() >= sv->deadline_us && sv->err == IOR_OK)
        sv->err = IOR_E_TIMEOUT;
    return sv->err != IOR_OK || sv->finished;
}

static void step(struct msg *m)
{
    struct survey *sv = IOR_CONTAINER(m, struct survey, msg);
    sv->paused = false;
    if (ends(sv)) {
        sv->finished = true;
        run_pause(m);
        return;
    }
    if (sv->vnode < sv->node->params.ring_size) {
        sv->msg.run = visit;
        enum ior_err err = strand_post(&sv->node->vnodes[sv->vnode].strand, &sv->msg);
        if (err == IOR_OK) return;
        sv->err = err;
        sv->finished = true;
        to_worker(sv, run_pause);
        return;
    }
    sv->in_catalog = true;
    survey_on_disk(sv, work_block, worked_block);
}

void survey_begin(struct node *n, struct survey *sv)
{
    IOR_ASSERT(worker_current() != NULL && sv->bucket.size_bytes > 0);
    sv->node = n;
    sv->origin = worker_current();
    ior_buf_init(&sv->at);
    atomic_fetch_add(&n->surveys, 1);
    uint64_t hash = 0;
    if (sv->stream.size_bytes > 0)
        sv->vnode = node_route(n, sv->bucket, sv->stream, &hash)->partition;
    to_worker(sv, step);
}

void survey_go_on(struct survey *sv)
{
    IOR_ASSERT(sv->paused && !sv->finished);
    to_worker(sv, step);
}

void survey_done(struct survey *sv)
{
    ior_buf_done(&sv->at);
    free(sv->seen);
    sv->seen = NULL;
    sv->seen_count = sv->seen_room = 0;
    atomic_fetch_sub(&sv->node->surveys, 1);
}

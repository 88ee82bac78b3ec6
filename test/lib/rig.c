/* test/lib/rig.c - see rig.h. */
#include "rig.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "core/checkpoint.h"
#include "rt/rand.h"

enum { TURNS_MAX = 1000000, RIG_MAP_BYTES = 256 << 20 };

static uint64_t read_wall_ms(void *ctx)
{
    return ((struct rig *)ctx)->wall_ms;
}

static uint64_t read_mono_us(void *ctx)
{
    return ((struct rig *)ctx)->mono_us;
}

static void wake_nobody(void *ctx)
{
    (void)ctx; /* the test drives */
}

/* On the simulated disk, unless the rig has a folder. */
static enum ior_err open_kv(void *ctx, struct kv **ret, struct ior_why *why)
{
    const struct rig *r = ctx;
    if (r->dir != NULL) return kv_lmdb_open(r->dir, RIG_MAP_BYTES, ret, why);
    return kv_sim_open(r->disk, "catalog.sim", ret, why);
}

static void set_up(struct rig *r)
{
    enum ior_err err = job_queue_new("disk", 0, 1024, 0, &r->disk_jobs);
    IOR_ASSERT(err == IOR_OK);
    for (unsigned i = 0; i < RIG_WORKERS; i++) {
        worker_init(&r->workers[i], i, wake_nobody, NULL);
        r->worker_ptrs[i] = &r->workers[i];
    }
    r->params = (struct node_params){
        .disk = r->disk,
        .name = "rig@127.0.0.1",
        .ring_size = 8,
        .segment_bytes = 64 << 10,
        .journal_bytes_max = 64 << 20,
        .tail_bytes_max = 64 << 20,
        .history_bytes_max = 1 << 20,
        .history_items_max = 4,
        .history_stream_bytes_max = 4096,
        .chunk_items_max = 64,
        .chunk_bytes_max = 32 << 10,
        .small_bytes_max = 128,
        .stream_idle_ms = 60000,
        .eviction_interval_ms = 60000,
        .open_kv = open_kv,
        .open_kv_ctx = r,
        .disk_jobs = r->disk_jobs,
        .dedupe_window_ms = 120000,
        .dedupe_bytes_max = 1 << 20,
        .inflight_bytes_max = 8 << 20,
        .workers = r->worker_ptrs,
        .worker_count = RIG_WORKERS,
    };
    r->wall_ms = RIG_WALL_MS;
    r->mono_us = 1000000;
    r->source = (struct clock_source){read_wall_ms, read_mono_us, r};
    clock_set_source(&r->source);
    rand_set_seed(42);
    worker_enter(&r->workers[0]);
}

void rig_init_with(struct rig *r, struct disk *take)
{
    *r = (struct rig){.disk = take};
    set_up(r);
}

void rig_init(struct rig *r)
{
    rig_init_with(r, disk_sim_new(1));
}

void rig_init_on(struct rig *r, const char *dir)
{
    struct disk *disk = NULL;
    enum ior_err err = disk_posix_open(dir, &disk, &r->why);
    IOR_ASSERT(err == IOR_OK);
    *r = (struct rig){.disk = disk, .dir = dir};
    set_up(r);
}

enum ior_err rig_try_open(struct rig *r)
{
    IOR_ASSERT(r->node == NULL);
    r->why.text[0] = 0;
    return node_open(&r->params, &r->node, &r->report, &r->why);
}

void rig_open(struct rig *r)
{
    enum ior_err err = rig_try_open(r);
    if (err != IOR_OK) IOR_WRONG(r->why.text);
}

void rig_enter(struct rig *r, unsigned worker)
{
    worker_enter(&r->workers[worker]);
}

bool rig_turn(struct rig *r)
{
    bool more = false;
    struct worker *was = worker_current();
    for (unsigned i = 0; i < RIG_WORKERS; i++) {
        rig_enter(r, i);
        more = worker_turn(&r->workers[i]) || more;
    }
    worker_enter(was);
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        more = more || atomic_load(&r->workers[i].inbox) != NULL;
    return more;
}

void rig_turns(struct rig *r)
{
    int turns = 0;
    while (rig_turn(r) || job_queue_step(r->disk_jobs)) IOR_ASSERT(++turns < TURNS_MAX);
}

enum ior_err rig_checkpoint(struct rig *r)
{
    struct checkpoint *c = r->node->checkpoint;
    rig_settle(r);
    checkpoint_start(c);
    enum checkpoint_did did;
    while ((did = checkpoint_step(c)) != CHECKPOINT_RESTS) {
        if (did == CHECKPOINT_WAITS) rig_settle(r);
    }
    return checkpoint_last_error(c);
}

bool rig_commit(struct rig *r)
{
    if (!journal_begin(r->node->journal)) return false;
    journal_finish(r->node->journal);
    return true;
}

void rig_settle(struct rig *r)
{
    do {
        rig_turns(r);
    } while (rig_commit(r) || rig_turn(r));
}

void rig_drop(struct rig *r)
{
    rig_settle(r);
    node_close(r->node);
    r->node = NULL;
}

void rig_close(struct rig *r)
{
    rig_settle(r);
    journal_close(r->node->journal);
    rig_drop(r);
}

void rig_done(struct rig *r)
{
    if (r->node != NULL) rig_close(r);
    for (unsigned i = 0; i < RIG_WORKERS; i++) worker_done(&r->workers[i]);
    worker_enter(NULL);
    clock_set_source(NULL);
    job_queue_stop(r->disk_jobs);
    job_queue_free(r->disk_jobs);
    disk_free(r->disk);
}

/* ---- appends ---- */

static void on_accepted(struct append *a)
{
    struct rig_post *p = a->user_ptr;
    IOR_ASSERT(p->accepted == 0 && p->done == 0);
    p->accepted = ++p->rig->calls;
}

static void on_done(struct append *a)
{
    struct rig_post *p = a->user_ptr;
    IOR_ASSERT(p->done == 0);
    p->done = ++p->rig->calls;
}

void rig_post_new(struct rig *r, struct rig_post *p, const char *bucket, const char *stream,
                  const char *json)
{
    struct event_in e = {ior_slice_str(json), true};
    *p = (struct rig_post){.rig = r};
    enum ior_err err = append_new(ior_slice_str(bucket), ior_slice_str(stream), &e, 1,
                                  (struct ior_slice){NULL, 0}, &p->a);
    IOR_ASSERT(err == IOR_OK);
}

void rig_post_submit(struct rig_post *p)
{
    p->a->user_ptr = p;
    p->a->accepted = on_accepted;
    p->submitted = iorio_append(p->rig->node, p->a, on_done);
    IOR_ASSERT(p->done == 0); /* never inside the call */
}

void rig_post_free(struct rig_post *p)
{
    IOR_ASSERT(p->submitted != IOR_OK || p->done != 0);
    append_free(p->a);
    p->a = NULL;
}

void rig_post(struct rig *r, struct rig_post *p, const char *bucket, const char *stream,
              const char *json)
{
    rig_post_new(r, p, bucket, stream, json);
    rig_post_submit(p);
}

uint64_t rig_put(struct rig *r, const char *bucket, const char *stream, const char *json)
{
    struct rig_post p;
    rig_post(r, &p, bucket, stream, json);
    IOR_ASSERT(p.submitted == IOR_OK);
    rig_settle(r);
    IOR_ASSERT(p.done != 0 && p.a->err == IOR_OK);
    uint64_t id = p.a->last_id;
    rig_post_free(&p);
    return id;
}

/* ---- reads and lists ---- */

static void on_read(struct read *rd)
{
    rd->user[0]++;
}

struct read *rig_read_new(const char *bucket, const char *stream)
{
    struct read *rd = NULL;
    enum ior_err err = read_new(ior_slice_str(bucket), ior_slice_str(stream), &rd);
    IOR_ASSERT(err == IOR_OK);
    return rd;
}

void rig_read(struct rig *r, struct read *rd)
{
    rd->user[0] = 0;
    enum ior_err err = iorio_read(r->node, rd, on_read);
    IOR_ASSERT(err == IOR_OK);
    IOR_ASSERT(rd->user[0] == 0); /* never inside the call */
    rig_turns(r);
    if (rd->user[0] == 0) rig_settle(r); /* something has to go first, through the journal */
    IOR_ASSERT(rd->user[0] == 1);
}

static void on_list(struct list *l)
{
    l->user[0]++;
}

void rig_list(struct rig *r, struct list *l)
{
    l->user[0] = 0;
    enum ior_err err = iorio_list(r->node, l, on_list);
    IOR_ASSERT(err == IOR_OK);
    IOR_ASSERT(l->user[0] == 0);
    rig_turns(r);
    IOR_ASSERT(l->user[0] == 1);
}

static void dump_event(struct ior_buf *out, const struct event_out *e)
{
    ior_buf_addf(out, " %llu %llu %c ", (unsigned long long)e->id, (unsigned long long)e->time_ms,
                 e->json ? 'j' : 'b');
    ior_buf_add_slice(out, e->payload);
    ior_buf_add_char(out, '\n');
}

static void dump_stream(struct rig *r, struct ior_slice bucket, struct ior_slice stream,
                        struct ior_buf *out)
{
    struct read *rd = NULL;
    enum ior_err err = read_new(bucket, stream, &rd);
    IOR_ASSERT(err == IOR_OK);
    rd->how = READ_FROM_ID;
    rd->limit = UINT64_MAX;
    do {
        rig_read(r, rd);
        for (size_t i = 0; i < rd->count; i++) {
            ior_buf_add_slice(out, bucket);
            ior_buf_add_char(out, '/');
            ior_buf_add_slice(out, stream);
            dump_event(out, &rd->events[i]);
        }
        if (rd->next != 0) read_release(rd);
    } while (rd->next != 0);
    ior_buf_add_slice(out, bucket);
    ior_buf_add_char(out, '/');
    ior_buf_add_slice(out, stream);
    ior_buf_addf(out, " %llu..%llu\n", (unsigned long long)rd->low, (unsigned long long)rd->high);
    read_free(rd);
}

void rig_dump(struct rig *r, struct ior_buf *out)
{
    struct list *buckets = NULL;
    enum ior_err err = list_new(&buckets);
    IOR_ASSERT(err == IOR_OK);
    buckets->buckets = true;
    rig_list(r, buckets);
    for (size_t i = 0; i < buckets->count; i++) {
        struct list *streams = NULL;
        err = list_new(&streams);
        IOR_ASSERT(err == IOR_OK);
        ior_buf_add_slice(&streams->bucket, list_name_at(buckets, i));
        rig_list(r, streams);
        for (size_t k = 0; k < streams->count; k++)
            dump_stream(r, list_name_at(buckets, i), list_name_at(streams, k), out);
        list_free(streams);
    }
    list_free(buckets);
    IOR_ASSERT(!ior_buf_failed(out));
}

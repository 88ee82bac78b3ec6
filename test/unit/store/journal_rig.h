/* test/unit/store/journal_rig.h - a journal on a simulated disk that a test drives by
 * hand: it says when a batch is written, when it is synced, when a worker takes its
 * turn and what time it is. Two workers. Records have the index as their content.
 * What cannot be is a failed assertion of the test. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/log.h"
#include "rt/clock.h"
#include "rt/disk_sim.h"
#include "rt/rand.h"
#include "store/journal.h"

enum { JR_WORKERS = 2, JR_SEGMENT_BYTES = 4 * JOURNAL_PAGE_BYTES, JR_SEEN_MAX = 20000 };

/* A record on its way, and what became of it. */
struct jr_call {
    struct journal_req req;
    struct record record;
    struct jr *rig;
    unsigned order;  /* place among the answers; 0: no answer yet */
    unsigned worker; /* that ran done() */
};

struct jr {
    struct disk *disk;
    struct clock_source source;
    uint64_t wall_ms;
    uint64_t mono_us;
    struct worker workers[JR_WORKERS];
    struct worker *worker_ptrs[JR_WORKERS];
    struct journal_params params; /* may be changed while the journal is closed */
    struct journal *journal;
    struct journal_replay_report report;
    struct ior_why why;
    uint64_t *seen; /* indexes, as the last replay brought them */
    size_t seen_count;
    unsigned answers;
};

static inline uint64_t jr_wall_ms(void *ctx)
{
    return ((struct jr *)ctx)->wall_ms;
}

static inline uint64_t jr_mono_us(void *ctx)
{
    return ((struct jr *)ctx)->mono_us;
}

static inline void jr_no_wake(void *ctx)
{
    (void)ctx;
}

static inline void jr_init(struct jr *r)
{
    *r = (struct jr){.disk = disk_sim_new(1), .wall_ms = 1700000000000u, .mono_us = 1000000};
    r->source = (struct clock_source){jr_wall_ms, jr_mono_us, r};
    clock_set_source(&r->source);
    rand_set_seed(7);
    log_set_fd(-1);
    r->seen = calloc(JR_SEEN_MAX, sizeof *r->seen);
    assert_non_null(r->seen);
    for (unsigned i = 0; i < JR_WORKERS; i++) r->worker_ptrs[i] = &r->workers[i];
    r->params = (struct journal_params){.disk = r->disk,
                                        .segment_bytes = JR_SEGMENT_BYTES,
                                        .node_id = {1, 2, 3},
                                        .workers = r->worker_ptrs,
                                        .worker_count = JR_WORKERS};
}

/* ---- what a record holds ---- */

static inline uint8_t jr_byte(uint64_t index, size_t at)
{
    return (uint8_t)(index * 31 + at * 7);
}

static inline struct record jr_record(uint64_t index, size_t payload_bytes)
{
    uint8_t *payload = malloc(payload_bytes + 1);
    assert_non_null(payload);
    for (size_t i = 0; i < payload_bytes; i++) payload[i] = jr_byte(index, i);
    struct record r = {.items = ior_blob_new(item_bytes(0, payload_bytes))};
    assert_non_null(r.items);
    item_write(r.items->data, ITEM_APPEND, 0, 0, ior_slice(payload, payload_bytes));
    item_set_place(r.items->data, 7, index, 1);
    struct record_head head = {
        .kind = RECORD_ENTRY, .group = 1, .term = 1, .index = index, .time_ms = index};
    record_seal(&r, &head);
    free(payload);
    return r;
}

static inline enum ior_err jr_on_record(void *ctx, const struct record_head *head,
                                        struct ior_slice items, struct ior_why *why)
{
    struct jr *r = ctx;
    struct item it;
    size_t pos = 0;
    (void)why;
    assert_int_equal(item_next(items, &pos, &it), IOR_OK);
    assert_int_equal(it.seqnum, head->index);
    for (size_t i = 0; i < it.payload.size_bytes; i++)
        assert_int_equal(it.payload.data[i], jr_byte(head->index, i));
    assert_true(r->seen_count < JR_SEEN_MAX);
    r->seen[r->seen_count++] = head->index;
    return IOR_OK;
}

/* ---- start and end ---- */

static inline enum ior_err jr_try_open(struct jr *r)
{
    assert_null(r->journal);
    r->seen_count = 0;
    r->why.text[0] = 0;
    for (unsigned i = 0; i < JR_WORKERS; i++) worker_init(&r->workers[i], i, jr_no_wake, NULL);
    enum ior_err err = journal_open(&r->params, &r->journal, &r->why);
    if (err == IOR_OK) err = journal_replay(r->journal, jr_on_record, r, &r->report, &r->why);
    if (err == IOR_OK) err = journal_start(r->journal, &r->why);
    if (err == IOR_OK) return IOR_OK;
    journal_free(r->journal);
    r->journal = NULL;
    assert_int_equal(disk_sim_open_files(r->disk), 0);
    return err;
}

static inline void jr_open(struct jr *r)
{
    enum ior_err err = jr_try_open(r);
    if (err != IOR_OK) fail_msg("%s: %s", ior_err_name(err), r->why.text);
}

/* The replay brought exactly the records 1..last. */
static inline void jr_expect_seen(const struct jr *r, uint64_t last)
{
    assert_int_equal(r->seen_count, last);
    for (size_t i = 0; i < r->seen_count; i++) assert_int_equal(r->seen[i], i + 1);
}

/* Both workers; a test may also let just one of them take a turn. */
static inline void jr_turn(struct jr *r, unsigned worker)
{
    struct worker *was = worker_current();
    worker_enter(&r->workers[worker]);
    while (worker_turn(&r->workers[worker])) {
    }
    worker_enter(was);
}

static inline void jr_turns(struct jr *r)
{
    for (unsigned i = 0; i < JR_WORKERS; i++) jr_turn(r, i);
}

/* Stop as a killed process would (everything taken is answered first). */
static inline void jr_drop(struct jr *r)
{
    jr_turns(r);
    journal_free(r->journal);
    r->journal = NULL;
    for (unsigned i = 0; i < JR_WORKERS; i++) worker_done(&r->workers[i]);
    assert_int_equal(disk_sim_open_files(r->disk), 0);
}

/* A clean stop. */
static inline void jr_close(struct jr *r)
{
    journal_close(r->journal);
    while (journal_begin(r->journal)) journal_finish(r->journal);
    jr_drop(r);
}

/* The disk dies, the process ends, the power comes back. */
static inline void jr_crash(struct jr *r, enum disk_sim_loss loss)
{
    disk_sim_kill(r->disk);
    while (journal_begin(r->journal)) journal_finish(r->journal);
    jr_drop(r);
    disk_sim_crash(r->disk, loss);
}

static inline void jr_done(struct jr *r)
{
    if (r->journal != NULL) jr_close(r);
    disk_free(r->disk);
    free(r->seen);
    clock_set_source(NULL);
}

/* ---- records ---- */

static inline void jr_answered(struct journal_req *req)
{
    struct jr_call *c = IOR_CONTAINER(req, struct jr_call, req);
    assert_int_equal(c->order, 0);
    assert_ptr_equal(worker_current(), req->origin);
    c->order = ++c->rig->answers;
    c->worker = worker_current()->id;
    record_done(&c->record);
}

static inline void jr_prepare_call(struct jr *r, struct jr_call *c, uint64_t index,
                                   size_t payload_bytes)
{
    *c = (struct jr_call){.rig = r, .record = jr_record(index, payload_bytes)};
    c->req.record = &c->record;
    c->req.done = jr_answered;
    c->req.epoch = journal_epoch(r->journal);
}

static inline enum ior_err jr_submit_call(struct jr *r, struct jr_call *c, unsigned worker)
{
    worker_enter(&r->workers[worker]);
    enum ior_err err = journal_submit(r->journal, &c->req);
    journal_kick(r->journal, &r->workers[worker]);
    worker_enter(NULL);
    if (err != IOR_OK) record_done(&c->record);
    return err;
}

static inline enum ior_err jr_submit(struct jr *r, struct jr_call *c, unsigned worker,
                                     uint64_t index, size_t payload_bytes)
{
    jr_prepare_call(r, c, index, payload_bytes);
    return jr_submit_call(r, c, worker);
}

/* One record in a batch of its own; the answer. */
static inline enum ior_err jr_put(struct jr *r, uint64_t index, size_t payload_bytes)
{
    struct jr_call c;
    enum ior_err err = jr_submit(r, &c, (unsigned)(index % JR_WORKERS), index, payload_bytes);
    if (err != IOR_OK) return err;
    if (journal_begin(r->journal)) journal_finish(r->journal);
    jr_turns(r);
    assert_int_not_equal(c.order, 0);
    return c.req.err;
}

static inline void jr_put_all(struct jr *r, uint64_t first, uint64_t last, size_t payload_bytes)
{
    for (uint64_t i = first; i <= last; i++) assert_int_equal(jr_put(r, i, payload_bytes), IOR_OK);
}

static inline const char *jr_segment(uint64_t seq)
{
    static char names[4][DISK_PATH_MAX];
    static unsigned at;
    char *name = names[at++ % 4];
    segment_name(seq, name);
    return name;
}

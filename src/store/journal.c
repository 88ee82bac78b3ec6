/* src/store/journal.c - the queue in front of the journal and the mail behind it.
 * Happy path: workers submit records; the writer takes all of them as one batch
 * (journal_write.c); when the sync has returned, each record goes back to the
 * worker that brought it: one message per worker and batch.
 * Failure modes: a failed write or sync: sticky, everything waiting gets IO. A
 * full disk: everything waiting gets NOSPC, the epoch grows, so that records
 * whose predecessors were given up are refused (LOST) until their group knows. */
#include "store/journal.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/mutant.h"
#include "rt/clock.h"
#include "store/journal_private.h"

enum {
    FORGET_BYTES = 1 << 20,
    AVERAGE_OF = 16, /* batches */
    EAGER_RECORDS_MAX = 10,
    EAGER_SYNC_US_MAX = 500,
};

static void deliver_mail(struct msg *m);

static enum ior_err take_folder(struct disk *d)
{
    enum ior_err err = disk_mkdir(d, JOURNAL_DIR);
    if (err == IOR_OK) err = disk_sync_dir(d, ".");
    /* Names that a killed process made or removed are seen, but not yet sure. */
    if (err == IOR_OK && !MUTANT(no_dir_sync_at_start)) err = disk_sync_dir(d, JOURNAL_DIR);
    return err;
}

enum ior_err journal_open(const struct journal_params *p, struct journal **ret, struct ior_why *why)
{
    enum ior_err err = p->look_only ? IOR_OK : take_folder(p->disk);
    if (err != IOR_OK) return ior_why_set(why, err, "cannot make the folder " JOURNAL_DIR);
    struct journal *j = calloc(1, sizeof *j);
    struct journal_port *ports = calloc(p->worker_count, sizeof *ports);
    if (j == NULL || ports == NULL) {
        free(j);
        free(ports);
        return ior_why_set(why, IOR_E_NOMEM, "out of memory");
    }
    j->magic = JOURNAL_MAGIC;
    j->params = *p;
    j->ports = ports;
    j->epoch = 1;
    pthread_mutex_init(&j->lock, NULL);
    pthread_mutex_init(&j->prepare_lock, NULL);
    for (unsigned i = 0; i < p->worker_count; i++) {
        ports[i].journal = j;
        ports[i].msg.run = deliver_mail;
    }
    *ret = j;
    return IOR_OK;
}

void journal_free(struct journal *j)
{
    if (j == NULL) return;
    IOR_CHECK_MAGIC(j, JOURNAL_MAGIC);
    IOR_ASSERT(ior_queue_empty(&j->waiting) && ior_queue_empty(&j->batch));
    segment_close(&j->active);
    segment_close(&j->spare);
    pthread_mutex_destroy(&j->lock);
    pthread_mutex_destroy(&j->prepare_lock);
    free(j->staging);
    free(j->ports);
    j->magic = 0;
    free(j);
}

void journal_set_wake(struct journal *j, void (*wake)(void *ctx), void *ctx)
{
    j->wake = wake;
    j->wake_ctx = ctx;
}

void journal_set_pause(struct journal *j, void (*pause)(unsigned ms))
{
    j->pause = pause;
}

static void kick(struct journal *j, struct journal_port *port)
{
    port->dirty = false;
    atomic_store(&j->idle, false);
    if (j->wake != NULL) j->wake(j->wake_ctx);
}

void journal_set_idle(struct journal *j)
{
    atomic_store(&j->idle, true);
}

enum ior_err journal_submit(struct journal *j, struct journal_req *req)
{
    IOR_CHECK_MAGIC(j, JOURNAL_MAGIC);
    IOR_ASSERT(req->record->length_bytes >= RECORD_HEAD_BYTES);
    IOR_ASSERT(req->done != NULL);
    struct worker *w = worker_current();
    IOR_ASSERT(w != NULL && w->id < j->params.worker_count);
    req->origin = w;
    req->err = IOR_OK;
    enum ior_err err = IOR_OK;
    pthread_mutex_lock(&j->lock);
    if (j->failed) {
        err = IOR_E_IO;
    } else if (j->closing) {
        err = IOR_E_CLOSING;
    } else if (req->epoch != j->epoch && !MUTANT(no_epoch)) {
        err = IOR_E_LOST;
    } else {
        ior_queue_push(&j->waiting, &req->msg.link);
    }
    pthread_mutex_unlock(&j->lock);
    if (err != IOR_OK) return err;
    struct journal_port *port = &j->ports[w->id];
    port->dirty = true;
    /* With few clients the rest of this turn is better spent beside a sync than before it
     * (docs/decisions.rst, "Small batches start at once"). */
    if (atomic_load_explicit(&j->eager, memory_order_relaxed) && atomic_exchange(&j->idle, false))
        kick(j, port);
    return IOR_OK;
}

void journal_kick(struct journal *j, struct worker *w)
{
    IOR_ASSERT(w == worker_current());
    struct journal_port *port = &j->ports[w->id];
    if (port->dirty) kick(j, port);
}

uint64_t journal_epoch(struct journal *j)
{
    return atomic_load(&j->epoch);
}

bool journal_failed(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    bool failed = j->failed;
    pthread_mutex_unlock(&j->lock);
    return failed;
}

bool journal_full(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    bool full = j->full_since_us != 0;
    pthread_mutex_unlock(&j->lock);
    return full;
}

bool journal_has_waiting(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    bool some = !ior_queue_empty(&j->waiting);
    pthread_mutex_unlock(&j->lock);
    return some;
}

void journal_close(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    j->closing = true;
    pthread_mutex_unlock(&j->lock);
}

uint64_t journal_first_segment(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    uint64_t seq = j->first_seq;
    pthread_mutex_unlock(&j->lock);
    return seq;
}

uint64_t journal_active_segment(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    uint64_t seq = j->active.seq;
    pthread_mutex_unlock(&j->lock);
    return seq;
}

/* On the origin worker: run the completions. */
static void deliver_mail(struct msg *m)
{
    struct journal_port *port = IOR_CONTAINER(m, struct journal_port, msg);
    struct ior_queue done = {0};
    pthread_mutex_lock(&port->journal->lock);
    ior_queue_move(&done, &port->done);
    port->posted = false;
    pthread_mutex_unlock(&port->journal->lock);
    struct ior_link *l;
    while ((l = ior_queue_pop(&done)) != NULL) {
        struct msg *rm = IOR_CONTAINER(l, struct msg, link);
        struct journal_req *req = IOR_CONTAINER(rm, struct journal_req, msg);
        req->done(req);
    }
}

/* Lock held: move every request of q to its worker's port with this result. */
static void sort_to_ports(struct journal *j, struct ior_queue *q, enum ior_err err)
{
    struct ior_link *l;
    while ((l = ior_queue_pop(q)) != NULL) {
        struct msg *m = IOR_CONTAINER(l, struct msg, link);
        struct journal_req *req = IOR_CONTAINER(m, struct journal_req, msg);
        req->err = err;
        ior_queue_push(&j->ports[req->origin->id].done, &m->link);
    }
}

/* Lock held; returns with it released. One message per worker that has none under way. */
static void post_mail(struct journal *j)
{
    bool post[WORKERS_MAX] = {false};
    for (unsigned i = 0; i < j->params.worker_count; i++) {
        struct journal_port *port = &j->ports[i];
        if (ior_queue_empty(&port->done) || port->posted) continue;
        port->posted = true;
        post[i] = true;
    }
    pthread_mutex_unlock(&j->lock);
    for (unsigned i = 0; i < j->params.worker_count; i++) {
        if (post[i]) worker_post(j->params.workers[i], &j->ports[i].msg);
    }
}

bool journal_stick(struct journal *j)
{
    if (j->failed) return false;
    j->failed = true;
    metric_gauge_set(METRIC_journal_failed, 1);
    return true;
}

void journal_fail(struct journal *j, enum ior_err err)
{
    IOR_ASSERT(err != IOR_OK);
    bool sticky = err != IOR_E_NOSPC && err != IOR_E_NOMEM;
    pthread_mutex_lock(&j->lock);
    if (sticky && journal_stick(j)) {
        LOG_ERROR("journal", "failed",
                  "err=%s segment=%llu offset=%llu: no more writes until a restart",
                  ior_err_name(err), (unsigned long long)j->active.seq,
                  (unsigned long long)j->position_bytes);
    }
    if (sticky) err = IOR_E_IO; /* whatever it was, this is what it means for a record */
    j->epoch++;
    sort_to_ports(j, &j->batch, err);
    sort_to_ports(j, &j->waiting, err);
    post_mail(j);
}

static void answer_batch(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    sort_to_ports(j, &j->batch, IOR_OK);
    post_mail(j);
}

/* What is synced is read at the next start and not before: its pages serve others. */
static void forget_written(struct journal *j)
{
    if (j->position_bytes < j->forgotten_bytes) j->forgotten_bytes = 0; /* the next segment */
    uint64_t n = j->position_bytes - j->forgotten_bytes;
    if (n < FORGET_BYTES) return;
    disk_forget(j->active.file, j->forgotten_bytes, n);
    j->forgotten_bytes = j->position_bytes;
}

static void judge_eagerness(struct journal *j, uint64_t us)
{
    j->average_records += j->batch.count - j->average_records / AVERAGE_OF;
    j->average_us += us - j->average_us / AVERAGE_OF;
    bool eager = j->average_records <= EAGER_RECORDS_MAX * AVERAGE_OF &&
                 j->average_us <= EAGER_SYNC_US_MAX * AVERAGE_OF;
    atomic_store_explicit(&j->eager, eager, memory_order_relaxed);
}

void journal_finish(struct journal *j)
{
    IOR_CHECK_MAGIC(j, JOURNAL_MAGIC);
    if (MUTANT(ack_before_sync)) answer_batch(j);
    enum ior_err err = disk_sync(j->active.file);
    if (MUTANT(retry_sync) && err != IOR_OK) err = disk_sync(j->active.file);
    if (err != IOR_OK) {
        journal_fail(j, IOR_E_IO);
        return;
    }
    uint64_t now_us = clock_mono_us();
    metric_add(METRIC_journal_sync_us, now_us - j->batch_started_us);
    metric_observe_us(HISTOGRAM_journal_sync, now_us - j->batch_started_us);
    metric_add(METRIC_journal_bytes, batch_bytes(j->batch_length_bytes));
    j->position_bytes += batch_bytes(j->batch_length_bytes);
    atomic_store_explicit(&j->fill_bytes, j->position_bytes, memory_order_relaxed);
    forget_written(j);
    if (!ior_queue_empty(&j->batch)) judge_eagerness(j, now_us - j->batch_started_us);
    j->next_number++;
    j->last_write_us = now_us;
    j->mark_due = !ior_queue_empty(&j->batch);
    metric_add(j->mark_due ? METRIC_journal_batches : METRIC_journal_marks, 1);
    answer_batch(j);
}

uint64_t journal_mark_due_us(struct journal *j)
{
    if (!j->mark_due) return UINT64_MAX;
    pthread_mutex_lock(&j->lock);
    bool now = j->closing;
    bool never = j->failed;
    pthread_mutex_unlock(&j->lock);
    if (never) return UINT64_MAX;
    if (now) return 0;
    uint64_t due_us = j->last_write_us + JOURNAL_MARK_IDLE_MS * 1000u;
    uint64_t now_us = clock_mono_us();
    return now_us >= due_us ? 0 : due_us - now_us;
}

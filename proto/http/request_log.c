/* proto/http/request_log.c - see request_log.h.
 * The descriptor of the file has one number for the life of the process: another file is put in its
 * place (dup2), so the thread that writes never meets a number that was closed. */
#include "proto/http/request_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "rt/job.h"

enum { LOG_PIECE_BYTES = 4096 };

struct piece {
    struct job job; /* first */
    struct request_log *log;
    struct piece *next; /* in the list of free ones */
    size_t size_bytes;
    uint64_t lines;
    uint8_t data[REQUEST_LOG_PIECE_BYTES];
};

struct gatherer { /* of one worker */
    _Alignas(64) struct piece *current;
    struct piece *free;
    unsigned pieces; /* all of them, those that are being written included */
};

struct request_log {
    struct job_queue *jobs;
    int own_fd;           /* -1: no file was opened yet */
    _Atomic bool to_file; /* else to the log */
    _Atomic bool failing;
    bool stopped;
    unsigned worker_count;
    struct gatherer gatherers[];
};

/* ---- writing, on the thread ---- */

static bool write_all(int fd, const uint8_t *data, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, data, n);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return false;
        data += done;
        n -= (size_t)done;
    }
    return true;
}

/* As many whole lines at a time as stay whole in a pipe, or one that is longer. */
static bool write_to_log(const uint8_t *data, size_t n)
{
    bool ok = true;
    while (n > 0) {
        size_t take = n < LOG_PIECE_BYTES ? n : LOG_PIECE_BYTES;
        while (take > 0 && data[take - 1] != '\n') take--;
        if (take == 0) take = (size_t)((const uint8_t *)memchr(data, '\n', n) - data) + 1;
        ok = log_raw(data, take) && ok;
        data += take;
        n -= take;
    }
    return ok;
}

static void tell(struct request_log *log, bool failed)
{
    if (atomic_exchange(&log->failing, failed) == failed) return;
    if (failed) {
        LOG_WARNING("http", "request log cannot be written",
                    "reason=\"%s\": requests are left out and counted", strerror(errno));
    } else {
        LOG_INFO("http", "request log is written again", "%s", "");
    }
}

static void write_piece(struct job *j)
{
    struct piece *p = IOR_CONTAINER(j, struct piece, job);
    struct request_log *log = p->log;
    bool ok = atomic_load(&log->to_file) ? write_all(log->own_fd, p->data, p->size_bytes)
                                         : write_to_log(p->data, p->size_bytes);
    if (!ok) metric_add(METRIC_request_log_dropped, p->lines);
    tell(log, !ok);
}

/* ---- gathering, on the workers ---- */

static struct gatherer *mine(struct request_log *log)
{
    IOR_ASSERT(worker_current() != NULL && worker_current()->id < log->worker_count);
    return &log->gatherers[worker_current()->id];
}

/* One is kept for the next lines. */
static void take_back(struct job *j)
{
    struct piece *p = IOR_CONTAINER(j, struct piece, job);
    struct gatherer *g = mine(p->log);
    if (g->free != NULL) {
        g->pieces--;
        free(p);
        return;
    }
    p->next = NULL;
    g->free = p;
}

static struct piece *take_piece(struct request_log *log, struct gatherer *g)
{
    struct piece *p = g->free;
    if (p != NULL) {
        g->free = p->next;
    } else {
        if (g->pieces == REQUEST_LOG_PIECES_MAX) return NULL;
        p = malloc(sizeof *p);
        if (p == NULL) return NULL;
        g->pieces++;
        p->job.work = write_piece;
        p->job.done = take_back;
        p->log = log;
    }
    p->size_bytes = 0;
    p->lines = 0;
    return p;
}

static void send_piece(struct request_log *log, struct gatherer *g)
{
    struct piece *p = g->current;
    g->current = NULL;
    if (job_submit(log->jobs, &p->job) == IOR_OK) return;
    metric_add(METRIC_request_log_dropped, p->lines);
    g->pieces--;
    free(p);
}

/* Into the piece in use. False: it has no room for it. */
static bool put(struct piece *p, const struct request_line *l, bool json)
{
    struct ior_buf out;
    ior_buf_init_in(&out, p->data + p->size_bytes, sizeof p->data - p->size_bytes);
    if (json) {
        request_line_json(&out, l);
    } else {
        request_line_text(&out, l);
    }
    bool fits = out.borrowed && !ior_buf_failed(&out);
    if (fits) {
        p->size_bytes += out.size_bytes;
        p->lines++;
    }
    ior_buf_done(&out);
    return fits;
}

void request_log_add(struct request_log *log, const struct request_line *l, bool json)
{
    struct gatherer *g = mine(log);
    for (int tries = 0; tries < 2; tries++) {
        if (g->current == NULL) g->current = take_piece(log, g);
        if (g->current == NULL) break;
        if (put(g->current, l, json)) return;
        if (g->current->size_bytes == 0) break; /* not even an empty one: no memory */
        send_piece(log, g);
    }
    metric_add(METRIC_request_log_dropped, 1);
}

void request_log_tick(struct request_log *log)
{
    struct gatherer *g = mine(log);
    if (g->current != NULL && g->current->size_bytes > 0) send_piece(log, g);
}

/* ---- begin and end ---- */

enum ior_err request_log_new(unsigned worker_count, struct request_log **ret)
{
    size_t bytes = sizeof(struct request_log) + worker_count * sizeof(struct gatherer);
    struct request_log *log = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (log == NULL) return IOR_E_NOMEM;
    memset(log, 0, bytes);
    log->own_fd = -1;
    log->worker_count = worker_count;
    enum ior_err err = job_queue_new("request log", 1,
                                     (size_t)worker_count * REQUEST_LOG_PIECES_MAX, 0, &log->jobs);
    if (err != IOR_OK) {
        free(log);
        return err;
    }
    *ret = log;
    return IOR_OK;
}

enum ior_err request_log_open(struct request_log *log, const struct config *c, struct ior_why *why)
{
    const char *path = c->request_log_file;
    if (path[0] == 0 || !request_log_wants(c)) {
        atomic_store(&log->to_file, false); /* an opened one stays open: who knows who writes */
        return IOR_OK;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd >= 0 && log->own_fd >= 0) {
        int rc = dup3(fd, log->own_fd, O_CLOEXEC);
        close(fd);
        fd = rc;
    }
    if (fd < 0)
        return ior_why_set(why, ior_err_from_errno(errno),
                           "cannot open the request log %.300s (key request_log.file): %s", path,
                           strerror(errno));
    if (log->own_fd < 0) log->own_fd = fd;
    atomic_store(&log->to_file, true);
    return IOR_OK;
}

void request_log_stop(struct request_log *log)
{
    job_queue_stop(log->jobs);
    log->stopped = true;
}

void request_log_free(struct request_log *log)
{
    if (log == NULL) return;
    if (!log->stopped) job_queue_stop(log->jobs); /* of a start that failed: nothing waits */
    job_queue_free(log->jobs);
    for (unsigned i = 0; i < log->worker_count; i++) {
        free(log->gatherers[i].current);
        free(log->gatherers[i].free);
    }
    if (log->own_fd >= 0) close(log->own_fd);
    free(log);
}

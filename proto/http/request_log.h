/* proto/http/request_log.h - a line for each request, written by a thread of its own, so that no
 * worker waits for a disk (keys request_log and request_log.file).
 * Happy path: a worker writes lines into a piece of memory; when it is full, and at each tick, the
 * piece goes to the thread, which writes it and gives it back.
 * Failure modes: all pieces of a worker are on their way, or the file cannot be written: the
 * requests are left out, counted in request_log_dropped, and the log says so once.
 * Lines of one worker are in order; those of several may be some 100 ms apart. */
#pragma once

#include "base/config.h"
#include "proto/http/request_line.h"

struct request_log;

IOR_MUST_CHECK enum ior_err request_log_new(unsigned worker_count, struct request_log **ret);
/* Where lines go from now on: opens the file anew, which also follows one that was renamed.
 * Thread: one at a time, not a worker. INVAL, ACCESS... with *why: it goes on as before. */
IOR_MUST_CHECK enum ior_err request_log_open(struct request_log *log, const struct config *c,
                                             struct ior_why *why);
static inline bool request_log_wants(const struct config *c)
{
    return c->request_log[0] != 'o'; /* off */
}
/* On a worker. json: else text. */
void request_log_add(struct request_log *log, const struct request_line *l, bool json);
/* On each worker every 100 ms: what was gathered goes out. */
void request_log_tick(struct request_log *log);
/* After a last tick on each worker, from another thread: everything is written. After that each
 * worker has to take its mail once more. */
void request_log_stop(struct request_log *log);
void request_log_free(struct request_log *log); /* NULL is fine */

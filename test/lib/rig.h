/* test/lib/rig.h - a node that a test drives by hand, in one thread: it says when a
 * worker takes its turn and when the journal writes, and what time it is.
 * Life: rig_init, rig_open, ..., rig_close (a clean stop; open and close may be
 * repeated), rig_done. The disk is a simulated one (rt/disk_sim.h) unless
 * rig_init_on() gave a folder. Two workers; the test is on worker 0 unless it says rig_enter().
 * Nothing happens between the calls: a submitted append lies in the journal's queue
 * until rig_commit(). What cannot be (no memory, an open that fails) is an assertion. */
#pragma once

#include "core/iorio.h"
#include "rt/clock.h"
#include "rt/disk_sim.h"

enum { RIG_WORKERS = 2, RIG_WALL_MS = 1700000000 };

struct rig {
    struct disk *disk;
    const char *dir; /* of rig_init_on(); else NULL */
    struct job_queue *disk_jobs;
    struct worker workers[RIG_WORKERS];
    struct worker *worker_ptrs[RIG_WORKERS];
    struct node_params params; /* may be changed while the node is closed */
    struct node *node;
    struct journal_replay_report report; /* of the last open */
    struct ior_why why;
    struct clock_source source;
    uint64_t wall_ms; /* the clocks: a test may set them at any time */
    uint64_t mono_us;
    unsigned calls; /* callbacks of rig_post()s so far: the order of them */
};

void rig_init(struct rig *r);
/* With a disk of the caller's, which rig_done() frees. */
void rig_init_with(struct rig *r, struct disk *take);
void rig_init_on(struct rig *r, const char *dir);
enum ior_err rig_try_open(struct rig *r);
void rig_open(struct rig *r);
void rig_enter(struct rig *r, unsigned worker);
/* One turn of each worker. True: there is more to do. */
bool rig_turn(struct rig *r);
/* Turns until nobody has anything to do; the journal writes nothing. */
void rig_turns(struct rig *r);
/* The journal writes and syncs one batch, if one waits (or a MARK is due). False: nothing to write.
 */
bool rig_commit(struct rig *r);
/* A whole checkpoint: its error. */
enum ior_err rig_checkpoint(struct rig *r);
/* Turns and batches until nothing is left to do. */
void rig_settle(struct rig *r);
/* A clean stop, with a MARK. */
void rig_close(struct rig *r);
/* Stop without the MARK, as after a crash. Everything taken has been answered. */
void rig_drop(struct rig *r);
void rig_done(struct rig *r);

/* ---- appends ---- */

/* An append and what became of it. */
struct rig_post {
    struct append *a;
    struct rig *rig;
    enum ior_err submitted; /* what iorio_append() said */
    unsigned accepted;      /* place in the order of callbacks; 0: not yet */
    unsigned done;          /* the same, of its cb */
};

/* Prepare one event with JSON text; then a->expect... may be set; then submit. */
void rig_post_new(struct rig *r, struct rig_post *p, const char *bucket, const char *stream,
                  const char *json);
void rig_post_submit(struct rig_post *p);
void rig_post_free(struct rig_post *p);
/* Both at once. */
void rig_post(struct rig *r, struct rig_post *p, const char *bucket, const char *stream,
              const char *json);
/* Append and settle; the id. */
uint64_t rig_put(struct rig *r, const char *bucket, const char *stream, const char *json);

/* ---- reads and lists ---- */

/* One visit. The caller sets how, from, to, limit of r; rig_read() fills the rest. */
struct read *rig_read_new(const char *bucket, const char *stream);
void rig_read(struct rig *r, struct read *rd);
void rig_list(struct rig *r, struct list *l);
/* Everything that the node holds as text, one line an event, sorted by bucket and stream:
 * `bucket/stream id time j|b payload`, and `bucket/stream low..high`. */
void rig_dump(struct rig *r, struct ior_buf *out);

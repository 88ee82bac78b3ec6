/* src/core/watch.h - "tell me when a stream has an event with id >= n".
 * A watch hangs in the vnode by the name of its stream, not at a struct stream: the stream
 * may not be there yet, be deleted and come back, or be out of memory.
 * Contract: as in core/iorio.h; in particular the callback runs exactly once, later, on the
 * worker that submitted. After it the watch may be submitted again, or freed.
 * Thread: a watch belongs to the worker that submits it; the table to the vnode's strand. */
#pragma once

#include "base/err.h"
#include "base/map.h"
#include "base/slice.h"
#include "rt/worker.h"

struct node;
struct vnode;
struct watch;
typedef void (*watch_cb)(struct watch *w);

enum watch_state {
    WATCH_ANSWERED, /* or never submitted */
    WATCH_SUBMITTED,
    WATCH_WAITING,
    WATCH_CANCELLED, /* before it came to the strand */
};

struct watch {
    struct msg msg;         /* private: there, and back with the answer */
    struct msg cancel_msg;  /* private: the same for a cancel */
    struct node *node;      /* private */
    struct vnode *vnode;    /* private */
    struct worker *origin;  /* private */
    watch_cb cb;            /* private */
    uint64_t hash;          /* private */
    struct watch *next;     /* private: others of the same stream; inside the strand */
    struct watch *prev;     /* private; NULL: the one that is in the table */
    enum watch_state state; /* private; inside the strand */
    bool answer_here;       /* private; on the origin */
    bool cancel_pending;    /* private; on the origin */

    uint64_t from;    /* in: the id that is waited for, or a later one (0 is as 1) */
    void *user_ptr;   /* the caller's */
    uint64_t user[2]; /* the caller's */

    /* out: OK: the stream has, or had for a moment, an event with id >= from;
     * LOST: cancelled before that; NOMEM, BUSY, IO, CORRUPT: the stream cannot be looked up. */
    enum ior_err err;
    uint64_t high; /* out, after OK: the last id of the stream */

    uint8_t bucket_bytes;
    uint16_t stream_bytes;
    uint8_t names[];
};

/* The watches of one vnode. */
struct watch_table {
    struct ior_map by_name; /* the first of each stream */
    size_t count;
};

void watch_table_init(struct watch_table *t);
/* Watches that are still there are their callers' again, and never heard of. */
void watch_table_done(struct watch_table *t);
/* In the strand: an event of this stream was committed, the last one is high. An append
 * calls it only when the table is not empty. */
void watch_table_fire(struct watch_table *t, struct ior_slice bucket, struct ior_slice stream,
                      uint64_t hash, uint64_t high);

/* The names are valid and copied. NOMEM. */
IOR_MUST_CHECK enum ior_err watch_new(struct ior_slice bucket, struct ior_slice stream,
                                      struct watch **ret);
void watch_free(struct watch *w); /* not while it is submitted; NULL is fine */
/* Fires at once when the event is there already. BUSY: WATCHES_MAX in the node, or the
 * strand has too much waiting. */
IOR_MUST_CHECK enum ior_err iorio_watch(struct node *n, struct watch *w, watch_cb cb);
/* The callback comes soon, with LOST, or with what it would have said anyway. On the worker
 * that submitted it, once, before the callback has run. */
void iorio_watch_cancel(struct watch *w);

/* src/core/take.h - what a checkpoint takes from a vnode, and gives back when it is saved.
 * The streams stay where they are, their events too: the checkpoint looks at them from its own
 * thread until they are given back (stream_take()).
 * Thread: the functions run inside the vnode's strand (at start: the only thread); in
 * between the checkpoint may read `items` and what they point to, and sort them. */
#pragma once

#include "core/vnode.h"
#include "store/catalog.h"

enum { TAKE_VISIT_STREAMS = 512, TAKE_VISIT_KEYS = 4096 };

struct taken {
    struct stream *stream; /* its names do not change */
    struct stream_row row; /* as of now */
    const struct tail_entry *entries;
    size_t count;
    uint64_t first_seqnum; /* of entries[0] */
    struct key_row *keys;  /* owned, the keys' bytes behind them */
    size_t key_count;
};

struct take {
    struct vnode *vn;
    struct taken *items;
    size_t count;
    size_t room;
    uint64_t applied_index; /* everything up to it is in what was taken */
    uint64_t term;
    enum ior_err err;
};

/* Everything that was proposed before it has been applied. */
void take_begin(struct take *t, struct vnode *vn);
/* A bounded number of streams. True: there are more. NOMEM in t->err: stop and give back. */
bool take_some(struct take *t);
/* In the order of their uids, which is that of the catalog's keys: its pages fill one after the
 * other. The checkpoint's thread, when all was taken. */
void take_sort(struct take *t);
/* A bounded number goes back. True: there are more. saved: it is all in a commit. */
bool take_give_back(struct take *t, bool saved);

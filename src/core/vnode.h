/* src/core/vnode.h - the actor that owns the streams of one partition.
 * Everything here but vnode_replay runs inside its strand. */
#pragma once

#include "cluster/group.h"
#include "core/stream.h"
#include "core/watch.h"

struct node;
struct vnode;

/* A change of a vnode on its way through the group: an append, a trim. */
struct vnode_op {
    struct proposal proposal; /* first */
    /* Committed: cannot fail. Not called for a barrier. */
    void (*apply)(struct vnode *vn, struct vnode_op *op);
    void (*done)(struct vnode *vn, struct vnode_op *op, enum ior_err err);
};

struct vnode {
    uint32_t magic;
    uint32_t partition;
    struct node *node;
    struct strand strand;
    struct group group;
    struct stream_table streams;
    struct watch_table watches;
    struct msg tick_msg;
    _Atomic bool tick_under_way;
};

void vnode_init(struct vnode *vn, struct node *n, uint32_t partition);
void vnode_done(struct vnode *vn);
/* What goes by the clock. Any worker; does nothing when the last one is still waiting. */
void vnode_tick(struct vnode *vn);
/* A committed record from the journal, at start. CORRUPT, VERSION, NOMEM. */
IOR_MUST_CHECK enum ior_err vnode_replay(struct vnode *vn, const struct record_head *head,
                                         struct ior_slice items, struct ior_why *why);

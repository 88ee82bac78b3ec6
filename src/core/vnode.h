/* src/core/vnode.h - the actor that owns the streams of one partition.
 * Everything here but vnode_replay runs inside its strand. */
#pragma once

#include "cluster/group.h"
#include "core/stream.h"
#include "core/watch.h"
#include "store/kv.h"

struct load;
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
    bool has_rows;         /* the catalog knows streams of this partition: look there too */
    struct ior_map loads;  /* streams that are being looked up (load.c) */
    struct load *answered; /* the one whose messages run now */
    size_t parked;         /* messages that wait for loads */
    struct watch_table watches;
    struct ior_map patches; /* of each stream the patch whose turn it is (patch.c) */
    size_t patches_waiting; /* for their turn */
    uint64_t losses;        /* how often reservations were dropped: their ids are given again */
    struct msg tick_msg;
    _Atomic bool tick_under_way;
    /* Something was proposed that no checkpoint has seen: set before it reaches the journal. */
    _Atomic bool changed;
};

void vnode_init(struct vnode *vn, struct node *n, uint32_t partition);
void vnode_done(struct vnode *vn);
/* What goes by the clock. Any worker; does nothing when the last one is still waiting. */
void vnode_tick(struct vnode *vn);
/* How far a checkpoint has saved it, before anything is replayed. CORRUPT, IO with *why. */
IOR_MUST_CHECK enum ior_err vnode_restore(struct vnode *vn, struct kv_reader *r,
                                          struct ior_why *why);
/* A committed record from the journal, at start. CORRUPT, VERSION, NOMEM. */
IOR_MUST_CHECK enum ior_err vnode_replay(struct vnode *vn, const struct record_head *head,
                                         struct ior_slice items, struct ior_why *why);
/* Propose op; a checkpoint will come for it. As group_propose(). */
IOR_MUST_CHECK enum ior_err vnode_propose(struct vnode *vn, struct vnode_op *op);

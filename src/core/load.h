/* src/core/load.h - finding a stream that may not be in memory. A vnode keeps the streams that
 * were used lately; the catalog has the others. A look-up there may wait for the disk, so a
 * thread of the disk pool does it, and the messages that asked wait meanwhile, in their order.
 * Thread: the vnode's strand. */
#pragma once

#include "core/vnode.h"

struct found {
    bool parked;           /* m runs again later; nothing else is said */
    enum ior_err err;      /* why it cannot be said: BUSY, NOMEM, CORRUPT, IO, CLOSING */
    struct stream *stream; /* NULL: it was never made */
};
/* m is the message that runs now: vnode_find() may keep it and run it again from its start. */
struct found vnode_find(struct vnode *vn, struct msg *m, struct ior_slice bucket,
                        struct ior_slice name, uint64_t hash);
/* At start, one thread: the disk is asked at once. NOTFOUND, NOMEM, CORRUPT... with *why. */
IOR_MUST_CHECK enum ior_err vnode_find_now(struct vnode *vn, uint64_t uid, struct stream **ret,
                                           struct ior_why *why);
void vnode_loads_init(struct vnode *vn);
void vnode_loads_done(struct vnode *vn); /* nothing waits */

/* src/core/append_part.h - private to core: what one record appends to one stream: its events, what
 * retention takes away for them, and the beginning of the stream if it is new. An append is one
 * part; a patch has a second one, in a stream of the same vnode: both go into one record.
 * Happy path: judge, prepare, place, [propose], reserve, [commit], apply. What comes to nothing
 * before it is proposed is undone.
 * Thread: the vnode's strand. */
#pragma once

#include "core/quota.h"
#include "core/vnode.h"

struct append_part {
    struct ior_slice bucket, name; /* in: borrowed */
    uint64_t hash;                 /* in: of the names */
    uint32_t count;                /* in: events */
    uint64_t payload_bytes;        /* in: of them */
    struct ior_blob *items;        /* in: they; the record's */
    struct ior_blob **front;       /* in: where a CREATE or LOW goes; the record's */
    struct stream *stream;         /* in: NULL: it is new */
    bool is_new;
    uint64_t low;           /* what it leaves of the stream */
    uint64_t front_low;     /* the same of what was there before it */
    uint64_t dropped_bytes; /* payload of what goes of that */
    uint64_t own_bytes;     /* payload of its own events that stay */
    unsigned evict_loads;
    struct quota *quota; /* a reference, while it has `taken` of its bucket's */
    struct quota_sum taken;
    uint64_t first_id, last_id; /* out: of place */
};

/* What retention takes. False: it waits for sizes from the disk, and m runs again from its
 * start. A new stream is judged by append_part_prepare(). */
bool append_part_judge(struct vnode *vn, struct append_part *p, struct msg *m);
/* Makes the stream if it is new, takes what it needs of the bucket's quota, and makes all room
 * that applying needs. Failed: append_part_undo(). NOMEM, QUOTASTREAMS, QUOTABYTES. */
IOR_MUST_CHECK enum ior_err append_part_prepare(struct vnode *vn, struct append_part *p);
/* Its ids, into the items. Cannot fail. */
void append_part_place(struct append_part *p, uint64_t time_ms);
/* The record is on its way. */
void append_part_reserve(struct append_part *p, uint64_t time_ms);
void append_part_undo(struct vnode *vn, struct append_part *p);
/* It is committed or came to nothing: what it took of the quota is used or given back. */
void append_part_settle(struct append_part *p, bool committed);
/* Committed: readers see it. */
void append_part_apply(struct vnode *vn, struct append_part *p, uint64_t time_ms, uint64_t index);

/* src/core/iorio.h - the product as function calls: append, read, list (and patch: core/patch.h;
 * watch: core/watch.h).
 * Every protocol front end calls these and nothing below.
 * Contract of each iorio_x(request, cb): IOR_OK means that cb runs exactly once,
 * later, on the calling worker, never inside the call; any other value means
 * that cb never runs and the caller still owns the request.
 * Only committed state is ever shown: in reads, lists and conflict answers. */
#pragma once

#include "base/blob.h"
#include "base/buf.h"
#include "cluster/group.h"
#include "core/access_change.h"
#include "core/evict.h"
#include "core/node.h"
#include "core/append_part.h"
#include "core/quota.h"
#include "core/retention_change.h"
#include "rt/job.h"

/* A bucket: 1..255 bytes; a stream: 1..1,024 bytes; UTF-8 without control characters,
 * not . or .. */
bool iorio_bucket_name_ok(struct ior_slice name);
bool iorio_stream_name_ok(struct ior_slice name);

/* ---- append ---- */

struct event_in {
    struct ior_slice payload;
    bool json;
};
enum append_expect { EXPECT_ANY, EXPECT_LAST_ID, EXPECT_NONE_KEPT };
enum append_durability { DURABILITY_DISK, DURABILITY_MEMORY };

struct append;
typedef void (*append_cb)(struct append *a);

struct append {
    struct msg msg;          /* private */
    struct msg accepted_msg; /* private */
    struct vnode_op op;      /* private */
    struct record record;    /* private */
    struct node *node;       /* private */
    struct vnode *vnode;     /* private */
    struct append_part part; /* private; inside the strand */
    struct worker *origin;   /* private */
    append_cb cb;            /* private */
    uint64_t counted_bytes;  /* private */
    bool accept_pending;     /* private */
    bool done_waiting;       /* private */
    struct ior_slice key;    /* private; in the first item; empty: none */
    uint64_t body_hash;      /* private; with a key */
    struct patch *patch;     /* owned; NULL: it is none (core/patch.h) */
    uint64_t start_us;       /* private */

    uint32_t count;                    /* events */
    enum append_expect expect;         /* in */
    uint64_t expect_last_id;           /* in, for EXPECT_LAST_ID */
    enum append_durability durability; /* in */
    append_cb accepted;                /* in, for MEMORY: taken, not yet on disk. Before cb. */
    void *user_ptr;                    /* the caller's */
    uint64_t user[2];                  /* the caller's */

    enum ior_err err;             /* out: OK, CONFLICT, KEYREUSED, or why not */
    uint64_t first_id;            /* out */
    uint64_t last_id;             /* out; after CONFLICT: the last id ever given */
    uint64_t time_ms;             /* out */
    bool repeated;                /* out: the answer of an earlier append with this key */
    uint64_t dedupe_shortened_ms; /* out: keys reach back less than their window: this far */

    uint8_t bucket_bytes;
    uint16_t stream_bytes;
    uint8_t names[]; /* bucket, then stream */
};

/* A new append with a copy of everything: all events or none. The names are valid,
 * count is 1..BATCH_LINES_MAX; the idempotency key has up to IDEMPOTENCY_KEY_BYTES_MAX
 * bytes, none: no key. With a key that is remembered nothing is appended; the answer is
 * that of the first time, once it is on disk. NOMEM, TOOLARGE. Free it after cb (or if not
 * submitted). */
IOR_MUST_CHECK enum ior_err append_new(struct ior_slice bucket, struct ior_slice stream,
                                       const struct event_in *events, size_t count,
                                       struct ior_slice key, struct append **ret);
void append_free(struct append *a);
/* Errors at once: BUSY, INFLIGHT, TAILFULL, NOSPC, IO. */
IOR_MUST_CHECK enum ior_err iorio_append(struct node *n, struct append *a, append_cb cb);

/* ---- trim: truncate and delete ---- */

struct trim;
typedef void (*trim_cb)(struct trim *t);

struct trim {
    struct msg msg;        /* private */
    struct vnode_op op;    /* private */
    struct record record;  /* private */
    struct node *node;     /* private */
    struct vnode *vnode;   /* private */
    struct stream *stream; /* private; inside the strand */
    struct worker *origin; /* private */
    trim_cb cb;            /* private */
    uint64_t hash;         /* private */
    struct job job;        /* private, like what follows: payload bytes of ids on the disk */
    uint64_t sum_uid, sum_from, sum_to, sum_bytes;
    struct evict_search search;
    struct retention retention;
    uint64_t dropped_bytes;
    unsigned sums;

    bool by_policy;   /* in: what the stream's retention asks for now, instead of `to` */
    bool all;         /* in: every event goes and the name leaves the lists; ids go on */
    uint64_t to;      /* in, unless all: events up to this id go */
    void *user_ptr;   /* the caller's */
    uint64_t user[1]; /* the caller's */

    enum ior_err err; /* out: OK (also when there was nothing to do), or why not */
    bool more;        /* out, by_policy: there is more to evict: call again */
    uint64_t low;     /* out: first id kept, high + 1: none */
    uint64_t high;    /* out */

    uint8_t bucket_bytes;
    uint16_t stream_bytes;
    uint8_t names[];
};

IOR_MUST_CHECK enum ior_err trim_new(struct ior_slice bucket, struct ior_slice stream,
                                     struct trim **ret);
void trim_free(struct trim *t);
/* Exact for readers from the moment it is committed. BUSY, INFLIGHT. */
IOR_MUST_CHECK enum ior_err iorio_trim(struct node *n, struct trim *t, trim_cb cb);

/* ---- read ---- */

struct event_out {
    struct ior_blob *blob; /* one reference, the read's */
    struct ior_slice payload;
    uint64_t id;
    uint64_t time_ms;
    bool json;
};

struct read;
typedef void (*read_cb)(struct read *r);

enum read_from { READ_LAST, READ_FROM_ID, READ_FROM_END };

struct read {
    struct msg msg;                         /* private */
    struct job job;                         /* private */
    struct node *node;                      /* private */
    struct vnode *vnode;                    /* private */
    struct worker *origin;                  /* private */
    read_cb cb;                             /* private */
    uint64_t hash;                          /* private */
    uint64_t disk_uid, disk_from, disk_low; /* private: what the disk is asked for */
    size_t disk_max;                        /* private */
    enum ior_err disk_err;                  /* private */
    unsigned evictions;                     /* private */

    enum read_from how; /* in: the last `limit`; from id `from`; from High - `from` + 1 */
    uint64_t from;      /* in */
    uint64_t to;        /* in: no id above; UINT64_MAX: no bound */
    uint64_t limit;     /* in: at most so many events; may be more than one visit gives */
    bool cache_only;    /* in: from the first id >= from on that is in memory */
    bool whole;         /* in: GONE when ids from `from` on were removed; read_release() sets it */
    bool as_it_is;      /* in: also what retention is still to take; for tests */
    void *user_ptr;     /* the caller's */
    uint64_t user[2];   /* the caller's */

    enum ior_err err;         /* out: OK, BUSY, NOMEM, CLOSING, IO, CORRUPT (logged), GONE */
    bool exists;              /* out: something was ever appended */
    uint64_t low;             /* out: API.md Iorio-Low */
    uint64_t high;            /* out */
    uint64_t next;            /* out: where to go on; 0: that was all */
    uint64_t left;            /* out: how many of limit are left */
    size_t count;             /* out: events in this visit */
    size_t room;              /* private */
    struct event_out *events; /* out; released by read_release */
    struct event_out one;     /* private: room for the usual single event */

    uint8_t bucket_bytes;
    uint16_t stream_bytes;
    uint8_t names[];
};

IOR_MUST_CHECK enum ior_err read_new(struct ior_slice bucket, struct ior_slice stream,
                                     struct read **ret);
/* One visit: at most READ_VISIT_ENTRIES events and about READ_VISIT_BYTES. */
IOR_MUST_CHECK enum ior_err iorio_read(struct node *n, struct read *r, read_cb cb);
/* Gives the events back and prepares the next visit (from `next`, `left` events). What was
 * removed meanwhile would be a hole: that visit ends with GONE. */
void read_release(struct read *r);
void read_free(struct read *r);

/* ---- list ---- */

struct list_name {
    size_t offset_bytes; /* in names */
    uint32_t size_bytes;
    bool deleted; /* private: on the way it hides what the catalog says */
    uint64_t low, high, bytes, events;
};

struct list;
typedef void (*list_cb)(struct list *l);

struct list {
    struct msg msg;           /* private */
    struct node *node;        /* private */
    struct worker *origin;    /* private */
    list_cb cb;               /* private */
    unsigned vnode;           /* private: the one being visited */
    struct ior_buf at;        /* private: last name seen in it */
    size_t taken;             /* private: from it */
    struct job job;           /* private */
    struct list_name *hidden; /* private: deleted streams of buckets, as bucket and stream */
    size_t hidden_count, hidden_room;

    bool buckets;          /* in: list buckets; else the streams of `bucket` */
    struct ior_buf bucket; /* in */
    struct ior_buf after;  /* in: only names behind this one */
    struct ior_buf prefix; /* in: only names that begin so */
    bool exact;            /* in: only the name that is the prefix */
    size_t limit;          /* in: 1..LIST_NAMES_MAX */
    void *user_ptr;        /* the caller's */
    uint64_t user[2];      /* the caller's */

    enum ior_err err;       /* out: OK, NOMEM, BUSY, CLOSING, IO, CORRUPT (logged) */
    bool more;              /* out: there are further names */
    struct ior_buf names;   /* out: bytes of all names */
    struct list_name *rows; /* out: sorted, without doubles */
    size_t count;           /* out */
    size_t room;            /* private */
};

/* list_merge.c, private: what is in memory and what the catalog has, into rows. Disk pool. */
void list_merge(struct list *l);
/* list.c, private. False: no memory (l->err). */
bool list_add(struct list *l, struct list_name **rows, size_t *count, size_t *room,
              const struct list_name *what, struct ior_slice name);
IOR_MUST_CHECK enum ior_err list_new(struct list **ret);
IOR_MUST_CHECK enum ior_err iorio_list(struct node *n, struct list *l, list_cb cb);
static inline struct ior_slice list_name_at(const struct list *l, size_t i)
{
    return ior_slice(l->names.data + l->rows[i].offset_bytes, l->rows[i].size_bytes);
}
void list_free(struct list *l);

/* src/core/stream.h - the streams of one vnode that are in memory: names, numbers and the
 * tail (the committed events that no checkpoint has saved yet), and of those that are saved
 * the last ones as history. Owned by the vnode's strand.
 * A stream is in memory while something of it is not saved or it was used lately; else
 * the catalog has it (core/load.h brings it back).
 * Which ids are where:  low <= ids kept <= high <= reserved
 *   saved: up to it, in the catalog or in chunks     first: from it on, in memory
 * so first <= saved + 1, or what lies between them is trimmed (first <= low); what is kept
 * below first is only on the disk. While the checkpoint has the stream (taken), entries stay
 * where they are, even those below low. */
#pragma once

#include "base/blob.h"
#include "base/map.h"
#include "base/ring.h"
#include "core/dedupe.h"
#include "store/record.h"
#include "store/retention.h"

/* One committed event: where its item is. Its id is stream.base + position. */
struct tail_entry {
    struct ior_blob *blob; /* one reference */
    uint32_t offset_bytes; /* of the item head in the blob */
    uint32_t payload_bytes;
    uint64_t time_ms;
    uint64_t index; /* of the record, in the group's log */
};

struct bucket;
struct quota;
struct head;
struct head_load;

struct stream {
    struct bucket *bucket;
    uint64_t hash; /* of the names */
    uint64_t uid;
    uint64_t low;              /* first id kept; high + 1: none */
    uint64_t high;             /* last id committed */
    uint64_t reserved;         /* last id given to a proposal; >= high */
    uint64_t saved;            /* see above */
    uint64_t first;            /* see above */
    uint64_t base;             /* id of entries[0]; those below first are gone already */
    uint64_t time_ms;          /* of the last committed event */
    uint64_t bytes;            /* payload bytes kept */
    uint64_t last_index;       /* of the group: the last change of this stream */
    uint64_t reserved_time_ms; /* what they will be when all that was proposed is applied */
    uint64_t reserved_low;
    uint64_t reserved_bytes;
    struct tail_entry *entries; /* high + 1 - base of them */
    size_t entries_room;
    struct tail_entry *lent; /* what the checkpoint looks at: entries, as long as it did not grow */
    struct dedupe *keys;     /* NULL: no idempotency key is remembered */
    struct stream *keyed_next; /* the ring of streams with keys */
    struct stream *keyed_prev;
    struct head *head;          /* sizes of its oldest events on the disk (evict.h), or NULL */
    struct head_load *heading;  /* they are being loaded: appends wait */
    struct retention retention; /* what holds, by the view with this number */
    uint64_t retention_number;
    unsigned pins;      /* it stays in memory */
    uint64_t oldest_id; /* of this event on the disk the time is known: */
    uint64_t oldest_ms;
    uint64_t keys_saved;     /* keys of records up to this id are in the catalog */
    struct ior_ring dirty;   /* in table.dirty or table.taking; else zeros: nothing to save */
    struct ior_ring used;    /* in table.used: committed, least recently used first */
    struct ior_ring history; /* in table.history: it has some, oldest first */
    uint64_t used_us;
    bool committed;        /* its CREATE is committed: it may be shown */
    bool deleted;          /* in no list; its ids go on with the next event */
    bool reserved_deleted; /* as reserved_low */
    bool has_retention;    /* retention has a limit */
    bool taken;            /* by the checkpoint */
    uint16_t name_bytes;
    uint8_t name[];
};

struct bucket {
    struct quota *quota;     /* a reference; NULL: nobody asked for it yet (quota.h) */
    struct stream **streams; /* sorted by name, committed ones only; deleted ones too */
    size_t count;
    size_t room;          /* for all of `uses`, so that a commit cannot fail */
    size_t uses;          /* streams, uncommitted ones too */
    size_t live;          /* committed and not deleted */
    unsigned metric_slot; /* metric_bucket_slot(); 0: not asked for yet */
    uint8_t name_bytes;
    uint8_t name[];
};

/* Memory for events, of all vnodes of a node. */
struct stream_memory {
    _Atomic uint64_t streams;       /* in memory, committed ones */
    _Atomic uint64_t tail_bytes;    /* of events that are not saved yet */
    _Atomic uint64_t history_bytes; /* of those that are and are kept to be read soon; and rows */
    _Atomic uint64_t dropped_bytes; /* that went since the last checkpoint began: files to remove */
    uint64_t history_bytes_max;
    uint64_t history_items_max;        /* of one stream */
    uint64_t history_stream_bytes_max; /* likewise */
};

struct stream_table {
    struct ior_map by_name;
    struct ior_map by_uid;
    struct bucket **buckets; /* sorted by name; gone with their last stream */
    size_t bucket_count;
    size_t bucket_room;
    struct dedupe_limits *dedupe; /* the node's */
    struct stream_memory *memory; /* the node's */
    struct stream *keyed;         /* any of the ring; NULL: no stream has keys */
    struct ior_ring dirty;        /* to be saved by the next checkpoint */
    struct ior_ring taking;       /* to be handed to the one that has begun */
    struct ior_ring used;
    struct ior_ring history;
    size_t count; /* committed ones */
};

void stream_table_init(struct stream_table *t, struct dedupe_limits *dedupe,
                       struct stream_memory *memory);
void stream_table_done(struct stream_table *t);
/* NULL: not there. Uncommitted ones are found too. */
struct stream *stream_find(const struct stream_table *t, struct ior_slice bucket,
                           struct ior_slice name, uint64_t hash);
struct stream *stream_find_uid(const struct stream_table *t, uint64_t uid);
/* A new, uncommitted stream; the names are valid and new. NOMEM. */
IOR_MUST_CHECK enum ior_err stream_add(struct stream_table *t, struct ior_slice bucket,
                                       struct ior_slice name, uint64_t hash, uint64_t uid,
                                       struct stream **ret);
/* Its CREATE is committed, or it came from the catalog: into the sorted list. stream_add made
 * the room. */
void stream_commit(struct stream_table *t, struct stream *s);
/* Deleted: in no list, but its ids go on. */
void stream_set_deleted(struct stream *s, bool deleted);
/* It leaves memory: nothing of it is reserved, taken or to be saved. */
void stream_leave(struct stream_table *t, struct stream *s);
/* It was only just added and never proposed. */
void stream_remove_uncommitted(struct stream_table *t, struct stream *s);
/* Forget what was only reserved; uncommitted streams go. */
void stream_table_drop_reserved(struct stream_table *t);
struct bucket *bucket_find(const struct stream_table *t, struct ior_slice name);
/* Position of the first name > after. */
size_t bucket_seek(const struct bucket *b, struct ior_slice after);
size_t buckets_seek(const struct stream_table *t, struct ior_slice after);

/* ---- stream_mem.c: the events in memory ---- */
/* What a stream costs without its events. */
uint64_t stream_row_cost(const struct stream *s);
/* It goes: all events leave memory. */
void stream_drop_events(struct stream_table *t, struct stream *s);
/* Room for `more` further events, so that applying a commit cannot fail. NOMEM. */
IOR_MUST_CHECK enum ior_err stream_reserve_room(struct stream *s, size_t more);
/* An event with the next reserved id is proposed: its size and time, for evict.h, and where it
 * is, for stream_newest(). There is room for it. The blob is the proposal's, which stands until
 * it is applied or the reservation is dropped. */
void stream_note_reserved(struct stream *s, uint64_t id, struct ior_blob *blob,
                          const struct item *it, uint64_t time_ms);
/* The event with the last reserved id, which may be on its way to the disk. NULL: it is not in
 * memory, or there is none. */
const struct tail_entry *stream_newest(const struct stream *s);
/* Takes the window; NULL: none any more. */
void stream_set_head(struct stream_table *t, struct stream *s, struct head *take);
/* The next event is committed. Takes its own reference on the blob. */
void stream_push(struct stream *s, struct ior_blob *blob, const struct item *it, uint64_t time_ms,
                 uint64_t index);
/* What the events of one record (a blob) cost in memory. */
uint64_t stream_record_cost(const struct ior_blob *blob, uint64_t events);
const struct tail_entry *stream_entry(const struct stream *s, uint64_t id);
/* Payload bytes of the ids from..to, all of which are in memory. */
uint64_t stream_sum_bytes(const struct stream *s, uint64_t from, uint64_t to);
/* low moves up to this (at most high + 1), and so many payload bytes go. */
void stream_trim(struct stream_table *t, struct stream *s, uint64_t low, uint64_t bytes);
/* Something changed by the record with this index: the next checkpoint saves it. */
void stream_changed(struct stream_table *t, struct stream *s, uint64_t index);
/* Somebody asked for it. */
void stream_used(struct stream_table *t, struct stream *s, uint64_t now_us);
/* The checkpoint looks at the entries until it gives the stream back. */
void stream_take(struct stream *s);
/* saved_to: ids up to it are saved now, and of them only history stays; UINT64_MAX: the
 * checkpoint came to nothing. */
void stream_give_back(struct stream_table *t, struct stream *s, uint64_t saved_to);
/* While memory.history is more than full: histories go, then streams that can, the oldest and
 * those that were not used for the longest time first. A bounded number. */
void stream_table_relieve(struct stream_table *t);
/* Streams that nobody used since then leave memory; so many are looked at. */
void stream_table_sweep(struct stream_table *t, uint64_t before_us, size_t max);

static inline struct ior_slice stream_name(const struct stream *s)
{
    return ior_slice(s->name, s->name_bytes);
}
static inline struct ior_slice bucket_name(const struct bucket *b)
{
    return ior_slice(b->name, b->name_bytes);
}
/* The time of its next record: the clock's, but never going back. */
static inline uint64_t stream_next_time_ms(const struct stream *s, uint64_t wall_ms)
{
    return wall_ms > s->reserved_time_ms ? wall_ms : s->reserved_time_ms;
}
/* Events kept. */
static inline uint64_t stream_count(const struct stream *s)
{
    return s->high + 1 - s->low;
}
/* First id that can be read from memory; high + 1: none. */
static inline uint64_t stream_first_in_memory(const struct stream *s)
{
    return s->first > s->low ? s->first : s->low;
}

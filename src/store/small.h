/* src/store/small.h - the events of a small stream as one value of the catalog: a few bytes
 * for each event beside its attributes and payload. docs/formats.rst ("Small stream") shows
 * every byte. Uid and checksum stand in the key and behind the value (kv.h), seqnums follow
 * each other, so none of them is repeated.
 * What does not survive: `low` of an item. It is 0 in everything that comes back: a stream's
 * low is in its row, and only a replay of the journal looks at that of an item.
 * Adding trusts its caller (assertions); reading trusts nothing.
 * Thread: pure functions. */
#pragma once

#include "base/buf.h"
#include "store/chunk.h"

/* No event takes more beside its attributes and payload. */
enum { SMALL_EVENT_BYTES_MAX = 40 };

/* What the bytes of an event are a difference to. Of the event before; zeros in front of the
 * first. */
struct small_place {
    uint64_t seqnum;
    uint64_t index;
    uint64_t time_ms;
    uint8_t flags;
    size_t payload_bytes;
};

/* ---- writing: begin with {.out = a buffer} ---- */
struct small_writer {
    struct ior_buf *out;
    struct small_place last;
};
/* The next event: an APPEND, its seqnum 1 more than the one before. No memory is out's affair. */
void small_add(struct small_writer *w, const struct chunk_entry *e);

/* ---- reading: begin with {.bytes = the value, .uid = of its key} ---- */
struct small_reader {
    struct ior_slice bytes;
    uint64_t uid;
    size_t pos; /* where the next event begins; 0: nothing was read yet */
    struct small_place last;
};
/* Slices of *ret lie in the value; payload_crc is computed; offset_bytes means nothing. END
 * behind the last; CORRUPT with a few words in *ret_what, and pos stays where it was. */
IOR_MUST_CHECK enum ior_err small_next(struct small_reader *r, struct chunk_entry *ret,
                                       const char **ret_what);

/* ---- back to an item as in the journal ---- */
size_t small_item_bytes(const struct chunk_entry *e);
void small_item_write(uint8_t *at, const struct chunk_entry *e);

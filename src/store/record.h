/* src/store/record.h - the bytes of a record and of its items: the only thing that
 * the journal, the tails, chunks and replicas store. docs/formats.rst shows every
 * byte; format version 1. All integers little-endian.
 *
 * record head, 48 bytes               item head, 40 bytes
 *  0 u32 length, all, multiple of 8    0 u8  op
 *  4 u32 crc32c of every item's head   1 u8  flags
 *        and attributes, 8..48, 0..4   2 u16 zero
 *  8 u16 kind                          4 u32 attributes, bytes, multiple of 4
 * 10 u16 flags, zero                   8 u32 payload, bytes
 * 12 u32 group                        12 u32 crc32c of the payload
 * 16 u64 term                         16 u64 stream uid
 * 24 u64 index                        24 u64 seqnum
 * 32 u64 time, Unix ms                32 u64 low after this item
 * 40 u32 items                        40 attributes: u16 type, u16 zero, u32 bytes,
 * 44 u32 zero                            bytes, zeros up to a multiple of 4
 * 48 items                            .. payload, zeros up to a multiple of 8
 * Thread: pure functions. */
#pragma once

#include "base/blob.h"

enum { RECORD_HEAD_BYTES = 48, ITEM_HEAD_BYTES = 40, ATTR_HEAD_BYTES = 8, RECORD_ALIGN = 8 };

enum record_kind { RECORD_ENTRY = 1, RECORD_TRUNCATE = 2, RECORD_VOTE = 3, RECORD_SNAPSHOT = 4 };

enum item_op {
    ITEM_CREATE = 1, /* a stream: attributes BUCKET and STREAM, uid is new */
    ITEM_APPEND = 2, /* an event */
    ITEM_LOW = 3,    /* low moves up */
    ITEM_DELETE = 4, /* the stream's data goes; the row stays with its high */
    ITEM_SET = 5, /* a fact (group 0) or a policy: attribute KEY, payload the value; none: unset */
    ITEM_DEDUPE = 6, /* an idempotency key and what it was answered */
    ITEM_VOTE = 7,   /* in a VOTE record: attribute NODE, the node voted for */
};

enum item_flags {
    ITEM_FLAG_JSON = 1 << 0, /* the payload is JSON text; else any bytes */
};

enum attr_type {
    ATTR_BUCKET = 1,
    ATTR_STREAM = 2,
    ATTR_CONTENT_TYPE = 3,
    ATTR_IDEMPOTENCY_KEY = 4,
    ATTR_PRODUCER = 5,
    ATTR_MQTT_PROPERTIES = 6,
    ATTR_RETAIN = 7,
    ATTR_EXPIRY = 8,
    ATTR_KEY = 9,
    ATTR_NODE = 10,
    ATTR_DROPPED_BYTES = 11, /* u64: payload bytes that go because low moves up */
};

struct record_head {
    uint32_t length_bytes;
    uint32_t crc;
    uint16_t kind;
    uint16_t flags;
    uint32_t group;
    uint64_t term;
    uint64_t index;
    uint64_t time_ms;
    uint32_t item_count;
};

struct item {
    uint8_t op;
    uint8_t flags;
    uint64_t uid;
    uint64_t seqnum;
    uint64_t low;
    uint32_t payload_crc;
    struct ior_slice attrs;
    struct ior_slice payload;
    size_t offset_bytes; /* of its head, in what item_next() walks */
};

/* A record that is being made: head here, items in one or two blobs (a CREATE or LOW
 * that was found to be needed late goes in front), and behind them those of a second stream. */
struct record {
    uint8_t head[RECORD_HEAD_BYTES];
    struct ior_blob *front; /* may be NULL; owned; so are the others */
    struct ior_blob *items;
    struct ior_blob *second_front;
    struct ior_blob *second_items;
    uint32_t length_bytes; /* set by record_seal */
};

/* Bytes that one item takes. attrs_bytes is a sum of attr_bytes(). */
size_t item_bytes(size_t attrs_bytes, size_t payload_bytes);
size_t attr_bytes(size_t value_bytes);
/* Write head, payload (may be empty) and padding at `at`; the attributes go by
 * attr_write() to at + ITEM_HEAD_BYTES. Computes the payload's checksum. */
void item_write(uint8_t *at, enum item_op op, uint8_t flags, size_t attrs_bytes,
                struct ior_slice payload);
/* Returns the bytes written: attr_bytes(value). */
size_t attr_write(uint8_t *at, enum attr_type type, struct ior_slice value);
/* Before record_seal: what the owner of the stream decides. */
void item_set_place(uint8_t *at, uint64_t uid, uint64_t seqnum, uint64_t low);

/* Walk items: *pos starts at 0; IOR_E_END after the last, CORRUPT when the bytes
 * are no items. Payload checksums are not looked at (record_check does). */
IOR_MUST_CHECK enum ior_err item_next(struct ior_slice items, size_t *pos, struct item *ret);
/* The item whose head is at this offset of items that were checked before. */
struct item item_at(struct ior_slice items, size_t offset_bytes);
/* Are these bytes attributes behind each other, as many as an item may have? */
bool attrs_ok(struct ior_slice attrs);
/* The first attribute of this type, or an empty slice with data NULL. */
struct ior_slice item_attr(const struct item *it, enum attr_type type);

/* Fill the head and the checksum. The items may not change any more. */
void record_seal(struct record *r, const struct record_head *head);
void record_done(struct record *r); /* gives the blobs back */
/* Is there a sound record at the start of these bytes? Every checksum is looked
 * at. CORRUPT with *why (the caller adds file and offset). */
IOR_MUST_CHECK enum ior_err record_check(struct ior_slice bytes, struct record_head *ret,
                                         struct ior_why *why);

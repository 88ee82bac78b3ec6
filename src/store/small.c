/* src/store/small.c - see small.h.
 * Happy path: an event is what it has of its own: how much later it came, how many records
 * later, and its shape (flags, length of attributes and payload) only where that differs
 * from the one before. So equal events of one request take two bytes each.
 * Differences are taken modulo 2^64: any time and index come back as they were.
 * Failure modes: no length is followed before it is known to lie inside the bytes at hand; a
 * number that is longer than it has to be is refused like any other damage. */
#include "store/small.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "store/chunk_format.h"

/* Bits of an event's first byte, and of its shape. */
enum {
    SHAPE_FOLLOWS = 1 << 0,
    TIME_SHIFT = 1,
    TIME_BITS = 6,
    TIME_MASK = (1 << TIME_BITS) - 1,
    MORE = 1 << 7, /* of the first byte, and of each byte of a number */

    FLAGS_FOLLOW = 1 << 0,
    ATTRS_FOLLOW = 1 << 1,
    SHAPE_BITS = 2,

    NUMBER_BYTES_MAX = 10,
};

/* ---- numbers: 7 bits a byte, the lowest first ---- */

static uint8_t *put_number(uint8_t *at, uint64_t v)
{
    for (; v >= MORE; v >>= 7) *at++ = (uint8_t)(v | MORE);
    *at++ = (uint8_t)v;
    return at;
}

static bool get_number(struct ior_slice bytes, size_t *pos, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < NUMBER_BYTES_MAX; i++) {
        if (*pos == bytes.size_bytes) return false;
        uint8_t b = bytes.data[(*pos)++];
        if (i == NUMBER_BYTES_MAX - 1 && b > 1) return false; /* more than 64 bits */
        v |= (uint64_t)(b & (MORE - 1)) << (7 * i);
        if (b >= MORE) continue;
        *ret = v;
        return b != 0 || i == 0;
    }
    return false;
}

/* ---- writing ---- */

static uint8_t *put_shape(uint8_t *at, const struct small_place *last, const struct item *it)
{
    uint64_t shape = (uint64_t)it->payload.size_bytes << SHAPE_BITS;
    if (it->flags != last->flags) shape |= FLAGS_FOLLOW;
    if (it->attrs.size_bytes > 0) shape |= ATTRS_FOLLOW;
    at = put_number(at, shape);
    if (it->flags != last->flags) *at++ = it->flags;
    return it->attrs.size_bytes > 0 ? put_number(at, it->attrs.size_bytes) : at;
}

void small_add(struct small_writer *w, const struct chunk_entry *e)
{
    const struct item *it = &e->item;
    struct small_place *last = &w->last;
    IOR_ASSERT(it->op == ITEM_APPEND && it->seqnum > 0 && it->seqnum <= CHUNK_SEQNUM_MAX);
    IOR_ASSERT(last->seqnum == 0 || it->seqnum == last->seqnum + 1);
    IOR_ASSERT(it->attrs.size_bytes <= ITEM_ATTRS_BYTES_MAX);
    uint8_t *start =
        ior_buf_room(w->out, SMALL_EVENT_BYTES_MAX + it->attrs.size_bytes + it->payload.size_bytes);
    if (start == NULL) return;
    uint8_t *at = last->seqnum == 0 ? put_number(start, it->seqnum) : start;
    uint64_t later_ms = e->time_ms - last->time_ms;
    bool same = it->flags == last->flags && it->payload.size_bytes == last->payload_bytes &&
                it->attrs.size_bytes == 0;
    unsigned first = (unsigned)(later_ms & TIME_MASK) << TIME_SHIFT;
    if (!same) first |= SHAPE_FOLLOWS;
    if (later_ms > TIME_MASK) first |= MORE;
    *at++ = (uint8_t)first;
    if (later_ms > TIME_MASK) at = put_number(at, later_ms >> TIME_BITS);
    at = put_number(at, e->index - last->index);
    if (!same) at = put_shape(at, last, it);
    IOR_ASSERT((size_t)(at - start) <= SMALL_EVENT_BYTES_MAX);
    if (it->attrs.size_bytes > 0) memcpy(at, it->attrs.data, it->attrs.size_bytes);
    at += it->attrs.size_bytes;
    if (it->payload.size_bytes > 0) memcpy(at, it->payload.data, it->payload.size_bytes);
    at += it->payload.size_bytes;
    ior_buf_grew(w->out, (size_t)(at - start));
    *last =
        (struct small_place){it->seqnum, e->index, e->time_ms, it->flags, it->payload.size_bytes};
}

/* ---- reading ---- */

/* False: no such shape. The lengths are not compared with the bytes that are left. */
static bool get_shape(struct ior_slice bytes, size_t *pos, struct small_place *at,
                      uint64_t *ret_attrs_bytes)
{
    uint64_t shape = 0;
    if (!get_number(bytes, pos, &shape)) return false;
    at->payload_bytes = (size_t)(shape >> SHAPE_BITS);
    if ((shape & FLAGS_FOLLOW) != 0) {
        if (*pos == bytes.size_bytes || bytes.data[*pos] == at->flags) return false;
        at->flags = bytes.data[(*pos)++];
    }
    return (shape & ATTRS_FOLLOW) == 0 ||
           (get_number(bytes, pos, ret_attrs_bytes) && *ret_attrs_bytes > 0);
}

/* Everything of an event in front of its attributes; *at is the event before, and then it. */
static const char *get_head(struct ior_slice bytes, size_t *pos, struct small_place *at,
                            uint64_t *ret_attrs_bytes)
{
    uint64_t number = 0;
    if (*pos == 0) {
        if (!get_number(bytes, pos, &number) || number == 0) return "no first seqnum";
        at->seqnum = number - 1;
    }
    if (at->seqnum >= CHUNK_SEQNUM_MAX) return "an impossible seqnum";
    at->seqnum++;
    if (*pos == bytes.size_bytes) return "an event is cut short";
    uint8_t first = bytes.data[(*pos)++];
    uint64_t later_ms = first >> TIME_SHIFT & TIME_MASK;
    if (first >= MORE) {
        if (!get_number(bytes, pos, &number) || number == 0 || number > UINT64_MAX >> TIME_BITS)
            return "an impossible time";
        later_ms |= number << TIME_BITS;
    }
    at->time_ms += later_ms;
    if (!get_number(bytes, pos, &number)) return "an impossible index";
    at->index += number;
    if ((first & SHAPE_FOLLOWS) != 0 && !get_shape(bytes, pos, at, ret_attrs_bytes))
        return "impossible lengths";
    return NULL;
}

enum ior_err small_next(struct small_reader *r, struct chunk_entry *ret, const char **ret_what)
{
    struct ior_slice bytes = r->bytes;
    struct small_place at = r->last;
    size_t pos = r->pos;
    uint64_t attrs_bytes = 0;
    if (pos == bytes.size_bytes) return IOR_E_END;
    const char *what = get_head(bytes, &pos, &at, &attrs_bytes);
    size_t left = bytes.size_bytes - pos;
    if (what == NULL && (attrs_bytes > left || at.payload_bytes > left - attrs_bytes))
        what = "an event is cut short";
    struct ior_slice attrs = ior_slice(bytes.data + pos, (size_t)attrs_bytes);
    if (what == NULL && !attrs_ok(attrs)) what = "attributes that cannot be";
    if (what != NULL) {
        *ret_what = what;
        return IOR_E_CORRUPT;
    }
    struct ior_slice payload = ior_slice(attrs.data + attrs.size_bytes, at.payload_bytes);
    *ret = (struct chunk_entry){
        .index = at.index,
        .time_ms = at.time_ms,
        .item = {.op = ITEM_APPEND,
                 .flags = at.flags,
                 .uid = r->uid,
                 .seqnum = at.seqnum,
                 .payload_crc = ior_crc32c(0, payload.data, payload.size_bytes),
                 .attrs = attrs,
                 .payload = payload},
    };
    r->last = at;
    r->pos = pos + attrs.size_bytes + payload.size_bytes;
    return IOR_OK;
}

/* ---- back to an item ---- */

size_t small_item_bytes(const struct chunk_entry *e)
{
    return item_bytes(e->item.attrs.size_bytes, e->item.payload.size_bytes);
}

void small_item_write(uint8_t *at, const struct chunk_entry *e)
{
    const struct item *it = &e->item;
    item_write(at, ITEM_APPEND, it->flags, it->attrs.size_bytes, it->payload);
    if (it->attrs.size_bytes > 0)
        memcpy(at + ITEM_HEAD_BYTES, it->attrs.data, it->attrs.size_bytes);
    item_set_place(at, it->uid, it->seqnum, it->low);
}

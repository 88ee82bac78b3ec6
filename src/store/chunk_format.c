/* src/store/chunk_format.c - see chunk_format.h, and the paths of chunk.h.
 * Happy path: put fills bytes, get checks each length, then the checksum, then what the
 * numbers mean. Failure modes: bytes that are not what put wrote are refused, whatever they
 * are; no length is followed before it is known to lie inside the bytes at hand. */
#include "store/chunk_format.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/crc32c.h"

#define HEAD_MAGIC "IORIOCHK"
#define TAIL_MAGIC "IORIOEND"
enum { HEAD_CRC_AT = 44, ENTRY_CRC_FROM = 8, TAIL_CRC_AT = 4, TAIL_MAGIC_AT = 56 };

/* ---- names ---- */

void chunk_folder(uint32_t partition, uint64_t uid, char out[DISK_PATH_MAX])
{
    snprintf(out, DISK_PATH_MAX, "p%" PRIu32 "/%02x/%016" PRIx64, partition, (unsigned)(uid & 0xff),
             uid);
}

void chunk_path(uint32_t partition, uint64_t uid, uint64_t first_seqnum, char out[DISK_PATH_MAX])
{
    chunk_folder(partition, uid, out);
    size_t n = strlen(out);
    snprintf(out + n, DISK_PATH_MAX - n, "/%016" PRIx64 ".chunk", first_seqnum);
}

bool chunk_name_parse(const char *name, uint64_t *ret_first_seqnum)
{
    if (strlen(name) != 22 || strcmp(name + 16, ".chunk") != 0) return false;
    uint64_t seqnum = 0;
    for (int i = 0; i < 16; i++) {
        char c = name[i];
        bool digit = c >= '0' && c <= '9';
        if (!digit && (c < 'a' || c > 'f')) return false;
        seqnum = seqnum << 4 | (uint64_t)(digit ? c - '0' : c - 'a' + 10);
    }
    *ret_first_seqnum = seqnum;
    return true;
}

/* ---- head ---- */

uint32_t chunk_seed(uint32_t partition, uint64_t uid)
{
    uint8_t bytes[12];
    ior_put_u32(bytes, partition);
    ior_put_u64(bytes + 4, uid);
    return ior_crc32c(0, bytes, sizeof bytes);
}

static uint32_t head_crc(const uint8_t *at, size_t size_bytes)
{
    static const uint8_t zero[4];
    uint32_t crc = ior_crc32c(0, at, HEAD_CRC_AT);
    crc = ior_crc32c(crc, zero, sizeof zero);
    return ior_crc32c(crc, at + CHUNK_HEAD_BYTES, size_bytes - CHUNK_HEAD_BYTES);
}

size_t chunk_head_bytes(const struct chunk_id *id)
{
    return ior_align(CHUNK_HEAD_BYTES + id->bucket.size_bytes + id->stream.size_bytes,
                     RECORD_ALIGN);
}

void chunk_head_put(uint8_t *at, const struct chunk_id *id)
{
    IOR_ASSERT(id->bucket.size_bytes > 0 && id->bucket.size_bytes <= BUCKET_BYTES_MAX);
    IOR_ASSERT(id->stream.size_bytes > 0 && id->stream.size_bytes <= STREAM_BYTES_MAX);
    IOR_ASSERT(id->first_seqnum > 0 && id->first_seqnum <= CHUNK_SEQNUM_MAX);
    size_t size_bytes = chunk_head_bytes(id);
    memset(at, 0, size_bytes);
    memcpy(at, HEAD_MAGIC, 8);
    ior_put_u32(at + 8, CHUNK_VERSION);
    ior_put_u32(at + 12, (uint32_t)size_bytes);
    ior_put_u64(at + 16, id->uid);
    ior_put_u64(at + 24, id->first_seqnum);
    ior_put_u32(at + 32, id->partition);
    ior_put_u16(at + 36, (uint16_t)id->bucket.size_bytes);
    ior_put_u16(at + 38, (uint16_t)id->stream.size_bytes);
    memcpy(at + CHUNK_HEAD_BYTES, id->bucket.data, id->bucket.size_bytes);
    memcpy(at + CHUNK_HEAD_BYTES + id->bucket.size_bytes, id->stream.data, id->stream.size_bytes);
    ior_put_u32(at + HEAD_CRC_AT, head_crc(at, size_bytes));
}

enum ior_err chunk_head_get(struct ior_slice bytes, struct chunk_id *ret, size_t *ret_head_bytes,
                            const char **ret_what)
{
    const uint8_t *at = bytes.data;
    *ret_what = "no valid chunk head";
    if (bytes.size_bytes < CHUNK_HEAD_BYTES || memcmp(at, HEAD_MAGIC, 8) != 0) return IOR_E_CORRUPT;
    /* Where the length and the checksum are is the same in every version. */
    size_t size_bytes = ior_get_u32(at + 12);
    if (size_bytes < CHUNK_HEAD_BYTES || size_bytes > bytes.size_bytes) return IOR_E_CORRUPT;
    if (ior_get_u32(at + HEAD_CRC_AT) != head_crc(at, size_bytes)) return IOR_E_CORRUPT;
    if (ior_get_u32(at + 8) != CHUNK_VERSION) {
        *ret_what = "the chunk was written by another version";
        return IOR_E_VERSION;
    }
    size_t bucket = ior_get_u16(at + 36);
    size_t stream = ior_get_u16(at + 38);
    struct chunk_id id = {
        .partition = ior_get_u32(at + 32),
        .uid = ior_get_u64(at + 16),
        .first_seqnum = ior_get_u64(at + 24),
        .bucket = ior_slice(at + CHUNK_HEAD_BYTES, bucket),
        .stream = ior_slice(at + CHUNK_HEAD_BYTES + bucket, stream),
    };
    *ret_what = "impossible values in the chunk head";
    if (bucket == 0 || bucket > BUCKET_BYTES_MAX || stream == 0 || stream > STREAM_BYTES_MAX ||
        size_bytes != chunk_head_bytes(&id) || id.first_seqnum == 0 ||
        id.first_seqnum > CHUNK_SEQNUM_MAX)
        return IOR_E_CORRUPT;
    *ret = id;
    *ret_head_bytes = size_bytes;
    return IOR_OK;
}

/* ---- entry ---- */

/* The item's first bytes need not lie behind the entry's. */
static uint32_t entry_crc(const uint8_t *at, uint32_t seed, const uint8_t *item, size_t attrs_bytes)
{
    uint32_t crc = ior_crc32c(seed, at + ENTRY_CRC_FROM, CHUNK_ENTRY_BYTES - ENTRY_CRC_FROM);
    crc = ior_crc32c(crc, at, 4);
    return ior_crc32c(crc, item, ITEM_HEAD_BYTES + attrs_bytes);
}

bool chunk_entry_crc_ok(const uint8_t *at, uint32_t seed, size_t attrs_bytes)
{
    return ior_get_u32(at + 4) == entry_crc(at, seed, at + CHUNK_ENTRY_BYTES, attrs_bytes);
}

void chunk_entry_put(uint8_t *at, uint32_t seed, const struct chunk_event *e, const struct item *it)
{
    IOR_ASSERT(e->item.size_bytes <= RECORD_BYTES_MAX && e->item.size_bytes % RECORD_ALIGN == 0);
    ior_put_u32(at, (uint32_t)(CHUNK_ENTRY_BYTES + e->item.size_bytes));
    ior_put_u64(at + 8, e->index);
    ior_put_u64(at + 16, e->time_ms);
    ior_put_u32(at + 4, entry_crc(at, seed, e->item.data, it->attrs.size_bytes));
}

size_t chunk_entry_length(const uint8_t *at)
{
    size_t n = ior_get_u32(at);
    bool ok = n >= CHUNK_ENTRY_BYTES_MIN && n % RECORD_ALIGN == 0 &&
              n <= CHUNK_ENTRY_BYTES + (size_t)RECORD_BYTES_MAX;
    return ok ? n : 0;
}

const char *chunk_entry_get(struct ior_slice bytes, uint32_t seed, uint64_t uid,
                            struct chunk_entry *ret)
{
    const uint8_t *at = bytes.data;
    IOR_ASSERT(bytes.size_bytes >= CHUNK_ENTRY_BYTES_MIN);
    struct ior_slice item = ior_slice(at + CHUNK_ENTRY_BYTES, bytes.size_bytes - CHUNK_ENTRY_BYTES);
    size_t pos = 0;
    struct chunk_entry e = {.index = ior_get_u64(at + 8), .time_ms = ior_get_u64(at + 16)};
    if (item_next(item, &pos, &e.item) != IOR_OK || pos != item.size_bytes)
        return "an entry holds no valid item";
    if (!chunk_entry_crc_ok(at, seed, e.item.attrs.size_bytes))
        return "an entry fails its checksum";
    if (e.item.uid != uid) return "an event of another stream";
    *ret = e;
    return NULL;
}

bool chunk_entry_payload_ok(const struct chunk_entry *e)
{
    return ior_crc32c(0, e->item.payload.data, e->item.payload.size_bytes) == e->item.payload_crc;
}

void chunk_state_add(struct chunk_state *state, bool first, const struct chunk_entry *e,
                     size_t length_bytes)
{
    state->end_bytes += length_bytes;
    state->last_seqnum++;
    state->payload_bytes += e->item.payload.size_bytes;
    if (first) state->first_time_ms = e->time_ms;
    state->last_time_ms = e->time_ms;
    state->last_index = e->index;
}

/* ---- footer ---- */

size_t chunk_footer_bytes(size_t mark_count)
{
    return mark_count * CHUNK_MARK_BYTES + CHUNK_TAIL_BYTES;
}

/* The checksum itself counts as 0. */
static uint32_t footer_crc(const uint8_t *at, uint32_t seed, size_t size_bytes)
{
    static const uint8_t zero[4];
    size_t crc_at = size_bytes - CHUNK_TAIL_BYTES + TAIL_CRC_AT;
    uint32_t crc = ior_crc32c(seed, at, crc_at);
    crc = ior_crc32c(crc, zero, sizeof zero);
    return ior_crc32c(crc, at + crc_at + 4, size_bytes - crc_at - 4);
}

void chunk_footer_put(uint8_t *at, uint32_t seed, const struct chunk_state *state,
                      const struct chunk_mark *marks, size_t count)
{
    IOR_ASSERT(count > 0 && count <= UINT32_MAX);
    uint8_t *tail = at + count * CHUNK_MARK_BYTES;
    for (size_t i = 0; i < count; i++) {
        ior_put_u64(at + i * CHUNK_MARK_BYTES, marks[i].seqnum);
        ior_put_u64(at + i * CHUNK_MARK_BYTES + 8, marks[i].offset_bytes);
    }
    ior_put_u32(tail, (uint32_t)count);
    ior_put_u64(tail + 8, state->last_seqnum);
    ior_put_u64(tail + 16, state->first_time_ms);
    ior_put_u64(tail + 24, state->last_time_ms);
    ior_put_u64(tail + 32, state->last_index);
    ior_put_u64(tail + 40, state->payload_bytes);
    ior_put_u64(tail + 48, state->end_bytes);
    memcpy(tail + TAIL_MAGIC_AT, TAIL_MAGIC, 8);
    ior_put_u32(tail + TAIL_CRC_AT, footer_crc(at, seed, chunk_footer_bytes(count)));
}

size_t chunk_tail_footer_bytes(const uint8_t tail[CHUNK_TAIL_BYTES])
{
    if (memcmp(tail + TAIL_MAGIC_AT, TAIL_MAGIC, 8) != 0) return 0;
    size_t count = ior_get_u32(tail);
    return count == 0 ? 0 : chunk_footer_bytes(count);
}

/* Do the marks lead from the first entry on, each into the entries? */
static bool marks_ok(const struct chunk_mark *marks, size_t count, const struct chunk_mark *first,
                     const struct chunk_state *state)
{
    if (state->last_seqnum > CHUNK_SEQNUM_MAX || marks[0].seqnum != first->seqnum ||
        marks[0].offset_bytes != first->offset_bytes)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (marks[i].offset_bytes % RECORD_ALIGN != 0 || marks[i].seqnum > state->last_seqnum ||
            marks[i].offset_bytes >= state->end_bytes)
            return false;
        if (i > 0 && (marks[i].seqnum <= marks[i - 1].seqnum ||
                      marks[i].offset_bytes <= marks[i - 1].offset_bytes))
            return false;
    }
    return true;
}

bool chunk_footer_get(struct ior_slice footer, uint32_t seed, const struct chunk_mark *first,
                      struct chunk_state *ret, struct chunk_mark *marks, size_t *ret_count)
{
    if (footer.size_bytes < CHUNK_TAIL_BYTES + CHUNK_MARK_BYTES) return false;
    const uint8_t *tail = footer.data + footer.size_bytes - CHUNK_TAIL_BYTES;
    if (chunk_tail_footer_bytes(tail) != footer.size_bytes) return false;
    if (ior_get_u32(tail + TAIL_CRC_AT) != footer_crc(footer.data, seed, footer.size_bytes))
        return false;
    struct chunk_state state = {
        .end_bytes = ior_get_u64(tail + 48),
        .last_seqnum = ior_get_u64(tail + 8),
        .payload_bytes = ior_get_u64(tail + 40),
        .first_time_ms = ior_get_u64(tail + 16),
        .last_time_ms = ior_get_u64(tail + 24),
        .last_index = ior_get_u64(tail + 32),
        .sealed = true,
    };
    size_t count = ior_get_u32(tail);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = footer.data + i * CHUNK_MARK_BYTES;
        marks[i] = (struct chunk_mark){ior_get_u64(at), ior_get_u64(at + 8)};
    }
    if (!marks_ok(marks, count, first, &state)) return false;
    *ret = state;
    *ret_count = count;
    return true;
}

/* src/store/chunk_scan.c - see chunk_scan.h.
 * Happy path: a block of the file in one blob, entries taken from it in place; the next
 * block begins with the first entry that did not fit.
 * Failure modes: an entry that is not sound is CORRUPT with its offset. A length is believed
 * only as far as the file goes: before more than a block is read the file is asked for its
 * size. Each step goes on by a whole entry or by 8 bytes, so a walk ends. */
#include "store/chunk_scan.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"

/* As much as tells whether an entry is sound but for its payload. */
enum { ENTRY_FRONT_BYTES_MAX = CHUNK_ENTRY_BYTES_MIN + ITEM_ATTRS_BYTES_MAX };

enum ior_err chunk_damage(struct ior_why *why, const char *path, uint64_t offset_bytes,
                          const char *what)
{
    return ior_why_set(why, IOR_E_CORRUPT, "%s: damage at offset %" PRIu64 ": %s", path,
                       offset_bytes, what);
}

static enum ior_err cannot_read(struct ior_why *why, const char *path, enum ior_err err)
{
    return ior_why_set(why, err, "%s: cannot read it: %s", path, ior_err_reason(err));
}

/* ---- the window ---- */

void chunk_window_done(struct chunk_window *w)
{
    ior_blob_unref(w->blob);
    w->blob = NULL;
    w->size_bytes = 0;
}

/* How many bytes are in memory from here on. */
static size_t held(const struct chunk_window *w, uint64_t offset_bytes)
{
    if (offset_bytes < w->offset_bytes || offset_bytes >= w->offset_bytes + w->size_bytes) return 0;
    return (size_t)(w->offset_bytes + w->size_bytes - offset_bytes);
}

static uint8_t *bytes_at(const struct chunk_window *w, uint64_t offset_bytes)
{
    return w->blob->data + (offset_bytes - w->offset_bytes);
}

/* Not behind the limit; fewer only at the end of the file. */
static enum ior_err fill(struct chunk_window *w, uint64_t offset_bytes, size_t want_bytes)
{
    IOR_ASSERT(offset_bytes < w->limit_bytes && want_bytes > 0);
    if (want_bytes > w->limit_bytes - offset_bytes)
        want_bytes = (size_t)(w->limit_bytes - offset_bytes);
    w->size_bytes = 0;
    if (w->blob == NULL || w->blob->size_bytes < want_bytes) {
        chunk_window_done(w);
        w->blob = ior_blob_new(want_bytes);
        if (w->blob == NULL) return IOR_E_NOMEM;
    }
    size_t n = 0;
    enum ior_err err = disk_read(w->file, offset_bytes, w->blob->data, want_bytes, &n);
    if (err != IOR_OK) return err;
    w->offset_bytes = offset_bytes;
    w->size_bytes = n;
    return IOR_OK;
}

bool chunk_window_has(const struct chunk_window *w, uint64_t offset_bytes)
{
    size_t n = held(w, offset_bytes);
    if (n < CHUNK_ENTRY_BYTES_MIN) return false;
    size_t length = chunk_entry_length(bytes_at(w, offset_bytes));
    return length > 0 && length <= n;
}

/* All of an entry that says it has this length, more than was read for it. */
static enum ior_err fill_whole(struct chunk_window *w, uint64_t offset_bytes, size_t length_bytes,
                               size_t want_bytes, struct ior_why *why)
{
    uint64_t file_bytes = 0;
    enum ior_err err = disk_size(w->file, &file_bytes);
    if (err != IOR_OK) return cannot_read(why, w->path, err);
    if (file_bytes < offset_bytes || file_bytes - offset_bytes < length_bytes)
        return chunk_damage(why, w->path, offset_bytes, "an entry is longer than the file");
    err = fill(w, offset_bytes, length_bytes > want_bytes ? length_bytes : want_bytes);
    if (err != IOR_OK) return cannot_read(why, w->path, err);
    if (held(w, offset_bytes) < length_bytes)
        return chunk_damage(why, w->path, offset_bytes, "an entry is cut short");
    return IOR_OK;
}

/* Make sure that the entry is in memory; its length. */
static enum ior_err load(struct chunk_window *w, uint64_t offset_bytes, size_t want_bytes,
                         size_t *ret_length_bytes, struct ior_why *why)
{
    if (offset_bytes > w->limit_bytes || w->limit_bytes - offset_bytes < CHUNK_ENTRY_BYTES_MIN)
        return chunk_damage(why, w->path, offset_bytes, "an entry is cut short");
    if (held(w, offset_bytes) < CHUNK_ENTRY_BYTES_MIN) {
        size_t least = want_bytes < CHUNK_ENTRY_BYTES_MIN ? CHUNK_ENTRY_BYTES_MIN : want_bytes;
        enum ior_err err = fill(w, offset_bytes, least);
        if (err != IOR_OK) return cannot_read(why, w->path, err);
        if (held(w, offset_bytes) < CHUNK_ENTRY_BYTES_MIN)
            return chunk_damage(why, w->path, offset_bytes, "the file ends too early");
    }
    size_t length = chunk_entry_length(bytes_at(w, offset_bytes));
    if (length == 0 || length > w->limit_bytes - offset_bytes)
        return chunk_damage(why, w->path, offset_bytes, "an entry has an impossible length");
    *ret_length_bytes = length;
    if (held(w, offset_bytes) >= length) return IOR_OK;
    return fill_whole(w, offset_bytes, length, want_bytes, why);
}

enum ior_err chunk_window_entry(struct chunk_window *w, const struct chunk_mark *at,
                                size_t want_bytes, struct chunk_entry *ret,
                                size_t *ret_length_bytes, struct ior_why *why)
{
    uint64_t offset = at->offset_bytes;
    enum ior_err err = load(w, offset, want_bytes, ret_length_bytes, why);
    if (err != IOR_OK) return err;
    const char *what =
        chunk_entry_get(ior_slice(bytes_at(w, offset), *ret_length_bytes), w->seed, w->uid, ret);
    if (what == NULL && ret->item.seqnum != at->seqnum) what = "the event of another place";
    if (what != NULL) return chunk_damage(why, w->path, offset, what);
    ret->item.offset_bytes = (size_t)(offset - w->offset_bytes) + CHUNK_ENTRY_BYTES;
    return IOR_OK;
}

/* ---- the index ---- */

enum ior_err chunk_index_reserve(struct chunk_index *x, size_t more)
{
    if (x->room - x->count >= more) return IOR_OK;
    size_t room = x->room * 2 < 16 ? 16 : x->room * 2;
    if (room < x->count + more) room = x->count + more;
    struct chunk_mark *marks = reallocarray(x->marks, room, sizeof *marks);
    if (marks == NULL) return IOR_E_NOMEM;
    x->marks = marks;
    x->room = room;
    return IOR_OK;
}

void chunk_index_note(struct chunk_index *x, struct chunk_mark at)
{
    if (x->count > 0 &&
        at.offset_bytes - x->marks[x->count - 1].offset_bytes < CHUNK_INDEX_EVERY_BYTES)
        return;
    if (x->count < x->room) x->marks[x->count++] = at;
}

/* ---- the whole file ---- */

enum ior_err chunk_head_read(struct disk_file *file, const char *path,
                             const struct chunk_id *wanted, uint8_t head[CHUNK_HEAD_BYTES_MAX],
                             struct chunk_id *ret, size_t *ret_head_bytes, struct ior_why *why)
{
    size_t n = 0;
    const char *what = NULL;
    enum ior_err err = disk_read(file, 0, head, CHUNK_HEAD_BYTES_MAX, &n);
    if (err != IOR_OK) return cannot_read(why, path, err);
    err = chunk_head_get(ior_slice(head, n), ret, ret_head_bytes, &what);
    if (err == IOR_E_VERSION) return ior_why_set(why, err, "%s: %s", path, what);
    if (err != IOR_OK) return chunk_damage(why, path, 0, what);
    if (ret->uid != wanted->uid || ret->partition != wanted->partition ||
        ret->first_seqnum != wanted->first_seqnum)
        return ior_why_set(why, IOR_E_CORRUPT,
                           "%s: damage at offset 16: the file holds chunk %016" PRIx64
                           " of stream %016" PRIx64 " in partition %" PRIu32,
                           path, ret->first_seqnum, ret->uid, ret->partition);
    return IOR_OK;
}

/* The rows and the tail lie in front of each other at the end of the file. */
static enum ior_err footer_take(struct chunk_window *w, uint64_t at, const struct chunk_mark *first,
                                struct chunk_state *ret, struct chunk_index *x, bool *ret_found)
{
    struct chunk_state state;
    size_t count = 0;
    size_t size_bytes = (size_t)(w->limit_bytes - at);
    enum ior_err err = fill(w, at, size_bytes);
    if (err != IOR_OK) return err;
    struct chunk_index read = {0};
    err = chunk_index_reserve(&read, size_bytes / CHUNK_MARK_BYTES);
    if (err != IOR_OK) return err;
    if (held(w, at) == size_bytes &&
        chunk_footer_get(ior_slice(bytes_at(w, at), size_bytes), w->seed, first, &state, read.marks,
                         &count) &&
        state.end_bytes == at) {
        free(x->marks);
        read.count = count;
        *x = read;
        *ret = state;
        *ret_found = true;
        return IOR_OK;
    }
    free(read.marks);
    return IOR_OK;
}

enum ior_err chunk_footer_read(struct chunk_window *w, const struct chunk_mark *first,
                               struct chunk_state *ret, struct chunk_index *x, bool *ret_found)
{
    *ret_found = false;
    uint64_t file_bytes = 0;
    enum ior_err err = disk_size(w->file, &file_bytes);
    if (err != IOR_OK) return err;
    if (file_bytes < first->offset_bytes + CHUNK_TAIL_BYTES) return IOR_OK;
    uint64_t was_bytes = w->limit_bytes;
    w->limit_bytes = file_bytes;
    err = fill(w, file_bytes - CHUNK_TAIL_BYTES, CHUNK_TAIL_BYTES);
    if (err == IOR_OK && w->size_bytes == CHUNK_TAIL_BYTES) {
        size_t size_bytes = chunk_tail_footer_bytes(w->blob->data);
        if (size_bytes > 0 && size_bytes <= file_bytes - first->offset_bytes)
            err = footer_take(w, file_bytes - size_bytes, first, ret, x, ret_found);
    }
    w->limit_bytes = was_bytes;
    w->size_bytes = 0;
    return err;
}

enum ior_err chunk_scan(struct chunk_window *w, uint64_t first_seqnum, struct chunk_state *state,
                        struct chunk_index *x, struct ior_why *why)
{
    while (state->end_bytes < w->limit_bytes) {
        struct chunk_mark at = {state->last_seqnum + 1, state->end_bytes};
        struct chunk_entry e;
        size_t length = 0;
        enum ior_err err = chunk_window_entry(w, &at, CHUNK_BLOCK_BYTES, &e, &length, why);
        if (err != IOR_OK) return err;
        if (!chunk_entry_payload_ok(&e))
            return chunk_damage(why, w->path, at.offset_bytes, "a payload fails its checksum");
        err = chunk_index_reserve(x, 1);
        if (err != IOR_OK) return cannot_read(why, w->path, err);
        chunk_index_note(x, at);
        chunk_state_add(state, at.seqnum == first_seqnum, &e, length);
    }
    return IOR_OK;
}

/* Sound but for its payload, which may lie behind what is in memory. The cheap questions
 * first: this is asked every 8 bytes of whatever there is. */
static bool later_entry(const struct chunk_window *w, uint64_t offset_bytes, uint64_t from_seqnum,
                        struct chunk_mark *ret)
{
    const uint8_t *at = bytes_at(w, offset_bytes);
    const uint8_t *item = at + CHUNK_ENTRY_BYTES;
    uint64_t seqnum = ior_get_u64(item + 24);
    if (ior_get_u64(item + 16) != w->uid || seqnum < from_seqnum) return false;
    size_t length = chunk_entry_length(at);
    size_t attrs = ior_get_u32(item + 4);
    if (length == 0 || attrs > ITEM_ATTRS_BYTES_MAX ||
        held(w, offset_bytes) < CHUNK_ENTRY_BYTES_MIN + attrs)
        return false;
    if (length != CHUNK_ENTRY_BYTES + item_bytes(attrs, ior_get_u32(item + 8))) return false;
    *ret = (struct chunk_mark){seqnum, offset_bytes};
    return chunk_entry_crc_ok(at, w->seed, attrs);
}

enum ior_err chunk_find_later(struct chunk_window *w, uint64_t offset_bytes, uint64_t from_seqnum,
                              bool *ret_found, struct chunk_mark *ret)
{
    *ret_found = false;
    while (offset_bytes < w->limit_bytes) {
        uint64_t left = w->limit_bytes - offset_bytes;
        if (left < CHUNK_ENTRY_BYTES_MIN) return IOR_OK;
        size_t need = left < ENTRY_FRONT_BYTES_MAX ? (size_t)left : ENTRY_FRONT_BYTES_MAX;
        if (held(w, offset_bytes) < need) {
            enum ior_err err = fill(w, offset_bytes, CHUNK_BLOCK_BYTES + ENTRY_FRONT_BYTES_MAX);
            if (err != IOR_OK) return err;
            if (held(w, offset_bytes) < need) return IOR_OK; /* the file was cut meanwhile */
        }
        *ret_found = later_entry(w, offset_bytes, from_seqnum, ret);
        if (*ret_found) return IOR_OK;
        offset_bytes += RECORD_ALIGN;
    }
    return IOR_OK;
}

/* src/store/chunk_check.c - see chunk_check.h.
 * Happy path: the head, then entry by entry to where the catalog says that they end, what was
 * counted against what it says, the footer against both.
 * Failure modes: the first thing that is wrong ends it, with its offset. */
#include "store/chunk_check.h"

#include <stdlib.h>

#include "store/chunk_scan.h"

struct check {
    const struct chunk_check *in;
    struct chunk_checked *out;
    struct disk_file *file;
    char path[DISK_PATH_MAX];
};

static enum ior_err wrong(struct check *c, uint64_t offset, const char *what)
{
    c->out->offset_bytes = offset;
    c->out->what = what;
    return IOR_E_CORRUPT;
}

/* What a sentence "path: damage at offset N: what" says behind the offset. */
static enum ior_err say_what(struct check *c, enum ior_err err, uint64_t offset)
{
    static const char before[] = "damage at offset ";
    const char *text = c->out->why.text;
    const char *at = strstr(text, before);
    const char *what = at == NULL ? NULL : strstr(at + sizeof before - 1, ": ");
    c->out->offset_bytes = offset;
    c->out->what = what != NULL ? what + 2 : text[0] != 0 ? text : ior_err_reason(err);
    return err;
}

static enum ior_err check_head(struct check *c, size_t *ret_head_bytes)
{
    uint8_t head[CHUNK_HEAD_BYTES_MAX];
    struct chunk_id id;
    const struct chunk_id *want = &c->in->id;
    enum ior_err err =
        chunk_head_read(c->file, c->path, want, head, &id, ret_head_bytes, &c->out->why);
    if (err != IOR_OK) return say_what(c, err, 0);
    if (want->stream.size_bytes > 0 &&
        (!ior_slice_eq(want->bucket, id.bucket) || !ior_slice_eq(want->stream, id.stream)))
        return wrong(c, CHUNK_HEAD_BYTES, "its names are not those of the catalog");
    return IOR_OK;
}

/* One entry further. */
static enum ior_err check_entry(struct check *c, struct chunk_window *w, struct chunk_state *state)
{
    struct chunk_mark at = {state->last_seqnum + 1, state->end_bytes};
    struct chunk_entry e;
    size_t length = 0;
    enum ior_err err = chunk_window_entry(w, &at, CHUNK_BLOCK_BYTES, &e, &length, &c->out->why);
    if (err != IOR_OK) return say_what(c, err, at.offset_bytes);
    if (!chunk_entry_payload_ok(&e))
        return wrong(c, at.offset_bytes, "a payload fails its checksum");
    if (e.item.op != ITEM_APPEND) return wrong(c, at.offset_bytes, "an item that is no event");
    if (state->last_index > e.index) return wrong(c, at.offset_bytes, "the index goes back");
    chunk_state_add(state, at.seqnum == c->in->id.first_seqnum, &e, length);
    if (at.seqnum >= c->in->low) c->out->bytes_from_low += e.item.payload.size_bytes;
    return IOR_OK;
}

static bool same_state(const struct chunk_state *a, const struct chunk_state *b)
{
    return a->end_bytes == b->end_bytes && a->last_seqnum == b->last_seqnum &&
           a->payload_bytes == b->payload_bytes && a->first_time_ms == b->first_time_ms &&
           a->last_time_ms == b->last_time_ms && a->last_index == b->last_index;
}

static enum ior_err check_footer(struct check *c, struct chunk_window *w, size_t head_bytes)
{
    struct chunk_mark first = {c->in->id.first_seqnum, head_bytes};
    struct chunk_state state;
    struct chunk_index index = {0};
    bool found = false;
    if (!c->in->state.sealed) return IOR_OK;
    enum ior_err err = chunk_footer_read(w, &first, &state, &index, &found);
    free(index.marks);
    if (err != IOR_OK) return say_what(c, err, c->in->state.end_bytes);
    c->out->footer_lost = !found;
    if (found && !same_state(&state, &c->in->state))
        return wrong(c, c->in->state.end_bytes, "its footer is not what the catalog says");
    return IOR_OK;
}

static enum ior_err check_all(struct check *c)
{
    const struct chunk_state *said = &c->in->state;
    size_t head_bytes = 0;
    enum ior_err err = disk_size(c->file, &c->out->file_bytes);
    if (err != IOR_OK) return say_what(c, err, 0);
    err = check_head(c, &head_bytes);
    if (err != IOR_OK) return err;
    if (c->out->file_bytes < said->end_bytes)
        return wrong(c, c->out->file_bytes, "the file is shorter than the catalog says");
    struct chunk_state state = {.end_bytes = head_bytes, .last_seqnum = c->in->id.first_seqnum - 1};
    struct chunk_window w = {.file = c->file,
                             .path = c->path,
                             .seed = chunk_seed(c->in->id.partition, c->in->id.uid),
                             .uid = c->in->id.uid,
                             .limit_bytes = said->end_bytes};
    while (err == IOR_OK && state.end_bytes < said->end_bytes) err = check_entry(c, &w, &state);
    if (err == IOR_OK && !same_state(&state, said))
        err = wrong(c, state.end_bytes, "its entries are not those that the catalog says");
    if (err == IOR_OK) err = check_footer(c, &w, head_bytes);
    chunk_window_done(&w);
    return err;
}

enum ior_err chunk_check(struct disk *d, const struct chunk_check *in, struct chunk_checked *ret)
{
    struct check c = {.in = in, .out = ret};
    *ret = (struct chunk_checked){.what = ""};
    chunk_path(in->id.partition, in->id.uid, in->id.first_seqnum, c.path);
    enum ior_err err = disk_open(d, c.path, DISK_READ, &c.file);
    if (err == IOR_E_NOTFOUND) {
        ret->what = "it is missing";
        return err;
    }
    if (err != IOR_OK) return say_what(&c, err, 0);
    err = check_all(&c);
    disk_close(c.file);
    return err;
}

/* ---- without a catalog ---- */

/* Sound entries from where state ends to the end of the file; what is damaged is stepped over. */
static enum ior_err step_through(struct chunk_window *w, uint64_t first_seqnum,
                                 struct chunk_found *ret, struct ior_why *why)
{
    for (;;) {
        struct chunk_index index = {0};
        struct chunk_mark later = {0};
        bool found = false;
        enum ior_err err = chunk_scan(w, first_seqnum, &ret->state, &index, why);
        free(index.marks);
        if (err != IOR_E_CORRUPT) return err;
        uint64_t at = ret->state.end_bytes;
        err = chunk_find_later(w, at + RECORD_ALIGN, ret->state.last_seqnum + 1, &found, &later);
        if (err != IOR_OK || !found) return err;
        ret->damaged = true;
        ret->state.end_bytes = later.offset_bytes;
        ret->state.last_seqnum = later.seqnum - 1;
    }
}

/* The low that the last entry carries. */
static enum ior_err read_low(struct chunk_reader *r, uint64_t *ret_low, struct ior_why *why)
{
    struct chunk_entry e;
    struct ior_blob *blob = NULL;
    size_t n = 0;
    enum ior_err err = chunk_read(r, chunk_reader_state(r)->last_seqnum, &e, 1, &n, &blob, why);
    if (err == IOR_OK && n == 1) *ret_low = e.item.low;
    ior_blob_unref(blob);
    return err;
}

static void take_id(const struct chunk_id *id, struct chunk_found *ret)
{
    memcpy(ret->names, id->bucket.data, id->bucket.size_bytes);
    memcpy(ret->names + id->bucket.size_bytes, id->stream.data, id->stream.size_bytes);
    ret->id = *id;
    ret->id.bucket = ior_slice(ret->names, id->bucket.size_bytes);
    ret->id.stream = ior_slice(ret->names + id->bucket.size_bytes, id->stream.size_bytes);
}

/* A file that chunk_open() refuses because something in its middle is damaged. */
static enum ior_err find_damaged(struct disk *d, const char *path, const struct chunk_id *wanted,
                                 struct chunk_found *ret, struct ior_why *why)
{
    uint8_t head[CHUNK_HEAD_BYTES_MAX];
    struct chunk_id id;
    struct ior_why here;
    size_t head_bytes = 0;
    struct chunk_window w = {
        .path = path, .seed = chunk_seed(wanted->partition, wanted->uid), .uid = wanted->uid};
    enum ior_err err = disk_open(d, path, DISK_READ, &w.file);
    if (err != IOR_OK) return err;
    err = chunk_head_read(w.file, path, wanted, head, &id, &head_bytes, why);
    if (err == IOR_OK) err = disk_size(w.file, &w.limit_bytes);
    if (err == IOR_OK) {
        take_id(&id, ret);
        ret->damaged = true;
        ret->low = 0;
        ret->state =
            (struct chunk_state){.end_bytes = head_bytes, .last_seqnum = wanted->first_seqnum - 1};
        err = step_through(&w, wanted->first_seqnum, ret, &here);
    }
    chunk_window_done(&w);
    disk_close(w.file);
    return err;
}

enum ior_err chunk_find(struct disk *d, uint32_t partition, uint64_t uid, uint64_t first_seqnum,
                        struct chunk_found *ret, struct ior_why *why)
{
    const struct chunk_id wanted = {
        .partition = partition, .uid = uid, .first_seqnum = first_seqnum};
    struct chunk_reader *r = NULL;
    char path[DISK_PATH_MAX];
    chunk_path(partition, uid, first_seqnum, path);
    *ret = (struct chunk_found){.damaged = false};
    enum ior_err err = chunk_open(d, partition, uid, first_seqnum, NULL, &r, why);
    if (err == IOR_E_CORRUPT) return find_damaged(d, path, &wanted, ret, why);
    if (err != IOR_OK) return err;
    take_id(chunk_reader_id(r), ret);
    ret->state = *chunk_reader_state(r);
    if (ret->state.last_seqnum >= first_seqnum) err = read_low(r, &ret->low, why);
    if (err == IOR_E_CORRUPT) { /* a footer hides damage of the last entry */
        ret->damaged = true;
        err = IOR_OK;
    }
    chunk_close(r);
    return err;
}

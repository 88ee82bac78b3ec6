/* src/store/chunk_read.c - the reading half of chunk.h.
 * Happy path: the place of a seqnum comes from the footer of a sealed chunk, or from an index
 * that grows while entries are walked, or is where the last read ended; one read of a block
 * there, and the entries stay in it.
 * Failure modes: what is not sound is CORRUPT with file and offset, and never given out. A
 * footer that is lost or does not fit the catalog's word is no damage: the index is made by
 * walking. */
#include <stdlib.h>

#include "base/assert.h"
#include "store/chunk_scan.h"

enum { READER_MAGIC = 0x43485244, READ_BYTES_MIN = 4096 };

struct chunk_reader {
    uint32_t magic;
    uint32_t seed;
    struct disk_file *file;
    struct chunk_id id; /* names are in head */
    struct chunk_state state;
    struct chunk_index index; /* whole, or of what lies in front of walked */
    struct chunk_mark walked; /* entries are known up to here */
    struct chunk_mark hint;   /* where the last read ended */
    bool footer_tried;
    bool index_whole;
    size_t head_bytes;
    uint8_t head[CHUNK_HEAD_BYTES_MAX];
    char path[DISK_PATH_MAX];
};

static struct chunk_window window_of(const struct chunk_reader *r, uint64_t limit_bytes)
{
    return (struct chunk_window){.file = r->file,
                                 .path = r->path,
                                 .seed = r->seed,
                                 .uid = r->id.uid,
                                 .limit_bytes = limit_bytes};
}

static struct chunk_mark first_mark(const struct chunk_reader *r)
{
    return (struct chunk_mark){r->id.first_seqnum, r->head_bytes};
}

/* ---- open ---- */

static enum ior_err check_state(const struct chunk_reader *r, const struct chunk_state *state,
                                struct ior_why *why)
{
    bool empty = state->last_seqnum == r->id.first_seqnum - 1;
    bool ok = state->end_bytes % RECORD_ALIGN == 0 && state->last_seqnum <= CHUNK_SEQNUM_MAX &&
              (empty || state->last_seqnum >= r->id.first_seqnum) &&
              (empty ? state->end_bytes == r->head_bytes : state->end_bytes > r->head_bytes);
    if (ok) return IOR_OK;
    return chunk_damage(why, r->path, state->end_bytes,
                        "the catalog says that entries end here, which cannot be");
}

/* Is there an event behind the first entry that is not sound? That entry may itself have a
 * sound head, and be torn in its payload. */
static enum ior_err find_later(struct chunk_window *w, const struct chunk_mark *torn,
                               bool *ret_found, struct chunk_mark *ret)
{
    enum ior_err err = chunk_find_later(w, torn->offset_bytes, torn->seqnum, ret_found, ret);
    if (err != IOR_OK || !*ret_found) return err;
    if (ret->offset_bytes != torn->offset_bytes || ret->seqnum != torn->seqnum) return IOR_OK;
    return chunk_find_later(w, torn->offset_bytes + RECORD_ALIGN, torn->seqnum, ret_found, ret);
}

/* Nobody knows how far it goes: as far as its entries are sound. But when there is an entry
 * behind one that is not, that one was damaged, for a chunk is written in order and synced. */
static enum ior_err find_end(struct chunk_reader *r, struct chunk_window *w, struct ior_why *why)
{
    bool later = false;
    struct chunk_mark found = {0};
    struct ior_why here;
    r->state =
        (struct chunk_state){.end_bytes = r->head_bytes, .last_seqnum = r->id.first_seqnum - 1};
    enum ior_err err = chunk_scan(w, r->id.first_seqnum, &r->state, &r->index, &here);
    r->walked = (struct chunk_mark){r->state.last_seqnum + 1, r->state.end_bytes};
    if (err == IOR_E_CORRUPT) {
        err = find_later(w, &r->walked, &later, &found);
        if (err == IOR_OK && later)
            return ior_why_set(why, IOR_E_CORRUPT, "%s (event %llu is behind it, at %llu)",
                               here.text, (unsigned long long)found.seqnum,
                               (unsigned long long)found.offset_bytes);
    }
    if (err != IOR_OK)
        return ior_why_set(why, err, "%s: cannot read it: %s", r->path, ior_err_reason(err));
    return IOR_OK;
}

static enum ior_err find_state(struct chunk_reader *r, struct ior_why *why)
{
    uint64_t file_bytes = 0;
    enum ior_err err = disk_size(r->file, &file_bytes);
    if (err != IOR_OK) return ior_why_set(why, err, "%s: cannot read its size", r->path);
    struct chunk_window w = window_of(r, file_bytes);
    struct chunk_mark first = first_mark(r);
    err = chunk_footer_read(&w, &first, &r->state, &r->index, &r->index_whole);
    if (err != IOR_OK) {
        err = ior_why_set(why, err, "%s: cannot read its footer", r->path);
    } else if (!r->index_whole) {
        err = find_end(r, &w, why);
    } else {
        err = check_state(r, &r->state, why);
    }
    r->footer_tried = true;
    chunk_window_done(&w);
    return err;
}

static enum ior_err open_in(struct disk *d, struct chunk_reader *r, const struct chunk_id *wanted,
                            const struct chunk_state *state, struct ior_why *why)
{
    enum ior_err err = disk_open(d, r->path, DISK_READ, &r->file);
    if (err == IOR_E_NOTFOUND) return ior_why_set(why, err, "%s: it is missing", r->path);
    if (err != IOR_OK)
        return ior_why_set(why, err, "%s: cannot open it: %s", r->path, ior_err_reason(err));
    err = chunk_head_read(r->file, r->path, wanted, r->head, &r->id, &r->head_bytes, why);
    if (err != IOR_OK) return err;
    r->walked = first_mark(r);
    r->hint = r->walked;
    if (state == NULL) return find_state(r, why);
    r->state = *state;
    return check_state(r, state, why);
}

enum ior_err chunk_open(struct disk *d, uint32_t partition, uint64_t uid, uint64_t first_seqnum,
                        const struct chunk_state *state, struct chunk_reader **ret,
                        struct ior_why *why)
{
    const struct chunk_id wanted = {
        .partition = partition, .uid = uid, .first_seqnum = first_seqnum};
    struct chunk_reader *r = calloc(1, sizeof *r);
    if (r == NULL) return ior_why_set(why, IOR_E_NOMEM, "no memory for the reader of a chunk");
    r->magic = READER_MAGIC;
    r->seed = chunk_seed(partition, uid);
    chunk_path(partition, uid, first_seqnum, r->path);
    enum ior_err err = open_in(d, r, &wanted, state, why);
    if (err != IOR_OK) {
        chunk_close(r);
        return err;
    }
    *ret = r;
    return IOR_OK;
}

void chunk_close(struct chunk_reader *r)
{
    if (r == NULL) return;
    IOR_CHECK_MAGIC(r, READER_MAGIC);
    disk_close(r->file);
    free(r->index.marks);
    r->magic = 0;
    free(r);
}

const struct chunk_id *chunk_reader_id(const struct chunk_reader *r)
{
    IOR_CHECK_MAGIC(r, READER_MAGIC);
    return &r->id;
}

const struct chunk_state *chunk_reader_state(const struct chunk_reader *r)
{
    IOR_CHECK_MAGIC(r, READER_MAGIC);
    return &r->state;
}

void chunk_reader_extend(struct chunk_reader *r, const struct chunk_state *state)
{
    IOR_CHECK_MAGIC(r, READER_MAGIC);
    IOR_ASSERT(state->end_bytes >= r->state.end_bytes &&
               state->last_seqnum >= r->state.last_seqnum);
    IOR_ASSERT(!r->state.sealed || (state->sealed && state->end_bytes == r->state.end_bytes));
    if (state->sealed && !r->state.sealed) r->footer_tried = false;
    r->state = *state;
}

/* ---- read ---- */

/* The index of a sealed chunk, once. What it says must be what the catalog says. */
static enum ior_err load_footer(struct chunk_reader *r, struct ior_why *why)
{
    if (!r->state.sealed || r->footer_tried) return IOR_OK;
    struct chunk_state state;
    struct chunk_index index = {0};
    bool found = false;
    struct chunk_window w = window_of(r, r->state.end_bytes);
    struct chunk_mark first = first_mark(r);
    enum ior_err err = chunk_footer_read(&w, &first, &state, &index, &found);
    chunk_window_done(&w);
    if (err != IOR_OK) return ior_why_set(why, err, "%s: cannot read its footer", r->path);
    r->footer_tried = true;
    if (found && state.end_bytes == r->state.end_bytes &&
        state.last_seqnum == r->state.last_seqnum) {
        free(r->index.marks);
        r->index = index;
        r->index_whole = true;
    } else {
        free(index.marks);
    }
    return IOR_OK;
}

/* The last known place that is not behind seqnum. */
static struct chunk_mark seek(const struct chunk_reader *r, uint64_t seqnum)
{
    struct chunk_mark best = first_mark(r);
    size_t low = 0;
    size_t high = r->index.count;
    while (low < high) { /* in front of low: not behind seqnum; from high on: behind it */
        size_t mid = low + (high - low) / 2;
        if (r->index.marks[mid].seqnum <= seqnum) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    if (low > 0) best = r->index.marks[low - 1];
    if (r->walked.seqnum <= seqnum && r->walked.seqnum > best.seqnum) best = r->walked;
    if (r->hint.seqnum <= seqnum && r->hint.seqnum > best.seqnum) best = r->hint;
    return best;
}

/* A guess from the mean size of an entry: a read of few events need not take a block. */
static size_t guess_bytes(const struct chunk_reader *r, const struct chunk_mark *at, uint64_t from,
                          size_t max)
{
    uint64_t count = r->state.last_seqnum - r->id.first_seqnum + 1;
    uint64_t mean = (r->state.end_bytes - r->head_bytes) / count + 1;
    uint64_t skip = from - at->seqnum;
    if (max >= CHUNK_BLOCK_BYTES / mean || skip >= CHUNK_BLOCK_BYTES / mean)
        return CHUNK_BLOCK_BYTES;
    uint64_t guess = (skip + max) * mean + mean / 2;
    if (guess > CHUNK_BLOCK_BYTES) return CHUNK_BLOCK_BYTES;
    return guess < READ_BYTES_MIN ? READ_BYTES_MIN : (size_t)guess;
}

/* Behind an entry that was found sound. */
static void step(struct chunk_reader *r, struct chunk_mark *at, size_t length_bytes)
{
    struct chunk_mark next = {at->seqnum + 1, at->offset_bytes + length_bytes};
    if (!r->index_whole && at->offset_bytes == r->walked.offset_bytes) {
        /* Without memory the index has a gap: then the walk through it is longer. */
        if (chunk_index_reserve(&r->index, 1) == IOR_OK) chunk_index_note(&r->index, *at);
        r->walked = next;
    }
    *at = next;
}

/* Entries from *at on: passes those in front of `from`, gives what is in one window. */
static enum ior_err take(struct chunk_reader *r, struct chunk_window *w, struct chunk_mark *at,
                         uint64_t from, struct chunk_entry *out, size_t max, size_t *ret_count,
                         struct ior_why *why)
{
    size_t want = guess_bytes(r, at, from, max);
    size_t n = 0;
    enum ior_err err = IOR_OK;
    while (err == IOR_OK && n < max && at->seqnum <= r->state.last_seqnum &&
           (n == 0 || chunk_window_has(w, at->offset_bytes))) {
        size_t length = 0;
        err = chunk_window_entry(w, at, want, &out[n], &length, why);
        if (err == IOR_OK && at->seqnum >= from) {
            if (!chunk_entry_payload_ok(&out[n])) {
                err = chunk_damage(why, r->path, at->offset_bytes, "a payload fails its checksum");
                break;
            }
            n++;
        }
        if (err == IOR_OK) step(r, at, length);
    }
    *ret_count = n;
    return n > 0 ? IOR_OK : err;
}

enum ior_err chunk_read(struct chunk_reader *r, uint64_t from, struct chunk_entry *out, size_t max,
                        size_t *ret_count, struct ior_blob **ret_blob, struct ior_why *why)
{
    IOR_CHECK_MAGIC(r, READER_MAGIC);
    IOR_ASSERT(max > 0 && from >= r->id.first_seqnum);
    *ret_count = 0;
    *ret_blob = NULL;
    if (from > r->state.last_seqnum) return IOR_OK;
    enum ior_err err = load_footer(r, why);
    if (err != IOR_OK) return err;
    struct chunk_mark at = seek(r, from);
    struct chunk_window w = window_of(r, r->state.end_bytes);
    err = take(r, &w, &at, from, out, max, ret_count, why);
    if (err != IOR_OK) {
        chunk_window_done(&w);
        return err;
    }
    r->hint = at;
    *ret_blob = w.blob; /* the caller's now */
    return IOR_OK;
}

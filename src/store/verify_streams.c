/* src/store/verify_streams.c - rows of streams against their chunks and small values.
 * Happy path: rows and chunks lie in the same order, so one walk meets both; each chunk file is
 * read whole (chunk_check.h), small entries where they lie in memory.
 * Failure modes: whatever does not fit is told; a stream goes on with what is sound. */
#include <inttypes.h>

#include "store/chunk_check.h"
#include "store/chunk_format.h"
#include "store/small.h"
#include "store/verify_private.h"

struct one {
    struct verify *v;
    uint32_t partition;
    uint64_t uid;
    struct stream_row row;
    struct ior_slice bucket;
    uint64_t low;   /* of a deleted stream: nothing is kept */
    uint64_t first; /* event that lies somewhere; 0: none */
    uint64_t last;
    uint64_t bytes;
    bool sound; /* bytes can be trusted */
};

struct progress {
    uint64_t done;
};

static void say(struct one *o, const char *what)
{
    o->sound = false;
    verify_say(o->v, VERIFY_ERROR, KV_LMDB_FILE, VERIFY_NO_OFFSET, VERIFY_STREAM_FMT ": %s", o->uid,
               o->partition, what);
}

/* ---- small ---- */

const char *verify_small_entries(struct ior_slice entries, uint64_t uid, uint64_t low,
                                 struct verify_small *ret, uint64_t *ret_offset)
{
    struct small_reader r = {.bytes = entries, .uid = uid};
    struct chunk_entry e;
    const char *what = NULL;
    enum ior_err err;
    *ret = (struct verify_small){.first = 0};
    while ((err = small_next(&r, &e, &what)) == IOR_OK) {
        if (ret->first == 0) ret->first = e.item.seqnum;
        ret->last = e.item.seqnum;
        ret->last_index = e.index;
        ret->last_time_ms = e.time_ms;
        if (e.item.seqnum >= low) ret->bytes_from_low += e.item.payload.size_bytes;
    }
    *ret_offset = r.pos;
    if (err != IOR_E_END) return what;
    return ret->first == 0 ? "it has no entry" : NULL;
}

static void check_small(struct one *o, struct ior_slice value)
{
    struct ior_slice entries;
    struct verify_small small;
    uint64_t offset = 0;
    if (catalog_decode_bytes(value, &entries) != IOR_OK) return;
    const char *wrong = verify_small_entries(entries, o->uid, o->low, &small, &offset);
    if (wrong != NULL) {
        o->sound = false;
        verify_say(o->v, VERIFY_ERROR, KV_LMDB_FILE, VERIFY_NO_OFFSET,
                   VERIFY_STREAM_FMT ": small entries, byte %" PRIu64 ": %s", o->uid, o->partition,
                   offset, wrong);
        return;
    }
    if (o->first != 0) say(o, "it has chunks and is small");
    o->first = small.first;
    o->last = small.last;
    o->bytes += small.bytes_from_low;
}

/* ---- chunks ---- */

static void check_file(struct one *o, const struct chunk_row *c)
{
    char path[DISK_PATH_MAX];
    struct chunk_checked got;
    const struct chunk_check in = {
        .id = {.partition = o->partition,
               .uid = o->uid,
               .first_seqnum = c->first_seqnum,
               .bucket = o->bucket,
               .stream = o->bucket.data == NULL ? ior_slice(NULL, 0) : o->row.name},
        .state = c->state,
        .low = o->low};
    chunk_path(o->partition, o->uid, c->first_seqnum, path);
    enum ior_err err = chunk_check(o->v->p->disk, &in, &got);
    o->bytes += got.bytes_from_low;
    if (err != IOR_OK) {
        o->sound = false;
        verify_say(o->v, VERIFY_ERROR, path,
                   err == IOR_E_NOTFOUND ? VERIFY_NO_OFFSET : got.offset_bytes, "%s", got.what);
    } else if (got.footer_lost) {
        verify_say(o->v, VERIFY_NOTE, path, c->state.end_bytes,
                   "its footer is lost: reading it is slower");
    }
}

static void check_chunk(struct one *o, const struct chunk_row *c)
{
    const struct chunk_state *s = &c->state;
    o->v->counts->chunks++;
    if (c->first_seqnum == 0 || s->last_seqnum < c->first_seqnum ||
        s->last_seqnum > CHUNK_SEQNUM_MAX) {
        say(o, "a chunk without an event");
        return;
    }
    if (o->first == 0) {
        o->first = c->first_seqnum;
    } else if (c->first_seqnum != o->last + 1) {
        o->sound = false;
        verify_say(o->v, VERIFY_ERROR, KV_LMDB_FILE, VERIFY_NO_OFFSET,
                   VERIFY_STREAM_FMT ": a chunk begins at event %" PRIu64
                                     ", the one before ends at %" PRIu64,
                   o->uid, o->partition, c->first_seqnum, o->last);
    }
    o->last = s->last_seqnum;
    if (o->last < o->low) say(o, "a chunk lies below low whole");
    check_file(o, c);
}

/* Chunks of the stream, from *at on, in the order of their keys. */
static void check_chunks(struct one *o, size_t *at, struct progress *progress)
{
    const struct image *m = &o->v->image;
    const struct verify_params *p = o->v->p;
    struct catalog_key key = catalog_key_uid(o->partition, o->uid);
    while (*at < m->tables[KV_CHUNKS].count) {
        struct ior_slice found = image_key(m, KV_CHUNKS, *at);
        uint32_t partition;
        uint64_t uid;
        struct chunk_row c;
        uint64_t first_seqnum = 0;
        if (!ior_slice_starts(found, catalog_key_slice(&key))) return;
        if (catalog_decode_chunk(image_value(m, KV_CHUNKS, *at), &c) == IOR_OK &&
            catalog_parse_ids(found, &partition, &uid, &first_seqnum) == IOR_OK) {
            c.first_seqnum = first_seqnum;
            check_chunk(o, &c);
        }
        ++*at;
        if (p->on_progress != NULL)
            p->on_progress(p->ctx, ++progress->done, m->tables[KV_CHUNKS].count);
    }
}

/* ---- a stream ---- */

static void check_range(struct one *o)
{
    const struct stream_row *row = &o->row;
    bool empty = o->low > row->high;
    if (row->low == 0 || row->low > row->high + 1 || row->high > CHUNK_SEQNUM_MAX) {
        say(o, "low and high cannot be");
        return;
    }
    if (o->first == 0 && !empty) say(o, "its events are nowhere");
    if (o->first != 0 && o->first > o->low && !empty) say(o, "the event low is nowhere");
    if (o->first != 0 && o->last != row->high)
        say(o, o->last < row->high ? "its last events are nowhere"
                                   : "events behind its last one are saved");
    if (o->sound && o->bytes != row->bytes) say(o, "its bytes are not those of its events");
    if (o->row.deleted) return;
    o->v->counts->streams++;
    if (!empty) o->v->counts->events += row->high - row->low + 1;
    o->v->counts->bytes += o->bytes;
}

static void check_stream(struct one *o, size_t *chunk_at, struct progress *progress)
{
    const struct image *m = &o->v->image;
    struct catalog_key key = catalog_key_uid(o->partition, o->uid);
    o->sound = true;
    o->bucket = verify_bucket_name(o->v, o->row.bucket_id);
    o->low = o->row.deleted && o->row.low <= o->row.high ? o->row.high + 1 : o->row.low;
    check_chunks(o, chunk_at, progress);
    struct ior_slice small = image_get(m, KV_SMALL, catalog_key_slice(&key));
    if (small.data != NULL) check_small(o, small);
    check_range(o);
}

/* Chunks, small values and keys of a stream that has no row. */
static void say_orphans(struct verify *v, enum kv_table t, const char *what)
{
    const struct image *m = &v->image;
    struct ior_slice last = ior_slice(NULL, 0);
    for (size_t i = 0; i < m->tables[t].count; i++) {
        struct ior_slice key = image_key(m, t, i);
        uint32_t partition;
        uint64_t uid;
        key.size_bytes = CATALOG_UID_KEY_BYTES;
        if (ior_slice_eq(key, last) || catalog_parse_uid(key, &partition, &uid) != IOR_OK) continue;
        last = key;
        if (image_get(m, KV_ROWS, key).data == NULL)
            verify_say(v, VERIFY_ERROR, KV_LMDB_FILE, VERIFY_NO_OFFSET,
                       VERIFY_STREAM_FMT ": it has %s but no row", uid, partition, what);
    }
}

void verify_streams(struct verify *v)
{
    const struct image *m = &v->image;
    struct progress progress = {0};
    size_t chunk_at = 0;
    for (size_t i = 0; i < m->tables[KV_ROWS].count; i++) {
        struct one o = {.v = v};
        struct ior_slice key = image_key(m, KV_ROWS, i);
        if (catalog_parse_uid(key, &o.partition, &o.uid) != IOR_OK ||
            catalog_decode_stream(image_value(m, KV_ROWS, i), &o.row) != IOR_OK)
            continue;
        while (chunk_at < m->tables[KV_CHUNKS].count) { /* of streams without a row */
            struct ior_slice chunk = image_key(m, KV_CHUNKS, chunk_at);
            chunk.size_bytes = CATALOG_UID_KEY_BYTES;
            if (ior_slice_cmp(chunk, key) >= 0) break;
            chunk_at++;
        }
        check_stream(&o, &chunk_at, &progress);
    }
    say_orphans(v, KV_CHUNKS, "chunks");
    say_orphans(v, KV_SMALL, "small entries");
    say_orphans(v, KV_KEYS, "idempotency keys");
}

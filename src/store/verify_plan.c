/* src/store/verify_plan.c - see verify_plan.h.
 * Happy path: rows of the old catalog, chunk files and names are gathered by uid; settle() says
 * for each how far it goes without the journal; a walk over the journal says where it goes on;
 * conclude() makes the row, so that a start that replays this journal accepts it.
 * Failure modes: what is lost is told once a stream (VERIFY_LOST). */
#include "store/verify_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/hash.h"

enum { NAME_TEXT_BYTES = 200, LOST_NAMES_MAX = 1 << 22 };

struct ior_slice plan_bucket(const struct plan_stream *s)
{
    return ior_slice(s->names.data, s->bucket_bytes);
}

struct ior_slice plan_name(const struct plan_stream *s)
{
    return ior_slice(s->names.data + s->bucket_bytes, s->names.size_bytes - s->bucket_bytes);
}

static void tell(struct plan *p, const struct plan_stream *s, enum verify_level level,
                 const char *what)
{
    char bucket[NAME_TEXT_BYTES] = "?";
    char name[NAME_TEXT_BYTES] = "?";
    if (s->bucket_bytes > 0) {
        verify_printable(plan_bucket(s), bucket, sizeof bucket);
        verify_printable(plan_name(s), name, sizeof name);
    }
    verify_say(&p->v, level, KV_LMDB_FILE, VERIFY_NO_OFFSET, "%s/%s (" VERIFY_STREAM_FMT "): %s",
               bucket, name, s->uid, s->partition, what);
}

static void tell_lost(struct plan *p, const struct plan_stream *s, uint64_t from, uint64_t to)
{
    char text[128];
    if (from > to) return;
    snprintf(text, sizeof text, "events %" PRIu64 " to %" PRIu64 " are lost", from, to);
    tell(p, s, VERIFY_LOST, text);
}

/* ---- gathering ---- */

static bool same_uid(const void *object, const void *key)
{
    return ((const struct plan_stream *)object)->uid == *(const uint64_t *)key;
}

static struct plan_stream *find(struct plan *p, uint64_t uid)
{
    return ior_map_find(&p->map, uid, same_uid, &uid);
}

/* NULL: no memory. */
static struct plan_stream *find_or_add(struct plan *p, uint32_t partition, uint64_t uid)
{
    struct plan_stream *s = find(p, uid);
    if (s != NULL) return s;
    if (p->count == p->room) {
        size_t room = p->room == 0 ? 64 : p->room * 2;
        struct plan_stream **items = reallocarray(p->items, room, sizeof *items);
        if (items == NULL) return NULL;
        p->items = items;
        p->room = room;
    }
    s = calloc(1, sizeof *s);
    if (s == NULL) return NULL;
    s->partition = partition;
    s->uid = uid;
    s->row = (struct stream_row){.partition = partition, .uid = uid};
    if (ior_map_add(&p->map, uid, s) != IOR_OK) {
        free(s);
        return NULL;
    }
    p->items[p->count++] = s;
    return s;
}

static void set_name(struct plan_stream *s, struct ior_slice bucket, struct ior_slice name)
{
    if (s->bucket_bytes > 0 || bucket.size_bytes == 0) return;
    ior_buf_add_slice(&s->names, bucket);
    ior_buf_add_slice(&s->names, name);
    if (!ior_buf_failed(&s->names)) s->bucket_bytes = bucket.size_bytes;
}

static enum ior_err gather_rows(struct plan *p)
{
    const struct image *m = &p->v.image;
    for (size_t i = 0; i < m->tables[KV_ROWS].count; i++) {
        struct stream_row row;
        if (catalog_parse_uid(image_key(m, KV_ROWS, i), &row.partition, &row.uid) != IOR_OK)
            continue;
        uint32_t partition = row.partition;
        uint64_t uid = row.uid;
        if (catalog_decode_stream(image_value(m, KV_ROWS, i), &row) != IOR_OK) continue;
        if (uid == 0 || partition >= p->v.identity.ring_size || row.low == 0 ||
            row.low > row.high + 1 || row.high > INT64_MAX)
            continue;
        struct plan_stream *s = find_or_add(p, partition, uid);
        if (s == NULL) return IOR_E_NOMEM;
        if (s->partition != partition || s->has_row) continue;
        s->has_row = true;
        s->old = row;
        set_name(s, verify_bucket_name(&p->v, row.bucket_id), row.name);
    }
    return IOR_OK;
}

/* Small values of streams without a row. */
static enum ior_err gather_orphans(struct plan *p)
{
    const struct image *m = &p->v.image;
    for (size_t i = 0; i < m->tables[KV_SMALL].count; i++) {
        uint32_t partition;
        uint64_t uid;
        if (catalog_parse_uid(image_key(m, KV_SMALL, i), &partition, &uid) != IOR_OK) continue;
        if (uid == 0 || partition >= p->v.identity.ring_size) continue;
        if (find_or_add(p, partition, uid) == NULL) return IOR_E_NOMEM;
    }
    return IOR_OK;
}

static void gather_small(struct plan *p, struct plan_stream *s)
{
    struct ior_slice entries;
    uint64_t offset = 0;
    struct catalog_key key = catalog_key_uid(s->partition, s->uid);
    struct ior_slice value = image_get(&p->v.image, KV_SMALL, catalog_key_slice(&key));
    if (value.data == NULL || catalog_decode_bytes(value, &entries) != IOR_OK) return;
    uint64_t low = s->has_row ? s->old.low : 1;
    const char *wrong = verify_small_entries(entries, s->uid, low, &s->small_state, &offset);
    if (wrong == NULL) s->small = entries;
}

/* Of streams whose row is lost: a name that leads to them. */
static void take_name(void *ctx, uint32_t bucket_id, struct ior_slice name,
                      const struct catalog_name *to)
{
    struct plan *p = ctx;
    struct ior_slice bucket = verify_bucket_name(&p->v, bucket_id);
    if (to->partition >= p->v.identity.ring_size || bucket.data == NULL) return;
    struct plan_stream *s = find_or_add(p, to->partition, to->uid);
    if (s == NULL || s->partition != to->partition) return;
    set_name(s, bucket, name);
    if (!s->has_row) s->name_deleted = to->deleted;
}

/* ---- chunk files ---- */

static bool in_grave(struct plan *p, const struct verify_file *f)
{
    char path[DISK_PATH_MAX];
    chunk_path(f->partition, f->uid, f->first_seqnum, path);
    return image_get(&p->v.image, KV_GRAVE, ior_slice_str(path)).data != NULL;
}

/* The old catalog's word for a file, as far as it can be true. */
static bool old_row(struct plan *p, const struct plan_stream *s, const struct verify_file *f,
                    const struct chunk_found *found, struct chunk_row *ret)
{
    struct catalog_key key = catalog_key_ids(f->partition, f->uid, f->first_seqnum);
    struct ior_slice value = image_get(&p->v.image, KV_CHUNKS, catalog_key_slice(&key));
    if (!s->has_row || value.data == NULL || catalog_decode_chunk(value, ret) != IOR_OK)
        return false;
    ret->first_seqnum = f->first_seqnum;
    return ret->state.last_seqnum >= f->first_seqnum && ret->state.last_seqnum <= s->old.high &&
           (found->damaged || (ret->state.end_bytes <= found->state.end_bytes &&
                               ret->state.last_seqnum <= found->state.last_seqnum));
}

static enum ior_err gather_file(struct plan *p, const struct verify_file *f, struct ior_why *why)
{
    struct chunk_found found;
    char path[DISK_PATH_MAX];
    chunk_path(f->partition, f->uid, f->first_seqnum, path);
    if (f->uid == 0 || f->partition >= p->v.identity.ring_size) return IOR_OK;
    enum ior_err err = chunk_find(p->v.p->disk, f->partition, f->uid, f->first_seqnum, &found, why);
    if (err == IOR_E_NOMEM || err == IOR_E_VERSION) return err;
    if (err != IOR_OK) {
        verify_say(&p->v, VERIFY_LOST, path, VERIFY_NO_OFFSET, "%s", why->text);
        return IOR_OK;
    }
    struct plan_stream *s = find_or_add(p, f->partition, f->uid);
    if (s == NULL) return IOR_E_NOMEM;
    if (s->partition != f->partition) return IOR_OK;
    struct plan_chunk c = {.low = found.low,
                           .damaged = found.damaged,
                           .is_buried = in_grave(p, f),
                           .row = {f->first_seqnum, found.state}};
    struct chunk_row old;
    c.named = old_row(p, s, f, &found, &old);
    if (c.named) c.row = old;
    if (c.damaged)
        verify_say(&p->v, VERIFY_LOST, path, VERIFY_NO_OFFSET,
                   "damaged in the middle; what is sound of it is kept");
    struct plan_chunk *chunks = reallocarray(s->chunks, s->chunk_count + 1, sizeof *chunks);
    if (chunks == NULL) return IOR_E_NOMEM;
    s->chunks = chunks;
    s->chunks[s->chunk_count++] = c;
    set_name(s, found.id.bucket, found.id.stream);
    return ior_buf_failed(&s->names) ? IOR_E_NOMEM : IOR_OK;
}

/* ---- without the journal ---- */

/* From the last chunk back to the first that joins it. Files that the old catalog does not name
 * count only where it has lost something. */
static size_t make_chain(struct plan *p, struct plan_stream *s)
{
    size_t in_chain = 0;
    uint64_t next = 0;
    bool only_named = p->v.image.whole && s->has_row;
    for (;;) {
        struct plan_chunk *best = NULL;
        for (size_t i = s->chunk_count; i > 0; i--) {
            struct plan_chunk *c = &s->chunks[i - 1];
            uint64_t last = c->row.state.last_seqnum;
            if (c->in_chain || c->is_buried || last < c->row.first_seqnum) continue;
            if (only_named && !c->named) continue;
            if (next != 0 && last + 1 != next) continue;
            if (best == NULL || last > best->row.state.last_seqnum) best = c;
        }
        if (best == NULL) return in_chain;
        best->in_chain = true;
        in_chain++;
        next = best->row.first_seqnum;
    }
}

static struct plan_chunk *edge(struct plan_stream *s, bool last)
{
    struct plan_chunk *found = NULL;
    for (size_t i = 0; i < s->chunk_count; i++) {
        if (s->chunks[i].in_chain && (last || found == NULL)) found = &s->chunks[i];
    }
    return found;
}

static void settle_chunks(struct plan_stream *s, struct stream_row *row)
{
    const struct plan_chunk *last = edge(s, true);
    const struct plan_chunk *first = edge(s, false);
    const struct chunk_state *state = &last->row.state;
    bool as_old = s->has_row && s->old.high == state->last_seqnum;
    row->high = state->last_seqnum;
    row->time_ms = as_old ? s->old.time_ms : state->last_time_ms;
    row->last_index = as_old ? s->old.last_index : state->last_index;
    uint64_t low = s->has_row ? s->old.low : last->low;
    s->low_said = low;
    row->low = low > first->row.first_seqnum ? low : first->row.first_seqnum;
    if (row->low > row->high + 1) row->low = row->high + 1;
}

static void settle_small(struct plan_stream *s, struct stream_row *row)
{
    const struct verify_small *small = &s->small_state;
    bool as_old = s->has_row && s->old.high == small->last;
    row->high = small->last;
    row->time_ms = as_old ? s->old.time_ms : small->last_time_ms;
    row->last_index = as_old ? s->old.last_index : small->last_index;
    uint64_t low = s->has_row ? s->old.low : small->first;
    s->low_said = low;
    row->low = low > small->first ? low : small->first;
}

/* How far the stream goes. What has neither a row nor an event is left to the journal. */
static enum ior_err settle(struct plan *p, struct plan_stream *s)
{
    struct stream_row *row = &s->row;
    *row = (struct stream_row){.partition = s->partition, .uid = s->uid};
    if (s->has_row) {
        *row = s->old;
        row->partition = s->partition;
        row->uid = s->uid;
    }
    row->deleted = s->has_row ? s->old.deleted : s->name_deleted;
    size_t chain = make_chain(p, s);
    bool any_named = false;
    for (size_t i = 0; i < s->chunk_count; i++)
        any_named = any_named || (s->chunks[i].in_chain && s->chunks[i].named);
    if (chain > 0 && s->small.size_bytes > 0 && !any_named) {
        for (size_t i = 0; i < s->chunk_count; i++) s->chunks[i].in_chain = false;
        chain = 0;
    }
    if (chain > 0) s->small = ior_slice(NULL, 0);
    s->wanted = s->has_row || chain > 0 || s->small.size_bytes > 0;
    if (!s->wanted) return IOR_OK;
    if (chain > 0) {
        settle_chunks(s, row);
    } else if (s->small.size_bytes > 0) {
        settle_small(s, row);
    } else if (s->old.low <= s->old.high && !s->old.deleted) { /* all of it is somewhere else */
        row->high = s->old.low - 1;
        row->last_index = 0;
    }
    const struct verify_stream vs = {.uid = s->uid,
                                     .partition = s->partition,
                                     .from_row = true,
                                     .low = row->low,
                                     .high = row->high,
                                     .last_index = row->last_index};
    return verify_add_stream(&p->v, &vs, NULL);
}

/* ---- with the journal ---- */

/* Nothing that lies in front of `from` can be reached any more. Its files are kept, but under a
 * name that no checkpoint touches. */
static void give_up(struct plan_stream *s)
{
    for (size_t i = 0; i < s->chunk_count; i++) {
        s->chunks[i].is_aside = s->chunks[i].in_chain;
        s->chunks[i].in_chain = false;
    }
    s->small = ior_slice(NULL, 0);
}

/* Events from low on in front of the first that joins the others. */
static void put_aside_front(struct plan_stream *s)
{
    for (size_t i = 0; i < s->chunk_count; i++) {
        struct plan_chunk *c = &s->chunks[i];
        uint64_t last = c->row.state.last_seqnum;
        if (!c->in_chain && !c->is_buried && last >= s->low_said && last < s->row.low)
            c->is_aside = true;
    }
}

static void bury_below(struct plan_stream *s)
{
    for (size_t i = 0; i < s->chunk_count; i++) {
        struct plan_chunk *c = &s->chunks[i];
        if (!c->in_chain || c->row.state.last_seqnum >= s->row.low) continue;
        c->in_chain = false;
        c->is_buried = true;
    }
}

static uint64_t bytes_of(struct plan *p, const struct plan_stream *s)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < s->chunk_count; i++) {
        const struct plan_chunk *c = &s->chunks[i];
        struct chunk_checked got;
        if (!c->in_chain) continue;
        const struct chunk_check in = {
            .id = {.partition = s->partition, .uid = s->uid, .first_seqnum = c->row.first_seqnum},
            .state = c->row.state,
            .low = s->row.low};
        bool whole = c->row.first_seqnum >= s->row.low;
        if (!whole && chunk_check(p->v.p->disk, &in, &got) == IOR_OK) {
            sum += got.bytes_from_low;
        } else {
            sum += c->row.state.payload_bytes;
        }
    }
    if (s->small.size_bytes > 0) {
        struct verify_small small;
        uint64_t offset;
        if (verify_small_entries(s->small, s->uid, s->row.low, &small, &offset) == NULL)
            sum += small.bytes_from_low;
    }
    return sum;
}

/* A stream whose events are there but nobody knows the name: they must not be lost for that, so
 * it gets one that belongs into its partition. */
static void give_name(struct plan *p, struct plan_stream *s)
{
    char name[48];
    struct ior_slice bucket = IOR_SLICE("lost");
    if (s->bucket_bytes > 0) return;
    for (unsigned i = 0; i < LOST_NAMES_MAX; i++) {
        snprintf(name, sizeof name, "%016" PRIx64 ".%u", s->uid, i);
        if (ior_hash_pair(bucket, ior_slice_str(name)) % p->v.identity.ring_size == s->partition)
            break;
    }
    set_name(s, bucket, ior_slice_str(name));
    tell(p, s, VERIFY_LOST, "its name is lost; this one was made");
}

/* The row, now that it is known where the journal goes on. */
static void conclude(struct plan *p, struct plan_stream *s)
{
    struct stream_row *row = &s->row;
    const struct verify_stream *j = verify_find_stream(&p->v, s->uid);
    if (!s->wanted) {
        if (j == NULL) tell(p, s, VERIFY_LOST, "only its name is left: its ids begin anew");
        if (j == NULL || j->created) return;
        s->wanted = true;
        row->low = row->high = 0;
    }
    if (j->created) { /* the journal has all of it */
        s->wanted = false;
        return;
    }
    give_name(p, s);
    uint64_t must = s->has_row ? s->old.high : 0;
    uint64_t low_was = s->has_row ? s->old.low : s->low_said > 0 ? s->low_said : 1;
    bool has_gap = j->gap_to != 0 && j->gap_to > row->high + 1;
    if (has_gap || j->high < must) {
        uint64_t next = has_gap && j->high >= must ? j->gap_to : must + 1;
        give_up(s);
        tell_lost(p, s, low_was, next - 1);
        row->high = next - 1;
        row->low = has_gap && j->gap_low > next ? j->gap_low : next;
        if (row->low > row->high + 1) row->low = row->high + 1;
        row->last_index = has_gap && j->high >= must ? j->gap_index - 1 : s->old.last_index;
    } else if (low_was < row->low) {
        put_aside_front(s);
        tell_lost(p, s, low_was, row->low - 1);
    }
    if (row->low == 0) row->low = 1;
    if (row->deleted && row->low <= row->high) row->low = row->high + 1;
    bury_below(s);
    row->bytes = bytes_of(p, s);
    if (!s->has_row) tell(p, s, VERIFY_NOTE, "its row was made anew");
}

static enum ior_err adopt_all(struct plan *p)
{
    size_t pos = 0;
    const struct verify_stream *j;
    enum ior_err err = IOR_OK;
    while (err == IOR_OK && (j = ior_map_next(&p->v.streams, &pos)) != NULL) {
        if (j->lost_row && find_or_add(p, j->partition, j->uid) == NULL) err = IOR_E_NOMEM;
    }
    return err;
}

/* ---- groups and facts ---- */

static bool has_facts(const struct image *m)
{
    struct ior_slice bytes;
    char name[32];
    struct ior_slice value = image_get(m, KV_META, IOR_SLICE("facts"));
    if (value.data == NULL || catalog_decode_bytes(value, &bytes) != IOR_OK ||
        bytes.size_bytes != 4)
        return false;
    uint32_t pieces = ior_get_u32(bytes.data);
    for (uint32_t i = 0; i < pieces; i++) {
        snprintf(name, sizeof name, "facts.%06u", i);
        if (image_get(m, KV_META, ior_slice_str(name)).data == NULL) return false;
    }
    return true;
}

/* Which records of the journal are to be replayed? Of a sound catalog: those behind its rows. Else
 * all of them: a stream that is saved passes over what it has already (stream.last_index), so
 * a lower index is safe for as long as the journal has every record behind it; a higher one
 * would leave out what only the journal has. (A round that was cut short leaves rows and chunks
 * beyond the group's row: they are not a reason for a higher one.) */
static void prepare_groups(struct plan *p)
{
    struct verify *v = &p->v;
    p->facts_lost = !has_facts(&v->image) || !v->groups[0].saved;
    for (uint32_t g = 0; g <= v->identity.ring_size; g++) {
        if (v->image.whole || (g == 0 && !p->facts_lost)) continue;
        v->groups[g].saved = false;
        v->groups[g].saved_index = v->groups[g].last_index = 0;
        v->groups[g].saved_term = v->groups[g].term = 0;
    }
}

static uint64_t highest_index(const struct plan *p, uint32_t group)
{
    uint64_t highest = 0;
    for (size_t i = 0; i < p->count; i++) {
        const struct plan_stream *s = p->items[i];
        if (s->wanted && s->partition + 1 == group && s->row.last_index > highest)
            highest = s->row.last_index;
    }
    return highest;
}

static uint64_t highest_term(const struct plan *p)
{
    uint64_t highest = 1;
    for (uint32_t g = 0; g <= p->v.identity.ring_size; g++) {
        if (p->v.groups[g].term > highest) highest = p->v.groups[g].term;
    }
    return highest;
}

bool plan_group(struct plan *p, uint32_t group, struct group_row *ret)
{
    const struct verify_group *g = &p->v.groups[group];
    uint64_t known = group == 0 ? 0 : highest_index(p, group);
    if (g->row_index > known) known = g->row_index;
    *ret = (struct group_row){.term = highest_term(p), .applied_index = known};
    if (g->saved) {
        ret->term = g->saved_term;
        ret->applied_index = g->saved_index;
    }
    if (g->seen && (!g->saved || g->first_applied != g->saved_index + 1)) {
        ret->applied_index = g->first_applied - 1;
        ret->term = g->first_term;
        if (ret->applied_index > known)
            verify_say(&p->v, VERIFY_LOST, JOURNAL_DIR, VERIFY_NO_OFFSET,
                       "group %" PRIu32 ": records %" PRIu64 " to %" PRIu64
                       " are neither here nor in a row: what they did may be lost",
                       group, known + 1, ret->applied_index);
    }
    ret->applied_term = ret->term;
    /* A partition with streams has a row in any case: without one a start would call it lost. */
    return ret->applied_index > 0 || (group > 0 && known > 0);
}

/* ---- the whole ---- */

static int by_place(const void *a, const void *b)
{
    const struct plan_stream *x = *(struct plan_stream *const *)a;
    const struct plan_stream *y = *(struct plan_stream *const *)b;
    if (x->partition != y->partition) return x->partition < y->partition ? -1 : 1;
    return x->uid < y->uid ? -1 : x->uid > y->uid;
}

static enum ior_err lowest_segment(void *ctx, const char *name)
{
    struct plan *p = ctx;
    uint64_t seq;
    if (segment_name_parse(name, &seq) && (p->lowest_segment == 0 || seq < p->lowest_segment))
        p->lowest_segment = seq;
    return IOR_OK;
}

static enum ior_err gather(struct plan *p, struct ior_why *why)
{
    enum ior_err err = gather_rows(p);
    if (err == IOR_OK) err = verify_list_files(p->v.p->disk, &p->files, why);
    for (size_t i = 0; i < p->files.count && err == IOR_OK; i++) {
        err = gather_file(p, &p->files.items[i], why);
        if (p->v.p->on_progress != NULL) p->v.p->on_progress(p->v.p->ctx, i + 1, p->files.count);
    }
    if (err == IOR_OK) err = gather_orphans(p);
    if (err == IOR_OK) verify_each_name(&p->v, take_name, p);
    for (size_t i = 0; i < p->count && err == IOR_OK; i++) {
        gather_small(p, p->items[i]);
        err = settle(p, p->items[i]);
    }
    return err;
}

static enum ior_err read_journal(struct plan *p, struct ior_why *why)
{
    enum ior_err err = IOR_OK;
    prepare_groups(p);
    verify_journal(&p->v, &err);
    if (err != IOR_OK)
        return ior_why_set(why, err, "the journal is damaged, and nothing was changed");
    err = disk_list(p->v.p->disk, JOURNAL_DIR, lowest_segment, p);
    return err == IOR_E_NOTFOUND ? IOR_OK : err;
}

enum ior_err plan_make(struct plan *p, const struct verify_params *vp, struct verify_counts *counts,
                       struct ior_why *why)
{
    *p = (struct plan){.count = 0};
    ior_map_init(&p->map);
    enum ior_err err = verify_begin(&p->v, vp, counts, true, why);
    if (err == IOR_OK) err = gather(p, why);
    if (err == IOR_OK) err = read_journal(p, why);
    if (err == IOR_OK) err = adopt_all(p);
    if (err == IOR_OK && !p->v.image.whole)
        verify_say(
            &p->v, VERIFY_LOST, KV_LMDB_FILE, VERIFY_NO_OFFSET,
            "it could not be read whole: small streams and users in the part that is damaged, "
            "of which neither a chunk file nor the journal has a trace, are lost without a "
            "name");
    if (err == IOR_OK && p->count > 0) {
        qsort(p->items, p->count, sizeof *p->items, by_place);
        for (size_t i = 0; i < p->count; i++) conclude(p, p->items[i]);
    }
    if (err != IOR_OK && why->text[0] == 0) ior_why_set(why, err, "%s", ior_err_reason(err));
    return err;
}

void plan_done(struct plan *p)
{
    for (size_t i = 0; i < p->count; i++) {
        ior_buf_done(&p->items[i]->names);
        free(p->items[i]->chunks);
        free(p->items[i]);
    }
    free(p->items);
    free(p->files.items);
    ior_map_done(&p->map);
    verify_end(&p->v);
}

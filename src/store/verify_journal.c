/* src/store/verify_journal.c - every record of the journal, as a start would apply it
 * (core/vnode.c, cluster/group.c), against the rows of the catalog.
 * Happy path: journal_replay() gives the records; of each group those behind its row follow
 * each other, and their items continue the streams as the rows have them.
 * Failure modes: what a start would refuse is told, once a stream or group; the segments
 * themselves are judged by journal_recover.c. In a rebuild gaps are noted for the new rows. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "store/verify_private.h"

struct walk {
    struct verify *v;
    enum ior_err err; /* NOMEM */
    uint64_t pushed;  /* events of the record so far, of the stream that follows */
    uint64_t pushed_uid;
};

static bool same_uid(const void *object, const void *key)
{
    return ((const struct verify_stream *)object)->uid == *(const uint64_t *)key;
}

struct verify_stream *verify_find_stream(struct verify *v, uint64_t uid)
{
    return ior_map_find(&v->streams, uid, same_uid, &uid); /* uids are random */
}

enum ior_err verify_add_stream(struct verify *v, const struct verify_stream *s,
                               struct verify_stream **ret)
{
    struct verify_stream *copy = malloc(sizeof *copy);
    if (copy == NULL) return IOR_E_NOMEM;
    *copy = *s;
    enum ior_err err = ior_map_add(&v->streams, s->uid, copy);
    if (err != IOR_OK) {
        free(copy);
        return err;
    }
    if (ret != NULL) *ret = copy;
    return IOR_OK;
}

/* ---- what the catalog says ---- */

static enum ior_err load_rows(struct verify *v)
{
    const struct image *m = &v->image;
    enum ior_err err = IOR_OK;
    for (size_t i = 0; i < m->tables[KV_ROWS].count && err == IOR_OK; i++) {
        struct stream_row row;
        struct verify_stream s = {.from_row = true};
        if (catalog_parse_uid(image_key(m, KV_ROWS, i), &s.partition, &s.uid) != IOR_OK) continue;
        if (catalog_decode_stream(image_value(m, KV_ROWS, i), &row) != IOR_OK) continue;
        s.low = row.low;
        s.high = row.high;
        s.last_index = row.last_index;
        if (verify_find_stream(v, s.uid) != NULL) {
            verify_say(v, VERIFY_ERROR, KV_LMDB_FILE, VERIFY_NO_OFFSET,
                       VERIFY_STREAM_FMT ": another partition has the same uid", s.uid,
                       s.partition);
            continue;
        }
        err = verify_add_stream(v, &s, NULL);
    }
    return err;
}

enum ior_err verify_load_groups(struct verify *v)
{
    const struct image *m = &v->image;
    v->groups = calloc((size_t)v->identity.ring_size + 1, sizeof *v->groups);
    if (v->groups == NULL) return IOR_E_NOMEM;
    for (size_t i = 0; i < m->tables[KV_GROUPS].count; i++) {
        struct group_row row;
        struct ior_slice key = image_key(m, KV_GROUPS, i);
        uint32_t group = (uint32_t)key.data[0] << 24 | (uint32_t)key.data[1] << 16 |
                         (uint32_t)key.data[2] << 8 | key.data[3];
        if (catalog_decode_group(image_value(m, KV_GROUPS, i), &row) != IOR_OK) continue;
        if (group > v->identity.ring_size) {
            verify_say(v, VERIFY_ERROR, KV_LMDB_FILE, VERIFY_NO_OFFSET,
                       "group %" PRIu32 ", but there are %" PRIu32 " partitions", group,
                       v->identity.ring_size);
            continue;
        }
        struct verify_group *g = &v->groups[group];
        g->saved = true;
        g->row_index = g->saved_index = g->last_index = row.applied_index;
        g->saved_term = g->term = row.term;
    }
    return v->rebuild ? IOR_OK : load_rows(v);
}

/* ---- groups ---- */

static void say(struct walk *w, const struct record_head *head, const char *what)
{
    verify_say(w->v, VERIFY_ERROR, JOURNAL_DIR, VERIFY_NO_OFFSET,
               "group %" PRIu32 ", index %" PRIu64 ": %s", head->group, head->index, what);
}

/* Is the record behind what the catalog has? */
static bool step_group(struct walk *w, const struct record_head *head)
{
    struct verify_group *g = &w->v->groups[head->group];
    if (head->kind != RECORD_ENTRY && head->kind != RECORD_VOTE) {
        say(w, head, "a record of a kind that this version does not know");
        return false;
    }
    if (g->first_term == 0) g->first_term = head->term;
    if (g->first_index == 0 && head->kind == RECORD_ENTRY) g->first_index = head->index;
    if (g->saved && head->index <= g->saved_index && head->term <= g->saved_term) return false;
    if (head->term < g->term && !w->v->rebuild) say(w, head, "the term goes back");
    if (head->term > g->term) g->term = head->term;
    if (head->kind == RECORD_VOTE) return false;
    if (head->index != g->last_index + 1 && (g->seen || !w->v->rebuild)) {
        char text[128];
        snprintf(text, sizeof text,
                 head->index > g->last_index ? "records %" PRIu64 " to %" PRIu64 " are missing"
                                             : "%" PRIu64 " was there already (last: %" PRIu64 ")",
                 head->index > g->last_index ? g->last_index + 1 : head->index,
                 head->index > g->last_index ? head->index - 1 : g->last_index);
        say(w, head, text);
    }
    if (!g->seen) g->first_applied = head->index;
    g->last_index = head->index;
    g->seen = true;
    return true;
}

/* ---- items ---- */

static void step_create(struct walk *w, const struct record_head *head, const struct item *it)
{
    struct verify_stream *s = verify_find_stream(w->v, it->uid);
    if (s != NULL && w->v->rebuild && s->last_index < head->index) {
        s->created = true; /* so the journal has all of it */
        s->low = 1;
        s->high = 0;
        s->last_index = head->index;
        return;
    }
    if (s != NULL) {
        if (s->last_index < head->index) say(w, head, "two streams have the same uid");
        return;
    }
    const struct verify_stream made = {
        .uid = it->uid, .partition = head->group - 1, .low = 1, .last_index = head->index};
    w->err = verify_add_stream(w->v, &made, NULL);
}

/* The journal goes on where somebody else should have been. */
static void note_gap(struct verify_stream *s, const struct record_head *head, const struct item *it)
{
    s->gap_to = it->seqnum;
    s->gap_index = head->index;
    s->gap_low = s->low > it->seqnum ? s->low : it->seqnum;
    s->low = s->gap_low;
    s->high = it->seqnum - 1;
}

static struct verify_stream *lost_stream(struct walk *w, const struct record_head *head,
                                         const struct item *it)
{
    struct verify_stream *s = NULL;
    if (!w->v->rebuild) say(w, head, "a stream that was never created");
    const struct verify_stream lost = {.uid = it->uid,
                                       .partition = head->group - 1,
                                       .lost_row = true,
                                       .low = 1,
                                       .last_index = head->index - 1};
    w->err = verify_add_stream(w->v, &lost, &s);
    return s;
}

static void step_append(struct walk *w, const struct record_head *head, const struct item *it)
{
    struct verify_stream *s = verify_find_stream(w->v, it->uid);
    if (s == NULL) s = lost_stream(w, head, it);
    if (s == NULL || it->seqnum <= s->high) return; /* saved already */
    if (it->seqnum != s->high + 1) {
        if (!w->v->rebuild && !s->lost_row) say(w, head, "an event is missing in front of it");
        note_gap(s, head, it);
    }
    if (head->index < s->last_index && !w->v->rebuild) say(w, head, "an event that came too late");
    if (w->pushed_uid != it->uid) w->pushed = 0;
    w->pushed_uid = it->uid;
    if (it->low > s->low) { /* only events of this very record may go without a LOW in front */
        bool own_goes = it->low <= it->seqnum && s->low + w->pushed >= it->seqnum;
        if (!w->v->rebuild && !own_goes) say(w, head, "low is not what it was");
        s->low = it->low;
    }
    w->pushed++;
    s->high = it->seqnum;
    s->last_index = head->index;
}

static void step_trim(struct walk *w, const struct record_head *head, const struct item *it)
{
    struct verify_stream *s = verify_find_stream(w->v, it->uid);
    if (s == NULL) s = lost_stream(w, head, it);
    if (s == NULL || (s->last_index >= head->index && it->seqnum <= s->high)) return;
    if (it->low > s->high + 1) {
        if (!w->v->rebuild) say(w, head, "low is above what was ever there");
        s->gap_to = s->gap_low = it->low;
        s->gap_index = head->index;
        s->high = it->low - 1;
    }
    if (it->low > s->low) s->low = it->low;
    s->last_index = head->index;
}

static void step_items(struct walk *w, const struct record_head *head, struct ior_slice items)
{
    size_t pos = 0;
    struct item it;
    enum ior_err err;
    w->pushed = 0;
    while (w->err == IOR_OK && (err = item_next(items, &pos, &it)) == IOR_OK) {
        if (head->group == 0) {
            if (it.op != ITEM_SET) say(w, head, "an item that this version does not know");
        } else if (it.op == ITEM_CREATE) {
            step_create(w, head, &it);
        } else if (it.op == ITEM_APPEND) {
            step_append(w, head, &it);
        } else if (it.op == ITEM_LOW || it.op == ITEM_DELETE) {
            step_trim(w, head, &it);
        } else {
            say(w, head, "an item that this version does not know");
        }
    }
}

static enum ior_err on_record(void *ctx, const struct record_head *head, struct ior_slice items,
                              struct ior_why *why)
{
    struct walk *w = ctx;
    (void)why;
    w->v->counts->records++;
    if (head->group > w->v->identity.ring_size) {
        say(w, head, "there is no such group");
        return IOR_OK;
    }
    if (step_group(w, head)) step_items(w, head, items);
    return w->err;
}

/* ---- the whole ---- */

/* "journal/...seg: damage at offset N: what", or any other sentence. */
static void tell_damage(struct verify *v, const char *text)
{
    static const char words[] = ": damage at offset ";
    char file[DISK_PATH_MAX] = JOURNAL_DIR;
    uint64_t offset = VERIFY_NO_OFFSET;
    const char *what = text;
    const char *at = strstr(text, words);
    if (at != NULL) {
        char *end = NULL;
        snprintf(file, sizeof file, "%.*s", (int)(at - text), text);
        offset = strtoull(at + sizeof words - 1, &end, 10);
        what = strncmp(end, ": ", 2) == 0 ? end + 2 : end;
    } else if (strncmp(text, JOURNAL_DIR, sizeof JOURNAL_DIR - 1) == 0 &&
               (at = strstr(text, ".seg")) != NULL && (size_t)(at - text) < 40) {
        snprintf(file, sizeof file, "%.*s", (int)(at + 4 - text), text);
        what = at + 4 + strspn(at + 4, ": ");
    }
    verify_say(v, VERIFY_ERROR, file, offset, "%s", what);
}

static enum ior_err count_segment(void *ctx, const char *name)
{
    uint64_t seq;
    struct verify *v = ctx;
    if (segment_name_parse(name, &seq)) v->counts->segments++;
    return IOR_OK;
}

/* Rows may be ahead of their group, as far as the journal goes (a round that was cut short). */
static void check_rows_ahead(struct verify *v)
{
    const struct image *m = &v->image;
    for (size_t i = 0; i < m->tables[KV_ROWS].count; i++) {
        struct stream_row row;
        uint32_t partition;
        uint64_t uid;
        if (catalog_parse_uid(image_key(m, KV_ROWS, i), &partition, &uid) != IOR_OK ||
            catalog_decode_stream(image_value(m, KV_ROWS, i), &row) != IOR_OK ||
            partition >= v->identity.ring_size)
            continue;
        const struct verify_group *g = &v->groups[partition + 1];
        if (row.last_index > g->last_index)
            verify_say(v, VERIFY_ERROR, KV_LMDB_FILE, VERIFY_NO_OFFSET,
                       VERIFY_STREAM_FMT ": its last change has index %" PRIu64
                                         ", its group ends at %" PRIu64,
                       uid, partition, row.last_index, g->last_index);
    }
}

void verify_journal(struct verify *v, enum ior_err *ret_err)
{
    struct journal *j = NULL;
    struct walk w = {.v = v};
    struct journal_replay_report report = {0};
    struct ior_why why = {""};
    struct journal_params jp = {.disk = v->p->disk,
                                .segment_bytes = JOURNAL_PAGE_BYTES,
                                .first_seq = v->rebuild ? 0 : v->first_segment,
                                .look_only = true,
                                .worker_count = 1};
    memcpy(jp.node_id, v->identity.id, sizeof jp.node_id);
    enum ior_err err = disk_list(v->p->disk, JOURNAL_DIR, count_segment, v);
    if (err != IOR_OK && err != IOR_E_NOTFOUND)
        verify_say(v, VERIFY_ERROR, JOURNAL_DIR, VERIFY_NO_OFFSET, "cannot list it: %s",
                   ior_err_reason(err));
    if (err == IOR_E_NOTFOUND && !v->identity.has_journal) { /* killed in its first start */
        *ret_err = IOR_OK;
        return;
    }
    err = journal_open(&jp, &j, &why);
    if (err == IOR_OK) err = journal_replay(j, on_record, &w, &report, &why);
    if (err != IOR_OK) tell_damage(v, why.text[0] != 0 ? why.text : ior_err_reason(err));
    if (err == IOR_OK && report.torn)
        verify_say(v, VERIFY_NOTE, JOURNAL_DIR, VERIFY_NO_OFFSET,
                   "a torn last batch at %s: it was never acknowledged, a start drops it",
                   report.torn_at);
    if (err == IOR_OK && report.batches > 0 && !report.marked && !report.torn)
        verify_say(v, VERIFY_NOTE, JOURNAL_DIR, VERIFY_NO_OFFSET,
                   "it does not end with a MARK: the last stop was not a clean one");
    if (err == IOR_OK && !v->rebuild) check_rows_ahead(v);
    journal_free(j);
    *ret_err = err;
}

/* test/unit/core/damage_data.c - see damage_data.h. */
#include "damage_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "auth/fact.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/log.h"

enum { LOG_ROOM = 16384, PAYLOAD_ROOM = 8192, KEYED_ID = 3, SECONDS_MS = 1000 };

/* A stream as it must be: what ids first..last hold follows from their numbers. */
struct want {
    const char *bucket;
    const char *name;
    unsigned saved;  /* events before the last checkpoint */
    unsigned tail;   /* events that only the journal has */
    unsigned bytes;  /* of one, about */
    unsigned cut_to; /* truncated up to this id before the checkpoint */
    bool deleted;    /* before the checkpoint; events of the tail come later */
    unsigned tail_cut_to;
    bool tail_deleted;
};

static char long_name[700];
static struct want wants[] = {
    {"users", "small", 3, 0, 20, 0, false, 0, false},
    {"users", "small-and-tail", 2, 2, 20, 0, false, 0, false},
    {"users", "sealed", 24, 0, 150, 0, false, 0, false},
    {"users", "sealed-and-tail", 11, 3, 200, 0, false, 0, false},
    {"other", "small", 2, 0, 30, 0, false, 0, false},
    {"other", "cut", 20, 0, 150, 12, false, 0, false},
    {"other", "cut-again", 9, 1, 150, 2, false, 8, false},
    {"other", "deleted", 4, 0, 30, 0, true, 0, false},
    {"other", "deleted-chunks", 12, 0, 150, 0, true, 0, false},
    {"other", "made-again", 5, 2, 30, 0, true, 0, false},
    {"other", "deleted-late", 5, 0, 150, 0, false, 0, true},
    {"tail-only", "new", 0, 4, 40, 0, false, 0, false},
    {"tail-only", "large", 0, 1, 6000, 0, false, 0, false},
    {"users", long_name, 3, 0, 20, 0, false, 0, false},
};
enum { WANTS = sizeof wants / sizeof wants[0] };

static uint64_t high_of_want(const struct want *w)
{
    return w->saved + w->tail;
}

static uint64_t low_of_want(const struct want *w)
{
    uint64_t low = w->cut_to + 1;
    if (w->deleted) low = w->saved + 1;
    if (w->tail_cut_to >= low) low = w->tail_cut_to + 1;
    return w->tail_deleted ? high_of_want(w) + 1 : low;
}

static bool is_listed(const struct want *w)
{
    return !w->tail_deleted && (!w->deleted || w->tail > 0);
}

static uint64_t time_of(unsigned i, uint64_t id)
{
    return RIG_WALL_MS + (uint64_t)i * 100 * SECONDS_MS + id * SECONDS_MS;
}

static void payload_of(unsigned i, uint64_t id, char *out)
{
    int n =
        snprintf(out, PAYLOAD_ROOM, "{\"s\":%u,\"id\":%llu,\"pad\":\"", i, (unsigned long long)id);
    unsigned pad = wants[i].bytes;
    for (unsigned k = 0; k < pad; k++) out[n++] = (char)('a' + (i + id + k) % 26);
    memcpy(out + n, "\"}", 3);
}

/* ---- making it ---- */

static void put(struct rig *r, unsigned i, uint64_t id)
{
    char json[PAYLOAD_ROOM];
    struct event_in e;
    struct rig_post p = {.rig = r};
    payload_of(i, id, json);
    e = (struct event_in){ior_slice_str(json), true};
    r->wall_ms = time_of(i, id);
    struct ior_slice key = id == KEYED_ID ? IOR_SLICE("the key") : (struct ior_slice){NULL, 0};
    enum ior_err err =
        append_new(ior_slice_str(wants[i].bucket), ior_slice_str(wants[i].name), &e, 1, key, &p.a);
    IOR_ASSERT(err == IOR_OK);
    rig_post_submit(&p);
    rig_settle(r);
    assert_int_equal(outcome(&p), id);
}

static void on_trimmed(struct trim *t)
{
    t->user[0] = 1;
}

static void trim(struct rig *r, const struct want *w, bool all, uint64_t to)
{
    struct trim *t = NULL;
    enum ior_err err = trim_new(ior_slice_str(w->bucket), ior_slice_str(w->name), &t);
    IOR_ASSERT(err == IOR_OK);
    t->all = all;
    t->to = to;
    err = iorio_trim(r->node, t, on_trimmed);
    IOR_ASSERT(err == IOR_OK);
    rig_settle(r);
    IOR_ASSERT(t->user[0] == 1 && t->err == IOR_OK);
    trim_free(t);
}

static void on_changed(struct meta_change *c)
{
    *(unsigned *)c->user += 1;
}

static void put_user(struct rig *r, const char *key, unsigned credential)
{
    char value[256];
    unsigned done = 0;
    struct meta_change *c = NULL;
    snprintf(value, sizeof value,
             "{\"password\":\"$argon2id$v=19$m=19456,t=2,p=1$aW9yaW8gZHVtbXkgc2FsdA$"
             "bm9ib2R5IGlzIGxldCBpbiBieSB0aGlzIGhhc2ghISE\",\"credential\":%u,\"groups\":[]}",
             credential);
    enum ior_err err = meta_change_new(&c);
    if (err == IOR_OK) err = meta_change_set(c, ior_slice_str(key), ior_slice_str(value));
    IOR_ASSERT(err == IOR_OK);
    c->user = &done;
    err = meta_change_submit(r->node->meta, c, on_changed);
    IOR_ASSERT(err == IOR_OK);
    rig_settle(r);
    IOR_ASSERT(done == 1 && c->err == IOR_OK);
    meta_change_free(c);
}

static void small_limits(struct rig *r)
{
    r->params.chunk_items_max = 8;
    r->params.chunk_bytes_max = 2048;
    r->params.small_bytes_max = 512;
    r->params.dedupe_window_ms = 1000000 * SECONDS_MS;
}

static void put_saved(struct rig *r)
{
    for (unsigned i = 0; i < WANTS; i++) {
        for (uint64_t id = 1; id <= wants[i].saved; id++) put(r, i, id);
    }
    assert_int_equal(rig_checkpoint(r), IOR_OK);
    for (unsigned i = 0; i < WANTS; i++) {
        if (wants[i].cut_to > 0) trim(r, &wants[i], false, wants[i].cut_to);
        if (wants[i].deleted) trim(r, &wants[i], true, 0);
    }
    assert_int_equal(rig_checkpoint(r), IOR_OK);
}

static void put_tails(struct rig *r)
{
    for (unsigned i = 0; i < WANTS; i++) {
        for (unsigned n = 1; n <= wants[i].tail; n++) put(r, i, wants[i].saved + n);
        if (wants[i].tail_cut_to > 0) trim(r, &wants[i], false, wants[i].tail_cut_to);
        if (wants[i].tail_deleted) trim(r, &wants[i], true, 0);
    }
}

void damage_data_make(struct damage_data *d)
{
    memset(long_name, 'n', sizeof long_name - 1);
    *d = (struct damage_data){.log_fd = memfd_create("log", MFD_CLOEXEC)};
    assert_true(d->log_fd >= 0);
    log_set_fd(d->log_fd);
    rig_init(&d->rig);
    small_limits(&d->rig);
    rig_open(&d->rig);
    put_user(&d->rig, "user" FACT_SEP "ann", 7);
    put_saved(&d->rig);
    put_user(&d->rig, "user" FACT_SEP "bob", 8);
    put_tails(&d->rig);
    rig_close(&d->rig);
    d->disk = disk_sim_copy(d->rig.disk);
}

void damage_data_done(struct damage_data *d)
{
    rig_done(&d->rig);
    disk_free(d->disk);
    log_set_fd(STDERR_FILENO);
    close(d->log_fd);
}

/* ---- looking at it ---- */

struct look {
    struct damage_data *data;
    const char *what;
    bool said;
    bool wrong;
};

static bool names_a_file(const char *text)
{
    return strstr(text, "journal/") != NULL || strstr(text, ".chunk") != NULL ||
           strstr(text, "identity") != NULL || strstr(text, "catalog") != NULL;
}

static const char *log_text(struct damage_data *d)
{
    static char text[LOG_ROOM];
    ssize_t n = pread(d->log_fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = 0;
    return text;
}

static void clear_log(struct damage_data *d)
{
    int done = ftruncate(d->log_fd, 0);
    IOR_ASSERT(done == 0);
    (void)lseek(d->log_fd, 0, SEEK_SET);
}

static void complain(struct look *l, const char *where, const char *what)
{
    l->wrong = true;
    fprintf(stderr, "%s: %s: %s\nlog: %s", l->what, where, what, log_text(l->data));
}

/* An answer that is an error: damage, with a file in the log. */
static void judge_error(struct look *l, const char *where, enum ior_err err)
{
    l->said = true;
    if (err != IOR_E_CORRUPT && err != IOR_E_VERSION) complain(l, where, ior_err_name(err));
    if (!names_a_file(log_text(l->data))) complain(l, where, "an error, and no file in the log");
}

static void check_event(struct look *l, unsigned i, uint64_t id, const struct event_out *e)
{
    char json[PAYLOAD_ROOM];
    payload_of(i, id, json);
    if (e->id != id || e->time_ms != time_of(i, id) || !e->json ||
        !ior_slice_eq(e->payload, ior_slice_str(json)))
        complain(l, wants[i].name, "a wrong event");
}

/* How every read begins and ends. */
static bool check_bounds(struct look *l, unsigned i, const struct read *rd)
{
    if (rd->err != IOR_OK) {
        judge_error(l, wants[i].name, rd->err);
        return false;
    }
    if (rd->exists && rd->low == low_of_want(&wants[i]) && rd->high == high_of_want(&wants[i]))
        return true;
    complain(l, wants[i].name, "another low or high");
    return false;
}

static void check_stream(struct look *l, unsigned i)
{
    const struct want *w = &wants[i];
    struct read *rd = rig_read_new(w->bucket, w->name);
    uint64_t id = low_of_want(w);
    rd->how = READ_FROM_ID;
    rd->limit = UINT64_MAX;
    for (;;) {
        rig_read(&l->data->rig, rd);
        if (!check_bounds(l, i, rd)) break;
        for (size_t k = 0; k < rd->count; k++) check_event(l, i, id++, &rd->events[k]);
        if (rd->next == 0) {
            if (id != high_of_want(w) + 1) complain(l, w->name, "events are missing");
            break;
        }
        if (rd->next != id || rd->count == 0) {
            complain(l, w->name, "a visit that leads nowhere");
            break;
        }
        read_release(rd);
    }
    read_free(rd);
}

static void check_list(struct look *l, const char *bucket)
{
    size_t count = 0;
    struct list *list = NULL;
    enum ior_err err = list_new(&list);
    IOR_ASSERT(err == IOR_OK);
    list->limit = LIST_NAMES_MAX;
    ior_buf_add_slice(&list->bucket, ior_slice_str(bucket));
    rig_list(&l->data->rig, list);
    for (unsigned i = 0; list->err == IOR_OK && i < WANTS; i++) {
        if (strcmp(wants[i].bucket, bucket) != 0 || !is_listed(&wants[i])) continue;
        bool found = false;
        for (size_t k = 0; k < list->count; k++)
            found = found || ior_slice_eq(list_name_at(list, k), ior_slice_str(wants[i].name));
        if (!found && !l->data->lists_may_lack) complain(l, wants[i].name, "not in the list");
        count++;
    }
    if (list->err != IOR_OK) {
        judge_error(l, bucket, list->err);
    } else if ((list->count != count && !l->data->lists_may_lack) || list->count > count ||
               list->more) {
        complain(l, bucket, "another number of names in the list");
    }
    list_free(list);
}

static void check_buckets(struct look *l)
{
    struct list *list = NULL;
    enum ior_err err = list_new(&list);
    IOR_ASSERT(err == IOR_OK);
    list->limit = LIST_NAMES_MAX;
    list->buckets = true;
    rig_list(&l->data->rig, list);
    if (list->err != IOR_OK) {
        judge_error(l, "buckets", list->err);
    } else if (list->count != 3) {
        complain(l, "buckets", "another number of buckets");
    }
    list_free(list);
}

static void check_users(struct look *l)
{
    const struct policy *p = meta_newest_policy(l->data->rig.node->meta);
    const struct policy_user *ann = policy_user(p, IOR_SLICE("ann"));
    const struct policy_user *bob = policy_user(p, IOR_SLICE("bob"));
    if (ann == NULL || bob == NULL || ann->credential != 7 || bob->credential != 8)
        complain(l, "users", "other users");
}

/* The append with a key again: the first answer, or an error; never a new event. */
static void check_key(struct look *l, unsigned i)
{
    char json[PAYLOAD_ROOM];
    struct event_in e;
    struct rig_post p = {.rig = &l->data->rig};
    payload_of(i, KEYED_ID, json);
    e = (struct event_in){ior_slice_str(json), true};
    enum ior_err err = append_new(ior_slice_str(wants[i].bucket), ior_slice_str(wants[i].name), &e,
                                  1, IOR_SLICE("the key"), &p.a);
    IOR_ASSERT(err == IOR_OK);
    rig_post_submit(&p);
    rig_settle(&l->data->rig);
    if (p.a->err != IOR_OK) {
        judge_error(l, wants[i].name, p.a->err);
    } else if (!p.a->repeated || p.a->last_id != KEYED_ID) {
        complain(l, wants[i].name, "a known key was appended again");
    }
    rig_post_free(&p);
}

/* An append goes on behind the last id, and a stream that is new begins with 1. */
static void check_append(struct look *l, const char *bucket, const char *name, uint64_t want)
{
    struct rig_post p;
    rig_post(&l->data->rig, &p, bucket, name, "\"more\"");
    rig_settle(&l->data->rig);
    if (p.a->err != IOR_OK) {
        judge_error(l, name, p.a->err);
    } else if (p.a->last_id != want) {
        complain(l, name, "another id for the next event");
    }
    rig_post_free(&p);
}

static void check_all(struct look *l)
{
    check_users(l);
    for (unsigned i = 0; i < WANTS; i++) check_stream(l, i);
    check_buckets(l);
    check_list(l, "users");
    check_list(l, "other");
    check_list(l, "tail-only");
}

static void check_appends(struct look *l)
{
    struct rig *r = &l->data->rig;
    for (unsigned i = 0; i < WANTS; i++) {
        if (wants[i].saved >= KEYED_ID && !l->data->keys_may_be_new) check_key(l, i);
    }
    check_append(l, "new bucket", "s", 1);
    enum ior_err err = rig_checkpoint(r);
    if (err != IOR_OK) judge_error(l, "checkpoint", err);
    for (unsigned i = 0; i < WANTS; i++) check_stream(l, i);
    for (unsigned i = 0; i < WANTS; i++)
        check_append(l, wants[i].bucket, wants[i].name, high_of_want(&wants[i]) + 1);
}

enum damage_seen damage_data_look(struct damage_data *d, struct disk *take, const char *what)
{
    struct look l = {.data = d, .what = what};
    disk_free(d->rig.disk);
    d->rig.disk = d->rig.params.disk = take;
    clear_log(d);
    enum ior_err err = rig_try_open(&d->rig);
    if (err != IOR_OK) {
        if (err != IOR_E_CORRUPT && err != IOR_E_VERSION && err != IOR_E_FOREIGN)
            complain(&l, ior_err_name(err), d->rig.why.text);
        if (!names_a_file(d->rig.why.text)) complain(&l, "names no file", d->rig.why.text);
        return l.wrong ? DAMAGE_WRONG : DAMAGE_REFUSED;
    }
    check_all(&l);
    if (d->appends) check_appends(&l);
    rig_drop(&d->rig);
    if (l.wrong) return DAMAGE_WRONG;
    return l.said ? DAMAGE_SAID : DAMAGE_RIGHT;
}

/* ---- the files ---- */

struct walk {
    struct disk *disk;
    const char *folder;
    damage_file_cb cb;
    void *ctx;
};

static enum ior_err walk_one(void *ctx, const char *name)
{
    struct walk *w = ctx;
    char path[DISK_PATH_MAX];
    struct disk_file *f = NULL;
    if (strcmp(w->folder, ".") == 0) {
        snprintf(path, sizeof path, "%s", name);
    } else {
        snprintf(path, sizeof path, "%s/%s", w->folder, name);
    }
    if (disk_open(w->disk, path, DISK_READ, &f) == IOR_OK) {
        disk_close(f);
        w->cb(w->ctx, path);
        return IOR_OK;
    }
    struct walk below = {w->disk, path, w->cb, w->ctx};
    return disk_list(w->disk, path, walk_one, &below);
}

void damage_each_file(struct disk *d, damage_file_cb cb, void *ctx)
{
    struct walk w = {d, ".", cb, ctx};
    enum ior_err err = disk_list(d, ".", walk_one, &w);
    IOR_ASSERT(err == IOR_OK);
}

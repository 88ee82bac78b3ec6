/* src/store/verify_image.c - see verify_image.h.
 * A frame of the pipe: u8 kind, u8 table, u16 bytes of the key, u32 bytes of the value, key,
 * value. Kinds: a value; something wrong (the value is a text); the end of a table; the file
 * cannot be opened. A child that ends without having said so of the last table died of it. */
#include "store/verify_image.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "store/kv_private.h"

enum {
    FRAME_HEAD_BYTES = 8,
    PIPE_BYTES = 64 << 10,
    CHILD_CPU_S = 1, /* and for each CHILD_BYTES_A_S */
    CHILD_BYTES_A_S = 16 << 20,
    UID_PARTS_BITS = 2
};
enum frame { FRAME_VALUE = 1, FRAME_WRONG, FRAME_END, FRAME_CLOSED };

const char *image_table_name(enum kv_table t)
{
    return kv_table_names[t];
}

/* ---- the image ---- */

struct ior_slice image_key(const struct image *m, enum kv_table t, size_t i)
{
    const struct image_item *item = &m->tables[t].items[i];
    return ior_slice(m->bytes.data + item->at, item->key_bytes);
}

struct ior_slice image_value(const struct image *m, enum kv_table t, size_t i)
{
    const struct image_item *item = &m->tables[t].items[i];
    return ior_slice(m->bytes.data + item->at + item->key_bytes, item->value_bytes);
}

size_t image_seek(const struct image *m, enum kv_table t, struct ior_slice key)
{
    size_t low = 0;
    size_t high = m->tables[t].count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (ior_slice_cmp(image_key(m, t, mid), key) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

struct ior_slice image_get(const struct image *m, enum kv_table t, struct ior_slice key)
{
    size_t i = image_seek(m, t, key);
    if (i == m->tables[t].count || !ior_slice_eq(image_key(m, t, i), key))
        return ior_slice(NULL, 0);
    return image_value(m, t, i);
}

void image_done(struct image *m)
{
    ior_buf_done(&m->bytes);
    for (int t = 0; t < KV_TABLES; t++) free(m->tables[t].items);
    *m = (struct image){0};
}

static enum ior_err add(struct image *m, enum kv_table t, struct ior_slice key,
                        struct ior_slice value)
{
    struct image_table *table = &m->tables[t];
    if (table->count == table->room) {
        size_t room = table->room == 0 ? 64 : table->room * 2;
        struct image_item *items = reallocarray(table->items, room, sizeof *items);
        if (items == NULL) return IOR_E_NOMEM;
        table->items = items;
        table->room = room;
    }
    table->items[table->count] = (struct image_item){
        m->bytes.size_bytes, (uint32_t)value.size_bytes, (uint16_t)key.size_bytes};
    ior_buf_add_slice(&m->bytes, key);
    ior_buf_add_slice(&m->bytes, value);
    if (ior_buf_failed(&m->bytes)) return IOR_E_NOMEM;
    table->count++;
    return IOR_OK;
}

/* ---- is a value what its table holds? ---- */

static const char *check_meta(struct ior_slice key, struct ior_slice value)
{
    struct ior_slice bytes;
    uint32_t number;
    enum ior_err err = ior_slice_starts(key, IOR_SLICE("next_"))
                           ? catalog_decode_number(value, &number)
                           : catalog_decode_bytes(value, &bytes);
    return err == IOR_OK ? NULL : "a value that cannot be decoded";
}

static const char *check_name(struct ior_slice key, struct ior_slice value)
{
    struct catalog_name name;
    uint32_t node;
    bool is_link = key.size_bytes == CATALOG_NAME_KEY_BYTES_MAX;
    if (key.size_bytes <= CATALOG_NODE_BYTES || key.size_bytes > CATALOG_NAME_KEY_BYTES_MAX)
        return "a key of an impossible length";
    if (is_link && key.data[key.size_bytes - 1] != 0) return "a key that cannot be";
    enum ior_err err =
        is_link ? catalog_decode_number(value, &node) : catalog_decode_name(value, &name);
    if (err == IOR_OK && is_link && (node & CATALOG_NODE_FLAG) == 0) err = IOR_E_CORRUPT;
    return err == IOR_OK ? NULL : "a value that cannot be decoded";
}

static enum ior_err decode_value(enum kv_table t, struct ior_slice value)
{
    struct bucket_row bucket;
    struct stream_row stream;
    struct chunk_row chunk;
    struct group_row group;
    struct key_row key;
    struct ior_slice bytes;
    switch (t) {
    case KV_BUCKETS:
        return catalog_decode_bucket(value, &bucket);
    case KV_ROWS:
        return catalog_decode_stream(value, &stream);
    case KV_CHUNKS:
        return catalog_decode_chunk(value, &chunk);
    case KV_GROUPS:
        return catalog_decode_group(value, &group);
    case KV_KEYS:
        return catalog_decode_key(value, &key);
    default:
        return catalog_decode_bytes(value, &bytes);
    }
}

/* NULL: key and value are as they should be. */
static const char *check_item(enum kv_table t, struct ior_slice key, struct ior_slice value)
{
    static const size_t key_bytes[KV_TABLES] = {[KV_ROWS] = CATALOG_UID_KEY_BYTES,
                                                [KV_SMALL] = CATALOG_UID_KEY_BYTES,
                                                [KV_CHUNKS] = CATALOG_IDS_KEY_BYTES,
                                                [KV_KEYS] = CATALOG_IDS_KEY_BYTES,
                                                [KV_GROUPS] = 4};
    if (key_bytes[t] != 0 && key.size_bytes != key_bytes[t]) return "a key of an impossible length";
    if (t == KV_META) return check_meta(key, value);
    if (t == KV_STREAMS) return check_name(key, value);
    enum ior_err err = decode_value(t, value);
    if (err == IOR_E_VERSION) return "a value of another version";
    return err == IOR_OK ? NULL : "a value that cannot be decoded";
}

/* ---- the walk, in this process ---- */

typedef bool (*walk_cb)(void *ctx, enum frame kind, enum kv_table t, struct ior_slice key,
                        struct ior_slice value);

/* A table from a key on; false: cb wants no more. */
static bool walk_table(struct kv_reader *r, enum kv_table t, struct ior_slice from, walk_cb cb,
                       void *ctx)
{
    struct catalog_key last = {.size_bytes = 0};
    struct ior_slice key;
    struct ior_slice value;
    enum ior_err err = kv_seek(r, t, from, &key, &value);
    for (; err != IOR_E_END; err = kv_next(r, &key, &value)) {
        const char *wrong = NULL;
        bool stop = key.size_bytes == 0 || (err != IOR_OK && err != IOR_E_CORRUPT);
        if (err != IOR_OK) wrong = stop ? "the pages here are damaged" : "a bad checksum";
        int order = last.size_bytes > 0 ? ior_slice_cmp(catalog_key_slice(&last), key)
                                        : ior_slice_cmp(from, key) - 1;
        if (!stop && order >= 0) {
            stop = true;
            wrong = "keys are not in their order";
        }
        if (wrong == NULL) wrong = check_item(t, key, value);
        bool go = wrong == NULL ? cb(ctx, FRAME_VALUE, t, key, value)
                                : cb(ctx, FRAME_WRONG, t, stop ? ior_slice(NULL, 0) : key,
                                     ior_slice_str(wrong));
        if (!go || stop) return false;
        last = catalog_key_bytes(key);
    }
    return cb(ctx, FRAME_END, t, ior_slice(NULL, 0), ior_slice(NULL, 0));
}

static bool walk_all(struct kv_reader *r, walk_cb cb, void *ctx)
{
    bool go = true;
    for (int t = 0; t < KV_TABLES && go; t++)
        go = walk_table(r, (enum kv_table)t, ior_slice(NULL, 0), cb, ctx);
    return go;
}

/* ---- the child ---- */

struct sender {
    FILE *out;
};

static bool send_frame(void *ctx, enum frame kind, enum kv_table t, struct ior_slice key,
                       struct ior_slice value)
{
    struct sender *s = ctx;
    uint8_t head[FRAME_HEAD_BYTES] = {(uint8_t)kind, (uint8_t)t};
    ior_put_u16(head + 2, (uint16_t)key.size_bytes);
    ior_put_u32(head + 4, (uint32_t)value.size_bytes);
    bool ok = fwrite(head, sizeof head, 1, s->out) == 1;
    if (key.size_bytes > 0) ok = ok && fwrite(key.data, key.size_bytes, 1, s->out) == 1;
    if (value.size_bytes > 0) ok = ok && fwrite(value.data, value.size_bytes, 1, s->out) == 1;
    /* What was said stays said when the next page kills. */
    if (kind != FRAME_VALUE) ok = ok && fflush(s->out) == 0;
    return ok;
}

/* Only the first thing that is wrong is worth a word. */
static bool send_wrong(void *ctx, enum frame kind, enum kv_table t, struct ior_slice key,
                       struct ior_slice value)
{
    if (kind == FRAME_VALUE || kind == FRAME_END) return true;
    send_frame(ctx, kind, t, key, value);
    return false;
}

struct errand {
    const char *dir;
    enum kv_table table;
    struct ior_slice from;
    bool quick;     /* no values; a clean stop is good enough */
    bool mark_only; /* of quick: and where there was none nothing is walked either */
};

static bool was_clean(struct kv_reader *r)
{
    struct ior_slice value;
    return catalog_get_meta(r, CATALOG_META_CLEAN, &value) == IOR_OK && value.size_bytes == 1 &&
           value.data[0] == 1;
}

/* A SIGSEGV here is no bug of ours, and nobody wants its core or its report. */
static void prepare_child(const struct errand *e, int fd)
{
    char path[4096];
    struct stat st = {0};
    snprintf(path, sizeof path, "%.4000s/" KV_LMDB_FILE, e->dir);
    if (stat(path, &st) != 0) st.st_size = 0;
    static const int deadly[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    struct rlimit none = {0, 0};
    /* Pages that lead in a circle are read for ever. */
    rlim_t cpu_s = CHILD_CPU_S + (rlim_t)(st.st_size / CHILD_BYTES_A_S);
    struct rlimit cpu = {cpu_s, cpu_s + 1};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (size_t i = 0; i < IOR_LEN(deadly); i++) signal(deadly[i], SIG_DFL);
    setrlimit(RLIMIT_CORE, &none);
    setrlimit(RLIMIT_CPU, &cpu);
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd >= 0 && fd != STDERR_FILENO) dup2(null_fd, STDERR_FILENO);
}

_Noreturn static void be_child(const struct errand *e, int fd)
{
    struct kv *kv = NULL;
    struct kv_reader *r = NULL;
    struct ior_why why = {""};
    prepare_child(e, fd);
    struct sender s = {fdopen(fd, "w")};
    if (s.out == NULL) _exit(1);
    setvbuf(s.out, NULL, _IOFBF, PIPE_BYTES);
    enum ior_err err = kv_lmdb_look(e->dir, &kv, &why);
    if (err == IOR_OK) err = kv_reader_new(kv, &r);
    if (err == IOR_OK) err = kv_read_begin(r);
    if (err != IOR_OK) {
        if (why.text[0] == 0) ior_why_set(&why, err, "%s", ior_err_reason(err));
        send_frame(&s, FRAME_CLOSED, KV_META, ior_slice(&(uint8_t){(uint8_t)err}, 1),
                   ior_slice_str(why.text));
        _exit(0);
    }
    if (e->quick) {
        if (was_clean(r)) {
            send_frame(&s, FRAME_END, KV_META, ior_slice(NULL, 0), ior_slice(NULL, 0));
        } else if (e->mark_only || walk_all(r, send_wrong, &s)) {
            send_frame(&s, FRAME_END, KV_KEYS, ior_slice(NULL, 0), ior_slice(NULL, 0));
        }
    } else {
        bool go = walk_table(r, e->table, e->from, send_frame, &s);
        for (int t = (int)e->table + 1; t < KV_TABLES && go; t++)
            go = walk_table(r, (enum kv_table)t, ior_slice(NULL, 0), send_frame, &s);
    }
    fflush(s.out);
    _exit(0);
}

/* ---- the parent ---- */

struct receiver {
    FILE *in;
    pid_t pid;
    uint8_t *key;
    uint8_t *value;
    size_t value_room;
};

static enum ior_err start_child(const struct errand *e, struct receiver *ret, struct ior_why *why)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return ior_why_set(why, ior_err_from_errno(errno), "cannot make a pipe");
    fflush(NULL); /* or the child has it, too */
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        be_child(e, ends[1]);
    }
    int error = errno;
    close(ends[1]);
    FILE *in = pid < 0 ? NULL : fdopen(ends[0], "r");
    if (pid < 0 || in == NULL) {
        close(ends[0]);
        return ior_why_set(why, ior_err_from_errno(error), "cannot start a process");
    }
    ret->in = in;
    ret->pid = pid;
    return IOR_OK;
}

/* Says how it ended when that was not well. */
static bool end_child(struct receiver *c, char *how, size_t room, bool *ret_circle)
{
    int status = 0;
    *ret_circle = false;
    fclose(c->in);
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR) continue;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    if (WIFSIGNALED(status)) {
        *ret_circle = WTERMSIG(status) == SIGXCPU;
        snprintf(how, room, "damaged: reading it ended in signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    } else {
        snprintf(how, room, "damaged: reading it ended with %d", WEXITSTATUS(status));
    }
    return false;
}

/* False: the child says no more. */
static bool receive(struct receiver *c, enum frame *kind, enum kv_table *t, struct ior_slice *key,
                    struct ior_slice *value)
{
    uint8_t head[FRAME_HEAD_BYTES];
    if (fread(head, sizeof head, 1, c->in) != 1) return false;
    size_t key_bytes = ior_get_u16(head + 2);
    size_t value_bytes = ior_get_u32(head + 4);
    if (head[1] >= KV_TABLES || key_bytes > KV_KEY_BYTES_MAX || value_bytes > c->value_room)
        return false;
    if (key_bytes > 0 && fread(c->key, key_bytes, 1, c->in) != 1) return false;
    if (value_bytes > 0 && fread(c->value, value_bytes, 1, c->in) != 1) return false;
    *kind = (enum frame)head[0];
    *t = (enum kv_table)head[1];
    *key = ior_slice(c->key, key_bytes);
    *value = ior_slice(c->value, value_bytes);
    return true;
}

struct reading {
    const struct image_params *p;
    struct image *image;
    enum kv_table table; /* where it is */
    struct catalog_key last;
    size_t taken;
    bool circle; /* the child was ended for its time */
    bool finished;
    enum ior_err err;
};

static void tell(struct reading *g, enum kv_table t, struct ior_slice key, const char *what)
{
    g->image->whole = false;
    if (g->p->on_wrong != NULL) g->p->on_wrong(g->p->ctx, kv_table_names[t], key, what);
}

static bool take_frame(void *ctx, enum frame kind, enum kv_table t, struct ior_slice key,
                       struct ior_slice value)
{
    struct reading *g = ctx;
    char text[128];
    if (kind == FRAME_VALUE) {
        const char *wrong = check_item(t, key, value);
        if (wrong != NULL) {
            tell(g, t, key, wrong);
        } else {
            g->err = add(g->image, t, key, value);
            g->taken++;
        }
    } else if (kind == FRAME_WRONG) {
        snprintf(text, sizeof text, "%.*s", (int)value.size_bytes, (const char *)value.data);
        tell(g, t, key, text);
    }
    if (g->table != t) g->last.size_bytes = 0;
    g->table = t;
    if (key.size_bytes > 0) g->last = catalog_key_bytes(key);
    if (kind == FRAME_END) {
        g->last.size_bytes = 0;
        if (t + 1 < KV_TABLES) g->table = (enum kv_table)(t + 1);
        g->finished = t + 1 == KV_TABLES;
    }
    return g->err == IOR_OK;
}

/* Where it may be worth to look again behind damage: there are no keys between that are lost
 * for sure, but pages hold many, and each try costs a process. False: nowhere. */
static bool jump(const struct image_params *p, enum kv_table t, struct catalog_key *at)
{
    if (t == KV_META || t == KV_GRAVE) return false;
    if (t == KV_ROWS || t == KV_CHUNKS || t == KV_SMALL || t == KV_KEYS) {
        uint32_t partition = 0;
        uint64_t part = 0;
        if (at->size_bytes >= CATALOG_UID_KEY_BYTES) {
            struct ior_slice uid_key = ior_slice(at->bytes, CATALOG_UID_KEY_BYTES);
            enum ior_err err = catalog_parse_uid(uid_key, &partition, &part);
            IOR_ASSERT(err == IOR_OK);
            part = (part >> (64 - UID_PARTS_BITS)) + 1;
        }
        if (part >> UID_PARTS_BITS != 0) {
            part = 0;
            partition++;
        }
        if (at->size_bytes == 0) part = 1;
        if (partition >= p->partitions) return false;
        *at = catalog_key_uid(partition, part << (64 - UID_PARTS_BITS));
        return true;
    }
    /* Names and groups: the next first 4 bytes. */
    uint32_t number = 0;
    for (unsigned i = 0; i < 4; i++) number = number << 8 | (i < at->size_bytes ? at->bytes[i] : 0);
    uint32_t step = t == KV_BUCKETS ? 1u << 24 : 1;
    if (number > UINT32_MAX - step || (t == KV_GROUPS && number > p->partitions)) return false;
    *at = catalog_key_u32(number + step);
    return true;
}

/* One child; *ret_closed: the file cannot be opened at all. */
static enum ior_err read_on(struct reading *g, struct receiver *c, const struct errand *e,
                            bool *ret_closed, struct ior_why *why)
{
    enum frame kind;
    enum kv_table t;
    struct ior_slice key;
    struct ior_slice value;
    char how[128];
    enum ior_err err = start_child(e, c, why);
    if (err != IOR_OK) return err;
    while (g->err == IOR_OK && receive(c, &kind, &t, &key, &value)) {
        if (kind == FRAME_CLOSED) {
            *ret_closed = true;
            ior_why_set(why, IOR_E_CORRUPT, "%.*s", (int)value.size_bytes,
                        (const char *)value.data);
            if (key.size_bytes == 1 && key.data[0] == IOR_E_VERSION) g->err = IOR_E_VERSION;
            continue;
        }
        take_frame(g, kind, t, key, value);
    }
    if (g->err != IOR_OK) kill(c->pid, SIGKILL);
    bool ended_well = end_child(c, how, sizeof how, &g->circle);
    if (g->err == IOR_OK && !ended_well) tell(g, g->table, ior_slice(NULL, 0), how);
    return g->err;
}

static enum ior_err read_by_children(struct reading *g, struct ior_why *why)
{
    struct receiver c = {.key = malloc(KV_KEY_BYTES_MAX),
                         .value = malloc(KV_VALUE_BYTES_MAX),
                         .value_room = KV_VALUE_BYTES_MAX};
    struct catalog_key from = {.size_bytes = 0};
    enum ior_err err = c.key == NULL || c.value == NULL ? IOR_E_NOMEM : IOR_OK;
    bool closed = false;
    unsigned tries = 0;
    while (err == IOR_OK && !g->finished && !closed) {
        enum kv_table was = g->table;
        const struct errand e = {
            .dir = g->p->dir, .table = g->table, .from = catalog_key_slice(&from)};
        g->last = from;
        g->taken = 0;
        err = read_on(g, &c, &e, &closed, why);
        if (err != IOR_OK || g->finished || closed) break;
        /* Something was wrong in g->table: behind it, or else in the next table. */
        tries = g->table == was && g->taken == 0 ? tries + 1 : 1;
        from = g->last;
        if (!g->circle && tries <= IMAGE_TRIES_MAX && jump(g->p, g->table, &from)) continue;
        tries = 0;
        from.size_bytes = 0;
        g->finished = g->table + 1 == KV_TABLES;
        if (!g->finished) g->table = (enum kv_table)(g->table + 1);
    }
    if (closed) {
        g->image->whole = false;
        if (g->p->on_wrong != NULL) g->p->on_wrong(g->p->ctx, NULL, ior_slice(NULL, 0), why->text);
    }
    if (err == IOR_E_NOMEM) ior_why_set(why, err, "no memory for a copy of the catalog");
    free(c.key);
    free(c.value);
    return err;
}

static enum ior_err read_here(struct reading *g, struct ior_why *why)
{
    struct kv_reader *r = NULL;
    enum ior_err err = kv_reader_new(g->p->kv, &r);
    if (err == IOR_OK) err = kv_read_begin(r);
    if (err == IOR_OK) walk_all(r, take_frame, g);
    kv_reader_free(r);
    if (err == IOR_OK) err = g->err;
    return err == IOR_OK ? err : ior_why_set(why, err, "the catalog cannot be read");
}

enum ior_err image_read(const struct image_params *p, struct image *ret, struct ior_why *why)
{
    struct reading g = {.p = p, .image = ret};
    *ret = (struct image){.whole = true};
    enum ior_err err = p->dir != NULL ? read_by_children(&g, why) : read_here(&g, why);
    if (err != IOR_OK) image_done(ret);
    return err;
}

/* ---- one question to one child ---- */

struct answer {
    bool said; /* one frame came */
    enum frame kind;
    enum kv_table table;
    struct ior_slice key;
    struct ior_slice text;
    bool ended_well;
    char how[128];
    uint8_t key_room[KV_KEY_BYTES_MAX];
    uint8_t text_room[512];
};

static enum ior_err ask(const struct errand *e, struct answer *ret, struct ior_why *why)
{
    struct receiver c = {
        .key = ret->key_room, .value = ret->text_room, .value_room = sizeof ret->text_room};
    bool circle;
    enum ior_err err = start_child(e, &c, why);
    if (err != IOR_OK) return err;
    ret->said = receive(&c, &ret->kind, &ret->table, &ret->key, &ret->text);
    ret->ended_well = end_child(&c, ret->how, sizeof ret->how, &circle);
    return IOR_OK;
}

enum ior_err image_is_clean(const char *dir, bool *ret_clean, struct ior_why *why)
{
    const struct errand e = {.dir = dir, .quick = true, .mark_only = true};
    struct answer a;
    enum ior_err err = ask(&e, &a, why);
    *ret_clean =
        err == IOR_OK && a.said && a.ended_well && a.kind == FRAME_END && a.table == KV_META;
    return err;
}

enum ior_err image_check(const char *dir, bool *ret_clean, struct ior_why *why)
{
    const struct errand e = {.dir = dir, .quick = true};
    struct answer a;
    char place[2 * 24 + 1] = "";
    enum ior_err err = ask(&e, &a, why);
    *ret_clean = err == IOR_OK && a.said && a.kind == FRAME_END && a.table == KV_META;
    if (err != IOR_OK || (a.said && a.kind == FRAME_END && a.ended_well)) return err;
    if (a.said && a.kind == FRAME_CLOSED) {
        err = a.key.size_bytes == 1 ? (enum ior_err)a.key.data[0] : IOR_E_CORRUPT;
        if ((unsigned)err >= IOR_E_COUNT) err = IOR_E_CORRUPT;
        return ior_why_set(why, err, "%.*s", (int)a.text.size_bytes, (const char *)a.text.data);
    }
    if (!a.said || a.kind != FRAME_WRONG)
        return ior_why_set(why, IOR_E_CORRUPT, KV_LMDB_FILE ": %s",
                           a.ended_well ? "damaged: it cannot be walked" : a.how);
    for (size_t i = 0; i < a.key.size_bytes && i < 24; i++)
        snprintf(place + 2 * i, sizeof place - 2 * i, "%02x", a.key.data[i]);
    return ior_why_set(why, IOR_E_CORRUPT, KV_LMDB_FILE ": damage in table %s at key %s: %.*s",
                       kv_table_names[a.table], place, (int)a.text.size_bytes,
                       (const char *)a.text.data);
}

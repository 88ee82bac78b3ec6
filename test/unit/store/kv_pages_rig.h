/* test/unit/store/kv_pages_rig.h - a catalog file as bytes in memory, looked at by kv_pages.h; and
 * a workout of LMDB on such bytes, in a child process: everything is read and compared, much is
 * written and removed, in several commits and over a second opening, and then the pages are
 * looked at once more. Who calls such a file sound promises that the child ends well. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/bytes.h"
#include "kv_rig.h"
#include "store/kv_pages.h"
#include "store/kv_private.h"

enum { PR_FINDING_BYTES = 320 };

struct pages_rig {
    uint8_t *bytes;
    size_t size_bytes;
    /* the last look */
    struct kv_pages_report report;
    unsigned findings_max; /* then it is enough */
    unsigned findings;
    uint64_t offset_bytes; /* of the first */
    char what[PR_FINDING_BYTES];
    uint64_t fail_at; /* a read that has this byte fails; UINT64_MAX: none */
};

static inline enum ior_err pages_rig_read(void *ctx, uint64_t offset_bytes, void *out, size_t n)
{
    struct pages_rig *g = ctx;
    IOR_ASSERT(offset_bytes <= g->size_bytes && n <= g->size_bytes - offset_bytes);
    if (g->fail_at >= offset_bytes && g->fail_at - offset_bytes < n) return IOR_E_IO;
    memcpy(out, g->bytes + offset_bytes, n);
    return IOR_OK;
}

static inline bool pages_rig_note(void *ctx, uint64_t offset_bytes, const char *what)
{
    struct pages_rig *g = ctx;
    if (g->findings++ == 0) {
        g->offset_bytes = offset_bytes;
        snprintf(g->what, sizeof g->what, "%s", what);
    }
    return g->findings < g->findings_max;
}

static inline enum ior_err pages_rig_look(struct pages_rig *g, unsigned findings_max)
{
    const struct kv_pages_params p = {.read = pages_rig_read,
                                      .read_ctx = g,
                                      .size_bytes = g->size_bytes,
                                      .tables = kv_table_names,
                                      .table_count = KV_TABLES,
                                      .row = KV_ROOT_ROW,
                                      .row_bytes = KV_ROOT_ROW_BYTES,
                                      .on_wrong = pages_rig_note,
                                      .ctx = g};
    g->findings = 0;
    g->findings_max = findings_max;
    g->what[0] = 0;
    g->offset_bytes = UINT64_MAX;
    enum ior_err err = kv_pages_check(&p, &g->report);
    IOR_ASSERT(g->report.wrong == g->findings);
    return err;
}

/* Nothing is wrong with the bytes as they are. */
static inline bool pages_rig_sound(struct pages_rig *g)
{
    return pages_rig_look(g, 1) == IOR_OK && g->findings == 0;
}

static inline void pages_rig_load(struct pages_rig *g, const char *file)
{
    struct stat st;
    int fd = open(file, O_RDONLY);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    *g = (struct pages_rig){.size_bytes = (size_t)st.st_size, .fail_at = UINT64_MAX};
    g->bytes = malloc(g->size_bytes);
    assert_non_null(g->bytes);
    assert_int_equal(pread(fd, g->bytes, g->size_bytes, 0), st.st_size);
    close(fd);
}

static inline void pages_rig_done(struct pages_rig *g)
{
    free(g->bytes);
    g->bytes = NULL;
}

/* ---- what is in it ---- */

/* Key i of a table, of some length; its value follows from it. */
struct pages_rows {
    enum kv_table table;
    unsigned count; /* 0: the end */
    unsigned key_bytes;
    unsigned value_bytes;
};

static inline struct ior_slice pages_rig_key(const struct pages_rows *r, unsigned i,
                                             uint8_t room[KV_KEY_BYTES_MAX])
{
    int n = snprintf((char *)room, KV_KEY_BYTES_MAX, "%08u-", i * 7919u % 99999989u);
    memset(room + n, 'k', KV_KEY_BYTES_MAX - (size_t)n);
    return ior_slice(room, r->key_bytes + i % 3);
}

static inline struct ior_slice pages_rig_value(const struct pages_rows *r, unsigned i,
                                               unsigned version, uint8_t *room)
{
    size_t n = r->value_bytes + i % 5 + version % 2;
    for (size_t k = 0; k < n; k++) room[k] = (uint8_t)(i * 31 + k * 7 + version);
    return ior_slice(room, n);
}

enum { PR_VALUE_ROOM = 64 << 10 };

/* Puts the rows from..to of r; every `step`-th only. */
static inline enum ior_err pages_rig_put(struct kv *kv, const struct pages_rows *r, unsigned from,
                                         unsigned to, unsigned step, unsigned version)
{
    static uint8_t value[PR_VALUE_ROOM];
    uint8_t key[KV_KEY_BYTES_MAX];
    struct kv_writer *w = NULL;
    enum ior_err err = kv_write_begin(kv, &w);
    for (unsigned i = from; i < to && err == IOR_OK; i += step)
        err = kv_put(w, r->table, pages_rig_key(r, i, key), pages_rig_value(r, i, version, value));
    if (err == IOR_OK) return kv_write_commit(w);
    if (w != NULL) kv_write_abort(w);
    return err;
}

/* *ret_lost: those that were not there. */
static inline enum ior_err pages_rig_del(struct kv *kv, const struct pages_rows *r, unsigned from,
                                         unsigned to, unsigned step, unsigned *ret_lost)
{
    uint8_t key[KV_KEY_BYTES_MAX];
    struct kv_writer *w = NULL;
    enum ior_err err = kv_write_begin(kv, &w);
    for (unsigned i = from; i < to && err == IOR_OK; i += step) {
        err = kv_del(w, r->table, pages_rig_key(r, i, key));
        if (err == IOR_E_NOTFOUND) {
            ++*ret_lost;
            err = IOR_OK;
        }
    }
    if (err == IOR_OK) return kv_write_commit(w);
    if (w != NULL) kv_write_abort(w);
    return err;
}

/* How many of them are not there as they were put. A value that is there but another: UINT_MAX,
 * for the checksum should have told. */
static inline unsigned pages_rig_compare(struct kv *kv, const struct pages_rows *r, unsigned from,
                                         unsigned to, unsigned step, unsigned version)
{
    static uint8_t room[PR_VALUE_ROOM];
    uint8_t key[KV_KEY_BYTES_MAX];
    struct kv_reader *reader = NULL;
    struct ior_slice got;
    unsigned lost = 0;
    if (kv_reader_new(kv, &reader) != IOR_OK || kv_read_begin(reader) != IOR_OK) return UINT_MAX;
    for (unsigned i = from; i < to; i += step) {
        enum ior_err err = kv_get(reader, r->table, pages_rig_key(r, i, key), &got);
        if (err == IOR_OK && !ior_slice_eq(got, pages_rig_value(r, i, version, room)))
            return UINT_MAX;
        if (err != IOR_OK && err != IOR_E_NOTFOUND && err != IOR_E_CORRUPT) return UINT_MAX;
        lost += err != IOR_OK;
    }
    kv_reader_free(reader);
    return lost;
}

/* Entries of a table, sound or not. */
static inline unsigned pages_rig_count(struct kv *kv, enum kv_table t)
{
    struct kv_reader *reader = NULL;
    struct ior_slice key;
    struct ior_slice value;
    unsigned count = 0;
    if (kv_reader_new(kv, &reader) != IOR_OK || kv_read_begin(reader) != IOR_OK) return UINT_MAX;
    enum ior_err err = kv_seek(reader, t, ior_slice(NULL, 0), &key, &value);
    for (; err == IOR_OK || err == IOR_E_CORRUPT; err = kv_next(reader, &key, &value)) count++;
    kv_reader_free(reader);
    return err == IOR_E_END ? count : UINT_MAX;
}

/* ---- the workout ---- */

enum pages_end {
    PE_WELL,
    PE_VERSION, /* another format: refused with that word, and that is well, too */
    PE_OPEN,    /* not opened */
    PE_LOST,    /* more is lost or wrong than bytes were changed */
    PE_WRITE,   /* a change failed */
    PE_READ,    /* what was written is not there */
    PE_PAGES,   /* the pages are damaged afterwards */
};

/* Version 0 of every row of `rows` is in the file; what the writes are. */
static inline enum pages_end pages_rig_changes(struct kv *kv, const struct pages_rows *rows,
                                               unsigned *lost)
{
    for (const struct pages_rows *r = rows; r->count > 0; r++) {
        unsigned more = r->count / 2 + 8;
        if (pages_rig_put(kv, r, 0, r->count, 4, 1) != IOR_OK ||
            pages_rig_put(kv, r, r->count, r->count + more, 1, 0) != IOR_OK ||
            pages_rig_del(kv, r, 1, r->count, 2, lost) != IOR_OK)
            return PE_WRITE;
    }
    return PE_WELL;
}

static inline enum pages_end pages_rig_after(struct kv *kv, const struct pages_rows *rows,
                                             unsigned *lost)
{
    for (const struct pages_rows *r = rows; r->count > 0; r++) {
        unsigned more = r->count / 2 + 8;
        if (pages_rig_compare(kv, r, 0, r->count, 4, 1) != 0 ||
            pages_rig_compare(kv, r, r->count, r->count + more, 1, 0) != 0)
            return PE_READ;
        unsigned n = pages_rig_compare(kv, r, 2, r->count, 4, 0);
        if (n == UINT_MAX) return PE_READ;
        *lost += n;
    }
    /* All of it goes, so that trees become small again and pages are merged. */
    for (const struct pages_rows *r = rows; r->count > 0; r++) {
        unsigned ignored = 0;
        if (pages_rig_del(kv, r, 0, r->count + r->count / 2 + 8, 1, &ignored) != IOR_OK)
            return PE_WRITE;
    }
    return PE_WELL;
}

static inline enum pages_end pages_rig_work(const char *dir, const struct pages_rows *rows,
                                            unsigned changed_bytes)
{
    struct ior_why why;
    struct kv_pages_report report;
    struct kv *kv = NULL;
    unsigned lost = 0;
    enum ior_err err = kv_lmdb_open(dir, 64 << 20, &kv, &why);
    if (err == IOR_E_VERSION) return PE_VERSION;
    if (err != IOR_OK) {
        fprintf(stderr, "%s: %s\n", ior_err_name(err), why.text);
        return PE_OPEN;
    }
    for (const struct pages_rows *r = rows; r->count > 0; r++) {
        unsigned n = pages_rig_compare(kv, r, 0, r->count, 1, 0);
        if (n > changed_bytes || pages_rig_count(kv, r->table) != r->count) return PE_LOST;
    }
    enum pages_end end = pages_rig_changes(kv, rows, &lost);
    if (end != PE_WELL) return end;
    kv_close(kv);
    kv = NULL;
    if (kv_pages_check_file(dir, NULL, NULL, &report, &why) != IOR_OK) return PE_PAGES;
    if (kv_lmdb_open(dir, 64 << 20, &kv, &why) != IOR_OK) return PE_OPEN;
    end = pages_rig_after(kv, rows, &lost);
    if (end != PE_WELL) return end;
    kv_close(kv);
    if (lost > 2 * changed_bytes) return PE_LOST;
    return kv_pages_check_file(dir, NULL, NULL, &report, &why) == IOR_OK ? PE_WELL : PE_PAGES;
}

/* In a child: its enum pages_end, or 100 and the signal that ended it. */
static inline int pages_rig_workout(const struct pages_rig *g, const char *dir,
                                    const struct pages_rows *rows, unsigned changed_bytes)
{
    char path[128];
    int status = 0;
    snprintf(path, sizeof path, "%s/" KV_LMDB_FILE, dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, g->bytes, g->size_bytes), (ssize_t)g->size_bytes);
    close(fd);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        static const int deadly[] = {SIGSEGV, SIGBUS, SIGABRT};
        struct rlimit none = {0, 0};
        struct rlimit cpu = {20, 21};
        setrlimit(RLIMIT_CORE, &none);
        setrlimit(RLIMIT_CPU, &cpu);
        for (size_t i = 0; i < IOR_LEN(deadly); i++) signal(deadly[i], SIG_DFL);
        _exit((int)pages_rig_work(dir, rows, changed_bytes));
    }
    while (waitpid(pid, &status, 0) < 0) assert_int_equal(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

/* src/store/kv_lmdb.c - kv.h on LMDB 0.9: one file, KV_LMDB_FILE, and its lock file.
 * Each table is a named database; beside them lies one plain row, `iorio`: the format and
 * how often the file was opened.
 * Happy path: open maps the file and opens every table; a writer is LMDB's write
 * transaction (two syncs a commit); a reader is a read transaction that is reset and
 * renewed (MDB_NOTLS: it belongs to its struct, not to a thread).
 * A new file is made under another name and renamed when it is synced, so a file with the
 * right name is a whole database, and one that is not is damage.
 * The commit of each open settles the one before: that process may have been killed when its
 * last page was written but not yet synced.
 * Failure modes: errors_of(). A file that was cut is found by its length, where LMDB would
 * die of a SIGBUS. Damage in LMDB's own pages may still end the process: who opens a file looks
 * at its pages first (kv_pages.h), and says what happens then (kv_guard.h).
 * Thread: see kv.h. */
#include "store/kv_private.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/bytes.h"
#include "store/kv_guard.h"

enum { FORMAT = 1, READERS_MAX = 256, FILE_MODE = 0600, PATH_BYTES = 4096 };
#define NO_TABLE ((MDB_dbi)-1)
#define MAKE_FILE "catalog.new"
#define LOCK_SUFFIX "-lock" /* LMDB's choice */
static const char root_key[] = KV_ROOT_ROW;

struct lmdb {
    struct kv super; /* first */
    MDB_env *env;
    MDB_dbi tables[KV_TABLES];
};
struct lmdb_writer {
    struct kv_writer super; /* first */
    MDB_txn *txn;
};
struct lmdb_reader {
    struct kv_reader super; /* first */
    MDB_txn *txn;
    MDB_cursor *cursors[KV_TABLES]; /* made when they are first used */
    bool renewed[KV_TABLES];        /* for this snapshot */
};

static const struct kv_ops lmdb_ops;

static struct lmdb *lmdb_of(struct kv *kv)
{
    return (struct lmdb *)(void *)kv;
}

static struct lmdb_writer *writer_of(struct kv_writer *w)
{
    return (struct lmdb_writer *)(void *)w;
}

static struct lmdb_reader *reader_of(struct kv_reader *r)
{
    return (struct lmdb_reader *)(void *)r;
}

static enum ior_err errors_of(int rc)
{
    switch (rc) {
    case MDB_SUCCESS:
        return IOR_OK;
    case MDB_NOTFOUND:
        return IOR_E_NOTFOUND;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case EFBIG:
        return IOR_E_NOSPC;
    case MDB_VERSION_MISMATCH:
        return IOR_E_VERSION;
    case MDB_READERS_FULL:
        return IOR_E_BUSY;
    default:
        /* The others of LMDB: its pages are not what they should be. */
        return rc < 0 ? IOR_E_CORRUPT : ior_err_from_errno(rc);
    }
}

/* LMDB says EIO for a write that came through in part, as on a disk that becomes full. */
static enum ior_err commit_error_of(struct lmdb *l, int rc)
{
    struct statvfs fs;
    int fd = -1;
    enum { LITTLE_BYTES = 1 << 20 };
    if (rc == EIO && mdb_env_get_fd(l->env, &fd) == 0 && fstatvfs(fd, &fs) == 0 &&
        (uint64_t)fs.f_bavail * fs.f_frsize < LITTLE_BYTES)
        return IOR_E_NOSPC;
    return errors_of(rc);
}

static MDB_val val_of(struct ior_slice s)
{
    union {
        const void *in;
        void *out;
    } cast = {.in = s.data}; /* MDB_val has no const */
    return (MDB_val){s.size_bytes, cast.out};
}

static struct ior_slice slice_of(MDB_val v)
{
    return ior_slice(v.mv_data, v.mv_size);
}

/* ---- opening ---- */

static int open_env(const char *path, uint64_t map_bytes, unsigned flags, MDB_env **ret)
{
    MDB_env *env = NULL;
    size_t map_pages_bytes = ior_align((size_t)map_bytes, (size_t)sysconf(_SC_PAGESIZE));
    int rc = mdb_env_create(&env);
    if (rc != 0) return rc;
    rc = mdb_env_set_mapsize(env, map_pages_bytes);
    if (rc == 0) rc = mdb_env_set_maxreaders(env, READERS_MAX);
    if (rc == 0) rc = mdb_env_set_maxdbs(env, KV_TABLES);
    if (rc == 0) rc = mdb_env_open(env, path, flags | MDB_NOSUBDIR | MDB_NOTLS, FILE_MODE);
    if (rc == 0) IOR_ASSERT(mdb_env_get_maxkeysize(env) >= KV_KEY_BYTES_MAX);
    if (rc != 0) {
        mdb_env_close(env);
        return rc;
    }
    *ret = env;
    return 0;
}

static void on_assert(MDB_env *env, const char *what)
{
    (void)env;
    kv_guard_damage(what);
}

/* From here on LMDB trusts what the file says. */
static void guard(MDB_env *env, const char *path)
{
    MDB_envinfo info;
    mdb_env_set_assert(env, on_assert);
    if (mdb_env_info(env, &info) == 0) kv_guard_begin(env, path, info.me_mapsize);
}

static void close_env(MDB_env *env)
{
    kv_guard_end(env);
    mdb_env_close(env);
}

static enum ior_err sync_folder(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return ior_err_from_errno(errno);
    enum ior_err err = fsync(fd) == 0 ? IOR_OK : IOR_E_IO;
    close(fd);
    return err;
}

static void put_root(uint8_t row[KV_ROOT_ROW_BYTES], uint64_t opens)
{
    ior_put_u32(row, FORMAT);
    ior_put_u64(row + 4, opens);
}

/* All tables and the plain row, in a file of that name. */
static int fill_new(const char *path)
{
    MDB_env *env = NULL;
    MDB_txn *txn = NULL;
    MDB_dbi dbi;
    uint8_t row[KV_ROOT_ROW_BYTES];
    enum { SMALL_MAP_BYTES = 1 << 20 };
    put_root(row, 0);
    int rc = open_env(path, SMALL_MAP_BYTES, 0, &env);
    if (rc != 0) return rc;
    rc = mdb_txn_begin(env, NULL, 0, &txn);
    for (int t = 0; t < KV_TABLES && rc == 0; t++)
        rc = mdb_dbi_open(txn, kv_table_names[t], MDB_CREATE, &dbi);
    if (rc == 0) rc = mdb_dbi_open(txn, NULL, 0, &dbi);
    if (rc == 0) {
        MDB_val key = val_of(ior_slice_str(root_key));
        MDB_val value = val_of(ior_slice(row, sizeof row));
        rc = mdb_put(txn, dbi, &key, &value, 0);
    }
    if (rc == 0) {
        rc = mdb_txn_commit(txn);
    } else {
        mdb_txn_abort(txn); /* NULL is fine */
    }
    mdb_env_close(env);
    return rc;
}

static enum ior_err make_file(const char *dir, const char *path, struct ior_why *why)
{
    char make[PATH_BYTES];
    char lock[PATH_BYTES + sizeof LOCK_SUFFIX];
    snprintf(make, sizeof make, "%s/" MAKE_FILE, dir);
    snprintf(lock, sizeof lock, "%s" LOCK_SUFFIX, make);
    unlink(make); /* of an earlier try; if it cannot go the next step says why */
    int rc = fill_new(make);
    unlink(lock);
    if (rc == 0 && rename(make, path) != 0) rc = errno;
    enum ior_err err = errors_of(rc);
    if (err != IOR_OK) {
        unlink(make);
        if (err == IOR_E_NOTFOUND || err == IOR_E_CORRUPT) err = IOR_E_IO;
        return ior_why_set(why, err, "%s: cannot make it: %s", path, mdb_strerror(rc));
    }
    return IOR_OK;
}

/* How many pages from `first` on are free: they may never have been written. */
static int count_free(MDB_env *env, uint64_t first, uint64_t *ret_count)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    MDB_val key;
    MDB_val value;
    const MDB_dbi free_pages = 0;
    *ret_count = 0;
    int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
    if (rc == 0) rc = mdb_cursor_open(txn, free_pages, &cursor);
    while (rc == 0 && (rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        size_t words = value.mv_size / sizeof(size_t);
        for (size_t i = 1; i < words; i++) { /* word 0 is their number */
            if (ior_get_u64((uint8_t *)value.mv_data + i * sizeof(size_t)) >= first) ++*ret_count;
        }
    }
    if (cursor != NULL) mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* A mapping behind the end of its file is a SIGBUS: is every page there? A page at the end that
 * was used and freed in one transaction is missing rightly; then the file gets its length, if it
 * may be written. */
static enum ior_err check_length(MDB_env *env, const char *path, bool may_write,
                                 struct ior_why *why)
{
    MDB_envinfo info;
    MDB_stat stat_of;
    struct stat st;
    int fd = -1;
    uint64_t free_count = 0;
    IOR_STATIC_ASSERT(sizeof(size_t) == 8, "pages are counted in 64 bits");
    int rc = mdb_env_info(env, &info);
    if (rc == 0) rc = mdb_env_stat(env, &stat_of);
    if (rc == 0) rc = mdb_env_get_fd(env, &fd);
    if (rc == 0 && fstat(fd, &st) != 0) rc = errno;
    if (rc != 0) return ior_why_set(why, IOR_E_IO, "%s: cannot read its size", path);
    uint64_t file_bytes = (uint64_t)st.st_size;
    uint64_t pages = file_bytes / stat_of.ms_psize;
    if (info.me_last_pgno < pages) return IOR_OK;
    if (info.me_last_pgno < info.me_mapsize / stat_of.ms_psize) {
        uint64_t wanted_bytes = (info.me_last_pgno + 1) * stat_of.ms_psize;
        rc = !may_write || ftruncate(fd, (off_t)wanted_bytes) == 0 ? 0 : errno;
        if (rc == 0) rc = count_free(env, pages, &free_count);
        if (rc == 0 && free_count >= info.me_last_pgno + 1 - pages) return IOR_OK;
        /* Nothing is repaired here: it stays as it was found. */
        if (may_write && ftruncate(fd, st.st_size) != 0) return IOR_E_IO;
    }
    return ior_why_set(why, IOR_E_CORRUPT,
                       "%s: damage at offset %llu: the file ends here, it had %llu pages of %u "
                       "bytes",
                       path, (unsigned long long)file_bytes,
                       (unsigned long long)info.me_last_pgno + 1, stat_of.ms_psize);
}

/* Opens the tables, and commits a change, so that what is shown is on the disk. */
static enum ior_err open_tables(struct lmdb *l, const char *path, struct ior_why *why)
{
    MDB_txn *txn = NULL;
    MDB_dbi root = 0;
    uint8_t row[KV_ROOT_ROW_BYTES];
    MDB_val key = val_of(ior_slice_str(root_key));
    MDB_val value = {0, NULL};
    int rc = mdb_txn_begin(l->env, NULL, 0, &txn);
    if (rc == 0) rc = mdb_dbi_open(txn, NULL, 0, &root);
    if (rc == 0) rc = mdb_get(txn, root, &key, &value);
    if (rc == 0 && value.mv_size >= 4 && ior_get_u32(value.mv_data) != FORMAT) {
        uint32_t format = ior_get_u32(value.mv_data);
        mdb_txn_abort(txn);
        return ior_why_set(why, IOR_E_VERSION,
                           "%s: written in format %u; this program reads format %u", path, format,
                           FORMAT);
    }
    if (rc == 0 && value.mv_size != sizeof row) rc = MDB_CORRUPTED;
    for (int t = 0; t < KV_TABLES && rc == 0; t++)
        rc = mdb_dbi_open(txn, kv_table_names[t], 0, &l->tables[t]);
    if (rc == MDB_NOTFOUND) rc = MDB_CORRUPTED; /* all of it is there since it has its name */
    if (rc == 0) {
        put_root(row, ior_get_u64((uint8_t *)value.mv_data + 4) + 1);
        value = val_of(ior_slice(row, sizeof row));
        rc = mdb_put(txn, root, &key, &value, 0);
    }
    if (rc == 0) {
        rc = mdb_txn_commit(txn);
    } else {
        mdb_txn_abort(txn);
    }
    if (rc == 0) return IOR_OK;
    enum ior_err err = commit_error_of(l, rc);
    return ior_why_set(why, err, "%s: cannot read it: %s", path, mdb_strerror(rc));
}

static enum ior_err open_file(struct lmdb *l, const char *dir, uint64_t map_bytes,
                              struct ior_why *why)
{
    char path[PATH_BYTES];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/" KV_LMDB_FILE, dir);
    IOR_ASSERT(n > 0 && (size_t)n < sizeof path);
    enum ior_err err = stat(path, &st) == 0 ? IOR_OK : ior_err_from_errno(errno);
    if (err == IOR_OK && st.st_size == 0) /* LMDB would take it for a new one */
        return ior_why_set(why, IOR_E_CORRUPT, "%s: damage at offset 0: the file is empty", path);
    if (err == IOR_E_NOTFOUND) err = make_file(dir, path, why);
    if (err != IOR_OK) return err;
    int rc = open_env(path, map_bytes, 0, &l->env);
    if (rc != 0) {
        err = errors_of(rc);
        return ior_why_set(why, err, "%s: cannot open it: %s", path, mdb_strerror(rc));
    }
    guard(l->env, path);
    err = check_length(l->env, path, true, why);
    if (err == IOR_OK) err = open_tables(l, path, why);
    if (err == IOR_OK && (err = sync_folder(dir)) != IOR_OK)
        return ior_why_set(why, err, "%s: cannot sync the folder", dir);
    return err;
}

enum ior_err kv_lmdb_open(const char *dir, uint64_t map_bytes, struct kv **ret, struct ior_why *why)
{
    struct lmdb *l = calloc(1, sizeof *l);
    if (l == NULL) return ior_why_set(why, IOR_E_NOMEM, "no memory for the catalog");
    kv_init(&l->super, &lmdb_ops);
    enum ior_err err = open_file(l, dir, map_bytes, why);
    if (err != IOR_OK) {
        if (l->env != NULL) close_env(l->env);
        free(l);
        return err;
    }
    *ret = &l->super;
    return IOR_OK;
}

/* ---- opening to look only ---- */

/* Tables that cannot be opened stay without a number that LMDB knows: reading them is an error,
 * and the others can be read. */
static enum ior_err find_tables(struct lmdb *l, const char *path, struct ior_why *why)
{
    MDB_txn *txn = NULL;
    MDB_dbi root = 0;
    MDB_val key = val_of(ior_slice_str(root_key));
    MDB_val value = {0, NULL};
    uint32_t format = FORMAT;
    int rc = mdb_txn_begin(l->env, NULL, MDB_RDONLY, &txn);
    if (rc == 0) rc = mdb_dbi_open(txn, NULL, 0, &root);
    if (rc == 0 && mdb_get(txn, root, &key, &value) == 0 && value.mv_size >= 4)
        format = ior_get_u32(value.mv_data);
    for (int t = 0; t < KV_TABLES && rc == 0; t++) {
        if (mdb_dbi_open(txn, kv_table_names[t], 0, &l->tables[t]) != 0) l->tables[t] = NO_TABLE;
    }
    if (rc == 0) {
        rc = mdb_txn_commit(txn); /* keeps the numbers of the tables */
    } else {
        mdb_txn_abort(txn);
    }
    if (rc == 0 && format != FORMAT)
        return ior_why_set(why, IOR_E_VERSION,
                           "%s: written in format %u; this program reads format %u", path, format,
                           FORMAT);
    if (rc == 0) return IOR_OK;
    return ior_why_set(why, errors_of(rc), "%s: cannot read it: %s", path, mdb_strerror(rc));
}

static enum ior_err look_at_file(struct lmdb *l, const char *path, struct ior_why *why)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return ior_why_set(why, ior_err_from_errno(errno), "%s: %s", path,
                           errno == ENOENT ? "it is missing" : strerror(errno));
    if (st.st_size == 0)
        return ior_why_set(why, IOR_E_CORRUPT, "%s: damage at offset 0: the file is empty", path);
    /* The size of the mapping that the file remembers may be damaged; LMDB maps what is there. */
    int rc = open_env(path, 1, MDB_RDONLY | MDB_NOLOCK, &l->env);
    if (rc != 0)
        return ior_why_set(why, errors_of(rc), "%s: cannot open it: %s", path, mdb_strerror(rc));
    enum ior_err err = check_length(l->env, path, false, why);
    return err == IOR_OK ? find_tables(l, path, why) : err;
}

enum ior_err kv_lmdb_look(const char *dir, struct kv **ret, struct ior_why *why)
{
    char path[PATH_BYTES];
    int n = snprintf(path, sizeof path, "%s/" KV_LMDB_FILE, dir);
    IOR_ASSERT(n > 0 && (size_t)n < sizeof path);
    struct lmdb *l = calloc(1, sizeof *l);
    if (l == NULL) return ior_why_set(why, IOR_E_NOMEM, "no memory for the catalog");
    kv_init(&l->super, &lmdb_ops);
    enum ior_err err = look_at_file(l, path, why);
    if (err != IOR_OK) {
        if (l->env != NULL) mdb_env_close(l->env);
        free(l);
        return err;
    }
    *ret = &l->super;
    return IOR_OK;
}

static void lmdb_close(struct kv *kv)
{
    struct lmdb *l = lmdb_of(kv);
    close_env(l->env);
    free(l);
}

static uint64_t file_bytes(struct kv *kv)
{
    struct stat st;
    int fd = -1;
    if (mdb_env_get_fd(lmdb_of(kv)->env, &fd) != 0 || fstat(fd, &st) != 0) return 0;
    return (uint64_t)st.st_size;
}

/* ---- writing ---- */

static enum ior_err write_begin(struct kv *kv, struct kv_writer **ret)
{
    struct lmdb_writer *w = calloc(1, sizeof *w);
    if (w == NULL) return IOR_E_NOMEM;
    int rc = mdb_txn_begin(lmdb_of(kv)->env, NULL, 0, &w->txn);
    if (rc != 0) {
        free(w);
        return errors_of(rc);
    }
    *ret = &w->super;
    return IOR_OK;
}

static enum ior_err reserve(struct kv_writer *writer, enum kv_table t, struct ior_slice key,
                            size_t size_bytes, uint8_t **ret_room)
{
    struct lmdb_writer *w = writer_of(writer);
    struct lmdb *l = lmdb_of(writer->kv);
    MDB_val k = val_of(key);
    MDB_val v = {size_bytes, NULL};
    int rc = mdb_put(w->txn, l->tables[t], &k, &v, MDB_RESERVE);
    if (rc != 0) return commit_error_of(l, rc); /* it may write pages early */
    *ret_room = v.mv_data;
    return IOR_OK;
}

static enum ior_err del(struct kv_writer *writer, enum kv_table t, struct ior_slice key)
{
    MDB_val k = val_of(key);
    struct lmdb *l = lmdb_of(writer->kv);
    return commit_error_of(l, mdb_del(writer_of(writer)->txn, l->tables[t], &k, NULL));
}

static enum ior_err get_in(struct kv *kv, MDB_txn *txn, enum kv_table t, struct ior_slice key,
                           struct ior_slice *ret)
{
    MDB_val k = val_of(key);
    MDB_val v = {0, NULL};
    int rc = mdb_get(txn, lmdb_of(kv)->tables[t], &k, &v);
    if (rc != 0) return errors_of(rc);
    *ret = slice_of(v);
    return IOR_OK;
}

static enum ior_err write_get(struct kv_writer *w, enum kv_table t, struct ior_slice key,
                              struct ior_slice *ret)
{
    return get_in(w->kv, writer_of(w)->txn, t, key, ret);
}

static enum ior_err commit(struct kv_writer *w)
{
    int rc = mdb_txn_commit(writer_of(w)->txn); /* frees it in any case */
    enum ior_err err = commit_error_of(lmdb_of(w->kv), rc);
    free(w);
    return err;
}

static void abort_writer(struct kv_writer *w)
{
    mdb_txn_abort(writer_of(w)->txn);
    free(w);
}

/* ---- reading ---- */

static enum ior_err reader_new(struct kv *kv, struct kv_reader **ret)
{
    struct lmdb_reader *r = calloc(1, sizeof *r);
    if (r == NULL) return IOR_E_NOMEM;
    int rc = mdb_txn_begin(lmdb_of(kv)->env, NULL, MDB_RDONLY, &r->txn);
    if (rc != 0) {
        free(r);
        return errors_of(rc);
    }
    mdb_txn_reset(r->txn);
    *ret = &r->super;
    return IOR_OK;
}

static void reader_free(struct kv_reader *reader)
{
    struct lmdb_reader *r = reader_of(reader);
    for (int t = 0; t < KV_TABLES; t++) {
        if (r->cursors[t] != NULL) mdb_cursor_close(r->cursors[t]);
    }
    mdb_txn_abort(r->txn);
    free(r);
}

static enum ior_err read_begin(struct kv_reader *r)
{
    return errors_of(mdb_txn_renew(reader_of(r)->txn));
}

static void read_end(struct kv_reader *reader)
{
    struct lmdb_reader *r = reader_of(reader);
    memset(r->renewed, 0, sizeof r->renewed);
    mdb_txn_reset(r->txn);
}

static enum ior_err get(struct kv_reader *r, enum kv_table t, struct ior_slice key,
                        struct ior_slice *ret)
{
    return get_in(r->kv, reader_of(r)->txn, t, key, ret);
}

static int cursor_for(struct lmdb_reader *r, enum kv_table t, MDB_cursor **ret)
{
    int rc = 0;
    if (r->cursors[t] == NULL) {
        rc = mdb_cursor_open(r->txn, lmdb_of(r->super.kv)->tables[t], &r->cursors[t]);
        if (rc != 0) r->cursors[t] = NULL;
    } else if (!r->renewed[t]) {
        rc = mdb_cursor_renew(r->txn, r->cursors[t]);
    }
    if (rc == 0) r->renewed[t] = true;
    *ret = r->cursors[t];
    return rc;
}

/* The last key that is not behind this one. */
static int seek_back(MDB_cursor *cursor, struct ior_slice key, MDB_val *k, MDB_val *v)
{
    *k = val_of(key);
    int rc = mdb_cursor_get(cursor, k, v, MDB_SET_RANGE);
    if (rc == MDB_NOTFOUND) return mdb_cursor_get(cursor, k, v, MDB_LAST);
    if (rc != 0 || ior_slice_eq(slice_of(*k), key)) return rc;
    return mdb_cursor_get(cursor, k, v, MDB_PREV);
}

static enum ior_err move(struct kv_reader *reader, enum kv_table t, enum kv_move how,
                         struct ior_slice key, struct ior_slice *ret_key,
                         struct ior_slice *ret_value)
{
    MDB_cursor *cursor = NULL;
    MDB_val k = val_of(key);
    MDB_val v = {0, NULL};
    int rc = cursor_for(reader_of(reader), t, &cursor);
    if (rc != 0) return errors_of(rc);
    if (how == KV_LAST_TO) {
        rc = seek_back(cursor, key, &k, &v);
    } else if (how == KV_FOLLOWING) {
        rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    } else {
        rc = mdb_cursor_get(cursor, &k, &v, key.size_bytes == 0 ? MDB_FIRST : MDB_SET_RANGE);
    }
    if (rc == MDB_NOTFOUND) return IOR_E_END;
    if (rc != 0) return errors_of(rc);
    *ret_key = slice_of(k);
    *ret_value = slice_of(v);
    return IOR_OK;
}

static const struct kv_ops lmdb_ops = {
    .close = lmdb_close,
    .file_bytes = file_bytes,
    .write_begin = write_begin,
    .reserve = reserve,
    .del = del,
    .write_get = write_get,
    .commit = commit,
    .abort = abort_writer,
    .reader_new = reader_new,
    .reader_free = reader_free,
    .read_begin = read_begin,
    .read_end = read_end,
    .get = get,
    .move = move,
};

/* src/store/kv.h - an ordered key-value file with atomic, durable commits: LMDB
 * (kv_lmdb.c) or one file on the simulated disk (kv_sim.c). The catalog is built on
 * it and nobody else uses it.
 * Every value is stored with a crc32c over table, key and value behind it (kv.c): a
 * value that does not fit its key is CORRUPT, never wrong bytes.
 * Promises: a commit that returned OK is on the disk, whole; one that did not is as
 * if it had never been, whenever the process or the power ends (after an IO error it
 * may also turn out to be there, whole, at the next open). Readers see the
 * state of one commit, never a part of one, and do not wait for a writer.
 * Thread: one writer at a time, and a transaction stays on the thread that began it;
 * a reader belongs to one thread at a time; kv_reader_new() from any. */
#pragma once

#include "base/err.h"
#include "base/slice.h"
#include "rt/disk.h"

enum { KV_KEY_BYTES_MAX = 511, KV_VALUE_BYTES_MAX = 1 << 20 };

enum kv_table {
    KV_META,    /* one value each: counters, mark of a clean stop */
    KV_BUCKETS, /* name -> bucket id */
    KV_STREAMS, /* bucket id, name (long ones: in pieces) -> partition, uid */
    KV_ROWS,    /* partition, uid -> the row of a stream */
    KV_CHUNKS,  /* partition, uid, first seqnum -> the row of a chunk file */
    KV_SMALL,   /* partition, uid -> the events of a stream that has no chunk yet */
    KV_GRAVE,   /* path of a file that may be removed -> nothing */
    KV_GROUPS,  /* group -> term, vote, applied index */
    KV_KEYS,    /* partition, uid, last id -> an idempotency key and its answer */
    KV_TABLES,
};

struct kv;
struct kv_writer;
struct kv_reader;

/* The folder must exist; the files in it are KV_LMDB_FILE and its lock. A missing file is made.
 * map_bytes bounds the file (sparse); it may be another one than before. ACCESS, IO, NOMEM,
 * NOSPC, CORRUPT (no database, or one that the library refuses) and VERSION with *why.
 * What it shows is on the disk for good: a commit that an earlier process was killed in is
 * settled here. Never open one twice in a process. */
#define KV_LMDB_FILE "catalog.mdb"
IOR_MUST_CHECK enum ior_err kv_lmdb_open(const char *dir, uint64_t map_bytes, struct kv **ret,
                                         struct ior_why *why);
/* To look only: no process has it open for writing, nothing is written or made, no lock is
 * taken. Damage in the pages may end the process, so a child does this; a table that is lost is
 * an error of its readers, not of this. NOTFOUND, CORRUPT, VERSION, IO, NOMEM with *why. */
IOR_MUST_CHECK enum ior_err kv_lmdb_look(const char *dir, struct kv **ret, struct ior_why *why);
/* `path` is a file on the simulated disk, replaced whole by each commit; missing: empty. */
IOR_MUST_CHECK enum ior_err kv_sim_open(struct disk *d, const char *path, struct kv **ret,
                                        struct ior_why *why);
/* NULL is fine. No writer is open, all readers are freed. */
void kv_close(struct kv *kv);
/* Bytes that the file takes on the disk, and that are mapped. */
uint64_t kv_file_bytes(struct kv *kv);

/* ---- writing ---- */
/* While a writer is open there is no other, on any thread (asserted). */
IOR_MUST_CHECK enum ior_err kv_write_begin(struct kv *kv, struct kv_writer **ret);
/* Inserts or replaces. key 1..KV_KEY_BYTES_MAX bytes, value up to KV_VALUE_BYTES_MAX (asserted).
 * NOSPC (the map or the disk is full), NOMEM, IO: only kv_write_abort() may follow. */
IOR_MUST_CHECK enum ior_err kv_put(struct kv_writer *w, enum kv_table t, struct ior_slice key,
                                   struct ior_slice value);
/* NOTFOUND: it was not there; the transaction goes on. */
IOR_MUST_CHECK enum ior_err kv_del(struct kv_writer *w, enum kv_table t, struct ior_slice key);
/* As kv_reader's, with what was put so far. The value stands until the next call on w, and
 * is no argument of it (asserted). */
IOR_MUST_CHECK enum ior_err kv_write_get(struct kv_writer *w, enum kv_table t, struct ior_slice key,
                                         struct ior_slice *ret);
/* The writer is gone afterwards, whatever it returns. NOSPC, IO. */
IOR_MUST_CHECK enum ior_err kv_write_commit(struct kv_writer *w);
void kv_write_abort(struct kv_writer *w);

/* ---- reading ---- */
/* A reader holds a snapshot between kv_read_begin() and kv_read_end(); it is cheap to keep
 * and to begin again (0.7 us). Never hold a snapshot for long: the file grows meanwhile. */
IOR_MUST_CHECK enum ior_err kv_reader_new(struct kv *kv, struct kv_reader **ret);
void kv_reader_free(struct kv_reader *r); /* NULL is fine */
IOR_MUST_CHECK enum ior_err kv_read_begin(struct kv_reader *r);
void kv_read_end(struct kv_reader *r);
/* NOTFOUND, CORRUPT, IO. The value stands until kv_read_end(). */
IOR_MUST_CHECK enum ior_err kv_get(struct kv_reader *r, enum kv_table t, struct ior_slice key,
                                   struct ior_slice *ret);
/* The first key >= key (an empty key: the first of all), in the order of memcmp. END: none.
 * CORRUPT: ret_key tells where. Keys and values stand until kv_read_end(). */
IOR_MUST_CHECK enum ior_err kv_seek(struct kv_reader *r, enum kv_table t, struct ior_slice key,
                                    struct ior_slice *ret_key, struct ior_slice *ret_value);
/* The last key <= key. END: all are larger. CORRUPT as above. */
IOR_MUST_CHECK enum ior_err kv_seek_back(struct kv_reader *r, enum kv_table t, struct ior_slice key,
                                         struct ior_slice *ret_key, struct ior_slice *ret_value);
/* The next one behind the last that a seek (of any table) or this gave, in that table. END. */
IOR_MUST_CHECK enum ior_err kv_next(struct kv_reader *r, struct ior_slice *ret_key,
                                    struct ior_slice *ret_value);

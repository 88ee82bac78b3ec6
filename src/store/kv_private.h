/* src/store/kv_private.h - what the two implementations of kv.h have in common: an ops
 * table and the first members of their structs. kv.c checks the arguments, the states
 * and the checksum behind each value; an implementation only stores bytes. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/assert.h"
#include "store/kv.h"

enum { KV_MAGIC = 0x6b767374, KV_WRITER_MAGIC = 0x6b767774, KV_READER_MAGIC = 0x6b767264 };
enum { KV_CRC_BYTES = 4 };
/* By enum kv_table: what LMDB calls them, and docs/formats.rst. */
extern const char *const kv_table_names[KV_TABLES];
#define KV_ROOT_ROW "iorio" /* the plain row beside the tables */
enum { KV_ROOT_ROW_BYTES = 12 };

enum kv_move { KV_FIRST_FROM, KV_LAST_TO, KV_FOLLOWING };

/* Values here are as stored: with the checksum behind them. */
struct kv_ops {
    void (*close)(struct kv *kv);
    uint64_t (*file_bytes)(struct kv *kv);
    enum ior_err (*write_begin)(struct kv *kv, struct kv_writer **ret);
    /* Room for the stored value of a key; the caller fills it before the next call. */
    enum ior_err (*reserve)(struct kv_writer *w, enum kv_table t, struct ior_slice key,
                            size_t size_bytes, uint8_t **ret_room);
    enum ior_err (*del)(struct kv_writer *w, enum kv_table t, struct ior_slice key);
    enum ior_err (*write_get)(struct kv_writer *w, enum kv_table t, struct ior_slice key,
                              struct ior_slice *ret);
    enum ior_err (*commit)(struct kv_writer *w);
    void (*abort)(struct kv_writer *w);
    enum ior_err (*reader_new)(struct kv *kv, struct kv_reader **ret);
    void (*reader_free)(struct kv_reader *r);
    enum ior_err (*read_begin)(struct kv_reader *r);
    void (*read_end)(struct kv_reader *r);
    enum ior_err (*get)(struct kv_reader *r, enum kv_table t, struct ior_slice key,
                        struct ior_slice *ret);
    /* KV_FOLLOWING goes on behind the last move, which found something in that table. */
    enum ior_err (*move)(struct kv_reader *r, enum kv_table t, enum kv_move how,
                         struct ior_slice key, struct ior_slice *ret_key,
                         struct ior_slice *ret_value);
};

struct kv {
    const struct kv_ops *ops;
    uint32_t magic;
    atomic_bool writing;
    atomic_uint readers;
};

struct kv_writer {
    struct kv *kv;
    uint32_t magic;
    pthread_t thread;
    bool failed;            /* only an abort may follow */
    struct ior_slice given; /* by the last kv_write_get() */
};

struct kv_reader {
    struct kv *kv;
    uint32_t magic;
    bool open;        /* holds a snapshot */
    bool found;       /* the last move found a key, in `at` */
    enum kv_table at; /* where kv_next() goes on */
};

/* A new kv, writer or reader of an implementation begins with these. */
static inline void kv_init(struct kv *kv, const struct kv_ops *ops)
{
    kv->ops = ops;
    kv->magic = KV_MAGIC;
    atomic_init(&kv->writing, false);
    atomic_init(&kv->readers, 0);
}

/* src/store/kv.c - see kv.h: what is the same for every implementation.
 * Happy path: a put asks the implementation for room and fills in the value and its
 * crc32c over table, length of the key, key and value; every read checks it.
 * Failure modes: a value whose checksum does not fit, or that has an impossible size,
 * is CORRUPT. Wrong use (a second writer, a put after a failed one, a reader without
 * a snapshot, the wrong thread) is an assertion. */
#include "store/kv_private.h"

#include "base/bytes.h"
#include "base/crc32c.h"

const char *const kv_table_names[KV_TABLES] = {"meta",  "buckets", "streams", "rows", "chunks",
                                               "small", "grave",   "groups",  "keys"};

IOR_STATIC_ASSERT(KV_KEY_BYTES_MAX <= UINT16_MAX, "the length of a key goes into the checksum");

static uint32_t crc_of(enum kv_table t, struct ior_slice key, struct ior_slice value)
{
    uint8_t head[4] = {(uint8_t)t, 0};
    ior_put_u16(head + 2, (uint16_t)key.size_bytes);
    uint32_t crc = ior_crc32c(0, head, sizeof head);
    crc = ior_crc32c(crc, key.data, key.size_bytes);
    return ior_crc32c(crc, value.data, value.size_bytes);
}

/* From what is stored to the value. Bytes from the disk. */
static enum ior_err check(enum kv_table t, struct ior_slice key, struct ior_slice stored,
                          struct ior_slice *ret)
{
    *ret = ior_slice(NULL, 0);
    if (key.size_bytes == 0 || key.size_bytes > KV_KEY_BYTES_MAX) return IOR_E_CORRUPT;
    if (stored.size_bytes < KV_CRC_BYTES || stored.size_bytes > KV_VALUE_BYTES_MAX + KV_CRC_BYTES)
        return IOR_E_CORRUPT;
    struct ior_slice value = ior_slice(stored.data, stored.size_bytes - KV_CRC_BYTES);
    if (ior_get_u32(value.data + value.size_bytes) != crc_of(t, key, value)) return IOR_E_CORRUPT;
    *ret = value;
    return IOR_OK;
}

static void check_kv(const struct kv *kv)
{
    IOR_CHECK_MAGIC(kv, KV_MAGIC);
}

static void check_args(enum kv_table t, struct ior_slice key)
{
    IOR_ASSERT(t < KV_TABLES);
    IOR_ASSERT(key.size_bytes > 0 && key.size_bytes <= KV_KEY_BYTES_MAX);
}

void kv_close(struct kv *kv)
{
    if (kv == NULL) return;
    check_kv(kv);
    IOR_ASSERT(!atomic_load(&kv->writing));
    IOR_ASSERT(atomic_load(&kv->readers) == 0);
    kv->magic = 0;
    kv->ops->close(kv);
}

uint64_t kv_file_bytes(struct kv *kv)
{
    check_kv(kv);
    return kv->ops->file_bytes(kv);
}

/* ---- writing ---- */

static void check_writer(const struct kv_writer *w)
{
    IOR_CHECK_MAGIC(w, KV_WRITER_MAGIC);
    IOR_ASSERT(pthread_equal(w->thread, pthread_self()));
}

static bool overlaps(struct ior_slice a, struct ior_slice b)
{
    if (a.size_bytes == 0 || b.size_bytes == 0) return false;
    return a.data < b.data + b.size_bytes && b.data < a.data + a.size_bytes;
}

/* A call on w begins: what the last one gave is gone. */
static void begin_call(struct kv_writer *w, enum kv_table t, struct ior_slice key)
{
    check_writer(w);
    check_args(t, key);
    IOR_ASSERT(!w->failed);
    IOR_ASSERT(!overlaps(key, w->given));
    w->given = ior_slice(NULL, 0);
}

enum ior_err kv_write_begin(struct kv *kv, struct kv_writer **ret)
{
    check_kv(kv);
    bool was_writing = atomic_exchange(&kv->writing, true);
    IOR_ASSERT(!was_writing);
    enum ior_err err = kv->ops->write_begin(kv, ret);
    if (err != IOR_OK) {
        atomic_store(&kv->writing, false);
        return err;
    }
    struct kv_writer *w = *ret;
    w->kv = kv;
    w->magic = KV_WRITER_MAGIC;
    w->thread = pthread_self();
    w->failed = false;
    w->given = ior_slice(NULL, 0);
    return IOR_OK;
}

enum ior_err kv_put(struct kv_writer *w, enum kv_table t, struct ior_slice key,
                    struct ior_slice value)
{
    IOR_ASSERT(value.size_bytes <= KV_VALUE_BYTES_MAX);
    IOR_ASSERT(!overlaps(value, w->given));
    begin_call(w, t, key);
    uint8_t *room = NULL;
    enum ior_err err = w->kv->ops->reserve(w, t, key, value.size_bytes + KV_CRC_BYTES, &room);
    if (err != IOR_OK) {
        w->failed = true;
        return err;
    }
    if (value.size_bytes > 0) memcpy(room, value.data, value.size_bytes);
    ior_put_u32(room + value.size_bytes, crc_of(t, key, value));
    return IOR_OK;
}

enum ior_err kv_del(struct kv_writer *w, enum kv_table t, struct ior_slice key)
{
    begin_call(w, t, key);
    enum ior_err err = w->kv->ops->del(w, t, key);
    if (err != IOR_OK && err != IOR_E_NOTFOUND) w->failed = true;
    return err;
}

enum ior_err kv_write_get(struct kv_writer *w, enum kv_table t, struct ior_slice key,
                          struct ior_slice *ret)
{
    struct ior_slice stored = {0};
    begin_call(w, t, key);
    enum ior_err err = w->kv->ops->write_get(w, t, key, &stored);
    if (err == IOR_OK) err = check(t, key, stored, ret);
    if (err == IOR_OK) w->given = *ret;
    return err;
}

static struct kv *end_writer(struct kv_writer *w)
{
    check_writer(w);
    w->magic = 0;
    return w->kv;
}

enum ior_err kv_write_commit(struct kv_writer *w)
{
    IOR_ASSERT(!w->failed);
    struct kv *kv = end_writer(w);
    enum ior_err err = kv->ops->commit(w);
    atomic_store(&kv->writing, false);
    return err;
}

void kv_write_abort(struct kv_writer *w)
{
    struct kv *kv = end_writer(w);
    kv->ops->abort(w);
    atomic_store(&kv->writing, false);
}

/* ---- reading ---- */

static void check_open(const struct kv_reader *r)
{
    IOR_CHECK_MAGIC(r, KV_READER_MAGIC);
    IOR_ASSERT(r->open);
}

enum ior_err kv_reader_new(struct kv *kv, struct kv_reader **ret)
{
    check_kv(kv);
    enum ior_err err = kv->ops->reader_new(kv, ret);
    if (err != IOR_OK) return err;
    struct kv_reader *r = *ret;
    r->kv = kv;
    r->magic = KV_READER_MAGIC;
    r->open = false;
    r->found = false;
    atomic_fetch_add(&kv->readers, 1);
    return IOR_OK;
}

void kv_reader_free(struct kv_reader *r)
{
    if (r == NULL) return;
    IOR_CHECK_MAGIC(r, KV_READER_MAGIC);
    struct kv *kv = r->kv;
    if (r->open) kv_read_end(r);
    r->magic = 0;
    kv->ops->reader_free(r);
    atomic_fetch_sub(&kv->readers, 1);
}

enum ior_err kv_read_begin(struct kv_reader *r)
{
    IOR_CHECK_MAGIC(r, KV_READER_MAGIC);
    IOR_ASSERT(!r->open);
    enum ior_err err = r->kv->ops->read_begin(r);
    if (err == IOR_OK) r->open = true;
    return err;
}

void kv_read_end(struct kv_reader *r)
{
    check_open(r);
    r->open = false;
    r->found = false;
    r->kv->ops->read_end(r);
}

enum ior_err kv_get(struct kv_reader *r, enum kv_table t, struct ior_slice key,
                    struct ior_slice *ret)
{
    struct ior_slice stored = {0};
    check_open(r);
    check_args(t, key);
    enum ior_err err = r->kv->ops->get(r, t, key, &stored);
    if (err != IOR_OK) return err;
    return check(t, key, stored, ret);
}

static enum ior_err move(struct kv_reader *r, enum kv_table t, enum kv_move how,
                         struct ior_slice key, struct ior_slice *ret_key,
                         struct ior_slice *ret_value)
{
    struct ior_slice stored = {0};
    *ret_key = *ret_value = ior_slice(NULL, 0);
    r->found = false;
    enum ior_err err = r->kv->ops->move(r, t, how, key, ret_key, &stored);
    if (err != IOR_OK) return err;
    r->found = true;
    r->at = t;
    err = check(t, *ret_key, stored, ret_value);
    if (ret_key->size_bytes > KV_KEY_BYTES_MAX) *ret_key = ior_slice(NULL, 0); /* nothing to seek */
    return err;
}

enum ior_err kv_seek(struct kv_reader *r, enum kv_table t, struct ior_slice key,
                     struct ior_slice *ret_key, struct ior_slice *ret_value)
{
    check_open(r);
    IOR_ASSERT(t < KV_TABLES && key.size_bytes <= KV_KEY_BYTES_MAX);
    return move(r, t, KV_FIRST_FROM, key, ret_key, ret_value);
}

enum ior_err kv_seek_back(struct kv_reader *r, enum kv_table t, struct ior_slice key,
                          struct ior_slice *ret_key, struct ior_slice *ret_value)
{
    check_open(r);
    check_args(t, key);
    return move(r, t, KV_LAST_TO, key, ret_key, ret_value);
}

enum ior_err kv_next(struct kv_reader *r, struct ior_slice *ret_key, struct ior_slice *ret_value)
{
    check_open(r);
    if (!r->found) return IOR_E_END;
    return move(r, r->at, KV_FOLLOWING, ior_slice(NULL, 0), ret_key, ret_value);
}

/* src/store/segment.c - see segment.h.
 * Making one: write journal/prepare.tmp full of zeros (a recycled file is renamed
 * to it instead), put the head, sync, rename, sync the folder. A crash at any
 * point leaves at most a prepare.tmp, which the next start removes. A file with
 * a segment's name therefore always has a sound head. */
#include "store/segment.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/mutant.h"
#include "rt/rand.h"

enum { HEAD_BYTES = 64, HEAD_VERSION = 1, FILL_BYTES = 1 << 20 };
#define HEAD_MAGIC "IORIOJNL"
#define BATCH_MAGIC 0x54424a49u
static const char prepare_path[] = JOURNAL_DIR "/prepare.tmp";

void segment_name(uint64_t seq, char out[DISK_PATH_MAX])
{
    int n = snprintf(out, DISK_PATH_MAX, JOURNAL_DIR "/%016" PRIx64 ".seg", seq);
    IOR_ASSERT(n > 0 && n < DISK_PATH_MAX);
}

bool segment_name_parse(const char *name, uint64_t *ret_seq)
{
    if (strlen(name) != 20 || strcmp(name + 16, ".seg") != 0) return false;
    uint64_t seq = 0;
    for (int i = 0; i < 16; i++) {
        char c = name[i];
        if (c >= '0' && c <= '9') {
            seq = seq << 4 | (uint64_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            seq = seq << 4 | (uint64_t)(c - 'a' + 10);
        } else {
            return false;
        }
    }
    *ret_seq = seq;
    return true;
}

static enum ior_err fill_zeros(struct disk_file *f, uint64_t from, uint64_t to,
                               struct segment_pace pace)
{
    uint64_t size_bytes = to;
    uint8_t *zeros = aligned_alloc(JOURNAL_PAGE_BYTES, FILL_BYTES);
    if (zeros == NULL) return IOR_E_NOMEM;
    memset(zeros, 0, FILL_BYTES);
    disk_direct(f, true); /* nobody will read them: docs/decisions.rst, "Speed" */
    enum ior_err err = IOR_OK;
    while (err == IOR_OK && from < to) {
        size_t n = to - from < FILL_BYTES ? (size_t)(to - from) : FILL_BYTES;
        err = disk_write_buf(f, from, zeros, n);
        from += n;
        if (err == IOR_OK) err = disk_sync(f);
        if (err == IOR_OK && pace.wait != NULL) pace.wait(pace.ctx, from, size_bytes);
    }
    disk_direct(f, false);
    free(zeros);
    return err;
}

static enum ior_err write_head(const struct segment *s, const uint8_t node_id[NODE_ID_BYTES])
{
    uint8_t head[DISK_SECTOR_BYTES] = {0};
    memcpy(head, HEAD_MAGIC, 8);
    ior_put_u32(head + 8, HEAD_VERSION);
    ior_put_u32(head + 12, JOURNAL_PAGE_BYTES);
    ior_put_u64(head + 16, s->seq);
    ior_put_u64(head + 24, s->salt);
    ior_put_u64(head + 32, s->size_bytes);
    memcpy(head + 40, node_id, NODE_ID_BYTES);
    ior_put_u32(head + 60, ior_crc32c(0, head, 60));
    enum ior_err err = disk_write_buf(s->file, 0, head, sizeof head);
    if (err == IOR_OK && !MUTANT(name_before_sync)) err = disk_sync(s->file);
    return err;
}

static enum ior_err fill_and_name(struct disk *d, struct segment *s, bool recycled,
                                  struct segment_pace pace, const uint8_t node_id[NODE_ID_BYTES])
{
    char name[DISK_PATH_MAX];
    enum ior_err err = recycled ? IOR_OK : fill_zeros(s->file, 0, s->size_bytes, pace);
    if (err == IOR_OK) err = write_head(s, node_id);
    if (err != IOR_OK) return err;
    segment_name(s->seq, name);
    err = disk_rename(d, prepare_path, name);
    if (err == IOR_OK) err = disk_sync_dir(d, JOURNAL_DIR);
    return err;
}

enum ior_err segment_make(struct disk *d, uint64_t seq, uint64_t size_bytes,
                          const uint8_t node_id[NODE_ID_BYTES], uint64_t *recycle_seq,
                          struct segment_pace pace, struct segment *ret)
{
    IOR_ASSERT(size_bytes % JOURNAL_PAGE_BYTES == 0 && size_bytes >= 2 * JOURNAL_PAGE_BYTES);
    enum ior_err err;
    bool recycled = *recycle_seq != 0;
    if (recycled) {
        char old[DISK_PATH_MAX];
        segment_name(*recycle_seq, old);
        err = disk_rename(d, old, prepare_path);
        if (err != IOR_OK) return err;
        *recycle_seq = 0;
        /* The old name must be gone for good before the new one appears. */
        err = MUTANT(recycle_in_place) ? IOR_OK : disk_sync_dir(d, JOURNAL_DIR);
        if (err != IOR_OK) return err;
    }
    struct segment s = {
        .seq = seq, .salt = MUTANT(constant_salt) ? 1 : rand_u64(), .size_bytes = size_bytes};
    err = disk_open(d, prepare_path, DISK_WRITE | DISK_CREATE, &s.file);
    if (err == IOR_OK) err = fill_and_name(d, &s, recycled, pace, node_id);
    if (err != IOR_OK) {
        disk_close(s.file);
        enum ior_err gone = disk_unlink(d, prepare_path);
        (void)gone; /* the next start removes it as well */
        return err;
    }
    *ret = s;
    return IOR_OK;
}

/* It got its name only after all of it was written: a shorter file was cut. */
static enum ior_err check_length(const struct segment *s, const char *name, struct ior_why *why)
{
    uint64_t file_bytes = 0;
    enum ior_err err = disk_size(s->file, &file_bytes);
    if (err != IOR_OK) return ior_why_set(why, err, "%s: cannot read its size", name);
    if (file_bytes >= s->size_bytes) return IOR_OK;
    return ior_why_set(why, IOR_E_CORRUPT,
                       "%s: damage at offset %" PRIu64 ": the file ends here, it had %" PRIu64
                       " bytes",
                       name, file_bytes, s->size_bytes);
}

static enum ior_err read_head(struct segment *s, const uint8_t node_id[NODE_ID_BYTES],
                              const char *name, struct ior_why *why)
{
    uint8_t head[HEAD_BYTES];
    size_t n = 0;
    enum ior_err err = disk_read(s->file, 0, head, sizeof head, &n);
    if (err != IOR_OK) return ior_why_set(why, err, "%s: cannot read it", name);
    if (n < sizeof head || memcmp(head, HEAD_MAGIC, 8) != 0 ||
        ior_get_u32(head + 60) != ior_crc32c(0, head, 60))
        return ior_why_set(why, IOR_E_CORRUPT, "%s: damage at offset 0: no valid segment head",
                           name);
    if (ior_get_u32(head + 8) != HEAD_VERSION || ior_get_u32(head + 12) != JOURNAL_PAGE_BYTES)
        return ior_why_set(why, IOR_E_VERSION,
                           "%s: written in format %u; this program reads format %u", name,
                           ior_get_u32(head + 8), HEAD_VERSION);
    if (memcmp(head + 40, node_id, NODE_ID_BYTES) != 0)
        return ior_why_set(why, IOR_E_FOREIGN, "%s: it belongs to another node", name);
    if (ior_get_u64(head + 16) != s->seq)
        return ior_why_set(why, IOR_E_CORRUPT,
                           "%s: damage at offset 16: the file holds segment %" PRIx64, name,
                           ior_get_u64(head + 16));
    s->salt = ior_get_u64(head + 24);
    s->size_bytes = ior_get_u64(head + 32);
    if (s->size_bytes % JOURNAL_PAGE_BYTES != 0 || s->size_bytes < 2 * JOURNAL_PAGE_BYTES)
        return ior_why_set(why, IOR_E_CORRUPT, "%s: damage at offset 32: impossible size", name);
    return check_length(s, name, why);
}

enum ior_err segment_open(struct disk *d, uint64_t seq, const uint8_t node_id[NODE_ID_BYTES],
                          struct segment *ret, struct ior_why *why)
{
    char name[DISK_PATH_MAX];
    struct segment s = {.seq = seq};
    segment_name(seq, name);
    enum ior_err err = disk_open(d, name, DISK_WRITE, &s.file);
    if (err != IOR_OK) return ior_why_set(why, err, "%s: cannot open it", name);
    err = read_head(&s, node_id, name, why);
    if (err != IOR_OK) {
        disk_close(s.file);
        return err;
    }
    *ret = s;
    return IOR_OK;
}

enum ior_err segment_grow(struct segment *s, uint64_t size_bytes,
                          const uint8_t node_id[NODE_ID_BYTES])
{
    IOR_ASSERT(size_bytes > s->size_bytes && size_bytes % JOURNAL_PAGE_BYTES == 0);
    enum ior_err err =
        fill_zeros(s->file, s->size_bytes, size_bytes, (struct segment_pace){NULL, NULL});
    if (err != IOR_OK) {
        enum ior_err back = disk_truncate(s->file, s->size_bytes);
        return back == IOR_OK ? err : back;
    }
    struct segment grown = *s;
    grown.size_bytes = size_bytes;
    err = write_head(&grown, node_id);
    if (err == IOR_OK) s->size_bytes = size_bytes;
    return err;
}

void segment_close(struct segment *s)
{
    disk_close(s->file);
    *s = (struct segment){0};
}

static uint32_t salt_crc(const struct segment *s)
{
    return ior_crc32c(0, &s->salt, sizeof s->salt);
}

uint32_t batch_body_crc_start(const struct segment *s)
{
    return salt_crc(s);
}

void batch_head_put(uint8_t *at, const struct segment *s, const struct batch_head *h)
{
    memset(at, 0, BATCH_HEAD_BYTES);
    ior_put_u32(at, BATCH_MAGIC);
    ior_put_u64(at + 8, s->salt);
    ior_put_u64(at + 16, h->number);
    ior_put_u32(at + 24, h->length_bytes);
    ior_put_u32(at + 28, h->count);
    ior_put_u16(at + 32, h->kind);
    ior_put_u32(at + 36, h->body_crc);
    ior_put_u64(at + 40, h->time_ms);
    ior_put_u32(at + 4, ior_crc32c(salt_crc(s), at + 8, BATCH_HEAD_BYTES - 8));
}

bool batch_head_get(const uint8_t *at, const struct segment *s, struct batch_head *ret)
{
    if (ior_get_u32(at) != BATCH_MAGIC || ior_get_u64(at + 8) != s->salt) return false;
    if (ior_get_u32(at + 4) != ior_crc32c(salt_crc(s), at + 8, BATCH_HEAD_BYTES - 8)) return false;
    *ret = (struct batch_head){
        .number = ior_get_u64(at + 16),
        .length_bytes = ior_get_u32(at + 24),
        .count = ior_get_u32(at + 28),
        .kind = ior_get_u16(at + 32),
        .body_crc = ior_get_u32(at + 36),
        .time_ms = ior_get_u64(at + 40),
    };
    return true;
}

uint64_t batch_bytes(uint64_t records_bytes)
{
    uint64_t n = BATCH_HEAD_BYTES + records_bytes;
    return (n + JOURNAL_PAGE_BYTES - 1) / JOURNAL_PAGE_BYTES * JOURNAL_PAGE_BYTES;
}

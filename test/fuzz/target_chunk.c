/* test/fuzz/target_chunk.c - any bytes as the file of a chunk (chunk_read.c, chunk_scan.c,
 * chunk_format.c, and chunk_write.c going on behind them).
 * Input: a control byte, then the file. Bit 0 of the control byte: the head is made right;
 * bit 1: so are the checksums of entries, one behind the other, as far as their lengths lead;
 * bit 2: and the checksum of the footer at the end; bit 3: their seqnums and uids too; bit 4:
 * with a catalog's word, which says that the entries go to the end of the file.
 * Checked: OK or one of the errors for bad data, with a sentence; events come in order, all
 * of them and each sound, in two ways of reading the same ones; what was found can be gone on
 * with and sealed, and is then found again. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "rt/disk_sim.h"
#include "store/chunk_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

enum { HEAD = 1, CHECKSUMS = 2, FOOTER = 4, PLACES = 8, STATE = 16 };
enum { PARTITION = 3, UID = 0x55, FIRST = 1, ENTRIES_MAX = 64 };

static struct disk *template;
static const struct chunk_id chunk = {
    PARTITION, UID, FIRST, {(const uint8_t *)"b", 1}, {(const uint8_t *)"s", 1}};

static void set_up(void)
{
    struct chunk_writer *w = NULL;
    bool fresh;
    if (template != NULL) return;
    log_set_fd(-1);
    template = disk_sim_new(1);
    enum ior_err err = chunk_create(template, &chunk, &w, &fresh);
    IOR_ASSERT(err == IOR_OK);
    chunk_writer_close(w);
}

/* One entry: all that a checksum covers stays as it is. */
static void reseal_entry(uint8_t *at, size_t length, bool place, uint64_t seqnum)
{
    uint8_t *item = at + CHUNK_ENTRY_BYTES;
    size_t attrs = ior_get_u32(item + 4);
    size_t payload = ior_get_u32(item + 8);
    size_t room = length - CHUNK_ENTRY_BYTES_MIN;
    if (attrs > room || payload > room - attrs) return;
    if (place) {
        ior_put_u64(item + 16, UID);
        ior_put_u64(item + 24, seqnum);
    }
    ior_put_u32(item + 12, ior_crc32c(0, item + ITEM_HEAD_BYTES + attrs, payload));
    uint32_t crc = ior_crc32c(chunk_seed(PARTITION, UID), at + 8, CHUNK_ENTRY_BYTES - 8);
    crc = ior_crc32c(crc, at, 4);
    ior_put_u32(at + 4, ior_crc32c(crc, item, ITEM_HEAD_BYTES + attrs));
}

static void reseal_footer(uint8_t *file, size_t size_bytes)
{
    if (size_bytes < CHUNK_TAIL_BYTES) return;
    uint8_t *tail = file + size_bytes - CHUNK_TAIL_BYTES;
    memcpy(tail + 56, "IORIOEND", 8);
    size_t footer = chunk_tail_footer_bytes(tail);
    if (footer == 0 || footer > size_bytes) return;
    ior_put_u32(tail + 4, 0);
    ior_put_u32(tail + 4,
                ior_crc32c(chunk_seed(PARTITION, UID), file + size_bytes - footer, footer));
}

static void reseal(uint8_t *file, size_t size_bytes, unsigned control)
{
    size_t at = chunk_head_bytes(&chunk);
    uint64_t seqnum = FIRST;
    if ((control & HEAD) != 0 && size_bytes >= at) chunk_head_put(file, &chunk);
    while ((control & CHECKSUMS) != 0 && at + CHUNK_ENTRY_BYTES_MIN <= size_bytes) {
        size_t length = chunk_entry_length(file + at);
        if (length == 0 || length > size_bytes - at) break;
        reseal_entry(file + at, length, (control & PLACES) != 0, seqnum++);
        at += length;
    }
    if ((control & FOOTER) != 0) reseal_footer(file, size_bytes);
}

static void put_file(struct disk *d, const char *path, const uint8_t *data, size_t size_bytes,
                     unsigned control)
{
    struct disk_file *f = NULL;
    uint8_t *file = malloc(size_bytes + 1);
    IOR_ASSERT(file != NULL);
    if (size_bytes > 0) memcpy(file, data, size_bytes);
    reseal(file, size_bytes, control);
    enum ior_err err = disk_open(d, path, DISK_WRITE | DISK_CREATE, &f);
    if (err == IOR_OK && size_bytes > 0) err = disk_write_buf(f, 0, file, size_bytes);
    IOR_ASSERT(err == IOR_OK);
    disk_close(f);
    free(file);
}

static void check_error(enum ior_err err, const struct ior_why *why)
{
    IOR_ASSERT(err == IOR_E_CORRUPT || err == IOR_E_VERSION);
    IOR_ASSERT(strncmp(why->text, "p3/55/", 6) == 0);
}

static void check_entry(const struct chunk_entry *e, const struct ior_blob *blob, uint64_t seqnum)
{
    IOR_ASSERT(e->item.seqnum == seqnum && e->item.uid == UID);
    struct item again = item_at(ior_slice(blob->data, blob->size_bytes), e->item.offset_bytes);
    IOR_ASSERT(again.payload.data == e->item.payload.data);
    IOR_ASSERT(ior_slice_eq(again.payload, e->item.payload));
    IOR_ASSERT(chunk_entry_payload_ok(e));
}

/* All events, `max` at once; their sum, and the last that came. */
static enum ior_err read_all(struct chunk_reader *r, size_t max, uint32_t *ret_sum,
                             uint64_t *ret_last)
{
    struct chunk_entry out[ENTRIES_MAX];
    uint64_t from = FIRST;
    size_t n = 0;
    enum ior_err err;
    struct ior_why why = {""};
    *ret_sum = 0;
    do {
        struct ior_blob *blob = NULL;
        err = chunk_read(r, from, out, max, &n, &blob, &why);
        IOR_ASSERT((n > 0) == (blob != NULL));
        for (size_t i = 0; i < n; i++) {
            check_entry(&out[i], blob, from++);
            *ret_sum = ior_crc32c(*ret_sum, &out[i].time_ms, sizeof out[i].time_ms);
            *ret_sum =
                ior_crc32c(*ret_sum, out[i].item.payload.data, out[i].item.payload.size_bytes);
        }
        ior_blob_unref(blob);
    } while (err == IOR_OK && n > 0);
    if (err != IOR_OK) check_error(err, &why);
    if (err == IOR_OK) IOR_ASSERT(from - 1 == chunk_reader_state(r)->last_seqnum);
    *ret_last = from - 1;
    return err;
}

static void go_on(struct disk *d, const struct chunk_state *found)
{
    struct chunk_writer *w = NULL;
    struct chunk_reader *r = NULL;
    struct ior_why why;
    uint8_t item[ITEM_HEAD_BYTES];
    enum ior_err err = chunk_resume(d, &chunk, found, &w, &why);
    if (err != IOR_OK) { /* the names are others */
        check_error(err, &why);
        return;
    }
    item_write(item, ITEM_APPEND, 0, 0, ior_slice(NULL, 0));
    item_set_place(item, UID, found->last_seqnum + 1, 1);
    struct chunk_event e = {ior_slice(item, sizeof item), 1, 1};
    err = chunk_append(w, &e, 1);
    if (err == IOR_OK) err = chunk_seal(w);
    IOR_ASSERT(err == IOR_OK);
    struct chunk_state made = *chunk_writer_state(w);
    chunk_writer_close(w);
    err = chunk_open(d, PARTITION, UID, FIRST, NULL, &r, &why);
    IOR_ASSERT(err == IOR_OK);
    IOR_ASSERT(chunk_reader_state(r)->sealed);
    IOR_ASSERT(chunk_reader_state(r)->end_bytes == made.end_bytes);
    IOR_ASSERT(chunk_reader_state(r)->payload_bytes == made.payload_bytes);
    chunk_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    char path[DISK_PATH_MAX];
    struct chunk_reader *r = NULL;
    struct ior_why why = {""};
    if (size_bytes == 0) return 0;
    set_up();
    unsigned control = *data++;
    size_bytes--;
    struct disk *d = disk_sim_copy(template);
    chunk_path(PARTITION, UID, FIRST, path);
    put_file(d, path, data, size_bytes, control);
    struct chunk_state all = {.end_bytes = size_bytes,
                              .last_seqnum = FIRST + size_bytes / 80,
                              .sealed = (control & FOOTER) != 0};
    enum ior_err err =
        chunk_open(d, PARTITION, UID, FIRST, (control & STATE) != 0 ? &all : NULL, &r, &why);
    if (err != IOR_OK) {
        check_error(err, &why);
    } else {
        uint32_t sums[2];
        uint64_t lasts[2];
        struct chunk_state found = *chunk_reader_state(r);
        IOR_ASSERT(found.end_bytes <= size_bytes);
        err = read_all(r, 1, &sums[0], &lasts[0]);
        enum ior_err again = read_all(r, ENTRIES_MAX, &sums[1], &lasts[1]);
        IOR_ASSERT(err == again && sums[0] == sums[1] && lasts[0] == lasts[1]);
        IOR_ASSERT(err == IOR_OK || (control & STATE) != 0 || found.sealed);
        chunk_close(r);
        if (err == IOR_OK && !found.sealed && (control & STATE) == 0 && found.last_seqnum >= FIRST)
            go_on(d, &found);
    }
    IOR_ASSERT(disk_sim_open_files(d) == 0);
    disk_free(d);
    return 0;
}

/* test/fuzz/target_segment.c - any bytes as what follows the head of a journal segment, and a
 * node that opens on it (journal_recover.c, group.c, meta.c, vnode.c).
 * Input: chunks, each a control byte, u16 size and the bytes, which are put at the next
 * page. Bit 0 of the control byte: a batch whose checksums, lengths and number are made
 * right, so that its records reach the groups; bit 1: the number is one too high.
 * Checked: opening gives OK or one of the errors for bad data, with a sentence; after
 * OK the node takes an append, and shows the same after another start. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/log.h"
#include "reseal.h"
#include "rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

#define SEGMENT "journal/0000000000000001.seg"
enum { PIECE_HEAD_BYTES = 3, SEALED = 1, WRONG_NUMBER = 2 };

static struct disk *template;
static struct segment segment; /* what the head of the template's segment says */

/* An empty journal as a node makes it. */
static void set_up(void)
{
    static struct rig rig;
    uint8_t head[BATCH_HEAD_BYTES];
    if (template != NULL) return;
    log_set_level("error");
    log_set_fd(-1);
    rig_init(&rig);
    rig_open(&rig);
    rig_drop(&rig);
    for (size_t i = 0; i < sizeof head; i++) head[i] = disk_sim_byte(rig.disk, SEGMENT, i);
    segment.seq = ior_get_u64(head + 16);
    segment.salt = ior_get_u64(head + 24);
    segment.size_bytes = ior_get_u64(head + 32);
    template = disk_sim_copy(rig.disk);
    rig_done(&rig);
}

/* How many bytes of the pages are used. */
static size_t put_chunks(uint8_t *pages, size_t room, const uint8_t *data, size_t size_bytes)
{
    uint64_t number = 1;
    size_t at = 0;
    while (size_bytes >= PIECE_HEAD_BYTES && at < room) {
        uint8_t control = data[0];
        size_t n = ior_get_u16(data + 1);
        data += PIECE_HEAD_BYTES;
        size_bytes -= PIECE_HEAD_BYTES;
        if (n > size_bytes) n = size_bytes;
        if (n > room - at) n = room - at;
        if (n > 0) memcpy(pages + at, data, n);
        if ((control & SEALED) != 0)
            reseal_batch(pages + at, n, &segment, number + ((control & WRONG_NUMBER) != 0));
        number++;
        data += n;
        size_bytes -= n;
        at += ior_align(n == 0 ? 1 : n, JOURNAL_PAGE_BYTES);
    }
    return at;
}

static void write_segment(struct disk *d, const uint8_t *data, size_t size_bytes)
{
    size_t room = (size_t)segment.size_bytes - JOURNAL_PAGE_BYTES;
    uint8_t *pages = calloc(1, room);
    struct disk_file *f = NULL;
    IOR_ASSERT(pages != NULL);
    size_t used = put_chunks(pages, room, data, size_bytes);
    enum ior_err err = disk_open(d, SEGMENT, DISK_WRITE, &f);
    if (err == IOR_OK && used > 0) err = disk_write_buf(f, JOURNAL_PAGE_BYTES, pages, used);
    if (err == IOR_OK) err = disk_sync(f);
    IOR_ASSERT(err == IOR_OK);
    disk_close(f);
    free(pages);
}

/* A term that cannot grow any more would take 2^64 starts. */
static bool terms_can_grow(const struct node *n)
{
    for (uint32_t i = 0; i < n->params.ring_size; i++) {
        if (n->vnodes[i].group.term > UINT64_MAX - 8) return false;
    }
    return true;
}

static void check_goes_on(struct rig *rig)
{
    struct ior_buf before, after;
    ior_buf_init(&before);
    ior_buf_init(&after);
    uint64_t id = rig_put(rig, "fuzz", "s", "1");
    IOR_ASSERT(rig_put(rig, "fuzz", "s", "2") == id + 1);
    rig_dump(rig, &before);
    rig_close(rig);
    rig_open(rig);
    IOR_ASSERT(rig->report.marked && !rig->report.torn);
    rig_dump(rig, &after);
    IOR_ASSERT(ior_slice_eq(ior_buf_slice(&before), ior_buf_slice(&after)));
    ior_buf_done(&before);
    ior_buf_done(&after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static struct rig rig;
    set_up();
    struct disk *d = disk_sim_copy(template);
    write_segment(d, data, size_bytes);
    rig_init_with(&rig, d);
    enum ior_err err = rig_try_open(&rig);
    if (err != IOR_OK) {
        IOR_ASSERT(err == IOR_E_CORRUPT || err == IOR_E_VERSION);
        IOR_ASSERT(rig.why.text[0] != 0);
        IOR_ASSERT(disk_sim_open_files(d) == 0);
    } else if (terms_can_grow(rig.node)) {
        check_goes_on(&rig);
    }
    rig_done(&rig);
    return 0;
}

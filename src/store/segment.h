/* src/store/segment.h - one file of the journal: journal/<16 hex digits>.seg.
 * Its first page is a head; then come batches, each on a page boundary.
 * A segment is pre-written with zeros (or recycled, which is as good) and synced
 * before it gets its name: overwriting written blocks needs no journal commit of
 * the file system, which doubles the syncs per second.
 *
 * segment head, 64 bytes of page 0            batch head, 64 bytes
 *  0 8 bytes "IORIOJNL"                         0 u32 0x54424a49 "IJBT"
 *  8 u32 format version 1                       4 u32 crc32c of salt and 8..64
 * 12 u32 page size 4096                         8 u64 salt of the segment
 * 16 u64 sequence number of the segment        16 u64 batch number
 * 24 u64 salt, random                          24 u32 bytes of records
 * 32 u64 size of the segment                   28 u32 records
 * 40 16 bytes node id                          32 u16 kind: 1 DATA, 2 MARK
 * 56 u32 zero                                  34 u16 zero
 * 60 u32 crc32c of 0..60                       36 u32 crc32c of salt and every record's crc
 *                                              40 u64 time, Unix ms
 *                                              48 16 bytes zero
 * The salt is in every checksum, so bytes of an earlier life never pass as new. */
#pragma once

#include "base/slice.h"
#include "rt/disk.h"

#define JOURNAL_DIR "journal"
enum { JOURNAL_PAGE_BYTES = 4096, BATCH_HEAD_BYTES = 64, NODE_ID_BYTES = 16 };
enum batch_kind { BATCH_DATA = 1, BATCH_MARK = 2 };

struct segment {
    struct disk_file *file;
    uint64_t seq;
    uint64_t salt;
    uint64_t size_bytes; /* the file has at least so many */
};

struct batch_head {
    uint64_t number;
    uint64_t time_ms;
    uint32_t length_bytes; /* of the records */
    uint32_t count;
    uint32_t body_crc;
    uint16_t kind;
};

void segment_name(uint64_t seq, char out[DISK_PATH_MAX]);
/* Is this the name of a segment (without the folder)? */
bool segment_name_parse(const char *name, uint64_t *ret_seq);
/* A new segment, pre-written and synced, ready for use. *recycle_seq: a closed segment
 * of the same size whose blocks are used again (0: none); set to 0 once it has lost
 * its name, whatever happens then.
 * The zeros go in pieces that are synced one by one, so that they do not pile up in
 * front of the syncs of the active segment; between two pieces pace() may wait.
 * NOSPC (nothing is left behind), IO, NOMEM. Thread: any, may take seconds. */
struct segment_pace {
    void (*wait)(void *ctx, uint64_t done_bytes, uint64_t size_bytes); /* NULL: never */
    void *ctx;
};
IOR_MUST_CHECK enum ior_err segment_make(struct disk *d, uint64_t seq, uint64_t size_bytes,
                                         const uint8_t node_id[NODE_ID_BYTES],
                                         uint64_t *recycle_seq, struct segment_pace pace,
                                         struct segment *ret);
/* An existing one. CORRUPT, VERSION, FOREIGN (another node's), IO with *why. */
IOR_MUST_CHECK enum ior_err segment_open(struct disk *d, uint64_t seq,
                                         const uint8_t node_id[NODE_ID_BYTES], struct segment *ret,
                                         struct ior_why *why);
/* Make an unused segment larger, for one batch that is larger than a segment. NOSPC, IO. */
IOR_MUST_CHECK enum ior_err segment_grow(struct segment *s, uint64_t size_bytes,
                                         const uint8_t node_id[NODE_ID_BYTES]);
void segment_close(struct segment *s);

void batch_head_put(uint8_t *at, const struct segment *s, const struct batch_head *h);
/* False: no head of this segment is here. */
bool batch_head_get(const uint8_t *at, const struct segment *s, struct batch_head *ret);
/* The start of a body checksum; then ior_crc32c() over the crc field of each record. */
uint32_t batch_body_crc_start(const struct segment *s);
/* Bytes that a batch takes in the segment. */
uint64_t batch_bytes(uint64_t records_bytes);

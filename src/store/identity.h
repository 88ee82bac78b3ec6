/* src/store/identity.h - the file `identity` of a data directory: whose it is.
 * Text, five lines and a checksum; written at the first start, and once more when
 * the journal is there: from then on a missing journal is damage, not a new node.
 *   iorio data directory, format 1
 *   node <name>
 *   id <32 hex digits>
 *   ring_size <n>
 *   journal no|yes
 *   crc32c <8 hex digits of the lines above> */
#pragma once

#include "rt/disk.h"
#include "store/segment.h"

struct identity {
    char node[256];
    uint8_t id[NODE_ID_BYTES];
    uint32_t ring_size;
    bool has_journal;
};

/* Reads it, or makes it when the directory is new (no identity, no journal).
 * FOREIGN: another node's name or another ring size. VERSION, CORRUPT, IO with *why. */
IOR_MUST_CHECK enum ior_err identity_open(struct disk *d, const char *node, uint32_t ring_size,
                                          struct identity *ret, struct ior_why *why);
/* Only reads it, whosever it is. NOTFOUND: there is none. */
IOR_MUST_CHECK enum ior_err identity_read(struct disk *d, struct identity *ret,
                                          struct ior_why *why);
/* The journal exists from now on. Nothing to do when that is known. */
IOR_MUST_CHECK enum ior_err identity_set_journal(struct disk *d, struct identity *id);

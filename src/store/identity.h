/* src/store/identity.h - the file `identity` of a data directory: whose it is.
 * Text, four lines and a checksum; written once at the first start.
 *   iorio data directory, format 1
 *   node <name>
 *   id <32 hex digits>
 *   ring_size <n>
 *   crc32c <8 hex digits of the lines above> */
#pragma once

#include "rt/disk.h"
#include "store/segment.h"

struct identity {
    char node[256];
    uint8_t id[NODE_ID_BYTES];
    uint32_t ring_size;
};

/* Reads it, or makes it when the directory is new (no identity, no journal).
 * FOREIGN: another node's name or another ring size. VERSION, CORRUPT, IO with *why. */
IOR_MUST_CHECK enum ior_err identity_open(struct disk *d, const char *node, uint32_t ring_size,
                                          struct identity *ret, struct ior_why *why);

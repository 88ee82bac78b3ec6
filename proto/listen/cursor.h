/* proto/listen/cursor.h - where a listener is, as a text that it gives back later: on any
 * transport, any node, after any restart (API.md section 5). Opaque for clients.
 * Bytes, before base64url: version 1, count, count times {5 bytes hash of the names, 6 bytes
 * next id}, little endian, then a MAC (auth/seal.h): docs/formats.rst.
 * Thread: any; pure but for the key. */
#pragma once

#include "auth/seal.h"
#include "base/limits.h"

struct cursor_mark {
    uint64_t name; /* cursor_name() */
    uint64_t next; /* id of the next event */
};
struct cursor {
    size_t count;
    struct cursor_mark marks[LISTEN_SUBS_MAX];
};

/* 40 bits of the hash of the names. */
uint64_t cursor_name(struct ior_slice bucket, struct ior_slice stream);
/* Appends at most CURSOR_BYTES_MAX bytes. Two marks of one name (a chance of 2^-29 with 64
 * streams) and ids above 2^48 are left out: those streams go by their from. */
void cursor_write(const struct token_key *k, const struct cursor *c, struct ior_buf *out);
/* False: it was not made by us, or is of another version. */
bool cursor_read(const struct token_key *k, struct ior_slice text, struct cursor *ret);
/* False: the stream is not in it. */
bool cursor_find(const struct cursor *c, uint64_t name, uint64_t *ret_next);

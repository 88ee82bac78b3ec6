/* src/auth/seal.h - a MAC over something that we hand out and want back unchanged (a cursor).
 * The key is derived from the key of the session tokens and a purpose, so what is sealed
 * for one purpose is worth nothing for another, or as a token; every node of a cluster,
 * and this one after a restart, derives the same.
 * Thread: any. */
#pragma once

#include "auth/token.h"

enum { SEAL_BYTES = 16 };

/* purpose: a few words that nothing else uses. */
void seal_make(const struct token_key *k, const char *purpose, struct ior_slice data,
               uint8_t ret_mac[SEAL_BYTES]);
/* In constant time. What was sealed under the previous key is good, too. */
bool seal_check(const struct token_key *k, const char *purpose, struct ior_slice data,
                const uint8_t mac[SEAL_BYTES]);
/* base64url without padding (RFC 4648 section 5), for URLs and headers. */
enum { SEAL_TEXT_BYTES_MAX = 1024 };
/* Append it as text. At most 768 bytes. */
void seal_to_text(struct ior_slice data, struct ior_buf *out);
/* False: it is no base64url, or more than room bytes. */
bool seal_from_text(struct ior_slice text, uint8_t *out, size_t room, size_t *ret_bytes);

/* src/auth/login_cache.h - passwords that were right a moment ago, so that a client that comes
 * back costs a hash and not argon2id. Private to login.c.
 * What is kept is BLAKE2b of (user, his stored hash, password) under a random key of this
 * process: nothing of it is worth anything without the key, which is in memory that is not
 * swapped and not dumped. A changed password has another stored hash, so what was
 * remembered for the one before is never asked for again. Wrong passwords are not remembered.
 * Bounded: LOGIN_CACHE_SLOTS, LOGIN_CACHE_MS each; a full bucket overwrites its oldest.
 * Thread: login_cache_name() any; all else one at a time (login.c holds its lock). */
#pragma once

#include "base/err.h"
#include "base/slice.h"

enum { LOGIN_NAME_BYTES = 32 };

struct login_cache;

IOR_MUST_CHECK enum ior_err login_cache_new(struct login_cache **ret);
void login_cache_free(struct login_cache *c);
/* The name of one check. user: folded; hash: the stored text, "" when there is no such user. */
void login_cache_name(const struct login_cache *c, struct ior_slice user, const char *hash,
                      struct ior_slice password, uint8_t ret[LOGIN_NAME_BYTES]);
bool login_cache_has(const struct login_cache *c, const uint8_t name[LOGIN_NAME_BYTES],
                     uint64_t now_us);
void login_cache_add(struct login_cache *c, const uint8_t name[LOGIN_NAME_BYTES], uint64_t now_us);

/* src/auth/password.h - argon2id (RFC 9106) by libsodium: 19 MiB, 2 passes.
 * Thread: the crypto thread only (about 40 ms each), or before the workers start. */
#pragma once

#include "base/err.h"
#include "base/slice.h"

#define PASSWORD_HASH_BYTES 128 /* text with its NUL */

/* Once per process, before anything else here. */
IOR_MUST_CHECK enum ior_err password_init(void);
IOR_MUST_CHECK enum ior_err password_hash(struct ior_slice password, char out[PASSWORD_HASH_BYTES]);
/* Is this the text of an argon2id hash (of whatever cost)? Cheap. */
bool password_hash_ok(const char *hash);
/* hash == NULL (no such user) does the same work against a dummy and says no. */
bool password_verify(const char *hash, struct ior_slice password);

/* src/auth/username.h - which names a user may have (API.md section 4).
 * Thread: any. Nothing is allocated. */
#pragma once

#include "base/err.h"
#include "base/limits.h"
#include "base/slice.h"

#define USERNAME_CHARS_MAX 64

/* Legal for a new user? 1 to 64 characters of UTF-8 in at most USERNAME_BYTES_MAX
 * bytes, none of the code points 0..44, 47, 58..63, 127..191, and none of the
 * words all, on, to, from, any in any case. INVAL: *why (may be NULL) says what is wrong. */
IOR_MUST_CHECK enum ior_err username_check(struct ior_slice name, struct ior_why *why);
bool username_ok(struct ior_slice name);

/* Two names that fold to the same bytes are the same user: ASCII letters become
 * small, all else stays. At most USERNAME_BYTES_MAX bytes. */
struct ior_slice username_fold(struct ior_slice name, uint8_t out[USERNAME_BYTES_MAX]);
bool username_same(struct ior_slice a, struct ior_slice b);

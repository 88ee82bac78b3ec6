/* src/base/assert.h - assertions that stay on in a release.
 * Use: for what cannot happen unless the program is wrong. Never for bytes
 * that come from disk, network or a user: those give an error (base/err.h). */
#pragma once

#include <stdint.h>

_Noreturn void ior_assert_fail(const char *expr, const char *file, int line, const char *func);

#define IOR_ASSERT(expr)                                                                           \
    ((__builtin_expect(!(expr), 0)) ? ior_assert_fail(#expr, __FILE__, __LINE__, __func__)         \
                                    : (void)0)

/* Reached only when the program is wrong; `why` says what was believed. */
#define IOR_WRONG(why) ior_assert_fail(why, __FILE__, __LINE__, __func__)

#define IOR_STATIC_ASSERT(expr, why) _Static_assert(expr, why)

/* Objects that pass through a mailbox or a void pointer start with a magic
 * number: a wrong cast or a use after free dies at once, with a name. */
#define IOR_CHECK_MAGIC(obj, wanted) IOR_ASSERT((obj) != 0 && (obj)->magic == (wanted))

#define IOR_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define IOR_LEN(array) (sizeof(array) / sizeof((array)[0]))

/* src/base/err.h - one enum for every error, from one table (errors.def).
 * Zero is good. A reason for humans travels beside it, in struct ior_why, only
 * at boundaries: configuration, opening a data directory, answers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum ior_err {
#define X(name, type, http, mqtt, retry, reason) IOR_E_##name,
#include "base/errors.def"
#undef X
    IOR_E_COUNT
};
#define IOR_OK IOR_E_OK
#define IOR_MUST_CHECK __attribute__((warn_unused_result))
#define IOR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

const char *ior_err_name(enum ior_err err);   /* "NOSPC" */
const char *ior_err_type(enum ior_err err);   /* "no-space" */
const char *ior_err_reason(enum ior_err err); /* a sentence for humans */
int ior_err_http(enum ior_err err);           /* 507 */
int ior_err_mqtt(enum ior_err err);           /* 0x97 */
bool ior_err_retryable(enum ior_err err);
enum ior_err ior_err_from_errno(int e);

/* What exactly went wrong, for a human. Always NUL-terminated. */
struct ior_why {
    char text[512];
};
/* Write the reason and give `err` back, so that a caller can return it. why may be NULL. */
enum ior_err ior_why_set(struct ior_why *why, enum ior_err err, const char *fmt, ...)
    IOR_PRINTF(3, 4);

/* src/base/err.c - look-ups in errors.def. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"

struct err_row {
    const char *name;
    const char *type;
    int http;
    int mqtt;
    bool retryable;
    const char *reason;
};

static const struct err_row rows[IOR_E_COUNT] = {
#define X(name, type, http, mqtt, retry, reason) {#name, type, http, mqtt, retry, reason},
#include "base/errors.def"
#undef X
};

static const struct err_row *row(enum ior_err err)
{
    IOR_ASSERT((unsigned)err < IOR_E_COUNT);
    return &rows[err];
}

const char *ior_err_name(enum ior_err err)
{
    return row(err)->name;
}

const char *ior_err_type(enum ior_err err)
{
    return row(err)->type;
}

const char *ior_err_reason(enum ior_err err)
{
    return row(err)->reason;
}

int ior_err_http(enum ior_err err)
{
    return row(err)->http;
}

int ior_err_mqtt(enum ior_err err)
{
    return row(err)->mqtt;
}

bool ior_err_retryable(enum ior_err err)
{
    return row(err)->retryable;
}

enum ior_err ior_err_from_errno(int e)
{
    switch (e) {
    case 0:
        return IOR_OK;
    case ENOMEM:
        return IOR_E_NOMEM;
    case ENOSPC:
    case EDQUOT:
        return IOR_E_NOSPC;
    case ENOENT:
        return IOR_E_NOTFOUND;
    case EEXIST:
        return IOR_E_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return IOR_E_ACCESS;
    default:
        return IOR_E_IO;
    }
}

enum ior_err ior_why_set(struct ior_why *why, enum ior_err err, const char *fmt, ...)
{
    if (why == NULL) return err;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why->text, sizeof why->text, fmt, ap);
    va_end(ap);
    return err;
}

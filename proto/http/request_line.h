/* proto/http/request_line.h - one line of the request log. Pure.
 * Nothing of a request that could be a secret is in it: of headers and bodies there is nothing at
 * all, and of the query the values of jwt and its like are left out. */
#pragma once

#include "base/buf.h"

struct request_line {
    uint64_t time_ms;        /* Unix time, of the end */
    struct ior_slice client; /* its address */
    struct ior_slice user;   /* empty: not known */
    struct ior_slice method; /* this and the next: any bytes */
    struct ior_slice target;
    int status; /* 0: the client left before the answer */
    uint64_t body_bytes;
    uint64_t us;
};

/* Adds the target, cut, with *** in place of secrets. */
void request_line_target(struct ior_buf *out, struct ior_slice target);
/* One line with its line break. Text: fields with a space between them, whatever is no printable
 * ASCII as %XX. JSON: an object. */
void request_line_text(struct ior_buf *out, const struct request_line *l);
void request_line_json(struct ior_buf *out, const struct request_line *l);

/* proto/http/guard.h - is a request framed as RFC 9112 says? Looked at before h2o sees a
 * byte of it, because h2o 2.2 takes what other programs read in another way: two lengths, a
 * length and chunks, bare line feeds, folded lines. What two programs read differently lets
 * a client smuggle a request past the first one. Pure; any bytes may come.
 * Thread: the worker of the connection. Happy path: the bytes come, in pieces of any size;
 * each line is looked at once; OK says where the head ends and what follows it.
 * Failure modes: BAD with the error that the client gets; MORE: the head, or the body in
 * chunks, is not complete. */
#pragma once

#include "base/err.h"
#include "base/slice.h"

enum guard_verdict { GUARD_MORE, GUARD_OK, GUARD_BAD };
enum guard_body { GUARD_NO_BODY, GUARD_LENGTH, GUARD_CHUNKED };

struct guard_fault {
    enum ior_err err;
    const char *reason; /* a sentence */
};

/* A head, as far as it was looked at. Begins as zeros. */
struct guard_head {
    size_t line;     /* where the line begins that is not complete; OK: the end of the head */
    size_t searched; /* no line ends before this, and there is no control character */
    uint64_t length; /* of Content-Length */
    uint16_t headers;
    enum guard_body body;
    bool request_line; /* was seen */
    bool http10;
    bool host;
    bool length_seen;
    bool expects; /* Expect was there */
};

/* data: from the first byte of the request on, the same ones as before and more. */
enum guard_verdict guard_head(struct guard_head *h, const uint8_t *data, size_t size_bytes,
                              size_t head_bytes_max, const struct guard_fault **ret_fault);

/* A body in chunks, as far as it was looked at. Begins as zeros. */
struct guard_chunks {
    uint8_t state;      /* private */
    uint8_t digits;     /* private */
    uint32_t extra;     /* bytes of the line, or of all trailers */
    uint64_t left;      /* of the chunk */
    uint64_t announced; /* bytes of the body in the chunks that have begun */
};

/* data: the bytes behind those of the call before. OK: *ret_used of them belong to it. */
enum guard_verdict guard_chunks(struct guard_chunks *c, const uint8_t *data, size_t size_bytes,
                                uint64_t body_bytes_max, size_t *ret_used,
                                const struct guard_fault **ret_fault);

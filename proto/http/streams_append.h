/* proto/http/streams_append.h - what POST and PATCH of a stream have in common: the headers that
 * say when and how, the way into core, the answers (streams_post.c). */
#pragma once

#include "proto/http/call.h"
#include "proto/http/negotiate.h"

struct append_terms {
    enum append_expect expect;
    uint64_t expect_last_id;
    enum prefer_durability prefer;
    struct ior_slice key;
};

/* False: it is answered. */
bool append_take_headers(struct http_call *call, struct append_terms *ret);
/* Gives the append away, with a ticket in user[0]; done answers and frees it. */
void append_submit(struct http_call *call, struct append *take, const struct append_terms *terms,
                   append_cb done);
/* Of an append that is done. */
void append_reply(struct http_call *call, const struct append *a);
void append_add_etag(struct http_call *call, uint64_t id);

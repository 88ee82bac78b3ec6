/* proto/http/streams_post.c - POST /streams/:b/:s.
 * Happy path: check the body (JSON, or NDJSON line by line), copy it once into an
 * append, give that away with a ticket; when it is on disk, answer 201.
 * Failure modes: see API.md section 3; a client that left leaves the append alone. */
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/json.h"
#include "base/limits.h"
#include "proto/http/call.h"
#include "proto/http/negotiate.h"
#include "proto/http/routes.h"
#include "proto/http/streams_append.h"

struct post {
    struct event_in *events; /* NULL: the one below */
    struct event_in one;
    size_t count;
    struct append_terms terms;
};

static void reply_invalid(struct http_call *call, enum ior_err err, const char *reason)
{
    call_reply_error(call, err, reason, NULL);
}

/* ---- the body ---- */

static bool json_ok(struct http_call *call, struct ior_slice text, size_t line)
{
    size_t at = 0;
    if (ior_json_check(text, JSON_DEPTH_MAX, &at) == IOR_OK) return true;
    char extra[64];
    if (line > 0) {
        snprintf(extra, sizeof extra, "\"line\":%zu,\"offset\":%zu", line, at);
    } else {
        snprintf(extra, sizeof extra, "\"offset\":%zu", at);
    }
    call_reply_error(call, IOR_E_BODY, NULL, extra);
    return false;
}

static bool blank(struct ior_slice line)
{
    for (size_t i = 0; i < line.size_bytes; i++) {
        if (line.data[i] != ' ' && line.data[i] != '\t' && line.data[i] != '\r') return false;
    }
    return true;
}

/* Cut one line off the rest. */
static struct ior_slice take_line(struct ior_slice *rest)
{
    const uint8_t *end = memchr(rest->data, '\n', rest->size_bytes);
    size_t n = end == NULL ? rest->size_bytes : (size_t)(end - rest->data);
    struct ior_slice line = ior_slice(rest->data, n);
    size_t used = end == NULL ? n : n + 1;
    *rest = ior_slice(rest->data + used, rest->size_bytes - used);
    if (line.size_bytes > 0 && line.data[line.size_bytes - 1] == '\r') line.size_bytes--;
    return line;
}

static bool count_lines(struct http_call *call, size_t *ret)
{
    struct ior_slice rest = call->body;
    size_t count = 0;
    while (rest.size_bytes > 0) {
        if (!blank(take_line(&rest))) count++;
    }
    *ret = count;
    if (count == 0) {
        reply_invalid(call, IOR_E_BODY, "Invalid Request Body: a batch needs at least one line");
        return false;
    }
    if (count > BATCH_LINES_MAX) {
        reply_invalid(call, IOR_E_TOOLARGE,
                      "A batch has at most 10000 lines; send the rest in a second request");
        return false;
    }
    return true;
}

static bool take_batch(struct http_call *call, struct post *p)
{
    if (!count_lines(call, &p->count)) return false;
    p->events = malloc(p->count * sizeof *p->events);
    if (p->events == NULL) {
        reply_invalid(call, IOR_E_NOMEM, NULL);
        return false;
    }
    struct ior_slice rest = call->body;
    size_t n = 0;
    for (size_t number = 1; rest.size_bytes > 0; number++) {
        struct ior_slice line = take_line(&rest);
        if (blank(line)) continue;
        if (!json_ok(call, line, number)) return false;
        p->events[n++] = (struct event_in){line, true};
    }
    IOR_ASSERT(n == p->count);
    return true;
}

static bool take_body(struct http_call *call, struct post *p)
{
    if (call->body_type == BODY_NDJSON) return take_batch(call, p);
    bool json = call->body_type == BODY_JSON;
    p->count = 1;
    p->one = (struct event_in){call->body, json};
    return !json || json_ok(call, call->body, 0);
}

/* ---- the headers ---- */

static bool bad_header(struct http_call *call, const char *field, struct ior_slice value)
{
    struct ior_buf extra;
    ior_buf_init(&extra);
    ior_buf_addf(&extra, "\"field\":\"%s\",\"value\":", field);
    ior_json_quote(&extra, value);
    ior_buf_add_char(&extra, 0);
    call_reply_error(call, IOR_E_INVAL, NULL,
                     ior_buf_failed(&extra) ? NULL : (const char *)extra.data);
    ior_buf_done(&extra);
    return false;
}

/* Two lines of a condition or a key cannot both be meant. */
bool append_take_headers(struct http_call *call, struct append_terms *p)
{
    struct ior_slice match = call_header(call, "if-match");
    struct ior_slice none = call_header(call, "if-none-match");
    if (match.data != NULL) {
        p->expect = EXPECT_LAST_ID;
        if (!negotiate_etag(match, &p->expect_last_id) || call_header_repeated(call, "if-match"))
            return bad_header(call, "If-Match", match);
    }
    if (none.data != NULL) {
        if (match.data != NULL || !ior_slice_eq(none, IOR_SLICE("*")) ||
            call_header_repeated(call, "if-none-match"))
            return bad_header(call, "If-None-Match", none);
        p->expect = EXPECT_NONE_KEPT;
    }
    struct ior_slice key = call_header(call, "idempotency-key");
    if (key.data != NULL) {
        if (key.size_bytes == 0 || key.size_bytes > IDEMPOTENCY_KEY_BYTES_MAX ||
            call_header_repeated(call, "idempotency-key"))
            return bad_header(call, "Idempotency-Key", key);
        p->key = key;
    }
    p->prefer = negotiate_durability(call_header(call, "prefer"));
    return true;
}

/* ---- the answers ---- */

/* Text of an answer, on the stack: no printf on the hot path. */
struct text {
    char data[3 * (BUCKET_BYTES_MAX + STREAM_BYTES_MAX) + 128];
    size_t n;
};

static void put(struct text *t, const char *literal, size_t n)
{
    IOR_ASSERT(n <= sizeof t->data - t->n);
    memcpy(t->data + t->n, literal, n);
    t->n += n;
}
#define PUT(t, literal) put(t, literal, sizeof(literal) - 1)

static void put_u64(struct text *t, uint64_t v)
{
    IOR_ASSERT(sizeof t->data - t->n >= 20);
    t->n += ior_u64_dec(v, t->data + t->n);
}

static void put_name(struct text *t, struct ior_slice name)
{
    IOR_ASSERT(sizeof t->data - t->n >= 3 * name.size_bytes);
    t->n += path_encode(name, t->data + t->n);
}

static struct ior_slice text_slice(const struct text *t)
{
    return ior_slice(t->data, t->n);
}

static void add_location(struct http_call *call, uint64_t id)
{
    struct text t;
    t.n = 0;
    PUT(&t, "/streams/");
    put_name(&t, call->bucket);
    PUT(&t, "/");
    put_name(&t, call->stream);
    PUT(&t, "/?limit=1&from=");
    put_u64(&t, id);
    call_add_header(call, "location", text_slice(&t));
}

void append_add_etag(struct http_call *call, uint64_t id)
{
    struct text t;
    t.n = 0;
    PUT(&t, "\"");
    put_u64(&t, id);
    PUT(&t, "\"");
    call_add_header(call, "etag", text_slice(&t));
}

static void add_durability(struct http_call *call, enum prefer_durability prefer)
{
    const char *reached = prefer == PREFER_MEMORY ? "memory" : "disk";
    if (prefer != PREFER_NONE) {
        /* One node alone: quorum is this disk. */
        call_add_header(call, "preference-applied",
                        prefer == PREFER_MEMORY   ? IOR_SLICE("durability=memory")
                        : prefer == PREFER_QUORUM ? IOR_SLICE("durability=quorum")
                                                  : IOR_SLICE("durability=disk"));
        if (prefer == PREFER_QUORUM) reached = "quorum";
    }
    call_add_header(call, "iorio-durability", ior_slice_str(reached));
}

static void add_kept(struct http_call *call, const struct append *a)
{
    append_add_etag(call, a->last_id);
    add_durability(call, (enum prefer_durability)a->user[1]);
    if (a->dedupe_shortened_ms > 0)
        call_add_header_u64(call, "iorio-dedupe-window", (a->dedupe_shortened_ms + 999) / 1000);
}

static void reply_created(struct http_call *call, const struct append *a)
{
    struct text t;
    t.n = 0;
    PUT(&t, "{\"meta\":{\"id\":");
    put_u64(&t, a->first_id);
    if (call->body_type == BODY_NDJSON) {
        PUT(&t, ",\"last\":");
        put_u64(&t, a->last_id);
    }
    PUT(&t, ",\"t\":");
    put_u64(&t, a->time_ms);
    PUT(&t, "}}");
    if (a->patch == NULL) add_location(call, a->first_id);
    add_kept(call, a);
    call_reply_json(call, a->patch == NULL ? 201 : 200, text_slice(&t));
}

static void reply_conflict(struct http_call *call, const struct append *a)
{
    char extra[128];
    char expected[32] = "\"empty\"";
    if (a->expect == EXPECT_LAST_ID)
        snprintf(expected, sizeof expected, "%llu", (unsigned long long)a->expect_last_id);
    snprintf(extra, sizeof extra, "\"field\":\"seqnum\",\"expected\":%s,\"got\":%llu", expected,
             (unsigned long long)a->last_id);
    append_add_etag(call, a->last_id);
    call_reply_error(call, IOR_E_CONFLICT, NULL, extra);
}

void append_reply(struct http_call *call, const struct append *a)
{
    if (a->err == IOR_OK) {
        reply_created(call, a);
    } else if (a->err == IOR_E_CONFLICT) {
        reply_conflict(call, a);
    } else if (a->err == IOR_E_KEYREUSED) {
        call_reply_error(call, a->err, NULL, "\"field\":\"Idempotency-Key\"");
    } else {
        call_reply_error(call, a->err, NULL, NULL);
    }
}

static void streams_post_done(struct append *a)
{
    struct http_app *app = a->user_ptr;
    struct http_call *call = a->user[0] == 0 ? NULL : call_redeem(app, a->user[0]);
    if (call != NULL) append_reply(call, a);
    append_free(a);
}

/* Prefer: durability=memory: taken, not yet on disk. */
static void streams_post_accepted(struct append *a)
{
    struct http_app *app = a->user_ptr;
    struct http_call *call = call_redeem(app, a->user[0]);
    a->user[0] = 0;
    if (call == NULL) return;
    add_durability(call, PREFER_MEMORY);
    call_reply_json(call, 202, IOR_SLICE("{\"ok\":true}"));
}

void append_submit(struct http_call *call, struct append *take, const struct append_terms *terms,
                   append_cb done)
{
    struct append *a = take;
    a->expect = terms->expect;
    a->expect_last_id = terms->expect_last_id;
    a->user_ptr = call->app;
    a->user[0] = call_ticket(call, true);
    a->user[1] = (uint64_t)terms->prefer;
    if (terms->prefer == PREFER_MEMORY) {
        a->durability = DURABILITY_MEMORY;
        a->accepted = streams_post_accepted;
    }
    enum ior_err err = a->user[0] == 0 ? IOR_E_BUSY : iorio_append(call->app->node, a, done);
    if (err != IOR_OK) {
        append_free(a);
        call_reply_error(call, err, NULL, NULL);
    }
}

static void submit(struct http_call *call, const struct post *p)
{
    struct append *a = NULL;
    const struct event_in *events = p->events != NULL ? p->events : &p->one;
    enum ior_err err = append_new(call->bucket, call->stream, events, p->count, p->terms.key, &a);
    if (err != IOR_OK) {
        call_reply_error(call, err, NULL, NULL);
        return;
    }
    append_submit(call, a, &p->terms, streams_post_done);
}

void route_stream_post(struct http_call *call)
{
    struct post p = {0};
    if (take_body(call, &p) && append_take_headers(call, &p.terms)) submit(call, &p);
    free(p.events);
}

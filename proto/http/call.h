/* proto/http/call.h - one request, as the handlers see it; no h2o in sight.
 * Thread: the worker that accepted the connection.
 * A call lives until its answer is out or the client is gone. Whoever goes away
 * from the stack (an append, a read) keeps only a ticket and redeems it later:
 * the call, or NULL. */
#pragma once

#include "auth/token.h"
#include "base/address.h"
#include "base/blob.h"
#include "core/iorio.h"
#include "proto/http/app.h"
#include "proto/http/path.h"
#include "proto/http/router.h"

enum answer_type { ANSWER_NONE, ANSWER_JSON, ANSWER_NDJSON };
enum body_type { BODY_NONE, BODY_JSON, BODY_OCTETS, BODY_NDJSON, BODY_PATCH, BODY_OTHER };

/* Why call_wait() ends. */
enum call_wait_end {
    CALL_WAIT_TIMEOUT,
    CALL_WAIT_STOPPING, /* of the node */
    CALL_WAIT_LEFT,     /* the client has ended its side (an answer closes the connection), or
                           sent something else */
    CALL_WAIT_GONE      /* the call is freed when the function returns: no answer */
};
struct call_wait_link {
    struct call_wait_link *prev, *next;
};

struct http_call {
    uint32_t magic;
    void *req; /* server.c's */
    struct http_app *app;
    const struct route *route;
    bool is_head;
    bool answered;
    bool head_only; /* its body has not come: every check that needs none, but not the handler */
    bool mute;      /* and what they answer is only wanted as `answered` */
    bool client_known;
    struct ior_address client; /* call_client()'s */
    uint64_t retry_after_s;    /* of an error after which it makes sense to come back; 0: 1 */

    uint64_t begin_us;       /* clock_turn_us() when it was there whole */
    struct ior_slice method; /* this and the next as they came */
    struct ior_slice target;
    struct ior_slice bucket;
    struct ior_slice stream;
    struct ior_slice id;     /* raw */
    struct ior_slice name;   /* of :u or :g; any bytes */
    struct ior_slice member; /* of :m; any bytes */
    struct query_param *query;
    size_t query_count;
    bool query_cut; /* a parameter was broken or one too many, and is left out */
    struct ior_slice body;
    uint64_t body_bytes; /* of it; head_only: announced so far */
    enum body_type body_type;
    enum answer_type answer; /* of a route AS_JSON or AS_EVENTS */

    const struct policy *policy;   /* of this turn; not to be kept */
    const struct policy_user *who; /* in it; NULL: a user that does not exist */
    bool has_token;
    struct ior_slice token; /* as it came; lives as long as the call */
    uint64_t expires_s;     /* Unix time; UINT64_MAX: without a token */

    /* While somebody else works for it. */
    uint64_t ticket;
    uint64_t deadline_us; /* 0: none */
    struct http_call *wait_prev, *wait_next;

    /* While it waits for something that may never come. */
    struct {
        struct call_wait_link link;
        uint64_t until_us;
        void (*end)(void *state, enum call_wait_end why); /* NULL: it does not */
        void *state;
        void (*check)(void *state); /* NULL: it is not checked */
        struct call_wait_link check_link;
        uint64_t checked; /* the round of it */
    } wait;

    /* A streamed answer. */
    void (*stream_next)(struct http_call *call);
    void *stream_state;
    void (*stream_free)(void *state);

    char user[USERNAME_BYTES_MAX + 1]; /* last: what is before it starts as zeros */
};

/* ---- what came ---- */
/* Lower-case name; data NULL: not there. */
struct ior_slice call_header(const struct http_call *call, const char *name);
/* One after the other, where a header is there several times; start with *at = -1. */
bool call_header_next(const struct http_call *call, const char *name, ptrdiff_t *at,
                      struct ior_slice *ret);
/* The i-th header as it came, names in lower case; of those that h2o keeps for itself `host` is the
 * first. False: there are no more. */
bool call_header_at(const struct http_call *call, size_t i, struct ior_slice *ret_name,
                    struct ior_slice *ret_value);
/* Is it there more than once? */
bool call_header_repeated(const struct http_call *call, const char *name);
bool call_query(const struct http_call *call, const char *name, struct ior_slice *ret);
/* The name in the certificate that the client has shown, or NULL. */
const char *call_certificate_user(const struct http_call *call);
/* The other end of the connection. False: it has none that we know. */
bool call_peer(const struct http_call *call, struct ior_address *ret);
/* limited.c: the client: the peer, or whom the proxies in http.proxies name. */
const struct ior_address *call_client(struct http_call *call);
/* Both the peer and the client are on this machine. */
bool call_from_loopback(struct http_call *call);
/* limited.c: the address of the client, without a port; "unknown". */
enum { CALL_PEER_BYTES = ADDRESS_TEXT_BYTES };
void call_peer_text(struct http_call *call, char ret[CALL_PEER_BYTES]);

/* ---- tickets ---- */
/* 0: too many are out (HTTP_CALLS_MAX). with_deadline: after request.timeout the
 * server answers 503 timeout by itself and the ticket redeems to NULL. */
uint64_t call_ticket(struct http_call *call, bool with_deadline);
/* On the same worker; the ticket is used up. NULL: the client has its answer or is gone. */
struct http_call *call_redeem(struct http_app *app, uint64_t ticket);

/* ---- waiting ---- */
/* Until it is answered, but at most so long (to about 100 ms): then end(state, why) is
 * called, once, and the handler answers, at once unless why is GONE. Instead of a ticket:
 * state may keep the call until then. look: LEFT is noticed, too. Again, before the end:
 * another time and function. */
void call_wait(struct http_call *call, uint64_t ms, bool look,
               void (*end)(void *state, enum call_wait_end why), void *state);
/* After call_wait(): within a second after users, grants or revoked tokens have changed, or the
 * clock has jumped, check(state) is called, again and again until the wait ends. It may
 * answer the call. */
void call_wait_check(struct http_call *call, void (*check)(void *state));
/* dispatch.c: whose call is it, by the policy of this turn? False: the token is no good, or
 * no longer. */
bool call_identify(struct http_call *call);
/* The same for something that goes on: may he still what the route asks for? */
bool call_may_go_on(struct http_call *call);

/* ---- the answer: exactly one of these ---- */
/* Before it: value is copied, name is a literal in lower case. */
void call_add_header(struct http_call *call, const char *name, struct ior_slice value);
void call_add_header_u64(struct http_call *call, const char *name, uint64_t value);
void call_reply_empty(struct http_call *call, int status);
/* With CORS: OPTIONS of a route that has these methods (server_cors.c). */
void call_reply_options(struct http_call *call, const char *methods);
void call_reply_json(struct http_call *call, int status, struct ior_slice json);
/* text stays as long as the program. */
void call_reply_static(struct http_call *call, int status, const char *type, struct ior_slice text);
void call_reply_text(struct http_call *call, int status, const char *type, struct ior_slice text);
/* A buffer for an answer of about so many bytes, in the memory of the request; for
 * call_reply_buf(), or ior_buf_done(). */
void call_buf(struct http_call *call, struct ior_buf *out, size_t size_bytes);
/* Takes the buffer; the blob's payload is borrowed from a reference that is taken over. */
void call_reply_buf(struct http_call *call, int status, const char *type, struct ior_buf *take);
void call_reply_blob(struct http_call *call, int status, const char *type, struct ior_blob *take,
                     struct ior_slice payload);
/* The error table's answer. extra: further members of the object, `"field":"x"`, or NULL. */
void call_reply_error(struct http_call *call, enum ior_err err, const char *reason,
                      const char *extra);
/* An answer of unknown length: start, then send; next() is called when more may be
 * sent; state is freed by free_state when all is over, whatever happened. */
void call_stream_start(struct http_call *call, int status, const char *type,
                       void (*next)(struct http_call *call), void *state,
                       void (*free_state)(void *state));
void call_stream_send(struct http_call *call, struct ior_buf *take, bool last);
/* It cannot go on: the connection is cut, so that the client sees it is not whole. */
void call_stream_abort(struct http_call *call);

/* dispatch.c: the checks in the order of API.md section 1, then the handler. scratch
 * has room for the target's bytes, params for QUERY_PARAMS_MAX (NULL: no query). */
void http_dispatch(struct http_call *call, struct ior_slice method, struct ior_slice target,
                   uint8_t *scratch, struct query_param *params);

/* proto/listen/comet.c - long polling (API.md section 5, COMET).
 * Happy path: every stream is read from where the client wants it; what is there is the
 * answer. If nothing is, a watch hangs at every stream (core/watch.h); the first that fires
 * has its stream read, and that is the answer. Nothing in time: 204. So between the read
 * and the watch no event is missed, for a watch looks at the stream when it is hung up.
 * One read is under way at a time; each takes its share of what the answer may hold, in
 * rounds that begin at a random stream: no stream can starve another.
 * The state is on the heap and outlives the call until its read and its watches are home;
 * `call` is NULL from the moment that it is answered or gone.
 * While it waits it is looked at whenever users, grants or revoked tokens change, and when its
 * token ends (on_check, on_wait_end): within a second.
 * Failure modes: no memory, or too much waiting in the node for 2 s: 503; a token that has ended,
 * or was revoked, meanwhile: 401; a stream that may no longer be read is left out, and when none is
 * left it waits like a silent one. The client leaves, the node stops: as if the time were up.
 * Thread: the worker of the connection. */
#include "proto/listen/comet.h"

#include <stdlib.h>

#include "auth/policy.h"
#include "base/assert.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "proto/http/render.h"
#include "proto/listen/cursor.h"
#include "proto/listen/want.h"
#include "rt/clock.h"
#include "rt/rand.h"

/* A strand may be full for a moment, when one event wakes thousands: so often it is tried again. */
enum { COMET_MAGIC = 0x636f6d65, BUSY_MAX = 20, BUSY_WAIT_MS = 1 };

struct comet_sub {
    struct comet *comet;
    struct listen_want want; /* names are in comet.names */
    struct ior_buf place;    /* the names as members of meta; empty: not made yet */
    struct ior_buf out;      /* events, with commas between them */
    struct watch *watch;
    uint64_t next;             /* id of the next event; 0: not known yet */
    uint64_t gap_from, gap_to; /* ids that are missing before it; 0: none */
    uint64_t events;
    bool watching;
    bool due;      /* there may be something to read */
    bool left_out; /* it may not be read any more: for the rest of this request */
};

struct comet {
    uint32_t magic;
    struct http_app *app;
    struct http_call *call;
    bool cache_only;
    bool bad_cursor;
    bool caught_up; /* every stream was read once */
    bool reading;
    unsigned busy;      /* how often in a row something was refused with BUSY */
    unsigned under_way; /* reads and watches that come home some day */
    uint64_t until_us;
    uint64_t events; /* in all of out, and their bytes */
    uint64_t bytes;
    size_t first;    /* the stream that the rounds begin with */
    size_t at;       /* how many of this round were looked at */
    size_t due_left; /* how many will be read in this round */
    uint8_t *names;
    size_t count;
    struct comet_sub subs[];
};

static void go_on(struct comet *c);
static void on_wait_end(void *state, enum call_wait_end why);
static void on_check(void *state);

/* ---- the end ---- */

static void free_if_home(struct comet *c)
{
    if (c->call != NULL || c->under_way > 0) return;
    for (size_t i = 0; i < c->count; i++) {
        ior_buf_done(&c->subs[i].place);
        ior_buf_done(&c->subs[i].out);
        watch_free(c->subs[i].watch);
    }
    free(c->names);
    c->magic = 0;
    free(c);
}

/* The call is answered or gone. */
static void let_go(struct comet *c)
{
    IOR_ASSERT(c->call == NULL);
    for (size_t i = 0; i < c->count; i++) {
        if (c->subs[i].watching) iorio_watch_cancel(c->subs[i].watch);
    }
    free_if_home(c);
}

static void fail(struct comet *c, enum ior_err err, const char *reason)
{
    struct http_call *call = c->call;
    c->call = NULL;
    call_reply_error(call, err, reason, NULL);
    let_go(c);
}

/* ---- the answer ---- */

static void add_gap(struct http_call *call, const struct comet_sub *s)
{
    char text[3 * (BUCKET_BYTES_MAX + STREAM_BYTES_MAX) + 64];
    size_t n = path_encode(s->want.bucket, text);
    text[n++] = ':';
    n += path_encode(s->want.stream, text + n);
    text[n++] = ':';
    n += ior_u64_dec(s->gap_from, text + n);
    text[n++] = '-';
    n += ior_u64_dec(s->gap_to, text + n);
    call_add_header(call, "iorio-gap", ior_slice(text, n));
    metric_add(METRIC_listen_gaps, 1);
}

static void add_cursor(struct http_call *call, const struct cursor *cursor)
{
    char memory[CURSOR_BYTES_MAX];
    struct ior_buf text;
    ior_buf_init_in(&text, memory, sizeof memory);
    cursor_write(&call->app->key, cursor, &text);
    if (!ior_buf_failed(&text)) call_add_header(call, "iorio-cursor", ior_buf_slice(&text));
    ior_buf_done(&text);
}

static bool may_get(const struct http_call *call, const struct listen_want *w)
{
    return policy_user_allows(call->policy, call->who, PERM_GET, w->bucket, w->stream);
}

/* With the permissions of this moment. Returns the number of events. */
static uint64_t put_together(struct comet *c, struct http_call *call, struct ior_buf *out)
{
    struct cursor cursor = {.count = 0};
    uint64_t events = 0;
    ior_buf_add_char(out, '[');
    for (size_t i = 0; i < c->count; i++) {
        struct comet_sub *s = &c->subs[i];
        if (!may_get(call, &s->want)) continue;
        if (s->next == 0 && s->want.has_id && !s->want.has_end) s->next = s->want.id;
        if (s->next == 0) continue; /* the node stops: it was not even looked at */
        cursor.marks[cursor.count++] =
            (struct cursor_mark){cursor_name(s->want.bucket, s->want.stream), s->next};
        if (s->gap_from != 0) add_gap(call, s);
        if (ior_buf_failed(&s->out)) out->failed = true;
        if (s->events == 0) continue;
        if (events > 0) ior_buf_add_char(out, ',');
        ior_buf_add_slice(out, ior_buf_slice(&s->out));
        ior_buf_done(&s->out);
        events += s->events;
    }
    ior_buf_add_char(out, ']');
    if (c->bad_cursor) call_add_header(call, "iorio-gap", IOR_SLICE("*"));
    add_cursor(call, &cursor);
    return events;
}

static void reply(struct comet *c)
{
    struct http_call *call = c->call;
    c->call = NULL;
    call_add_header(call, "cache-control", IOR_SLICE("no-store"));
    if (!call_identify(call)) {
        call_reply_error(call, IOR_E_NOPERM, NULL, NULL);
        let_go(c);
        return;
    }
    struct ior_buf out;
    ior_buf_init(&out);
    uint64_t events = put_together(c, call, &out);
    if (events > 0) {
        metric_add(METRIC_listen_answers, 1);
        metric_add(METRIC_listen_events, events);
        call_reply_buf(call, 200, "application/json", &out);
    } else {
        ior_buf_done(&out);
        call_reply_empty(call, 204);
    }
    let_go(c);
}

/* ---- what may change while it waits ---- */

/* To the end of its time, or of its token's. */
static uint64_t wait_left_ms(const struct comet *c)
{
    uint64_t now_us = clock_mono_us();
    uint64_t now_ms = clock_wall_ms();
    uint64_t left = c->until_us > now_us ? (c->until_us - now_us) / 1000 + 1 : 0;
    uint64_t expires_s = c->call->expires_s;
    if (expires_s > now_ms / 1000 + LISTEN_WAIT_S_MAX) return left;
    uint64_t token_left = expires_s * 1000 > now_ms ? expires_s * 1000 - now_ms + 1 : 1;
    return token_left < left ? token_left : left;
}

static void wait_on(struct comet *c)
{
    call_wait(c->call, wait_left_ms(c), true, on_wait_end, c);
    call_wait_check(c->call, on_check);
}

static void leave_out(struct comet_sub *s)
{
    s->left_out = true;
    s->due = false;
    if (!s->watching) return;
    s->watching = false;
    iorio_watch_cancel(s->watch);
}

static void on_check(void *state)
{
    struct comet *c = state;
    IOR_CHECK_MAGIC(c, COMET_MAGIC);
    if (!call_identify(c->call)) {
        fail(c, IOR_E_NOPERM, NULL);
        return;
    }
    for (size_t i = 0; i < c->count; i++) {
        struct comet_sub *s = &c->subs[i];
        if (!s->left_out && !may_get(c->call, &s->want)) leave_out(s);
    }
    /* The clock may have jumped. (Not while something that was refused is tried again.) */
    if (c->caught_up && c->call->wait.end == on_wait_end) wait_on(c);
}

/* ---- the end of the waiting ---- */

static void on_wait_end(void *state, enum call_wait_end why)
{
    struct comet *c = state;
    IOR_CHECK_MAGIC(c, COMET_MAGIC);
    if (why == CALL_WAIT_TIMEOUT && c->caught_up && clock_mono_us() < c->until_us &&
        call_identify(c->call)) { /* the clocks are not quite of one mind about its token */
        wait_on(c);
    } else if (why == CALL_WAIT_GONE) {
        c->call = NULL;
        let_go(c);
    } else if (why == CALL_WAIT_TIMEOUT && !c->caught_up) {
        metric_add(METRIC_http_timeouts, 1);
        fail(c, IOR_E_TIMEOUT, "The streams could not be read in time (request.timeout)");
    } else {
        reply(c);
    }
}

static void on_busy_end(void *state, enum call_wait_end why)
{
    struct comet *c = state;
    if (why != CALL_WAIT_TIMEOUT) {
        on_wait_end(state, why);
        return;
    }
    uint64_t ms = c->caught_up ? wait_left_ms(c) : c->app->config->request_timeout;
    call_wait(c->call, ms, c->caught_up, on_wait_end, c);
    call_wait_check(c->call, on_check);
    go_on(c);
}

/* What was refused is still marked as to be done: the next go_on() does it. */
static void try_again(struct comet *c, enum ior_err err)
{
    if (err != IOR_E_BUSY || ++c->busy > BUSY_MAX) {
        fail(c, err, NULL);
    } else {
        call_wait(c->call, BUSY_WAIT_MS, c->caught_up, on_busy_end, c);
        call_wait_check(c->call, on_check);
    }
}

/* ---- reading ---- */

static uint64_t events_max(const struct comet *c)
{
    return c->app->config->streams_read_max;
}

static bool has_room(const struct comet *c)
{
    return c->events < events_max(c) && c->bytes < LISTEN_ANSWER_BYTES;
}

static void make_place(struct comet_sub *s)
{
    if (s->place.size_bytes > 0) return;
    ior_buf_add_str(&s->place, ",\"bucket\":");
    ior_json_quote(&s->place, s->want.bucket);
    ior_buf_add_str(&s->place, ",\"stream\":");
    ior_json_quote(&s->place, s->want.stream);
}

/* Is the next event the one that was expected? Else notes the gap. False: a gap behind
 * events of this answer; the next one will begin with it. */
static bool note_gap(struct comet_sub *s, uint64_t low)
{
    if (s->next >= low) return true;
    if (s->comet->cache_only) {
        s->next = low;
        return true;
    }
    if (s->events > 0) return false;
    if (s->gap_from == 0) s->gap_from = s->next;
    s->gap_to = low - 1;
    s->next = low;
    return true;
}

/* As many of the events as are this stream's share; the first one also beyond it, and when
 * the answer is empty, whatever its size. */
static void take_events(struct comet_sub *s, const struct read *r, uint64_t share_bytes)
{
    struct comet *c = s->comet;
    uint64_t left = LISTEN_ANSWER_BYTES - c->bytes;
    uint64_t taken = 0;
    make_place(s);
    if (ior_buf_failed(&s->place)) s->out.failed = true; /* the answer will be 503 */
    for (size_t i = 0; i < r->count; i++) {
        const struct event_out *e = &r->events[i];
        uint64_t n = render_event_bytes_max(e, ior_buf_slice(&s->place));
        uint64_t limit = i == 0 ? left : share_bytes;
        if (c->events > 0 && taken + n > limit) break;
        IOR_ASSERT(e->id == s->next || c->cache_only);
        if (s->events > 0) ior_buf_add_char(&s->out, ',');
        render_event_at(&s->out, e, false, ior_buf_slice(&s->place));
        s->next = e->id + 1;
        taken += n;
        s->events++;
        c->events++;
    }
    c->bytes += taken;
}

static void on_visited(struct read *r)
{
    struct comet *c = r->user_ptr;
    IOR_CHECK_MAGIC(c, COMET_MAGIC);
    struct comet_sub *s = &c->subs[r->user[0]];
    uint64_t share_bytes = r->user[1];
    c->reading = false;
    c->under_way--;
    if (c->call == NULL) {
        read_free(r);
        free_if_home(c);
        return;
    }
    if (r->err != IOR_OK) {
        enum ior_err err = r->err;
        s->due = true;
        read_free(r);
        if (err == IOR_E_BUSY) try_again(c, err);
        if (err != IOR_E_BUSY) fail(c, err, NULL);
        return;
    }
    c->busy = 0;
    if (s->left_out) {
        read_free(r);
        go_on(c);
        return;
    }
    bool only_looked = s->next == 0 && r->count == 0;
    if (s->next == 0) s->next = want_first(&s->want, r->low, r->high);
    uint64_t had = s->events;
    if (note_gap(s, r->low)) take_events(s, r, share_bytes);
    if (c->cache_only && !only_looked && r->count == 0) s->next = r->high + 1;
    /* What took nothing although it might have found no room: there is nothing to gain. */
    s->due = s->next <= r->high && (only_looked || s->events > had);
    read_free(r);
    go_on(c);
}

/* A share of what is left, for this one and those that come after it in this round. */
static void visit(struct comet *c, struct comet_sub *s)
{
    struct read *r = NULL;
    enum ior_err err = read_new(s->want.bucket, s->want.stream, &r);
    if (err != IOR_OK) {
        fail(c, err, NULL);
        return;
    }
    uint64_t sharers = c->due_left > 0 ? c->due_left-- : 1;
    uint64_t share = (events_max(c) - c->events) / sharers;
    r->how = READ_FROM_ID;
    r->from = s->next != 0 ? s->next : s->want.id;
    r->limit = share > 0 ? share : 1;
    r->cache_only = c->cache_only;
    bool start_known = s->next != 0 || (s->want.has_id && !s->want.has_end);
    if (!start_known || !has_room(c)) r->limit = 0; /* only look */
    r->user_ptr = c;
    r->user[0] = (uint64_t)(s - c->subs);
    r->user[1] = (LISTEN_ANSWER_BYTES - c->bytes) / sharers;
    s->due = false;
    err = iorio_read(c->app->node, r, on_visited);
    if (err != IOR_OK) {
        s->due = true;
        read_free(r);
        try_again(c, err);
        return;
    }
    c->reading = true;
    c->under_way++;
}

/* When the answer is full the others are still looked at: their `new` begins now. */
static struct comet_sub *next_due(struct comet *c)
{
    while (c->at < c->count) {
        struct comet_sub *s = &c->subs[(c->first + c->at++) % c->count];
        if (s->due && !s->left_out && (has_room(c) || s->next == 0)) return s;
    }
    return NULL;
}

static void begin_round(struct comet *c)
{
    c->at = 0;
    c->due_left = 0;
    for (size_t i = 0; i < c->count; i++)
        c->due_left += c->subs[i].due && !c->subs[i].left_out ? 1 : 0;
}

/* ---- waiting ---- */

static void on_fired(struct watch *w)
{
    struct comet_sub *s = w->user_ptr;
    struct comet *c = s->comet;
    IOR_CHECK_MAGIC(c, COMET_MAGIC);
    s->watching = false;
    c->under_way--;
    if (c->call == NULL) {
        free_if_home(c);
    } else if (s->left_out) {
        return; /* cancelled, or late */
    } else if (w->err != IOR_OK) {
        fail(c, w->err, NULL);
    } else {
        s->due = true;
        go_on(c);
    }
}

static enum ior_err hang_up(struct comet *c, struct comet_sub *s)
{
    enum ior_err err = IOR_OK;
    if (s->watch == NULL) err = watch_new(s->want.bucket, s->want.stream, &s->watch);
    if (err != IOR_OK) return err;
    s->watch->from = s->next;
    s->watch->user_ptr = s;
    err = iorio_watch(c->app->node, s->watch, on_fired);
    if (err != IOR_OK) return err;
    s->watching = true;
    c->under_way++;
    return IOR_OK;
}

static void wait_for_events(struct comet *c)
{
    if (clock_mono_us() >= c->until_us) {
        reply(c);
        return;
    }
    for (size_t i = 0; i < c->count; i++) {
        if (c->subs[i].watching || c->subs[i].left_out) continue;
        enum ior_err err = hang_up(c, &c->subs[i]);
        if (err == IOR_OK) continue;
        try_again(c, err);
        return;
    }
    c->busy = 0;
    wait_on(c);
}

/* Nothing of ours is on the stack: read what is due, answer, or wait. */
static void go_on(struct comet *c)
{
    if (c->reading) return;
    for (int rounds = 0; rounds < 2; rounds++) {
        struct comet_sub *s = next_due(c);
        if (s != NULL) {
            visit(c, s);
            return;
        }
        begin_round(c);
    }
    c->caught_up = true;
    if (c->events > 0) {
        reply(c);
    } else {
        wait_for_events(c);
    }
}

/* ---- the beginning ---- */

static uint64_t wait_ms(const struct http_call *call)
{
    struct ior_slice value;
    int64_t s;
    if (!call_query(call, "wait", &value) || !path_int(value, &s))
        return call->app->config->listen_comet_timeout;
    if (s < 0) s = 0;
    return (uint64_t)(s > LISTEN_WAIT_S_MAX ? LISTEN_WAIT_S_MAX : s) * 1000;
}

/* Last-Event-ID first: a client that reconnects by itself repeats an old URL. */
static void take_cursor(struct comet *c, struct cursor *cursor)
{
    struct ior_slice text = call_header(c->call, "last-event-id");
    if (text.size_bytes == 0 && !call_query(c->call, "cursor", &text)) return;
    if (text.size_bytes == 0) return;
    c->bad_cursor = !cursor_read(&c->app->key, text, cursor);
    if (c->bad_cursor) cursor->count = 0;
}

static void add_want(struct comet *c, const struct listen_want *w)
{
    if (!may_get(c->call, w)) return;
    for (size_t i = 0; i < c->count; i++) {
        if (!want_same_stream(&c->subs[i].want, w)) continue;
        want_merge(&c->subs[i].want, w);
        return;
    }
    struct comet_sub *s = &c->subs[c->count++];
    *s = (struct comet_sub){.comet = c, .want = *w, .due = true};
    ior_buf_init(&s->place);
    ior_buf_init(&s->out);
}

static void take_wants(struct comet *c)
{
    struct cursor cursor = {.count = 0};
    uint8_t *scratch = c->names;
    take_cursor(c, &cursor);
    for (size_t i = 0; i < c->call->query_count; i++) {
        const struct query_param *p = &c->call->query[i];
        struct listen_want w;
        if (!ior_slice_eq(p->name, IOR_SLICE("s")) || !want_parse(p->value, scratch, &w)) continue;
        scratch += w.bucket.size_bytes + w.stream.size_bytes;
        add_want(c, &w);
    }
    for (size_t i = 0; i < c->count; i++) {
        struct listen_want *w = &c->subs[i].want;
        uint64_t next;
        if (!cursor_find(&cursor, cursor_name(w->bucket, w->stream), &next)) continue;
        w->has_id = true;
        w->has_end = false;
        w->id = next;
    }
}

/* How many s= there are, and the bytes of all of them. */
static size_t count_wants(const struct http_call *call, size_t *ret_bytes)
{
    size_t count = 0;
    size_t bytes = 0;
    for (size_t i = 0; i < call->query_count; i++) {
        if (!ior_slice_eq(call->query[i].name, IOR_SLICE("s"))) continue;
        count++;
        bytes += call->query[i].value.size_bytes;
    }
    *ret_bytes = bytes;
    return count;
}

static struct comet *comet_new(struct http_call *call, size_t count, size_t bytes)
{
    struct comet *c = calloc(1, sizeof *c + count * sizeof c->subs[0]);
    if (c == NULL) return NULL;
    c->names = malloc(bytes + 1);
    if (c->names == NULL) {
        free(c);
        return NULL;
    }
    c->magic = COMET_MAGIC;
    c->app = call->app;
    c->call = call;
    return c;
}

void comet_open(struct http_call *call)
{
    size_t bytes = 0;
    size_t count = count_wants(call, &bytes);
    if (count > LISTEN_SUBS_MAX || call->query_count == QUERY_PARAMS_MAX) {
        call_reply_error(call, IOR_E_INVAL,
                         "One request listens to at most 64 streams: spread them over several",
                         "\"field\":\"s\"");
        return;
    }
    struct comet *c = comet_new(call, count, bytes);
    if (c == NULL) {
        call_reply_error(call, IOR_E_NOMEM, NULL, NULL);
        return;
    }
    struct ior_slice mode;
    c->cache_only = call_query(call, "catchup", &mode) && ior_slice_eq(mode, IOR_SLICE("cache"));
    c->until_us = clock_mono_us() + wait_ms(call) * 1000;
    take_wants(c);
    c->first = c->count > 1 ? (size_t)(rand_u64() % c->count) : 0;
    begin_round(c);
    call_wait(call, call->app->config->request_timeout, false, on_wait_end, c);
    call_wait_check(call, on_check);
    go_on(c);
}

/* proto/http/access_lists.c - GET /users, /groups, /groups/:g/members, /access: what there is.
 * Happy path: a job of the disk pool makes the list of the policy of this moment, which it holds a
 * reference to: to sort ten thousand names takes milliseconds, and no worker waits for it.
 * Failure modes: too much waiting: 503. Thread: the worker of the call, and one of the pool. */
#include <stdlib.h>
#include <string.h>

#include "auth/policy_list.h"
#include "base/assert.h"
#include "base/json.h"
#include "base/limits.h"
#include "proto/http/call.h"
#include "proto/http/routes.h"

struct lister;
/* On the pool: into l->out. */
typedef enum ior_err (*list_fn)(struct lister *l);

struct lister {
    struct job job; /* first */
    struct http_app *app;
    uint64_t ticket;
    struct policy *policy;
    list_fn fn;
    size_t limit;
    bool info;
    bool more; /* the limit left something out */
    enum ior_err err;
    struct ior_buf out;
    struct ior_slice after;
    struct ior_slice name; /* of the group, or of the bucket */
    struct ior_slice stream;
    uint8_t bytes[];
};

static void lister_free(struct lister *l)
{
    policy_unref(l->policy);
    ior_buf_done(&l->out);
    free(l);
}

/* ---- on the pool ---- */

static const char *const kind_words[] = {"user/", "group/", ""};

/* The first row that is to be shown. */
static size_t first_row(const struct lister *l, const struct policy_rows *r)
{
    size_t i = 0;
    while (l->after.size_bytes > 0 && i < r->count && ior_slice_cmp(r->rows[i].name, l->after) <= 0)
        i++;
    return i;
}

static void add_groups(struct ior_buf *out, const struct policy_row *row)
{
    ior_buf_add_str(out, ",\"groups\":[");
    for (size_t i = 0; i < policy_row_groups(row); i++) {
        if (i > 0) ior_buf_add_char(out, ',');
        ior_json_quote(out, policy_row_group(row, i));
    }
    ior_buf_add_char(out, ']');
}

static void add_named_rows(struct lister *l, const struct policy_rows *r)
{
    size_t first = first_row(l, r);
    size_t end = r->count - first > l->limit ? first + l->limit : r->count;
    l->more = end < r->count;
    ior_buf_add_char(&l->out, '[');
    for (size_t i = first; i < end; i++) {
        const struct policy_row *row = &r->rows[i];
        if (i > first) ior_buf_add_char(&l->out, ',');
        ior_buf_add_str(&l->out, row->kind == POLICY_USER ? "{\"username\":" : "{\"name\":");
        ior_json_quote(&l->out, row->name);
        if (row->kind == POLICY_GROUP) ior_buf_addf(&l->out, ",\"members\":%zu", row->members);
        if (row->kind == POLICY_GROUP || l->info) add_groups(&l->out, row);
        ior_buf_add_char(&l->out, '}');
    }
    ior_buf_add_char(&l->out, ']');
}

static enum ior_err list_users(struct lister *l)
{
    struct policy_rows r;
    enum ior_err err = policy_list_users(l->policy, &r);
    if (err == IOR_OK) add_named_rows(l, &r);
    policy_rows_done(&r);
    return err;
}

static enum ior_err list_groups(struct lister *l)
{
    struct policy_rows r;
    enum ior_err err = policy_list_groups(l->policy, &r);
    if (err == IOR_OK) add_named_rows(l, &r);
    policy_rows_done(&r);
    return err;
}

/* Is the row behind `after`, `user/x` or `group/x`? Users come before groups. */
static bool is_behind(const struct policy_row *row, struct ior_slice after)
{
    for (enum policy_kind kind = POLICY_USER; kind <= POLICY_GROUP; kind++) {
        struct ior_slice word = ior_slice_str(kind_words[kind]);
        if (!ior_slice_starts(after, word)) continue;
        after = ior_slice(after.data + word.size_bytes, after.size_bytes - word.size_bytes);
        return row->kind > kind || (row->kind == kind && ior_slice_cmp(row->name, after) > 0);
    }
    return true;
}

/* In the exact forms. */
static enum ior_err list_members(struct lister *l)
{
    struct policy_rows r;
    struct ior_buf text;
    size_t shown = 0;
    enum ior_err err = policy_list_members(l->policy, l->name, &r);
    ior_buf_init(&text);
    ior_buf_add_char(&l->out, '[');
    for (size_t i = 0; i < r.count && !l->more; i++) {
        if (!is_behind(&r.rows[i], l->after)) continue;
        l->more = shown == l->limit;
        if (l->more) break;
        ior_buf_clear(&text);
        ior_buf_add_str(&text, kind_words[r.rows[i].kind]);
        ior_buf_add_slice(&text, r.rows[i].name);
        if (shown++ > 0) ior_buf_add_char(&l->out, ',');
        ior_json_quote(&l->out, ior_buf_slice(&text));
    }
    ior_buf_add_char(&l->out, ']');
    if (ior_buf_failed(&text)) err = IOR_E_NOMEM;
    ior_buf_done(&text);
    policy_rows_done(&r);
    return err;
}

static void add_grants(struct ior_buf *out, const struct policy_rows *r, bool users)
{
    bool any = false;
    for (size_t i = 0; i < r->count; i++) {
        const struct policy_row *row = &r->rows[i];
        if ((row->kind == POLICY_USER) != users) continue;
        ior_buf_add_str(out, any ? ",{\"name\":" : "{\"name\":");
        ior_json_quote(out, row->name);
        ior_buf_add_str(out, ",\"grants\":");
        char before = '[';
        for (unsigned bit = 1; bit <= PERM_ALL; bit *= 2) {
            if ((row->perms & bit) == 0) continue;
            ior_buf_addf(out, "%c\"%s\"", before, policy_perm_name((enum perm)bit));
            before = ',';
        }
        ior_buf_add_str(out, "]}");
        any = true;
    }
}

static enum ior_err list_grants(struct lister *l)
{
    struct policy_rows r;
    enum ior_err err = policy_list_grants(l->policy, l->name, l->stream, &r);
    if (err == IOR_OK) {
        ior_buf_add_str(&l->out, "{\"users\":[");
        add_grants(&l->out, &r, true);
        ior_buf_add_str(&l->out, "],\"groups\":[");
        add_grants(&l->out, &r, false);
        ior_buf_add_str(&l->out, "]}");
    }
    policy_rows_done(&r);
    return err;
}

static void list_work(struct job *j)
{
    struct lister *l = IOR_CONTAINER(j, struct lister, job);
    l->err = l->fn(l);
    if (l->err == IOR_OK && ior_buf_failed(&l->out)) l->err = IOR_E_NOMEM;
}

/* ---- on the worker ---- */

static void list_done(struct job *j)
{
    struct lister *l = IOR_CONTAINER(j, struct lister, job);
    struct http_call *call = call_redeem(l->app, l->ticket);
    if (call != NULL && l->err == IOR_OK) {
        if (l->more) call_add_header(call, "iorio-more", IOR_SLICE("yes"));
        call_reply_buf(call, 200, "application/json", &l->out);
        ior_buf_init(&l->out);
    } else if (call != NULL) {
        call_reply_error(call, l->err,
                         l->err == IOR_E_NOTFOUND ? "There is no group of this name" : NULL, NULL);
    }
    lister_free(l);
}

static struct ior_slice keep(uint8_t **at, struct ior_slice s)
{
    struct ior_slice copy = ior_slice(*at, s.size_bytes);
    if (s.size_bytes > 0) memcpy(*at, s.data, s.size_bytes);
    *at += s.size_bytes;
    return copy;
}

static void take_params(const struct http_call *call, struct lister *l)
{
    struct ior_slice value;
    int64_t n;
    l->limit = LIST_NAMES_MAX;
    if (call_query(call, "limit", &value) && path_int(value, &n) && n < LIST_NAMES_MAX)
        l->limit = n <= 0 ? 0 : (size_t)n;
    if (call_query(call, "info", &value)) l->info = ior_slice_eq(value, IOR_SLICE("yes"));
}

static void start(struct http_call *call, list_fn fn, struct ior_slice name,
                  struct ior_slice stream)
{
    struct ior_slice after;
    if (!call_query(call, "after", &after)) after = (struct ior_slice){NULL, 0};
    struct lister *l =
        calloc(1, sizeof *l + after.size_bytes + name.size_bytes + stream.size_bytes);
    if (l == NULL) {
        call_reply_error(call, IOR_E_NOMEM, NULL, NULL);
        return;
    }
    uint8_t *at = l->bytes;
    ior_buf_init(&l->out);
    l->app = call->app;
    l->policy = policy_ref(call->policy);
    l->fn = fn;
    l->after = keep(&at, after);
    l->name = keep(&at, name);
    l->stream = keep(&at, stream);
    take_params(call, l);
    l->job.work = list_work;
    l->job.done = list_done;
    l->ticket = call_ticket(call, true);
    enum ior_err err =
        l->ticket == 0 ? IOR_E_BUSY : job_submit(call->app->node->params.disk_jobs, &l->job);
    if (err == IOR_OK) return;
    lister_free(l);
    call_reply_error(call, err, NULL, NULL);
}

void route_users(struct http_call *call)
{
    start(call, list_users, IOR_SLICE(""), IOR_SLICE(""));
}

void route_groups(struct http_call *call)
{
    start(call, list_groups, IOR_SLICE(""), IOR_SLICE(""));
}

void route_members(struct http_call *call)
{
    start(call, list_members, call->name, IOR_SLICE(""));
}

void route_access_get(struct http_call *call)
{
    start(call, list_grants, call->bucket, call->stream);
}

/* proto/http/streams_patch.c - PATCH /streams/:b/:s: a JSON Patch on the newest event.
 * Happy path: the body is parsed and copied once into a patch, which is given away like
 * an append (streams_post.c); when the result is on disk, 200 with its id.
 * Failure modes: API.md section 3. A patch that others were faster than, again and again, is 409
 * with the body that clients of the first Iorio DB know, its spelling included. */
#include <stdio.h>

#include "core/patch.h"
#include "proto/http/routes.h"
#include "proto/http/streams_append.h"

/* The operation by its number, or where the text is no JSON. */
static void reply_fault(struct http_call *call, enum ior_err err, const struct json_patch_fault *f)
{
    char extra[64];
    const char *more = extra;
    if (f->op != JSON_PATCH_NO_OP) {
        snprintf(extra, sizeof extra, "\"op\":%zu", f->op);
    } else if (f->has_offset) {
        snprintf(extra, sizeof extra, "\"offset\":%zu", f->offset);
    } else {
        more = NULL;
    }
    bool says = err == IOR_E_BODY || err == IOR_E_TOOLARGE || err == IOR_E_NAME;
    char reason[sizeof f->why.text + 32];
    snprintf(reason, sizeof reason, "%s%s", err == IOR_E_BODY ? "Invalid Request Body: " : "",
             f->why.text);
    call_reply_error(call, err, says ? reason : NULL, more);
}

static void reply_raced(struct http_call *call, const struct append *a)
{
    char text[160];
    int n = snprintf(text, sizeof text,
                     "{\"type\":\"error\",\"reason\":{\"reason\":\"confict\",\"field\":\"seqnum\","
                     "\"expected\":%llu,\"got\":%llu}}",
                     (unsigned long long)a->patch->raced_id, (unsigned long long)a->last_id);
    append_add_etag(call, a->last_id);
    call_reply_json(call, 409, ior_slice(text, (size_t)n));
}

static void streams_patch_done(struct append *a)
{
    struct http_app *app = a->user_ptr;
    struct http_call *call = a->user[0] == 0 ? NULL : call_redeem(app, a->user[0]);
    if (call != NULL && a->err == IOR_E_CONFLICT && a->patch->raced) {
        reply_raced(call, a);
    } else if (call != NULL && (a->err == IOR_E_BODY || a->err == IOR_E_TOOLARGE)) {
        reply_fault(call, a->err, &a->patch->fault);
    } else if (call != NULL) {
        append_reply(call, a);
    }
    append_free(a);
}

void route_stream_patch(struct http_call *call)
{
    struct append_terms terms = {0};
    struct append *a = NULL;
    struct json_patch_fault fault;
    if (!patch_name_ok(call->stream)) {
        call_reply_error(call, IOR_E_NAME,
                         "The patches of a stream go to NAME-$patch: NAME has at most 1017 bytes "
                         "and does not end so itself",
                         NULL);
        return;
    }
    enum ior_err err = patch_new(call->bucket, call->stream, call->body, &a, &fault);
    if (err != IOR_OK) {
        reply_fault(call, err, &fault);
        return;
    }
    if (!append_take_headers(call, &terms)) {
        append_free(a);
        return;
    }
    patch_set_key(a, terms.key);
    append_submit(call, a, &terms, streams_patch_done);
}

/* src/core/access_change.c - see access_change.h.
 * Happy path: inside the strand the wish becomes facts, they are judged, written, and seen by
 * every worker; when that was a part of it, the next one follows.
 * Failure modes: those of a change of group 0 (cluster/meta.h); nothing is changed then by
 * this part. */
#include "core/access_change.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/log.h"
#include "core/node.h"
#include "rt/clock.h"

/* The slices of a wish, which are copied. */
static size_t slices_of(struct access_wish *w, struct ior_slice *ret[9])
{
    struct ior_slice *all[] = {&w->by,   &w->name,  &w->role,      &w->bucket,       &w->stream,
                               &w->hash, &w->admin, &w->anonymous, &w->bucket_prefix};
    memcpy(ret, all, sizeof all);
    return IOR_LEN(all);
}

enum ior_err access_change_new(const struct access_wish *w, struct access_change **ret)
{
    struct access_wish copy = *w;
    struct ior_slice *slices[9];
    size_t count = slices_of(&copy, slices);
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) bytes += slices[i]->size_bytes;
    struct access_change *c = calloc(1, sizeof *c + bytes);
    if (c == NULL) return IOR_E_NOMEM;
    uint8_t *at = c->bytes;
    c->wish = *w;
    count = slices_of(&c->wish, slices);
    for (size_t i = 0; i < count; i++) {
        struct ior_slice *s = slices[i];
        if (s->data == NULL) continue;
        if (s->size_bytes > 0) memcpy(at, s->data, s->size_bytes);
        s->data = at;
        at += s->size_bytes;
    }
    enum ior_err err = meta_change_new(&c->change);
    if (err != IOR_OK) {
        access_change_free(c);
        return err;
    }
    *ret = c;
    return IOR_OK;
}

void access_change_free(struct access_change *c)
{
    if (c == NULL) return;
    meta_change_free(c->change);
    free(c);
}

static enum ior_err emit(void *ctx, struct fact f)
{
    return meta_change_set(ctx, f.key, f.value);
}

static enum ior_err make(struct meta_change *change, const struct policy *now)
{
    struct access_change *c = change->user;
    c->wish.now_s = clock_wall_ms() / 1000;
    return access_make(now, &c->wish, emit, change, &c->problem, &c->more);
}

static enum ior_err judge(struct meta_change *change, const struct policy *now,
                          const struct policy *next)
{
    struct access_change *c = change->user;
    return access_judge(now, next, &c->wish, &c->problem);
}

static void change_done(struct meta_change *change)
{
    struct access_change *c = change->user;
    c->err = change->err;
    if (c->err == IOR_OK && c->more) {
        c->err = meta_change_submit(c->node->meta, change, change_done);
        if (c->err == IOR_OK) return;
    }
    if (c->err ==
        IOR_E_CORRUPT) { /* access_make() made what cannot be: our fault, not the disk's */
        LOG_ERROR("auth", "impossible facts", "action=%d", (int)c->wish.action);
        c->err = IOR_E_INVAL;
    }
    c->cb(c);
}

enum ior_err iorio_access_change(struct node *n, struct access_change *c, access_change_cb cb)
{
    c->node = n;
    c->cb = cb;
    c->change->user = c;
    c->change->make = make;
    c->change->judge = judge;
    return meta_change_submit(n->meta, c->change, change_done);
}

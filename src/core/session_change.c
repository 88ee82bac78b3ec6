/* src/core/session_change.c - see session_change.h.
 * Happy path: inside the strand of group 0, by the newest users and tokens: one fact more, or the
 * user's fact with a higher number, and then without the facts about his single tokens.
 * Nothing is to be done when the token is no good already: he was deleted, his number is
 * another one, or somebody was faster.
 * Failure modes: those of a change of group 0; nothing is changed then. A sweep that fails is made
 * again a minute later. */
#include "core/session_change.h"

#include <stdlib.h>
#include <string.h>

#include "auth/username.h"
#include "base/assert.h"
#include "base/limits.h"
#include "core/cutoff.h"
#include "core/node.h"
#include "rt/clock.h"

static struct ior_slice name_of(const struct session_change *c)
{
    return ior_slice(c->name, c->name_bytes);
}

enum ior_err session_change_new(struct ior_slice user, const struct revoked_token *token,
                                struct session_change **ret)
{
    IOR_ASSERT(user.size_bytes > 0 && user.size_bytes <= USERNAME_BYTES_MAX);
    struct session_change *c = calloc(1, sizeof *c);
    if (c == NULL) return IOR_E_NOMEM;
    enum ior_err err = meta_change_new(&c->change);
    if (err != IOR_OK) {
        free(c);
        return err;
    }
    c->name_bytes = (uint8_t)username_fold(user, c->name).size_bytes;
    c->one = token != NULL;
    if (token != NULL) c->token = *token;
    c->token.user = name_of(c);
    *ret = c;
    return IOR_OK;
}

void session_change_free(struct session_change *c)
{
    if (c == NULL) return;
    meta_change_free(c->change);
    free(c);
}

/* ---- the facts ---- */

/* set: else it is taken away. */
static enum ior_err put_token(struct meta_change *change, const struct revoked_token *t, bool set)
{
    struct ior_buf key;
    struct ior_buf value;
    struct ior_slice none = {NULL, 0};
    ior_buf_init(&key);
    ior_buf_init(&value);
    revoked_fact_key(&key, t->user, t->id);
    if (set) revoked_fact_value(&value, t);
    enum ior_err err = ior_buf_failed(&key) || ior_buf_failed(&value) ? IOR_E_NOMEM : IOR_OK;
    if (err == IOR_OK)
        err = meta_change_set(change, ior_buf_slice(&key), set ? ior_buf_slice(&value) : none);
    ior_buf_done(&key);
    ior_buf_done(&value);
    return err;
}

/* What the tokens of before say goes along; those without a number may be of a later time than
 * this node's, so they stay. */
static enum ior_err end_all(struct session_change *c, const struct policy_user *u)
{
    struct ior_buf key;
    struct ior_buf value;
    struct revoked_token t;
    ior_buf_init(&key);
    ior_buf_init(&value);
    enum ior_err err = policy_user_renew(u, NULL, clock_wall_ms() / 1000, &key, &value);
    if (err == IOR_OK) err = meta_change_set(c->change, ior_buf_slice(&key), ior_buf_slice(&value));
    ior_buf_done(&key);
    ior_buf_done(&value);
    const struct revoked *now = c->change->revoked;
    for (size_t i = 0; err == IOR_OK && revoked_of(now, name_of(c), i, &t); i++) {
        if (t.has_credential) err = put_token(c->change, &t, false);
    }
    c->ended_all = true;
    return err;
}

static enum ior_err make_change(struct meta_change *change, const struct policy *now)
{
    struct session_change *c = change->user;
    const struct policy_user *u = policy_user(now, name_of(c));
    c->ended_all = false;
    if (u == NULL) return c->one ? IOR_OK : IOR_E_NOTFOUND;
    if (!c->one) return end_all(c, u);
    if (c->token.has_credential && c->token.credential != u->credential) return IOR_OK;
    if (revoked_has(change->revoked, name_of(c), c->token.id)) return IOR_OK;
    if (revoked_count(change->revoked) >= REVOKED_MAX ||
        revoked_count_of(change->revoked, name_of(c)) >= REVOKED_USER_MAX)
        return end_all(c, u);
    return put_token(change, &c->token, true);
}

static void change_done(struct meta_change *change)
{
    struct session_change *c = change->user;
    c->err = change->err;
    if (c->err != IOR_OK) c->ended_all = false;
    c->cb(c);
}

enum ior_err iorio_session_change(struct node *n, struct session_change *c, session_change_cb cb)
{
    c->cb = cb;
    c->change->user = c;
    c->change->make = make_change;
    return meta_change_submit(n->meta, c->change, change_done);
}

/* ---- what is over ---- */

enum { SWEEP_MS = 60000, SWEEP_TOKENS_MAX = 1000 };

struct session_sweep {
    struct node *node;
    struct meta_change *change;
    bool busy;
    bool more; /* the last one took as many as it may */
    uint64_t next_us;
    struct revoked_token tokens[SWEEP_TOKENS_MAX];
};

enum ior_err session_sweep_new(struct node *n, struct session_sweep **ret)
{
    struct session_sweep *s = calloc(1, sizeof *s);
    if (s == NULL) return IOR_E_NOMEM;
    s->node = n;
    enum ior_err err = meta_change_new(&s->change);
    if (err == IOR_OK) {
        *ret = s;
        return IOR_OK;
    }
    free(s);
    return err;
}

void session_sweep_free(struct session_sweep *s)
{
    if (s == NULL) return;
    meta_change_free(s->change);
    free(s);
}

static size_t find_over(struct session_sweep *s, const struct revoked *r, const struct policy *p,
                        size_t max)
{
    return revoked_over(r, p, node_retention_now_ms(s->node) / 1000, s->tokens, max);
}

static enum ior_err make_sweep(struct meta_change *change, const struct policy *now)
{
    struct session_sweep *s = change->user;
    size_t count = find_over(s, change->revoked, now, SWEEP_TOKENS_MAX);
    enum ior_err err = IOR_OK;
    for (size_t i = 0; err == IOR_OK && i < count; i++)
        err = put_token(change, &s->tokens[i], false);
    s->more = count == SWEEP_TOKENS_MAX;
    return err;
}

static void sweep_done(struct meta_change *change)
{
    struct session_sweep *s = change->user;
    s->busy = false;
    if (change->err == IOR_OK && s->more) s->next_us = 0;
}

void session_sweep_tick(struct session_sweep *s)
{
    uint64_t now_us = clock_mono_coarse_us();
    if (s->busy || now_us < s->next_us) return;
    s->next_us = now_us + SWEEP_MS * 1000;
    const struct meta *meta = s->node->meta;
    if (revoked_count(meta_revoked(meta)) == 0 ||
        find_over(s, meta_revoked(meta), meta_policy(meta), 1) == 0)
        return;
    s->change->user = s;
    s->change->make = make_sweep;
    s->busy = meta_change_submit(s->node->meta, s->change, sweep_done) == IOR_OK;
}

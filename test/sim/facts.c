/* test/sim/facts.c - see facts.h. A user's credential number says which change
 * made him what he is. Two changes in flight never have a user in common, so the
 * order of the log does not matter. With each user goes a retention policy that has the
 * same number, and a revoked token: on every worker all parts of the view must be of the same
 * changes, and a token that was taken back stays so through every crash. */
#include "facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace.h"
#include "world.h"

#define ULL(x) ((unsigned long long)(x))

void facts_init(struct facts *f)
{
    *f = (struct facts){0};
}

static struct ior_slice user_name(unsigned user, char out[16])
{
    snprintf(out, 16, "u%u", user);
    return ior_slice_str(out);
}

static enum ior_err add_user(struct meta_change *c, unsigned user, uint64_t number, bool unset)
{
    char name[16];
    char key[64];
    char value[256];
    user_name(user, name);
    snprintf(key, sizeof key, "user" FACT_SEP "%s", name);
    snprintf(value, sizeof value,
             "{\"password\":\"$argon2id$v=19$m=19456,t=2,p=1$aW9yaW8gZHVtbXkgc2FsdA$"
             "bm9ib2R5IGlzIGxldCBpbiBieSB0aGlzIGhhc2ghISE\",\"credential\":%llu,\"groups\":[]}",
             ULL(number));
    struct ior_slice none = {NULL, 0};
    enum ior_err err = meta_change_set(c, ior_slice_str(key), unset ? none : ior_slice_str(value));
    if (err != IOR_OK) return err;
    snprintf(key, sizeof key, "retention" FACT_SEP "b" FACT_SEP "%s", name);
    snprintf(value, sizeof value, "{\"max_events\":%llu}", ULL(number));
    err = meta_change_set(c, ior_slice_str(key), unset ? none : ior_slice_str(value));
    if (err != IOR_OK) return err;
    snprintf(key, sizeof key, "revoked" FACT_SEP "%s" FACT_SEP "%032x", name, user);
    snprintf(value, sizeof value, "{\"until\":%llu,\"v\":%llu}", ULL(INT64_MAX), ULL(number));
    return meta_change_set(c, ior_slice_str(key), unset ? none : ior_slice_str(value));
}

static void let_go(struct facts *f, struct fact_change *fc)
{
    for (unsigned i = 0; i < fc->count; i++) {
        IOR_ASSERT(f->busy[fc->users[i]] == fc);
        f->busy[fc->users[i]] = NULL;
    }
    *fc = (struct fact_change){0};
}

static void take_over(struct facts *f, const struct fact_change *fc)
{
    for (unsigned i = 0; i < fc->count; i++) f->value[fc->users[i]] = fc->unset[i] ? 0 : fc->number;
}

static void on_answer(struct meta_change *c)
{
    struct fact_change *fc = c->user;
    struct world *w = fc->world;
    trace_note("change answered", fc->number, c->err);
    w->pending--;
    if (c->err == IOR_OK) {
        trace_count(COUNT_changes, 1);
        w->acked_in_life++;
        take_over(&w->facts, fc);
        let_go(&w->facts, fc);
    } else if (c->err == IOR_E_IO) {
        fc->unknown = true;
    } else {
        let_go(&w->facts, fc);
    }
    meta_change_free(c);
}

static struct fact_change *free_change(struct facts *f)
{
    for (unsigned i = 0; i < FACTS_USERS; i++) {
        if (f->changes[i].number == 0) return &f->changes[i];
    }
    return NULL;
}

/* Some users that nobody changes now. */
static void choose_users(struct world *w, struct fact_change *fc)
{
    unsigned want = 1 + (unsigned)world_below(w, FACTS_CHANGE_MAX);
    unsigned from = (unsigned)world_below(w, FACTS_USERS);
    for (unsigned i = 0; i < FACTS_USERS && fc->count < want; i++) {
        unsigned user = (from + i) % FACTS_USERS;
        if (w->facts.busy[user] != NULL) continue;
        fc->users[fc->count] = user;
        fc->unset[fc->count++] = world_odds(w, 5);
        w->facts.busy[user] = fc;
    }
}

void facts_change(struct world *w)
{
    struct fact_change *fc = free_change(&w->facts);
    if (fc == NULL) return;
    *fc = (struct fact_change){.world = w, .number = w->facts.last_number + 1};
    choose_users(w, fc);
    if (fc->count == 0) {
        *fc = (struct fact_change){0};
        return;
    }
    w->facts.last_number++;
    struct meta_change *c = NULL;
    enum ior_err err = meta_change_new(&c);
    for (unsigned i = 0; err == IOR_OK && i < fc->count; i++)
        err = add_user(c, fc->users[i], fc->number, fc->unset[i]);
    IOR_ASSERT(err == IOR_OK);
    c->user = fc;
    trace_note("change", fc->number, fc->count);
    world_enter_any(w);
    w->pending++;
    err = meta_change_submit(w->node->meta, c, on_answer);
    worker_enter(NULL);
    if (err != IOR_OK) {
        w->pending--;
        let_go(&w->facts, fc);
        meta_change_free(c);
    }
}

static uint64_t seen_by(const struct policy *p, unsigned user)
{
    char name[16];
    const struct policy_user *u = policy_user(p, user_name(user, name));
    return u == NULL ? 0 : u->credential;
}

/* What is kept of his stream: the same number. */
static void check_retention(struct world *w, unsigned user, uint64_t seen, unsigned worker)
{
    char name[16];
    struct retention r = {0};
    bool any = retention_view_own(meta_retention(w->node->meta), IOR_SLICE("b"),
                                  user_name(user, name), &r);
    if (r.max_events == seen && any == (seen != 0)) return;
    trace_violation("worker %u sees credential %llu of user u%u and retention %llu", worker,
                    ULL(seen), user, ULL(r.max_events));
}

/* The token of his that was taken back: of the same number. */
static void check_revoked(struct world *w, unsigned user, uint64_t seen, unsigned worker)
{
    char name[16];
    struct revoked_token t = {.credential = 0};
    bool any = revoked_of(meta_revoked(w->node->meta), user_name(user, name), 0, &t);
    if (t.credential == seen && any == (seen != 0)) return;
    trace_violation("worker %u sees credential %llu of user u%u and a revoked token of %llu",
                    worker, ULL(seen), user, ULL(t.credential));
}

static uint64_t after_change(const struct fact_change *fc, unsigned user)
{
    for (unsigned i = 0; i < fc->count; i++) {
        if (fc->users[i] == user) return fc->unset[i] ? 0 : fc->number;
    }
    return 0;
}

static void check_policy(struct world *w, const struct policy *p, unsigned worker)
{
    for (unsigned user = 0; user < FACTS_USERS; user++) {
        uint64_t seen = seen_by(p, user);
        const struct fact_change *fc = w->facts.busy[user];
        check_retention(w, user, seen, worker);
        check_revoked(w, user, seen, worker);
        if (seen == w->facts.value[user]) continue;
        if (fc != NULL && seen == after_change(fc, user)) continue;
        trace_violation("worker %u sees credential %llu of user u%u, it must be %llu", worker,
                        ULL(seen), user, ULL(w->facts.value[user]));
    }
}

void facts_check(struct world *w)
{
    for (unsigned i = 0; i < w->worker_count; i++) {
        worker_enter(&w->workers[i]);
        check_policy(w, meta_policy(w->node->meta), i);
        worker_enter(NULL);
    }
}

/* All of its users as before or all as it would have them. */
static bool is_there(struct world *w, const struct policy *p, const struct fact_change *fc)
{
    unsigned before = 0;
    unsigned after = 0;
    for (unsigned i = 0; i < fc->count; i++) {
        uint64_t seen = seen_by(p, fc->users[i]);
        before += seen == w->facts.value[fc->users[i]];
        after += seen == after_change(fc, fc->users[i]);
    }
    if (before < fc->count && after < fc->count)
        trace_violation("change %llu of %u facts is there in part", ULL(fc->number), fc->count);
    return after == fc->count;
}

void facts_recover(struct world *w)
{
    const struct policy *p = meta_newest_policy(w->node->meta);
    for (unsigned i = 0; i < FACTS_USERS; i++) {
        struct fact_change *fc = &w->facts.changes[i];
        if (fc->number == 0) continue;
        IOR_ASSERT(fc->unknown);
        if (is_there(w, p, fc)) take_over(&w->facts, fc);
        let_go(&w->facts, fc);
    }
    facts_check(w);
}

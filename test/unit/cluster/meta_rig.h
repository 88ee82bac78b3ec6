/* test/unit/cluster/meta_rig.h - group 0 on a simulated disk, with two workers that the test drives
 * by hand: changes, what became of them, and what each worker sees. */
#pragma once

#include "../store/journal_rig.h"

#include <stdio.h>

#include "base/limits.h"
#include "cluster/meta.h"

enum { CALLS_MAX = 8 };

/* A change of the test, and what became of it. */
struct call {
    struct meta_change *change;
    unsigned order; /* of its answer; 0: none */
    enum ior_err err;
};

static struct jr jr;
static struct meta *meta;
static struct call calls[CALLS_MAX];
static unsigned answers;

/* ---- start and end ---- */

static enum ior_err on_record(void *ctx, const struct record_head *head, struct ior_slice items,
                              struct ior_why *why)
{
    (void)ctx;
    assert_int_equal(head->group, 0);
    return meta_replay(meta, head, items, why);
}

static enum ior_err try_open(void)
{
    for (unsigned i = 0; i < JR_WORKERS; i++) worker_init(&jr.workers[i], i, jr_no_wake, NULL);
    jr.why.text[0] = 0;
    assert_int_equal(journal_open(&jr.params, &jr.journal, &jr.why), IOR_OK);
    struct meta_params p = {jr.journal, jr.worker_ptrs, JR_WORKERS, "iorio@here"};
    assert_int_equal(meta_new(&p, &meta), IOR_OK);
    enum ior_err err = journal_replay(jr.journal, on_record, NULL, &jr.report, &jr.why);
    if (err == IOR_OK) err = meta_start(meta, &jr.why);
    return err == IOR_OK ? journal_start(jr.journal, &jr.why) : err;
}

static void open_all(void)
{
    enum ior_err err = try_open();
    if (err != IOR_OK) fail_msg("%s: %s", ior_err_name(err), jr.why.text);
}

static void close_all(void)
{
    jr_turns(&jr);
    jr_close(&jr);
    meta_free(meta);
    meta = NULL;
}

static int set_up(void **state)
{
    (void)state;
    memset(calls, 0, sizeof calls);
    answers = 0;
    jr_init(&jr);
    open_all();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CALLS_MAX; i++) meta_change_free(calls[i].change);
    close_all();
    jr_done(&jr);
    return 0;
}

/* ---- changes ---- */

static void on_answer(struct meta_change *c)
{
    struct call *call = c->user;
    assert_int_equal(call->order, 0);
    call->order = ++answers;
    call->err = c->err;
}

static void new_change(unsigned i)
{
    assert_null(calls[i].change);
    assert_int_equal(meta_change_new(&calls[i].change), IOR_OK);
    assert_true(meta_change_empty(calls[i].change));
    calls[i].change->user = &calls[i];
}

/* credential 0: unset. */
static enum ior_err add_user(unsigned i, const char *name, unsigned credential)
{
    char key[64];
    char value[256];
    snprintf(key, sizeof key, "user" FACT_SEP "%s", name);
    snprintf(value, sizeof value,
             "{\"password\":\"$argon2id$v=19$m=19456,t=2,p=1$aW9yaW8gZHVtbXkgc2FsdA$"
             "bm9ib2R5IGlzIGxldCBpbiBieSB0aGlzIGhhc2ghISE\",\"credential\":%u,\"groups\":[]}",
             credential);
    struct ior_slice none = {NULL, 0};
    return meta_change_set(calls[i].change, ior_slice_str(key),
                           credential == 0 ? none : ior_slice_str(value));
}

static void submit(unsigned i, unsigned worker)
{
    worker_enter(&jr.workers[worker]);
    assert_int_equal(meta_change_submit(meta, calls[i].change, on_answer), IOR_OK);
    worker_enter(NULL);
}

static inline void change_user(unsigned i, unsigned worker, const char *name, unsigned credential)
{
    new_change(i);
    assert_int_equal(add_user(i, name, credential), IOR_OK);
    assert_false(meta_change_empty(calls[i].change));
    submit(i, worker);
}

static bool commit(void)
{
    if (!journal_begin(jr.journal)) return false;
    journal_finish(jr.journal);
    return true;
}

static uint64_t credential_in(const struct policy *p, const char *name)
{
    const struct policy_user *u = policy_user(p, ior_slice_str(name));
    return u == NULL ? 0 : u->credential;
}

static uint64_t seen_by(unsigned worker, const char *name)
{
    worker_enter(&jr.workers[worker]);
    uint64_t credential = credential_in(meta_policy(meta), name);
    worker_enter(NULL);
    return credential;
}

static inline void expect_seen(const char *name, uint64_t credential)
{
    for (unsigned i = 0; i < JR_WORKERS; i++) assert_int_equal(seen_by(i, name), credential);
    assert_int_equal(credential_in(meta_newest_policy(meta), name), credential);
}

/* Turns and batches until nothing moves any more. */
static void settle(void)
{
    for (int i = 0; i < 6; i++) {
        jr_turns(&jr);
        commit();
    }
    jr_turns(&jr);
}

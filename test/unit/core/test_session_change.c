/* test/unit/core/test_session_change.c - taking tokens back, on a whole node: one, all of a user,
 * more than there may be; after a start, a checkpoint and a crash at every moment; what is over
 * goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/session_change.h"
#include "rig.h"

/* 2026; a clock that could be right (core/cutoff.h). */
#define WALL_MS 1790000000000ull
#define LATER_S 1800000000ull
#define HASH                                                                                       \
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$"                                       \
    "aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"

static struct rig rig;

/* ---- facts by hand ---- */

static void on_set(struct meta_change *c)
{
    assert_int_equal(c->err, IOR_OK);
    c->user = NULL;
}

static void submit(struct meta_change *c)
{
    c->user = c;
    rig_enter(&rig, 0);
    assert_int_equal(meta_change_submit(rig.node->meta, c, on_set), IOR_OK);
    rig_settle(&rig);
    assert_null(c->user);
    meta_change_free(c);
}

static void set_fact(const char *key, const char *value)
{
    struct meta_change *c = NULL;
    struct ior_slice none = {NULL, 0};
    assert_int_equal(meta_change_new(&c), IOR_OK);
    assert_int_equal(
        meta_change_set(c, ior_slice_str(key), value == NULL ? none : ior_slice_str(value)),
        IOR_OK);
    submit(c);
}

#define USER(name) "user" FACT_SEP name
#define ANN(credential)                                                                            \
    "{\"password\":\"" HASH "\",\"credential\":" credential                                        \
    ",\"groups\":[\"g-one\",\"g-two\"],\"later\":[1,2]}"

static int set_up(void **state)
{
    (void)state;
    rig_init(&rig);
    rig.wall_ms = WALL_MS;
    rig_open(&rig);
    set_fact("group" FACT_SEP "g-one", "{\"groups\":[]}");
    set_fact(USER("Ann"), ANN("3"));
    set_fact(USER("bob"), ANN("5"));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_done(&rig);
    return 0;
}

/* ---- changes ---- */

static struct revoked_token token(unsigned id, uint64_t credential)
{
    struct revoked_token t = {
        .until_s = LATER_S, .has_credential = credential != 0, .credential = credential};
    snprintf((char *)t.id, sizeof t.id, "token %u", id);
    return t;
}

struct called {
    unsigned done;
    enum ior_err err;
    bool ended_all;
};

static void on_done(struct session_change *c)
{
    struct called *called = c->user_ptr;
    called->done++;
    called->err = c->err;
    called->ended_all = c->ended_all;
    session_change_free(c);
}

/* t NULL: all. Not settled. */
static void begin(struct called *called, const char *user, const struct revoked_token *t)
{
    struct session_change *c = NULL;
    *called = (struct called){0};
    assert_int_equal(session_change_new(ior_slice_str(user), t, &c), IOR_OK);
    c->user_ptr = called;
    assert_int_equal(iorio_session_change(rig.node, c, on_done), IOR_OK);
    assert_int_equal(called->done, 0); /* never inside the call */
}

static struct called change(const char *user, const struct revoked_token *t)
{
    struct called called;
    begin(&called, user, t);
    rig_settle(&rig);
    assert_int_equal(called.done, 1);
    return called;
}

static void revoke(const char *user, unsigned id, uint64_t credential)
{
    struct revoked_token t = token(id, credential);
    struct called called = change(user, &t);
    assert_int_equal(called.err, IOR_OK);
    assert_false(called.ended_all);
}

static bool is_revoked(const char *user, unsigned id)
{
    struct revoked_token t = token(id, 0);
    unsigned count = 0;
    for (unsigned w = 0; w < RIG_WORKERS; w++) {
        rig_enter(&rig, w);
        count += revoked_has(meta_revoked(rig.node->meta), ior_slice_str(user), t.id);
    }
    rig_enter(&rig, 0);
    assert_true(count == 0 || count == RIG_WORKERS); /* all of one mind */
    return count > 0;
}

static const struct policy_user *user(const char *name)
{
    rig_enter(&rig, 0);
    return policy_user(meta_policy(rig.node->meta), ior_slice_str(name));
}

static size_t count_of(const char *name)
{
    rig_enter(&rig, 0);
    return revoked_count_of(meta_revoked(rig.node->meta), ior_slice_str(name));
}

static void start_again(int how)
{
    if (how == 1) assert_int_equal(rig_checkpoint(&rig), IOR_OK);
    if (how == 2) {
        rig_drop(&rig);
    } else {
        rig_close(&rig);
    }
    rig_open(&rig);
}

/* What: one token is taken back for all workers, whatever the case of the name, others are not;
 * it stays so over a start, a checkpoint, and a stop without one. */
static void one_token(void **state)
{
    (void)state;
    revoke("Ann", 1, 3);
    rig_enter(&rig, 1);
    revoke("ANN", 2, 0);
    revoke("bob", 3, 5);
    for (int i = 0; i < 4; i++) {
        assert_true(is_revoked("Ann", 1));
        assert_true(is_revoked("ann", 2));
        assert_true(is_revoked("bob", 3));
        assert_false(is_revoked("Ann", 3));
        assert_false(is_revoked("bob", 1));
        assert_int_equal(user("Ann")->credential, 3);
        start_again(i);
    }
}

/* What: nothing is written for a token that is no good already. */
static void nothing_to_do(void **state)
{
    (void)state;
    revoke("Ann", 1, 3);
    set_fact(USER("gone"), ANN("1"));
    set_fact(USER("gone"), NULL);
    rig_close(&rig);
    rig_open(&rig);
    uint64_t index = rig.node->meta == NULL ? 0 : revoked_number(meta_revoked(rig.node->meta));
    revoke("Ann", 1, 3);  /* again */
    revoke("Ann", 2, 2);  /* of a number that is over */
    revoke("gone", 3, 1); /* of a user who was deleted */
    assert_int_equal(revoked_number(meta_revoked(rig.node->meta)), index);
    assert_true(is_revoked("Ann", 1));
    assert_false(is_revoked("Ann", 2));
    assert_false(is_revoked("gone", 3));
}

/* What: all tokens of a user end by his number and by the time; the rest of his fact stays, and
 * what was known of single ones goes, but for those without a number. */
static void all_of_a_user(void **state)
{
    (void)state;
    revoke("Ann", 1, 3);
    revoke("Ann", 2, 0);
    revoke("bob", 3, 5);
    struct called called = change("aNN", NULL);
    assert_int_equal(called.err, IOR_OK);
    assert_true(called.ended_all);
    for (int i = 0; i < 3; i++) {
        const struct policy_user *u = user("Ann");
        assert_string_equal(u->name, "Ann");
        assert_string_equal(u->password, HASH);
        assert_int_equal(u->credential, 4);
        assert_int_equal(u->since_s, rig.wall_ms / 1000);
        assert_int_equal(policy_user_groups(u), 2);
        struct ior_slice extra = policy_user_extra(u);
        assert_non_null(memmem(extra.data, extra.size_bytes, "\"later\":[1,2]", 13));
        assert_false(is_revoked("Ann", 1));
        assert_true(is_revoked("Ann", 2));
        assert_true(is_revoked("bob", 3));
        assert_int_equal(user("bob")->credential, 5);
        assert_int_equal(user("bob")->since_s, 0);
        start_again(i);
    }
    revoke("Ann", 4, 4);
    assert_true(is_revoked("Ann", 4));
    called = change("nobody", NULL);
    assert_int_equal(called.err, IOR_E_NOTFOUND);
    assert_false(called.ended_all);
}

/* What: several at once, while nothing is on the disk yet: each knows of those before it. */
static void at_once(void **state)
{
    (void)state;
    struct called called[5];
    struct revoked_token t[2] = {token(1, 3), token(2, 4)};
    begin(&called[0], "Ann", &t[0]);
    begin(&called[1], "Ann", NULL);
    begin(&called[2], "Ann", &t[0]); /* of a number that is over by then */
    begin(&called[3], "Ann", &t[1]);
    begin(&called[4], "Ann", NULL);
    rig_settle(&rig);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(called[i].done, 1);
        assert_int_equal(called[i].err, IOR_OK);
    }
    assert_int_equal(user("Ann")->credential, 5);
    assert_int_equal(count_of("Ann"), 0);
}

/* ---- limits ---- */

static void fill(const char *name, unsigned from, unsigned count)
{
    struct meta_change *c = NULL;
    char key[96];
    assert_int_equal(meta_change_new(&c), IOR_OK);
    for (unsigned i = from; i < from + count; i++) {
        snprintf(key, sizeof key, "revoked" FACT_SEP "%s" FACT_SEP "%032x", name, i);
        assert_int_equal(
            meta_change_set(c, ior_slice_str(key), IOR_SLICE("{\"until\":1800000000,\"v\":3}")),
            IOR_OK);
    }
    submit(c);
}

/* What: one more token than a user may have ends all of his, and then there is room again. */
static void many_of_one_user(void **state)
{
    (void)state;
    fill("ann", 0, REVOKED_USER_MAX - 1);
    revoke("Ann", 1, 3);
    struct revoked_token more = token(2, 3);
    struct called called = change("Ann", &more);
    assert_int_equal(called.err, IOR_OK);
    assert_true(called.ended_all);
    assert_int_equal(user("Ann")->credential, 4);
    assert_int_equal(count_of("Ann"), 0);
    revoke("Ann", 5, 4);
    assert_int_equal(count_of("Ann"), 1);
    start_again(1);
    assert_int_equal(count_of("Ann"), 1);
    assert_int_equal(user("Ann")->credential, 4);
}

/* What: when the node is full, too, and nobody else is logged out. */
static void many_in_all(void **state)
{
    (void)state;
    char name[16];
    for (unsigned i = 0; i < REVOKED_MAX / REVOKED_USER_MAX; i++) {
        snprintf(name, sizeof name, "u%u", i);
        fill(name, i * REVOKED_USER_MAX, REVOKED_USER_MAX);
    }
    assert_int_equal(revoked_count(meta_revoked(rig.node->meta)), REVOKED_MAX);
    struct revoked_token more = token(2, 3);
    struct called called = change("Ann", &more);
    assert_int_equal(called.err, IOR_OK);
    assert_true(called.ended_all);
    assert_int_equal(user("Ann")->credential, 4);
    assert_int_equal(user("bob")->credential, 5);
    assert_int_equal(revoked_count(meta_revoked(rig.node->meta)), REVOKED_MAX);
}

/* What: a full disk refuses, and the token is good on. */
static void full_disk(void **state)
{
    (void)state;
    struct called called = {.err = IOR_OK};
    unsigned n = 0;
    disk_sim_set_limit(rig.disk, disk_sim_used_bytes(rig.disk));
    for (; n < 2000 && called.err == IOR_OK; n++) {
        struct revoked_token t = token(n, 3);
        called = change(n % 2 == 0 ? "Ann" : "bob", &t);
        if (n % 2 == 1) called.err = called.err == IOR_OK ? change("bob", NULL).err : called.err;
    }
    assert_int_equal(called.err, IOR_E_NOSPC);
    assert_false(is_revoked("Ann", n - 1));
    disk_sim_set_limit(rig.disk, UINT64_MAX);
}

/* ---- a crash at every moment ---- */

/* Revocations and a checkpoint; the power fails at the n-th write. What was answered holds, what
 * was not is there or not. False: it did not come to that. */
static bool crash_round(uint64_t n, enum disk_sim_loss loss)
{
    struct called called[4];
    struct revoked_token t[3] = {token(1, 3), token(2, 3), token(3, 5)};
    disk_sim_crash_at(rig.disk, n);
    begin(&called[0], "Ann", &t[0]);
    rig_settle(&rig);
    begin(&called[1], "Ann", &t[1]);
    enum ior_err err = rig_checkpoint(&rig);
    (void)err; /* the disk may be dead */
    rig_settle(&rig);
    begin(&called[2], "bob", &t[2]);
    begin(&called[3], "bob", NULL);
    rig_settle(&rig);
    bool crashed = disk_sim_is_dead(rig.disk);
    rig_drop(&rig);
    disk_sim_crash(rig.disk, loss);
    rig_open(&rig);
    for (int i = 0; i < 4; i++) assert_int_equal(called[i].done, 1);
    for (int i = 0; i < 2; i++) {
        if (called[i].err == IOR_OK) assert_true(is_revoked("Ann", (unsigned)i + 1));
    }
    uint64_t number = user("bob")->credential;
    assert_in_range(number, 5, 6);
    if (called[3].err == IOR_OK) assert_int_equal(number, 6);
    if (called[2].err == IOR_OK) assert_true(is_revoked("bob", 3) || number == 6);
    return crashed;
}

/* What: a token whose revocation was answered stays revoked after a power cut at any write,
 * whatever of what was not synced is lost. */
static void crash_at_every_write(void **state)
{
    (void)state;
    unsigned crashes = 0;
    for (int loss = DISK_SIM_LOSE_ALL; loss < DISK_SIM_LOSS_COUNT; loss++) {
        for (uint64_t n = 1;; n++) {
            bool crashed = crash_round(n, (enum disk_sim_loss)loss);
            tear_down(state);
            set_up(state);
            if (!crashed) break;
            crashes++;
        }
    }
    assert_true(crashes > 50);
}

/* ---- what is over ---- */

static void ticks(unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++) {
        rig.wall_ms += 1000;
        rig.mono_us += 1000000;
        rig_enter(&rig, 0);
        node_tick(rig.node);
        rig_settle(&rig);
    }
}

/* What: what is over goes within a minute, also from the disk; what is not stays. */
static void what_is_over_goes(void **state)
{
    (void)state;
    struct revoked_token t = token(1, 3);
    t.until_s = rig.wall_ms / 1000 + 100;
    assert_int_equal(change("Ann", &t).err, IOR_OK);
    revoke("Ann", 2, 3);
    revoke("bob", 3, 5);
    ticks(90);
    assert_true(is_revoked("Ann", 1));
    ticks(80);
    assert_false(is_revoked("Ann", 1));
    assert_true(is_revoked("Ann", 2));
    set_fact(USER("bob"), ANN("6")); /* a new password, say */
    ticks(70);
    assert_false(is_revoked("bob", 3));
    assert_true(is_revoked("Ann", 2));
    start_again(0);
    assert_int_equal(revoked_count(meta_revoked(rig.node->meta)), 1);
    assert_true(is_revoked("Ann", 2));
}

/* What: more than one sweep takes, one sweep after the other. */
static void many_are_over(void **state)
{
    (void)state;
    set_fact(USER("Ann"), ANN("4"));
    for (unsigned i = 0; i < 3; i++) fill("ann", i * 800, 800);
    assert_int_equal(count_of("Ann"), 2400);
    ticks(70);
    assert_int_equal(count_of("Ann"), 0);
}

/* What: a clock that jumps ahead for a while takes nothing that is not over. (In the first hour
 * after a start it may still be the first right one: core/cutoff.h.) */
static void a_wrong_clock(void **state)
{
    (void)state;
    struct revoked_token t = token(1, 3);
    ticks(3700);
    t.until_s = rig.wall_ms / 1000 + 10000;
    assert_int_equal(change("Ann", &t).err, IOR_OK);
    rig.wall_ms += 86400000;
    ticks(200);
    assert_true(is_revoked("Ann", 1));
    rig.wall_ms -= 86400000;
    ticks(200);
    assert_true(is_revoked("Ann", 1));
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(one_token),         T(nothing_to_do), T(all_of_a_user), T(at_once),
        T(many_of_one_user),  T(many_in_all),   T(full_disk),     T(crash_at_every_write),
        T(what_is_over_goes), T(many_are_over), T(a_wrong_clock),
    };
    return cmocka_run_group_tests_name("core/session_change", tests, NULL, NULL);
}

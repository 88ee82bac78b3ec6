/* test/unit/auth/test_login.c - src/auth/login.c and login_cache.c: what is checked, what is
 * remembered, what is shared, and whose turn it is. The crypto thread and the one that paces are
 * stepped by hand, the clock stands still unless a test moves it; passwords are cheap ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sodium.h>

#include "auth/login.h"
#include "auth/login_cache.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "facts.h"
#include "rt/clock.h"

enum { LOGINS_MAX = LOGIN_ANSWERS_BURST + LOGIN_ANSWERS_WAITING + 100 };

struct attempt {
    struct login login; /* first */
    unsigned done;
    const char *user; /* NULL: refused */
};

static struct worker worker;
static struct job_queue *crypto;
static struct login_desk *desk;
static struct policy *policy;
static struct attempt attempts[LOGINS_MAX];
static size_t attempt_count;
static uint64_t now_us;

static uint64_t fake_clock(void *ctx)
{
    (void)ctx;
    return now_us;
}

static void no_wake(void *ctx)
{
    (void)ctx;
}

static const char *cheap_hash(const char *password)
{
    static char hashes[8][PASSWORD_HASH_BYTES];
    static unsigned at;
    char *out = hashes[at++ % 8];
    assert_int_equal(
        crypto_pwhash_str_alg(out, password, strlen(password), crypto_pwhash_argon2id_OPSLIMIT_MIN,
                              crypto_pwhash_argon2id_MEMLIMIT_MIN, crypto_pwhash_ALG_ARGON2ID13),
        0);
    return out;
}

static void add_user(struct facts *f, const char *name, const char *hash)
{
    char key[64];
    char value[256];
    snprintf(key, sizeof key, "user|%s", name);
    snprintf(value, sizeof value, "{\"password\":\"%s\",\"credential\":1,\"groups\":[]}", hash);
    facts_add(f, key, value);
}

static void set_policy(const char *ann_hash, const char *bob_hash)
{
    static struct facts f;
    if (ann_hash != NULL) add_user(&f, "Ann", ann_hash);
    if (bob_hash != NULL) add_user(&f, "bob", bob_hash);
    policy_unref(policy);
    policy = facts_policy(&f);
}

static int set_up(void **state)
{
    (void)state;
    static const struct clock_source clock = {.wall_ms = fake_clock, .mono_us = fake_clock};
    now_us = 1000000000;
    clock_set_source(&clock);
    memset(attempts, 0, sizeof attempts);
    attempt_count = 0;
    worker_init(&worker, 0, no_wake, NULL);
    worker_enter(&worker);
    assert_int_equal(job_queue_new("crypto", 0, CRYPTO_QUEUE_MAX, 0, &crypto), IOR_OK);
    assert_int_equal(login_desk_new(crypto, 0, &desk), IOR_OK);
    set_policy(cheap_hash("sesame"), cheap_hash("secret"));
    return 0;
}

static void turns(void)
{
    while (worker_turn(&worker)) {
    }
    worker_turn(&worker);
}

static void settle(void)
{
    do {
        turns();
        now_us += 1000000 / LOGIN_ANSWERS_PER_S;
    } while (job_queue_step(crypto) || login_desk_step(desk));
    now_us -= 1000000 / LOGIN_ANSWERS_PER_S;
}

static int tear_down(void **state)
{
    (void)state;
    settle();
    for (size_t i = 0; i < attempt_count; i++) assert_int_equal(attempts[i].done, 1);
    login_desk_stop(desk);
    job_queue_stop(crypto);
    login_desk_free(desk);
    job_queue_free(crypto);
    policy_unref(policy);
    policy = NULL;
    worker_done(&worker);
    worker_enter(NULL);
    clock_set_source(NULL);
    return 0;
}

static void on_done(struct login *l)
{
    struct attempt *a = (struct attempt *)(void *)l;
    const struct policy_user *u = login_user(l, policy);
    a->done++;
    a->user = u == NULL ? NULL : u->name;
}

static enum ior_err try_login(const char *name, const char *password)
{
    assert_true(attempt_count < LOGINS_MAX);
    struct attempt *a = &attempts[attempt_count];
    *a = (struct attempt){.login = {.done = on_done}};
    enum ior_err err =
        login_submit(desk, &a->login, policy, ior_slice_str(name), ior_slice_str(password));
    assert_int_equal(a->done, 0); /* never inside the call */
    if (err == IOR_OK) attempt_count++;
    return err;
}

static struct attempt *begin(const char *name, const char *password)
{
    assert_int_equal(try_login(name, password), IOR_OK);
    return &attempts[attempt_count - 1];
}

static unsigned checks_waiting(void)
{
    unsigned n = 0;
    for (; job_queue_step(crypto); n++) {
    }
    return n;
}

static void expect(const struct attempt *a, const char *user, bool cached)
{
    assert_int_equal(a->done, 1);
    assert_int_equal(a->login.err, IOR_OK);
    if (user == NULL) assert_null(a->user);
    if (user != NULL) assert_string_equal(a->user, user);
    assert_int_equal(a->login.cached, cached);
}

/* What: the right password lets in, whatever the case of the name; everything else does not. */
static void right_and_wrong(void **state)
{
    (void)state;
    struct attempt *right = begin("aNN", "sesame");
    struct attempt *wrong = begin("Ann", "secret");
    struct attempt *nobody = begin("nobody", "sesame");
    struct attempt *empty = begin("Ann", "");
    struct attempt *no_name = begin("", "sesame");
    assert_int_equal(right->done, 0);
    settle();
    expect(right, "Ann", false);
    expect(wrong, NULL, false);
    expect(nobody, NULL, false);
    expect(empty, NULL, false);
    expect(no_name, NULL, false);
    assert_string_equal(wrong->login.name, "Ann");
    assert_string_equal(nobody->login.name, "");
}

/* What: a right password is checked once in ten minutes, a wrong one and an unknown user each
 * time. */
static void only_right_ones_are_remembered(void **state)
{
    (void)state;
    begin("Ann", "sesame");
    settle();
    for (int i = 0; i < 3; i++) {
        struct attempt *again = begin(i == 0 ? "Ann" : "ANN", "sesame");
        assert_int_equal(checks_waiting(), 0);
        settle();
        expect(again, "Ann", true);
    }
    for (int i = 0; i < 2; i++) {
        begin("Ann", "sesam");
        begin("bob", "sesame"); /* of another user */
        begin("nobody", "sesame");
        assert_int_equal(checks_waiting(), 3);
        settle();
    }
    now_us += LOGIN_CACHE_MS * 1000ull - 1;
    struct attempt *last = begin("Ann", "sesame");
    settle();
    expect(last, "Ann", true);
    now_us++;
    struct attempt *late = begin("Ann", "sesame");
    settle();
    expect(late, "Ann", false);
}

/* What: what was right for another stored hash is right no longer, at once; not even when the
 * new password is the old one (its salt is another). */
static void changed_password(void **state)
{
    (void)state;
    begin("Ann", "sesame");
    settle();
    set_policy(cheap_hash("other"), cheap_hash("secret"));
    struct attempt *old = begin("Ann", "sesame");
    assert_int_equal(checks_waiting(), 1);
    settle();
    expect(old, NULL, false);
    set_policy(cheap_hash("sesame"), cheap_hash("secret"));
    struct attempt *again = begin("Ann", "sesame");
    settle();
    expect(again, "Ann", false);
    set_policy(NULL, cheap_hash("secret"));
    struct attempt *gone = begin("Ann", "sesame");
    settle();
    expect(gone, NULL, false);
}

/* What: a password that is changed, or a user who is deleted, while he is checked does not get in.
 */
static void changed_while_checked(void **state)
{
    (void)state;
    struct attempt *a = begin("Ann", "sesame");
    struct attempt *b = begin("bob", "secret");
    set_policy(cheap_hash("sesame"), NULL);
    settle();
    expect(a, NULL, false);
    expect(b, NULL, false);
}

/* What: the same name and password at once are one check, also of a wrong password and of a
 * user who does not exist; another password is another check. */
static void the_same_at_once_is_one_check(void **state)
{
    (void)state;
    struct attempt *same[3][8];
    for (int i = 0; i < 8; i++) {
        same[0][i] = begin(i % 2 == 0 ? "Ann" : "ann", "sesame");
        same[1][i] = begin("Ann", "wrong");
        same[2][i] = begin(i % 2 == 0 ? "Nobody" : "nobodY", "wrong");
    }
    struct attempt *other = begin("Ann", "wrong too");
    assert_int_equal(checks_waiting(), 4);
    settle();
    for (int i = 0; i < 8; i++) {
        expect(same[0][i], "Ann", false);
        expect(same[1][i], NULL, false);
        expect(same[2][i], NULL, false);
    }
    expect(other, NULL, false);
}

/* What: who comes when the check has begun, but is not done, shares it; who comes after a wrong
 * one has a check of his own. */
static void joins_until_it_is_done(void **state)
{
    (void)state;
    struct attempt *first = begin("Ann", "wrong");
    assert_true(job_queue_step(crypto)); /* done there, not answered yet */
    struct attempt *second = begin("Ann", "wrong");
    assert_int_equal(checks_waiting(), 1);
    settle();
    expect(first, NULL, false);
    expect(second, NULL, false);
}

/* What: the queue is full: BUSY for everybody who needs a check, known or not; not for who
 * joins one, and not for who needs none. */
static void full_queue(void **state)
{
    (void)state;
    char password[32];
    begin("bob", "secret");
    settle();
    for (unsigned i = 0; i < CRYPTO_QUEUE_MAX; i++) {
        snprintf(password, sizeof password, "wrong %u", i);
        begin("Ann", password);
    }
    assert_int_equal(try_login("Ann", "sesame"), IOR_E_BUSY);
    assert_int_equal(try_login("nobody", "sesame"), IOR_E_BUSY);
    struct attempt *joins = begin("Ann", "wrong 7");
    struct attempt *cached = begin("bob", "secret");
    turns();
    expect(cached, "bob", true);
    assert_true(job_queue_step(crypto));
    struct attempt *next = begin("Ann", "sesame");
    settle();
    expect(joins, NULL, false);
    expect(next, "Ann", false);
}

/* What: a password of an impossible length is wrong after a whole check, for whom it may be. */
static void impossible_lengths(void **state)
{
    (void)state;
    static char large[PASSWORD_BYTES_MAX + 2];
    memset(large, 'x', sizeof large - 1);
    struct attempt *a = begin("Ann", large);
    struct attempt *b = begin("nobody", large);
    struct attempt *c = begin(large, "sesame"); /* a name that none can have */
    assert_int_equal(checks_waiting(), 3);
    settle();
    expect(a, NULL, false);
    expect(b, NULL, false);
    expect(c, NULL, false);
    large[PASSWORD_BYTES_MAX] = 0;
    set_policy(cheap_hash(large), NULL);
    struct attempt *longest = begin("Ann", large);
    settle();
    expect(longest, "Ann", false);
}

/* What: so many answers at once, then so many a second, in the order of the logins. */
static void answers_take_turns(void **state)
{
    (void)state;
    enum { MORE = 20 };
    begin("Ann", "sesame");
    settle();
    now_us += 10000000;
    struct attempt *burst[LOGIN_ANSWERS_BURST];
    struct attempt *more[MORE];
    for (int i = 0; i < LOGIN_ANSWERS_BURST; i++) burst[i] = begin("Ann", "sesame");
    for (int i = 0; i < MORE; i++) more[i] = begin("Ann", "sesame");
    turns();
    for (int i = 0; i < LOGIN_ANSWERS_BURST; i++) expect(burst[i], "Ann", true);
    for (int i = 0; i < MORE; i++) {
        for (int k = i; k < MORE; k++) assert_int_equal(more[k]->done, 0);
        now_us = more[i]->login.due_us; /* the thread would sleep until then */
        assert_true(login_desk_step(desk));
        turns();
        expect(more[i], "Ann", true);
    }
    uint64_t span_us = more[MORE - 1]->login.due_us - more[0]->login.due_us;
    assert_in_range(span_us, (MORE - 1) * 1000000 / LOGIN_ANSWERS_PER_S - 5000,
                    (MORE - 1) * 1000000 / LOGIN_ANSWERS_PER_S + 5000);
    assert_false(login_desk_step(desk));
}

/* What: more than may wait for a turn are told BUSY, and those after them get the turns that
 * these did not take. */
static void too_many_wait(void **state)
{
    (void)state;
    begin("Ann", "sesame");
    settle();
    now_us += 10000000;
    enum { FIRST = LOGIN_ANSWERS_BURST + LOGIN_ANSWERS_WAITING, REFUSED = 50 };
    for (int i = 0; i < FIRST; i++) begin("Ann", "sesame");
    uint64_t last_due_us = attempts[attempt_count - 1].login.due_us;
    turns();
    for (int i = 0; i < REFUSED; i++) {
        struct attempt *a = begin("Ann", "sesame");
        turns();
        assert_int_equal(a->done, 1);
        assert_int_equal(a->login.err, IOR_E_BUSY);
        assert_null(a->user);
    }
    now_us = attempts[1 + LOGIN_ANSWERS_BURST].login.due_us;
    assert_true(login_desk_step(desk));
    turns();
    struct attempt *next = begin("Ann", "sesame");
    assert_in_range(next->login.due_us, last_due_us, last_due_us + 10000);
    now_us = next->login.due_us;
    settle();
}

/* What: at a stop nobody waits for his turn; what comes then is told CLOSING; checks go on. */
static void stop_ends_the_waiting(void **state)
{
    (void)state;
    begin("Ann", "sesame");
    settle();
    now_us += 10000000;
    for (int i = 0; i < LOGIN_ANSWERS_BURST + 5; i++) begin("Ann", "sesame");
    turns();
    struct attempt *checked = begin("bob", "secret");
    while (login_desk_step(desk)) { /* job_queue_stop() wants it so without threads */
        now_us += 10000;
    }
    struct job_queue *crypto_now = crypto;
    struct login_desk *desk_now = desk;
    login_desk_stop(desk_now);
    now_us -= 60000000; /* nobody's turn */
    struct attempt *late = begin("Ann", "sesame");
    turns();
    assert_int_equal(late->login.err, IOR_E_CLOSING);
    assert_true(job_queue_step(crypto_now));
    turns();
    assert_int_equal(checked->done, 1);
    assert_int_equal(checked->login.err, IOR_E_CLOSING);
    settle();
    login_desk_free(desk);
    assert_int_equal(login_desk_new(crypto, 0, &desk), IOR_OK); /* for tear_down */
}

/* ---- the cache ---- */

static void name_of(const struct login_cache *c, unsigned i, uint8_t ret[LOGIN_NAME_BYTES])
{
    char user[16];
    snprintf(user, sizeof user, "u%u", i);
    login_cache_name(c, ior_slice_str(user), "hash", IOR_SLICE("password"), ret);
}

/* What: never more than its slots; the newest stay, the oldest of a bucket goes; each until its
 * time is over. */
static void cache_is_bounded(void **state)
{
    (void)state;
    enum { NAMES = 2 * LOGIN_CACHE_SLOTS };
    struct login_cache *c = NULL;
    uint8_t name[LOGIN_NAME_BYTES];
    assert_int_equal(login_cache_new(&c), IOR_OK);
    for (unsigned i = 0; i < NAMES; i++) {
        name_of(c, i, name);
        assert_false(login_cache_has(c, name, 1000 + i));
        login_cache_add(c, name, 1000 + i);
        assert_true(login_cache_has(c, name, 1000 + i));
    }
    unsigned kept = 0;
    unsigned kept_old = 0;
    for (unsigned i = 0; i < NAMES; i++) {
        name_of(c, i, name);
        bool has = login_cache_has(c, name, 1000 + NAMES);
        kept += has;
        if (i < NAMES / 2) kept_old += has;
    }
    assert_in_range(kept, LOGIN_CACHE_SLOTS / 2, LOGIN_CACHE_SLOTS);
    assert_in_range(kept_old, 0, kept / 3);
    name_of(c, NAMES - 1, name);
    assert_true(login_cache_has(c, name, 1000 + NAMES - 2 + LOGIN_CACHE_MS * 1000ull));
    assert_false(login_cache_has(c, name, 1000 + NAMES - 1 + LOGIN_CACHE_MS * 1000ull));
    login_cache_free(c);
    login_cache_free(NULL);
}

/* What: user, hash and password are told apart wherever one ends, and two caches have two keys. */
static void names_are_apart(void **state)
{
    (void)state;
    static const char *const parts[][3] = {{"ab", "c", "d"}, {"a", "bc", "d"}, {"a", "b", "cd"},
                                           {"", "abc", "d"}, {"abcd", "", ""}, {"", "", "abcd"}};
    enum { COUNT = sizeof parts / sizeof parts[0] };
    struct login_cache *c = NULL;
    struct login_cache *other = NULL;
    uint8_t names[COUNT][LOGIN_NAME_BYTES];
    uint8_t name[LOGIN_NAME_BYTES];
    assert_int_equal(login_cache_new(&c), IOR_OK);
    assert_int_equal(login_cache_new(&other), IOR_OK);
    for (size_t i = 0; i < COUNT; i++) {
        login_cache_name(c, ior_slice_str(parts[i][0]), parts[i][1], ior_slice_str(parts[i][2]),
                         names[i]);
        for (size_t k = 0; k < i; k++) assert_memory_not_equal(names[i], names[k], sizeof name);
        login_cache_name(other, ior_slice_str(parts[i][0]), parts[i][1], ior_slice_str(parts[i][2]),
                         name);
        assert_memory_not_equal(names[i], name, sizeof name);
    }
    login_cache_free(c);
    login_cache_free(other);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(right_and_wrong),
        T(only_right_ones_are_remembered),
        T(changed_password),
        T(changed_while_checked),
        T(the_same_at_once_is_one_check),
        T(joins_until_it_is_done),
        T(full_queue),
        T(impossible_lengths),
        T(answers_take_turns),
        T(too_many_wait),
        T(stop_ends_the_waiting),
        cmocka_unit_test(cache_is_bounded),
        cmocka_unit_test(names_are_apart),
    };
    if (password_init() != IOR_OK) return 1;
    return cmocka_run_group_tests_name("auth/login", tests, NULL, NULL);
}

/* test/unit/auth/test_policy_set.c - src/auth/policy_set.c: a policy that was changed fact by fact
 * is the same as one made of the facts at once; the one before stays what it was; a change that
 * finds no memory leaves nothing behind. */
#include "facts.h"

#include <stdio.h>
#include <string.h>

#include "auth/policy_parts.h"
#include "no_memory.h"
#include "../base/seeded.h"

enum { KEYS = 90, ROUNDS = 30, STEPS = 120 };

static const char *const users[] = {"u0", "u1", "u2", "u3", "u4", "nobody"};
static const char *const groups[] = {"g0", "g1", "g2", "g3"};
static const char *const buckets[] = {"a", "ab", "b", "a*", "*", "ba"};
static const char *const streams[] = {"", "s", "st", "s*", "*", "t"};

/* The facts that a policy must be made of, by the number of their key. */
struct world {
    char keys[KEYS][64];
    char values[KEYS][400]; /* "": not there */
};

static const char *pick(struct seeded *s, const char *const *words, size_t count)
{
    return words[seeded_below(s, count)];
}

static void make_key(char *key, struct seeded *s)
{
    size_t dice = seeded_below(s, 10);
    const char *bucket = pick(s, buckets, IOR_LEN(buckets));
    const char *stream = pick(s, streams, IOR_LEN(streams));
    if (dice < 2) {
        snprintf(key, 64, "user|%s", users[seeded_below(s, IOR_LEN(users) - 1)]);
        return;
    }
    if (dice < 4) {
        snprintf(key, 64, "group|%s", pick(s, groups, IOR_LEN(groups)));
        return;
    }
    char who[16];
    if (dice < 7) {
        snprintf(who, sizeof who, "user|%s", pick(s, users, IOR_LEN(users)));
        if (seeded_below(s, 4) == 0) who[5] = 'U'; /* the same user, another fact */
    } else if (dice < 9) {
        snprintf(who, sizeof who, "group|%s", pick(s, groups, IOR_LEN(groups)));
    } else {
        snprintf(who, sizeof who, "all|");
    }
    if (seeded_below(s, 10) == 0) {
        snprintf(key, 64, "grant|%s|any||", who);
    } else if (*stream == 0) {
        snprintf(key, 64, "grant|%s|bucket|%s|", who, bucket);
    } else {
        snprintf(key, 64, "grant|%s|stream|%s|%s", who, bucket, stream);
    }
}

static void make_value(char *value, const char *key, struct seeded *s)
{
    char list[128] = "[";
    for (size_t i = 0; i < IOR_LEN(groups); i++) {
        if (seeded_below(s, 3) > 0) continue;
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s\"%s\"", n > 1 ? "," : "", groups[i]);
    }
    const char *more = seeded_below(s, 3) == 0 ? ",\"later\":[1,{\"a\":null}]" : "";
    if (strncmp(key, "user", 4) == 0) {
        snprintf(value, 400, "{\"password\":\"%s\",\"credential\":%zu,\"groups\":%s]%s}",
                 FACTS_HASH, seeded_below(s, 9), list, more);
    } else if (strncmp(key, "group", 5) == 0) {
        snprintf(value, 400, "{\"groups\":%s]%s}", list, more);
    } else {
        static const char *const perms[] = {"", "\"get\"", "\"put\",\"grant\"", "\"list\",\"get\""};
        snprintf(value, 400, "{\"perms\":[%s]%s}", pick(s, perms, IOR_LEN(perms)), more);
    }
}

static void make_world(struct world *w, struct seeded *s)
{
    memset(w, 0, sizeof *w);
    for (size_t i = 0; i < KEYS; i++) {
        bool again = true;
        while (again) {
            make_key(w->keys[i], s);
            again = false;
            for (size_t k = 0; k < i; k++) again = again || strcmp(w->keys[k], w->keys[i]) == 0;
        }
    }
}

/* A fact on the heap, exactly as long as it is; done with fact_drop(). */
static struct fact fact_of(const char *key, const char *value)
{
    struct fact f = {facts_copy(ior_slice_str(key), true), {NULL, 0}};
    if (*value != 0) f.value = facts_copy(ior_slice_str(value), false);
    return f;
}

static void fact_drop(struct fact f)
{
    free((void *)(uintptr_t)f.key.data);
    free((void *)(uintptr_t)f.value.data);
}

static struct policy *built(const struct world *w)
{
    struct facts f = {0};
    for (size_t i = 0; i < KEYS; i++) {
        if (w->values[i][0] != 0) facts_add(&f, w->keys[i], w->values[i]);
    }
    return facts_policy(&f);
}

static void same_user(const struct policy *a, const struct policy *b, const char *name)
{
    const struct policy_user *ua = policy_user(a, ior_slice_str(name));
    const struct policy_user *ub = policy_user(b, ior_slice_str(name));
    assert_int_equal(ua == NULL, ub == NULL);
    if (ua != NULL) {
        assert_int_equal(ua->credential, ub->credential);
        assert_string_equal(ua->password, ub->password);
        assert_int_equal(policy_user_groups(ua), policy_user_groups(ub));
        assert_true(ior_slice_eq(policy_user_extra(ua), policy_user_extra(ub)));
        for (size_t i = 0; i < policy_user_groups(ua); i++)
            assert_true(ior_slice_eq(policy_user_group(ua, i), policy_user_group(ub, i)));
    }
    for (unsigned perm = 1; perm <= PERM_ADMINUSERS; perm *= 2) {
        for (size_t i = 0; i < IOR_LEN(buckets); i++) {
            for (size_t k = 0; k < IOR_LEN(streams); k++)
                assert_int_equal(facts_can(a, name, (enum perm)perm, buckets[i], streams[k]),
                                 facts_can(b, name, (enum perm)perm, buckets[i], streams[k]));
        }
        assert_int_equal(facts_can(a, name, (enum perm)perm, "", ""),
                         facts_can(b, name, (enum perm)perm, "", ""));
    }
}

/* Same answers, and nothing is left over in the tables. */
static void same(const struct policy *a, const struct policy *b)
{
    assert_int_equal(a->users.count, b->users.count);
    assert_int_equal(a->groups.count, b->groups.count);
    assert_int_equal(a->groups_by_id.count, b->groups_by_id.count);
    assert_int_equal(a->shelves.count, b->shelves.count);
    assert_int_equal(a->users_count, b->users_count);
    assert_int_equal(a->groups_count, b->groups_count);
    assert_int_equal(a->grants_count, b->grants_count);
    for (size_t i = 0; i < IOR_LEN(users); i++) same_user(a, b, users[i]);
    for (size_t i = 0; i < IOR_LEN(groups); i++) {
        const struct policy_group *ga = policy_find_group(a, ior_slice_str(groups[i]));
        const struct policy_group *gb = policy_find_group(b, ior_slice_str(groups[i]));
        assert_int_equal(ga == NULL, gb == NULL);
        if (ga == NULL) continue;
        assert_int_equal(ga->exists, gb->exists);
        assert_int_equal(ga->members.count, gb->members.count);
        assert_int_equal(ga->extra == NULL, gb->extra == NULL);
        assert_ptr_equal(policy_group_of_id(a, ga->name->id), ga);
    }
}

/* What: any order of setting, changing and taking away gives what the facts that are left give;
 * a key says whether it is there; every older policy still says what it said. */
static void fact_by_fact(void **state)
{
    (void)state;
    static struct world w;
    for (size_t round = 0; round < ROUNDS; round++) {
        struct seeded s = {round};
        make_world(&w, &s);
        struct policy *p = NULL;
        assert_int_equal(policy_draft(NULL, &p), IOR_OK);
        struct policy *before = built(&w);
        for (size_t step = 0; step < STEPS; step++) {
            struct policy *next = NULL;
            assert_int_equal(policy_draft(p, &next), IOR_OK);
            assert_true(policy_mark(next) != policy_mark(p));
            for (size_t n = seeded_below(&s, 4) + 1; n > 0; n--) {
                size_t i = seeded_below(&s, KEYS);
                w.values[i][0] = 0;
                if (seeded_below(&s, 3) > 0) make_value(w.values[i], w.keys[i], &s);
                struct fact f = fact_of(w.keys[i], w.values[i]);
                assert_int_equal(policy_set(next, &f, NULL), IOR_OK);
                assert_int_equal(policy_has_fact(next, f.key), w.values[i][0] != 0);
                fact_drop(f);
            }
            struct policy *now = built(&w);
            same(next, now);
            same(p, before);
            policy_unref(before);
            policy_unref(p);
            before = now;
            p = next;
        }
        policy_unref(before);
        policy_unref(p);
    }
}

/* What: when everything is taken away again, nothing is left. */
static void nothing_is_left(void **state)
{
    (void)state;
    static struct world w;
    struct seeded s = {77};
    make_world(&w, &s);
    struct policy *p = NULL;
    assert_int_equal(policy_draft(NULL, &p), IOR_OK);
    for (int set = 1; set >= 0; set--) {
        for (size_t i = 0; i < KEYS; i++) {
            w.values[i][0] = 0;
            if (set == 1) make_value(w.values[i], w.keys[i], &s);
            struct fact f = fact_of(w.keys[i], w.values[i]);
            assert_int_equal(policy_set(p, &f, NULL), IOR_OK);
            fact_drop(f);
        }
        assert_int_equal(p->grants_count > 0, set);
    }
    assert_int_equal(p->users.count + p->groups.count + p->groups_by_id.count + p->shelves.count,
                     0);
    assert_null(p->everyone);
    policy_unref(p);
}

/* What: whichever allocation fails: NOMEM, and the policy that the draft came from is as it was. */
static void every_allocation_fails(void **state)
{
    (void)state;
    static struct world w;
    struct seeded s = {5};
    unsigned failures = 0;
    make_world(&w, &s);
    for (size_t i = 0; i < KEYS; i += 2) make_value(w.values[i], w.keys[i], &s);
    struct policy *p = built(&w);
    for (size_t i = 0; i < KEYS; i++) {
        char value[400] = "";
        if (i % 3 > 0) make_value(value, w.keys[i], &s);
        struct fact f = fact_of(w.keys[i], value);
        enum ior_err err = IOR_E_NOMEM;
        for (unsigned n = 1; err != IOR_OK; n++) {
            struct policy *draft = NULL;
            no_memory_at = n;
            err = policy_draft(p, &draft);
            if (err == IOR_OK) err = policy_set(draft, &f, NULL);
            no_memory_at = 0;
            if (err != IOR_OK) assert_int_equal(err, IOR_E_NOMEM);
            failures += err != IOR_OK;
            policy_unref(draft);
        }
        fact_drop(f);
    }
    assert_true(failures > 300);
    struct policy *again = built(&w);
    same(p, again);
    policy_unref(again);
    policy_unref(p);
}

/* What: no more groups are named than there are ids; ids of groups that are gone are used again. */
static void ids_are_bounded(void **state)
{
    (void)state;
    struct policy *p = NULL;
    struct ior_why why = {""};
    char key[32];
    assert_int_equal(policy_draft(NULL, &p), IOR_OK);
    for (unsigned i = 0; i < GROUP_IDS_MAX; i++) {
        snprintf(key, sizeof key, "group" FACT_SEP "%u", i);
        const struct fact f = {ior_slice_str(key), IOR_SLICE("{\"groups\":[]}")};
        assert_int_equal(policy_set(p, &f, NULL), IOR_OK);
    }
    for (int round = 0; round < 3; round++) {
        const struct fact gone = {IOR_SLICE("group" FACT_SEP "77"), {NULL, 0}};
        const struct fact come = {IOR_SLICE("group" FACT_SEP "77"), IOR_SLICE("{\"groups\":[]}")};
        assert_int_equal(policy_set(p, &gone, NULL), IOR_OK);
        assert_int_equal(policy_set(p, &come, NULL), IOR_OK);
    }
    const struct fact more = {IOR_SLICE("group" FACT_SEP "0"),
                              IOR_SLICE("{\"groups\":[\"one more\"]}")};
    assert_int_equal(policy_set(p, &more, &why), IOR_E_NOSPC);
    assert_non_null(strstr(why.text, "8192"));
    policy_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fact_by_fact),
        cmocka_unit_test(nothing_is_left),
        cmocka_unit_test(every_allocation_fails),
        cmocka_unit_test(ids_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/auth/test_revoked.c - src/auth/revoked.c and revoked_fact.c: which tokens were taken
 * back, against a plain list; versions do not change each other; facts there and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "auth/revoked.h"
#include "auth/token.h"
#include "facts.h"
#include "no_memory.h"
#include "rt/rand.h"

static struct revoked_token token(const char *user, unsigned id, uint64_t until_s)
{
    struct revoked_token t = {.user = ior_slice_str(user), .until_s = until_s};
    snprintf((char *)t.id, sizeof t.id, "token %u", id);
    return t;
}

static void set(struct revoked *r, const char *user, unsigned id, uint64_t until_s)
{
    struct revoked_token t = token(user, id, until_s);
    assert_int_equal(revoked_set(r, &t, false), IOR_OK);
}

static void take_away(struct revoked *r, const char *user, unsigned id)
{
    struct revoked_token t = token(user, id, 0);
    assert_int_equal(revoked_set(r, &t, true), IOR_OK);
}

static bool has(const struct revoked *r, const char *user, unsigned id)
{
    struct revoked_token t = token(user, id, 0);
    return revoked_has(r, ior_slice_str(user), t.id);
}

static struct revoked *new (const struct revoked *from)
{
    struct revoked *r = NULL;
    assert_int_equal(revoked_new(from, &r), IOR_OK);
    return r;
}

/* What: a token is there for its user, whatever the case of his name, and for nobody else. */
static void there_and_gone(void **state)
{
    (void)state;
    struct revoked *r = new (NULL);
    assert_false(has(r, "ann", 1));
    set(r, "ann", 1, 10);
    set(r, "ann", 2, 10);
    set(r, "bob", 3, 10);
    assert_true(has(r, "ann", 1));
    assert_true(has(r, "ANN", 1));
    assert_true(has(r, "ann", 2));
    assert_false(has(r, "ann", 3));
    assert_false(has(r, "bob", 1));
    assert_false(has(r, "", 1));
    assert_int_equal(revoked_count(r), 3);
    assert_int_equal(revoked_count_of(r, IOR_SLICE("Ann")), 2);
    set(r, "ann", 1, 11); /* again: the same one */
    assert_int_equal(revoked_count(r), 3);
    take_away(r, "ann", 7);
    take_away(r, "nobody", 1);
    assert_int_equal(revoked_count(r), 3);
    take_away(r, "ann", 1);
    assert_false(has(r, "ann", 1));
    take_away(r, "ann", 2);
    assert_int_equal(revoked_count_of(r, IOR_SLICE("ann")), 0);
    assert_int_equal(revoked_count(r), 1);
    assert_true(has(r, "bob", 3));
    char longest[USERNAME_BYTES_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[USERNAME_BYTES_MAX] = 0;
    set(r, longest, 4, 10);
    assert_true(has(r, longest, 4));
    longest[USERNAME_BYTES_MAX] = 'x';
    longest[USERNAME_BYTES_MAX + 1] = 0;
    assert_false(has(r, longest, 4));
    revoked_unref(r);
    revoked_unref(NULL);
}

/* What: a draft leaves the version that it was made from as it was, and has another number. */
static void versions_are_apart(void **state)
{
    (void)state;
    struct revoked *first = new (NULL);
    set(first, "ann", 1, 10);
    struct revoked *second = new (first);
    set(second, "ann", 2, 10);
    set(second, "bob", 3, 10);
    struct revoked *third = new (second);
    take_away(third, "ann", 1);
    assert_true(has(first, "ann", 1) && !has(first, "ann", 2) && !has(first, "bob", 3));
    assert_true(has(second, "ann", 1) && has(second, "ann", 2) && has(second, "bob", 3));
    assert_true(!has(third, "ann", 1) && has(third, "ann", 2) && has(third, "bob", 3));
    assert_int_not_equal(revoked_number(first), revoked_number(second));
    assert_int_not_equal(revoked_number(second), revoked_number(third));
    revoked_unref(second);
    assert_true(has(third, "bob", 3));
    struct revoked *again = revoked_ref(third);
    revoked_unref(third);
    assert_true(has(again, "bob", 3));
    revoked_unref(again);
    revoked_unref(first);
}

/* What: the tokens of one user one by one, and those whose time is over, some at a time. */
static void walks(void **state)
{
    (void)state;
    struct revoked *r = new (NULL);
    struct revoked_token t[64];
    for (unsigned i = 0; i < 40; i++) {
        char user[8];
        snprintf(user, sizeof user, "u%u", i % 7);
        set(r, user, i, 100 + i);
    }
    unsigned seen = 0;
    while (revoked_of(r, IOR_SLICE("U3"), seen, &t[0])) {
        assert_memory_equal(t[0].user.data, "u3", 2);
        assert_int_equal(t[0].until_s % 7, (100 + 3) % 7);
        seen++;
    }
    assert_int_equal(seen, 6);
    assert_false(revoked_of(r, IOR_SLICE("nobody"), 0, &t[0]));
    assert_int_equal(revoked_over(r, NULL, 99, t, 64), 0);
    assert_int_equal(revoked_over(r, NULL, 100, t, 64), 1);
    assert_int_equal(t[0].until_s, 100);
    assert_int_equal(revoked_over(r, NULL, 119, t, 64), 20);
    assert_int_equal(revoked_over(r, NULL, 119, t, 5), 5);
    for (int i = 0; i < 5; i++) assert_in_range(t[i].until_s, 100, 119);
    revoked_unref(r);
}

/* What: a token whose number is not that of its user any more, or whose user is gone, says
 * nothing; one without a number does until its time is over. */
static void over_by_the_number(void **state)
{
    (void)state;
    struct facts f = {0};
    struct revoked_token t[8];
    struct revoked *r = new (NULL);
    facts_add(&f, "user|Ann", FACTS_USER("[]")); /* credential 7 */
    struct policy *p = facts_policy(&f);
    for (unsigned i = 0; i < 4; i++) {
        t[0] = token(i == 3 ? "gone" : "ann", i, 100);
        t[0].has_credential = i != 2;
        t[0].credential = i == 1 ? 6 : 7;
        assert_int_equal(revoked_set(r, &t[0], false), IOR_OK);
    }
    assert_int_equal(revoked_over(r, NULL, 99, t, 8), 0);
    assert_int_equal(revoked_over(r, p, 99, t, 8), 2);
    for (int i = 0; i < 2; i++) assert_true(t[i].id[6] == '1' || t[i].id[6] == '3');
    assert_int_equal(revoked_over(r, p, 100, t, 8), 4);
    policy_unref(p);
    revoked_unref(r);
}

/* What: some thousand changes say the same as a plain list, through many versions. */
static void as_a_list(void **state)
{
    (void)state;
    enum { USERS = 20, IDS = 50, CHANGES = 5000 };
    bool list[USERS][IDS] = {{false}};
    struct rand_state rand = {7};
    struct revoked *r = new (NULL);
    size_t count = 0;
    for (int i = 0; i < CHANGES; i++) {
        struct revoked *next = new (r);
        unsigned u = (unsigned)rand_below(&rand, USERS);
        unsigned id = (unsigned)rand_below(&rand, IDS);
        char user[8];
        snprintf(user, sizeof user, "u%u", u);
        bool on = rand_below(&rand, 3) > 0;
        if (on) set(next, user, id, 10);
        if (!on) take_away(next, user, id);
        count = count + (on && !list[u][id]) - (!on && list[u][id]);
        list[u][id] = on;
        revoked_unref(r);
        r = next;
        assert_int_equal(revoked_count(r), count);
        assert_int_equal(has(r, user, id), on);
        unsigned other = (unsigned)rand_below(&rand, IDS);
        assert_int_equal(has(r, user, other), list[u][other]);
    }
    for (unsigned u = 0; u < USERS; u++) {
        char user[8];
        snprintf(user, sizeof user, "u%u", u);
        for (unsigned id = 0; id < IDS; id++) assert_int_equal(has(r, user, id), list[u][id]);
    }
    revoked_unref(r);
}

/* What: without memory a draft stays as it was, whichever allocation it is. */
static void no_memory(void **state)
{
    (void)state;
    struct revoked *base = new (NULL);
    for (unsigned i = 0; i < 30; i++) set(base, i % 2 == 0 ? "ann" : "bob", i, 10);
    for (int what = 0; what < 3; what++) {
        struct revoked_token t = token(what == 0 ? "cyd" : "ann", what == 2 ? 4 : 99, 10);
        for (unsigned n = 1;; n++) {
            struct revoked *r = NULL;
            no_memory_at = n;
            enum ior_err err = revoked_new(base, &r);
            if (err == IOR_OK) err = revoked_set(r, &t, what == 2);
            bool failed = no_memory_at == 0;
            no_memory_at = 0;
            assert_int_equal(err, failed ? IOR_E_NOMEM : IOR_OK);
            if (r != NULL && failed) {
                assert_int_equal(revoked_count(r), 30);
                assert_true(has(r, "ann", 4));
                assert_false(has(r, "ann", 99) || has(r, "cyd", 99));
            }
            revoked_unref(r);
            assert_int_equal(revoked_count(base), 30);
            if (!failed) break;
        }
    }
    revoked_unref(base);
}

/* ---- facts ---- */

#define KEY(user, hex) "revoked" FACT_SEP user FACT_SEP hex
#define HEX "00112233445566778899aabbccddeeff"

/* What: what is written is read again; the name in the key is folded. */
static void facts_there_and_back(void **state)
{
    (void)state;
    struct revoked_token t = {.until_s = 1700000000, .has_credential = true, .credential = 7};
    for (uint8_t i = 0; i < TOKEN_ID_BYTES; i++) t.id[i] = (uint8_t)(i * 17);
    for (int with_v = 0; with_v < 2; with_v++) {
        struct ior_buf key;
        struct ior_buf value;
        struct revoked_token back;
        ior_buf_init(&key);
        ior_buf_init(&value);
        t.has_credential = with_v == 1;
        revoked_fact_key(&key, IOR_SLICE("Ann"), t.id);
        revoked_fact_value(&value, &t);
        assert_true(ior_slice_eq(ior_buf_slice(&key), IOR_SLICE(KEY("ann", HEX))));
        struct fact f = {ior_buf_slice(&key), ior_buf_slice(&value)};
        assert_true(ior_slice_eq(f.value, with_v ? IOR_SLICE("{\"until\":1700000000,\"v\":7}")
                                                 : IOR_SLICE("{\"until\":1700000000}")));
        assert_true(revoked_fact_is(f.key));
        assert_int_equal(revoked_fact_read(&f, &back, NULL), IOR_OK);
        assert_true(ior_slice_eq(back.user, IOR_SLICE("ann")));
        assert_memory_equal(back.id, t.id, sizeof t.id);
        assert_int_equal(back.until_s, 1700000000);
        assert_int_equal(back.has_credential, with_v);
        if (with_v) assert_int_equal(back.credential, 7);
        f.value = (struct ior_slice){NULL, 0};
        assert_int_equal(revoked_fact_read(&f, &back, NULL), IOR_OK);
        ior_buf_done(&key);
        ior_buf_done(&value);
    }
    assert_false(revoked_fact_is(IOR_SLICE("revokedx")));
    assert_false(revoked_fact_is(IOR_SLICE("user" FACT_SEP "revoked")));
    assert_true(revoked_fact_is(IOR_SLICE("revoked")));
}

/* What: everything else is damage, and the text says where and what. */
static void damaged_facts(void **state)
{
    (void)state;
    static const char *const wrong[][3] = {
        {"revoked", "{\"until\":1}", "has not the parts"},
        {"revoked" FACT_SEP, "{\"until\":1}", "has not the parts"},
        {"revoked" FACT_SEP "ann", "{\"until\":1}", "has not the parts"},
        {KEY("", HEX), "{\"until\":1}", "the name"},
        {KEY("Ann", HEX), "{\"until\":1}", "the name"},
        {KEY("a\x7f", HEX), "{\"until\":1}", "the name"},
        {KEY("ann", ""), "{\"until\":1}", "hex digits"},
        {KEY("ann", "0011223344556677 899aabbccddeeff"), "{\"until\":1}", "hex digits"},
        {KEY("ann", "00112233445566778899AABBCCDDEEFF"), "{\"until\":1}", "hex digits"},
        {KEY("ann", HEX "0"), "{\"until\":1}", "hex digits"},
        {KEY("ann", HEX) FACT_SEP, "{\"until\":1}", "hex digits"},
        {KEY("ann", HEX), "", "JSON object"},
        {KEY("ann", HEX), "[]", "JSON object"},
        {KEY("ann", HEX), "{\"until\":1,\"until\":2}", "JSON object"},
        {KEY("ann", HEX), "{}", "\"until\""},
        {KEY("ann", HEX), "{\"until\":-1}", "\"until\""},
        {KEY("ann", HEX), "{\"until\":1.5}", "\"until\""},
        {KEY("ann", HEX), "{\"until\":\"1\"}", "\"until\""},
        {KEY("ann", HEX), "{\"until\":1,\"v\":-1}", "\"v\""},
        {KEY("ann", HEX), "{\"until\":1,\"v\":null}", "\"v\""},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct ior_why why = {""};
        struct revoked_token t;
        struct fact f = {ior_slice_str(wrong[i][0]), ior_slice_str(wrong[i][1])};
        assert_int_equal(revoked_fact_read(&f, &t, &why), IOR_E_CORRUPT);
        if (strstr(why.text, wrong[i][2]) == NULL || strstr(why.text, "fact revoked") == NULL)
            fail_msg("%zu: %s", i, why.text);
    }
    struct revoked_token t;
    struct fact later = {IOR_SLICE(KEY("ann", HEX)), IOR_SLICE("{\"until\":5,\"later\":[1]}")};
    assert_int_equal(revoked_fact_read(&later, &t, NULL), IOR_OK); /* a later version's */
}

/* What: the name of a token is BLAKE2b-128 of its text: fixed, for it is stored. */
static void name_of_a_token(void **state)
{
    (void)state;
    static const uint8_t want[TOKEN_ID_BYTES] = {0xcf, 0x4a, 0xb7, 0x91, 0xc6, 0x2b, 0x8d, 0x2b,
                                                 0x21, 0x09, 0xc9, 0x02, 0x75, 0x28, 0x78, 0x16};
    uint8_t id[TOKEN_ID_BYTES];
    token_id(IOR_SLICE("abc"), id);
    assert_memory_equal(id, want, sizeof want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_gone),
        cmocka_unit_test(versions_are_apart),
        cmocka_unit_test(walks),
        cmocka_unit_test(over_by_the_number),
        cmocka_unit_test(as_a_list),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(facts_there_and_back),
        cmocka_unit_test(damaged_facts),
        cmocka_unit_test(name_of_a_token),
    };
    return cmocka_run_group_tests_name("auth/revoked", tests, NULL, NULL);
}

/* test/unit/auth/test_policy_list.c - src/auth/policy_list.c: what a policy holds, as sorted lists;
 * and which grant decides. */
#include "facts.h"

#include <stdio.h>
#include <string.h>

#include "auth/policy_list.h"
#include "base/assert.h"

static void expect_rows(struct policy_rows *r, const char *const *wanted, size_t count)
{
    static const char kinds[] = "ug*";
    char shown[128];
    assert_int_equal(r->count, count);
    for (size_t i = 0; i < count; i++) {
        const struct policy_row *row = &r->rows[i];
        snprintf(shown, sizeof shown, "%c %.*s", kinds[row->kind], (int)row->name.size_bytes,
                 (const char *)row->name.data);
        assert_string_equal(shown, wanted[i]);
    }
}

#define EXPECT(r, ...)                                                                             \
    do {                                                                                           \
        static const char *const wanted[] = {__VA_ARGS__};                                         \
        expect_rows(r, wanted, IOR_LEN(wanted));                                                   \
        policy_rows_done(r);                                                                       \
    } while (0)

static struct policy *example(void)
{
    struct facts f = {0};
    facts_add(&f, "user|bob", FACTS_USER("[\"low\",\"gone\"]"));
    facts_add(&f, "user|Zoe", FACTS_USER("[]"));
    facts_add(&f, "user|ann", FACTS_USER("[\"top\"]"));
    facts_add(&f, "group|low", "{\"groups\":[\"mid\"]}");
    facts_add(&f, "group|mid", "{\"groups\":[\"top\"]}");
    facts_add(&f, "group|top", "{\"groups\":[]}");
    facts_add(&f, "grant|user|bob|bucket|b|", "{\"perms\":[\"get\"]}");
    facts_add(&f, "grant|group|top|bucket|b|", "{\"perms\":[\"get\",\"put\"]}");
    facts_add(&f, "grant|all||bucket|b|", "{\"perms\":[\"list\"]}");
    facts_add(&f, "grant|user|ann|stream|b|s", "{\"perms\":[\"delete\"]}");
    facts_add(&f, "grant|user|ann|bucket|b|", "{\"perms\":[]}");
    facts_add(&f, "grant|user|Zoe|any||", "{\"perms\":[\"viewstats\",\"put\"]}");
    facts_add(&f, "grant|group|mid|stream|log*|day-*", "{\"perms\":[\"delete\"]}");
    return facts_policy(&f);
}

/* What: every list has what is there, sorted, and nothing else: no phantoms. */
static void lists(void **state)
{
    (void)state;
    struct policy *p = example();
    struct policy_rows r;
    assert_int_equal(policy_list_users(p, &r), IOR_OK);
    assert_int_equal(policy_row_groups(&r.rows[2]), 2);
    assert_true(ior_slice_eq(policy_row_group(&r.rows[2], 0), IOR_SLICE("low")));
    EXPECT(&r, "u Zoe", "u ann", "u bob");
    assert_int_equal(policy_list_groups(p, &r), IOR_OK);
    assert_int_equal(r.rows[2].members, 2);
    assert_int_equal(policy_row_groups(&r.rows[0]), 1);
    assert_int_equal(policy_row_groups(&r.rows[2]), 0);
    EXPECT(&r, "g low", "g mid", "g top");
    assert_int_equal(policy_list_members(p, IOR_SLICE("top"), &r), IOR_OK);
    EXPECT(&r, "u ann", "g mid");
    assert_int_equal(policy_list_members(p, IOR_SLICE("gone"), &r), IOR_E_NOTFOUND);
    policy_rows_done(&r);
    assert_int_equal(policy_list_grants(p, IOR_SLICE("b"), IOR_SLICE(""), &r), IOR_OK);
    assert_int_equal(r.rows[0].perms, PERM_GET);
    assert_int_equal(r.rows[1].perms, PERM_GET | PERM_PUT);
    EXPECT(&r, "u bob", "g top", "* *");
    assert_int_equal(policy_list_grants(p, IOR_SLICE("b"), IOR_SLICE("s"), &r), IOR_OK);
    EXPECT(&r, "u ann");
    assert_int_equal(policy_list_grants(p, IOR_SLICE(""), IOR_SLICE(""), &r), IOR_OK);
    EXPECT(&r, "u Zoe");
    assert_int_equal(policy_list_grants(p, IOR_SLICE("log*"), IOR_SLICE("day-*"), &r), IOR_OK);
    EXPECT(&r, "g mid");
    assert_int_equal(policy_list_grants(p, IOR_SLICE("logs"), IOR_SLICE(""), &r), IOR_OK);
    assert_int_equal(r.count, 0);
    policy_rows_done(&r);
    policy_unref(p);
}

/* "" or "kind name on bucket/stream via path" */
static const char *why(const struct policy *p, const char *user, enum perm perm, const char *bucket,
                       const char *stream)
{
    static char out[256];
    static const char *const kinds[] = {"user", "group", "all"};
    struct policy_reason r;
    policy_explain(p, ior_slice_str(user), perm, ior_slice_str(bucket), ior_slice_str(stream), &r);
    assert_int_equal(r.allowed, facts_can(p, user, perm, bucket, stream));
    if (!r.allowed) return "";
    int n =
        snprintf(out, sizeof out, "%s %.*s on %.*s/%.*s", kinds[r.kind], (int)r.name.size_bytes,
                 (const char *)r.name.data, (int)r.bucket.size_bytes, (const char *)r.bucket.data,
                 (int)r.stream.size_bytes, (const char *)r.stream.data);
    for (size_t i = 0; i < r.path_count; i++)
        n += snprintf(out + n, sizeof out - (size_t)n, " %.*s", (int)r.path[i].size_bytes,
                      (const char *)r.path[i].data);
    return out;
}

/* What: the grant is named as it stands, with the groups that lead to it. */
static void reasons(void **state)
{
    (void)state;
    struct policy *p = example();
    assert_string_equal(why(p, "BOB", PERM_GET, "b", "s"), "user bob on b/");
    assert_string_equal(why(p, "bob", PERM_PUT, "b", "s"), "group top on b/ low mid top");
    assert_string_equal(why(p, "ann", PERM_PUT, "b", ""), "group top on b/ top");
    assert_string_equal(why(p, "nobody", PERM_LIST, "b", ""), "all * on b/");
    assert_string_equal(why(p, "ann", PERM_DELETE, "b", "s"), "user ann on b/s");
    assert_string_equal(why(p, "bob", PERM_DELETE, "logs", "day-1"),
                        "group mid on log*/day-* low mid");
    assert_string_equal(why(p, "zoe", PERM_PUT, "b", "s"), "user Zoe on /");
    assert_string_equal(why(p, "zoe", PERM_VIEWSTATS, "", ""), "user Zoe on /");
    assert_string_equal(why(p, "nobody", PERM_GET, "b", "s"), "");
    assert_string_equal(why(p, "bob", PERM_VIEWSTATS, "", ""), "");
    static char longer[BUCKET_BYTES_MAX + 2];
    memset(longer, 'b', sizeof longer - 1);
    assert_string_equal(why(p, "bob", PERM_GET, longer, ""), "");
    policy_unref(p);
}

/* What: a longer chain of groups than the answer holds is told from the user's end. */
static void long_paths(void **state)
{
    (void)state;
    struct facts f = {0};
    char key[32];
    char value[64];
    facts_add(&f, "user|bob", FACTS_USER("[\"g0\"]"));
    for (unsigned i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "group|g%u", i);
        snprintf(value, sizeof value, "{\"groups\":[\"g%u\"]}", i + 1);
        facts_add(&f, key, value);
    }
    facts_add(&f, "grant|group|g99|bucket|b|", "{\"perms\":[\"get\"]}");
    struct policy *p = facts_policy(&f);
    struct policy_reason r;
    policy_explain(p, IOR_SLICE("bob"), PERM_GET, IOR_SLICE("b"), IOR_SLICE(""), &r);
    assert_true(r.allowed);
    assert_int_equal(r.path_count, POLICY_PATH_MAX);
    assert_true(ior_slice_eq(r.path[0], IOR_SLICE("g0")));
    assert_true(ior_slice_eq(r.path[POLICY_PATH_MAX - 1], IOR_SLICE("g63")));
    policy_unref(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists),
        cmocka_unit_test(reasons),
        cmocka_unit_test(long_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

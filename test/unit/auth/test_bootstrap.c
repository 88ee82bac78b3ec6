/* test/unit/auth/test_bootstrap.c - policy_bootstrap (src/auth/bootstrap.c) over a store of facts
 * that keeps the last value of each key, as group 0 does. */
#include "facts.h"

#include "auth/fact.h"
#include "auth/password.h"

struct store {
    struct facts facts;
    size_t emitted;
    size_t fail_at; /* this emit, from 1 on, gives IO; 0: none */
};

static const struct bootstrap shipped = {
    .admin_username = "admin",
    .admin_password = "secret",
    .admin_password_is_shipped = true,
    .shipped_password = "secret",
    .anon_username = "anonymous",
    .anon_password = "secret",
};

static enum ior_err keep(void *ctx, struct fact fact)
{
    struct store *s = ctx;
    if (s->emitted + 1 == s->fail_at) return IOR_E_IO;
    s->emitted++;
    for (size_t i = 0; i < s->facts.count; i++) {
        if (!ior_slice_eq(s->facts.all[i].key, fact.key)) continue;
        free((void *)(uintptr_t)s->facts.all[i].value.data);
        s->facts.all[i].value = facts_copy(fact.value, false);
        return IOR_OK;
    }
    facts_add_slice(&s->facts, fact.key, fact.value);
    return IOR_OK;
}

static struct policy *policy_of(struct store *s)
{
    struct policy *p = NULL;
    struct ior_why why = {""};
    if (policy_build(s->facts.all, s->facts.count, &p, &why) != IOR_OK) fail_msg("%s", why.text);
    return p;
}

/* One start of a node: how many facts it emitted, and its answer. */
static size_t start(struct store *s, const struct bootstrap *b, enum ior_err expected)
{
    struct policy *now = policy_of(s);
    s->emitted = 0;
    assert_int_equal(policy_bootstrap(now, b, keep, s), expected);
    policy_unref(now);
    return s->emitted;
}

static void drop(struct store *s, const char *key)
{
    struct ior_slice k = facts_copy(ior_slice_str(key), true);
    size_t kept = 0;
    for (size_t i = 0; i < s->facts.count; i++) {
        if (ior_slice_eq(s->facts.all[i].key, k)) {
            free((void *)(uintptr_t)s->facts.all[i].key.data);
            free((void *)(uintptr_t)s->facts.all[i].value.data);
        } else {
            s->facts.all[kept++] = s->facts.all[i];
        }
    }
    assert_int_equal(kept + 1, s->facts.count);
    s->facts.count = kept;
    free((void *)(uintptr_t)k.data);
}

static bool has_password(const struct policy *p, const char *user, const char *password)
{
    const struct policy_user *u = policy_user(p, ior_slice_str(user));
    assert_non_null(u);
    return password_verify(u->password, ior_slice_str(password));
}

/* What: a first start writes exactly the facts of API.md section 4, in the format of
 *       policy.h, the mark last; a node without facts may give NULL. */
static void first_start(void **state)
{
    (void)state;
    static const char *const wanted[][2] = {
        {"group|g-authenticated", "{\"groups\":[]}"},
        {"group|g-admin", "{\"groups\":[\"g-authenticated\"]}"},
        {"user|admin", NULL},
        {"user|anonymous", NULL},
        {"grant|user|admin|any||", "{\"perms\":[\"get\",\"put\",\"delete\",\"list\",\"grant\","
                                   "\"adminusers\",\"viewstats\",\"admincluster\"]}"},
        {"grant|group|g-admin|bucket|$sys|", "{\"perms\":[\"get\"]}"},
        {"grant|group|g-authenticated|bucket|public|", "{\"perms\":[\"get\"]}"},
        {"grant|user|admin|bucket|public|", "{\"perms\":[\"put\"]}"},
        {"bootstrap", "{}"},
    };
    size_t count = sizeof wanted / sizeof wanted[0];
    struct store s = {0};
    assert_int_equal(policy_bootstrap(NULL, &shipped, keep, &s), IOR_OK);
    assert_int_equal(s.emitted, count);
    assert_int_equal(s.facts.count, count);
    for (size_t i = 0; i < count; i++) {
        struct ior_slice key = facts_copy(ior_slice_str(wanted[i][0]), true);
        assert_true(ior_slice_eq(s.facts.all[i].key, key));
        if (wanted[i][1] != NULL)
            assert_true(ior_slice_eq(s.facts.all[i].value, ior_slice_str(wanted[i][1])));
        free((void *)(uintptr_t)key.data);
    }
    facts_done(&s.facts);
}

/* What: after it admin may do everything, whoever logs in reads public and only admins
 *       read $sys, anonymous may do nothing; both have the configured passwords. */
static void first_policy(void **state)
{
    (void)state;
    struct store s = {0};
    start(&s, &shipped, IOR_OK);
    facts_add(&s.facts, "user|bob", FACTS_USER("[\"g-authenticated\"]"));
    facts_add(&s.facts, "user|eve", FACTS_USER("[\"g-admin\"]"));
    struct policy *p = policy_of(&s);
    for (unsigned bit = 1; bit <= PERM_ALL; bit <<= 1) {
        assert_true(facts_can(p, "admin", (enum perm)bit, "", ""));
        assert_true(facts_can(p, "admin", (enum perm)bit, "b", "s"));
        assert_false(facts_can(p, "anonymous", (enum perm)bit, "public", "s"));
        assert_false(facts_can(p, "nobody", (enum perm)bit, "public", "s"));
        assert_false(policy_allows_somewhere(p, IOR_SLICE("anonymous"), (enum perm)bit));
    }
    assert_true(facts_can(p, "bob", PERM_GET, "public", "s"));
    assert_false(facts_can(p, "bob", PERM_PUT, "public", "s"));
    assert_false(facts_can(p, "bob", PERM_GET, "$sys", "metrics"));
    assert_true(facts_can(p, "eve", PERM_GET, "$sys", "metrics"));
    assert_true(facts_can(p, "eve", PERM_GET, "public", "s"));
    assert_true(has_password(p, "admin", "secret"));
    assert_true(has_password(p, "anonymous", "secret"));
    const struct policy_user *admin = policy_user(p, IOR_SLICE("admin"));
    assert_int_equal(policy_user_groups(admin), 1);
    assert_true(ior_slice_eq(policy_user_group(admin, 0), IOR_SLICE("g-admin")));
    assert_int_equal(policy_user_groups(policy_user(p, IOR_SLICE("anonymous"))), 0);
    policy_unref(p);
    facts_done(&s.facts);
}

/* What: a second start writes nothing, and what was taken away since stays away. */
static void later_starts(void **state)
{
    (void)state;
    struct store s = {0};
    start(&s, &shipped, IOR_OK);
    assert_int_equal(start(&s, &shipped, IOR_OK), 0);
    drop(&s, "grant|group|g-authenticated|bucket|public|");
    drop(&s, "user|anonymous");
    drop(&s, "user|admin");
    assert_int_equal(start(&s, &shipped, IOR_OK), 0);
    struct bootstrap b = shipped;
    b.admin_password = "new";
    b.admin_password_is_shipped = false;
    assert_int_equal(start(&s, &b, IOR_OK), 0); /* nobody to give it to */
    facts_done(&s.facts);
}

/* What: a first start that fails at its n-th fact says so, and the next one writes the
 *       rest and nothing twice. */
static void cut_short(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 9; n++) {
        struct store s = {.fail_at = n};
        assert_int_equal(start(&s, &shipped, IOR_E_IO), n - 1);
        s.fail_at = 0;
        assert_int_equal(start(&s, &shipped, IOR_OK), 9 - (n - 1));
        assert_int_equal(s.facts.count, 9);
        assert_int_equal(start(&s, &shipped, IOR_OK), 0);
        facts_done(&s.facts);
    }
}

/* What: a configured password takes the place of the shipped one once, with a higher
 *       credential number (old tokens end) and the groups and grants as they were. */
static void password_replaced(void **state)
{
    (void)state;
    struct store s = {0};
    start(&s, &shipped, IOR_OK);
    struct bootstrap b = shipped;
    b.admin_username = "Admin"; /* the same user, spelt differently */
    b.admin_password = "a better one";
    b.admin_password_is_shipped = false;
    assert_int_equal(start(&s, &b, IOR_OK), 1);
    assert_int_equal(s.facts.count, 9);
    struct policy *p = policy_of(&s);
    const struct policy_user *admin = policy_user(p, IOR_SLICE("admin"));
    assert_string_equal(admin->name, "admin");
    assert_int_equal(admin->credential, 2);
    assert_int_equal(policy_user_groups(admin), 1);
    assert_true(has_password(p, "admin", "a better one"));
    assert_false(has_password(p, "admin", "secret"));
    assert_true(facts_can(p, "admin", PERM_ADMINCLUSTER, "", ""));
    policy_unref(p);
    assert_int_equal(start(&s, &b, IOR_OK), 0);
    b.admin_password = "yet another";
    assert_int_equal(start(&s, &b, IOR_OK), 0); /* only the shipped one is replaced */
    assert_int_equal(start(&s, &shipped, IOR_OK), 0);
    p = policy_of(&s);
    assert_true(has_password(p, "admin", "a better one"));
    policy_unref(p);
    facts_done(&s.facts);
}

/* What: names that no user may have, one name for both users, and impossible passwords
 *       are INVAL; for names nothing is written at all. */
static void refusals(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        {"", "anonymous"}, {"admin", ""},  {"a b", "anonymous"}, {"admin", "all"},
        {"any", "anon"},   {"bob", "bob"}, {"admin", "ADMIN"},
    };
    struct store s = {0};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct bootstrap b = shipped;
        b.admin_username = names[i][0];
        b.anon_username = names[i][1];
        assert_int_equal(start(&s, &b, IOR_E_INVAL), 0);
    }
    struct bootstrap b = shipped;
    b.admin_password = "";
    start(&s, &b, IOR_E_INVAL);
    struct policy *p = policy_of(&s);
    assert_null(policy_user(p, IOR_SLICE("admin")));
    policy_unref(p);
    facts_done(&s.facts);
}

/* What: keys and values that fact.c writes are read back as they were, for every kind,
 *       and what cannot be written is INVAL. */
static void written_facts(void **state)
{
    (void)state;
    struct ior_buf key;
    struct ior_buf value;
    ior_buf_init(&key);
    ior_buf_init(&value);
    const struct fact_key keys[] = {
        {.kind = FACT_USER, .name = IOR_SLICE("bob")},
        {.kind = FACT_GROUP, .name = IOR_SLICE("g/1|")},
        {.kind = FACT_GRANT, .role = FACT_ROLE_ALL, .scope = FACT_SCOPE_ANY},
        {.kind = FACT_GRANT,
         .role = FACT_ROLE_GROUP,
         .scope = FACT_SCOPE_BUCKET,
         .name = IOR_SLICE("g"),
         .bucket = IOR_SLICE("b/*")},
        {.kind = FACT_GRANT,
         .role = FACT_ROLE_USER,
         .scope = FACT_SCOPE_STREAM,
         .name = IOR_SLICE("u"),
         .bucket = IOR_SLICE("b"),
         .stream = IOR_SLICE("s:1 \xc3\xbc")},
        {.kind = FACT_BOOTSTRAP},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        struct fact_key k;
        ior_buf_clear(&key);
        fact_key_write(&key, &keys[i]);
        assert_int_equal(fact_key_read(ior_buf_slice(&key), &k, NULL), IOR_OK);
        assert_true(k.kind == keys[i].kind && k.role == keys[i].role && k.scope == keys[i].scope);
        assert_true(ior_slice_eq(k.name, keys[i].name));
        assert_true(ior_slice_eq(k.bucket, keys[i].bucket));
        assert_true(ior_slice_eq(k.stream, keys[i].stream));
    }
    const struct ior_slice names[] = {IOR_SLICE("g\"1\""), IOR_SLICE("\xc3\xbc")};
    assert_int_equal(fact_user_write(&value, FACTS_HASH, INT64_MAX, names, 2, IOR_SLICE("")),
                     IOR_OK);
    struct fact f = {IOR_SLICE("user" FACT_SEP "bob"), ior_buf_slice(&value)};
    struct fact_value v;
    assert_int_equal(fact_value_read(&f, FACT_USER, &v, NULL), IOR_OK);
    assert_string_equal(v.password, FACTS_HASH);
    assert_true(v.credential == INT64_MAX);
    assert_int_equal(v.groups_count, 2);
    assert_true(ior_slice_eq(fact_value_group(&v, 0), names[0]));
    assert_true(ior_slice_eq(fact_value_group(&v, 1), names[1]));
    fact_value_done(&v);

    ior_buf_clear(&value);
    assert_int_equal(fact_user_write(&value, FACTS_HASH, UINT64_MAX, names, 2, IOR_SLICE("")),
                     IOR_E_INVAL);
    const struct ior_slice no_utf8 = IOR_SLICE("\xff");
    assert_int_equal(fact_group_write(&value, &no_utf8, 1, IOR_SLICE("")), IOR_E_INVAL);
    static uint8_t large[FACT_BYTES_MAX];
    memset(large, 'g', sizeof large);
    const struct ior_slice too_large = ior_slice(large, sizeof large);
    assert_int_equal(fact_group_write(&value, &too_large, 1, IOR_SLICE("")), IOR_E_INVAL);
    assert_int_equal(value.size_bytes, 0);
    ior_buf_done(&key);
    ior_buf_done(&value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_start),   cmocka_unit_test(first_policy),
        cmocka_unit_test(later_starts),  cmocka_unit_test(cut_short),
        cmocka_unit_test(refusals),      cmocka_unit_test(password_replaced),
        cmocka_unit_test(written_facts),
    };
    if (password_init() != IOR_OK) return 1;
    return cmocka_run_group_tests_name("auth/bootstrap", tests, NULL, NULL);
}

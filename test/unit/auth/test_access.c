/* test/unit/auth/test_access.c - src/auth/access*.c: from a wish to the facts that it takes, or why
 * not. Each wish is applied as the strand does it, part by part. */
#include "facts.h"

#include <stdio.h>
#include <string.h>

#include "auth/access.h"
#include "auth/access_parts.h"
#include "no_memory.h"

#define OTHER_HASH                                                                                 \
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$YmFiYmFiYmFiYmFiYmFiYmFiYmE"

static struct policy *now;
static struct access_problem problem;
static unsigned parts;
static unsigned facts;

/* ---- the strand ---- */

static enum ior_err into_draft(void *ctx, struct fact f)
{
    facts++;
    return policy_set(ctx, &f, NULL);
}

/* One part. */
static enum ior_err apply_part(const struct access_wish *w, bool *more)
{
    struct policy *draft = NULL;
    enum ior_err err = policy_draft(now, &draft);
    if (err == IOR_OK) err = access_make(now, w, into_draft, draft, &problem, more);
    if (err == IOR_OK) err = access_judge(now, draft, w, &problem);
    if (err != IOR_OK) {
        policy_unref(draft);
        return err;
    }
    policy_unref(now);
    now = draft;
    return IOR_OK;
}

static enum ior_err apply(const struct access_wish *w)
{
    bool more = true;
    enum ior_err err = IOR_OK;
    facts = 0;
    for (parts = 0; err == IOR_OK && more; parts++) err = apply_part(w, &more);
    return err;
}

/* ---- wishes ---- */

#define NOW_S 1700000000ull

static struct ior_slice text(const char *s)
{
    return s == NULL ? (struct ior_slice){NULL, 0} : ior_slice_str(s);
}

static struct access_wish wish_of(const char *by, enum access_action action)
{
    const struct policy_user *u = policy_user(now, ior_slice_str(by));
    return (struct access_wish){.action = action,
                                .by = ior_slice_str(by),
                                .by_credential = u == NULL ? 0 : u->credential,
                                .hash = IOR_SLICE(FACTS_HASH),
                                .now_s = NOW_S,
                                .admin = IOR_SLICE("admin"),
                                .anonymous = IOR_SLICE("anonymous"),
                                .has_bucket = true,
                                .bucket_prefix = IOR_SLICE("_user_")};
}

static enum ior_err named(enum access_action action, const char *name)
{
    struct access_wish w = wish_of("admin", action);
    w.name = ior_slice_str(name);
    return apply(&w);
}

static enum ior_err member(enum access_action action, const char *group, const char *who)
{
    struct access_wish w = wish_of("admin", action);
    w.name = ior_slice_str(group);
    w.role = ior_slice_str(who);
    return apply(&w);
}

static enum ior_err grant_by(const char *by, enum access_action action, const char *role,
                             enum perm perm, const char *bucket, const char *stream)
{
    struct access_wish w = wish_of(by, action);
    w.role = ior_slice_str(role);
    w.perm = (uint8_t)perm;
    w.bucket = text(bucket);
    w.stream = text(stream);
    return apply(&w);
}

static enum ior_err grant(const char *role, enum perm perm, const char *bucket, const char *stream)
{
    return grant_by("admin", ACCESS_GRANT, role, perm, bucket, stream);
}

static enum ior_err revoke(const char *role, enum perm perm, const char *bucket, const char *stream)
{
    return grant_by("admin", ACCESS_REVOKE, role, perm, bucket, stream);
}

static bool can(const char *user, enum perm perm, const char *bucket, const char *stream)
{
    return facts_can(now, user, perm, bucket, stream);
}

static uint64_t credential(const char *user)
{
    const struct policy_user *u = policy_user(now, ior_slice_str(user));
    return u == NULL ? 0 : u->credential;
}

/* ---- start and end ---- */

/* As after a first start. */
static int set_up(void **state)
{
    (void)state;
    struct facts f = {0};
    facts_add(&f, "group|g-authenticated", "{\"groups\":[]}");
    facts_add(&f, "group|g-admin", "{\"groups\":[\"g-authenticated\"]}");
    facts_add(&f, "user|admin",
              "{\"password\":\"" FACTS_HASH "\",\"credential\":1,\"groups\":[\"g-admin\"]}");
    facts_add(&f, "user|anonymous",
              "{\"password\":\"" FACTS_HASH "\",\"credential\":1,\"groups\":[]}");
    facts_add(&f, "grant|user|admin|any||",
              "{\"perms\":[\"get\",\"put\",\"delete\",\"list\",\"grant\",\"adminusers\","
              "\"viewstats\",\"admincluster\"]}");
    facts_add(&f, "grant|group|g-authenticated|bucket|public|", "{\"perms\":[\"get\"]}");
    now = facts_policy(&f);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    policy_unref(now);
    now = NULL;
    return 0;
}

static void add_fact(const char *key, const char *value)
{
    struct fact f = {facts_copy(ior_slice_str(key), true), text(value)};
    struct policy *draft = NULL;
    assert_int_equal(policy_draft(now, &draft), IOR_OK);
    assert_int_equal(policy_set(draft, &f, NULL), IOR_OK);
    free((void *)(uintptr_t)f.key.data);
    policy_unref(now);
    now = draft;
}

/* ---- users ---- */

/* What: a new user is in g-authenticated and owns his bucket; his name is there once, whatever its
 * case; what is no name is refused with the reason. */
static void new_users(void **state)
{
    (void)state;
    assert_int_equal(named(ACCESS_USER_NEW, "Ann"), IOR_OK);
    assert_int_equal(credential("ann"), 1);
    assert_true(can("ann", PERM_GET, "public", "s"));
    for (unsigned perm = PERM_GET; perm <= PERM_GRANT; perm *= 2) {
        assert_true(can("Ann", (enum perm)perm, "_user_Ann", ""));
        assert_false(can("Ann", (enum perm)perm, "_user_ann", ""));
        assert_false(can("Ann", (enum perm)perm, "", ""));
    }
    assert_int_equal(named(ACCESS_USER_NEW, "aNN"), IOR_E_USEREXISTS);
    assert_int_equal(named(ACCESS_USER_NEW, "all"), IOR_E_USERNAME);
    assert_non_null(strstr(problem.why.text, "reserved"));
    assert_int_equal(named(ACCESS_USER_NEW, "a/b"), IOR_E_USERNAME);
    assert_int_equal(named(ACCESS_USER_NEW, ""), IOR_E_USERNAME);

    struct access_wish w = wish_of("admin", ACCESS_USER_NEW);
    w.name = IOR_SLICE("bob");
    w.has_bucket = false;
    assert_int_equal(apply(&w), IOR_OK);
    assert_false(can("bob", PERM_GET, "_user_bob", "s"));
    static char prefix[BUCKET_BYTES_MAX];
    memset(prefix, 'p', sizeof prefix);
    w.name = IOR_SLICE("cyd");
    w.has_bucket = true;
    w.bucket_prefix = ior_slice(prefix, sizeof prefix - 2);
    assert_int_equal(apply(&w), IOR_E_USERNAME);
    w.bucket_prefix.size_bytes--;
    assert_int_equal(apply(&w), IOR_OK);
}

/* What: a password changes hash, credential number and `since`, and nothing else. */
static void passwords(void **state)
{
    (void)state;
    assert_int_equal(named(ACCESS_USER_NEW, "Ann"), IOR_OK);
    add_fact("user|Ann", "{\"password\":\"" FACTS_HASH
                         "\",\"credential\":7,\"groups\":[\"g\",\"h\"],\"later\":[1]}");
    struct access_wish w = wish_of("admin", ACCESS_USER_CHANGE);
    w.name = IOR_SLICE("ANN");
    w.hash = IOR_SLICE(OTHER_HASH);
    assert_int_equal(apply(&w), IOR_OK);
    const struct policy_user *u = policy_user(now, IOR_SLICE("ann"));
    assert_string_equal(u->name, "Ann");
    assert_string_equal(u->password, OTHER_HASH);
    assert_int_equal(u->credential, 8);
    assert_int_equal(u->since_s, NOW_S);
    assert_int_equal(policy_user_groups(u), 2);
    struct ior_slice extra = policy_user_extra(u);
    assert_non_null(memmem(extra.data, extra.size_bytes, "\"later\":[1]", 11));
    /* What changes his groups leaves it. */
    assert_int_equal(named(ACCESS_GROUP_NEW, "team"), IOR_OK);
    assert_int_equal(member(ACCESS_MEMBER_ADD, "team", "ann"), IOR_OK);
    assert_int_equal(policy_user(now, IOR_SLICE("ann"))->since_s, NOW_S);
    w.name = IOR_SLICE("nobody");
    assert_int_equal(apply(&w), IOR_E_UNKNOWN);
}

/* What: who is deleted leaves nothing behind: no grants, no memberships, none on his bucket; made
 * again, he has a credential number that no token of his has. */
static void deleted_users(void **state)
{
    (void)state;
    assert_int_equal(named(ACCESS_USER_NEW, "ann"), IOR_OK);
    assert_int_equal(named(ACCESS_USER_NEW, "bob"), IOR_OK);
    assert_int_equal(named(ACCESS_GROUP_NEW, "team"), IOR_OK);
    assert_int_equal(member(ACCESS_MEMBER_ADD, "team", "ann"), IOR_OK);
    assert_int_equal(grant("team", PERM_PUT, "t", NULL), IOR_OK);
    assert_int_equal(grant("ann", PERM_PUT, "b", "s"), IOR_OK);
    assert_int_equal(grant("ann", PERM_VIEWSTATS, NULL, NULL), IOR_OK);
    add_fact("grant|user|ANN|bucket|odd|", "{\"perms\":[\"get\"]}");
    assert_int_equal(grant("bob", PERM_GET, "_user_ann", "s"), IOR_OK);
    assert_int_equal(grant("bob", PERM_GET, "_user_*", NULL), IOR_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(named(ACCESS_USER_CHANGE, "ann"), IOR_OK);
    }
    assert_int_equal(credential("ann"), 4);
    size_t before = now->grants_count;
    assert_int_equal(named(ACCESS_USER_DELETE, "Ann"), IOR_OK);
    assert_int_equal(parts, 1);
    assert_int_equal(now->grants_count, before - 5);
    assert_null(policy_user(now, IOR_SLICE("ann")));
    assert_null(policy_find_shelf(now, IOR_SLICE("_user_ann")));
    assert_true(can("bob", PERM_GET, "_user_x", "s")); /* the pattern is not his bucket */
    assert_int_equal(now->users.count, 3);
    assert_int_equal(policy_find_group(now, IOR_SLICE("team"))->members.count, 0);
    assert_int_equal(named(ACCESS_USER_DELETE, "ann"), IOR_OK);
    assert_int_equal(facts, 0);

    assert_int_equal(named(ACCESS_USER_NEW, "ANN"), IOR_OK);
    assert_true(credential("ann") > 4);
    assert_int_equal(policy_user(now, IOR_SLICE("ann"))->since_s, NOW_S);
    assert_int_equal(policy_user(now, IOR_SLICE("bob"))->since_s, 0); /* made before any was */
    assert_false(can("ann", PERM_PUT, "t", "s"));
    assert_false(can("ann", PERM_PUT, "b", "s"));
    assert_false(can("ann", PERM_GET, "odd", "s"));
    assert_false(can("ann", PERM_VIEWSTATS, "", ""));
    assert_int_equal(named(ACCESS_USER_DELETE, "bob"), IOR_OK); /* his number is lower */
    assert_int_equal(now->deleted_credential, 4);
    assert_int_equal(named(ACCESS_USER_NEW, "bob"), IOR_OK);
    assert_int_equal(credential("bob"), 5);
}

/* What: the two users of the configuration, and the two groups of a first start, stay. */
static void what_stays(void **state)
{
    (void)state;
    assert_int_equal(named(ACCESS_USER_DELETE, "Admin"), IOR_E_INVAL);
    assert_string_equal(problem.field, "username");
    assert_int_equal(named(ACCESS_USER_DELETE, "anonymous"), IOR_E_INVAL);
    assert_int_equal(named(ACCESS_GROUP_DELETE, "g-admin"), IOR_E_INVAL);
    assert_int_equal(named(ACCESS_GROUP_DELETE, "g-authenticated"), IOR_E_INVAL);
    assert_string_equal(problem.field, "name");
}

/* What: grants to a name that has no user, left behind by whatever, do not come to who is made. */
static void leftovers_are_not_inherited(void **state)
{
    (void)state;
    add_fact("grant|user|eve|bucket|b|", "{\"perms\":[\"get\"]}");
    add_fact("grant|group|h|bucket|c|", "{\"perms\":[\"get\"]}");
    add_fact("user|zoe", "{\"password\":\"" FACTS_HASH "\",\"credential\":1,\"groups\":[\"h\"]}");
    assert_int_equal(named(ACCESS_USER_NEW, "Eve"), IOR_OK);
    assert_int_equal(named(ACCESS_GROUP_NEW, "h"), IOR_OK);
    assert_false(can("eve", PERM_GET, "b", "s"));
    assert_false(can("zoe", PERM_GET, "c", "s"));
    assert_int_equal(policy_find_group(now, IOR_SLICE("h"))->members.count, 0);
}

/* ---- groups ---- */

/* What: users and groups join and leave, rights go through groups of groups; no circles. */
static void groups_and_members(void **state)
{
    (void)state;
    assert_int_equal(named(ACCESS_USER_NEW, "ann"), IOR_OK);
    assert_int_equal(named(ACCESS_GROUP_NEW, "inner"), IOR_OK);
    assert_int_equal(named(ACCESS_GROUP_NEW, "outer"), IOR_OK);
    assert_int_equal(named(ACCESS_GROUP_NEW, "outer"), IOR_E_EXISTS);
    assert_int_equal(named(ACCESS_GROUP_NEW, "from"), IOR_E_INVAL);
    assert_string_equal(problem.field, "name");
    assert_int_equal(grant("group/outer", PERM_PUT, "b", NULL), IOR_OK);
    assert_int_equal(member(ACCESS_MEMBER_ADD, "outer", "group/inner"), IOR_OK);
    assert_false(can("ann", PERM_PUT, "b", "s"));
    assert_int_equal(member(ACCESS_MEMBER_ADD, "inner", "ANN"), IOR_OK);
    assert_true(can("ann", PERM_PUT, "b", "s"));
    assert_int_equal(member(ACCESS_MEMBER_ADD, "inner", "user/ann"), IOR_OK);
    assert_int_equal(facts, 0);
    assert_int_equal(member(ACCESS_MEMBER_ADD, "inner", "outer"), IOR_E_INVAL);
    assert_string_equal(problem.field, "member");
    assert_int_equal(member(ACCESS_MEMBER_ADD, "inner", "inner"), IOR_E_INVAL);
    assert_int_equal(member(ACCESS_MEMBER_ADD, "nowhere", "ann"), IOR_E_NOTFOUND);
    assert_int_equal(member(ACCESS_MEMBER_ADD, "inner", "nobody"), IOR_E_NOTFOUND);
    assert_int_equal(member(ACCESS_MEMBER_ADD, "inner", "group/ann"), IOR_E_NOTFOUND);
    assert_int_equal(member(ACCESS_MEMBER_ADD, "inner", "*"), IOR_E_NOTFOUND);
    assert_int_equal(member(ACCESS_MEMBER_REMOVE, "outer", "inner"), IOR_OK);
    assert_false(can("ann", PERM_PUT, "b", "s"));
    assert_int_equal(member(ACCESS_MEMBER_REMOVE, "outer", "inner"), IOR_OK);
    assert_int_equal(member(ACCESS_MEMBER_REMOVE, "nowhere", "inner"), IOR_OK);
    assert_int_equal(member(ACCESS_MEMBER_REMOVE, "outer", "nobody"), IOR_OK);
    assert_int_equal(member(ACCESS_MEMBER_ADD, "inner", "outer"), IOR_OK); /* no circle now */
    assert_int_equal(member(ACCESS_MEMBER_REMOVE, "g-authenticated", "ann"), IOR_OK);
    assert_false(can("ann", PERM_GET, "public", "s"));
}

/* What: a group that is deleted takes its grants and memberships along, in parts if there are many;
 * made again, it is empty. */
static void deleted_groups(void **state)
{
    (void)state;
    char name[32];
    assert_int_equal(named(ACCESS_GROUP_NEW, "team"), IOR_OK);
    assert_int_equal(named(ACCESS_GROUP_NEW, "sub"), IOR_OK);
    assert_int_equal(member(ACCESS_MEMBER_ADD, "team", "sub"), IOR_OK);
    for (unsigned i = 0; i < 700; i++) {
        snprintf(name, sizeof name, "u%u", i);
        assert_int_equal(named(ACCESS_USER_NEW, name), IOR_OK);
        assert_int_equal(member(ACCESS_MEMBER_ADD, "team", name), IOR_OK);
    }
    for (unsigned i = 0; i < 300; i++) {
        snprintf(name, sizeof name, "s%u", i);
        assert_int_equal(grant("team", PERM_PUT, "b", name), IOR_OK);
    }
    assert_true(can("u9", PERM_PUT, "b", "s7"));
    assert_int_equal(named(ACCESS_GROUP_DELETE, "team"), IOR_OK);
    assert_int_equal(parts, 1002 / ACCESS_PART_FACTS + 1);
    assert_int_equal(facts, 700 + 1 + 300 + 1);
    assert_null(policy_find_group(now, IOR_SLICE("team")));
    assert_int_equal(named(ACCESS_GROUP_DELETE, "team"), IOR_OK);
    assert_int_equal(facts, 0);
    assert_int_equal(named(ACCESS_GROUP_NEW, "team"), IOR_OK);
    assert_int_equal(grant("team", PERM_PUT, "b", NULL), IOR_OK);
    assert_false(can("u9", PERM_PUT, "b", "s7"));
    assert_true(can("u9", PERM_GET, "public", "s"));
}

/* What: somebody with very many grants is deleted in parts; the last one takes all that is left. */
static void deleted_in_parts(void **state)
{
    (void)state;
    char name[32];
    assert_int_equal(named(ACCESS_USER_NEW, "ann"), IOR_OK);
    for (unsigned i = 0; i < 600; i++) {
        snprintf(name, sizeof name, "s%u", i);
        assert_int_equal(grant("ann", PERM_PUT, "b", name), IOR_OK);
    }
    struct access_wish w = wish_of("admin", ACCESS_USER_DELETE);
    w.name = IOR_SLICE("ann");
    bool more = false;
    assert_int_equal(apply_part(&w, &more), IOR_OK);
    assert_true(more);
    assert_non_null(policy_user(now, w.name));
    assert_int_equal(grant("ann", PERM_PUT, "b", "new"), IOR_OK); /* meanwhile */
    assert_int_equal(apply(&w), IOR_OK);
    assert_null(policy_find_user(now, w.name));
    assert_null(policy_find_shelf(now, IOR_SLICE("b")));
}

/* ---- grants ---- */

/* What: one fact a role and target; each permission comes and goes by itself; the last one takes
 * the fact away; again is nothing. */
static void grants(void **state)
{
    (void)state;
    assert_int_equal(named(ACCESS_USER_NEW, "ann"), IOR_OK);
    assert_int_equal(grant("ann", PERM_GET, "b", NULL), IOR_OK);
    assert_int_equal(grant("ann", PERM_PUT, "b", NULL), IOR_OK);
    assert_int_equal(grant("ANN", PERM_PUT, "b", NULL), IOR_OK);
    assert_int_equal(facts, 0);
    assert_int_equal(policy_find_shelf(now, IOR_SLICE("b"))->grants.count, 1);
    assert_int_equal(grant("ann", PERM_DELETE, "b", "s"), IOR_OK);
    assert_true(can("ann", PERM_DELETE, "b", "s"));
    assert_false(can("ann", PERM_DELETE, "b", "t"));
    assert_int_equal(revoke("ann", PERM_GET, "b", NULL), IOR_OK);
    assert_false(can("ann", PERM_GET, "b", "s"));
    assert_true(can("ann", PERM_PUT, "b", "s"));
    assert_int_equal(revoke("ann", PERM_PUT, "b", NULL), IOR_OK);
    assert_int_equal(policy_find_shelf(now, IOR_SLICE("b"))->grants.count, 1);
    assert_int_equal(revoke("ann", PERM_DELETE, "b", "s"), IOR_OK);
    assert_null(policy_find_shelf(now, IOR_SLICE("b")));
    assert_int_equal(revoke("ann", PERM_DELETE, "b", "s"), IOR_OK);
    assert_int_equal(facts, 0);

    assert_int_equal(grant("*", PERM_GET, "open", NULL), IOR_OK);
    assert_true(can("nobody", PERM_GET, "open", "s"));
    assert_int_equal(grant("ann", PERM_GET, "log*", NULL), IOR_OK);
    assert_int_equal(grant("ann", PERM_PUT, "c", "day-*"), IOR_OK);
    assert_true(can("ann", PERM_GET, "logs", "s") && can("ann", PERM_PUT, "c", "day-1"));
    assert_int_equal(grant("ann", PERM_LIST, NULL, NULL), IOR_OK);
    assert_true(can("ann", PERM_LIST, "", ""));
    assert_int_equal(grant("ann", PERM_ADMINUSERS, "c", "s"), IOR_OK); /* gives nothing */
    assert_int_equal(facts, 0);
}

/* What: what is no role there, or no permission there, is refused by its name. */
static void wrong_grants(void **state)
{
    (void)state;
    assert_int_equal(named(ACCESS_USER_NEW, "both"), IOR_OK);
    assert_int_equal(named(ACCESS_GROUP_NEW, "both"), IOR_OK);
    assert_int_equal(grant("nobody", PERM_GET, "b", NULL), IOR_E_INVAL);
    assert_string_equal(problem.field, "role");
    assert_int_equal(grant("", PERM_GET, "b", NULL), IOR_E_INVAL);
    assert_int_equal(grant("both", PERM_GET, "b", NULL), IOR_E_INVAL);
    assert_string_equal(problem.field, "role");
    assert_non_null(strstr(problem.why.text, "user/NAME"));
    assert_int_equal(grant("group/both", PERM_GET, "b", NULL), IOR_OK);
    assert_false(can("both", PERM_GET, "b", "s"));
    assert_int_equal(grant("user/both", PERM_GET, "b", NULL), IOR_OK);
    assert_true(can("both", PERM_GET, "b", "s"));
    static const struct {
        enum perm perm;
        const char *bucket;
        const char *stream;
    } wrong[] = {{PERM_GET, NULL, NULL},
                 {PERM_GRANT, NULL, NULL},
                 {PERM_LIST, "b", "s"},
                 {PERM_VIEWSTATS, "b", NULL},
                 {PERM_ADMINUSERS, "b", NULL}};
    for (size_t i = 0; i < IOR_LEN(wrong); i++) {
        assert_int_equal(grant("user/both", wrong[i].perm, wrong[i].bucket, wrong[i].stream),
                         IOR_E_INVAL);
        assert_string_equal(problem.field, "permission");
    }
}

/* What: a revocation takes it from all facts that give it, in whatever case they write the name,
 * and leaves the parts that it does not know. */
static void odd_facts(void **state)
{
    (void)state;
    assert_int_equal(named(ACCESS_USER_NEW, "ann"), IOR_OK);
    add_fact("grant|user|Ann|bucket|b|", "{\"perms\":[\"get\",\"put\"],\"until\":9}");
    add_fact("grant|user|ANN|bucket|b|", "{\"perms\":[\"get\"]}");
    assert_int_equal(revoke("ann", PERM_GET, "b", NULL), IOR_OK);
    assert_false(can("ann", PERM_GET, "b", "s"));
    assert_true(can("ann", PERM_PUT, "b", "s"));
    const struct fact_key key = {
        .kind = FACT_GRANT, .name = IOR_SLICE("Ann"), .bucket = IOR_SLICE("b")};
    const struct role_grant *g = policy_find_grant(now, &key);
    assert_non_null(g);
    assert_memory_equal(g->extra->data, "{\"until\":9}", g->extra->size_bytes);
    assert_int_equal(policy_find_shelf(now, IOR_SLICE("b"))->grants.count, 1);
}

/* ---- who may ---- */

/* What: users need adminusers, but for their own password; grants need `grant` there; and whoever
 * is no longer the one who was let in may nothing. */
static void who_may(void **state)
{
    (void)state;
    assert_int_equal(named(ACCESS_USER_NEW, "ann"), IOR_OK);
    assert_int_equal(named(ACCESS_USER_NEW, "bob"), IOR_OK);
    for (int action = ACCESS_USER_NEW; action <= ACCESS_MEMBER_REMOVE; action++) {
        struct access_wish w = wish_of("ann", (enum access_action)action);
        w.name = IOR_SLICE("bob");
        w.role = IOR_SLICE("bob");
        assert_int_equal(apply(&w), IOR_E_NOPERM);
    }
    struct access_wish own = wish_of("ann", ACCESS_USER_CHANGE);
    own.name = IOR_SLICE("ANN");
    assert_int_equal(apply(&own), IOR_OK);
    assert_int_equal(apply(&own), IOR_E_NOPERM); /* with the number of before */
    own.by_credential = credential("ann");
    assert_int_equal(named(ACCESS_USER_DELETE, "ann"), IOR_OK);
    assert_int_equal(apply(&own), IOR_E_NOPERM);
    assert_int_equal(named(ACCESS_USER_NEW, "ann"), IOR_OK);
    assert_int_equal(apply(&own), IOR_E_NOPERM);
    struct access_wish anon = wish_of("anonymous", ACCESS_USER_CHANGE);
    anon.name = IOR_SLICE("anonymous");
    assert_int_equal(apply(&anon), IOR_E_NOPERM); /* everybody could */

    assert_int_equal(grant_by("ann", ACCESS_GRANT, "bob", PERM_GET, "_user_ann", NULL), IOR_OK);
    assert_int_equal(grant_by("ann", ACCESS_GRANT, "bob", PERM_GET, "_user_ann", "d*"), IOR_OK);
    assert_int_equal(grant_by("ann", ACCESS_GRANT, "bob", PERM_GET, "_user_*", NULL), IOR_E_NOPERM);
    assert_int_equal(grant_by("ann", ACCESS_GRANT, "ann", PERM_GET, "public", NULL), IOR_E_NOPERM);
    assert_int_equal(grant_by("ann", ACCESS_GRANT, "ann", PERM_LIST, NULL, NULL), IOR_E_NOPERM);
    assert_int_equal(grant_by("bob", ACCESS_REVOKE, "ann", PERM_GET, "_user_ann", NULL),
                     IOR_E_NOPERM);
    assert_int_equal(grant("bob", PERM_GRANT, "_user_ann", "s"), IOR_OK);
    assert_int_equal(grant_by("bob", ACCESS_GRANT, "*", PERM_PUT, "_user_ann", "s"), IOR_OK);
    assert_int_equal(grant_by("bob", ACCESS_GRANT, "*", PERM_PUT, "_user_ann", NULL), IOR_E_NOPERM);
    assert_int_equal(grant("bob", PERM_ADMINUSERS, NULL, NULL), IOR_OK);
    assert_int_equal(grant_by("bob", ACCESS_GRANT, "bob", PERM_ADMINCLUSTER, NULL, NULL), IOR_OK);
    struct access_wish nobody = wish_of("not there", ACCESS_USER_NEW);
    nobody.name = IOR_SLICE("eve");
    assert_int_equal(apply(&nobody), IOR_E_NOPERM);
}

/* What: the configured admin keeps adminusers, by whatever way it would go; callers without a login
 * get no right to administer, by whatever way it would come. */
static void nobody_is_locked_out(void **state)
{
    (void)state;
    assert_int_equal(revoke("admin", PERM_ADMINUSERS, NULL, NULL), IOR_E_INVAL);
    assert_string_equal(problem.field, "role");
    assert_int_equal(grant("g-admin", PERM_ADMINUSERS, NULL, NULL), IOR_OK);
    assert_int_equal(revoke("admin", PERM_ADMINUSERS, NULL, NULL), IOR_OK); /* the group has it */
    assert_int_equal(member(ACCESS_MEMBER_REMOVE, "g-admin", "admin"), IOR_E_INVAL);
    assert_int_equal(revoke("g-admin", PERM_ADMINUSERS, NULL, NULL), IOR_E_INVAL);
    assert_true(can("admin", PERM_ADMINUSERS, "", ""));
    assert_int_equal(revoke("admin", PERM_LIST, NULL, NULL), IOR_OK);

    assert_int_equal(grant("*", PERM_ADMINUSERS, NULL, NULL), IOR_E_INVAL);
    assert_string_equal(problem.field, "role");
    assert_int_equal(grant("anonymous", PERM_ADMINCLUSTER, NULL, NULL), IOR_E_INVAL);
    assert_int_equal(member(ACCESS_MEMBER_ADD, "g-admin", "anonymous"), IOR_E_INVAL);
    assert_non_null(strstr(problem.why.text, "adminusers"));
    assert_int_equal(grant("*", PERM_VIEWSTATS, NULL, NULL), IOR_OK);
    assert_int_equal(grant("*", PERM_LIST, NULL, NULL), IOR_OK);
    /* A policy that is open already can be closed. */
    add_fact("grant|all||any||", "{\"perms\":[\"adminusers\",\"admincluster\"]}");
    assert_int_equal(grant("*", PERM_LIST, NULL, NULL), IOR_OK);
    assert_int_equal(revoke("*", PERM_ADMINCLUSTER, NULL, NULL), IOR_OK);
    assert_int_equal(revoke("*", PERM_ADMINUSERS, NULL, NULL), IOR_OK);
    assert_int_equal(grant("*", PERM_ADMINUSERS, NULL, NULL), IOR_E_INVAL);
}

/* ---- limits ---- */

/* What: one more than there may be is NOSPC with the number; what is there already still changes.
 */
static void limits(void **state)
{
    (void)state;
    char name[32];
    assert_int_equal(named(ACCESS_USER_NEW, "ann"), IOR_OK);
    for (unsigned i = 0; i < GRANT_PATTERNS_MAX; i++) {
        snprintf(name, sizeof name, "p%u*", i);
        assert_int_equal(grant("ann", PERM_GET, name, NULL), IOR_OK);
        assert_int_equal(grant("ann", PERM_GET, "b", name), IOR_OK);
    }
    assert_int_equal(grant("ann", PERM_GET, "q*", NULL), IOR_E_NOSPC);
    assert_non_null(strstr(problem.why.text, "256"));
    assert_int_equal(grant("ann", PERM_GET, "b", "q*"), IOR_E_NOSPC);
    assert_int_equal(grant("ann", PERM_PUT, "p1*", NULL), IOR_OK);
    assert_int_equal(grant("ann", PERM_PUT, "b", "p1*"), IOR_OK);
    assert_int_equal(grant("ann", PERM_GET, "c", "q*"), IOR_OK);

    for (unsigned i = 1; i < MEMBERSHIPS_MAX; i++) {
        snprintf(name, sizeof name, "g%u", i);
        assert_int_equal(named(ACCESS_GROUP_NEW, name), IOR_OK);
        assert_int_equal(member(ACCESS_MEMBER_ADD, name, "ann"), IOR_OK);
    }
    assert_int_equal(named(ACCESS_GROUP_NEW, "more"), IOR_OK);
    assert_int_equal(member(ACCESS_MEMBER_ADD, "more", "ann"), IOR_E_NOSPC);
    assert_non_null(strstr(problem.why.text, "64"));

    now->users_count = USERS_MAX;
    assert_int_equal(named(ACCESS_USER_NEW, "bob"), IOR_E_NOSPC);
    now->groups_count = GROUPS_MAX;
    assert_int_equal(named(ACCESS_GROUP_NEW, "h"), IOR_E_NOSPC);
    now->grants_count = GRANTS_MAX;
    assert_int_equal(grant("ann", PERM_GET, "d", NULL), IOR_E_NOSPC);
    assert_int_equal(grant("ann", PERM_LIST, "_user_ann", NULL), IOR_OK);
    now->users_count = 10;
    assert_int_equal(named(ACCESS_USER_NEW, "bob"), IOR_E_NOSPC); /* his bucket is a grant */
    now->grants_count = 10;
    struct policy_shelf *shelf = policy_find_shelf(now, IOR_SLICE("b"));
    size_t count = shelf->grants.count;
    shelf->grants.count = GRANTS_OF_BUCKET_MAX;
    assert_int_equal(grant("ann", PERM_GET, "b", "one more"), IOR_E_NOSPC);
    shelf->grants.count = count;
    assert_int_equal(grant("ann", PERM_GET, "b", "one more"), IOR_OK);
}

/* What: whichever allocation fails: NOMEM, and what holds is what held. */
static void no_memory(void **state)
{
    (void)state;
    assert_int_equal(named(ACCESS_USER_NEW, "ann"), IOR_OK);
    assert_int_equal(named(ACCESS_GROUP_NEW, "g"), IOR_OK);
    assert_int_equal(member(ACCESS_MEMBER_ADD, "g", "ann"), IOR_OK);
    assert_int_equal(grant("g", PERM_GET, "b", NULL), IOR_OK);
    unsigned failures = 0;
    for (int action = ACCESS_USER_NEW; action <= ACCESS_REVOKE; action++) {
        struct access_wish w = wish_of("admin", (enum access_action)action);
        w.name = action == ACCESS_USER_NEW                                      ? IOR_SLICE("new")
                 : action == ACCESS_GROUP_NEW                                   ? IOR_SLICE("newer")
                 : action == ACCESS_USER_CHANGE || action == ACCESS_USER_DELETE ? IOR_SLICE("ann")
                                                                                : IOR_SLICE("g");
        w.role = action == ACCESS_MEMBER_ADD ? IOR_SLICE("g-admin") : IOR_SLICE("g");
        w.bucket = IOR_SLICE("b");
        w.perm = action == ACCESS_GRANT ? PERM_PUT : PERM_GET;
        if (action == ACCESS_MEMBER_REMOVE) continue; /* the same code */
        enum ior_err err = IOR_E_NOMEM;
        struct policy *before = policy_ref(now);
        for (unsigned n = 1; err != IOR_OK; n++) {
            assert_in_range(n, 1, 500);
            no_memory_at = n;
            err = apply(&w);
            no_memory_at = 0;
            failures += err != IOR_OK;
            if (err != IOR_OK) assert_int_equal(err, IOR_E_NOMEM);
            if (err != IOR_OK) assert_ptr_equal(now, before);
        }
        policy_unref(now); /* each begins with the same */
        now = before;
    }
    assert_true(failures > 60);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(new_users),
        T(passwords),
        T(deleted_users),
        T(what_stays),
        T(groups_and_members),
        T(deleted_groups),
        T(deleted_in_parts),
        T(leftovers_are_not_inherited),
        T(grants),
        T(wrong_grants),
        T(odd_facts),
        T(who_may),
        T(nobody_is_locked_out),
        T(limits),
        T(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

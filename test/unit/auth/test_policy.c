/* test/unit/auth/test_policy.c - src/auth/policy.c, role.c and fact.c: what a policy says. */
#include "facts.h"

#include <stdio.h>
#include <time.h>

/* What: a grant holds on exactly its target: a stream, a bucket with every stream in
 *       it, or any; and only the permissions in its list. */
static void scopes(void **state)
{
    (void)state;
    struct facts f = {0};
    facts_add(&f, "user|bob", FACTS_USER("[]"));
    facts_add(&f, "user|eve", FACTS_USER("[]"));
    facts_add(&f, "grant|user|bob|stream|b|s", "{\"perms\":[\"get\"]}");
    facts_add(&f, "grant|user|bob|bucket|c|", "{\"perms\":[\"put\",\"list\"]}");
    facts_add(&f, "grant|user|eve|any||", "{\"perms\":[\"viewstats\"]}");
    struct policy *p = facts_policy(&f);
    assert_true(facts_can(p, "bob", PERM_GET, "b", "s"));
    assert_false(facts_can(p, "bob", PERM_PUT, "b", "s"));
    assert_false(facts_can(p, "bob", PERM_GET, "b", "s2"));
    assert_false(facts_can(p, "bob", PERM_GET, "b", ""));
    assert_false(facts_can(p, "bob", PERM_GET, "", ""));
    assert_false(facts_can(p, "eve", PERM_GET, "b", "s"));
    assert_true(facts_can(p, "bob", PERM_PUT, "c", "anything"));
    assert_true(facts_can(p, "bob", PERM_LIST, "c", ""));
    assert_false(facts_can(p, "bob", PERM_LIST, "cc", ""));
    assert_true(facts_can(p, "eve", PERM_VIEWSTATS, "", ""));
    assert_true(facts_can(p, "eve", PERM_VIEWSTATS, "b", "s"));
    assert_true(policy_allows_somewhere(p, IOR_SLICE("bob"), PERM_LIST));
    assert_false(policy_allows_somewhere(p, IOR_SLICE("bob"), PERM_GRANT));
    assert_true(policy_allows_somewhere(p, IOR_SLICE("eve"), PERM_VIEWSTATS));
    policy_unref(p);
}

/* What: a target that ends in `*` covers every name with that beginning, the
 *       beginning itself too, for buckets, for streams, and for both at once. */
static void patterns(void **state)
{
    (void)state;
    struct facts f = {0};
    facts_add(&f, "user|bob", FACTS_USER("[]"));
    facts_add(&f, "grant|user|bob|bucket|log*|", "{\"perms\":[\"get\"]}");
    facts_add(&f, "grant|user|bob|stream|b|day-*", "{\"perms\":[\"put\"]}");
    facts_add(&f, "grant|user|bob|stream|x*|y*", "{\"perms\":[\"delete\"]}");
    facts_add(&f, "grant|user|bob|stream|z*|exact", "{\"perms\":[\"delete\"]}");
    facts_add(&f, "grant|user|bob|stream|every|*", "{\"perms\":[\"grant\"]}");
    struct policy *p = facts_policy(&f);
    assert_true(facts_can(p, "bob", PERM_GET, "log", ""));
    assert_true(facts_can(p, "bob", PERM_GET, "logs", "s"));
    assert_false(facts_can(p, "bob", PERM_GET, "lo", "s"));
    assert_true(facts_can(p, "bob", PERM_PUT, "b", "day-"));
    assert_true(facts_can(p, "bob", PERM_PUT, "b", "day-1"));
    assert_false(facts_can(p, "bob", PERM_PUT, "b", "day"));
    assert_false(facts_can(p, "bob", PERM_PUT, "b", ""));
    assert_false(facts_can(p, "bob", PERM_PUT, "b2", "day-1"));
    assert_true(facts_can(p, "bob", PERM_DELETE, "x1", "y1"));
    assert_false(facts_can(p, "bob", PERM_DELETE, "x1", "z1"));
    assert_false(facts_can(p, "bob", PERM_DELETE, "x1", ""));
    assert_true(facts_can(p, "bob", PERM_DELETE, "z1", "exact"));
    assert_false(facts_can(p, "bob", PERM_DELETE, "z1", "exactly"));
    assert_true(facts_can(p, "bob", PERM_GRANT, "every", "s"));
    assert_false(facts_can(p, "bob", PERM_GRANT, "every", "")); /* streams, not the bucket */
    policy_unref(p);
}

/* What: permissions come through groups of groups; a cycle of groups ends and
 *       gives everybody in it what any of them has; a group without a fact gives nothing. */
static void groups(void **state)
{
    (void)state;
    struct facts f = {0};
    facts_add(&f, "grant|group|top|bucket|t|", "{\"perms\":[\"get\"]}");
    facts_add(&f, "user|bob", FACTS_USER("[\"low\",\"low\",\"gone\"]"));
    facts_add(&f, "user|eve", FACTS_USER("[\"ring1\"]"));
    facts_add(&f, "group|low", "{\"groups\":[\"mid\"]}");
    facts_add(&f, "group|mid", "{\"groups\":[\"top\",\"gone\"]}");
    facts_add(&f, "group|top", "{\"groups\":[]}");
    facts_add(&f, "group|ring1", "{\"groups\":[\"ring2\"]}");
    facts_add(&f, "group|ring2", "{\"groups\":[\"ring3\",\"ring2\"]}");
    facts_add(&f, "group|ring3", "{\"groups\":[\"ring1\"]}");
    facts_add(&f, "grant|group|ring3|any||", "{\"perms\":[\"put\"]}");
    facts_add(&f, "grant|group|gone|any||", "{\"perms\":[\"delete\"]}");
    facts_add(&f, "grant|user|gone|any||", "{\"perms\":[\"delete\"]}");
    struct policy *p = facts_policy(&f);
    assert_true(facts_can(p, "bob", PERM_GET, "t", "s"));
    assert_false(facts_can(p, "bob", PERM_PUT, "t", "s"));
    assert_false(facts_can(p, "bob", PERM_DELETE, "t", "s"));
    assert_true(facts_can(p, "eve", PERM_PUT, "t", "s"));
    assert_false(facts_can(p, "eve", PERM_GET, "t", "s"));
    assert_false(facts_can(p, "gone", PERM_DELETE, "t", "s"));
    assert_false(facts_can(p, "low", PERM_GET, "t", "s")); /* a group is no user */
    const struct policy_user *bob = policy_user(p, IOR_SLICE("bob"));
    assert_int_equal(policy_user_groups(bob), 2); /* what his fact names */
    assert_true(ior_slice_eq(policy_user_group(bob, 0), IOR_SLICE("low")));
    policy_unref(p);
}

/* What: who is no user has only what `*` has; the user anonymous has his own
 *       grants besides; a user has what `*` has too. */
static void everyone(void **state)
{
    (void)state;
    struct facts f = {0};
    facts_add(&f, "user|anonymous", FACTS_USER("[]"));
    facts_add(&f, "grant|user|anonymous|bucket|lobby|", "{\"perms\":[\"put\"]}");
    facts_add(&f, "grant|all||bucket|public|", "{\"perms\":[\"get\"]}");
    struct policy *p = facts_policy(&f);
    assert_true(facts_can(p, "nobody", PERM_GET, "public", "s"));
    assert_true(facts_can(p, "", PERM_GET, "public", "s"));
    assert_true(facts_can(p, "anonymous", PERM_GET, "public", "s"));
    assert_true(facts_can(p, "anonymous", PERM_PUT, "lobby", "s"));
    assert_false(facts_can(p, "nobody", PERM_PUT, "lobby", "s"));
    assert_false(facts_can(p, "*", PERM_PUT, "lobby", "s"));
    assert_true(policy_allows_somewhere(p, IOR_SLICE("nobody"), PERM_GET));
    assert_false(policy_allows_somewhere(p, IOR_SLICE("nobody"), PERM_PUT));
    policy_unref(p);
}

/* What: users are found without regard to case, keep the case they were made
 *       with, and carry what their fact says; grants to them follow the same rule. */
static void users_ignore_case(void **state)
{
    (void)state;
    struct facts f = {0};
    facts_add(&f, "user|BoB", FACTS_USER("[]"));
    facts_add(&f, "grant|user|bob|bucket|b|", "{\"perms\":[\"get\"]}");
    struct policy *p = facts_policy(&f);
    const struct policy_user *u = policy_user(p, IOR_SLICE("bOb"));
    assert_non_null(u);
    assert_string_equal(u->name, "BoB");
    assert_string_equal(u->password, FACTS_HASH);
    assert_int_equal(u->credential, 7);
    assert_true(facts_can(p, "BOB", PERM_GET, "b", ""));
    assert_null(policy_user(p, IOR_SLICE("bo")));
    assert_null(policy_user(p, IOR_SLICE("")));
    uint8_t longer[USERNAME_BYTES_MAX + 1];
    memset(longer, 'b', sizeof longer);
    assert_null(policy_user(p, ior_slice(longer, sizeof longer)));
    assert_false(policy_allows(p, ior_slice(longer, sizeof longer), PERM_GET, IOR_SLICE("b"),
                               IOR_SLICE("")));
    policy_unref(p);
}

/* What: names above their limits are nobody's, whatever the patterns say, and
 *       names of exactly the limit work. */
static void longest_names(void **state)
{
    (void)state;
    static char bucket[BUCKET_BYTES_MAX + 2];
    static char stream[STREAM_BYTES_MAX + 2];
    static char key[BUCKET_BYTES_MAX + STREAM_BYTES_MAX + 64];
    memset(bucket, 'b', BUCKET_BYTES_MAX);
    memset(stream, 's', STREAM_BYTES_MAX);
    struct facts f = {0};
    facts_add(&f, "user|bob", FACTS_USER("[]"));
    facts_add(&f, "user|eve", FACTS_USER("[]"));
    snprintf(key, sizeof key, "grant|user|bob|stream|%s|%s", bucket, stream);
    facts_add(&f, key, "{\"perms\":[\"get\"]}");
    facts_add(&f, "grant|user|eve|bucket|*|", "{\"perms\":[\"get\"]}");
    struct policy *p = facts_policy(&f);
    assert_true(facts_can(p, "bob", PERM_GET, bucket, stream));
    assert_true(facts_can(p, "eve", PERM_GET, bucket, stream));
    stream[STREAM_BYTES_MAX] = 's';
    assert_false(facts_can(p, "eve", PERM_GET, bucket, stream));
    bucket[BUCKET_BYTES_MAX] = 'b';
    assert_false(facts_can(p, "eve", PERM_GET, bucket, "s"));
    policy_unref(p);
}

/* What: facts of other parts are skipped, whatever they look like, and only facts of
 *       ours are found by policy_has_fact. */
static void other_facts(void **state)
{
    (void)state;
    struct facts f = {0};
    facts_add(&f, "node|n1", "\x00\xff");
    facts_add(&f, "users|bob", "no JSON");
    facts_add(&f, "", "");
    facts_add(&f, "a|b|c|d|e|f|g|h", "");
    facts_add(&f, "group|g", "{\"groups\":[],\"colour\":\"red\"}");
    facts_add(&f, "bootstrap", "{}");
    struct policy *p = facts_policy(&f);
    assert_true(policy_has_fact(p, IOR_SLICE("group" FACT_SEP "g")));
    assert_true(policy_has_fact(p, IOR_SLICE("bootstrap")));
    assert_false(policy_has_fact(p, IOR_SLICE("group" FACT_SEP "h")));
    assert_false(policy_has_fact(p, IOR_SLICE("node" FACT_SEP "n1")));
    assert_false(policy_has_fact(p, IOR_SLICE("")));
    policy_unref(p);
}

static const struct {
    const char *key;
    const char *value;
} bad_list[] = {
    {"user", FACTS_USER("[]")},
    {"user|", FACTS_USER("[]")},
    {"user|a|b", FACTS_USER("[]")},
    {"user|a\x01", FACTS_USER("[]")},
    {"user|a", ""},
    {"user|a", "{"},
    {"user|a", "[]"},
    {"user|a", "7"},
    {"user|a", "{}"},
    {"user|a", FACTS_USER("[]") " x"},
    {"user|a", FACTS_USER("{}")},
    {"user|a", FACTS_USER("[1]")},
    {"user|a", FACTS_USER("[\"\"]")},
    {"user|a", FACTS_USER("[\"g\\u001f\"]")},
    {"user|a", FACTS_USER("[\"g\\u0000\"]")},
    {"user|a", FACTS_USER("[],\"credential\":8")},
    {"user|a", "{\"password\":\"plain\",\"credential\":1,\"groups\":[]}"},
    {"user|a", "{\"password\":7,\"credential\":1,\"groups\":[]}"},
    {"user|a", "{\"password\":\"" FACTS_HASH "\",\"credential\":-1,\"groups\":[]}"},
    {"user|a", "{\"password\":\"" FACTS_HASH "\",\"credential\":1.5,\"groups\":[]}"},
    {"user|a", "{\"password\":\"" FACTS_HASH "\",\"credential\":\"1\",\"groups\":[]}"},
    {"user|a", "{\"password\":\"" FACTS_HASH "\",\"credential\":1}"},
    {"group", "{\"groups\":[]}"},
    {"group|", "{\"groups\":[]}"},
    {"group|g", "{}"},
    {"group|g", "{\"groups\":\"h\"}"},
    {"grant", "{\"perms\":[]}"},
    {"grant|user|a|any|", "{\"perms\":[]}"},
    {"grant|user|a|any|||", "{\"perms\":[]}"},
    {"grant|robot|a|any||", "{\"perms\":[]}"},
    {"grant|all|*|any||", "{\"perms\":[]}"},
    {"grant|user||any||", "{\"perms\":[]}"},
    {"grant|group||any||", "{\"perms\":[]}"},
    {"grant|user|a|planet||", "{\"perms\":[]}"},
    {"grant|user|a|any|b|", "{\"perms\":[]}"},
    {"grant|user|a|any||s", "{\"perms\":[]}"},
    {"grant|user|a|bucket||", "{\"perms\":[]}"},
    {"grant|user|a|bucket|b|s", "{\"perms\":[]}"},
    {"grant|user|a|stream|b|", "{\"perms\":[]}"},
    {"grant|user|a|stream||s", "{\"perms\":[]}"},
    {"grant|user|a|bucket|b\x02|", "{\"perms\":[]}"},
    {"grant|user|a|any||", "{}"},
    {"grant|user|a|any||", "{\"perms\":\"get\"}"},
    {"grant|user|a|any||", "{\"perms\":[\"fly\"]}"},
    {"grant|user|a|any||", "{\"perms\":[\"GET\"]}"},
    {"grant|user|a|any||", "{\"perms\":[\"get\\u0000\"]}"},
    {"grant|user|a|any||", "{\"perms\":[null]}"},
    {"bootstrap", ""},
    {"bootstrap|x", "{}"},
};

/* What: no fact of ours that cannot be read is passed over: each is CORRUPT, the
 *       reason names its key, and no policy comes out. */
static void bad_facts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_list / sizeof bad_list[0]; i++) {
        struct facts f = {0};
        struct policy *p = NULL;
        struct ior_why why = {""};
        facts_add(&f, "user|zoe", FACTS_USER("[\"g\"]"));
        facts_add(&f, bad_list[i].key, bad_list[i].value);
        facts_add(&f, "grant|user|zoe|stream|b|s", "{\"perms\":[\"get\"]}");
        if (policy_build(f.all, f.count, &p, &why) != IOR_E_CORRUPT)
            fail_msg("accepted: %s = %s", bad_list[i].key, bad_list[i].value);
        assert_null(p);
        char shown[128];
        snprintf(shown, sizeof shown, "fact %s: ", bad_list[i].key);
        for (char *c = shown; *c != 0; c++) {
            if (*c == '|') *c = '/';
            if (*c == 1 || *c == 2) *c = '?';
        }
        assert_memory_equal(why.text, shown, strlen(shown));
        assert_int_equal(policy_build(f.all, f.count, &p, NULL), IOR_E_CORRUPT);
        facts_done(&f);
    }
}

/* What: two facts with one key, or two users that differ only in case, are CORRUPT:
 *       which of them holds must not depend on their order. */
static void twice(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"user|bob", "user|bob"},
        {"user|bob", "user|Bob"},
        {"group|g", "group|g"},
        {"grant|user|bob|bucket|b|", "grant|user|bob|bucket|b|"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct facts f = {0};
        struct policy *p = NULL;
        struct ior_why why = {""};
        const char *value = i < 2    ? FACTS_USER("[]")
                            : i == 2 ? "{\"groups\":[]}"
                                     : "{\"perms\":[]}";
        facts_add(&f, pairs[i][0], value);
        facts_add(&f, pairs[i][1], value);
        assert_int_equal(policy_build(f.all, f.count, &p, &why), IOR_E_CORRUPT);
        assert_non_null(strstr(why.text, i == 1 ? "user/Bob" : "twice"));
        facts_done(&f);
    }
}

/* What: a value above FACT_BYTES_MAX is refused even when it is good JSON, one of
 *       exactly that size is read; a long key is shown cut. */
static void sizes(void **state)
{
    (void)state;
    uint8_t *value = malloc(FACT_BYTES_MAX + 1);
    assert_non_null(value);
    memset(value, ' ', FACT_BYTES_MAX + 1);
    memcpy(value, "{\"groups\":[]}", 13);
    struct facts f = {0};
    struct policy *p = NULL;
    struct ior_why why = {""};
    facts_add_slice(&f, IOR_SLICE("group|g"), ior_slice(value, FACT_BYTES_MAX));
    p = facts_policy(&f);
    policy_unref(p);
    facts_add_slice(&f, IOR_SLICE("group|g"), ior_slice(value, FACT_BYTES_MAX + 1));
    assert_int_equal(policy_build(f.all, f.count, &p, &why), IOR_E_CORRUPT);
    assert_non_null(strstr(why.text, "group/g"));
    facts_done(&f);
    free(value);

    static char key[4096];
    memset(key, 'k', sizeof key - 1);
    memcpy(key, "user|", 5);
    facts_add(&f, key, FACTS_USER("[]"));
    assert_int_equal(policy_build(f.all, f.count, &p, &why), IOR_E_CORRUPT);
    assert_non_null(strstr(why.text, "kkk...: "));
    facts_done(&f);
}

/* What: a policy lives until its last reference is given back, and NULL may be given back;
 *       one without a single fact allows nothing. */
static void references(void **state)
{
    (void)state;
    struct policy *p = NULL;
    assert_int_equal(policy_build(NULL, 0, &p, NULL), IOR_OK);
    assert_ptr_equal(policy_ref(p), p);
    policy_unref(p);
    assert_false(facts_can(p, "bob", PERM_GET, "b", "s"));
    assert_null(policy_user(p, IOR_SLICE("bob")));
    policy_unref(p);
    policy_unref(NULL);
}

/* ---- the same facts, asked naively ---- */

#define MODEL_USERS 12
#define MODEL_GROUPS 8
#define MODEL_GRANTS 60
#define MODEL_ROUNDS 60
#define MODEL_QUESTIONS 3000

enum role { ROLE_USER, ROLE_GROUP, ROLE_ALL };

struct model_grant {
    enum role role;
    size_t who; /* from MODEL_USERS or MODEL_GROUPS on: nobody */
    const char *bucket;
    const char *stream;
    unsigned perms;
};
struct model {
    uint64_t seed;
    bool user_in[MODEL_USERS][MODEL_GROUPS];
    bool group_in[MODEL_GROUPS][MODEL_GROUPS];
    struct model_grant grants[MODEL_GRANTS];
    size_t grants_count;
};

/* Few names, so that grants and questions meet; some are patterns. */
static const char *const buckets[] = {"a", "ab", "abc", "b", "ba", "a*", "ab*", "b*", "*"};
static const char *const streams[] = {"s", "st", "str", "t", "s*", "st*", "t*", "*"};
static const char *const perm_words[] = {"get",   "put",        "delete",    "list",
                                         "grant", "adminusers", "viewstats", "admincluster"};

static size_t below(struct model *m, size_t bound)
{
    m->seed = m->seed * 6364136223846793005u + 1442695040888963407u;
    return (size_t)((m->seed >> 33) % bound);
}

static void model_make(struct model *m)
{
    uint64_t seed = m->seed;
    *m = (struct model){.seed = seed};
    for (size_t u = 0; u < MODEL_USERS; u++)
        for (size_t g = 0; g < MODEL_GROUPS; g++) m->user_in[u][g] = below(m, 6) == 0;
    for (size_t a = 0; a < MODEL_GROUPS; a++)
        for (size_t b = 0; b < MODEL_GROUPS; b++) m->group_in[a][b] = below(m, 7) == 0;
    size_t wanted = below(m, MODEL_GRANTS + 1);
    for (size_t i = 0; i < wanted; i++) {
        struct model_grant g = {.role = (enum role)below(m, 3), .bucket = "", .stream = ""};
        if (g.role != ROLE_ALL)
            g.who = below(m, (g.role == ROLE_USER ? MODEL_USERS : MODEL_GROUPS) + 1);
        size_t scope = below(m, 12);
        if (scope > 0) g.bucket = buckets[below(m, sizeof buckets / sizeof buckets[0])];
        if (scope > 6) g.stream = streams[below(m, sizeof streams / sizeof streams[0])];
        g.perms = 1u << below(m, 8);
        if (below(m, 3) == 0) g.perms |= (unsigned)below(m, 256);
        bool again = false;
        for (size_t k = 0; k < m->grants_count; k++) {
            const struct model_grant *o = &m->grants[k];
            again |= o->role == g.role && o->who == g.who && strcmp(o->bucket, g.bucket) == 0 &&
                     strcmp(o->stream, g.stream) == 0;
        }
        if (!again) m->grants[m->grants_count++] = g;
    }
}

static size_t list_groups(char *out, size_t room, const bool *in)
{
    size_t n = (size_t)snprintf(out, room, "[");
    for (size_t g = 0; g < MODEL_GROUPS; g++) {
        if (in[g])
            n += (size_t)snprintf(out + n, room - n, "%s\"g%zu\"", out[n - 1] == '[' ? "" : ",", g);
    }
    return n + (size_t)snprintf(out + n, room - n, "]");
}

static void model_facts(struct model *m, struct facts *f)
{
    char key[128];
    char list[256];
    char value[512];
    for (size_t i = 0; i < m->grants_count; i++) {
        const struct model_grant *g = &m->grants[i];
        const char *scope = *g->bucket == 0 ? "any" : *g->stream == 0 ? "bucket" : "stream";
        if (g->role == ROLE_ALL)
            snprintf(key, sizeof key, "grant|all||%s|%s|%s", scope, g->bucket, g->stream);
        else
            snprintf(key, sizeof key, "grant|%s|%s%zu|%s|%s|%s",
                     g->role == ROLE_USER ? "user" : "group", g->role == ROLE_USER ? "U" : "g",
                     g->who, scope, g->bucket, g->stream);
        size_t n = (size_t)snprintf(value, sizeof value, "{\"perms\":[");
        for (unsigned b = 0; b < 8; b++) {
            if ((g->perms & (1u << b)) != 0)
                n += (size_t)snprintf(value + n, sizeof value - n, "%s\"%s\"",
                                      value[n - 1] == '[' ? "" : ",", perm_words[b]);
        }
        snprintf(value + n, sizeof value - n, "]}");
        facts_add(f, key, value);
    }
    for (size_t u = 0; u < MODEL_USERS; u++) {
        list_groups(list, sizeof list, m->user_in[u]);
        snprintf(key, sizeof key, "user|u%zu", u);
        snprintf(value, sizeof value, "{\"password\":\"%s\",\"credential\":1,\"groups\":%s}",
                 FACTS_HASH, list);
        facts_add(f, key, value);
    }
    for (size_t g = 0; g < MODEL_GROUPS; g++) {
        list_groups(list, sizeof list, m->group_in[g]);
        snprintf(key, sizeof key, "group|g%zu", g);
        snprintf(value, sizeof value, "{\"groups\":%s}", list);
        facts_add(f, key, value);
    }
    for (size_t i = f->count; i > 1; i--) { /* the order of facts must not matter */
        size_t k = below(m, i);
        struct fact swap = f->all[k];
        f->all[k] = f->all[i - 1];
        f->all[i - 1] = swap;
    }
}

static bool model_member(const struct model *m, size_t user, size_t group)
{
    bool in[MODEL_GROUPS];
    memcpy(in, m->user_in[user], sizeof in);
    for (size_t pass = 0; pass < MODEL_GROUPS; pass++)
        for (size_t a = 0; a < MODEL_GROUPS; a++)
            for (size_t b = 0; b < MODEL_GROUPS; b++) in[b] = in[b] || (in[a] && m->group_in[a][b]);
    return in[group];
}

static bool model_has_role(const struct model *m, size_t user, const struct model_grant *g)
{
    if (g->role == ROLE_ALL) return true;
    if (user >= MODEL_USERS) return false;
    if (g->role == ROLE_USER) return g->who == user;
    return g->who < MODEL_GROUPS && model_member(m, user, g->who);
}

static bool model_covers(const char *target, const char *name)
{
    size_t n = strlen(target);
    if (*name == 0) return false;
    if (target[n - 1] == '*') return strncmp(target, name, n - 1) == 0;
    return strcmp(target, name) == 0;
}

static bool model_allows(const struct model *m, size_t user, unsigned perm, const char *bucket,
                         const char *stream)
{
    for (size_t i = 0; i < m->grants_count; i++) {
        const struct model_grant *g = &m->grants[i];
        if ((g->perms & perm) == 0 || !model_has_role(m, user, g)) continue;
        if (*g->bucket == 0) return true;
        if (!model_covers(g->bucket, bucket)) continue;
        if (*g->stream == 0 || model_covers(g->stream, stream)) return true;
    }
    return false;
}

static bool model_somewhere(const struct model *m, size_t user, unsigned perm)
{
    for (size_t i = 0; i < m->grants_count; i++) {
        if ((m->grants[i].perms & perm) != 0 && model_has_role(m, user, &m->grants[i])) return true;
    }
    return false;
}

/* What: over random users, groups (with cycles) and grants (with patterns), every answer
 *       is that of a naive walk over all grants.
 * How:  IORIO_TEST_SEED repeats a run. */
static void same_as_naive(void **state)
{
    (void)state;
    const char *given = getenv("IORIO_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    print_message("IORIO_TEST_SEED=%llu\n", (unsigned long long)seed);
    struct model m = {.seed = seed};
    size_t yes = 0;
    for (int round = 0; round < MODEL_ROUNDS; round++) {
        struct facts f = {0};
        model_make(&m);
        model_facts(&m, &f);
        struct policy *p = facts_policy(&f);
        for (int q = 0; q < MODEL_QUESTIONS; q++) {
            size_t user = below(&m, MODEL_USERS + 2); /* the last two do not exist */
            unsigned perm = 1u << below(&m, 8);
            const char *bucket =
                below(&m, 10) == 0 ? "" : buckets[below(&m, sizeof buckets / sizeof buckets[0])];
            const char *stream = *bucket == 0 || below(&m, 4) == 0
                                     ? ""
                                     : streams[below(&m, sizeof streams / sizeof streams[0])];
            char name[8];
            snprintf(name, sizeof name, "%c%zu", below(&m, 2) == 0 ? 'u' : 'U', user);
            bool expected = model_allows(&m, user, perm, bucket, stream);
            if (facts_can(p, name, (enum perm)perm, bucket, stream) != expected)
                fail_msg("seed %llu round %d: %s perm %u on '%s' '%s' is not %d",
                         (unsigned long long)seed, round, name, perm, bucket, stream, expected);
            assert_int_equal(policy_allows_somewhere(p, ior_slice_str(name), (enum perm)perm),
                             model_somewhere(&m, user, perm));
            yes += expected;
        }
        policy_unref(p);
    }
    /* Both answers came often, or the comparison says little. */
    assert_in_range(yes, MODEL_ROUNDS * MODEL_QUESTIONS / 50,
                    MODEL_ROUNDS * MODEL_QUESTIONS / 50 * 49);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scopes),        cmocka_unit_test(patterns),
        cmocka_unit_test(groups),        cmocka_unit_test(everyone),
        cmocka_unit_test(longest_names), cmocka_unit_test(users_ignore_case),
        cmocka_unit_test(other_facts),   cmocka_unit_test(bad_facts),
        cmocka_unit_test(twice),         cmocka_unit_test(sizes),
        cmocka_unit_test(references),    cmocka_unit_test(same_as_naive),
    };
    return cmocka_run_group_tests_name("auth/policy", tests, NULL, NULL);
}

/* tools/bench/auth_cost.c - what a request pays for its token and its permission: the cache of
 * verified tokens and one question to the policy, as every route asks them. No server, one
 * thread; prints one line of JSON with nanoseconds for both together.
 *   one       the same token again and again (compared whole)
 *   many      1,000 tokens in turn (found by their keyed hash), all in the cache
 *   changed   as `one`, but the revoked tokens have changed before each request
 *   verify    a token that is not in the cache: its signature is checked
 * The policy has 1,000 users in 10 groups, 20 grants each; the question is one that a grant of the
 * user's own group on a bucket answers, the last one that is looked at.
 * Exit code: 0; 1 when an answer is wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "auth/policy.h"
#include "auth/token.h"
#include "base/assert.h"

enum { USERS = 1000, GROUPS = 10, GRANTS = 20, TOKENS = 1000, ROUNDS = 15, REQUESTS = 200000 };
#define NOW_S 1700000000ull
#define HASH                                                                                       \
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$"                                       \
    "aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"

static struct fact *facts;
static size_t facts_count;
static struct ior_buf tokens[TOKENS];
static struct token_key key;
static struct token_cache *cache;
static struct policy *policy;
static struct revoked *revoked;

static void add_fact(const char *fact_key, const char *value)
{
    facts = realloc(facts, (facts_count + 1) * sizeof *facts);
    char *k = strdup(fact_key);
    char *v = strdup(value);
    IOR_ASSERT(facts != NULL && k != NULL && v != NULL);
    facts[facts_count++] = (struct fact){ior_slice_str(k), ior_slice_str(v)};
}

static void make_facts(void)
{
    char k[256];
    char v[256];
    for (unsigned i = 0; i < GROUPS; i++) {
        snprintf(k, sizeof k, "group" FACT_SEP "g%u", i);
        add_fact(k, "{\"groups\":[]}");
        for (unsigned n = 0; n < GRANTS; n++) {
            snprintf(k, sizeof k,
                     "grant" FACT_SEP "group" FACT_SEP "g%u" FACT_SEP "bucket" FACT_SEP
                     "bucket-%u-%u" FACT_SEP,
                     i, i, n);
            add_fact(k, "{\"perms\":[\"get\",\"put\"]}");
        }
    }
    for (unsigned i = 0; i < USERS; i++) {
        snprintf(k, sizeof k, "user" FACT_SEP "user-%u", i);
        snprintf(v, sizeof v, "{\"password\":\"" HASH "\",\"credential\":1,\"groups\":[\"g%u\"]}",
                 i % GROUPS);
        add_fact(k, v);
        for (unsigned n = 0; n < GRANTS; n++) {
            snprintf(k, sizeof k,
                     "grant" FACT_SEP "user" FACT_SEP "user-%u" FACT_SEP "stream" FACT_SEP
                     "bucket-%u-0" FACT_SEP "stream-%u",
                     i, (i + 1) % GROUPS, n);
            add_fact(k, "{\"perms\":[\"get\"]}");
        }
    }
}

static void set_up(void)
{
    struct ior_why why = {""};
    make_facts();
    enum ior_err err = policy_build(facts, facts_count, &policy, &why);
    if (err == IOR_OK) err = token_cache_new(&cache);
    if (err == IOR_OK)
        err = token_key_init(&key, "hs512", IOR_SLICE("0123456789abcdef0123456789abcdef"), &why);
    if (err == IOR_OK) err = revoked_new(NULL, &revoked);
    for (unsigned i = 0; err == IOR_OK && i < TOKENS; i++) {
        char name[32];
        snprintf(name, sizeof name, "user-%u", i % USERS);
        err = token_make(&key, ior_slice_str(name), 1, NOW_S, 86400, &tokens[i]);
    }
    if (err != IOR_OK) IOR_WRONG("set-up");
}

/* One request of the user of token i. */
static bool request(unsigned i)
{
    struct token_holder h;
    char bucket[32];
    static const char prefix[] = "bucket-";
    memcpy(bucket, prefix, sizeof prefix);
    bucket[sizeof prefix - 1] = (char)('0' + i % USERS % GROUPS);
    memcpy(bucket + sizeof prefix, "-7", 3);
    return token_cache_user(cache, &key, ior_buf_slice(&tokens[i]), NOW_S, policy, revoked, &h) ==
               IOR_OK &&
           policy_user_allows(policy, h.user, PERM_PUT, ior_slice_str(bucket), IOR_SLICE("stream"));
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

enum how { ONE, MANY, CHANGED, VERIFY };

static void prepare(enum how how)
{
    if (how == VERIFY) token_cache_clear(cache);
    if (how != CHANGED) return;
    struct revoked *next = NULL;
    enum ior_err err = revoked_new(revoked, &next);
    IOR_ASSERT(err == IOR_OK);
    revoked_unref(revoked);
    revoked = next;
}

/* The best of some rounds: what else the machine does can only add. */
static double measure(enum how how)
{
    double best = 1e18;
    unsigned requests = how == VERIFY || how == CHANGED ? REQUESTS / 100 : REQUESTS;
    for (int round = 0; round < ROUNDS; round++) {
        double ns = 0;
        double from = now_ns();
        for (unsigned n = 0; n < requests; n++) {
            if (how == VERIFY || how == CHANGED) {
                prepare(how); /* not part of a request */
                from = now_ns();
            }
            if (!request(how == MANY ? n % TOKENS : 7)) {
                fprintf(stderr, "auth_cost: a good token was refused\n");
                exit(1);
            }
            if (how == VERIFY || how == CHANGED) ns += now_ns() - from;
        }
        if (ns == 0) ns = now_ns() - from;
        if (ns / requests < best) best = ns / requests;
    }
    return best;
}

int main(void)
{
    set_up();
    printf("{\"one_ns\":%.0f,\"many_ns\":%.0f,\"changed_ns\":%.0f,\"verify_ns\":%.0f}\n",
           measure(ONE), measure(MANY), measure(CHANGED), measure(VERIFY));
    return 0;
}

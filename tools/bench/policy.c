/* tools/bench/policy.c - what users and grants cost: a change, a question, a start, memory.
 *     build/release/tools/bench/policy [USERS]     10000 unless told otherwise
 * USERS users, each in g-authenticated and owner of a bucket; a tenth of them in one of 100 groups;
 * as many grants besides, on buckets of others. One thread, nothing but src/auth and the facts of
 * cluster: no journal, no workers. Times are processor time of the thread, so that others on the
 * machine do not count (but for the caches). */
#include <malloc.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/access.h"
#include "auth/policy_list.h"
#include "base/assert.h"
#include "cluster/meta_state.h"
#include "store/record.h"

#define HASH                                                                                       \
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$"                                       \
    "aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"

enum { SAMPLES = 2001 };

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void show(const char *what, uint64_t *ns, size_t count)
{
    qsort(ns, count, sizeof *ns, by_value);
    printf("%-44s median %8.1f us   p99 %8.1f us   max %8.1f us\n", what,
           (double)ns[count / 2] / 1000, (double)ns[count * 99 / 100] / 1000,
           (double)ns[count - 1] / 1000);
}

/* ---- a change, as the strand makes it ---- */

static struct ior_buf items;

static enum ior_err emit(void *ctx, struct fact f)
{
    (void)ctx;
    size_t attrs = attr_bytes(f.key.size_bytes);
    size_t bytes = item_bytes(attrs, f.value.size_bytes);
    uint8_t *at = ior_buf_room(&items, bytes);
    IOR_ASSERT(at != NULL);
    item_write(at, ITEM_SET, f.value.data == NULL ? 0 : ITEM_FLAG_JSON, attrs, f.value);
    attr_write(at + ITEM_HEAD_BYTES, ATTR_KEY, f.key);
    item_set_place(at, 0, 0, 0);
    ior_buf_grew(&items, bytes);
    return IOR_OK;
}

static struct meta_state *state;

/* How long the strand is held, the old state given back included. */
static uint64_t change(const struct access_wish *w)
{
    struct access_problem problem;
    uint64_t longest = 0;
    bool more = true;
    while (more) {
        uint64_t start = now_ns();
        struct meta_state *next = NULL;
        ior_buf_clear(&items);
        enum ior_err err = access_make(state->policy, w, emit, NULL, &problem, &more);
        if (err == IOR_OK && items.size_bytes > 0)
            err = meta_state_after(state, ior_buf_slice(&items), &next, NULL);
        if (err != IOR_OK) {
            printf("%s: %s\n", ior_err_name(err), problem.why.text);
            exit(1);
        }
        if (next != NULL) {
            meta_state_unref(state);
            state = next;
        }
        uint64_t ns = now_ns() - start;
        if (ns > longest) longest = ns;
    }
    return longest;
}

static struct access_wish wish(enum access_action action, const char *name, const char *role)
{
    return (struct access_wish){.action = action,
                                .by = IOR_SLICE("admin"),
                                .by_credential = 1,
                                .name = ior_slice_str(name),
                                .role = ior_slice_str(role),
                                .hash = IOR_SLICE(HASH),
                                .admin = IOR_SLICE("admin"),
                                .anonymous = IOR_SLICE("anonymous"),
                                .has_bucket = true,
                                .bucket_prefix = IOR_SLICE("_user_")};
}

static uint64_t simple(enum access_action action, const char *prefix, unsigned n)
{
    char name[64];
    snprintf(name, sizeof name, "%s%u", prefix, n);
    struct access_wish w = wish(action, name, "");
    return change(&w);
}

static uint64_t member(enum access_action action, unsigned group, unsigned user)
{
    char g[32];
    char u[32];
    snprintf(g, sizeof g, "team%u", group);
    snprintf(u, sizeof u, "user%u", user);
    struct access_wish w = wish(action, g, u);
    return change(&w);
}

static uint64_t grant(enum access_action action, unsigned user, unsigned owner, enum perm perm)
{
    char u[32];
    char b[32];
    snprintf(u, sizeof u, "user%u", user);
    snprintf(b, sizeof b, "_user_user%u", owner);
    struct access_wish w = wish(action, "", u);
    w.bucket = ior_slice_str(b);
    w.perm = (uint8_t)perm;
    return change(&w);
}

/* ---- what is measured ---- */

static void begin(void)
{
    struct meta_facts none = {0};
    struct meta_state *next = NULL;
    IOR_ASSERT(meta_state_of(&none, &state, NULL) == IOR_OK);
    const struct fact first[] = {
        {IOR_SLICE("user" FACT_SEP "admin"),
         IOR_SLICE("{\"password\":\"" HASH "\",\"credential\":1,\"groups\":[]}")},
        {IOR_SLICE("group" FACT_SEP "g-authenticated"), IOR_SLICE("{\"groups\":[]}")},
        {IOR_SLICE("grant" FACT_SEP "group" FACT_SEP "g-authenticated" FACT_SEP "bucket" FACT_SEP
                   "public" FACT_SEP),
         IOR_SLICE("{\"perms\":[\"get\"]}")},
        {IOR_SLICE("grant" FACT_SEP "user" FACT_SEP "admin" FACT_SEP "any" FACT_SEP FACT_SEP),
         IOR_SLICE("{\"perms\":[\"adminusers\",\"grant\"]}")}};
    for (size_t i = 0; i < IOR_LEN(first); i++) IOR_ASSERT(emit(NULL, first[i]) == IOR_OK);
    IOR_ASSERT(meta_state_after(state, ior_buf_slice(&items), &next, NULL) == IOR_OK);
    meta_state_unref(state);
    state = next;
}

static void changes(unsigned users)
{
    static uint64_t ns[SAMPLES];
    size_t n = 0;
    for (unsigned i = 0; i < SAMPLES; i++) ns[n++] = simple(ACCESS_USER_NEW, "new", i);
    show("make a user with his bucket", ns, n);
    n = 0;
    for (unsigned i = 0; i < SAMPLES; i++) ns[n++] = simple(ACCESS_USER_CHANGE, "new", i);
    show("change a password", ns, n);
    n = 0;
    for (unsigned i = 0; i < SAMPLES; i++)
        ns[n++] = grant(ACCESS_GRANT, (i * 7) % users, (i * 13) % users, PERM_DELETE);
    show("grant", ns, n);
    n = 0;
    for (unsigned i = 0; i < SAMPLES; i++)
        ns[n++] = grant(ACCESS_REVOKE, (i * 7) % users, (i * 13) % users, PERM_DELETE);
    show("revoke", ns, n);
    n = 0;
    for (unsigned i = 0; i < SAMPLES; i++)
        ns[n++] = member(ACCESS_MEMBER_ADD, i % 100, i * 3 % users);
    show("add a member", ns, n);
    n = 0;
    for (unsigned i = 0; i < SAMPLES; i++) ns[n++] = simple(ACCESS_USER_DELETE, "new", i);
    show("delete a user", ns, n);
    for (unsigned i = 0; i < users; i++) member(ACCESS_MEMBER_ADD, 0, i);
    ns[0] = simple(ACCESS_GROUP_DELETE, "team", 0);
    show("delete a group of all, its longest part", ns, 1);
}

static void questions(unsigned users)
{
    static uint64_t ns[SAMPLES];
    static const char *const what[] = {"question: his own bucket", "question: a grant on another's",
                                       "question: refused", "question: by his group on public"};
    unsigned yes = 0;
    for (unsigned kind = 0; kind < 4; kind++) {
        for (unsigned s = 0; s < SAMPLES; s++) {
            const struct policy_user *u[100];
            char bucket[100][32];
            for (unsigned i = 0; i < 100; i++) {
                unsigned id = (s * 100 + i) * 7919 % users;
                char name[32];
                snprintf(name, sizeof name, "user%u", id);
                u[i] = policy_user(state->policy, ior_slice_str(name));
                unsigned of = kind == 0 ? id : (id + (kind == 1 ? 1 : 2)) % users;
                snprintf(bucket[i], sizeof bucket[i], "_user_user%u", of);
                if (kind == 3) memcpy(bucket[i], "public", 7);
            }
            uint64_t start = now_ns();
            for (unsigned i = 0; i < 100; i++)
                yes += policy_user_allows(state->policy, u[i], PERM_GET, ior_slice_str(bucket[i]),
                                          IOR_SLICE("stream"));
            ns[s] = (now_ns() - start) / 100;
        }
        show(what[kind], ns, SAMPLES);
    }
    IOR_ASSERT(yes == 300u * SAMPLES);
}

static void whole(void)
{
    struct meta_state *again = NULL;
    struct policy_rows rows;
    uint64_t start = now_ns();
    IOR_ASSERT(meta_state_of(&state->facts, &again, NULL) == IOR_OK);
    printf("%-44s %.1f ms\n", "all of it from the facts, as a start does",
           (double)(now_ns() - start) / 1e6);
    start = now_ns();
    meta_state_unref(again);
    printf("%-44s %.1f ms\n", "and given back", (double)(now_ns() - start) / 1e6);
    start = now_ns();
    IOR_ASSERT(policy_list_users(state->policy, &rows) == IOR_OK);
    printf("%-44s %.1f ms\n", "sorted list of users (disk pool)", (double)(now_ns() - start) / 1e6);
    policy_rows_done(&rows);
}

int main(int argc, char **argv)
{
    unsigned users = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 10000;
    if (users < 100 || sodium_init() < 0) return 2;
    ior_buf_init(&items);
    begin();
    size_t before = mallinfo2().uordblks;
    uint64_t start = now_ns();
    for (unsigned i = 0; i < 100; i++) simple(ACCESS_GROUP_NEW, "team", i);
    for (unsigned i = 0; i < users; i++) simple(ACCESS_USER_NEW, "user", i);
    for (unsigned i = 0; i < users; i += 10) member(ACCESS_MEMBER_ADD, i / 10 % 100, i);
    size_t memory_users = mallinfo2().uordblks - before;
    for (unsigned i = 0; i < users; i++) grant(ACCESS_GRANT, i, (i + 1) % users, PERM_GET);
    size_t memory = mallinfo2().uordblks - before;
    printf(
        "%u users with a bucket, %u more grants: %.1f s to make, %.1f MB: %zu bytes a user, %zu a "
        "grant\n",
        users, users, (double)(now_ns() - start) / 1e9, (double)memory / 1e6, memory_users / users,
        (memory - memory_users) / users);
    changes(users);
    questions(users);
    whole();
    meta_state_unref(state);
    ior_buf_done(&items);
    return 0;
}

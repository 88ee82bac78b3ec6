/* test/fuzz/target_access.c - fuzz src/auth/access*.c: wishes, one after the other.
 * Input: one wish a line, its parts separated by TAB: action (a digit), who wishes, name, role,
 * permission, bucket, stream. Names are as they come: any bytes but TAB and line ends.
 * Besides not crashing: what access_make() emits can always be set, the policy that grew wish by
 * wish is the one made of the facts at once, the admin keeps adminusers, and callers
 * without a login do not get it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth/access.h"
#include "auth/policy_parts.h"
#include "base/assert.h"

#define HASH                                                                                       \
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$"                                       \
    "aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

enum { WISHES_MAX = 64, FACTS_MAX = 512, PARTS = 7 };

struct kept {
    struct fact all[FACTS_MAX];
    size_t count;
};

static struct ior_slice copy(struct ior_slice s)
{
    uint8_t *out = malloc(s.size_bytes + 1);
    IOR_ASSERT(out != NULL);
    if (s.size_bytes > 0) memcpy(out, s.data, s.size_bytes);
    return ior_slice(out, s.size_bytes);
}

static void drop(struct kept *k, size_t i)
{
    free((void *)(uintptr_t)k->all[i].key.data);
    free((void *)(uintptr_t)k->all[i].value.data);
    k->all[i] = k->all[--k->count];
}

static void keep(struct kept *k, struct fact f)
{
    for (size_t i = 0; i < k->count; i++) {
        if (!ior_slice_eq(k->all[i].key, f.key)) continue;
        drop(k, i);
        break;
    }
    if (f.value.data == NULL) return;
    IOR_ASSERT(k->count < FACTS_MAX);
    k->all[k->count++] = (struct fact){copy(f.key), copy(f.value)};
}

struct run {
    struct policy *draft;
    struct kept emitted; /* in their order, unsets too */
};

static enum ior_err emit(void *ctx, struct fact f)
{
    struct run *r = ctx;
    enum ior_err err = policy_set(r->draft, &f, NULL);
    IOR_ASSERT(err == IOR_OK);
    IOR_ASSERT(r->emitted.count < FACTS_MAX);
    struct fact mine = {copy(f.key), {NULL, 0}};
    if (f.value.data != NULL) mine.value = copy(f.value);
    r->emitted.all[r->emitted.count++] = mine;
    return IOR_OK;
}

/* The new policy, or the old one. */
static struct policy *grant_wish(struct policy *now, const struct access_wish *w, struct kept *k)
{
    static struct run r;
    struct access_problem problem;
    bool more = false;
    r.emitted.count = 0;
    IOR_ASSERT(policy_draft(now, &r.draft) == IOR_OK);
    enum ior_err err = access_make(now, w, emit, &r, &problem, &more);
    IOR_ASSERT(err != IOR_E_NOMEM && err != IOR_E_CORRUPT);
    if (err == IOR_OK) err = access_judge(now, r.draft, w, &problem);
    for (size_t i = 0; i < r.emitted.count; i++) {
        if (err == IOR_OK) keep(k, r.emitted.all[i]);
        free((void *)(uintptr_t)r.emitted.all[i].key.data);
        free((void *)(uintptr_t)r.emitted.all[i].value.data);
    }
    if (err != IOR_OK) {
        policy_unref(r.draft);
        return now;
    }
    policy_unref(now);
    return r.draft;
}

static struct policy *begin(struct kept *k)
{
    static const struct fact first[] = {
        {IOR_SLICE("user" FACT_SEP "admin"),
         IOR_SLICE("{\"password\":\"" HASH "\",\"credential\":1,\"groups\":[]}")},
        {IOR_SLICE("user" FACT_SEP "anonymous"),
         IOR_SLICE("{\"password\":\"" HASH
                   "\",\"credential\":1,\"groups\":[\"g-authenticated\"]}")},
        {IOR_SLICE("grant" FACT_SEP "user" FACT_SEP "admin" FACT_SEP "any" FACT_SEP FACT_SEP),
         IOR_SLICE("{\"perms\":[\"adminusers\",\"grant\"]}")},
        {IOR_SLICE("grant" FACT_SEP "user" FACT_SEP "left over" FACT_SEP "bucket" FACT_SEP
                   "b" FACT_SEP),
         IOR_SLICE("{\"perms\":[\"get\"]}")}};
    struct policy *p = NULL;
    for (size_t i = 0; i < IOR_LEN(first); i++) keep(k, first[i]);
    IOR_ASSERT(policy_build(k->all, k->count, &p, NULL) == IOR_OK);
    return p;
}

static struct access_wish wish_of(const struct policy *now, const struct ior_slice *parts)
{
    const struct policy_user *by = policy_user(now, parts[1]);
    uint8_t action = parts[0].size_bytes > 0 ? parts[0].data[0] : 0;
    return (struct access_wish){
        .action = (enum access_action)(action % (ACCESS_REVOKE + 1)),
        .by = parts[1],
        .by_credential = by == NULL ? 0 : by->credential,
        .name = parts[2],
        .role = parts[3],
        .perm = policy_perm(parts[4]),
        .bucket = parts[5].size_bytes > BUCKET_BYTES_MAX ? IOR_SLICE("b") : parts[5],
        .stream = parts[5].size_bytes == 0 || parts[6].size_bytes > STREAM_BYTES_MAX ? IOR_SLICE("")
                                                                                     : parts[6],
        .hash = IOR_SLICE(HASH),
        .admin = IOR_SLICE("admin"),
        .anonymous = IOR_SLICE("anonymous"),
        .has_bucket = true,
        .bucket_prefix = IOR_SLICE("_user_")};
}

/* Names of buckets and streams come from routes, which refuse control characters. */
static bool possible(const struct ior_slice *parts)
{
    for (size_t p = 5; p < PARTS; p++) {
        for (size_t i = 0; i < parts[p].size_bytes; i++) {
            if (parts[p].data[i] < 0x20 || parts[p].data[i] == 0x7f) return false;
        }
    }
    return true;
}

static struct ior_slice cut(struct ior_slice *rest, char at)
{
    const uint8_t *end = rest->size_bytes == 0 ? NULL : memchr(rest->data, at, rest->size_bytes);
    size_t n = end == NULL ? rest->size_bytes : (size_t)(end - rest->data);
    struct ior_slice part = ior_slice(rest->data, n);
    size_t used = end == NULL ? n : n + 1;
    *rest = ior_slice(rest->data + used, rest->size_bytes - used);
    return part;
}

static void check(const struct policy *p, const struct kept *k)
{
    static const struct ior_slice none = {NULL, 0};
    struct policy *again = NULL;
    IOR_ASSERT(policy_build(k->all, k->count, &again, NULL) == IOR_OK);
    IOR_ASSERT(again->users_count == p->users_count && again->users.count == p->users.count);
    IOR_ASSERT(again->groups_count == p->groups_count && again->groups.count == p->groups.count);
    IOR_ASSERT(again->grants_count == p->grants_count && again->shelves.count == p->shelves.count);
    policy_unref(again);
    IOR_ASSERT(policy_allows(p, IOR_SLICE("admin"), PERM_ADMINUSERS, none, none));
    IOR_ASSERT(!policy_allows(p, IOR_SLICE("anonymous"), PERM_ADMINUSERS, none, none));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static struct kept k;
    struct policy *now = begin(&k);
    struct ior_slice rest = ior_slice(data, size_bytes);
    for (unsigned n = 0; n < WISHES_MAX && rest.size_bytes > 0; n++) {
        struct ior_slice parts[PARTS];
        struct ior_slice line = cut(&rest, '\n');
        for (size_t i = 0; i < PARTS; i++) parts[i] = cut(&line, '\t');
        if (!possible(parts)) continue;
        const struct access_wish w = wish_of(now, parts);
        now = grant_wish(now, &w, &k);
        check(now, &k);
    }
    policy_unref(now);
    while (k.count > 0) drop(&k, 0);
    return 0;
}

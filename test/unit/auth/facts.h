/* test/unit/auth/facts.h - facts from text, for the tests of policies. In keys `|`
 * stands for FACT_SEP, which cannot be typed. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "auth/policy.h"

#define FACTS_MAX 1024
/* A well-formed hash of no known password. */
#define FACTS_HASH                                                                                 \
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$"                                       \
    "aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"
#define FACTS_USER(groups)                                                                         \
    "{\"password\":\"" FACTS_HASH "\",\"credential\":7,\"groups\":" groups "}"

struct facts {
    size_t count;
    struct fact all[FACTS_MAX];
};

/* Exact copies on the heap, so that a read past the end is seen by ASan. */
static inline struct ior_slice facts_copy(struct ior_slice s, bool is_key)
{
    uint8_t *copy = malloc(s.size_bytes + (s.size_bytes == 0));
    assert_non_null(copy);
    for (size_t i = 0; i < s.size_bytes; i++) {
        copy[i] = is_key && s.data[i] == '|' ? (uint8_t)FACT_SEP[0] : s.data[i];
    }
    return ior_slice(copy, s.size_bytes);
}

static inline void facts_add_slice(struct facts *f, struct ior_slice key, struct ior_slice value)
{
    assert_true(f->count < FACTS_MAX);
    f->all[f->count++] = (struct fact){facts_copy(key, true), facts_copy(value, false)};
}

static inline void facts_add(struct facts *f, const char *key, const char *value)
{
    facts_add_slice(f, ior_slice_str(key), ior_slice_str(value));
}

static inline void facts_done(struct facts *f)
{
    for (size_t i = 0; i < f->count; i++) {
        free((void *)(uintptr_t)f->all[i].key.data);
        free((void *)(uintptr_t)f->all[i].value.data);
    }
    f->count = 0;
}

/* Build, throw the facts away (a policy must not need them), and give the policy. */
static inline struct policy *facts_policy(struct facts *f)
{
    struct policy *p = NULL;
    struct ior_why why = {""};
    if (policy_build(f->all, f->count, &p, &why) != IOR_OK) fail_msg("%s", why.text);
    facts_done(f);
    return p;
}

static inline bool facts_can(const struct policy *p, const char *user, enum perm perm,
                             const char *bucket, const char *stream)
{
    return policy_allows(p, ior_slice_str(user), perm, ior_slice_str(bucket),
                         ior_slice_str(stream));
}

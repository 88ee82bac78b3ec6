/* test/fuzz/target_facts.c - fuzz src/auth/policy_set.c, fact.c and role.c.
 * Input: one fact a line, key TAB value; `|` in a key stands for FACT_SEP.
 * Besides not crashing: a refusal has a reason, and the answers of a policy fit
 * together (any includes every bucket, a bucket every stream in it, and a
 * permission on something is a permission somewhere). */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth/policy.h"
#include "base/assert.h"

#define FACTS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static struct ior_slice copy(const uint8_t *data, size_t size_bytes, bool is_key)
{
    uint8_t *out = malloc(size_bytes + (size_bytes == 0));
    IOR_ASSERT(out != NULL);
    for (size_t i = 0; i < size_bytes; i++) {
        out[i] = is_key && data[i] == '|' ? (uint8_t)FACT_SEP[0] : data[i];
    }
    return ior_slice(out, size_bytes);
}

static size_t read_facts(const uint8_t *data, size_t size_bytes, struct fact *facts)
{
    size_t count = 0;
    for (size_t at = 0; at < size_bytes && count < FACTS_MAX;) {
        const uint8_t *line = memchr(data + at, '\n', size_bytes - at);
        size_t end = line == NULL ? size_bytes : (size_t)(line - data);
        const uint8_t *tab = end == at ? NULL : memchr(data + at, '\t', end - at);
        size_t key_end = tab == NULL ? end : (size_t)(tab - data);
        size_t value_at = tab == NULL ? end : key_end + 1;
        facts[count++] = (struct fact){copy(data + at, key_end - at, true),
                                       copy(data + value_at, end - value_at, false)};
        at = end + 1;
    }
    return count;
}

static void ask(const struct policy *p, struct ior_slice user)
{
    static const struct ior_slice none = {NULL, 0};
    for (unsigned bit = 1; bit <= PERM_ALL; bit <<= 1) {
        enum perm perm = (enum perm)bit;
        bool any = policy_allows(p, user, perm, none, none);
        bool bucket = policy_allows(p, user, perm, IOR_SLICE("b"), none);
        bool stream = policy_allows(p, user, perm, IOR_SLICE("b"), IOR_SLICE("s"));
        IOR_ASSERT(!any || bucket);
        IOR_ASSERT(!bucket || stream);
        IOR_ASSERT(!stream || policy_allows_somewhere(p, user, perm));
        /* What everybody has, he has. */
        IOR_ASSERT(stream || !policy_allows(p, none, perm, IOR_SLICE("b"), IOR_SLICE("s")));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct fact facts[FACTS_MAX];
    size_t count = read_facts(data, size_bytes, facts);
    struct policy *p = NULL;
    struct ior_why why = {""};
    enum ior_err err = policy_build(facts, count, &p, &why);
    IOR_ASSERT(err == IOR_OK || err == IOR_E_CORRUPT);
    IOR_ASSERT(err == IOR_OK || (why.text[0] != 0 && p == NULL));
    for (size_t i = 0; i < count; i++) {
        if (err == IOR_OK && !policy_has_fact(p, facts[i].key)) { /* a fact of another part */
            IOR_ASSERT(!ior_slice_starts(facts[i].key, IOR_SLICE("user" FACT_SEP)));
        }
        if (err == IOR_OK && ior_slice_starts(facts[i].key, IOR_SLICE("user" FACT_SEP))) {
            struct ior_slice name = ior_slice(facts[i].key.data + 5, facts[i].key.size_bytes - 5);
            const struct policy_user *u = policy_user(p, name);
            IOR_ASSERT(u != NULL);
            for (size_t g = 0; g < policy_user_groups(u); g++)
                IOR_ASSERT(policy_user_group(u, g).size_bytes > 0);
            ask(p, name);
        }
    }
    for (size_t i = 0; i < count; i++) {
        free((void *)(uintptr_t)facts[i].key.data);
        free((void *)(uintptr_t)facts[i].value.data);
    }
    if (err == IOR_OK) {
        ask(p, IOR_SLICE("bob"));
        ask(p, IOR_SLICE("nobody at all"));
        policy_unref(p);
    }
    return 0;
}

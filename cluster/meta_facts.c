/* cluster/meta_facts.c - see meta_facts.h. A fact is one piece of memory; a new value replaces
 * it. Failure mode: no memory, nothing is changed. */
#include "cluster/meta_facts.h"

#include <stdlib.h>
#include <string.h>

#include "auth/revoked.h"
#include "base/assert.h"
#include "base/hash.h"
#include "cluster/retention_fact.h"

struct stored_fact {
    struct ior_shared shared;
    size_t key_bytes;
    size_t value_bytes;
    uint8_t bytes[]; /* key, then value */
};

static void stored_free(struct ior_shared *s)
{
    free(IOR_CONTAINER(s, struct stored_fact, shared));
}

static const struct stored_fact *stored_at(const struct ior_shared *s)
{
    return (const struct stored_fact *)(const void *)s; /* it is the first member */
}

static struct ior_slice key_of(const struct stored_fact *f)
{
    return ior_slice(f->bytes, f->key_bytes);
}

static bool same_key(const struct ior_shared *object, const void *key)
{
    return ior_slice_eq(key_of(stored_at(object)), *(const struct ior_slice *)key);
}

struct meta_facts meta_facts_copy(const struct meta_facts *f)
{
    return (struct meta_facts){ior_cowmap_copy(&f->access), ior_cowmap_copy(&f->retention),
                               ior_cowmap_copy(&f->revoked)};
}

void meta_facts_done(struct meta_facts *f)
{
    ior_cowmap_done(&f->access);
    ior_cowmap_done(&f->retention);
    ior_cowmap_done(&f->revoked);
}

enum ior_err meta_facts_set(struct meta_facts *facts, struct ior_slice key, struct ior_slice value)
{
    struct ior_cowmap *part = retention_fact_is(key) ? &facts->retention
                              : revoked_fact_is(key) ? &facts->revoked
                                                     : &facts->access;
    uint64_t hash = ior_hash(key);
    if (value.data == NULL) return ior_cowmap_remove(part, hash, same_key, &key);
    struct stored_fact *f = malloc(sizeof *f + key.size_bytes + value.size_bytes);
    if (f == NULL) return IOR_E_NOMEM;
    ior_shared_init(&f->shared, stored_free);
    f->key_bytes = key.size_bytes;
    f->value_bytes = value.size_bytes;
    memcpy(f->bytes, key.data, key.size_bytes);
    if (value.size_bytes > 0) memcpy(f->bytes + key.size_bytes, value.data, value.size_bytes);
    enum ior_err err = ior_cowmap_set(part, hash, same_key, &key, &f->shared);
    ior_shared_unref(&f->shared);
    return err;
}

bool meta_facts_next(struct ior_cowmap_walk *w, struct fact *ret)
{
    const struct ior_shared *s = ior_cowmap_next(w);
    if (s == NULL) return false;
    const struct stored_fact *f = stored_at(s);
    *ret = (struct fact){key_of(f), ior_slice(f->bytes + f->key_bytes, f->value_bytes)};
    return true;
}

/* cluster/meta_facts.c - see meta_facts.h. A fact is one piece of memory; a new value replaces
 * it. Failure mode: no memory, nothing is changed. */
#include "cluster/meta_facts.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "cluster/retention_fact.h"

struct stored_fact {
    size_t key_bytes;
    size_t value_bytes;
    uint8_t bytes[]; /* key, then value */
};

static struct ior_slice key_of(const struct stored_fact *f)
{
    return ior_slice(f->bytes, f->key_bytes);
}

static bool same_key(const void *object, const void *key)
{
    return ior_slice_eq(key_of(object), *(const struct ior_slice *)key);
}

void meta_facts_init(struct meta_facts *f)
{
    ior_map_init(&f->access);
    ior_map_init(&f->retention);
}

static void free_part(struct ior_map *part)
{
    size_t pos = 0;
    void *f;
    while ((f = ior_map_next(part, &pos)) != NULL) free(f);
    ior_map_done(part);
}

void meta_facts_done(struct meta_facts *f)
{
    free_part(&f->access);
    free_part(&f->retention);
}

enum ior_err meta_facts_set(struct meta_facts *facts, struct ior_slice key, struct ior_slice value)
{
    struct ior_map *part = retention_fact_is(key) ? &facts->retention : &facts->access;
    uint64_t hash = ior_hash(key);
    struct stored_fact *f = NULL;
    if (value.data != NULL) {
        f = malloc(sizeof *f + key.size_bytes + value.size_bytes);
        if (f == NULL) return IOR_E_NOMEM;
        f->key_bytes = key.size_bytes;
        f->value_bytes = value.size_bytes;
        memcpy(f->bytes, key.data, key.size_bytes);
        if (value.size_bytes > 0) memcpy(f->bytes + key.size_bytes, value.data, value.size_bytes);
    }
    struct stored_fact *old = ior_map_find(part, hash, same_key, &key);
    if (old != NULL) { /* then there is room for the new one */
        ior_map_remove(part, hash, old);
        free(old);
    }
    enum ior_err err = f == NULL ? IOR_OK : ior_map_add(part, hash, f);
    if (err != IOR_OK) free(f);
    return err;
}

bool meta_facts_next(const struct ior_map *part, size_t *pos, struct fact *ret)
{
    const struct stored_fact *f = ior_map_next(part, pos);
    if (f == NULL) return false;
    *ret = (struct fact){key_of(f), ior_slice(f->bytes + f->key_bytes, f->value_bytes)};
    return true;
}

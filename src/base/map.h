/* src/base/map.h - hash table from a key inside an object to the object.
 * Open addressing with linear probing; the hash is kept beside the pointer, so
 * growing touches no object. One owner at a time. */
#pragma once

#include "base/err.h"
#include <stdint.h>

struct ior_map_slot {
    uint64_t hash;
    void *object; /* NULL: free */
};
struct ior_map {
    struct ior_map_slot *slots;
    size_t room; /* a power of two, or 0 */
    size_t count;
};
typedef bool (*ior_map_same)(const void *object, const void *key);

void ior_map_init(struct ior_map *m);
void ior_map_done(struct ior_map *m); /* the objects are the caller's */
void *ior_map_find(const struct ior_map *m, uint64_t hash, ior_map_same same, const void *key);
/* The object must not be in the map. NOMEM. */
IOR_MUST_CHECK enum ior_err ior_map_add(struct ior_map *m, uint64_t hash, void *object);
/* The object must be in the map. */
void ior_map_remove(struct ior_map *m, uint64_t hash, const void *object);
/* Walk: start with *pos = 0; NULL at the end. The map must not change meanwhile. */
void *ior_map_next(const struct ior_map *m, size_t *pos);

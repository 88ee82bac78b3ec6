/* src/base/cowmap.h - hash map whose copies share what did not change.
 * For immutable objects that are read without locks: a copy costs one reference, a change of
 * it copies the path to what changed (some hundred bytes) and nothing else, however much
 * the map holds.
 * Thread: a map has one owner while it is changed; what it shares with others is never
 * written to. Reading needs no lock as long as somebody holds the map. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"

/* What a map holds: objects with a reference count that begin with (or contain) one of these. */
struct ior_shared {
    _Atomic uint32_t refs;
    void (*let_go)(struct ior_shared *s);
};
/* One reference, the caller's. */
void ior_shared_init(struct ior_shared *s, void (*let_go)(struct ior_shared *s));
struct ior_shared *ior_shared_ref(struct ior_shared *s);
void ior_shared_unref(struct ior_shared *s); /* NULL is fine */

struct ior_cowmap_node;
struct ior_cowmap {
    struct ior_cowmap_node *root;
    size_t count;
};
typedef bool (*ior_cowmap_same)(const struct ior_shared *object, const void *key);

/* All zeros is an empty map. */
struct ior_cowmap ior_cowmap_copy(const struct ior_cowmap *m);
void ior_cowmap_done(struct ior_cowmap *m); /* gives its references back; it is empty then */
struct ior_shared *ior_cowmap_find(const struct ior_cowmap *m, uint64_t hash, ior_cowmap_same same,
                                   const void *key);
/* In place of what has this key, if there is one. The map takes a reference of its own. NOMEM:
 * the map is as it was. */
IOR_MUST_CHECK enum ior_err ior_cowmap_set(struct ior_cowmap *m, uint64_t hash,
                                           ior_cowmap_same same, const void *key,
                                           struct ior_shared *object);
/* Also OK when it is not there. NOMEM: the map is as it was. */
IOR_MUST_CHECK enum ior_err ior_cowmap_remove(struct ior_cowmap *m, uint64_t hash,
                                              ior_cowmap_same same, const void *key);

/* 64 bits of hash at 5 bits a level, and one level for those that have all of them in common. */
enum { IOR_COWMAP_LEVELS = 14 };
struct ior_cowmap_walk {
    const struct ior_cowmap_node *nodes[IOR_COWMAP_LEVELS];
    uint32_t at[IOR_COWMAP_LEVELS];
    unsigned depth;
};
/* Every object, in no order: begin, then next until it gives NULL. The map must not change. */
void ior_cowmap_begin(struct ior_cowmap_walk *w, const struct ior_cowmap *m);
struct ior_shared *ior_cowmap_next(struct ior_cowmap_walk *w);

/* src/base/cowmap.c - see cowmap.h.
 * A trie of the hash, 5 bits a level from the low end. A node has a bit for each of its 32
 * places that is used, and an array with as many slots; a slot is an object or a further
 * node. Objects that share all 64 bits lie in a list at the lowest level.
 * Happy path of a change: a node that only this map has (one reference, and the same for
 * every node above it) is changed in place; others are copied on the way down.
 * Failure: a node that cannot be had. What was copied by then says the same as before.
 * Thread: see the header. */
#include "base/cowmap.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum { BITS = 5, PLACES = 1 << BITS, LIST_LEVEL = IOR_COWMAP_LEVELS - 1 };

struct slot {
    uint64_t hash; /* of an object */
    void *p;       /* struct ior_shared, or a node */
};

struct ior_cowmap_node {
    _Atomic uint32_t refs;
    uint32_t used;  /* places; in a list 0 */
    uint32_t nodes; /* those of them that are further nodes */
    uint32_t count; /* slots */
    struct slot slots[];
};

void ior_shared_init(struct ior_shared *s, void (*let_go)(struct ior_shared *s))
{
    atomic_init(&s->refs, 1);
    s->let_go = let_go;
}

struct ior_shared *ior_shared_ref(struct ior_shared *s)
{
    uint32_t before = atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    IOR_ASSERT(before > 0 && before < UINT32_MAX);
    return s;
}

void ior_shared_unref(struct ior_shared *s)
{
    if (s == NULL) return;
    uint32_t before = atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel);
    IOR_ASSERT(before > 0);
    if (before == 1) s->let_go(s);
}

/* ---- nodes ---- */

static uint32_t place_bit(uint64_t hash, unsigned level)
{
    return 1u << ((hash >> (level * BITS)) & (PLACES - 1));
}

/* Where the slot of this place is, or would be. */
static uint32_t slot_index(const struct ior_cowmap_node *n, uint32_t bit)
{
    return (uint32_t)__builtin_popcount(n->used & (bit - 1));
}

static bool holds_node(const struct ior_cowmap_node *n, uint32_t index)
{
    if (n->nodes == 0) return false;
    uint32_t used = n->used;
    for (; index > 0; index--) used &= used - 1;
    return (n->nodes & used & (0 - used)) != 0;
}

static struct ior_cowmap_node *node_new(uint32_t room)
{
    struct ior_cowmap_node *n = malloc(sizeof *n + room * sizeof n->slots[0]);
    if (n == NULL) return NULL;
    atomic_init(&n->refs, 1);
    n->used = n->nodes = n->count = 0;
    return n;
}

static void node_ref(struct ior_cowmap_node *n)
{
    uint32_t before = atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
    IOR_ASSERT(before > 0 && before < UINT32_MAX);
}

static void node_unref(struct ior_cowmap_node *n)
{
    if (n == NULL || atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) != 1) return;
    for (uint32_t i = 0; i < n->count; i++) {
        if (holds_node(n, i)) {
            node_unref(n->slots[i].p);
        } else {
            ior_shared_unref(n->slots[i].p);
        }
    }
    free(n);
}

static bool is_own(const struct ior_cowmap_node *n)
{
    return atomic_load_explicit(&n->refs, memory_order_acquire) == 1;
}

/* The same with room for `room` slots, only the caller's, in place of *at. False: no memory. */
static bool make_own(struct ior_cowmap_node **at, uint32_t room)
{
    struct ior_cowmap_node *old = *at;
    bool moves = is_own(old);
    if (moves && room <= old->count) return true;
    struct ior_cowmap_node *n = node_new(room > old->count ? room : old->count);
    if (n == NULL) return false;
    n->used = old->used;
    n->nodes = old->nodes;
    n->count = old->count;
    memcpy(n->slots, old->slots, old->count * sizeof n->slots[0]);
    *at = n;
    if (moves) {
        free(old);
        return true;
    }
    for (uint32_t i = 0; i < n->count; i++) {
        if (holds_node(n, i)) {
            node_ref(n->slots[i].p);
        } else {
            ior_shared_ref(n->slots[i].p);
        }
    }
    node_unref(old);
    return true;
}

static void insert(struct ior_cowmap_node *n, uint32_t index, struct slot s)
{
    memmove(&n->slots[index + 1], &n->slots[index], (n->count - index) * sizeof s);
    n->slots[index] = s;
    n->count++;
}

static void cut(struct ior_cowmap_node *n, uint32_t index)
{
    n->count--;
    memmove(&n->slots[index], &n->slots[index + 1], (n->count - index) * sizeof n->slots[0]);
}

/* ---- looking up ---- */

struct ior_cowmap ior_cowmap_copy(const struct ior_cowmap *m)
{
    if (m->root != NULL) node_ref(m->root);
    return *m;
}

void ior_cowmap_done(struct ior_cowmap *m)
{
    node_unref(m->root);
    *m = (struct ior_cowmap){0};
}

/* In a list. n->count: it is not there. */
static uint32_t list_find(const struct ior_cowmap_node *n, ior_cowmap_same same, const void *key)
{
    uint32_t i = 0;
    while (i < n->count && !same(n->slots[i].p, key)) i++;
    return i;
}

struct ior_shared *ior_cowmap_find(const struct ior_cowmap *m, uint64_t hash, ior_cowmap_same same,
                                   const void *key)
{
    const struct ior_cowmap_node *n = m->root;
    if (n == NULL) return NULL;
    for (unsigned level = 0; level < LIST_LEVEL; level++) {
        uint32_t bit = place_bit(hash, level);
        if ((n->used & bit) == 0) return NULL;
        const struct slot *s = &n->slots[slot_index(n, bit)];
        if ((n->nodes & bit) == 0)
            return s->hash == hash && same(s->p, key) ? (struct ior_shared *)s->p : NULL;
        n = s->p;
    }
    uint32_t i = list_find(n, same, key);
    return i < n->count ? n->slots[i].p : NULL;
}

void ior_cowmap_begin(struct ior_cowmap_walk *w, const struct ior_cowmap *m)
{
    w->nodes[0] = m->root;
    w->at[0] = 0;
    w->depth = m->root == NULL ? 0 : 1;
}

struct ior_shared *ior_cowmap_next(struct ior_cowmap_walk *w)
{
    while (w->depth > 0) {
        unsigned top = w->depth - 1;
        const struct ior_cowmap_node *n = w->nodes[top];
        if (w->at[top] == n->count) {
            w->depth--;
            continue;
        }
        uint32_t i = w->at[top]++;
        if (!holds_node(n, i)) return n->slots[i].p;
        IOR_ASSERT(w->depth < IOR_COWMAP_LEVELS);
        w->nodes[w->depth] = n->slots[i].p;
        w->at[w->depth++] = 0;
    }
    return NULL;
}

/* ---- changing ---- */

struct change {
    uint64_t hash;
    ior_cowmap_same same;
    const void *key;
    struct ior_shared *object; /* of set; NULL: remove */
    bool other_count;          /* out: one more, or one less */
};

static struct slot slot_of(const struct change *c)
{
    return (struct slot){c->hash, ior_shared_ref(c->object)};
}

/* A node from this level down that holds the slot (whose reference stays the caller's) and
 * nothing else yet. Deeper levels are made when they are needed. */
static struct ior_cowmap_node *node_of(struct slot s, unsigned level)
{
    struct ior_cowmap_node *n = node_new(1);
    if (n == NULL) return NULL;
    n->slots[0] = s;
    n->count = 1;
    if (level < LIST_LEVEL) n->used = place_bit(s.hash, level);
    return n;
}

static bool put(struct ior_cowmap_node **at, unsigned level, struct change *c);

/* The object in the slot makes room for a node that holds it and the new one. */
static bool split(struct ior_cowmap_node *n, uint32_t bit, unsigned level, struct change *c)
{
    struct slot *s = &n->slots[slot_index(n, bit)];
    struct ior_cowmap_node *below = node_of(*s, level + 1);
    if (below == NULL) return false;
    if (!put(&below, level + 1, c)) {
        /* The old object's reference goes back to the slot. Levels that were made in between
         * hold nothing else. */
        ior_shared_ref(s->p);
        node_unref(below);
        return false;
    }
    *s = (struct slot){0, below};
    n->nodes |= bit;
    return true;
}

static bool put_in_list(struct ior_cowmap_node **at, struct change *c)
{
    uint32_t i = list_find(*at, c->same, c->key);
    bool there = i < (*at)->count;
    if (!make_own(at, (*at)->count + !there)) return false;
    struct ior_cowmap_node *n = *at;
    if (there) {
        ior_shared_unref(n->slots[i].p);
        n->slots[i] = slot_of(c);
    } else {
        n->slots[n->count++] = slot_of(c);
        c->other_count = true;
    }
    return true;
}

static bool put(struct ior_cowmap_node **at, unsigned level, struct change *c)
{
    if (level == LIST_LEVEL) return put_in_list(at, c);
    uint32_t bit = place_bit(c->hash, level);
    bool used = ((*at)->used & bit) != 0;
    if (!make_own(at, (*at)->count + !used)) return false;
    struct ior_cowmap_node *n = *at;
    uint32_t i = slot_index(n, bit);
    if (!used) {
        insert(n, i, slot_of(c));
        n->used |= bit;
        c->other_count = true;
        return true;
    }
    struct slot *s = &n->slots[i];
    if ((n->nodes & bit) != 0) {
        struct ior_cowmap_node *below = s->p;
        bool ok = put(&below, level + 1, c);
        s->p = below;
        return ok;
    }
    if (s->hash != c->hash || !c->same(s->p, c->key)) return split(n, bit, level, c);
    ior_shared_unref(s->p);
    *s = slot_of(c);
    return true;
}

enum ior_err ior_cowmap_set(struct ior_cowmap *m, uint64_t hash, ior_cowmap_same same,
                            const void *key, struct ior_shared *object)
{
    struct change c = {.hash = hash, .same = same, .key = key, .object = object};
    if (m->root == NULL) {
        m->root = node_of((struct slot){hash, object}, 0);
        if (m->root == NULL) return IOR_E_NOMEM;
        ior_shared_ref(object);
        m->count = 1;
        return IOR_OK;
    }
    bool ok = put(&m->root, 0, &c);
    m->count += c.other_count;
    return ok ? IOR_OK : IOR_E_NOMEM;
}

/* What has the key is there. A node that is empty then is gone, and *at is NULL. */
static bool take(struct ior_cowmap_node **at, unsigned level, const struct change *c)
{
    if (!make_own(at, 0)) return false;
    struct ior_cowmap_node *n = *at;
    uint32_t bit = level < LIST_LEVEL ? place_bit(c->hash, level) : 0;
    uint32_t i = level < LIST_LEVEL ? slot_index(n, bit) : list_find(n, c->same, c->key);
    if ((n->nodes & bit) != 0) {
        struct ior_cowmap_node *below = n->slots[i].p;
        bool ok = take(&below, level + 1, c);
        n->slots[i].p = below;
        if (!ok || below != NULL) return ok;
    } else {
        ior_shared_unref(n->slots[i].p);
    }
    cut(n, i);
    n->used &= ~bit;
    n->nodes &= ~bit;
    if (n->count > 0) return true;
    free(n);
    *at = NULL;
    return true;
}

enum ior_err ior_cowmap_remove(struct ior_cowmap *m, uint64_t hash, ior_cowmap_same same,
                               const void *key)
{
    const struct change c = {.hash = hash, .same = same, .key = key};
    if (ior_cowmap_find(m, hash, same, key) == NULL) return IOR_OK;
    if (!take(&m->root, 0, &c)) return IOR_E_NOMEM;
    m->count--;
    return IOR_OK;
}

/* src/auth/role.c - see role.h. Thread: as said there.
 * Happy path of a question: the exact bucket, then the exact stream, each one
 * look-up in one hash table. Patterns of streams hang on their bucket, so that
 * whoever grants a thousand of them on his own bucket slows down only the
 * questions about that bucket; only patterns of buckets, which take more than a
 * grant on a bucket to make, are walked for every bucket.
 * Names of targets are chosen by users, so slots depend on a salt that they do
 * not know.
 * Failure: NOMEM while it is filled; the role is still good for role_done. */
#include "auth/role.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/limits.h"

struct role_target {
    struct ior_slice bucket;
    struct ior_slice stream;       /* empty: the bucket itself */
    struct role_pattern *patterns; /* of streams in this bucket */
    uint8_t perms;
};

/* Hash once more with the salt: names whose hashes share low bits land in different slots. */
static uint64_t mix(uint64_t hash, uint64_t salt)
{
    const uint64_t both[2] = {hash, salt};
    return ior_hash(ior_slice(both, sizeof both));
}

uint64_t role_hash(uint64_t salt, struct ior_slice name)
{
    return mix(ior_hash(name), salt);
}

struct role_question role_ask(uint64_t salt, struct ior_slice bucket, struct ior_slice stream)
{
    IOR_ASSERT(bucket.size_bytes > 0);
    struct role_question q = {.bucket = bucket, .stream = stream};
    q.bucket_hash = role_hash(salt, bucket);
    if (stream.size_bytes > 0) q.stream_hash = mix(ior_hash_pair(bucket, stream), salt);
    return q;
}

static bool same_target(const void *object, const void *key)
{
    const struct role_target *t = object;
    const struct role_target *k = key;
    return ior_slice_eq(t->bucket, k->bucket) && ior_slice_eq(t->stream, k->stream);
}

static struct role_target *find(const struct role *r, uint64_t hash, struct ior_slice bucket,
                                struct ior_slice stream)
{
    const struct role_target key = {.bucket = bucket, .stream = stream};
    return ior_map_find(&r->targets, hash, same_target, &key);
}

void role_init(struct role *r)
{
    *r = (struct role){0};
    ior_map_init(&r->targets);
}

static void free_patterns(struct role_pattern *p)
{
    while (p != NULL) {
        struct role_pattern *next = p->next;
        free(p);
        p = next;
    }
}

void role_done(struct role *r)
{
    size_t pos = 0;
    for (struct role_target *t; (t = ior_map_next(&r->targets, &pos)) != NULL;) {
        free_patterns(t->patterns);
        free(t);
    }
    ior_map_done(&r->targets);
    free_patterns(r->wild);
    *r = (struct role){0};
}

/* Does the name end in `*`? Then it is cut off. */
static bool cut_star(struct ior_slice *name)
{
    if (!ior_slice_ends(*name, IOR_SLICE("*"))) return false;
    name->size_bytes--;
    return true;
}

static enum ior_err add_pattern(struct role_pattern **list, struct role_pattern pattern)
{
    struct role_pattern *p = malloc(sizeof *p);
    if (p == NULL) return IOR_E_NOMEM;
    *p = pattern;
    p->next = *list;
    *list = p;
    return IOR_OK;
}

/* The target for these names, made if there is none; NULL: no memory. */
static struct role_target *need(struct role *r, uint64_t hash, struct ior_slice bucket,
                                struct ior_slice stream)
{
    struct role_target *t = find(r, hash, bucket, stream);
    if (t != NULL) return t;
    t = malloc(sizeof *t);
    if (t == NULL) return NULL;
    *t = (struct role_target){.bucket = bucket, .stream = stream};
    if (ior_map_add(&r->targets, hash, t) != IOR_OK) {
        free(t);
        return NULL;
    }
    return t;
}

enum ior_err role_add(struct role *r, uint64_t salt, struct ior_slice bucket,
                      struct ior_slice stream, uint8_t perms)
{
    if (bucket.size_bytes == 0) {
        IOR_ASSERT(stream.size_bytes == 0);
        r->any |= perms;
        return IOR_OK;
    }
    r->some |= perms;
    struct role_pattern p = {.bucket = bucket, .stream = stream, .perms = perms};
    p.bucket_is_prefix = cut_star(&p.bucket);
    p.stream_is_prefix = cut_star(&p.stream);
    if (p.bucket_is_prefix) return add_pattern(&r->wild, p);

    struct ior_slice exact = p.stream_is_prefix ? IOR_SLICE("") : stream;
    struct role_question q = role_ask(salt, bucket, exact);
    struct role_target *t =
        need(r, exact.size_bytes > 0 ? q.stream_hash : q.bucket_hash, bucket, exact);
    if (t == NULL) return IOR_E_NOMEM;
    if (p.stream_is_prefix) return add_pattern(&t->patterns, p);
    t->perms |= perms;
    return IOR_OK;
}

static bool covers(struct ior_slice pattern, bool is_prefix, struct ior_slice name)
{
    return is_prefix ? ior_slice_starts(name, pattern) : ior_slice_eq(name, pattern);
}

/* Does a pattern in this list, whose bucket fits if it is no prefix, give it? */
static bool walk(const struct role_pattern *p, const struct role_question *q, uint8_t perm)
{
    for (; p != NULL; p = p->next) {
        if ((p->perms & perm) == 0) continue;
        if (!covers(p->bucket, p->bucket_is_prefix, q->bucket)) continue;
        if (p->stream.size_bytes == 0 && !p->stream_is_prefix) return true; /* the whole bucket */
        if (q->stream.size_bytes > 0 && covers(p->stream, p->stream_is_prefix, q->stream))
            return true;
    }
    return false;
}

bool role_allows(const struct role *r, const struct role_question *q, uint8_t perm)
{
    if ((r->some & perm) == 0) return false;
    const struct role_target *t = find(r, q->bucket_hash, q->bucket, IOR_SLICE(""));
    if (t != NULL && (t->perms & perm) != 0) return true;
    if (t != NULL && walk(t->patterns, q, perm)) return true;
    if (q->stream.size_bytes > 0) {
        t = find(r, q->stream_hash, q->bucket, q->stream);
        if (t != NULL && (t->perms & perm) != 0) return true;
    }
    return walk(r->wild, q, perm);
}

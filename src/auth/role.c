/* src/auth/role.c - see role.h.
 * Happy path of a question: the exact bucket, then the exact stream, each one
 * look-up in one hash table. Patterns of streams hang on their bucket, so that
 * whoever grants many of them on his own bucket slows down only the
 * questions about that bucket; only patterns of buckets, which take more than a
 * grant on a bucket to make, are walked for every bucket.
 * Names of targets are chosen by users, so places in the table depend on a salt that they do
 * not know.
 * Failure: NOMEM while a role is made; the old one stays. Thread: see the header. */
#include "auth/role.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/limits.h"

/* Hash once more with the salt: names whose hashes share low bits land in different places. */
static uint64_t mix(uint64_t hash, uint64_t salt)
{
    const uint64_t both[2] = {hash, salt};
    return ior_hash(ior_slice(both, sizeof both));
}

uint64_t role_hash(uint64_t salt, struct ior_slice name)
{
    return mix(ior_hash(name), salt);
}

uint64_t role_hash_target(uint64_t salt, struct ior_slice bucket, struct ior_slice stream)
{
    return stream.size_bytes == 0 ? role_hash(salt, bucket)
                                  : mix(ior_hash_pair(bucket, stream), salt);
}

struct role_question role_ask(uint64_t salt, struct ior_slice bucket, struct ior_slice stream)
{
    IOR_ASSERT(bucket.size_bytes > 0);
    struct role_question q = {.bucket = bucket, .stream = stream};
    q.bucket_hash = role_hash(salt, bucket);
    if (stream.size_bytes > 0) q.stream_hash = mix(ior_hash_pair(bucket, stream), salt);
    return q;
}

bool role_is_pattern(struct ior_slice name)
{
    return name.size_bytes > 0 && name.data[name.size_bytes - 1] == '*';
}

/* ---- grants ---- */

static void grant_free(struct ior_shared *s)
{
    struct role_grant *g = IOR_CONTAINER(s, struct role_grant, shared);
    ior_blob_unref(g->extra);
    free(g);
}

static struct ior_slice copy_name(uint8_t **at, struct ior_slice name)
{
    struct ior_slice copy = ior_slice(*at, name.size_bytes);
    if (name.size_bytes > 0) memcpy(*at, name.data, name.size_bytes);
    *at += name.size_bytes;
    return copy;
}

struct role_grant *role_grant_new(const struct fact_key *key, uint8_t perms, struct ior_blob *extra)
{
    IOR_ASSERT(key->kind == FACT_GRANT);
    struct role_grant *g =
        malloc(sizeof *g + key->name.size_bytes + key->bucket.size_bytes + key->stream.size_bytes);
    if (g == NULL) return NULL;
    ior_shared_init(&g->shared, grant_free);
    uint8_t *at = g->bytes;
    g->role = key->role;
    g->perms = perms;
    g->name = copy_name(&at, key->name);
    g->bucket = copy_name(&at, key->bucket);
    g->stream = copy_name(&at, key->stream);
    g->extra = extra == NULL ? NULL : ior_blob_ref(extra);
    return g;
}

/* ---- targets ---- */

static void target_free(struct ior_shared *s)
{
    struct role_target *t = IOR_CONTAINER(s, struct role_target, shared);
    for (uint32_t i = 0; i < t->grants_count; i++) ior_shared_unref(&t->grants[i]->shared);
    for (uint32_t i = 0; i < t->patterns_count; i++) ior_shared_unref(&t->patterns[i]->shared);
    free(t);
}

static void target_unref(struct role_target *t)
{
    if (t != NULL) ior_shared_unref(&t->shared);
}

static struct role_target *target_new(uint32_t grants, uint32_t patterns)
{
    struct role_target *t = calloc(1, sizeof *t + (grants + patterns) * sizeof t->room[0]);
    if (t == NULL) return NULL;
    ior_shared_init(&t->shared, target_free);
    t->grants = (struct role_grant **)(void *)t->room;
    t->patterns = (struct role_target **)(void *)(t->room + grants);
    return t;
}

static void add_grant(struct role_target *t, struct role_grant *g)
{
    ior_shared_ref(&g->shared);
    t->grants[t->grants_count++] = g;
    t->perms |= g->perms;
}

static void add_pattern(struct role_target *t, struct role_target *pattern)
{
    ior_shared_ref(&pattern->shared);
    t->patterns[t->patterns_count++] = pattern;
}

/* Its names are those of something that it holds. False: it holds nothing. */
static bool name_target(struct role_target *t)
{
    if (t->grants_count > 0) {
        t->bucket = t->grants[0]->bucket;
        t->stream = t->grants[0]->stream;
    } else if (t->patterns_count > 0) {
        t->bucket = t->patterns[0]->bucket;
        t->stream = IOR_SLICE("");
    }
    return t->grants_count + t->patterns_count > 0;
}

static bool same_target(const struct ior_shared *object, const void *key)
{
    const struct role_target *t = role_target_at(object);
    const struct role_target *k = key;
    return ior_slice_eq(t->bucket, k->bucket) && ior_slice_eq(t->stream, k->stream);
}

static struct role_target *find(const struct role *r, uint64_t hash, struct ior_slice bucket,
                                struct ior_slice stream)
{
    const struct role_target key = {.bucket = bucket, .stream = stream};
    struct ior_shared *s = ior_cowmap_find(&r->targets, hash, same_target, &key);
    return s == NULL ? NULL : IOR_CONTAINER(s, struct role_target, shared);
}

const struct role_target *role_target_of(const struct role *r, uint64_t salt,
                                         struct ior_slice bucket, struct ior_slice stream)
{
    return r == NULL ? NULL : find(r, role_hash_target(salt, bucket, stream), bucket, stream);
}

/* What is on the target when the grant came or went; *ret NULL: nothing. */
static enum ior_err with_grant(const struct role_target *old, const struct role_grant *grant,
                               bool take_away, struct role_target **ret)
{
    uint32_t grants = old == NULL ? 0 : old->grants_count;
    uint32_t patterns = old == NULL ? 0 : old->patterns_count;
    struct role_target *t = target_new(grants + 1, patterns);
    if (t == NULL) return IOR_E_NOMEM;
    for (uint32_t i = 0; i < grants; i++) {
        if (!ior_slice_eq(old->grants[i]->name, grant->name)) add_grant(t, old->grants[i]);
    }
    for (uint32_t i = 0; i < patterns; i++) add_pattern(t, old->patterns[i]);
    /* Only its count of references changes. */
    if (!take_away) add_grant(t, (struct role_grant *)(uintptr_t)grant);
    if (!name_target(t)) {
        target_unref(t);
        t = NULL;
    }
    *ret = t;
    return IOR_OK;
}

/* What is on the bucket when one of its patterns is another one now; *ret NULL: nothing. */
static enum ior_err with_pattern(const struct role_target *old, const struct role_target *gone,
                                 struct role_target *come, struct role_target **ret)
{
    uint32_t grants = old == NULL ? 0 : old->grants_count;
    uint32_t patterns = old == NULL ? 0 : old->patterns_count;
    struct role_target *t = target_new(grants, patterns + 1);
    if (t == NULL) return IOR_E_NOMEM;
    for (uint32_t i = 0; i < grants; i++) add_grant(t, old->grants[i]);
    for (uint32_t i = 0; i < patterns; i++) {
        if (old->patterns[i] != gone) add_pattern(t, old->patterns[i]);
    }
    if (come != NULL) add_pattern(t, come);
    if (!name_target(t)) {
        target_unref(t);
        t = NULL;
    }
    *ret = t;
    return IOR_OK;
}

/* ---- roles ---- */

static void role_free(struct ior_shared *s)
{
    struct role *r = IOR_CONTAINER(s, struct role, shared);
    ior_cowmap_done(&r->targets);
    for (uint32_t i = 0; i < r->wild_count; i++) target_unref(r->wild[i]);
    free(r);
}

void role_unref(struct role *r)
{
    if (r != NULL) ior_shared_unref(&r->shared);
}

struct role *role_ref(struct role *r)
{
    if (r != NULL) ior_shared_ref(&r->shared);
    return r;
}

/* The same as *old, with `come` among the bucket patterns in the place of `gone`. */
static struct role *copy_role(const struct role *old, const struct role_target *gone,
                              struct role_target *come)
{
    uint32_t wild = old == NULL ? 0 : old->wild_count;
    struct role *r = calloc(1, sizeof *r + (wild + 1) * sizeof(struct role_target *));
    if (r == NULL) return NULL;
    ior_shared_init(&r->shared, role_free);
    for (uint32_t i = 0; i < wild; i++) {
        if (old->wild[i] == gone) continue;
        ior_shared_ref(&old->wild[i]->shared);
        r->wild[r->wild_count++] = old->wild[i];
    }
    if (come != NULL) {
        ior_shared_ref(&come->shared);
        r->wild[r->wild_count++] = come;
    }
    if (old == NULL) return r;
    r->any = old->any;
    r->some = old->some;
    memcpy(r->targets_with, old->targets_with, sizeof r->targets_with);
    r->targets = ior_cowmap_copy(&old->targets);
    return r;
}

static void count_perms(struct role *r, uint8_t gone, uint8_t come)
{
    r->some = 0;
    for (unsigned i = 0; i < 8; i++) {
        r->targets_with[i] += ((unsigned)come >> i & 1u) - ((unsigned)gone >> i & 1u);
        if (r->targets_with[i] > 0) r->some |= (uint8_t)(1u << i);
    }
}

/* `come` (NULL: nothing) in the place of `gone`. */
static enum ior_err put_target(struct role *r, uint64_t salt, const struct role_target *gone,
                               struct role_target *come)
{
    const struct role_target *named = come != NULL ? come : gone;
    if (named == NULL) return IOR_OK;
    uint64_t hash = role_hash_target(salt, named->bucket, named->stream);
    uint8_t before = gone == NULL ? 0 : gone->perms;
    uint8_t after = come == NULL ? 0 : come->perms;
    bool any = named->bucket.size_bytes == 0;
    /* `gone` may be freed by this: before was read. */
    enum ior_err err = come != NULL
                           ? ior_cowmap_set(&r->targets, hash, same_target, come, &come->shared)
                           : ior_cowmap_remove(&r->targets, hash, same_target, gone);
    if (err != IOR_OK) return err;
    if (any) {
        r->any = after;
    } else {
        count_perms(r, before, after);
    }
    return IOR_OK;
}

/* The bucket that a pattern of streams hangs on learns of its change. */
static enum ior_err put_pattern(struct role *r, uint64_t salt, struct ior_slice bucket,
                                const struct role_target *gone, struct role_target *come)
{
    struct role_target *old = find(r, role_hash(salt, bucket), bucket, IOR_SLICE(""));
    struct role_target *t = NULL;
    enum ior_err err = with_pattern(old, gone, come, &t);
    if (err == IOR_OK) err = put_target(r, salt, old, t);
    target_unref(t);
    return err;
}

enum ior_err role_change(struct role **role, uint64_t salt, const struct role_grant *grant,
                         bool take_away)
{
    struct ior_slice bucket = grant->bucket;
    struct ior_slice stream = grant->stream;
    uint64_t hash = role_hash_target(salt, bucket, stream);
    struct role_target *gone = *role == NULL ? NULL : find(*role, hash, bucket, stream);
    struct role_target *come = NULL;
    enum ior_err err = with_grant(gone, grant, take_away, &come);
    if (err != IOR_OK) return err;

    bool wild = role_is_pattern(bucket);
    struct role *r = copy_role(*role, wild ? gone : NULL, wild ? come : NULL);
    err = r == NULL ? IOR_E_NOMEM : IOR_OK;
    /* First the pattern: *role still holds `gone` by then. */
    if (err == IOR_OK && !wild && role_is_pattern(stream))
        err = put_pattern(r, salt, bucket, gone, come);
    if (err == IOR_OK) err = put_target(r, salt, gone, come);
    target_unref(come);
    if (err != IOR_OK) {
        role_unref(r);
        return err;
    }
    if (r->targets.count == 0) {
        role_unref(r);
        r = NULL;
    }
    role_unref(*role);
    *role = r;
    return IOR_OK;
}

/* ---- questions ---- */

/* A pattern ends in `*`: every name that begins with what is before it. */
static bool covers(struct ior_slice pattern, struct ior_slice name)
{
    if (!role_is_pattern(pattern)) return ior_slice_eq(name, pattern);
    pattern.size_bytes--;
    return ior_slice_starts(name, pattern);
}

/* Is there one in this list, whose buckets fit or are patterns, that gives it? */
static const struct role_target *walk(struct role_target *const *list, uint32_t count,
                                      const struct role_question *q, uint8_t perm, bool wild)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct role_target *t = list[i];
        if ((t->perms & perm) == 0) continue;
        if (wild && !covers(t->bucket, q->bucket)) continue;
        if (t->stream.size_bytes == 0) return t; /* the whole bucket */
        if (q->stream.size_bytes > 0 && covers(t->stream, q->stream)) return t;
    }
    return NULL;
}

const struct role_target *role_gives(const struct role *r, const struct role_question *q,
                                     uint8_t perm)
{
    if ((r->some & perm) == 0) return NULL;
    const struct role_target *t = find(r, q->bucket_hash, q->bucket, IOR_SLICE(""));
    if (t != NULL && (t->perms & perm) != 0) return t;
    if (t != NULL && t->patterns_count > 0) {
        t = walk(t->patterns, t->patterns_count, q, perm, false);
        if (t != NULL) return t;
    }
    if (q->stream.size_bytes > 0) {
        t = find(r, q->stream_hash, q->bucket, q->stream);
        if (t != NULL && (t->perms & perm) != 0) return t;
    }
    return walk(r->wild, r->wild_count, q, perm, true);
}

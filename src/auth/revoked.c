/* src/auth/revoked.c - see revoked.h.
 * What one user has is one piece of memory, found by his name in a map whose copies share what
 * did not change (base/cowmap.h). A look-up goes through his tokens one by one: there are
 * REVOKED_USER_MAX at most, and it is done when something has changed, not for each request.
 * Failure modes: no memory leaves a draft as it was. Thread: see the header. */
#include "auth/revoked.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "auth/username.h"
#include "base/assert.h"
#include "base/cowmap.h"
#include "base/hash.h"

enum { REVOKED_MAGIC = 0x7265766f };

struct token {
    uint8_t id[TOKEN_ID_BYTES];
    uint64_t until_s;
    uint64_t credential;
    bool has_credential;
};

/* The tokens of one user: never changed once it is in a map. */
struct holder {
    struct ior_shared shared; /* first */
    uint8_t name[USERNAME_BYTES_MAX];
    uint8_t name_bytes;
    size_t count;
    struct token tokens[];
};

struct revoked {
    uint32_t magic;
    _Atomic uint32_t refs;
    uint64_t number;
    size_t count;
    struct ior_cowmap holders;
};

static const struct holder *holder_of(const struct ior_shared *s)
{
    return (const struct holder *)(const void *)s; /* it is the first member */
}

static struct ior_slice name_of(const struct holder *h)
{
    return ior_slice(h->name, h->name_bytes);
}

static bool same_name(const struct ior_shared *object, const void *key)
{
    return ior_slice_eq(name_of(holder_of(object)), *(const struct ior_slice *)key);
}

static void let_go(struct ior_shared *s)
{
    free(s);
}

/* name is folded. */
static const struct holder *find_holder(const struct revoked *r, struct ior_slice name)
{
    return holder_of(ior_cowmap_find(&r->holders, ior_hash(name), same_name, &name));
}

static const struct holder *find_any_case(const struct revoked *r, struct ior_slice user)
{
    uint8_t room[USERNAME_BYTES_MAX];
    IOR_CHECK_MAGIC(r, REVOKED_MAGIC);
    if (r->count == 0 || user.size_bytes > USERNAME_BYTES_MAX) return NULL;
    return find_holder(r, username_fold(user, room));
}

/* h->count: it is not there. */
static size_t find_token(const struct holder *h, const uint8_t id[TOKEN_ID_BYTES])
{
    size_t i = 0;
    while (i < h->count && memcmp(h->tokens[i].id, id, TOKEN_ID_BYTES) != 0) i++;
    return i;
}

/* ---- making ---- */

enum ior_err revoked_new(const struct revoked *from, struct revoked **ret)
{
    static _Atomic uint64_t last_number;
    struct revoked *r = calloc(1, sizeof *r);
    if (r == NULL) return IOR_E_NOMEM;
    r->magic = REVOKED_MAGIC;
    atomic_init(&r->refs, 1);
    r->number = atomic_fetch_add(&last_number, 1) + 1;
    if (from != NULL) {
        IOR_CHECK_MAGIC(from, REVOKED_MAGIC);
        r->count = from->count;
        r->holders = ior_cowmap_copy(&from->holders);
    }
    *ret = r;
    return IOR_OK;
}

/* What old (NULL: nothing) holds, without the token at `without` (old->count: with all), and room
 * for one more. */
static struct holder *holder_new(const struct holder *old, struct ior_slice name, size_t without)
{
    size_t count = old == NULL ? 0 : old->count;
    struct holder *h = malloc(sizeof *h + (count + 1) * sizeof h->tokens[0]);
    if (h == NULL) return NULL;
    ior_shared_init(&h->shared, let_go);
    memcpy(h->name, name.data, name.size_bytes);
    h->name_bytes = (uint8_t)name.size_bytes;
    h->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (i != without) h->tokens[h->count++] = old->tokens[i];
    }
    return h;
}

enum ior_err revoked_set(struct revoked *draft, const struct revoked_token *t, bool take_away)
{
    IOR_CHECK_MAGIC(draft, REVOKED_MAGIC);
    IOR_ASSERT(t->user.size_bytes > 0 && t->user.size_bytes <= USERNAME_BYTES_MAX);
    const struct holder *old = find_holder(draft, t->user);
    size_t at = old == NULL ? 0 : find_token(old, t->id);
    bool there = old != NULL && at < old->count;
    if (take_away && !there) return IOR_OK;
    uint64_t hash = ior_hash(t->user);
    enum ior_err err = IOR_OK;
    if (take_away && old->count == 1) {
        err = ior_cowmap_remove(&draft->holders, hash, same_name, &t->user);
    } else {
        struct holder *h = holder_new(old, t->user, at);
        if (h == NULL) return IOR_E_NOMEM;
        if (!take_away) {
            struct token *n = &h->tokens[h->count++];
            *n = (struct token){.until_s = t->until_s,
                                .credential = t->credential,
                                .has_credential = t->has_credential};
            memcpy(n->id, t->id, sizeof n->id);
        }
        err = ior_cowmap_set(&draft->holders, hash, same_name, &t->user, &h->shared);
        ior_shared_unref(&h->shared);
    }
    if (err != IOR_OK) return err;
    if (take_away) draft->count--;
    if (!take_away && !there) draft->count++;
    return IOR_OK;
}

struct revoked *revoked_ref(const struct revoked *shared)
{
    struct revoked *r = (struct revoked *)(uintptr_t)shared; /* only refs changes */
    IOR_CHECK_MAGIC(r, REVOKED_MAGIC);
    atomic_fetch_add(&r->refs, 1);
    return r;
}

void revoked_unref(struct revoked *r)
{
    if (r == NULL) return;
    IOR_CHECK_MAGIC(r, REVOKED_MAGIC);
    if (atomic_fetch_sub(&r->refs, 1) != 1) return;
    ior_cowmap_done(&r->holders);
    r->magic = 0;
    free(r);
}

/* ---- asking ---- */

bool revoked_has(const struct revoked *r, struct ior_slice user, const uint8_t id[TOKEN_ID_BYTES])
{
    const struct holder *h = find_any_case(r, user);
    return h != NULL && find_token(h, id) < h->count;
}

size_t revoked_count(const struct revoked *r)
{
    IOR_CHECK_MAGIC(r, REVOKED_MAGIC);
    return r->count;
}

size_t revoked_count_of(const struct revoked *r, struct ior_slice user)
{
    const struct holder *h = find_any_case(r, user);
    return h == NULL ? 0 : h->count;
}

uint64_t revoked_number(const struct revoked *r)
{
    IOR_CHECK_MAGIC(r, REVOKED_MAGIC);
    return r->number;
}

static struct revoked_token shown(const struct holder *h, size_t i)
{
    const struct token *t = &h->tokens[i];
    struct revoked_token ret = {.user = name_of(h),
                                .until_s = t->until_s,
                                .credential = t->credential,
                                .has_credential = t->has_credential};
    memcpy(ret.id, t->id, sizeof ret.id);
    return ret;
}

bool revoked_of(const struct revoked *r, struct ior_slice user, size_t i, struct revoked_token *ret)
{
    const struct holder *h = find_any_case(r, user);
    if (h == NULL || i >= h->count) return false;
    *ret = shown(h, i);
    return true;
}

size_t revoked_over(const struct revoked *r, const struct policy *p, uint64_t now_s,
                    struct revoked_token *ret, size_t max)
{
    struct ior_cowmap_walk walk;
    struct ior_shared *s;
    size_t n = 0;
    IOR_CHECK_MAGIC(r, REVOKED_MAGIC);
    ior_cowmap_begin(&walk, &r->holders);
    while (n < max && (s = ior_cowmap_next(&walk)) != NULL) {
        const struct holder *h = holder_of(s);
        const struct policy_user *u = p == NULL ? NULL : policy_user(p, name_of(h));
        for (size_t i = 0; i < h->count && n < max; i++) {
            const struct token *t = &h->tokens[i];
            bool dead =
                p != NULL && t->has_credential && (u == NULL || u->credential != t->credential);
            if (dead || t->until_s <= now_s) ret[n++] = shown(h, i);
        }
    }
    return n;
}

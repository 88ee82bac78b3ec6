/* src/auth/login_cache.c - see login_cache.h. Buckets of four slots, as the cache of tokens has
 * them; the name chooses the bucket, and nobody can choose the name.
 * Failure modes: no memory, at the start. */
#include "auth/login_cache.h"

#include <sodium.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/limits.h"

enum { CACHE_MAGIC = 0x6c6f6763, BUCKET_SLOTS = 4, BUCKETS = LOGIN_CACHE_SLOTS / BUCKET_SLOTS };

IOR_STATIC_ASSERT((BUCKETS & (BUCKETS - 1)) == 0, "a bucket is chosen by a mask");
IOR_STATIC_ASSERT(LOGIN_NAME_BYTES <= crypto_generichash_BYTES_MAX, "BLAKE2b gives that much");

struct slot {
    uint64_t until_us; /* 0: empty */
    uint8_t name[LOGIN_NAME_BYTES];
};

struct login_cache {
    uint32_t magic;
    uint8_t *key; /* crypto_generichash_KEYBYTES of guarded memory */
    struct slot slots[LOGIN_CACHE_SLOTS];
};

enum ior_err login_cache_new(struct login_cache **ret)
{
    if (sodium_init() < 0) return IOR_E_ACCESS;
    /* calloc: pages of slots that are never filled are never touched. */
    struct login_cache *c = calloc(1, sizeof *c);
    if (c == NULL) return IOR_E_NOMEM;
    c->key = sodium_malloc(crypto_generichash_KEYBYTES);
    if (c->key == NULL) {
        free(c);
        return IOR_E_NOMEM;
    }
    randombytes_buf(c->key, crypto_generichash_KEYBYTES);
    c->magic = CACHE_MAGIC;
    *ret = c;
    return IOR_OK;
}

void login_cache_free(struct login_cache *c)
{
    if (c == NULL) return;
    IOR_CHECK_MAGIC(c, CACHE_MAGIC);
    sodium_free(c->key); /* clears it */
    c->magic = 0;
    free(c);
}

/* Its length first, so that no two lists of parts are the same bytes. */
static void add_part(crypto_generichash_state *state, struct ior_slice part)
{
    uint8_t size[8];
    ior_put_u64(size, part.size_bytes);
    crypto_generichash_update(state, size, sizeof size);
    crypto_generichash_update(state, part.data, part.size_bytes);
}

void login_cache_name(const struct login_cache *c, struct ior_slice user, const char *hash,
                      struct ior_slice password, uint8_t ret[LOGIN_NAME_BYTES])
{
    IOR_CHECK_MAGIC(c, CACHE_MAGIC);
    crypto_generichash_state state;
    int failed =
        crypto_generichash_init(&state, c->key, crypto_generichash_KEYBYTES, LOGIN_NAME_BYTES);
    IOR_ASSERT(failed == 0);
    add_part(&state, user);
    add_part(&state, ior_slice_str(hash));
    add_part(&state, password);
    crypto_generichash_final(&state, ret, LOGIN_NAME_BYTES);
    sodium_memzero(&state, sizeof state);
}

static size_t first_slot(const uint8_t name[LOGIN_NAME_BYTES])
{
    return (size_t)(ior_get_u64(name) & (BUCKETS - 1)) * BUCKET_SLOTS;
}

bool login_cache_has(const struct login_cache *c, const uint8_t name[LOGIN_NAME_BYTES],
                     uint64_t now_us)
{
    IOR_CHECK_MAGIC(c, CACHE_MAGIC);
    const struct slot *bucket = &c->slots[first_slot(name)];
    for (size_t i = 0; i < BUCKET_SLOTS; i++) {
        if (bucket[i].until_us > now_us && memcmp(bucket[i].name, name, LOGIN_NAME_BYTES) == 0)
            return true;
    }
    return false;
}

void login_cache_add(struct login_cache *c, const uint8_t name[LOGIN_NAME_BYTES], uint64_t now_us)
{
    IOR_CHECK_MAGIC(c, CACHE_MAGIC);
    struct slot *bucket = &c->slots[first_slot(name)];
    struct slot *s = bucket;
    for (size_t i = 0; i < BUCKET_SLOTS; i++) {
        if (memcmp(bucket[i].name, name, LOGIN_NAME_BYTES) == 0) {
            s = &bucket[i];
            break;
        }
        if (bucket[i].until_us < s->until_us) s = &bucket[i];
    }
    memcpy(s->name, name, LOGIN_NAME_BYTES);
    s->until_us = now_us + LOGIN_CACHE_MS * 1000ull;
}

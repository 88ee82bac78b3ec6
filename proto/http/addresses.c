/* proto/http/addresses.c - see addresses.h. An address is in the map while it has a connection.
 * Failure modes: no memory for a new address: it is refused. */
#include "proto/http/addresses.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/map.h"

struct entry {
    struct address_key key;
    unsigned count;
};

struct addresses {
    pthread_mutex_t lock;
    struct ior_map map;
    unsigned max;
};

bool address_key_of(const struct sockaddr *sa, struct address_key *ret)
{
    union {
        const struct sockaddr *any;
        const struct sockaddr_in *v4;
        const struct sockaddr_in6 *v6;
    } u = {.any = sa};
    *ret = (struct address_key){{0}};
    if (sa->sa_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&u.v6->sin6_addr)) {
        memcpy(ret->bytes, &u.v6->sin6_addr, 8);
        ret->bytes[15] = 6;
        return !IN6_IS_ADDR_LOOPBACK(&u.v6->sin6_addr);
    }
    if (sa->sa_family == AF_INET6) {
        memcpy(ret->bytes, (const unsigned char *)&u.v6->sin6_addr + 12, 4);
    } else if (sa->sa_family == AF_INET) {
        memcpy(ret->bytes, &u.v4->sin_addr, 4);
    } else {
        return false;
    }
    ret->bytes[15] = 4;
    return ret->bytes[0] != 127;
}

enum ior_err addresses_new(unsigned max, struct addresses **ret)
{
    IOR_ASSERT(max > 0);
    struct addresses *a = calloc(1, sizeof *a);
    if (a == NULL) return IOR_E_NOMEM;
    pthread_mutex_init(&a->lock, NULL);
    ior_map_init(&a->map);
    a->max = max;
    *ret = a;
    return IOR_OK;
}

void addresses_free(struct addresses *a)
{
    if (a == NULL) return;
    size_t pos = 0;
    struct entry *e;
    while ((e = ior_map_next(&a->map, &pos)) != NULL) free(e);
    ior_map_done(&a->map);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

static uint64_t hash_of(const struct address_key *key)
{
    return ior_hash(ior_slice(key->bytes, sizeof key->bytes));
}

static bool same(const void *object, const void *key)
{
    const struct entry *e = object;
    return memcmp(&e->key, key, sizeof e->key) == 0;
}

static struct entry *find_or_add(struct addresses *a, const struct address_key *key)
{
    uint64_t hash = hash_of(key);
    struct entry *e = ior_map_find(&a->map, hash, same, key);
    if (e != NULL) return e;
    e = calloc(1, sizeof *e);
    if (e == NULL) return NULL;
    e->key = *key;
    if (ior_map_add(&a->map, hash, e) == IOR_OK) return e;
    free(e);
    return NULL;
}

bool addresses_enter(struct addresses *a, const struct address_key *key)
{
    pthread_mutex_lock(&a->lock);
    struct entry *e = find_or_add(a, key);
    bool room = e != NULL && e->count < a->max;
    if (room) e->count++;
    pthread_mutex_unlock(&a->lock);
    return room;
}

void addresses_leave(struct addresses *a, const struct address_key *key)
{
    uint64_t hash = hash_of(key);
    pthread_mutex_lock(&a->lock);
    struct entry *e = ior_map_find(&a->map, hash, same, key);
    IOR_ASSERT(e != NULL && e->count > 0);
    if (--e->count == 0) {
        ior_map_remove(&a->map, hash, e);
        free(e);
    }
    pthread_mutex_unlock(&a->lock);
}

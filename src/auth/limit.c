/* src/auth/limit.c - see limit.h.
 * The rule is GCRA: `full_ns` of an entry is when its owner has everything back; each unit moves
 * it by period / count; one may go on while it is at most a period (less one unit) ahead of now.
 * A refusal moves nothing. An entry whose full_ns has passed says what no entry says, so it is
 * as good as free.
 * The clock is the coarse one: it may be some ms late, so a unit comes back that much later. */
#include "auth/limit.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "rt/clock.h"

#define LIMITS_MAGIC 0x6c696d74u
/* Nanoseconds of a unit are kept with 16 binary digits behind the point. */
#define UNIT_SHIFT 16
#define PERIOD_BITS 24 /* of a rate as one number: the period in ms, below the count */
#define DEBT_NS_MAX (UINT64_MAX / 4)

enum { WAYS = 8, SHARDS = 64 };

struct entry {
    uint64_t key; /* 0: never used */
    uint64_t full_ns;
};

struct set {
    struct entry ways[WAYS];
};

struct shard {
    _Alignas(64) pthread_mutex_t lock;
};

struct table {
    _Atomic uint64_t rate; /* count << PERIOD_BITS | period_ms; 0: off */
    size_t set_count;      /* a power of two */
    struct set *sets;
    struct shard shards[SHARDS]; /* set i belongs to i % SHARDS */
};

struct limits {
    uint32_t magic;
    uint8_t hash_key[crypto_shorthash_KEYBYTES];
    struct table tables[LIMIT_KINDS];
};

IOR_STATIC_ASSERT(LIMIT_NAMES / WAYS >= SHARDS, "every shard has a set");
IOR_STATIC_ASSERT((LIMIT_NAMES & (LIMIT_NAMES - 1)) == 0, "a set is chosen by a mask");
IOR_STATIC_ASSERT((LIMIT_ADDRESSES & (LIMIT_ADDRESSES - 1)) == 0, "a set is chosen by a mask");

static size_t entries_of(enum limit_kind kind)
{
    bool names = kind == LIMIT_USER || kind == LIMIT_BUCKET || kind == LIMIT_WRITES;
    return names ? LIMIT_NAMES : LIMIT_ADDRESSES;
}

enum ior_err limits_new(struct limits **ret)
{
    if (sodium_init() < 0) return IOR_E_ACCESS;
    struct limits *l = aligned_alloc(64, sizeof *l);
    if (l == NULL) return IOR_E_NOMEM;
    memset(l, 0, sizeof *l);
    l->magic = LIMITS_MAGIC;
    randombytes_buf(l->hash_key, sizeof l->hash_key);
    bool made = true;
    for (int k = 0; k < LIMIT_KINDS; k++) {
        struct table *t = &l->tables[k];
        t->set_count = entries_of((enum limit_kind)k) / WAYS;
        t->sets = calloc(t->set_count, sizeof *t->sets); /* untouched while the limit is off */
        made = made && t->sets != NULL;
        for (int i = 0; i < SHARDS; i++) pthread_mutex_init(&t->shards[i].lock, NULL);
    }
    if (!made) {
        limits_free(l);
        return IOR_E_NOMEM;
    }
    *ret = l;
    return IOR_OK;
}

void limits_free(struct limits *l)
{
    if (l == NULL) return;
    IOR_CHECK_MAGIC(l, LIMITS_MAGIC);
    for (int k = 0; k < LIMIT_KINDS; k++) {
        free(l->tables[k].sets);
        for (int i = 0; i < SHARDS; i++) pthread_mutex_destroy(&l->tables[k].shards[i].lock);
    }
    sodium_memzero(l->hash_key, sizeof l->hash_key);
    l->magic = 0;
    free(l);
}

static void forget_all(struct table *t)
{
    for (size_t i = 0; i < t->set_count; i++) {
        pthread_mutex_t *lock = &t->shards[i % SHARDS].lock;
        pthread_mutex_lock(lock);
        memset(&t->sets[i], 0, sizeof t->sets[i]);
        pthread_mutex_unlock(lock);
    }
}

void limits_set(struct limits *l, enum limit_kind kind, uint64_t count, uint64_t period_ms)
{
    IOR_CHECK_MAGIC(l, LIMITS_MAGIC);
    IOR_ASSERT(count <= UINT64_MAX >> PERIOD_BITS && period_ms >> PERIOD_BITS == 0);
    IOR_ASSERT(count == 0 || period_ms > 0);
    struct table *t = &l->tables[kind];
    uint64_t rate = count == 0 ? 0 : count << PERIOD_BITS | period_ms;
    uint64_t was = atomic_exchange(&t->rate, rate);
    if (was != 0 && was != rate) forget_all(t);
}

static uint64_t rate_of(const struct limits *l, enum limit_kind kind)
{
    return atomic_load_explicit(&l->tables[kind].rate, memory_order_relaxed);
}

bool limits_on(const struct limits *l, enum limit_kind kind)
{
    return rate_of(l, kind) != 0;
}

uint64_t limits_key(const struct limits *l, struct ior_slice who)
{
    uint64_t key = 0;
    IOR_STATIC_ASSERT(sizeof key == crypto_shorthash_BYTES, "SipHash-2-4 gives 64 bits");
    crypto_shorthash((unsigned char *)&key, who.data == NULL ? (const uint8_t *)"" : who.data,
                     who.size_bytes, l->hash_key);
    return key == 0 ? 1 : key;
}

/* ---- one entry ---- */

struct pace {
    uint64_t period_ns;
    uint64_t unit; /* ns << UNIT_SHIFT */
};

static struct pace pace_of(uint64_t rate)
{
    struct pace p = {.period_ns = (rate & ((1u << PERIOD_BITS) - 1)) * 1000000u};
    p.unit = (p.period_ns << UNIT_SHIFT) / (rate >> PERIOD_BITS);
    return p;
}

static uint64_t cost_ns(const struct pace *p, uint64_t cost)
{
    unsigned __int128 ns = (unsigned __int128)p->unit * cost >> UNIT_SHIFT;
    return ns > DEBT_NS_MAX ? DEBT_NS_MAX : (uint64_t)ns;
}

/* ns until a unit is left. */
static uint64_t wait_ns(const struct pace *p, const struct entry *e, uint64_t now_ns)
{
    if (e == NULL || e->full_ns <= now_ns) return 0;
    uint64_t needed = e->full_ns - now_ns + cost_ns(p, 1);
    return needed <= p->period_ns ? 0 : needed - p->period_ns;
}

static struct entry *find(struct set *s, uint64_t key)
{
    for (size_t i = 0; i < WAYS; i++) {
        if (s->ways[i].key == key) return &s->ways[i];
    }
    return NULL;
}

/* In the place of the one with the smallest debt. */
static struct entry *make(struct set *s, uint64_t key, uint64_t now_ns)
{
    struct entry *e = &s->ways[0];
    for (size_t i = 1; i < WAYS; i++) {
        if (s->ways[i].full_ns < e->full_ns) e = &s->ways[i];
    }
    if (e->full_ns > now_ns) metric_add(METRIC_limits_forgotten, 1);
    *e = (struct entry){key, 0};
    return e;
}

static void add(const struct pace *p, struct set *s, struct entry *e, uint64_t key, uint64_t cost,
                uint64_t now_ns)
{
    if (e == NULL) e = make(s, key, now_ns);
    if (e->full_ns < now_ns) e->full_ns = now_ns;
    uint64_t debt_ns = e->full_ns - now_ns + cost_ns(p, cost);
    e->full_ns = now_ns + (debt_ns > DEBT_NS_MAX ? DEBT_NS_MAX : debt_ns);
}

enum what { TAKE, LOOK, COUNT };

static uint64_t visit(struct limits *l, enum limit_kind kind, uint64_t key, uint64_t cost,
                      enum what what)
{
    uint64_t rate = rate_of(l, kind);
    if (rate == 0) return 0;
    struct pace p = pace_of(rate);
    struct table *t = &l->tables[kind];
    size_t at = key & (t->set_count - 1);
    struct set *s = &t->sets[at];
    pthread_mutex_t *lock = &t->shards[at % SHARDS].lock;
    uint64_t now_ns = clock_mono_coarse_us() * 1000;
    pthread_mutex_lock(lock);
    struct entry *e = find(s, key);
    uint64_t wait = what == COUNT ? 0 : wait_ns(&p, e, now_ns);
    if (what != LOOK && wait == 0) add(&p, s, e, key, cost, now_ns);
    pthread_mutex_unlock(lock);
    return (wait + 999999) / 1000000;
}

uint64_t limits_take(struct limits *l, enum limit_kind kind, uint64_t key, uint64_t cost)
{
    return visit(l, kind, key, cost, TAKE);
}

uint64_t limits_wait_ms(struct limits *l, enum limit_kind kind, uint64_t key)
{
    return visit(l, kind, key, 0, LOOK);
}

void limits_count(struct limits *l, enum limit_kind kind, uint64_t key, uint64_t cost)
{
    (void)visit(l, kind, key, cost, COUNT);
}

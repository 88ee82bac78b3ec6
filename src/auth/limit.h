/* src/auth/limit.h - how often somebody may do something: rates of addresses, users and buckets,
 * and of failed logins. Of a node, not of a worker.
 * A rate is `count` in `period_ms`: so many at once, and so many more in each period, evenly. What
 * is remembered of one who is limited is one time: when he will have everything back. Before that
 * he has a debt; who has none is not remembered. Memory: one fixed table a kind (LIMIT_ADDRESSES or
 * LIMIT_NAMES entries of 16 bytes, in sets of 8; a key that nobody knows says which set). A
 * newcomer in a full set takes the place of the one with the smallest debt. So one who has used up
 * his rate is forgotten only when seven others in his set have, too; many who come once push out
 * each other, and cannot free him. Failure modes: none. Two whose names have the same 64 bits of
 * SipHash share a rate. Thread: any; one lock for 1/64 of a table, held for some 20 ns. A limit
 * that is off costs one load. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/slice.h"

enum limit_kind {
    LIMIT_ADDRESS,       /* requests of an address */
    LIMIT_USER,          /* of a user */
    LIMIT_BUCKET,        /* to a bucket */
    LIMIT_WRITES,        /* bytes appended to a bucket */
    LIMIT_LOGIN_ADDRESS, /* failed logins of an address */
    LIMIT_LOGIN_USER,    /* of an address for a user */
    LIMIT_KINDS
};

struct limits;

/* All limits are off. NOMEM, ACCESS (no random numbers). */
IOR_MUST_CHECK enum ior_err limits_new(struct limits **ret);
void limits_free(struct limits *l); /* NULL is fine */
/* At any time; count 0: off. Another rate than before: everybody begins without a debt. */
void limits_set(struct limits *l, enum limit_kind kind, uint64_t count, uint64_t period_ms);
bool limits_on(const struct limits *l, enum limit_kind kind);
/* Who somebody is in the tables: a hash that nobody outside can foresee. */
uint64_t limits_key(const struct limits *l, struct ior_slice who);
/* 0: he may, and `cost` is counted, all of it, if only something is left. Else nothing is counted,
 * and in so many ms something will be left. */
uint64_t limits_take(struct limits *l, enum limit_kind kind, uint64_t key, uint64_t cost);
/* The same without counting; and counting without asking. */
uint64_t limits_wait_ms(struct limits *l, enum limit_kind kind, uint64_t key);
void limits_count(struct limits *l, enum limit_kind kind, uint64_t key, uint64_t cost);

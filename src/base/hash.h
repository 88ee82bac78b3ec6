/* src/base/hash.h - one 64-bit hash for tables and for routing: XXH3 with seed 0
 * (xxhash 0.8, frozen upstream; partitions depend on it: docs/formats.rst). */
#pragma once

#include "base/slice.h"

uint64_t ior_hash(struct ior_slice s);
/* The hash of `a`, a zero byte and `b`, for a pair of names. */
uint64_t ior_hash_pair(struct ior_slice a, struct ior_slice b);

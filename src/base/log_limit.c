/* src/base/log_limit.c - see log_limit.h. No failure modes. */
#include "base/log_limit.h"

bool log_limit_take(struct log_limit *l, uint64_t now_s, uint64_t max, uint64_t *ret_left_out)
{
    if (atomic_load_explicit(&l->second, memory_order_relaxed) != now_s) {
        atomic_store_explicit(&l->second, now_s, memory_order_relaxed);
        atomic_store_explicit(&l->lines, 0, memory_order_relaxed);
    }
    if (atomic_fetch_add_explicit(&l->lines, 1, memory_order_relaxed) >= max) {
        atomic_fetch_add_explicit(&l->left_out, 1, memory_order_relaxed);
        return false;
    }
    *ret_left_out = atomic_exchange_explicit(&l->left_out, 0, memory_order_relaxed);
    return true;
}

/* src/base/log_limit.h - how often a line may be logged that strangers can cause. Thread: any. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Zeros at the start. One for each kind of line. */
struct log_limit {
    _Atomic uint64_t second;
    _Atomic uint64_t lines;    /* of that second */
    _Atomic uint64_t left_out; /* since the last line */
};

/* True: log it, and say that *ret_left_out were not logged before it. At most max lines a
 * second (some more, when several threads enter a second together). */
bool log_limit_take(struct log_limit *l, uint64_t now_s, uint64_t max, uint64_t *ret_left_out);

/* src/base/config_value.h - how values are written for people, in both directions:
 * whole numbers, durations (500ms 10s 5m 24h 7d), sizes (64KB 4MB 2GB, powers of
 * 1024), rates (100/s 5000/m 10MB/h), flags (yes no); and paths, and how alike two words are.
 * Thread: any; nothing here has state or allocates. */
#pragma once

#include "base/err.h"
#include "base/slice.h"

/* Each parser takes the whole text: no white space, no sign, no fraction.
 * INVAL: *ret is untouched and *ret_problem (may be NULL) says what is wrong in a
 * few words, "too large a number" for instance. */
IOR_MUST_CHECK enum ior_err config_value_int(struct ior_slice text, uint64_t *ret,
                                             const char **ret_problem);
IOR_MUST_CHECK enum ior_err config_value_ms(struct ior_slice text, uint64_t *ret_ms,
                                            const char **ret_problem);
IOR_MUST_CHECK enum ior_err config_value_bytes(struct ior_slice text, uint64_t *ret_bytes,
                                               const char **ret_problem);
IOR_MUST_CHECK enum ior_err config_value_flag(struct ior_slice text, bool *ret,
                                              const char **ret_problem);

/* A number, or a size where `bytes`, in a second, a minute or an hour: "100/s" "5000/m" "10MB/h".
 * "0" is 0 in a second. *ret_count is below 2^48. */
IOR_MUST_CHECK enum ior_err config_value_rate(struct ior_slice text, bool bytes,
                                              uint64_t *ret_count, uint64_t *ret_seconds,
                                              const char **ret_problem);

/* The same for reading, in the largest unit that is exact: 90000 -> "90s". */
#define CONFIG_VALUE_TEXT_MAX 32
void config_value_ms_text(uint64_t ms, char out[CONFIG_VALUE_TEXT_MAX]);
void config_value_bytes_text(uint64_t bytes, char out[CONFIG_VALUE_TEXT_MAX]);

/* path as seen from the absolute folder base, without empty, "." and ".." parts.
 * Only the text is looked at, never the disk. INVAL: more than out_bytes with its
 * NUL; out is then undefined. */
IOR_MUST_CHECK enum ior_err config_value_path(const char *base, struct ior_slice path, char *out,
                                              size_t out_bytes);

/* How many letters must be put in, left out, changed or swapped with their
 * neighbour to make one of the other (at most the first 64 count). */
unsigned config_value_distance(struct ior_slice a, struct ior_slice b);

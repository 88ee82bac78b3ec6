/* src/core/stream_keys.h - the idempotency keys of the streams of a vnode: made with
 * the first key of a stream, gone with its last. The streams that have some form a
 * ring, and every append with a key, and the node's tick, look at some of them, so that the
 * keys of a stream that is no longer written go as well. Thread: the vnode's strand. */
#pragma once

#include "core/stream.h"

/* NULL: not known. wall_ms: the clock; 0 in a replay, where only records say what time it is. */
const struct dedupe_entry *stream_keys_find(struct stream_table *t, struct stream *s,
                                            struct ior_slice key, uint64_t wall_ms);
/* Before the record is proposed, or when it is replayed. NOMEM, DEDUPEFULL. */
IOR_MUST_CHECK enum ior_err stream_keys_add(struct stream_table *t, struct stream *s,
                                            struct ior_slice key, const struct dedupe_entry *what,
                                            uint64_t wall_ms);
/* What was reserved above high came to nothing. */
void stream_keys_drop_above(struct stream_table *t, struct stream *s, uint64_t high);
/* API.md Iorio-Dedupe-Window; 0: all of it is remembered. */
uint64_t stream_keys_shortened_ms(const struct stream_table *t, const struct stream *s,
                                  uint64_t wall_ms);
/* By the clock: a bounded number of streams is looked at. */
void stream_keys_sweep(struct stream_table *t, uint64_t wall_ms);
void stream_keys_free(struct stream_table *t, struct stream *s);

/* src/core/stream_keys.c - see stream_keys.h. */
#include "core/stream_keys.h"

#include <stdlib.h>

#include "base/assert.h"
#include "rt/rand.h"

enum { SWEEP_STREAMS_MAX = 64 };

static void ring_add(struct stream_table *t, struct stream *s)
{
    if (t->keyed == NULL) {
        s->keyed_next = s->keyed_prev = s;
        t->keyed = s;
        return;
    }
    s->keyed_next = t->keyed;
    s->keyed_prev = t->keyed->keyed_prev;
    s->keyed_prev->keyed_next = s;
    t->keyed->keyed_prev = s;
}

static void ring_remove(struct stream_table *t, struct stream *s)
{
    if (t->keyed == s) t->keyed = s->keyed_next == s ? NULL : s->keyed_next;
    s->keyed_next->keyed_prev = s->keyed_prev;
    s->keyed_prev->keyed_next = s->keyed_next;
    s->keyed_next = s->keyed_prev = NULL;
}

void stream_keys_free(struct stream_table *t, struct stream *s)
{
    if (s->keys == NULL) return;
    dedupe_done(s->keys, t->dedupe);
    ring_remove(t, s);
    free(s->keys);
    s->keys = NULL;
}

/* By the time that its own next record would have: a stream whose times ran ahead of the
 * clock forgets nothing of the others early. */
static void expire(struct stream_table *t, struct stream *s, uint64_t wall_ms)
{
    dedupe_expire(s->keys, t->dedupe, stream_next_time_ms(s, wall_ms));
    if (dedupe_is_empty(s->keys)) stream_keys_free(t, s);
}

static void expire_one_more(struct stream_table *t, uint64_t wall_ms)
{
    struct stream *s = t->keyed;
    if (s == NULL) return;
    t->keyed = s->keyed_next;
    expire(t, s, wall_ms);
}

const struct dedupe_entry *stream_keys_find(struct stream_table *t, struct stream *s,
                                            struct ior_slice key, uint64_t wall_ms)
{
    if (s->keys != NULL) expire(t, s, wall_ms);
    return s->keys == NULL ? NULL : dedupe_find(s->keys, key);
}

static enum ior_err add(struct stream_table *t, struct stream *s, struct ior_slice key,
                        const struct dedupe_entry *what)
{
    if (s->keys == NULL) {
        s->keys = malloc(sizeof *s->keys);
        if (s->keys == NULL) return IOR_E_NOMEM;
        dedupe_init(s->keys, rand_u64());
        ring_add(t, s);
    }
    enum ior_err err = dedupe_add(s->keys, t->dedupe, key, what);
    if (dedupe_is_empty(s->keys)) stream_keys_free(t, s);
    return err;
}

void stream_keys_sweep(struct stream_table *t, uint64_t wall_ms)
{
    for (unsigned i = 0; i < SWEEP_STREAMS_MAX && t->keyed != NULL; i++)
        expire_one_more(t, wall_ms);
}

enum ior_err stream_keys_add(struct stream_table *t, struct stream *s, struct ior_slice key,
                             const struct dedupe_entry *what, uint64_t wall_ms)
{
    expire_one_more(t, wall_ms);
    enum ior_err err = add(t, s, key, what);
    if (err != IOR_E_DEDUPEFULL) return err;
    stream_keys_sweep(t, wall_ms);
    return add(t, s, key, what);
}

void stream_keys_drop_above(struct stream_table *t, struct stream *s, uint64_t high)
{
    if (s->keys == NULL) return;
    dedupe_drop_above(s->keys, t->dedupe, high);
    if (dedupe_is_empty(s->keys)) stream_keys_free(t, s);
}

uint64_t stream_keys_shortened_ms(const struct stream_table *t, const struct stream *s,
                                  uint64_t wall_ms)
{
    if (s->keys == NULL) return 0;
    return dedupe_shortened_ms(s->keys, t->dedupe, stream_next_time_ms(s, wall_ms));
}

/* src/store/fetch_cache.c - the open chunks of fetch.h: a hash table by (partition, uid, first
 * seqnum) that holds every open one, and a list of those that nobody uses, oldest first.
 * Happy path: take finds one that nobody uses, extends it to the row's state and marks it as
 * used; give puts it at the young end of the list. Otherwise it is opened; the oldest one is
 * closed before that when there are too many.
 * Two of the same chunk, when two threads read it at a time, are both kept: without a footer a
 * new one would have to walk the whole chunk, at every time they meet.
 * Forgetting: what nobody uses is closed at once; what is in use is marked and closed when it
 * comes back. Who has read the catalog before a chunk was buried may open it after it was
 * forgotten: it is marked too, because the number of forgets has changed since.
 * Failure modes: those of chunk_open(); then nothing is kept.
 * Thread: any. The mutex is never held while a file is opened or closed. */
#include "store/fetch_private.h"

#include <stdlib.h>

#include "base/hash.h"
#include "store/chunk_format.h"

struct key {
    uint64_t partition; /* 64 bits: no padding, all of it is hashed */
    uint64_t uid;
    uint64_t first_seqnum;
};

struct fetch_chunk {
    struct key key;
    struct chunk_reader *reader;
    struct fetch_chunk *next;            /* of the same hash */
    struct fetch_chunk *older, *younger; /* when it is not used */
    bool used;
    bool forgotten; /* to be closed when it comes back */
};

void fetch_cache_init(struct fetch_cache *c, struct disk *d)
{
    *c = (struct fetch_cache){.disk = d};
    pthread_mutex_init(&c->mutex, NULL);
    atomic_init(&c->forgets, 0);
}

struct chunk_reader *fetch_chunk_reader(struct fetch_chunk *f)
{
    return f->reader;
}

/* ---- the table and the list; the mutex is held ---- */

static struct fetch_chunk **head_of(struct fetch_cache *c, const struct key *k)
{
    return &c->heads[ior_hash(ior_slice(k, sizeof *k)) & (FETCH_HASH_ROOM - 1)];
}

static bool same(const struct key *a, const struct key *b)
{
    return a->uid == b->uid && a->first_seqnum == b->first_seqnum && a->partition == b->partition;
}

static void list_remove(struct fetch_cache *c, struct fetch_chunk *f)
{
    *(f->older != NULL ? &f->older->younger : &c->oldest) = f->younger;
    *(f->younger != NULL ? &f->younger->older : &c->youngest) = f->older;
    f->older = f->younger = NULL;
    f->used = true;
}

static void list_add(struct fetch_cache *c, struct fetch_chunk *f)
{
    f->used = false;
    f->older = c->youngest;
    f->younger = NULL;
    *(c->youngest != NULL ? &c->youngest->younger : &c->oldest) = f;
    c->youngest = f;
}

static void table_add(struct fetch_cache *c, struct fetch_chunk *f)
{
    struct fetch_chunk **head = head_of(c, &f->key);
    f->next = *head;
    *head = f;
    c->count++;
}

static void table_remove(struct fetch_cache *c, struct fetch_chunk *f)
{
    struct fetch_chunk **at = head_of(c, &f->key);
    while (*at != f) at = &(*at)->next;
    *at = f->next;
    c->count--;
}

/* One that nobody uses, now used; NULL: there is none. */
static struct fetch_chunk *find_idle(struct fetch_cache *c, const struct key *k)
{
    for (struct fetch_chunk *f = *head_of(c, k); f != NULL; f = f->next) {
        if (f->used || !same(&f->key, k)) continue;
        list_remove(c, f);
        return f;
    }
    return NULL;
}

/* ---- without the mutex ---- */

/* It is used by us. It counts until its file is closed. */
static void drop(struct fetch_cache *c, struct fetch_chunk *f)
{
    chunk_close(f->reader);
    pthread_mutex_lock(&c->mutex);
    table_remove(c, f);
    pthread_mutex_unlock(&c->mutex);
    free(f);
}

/* Everything that nobody uses, until there are at most so many in all. */
static void shrink(struct fetch_cache *c, size_t count_max)
{
    for (;;) {
        pthread_mutex_lock(&c->mutex);
        struct fetch_chunk *f = c->count > count_max ? c->oldest : NULL;
        if (f != NULL) list_remove(c, f);
        pthread_mutex_unlock(&c->mutex);
        if (f == NULL) return;
        drop(c, f);
    }
}

void fetch_cache_done(struct fetch_cache *c)
{
    shrink(c, 0);
    IOR_ASSERT(c->count == 0);
    pthread_mutex_destroy(&c->mutex);
}

/* Can a chunk that was `older` have become `newer`? */
static bool extends(const struct chunk_state *newer, const struct chunk_state *older)
{
    bool more = newer->last_seqnum > older->last_seqnum && newer->end_bytes > older->end_bytes;
    bool equal = newer->last_seqnum == older->last_seqnum && newer->end_bytes == older->end_bytes;
    if (older->sealed) return equal && newer->sealed;
    return equal ||
           (more && newer->end_bytes % RECORD_ALIGN == 0 && newer->last_seqnum <= CHUNK_SEQNUM_MAX);
}

/* It has what the catalog says, or more: another thread may have seen a newer catalog. False:
 * it is not of this chunk as the catalog knows it. */
static bool bring_up(struct chunk_reader *r, const struct chunk_state *state)
{
    const struct chunk_state *has = chunk_reader_state(r);
    if (!extends(state, has)) return extends(has, state);
    if (state->end_bytes != has->end_bytes || state->sealed != has->sealed)
        chunk_reader_extend(r, state);
    return true;
}

/* A place for one that is to be opened, used by us; the oldest one makes room. */
static struct fetch_chunk *make_room(struct fetch_cache *c, const struct key *k, uint64_t forgets)
{
    struct fetch_chunk *f = calloc(1, sizeof *f);
    if (f == NULL) return NULL;
    f->key = *k;
    f->used = true;
    pthread_mutex_lock(&c->mutex);
    f->forgotten = atomic_load(&c->forgets) != forgets;
    table_add(c, f);
    pthread_mutex_unlock(&c->mutex);
    shrink(c, FETCH_CHUNKS_MAX);
    return f;
}

enum ior_err fetch_cache_take(struct fetch_cache *c, uint32_t partition, uint64_t uid,
                              const struct chunk_row *row, uint64_t forgets,
                              struct fetch_chunk **ret, struct ior_why *why)
{
    const struct key k = {partition, uid, row->first_seqnum};
    pthread_mutex_lock(&c->mutex);
    struct fetch_chunk *f = find_idle(c, &k);
    pthread_mutex_unlock(&c->mutex);
    if (f != NULL) {
        if (bring_up(f->reader, &row->state)) {
            *ret = f;
            return IOR_OK;
        }
        drop(c, f);
    }
    f = make_room(c, &k, forgets);
    if (f == NULL) return ior_why_set(why, IOR_E_NOMEM, "no memory for an open chunk");
    enum ior_err err =
        chunk_open(c->disk, partition, uid, row->first_seqnum, &row->state, &f->reader, why);
    if (err != IOR_OK) {
        drop(c, f);
        return err;
    }
    *ret = f;
    return IOR_OK;
}

void fetch_cache_give(struct fetch_cache *c, struct fetch_chunk *f, bool keep)
{
    pthread_mutex_lock(&c->mutex);
    IOR_ASSERT(f->used);
    keep = keep && !f->forgotten && c->count <= FETCH_CHUNKS_MAX;
    if (keep) list_add(c, f);
    pthread_mutex_unlock(&c->mutex);
    if (!keep) drop(c, f);
}

void fetch_cache_forget(struct fetch_cache *c, uint32_t partition, uint64_t uid,
                        uint64_t first_seqnum)
{
    const struct key k = {partition, uid, first_seqnum};
    struct fetch_chunk *closing = NULL;
    pthread_mutex_lock(&c->mutex);
    atomic_fetch_add(&c->forgets, 1);
    for (struct fetch_chunk *f = *head_of(c, &k); f != NULL; f = f->next) {
        if (!same(&f->key, &k)) continue;
        f->forgotten = true;
        if (f->used) continue;
        list_remove(c, f);
        f->younger = closing;
        closing = f;
    }
    pthread_mutex_unlock(&c->mutex);
    while (closing != NULL) {
        struct fetch_chunk *f = closing;
        closing = f->younger;
        drop(c, f);
    }
}

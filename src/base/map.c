/* src/base/map.c - see map.h. At most 3/4 full; removal shifts back, so there are
 * no tombstones and a look-up stops at the first free slot. */
#include "base/map.h"

#include <stdlib.h>

#include "base/assert.h"

void ior_map_init(struct ior_map *m)
{
    *m = (struct ior_map){0};
}

void ior_map_done(struct ior_map *m)
{
    free(m->slots);
    *m = (struct ior_map){0};
}

void *ior_map_find(const struct ior_map *m, uint64_t hash, ior_map_same same, const void *key)
{
    if (m->count == 0) return NULL;
    size_t mask = m->room - 1;
    for (size_t i = (size_t)hash & mask; m->slots[i].object != NULL; i = (i + 1) & mask) {
        if (m->slots[i].hash == hash && same(m->slots[i].object, key)) return m->slots[i].object;
    }
    return NULL;
}

static void put(struct ior_map_slot *slots, size_t mask, uint64_t hash, void *object)
{
    size_t i = (size_t)hash & mask;
    while (slots[i].object != NULL) i = (i + 1) & mask;
    slots[i] = (struct ior_map_slot){hash, object};
}

static enum ior_err grow(struct ior_map *m)
{
    size_t room = m->room == 0 ? 8 : m->room * 2;
    struct ior_map_slot *slots = calloc(room, sizeof *slots);
    if (slots == NULL) return IOR_E_NOMEM;
    for (size_t i = 0; i < m->room; i++) {
        if (m->slots[i].object != NULL) put(slots, room - 1, m->slots[i].hash, m->slots[i].object);
    }
    free(m->slots);
    m->slots = slots;
    m->room = room;
    return IOR_OK;
}

enum ior_err ior_map_add(struct ior_map *m, uint64_t hash, void *object)
{
    IOR_ASSERT(object != NULL);
    if ((m->count + 1) * 4 > m->room * 3) {
        enum ior_err err = grow(m);
        if (err != IOR_OK) return err;
    }
    put(m->slots, m->room - 1, hash, object);
    m->count++;
    return IOR_OK;
}

void ior_map_remove(struct ior_map *m, uint64_t hash, const void *object)
{
    IOR_ASSERT(m->count > 0);
    size_t mask = m->room - 1;
    size_t i = (size_t)hash & mask;
    while (m->slots[i].object != object) {
        IOR_ASSERT(m->slots[i].object != NULL);
        i = (i + 1) & mask;
    }
    size_t hole = i;
    for (size_t k = (i + 1) & mask; m->slots[k].object != NULL; k = (k + 1) & mask) {
        size_t want = (size_t)m->slots[k].hash & mask;
        bool stays = hole <= k ? (want > hole && want <= k) : (want > hole || want <= k);
        if (stays) continue;
        m->slots[hole] = m->slots[k];
        hole = k;
    }
    m->slots[hole] = (struct ior_map_slot){0};
    m->count--;
}

void *ior_map_next(const struct ior_map *m, size_t *pos)
{
    while (*pos < m->room) {
        void *object = m->slots[(*pos)++].object;
        if (object != NULL) return object;
    }
    return NULL;
}

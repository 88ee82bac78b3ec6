/* test/sim/mutants.c - see mutants.h. */
#include "mutants.h"

#include <string.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "rt/disk_sim.h"

enum mutant mutant_active = MUTANT_none;
static unsigned cheats;

struct row {
    const char *name;
    const char *what;
    enum mutant mutant;
    unsigned cheats;
};
static const struct row rows[] = {
    {"disk_sync_is_nothing", "a sync does nothing", MUTANT_none, DISK_SIM_SYNC_IS_NOTHING},
    {"disk_sync_dir_is_nothing", "a sync of a folder does nothing", MUTANT_none,
     DISK_SIM_SYNC_DIR_IS_NOTHING},
#define X(name, what) {#name, what, MUTANT_##name, 0},
    MUTANTS(X)
#undef X
};

size_t mutant_count(void)
{
    return IOR_LEN(rows);
}

const char *mutant_name(size_t i)
{
    IOR_ASSERT(i < IOR_LEN(rows));
    return rows[i].name;
}

const char *mutant_what(size_t i)
{
    IOR_ASSERT(i < IOR_LEN(rows));
    return rows[i].what;
}

bool mutant_find(const char *name, size_t *ret_i)
{
    for (size_t i = 0; i < IOR_LEN(rows); i++) {
        if (strcmp(rows[i].name, name) != 0) continue;
        *ret_i = i;
        return true;
    }
    return false;
}

void mutant_activate(size_t i)
{
    IOR_ASSERT(i < IOR_LEN(rows));
    mutant_active = rows[i].mutant;
    cheats = rows[i].cheats;
}

unsigned mutant_disk_cheats(void)
{
    return cheats;
}

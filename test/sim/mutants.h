/* test/sim/mutants.h - the broken variants: those in the sources (base/mutant.h) and those
 * that are a broken disk. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

size_t mutant_count(void);
const char *mutant_name(size_t i);
const char *mutant_what(size_t i);
/* False: there is none of this name. */
bool mutant_find(const char *name, size_t *ret_i);
/* From now on, in this process. */
void mutant_activate(size_t i);
/* What a disk of the active mutant does wrong: enum disk_sim_cheat. */
unsigned mutant_disk_cheats(void);

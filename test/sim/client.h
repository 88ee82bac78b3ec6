/* test/sim/client.h - what clients do to the node, and what its answers must be. */
#pragma once

#include "world.h"

void client_append(struct world *w);
/* One of the past once more, with its idempotency key. */
void client_repeat(struct world *w);
/* Truncate or delete a stream. */
void client_trim(struct world *w);
void client_read(struct world *w);
void client_list(struct world *w);
/* Read everything and compare; the journal is not needed. after_start: appends
 * with an unknown outcome are settled by what is there. */
void client_inspect(struct world *w, bool after_start);
/* Nothing is wrong any more: appends to every stream must work. */
void client_prove_alive(struct world *w);

/* test/sim/watcher.h - clients that wait for events, and give up. */
#pragma once

#include "world.h"

/* Begin to wait, or give up. */
void watcher_step(struct world *w);
/* A life ends: all give up; they hear so before the node is closed. Sometimes it is looked
 * before whether anybody still waits for what is known to be there. */
void watcher_end(struct world *w);

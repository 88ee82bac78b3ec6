/* test/sim/quota.h - what buckets hold, counted (core/quota.h): in every other life the limits are
 * on, too high to refuse anything. When nothing is wrong and nothing is on its way, a count that
 * passes for exact must be what the lists say. */
#pragma once

#include "world.h"

/* Nothing is on its way. Lets time pass. */
void quota_prove(struct world *w);

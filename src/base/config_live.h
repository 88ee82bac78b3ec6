/* src/base/config_live.h - a configuration that was read again while the node runs: which keys
 * changed, and which of those may be taken over (LIVE in config/keys.def). Thread: any. */
#pragma once

#include "base/config.h"

/* ret: what runs, with the live keys of `fresh`. changed() is called for each key that differs,
 * in the order of the table; live false: it needs a restart. How many live ones differ. */
size_t config_live_merge(const struct config *running, const struct config *fresh,
                         struct config *ret, void (*changed)(void *ctx, const char *key, bool live),
                         void *ctx);

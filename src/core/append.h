/* src/core/append.h - private to core: what a repeated append must have in common with
 * the first. */
#pragma once

#include "base/slice.h"

/* Over the payloads and kinds of the events of a record, in their order. */
uint64_t items_events_hash(struct ior_slice items);

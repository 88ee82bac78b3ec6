/* src/core/append.h - private to core: what a repeated append must have in common with
 * the first; whether there is room for one. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct node;

/* Over the payloads and kinds of the events of a record, in their order. */
uint64_t items_events_hash(struct ior_slice items);
/* Over the patch: its result may be another one each time. */
uint64_t patch_body_hash(struct ior_slice body);
/* So many bytes more on their way to the disk? INFLIGHT, TAILFULL, NOSPC. */
IOR_MUST_CHECK enum ior_err append_admit(struct node *n, uint64_t bytes);

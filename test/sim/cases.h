/* test/sim/cases.h - what one seed runs: a whole node, and a journal alone. */
#pragma once

#include <stdint.h>

/* Clients, streams, facts, faults; segments are never released. */
void node_case(uint64_t seed);
/* Records only, small segments, released and recycled. */
void journal_case(uint64_t seed);

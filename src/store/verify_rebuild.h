/* src/store/verify_rebuild.h - a new catalog, from chunk files, the journal, and what can still be
 * read of the old one (`iorio verify --rebuild-catalog`). Never done by itself.
 * What the old catalog still says is preferred where it fits the chunk files; everything else
 * comes from their heads and entries. What only the catalog had and cannot be read is lost, and
 * told stream by stream: events of small streams, users and grants, idempotency keys, streams
 * without a chunk.
 * The old file becomes catalog.mdb.bad-N, the new one takes its name when it is whole and on
 * the disk. Chunk files that no longer join the events behind them are renamed to NAME.lost: no
 * byte of an event is removed.
 * Failure modes: damage of the journal or of the identity is CORRUPT with *why, and nothing is
 * changed; so is every other error up to the moment of the last rename.
 * Thread: as verify.h. */
#pragma once

#include "store/verify.h"

enum { VERIFY_OLD_BYTES = 64 };
/* Findings: what is lost is a VERIFY_LOST; damage of the old catalog, and what was found by other
 * means, a VERIFY_NOTE; a VERIFY_ERROR is why it gives up. p->dir is there. ret_old: the name
 * that the old file has now; empty: there was none. */
IOR_MUST_CHECK enum ior_err verify_rebuild(const struct verify_params *p, struct verify_counts *ret,
                                           char ret_old[VERIFY_OLD_BYTES], struct ior_why *why);

/* src/base/mutant.h - places where the simulator breaks the program on purpose, one at
 * a time, to see that its checkers notice (`sim --mutants`, test/sim).
 * Only the simulator's own build of these sources defines IORIO_SIM_MUTANTS; in
 * every other build MUTANT(x) is the constant false, and nothing is left of it. */
#pragma once

#include <stdbool.h>

#ifdef IORIO_SIM_MUTANTS
#define MUTANTS(X)                                                                                 \
    X(ack_before_sync, "records are acknowledged before the sync")                                 \
    X(retry_sync, "a failed sync is tried again and believed")                                     \
    X(no_record_checks, "recovery ignores the checksums of records")                               \
    X(no_scrub, "recovery leaves the head of a torn batch")                                        \
    X(no_write_back, "recovery does not write the last batch again")                               \
    X(no_dir_sync_at_start, "a start does not sync the folder of the journal")                     \
    X(leave_empty, "a segment may stay empty in the middle of the journal")                        \
    X(constant_salt, "every segment has the same salt")                                            \
    X(name_before_sync, "a segment gets its name before it is synced")                             \
    X(recycle_in_place, "a recycled segment is written before its old name is gone for good")      \
    X(no_create_at_replay, "replay skips CREATE")                                                  \
    X(no_epoch, "records are taken although their predecessors were given up")                     \
    X(keep_reserved, "reserved ids are kept when their appends are given up")                      \
    X(conflict_at_once, "a conflict is answered before what it was judged by is committed")        \
    X(no_dedupe, "a known idempotency key is appended again")                                      \
    X(repeat_at_once, "a repeated append is answered before the first one is on disk")             \
    X(no_keys_at_replay, "idempotency keys are forgotten at a start")                              \
    X(no_trim_at_replay, "truncating and deleting are forgotten at a start")                       \
    X(release_before_commit, "segments are released before the catalog has what was in them")      \
    X(take_without_barrier, "a checkpoint does not wait for what is on its way to the disk")       \
    X(give_back_before_commit, "a checkpoint drops events before they are committed")              \
    X(no_keys_at_checkpoint, "a checkpoint forgets the idempotency keys")                          \
    X(no_revoked_at_checkpoint, "a checkpoint forgets the revoked tokens")                         \
    X(no_trim_at_checkpoint, "a checkpoint saves low as it was created")                           \
    X(patch_old_base, "a patch changes the newest event on the disk, not the one on its way")      \
    X(patch_stale, "a patch that took long is appended although the stream has gone on")           \
    X(no_second_at_replay, "replay skips the second stream of a record")                           \
    X(watch_no_look, "a watch for an event that is there already waits for the next one")          \
    X(watch_no_fire, "a commit does not fire the watches of its stream")                           \
    X(no_sweep, "sweeps of retention take nothing away")                                           \
    X(sweep_too_much, "sweeps of retention take everything of a stream")                           \
    X(facts_from_applied, "a change of facts does not know of those on their way")                 \
    X(keep_lost_facts, "facts that were given up are built upon")                                  \
    X(quota_no_give, "what is removed makes no room in its bucket")                                \
    X(time_goes_back, "events take the wall clock as it is")

enum mutant {
    MUTANT_none,
#define X(name, what) MUTANT_##name,
    MUTANTS(X)
#undef X
};
extern enum mutant mutant_active; /* test/sim/mutants.c */
#define MUTANT(name) (mutant_active == MUTANT_##name)
#else
#define MUTANT(name) false
#endif

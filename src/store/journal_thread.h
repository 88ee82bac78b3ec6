/* src/store/journal_thread.h - the two threads of a real journal: one writes and
 * syncs batches, one makes the next segment ready. */
#pragma once

#include "store/journal.h"

struct journal_thread;

/* After journal_start. NOMEM. */
IOR_MUST_CHECK enum ior_err journal_thread_start(struct journal *j, struct journal_thread **ret);
/* journal_close, wait until everything taken is answered and marked, end the threads. */
void journal_thread_stop(struct journal_thread *t);

/* src/core/checkpoint_thread.h - the thread that makes checkpoints when they are due. */
#pragma once

#include "core/checkpoint.h"

struct checkpoint_thread;

/* The workers run. NOMEM. */
IOR_MUST_CHECK enum ior_err checkpoint_thread_start(struct checkpoint *c,
                                                    struct checkpoint_thread **ret);
/* What is under way is given up; the workers still run. */
void checkpoint_thread_stop(struct checkpoint_thread *t);

/* test/unit/core/damage_data.h - a small data directory on the simulated disk, what a node must
 * show of it, and what it may say instead when a byte of it is not what it was.
 * Allowed: the right answer; or an error that names a file, at the start or in the log beside
 * the answer. Never a wrong event, a missing one, a lower last id, another user, or a name that
 * begins anew. What is not allowed is a line on standard error and false. */
#pragma once

#include "expect.h"

struct damage_data {
    struct rig rig;    /* its clocks and workers; its disk is replaced by each look */
    struct disk *disk; /* the sound one */
    int log_fd;
    bool appends; /* looks append as well, and make a checkpoint */
    /* What the loss of one whole row can do unnoticed: only a walk over the catalog finds it. */
    bool lists_may_lack;
    bool keys_may_be_new;
};

enum damage_seen {
    DAMAGE_WRONG,
    DAMAGE_RIGHT,   /* everything is as it was */
    DAMAGE_REFUSED, /* the node did not start */
    DAMAGE_SAID,    /* it started, and an answer is an error */
};

void damage_data_make(struct damage_data *d);
void damage_data_done(struct damage_data *d);
/* Opens a node on this disk, which is freed, reads everything and compares. `what` was done
 * to it, for the message. */
enum damage_seen damage_data_look(struct damage_data *d, struct disk *take, const char *what);
/* Every file, by path. */
typedef void (*damage_file_cb)(void *ctx, const char *path);
void damage_each_file(struct disk *d, damage_file_cb cb, void *ctx);

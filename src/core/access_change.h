/* src/core/access_change.h - changing users, groups and grants: a wish (auth/access.h) that is
 * granted inside the strand of group 0, by what holds then. What holds now is read from
 * meta_policy(): it is in memory. Thread: a worker. The contract of the callback is that of
 * core/iorio.h. */
#pragma once

#include "auth/access.h"
#include "cluster/meta.h"

struct node;
struct access_change;
typedef void (*access_change_cb)(struct access_change *c);

struct access_change {
    struct meta_change *change; /* private */
    struct node *node;          /* private */
    access_change_cb cb;        /* private */
    bool more;                  /* private: a part is done */
    struct access_wish wish;    /* private: a copy */
    void *user_ptr;             /* the caller's */
    uint64_t user[1];           /* the caller's */

    enum ior_err err;              /* out: OK, those of access_make(), or why it was given up */
    struct access_problem problem; /* out */
    uint8_t bytes[];
};

/* With a copy of the wish. NOMEM. */
IOR_MUST_CHECK enum ior_err access_change_new(const struct access_wish *w,
                                              struct access_change **ret);
void access_change_free(struct access_change *c);
/* cb: OK: on disk, and seen by every worker. What is done in parts: the last of them; after an
 * error the earlier ones stay, and the same wish goes on behind them. Errors at once: BUSY,
 * NOMEM. */
IOR_MUST_CHECK enum ior_err iorio_access_change(struct node *n, struct access_change *c,
                                                access_change_cb cb);

/* test/sim/access.h - users, groups and grants in the simulator: changes that read and write, many
 * under way at once, on whichever worker, across crashes and full disks.
 * What must hold: on every worker, at every moment, the facts are those behind some of the
 * changes in the order of their submits, and behind all that were acknowledged; each change is
 * answered as one who knows of all before it would; after a start it is the same. So an
 * acknowledged grant is there, a revoked one is not, and no change is lost to another. */
#pragma once

#include "auth/access.h"

enum { ACCESS_USERS = 3, ACCESS_GROUPS = 2, ACCESS_BUCKETS = 2, ACCESS_OPS = 64 };
/* Users first, then groups. */
enum { ACCESS_ROLES = ACCESS_USERS + ACCESS_GROUPS };

struct world;

/* What holds. */
struct access_state {
    uint64_t credential[ACCESS_USERS]; /* 0: no such user */
    uint64_t deleted_credential;
    bool group[ACCESS_GROUPS];
    bool member[ACCESS_USERS][ACCESS_GROUPS];
    uint8_t perms[ACCESS_ROLES][ACCESS_BUCKETS];
};

enum access_outcome { ACCESS_PENDING, ACCESS_ANSWERED, ACCESS_LOST, ACCESS_UNKNOWN };

struct access_op {
    enum access_action action;
    unsigned user;
    unsigned group;
    unsigned role;
    unsigned bucket;
    uint8_t perm;
    enum access_outcome outcome;
    enum ior_err err; /* of ACCESS_ANSWERED */
    uint64_t number;
};

struct access_model {
    struct access_state base; /* behind everything before the first op */
    struct access_op ops[ACCESS_OPS];
    unsigned count;
    uint64_t last_number;
    bool root_busy; /* the user who wishes it all is being made */
};

/* Submit a change. */
void access_step(struct world *w);
/* Every worker sees what it may. */
void access_check(struct world *w);
/* After a start: which of the changes with an unknown outcome are there, is known from now on. */
void access_recover(struct world *w);

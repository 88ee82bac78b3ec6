/* test/sim/facts.h - changes of the facts of group 0 (users), and what every worker must
 * see of them: an acknowledged change is seen by all of them and never lost, a
 * change of several facts is whole or not there. */
#pragma once

#include "cluster/meta.h"
#include "rt/rand.h"

enum { FACTS_USERS = 6, FACTS_CHANGE_MAX = 3 };

struct world;

/* A change that waits for its answer, or whose outcome is unknown. */
struct fact_change {
    struct world *world;
    uint64_t number; /* the credential number that it gives; 0: free */
    unsigned count;
    unsigned users[FACTS_CHANGE_MAX];
    bool unset[FACTS_CHANGE_MAX];
    bool unknown;
};

struct facts {
    uint64_t value[FACTS_USERS]; /* credential number; 0: no such user */
    struct fact_change *busy[FACTS_USERS];
    struct fact_change changes[FACTS_USERS];
    uint64_t last_number;
};

void facts_init(struct facts *f);
/* Submit a change of some users that no other change has. */
void facts_change(struct world *w);
/* Every worker sees what it must. */
void facts_check(struct world *w);
/* After a start: unknown changes are whole or not there; which, is known from now on. */
void facts_recover(struct world *w);

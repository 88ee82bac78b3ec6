/* cluster/group.h - consensus for one partition (or group 0): an ordered log of
 * records, each applied once it is committed. This is the implementation for one
 * voter: a record is committed when it is durable on this node. Several voters
 * come behind the same interface.
 * Thread: everything runs inside the strand of the actor that owns the group,
 * except group_replay and group_init (start-up). */
#pragma once

#include "rt/strand.h"
#include "store/journal.h"

struct group;

/* One record on its way through the log. Embed it; it belongs to the group from
 * OK until done(). */
struct proposal {
    struct journal_req req; /* private; first */
    struct msg barrier_msg; /* private */
    struct record *record;  /* in: with its items; head and checksum are set by the group */
    uint64_t time_ms;       /* in: the record's time */
    uint64_t index;         /* out: its place in the log */
    struct group *group;    /* private */
    struct ior_link link;   /* private: what is in flight, oldest first */
    enum ior_err err;       /* private */
    bool reported;          /* private: the journal has answered */
    bool applied;           /* private */
    bool is_barrier;        /* private */
    bool is_vote;           /* private */
};

struct group_ops {
    /* Committed: make it visible. In log order; cannot fail. */
    void (*apply)(void *ctx, struct proposal *p);
    /* Everything that was in flight and not applied is given up: forget every
     * reservation. Called before the done() of those. */
    void (*lost)(void *ctx);
    /* The proposal is the caller's again: OK after apply, else why it was given up.
     * Inside the strand, on any worker (normally the one that proposed it). */
    void (*done)(void *ctx, struct proposal *p, enum ior_err err);
};

struct group {
    uint32_t magic;
    uint32_t id;
    struct journal *journal;
    struct strand *strand;
    const struct group_ops *ops;
    void *ctx;
    uint64_t term;
    uint64_t last_index;    /* proposed */
    uint64_t applied_index; /* committed and applied */
    uint64_t saved_index;   /* of group_restore(): records up to it may come once more */
    uint64_t saved_term;
    uint64_t epoch; /* of the journal, when this group was last sound */
    struct ior_queue in_flight;
    bool led;      /* the vote of this process's term was proposed */
    bool draining; /* something failed: wait for the answers to all of in_flight */
    enum ior_err drain_err;
    struct proposal vote;
    struct record vote_record;
    bool vote_busy;
    char node[256];
};

void group_init(struct group *g, uint32_t id, struct journal *journal, struct strand *strand,
                const struct group_ops *ops, void *ctx, const char *node);
/* What a checkpoint has saved, before anything is replayed: records up to this index are
 * passed over then. */
void group_restore(struct group *g, uint64_t term, uint64_t applied_index);
/* One record of this group from the journal, in order, before any propose. CORRUPT
 * when indexes or terms do not follow; VERSION for kinds that only a clustered
 * node writes. *ret_apply: apply it to the state machine. */
IOR_MUST_CHECK enum ior_err group_replay(struct group *g, const struct record_head *head,
                                         bool *ret_apply, struct ior_why *why);
/* OK: done() runs once, later. Else nothing happened and p is the caller's: IO,
 * CLOSING, LOST (earlier records are being given up: try again), NOMEM. */
IOR_MUST_CHECK enum ior_err group_propose(struct group *g, struct proposal *p);
/* done() once everything proposed so far is applied (OK) or given up. Never inside this call. */
void group_barrier(struct group *g, struct proposal *p);
/* Nothing proposed is waiting: an answer judged now needs no barrier. */
bool group_is_settled(const struct group *g);

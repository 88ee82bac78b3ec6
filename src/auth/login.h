/* src/auth/login.h - is this the password of that user? One way for every front end (HTTP today).
 * argon2id costs 40 ms of the crypto thread, so what was right is remembered for ten minutes
 * (login_cache.h), and who asks while the same name and password are being checked waits for
 * that answer instead of a check of his own. Answers are paced: more than LOGIN_ANSWERS_PER_S
 * of them wait their turn, so that a storm of logins leaves the workers to those who write.
 * Nothing is told to somebody who does not know the password: a wrong one, and a user that does
 * not exist, are never remembered and go the same way (docs/decisions.rst).
 * Thread: a desk is shared by all workers; a login belongs to the worker that submits it, and
 * done() runs there. One lock, held for a look-up, never while anything is computed. */
#pragma once

#include "auth/password.h"
#include "auth/policy.h"
#include "rt/job.h"

struct login_desk;

struct login {
    struct job job;                    /* private; first */
    struct ior_link link;              /* private: those who wait for one check */
    struct login_desk *desk;           /* private */
    uint64_t due_us;                   /* private: its turn */
    char hash[PASSWORD_HASH_BYTES];    /* private: that it was checked against */
    char name[USERNAME_BYTES_MAX + 1]; /* out: as it is stored; "": no such user */
    bool ok;                           /* private: see login_user() */
    bool cached;                       /* out: argon2id was not asked */
    enum ior_err err; /* out: OK, or BUSY: too many answers wait for their turn; CLOSING */
    void (*done)(struct login *l); /* in */
};

/* crypto: where argon2id runs; borrowed. threads: that pace answers: 1 (0: login_desk_step()). */
IOR_MUST_CHECK enum ior_err login_desk_new(struct job_queue *crypto, unsigned threads,
                                           struct login_desk **ret);
/* Nobody waits for his turn any longer. Before the crypto queue is stopped; the workers run. */
void login_desk_stop(struct login_desk *d);
void login_desk_free(struct login_desk *d); /* after both have stopped */
/* For tests without threads: the next answer that waits for its turn. False: there is none. */
bool login_desk_step(struct login_desk *d);

/* OK: done(l) runs once, later, on this worker. Name and password are as they came and are
 * copied. BUSY: CRYPTO_QUEUE_MAX checks wait already; CLOSING; NOMEM. */
IOR_MUST_CHECK enum ior_err login_submit(struct login_desk *d, struct login *l,
                                         const struct policy *policy, struct ior_slice name,
                                         struct ior_slice password);
/* In done(): the user in this policy. NULL: wrong name or password, or one of the two was
 * changed while it was checked. */
const struct policy_user *login_user(const struct login *l, const struct policy *policy);

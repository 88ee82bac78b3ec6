/* src/core/session_change.h - tokens are taken back: one (DELETE /sessions), or all of a user
 * (DELETE /users/{u}/sessions), and what is known of single ones goes when its time is over.
 * All tokens of a user end because his credential number grows, so that takes no room. Single ones
 * are facts of group 0 (auth/revoked.h): REVOKED_USER_MAX of a user and REVOKED_MAX in all. Where
 * one more would be too many, all tokens of that user are taken back instead: whoever logs
 * out is logged out in any case, perhaps on his other machines, too.
 * Thread: a worker. The contract of the callback is that of core/iorio.h. */
#pragma once

#include "cluster/meta.h"

struct node;
struct session_change;
typedef void (*session_change_cb)(struct session_change *c);

struct session_change {
    struct meta_change *change; /* private */
    session_change_cb cb;       /* private */
    bool one;                   /* private: else all */
    struct revoked_token token; /* private */
    void *user_ptr;             /* the caller's */
    uint64_t user[1];           /* the caller's */
    bool ended_all;     /* out: all tokens of the user were taken back, whatever was asked for */
    enum ior_err err;   /* out */
    uint8_t name_bytes; /* private */
    uint8_t name[USERNAME_BYTES_MAX];
};

/* user: in any case of letters. token NULL: all of them; else this one, whose user is not looked
 * at. NOMEM. */
IOR_MUST_CHECK enum ior_err session_change_new(struct ior_slice user,
                                               const struct revoked_token *token,
                                               struct session_change **ret);
void session_change_free(struct session_change *c);
/* cb: OK: on disk, and no worker accepts the tokens any more. NOTFOUND: all tokens of a user who
 * does not exist. Errors at once: BUSY, NOMEM. */
IOR_MUST_CHECK enum ior_err iorio_session_change(struct node *n, struct session_change *c,
                                                 session_change_cb cb);

/* ---- facts that say nothing any more ---- */
struct session_sweep;
IOR_MUST_CHECK enum ior_err session_sweep_new(struct node *n, struct session_sweep **ret);
void session_sweep_free(struct session_sweep *s); /* NULL is fine */
/* From node_tick(): once a minute, by the clock of retention: one that is set wrong for a moment
 * must not bring a token back. */
void session_sweep_tick(struct session_sweep *s);

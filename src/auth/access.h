/* src/auth/access.h - changes of users, groups and grants: from what holds and what somebody wishes
 * to the facts that it takes, or why not. Pure: nothing is kept, nothing is asked elsewhere.
 * A wish carries who has it: he is looked at again when it is granted, so that a right that was
 * taken away meanwhile is not used any more.
 * Thread: any; it is called inside the strand of group 0 (core/access_change.h). */
#pragma once

#include "auth/policy.h"

enum access_action {
    ACCESS_USER_NEW,     /* name, hash */
    ACCESS_USER_CHANGE,  /* name, hash: another password */
    ACCESS_USER_DELETE,  /* name: with his grants, his memberships, the grants on his bucket */
    ACCESS_GROUP_NEW,    /* name */
    ACCESS_GROUP_DELETE, /* name: with its grants, and nobody is its member any more */
    ACCESS_MEMBER_ADD,   /* name: the group; role: the member */
    ACCESS_MEMBER_REMOVE,
    ACCESS_GRANT, /* role, perm, bucket, stream */
    ACCESS_REVOKE,
};

/* What may be granted where. */
#define ACCESS_ON_NODE (PERM_ADMINUSERS | PERM_VIEWSTATS | PERM_ADMINCLUSTER | PERM_LIST)
#define ACCESS_ON_BUCKET (PERM_GET | PERM_PUT | PERM_DELETE | PERM_LIST | PERM_GRANT)
/* ADMINUSERS gives nothing there: it is accepted for clients of the first Iorio DB. */
#define ACCESS_ON_STREAM (PERM_GET | PERM_PUT | PERM_DELETE | PERM_GRANT | PERM_ADMINUSERS)

struct access_wish {
    enum access_action action;
    /* Who, and his credential number when he was let in. Of a user who does not exist: 0. */
    struct ior_slice by;
    uint64_t by_credential;
    struct ior_slice name;
    struct ior_slice role;   /* a user or group: `x`, `user/x`, `group/x`; of a grant also `*` */
    struct ior_slice bucket; /* empty: the node. It may be a pattern, and so may the stream */
    struct ior_slice stream; /* empty: the bucket */
    uint8_t perm;
    struct ior_slice hash; /* of the password */
    uint64_t now_s;        /* Unix time when it is granted: iorio_access_change() sets it */
    /* Of the configuration. */
    struct ior_slice admin;
    struct ior_slice anonymous;
    bool has_bucket; /* a user owns the bucket prefix + name */
    struct ior_slice bucket_prefix;
};

/* Beside an error: which part of the wish is wrong ("role"...; NULL: none in particular), and a
 * sentence for humans (empty: that of the error). */
struct access_problem {
    const char *field;
    struct ior_why why;
};

/* The facts go to emit (value.data NULL: unset), which keeps nothing of its arguments; none: there
 * is nothing to do. *ret_more: this was a part of it; the same wish again, on the policy that has
 * these facts, does the next part.
 *   NOPERM        whoever wishes it may not
 *   USERNAME, USEREXISTS, UNKNOWN (no such user)    of users
 *   INVAL         *problem says which part
 *   EXISTS        the group
 *   NOTFOUND      the group or the member
 *   NOSPC         one of the limits in base/limits.h: *problem says which
 *   NOMEM, and what emit gives */
typedef enum ior_err (*access_emit)(void *ctx, struct fact fact);
IOR_MUST_CHECK enum ior_err access_make(const struct policy *now, const struct access_wish *w,
                                        access_emit emit, void *ctx, struct access_problem *problem,
                                        bool *ret_more);
/* Before it is done: INVAL where the configured admin could no longer administer users, or callers
 * without a login could administer something, and it was not so before. */
IOR_MUST_CHECK enum ior_err access_judge(const struct policy *now, const struct policy *next,
                                         const struct access_wish *w,
                                         struct access_problem *problem);
/* Is there exactly one user or group of this text, or is it `*`? NOTFOUND, INVAL: *problem says
 * what is wrong. */
IOR_MUST_CHECK enum ior_err access_check_role(const struct policy *now, struct ior_slice role,
                                              struct access_problem *problem);

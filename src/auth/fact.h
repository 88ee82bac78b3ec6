/* src/auth/fact.h - private to src/auth: keys and values of the facts about users,
 * read and written in one place. The formats are in policy.h.
 * Thread: any; a fact_value has one owner. jansson stays behind this header. */
#pragma once

#include "auth/policy.h"
#include "base/limits.h"

enum fact_kind { FACT_OTHER, FACT_USER, FACT_GROUP, FACT_GRANT, FACT_BOOTSTRAP, FACT_DELETED };
enum fact_role { FACT_ROLE_USER, FACT_ROLE_GROUP, FACT_ROLE_ALL };
enum fact_scope { FACT_SCOPE_ANY, FACT_SCOPE_BUCKET, FACT_SCOPE_STREAM };

/* A key in its parts, which point into the key. */
struct fact_key {
    enum fact_kind kind;
    enum fact_role role; /* of a grant */
    enum fact_scope scope;
    struct ior_slice name; /* user, group, or the role of a grant ("" for all) */
    struct ior_slice bucket;
    struct ior_slice stream;
};
/* OK with kind FACT_OTHER: a fact of another part. CORRUPT: one of ours, but
 * not exactly in the form of policy.h, so that no grant has two keys. */
IOR_MUST_CHECK enum ior_err fact_key_read(struct ior_slice key, struct fact_key *ret,
                                          struct ior_why *why);
/* CORRUPT, with the key made printable and what is wrong with it. */
enum ior_err fact_corrupt(struct ior_why *why, struct ior_slice key, const char *what);
/* Append the key. Out of memory is seen by ior_buf_failed. */
void fact_key_write(struct ior_buf *out, const struct fact_key *key);

struct fact_value {
    void *json;           /* owns what the others point to */
    const char *password; /* of a user */
    uint64_t credential;  /* of a user, or of those that were deleted */
    uint64_t since_s;     /* of a user; 0: it is not there. It is among the extra parts, so
                             whoever writes the fact anew leaves it as it was */
    const void *groups;   /* of a user or a group */
    size_t groups_count;
    uint8_t perms; /* of a grant */
};
/* The parts of a value that this version does not know, as a JSON object; *ret empty: there
 * are none. Who writes the fact anew gives them back. NOMEM. */
IOR_MUST_CHECK enum ior_err fact_value_extra(const struct fact_value *v, enum fact_kind kind,
                                             struct ior_buf *ret);
/* CORRUPT (*why names the key), NOMEM. On OK the caller owes fact_value_done. */
IOR_MUST_CHECK enum ior_err fact_value_read(const struct fact *f, enum fact_kind kind,
                                            struct fact_value *ret, struct ior_why *why);
struct ior_slice fact_value_group(const struct fact_value *v, size_t i);
void fact_value_done(struct fact_value *v);

/* The values, as JSON on one line. extra: of fact_value_extra(), or empty. NOMEM. INVAL: a text is
 * no UTF-8, the number is above 2^63 - 1, or the value would be larger than FACT_BYTES_MAX. */
IOR_MUST_CHECK enum ior_err fact_user_write(struct ior_buf *out, const char *password,
                                            uint64_t credential, const struct ior_slice *groups,
                                            size_t groups_count, struct ior_slice extra);
IOR_MUST_CHECK enum ior_err fact_group_write(struct ior_buf *out, const struct ior_slice *groups,
                                             size_t groups_count, struct ior_slice extra);
IOR_MUST_CHECK enum ior_err fact_grant_write(struct ior_buf *out, uint8_t perms,
                                             struct ior_slice extra);
/* extra with `since`, for a user. NOMEM, INVAL. */
IOR_MUST_CHECK enum ior_err fact_extra_since(struct ior_buf *out, struct ior_slice extra,
                                             uint64_t since_s);
IOR_MUST_CHECK enum ior_err fact_deleted_write(struct ior_buf *out, uint64_t credential);

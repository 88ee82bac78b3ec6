/* src/auth/user_renew.c - policy_user_renew, declared in policy.h: the fact of a user as it is when
 * none of his tokens shall be good any more. His groups, and parts of the fact that this
 * version does not know, stay.
 * Failure modes: NOMEM, INVAL (a number that does not fit). Thread: any. */
#include "auth/fact.h"
#include "auth/policy.h"

enum ior_err policy_user_renew(const struct policy_user *u, const char *password, uint64_t now_s,
                               struct ior_buf *key, struct ior_buf *value)
{
    /* The name as it is stored: the caller's may differ in case. */
    const struct fact_key k = {.kind = FACT_USER, .name = ior_slice_str(u->name)};
    struct ior_buf groups;
    struct ior_buf extra;
    ior_buf_init(&groups);
    ior_buf_init(&extra);
    size_t count = policy_user_groups(u);
    for (size_t i = 0; i < count; i++) {
        struct ior_slice name = policy_user_group(u, i);
        ior_buf_add(&groups, &name, sizeof name);
    }
    fact_key_write(key, &k);
    enum ior_err err = fact_extra_since(&extra, policy_user_extra(u), now_s);
    if (err == IOR_OK && (ior_buf_failed(&groups) || ior_buf_failed(key))) err = IOR_E_NOMEM;
    if (err == IOR_OK)
        err = fact_user_write(value, password != NULL ? password : u->password, u->credential + 1,
                              (const struct ior_slice *)(const void *)groups.data, count,
                              ior_buf_slice(&extra));
    ior_buf_done(&groups);
    ior_buf_done(&extra);
    return err;
}

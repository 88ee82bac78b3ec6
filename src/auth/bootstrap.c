/* src/auth/bootstrap.c - policy_bootstrap, declared in policy.h: the users, groups and
 * grants that a node begins with. Thread: before the workers start, or the
 * crypto thread: each password costs about 40 ms.
 * Happy path of a first start: every fact of the table below that is not there
 * goes to emit, the fact `bootstrap` last. Every later start finds that one and
 * only looks whether the admin still has the shipped password although another
 * one is configured now.
 * Failure: the first error ends it; the next start goes on where it stopped. */
#include "auth/fact.h"
#include "auth/password.h"
#include "auth/policy.h"
#include "auth/username.h"
#include "rt/clock.h"

#define GROUP_ALL "g-authenticated"
#define GROUP_ADMIN "g-admin"

struct run {
    const struct policy *now; /* NULL: no facts at all */
    bootstrap_emit emit;
    void *ctx;
    struct ior_buf key;
    struct ior_buf value;
};

static bool is_there(struct run *r, const struct fact_key *k)
{
    ior_buf_clear(&r->key);
    ior_buf_clear(&r->value);
    fact_key_write(&r->key, k);
    if (r->now == NULL || ior_buf_failed(&r->key)) return false;
    /* "Admin" and "admin" are one user. */
    if (k->kind == FACT_USER) return policy_user(r->now, k->name) != NULL;
    return policy_has_fact(r->now, ior_buf_slice(&r->key));
}

/* err: of making the value. */
static enum ior_err give(struct run *r, enum ior_err err)
{
    if (err != IOR_OK) return err;
    if (ior_buf_failed(&r->key) || ior_buf_failed(&r->value)) return IOR_E_NOMEM;
    return r->emit(r->ctx, (struct fact){ior_buf_slice(&r->key), ior_buf_slice(&r->value)});
}

static enum ior_err give_group(struct run *r, const char *name, const char *parent)
{
    const struct fact_key k = {.kind = FACT_GROUP, .name = ior_slice_str(name)};
    if (is_there(r, &k)) return IOR_OK;
    struct ior_slice groups[1] = {parent == NULL ? IOR_SLICE("") : ior_slice_str(parent)};
    return give(r, fact_group_write(&r->value, groups, parent == NULL ? 0 : 1, IOR_SLICE("")));
}

static enum ior_err give_user(struct run *r, const char *name, const char *password,
                              const char *group)
{
    const struct fact_key k = {.kind = FACT_USER, .name = ior_slice_str(name)};
    if (is_there(r, &k)) return IOR_OK;
    char hash[PASSWORD_HASH_BYTES];
    enum ior_err err = password_hash(ior_slice_str(password), hash);
    if (err != IOR_OK) return err;
    struct ior_slice groups[1] = {group == NULL ? IOR_SLICE("") : ior_slice_str(group)};
    return give(r,
                fact_user_write(&r->value, hash, 1, groups, group == NULL ? 0 : 1, IOR_SLICE("")));
}

/* bucket NULL: on any. */
static enum ior_err give_grant(struct run *r, enum fact_role role, const char *name,
                               const char *bucket, uint8_t perms)
{
    const struct fact_key k = {
        .kind = FACT_GRANT,
        .role = role,
        .scope = bucket == NULL ? FACT_SCOPE_ANY : FACT_SCOPE_BUCKET,
        .name = ior_slice_str(name),
        .bucket = ior_slice_str(bucket == NULL ? "" : bucket),
        .stream = IOR_SLICE(""),
    };
    if (is_there(r, &k)) return IOR_OK;
    return give(r, fact_grant_write(&r->value, perms, IOR_SLICE("")));
}

static enum ior_err give_mark(struct run *r)
{
    const struct fact_key k = {.kind = FACT_BOOTSTRAP};
    if (is_there(r, &k)) return IOR_OK;
    ior_buf_add_str(&r->value, "{}");
    return give(r, IOR_OK);
}

static enum ior_err first_start(struct run *r, const struct bootstrap *b)
{
    const char *admin = b->admin_username;
    enum ior_err err = give_group(r, GROUP_ALL, NULL);
    if (err == IOR_OK) err = give_group(r, GROUP_ADMIN, GROUP_ALL);
    if (err == IOR_OK) err = give_user(r, admin, b->admin_password, GROUP_ADMIN);
    if (err == IOR_OK) err = give_user(r, b->anon_username, b->anon_password, NULL);
    if (err == IOR_OK) err = give_grant(r, FACT_ROLE_USER, admin, NULL, PERM_ALL);
    if (err == IOR_OK) err = give_grant(r, FACT_ROLE_GROUP, GROUP_ADMIN, "$sys", PERM_GET);
    if (err == IOR_OK) err = give_grant(r, FACT_ROLE_GROUP, GROUP_ALL, "public", PERM_GET);
    if (err == IOR_OK) err = give_grant(r, FACT_ROLE_USER, admin, "public", PERM_PUT);
    if (err == IOR_OK) err = give_mark(r);
    return err;
}

/* His fact again with another password, a higher credential number and the same groups. */
static enum ior_err change_password(struct run *r, const struct policy_user *u,
                                    const char *password)
{
    char hash[PASSWORD_HASH_BYTES];
    enum ior_err err = password_hash(ior_slice_str(password), hash);
    if (err != IOR_OK) return err;
    ior_buf_clear(&r->key);
    ior_buf_clear(&r->value);
    return give(r, policy_user_renew(u, hash, clock_wall_ms() / 1000, &r->key, &r->value));
}

/* A password changed by its owner is never touched: only the shipped one is replaced. */
static enum ior_err replace_shipped(struct run *r, const struct bootstrap *b)
{
    if (b->admin_password_is_shipped || r->now == NULL) return IOR_OK;
    const struct policy_user *u = policy_user(r->now, ior_slice_str(b->admin_username));
    if (u == NULL) return IOR_OK;
    if (!password_verify(u->password, ior_slice_str(b->shipped_password))) return IOR_OK;
    return change_password(r, u, b->admin_password);
}

enum ior_err policy_bootstrap(const struct policy *now, const struct bootstrap *b,
                              bootstrap_emit emit, void *ctx)
{
    struct ior_slice admin = ior_slice_str(b->admin_username);
    struct ior_slice anon = ior_slice_str(b->anon_username);
    /* One user for both would make everybody the admin. */
    if (!username_ok(admin) || !username_ok(anon) || username_same(admin, anon)) return IOR_E_INVAL;

    struct run r = {.now = now, .emit = emit, .ctx = ctx};
    ior_buf_init(&r.key);
    ior_buf_init(&r.value);
    enum ior_err err = replace_shipped(&r, b);
    if (err == IOR_OK && (now == NULL || !policy_has_fact(now, IOR_SLICE("bootstrap"))))
        err = first_start(&r, b);
    ior_buf_done(&r.key);
    ior_buf_done(&r.value);
    return err;
}

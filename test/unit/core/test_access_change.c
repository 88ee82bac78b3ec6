/* test/unit/core/test_access_change.c - users, groups and grants changed on a whole node: at once
 * from several workers, across starts, on a full disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/assert.h"
#include "core/access_change.h"
#include "rig.h"

#define HASH                                                                                       \
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$"                                       \
    "aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"

enum { MANY = 12 };

static struct rig rig;
static struct access_change *changes[MANY];

static void on_facts(struct meta_change *c)
{
    assert_int_equal(c->err, IOR_OK);
}

/* The admin, who may do everything. */
static void first_facts(void)
{
    struct meta_change *c = NULL;
    assert_int_equal(meta_change_new(&c), IOR_OK);
    assert_int_equal(
        meta_change_set(c, IOR_SLICE("user" FACT_SEP "admin"),
                        IOR_SLICE("{\"password\":\"" HASH "\",\"credential\":1,\"groups\":[]}")),
        IOR_OK);
    assert_int_equal(meta_change_set(c,
                                     IOR_SLICE("grant" FACT_SEP "user" FACT_SEP "admin" FACT_SEP
                                               "any" FACT_SEP FACT_SEP),
                                     IOR_SLICE("{\"perms\":[\"adminusers\",\"grant\"]}")),
                     IOR_OK);
    assert_int_equal(meta_change_submit(rig.node->meta, c, on_facts), IOR_OK);
    rig_settle(&rig);
    meta_change_free(c);
}

static int set_up(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_open(&rig);
    first_facts();
    return 0;
}

static void free_changes(void)
{
    for (unsigned i = 0; i < MANY; i++) {
        access_change_free(changes[i]);
        changes[i] = NULL;
    }
}

static int tear_down(void **state)
{
    (void)state;
    rig_settle(&rig);
    free_changes();
    rig_done(&rig);
    return 0;
}

static void on_done(struct access_change *c)
{
    c->user[0]++;
}

static struct access_wish wish(enum access_action action, const char *name, const char *role)
{
    return (struct access_wish){.action = action,
                                .by = IOR_SLICE("admin"),
                                .by_credential = 1,
                                .name = ior_slice_str(name),
                                .role = ior_slice_str(role),
                                .bucket = IOR_SLICE("b"),
                                .perm = PERM_GET,
                                .hash = IOR_SLICE(HASH),
                                .admin = IOR_SLICE("admin"),
                                .anonymous = IOR_SLICE("anonymous"),
                                .has_bucket = true,
                                .bucket_prefix = IOR_SLICE("_user_")};
}

static void submit(unsigned i, const struct access_wish *w)
{
    rig_enter(&rig, i % RIG_WORKERS);
    assert_null(changes[i]);
    assert_int_equal(access_change_new(w, &changes[i]), IOR_OK);
    assert_int_equal(iorio_access_change(rig.node, changes[i], on_done), IOR_OK);
    assert_int_equal(changes[i]->user[0], 0); /* never inside the call */
    rig_enter(&rig, 0);
}

static enum ior_err answer(unsigned i)
{
    assert_int_equal(changes[i]->user[0], 1);
    return changes[i]->err;
}

/* One, to its end. */
static enum ior_err change(const struct access_wish *w)
{
    submit(0, w);
    rig_settle(&rig);
    enum ior_err err = answer(0);
    access_change_free(changes[0]);
    changes[0] = NULL;
    return err;
}

static enum ior_err simple(enum access_action action, const char *name)
{
    struct access_wish w = wish(action, name, "");
    return change(&w);
}

static void expect_all(const char *user, enum perm perm, const char *stream, bool wanted)
{
    for (unsigned i = 0; i < RIG_WORKERS; i++) {
        rig_enter(&rig, i);
        assert_int_equal(policy_allows(meta_policy(rig.node->meta), ior_slice_str(user), perm,
                                       IOR_SLICE("b"), ior_slice_str(stream)),
                         wanted);
    }
    rig_enter(&rig, 0);
}

/* What: of several that make the same user at once one succeeds, on whichever worker. */
static void one_of_many_makes_the_user(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        struct access_wish w = wish(ACCESS_USER_NEW, i % 2 == 0 ? "ann" : "ANN", "");
        submit(i, &w);
    }
    rig_settle(&rig);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(answer(i), i == 0 ? IOR_OK : IOR_E_USEREXISTS);
}

/* What: permissions that are granted and revoked at once on one target: none is lost, none stays;
 * all of it is there after a start. */
static void grants_at_once(void **state)
{
    (void)state;
    static const enum perm perms[] = {PERM_GET, PERM_PUT, PERM_DELETE, PERM_LIST, PERM_GRANT};
    assert_int_equal(simple(ACCESS_USER_NEW, "ann"), IOR_OK);
    for (unsigned i = 0; i < 10; i++) {
        struct access_wish w = wish(i < 5 ? ACCESS_GRANT : ACCESS_REVOKE, "", "ann");
        w.perm = (uint8_t)perms[i % 5];
        if (i >= 5 && i % 2 == 0) w.action = ACCESS_GRANT;
        submit(i, &w);
    }
    rig_settle(&rig);
    for (unsigned i = 0; i < 10; i++) assert_int_equal(answer(i), IOR_OK);
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 5; i < 10; i++) expect_all("ann", perms[i % 5], "s", i % 2 == 0);
        free_changes();
        rig_close(&rig);
        rig_open(&rig);
    }
}

/* What: a user deleted while he is granted to: no grant is left over, whichever comes first, and
 * who is made again has none. */
static void deleted_while_granted_to(void **state)
{
    (void)state;
    for (unsigned at = 0; at < 5; at++) {
        assert_int_equal(simple(ACCESS_USER_NEW, "ann"), IOR_OK);
        for (unsigned i = 0; i < 5; i++) {
            char stream[8];
            snprintf(stream, sizeof stream, "s%u", i);
            struct access_wish w = wish(i == at ? ACCESS_USER_DELETE : ACCESS_GRANT, "ann", "ann");
            w.stream = ior_slice_str(stream);
            submit(i, &w);
        }
        rig_settle(&rig);
        for (unsigned i = 0; i < 5; i++) {
            assert_int_equal(answer(i), i <= at ? IOR_OK : IOR_E_INVAL);
            if (i > at) assert_string_equal(changes[i]->problem.field, "role");
        }
        free_changes();
        assert_int_equal(simple(ACCESS_USER_NEW, "ann"), IOR_OK);
        for (unsigned i = 0; i < 5; i++) {
            char stream[8];
            snprintf(stream, sizeof stream, "s%u", i);
            expect_all("ann", PERM_GET, stream, false);
        }
        assert_int_equal(simple(ACCESS_USER_DELETE, "ann"), IOR_OK);
    }
}

/* What: what somebody wishes when his right is already on its way out is refused. */
static void revoked_before_his_turn(void **state)
{
    (void)state;
    struct access_wish w = wish(ACCESS_GRANT, "", "ann");
    assert_int_equal(simple(ACCESS_USER_NEW, "ann"), IOR_OK);
    w.perm = PERM_GRANT;
    assert_int_equal(change(&w), IOR_OK);
    struct access_wish by_ann = wish(ACCESS_GRANT, "", "*");
    by_ann.by = IOR_SLICE("ann");
    by_ann.by_credential = 1;
    w.action = ACCESS_REVOKE;
    submit(0, &by_ann);
    submit(1, &w);
    by_ann.perm = PERM_PUT;
    submit(2, &by_ann);
    rig_settle(&rig);
    assert_int_equal(answer(0), IOR_OK);
    assert_int_equal(answer(1), IOR_OK);
    assert_int_equal(answer(2), IOR_E_NOPERM);
    expect_all("nobody", PERM_GET, "s", true);
    expect_all("nobody", PERM_PUT, "s", false);
}

/* What: what takes many facts is several records, and answered once, at the end. */
static void in_parts(void **state)
{
    (void)state;
    char name[16];
    assert_int_equal(simple(ACCESS_GROUP_NEW, "g"), IOR_OK);
    for (unsigned i = 0; i < 600; i++) {
        snprintf(name, sizeof name, "u%u", i);
        assert_int_equal(simple(ACCESS_USER_NEW, name), IOR_OK);
        struct access_wish w = wish(ACCESS_MEMBER_ADD, "g", name);
        assert_int_equal(change(&w), IOR_OK);
    }
    struct access_wish all = wish(ACCESS_GRANT, "", "g");
    assert_int_equal(change(&all), IOR_OK);
    expect_all("u7", PERM_GET, "s", true);
    assert_int_equal(simple(ACCESS_GROUP_DELETE, "g"), IOR_OK);
    expect_all("u7", PERM_GET, "s", false);
    rig_close(&rig);
    rig_open(&rig);
    expect_all("u7", PERM_GET, "s", false);
    assert_int_equal(simple(ACCESS_GROUP_NEW, "g"), IOR_OK);
    assert_int_equal(change(&all), IOR_OK);
    expect_all("u7", PERM_GET, "s", false); /* nobody is in it */
}

/* What: a full disk refuses, and what is acknowledged is there. */
static void full_disk(void **state)
{
    (void)state;
    char name[16];
    enum ior_err err = IOR_OK;
    unsigned n = 0;
    disk_sim_set_limit(rig.disk, disk_sim_used_bytes(rig.disk));
    for (; n < 1000 && err == IOR_OK; n++) {
        snprintf(name, sizeof name, "u%u", n);
        err = simple(ACCESS_USER_NEW, name);
    }
    assert_int_equal(err, IOR_E_NOSPC);
    rig_drop(&rig);
    disk_sim_set_limit(rig.disk, UINT64_MAX);
    rig_open(&rig);
    const struct policy *p = meta_newest_policy(rig.node->meta);
    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof name, "u%u", i);
        assert_int_equal(policy_user(p, ior_slice_str(name)) != NULL, i < n - 1);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(one_of_many_makes_the_user), T(grants_at_once), T(deleted_while_granted_to),
        T(revoked_before_his_turn),    T(in_parts),       T(full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

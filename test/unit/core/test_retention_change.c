/* test/unit/core/test_retention_change.c - setting and removing what is kept, on a whole node. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/retention_change.h"
#include "rig.h"

static struct rig rig;

static int set_up(void **state)
{
    (void)state;
    rig_init(&rig);
    rig_open(&rig);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_done(&rig);
    return 0;
}

static void on_done(struct retention_change *c)
{
    c->user[0]++;
}

/* max_events 0: remove. What iorio_retention_change() or its callback said. */
static enum ior_err change(const char *bucket, const char *stream, uint64_t max_events)
{
    struct retention r = {.max_events = max_events};
    struct retention_change *c = NULL;
    assert_int_equal(retention_change_new(ior_slice_str(bucket), ior_slice_str(stream),
                                          max_events == 0 ? NULL : &r, &c),
                     IOR_OK);
    enum ior_err err = iorio_retention_change(rig.node, c, on_done);
    assert_int_equal(c->user[0], 0); /* never inside the call */
    if (err == IOR_OK) {
        rig_settle(&rig);
        assert_int_equal(c->user[0], 1);
        err = c->err;
    }
    retention_change_free(c);
    return err;
}

static void expect(const char *bucket, const char *stream, uint64_t max_events)
{
    for (unsigned w = 0; w < RIG_WORKERS; w++) {
        struct retention r = {0};
        rig_enter(&rig, w);
        bool there = retention_view_own(meta_retention(rig.node->meta), ior_slice_str(bucket),
                                        ior_slice_str(stream), &r);
        assert_int_equal(there, max_events != 0);
        assert_int_equal(r.max_events, max_events);
    }
    rig_enter(&rig, 0);
}

/* What: set, replaced, removed, with and without events; there again after a start. */
static void changes_hold(void **state)
{
    (void)state;
    assert_int_equal(change("b", "", 100), IOR_OK);
    assert_int_equal(change("b", "s", 10), IOR_OK);
    assert_int_equal(change("b", "s", 11), IOR_OK);
    assert_int_equal(change("$sys", "a|b", RETENTION_NONE), IOR_OK);
    assert_int_equal(rig_put(&rig, "b", "s", "1"), 1);
    for (int i = 0; i < 2; i++) {
        expect("b", "", 100);
        expect("b", "s", 11);
        expect("$sys", "a|b", RETENTION_NONE);
        expect("$sys", "", 0);
        rig_close(&rig);
        rig_open(&rig);
    }
    rig_enter(&rig, 1);
    assert_int_equal(change("b", "", 0), IOR_OK);
    rig_enter(&rig, 1);
    assert_int_equal(change("b", "nothing", 0), IOR_OK);
    rig_drop(&rig);
    rig_open(&rig);
    expect("b", "", 0);
    expect("b", "s", 11);
    expect("b", "nothing", 0);
}

/* What: a full disk refuses the change and the old policy stays. */
static void full_disk_changes_nothing(void **state)
{
    (void)state;
    enum ior_err err = IOR_OK;
    uint64_t last = 0;
    disk_sim_set_limit(rig.disk, disk_sim_used_bytes(rig.disk));
    for (uint64_t n = 1; n < 1000 && err == IOR_OK; n++) {
        err = change("b", "", n);
        if (err == IOR_OK) last = n;
    }
    assert_int_equal(err, IOR_E_NOSPC);
    expect("b", "", last);
    disk_sim_set_limit(rig.disk, UINT64_MAX);
}

static void on_filled(struct meta_change *c)
{
    assert_int_equal(c->err, IOR_OK);
    c->user = NULL;
}

/* What: as many policies as there may be; one more is refused, changing one and removing one is
 * not. */
static void the_number_is_bounded(void **state)
{
    (void)state;
    struct meta_change *c = NULL;
    char key[64];
    assert_int_equal(meta_change_new(&c), IOR_OK);
    for (unsigned i = 0; i < RETENTION_POLICIES_MAX; i++) {
        snprintf(key, sizeof key, "retention" FACT_SEP "b" FACT_SEP "s%u", i);
        assert_int_equal(meta_change_set(c, ior_slice_str(key), IOR_SLICE("{\"max_events\":3}")),
                         IOR_OK);
    }
    c->user = c;
    assert_int_equal(meta_change_submit(rig.node->meta, c, on_filled), IOR_OK);
    rig_settle(&rig);
    assert_null(c->user);
    meta_change_free(c);
    assert_int_equal(retention_view_count(meta_retention(rig.node->meta)), RETENTION_POLICIES_MAX);
    assert_int_equal(change("b", "one more", 1), IOR_E_NOSPC);
    assert_int_equal(change("b", "", 1), IOR_E_NOSPC);
    assert_int_equal(change("b", "s7", 9), IOR_OK);
    expect("b", "s7", 9);
    assert_int_equal(change("b", "s8", 0), IOR_OK);
    assert_int_equal(change("b", "one more", 1), IOR_OK);
    expect("b", "one more", 1);
    expect("b", "s9", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(changes_hold, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_disk_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_number_is_bounded, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/core/test_disk_full.c - a disk without room: appends are refused early, what makes room
 * goes on, and when there is room appends go on. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "core/checkpoint.h"
#include "expect.h"

enum { RESERVE_BYTES = 64 << 10, SECOND_US = 1000000, POSTS_MAX = 1000 };

static struct rig rig;
static char large[6000];

static int set_up(void **state)
{
    (void)state;
    large[0] = '"';
    memset(large + 1, 'x', sizeof large - 3);
    large[sizeof large - 2] = '"';
    rig_init(&rig);
    rig.params.disk_reserve_bytes = RESERVE_BYTES;
    rig_open(&rig);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_done(&rig);
    return 0;
}

static enum ior_err post(const char *stream)
{
    struct rig_post p;
    rig_post(&rig, &p, "b", stream, large);
    rig_settle(&rig);
    enum ior_err err = p.submitted != IOR_OK ? p.submitted : p.a->err;
    rig_post_free(&p);
    return err;
}

/* How many until it is not OK. */
static unsigned fill(const char *stream, enum ior_err *ret)
{
    unsigned count = 0;
    while ((*ret = post(stream)) == IOR_OK) assert_true(++count < POSTS_MAX);
    return count;
}

static void on_trimmed(struct trim *t)
{
    t->user[0] = 1;
}

static enum ior_err delete_stream(const char *stream)
{
    struct trim *t = NULL;
    enum ior_err err = trim_new(IOR_SLICE("b"), ior_slice_str(stream), &t);
    IOR_ASSERT(err == IOR_OK);
    t->all = true;
    err = iorio_trim(rig.node, t, on_trimmed);
    rig_settle(&rig);
    if (err == IOR_OK) {
        assert_int_equal(t->user[0], 1);
        err = t->err;
    }
    trim_free(t);
    return err;
}

/* What: an append is refused while there is still room for the events in memory and the reserve,
 * so the checkpoint that follows has room; a deletion goes through, and gives the room back. */
static void room_is_kept_back(void **state)
{
    (void)state;
    enum ior_err err = IOR_OK;
    disk_sim_set_limit(rig.disk, disk_sim_used_bytes(rig.disk) + (1 << 20));
    node_look_at_disk(rig.node);
    assert_true(node_writable(rig.node));
    const unsigned count = fill("s", &err);
    assert_int_equal(err, IOR_E_NOSPC);
    assert_true(count > 20);
    node_look_at_disk(rig.node);
    assert_int_equal(rig_checkpoint(&rig), IOR_OK);
    while ((err = post("s")) == IOR_OK) assert_int_equal(rig_checkpoint(&rig), IOR_OK);
    assert_int_equal(err, IOR_E_NOSPC);
    assert_false(node_writable(rig.node));
    const uint64_t high = high_of(&rig, "b", "s");
    const uint64_t used = disk_sim_used_bytes(rig.disk);
    assert_int_equal(delete_stream("s"), IOR_OK);
    assert_int_equal(rig_checkpoint(&rig), IOR_OK);
    assert_true(disk_sim_used_bytes(rig.disk) + high * 5000 < used + (200 << 10));
    assert_true(node_writable(rig.node));
    assert_int_equal(post("s"), IOR_OK);
    assert_int_equal(high_of(&rig, "b", "s"), high + 1);
}

/* What: when no segment can be made the last part of the one in use is for deletions. */
static void journal_keeps_a_rest(void **state)
{
    (void)state;
    enum ior_err err = IOR_OK;
    assert_int_equal(post("s"), IOR_OK);
    assert_int_equal(post("t"), IOR_OK);
    disk_sim_set_limit(rig.disk, disk_sim_used_bytes(rig.disk) + RESERVE_BYTES + 60000);
    journal_prepare(rig.node->journal);
    assert_true(journal_full(rig.node->journal));
    fill("s", &err);
    assert_int_equal(err, IOR_E_NOSPC);
    assert_int_equal(delete_stream("s"), IOR_OK);
    assert_int_equal(delete_stream("t"), IOR_OK);
    assert_int_equal(journal_active_segment(rig.node->journal), 1);
}

/* Two streams of which the first one's vnode is saved first. */
static void two_streams(char first[16], char second[16])
{
    uint64_t hash = 0;
    uint32_t lowest = UINT32_MAX;
    uint32_t highest = 0;
    for (unsigned i = 0; i < 32; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%u", i);
        const struct vnode *vn = node_route(rig.node, IOR_SLICE("b"), ior_slice_str(name), &hash);
        if (vn->partition < lowest) memcpy(first, name, sizeof name);
        if (vn->partition > highest) memcpy(second, name, sizeof name);
        if (vn->partition < lowest) lowest = vn->partition;
        if (vn->partition > highest) highest = vn->partition;
    }
    assert_true(lowest < highest);
}

/* What: a vnode that has no room does not keep the others from being saved, nor files that are
 * no longer needed from being removed; its own events stay in memory and in the journal. */
static void others_go_on(void **state)
{
    (void)state;
    char full[16];
    char gone[16];
    two_streams(full, gone);
    for (int i = 0; i < 8; i++) assert_int_equal(post(gone), IOR_OK);
    assert_int_equal(rig_checkpoint(&rig), IOR_OK);
    const uint64_t used = disk_sim_used_bytes(rig.disk);
    assert_int_equal(delete_stream(gone), IOR_OK);
    for (int i = 0; i < 3; i++) assert_int_equal(post(full), IOR_OK);
    rig.mono_us += SECOND_US;
    disk_sim_fail(rig.disk, DISK_SIM_CREATE, 1, IOR_E_NOSPC, false);
    assert_int_equal(rig_checkpoint(&rig), IOR_E_NOSPC);
    assert_true(disk_sim_failed(rig.disk));
    assert_true(disk_sim_used_bytes(rig.disk) + 30000 < used);
    rig_drop(&rig);
    rig_open(&rig);
    assert_int_equal(high_of(&rig, "b", full), 3);
    assert_int_equal(high_of(&rig, "b", gone), 8);
    assert_int_equal(rig_checkpoint(&rig), IOR_OK);
    assert_int_equal(post(gone), IOR_OK);
}

/* What: without room a checkpoint is due every second, when there is anything to save. */
static void checkpoints_are_due(void **state)
{
    (void)state;
    struct checkpoint *c = rig.node->checkpoint;
    assert_int_equal(post("s"), IOR_OK);
    rig.mono_us += 2 * SECOND_US;
    assert_false(checkpoint_is_due(c));
    disk_sim_set_limit(rig.disk, disk_sim_used_bytes(rig.disk) + RESERVE_BYTES + 8000);
    assert_true(checkpoint_is_due(c));
    assert_int_equal(rig_checkpoint(&rig), IOR_OK);
    assert_false(checkpoint_is_due(c));
    rig.mono_us += 2 * SECOND_US;
    assert_false(checkpoint_is_due(c));
    disk_sim_set_limit(rig.disk, UINT64_MAX);
    assert_false(checkpoint_is_due(c));
    assert_true(node_writable(rig.node));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(room_is_kept_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(journal_keeps_a_rest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(others_go_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(checkpoints_are_due, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

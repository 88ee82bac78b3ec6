/* test/unit/cluster/test_meta.c - the facts of group 0 (meta.c, meta_state.c, meta_view.c): a
 * change is whole, durable and seen by every worker before it is answered; what cannot be stored
 * leaves the old view; only the part of the view that changed is made anew. */
#include "meta_rig.h"

/* ---- tests ---- */

/* What: nobody sees a change before it is durable; its caller hears of it after every
 * worker has it; a start has it too. */
static void answered_when_all_see_it(void **state)
{
    (void)state;
    change_user(0, 1, "ann", 3);
    jr_turns(&jr);
    assert_true(journal_begin(jr.journal));
    jr_turns(&jr);
    expect_seen("ann", 0);
    journal_finish(jr.journal);
    jr_turn(&jr, 1); /* committed; worker 1 may have it, worker 0 has not had a turn */
    jr_turn(&jr, 1);
    assert_int_equal(seen_by(0, "ann"), 0);
    assert_int_equal(answers, 0);
    settle();
    assert_int_equal(calls[0].order, 1);
    assert_int_equal(calls[0].err, IOR_OK);
    expect_seen("ann", 3);
    close_all();
    open_all();
    expect_seen("ann", 3);
}

/* What: a change of several facts is one record: whole, or not there. */
static void several_facts_are_one(void **state)
{
    (void)state;
    new_change(0);
    assert_int_equal(add_user(0, "ann", 1), IOR_OK);
    assert_int_equal(add_user(0, "bob", 2), IOR_OK);
    assert_int_equal(add_user(0, "cyd", 3), IOR_OK);
    submit(0, 0);
    settle();
    new_change(1);
    assert_int_equal(add_user(1, "ann", 0), IOR_OK); /* unset */
    assert_int_equal(add_user(1, "bob", 7), IOR_OK);
    assert_int_equal(add_user(1, "nobody", 0), IOR_OK); /* unset what is not there */
    submit(1, 1);
    settle();
    assert_int_equal(calls[1].err, IOR_OK);
    for (int i = 0; i < 2; i++) {
        expect_seen("ann", 0);
        expect_seen("bob", 7);
        expect_seen("cyd", 3);
        assert_int_equal(jr.report.records, i == 0 ? 0 : 3); /* a vote and two changes */
        close_all();
        open_all();
    }
}

/* What: changes under way at once are applied in order and each is answered once. */
static void changes_follow_each_other(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) change_user(i, i % 2, "ann", i + 1);
    assert_true(commit());
    change_user(4, 0, "ann", 5);
    settle();
    for (unsigned i = 0; i < 5; i++) {
        assert_int_not_equal(calls[i].order, 0);
        assert_int_equal(calls[i].err, IOR_OK);
    }
    expect_seen("ann", 5);
}

/* What: the power fails with a change on its way: the old facts or the new ones. */
static void power_cut_leaves_old_or_new(void **state)
{
    (void)state;
    bool old_seen = false;
    bool new_seen = false;
    change_user(0, 0, "ann", 1);
    settle();
    for (unsigned round = 0; round < 24; round++) {
        uint64_t before = credential_in(meta_newest_policy(meta), "ann");
        calls[1] = (struct call){0};
        change_user(1, 0, "ann", 100 + round);
        assert_true(journal_begin(jr.journal));
        disk_sim_kill(jr.disk);
        journal_finish(jr.journal);
        settle();
        assert_int_equal(calls[1].err, IOR_E_IO);
        expect_seen("ann", before);
        meta_change_free(calls[1].change);
        calls[1].change = NULL;
        jr_drop(&jr);
        meta_free(meta);
        disk_sim_crash(jr.disk, (enum disk_sim_loss)(1 + round % (DISK_SIM_LOSS_COUNT - 1)));
        open_all();
        uint64_t after = credential_in(meta_newest_policy(meta), "ann");
        assert_true(after == before || after == 100 + round);
        old_seen = old_seen || after == before;
        new_seen = new_seen || after == 100 + round;
    }
    assert_true(old_seen && new_seen);
}

/* What: no room: the change is refused, the old view stays; with room it works again. */
static void full_disk_refuses(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= 3; i++) {
        calls[0] = (struct call){0};
        change_user(0, 0, "ann", i);
        assert_true(commit());
        settle();
        meta_change_free(calls[0].change);
        calls[0].change = NULL;
    }
    disk_sim_set_limit(jr.disk, disk_sim_used_bytes(jr.disk));
    change_user(1, 1, "ann", 9);
    settle();
    assert_int_equal(calls[1].err, IOR_E_NOSPC);
    expect_seen("ann", 3);
    disk_sim_set_limit(jr.disk, UINT64_MAX);
    jr.mono_us += JOURNAL_NOSPC_RETRY_MS * 1000;
    change_user(2, 1, "ann", 10);
    settle();
    assert_int_equal(calls[2].err, IOR_OK);
    expect_seen("ann", 10);
    close_all();
    open_all();
    expect_seen("ann", 10);
}

/* What: keys and values that are too large are refused when they are added. */
static void too_large_is_refused(void **state)
{
    (void)state;
    char *large = calloc(1, FACT_BYTES_MAX + 1);
    assert_non_null(large);
    new_change(0);
    assert_int_equal(
        meta_change_set(calls[0].change, ior_slice(large, FACT_BYTES_MAX / 2 + 1), IOR_SLICE("{}")),
        IOR_E_TOOLARGE);
    assert_int_equal(
        meta_change_set(calls[0].change, IOR_SLICE("k"), ior_slice(large, FACT_BYTES_MAX + 1)),
        IOR_E_TOOLARGE);
    assert_true(meta_change_empty(calls[0].change));
    free(large);
}

/* What: facts of kinds that this version does not know are kept for those who do. */
static void unknown_facts_are_kept(void **state)
{
    (void)state;
    new_change(0);
    assert_int_equal(
        meta_change_set(calls[0].change, IOR_SLICE("later" FACT_SEP "x"), IOR_SLICE("{\"a\":1}")),
        IOR_OK);
    assert_int_equal(add_user(0, "ann", 4), IOR_OK);
    submit(0, 0);
    settle();
    assert_int_equal(calls[0].err, IOR_OK);
    close_all();
    open_all();
    expect_seen("ann", 4);
}

/* ---- what is kept ---- */

#define KEEP(x) "retention" FACT_SEP x

/* value NULL: unset. */
static void change_retention(unsigned i, unsigned worker, const char *key, const char *value)
{
    struct ior_slice none = {NULL, 0};
    calls[i] = (struct call){0};
    new_change(i);
    assert_int_equal(meta_change_set(calls[i].change, ior_slice_str(key),
                                     value == NULL ? none : ior_slice_str(value)),
                     IOR_OK);
    submit(i, worker);
}

static void finish(unsigned i, enum ior_err wanted)
{
    settle();
    assert_int_not_equal(calls[i].order, 0);
    assert_int_equal(calls[i].err, wanted);
    meta_change_free(calls[i].change);
    calls[i].change = NULL;
}

/* max_events of a stream, as the worker sees it; 0: no policy. */
static uint64_t kept_by(unsigned worker, const char *bucket, const char *stream)
{
    struct retention r;
    worker_enter(&jr.workers[worker]);
    bool any =
        retention_view_get(meta_retention(meta), ior_slice_str(bucket), ior_slice_str(stream), &r);
    worker_enter(NULL);
    return any ? r.max_events : 0;
}

static void expect_kept(const char *bucket, const char *stream, uint64_t max_events)
{
    for (unsigned i = 0; i < JR_WORKERS; i++)
        assert_int_equal(kept_by(i, bucket, stream), max_events);
}

struct two_views {
    const struct policy *policy;
    const struct retention_view *retention;
};

static struct two_views views_of(unsigned worker)
{
    worker_enter(&jr.workers[worker]);
    struct two_views v = {meta_policy(meta), meta_retention(meta)};
    worker_enter(NULL);
    return v;
}

/* What: a change of what is kept is seen by every worker before it is answered, and after a
 * start; a bucket is the default of its streams. */
static void retention_is_seen_by_all(void **state)
{
    (void)state;
    expect_kept("b", "s", 0);
    change_retention(0, 1, KEEP("b"), "{\"max_events\":10}");
    assert_true(commit());
    jr_turn(&jr, 1);
    jr_turn(&jr, 1);
    assert_int_equal(kept_by(0, "b", "s"), 0); /* worker 0 has not had a turn */
    assert_int_equal(answers, 0);
    finish(0, IOR_OK);
    expect_kept("b", "s", 10);
    change_retention(0, 0, KEEP("b" FACT_SEP "s"), "{\"max_events\":3}");
    finish(0, IOR_OK);
    for (int i = 0; i < 2; i++) {
        expect_kept("b", "s", 3);
        expect_kept("b", "other", 10);
        expect_kept("bb", "s", 0);
        close_all();
        open_all();
    }
    change_retention(0, 0, KEEP("b"), NULL);
    finish(0, IOR_OK);
    change_retention(0, 0, KEEP("nobody"), NULL);
    finish(0, IOR_OK);
    for (int i = 0; i < 2; i++) {
        expect_kept("b", "s", 3);
        expect_kept("b", "other", 0);
        close_all();
        open_all();
    }
}

/* What: a change of one part leaves the other part the same object. */
static void only_what_changed_is_made_anew(void **state)
{
    (void)state;
    struct two_views before = views_of(0);
    change_retention(0, 0, KEEP("b"), "{\"max_events\":10}");
    finish(0, IOR_OK);
    struct two_views after = views_of(0);
    assert_ptr_equal(after.policy, before.policy);
    assert_ptr_not_equal(after.retention, before.retention);
    assert_ptr_equal(views_of(1).retention, after.retention);
    change_user(1, 1, "ann", 3);
    finish(1, IOR_OK);
    before = after;
    after = views_of(1);
    assert_ptr_not_equal(after.policy, before.policy);
    assert_ptr_equal(after.retention, before.retention);
    expect_seen("ann", 3);
    expect_kept("b", "s", 10);
}

/* What: both parts in one change, and several changes under way at once. */
static void both_parts_at_once(void **state)
{
    (void)state;
    new_change(0);
    assert_int_equal(add_user(0, "ann", 7), IOR_OK);
    for (unsigned n = 0; n < 500; n++) {
        char key[64];
        snprintf(key, sizeof key, KEEP("b" FACT_SEP "s%u"), n);
        assert_int_equal(
            meta_change_set(calls[0].change, ior_slice_str(key), IOR_SLICE("{\"max_events\":5}")),
            IOR_OK);
    }
    submit(0, 0);
    for (unsigned i = 1; i < CALLS_MAX; i++)
        change_retention(i, i % 2, KEEP("b" FACT_SEP "s1"),
                         i % 2 == 0 ? NULL : "{\"max_events\":6}");
    for (unsigned i = 0; i < CALLS_MAX; i++) finish(i, IOR_OK);
    for (int i = 0; i < 2; i++) {
        expect_seen("ann", 7);
        expect_kept("b", "s0", 5);
        expect_kept("b", "s499", 5);
        expect_kept("b", "s1", 6); /* the last one, number 7 */
        worker_enter(&jr.workers[0]);
        assert_int_equal(retention_view_count(meta_retention(meta)), 500);
        worker_enter(NULL);
        close_all();
        open_all();
    }
}

/* What: a fact about retention that could not be read back is refused before it is proposed. */
static void unreadable_retention_is_not_proposed(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {KEEP("b"), "{\"max_events\":0}"},
        {KEEP("b"), "{\"max_idle\":1}"},
        {KEEP("b"), "[]"},
        {KEEP(""), "{}"},
        {"retention", "{}"},
        {KEEP("b" FACT_SEP), "{}"},
        {KEEP("b" FACT_SEP "s"), "{\"max_total_bytes\":1}"},
    };
    new_change(0);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(meta_change_set(calls[0].change, ior_slice_str(wrong[i][0]),
                                         ior_slice_str(wrong[i][1])),
                         IOR_E_INVAL);
    assert_int_equal(
        meta_change_set(calls[0].change, IOR_SLICE("retention"), (struct ior_slice){NULL, 0}),
        IOR_E_INVAL);
    assert_true(meta_change_empty(calls[0].change));
}

/* What: no room: the change is refused, and what was kept before is kept on. */
static void full_disk_keeps_retention(void **state)
{
    (void)state;
    change_retention(0, 0, KEEP("b"), "{\"max_events\":10}");
    finish(0, IOR_OK);
    disk_sim_set_limit(jr.disk, disk_sim_used_bytes(jr.disk));
    enum ior_err err = IOR_OK;
    for (unsigned n = 0; err == IOR_OK && n < 8; n++) {
        change_retention(0, 0, KEEP("b"), "{\"max_events\":10}");
        settle();
        err = calls[0].err;
        meta_change_free(calls[0].change);
        calls[0].change = NULL;
    }
    assert_int_equal(err, IOR_E_NOSPC);
    change_retention(0, 0, KEEP("b"), NULL);
    finish(0, IOR_E_NOSPC);
    expect_kept("b", "s", 10);
    disk_sim_set_limit(jr.disk, UINT64_MAX);
    jr.mono_us += JOURNAL_NOSPC_RETRY_MS * 1000;
    change_retention(0, 0, KEEP("b"), NULL);
    finish(0, IOR_OK);
    expect_kept("b", "s", 0);
}

/* What: the power fails with a change on its way: the old policy or the new one. */
static void power_cut_leaves_old_or_new_retention(void **state)
{
    (void)state;
    char value[32];
    uint64_t before = 0;
    unsigned kept_old = 0;
    unsigned kept_new = 0;
    for (unsigned round = 0; round < 24; round++) {
        snprintf(value, sizeof value, "{\"max_events\":%u}", 100 + round);
        change_retention(0, 0, KEEP("b"), value);
        assert_true(journal_begin(jr.journal));
        disk_sim_kill(jr.disk);
        journal_finish(jr.journal);
        finish(0, IOR_E_IO);
        expect_kept("b", "s", before);
        jr_drop(&jr);
        meta_free(meta);
        disk_sim_crash(jr.disk, (enum disk_sim_loss)(1 + round % (DISK_SIM_LOSS_COUNT - 1)));
        open_all();
        uint64_t after = kept_by(0, "b", "s");
        assert_true(after == before || after == 100 + round);
        kept_old += after == before;
        kept_new += after != before;
        before = after;
        expect_kept("b", "s", after);
    }
    assert_true(kept_old > 0 && kept_new > 0);
}

/* ---- what a checkpoint takes ---- */

static struct meta_snapshot snap;
static struct ior_buf snap_items;
static unsigned snaps;
static struct msg snap_msg;

static void on_taken(struct meta_snapshot *s)
{
    assert_ptr_equal(s, &snap);
    assert_true(strand_inside(meta_strand(meta)));
    snaps++;
}

static void take_inside(struct msg *m)
{
    (void)m;
    meta_snapshot_take(meta, &snap);
}

/* It is taken when what was proposed before it is settled. */
static void take(uint64_t since)
{
    snap = (struct meta_snapshot){.taken = on_taken, .since = since};
    snaps = 0;
    snap_msg.run = take_inside;
    worker_enter(&jr.workers[0]);
    assert_int_equal(strand_post(meta_strand(meta), &snap_msg), IOR_OK);
    worker_enter(NULL);
}

/* The items of the snapshot, which is done with then. */
static struct ior_slice snap_bytes(void)
{
    ior_buf_done(&snap_items);
    ior_buf_init(&snap_items);
    assert_int_equal(meta_snapshot_write(&snap, &snap_items), IOR_OK);
    meta_snapshot_done(&snap);
    return ior_buf_slice(&snap_items);
}

/* A new meta that never saw the journal has the facts of the snapshot. */
static void restore_from_snap(void)
{
    struct ior_slice bytes = snap_bytes();
    struct meta_params p = {jr.journal, jr.worker_ptrs, JR_WORKERS, "iorio@here"};
    meta_free(meta);
    assert_int_equal(meta_new(&p, &meta), IOR_OK);
    assert_int_equal(meta_restore(meta, bytes, snap.term, snap.applied_index, &jr.why), IOR_OK);
    assert_int_equal(meta_start(meta, &jr.why), IOR_OK);
}

/* What: a snapshot waits for what was proposed before it, holds every fact as it is then and not
 * those that were unset, and gives them back; with nothing new since the last one it is empty. */
static void snapshots_hold_all_facts(void **state)
{
    (void)state;
    take(0);
    settle();
    assert_int_equal(snaps, 1);
    assert_false(snap.changed);
    change_user(0, 0, "ann", 3);
    change_user(1, 0, "bob", 4);
    settle();
    change_user(2, 1, "ann", 5);
    change_user(3, 1, "bob", 0);
    jr_turns(&jr);
    take(0);
    jr_turns(&jr);
    assert_int_equal(snaps, 0); /* the two are not durable yet */
    settle();
    assert_int_equal(snaps, 1);
    assert_true(snap.changed);
    assert_int_equal(snap.applied_index, 4);
    restore_from_snap();
    expect_seen("ann", 5);
    expect_seen("bob", 0);
    take(4);
    settle();
    assert_int_equal(snaps, 1);
    assert_false(snap.changed);
    assert_int_equal(snap_bytes().size_bytes, 0);
    take(3);
    settle();
    assert_true(snap.changed);
    restore_from_snap();
    expect_seen("ann", 5);
    ior_buf_done(&snap_items);
}

/* What: a record that the snapshot holds is passed over at replay, the next one is applied. */
static void replay_behind_a_snapshot(void **state)
{
    (void)state;
    change_user(0, 0, "ann", 3);
    settle();
    take(0);
    settle();
    change_user(1, 0, "ann", 7);
    settle();
    struct ior_slice bytes = snap_bytes();
    jr_close(&jr);
    meta_free(meta);
    for (unsigned i = 0; i < JR_WORKERS; i++) worker_init(&jr.workers[i], i, jr_no_wake, NULL);
    struct meta_params p = {NULL, jr.worker_ptrs, JR_WORKERS, "iorio@here"};
    assert_int_equal(journal_open(&jr.params, &jr.journal, &jr.why), IOR_OK);
    p.journal = jr.journal;
    assert_int_equal(meta_new(&p, &meta), IOR_OK);
    assert_int_equal(meta_restore(meta, bytes, snap.term, snap.applied_index, &jr.why), IOR_OK);
    assert_int_equal(journal_replay(jr.journal, on_record, NULL, &jr.report, &jr.why), IOR_OK);
    assert_int_equal(meta_start(meta, &jr.why), IOR_OK);
    assert_int_equal(journal_start(jr.journal, &jr.why), IOR_OK);
    expect_seen("ann", 7);
    change_user(2, 0, "ann", 8);
    settle();
    expect_seen("ann", 8);
    ior_buf_done(&snap_items);
}

/* What: bytes that are no facts are refused with a reason. */
static void no_snapshot(void **state)
{
    (void)state;
    struct meta_params p = {jr.journal, jr.worker_ptrs, JR_WORKERS, "iorio@here"};
    meta_free(meta);
    assert_int_equal(meta_new(&p, &meta), IOR_OK);
    jr.why.text[0] = 0;
    assert_int_not_equal(meta_restore(meta, ior_slice("what is this?", 13), 1, 1, &jr.why), IOR_OK);
    assert_int_not_equal(jr.why.text[0], 0);
}

/* ---- replay of what should not be there ---- */

static enum ior_err replay_item(enum item_op op, uint64_t index, const char *key, const char *value)
{
    size_t attrs = key == NULL ? 0 : attr_bytes(strlen(key));
    struct ior_blob *b = ior_blob_new(item_bytes(attrs, strlen(value)));
    assert_non_null(b);
    item_write(b->data, op, ITEM_FLAG_JSON, attrs, ior_slice_str(value));
    if (key != NULL) attr_write(b->data + ITEM_HEAD_BYTES, ATTR_KEY, ior_slice_str(key));
    item_set_place(b->data, 0, 0, 0);
    struct record_head head = {.kind = RECORD_ENTRY, .term = 1, .index = index};
    jr.why.text[0] = 0;
    enum ior_err err = meta_replay(meta, &head, ior_slice(b->data, b->size_bytes), &jr.why);
    ior_blob_unref(b);
    return err;
}

/* What: an item that is no fact names the place and the version. */
static void unreadable_items_are_refused(void **state)
{
    (void)state;
    struct meta_params p = {jr.journal, jr.worker_ptrs, JR_WORKERS, "iorio@here"};
    meta_free(meta);
    assert_int_equal(meta_new(&p, &meta), IOR_OK);
    assert_int_equal(replay_item(ITEM_APPEND, 1, "k", "{}"), IOR_E_VERSION);
    assert_string_equal(jr.why.text, "group 0, index 1: a fact that this version cannot read");
    assert_int_equal(replay_item(ITEM_SET, 2, NULL, "{}"), IOR_E_VERSION);
    assert_int_equal(replay_item(ITEM_SET, 4, "k", "{}"), IOR_E_CORRUPT);
    assert_int_equal(replay_item(ITEM_SET, 3, "k", "{}"), IOR_OK);
}

/* What: a stored fact of ours that cannot be read stops the start, and is named. */
static void unreadable_fact_stops_the_start(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        const char *value;
        enum ior_err err;
        const char *says;
    } cases[] = {
        {"user" FACT_SEP "ann", "{\"credential\":1}", IOR_E_CORRUPT, "fact user/ann"},
        {KEEP("b"), "{\"max_events\":-1}", IOR_E_CORRUPT, "fact retention/b: \"max_events\""},
        {KEEP("b" FACT_SEP), "{}", IOR_E_CORRUPT, "fact retention/b/: "},
        {KEEP("b"), "{\"max_idle\":1}", IOR_E_VERSION, "fact retention/b: \"max_idle\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct meta *other = NULL;
        struct meta *own = meta;
        struct meta_params p = {jr.journal, jr.worker_ptrs, JR_WORKERS, "iorio@here"};
        assert_int_equal(meta_new(&p, &other), IOR_OK);
        meta = other;
        assert_int_equal(replay_item(ITEM_SET, 1, cases[i].key, cases[i].value), IOR_OK);
        enum ior_err err = meta_start(meta, &jr.why);
        meta_free(other);
        meta = own;
        if (err != cases[i].err || strstr(jr.why.text, cases[i].says) == NULL)
            fail_msg("%s: %s", cases[i].key, jr.why.text);
    }
}

#define WITH_META(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_META(answered_when_all_see_it),
        WITH_META(several_facts_are_one),
        WITH_META(changes_follow_each_other),
        WITH_META(power_cut_leaves_old_or_new),
        WITH_META(full_disk_refuses),
        WITH_META(too_large_is_refused),
        WITH_META(unknown_facts_are_kept),
        WITH_META(retention_is_seen_by_all),
        WITH_META(only_what_changed_is_made_anew),
        WITH_META(both_parts_at_once),
        WITH_META(unreadable_retention_is_not_proposed),
        WITH_META(full_disk_keeps_retention),
        WITH_META(power_cut_leaves_old_or_new_retention),
        WITH_META(snapshots_hold_all_facts),
        WITH_META(replay_behind_a_snapshot),
        WITH_META(no_snapshot),
        WITH_META(unreadable_items_are_refused),
        WITH_META(unreadable_fact_stops_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

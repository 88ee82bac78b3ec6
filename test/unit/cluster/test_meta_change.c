/* test/unit/cluster/test_meta_change.c - changes that are made of what the facts are (meta.c): each
 * knows of those before it, also of those on their way, and forgets those that are given up. */
#include "meta_rig.h"

/* ---- changes that read ---- */

/* A change that raises the credential number of "ann" by `by`, or refuses. */
struct raise {
    unsigned by;         /* 0: nothing to do */
    enum ior_err refuse; /* of make */
    enum ior_err judge;  /* of judge */
    unsigned made;
    uint64_t seen;
};
static struct raise raises[CALLS_MAX];

static unsigned number_of(const struct meta_change *c)
{
    return (unsigned)((const struct call *)c->user - calls);
}

static enum ior_err make_raise(struct meta_change *c, const struct policy *now)
{
    unsigned i = number_of(c);
    struct raise *r = &raises[i];
    assert_true(strand_inside(meta_strand(meta)));
    r->made++;
    r->seen = credential_in(now, "ann");
    if (r->refuse != IOR_OK) return r->refuse;
    return r->by == 0 ? IOR_OK : add_user(i, "ann", (unsigned)r->seen + r->by);
}

static enum ior_err judge_raise(struct meta_change *c, const struct policy *now,
                                const struct policy *next)
{
    struct raise *r = &raises[number_of(c)];
    assert_int_equal(credential_in(now, "ann"), r->seen);
    assert_int_equal(credential_in(next, "ann"), r->seen + r->by);
    return r->judge;
}

static void prepare(unsigned i, struct raise how)
{
    meta_change_free(calls[i].change);
    calls[i] = (struct call){0};
    new_change(i);
    raises[i] = how;
    calls[i].change->make = make_raise;
    calls[i].change->judge = judge_raise;
}

static void raise_ann(unsigned i, unsigned worker, struct raise how)
{
    prepare(i, how);
    submit(i, worker);
}

static uint64_t ann(void)
{
    return credential_in(meta_newest_policy(meta), "ann");
}

static void expect_answer(unsigned i, enum ior_err err)
{
    assert_int_not_equal(calls[i].order, 0);
    assert_int_equal(calls[i].err, err);
}

/* ---- tests ---- */

/* What: changes that are under way at once build upon each other, on whichever worker. */
static void none_is_lost(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < CALLS_MAX; i++) {
            raise_ann(i, i % 2, (struct raise){.by = i + 1});
            if (i == 3)
                assert_true(journal_begin(jr.journal)); /* the first ones are being written */
        }
        journal_finish(jr.journal);
        settle();
        for (unsigned i = 0; i < CALLS_MAX; i++) {
            expect_answer(i, IOR_OK);
            assert_int_equal(raises[i].made, 1);
            if (i > 0) assert_int_equal(raises[i].seen, raises[i - 1].seen + i);
        }
        expect_seen("ann", (round + 1) * CALLS_MAX * (CALLS_MAX + 1) / 2);
    }
    close_all();
    open_all();
    expect_seen("ann", 5 * CALLS_MAX * (CALLS_MAX + 1) / 2);
}

/* What: what was built upon a change that is given up is given up with it, and the next one builds
 * upon what holds. */
static void given_up_is_forgotten(void **state)
{
    (void)state;
    raise_ann(0, 0, (struct raise){.by = 1});
    settle();
    for (unsigned i = 1; i <= 2; i++) {
        raise_ann(0, 0, (struct raise){.by = 1});
        settle();
    }
    uint64_t before = ann();
    disk_sim_set_limit(jr.disk, disk_sim_used_bytes(jr.disk));
    for (unsigned i = 1; i < 4; i++) raise_ann(i, i % 2, (struct raise){.by = 10});
    raise_ann(4, 0, (struct raise){.by = 0});
    raise_ann(5, 0, (struct raise){.refuse = IOR_E_EXISTS});
    assert_int_equal(raises[3].seen, before + 20);
    assert_int_equal(raises[5].seen, before + 30);
    settle();
    for (unsigned i = 1; i < 6; i++) expect_answer(i, IOR_E_NOSPC);
    expect_seen("ann", before);
    disk_sim_set_limit(jr.disk, UINT64_MAX);
    jr.mono_us += JOURNAL_NOSPC_RETRY_MS * 1000;
    raise_ann(6, 1, (struct raise){.by = 1});
    settle();
    expect_answer(6, IOR_OK);
    assert_int_equal(raises[6].seen, before);
    expect_seen("ann", before + 1);
}

/* What: what is refused, or not to be done, because of a change on its way is answered when that is
 * on the disk and (if it is good news) seen by every worker; nothing is written for it. */
static void judged_waits(void **state)
{
    (void)state;
    raise_ann(0, 0, (struct raise){.by = 1});
    raise_ann(1, 1, (struct raise){.by = 0});
    raise_ann(2, 0, (struct raise){.refuse = IOR_E_EXISTS});
    raise_ann(3, 1, (struct raise){.by = 5, .judge = IOR_E_INVAL});
    jr_turns(&jr);
    assert_int_equal(answers, 0);
    assert_true(journal_begin(jr.journal));
    jr_turns(&jr);
    assert_int_equal(answers, 0);
    journal_finish(jr.journal);
    jr_turn(&jr, 0);
    assert_int_equal(calls[1].order, 0); /* worker 1 has not had a turn */
    settle();
    expect_answer(0, IOR_OK);
    expect_answer(1, IOR_OK);
    expect_answer(2, IOR_E_EXISTS);
    expect_answer(3, IOR_E_INVAL);
    expect_seen("ann", 1);
    raise_ann(4, 0, (struct raise){.by = 0});
    assert_int_equal(calls[4].order, 0); /* never inside the call */
    jr_turn(&jr, 0);
    jr_turn(&jr, 0);
    assert_int_equal(calls[4].order, 0);
    settle();
    expect_answer(4, IOR_OK);
    close_all();
    open_all();
    assert_int_equal(jr.report.records, 2); /* a vote and one change */
    expect_seen("ann", 1);
}

/* What: a change that is answered may be submitted again: it is made anew. */
static void again(void **state)
{
    (void)state;
    raise_ann(0, 0, (struct raise){.by = 1});
    settle();
    for (unsigned n = 2; n < 6; n++) {
        calls[0].order = 0;
        submit(0, n % 2);
        settle();
        expect_answer(0, IOR_OK);
        assert_int_equal(raises[0].made, n);
        expect_seen("ann", n);
    }
}

static enum ior_err make_bad(struct meta_change *c, const struct policy *now)
{
    (void)now;
    return meta_change_set(c, IOR_SLICE("user" FACT_SEP "eve"), IOR_SLICE("{\"credential\":1}"));
}

/* What: a fact that could not be read back is refused before it is proposed, made or given: the
 * next start goes well. */
static void what_cannot_be_is_not_proposed(void **state)
{
    (void)state;
    raise_ann(0, 0, (struct raise){.by = 1});
    new_change(1);
    calls[1].change->make = make_bad;
    submit(1, 0);
    new_change(2);
    assert_int_equal(add_user(2, "bob", 4), IOR_OK);
    assert_int_equal(
        meta_change_set(calls[2].change, IOR_SLICE("grant" FACT_SEP "robot"), IOR_SLICE("{}")),
        IOR_OK);
    submit(2, 1);
    raise_ann(3, 0, (struct raise){.by = 1});
    settle();
    expect_answer(0, IOR_OK);
    expect_answer(1, IOR_E_CORRUPT);
    expect_answer(2, IOR_E_CORRUPT);
    expect_answer(3, IOR_OK);
    for (int i = 0; i < 2; i++) {
        expect_seen("ann", 2);
        expect_seen("bob", 0);
        close_all();
        open_all();
    }
}

/* What: two users that differ only in case, each made by a change that did not look. */
static void two_by_one_name(void **state)
{
    (void)state;
    change_user(0, 0, "ann", 1);
    change_user(1, 1, "ANN", 2);
    settle();
    expect_answer(0, IOR_OK);
    expect_answer(1, IOR_E_CORRUPT);
    close_all();
    open_all();
    expect_seen("Ann", 1);
}

/* What: whatever happens to the journal, a change is there as a whole or not at all, and never is
 * one there that was built upon another that is not. */
static void power_cut_takes_from_the_end(void **state)
{
    (void)state;
    bool seen[5] = {false};
    for (unsigned round = 0; round < 40; round++) {
        uint64_t before = ann();
        for (unsigned i = 0; i < 4; i++) {
            raise_ann(i, i % 2, (struct raise){.by = 1});
            if (i == 1) assert_true(journal_begin(jr.journal));
        }
        disk_sim_kill(jr.disk);
        journal_finish(jr.journal);
        settle();
        for (unsigned i = 0; i < 4; i++) {
            assert_int_not_equal(calls[i].order, 0);
            assert_int_not_equal(calls[i].err, IOR_OK);
        }
        expect_seen("ann", before);
        jr_drop(&jr);
        meta_free(meta);
        disk_sim_crash(jr.disk, (enum disk_sim_loss)(1 + round % (DISK_SIM_LOSS_COUNT - 1)));
        open_all();
        assert_in_range(ann() - before, 0, 4);
        seen[ann() - before] = true;
    }
    assert_true(seen[0]);
    assert_true(seen[2]);
}

/* What: when the journal has failed nothing is good news, not even that there is nothing to do:
 * what was given up may be there after the next start. */
static void no_good_news_after_a_failure(void **state)
{
    (void)state;
    raise_ann(0, 0, (struct raise){.by = 1});
    assert_true(journal_begin(jr.journal));
    disk_sim_kill(jr.disk);
    journal_finish(jr.journal);
    settle();
    expect_answer(0, IOR_E_IO);
    raise_ann(1, 1, (struct raise){.by = 0});
    raise_ann(2, 0, (struct raise){.refuse = IOR_E_EXISTS});
    raise_ann(3, 0, (struct raise){.by = 1});
    settle();
    expect_answer(1, IOR_E_IO);
    expect_answer(2, IOR_E_EXISTS);
    expect_answer(3, IOR_E_IO);
    jr_drop(&jr);
    meta_free(meta);
    disk_sim_crash(jr.disk, DISK_SIM_KILLED);
    open_all();
}

#define WITH_META(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_META(none_is_lost),
        WITH_META(given_up_is_forgotten),
        WITH_META(judged_waits),
        WITH_META(again),
        WITH_META(what_cannot_be_is_not_proposed),
        WITH_META(two_by_one_name),
        WITH_META(power_cut_takes_from_the_end),
        WITH_META(no_good_news_after_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/cluster/test_group.c - a group with one voter on a journal that the test drives
 * by hand: what is applied when, in which order, and what becomes of what is given up.
 * The log of a test: a1 applied, d1 done, d1:NOSPC done with an error, L lost(). */
#include "../store/journal_rig.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/limits.h"
#include "cluster/group.h"

enum { GROUP_ID = 4, CALLS_MAX = 24 };

/* A proposal of the test, and the message that brings it into the strand. */
struct call {
    struct msg msg;
    struct proposal proposal;
    struct record record;
    struct node_under_test *owner;
    unsigned number;
    bool barrier;
    enum ior_err err; /* of group_propose */
};

static struct node_under_test {
    struct jr jr;
    struct strand strand;
    struct group group;
    struct ior_buf log;
    struct call calls[CALLS_MAX];
    unsigned replayed;
} t;

/* ---- the owner of the group ---- */

static struct call *call_of(struct proposal *p)
{
    return IOR_CONTAINER(p, struct call, proposal);
}

static void on_apply(void *ctx, struct proposal *p)
{
    struct node_under_test *n = ctx;
    assert_true(strand_inside(&n->strand));
    ior_buf_addf(&n->log, "a%u ", call_of(p)->number);
}

static void on_lost(void *ctx)
{
    struct node_under_test *n = ctx;
    assert_true(strand_inside(&n->strand));
    ior_buf_add_str(&n->log, "L ");
}

static void on_done(void *ctx, struct proposal *p, enum ior_err err)
{
    struct node_under_test *n = ctx;
    struct call *c = call_of(p);
    assert_true(strand_inside(&n->strand));
    ior_buf_addf(&n->log, "d%u", c->number);
    if (err != IOR_OK) ior_buf_addf(&n->log, ":%s", ior_err_name(err));
    ior_buf_add_char(&n->log, ' ');
    record_done(&c->record);
}

static const struct group_ops ops = {on_apply, on_lost, on_done};

/* ---- start and end ---- */

static enum ior_err on_record(void *ctx, const struct record_head *head, struct ior_slice items,
                              struct ior_why *why)
{
    struct node_under_test *n = ctx;
    bool apply = false;
    (void)items;
    assert_int_equal(head->group, GROUP_ID);
    enum ior_err err = group_replay(&n->group, head, &apply, why);
    n->replayed += apply;
    return err;
}

static void open_all(void)
{
    struct jr *r = &t.jr;
    t.replayed = 0;
    for (unsigned i = 0; i < JR_WORKERS; i++) worker_init(&r->workers[i], i, jr_no_wake, NULL);
    assert_int_equal(journal_open(&r->params, &r->journal, &r->why), IOR_OK);
    strand_init(&t.strand);
    group_init(&t.group, GROUP_ID, r->journal, &t.strand, &ops, &t, "iorio@here");
    assert_int_equal(journal_replay(r->journal, on_record, &t, &r->report, &r->why), IOR_OK);
    assert_int_equal(journal_start(r->journal, &r->why), IOR_OK);
    ior_buf_clear(&t.log);
}

static void close_all(void)
{
    jr_close(&t.jr);
    strand_done(&t.strand);
}

static int set_up(void **state)
{
    (void)state;
    t = (struct node_under_test){0};
    jr_init(&t.jr);
    ior_buf_init(&t.log);
    open_all();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close_all();
    jr_done(&t.jr);
    ior_buf_done(&t.log);
    return 0;
}

/* ---- steps ---- */

static void run_call(struct msg *m)
{
    struct call *c = IOR_CONTAINER(m, struct call, msg);
    if (c->barrier) {
        group_barrier(&t.group, &c->proposal);
        return;
    }
    c->record = jr_record(c->number, 10);
    c->proposal.record = &c->record;
    c->proposal.time_ms = 1000 + c->number;
    c->err = group_propose(&t.group, &c->proposal);
    if (c->err != IOR_OK) record_done(&c->record);
}

static void post(unsigned number, unsigned worker, bool barrier)
{
    struct call *c = &t.calls[number];
    *c = (struct call){.msg = {.run = run_call}, .owner = &t, .number = number, .barrier = barrier};
    worker_enter(&t.jr.workers[worker]);
    assert_int_equal(strand_post(&t.strand, &c->msg), IOR_OK);
    worker_enter(NULL);
}

static enum ior_err propose(unsigned number, unsigned worker)
{
    post(number, worker, false);
    return t.calls[number].err;
}

static bool commit(void)
{
    if (!journal_begin(t.jr.journal)) return false;
    journal_finish(t.jr.journal);
    return true;
}

static void expect_log(const char *wanted)
{
    ior_buf_add_char(&t.log, 0);
    assert_string_equal((const char *)t.log.data, wanted);
    ior_buf_clear(&t.log);
}

/* ---- tests ---- */

/* What: nothing is applied before the sync; then in order; the first record of a process
 * is a VOTE with the next term. */
static void applied_when_durable(void **state)
{
    (void)state;
    assert_true(group_is_settled(&t.group));
    assert_int_equal(propose(1, 0), IOR_OK);
    assert_int_equal(propose(2, 0), IOR_OK);
    assert_false(group_is_settled(&t.group));
    jr_turns(&t.jr);
    expect_log("");
    assert_true(journal_begin(t.jr.journal));
    jr_turns(&t.jr);
    expect_log("");
    journal_finish(t.jr.journal);
    jr_turns(&t.jr);
    expect_log("a1 d1 a2 d2 ");
    assert_true(group_is_settled(&t.group));
    assert_int_equal(t.calls[1].proposal.index, 1);
    assert_int_equal(t.calls[2].proposal.index, 2);
    assert_int_equal(t.group.term, 1);
    close_all();
    open_all();
    assert_int_equal(t.replayed, 2);
    assert_int_equal(t.jr.report.records, 3);
    assert_int_equal(t.group.last_index, 2);
    assert_int_equal(t.group.applied_index, 2);
    assert_int_equal(propose(3, 0), IOR_OK);
    assert_int_equal(t.group.term, 2);
    assert_int_equal(t.calls[3].proposal.index, 3);
    assert_true(commit());
    jr_turns(&t.jr);
    expect_log("a3 d3 ");
}

/* What: a worker that hears first applies everything in front of its own record; each
 * proposal is done on the worker that brought it. */
static void answers_may_come_in_any_order(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= 4; i++) assert_int_equal(propose(i, i % 2), IOR_OK);
    assert_true(commit());
    jr_turn(&t.jr, 0);
    expect_log("a1 a2 d2 a3 a4 d4 ");
    assert_true(group_is_settled(&t.group));
    assert_int_equal(propose(5, 0), IOR_OK);
    jr_turn(&t.jr, 1);
    expect_log("d1 d3 ");
    assert_true(commit());
    jr_turns(&t.jr);
    expect_log("a5 d5 ");
}

/* What: a barrier waits for what was proposed before it and for nothing else, and is never
 * done inside of the call. */
static void barrier_waits_for_what_is_before(void **state)
{
    (void)state;
    post(1, 0, true);
    expect_log("d1 "); /* posted to the strand, run after the call */
    assert_int_equal(propose(2, 0), IOR_OK);
    post(3, 1, true);
    post(4, 1, true);
    assert_true(journal_begin(t.jr.journal));
    assert_int_equal(propose(5, 1), IOR_OK);
    post(6, 0, true);
    jr_turns(&t.jr);
    expect_log("");
    journal_finish(t.jr.journal);
    jr_turns(&t.jr);
    expect_log("a2 d3 d4 d2 ");
    assert_true(commit());
    jr_turns(&t.jr);
    expect_log("a5 d6 d5 ");
}

/* The disk is full after so many more pages of the segment. */
static void leave_pages(unsigned pages)
{
    for (unsigned n = 10; n < 13 - pages; n++) {
        assert_int_equal(propose(n, 0), IOR_OK);
        assert_true(commit());
    }
    jr_turns(&t.jr);
    ior_buf_clear(&t.log);
    disk_sim_set_limit(t.jr.disk, disk_sim_used_bytes(t.jr.disk));
}

static void give_room(void)
{
    disk_sim_set_limit(t.jr.disk, UINT64_MAX);
    t.jr.mono_us += JOURNAL_NOSPC_RETRY_MS * 1000;
}

/* What: what was given up is never applied; lost() comes before the done() of any of it,
 * and the next index is that of the first one given up. */
static void given_up_on_a_full_disk(void **state)
{
    (void)state;
    leave_pages(0);
    uint64_t index = t.group.applied_index;
    assert_int_equal(propose(1, 0), IOR_OK);
    assert_int_equal(propose(2, 1), IOR_OK);
    post(3, 0, true);
    assert_int_equal(t.group.last_index, index + 2);
    assert_false(commit());
    jr_turn(&t.jr, 1);
    expect_log(""); /* not before all have answered */
    assert_int_equal(propose(4, 1), IOR_E_LOST);
    jr_turn(&t.jr, 0);
    expect_log("L d1:NOSPC d2:NOSPC d3:NOSPC ");
    assert_int_equal(t.group.last_index, index);
    assert_true(group_is_settled(&t.group));
    give_room();
    assert_int_equal(propose(5, 0), IOR_OK);
    assert_int_equal(t.calls[5].proposal.index, index + 1);
    assert_true(commit());
    jr_turns(&t.jr);
    expect_log("a5 d5 ");
    close_all();
    open_all();
    assert_int_equal(t.group.applied_index, index + 1);
}

/* What: the answer of a batch that is durable comes after the failure of the next one: it
 * is applied all the same, before the rest is given up. */
static void durable_before_the_failure(void **state)
{
    (void)state;
    leave_pages(1);
    uint64_t index = t.group.applied_index;
    assert_int_equal(propose(1, 0), IOR_OK);
    assert_true(commit());
    assert_int_equal(propose(2, 1), IOR_OK);
    assert_false(commit());
    jr_turn(&t.jr, 1);
    expect_log("");
    jr_turn(&t.jr, 0);
    expect_log("a1 d1 L d2:NOSPC ");
    assert_int_equal(t.group.applied_index, index + 1);
    give_room();
    assert_int_equal(propose(3, 0), IOR_OK);
    assert_true(commit());
    jr_turns(&t.jr);
    expect_log("a3 d3 ");
    close_all();
    open_all();
    assert_int_equal(t.group.applied_index, index + 2);
}

/* What: the journal has given up what was before, and this group does not know yet: its
 * next record must not get into the journal. */
static void no_record_behind_a_gap(void **state)
{
    (void)state;
    leave_pages(0);
    assert_int_equal(propose(1, 0), IOR_OK);
    assert_false(commit());
    give_room();
    journal_prepare(t.jr.journal);
    assert_int_equal(propose(2, 1), IOR_E_LOST); /* the answer to 1 is still on its way */
    assert_false(journal_has_waiting(t.jr.journal));
    jr_turns(&t.jr);
    expect_log("L d1:NOSPC ");
    assert_int_equal(propose(3, 1), IOR_OK);
    assert_true(commit());
    jr_turns(&t.jr);
    expect_log("a3 d3 ");
}

/* What: the vote itself is given up: the next proposal votes again, with a higher term. */
static void lost_vote_is_repeated(void **state)
{
    (void)state;
    struct jr_call fill;
    for (uint64_t i = 1; i <= 3; i++) { /* another group fills the segment */
        assert_int_equal(jr_submit(&t.jr, &fill, 0, i, 10), IOR_OK);
        assert_true(commit());
        jr_turns(&t.jr);
    }
    disk_sim_set_limit(t.jr.disk, disk_sim_used_bytes(t.jr.disk));
    assert_int_equal(propose(1, 0), IOR_OK);
    assert_int_equal(t.group.term, 1);
    assert_false(commit());
    jr_turns(&t.jr);
    expect_log("L d1:NOSPC ");
    give_room();
    assert_int_equal(propose(2, 1), IOR_OK);
    assert_int_equal(t.group.term, 2);
    assert_int_equal(t.calls[2].proposal.index, 1);
    assert_true(commit());
    jr_turns(&t.jr);
    expect_log("a2 d2 ");
}

/* What: a failed sync: nothing of it is applied; nothing is taken any more. */
static void failed_sync_is_the_end(void **state)
{
    (void)state;
    assert_int_equal(propose(1, 0), IOR_OK);
    assert_true(commit());
    assert_int_equal(propose(2, 0), IOR_OK);
    assert_true(journal_begin(t.jr.journal));
    assert_int_equal(propose(3, 1), IOR_OK);
    disk_sim_fail(t.jr.disk, DISK_SIM_SYNC, 1, IOR_E_IO, false);
    journal_finish(t.jr.journal);
    assert_int_equal(propose(4, 0), IOR_E_IO);
    jr_turns(&t.jr);
    expect_log("a1 d1 L d2:IO d3:IO ");
    assert_int_equal(propose(5, 0), IOR_E_IO);
    post(6, 0, true);
    jr_turns(&t.jr);
    expect_log("d6 "); /* what is applied may still be read */
}

static void expect_replay(struct record_head head, enum ior_err wanted, const char *text)
{
    struct ior_why why = {""};
    bool apply = true;
    head.group = GROUP_ID;
    enum ior_err err = group_replay(&t.group, &head, &apply, &why);
    if (err != wanted || strstr(why.text, text) == NULL)
        fail_msg("%s: %s", ior_err_name(err), why.text);
    if (err != IOR_OK || head.kind == RECORD_VOTE) assert_false(apply);
}

/* What: only the next index and a term that does not go back is replayed; kinds of records
 * that a single node does not write name the version. */
static void replay_takes_only_what_follows(void **state)
{
    (void)state;
    expect_replay((struct record_head){.kind = RECORD_VOTE, .term = 3}, IOR_OK, "");
    expect_replay((struct record_head){.kind = RECORD_ENTRY, .term = 3, .index = 2}, IOR_E_CORRUPT,
                  "group 4: index 2 follows index 0");
    expect_replay((struct record_head){.kind = RECORD_ENTRY, .term = 3, .index = 1}, IOR_OK, "");
    expect_replay((struct record_head){.kind = RECORD_ENTRY, .term = 3, .index = 1}, IOR_E_CORRUPT,
                  "group 4: index 1 follows index 1");
    expect_replay((struct record_head){.kind = RECORD_ENTRY, .term = 2, .index = 2}, IOR_E_CORRUPT,
                  "group 4: the term goes back from 3 to 2");
    expect_replay((struct record_head){.kind = RECORD_VOTE, .term = 2}, IOR_E_CORRUPT,
                  "the term goes back");
    expect_replay((struct record_head){.kind = RECORD_TRUNCATE, .term = 3, .index = 1},
                  IOR_E_VERSION, "which a single node does not write");
    expect_replay((struct record_head){.kind = RECORD_SNAPSHOT, .term = 3}, IOR_E_VERSION,
                  "a record of kind 4");
    expect_replay((struct record_head){.kind = 99, .term = 3, .index = 2}, IOR_E_VERSION,
                  "a record of kind 99");
    expect_replay((struct record_head){.kind = RECORD_ENTRY, .term = 7, .index = 2}, IOR_OK, "");
    assert_int_equal(t.group.term, 7);
    assert_int_equal(t.group.applied_index, 2);
}

static void expect_skipped(struct record_head head)
{
    struct ior_why why;
    bool apply = true;
    const uint64_t term = t.group.term;
    const uint64_t index = t.group.applied_index;
    assert_int_equal(group_replay(&t.group, &head, &apply, &why), IOR_OK);
    assert_false(apply);
    assert_int_equal(t.group.term, term);
    assert_int_equal(t.group.applied_index, index);
}

/* What: behind a checkpoint older records are passed over, whatever is left of them; the next index
 * follows the one that was saved, a vote raises the term, and what does not fit is damage. */
static void replay_behind_a_checkpoint(void **state)
{
    (void)state;
    group_restore(&t.group, 5, 20);
    assert_int_equal(t.group.term, 5);
    assert_int_equal(t.group.applied_index, 20);
    expect_skipped((struct record_head){.kind = RECORD_VOTE, .term = 3, .index = 7});
    expect_skipped((struct record_head){.kind = RECORD_ENTRY, .term = 3, .index = 8});
    expect_skipped((struct record_head){.kind = RECORD_ENTRY, .term = 4, .index = 10});
    expect_skipped((struct record_head){.kind = RECORD_VOTE, .term = 5, .index = 15});
    expect_skipped((struct record_head){.kind = RECORD_ENTRY, .term = 5, .index = 20});
    expect_replay((struct record_head){.kind = RECORD_ENTRY, .term = 5, .index = 22}, IOR_E_CORRUPT,
                  "group 4: index 22 follows index 20");
    expect_replay((struct record_head){.kind = RECORD_ENTRY, .term = 4, .index = 21}, IOR_E_CORRUPT,
                  "group 4: the term goes back from 5 to 4");
    bool apply = false;
    struct ior_why why;
    const struct record_head next = {
        .kind = RECORD_ENTRY, .term = 5, .index = 21, .group = GROUP_ID};
    assert_int_equal(group_replay(&t.group, &next, &apply, &why), IOR_OK);
    assert_true(apply);
    expect_replay((struct record_head){.kind = RECORD_VOTE, .term = 6, .index = 21}, IOR_OK, "");
    assert_int_equal(t.group.term, 6);
    expect_replay((struct record_head){.kind = RECORD_ENTRY, .term = 6, .index = 22}, IOR_OK, "");
    assert_int_equal(t.group.applied_index, 22);
    expect_replay((struct record_head){.kind = RECORD_ENTRY, .term = 6, .index = 20}, IOR_E_CORRUPT,
                  "group 4: index 20 follows index 22");
}

#define WITH_GROUP(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_GROUP(applied_when_durable),
        WITH_GROUP(answers_may_come_in_any_order),
        WITH_GROUP(barrier_waits_for_what_is_before),
        WITH_GROUP(given_up_on_a_full_disk),
        WITH_GROUP(durable_before_the_failure),
        WITH_GROUP(no_record_behind_a_gap),
        WITH_GROUP(lost_vote_is_repeated),
        WITH_GROUP(failed_sync_is_the_end),
        WITH_GROUP(replay_takes_only_what_follows),
        WITH_GROUP(replay_behind_a_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

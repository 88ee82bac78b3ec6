/* test/unit/core/test_patch.c - patches of a stream, step by step: what they are applied to, what
 * is appended, and what is kept over a start. Races, loss and lack of memory: test_patch_races.c.
 */
#include "patched.h"

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

/* ---- what is appended ---- */

/* What: the result and the patch are in one record, with one time; both are there after a crash,
 * and after a checkpoint, byte for byte. */
static void one_record(void **state)
{
    static const char want[] = "b/s 1 1700000000 j {\"n\":1, \"x\" : 1.50}\n"
                               "b/s 2 1700000005 j {\"n\":2,\"x\":1.50}\n"
                               "b/s 1..2\n"
                               "b/s-$patch 1 1700000005 j " PATCH_SET_N("2") "\n"
                                                                             "b/s-$patch 1..1\n";
    struct rig_post p;
    (void)state;
    rig_put(&rig, "b", "s", "{\"n\":1, \"x\" : 1.50}");
    rig.wall_ms += 5;
    patch_submit(&rig, &p, "b", "s", PATCH_SET_N("2"));
    rig_turns(&rig);
    assert_int_equal(p.done, 0);
    assert_int_equal(high_of(&rig, "b", "s"), 1); /* not before it is on the disk */
    assert_int_equal(high_of(&rig, "b", "s-$patch"), 0);
    rig_settle(&rig);
    assert_int_equal(p.a->time_ms, 1700000005);
    assert_int_equal(outcome(&p), 2);
    expect_dump(&rig, want);
    rig_drop(&rig);
    rig_open(&rig);
    expect_dump(&rig, want);
    checkpoint_ok(&rig);
    evict(&rig);
    expect_dump(&rig, want);
    rig_close(&rig);
    rig_open(&rig);
    expect_dump(&rig, want);
}

/* What: memory that is counted for events is given back to the last byte, also when both streams
 * came from one record of a replay. */
static void memory_is_counted(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        rig_put(&rig, "b", "s", "{\"n\":1}");
        for (unsigned i = 0; i < 20; i++)
            assert_true(patch_now(&rig, "b", "s", PATCH_SET_N("2")) > 0);
        if (round == 1) {
            rig_drop(&rig);
            rig_open(&rig);
        }
        assert_true(atomic_load(&rig.node->memory.tail_bytes) > 0);
        checkpoint_ok(&rig);
        evict(&rig);
        assert_int_equal(atomic_load(&rig.node->memory.tail_bytes), 0);
        assert_int_equal(atomic_load(&rig.node->memory.history_bytes), 0);
        assert_int_equal(atomic_load(&rig.node->inflight_bytes), 0);
        assert_null(in_memory(&rig, "b", "s"));
    }
}

/* What: patches and appends that are on their way see each other: each is applied to what was
 * there before it, in one batch. */
static void on_what_is_on_its_way(void **state)
{
    struct rig_post p[5];
    (void)state;
    rig_post(&rig, &p[0], "b", "s", "{\"n\":10,\"a\":[]}");
    patch_submit(&rig, &p[1], "b", "s", "[{\"op\":\"add\",\"path\":\"/a/-\",\"value\":1}]");
    patch_submit(&rig, &p[2], "b", "s", "[{\"op\":\"add\",\"path\":\"/a/-\",\"value\":2}]");
    rig_post(&rig, &p[3], "b", "s", "{\"n\":20,\"a\":[0]}");
    patch_submit(&rig, &p[4], "b", "s", "[{\"op\":\"add\",\"path\":\"/a/-\",\"value\":3}]");
    rig_turns(&rig);
    assert_true(rig_commit(&rig));
    assert_false(rig_commit(&rig) && journal_has_waiting(rig.node->journal));
    rig_settle(&rig);
    for (int i = 0; i < 5; i++) assert_int_equal(outcome(&p[i]), i + 1);
    char *text = event_text(&rig, "b", "s", 3);
    assert_string_equal(text, "{\"n\":10,\"a\":[1,2]}");
    free(text);
    text = event_text(&rig, "b", "s", 5);
    assert_string_equal(text, "{\"n\":20,\"a\":[0,3]}");
    free(text);
    assert_int_equal(high_of(&rig, "b", "s-$patch"), 3);
}

/* What: the newest event is on the disk only, or in the file of a chunk: it is read. */
static void on_what_is_on_the_disk(void **state)
{
    char *large = large_document(7, 40000);
    (void)state;
    rig_put(&rig, "b", "small", "{\"n\":1}");
    rig_put(&rig, "b", "large", large);
    for (unsigned i = 0; i < 3; i++) {
        checkpoint_ok(&rig);
        evict(&rig);
        assert_null(in_memory(&rig, "b", "small"));
        if (i == 1) {
            rig_close(&rig);
            rig_open(&rig);
        }
        assert_int_equal(
            patch_now(&rig, "b", "small", "[{\"op\":\"add\",\"path\":\"/x\",\"value\":[]}]"),
            i + 2);
        assert_int_equal(patch_now(&rig, "b", "large", PATCH_SET_N("8")), i + 2);
        assert_int_equal(number_in(&rig, "large", i + 2), 8);
        assert_int_equal(high_of(&rig, "b", "small-$patch"), i + 1);
        assert_int_equal(high_of(&rig, "b", "large-$patch"), i + 1);
    }
    char *text = event_text(&rig, "b", "small", 4);
    assert_string_equal(text, "{\"n\":1,\"x\":[]}");
    free(text);
    free(large);
}

/* What: with next to no memory for streams that are saved a patch ends all the same. */
static void without_history(void **state)
{
    (void)state;
    rig_close(&rig);
    rig.params.history_bytes_max = 1;
    rig_open(&rig);
    rig_put(&rig, "b", "s", "{\"n\":1}");
    for (unsigned i = 0; i < 5; i++) {
        checkpoint_ok(&rig);
        evict(&rig);
        assert_int_equal(patch_now(&rig, "b", "s", PATCH_SET_N("2")), i + 2);
    }
    assert_int_equal(high_of(&rig, "b", "s-$patch"), 5);
}

static void on_fired(struct watch *w)
{
    w->user[0]++;
}

/* What: the stream of the patches is like any other: it may be there already, be deleted, be
 * listened to. */
static void the_stream_of_patches(void **state)
{
    struct watch *w = NULL;
    (void)state;
    rig_put(&rig, "b", "s", "{\"n\":1}");
    rig_put(&rig, "b", "s-$patch", "\"mine\"");
    assert_int_equal(watch_new(IOR_SLICE("b"), IOR_SLICE("s-$patch"), &w), IOR_OK);
    w->from = 2;
    assert_int_equal(iorio_watch(rig.node, w, on_fired), IOR_OK);
    rig_settle(&rig);
    assert_int_equal(w->user[0], 0);
    assert_int_equal(patch_now(&rig, "b", "s", PATCH_SET_N("2")), 2);
    assert_int_equal(w->user[0], 1);
    assert_int_equal(w->high, 2);
    watch_free(w);
    delete_all(&rig, "b", "s-$patch");
    assert_int_equal(patch_now(&rig, "b", "s", PATCH_SET_N("3")), 3);
    struct list_name row = {0};
    assert_true(listed(&rig, "b", "s-$patch", &row));
    assert_int_equal(row.low, 3);
    assert_int_equal(row.high, 3);
    rig_put(&rig, "b", "-$patch", "{\"n\":1}"); /* a strange name, but one */
    assert_int_equal(patch_now(&rig, "b", "-$patch", PATCH_SET_N("2")), 2);
    assert_int_equal(high_of(&rig, "b", "-$patch-$patch"), 1);
}

/* What: the time of a patch is behind the last one of both streams. */
static void times(void **state)
{
    struct rig_post p;
    (void)state;
    rig_put(&rig, "b", "s", "{\"n\":1}");
    rig.wall_ms += 1000;
    rig_put(&rig, "b", "s-$patch", "1");
    rig.wall_ms -= 5000;
    patch_submit(&rig, &p, "b", "s", PATCH_SET_N("2"));
    rig_settle(&rig);
    assert_int_equal(p.a->time_ms, 1700001000);
    assert_int_equal(outcome(&p), 2);
    rig_put(&rig, "b", "s", "1");
    expect_dump(&rig,
                "b/s 1 1700000000 j {\"n\":1}\nb/s 2 1700001000 j {\"n\":2}\nb/s 3 1700001000 j 1\n"
                "b/s 1..3\nb/s-$patch 1 1700001000 j 1\nb/s-$patch 2 1700001000 j " PATCH_SET_N(
                    "2") "\n"
                         "b/s-$patch 1..2\n");
}

/* ---- what is refused ---- */

/* What: nothing is kept: never written, deleted, about to be deleted. Nothing is made. */
static void no_event(void **state)
{
    struct rig_post p;
    (void)state;
    assert_int_equal(patch_now(&rig, "b", "s", "[]"), -IOR_E_NOEVENT);
    expect_dump(&rig, "");
    rig_put(&rig, "b", "s", "{\"n\":1}");
    delete_all(&rig, "b", "s");
    assert_int_equal(patch_now(&rig, "b", "s", "[]"), -IOR_E_NOEVENT);
    rig_put(&rig, "b", "s", "{\"n\":1}");
    checkpoint_ok(&rig);
    for (char name[2] = "a"; name[0] <= 'p'; name[0]++) /* the catalog is asked for each */
        assert_int_equal(patch_now(&rig, "new", name, "[]"), -IOR_E_NOEVENT);
    struct trim *t = trim_submit(&rig, "b", "s", 0, true);
    patch_submit(&rig, &p, "b", "s", "[]");
    rig_turns(&rig);
    assert_int_equal(p.done, 0); /* the deletion is not on the disk yet */
    rig_settle(&rig);
    assert_int_equal(outcome(&p), -IOR_E_NOEVENT);
    expect_trimmed(t, 3, 2);
    assert_int_equal(high_of(&rig, "b", "s-$patch"), 0);
}

/* What: an operation that fails says which; so do a binary event and one that is too large. */
static void refused(void **state)
{
    struct rig_post p;
    char *large = large_document(1, PATCH_DOC_BYTES_MAX);
    (void)state;
    rig_put(&rig, "b", "s", "{\"n\":1}");
    patch_submit(
        &rig, &p, "b", "s",
        "[{\"op\":\"add\",\"path\":\"/x\",\"value\":1},{\"op\":\"remove\",\"path\":\"/y\"}]");
    rig_settle(&rig);
    assert_int_equal(p.a->patch->fault.op, 1);
    assert_string_equal(p.a->patch->fault.why.text,
                        "operation 1 (remove \"/y\"): there is nothing at this path");
    assert_int_equal(outcome(&p), -IOR_E_BODY);
    assert_int_equal(put_batch(&rig, "b", "binary", 1, 10, '1', NULL), 1);
    rig_put(&rig, "b", "large", large);
    for (unsigned i = 0; i < 2; i++) { /* from memory, from the disk */
        patch_submit(&rig, &p, "b", "binary", "[]");
        rig_settle(&rig);
        assert_string_equal(p.a->patch->fault.why.text, "The newest event is not JSON");
        assert_int_equal(outcome(&p), -IOR_E_BODY);
        patch_submit(&rig, &p, "b", "large", "[]");
        rig_settle(&rig);
        assert_non_null(strstr(p.a->patch->fault.why.text, "The newest event has 1048592 bytes"));
        assert_int_equal(outcome(&p), -IOR_E_TOOLARGE);
        checkpoint_ok(&rig);
        evict(&rig);
    }
    assert_int_equal(high_of(&rig, "b", "s"), 1);
    assert_int_equal(high_of(&rig, "b", "s-$patch"), 0);
    free(large);
}

/* What: what comes out may be as large as a document may be, and no larger. */
static void size_of_the_result(void **state)
{
    char *pad = large_document(1, PATCH_DOC_BYTES_MAX - 16); /* all of it: 1 MiB */
    char *text = malloc(PATCH_DOC_BYTES_MAX + 200);
    struct rig_post p;
    (void)state;
    assert_non_null(text);
    rig_put(&rig, "b", "s", "{\"n\":1}");
    for (unsigned i = 0; i < 2; i++) {
        int n = snprintf(text, PATCH_DOC_BYTES_MAX + 200,
                         "[{\"op\":\"add\",\"path\":\"\",\"value\":%s%s%s}]", i == 0 ? "" : "[",
                         pad, i == 0 ? "" : "]");
        patch_make(&rig, &p, "b", "s", text, (size_t)n);
        rig_post_submit(&p);
        rig_settle(&rig);
        if (i == 1) assert_non_null(strstr(p.a->patch->fault.why.text, "becomes too large"));
        assert_int_equal(outcome(&p), i == 0 ? 2 : -IOR_E_TOOLARGE);
    }
    free(text);
    free(pad);
}

static enum ior_err new_error(const char *stream, const char *body, size_t body_bytes)
{
    struct append *a = NULL;
    struct json_patch_fault fault;
    enum ior_err err =
        patch_new(IOR_SLICE("b"), ior_slice_str(stream), ior_slice(body, body_bytes), &a, &fault);
    if (err == IOR_OK) append_free(a);
    if (err != IOR_OK) assert_true(fault.why.text[0] != 0);
    return err;
}

/* What: names that leave no room for the suffix, or have it, and bodies that are no patches, are
 * refused before anything is submitted. */
static void never_submitted(void **state)
{
    char name[STREAM_BYTES_MAX + 1];
    char *body = malloc(PATCH_BODY_BYTES_MAX + 1);
    (void)state;
    assert_non_null(body);
    memset(name, 'n', sizeof name);
    name[STREAM_BYTES_MAX - 7] = 0;
    assert_int_equal(new_error(name, "[]", 2), IOR_OK);
    name[STREAM_BYTES_MAX - 7] = 'n';
    name[STREAM_BYTES_MAX - 6] = 0;
    assert_int_equal(new_error(name, "[]", 2), IOR_E_NAME);
    assert_int_equal(new_error("s-$patch", "[]", 2), IOR_E_NAME);
    assert_int_equal(new_error("s-$patch-$patch", "[]", 2), IOR_E_NAME);
    assert_int_equal(new_error("-$patch", "[]", 2), IOR_OK);
    assert_int_equal(new_error("s", "{}", 2), IOR_E_BODY);
    assert_int_equal(new_error("s", "", 0), IOR_E_BODY);
    memset(body, ' ', PATCH_BODY_BYTES_MAX + 1);
    memcpy(body, "[]", 2);
    assert_int_equal(new_error("s", body, PATCH_BODY_BYTES_MAX), IOR_OK);
    assert_int_equal(new_error("s", body, PATCH_BODY_BYTES_MAX + 1), IOR_E_TOOLARGE);
    free(body);
}

/* What: conditions are those of an append, and come before the patch is tried. */
static void conditions(void **state)
{
    struct rig_post p;
    static const struct {
        enum append_expect expect;
        uint64_t last_id;
        const char *patch;
        int64_t want;
    } cases[] = {
        {EXPECT_LAST_ID, 2, "[{\"op\":\"remove\",\"path\":\"/y\"}]", -IOR_E_CONFLICT},
        {EXPECT_LAST_ID, 1, "[{\"op\":\"remove\",\"path\":\"/y\"}]", -IOR_E_BODY},
        {EXPECT_NONE_KEPT, 0, "[]", -IOR_E_CONFLICT},
        {EXPECT_LAST_ID, 1, "[]", 2},
        {EXPECT_LAST_ID, 1, "[]", -IOR_E_CONFLICT},
    };
    (void)state;
    rig_put(&rig, "b", "s", "{\"n\":1}");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        patch_make(&rig, &p, "b", "s", cases[i].patch, strlen(cases[i].patch));
        p.a->expect = cases[i].expect;
        p.a->expect_last_id = cases[i].last_id;
        rig_post_submit(&p);
        rig_settle(&rig);
        assert_false(p.a->patch->raced);
        assert_int_equal(outcome(&p), cases[i].want);
    }
    patch_make(&rig, &p, "b", "new", "[]", 2); /* it holds, but there is nothing to patch */
    p.a->expect = EXPECT_NONE_KEPT;
    rig_post_submit(&p);
    rig_settle(&rig);
    assert_int_equal(outcome(&p), -IOR_E_NOEVENT);
}

/* ---- keys ---- */

static int64_t patch_keyed(const char *text, bool *ret_repeated)
{
    struct rig_post p;
    patch_make(&rig, &p, "b", "s", text, strlen(text));
    patch_set_key(p.a, IOR_SLICE("k"));
    rig_post_submit(&p);
    rig_settle(&rig);
    *ret_repeated = p.a->repeated;
    return outcome(&p);
}

/* What: the same patch with the same key is applied once, also when it would make something else
 * now, after a crash and after a checkpoint; another one, or a POST, with this key is refused. */
static void keys(void **state)
{
    static const char add[] = "[{\"op\":\"add\",\"path\":\"/a/-\",\"value\":1}]";
    bool repeated = false;
    (void)state;
    rig_put(&rig, "b", "s", "{\"a\":[]}");
    assert_int_equal(patch_keyed(add, &repeated), 2);
    assert_false(repeated);
    for (unsigned i = 0; i < 3; i++) {
        rig_put(&rig, "b", "s", "{\"no\":1}"); /* it would not even fit */
        assert_int_equal(patch_keyed(add, &repeated), 2);
        assert_true(repeated);
        assert_int_equal(patch_keyed("[]", &repeated), -IOR_E_KEYREUSED);
        struct rig_post p = {.rig = &rig};
        const struct event_in e = {ior_slice_str(add), true};
        assert_int_equal(append_new(IOR_SLICE("b"), IOR_SLICE("s"), &e, 1, IOR_SLICE("k"), &p.a),
                         IOR_OK);
        rig_post_submit(&p);
        rig_settle(&rig);
        assert_int_equal(outcome(&p), -IOR_E_KEYREUSED);
        if (i == 0) rig_drop(&rig);
        if (i == 1) {
            checkpoint_ok(&rig);
            rig_close(&rig);
        }
        if (i < 2) rig_open(&rig);
    }
    assert_int_equal(high_of(&rig, "b", "s-$patch"), 1);
    /* What failed is not remembered. */
    assert_int_equal(patch_keyed("[]", &repeated), -IOR_E_KEYREUSED);
    rig.wall_ms += 121000;
    assert_int_equal(patch_keyed(add, &repeated), -IOR_E_BODY);
    rig_put(&rig, "b", "s", "{\"a\":[]}");
    int64_t id = patch_keyed(add, &repeated);
    assert_int_equal(id, high_of(&rig, "b", "s"));
    assert_false(repeated);
}

/* ---- retention ---- */

static void on_changed(struct retention_change *c)
{
    c->user[0]++;
}

static void keep(uint64_t max_events)
{
    struct retention r = {.max_events = max_events};
    struct retention_change *c = NULL;
    assert_int_equal(retention_change_new(IOR_SLICE("b"), IOR_SLICE(""), &r, &c), IOR_OK);
    assert_int_equal(iorio_retention_change(rig.node, c, on_changed), IOR_OK);
    rig_settle(&rig);
    assert_int_equal(c->err, IOR_OK);
    retention_change_free(c);
}

/* What: a policy holds for both streams, with every patch, whether their events are in memory or
 * on the disk; a start sees the same. */
static void policies(void **state)
{
    struct list_name row = {0};
    (void)state;
    rig_put(&rig, "b", "s", "{\"n\":0}");
    for (unsigned i = 1; i <= 12; i++) patch_now(&rig, "b", "s", PATCH_SET_N("1"));
    keep(5);
    assert_int_equal(patch_now(&rig, "b", "s", PATCH_SET_N("2")), 14);
    for (unsigned i = 0; i < 4; i++) {
        assert_true(listed(&rig, "b", "s", &row));
        assert_int_equal(row.high + 1 - row.low, 5);
        assert_true(listed(&rig, "b", "s-$patch", &row));
        assert_int_equal(row.high + 1 - row.low, 5);
        struct ior_buf before;
        dump_of(&rig, &before);
        if (i == 1) {
            checkpoint_ok(&rig);
            evict(&rig);
        } else {
            rig_drop(&rig);
            rig_open(&rig);
        }
        expect_same(&rig, &before);
        assert_int_equal(patch_now(&rig, "b", "s", PATCH_SET_N("2")), 15 + i);
    }
    keep(1); /* one event does not take itself away */
    assert_int_equal(patch_now(&rig, "b", "s", PATCH_SET_N("3")), 19);
    assert_int_equal(number_in(&rig, "s", 19), 3);
    assert_int_equal(patch_now(&rig, "b", "s", PATCH_SET_N("4")), 20);
    rig_drop(&rig);
    rig_open(&rig);
    assert_true(listed(&rig, "b", "s-$patch", &row));
    assert_int_equal(row.low, row.high);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(one_record),
        T(memory_is_counted),
        T(on_what_is_on_its_way),
        T(on_what_is_on_the_disk),
        T(without_history),
        T(the_stream_of_patches),
        T(times),
        T(no_event),
        T(refused),
        T(size_of_the_result),
        T(never_submitted),
        T(conditions),
        T(keys),
        T(policies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

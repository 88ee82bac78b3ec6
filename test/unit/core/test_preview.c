/* test/unit/core/test_preview.c - src/core/preview.c: what would go is what then goes. */
#include <stdio.h>

#include "rt/rand.h"
#include "sweep_rig.h"

static struct rig rig;

static int set_up(void **state)
{
    (void)state;
    rig_init(&rig);
    rig.wall_ms = SR_WALL_MS;
    rig_open(&rig);
    node_cutoff_tick(rig.node);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_done(&rig);
    return 0;
}

static void expect(struct sr_preview p, uint64_t streams, uint64_t events, uint64_t bytes)
{
    assert_int_equal(p.streams, streams);
    assert_int_equal(p.events, events);
    assert_int_equal(p.bytes, bytes);
}

/* What: nothing where nothing is; a stream's own policy counts against the body's for its bucket;
 * the body is the stream's own for a stream; nothing is changed. */
static void which_policy(void **state)
{
    (void)state;
    expect(sr_preview(&rig, "b", "", "{\"max_events\":1}"), 0, 0, 0);
    expect(sr_preview(&rig, "b", "s", "{\"max_events\":1}"), 0, 0, 0);
    sr_fill(&rig, "b", "s", 9, 10);
    sr_fill(&rig, "b", "t", 9, 20);
    sr_fill(&rig, "c", "t", 9, 20);
    for (int i = 0; i < 2; i++) {
        expect(sr_preview(&rig, "b", "", NULL), 0, 0, 0);
        expect(sr_preview(&rig, "b", "", "{}"), 0, 0, 0);
        expect(sr_preview(&rig, "b", "", "{\"max_events\":2}"), 2, 14, 210);
        expect(sr_preview(&rig, "b", "s", "{\"max_events\":2}"), 1, 7, 70);
        sr_set(&rig, "b", "t", "{\"max_events\":8}");
        expect(sr_preview(&rig, "b", "", "{\"max_events\":2}"), 2, 8, 90);
        expect(sr_preview(&rig, "b", "", NULL), 1, 1, 20);
        expect(sr_preview(&rig, "b", "t", NULL), 1, 1, 20);
        expect(sr_preview(&rig, "b", "s", NULL), 0, 0, 0);
        sr_set(&rig, "b", "", "{\"max_bytes\":45}");
        expect(sr_preview(&rig, "b", "t", "{}"), 1, 7, 140);
        expect(sr_preview(&rig, "b", "t", "{\"max_bytes\":null}"), 0, 0, 0);
        expect(sr_preview(&rig, "b", "", NULL), 2, 5 + 7, 50 + 140);
        sr_expect(&rig, "b", "s", 1, 9);
        sr_expect(&rig, "b", "t", 1, 9);
        sr_set(&rig, "b", "", NULL);
        sr_set(&rig, "b", "t", NULL);
        sr_cool(&rig);
    }
}

struct state {
    uint64_t events, bytes, low[8];
};

static struct state sum(void)
{
    struct state st = {0};
    struct list *l = NULL;
    assert_int_equal(list_new(&l), IOR_OK);
    ior_buf_add_str(&l->bucket, "b");
    rig_list(&rig, l);
    assert_int_equal(l->err, IOR_OK);
    for (size_t i = 0; i < l->count; i++) {
        st.events += l->rows[i].events;
        st.bytes += l->rows[i].bytes;
        st.low[i] = l->rows[i].low;
    }
    list_free(l);
    return st;
}

/* What: policies and streams by chance, wherever they are: preview, sweep, compare. */
static void preview_is_what_goes(void **state)
{
    struct rand_state rand = {77};
    char policy[200];
    (void)state;
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 8; i++) {
            char name[4] = {'s', (char)('0' + i), 0};
            unsigned n = (unsigned)rand_below(&rand, 4) == 0 ? (unsigned)rand_below(&rand, 90)
                                                             : (unsigned)rand_below(&rand, 6);
            sr_fill(&rig, "b", name, n, 2 + rand_below(&rand, 200));
            sr_pass(&rig, rand_below(&rand, 1000));
        }
        uint64_t dice = rand_below(&rand, 4);
        if (dice == 0) sr_cool(&rig);
        if (dice == 1) assert_int_equal(rig_checkpoint(&rig), IOR_OK);
        struct state before = sum();
        const char *comma = "";
        int n = snprintf(policy, sizeof policy, "{");
        if (rand_below(&rand, 2) == 0) {
            n += snprintf(policy + n, sizeof policy - (size_t)n, "\"max_events\":%u",
                          1 + (unsigned)rand_below(&rand, 60));
            comma = ",";
        }
        if (rand_below(&rand, 2) == 0) {
            n += snprintf(policy + n, sizeof policy - (size_t)n, "%s\"max_bytes\":%u", comma,
                          1 + (unsigned)rand_below(&rand, 9000));
            comma = ",";
        }
        if (rand_below(&rand, 2) == 0)
            n += snprintf(policy + n, sizeof policy - (size_t)n, "%s\"max_age\":\"%us\"", comma,
                          1 + (unsigned)rand_below(&rand, 20));
        snprintf(policy + n, sizeof policy - (size_t)n, "}");
        struct sr_preview p = sr_preview(&rig, "b", "", policy);
        struct state between = sum();
        assert_int_equal(between.events, before.events);
        sr_set(&rig, "b", "", policy);
        struct sr_preview present = sr_preview(&rig, "b", "", NULL);
        assert_memory_equal(&p, &present, sizeof p);
        sr_sweep(&rig);
        struct state after = sum();
        uint64_t streams = 0;
        for (int i = 0; i < 8; i++) streams += after.low[i] > before.low[i];
        expect(p, streams, before.events - after.events, before.bytes - after.bytes);
        expect(sr_preview(&rig, "b", "", NULL), 0, 0, 0);
        sr_set(&rig, "b", "", NULL);
    }
}

/* What: PREVIEWS_MAX at a time; none when the node stops; a deadline that passed ends one. */
static void bounded(void **state)
{
    struct preview *p[PREVIEWS_MAX + 1];
    (void)state;
    sr_fill(&rig, "b", "s", 3, 10);
    for (int i = 0; i <= PREVIEWS_MAX; i++) {
        assert_int_equal(preview_new(IOR_SLICE("b"), IOR_SLICE(""), &p[i]), IOR_OK);
        p[i]->present = true;
        p[i]->deadline_us = i == 0 ? rig.mono_us : 0;
        assert_int_equal(iorio_preview(rig.node, p[i], sr_previewed),
                         i < PREVIEWS_MAX ? IOR_OK : IOR_E_BUSY);
    }
    rig_settle(&rig);
    for (int i = 0; i <= PREVIEWS_MAX; i++) {
        assert_int_equal(p[i]->user[0], i < PREVIEWS_MAX);
        if (i < PREVIEWS_MAX) assert_int_equal(p[i]->err, i == 0 ? IOR_E_TIMEOUT : IOR_OK);
        preview_free(p[i]);
    }
    assert_int_equal(preview_new(IOR_SLICE("b"), IOR_SLICE(""), &p[0]), IOR_OK);
    assert_int_equal(iorio_preview(rig.node, p[0], sr_previewed), IOR_OK);
    atomic_store(&rig.node->surveys_stop, true);
    rig_settle(&rig);
    assert_int_equal(p[0]->err, IOR_E_CLOSING);
    assert_int_equal(iorio_preview(rig.node, p[0], sr_previewed), IOR_E_CLOSING);
    preview_free(p[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(which_policy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(preview_is_what_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bounded, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/core/test_survey.c - src/core/survey.c: every stream once, wherever it is. */
#include <stdio.h>
#include <stdlib.h>

#include "core/survey.h"
#include "sweep_rig.h"

static struct rig rig;

static int set_up(void **state)
{
    (void)state;
    rig_init(&rig);
    rig.wall_ms = SR_WALL_MS;
    rig_open(&rig);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rig_done(&rig);
    return 0;
}

enum { STREAMS = 1300 };

struct looker {
    struct survey survey;
    unsigned times[STREAMS]; /* how often each was seen */
    unsigned memory, rows, pauses, again;
    enum survey_next answer;
    bool ended;
};

static struct looker *looker_of(struct survey *sv)
{
    return IOR_CONTAINER(sv, struct looker, survey);
}

static enum survey_next answer(struct looker *l, struct ior_slice name)
{
    char text[16] = {0};
    if (l->answer == SURVEY_AGAIN && l->again++ % 2 == 0) return SURVEY_AGAIN;
    memcpy(text, name.data + 1, name.size_bytes - 1);
    l->times[atoi(text)]++;
    return l->answer == SURVEY_AGAIN ? SURVEY_ON : l->answer;
}

static enum survey_next on_memory(struct survey *sv, struct vnode *vn, struct stream *s)
{
    assert_true(strand_inside(&vn->strand));
    looker_of(sv)->memory++;
    return answer(looker_of(sv), stream_name(s));
}

static enum survey_next on_row(struct survey *sv, struct kv_reader *r, const struct stream_row *row)
{
    assert_non_null(r);
    looker_of(sv)->rows++;
    return answer(looker_of(sv), row->name);
}

static void on_pause(struct survey *sv)
{
    struct looker *l = looker_of(sv);
    l->pauses++;
    if (sv->finished) {
        l->ended = true;
        survey_done(sv);
    } else {
        survey_go_on(sv);
    }
}

static void look(struct looker *l, const char *bucket, const char *stream, enum survey_next next)
{
    *l = (struct looker){.answer = next};
    l->survey = (struct survey){.bucket = ior_slice_str(bucket),
                                .stream = ior_slice_str(stream),
                                .on_memory = on_memory,
                                .on_row = on_row,
                                .pause = on_pause};
    survey_begin(rig.node, &l->survey);
    assert_int_equal(l->pauses, 0);
    rig_settle(&rig);
    assert_true(l->ended);
    assert_int_equal(l->survey.err, IOR_OK);
    assert_int_equal(atomic_load(&rig.node->surveys), 0);
}

static void make(int from, int to)
{
    char name[16];
    for (int i = from; i < to; i++) {
        snprintf(name, sizeof name, "s%d", i);
        rig_put(&rig, "b", name, "1");
    }
}

static void expect_all(const struct looker *l, unsigned from, unsigned to)
{
    for (unsigned i = 0; i < STREAMS; i++)
        assert_int_equal(l->times[i], i >= from && i < to ? 1 : 0);
}

/* What: in memory, in the catalog, some here and some there, some in both: each once. */
static void each_once(void **state)
{
    struct looker *l = calloc(1, sizeof *l);
    (void)state;
    look(l, "b", "", SURVEY_ON);
    expect_all(l, 0, 0);
    rig.params.history_bytes_max = 64 << 20;
    make(0, STREAMS - 100);
    sr_cool(&rig);
    look(l, "b", "", SURVEY_ON);
    expect_all(l, 0, STREAMS - 100);
    assert_int_equal(l->memory, 0);
    make(STREAMS - 150, STREAMS);
    rig_put(&rig, "other", "s1", "1");
    static const enum survey_next answers[] = {SURVEY_ON, SURVEY_PAUSE, SURVEY_AGAIN};
    for (int i = 0; i < 3; i++) {
        look(l, "b", "", answers[i]);
        expect_all(l, 0, STREAMS);
    }
    look(l, "b", "", SURVEY_ON);
    assert_int_equal(l->memory, 150);
    assert_int_equal(l->rows, STREAMS - 150);
    assert_int_equal(rig_checkpoint(&rig), IOR_OK);
    look(l, "b", "", SURVEY_ON);
    expect_all(l, 0, STREAMS);
    assert_int_equal(l->memory, 150);
    free(l);
}

/* What: one stream, wherever it is, once; one that is deleted or never was, not at all. */
static void one_stream(void **state)
{
    struct looker *l = calloc(1, sizeof *l);
    struct trim *t = NULL;
    (void)state;
    make(0, 5);
    static const enum survey_next answers[] = {SURVEY_ON, SURVEY_PAUSE, SURVEY_AGAIN};
    for (int i = 0; i < 6; i++) {
        if (i == 3) sr_cool(&rig);
        look(l, "b", "s3", answers[i % 3]);
        expect_all(l, 3, 4);
        look(l, "b", "s9", answers[i % 3]);
        expect_all(l, 0, 0);
        look(l, "none", "s3", answers[i % 3]);
        expect_all(l, 0, 0);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(trim_new(IOR_SLICE("b"), IOR_SLICE("s3"), &t), IOR_OK);
        t->all = true;
        assert_int_equal(iorio_trim(rig.node, t, trim_free), IOR_OK);
        rig_settle(&rig);
        look(l, "b", "s3", SURVEY_ON);
        expect_all(l, 0, 0);
        look(l, "b", "", SURVEY_ON);
        assert_int_equal(l->times[3], 0);
        assert_int_equal(l->times[4], 1);
        sr_cool(&rig);
    }
    free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_stream, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/core/test_node.c - opening a node: what was committed is there again, and what
 * cannot be right is refused with a sentence, not guessed at. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "expect.h"
#include "core/take.h"
#include "rt/rand.h"
#include "store/catalog.h"

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

/* Random appends to some streams, some of them batches, some binary, clocks that jump. */
static void put_some(uint64_t seed, int count)
{
    struct rand_state rnd = {seed};
    for (int i = 0; i < count; i++) {
        struct event_in events[4];
        char text[4][32];
        char stream[16];
        struct rig_post p = {.rig = &rig};
        const size_t n = 1 + rand_below(&rnd, 4);
        snprintf(stream, sizeof stream, "s%llu", (unsigned long long)rand_below(&rnd, 12));
        for (size_t k = 0; k < n; k++) {
            const int bytes =
                snprintf(text[k], sizeof text[k], "\"%llx\"", (unsigned long long)rand_next(&rnd));
            events[k] =
                (struct event_in){ior_slice(text[k], (size_t)bytes), rand_below(&rnd, 2) == 0};
        }
        rig.wall_ms += rand_below(&rnd, 50);
        if (rand_below(&rnd, 5) == 0) rig.wall_ms -= 100;
        rig_enter(&rig, (unsigned)rand_below(&rnd, RIG_WORKERS));
        assert_int_equal(append_new(rand_below(&rnd, 2) == 0 ? IOR_SLICE("b") : IOR_SLICE("c"),
                                    ior_slice_str(stream), events, n, (struct ior_slice){NULL, 0},
                                    &p.a),
                         IOR_OK);
        rig_post_submit(&p);
        rig_settle(&rig);
        assert_true(outcome(&p) > 0);
    }
    rig_enter(&rig, 0);
}

static void dump(struct ior_buf *out)
{
    ior_buf_init(out);
    rig_dump(&rig, out);
    ior_buf_add_char(out, 0);
}

/* What: everything that was committed is the same after each of several restarts, over more than
 * one segment, and appends go on behind it. */
static void reopen_shows_the_same(void **state)
{
    (void)state;
    struct ior_buf before, after;
    uint64_t records = 0;
    for (uint64_t round = 1; round <= 3; round++) {
        put_some(round, 60);
        dump(&before);
        const uint64_t tail = atomic_load(&rig.node->memory.tail_bytes);
        const uint64_t streams = atomic_load(&rig.node->memory.streams);
        rig_close(&rig);
        rig_open(&rig);
        dump(&after);
        assert_string_equal((const char *)after.data, (const char *)before.data);
        assert_int_equal(atomic_load(&rig.node->memory.streams), streams);
        assert_true(atomic_load(&rig.node->memory.tail_bytes) >=
                    tail); /* a CREATE is counted too */
        assert_true(rig.report.marked && !rig.report.torn);
        assert_true(rig.report.records >= records + 60);
        records = rig.report.records;
        ior_buf_done(&before);
        ior_buf_done(&after);
    }
    assert_true(journal_active_segment(rig.node->journal) > 1);
}

/* What: the same after a stop without a MARK, on which recovery cannot say that nothing is missing.
 */
static void reopen_after_a_crash(void **state)
{
    (void)state;
    struct ior_buf before, after;
    put_some(7, 40);
    dump(&before);
    rig_drop(&rig);
    disk_sim_crash(rig.disk, DISK_SIM_LOSE_ALL);
    rig_open(&rig);
    dump(&after);
    assert_string_equal((const char *)after.data, (const char *)before.data);
    assert_false(rig.report.marked);
    ior_buf_done(&before);
    ior_buf_done(&after);
}

/* What: the same on the real disk. */
static void reopen_on_the_real_disk(void **state)
{
    (void)state;
    char dir[256];
    char command[512];
    struct ior_buf before, after;
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/iorio-test-node-XXXXXX", tmp == NULL ? "/tmp" : tmp);
    assert_non_null(mkdtemp(dir));
    rig_done(&rig);
    rig_init_on(&rig, dir);
    rig_open(&rig);
    put_some(3, 25);
    dump(&before);
    rig_close(&rig);
    rig_open(&rig);
    dump(&after);
    assert_string_equal((const char *)after.data, (const char *)before.data);
    ior_buf_done(&before);
    ior_buf_done(&after);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

/* What: a stop without a single append leaves a directory that opens again. */
static void an_unused_node_opens_again(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        rig_close(&rig);
        rig_open(&rig);
        expect_dump(&rig, "");
    }
    rig_drop(&rig);
    rig_open(&rig);
    assert_int_equal(rig_put(&rig, "b", "s", "1"), 1);
}

static void refuse(enum ior_err err, const char *word)
{
    const uint64_t before = disk_sim_hash(rig.disk);
    assert_int_equal(rig_try_open(&rig), err);
    assert_null(rig.node);
    if (strstr(rig.why.text, word) == NULL) fail_msg("`%s` is not in `%s`", word, rig.why.text);
    assert_true(disk_sim_hash(rig.disk) == before); /* nothing was changed */
    assert_int_equal(disk_sim_open_files(rig.disk), 0);
}

/* What: a directory of another node name or ring size is refused with both values named; unchanged,
 * it opens again with the right ones. */
static void other_identities_are_refused(void **state)
{
    (void)state;
    rig_put(&rig, "b", "s", "1");
    rig_close(&rig);
    rig.params.name = "other@127.0.0.1";
    refuse(IOR_E_FOREIGN, "rig@127.0.0.1, not to other@127.0.0.1");
    rig.params.name = "rig@127.0.0.1";
    rig.params.ring_size = 16;
    refuse(IOR_E_FOREIGN, "8 partitions, not 16");
    rig.params.ring_size = 8;
    rig_open(&rig);
    assert_int_equal(high_of(&rig, "b", "s"), 1);
}

/* What: a damaged identity, or a journal without one, is CORRUPT and not made anew. */
static void a_lost_identity_is_not_made_anew(void **state)
{
    (void)state;
    rig_put(&rig, "b", "s", "1");
    rig_close(&rig);
    disk_sim_flip(rig.disk, "identity", 40, 1);
    refuse(IOR_E_CORRUPT, "identity");
    disk_sim_flip(rig.disk, "identity", 40, 1);
    assert_int_equal(disk_rename(rig.disk, "identity", "elsewhere"), IOR_OK);
    refuse(IOR_E_CORRUPT, "holds a journal but no file `identity`");
    assert_int_equal(disk_rename(rig.disk, "elsewhere", "identity"), IOR_OK);
    rig_open(&rig);
}

/* What: a first segment or a whole journal that is gone is CORRUPT with its name, not a
 *       new and empty node. */
static void a_lost_journal_is_not_made_anew(void **state)
{
    (void)state;
    static const char first[] = "journal/0000000000000001.seg";
    static const char second[] = "journal/0000000000000002.seg";
    rig_put(&rig, "b", "s", "1");
    rig_close(&rig);
    assert_int_equal(disk_rename(rig.disk, first, "journal/one"), IOR_OK);
    refuse(IOR_E_CORRUPT, first);
    enum ior_err spare = disk_rename(rig.disk, second, "journal/two");
    refuse(IOR_E_CORRUPT, first);
    if (spare == IOR_OK) assert_int_equal(disk_rename(rig.disk, "journal/two", second), IOR_OK);
    assert_int_equal(disk_rename(rig.disk, "journal/one", first), IOR_OK);
    rig_open(&rig);
}

/* ---- records that no program of this version wrote ---- */

static void ignore(struct journal_req *req)
{
    assert_int_equal(req->err, IOR_OK);
}

struct odd_item {
    unsigned op;
    const char *bucket; /* NULL: no such attribute */
    const char *stream;
    uint64_t uid;
    uint64_t seqnum;
    uint64_t low;
};

static struct ior_blob *blob_of(const struct odd_item *o)
{
    const struct ior_slice bucket = ior_slice_str(o->bucket == NULL ? "" : o->bucket);
    const struct ior_slice stream = ior_slice_str(o->stream == NULL ? "" : o->stream);
    size_t attrs = o->bucket == NULL ? 0 : attr_bytes(bucket.size_bytes);
    attrs += o->stream == NULL ? 0 : attr_bytes(stream.size_bytes);
    struct ior_blob *b = ior_blob_new(item_bytes(attrs, 1));
    assert_non_null(b);
    item_write(b->data, (enum item_op)o->op, ITEM_FLAG_JSON, attrs, IOR_SLICE("1"));
    uint8_t *at = b->data + ITEM_HEAD_BYTES;
    if (o->bucket != NULL) at += attr_write(at, ATTR_BUCKET, bucket);
    if (o->stream != NULL) attr_write(at, ATTR_STREAM, stream);
    item_set_place(b->data, o->uid, o->seqnum, o->low);
    return b;
}

/* Put a record into the journal behind the back of its group, and stop. */
static void write_record(const struct record_head *head, const struct odd_item *o)
{
    struct record record = {.items = blob_of(o)};
    struct journal_req req = {.record = &record, .done = ignore};
    record_seal(&record, head);
    req.epoch = journal_epoch(rig.node->journal);
    assert_int_equal(journal_submit(rig.node->journal, &req), IOR_OK);
    rig_close(&rig);
    record_done(&record);
}

/* One event in b/s; its vnode and its stream. */
static struct vnode *start(const struct stream **ret)
{
    uint64_t hash;
    rig_put(&rig, "b", "s", "1");
    struct vnode *vn = node_route(rig.node, IOR_SLICE("b"), IOR_SLICE("s"), &hash);
    *ret = stream_find(&vn->streams, IOR_SLICE("b"), IOR_SLICE("s"), hash);
    assert_non_null(*ret);
    return vn;
}

/* The head that the next record of this vnode would have. */
static struct record_head next_head(const struct vnode *vn)
{
    return (struct record_head){
        .kind = RECORD_ENTRY,
        .group = vn->group.id,
        .term = vn->group.term,
        .index = vn->group.last_index + 1,
        .time_ms = RIG_WALL_MS + 5,
    };
}

static void fresh(void)
{
    rig_done(&rig);
    rig_init(&rig);
    rig_open(&rig);
}

/* What: the records of these tests are accepted when nothing is wrong with them. */
static void right_records_are_replayed(void **state)
{
    (void)state;
    const struct stream *s;
    struct vnode *vn = start(&s);
    struct record_head head = next_head(vn);
    const struct odd_item next = {ITEM_APPEND, NULL, NULL, s->uid, 2, 1};
    write_record(&head, &next);
    rig_open(&rig);
    expect_dump(&rig, "b/s 1 1700000000 j 1\nb/s 2 1700000005 j 1\nb/s 1..2\n");
}

/* What: an event that the stream has already is skipped: replay is idempotent. */
static void known_events_are_skipped(void **state)
{
    (void)state;
    const struct stream *s;
    struct vnode *vn = start(&s);
    struct record_head head = next_head(vn);
    const struct odd_item again = {ITEM_APPEND, NULL, NULL, s->uid, 1, 1};
    write_record(&head, &again);
    rig_open(&rig);
    expect_dump(&rig, "b/s 1 1700000000 j 1\nb/s 1..1\n");
    assert_int_equal(rig_put(&rig, "b", "s", "2"), 2);
}

/* What: LOW and DELETE are replayed; a LOW that was passed already is skipped; one above what
 * was ever there, or of a stream that never was, is damage. */
static void trims_are_replayed(void **state)
{
    (void)state;
    const struct {
        unsigned op;
        uint64_t uid; /* added to the stream's */
        uint64_t low;
        const char *wanted; /* what is there then; NULL: it is damage */
    } rows[] = {
        {ITEM_LOW, 0, 1, "b/s 1 1700000000 j 1\nb/s 1..1\n"},
        {ITEM_LOW, 0, 0, "b/s 1 1700000000 j 1\nb/s 1..1\n"},
        {ITEM_LOW, 0, 2, "b/s 2..1\n"},
        {ITEM_DELETE, 0, 2, ""},
        {ITEM_LOW, 0, 3, NULL},
        {ITEM_DELETE, 0, UINT64_MAX, NULL},
        {ITEM_LOW, 1, 1, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fresh();
        const struct stream *s;
        struct vnode *vn = start(&s);
        const struct record_head head = next_head(vn);
        const struct odd_item item = {rows[i].op, NULL, NULL, s->uid + rows[i].uid, 1, rows[i].low};
        write_record(&head, &item);
        if (rows[i].wanted == NULL) {
            refuse(IOR_E_CORRUPT, "partition");
            continue;
        }
        rig_open(&rig);
        expect_dump(&rig, rows[i].wanted);
        assert_int_equal(rig_put(&rig, "b", "s", "2"), 2); /* ids go on */
    }
}

/* What: an item or a record of a kind that this version does not know is VERSION, not skipped and
 * not CORRUPT: a later version wrote it and it may matter. */
static void unknown_kinds_are_another_version(void **state)
{
    (void)state;
    static const unsigned ops[] = {ITEM_SET, ITEM_DEDUPE, ITEM_VOTE, 8, 99, 255, 0};
    static const uint16_t kinds[] = {RECORD_TRUNCATE, RECORD_SNAPSHOT, 0, 5, UINT16_MAX};
    const struct stream *s;
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        fresh();
        struct vnode *vn = start(&s);
        const struct record_head head = next_head(vn);
        const struct odd_item item = {ops[i], NULL, NULL, s->uid, 2, 1};
        write_record(&head, &item);
        refuse(IOR_E_VERSION, "an item of kind");
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        fresh();
        struct vnode *vn = start(&s);
        struct record_head head = next_head(vn);
        const struct odd_item item = {ITEM_APPEND, NULL, NULL, s->uid, 2, 1};
        head.kind = kinds[i];
        write_record(&head, &item);
        refuse(IOR_E_VERSION, "a record of kind");
    }
}

/* What: an unknown fact of group 0 is VERSION too. */
static void unknown_facts_are_another_version(void **state)
{
    (void)state;
    const struct record_head head = {.kind = RECORD_ENTRY, .term = 1, .index = 1};
    const struct odd_item item = {99, NULL, NULL, 0, 0, 0};
    write_record(&head, &item);
    refuse(IOR_E_VERSION, "group 0, index 1");
}

/* What: events and streams that do not fit what came before are CORRUPT, each with what is wrong.
 */
static void contradictions_are_damage(void **state)
{
    (void)state;
    const struct stream *s;
    start(&s);
    const uint64_t uid = s->uid;
    const struct {
        struct odd_item item;
        const char *word;
    } cases[] = {
        {{ITEM_APPEND, NULL, NULL, uid + 1, 1, 1}, "never created"},
        {{ITEM_APPEND, NULL, NULL, uid, 3, 1}, "a sequence number is missing"},
        {{ITEM_APPEND, NULL, NULL, uid, UINT64_MAX, 1}, "a sequence number is missing"},
        {{ITEM_APPEND, NULL, NULL, uid, 2, 2}, "low is not what it was"},
        {{ITEM_CREATE, "b", "s", uid + 1, 0, 1}, "created twice"},
        {{ITEM_CREATE, "b", "s-$patch", uid, 0, 1}, "the same uid"},
        {{ITEM_CREATE, "b", NULL, uid + 1, 0, 1}, "a name that cannot be"},
        {{ITEM_CREATE, NULL, "s", uid + 1, 0, 1}, "a name that cannot be"},
        {{ITEM_CREATE, "b", "..", uid + 1, 0, 1}, "a name that cannot be"},
        {{ITEM_CREATE, "b", "a\nb", uid + 1, 0, 1}, "a name that cannot be"},
        {{ITEM_CREATE, "b", "s-$patch", 0, 0, 1}, "a uid that cannot be"},
        {{ITEM_CREATE, "b", "s-$patch", UINT64_MAX, 0, 1}, "a uid that cannot be"},
        {{ITEM_CREATE, "b", "s-$patch", CATALOG_UID_MAX + 1, 0, 1}, "a uid that cannot be"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fresh(); /* the same seed: the same uid */
        const struct vnode *vn = start(&s);
        assert_true(s->uid == uid);
        const struct record_head head = next_head(vn);
        write_record(&head, &cases[i].item);
        refuse(IOR_E_CORRUPT, cases[i].word);
    }
}

/* What: a checkpoint goes through what it took by uid; each keeps what is its own. */
static void taken_streams_are_sorted(void **state)
{
    (void)state;
    struct taken items[] = {
        {.row = {.uid = UINT64_MAX}, .count = 4},
        {.row = {.uid = 1}, .count = 1},
        {.row = {.uid = 1u << 31}, .count = 3},
        {.row = {.uid = 2}, .count = 2},
    };
    struct take t = {.items = items, .count = IOR_LEN(items)};
    take_sort(&t);
    for (size_t i = 0; i < IOR_LEN(items); i++) assert_int_equal(items[i].count, i + 1);
    t = (struct take){0};
    take_sort(&t);
    assert_int_equal(t.count, 0);
}

/* What: a stream that is created in another partition than its name's is CORRUPT. */
static void wrong_partitions_are_damage(void **state)
{
    (void)state;
    const struct stream *s;
    struct vnode *vn = start(&s);
    char name[16];
    uint64_t hash;
    for (int i = 0;; i++) {
        snprintf(name, sizeof name, "s%d", i);
        if (node_route(rig.node, IOR_SLICE("b"), ior_slice_str(name), &hash) != vn) break;
    }
    const struct record_head head = next_head(vn);
    const struct odd_item item = {ITEM_CREATE, "b", name, 77, 0, 1};
    write_record(&head, &item);
    refuse(IOR_E_CORRUPT, "a partition that is not its own");
}

/* What: an index that does not follow, a term that goes back and a group that is not there are
 * CORRUPT. */
static void wrong_places_in_the_log_are_damage(void **state)
{
    (void)state;
    const struct stream *s;
    for (int i = 0; i < 4; i++) {
        static const char *const words[] = {"index", "index", "term goes back",
                                            "record of group 9"};
        fresh();
        const struct vnode *vn = start(&s);
        struct record_head head = next_head(vn);
        const struct odd_item item = {ITEM_APPEND, NULL, NULL, s->uid, 2, 1};
        if (i == 0) head.index++;
        if (i == 1) head.index--;
        if (i == 2) head.term--;
        if (i == 3) head.group = 9;
        write_record(&head, &item);
        refuse(IOR_E_CORRUPT, words[i]);
    }
}

/* What: when the disk fails at any point of the first start, the node says so, and the next start
 * works. */
static void failed_starts_do_no_harm(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        rig_done(&rig);
        rig_init(&rig);
        disk_sim_fail(rig.disk, DISK_SIM_CHANGE, n, IOR_E_IO, true);
        const enum ior_err err = rig_try_open(&rig);
        if (!disk_sim_failed(rig.disk)) {
            assert_int_equal(err, IOR_OK);
            assert_true(n > 5);
            return;
        }
        assert_int_equal(err, IOR_E_IO);
        assert_int_not_equal(rig.why.text[0], 0);
        disk_sim_crash(rig.disk, DISK_SIM_LOSE_SOME);
        rig_open(&rig);
        assert_int_equal(rig_put(&rig, "b", "s", "1"), 1);
        assert_true(n < 1000);
    }
}

/* What: a disk that is too small for one segment is NOSPC with a sentence. */
static void too_small_a_disk(void **state)
{
    (void)state;
    rig_done(&rig);
    rig_init(&rig);
    disk_sim_set_limit(rig.disk, 20000);
    assert_int_equal(rig_try_open(&rig), IOR_E_NOSPC);
    assert_non_null(strstr(rig.why.text, "first journal segment"));
    disk_sim_set_limit(rig.disk, UINT64_MAX);
    rig_open(&rig);
    node_close(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(reopen_shows_the_same),
        TEST(reopen_after_a_crash),
        TEST(reopen_on_the_real_disk),
        TEST(an_unused_node_opens_again),
        TEST(other_identities_are_refused),
        TEST(a_lost_identity_is_not_made_anew),
        TEST(a_lost_journal_is_not_made_anew),
        TEST(right_records_are_replayed),
        TEST(known_events_are_skipped),
        TEST(trims_are_replayed),
        TEST(unknown_kinds_are_another_version),
        TEST(unknown_facts_are_another_version),
        TEST(contradictions_are_damage),
        TEST(taken_streams_are_sorted),
        TEST(wrong_partitions_are_damage),
        TEST(wrong_places_in_the_log_are_damage),
        TEST(failed_starts_do_no_harm),
        TEST(too_small_a_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

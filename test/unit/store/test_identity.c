/* test/unit/store/test_identity.c - whose a data directory is: written once, checked at
 * every start, and every damaged or foreign one refused by name. */
#include "journal_rig.h"

#include <stdio.h>

#include "base/crc32c.h"
#include "store/identity.h"

static const char path[] = "identity";
static const char node[] = "iorio@127.0.0.1";
static struct disk *disk;

static int set_up(void **state)
{
    (void)state;
    rand_set_seed(11);
    disk = disk_sim_new(5);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    disk_free(disk);
    return 0;
}

static struct identity must_open(void)
{
    struct identity id;
    struct ior_why why = {""};
    enum ior_err err = identity_open(disk, node, 64, &id, &why);
    if (err != IOR_OK) fail_msg("%s: %s", ior_err_name(err), why.text);
    assert_string_equal(id.node, node);
    assert_int_equal(id.ring_size, 64);
    return id;
}

static void expect_error(const char *name, uint32_t ring_size, enum ior_err wanted,
                         const char *text)
{
    struct identity id;
    struct ior_why why = {""};
    enum ior_err err = identity_open(disk, name, ring_size, &id, &why);
    if (err != wanted || strstr(why.text, text) == NULL)
        fail_msg("%s: %s (wanted %s: %s)", ior_err_name(err), why.text, ior_err_name(wanted), text);
}

static void write_file(const char *name, const char *text)
{
    assert_int_equal(disk_replace_file(disk, name, text, strlen(text)), IOR_OK);
}

/* What: the first start makes an identity, durable at once; every later start reads it. */
static void made_once(void **state)
{
    (void)state;
    struct identity first = must_open();
    uint8_t none[NODE_ID_BYTES] = {0};
    assert_memory_not_equal(first.id, none, sizeof none);
    disk_sim_crash(disk, DISK_SIM_LOSE_ALL);
    for (int i = 0; i < 3; i++) {
        struct identity again = must_open();
        assert_memory_equal(first.id, again.id, NODE_ID_BYTES);
    }
    assert_int_equal(disk_sim_count(disk, DISK_SIM_RENAME), 1);
    assert_false(disk_sim_has(disk, "identity.new"));
}

/* What: two data directories have different ids. */
static void ids_differ(void **state)
{
    struct identity first = must_open();
    disk_free(disk);
    disk = disk_sim_new(5);
    struct identity second = must_open();
    assert_memory_not_equal(first.id, second.id, NODE_ID_BYTES);
    (void)state;
}

/* What: the file is the text that the header shows. */
static void text_is_as_documented(void **state)
{
    (void)state;
    struct identity id = must_open();
    char text[512];
    char wanted[512];
    size_t n = 0;
    assert_int_equal(disk_read_file(disk, path, text, sizeof text - 1, &n), IOR_OK);
    text[n] = 0;
    int at = snprintf(wanted, sizeof wanted, "iorio data directory, format 1\nnode %s\nid ", node);
    for (int i = 0; i < NODE_ID_BYTES; i++)
        at += snprintf(wanted + at, sizeof wanted - (size_t)at, "%02x", id.id[i]);
    at += snprintf(wanted + at, sizeof wanted - (size_t)at, "\nring_size 64\njournal no\n");
    snprintf(wanted + at, sizeof wanted - (size_t)at, "crc32c %08x\n",
             ior_crc32c(0, wanted, (size_t)at));
    assert_string_equal(text, wanted);
}

/* What: another node's name or another number of partitions is refused, with the key to
 * look at. */
static void foreign_is_refused(void **state)
{
    (void)state;
    must_open();
    uint64_t hash = disk_sim_hash(disk);
    expect_error("other@127.0.0.1", 64, IOR_E_FOREIGN,
                 "belongs to node iorio@127.0.0.1, not to other@127.0.0.1 (key nodename)");
    expect_error(node, 128, IOR_E_FOREIGN, "has 64 partitions, not 128 (key ring_size)");
    assert_true(disk_sim_hash(disk) == hash);
    must_open();
}

/* What: no identity beside a journal: somebody's data must not become nobody's. */
static void journal_without_identity_is_refused(void **state)
{
    (void)state;
    assert_int_equal(disk_mkdir(disk, JOURNAL_DIR), IOR_OK);
    must_open(); /* an empty folder is no journal */
    assert_int_equal(disk_unlink(disk, path), IOR_OK);
    write_file(JOURNAL_DIR "/prepare.tmp", "x");
    must_open();
    assert_int_equal(disk_unlink(disk, path), IOR_OK);
    write_file(JOURNAL_DIR "/0000000000000001.seg", "x");
    expect_error(node, 64, IOR_E_CORRUPT, "holds a journal but no file `identity`");
    assert_false(disk_sim_has(disk, path));
}

/* What: a later format is named, and nothing else is said about it. */
static void other_format_is_named(void **state)
{
    (void)state;
    write_file(path, "iorio data directory, format 2\nwhatever is there then\n");
    expect_error(node, 64, IOR_E_VERSION,
                 "identity: the data directory has format 2; this program reads format 1");
}

/* What: whichever bit is changed, and whichever length the file is cut to: the error names
 * the file, and the file stays as it is. */
static void every_byte_and_length_counts(void **state)
{
    (void)state;
    must_open();
    uint64_t size = disk_sim_size(disk, path);
    for (uint64_t at = 0; at < size; at++) {
        for (int bit = 0; bit < 8; bit++) {
            struct identity id;
            struct ior_why why = {""};
            disk_sim_flip(disk, path, at, (uint8_t)(1 << bit));
            enum ior_err err = identity_open(disk, node, 64, &id, &why);
            if (err != IOR_E_CORRUPT && err != IOR_E_VERSION)
                fail_msg("byte %llu: %s", (unsigned long long)at, ior_err_name(err));
            assert_true(why.text[0] != 0);
            disk_sim_flip(disk, path, at, (uint8_t)(1 << bit));
        }
    }
    must_open();
    while (size-- > 0) {
        disk_sim_cut(disk, path, size);
        expect_error(node, 64, IOR_E_CORRUPT, "identity: damage");
        assert_int_equal(disk_sim_size(disk, path), size);
    }
}

/* What: texts that are nearly an identity: none is taken. */
static void near_misses_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "\n",
        "iorio data directory, format 1",
        "iorio data directory, format 1\n",
        "iorio data directory, format 1\nnode \nid \nring_size \ncrc32c \n",
        "iorio data directory, format 1\nnode iorio@127.0.0.1\nid "
        "00112233445566778899aabbccddeeff\n"
        "ring_size 64\ncrc32c 00000000\n",
        "iorio data directory, format 1\nid 00112233445566778899aabbccddeeff\n"
        "node iorio@127.0.0.1\nring_size 64\ncrc32c 00000000\n",
        "iorio data directory, format 1\nnode iorio@127.0.0.1\nid "
        "00112233445566778899AABBCCDDEEFF\n"
        "ring_size 64\ncrc32c 00000000\n",
    };
    for (size_t i = 0; i < IOR_LEN(texts); i++) {
        struct disk_file *f;
        assert_int_equal(disk_open(disk, path, DISK_WRITE | DISK_CREATE, &f), IOR_OK);
        assert_int_equal(disk_truncate(f, 0), IOR_OK);
        if (texts[i][0] != 0)
            assert_int_equal(disk_write_buf(f, 0, texts[i], strlen(texts[i])), IOR_OK);
        disk_close(f);
        expect_error(node, 64, IOR_E_CORRUPT, "identity: damage");
    }
    char *large = malloc(5000);
    assert_non_null(large);
    memset(large, 'x', 4999);
    large[4999] = 0;
    write_file(path, large);
    expect_error(node, 64, IOR_E_CORRUPT, "identity: damaged: it is too long");
    free(large);
}

/* What: the first start fails, or the power does, at any point of it: the next one works,
 * and from then on the identity stays what it is. */
static void first_start_may_be_cut_short(void **state)
{
    for (int loss = DISK_SIM_KILLED; loss < DISK_SIM_LOSS_COUNT; loss++) {
        bool dead = true;
        for (uint64_t n = 1; dead; n++) {
            struct identity id;
            struct ior_why why = {""};
            disk_sim_crash_at(disk, n);
            enum ior_err err = identity_open(disk, node, 64, &id, &why);
            dead = disk_sim_is_dead(disk);
            assert_int_equal(err, dead ? IOR_E_IO : IOR_OK);
            if (dead) assert_non_null(strstr(why.text, "cannot write the file `identity`"));
            disk_sim_crash(disk, (enum disk_sim_loss)loss);
            struct identity next = must_open();
            if (err == IOR_OK) assert_memory_equal(id.id, next.id, NODE_ID_BYTES);
            assert_int_equal(disk_sync_dir(disk, "."), IOR_OK); /* as journal_open does */
            disk_sim_crash(disk, DISK_SIM_LOSE_ALL);
            struct identity last = must_open();
            assert_memory_equal(next.id, last.id, NODE_ID_BYTES);
            tear_down(state);
            assert_int_equal(set_up(state), 0);
        }
    }
}

/* What: no room and unreadable files are said as such, not called damage. */
static void other_errors_pass_through(void **state)
{
    (void)state;
    disk_sim_set_limit(disk, 10);
    expect_error(node, 64, IOR_E_NOSPC, "cannot write the file `identity`");
    disk_sim_set_limit(disk, UINT64_MAX);
    must_open();
    disk_sim_fail(disk, DISK_SIM_READ, 1, IOR_E_IO, false);
    expect_error(node, 64, IOR_E_IO, "cannot read the file `identity`");
    must_open();
}

#define WITH_DISK(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DISK(made_once),
        WITH_DISK(ids_differ),
        WITH_DISK(text_is_as_documented),
        WITH_DISK(foreign_is_refused),
        WITH_DISK(journal_without_identity_is_refused),
        WITH_DISK(other_format_is_named),
        WITH_DISK(every_byte_and_length_counts),
        WITH_DISK(near_misses_are_refused),
        WITH_DISK(first_start_may_be_cut_short),
        WITH_DISK(other_errors_pass_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/app/test_secret.c - the keys of the session tokens at a start (src/app/secret.c): from
 * the configuration or the data directory, the current one and that of before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "app/app.h"
#include "rt/disk_sim.h"

static struct disk *disk;
static struct config config;

static int set_up(void **state)
{
    (void)state;
    config_set_defaults(&config, "/release");
    disk = disk_sim_new(1);
    return disk == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    disk_free(disk);
    return 0;
}

static struct token_key load(void)
{
    struct token_key k;
    struct ior_why why = {""};
    enum ior_err err = secret_load(&config, disk, &k, &why);
    if (err != IOR_OK) fail_msg("%s", why.text);
    return k;
}

static void refused(const char *text)
{
    struct token_key k;
    struct ior_why why = {""};
    assert_int_equal(secret_load(&config, disk, &k, &why), IOR_E_INVAL);
    if (strstr(why.text, text) == NULL) fail_msg("%s", why.text);
}

static void write_file(const char *name, const void *data, size_t n)
{
    assert_int_equal(disk_replace_file(disk, name, data, n), IOR_OK);
}

static bool has_file(const char *name)
{
    char data[1024];
    size_t n = 0;
    return disk_read_file(disk, name, data, sizeof data, &n) == IOR_OK;
}

static void set(char *field, const char *text)
{
    memset(field, 0, CONFIG_TEXT_MAX);
    memcpy(field, text, strlen(text));
}

static void expect(struct ior_slice key, const char *wanted)
{
    assert_int_equal(key.size_bytes, strlen(wanted));
    assert_memory_equal(key.data, wanted, key.size_bytes);
}

#define NOW(k) ior_slice((k).secret, (k).secret_bytes)
#define PREVIOUS(k) ior_slice((k).previous, (k).previous_bytes)

/* What: the first start makes a key, and every later one has it again. */
static void made_once(void **state)
{
    (void)state;
    struct token_key a = load();
    struct token_key b = load();
    assert_int_equal(a.secret_bytes, 64);
    assert_memory_equal(a.secret, b.secret, 64);
    assert_int_equal(a.previous_bytes, 0);
    assert_true(has_file("secret"));
    assert_false(has_file("secret.previous"));
}

/* What: the key of the data directory is rotated by renaming its file: the next start makes a
 * new one and still takes the old one. */
static void rotated_in_the_data_directory(void **state)
{
    (void)state;
    struct token_key old = load();
    write_file("secret.previous", old.secret, old.secret_bytes);
    assert_int_equal(disk_unlink(disk, "secret"), IOR_OK);
    struct token_key now = load();
    assert_memory_not_equal(now.secret, old.secret, 64);
    assert_int_equal(now.previous_bytes, 64);
    assert_memory_equal(now.previous, old.secret, 64);
    assert_int_equal(disk_unlink(disk, "secret.previous"), IOR_OK);
    assert_int_equal(load().previous_bytes, 0);
}

/* What: a configured key wins over the file, and then the other file does not count either. */
static void configured(void **state)
{
    (void)state;
    write_file("secret", "the one of the data directory", 29);
    write_file("secret.previous", "the one before in the directory", 31);
    struct token_key k = load();
    expect(NOW(k), "the one of the data directory");
    expect(PREVIOUS(k), "the one before in the directory");
    set(config.auth_secret, "the configured secret, long enough");
    k = load();
    expect(NOW(k), "the configured secret, long enough");
    expect(PREVIOUS(k), "");
    set(config.auth_secret_previous, "the configured previous one");
    k = load();
    expect(PREVIOUS(k), "the configured previous one");
    set(config.auth_secret, "");
    k = load();
    expect(NOW(k), "the one of the data directory");
    expect(PREVIOUS(k), "the configured previous one");
}

/* What: keys of 16 to 1024 bytes, wherever they are from; the text names the file. */
static void lengths(void **state)
{
    (void)state;
    static char bytes[1026];
    memset(bytes, 'k', sizeof bytes);
    write_file("secret", bytes, 15);
    refused("the key of the session tokens has 15 bytes");
    write_file("secret", bytes, 1025);
    refused("the file `secret` of the data directory is larger than 1024 bytes");
    write_file("secret", bytes, 1024);
    assert_int_equal(load().secret_bytes, 1024);
    write_file("secret.previous", bytes, 15);
    refused("the previous key of the session tokens has 15 bytes");
    write_file("secret.previous", bytes, 0);
    assert_int_equal(load().previous_bytes, 0);
    write_file("secret.previous", bytes, 1025);
    refused("the file `secret.previous` of the data directory is larger than 1024 bytes");
    write_file("secret.previous", bytes, 1024);
    assert_int_equal(load().previous_bytes, 1024);
    memcpy(config.auth_secret, bytes, 1024);
    memcpy(config.auth_secret_previous, bytes, 1024);
    struct token_key k = load();
    assert_int_equal(k.secret_bytes, 1024);
    assert_int_equal(k.previous_bytes, 1024);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(made_once),
        T(rotated_in_the_data_directory),
        T(configured),
        T(lengths),
    };
    return cmocka_run_group_tests_name("app/secret", tests, NULL, NULL);
}

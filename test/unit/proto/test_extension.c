/* test/unit/proto/test_extension.c - settings of extension handlers: what is taken, and what is
 * said of what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/http/extension.h"

static char path[128];

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/iorio-test-extension-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0) return -1;
    close(fd);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

static enum ior_err load_from(const char *file, struct ior_why *why)
{
    static struct config c;
    void *settings[EXTENSION_COUNT];
    why->text[0] = 0;
    config_set_defaults(&c, "/tmp");
    snprintf(c.extension_config_echo, sizeof c.extension_config_echo, "%s", file);
    enum ior_err err = extensions_load(&c, settings, why);
    if (err == IOR_OK) assert_non_null(settings[EXTENSION_ECHO]);
    if (err != IOR_OK) assert_null(settings[EXTENSION_ECHO]);
    extensions_free(settings);
    assert_null(settings[EXTENSION_ECHO]);
    return err;
}

static enum ior_err load(const char *text, size_t size_bytes, struct ior_why *why)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, size_bytes, f), size_bytes);
    assert_int_equal(fclose(f), 0);
    return load_from(path, why);
}

/* What: no file means the defaults; each member may be left out. */
static void good_settings(void **state)
{
    (void)state;
    struct ior_why why;
    static const char *const texts[] = {
        "{}", " {\n}\n", "{\"require_user\":true}", "{\"hide_headers\":[]}",
        "{\"hide_headers\":[\"X-A\",\"x-b\"],\"require_user\":false}"};
    assert_int_equal(load_from("", &why), IOR_OK);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (load(texts[i], strlen(texts[i]), &why) != IOR_OK) fail_msg("%s", why.text);
    }
}

/* What: everything else names the key, the file and what is wrong. */
static void bad_settings_are_explained(void **state)
{
    (void)state;
    struct ior_why why;
    static const char *const cases[][2] = {
        {"", "line 1, byte 1"},
        {"{\"require_user\":true", "line 1, byte 21"},
        {"{\n \"a\":1,\n}", "line 3, byte 11"},
        {"[]", "no JSON object"},
        {"{\"require_user\":1}", "require_user must be true or false"},
        {"{\"require_user\":true,\"require_user\":true}", "duplicate"},
        {"{\"hide_headers\":\"x\"}", "list of header names"},
        {"{\"hide_headers\":[1]}", "list of header names"},
        {"{\"hide_headers\":[\"\"]}", "list of header names"},
        {"{\"hide_headers\":[\"a\\nb\"]}", "list of header names"},
        {"{\"hide_header\":[]}", "unknown member hide_header; known are"},
        {"{} {}", "line 1, byte 4"},
        {"{\"a\":\"\xff\"}", "line 1, byte 7"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(load(cases[i][0], strlen(cases[i][0]), &why), IOR_E_INVAL);
        if (strstr(why.text, cases[i][1]) == NULL) fail_msg("%s: %s", cases[i][0], why.text);
        assert_non_null(strstr(why.text, "extension.config.echo = /tmp/iorio-test-extension-"));
    }
}

/* What: so do files that cannot be read, and deep or large ones. */
static void bad_files_are_explained(void **state)
{
    (void)state;
    struct ior_why why;
    char *text = malloc(100000);
    assert_non_null(text);
    assert_int_equal(load_from("/tmp/iorio-test-extension-is-not-there", &why), IOR_E_INVAL);
    assert_non_null(strstr(why.text, "No such file"));
    assert_int_equal(load_from("/tmp", &why), IOR_E_INVAL);
    assert_non_null(strstr(why.text, "no regular file"));
    assert_int_equal(load_from("/dev/zero", &why), IOR_E_INVAL);
    assert_non_null(strstr(why.text, "no regular file"));
    memset(text, '[', 100000);
    assert_int_equal(load(text, 60000, &why), IOR_E_INVAL);
    assert_non_null(strstr(why.text, "line 1, byte 65"));
    assert_int_equal(load(text, 100000, &why), IOR_E_INVAL);
    assert_non_null(strstr(why.text, "more than 64 KB"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(good_settings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_settings_are_explained, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_files_are_explained, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

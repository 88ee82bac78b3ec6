/* test/unit/base/test_config_live.c - a configuration that is read again: what may be taken over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/config_live.h"

struct seen {
    char text[4096];
};

static void note(void *ctx, const char *key, bool live)
{
    struct seen *s = ctx;
    const size_t used = strlen(s->text);
    snprintf(s->text + used, sizeof s->text - used, "%s%s ", live ? "" : "!", key);
}

static void parse(struct config *c, const char *text)
{
    struct ior_why why = {""};
    config_set_defaults(c, "/opt/iorio/rel");
    if (config_parse(c, "t.conf", text, strlen(text), &why) != IOR_OK) fail_msg("%s", why.text);
}

static size_t merge(const char *running, const char *fresh, struct config *ret, struct seen *seen)
{
    struct config a, b;
    seen->text[0] = 0;
    parse(&a, running);
    parse(&b, fresh);
    return config_live_merge(&a, &b, ret, note, seen);
}

/* What: nothing changed, also when it is written in another way: nothing is told. */
static void the_same_is_no_change(void **state)
{
    (void)state;
    struct config c, wanted;
    struct seen seen;
    assert_int_equal(merge("request.timeout = 2s\nlog.file = /a/b\n",
                           "# other words\nrequest.timeout=2000ms\nlog.file = /a/./c/../b\n", &c,
                           &seen),
                     0);
    assert_string_equal(seen.text, "");
    parse(&wanted, "request.timeout = 2s\nlog.file = /a/b\n");
    assert_memory_equal(&c, &wanted, sizeof c);
}

/* What: live keys of each kind are taken over, others are told and stay. */
static void live_keys_are_taken_over(void **state)
{
    (void)state;
    struct config c;
    struct seen seen;
    const size_t count =
        merge("http.cors.origins = https://a.very.long.name.example.com\nhttp.port = 1\n",
              "http.cors.origins = http://b\nhttp.cors.enabled = yes\nhttp.port = 2\n"
              "streams.read.max = 5\nrequest_log = json\nlog.file = x.log\nmemory.tail = 1GB\n"
              "auth.admin.password = other\nhttp.cors.maxage = 5m\nnodename = n\n",
              &c, &seen);
    assert_int_equal(count, 6);
    assert_string_equal(seen.text,
                        "!nodename !http.port http.cors.enabled http.cors.origins "
                        "http.cors.maxage streams.read.max !auth.admin.password !memory.tail "
                        "request_log log.file ");
    assert_string_equal(c.http_cors_origins, "http://b");
    assert_true(c.http_cors_enabled);
    assert_int_equal(c.http_cors_maxage, 300000);
    assert_int_equal(c.streams_read_max, 5);
    assert_string_equal(c.request_log, "json");
    assert_string_equal(c.log_file, "/opt/iorio/rel/x.log");
    assert_int_equal(c.http_port, 1);
    assert_int_equal(c.memory_tail, 128 << 20);
    assert_string_equal(c.auth_admin_password, "secret");
    assert_string_equal(c.nodename, "iorio@127.0.0.1");
}

/* What: going back is a change like any other, and leaves the bytes of the start. */
static void and_back_again(void **state)
{
    (void)state;
    struct config first, then, back;
    struct seen seen = {""};
    parse(&first, "");
    parse(&then,
          "http.cors.origins = https://a.example.com http://b.example.com\nlog.level = error\n");
    assert_int_equal(config_live_merge(&first, &then, &back, note, &seen), 2);
    assert_memory_equal(&back, &then, sizeof back);
    assert_int_equal(config_live_merge(&then, &first, &back, note, &seen), 2);
    assert_memory_equal(&back, &first, sizeof back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_is_no_change),
        cmocka_unit_test(live_keys_are_taken_over),
        cmocka_unit_test(and_back_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test/unit/app/test_confcheck.c - values that are allowed, but hardly meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/app.h"

static char said[4096];

static void note(void *ctx, const char *key, const char *text)
{
    (void)ctx;
    const size_t used = strlen(said);
    assert_true(strlen(text) > 10);
    snprintf(said + used, sizeof said - used, "%s ", key);
}

static void expect(const char *text, const char *keys)
{
    struct config c;
    struct ior_why why = {""};
    said[0] = 0;
    config_set_defaults(&c, "/opt/iorio/rel");
    if (config_parse(&c, "t.conf", text, strlen(text), &why) != IOR_OK) fail_msg("%s", why.text);
    confcheck_warn(&c, note, NULL);
    if (strcmp(said, keys) != 0) fail_msg("%s\nsaid: %s", text, said);
}

/* What: the shipped configuration and sound changes of it say nothing. */
static void sound_ones_are_silent(void **state)
{
    (void)state;
    expect("memory.tail = 64MB\nmemory.history = 16MB\nworkers = 1\n", "");
    expect("auth.admin.password = x\nhttp.bind = 0.0.0.0\nmemory.tail = 64MB\n", "");
    expect("http.bind = 127.0.0.1\nmemory.tail = 64MB\n", "");
    expect("http.cors.enabled = yes\nhttp.cors.origins = http://a\nmemory.tail = 64MB\n", "");
    expect("request_log = json\nrequest_log.file = /x\nmemory.tail = 64MB\n", "");
}

/* What: each strange value names its key. */
static void strange_ones_name_their_key(void **state)
{
    (void)state;
    expect("http.bind = 0.0.0.0\n", "auth.admin.password ");
    expect("http.bind = ::\n", "auth.admin.password ");
    expect("auth.secret = 0123456789abcdef\n", "auth.secret ");
    expect("http.cors.headers = X-A\n", "http.cors.enabled ");
    expect("http.cors.origins = http://a\n", "http.cors.enabled ");
    expect("request_log.file = /x\n", "request_log ");
    expect("memory.tail = 1TB\n", "memory.tail ");
    expect("http.body.max = 128MB\nmemory.tail = 128MB\n", "http.body.max memory.inflight ");
    expect("memory.inflight = 1MB\n", "memory.inflight ");
    expect("channel.max_items_size = 65MB\n", "channel.max_items_size ");
    expect("journal.max_bytes = 128MB\n", "journal.max_bytes ");
    expect("chunk.max_bytes = 16KB\nchunk.min_bytes = 128KB\n", "chunk.max_bytes ");
    expect("metrics.bucket = .\nmetrics.stream = ..\n", "metrics.bucket metrics.stream ");
    expect("metrics.stream = a\xc2\x80", "metrics.stream ");
    const bool many = sysconf(_SC_NPROCESSORS_ONLN) >= 64;
    expect("workers = 64\n", many ? "" : "workers ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_ones_are_silent),
        cmocka_unit_test(strange_ones_name_their_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

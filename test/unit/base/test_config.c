/* test/unit/base/test_config.c - the configuration: values, files, the environment,
 * secrets in files, and the error texts, which are part of the product.
 * Runs in the checkout (config/iorio.conf is read), writes into a temporary folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/config.h"
#include "base/config_value.h"
#include "base/slice.h"

#define RELEASE "/opt/iorio/rel"

static char folder[256]; /* temporary */

struct bad_line {
    const char *text;
    const char *why;
};

static void clear_environment(void)
{
    for (char **entry = environ; *entry != NULL;) {
        char name[256];
        const size_t size = strcspn(*entry, "=");
        if (strncmp(*entry, "IORIO_", 6) != 0 || size >= sizeof name) {
            entry++;
            continue;
        }
        memcpy(name, *entry, size);
        name[size] = 0;
        assert_int_equal(unsetenv(name), 0); /* moves the later ones up */
    }
}

static int set_up(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/iorio-config-XXXXXX", base == NULL ? "/tmp" : base);
    if (mkdtemp(folder) == NULL) return -1;
    clear_environment();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    clear_environment();
    return rmdir(folder);
}

static const char *path_of(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text, size_t size_bytes)
{
    FILE *f = fopen(path_of(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, size_bytes, f), size_bytes);
    assert_int_equal(fclose(f), 0);
}

static enum ior_err parse(struct config *c, const char *text, struct ior_why *why)
{
    config_set_defaults(c, RELEASE);
    return config_parse(c, "t.conf", text, strlen(text), why);
}

static void expect_parsed(struct config *c, const char *text)
{
    struct ior_why why = {""};
    if (parse(c, text, &why) != IOR_OK) fail_msg("refused: %s", why.text);
}

static void expect_refused(const char *text, const char *wanted)
{
    struct config c;
    struct config before;
    struct ior_why why = {""};
    config_set_defaults(&before, RELEASE);
    assert_int_equal(parse(&c, text, &why), IOR_E_INVAL);
    assert_string_equal(why.text, wanted);
    assert_memory_equal(&c, &before, sizeof c); /* untouched */
    assert_int_equal(parse(&c, text, NULL), IOR_E_INVAL);
}

static enum ior_err load(struct config *c, const char *file, struct ior_why *why)
{
    why->text[0] = 0;
    return config_load(c, RELEASE, file, why);
}

static void expect_load_refused(const char *file, enum ior_err wanted, const char *text)
{
    struct config c;
    struct ior_why why;
    assert_int_equal(load(&c, file, &why), wanted);
    assert_string_equal(why.text, text);
}

/* What: every default is what keys.def says, parsed, with paths under the release folder. */
static void defaults_are_parsed(void **state)
{
    (void)state;
    struct config c;
    config_set_defaults(&c, "/opt/./iorio//rel/");
    assert_string_equal(c.release_dir, "/opt/iorio/rel");
    assert_string_equal(c.nodename, "iorio@127.0.0.1");
    assert_int_equal(c.ring_size, 64);
    assert_string_equal(c.paths_data, "/opt/iorio/db_data");
    assert_int_equal(c.http_port, 8080);
    assert_string_equal(c.http_bind, "");
    assert_int_equal(c.http_body_max, 8 << 20);
    assert_int_equal(c.http_idle_timeout, 60000);
    assert_string_equal(c.auth_secret, "");
    assert_string_equal(c.auth_algorithm, "hs512");
    assert_int_equal(c.auth_session_duration, 86400000);
    assert_string_equal(c.auth_admin_password, "secret");
    assert_int_equal(c.journal_segment, 64 << 20);
    assert_false(c.metrics_public);
    assert_string_equal(c.log_level, "info");
    assert_string_equal(c.log_file, ""); /* an empty path stays empty */
}

/* What: each kind of key takes its values, with white space, comments, CRLF and a BOM around. */
static void values_of_each_kind(void **state)
{
    (void)state;
    struct config c;
    expect_parsed(&c, "\xef\xbb\xbf# comment = 1\r\n"
                      "\r\n"
                      "  http.port=0  \r\n"
                      "\tring_size\t=\t1024\n"
                      "   # indented comment \xff\n"
                      "nodename = n\xc3\xb6\x64\x65 one@host = x\n"
                      "http.body.max = 1GB\n"
                      "http.idle.timeout = 1h\n"
                      "auth.session.duration = 7d\n"
                      "metrics.public = yes\n"
                      "auth.algorithm = hs256\n"
                      "auth.secret = 0123456789abc#ef\n"
                      "auth.admin.password = \"\n"
                      "paths.data = ./a/../b/\n"
                      "log.file = /var/log//iorio/./x.log\n"
                      "http.bind =\n"
                      "limits.address.requests = 100/s\n"
                      "limits.user.requests = 0/h\n"
                      "limits.bucket.writes = 10MB/m\n"
                      "http.proxies = 127.0.0.1, 10.0.0.0/8\n"
                      "http.proxies.header = forwarded\n"
                      "workers = 08");
    assert_int_equal(c.http_port, 0);
    assert_int_equal(c.ring_size, 1024);
    assert_string_equal(c.nodename, "n\xc3\xb6\x64\x65 one@host = x");
    assert_int_equal(c.http_body_max, 1 << 30);
    assert_int_equal(c.http_idle_timeout, 3600000);
    assert_int_equal(c.auth_session_duration, 7 * 86400000);
    assert_true(c.metrics_public);
    assert_string_equal(c.auth_algorithm, "hs256");
    assert_string_equal(c.auth_secret, "0123456789abc#ef");
    assert_string_equal(c.auth_admin_password, "\"");
    assert_string_equal(c.paths_data, "/opt/iorio/rel/b");
    assert_string_equal(c.log_file, "/var/log/iorio/x.log");
    assert_string_equal(c.http_bind, "");
    assert_int_equal(c.workers, 8);
    assert_int_equal(config_rate_count(c.limits_address_requests), 100);
    assert_int_equal(config_rate_seconds(c.limits_address_requests), 1);
    assert_true(c.limits_user_requests == c.limits_bucket_requests); /* 0/h is 0 */
    assert_int_equal(config_rate_count(c.limits_bucket_writes), 10 << 20);
    assert_int_equal(config_rate_seconds(c.limits_bucket_writes), 60);
    assert_string_equal(c.http_proxies, "127.0.0.1, 10.0.0.0/8");
    expect_parsed(&c, "");
    assert_int_equal(config_rate_count(c.limits_address_requests), 0);
    assert_int_equal(config_rate_count(c.auth_login_failures), 100);
    assert_int_equal(config_rate_seconds(c.auth_login_failures), 60);
    assert_int_equal(c.http_port, 8080);
}

/* What: values at both bounds are taken, values one beyond are refused. */
static void bounds_are_inclusive(void **state)
{
    (void)state;
    struct config c;
    expect_parsed(&c,
                  "http.port = 65535\nworkers = 64\nstreams.read.max = 1\njournal.segment = 64KB\n"
                  "request.timeout = 100ms\nauth.session.duration = 365d\nring_size = 8\n");
    assert_int_equal(c.http_port, 65535);
    assert_int_equal(c.journal_segment, 65536);
    assert_int_equal(c.request_timeout, 100);
    expect_parsed(&c, "request.timeout = 10m\njournal.segment = 1GB\nworkers = 0\n");
    static const struct bad_line lines[] = {
        {"http.port = 65536",
         "t.conf:1: http.port = 65536: too large; allowed: a port, 0 to 65535"},
        {"workers = 65", "t.conf:1: workers = 65: too large; allowed: a whole number, 0 to 64"},
        {"streams.read.max = 0",
         "t.conf:1: streams.read.max = 0: too small; allowed: a whole number, 1 to 100000"},
        {"request.timeout = 99ms",
         "t.conf:1: request.timeout = 99ms: too small; allowed: a duration, 100ms to 10m"},
        {"http.body.max = 2GB",
         "t.conf:1: http.body.max = 2GB: too large; allowed: a size, 64KB to 1GB"},
        {"auth.session.duration = 366d",
         "t.conf:1: auth.session.duration = 366d: too large; allowed: a duration, 1m to 365d"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        expect_refused(lines[i].text, lines[i].why);
    }
}

/* What: a wrong value is refused with file, line, key, what was found and what is allowed. */
static void wrong_values_are_explained(void **state)
{
    (void)state;
    static const struct bad_line lines[] = {
        {"\n\nhttp.port = 80a0",
         "t.conf:3: http.port = 80a0: not a whole number; allowed: a port, 0 to 65535"},
        {"http.port =",
         "t.conf:1: http.port = (empty): not a whole number; allowed: a port, 0 to 65535"},
        {"http.port = -1",
         "t.conf:1: http.port = -1: not a whole number; allowed: a port, 0 to 65535"},
        {"http.port = 99999999999999999999", "t.conf:1: http.port = 99999999999999999999: too "
                                             "large a number; allowed: a port, 0 to 65535"},
        {"ring_size = 100", "t.conf:1: ring_size = 100: not a power of two; allowed: a whole "
                            "number, 8 to 1024, a power of two"},
        {"journal.segment = 66559B\n", "t.conf:1: journal.segment = 66559B: not a multiple of 4KB; "
                                       "allowed: a size, 64KB to 1GB, a multiple of 4KB"},
        {"journal.segment = 65KB", "t.conf:1: journal.segment = 65KB: not a multiple of 4KB; "
                                   "allowed: a size, 64KB to 1GB, a multiple of 4KB"},
        {"nodename = a\x7f", "t.conf:1: nodename: byte 2 of the value is a control character or no "
                             "UTF-8; allowed: text in UTF-8"},
        {"journal.segment = 65537B",
         "t.conf:1: journal.segment = 65537B: not a multiple of 4KB; allowed: "
         "a size, 64KB to 1GB, a multiple of 4KB"},
        {"http.body.max = 8",
         "t.conf:1: http.body.max = 8: the unit (B KB MB GB TB) is missing; allowed: "
         "a size, 64KB to 1GB"},
        {"http.body.max = 8M",
         "t.conf:1: http.body.max = 8M: not a whole number and a unit (B KB MB GB TB); "
         "allowed: a size, 64KB to 1GB"},
        {"http.idle.timeout = 1.5s",
         "t.conf:1: http.idle.timeout = 1.5s: not a whole number and a unit "
         "(ms s m h d); allowed: a duration, 1s to 1h"},
        {"metrics.public = true",
         "t.conf:1: metrics.public = true: neither yes nor no; allowed: yes or no"},
        {"limits.user.requests = 100",
         "t.conf:1: limits.user.requests = 100: not a whole number in a second, minute or hour "
         "(100/s); allowed: 0 (no limit), or a rate such as 100/s, 5000/m, 9000/h"},
        {"limits.user.requests = 1KB/s",
         "t.conf:1: limits.user.requests = 1KB/s: not a whole number; allowed: 0 (no limit), or a "
         "rate such as 100/s, 5000/m, 9000/h"},
        {"limits.user.requests = 1000000001/s",
         "t.conf:1: limits.user.requests = 1000000001/s: too large; allowed: 0 (no limit), or a "
         "rate such as 100/s, 5000/m, 9000/h"},
        {"limits.bucket.writes = 100/s",
         "t.conf:1: limits.bucket.writes = 100/s: the unit (B KB MB GB TB) is missing; allowed: 0 "
         "(no limit), or a rate such as 512KB/s, 10MB/m, 2GB/h"},
        {"http.proxies = 10.0.0.1/8",
         "t.conf:1: http.proxies = 10.0.0.1/8: the address of a network has bits behind its "
         "prefix; allowed: empty, or at most 64 addresses and networks such as 10.0.0.0/8, with "
         "commas between them"},
        {"http.proxies = proxy.example",
         "t.conf:1: http.proxies = proxy.example: not an address, nor a network; allowed: empty, "
         "or at most 64 addresses and networks such as 10.0.0.0/8, with commas between them"},
        {"log.level = warn",
         "t.conf:1: log.level = warn: unknown word; allowed: one of debug, info, warning, error"},
        {"nodename =",
         "t.conf:1: nodename = (empty): 0 bytes are too few; allowed: text of 1 to 255 bytes"},
        {"nodename = a\tb", "t.conf:1: nodename: byte 2 of the value is a control character or no "
                            "UTF-8; allowed: text in UTF-8"},
        {"nodename = \xc3\xa9\xff", "t.conf:1: nodename: byte 3 of the value is a control "
                                    "character or no UTF-8; allowed: text in UTF-8"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        expect_refused(lines[i].text, lines[i].why);
    }
}

/* What: a line that is no setting, and habits from other formats, are refused with the way out. */
static void wrong_lines_are_explained(void **state)
{
    (void)state;
    static const struct bad_line lines[] = {
        {"http.port 8080",
         "t.conf:1: http.port: no '=' in the line; allowed: key = value, # comment"},
        {"[http]", "t.conf:1: no '=' in the line; allowed: key = value, # comment"},
        {"= 5", "t.conf:1: no key before '='; allowed: key = value, # comment"},
        {"http.port = 80 # web",
         "t.conf:1: http.port: a comment behind a value; allowed: comments on lines of "
         "their own (if # belongs to the value, set IORIO_HTTP_PORT in the environment)"},
        {"auth.secret = # none",
         "t.conf:1: auth.secret: a comment behind a value; allowed: comments on lines of "
         "their own (if # belongs to the value, set IORIO_AUTH_SECRET in the environment)"},
        {"nodename = \"n\"",
         "t.conf:1: nodename: a value in quotes; allowed: the bare value (if the quotes belong "
         "to it, set IORIO_NODENAME in the environment)"},
        {"nodename = ''",
         "t.conf:1: nodename: a value in quotes; allowed: the bare value (if the quotes belong "
         "to it, set IORIO_NODENAME in the environment)"},
        {"http.port = 1\nworkers = 1\nhttp.port = 1",
         "t.conf:3: http.port: this key is set on line 1 already; keep one of them"},
        {"auth.secret =\nauth.secret.file = /x",
         "t.conf:2: auth.secret.file: this key is set on line 1 already; keep one of them"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        expect_refused(lines[i].text, lines[i].why);
    }
}

/* What: an unknown key is refused with the known one that a person most likely meant. */
static void unknown_keys_name_the_nearest(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        const char *nearest;
    } keys[] = {
        {"http.prot", "http.port"},
        {"http.por", "http.port"},
        {"htttp.port", "http.port"},
        {"HTTP.Port", "http.port"},
        {"http_port", "http.port"},
        {"IORIO_HTTP_PORT", "http.port"},
        {"port", "http.port"},
        {"secret", "auth.secret"},
        {"password", "auth.admin.password"},
        {"ring.size", "ring_size"},
        {"ringsize", "ring_size"},
        {"auth.secret.fil", "auth.secret.file"},
        {"http.port.file", "http.port"},
        {"auth.session.duraton", "auth.session.duration"},
        {"paths.dat", "paths.data"},
        {"memory.tial", "memory.tail"},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char line[128];
        char wanted[256];
        snprintf(line, sizeof line, "%s = 1", keys[i].key);
        snprintf(wanted, sizeof wanted, "t.conf:1: %s: unknown key; the nearest known one is %s",
                 keys[i].key, keys[i].nearest);
        expect_refused(line, wanted);
    }
    struct config c;
    struct ior_why why = {""};
    assert_int_equal(parse(&c, "\x01\xff\xc3\xa9 k = v", &why), IOR_E_INVAL);
    assert_non_null(strstr(why.text, "t.conf:1: ??\xc3\xa9 k: unknown key"));
}

/* What: no error text holds the value of a secret, whatever is wrong with the line. */
static void secrets_stay_secret(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "auth.secret = hunter2",
        "auth.admin.password hunter2",
        "auth.admin.password: hunter2",
        "auth.admin.password = hunter2 # mine",
        "auth.admin.password = 'hunter2'",
        "auth.admin.password = hunter2\nauth.admin.password = hunter2",
        "auth.admin.password = hunter2\x01",
        "auth.admin.password = hunter2\xff",
    };
    struct config c;
    struct ior_why why;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        why.text[0] = 0;
        assert_int_equal(parse(&c, lines[i], &why), IOR_E_INVAL);
        assert_non_null(strstr(why.text, "auth."));
        assert_null(strstr(why.text, "hunter"));
    }
    expect_refused("auth.secret = hunter2",
                   "t.conf:1: auth.secret: too short for a key; allowed: empty, or "
                   "a secret of at most 1024 bytes, but at least 16");
    expect_parsed(&c, "auth.secret = 0123456789abcdef");
    expect_refused("auth.secret = 0123456789abcde",
                   "t.conf:1: auth.secret: too short for a key; allowed: empty, "
                   "or a secret of at most 1024 bytes, but at least 16");
}

/* What: texts may have their full length and not a byte more, and long values are cut in error
 * texts. */
static void long_values(void **state)
{
    (void)state;
    char line[4096];
    struct config c;
    struct ior_why why = {""};
    snprintf(line, sizeof line, "nodename = %0255d\nauth.secret = %01024d", 1, 2);
    expect_parsed(&c, line);
    assert_int_equal(strlen(c.nodename), 255);
    assert_int_equal(strlen(c.auth_secret), 1024);
    snprintf(line, sizeof line, "auth.secret = %01025d", 2);
    assert_int_equal(parse(&c, line, &why), IOR_E_INVAL);
    assert_non_null(strstr(why.text, "auth.secret: 1025 bytes are too many"));
    snprintf(line, sizeof line, "nodename = %0256d", 1);
    assert_int_equal(parse(&c, line, &why), IOR_E_INVAL);
    assert_non_null(
        strstr(why.text, "000...: 256 bytes are too many; allowed: text of 1 to 255 bytes"));
    snprintf(line, sizeof line, "paths.data = %01023d", 1);
    assert_int_equal(parse(&c, line, &why), IOR_E_INVAL);
    assert_non_null(strstr(why.text, "too long together with the release folder"));
    snprintf(line, sizeof line, "paths.data = /%01022d", 1);
    expect_parsed(&c, line);
    assert_int_equal(strlen(c.paths_data), 1023);
    snprintf(line, sizeof line, "%02000d = 1", 1);
    assert_int_equal(parse(&c, line, &why), IOR_E_INVAL);
    assert_non_null(strstr(why.text, "unknown key"));
}

/* What: the environment wins over the file, the file over the defaults. */
static void sources_have_an_order(void **state)
{
    (void)state;
    static const char text[] =
        "http.port = 1000\nworkers = 3\nauth.secret.file = /does/not/matter\n";
    struct config c;
    struct ior_why why;
    write_file("a.conf", "http.port = 1000\nworkers = 3\n", 29);
    assert_int_equal(setenv("IORIO_HTTP_PORT", "2000", 1), 0);
    assert_int_equal(setenv("IORIO_RING_SIZE", "128", 1), 0);
    assert_int_equal(setenv("IORIO_PATHS_DATA", "data", 1), 0);
    assert_int_equal(setenv("IORIO_LOG_FILE", "", 1), 0);
    assert_int_equal(setenv("IORIO_AUTH_ADMIN_PASSWORD", "\"a # b\"", 1), 0);
    assert_int_equal(setenv("IORIO_TEST_ANYTHING", "1", 1), 0);
    assert_int_equal(setenv("IORIOX", "1", 1), 0);
    assert_int_equal(load(&c, path_of("a.conf"), &why), IOR_OK);
    assert_int_equal(c.http_port, 2000);
    assert_int_equal(c.workers, 3);
    assert_int_equal(c.ring_size, 128);
    assert_string_equal(c.paths_data, RELEASE "/data");
    assert_string_equal(c.auth_admin_password, "\"a # b\""); /* taken as it is */
    assert_int_equal(c.http_body_max, 8 << 20);
    /* Without a file. */
    assert_int_equal(load(&c, NULL, &why), IOR_OK);
    assert_int_equal(c.workers, 0);
    /* A wrong line counts even where the environment would win. */
    write_file("a.conf", text, sizeof text - 1);
    assert_int_equal(setenv("IORIO_AUTH_SECRET", "0123456789abcdef", 1), 0);
    assert_int_equal(load(&c, path_of("a.conf"), &why), IOR_E_INVAL);
    assert_int_equal(unsetenv("IORIOX"), 0);
    assert_int_equal(unlink(path_of("a.conf")), 0);
}

/* What: wrong variables are refused by their name and key; unknown ones name the nearest. */
static void environment_errors(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *value;
        const char *why;
    } cases[] = {
        {"IORIO_HTTP_PORT", "x",
         "environment: IORIO_HTTP_PORT (http.port) = x: not a whole number; allowed: a port, 0 to "
         "65535"},
        {"IORIO_HTTP_PORT", "",
         "environment: IORIO_HTTP_PORT (http.port) = (empty): not a whole number; allowed: a port, "
         "0 to 65535"},
        {"IORIO_HTTPPORT", "1",
         "environment: IORIO_HTTPPORT: no key has this variable; the nearest known one is "
         "IORIO_HTTP_PORT"},
        {"IORIO_PORT", "1",
         "environment: IORIO_PORT: no key has this variable; the nearest known one is "
         "IORIO_HTTP_PORT"},
        {"IORIO_http_port", "1",
         "environment: IORIO_http_port: no key has this variable; the nearest known one is "
         "IORIO_HTTP_PORT"},
        {"IORIO_AUTH_SECRET", "hunter2",
         "environment: IORIO_AUTH_SECRET (auth.secret): too short for a key; allowed: empty, or a "
         "secret of at most 1024 bytes, but at least 16"},
        {"IORIO_NODENAME", "a\nb",
         "environment: IORIO_NODENAME (nodename): byte 2 of the value is a control character or no "
         "UTF-8; allowed: text in UTF-8"},
        {"IORIO_HTTP_PORT", "tcp://10.0.0.1:80",
         "environment: IORIO_HTTP_PORT (http.port) = tcp://10.0.0.1:80: not a whole number; "
         "allowed: a port, 0 to 65535 (set by Kubernetes for a service? then use "
         "enableServiceLinks: false)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(setenv(cases[i].name, cases[i].value, 1), 0);
        expect_load_refused(NULL, IOR_E_INVAL, cases[i].why);
        assert_int_equal(unsetenv(cases[i].name), 0);
    }
    struct config c;
    struct ior_why why;
    assert_int_equal(setenv("IORIO_SERVICE_HOST", "10.0.0.1", 1), 0);
    assert_int_equal(load(&c, NULL, &why), IOR_E_INVAL);
    assert_non_null(strstr(why.text, "environment: IORIO_SERVICE_HOST: no key has this variable"));
    assert_non_null(strstr(why.text, "enableServiceLinks: false)"));
    assert_int_equal(unsetenv("IORIO_SERVICE_HOST"), 0);
    assert_int_equal(load(&c, NULL, &why), IOR_OK);
    assert_int_equal(setenv("IORIO_AUTH_SECRET", "0123456789abcdef", 1), 0);
    assert_int_equal(setenv("IORIO_AUTH_SECRET_FILE", "/x", 1), 0);
    assert_int_equal(load(&c, NULL, &why), IOR_E_INVAL);
    assert_non_null(
        strstr(why.text, ": auth.secret is set by another variable too; keep one of them"));
}

/* What: a file that is missing, a folder, too large or out of reach is refused with the reason. */
static void file_errors(void **state)
{
    (void)state;
    char wanted[1024];
    snprintf(wanted, sizeof wanted,
             "%s: the configuration cannot be read: No such file or directory",
             path_of("none.conf"));
    expect_load_refused(path_of("none.conf"), IOR_E_NOTFOUND, wanted);
    snprintf(wanted, sizeof wanted, "%s: the configuration cannot be read: a folder, not a file",
             folder);
    expect_load_refused(folder, IOR_E_INVAL, wanted);
    write_file("big.conf", "#", 1);
    assert_int_equal(truncate(path_of("big.conf"), (1 << 20) + 1), 0);
    snprintf(wanted, sizeof wanted, "%s: the configuration cannot be read: too large a file",
             path_of("big.conf"));
    expect_load_refused(path_of("big.conf"), IOR_E_INVAL, wanted);
    write_file("big.conf", "#", 1);
    if (geteuid() != 0) { /* root reads everything */
        assert_int_equal(chmod(path_of("big.conf"), 0), 0);
        snprintf(wanted, sizeof wanted, "%s: the configuration cannot be read: Permission denied",
                 path_of("big.conf"));
        expect_load_refused(path_of("big.conf"), IOR_E_ACCESS, wanted);
    }
    assert_int_equal(unlink(path_of("big.conf")), 0);
    struct config c;
    struct ior_why why;
    assert_int_equal(config_load(&c, "relative", NULL, &why), IOR_E_INVAL);
    assert_string_equal(
        why.text, "the release folder is relative; allowed: an absolute path of at most 895 bytes");
    char deep[1000];
    snprintf(deep, sizeof deep, "/%0899d", 1);
    assert_int_equal(config_load(&c, deep, NULL, &why), IOR_E_INVAL);
    deep[CONFIG_RELEASE_DIR_MAX] = 0;
    assert_int_equal(config_load(&c, deep, NULL, &why), IOR_OK);
}

static void expect_secret_file(const char *text, size_t size_bytes, const char *wanted)
{
    char line[600];
    struct config c;
    write_file("secret", text, size_bytes);
    snprintf(line, sizeof line, "auth.admin.password.file = %s", path_of("secret"));
    expect_parsed(&c, line);
    assert_string_equal(c.auth_admin_password, wanted);
    /* The same by the environment. */
    struct ior_why why;
    assert_int_equal(setenv("IORIO_AUTH_ADMIN_PASSWORD_FILE", path_of("secret"), 1), 0);
    assert_int_equal(load(&c, NULL, &why), IOR_OK);
    assert_string_equal(c.auth_admin_password, wanted);
    assert_int_equal(unsetenv("IORIO_AUTH_ADMIN_PASSWORD_FILE"), 0);
    assert_int_equal(unlink(path_of("secret")), 0);
}

/* What: a secret comes out of its file without the line break at its end, and otherwise as it is.
 */
static void secrets_from_files(void **state)
{
    (void)state;
    char most[1026];
    memset(most, 'k', sizeof most);
    memcpy(most + 1023, "\r\n", 3);
    expect_secret_file("hunter2", 7, "hunter2");
    expect_secret_file("hunter2\n", 8, "hunter2");
    expect_secret_file("hunter2\r\n", 9, "hunter2");
    expect_secret_file(" \"a # b\" \n", 10, " \"a # b\" ");
    expect_secret_file("# no comment\n", 13, "# no comment");
    char wanted[1024];
    memset(wanted, 'k', 1023);
    wanted[1023] = 0;
    expect_secret_file(most, 1025, wanted);
    /* A relative path starts at the release folder, here the temporary one. */
    struct config c;
    struct ior_why why = {""};
    write_file("secret", "from the release folder\n", 24);
    config_set_defaults(&c, folder);
    static const char line[] = "auth.secret.file = ./x/../secret";
    assert_int_equal(config_parse(&c, "t.conf", line, sizeof line - 1, &why), IOR_OK);
    assert_string_equal(c.auth_secret, "from the release folder");
    assert_int_equal(unlink(path_of("secret")), 0);
}

/* What: a secret file that is missing, empty, no file, not text or of wrong length is explained. */
static void secret_file_errors(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t size_bytes;
        const char *problem;
    } cases[] = {
        {"", 0, ": an empty file; allowed: a path to a file that holds the secret"},
        {"\n", 1, ": an empty file; allowed: a path to a file that holds the secret"},
        {"short\n", 6,
         ": too short for a key; allowed: empty, or a secret of at most 1024 bytes, but at least "
         "16"},
        {"two lines are\nno secret\n", 24,
         "auth.secret.file: byte 14 of the value is a control character or no UTF-8; allowed: text "
         "in UTF-8"},
        {"nul\0nul nul nul nul", 19,
         "auth.secret.file: byte 4 of the value is a control character or no UTF-8; allowed: text "
         "in UTF-8"},
    };
    char line[600];
    struct config c;
    struct ior_why why = {""};
    snprintf(line, sizeof line, "\nauth.secret.file = %s", path_of("secret"));
    assert_int_equal(parse(&c, line, &why), IOR_E_INVAL);
    assert_non_null(strstr(why.text, "t.conf:2: auth.secret.file = /"));
    assert_non_null(strstr(
        why.text, ": No such file or directory; allowed: a path to a file that holds the secret"));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_file("secret", cases[i].text, cases[i].size_bytes);
        assert_int_equal(parse(&c, line, &why), IOR_E_INVAL);
        if (strstr(why.text, cases[i].problem) == NULL) fail_msg("case %zu: %s", i, why.text);
    }
    assert_int_equal(truncate(path_of("secret"), 2000), 0);
    assert_int_equal(parse(&c, line, &why), IOR_E_INVAL);
    assert_non_null(strstr(why.text, ": too large a file; "));
    assert_int_equal(unlink(path_of("secret")), 0);
    expect_refused("auth.secret.file = /dev/null",
                   "t.conf:1: auth.secret.file = /dev/null: not a regular file; "
                   "allowed: a path to a file that holds the secret");
    expect_refused("auth.secret.file = /", "t.conf:1: auth.secret.file = /: a folder, not a file; "
                                           "allowed: a path to a file that holds the secret");
    expect_refused("auth.secret.file =", "t.conf:1: auth.secret.file = (empty): no path; "
                                         "allowed: a path to a file that holds the secret");
}

/* What: config/iorio.conf is what config_print_defaults writes, and it sets every key to its
 * default. */
static void the_default_file_is_fresh(void **state)
{
    (void)state;
    char printed[32768];
    char committed[32768];
    FILE *out = fmemopen(printed, sizeof printed, "w");
    assert_non_null(out);
    config_print_defaults(out);
    assert_int_equal(fclose(out), 0);
    FILE *in = fopen("config/iorio.conf", "rb");
    if (in == NULL) fail_msg("config/iorio.conf is not here: run the test in the checkout");
    const size_t size = fread(committed, 1, sizeof committed - 1, in);
    assert_int_equal(fclose(in), 0);
    committed[size] = 0;
    assert_string_equal(committed, printed); /* stale: iorio config --defaults */
    struct config c;
    struct config defaults;
    config_set_defaults(&defaults, RELEASE);
    expect_parsed(&c, printed);
    assert_memory_equal(&c, &defaults, sizeof c);
#define X(field, key, kind, def, min, max, when, help)                                             \
    assert_non_null(strstr(printed, "\n" key " ="));                                               \
    assert_true(config_is_default(&c, key));
#include "config/keys.def"
#undef X
}

/* What: a key is at its default until its value differs, in each kind of key. */
static void is_default_sees_changes(void **state)
{
    (void)state;
    static const char *const lines[][2] = {{"auth.admin.password", "auth.admin.password = Secret"},
                                           {"http.port", "http.port = 8081"},
                                           {"metrics.public", "metrics.public = yes"},
                                           {"log.level", "log.level = debug"},
                                           {"paths.data", "paths.data = ../db_date"},
                                           {"nodename", "nodename = x"},
                                           {"http.idle.timeout", "http.idle.timeout = 61s"},
                                           {"memory.tail", "memory.tail = 129MB"}};
    struct config c;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        expect_parsed(&c, lines[i][1]);
        assert_false(config_is_default(&c, lines[i][0]));
        assert_true(config_is_default(&c, "workers"));
    }
    expect_parsed(
        &c,
        "paths.data = /opt/iorio/db_data\nhttp.idle.timeout = 1m\nauth.admin.password = secret");
    assert_true(config_is_default(&c, "paths.data")); /* the value counts, not how it is written */
    assert_true(config_is_default(&c, "http.idle.timeout"));
    assert_true(config_is_default(&c, "auth.admin.password"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(defaults_are_parsed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_of_each_kind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bounds_are_inclusive, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_values_are_explained, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_lines_are_explained, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_keys_name_the_nearest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(secrets_stay_secret, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sources_have_an_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(environment_errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(file_errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(secrets_from_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(secret_file_errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_default_file_is_fresh, set_up, tear_down),
        cmocka_unit_test_setup_teardown(is_default_sees_changes, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

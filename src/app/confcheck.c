/* src/app/confcheck.c - values that are allowed, but hardly meant: each is a warning of `iorio
 * chkconfig` and in the log of a start. What is wrong for sure is an error of the parser
 * (src/base/config_set.c) instead. Thread: any. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/app.h"
#include "base/config_value.h"
#include "core/iorio.h"

struct check {
    const struct config *c;
    void (*say)(void *ctx, const char *key, const char *text);
    void *ctx;
};

static void say(const struct check *k, const char *key, const char *text)
{
    k->say(k->ctx, key, text);
}

static bool is_loopback(const char *bind)
{
    return strncmp(bind, "127.", 4) == 0 || strcmp(bind, "::1") == 0 ||
           strcmp(bind, "localhost") == 0;
}

static void check_doors(const struct check *k)
{
    const struct config *c = k->c;
    bool shipped = config_is_default(c, "auth.admin.password");
    if (shipped && c->http_bind[0] != 0 && !is_loopback(c->http_bind))
        say(k, "auth.admin.password",
            "it is the shipped one, and http.bind lets other machines in: where the password was "
            "never "
            "changed everybody can log in as admin");
    size_t n = strlen(c->auth_secret);
    if (n > 0 && n < 32) say(k, "auth.secret", "it is short: 32 bytes or more are better");
    if (!c->http_cors_enabled &&
        (!config_is_default(c, "http.cors.origins") || c->http_cors_headers[0] != 0))
        say(k, "http.cors.enabled", "it is no, so the other keys of http.cors have no effect");
    if (c->request_log_file[0] != 0 && strcmp(c->request_log, "off") == 0)
        say(k, "request_log", "it is off, so request_log.file has no effect");
}

static void check_memory(const struct check *k)
{
    const struct config *c = k->c;
    char text[160];
    char sum_text[CONFIG_VALUE_TEXT_MAX];
    uint64_t sum = c->memory_tail + c->memory_history + c->memory_inflight + c->memory_dedupe;
    uint64_t ram = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    if (sum > ram) {
        config_value_bytes_text(sum >> 20 << 20, sum_text);
        snprintf(text, sizeof text,
                 "the budgets of memory are %s together: more than this machine has", sum_text);
        say(k, "memory.tail", text);
    }
    if (c->http_body_max > c->memory_tail / 2)
        say(k, "http.body.max",
            "it is more than half of memory.tail: large bodies will be refused often");
    if (c->memory_inflight < c->http_body_max)
        say(k, "memory.inflight", "it is less than http.body.max: large bodies go one at a time");
    if (c->channel_max_items_size > c->memory_history)
        say(k, "channel.max_items_size",
            "it is more than memory.history, which is for all streams");
}

static void check_store(const struct check *k)
{
    const struct config *c = k->c;
    if (c->journal_max_bytes / 4 < c->journal_segment)
        say(k, "journal.max_bytes",
            "it is less than four times journal.segment: appends will wait for checkpoints");
    if (c->chunk_max_bytes < c->chunk_min_bytes)
        say(k, "chunk.max_bytes", "it is less than chunk.min_bytes");
    if (!iorio_bucket_name_ok(ior_slice_str(c->metrics_bucket)))
        say(k, "metrics.bucket", "it cannot be the name of a bucket: metrics are not appended");
    if (!iorio_stream_name_ok(ior_slice_str(c->metrics_stream)))
        say(k, "metrics.stream", "it cannot be the name of a stream: metrics are not appended");
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (cores > 0 && c->workers > (uint64_t)cores)
        say(k, "workers", "there are more of them than this machine has cores");
}

void confcheck_warn(const struct config *c,
                    void (*tell)(void *ctx, const char *key, const char *text), void *ctx)
{
    const struct check k = {c, tell, ctx};
    check_doors(&k);
    check_memory(&k);
    check_store(&k);
}

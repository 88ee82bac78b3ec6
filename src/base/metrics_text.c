/* src/base/metrics_text.c - all metrics as text for Prometheus, and as JSON for people and for the
 * stream of metrics. Thread: any; what is counted meanwhile is in it or not, row by row.
 * The only failure is memory, which is sticky in the buffer. */
#include <stdio.h>

#include "base/json.h"
#include "base/metrics.h"

struct metric_row {
    bool is_counter;
    const char *name;
    const char *help;
};
static const struct metric_row rows[METRIC_COUNT] = {
#define COUNTER true
#define GAUGE false
#define M(kind, name, help) {kind, #name, help},
#define H(name, family, label, value, help)
#define B(name, help)
#include "base/metrics.def"
#undef M
#undef H
#undef B
#undef COUNTER
#undef GAUGE
};

struct histogram_row {
    const char *family;
    const char *label; /* "": none */
    const char *value;
    const char *help; /* "": as the row in front of it */
};
static const struct histogram_row histogram_rows[HISTOGRAM_COUNT] = {
#define M(kind, name, help)
#define H(name, family, label, value, help) {#family, #label, #value, help},
#define B(name, help)
#include "base/metrics.def"
#undef M
#undef H
#undef B
};

static const struct metric_row bucket_rows[BUCKET_METRIC_COUNT] = {
#define M(kind, name, help)
#define H(name, family, label, value, help)
#define B(name, help) {true, #name, help},
#include "base/metrics.def"
#undef M
#undef H
#undef B
};

/* ---- Prometheus ---- */

static void add_head(struct ior_buf *out, const char *name, const char *suffix, const char *help,
                     const char *type)
{
    ior_buf_addf(out, "# HELP iorio_%s%s %s\n# TYPE iorio_%s%s %s\n", name, suffix, help, name,
                 suffix, type);
}

/* 1500 -> 0.0015 */
static void add_seconds(struct ior_buf *out, uint64_t us)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%llu.%06llu", (unsigned long long)(us / 1000000),
                     (unsigned long long)(us % 1000000));
    while (text[n - 1] == '0') n--;
    if (text[n - 1] == '.') n--;
    ior_buf_add(out, text, (size_t)n);
}

static void add_labels(struct ior_buf *out, const struct histogram_row *r, const char *le)
{
    bool labelled = r->label[0] != 0;
    if (!labelled && le == NULL) return;
    ior_buf_add_char(out, '{');
    if (labelled) ior_buf_addf(out, "%s=\"%s\"", r->label, r->value);
    if (labelled && le != NULL) ior_buf_add_char(out, ',');
    if (le != NULL) ior_buf_addf(out, "le=\"%s\"", le);
    ior_buf_add_char(out, '}');
}

static void add_step(struct ior_buf *out, const struct histogram_row *r, const char *le,
                     uint64_t count)
{
    ior_buf_addf(out, "iorio_%s_bucket", r->family);
    add_labels(out, r, le);
    ior_buf_addf(out, " %llu\n", (unsigned long long)count);
}

static void add_histogram(struct ior_buf *out, enum histogram i)
{
    const struct histogram_row *r = &histogram_rows[i];
    struct histogram_sum h;
    uint64_t below = 0;
    metric_histogram(i, &h);
    if (r->help[0] != 0) add_head(out, r->family, "", r->help, "histogram");
    for (unsigned step = 0; step < HISTOGRAM_STEPS; step++) {
        char memory[32];
        struct ior_buf le;
        ior_buf_init_in(&le, memory, sizeof memory);
        add_seconds(&le, histogram_step_us(step));
        ior_buf_add_char(&le, 0);
        below += h.steps[step];
        add_step(out, r, memory, below);
        ior_buf_done(&le);
    }
    add_step(out, r, "+Inf", h.count);
    ior_buf_addf(out, "iorio_%s_sum", r->family);
    add_labels(out, r, NULL);
    ior_buf_add_char(out, ' ');
    add_seconds(out, h.sum_us);
    ior_buf_addf(out, "\niorio_%s_count", r->family);
    add_labels(out, r, NULL);
    ior_buf_addf(out, " %llu\n", (unsigned long long)h.count);
}

/* The three escapes of the format; names have no other control characters. */
static void add_label_value(struct ior_buf *out, struct ior_slice s)
{
    for (size_t i = 0; i < s.size_bytes; i++) {
        if (s.data[i] == '\n') {
            ior_buf_add_str(out, "\\n");
            continue;
        }
        if (s.data[i] == '"' || s.data[i] == '\\') ior_buf_add_char(out, '\\');
        ior_buf_add_char(out, (char)s.data[i]);
    }
}

static void add_buckets(struct ior_buf *out, enum bucket_metric m)
{
    struct ior_slice name;
    uint64_t values[BUCKET_METRIC_COUNT];
    add_head(out, bucket_rows[m].name, "_total", bucket_rows[m].help, "counter");
    for (unsigned slot = 1; metric_bucket_at(slot, &name, values); slot++) {
        ior_buf_addf(out, "iorio_%s_total{bucket=\"", bucket_rows[m].name);
        add_label_value(out, name);
        ior_buf_addf(out, "\"} %llu\n", (unsigned long long)values[m]);
    }
}

void metrics_text(struct ior_buf *out)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        const struct metric_row *r = &rows[i];
        const char *suffix = r->is_counter ? "_total" : "";
        add_head(out, r->name, suffix, r->help, r->is_counter ? "counter" : "gauge");
        ior_buf_addf(out, "iorio_%s%s %lld\n", r->name, suffix,
                     (long long)metric_value((enum metric)i));
    }
    for (int i = 0; i < HISTOGRAM_COUNT; i++) add_histogram(out, (enum histogram)i);
    for (int i = 0; i < BUCKET_METRIC_COUNT; i++) add_buckets(out, (enum bucket_metric)i);
}

/* ---- JSON ---- */

static void add_values(struct ior_buf *out, const char *word, bool counters)
{
    const char *comma = "";
    ior_buf_addf(out, "\"%s\":{", word);
    for (int i = 0; i < METRIC_COUNT; i++) {
        if (rows[i].is_counter != counters) continue;
        ior_buf_addf(out, "%s\"%s\":%lld", comma, rows[i].name,
                     (long long)metric_value((enum metric)i));
        comma = ",";
    }
    ior_buf_add_char(out, '}');
}

static void add_durations(struct ior_buf *out, enum histogram i)
{
    struct histogram_sum h;
    const char *comma = "";
    metric_histogram(i, &h);
    ior_buf_addf(out,
                 "{\"count\":%llu,\"sum_us\":%llu,\"p50_us\":%llu,\"p90_us\":%llu,"
                 "\"p99_us\":%llu,\"steps\":{",
                 (unsigned long long)h.count, (unsigned long long)h.sum_us,
                 (unsigned long long)histogram_guess_us(&h, 500),
                 (unsigned long long)histogram_guess_us(&h, 900),
                 (unsigned long long)histogram_guess_us(&h, 990));
    for (unsigned step = 0; step <= HISTOGRAM_STEPS; step++) {
        if (h.steps[step] == 0) continue;
        if (step < HISTOGRAM_STEPS)
            ior_buf_addf(out, "%s\"%llu\"", comma, (unsigned long long)histogram_step_us(step));
        else
            ior_buf_addf(out, "%s\"longer\"", comma);
        ior_buf_addf(out, ":%llu", (unsigned long long)h.steps[step]);
        comma = ",";
    }
    ior_buf_add_str(out, "}}");
}

/* {"family":{"value":{...},...},"family without a label":{...}} */
static void add_histograms(struct ior_buf *out)
{
    bool open = false;
    ior_buf_add_str(out, "\"histograms\":{");
    for (int i = 0; i < HISTOGRAM_COUNT; i++) {
        const struct histogram_row *r = &histogram_rows[i];
        bool first = r->help[0] != 0;
        if (first && open) ior_buf_add_char(out, '}');
        if (i > 0) ior_buf_add_char(out, ',');
        if (first) ior_buf_addf(out, "\"%s\":", r->family);
        if (first) open = r->label[0] != 0;
        if (first && open) ior_buf_add_char(out, '{');
        if (open) ior_buf_addf(out, "\"%s\":", r->value);
        add_durations(out, (enum histogram)i);
    }
    if (open) ior_buf_add_char(out, '}');
    ior_buf_add_char(out, '}');
}

static void add_bucket_objects(struct ior_buf *out)
{
    struct ior_slice name;
    uint64_t values[BUCKET_METRIC_COUNT];
    ior_buf_add_str(out, "\"buckets\":{");
    for (unsigned slot = 1; metric_bucket_at(slot, &name, values); slot++) {
        if (slot > 1) ior_buf_add_char(out, ',');
        ior_json_quote(out, name);
        for (int m = 0; m < BUCKET_METRIC_COUNT; m++)
            ior_buf_addf(out, "%s\"%s\":%llu", m == 0 ? ":{" : ",", bucket_rows[m].name,
                         (unsigned long long)values[m]);
        ior_buf_add_char(out, '}');
    }
    ior_buf_add_char(out, '}');
}

void metrics_json(struct ior_buf *out)
{
    add_values(out, "counters", true);
    ior_buf_add_char(out, ',');
    add_values(out, "gauges", false);
    ior_buf_add_char(out, ',');
    add_histograms(out);
    ior_buf_add_char(out, ',');
    add_bucket_objects(out);
}

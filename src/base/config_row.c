/* src/base/config_row.c - see config_row.h: the table, what its rows allow, their
 * names, and the commented default file.
 * Thread: any. Happy path and failures: nothing here reads a user's bytes except
 * to compare names, and nothing can fail. */
#include "base/config_row.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/config_value.h"
#include "base/limits.h"
#include "base/weblist.h"

#define FILE_SUFFIX ".file"
#define LINE_COLUMNS 88 /* of the printed defaults */

const struct config_row config_rows[CONFIG_ROW_COUNT] = {
#define X(field, key, kind, def, min, max, when, help)                                             \
    {key, KIND_##kind, def, min, max, when, help, offsetof(struct config, field)},
#include "config/keys.def"
#undef X
};

static bool power_of_two(uint64_t v)
{
    return v != 0 && (v & (v - 1)) == 0;
}

static bool whole_pages(uint64_t v)
{
    return v % 4096 == 0;
}

static bool none_or_strong(uint64_t v)
{
    return v == 0 || v >= CONFIG_AUTH_SECRET_BYTES_MIN;
}

static bool none_or_a_second(uint64_t ms)
{
    return ms == 0 || ms >= 1000;
}

static const struct config_rule rules[] = {
    {offsetof(struct config, ring_size), power_of_two, "a power of two", "not a power of two"},
    {offsetof(struct config, journal_segment), whole_pages, "a multiple of 4KB",
     "not a multiple of 4KB"},
    {offsetof(struct config, auth_secret), none_or_strong, "but at least 16",
     "too short for a key"},
    {offsetof(struct config, auth_secret_previous), none_or_strong, "but at least 16",
     "too short for a key"},
    {offsetof(struct config, metrics_interval), none_or_a_second, "0s or at least 1s", "too short"},
};

static const struct config_text_rule text_rules[] = {
    {offsetof(struct config, http_cors_origins), weblist_origins_problem,
     "* or a list of origins, https://host or https://host:port"},
    {offsetof(struct config, http_cors_headers), weblist_headers_problem, "a list of header names"},
};

const struct config_rule *config_row_rule(const struct config_row *row)
{
    for (size_t i = 0; i < IOR_LEN(rules); i++) {
        if (rules[i].offset == row->offset) return &rules[i];
    }
    return NULL;
}

const struct config_text_rule *config_row_text_rule(const struct config_row *row)
{
    for (size_t i = 0; i < IOR_LEN(text_rules); i++) {
        if (text_rules[i].offset == row->offset) return &text_rules[i];
    }
    return NULL;
}

/* The words of a CHOICE: its help starts with "one|two|three:". */
bool config_row_word(const char **at, struct ior_slice *ret)
{
    const size_t size = strcspn(*at, "|:");
    if (size == 0) return false;
    *ret = ior_slice(*at, size);
    *at += size;
    if (**at == '|') (*at)++;
    return true;
}

static void allow_length(const struct config_row *row, const char *noun, struct config_allowed *ret)
{
    if (row->min == 0) {
        snprintf(ret->text, sizeof ret->text, "empty, or %s of at most %" PRIu64 " bytes", noun,
                 row->max);
    } else {
        snprintf(ret->text, sizeof ret->text, "%s of %" PRIu64 " to %" PRIu64 " bytes", noun,
                 row->min, row->max);
    }
}

static void allow_words(const struct config_row *row, struct config_allowed *ret)
{
    struct ior_slice word;
    size_t used = (size_t)snprintf(ret->text, sizeof ret->text, "one of");
    for (const char *at = row->help; config_row_word(&at, &word);) {
        const char *comma = used > 6 ? "," : "";
        used += (size_t)snprintf(ret->text + used, sizeof ret->text - used, "%s %.*s", comma,
                                 (int)word.size_bytes, (const char *)word.data);
        IOR_ASSERT(used < sizeof ret->text);
    }
}

/* What a key takes, for error texts and for the default file. */
struct config_allowed config_row_allowed(const struct config_row *row)
{
    struct config_allowed ret;
    char low[CONFIG_VALUE_TEXT_MAX];
    char high[CONFIG_VALUE_TEXT_MAX];
    switch (row->kind) {
    case KIND_TEXT:
        allow_length(row, "text", &ret);
        break;
    case KIND_SECRET:
        allow_length(row, "a secret", &ret);
        break;
    case KIND_PATH:
        allow_length(row, "a path", &ret);
        break;
    case KIND_FLAG:
        snprintf(ret.text, sizeof ret.text, "yes or no");
        break;
    case KIND_INT:
    case KIND_PORT:
        snprintf(ret.text, sizeof ret.text, "%s, %" PRIu64 " to %" PRIu64,
                 row->kind == KIND_PORT ? "a port" : "a whole number", row->min, row->max);
        break;
    case KIND_BYTES:
        config_value_bytes_text(row->min, low);
        config_value_bytes_text(row->max, high);
        snprintf(ret.text, sizeof ret.text, "a size, %s to %s", low, high);
        break;
    case KIND_MS:
        config_value_ms_text(row->min, low);
        config_value_ms_text(row->max, high);
        snprintf(ret.text, sizeof ret.text, "a duration, %s to %s", low, high);
        break;
    case KIND_RATE:
        snprintf(ret.text, sizeof ret.text,
                 "0 (no limit), or a rate such as 100/s, 5000/m, 9000/h");
        break;
    case KIND_BYTERATE:
        snprintf(ret.text, sizeof ret.text,
                 "0 (no limit), or a rate such as 512KB/s, 10MB/m, 2GB/h");
        break;
    case KIND_ADDRESSES:
        snprintf(ret.text, sizeof ret.text,
                 "empty, or at most %d addresses and networks such as 10.0.0.0/8, with commas "
                 "between them",
                 NETWORKS_MAX);
        break;
    case KIND_CHOICE:
        allow_words(row, &ret);
        break;
    }
    const struct config_rule *rule = config_row_rule(row);
    const size_t used = strlen(ret.text);
    if (rule != NULL) {
        snprintf(ret.text + used, sizeof ret.text - used, ", %s", rule->allowed);
    }
    const struct config_text_rule *text_rule = config_row_text_rule(row);
    if (text_rule != NULL)
        snprintf(ret.text + used, sizeof ret.text - used, ", %s", text_rule->allowed);
    return ret;
}

/* "http.port", "auth.secret.file", "IORIO_HTTP_PORT", "IORIO_AUTH_SECRET_FILE" */
struct config_name config_row_name(const struct config_row *row, bool as_file, bool as_variable)
{
    struct config_name ret;
    const int size =
        snprintf(ret.text, sizeof ret.text, "%s%s%s", as_variable ? CONFIG_ENV_PREFIX : "",
                 row->key, as_file ? FILE_SUFFIX : "");
    IOR_ASSERT(size > 0 && (size_t)size < sizeof ret.text);
    for (char *p = ret.text; as_variable && *p != 0; p++) {
        if (*p >= 'a' && *p <= 'z') *p = (char)(*p - 'a' + 'A');
        if (*p == '.') *p = '_';
    }
    return ret;
}

const struct config_row *config_row_find(struct ior_slice wanted, bool as_variable,
                                         bool *ret_as_file)
{
    for (size_t i = 0; i < CONFIG_ROW_COUNT; i++) {
        for (int as_file = 0; as_file <= (config_rows[i].kind == KIND_SECRET); as_file++) {
            const struct config_name name =
                config_row_name(&config_rows[i], as_file != 0, as_variable);
            if (!ior_slice_eq(wanted, ior_slice_str(name.text))) continue;
            *ret_as_file = as_file != 0;
            return &config_rows[i];
        }
    }
    return NULL;
}

/* Keys are compared as people mix them up: without case, '_' and '-' as '.'. */
static struct config_name plainly(struct ior_slice s)
{
    struct config_name ret;
    if (ior_slice_starts(s, IOR_SLICE(CONFIG_ENV_PREFIX))) {
        s = ior_slice(s.data + strlen(CONFIG_ENV_PREFIX), s.size_bytes - strlen(CONFIG_ENV_PREFIX));
    }
    const size_t size = s.size_bytes < sizeof ret.text ? s.size_bytes : sizeof ret.text - 1;
    for (size_t i = 0; i < size; i++) {
        char b = (char)s.data[i];
        if (b >= 'A' && b <= 'Z') b = (char)(b - 'A' + 'a');
        ret.text[i] = b == '_' || b == '-' ? '.' : b;
    }
    ret.text[size] = 0;
    return ret;
}

/* Keys of the first Iorio DB, as plainly() has them, that are called otherwise now. */
static const char *const former[][2] = {
    {"secure.enabled", "https.enabled"},
    {"secure.port", "https.port"},
};

struct config_name config_row_nearest(struct ior_slice wanted, bool as_variable)
{
    struct config_name from = plainly(wanted);
    for (size_t i = 0; i < IOR_LEN(former); i++) {
        if (strcmp(from.text, former[i][0]) == 0)
            snprintf(from.text, sizeof from.text, "%s", former[i][1]);
    }
    const struct ior_slice from_text = ior_slice_str(from.text);
    struct config_name best = {{0}};
    unsigned best_distance = UINT32_MAX;
    for (size_t i = 0; i < CONFIG_ROW_COUNT; i++) {
        for (int as_file = 0; as_file <= (config_rows[i].kind == KIND_SECRET); as_file++) {
            const struct config_name name =
                config_row_name(&config_rows[i], as_file != 0, as_variable);
            const struct config_name to = plainly(ior_slice_str(name.text));
            const struct ior_slice to_text = ior_slice_str(to.text);
            unsigned distance = config_value_distance(from_text, to_text);
            /* "port" is more likely "http.port" than a short word such as "workers". */
            const bool last_part = ior_slice_ends(to_text, from_text) &&
                                   to_text.size_bytes > from_text.size_bytes &&
                                   to.text[to_text.size_bytes - from_text.size_bytes - 1] == '.';
            if (last_part && distance > 1) distance = 1;
            if (distance >= best_distance) continue;
            best_distance = distance;
            best = name;
        }
    }
    return best;
}

/* Comment lines of at most LINE_COLUMNS, broken between words. */
static void print_comment(FILE *out, const char *text)
{
    size_t column = 0;
    while (*text != 0) {
        const size_t word = strcspn(text, " ");
        if (column > 0 && column + 1 + word > LINE_COLUMNS) {
            fputc('\n', out);
            column = 0;
        }
        column += (size_t)fprintf(out, "%s%.*s", column == 0 ? "# " : " ", (int)word, text);
        text += word;
        while (*text == ' ') text++;
    }
    fputc('\n', out);
}

static const char *const when_texts[] = {
    [AT_START] = "",
    [FIRST_START] = " Fixed at the first start.",
    [LIVE] = " Live.",
};

static void print_row(FILE *out, const struct config_row *row)
{
    char text[512];
    const char *help = row->help;
    if (row->kind == KIND_CHOICE) help += strcspn(help, ":") + 2; /* the words come below */
    char first = help[0];
    if (first >= 'a' && first <= 'z') first = (char)(first - 'a' + 'A');
    const int size = snprintf(text, sizeof text, "%c%s", first, help + 1);
    IOR_ASSERT(size > 0 && (size_t)size < sizeof text);
    print_comment(out, text);
    const struct config_allowed allowed = config_row_allowed(row);
    snprintf(text, sizeof text, "Allowed: %s. Default: %s.%s", allowed.text,
             row->def[0] == 0 ? "empty" : row->def, when_texts[row->when]);
    print_comment(out, text);
    fprintf(out, "%s =%s%s\n", row->key, row->def[0] == 0 ? "" : " ", row->def);
}

void config_print_defaults(FILE *out)
{
    fputs("# iorio.conf - the configuration of one Iorio DB node, every key at its default.\n"
          "#\n"
          "# A line is `key = value` or a comment; a comment has a line of its own. A key\n"
          "# may be left out: then it has its default. A change needs a restart, but a key\n"
          "# that is marked as live is taken over when the node gets a SIGHUP.\n"
          "# `iorio chkconfig` checks the file; an error names the line and what is allowed.\n"
          "#\n"
          "# Every key can come from the environment, which wins over this file:\n"
          "# IORIO_HTTP_PORT=8081 is http.port = 8081.\n"
          "# A secret can be kept in a file of its own: auth.secret.file = path, or\n"
          "# IORIO_AUTH_SECRET_FILE=path. One line; its line break does not count.\n"
          "#\n"
          "# Durations: 500ms 10s 5m 24h 7d. Sizes: 64KB 4MB 2GB (powers of 1024).\n"
          "# Rates: 100/s 5000/m 10MB/s, which is also how many come at once; 0 is no limit.\n"
          "# Flags: yes no. A relative path starts at the release folder.\n",
          out);
    for (size_t i = 0; i < CONFIG_ROW_COUNT; i++) {
        fputc('\n', out);
        print_row(out, &config_rows[i]);
    }
}

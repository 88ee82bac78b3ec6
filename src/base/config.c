/* src/base/config.c - see config.h: the readers of the file and the environment.
 * config_row.c has the table of keys, config_set.c stores one value.
 * Thread: the one that starts the program, before the others exist.
 * Happy path: every row gets its default, then each line of the file and each
 * IORIO_ variable finds its row and is stored. All of it happens in a copy, which
 * replaces *c at the end.
 * Failure: the first thing that is wrong ends it, with its place in the text. */
#include "base/config.h"

#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/config_set.h"
#include "base/config_value.h"

#define CONFIG_FILE_BYTES_MAX (1u << 20) /* a larger file is none of ours */

/* ---- the file ---- */

static bool is_space(uint8_t b)
{
    return b == ' ' || b == '\t' || b == '\r';
}

static struct ior_slice trim(struct ior_slice s)
{
    while (s.size_bytes > 0 && is_space(s.data[0])) s = ior_slice(s.data + 1, s.size_bytes - 1);
    while (s.size_bytes > 0 && is_space(s.data[s.size_bytes - 1])) s.size_bytes--;
    return s;
}

/* Comments behind values and quotes around them are usual elsewhere. Here they
 * would silently become part of a password or of a path, so they are refused. */
static enum ior_err check_habits(const struct config_loader *l, const struct config_row *row,
                                 struct ior_slice value)
{
    const struct config_name variable = config_row_name(row, false, true);
    for (size_t i = 0; i < value.size_bytes; i++) {
        if (value.data[i] != '#' || (i > 0 && !is_space(value.data[i - 1]))) continue;
        return config_set_fail(
            l,
            "%s: a comment behind a value; allowed: comments on lines of their own (if # "
            "belongs to the value, set %s in the environment)",
            l->label, variable.text);
    }
    const uint8_t first = value.size_bytes < 2 ? 0 : value.data[0];
    if ((first == '"' || first == '\'') && value.data[value.size_bytes - 1] == first) {
        return config_set_fail(
            l,
            "%s: a value in quotes; allowed: the bare value (if the quotes belong to it, "
            "set %s in the environment)",
            l->label, variable.text);
    }
    return IOR_OK;
}

static bool is_key_byte(uint8_t b)
{
    return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') || b == '.' ||
           b == '_' || b == '-';
}

static enum ior_err take_line(struct config_loader *l, struct ior_slice line)
{
    const uint8_t *equals = memchr(line.data, '=', line.size_bytes);
    if (equals == NULL) {
        /* Only the key is shown: what follows it may be a secret. */
        size_t size = 0;
        while (size < line.size_bytes && is_key_byte(line.data[size])) size++;
        const struct config_shown word = config_set_show(ior_slice(line.data, size));
        return config_set_fail(l, "%s%sno '=' in the line; allowed: key = value, # comment",
                               size > 0 ? word.text : "", size > 0 ? ": " : "");
    }
    const size_t before = (size_t)(equals - line.data);
    const struct ior_slice key = trim(ior_slice(line.data, before));
    const struct ior_slice value = trim(ior_slice(equals + 1, line.size_bytes - before - 1));
    if (key.size_bytes == 0) {
        return config_set_fail(l, "no key before '='; allowed: key = value, # comment");
    }
    const struct config_shown label = config_set_show(key);
    snprintf(l->label, sizeof l->label, "%s", label.text);
    bool as_file = false;
    const struct config_row *row = config_row_find(key, false, &as_file);
    if (row == NULL) {
        const struct config_name near = config_row_nearest(key, false);
        return config_set_fail(l, "%s: unknown key; the nearest known one is %s", l->label,
                               near.text);
    }
    const enum ior_err err = check_habits(l, row, value);
    if (err != IOR_OK) return err;
    return config_set_value(l, row, as_file, value);
}

static enum ior_err take_text(struct config_loader *l, struct ior_slice text)
{
    static const struct ior_slice byte_order_mark = IOR_SLICE("\xef\xbb\xbf");
    size_t i = ior_slice_starts(text, byte_order_mark) ? byte_order_mark.size_bytes : 0;
    while (i < text.size_bytes) {
        const uint8_t *start = text.data + i;
        const uint8_t *end = memchr(start, '\n', text.size_bytes - i);
        const size_t size = end == NULL ? text.size_bytes - i : (size_t)(end - start);
        const struct ior_slice line = trim(ior_slice(start, size));
        l->line++;
        i += size + 1;
        if (line.size_bytes == 0 || line.data[0] == '#') continue;
        const enum ior_err err = take_line(l, line);
        if (err != IOR_OK) return err;
    }
    return IOR_OK;
}

/* ---- the environment ---- */

/* Kubernetes gives a container such variables for a service named "iorio" or
 * "iorio-http", which is hard to guess from the error alone. */
static void add_hint(struct ior_why *why)
{
    static const char hint[] =
        " (set by Kubernetes for a service? then use enableServiceLinks: false)";
    if (why == NULL) return;
    const size_t used = strlen(why->text);
    snprintf(why->text + used, sizeof why->text - used, "%s", hint);
}

static enum ior_err take_variable(struct config_loader *l, const char *entry)
{
    const size_t size = strcspn(entry, "=");
    const struct ior_slice variable = ior_slice(entry, size);
    if (!ior_slice_starts(variable, IOR_SLICE(CONFIG_ENV_PREFIX))) return IOR_OK;
    if (ior_slice_starts(variable, IOR_SLICE(CONFIG_ENV_PREFIX "TEST_"))) return IOR_OK;
    if (entry[size] == 0) return IOR_OK; /* no '=': not a variable */
    const char *value = entry + size + 1;
    const struct config_shown label = config_set_show(variable);
    bool as_file = false;
    const struct config_row *row = config_row_find(variable, true, &as_file);
    enum ior_err err = IOR_OK;
    if (row == NULL) {
        const struct config_name near = config_row_nearest(variable, true);
        err = config_set_fail(l, "%s: no key has this variable; the nearest known one is %s",
                              label.text, near.text);
    } else {
        const struct config_name key = config_row_name(row, as_file, false);
        snprintf(l->label, sizeof l->label, "%s (%s)", label.text, key.text);
        err = config_set_value(l, row, as_file, ior_slice_str(value));
    }
    const bool foreign =
        strncmp(value, "tcp://", 6) == 0 || strstr(label.text, "_SERVICE_") != NULL;
    if (err != IOR_OK && foreign) add_hint(l->why);
    return err;
}

static enum ior_err take_environment(struct config_loader *l)
{
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        const enum ior_err err = take_variable(l, *entry);
        if (err != IOR_OK) return err;
    }
    return IOR_OK;
}

/* ---- the front door ---- */

void config_set_defaults(struct config *c, const char *release_dir)
{
    IOR_ASSERT(release_dir[0] == '/');
    memset(c, 0, sizeof *c); /* padding and text ends too: configs compare bytewise */
    const enum ior_err err = config_value_path("/", ior_slice_str(release_dir), c->release_dir,
                                               CONFIG_RELEASE_DIR_MAX + 1);
    IOR_ASSERT(err == IOR_OK);
    for (size_t i = 0; i < CONFIG_ROW_COUNT; i++) {
        config_set_default(c, &config_rows[i]);
    }
}

enum ior_err config_parse(struct config *c, const char *name, const char *text, size_t size_bytes,
                          struct ior_why *why)
{
    IOR_ASSERT(c->release_dir[0] == '/'); /* config_set_defaults() was there */
    struct config next;
    memcpy(&next, c, sizeof next);
    struct config_loader l = {.c = &next, .why = why, .file = name};
    const enum ior_err err = take_text(&l, ior_slice(text, size_bytes));
    if (err == IOR_OK) memcpy(c, &next, sizeof next);
    return err;
}

static enum ior_err load_file(struct config *c, const char *file, struct ior_why *why)
{
    const char *problem = NULL;
    struct ior_buf text;
    ior_buf_init(&text);
    enum ior_err err = config_set_read(file, CONFIG_FILE_BYTES_MAX, false, &text, &problem);
    if (err == IOR_OK) {
        err = config_parse(c, file, (const char *)text.data, text.size_bytes, why);
    } else {
        if (err != IOR_E_NOTFOUND && err != IOR_E_ACCESS) err = IOR_E_INVAL;
        err = ior_why_set(why, err, "%.400s: the configuration cannot be read: %s", file, problem);
    }
    ior_buf_done(&text);
    return err;
}

enum ior_err config_load(struct config *c, const char *release_dir, const char *file,
                         struct ior_why *why)
{
    struct config next;
    if (release_dir[0] != '/' || strlen(release_dir) > CONFIG_RELEASE_DIR_MAX) {
        return ior_why_set(why, IOR_E_INVAL,
                           "the release folder is %.300s; allowed: an absolute path of at most %d "
                           "bytes",
                           release_dir, CONFIG_RELEASE_DIR_MAX);
    }
    config_set_defaults(&next, release_dir);
    if (file != NULL) {
        const enum ior_err err = load_file(&next, file, why);
        if (err != IOR_OK) return err;
    }
    struct config_loader l = {.c = &next, .why = why};
    const enum ior_err err = take_environment(&l);
    if (err == IOR_OK) memcpy(c, &next, sizeof next);
    return err;
}

bool config_is_default(const struct config *c, const char *key)
{
    struct config shipped;
    config_set_defaults(&shipped, c->release_dir);
    for (size_t i = 0; i < CONFIG_ROW_COUNT; i++) {
        if (strcmp(config_rows[i].key, key) != 0) continue;
        const char *now = (const char *)c + config_rows[i].offset;
        const char *then = (const char *)&shipped + config_rows[i].offset;
        switch (config_rows[i].kind) {
        case KIND_TEXT:
        case KIND_SECRET:
        case KIND_PATH:
        case KIND_ADDRESSES:
        case KIND_CHOICE:
            return strcmp(now, then) == 0;
        case KIND_FLAG:
            return memcmp(now, then, sizeof(config_FLAG)) == 0;
        case KIND_INT:
        case KIND_PORT:
        case KIND_BYTES:
        case KIND_MS:
        case KIND_RATE:
        case KIND_BYTERATE:
            return memcmp(now, then, sizeof(uint64_t)) == 0;
        }
    }
    IOR_WRONG("callers name keys that exist");
}

/* src/base/config_set.c - see config_set.h.
 * Thread: the one that starts the program, before the others exist.
 * Happy path: a clean value goes to the parser of the row's kind, is held against
 * the row's bounds and rule, and is stored in the field.
 * Failure: an error text that says where, which key, what was found and what is
 * allowed. The value of a secret is never part of a text. */
#include "base/config_set.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/address.h"
#include "base/assert.h"
#include "base/config_value.h"
#include "base/json_scan.h"

enum ior_err config_set_fail(const struct config_loader *l, const char *fmt, ...)
{
    char text[sizeof((struct ior_why *)0)->text];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (l->file == NULL) return ior_why_set(l->why, IOR_E_INVAL, "environment: %s", text);
    /* The end of a long path tells more than its start. */
    const size_t len = strlen(l->file);
    const size_t skip = len > 160 ? len - 160 : 0;
    return ior_why_set(l->why, IOR_E_INVAL, "%s%s:%u: %s", skip > 0 ? "..." : "", l->file + skip,
                       l->line, text);
}

/* A foreign value in an error text: short, printable, whole characters. */
struct config_shown config_set_show(struct ior_slice s)
{
    struct config_shown ret;
    if (s.size_bytes == 0) {
        snprintf(ret.text, sizeof ret.text, "(empty)");
        return ret;
    }
    size_t used = 0;
    size_t i = 0;
    while (i < s.size_bytes) {
        size_t size = 1;
        const bool wide =
            s.data[i] >= 0x80 && ior_utf8_step(s.data + i, s.data + s.size_bytes, &size);
        const bool plain = s.data[i] >= 0x20 && s.data[i] < 0x7f;
        if (!wide) size = 1;
        if (used + size > CONFIG_SHOWN_BYTES) break;
        memcpy(ret.text + used, wide || plain ? (const char *)s.data + i : "?", size);
        used += size;
        i += size;
    }
    snprintf(ret.text + used, sizeof ret.text - used, "%s", i < s.size_bytes ? "..." : "");
    return ret;
}

/* `found` is what the user gave, NULL for a secret. */
static enum ior_err fail_value(const struct config_loader *l, const struct config_row *row,
                               const char *found, const char *problem)
{
    const struct config_allowed allowed = config_row_allowed(row);
    return config_set_fail(l, "%s%s%s: %s; allowed: %s", l->label, found == NULL ? "" : " = ",
                           found == NULL ? "" : found, problem, allowed.text);
}

static void *field_of(struct config *c, const struct config_row *row)
{
    return (char *)c + row->offset;
}

static enum ior_err set_number(const struct config_loader *l, const struct config_row *row,
                               struct ior_slice value, const char *found)
{
    uint64_t v = 0;
    const char *problem = NULL;
    const struct config_rule *rule = config_row_rule(row);
    enum ior_err err;
    if (row->kind == KIND_BYTES) {
        err = config_value_bytes(value, &v, &problem);
    } else if (row->kind == KIND_MS) {
        err = config_value_ms(value, &v, &problem);
    } else {
        err = config_value_int(value, &v, &problem);
    }
    if (err == IOR_OK && v < row->min) problem = "too small";
    if (err == IOR_OK && v > row->max) problem = "too large";
    if (problem == NULL && rule != NULL && !rule->good(v)) problem = rule->problem;
    if (problem != NULL) return fail_value(l, row, found, problem);
    memcpy(field_of(l->c, row), &v, sizeof v);
    return IOR_OK;
}

static enum ior_err set_text(const struct config_loader *l, const struct config_row *row,
                             struct ior_slice value, const char *found)
{
    char problem[64];
    char *field = field_of(l->c, row);
    const size_t size = value.size_bytes;
    const struct config_rule *rule = config_row_rule(row);
    if (size < row->min || size > row->max) {
        snprintf(problem, sizeof problem, "%zu bytes are too %s", size,
                 size < row->min ? "few" : "many");
        return fail_value(l, row, found, problem);
    }
    if (rule != NULL && !rule->good(size)) return fail_value(l, row, found, rule->problem);
    const struct config_text_rule *text_rule = config_row_text_rule(row);
    const char *wrong = text_rule == NULL ? NULL : text_rule->problem(value);
    if (wrong != NULL) return fail_value(l, row, found, wrong);
    if (row->kind != KIND_PATH || size == 0) {
        memcpy(field, value.data, size);
        memset(field + size, 0, CONFIG_TEXT_MAX - size);
        return IOR_OK;
    }
    char path[CONFIG_TEXT_MAX] = "";
    if (config_value_path(l->c->release_dir, value, path, sizeof path) != IOR_OK) {
        return fail_value(l, row, found, "too long together with the release folder");
    }
    memcpy(field, path, sizeof path);
    return IOR_OK;
}

static enum ior_err set_choice(const struct config_loader *l, const struct config_row *row,
                               struct ior_slice value, const char *found)
{
    struct ior_slice word;
    char *field = field_of(l->c, row);
    for (const char *at = row->help; config_row_word(&at, &word);) {
        if (!ior_slice_eq(word, value)) continue;
        IOR_ASSERT(word.size_bytes < sizeof(config_CHOICE));
        memset(field, 0, sizeof(config_CHOICE));
        memcpy(field, word.data, word.size_bytes);
        return IOR_OK;
    }
    return fail_value(l, row, found, "unknown word");
}

static enum ior_err set_rate(const struct config_loader *l, const struct config_row *row,
                             struct ior_slice value, const char *found)
{
    uint64_t count = 0;
    uint64_t seconds = 0;
    const char *problem = NULL;
    enum ior_err err =
        config_value_rate(value, row->kind == KIND_BYTERATE, &count, &seconds, &problem);
    if (err == IOR_OK && count < row->min) problem = "too small";
    if (err == IOR_OK && count > row->max) problem = "too large";
    if (problem != NULL) return fail_value(l, row, found, problem);
    const uint64_t rate = config_rate(count, seconds);
    memcpy(field_of(l->c, row), &rate, sizeof rate);
    return IOR_OK;
}

static enum ior_err set_addresses(const struct config_loader *l, const struct config_row *row,
                                  struct ior_slice value, const char *found)
{
    struct ior_networks networks;
    const char *problem = NULL;
    if (ior_networks_parse(value, &networks, &problem) != IOR_OK)
        return fail_value(l, row, found, problem);
    return set_text(l, row, value, found);
}

static enum ior_err set(const struct config_loader *l, const struct config_row *row,
                        struct ior_slice value, const char *found)
{
    bool flag = false;
    const char *problem = NULL;
    switch (row->kind) {
    case KIND_TEXT:
    case KIND_SECRET:
    case KIND_PATH:
        return set_text(l, row, value, found);
    case KIND_CHOICE:
        return set_choice(l, row, value, found);
    case KIND_RATE:
    case KIND_BYTERATE:
        return set_rate(l, row, value, found);
    case KIND_ADDRESSES:
        return set_addresses(l, row, value, found);
    case KIND_FLAG:
        if (config_value_flag(value, &flag, &problem) != IOR_OK) {
            return fail_value(l, row, found, problem);
        }
        memcpy(field_of(l->c, row), &flag, sizeof flag);
        return IOR_OK;
    case KIND_INT:
    case KIND_PORT:
    case KIND_BYTES:
    case KIND_MS:
        return set_number(l, row, value, found);
    }
    IOR_WRONG("every kind is above");
}

void config_set_default(struct config *c, const struct config_row *row)
{
    const struct config_loader l = {.c = c};
    const enum ior_err err = set(&l, row, ior_slice_str(row->def), NULL);
    IOR_ASSERT(err == IOR_OK);
}

/* The offset of the first byte that no value may have; size_bytes: there is none. */
static size_t first_unclean(struct ior_slice s)
{
    size_t i = 0;
    while (i < s.size_bytes) {
        size_t size = 1;
        if (s.data[i] < 0x20 || s.data[i] == 0x7f) break;
        if (s.data[i] >= 0x80 && !ior_utf8_step(s.data + i, s.data + s.size_bytes, &size)) break;
        i += size;
    }
    return i;
}

static enum ior_err check_clean(const struct config_loader *l, struct ior_slice value)
{
    const size_t at = first_unclean(value);
    if (at == value.size_bytes) return IOR_OK;
    return config_set_fail(
        l, "%s: byte %zu of the value is a control character or no UTF-8; allowed: text in UTF-8",
        l->label, at + 1);
}

/* The kind of file is looked at before it is opened: opening a pipe may wait for
 * ever, and opening a device may do something. */
enum ior_err config_set_read(const char *path, size_t max, bool only_regular, struct ior_buf *out,
                             const char **ret_problem)
{
    struct stat st;
    int fd = -1;
    if (stat(path, &st) != 0) goto failed;
    *ret_problem = "a folder, not a file";
    if (S_ISDIR(st.st_mode)) return IOR_E_INVAL;
    *ret_problem = "not a regular file";
    if (only_regular && !S_ISREG(st.st_mode)) return IOR_E_INVAL;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) goto failed;
    while (out->size_bytes <= max) {
        uint8_t *at = ior_buf_room(out, 4096);
        if (at == NULL) {
            close(fd);
            *ret_problem = "out of memory";
            return IOR_E_NOMEM;
        }
        const ssize_t n = read(fd, at, 4096);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) goto failed;
        if (n == 0) break;
        ior_buf_grew(out, (size_t)n);
    }
    close(fd);
    *ret_problem = out->size_bytes > max ? "too large a file" : NULL;
    return out->size_bytes > max ? IOR_E_TOOLARGE : IOR_OK;

failed:;
    const int e = errno;
    if (fd >= 0) close(fd);
    *ret_problem = strerror(e);
    return ior_err_from_errno(e);
}

/* <key>.file = path: the secret is the one line in that file. */
static enum ior_err set_from_file(const struct config_loader *l, const struct config_row *row,
                                  struct ior_slice value)
{
    char path[CONFIG_TEXT_MAX] = "";
    const struct config_shown found = config_set_show(value);
    const char *problem = NULL;
    struct ior_buf text;
    ior_buf_init(&text);
    enum ior_err err = config_value_path(l->c->release_dir, value, path, sizeof path);
    if (value.size_bytes == 0) {
        problem = "no path";
    } else if (err != IOR_OK) {
        problem = "too long a path";
    } else {
        err = config_set_read(path, CONFIG_TEXT_MAX + 1, true, &text, &problem);
    }
    if (problem == NULL) {
        struct ior_slice secret = ior_buf_slice(&text);
        if (ior_slice_ends(secret, IOR_SLICE("\n"))) secret.size_bytes--;
        if (ior_slice_ends(secret, IOR_SLICE("\r"))) secret.size_bytes--;
        if (secret.size_bytes == 0) problem = "an empty file";
        if (problem == NULL) err = check_clean(l, secret);
        if (problem == NULL && err == IOR_OK) err = set(l, row, secret, found.text);
    }
    if (problem != NULL) {
        err = config_set_fail(l, "%s = %s: %s; allowed: a path to a file that holds the secret",
                              l->label, found.text, problem);
    }
    if (text.data != NULL) explicit_bzero(text.data, text.size_bytes);
    ior_buf_done(&text);
    return err;
}

/* A key that was found, with its value: in any source. */
enum ior_err config_set_value(struct config_loader *l, const struct config_row *row, bool as_file,
                              struct ior_slice value)
{
    unsigned *set_on = &l->set_on[row - config_rows];
    if (*set_on != 0 && l->file == NULL) {
        return config_set_fail(l, "%s: %s is set by another variable too; keep one of them",
                               l->label, row->key);
    }
    if (*set_on != 0) {
        return config_set_fail(l, "%s: this key is set on line %u already; keep one of them",
                               l->label, *set_on);
    }
    *set_on = l->file == NULL ? 1 : l->line;
    const enum ior_err err = check_clean(l, value);
    if (err != IOR_OK) return err;
    if (as_file) return set_from_file(l, row, value);
    const struct config_shown found = config_set_show(value);
    return set(l, row, value, row->kind == KIND_SECRET ? NULL : found.text);
}

/* proto/http/extension.c - see extension.h: the table, and reading settings.
 * Failure modes: a file that is not there, too large, no JSON object, or not what the handler
 * wants is an error that names the key, the file and the place: the node does not start. */
#include "proto/http/extension.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/limits.h"

static const struct extension extensions[EXTENSION_COUNT] = {
    [EXTENSION_ECHO] = {"echo", offsetof(struct config, extension_config_echo), echo_configure,
                        echo_discard},
};

/* The whole file; *ret_problem says why not. */
static bool read_file(const char *path, struct ior_buf *out, const char **ret_problem)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *ret_problem = fd < 0 ? strerror(errno) : NULL;
    if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) *ret_problem = "no regular file";
    while (*ret_problem == NULL) {
        uint8_t *at = ior_buf_room(out, 4096);
        ssize_t n = at == NULL ? -1 : read(fd, at, 4096);
        if (n < 0) *ret_problem = at == NULL ? "out of memory" : strerror(errno);
        if (n <= 0) break;
        ior_buf_grew(out, (size_t)n);
        if (out->size_bytes > EXTENSION_CONFIG_BYTES_MAX) *ret_problem = "more than 64 KB";
    }
    if (fd >= 0) close(fd);
    return *ret_problem == NULL;
}

static enum ior_err parse(struct ior_slice text, json_t **ret, struct ior_why *why)
{
    json_error_t e;
    size_t at = 0;
    if (ior_json_check(text, JSON_DEPTH_MAX, &at) != IOR_OK) {
        unsigned line = 1;
        for (size_t i = 0; i < at; i++) line += text.data[i] == '\n';
        return ior_why_set(why, IOR_E_INVAL, "no JSON: line %u, byte %zu of the file", line,
                           at + 1);
    }
    *ret = json_loadb((const char *)text.data, text.size_bytes, JSON_REJECT_DUPLICATES, &e);
    if (*ret == NULL) return ior_why_set(why, IOR_E_INVAL, "line %d: %s", e.line, e.text);
    return IOR_OK;
}

static enum ior_err load_one(const struct extension *x, const char *path, void **ret,
                             struct ior_why *why)
{
    const char *problem = NULL;
    struct ior_buf text;
    json_t *settings = NULL;
    ior_buf_init(&text);
    enum ior_err err = IOR_OK;
    if (!read_file(path, &text, &problem)) err = ior_why_set(why, IOR_E_INVAL, "%s", problem);
    if (err == IOR_OK) err = parse(ior_buf_slice(&text), &settings, why);
    if (err == IOR_OK && !json_is_object(settings))
        err = ior_why_set(why, IOR_E_INVAL, "no JSON object");
    if (err == IOR_OK) err = x->configure(settings, ret, why);
    json_decref(settings);
    ior_buf_done(&text);
    return err;
}

enum ior_err extensions_load(const struct config *c, void *ret[EXTENSION_COUNT],
                             struct ior_why *why)
{
    for (size_t i = 0; i < EXTENSION_COUNT; i++) ret[i] = NULL;
    for (size_t i = 0; i < EXTENSION_COUNT; i++) {
        const struct extension *x = &extensions[i];
        const char *path = (const char *)c + x->path_offset;
        struct ior_why what = {""};
        enum ior_err err =
            path[0] == 0 ? x->configure(NULL, &ret[i], &what) : load_one(x, path, &ret[i], &what);
        if (err == IOR_OK) continue;
        extensions_free(ret);
        return ior_why_set(why, err, "extension.config.%s = %.300s: %.180s", x->name, path,
                           what.text[0] == 0 ? ior_err_reason(err) : what.text);
    }
    return IOR_OK;
}

void extensions_free(void *settings[EXTENSION_COUNT])
{
    for (size_t i = 0; i < EXTENSION_COUNT; i++) {
        extensions[i].discard(settings[i]);
        settings[i] = NULL;
    }
}
